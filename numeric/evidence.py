"""The table for the report: each expansion as its theorem says, and with one thing broken, in all formats."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from .blocks import (
    ZEROS,
    Fill,
    added_head,
    added_layer,
    attention_blocks,
    heads_blocks,
    hidden_blocks,
    mlp_blocks,
    opposite_input,
    random_fill,
)
from .compare import compare
from .expansions import (
    attention_expansion,
    head_addition,
    heads_expansion,
    hidden_expansion,
    layer_addition,
    mlp_expansion,
    on_heads,
    on_layers,
)
from .formats import FORMATS, Array
from .model import Head, Layer, Model, cast, random_model, random_rows

ALL_SIX = "all six"
THEOREM = "as the theorem says"

# Small, so that a broken constraint stands out from the rounding errors of bfloat16 (8 bits) as well.
SIZES: dict[str, Any] = {"s": 3, "h": 4, "o": 3, "p": [6, 4], "heads": [[(1, 2), (1, 2)], [(2, 1)]]}
BATCH = 64
K_FACTOR = 4


@dataclass(frozen=True)
class Row:
    """One line of the table. A control breaks one thing, and must not pass.

    max_abs and max_ulp compare the outputs end to end. square, bound and ratio are those of the check's worst
    agreement (see `compare.Agreement`).
    """

    expansion: str
    dtype: str
    case: str
    control: bool
    sizes: Mapping[str, str]
    max_abs: float
    max_ulp: float
    square: str
    bound: float
    ratio: float
    passed: bool

    @property
    def as_expected(self) -> bool:
        return self.passed != self.control


@dataclass(frozen=True, eq=False)
class Grown:
    """A model, its input, the numbers of its new layers, and how many scalings each parameter carries."""

    model: Model
    I: Array
    inserted: tuple[int, ...]
    scalings: Mapping[str, int]


# Expansion name -> fill for its new blocks.
Fills = Callable[[str], Fill]
Step = Callable[[Grown, Fills], Grown]


@dataclass(frozen=True)
class Case:
    """What is done, and which (expansion, block) pairs are random although their theorem says zero."""

    name: str
    step: Step
    freed: frozenset[tuple[str, str]] = frozenset()
    control: bool = False


def evidence(name: str, seed: int = 0) -> tuple[Row, ...]:
    """The rows for one of the six expansions, or for "all six" in sequence, on a small random model.

    Raises ValueError for any other name.
    """
    if name not in (*STEPS, ALL_SIX):
        raise ValueError(f"expansion: found {name!r}, expected one of {', '.join((*STEPS, ALL_SIX))}")
    return tuple(_row(name, case, dtype, seed) for dtype in FORMATS for case in _cases(name))


def _cases(name: str) -> Iterator[Case]:
    """The theorem, its weaker forms, then the controls: each zero made random, each scale left out."""
    if name == ALL_SIX:
        yield Case(THEOREM, _grow_all)
        for step, zeros in ZEROS.items():
            broken = max(zeros)
            yield Case(f"{step} with {broken} random", _grow_all, frozenset({(step, broken)}), control=True)
        return
    yield Case(THEOREM, STEPS[name])
    if name == "hidden-expansion":
        yield Case("M_I = -M_P, both random", _grow_hidden_opposite, frozenset({(name, "M_P")}))
    for zero in sorted(ZEROS[name]):
        yield Case(f"{zero} random", STEPS[name], frozenset({(name, zero)}), control=True)
    for parameter, unscaled in UNSCALED.get(name, {}).items():
        yield Case(f"{parameter} not scaled", unscaled, control=True)


def _row(name: str, case: Case, dtype: str, seed: int) -> Row:
    rng = np.random.default_rng(seed)
    model = random_model(rng, **SIZES)
    start = Grown(cast(model, dtype), _inputs(rng, dtype), (), {})

    def fills(expansion: str) -> Fill:
        freed = {block for owner, block in case.freed if owner == expansion}
        return random_fill(rng, ZEROS[expansion] - freed, dtype)

    grown = case.step(start, fills)
    found = compare(start.model, start.I, grown.model, grown.I, inserted=grown.inserted, scalings=grown.scalings)
    return Row(
        expansion=name,
        dtype=dtype,
        case=case.name,
        control=case.control,
        sizes=found.sizes,
        max_abs=found.output.max_abs,
        max_ulp=found.output.max_ulp,
        square=found.worst.name,
        bound=found.worst.bound,
        ratio=found.worst.ratio,
        passed=found.passed,
    )


def _inputs(rng: np.random.Generator, dtype: str) -> Array:
    """A batch of inputs: an error that hides behind one token's bound shows at another."""
    s, h = SIZES["s"], SIZES["h"]
    return random_rows(rng, BATCH * s, h, dtype).reshape(BATCH, s, h)


def _grow_mlp(start: Grown, fills: Fills) -> Grown:
    fill = fills("mlp-expansion")

    def change(layer: Layer) -> Layer:
        return mlp_expansion(layer, *mlp_blocks(layer, layer.p + 4, fill))

    return replace(start, model=on_layers(start.model, change))


def _add_heads(start: Grown, fills: Fills) -> Grown:
    fill = fills("head-addition")

    def change(layer: Layer) -> Layer:
        return head_addition(layer, added_head(start.model.h, 2, 3, fill))

    return replace(start, model=on_layers(start.model, change))


def _grow_heads(start: Grown, fills: Fills) -> Grown:
    fill = fills("heads-expansion")

    def change(head: Head) -> Head:
        return heads_expansion(head, *heads_blocks(head, head.v + 2, fill))

    return replace(start, model=_on_all_heads(start.model, change))


def _grow_attention(start: Grown, fills: Fills) -> Grown:
    fill = fills("attention-expansion")

    def change(head: Head) -> Head:
        return attention_expansion(head, *attention_blocks(head, K_FACTOR * head.k - 1, fill))

    return replace(start, model=_on_all_heads(start.model, change), scalings={**start.scalings, "W_K": 1})


def _grow_hidden(start: Grown, fills: Fills) -> Grown:
    blocks = hidden_blocks(start.model, 2 * start.model.h, fills("hidden-expansion"))
    model, I = hidden_expansion(start.model, start.I, blocks)
    return replace(start, model=model, I=I, scalings={**start.scalings, "g_MHA": 1, "g_MLP": 1})


def _grow_hidden_opposite(start: Grown, fills: Fills) -> Grown:
    blocks = hidden_blocks(start.model, 2 * start.model.h, fills("hidden-expansion"))
    model, I = hidden_expansion(start.model, start.I, opposite_input(blocks))
    return replace(start, model=model, I=I, scalings={**start.scalings, "g_MHA": 1, "g_MLP": 1})


def _add_layer(start: Grown, fills: Fills) -> Grown:
    new = added_layer(start.model.h, 6, [(2, 3), (1, 2)], fills("layer-addition"))
    return replace(start, model=layer_addition(start.model, new, 2), inserted=(2,))


def _grow_all(start: Grown, fills: Fills) -> Grown:
    for step in STEPS.values():
        start = step(start, fills)
    return start


def _with_old_keys(start: Grown, fills: Fills) -> Grown:
    """Attention expansion with W_K -> [W_K M_W_K], the factor left out."""
    grown = _grow_attention(start, fills)
    layers = tuple(
        replace(
            new,
            heads=tuple(
                replace(head, W_K=_overwrite(head.W_K, old_head.W_K))
                for old_head, head in zip(old.heads, new.heads, strict=True)
            ),
        )
        for old, new in zip(start.model.layers, grown.model.layers, strict=True)
    )
    return replace(grown, model=replace(grown.model, layers=layers))


def _with_old_gain(name: str, start: Grown, fills: Fills) -> Grown:
    """Hidden expansion with g -> [g M_g] for one of the two gains, the factor left out."""
    grown = _grow_hidden(start, fills)
    layers = tuple(
        _with_gain(new, name, _overwrite(getattr(new, name), getattr(old, name)))
        for old, new in zip(start.model.layers, grown.model.layers, strict=True)
    )
    return replace(grown, model=replace(grown.model, layers=layers))


def _with_gain(layer: Layer, name: str, gain: Array) -> Layer:
    return replace(layer, g_MHA=gain) if name == "g_MHA" else replace(layer, g_MLP=gain)


STEPS: dict[str, Step] = {
    "mlp-expansion": _grow_mlp,
    "head-addition": _add_heads,
    "heads-expansion": _grow_heads,
    "attention-expansion": _grow_attention,
    "hidden-expansion": _grow_hidden,
    "layer-addition": _add_layer,
}

UNSCALED: dict[str, dict[str, Step]] = {
    "attention-expansion": {"W_K": _with_old_keys},
    "hidden-expansion": {name: partial(_with_old_gain, name) for name in ("g_MHA", "g_MLP")},
}


def _on_all_heads(model: Model, change: Callable[[Head], Head]) -> Model:
    return on_layers(model, lambda layer: on_heads(layer, change))


def _overwrite(new: Array, old: Array) -> Array:
    """`new` with its leading columns replaced by `old`."""
    return np.concatenate([old, new[:, old.shape[1] :]], axis=1)
