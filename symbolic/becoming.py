"""What an architecture becomes: the options that a variant may change, under `[becomes]`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from .errors import VariantError
from .preset import OPTIONS, Preset
from .syntax import nearest
from .variant import Variant

_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)

CHANGES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "experts": (
        "a name for the number of experts",
        lambda value: isinstance(value, str) and _NAME.fullmatch(value) is not None,
    ),
    "top_k": ("how many experts each token goes to", lambda value: type(value) is int and value >= 1),
    "router": ('"renormalised" or "plain"', lambda value: value in OPTIONS["router"]),
    "kv_groups": ('"E": every head has keys and values of its own', lambda value: value == "E"),
    "rope": ('"kept": the frequencies of the old k', lambda value: value == "kept"),
}
"""Each option that may change: what it can be, in words and as a test."""


def becomes(preset: Preset, variant: Variant) -> Preset:
    """The architecture of the grown model.  Raises VariantError for what cannot change, or not so."""
    options = variant.becomes
    for option, value in options.items():
        if option not in CHANGES:
            what = nearest(option, CHANGES) or ", ".join(CHANGES)
            raise _refused(variant, option, "this option cannot change", option, what)
        what, fits = CHANGES[option]
        if not fits(value):
            raise _refused(variant, option, f"`{option}` has no such value", str(value), what)
    _check_needs(preset, variant)
    return changed(preset, variant)


def changed(preset: Preset, variant: Variant) -> Preset:
    """The architecture with the options that a variant says, whether they fit it or not."""
    options = variant.becomes
    new: dict[str, Any] = {"experts": True} if "experts" in options else {}
    new |= {"router": options["router"]} if "router" in options else {}
    new |= {"groups": False} if "kv_groups" in options else {}
    return replace(preset, given=tuple(sorted({**dict(preset.given), **new}.items()))) if new else preset


def _check_needs(preset: Preset, variant: Variant) -> None:
    """Experts come with a number for each token, and only where there are none; groups end where there are some."""
    options, name = variant.becomes, preset.name
    if "experts" in options and preset["experts"]:
        what, expected = f"`{name}` has experts already", "an architecture without experts"
        raise _refused(variant, "experts", what, "experts", expected)
    for given, other in (("experts", "top_k"), ("top_k", "experts"), ("router", "experts")):
        if given in options and other not in options:
            what, expected = f"{given} and {other} come together", f"`{other}`: {CHANGES[other][0]}"
            raise _refused(variant, given, what, given, expected)
    if "rope" in options and "rope_base" in variant.rewrite:
        what, expected = "the frequencies are kept, or follow from a base", "one of them"
        raise _refused(variant, "rope", what, "rope, and a rewrite of rope_base", expected)
    if "kv_groups" in options and not preset["groups"]:
        raise _refused(variant, "kv_groups", f"`{name}` has no grouped queries", "E", "an architecture with groups")


def _refused(variant: Variant, option: str, message: str, found: str, expected: str) -> VariantError:
    return variant.place("becomes", option).error(message, f"`{found}`", expected)
