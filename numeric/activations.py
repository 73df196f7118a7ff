"""The activation functions, element by element, real or complex: analytic but for the branch of relu.

On complex arguments each one is right to first order in the imaginary part, which is what the complex step needs.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

from .formats import Array


def relu(x: Array) -> Array:
    """max(x, 0); its branch is that of the real part, so that relu'(0) = 0."""
    return np.where(x.real > 0, x, 0).astype(x.dtype, copy=False)


def gelu(x: Array) -> Array:
    """x Phi(x), Phi the distribution function of the standard normal: (1 + erf(x / sqrt(2))) / 2."""
    return np.asanyarray(0.5 * x * (1 + erf(x * 0.5**0.5)))


def gelu_tanh(x: Array) -> Array:
    """GELU's approximation x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2; also called gelu_new."""
    return np.asanyarray(0.5 * x * (1 + np.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x * x * x))))


def quick_gelu(x: Array) -> Array:
    """x sigmoid(1.702 x)."""
    return np.asanyarray(x * sigmoid(1.702 * x))


def silu(x: Array) -> Array:
    """x sigmoid(x)."""
    return np.asanyarray(x * sigmoid(x))


def tanh(x: Array) -> Array:
    return np.asanyarray(np.tanh(x))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), as exp(x) / (1 + exp(x)) where x < 0, so that nothing overflows."""
    negative = x.real < 0
    power = np.exp(np.where(negative, x, -x))
    return np.asanyarray(np.where(negative, power, 1) / (1 + power))


def erf(x: Array) -> Array:
    """The error function; erf(a + i b) is taken as erf(a) + i b erf'(a), erf'(a) = 2/sqrt(pi) exp(-a^2)."""
    real = np.fromiter(map(math.erf, x.real.ravel().tolist()), x.real.dtype, x.size).reshape(x.shape)
    if not np.iscomplexobj(x):
        return real
    return np.asanyarray(real + 1j * x.imag * 2 / math.pi**0.5 * np.exp(-x.real * x.real))


ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "relu": relu,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
    "silu": silu,
    "tanh": tanh,
    "sigmoid": sigmoid,
}
