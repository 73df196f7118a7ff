"""Counterexamples: small numbers that meet the constraints, and of which numpy says that they change the outputs."""

import copy
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest
from as_published import load

from growproof.proofs.counterexample import Counterexample, differs, find, replay
from growproof.proofs.exactly import rounded_fractions
from growproof.proofs.trace import trace
from growproof.reports.answers import counterexample_text
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.expand import Expansion, expand
from growproof.symbolic.floats import fraction_of
from growproof.symbolic.variant import loads

SIX = (
    *("mlp-expansion", "head-addition", "heads-expansion"),
    *("attention-expansion", "hidden-expansion", "layer-addition"),
)
BASE = paper_model(PRESETS["paper"])
DROPPED = [(name, i) for name in SIX for i in range(len(load(name).constraints))]

each = pytest.mark.parametrize(("name", "gone"), DROPPED)


@cache
def weaker(name: str, gone: int) -> Expansion:
    """A catalogue variant without one of its constraints."""
    before, header, after = load(name).text.partition("[constraints]")
    lines = [line for line in after.splitlines() if " = " in line]
    text = "\n".join([before + header, *lines[:gone], *lines[gone + 1 :], ""])
    return expand(BASE, loads(text, "weaker.toml"))


@cache
def counterexample(name: str, gone: int, seed: int = 0) -> Counterexample:
    found = find([weaker(name, gone)], seed)
    assert found is not None
    return found


def tables(nested: Any) -> Iterator[np.ndarray]:
    """Every matrix of a model or of its new blocks."""
    if isinstance(nested, np.ndarray):
        yield nested
    elif isinstance(nested, dict | list):
        inside = nested.values() if isinstance(nested, dict) else nested
        yield from (array for part in inside for array in tables(part))


def entries(found: Counterexample) -> np.ndarray:
    everything = [found.instance.old, *found.instance.new]
    return np.concatenate([array.ravel() for nested in everything for array in tables(nested)])


# --- small ---


@each
def test_the_numbers_are_small_integers_and_most_are_0_or_1(name, gone):
    found = entries(counterexample(name, gone))
    assert np.array_equal(found, np.round(found))
    assert np.abs(found).max() <= 2
    assert np.count_nonzero(~np.isin(found, (0, 1))) <= 3
    assert np.count_nonzero(found == 0) >= len(found) / 2


@each
def test_the_models_fit_on_a_blackboard(name, gone):
    model = counterexample(name, gone).instance.old
    assert model["I"].shape[0] <= 2
    assert model["I"].shape[1] <= 2
    assert len(model["layers"]) <= 2
    assert all(len(layer["heads"]) == 1 for layer in model["layers"])


def test_two_tokens_only_where_attention_is_the_reason():
    """The softmax of one score is 1, so that scores count from two tokens on."""
    assert counterexample("attention-expansion", 0).instance.old["I"].shape[0] == 2
    assert counterexample("mlp-expansion", 0).instance.old["I"].shape[0] == 1


@pytest.mark.parametrize("free", ["M_W_l2", "M_b_l2"])
def test_two_layers_where_only_the_next_norm_reads_what_was_written(free):
    """With the output projection zero on the new coordinates, the last layer's MLP writes there unread."""
    blocks = [name for name in load("hidden-expansion").new if name != free]
    text = load("hidden-expansion").text.partition("[constraints]")[0]
    constraints = "\n".join(["[constraints]", *(f'{name} = "0"' for name in blocks), ""])
    found = find([expand(BASE, loads(text + constraints, "f.toml"))])
    assert len(found.instance.old["layers"]) == 2


# --- and true ---


@each
def test_every_counterexample_is_confirmed_by_a_second_reading(name, gone, change):
    found = counterexample(name, gone)
    assert change(found) > 1e-3
    assert found.replay.ratio > 1e3


@each
def test_the_same_seed_finds_the_same_numbers(name, gone):
    again = find([weaker(name, gone)], 0)
    assert np.array_equal(entries(again), entries(counterexample(name, gone)))
    assert again.replay == counterexample(name, gone).replay


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", SIX)
def test_every_seed_finds_numbers(name, seed, change):
    assert change(counterexample(name, 0, seed)) > 1e-3


def test_a_replay_is_of_the_numbers_shown():
    found = counterexample("mlp-expansion", 0)
    assert replay(found.steps, found.instance) == found.replay
    other = copy.deepcopy(found.instance)
    other.old["W_out"] = 3 * other.old["W_out"]
    assert replay(found.steps, other).max_abs == pytest.approx(3 * found.replay.max_abs)


@pytest.mark.parametrize("name", ["mlp-expansion", "head-addition", "attention-expansion", "layer-addition"])
def test_a_true_variant_has_no_counterexample(name):
    assert find([expand(BASE, load(name))]) is None


def test_numbers_that_violate_a_constraint_do_not_count():
    """The numbers that refute the weaker variant break the constraint of the true one."""
    found = counterexample("mlp-expansion", 0)
    assert differs([weaker("mlp-expansion", 0)], found.instance)
    assert not differs([expand(BASE, load("mlp-expansion"))], found.instance)


def test_numbers_for_which_a_norm_meets_a_zero_row_do_not_count():
    found = copy.deepcopy(counterexample("mlp-expansion", 0).instance)
    found.old["P"] = -found.old["I"]
    assert not differs([weaker("mlp-expansion", 0)], found)


def test_a_chain_is_refuted_on_its_grown_model(change):
    """The blocks of a later link have the sizes that the earlier ones leave."""
    steps = [expand(BASE, load("hidden-expansion")), weaker("mlp-expansion", 0)]
    found = find(steps)
    assert change(found) > 1e-3
    width = found.grown["I"].shape[1]
    assert width > found.instance.old["I"].shape[1]
    assert found.instance.new[1]["layers"][0]["M_W_l1"].shape[0] == width


def test_the_grown_model_is_the_one_of_the_second_reading(grown_by_trees):
    for name, gone in DROPPED:
        found = counterexample(name, gone)
        expected = grown_by_trees(found.steps[0].variant, found.instance.old, found.instance.new[0])
        for shown, own in zip(tables(ordered(found.grown)), tables(ordered(expected)), strict=True):
            assert np.allclose(shown, own, rtol=1e-12)


def ordered(nested: Any) -> Any:
    """Tables with their names in order, so that two of them can be walked together."""
    if isinstance(nested, dict):
        return {name: ordered(nested[name]) for name in sorted(nested)}
    return [ordered(part) for part in nested] if isinstance(nested, list) else nested


# --- true where sizes are equal, or scalars are 1 ---

GROWN_TOGETHER = """name = "f"
[grows]
v = "v_hat"
p = "p_hat"
[rewrite]
W_V = "[W_V, 0]"
W_O = "[p_hat/v_hat*W_O; 0]"
W_l1 = "[W_l1, 0]"
b_l1 = "[b_l1, 0]"
W_l2 = "[W_l2; 0]"
"""
BOTH_RATIOS = """name = "f"
[grows]
k = "k_hat"
h = "h_hat"
[rewrite]
I = "[I, 0]"
P = "[P, 0]"
g_MHA = "[sqrt(h/h_hat)*g_MHA, 0]"
g_MLP = "[sqrt(h/h_hat)*g_MLP, 0]"
W_Q = "[W_Q, 0; 0, 0]"
W_K = "[sqrt(h_hat/h)*W_K, 0; 0, 0]"
W_V = "[W_V; 0]"
W_O = "[W_O, 0]"
W_l1 = "[W_l1; 0]"
W_l2 = "[W_l2, 0]"
b_l2 = "[b_l2, 0]"
W_out = "[W_out; 0]"
"""
OWN_SIZES = """name = "f"
[new]
A = "h, r"
B = "r, h"
C = "h, q"
D = "q, h"
[forward]
MLP = "r/q*MLP + act(X*A)*B + act(X*C)*D"
[constraints]
A = "0"
C = "0"
"""
COINCIDENCES = {
    "sizes that grow by different amounts": (GROWN_TOGETHER, "paper"),
    "sizes that grow by different factors": (BOTH_RATIOS, "paper"),
    "sizes of its own": (OWN_SIZES, "paper"),
    **{f"{a} is not {b}": (f'name = "f"\n[rewrite]\nW_l2 = "{a}/{b}*W_l2"\n', "t5") for a, b in ("pk", "pv", "kv")},
    "epsilon is not its square": ('name = "f"\n[rewrite]\neps = "eps^2"\n', "llama"),
    "nor that of queries and keys": ('name = "f"\n[rewrite]\neps_qk = "eps"\n', "qwen3"),
    "epsilon is not one": ('name = "f"\n[rewrite]\neps = "eps^2"\n', "paper-eps"),
    "a polynomial is not its first values": (
        'name = "f"\n[rewrite]\nW_l2 = "(1 + (p - 1)*(p - 2)*(p - 3)*(p - 5))*W_l2"\n',
        "paper",
    ),
    "two experts are weighed": ('name = "f"\n[rewrite]\nW_R = "2*W_R"\n', "mixtral"),
}


@pytest.mark.parametrize("name", COINCIDENCES)
def test_no_equal_sizes_or_scalars_hide_a_difference(name, answer):
    text, architecture = COINCIDENCES[name]
    found = answer(text, architecture=architecture).counterexample
    assert found is not None
    assert found.replay.max_abs > 1e-3
    assert trace(found).first_divergence is not None


CENTRED = """name = "f"
architecture = "vit"
[grows]
h = "h_hat"
[new]
T = "h, h_hat"
[stream]
map = "T"
[rewrite]
I = "I*T"
P = "P*T"
W_O = "W_O*T"
b_O = "b_O*T"
W_l2 = "W_l2*T"
b_l2 = "b_l2*T"
g_MHA = "sqrt(h/h_hat)*ones(1, h_hat)"
g_MLP = "sqrt(h/h_hat)*ones(1, h_hat)"
g_out = "sqrt(h/h_hat)*ones(1, h_hat)"
c_MHA = "0"
c_MLP = "0"
c_out = "0"
W_Q = "T'*diag(g_MHA)*W_Q"
b_Q = "b_Q + c_MHA*W_Q"
W_K = "T'*diag(g_MHA)*W_K"
W_V = "T'*diag(g_MHA)*W_V"
b_V = "b_V + c_MHA*W_V"
W_l1 = "T'*diag(g_MLP)*W_l1"
b_l1 = "b_l1 + c_MLP*W_l1"
W_out = "T'*diag(g_out)*W_out"
eps = "eps*h/h_hat"
[constraints]
"T*(eye(h_hat) - ones(h_hat, h_hat)/h_hat)*T'" = "eye(h) - ones(h, h)/h"
"""
BOUND = {  # constraints that are met by few numbers, and what is then wrong
    "rows of other lengths": (load("any-isometry").text.replace('"T*T\'" = "eye(h)"\n', ""), "llama"),
    "rows twice as long": (load("any-isometry").text.replace('"eye(h)"', '"2*eye(h)"'), "llama"),
    "a last bias that is gone": (CENTRED, "vit"),
}


@pytest.mark.parametrize("name", BOUND)
def test_constraints_that_bind_many_blocks_hide_no_difference(name, answer):
    text, architecture = BOUND[name]
    found = answer(text, architecture=architecture).counterexample
    assert found is not None
    assert trace(found).first_divergence is not None


@pytest.mark.parametrize("number", ["1/3", "1/10", "2/7"])
def test_a_constraint_in_fractions_hides_no_difference(number, answer):
    """No floating-point number is 1/3: the numbers are read as the fractions that they round."""
    text = f'name = "f"\n[new]\nD = "h, h"\n[rewrite]\nW_O = "W_O*D"\n[constraints]\nD = "{number}*eye(h)"\n'
    found = answer(text)
    assert found.verdict == "refuted"
    assert number in "\n".join(counterexample_text(found.counterexample, trace(found.counterexample)))


@pytest.mark.parametrize("factor", ["0.99999", "1.000000001"])
def test_a_rounded_number_is_another_number(factor, answer):
    """The outputs differ by too little to be seen, and by far more than rounding errors."""
    found = answer(f'name = "f"\n[rewrite]\nW_O = "{factor}*W_O"\n').counterexample
    assert found is not None
    assert 0 < found.replay.max_abs < 1e-3
    assert found.replay.ratio > 1e3
    assert trace(found).first_divergence is not None


def test_numbers_that_are_close_to_a_fraction_only_are_not_taken_for_it():
    assert fraction_of(1 / 3) == Fraction(1, 3)
    assert fraction_of(1 / 3 + 1e-15) != Fraction(1, 3)
    assert fraction_of(2**0.5) == Fraction(2**0.5)
    assert (rounded_fractions(np.array([[0.1 + 2e-16, 0.1 + 1e-9]])) == [[0.1, 0.1 + 1e-9]]).all()
