"""The kernel: the only code that makes theorems, and all that has to be believed.

A theorem says that two terms are equal for all sizes, all parameters, all inputs and all new blocks
that meet the hypotheses.  It starts as `t = t` and changes its right side one rule at a time; the
rule computes the new sub-term itself, so a wrong step cannot be told to the kernel.  Two theorems
with the same right side meet.  The prover searches, and is not trusted; see TRUST.md.

Where the first-order number t (with t t = 0) occurs, the numbers are a + b t, functions are extended to them by
their slope, and a theorem says that both sides agree to first order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass
from itertools import pairwise
from math import prod
from typing import Any

from sympy import S, Symbol, cancel, expand, sqrt, together

from ..symbolic.terms import (
    Act,
    BlockMatrix,
    Diag,
    Expr,
    Frequencies,
    Hadamard,
    HeadSum,
    Identity,
    MatAdd,
    MatMul,
    MatrixExpr,
    MatrixSymbol,
    Norm,
    OneMatrix,
    Rope,
    RowScale,
    Stack,
    Transpose,
    ZeroMatrix,
    atoms,
    block_rows,
    blocks,
    children,
    eye,
    families,
    free,
    is_scalar,
    ones,
    product,
    rebuild,
    same_shape,
    same_size,
    shape,
    substitute,
    total,
    transposed,
    well_formed,
    zero,
)

FIXES_ZERO = frozenset({"relu", "gelu", "gelu_tanh", "quick_gelu", "silu", "tanh"})  # elementwise, f(0) = 0
POSITIVELY_HOMOGENEOUS = frozenset({"relu"})  # f(c x) = c f(x) for c > 0
SLOPE_AT_ZERO = {"relu": S.Zero, "tanh": S.One, **dict.fromkeys(("gelu", "gelu_tanh", "quick_gelu", "silu"), S.Half)}
# f'(0); of relu by convention
FIRST_ORDER = Symbol("\u03c4", real=True)  # a number with square zero: equations with it hold to first order


class KernelError(Exception):
    """A step that no rule allows: names the rule, and says what the kernel saw."""


# ---------------------------------------------------------------- theorems


@dataclass(frozen=True)
class Equation:
    """left = right, of one shape: what a constraint asks of the new blocks."""

    left: MatrixExpr
    right: MatrixExpr


@dataclass(frozen=True)
class Step:
    """A rule, the disjoint places where it is used, and what selects the equation that it uses."""

    rule: str
    positions: tuple[Position, ...]
    argument: tuple[int, ...] = ()


Position = tuple["int | tuple[int, int]", ...]  # child indices; a last (i, j) is a run of factors or summands

_KEY = object()


class Theorem:
    """left = right under the hypotheses.  Only this file can make one."""

    __slots__ = ("hypotheses", "left", "right")
    hypotheses: tuple[Equation, ...]
    left: Expr
    right: Expr

    def __init__(self, hypotheses: tuple[Equation, ...], left: Expr, right: Expr, key: object = None) -> None:
        if key is not _KEY:
            raise KernelError("a theorem comes from the kernel's rules only")
        object.__setattr__(self, "hypotheses", hypotheses)
        object.__setattr__(self, "left", left)
        object.__setattr__(self, "right", right)

    def __setattr__(self, name: str, value: object) -> None:
        raise KernelError("a theorem does not change")


@dataclass(frozen=True)
class Context:
    """What a derivation may use: hypotheses, theorems under the same hypotheses, and the generic stream X.

    X stands for every matrix of its shape, in a lemma and in a hypothesis alike.
    """

    hypotheses: tuple[Equation, ...] = ()
    lemmas: tuple[Theorem, ...] = ()
    stream: MatrixSymbol | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "hypotheses", tuple(self.hypotheses))
        object.__setattr__(self, "lemmas", genuine(self.lemmas))
        for hypothesis in self.hypotheses:
            sides = hypothesis.left, hypothesis.right
            if not (all(map(well_formed, sides)) and same_shape(*sides)):
                raise KernelError(f"the constructors did not make the equation {hypothesis}")
        if any(lemma.hypotheses != self.hypotheses for lemma in self.lemmas):
            raise KernelError("a lemma was proved under other hypotheses")


def genuine(theorems: Sequence[Theorem]) -> tuple[Theorem, ...]:
    """The theorems, if that is what they are."""
    if any(type(theorem) is not Theorem for theorem in theorems):
        raise KernelError("what is called a theorem is none")
    return tuple(theorems)


def derive(context: Context, start: Expr, steps: Sequence[Step]) -> Theorem:
    """start = what the steps make of it.  Raises KernelError at the first step that no rule allows."""
    if not well_formed(start):
        raise KernelError(f"the constructors did not make {start}")
    term = start
    for step in steps:
        term = apply(context, term, step)
    return Theorem(context.hypotheses, start, term, _KEY)


def meet(left: Theorem, right: Theorem) -> Theorem:
    """From a = c and b = c conclude a = b."""
    left, right = genuine((left, right))
    if left.hypotheses != right.hypotheses:
        raise KernelError("the two sides were derived under different hypotheses")
    if left.right != right.right:
        raise KernelError(f"the two sides do not meet: {left.right} and {right.right}")
    return Theorem(left.hypotheses, left.left, right.left, _KEY)


def apply(context: Context, term: Expr, step: Step) -> Expr:
    """The term after one step: the rule rewrites the sub-term at each position, and nothing else."""
    if step.rule not in RULES:
        raise KernelError(f"no rule is called {step.rule!r}")
    rule = RULES[step.rule]
    if len(step.argument) not in ARGUMENTS.get(step.rule, (0,)):
        raise KernelError(f"the rule {step.rule!r} does not take {step.argument}")

    def rewritten(subterm: Expr) -> Expr:
        try:
            result = rule(context, subterm, step.argument)
        except (TypeError, ValueError) as error:
            raise KernelError(f"the rule {step.rule!r} cannot be used with {step.argument}: {error}") from None
        if result is None:
            raise KernelError(f"the rule {step.rule!r} does not apply to {subterm}")
        if not same_shape(result, subterm):
            raise KernelError(f"the rule {step.rule!r} changed the shape of {subterm}")
        return result

    return replace(term, step.positions, rewritten)


def replace(term: Expr, positions: Sequence[Position], rewritten: Callable[[Expr], Expr]) -> Expr:
    """The term with the sub-terms at some disjoint positions rewritten."""
    if not positions:
        raise KernelError("a step without a position")
    if positions == ((),) or list(positions) == [()]:
        return rewritten(term)
    parts = list(children(term))
    runs = sorted((p[0] for p in positions if p and isinstance(p[0], tuple)), reverse=True)
    inner: dict[int, list[Position]] = {}
    for position in positions:
        if not position or (isinstance(position[0], tuple) and (len(position) > 1 or len(position[0]) != 2)):
            raise KernelError("positions overlap, or go on below a run")
        ends = position[0] if isinstance(position[0], tuple) else (position[0],)
        if not all(isinstance(i, int) for i in ends):
            raise KernelError(f"a position is a number or a run of two, not {position[0]!r}")
        if isinstance(position[0], int):
            inner.setdefault(position[0], []).append(position[1:])
    if any(not 0 <= i < j <= len(parts) for i, j in runs):
        raise KernelError("a run of factors or summands lies outside the term")
    taken = [i for run in runs for i in range(*run)] + list(inner)
    if len(set(taken)) != len(taken) or any(not 0 <= i < len(parts) for i in taken):
        raise KernelError("positions overlap or lie outside the term")
    for i, below in inner.items():
        parts[i] = replace(parts[i], below, rewritten)
    for i, j in runs:
        if not isinstance(term, (MatMul, MatAdd)) or any(is_scalar(part) for part in parts[i:j]):
            raise KernelError("a run of factors or summands lies in no product or sum")
        parts[i:j] = [rewritten((product if isinstance(term, MatMul) else total)(*parts[i:j]))]
    return rebuild(term, parts)


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


# ---------------------------------------------------------------- rules
# Each takes (context, term, argument) and returns the rewritten term, or None where it does not apply.

Rule = Callable[[Context, Expr, "tuple[int, ...]"], "Expr | None"]


def of(term: Expr, outer: type[Any], inner: type[Any]) -> bool:
    """Whether a term is, say, the transpose of a sum."""
    return isinstance(term, outer) and isinstance(term.arg, inner)


def norm_definition(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """Norm_g(X)  =  D_n(X X') X diag(g)        for X with n columns; D_n(G) = diag(1/sqrt(G_ii/n + eps))"""
    if not isinstance(term, Norm):
        return None
    X = term.arg
    return product(RowScale(product(X, transposed(X)), X.cols, term.eps), X, Diag(term.gain))


def hypothesis(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """L  =  R        where L = R is a constraint, or its transpose, or solved for one of its terms"""
    index, *form = argument
    if not 0 <= index < len(context.hypotheses):
        return None
    equation = oriented(context.hypotheses[index], form)
    if equation is None:
        return None
    if term == equation.left:
        return equation.right
    if transposed(term) == equation.left or term == transpose_word(equation.left):
        return transposed(equation.right)
    return None


def oriented(equation: Equation, form: Sequence[int]) -> Equation | None:
    """A constraint as it stands, or solved for the term that the form names."""
    return solved(equation, *form) if form else equation


def solved(equation: Equation, index: int) -> Equation | None:
    """a A + B = C  as  A = (1/a) C - (1/a) B        for any term of either side, a number a that is not zero"""
    terms = summands(equation)
    if not 0 <= index < len(terms) or not split(terms[index])[0].is_nonzero:
        return None
    a, A = split(terms[index])
    rest = [scaled(-1 / a, term) for i, term in enumerate(terms) if i != index]
    return Equation(A, total(*rest) if rest else zero(*A.shape))


def scaled(c: Expr, term: MatrixExpr) -> MatrixExpr:
    """c A, with one scalar in front."""
    a, A = split(term)
    return product(simplified(c * a), A)


def summands(equation: Equation) -> tuple[MatrixExpr, ...]:
    """The terms A, B, -C of A + B = C, that is A + B - C = 0."""
    return (*terms_of(equation.left), *(scaled(S.NegativeOne, term) for term in terms_of(equation.right)))


def terms_of(side: MatrixExpr) -> tuple[MatrixExpr, ...]:
    """The terms of a sum; zero has none."""
    return () if isinstance(side, ZeroMatrix) else side.args if isinstance(side, MatAdd) else (side,)


def transpose_word(term: Expr) -> Expr:
    """The transpose of a product written out: (A B)' as B' A'."""
    if not isinstance(term, MatMul):
        return transposed(term)
    scalar, _ = split(term)
    return product(scalar, *(transposed(part) for part in reversed(term.args) if not is_scalar(part)))


def block_product(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
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


Blocks = Sequence[Sequence[MatrixExpr]]


def heights(grid: Blocks) -> list[Expr]:
    return [row[0].rows for row in grid]


def widths(grid: Blocks) -> list[Expr]:
    return [block.cols for block in grid[0]]


def columns_of(grid: Blocks) -> Blocks:
    return list(zip(*grid, strict=True))


def cut(block: MatrixExpr, rows: Sequence[Expr], columns: Sequence[Expr]) -> Blocks:
    """A block as its parts; a matrix of zeros or of ones in parts of the given sizes."""
    if not isinstance(block, (ZeroMatrix, OneMatrix)):
        return block_rows(block)
    made = zero if isinstance(block, ZeroMatrix) else ones
    return [[made(m, n) for n in columns] for m in rows]


def common_cuts(left: Sequence[Expr], right: Sequence[Expr]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The finest common cutting of two partitions of one size: which parts of each make up each piece."""
    ends = [[sum(part[:i]) for i in range(len(part) + 1)] for part in (left, right)]
    shared = [(i, j) for i, a in enumerate(ends[0]) for j, b in enumerate(ends[1]) if same_size(a, b)]
    return [((i, k), (j, m)) for (i, j), (k, m) in pairwise(shared)]


def block_scalar(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """a [A B]  =  [a A  a B]"""
    a, grid = split(term)
    if grid == term or not isinstance(grid, BlockMatrix):
        return None
    return cellwise(lambda block: product(a, block), block_rows(grid))


def cellwise(made: Callable[..., MatrixExpr], *grids: Blocks) -> MatrixExpr:
    """The blocks that are made of corresponding blocks of some grids."""
    return blocks([[made(*cells) for cells in zip(*rows, strict=True)] for rows in zip(*grids, strict=True)])


def block_sum(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """[A B] + [C D]  =  [A+C  B+D]        for blocks of equal sizes; A 1, ending in ones, is cut to fit"""
    if not isinstance(term, MatAdd) or not any(isinstance(part, BlockMatrix) for part in term.args):
        return None
    whole = next(block_rows(part) for part in term.args if isinstance(part, BlockMatrix))
    grids = [cut_like(part, whole) for part in term.args]
    return cellwise(total, *grids) if all(same_partition(whole, grid) for grid in grids) else None


def cut_like(term: MatrixExpr, grid: Blocks) -> Blocks:
    """The blocks of a term; those of a A 1, with ones on the right, are as wide as those of a grid."""
    *before, last = term.args if isinstance(term, MatMul) else (term,)
    if not isinstance(last, OneMatrix):
        return block_rows(term)
    return [[product(*before, ones(last.rows, n)) for n in widths(grid)]]


def same_partition(left: Blocks, right: Blocks) -> bool:
    return same_sizes(heights(left), heights(right)) and same_sizes(widths(left), widths(right))


def same_sizes(left: Sequence[Expr], right: Sequence[Expr]) -> bool:
    return len(left) == len(right) and all(map(same_size, left, right))


def block_transpose(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """[A B ; C D]'  =  [A' C' ; B' D']"""
    if not of(term, Transpose, BlockMatrix):
        return None
    return cellwise(transposed, columns_of(block_rows(term.arg)))


def block_act(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """f([A B])  =  [f(A) f(B)]        for an elementwise f"""
    return cellwise(lambda block: Act(block, term.name), block_rows(term.arg)) if of(term, Act, BlockMatrix) else None


def block_hadamard(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """[A B] o [C D]  =  [A o C   B o D]        the entrywise product, for blocks of equal sizes"""
    if not isinstance(term, Hadamard) or not all(isinstance(part, BlockMatrix) for part in children(term)):
        return None
    left, right = map(block_rows, children(term))
    return cellwise(Hadamard, left, right) if same_partition(left, right) else None


def block_rope(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
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


def block_diag(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """diag([a b])  =  [diag(a) 0 ; 0 diag(b)]"""
    if not of(term, Diag, BlockMatrix):
        return None
    (row,) = block_rows(term.arg)
    return blocks([[Diag(a) if i == j else zero(a.cols, b.cols) for j, b in enumerate(row)] for i, a in enumerate(row)])


def block_nested(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
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


def partition(found: Sequence[MatrixExpr], sizes: Callable[[Blocks], list[Expr]]) -> list[Expr]:
    """The sizes of the parts of some blocks side by side, any for zeros or ones; none where they differ."""
    cuts = [sizes(block_rows(block)) for block in found if not isinstance(block, (ZeroMatrix, OneMatrix))]
    cuts = cuts or [sizes([[found[0]]])]
    return cuts[0] if all(same_sizes(cuts[0], other) for other in cuts) else []


def annihilate(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """A 0  =  0  =  0 A,   A o 0  =  0  =  0 o A,   Rope(0)  =  0"""
    parts = children(term)[:1] if isinstance(term, Rope) else children(term)
    if not isinstance(term, (MatMul, Hadamard, Rope)) or not any(isinstance(part, ZeroMatrix) for part in parts):
        return None
    return zero(*shape(term))


def neutral(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """A + 0  =  A"""
    if not isinstance(term, MatAdd):
        return None
    kept = [part for part in term.args if not isinstance(part, ZeroMatrix)]
    if len(kept) == len(term.args):
        return None
    return total(*kept) if kept else zero(*shape(term))


def zeros(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """0'  =  0,   [0 0]  =  0,   diag(0)  =  0,   sum_e 0  =  0,   and f(0)  =  0 for an f that fixes zero"""
    kinds = (Transpose, BlockMatrix, Diag, HeadSum, Act)
    if not isinstance(term, kinds) or not all(isinstance(part, ZeroMatrix) for part in children(term)):
        return None
    if isinstance(term, Act) and term.name not in FIXES_ZERO:
        return None
    return zero(*shape(term))


def identity(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """A I  =  A  =  I A,   I'  =  I"""
    if isinstance(term, Transpose) and isinstance(term.arg, Identity):
        return term.arg
    if not isinstance(term, MatMul) or not any(isinstance(part, Identity) for part in term.args):
        return None
    kept = [part for part in term.args if not isinstance(part, Identity)]
    result = product(*kept) if any(not is_scalar(part) for part in kept) else product(*kept, eye(term.rows))
    return None if result == term else result


def scalars(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """a b A  =  (a b) A        one factor in lowest terms; 1 A = A and 0 A = 0"""
    if not isinstance(term, MatMul):
        return None
    scalar, matrices = split(term)
    scalar = simplified(scalar)
    result = zero(*shape(term)) if scalar == 0 else product(scalar, matrices)
    return None if result == term else result


def scalar_out(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """a leaves (a A)',  diag(a g),  sum_e a A,  Rope(a A),  a A o B,  A o a B;   relu(a A)  =  a relu(A) for a > 0"""
    if not isinstance(term, (Transpose, Diag, HeadSum, Rope, Hadamard, Act)):
        return None
    linear = 2 if isinstance(term, Hadamard) else 1  # in so many of its parts
    factors, matrices = zip(*map(split, children(term)[:linear]), strict=True)
    scalar = prod(factors)
    if scalar == 1 or (isinstance(term, Act) and not (term.name in POSITIVELY_HOMOGENEOUS and scalar.is_positive)):
        return None
    return product(scalar, rebuild(term, [*matrices, *children(term)[linear:]]))


def distribute(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """(A + B) C  =  A C + B C,   A (B + C)  =  A B + A C"""
    if not isinstance(term, MatMul):
        return None
    for i, part in enumerate(term.args):
        if isinstance(part, MatAdd):
            return total(*(product(*term.args[:i], summand, *term.args[i + 1 :]) for summand in part.args))
    return None


def factor(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """A C + B C  =  (A + B) C"""
    if not isinstance(term, MatAdd) or not all(isinstance(part, MatMul) for part in term.args):
        return None
    last = term.args[0].args[-1]
    if any(part.args[-1] != last or is_scalar(part.args[-2]) for part in term.args):
        return None
    return product(total(*(product(*part.args[:-1]) for part in term.args)), last)


def collect(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
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


def rescale(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """D_n(a G, eps)  =  sqrt(n / (a m)) D_m(G, eps n / (a m))        for a > 0 and G = A ..., A with m columns"""
    if not isinstance(term, RowScale):
        return None
    a, G = split(term.arg)
    if not isinstance(G, MatMul):
        return None
    m = G.args[0].cols
    ratio = simplified(term.n / (a * m))
    if not (a.is_positive and m.is_positive and term.n.is_positive):
        return None
    result = product(sqrt(ratio), RowScale(G, m, simplified(term.eps * ratio)))
    return None if result == term else result


def first_order(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """t t A  =  0,   f(t A)  =  t f'(0) A        for the first-order number t and an f with f(0) = 0"""
    if isinstance(term, Act) and term.name in FIXES_ZERO & SLOPE_AT_ZERO.keys() and order(term.arg) > 0:
        return product(SLOPE_AT_ZERO[term.name], term.arg) if SLOPE_AT_ZERO[term.name] else zero(*term.shape)
    return zero(*shape(term)) if isinstance(term, MatMul) and order(term) > 1 else None


def order(term: Expr) -> int:
    """How many factors t a product has in front."""
    _, power = split(term)[0].as_independent(FIRST_ORDER, as_Add=False)
    base, exponent = power.as_base_exp()
    return int(exponent) if base == FIRST_ORDER and exponent.is_Integer else 0


def transpose_product(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """(A B)'  =  B' A'"""
    return transpose_word(term.arg) if of(term, Transpose, MatMul) else None


def transpose_sum(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """(A + B)'  =  A' + B'"""
    return total(*map(transposed, term.arg.args)) if of(term, Transpose, MatAdd) else None


def heads_blocks(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """sum_e [A_e B_e]  =  [sum_e A_e   sum_e B_e]"""
    if not of(term, HeadSum, BlockMatrix):
        return None
    return cellwise(lambda block: HeadSum(block, term.family), block_rows(term.arg))


def heads_sum(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """sum_e (A_e + B_e)  =  sum_e A_e + sum_e B_e"""
    return total(*(HeadSum(part, term.family) for part in term.arg.args)) if of(term, HeadSum, MatAdd) else None


def heads_right(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """sum_e (A_e C)  =  (sum_e A_e) C        where C is the same for all heads"""
    if not of(term, HeadSum, MatMul):
        return None
    *first, last = term.arg.args
    if free(last, term.family) or not any(not is_scalar(part) for part in first):
        return None
    return product(HeadSum(product(*first), term.family), last)


def lemma(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """L(T)  =  R(T)        where L(X) = R(X) is a theorem and T any matrix of the shape of X"""
    (index,) = argument
    if not 0 <= index < len(context.lemmas):
        return None
    theorem = context.lemmas[index]
    X = context.stream
    T = instance_of(theorem.left, term, X) if X is not None else None
    if X is None or T is None or is_scalar(T):
        return theorem.right if term == theorem.left else None
    captured = any(free(T, family) for family in families(theorem.left) | families(theorem.right))
    if captured or hides(theorem.left, X) or hides(theorem.right, X) or not same_shape(T, X):
        return None
    return substitute(theorem.right, {X: T}) if substitute(theorem.left, {X: T}) == term else None


def hides(term: Expr, X: MatrixSymbol) -> bool:
    """Whether X stands in a layer of a stack as something other than its stream, where no instance reaches it."""
    return any(X in atoms(layer) for node in term.atoms(Stack) if node.stream != X for layer in node.layers)


def instance_of(pattern: Expr, term: Expr, X: MatrixSymbol) -> MatrixExpr | None:
    """What X is in the term if the term is an instance of the pattern: a guess, checked by the caller."""
    if pattern == X:
        return term
    inner, found = children(pattern), children(term)
    if isinstance(pattern, MatMul) and isinstance(term, MatMul) and X in inner and len(found) >= len(inner):
        before, after = inner.index(X), len(inner) - inner.index(X) - 1
        return product(*found[before : len(found) - after])
    if type(pattern) is not type(term) or len(inner) != len(found):
        return None
    guesses = (instance_of(p, t, X) for p, t in zip(inner, found, strict=True))
    return next((guess for guess in guesses if guess is not None), None)


def induction(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """Layers[G | H](Y C)  =  Layers[F | K](Y) C        by lemmas G(X C) = F(X) C, and H(X C) = K(X) C or X C

    C is the stream map, the same for all layers (nothing where the stream stays as it is).  An inserted layer H
    becomes K in its place, or goes where it is the identity.
    """
    X = context.stream
    if not isinstance(term, Stack) or X is None or X in atoms(term.arg):
        return None
    if any(layer.has(Stack) or (term.stream != X and X in atoms(layer)) for layer in term.layers):
        return None
    for C in stream_maps(term.arg):
        captured = any(free(part, family) for part in C for family in families(term))
        if captured or any({X, term.stream} & atoms(part) or not same_size(part.rows, X.cols) for part in C):
            continue
        XC = product(X, *C)
        if not same_size(XC.cols, term.stream.cols):
            continue
        sides = [proved_for(context, substitute(G, {term.stream: XC})) for G in term.layers]
        Y, F, *K = (None if side is None else ends_with(side, C) for side in (term.arg, *sides))
        if Y is None or F is None or None in K or any(free(layer, term.family) for layer in K):
            continue
        return product(Stack(Y, X, F, term.family, [layer for layer in K if layer != X]), *C)
    return None


def proved_for(context: Context, left: Expr) -> Expr | None:
    """The right side of the lemma with this left side."""
    return next((lemma.right for lemma in context.lemmas if lemma.left == left), None)


def stream_maps(start: Expr) -> list[tuple[MatrixExpr, ...]]:
    """What the stream map of a start can be: nothing, or the last factor."""
    return [(), (start.args[-1],)] if isinstance(start, MatMul) else [()]


def ends_with(term: Expr, C: tuple[MatrixExpr, ...]) -> Expr | None:
    """Y for a term Y C; None when the term does not end in C."""
    if not C:
        return term
    if not isinstance(term, MatMul) or term.args[-1:] != C or is_scalar(term.args[-2]):
        return None
    return product(*term.args[:-1])


RULES: Mapping[str, Rule] = {
    "definition of the norm": norm_definition,
    "constraint": hypothesis,
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
    "zeros": zeros,
    "identity": identity,
    "scalars": scalars,
    "scalar out": scalar_out,
    "distribute": distribute,
    "factor": factor,
    "like terms": collect,
    "rescale the norm": rescale,
    "first order": first_order,
    "transpose of a product": transpose_product,
    "transpose of a sum": transpose_sum,
    "heads of blocks": heads_blocks,
    "heads of a sum": heads_sum,
    "common factor of heads": heads_right,
    "lemma": lemma,
    "induction over layers": induction,
}


ARGUMENTS = {"lemma": (1,), "constraint": (1, 2)}  # how many numbers select what a rule uses; else none


# ---------------------------------------------------------------- composition


@dataclass(frozen=True)
class Composition:
    """Growing a model by the first theorem, what comes out by the second, and so on, changes no output."""

    theorems: tuple[Theorem, ...]
    key: InitVar[object]

    def __post_init__(self, key: object) -> None:
        if key is not _KEY:
            raise KernelError("a composition comes from the kernel only")


def compose(theorems: Sequence[Theorem]) -> Composition:
    """From theorems `grown model = model`, each for every model of one architecture, their composition.

    Each right side is the same generic model, in which every parameter and size is a symbol; a grown model
    is an instance of it, so the next theorem speaks of it too, and the equations chain.
    """
    if not theorems or any(theorem.right != theorems[0].right for theorem in theorems):
        raise KernelError("the theorems are not about one generic model")
    return Composition(genuine(theorems), _KEY)
