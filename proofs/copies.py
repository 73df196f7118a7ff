"""A wider stream without new directions: every row twice, so that its mean and its mean square stay.

Where a norm subtracts the mean, appended zeros move it; two copies [X, X] do not.  What writes to the stream writes
twice, what reads it shares the old matrix between the copies as it likes: [W - M; M], any M.
"""

from __future__ import annotations

from ..symbolic.architecture import parameters
from ..symbolic.preset import Preset
from ..symbolic.variant import Variant, loads

STREAM = "h"


def two_copies(variant: Variant, preset: Preset) -> Variant | None:
    """The variant that doubles the stream of an architecture instead; None where a variant grows something else.

    A tied output reads both copies as they were written, so what comes before it is halved.
    """
    if list(variant.grows) != [STREAM]:
        return None
    new, rewrite = [], []
    for name, parameter in parameters(preset).items():
        tied = preset["tied"] and name in ("W_out", "g_out", "c_out")
        if parameter.columns == STREAM:
            rewrite.append(f'{name} = "[{name}/2, {name}/2]"' if tied else f'{name} = "[{name}, {name}]"')
        elif parameter.rows == STREAM:
            rewrite.append(f'{name} = "[{name}; {name}]"' if tied else f'{name} = "[{name} - M_{name}; M_{name}]"')
            new += [] if tied else [f'M_{name} = "{STREAM}, {parameter.columns}"']
    head = [f'name = "{variant.name}, two copies for {preset.name}"', f'architecture = "{preset.name}"']
    lines = [*head, "", "[grows]", f'{STREAM} = "2*{STREAM}"', "", "[new]", *new, "", "[rewrite]", *rewrite]
    return loads("\n".join(lines) + "\n", f"two-copies-{preset.name}.toml")
