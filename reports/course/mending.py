"""Repair a false variant, or design one: the answer is a variant file, or the lines that change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ...proofs.check import claim_about, claim_of
from ...proofs.drawing import FLOATS
from ...proofs.liveness import Place, liveness, places
from ...proofs.places import apart
from ...proofs.unknowns import unknowns
from ...symbolic.architecture import paper_model
from ...symbolic.errors import NOWHERE, VariantError
from ...symbolic.expand import expand
from ...symbolic.instances import Nested, grown
from ...symbolic.preset import Preset
from ...symbolic.syntax import parse, show
from ...symbolic.variant import PARAMETERS, Constraint, Variant, loads
from ...symbolic.writing import text_of
from .breaking import arrays
from .exercise import Exercise, Feedback, Given, Kind, Offline, the_variant
from .filling import choices, chosen
from .judging import judged
from .reading import described, quoted, spelled

DRAWS = 3  # of numbers in which a block may be other than zero
ANSWER = "<answer>"  # what errors call the file of an answer
_NAME = re.compile(r"(?m)^[ \t]*name[ \t]*=")  # what every file has, and no line that changes
_TABLE = re.compile(r"\[\s*(\w+)(\.\w+)?\s*\]")


def mended(exercise: Exercise, answer: object) -> Variant:
    """The variant that an answer makes of the false one: a whole file, or its changed lines.  Raises VariantError."""
    if isinstance(answer, list) and all(isinstance(line, str) for line in answer):
        answer = "\n".join(answer)
    whole = isinstance(answer, str) and _NAME.search(answer)
    found = loads(str(answer), ANSWER) if whole else changed(exercise.variant, dict(lines(answer)))
    return without_holes(found)


def without_holes(variant: Variant) -> Variant:
    """A variant that leaves no number to the solver.  Raises VariantError: finding it is the exercise."""
    if holes := unknowns(variant):
        raise VariantError("the answer leaves a number open", found=f"?{holes[0]}", expected="that number")
    return variant


def lines(answer: object) -> Iterator[tuple[str, str]]:
    """The equations of an answer: those of a table, or one a line, quoted or not.  Raises VariantError."""
    if isinstance(answer, Mapping):
        yield from ((spelled(key), spelled(value)) for key, value in answer.items())
        return
    if not isinstance(answer, str):
        raise VariantError("a repair is a text", found=described(answer))
    for line in filter(None, (one.split("#")[0].strip() for one in separate(answer))):
        table = _TABLE.fullmatch(line)
        if table and not table[2] and table[1] in ("rewrite", "constraints"):
            continue
        key, sign, value = line.partition("=")
        if table or not sign:
            wanted = "a line such as W = [W, M] or M = 0, or a whole file with its name"
            raise VariantError("the line has no equals sign", found=quoted(line), expected=wanted)
        yield spelled(unquoted(key)), spelled(unquoted(value))


def unquoted(text: str) -> str:
    """A text without the quotes around it; a prime at its end alone is a transpose.

    >>> unquoted(' "M_A" '), unquoted("M_A'")
    ('M_A', "M_A'")
    """
    found = re.fullmatch(r"\s*([\"'`]?)(.*)\1\s*", text)
    return found[2] if found else text


def separate(text: str) -> list[str]:
    """The lines of a text: outside brackets a new line or a semicolon ends one.

    >>> separate("A = [B; C]; D = 0")
    ['A = [B; C]', ' D = 0']
    """
    depth, found = 0, [""]
    for character in text:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if character in "\n;" and depth <= 0:
            found.append("")
        else:
            found[-1] += character
    return found


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
    said = judged(found, exercise.preset)
    here = tuple(name for name in rewritten(exercise.variant, found) if name in said.block)
    said = judged(found, exercise.preset, here) if here else said
    bound = [name for name in exercise.more.get("free", ()) if not is_free(found, exercise.preset, name)]
    if not said.right or not bound:
        return said
    return Feedback(False, f"the function is preserved, but {' and '.join(bound)} must be free", block=tuple(bound))


def rewritten(before: Variant, after: Variant) -> tuple[str, ...]:
    """The parameters that an answer rewrites in another way."""
    return tuple(name for name, tree in after.rewrite.items() if before.rewrite.get(name) != tree)


def is_free(variant: Variant, preset: Preset, name: str) -> bool:
    """Whether some numbers that meet the constraints make the grown model another one than with zero in that block."""
    step = expand(paper_model(preset), variant)
    drawn = (place for seed in range(DRAWS) for place in places(step, seed))
    return any(entries(one, one.new) != entries(one, zeroed(one.new, name)) for one in drawn)


def zeroed(nested: Any, name: str) -> Any:
    """The same tables with zero in a block."""
    if isinstance(nested, list):
        return [zeroed(entry, name) for entry in nested]
    if not isinstance(nested, dict):
        return nested
    return {key: 0 * entry if key == name else zeroed(entry, name) for key, entry in nested.items()}


def entries(one: Place, new: Nested) -> list[list[float]]:
    """The matrices of the grown model."""
    return [array.ravel().tolist() for _, array in arrays(grown(one.step, one.old, new, FLOATS))]


# ---------------------------------------------------------------- a design


def designed(exercise: Exercise, answer: Any) -> Feedback:
    """Right if the variant is proved, grows what is asked for, and something new in it can learn."""
    if not isinstance(answer, str):
        raise VariantError("a design is the text of a variant file", found=described(answer))
    found, wanted = without_holes(loads(answer, ANSWER)), str(exercise.more["grows"])
    if wanted not in found.grows:
        return Feedback(False, f"the design does not grow {wanted}: give it an entry in [grows]")
    said = judged(found, exercise.preset)
    if not said.right:
        return said
    first = first_moves(found, exercise.preset)
    if not any(first.values()):
        return Feedback(False, "proved, but nothing new in it ever moves", block=tuple(first))
    steps = (f"{name} moves {f'at step {step}' if step else 'never'}" for name, step in first.items())
    return replace(said, text=f"{said.text}; {', '.join(steps)}")


def first_moves(variant: Variant, preset: Preset) -> dict[str, int | None]:
    """When each new block first moves, and what is new in each parameter besides: copies, and zeros."""
    claim = claim_of([variant], paper_model(preset))
    placed = apart(claim.steps[0])
    first = liveness(claim_about(claim.variants, [placed.step])).first
    named = {place: name for name, own in placed.places.items() for place in own}
    found: dict[str, int | None] = {}
    for place, step in first.items():
        name = named.get(place) or f"what is new in {place.partition('~')[0]}"
        found[name] = min(filter(None, (step, found.get(name))), default=None)
    return found


REPAIR = Kind(
    "repair", "the lines that change, such as 'W_K = [2*W_K, M]' or 'M = 0'", check, chosen, choices, the_variant
)
DESIGN = Kind(
    "design",
    "the text of a variant file, with its [grows] and [rewrite]",
    designed,
    lambda exercise: str(exercise.more["solution"]),
    lambda exercise: Offline({}),
    lambda exercise: Given(),
)
