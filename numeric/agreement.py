"""Do two models, each of its own architecture, compute the same?  With a measured bound for rounding errors.

The paper's forward pass has a derived bound (`error.py`); any other architecture is run in a wider format as well,
and what that changes, several times over, is what rounding may explain.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .architecture import output
from .compare import Agreement
from .error import row_norms
from .formats import Array, number_format
from .options import Architecture
from .settled import settled
from .tables import Table

SAFETY = 64  # how many times the measured rounding error may be exceeded before a difference counts
WIDER = {"bfloat16": np.float64, "float16": np.float64, "float32": np.float64, "float64": np.longdouble}

Model = tuple[Table, Architecture]


def difference(original: Model, expanded: Model, dtype: str = "float64") -> Agreement:
    """The outputs of two models given as tables with their architectures, in one of the four formats.

    Raises ValueError as `output` does, and for outputs of different shapes.
    """
    form = number_format(dtype)
    narrow = [outputs(model, lambda entries: settled(entries, form)) for model in (original, expanded)]
    if narrow[0].shape != narrow[1].shape:
        raise ValueError(f"output: found shape {narrow[1].shape}, expected {narrow[0].shape}")
    if np.array_equal(narrow[0], narrow[1]):
        return Agreement("output", 0.0, 0.0, form.eta, 0.0)
    wide = [outputs(model, lambda entries: form.load(entries).astype(WIDER[dtype])) for model in (original, expanded)]
    size = row_norms(narrow[0].astype(np.float64))
    errors = [row_norms((a - b).astype(np.float64)) for a, b in zip(narrow, wide, strict=True)]
    bound = SAFETY * (sum(errors) + form.u * size + form.eta)
    apart = np.abs(narrow[1].astype(np.float64) - narrow[0].astype(np.float64))
    ratios = row_norms(apart) / bound
    worst = int(ratios.argmax())
    with np.errstate(over="ignore"):  # the spacing at 0 is the smallest number
        ulps = apart / form.spacing(np.abs(narrow[0]).max(axis=1, keepdims=True))
    return Agreement("output", float(apart.max()), float(ulps.max()), float(bound[worst]), float(ratios[worst]))


def outputs(model: Model, change: Callable[[Array], Array]) -> Array:
    """What a model computes with every matrix changed  (s x o)."""
    tables, architecture = model
    return np.asarray(output(matrices(tables, change), architecture))


def matrices(nested: Any, change: Callable[[Array], Array]) -> Any:
    """The same tables with every matrix changed."""
    if isinstance(nested, dict):
        return {name: matrices(entry, change) for name, entry in nested.items()}
    if isinstance(nested, list):
        return [matrices(entry, change) for entry in nested]
    return change(nested) if isinstance(nested, np.ndarray) else nested
