"""What an architecture may be: a flat table of options, whose defaults are equations 1 to 5 of the paper."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_type_hints


@dataclass(frozen=True)
class Architecture:
    """The options, each with the paper's value as default.

    Raises ValueError for a value that no option has, and for parallel sublayers with norms elsewhere than before them.

    An option about something that a model does not have (the layout of rotary positions without these) says nothing.
    """

    norm: Literal["rms", "layer", "none"] = "rms"
    norm_gain: Literal["g", "1 + g"] = "g"  # what multiplies, where g is stored; also for g_Q and g_K
    norm_bias: bool = False
    eps: bool = False
    placement: Literal["pre", "post", "output", "sandwich"] = "pre"
    final_norm: bool = False
    embedding_norm: bool = False
    mlp: Literal["plain", "gated"] = "plain"
    act: Literal["relu", "gelu", "gelu_tanh", "quick_gelu", "silu", "tanh", "sigmoid"] = "relu"
    mlp_bias: bool = True
    attention_bias: Literal["none", "qkv", "qkvo"] = "none"
    scale: Literal["sqrt", "constant", "none"] = "sqrt"
    groups: bool = False
    qk_norm: bool = False
    positions: Literal["table", "rotary", "bias", "none"] = "table"
    rope_layout: Literal["interleaved", "half"] = "interleaved"
    rope_frequencies: Literal["recomputed", "table"] = "recomputed"
    rope_part: Literal["all", "part"] = "all"
    mask: Literal["none", "causal"] = "none"
    parallel: bool = False
    tied: bool = False
    embed_scale: bool = False
    logit_scale: bool = False
    experts: bool = False
    router: Literal["renormalised", "plain"] = "renormalised"  # whether the weights that are kept sum to one again

    def __post_init__(self) -> None:
        for option, values in VALUES.items():
            found = getattr(self, option)
            if not any(type(found) is type(value) and found == value for value in values):
                expected = ", ".join(map(repr, values))
                raise ValueError(f"{option}: found {found!r}, expected one of {expected}")
        if self.parallel and self.placement != "pre":
            raise ValueError(f"parallel: found True with placement = {self.placement!r}, expected placement = 'pre'")

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> "Architecture":
        """The architecture of a flat mapping of options. Raises ValueError for an unknown option or value."""
        for option in options:
            if option not in VALUES:
                raise ValueError(f"{option}: found an unknown option, expected one of {', '.join(VALUES)}")
        return cls(**options)


def _values(option: str, hint: Any, default: Any) -> tuple[Any, ...]:
    return (default, not default) if hint is bool else get_args(hint)


VALUES: Mapping[str, tuple[Any, ...]] = {
    field.name: _values(field.name, get_type_hints(Architecture)[field.name], field.default)
    for field in fields(Architecture)
}
"""Each option with its values; the first is the paper's."""
