"""The complex step against central differences of the real forward pass, for every parameter."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growproof.numeric import activations, architecture
from growproof.numeric.derivative import STEP, slope
from growproof.numeric.forward import transformer
from growproof.numeric.model import from_nested, random_model, random_rows, to_nested
from growproof.numeric.options import Architecture

Nested = dict[str, Any]
Path = tuple[str | int, ...]

# Two layers; heads of unequal shapes; every size but s and o different from every other.
SHAPE = {"s": 3, "h": 4, "o": 3, "p": [5, 6], "heads": [[(2, 3), (1, 2)], [(3, 1)]]}


def model_of(seed: int) -> Nested:
    rng = np.random.default_rng(seed)
    model = random_model(rng, **SHAPE)
    return arrays(to_nested(model, random_rows(rng, model.s, model.h, "float64")))


def arrays(entry: Any) -> Any:
    """Every matrix as an array, all else as it is."""
    if isinstance(entry, dict):
        return {key: arrays(inner) for key, inner in entry.items()}
    if isinstance(entry, list) and isinstance(entry[0], dict):
        return [arrays(inner) for inner in entry]
    return np.array(entry) if isinstance(entry, list) else entry


def paths(entry: Any, here: Path = ()) -> Iterator[Path]:
    """Where the matrices are."""
    if isinstance(entry, np.ndarray):
        yield here
    elif isinstance(entry, (dict, list)):
        items = entry.items() if isinstance(entry, dict) else enumerate(entry)
        for key, inner in items:
            yield from paths(inner, (*here, key))


def moved(nested: Nested, path: Path, by: np.ndarray) -> Nested:
    """The model with something added to one matrix."""
    found = deepcopy(nested)
    *outer, last = path
    table: Any = found
    for key in outer:
        table = table[key]
    table[last] = table[last] + by
    return found


def at(nested: Nested, path: Path) -> np.ndarray:
    for key in path:
        nested = nested[key]
    return nested


def output(nested: Nested, eps: float) -> np.ndarray:
    """The real forward pass of numeric/forward.py."""
    return transformer(*from_nested(nested), eps)


def central(nested: Nested, path: Path, D: np.ndarray, eps: float, t: float = 1e-5) -> np.ndarray:
    """(f(x + t D) - f(x - t D)) / 2t: wrong by about t^2 and by rounding errors over t, both near 1e-10."""
    return (output(moved(nested, path, t * D), eps) - output(moved(nested, path, -t * D), eps)) / (2 * t)


OPTIONS = {"eps": True}


def complex_step(nested: Nested, path: Path, D: np.ndarray, eps: float) -> np.ndarray:
    return slope(moved(nested, path, 1j * STEP * D) | {"eps": eps}, OPTIONS)


def direction(nested: Nested, path: Path) -> np.ndarray:
    return np.random.default_rng(7).standard_normal(at(nested, path).shape)


PATHS = list(paths(model_of(0)))


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.allclose(found, expected, rtol=1e-6, atol=1e-7))


# ---------------------------------------------------------------- the slope


def test_there_is_a_path_to_every_parameter():
    """I, P, W_out; six matrices in each of two layers, four in each of three heads."""
    assert len(PATHS) == 3 + 2 * 6 + 3 * 4


@pytest.mark.parametrize("eps", [0.0, 0.25])
@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
def test_the_slope_is_that_of_the_real_forward_pass(path, eps):
    nested = model_of(0)
    D = direction(nested, path)
    found = complex_step(nested, path, D, eps)
    assert np.abs(found).max() > 1e-3, "no direction in which the output stands still"
    assert close(found, central(nested, path, D, eps))


def test_the_slope_follows_a_score_factor_that_is_given():
    nested = model_of(0)
    nested["layers"][0]["heads"][0]["scale"] = 0.2
    path = ("layers", 0, "heads", 0, "W_Q")
    D = direction(nested, path)
    found = complex_step(nested, path, D, 0.0)
    assert close(found, central(nested, path, D, 0.0))
    assert not close(found, complex_step(model_of(0), path, D, 0.0))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(PATHS), st.floats(-3, 3), st.floats(-3, 3))
def test_the_slope_is_linear_in_the_direction(seed, path, a, b):
    nested = model_of(0)
    rng = np.random.default_rng(seed)
    C, D = rng.standard_normal((2, *at(nested, path).shape))
    both = complex_step(nested, path, a * C + b * D, 0.0)
    apart = a * complex_step(nested, path, C, 0.0) + b * complex_step(nested, path, D, 0.0)
    assert np.allclose(both, apart, rtol=1e-9, atol=1e-9)


def test_nothing_moves_without_a_direction():
    nested = model_of(0)
    assert not complex_step(nested, ("layers", 0, "W_l1"), np.zeros((4, 5)), 0.0).any()


def test_a_quadratic_dependence_is_none():
    """W_V = W_O = 0: the output depends on each only through their product."""
    nested = model_of(0)
    head = nested["layers"][0]["heads"][0]
    head["W_V"], head["W_O"] = 0 * head["W_V"], 0 * head["W_O"]
    for name in ("W_V", "W_O"):
        path = ("layers", 0, "heads", 0, name)
        assert not complex_step(nested, path, direction(nested, path), 0.0).any()


# ---------------------------------------------------------------- the value


@pytest.mark.parametrize("eps", [0.0, 0.25])
@pytest.mark.parametrize("seed", range(3))
def test_the_real_part_is_the_output_of_the_real_forward_pass(seed, eps):
    nested = model_of(seed)
    path = ("layers", 0, "W_l1")
    tables = moved(nested, path, 1j * STEP * direction(nested, path)) | {"eps": eps}
    found = architecture.output(tables, Architecture.from_options(OPTIONS))
    assert np.allclose(found.real, output(nested, eps), rtol=1e-12, atol=1e-12)


# ---------------------------------------------------------------- relu'(0) = 0


def at_the_kink() -> Nested:
    """Every unit of the last MLP gets exactly zero."""
    nested = model_of(0)
    layer = nested["layers"][1]
    layer["W_l1"], layer["b_l1"] = 0 * layer["W_l1"], 0 * layer["b_l1"]
    return nested


@pytest.mark.parametrize("sign", [1, -1])
def test_relu_has_slope_zero_at_zero(sign):
    nested, path = at_the_kink(), ("layers", 1, "b_l1")
    assert not complex_step(nested, path, sign * np.ones((1, 6)), 0.0).any()


def test_central_differences_see_half_the_slope_at_zero():
    """(relu(t) - relu(-t)) / 2t = 1/2: so relu'(0) = 0 is a convention, which the test above is about."""
    nested, path = at_the_kink(), ("layers", 1, "b_l1")
    expected = np.ones((3, 6)) / 2 @ nested["layers"][1]["W_l2"] @ nested["W_out"]
    assert close(central(nested, path, np.ones((1, 6)), 0.0), expected)


def test_another_slope_at_zero_would_be_seen(monkeypatch):
    """The same layer with relu'(0) = 1 moves, so that the first test of these can fail."""

    monkeypatch.setitem(activations.ACTIVATIONS, "relu", lambda x: np.where(x.real >= 0, x, 0))
    assert complex_step(at_the_kink(), ("layers", 1, "b_l1"), np.ones((1, 6)), 0.0).any()


# ---------------------------------------------------------------- what a wrong forward pass would do


WRONG = {
    "rms": lambda X, g, eps: X / np.sqrt((X * X.conj()).sum(axis=1, keepdims=True) / X.shape[1] + eps),
    "softmax": lambda scores: np.ones(scores.shape) / scores.shape[1],
}


@pytest.mark.parametrize("function", WRONG)
def test_a_forward_pass_that_is_not_analytic_or_not_the_paper_s_is_noticed(monkeypatch, function):
    """|x|^2 in place of x^2 forgets the norm's own slope; no softmax forgets the scores."""
    nested, path = model_of(0), ("P",)
    D = direction(nested, path)
    expected = central(nested, path, D, 0.0)
    assert close(complex_step(nested, path, D, 0.0), expected)
    monkeypatch.setattr(architecture, function, WRONG[function])
    assert not close(complex_step(nested, path, D, 0.0), expected)
