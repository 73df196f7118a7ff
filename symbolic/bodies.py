"""The body of a sublayer as plain data, for whoever computes with numbers and knows nothing of terms.

A body is nested tuples: ("name", n), ("number", c), ("+", a, b), ("*", a, b), ("'", a), ("act", a), ("hadamard", a, b),
("kron", a, b), ("diag", a), ("blocks", rows), ("zeros", m, n), ("ones", m, n), ("eye", n).
"""

from __future__ import annotations

from typing import Any

from .evaluate import Values, exact, whole
from .terms import (
    Act,
    BlockMatrix,
    Diag,
    Expr,
    Hadamard,
    Identity,
    Kron,
    MatAdd,
    MatMul,
    MatrixExpr,
    MatrixSymbol,
    OneMatrix,
    Transpose,
    ZeroMatrix,
    block_rows,
    children,
    is_scalar,
)

OPERATIONS = {MatAdd: "+", MatMul: "*", Transpose: "'", Act: "act", Hadamard: "hadamard", Kron: "kron", Diag: "diag"}
SIZED = {ZeroMatrix: "zeros", OneMatrix: "ones"}


def as_data(body: MatrixExpr, values: Values) -> tuple[Any, ...]:
    """A body with its sizes and scalars filled in, and the matrices of its layer by name.

    Raises TypeError for what no body holds, such as a softmax.
    """

    def data(term: Expr) -> tuple[Any, ...]:
        if is_scalar(term):
            return ("number", float(exact(term, values)))
        if isinstance(term, MatrixSymbol):
            return ("name", term.name.removesuffix("~in"))
        if isinstance(term, BlockMatrix):
            return ("blocks", tuple(tuple(map(data, row)) for row in block_rows(term)))
        if isinstance(term, Identity):
            return ("eye", whole(term.rows, values))
        for kind, name in SIZED.items():
            if isinstance(term, kind):
                return (name, whole(term.rows, values), whole(term.cols, values))
        for kind, name in OPERATIONS.items():
            if isinstance(term, kind):
                return (name, *map(data, children(term)))
        raise TypeError(f"no body of a sublayer holds {term}")

    return data(body)
