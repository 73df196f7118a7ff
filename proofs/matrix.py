"""Every expansion on every architecture: proved, or refuted with what breaks it and the smallest repair."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ..symbolic.architecture import Preset, paper_model
from ..symbolic.errors import VariantError
from ..symbolic.expand import expand
from ..symbolic.variant import SIX as SIX
from ..symbolic.variant import Variant
from .check import Answer, check, with_solutions
from .counterexample import Counterexample, find
from .experiment import Outcome, experiment
from .features import breaking, in_words, seems_to_hold
from .liveness import liveness
from .repair import Repair, leaves_alone, repair
from .unknowns import unknowns

Verdict = Literal["proved", "refuted", "undecided", "not-applicable"]


@dataclass(frozen=True)
class Cell:
    """One expansion on one architecture."""

    expansion: str
    architecture: str
    verdict: Verdict
    reason: str
    features: tuple[str, ...] = ()  # what breaks it, in words
    counterexample: Counterexample | None = None
    repair: Repair | None = None
    dead: tuple[str, ...] = ()  # the new blocks of the repair that never learn
    outcomes: tuple[Outcome, ...] = ()  # in numpy: of the proved variant, or of the proved repair
    seconds: float = field(default=0, compare=False)

    @property
    def decided(self) -> bool:
        """Whether there is a verdict that numpy has replayed; what does not apply needs none."""
        numbers = {
            "proved": self.agrees,
            "refuted": self.counterexample is not None and (self.repair is None or self.agrees),
        }
        return numbers.get(self.verdict, self.verdict == "not-applicable")

    @property
    def agrees(self) -> bool:
        return bool(self.outcomes) and all(found.agreement.passed for found in self.outcomes)


@dataclass(frozen=True)
class Matrix:
    """Cells by expansion and architecture, in the order in which these were given."""

    expansions: Mapping[str, Variant]
    architectures: tuple[Preset, ...]
    cells: Mapping[tuple[str, str], Cell]
    seconds: float = field(default=0, compare=False)

    @property
    def decided(self) -> bool:
        return all(cell.decided for cell in self.cells.values())

    def row(self, architecture: str) -> tuple[Cell, ...]:
        """The cells of one architecture."""
        return tuple(self.cells[name, architecture] for name in self.expansions)


def matrix(
    expansions: Mapping[str, Variant],
    architectures: tuple[Preset, ...],
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> Matrix:
    """Every cell, one by one; `say` hears of each."""
    start = time.perf_counter()
    cells: dict[tuple[str, str], Cell] = {}
    for preset in architectures:
        for name, variant in expansions.items():
            found = cells[name, preset.name] = cell(name, variant, preset, seed)
            say(f"{preset.name}, {name}: {found.verdict}")
    return Matrix(expansions, architectures, cells, time.perf_counter() - start)


def cell(name: str, variant: Variant, preset: Preset, seed: int = 0) -> Cell:
    """One cell, and the time that it took."""
    start = time.perf_counter()
    found = judged(name, variant, preset, seed)
    return replace(found, seconds=time.perf_counter() - start)


def judged(name: str, variant: Variant, preset: Preset, seed: int) -> Cell:
    """The verdict of a cell with its evidence."""
    where = name, preset.name
    try:
        (variant,), _ = with_solutions([variant], paper_model(preset))
        step = expand(paper_model(preset), variant)
    except VariantError as error:
        return Cell(*where, "not-applicable", ": ".join(part for part in (error.message, error.found) if part))
    if leaves_alone(step):
        return Cell(*where, "not-applicable", "the expansion changes nothing")
    if unsolved := unknowns(variant):
        return Cell(*where, "undecided", f"no value of {', '.join(f'?{one}' for one in unsolved)} was found")
    answer = None
    counterexample = None if seems_to_hold(variant, preset, seed) else find([step], seed)
    if counterexample is None:  # what numbers refute needs no search for a proof
        answer = check([variant], preset, seed)
        counterexample = answer.counterexample
    if counterexample is not None:
        return refuted(where, variant, preset, counterexample, seed)
    assert answer is not None
    if answer.verdict == "proved":
        return Cell(*where, "proved", "proved for all sizes", outcomes=experiment([step], seed))
    return Cell(*where, "undecided", remaining(answer))


def refuted(
    where: tuple[str, str], variant: Variant, preset: Preset, counterexample: Counterexample, seed: int
) -> Cell:
    """A refuted cell: which features break the expansion, and how it is repaired."""
    options = breaking(variant, preset, seed)
    found = repair(variant, preset, options, seed)
    words = tuple(in_words(preset, option) for option in options)
    reason = f"what breaks it: {listed(words)}" if words else "refuted with the paper's options too"
    if found is None:
        return Cell(*where, "refuted", reason, words, counterexample)
    tied = found.claim.steps[0].constraints  # where nothing is asked of the new blocks, all of them are free to learn
    dead = liveness(found.claim, seed=seed).dead if tied else ()
    outcomes = experiment(found.claim.steps, seed)
    return Cell(*where, "refuted", reason, words, counterexample, found, dead, outcomes)


def remaining(answer: Answer) -> str:
    """What an undecided claim still needs."""
    count = len(answer.residual)
    return f"neither proved nor refuted: {count} equation{'s' if count != 1 else ''} remain{'s' if count == 1 else ''}"


def listed(words: Sequence[str]) -> str:
    """
    >>> listed(["LayerNorm", "an epsilon", "a tied output"])
    'LayerNorm, an epsilon and a tied output'
    """
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)
