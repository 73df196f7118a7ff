"""Traces: every value of both models on the way, exact where it can be, and the first place where they part.

The values are compared with a forward pass written here, in numpy, from equations 1 to 5.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from as_published import load
from sympy import Expr

from growproof.proofs.check import check
from growproof.proofs.counterexample import Counterexample
from growproof.proofs.trace import READABLE, Trace, trace
from growproof.symbolic import variant
from growproof.symbolic.architecture import PRESETS
from growproof.symbolic.variant import loads

SIX = (
    *("mlp-expansion", "head-addition", "heads-expansion"),
    *("attention-expansion", "hidden-expansion", "layer-addition"),
)
Nested = dict[str, Any]


def unconstrained(name: str) -> str:
    return load(name).text.partition("[constraints]")[0]


FALSE = {
    **{name: unconstrained(name) for name in SIX},
    "no factor on the keys": load("attention-expansion").text.replace("sqrt(k_hat)/sqrt(k)*", ""),
    "no factor on the second gain": load("hidden-expansion").text.replace("sqrt(h)/sqrt(h_hat)*g_MLP", "g_MLP"),
    "input and positions free": unconstrained("hidden-expansion")
    + "\n".join(["[constraints]", *(f'{name} = "0"' for name in ("M_W_O", "M_W_l2", "M_b_l2")), ""]),
    "an output bias too many": load("layer-addition").text.replace('M_b_l2 = "0"', ""),
    "the output doubled": 'name = "f"\n[rewrite]\nW_out = "2*W_out"\n',
    "values doubled": 'name = "f"\n[rewrite]\nW_V = "2*W_V"\n',
    "first biases doubled": 'name = "f"\n[rewrite]\nb_l1 = "2*b_l1"\n',
}
every = pytest.mark.parametrize("name", FALSE)


@cache
def counterexample(name: str, architecture: str = "paper") -> Counterexample:
    found = check([loads(FALSE[name], "f.toml")], PRESETS[architecture]).counterexample
    assert found is not None
    return found


@cache
def traced(name: str, architecture: str = "paper") -> Trace:
    return trace(counterexample(name, architecture))


@pytest.mark.parametrize(
    ("name", "architecture"),
    [("hidden-expansion", "gpt2"), ("hidden-expansion", "bert"), ("attention-expansion", "llama")],
)
def test_the_outputs_of_a_trace_are_as_far_apart_as_the_replay_says(name, architecture):
    """Sizes that grew are those of the grown model: the mean of LayerNorm, and the angles, speak of them."""
    found = check([variant.load(name)], PRESETS[architecture]).counterexample
    end = trace(found).values[-1]
    apart = np.abs(end.expanded.astype(float) - end.original.astype(float)).max()
    assert apart == pytest.approx(found.replay.max_abs, rel=1e-6)


# --- the same values, in numpy ---


def normed(X: np.ndarray, g: np.ndarray, eps: float) -> np.ndarray:
    return X * g / np.sqrt((X * X).mean(axis=1, keepdims=True) + eps)


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores)
    return powers / powers.sum(axis=1, keepdims=True)


def values(model: Nested, eps: float, labels: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Where, and what: in the order of the forward pass."""
    X = model["I"] + model["P"]
    yield "input", X
    for label, layer in zip(labels, model["layers"], strict=True):
        Y = normed(X, layer["g_MHA"], eps)
        yield label, Y
        for e, head in enumerate(layer["heads"], 1):
            scores = (Y @ head["W_Q"]) @ (Y @ head["W_K"]).T / np.sqrt(head["W_Q"].shape[1])
            yield f"{label}, head {e}", scores
            yield f"{label}, head {e}", softmax(scores)
            X = X + softmax(scores) @ (Y @ head["W_V"]) @ head["W_O"]
        yield label, X
        Y = normed(X, layer["g_MLP"], eps)
        yield label, Y
        hidden = Y @ layer["W_l1"] + layer["b_l1"]
        yield label, hidden
        yield label, np.maximum(hidden, 0)
        X = X + np.maximum(hidden, 0) @ layer["W_l2"] + layer["b_l2"]
        yield label, X
    yield "output", X @ model["W_out"]


def eps(found: Counterexample) -> tuple[float, float]:
    """The epsilon before and after; 0 where the architecture has none."""
    before, after = found.scalars.get("eps", (0, 0))
    return float(before), float(after)


def labels(found: Counterexample) -> tuple[list[str], list[str]]:
    """The names of the layers, before and after."""
    old = [f"layer {n}" for n in range(1, len(found.instance.old["layers"]) + 1)]
    new = list(old)
    for blocks in found.instance.new:
        if "added_layer" in blocks:
            new.insert(blocks["added_layer"]["position"], "the new layer")
    return old, new


def numbers(entries: np.ndarray) -> np.ndarray:
    return np.array([[float(entry) for entry in row] for row in entries])


def agree(shown: list[tuple[str, np.ndarray]], expected: list[tuple[str, np.ndarray]]) -> bool:
    """Whether the same values stand in the same places; values of one place keep their order."""
    assert sorted(place for place, _ in shown) == sorted(place for place, _ in expected)
    for place in {place for place, _ in expected}:
        pairs = zip((v for p, v in shown if p == place), (v for p, v in expected if p == place), strict=True)
        if not all(a.shape == b.shape and np.allclose(numbers(a), b, rtol=1e-9, atol=1e-9) for a, b in pairs):
            return False
    return True


@every
def test_the_values_of_both_models_are_those_of_the_forward_pass(name):
    found, (old, new) = counterexample(name), labels(counterexample(name))
    shown = traced(name).values
    original = [(value.place, value.original) for value in shown if value.original is not None]
    expanded = [(value.place, value.expanded) for value in shown if value.expanded is not None]
    assert agree(original, list(values(found.instance.old, eps(found)[0], old)))
    assert agree(expanded, list(values(found.grown, eps(found)[1], new)))


def test_with_an_epsilon_too():
    found = counterexample("hidden-expansion", "paper-eps")
    shown = [(value.place, value.expanded) for value in traced("hidden-expansion", "paper-eps").values]
    assert eps(found)[0] > 0
    assert agree(shown, list(values(found.grown, eps(found)[1], labels(found)[1])))


def test_another_model_would_show():
    found, (_, new) = counterexample("mlp-expansion"), labels(counterexample("mlp-expansion"))
    other = found.grown | {"W_out": found.grown["W_out"] + 1}
    shown = [(value.place, value.expanded) for value in traced("mlp-expansion").values]
    assert not agree(shown, list(values(other, 0.0, new)))


@every
def test_the_outputs_differ_by_what_the_replay_says(name):
    output = traced(name).values[-1]
    assert output.place == "output"
    change = np.abs(numbers(output.expanded) - numbers(output.original)).max()
    assert change == pytest.approx(counterexample(name).replay.max_abs)
    assert output.differs


# --- exact ---


@every
def test_the_input_is_exact_and_what_is_exact_is_readable(name):
    shown = traced(name).values
    assert all(isinstance(entry, Expr) and entry.is_Rational for entry in shown[0].original.flat)
    for value in shown:
        for entries in (value.original, value.expanded):
            if entries is not None and entries.dtype == object:
                assert all(isinstance(entry, Expr) and entry.is_number for entry in entries.flat)
    exact = [value for value in shown if value.original is not None and value.original.dtype == object]
    assert len(exact) > 1
    assert READABLE <= 100


# --- where they part ---


def parted(found: Counterexample) -> str:
    """The place of the first value that both models have in one shape, a wider stream aside, and that differs."""
    old, new = labels(found)
    before, after = (
        list(values(found.instance.old, eps(found)[0], old)),
        list(values(found.grown, eps(found)[1], new)),
    )
    of_place: dict[tuple[str, int], np.ndarray] = {}
    for place, value in before:
        of_place[place, sum(p == place for p, _ in of_place)] = value
    seen: dict[str, int] = {}
    for place, value in after:
        i = seen[place] = seen.get(place, -1) + 1
        other = of_place.get((place, i))
        if other is None:
            continue
        if (
            other.shape[1] < value.shape[1] == found.grown["I"].shape[1]
            and other.shape[1] == found.instance.old["I"].shape[1]
        ):
            other = np.pad(other, ((0, 0), (0, value.shape[1] - other.shape[1])))
        if other.shape == value.shape and not np.allclose(other, value, rtol=1e-9, atol=1e-9):
            return place
    raise AssertionError("the models do not part")


@every
def test_the_first_divergence_is_where_the_models_part(name):
    assert traced(name).first_divergence.place == parted(counterexample(name))


@every
def test_nothing_differs_before_the_first_divergence(name):
    shown = traced(name).values
    first = shown.index(traced(name).first_divergence)
    assert [value.differs for value in shown[:first]] == [False] * first
    for value in shown[:first]:
        if value.original is not None and value.expanded is not None and value.original.shape == value.expanded.shape:
            assert np.allclose(numbers(value.original), numbers(value.expanded), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("the output doubled", "output"),
        ("values doubled", "layer 1"),
        ("first biases doubled", "layer 1"),
        ("no factor on the keys", "layer 1, head 1"),
        ("input and positions free", "input"),
    ],
)
def test_the_models_part_where_the_variant_is_wrong(name, place):
    assert traced(name).first_divergence.place == place


COPIES = """
name = "Two copies of the stream, both read in full"
[grows]
h = "2*h"
[rewrite]
I = "[I, I]"
P = "[P, P]"
W_out = "1/2*[W_out; W_out]"
g_MHA = "[g_MHA, g_MHA]"
W_Q = "1/2*[W_Q; W_Q]"
W_K = "1/2*[W_K; W_K]"
W_V = "1/2*[W_V; W_V]"
W_O = "[W_O, W_O]"
g_MLP = "[g_MLP, g_MLP]"
W_l1 = "[W_l1; W_l1]"
W_l2 = "[W_l2, W_l2]"
b_l2 = "[b_l2, b_l2]"
"""


def test_a_stream_of_copies_parts_where_it_is_read_too_often():
    """Attention reads each copy by half, as it should; the MLP reads both in full."""
    found = check([loads(COPIES, "f.toml")], PRESETS["paper"]).counterexample
    assert trace(found).first_divergence.place != "input"
