"""Two models of two architectures: the same function agrees up to rounding, and another one does not."""

from typing import Any

import numpy as np
import pytest

from growproof.numeric.agreement import difference
from growproof.numeric.architecture import Architecture
from growproof.numeric.formats import FORMATS
from growproof.numeric.tables import random_tables

Tables = dict[str, Any]
BEYOND = {"float64": 100, "float32": 100, "float16": 1, "bfloat16": 0.1}  # 8 bits, times 64, hide much

DENSE = Architecture(act="gelu", final_norm=True)
SPARSE = Architecture(act="gelu", final_norm=True, experts=True)
PLAIN = Architecture(act="gelu", final_norm=True, experts=True, router="plain")
MLP = ("W_l1", "b_l1", "W_l2", "b_l2")


def drawn(a: Architecture, **sizes: int) -> Tables:
    shape = {"s": 4, "h": 5, "o": 3} | sizes
    return random_tables(np.random.default_rng(0), a, **shape, p=[6, 7], heads=[[(3, 2)], [(2, 3), (2, 2)]])


def upcycled(dense: Tables) -> Tables:
    """Every MLP as three experts that are copies of it, two of which are read."""
    rng = np.random.default_rng(1)

    def mixture(layer: Tables) -> Tables:
        rest = {name: entry for name, entry in layer.items() if name not in MLP}
        expert = {name: layer[name] for name in MLP}
        return rest | {"W_R": rng.standard_normal((5, 3)), "experts": [expert, dict(expert), dict(expert)]}

    return dense | {"layers": [mixture(layer) for layer in dense["layers"]], "top_k": 2}


@pytest.mark.parametrize("dtype", FORMATS)
def test_equal_experts_are_one_mlp_where_their_weights_sum_to_one(dtype: str) -> None:
    dense = drawn(DENSE)
    assert difference((dense, DENSE), (upcycled(dense), SPARSE), dtype).ratio < 1
    assert difference((dense, DENSE), (upcycled(dense), PLAIN), dtype).ratio > BEYOND[dtype]


@pytest.mark.parametrize("dtype", FORMATS)
def test_a_body_that_is_another_function_is_seen(dtype: str) -> None:
    dense = drawn(DENSE)
    twice = dense | {"forward": {"MLP": ("*", ("number", 2), ("name", "MLP"))}}
    halved = [layer | {"W_l2": layer["W_l2"] / 2, "b_l2": layer["b_l2"] / 2} for layer in dense["layers"]]
    assert difference((dense, DENSE), (twice | {"layers": halved}, DENSE), dtype).ratio < 1
    assert difference((dense, DENSE), (twice, DENSE), dtype).ratio > BEYOND[dtype]


def test_each_model_is_run_as_its_own_architecture() -> None:
    dense = drawn(DENSE)
    for pair in [(DENSE, DENSE), (SPARSE, SPARSE), (SPARSE, DENSE)]:
        with pytest.raises(ValueError, match=r"found (an entry, expected none|nothing, expected an entry)"):
            difference((dense, pair[0]), (upcycled(dense), pair[1]))


def test_a_model_agrees_with_itself() -> None:
    dense = drawn(DENSE)
    assert difference((dense, DENSE), (dense, DENSE)).max_abs == 0


def test_outputs_of_different_shapes_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"output: found shape \(4, 1\), expected \(4, 3\)"):
        difference((drawn(DENSE), DENSE), (drawn(DENSE, o=1), DENSE))
