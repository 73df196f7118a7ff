"""Parameters: reading and writing them, and what is said about wrong ones."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from growproof.numeric.formats import FORMATS, as_dtype
from growproof.numeric.model import (
    Model,
    cast,
    from_nested,
    map_parameters,
    random_model,
    random_rows,
    to_nested,
)


@pytest.fixture
def model() -> Model:
    rng = np.random.default_rng(0)
    return random_model(rng, s=3, h=4, o=2, p=[5, 6], heads=[[(2, 3), (1, 2)], [(4, 1)]])


@pytest.mark.parametrize("dtype", FORMATS)
def test_nested_lists_come_back_as_they_were(model: Model, dtype: str) -> None:
    model, I = cast(model, dtype), random_rows(np.random.default_rng(1), 3, 4, dtype)
    nested = to_nested(model, I)
    again, I_again = from_nested(nested, dtype)
    assert again.dtype == I_again.dtype == as_dtype(dtype)
    assert to_nested(again, I_again) == nested


def test_entries_may_be_exact_fractions_in_strings() -> None:
    head = {"W_Q": [["1/2"]], "W_K": [["3"]], "W_V": [[1]], "W_O": [["-1/4"]]}
    layer = {name: [[1]] for name in ("g_MHA", "g_MLP", "W_l1", "b_l1", "W_l2", "b_l2")}
    model, I = from_nested({"I": [["1/3"]], "P": [[0]], "W_out": [[1]], "layers": [{**layer, "heads": [head]}]})
    assert float(I[0, 0]) == 1 / 3
    assert float(model.layers[0].heads[0].W_O[0, 0]) == -0.25


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"W_out": np.ones((5, 2))}, r"W_out: found shape (5, 2), expected (4, any)"),
        ({"P": np.ones(4)}, r"P: found shape (4,), expected (s, h)"),
        ({"layers": ()}, r"layers: found none, expected at least one"),
        ({"W_out": np.ones((4, 2), np.float32)}, r"W_out: found float32, expected float64, the dtype of P"),
    ],
)
def test_a_wrong_model_parameter_is_named(model: Model, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(model, **change)
    assert str(error.value) == message


def test_a_wrong_layer_or_head_parameter_is_named(model: Model) -> None:
    first, second = model.layers
    with pytest.raises(ValueError, match=r"layers\[1\]\.b_l1: found shape \(1, 7\), expected \(1, 6\)"):
        replace(model, layers=(first, replace(second, b_l1=np.ones((1, 7)))))
    head = replace(first.heads[1], W_O=np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"layers\[0\]\.heads\[1\]\.W_O: found shape \(3, 4\), expected \(2, 4\)"):
        replace(model, layers=(replace(first, heads=(first.heads[0], head)), second))


def test_a_missing_or_unreadable_entry_is_named(model: Model) -> None:
    nested = to_nested(model, np.ones((3, 4)))
    del nested["layers"][1]["heads"][0]["W_K"]
    with pytest.raises(ValueError, match=r"layers\[1\]\.heads\[0\]\.W_K: found nothing, expected an entry"):
        from_nested(nested)
    with pytest.raises(ValueError, match=r"^P: "):
        from_nested({**nested, "P": [["one"]], "layers": []})


def test_an_input_of_the_wrong_shape_is_named(model: Model) -> None:
    with pytest.raises(ValueError, match=r"I: found shape \(3, 5\), expected \(\.\.\., 3, 4\)"):
        from_nested(to_nested(model, np.ones((3, 5))))


def test_every_parameter_is_visited(model: Model) -> None:
    zeros = to_nested(map_parameters(model, np.zeros_like), np.zeros((3, 4)))
    assert not np.any([np.any(zeros["layers"][n][name]) for n in (0, 1) for name in ("g_MHA", "W_l1", "b_l2")])
    assert not np.any(zeros["P"])
    assert not np.any(zeros["W_out"])
    assert not np.any([np.any(W) for head in zeros["layers"][0]["heads"] for W in head.values()])
