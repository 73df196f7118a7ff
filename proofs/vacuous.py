"""Constraints that contradict each other: from these anything follows, so a statement under them says nothing.

At concrete sizes the entries of new blocks and old parameters alike are unknown reals, those of one layer, head and
expert: what one member of a family can be, every other can be too.  Where z3 finds that no numbers meet the
constraints, they cannot be met there, whatever the old parameters are.  Sizes are tried from the smallest up, since
constraints may ask for room (S T = 1 of p x p only where S has at least p columns), to some that are larger than every
number in their shapes.  This is evidence at those sizes: enough to refuse a file, and never used to prove one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Literal, TypeAlias

import z3
from sympy import Integer, Symbol

from ..symbolic.elaborate import Scope
from ..symbolic.errors import VariantError
from ..symbolic.evaluate import SizeError, Values, evaluate, whole
from ..symbolic.expand import Expansion
from ..symbolic.terms import Expr, Identity, MatrixSymbol, Selection, children, factors, subterms
from ..symbolic.variant import Constraint
from . import solver
from .admissible import sizes_exist
from .kernel import Equation
from .rules import split

WORK = 300_000  # of z3 for one question, about 0.3 s
SEVERAL = 2  # sizes at which a contradiction is seen before it counts
CORNERS = 4  # so many symbols are tried as 1 and 2 in every combination; of more, each by itself
LARGE = 5
LARGEST = 30
LOOKS = 12  # sizes at which it is looked for what is possible, where nothing is certain

Sizes: TypeAlias = Mapping[Symbol, int]


@dataclass(frozen=True)
class Stated:
    """A constraint of a file, and the equations that it stands for."""

    constraint: Constraint
    equations: tuple[Equation, ...]


@dataclass(frozen=True)
class Look:
    """What z3 says of some constraints at some sizes."""

    sizes: Sizes
    verdict: Literal["sat", "unsat", "unknown"]

    def __str__(self) -> str:
        return ", ".join(f"{symbol} = {value}" for symbol, value in self.sizes.items())


def refuse_contradiction(steps: Sequence[Expansion]) -> None:
    """Raise VariantError for a chain whose constraints cannot be met, with the fewest that say so and their places."""
    constraints = stated(steps)
    refuse_narrow(constraints, steps)

    def clash(most: int | None) -> Callable[[Sequence[Stated]], bool]:
        return lambda some: certain(looks(some, steps, most))

    for most in (SEVERAL, None):  # what clashes at the smallest sizes is found quickly, and mostly clashes at all
        if not clash(most)(constraints):
            return
        fewest = core(constraints, clash(most))
        if clash(None)(fewest):
            raise refusal(fewest, tuple(looks(fewest, steps)))


def refuse_narrow(constraints: Sequence[Stated], steps: Sequence[Expansion]) -> None:
    """Raise VariantError for a product that should be the identity and goes through too few coordinates for that."""
    sizes = Scope({}, {grown: base for step in steps for grown, base in step.above.items()}, "")
    for given in constraints:
        for equation in given.equations:
            for left, right in ((equation.left, equation.right), (equation.right, equation.left)):
                a, whole_of = split(right)
                inner = [one.cols for one in factors(left)[:-1] if one.is_Matrix]
                narrow = [columns for columns in inner if sizes.is_positive(whole_of.rows - columns)]
                if isinstance(whole_of, Identity) and a.is_nonzero and narrow:
                    raise given.constraint.place.error(
                        "the constraints cannot be met, so the statement would be vacuous",
                        f"`{given.constraint.text}`, an identity of {whole_of.rows} rows through {narrow[0]} columns",
                        f"at least {whole_of.rows} columns",
                    )


def certain(seen: Iterator[Look] | Sequence[Look]) -> bool:
    """Whether nothing meets the constraints at any of several sizes; one look will do where they mention no size."""
    count = 0
    for look in seen:
        if look.verdict != "unsat":
            return False
        count += 1 if look.sizes else SEVERAL
    return count >= SEVERAL


def refusal(constraints: Sequence[Stated], seen: Sequence[Look]) -> VariantError:
    """The error that names the constraints with their places, and the sizes."""
    first = constraints[0].constraint.place
    found = " and ".join(f"`{one.constraint.text}`{where(one, first.file)}" for one in constraints)
    sizes = "; ".join(str(look) for look in seen[:SEVERAL] if look.sizes)
    more = f" and {len(seen) - SEVERAL} other sizes" if len(seen) > SEVERAL else ""
    return first.error(
        "the constraints cannot be met, so the statement would be vacuous",
        f"{found}, which no numbers meet" + (f" at {sizes}{more}" if sizes else ""),
        "constraints that some new blocks meet",
    )


def where(stated: Stated, file: str | None) -> str:
    """The line of a constraint, with its file where that is another; a variant from Python has no lines."""
    place = stated.constraint.place
    parts = [place.file if place.file != file else None, f"line {place.line}" if place.line is not None else None]
    return "".join(f" ({part})" for part in [", ".join(part for part in parts if part)] if part)


def known(steps: Sequence[Expansion]) -> str:
    """What is known of constraints that were not refused, and for which no solution was found."""
    if not sizes_exist(steps):
        return "no sizes were found that are whole numbers throughout"
    seen = tuple(islice(looks(stated(steps), steps), LOOKS))
    first = {look.verdict: str(look) or "all sizes" for look in reversed(seen)}
    found = "z3 does not find out whether they can be met"
    if "sat" in first:
        but = f", and not at {first['unsat']}" if "unsat" in first else " by some old parameters and new blocks"
        found = f"at {first['sat']} they can be met{but}"
    return f"no solution of the constraints was found for all old parameters and sizes: {found}"


# ---------------------------------------------------------------- constraints


def stated(steps: Sequence[Expansion]) -> tuple[Stated, ...]:
    """The constraints of a chain that say something in its architecture, in order."""
    return tuple(
        Stated(constraint, tuple(Equation(*pair) for pair in pairs))
        for step in steps
        for i, constraint in enumerate(step.variant.constraints)
        if (pairs := [pair for pair, of in zip(step.constraints, step.constraint_sources, strict=True) if of == i])
    )


def core(constraints: Sequence[Stated], clash: Callable[[Sequence[Stated]], bool]) -> tuple[Stated, ...]:
    """Constraints that clash, as all of them do, and no longer without any one of them.

    The last of the shortest beginning that clashes is needed; then the same for what comes before it.
    """
    needed: list[Stated] = []
    rest = list(constraints)
    while rest and not clash(needed):
        length = bisect_left(range(len(rest)), True, key=lambda n: clash([*rest[:n], *needed]))
        needed.insert(0, rest[length - 1])
        rest = rest[: length - 1]
    return tuple(needed)


# ---------------------------------------------------------------- sizes


def looks(constraints: Sequence[Stated], steps: Sequence[Expansion], most: int | None = None) -> Iterator[Look]:
    """What z3 says of the constraints at one size after the other; `most` limits how many."""
    equations = [equation for one in constraints for equation in one.equations]
    for sizes in islice(sizes_of(equations, steps), most):
        if max(sizes.values(), default=0) > LARGEST:
            yield Look(sizes, "unknown")  # too many numbers to ask about
            continue
        try:
            yield Look(sizes, solver.ask(query(equations, sizes), WORK, 1).verdict)
        except SizeError:
            continue  # a size that is not whole here


def sizes_of(equations: Sequence[Equation], steps: Sequence[Expansion]) -> Iterator[Sizes]:
    """Values for the sizes in some equations: 1 and 2, then large ones; a grown size exceeds its old one by that."""
    above = {grown: base for step in steps for grown, base in step.above.items()}
    symbols = {symbol for equation in equations for symbol in free_sizes(equation)}
    for grown in reversed(above):
        symbols |= above[grown].free_symbols if grown in symbols else set()
    ordered = sorted(symbols - set(above), key=str) + [grown for grown in above if grown in symbols]
    leaves = (leaf for one in equations for side in (one.left, one.right) for leaf in subterms(side))
    rooms = (side for leaf in leaves if leaf.is_Matrix and not children(leaf) for side in leaf.shape)
    large = 1 + max([LARGE, *(abs(int(n)) for side in rooms for n in side.atoms(Integer))])
    for values in combinations(len(ordered), large):
        found: dict[Symbol, int] = {}
        for symbol, value in zip(ordered, values, strict=True):
            found[symbol] = value + (int(above[symbol].subs(found)) if symbol in above else 0)
        yield found


def combinations(count: int, large: int) -> Iterator[tuple[int, ...]]:
    """Small values for so many symbols, from the smallest up; then each large alone, and all.

    >>> list(combinations(1, 9))
    [(1,), (2,), (9,)]
    """

    def alone(one: int, others: int) -> list[tuple[int, ...]]:
        return [tuple(one if i == j else others for j in range(count)) for i in range(count)]

    corners = list(product((1, 2), repeat=count)) if count <= CORNERS else [(1,) * count, *alone(2, 1), *alone(1, 2)]
    yield from dict.fromkeys([*sorted(corners, key=sum), (2,) * count, *alone(large, 1), (large,) * count])


def free_sizes(equation: Equation) -> set[Symbol]:
    """The symbols of sizes, those in the shapes of matrices too."""
    symbols = equation.left.atoms(Symbol) | equation.right.atoms(Symbol)
    return {symbol for symbol in symbols if symbol.is_integer}


# ---------------------------------------------------------------- questions


def query(equations: Sequence[Equation], sizes: Sizes) -> solver.Query:
    """Are there numbers that meet the equations at these sizes?  A scalar such as eps may be any of its sign."""
    sides = [side for equation in equations for side in (equation.left, equation.right)]
    scalars: dict[str, Expr] = {s.name: s for side in sides for s in side.atoms(Symbol)}
    scalars |= {symbol.name: Integer(value) for symbol, value in sizes.items()}
    here = Values(scalars)
    matrices = {
        m.name: solver.matrix(m.name, *(whole(side, here) for side in m.shape))
        for m in sorted({m for side in sides for m in side.atoms(MatrixSymbol)}, key=str)
    }
    facts: list[z3.BoolRef] = []
    values, arithmetic = Values(scalars, matrices), solver.arithmetic(facts)
    held = [
        solver.equal(evaluate(equation.left, values, arithmetic), evaluate(equation.right, values, arithmetic))
        for equation in equations
    ]
    chosen = {m.name for side in sides for m in side.atoms(Selection)}
    held += [fact for name in sorted(chosen) for fact in solver.selects(matrices[name])]
    return solver.Query("the constraints hold", (*facts, *held))
