"""Definitions 3.1 to 3.6, entry by entry, and where they apply."""

from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pytest

from growproof.numeric.blocks import (
    ZEROS,
    Fill,
    added_head,
    added_layer,
    attention_blocks,
    heads_blocks,
    hidden_blocks,
    mlp_blocks,
    opposite_input,
    random_fill,
)
from growproof.numeric.expansions import (
    attention_expansion,
    head_addition,
    heads_expansion,
    hidden_expansion,
    layer_addition,
    mlp_expansion,
    on_heads,
    on_layers,
)
from growproof.numeric.formats import FORMATS, as_dtype
from growproof.numeric.model import Head, Model, random_model, random_rows
from growproof.numeric.rounding import rounded_sqrt


def small(dtype: str = "float64") -> Model:
    rng = np.random.default_rng(0)
    return random_model(rng, s=3, h=4, o=2, p=[5, 6], heads=[[(2, 3), (1, 2)], [(4, 1)]], dtype=dtype)


def free(dtype: str = "float64") -> Fill:
    """Every new block random."""
    return random_fill(np.random.default_rng(1), frozenset(), dtype)


def equal(A: np.ndarray, B: np.ndarray) -> bool:
    return A.dtype == B.dtype and bool(np.array_equal(A, B))


def test_definition_3_1() -> None:
    layer = small().layers[0]
    M_W_l1, M_b_l1, M_W_l2 = mlp_blocks(layer, 7, free())
    new = mlp_expansion(layer, M_W_l1, M_b_l1, M_W_l2)
    assert equal(new.W_l1, np.hstack([layer.W_l1, M_W_l1]))
    assert equal(new.b_l1, np.hstack([layer.b_l1, M_b_l1]))
    assert equal(new.W_l2, np.vstack([layer.W_l2, M_W_l2]))
    assert (new.g_MHA, new.heads, new.g_MLP, new.b_l2) == (layer.g_MHA, layer.heads, layer.g_MLP, layer.b_l2)


def test_definition_3_2() -> None:
    layer = small().layers[0]
    head = added_head(4, 5, 6, free())
    assert head_addition(layer, head).heads == (*layer.heads, head)


def test_definition_3_3() -> None:
    head = small().layers[0].heads[0]
    M_W_V, M_W_O = heads_blocks(head, 7, free())
    new = heads_expansion(head, M_W_V, M_W_O)
    assert equal(new.W_V, np.hstack([head.W_V, M_W_V]))
    assert equal(new.W_O, np.vstack([head.W_O, M_W_O]))
    assert new.W_Q is head.W_Q
    assert new.W_K is head.W_K


@pytest.mark.parametrize("dtype", FORMATS)
def test_definition_3_4_scales_the_keys_once(dtype: str) -> None:
    head = small(dtype).layers[0].heads[0]
    M_W_Q, M_W_K = attention_blocks(head, 7, free(dtype))
    new = attention_expansion(head, M_W_Q, M_W_K)
    scale = rounded_sqrt(Fraction(7, 2), dtype)
    exact = head.W_K.astype(np.longdouble) * np.longdouble(float(scale))
    assert equal(new.W_Q, np.hstack([head.W_Q, M_W_Q]))
    assert equal(new.W_K, np.hstack([exact.astype(np.float64).astype(as_dtype(dtype)), M_W_K]))


@pytest.mark.parametrize("dtype", FORMATS)
def test_definition_3_5(dtype: str) -> None:
    model = small(dtype)
    I = random_rows(np.random.default_rng(2), 6, 4, dtype).reshape(2, 3, 4)
    new = hidden_blocks(model, 6, free(dtype))
    expanded, I_hat = hidden_expansion(model, I, new)
    scale = rounded_sqrt(Fraction(4, 6), dtype)
    assert equal(I_hat, np.concatenate([I, np.stack([new.M_I] * 2)], axis=-1))
    assert equal(expanded.P, np.hstack([model.P, new.M_P]))
    assert equal(expanded.W_out, np.vstack([model.W_out, new.M_W_out]))
    for layer, wide, blocks in zip(model.layers, expanded.layers, new.layers, strict=True):
        assert equal(wide.g_MHA, np.hstack([scale * layer.g_MHA, blocks.M_g_MHA]))
        assert equal(wide.g_MLP, np.hstack([scale * layer.g_MLP, blocks.M_g_MLP]))
        assert equal(wide.W_l1, np.vstack([layer.W_l1, blocks.M_W_l1]))
        assert equal(wide.W_l2, np.hstack([layer.W_l2, blocks.M_W_l2]))
        assert equal(wide.b_l2, np.hstack([layer.b_l2, blocks.M_b_l2]))
        assert wide.b_l1 is layer.b_l1
        for head, wide_head, more in zip(layer.heads, wide.heads, blocks.heads, strict=True):
            for name in ("W_Q", "W_K", "W_V"):
                extended = np.vstack([getattr(head, name), getattr(more, "M_" + name)])
                assert equal(getattr(wide_head, name), extended)
            assert equal(wide_head.W_O, np.hstack([head.W_O, more.M_W_O]))


@pytest.mark.parametrize("position", [1, 2, 3])
def test_definition_3_6(position: int) -> None:
    model = small()
    layer = added_layer(4, 3, [(2, 2)], free())
    layers = layer_addition(model, layer, position).layers
    assert layers[position - 1] is layer
    assert tuple(each for each in layers if each is not layer) == model.layers


def test_an_expansion_may_go_to_chosen_layers_and_heads_only() -> None:
    model = small()

    def change(head: Head) -> Head:
        return heads_expansion(head, *heads_blocks(head, head.v + 2, free()))

    new = on_layers(model, lambda layer: on_heads(layer, change, {2}), {1})
    assert [[head.v for head in layer.heads] for layer in new.layers] == [[3, 4], [1]]
    assert new.layers[1] is model.layers[1]
    assert new.layers[0].heads[0] is model.layers[0].heads[0]


def test_numbers_that_do_not_exist_are_an_error() -> None:
    model = small()
    with pytest.raises(ValueError, match="layer: found number 0, expected 1 to 2"):
        on_layers(model, lambda layer: layer, {0})
    with pytest.raises(ValueError, match="head: found number 2, expected 1 to 1"):
        on_heads(model.layers[1], lambda head: head, {2})
    with pytest.raises(ValueError, match="position: found 4, expected 1 to 3"):
        layer_addition(model, model.layers[0], 4)


def test_a_block_that_does_not_fit_is_named() -> None:
    layer = small().layers[0]
    M_W_l1, M_b_l1, M_W_l2 = mlp_blocks(layer, 7, free())
    with pytest.raises(ValueError, match=r"M_W_l2: found shape \(2, 3\), expected \(any, 4\)"):
        mlp_expansion(layer, M_W_l1, M_b_l1, M_W_l2[:, :3])
    with pytest.raises(ValueError, match=r"M_W_V: found shape \(3, 4\), expected \(4, any\)"):
        heads_expansion(layer.heads[0], *heads_blocks(replace(layer.heads[0], W_V=np.ones((3, 3))), 7, free()))


def test_initialisers_set_the_theorems_zeros_and_nothing_else() -> None:
    model = small()
    zeros = random_fill(np.random.default_rng(0), ZEROS["hidden-expansion"], "float64")
    blocks = hidden_blocks(model, 6, zeros)
    assert not blocks.M_I.any()
    assert not blocks.M_P.any()
    assert blocks.M_W_out.all()
    for layer in blocks.layers:
        assert not layer.M_W_l2.any()
        assert not layer.M_b_l2.any()
        assert layer.M_g_MHA.all()
        assert layer.M_g_MLP.all()
        assert layer.M_W_l1.all()
        for head in layer.heads:
            assert {f.name for f in fields(head) if not getattr(head, f.name).any()} == {"M_W_O"}


def test_freeing_one_block_leaves_the_others_as_they_were() -> None:
    """So that a negative control differs from its theorem in one thing only."""
    layer = small().layers[0]
    theorem = mlp_blocks(layer, 7, random_fill(np.random.default_rng(0), frozenset({"M_W_l2"}), "float64"))
    control = mlp_blocks(layer, 7, random_fill(np.random.default_rng(0), frozenset(), "float64"))
    assert equal(theorem[0], control[0])
    assert equal(theorem[1], control[1])
    assert not theorem[2].any()
    assert control[2].all()


def test_opposite_input_cancels_the_positions() -> None:
    blocks = opposite_input(hidden_blocks(small(), 6, free()))
    assert blocks.M_P.all()
    assert not (blocks.M_I + blocks.M_P).any()
