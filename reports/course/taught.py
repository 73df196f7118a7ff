"""A lesson with all that is computed in it: pictures, derivations, numbers, what the prover says of answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ...proofs.check import Answer, Claim, check, claim_of
from ...proofs.experiment import outcome
from ...proofs.features import breaking, in_words
from ...proofs.statement import statement
from ...proofs.weakest import weakest
from ...symbolic.architecture import paper_model
from ...symbolic.errors import VariantError
from ..answers import final_claim
from ..derivation import chains
from ..sections import goal_of, pictures, shown, text_of
from ..starts import conditions
from ..view import Condition, Counterexample, Goal, Picture, Text
from .exercise import Exercise, Feedback, Offline
from .lesson import Lesson
from .lines import Lines, can_be_written, chained
from .training import History, trained


@dataclass(frozen=True)
class Blocks:
    """The grown parameters of one variant."""

    title: str
    source: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Said:
    """Feedback as a page shows it."""

    right: bool
    text: str
    counterexample: Counterexample | None


@dataclass(frozen=True)
class Asked:
    """An exercise with what a page holds of it, and an answer that the prover accepts."""

    exercise: Exercise
    offline: Offline
    said: tuple[Said, ...]
    solution: str


@dataclass(frozen=True)
class Way:
    """How long a proof is: so many goals, with so many steps."""

    title: str
    goals: int
    steps: int


@dataclass(frozen=True)
class Taught:
    """A lesson as it is shown."""

    lesson: Lesson
    blocks: tuple[Blocks, ...]
    statement: tuple[Text, ...]
    goals: tuple[Goal, ...]
    ways: tuple[Way, ...]  # of a composition: the theorem of each variant, and the direct proof
    conditions: tuple[Condition, ...]
    counterexample: Counterexample | None
    features: tuple[str, ...]  # of the architecture, that break what is broken
    lines: tuple[Lines, ...]
    difference: float | None  # in float64, on random numbers
    history: History | None
    asked: tuple[Asked, ...]


def taught(lesson: Lesson) -> Taught:
    """Everything computed.  Raises VariantError where a lesson says something that the prover does not."""
    answer = check(lesson.variants, lesson.preset)
    if answer.verdict != "proved":
        raise VariantError("a lesson teaches what is not proved", f"lesson {lesson.id}", found=answer.verdict)
    steps = [claim.steps[0] for claim in answer.parts]
    apart = outcome(steps, "float64", 0)
    return Taught(
        lesson=lesson,
        blocks=tuple(Blocks(step.variant.name, step.variant.source, tuple(pictures(step))) for step in steps),
        statement=tuple(map(text_of, statement(answer.steps))),
        goals=tuple(goal for goal in derivations(answer) if goal.steps),
        ways=tuple(ways(answer)),
        conditions=tuple(weakest_of(lesson)),
        counterexample=broken(lesson),
        features=features(lesson),
        lines=chained(steps) if can_be_written(lesson.preset) else (),
        difference=None if apart is None else apart.agreement.max_abs,
        history=trained(lesson.training) if lesson.training else None,
        asked=tuple(map(asked, lesson.exercises)),
    )


def derivations(answer: Answer) -> Iterator[Goal]:
    return map(goal_of, chains(final_claim(answer)))


def ways(answer: Answer) -> Iterator[Way]:
    """Nothing for a single variant."""
    whole = final_claim(answer)
    for claim in answer.parts if len(answer.parts) > 1 else ():
        yield way(claim.variants[0].name, claim)
    if whole.theorem is not None and len(answer.parts) > 1:
        yield way("both at once", whole)


def way(title: str, claim: Claim) -> Way:
    proofs = [chain for chain in chains(claim) if chain.lines]
    return Way(title, len(proofs), sum(len(chain.lines) for chain in proofs))


def weakest_of(lesson: Lesson) -> Iterator[Condition]:
    """The weakest condition on the new blocks of the variant that the lesson asks it of."""
    if lesson.weakest is not None:
        yield from conditions(weakest(claim_of([lesson.weakest], paper_model(lesson.preset))))


def features(lesson: Lesson) -> tuple[str, ...]:
    """What in the architecture breaks the variant that the lesson breaks; nothing where the architecture does not."""
    if lesson.broken is None:
        return ()
    preset = lesson.broken.preset
    return tuple(in_words(preset, option) for option in breaking(lesson.broken.variant, preset))


def broken(lesson: Lesson) -> Counterexample | None:
    """The numbers against the variant that the lesson breaks.  Raises VariantError where there are none."""
    if lesson.broken is None:
        return None
    answer = check([lesson.broken.variant], lesson.broken.preset)
    if answer.counterexample is None:
        raise VariantError("a lesson breaks what is not refuted", f"lesson {lesson.id}", found=answer.verdict)
    return shown(answer.counterexample)


def asked(exercise: Exercise) -> Asked:
    """An exercise for a page.  Raises VariantError where its own solution is not accepted."""
    solution = exercise.solution()
    judged = exercise.check(solution)
    if not judged.right:
        where = f"lesson {exercise.lesson}, exercise {exercise.name}"
        raise VariantError("the solution of an exercise is not accepted", where, found=judged.text)
    offline = exercise.kind.page(exercise)
    return Asked(exercise, offline, tuple(map(said, offline.said)), written(solution))


def said(feedback: Feedback) -> Said:
    found = feedback.counterexample
    numbers = None if found is None else replace(shown(found), blame="")  # which the text has said
    return Said(feedback.right, feedback.text, numbers)


def written(solution: object) -> str:
    """A solution as one would write it in a notebook.

    >>> written(["M_A"]), written("1/2"), written([])
    ("['M_A']", '1/2', '[] (none)')
    """
    if isinstance(solution, str):
        return solution.strip()
    return f"{solution!r} (none)" if solution == [] else repr(solution)
