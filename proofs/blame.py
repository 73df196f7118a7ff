"""What makes the two models of a counterexample differ: new blocks, else the parameters read where the models part.

A new block is to blame when the models agree with zero in its place, the other numbers as they are.  That asks for no
constraint: it says what makes the difference here, not what would mend the variant.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ..symbolic.instances import Nested
from ..symbolic.terms import Expr, MatrixSymbol, Symbol
from ..symbolic.variant import PARAMETERS
from .counterexample import Counterexample, Instance, replay
from .features import irreducible
from .trace import Trace, Value

MOST = 3  # larger sets are made smaller one by one, and are not compared with all others

Culprit = tuple[int, str]  # the step of the chain, from 0, and the name of a new block


@dataclass(frozen=True)
class Blame:
    """The names of what makes the difference, and why they are named."""

    names: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        return f"{', '.join(self.names)} ({self.reason})"


def blame(found: Counterexample, steps: Trace) -> Blame:
    """What is to blame for a counterexample: new blocks if zeros there make the models agree, else parameters."""
    blocks = [(i, name) for i, new in enumerate(found.instance.new) for name in dict.fromkeys(nonzero(new))]
    alone = [block for block in blocks if agree_without(found, [block])]
    if alone:
        zero = "it zero" if len(alone) == 1 else "any one of them zero"
        return Blame(labels(found, alone), f"with {zero}, these models agree")
    together = smallest(found, blocks)
    if together:
        return Blame(labels(found, together), "with all of them zero, these models agree")
    return Blame(parted(found, steps), "rewritten, and read where the models part first; no new block is to blame")


# ---------------------------------------------------------------- new blocks


def smallest(found: Counterexample, blocks: Sequence[Culprit]) -> Sequence[Culprit]:
    """The smallest set of blocks with zeros in which the models agree; none where even all of them are not enough."""
    if not blocks or not agree_without(found, blocks):
        return ()
    few = (chosen for count in range(2, MOST + 1) for chosen in combinations(blocks, count))
    chosen = next((chosen for chosen in few if agree_without(found, chosen)), None)
    return chosen if chosen is not None else irreducible(blocks, lambda some: agree_without(found, some))


def agree_without(found: Counterexample, blocks: Collection[Culprit]) -> bool:
    """Whether the models agree up to rounding with some new blocks zero; False where a norm then meets a zero row."""
    new = tuple(without(new, {name for step, name in blocks if step == i}) for i, new in enumerate(found.instance.new))
    try:
        return replay(found.steps, Instance(found.instance.old, new)).passed
    except ValueError:
        return False


def without(nested: Any, names: Collection[str]) -> Any:
    """The same tables with every matrix of some names zero."""
    if isinstance(nested, list):
        return [without(entry, names) for entry in nested]
    if not isinstance(nested, dict):
        return nested
    return {name: 0 * entry if name in names else without(entry, names) for name, entry in nested.items()}


def nonzero(nested: Nested) -> Iterator[str]:
    """The names of the matrices that are not zero, level by level."""
    for name, entry in nested.items():
        if isinstance(entry, np.ndarray) and entry.any():
            yield name
        for inner in entry if isinstance(entry, list) else [entry]:
            if isinstance(inner, dict) and name != "sizes":
                yield from nonzero(inner)


def labels(found: Counterexample, blocks: Sequence[Culprit]) -> tuple[str, ...]:
    """The names, in a chain with the step that they belong to."""
    return tuple(name if len(found.steps) == 1 else f"{name} of step {i + 1}" for i, name in blocks)


# ---------------------------------------------------------------- parameters


def parted(found: Counterexample, steps: Trace) -> tuple[str, ...]:
    """The parameters and scalars that are read from the last value in which the models agree to the first that differs.

    Only those that the variants rewrite, if any are, and not what is read within a value that agrees.
    """
    last = next((i for i, value in enumerate(steps.values) if value.differs), len(steps.values) - 1)
    first = max((i for i, value in enumerate(steps.values[:last]) if value.same), default=-1) + 1
    agreed = agreeing(steps.values[:last])
    names = dict.fromkeys(name for value in steps.values[first : last + 1] for name in read(value.term, agreed))
    known = [name for name in names if name in PARAMETERS]
    changed = [name for name in known if name in rewritten(found)]
    return tuple(changed or known)


def agreeing(values: Sequence[Value]) -> set[Expr]:
    """The terms whose values agree wherever they are computed, in every head."""
    return {value.term for value in values} - {value.term for value in values if not value.same}


def read(term: Any, agreed: Collection[Expr]) -> Iterator[str]:
    """The names in a term, from left to right, those within an agreed part left out."""
    if term in agreed:
        return
    if isinstance(term, (MatrixSymbol, Symbol)):
        yield term.name
        return
    for part in term.args:
        yield from read(part, agreed)


def rewritten(found: Counterexample) -> set[str]:
    """The parameters and scalars that the variants give."""
    entries = [step.variant.rewrite for step in found.steps]
    added = [one for step in found.steps for one in (step.variant.added_head, step.variant.added_layer)]
    return {name for table in (*entries, *(one.entries for one in added if one is not None)) for name in table}
