"""Fill in what is missing: the variant has a hole `?x`, the answer is the expression that belongs there.

A hole that stands for a number is found by the solver; for a block, the first of the lesson's choices that is proved.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import product
from typing import Any

from sympy import Expr, Integer, Symbol

from ...proofs.check import claim_of, open_goals, residual
from ...proofs.unknowns import filled, solutions, unknowns
from ...symbolic.architecture import paper_model
from ...symbolic.errors import VariantError
from ...symbolic.notation import text
from ...symbolic.syntax import Expression, Unknown, children, parse
from ...symbolic.variant import Variant
from .exercise import Exercise, Feedback, Kind, Offline, the_variant
from .judging import judged
from .reading import described, spelled, without_name

GROWTHS = ((1, 4), (2, 3), (3, 9), (5, 7))  # old and grown sizes at which a page compares two numbers
DIGITS = 130  # of these numbers
WRONG = ("1", "2", "-1", "0")  # tried for a number that is not right


def with_answer(exercise: Exercise, answer: object) -> Variant:
    """The variant with the answer in its hole.  Raises VariantError."""
    hole = hole_of(exercise.variant)
    tree = parse(spelled(without_name(answer, hole)))
    if any(isinstance(part, Unknown) for part in every(tree)):
        raise VariantError("the answer has a hole of its own", found=described(answer))
    return filled(exercise.variant, {hole: tree})


def hole_of(variant: Variant) -> str:
    """The name of the one hole.  Raises VariantError for a variant with another number of them."""
    found = unknowns(variant)
    if len(found) != 1:
        raise VariantError("a variant to fill in has one hole", variant.file, found=str(len(found)), expected="one ?x")
    return found[0]


def every(tree: Expression) -> Iterator[Expression]:
    yield tree
    for part in children(tree):
        yield from every(part)


def check(exercise: Exercise, answer: Any) -> Feedback:
    return judged(with_answer(exercise, answer), exercise.preset, holders(exercise.variant))


def holders(variant: Variant) -> tuple[str, ...]:
    """The parameters in which the hole stands."""
    hole = Unknown(hole_of(variant))
    added = [one.entries for one in (variant.added_head, variant.added_layer) if one is not None]
    return tuple(name for table in (variant.rewrite, *added) for name, tree in table.items() if hole in every(tree))


# ---------------------------------------------------------------- a block


def chosen(exercise: Exercise) -> str:
    """The first choice that is proved."""
    right = (str(choice) for choice in exercise.more["choices"] if exercise.check(choice).right)
    found = next(right, None)
    if found is None:
        raise VariantError(f"no choice of exercise {exercise.name} is proved", f"lesson {exercise.lesson}")
    return found


def choices(exercise: Exercise) -> Offline:
    """Every choice with what the prover says of it."""
    offered = [str(choice) for choice in exercise.more["choices"]]
    said = tuple(exercise.check(choice) for choice in offered)
    return Offline({"choices": offered, "right": [one.right for one in said]}, said)


# ---------------------------------------------------------------- a number


def values(exercise: Exercise) -> tuple[Expr, ...]:
    """Every number that the solver finds for the hole and the prover accepts."""
    base, variant = paper_model(exercise.preset), exercise.variant
    hole = hole_of(variant)
    equations = residual(open_goals([claim_of([variant], base)]))
    found = dict.fromkeys(one[hole] for one in solutions([hole], equations))
    return tuple(value for value in found if check(exercise, text(value)).right)


def number(exercise: Exercise) -> str:
    return text(values(exercise)[0])


def compared(exercise: Exercise) -> Offline:
    """The number at several sizes, for the script to compare with; one wrong number with what refutes it."""
    right = values(exercise)
    names = sorted({symbol.name for value in right for symbol in value.free_symbols} | grown(exercise.variant))
    points = [dict(zip(names, sizes, strict=True)) for sizes in assignments(names)]
    table = [{"sizes": point, "values": [digits(value, point) for value in right]} for point in points]
    wrong = (exercise.check(number) for number in WRONG)
    refuted = next(one for one in wrong if one.counterexample is not None)
    said = {"names": names, "block": holders(exercise.variant), "hole": hole_of(exercise.variant)}
    return Offline({"points": table, **said}, (refuted,))


def grown(variant: Variant) -> set[str]:
    return {name for size in variant.grows for name in (size, f"{size}_hat")}


def assignments(names: list[str]) -> Iterator[tuple[int, ...]]:
    """Several values for each size, a grown one larger than what it grew from."""
    old = [name for name in names if not name.endswith("_hat")]
    for pairs in product(GROWTHS, repeat=max(len(old), 1)):
        before = dict(zip(old, (pair[0] for pair in pairs), strict=False))
        after = dict(zip((f"{name}_hat" for name in old), (pair[1] for pair in pairs), strict=False))
        yield tuple({**before, **after}.get(name, 2) for name in names)


def digits(value: Expr, sizes: dict[str, int]) -> str:
    """A number at some sizes as so many digits that no other short answer has the same."""
    numbers = {symbol: Integer(sizes[symbol.name]) for symbol in value.free_symbols if isinstance(symbol, Symbol)}
    return f"{Decimal(str(value.subs(numbers).evalf(DIGITS))):f}"


FILL = Kind(
    "fill", "the missing block as an expression, such as '[W, 0]' or '1/2*W'", check, chosen, choices, the_variant
)
SCALE = Kind("scale", "a factor made of sizes, such as 'sqrt(n_hat/n)'", check, number, compared, the_variant)
