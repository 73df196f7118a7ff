"""What the initialiser may do: everything that is found out about the constraints of one variant.

Are they sufficient, is each needed, can they be met; which other choices suffice; what is the weakest condition; and
what can learn from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from ..symbolic.architecture import Preset, paper_model
from ..symbolic.expand import Expansion, expand
from ..symbolic.variant import Variant
from . import solver
from .bounded import Bounded, bounded
from .check import Claim, claim_of
from .choices import Pair
from .counterexample import Counterexample, find
from .kernel import Context
from .lattice import Keep, Limits, Sorted
from .liveness import Liveness, liveness
from .minimal import Study, met_without, smallest_zeros, study
from .prover import prove
from .weakest import Weakest, weakest

Known = Literal["yes", "no", "unknown"]


@dataclass(frozen=True)
class Dropped:
    """A variant without one of its constraints, and numbers that change the function then (None: none found)."""

    index: int
    text: str
    expansion: Expansion
    counterexample: Counterexample | None


@dataclass(frozen=True)
class Constraints:
    """Everything that is known about the constraints of a variant."""

    claim: Claim
    dropped: tuple[Dropped, ...]
    bounded: Bounded | None  # None without a stream map
    study: Study
    weakest: Weakest | None  # None without a stream map
    liveness: Liveness
    seed: int

    @property
    def sufficient(self) -> bool:
        return self.claim.theorem is not None

    @property
    def refuted(self) -> bool:
        """Numbers meet the constraints and change the function."""
        return self.study.sorted.sort(self.study.given) == "insufficient"

    @property
    def irredundant(self) -> bool:
        return irredundant(self.dropped)

    @property
    def satisfiable(self) -> bool:
        """For all sizes, by a solution; and at small sizes with a new block that is not zero."""
        return self.claim.admissible and (self.bounded is None or self.bounded.satisfiable)

    @cached_property
    def is_weakest(self) -> Known:
        """Whether the variant's constraints follow from the weakest condition; `no` if something else suffices too."""
        if self.weakest is None or not self.sufficient:
            return "unknown"
        step = self.claim.steps[0]
        if self.weakest.sufficient and self.weakest.is_necessary:
            context = Context(self.weakest.equations)
            if all(prove(context, left, right).theorem is not None for left, right in step.constraints):
                return "yes"
        return "no" if any(met_without(step, pairs, self.seed) for pairs in self.alternatives) else "unknown"

    @property
    def alternatives(self) -> Iterator[tuple[Pair, ...]]:
        """Equations on the new blocks that suffice for all sizes too."""
        yield from map(self.study.pairs, self.study.sorted.sufficient)
        if self.weakest is not None and self.weakest.sufficient and not self.weakest.for_all_inputs:
            yield tuple((e.left, e.right) for e in self.weakest.equations)
        zeros = smallest_zeros(self.claim) if self.study.kept else None
        if zeros is not None:
            yield zeros

    @property
    def decided(self) -> bool:
        """Nothing was left open: no set of choices, no gradient, no query."""
        sets = self.study.sorted
        return not (sets.undecided or sets.unexplored or self.liveness.undecided or self.unknown)

    @property
    def answers(self) -> tuple[solver.Answer, ...]:
        """Everything that z3 was asked."""
        necessary = self.weakest.answers if self.weakest is not None else ()
        return (*(self.bounded.answers if self.bounded is not None else ()), *necessary)

    @property
    def unknown(self) -> tuple[solver.Answer, ...]:
        """The queries that z3 did not decide within its limits."""
        return tuple(answer for answer in self.answers if answer.verdict == "unknown")


def constraints(
    variant: Variant,
    preset: Preset,
    seed: int = 0,
    vocabulary: Sequence[str] = ("zero",),
    limits: Limits | None = None,
    known: Sorted | None = None,
    keep: Keep = lambda found: None,
) -> Constraints:
    """Study the constraints of one variant.

    Raises VariantError for what cannot be used, and CoverageError where prover and numbers contradict each other.
    """
    claim = claim_of([variant], paper_model(preset))
    return study_of(claim, preset, seed, vocabulary, limits, known, keep)


def study_of(
    claim: Claim,
    preset: Preset,
    seed: int = 0,
    vocabulary: Sequence[str] = ("zero",),
    limits: Limits | None = None,
    known: Sorted | None = None,
    keep: Keep = lambda found: None,
) -> Constraints:
    """Study the constraints of a derived claim about one variant.  Raises CoverageError as `constraints` does."""
    return Constraints(
        claim,
        tuple(dropped(claim.variants[0], preset, seed)),
        bounded(claim) if claim.growth is not None else None,
        study(claim, vocabulary, seed, limits, known, keep),
        weakest(claim),
        liveness(claim, seed=seed),
        seed,
    )


# ---------------------------------------------------------------- each constraint dropped


def without(variant: Variant, index: int) -> Variant:
    """The variant with one constraint left out."""
    kept = (*variant.constraints[:index], *variant.constraints[index + 1 :])
    return replace(variant, constraints=kept)


def dropped(variant: Variant, preset: Preset, seed: int = 0) -> Iterator[Dropped]:
    """Each constraint dropped alone: irredundant if every one gives a counterexample."""
    meant = set(expand(paper_model(preset), variant).constraint_sources)  # others are about what is not there
    for index, constraint in enumerate(variant.constraints):
        if index not in meant:
            continue
        weaker = expand(paper_model(preset), without(variant, index))
        yield Dropped(index, constraint.text, weaker, find([weaker], seed))


def irredundant(found: Sequence[Dropped]) -> bool:
    return all(one.counterexample is not None for one in found)
