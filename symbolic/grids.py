"""Grids of blocks: their sizes, and how two of them are cut alike.  Part of what the kernel's block rules trust."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from .terms import (
    Expr,
    MatMul,
    MatrixExpr,
    OneMatrix,
    ZeroMatrix,
    block_rows,
    blocks,
    ones,
    product,
    same_size,
    zero,
)

Blocks = Sequence[Sequence[MatrixExpr]]


def heights(grid: Blocks) -> list[Expr]:
    return [row[0].rows for row in grid]


def widths(grid: Blocks) -> list[Expr]:
    return [block.cols for block in grid[0]]


def columns_of(grid: Blocks) -> Blocks:
    return list(zip(*grid, strict=True))


def cut(block: MatrixExpr, rows: Sequence[Expr], columns: Sequence[Expr]) -> Blocks:
    """A block as its parts; a matrix of zeros or of ones in parts of the given sizes."""
    if not isinstance(block, (ZeroMatrix, OneMatrix)):
        return block_rows(block)
    made = zero if isinstance(block, ZeroMatrix) else ones
    return [[made(m, n) for n in columns] for m in rows]


def common_cuts(left: Sequence[Expr], right: Sequence[Expr]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The finest common cutting of two partitions of one size: which parts of each make up each piece."""
    ends = [[sum(part[:i]) for i in range(len(part) + 1)] for part in (left, right)]
    shared = [(i, j) for i, a in enumerate(ends[0]) for j, b in enumerate(ends[1]) if same_size(a, b)]
    return [((i, k), (j, m)) for (i, j), (k, m) in pairwise(shared)]


def cellwise(made: Callable[..., MatrixExpr], *grids: Blocks) -> MatrixExpr:
    """The blocks that are made of corresponding blocks of some grids."""
    return blocks([[made(*cells) for cells in zip(*rows, strict=True)] for rows in zip(*grids, strict=True)])


def cut_like(term: MatrixExpr, grid: Blocks) -> Blocks:
    """The blocks of a term; those of a A 1, with ones on the right, are as wide as those of a grid."""
    *before, last = term.args if isinstance(term, MatMul) else (term,)
    if not isinstance(last, OneMatrix):
        return block_rows(term)
    return [[product(*before, ones(last.rows, n)) for n in widths(grid)]]


def same_partition(left: Blocks, right: Blocks) -> bool:
    return same_sizes(heights(left), heights(right)) and same_sizes(widths(left), widths(right))


def same_sizes(left: Sequence[Expr], right: Sequence[Expr]) -> bool:
    return len(left) == len(right) and all(map(same_size, left, right))


def partition(found: Sequence[MatrixExpr], sizes: Callable[[Blocks], list[Expr]]) -> list[Expr]:
    """The sizes of the parts of some blocks side by side, any for zeros or ones; none where they differ."""
    cuts = [sizes(block_rows(block)) for block in found if not isinstance(block, (ZeroMatrix, OneMatrix))]
    cuts = cuts or [sizes([[found[0]]])]
    return cuts[0] if all(same_sizes(cuts[0], other) for other in cuts) else []
