"""What goes with an answer: numbers and learning for what is proved, blame and repairs for what is refuted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..symbolic.errors import VariantError
from .blame import Blame, blame
from .check import Answer
from .counterexample import CLEARLY
from .experiment import Factor, Outcome, experiment, factors
from .liveness import Liveness, liveness
from .repair import Offer, offer
from .trace import trace
from .tried import Tried, tried
from .unknowns import unknowns


@dataclass(frozen=True)
class Remarks:
    """Each is empty or None where the answer has no use for it."""

    outcomes: tuple[Outcome, ...] = ()  # proved: in numpy, in every format
    factors: tuple[Factor, ...] = ()
    learns: Liveness | None = None  # proved, a single variant
    blame: Blame | None = None  # refuted
    offer: Offer | None = None  # refuted, a single variant
    tried: Tried | None = None  # undecided


def remarks(answer: Answer, seed: int = 0) -> Remarks:
    """Everything that goes with an answer."""
    steps = [claim.steps[0] for claim in answer.parts]
    if answer.verdict == "proved":
        outcomes = experiment(steps, seed)
        refuse_disagreement(outcomes)
        sizes = outcomes[0].sizes if outcomes else {}
        learns = liveness(answer.parts[0], seed=seed) if len(steps) == 1 else None
        return Remarks(outcomes=outcomes, factors=factors(steps, sizes), learns=learns)
    open_ones = any(map(unknowns, answer.variants))  # no numbers for these
    if answer.counterexample is None:
        return Remarks(tried=None if open_ones else tried(answer.parts, seed))
    offered = offer(answer.variants[0], answer.preset, seed) if len(steps) == 1 and not open_ones else None
    return Remarks(blame=blame(answer.counterexample, trace(answer.counterexample)), offer=offered)


def refuse_disagreement(outcomes: Sequence[Outcome]) -> None:
    """Raises VariantError where numbers that meet the constraints contradict a proof: then one of the two is wrong."""
    for outcome in outcomes[:1]:
        if outcome.met and outcome.agreement.ratio > CLEARLY:
            apart = f"outputs in {outcome.dtype} that differ by {outcome.agreement.max_abs:.2g}"
            what = "the kernel proves this and numpy contradicts it, so nothing is claimed"
            raise VariantError(what, found=apart, expected="a report of this file: it is an error of growproof")
