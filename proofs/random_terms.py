"""Random terms, with instances of some constraints and lemmas strewn in, for rules to be tried on; see `validation`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from sympy import Integer, Rational, sqrt

from ..symbolic.terms import (
    CHOSEN,
    Act,
    Diag,
    Expr,
    Frequencies,
    Hadamard,
    HeadSum,
    Kron,
    MatrixExpr,
    Norm,
    Path,
    Rope,
    RowScale,
    Softmax,
    Stack,
    blocks,
    children,
    eye,
    matrix,
    negative,
    ones,
    product,
    scalar,
    selection,
    size,
    substitute,
    total,
    transposed,
    zero,
)
from .kernel import Context, Equation, Step, derive
from .rules import FIRST_ORDER
from .samples import ACTIVATIONS, GROUPS, HEADS, LAYERS, MASKS, Definitions

Random = np.random.Generator
Choice = TypeVar("Choice")

m, n, p = map(size, "mnp")
eps = scalar("eps")
t = FIRST_ORDER
SIDES: tuple[Expr, ...] = (Integer(1), m, n, n, p, n + p, 2 * n, 2 * n)
SCALARS: tuple[Expr, ...] = (Integer(-1), Integer(2), Rational(1, 3), sqrt(n), 1 / sqrt(p), n / p, m - n, eps, t)
RATIOS: tuple[Expr, ...] = (Integer(2), Rational(-1, 3), sqrt(n), n / p, 1 + t)  # of frequencies, never zero
DEPTH = 3


def random_term(rng: Random) -> MatrixExpr:
    """A term of random shape, often square, where a wrong order of blocks or factors fits; or of a rarer kind."""
    if rng.integers(2):
        maker, rows, columns = choice(rng, SELDOM)
        made = maker(rng, rows, columns, 1, ())
        if made is not None:
            return made
    rows = choice(rng, SIDES)
    return term(rng, rows, rows if rng.integers(2) else choice(rng, SIDES), DEPTH)


def choice(rng: Random, options: Sequence[Choice]) -> Choice:
    return options[int(rng.integers(len(options)))]


# ---------------------------------------------------------------- what the rules may use


M, K, U, V = matrix("M", m, n), matrix("K", m, n), matrix("U", n, p), matrix("V", n, p)
S, E, E2 = matrix("S", n, n), matrix("E", n, n, (HEADS,)), matrix("E2", n, n, (HEADS,))
F, G = matrix("F", n, n), matrix("G", n, n)
P, Q = matrix("P", m, n + p), matrix("Q", n, n + p)
B, D = matrix("B", n, p), matrix("D", n, p)
X, Z = matrix("X", m, n), matrix("Z", m, n + p)
C, W, W2 = matrix("C", n, n + p), matrix("W", n, n, (LAYERS,)), matrix("W2", n + p, n, (LAYERS,))

HYPOTHESES = (
    Equation(M, zero(m, n)),
    Equation(product(P, transposed(Q)), zero(m, n)),
    Equation(total(U, product(2, V)), B),
    Equation(transposed(F), G),
    Equation(total(S, E), E2),  # for each head
)
MET: Definitions = (
    (M, zero(m, n)),
    (P, blocks([[matrix("P1", m, n), zero(m, p)]])),
    (Q, blocks([[zero(n, n), matrix("Q1", n, p)]])),
    (U, total(B, product(-2, V))),
    (G, transposed(F)),
    (E2, total(S, E)),
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


def planted(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr | None:
    """The left side of a constraint or a lemma, or layers with a lemma about them."""
    start = term(rng, m, n, depth, within)
    if columns in (n, n + p) and rows == m and not rng.integers(3):
        return a_stack(start, columns)
    options = (
        *(side for h in HYPOTHESES for side in (h.left, transposed(h.left), *children(h.left), h.right)),
        product(Q, transposed(P)),
        *(substitute(lemma.left, {X: start}) for lemma in LEMMAS[:2]),
    )
    fitting = [option for option in options if option.is_Matrix and option.shape == (rows, columns)]
    return choice(rng, fitting) if fitting else None


def a_stack(start: MatrixExpr, columns: Expr) -> Stack:
    if columns == n:
        return Stack(start, X, layer(X), LAYERS)
    return Stack(product(start, C), Z, through(Z), LAYERS)


# ---------------------------------------------------------------- terms of a given shape
# A maker has a shape, the depth that is left, and the families whose members may stand in it; None where it cannot.


Maker = Callable[[Random, Expr, Expr, int, Path], "MatrixExpr | None"]


def term(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path = ()) -> MatrixExpr:
    """A random term (rows x columns); blocks more often than the rest."""
    while depth > 0:
        maker = choice(rng, MAKERS) if rng.integers(3) else a_grid
        made = maker(rng, rows, columns, depth - 1, within)
        if made is not None:
            return made
    return leaf(rng, rows, columns, depth, within)


def leaf(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    path = choice(rng, ((), within, *((family,) for family in within)))
    name = choice(rng, ("A", "A2")) + "".join(f"_{family}" for family in path)
    constants = [zero(rows, columns), ones(rows, columns), *([eye(rows)] if rows == columns else [])]
    constants += [Frequencies(choice(rng, RATIOS), 2 * columns)] if rows == 1 else []
    constants += [selection(f"S{name}[{rows},{columns}]", rows, columns, path)]
    return choice(rng, [*[matrix(f"{name}[{rows},{columns}]", rows, columns, path)] * 4, *constants])


def a_product(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    inner = choice(rng, SIDES)
    factors = [term(rng, rows, inner, depth, within), term(rng, inner, columns, depth, within)]
    return product(*(choice(rng, SCALARS) for _ in range(rng.integers(3))), *factors)


def a_multiple(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    return product(choice(rng, SCALARS), term(rng, rows, columns, depth, within))


def a_sum(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    return total(*(term(rng, rows, columns, depth, within) for _ in range(rng.integers(2, 4))))


def like_terms(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    one, other = (term(rng, rows, columns, depth, within) for _ in range(2))
    return total(one, other, product(choice(rng, SCALARS), one), negative(other))


def common_factor(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    last = leaf(rng, choice(rng, SIDES), columns, depth, within)
    return total(*(product(term(rng, rows, last.rows, depth, within), last) for _ in range(2)))


def a_grid(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr | None:
    """Blocks, where a side is a sum; a block with a side of two sizes may be cut again.

    Sometimes a sum of two, or one with ones on the right.
    """
    heights, widths = parts(rng, rows), parts(rng, columns)
    if len(heights) == len(widths) == 1:
        return None
    made = total(*(grid(rng, heights, widths, depth, within) for _ in range(choice(rng, (1, 1, 1, 2)))))
    return made if rng.integers(6) else total(made, ending_in_ones(rng, rows, columns, within))


def ending_in_ones(rng: Random, rows: Expr, columns: Expr, within: Path) -> MatrixExpr:
    inner = choice(rng, SIDES)
    return product(choice(rng, SCALARS), leaf(rng, rows, inner, 0, within), ones(inner, columns))


def grid(rng: Random, heights: Sequence[Expr], widths: Sequence[Expr], depth: int, within: Path) -> MatrixExpr:
    return blocks([[term(rng, height, width, depth, within) for width in widths] for height in heights])


def a_product_of_grids(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    """Grids that fit; sometimes one of them is a matrix of ones."""
    heights, inner, widths = (parts(rng, side) for side in (rows, choice(rng, SIDES[-3:]), columns))
    first, last = grid(rng, heights, inner, depth, within), grid(rng, inner, widths, depth, within)
    return product(*choice(rng, ((first, last), (first, last), (ones(*first.shape), last), (first, ones(*last.shape)))))


def parts(rng: Random, side: Expr) -> list[Expr]:
    """The two sizes of a side that is a sum, in any order; other sides stay whole, and some sums do."""
    if side not in SIDES[-3:] or not rng.integers(4):
        return [side]
    return [n, side - n][:: choice(rng, (1, -1))]


def nested_grids(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr | None:
    """A row of columns of blocks, or of one and a matrix of ones; with a scalar in front or without."""
    heights, widths = parts(rng, rows), parts(rng, columns)
    if len(heights) == 1 or len(widths) == 1:
        return None
    cells = [grid(rng, heights, [width], depth, within) for width in widths]
    made = blocks([choice(rng, (cells, cells, [ones(*cells[0].shape), *cells[1:]]))])
    return choice(rng, (made, product(choice(rng, SCALARS), made)))


def made_of_zeros(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    heights, widths = parts(rng, rows), parts(rng, columns)
    blank = blocks([[zero(height, width) for width in widths] for height in heights])
    return choice(rng, (blank, transposed(zero(columns, rows)), Act(zero(rows, columns), choice(rng, ACTIVATIONS))))


def of_first_order(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    small = product(t, term(rng, rows, columns, depth, within))
    return choice(rng, (product(choice(rng, SCALARS), t, small), Act(small, choice(rng, ACTIVATIONS))))


def a_transpose(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    return transposed(term(rng, columns, rows, depth + 1, within))


def an_act(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    return Act(term(rng, rows, columns, depth + 1, within), choice(rng, ("relu", *ACTIVATIONS)))


def act_of_an_act(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    inner = choice(rng, ("relu", *ACTIVATIONS))
    return Act(Act(term(rng, rows, columns, depth, within), inner), choice(rng, ("relu", inner)))


def a_softmax(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    return Softmax(
        term(rng, rows, columns, depth, within), choice(rng, MASKS[:2])
    )  # what "top" keeps of equal weights is up to rounding


def a_norm(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    return Norm(term(rng, rows, columns, depth, within), term(rng, Integer(1), columns, depth, within), eps)


def a_diagonal(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr | None:
    """diag(g) or a norm's row scaling; with an epsilon, for without one a zero row has no value."""
    if rows != columns:
        return None
    if rng.integers(4):
        gains = a_grid(rng, Integer(1), columns, depth, within)
        return Diag(gains if gains is not None else term(rng, Integer(1), columns, depth, within))
    inner = term(rng, rows, choice(rng, SIDES), depth, within)
    positive = choice(rng, [c for c in SCALARS if c.is_positive])
    return RowScale(product(positive, inner, transposed(inner)), choice(rng, SIDES), eps)


def a_hadamard(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    """An entrywise product, often of blocks that are cut alike."""
    if rng.integers(3):
        heights, widths = parts(rng, rows), parts(rng, columns)
        return Hadamard(*(grid(rng, heights, widths, depth, within) for _ in range(2)))
    return Hadamard(term(rng, rows, columns, depth, within), term(rng, rows, columns, depth, within))


def with_a_diagonal(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    """A diag(a) o B, or the other way round; the diagonal of g diag(a); or a product of two diagonals."""
    turned = product(term(rng, rows, columns, depth, within), Diag(term(rng, Integer(1), columns, depth, within)))
    pair = [turned, term(rng, rows, columns, depth, within)]
    g = product(term(rng, Integer(1), columns, depth, within), Diag(term(rng, Integer(1), columns, depth, within)))
    two = product(turned, Diag(term(rng, Integer(1), columns, depth, within)))
    return choice(rng, (Hadamard(*pair), Hadamard(*reversed(pair)), product(pair[1], Diag(g)), two, two))


def a_rope(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr | None:
    """Turned pairs of columns: all of 2 n, or all or the first of 2 n + 2 p or 4 n in two blocks."""
    if columns not in (2 * n, 4 * n, 2 * n + 2 * p):
        return None
    layout = choice(rng, ("interleaved", "interleaved", "interleaved", "half"))
    if columns == 2 * n:
        return Rope(term(rng, rows, columns, depth, within), leaf(rng, Integer(1), n, 0, within), layout)
    widths = [2 * n, columns - 2 * n]
    first, other = (leaf(rng, Integer(1), width / 2, 0, within) for width in widths)
    geometric = Frequencies(choice(rng, RATIOS), columns)
    table = choice(rng, (blocks([[first, other]]), first, geometric, product(choice(rng, RATIOS), geometric)))
    return Rope(grid(rng, [rows], widths, depth, within), table, layout)


def a_kron(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    """A Kronecker product with a row or a column, or one of a single number."""
    one = Integer(1)
    left, right = choice(
        rng, (((rows, one), (one, columns)), ((one, columns), (rows, one)), ((one, one), (rows, columns)))
    )
    return Kron(term(rng, *left, depth, within), term(rng, *right, depth, within))


def a_product_of_krons(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    """(A (x) B)(C (x) D), or with ones for one of them."""
    inner = choice(rng, SIDES), choice(rng, SIDES)
    (a, b), (c, d) = (choice(rng, ((side, Integer(1)), (Integer(1), side))) for side in (rows, columns))
    first = Kron(term(rng, a, inner[0], depth, within), term(rng, b, inner[1], depth, within))
    last = Kron(term(rng, inner[0], c, depth, within), term(rng, inner[1], d, depth, within))
    return product(*choice(rng, ((first, last), (first, last), (ones(*first.shape), last), (first, ones(*last.shape)))))


def a_selection(rng: Random, rows: Expr, columns: Expr) -> MatrixExpr:
    made = [selection(f"S[{rows},{columns}]", rows, columns)]
    made += [ones(rows, columns)] if rows == 1 else []
    made += (
        [blocks([[eye(rows), selection(f"S[{rows},{columns - rows}]", rows, columns - rows)]])]
        if columns == rows + n
        else []
    )
    return choice(rng, made)


def of_selected(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    """f(A S), f(S' A), A S o B S or S diag(g S); sometimes with something that is no selection."""
    inner = choice(rng, SIDES)
    S = a_selection(rng, inner, columns) if rng.integers(5) else leaf(rng, inner, columns, 0, within)
    T = transposed(a_selection(rng, inner, rows)) if rng.integers(5) else leaf(rng, rows, inner, 0, within)
    first, other = (product(term(rng, rows, inner, depth, within), S) for _ in range(2))
    f = choice(rng, ("relu", *ACTIVATIONS))
    scaled = product(S, Diag(product(term(rng, Integer(1), inner, depth, within), S))) if inner == rows else first
    copied = product(T, term(rng, inner, columns, depth, within))
    return choice(rng, (Act(first, f), Act(total(first, other), f), Act(copied, f), Hadamard(first, other), scaled))


def summed_up(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    """1 1, 1 S, S' 1 or Softmax(A) 1."""
    inner = choice(rng, SIDES)
    weights = Softmax(term(rng, rows, inner, depth, within), choice(rng, (*MASKS, "kept")))
    first = choice(rng, (ones(rows, inner), transposed(a_selection(rng, inner, rows)), weights))
    S = choice(rng, (a_selection(rng, inner, columns), leaf(rng, inner, columns, 0, within)))
    return choice(rng, (product(first, ones(inner, columns)), product(ones(rows, inner), S)))


def a_shifted_softmax(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr:
    """Softmax(A + b 1), or Softmax(A + 1 b)."""
    inner = choice(rng, SIDES)
    b, c = (
        product(leaf(rng, rows, inner, 0, within), ones(inner, columns)),
        product(ones(rows, 1), leaf(rng, Integer(1), columns, 0, within)),
    )
    return Softmax(total(term(rng, rows, columns, depth, within), choice(rng, (b, b, c))), choice(rng, MASKS[:2]))


def routed(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr | None:
    """sum_e diag((Softmax(A) u_e)')  with n heads, where A may differ between them."""
    if rows != columns or HEADS in within:
        return None
    inside = choice(rng, (within, within, (*within, HEADS)))
    weights = Softmax(term(rng, rows, n, depth, inside), choice(rng, MASKS[:2]))
    return HeadSum(Diag(transposed(product(weights, matrix(CHOSEN, n, 1, (HEADS,))))), HEADS)


def a_head_sum(rng: Random, rows: Expr, columns: Expr, depth: int, within: Path) -> MatrixExpr | None:
    """A sum over heads or groups, which may be within a sum over the others; often with a common factor."""
    free = [family for family in (HEADS, GROUPS) if family not in within]
    if not free:
        return None
    family = choice(rng, free)
    if rng.integers(3):
        return HeadSum(term(rng, rows, columns, depth + 1, (*within, family)), family)
    inner = choice(rng, SIDES)
    return HeadSum(product(term(rng, rows, inner, depth, (*within, family)), leaf(rng, inner, columns, 0, ())), family)


MAKERS: tuple[Maker, ...] = (
    *(a_product, a_product_of_grids, a_multiple, a_multiple, a_sum, like_terms, common_factor),
    *(a_transpose, a_transpose, a_transpose, an_act, an_act, an_act, a_softmax, a_norm, a_kron),
    *(a_hadamard, a_hadamard, a_rope, a_rope, of_selected, of_selected, summed_up, a_product_of_krons),
    *(nested_grids, nested_grids, made_of_zeros, of_first_order),
    *(a_diagonal, a_diagonal, a_head_sum, a_head_sum, a_head_sum, planted, planted, planted),
)

SELDOM: tuple[tuple[Maker, Expr, Expr], ...] = (
    *((planted, m, columns) for columns in (n, n, p, n + p, n + p)),
    *((nested_grids, n + p, columns) for columns in (2 * n, n + p)),
    *((a_diagonal, side, side) for side in (2 * n, n + p, n + p)),
    (made_of_zeros, n + p, 2 * n),
    (of_first_order, n, n),
    *((a_head_sum, n, columns) for columns in (n, 2 * n, 2 * n, n + p)),
    (a_transpose, 2 * n, n + p),
    *((made, n, 2 * n) for made in (a_kron, a_product_of_krons, of_selected, summed_up)),
    *((act_of_an_act, m, columns) for columns in (n, n, p, p, 2 * n)),
    *((a_shifted_softmax, m, columns) for columns in (n, p)),
    *((routed, rows, rows) for rows in (m, n, n)),
    *((a_hadamard, rows, 2 * n) for rows in (2 * n, 2 * n, n + p)),
    *((a_rope, m, columns) for columns in (2 * n, 4 * n, 4 * n, 2 * n + 2 * p)),
    *((with_a_diagonal, m, columns) for columns in (n, p)),
)
