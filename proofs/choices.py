"""What an initialiser may choose for its new blocks, each choice an equation for every instance of a block.

The vocabulary: a block is zero; it equals another new block, or its opposite; it is a multiple of an old
parameter, by any factor.  Which of these an enumeration uses is up to the user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sympy import Symbol

from ..symbolic.architecture import SCOPES, Heads, Layer, Owner
from ..symbolic.expand import Block, Expansion
from ..symbolic.terms import Expr, MatrixExpr, Transpose, ZeroMatrix, negative, product, same_shape, zero
from .rules import split

Pair = tuple[MatrixExpr, MatrixExpr]


@dataclass(frozen=True)
class Choice:
    """An equation that the initialiser may make true: its text, the blocks it speaks of, and its instances.

    `factor` is the scalar in it that may be any number; None where there is none.
    """

    text: str
    blocks: tuple[str, ...]
    pairs: tuple[Pair, ...]
    factor: Symbol | None = None

    @property
    def label(self) -> str:
        """What stands for the choice in a list: a block that is zero by its name, any other equation whole."""
        return self.text.removesuffix(" = 0")

    def at(self, number: Expr) -> tuple[Pair, ...]:
        """The instances with a number for the factor."""
        return self.pairs if self.factor is None else tuple((a, product(number, split(b)[1])) for a, b in self.pairs)


def zeros(step: Expansion) -> Iterator[Choice]:
    """M = 0, for each new block."""
    for name, instances in by_name(step).items():
        yield Choice(f"{name} = 0", (name,), tuple((b.symbol, zero(*b.symbol.shape)) for b in instances))


def equals(step: Expansion) -> Iterator[Choice]:
    """M = K, for each two new blocks of one shape that belong together."""
    for first, second in pairs_of(step):
        yield Choice(f"{first[0].name} = {second[0].name}", names(first, second), matched(first, second))


def opposites(step: Expansion) -> Iterator[Choice]:
    """M = -K, likewise."""
    for first, second in pairs_of(step):
        pairs = tuple((a, negative(b)) for a, b in matched(first, second))
        yield Choice(f"{first[0].name} = -{second[0].name}", names(first, second), pairs)


def multiples(step: Expansion) -> Iterator[Choice]:
    """M = t W, for each old parameter W of its shape, with any number t."""
    for name, instances in by_name(step).items():
        for parameter in old_parameters(step, instances[0].owner):
            found = [old_parameters(step, block.owner).get(parameter) for block in instances]
            factor = Symbol(f"t_{name}_{parameter}", real=True)
            if all(W is not None and same_shape(b.symbol, W) for b, W in zip(instances, found, strict=True)):
                pairs = tuple((b.symbol, product(factor, W)) for b, W in zip(instances, found, strict=True))
                yield Choice(f"{name} = t {parameter}", (name,), pairs, factor)


VOCABULARY: Mapping[str, Callable[[Expansion], Iterator[Choice]]] = {
    "zero": zeros,
    "equal": equals,
    "opposite": opposites,
    "multiple": multiples,
}


def choices(step: Expansion, vocabulary: Sequence[str] = ("zero",)) -> tuple[Choice, ...]:
    """Every choice that the words of a vocabulary make of an expansion's new blocks."""
    return tuple(choice for word in vocabulary for choice in VOCABULARY[word](step))


def given(step: Expansion) -> tuple[frozenset[str], tuple[Pair, ...]]:
    """The blocks that a variant's constraints set to zero, and its other constraints, which stay in force."""
    names = {block.symbol: block.name for block in step.blocks}
    zeros = {pair: names.get(zeroed(pair)) for pair in step.constraints}
    return frozenset(filter(None, zeros.values())), tuple(pair for pair, name in zeros.items() if name is None)


def zeroed(pair: Pair) -> Expr | None:
    """What an equation sets to zero: M of a M = 0, a M' = 0 and 0 = a M, with a number a that is not zero."""
    sides = [side for side in pair if not isinstance(side, ZeroMatrix)]
    if len(sides) != 1 or not split(sides[0])[0].is_nonzero:
        return None
    inner = split(sides[0])[1]
    return inner.arg if isinstance(inner, Transpose) else inner


def constrained(step: Expansion, pairs: Sequence[Pair]) -> Expansion:
    """The expansion with other constraints."""
    return replace(step, constraints=tuple(pairs), constraint_sources=())


# ---------------------------------------------------------------- instances that belong together


def by_name(step: Expansion) -> dict[str, tuple[Block, ...]]:
    """The instances of each declared block."""
    found: dict[str, tuple[Block, ...]] = {}
    for block in step.blocks:
        found[block.name] = (*found.get(block.name, ()), block)
    return found


def pairs_of(step: Expansion) -> Iterator[tuple[tuple[Block, ...], tuple[Block, ...]]]:
    """Each two blocks of one shape with the same owners."""
    found = list(by_name(step).values())
    for i, first in enumerate(found):
        for second in found[i + 1 :]:
            owners = [block.owner for block in first] == [block.owner for block in second]
            if owners and all(same_shape(a.symbol, b.symbol) for a, b in zip(first, second, strict=True)):
                yield first, second


def matched(first: Sequence[Block], second: Sequence[Block]) -> tuple[Pair, ...]:
    return tuple((a.symbol, b.symbol) for a, b in zip(first, second, strict=True))


def names(first: Sequence[Block], second: Sequence[Block]) -> tuple[str, str]:
    return first[0].name, second[0].name


def old_parameters(step: Expansion, owner: Owner) -> dict[str, MatrixExpr]:
    """The old parameters that a new block of this owner may be built from: the model's, its layer's, its heads'."""
    found: dict[str, MatrixExpr] = dict(step.old.weights)
    layer: Layer | None = next((x for x in (step.old.layer, *step.old.inserted) if owner[:1] == (x.label,)), None)
    if layer is not None and len(owner) > SCOPES.index("model"):
        found |= layer.weights
        heads: Heads | None = next((x for x in layer.heads if owner[1:] == (x.label,)), None)
        found |= heads.weights if heads is not None else {}
    return found
