"""Lessons as data files: what a lecturer writes, and nothing that can be computed.

A file `lessons/05-attention.toml` is lesson `attention`; a variant in it is a catalogue name or the text of a
file, with rewrites to exchange, constraints to add and constraints to leave out.

An exercise may ask for more than a proof: `free` names blocks of a repair that must stay free, and `alive` asks of
zeros that every block can learn.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ...proofs.check import preset_named
from ...symbolic.errors import VariantError
from ...symbolic.preset import Preset
from ...symbolic.variant import Variant, load, loads
from ...symbolic.writing import fitted
from .exercise import Exercise
from .exercises import kind_named
from .mending import changed
from .reading import described

FOLDER = Path(__file__).with_name("lessons")
FIELDS = {
    "title",
    "minutes",
    "goals",
    "prepare",
    "idea",
    "reading",
    "variants",
    "architecture",
    "weakest",
    "broken",
    "training",
    "exercise",
}
OWN = {"name", "kind", "question", "hints", "points", "variant", "rewrite", "constraints", "without", "architecture"}


@dataclass(frozen=True)
class Broken:
    """The variant that a lesson breaks, with what to say about it."""

    text: str
    variant: Variant
    preset: Preset


@dataclass(frozen=True)
class Lesson:
    """A lesson as it is written."""

    id: str
    number: int
    title: str
    minutes: int
    goals: tuple[str, ...]
    prepare: str
    idea: tuple[str, ...]
    reading: tuple[str, ...]  # how to read the derivation
    variants: tuple[Variant, ...]
    preset: Preset
    weakest: Variant | None  # whose weakest condition is shown
    broken: Broken | None
    training: tuple[str, ...]  # the variants by which a model in training grows
    exercises: tuple[Exercise, ...]

    def exercise(self, name: object) -> Exercise:
        """The exercise of that name.  Raises VariantError, which lists them."""
        found = {one.name: one for one in self.exercises}
        if not isinstance(name, str) or name not in found:
            wanted = f"one of {', '.join(found)}"
            raise VariantError(f"lesson {self.id} has no such exercise", found=described(name), expected=wanted)
        return found[name]


def names(folder: Path | None = None) -> dict[str, Path]:
    """The files of all lessons, by the name of the lesson, in their order."""
    return {path.stem.partition("-")[2]: path for path in sorted((folder or FOLDER).glob("*.toml"))}


def lesson(name: object) -> Lesson:
    """The lesson of that name.  Raises VariantError, which lists them."""
    found = names()
    if not isinstance(name, str) or name not in found:
        raise VariantError("there is no such lesson", found=described(name), expected=f"one of {', '.join(found)}")
    return read(found[name])


@cache
def read(path: Path) -> Lesson:
    """A lesson's file.  Raises VariantError for what is missing, and for what nobody reads."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VariantError("the lesson cannot be read", str(path), found=str(error)) from None
    number, _, name = path.stem.partition("-")
    for key in table.keys() - FIELDS:
        raise VariantError(
            "a lesson has no such entry", str(path), found=f"`{key}`", expected=", ".join(sorted(FIELDS))
        )
    try:
        return made(name, int(number), table)
    except KeyError as error:
        raise VariantError("the lesson lacks an entry", str(path), expected=f"`{error.args[0]}`") from None


def made(name: str, number: int, table: Mapping[str, Any]) -> Lesson:
    preset = preset_named(table.get("architecture", "paper"))
    broken = table.get("broken")
    return Lesson(
        id=name,
        number=number,
        title=table["title"],
        minutes=table["minutes"],
        goals=tuple(table["goals"]),
        prepare=table.get("prepare", ""),
        idea=tuple(table["idea"]),
        reading=tuple(table.get("reading", ())),
        variants=tuple(fitted(source(one), preset) for one in table["variants"]),
        preset=preset,
        weakest=fitted(source(table["weakest"]), preset) if "weakest" in table else None,
        broken=None if broken is None else Broken(broken["text"], *variant_in(broken, preset)),
        training=tuple(table.get("training", ())),
        exercises=tuple(exercise_in(name, one, preset) for one in table.get("exercise", ())),
    )


def exercise_in(lesson: str, table: Mapping[str, Any], preset: Preset) -> Exercise:
    variant, own = variant_in(table, preset)
    return Exercise(
        lesson=lesson,
        name=table["name"],
        kind=kind_named(table["kind"]),
        question=table["question"],
        hints=tuple(table.get("hints", ())),
        preset=own,
        variant=variant,
        points=table.get("points", 1),
        more={key: value for key, value in table.items() if key not in OWN},
    )


def variant_in(table: Mapping[str, Any], preset: Preset) -> tuple[Variant, Preset]:
    """The variant that a table describes, without what its architecture lacks, and that architecture."""
    own = preset_named(table["architecture"]) if "architecture" in table else preset
    entries = {**table.get("rewrite", {}), **table.get("constraints", {})}
    return changed(fitted(source(table["variant"]), own), entries, tuple(table.get("without", ()))), own


def source(given: str) -> Variant:
    """A catalogue name, or the text of a variant file."""
    return loads(given, "<lesson>") if "\n" in given else load(given)
