"""Architectures as data: a flat table of options for each, read from `architectures/`, and what each option may be."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sympy import Expr, S

from .terms import scalar

OPTIONS: Mapping[str, tuple[Any, ...]] = {
    "norm": ("rms", "layer", "none"),
    "norm_gain": ("g", "1 + g"),  # what is stored: the gain, or what it has more than 1
    "norm_bias": (False, True),
    "eps": (False, True),
    "placement": ("pre", "post", "output", "sandwich"),
    "final_norm": (False, True),
    "embedding_norm": (False, True),
    "mlp": ("plain", "gated"),
    "act": ("relu", "gelu", "gelu_tanh", "quick_gelu", "silu", "tanh", "sigmoid"),
    "mlp_bias": (True, False),
    "attention_bias": ("none", "qkv", "qkvo"),
    "scale": ("sqrt", "constant", "none"),
    "groups": (False, True),
    "qk_norm": (False, True),
    "positions": ("table", "rotary", "bias", "none"),
    "rope_layout": ("interleaved", "half"),
    "rope_frequencies": ("recomputed", "table"),
    "rope_part": ("all", "part"),
    "mask": ("none", "causal"),
    "parallel": (False, True),
    "tied": (False, True),
    "embed_scale": (False, True),
    "logit_scale": (False, True),
    "experts": (False, True),
    "router": ("renormalised", "plain"),  # whether the weights that are kept are made to sum to 1
}
"""Each option with its values; the first is the paper's."""


@dataclass(frozen=True)
class Preset:
    """An architecture: its name, what it is, where that is known from, and the options that differ from the paper's."""

    name: str
    description: str
    source: str
    given: tuple[tuple[str, Any], ...]

    def __post_init__(self) -> None:
        for option, value in self.given:
            known = OPTIONS.get(option, ())
            if not any(type(value) is type(one) and value == one for one in known):
                raise ValueError(f"{self.name}: found {option} = {value!r}, expected one of {known}")
        if self["parallel"] and self["placement"] != "pre":
            raise ValueError(f"{self.name}: found parallel with placement = {self['placement']!r}, expected 'pre'")

    def __getitem__(self, option: str) -> Any:
        """The value of an option."""
        return dict(self.given).get(option, OPTIONS[option][0])

    @property
    def options(self) -> dict[str, Any]:
        """Every option with its value."""
        return {option: self[option] for option in OPTIONS}

    @property
    def act(self) -> str:
        return str(self["act"])

    @property
    def eps(self) -> Expr:
        """The epsilon of every norm: 0, or a number that may be anything >= 0."""
        return scalar("eps") if self["eps"] else S.Zero

    @property
    def is_paper(self) -> bool:
        """Whether this is equations 1 to 5 with or without an epsilon."""
        return all(option == "eps" for option, _ in self.given)


def loaded(path: Path) -> Preset:
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return Preset(path.stem, table["description"], table["source"], tuple(table.get("options", {}).items()))


FOLDER = Path(__file__).with_name("architectures")
ORDER = (
    "paper",
    "paper-eps",
    "gpt2",
    "opt",
    "llama",
    "mistral",
    "qwen3",
    "gemma",
    "t5",
    "bert",
    "vit",
    "gptj",
    "mixtral",
)
PRESETS: Mapping[str, Preset] = {
    name: loaded(FOLDER / f"{name}.toml") for name in ORDER if (FOLDER / f"{name}.toml").exists()
}
