"""Random terms, with instances of some constraints and lemmas strewn in, for rules to be tried on; see `validation`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from sympy import Integer, Rational, sqrt

from ..symbolic.terms import (
    Act,
    Diag,
    Expr,
    Hadamard,
    HeadSum,
    Kron,
    MatrixExpr,
    Norm,
    RowScale,
    Softmax,
    Stack,
    atoms,
    blocks,
    children,
    eye,
    matrix,
    negative,
    ones,
    product,
    scalar,
    size,
    substitute,
    total,
    transposed,
    zero,
)
from .kernel import FIRST_ORDER, Context, Equation, Step, derive
from .samples import ACTIVATIONS, Definitions

Random = np.random.Generator
Choice = TypeVar("Choice")

m, n, p = map(size, "mnp")
eps = scalar("eps")
t = FIRST_ORDER
SIDES: tuple[Expr, ...] = (Integer(1), m, n, n, p, n + p, 2 * n, 2 * n)
SCALARS: tuple[Expr, ...] = (Integer(-1), Integer(2), Rational(1, 3), sqrt(n), 1 / sqrt(p), n / p, m - n, eps, t)
DEPTH = 3


def random_term(rng: Random) -> MatrixExpr:
    """A term of random shape, often square, where a wrong order of blocks or factors fits as well."""
    rows = choice(rng, SIDES)
    return term(rng, rows, rows if rng.integers(2) else choice(rng, SIDES), DEPTH)


def choice(rng: Random, options: Sequence[Choice]) -> Choice:
    return options[int(rng.integers(len(options)))]


# ---------------------------------------------------------------- what the rules may use


M, K, U, V = matrix("M", m, n), matrix("K", m, n), matrix("U", n, p), matrix("V", n, p)
F, G = matrix("F", n, n), matrix("G", n, n)
P, Q = matrix("P", m, n + p), matrix("Q", n, n + p)
B, D = matrix("B", n, p), matrix("D", n, p)
X, Z = matrix("X", m, n), matrix("Z", m, n + p)
C, W, W2 = matrix("C", n, n + p), matrix("W", n, n), matrix("W2", n + p, n)

HYPOTHESES = (
    Equation(M, zero(m, n)),
    Equation(product(P, transposed(Q)), zero(m, n)),
    Equation(total(U, product(2, V)), B),
    Equation(transposed(F), G),
)
MET: Definitions = (
    (M, zero(m, n)),
    (P, blocks([[matrix("P1", m, n), zero(m, p)]])),
    (Q, blocks([[zero(n, n), matrix("Q1", n, p)]])),
    (U, total(B, product(-2, V))),
    (G, transposed(F)),
)


def layer(stream: MatrixExpr) -> MatrixExpr:
    return total(stream, product(stream, W), zero(m, n))


def through(stream: MatrixExpr) -> MatrixExpr:
    return product(stream, W2, C)


LEMMAS = (
    derive(Context(HYPOTHESES), product(X, total(B, D)), [Step("distribute", ((),))]),
    derive(Context(HYPOTHESES), Act(total(X, X), "relu"), [Step("like terms", ((0,),))]),
    derive(Context(HYPOTHESES), layer(X), [Step("sum with zero", ((),))]),
    derive(Context(HYPOTHESES), through(product(X, C)), []),
)
CONTEXT = Context(HYPOTHESES, LEMMAS, X)


def planted(rng: Random, rows: Expr, columns: Expr, depth: int, shared: bool) -> MatrixExpr | None:
    """The left side of a constraint or a lemma, or a stack of layers with a lemma about them."""
    start = term(rng, m, n, depth, shared)
    options = (
        *(side for h in HYPOTHESES for side in (h.left, transposed(h.left), *children(h.left))),
        product(Q, transposed(P)),
        *(substitute(lemma.left, {X: start}) for lemma in LEMMAS[:2]),
        Stack(start, X, layer(X), (W,)),
        Stack(product(start, C), Z, through(Z), (W2,)),
    )
    fitting = [option for option in options if option.is_Matrix and option.shape == (rows, columns)]
    return choice(rng, fitting) if fitting else None


# ---------------------------------------------------------------- terms of a given shape
# A maker has a shape, the depth that is left, and whether the heads share what it makes; None where it cannot.


Maker = Callable[[Random, Expr, Expr, int, bool], "MatrixExpr | None"]


def term(rng: Random, rows: Expr, columns: Expr, depth: int, shared: bool = True) -> MatrixExpr:
    """A random term (rows x columns); blocks more often than the rest."""
    while depth > 0:
        maker = choice(rng, MAKERS) if rng.integers(3) else a_grid
        made = maker(rng, rows, columns, depth - 1, shared)
        if made is not None:
            return made
    return leaf(rng, rows, columns, depth, shared)


def leaf(rng: Random, rows: Expr, columns: Expr, depth: int, shared: bool) -> MatrixExpr:
    name = choice(rng, ("A", "A2") if shared else ("A", "H", "H2"))
    options = [matrix(f"{name}[{rows},{columns}]", rows, columns)] * 4 + [zero(rows, columns), ones(rows, columns)]
    return choice(rng, [*options, eye(rows)] if rows == columns else options)


def a_product(rng: Random, rows: Expr, columns: Expr, depth: int, shared: bool) -> MatrixExpr:
    inner = choice(rng, SIDES)
    factors = [term(rng, rows, inner, depth, shared), term(rng, inner, columns, depth, shared)]
    return product(*(choice(rng, SCALARS) for _ in range(rng.integers(3))), *factors)


def a_multiple(rng: Random, rows: Expr, columns: Expr, depth: int, shared: bool) -> MatrixExpr:
    return product(choice(rng, SCALARS), term(rng, rows, columns, depth, shared))


def a_sum(rng: Random, rows: Expr, columns: Expr, depth: int, shared: bool) -> MatrixExpr:
    return total(*(term(rng, rows, columns, depth, shared) for _ in range(rng.integers(2, 4))))


def like_terms(rng: Random, rows: Expr, columns: Expr, depth: int, shared: bool) -> MatrixExpr:
    one, other = (term(rng, rows, columns, depth, shared) for _ in range(2))
    return total(one, other, product(choice(rng, SCALARS), one), negative(other))


def common_factor(rng: Random, rows: Expr, columns: Expr, depth: int, shared: bool) -> MatrixExpr:
    last = leaf(rng, choice(rng, SIDES), columns, depth, shared)
    return total(*(product(term(rng, rows, last.rows, depth, shared), last) for _ in range(2)))


def a_grid(rng: Random, rows: Expr, columns: Expr, depth: int, shared: bool) -> MatrixExpr | None:
    """Blocks, where a side is a sum; a block with a side of two sizes may be cut again.  Sometimes a sum of two."""
    heights, widths = parts(rng, rows), parts(rng, columns)
    if len(heights) == len(widths) == 1:
        return None
    return total(*(grid(rng, heights, widths, depth, shared) for _ in range(choice(rng, (1, 1, 1, 2)))))


def grid(rng: Random, heights: Sequence[Expr], widths: Sequence[Expr], depth: int, shared: bool) -> MatrixExpr:
    return blocks([[term(rng, height, width, depth, shared) for width in widths] for height in heights])


def a_product_of_grids(rng: Random, rows: Expr, columns: Expr, depth: int, shared: bool) -> MatrixExpr:
    heights, inner, widths = (parts(rng, side) for side in (rows, choice(rng, SIDES[-3:]), columns))
    return product(grid(rng, heights, inner, depth, shared), grid(rng, inner, widths, depth, shared))


def parts(rng: Random, side: Expr) -> list[Expr]:
    """The two sizes of a side that is a sum, in any order; other sides stay whole, and some sums do."""
    if side not in SIDES[-3:] or not rng.integers(4):
        return [side]
    return [n, side - n][:: choice(rng, (1, -1))]


def a_transpose(rng: Random, rows: Expr, columns: Expr, depth: int, shared: bool) -> MatrixExpr:
    return transposed(term(rng, columns, rows, depth + 1, shared))


def an_act(rng: Random, rows: Expr, columns: Expr, depth: int, shared: bool) -> MatrixExpr:
    return Act(term(rng, rows, columns, depth + 1, shared), choice(rng, ("relu", *ACTIVATIONS)))


def a_softmax(rng: Random, rows: Expr, columns: Expr, depth: int, shared: bool) -> MatrixExpr:
    return Softmax(term(rng, rows, columns, depth, shared))


def a_norm(rng: Random, rows: Expr, columns: Expr, depth: int, shared: bool) -> MatrixExpr:
    return Norm(term(rng, rows, columns, depth, shared), term(rng, Integer(1), columns, depth, shared), eps)


def a_diagonal(rng: Random, rows: Expr, columns: Expr, depth: int, shared: bool) -> MatrixExpr | None:
    """diag(g) or a norm's row scaling; with an epsilon, for without one a zero row has no value."""
    if rows != columns:
        return None
    if rng.integers(2):
        gains = a_grid(rng, Integer(1), columns, depth, shared)
        return Diag(gains if gains is not None else term(rng, Integer(1), columns, depth, shared))
    inner = term(rng, rows, choice(rng, SIDES), depth, shared)
    positive = choice(rng, [c for c in SCALARS if c.is_positive])
    return RowScale(product(positive, inner, transposed(inner)), choice(rng, SIDES), eps)


def a_hadamard(rng: Random, rows: Expr, columns: Expr, depth: int, shared: bool) -> MatrixExpr:
    return Hadamard(term(rng, rows, columns, depth, shared), term(rng, rows, columns, depth, shared))


def a_kron(rng: Random, rows: Expr, columns: Expr, depth: int, shared: bool) -> MatrixExpr:
    return Kron(term(rng, rows, Integer(1), depth, shared), term(rng, Integer(1), columns, depth, shared))


def a_head_sum(rng: Random, rows: Expr, columns: Expr, depth: int, shared: bool) -> MatrixExpr | None:
    if not shared:
        return None
    body = term(rng, rows, columns, depth + 1, shared=False)
    own = [name for name in sorted(atoms(body), key=str) if name.name.startswith("H")]
    return HeadSum(body, own) if own else body


MAKERS: tuple[Maker, ...] = (
    *(a_product, a_product_of_grids, a_multiple, a_multiple, a_sum, like_terms, common_factor),
    *(a_transpose, a_transpose, a_transpose, an_act, an_act, an_act, a_softmax, a_norm, a_hadamard, a_kron),
    *(a_diagonal, a_diagonal, a_head_sum, a_head_sum, a_head_sum, planted, planted, planted),
)
