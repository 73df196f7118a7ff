"""Counterexamples: small numbers that meet the constraints and change the function, replayed in numpy.

The search draws small integers for models of growing size, most of all of size one, fills the new blocks
so that the constraints hold, and runs both models with the numeric package, which shares no code with
the proofs.  A difference counts when it exceeds the bound for rounding errors many times over.  What is
found is then made smaller: entry by entry towards 0 and 1, as long as the difference stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import EllipsisType

import numpy as np
from sympy import Expr

from ..numeric.compare import Agreement
from ..symbolic.evaluate import Array, SizeError
from ..symbolic.expand import Expansion
from ..symbolic.instances import Nested, grown
from .comparison import compared
from .drawing import FLOATS, GENERIC, Profile, drawn_blocks, drawn_model, profiles, satisfied, tables_of
from .exactly import fractions, grown_exactly, holds_exactly, is_rounded

CLEARLY = 1e3  # a difference counts from so many times its rounding bound
VISIBLE = 1e-3  # the difference that is looked for first
PATIENCE = 48  # further instances that are tried when one differs by less
TRIALS = 6
GLIMPSES = 2


@dataclass(frozen=True)
class Instance:
    """A concrete model and, for each step of a chain, the new blocks; all entries are integers."""

    old: Nested
    new: tuple[Nested, ...]


@dataclass(frozen=True)
class Counterexample:
    """An instance whose two models differ, the grown model in floating point, and what the replay found."""

    steps: tuple[Expansion, ...]
    instance: Instance
    grown: Nested
    replay: Agreement

    @property
    def scalars(self) -> dict[str, tuple[Expr, Expr]]:
        """The scalars of the architecture, such as eps, before and after."""
        return {name: (before, self.grown["scalars"][name]) for name, before in self.instance.old["scalars"].items()}


def find(steps: Sequence[Expansion], seed: int = 0) -> Counterexample | None:
    """A minimised counterexample to a chain of expansions, each of the plain model; None if none was found."""
    instance = found(steps, seed)
    return None if instance is None else replayed(steps, minimised(steps, instance))


def find_any(steps: Sequence[Expansion], seed: int = 0) -> Counterexample | None:
    """The counterexample that `find` makes small, as it was drawn."""
    instance = found(steps, seed)
    return None if instance is None else replayed(steps, instance)


def found(steps: Sequence[Expansion], seed: int) -> Instance | None:
    """The first instance that changes the function visibly, from the smallest sizes up; else the first that does."""
    rng = np.random.default_rng(seed)
    instances = (drawn(steps, profile, rng) for profile in profiles(steps) for _ in range(TRIALS))
    faint, patience = None, PATIENCE
    for one in instances:
        apart = None if one is None else difference(steps, one)
        if apart is not None and apart > VISIBLE:
            return one
        if faint is None:
            faint = one if apart is not None else None
        elif (patience := patience - 1) == 0:
            break
    return faint


def glimpse(steps: Sequence[Expansion], seed: int = 0) -> bool:
    """Whether one of a few random instances changes the function: quick, and almost sure where most of them do."""
    rng = np.random.default_rng(seed)
    instances = (drawn(steps, GENERIC, rng) for _ in range(GLIMPSES))
    return any(instance is not None and differs(steps, instance) for instance in instances)


# ---------------------------------------------------------------- drawing an instance


def drawn(steps: Sequence[Expansion], profile: Profile, rng: np.random.Generator) -> Instance | None:
    """Random small integers for the old model and for every new block, with the constraints met."""

    def entries(rows: int, columns: int) -> Array:
        return rng.choice([-2.0, -1.0, 1.0, 1.0, 2.0], size=(rows, columns))

    old = drawn_model(steps[0].old.preset, profile, entries, profile.scalars)
    current, new = old, []
    for step in steps:
        blocks = drawn_blocks(step, current, profile, entries, rng)
        if blocks is None:
            return None
        new.append(blocks)
        try:
            current = grown(step, current, blocks, FLOATS)
        except SizeError:
            return None
    return Instance(old, tuple(new))


# ---------------------------------------------------------------- running both models


def expanded(steps: Sequence[Expansion], instance: Instance) -> Nested:
    """The grown model."""
    current = instance.old
    for step, new in zip(steps, instance.new, strict=True):
        current = grown(step, current, new, FLOATS)
    return current


def differs(steps: Sequence[Expansion], instance: Instance, least: float = VISIBLE) -> bool:
    """Whether the outputs differ by more than so much, clearly, and the constraints hold."""
    apart = difference(steps, instance)
    return apart is not None and apart > least


def difference(steps: Sequence[Expansion], instance: Instance) -> float | None:
    """How far the outputs are apart, where that is no rounding error and the constraints hold.

    None where it may be one, where they do not hold, and where a norm meets a zero row.
    """
    try:
        seen = replay(steps, instance)
    except ValueError:
        return None
    return seen.max_abs if seen.ratio > CLEARLY and is_exact(steps, instance) else None


def is_exact(steps: Sequence[Expansion], instance: Instance) -> bool:
    """Whether the constraints hold exactly, and the grown model in floating point is the exact one, rounded."""
    current = fractions(instance.old)
    for step, new in zip(steps, map(fractions, instance.new), strict=True):
        if not satisfied(step, current, new, holds_exactly):
            return False
        current = grown_exactly(step, current, new)
    return is_rounded(current, expanded(steps, instance))


def replay(steps: Sequence[Expansion], instance: Instance) -> Agreement:
    """Both full models in numpy, float64.  Raises ValueError for a row of zeros where eps = 0."""
    return compared(steps, instance.old, expanded(steps, instance))


def replayed(steps: Sequence[Expansion], instance: Instance) -> Counterexample:
    return Counterexample(tuple(steps), instance, expanded(steps, instance), replay(steps, instance))


# ---------------------------------------------------------------- making it small


def minimised(steps: Sequence[Expansion], instance: Instance) -> Instance:
    """The instance with every entry moved to 0 or 1 where the difference survives that, until nothing moves.

    Whole matrices are moved to 0 first.
    """
    least = min(VISIBLE, (difference(steps, instance) or 0) / 2)
    for table, name in matrices(instance):
        moved(steps, instance, least, table, name, ..., 0.0)
    while sum(moved(steps, instance, least, *cell, 0.0, 1.0) for cell in cells(instance)):
        pass
    return instance


Index = tuple[int, ...] | EllipsisType


def moved(
    steps: Sequence[Expansion],
    instance: Instance,
    least: float,
    table: Nested,
    name: str,
    index: Index,
    *values: float,
) -> bool:
    """Move entries to the first of some values at which the instance stays a counterexample; whether they moved."""
    before = table[name]
    for value in values:
        if np.all(before[index] == value):
            return False
        table[name] = changed(before, index, value)
        if differs(steps, instance, least):
            return True
        table[name] = before
    return False


def changed(array: Array, index: Index, value: float) -> Array:
    result = array.copy()
    result[index] = value
    return result


def cells(instance: Instance) -> Iterator[tuple[Nested, str, tuple[int, ...]]]:
    """Every entry of every matrix, the new blocks last."""
    for table, name in matrices(instance):
        yield from ((table, name, index) for index in np.ndindex(table[name].shape))


def matrices(instance: Instance) -> Iterator[tuple[Nested, str]]:
    """Every matrix, the new blocks last."""
    for table in (*tables_of(instance.old), *(t for new in instance.new for t in tables_of(new))):
        yield from ((table, name) for name, array in table.items() if isinstance(array, np.ndarray))
