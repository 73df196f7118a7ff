"""Unknown scalars `?a`: equations for them from what the prover leaves open, and the variant with a solution put in.

Where both sides of an open goal are alike but for numbers, the numbers must agree.  A solution is a guess: the variant
with it is checked like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sympy import Expr, Poly, PolynomialError, S, Symbol, fraction, roots, together

from ..symbolic.elaborate import unknown
from ..symbolic.syntax import Expression, Unknown, children
from ..symbolic.terms import Frequencies, MatAdd, RowScale, is_scalar
from ..symbolic.terms import children as parts_of
from ..symbolic.variant import Variant, loads
from ..symbolic.writing import replaced, text_of, trees_of, with_trees
from .rules import split, terms_of

MOST_EQUATIONS = 40
HIGHEST_DEGREE = 4

Solution = Mapping[str, Expr]


def unknowns(variant: Variant) -> tuple[str, ...]:
    """The names of the unknown scalars of a variant, without the question mark."""

    def within(tree: Expression) -> Iterator[str]:
        if isinstance(tree, Unknown):
            yield tree.name
        for part in children(tree):
            yield from within(part)

    return tuple(dict.fromkeys(name for tree in trees_of(variant) for name in within(tree)))


def filled(variant: Variant, solution: Mapping[str, Expression]) -> Variant:
    """The variant with values for its unknowns, read from the text that says so.

    >>> one = 'name = "x"\\n[rewrite]\\nW_out = "?a*W_out"\\n'
    >>> from ..symbolic.syntax import parse, show
    >>> show(filled(loads(one, "x.toml"), {"a": parse("1/2")}).rewrite["W_out"])
    '1/2*W_out'
    """

    def put_in(tree: Expression) -> Expression:
        for name, value in solution.items():
            tree = replaced(tree, Unknown(name), value)
        return tree

    changed = with_trees(variant, put_in)
    return loads(text_of(changed), variant.file)


def solutions(names: Sequence[str], residual: Sequence[tuple[Expr, Expr]]) -> Iterator[Solution]:
    """Values of the unknowns for which the open equations may hold; those that nothing determines are 1."""
    wanted = [unknown(name) for name in names]
    found = dict.fromkeys(e for left, right in residual for e in equations(left, right) if e.has(*wanted))
    yield from solved(wanted, list(found)[:MOST_EQUATIONS], {})


def solved(wanted: Sequence[Symbol], open_ones: Sequence[Expr], done: Mapping[Symbol, Expr]) -> Iterator[Solution]:
    """One unknown after the other from an equation in it; where more than one stands in it, the others are 1."""
    rest = [symbol for symbol in wanted if symbol not in done]
    here = [equation for e in open_ones if (equation := e.subs(done)).has(*rest)] if rest else []
    if not here:
        yield {symbol.name.removeprefix("?"): done.get(symbol, S.One) for symbol in wanted}
        return
    fewest = min(here, key=lambda equation: len(equation.free_symbols & set(rest)))
    symbol, *others = sorted(fewest.free_symbols & set(rest), key=str)
    ones = dict.fromkeys(others, S.One)
    for root in roots_of(fewest.subs(ones), symbol):
        yield from solved(wanted, open_ones, {**done, **ones, symbol: root})


def roots_of(equation: Expr, symbol: Symbol) -> list[Expr]:
    """The real roots of a rational equation, the positive ones first."""
    try:
        polynomial = Poly(fraction(together(equation))[0], symbol)
    except PolynomialError:
        return []
    if polynomial.degree() > HIGHEST_DEGREE:
        return []
    found = [root for root in roots(polynomial) if root.is_real is not False]
    return sorted(found, key=lambda root: (not root.is_positive, str(root)))


# ---------------------------------------------------------------- equations


def equations(left: Expr, right: Expr) -> Iterator[Expr]:
    """What must be 0 for two terms of one form to be equal: the differences of their numbers, place by place."""
    if left == right:
        return
    if is_scalar(left) or is_scalar(right):
        if is_scalar(left) and is_scalar(right):
            yield left - right
        return
    if isinstance(left, MatAdd) or isinstance(right, MatAdd):
        yield from of_sums(left, right)
        return
    (a, A), (b, B) = split(left), split(right)
    if A == B:
        yield a - b
        return
    if (a, b) != (S.One, S.One):
        yield a - b
    yield from of_parts(A, B)


def of_sums(left: Expr, right: Expr) -> Iterator[Expr]:
    """Summands with the same matrices have the same factor; the others are compared in order."""
    ours, theirs = ({split(t)[1]: split(t)[0] for t in terms_of(side)} for side in (left, right))
    for word in ours.keys() & theirs.keys():
        yield ours[word] - theirs[word]
    rest = [[word for word in side if word not in other] for side, other in ((ours, theirs), (theirs, ours))]
    if len(rest[0]) == len(rest[1]):
        for mine, other in zip(*rest, strict=True):
            yield ours[mine] - theirs[other]
            yield from of_parts(mine, other)
        return
    yield from (ours[word] for word in rest[0])
    yield from (theirs[word] for word in rest[1])


def of_parts(left: Expr, right: Expr) -> Iterator[Expr]:
    """The parts of two terms of one kind, and the numbers that they carry."""
    if type(left) is not type(right):
        return
    if isinstance(left, RowScale):
        yield from (a - b for a, b in zip(left.args[1:], right.args[1:], strict=True))
    if isinstance(left, Frequencies):
        yield left.rho - right.rho
    ours, theirs = parts_of(left), parts_of(right)
    for mine, other in zip(ours, theirs, strict=True) if len(ours) == len(theirs) else ():
        yield from equations(mine, other)
