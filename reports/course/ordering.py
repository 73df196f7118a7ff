"""Put a derivation in order: the answer is a list of rules, each used wherever it applies, checked by the kernel.

Any order that the kernel accepts is right, and so is one that comes to the end on another way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ...proofs.check import claim_of
from ...proofs.goals import Proved, context_of
from ...proofs.kernel import Context, KernelError, Step, apply, derive, meet
from ...proofs.prover import everywhere
from ...proofs.statement import equation, plain
from ...symbolic.architecture import PRESETS, paper_model
from ...symbolic.errors import VariantError
from ...symbolic.notation import latex, text
from ...symbolic.terms import Expr
from ...symbolic.variant import loads
from .exercise import Exercise, Feedback, Given, Kind, Offline
from .reading import described

MOST_STATES = 60  # that a page holds
MOST_STEPS = 100  # of an answer


@dataclass(frozen=True)
class Puzzle:
    """A goal, what its derivation may use, and the rules of the prover's own derivation, in alphabetical order."""

    context: Context
    proved: Proved
    rules: tuple[tuple[str, str, tuple[int, ...]], ...]  # label, rule, argument

    @property
    def left(self) -> Expr:
        return self.proved.goal.left

    @property
    def end(self) -> Expr:
        """Where both sides meet."""
        return replayed(self.context, self.left, self.proved.derivation.left_steps)

    def move(self, term: Expr, index: int) -> Step | None:
        _, rule, argument = self.rules[index]
        return everywhere(self.context, term, rule, argument, {})

    def closes(self, steps: Sequence[Step]) -> bool:
        """Whether the kernel makes the goal's theorem of these steps."""
        right = derive(self.context, self.proved.goal.right, self.proved.derivation.right_steps)
        try:
            return meet(derive(self.context, self.left, steps), right).right == self.proved.goal.right
        except KernelError:
            return False


def replayed(context: Context, term: Expr, steps: Sequence[Step]) -> Expr:
    for step in steps:
        term = apply(context, term, step)
    return term


def puzzle(exercise: Exercise) -> Puzzle:
    return puzzle_about(exercise.variant.text, exercise.preset.name, str(exercise.more["goal"]))


@lru_cache(maxsize=64)
def puzzle_about(variant: str, preset: str, goal: str) -> Puzzle:
    """The puzzle of one goal of a variant.  Raises VariantError for a goal that is not there or not proved."""
    claim = claim_of([loads(variant, "<lesson>")], paper_model(PRESETS[preset]))
    found = {one.goal.name: one for one in claim.goals if one.theorem is not None}
    if claim.growth is None or goal not in found:
        raise VariantError("no proved goal has this name", found=f"`{goal}`", expected=f"one of {', '.join(found)}")
    context = context_of(found[goal].goal, claim.growth, found)
    steps = found[goal].derivation.left_steps
    rules = {(label(context, step), step.rule, step.argument) for step in steps}
    return Puzzle(context, found[goal], tuple(sorted(rules)))


def label(context: Context, step: Step) -> str:
    if step.rule != "constraint":
        return step.rule
    used = context.equations[step.argument[0]]
    return f"constraint {plain((equation(used.left, used.right),))}"


# ---------------------------------------------------------------- answers


def read(asked: Puzzle, answer: object) -> list[int]:
    """The rules that an answer lists, by name or by number from 1.  Raises VariantError."""
    if isinstance(answer, str):
        only_numbers = re.fullmatch(r"[\d\s]*", answer)
        answer = re.split(r"\s" if only_numbers else r",|;|\n|->|→|\bthen\b", answer)
    if not isinstance(answer, list):
        raise VariantError("this is no list of rules", found=described(answer))
    if len(answer) > MOST_STEPS:
        raise VariantError("this is a long list", found=f"{len(answer)} steps", expected=f"at most {MOST_STEPS}")
    return [index(asked, one) for one in answer if not isinstance(one, str) or one.strip()]


def index(asked: Puzzle, given: object) -> int:
    names = [folded(name) for name, _, _ in asked.rules]
    if isinstance(given, bool) or not isinstance(given, (str, int)):
        raise VariantError("a rule has a name or a number", found=described(given))
    wanted = folded(str(given))
    if wanted.isdecimal() and 1 <= int(wanted) <= len(names):
        return int(wanted) - 1
    found = [i for i, name in enumerate(names) if name == wanted] or [
        i for i, name in enumerate(names) if wanted and name.startswith(wanted)
    ]
    if len(found) != 1:
        known = ", ".join(f"{i} {name}" for i, (name, _, _) in enumerate(asked.rules, 1))
        raise VariantError("no rule here has this name", found=described(given), expected=f"some of {known}")
    return found[0]


def folded(name: str) -> str:
    """The name of a rule as it is compared; a number before it and a full stop behind it are the list's.

    >>> folded("1. block product"), folded(" Block_product. "), folded("2.")
    ('block product', 'block product', '2')
    """
    return re.sub(r"^\d+\s*[.)]\s*(?=\S)", "", name.strip(" \t`'\"")).rstrip(" .").replace("_", " ").lower()


def check(exercise: Exercise, answer: Any) -> Feedback:
    asked = puzzle(exercise)
    term, steps = asked.left, list[Step]()
    for count, i in enumerate(read(asked, answer), 1):
        step = asked.move(term, i)
        if step is None:
            name = asked.rules[i][0]
            return Feedback(False, f"step {count}, {name}, applies nowhere in {text(term)}", block=(name,))
        term = apply(asked.context, term, step)
        steps.append(step)
    if asked.closes(steps):
        return Feedback(True, f"the kernel accepts these {len(steps)} steps")
    return Feedback(False, f"every step holds, but the goal is not reached; where you stand: {text(term)}")


def solution(exercise: Exercise) -> list[str]:
    asked = puzzle(exercise)
    names = {(rule, argument): name for name, rule, argument in asked.rules}
    return [names[step.rule, step.argument] for step in asked.proved.derivation.left_steps]


# ---------------------------------------------------------------- the page


def page(exercise: Exercise) -> Offline:
    """Every state that the rules lead to, with where each rule leads from there; null where it does not apply."""
    asked = puzzle(exercise)
    states, table = {asked.left: 0}, list[list[int | None]]()
    waiting = [asked.left]
    while waiting and len(table) < MOST_STATES:
        term = waiting.pop(0)
        row: list[int | None] = []
        for i in range(len(asked.rules)):
            step = asked.move(term, i)
            after = None if step is None else apply(asked.context, term, step)
            if after is not None and after not in states:
                states[after] = len(states)
                waiting.append(after)
            row.append(None if after is None else states[after])
        table.append(row)
    known = list(states)
    data = {"rules": [name for name, _, _ in asked.rules], "next": table, "end": states.get(asked.end)}
    return Offline(data, formulas=tuple(latex(term) for term in known))


def given(exercise: Exercise) -> Given:
    """The goal, and the rules to put in order."""
    asked = puzzle(exercise)
    return Given(
        (f"{latex(asked.left)} = {latex(asked.proved.goal.right)}",), tuple(name for name, _, _ in asked.rules)
    )


ORDER = Kind("order", "the rules in order, such as ['block product', 'zeros']", check, solution, page, given)
