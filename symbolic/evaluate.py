"""Terms on numbers: one evaluator for floats, exact numbers and solver expressions alike.

`Values` says what the symbols are; `Arithmetic` says what a scalar factor, an activation, a softmax
and a root are in the kind of number at hand.  Everything else is numpy's `+` and `@` on arrays, which
work entry by entry on arrays of objects too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import Any

import numpy as np
from sympy import Integer, Mul, Pow, S, Symbol

from .terms import (
    Act,
    BlockMatrix,
    Diag,
    Expr,
    Frequencies,
    Hadamard,
    HeadSum,
    Identity,
    Kron,
    MatAdd,
    MatMul,
    MatrixSymbol,
    Norm,
    OneMatrix,
    Rope,
    RowScale,
    Softmax,
    Stack,
    Transpose,
    ZeroMatrix,
    block_rows,
    is_scalar,
)

Array = np.ndarray[Any, Any]


LARGEST_SIZE = 1000  # of a matrix on numbers
MOST_ENTRIES = 40_000
LARGEST_EXPONENT = 10_000


class SizeError(ValueError):
    """A size that is not a whole number from 1, or it or another scalar is too large for numbers."""


@dataclass(frozen=True)
class Arithmetic:
    """A kind of number: how to make one from an exact scalar, and what the nonlinear functions are."""

    number: Callable[[Expr], Any]
    act: Callable[[str, Array], Array]  # entry by entry
    softmax: Callable[[Array], Array]  # row by row
    inverse_root: Callable[[Array], Array]  # x -> 1 / sqrt(x), entry by entry
    turn: Callable[[Array], tuple[Array, Array]]  # x -> cos(x) and sin(x), entry by entry
    dtype: Any = object
    largest: Callable[[Array, int], Array] = field(default=lambda weights, count: largest(weights, count))  # row by row
    kept: Callable[[Array, int], Array] = field(default=lambda weights, count: cut(weights, count))


def cut(weights: Array, count: int) -> Array:
    """The largest entries of each row, the first of equal ones, and 0 for the others."""
    order = np.argsort(-np.array(weights, dtype=complex).real, axis=1, kind="stable")
    return np.asarray(np.where(order.argsort(axis=1) < count, weights, 0 * weights))


def largest(weights: Array, count: int) -> Array:
    """The largest entries of each row, made to sum to 1; the first of equal ones."""
    kept = cut(weights, count)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Values:
    """What symbols are: sizes, scalars and matrices by name; families of heads by name, layers in order."""

    scalars: Mapping[str, Any] = field(default_factory=dict)
    matrices: Mapping[str, Array] = field(default_factory=dict)
    members: Mapping[str, Sequence[Values]] = field(default_factory=dict)
    layers: Sequence[tuple[int, Values]] = ()  # in order: 0 for the family's body, i for the i-th inserted

    def with_(self, other: Values) -> Values:
        """These values and, before them, those of a member."""
        return Values(
            {**self.scalars, **other.scalars},
            {**self.matrices, **other.matrices},
            {**self.members, **other.members},
            other.layers or self.layers,
        )


def evaluate(term: Expr, values: Values, arithmetic: Arithmetic) -> Array:
    """The array that a term is, for these values.

    Raises KeyError for a symbol without a value, and SizeError for a size that is no whole number.
    """

    def number(scalar: Expr) -> Any:
        return arithmetic.number(exact(scalar, values))

    def filled(entries: Array) -> Array:
        """An array of zeros and ones in the arithmetic's own numbers."""
        result = np.empty(entries.shape, dtype=arithmetic.dtype)
        result[...] = arithmetic.number(S.Zero)
        result[entries != 0] = arithmetic.number(S.One)
        return result

    def diagonal(entries: Array) -> Array:
        result = filled(np.zeros((len(entries), len(entries))))
        np.fill_diagonal(result, entries)
        return result

    def row_scale(squares: Array, n: Expr, eps: Expr) -> Array:
        return diagonal(arithmetic.inverse_root(squares * number(1 / n) + number(eps)))

    def softmax(scores: Array, mask: str) -> Array:
        if mask == "none":
            return arithmetic.softmax(scores)
        if mask in ("top", "kept"):
            choose = arithmetic.largest if mask == "top" else arithmetic.kept
            return choose(arithmetic.softmax(scores), int(values.scalars["top_k"]))
        result = filled(np.zeros(scores.shape))
        for i, row in enumerate(scores):
            result[i, : i + 1] = arithmetic.softmax(row[None, : i + 1])[0]
        return result

    def turned(A: Array, frequencies: Array, layout: str) -> Array:
        l = len(frequencies)
        first, second = (
            (slice(0, 2 * l, 2), slice(1, 2 * l, 2)) if layout == "interleaved" else (slice(l), slice(l, 2 * l))
        )
        angles = np.array(
            [[number(Integer(i)) * f for f in frequencies] for i in range(len(A))], dtype=arithmetic.dtype
        )
        cos, sin = arithmetic.turn(angles)
        result = A.copy()
        result[:, first] = A[:, first] * cos - A[:, second] * sin
        result[:, second] = A[:, second] * cos + A[:, first] * sin
        return result

    def value(term: Expr) -> Array:
        match term:
            case MatrixSymbol():
                return values.matrices[term.name]
            case ZeroMatrix() | OneMatrix():
                full = np.zeros if isinstance(term, ZeroMatrix) else np.ones
                return filled(full(whole_shape(term, values)))
            case Identity():
                return filled(np.eye(*whole_shape(term, values)))
            case MatAdd():
                return reduce(np.add, map(value, term.args))
            case MatMul():
                scalars = [part for part in term.args if is_scalar(part)]
                result = reduce(np.matmul, [value(part) for part in term.args if not is_scalar(part)])
                return np.multiply(number(Mul(*scalars)), result) if scalars else result
            case Transpose():
                return value(term.arg).T
            case BlockMatrix():
                rows = [np.concatenate([value(block) for block in row], axis=1) for row in block_rows(term)]
                return np.concatenate(rows)
            case Act():
                return arithmetic.act(term.name, value(term.arg))
            case Softmax():
                return softmax(value(term.arg), term.mask)
            case Rope():
                return turned(value(term.arg), value(term.table)[0], term.layout)
            case Frequencies():
                powers = [number(term.rho ** (-2 * j)) for j in range(whole(term.shape[1], values))]
                return np.array([powers], dtype=arithmetic.dtype)
            case Diag():
                return diagonal(value(term.arg)[0])
            case RowScale():
                return row_scale(np.diagonal(value(term.arg)), term.n, term.eps)
            case Norm():
                X = value(term.arg)
                return row_scale(np.add.reduce(X * X, axis=1), term.arg.cols, term.eps) @ X * value(term.gain)
            case Hadamard():
                return value(term.args[0]) * value(term.args[1])
            case Kron():
                whole_shape(term, values)
                return np.kron(value(term.args[0]), value(term.args[1]))
            case HeadSum():
                members = values.members[term.family]
                return reduce(np.add, [evaluate(term.arg, values.with_(member), arithmetic) for member in members])
            case Stack():
                X = value(term.arg)
                for which, own in values.layers:
                    inside = values.with_(own).with_(Values(matrices={term.stream.name: X}))
                    X = evaluate((term.body, *term.inserted)[which], inside, arithmetic)
                return X
        raise TypeError(f"{term} has no value")

    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is infinite, and is judged as such
        return value(term)


def exact(scalar: Expr, values: Values) -> Expr:
    """A scalar with its sizes and parameters filled in, still exact."""
    symbols = _symbols(scalar)
    return _filled(scalar, *(values.scalars[symbol.name] for symbol in symbols)) if symbols else scalar


def whole(size: Expr, values: Values) -> int:
    """A size as a whole number.  Raises SizeError where it is none, or no size of a matrix on numbers."""
    found = exact(size, values)
    if not found.is_Integer or not 1 <= int(found) <= LARGEST_SIZE:
        raise SizeError(f"found the size {found}, expected a whole number from 1 to {LARGEST_SIZE}")
    return int(found)


def whole_shape(term: Expr, values: Values) -> tuple[int, int]:
    """Rows and columns of a matrix that is about to be made.  Raises SizeError where it is too large for numbers."""
    rows, columns = (whole(side, values) for side in term.shape)
    if rows * columns > MOST_ENTRIES:
        raise SizeError(f"found a matrix of {rows} x {columns}, expected at most {MOST_ENTRIES} entries")
    return rows, columns


@lru_cache(maxsize=4096)
def _symbols(scalar: Expr) -> tuple[Symbol, ...]:
    return tuple(symbol for symbol in scalar.free_symbols if isinstance(symbol, Symbol))


@lru_cache(maxsize=65536, typed=True)
def _filled(scalar: Expr, *numbers: Any) -> Expr:
    values = dict(zip(_symbols(scalar), numbers, strict=True))
    for power in sorted(scalar.atoms(Pow), key=lambda power: power.count_ops()):  # inner powers first
        if power.exp.free_symbols and abs(power.exp.subs(values, simultaneous=True)) > LARGEST_EXPONENT:
            raise SizeError(f"found the power {power}, expected an exponent of at most {LARGEST_EXPONENT} for numbers")
    return scalar.subs(values, simultaneous=True)
