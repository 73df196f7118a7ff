"""Every intermediate value of two small models, exact where that stays readable, and where they part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from sympy import Expr, Rational, S, exp, sqrt

from ..symbolic.architecture import HEADS, PRESETS, SUBLAYERS, Transformer, embedding, output, paper_model, stream
from ..symbolic.evaluate import Arithmetic, Array, Values, evaluate
from ..symbolic.floats import float_arithmetic
from ..symbolic.instances import Nested, grown, level_values
from ..symbolic.notation import latex
from ..symbolic.terms import Act, HeadSum, MatrixExpr, Norm, Softmax, matrix, scalar, substitute, subterms, total
from .counterexample import Counterexample
from .goals import growth
from .kernel import Equation

READABLE = 40  # operations in an exact entry that a reader still takes in
FLOATS = float_arithmetic()

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Value:
    """One intermediate: where, its formula, its entries in each model (None where a model has no such thing)."""

    place: str
    formula: str
    original: Array | None
    expanded: Array | None
    differs: bool


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
    eps_hat = Rational(Fraction(found.eps_hat)) if found.eps_hat else S.Zero
    model = with_scale(found.steps[0].old, hat)
    old_values = dict(recorded(model, rational(found.instance.old), Rational(found.instance.eps), labels))
    new_values = dict(recorded(model, hat, eps_hat, hat_labels))
    keys = list(old_values) + [key for key in new_values if key not in old_values]
    order = {key: i for i, key in enumerate(new_values)}
    keys.sort(key=lambda key: order.get(key, len(order)))
    E = stream_map(found)
    return Trace(tuple(compared(key, old_values.get(key), new_values.get(key), E) for key in keys))


def stream_map(found: Counterexample) -> Array | None:
    """The stream map of a single variant on its numbers, where it is known."""
    if len(found.steps) != 1:
        return None
    step, new = found.steps[0], found.instance.new[0]
    claim = growth(step.old, step.new, [Equation(*pair) for pair in step.constraints], step.stream_map)
    if claim is None or claim.stream_map is None:
        return None
    return evaluate(claim.stream_map, level_values(found.instance.old, new), FLOATS)


def compared(key: Key, old: Array | None, new: Array | None, E: Array | None) -> Value:
    """A value in both models; a wider stream is compared with X E, or where E is not known with [X 0]."""
    place, formula = key
    differs = False
    if old is not None and new is not None:
        a, b = (np.array(entries, dtype=object).astype(complex).real for entries in (old, new))
        if formula in stream_formulas() and E is not None and E.shape == (a.shape[1], b.shape[1]):
            a = a @ E
        elif a.shape != b.shape and a.shape[0] == b.shape[0] and formula in stream_formulas():
            a = np.pad(a, ((0, 0), (0, b.shape[1] - a.shape[1])))
        differs = a.shape == b.shape and not np.allclose(a, b, rtol=1e-9, atol=1e-9)
    return Value(place, formula, old, new, bool(differs))


# ---------------------------------------------------------------- the values of one model


def recorded(model: Transformer, nested: Nested, eps: Expr, labels: Sequence[str]) -> Iterator[tuple[Key, Array]]:
    """Every stage of the forward pass with its value; exact until it becomes unreadable, then decimal."""
    X, arithmetic = stream(model), EXACT
    outer = level_values(nested).with_(Values({"eps": eps}))
    value = evaluate(embedding(model), outer, arithmetic)
    yield ("input", latex(embedding(model))), value
    for label, layer in zip(labels, nested["layers"], strict=True):
        members = Values(members={HEADS: [head_values(head) for head in layer["heads"]]})
        own = outer.with_(level_values(layer)).with_(members)
        for sublayer in SUBLAYERS.values():
            f = sublayer(X, model.layer, model)
            arithmetic = arithmetic if readable(value) else FLOATS
            inside = in_arithmetic(own.with_(Values(matrices={"X": value})), arithmetic)
            yield from pieces(label, f, inside, arithmetic)
            value = evaluate(total(X, f), inside, arithmetic)
            yield (label, latex(after(X, f))), value
    arithmetic = arithmetic if readable(value) else FLOATS
    inside = in_arithmetic(outer.with_(Values(matrices={"X": value})), arithmetic)
    yield ("output", latex(output(X, model))), evaluate(output(X, model), inside, arithmetic)


SCALE = scalar("scale")


def with_scale(model: Transformer, grown_model: Nested) -> Transformer:
    """The model with its score factor by name, where the grown one has a factor of its own."""
    if not any("scale" in head for layer in grown_model["layers"] for head in layer["heads"]):
        return model
    heads = tuple(replace(family, scale=SCALE) for family in model.layer.heads)
    return replace(model, layer=replace(model.layer, heads=heads))


def head_values(head: Nested) -> Values:
    """A head's matrices, sizes and score factor."""
    found = level_values(head)
    return found.with_(Values({"scale": head.get("scale", 1 / sqrt(found.scalars["k"]))}))


def after(X: MatrixExpr, f: MatrixExpr) -> MatrixExpr:
    """X + f(X) with the norm abbreviated to Y."""
    return total(X, abbreviated(f))


def abbreviated(f: MatrixExpr) -> MatrixExpr:
    norm = next(term for term in subterms(f) if isinstance(term, Norm))
    return substitute(f, {norm: matrix("Y", *norm.shape)})


def pieces(label: str, f: MatrixExpr, values: Values, arithmetic: Arithmetic) -> Iterator[tuple[Key, Array]]:
    """The norm Y of a sublayer, and in terms of Y what stands in its softmax and activation."""
    norm = next(term for term in subterms(f) if isinstance(term, Norm))
    Y = evaluate(norm, values, arithmetic)
    yield (label, rf"Y = {latex(norm)}"), Y
    inside = values.with_(Values(matrices={"Y": Y}))
    for term in subterms(abbreviated(f)):
        if isinstance(term, HeadSum):
            for e, member in enumerate(values.members[term.family], 1):
                yield from nonlinear(f"{label}, head {e}", term.arg, inside.with_(member), arithmetic)
        elif isinstance(term, Act):
            yield from nonlinear(label, term, inside, arithmetic)


def nonlinear(label: str, term: MatrixExpr, values: Values, arithmetic: Arithmetic) -> Iterator[tuple[Key, Array]]:
    """What goes into each softmax or activation, and what comes out."""
    for part in subterms(term):
        if isinstance(part, (Act, Softmax)):
            yield (label, latex(part.arg)), evaluate(part.arg, values, arithmetic)
            yield (label, latex(part)), evaluate(part, values, arithmetic)


@cache
def stream_formulas() -> frozenset[str]:
    """The formulas whose values are the residual stream, or a norm of it: these have the stream's width."""
    found = set()
    for preset in PRESETS.values():
        model = paper_model(preset)
        X = stream(model)
        found.add(latex(embedding(model)))
        for sublayer in SUBLAYERS.values():
            f = sublayer(X, model.layer, model)
            found.add(latex(after(X, f)))
    return frozenset(found)


# ---------------------------------------------------------------- exact arithmetic


def _softmax(scores: Array) -> Array:
    powers = np.array([[exp(x) for x in row] for row in scores], dtype=object)
    return np.array([[x / sum(row) for x in row] for row in powers], dtype=object)


def _act(name: str, entries: Array) -> Array:
    return np.array([[x if x > 0 else S.Zero for x in row] for row in entries], dtype=object)


EXACT = Arithmetic(
    lambda scalar: scalar,
    _act,
    _softmax,
    lambda squares: np.array([1 / sqrt(x) for x in squares], dtype=object),
)


def rational(nested: Any) -> Any:
    """The same tables with every entry an exact rational number."""
    if isinstance(nested, Mapping):
        return {name: rational(entry) for name, entry in nested.items()}
    if isinstance(nested, list):
        return [rational(entry) for entry in nested]
    if isinstance(nested, np.ndarray):
        return np.array([[Rational(Fraction(float(x))) for x in row] for row in nested], dtype=object).reshape(
            nested.shape
        )
    return nested


def readable(value: Array) -> bool:
    return value.dtype == object and all(entry.count_ops() <= READABLE for entry in value.flat)


def in_arithmetic(values: Values, arithmetic: Arithmetic) -> Values:
    """The values in the numbers of an arithmetic."""
    if arithmetic is EXACT:
        return values
    matrices = {name: array.astype(float) for name, array in values.matrices.items()}
    members = {name: [in_arithmetic(m, arithmetic) for m in found] for name, found in values.members.items()}
    return Values(values.scalars, matrices, members, values.layers)
