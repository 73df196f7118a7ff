"""The goals of an expansion: commuting squares for the pieces, and the model's statement from them.

The goals are made from the architecture's forward pass and the variant's rewrites, never from a
derivation.  `prove_growth` hands each to the prover; a theorem about the whole model is the claim.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..symbolic.architecture import (
    SUBLAYERS,
    Transformer,
    embedding,
    output,
    stream,
    transformer,
    transformer_layer,
)
from ..symbolic.terms import (
    Expr,
    MatrixExpr,
    MatrixSymbol,
    Norm,
    ZeroMatrix,
    block_rows,
    blocks,
    eye,
    product,
    subterms,
    total,
    zero,
)
from .kernel import Context, Equation, Theorem, split
from .prover import ASSEMBLE, STRATEGIES, Derivation, normal_form, prove


@dataclass(frozen=True)
class Goal:
    """left = right, with what it is called and the earlier goals that it uses: as lemmas, or as all its parts."""

    name: str
    left: MatrixExpr
    right: MatrixExpr
    lemmas: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    @property
    def uses(self) -> tuple[str, ...]:
        return self.lemmas + self.parts


@dataclass(frozen=True)
class Growth:
    """A claim: the new model computes what the old one does, under the hypotheses, with this stream map."""

    old: Transformer
    new: Transformer
    hypotheses: tuple[Equation, ...]
    stream_map: MatrixExpr | None  # None: the stream stays as it is


@dataclass(frozen=True)
class Proved:
    """A goal with its derivation; the theorem in it is None where the prover failed."""

    goal: Goal
    derivation: Derivation

    @property
    def theorem(self) -> Theorem | None:
        return self.derivation.theorem


def growth(
    old: Transformer, new: Transformer, hypotheses: Sequence[Equation], given: MatrixExpr | None
) -> Growth | None:
    """The claim with its stream map, given or read off the input; None where it cannot be read off."""
    if given is None and embedding(new) == embedding(old):
        return Growth(old, new, tuple(hypotheses), None)
    found = given if given is not None else inferred_map(old, new, Context(tuple(hypotheses)))
    return None if found is None else Growth(old, new, tuple(hypotheses), found)


def inferred_map(old: Transformer, new: Transformer, context: Context) -> MatrixExpr | None:
    """E with I_hat + P_hat = (I + P) E, from the normal form of the left side: blocks a (I + P) and 0."""
    rows = block_rows(normal_form(context, embedding(new)))
    width = old.sizes["h"]
    cells = [_multiple_of(block, embedding(old), width) for block in rows[0]]
    if len(rows) != 1 or any(cell is None for cell in cells):
        return None
    return blocks([[cell for cell in cells if cell is not None]])


def _multiple_of(block: MatrixExpr, whole: MatrixExpr, width: Expr) -> MatrixExpr | None:
    """a eye(h) for a block a (I + P), 0 for a zero block, else None."""
    if isinstance(block, ZeroMatrix):
        return zero(width, block.cols)
    factor = split(block)[0] if split(block)[1] == whole else split(block.args[0])[0] if block.args else None
    if factor is None or block not in (
        product(factor, whole),
        total(*(product(factor, part) for part in whole.args)),
    ):
        return None
    return product(factor, eye(width))


def goals(claim: Growth) -> Iterator[Goal]:
    """The goals in an order in which each uses only earlier ones; the last is the claim itself."""
    old, new, X = claim.old, claim.new, stream(claim.old)
    E = () if claim.stream_map is None else (claim.stream_map,)
    XE = product(X, *E)
    yield Goal("input", embedding(new), product(embedding(old), *E))
    for name, sublayer in SUBLAYERS.items():
        left, right = sublayer(XE, new.layer, new), sublayer(X, old.layer, old)
        yield from _norm_goals(name, left, right, XE, X, E)
        yield Goal(name, left, product(right, *E), (f"norm of {name}",))
    layer = transformer_layer(XE, new.layer, new), product(transformer_layer(X, old.layer, old), *E)
    yield Goal("layer", *layer, parts=tuple(SUBLAYERS))
    kept = {layer.label: layer for layer in old.inserted}
    added = [f"new layer {layer.label.removeprefix('layer')}" for layer in new.inserted]
    for name, inserted in zip(added, new.inserted, strict=True):
        before = kept.get(inserted.label)  # a layer that the old model has as well does what it did; any other nothing
        for piece, sublayer in SUBLAYERS.items():
            right = zero(*X.shape) if before is None else sublayer(X, before, old)
            yield Goal(f"{piece} of {name}", sublayer(XE, inserted, new), product(right, *E))
        right = X if before is None else transformer_layer(X, before, old)
        pieces = tuple(f"{piece} of {name}" for piece in SUBLAYERS)
        yield Goal(name, transformer_layer(XE, inserted, new), product(right, *E), pieces)
    yield Goal("output", output(XE, new), output(X, old))
    yield Goal("model", transformer(new), transformer(old), parts=("input", "layer", *added, "output"))


def _norm_goals(
    name: str, left: MatrixExpr, right: MatrixExpr, XE: MatrixExpr, X: MatrixSymbol, E: Sequence[MatrixExpr]
) -> Iterator[Goal]:
    """A goal for the one norm of a sublayer, where the expansion changes it."""
    new = {term for term in subterms(left) if isinstance(term, Norm) and term.arg == XE}
    old = {term for term in subterms(right) if isinstance(term, Norm) and term.arg == X}
    if len(new) == len(old) == 1 and new != old:
        yield Goal(f"norm of {name}", new.pop(), product(old.pop(), *E))


def prove_growth(
    claim: Growth, strategies: Sequence[Sequence[str]] = STRATEGIES, known: Sequence[Proved] = ()
) -> tuple[Proved, ...]:
    """Every goal with its derivation; the claim is proved if the last one has a theorem.

    `known` are goals proved under the same hypotheses; those that are the same here are taken over.
    A lemma that failed is left out where the goal that wanted it was proved without it.
    """
    before = {proved.goal: proved for proved in known if proved.theorem is not None}
    done: dict[str, Proved] = {}
    for goal in goals(claim):
        here = ASSEMBLE if goal.parts else strategies
        done[goal.name] = before.get(goal) or Proved(
            goal, prove(context_of(goal, claim, done), goal.left, goal.right, here)
        )
    needless = {name for proved in done.values() if proved.theorem is not None for name in proved.goal.lemmas}
    return tuple(p for name, p in done.items() if p.theorem is not None or name not in needless)


def context_of(goal: Goal, claim: Growth, done: dict[str, Proved]) -> Context:
    """What the derivation of a goal may use: the hypotheses, and the theorems of earlier goals."""
    theorems = (done[name].theorem for name in goal.uses if name in done)
    return Context(claim.hypotheses, tuple(theorem for theorem in theorems if theorem is not None), stream(claim.old))
