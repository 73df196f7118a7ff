"""Concrete models: nested tables of numbers, and a variant's rewrite applied to them.

A model is {I, P, W_out, ..., layers: [{..., heads: [{...}]}]}, with groups: [{..., heads: [{...}]}] for grouped
queries.  The new blocks nest in the same way; what belongs to a layer that a variant adds stands under `added_layer`,
with its `position` (from 0).  A level may give the sizes that no old matrix shows under `sizes`, such as {"p_hat": 7};
the model gives its scalars under `scalars`, such as {"eps": 1}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from sympy import S

from .architecture import CHOSEN, EXPERTS, HEADS, PARAMETERS, Heads, Layer, levels, parameters
from .evaluate import Arithmetic, Array, Values, evaluate, exact
from .expand import Expansion
from .terms import MatrixExpr, Path

Nested = dict[str, Any]
SIDES = {parameter.name: (parameter.rows, parameter.columns) for parameter in PARAMETERS}


def with_matrices(nested: Any, change: Callable[[Array], Array]) -> Any:
    """The same tables with every matrix changed."""
    if isinstance(nested, Mapping):
        return {name: with_matrices(entry, change) for name, entry in nested.items()}
    if isinstance(nested, list):
        return [with_matrices(entry, change) for entry in nested]
    return change(nested) if isinstance(nested, np.ndarray) else nested


def level_values(*levels: Mapping[str, Any]) -> Values:
    """The values in force at a level, from the outside in: model, new blocks, layer, new blocks, head, ..."""
    scalars: dict[str, Any] = {}
    matrices: dict[str, Array] = {}
    for level in levels:
        for name, value in level.items():
            if hasattr(value, "shape"):
                matrices[name] = value
                if name in SIDES:
                    scalars |= {side: n for side, n in zip(SIDES[name], value.shape, strict=True) if side != "1"}
        scalars |= {**level.get("sizes", {}), **level.get("scalars", {})}
    return Values(scalars, matrices)


def member_values(level: Mapping[str, Any], families: Sequence[str]) -> Values:
    """The values of a level with those of every member of the families within it."""
    own = level_values(level)
    if not families:
        return own
    members = {families[0]: [member_values(inner, families[1:]) for inner in level[families[0]]]}
    return own.with_(Values(members={**members, **expert_values(level)}))


def expert_values(level: Mapping[str, Any]) -> dict[str, list[Values]]:
    """The values of every expert of a layer, with the column that picks it; nothing where there are none."""
    experts = level.get(EXPERTS, [])
    columns = np.eye(len(experts))[:, :, None]
    found = [level_values(one).with_(Values(matrices={CHOSEN: u})) for one, u in zip(experts, columns, strict=True)]
    return {EXPERTS: found} if found else {}


def model_values(model: Nested, families: Sequence[str]) -> Values:
    """Everything that the forward pass of the old architecture needs to know of a model, families as in `levels`."""
    own = level_values(model)
    layers = [(0, member_values(layer, families[1:])) for layer in model[families[0]]]
    return Values(own.scalars, own.matrices, {}, layers)


def grown(expansion: Expansion, old: Nested, new: Nested, arithmetic: Arithmetic) -> Nested:
    """The variant's rewrite of a model, evaluated on numbers.

    The expansion must be the first of its chain.  Raises KeyError for a missing block or size.
    """
    return _Growing(expansion, arithmetic).model(old, new)


@dataclass(frozen=True)
class _Growing:
    """One expansion on numbers of one kind."""

    expansion: Expansion
    arithmetic: Arithmetic

    def model(self, old: Nested, new: Nested) -> Nested:
        values, terms = level_values(old).with_(level_values(new)), self.expansion.new
        own = new.get("layers", [{}] * len(old["layers"]))
        layers = [self.layer(terms.layer, values, *pair) for pair in zip(old["layers"], own, strict=True)]
        for inserted in terms.inserted:
            added = new["added_layer"]
            layers.insert(added["position"], self.layer(inserted, values, {}, added))
        kept = {"sizes": self.hidden(old["sizes"], values)} if "sizes" in old else {}
        scalars = {name: exact(terms.scalars[name], values) for name in old.get("scalars", {})}
        return {**self.rewritten(terms.weights, values), **kept, "scalars": scalars, "layers": layers}

    def hidden(self, sizes: Nested, values: Values) -> Nested:
        """The sizes that no matrix shows: of longer rotary keys more pairs turn, or more coordinates do not."""
        if "j" not in sizes:
            return sizes
        k = exact(self.expansion.new.sizes["k"], values)
        return {**sizes, **({"q": int(k - sizes["r"])} if "r" in sizes else {"j": int(k / 2)})}

    def layer(self, terms: Layer, outer: Values, old: Nested, new: Nested) -> Nested:
        own, families = outer.with_(level_values(old)).with_(level_values(new)), levels(self.expansion.old.preset)[1:]
        alone: Nested = {family: [{}] for family in families[1:]}
        members: list[Nested] = []
        for heads in terms.heads:
            if heads.path == terms.path:
                members.append(self.member(heads, families, own, alone, alone))
            else:
                members += self.members(heads, families, own, old, new)
        experts: Nested = {}
        if terms.experts is not None:
            family = Heads("", terms.experts.weights, S.One, terms.experts.path)
            experts = {EXPERTS: self.members(family, (EXPERTS,), own, old, new)}
        return {**self.rewritten(terms.weights, own), families[0]: members, **experts}

    def members(self, heads: Heads, families: Path, outer: Values, old: Nested, new: Nested) -> list[Nested]:
        """Every member of the outermost family of some heads."""
        pairs: Iterable[tuple[Nested, Nested]]
        pairs = zip_longest(old.get(families[0], ()), new.get(families[0], ()), fillvalue={})
        values = [
            (outer.with_(level_values(before)).with_(level_values(after)), before, after) for before, after in pairs
        ]
        return [self.member(heads, families, *one) for one in values]

    def member(self, heads: Heads, families: Path, values: Values, old: Nested, new: Nested) -> Nested:
        """One group of heads, or one head, with its score factor where the variant rewrites that."""
        level, *within = families
        scope, parameter = level.removesuffix("s"), parameters(self.expansion.old.preset)
        own = self.rewritten({n: term for n, term in heads.weights.items() if parameter[n].scope == scope}, values)
        if within:
            return {**own, within[0]: self.members(heads, tuple(within), values, old, new)}
        if level == HEADS and "scale" in self.expansion.variant.rewrite:
            own["scale"] = self.arithmetic.number(exact(heads.scale, values))
        return own

    def rewritten(self, terms: Mapping[str, MatrixExpr], values: Values) -> Nested:
        return {name: evaluate(term, values, self.arithmetic) for name, term in terms.items()}
