"""Terms on which each rule of the kernel is tried, and traps that it must leave alone; see `validation`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sympy import Integer, Rational, S, sqrt

from ..symbolic.terms import (
    CHOSEN,
    Act,
    Diag,
    Frequencies,
    Hadamard,
    HeadSum,
    Kron,
    MatrixExpr,
    MatrixSymbol,
    Norm,
    Rope,
    RowScale,
    Softmax,
    Stack,
    blocks,
    eye,
    matrix,
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
from .kernel import COLUMN_SUMS, DIAGONAL, ROW_SUMS, TURNED, Context, Equation, Position, Step, Theorem, derive
from .prover import prove
from .rules import FIRST_ORDER

Layer = Callable[[MatrixExpr], MatrixExpr]  # of the stream
Definitions = tuple[tuple[MatrixSymbol, MatrixExpr], ...]
NOTHING = Context()


@dataclass(frozen=True)
class Sample:
    """A rule and a term with a place for it; `met` gives some matrices by others, so that the hypotheses hold.

    A trap is a term that the rule must leave alone, unless what it makes has the same value.  `kept` says which of
    the inserted layers, counted from 1, are still there after the rule.
    """

    rule: str
    term: MatrixExpr
    argument: tuple[int, ...] = ()
    context: Context = NOTHING
    met: Definitions = ()
    trap: bool = False
    at: Position = ()
    kept: tuple[int, ...] = ()


# ---------------------------------------------------------------- names for the samples

m, n, p, q, n_hat = map(size, ("m", "n", "p", "q", "n_hat"))
k, k_hat = 2 * n, 2 * n_hat
eps = scalar("eps")
rho = 1 + scalar("r")  # of frequencies, never zero
t = FIRST_ORDER

A, A2, A3 = (matrix(name, m, n) for name in ("A", "A2", "A3"))
B, B2, B3 = (matrix(name, n, p) for name in ("B", "B2", "B3"))
L, L2 = matrix("L", m, p), matrix("L2", m, q)
R, R2 = matrix("R", p, q), matrix("R2", n, q)
T, T2 = matrix("T", n, m), matrix("T2", p, m)
Q1, Q2, Q3, Q4, Q5, Q6, Q7, Q8 = (matrix(f"Q{i}", n, n) for i in range(1, 9))  # squares, which fit in any order
g, g2, g3 = matrix("g", 1, n), matrix("g2", 1, p), matrix("g3", 1, n)
X = matrix("X", m, n)
LAYERS, HEADS, GROUPS = "layers", "heads", "groups"  # families of three sizes
V, V3, V4, V5 = (matrix(name, m, n, (HEADS,)) for name in ("V", "V3", "V4", "V5"))
V2, W, W2 = matrix("V2", m, p, (HEADS,)), matrix("W", n, p, (HEADS,)), matrix("W2", n, n, (HEADS,))
G, G2 = matrix("G", m, n, (GROUPS,)), matrix("G2", n, n, (GROUPS,))
H, H2 = matrix("H", m, n, (HEADS, GROUPS)), matrix("H2", n, n, (HEADS, GROUPS))
W3 = matrix("W3", n, n, (LAYERS, HEADS))
# Queries or keys of whole pairs, and tables of their frequencies
A2n, A2n2, A2n3, A2p = (matrix(name, m, 2 * size(name[2])) for name in ("A2n", "A2n2", "A2n3", "A2p"))
Ak, Ak2, Akhat = matrix("Ak", m, k), matrix("Ak2", m, k), matrix("Akhat", m, k_hat - k)
f, f2, f3, fp = (matrix(name, 1, side) for name, side in (("f", n), ("f2", n), ("f3", n), ("fp", p)))
VR, fV = matrix("VR", n, 2 * p, (HEADS,)), matrix("fV", 1, p, (HEADS,))
# Selections, the wrong way round too; columns that pick a member, of which there are as many as rows
J, J_too, J_square = (selection(name, n, side) for name, side in (("J", q), ("J_too", q), ("J_n", n)))
J_down, J_wide, J_left = selection("J_down", p, n), selection("J_wide", m, q), selection("J_left", m, n)
J_one, J_heads = selection("J_one", 1, q), selection("J_heads", n, p, (HEADS,))
u, u_other, u_layers = (matrix(CHOSEN, n, 1, path) for path in ((HEADS,), (GROUPS,), (LAYERS, HEADS)))
c, c2 = matrix("c", m, 1), matrix("c2", m, 1)
MASKS = ("none", "causal", "top")
ACTIVATIONS = ("relu", "gelu", "silu", "tanh", "sigmoid", "softplus", "cos")


def heads(body: MatrixExpr) -> HeadSum:
    return HeadSum(body, HEADS)


def groups(body: MatrixExpr) -> HeadSum:
    return HeadSum(body, GROUPS)


def gram(term: MatrixExpr) -> MatrixExpr:
    return product(term, transposed(term))


def routed(scores: MatrixExpr, mask: str = "top", picked: MatrixExpr = u) -> MatrixExpr:
    """diag((Softmax(A) u_e)'), the weight of an expert for each token."""
    return Diag(transposed(product(Softmax(scores, mask), picked)))


def row(*parts: MatrixExpr) -> MatrixExpr:
    return blocks([parts])


def column(*parts: MatrixExpr) -> MatrixExpr:
    return blocks([[part] for part in parts])


# ---------------------------------------------------------------- samples of rules that need no context


def plain_samples() -> Iterator[Sample]:
    for rule, terms in PLAIN.items():
        yield from (Sample(rule, term) for term in terms)
    for rule, terms in TRAPS.items():
        yield from (Sample(rule, term, trap=True) for term in terms)


PLAIN: Mapping[str, Sequence[MatrixExpr]] = {
    "definition of the norm": [
        Norm(A, g, S.Zero),
        Norm(A, g, eps),
        Norm(product(A, B), g2, 3 * eps),
        Norm(row(A, L), row(g, zero(1, p)), eps * n / n_hat),
        Norm(product(-2, transposed(T)), product(sqrt(n / p), g), eps),
        Norm(total(A, X), g, S.One),
    ],
    "block product": [
        product(row(A, L), column(B, matrix("R3", p, p))),
        product(A, row(B, R2)),
        product(column(A, transposed(B)), B),
        product(blocks([[Q1, Q2], [Q3, Q4]]), blocks([[Q5, Q6], [Q7, Q8]])),
        product(blocks([[Q1, zero(n, n)], [Q2, eye(n)]]), column(Q3, product(-1, Q4))),
        product(row(Q1, Q2, Q3), column(Q4, Q5, Q6)),
        product(row(A, L, L2), column(matrix("K1", n + p, q), matrix("K2", q, q))),  # neighbours put together
        product(matrix("K3", m, n + p), blocks([[B, R2], [matrix("R4", p, p), R]])),
        product(row(row(Q1, Q2), Q3), column(column(Q4, Q5), Q6)),
        product(blocks([[A, L, L2]]), blocks([[B, R2], [eye(p), R], [zero(q, p), eye(q)]])),
        product(blocks([[A], [Q1]]), blocks([[Q2, B]])),  # only a common factor inside
        product(row(A, matrix("A4", m, n_hat - n)), column(B, matrix("B4", n_hat - n, p))),
        product(ones(m, n + p), column(B, matrix("R5", p, p))),  # the ones are cut
        product(row(A, L), ones(n + p, q)),
        product(ones(m, 2 * n), blocks([[Q1, Q2], [Q3, Q4]])),
        product(blocks([[Q1, Q2], [Q3, zero(n, n)]]), ones(2 * n, n)),
        product(row(A, L, L2), ones(n + p + q, 1)),
        product(ones(m, 1), row(g, g2)),
        product(row(matrix("x1", 1, 1), matrix("x2", 1, 1)), ones(2, 1)),
    ],
    "scalar into blocks": [
        product(2, row(A, L)),
        product(-1, sqrt(n), blocks([[Q1, Q2], [Q3, zero(n, n)]])),
        product(n / p, column(product(3, A), total(A, A2))),
        product(m - n, row(A, row(A2, L))),
    ],
    "block sum": [
        total(row(A, L), row(A2, zero(m, p))),
        total(row(Q1, Q2), row(Q3, Q4), row(Q5, Q6)),
        total(blocks([[Q1, Q2], [Q3, Q4]]), blocks([[Q5, Q6], [Q7, Q8]])),
        total(column(A, Q1), column(product(-1, A), Q2)),
        total(row(total(A, A2), L), row(A3, L)),
        total(row(A, L), ones(m, n + p)),  # the ones are cut
        total(product(-2, ones(m, n + p)), row(A, L), row(A2, L)),
        total(row(A, L), product(3, A2, ones(n, n + p))),
        total(row(Q1, Q2), product(Q3, ones(n, 2 * n))),
        total(row(g, g2), product(n, ones(1, 1), ones(1, n + p))),
    ],
    "block transpose": [
        transposed(row(A, L)),
        transposed(column(Q1, Q2)),
        transposed(blocks([[Q1, Q2], [Q3, Q4]])),
        transposed(blocks([[Q1, Q2, zero(n, n)], [Q4, product(2, Q5), Q6]])),
        transposed(row(row(A, A2), transposed(T))),
    ],
    "elementwise on blocks": [
        *(Act(row(A, zero(m, p)), name) for name in ACTIVATIONS),
        Act(blocks([[Q1, Q2], [Q3, Q4]]), "relu"),
        Act(column(product(-1, A), product(2, Q1)), "sigmoid"),
    ],
    "entrywise product of blocks": [
        Hadamard(row(A, L), row(A2, matrix("L3", m, p))),
        Hadamard(row(Q1, Q2), row(Q3, Q4)),
        Hadamard(column(A, Q1), column(A2, product(-1, Q2))),
        Hadamard(blocks([[Q1, Q2], [Q3, Q4]]), blocks([[Q5, Q6], [eye(n), Q8]])),
        Hadamard(row(Act(A, "silu"), zero(m, p)), row(A2, L)),
        Hadamard(row(row(A, A2), L), row(A2n, product(t, matrix("L3", m, p)))),
        Hadamard(row(V, V2), row(Act(V3, "relu"), L)),
        Hadamard(row(matrix("x1", 1, 1), matrix("x2", 1, 1)), row(matrix("x3", 1, 1), matrix("x4", 1, 1))),
        Hadamard(row(A, matrix("A4", m, n_hat - n)), row(A2, matrix("A5", m, n_hat - n))),
    ],
    "rotation of blocks": [
        Rope(row(A2n, A2p), row(f, fp)),
        Rope(row(A2n, A2n2), row(f, f2)),
        Rope(row(A2n, A2n2, A2n3), row(f, f2, f3)),
        Rope(row(row(A2n, A2n2), A2p), row(row(f, f2), fp)),
        Rope(row(matrix("x5", 1, 2), matrix("x6", 1, 2)), row(matrix("f1", 1, 1), matrix("f4", 1, 1))),
        Rope(row(VR, matrix("B6", n, 2 * n)), row(fV, f)),
        Rope(row(Ak, Akhat), Frequencies(rho, k_hat)),
        Rope(row(Ak, Ak2), Frequencies(n / p, 2 * k)),
        Rope(row(A2n, A2p), Frequencies(-rho, 2 * n + 2 * p)),
        Rope(row(A2n, A2n2), Frequencies(1 + t, 4 * n)),
        Rope(row(A2n, A2n2, A2n3), product(-n, Frequencies(sqrt(n), 6 * n))),
        Rope(row(A2n, A2n2), product(1 + t, Frequencies(rho, 4 * n))),
        Rope(row(matrix("A10", m, 4), matrix("A11", m, 2)), Frequencies(2, 6)),
        Rope(row(A2n, L), f),  # what is beyond the table stays as it is
        Rope(row(A2n, A2n2), f),
        Rope(row(matrix("A12", m, 2 * n + p), L2, L), f),
        Rope(row(Ak, L, A), Frequencies(rho, k)),
        Rope(row(A2n, L), f, "interleaved"),
    ],
    "diagonal of blocks": [
        Diag(row(g, g2)),
        Diag(row(g, g3)),
        Diag(row(g, zero(1, p), product(-2, g3))),
        Diag(row(row(g, g2), total(g, g3))),
    ],
    "nested blocks": [
        row(row(A, L), A2),
        row(A, row(A2, A3)),
        column(row(Q1, Q2), row(Q3, Q4)),
        row(column(Q1, Q2), column(Q3, Q4)),
        column(column(Q1, Q2), Q3),
        blocks([[row(Q1, Q2), Q3], [zero(n, 2 * n), Q4]]),  # the zero is cut
        blocks([[blocks([[Q1, Q2], [Q3, Q4]]), zero(2 * n, n)], [row(Q5, Q6), Q7]]),
        blocks([[blocks([[Q1, zero(n, n)], [Q3, Q4]]), column(Q5, Q6)], [row(Q7, Q8), eye(n)]]),
        blocks([[zero(n, n + p), B], [row(Q1, B), B2]]),
        blocks([[row(Q1, Q2), Q3], [ones(n, 2 * n), Q4]]),  # and so are ones
        blocks([[blocks([[Q1, Q2], [Q3, Q4]]), ones(2 * n, n)], [zero(n, 2 * n), Q7]]),
    ],
    "product with zero": [
        product(A, zero(n, p)),
        product(zero(m, n), B),
        product(2, A, zero(n, n), B),
        product(Q1, zero(n, n), Q2),
        product(RowScale(gram(A), n, eps), zero(m, n)),
        Hadamard(zero(m, n), A),
        Hadamard(Act(A, "cos"), zero(m, n)),
        Rope(zero(m, 2 * n), f),
        Rope(zero(m, k), Frequencies(rho, k), "half"),
        Kron(A, zero(n, p)),
        Kron(zero(m, n), Act(B, "cos")),
    ],
    "sum with zero": [
        total(A, zero(m, n)),
        total(zero(m, n), product(-1, A), A2, zero(m, n)),
        total(zero(m, n), zero(m, n)),
    ],
    "zeros": [
        transposed(zero(m, n)),
        row(zero(m, n), zero(m, p)),
        column(zero(m, n), zero(p, n)),
        Diag(zero(1, n)),
        heads(zero(m, n)),
        groups(zero(m, n)),
        *(Act(zero(m, n), name) for name in ("relu", "gelu", "silu", "tanh")),
    ],
    "identity": [
        product(A, eye(n)),
        product(eye(m), A),
        product(eye(m), A, eye(n), B),
        product(2, eye(n), Q1),
        product(Q1, eye(n), Q2),
        product(eye(n), eye(n)),
        product(3, eye(n), eye(n)),
        transposed(eye(n)),
        transposed(Diag(g)),
        transposed(Diag(product(2, total(g, g3)))),
        Diag(ones(1, n)),
        Diag(ones(1, 1)),
        Hadamard(A, ones(m, n)),
        Hadamard(A, product(ones(m, 1), ones(1, n))),
        Hadamard(ones(m, n), product(-2, A)),
        Hadamard(ones(m, n), ones(m, n)),
        transposed(ones(m, n)),
        transposed(ones(1, n)),
        ones(1, 1),
        blocks([[eye(n), zero(n, p)], [zero(p, n), eye(p)]]),
        product(c, ones(1, 1)),
        product(ones(1, 1), g),
        product(c, ones(1, 1), g),
        product(2, ones(1, 1)),
        product(ones(1, 1), ones(1, 1)),
        product(ones(m, 1), eye(1), ones(1, 1), ones(1, n)),
    ],
    "scalars": [
        product(2, -3, A),
        product(sqrt(n), 1 / n, A),
        product(n_hat / n, n / n_hat, A, B),
        product(sqrt(n_hat / n), sqrt(n), 1 / sqrt(n_hat), A),
        product(0, A),
        product(m + n, 1 / (m * m + 2 * m * n + n * n), A),
        product(1 / n + 1 / p, A),
        product(eps, n, eye(n)),
        product(1 + t, 1 / (1 - t), n, A),
    ],
    "scalar out": [
        Act(total(product(2, A), product(2, A2)), "relu"),
        transposed(total(product(-3, A), product(-3, A2), product(-3, A, Q1))),
        Diag(total(product(sqrt(n), g), product(sqrt(n), g3))),
        Hadamard(total(product(2, A), product(2, A2)), product(3, A)),
        transposed(product(2, A)),
        transposed(product(-sqrt(n), A, B)),
        transposed(product(3, -1, Q1)),
        Diag(product(-3, g)),
        Diag(product(sqrt(n / n_hat), g)),
        heads(product(-2, V)),
        heads(product(1 / sqrt(n), V, W)),
        heads(product(3, G)),
        groups(product(-1, heads(V))),
        Act(product(2, A), "relu"),
        Act(product(sqrt(n / p), n, A, B), "relu"),
        Act(product(1 + t**2, A), "relu"),
        transposed(product(t, A)),
        Rope(product(-2, A2n), f),
        Rope(product(-2, A2n), f, "half"),
        Rope(product(sqrt(n / p), m - n, Ak), Frequencies(rho, k)),
        Rope(product(t, A2n), product(2, f), "half"),
        Hadamard(product(2, A), A2),
        Hadamard(A, product(-1, A2)),
        Hadamard(product(2, A), product(1 / n, A2)),
        Hadamard(product(t, A), product(t, A2)),
        Hadamard(product(m - n, A), Act(A, "relu")),
        Kron(product(2, A), B),
        Kron(A, product(-1, B)),
        Kron(product(m - n, A), product(1 / n, B)),
        Kron(product(t, A), product(t, B)),
    ],
    "distribute": [
        product(total(A, A2), B),
        product(A, total(B, B2, B3)),
        product(-2, total(A, A2), B),
        product(total(A, A2), total(B, product(2, B2))),
        product(Q1, total(Q2, Q3), Q4),
        product(3, n, total(A, A2)),
    ],
    "factor": [
        total(product(A, B), product(A2, B)),
        total(product(2, A, B), product(A2, B), product(-1, A, Q1, B)),
        total(product(-2, A, B), product(-2, A2, B)),
        total(product(m, A, B), product(m, A2, B), product(m, A, Q1, B)),
        total(product(Q1, Q2), product(Q2, Q3, Q2)),
        total(product(A, B), product(A, Q1, Q2, B)),
    ],
    "like terms": [
        total(A, A),
        total(product(2, A), A2, product(-3, A)),
        total(A, product(-1, A)),
        total(A, A2, product(-1, A)),
        total(product(n / p, A, B), product(1 / n, A, B)),
        total(product(t, A), product(-2, t, A), A),
        total(product(n, Q1), product(-2, Q1), Q1),
        total(product(2, 3, A), A),
    ],
    "rescale the norm": [
        RowScale(product(2, gram(A)), n, eps),
        RowScale(product(n_hat / n, gram(A)), n_hat, eps * n / n_hat),
        RowScale(gram(A), n_hat, eps),
        RowScale(gram(A), n_hat, S.Zero),
        RowScale(product(3, p / n, gram(L)), q, 2 * eps),
        RowScale(product(Rational(1, 2), gram(A)), 4, S.One),
        RowScale(product(1 + t**2, gram(total(A, product(t, A2)))), n_hat, eps),
        RowScale(total(gram(A), gram(L)), q, eps),
        RowScale(total(product(2, gram(A)), product(2, gram(L))), n, eps),
        RowScale(
            total(product(2, gram(A)), product(3, gram(L))), n, eps
        ),  # one coefficient leaves, the other is halved
        RowScale(total(product(1 / n, gram(A)), product(sqrt(p), gram(L)), Act(gram(A2), "relu")), n_hat, S.One),
        RowScale(total(product(5, gram(A)), product(-2, gram(A))), n_hat, S.One),
        RowScale(total(product(3, gram(A)), product(-1 / n, A, ones(n, n), transposed(A))), n_hat, S.One),
        RowScale(total(product(2, gram(A)), product(t, gram(A2))), n_hat, eps),
    ],
    "first order": [
        product(t, t, A),
        product(-2, t**3, A, B),
        product(t, n, t, Q1),
        *(Act(product(t, A), name) for name in ("relu", "gelu", "silu", "tanh")),
        Act(product(-3, t, n, A, B), "gelu"),
        Act(product(t, total(A, product(t, A2))), "tanh"),
    ],
    "transpose of a product": [
        transposed(product(A, B)),
        transposed(product(-2, A, B, R)),
        transposed(product(Q1, Q2)),
        transposed(product(Q1, transposed(Q2), Q3)),
        transposed(product(sqrt(n), Q1)),
        transposed(Kron(A, B)),
        transposed(Kron(Q1, transposed(Q2))),
        transposed(Kron(g, product(-1, B))),
    ],
    "order of a sum": [
        total(A2, A),
        total(product(2, A2), product(3, A)),
        total(A3, product(-1, A2), A, A3),
        total(product(V, W2), product(A, Q1), A),
        total(Q2, transposed(Q1), Q1),
        total(product(t, A2), A),
    ],
    "Kronecker product": [
        product(Kron(A, B), Kron(matrix("B7", n, q), R)),
        product(Kron(Q1, Q2), Kron(Q3, Q4)),
        product(Kron(product(t, Q1), Q2), Kron(Q3, product(2, Q4))),
        product(Kron(ones(1, p), eye(n)), Kron(ones(p, 1), eye(n))),
        product(Kron(g, B), Kron(transposed(g3), R)),
        product(ones(q, m * n), Kron(A, B)),  # the ones are 1 (x) 1
        product(ones(1, n * p), Kron(ones(n, 1), R)),
        product(Kron(A, B), ones(n * p, q)),
        product(Kron(g, eye(m)), ones(m * n, 1)),
        product(ones(n * n, n * n), Kron(Q1, Q2)),
    ],
    "Kronecker factors": [
        Kron(ones(1, 1), A),
        Kron(eye(1), A),
        Kron(eye(m), eye(n)),
        Kron(eye(1), eye(n)),
        Kron(ones(m, n), ones(n, p)),
        Kron(ones(1, n), ones(m, 1)),
        Kron(g, B),  # a row
        Kron(product(-2, g), Q1),
        Kron(ones(1, n), A),
        Kron(c, B),  # a column
        Kron(transposed(g), Act(A, "cos")),
        Kron(ones(m, 1), B),
        Kron(ones(m, n), B),
        Kron(ones(n, n), Q1),
        Kron(ones(m, n), eye(p)),
        Kron(A, ones(1, 1)),
        Kron(A, eye(1)),
        Kron(A, g2),
        Kron(Q1, transposed(g)),
        Kron(A, ones(1, p)),
        Kron(A, ones(n, p)),
        Kron(eye(p), ones(m, n)),
    ],
    "selection": [
        *(Act(product(A, J), name) for name in ACTIVATIONS),
        Act(product(A, Kron(ones(1, p), eye(n))), "gelu"),
        Act(product(A, row(eye(n), eye(n))), "cos"),
        Act(product(A, row(eye(n), J)), "sigmoid"),
        Act(product(A, row(eye(n), product(J, selection("J_more", q, 1)))), "sigmoid"),
        Act(product(B, Kron(ones(1, q), selection("J_more", p, n))), "tanh"),
        Act(product(c, ones(1, n)), "sigmoid"),
        Act(product(-2, A, Q1, J_square), "gelu"),
        Act(total(product(A, J), product(-1, A2, J), product(X, Q1, J)), "softplus"),
        Act(product(total(A, product(t, A2)), J), "silu"),
        Act(product(V, J_heads), "relu"),
        Hadamard(product(A, J), product(A2, J)),
        Hadamard(product(2, A, J), product(Act(A, "cos"), J)),
        Hadamard(total(product(A, J), product(A2, J)), product(X, J)),
        Hadamard(product(A, row(eye(n), eye(n))), product(A2, row(eye(n), eye(n)))),
        Hadamard(product(c, ones(1, n)), product(c2, ones(1, n))),
        *(Act(product(ones(m, 1), g), name) for name in ACTIVATIONS),  # and copies of rows
        Act(product(transposed(J_wide), A), "gelu"),
        Act(product(Kron(ones(p, 1), eye(m)), A), "cos"),
        Act(product(Kron(transposed(J_wide), ones(p, 1)), A, B), "sigmoid"),
    ],
    "ones apart": [ones(m, n), ones(n, n), ones(2 * n, m), ones(n_hat, p)],
    "diagonals": [
        Diag(product(g, Diag(g3))),
        Diag(product(2, g, Diag(g3), Diag(g))),
        Diag(product(transposed(c), A, Diag(product(-1, g)))),
        Hadamard(product(A, Diag(g)), A2),
        Hadamard(A, product(3, A2, Diag(g))),
        Hadamard(product(A, Diag(g)), product(A2, Diag(g3))),
        Hadamard(Act(A, "silu"), product(A2, Q1, Diag(g))),
    ],
    "product of rows": [
        Hadamard(g, g3),
        Hadamard(g3, g),
        Hadamard(product(2, g), product(transposed(c), A)),
        Hadamard(total(g, g3), product(g, Diag(g3))),
    ],
    "order of diagonals": [
        product(Diag(g3), Diag(g)),
        product(Diag(g), Diag(product(transposed(c), A))),
        product(Diag(total(g, g3)), Diag(product(-1, g))),
    ],
    "sums of ones": [
        product(ones(m, n), ones(n, p)),
        product(ones(1, n), ones(n, 1)),
        product(ones(m, n_hat), ones(n_hat, p)),
        product(ones(m, n), J),
        product(ones(1, n), J_heads),
        product(ones(m, n), Kron(ones(1, p), eye(n))),
        product(ones(m, n), row(eye(n), J)),
        product(transposed(J), ones(n, p)),
        product(Kron(ones(p, 1), eye(n)), ones(n, 1)),
        product(Kron(transposed(J), eye(p)), ones(n * p, m)),
        *(product(Softmax(A, mask), ones(n, p)) for mask in MASKS),
        product(Softmax(product(t, A), "causal"), ones(n, 1)),
        product(J, Diag(product(g, J))),
        product(J, Diag(product(2, g, J))),
        product(J, Diag(total(product(g, J), ones(1, q)))),
        product(ones(m, q), Diag(total(ones(1, q), product(g, J)))),
        product(ones(m, q), Diag(product(g, J))),
        product(ones(1, 2 * n), Diag(product(2, g, row(eye(n), eye(n))))),
        product(row(eye(n), eye(n)), Diag(product(g, row(eye(n), eye(n))))),
        product(J_heads, Diag(total(product(g, J_heads), product(-2, g3, J_heads)))),
        product(ones(1, n), Diag(product(matrix("x1", 1, 1), ones(1, n)))),
    ],
    "shift of a softmax": [
        *(Softmax(total(A, product(c, ones(1, n))), mask) for mask in (*MASKS, "kept")),
        *(Softmax(total(product(L, ones(p, n)), A), mask) for mask in MASKS),
        *(Softmax(total(product(c, ones(1, n)), A, A2, product(-2, c2, ones(1, n))), mask) for mask in MASKS),
        Softmax(total(A, product(n / p, ones(m, n))), "causal"),
        Softmax(total(V, product(V2, ones(p, n)))),
        Softmax(total(product(t, A), product(t, c, ones(1, n))), "top"),
        Softmax(total(A, product(Act(A, "cos"), ones(n, n)))),
    ],
    "weights of the experts": [
        *(heads(routed(A, mask)) for mask in MASKS),
        heads(routed(total(A, product(t, A2)))),
        heads(routed(product(L, transposed(B)))),
        heads(routed(G)),  # the other family's scores
        heads(routed(heads(V))),  # their own family is bound
        heads(routed(A, "none", u_layers)),
        groups(routed(V, "top", u_other)),
    ],
    "idempotent function": [
        Act(Act(A, "relu"), "relu"),
        Act(Act(total(A, product(t, A2)), "relu"), "relu"),
        Act(Act(product(-1, A, B), "relu"), "relu"),
        Act(Act(V, "relu"), "relu"),
    ],
    "transpose of a sum": [
        transposed(total(A, A2)),
        transposed(total(A, transposed(T), product(-1, A2))),
        transposed(total(Q1, transposed(Q2))),
    ],
    "heads of blocks": [
        heads(row(V, V2)),
        heads(row(V, zero(m, p))),
        heads(blocks([[W2, Q1], [product(2, W2), product(W2, Q2)]])),  # one block is the same for all heads
        heads(column(V, product(Q1, W2))),
        heads(row(V, G)),  # the other family has another size
        groups(row(heads(total(H, V)), G)),
    ],
    "heads of a sum": [
        heads(total(V, product(A, W2))),
        heads(total(V, A)),  # one summand is the same for all heads
        heads(total(V, product(-1, V), product(V, W2))),
        heads(total(V, G, H)),
        heads(total(groups(H), groups(V), V)),
        groups(total(heads(V), product(2, G), A)),
        groups(total(heads(H), groups(G))),
    ],
    "common factor of heads": [
        heads(product(V, B)),
        heads(product(-2, V, W2, B)),
        heads(product(A, W, R)),
        heads(product(Softmax(V), Act(B, "relu"))),
        heads(product(W2, Q1)),
        heads(product(A, Q1)),  # all heads share both
        heads(product(V, heads(W2))),  # the inner heads are others
        heads(product(V, G2)),
        groups(product(G, W2)),
        heads(product(H, groups(H2), groups(G2))),
        heads(product(V, W3, matrix("U3", n, p, (LAYERS,)))),
        heads(product(V, Rope(matrix("B6", n, 2 * p), fp))),
        heads(product(V, VR, Softmax(matrix("R6", 2 * p, q), "causal"))),
    ],
}

TRAPS: Mapping[str, Sequence[MatrixExpr]] = {
    "block product": [
        product(row(A, L), column(matrix("K4", p, q), matrix("K5", n, q))),
        product(ones(m, n), ones(n, p)),
        product(ones(m, n + p), matrix("K2", n + p, q)),
        product(row(matrix("K6", m, p), A), product(2, ones(n + p, q))),
    ],
    "block sum": [
        total(row(A, L), row(matrix("K6", m, p), matrix("K7", m, n))),
        total(row(Q1, Q2), matrix("K8", n, 2 * n)),
        total(column(A, Q1), ones(m + n, n)),
        total(row(A, L), product(ones(m, 1), matrix("K9", 1, n + p))),
        total(row(A, L), Act(ones(m, n + p), "cos")),
        total(blocks([[Q1, Q2], [Q3, Q4]]), product(matrix("K12", 2 * n, n), ones(n, 2 * n))),
        total(ones(m, n), product(A, ones(n, n))),
    ],
    "nested blocks": [column(row(A, L), row(matrix("K9", m, p), matrix("K10", m, n)))],
    "product with zero": [
        product(A, ones(n, p)),
        product(2, eye(n)),
        product(row(A, zero(m, p)), column(B, matrix("K11", p, p))),
        Hadamard(A, ones(m, n)),
        Hadamard(row(A, zero(m, p)), row(A2, L)),
        Rope(A2n, zero(1, n)),
        Kron(A, ones(n, p)),
        Kron(row(A, zero(m, p)), B),
        Rope(row(A2n, zero(m, 2 * p)), row(f, fp)),
    ],
    "sum with zero": [total(A, ones(m, n))],
    "zeros": [
        *(Act(zero(m, n), name) for name in ("sigmoid", "softplus", "cos")),
        row(zero(m, n), L),
        *(Softmax(zero(m, n), mask) for mask in MASKS),
        RowScale(zero(m, m), n, S.One),
    ],
    "identity": [
        Hadamard(A, product(ones(m, n), ones(n, n))),
        Hadamard(Q1, product(ones(n, n), ones(n, n))),
        Hadamard(A, product(2, ones(m, 1), ones(1, n))),
        blocks([[eye(n), B], [zero(p, n), eye(p)]]),
        blocks([[eye(n), zero(n, p)], [zero(p, n), matrix("R3", p, p)]]),
        row(eye(n), zero(n, p)),
        product(A, ones(n, n)),
        transposed(Q1),
        product(c, ones(1, n)),
        product(ones(m, 1), g),
        product(ones(m, n), Q1),
        transposed(J_square),
        Diag(g),
        Diag(product(-1, ones(1, n))),
        Diag(total(ones(1, n), g)),
        Hadamard(A, product(2, ones(m, n))),
        Hadamard(Q1, eye(n)),
    ],
    "scalar out": [
        Act(total(product(2, A), product(3, A2)), "relu"),
        Act(total(product(-2, A), product(-2, A2)), "relu"),
        Act(total(product(2, A), product(2, A2)), "gelu"),
        Act(total(product(2, A), A2), "relu"),
        transposed(total(product(2, A), product(-2, A2))),
        Act(product(-2, A), "relu"),
        Act(product(m - n, A), "relu"),
        Act(product(-1, t, A), "relu"),
        *(Act(product(2, A), name) for name in ACTIVATIONS if name != "relu"),
        *(Softmax(product(2, A), mask) for mask in MASKS),
        RowScale(product(2, gram(A)), n, eps),
        Rope(A2n, product(2, f)),
        Rope(A2n, product(2, f), "half"),
        Hadamard(product(2, A), product(Rational(1, 2), A2)),
        Hadamard(Act(product(2, A), "tanh"), A2),
        Kron(product(2, A), product(Rational(1, 2), B)),
    ],
    "rescale the norm": [
        RowScale(total(product(-1, gram(A)), product(3, gram(A))), n, S.One),
        RowScale(product(m - n, gram(A)), n_hat, S.One),
        RowScale(total(product(m - n, gram(A)), product(2, gram(A))), n_hat, S.One),
        RowScale(product(0, gram(A)), n_hat, S.One),
        RowScale(product(t, gram(A)), n_hat, S.One),
        RowScale(product(2, Act(gram(A), "relu")), n_hat, S.One),
        RowScale(zero(m, m), n, S.One),
        RowScale(product(2, matrix("K15", m, n_hat - n), matrix("K16", n_hat - n, m)), n, S.One),
    ],
    "order of a sum": [total(A, A2), product(Q2, Q1), Hadamard(A2, A), row(A2, A)],
    "Kronecker product": [
        product(Kron(A, R), Kron(matrix("K17", q, n), matrix("K18", n, p))),  # only the products of their sizes agree
        product(Kron(A, eye(p)), matrix("K19", n * p, q)),
        product(matrix("K20", q, m * n), Kron(A, B)),
        product(2, Kron(A, B)),
        product(Kron(Q1, Q2), Act(ones(n * n, n), "cos")),
        product(A, B),
        Hadamard(Kron(Q1, Q2), Kron(Q3, Q4)),
    ],
    "Kronecker factors": [
        *(Kron(Q1, Q2), Kron(Q1, eye(n)), Kron(eye(n), Q1), Kron(g, eye(n)), Kron(c, eye(n))),
        *(Kron(A, ones(n, p)), Kron(A, g), Kron(A, c), Kron(matrix("x1", 1, 1), eye(n)), Kron(zero(m, n), B)),
    ],
    "selection": [
        *(Act(product(A, B), name) for name in ACTIVATIONS),
        *(Act(product(A, ones(n, p)), name) for name in ACTIVATIONS),  # n ones in a column
        Act(product(matrix("K21", m, 2 * n), column(eye(n), eye(n))), "gelu"),
        Act(product(A, row(eye(n), zero(n, n))), "cos"),
        Act(product(A, row(eye(n), product(-1, eye(n)))), "gelu"),
        Act(product(A, Kron(ones(1, p), Q1)), "relu"),
        Act(product(A, transposed(J_down)), "relu"),  # S' where J is wanted
        Act(product(J_left, B), "sigmoid"),  # and J where S' is
        Act(product(ones(m, n), B), "relu"),
        Act(product(Kron(ones(1, m), eye(m)), matrix("K22", m * m, n)), "gelu"),
        Act(product(2, J), "gelu"),
        Act(total(product(A, J), matrix("L3", m, q)), "tanh"),
        Act(total(product(A, J), product(A2, J_too)), "relu"),
        Act(total(product(transposed(J_wide), A), product(matrix("K23", q, m), A2)), "relu"),
        *(Softmax(product(A, J), mask) for mask in MASKS),
        Norm(product(A, J_square), g, eps),
        RowScale(product(Q1, J_square), n, S.One),
        Hadamard(product(A, J), matrix("L3", m, q)),
        Hadamard(product(A, J), product(A2, J_too)),
        Hadamard(product(A, ones(n, p)), product(A2, ones(n, p))),
        Hadamard(product(A, J), zero(m, q)),
        Hadamard(product(A, J), ones(m, q)),
        Kron(product(A, J), product(A2, J)),
    ],
    "diagonals": [
        Diag(g),
        Diag(total(product(g, Diag(g3)), g3)),
        Hadamard(A, A2),
        Hadamard(product(A, Q1), A2),
        Hadamard(product(Diag(transposed(c)), A), A2),
        Hadamard(total(product(A, Diag(g)), A3), A2),
        Hadamard(Diag(g), product(2, Diag(g3))),
        product(A, Diag(g)),
        Act(product(A, Diag(g)), "relu"),
        Kron(product(A, Diag(g)), A2),
    ],
    "product of rows": [
        Hadamard(A, A2),
        Hadamard(transposed(g), transposed(g3)),
        Hadamard(Diag(g), Diag(g3)),
        product(g, Diag(g3)),
    ],
    "order of diagonals": [
        product(Diag(g), Diag(g3)),
        product(Diag(g3), Q1),
        product(Q1, Diag(g)),
        product(A, Diag(g3)),
        total(Diag(g3), Diag(g)),
    ],
    "ones apart": [
        ones(1, n),
        ones(m, 1),
        ones(1, 1),
        eye(n),
        zero(m, n),
        A,
        Act(A, "relu"),
        product(2, ones(m, n)),
        Kron(ones(p, 1), eye(n)),
    ],
    "sums of ones": [
        product(ones(m, 1), ones(1, n)),
        product(ones(m, n), B),
        product(ones(m, n), transposed(J_down)),
        product(J, ones(q, p)),
        product(A, ones(n, p)),
        product(ones(m, n), row(eye(n), zero(n, p))),
        product(ones(m, 2 * n), column(eye(n), eye(n))),
        product(ones(n, p), Diag(product(g, ones(n, p)))),
        product(Softmax(matrix("K32", m, n + p + q), "kept"), ones(n + p + q, p)),  # some are not kept
        product(Act(A, "relu"), ones(n, p)),
        *(product(ones(p, m), Softmax(A, mask)) for mask in MASKS),
        product(J, Diag(product(g, J_too))),
        product(J, Diag(total(product(g, J), product(2, ones(1, q))))),
        product(J, Diag(matrix("g4", 1, q))),
        product(J, Diag(product(2, J_one))),
        product(J_square, Diag(g)),
        product(Q1, Diag(product(g, Q1))),
        product(ones(m, n), Diag(product(g, Q1))),
        product(Softmax(matrix("K32", m, n + p + q), "kept"), ones(n + p + q, p)),  # some are not kept
        product(matrix("K31", m, q), Diag(product(g, J))),
        product(transposed(J_square), Diag(product(g, transposed(J_square)))),
        product(J, Diag(total(product(g, J), matrix("g4", 1, q)))),
        Hadamard(ones(m, n), A),
    ],
    "shift of a softmax": [
        *(Softmax(total(A, product(ones(m, 1), g)), mask) for mask in MASKS),  # one shift for each column
        *(Softmax(total(A, product(ones(m, p), transposed(B))), mask) for mask in MASKS),
        *(Softmax(product(A, ones(n, p)), mask) for mask in MASKS),
        Softmax(total(A, Act(ones(m, n), "cos"))),
        Softmax(total(product(c, ones(1, n)), product(c2, ones(1, n))), "causal"),
        Softmax(total(A, product(c, ones(1, p), transposed(B)))),
        Act(total(A, product(c, ones(1, n))), "tanh"),
        Norm(total(A, product(c, ones(1, n))), g, eps),
        RowScale(total(gram(A), product(ones(m, n), ones(n, m))), n, S.One),
        transposed(total(A, product(c, ones(1, n)))),
    ],
    "weights of the experts": [
        heads(routed(A, "kept")),  # what is only cut does not sum to 1
        heads(routed(V)),  # each has scores of its own
        *(heads(routed(H, mask)) for mask in MASKS),
        heads(routed(A, "none", u_other)),  # it picks a member of another family
        heads(routed(A, "none", matrix(CHOSEN, n, 1, (HEADS, GROUPS)))),
        groups(routed(A)),
        heads(routed(A, "none", matrix("w", n, 1, (HEADS,)))),
        heads(Diag(transposed(product(Act(A, "relu"), u)))),
        heads(Diag(transposed(product(2, Softmax(A), u)))),
        heads(Diag(transposed(product(Softmax(A), Q1, u)))),
        heads(product(Softmax(A), u)),
        Diag(transposed(product(Softmax(A), u))),
        heads(product(routed(A), A2)),
    ],
    "idempotent function": [
        *(Act(Act(A, name), name) for name in ACTIVATIONS if name != "relu"),
        *(Act(Act(A, name), "relu") for name in ACTIVATIONS if name != "relu"),
        *(Act(Act(A, "relu"), name) for name in ACTIVATIONS if name != "relu"),
        *(Softmax(Softmax(A, mask), mask) for mask in MASKS),
        Act(product(-1, Act(A, "relu")), "relu"),
    ],
    "first order": [
        product(t, A),
        product(t, 1 + t, A),
        *(Act(product(t, A), name) for name in ("sigmoid", "softplus", "cos")),
        Act(product(2, A), "tanh"),
        Act(total(A, product(t, A)), "tanh"),
        *(Softmax(product(t, A), mask) for mask in MASKS),
        Rope(A2n, product(t, f)),
        product(t, Act(product(2, A), "relu")),
    ],
    "distribute": [product(Act(total(A, A2), "relu"), B), Act(total(A, A2), "tanh")],
    "factor": [
        total(product(A, B), product(A2, B2)),
        total(product(2, Q1), product(Q2, Q1)),
        total(product(Q1, Q2), product(Q1, Q3)),
    ],
    "like terms": [total(Q1, transposed(Q1)), total(product(Q1, Q2), product(Q2, Q1)), total(A, Act(A, "relu"))],
    "elementwise on blocks": [
        *(Softmax(row(A, L), mask) for mask in MASKS),
        *(Softmax(column(A, Q1), mask) for mask in MASKS),
        Norm(row(A, L), row(g, g2), eps),
    ],
    "entrywise product of blocks": [
        Hadamard(row(A, L), row(matrix("K6", m, p), matrix("K7", m, n))),
        Hadamard(row(Q1, Q2), matrix("K8", n, 2 * n)),
        Hadamard(row(A, L), ones(m, n + p)),
        Hadamard(blocks([[Q1, Q2], [Q3, Q4]]), row(*(matrix(f"K{i}", 2 * n, n) for i in (12, 13)))),
        Hadamard(column(row(Q1, Q2), row(Q3, Q4)), row(column(Q5, Q6), column(Q7, Q8))),
        Hadamard(A, A2),
        Kron(row(A, L), row(A2, L)),
    ],
    "rotation of blocks": [
        Rope(row(A2n, A2n2), row(f, f2), "half"),
        Rope(row(A2n, A2n2), Frequencies(rho, 4 * n), "half"),
        Rope(row(A2n, L), f, "half"),
        Rope(row(A, A2), Frequencies(rho, 2 * n)),  # with n odd a pair lies in both blocks
        Rope(row(A, matrix("A13", m, n + 2 * p)), Frequencies(rho, 2 * n + 2 * p)),
        Rope(row(matrix("x1", 1, 1), matrix("x2", 1, 1)), matrix("f1", 1, 1)),
        Rope(row(A, A2, A2n), row(f, f2)),
        Rope(row(A2n, A2p), row(fp, f)),
        Rope(row(A2n, A2n2), matrix("K14", 1, 2 * n)),
        Rope(row(A2n, A2n2), product(2, row(f, f2))),
        Rope(row(A, A2), f),
        Rope(row(A2n, L), row(f, fp)),  # more frequencies than pairs
        Rope(row(A2n, A2n2, L), row(f, f2)),
        Rope(column(A2n, matrix("A14", n, 2 * n)), f),
        Rope(blocks([[A2n, L], [matrix("A14", n, 2 * n), B]]), f),
        Rope(A2n, f),
    ],
    "diagonal of blocks": [Diag(g)],
    "transpose of a product": [transposed(Hadamard(Q1, Q2)), transposed(Act(product(Q1, Q2), "cos"))],
    "transpose of a sum": [transposed(Act(total(Q1, Q2), "relu"))],
    "heads of a sum": [heads(Act(total(V, A), "relu")), heads(Act(total(V, product(-1, V)), "relu"))],
    "heads of blocks": [
        *(heads(Softmax(row(V, V2), mask)) for mask in MASKS),
        heads(Hadamard(row(V, V2), row(V3, V2))),
        heads(Rope(row(VR, B), fV)),
    ],
    "common factor of heads": [
        heads(product(V, W)),
        heads(product(A, W2)),
        heads(product(V, Act(W, "relu"))),
        heads(product(V, B, transposed(V2))),
        heads(product(Q1, heads(W2))),
        heads(product(V, W3)),
        heads(product(V, Rope(matrix("B6", n, 2 * p), fV))),
        heads(product(V, Softmax(W, "causal"))),
        heads(product(V, Hadamard(B, W))),
        heads(product(V, groups(H2))),
        groups(product(G, H2)),
        groups(product(heads(H), H2)),
        heads(product(A, Stack(W2, Q1, total(Q1, Q2), LAYERS))),
        heads(product(A, Stack(Q2, Q1, product(Q1, W2), LAYERS))),
    ],
}

# ---------------------------------------------------------------- samples of rules that use a context


M, M2, M3, M4 = (matrix(name, m, n) for name in ("M", "M2", "M3", "M4"))
P1, P2, P3, P4 = matrix("P1", m, p + q), matrix("P2", n, p + q), matrix("P3", m, p), matrix("P4", n, q)
S1, S2, S3, S4 = (matrix(name, n, n) for name in ("S1", "S2", "S3", "S4"))
CONSTRAINTS = (
    Equation(M, zero(m, n)),
    Equation(product(P1, transposed(P2)), zero(m, n)),
    Equation(total(M2, product(-3, M3)), zero(m, n)),
    Equation(total(product(n, M4), product(-1, A, S1)), product(sqrt(p), A2)),
    Equation(transposed(S2), S3),
    Equation(total(product(m - n, S4), Q1), Q2),
    Equation(product(Q3, Q4), Q5),
    Equation(Q6, product(m - n, Q7)),
)
MET: Definitions = (
    (M, zero(m, n)),
    (P1, row(P3, zero(m, q))),
    (P2, row(zero(n, p), P4)),
    (M2, product(3, M3)),
    (M4, product(1 / n, total(product(A, S1), product(sqrt(p), A2)))),
    (S3, transposed(S2)),
    (Q2, total(product(m - n, S4), Q1)),
    (Q5, product(Q3, Q4)),
    (Q6, product(m - n, Q7)),
)


def constraint_samples() -> Iterator[Sample]:
    """Constraints as they stand, transposed, and solved for each of their terms."""
    given = Context(CONSTRAINTS)
    word = product(A, S1)
    for argument, term in (
        ((0,), M),
        ((0,), transposed(M)),
        ((0, 0), M),
        ((1,), product(P1, transposed(P2))),
        ((1,), product(P2, transposed(P1))),
        ((1,), transposed(product(P1, transposed(P2)))),
        ((2,), total(M2, product(-3, M3))),
        ((2, 0), M2),
        ((2, 0), transposed(M2)),
        ((2, 1), M3),
        ((3, 0), M4),
        ((3, 0), transposed(M4)),
        ((3, 1), word),
        ((3, 1), product(transposed(S1), transposed(A))),
        ((4,), transposed(S2)),
        ((4,), S2),
        ((6,), product(transposed(Q4), transposed(Q3))),
        ((3, 2), A2),  # a term of the right side
        ((3, 2), transposed(A2)),
        ((4, 1), S3),
        ((5, 2), Q2),
        ((6, 1), Q5),
    ):
        yield Sample("constraint", term, argument, given, MET)
    for argument, term in (
        ((4,), S3),
        ((5, 0), S4),  # m - n may be zero
        ((7, 1), Q7),
        ((6, 1), product(Q3, Q4)),
        ((3, 1), product(A, transposed(S1))),
        ((2, 1), product(-3, M3)),
        ((6,), product(transposed(Q3), transposed(Q4))),
        ((6,), product(Q4, Q3)),
        ((0,), M2),
        ((0, *TURNED), M),
    ):
        yield Sample("constraint", term, argument, given, MET, trap=True)


two, x1, x2 = Integer(2), matrix("x1", 1, 1), matrix("x2", 1, 1)
Y1, Y2, Y5, Y6 = (matrix(name, two, two) for name in ("Y1", "Y2", "Y5", "Y6"))
Y3, Y4 = matrix("Y3", 1, two), matrix("Y4", two, 1)
J_turn, mirror = selection("J_turn", two, two), matrix("mirror", two, two)
TURNS = Context(
    (
        Equation(product(Y1, Y2), product(2, eye(two))),
        Equation(product(Y3, Y4), eye(1)),
        Equation(product(Y5, Y6), zero(two, two)),
        *(Equation(product(one, transposed(one)), eye(two)) for one in (J_turn, mirror)),
    )
)
TURNS_MET: Definitions = (
    (Y1, blocks([[eye(1), x1], [zero(1, 1), product(2, eye(1))]])),
    (Y2, blocks([[product(2, eye(1)), product(-1, x1)], [zero(1, 1), eye(1)]])),
    (Y3, row(eye(1), x1)),
    (Y4, column(eye(1), zero(1, 1))),
    (Y5, blocks([[zero(1, 1), x1], [zero(1, 1), zero(1, 1)]])),
    (Y6, blocks([[x2, zero(1, 1)], [zero(1, 1), zero(1, 1)]])),
    (J_turn, blocks([[zero(1, 1), eye(1)], [eye(1), zero(1, 1)]])),
    (mirror, blocks([[product(Rational(c, 5), eye(1)) for c in cells] for cells in ((3, 4), (4, -3))])),
)


def turned_samples() -> Iterator[Sample]:
    """Constraints on inverses, read from the other side."""
    for term in (product(Y2, Y1), product(transposed(Y1), transposed(Y2))):
        yield Sample("constraint", term, (0, *TURNED), TURNS, TURNS_MET)
    for i, term in enumerate((product(Y1, Y2), product(Y4, Y3), product(Y6, Y5))):  # no squares; zero divisors
        yield Sample("constraint", term, (i, *TURNED), TURNS, TURNS_MET, trap=True)
    sums = ((ROW_SUMS, product(J_turn, ones(two, 1))), (COLUMN_SUMS, product(ones(1, two), transposed(J_turn))))
    for form, term in sums:
        yield Sample("constraint", term, (3, *form), TURNS, TURNS_MET)
        yield Sample("constraint", transposed(term), (3, *form), TURNS, TURNS_MET)
    yield Sample("constraint", product(mirror, ones(two, 1)), (4, *ROW_SUMS), TURNS, TURNS_MET, trap=True)
    yield Sample(
        "constraint", product(ones(1, two), transposed(mirror)), (4, *COLUMN_SUMS), TURNS, TURNS_MET, trap=True
    )


y1, y2, y3, y4 = (matrix(f"y{i}", 1, two) for i in range(1, 5))
z1, z2 = matrix("z1", two, 1), matrix("z2", two, 1)
OF_ROWS = Context(
    (
        Equation(Hadamard(y2, y1), product(3, ones(1, two))),
        Equation(Hadamard(y3, y4), zero(1, two)),
        Equation(Hadamard(z1, z2), ones(two, 1)),
    )
)
OF_ROWS_MET: Definitions = (
    (y1, row(eye(1), product(3, eye(1)))),
    (y2, row(product(3, eye(1)), eye(1))),
    (y3, row(x1, zero(1, 1))),
    (y4, row(zero(1, 1), x2)),
    (z1, column(product(2, eye(1)), product(-1, eye(1)))),
    (z2, column(product(Rational(1, 2), eye(1)), product(-1, eye(1)))),
)


def diagonal_samples() -> Iterator[Sample]:
    """Constraints on the products of rows, as constraints on diagonal matrices."""
    yield Sample("constraint", product(Diag(y1), Diag(y2)), (0, *DIAGONAL), OF_ROWS, OF_ROWS_MET)
    for i, term in ((0, Diag(y1)), (1, product(Diag(y3), Diag(y4))), (2, product(transposed(z1), z2))):
        yield Sample("constraint", term, (i, *DIAGONAL), OF_ROWS, OF_ROWS_MET, trap=True)


M5 = matrix("M5", m, n)
OF_HEADS = Context((Equation(M5, V3), Equation(total(M5, V4), V5)))  # for each head
OF_HEADS_MET = ((V3, M5), (V5, total(M5, V4)))


def of_heads_samples() -> Iterator[Sample]:
    """Constraints that bring what differs from head to head into a sum and out of it, and its common factors then."""
    own = transposed(V)
    for argument, term, at in (
        ((0,), M5, ()),
        ((0,), transposed(M5), ()),
        ((0,), heads(M5), (0,)),
        ((0,), heads(product(own, M5)), (0, 1)),
        ((0,), product(heads(own), M5), (1,)),  # any head
        ((0, 1), V3, ()),
        ((0, 1), heads(product(own, V3)), (0, 1)),
        ((0, 1), groups(heads(total(V3, H))), (0, 0, 0)),
        ((1, 0), heads(product(own, M5)), (0, 1)),
        ((1, 0), product(heads(own), M5), (1,)),
        ((1, 1), heads(total(V, V4)), (0, 1)),
        ((1, 2), heads(product(own, V5)), (0, 1)),
    ):
        yield Sample("constraint", term, argument, OF_HEADS, OF_HEADS_MET, at=at)
    for argument, whole in (((0,), heads(M5)), ((0, 1), heads(V3)), ((0,), V3), ((1, 0), heads(M5))):
        yield Sample("constraint", whole, argument, OF_HEADS, OF_HEADS_MET, trap=True)
    yield Sample("common factor of heads", heads(product(own, M5)), (), OF_HEADS, OF_HEADS_MET)
    for argument, last in (((0,), M5), ((1, 0), M5), ((1, 1), V4), ((1, 2), V5)):
        inside = Step("constraint", ((0, 1),), argument)
        brought = derive(OF_HEADS, heads(product(own, last)), (inside,)).right
        yield Sample("common factor of heads", brought, (), OF_HEADS, OF_HEADS_MET, trap=True)


def proved(start: MatrixExpr, *steps: Step, hypotheses: tuple[Equation, ...] = ()) -> Theorem:
    return derive(Context(hypotheses), start, steps)


def everywhere(rule: str, argument: tuple[int, ...] = ()) -> Step:
    return Step(rule, ((),), argument)


def lemma_samples() -> Iterator[Sample]:
    """Instances of the stream: a symbol, a sum, a product that melts into its place, a block matrix."""
    doubled = proved(Act(total(X, X), "relu"), Step("like terms", ((0,),)), everywhere("scalar out"))
    spread = proved(product(X, total(B, B2)), everywhere("distribute"))
    sum_of_heads = proved(heads(product(transposed(V2), X)), everywhere("common factor of heads"))
    killed = proved(
        total(X, product(X, S1, matrix("Z", n, n))),
        Step("constraint", ((1, (1, 3)),), (0,)),
        Step("product with zero", ((1,),)),
        everywhere("sum with zero"),
        hypotheses=(Equation(product(S1, matrix("Z", n, n)), zero(n, n)),),
    )
    own = proved(product(A, eye(n)), everywhere("identity"))
    attended = proved(Softmax(total(X, X), "causal"), Step("like terms", ((0,),)))
    turned = proved(Rope(total(row(X, X), row(A, A2)), f3, "half"), Step("block sum", ((0,),)))
    given = Context(lemmas=(own, doubled, spread, sum_of_heads, attended, turned), stream=X)
    for index, lemma, instances in (
        (1, doubled, (X, A, product(-2, A), product(L, T2, A), Act(A, "tanh"))),
        (2, spread, (X, A, product(-2, A), product(L, T2, A), total(A, A2), heads(product(V, W2)))),
        (3, sum_of_heads, (X, A, product(L, T2, A), total(A, A2), heads(V), G, groups(G))),
        (4, attended, (A, product(-2, A), heads(V))),
        (5, turned, (A, product(L, T2, A))),
    ):
        for instance in instances:
            yield Sample("lemma", substitute(lemma.left, {X: instance}), (index,), given)
    yield Sample("lemma", own.left, (0,), given)
    yield Sample("lemma", own.left, (0,), Context(lemmas=(own,)))
    under = Context(killed.hypotheses, (killed,), X)
    met = ((matrix("Z", n, n), zero(n, n)),)
    yield Sample("lemma", killed.left, (0,), under, met)
    yield Sample("lemma", substitute(killed.left, {X: product(L, transposed(W))}), (0,), under, met)
    for index, term in (
        (3, heads(product(transposed(V2), V2, transposed(B)))),  # each head has a V2 of its own
        (3, heads(product(transposed(V2), V))),
        (3, heads(product(transposed(V2), groups(H)))),
        (1, Act(total(A, A2), "relu")),
        (1, Act(total(A, A), "tanh")),
        (4, Softmax(total(A, A))),
        (5, Rope(total(row(A3, A3), row(A, A2)), f, "half")),
        (5, Rope(total(row(A3, A3), row(A, A2)), f3)),
        (2, product(A, total(B, B3))),
        (0, product(A2, eye(n))),
    ):
        yield Sample("lemma", term, (index,), given, trap=True)


# Layers: the stream is Y (m x n) before and Y C (m x n+p) after, with E for C where it is written out.
Y, Z, Z2 = matrix("Y", m, n), matrix("Z", m, n), matrix("Z", m, n + p)
C, C2, E = matrix("C", n, n + p), matrix("C2", n, n + p), row(eye(n), zero(n, p))
D, D2 = matrix("D", n + p, n, (LAYERS,)), matrix("D2", n + p, n + p, (LAYERS,))
D3, D4 = matrix("D3", p, n, (LAYERS,)), matrix("D4", p, p, (LAYERS,))
D5, D6 = matrix("D5", n + p, n), matrix("D6", n + p, n)
N, N2 = matrix("N", n + p, n + p), matrix("N2", n + p, n + p)
U, U2 = matrix("U", n, n, (LAYERS,)), matrix("U2", n, n)
C3, C4 = matrix("C3", n, n + p, (LAYERS,)), matrix("C4", n, n + p, (HEADS,))  # no stream maps: each member has its own
UNITS = (Equation(product(C, D2), product(U, C)), Equation(N, zero(n + p, n + p)))
UNITS_MET = ((C, E), (D2, blocks([[U, zero(n, p)], [D3, D4]])), (N, zero(n + p, n + p)))


def stack(start: MatrixExpr, layer: Layer, *inserted: Layer, stream: MatrixSymbol = Z2) -> Stack:
    """Layers[layer | inserted](start), for layers as functions of the stream."""
    return Stack(start, stream, layer(stream), LAYERS, [one(stream) for one in inserted])


def padded(x: MatrixExpr) -> MatrixExpr:
    return total(x, product(Act(product(x, U), "relu"), U), zero(m, n))


def headed(x: MatrixExpr) -> MatrixExpr:
    return total(zero(m, n), x, heads(product(x, W3, U)))


def unpadded(x: MatrixExpr) -> MatrixExpr:
    return total(x, zero(m, n))


def shifted(x: MatrixExpr) -> MatrixExpr:
    return total(x, A, zero(m, n))


def added(x: MatrixExpr) -> MatrixExpr:
    return total(x, product(x, D, C))


def added_elsewhere(x: MatrixExpr) -> MatrixExpr:
    return total(x, product(x, D, C2))


def through(x: MatrixExpr) -> MatrixExpr:
    return product(x, D, C)


def moved(x: MatrixExpr) -> MatrixExpr:
    return product(x, D2)


def written(x: MatrixExpr) -> MatrixExpr:
    return product(x, blocks([[U, zero(n, p)], [D3, D4]]))


def unit(x: MatrixExpr) -> MatrixExpr:
    return total(x, product(x, N))


def other(x: MatrixExpr) -> MatrixExpr:
    return total(x, product(x, N2))


def elsewhere(x: MatrixExpr) -> MatrixExpr:
    return product(x, D, C2)


def once(x: MatrixExpr) -> MatrixExpr:
    return product(x, D5, C)


def once_more(x: MatrixExpr) -> MatrixExpr:
    return product(x, D6, C)


def shifted_back(x: MatrixExpr) -> MatrixExpr:
    return total(product(-1, x), A, zero(m, n))


def of_layers(x: MatrixExpr) -> MatrixExpr:
    return product(x, D, C3)


def of_heads(x: MatrixExpr) -> MatrixExpr:
    return product(x, heads(product(D, W3)), C4)


def of_layers_once(x: MatrixExpr) -> MatrixExpr:
    return product(x, D5, C3)


def doubled(x: MatrixExpr) -> MatrixExpr:
    return total(x, x)


def with_x(x: MatrixExpr) -> MatrixExpr:
    return total(x, X)


def nested(x: MatrixExpr) -> MatrixExpr:
    return Stack(x, A, total(A, x), LAYERS)


NO_MAPS: Sequence[tuple[MatrixSymbol, Layer]] = ((C3, of_layers), (C3, of_layers_once), (C4, of_heads))


def without_map() -> Iterator[Sample]:
    lemmas = [
        proved(layer(X), everywhere("sum with zero")) for layer in (padded, headed, unpadded, shifted, shifted_back)
    ]
    more = [proved(doubled(X), everywhere("like terms")), proved(nested(X))]
    given = Context(lemmas=(*lemmas, *more), stream=X)
    for start, stream, layers, kept in (
        (Y, X, (padded,), ()),
        (product(A, U2), Z, (padded,), ()),
        (Y, Z, (headed,), ()),
        (Y, Z, (padded, unpadded, unpadded), ()),
        (Y, Z, (padded, unpadded, shifted), (2,)),
        (Y, X, (headed, shifted, unpadded, shifted_back), (1, 3)),
        (Y, Z, (doubled, unpadded), ()),
    ):
        yield Sample("induction over layers", stack(start, *layers, stream=stream), (), given, kept=kept)
    for layer in (lambda x: total(x, A2), lambda x: total(x, product(x, U)), lambda x: total(x, x, zero(m, n))):
        yield Sample("induction over layers", stack(Y, layer, stream=Z), (), given, trap=True)  # no lemma is about it
    for layers in (
        (with_x,),  # X stands for another matrix here
        (unpadded, with_x),
        (nested,),  # the stream is out of reach
        (padded, padded),  # what differs from layer to layer is in no family once it is inserted
    ):
        yield Sample("induction over layers", stack(Y, *layers, stream=Z), (), given, trap=True)


def with_map() -> Iterator[Sample]:
    XC = product(X, C)
    steps: Mapping[Layer, tuple[Step, ...]] = {
        moved: (Step("constraint", (((1, 3),),), (0,)),),
        unit: (Step("constraint", ((1, 2),), (1,)), Step("product with zero", ((1,),)), everywhere("sum with zero")),
        through: (),
        other: (),
        elsewhere: (),
        once: (),
        once_more: (),
        added: (),
        added_elsewhere: (),
    }
    lemmas = [proved(layer(XC), *chain, hypotheses=UNITS) for layer, chain in steps.items()]
    lemmas += [proved(layer(product(X, own)), hypotheses=UNITS) for own, layer in NO_MAPS]
    given = Context(UNITS, tuple(lemmas), X)
    YC = product(Y, C)
    for start, layers, kept in (
        (YC, (moved,), ()),
        (YC, (moved, unit), ()),
        (YC, (moved, unit, once), (2,)),
        (YC, (through,), ()),
        (YC, (through, unit, unit), ()),
        (YC, (through, once, unit, once_more), (1, 3)),
        (YC, (added,), ()),  # a sum of which each summand ends in C
        (YC, (added, once), (1,)),
        (product(L, T2, Y, C), (through,), ()),
    ):
        yield Sample("induction over layers", stack(start, *layers), (), given, UNITS_MET, kept=kept)
    for term in (
        stack(YC, moved, other),  # what comes out of the inserted layer does not end in C
        stack(YC, other),  # nor what comes out of this layer
        stack(YC, elsewhere),  # another matrix than C comes out of the layer
        stack(YC, added_elsewhere),  # nor out of one of two summands
        stack(YC, through, elsewhere),
        stack(matrix("Y2", m, n + p), moved),
        stack(product(Y, C2), moved),
        *(stack(product(Y, own), layer) for own, layer in NO_MAPS),
        stack(product(Y, C3), of_layers, of_layers_once),
        stack(YC, through, through),  # the inserted layer has what differs from layer to layer
        stack(YC, lambda x: product(x, D2, D2)),  # no lemma is about this layer
    ):
        yield Sample("induction over layers", term, (), given, UNITS_MET, trap=True)


def with_map_and_nothing_else() -> Iterator[Sample]:
    lemmas = [proved(layer(product(X, C))) for layer in (through, elsewhere, once)]
    given = Context(lemmas=tuple(lemmas), stream=X)
    yield Sample("induction over layers", stack(product(Y, C), through, once), (), given, kept=(1,))
    yield Sample("induction over layers", stack(product(Y, C), elsewhere), (), given, trap=True)


def raised(x: MatrixExpr) -> MatrixExpr:
    return total(x, product(A, C))


def with_a_multiple_of_a_map() -> Iterator[Sample]:
    """The lemma is about X (2 C); what the layer adds is the half of it in X."""
    given = Context(lemmas=(proved(raised(product(2, X, C))),), stream=X)
    yield Sample("induction over layers", stack(product(2, Y, C), raised), (), given)
    yield Sample("induction over layers", stack(product(2, L, T2, Y, C), raised), (), given)
    for start in (product(3, Y, C), product(-2, Y, C), product(Y, C)):
        yield Sample("induction over layers", stack(start, raised), (), given, trap=True)


def with_a_map_of_blocks() -> Iterator[Sample]:
    square = prove(Context(stream=X), written(product(X, E)), product(X, U, E)).theorem
    assert square is not None
    given = Context(lemmas=(square,), stream=X)
    yield Sample("induction over layers", stack(product(Y, E), written), (), given)
    yield Sample("induction over layers", stack(product(A, U2, E), written), (), given)


SAMPLES: tuple[Sample, ...] = (
    *plain_samples(),
    *constraint_samples(),
    *turned_samples(),
    *diagonal_samples(),
    *of_heads_samples(),
    *lemma_samples(),
    *without_map(),
    *with_map(),
    *with_map_and_nothing_else(),
    *with_a_multiple_of_a_map(),
    *with_a_map_of_blocks(),
)
