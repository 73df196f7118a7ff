"""Timing for the benchmarks: interleaved rounds, so that a busy machine slows all alike, and tables."""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

Times = dict[str, list[float]]


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(works: Mapping[str, Callable[[], Any]], rounds: int) -> Times:
    """The seconds of each piece of work in each round; every round does them all."""
    times: Times = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    return times


def print_times(title: str, times: Times, unit: str, targets: Mapping[str, float]) -> None:
    """Minimum and median of each, its ratio to `unit` (the median over the rounds), and its target."""
    rows = [
        [
            name,
            f"{min(measured):.3f}",
            f"{median(measured):.3f}",
            f"{median(one / other for one, other in zip(measured, times[unit], strict=True)):.2f}",
            f"{targets[name]:.1f}" if name in targets else "",
        ]
        for name, measured in times.items()
    ]
    print_table(title, ["", "minimum", "median", f"/ {unit}", "target"], rows)


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The first column is left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    print(f"\n{title}")
    for row in (head, *rows):
        first, *others = zip(row, widths, strict=True)
        cells = [f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)]
        print("  ".join(["", *cells]).rstrip(), flush=True)
