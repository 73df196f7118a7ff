"""Numbers judged exactly: constraints and grown matrices in fractions, roots kept as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from sympy import Expr, expand, sympify

from ..symbolic.evaluate import Arithmetic, Array, Values, evaluate
from ..symbolic.expand import Expansion
from ..symbolic.floats import ACTIVATIONS, LARGEST, fraction_of
from ..symbolic.instances import Nested, grown, with_matrices
from .kernel import Equation

CLOSE = 1e-12  # relative: an entry that was rounded a few times


def number(scalar: Expr) -> Any:
    """An exact scalar: a fraction where it is one, else the sympy number."""
    return Fraction(int(scalar.p), int(scalar.q)) if scalar.is_Rational else scalar


class InexactError(ValueError):
    """A value that is no fraction and no root."""


def act(name: str, entries: Array) -> Array:
    """ReLU is exact; what another function makes of a fraction is no fraction, but at 0.  Raises InexactError."""
    if name != "relu" and any(entry != 0 for entry in entries.flat):
        raise InexactError(name)
    return relu(entries) if name == "relu" else rounded_act(name, entries)


def relu(entries: Array) -> Array:
    return np.array([[max(entry, Fraction(0)) for entry in row] for row in entries], dtype=object)


def rounded_act(name: str, entries: Array) -> Array:
    """The function of the entries rounded to floating point, as fractions; ReLU as it is."""
    return relu(entries) if name == "relu" else in_fractions(ACTIVATIONS[name](entries.astype(float)))


def impossible(*entries: Array) -> Any:
    raise TypeError("no constraint and no rewrite has a softmax, a norm or a rotation")


EXACT = Arithmetic(number, act, impossible, impossible, impossible)
NEARLY = replace(EXACT, act=rounded_act)  # for what need not be exact, but is computed otherwise than in floats


def fractions(nested: Any) -> Any:
    """The same tables with every entry a fraction."""
    return with_matrices(nested, in_fractions)


def in_fractions(entries: Array) -> Array:
    found = np.empty(entries.shape, dtype=object)
    for index in np.ndindex(entries.shape):
        found[index] = fraction_of(float(entries[index]))
    return found


def rounded_fractions(entries: Array) -> Array:
    """The entries, those that are a short fraction but for a few roundings as that fraction rounded once."""
    found = np.vectorize(lambda entry: float(Fraction(entry).limit_denominator(LARGEST)), otypes=[float])(entries)
    return np.asarray(np.where(abs(found - entries) <= CLOSE * (1 + abs(entries)), found, entries))


def holds_exactly(equation: Equation, values: Values) -> bool:
    """Whether an equation is true of fractions, without any rounding."""
    try:
        left, right = (evaluate(side, values, EXACT) for side in (equation.left, equation.right))
    except InexactError:
        return False
    return all(same(a, b) for a, b in zip(left.flat, right.flat, strict=True))


def same(a: Any, b: Any) -> bool:
    return bool(a == b) or (isinstance(a - b, Expr) and expand(sympify(a - b)) == 0)


def grown_exactly(step: Expansion, model: Nested, new: Nested) -> Nested:
    """A variant's rewrite of a model of fractions, exact but for functions that are not."""
    return grown(step, model, new, NEARLY)


def is_rounded(exact: Any, floats: Any) -> bool:
    """Whether tables in floating point are exact ones up to a few roundings; what is 0 exactly is 0."""
    if isinstance(exact, Mapping):
        return all(is_rounded(entry, floats[name]) for name, entry in exact.items())
    if isinstance(exact, list):
        return all(is_rounded(a, b) for a, b in zip(exact, floats, strict=True))
    if isinstance(exact, np.ndarray):
        return all(abs(float(a) - b) <= CLOSE * abs(float(a)) for a, b in zip(exact.flat, floats.flat, strict=True))
    return True
