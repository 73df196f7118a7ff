"""Repair a false variant, or design one: the answer is a variant file, or the lines that change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ...proofs.check import claim_of
from ...proofs.liveness import liveness
from ...proofs.repair import offer
from ...symbolic.architecture import paper_model
from ...symbolic.errors import NOWHERE, VariantError
from ...symbolic.syntax import parse, show
from ...symbolic.variant import PARAMETERS, Constraint, Variant, loads
from ...symbolic.writing import text_of
from .exercise import Exercise, Feedback, Given, Kind, Offline, described, spelled, the_variant
from .filling import choices, chosen
from .judging import judged

ANSWER = "<answer>"  # what errors call the file of an answer
_TABLE = re.compile(r"(?m)^\s*\[\s*(grows|new|rewrite|constraints|added\.\w+|stream)\s*\]\s*$")


def mended(exercise: Exercise, answer: object) -> Variant:
    """The variant that an answer makes of the false one: a whole file, or its changed lines.  Raises VariantError."""
    if isinstance(answer, str) and _TABLE.search(answer):
        return loads(answer, ANSWER)
    return changed(exercise.variant, dict(lines(answer)))


def lines(answer: object) -> Iterator[tuple[str, str]]:
    """The equations of an answer: those of a table, or one a line, quoted or not.  Raises VariantError."""
    if isinstance(answer, Mapping):
        yield from ((spelled(key), spelled(value)) for key, value in answer.items())
        return
    if not isinstance(answer, str):
        raise VariantError("a repair is a text", found=described(answer))
    for line in filter(None, (one.split("#")[0].strip() for one in re.split(r"[\n;](?![^\[]*\])", answer))):
        key, sign, value = line.partition("=")
        if not sign:
            raise VariantError("the line has no equals sign", found=repr(line))
        yield spelled(key.strip(' "')), spelled(value.strip(' "'))


def changed(variant: Variant, entries: Mapping[str, str], without: tuple[str, ...] = ()) -> Variant:
    """The variant with other rewrites and further constraints, without some.  Raises VariantError."""
    rewrite = {key: parse(value) for key, value in entries.items() if key in PARAMETERS}
    more = (Constraint(parse(key), parse(value), NOWHERE) for key, value in entries.items() if key not in PARAMETERS)
    kept = (one for one in variant.constraints if show(one.left) not in {*without, *entries})
    found = replace(variant, rewrite={**variant.rewrite, **rewrite}, constraints=(*kept, *more))
    return loads(text_of(found), ANSWER)


def check(exercise: Exercise, answer: Any) -> Feedback:
    found = mended(exercise, answer)
    if {k: show(v) for k, v in found.grows.items()} != {k: show(v) for k, v in exercise.variant.grows.items()}:
        return Feedback(False, "a repair grows the same sizes: leave [grows] as it is")
    if set(found.new) != set(exercise.variant.new):
        return Feedback(False, "a repair has the same new blocks: leave [new] as it is")
    return judged(found, exercise.preset)


def repaired(exercise: Exercise) -> str:
    """The smallest repair that the program finds, as lines; where it finds none, the first choice that is proved."""
    found = offer(exercise.variant, exercise.preset).repairs
    return "\n".join(found[0].changes) if found else chosen(exercise)


# ---------------------------------------------------------------- a design


def designed(exercise: Exercise, answer: Any) -> Feedback:
    """Right if the variant is proved, grows what is asked for, and something new in it can learn."""
    if not isinstance(answer, str):
        raise VariantError("a design is the text of a variant file", found=described(answer))
    found, wanted = loads(answer, ANSWER), str(exercise.more["grows"])
    if wanted not in found.grows:
        return Feedback(False, f"the design does not grow {wanted}: give it an entry in [grows]")
    said = judged(found, exercise.preset)
    if not said.right:
        return said
    learns = liveness(claim_of([found], paper_model(exercise.preset)))
    if learns.first and not learns.steps:
        return Feedback(False, "proved, but none of its new blocks ever moves", block=tuple(learns.first))
    return replace(said, text=f"{said.text}{moving(learns.first)}")


def moving(first: Mapping[str, int | None]) -> str:
    steps = (f"{name} moves {f'at step {step}' if step else 'never'}" for name, step in first.items())
    return "; " + ", ".join(steps) if first else ""


REPAIR = Kind(
    "repair", "the lines that change, such as 'W_K = [2*W_K, M]' or 'M = 0'", check, repaired, choices, the_variant
)
DESIGN = Kind(
    "design",
    "the text of a variant file, with its [grows] and [rewrite]",
    designed,
    lambda exercise: str(exercise.more["solution"]),
    lambda exercise: Offline({}),
    lambda exercise: Given(),
)
