"""Which options of an architecture break an expansion, and what people call them.

An architecture in which every option has the paper's value is where the expansion is proved.  What has to go back to
that value, and no more than that, is what breaks it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, islice
from typing import Any, TypeVar

import numpy as np

from ..numeric.architecture import output
from ..symbolic.architecture import paper_model
from ..symbolic.errors import VariantError
from ..symbolic.evaluate import Array
from ..symbolic.expand import Expansion, expand
from ..symbolic.preset import OPTIONS, Preset
from ..symbolic.variant import Variant
from .check import claim_of
from .comparison import architectures, tables
from .counterexample import Instance, expanded
from .drawing import GENERIC, drawn_blocks, drawn_model

T = TypeVar("T")
PROOFS = 3  # so many sets of options are put to the prover
CLOSE = 1e-7  # relative
PROFILE = replace(GENERIC, sizes={**GENERIC.sizes, "p": 4})  # so wide that some unit is alive
MOST_MORE = 2  # options beside those that break the variant on their own

WORDS: Mapping[str, Mapping[Any, str]] = {
    "norm": {"layer": "LayerNorm", "none": "no norms"},
    "norm_gain": {"1 + g": "gains stored as 1 + g"},
    "norm_bias": {True: "norm biases"},
    "eps": {True: "an epsilon"},
    "placement": {
        "post": "post-norm",
        "output": "norms of what the sublayers write",
        "sandwich": "norms before and after each sublayer",
    },
    "final_norm": {True: "a final norm"},
    "embedding_norm": {True: "a norm of the embedding"},
    "mlp": {"gated": "a gated MLP"},
    "act": {
        "gelu": "GELU",
        "gelu_tanh": "GELU",
        "quick_gelu": "GELU",
        "silu": "SiLU",
        "tanh": "tanh",
        "sigmoid": "sigmoid",
    },
    "mlp_bias": {False: "an MLP without biases"},
    "attention_bias": {"qkv": "attention biases", "qkvo": "attention biases"},
    "scale": {"constant": "a constant score factor", "none": "no score factor"},
    "groups": {True: "grouped queries"},
    "qk_norm": {True: "q/k norms"},
    "positions": {"rotary": "rotary positions", "bias": "position biases", "none": "no positions"},
    "rope_layout": {"half": "rotary pairs half a head apart"},
    "rope_frequencies": {"table": "a table of rotary frequencies"},
    "rope_part": {"part": "rotary positions in a part of each head"},
    "mask": {"causal": "a causal mask"},
    "parallel": {True: "sublayers side by side"},
    "tied": {True: "a tied output"},
    "embed_scale": {True: "an embedding times sqrt(h)"},
    "logit_scale": {True: "logits over sqrt(h)"},
    "experts": {True: "a mixture of experts"},
    "router": {"plain": "a router whose kept weights do not sum to 1"},
}
"""Each value that is not the paper's, in words."""


def in_words(preset: Preset, option: str) -> str:
    """What people call an option of an architecture.

    >>> from ..symbolic.architecture import PRESETS
    >>> in_words(PRESETS["llama"], "positions")
    'rotary positions recomputed from k'
    """
    words = WORDS[option][preset[option]]
    if (option, preset[option]) != ("positions", "rotary"):
        return words
    if preset["rope_frequencies"] == "table":
        return f"{words} from a table"
    return f"{words} in a part of each head" if preset["rope_part"] == "part" else f"{words} recomputed from k"


def different(preset: Preset) -> tuple[str, ...]:
    """The options that are not as in the paper."""
    return tuple(option for option, values in OPTIONS.items() if preset[option] != values[0])


def as_in_the_paper(preset: Preset, options: Collection[str]) -> Preset:
    """The architecture with some options back at the paper's value."""
    return replace(preset, given=tuple((option, value) for option, value in preset.given if option not in options))


def seems_to_hold(variant: Variant, preset: Preset, seed: int = 0) -> bool:
    """Whether numbers drawn at random see no change: quick, and no proof.

    False also where the variant does not fit the architecture.
    """
    try:
        step = expand(paper_model(preset), variant)
    except VariantError:
        return False
    instance = random_instance(step, seed)
    return instance is None or same_output(step, instance)


def random_instance(step: Expansion, seed: int) -> Instance | None:
    """A model and new blocks with normal entries, which hide no change; None where no blocks are found."""
    rng = np.random.default_rng(seed)

    def entries(rows: int, columns: int) -> Array:
        return rng.standard_normal((rows, columns))

    old = drawn_model(step.old.preset, PROFILE, entries)
    new = drawn_blocks(step, old, PROFILE, entries, rng)
    return None if new is None else Instance(old, (new,))


def same_output(step: Expansion, instance: Instance) -> bool:
    """Whether the model and what the variant makes of it have the same output, up to rounding and a little more."""
    models = instance.old, expanded([step], instance)
    try:
        old, new = (output(tables(one), a) for one, a in zip(models, architectures([step]), strict=True))
    except ValueError:  # a norm met a row of zeros
        return False
    return bool(np.abs(new - old).max() <= CLOSE * (1 + np.abs(old).max()))


def breaking(variant: Variant, preset: Preset, seed: int = 0) -> tuple[str, ...]:
    """A set of options with which back at the paper's value the variant is proved; () if none was found.

    Each of them is needed: with any one left as the architecture has it, and the others back, the function changes.
    """
    for options in islice(enough(variant, preset, seed), PROOFS):
        if claim_of([variant], paper_model(as_in_the_paper(preset, options))).theorem is not None:
            return options
    return ()


def enough(variant: Variant, preset: Preset, seed: int) -> Iterator[tuple[str, ...]]:
    """Sets of options, small ones first, with which back at the paper's value numbers see no change."""

    def holds_without(options: Collection[str]) -> bool:
        return seems_to_hold(variant, as_in_the_paper(preset, options), seed)

    options = different(preset)
    if not holds_without(options):
        return
    alone = [option for option in options if not holds_without([other for other in options if other != option])]
    others = [option for option in options if option not in alone]
    for more in (more for n in range(MOST_MORE + 1) for more in combinations(others, n)):
        found = [option for option in options if option in (*alone, *more)]
        if holds_without(found):
            yield tuple(irreducible(found, holds_without))


def irreducible(found: Sequence[T], holds: Callable[[Sequence[T]], bool]) -> list[T]:
    """What holds with all of something, less every one without which it still holds, the last first."""
    kept = list(found)
    for one in reversed(found):
        fewer = [other for other in kept if other is not one]
        kept = fewer if holds(fewer) else kept
    return kept
