"""Which zeros suffice?  Any set of new blocks is an answer; right is every set under which the claim is proved."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
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
from .exercise import Exercise, Feedback, Given, Kind, Offline
from .judging import UNDECIDED, refuted
from .reading import described, number_in, quoted
from .spellings import with_plain_signs

FEW = 3  # blocks for which a page says of every set what never moves
NOTHING = {"none", "nothing", "neither", "no"}
EVERYTHING = {"all", "both", "everything"}
FILLERS = {"and", "only", "the", "of", "them", "these", "block", "blocks"}
ABOUT_ZEROS = {"0", "zero", "are", "is", "set", "to", "be", "equal", "equals"}


def claim_in(exercise: Exercise) -> Claim:
    return claim_of([exercise.variant], paper_model(exercise.preset))


def oracle_of(claim: Claim) -> Oracle:
    return Oracle(claim, choices(claim.steps[0]), given(claim.steps[0])[1], 0)


def labels(claim: Claim) -> list[str]:
    return [choice.label for choice in choices(claim.steps[0])]


def names_in(
    answer: object, known: Collection[str], chosen: Callable[[object], bool], fillers: Collection[str] = ()
) -> frozenset[str]:
    """The blocks that an answer names, however it lists them; of a table, those with a chosen value.

    A new block may be called by the parameter that it extends.

    Raises VariantError for any other word: what is denied, or left open, is not read as if it were not.

    >>> known = ["M_A", "M_B"]
    >>> sorted(names_in("only M_A and `M_B`", known, bool)), sorted(names_in({"M_A": True, "M_B": False}, known, bool))
    (['M_A', 'M_B'], ['M_A'])
    >>> sorted(names_in("A = 0", known, bool, ["0"]))
    ['M_A']
    >>> sorted(names_in("both of them", known, bool)), sorted(names_in(["none"], known, bool))
    (['M_A', 'M_B'], [])
    """
    some = f"some of {', '.join(known)}"
    if isinstance(answer, dict):
        every = {name: value for key, value in answer.items() for name in names_in(key, known, chosen)}
        return frozenset(name for name, value in every.items() if chosen(value))
    if isinstance(answer, list) and all(isinstance(word, str) for word in answer):
        answer = ", ".join(answer)
    if not isinstance(answer, str):
        raise VariantError("this is no list of blocks", found=described(answer), expected=some)
    words = re.findall(r"[^\W_]\w*|[^\s\w,;=.&+{}\[\]()'\"`]+", with_plain_signs(answer))
    words = [word for word in words if word.lower() not in FILLERS and word.lower() not in fillers]
    if not words and answer.strip("[]{} "):
        raise VariantError("this names no block", found=quoted(answer), expected=f"{some}, or `none`")
    alone = words[0].lower() if len(words) == 1 else ""
    if alone in EVERYTHING:
        return frozenset(known)
    folded = {name.lower().removeprefix("m_"): name for name in known} | {name.lower(): name for name in known}
    for word in words if alone not in NOTHING else ():
        if word.lower() not in folded:
            guess = nearest(word, known)
            raise VariantError("no block has this name", found=quoted(word), expected=f"`{guess}`" if guess else some)
    return frozenset(folded[word.lower()] for word in words if word.lower() in folded)


def is_zero(value: object) -> bool:
    """Whether a table sets a block to zero: `True`, 0, "zero" or a matrix of zeros.  Raises VariantError.

    >>> is_zero("0"), is_zero([[0, 0]]), is_zero(2), is_zero(False)
    (True, True, False, False)
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, list) and value:
        return {is_zero(entry) for entry in value} == {True}
    number = 0 if value == "zero" else number_in(value)
    if number is None:
        raise VariantError("this does not say whether a block is zero", found=described(value), expected="0 or 1")
    return number == 0


def check(exercise: Exercise, answer: Any) -> Feedback:
    claim = claim_in(exercise)
    known = labels(claim)
    zeros = names_in(answer, known, is_zero, ABOUT_ZEROS)
    subset, oracle = frozenset(map(known.index, zeros)), oracle_of(claim)
    if proved(oracle, subset):
        resting = still(claim, zeros)
        text = f"proved for all sizes{spare(oracle, subset, known)}{dead(resting)}"
        return Feedback(False, text, block=resting) if resting and alive(exercise) else Feedback(True, text)
    witness = find([oracle.at_numbers(subset)])
    return Feedback(False, UNDECIDED) if witness is None else refuted(witness)


def alive(exercise: Exercise) -> bool:
    """Whether the lesson asks that every block can learn."""
    return bool(exercise.more.get("alive", False))


def proved(oracle: Oracle, subset: Subset) -> bool:
    return derived(oracle.claim_under(subset)).theorem is not None


def spare(oracle: Oracle, subset: Subset, known: list[str]) -> str:
    """What could be left out, one at a time."""
    found = [known[i] for i in sorted(subset) if proved(oracle, subset - {i})]
    return f"; {' or '.join(found)} need not be zero" if found else ", and each of these zeros is needed"


def still(claim: Claim, zeros: frozenset[str]) -> tuple[str, ...]:
    """What never moves from such a start."""
    return tuple(name for name, step in liveness(claim, zeros).first.items() if step is None)


def dead(resting: Sequence[str]) -> str:
    return f"; but from there {', '.join(resting)} never move{'s' if len(resting) == 1 else ''}" if resting else ""


def studied(exercise: Exercise) -> Study:
    return studied_text(exercise.variant.text, exercise.preset.name)


@lru_cache(maxsize=64)
def studied_text(text: str, preset: str) -> Study:
    return study(claim_of([loads(text, "<lesson>")], paper_model(PRESETS[preset])))


def solution(exercise: Exercise) -> list[str]:
    """The smallest set that is right."""
    known = labels(claim_in(exercise))
    found = ([known[i] for i in sorted(subset)] for subset in studied(exercise).sorted.sufficient)
    return next(one for one in found if exercise.check(one).right)


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
        "alive": alive(exercise),
    }
    return Offline(data, tuple(map(refuted, witnesses.values())))


def endings(exercise: Exercise, found: Sorted, known: list[str]) -> Iterator[tuple[Subset, str]]:
    """What never moves, for every set that suffices; only where there are few."""
    claim = claim_in(exercise)
    count = len(known) if len(known) <= FEW or alive(exercise) else -1
    for size in range(count + 1):
        for subset in map(frozenset, combinations(range(count), size)):
            if found.sort(subset) == "sufficient":
                yield subset, dead(still(claim, frozenset(known[i] for i in subset)))


def given_blocks(exercise: Exercise) -> Given:
    return Given(words=tuple(labels(claim_in(exercise))))


ZEROS = Kind("zeros", "the new blocks to set to zero, such as ['M_A', 'M_B']", check, solution, page, given_blocks)
