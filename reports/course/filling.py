"""Fill in what is missing: the variant has a hole `?x`, the answer is the expression that belongs there.

A hole that stands for a number is found by the solver; for a block, the first of the lesson's choices that is proved.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sympy import Expr

from ...proofs.check import claim_of, open_goals, residual
from ...proofs.unknowns import filled, solutions, unknowns
from ...symbolic.architecture import SIZES, paper_model
from ...symbolic.errors import VariantError
from ...symbolic.notation import text
from ...symbolic.syntax import Expression, Unknown, children, parse, show, with_children
from ...symbolic.syntax import names as names_in
from ...symbolic.variant import Variant
from .exercise import Exercise, Feedback, Kind, Offline, the_variant
from .judging import judged
from .reading import described, quoted, spelled, without_name
from .spellings import respelled

WRONG = ("1", "2", "-1", "0")  # tried for a number that is not right


def with_answer(exercise: Exercise, answer: object) -> Variant:
    """The variant with the answer in its hole.  Raises VariantError."""
    hole = hole_of(exercise.variant)
    tree = expression_in(exercise.variant, hole, spelled(without_name(answer, hole)))
    if any(isinstance(part, Unknown) for part in every(tree)):
        raise VariantError("the answer has a hole of its own", found=described(answer))
    return filled(exercise.variant, {hole: tree})


def expression_in(variant: Variant, hole: str, text: str) -> Expression:
    """What a text says for the hole: alone, or within the whole line of a parameter.  Raises VariantError."""
    name, sign, line = text.partition("=")
    if not sign or name not in holders(variant):
        return parse(text)
    match list(set(between(trees(variant)[name], parse(line), Unknown(hole)))):
        case [found] if found is not None:
            return found
    raise VariantError("the line differs from that of the question", found=quoted(text), expected=f"?{hole} alone")


def between(line: Expression, answer: Expression, hole: Unknown) -> Iterator[Expression | None]:
    """What an answer has where a line has the hole; None where they differ elsewhere."""
    if line == hole:
        yield answer
    elif line != answer:
        ours, theirs = children(line), children(answer)
        same = bool(ours) and len(ours) == len(theirs) and with_children(answer, ours) == line
        for mine, other in zip(ours, theirs, strict=False) if same else ():
            yield from between(mine, other, hole)
        if not same:
            yield None


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
    return tuple(name for name, tree in trees(variant).items() if hole in every(tree))


def trees(variant: Variant) -> dict[str, Expression]:
    """What the variant makes of each parameter; those that it adds stand for the old ones of their name."""
    added = [one.entries for one in (variant.added_head, variant.added_layer) if one is not None]
    return {name: tree for table in (variant.rewrite, *added) for name, tree in table.items()}


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
    """Every such number for the script to compare with at sizes of its own; one wrong number with what refutes it."""
    variant, hole = exercise.variant, hole_of(exercise.variant)
    found, names = values(exercise), holders(variant)
    wrong = (exercise.check(number) for number in WRONG)
    refuted = next(one for one in wrong if one.counterexample is not None)
    said = {
        "right": [text(value) for value in found],
        "names": sorted({symbol.name for value in found for symbol in value.free_symbols} | grown(variant)),
        "sizes": [*SIZES, *inner(variant)],
        "grows": {f"{size}_hat": show(tree) for size, tree in variant.grows.items()},
        "frames": [respelled(f"{name}={show(trees(variant)[name])}") for name in names],
        "block": names,
        "hole": hole,
    }
    return Offline(said, (refuted,))


def inner(variant: Variant) -> dict[str, None]:
    """The sizes that a variant introduces, which are no grown ones."""
    found = (one.name for tree in variant.grows.values() for one in names_in(tree))
    return dict.fromkeys(name for name in found if name not in SIZES and not name.endswith("_hat"))


def grown(variant: Variant) -> set[str]:
    return {name for size in variant.grows for name in (size, f"{size}_hat")}


FILL = Kind(
    "fill", "the missing block as an expression, such as '[W, 0]' or '1/2*W'", check, chosen, choices, the_variant
)
SCALE = Kind("scale", "a factor made of sizes, such as 'sqrt(n_hat/n)'", check, number, compared, the_variant)
