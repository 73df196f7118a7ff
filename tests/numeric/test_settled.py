"""In 16 bits every operation is rounded once, in every architecture, whatever its forward pass is written with."""

import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growproof.numeric import activations, architecture
from growproof.numeric.agreement import matrices
from growproof.numeric.architecture import Architecture, output
from growproof.numeric.formats import Format, number_format
from growproof.numeric.settled import Settled, settled
from growproof.numeric.tables import random_tables
from growproof.symbolic.architecture import PRESETS

SMALL = ["float16", "bfloat16"]
numbers = st.floats(-8, 8, width=16)


def nearest(x: Any, form: Format) -> np.ndarray:
    """Each number rounded to the format from its exact value, as float64."""
    return np.asarray(x, np.float64).astype(form.dtype).astype(np.float64)


OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda a, b: a + b,
    "product": lambda a, b: a * b,
    "with a number": lambda a, b: a / 3,
    "where": lambda a, b: np.where(a > b, a, 0.1),
    "blocks": lambda a, b: np.block([[a, b]]),
    "absolute value": lambda a, b: np.abs(a),
}


@pytest.mark.parametrize("dtype", SMALL)
@pytest.mark.parametrize("operation", OPERATIONS)
@given(a=st.lists(numbers, min_size=3, max_size=3), b=st.lists(numbers, min_size=3, max_size=3))
@settings(deadline=None, derandomize=True, max_examples=50)
def test_the_result_is_the_exact_one_rounded(operation: str, dtype: str, a: list[float], b: list[float]) -> None:
    """Sums, products and quotients by 3 of 11 bits are exact in float64, or far enough from a tie."""
    form, apply = number_format(dtype), OPERATIONS[operation]
    one, two = (settled(np.array([row]), form) for row in (a, b))
    found = apply(one, two)
    assert isinstance(found, Settled)
    assert (np.asarray(found) == nearest(apply(*(nearest([row], form) for row in (a, b))), form)).all()


def test_a_matrix_product_is_rounded_once() -> None:
    form = number_format("bfloat16")
    row, column = settled(np.full((1, 300), 1.0), form), settled(np.ones((300, 1)), form)
    assert float((row @ column)[0, 0]) == 300  # additions one by one in 8 bits end at 256


def test_what_is_no_number_is_left_alone() -> None:
    found = settled(np.ones((2, 2)), number_format("float16"))
    assert (found > 0).dtype == bool
    assert np.argsort(-found, axis=1).dtype.kind == "i"
    assert type(settled(np.ones(2), number_format("float32"))) is np.ndarray


# ---------------------------------------------------------------- through the forward pass


def drawn(a: Architecture) -> Any:
    needed = {"scale": a.scale == "constant", "top_k": a.experts, "eps": a.eps, "eps_qk": a.qk_norm}
    needed["rope_dim"] = a.positions == "rotary" and a.rope_part == "part"
    numbers = {name: {"top_k": 1, "rope_dim": 2}.get(name, 0.5) for name, wanted in needed.items() if wanted}
    return random_tables(np.random.default_rng(0), a, s=4, h=6, o=3, p=[5], heads=[[(4, 3), (4, 2)]], **numbers)


def watched(monkeypatch: pytest.MonkeyPatch, module: types.ModuleType, seen: dict[str, bool]) -> None:
    """Every function of a module notes whether the real array that it returns is a settled one."""

    def noting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any) -> Any:
            found = function(*given)
            if isinstance(found, np.ndarray) and found.dtype.kind == "f":
                seen[name] = seen.get(name, True) and isinstance(found, Settled)
            return found

        return noted

    for name, function in vars(module).items():
        if isinstance(function, types.FunctionType) and function.__module__ == module.__name__:
            monkeypatch.setattr(module, name, noting(name, function))


CONSTANTS = ("frequencies", "erf")  # of positions, and element by element: rounded in the product that uses them


def unsettled(monkeypatch: pytest.MonkeyPatch, a: Architecture) -> list[str]:
    """The functions that return what is not rounded, in one run of the forward pass."""
    seen: dict[str, bool] = {}
    watched(monkeypatch, architecture, seen)
    acts = {name: function for name, function in vars(activations).items() if name in activations.ACTIVATIONS}
    watched(monkeypatch, activations, seen)
    for name in acts:
        monkeypatch.setitem(activations.ACTIVATIONS, name, getattr(activations, name))
    form = number_format("bfloat16")
    found = np.asarray(architecture.output(matrices(drawn(a), lambda x: settled(x, form)), a))
    assert {"norm", "affine", "softmax", "sublayer"} <= set(seen)
    assert (nearest(found, form) == found).all()
    return [name for name, fine in seen.items() if not fine and name not in CONSTANTS]


@pytest.mark.parametrize("name", PRESETS)
def test_every_step_of_every_architecture_is_rounded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert unsettled(monkeypatch, Architecture.from_options(PRESETS[name].options)) == []


def test_a_step_that_escapes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architecture, "affine", escaping := lambda *given: np.asarray(AFFINE(*given)))
    escaping.__module__ = architecture.__name__
    assert "affine" in unsettled(monkeypatch, Architecture())


AFFINE = architecture.affine


@pytest.mark.parametrize("dtype", SMALL)
def test_fewer_bits_are_further_from_the_exact_output(dtype: str) -> None:
    a = Architecture()
    tables, form = drawn(a), number_format(dtype)
    exact = output(matrices(tables, form.load), a)
    apart = np.abs(np.asarray(output(matrices(tables, lambda x: settled(x, form)), a)) - exact).max()
    assert form.u / 8 < apart / np.abs(exact).max() < 64 * form.u
