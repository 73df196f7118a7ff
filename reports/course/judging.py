"""A variant that an answer makes, judged by the prover: right if it is proved, else with the numbers against it."""

from __future__ import annotations

from functools import lru_cache

from ...proofs.blame import blame
from ...proofs.check import check
from ...proofs.counterexample import Counterexample
from ...proofs.trace import trace
from ...symbolic.architecture import PRESETS
from ...symbolic.notation import text
from ...symbolic.preset import Preset
from ...symbolic.variant import Variant, loads
from ..answers import residual_of
from .exercise import Feedback


def judged(variant: Variant, preset: Preset) -> Feedback:
    """What the prover says of a variant.  Raises VariantError for one that cannot be used."""
    return judged_text(variant.text, preset.name)


@lru_cache(maxsize=256)
def judged_text(variant: str, preset: str) -> Feedback:
    answer = check([loads(variant, "<answer>")], PRESETS[preset])
    if answer.verdict == "proved":
        return Feedback(True, "proved for all sizes, all parameters and all inputs")
    if answer.counterexample is not None:
        return refuted(answer.counterexample)
    remains = "; ".join(f"{text(one.term)} = 0" for one in residual_of(answer))
    return Feedback(False, f"neither proved nor refuted; what remains is {remains or 'open'}")


def refuted(found: Counterexample) -> Feedback:
    """The numbers that show that an answer is wrong, and the blocks that are to blame."""
    culprits = blame(found, trace(found))
    names = ", ".join(culprits.names) or "what is rewritten"
    text = f"the model can compute something else; to blame: {names} ({culprits.reason})"
    return Feedback(False, text, found, culprits.names)
