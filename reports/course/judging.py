"""A variant that an answer makes, judged by the prover: right if it is proved, else with the numbers against it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from ...proofs.blame import blame
from ...proofs.check import Answer, check
from ...proofs.counterexample import Counterexample
from ...proofs.trace import trace
from ...symbolic.architecture import PRESETS
from ...symbolic.notation import text
from ...symbolic.preset import Preset
from ...symbolic.terms import MatrixExpr, atoms
from ...symbolic.variant import Variant, loads
from ..answers import residual_of
from .exercise import Feedback, bare
from .reading import rounded

SHORT = 60  # characters of a term that is shown whole
UNDECIDED = "the prover cannot decide this; it may be true"


def judged(variant: Variant, preset: Preset, answered: tuple[str, ...] = ()) -> Feedback:
    """What the prover says of a variant in which only some parameters can be to blame: those that are the answer.

    Raises VariantError for one that cannot be used.
    """
    file = bare(variant)
    answer, hint = answer_about(file, preset.name), rounded(file.partition("\n[")[2])
    if answer.verdict == "proved":
        return Feedback(True, "proved for all sizes, all parameters and all inputs")
    if answer.counterexample is not None:
        found = refuted(answer.counterexample, answered)
        return replace(found, text=f"{hint}; {found.text}") if hint else found
    return Feedback(False, f"{hint}: a rounded number is another number") if hint else undecided(answer)


@lru_cache(maxsize=256)
def answer_about(variant: str, preset: str) -> Answer:
    return check([loads(variant, "<answer>")], PRESETS[preset])


def undecided(answer: Answer) -> Feedback:
    """What would have to be shown: a short term as it is, of a long one the names in it."""
    remains = " and ".join(f"{in_short(one.term)} is zero" for one in residual_of(answer))
    return Feedback(False, f"{UNDECIDED}{'; it did not find out whether ' if remains else ''}{remains}")


def in_short(term: MatrixExpr) -> str:
    whole, names = text(term), ", ".join(sorted(symbol.name for symbol in atoms(term)))
    return whole if len(whole) <= SHORT else f"a term in {names}"


def refuted(found: Counterexample, answered: tuple[str, ...] = ()) -> Feedback:
    """The numbers that show that an answer is wrong, and what is to blame: new blocks, or else the answer."""
    culprits = blame(found, trace(found))
    names, reason = culprits.names, culprits.reason
    if answered and not {block.name for step in found.steps for block in step.blocks} & set(names):
        names, reason = answered, "this is where your answer stands"
    because = f"; to blame: {', '.join(names)} ({reason})" if names else ""
    return Feedback(False, f"the model can compute something else{because}", found, names)
