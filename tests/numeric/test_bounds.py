"""The forward pass is equations 1 to 5 and its error bounds hold, by the same equations in 40 digits."""

from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import pytest

from growproof.numeric.blocks import ZEROS, attention_blocks, hidden_blocks, random_fill
from growproof.numeric.error import (
    EXACT,
    EXP_ULPS,
    Arithmetic,
    Bounded,
    bounded_mha,
    bounded_mlp,
    bounded_transformer,
)
from growproof.numeric.expansions import attention_expansion, hidden_expansion, on_heads, on_layers
from growproof.numeric.formats import FORMATS, number_format
from growproof.numeric.forward import embed, mha, mlp, transformer
from growproof.numeric.model import (
    Head,
    Layer,
    Model,
    cast,
    map_parameters,
    random_layer,
    random_model,
    random_rows,
)
from growproof.numeric.rounding import rounded_sqrt

SEEDS = range(12)

_sqrt = np.frompyfunc(mpmath.sqrt, 1, 1)
_exp = np.frompyfunc(mpmath.exp, 1, 1)
_exact = np.frompyfunc(lambda x: mpmath.mpf(float(x)), 1, 1)


@pytest.fixture(autouse=True)
def _forty_digits() -> Any:
    with mpmath.workdps(40):
        yield


# The reference: head by head, in numbers of 40 digits.


def exact_transformer(model: Model, I: Any, eps: float = 0.0) -> Any:
    X = _exact(I) + _exact(model.P)
    for layer in model.layers:
        X = X + exact_mha(layer, X, eps)
        X = X + exact_mlp(layer, X, eps)
    return X @ _exact(model.W_out)


def exact_mha(layer: Layer, X: Any, eps: float = 0.0) -> Any:
    return sum(exact_head(head, exact_norm(X, layer.g_MHA, eps)) for head in layer.heads)


def exact_head(head: Head, X: Any) -> Any:
    scores = (X @ _exact(head.W_Q)) @ (X @ _exact(head.W_K)).T / mpmath.sqrt(head.k)
    weights = _exp(scores)
    return weights / weights.sum(axis=1, keepdims=True) @ (X @ _exact(head.W_V)) @ _exact(head.W_O)


def exact_mlp(layer: Layer, X: Any, eps: float = 0.0) -> Any:
    hidden = exact_norm(X, layer.g_MLP, eps) @ _exact(layer.W_l1) + _exact(layer.b_l1)
    return np.maximum(hidden, 0) @ _exact(layer.W_l2) + _exact(layer.b_l2)


def exact_norm(X: Any, g: Any, eps: float) -> Any:
    mean_square = (X * X).sum(axis=1, keepdims=True) / X.shape[1] + mpmath.mpf(eps)
    return X * _exact(g) / _sqrt(mean_square)


def distances(computed: Any, exact: Any) -> Any:
    """Euclidean norms of the rows of computed - exact."""
    return _sqrt(((_exact(computed) - exact) ** 2).sum(axis=-1)).astype(float)


def some_model(seed: int, dtype: str, layers: int = 2) -> tuple[Model, Any]:
    """A random small model whose layers and heads differ, and an input."""
    rng = np.random.default_rng(seed)
    s, h = (int(n) for n in rng.integers(1, 7, 2))
    heads = [[(int(k), int(v)) for k, v in rng.integers(1, 5, (rng.integers(1, 4), 2))] for _ in range(layers)]
    p = [int(n) for n in rng.integers(1, 12, layers)]
    model = random_model(rng, s=s, h=h, o=3, p=p, heads=heads)
    return cast(model, dtype), random_rows(rng, s, h, dtype)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_forward_pass_is_equations_1_to_5(seed: int) -> None:
    model, I = some_model(seed, "float64")
    assert distances(transformer(model, I), exact_transformer(model, I)).max() < 1e-12
    X = embed(model, I)
    assert distances(mha(model.layers[0], X), exact_mha(model.layers[0], _exact(X))).max() < 1e-13
    assert distances(mlp(model.layers[0], X), exact_mlp(model.layers[0], _exact(X))).max() < 1e-13


@pytest.mark.parametrize("dtype", FORMATS)
def test_the_output_has_the_dtype_of_the_model(dtype: str) -> None:
    model, I = some_model(0, dtype)
    assert transformer(model, I).dtype == model.dtype
    assert mha(model.layers[0], I).dtype == model.dtype
    assert mlp(model.layers[0], I).dtype == model.dtype


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("eps", [0.0, 1e-3])
def test_the_bound_of_a_sublayer_holds_and_is_not_absurdly_loose(dtype: str, eps: float) -> None:
    ratios = []
    for seed in SEEDS:
        model, I = some_model(seed, dtype)
        X = embed(model, I)
        given = Bounded(X, np.zeros(X.shape[:-1]))
        arith = Arithmetic(number_format(dtype), eps, EXACT)
        for bounded, exact in ((bounded_mha, exact_mha), (bounded_mlp, exact_mlp)):
            Y = bounded(model.layers[0], given, arith)
            ratios += list(distances(Y.value, exact(model.layers[0], _exact(X), eps)) / Y.error)
    assert max(ratios) <= 1
    # A worst case over all roundings is some 10 to 100 times a typical one.
    assert np.median(ratios) > 1e-3


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("size", [1e-4, 0.01, 1.0, 50.0])
def test_the_bound_of_the_whole_model_holds_at_any_activation(dtype: str, size: float) -> None:
    for seed in SEEDS:
        model, I = some_model(seed, "float64", layers=1 + seed % 3)
        model = cast(replace(model, P=model.P * size), dtype)
        I = (I * size).astype(model.dtype)
        O = bounded_transformer(model, I)
        assert np.array_equal(number_format(dtype).round(O.value), transformer(model, I))
        assert (distances(O.value, exact_transformer(model, I)) <= O.error).all()


# An error of 1e-6 outweighs all rounding errors in float64: what is left to test is its propagation.
# Loud queries make the scores count most; an error in the other token only reaches keys and values.
@pytest.mark.parametrize("loud", [1, 10])
@pytest.mark.parametrize("hit", ["both tokens", "the first", "the second"])
def test_an_error_in_the_stream_is_carried_through_a_sublayer(loud: float, hit: str) -> None:
    mha_ratios, mlp_ratios = [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        layer = random_layer(rng, h=2, p=1, heads=[(1, 1)])
        layer = on_heads(layer, lambda head: replace(head, W_Q=loud * head.W_Q))
        X, D = random_rows(rng, 2, 2, "float64"), 1e-6 * random_rows(rng, 2, 2, "float64")
        D[{"both tokens": [], "the first": [1], "the second": [0]}[hit]] = 0
        given = Bounded(X + D, np.linalg.norm(D, axis=1))
        arith = Arithmetic(number_format("float64"), 0.0, EXACT)
        Y, Z = bounded_mha(layer, given, arith), bounded_mlp(layer, given, arith)
        mha_ratios += list(distances(Y.value, exact_mha(layer, _exact(X))) / Y.error)
        mlp_ratios += list(distances(Z.value, exact_mlp(layer, _exact(X))) / Z.error)
    assert max(mha_ratios) <= 1
    assert max(mlp_ratios) <= 1
    assert max(mha_ratios) > 0.3
    assert max(mlp_ratios) > 0.7


@pytest.mark.parametrize("dtype", FORMATS)
def test_the_bound_covers_the_rounding_of_the_scaled_parameters(dtype: str) -> None:
    """The expanded model is held against the exact original, so the factors' rounding is error too."""
    for seed in SEEDS:
        model, I = some_model(seed, dtype)
        rng = np.random.default_rng(seed)
        attention = random_fill(rng, ZEROS["attention-expansion"], dtype)
        hidden = random_fill(rng, ZEROS["hidden-expansion"], dtype)

        def change(head: Head, attention: Any = attention) -> Head:
            return attention_expansion(head, *attention_blocks(head, head.k + 2, attention))

        expanded = on_layers(model, lambda layer, change=change: on_heads(layer, change))
        expanded, I_hat = hidden_expansion(expanded, I, hidden_blocks(expanded, model.h + 3, hidden))
        O = bounded_transformer(expanded, I_hat, 0.0, {"W_K": 1, "g_MHA": 1, "g_MLP": 1})
        assert (distances(O.value, exact_transformer(model, I)) <= O.error).all()


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("size", [1e-5, 1.0])
def test_the_drift_of_a_scaled_parameter_is_a_bound_and_nearly_reached(dtype: str, size: float) -> None:
    """At size 1e-5 the numbers of float16 are subnormal: the absolute error of an underflow counts."""
    form = number_format(dtype)
    arith = Arithmetic(form, 0.0, {"W_K": 1})
    W = random_rows(np.random.default_rng(0), 200, 20, "float64") * size
    W = W.astype(form.dtype)
    ratios = []
    for k_hat in range(2, 12):
        scaled = rounded_sqrt(k_hat, dtype) * W
        exact = mpmath.sqrt(k_hat) * _exact(W)
        error = np.abs(_exact(scaled) - exact).astype(float)
        drift = arith.drift("W_K", scaled)
        assert (error <= drift * np.abs(scaled.astype(float))).all()
        ratios.append((error[scaled != 0] / np.abs(scaled[scaled != 0].astype(float))).max() / drift)
    assert max(ratios) > 0.3
    assert arith.drift("W_Q", W) == 0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_exp_is_as_accurate_as_the_bounds_assume(dtype: str) -> None:
    x = np.linspace(-80, 0, 4001).astype(dtype)
    exact = _exp(_exact(x))
    error = np.abs(_exact(np.exp(x)) - exact).astype(float)
    assert (error <= EXP_ULPS * number_format(dtype).spacing(np.exp(x))).all()


@pytest.mark.parametrize("dtype", FORMATS)
def test_a_batch_gives_what_its_members_give_one_by_one(dtype: str) -> None:
    model, _ = some_model(3, dtype)
    I = random_rows(np.random.default_rng(0), 6 * model.s, model.h, dtype).reshape(2, 3, model.s, model.h)
    together = bounded_transformer(model, I)
    for i in np.ndindex(2, 3):
        alone = bounded_transformer(model, I[i])
        gap = together.value[i].astype(float) - alone.value.astype(float)
        assert (np.linalg.norm(gap, axis=-1) <= together.error[i] + alone.error).all()


def test_large_scores_do_not_overflow() -> None:
    model, I = some_model(1, "float16")
    large = map_parameters(model, lambda W: W * model.dtype.type(8))
    assert np.isfinite(transformer(large, I).astype(float)).all()


def test_a_zero_row_without_epsilon_is_an_error_that_names_the_row() -> None:
    model, I = some_model(7, "float64")
    I = np.stack([I, I])
    I[1, 0] = -model.P[0]
    with pytest.raises(ValueError, match=r"norm: found row \[1, 0\] of the stream zero with eps = 0"):
        transformer(model, I)
    assert np.isfinite(transformer(model, I, eps=1e-6)).all()


def test_sizes_at_which_the_bounds_themselves_would_drown_are_refused() -> None:
    with pytest.raises(ValueError, match="error bound: found size 100000, expected at most 16777"):
        Arithmetic(number_format("bfloat16"), 0.0, EXACT).gamma(100_000)
