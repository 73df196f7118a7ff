"""A variant on random numbers in every floating-point format: evidence, never a proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..numeric.compare import Agreement
from ..symbolic.architecture import parameters
from ..symbolic.evaluate import Array
from ..symbolic.expand import Expansion
from ..symbolic.floats import float_arithmetic
from ..symbolic.instances import grown, with_matrices
from .comparison import compared, is_paper
from .drawing import RANDOM, Profile, drawn_blocks, drawn_model, fitting

FORMATS = ("float64", "float32", "float16", "bfloat16")
PROFILE = Profile({"s": 4, "h": 6, "p": 6, "k": 6, "v": 6, "o": 3}, 2, 2, 2)  # halves and thirds are whole


@dataclass(frozen=True)
class Outcome:
    """Both models on the same numbers in one format."""

    dtype: str
    sizes: Mapping[str, int] = field(hash=False)
    agreement: Agreement


def experiment(steps: Sequence[Expansion], seed: int = 0) -> tuple[Outcome, ...]:
    """A chain on one random model, in each format; nothing where the constraints could not be met."""
    formats = FORMATS if is_paper(steps) else FORMATS[:2]
    return tuple(found for dtype in formats if (found := outcome(steps, dtype, seed)) is not None)


def outcome(steps: Sequence[Expansion], dtype: str, seed: int) -> Outcome | None:
    rng = np.random.default_rng(seed)
    arithmetic = float_arithmetic(kind(dtype))

    def entries(rows: int, columns: int) -> Array:
        return rng.standard_normal((rows, columns)) / np.sqrt(max(rows, 2))

    preset = steps[0].old.preset
    old = in_format(drawn_model(preset, PROFILE, entries, RANDOM), dtype)
    current, sizes = old, fitting(PROFILE.sizes, preset)
    for step in steps:
        new = drawn_blocks(step, current, PROFILE, entries, rng)
        if new is None:
            return None
        sizes |= {name: n for name, n in new["sizes"].items() if name != "f" and name not in old["scalars"]}
        current = grown(step, current, in_format(new, dtype), arithmetic)
    scalings = dict.fromkeys(parameters(preset), len(steps))
    return Outcome(dtype, sizes, compared(steps, old, current, dtype, scalings))


def kind(dtype: str) -> Any:
    """numpy's type of a format's name; bfloat16 comes from ml_dtypes."""
    if dtype != "bfloat16":
        return np.dtype(dtype)
    import ml_dtypes  # here, because importing it costs time

    return np.dtype(ml_dtypes.bfloat16)


def in_format(nested: Any, dtype: str) -> Any:
    """The same tables with every matrix rounded to a format."""
    return with_matrices(nested, lambda entries: entries.astype(kind(dtype)))
