"""What an architecture becomes: the options that a variant may change, under `[becomes]`."""

from __future__ import annotations

import re
from dataclasses import replace

from .preset import Preset
from .syntax import nearest
from .variant import Variant

WHAT = {
    "experts": "a name for the number of experts",
    "top_k": "how many experts each token goes to",
    "router": '"renormalised" or "plain"',
    "kv_groups": '"E": every head has keys and values of its own',
    "rope": '"kept": the frequencies of the old k',
}
_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)


def becomes(preset: Preset, variant: Variant) -> Preset:
    """The architecture of the grown model.  Raises VariantError for what cannot change, or not so."""
    options = variant.becomes
    for option, value in options.items():
        if option not in WHAT:
            guess = nearest(option, WHAT)
            raise _refused(variant, option, "this option cannot change", option, guess or ", ".join(WHAT))
        fits = {
            "experts": isinstance(value, str) and _NAME.fullmatch(value) is not None,
            "top_k": type(value) is int and value >= 1,
            "router": value in ("renormalised", "plain"),
            "kv_groups": value == "E",
            "rope": value == "kept",
        }
        if not fits[option]:
            raise _refused(variant, option, f"`{option}` has no such value", str(value), WHAT[option])
    _check_needs(preset, variant)
    new = {"experts": True} if "experts" in options else {}
    new |= {"router": options["router"]} if "router" in options else {}
    new |= {"groups": False} if "kv_groups" in options else {}
    return replace(preset, given=tuple(sorted({**dict(preset.given), **new}.items()))) if new else preset


def _check_needs(preset: Preset, variant: Variant) -> None:
    """Experts come with a number for each token, and only where there are none; groups end where there are some."""
    options, name = variant.becomes, preset.name
    if "experts" in options and preset["experts"]:
        raise _refused(
            variant, "experts", f"`{name}` has experts already", "experts", "an architecture without experts"
        )
    if ("experts" in options) != ("top_k" in options):
        given, other = ("experts", "top_k") if "experts" in options else ("top_k", "experts")
        raise _refused(variant, given, "experts and top_k come together", given, f"`{other}`: {WHAT[other]}")
    if "router" in options and "experts" not in options:
        raise _refused(variant, "router", "a router comes with experts", "router", f"`experts`: {WHAT['experts']}")
    if "kv_groups" in options and not preset["groups"]:
        raise _refused(variant, "kv_groups", f"`{name}` has no grouped queries", "E", "an architecture with groups")


def _refused(variant: Variant, option: str, message: str, found: str, expected: str) -> Exception:
    return variant.place("becomes", option).error(message, f"`{found}`", expected)
