"""Predict what learns first: the answer is the set of new blocks that move at the first gradient step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from ...proofs.check import claim_of
from ...proofs.liveness import Liveness, liveness
from ...symbolic.architecture import PRESETS, paper_model
from ...symbolic.errors import VariantError
from ...symbolic.variant import loads
from .exercise import Exercise, Feedback, Kind, Offline
from .reading import described, number_in
from .zeroing import given_blocks, names_in

ABOUT_STEPS = {"move", "moves", "learn", "learns", "at", "first", "step", "do", "does"}


def learns(exercise: Exercise) -> Liveness:
    """When each block moves, from the zeros that the question names, or from the variant's own start."""
    zeros = exercise.more.get("zeros")
    return learns_text(exercise.variant.text, exercise.preset.name, None if zeros is None else frozenset(zeros))


@lru_cache(maxsize=64)
def learns_text(variant: str, preset: str, zeros: frozenset[str] | None) -> Liveness:
    return liveness(claim_of([loads(variant, "<lesson>")], paper_model(PRESETS[preset])), zeros)


def first(found: Liveness) -> frozenset[str]:
    return frozenset(name for name, step in found.first.items() if step == 1)


def check(exercise: Exercise, answer: Any) -> Feedback:
    found = learns(exercise)
    given, right = names_in(answer, tuple(found.first), moves_first, ABOUT_STEPS), first(found)
    if given == right:
        return Feedback(True, "; ".join(when(found, found.first)))
    resting = [name for name in found.first if name in given - right]
    if resting:
        return Feedback(False, f"{resting[0]} does not move at the first step", block=(resting[0],))
    return Feedback(False, "these do, and something else does too" if given else "something moves at the first step")


def moves_first(value: object) -> bool:
    """Whether a table says that a block moves at the first step: `True`, or the number of its step.

    Raises VariantError.

    >>> moves_first(True), moves_first("2"), moves_first(1), moves_first("never")
    (True, False, True, False)
    """
    if isinstance(value, bool):
        return value
    number = 0 if value is None or value == "never" else number_in(value)
    if number is None:
        raise VariantError("this is no step", found=described(value), expected="1, 2 or `never`")
    return number == 1


def when(found: Liveness, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        step = found.first[name]
        yield f"{name} never moves" if step is None else f"{name} moves at step {step}"


def solution(exercise: Exercise) -> list[str]:
    return sorted(first(learns(exercise)))


def page(exercise: Exercise) -> Offline:
    found = learns(exercise)
    return Offline({"blocks": list(found.first), "first": list(found.first.values())})


LEARNS = Kind("learns", "the blocks that move at the first step, such as ['M_A']", check, solution, page, given_blocks)
