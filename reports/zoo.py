"""The zoo on a page: every variant of the literature with its verdict, its reason, and what shows it in short.

What a page shows of a variant is made from the answer that was found, never from what the file expects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..proofs.check import Answer, Claim, check, preset_named
from ..proofs.counterexample import Counterexample
from ..proofs.statement import plain, statement
from ..proofs.trace import trace
from ..symbolic.variant import Variant
from .answers import counterexample_text, expected
from .view import SHAPES


@dataclass(frozen=True)
class ShownVariant:
    """One variant: what it is, what was found, and what to open."""

    id: str
    title: str
    source: str
    architecture: str
    verdict: str
    shape: str
    surprise: str  # what the file expects where that is something else, or nothing
    reason: str
    short: str  # how many steps, where the models part, or what is open
    lines: tuple[str, ...]  # the statement; of a counterexample, the numbers
    goals: tuple[tuple[str, str], ...]  # each piece of the proof with its rules


@dataclass(frozen=True)
class Zoo:
    """The variants in the order in which they were given, and how many came out how."""

    variants: tuple[ShownVariant, ...]
    summary: str

    @property
    def as_expected(self) -> bool:
        """Whether every file got the verdict that it expects."""
        return not any(one.surprise for one in self.variants)


def zoo_section(variants: Mapping[str, Variant], seed: int = 0, say: Callable[[str], None] = lambda text: None) -> Zoo:
    """Check each variant on its own architecture; what a page shows of them.  Raises VariantError."""
    found = []
    for name, variant in variants.items():
        say(name)
        found.append(shown(name, check([variant], preset_named(variant.architecture), seed)))
    return Zoo(tuple(found), summary(found))


def shown(name: str, answer: Answer) -> ShownVariant:
    """What a page shows of an answer about a single variant."""
    (variant,), wanted, claim = answer.given, expected(answer), answer.parts[0]
    short, lines = shown_by(answer, claim)
    return ShownVariant(
        id=f"zoo-{name}",
        title=variant.name,
        source=variant.source,
        architecture=answer.preset.name,
        verdict=answer.verdict,
        shape=SHAPES[answer.verdict],
        surprise=f"expected: {wanted}" if wanted not in (None, answer.verdict) else "",
        reason=variant.reason,
        short=short,
        lines=lines,
        goals=tuple(goals(claim)) if answer.verdict == "proved" else (),
    )


def shown_by(answer: Answer, claim: Claim) -> tuple[str, tuple[str, ...]]:
    """What shows the verdict, in a few words and line by line."""
    if answer.counterexample is not None:
        return parting(answer.counterexample)
    sentences = tuple(plain(line) for line in statement(answer.steps))
    if answer.verdict == "proved":
        return f"{claim.step_count} steps", sentences
    names = ", ".join(dict.fromkeys(goal.goal.name for goal in answer.open_goals))
    return f"open: {names or 'whether the constraints can be met'}", sentences


def parting(found: Counterexample) -> tuple[str, tuple[str, ...]]:
    """Where the models part, and the numbers with which they do."""
    steps = trace(found)
    first = steps.first_divergence
    where = "the output" if first is None else first.place
    return f"part at {where}", tuple(line.strip() for line in counterexample_text(found, steps))


def goals(claim: Claim) -> list[tuple[str, str]]:
    """The pieces of a proof, each with the number of its steps and their rules."""
    found = []
    for one in claim.goals:
        steps = (*one.derivation.left_steps, *reversed(one.derivation.right_steps))
        rules = dict.fromkeys(step.rule for step in steps)
        found.append((one.goal.name, f"{len(steps)} steps: {', '.join(rules)}" if rules else "unchanged"))
    return found


def summary(found: list[ShownVariant]) -> str:
    """How many variants came out how.

    >>> summary([])
    '0 variants'
    """
    verdicts = [one.verdict for one in found]
    counts = [f"{verdicts.count(verdict)} {verdict}" for verdict in SHAPES if verdict in verdicts]
    return f"{len(found)} variants" + (f": {', '.join(counts)}" if counts else "")
