"""Terms: sympy holds and prints them, these constructors build them, nothing here rewrites them.

A term is a sympy ``MatrixExpr`` with symbolic sizes.  The constructors only flatten (a product of
products is a product, a sum of sums is a sum), move scalar factors to the front of a product, and
check every size; they never evaluate.  What sympy lacks is a node of ours, with its definition in
the docstring and its own ``_latex``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from sympy import Add, Expr, MatrixSymbol, Mul, Pow, S, Symbol, Tuple, default_sort_key, expand, sympify
from sympy.core.symbol import Str
from sympy.matrices.expressions import (
    BlockMatrix,
    Identity,
    MatAdd,
    MatMul,
    MatrixExpr,
    OneMatrix,
    Transpose,
    ZeroMatrix,
)
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.str import sstr


class ShapeError(ValueError):
    """Two sizes that must agree do not; carries what was found and what was expected."""

    def __init__(self, message: str, found: str, expected: str) -> None:
        super().__init__(f"{message}: found {found}, expected {expected}")
        self.message, self.found, self.expected = message, found, expected


# ---------------------------------------------------------------- sizes and scalars


def size(name: str) -> Symbol:
    """A size: a symbol that stands for any integer >= 1."""
    return Symbol(name, integer=True, positive=True)


def scalar(name: str) -> Symbol:
    """A real scalar parameter that is never negative, such as eps."""
    return Symbol(name, nonnegative=True)


def canonical(expression: Expr) -> Expr:
    """A size or scalar as a sum of products, so that equal polynomials are equal objects."""
    expression = sympify(expression)
    return expression if expression.is_Atom else expand(expression)


def same_size(left: Expr, right: Expr) -> bool:
    """Whether two sizes are equal as polynomials, hence for all values of their symbols."""
    return left == right or _equal_polynomials(left, right)


@lru_cache(maxsize=4096)
def _equal_polynomials(left: Expr, right: Expr) -> bool:
    return expand(left - right) == 0


@lru_cache(maxsize=16384)
def shape(term: MatrixExpr) -> tuple[Expr, Expr]:
    """(rows, columns) of a term, which sympy works out from all of its parts every time."""
    if not isinstance(term, BlockMatrix):
        return term.shape
    rows = block_rows(term)
    return Add(*(shape(row[0])[0] for row in rows)), Add(*(shape(block)[1] for block in rows[0]))


def shape_text(term: MatrixExpr) -> str:
    """What the shape of a term is called: rows x columns.

    >>> shape_text(zero(size("h"), size("p_hat") - size("p")))
    'h x (p_hat - p)'
    """
    return " x ".join(map(side_text, shape(term)))


def side_text(side: Expr) -> str:
    """A side of a shape in the notation of variant files, as it stands beside another."""
    written = sstr(side, order="none").replace("**", "^")
    return f"({written})" if side.is_Add else written


def wanted(term: MatrixExpr, which: int, side: Expr) -> str:
    """The rows (0) or columns (1) that a term should have, and whether its transpose has them."""
    as_transposed = ", as its transpose has" if same_size(shape(term)[1 - which], side) else ""
    return f"{sstr(side, order='none')} {('rows', 'columns')[which]}{as_transposed}"


def same_shape(left: MatrixExpr, right: MatrixExpr) -> bool:
    """Whether two terms have the same rows and columns."""
    return all(same_size(a, b) for a, b in zip(shape(left), shape(right), strict=True))


# ---------------------------------------------------------------- one object for equal terms

_TERMS: dict[Expr, Expr] = {}
_MOST_TERMS = 100_000


def one(term: Expr) -> Expr:
    """The first object that was made equal to this term, so that comparing large terms ends at once."""
    if len(_TERMS) > _MOST_TERMS:
        _TERMS.clear()
    return _TERMS.setdefault(term, term)


# ---------------------------------------------------------------- atoms and constructors


class Member(MatrixSymbol):
    """A matrix of which every member of some families has its own: each layer, or each head of each layer.

    `path` names the families from the outside in; a sum over heads or a stack of layers binds the members of its
    family, wherever they stand in it.  Free, a member stands for any one of them.
    """

    def __new__(cls, name: str | Str, rows: Expr, columns: Expr, path: Sequence[str | Str]) -> Member:
        names = Tuple(*(Str(str(family)) for family in path))
        return one(MatrixExpr.__new__(cls, Str(str(name)), sympify(rows), sympify(columns), names))

    @property
    def path(self) -> Path:
        return tuple(map(str, self.args[3]))


class Selection(Member):
    """A matrix with a single 1 in each column, and 0 elsewhere: A S is made of columns of A  (m x n)."""


Path = tuple[str, ...]

CHOSEN = "u~e"  # the column of the identity that picks a member of its family; no user can write this name


def selection(name: str, rows: Expr, columns: Expr, path: Path = ()) -> Selection:
    """An unknown selection (rows x columns)."""
    return Selection(name, canonical(rows), canonical(columns), path)


def matrix(name: str, rows: Expr, columns: Expr, path: Path = ()) -> MatrixSymbol:
    """A matrix of unknown entries (rows x columns); the model has one of it, or each member of some families."""
    sides = canonical(rows), canonical(columns)
    return Member(name, *sides, path) if path else one(MatrixSymbol(name, *sides))


def path_of(symbol: Expr) -> Path:
    """The families whose members have a matrix of their own; () for one that the model has once."""
    return symbol.path if isinstance(symbol, Member) else ()


def zero(rows: Expr, columns: Expr) -> ZeroMatrix:
    """The zero matrix (rows x columns)."""
    return one(ZeroMatrix(canonical(rows), canonical(columns)))


@lru_cache(maxsize=4096)
def ones(rows: Expr, columns: Expr) -> OneMatrix:
    """The matrix of ones (rows x columns)."""
    return OneMatrix(canonical(rows), canonical(columns))


def eye(n: Expr) -> Identity:
    """The identity matrix (n x n)."""
    return one(Identity(canonical(n)))


def is_scalar(term: Expr) -> bool:
    return not term.is_Matrix


@lru_cache(maxsize=16384)
def product(*factors: Expr) -> Expr:
    """The product of scalars and matrices (a x b)(b x c)...: flattened, scalars in front and in order.

    Raises ShapeError where two neighbours do not fit.

    >>> product(matrix("A", size("m"), size("n")), matrix("B", size("n"), size("o")))
    A*B
    """
    scalars: list[Expr] = []
    matrices: list[MatrixExpr] = []
    for factor in factors:
        for part in factor.args if isinstance(factor, MatMul) else (sympify(factor),):
            (scalars if is_scalar(part) else matrices).append(part)
    scalars = [c for c in scalars if c != 1]
    if len(scalars) > 1:
        scalars.sort(key=default_sort_key)
    for left, right in pairwise(matrices):
        if not same_size(shape(left)[1], shape(right)[0]):
            raise ShapeError("the factors of a product do not fit", shape_text(right), wanted(right, 0, left.cols))
    if not matrices:
        return Mul(*scalars)
    if len(matrices) == 1 and not scalars:
        return matrices[0]
    return one(MatMul(*scalars, *matrices, evaluate=False))


@lru_cache(maxsize=16384)
def total(*terms: MatrixExpr) -> MatrixExpr:
    """The sum of matrices of one shape, flattened.  Raises ShapeError."""
    flat = [part for term in terms for part in (term.args if isinstance(term, MatAdd) else (term,))]
    for term in flat[1:]:
        if not same_shape(term, flat[0]):
            raise ShapeError("the terms of a sum differ in shape", shape_text(term), shape_text(flat[0]))
    return flat[0] if len(flat) == 1 else one(MatAdd(*flat, evaluate=False))


def negative(term: Expr) -> Expr:
    """-A, as the product (-1) A."""
    return product(S.NegativeOne, term)


def transposed(term: MatrixExpr) -> MatrixExpr:
    """A' (n x m for an m x n term); A'' is A."""
    return term.arg if isinstance(term, Transpose) else one(Transpose(term))


def blocks(rows: Sequence[Sequence[MatrixExpr]]) -> MatrixExpr:
    """A matrix of blocks.  Raises ShapeError when a row or a column of blocks does not fit.

    >>> blocks([[matrix("A", size("m"), size("n")), zero(size("m"), size("n"))]]).shape
    (m, 2*n)
    """
    for row in rows:
        if len(row) != len(rows[0]):
            raise ShapeError("the block rows differ in length", f"{len(row)} blocks", f"{len(rows[0])}")
        for block, above in zip(row, rows[0], strict=True):
            if not same_size(shape(block)[0], shape(row[0])[0]):
                raise ShapeError("blocks side by side differ in rows", shape_text(block), wanted(block, 0, row[0].rows))
            if not same_size(shape(block)[1], shape(above)[1]):
                raise ShapeError(
                    "blocks on top of each other differ in columns",
                    shape_text(block),
                    wanted(block, 1, above.cols),
                )
    if len(rows) == len(rows[0]) == 1:
        return rows[0][0]
    return one(Grid([list(row) for row in rows]))


class Grid(BlockMatrix):
    """A block matrix that works out its shape once; sympy does so twice for every block, in every block around it."""

    @property
    def shape(self) -> tuple[Expr, Expr]:
        return shape(self)


@lru_cache(maxsize=16384)
def block_rows(term: MatrixExpr) -> tuple[tuple[MatrixExpr, ...], ...]:
    """The rows of blocks of a term; a term that is no block matrix is its own only block."""
    if not isinstance(term, BlockMatrix):
        return ((term,),)
    height, width = term.blockshape
    flat = term.blocks.flat()
    return tuple(tuple(flat[i * width : (i + 1) * width]) for i in range(height))


# ---------------------------------------------------------------- nodes that sympy lacks


class _Node(MatrixExpr):
    """A node whose first argument is a matrix."""

    @property
    def arg(self) -> MatrixExpr:
        return self.args[0]

    @property
    def shape(self) -> tuple[Expr, Expr]:
        return self.args[0].shape

    def _entry(self, i: Expr, j: Expr, **hints: object) -> Expr:
        raise TypeError(f"{type(self).__name__} has no symbolic entries")


class Act(_Node):
    """f applied to every entry: Act(A, f)_ij = f(A_ij)  (m x n -> m x n; equation 3 with f = relu)."""

    def __new__(cls, arg: MatrixExpr, name: str | Str) -> Act:
        return one(MatrixExpr.__new__(cls, arg, Str(str(name))))

    @property
    def name(self) -> str:
        return str(self.args[1])

    def _latex(self, printer) -> str:  # type: ignore[no-untyped-def]
        names = {"relu": "ReLU", "gelu_tanh": r"gelu}_{\mathrm{tanh}", "quick_gelu": r"gelu}_{\mathrm{quick}"}
        shown = names.get(self.name, self.name)
        return rf"\operatorname{{{shown}}}\left({printer._print(self.arg)}\right)"


class Softmax(_Node):
    """The softmax of each row: exp(A_ij) / sum_c exp(A_ic)  (m x n -> m x n; equation 4).

    With the mask "causal" row i has weights on its first i entries only, and the sum goes over these; with "top" each
    row keeps its largest weights, as many as the architecture says, made to sum to 1; with "kept" they stay the same.
    """

    def __new__(cls, arg: MatrixExpr, mask: str | Str = "none") -> Softmax:
        if str(mask) not in ("none", "causal", "top", "kept"):
            raise ValueError(f"found the mask {mask}, expected none, causal, top or kept")
        return one(MatrixExpr.__new__(cls, arg, Str(str(mask))))

    @property
    def mask(self) -> str:
        return str(self.args[1])

    def _latex(self, printer) -> str:  # type: ignore[no-untyped-def]
        name = "Softmax" if self.mask == "none" else rf"Softmax}}_{{\mathrm{{{self.mask}}}"
        return rf"\operatorname{{{name}}}\left({printer._print(self.arg)}\right)"


class Rope(_Node):
    """Rotary positions: row i of A, from 0, has its j-th pair of columns turned by the angle i f_j  (m x n -> m x n).

    f is a row of frequencies (1 x l); the pairs are (1, 2), (3, 4), ... or, in the layout "half", (j, j + l).  Columns
    beyond the first 2 l stay as they are.
    """

    def __new__(cls, arg: MatrixExpr, table: MatrixExpr, layout: str | Str = "interleaved") -> Rope:
        if table.rows != 1:
            raise ShapeError("the frequencies are one row", shape_text(table), "1 x n")
        if str(layout) not in ("interleaved", "half"):
            raise ValueError(f"found the layout {layout}, expected interleaved or half")
        return one(MatrixExpr.__new__(cls, arg, table, Str(str(layout))))

    @property
    def table(self) -> MatrixExpr:
        return self.args[1]

    @property
    def layout(self) -> str:
        return str(self.args[2])

    def _latex(self, printer) -> str:  # type: ignore[no-untyped-def]
        table, arg = printer._print(self.table), printer._print(self.arg)
        return rf"\operatorname{{Rope}}_{{{table}}}\left({arg}\right)"


class Frequencies(MatrixExpr):
    """The row rho^0, rho^-2, rho^-4, ... of n/2 frequencies  (1 x n/2); rho = base^(1/k) for rotary positions."""

    def __new__(cls, rho: Expr, n: Expr) -> Frequencies:
        return one(MatrixExpr.__new__(cls, sympify(rho), canonical(n)))

    @property
    def rho(self) -> Expr:
        return self.args[0]

    @property
    def n(self) -> Expr:
        return self.args[1]

    @property
    def shape(self) -> tuple[Expr, Expr]:
        return (S.One, self.n / 2)

    def _entry(self, i: Expr, j: Expr, **hints: object) -> Expr:
        raise TypeError("Frequencies has no symbolic entries")

    def _latex(self, printer) -> str:  # type: ignore[no-untyped-def]
        return rf"\theta_{{{printer._print(self.n)}}}\left({printer._print(self.rho)}\right)"


class Diag(_Node):
    """The diagonal matrix of a row: diag(g)_jj = g_1j  (1 x n -> n x n)."""

    def __new__(cls, arg: MatrixExpr) -> Diag:
        if arg.rows != 1:
            raise ShapeError("diag takes one row", shape_text(arg), "1 x n")
        return one(MatrixExpr.__new__(cls, arg))

    @property
    def shape(self) -> tuple[Expr, Expr]:
        return (self.arg.cols, self.arg.cols)

    def _latex(self, printer) -> str:  # type: ignore[no-untyped-def]
        return rf"\operatorname{{diag}}\left({printer._print(self.arg)}\right)"


class RowScale(_Node):
    """The row scaling of a norm: diag(1 / sqrt(G_ii / n + eps))  (s x s -> s x s).

    G is the Gram matrix X X' of the rows; only its diagonal counts.  This is the denominator of
    equation 5 as a matrix: Norm(X) = RowScale(X X', h, eps) X diag(g).
    """

    def __new__(cls, arg: MatrixExpr, n: Expr, eps: Expr) -> RowScale:
        if not same_size(arg.rows, arg.cols):
            raise ShapeError("a row scaling takes a Gram matrix", shape_text(arg), "a square")
        return one(MatrixExpr.__new__(cls, arg, sympify(n), sympify(eps)))

    @property
    def n(self) -> Expr:
        return self.args[1]

    @property
    def eps(self) -> Expr:
        return self.args[2]

    def _latex(self, printer) -> str:  # type: ignore[no-untyped-def]
        index = printer._print(self.n) if self.eps == 0 else f"{printer._print(self.n)},{printer._print(self.eps)}"
        return rf"D_{{{index}}}\left({printer._print(self.arg)}\right)"


class Norm(_Node):
    """RMSNorm: Norm(X)_ij = x_ij g_j / sqrt((1/h) sum_c x_ic^2 + eps)  (s x h; equation 5 has eps = 0)."""

    def __new__(cls, arg: MatrixExpr, gain: MatrixExpr, eps: Expr) -> Norm:
        if gain.rows != 1 or not same_size(gain.cols, arg.cols):
            raise ShapeError("a norm's gain does not fit", shape_text(gain), f"1 x {arg.cols}")
        return one(MatrixExpr.__new__(cls, arg, gain, sympify(eps)))

    @property
    def gain(self) -> MatrixExpr:
        return self.args[1]

    @property
    def eps(self) -> Expr:
        return self.args[2]

    def _latex(self, printer) -> str:  # type: ignore[no-untyped-def]
        gain, arg = printer._print(self.gain), printer._print(self.arg)
        eps = "" if self.eps == 0 else f", {printer._print(self.eps)}"
        if isinstance(self.gain, MatrixSymbol):
            return rf"\operatorname{{Norm}}_{{{gain}{eps}}}\left({arg}\right)"
        return rf"\operatorname{{Norm}}\left({arg}; {gain}{eps}\right)"


class Hadamard(_Node):
    """The entrywise product: Hadamard(A, B)_ij = A_ij B_ij  (m x n)."""

    precedence = PRECEDENCE["Mul"]

    def __new__(cls, left: MatrixExpr, right: MatrixExpr) -> Hadamard:
        if not (same_size(left.rows, right.rows) and same_size(left.cols, right.cols)):
            raise ShapeError("hadamard takes equal shapes", shape_text(right), shape_text(left))
        return one(MatrixExpr.__new__(cls, left, right))

    def _latex(self, printer) -> str:  # type: ignore[no-untyped-def]
        return rf"\left({printer._print(self.args[0])}\right) \circ \left({printer._print(self.args[1])}\right)"


class Kron(_Node):
    """The Kronecker product: [A_ij B]  (m x n and p x q -> mp x nq)."""

    precedence = PRECEDENCE["Mul"]

    def __new__(cls, left: MatrixExpr, right: MatrixExpr) -> Kron:
        return one(MatrixExpr.__new__(cls, left, right))

    @property
    def shape(self) -> tuple[Expr, Expr]:
        left, right = (shape(factor) for factor in self.args)
        return (canonical(left[0] * right[0]), canonical(left[1] * right[1]))

    def _latex(self, printer) -> str:  # type: ignore[no-untyped-def]
        return rf"\left({printer._print(self.args[0])}\right) \otimes \left({printer._print(self.args[1])}\right)"


class HeadSum(_Node):
    """The sum over a family of heads: sum_e body_e  (m x n).

    Every member of the family in the body differs from head to head; every other symbol is the same for all heads.
    The family has E members, whatever E is (equation 4, second line).
    """

    def __new__(cls, body: MatrixExpr, family: str | Str) -> HeadSum:
        return one(MatrixExpr.__new__(cls, body, Str(str(family))))

    precedence = PRECEDENCE["Add"]

    @property
    def family(self) -> str:
        return str(self.args[1])

    def _latex(self, printer) -> str:  # type: ignore[no-untyped-def]
        index = "g" if self.family.startswith("groups") else "e"
        return rf"\sum_{{{index}}} {printer.parenthesize(self.arg, PRECEDENCE['Add'])}"


class Stack(_Node):
    """All layers, one after the other, on a start  (s x h; equation 1).

    `body` is a layer as a term in `stream`; a family of N of them, which differ in the members of `family`, is
    applied in order, and each of `inserted` (a layer in `stream` as well) once, at any place between them, before the
    first or after the last.
    """

    def __new__(
        cls,
        start: MatrixExpr,
        stream: MatrixSymbol,
        body: MatrixExpr,
        family: str | Str,
        inserted: Sequence[MatrixExpr] = (),
    ) -> Stack:
        for found in (start, body, *inserted):
            if not (same_size(found.rows, stream.rows) and same_size(found.cols, stream.cols)):
                raise ShapeError("a layer does not fit its stream", shape_text(found), shape_text(stream))
        return one(MatrixExpr.__new__(cls, start, stream, body, Str(str(family)), Tuple(*inserted)))

    @property
    def stream(self) -> MatrixSymbol:
        return self.args[1]

    @property
    def body(self) -> MatrixExpr:
        return self.args[2]

    @property
    def family(self) -> str:
        return str(self.args[3])

    @property
    def inserted(self) -> tuple[MatrixExpr, ...]:
        return tuple(self.args[4])

    @property
    def layers(self) -> tuple[MatrixExpr, ...]:
        """The family's layer, and the inserted ones."""
        return (self.body, *self.inserted)

    def _latex(self, printer) -> str:  # type: ignore[no-untyped-def]
        new = r" \mid ".join(printer._print(layer) for layer in self.inserted)
        extra = rf" \mid {new}" if new else ""
        body = printer._print(self.body)
        each = rf"{printer._print(self.stream)} \mapsto {body}{extra}"
        return rf"\operatorname{{Layers}}\left[{each}\right]\left({printer._print(self.arg)}\right)"


NODES = (Act, Softmax, Rope, Diag, RowScale, Norm, Hadamard, Kron, HeadSum, Stack)


# ---------------------------------------------------------------- selections


def is_selection(term: Expr) -> bool:
    """Whether a term is a selection by what it is made of, such as I, a row of ones, or [I I]."""
    if isinstance(term, (MatMul, Kron)):
        return all(map(is_selection, term.args))
    if isinstance(term, BlockMatrix):
        return len(block_rows(term)) == 1 and all(map(is_selection, children(term)))
    return isinstance(term, (Identity, Selection)) or (isinstance(term, OneMatrix) and term.rows == 1)


def flipped(term: MatrixExpr) -> MatrixExpr:
    """A', written without a transpose where that is easy."""
    if isinstance(term, OneMatrix):
        return ones(term.cols, term.rows)
    if isinstance(term, Kron):
        return Kron(*map(flipped, children(term)))
    return term if isinstance(term, Identity) else transposed(term)


# ---------------------------------------------------------------- walking


def factors(term: MatrixExpr) -> tuple[MatrixExpr, ...]:
    """The factors of a product; any other term is its own only one."""
    return term.args if isinstance(term, MatMul) else (term,)


def children(term: Expr) -> tuple[Expr, ...]:
    """The matrix sub-terms that a rule may rewrite, in order; a Stack shows its start only."""
    if isinstance(term, BlockMatrix):
        return tuple(block for row in block_rows(term) for block in row)
    if isinstance(term, (MatMul, MatAdd, Transpose)):
        return term.args
    if isinstance(term, (Hadamard, Kron)):
        return (term.args[0], term.args[1])
    if isinstance(term, Norm):
        return (term.arg, term.gain)
    if isinstance(term, Rope):
        return (term.arg, term.table)
    return (term.args[0],) if isinstance(term, _Node) else ()


def rebuild(term: Expr, parts: Sequence[Expr]) -> Expr:
    """The term with other children (the inverse of `children`); sizes are checked again."""
    if isinstance(term, BlockMatrix):
        width = term.blockshape[1]
        return blocks([parts[i : i + width] for i in range(0, len(parts), width)])
    if isinstance(term, MatMul):
        return product(*parts)
    if isinstance(term, MatAdd):
        return total(*parts)
    if isinstance(term, Transpose):
        return transposed(parts[0])
    return type(term)(*parts, *term.args[len(parts) :])


def subterms(term: Expr) -> Iterator[Expr]:
    """The term and everything under it, parents first."""
    yield term
    for child in children(term):
        yield from subterms(child)


def substitute(term: Expr, mapping: dict[Expr, Expr]) -> Expr:
    """The term with atoms replaced, members of families too (the kernel checks capture)."""
    if term in mapping:
        return mapping[term]
    parts = children(term)
    new = [substitute(part, mapping) for part in parts]
    return term if all(a is b for a, b in zip(parts, new, strict=True)) else rebuild(term, new)


@lru_cache(maxsize=16384)
def atoms(term: Expr) -> frozenset[Expr]:
    """The matrix symbols of a term, those that a family binds and those of layer bodies included."""
    return frozenset([term]) if isinstance(term, MatrixSymbol) else frozenset().union(*map(atoms, term.args))


def free(term: Expr, family: str) -> bool:
    """Whether a member of a family stands in a term outside of every sum or stack that binds it."""
    if isinstance(term, (HeadSum, Stack)) and term.family == family:
        return isinstance(term, Stack) and any(free(part, family) for part in (term.arg, *term.inserted))
    if isinstance(term, Stack):
        return any(free(part, family) for part in (term.arg, term.body, *term.inserted))
    parts = children(term)
    return any(free(part, family) for part in parts) if parts else family in path_of(term)


@lru_cache(maxsize=16384)
def families(term: Expr) -> frozenset[str]:
    """The families that a sum over heads or a stack of layers in a term binds."""
    return frozenset(node.family for node in term.atoms(HeadSum, Stack))


def is_number(scalar: Expr) -> bool:
    """Whether a scalar has a value for all sizes: free of matrices, and it divides by sizes, or by what is never 0.

    A difference of sizes that is divided by is taken not to be 0, as the variant format makes sure.
    """
    if scalar.has(MatrixSymbol, S.NaN, S.ComplexInfinity, S.Infinity, S.NegativeInfinity):
        return False
    divisors = (power.base for power in scalar.atoms(Pow) if not power.exp.is_nonnegative)
    return all(base.is_nonzero or all(symbol.is_integer for symbol in base.free_symbols) for base in divisors)


LEAVES = (MatrixSymbol, ZeroMatrix, OneMatrix, Identity, Frequencies)
COMPOUND = (BlockMatrix, MatMul, MatAdd, Transpose, *NODES)


@lru_cache(maxsize=16384)
def well_formed(term: Expr) -> bool:
    """Whether the constructors make this very term of its parts, and its sizes and scalars are free of matrices."""
    if not isinstance(term, (*LEAVES, *COMPOUND)):
        return False
    scalars = [part for part in (*term.args, *shape(term)) if isinstance(part, Expr) and not part.is_Matrix]
    if not all(map(is_number, scalars)):
        return False
    if isinstance(term, Stack):
        return all(map(well_formed, (term.arg, term.body, *term.inserted)))
    parts = children(term)
    if not isinstance(term, BlockMatrix) and any(getattr(part, "is_Matrix", False) for part in term.args[len(parts) :]):
        return False  # a matrix for a size or a scalar
    return not parts or (all(is_scalar(part) or well_formed(part) for part in parts) and rebuild(term, parts) == term)
