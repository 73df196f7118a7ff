"""Floating-point arithmetic for terms: each exact scalar is rounded once, to the nearest number."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from math import erf
from typing import Any

import numpy as np
from sympy import Expr

from .evaluate import Arithmetic, Array, SizeError

BITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8, "complex128": 53}
LARGEST = 1000  # denominator of a short fraction
_GUARD = 200  # binary digits that decide the rounding of an irrational scalar


def float_arithmetic(dtype: Any = np.float64) -> Arithmetic:
    """numpy numbers of one dtype (float64, float32, float16, ml_dtypes.bfloat16; complex128 for derivatives)."""
    kind = np.dtype(dtype)

    def number(scalar: Expr) -> Any:
        try:
            return kind.type(float(rounded(scalar, BITS[kind.name])))
        except OverflowError:
            raise SizeError("found a scalar that is too large, expected one that a float can hold") from None

    def softmax(scores: Array) -> Array:
        powers = np.exp(scores - scores.real.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def act(name: str, entries: Array) -> Array:
        return ACTIVATIONS[name](entries)

    def turn(angles: Array) -> tuple[Array, Array]:
        return np.cos(angles), np.sin(angles)

    return Arithmetic(number, act, softmax, lambda x: 1 / np.sqrt(x), turn, kind)


def gelu(x: Array) -> Array:
    return x * (1 + np.vectorize(erf, otypes=[float])(x / np.sqrt(2))) / 2


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.where(x.real > 0, x, x.dtype.type(0)),
    "gelu": gelu,
    "gelu_tanh": lambda x: x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2,
    "quick_gelu": lambda x: x / (1 + np.exp(-1.702 * x)),
    "silu": silu,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


@lru_cache(maxsize=4096)
def rounded(scalar: Expr, bits: int) -> Fraction:
    """A real scalar rounded to so many bits, ties to even.

    >>> from sympy import sqrt, Rational
    >>> float(rounded(sqrt(Rational(2)), 53)) == 2**0.5
    True
    """
    value = _fraction(scalar)
    if value == 0:
        return Fraction(0)
    exponent = 0
    while abs(value) >= Fraction(2) ** (exponent + bits):
        exponent += 1
    while abs(value) < Fraction(2) ** (exponent + bits - 1):
        exponent -= 1
    return round(value / Fraction(2) ** exponent) * Fraction(2) ** exponent


def _fraction(scalar: Expr) -> Fraction:
    """A scalar as a fraction: exact if it is rational, else to far more digits than any dtype has."""
    if scalar.is_Rational:
        return Fraction(int(scalar.p), int(scalar.q))
    sign, mantissa, exponent, _ = scalar.evalf(_GUARD)._mpf_
    return (-1) ** sign * Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def fraction_of(value: float) -> Fraction:
    """The short fraction that is rounded to a number, if there is one; else the number as it is.

    >>> fraction_of(1 / 3), fraction_of(0.5)
    (Fraction(1, 3), Fraction(1, 2))
    """
    short = Fraction(value).limit_denominator(LARGEST)
    return short if float(short) == value else Fraction(value)
