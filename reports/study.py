"""The command `constraints`: a study with its limits, its notes to resume from, its queries as files, and cvc5."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..proofs import cross, solver
from ..proofs.check import solved_for
from ..proofs.constraints import Constraints, constraints
from ..proofs.lattice import SORTS, CoverageError, Limits, Sorted, extreme, sets
from ..symbolic.architecture import Preset
from ..symbolic.errors import VariantError
from ..symbolic.variant import Variant, load
from .files import distinct, unwritable, written
from .initialiser import constraints_json, constraints_text, second_text

Say = Callable[[str], None]
Json = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """A study, and what cvc5 says where it was asked."""

    constraints: Constraints
    second: list[cross.Second]

    @property
    def status(self) -> int:
        """0 where the constraints suffice and all is decided, 1 where they do not or solvers disagree, else 3."""
        if any(one.disagrees for one in self.second):
            return 1
        if not self.constraints.sufficient:
            return 1 if self.constraints.refuted else 3
        return 0 if self.constraints.decided else 3

    def json(self, seconds: float) -> Json:
        found = constraints_json(self.constraints, seconds)
        if self.second:
            found["cross_check"] = [
                {"query": one.first.query.name, "z3": one.first.verdict, "cvc5": one.verdict} for one in self.second
            ]
        return found

    def lines(self) -> list[str]:
        return [*constraints_text(self.constraints), *(second_text(self.second) if self.second else ())]


def run(chosen: Namespace, say: Say) -> Found:
    """Study the constraints of one variant as the command line asks.  Raises VariantError for what cannot be used."""
    from ..api import chosen_preset

    if chosen.cross_check and not cross.available():
        raise VariantError("cvc5 is not installed", expected='pip install "growproof[cvc5]", or no --cross-check')
    start, variant = time.perf_counter(), load(chosen.variant)
    distinct({"the variant": Path(chosen.variant), "--html": chosen.html, "--resume": chosen.resume})
    if chosen.smt is not None:
        queries(chosen.smt, ())
    preset = chosen_preset([variant], chosen.architecture)
    variant = solved_for(variant, preset)
    notes = Notes(chosen.resume, variant, preset, chosen.vocabulary)
    with ExitStack() as files:
        page = files.enter_context(written(chosen.html)) if chosen.html is not None else None
        try:
            found = constraints(
                variant, preset, chosen.seed, chosen.vocabulary, limits(chosen), notes.read(), notes.keeper(say)
            )
        except CoverageError as error:
            raise VariantError(
                "proofs and numbers contradict each other: please report this", found=str(error)
            ) from None
        if page is not None:
            from .page import render
            from .report import study_page

            page.append(render(study_page(found, chosen.seed, time.perf_counter() - start)))
        if chosen.smt is not None:
            queries(chosen.smt, (answer.query for answer in found.answers))
    return Found(found, cross.second_opinions(found.answers) if chosen.cross_check else [])


def limits(chosen: Namespace) -> Limits:
    given = Limits()
    return Limits(
        given.questions if chosen.limit is None else chosen.limit,
        given.seconds if chosen.seconds is None else chosen.seconds,
    )


def queries(folder: Path, asked: Iterable[solver.Query]) -> None:
    """Every query as a file in a folder, which is made before the work begins."""
    try:
        solver.write(asked, folder)
    except OSError as error:
        raise unwritable(folder, error) from None


# ---------------------------------------------------------------- notes to resume from


@dataclass(frozen=True)
class Notes:
    """What an enumeration found so far, in a file that names the variant it is about; no file: nothing is kept."""

    path: Path | None
    variant: Variant
    preset: Preset
    vocabulary: tuple[str, ...]

    @property
    def about(self) -> Json:
        return {
            "format": "growproof notes 1",
            "sha256": self.variant.sha256,
            "architecture": self.preset.name,
            "vocabulary": list(self.vocabulary),
        }

    def read(self) -> Sorted | None:
        """What the file holds; None where there is none.  Raises VariantError for notes on something else."""
        if self.path is None or not self.path.exists():
            return None
        if not self.path.is_file():
            raise VariantError("the notes cannot be read", str(self.path), found="no regular file", expected="a file")
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            answers = {frozenset(map(index, subset)): SORTS[SORTS.index(sort)] for subset, sort in found["answers"]}
            count = index(found["count"])
        except (OSError, ArithmeticError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise VariantError("the notes cannot be read", str(self.path), found=str(error)) from None
        if any(found.get(key) != value for key, value in self.about.items()):
            raise VariantError(
                "the notes are about something else", str(self.path), expected="the same variant and vocabulary"
            )
        groups = {sort: {s for s, answer in answers.items() if answer == sort} for sort in SORTS}
        return replace(sets(count, {sort: extreme(sort, found) for sort, found in groups.items()}), answers=answers)

    def keeper(self, say: Say) -> Callable[[Sorted], None]:
        """Writes what is found into the file whenever that grows."""

        def keep(found: Sorted) -> None:
            smallest, largest = len(found.sufficient), len(found.insufficient)
            say(f"{found.questions} sets looked at: {smallest} smallest enough, {largest} largest not enough")
            if self.path is not None:
                answers = [[sorted(subset), sort] for subset, sort in found.answers.items()]
                with written(self.path) as parts:
                    parts.append(json.dumps({**self.about, "count": found.count, "answers": answers}) + "\n")

        return keep


def index(value: object) -> int:
    """A number from 0 in notes.  Raises ValueError."""
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no number from 0")
    return value
