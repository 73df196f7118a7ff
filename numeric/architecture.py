"""One architecture description, and the forward pass that it drives: the paper's transformer with options.

`Architecture` says which parts a model has, `tables.py` which parameters that needs, and `output` computes. The
defaults are equations 1 to 5 of the paper. A model may have its own body for a sublayer (`bodies.py`). Every
operation but the branches of relu, top-k and mask is analytic, so complex parameters give derivatives by the complex
step.

In every function X is (s, h), tokens are rows; `model` is the outermost table, which holds the model's constants.
"""

from collections.abc import Iterable
from functools import reduce
from typing import Any

import numpy as np

from . import bodies
from .activations import ACTIVATIONS
from .formats import Array
from .options import Architecture
from .tables import Table, check_tables, number

# ---------------------------------------------------------------- equations 1 and 2


def output(model: Table, a: Architecture) -> Array:
    """The output (s x o), equation 1, in the dtype of the parameters.

    Raises ValueError when a table lacks a parameter, has one that the architecture does not use or one of a wrong
    shape, and when a norm without epsilon meets a row of zeros.
    """
    check_tables(model, a)
    X = embedding(model, a)
    for layer in model["layers"]:
        X = transformer_layer(X, layer, model, a)
    return readout(X, model, a)


def embedding(model: Table, a: Architecture) -> Array:
    """I + P, with I = tokens W_out' where tied and sqrt(h) I where scaled; then the embedding norm  (s x h)."""
    X = model["tokens"] @ model["W_out"].T if a.tied else model["I"]
    if a.embed_scale:
        X = X * number(model, "embed_scale", model["W_out"].shape[0] ** 0.5)
    if a.positions == "table":
        X = X + model["P"]
    return norm(X, "in", model, model, a) if a.embedding_norm else X


def readout(X: Array, model: Table, a: Architecture) -> Array:
    """X W_out after the final norm; X is multiplied by h^-1/2 where the logits are scaled  (s x o)."""
    if a.final_norm:
        X = norm(X, "out", model, model, a)
    if a.logit_scale:
        X = X * number(model, "logit_scale", X.shape[1] ** -0.5)
    return np.asanyarray(X @ model["W_out"])


def transformer_layer(X: Array, layer: Table, model: Table, a: Architecture) -> Array:
    """Equation 2: attention, then the MLP; parallel: their sum as one sublayer, with the norms of attention."""
    if a.parallel:
        return add(X, ("MHA", "MLP"), layer, model, a)
    return add(add(X, ("MHA",), layer, model, a), ("MLP",), layer, model, a)


def add(X: Array, names: tuple[str, ...], layer: Table, model: Table, a: Architecture) -> Array:
    """x + f(Norm(x)), Norm(x + f(x)), x + Norm(f(x)) or x + Norm_post(f(Norm(x))), f a sum of sublayers  (s x h)."""
    name, read = names[0], X
    if a.placement in ("pre", "sandwich"):
        read = norm(X, name, layer, model, a)
    written = total(sublayer(read, one, layer, model, a) for one in names)
    if a.placement == "output":
        written = norm(written, name, layer, model, a)
    if a.placement == "sandwich":
        written = norm(written, f"{name}_post", layer, model, a)
    X = X + written
    return norm(X, name, layer, model, a) if a.placement == "post" else X


def sublayer(X: Array, name: str, layer: Table, model: Table, a: Architecture) -> Array:
    """What the model's body of that sublayer computes from X; without one, what the architecture's does  (s x h)."""
    body = model.get("forward", {}).get(name, ("name", name))
    own = {one: SUBLAYERS[one](X, layer, model, a) for one in bodies.names(body) & {*SUBLAYERS}}
    return bodies.computed(name, body, {**layer, **own, bodies.INPUT: X}, ACTIVATIONS[a.act])


# ---------------------------------------------------------------- equation 3


def mlp(X: Array, layer: Table, model: Table, a: Architecture) -> Array:
    """Equation 3, gated or plain; or the mixture: sum_e diag(w_e) MLP_e(X) with the router's weights  (s x h)."""
    if not a.experts:
        return feed_forward(X, layer, a)
    weights = router(X @ layer["W_R"], number(model, "top_k"), a)
    return total(weights[:, [e]] * feed_forward(X, expert, a) for e, expert in enumerate(layer["experts"]))


def feed_forward(X: Array, owner: Table, a: Architecture) -> Array:
    """act(X W_l1 + b_l1) W_l2 + b_l2, or gated (act(X W_gate + b_gate) o (X W_l1 + b_l1)) W_l2 + b_l2  (s x h)."""
    act, hidden = ACTIVATIONS[a.act], affine(X, owner, "l1")
    hidden = act(hidden) if a.mlp == "plain" else act(affine(X, owner, "gate")) * hidden
    return affine(hidden, owner, "l2")


def router(scores: Array, top_k: int, a: Architecture) -> Array:
    """The softmax of every row, its top_k largest entries kept; made to sum to one where renormalised  (s x n)."""
    weights = softmax(scores)
    order = np.argsort(-weights.real, axis=1, kind="stable")
    kept = np.zeros(weights.shape, bool)
    np.put_along_axis(kept, order[:, :top_k], True, axis=1)
    weights = np.where(kept, weights, 0)
    return np.asanyarray(weights / weights.sum(axis=1, keepdims=True)) if a.router == "renormalised" else weights


# ---------------------------------------------------------------- equation 4


def mha(X: Array, layer: Table, model: Table, a: Architecture) -> Array:
    """The sum of all heads  sum_e H_e W_O,e + b_O  (s x h); heads of a group share keys and values."""
    groups = [(group, group["heads"]) for group in layer["groups"]] if a.groups else [(e, [e]) for e in layer["heads"]]
    Y = total(attend(X, shared, heads, model, a) for shared, heads in groups)
    return Y + layer["b_O"] if a.attention_bias == "qkvo" else Y


def attend(X: Array, shared: Table, heads: list[Table], model: Table, a: Architecture) -> Array:
    """Equation 4 for the heads of one group: sum_e Softmax(scores_e) (X W_V + b_V) W_O,e  (s x h)."""
    K = turned(affine(X, shared, "K"), "K", shared, model, a)
    V = affine(X, shared, "V")
    return total(softmax(scores(X, K, head, model, a)) @ V @ head["W_O"] for head in heads)


def scores(X: Array, K: Array, head: Table, model: Table, a: Architecture) -> Array:
    """scale Q K' + B_pos, -inf where token i may not see token j > i  (s x s)."""
    Q = turned(affine(X, head, "Q"), "Q", head, model, a)
    S = (factor(head, model, a) * Q) @ K.T
    if a.positions == "bias":
        S = S + head["B_pos"]
    return np.where(np.tri(len(X), dtype=bool), S, -np.inf) if a.mask == "causal" else S


def factor(head: Table, model: Table, a: Architecture) -> Any:
    """The factor of a head's scores: its own one, or 1/sqrt(k), a constant, or 1."""
    if "scale" in head:
        return number(head, "scale")
    if a.scale == "constant":
        return number(model, "scale")
    return head["W_Q"].shape[1] ** -0.5 if a.scale == "sqrt" else 1.0


def turned(Y: Array, name: str, owner: Table, model: Table, a: Architecture) -> Array:
    """Queries or keys (s x k) as the scores read them: normed where q and k are, then rotated by their position."""
    if a.qk_norm:
        Y = rms(Y, f"g_{name}", number(model, "eps_qk", 0.0)) * gain(owner[f"g_{name}"], a)
    return rotary(Y, model, a) if a.positions == "rotary" else Y


def rotary(Y: Array, model: Table, a: Architecture) -> Array:
    """Pair j of row i, of the first r columns of Y (s x k), is rotated by the angle i theta_j; j = 0 .. r/2 - 1."""
    r = number(model, "rope_dim") if a.rope_part == "part" else Y.shape[1]
    angles = np.arange(len(Y))[:, None] * frequencies(r, model, a)
    cos, sin = np.cos(angles), np.sin(angles)
    if not np.iscomplexobj(angles):
        cos, sin = cos.astype(Y.real.dtype), sin.astype(Y.real.dtype)
    interleaved, half = (slice(0, r, 2), slice(1, r, 2)), (slice(0, r // 2), slice(r // 2, r))
    one, two = interleaved if a.rope_layout == "interleaved" else half
    rotated = Y.astype(np.result_type(cos, Y))
    rotated[:, one] = cos * Y[:, one] - sin * Y[:, two]
    rotated[:, two] = sin * Y[:, one] + cos * Y[:, two]
    return rotated


def frequencies(r: int, model: Table, a: Architecture) -> Array:
    """theta_j = base^(-2 j / r), or the table's  (1 x r/2)."""
    if a.rope_frequencies == "table":
        return np.asanyarray(model["rope_freqs"])
    return np.asanyarray(number(model, "rope_base", 10000.0) ** (-np.arange(0, r, 2)[None, :] / r))


def softmax(scores: Array) -> Array:
    """Softmax along rows, shifted by each row's maximum so that no exponential overflows."""
    powers = np.exp(scores - scores.real.max(axis=1, keepdims=True))
    return np.asanyarray(powers / powers.sum(axis=1, keepdims=True))


SUBLAYERS = {"MHA": mha, "MLP": mlp}


# ---------------------------------------------------------------- equation 5, and what all use


def norm(X: Array, name: str, owner: Table, model: Table, a: Architecture) -> Array:
    """RMSNorm (equation 5), LayerNorm (the same of X less its rows' means) or X itself; plus the bias  (s x h)."""
    if a.norm == "none":
        return X
    if a.norm == "layer":
        X = X - X.mean(axis=1, keepdims=True)
    normed = rms(X, f"g_{name}", number(model, "eps", 0.0)) * gain(owner[f"g_{name}"], a)
    return normed + owner[f"c_{name}"] if a.norm_bias else normed


def rms(X: Array, name: str, eps: Any) -> Array:
    """Every row divided by the root of its mean square plus eps. Raises ValueError where that is zero: 0/0."""
    square = (X * X).sum(axis=1, keepdims=True) / X.shape[1] + eps
    if not square.all():
        row = int(np.flatnonzero(square == 0)[0])
        raise ValueError(f"{name}: found row [{row}] before the norm zero with eps = 0, expected no 0/0")
    return np.asanyarray(X / np.sqrt(square))


def gain(g: Array, a: Architecture) -> Array:
    """What a norm multiplies by: the stored gains, or these plus one  (1 x h)."""
    return 1 + g if a.norm_gain == "1 + g" else g


def affine(X: Array, owner: Table, name: str) -> Array:
    """X W + 1 b, without the bias where there is none."""
    product = X @ owner[f"W_{name}"]
    return np.asanyarray(product + owner[f"b_{name}"] if f"b_{name}" in owner else product)


def total(matrices: Iterable[Array]) -> Array:
    return reduce(np.add, matrices)
