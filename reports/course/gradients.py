"""The loss of a small transformer and its gradient, by hand: equations 1 to 5 forwards, and the chain rule backwards.

A model is a table {I, P, W_out, layers: [{..., heads: [{...}]}]} as everywhere.  Here I is the table of token
representations (n x h), and a batch of sequences (b x s, numbers of tokens) picks its rows.  The loss is the mean
cross entropy of the next token at the last position.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Tokens = NDArray[np.int64]
Table = dict[str, Any]


def loss_and_gradient(model: Table, tokens: Tokens, target: Tokens) -> tuple[float, Table]:
    """The loss, and a table of its derivatives with the shapes of the model."""
    X, backs = model["I"][tokens] + model["P"], []
    for layer in model["layers"]:
        X, back = layer_forward(layer, X)
        backs.append(back)
    logits = X[:, -1] @ model["W_out"]
    shifted = logits - logits.max(axis=1, keepdims=True)
    chances = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    rows = np.arange(len(tokens))
    loss = -float(np.log(chances[rows, target]).mean())
    chances[rows, target] -= 1
    d_logits = chances / len(tokens)
    dX = np.zeros_like(X)
    dX[:, -1] = d_logits @ model["W_out"].T
    d_layers = []
    for back in reversed(backs):
        dX, d_layer = back(dX)
        d_layers.append(d_layer)
    dI = np.zeros_like(model["I"])
    np.add.at(dI, tokens, dX)
    d_out = X[:, -1].T @ d_logits
    return loss, {"I": dI, "P": dX.sum(axis=0), "W_out": d_out, "layers": d_layers[::-1]}


def layer_forward(layer: Table, X: Array) -> tuple[Array, Any]:
    """Equation 2, and the way back: from the derivative of what comes out to that of X and of the layer."""
    read, back_norm = norm(X, layer["g_MHA"])
    heads = [head_forward(head, read) for head in layer["heads"]]
    Y = X + sum(written for written, _ in heads)
    read_too, back_norm_too = norm(Y, layer["g_MLP"])
    hidden = read_too @ layer["W_l1"] + layer["b_l1"]
    active = np.maximum(hidden, 0)
    Z = Y + active @ layer["W_l2"] + layer["b_l2"]

    def back(dZ: Array) -> tuple[Array, Table]:
        d_hidden = (dZ @ layer["W_l2"].T) * (hidden > 0)
        d_read, d_gain = back_norm_too(d_hidden @ layer["W_l1"].T)
        dY = dZ + d_read
        parts = [back_head(dY) for _, back_head in heads]
        d_read, d_gain_first = back_norm(sum(d for d, _ in parts))
        return dY + d_read, {
            "g_MHA": d_gain_first,
            "heads": [d_head for _, d_head in parts],
            "g_MLP": d_gain,
            "W_l1": weights(read_too, d_hidden),
            "b_l1": summed(d_hidden),
            "W_l2": weights(active, dZ),
            "b_l2": summed(dZ),
        }

    return Z, back


def head_forward(head: Table, X: Array) -> tuple[Array, Any]:
    """Equation 4 for one head, and the way back."""
    Q, K, V = X @ head["W_Q"], X @ head["W_K"], X @ head["W_V"]
    scale = head["W_Q"].shape[1] ** -0.5
    scores = scale * Q @ K.swapaxes(1, 2)
    powers = np.exp(scores - scores.max(axis=2, keepdims=True))
    A = powers / powers.sum(axis=2, keepdims=True)
    H = A @ V

    def back(dY: Array) -> tuple[Array, Table]:
        dH = dY @ head["W_O"].T
        dA = dH @ V.swapaxes(1, 2)
        d_scores = scale * A * (dA - (dA * A).sum(axis=2, keepdims=True))
        dQ, dK, dV = d_scores @ K, d_scores.swapaxes(1, 2) @ Q, A.swapaxes(1, 2) @ dH
        dX = dQ @ head["W_Q"].T + dK @ head["W_K"].T + dV @ head["W_V"].T
        found = {"W_Q": weights(X, dQ), "W_K": weights(X, dK), "W_V": weights(X, dV), "W_O": weights(H, dY)}
        return dX, found

    return H @ head["W_O"], back


def norm(X: Array, g: Array) -> tuple[Array, Any]:
    """Equation 5, and the way back."""
    root = np.sqrt((X * X).mean(axis=-1, keepdims=True))
    U = X / root

    def back(dN: Array) -> tuple[Array, Array]:
        dU = dN * g
        return (dU - U * (dU * U).mean(axis=-1, keepdims=True)) / root, summed(dN * U)

    return U * g, back


def weights(X: Array, dY: Array) -> Array:
    """The derivative of W in Y = X W, summed over the batch."""
    return np.einsum("bsi,bsj->ij", X, dY)


def summed(dY: Array) -> Array:
    """The derivative of a row that is added to (or multiplied into) every row."""
    return dY.sum(axis=(0, 1))[None, :]
