"""The rules of algebra: each rewrites a term into an equal one, whatever its matrices are.

A rule takes a term and gives another of the same shape and value, or None where it does not apply.  These rules are
trusted, with the kernel that applies them; each is drawn in its docstring and tested by values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

from sympy import S, Symbol, cancel, expand, sqrt, together

from ..symbolic.grids import (
    Blocks,
    cellwise,
    columns_of,
    common_cuts,
    cut,
    cut_like,
    heights,
    partition,
    same_partition,
    widths,
)
from ..symbolic.notation import text
from ..symbolic.terms import (
    CHOSEN,
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
    MatrixExpr,
    MatrixSymbol,
    Norm,
    OneMatrix,
    Rope,
    RowScale,
    Softmax,
    Transpose,
    ZeroMatrix,
    block_rows,
    blocks,
    children,
    eye,
    flipped,
    free,
    is_scalar,
    is_selection,
    ones,
    path_of,
    product,
    rebuild,
    same_size,
    shape,
    total,
    transposed,
    zero,
)

FIXES_ZERO = frozenset({"relu", "gelu", "gelu_tanh", "quick_gelu", "silu", "tanh"})  # elementwise, f(0) = 0
POSITIVELY_HOMOGENEOUS = frozenset({"relu"})  # f(c x) = c f(x) for c > 0
IDEMPOTENT = frozenset({"relu"})  # f(f(x)) = f(x)
SLOPE_AT_ZERO = {"relu": S.Zero, "tanh": S.One, **dict.fromkeys(("gelu", "gelu_tanh", "quick_gelu", "silu"), S.Half)}
# f'(0); of relu by convention
FIRST_ORDER = Symbol("\u03c4", real=True)  # a number with square zero: equations with it hold to first order

Rule = Callable[[Expr], "Expr | None"]


# ---------------------------------------------------------------- scalars


def simplified(scalar: Expr) -> Expr:
    """A scalar in lowest terms; sympy's field arithmetic is trusted here."""
    return scalar if scalar.is_Mul or scalar.is_Atom or scalar.is_Pow else cancel(together(expand(scalar)))


def split(term: Expr) -> tuple[Expr, MatrixExpr]:
    """A product as (scalar, matrices)."""
    if not isinstance(term, MatMul):
        return sqrt(1), term
    scalars = [part for part in term.args if is_scalar(part)]
    return prod(scalars, start=sqrt(1)), product(*term.args[len(scalars) :])


def common(term: Expr) -> tuple[Expr, MatrixExpr]:
    """A product as (scalar, matrices), and a sum as (a number that all its terms have in front, the sum without)."""
    if not isinstance(term, MatAdd):
        return split(term)
    scalars, rest = zip(*map(split, term.args), strict=True)
    return (scalars[0], total(*rest)) if scalars[0].is_nonzero and len(set(scalars)) == 1 else (S.One, term)


def scaled(c: Expr, term: MatrixExpr) -> MatrixExpr:
    """c A, with one scalar in front."""
    a, A = split(term)
    return product(simplified(c * a), A)


def terms_of(side: MatrixExpr) -> tuple[MatrixExpr, ...]:
    """The terms of a sum; zero has none."""
    return () if isinstance(side, ZeroMatrix) else side.args if isinstance(side, MatAdd) else (side,)


def transpose_word(term: Expr) -> Expr:
    """The transpose of a product written out: (A B)' as B' A'."""
    if not isinstance(term, MatMul):
        return transposed(term)
    scalar, _ = split(term)
    return product(scalar, *(flipped(part) for part in reversed(term.args) if not is_scalar(part)))


def ends_with(term: Expr, C: tuple[MatrixExpr, ...]) -> Expr | None:
    """Y for a term Y C, with C a matrix or a multiple of one; None when the term does not end in it."""
    if not C:
        return term
    if isinstance(term, MatAdd):
        parts = [ends_with(part, C) for part in term.args]
        return None if None in parts else total(*parts)
    c, last = split(C[0])
    if not isinstance(term, MatMul) or term.args[-1] != last or is_scalar(term.args[-2]):
        return None
    return scaled(1 / c, product(*term.args[:-1]))


# ---------------------------------------------------------------- rules


def of(term: Expr, outer: type[Any], inner: type[Any]) -> bool:
    """Whether a term is, say, the transpose of a sum."""
    return isinstance(term, outer) and isinstance(term.arg, inner)


def norm_definition(term: Expr) -> Expr | None:
    """Norm_g(X)  =  D_n(X X') X diag(g)        for X with n columns; D_n(G) = diag(1/sqrt(G_ii/n + eps))"""
    if not isinstance(term, Norm):
        return None
    X = term.arg
    return product(RowScale(product(X, transposed(X)), X.cols, term.eps), X, Diag(term.gain))


def block_product(term: Expr) -> Expr | None:
    """[A B] [C ; D]  =  A C + B D        where inner sizes agree; neighbours are put together, 1s cut until they do"""
    if not isinstance(term, MatMul) or len(term.args) != 2 or is_scalar(term.args[0]):
        return None
    A, B = term.args
    left, right = cut(A, [A.rows], heights(block_rows(B))), cut(B, widths(block_rows(A)), [B.cols])
    cuts = common_cuts(widths(left), heights(right))
    if len(cuts) == len(left) == len(right[0]) == 1:
        return None
    across = [[blocks([row[slice(*run)]]) for run, _ in cuts] for row in left]
    down = [[blocks([[block] for block in column[slice(*run)]]) for _, run in cuts] for column in columns_of(right)]
    return blocks([[total(*map(product, row, column)) for column in down] for row in across])


def block_scalar(term: Expr) -> Expr | None:
    """a [A B]  =  [a A  a B]"""
    a, grid = split(term)
    if grid == term or not isinstance(grid, BlockMatrix):
        return None
    return cellwise(lambda block: product(a, block), block_rows(grid))


def block_sum(term: Expr) -> Expr | None:
    """[A B] + [C D]  =  [A+C  B+D]        for blocks of equal sizes; A 1, ending in ones, is cut to fit"""
    if not isinstance(term, MatAdd) or not any(isinstance(part, BlockMatrix) for part in term.args):
        return None
    whole = next(block_rows(part) for part in term.args if isinstance(part, BlockMatrix))
    grids = [cut_like(part, whole) for part in term.args]
    return cellwise(total, *grids) if all(same_partition(whole, grid) for grid in grids) else None


def block_transpose(term: Expr) -> Expr | None:
    """[A B ; C D]'  =  [A' C' ; B' D']"""
    if not of(term, Transpose, BlockMatrix):
        return None
    return cellwise(transposed, columns_of(block_rows(term.arg)))


def block_act(term: Expr) -> Expr | None:
    """f([A B])  =  [f(A) f(B)]        for an elementwise f"""
    return cellwise(lambda block: Act(block, term.name), block_rows(term.arg)) if of(term, Act, BlockMatrix) else None


def block_hadamard(term: Expr) -> Expr | None:
    """[A B] o [C D]  =  [A o C   B o D]        the entrywise product, for blocks of equal sizes"""
    if not isinstance(term, Hadamard) or not all(isinstance(part, BlockMatrix) for part in children(term)):
        return None
    left, right = map(block_rows, children(term))
    return cellwise(Hadamard, left, right) if same_partition(left, right) else None


def block_rope(term: Expr) -> Expr | None:
    """Rope_f([A B])  =  [Rope_g(A)  Rope_h(B)]        for f = [g h], g for the pairs of A; [Rope_f(A) B] without h

    Neighbours are the pairs, and A holds whole pairs only.
    """
    if not isinstance(term, Rope) or term.layout != "interleaved" or len(block_rows(term.arg)) > 1:
        return None
    ((first, *others),) = block_rows(term.arg)
    if not others:
        return None
    if (first.cols - 2 * term.table.cols).is_nonnegative:
        return blocks([[Rope(first, term.table), *others]])
    tables = cut_table(term.table, first.cols / 2) if same_size(term.arg.cols, 2 * term.table.cols) else None
    return blocks([list(map(Rope, (first, blocks([others])), tables))]) if tables else None


def cut_table(table: MatrixExpr, pairs: Expr) -> tuple[MatrixExpr, MatrixExpr] | None:
    """A row of frequencies cut after so many: at a block, or in a geometric sequence after any whole number."""
    a, row = split(table)
    if isinstance(row, Frequencies) and pairs.is_integer:
        m = 2 * pairs
        return product(a, Frequencies(row.rho, m)), product(a * row.rho**-m, Frequencies(row.rho, row.n - m))
    (first, *others), *_ = block_rows(table)
    return (first, blocks([others])) if others and same_size(first.cols, pairs) else None


def block_diag(term: Expr) -> Expr | None:
    """diag([a b])  =  [diag(a) 0 ; 0 diag(b)]"""
    if not of(term, Diag, BlockMatrix):
        return None
    (row,) = block_rows(term.arg)
    return blocks([[Diag(a) if i == j else zero(a.cols, b.cols) for j, b in enumerate(row)] for i, a in enumerate(row)])


def block_nested(term: Expr) -> Expr | None:
    """[[A B] C]  =  [A B C]        a block of zeros or ones is cut to fit; other blocks must have equal parts"""
    if not isinstance(term, BlockMatrix) or not any(isinstance(block, BlockMatrix) for block in children(term)):
        return None
    grid = block_rows(term)
    rows = [partition(row, heights) for row in grid]
    columns = [partition(column, widths) for column in columns_of(grid)]
    if not all(rows) or not all(columns):
        return None
    cells = [[cut(b, m, n) for b, n in zip(row, columns, strict=True)] for row, m in zip(grid, rows, strict=True)]
    return blocks([[part for cell in row for part in cell[i]] for row in cells for i in range(len(row[0]))])


def annihilate(term: Expr) -> Expr | None:
    """A 0  =  0  =  0 A,   A o 0  =  0  =  0 o A,   A (x) 0  =  0  =  0 (x) A,   Rope(0)  =  0"""
    parts = children(term)[:1] if isinstance(term, Rope) else children(term)
    if not isinstance(term, (MatMul, Hadamard, Kron, Rope)) or not any(isinstance(part, ZeroMatrix) for part in parts):
        return None
    return zero(*shape(term))


def neutral(term: Expr) -> Expr | None:
    """A + 0  =  A"""
    if not isinstance(term, MatAdd):
        return None
    kept = [part for part in term.args if not isinstance(part, ZeroMatrix)]
    if len(kept) == len(term.args):
        return None
    return total(*kept) if kept else zero(*shape(term))


def diagonals(term: Expr) -> Expr | None:
    """diag(g diag(a))  =  diag(g) diag(a),   A diag(a) o B  =  (A o B) diag(a)  =  A o B diag(a)"""
    parts = children(term) if isinstance(term, (Diag, Hadamard)) else ()
    at = next((i for i, part in enumerate(parts) if of_word(part, Diag)), None)
    if at is None:
        return None
    word = parts[at].args
    return product(rebuild(term, [*parts[:at], product(*word[:-1]), *parts[at + 1 :]]), word[-1])


def row_product(term: Expr) -> Expr | None:
    """g o h  =  g diag(h)  =  h o g        for rows, in the order of the alphabet"""
    if not isinstance(term, Hadamard) or term.rows != 1:
        return None
    g, h = sorted(children(term), key=str)
    return product(g, Diag(h))


def diagonals_in_order(term: Expr) -> Expr | None:
    """diag(h) diag(g)  =  diag(g) diag(h)        in the order of the alphabet"""
    if (factors := pair(term)) is None or not all(isinstance(part, Diag) for part in factors):
        return None
    A, B = factors
    return product(B, A) if str(B) < str(A) else None


def of_word(term: Expr, last: type[Any]) -> bool:
    """Whether a term is a product of at least two matrices, the last one of some kind."""
    return isinstance(term, MatMul) and isinstance(term.args[-1], last) and not is_scalar(term.args[-2])


def zeros(term: Expr) -> Expr | None:
    """0'  =  0,   [0 0]  =  0,   diag(0)  =  0,   sum_e 0  =  0,   and f(0)  =  0 for an f that fixes zero"""
    kinds = (Transpose, BlockMatrix, Diag, HeadSum, Act)
    if not isinstance(term, kinds) or not all(isinstance(part, ZeroMatrix) for part in children(term)):
        return None
    if isinstance(term, Act) and term.name not in FIXES_ZERO:
        return None
    return zero(*shape(term))


def identity(term: Expr) -> Expr | None:
    """A I  =  A  =  I A,   I'  =  I,   1'  =  1,   diag(g)'  =  diag(g),   diag(1)  =  I,   A o 1  =  A  =  1 o A

    A single 1 is I too, and so is [I 0; 0 I].
    """
    if isinstance(term, BlockMatrix):
        return eye(term.rows) if is_unit(block_rows(term)) else None
    if isinstance(term, OneMatrix):
        return eye(term.rows) if is_identity(term) else None
    if isinstance(term, Hadamard):
        return next((b for a, b in (term.args, term.args[::-1]) if is_ones(a)), None)
    if isinstance(term, Transpose) and isinstance(term.arg, (Identity, OneMatrix, Diag)):
        return term.arg if isinstance(term.arg, Diag) else flipped(term.arg)
    if of(term, Diag, OneMatrix):
        return eye(term.rows)
    if not isinstance(term, MatMul):
        return None
    kept = [part for part in term.args if not is_identity(part)]
    result = product(*kept) if any(not is_scalar(part) for part in kept) else product(*kept, eye(term.rows))
    return None if len(kept) == len(term.args) or result == term else result


def is_identity(term: Expr) -> bool:
    return isinstance(term, Identity) or (isinstance(term, OneMatrix) and shape(term) == (1, 1))


def is_ones(term: Expr) -> bool:
    """Whether a matrix is one of ones: as such, or as a column times a row."""
    factors = pair(term)
    if factors is None:
        return isinstance(term, OneMatrix)
    return all(isinstance(part, OneMatrix) for part in factors) and factors[0].cols == 1


def is_unit(rows: Blocks) -> bool:
    """Whether blocks are identities on the diagonal, and zero beside it."""
    cells = [(i == j, cell) for i, row in enumerate(rows) for j, cell in enumerate(row)]
    return len(rows) == len(rows[0]) and all(isinstance(c, Identity if same else ZeroMatrix) for same, c in cells)


def scalars(term: Expr) -> Expr | None:
    """a b A  =  (a b) A        one factor in lowest terms; 1 A = A and 0 A = 0"""
    if not isinstance(term, MatMul):
        return None
    scalar, matrices = split(term)
    scalar = simplified(scalar)
    result = zero(*shape(term)) if scalar == 0 else product(scalar, matrices)
    return None if result == term else result


def scalar_out(term: Expr) -> Expr | None:
    """a leaves (a A)',  diag(a g),  sum_e a A,  Rope(a A),  and each part of A o B and of A (x) B

    relu(a A)  =  a relu(A)        for a > 0
    """
    if not isinstance(term, (Transpose, Diag, HeadSum, Rope, Hadamard, Kron, Act)):
        return None
    linear = 2 if isinstance(term, (Hadamard, Kron)) else 1  # in so many of its parts
    factors, matrices = zip(*map(common, children(term)[:linear]), strict=True)
    scalar = prod(factors)
    if scalar == 1 or (isinstance(term, Act) and not (term.name in POSITIVELY_HOMOGENEOUS and scalar.is_positive)):
        return None
    return product(scalar, rebuild(term, [*matrices, *children(term)[linear:]]))


def distribute(term: Expr) -> Expr | None:
    """(A + B) C  =  A C + B C,   A (B + C)  =  A B + A C"""
    if not isinstance(term, MatMul):
        return None
    for i, part in enumerate(term.args):
        if isinstance(part, MatAdd):
            return total(*(product(*term.args[:i], summand, *term.args[i + 1 :]) for summand in part.args))
    return None


def factor(term: Expr) -> Expr | None:
    """c A C + c B C  =  c (A + B) C"""
    if not isinstance(term, MatAdd) or not all(isinstance(part, MatMul) for part in term.args):
        return None
    last = term.args[0].args[-1]
    if any(part.args[-1] != last or is_scalar(part.args[-2]) for part in term.args):
        return None
    c, _ = common(term)
    return product(c, total(*(scaled(1 / c, product(*part.args[:-1])) for part in term.args)), last)


def collect(term: Expr) -> Expr | None:
    """a A + b A  =  (a + b) A        like terms of a sum"""
    if not isinstance(term, MatAdd):
        return None
    sums: dict[MatrixExpr, Expr] = {}
    for part in term.args:
        scalar, matrices = split(part)
        sums[matrices] = sums.get(matrices, 0) + scalar
    if len(sums) == len(term.args):
        return None
    kept = [product(simplified(scalar), matrices) for matrices, scalar in sums.items() if simplified(scalar) != 0]
    return total(*kept) if kept else zero(*shape(term))


def ordered(term: Expr) -> Expr | None:
    """A + B  =  B + A        the terms of a sum, by what they look like without their factors"""
    if not isinstance(term, MatAdd):
        return None
    parts = sorted(term.args, key=lambda part: text(split(part)[1]))
    return None if list(term.args) == parts else total(*parts)


def rescale(term: Expr) -> Expr | None:
    """D_n(a G, eps)  =  sqrt(n / (a m)) D_m(G, eps n / (a m))        for a > 0 and G = A ... + ..., A with m columns"""
    if not isinstance(term, RowScale):
        return None
    a, first = split(terms_of(term.arg)[0]) if terms_of(term.arg) else (S.Zero, term.arg)
    if not isinstance(first, MatMul):
        return None
    m = first.args[0].cols
    if not (a.is_positive and m.is_positive and term.n.is_positive):
        return None
    G, ratio = total(*(scaled(1 / a, part) for part in terms_of(term.arg))), simplified(term.n / (a * m))
    result = product(sqrt(ratio), RowScale(G, m, simplified(term.eps * ratio)))
    return None if result == term else result


def first_order(term: Expr) -> Expr | None:
    """t t A  =  0,   f(t A)  =  t f'(0) A        for the first-order number t and an f with f(0) = 0"""
    if isinstance(term, Act) and term.name in FIXES_ZERO & SLOPE_AT_ZERO.keys() and order(term.arg) > 0:
        return product(SLOPE_AT_ZERO[term.name], term.arg) if SLOPE_AT_ZERO[term.name] else zero(*term.shape)
    return zero(*shape(term)) if isinstance(term, MatMul) and order(term) > 1 else None


def order(term: Expr) -> int:
    """How many factors t a product has in front."""
    _, power = split(term)[0].as_independent(FIRST_ORDER, as_Add=False)
    base, exponent = power.as_base_exp()
    return int(exponent) if base == FIRST_ORDER and exponent.is_Integer else 0


def transpose_product(term: Expr) -> Expr | None:
    """(A B)'  =  B' A',   (A (x) B)'  =  A' (x) B'"""
    if of(term, Transpose, Kron):
        return Kron(*map(transposed, children(term.arg)))
    return transpose_word(term.arg) if of(term, Transpose, MatMul) else None


def transpose_sum(term: Expr) -> Expr | None:
    """(A + B)'  =  A' + B'"""
    return total(*map(transposed, term.arg.args)) if of(term, Transpose, MatAdd) else None


def pair(term: Expr) -> tuple[MatrixExpr, MatrixExpr] | None:
    """The two factors of a product A B."""
    return term.args if isinstance(term, MatMul) and len(term.args) == 2 and not is_scalar(term.args[0]) else None


def kron_product(term: Expr) -> Expr | None:
    """(A (x) B)(C (x) D)  =  AC (x) BD        where both fit; ones are 1 (x) 1 of the sizes of their neighbour"""
    if (factors := pair(term)) is None or not any(isinstance(part, Kron) for part in factors):
        return None
    (A, B), (C, D) = (children(part) if isinstance(part, Kron) else (None, part) for part in factors)
    if A is None and isinstance(B, OneMatrix):
        A, B = ones(1, C.rows), ones(B.rows, D.rows)
    if C is None and isinstance(D, OneMatrix):
        C, D = ones(A.cols, 1), ones(B.cols, D.cols)
    if A is None or C is None or not (same_size(A.cols, C.rows) and same_size(B.cols, D.rows)):
        return None
    return Kron(product(A, C), product(B, D))


def kron_factors(term: Expr) -> Expr | None:
    """T (x) B  =  (c (x) I) B (r (x) I),   B (x) T  =  (I (x) c) B (I (x) r)      for T = c r: ones, a row, a column

    1 (x) B  =  B  =  B (x) 1,   I (x) I  =  I
    """
    if not isinstance(term, Kron):
        return None
    A, B = children(term)
    for one, other in ((A, B), (B, A)):
        if is_identity(one) and one.rows == 1:
            return other
    if isinstance(A, type(B)) and isinstance(A, (Identity, OneMatrix)):
        return eye(term.rows) if isinstance(A, Identity) else ones(*term.shape)
    if any(isinstance(one, Identity) and 1 in shape(other) for one, other in ((A, B), (B, A))):
        return None
    if (thin := outer(A)) is not None and not isinstance(B, OneMatrix):
        c, r = thin
        return product(*(Kron(part, eye(B.rows)) for part in c), B, *(Kron(part, eye(B.cols)) for part in r))
    if (thin := outer(B)) is None:
        return None
    c, r = thin
    return product(*(Kron(eye(A.rows), part) for part in c), A, *(Kron(eye(A.cols), part) for part in r))


def outer(term: MatrixExpr) -> tuple[list[MatrixExpr], list[MatrixExpr]] | None:
    """A column and a row, either of which may be missing, whose product is a term."""
    if term.rows == 1 or term.cols == 1:
        return ([], [term]) if term.rows == 1 else ([term], [])
    return ([ones(term.rows, 1)], [ones(1, term.cols)]) if isinstance(term, OneMatrix) else None


def ones_apart(term: Expr) -> Expr | None:
    """1  =  1 1        a matrix of ones is a column of ones times a row of ones"""
    if not isinstance(term, OneMatrix) or 1 in shape(term):
        return None
    return product(ones(term.rows, 1), ones(1, term.cols))


def selected(term: Expr) -> Expr | None:
    """f(A S)  =  f(A) S,   A S o B S  =  (A o B) S,   f(S' A)  =  S' f(A)        for a selection S"""
    if not isinstance(term, (Act, Hadamard)):
        return None
    words = [word.args for part in children(term) for word in terms_of(part) if isinstance(word, MatMul)]
    if words and is_selection(last := words[0][-1]):
        stripped = [ends_with(part, (last,)) for part in children(term)]
        return None if None in stripped else product(rebuild(term, stripped), last)
    first, *rest = term.arg.args if of(term, Act, MatMul) else (S.Zero,)
    copies = not is_scalar(first) and is_selection(flipped(first))
    return product(first, Act(product(*rest), term.name)) if copies else None


def sums_of_ones(term: Expr) -> Expr | None:
    """1 1  =  n 1,   1 S  =  1  =  S' 1,   S diag(g S)  =  diag(g) S,   Softmax(A) 1  =  1        for a selection S

    1 diag(g S)  =  1 S diag(g S)  =  1 diag(g) S,   and 1 in g S + 1 is 1 S
    """
    if (factors := pair(term)) is None:
        return None
    A, B = factors
    if isinstance(A, OneMatrix) and isinstance(B, OneMatrix):
        return None if A.cols == 1 else product(A.cols, ones(A.rows, B.cols))
    left, right = isinstance(A, OneMatrix) and is_selection(B), isinstance(B, OneMatrix) and is_selection(flipped(A))
    if left or right or (isinstance(B, OneMatrix) and weighs(A)):
        return ones(*term.shape)
    words = [word for word in terms_of(B.arg) if isinstance(word, MatMul)] if isinstance(B, Diag) else []
    if not words or not is_selection(last := words[0].args[-1]) or not (last == A or isinstance(A, OneMatrix)):
        return None
    read = [ones(1, last.rows) if isinstance(w, OneMatrix) else ends_with(w, (last,)) for w in terms_of(B.arg)]
    before = [] if last == A else [ones(A.rows, last.rows)]
    return None if None in read else product(*before, Diag(total(*read)), last)


def weighs(term: Expr) -> bool:
    """Whether each row of a term sums to 1, being a softmax; what is only kept of one does not."""
    return isinstance(term, Softmax) and term.mask != "kept"


def softmax_shift(term: Expr) -> Expr | None:
    """Softmax(A + b 1)  =  Softmax(A)        each row is shifted by a number"""
    if not of(term, Softmax, MatAdd):
        return None
    kept = [part for part in term.arg.args if not (isinstance(part, MatMul) and isinstance(part.args[-1], OneMatrix))]
    return None if len(kept) in (0, len(term.arg.args)) else Softmax(total(*kept), term.mask)


def routes(term: Expr) -> Expr | None:
    """sum_e diag((Softmax(A) u_e)')  =  I        for the columns u_e of I, one for each member of the family"""
    if not of(term, HeadSum, Diag) or (factors := pair(transpose_word(term.arg.arg))) is None:
        return None
    A, u = factors
    chosen = isinstance(u, MatrixSymbol) and u.name == CHOSEN and path_of(u)[-1:] == (term.family,)
    return eye(A.rows) if chosen and weighs(A) and not free(A, term.family) else None


def idempotent(term: Expr) -> Expr | None:
    """f(f(A))  =  f(A)        for relu"""
    return term.arg if of(term, Act, Act) and term.name == term.arg.name and term.name in IDEMPOTENT else None


def heads_blocks(term: Expr) -> Expr | None:
    """sum_e [A_e B_e]  =  [sum_e A_e   sum_e B_e]"""
    if not of(term, HeadSum, BlockMatrix):
        return None
    return cellwise(lambda block: HeadSum(block, term.family), block_rows(term.arg))


def heads_sum(term: Expr) -> Expr | None:
    """sum_e (A_e + B_e)  =  sum_e A_e + sum_e B_e"""
    return total(*(HeadSum(part, term.family) for part in term.arg.args)) if of(term, HeadSum, MatAdd) else None


def heads_right(term: Expr) -> Expr | None:
    """sum_e (A_e C)  =  (sum_e A_e) C        where C is the same for all heads"""
    if not of(term, HeadSum, MatMul):
        return None
    *first, last = term.arg.args
    if free(last, term.family) or not any(not is_scalar(part) for part in first):
        return None
    return product(HeadSum(product(*first), term.family), last)


ALGEBRA: Mapping[str, Rule] = {
    "definition of the norm": norm_definition,
    "block product": block_product,
    "scalar into blocks": block_scalar,
    "block sum": block_sum,
    "block transpose": block_transpose,
    "elementwise on blocks": block_act,
    "entrywise product of blocks": block_hadamard,
    "rotation of blocks": block_rope,
    "diagonal of blocks": block_diag,
    "nested blocks": block_nested,
    "product with zero": annihilate,
    "sum with zero": neutral,
    "diagonals": diagonals,
    "product of rows": row_product,
    "order of diagonals": diagonals_in_order,
    "zeros": zeros,
    "identity": identity,
    "scalars": scalars,
    "scalar out": scalar_out,
    "distribute": distribute,
    "factor": factor,
    "like terms": collect,
    "order of a sum": ordered,
    "rescale the norm": rescale,
    "first order": first_order,
    "transpose of a product": transpose_product,
    "transpose of a sum": transpose_sum,
    "Kronecker product": kron_product,
    "Kronecker factors": kron_factors,
    "selection": selected,
    "ones apart": ones_apart,
    "sums of ones": sums_of_ones,
    "shift of a softmax": softmax_shift,
    "weights of the experts": routes,
    "idempotent function": idempotent,
    "heads of blocks": heads_blocks,
    "heads of a sum": heads_sum,
    "common factor of heads": heads_right,
}
