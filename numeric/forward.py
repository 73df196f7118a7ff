"""The forward pass: equations 1 to 5 of the paper, over any batch, all tokens and all heads at once.

In every function X is (..., s, h): leading axes are a batch. Each named operation (norm, queries, keys,
values, attention weights, context, MLP activations, sublayer outputs, residual sums) is computed in the
working format and rounded to the model's format once, see `formats.py`. Heads of equal shape are computed by
one batched product. `mha_values` and `mlp_values` keep the intermediate values: the error analysis of
`error.py` reads them, so it speaks of exactly the numbers that were computed.
"""

from dataclasses import dataclass

import numpy as np

from .formats import Array, Format, number_format
from .model import Head, Layer, Model, check_input


@dataclass(frozen=True, eq=False)
class HeadGroup:
    """The values of G heads of equal shape: Q, K are (..., G, s, k), V and contexts H (..., G, s, v)."""

    heads: tuple[Head, ...]
    Q: Array
    K: Array
    V: Array
    H: Array


@dataclass(frozen=True, eq=False)
class MHAValues:
    """What equation 4 computes on the way: the stream X, its norm, the heads in groups, and the output."""

    X: Array
    norm: Array
    groups: tuple[HeadGroup, ...]
    output: Array


@dataclass(frozen=True, eq=False)
class MLPValues:
    """What equation 3 computes on the way: the stream X, its norm, activations (..., s, p), output."""

    X: Array
    norm: Array
    activations: Array
    output: Array


def transformer(model: Model, I: Array, eps: float = 0.0) -> Array:
    """The model's output (..., s, o) for the input I (..., s, h), equation 1, in the model's dtype.

    eps is added to the mean square in both norms. Raises ValueError when I has a wrong shape, the dtype is
    not one of the four formats, or eps = 0 and a norm meets a row of zeros.
    """
    form = number_format(model.dtype)
    X = embed(model, I)
    for layer in model.layers:
        X = form.settle(X + mha_values(layer, X, eps, form).output)
        X = form.settle(X + mlp_values(layer, X, eps, form).output)
    return form.round(project(model, X))


def mha(layer: Layer, X: Array, eps: float = 0.0) -> Array:
    """MHA(Norm_MHA(X)) of equations 2 and 4, without residual. Raises ValueError as `transformer` does."""
    form = number_format(layer.g_MHA.dtype)
    return form.round(mha_values(layer, form.load(X), eps, form).output)


def mlp(layer: Layer, X: Array, eps: float = 0.0) -> Array:
    """MLP(Norm_MLP(X)) of equations 2 and 3, without residual. Raises ValueError as `transformer` does."""
    form = number_format(layer.g_MLP.dtype)
    return form.round(mlp_values(layer, form.load(X), eps, form).output)


def embed(model: Model, I: Array) -> Array:
    """I + P, in the working format. Raises ValueError when I has a wrong shape."""
    form = number_format(model.dtype)
    return form.settle(form.load(check_input(model, I)) + form.load(model.P))


def project(model: Model, X: Array) -> Array:
    """X W_out, in the working format."""
    form = number_format(model.dtype)
    return form.settle(_product(X, form.load(model.W_out)))


def mha_values(layer: Layer, X: Array, eps: float, form: Format) -> MHAValues:
    """MHA(Norm_MHA(X)) with its intermediate values; X is held in the working format."""
    normed = norm(X, layer.g_MHA, eps, form)
    groups = tuple(_attend(normed, heads, form) for heads in _by_shape(layer.heads))
    contexts = np.concatenate([_side_by_side(group.H) for group in groups], axis=-1)
    W_O = np.concatenate([form.load(head.W_O) for group in groups for head in group.heads])
    return MHAValues(X, normed, groups, form.settle(_product(contexts, W_O)))


def mlp_values(layer: Layer, X: Array, eps: float, form: Format) -> MLPValues:
    """MLP(Norm_MLP(X)) with its intermediate values; X is held in the working format."""
    normed = norm(X, layer.g_MLP, eps, form)
    hidden = _product(normed, form.load(layer.W_l1))
    hidden += form.load(layer.b_l1)
    activations = form.settle(np.maximum(hidden, 0, out=hidden))
    output = _product(activations, form.load(layer.W_l2))
    output += form.load(layer.b_l2)
    return MLPValues(X, normed, activations, form.settle(output))


def norm(X: Array, g: Array, eps: float, form: Format) -> Array:
    """RMSNorm, equation 5: every row divided by its root mean square, times the gains g.

    Raises ValueError, naming the row, where the mean square plus eps is zero: 0/0.
    """
    mean_square = np.einsum("...i,...i->...", X, X) / X.shape[-1] + X.dtype.type(eps)
    if not mean_square.all():
        row = ", ".join(str(i) for i in np.argwhere(mean_square == 0)[0])
        raise ValueError(f"norm: found row [{row}] of the stream zero with eps = 0, expected no 0/0")
    normed = X / np.sqrt(mean_square)[..., None]
    normed *= form.load(g)
    return form.settle(normed)


def _attend(normed: Array, heads: tuple[Head, ...], form: Format) -> HeadGroup:
    """Equation 4 before W_O, for heads of equal shape and factor; the factor multiplies the queries."""
    Q, K, V = (
        _split(_product(normed, form.load(np.concatenate(matrices, axis=1))), len(heads), form)
        for matrices in zip(*((head.W_Q, head.W_K, head.W_V) for head in heads), strict=True)
    )
    given, k = heads[0].scale, heads[0].k
    scale = 1 / np.sqrt(Q.dtype.type(k)) if given is None else Q.dtype.type(given)
    weights = form.settle(_softmax(np.matmul(Q * scale, np.swapaxes(K, -1, -2))))
    return HeadGroup(heads, Q, K, V, form.settle(np.matmul(weights, V)))


def _softmax(scores: Array) -> Array:
    """Softmax along rows, shifted by each row's maximum so that no exponential overflows; in place."""
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores


def _by_shape(heads: tuple[Head, ...]) -> list[tuple[Head, ...]]:
    """The heads in groups of equal (k, v) and factor, in order of first appearance."""
    groups: dict[tuple[int, int, float | None], list[Head]] = {}
    for head in heads:
        groups.setdefault((head.k, head.v, head.scale), []).append(head)
    return [tuple(group) for group in groups.values()]


def _split(product: Array, G: int, form: Format) -> Array:
    """(..., s, G n) -> (..., G, s, n), rounded: one matrix per head."""
    *batch, s, width = product.shape
    return form.settle(product).reshape(*batch, s, G, width // G).swapaxes(-2, -3)


def _side_by_side(H: Array) -> Array:
    """(..., G, s, v) -> (..., s, G v): the contexts [H_1 ... H_G]."""
    *batch, G, s, v = H.shape
    return H.swapaxes(-2, -3).reshape(*batch, s, G * v)


def _product(X: Array, W: Array) -> Array:
    """X W as one matrix product over all rows of the batch."""
    rows = X.reshape(-1, X.shape[-1]) @ W
    return np.asarray(rows.reshape(*X.shape[:-1], W.shape[1]))
