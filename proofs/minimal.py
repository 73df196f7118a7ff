"""What an initialiser may do: every smallest set of choices that suffices, and every largest that does not.

A set of choices is sufficient when the claim is proved under it (for all sizes), insufficient when numbers that meet
it change the function (replayed in numpy), contradictory when z3 finds no new blocks that meet it at small sizes,
and undecided otherwise.  The variant's constraints other than zeros stay in force throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sympy import Integer

from ..symbolic.evaluate import Array
from ..symbolic.expand import Expansion
from . import solver
from .admissible import solution
from .bounded import LARGER, SMALL, small
from .check import Claim, claim_about, derived
from .choices import Choice, Pair, choices, constrained, given
from .counterexample import Counterexample, find, glimpse
from .drawing import GENERIC, drawn_blocks, drawn_model, satisfied
from .kernel import Equation
from .lattice import Keep, Limits, Sort, Sorted, Subset, enumerate_subsets

DRAWINGS = 4


@dataclass(frozen=True)
class Study:
    """All subsets of an expansion's choices, sorted, with numbers for each largest insufficient one."""

    choices: tuple[Choice, ...]
    sorted: Sorted
    witnesses: Mapping[Subset, Counterexample | None]
    given: Subset  # what the variant's own constraints choose
    kept: tuple[Pair, ...]  # its other constraints, which stay in force

    def labels(self, subset: Subset) -> tuple[str, ...]:
        return tuple(self.choices[i].label for i in sorted(subset))

    def pairs(self, subset: Subset) -> tuple[Pair, ...]:
        """The equations of a set of choices, 2 for their factors, with those that stay in force."""
        return (*self.kept, *(pair for i in sorted(subset) for pair in self.choices[i].at(Integer(2))))

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
    start = replace(contradictions(len(found), oracle), answers=confirmed(known, oracle) if known is not None else {})
    result = enumerate_subsets(len(found), oracle.sort, [own], limits, start, keep)
    witnesses = {subset: find([oracle.at_numbers(subset)], seed) for subset in result.insufficient}
    return Study(found, result, witnesses, own, kept)


def confirmed(known: Sorted, oracle: Oracle) -> Mapping[Subset, Sort]:
    """An earlier run's answers if they hold: all follow from those that say most, and these are looked at anew."""
    sets = (*known.sufficient, *known.insufficient)
    inside = known.count == len(oracle.choices) and all(max(s, default=0) < known.count for s in known.answers)
    hold = inside and all(oracle.sort(subset) == known.sort(subset) for subset in sets)
    return known.answers if hold and all(map(oracle.contradictory, known.unsatisfiable)) else {}


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
        if any(self.choices[i].factor is not None for i in subset):
            return False
        step = self.under(subset)
        hypotheses = [Equation(*pair) for pair in step.constraints]
        if solution(hypotheses, [block.symbol for block in step.blocks], step.above) is not None:
            return False
        claim = self.claim_under(subset)
        heres = (small(claim, SMALL), small(claim, LARGER, more=2))
        queries = (here.query("the choices can be met", here.hypotheses) for here in heres)
        return all(solver.ask(query).verdict == "unsat" for query in queries)

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


# ---------------------------------------------------------------- other ways to suffice


def smallest_zeros(claim: Claim) -> tuple[Pair, ...] | None:
    """Zeros that suffice with no other constraint, none of which can be left out; None where all do not."""
    zeros = list(choices(claim.steps[0]))
    if not suffices(claim, zeros):
        return None
    for choice in list(zeros):
        others = [other for other in zeros if other is not choice]
        zeros = others if suffices(claim, others) else zeros
    return tuple(pair for choice in zeros for pair in choice.pairs)


def suffices(claim: Claim, chosen: Sequence[Choice]) -> bool:
    pairs = [pair for choice in chosen for pair in choice.pairs]
    return derived(claim_about(claim.variants, [constrained(claim.steps[0], pairs)])).theorem is not None


def met_without(step: Expansion, pairs: Sequence[Pair], seed: int) -> bool:
    """Whether some new blocks meet other equations and not an expansion's own constraints, in numbers."""
    rng = np.random.default_rng(seed)

    def entries(rows: int, columns: int) -> Array:
        return rng.choice([-2.0, -1.0, 1.0, 2.0], size=(rows, columns))

    for _ in range(DRAWINGS):
        old = drawn_model(step.old.preset, GENERIC, entries)
        new = drawn_blocks(constrained(step, pairs), old, GENERIC, entries, rng)
        if new is not None and not satisfied(step, old, new):
            return True
    return False
