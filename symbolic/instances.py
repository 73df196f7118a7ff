"""Concrete models: nested tables of numbers, and a variant's rewrite applied to them.

A model is {I, P, W_out, layers: [{..., heads: [{...}]}]}.  The new blocks nest in the same way; what
belongs to a layer that a variant adds stands under `added_layer`, with its `position` (from 0).  A level
may give the sizes that no old matrix shows under `sizes`, such as {"p_hat": 7}.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .architecture import PARAMETERS, SCOPES, Heads, Layer
from .evaluate import Arithmetic, Array, Values, evaluate
from .expand import Expansion

Nested = dict[str, Any]


def values_of(level: Mapping[str, Any], scope: str) -> Values:
    """The matrices of one model, layer or head, and the old sizes that their shapes show."""
    matrices = {name: value for name, value in level.items() if hasattr(value, "shape")}
    sizes: dict[str, Any] = {}
    for parameter in (p for p in PARAMETERS if p.scope == scope and p.name in matrices):
        shape = matrices[parameter.name].shape
        sizes |= dict(zip((parameter.rows, parameter.columns), shape, strict=True))
    sizes.pop("1", None)
    return Values({**sizes, **level.get("sizes", {})}, matrices)


def level_values(*levels: Mapping[str, Any]) -> Values:
    """The values in force at a level, from the outside in: model, new blocks, layer, new blocks, head, ..."""
    found = Values()
    for level in levels:
        for scope in SCOPES:
            found = found.with_(values_of(level, scope))
    return found


def model_values(model: Nested) -> Values:
    """Everything that the forward pass of the old architecture needs to know of a model."""

    def heads(layer: Nested) -> dict[str, list[Values]]:
        return {"W_Q": [values_of(head, "head") for head in layer["heads"]]}

    own = values_of(model, "model")
    layers = [(0, values_of(layer, "layer").with_(Values(members=heads(layer)))) for layer in model["layers"]]
    return Values(own.scalars, own.matrices, {}, layers)


def grown(expansion: Expansion, old: Nested, new: Nested, arithmetic: Arithmetic) -> Nested:
    """The variant's rewrite of a model, evaluated on numbers.

    The expansion must be the first of its chain.  Raises KeyError for a missing block or size.
    """

    def rewritten(terms: Mapping[str, Any], values: Values) -> dict[str, Array]:
        return {name: evaluate(term, values, arithmetic) for name, term in terms.items()}

    def layer_of(terms: Layer, outer: Values, old_layer: Nested, new_layer: Nested) -> Nested:
        own = outer.with_(values_of(old_layer, "layer")).with_(values_of(new_layer, "layer"))
        heads = [head for family in terms.heads for head in heads_of(family, own, old_layer, new_layer)]
        return {**rewritten(terms.weights, own), "heads": heads}

    def heads_of(family: Heads, outer: Values, old_layer: Nested, new_layer: Nested) -> Iterable[Nested]:
        old_heads, new_heads = old_layer.get("heads", []), new_layer.get("heads", [])
        if not family.bound:
            yield rewritten(family.weights, outer)
        for i in range(max(len(old_heads), len(new_heads)) if family.bound else 0):
            parts = [values_of(heads[i], "head") for heads in (old_heads, new_heads) if i < len(heads)]
            yield rewritten(family.weights, outer.with_(parts[0]).with_(parts[-1]))

    model = values_of(old, "model").with_(values_of(new, "model"))
    own = new.get("layers", [{}] * len(old["layers"]))
    pairs = zip(old["layers"], own, strict=True)
    layers = [layer_of(expansion.new.layer, model, old_layer, new_layer) for old_layer, new_layer in pairs]
    for inserted in expansion.new.inserted:
        added = new["added_layer"]
        layers.insert(added["position"], layer_of(inserted, model, {}, added))
    return {**rewritten(expansion.new.weights, model), "layers": layers}
