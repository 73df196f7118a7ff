"""What each constraint is for: the theorem needs it, or it does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..symbolic.architecture import Preset, paper_model
from ..symbolic.expand import Expansion, expand
from ..symbolic.syntax import show
from ..symbolic.variant import Variant
from .counterexample import Counterexample, find


@dataclass(frozen=True)
class Dropped:
    """A variant without one of its constraints, and numbers that change the function then (None: none found)."""

    index: int
    text: str
    expansion: Expansion
    counterexample: Counterexample | None


def without(variant: Variant, index: int) -> Variant:
    """The variant with one constraint left out."""
    kept = (*variant.constraints[:index], *variant.constraints[index + 1 :])
    return replace(variant, constraints=kept)


def dropped(variant: Variant, preset: Preset, seed: int = 0) -> Iterator[Dropped]:
    """Each constraint dropped alone: irredundant if every one gives a counterexample."""
    for index, constraint in enumerate(variant.constraints):
        weaker = expand(paper_model(preset), without(variant, index))
        yield Dropped(index, f"{show(constraint.left)} = {show(constraint.right)}", weaker, find([weaker], seed))


def irredundant(found: Sequence[Dropped]) -> bool:
    return all(one.counterexample is not None for one in found)
