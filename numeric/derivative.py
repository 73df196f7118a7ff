"""How an output changes to first order, by the complex step: f(x + i t d) = f(x) + i t f'(x) d, exact to rounding.

The forward pass of `architecture.py` on complex parameters.  Every operation is analytic but for relu, which lets
pass what has a positive real part, so that relu'(0) = 0.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .architecture import output
from .formats import Array
from .options import Architecture
from .tables import Table

STEP = 1e-30  # small enough that its square vanishes, far above the smallest numbers


def slope(model: Table, options: Mapping[str, Any]) -> Array:
    """The derivative of the output (s x o), where every parameter is x + i STEP d for a value x in direction d.

    `model` is a table with complex arrays.  Raises ValueError as `output` does.
    """
    return np.asarray(output(model, Architecture.from_options(options)).imag / STEP)
