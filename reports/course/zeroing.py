"""Which zeros suffice?  Any set of new blocks is an answer; right is every set under which the claim is proved."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from itertools import combinations
from typing import Any

from ...proofs.check import Claim, claim_of, derived
from ...proofs.choices import choices, given
from ...proofs.counterexample import find
from ...proofs.lattice import Sorted, Subset
from ...proofs.liveness import liveness
from ...proofs.minimal import Oracle, Study, study
from ...symbolic.architecture import PRESETS, paper_model
from ...symbolic.errors import VariantError
from ...symbolic.syntax import nearest
from ...symbolic.variant import loads
from .exercise import Exercise, Feedback, Given, Kind, Offline, described
from .judging import refuted

FEW = 3  # blocks for which a page says of every set what never moves
NOTHING = {"none", "nothing", "no"}
EVERYTHING = {"all", "both", "everything"}
FILLERS = {"and", "or", "0", "zero", "the", "are", "is", "set", "to", "be", "equal", "equals", "block", "blocks"}


def claim_in(exercise: Exercise) -> Claim:
    return claim_of([exercise.variant], paper_model(exercise.preset))


def oracle_of(claim: Claim) -> Oracle:
    return Oracle(claim, choices(claim.steps[0]), given(claim.steps[0])[1], 0)


def labels(claim: Claim) -> list[str]:
    return [choice.label for choice in choices(claim.steps[0])]


def names_in(answer: object, known: Collection[str]) -> frozenset[str]:
    """The blocks that an answer names, however it lists them.  Raises VariantError for any other word.

    >>> sorted(names_in("M_A = 0 and M_B = 0", ["M_A", "M_B"])), sorted(names_in([], ["M_A"]))
    (['M_A', 'M_B'], [])
    """
    if isinstance(answer, Mapping):
        answer = [name for name, value in answer.items() if value is True or value == 0]
    if isinstance(answer, str):
        words = re.findall(r"[^\W_]\w*|[^\s\w,;=.&+{}\[\]()'\"]+", answer)
        answer = [word for word in words if word.lower() not in FILLERS | NOTHING]
        answer = known if {word.lower() for word in answer} & EVERYTHING else answer
    if not isinstance(answer, Collection) or not all(isinstance(word, str) for word in answer):
        raise VariantError("this is no list of blocks", found=described(answer), expected=f"some of {', '.join(known)}")
    folded = {name.lower(): name for name in known}
    words = [word.partition("=")[0].strip() for word in answer]
    for word in words:
        if word.lower() not in folded:
            guess = nearest(word, known)
            wanted = f"`{guess}`" if guess else f"some of {', '.join(known)}"
            raise VariantError("there is no such block", found=f"`{word[:40]}`", expected=wanted)
    return frozenset(folded[word.lower()] for word in words)


def check(exercise: Exercise, answer: Any) -> Feedback:
    claim = claim_in(exercise)
    known = labels(claim)
    zeros = names_in(answer, known)
    subset, oracle = frozenset(map(known.index, zeros)), oracle_of(claim)
    if proved(oracle, subset):
        return Feedback(True, f"proved for all sizes{spare(oracle, subset, known)}{dead(claim, zeros)}")
    witness = find([oracle.at_numbers(subset)])
    if witness is None:
        return Feedback(False, "with these zeros it is neither proved nor refuted")
    return refuted(witness)


def proved(oracle: Oracle, subset: Subset) -> bool:
    return derived(oracle.claim_under(subset)).theorem is not None


def spare(oracle: Oracle, subset: Subset, known: list[str]) -> str:
    """What could be left out, one at a time."""
    found = [known[i] for i in sorted(subset) if proved(oracle, subset - {i})]
    return f"; {' or '.join(found)} need not be zero" if found else ", and each of these zeros is needed"


def dead(claim: Claim, zeros: frozenset[str]) -> str:
    """What never moves from such a start."""
    found = [name for name, step in liveness(claim, zeros).first.items() if step is None]
    return f"; but from there {', '.join(found)} never move{'s' if len(found) == 1 else ''}" if found else ""


def studied(exercise: Exercise) -> Study:
    return studied_text(exercise.variant.text, exercise.preset.name)


@lru_cache(maxsize=64)
def studied_text(text: str, preset: str) -> Study:
    return study(claim_of([loads(text, "<lesson>")], paper_model(PRESETS[preset])))


def solution(exercise: Exercise) -> list[str]:
    """The smallest set that suffices."""
    known = labels(claim_in(exercise))
    return [known[i] for i in sorted(studied(exercise).sorted.sufficient[0])]


def page(exercise: Exercise) -> Offline:
    """Every set decided beforehand: those that suffice, and the largest that do not with their numbers."""
    found = studied(exercise)
    witnesses = {subset: witness for subset, witness in found.witnesses.items() if witness is not None}
    known = labels(claim_in(exercise))
    data = {
        "blocks": known,
        "enough": [sorted(subset) for subset in found.sorted.sufficient],
        "notEnough": [sorted(subset) for subset in witnesses],
        "dead": [[sorted(subset), said] for subset, said in endings(exercise, found.sorted, known)],
    }
    return Offline(data, tuple(map(refuted, witnesses.values())))


def endings(exercise: Exercise, found: Sorted, known: list[str]) -> Iterator[tuple[Subset, str]]:
    """What never moves, for every set that suffices; only where there are few."""
    claim = claim_in(exercise)
    count = len(known) if len(known) <= FEW else -1
    for size in range(count + 1):
        for subset in map(frozenset, combinations(range(count), size)):
            if found.sort(subset) == "sufficient":
                yield subset, dead(claim, frozenset(known[i] for i in subset))


def given_blocks(exercise: Exercise) -> Given:
    return Given(words=tuple(labels(claim_in(exercise))))


ZEROS = Kind("zeros", "the new blocks to set to zero, such as ['M_A', 'M_B']", check, solution, page, given_blocks)
