"""The kinds of exercises, and the answer to one as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...symbolic.errors import VariantError
from .breaking import NUMBERS
from .exercise import Exercise, Feedback, Json, Kind
from .filling import FILL, SCALE
from .learning import LEARNS
from .mending import DESIGN, REPAIR
from .ordering import ORDER
from .reading import described, quoted
from .zeroing import ZEROS

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (FILL, SCALE, ZEROS, REPAIR, ORDER, NUMBERS, LEARNS, DESIGN)}


def kind_named(name: str) -> Kind:
    """The kind of that name.  Raises VariantError, which lists them."""
    if name not in KINDS:
        raise VariantError("no exercise is of this kind", found=quoted(name), expected=f"one of {', '.join(KINDS)}")
    return KINDS[name]


def exercise(lesson: str, name: str) -> Exercise:
    """An exercise of a lesson; `check` it.  Raises VariantError, which lists what there is.

    >>> exercise("attention", "scale").check("(k_hat/k)^(1/2)").right
    True
    """
    from . import lesson as lessons  # here, because a lesson holds exercises

    return lessons.lesson(lesson).exercise(name)


def check_exercise(payload: Mapping[str, Any]) -> Json:
    """What is said about {"lesson", "exercise", "answer"}: {"right", "text", "html"}; nonsense gets its one line."""
    try:
        names = payload.get("lesson"), payload.get("exercise")
        if not all(isinstance(one, str) for one in names):
            raise VariantError("an answer names its lesson and its exercise", found=", ".join(map(described, names)))
        found = exercise(*map(str, names)).check(payload.get("answer"))
    except VariantError as error:
        found = Feedback(False, str(error))
    from .page import feedback_html  # here, because the templates cost time

    return {"right": found.right, "text": found.text, "html": feedback_html(found)}
