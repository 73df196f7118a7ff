"""The weakest condition: what must vanish when nothing is asked for, read off the goals that stay open.

The prover computes both sides of every square without the variant's constraints.  What their difference asks of the new
blocks is the condition.  It is proved to be sufficient for all sizes, and z3 is asked at small sizes whether
anything weaker does: whether a square can hold, at several inputs and old parameters, where the condition fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np
import z3

from ..symbolic.evaluate import Array, Values, whole
from ..symbolic.notation import text
from ..symbolic.terms import Expr, HeadSum, zero
from . import solver
from .bounded import Entries, Small
from .check import Claim, claim_about, derived
from .choices import constrained
from .drawing import fitting, size_names
from .goals import Goal, Proved, prove_growth
from .kernel import Equation
from .residual import core, sums

INPUTS = (1, 2, 4, 8)  # at how many inputs and old parameters a square is asked to hold: few suffice, or more
UNITS = (1, 2)  # one new unit cannot tell a product that vanishes from a factor that does


@dataclass(frozen=True)
class Necessary:
    """z3's answer at some sizes: `unsat` says that the square fails wherever the condition does."""

    sizes: dict[str, int]
    answer: solver.Answer


@dataclass(frozen=True)
class Condition:
    """What one square asks of the new blocks; `for_all_inputs` where the equations speak of the stream X too."""

    square: str
    equations: tuple[Equation, ...]
    for_all_inputs: bool
    necessary: tuple[Necessary, ...]

    @property
    def is_necessary(self) -> bool:
        return all(found.answer.verdict == "unsat" for found in self.necessary)

    @property
    def holds_for_one_head(self) -> bool:
        return all(found.answer.verdict == "unsat" for found in self.necessary if found.sizes["E"] == 1)


@dataclass(frozen=True)
class Weakest:
    """The conditions of all squares, and the claim under them."""

    conditions: tuple[Condition, ...]
    claim: Claim

    @property
    def sufficient(self) -> bool:
        """Proved for all sizes."""
        return self.claim.theorem is not None

    @property
    def is_necessary(self) -> bool:
        """z3 finds nothing weaker, square by square, at the sizes it was asked about."""
        return all(condition.is_necessary for condition in self.conditions)

    @property
    def for_all_inputs(self) -> bool:
        return any(condition.for_all_inputs for condition in self.conditions)

    @property
    def answers(self) -> tuple[solver.Answer, ...]:
        return tuple(found.answer for condition in self.conditions for found in condition.necessary)

    @property
    def equations(self) -> tuple[Equation, ...]:
        return tuple(dict.fromkeys(e for condition in self.conditions for e in condition.equations))


def weakest(claim: Claim) -> Weakest | None:
    """The weakest condition of a claim about one variant; None without a stream map."""
    step = claim.steps[0]
    if claim.growth is None:
        return None
    new = {block.symbol for block in step.blocks}
    found = tuple(condition_of(claim, open_goal, new) for open_goal in open_squares(claim))
    pairs = [(e.left, e.right) for condition in found for e in condition.equations]
    return Weakest(found, derived(with_map(claim_about(claim.variants, [constrained(step, pairs)]), claim)))


def with_map(claim: Claim, other: Claim) -> Claim:
    """The claim with the stream map of another."""
    assert other.growth is not None
    hypotheses = tuple(Equation(*pair) for pair in claim.steps[0].constraints)
    return replace(claim, growth=replace(other.growth, hypotheses=hypotheses))


def open_squares(claim: Claim) -> Iterator[Proved]:
    """The smallest goals that stay open without any constraint."""
    assert claim.growth is not None
    found = prove_growth(replace(claim.growth, hypotheses=()))
    names = {proved.goal.name for proved in found if proved.theorem is None}
    return (p for p in found if p.theorem is None and p.derivation.residual and not names & set(p.goal.uses))


def condition_of(claim: Claim, square: Proved, new: Set[Expr]) -> Condition:
    """The new blocks' own equations if z3 finds them necessary, else those for all inputs."""
    assert square.derivation.residual is not None
    left = list(sums(*square.derivation.residual))
    cores = [core(found, new) for found in left]
    if all(found is not None for found in cores):
        equations = tuple(dict.fromkeys(e for found in cores for e in found or ()))
        own = Condition(square.goal.name, equations, False, tuple(necessity(claim, square.goal, equations, False)))
        if own.holds_for_one_head:
            return own
    equations = tuple(Equation(found, zero(*found.shape)) for found in left)
    return Condition(square.goal.name, equations, True, tuple(necessity(claim, square.goal, equations, True)))


# ---------------------------------------------------------------- necessity at small sizes


def necessity(claim: Claim, goal: Goal, condition: Sequence[Equation], pointwise: bool) -> Iterator[Necessary]:
    """Can the square hold where the condition fails?  Asked at one and at two new units, and with two heads.

    Pointwise: at any one input; else at concrete inputs and old parameters, more of them while the answer is yes.
    Two heads may cancel each other unless old parameters tell them apart: those of all heads but one are zero in turn.
    """
    for units in UNITS:
        here = with_units(claim, units)
        places: list[list[Entries]] = [[solver.matrix]] if pointwise else [list(inputs(n)) for n in INPUTS]
        answers = (solver.ask(holds_without(here, goal, condition, chosen)) for chosen in places)
        yield Necessary({**here.sizes, "E": here.heads}, first_no(answers))
    if not pointwise and (goal.left.has(HeadSum) or goal.right.has(HeadSum)):
        here = replace(with_units(claim, 1), heads=2)
        places = [[only(head, old) for old in inputs(n) for head in (1, 2)] for n in INPUTS]
        answers = (solver.ask(holds_without(here, goal, condition, chosen)) for chosen in places)
        yield Necessary({**here.sizes, "E": here.heads}, first_no(answers))


def only(head: int, old: Entries) -> Entries:
    """The same entries, but zero for every old parameter of another head."""

    def entries(name: str, rows: int, columns: int) -> Array:
        found = old(name, rows, columns)
        other = "." in name and not name.endswith(f".{head}")
        return solver.each(lambda entry: z3.RealVal(0), found) if other else found

    return entries


def first_no(answers: Iterator[solver.Answer]) -> solver.Answer:
    """The first answer that is not `sat`, else the last."""
    for answer in answers:
        if answer.verdict != "sat":
            break
    return answer


def with_units(claim: Claim, units: int) -> Small:
    """The smallest sizes, with so many new units: a size grows by as many, or a new head or layer has as many."""
    sizes = {"s": 2, "h": 1, "p": units, "k": units, "v": units, "o": 1}
    step = claim.steps[0]
    if step.variant.grows:
        old = step.old.sizes.values()
        multiples = {base for base in step.variant.grows if step.new.sizes[base].free_symbols <= set(old)}
        sizes |= {base: units if base in multiples else 1 for base in ("p", "k", "v", *step.variant.grows)}
    sizes = fitting(sizes, step.old.preset)
    pairs = 2 if step.old.preset["positions"] == "rotary" else 1  # keys are turned in pairs
    grown = {
        symbol.name: whole(base, Values(sizes)) + units * (pairs if base == step.old.sizes["k"] else 1)
        for symbol, base in step.above.items()
    }
    others = dict.fromkeys(sorted(size_names(step) - set(sizes)), units)
    return Small(claim, {**sizes, **others, **grown}, 1)


def holds_without(here: Small, goal: Goal, condition: Sequence[Equation], places: Sequence[Entries]) -> solver.Query:
    """The square holds at every place, and the condition fails at the first."""
    facts: list[z3.BoolRef] = []
    arithmetic = solver.arithmetic(facts)
    square = Equation(goal.left, goal.right)
    holding = [here.holds(square, here.values(old), arithmetic) for old in places]
    values = here.values(places[0])
    failing = z3.Or(*(z3.Not(here.holds(equation, values, arithmetic)) for equation in condition))
    sizes = ", ".join(f"{name} = {size}" for name, size in here.sizes.items())
    name = f"{goal.name} holds at {len(places)} inputs without {text_of(condition)}, {sizes}"
    return solver.Query(name, (*facts, *holding, failing))


def inputs(count: int) -> Iterator[Entries]:
    """Small integers, none of them zero, for every old parameter and the stream; the same ones in every run."""
    rng = np.random.default_rng(0)

    def entries(name: str, rows: int, columns: int) -> Array:
        drawn = rng.choice([-2, -1, 1, 2], size=(rows, columns))
        return solver.each(lambda entry: z3.RealVal(int(entry)), drawn.astype(object))

    return (entries for _ in range(count))


def text_of(condition: Sequence[Equation]) -> str:
    return ", ".join(f"{text(equation.left)} = 0" for equation in condition)
