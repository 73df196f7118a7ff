"""What an initialiser may do: every smallest set of choices that suffices, and every largest that does not.

A set of choices is sufficient when the claim is proved under it (for all sizes), insufficient when numbers that meet
it change the function (replayed in numpy), contradictory when z3 finds no new blocks that meet it at small sizes,
and undecided otherwise.  The variant's constraints other than zeros stay in force throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sympy import Integer

from ..symbolic.expand import Expansion
from . import solver
from .admissible import solution
from .bounded import small
from .check import Claim, claim_about, derived
from .choices import Choice, Pair, choices, constrained, given
from .counterexample import Counterexample, find, glimpse
from .kernel import Equation
from .lattice import Keep, Limits, Sort, Sorted, Subset, enumerate_subsets


@dataclass(frozen=True)
class Study:
    """All subsets of an expansion's choices, sorted, with numbers for each largest insufficient one."""

    choices: tuple[Choice, ...]
    sorted: Sorted
    witnesses: Mapping[Subset, Counterexample | None]
    given: Subset  # what the variant's own constraints choose

    def labels(self, subset: Subset) -> tuple[str, ...]:
        return tuple(self.choices[i].label for i in sorted(subset))

    @property
    def given_is_minimal(self) -> bool:
        return self.given in self.sorted.sufficient


def study(
    claim: Claim,
    vocabulary: Sequence[str] = ("zero",),
    seed: int = 0,
    limits: Limits | None = None,
    known: Sorted | None = None,
    keep: Keep = lambda found: None,
) -> Study:
    """Sort every set of choices for the new blocks of a claim about one variant.

    Raises CoverageError where prover and counterexamples contradict each other.
    """
    step = claim.steps[0]
    found = choices(step, vocabulary)
    zeros, kept = given(step)
    own = frozenset(i for i, choice in enumerate(found) if choice.text in {f"{name} = 0" for name in zeros})
    oracle = Oracle(claim, found, kept, seed)
    start = known or contradictions(len(found), oracle)
    result = enumerate_subsets(len(found), oracle.sort, [own], limits, start, keep)
    witnesses = {subset: find([oracle.at_numbers(subset)], seed) for subset in result.insufficient}
    return Study(found, result, witnesses, own)


def contradictions(count: int, oracle: Oracle) -> Sorted:
    """The smallest sets that cannot be met; a set that can be met has only subsets that can."""

    def sort(subset: Subset) -> Sort:
        return "unsatisfiable" if oracle.contradictory(subset) else "insufficient"

    return Sorted(count, unsatisfiable=enumerate_subsets(count, sort).unsatisfiable)


@dataclass(frozen=True)
class Oracle:
    """What is known about one set of choices: the quick look first, then the proof, then the long search."""

    claim: Claim
    choices: tuple[Choice, ...]
    kept: tuple[Pair, ...]
    seed: int

    def sort(self, subset: Subset) -> Sort:
        numbers = self.at_numbers(subset)
        if glimpse([numbers], self.seed):
            return "insufficient"
        if derived(self.claim_under(subset)).theorem is not None:
            return "sufficient"
        return "undecided" if find([numbers], self.seed) is None else "insufficient"

    def contradictory(self, subset: Subset) -> bool:
        """No new blocks meet the choices: none was found that exists for all sizes, and z3 finds none at small ones."""
        step = self.under(subset)
        hypotheses = [Equation(*pair) for pair in step.constraints]
        if solution(hypotheses, [block.symbol for block in step.blocks]) is not None:
            return False
        here = small(self.claim_under(subset))
        return solver.ask(here.query("the choices can be met", here.hypotheses)).verdict == "unsat"

    def claim_under(self, subset: Subset) -> Claim:
        return claim_about(self.claim.variants, [self.under(subset)])

    def under(self, subset: Subset) -> Expansion:
        """The expansion under a set of choices, their factors any numbers."""
        pairs = [pair for i in sorted(subset) for pair in self.choices[i].pairs]
        return constrained(self.claim.steps[0], [*self.kept, *pairs])

    def at_numbers(self, subset: Subset) -> Expansion:
        """The same with small numbers for the factors."""
        rng = np.random.default_rng(self.seed)
        pairs = [pair for i in sorted(subset) for pair in self.choices[i].at(Integer(rng.choice([-2, -1, 2, 3])))]
        return constrained(self.claim.steps[0], [*self.kept, *pairs])
