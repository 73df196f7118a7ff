"""Concrete models: nested tables of numbers, and a variant's rewrite applied to them.

A model is {I, P, W_out, layers: [{..., heads: [{...}]}]}.  The new blocks nest in the same way; what
belongs to a layer that a variant adds stands under `added_layer`, with its `position` (from 0).  A level
may give the sizes that no old matrix shows under `sizes`, such as {"p_hat": 7}.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .architecture import HEADS, PARAMETER, Heads, Layer
from .evaluate import Arithmetic, Array, Values, evaluate, exact
from .expand import Expansion

Nested = dict[str, Any]


def level_values(*levels: Mapping[str, Any]) -> Values:
    """The values in force at a level, from the outside in: model, new blocks, layer, new blocks, head, ..."""
    scalars: dict[str, Any] = {}
    matrices: dict[str, Array] = {}
    for level in levels:
        for name, value in level.items():
            if hasattr(value, "shape"):
                matrices[name] = value
                if name in PARAMETER:
                    sides = (PARAMETER[name].rows, PARAMETER[name].columns)
                    scalars |= {side: n for side, n in zip(sides, value.shape, strict=True) if side != "1"}
        scalars |= level.get("sizes", {})
    return Values(scalars, matrices)


def model_values(model: Nested) -> Values:
    """Everything that the forward pass of the old architecture needs to know of a model."""

    def heads(layer: Nested) -> dict[str, list[Values]]:
        return {HEADS: [level_values(head) for head in layer["heads"]]}

    own = level_values(model)
    layers = [(0, level_values(layer).with_(Values(members=heads(layer)))) for layer in model["layers"]]
    return Values(own.scalars, own.matrices, {}, layers)


def grown(expansion: Expansion, old: Nested, new: Nested, arithmetic: Arithmetic) -> Nested:
    """The variant's rewrite of a model, evaluated on numbers.

    The expansion must be the first of its chain.  Raises KeyError for a missing block or size.
    """

    def rewritten(terms: Mapping[str, Any], values: Values) -> dict[str, Array]:
        return {name: evaluate(term, values, arithmetic) for name, term in terms.items()}

    def one_head(family: Heads, values: Values) -> Nested:
        """A head's matrices, and its score factor where the variant rewrites that."""
        own = {"scale": arithmetic.number(exact(family.scale, values))} if "scale" in expansion.variant.rewrite else {}
        return {**rewritten(family.weights, values), **own}

    def layer_of(terms: Layer, outer: Values, old_layer: Nested, new_layer: Nested) -> Nested:
        own = outer.with_(level_values(old_layer)).with_(level_values(new_layer))
        groups = [(family, family.path != terms.path) for family in terms.heads]
        heads = [head for family, many in groups for head in heads_of(family, many, own, old_layer, new_layer)]
        return {**rewritten(terms.weights, own), "heads": heads}

    def heads_of(family: Heads, many: bool, outer: Values, old_layer: Nested, new_layer: Nested) -> Iterable[Nested]:
        old_heads, new_heads = old_layer.get("heads", []), new_layer.get("heads", [])
        if not many:
            yield one_head(family, outer)
        for i in range(max(len(old_heads), len(new_heads)) if many else 0):
            parts = [level_values(heads[i]) for heads in (old_heads, new_heads) if i < len(heads)]
            yield one_head(family, outer.with_(parts[0]).with_(parts[-1]))

    model = level_values(old).with_(level_values(new))
    own = new.get("layers", [{}] * len(old["layers"]))
    pairs = zip(old["layers"], own, strict=True)
    layers = [layer_of(expansion.new.layer, model, old_layer, new_layer) for old_layer, new_layer in pairs]
    for inserted in expansion.new.inserted:
        added = new["added_layer"]
        layers.insert(added["position"], layer_of(inserted, model, {}, added))
    return {**rewritten(expansion.new.weights, model), "layers": layers}
