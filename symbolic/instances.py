"""Concrete models: nested tables of numbers, and a variant's rewrite applied to them.

A model is {I, P, W_out, ..., layers: [{..., heads: [{...}]}]}, with groups: [{..., heads: [{...}]}] for grouped
queries.  The new blocks nest in the same way; what belongs to a layer that a variant adds stands under `added_layer`,
with its `position` (from 0).  A level may give the sizes that no old matrix shows under `sizes`, such as {"p_hat": 7};
the model gives its scalars under `scalars`, such as {"eps": 1}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from .architecture import EXPERTS, FAMILIES, HEADS, PARAMETERS, Experts, Heads, Layer, levels, parameters
from .bodies import as_data
from .evaluate import Arithmetic, Array, Values, evaluate, exact
from .expand import Expansion
from .terms import CHOSEN, MatrixExpr, Path

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


def each(family: str, outer: Values, old: Nested, new: Nested) -> Iterator[tuple[Values, Nested, Nested]]:
    """The members of a family: the values in force there, and its tables of the old model and of new blocks."""
    nothing: Nested = {}
    for before, after in zip_longest(old.get(family, ()), new.get(family, ()), fillvalue=nothing):
        yield outer.with_(level_values(before)).with_(level_values(after)), before, after


def merged(first: Nested, second: Nested) -> Nested:
    """Tables of new blocks put together, member by member."""
    both = {**first, **second}
    for family in FAMILIES:
        if family in first and family in second:
            both[family] = [merged(*pair) for pair in zip(first[family], second[family], strict=True)]
    return both


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
        pairs = list(zip(old["layers"], own, strict=True))
        layers = [self.layer(terms.layer, values, *pair) for pair in pairs]
        for inserted in terms.inserted:
            added = new["added_layer"]
            before: tuple[Nested, Nested] = pairs[added["position"] - 1] if inserted.path else ({}, {})
            layers.insert(added["position"], self.layer(inserted, values, before[0], merged(before[1], added)))
        kept = {"sizes": self.hidden(old["sizes"], values)} if "sizes" in old else {}
        named = {*old.get("scalars", {}), *({"top_k"} & set(terms.scalars))}
        scalars = {name: exact(terms.scalars[name], values) for name in terms.scalars if name in named}
        bodies = {"forward": self.bodies(values, *pairs[0])} if terms.layer.bodies else {}
        return {**self.rewritten(terms.weights, values), **kept, **bodies, "scalars": scalars, "layers": layers}

    def bodies(self, outer: Values, old: Nested, new: Nested) -> Nested:
        """The bodies of the sublayers that the variant defines anew, as data; their sizes are those of every layer."""
        own = outer.with_(level_values(old)).with_(level_values(new))
        return {name: as_data(body, own) for name, body in self.expansion.new.layer.bodies.items()}

    def hidden(self, sizes: Nested, values: Values) -> Nested:
        """The sizes that no matrix shows: of longer rotary keys more pairs turn, or more coordinates do not."""
        return {name: int(exact(self.expansion.new.sizes[name], values)) for name in sizes}

    def layer(self, terms: Layer, outer: Values, old: Nested, new: Nested) -> Nested:
        own, families = outer.with_(level_values(old)).with_(level_values(new)), levels(self.expansion.old.preset)[1:]
        alone: Nested = {family: [{}] for family in families[1:]}
        members: list[Nested] = []
        for heads in terms.heads:
            depth = len(heads.path) - len(terms.path)
            if depth == 0:
                members.append(self.member(heads, families, own, alone, alone))
            elif depth == len(families):
                members += self.members(heads, families, own, old, new)
            else:  # a head that joins each group
                for group, (values, _, _) in zip(members, each(families[0], own, old, new), strict=False):
                    group[HEADS].append(self.owned(heads, "head", values))
        if families[0] != HEADS and not self.expansion.new.preset["groups"]:
            members, families = [head for group in members for head in group[HEADS]], families[1:]
        experts = {EXPERTS: self.experts(terms.experts, own, old, new)} if terms.experts is not None else {}
        return {**self.rewritten(terms.weights, own), families[0]: members, **experts}

    def experts(self, terms: Experts, outer: Values, old: Nested, new: Nested) -> list[Nested]:
        return [self.rewritten(terms.weights, values) for values, _, _ in each(EXPERTS, outer, old, new)]

    def members(self, heads: Heads, families: Path, outer: Values, old: Nested, new: Nested) -> list[Nested]:
        """Every member of the outermost family of some heads."""
        return [self.member(heads, families, *one) for one in each(families[0], outer, old, new)]

    def member(self, heads: Heads, families: Path, values: Values, old: Nested, new: Nested) -> Nested:
        """One group of heads, or one head."""
        level, *within = families
        own = self.owned(heads, level.removesuffix("s"), values)
        return {**own, within[0]: self.members(heads, tuple(within), values, old, new)} if within else own

    def owned(self, heads: Heads, scope: str, values: Values) -> Nested:
        """What a group or a head has, with its score factor where the variant rewrites that."""
        known = parameters(self.expansion.new.preset)
        own = self.rewritten({n: term for n, term in heads.weights.items() if known[n].scope == scope}, values)
        if scope == "head" and "scale" in self.expansion.variant.rewrite:
            own["scale"] = self.arithmetic.number(exact(heads.scale, values))
        return own

    def rewritten(self, terms: Mapping[str, MatrixExpr], values: Values) -> Nested:
        return {name: evaluate(term, values, self.arithmetic) for name, term in terms.items()}
