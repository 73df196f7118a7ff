"""The six expansions as functions on parameters, written from definitions 3.1 to 3.6 of the paper.

Every new block is given by the caller; nothing here asks whether it meets its theorem's constraint. A scalar
factor is rounded once from its exact value (`rounding.py`), and multiplies in the model's dtype. Layers,
heads and positions are numbered from 1, as in the paper.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

import numpy as np

from .formats import Array
from .model import Head, Layer, Model, check_input
from .rounding import rounded_sqrt

Part = TypeVar("Part", Layer, Head)


@dataclass(frozen=True, eq=False)
class HiddenHeadBlocks:
    """New blocks of one head in definition 3.5, for d = h_hat - h: d x k, d x k, d x v, v x d."""

    M_W_Q: Array
    M_W_K: Array
    M_W_V: Array
    M_W_O: Array


@dataclass(frozen=True, eq=False)
class HiddenLayerBlocks:
    """New blocks of one layer in definition 3.5: gains 1 x d, M_W_l1 d x p, M_W_l2 p x d, M_b_l2 1 x d."""

    M_g_MHA: Array
    heads: tuple[HiddenHeadBlocks, ...]
    M_g_MLP: Array
    M_W_l1: Array
    M_W_l2: Array
    M_b_l2: Array


@dataclass(frozen=True, eq=False)
class HiddenBlocks:
    """New blocks of a model in definition 3.5: M_I and M_P s x d, M_W_out d x o, and those of its layers."""

    M_I: Array
    M_P: Array
    layers: tuple[HiddenLayerBlocks, ...]
    M_W_out: Array


def mlp_expansion(layer: Layer, M_W_l1: Array, M_b_l1: Array, M_W_l2: Array) -> Layer:
    """Definition 3.1, p -> p_hat: M_W_l1 is h x q, M_b_l1 is 1 x q, M_W_l2 is q x h for q = p_hat - p.

    Raises ValueError where a block does not fit.
    """
    return replace(
        layer,
        W_l1=_beside(layer.W_l1, M_W_l1, "M_W_l1"),
        b_l1=_beside(layer.b_l1, M_b_l1, "M_b_l1"),
        W_l2=_below(layer.W_l2, M_W_l2, "M_W_l2"),
    )


def head_addition(layer: Layer, head: Head) -> Layer:
    """Definition 3.2, E -> E + 1: a new head, whose W_O is the paper's M_W_O, at the end."""
    return replace(layer, heads=(*layer.heads, head))


def heads_expansion(head: Head, M_W_V: Array, M_W_O: Array) -> Head:
    """Definition 3.3 for one head, v -> v_hat: M_W_V is h x (v_hat - v), M_W_O is (v_hat - v) x h.

    Raises ValueError where a block does not fit.
    """
    return replace(head, W_V=_beside(head.W_V, M_W_V, "M_W_V"), W_O=_below(head.W_O, M_W_O, "M_W_O"))


def attention_expansion(head: Head, M_W_Q: Array, M_W_K: Array) -> Head:
    """Definition 3.4 for one head, k -> k_hat: blocks are h x (k_hat - k); W_K is scaled by sqrt(k_hat/k).

    Raises ValueError where a block does not fit.
    """
    W_Q = _beside(head.W_Q, M_W_Q, "M_W_Q")
    scale = rounded_sqrt(Fraction(W_Q.shape[1], head.k), head.W_K.dtype)
    return replace(head, W_Q=W_Q, W_K=_beside(scale * head.W_K, M_W_K, "M_W_K"))


def hidden_expansion(model: Model, I: Array, blocks: HiddenBlocks) -> tuple[Model, Array]:
    """Definition 3.5, h -> h_hat: the expanded model and its input; gains are scaled by sqrt(h/h_hat).

    A batch of inputs shares M_I. Raises ValueError where a block does not fit.
    """
    M_I = np.broadcast_to(blocks.M_I, (*check_input(model, I).shape[:-1], blocks.M_I.shape[-1]))
    P = _beside(model.P, blocks.M_P, "M_P")
    scale = rounded_sqrt(Fraction(model.h, P.shape[1]), model.dtype)
    layers = tuple(_hidden_layer(layer, scale, new) for layer, new in zip(model.layers, blocks.layers, strict=True))
    return Model(P, layers, _below(model.W_out, blocks.M_W_out, "M_W_out")), _beside(I, M_I, "M_I")


def layer_addition(model: Model, layer: Layer, position: int) -> Model:
    """Definition 3.6, N -> N + 1: the new layer takes the given position in 1..N+1, later ones shift.

    Raises ValueError for any other position, and where the layer does not fit.
    """
    if not 1 <= position <= len(model.layers) + 1:
        raise ValueError(f"position: found {position}, expected 1 to {len(model.layers) + 1}")
    before, after = model.layers[: position - 1], model.layers[position - 1 :]
    return replace(model, layers=(*before, layer, *after))


def on_layers(model: Model, change: Callable[[Layer], Layer], chosen: Collection[int] | None = None) -> Model:
    """The model with `change` applied to the chosen layers (all when None), numbered from 1.

    Raises ValueError for a number that no layer has.
    """
    return replace(model, layers=_on(model.layers, change, chosen, "layer"))


def on_heads(layer: Layer, change: Callable[[Head], Head], chosen: Collection[int] | None = None) -> Layer:
    """The layer with `change` applied to the chosen heads (all when None), numbered from 1.

    Raises ValueError for a number that no head has.
    """
    return replace(layer, heads=_on(layer.heads, change, chosen, "head"))


def _on(
    parts: tuple[Part, ...], change: Callable[[Part], Part], chosen: Collection[int] | None, kind: str
) -> tuple[Part, ...]:
    numbers = range(1, len(parts) + 1)
    for number in chosen or ():
        if number not in numbers:
            raise ValueError(f"{kind}: found number {number}, expected 1 to {len(parts)}")
    return tuple(
        change(part) if chosen is None or number in chosen else part
        for number, part in zip(numbers, parts, strict=True)
    )


def _hidden_layer(layer: Layer, scale: Array, new: HiddenLayerBlocks) -> Layer:
    return Layer(
        g_MHA=_beside(scale * layer.g_MHA, new.M_g_MHA, "M_g_MHA"),
        heads=tuple(_hidden_head(head, blocks) for head, blocks in zip(layer.heads, new.heads, strict=True)),
        g_MLP=_beside(scale * layer.g_MLP, new.M_g_MLP, "M_g_MLP"),
        W_l1=_below(layer.W_l1, new.M_W_l1, "M_W_l1"),
        b_l1=layer.b_l1,
        W_l2=_beside(layer.W_l2, new.M_W_l2, "M_W_l2"),
        b_l2=_beside(layer.b_l2, new.M_b_l2, "M_b_l2"),
    )


def _hidden_head(head: Head, new: HiddenHeadBlocks) -> Head:
    return Head(
        W_Q=_below(head.W_Q, new.M_W_Q, "M_W_Q"),
        W_K=_below(head.W_K, new.M_W_K, "M_W_K"),
        W_V=_below(head.W_V, new.M_W_V, "M_W_V"),
        W_O=_beside(head.W_O, new.M_W_O, "M_W_O"),
    )


def _beside(A: Array, M: Array, name: str) -> Array:
    """[A M]."""
    if M.shape[:-1] != A.shape[:-1]:
        rows = ", ".join(str(size) for size in A.shape[:-1])
        raise ValueError(f"{name}: found shape {M.shape}, expected ({rows}, any)")
    return np.concatenate([A, M], axis=-1)


def _below(A: Array, M: Array, name: str) -> Array:
    """[A ; M]."""
    if M.shape[1:] != A.shape[1:]:
        raise ValueError(f"{name}: found shape {M.shape}, expected (any, {A.shape[1]})")
    return np.concatenate([A, M])
