"""What a name means that means nothing where it stands, and which architectures have what another lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .preset import PRESETS, Preset
from .variant import PARAMETERS, SIZES
from .writing import has

NEW_LAYER = "new layer"
OWNERS: Mapping[str, str] = {
    "model": "the model",
    "layer": "a layer",
    "group": "a group of heads",
    "head": "a head",
    "expert": "an expert",
    NEW_LAYER: "a new layer",
}
COUNTS: Mapping[str, str] = {"E": "the number of heads", "N": "the number of layers"}
OWN = ("I", "tokens", "scale")  # what only its own rewrite may use

Meaning = tuple[str, str]  # what a name means, and what should stand there


def elsewhere(name: str, owners: Mapping[str, str], here: str, preset: Preset) -> Meaning | None:
    """What a name means that nothing of `here` sees; None for a name that means nothing anywhere.

    `owners` says of each parameter and new block what has it.

    >>> elsewhere("W_Q", {"W_Q": "head"}, "layer", PRESETS["paper"])
    ('W_Q belongs to a head, and this to a layer', 'a name of a layer or of the model')
    """
    if name in COUNTS:
        return f"{name} is {COUNTS[name]}, which no expression may use", "a size, or a number"
    if name in OWN and has(preset, name):
        return f"only the rewrite of {name} may use it", "another name"
    if name in owners:
        owner = OWNERS[here]
        return f"{name} belongs to {OWNERS[owners[name]]}, and this to {owner}", f"a name of {owner} or of the model"
    if name in PARAMETERS and not has(preset, name):
        return f"`{preset.name}` has no such parameter", f"what it has, or {an_architecture_with([name])}"
    base = name.removesuffix("_hat")
    return (f"{base} does not grow", base) if base != name and base in SIZES else None


def an_architecture_with(names: Iterable[str]) -> str:
    """The architectures that have some of what another lacks, in words.

    >>> an_architecture_with(["W_R"])
    'an architecture that has W_R: mixtral'
    """
    wanted = tuple(dict.fromkeys(names))
    some = [preset.name for preset in PRESETS.values() if any(has(preset, name) for name in wanted)]
    what = f"an architecture that has {wanted[0] if len(wanted) == 1 else 'some of these'}"
    return f"{what}: {', '.join(some)}" if some else what
