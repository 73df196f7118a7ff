"""Numbers that refute a variant whatever its unknown scalars are: instances on which they make no difference.

What an unknown scalar multiplies is zero there, so that the grown model is the same for all of its values.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from sympy import Expr

from ..symbolic.architecture import Transformer
from ..symbolic.elaborate import unknown
from ..symbolic.expand import Expansion, expand
from ..symbolic.instances import Nested
from ..symbolic.syntax import BinaryOp, Expression, Number, Unknown, children, names
from ..symbolic.variant import Variant
from ..symbolic.writing import trees_of
from .counterexample import TRIALS, Counterexample, Instance, differs, drawn, minimised, replayed
from .drawing import profiles, tables_of
from .exactly import fractions, grown_exactly
from .unknowns import filled, unknowns


def find_whatever(variant: Variant, base: Transformer, seed: int = 0) -> Counterexample | None:
    """A minimised counterexample for every value of the unknowns, shown with 1 for each; None if none was found.

    None too where an unknown is in a constraint, which numbers drawn for 1 need not meet, or in a score factor.
    """
    elsewhere = [side for constraint in variant.constraints for side in (constraint.left, constraint.right)]
    elsewhere += [tree for name, tree in variant.rewrite.items() if name == "scale"]
    if any(map(has_unknown, elsewhere)):
        return None
    ones = dict.fromkeys(unknowns(variant), Number(Fraction(1)))
    step, free = expand(base, filled(variant, ones)), expand(base, variant)
    silent, rng = frozenset(multiplied(variant)), np.random.default_rng(seed)
    for profile in profiles([step]):
        for _ in range(TRIALS):
            instance = drawn([step], profile, rng)
            if instance is not None and same_for_all(free, silenced(instance, silent)) and differs([step], instance):
                return replayed([step], minimised([step], instance))
    return None


def multiplied(variant: Variant) -> Iterator[str]:
    """The names that stand in a product with an unknown scalar."""

    def within(tree: Expression) -> Iterator[str]:
        if isinstance(tree, BinaryOp) and tree.operator in "*/" and has_unknown(tree):
            yield from (name.name for name in names(tree))
        for part in children(tree):
            yield from within(part)

    for tree in trees_of(variant):
        yield from within(tree)


def has_unknown(tree: Expression) -> bool:
    return isinstance(tree, Unknown) or any(map(has_unknown, children(tree)))


def silenced(instance: Instance, names: frozenset[str]) -> Instance:
    """The instance with zero for every matrix of some names, in place."""
    for table in (*tables_of(instance.old), *(t for new in instance.new for t in tables_of(new))):
        for name in names & table.keys():
            if isinstance(table[name], np.ndarray):
                table[name] = 0 * table[name]
    return instance


def same_for_all(step: Expansion, instance: Instance) -> bool:
    """Whether no entry of the grown model has an unknown in it."""
    old = fractions(instance.old)
    scalars = {f"?{name}": unknown(name) for name in unknowns(step.variant)}
    try:
        grown = grown_exactly(step, {**old, "scalars": {**old["scalars"], **scalars}}, fractions(instance.new[0]))
    except TypeError:  # a function of what is unknown
        return False
    return not any(isinstance(entry, Expr) and entry.has(*scalars.values()) for entry in entries_of(grown))


def entries_of(nested: Nested) -> Iterator[Any]:
    """Every number of a model: entries of its matrices, and its scalars."""
    yield from nested["scalars"].values()
    for table in tables_of(nested):
        yield from (entry for array in table.values() if isinstance(array, np.ndarray) for entry in array.flat)
