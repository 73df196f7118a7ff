"""The course: the seconds of the whole pack, those of the processor for each lesson, and the size of each page.

Run as `python tests/benchmarks/bench_course.py`. The pack is written once, on all cores; then each lesson alone, in
one process.
"""

import sys
import tempfile
import time
from pathlib import Path

from timing import print_table

from growproof.reports.course import lesson
from growproof.reports.course.pack import lesson_files, write_pack

WHOLE, LARGEST = 30, 1_000_000  # seconds and bytes, at most


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        pack = write_pack(Path(folder))
        sizes = {name: (Path(folder) / name).stat().st_size for name in pack.files if name.endswith(".html")}
    rows = []
    paths = list(lesson.names().values())
    for path in paths:
        before = time.process_time()
        lesson_files(path, paths)
        rows.append([path.stem, f"{time.process_time() - before:.2f}", f"{sizes[f'{path.stem}.html'] / 1000:.0f}"])
    print_table("lessons", ["", "CPU seconds", "kB"], rows)
    print(f"  the pack: {pack.seconds:.1f} s (at most {WHOLE}), the largest page: {max(sizes.values()) / 1000:.0f} kB")
    return int(pack.seconds > WHOLE or max(sizes.values()) > LARGEST)


if __name__ == "__main__":
    sys.exit(main())
