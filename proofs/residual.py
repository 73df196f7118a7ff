"""What stays of an open goal: sums of words that must vanish, and what they ask of the new blocks.

A word is a product of factors.  Where two sides differ in one argument of a softmax, an activation or a sum over
heads only, equal arguments are enough.  In a word whose new blocks stand together, what is before and after them is
old; their own product is the word's core, and a core that vanishes makes the word vanish.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass

from ..symbolic.grids import same_partition
from ..symbolic.terms import (
    Act,
    BlockMatrix,
    Expr,
    HeadSum,
    MatAdd,
    MatMul,
    MatrixExpr,
    MatrixSymbol,
    Softmax,
    ZeroMatrix,
    atoms,
    block_rows,
    eye,
    is_scalar,
    negative,
    product,
    total,
    zero,
)
from .kernel import Equation
from .rules import split


def sums(left: MatrixExpr, right: MatrixExpr) -> Iterator[MatrixExpr]:
    """Sums of words whose vanishing makes left = right; both are sums of words, or blocks of such."""
    if left == right:
        return
    grids = grids_of(left, right)
    if grids is not None:
        for row, other in zip(*grids, strict=True):
            for block, opposite in zip(row, other, strict=True):
                yield from sums(block, opposite)
        return
    ours, theirs = Counter(words(left)), Counter(words(right))
    here, there = list((ours - theirs).elements()), list((theirs - ours).elements())
    inner = arguments(here[0], there[0]) if len(here) == len(there) == 1 else None
    if inner is not None:
        yield from sums(*inner)
    elif here or there:
        yield total(*here, *map(negative, there))


Grid = tuple[tuple[MatrixExpr, ...], ...]


def grids_of(left: MatrixExpr, right: MatrixExpr) -> tuple[Grid, Grid] | None:
    """The blocks of both sides where they are cut alike; a zero side is cut like the other."""
    if isinstance(left, ZeroMatrix) and isinstance(right, BlockMatrix):
        return zeros_like(right), block_rows(right)
    if isinstance(right, ZeroMatrix) and isinstance(left, BlockMatrix):
        return block_rows(left), zeros_like(left)
    if not (isinstance(left, BlockMatrix) and isinstance(right, BlockMatrix)):
        return None
    grids = block_rows(left), block_rows(right)
    alike = len(grids[0]) == len(grids[1]) and len(grids[0][0]) == len(grids[1][0])
    return grids if alike and same_partition(*grids) else None


def zeros_like(grid: BlockMatrix) -> Grid:
    return tuple(tuple(zero(*block.shape) for block in row) for row in block_rows(grid))


def words(term: MatrixExpr) -> tuple[MatrixExpr, ...]:
    """The summands of a term; none for zero."""
    if isinstance(term, ZeroMatrix):
        return ()
    return term.args if isinstance(term, MatAdd) else (term,)


def arguments(left: MatrixExpr, right: MatrixExpr) -> tuple[MatrixExpr, MatrixExpr] | None:
    """The arguments in which two words differ, if they differ in one place only."""
    pairs = [(a, b) for a, b in zip(factors(left), factors(right), strict=False) if a != b]
    if len(factors(left)) != len(factors(right)) or len(pairs) != 1 or split(left)[0] != split(right)[0]:
        return None
    ((a, b),) = pairs
    if type(a) is not type(b) or not isinstance(a, (Softmax, Act, HeadSum)) or a.args[1:] != b.args[1:]:
        return None
    if isinstance(a, HeadSum) and isinstance(a.arg, MatMul) and isinstance(b.arg, MatMul):
        return arguments(a.arg, b.arg) or (a.arg, b.arg)
    return a.arg, b.arg


def factors(word: MatrixExpr) -> tuple[MatrixExpr, ...]:
    """The matrices of a word, its scalar left out."""
    return tuple(part for part in word.args if not is_scalar(part)) if isinstance(word, MatMul) else (word,)


# ---------------------------------------------------------------- for a reader


@dataclass(frozen=True)
class Remaining:
    """term = 0, in every member of some families."""

    term: MatrixExpr
    families: tuple[str, ...] = ()


def remaining(left: MatrixExpr, right: MatrixExpr, new: Set[Expr]) -> Iterator[Remaining]:
    """What an open equation asks for, without what its sides share and the old factors around its new blocks.

    All of it together is enough; where a function or a factor is left out, it may be more than is needed.

    >>> from ..symbolic.terms import matrix, size
    >>> n = size("n")
    >>> X, W, M = (matrix(name, n, n) for name in "XWM")
    >>> [found.term for found in remaining(total(X, product(X, M, W)), X, {M})]
    [M]
    """
    for found in list(sums(left, right)) or [total(left, negative(right))]:
        yield trimmed(found, new)


def trimmed(found: MatrixExpr, new: Set[Expr]) -> Remaining:
    """A sum without the old factors before and after the new blocks, if these are the same in all its words."""
    parts = [around_new(word, new) for word in words(found)]
    if len({around for around, _ in parts}) != 1:
        return Remaining(found)
    inner = total(*(between for _, between in parts))
    return Remaining(split(inner)[1], parts[0][0].families)


def around_new(word: MatrixExpr, new: Set[Expr]) -> tuple[Around, MatrixExpr]:
    """What stands before the first and after the last factor of a word that holds a new block, and what is between."""
    scalar, families, row = opened(word)
    own = [i for i, part in enumerate(row) if atoms(part) & new] or [0, len(row) - 1]
    return Around(families, row[: own[0]], row[own[-1] + 1 :]), product(scalar, *row[own[0] : own[-1] + 1])


# ---------------------------------------------------------------- cores


@dataclass(frozen=True)
class Around:
    """What stands before and after the core of a word, and the families whose sums the word is under."""

    families: tuple[str, ...]
    before: tuple[MatrixExpr, ...]
    after: tuple[MatrixExpr, ...]

    @property
    def identity(self) -> MatrixExpr:
        """The core that changes nothing."""
        return eye(self.before[-1].cols if self.before else self.after[0].rows)


def core(found: MatrixExpr, new: Set[Expr]) -> tuple[Equation, ...] | None:
    """Equations on new blocks alone that make a sum vanish; None where a word has no one core.

    Words with equal surroundings share an equation; a word without new blocks joins one whose surroundings it is.
    """
    sums_of: dict[Around, list[MatrixExpr]] = {}
    for word in sorted(words(found), key=lambda word: not new & atoms(word)):
        scalar, families, row = opened(word)
        parts = taken_apart(families, row, new) or joined(families, row, sums_of)
        if parts is None:
            return None
        around, inner = parts
        sums_of.setdefault(around, []).append(product(scalar, inner))
    return tuple(vanishing(total(*inner)) for inner in sums_of.values())


def vanishing(term: MatrixExpr) -> Equation:
    """term = 0, without a factor in front of all of it."""
    inner = split(term)[1]
    return Equation(inner, zero(*inner.shape))


def opened(word: MatrixExpr) -> tuple[Expr, tuple[str, ...], tuple[MatrixExpr, ...]]:
    """The scalar of a word, the families that it is summed over, and its factors within the sums."""
    scalar, inner = split(word)
    if isinstance(inner, HeadSum):
        factor, families, row = opened(inner.arg)
        return scalar * factor, (inner.family, *families), row
    return scalar, (), factors(inner)


Parts = tuple[Around, MatrixExpr]


def taken_apart(families: tuple[str, ...], row: tuple[MatrixExpr, ...], new: Set[Expr]) -> Parts | None:
    """What stands around the new blocks of a word, and their product."""
    own = [i for i, part in enumerate(row) if is_new(part, new)]
    if not own or own != list(range(own[0], own[-1] + 1)):
        return None
    return Around(families, row[: own[0]], row[own[-1] + 1 :]), product(*row[own[0] : own[-1] + 1])


def joined(families: tuple[str, ...], row: tuple[MatrixExpr, ...], known: Iterable[Around]) -> Parts | None:
    """A word that is nothing but surroundings."""
    found = (around for around in known if (around.families, around.before + around.after) == (families, row))
    return next(((around, around.identity) for around in found), None)


def is_new(part: MatrixExpr, new: Set[Expr]) -> bool:
    """Made of new blocks only."""
    found = atoms(part)
    return bool(found) and all(isinstance(symbol, MatrixSymbol) and symbol in new for symbol in found)
