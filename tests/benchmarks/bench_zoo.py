"""The whole process of `growproof check` for every variant of the zoo.

Run as `python tests/benchmarks/bench_zoo.py [NAME ...]`.
"""

import subprocess
import sys

from timing import print_table, seconds

from growproof.symbolic.variant import load, zoo

ROUNDS, TARGET = 3, 2.0


def check(name: str) -> None:
    """A run that must end with what it found, whatever that is."""
    found = subprocess.run([sys.executable, "-m", "growproof", "check", name], stdout=subprocess.DEVNULL, check=False)
    if found.returncode not in (0, 1, 3):
        raise RuntimeError(f"{name} ended with status {found.returncode}")


def main() -> None:
    names = sys.argv[1:] or zoo()
    best = {name: min(seconds(lambda name=name: check(name)) for _ in range(ROUNDS)) for name in names}
    rows = [
        [name, load(name).verdict, f"{best[name]:.2f}", "over" if best[name] > TARGET else ""]
        for name in sorted(best, key=lambda name: -best[name])
    ]
    print_table(f"check of one variant, best of {ROUNDS}; seconds, target {TARGET}", ["", "verdict", "time", ""], rows)


if __name__ == "__main__":
    main()
