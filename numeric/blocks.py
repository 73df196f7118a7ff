"""Random new blocks for each expansion: zero where a theorem says so, random everywhere else."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import DTypeLike

from .expansions import HiddenBlocks, HiddenHeadBlocks, HiddenLayerBlocks
from .formats import Array, as_dtype
from .model import Head, Layer, Model

# What each theorem (3.1 to 3.6) initialises with zero. W_O, W_l2 and b_l2 are those of the new layer.
ZEROS: dict[str, frozenset[str]] = {
    "mlp-expansion": frozenset({"M_W_l2"}),
    "head-addition": frozenset({"M_W_O"}),
    "heads-expansion": frozenset({"M_W_O"}),
    "attention-expansion": frozenset({"M_W_K"}),
    "hidden-expansion": frozenset({"M_I", "M_P", "M_W_l2", "M_b_l2", "M_W_O"}),
    "layer-addition": frozenset({"W_O", "W_l2", "b_l2"}),
}

Fill = Callable[[str, int, int], Array]


def random_fill(rng: np.random.Generator, zero: frozenset[str], dtype: DTypeLike) -> Fill:
    """A function (name, rows, columns) -> new block: zeros for the names in `zero`, random for others.

    Random blocks are normal with variance 1/rows, like the matrices of `random_model`.
    """
    target = as_dtype(dtype)

    def fill(name: str, rows: int, columns: int) -> Array:
        block = rng.standard_normal((rows, columns)) / np.sqrt(rows)  # drawn in any case, so that others stay
        return (np.zeros_like(block) if name in zero else block).astype(target)

    return fill


def mlp_blocks(layer: Layer, p_hat: int, fill: Fill) -> tuple[Array, Array, Array]:
    """M_W_l1, M_b_l1, M_W_l2 for `mlp_expansion` to width p_hat."""
    h, more = layer.W_l1.shape[0], p_hat - layer.p
    return fill("M_W_l1", h, more), fill("M_b_l1", 1, more), fill("M_W_l2", more, h)


def added_head(h: int, k: int, v: int, fill: Fill) -> Head:
    """The new head of `head_addition`, its blocks named M_W_Q to M_W_O."""
    return Head(fill("M_W_Q", h, k), fill("M_W_K", h, k), fill("M_W_V", h, v), fill("M_W_O", v, h))


def heads_blocks(head: Head, v_hat: int, fill: Fill) -> tuple[Array, Array]:
    """M_W_V, M_W_O for `heads_expansion` to value size v_hat."""
    h, more = head.W_V.shape[0], v_hat - head.v
    return fill("M_W_V", h, more), fill("M_W_O", more, h)


def attention_blocks(head: Head, k_hat: int, fill: Fill) -> tuple[Array, Array]:
    """M_W_Q, M_W_K for `attention_expansion` to key size k_hat."""
    h, more = head.W_Q.shape[0], k_hat - head.k
    return fill("M_W_Q", h, more), fill("M_W_K", h, more)


def hidden_blocks(model: Model, h_hat: int, fill: Fill) -> HiddenBlocks:
    """The blocks for `hidden_expansion` to width h_hat."""
    more = h_hat - model.h
    return HiddenBlocks(
        M_I=fill("M_I", model.s, more),
        M_P=fill("M_P", model.s, more),
        layers=tuple(_hidden_layer_blocks(layer, more, fill) for layer in model.layers),
        M_W_out=fill("M_W_out", more, model.W_out.shape[1]),
    )


def opposite_input(blocks: HiddenBlocks) -> HiddenBlocks:
    """The blocks with M_I = -M_P, all that theorem 3.5 needs of the two."""
    return replace(blocks, M_I=-blocks.M_P)


def added_layer(h: int, p: int, shapes: list[tuple[int, int]], fill: Fill) -> Layer:
    """The new layer of `layer_addition`, with one head per (k, v); blocks are named as its parameters."""
    return Layer(
        g_MHA=fill("g_MHA", 1, h),
        heads=tuple(
            Head(fill("W_Q", h, k), fill("W_K", h, k), fill("W_V", h, v), fill("W_O", v, h)) for k, v in shapes
        ),
        g_MLP=fill("g_MLP", 1, h),
        W_l1=fill("W_l1", h, p),
        b_l1=fill("b_l1", 1, p),
        W_l2=fill("W_l2", p, h),
        b_l2=fill("b_l2", 1, h),
    )


def _hidden_layer_blocks(layer: Layer, more: int, fill: Fill) -> HiddenLayerBlocks:
    return HiddenLayerBlocks(
        M_g_MHA=fill("M_g_MHA", 1, more),
        heads=tuple(
            HiddenHeadBlocks(
                M_W_Q=fill("M_W_Q", more, head.k),
                M_W_K=fill("M_W_K", more, head.k),
                M_W_V=fill("M_W_V", more, head.v),
                M_W_O=fill("M_W_O", head.v, more),
            )
            for head in layer.heads
        ),
        M_g_MLP=fill("M_g_MLP", 1, more),
        M_W_l1=fill("M_W_l1", more, layer.p),
        M_W_l2=fill("M_W_l2", layer.p, more),
        M_b_l2=fill("M_b_l2", 1, more),
    )
