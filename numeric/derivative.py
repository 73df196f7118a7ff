"""How an output changes to first order, by the complex step: f(x + i t d) = f(x) + i t f'(x) d, exact to rounding.

The forward pass of equations 1 to 5 on complex parameters.  Every operation is analytic but for relu, which lets
pass what has a positive real part, so that relu'(0) = 0.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .formats import Array

STEP = 1e-30  # small enough that its square vanishes, far above the smallest numbers

Nested = Mapping[str, Any]


def slope(nested: Nested, eps: float = 0.0) -> Array:
    """The derivative of the output (s x o), where every parameter is x + i STEP d for a value x in direction d.

    `nested` is {I, P, W_out, layers: [{g_MHA, ..., heads: [{W_Q, ...}]}]} with complex arrays.
    """
    return np.asarray(transformer(nested, eps).imag / STEP)


def transformer(nested: Nested, eps: float) -> Array:
    """Equation 1: Layer_N( ... Layer_1(I + P) ... ) W_out  (s x o)."""
    X = nested["I"] + nested["P"]
    for layer in nested["layers"]:
        X = X + mha(norm(X, layer["g_MHA"], eps), layer["heads"])
        X = X + mlp(norm(X, layer["g_MLP"], eps), layer)
    return np.asarray(X @ nested["W_out"])


def mha(X: Array, heads: list[Nested]) -> Array:
    """Equation 4: the sum over heads of Softmax(scale (X W_Q)(X W_K)') X W_V W_O  (s x h)."""
    return sum((attend(X, head) for head in heads), np.zeros_like(X))


def attend(X: Array, head: Nested) -> Array:
    scale = head.get("scale", head["W_Q"].shape[1] ** -0.5)
    scores = scale * (X @ head["W_Q"]) @ (X @ head["W_K"]).T
    powers = np.exp(scores - scores.real.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True) @ X @ head["W_V"] @ head["W_O"])


def mlp(X: Array, layer: Nested) -> Array:
    """Equation 3: ReLU(X W_l1 + 1 b_l1) W_l2 + 1 b_l2  (s x h)."""
    hidden = X @ layer["W_l1"] + layer["b_l1"]
    return np.asarray(np.where(hidden.real > 0, hidden, 0) @ layer["W_l2"] + layer["b_l2"])


def norm(X: Array, g: Array, eps: float) -> Array:
    """Equation 5, with eps added to the mean square  (s x h)."""
    return np.asarray(X / np.sqrt((X * X).sum(axis=1, keepdims=True) / X.shape[1] + eps) * g)
