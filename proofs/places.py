"""Where a new block stands: a grown parameter is trained entry by entry, whatever its entries were equal to.

A block that occurs twice is two places, which part when they learn differently; so is an old parameter that is copied,
and a 0 that a rewrite writes is a place too.  `apart` gives every place a block of its own, with equations that say
what it starts as.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..symbolic.architecture import GROUPS, Owner, Weights, levels, parameters, reweighted
from ..symbolic.expand import Block, Expansion
from ..symbolic.terms import (
    BlockMatrix,
    Expr,
    MatrixExpr,
    MatrixSymbol,
    Path,
    ZeroMatrix,
    block_rows,
    blocks,
    matrix,
    path_of,
    product,
    zero,
)
from .rules import split


@dataclass(frozen=True)
class Apart:
    """An expansion in which every place is a block of its own, and the places of each block that the file names."""

    step: Expansion
    places: Mapping[str, tuple[str, ...]]

    @property
    def is_as_written(self) -> bool:
        """Whether every block stands in one place, and nothing else does."""
        alone = all(found == (name,) for name, found in self.places.items())
        return alone and all(block.name in self.places for block in self.step.blocks)


def apart(step: Expansion) -> Apart:
    """The expansion with a block for every place."""
    return _Places(step).result()


class _Places:
    """The places met so far, while the parameters are gone through."""

    def __init__(self, step: Expansion) -> None:
        self.step = step
        self.new = {block.symbol: block.name for block in step.blocks}
        self.zeros = {left for left, right in step.constraints if left in self.new and isinstance(right, ZeroMatrix)}
        self.seen: set[Expr] = set()
        self.own: dict[str, list[str]] = {block.name: [] for block in step.blocks}
        self.more: list[Block] = []
        self.ties: list[tuple[MatrixExpr, MatrixExpr]] = []
        self.of_groups: dict[tuple[str, MatrixExpr], MatrixExpr] = {}

    def result(self) -> Apart:
        model = reweighted(self.step.new, self.weights)
        used = {name: tuple(dict.fromkeys(found)) or (name,) for name, found in self.own.items()}
        step = replace(
            self.step,
            new=model,
            blocks=(*self.step.blocks, *self.more),
            constraints=(*self.step.constraints, *self.ties),
            constraint_sources=(),
        )
        return Apart(step, used)

    def weights(self, terms: Weights, owner: Owner, path: Path) -> Weights:
        return {name: self.trained(name, term, owner, path) for name, term in terms.items()}

    def trained(self, name: str, term: MatrixExpr, owner: Owner, path: Path) -> MatrixExpr:
        """A parameter, entry by entry; what a group has is trained once, whichever of its heads reads it."""
        if self.scope(name) != "group":
            return self.placed(name, term, owner, path)
        of_group = path[: len(levels(self.step.new.preset)) - 1]
        if len(path) > len(of_group):  # the family of the group's own heads
            self.of_groups[name, term] = self.placed(name, term, owner, of_group)
        return self.of_groups.get((name, term)) or self.placed(name, term, owner, path)

    def scope(self, name: str) -> str:
        """What owns a parameter; a block in the body of a sublayer is its layer's."""
        found = parameters(self.step.new.preset)
        return found[name].scope if name in found else "layer"

    def home(self, name: str, owner: Owner, path: Path) -> tuple[str, Owner]:
        """What has one of a place, and whose it is; of a new head each layer has one, or each group that it joins."""
        scope, old = self.scope(name), self.step.old.layer
        if scope in ("group", "head") and path == old.path:
            return "layer", owner[:1]
        if scope == "head" and path == (*old.path, GROUPS):
            return "group", (owner[0], old.heads[0].label)
        return scope, owner

    def placed(self, name: str, term: MatrixExpr, owner: Owner, path: Path) -> MatrixExpr:
        """The term with a symbol of its own in every cell that is a 0, a block or an old parameter met before."""
        if isinstance(term, BlockMatrix):
            rows = block_rows(term)
            return blocks([[self.placed(name, cell, owner, path) for cell in row] for row in rows])
        factor, inner = split(term)
        if isinstance(inner, ZeroMatrix):
            return self.another(name, inner, owner, path, zero(*inner.shape))
        if not isinstance(inner, MatrixSymbol):
            return term
        if inner in self.new and path_of(inner) == path and inner not in self.seen:
            self.seen.add(inner)
            self.own[self.new[inner]].append(self.new[inner])
            return term
        if inner not in self.new and inner not in self.seen and path_of(inner) == path:
            self.seen.add(inner)
            return term
        start = zero(*inner.shape) if inner in self.zeros else inner
        return product(factor, self.another(name, inner, owner, path, start))

    def another(self, name: str, inner: MatrixExpr, owner: Owner, path: Path, start: MatrixExpr) -> MatrixSymbol:
        """A block for one more place in a parameter, which starts as something else."""
        symbol = matrix(f"{name}~{len(self.more)}", inner.rows, inner.cols, path)
        self.more.append(Block(symbol.name, *self.home(name, owner, path), symbol))
        self.ties.append((symbol, start))
        if inner in self.new:
            self.own[self.new[inner]].append(symbol.name)
        return symbol
