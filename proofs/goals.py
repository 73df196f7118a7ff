"""The goals of an expansion: commuting squares for the pieces, and the model's statement from them.

The goals are made from the architecture's forward pass and the variant's rewrites, never from a
derivation.  `prove_growth` hands each to the prover; a theorem about the whole model is the claim.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..symbolic.architecture import (
    PIECES,
    SUBLAYERS,
    Transformer,
    embedding,
    norm,
    norm_name,
    norms_after,
    output,
    start,
    stream,
    transformer,
    transformer_layer,
)
from ..symbolic.terms import (
    Expr,
    MatrixExpr,
    MatrixSymbol,
    ZeroMatrix,
    block_rows,
    blocks,
    eye,
    factors,
    product,
    total,
    zero,
)
from .kernel import Context, Equation, KernelError, Step, Theorem, by_blocks, restate
from .prover import ASSEMBLE, STRATEGIES, WEIGHT_LIMIT, Chain, Derivation, chain, normal_form, prove, steps_of
from .rules import simplified, split, terms_of

WRITTEN_OUT = STRATEGIES[3]  # how a constraint is computed with, no other being used


@dataclass(frozen=True)
class Goal:
    """left = right, with what it is called and the earlier goals that it uses: as lemmas, or as all its parts.

    Or it is a constraint, the one of this number, written out.
    """

    name: str
    left: MatrixExpr
    right: MatrixExpr
    lemmas: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    constraint: int | None = None

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
    """E with I_hat + P_hat = (I + P) E, from the normal form of the left side: blocks a (I + P), (I + P) M and 0."""
    rows = block_rows(normal_form(context, embedding(new)))
    width = old.sizes["h"]
    cells = [_multiple_of(block, embedding(old), width) for block in rows[0]]
    if len(rows) != 1 or any(cell is None for cell in cells):
        return None
    return blocks([[cell for cell in cells if cell is not None]])


def _multiple_of(block: MatrixExpr, whole: MatrixExpr, width: Expr) -> MatrixExpr | None:
    """a M for a block a (I + P) M, such as a eye(h) for a (I + P), and 0 for a zero block; else None."""
    if isinstance(block, ZeroMatrix):
        return zero(width, block.cols)
    terms, wanted = terms_of(block), terms_of(whole)
    (after, last), (before, first) = split(terms[0]), split(wanted[0])
    word, start = factors(last), factors(first)
    if word[: len(start)] != start:
        return None
    factor, M = simplified(after / before), word[len(start) :]
    read = total(*(product(factor, part, *M) for part in wanted)), product(factor, whole, *M)
    return product(factor, *(M or [eye(width)])) if block in read else None


def goals(claim: Growth) -> Iterator[Goal]:
    """The goals in an order in which each uses only earlier ones; the last is the claim itself."""
    old, new, X = claim.old, claim.new, stream(claim.old)
    E = () if claim.stream_map is None else (claim.stream_map,)
    XE = product(X, *E)
    yield from _written_out(claim.hypotheses)
    yield from _input_goals(old, new, XE, X, E)
    after = norms_after(new)
    for name, sublayer in SUBLAYERS.items():
        yield from _norm_goals(name, claim, XE, X, E)
        right = product(sublayer(X, old.layer, old), *E)
        yield Goal(name, sublayer(XE, new.layer, new), right, (f"norm of {name}",))
        if name in after:
            left, right = after[name](XE, new.layer, new), product(after[name](X, old.layer, old), *E)
            yield Goal(f"norm after {name}", left, right)
    layer = transformer_layer(XE, new.layer, new), product(transformer_layer(X, old.layer, old), *E)
    yield Goal("layer", *layer, parts=(*SUBLAYERS, *(f"norm after {name}" for name in after)))
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


@lru_cache(maxsize=1024)
def written_out(side: MatrixExpr) -> Chain:
    """What computing makes of one side of a constraint, step by step."""
    return chain(Context(), [(None, side)], WRITTEN_OUT)


def _written_out(hypotheses: Sequence[Equation]) -> Iterator[Goal]:
    """The constraints of which computing makes something else: products of sums, products of blocks."""
    for i, equation in enumerate(hypotheses):
        left, right = (written_out(side)[-1][1] for side in (equation.left, equation.right))
        if Equation(left, right) != equation and left != right:
            yield Goal(f"constraint {i + 1}, written out", left, right, constraint=i)


def restated(context: Context, goal: Goal, left: Sequence[Step], right: Sequence[Step]) -> Derivation:
    """The steps that write out both sides of a constraint, with the theorem that they make of it.

    Raises KernelError for steps that make something else of it than the goal says.
    """
    assert goal.constraint is not None
    theorem, equation = restate(context, goal.constraint, left, right), context.hypotheses[goal.constraint]
    if (theorem.left, theorem.right) != (goal.left, goal.right):
        raise KernelError(f"the steps do not write the constraint out as the goal {goal.name!r} does")
    return Derivation(equation.left, equation.right, tuple(left), tuple(right), theorem)


def _input_goals(
    old: Transformer, new: Transformer, XE: MatrixExpr, X: MatrixSymbol, E: Sequence[MatrixExpr]
) -> Iterator[Goal]:
    """The start of the stream; where a norm follows the embedding, each by itself and then both."""
    left, right = start(embedding(new), new), product(start(embedding(old), old), *E)
    if left == embedding(new):
        yield Goal("input", left, right)
        return
    yield Goal("embedding", embedding(new), product(embedding(old), *E))
    yield Goal("norm of the embedding", start(XE, new), product(start(X, old), *E))
    yield Goal("input", left, right, parts=("embedding", "norm of the embedding"))


def _norm_goals(name: str, claim: Growth, XE: MatrixExpr, X: MatrixSymbol, E: Sequence[MatrixExpr]) -> Iterator[Goal]:
    """A goal for the norm that a sublayer reads, where the expansion changes it."""
    old, new = claim.old, claim.new
    if old.preset["placement"] not in ("pre", "sandwich"):
        return
    own = norm_name(PIECES[name][0], old)
    left, right = norm(XE, own, new.layer.weights, new), norm(X, own, old.layer.weights, old)
    if left != right and left != XE:
        after = [left_by_a_norm(Context(claim.hypotheses, (), X), left, one) for one in E]
        yield Goal(f"norm of {name}", left, product(right, *after))


@lru_cache(maxsize=256)
def left_by_a_norm(context: Context, normed: MatrixExpr, E: MatrixExpr) -> MatrixExpr:
    """The stream map after a norm: 0 in place of each of its blocks of which the norm leaves nothing."""
    (before,) = block_rows(E)[:1]
    if sum(not isinstance(block, ZeroMatrix) for block in before) < 2:
        return E
    after = block_rows(normal_form(context, normed, STRATEGIES[2]))[0]
    if len(after) != len(before):
        return E
    kept = zip(before, after, strict=True)
    return blocks([[zero(*block.shape) if isinstance(left, ZeroMatrix) else block for block, left in kept]])


def prove_growth(
    claim: Growth, strategies: Sequence[Sequence[str]] = STRATEGIES, known: Sequence[Proved] = ()
) -> tuple[Proved, ...]:
    """Every goal with its derivation; the claim is proved if the last one has a theorem.

    `known` are goals proved under the same hypotheses; those that are the same here are taken over.
    A lemma that failed is left out where the goal that wanted it was proved without it.
    """
    done = {proved.goal.name: proved for proved in proving(claim, strategies, known)}
    needless = {name for proved in done.values() if proved.theorem is not None for name in proved.goal.lemmas}
    return tuple(p for name, p in done.items() if p.theorem is not None or name not in needless)


def proving(
    claim: Growth, strategies: Sequence[Sequence[str]], known: Sequence[Proved], most: int = WEIGHT_LIMIT
) -> Iterator[Proved]:
    """One goal after the other, with its derivation."""
    before = {proved.goal: proved for proved in known if proved.theorem is not None}
    done: dict[str, Proved] = {}
    for goal in goals(claim):
        here = ASSEMBLE if goal.parts else strategies
        context = context_of(goal, claim, done)
        done[goal.name] = before.get(goal) or Proved(goal, derivation_of(goal, context, here, most))
        yield done[goal.name]


def derivation_of(goal: Goal, context: Context, strategies: Sequence[Sequence[str]], most: int) -> Derivation:
    """What the prover finds for a goal."""
    if goal.constraint is None:
        return prove(context, goal.left, goal.right, strategies, most)
    equation = context.hypotheses[goal.constraint]
    return restated(context, goal, *(steps_of(written_out(side)) for side in (equation.left, equation.right)))


def wholly_proved(
    claim: Growth, strategies: Sequence[Sequence[str]], most: int, known: Sequence[Proved] = ()
) -> tuple[Proved, ...] | None:
    """Every goal with its derivation, or None at the first that fails and is not merely of use to another."""
    lemmas = {name for goal in goals(claim) for name in goal.lemmas}
    found = []
    for proved in proving(claim, strategies, known, most):
        if proved.theorem is not None:
            found.append(proved)
        elif proved.goal.name not in lemmas:
            return None
    return tuple(found)


def context_of(goal: Goal, claim: Growth, done: dict[str, Proved]) -> Context:
    """What the derivation of a goal may use: the hypotheses, and the theorems of earlier goals."""
    theorems = (done[name].theorem for name in goal.uses if name in done)
    lemmas = tuple(theorem for theorem in theorems if theorem is not None)
    restatements = (earlier.theorem for earlier in done.values() if earlier.goal.constraint is not None)
    facts = tuple(fact for theorem in restatements if theorem is not None for fact in by_blocks(theorem))
    return Context(claim.hypotheses, lemmas, stream(claim.old), facts)
