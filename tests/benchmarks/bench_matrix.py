"""The matrix: every cell's seconds, the whole, and where the time of the refuted cells goes.

Run as `python tests/benchmarks/bench_matrix.py`. Each cell is found once, by itself, in one process.
"""

import warnings
from collections.abc import Sequence

from timing import print_table, seconds

from growproof.proofs.counterexample import find
from growproof.proofs.features import breaking
from growproof.proofs.matrix import SIX, Cell, Matrix, matrix
from growproof.proofs.repair import repair
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.expand import expand
from growproof.symbolic.variant import load

WHOLE, ONE = 60, 1  # seconds, at most


def main() -> None:
    warnings.simplefilter("ignore")
    found = matrix({name: load(name) for name in SIX}, tuple(PRESETS.values()))
    cells(found)
    refuted([cell for cell in found.cells.values() if cell.verdict == "refuted"])


def cells(found: Matrix) -> None:
    rows = [[preset.name, *map(shown, found.row(preset.name))] for preset in found.architectures]
    print_table(f"cells, seconds; one in at most {ONE}", ["", *found.expansions], rows)
    slowest = max(cell.seconds for cell in found.cells.values())
    print(f"  the whole: {found.seconds:.1f} s (at most {WHOLE}); the slowest cell: {slowest:.2f} s")


def shown(cell: Cell) -> str:
    return f"{cell.verdict} {cell.seconds:.2f}"


def refuted(cells: Sequence[Cell]) -> None:
    """The parts of a refuted cell, each once more."""
    rows = []
    for cell in cells:
        variant, preset = load(cell.expansion), PRESETS[cell.architecture]
        options = breaking(variant, preset)
        works = (
            lambda variant=variant, preset=preset: find([expand(paper_model(preset), variant)]),
            lambda variant=variant, preset=preset: breaking(variant, preset),
            lambda variant=variant, preset=preset, options=options: repair(variant, preset, options),
        )
        rows.append([f"{cell.expansion} on {cell.architecture}", *(f"{seconds(work):.2f}" for work in works)])
    print_table("refuted cells, seconds", ["", "counterexample", "features", "repair"], rows)


if __name__ == "__main__":
    main()
