"""What makes the two models of a counterexample differ: new blocks, what was added, else what is read where they part.

A new block is to blame when the models agree with zero in its place, or with what changes nothing (the identity, a row
of ones), the other numbers as they are; a parameter of a new layer or head that no block makes, when they agree with
zero there.  That asks for no constraint: it says what makes the difference here, not what would mend the variant.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from ..symbolic.architecture import parameters
from ..symbolic.errors import VariantError
from ..symbolic.evaluate import Array
from ..symbolic.expand import Expansion, expand
from ..symbolic.instances import Nested
from ..symbolic.syntax import Number, names
from ..symbolic.terms import Expr, MatrixSymbol, Symbol, same_size
from ..symbolic.variant import PARAMETERS, Added
from .counterexample import Counterexample, Instance, replay
from .features import irreducible
from .trace import Trace, Value

MOST = 3  # larger sets are made smaller one by one, and are not compared with all others

Culprit = tuple[int, str]  # the step of the chain, from 0, and the name of a new block or of a parameter
Agree = Callable[[Collection[Culprit]], bool]


@dataclass(frozen=True)
class Blame:
    """The names of what makes the difference, and why they are named."""

    names: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        return f"{', '.join(self.names)} ({self.reason})"


@dataclass(frozen=True)
class Way:
    """Something else in the place of some suspects: whether the models agree then, and how that is said."""

    suspects: Sequence[Culprit]
    agree: Agree
    instead: Callable[[Sequence[Culprit], str], str]  # in words, of "it", "any one of them" or "all of them"
    of: str = ""  # whose they are


def blame(found: Counterexample, steps: Trace) -> Blame:
    """What is to blame for a counterexample: the first of the ways in which the models agree, else parameters."""
    for way in ways(found):
        alone = [one for one in way.suspects if way.agree([one])]
        chosen = alone or smallest(way.suspects, way.agree)
        if chosen:
            whole = "it" if len(chosen) == 1 else "any one of them" if alone else "all of them"
            return Blame(labels(found, chosen, way.of), f"with {way.instead(chosen, whole)}, these models agree")
    zeros = "; zeros in new blocks do not make these models agree" if any(new_blocks(found, zeros_like)) else ""
    names = parted(found, steps)
    how = "rewritten, and read" if set(names) <= set(rewritten(found)) else "read"
    return Blame(names, f"{how} where the models part first{zeros}")


def ways(found: Counterexample) -> Iterator[Way]:
    """Zeros for new blocks; what changes nothing for those that could; zeros for what was added without any block."""
    for value, instead in ((zeros_like, all_zero), (neutral, partial(all_neutral, found))):
        yield Way(list(new_blocks(found, value)), partial(agree_with, found, value=value), instead)
    for table, what in (("added_head", "head"), ("added_layer", "layer")):
        yield Way(list(added(found, table)), partial(agree_without, found, table), all_zero, f" of the new {what}")


def all_zero(_: Sequence[Culprit], whole: str) -> str:
    return f"{whole} zero"


def all_neutral(found: Counterexample, chosen: Sequence[Culprit], whole: str) -> str:
    """The identity, or ones for a row."""
    shapes = [b.symbol.shape for i, name in chosen for b in found.steps[i].blocks if b.name == name]
    kinds = dict.fromkeys("ones" if rows == 1 else "the identity" for rows, _ in shapes)
    return f"{' and '.join(kinds)} in place of {whole}"


def smallest(suspects: Sequence[Culprit], agree: Agree) -> Sequence[Culprit]:
    """The smallest set with which the models agree; none where even all of them are not enough."""
    if not suspects or not agree(suspects):
        return ()
    few = (chosen for count in range(2, MOST + 1) for chosen in combinations(suspects, count))
    chosen = next((chosen for chosen in few if agree(chosen)), None)
    return chosen if chosen is not None else irreducible(suspects, agree)


def labels(found: Counterexample, chosen: Sequence[Culprit], of: str = "") -> tuple[str, ...]:
    """The names with what they belong to, in a chain the step as well."""
    return tuple(f"{name}{of}" + (f" of step {i + 1}" if len(found.steps) > 1 else "") for i, name in chosen)


def runs_alike(steps: Sequence[Expansion], instance: Instance) -> bool:
    """Whether both models agree up to rounding; False where a norm meets a zero row."""
    try:
        return replay(steps, instance).passed
    except ValueError:
        return False


# ---------------------------------------------------------------- new blocks


def zeros_like(entries: Array) -> Array:
    return 0 * entries


def neutral(entries: Array) -> Array:
    """What changes nothing where it is a factor: the identity, and ones for a row, which stand on a diagonal."""
    rows, columns = entries.shape
    return np.ones((1, columns)) if rows == 1 else np.eye(rows)


def new_blocks(found: Counterexample, value: Callable[[Array], Array]) -> Iterator[Culprit]:
    """The new blocks that another value can replace, and would change."""
    for i, (step, new) in enumerate(zip(found.steps, found.instance.new, strict=True)):
        square = {b.name for b in step.blocks if b.symbol.rows == 1 or same_size(b.symbol.rows, b.symbol.cols)}
        able = {block.name for block in step.blocks} if value is zeros_like else square
        others = dict.fromkeys(name for name, array in matrices(new) if name in able and (array != value(array)).any())
        yield from ((i, name) for name in others)


def agree_with(found: Counterexample, blocks: Collection[Culprit], value: Callable[[Array], Array]) -> bool:
    """Whether the models agree with another value in place of some new blocks."""
    names = [{name for step, name in blocks if step == i} for i in range(len(found.steps))]
    new = tuple(replaced(tables, own, value) for tables, own in zip(found.instance.new, names, strict=True))
    return runs_alike(found.steps, Instance(found.instance.old, new))


def replaced(nested: Any, names: Collection[str], value: Callable[[Array], Array]) -> Any:
    """The same tables with another value for every matrix of some names."""
    if isinstance(nested, list):
        return [replaced(entry, names, value) for entry in nested]
    if not isinstance(nested, dict):
        return nested
    return {name: value(entry) if name in names else replaced(entry, names, value) for name, entry in nested.items()}


def without(nested: Any, names: Collection[str]) -> Any:
    """The same tables with every matrix of some names zero."""
    return replaced(nested, names, zeros_like)


def matrices(nested: Nested) -> Iterator[tuple[str, Array]]:
    """The matrices with their names, level by level."""
    for name, entry in nested.items():
        if isinstance(entry, np.ndarray):
            yield name, entry
        for inner in entry if isinstance(entry, list) else [entry]:
            if isinstance(inner, dict) and name != "sizes":
                yield from matrices(inner)


# ---------------------------------------------------------------- what was added


def added(found: Counterexample, table: str) -> Iterator[Culprit]:
    """The parameters of a new head or layer that are not zero and that no new block makes."""
    there = {name for name, array in matrices(found.grown) if array.any()}
    scopes = ("group", "head", *(("layer", "expert") if table == "added_layer" else ()))
    for i, step in enumerate(found.steps):
        one: Added | None = getattr(step.variant, table)
        for parameter in parameters(step.new.preset).values() if one is not None else ():
            entry = one.entries.get(parameter.name) if one is not None else None
            made = entry is not None and any(name.name in step.variant.new for name in names(entry))
            if parameter.scope in scopes and parameter.name in there and not made:
                yield i, parameter.name


def agree_without(found: Counterexample, table: str, chosen: Collection[Culprit]) -> bool:
    """Whether the models agree with zero for some parameters of what was added."""
    try:
        steps = [silenced(step, table, [name for j, name in chosen if j == i]) for i, step in enumerate(found.steps)]
    except VariantError:  # not of this head: it joins a group
        return False
    return runs_alike(steps, found.instance)


def silenced(step: Expansion, table: str, names: Sequence[str]) -> Expansion:
    """A step that gives zero for some parameters of its new head or layer.  Raises VariantError."""
    one: Added | None = getattr(step.variant, table)
    if one is None or not names:
        return step
    zero = replace(one, entries={**one.entries, **dict.fromkeys(names, Number(Fraction(0)))})
    if table == "added_head":
        return expand(step.old, replace(step.variant, added_head=zero))
    return expand(step.old, replace(step.variant, added_layer=zero))


# ---------------------------------------------------------------- parameters


def parted(found: Counterexample, steps: Trace) -> tuple[str, ...]:
    """The parameters and scalars that are read from the last value in which the models agree to the first that differs.

    Only those that the variants rewrite, if any are, and not what is read within a value that agrees; where nothing is
    read, all that the variants rewrite.
    """
    last = next((i for i, value in enumerate(steps.values) if value.differs), len(steps.values) - 1)
    first = max((i for i, value in enumerate(steps.values[:last]) if value.same), default=-1) + 1
    agreed = agreeing(steps.values[: last + 1])
    found_there = (name for value in steps.values[first : last + 1] for name in read(value.term, agreed))
    known = [name for name in dict.fromkeys(found_there) if name in PARAMETERS]
    given = rewritten(found)
    return tuple([name for name in known if name in given] or known or given)


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


def rewritten(found: Counterexample) -> tuple[str, ...]:
    """The parameters and scalars that the variants give."""
    entries = [step.variant.rewrite for step in found.steps]
    parts = [one for step in found.steps for one in (step.variant.added_head, step.variant.added_layer)]
    return tuple(
        dict.fromkeys(name for table in (*entries, *(p.entries for p in parts if p is not None)) for name in table)
    )
