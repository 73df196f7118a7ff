"""Every intermediate value of two small models, exact where that stays readable, and where they part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from sympy import Float, Rational, S, cos, exp, sin, sqrt

from ..symbolic.architecture import (
    FAMILIES,
    PIECES,
    SUBLAYERS,
    Transformer,
    default_scalar,
    embedding,
    levels,
    norm,
    norm_name,
    norms_after,
    output,
    paper_model,
    start,
    stream,
)
from ..symbolic.evaluate import Arithmetic, Array, Values, evaluate, exact
from ..symbolic.expand import Expansion
from ..symbolic.floats import ACTIVATIONS, float_arithmetic, fraction_of
from ..symbolic.instances import Nested, expert_values, grown, level_values, with_matrices
from ..symbolic.notation import latex
from ..symbolic.preset import Preset
from ..symbolic.terms import (
    Act,
    HeadSum,
    MatrixExpr,
    MatrixSymbol,
    Softmax,
    children,
    is_scalar,
    matrix,
    scalar,
    substitute,
    total,
)
from .counterexample import Counterexample
from .goals import growth
from .kernel import Equation

ROUNDING = 1e-12  # two values that differ by less are the same
READABLE = 40  # operations in an exact entry that a reader still takes in
FLOATS = float_arithmetic()

Key = tuple[str, str, MatrixExpr]


@dataclass(frozen=True)
class Value:
    """One intermediate: where, its formula, its entries in each model (None where a model has no such thing).

    `same` is None where the two cannot be compared.
    """

    place: str
    formula: str
    term: MatrixExpr
    original: Array | None
    expanded: Array | None
    same: bool | None

    @property
    def differs(self) -> bool:
        return self.same is False


@dataclass(frozen=True)
class Trace:
    """All intermediates in order, and the first that differs."""

    values: tuple[Value, ...]

    @property
    def first_divergence(self) -> Value | None:
        return next((value for value in self.values if value.differs), None)


def trace(found: Counterexample) -> Trace:
    """Both models of a counterexample, value by value."""
    labels = [f"layer {n}" for n in range(1, len(found.instance.old["layers"]) + 1)]
    hat_labels = list(labels)
    hat: Nested = rational(found.instance.old)
    for step, new in zip(found.steps, found.instance.new, strict=True):
        hat = grown(step, hat, rational(new), EXACT)
        if "added_layer" in new:
            hat_labels.insert(new["added_layer"]["position"], "the new layer")
    model = with_scale(found.steps[0].old, hat)
    old_values = dict(recorded(model, model, rational(found.instance.old), labels))
    sizes = {name: n for new in found.instance.new for name, n in new["sizes"].items()}
    own = {name: n for name, n in sizes.items() if name not in model.sizes}  # that bodies may speak of
    sized = {**hat, "scalars": own | hat["scalars"]}
    new_values = dict(recorded(with_scale(becoming(found.steps), hat), model, sized, hat_labels))
    keys = in_order(old_values, new_values)
    E, streams = stream_map(found), stream_formulas(model.preset)
    pairs = ((key, old_values.get(key), new_values.get(key)) for key in keys)
    return Trace(tuple(compared(*pair, E if pair[0][1] in streams else None, pair[0][1] in streams) for pair in pairs))


def in_order(old: Iterable[Key], new: Iterable[Key]) -> list[Key]:
    """The keys of both models, those of the old one alone after the one before them."""
    places, last = {key: (i, 0) for i, key in enumerate(new)}, (-1, 0)
    for i, key in enumerate(old):
        last = places.setdefault(key, (last[0], i + 1))
    return sorted(places, key=lambda key: places[key])


def stream_map(found: Counterexample) -> Array | None:
    """The stream map of a single variant on its numbers, where it is known."""
    if len(found.steps) != 1:
        return None
    step, new = found.steps[0], found.instance.new[0]
    claim = growth(step.old, step.new, [Equation(*pair) for pair in step.constraints], step.stream_map)
    if claim is None or claim.stream_map is None:
        return None
    return evaluate(claim.stream_map, level_values(found.instance.old, new), FLOATS)


def compared(key: Key, old: Array | None, new: Array | None, E: Array | None, streams: bool) -> Value:
    """A value in both models; a wider stream is compared with X E, or where E is not known with [X 0]."""
    place, formula, term = key
    same = None
    if old is not None and new is not None:
        a, b = (np.array(entries, dtype=object).astype(complex).real for entries in (old, new))
        if E is not None and E.shape == (a.shape[1], b.shape[1]):
            a = a @ E
        elif streams and a.shape[0] == b.shape[0] and a.shape[1] < b.shape[1]:
            a = np.pad(a, ((0, 0), (0, b.shape[1] - a.shape[1])))
        same = bool(np.allclose(a, b, rtol=ROUNDING, atol=ROUNDING)) if a.shape == b.shape else None
    return Value(place, formula, term, old, new, same)


# ---------------------------------------------------------------- the values of one model


def becoming(steps: Sequence[Expansion]) -> Transformer:
    """The architecture of the grown model, every matrix by its name; sizes are written as those of the old model."""
    new = steps[-1].new
    model = paper_model(new.preset)
    sizes = {size: model.sizes[name] for name, size in new.sizes.items() if name in model.sizes}
    bodies = {name: body.xreplace(sizes) for name, body in new.layer.bodies.items()}
    own = {name: term.xreplace(sizes) for name, term in new.layer.weights.items() if name not in model.layer.weights}
    return replace(model, layer=replace(model.layer, weights={**model.layer.weights, **own}, bodies=bodies))


def recorded(
    model: Transformer, shown: Transformer, nested: Nested, labels: Sequence[str]
) -> Iterator[tuple[Key, Array]]:
    """Every stage of the forward pass with its value; exact until it becomes unreadable, then decimal.

    The steps of the stream are named as those of `shown` are.
    """
    X, outer = stream(model), level_values(nested)
    begun = start(embedding(model), model)
    value = evaluate(begun, outer, EXACT)
    yield placed("input", begun), value
    for label, layer in zip(labels, nested["layers"], strict=True):
        own = outer.with_(members(layer, levels(model.preset)[1:], outer, model))
        for stage, named in zip(stages(X, model), stages(X, shown), strict=True):
            arithmetic = EXACT if readable(value) else FLOATS
            inside = in_arithmetic(own.with_(Values(matrices={"X": value})), arithmetic)
            for body, before in stage.parts:
                yield from pieces(label, body, before, normed(X, model), inside, arithmetic)
            value = evaluate(stage.term, inside, arithmetic)
            yield placed(label, named.shown), value
    arithmetic = EXACT if readable(value) else FLOATS
    inside = in_arithmetic(outer.with_(Values(matrices={"X": value})), arithmetic)
    yield placed("output", output(X, model)), evaluate(output(X, model), inside, arithmetic)


def placed(place: str, term: MatrixExpr) -> Key:
    """Where a value stands, its formula and its term."""
    return place, latex(term), term


def members(level: Nested, families: Sequence[str], outer: Values, model: Transformer) -> Values:
    """The values of a level and of the members within it; a head has its score factor."""
    own = level_values(level)
    if families:
        found = [members(one, families[1:], outer.with_(own), model) for one in level[families[0]]]
        return own.with_(Values(members={families[0]: found, **expert_values(level)}))
    factor = default_scalar("scale", model.preset, model.sizes)
    return own.with_(Values({"scale": level.get("scale", exact(factor, outer.with_(own)))}))


SCALE = scalar("scale")


def with_scale(model: Transformer, grown_model: Nested) -> Transformer:
    """The model with its score factor by name, where the grown one has a factor of its own."""
    if not any("scale" in head for layer in grown_model["layers"] for head in innermost(layer)):
        return model
    heads = tuple(replace(family, scale=SCALE) for family in model.layer.heads)
    return replace(model, layer=replace(model.layer, heads=heads))


def innermost(level: Nested) -> Iterator[Nested]:
    """The heads of a layer, in their groups or not."""
    inner = [one for family in FAMILIES for one in level.get(family, ())]
    yield from (head for one in inner for head in innermost(one)) if inner else [level]


@dataclass(frozen=True)
class Stage:
    """A step of the stream: the next stream as a term in X, as it is shown, and what is computed on the way."""

    term: MatrixExpr
    shown: MatrixExpr
    parts: tuple[tuple[MatrixExpr, MatrixExpr | None], ...] = ()  # a function of Y, and what Y is (None: of X)


def stages(X: MatrixSymbol, model: Transformer) -> Iterator[Stage]:
    """The steps of one layer, in order."""
    layer, after, Y = model.layer, norms_after(model), normed(X, model)
    found = [(name, sublayer(X, layer, model), reads(X, name, model)) for name, sublayer in SUBLAYERS.items()]
    shown = {name: substitute(f, {before: Y}) if before is not None else f for name, f, before in found}
    if model.preset["parallel"]:
        parts = tuple((shown[name], before) for name, _, before in found)
        yield Stage(total(X, *(f for _, f, _ in found)), total(X, *shown.values()), parts)
        return
    for name, f, before in found:
        yield Stage(total(X, f), total(X, shown[name]), ((shown[name], before),))
        if name in after:
            following = after[name](X, layer, model)
            yield Stage(following, following)


def normed(X: MatrixSymbol, model: Transformer) -> MatrixSymbol:
    """Y, what a sublayer reads; no matrix in the body of a sublayer has its name."""
    return matrix("Y" if "Y" not in model.layer.weights else "Y~norm", *X.shape)


def reads(X: MatrixSymbol, name: str, model: Transformer) -> MatrixExpr | None:
    """The norm that a sublayer reads, if it reads one."""
    before = norm(X, norm_name(PIECES[name][0], model), model.layer.weights, model)
    return before if before != X and model.preset["placement"] in ("pre", "sandwich") else None


def pieces(
    label: str,
    body: MatrixExpr,
    before: MatrixExpr | None,
    Y: MatrixSymbol,
    values: Values,
    arithmetic: Arithmetic,
) -> Iterator[tuple[Key, Array]]:
    """The norm Y of a sublayer, and in terms of Y what stands in its softmax and activation."""
    if before is not None:
        found = evaluate(before, values, arithmetic)
        yield (label, rf"{latex(Y)} = {latex(before)}", before), found
        values = values.with_(Values(matrices={Y.name: found}))
    yield from inner(label, body, values, arithmetic)


def inner(label: str, term: MatrixExpr, values: Values, arithmetic: Arithmetic) -> Iterator[tuple[Key, Array]]:
    """What goes into each softmax or activation, and what comes out, head by head."""
    if isinstance(term, HeadSum):
        for e, member in enumerate(values.members[term.family], 1):
            yield from inner(f"{label}, {term.family[:-1]} {e}", term.arg, values.with_(member), arithmetic)
        return
    if isinstance(term, (Act, Softmax)):
        yield placed(label, term.arg), evaluate(term.arg, values, arithmetic)
        yield placed(label, term), evaluate(term, values, arithmetic)
    for part in children(term):
        if not is_scalar(part):
            yield from inner(label, part, values, arithmetic)


@cache
def stream_formulas(preset: Preset) -> frozenset[str]:
    """The formulas whose values are the residual stream: these have the stream's width."""
    model = paper_model(preset)
    return frozenset({latex(start(embedding(model), model)), *(latex(s.shown) for s in stages(stream(model), model))})


# ---------------------------------------------------------------- exact arithmetic


def _softmax(scores: Array) -> Array:
    powers = np.array([[exp(x) for x in row] for row in scores], dtype=object)
    return np.array([[x / sum(row) for x in row] for row in powers], dtype=object)


def _act(name: str, entries: Array) -> Array:
    if name == "relu":
        return np.array([[x if x > 0 else S.Zero for x in row] for row in entries], dtype=object)
    return np.array([[Float(y) for y in row] for row in ACTIVATIONS[name](entries.astype(float))], dtype=object)


def _turn(angles: Array) -> tuple[Array, Array]:
    each = np.vectorize(lambda x: (cos(x), sin(x)), otypes=[object, object])
    found: tuple[Array, Array] = each(angles)
    return found


EXACT = Arithmetic(
    lambda scalar: scalar,
    _act,
    _softmax,
    lambda squares: np.array([1 / sqrt(x) for x in squares], dtype=object),
    _turn,
)


def rational(nested: Any) -> Any:
    """The same tables with every entry an exact rational number."""
    return with_matrices(nested, in_rationals)


def in_rationals(entries: Array) -> Array:
    exact_rows = [[Rational(fraction_of(float(x))) for x in row] for row in entries]
    return np.array(exact_rows, dtype=object).reshape(entries.shape)


def readable(value: Array) -> bool:
    return value.dtype == object and all(entry.count_ops() <= READABLE for entry in value.flat)


def in_arithmetic(values: Values, arithmetic: Arithmetic) -> Values:
    """The values in the numbers of an arithmetic."""
    if arithmetic is EXACT:
        return values
    matrices = {name: array.astype(float) for name, array in values.matrices.items()}
    members = {name: [in_arithmetic(m, arithmetic) for m in found] for name, found in values.members.items()}
    return Values(values.scalars, matrices, members, values.layers)
