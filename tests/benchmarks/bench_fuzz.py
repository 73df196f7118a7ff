"""The campaign: variants a second in one process, and where the time goes by verdict and by kind.

Run as `python tests/benchmarks/bench_fuzz.py`. The first cases, which fill the caches, are counted as well.
"""

import warnings
from collections import defaultdict
from time import process_time

from timing import print_table

from growproof.proofs.campaign import Outcome, outcome

COUNT, SPEED = 300, 10  # cases, and how many a second at least


def main() -> None:
    warnings.simplefilter("ignore")
    timed: list[tuple[Outcome, float]] = []
    for i in range(COUNT):
        start = process_time()
        timed.append((outcome(0, i), process_time() - start))
    whole = sum(seconds for _, seconds in timed)
    print(f"{COUNT} cases in {whole:.1f} s of one core: {COUNT / whole:.1f} a second (at least {SPEED})")
    shares("by verdict", [(one.judgement.verdict, seconds) for one, seconds in timed])
    shares("by kind", [(one.kind, seconds) for one, seconds in timed])
    slowest = sorted(timed, key=lambda pair: -pair[1])[:10]
    rows = [[f"{one.index}: {one.how}", one.architecture, f"{seconds:.2f}"] for one, seconds in slowest]
    print_table("the slowest cases, seconds", ["", "architecture", "seconds"], rows)


def shares(title: str, timed: list[tuple[str, float]]) -> None:
    groups = defaultdict(list)
    for group, seconds in timed:
        groups[group].append(seconds)
    rows = [
        [name, len(each), f"{sum(each):.1f}", f"{sum(each) / len(each):.3f}"] for name, each in sorted(groups.items())
    ]
    print_table(title, ["", "cases", "seconds", "each"], [[str(cell) for cell in row] for row in rows])


if __name__ == "__main__":
    main()
