"""Two models on numbers, run by the numeric package, which shares no code with the proofs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ..numeric import agreement
from ..numeric.compare import PAPER_SCALINGS, Agreement, difference
from ..numeric.model import from_nested
from ..numeric.options import Architecture
from ..symbolic.expand import Expansion
from ..symbolic.instances import Nested


def compared(
    steps: Sequence[Expansion], old: Nested, new: Nested, dtype: str = "float64", scalings: Any = PAPER_SCALINGS
) -> Agreement:
    """A model and what a chain makes of it in numpy, with the bound that the paper's forward pass derives, or else the
    one that longer numbers show.

    Raises ValueError where a norm meets a row of zeros with eps = 0.
    """
    if is_paper(steps):
        eps, eps_hat = (float(model["scalars"].get("eps", 0)) for model in (old, new))
        sides = (*from_nested(old, dtype), *from_nested(new, dtype))
        return difference(*sides, eps=eps, eps_hat=eps_hat, scalings=scalings)
    return measured(steps, old, new, dtype)


def measured(steps: Sequence[Expansion], old: Nested, new: Nested, dtype: str = "float64") -> Agreement:
    """The same in the forward pass of all architectures, whatever the models are."""
    before, after = architectures(steps)
    return agreement.difference((tables(old), before), (tables(new), after), dtype)


def architectures(steps: Sequence[Expansion]) -> tuple[Architecture, Architecture]:
    """The numeric descriptions of a chain's first model and of its last."""
    before, after = (Architecture.from_options(model.preset.options) for model in (steps[0].old, steps[-1].new))
    return before, after


def is_paper(steps: Sequence[Expansion]) -> bool:
    """Whether both models of a chain are equations 1 to 5."""
    ends = steps[0].old, steps[-1].new
    return all(model.preset.is_paper and not model.layer.bodies for model in ends)


rounded = lru_cache(maxsize=4096)(float)  # an exact number, to the nearest one


def tables(model: Nested) -> Nested:
    """A model as the numeric package reads it: scalars and fixed sizes among its tables."""
    scalars = {name: rounded(number) for name, number in model["scalars"].items()}
    fixed: Mapping[str, int] = model.get("sizes", {})
    own = {"rope_dim": fixed["k_turned"]} if "k_turned" in fixed else {}
    own |= {"top_k": int(model["scalars"]["top_k"])} if "top_k" in model["scalars"] else {}
    return {**{name: entry for name, entry in model.items() if name not in ("scalars", "sizes")}, **scalars, **own}
