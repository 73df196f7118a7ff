"""What on a page leads to what: theorems and the rules that they use, constraints and the steps that need them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from .view import Constraint, Goal, Math, Page, Section, Step, Text

CONSTRAINT = "constraint"  # the rule that uses one


def uses(page: Page) -> dict[str, dict[str, int]]:
    """Of each rule on the page, the sections whose derivations use it, each with the number of steps."""
    counts = {section.id: rules_of(section) for section in page.sections}
    return {rule: {id: found[rule] for id, found in counts.items() if found[rule]} for rule, _ in page.rules}


def rules_of(section: Section) -> Mapping[str, int]:
    """How many steps of a section apply each rule; 0 for the rules that it does not use."""
    return Counter(step.rule for goal in section.goals for step in goal.steps)


def radius(steps: int, most: int) -> float:
    """The radius of a dot whose area grows with the number of steps, of at most 8.

    >>> radius(25, 100), radius(100, 100)
    (4.0, 8.0)
    """
    return float(round(8 * (steps / most) ** 0.5, 1))


# ---------------------------------------------------------------- constraints


def used_constraint(section: Section, step: Step) -> int | None:
    """Which constraint of the section a step uses, where it uses one."""
    if step.rule != CONSTRAINT:
        return None
    said = {part.latex for part in step.reason if isinstance(part, Math)}
    found = (i for i, one in enumerate(section.constraints) if said & set(equations(one)))
    return next(found, None)


def equations(constraint: Constraint) -> list[str]:
    """The instances of a constraint, one for each layer or head that it speaks of."""
    return constraint.latex.split(", ")


def goals_with(section: Section, constraint: int) -> list[tuple[int, Text]]:
    """The goals in whose derivations a constraint is used: the place of each, and its name."""
    used = (any(used_constraint(section, step) == constraint for step in goal.steps) for goal in section.goals)
    return [(i, name(goal)) for (i, goal), here in zip(enumerate(section.goals), used, strict=True) if here]


def name(goal: Goal) -> Text:
    """The title of a goal without what its abbreviations stand for."""
    return goal.title if isinstance(goal.title, str) else goal.title[:1]
