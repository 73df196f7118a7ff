"""An exercise and what is said about an answer; which kinds there are, `exercises` knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...proofs.counterexample import Counterexample
from ...proofs.trace import trace
from ...symbolic.errors import VariantError
from ...symbolic.preset import Preset
from ...symbolic.variant import Variant
from ...symbolic.writing import text_of
from ..answers import counterexample_text
from .reading import plain, shortened

Json = dict[str, Any]


class NotYetError(AssertionError):
    """The answer to a graded exercise is not right yet; a notebook shows its one line instead of a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"Not yet: {self}"]


@dataclass(frozen=True)
class Feedback:
    """Whether an answer is right, why, with the numbers and the names of the blocks where it is not, and hints."""

    right: bool
    text: str
    counterexample: Counterexample | None = None
    block: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    def require(self) -> None:
        """Nothing for a right answer.  Raises NotYetError with one line for any other: what a grader counts."""
        if not self.right:
            raise NotYetError(self.text)

    def __str__(self) -> str:
        numbers = self.counterexample
        lines = counterexample_text(numbers, trace(numbers)) if numbers is not None else ()
        return "\n".join([("right: " if self.right else "not yet: ") + self.text, *lines])

    def __repr__(self) -> str:
        return f"<Feedback: {'right' if self.right else 'not yet'}: {self.text}>"

    def _repr_html_(self) -> str:
        from .page import feedback_fragment

        return feedback_fragment(self)


@dataclass(frozen=True)
class Exercise:
    """A question of a lesson: its kind, the variant that it is about, hints, and what else its kind asks for."""

    lesson: str
    name: str
    kind: Kind
    question: str
    hints: tuple[str, ...]
    preset: Preset
    variant: Variant
    points: int
    more: Mapping[str, Any]

    def check(self, answer: object) -> Feedback:
        """What the prover says about an answer in any form; nonsense gets one line that says what is expected."""
        if answer is None or answer is ... or (isinstance(answer, str) and not answer.strip()):
            return Feedback(False, f"there is no answer yet; expected {self.kind.expects}", hints=self.hints)
        try:
            found = self.kind.check(self, plain(answer))
        except VariantError as error:
            found = Feedback(False, unreadable(error, self.kind.expects))
        return found if found.right else replace(found, hints=self.hints)

    def hint(self, step: object = 1) -> str:
        """The hint of that number; the first for what is no number, the last where there are fewer."""
        number = step if isinstance(step, int) else 1
        return self.hints[min(max(number, 1), len(self.hints)) - 1] if self.hints else "There is no hint."

    def solution(self) -> Any:
        """An answer that the prover accepts, found by the program."""
        return self.kind.solution(self)

    def __repr__(self) -> str:
        return f"<Exercise: {self.lesson}, {self.name}: {self.question}>"

    def _repr_html_(self) -> str:
        from .page import question_fragment

        return question_fragment(self)


@dataclass(frozen=True)
class Kind:
    """How answers of one kind are checked and found, what an answer is, and what a page without a prover holds.

    `page` gives the data that the page's script reads; whatever it says of an answer, the prover said.
    """

    name: str
    expects: str
    check: Callable[[Exercise, Any], Feedback]
    solution: Callable[[Exercise], Any]
    page: Callable[[Exercise], Offline]
    given: Callable[[Exercise], Given]


@dataclass(frozen=True)
class Given:
    """What a question shows besides its words: formulas in LaTeX, what answers are made of, and a variant's text."""

    formulas: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    variant: str = ""


def the_variant(exercise: Exercise) -> Given:
    return Given(variant=bare(exercise.variant))


def bare(variant: Variant) -> str:
    """The text of a variant without what is said about it, which may be the answer.

    >>> from ...symbolic.variant import load
    >>> print(bare(load("mlp-expansion")).partition("[")[0].strip())
    name = "MLP expansion"
    architecture = "paper"
    """
    silent = replace(variant, source="", description="", verdict="", reason="")
    lines = text_of(silent).strip().splitlines()
    return "\n".join(line for line in lines if line not in ('source = ""', 'description = ""'))


@dataclass(frozen=True)
class Offline:
    """What a page holds of an exercise: data for its script, and what it says of foreseen answers."""

    data: Json
    said: tuple[Feedback, ...] = ()  # to wrong or right answers, by number
    formulas: tuple[str, ...] = ()  # LaTeX, by number


def unreadable(error: VariantError, expected: str) -> str:
    """One line for an answer that cannot be used; where it stands in a file nobody wrote is left out."""
    found = None if error.found is None else shortened(error.found)
    bare = VariantError(error.message, found=found, expected=error.expected or expected)
    return f"this cannot be used: {bare}"
