"""The catalogue's files as the paper has them: without what they say for other architectures only."""

from functools import cache

from growproof.symbolic import variant
from growproof.symbolic.preset import PRESETS
from growproof.symbolic.variant import Variant
from growproof.symbolic.writing import fitted, text_of


@cache
def load(name: str) -> Variant:
    """A catalogue file without what the paper's architecture has no use for, read from a text that says the same."""
    return variant.loads(text_of(fitted(variant.load(name), PRESETS["paper"])), f"{name}.toml")
