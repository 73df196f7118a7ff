"""From the trees of a variant file to terms: every name looked up, every size checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import comb, prod

from sympy import Integer, Pow, Rational, Symbol, expand, sqrt

from . import syntax
from .syntax import Expression, error_at, nearest, show
from .terms import (
    Act,
    Diag,
    Expr,
    Hadamard,
    Kron,
    ShapeError,
    blocks,
    canonical,
    eye,
    is_scalar,
    negative,
    ones,
    product,
    same_size,
    side_text,
    total,
    transposed,
    zero,
)
from .terms import shape as sides

Shape = tuple[Expr, Expr]

# Bounds that keep sizes and block matrices quick to compute with.
MOST_TERMS = 1000
MOST_BLOCKS = 1000


@dataclass(frozen=True)
class Scope:
    """What the names of an expression mean, and what is known of the sizes.

    `above` gives, for a grown size, the size that it exceeds: p_hat - p >= 1.  In the body of a sublayer `rows` is the
    number of tokens: a single row, such as a bias, is added to each of so many.  `elsewhere` says of a name that is
    not among these what it means in other places, and what should stand here.
    """

    names: Mapping[str, Expr]
    above: Mapping[Symbol, Expr]
    act: str
    rows: Expr | None = None
    elsewhere: Callable[[str], tuple[str, str] | None] = lambda name: None

    def spread(self, scalar: Expr) -> Expr:
        """The scalar with every grown size written as the old one plus a positive symbol."""
        return expand(self._by_excess(scalar))

    def _by_excess(self, scalar: Expr) -> Expr:
        for grown, old in reversed(list(self.above.items())):
            scalar = scalar.subs(grown, old + Symbol(f"{grown}~more", integer=True, positive=True))
        return scalar

    def is_large(self, scalar: Expr) -> bool:
        """Whether the scalar may have very many terms once it is multiplied out, over one denominator."""
        return any(most_terms(one) * terms_below(one) > MOST_TERMS for one in (scalar, self._by_excess(scalar)))

    def is_positive(self, scalar: Expr) -> bool:
        return bool(scalar.is_positive or self.spread(scalar).is_positive)

    def is_nonnegative(self, scalar: Expr) -> bool:
        return bool(scalar.is_nonnegative or self.spread(scalar).is_nonnegative)

    def is_size(self, scalar: Expr) -> bool:
        """Whether the scalar is at least 1 for all sizes; a quotient is taken to be whole."""
        return canonical(scalar).is_integer is not False and self.is_positive(scalar)

    def is_nonzero(self, scalar: Expr) -> bool:
        return bool(scalar.is_nonzero or self.spread(scalar).is_positive or self.spread(-scalar).is_positive)


def most_terms(scalar: Expr) -> int:
    """A bound on the number of terms of a scalar that is multiplied out."""
    if scalar.is_Add:
        return sum(map(most_terms, scalar.args))
    if scalar.is_Mul:
        return prod(map(most_terms, scalar.args))
    if scalar.is_Pow:
        base, exponent = most_terms(scalar.base), most_terms(scalar.exp)
        times = int(abs(scalar.exp.as_coeff_Add()[0]))
        return exponent * comb(base + times - 1, times) if base > 1 else exponent
    return 1


def terms_below(scalar: Expr) -> int:
    """A bound on the number of terms of the common denominator of a scalar's fractions."""
    return prod(most_terms(power) for power in scalar.atoms(Pow) if power.exp.could_extract_minus_sign())


def unknown(name: str) -> Symbol:
    """?name: a number of which nothing is known, not even its sign."""
    return Symbol(f"?{name}", real=True)


def is_unknown(symbol: Symbol) -> bool:
    return symbol.name.startswith("?")


def elaborate(expression: Expression, scope: Scope, shape: Shape | None) -> Expr:
    """The term of an expression; `shape` (rows, columns) is what the place asks for, None for a scalar.

    Raises VariantError with line and column for an unknown name, a shape that does not fit, a division by
    what may be zero, or a root of what may be negative.
    """
    term = _term(expression, scope, shape)
    if shape is None:
        if not is_scalar(term):
            raise error_at(expression, "a scalar is wanted here", _shown(term), "a scalar")
        return term
    if is_scalar(term):
        if term != 0:
            raise error_at(expression, "a matrix is wanted here", f"the scalar {show(expression)}", _shape(shape))
        return zero(*shape)
    if not _fits(term, shape):
        raise error_at(
            expression,
            "the shape does not fit",
            f"{show(expression)}, which is {_shown(term)}",
            _shape(shape),
        )
    return term


def shape_of(expression: Expression, scope: Scope) -> Shape | None:
    """The shape that an expression has by itself; None for a scalar, and for a bare 0."""
    term = _term(expression, scope, None)
    return None if is_scalar(term) else sides(term)


def _fits(term: Expr, shape: Shape) -> bool:
    return all(map(same_size, sides(term), shape))


def _shape(shape: Shape) -> str:
    return " x ".join(map(side_text, shape))


def _shown(term: Expr) -> str:
    return "a scalar" if is_scalar(term) else _shape(sides(term))


def _term(expression: Expression, scope: Scope, shape: Shape | None) -> Expr:
    """A term of any shape; `shape` only helps to size a bare 0."""
    try:
        match expression:
            case syntax.Number(value=value):
                return Rational(value.numerator, value.denominator)
            case syntax.Name(name=name):
                return _name(expression, name, scope)
            case syntax.Unknown(name=name):
                return unknown(name)
            case syntax.Negative(operand=operand):
                return negative(_term(operand, scope, shape))
            case syntax.Transposed(operand=operand):
                inner = _term(operand, scope, (shape[1], shape[0]) if shape else None)
                return inner if is_scalar(inner) else transposed(inner)
            case syntax.Blocks(rows=rows):
                return _blocks(expression, rows, scope, shape)
            case syntax.Call():
                return _call(expression, scope)
            case syntax.BinaryOp():
                return _operation(expression, scope, shape)
    except ShapeError as error:
        raise error_at(expression, f"{error.message} in {show(expression)}", error.found, error.expected) from None


def _name(place: Expression, name: str, scope: Scope) -> Expr:
    if name in scope.names:
        return scope.names[name]
    known = scope.elsewhere(name)
    if known is not None:
        meaning, expected = known
        raise error_at(place, f"this name means nothing here: {meaning}", name, expected)
    guess = nearest(name, scope.names)
    raise error_at(
        place,
        "this name means nothing here",
        name,
        f"{guess}?" if guess else "a parameter, a new block or a size: " + ", ".join(scope.names),
    )


def _operation(node: syntax.BinaryOp, scope: Scope, shape: Shape | None) -> Expr:
    if node.operator in "+-":
        left, right = _sized(_term(node.left, scope, shape), _term(node.right, scope, shape))
        right = right if node.operator == "+" else negative(right)
        if is_scalar(left) != is_scalar(right):
            raise error_at(node, "a scalar and a matrix cannot be added", show(node), "two of a kind")
        if is_scalar(left):
            return canonical(_bounded(node, left + right, scope))
        return total(*(_in_every_row(term, other, scope) for term, other in ((left, right), (right, left))))
    left, right = _term(node.left, scope, None), _term(node.right, scope, None)
    if node.operator == "*":
        return _bounded(node, product(left, right), scope)
    if not is_scalar(right) or (node.operator == "^" and not is_scalar(left)):
        raise error_at(node, f"`{node.operator}` takes scalars", show(node), "a scalar")
    if node.operator == "/":
        _nonzero(node.right, right, scope)
        return _bounded(node, product(1 / right, left), scope)
    if not (right.is_integer and scope.is_nonnegative(right)):
        _nonzero(node.left, left, scope)
    if not (scope.is_positive(right) or scope.is_nonzero(left)):
        raise error_at(node, "a power 0^0 means nothing", show(node), "a base that is never zero")
    if not (right.is_integer or scope.is_positive(left)):
        raise error_at(node.left, "a power of what may be negative", show(node.left), "something positive")
    return _bounded(node, left**right, scope)


def _in_every_row(term: Expr, other: Expr, scope: Scope) -> Expr:
    """A single row, as often as what it is added to has rows, where the scope allows that."""
    single = scope.rows is not None and term.rows == 1 and same_size(other.rows, scope.rows)
    return product(ones(scope.rows, 1), term) if single else term


def _bounded(node: Expression, term: Expr, scope: Scope) -> Expr:
    """The term, unless it is a scalar that takes long to multiply out."""
    if is_scalar(term) and scope.is_large(term):
        raise error_at(node, "the expression is too large", "very many terms", f"at most {MOST_TERMS}, multiplied out")
    return term


def _sized(left: Expr, right: Expr) -> tuple[Expr, Expr]:
    """A bare 0 next to a matrix takes its shape."""
    if is_scalar(left) and left == 0 and not is_scalar(right):
        return zero(*sides(right)), right
    if is_scalar(right) and right == 0 and not is_scalar(left):
        return left, zero(*sides(left))
    return left, right


def _nonzero(place: Expression, scalar: Expr, scope: Scope) -> None:
    if not scope.is_nonzero(scalar):
        raise error_at(place, "a division by what may be zero", show(place), "something that is never zero")


def _blocks(node: Expression, rows: Sequence[Sequence[Expression]], scope: Scope, shape: Shape | None) -> Expr:
    """A matrix of blocks; a bare 0 takes its height from its row and its width from its column."""
    _few_blocks(node, len(rows) * len(rows[0]))
    grid = [[_term(cell, scope, None) for cell in row] for row in rows]
    heights = [_common(row, lambda block: sides(block)[0]) for row in grid]
    widths = [_common(column, lambda block: sides(block)[1]) for column in zip(*grid, strict=True)]
    if shape is not None:
        heights, widths = _completed(heights, shape[0]), _completed(widths, shape[1])
    for i, row in enumerate(grid):
        for j, block in enumerate(row):
            if is_scalar(block):
                height, width = heights[i], widths[j]
                if block != 0:
                    raise error_at(rows[i][j], "a block is a matrix", show(rows[i][j]), "a matrix or 0")
                if height is None or width is None:
                    raise error_at(rows[i][j], "the size of this block is not determined", "0", "0(m, n)")
                if not (scope.is_size(height) and scope.is_size(width)):
                    found = f"{height} x {width}"
                    raise error_at(rows[i][j], "there is no room for this block", found, "1 x 1 or more")
                row[j] = zero(height, width)
    return blocks(grid)


def _few_blocks(node: Expression, count: int) -> None:
    if count > MOST_BLOCKS:
        raise error_at(node, "there are too many blocks", str(count), f"at most {MOST_BLOCKS}")


def _common(cells: Sequence[Expr], side: Callable[[Expr], Expr]) -> Expr | None:
    return next((side(cell) for cell in cells if not is_scalar(cell)), None)


def _completed(sizes: list[Expr | None], whole: Expr) -> list[Expr | None]:
    """With one size missing, it is what the others leave of the whole."""
    if sizes.count(None) != 1:
        return sizes
    rest = canonical(whole - sum((size for size in sizes if size is not None), Integer(0)))
    return [rest if size is None else size for size in sizes]


def _call(node: syntax.Call, scope: Scope) -> Expr:
    arguments = [_term(argument, scope, None) for argument in node.arguments]
    wants_scalars = node.function in ("sqrt", "eye", "ones", "0")
    for place, argument in zip(node.arguments, arguments, strict=True):
        if is_scalar(argument) != wants_scalars:
            wanted = "a scalar" if wants_scalars else "a matrix"
            raise error_at(place, f"`{node.function}` takes {wanted}", show(place), wanted)
    if node.function == "sqrt":
        if not scope.is_nonnegative(arguments[0]):
            raise error_at(
                node.arguments[0],
                "a root of what may be negative",
                show(node.arguments[0]),
                "something positive",
            )
        return sqrt(arguments[0])
    if wants_scalars:
        for place, argument in zip(node.arguments, arguments, strict=True):
            if not scope.is_size(argument):
                raise error_at(place, "a size is a whole number from 1", show(place), "a positive size")
    if node.function == "blockdiag":
        _few_blocks(node, len(arguments) ** 2)
    if node.function == "kron":
        for lengths in zip(*map(sides, arguments), strict=True):
            _bounded(node, prod(lengths), scope)
    return _CONSTRUCTORS[node.function](scope, *arguments)


def _blockdiag(scope: Scope, *parts: Expr) -> Expr:
    return blocks([[a if i == j else zero(a.rows, b.cols) for j, b in enumerate(parts)] for i, a in enumerate(parts)])


_CONSTRUCTORS: Mapping[str, Callable[..., Expr]] = {
    "eye": lambda scope, n: eye(n),
    "ones": lambda scope, m, n: ones(m, n),
    "0": lambda scope, m, n: zero(m, n),
    "diag": lambda scope, row: Diag(row),
    "blockdiag": _blockdiag,
    "kron": lambda scope, left, right: Kron(left, right),
    "hadamard": lambda scope, left, right: Hadamard(left, right),
    "act": lambda scope, arg: Act(arg, scope.act),
}
