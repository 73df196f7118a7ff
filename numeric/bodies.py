"""A sublayer whose body a variant replaces: the body as nested tuples, and what it computes.

    ("name", n)                        X, what the sublayer reads; a matrix of the layer; "MHA" or "MLP", what the
                                       architecture's own sublayer computes from X
    ("number", c)                      an int, float or Fraction
    ("+", a, b, ...)                   a row (1 x n) is added to each row of a matrix
    ("*", a, b, ...)                   the matrix product; a number multiplies every entry
    ("'", a)                           the transpose
    ("act", a)                         the architecture's activation, element by element
    ("hadamard", a, b)  ("kron", a, b)  ("diag", row)  ("blocks", ((a, b), (c, d)))
    ("zeros", m, n)  ("ones", m, n)  ("eye", n)

Adapters after the MLP: ("+", MLP, ("*", ("act", ("*", MLP, M_A)), M_B)) with MLP = ("name", "MLP") and so on.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import reduce
from itertools import chain
from typing import Any

import numpy as np

from .formats import Array

Body = Sequence[Any]
Activation = Callable[[Array], Array]

INPUT = "X"
SUBLAYERS = ("MHA", "MLP")


def names(body: Body) -> set[str]:
    """The names that a body uses. Raises ValueError unless the body is one of those above.

    >>> sorted(names(("+", ("name", "X"), ("act", ("name", "M")))))
    ['M', 'X']
    """
    inside = parts(body)
    return {body[1]} if body[0] == "name" else set().union(*map(names, inside))


def parts(body: Body) -> list[Body]:
    """The bodies that a body is made of. Raises ValueError unless it is one of those above."""
    match body:
        case ("name", str()) | ("number", int() | float() | Fraction()):
            return []
        case ("zeros" | "ones", int(m), int(n)) if m > 0 and n > 0:
            return []
        case ("eye", int(n)) if n > 0:
            return []
        case ("'" | "act" | "diag", _) | ("hadamard" | "kron", _, _) | ("+" | "*", _, *_):
            return list(body[1:])
        case ("blocks", (_, *_) as rows) if _is_grid(rows):
            return list(chain(*rows))
    raise ValueError(f"found {body!r:.60}, expected a body such as ('name', 'X')")


def _is_grid(rows: Sequence[Any]) -> bool:
    return all(isinstance(row, Sequence) and 0 < len(row) == len(rows[0]) for row in rows)


def computed(name: str, body: Body, given: Mapping[str, Array], act: Activation) -> Array:
    """What the body of a sublayer computes, given the matrices that it names, X among them  (s x h).

    Raises ValueError when shapes do not fit, or the result has not that of X.
    """
    try:
        found = value(body, given, act)
        _fit(found.shape == given[INPUT].shape, f"of the whole body, expected that of X, {given[INPUT].shape}", found)
    except ValueError as error:
        raise ValueError(f"forward.{name}: {error}") from None
    return found


def value(body: Body, given: Mapping[str, Array], act: Activation) -> Array:
    """The matrix that a body stands for, in the dtype of what it names; a number has shape ()."""
    dtype = given[INPUT].dtype
    match body:
        case ("name", name):
            return given[name]
        case ("number", number):
            return np.asanyarray(float(number), dtype)
        case ("zeros", m, n):
            return np.zeros((m, n), dtype)
        case ("ones", m, n):
            return np.ones((m, n), dtype)
        case ("eye", n):
            return np.eye(n, dtype=dtype)
        case ("blocks", rows):
            return grid([[value(cell, given, act) for cell in row] for row in rows])
        case ("act", part):
            return act(matrix(value(part, given, act)))
    operation, *operands = body
    return OPERATIONS[operation](*(value(part, given, act) for part in operands))


# ---------------------------------------------------------------- the operations, each with its condition


def matrix(a: Array) -> Array:
    """The same. Raises ValueError for a number."""
    return _fit(a.ndim == 2, "of an operand, expected a matrix", a)


def add(a: Array, b: Array) -> Array:
    """The sum of two of one shape; or of a row and a matrix of one width, which numpy alone does not ask for."""
    row = a.ndim == b.ndim == 2 and a.shape[1] == b.shape[1] and 1 in (len(a), len(b))
    _fit(row or a.shape == b.shape, "in a sum, expected equal ones, or a row and a matrix of its width", a, b)
    return np.asanyarray(a + b)


def times(a: Array, b: Array) -> Array:
    """The matrix product, or every entry of one multiplied by the other, a number."""
    if not (a.ndim and b.ndim):
        return np.asanyarray(a * b)
    _fit(a.shape[1] == b.shape[0], "in a product, expected as many columns as rows after them", a, b)
    return np.asanyarray(a @ b)


def hadamard(a: Array, b: Array) -> Array:
    """The product entry by entry, of two matrices of one shape."""
    _fit(a.shape == b.shape, "in a Hadamard product, expected equal ones", matrix(a), matrix(b))
    return np.asanyarray(a * b)


def kron(a: Array, b: Array) -> Array:
    """The Kronecker product: b times every entry of a, as blocks."""
    return np.kron(matrix(a), matrix(b))


def diag(a: Array) -> Array:
    """The diagonal matrix of a row."""
    return np.diagflat(_fit(a.ndim == 2 and len(a) == 1, "on a diagonal, expected a row", a))


def grid(rows: list[list[Array]]) -> Array:
    """A matrix of blocks: one height in every row, one width in every column, which numpy alone does not ask for."""
    heights = [{matrix(cell).shape[0] for cell in row} for row in rows]
    widths = [{cell.shape[1] for cell in column} for column in zip(*rows, strict=True)]
    fits = all(len(sizes) == 1 for sizes in heights + widths)
    _fit(fits, "of blocks, expected one height in a row, one width in a column", *chain(*rows))
    return np.asanyarray(np.block(rows))


def _fit(fits: bool, expected: str, *operands: Array) -> Array:
    """The first operand, if the shapes fit. Raises ValueError with these and what is expected otherwise."""
    if not fits:
        shapes = " and ".join(str(operand.shape) for operand in operands)
        raise ValueError(f"found shape{'s' * (len(operands) > 1)} {shapes} {expected}")
    return operands[0]


OPERATIONS: Mapping[str, Callable[..., Array]] = {
    "+": lambda *terms: reduce(add, terms),
    "*": lambda *factors: reduce(times, factors),
    "'": np.transpose,
    "hadamard": hadamard,
    "kron": kron,
    "diag": diag,
}
