"""What is to blame for a counterexample: each name is tried, by numbers that are computed here once more."""

from functools import cache

import numpy as np
import pytest
from as_published import load

from growproof.numeric.forward import transformer
from growproof.numeric.model import from_nested
from growproof.proofs import blame as module
from growproof.proofs.blame import Blame, blame, neutral, parted, replaced, zeros_like
from growproof.proofs.check import check
from growproof.proofs.counterexample import Counterexample
from growproof.proofs.trace import trace
from growproof.symbolic.architecture import PRESETS
from growproof.symbolic.floats import float_arithmetic
from growproof.symbolic.instances import grown
from growproof.symbolic.variant import loads

MLP, HIDDEN, ATTENTION = "mlp-expansion", "hidden-expansion", "attention-expansion"


def free(name: str, *constraints: str) -> str:
    """A variant of the paper with other constraints."""
    return "\n".join([load(name).text.partition("[constraints]")[0], "[constraints]", *constraints, ""])


BLOCKS = {
    # relu(N M1 + m1) M2: either factor is to blame, and of the first whatever is not zero
    "units that write": (free(MLP), {"M_W_l2"}),
    # nothing of the new head is 0 and M_V M_O is what it adds
    "a head that writes": (free("head-addition"), {"M_W_V", "M_W_O"}),
    "longer queries and keys": (free(ATTENTION), {"M_W_Q", "M_W_K"}),
    "a bias of a new layer": (free("layer-addition", 'M_W_O = "0"', 'M_W_l2 = "0"'), {"M_b_l2"}),
}
PARAMETERS = {
    "no factor on the keys": (load(ATTENTION).text.replace("sqrt(k_hat)/sqrt(k)*", ""), {"W_Q", "W_K"}),
    "the output doubled": ('name = "f"\n[rewrite]\nW_out = "2*W_out"\n', {"W_out"}),
    "values doubled": ('name = "f"\n[rewrite]\nW_V = "2*W_V"\nW_l1 = "1*W_l1"\n', {"W_V"}),
    "first biases doubled": ('name = "f"\n[rewrite]\nb_l1 = "2*b_l1"\nW_V = "1*W_V"\n', {"b_l1"}),
}
TWO = """name = "f"
[grows]
p = "p + 2*q"
[new]
A = "q, h"
B = "q, h"
[rewrite]
W_l1 = "[W_l1, ones(h, q), -ones(h, q)]"
b_l1 = "[b_l1, ones(1, q), ones(1, q)]"
W_l2 = "[W_l2; A; B]"
"""


@cache
def refuted(*texts: str, architecture: str = "paper") -> Counterexample:
    found = check([loads(text, "f.toml") for text in texts], PRESETS[architecture]).counterexample
    assert found is not None
    return found


def blamed(*texts: str, architecture: str = "paper") -> Blame:
    found = refuted(*texts, architecture=architecture)
    return blame(found, trace(found))


def change_without(found: Counterexample, *names: str, value=zeros_like) -> float:
    """How far the outputs are apart with some new blocks zero, or something else."""
    (step,), (new,) = found.steps, found.instance.new
    after = grown(step, found.instance.old, replaced(new, names, value), float_arithmetic())
    outputs = [transformer(*from_nested(model), 0) for model in (found.instance.old, after)]
    return float(np.abs(outputs[1] - outputs[0]).max())


@pytest.mark.parametrize("name", BLOCKS)
def test_new_blocks_are_to_blame_and_with_each_of_them_zero_the_models_agree(name):
    text, expected = BLOCKS[name]
    found = blamed(text)
    assert expected <= set(found.names)
    assert "these models agree" in found.reason
    assert change_without(refuted(text)) > 1e-3
    assert all(change_without(refuted(text), block) < 1e-9 for block in found.names)


@pytest.mark.parametrize("name", BLOCKS)
def test_no_other_new_block_is_to_blame(name):
    text, _ = BLOCKS[name]
    found, named = refuted(text), blamed(text).names
    for block in found.steps[0].variant.new:
        assert block in named or change_without(found, block) > 1e-3


@pytest.mark.parametrize("name", PARAMETERS)
def test_else_it_is_what_is_rewritten_and_read_where_the_models_part(name):
    text, expected = PARAMETERS[name]
    found = blamed(text)
    assert set(found.names) == expected
    assert found.reason.startswith("rewritten, and read where the models part first")


def test_blocks_that_are_to_blame_only_together_are_named_together():
    """At gains of zero both new units are 1, and each adds what it writes."""
    found = refuted(TWO)
    (new,) = found.instance.new
    for layer, own in zip(found.instance.old["layers"], new["layers"], strict=True):
        layer["g_MLP"] = np.zeros_like(layer["g_MLP"])
        own["A"] = own["B"] = np.ones_like(own["A"])
    assert min(change_without(found, block) for block in "AB") > 1e-3
    named = blame(found, trace(found))
    assert named == Blame(("A", "B"), "with all of them zero, these models agree")
    assert change_without(found, "A", "B") < 1e-9


def test_in_a_chain_a_block_is_named_with_its_step():
    assert "M_W_l2 of step 2" in blamed(load("heads-expansion").text, free(MLP)).names


def test_what_agrees_before_is_not_to_blame():
    """The scores agree, so the queries and keys that are rewritten too are not named."""
    text = 'name = "f"\n[rewrite]\nW_Q = "-W_Q"\nW_K = "-W_K"\nW_V = "3*W_V"\n'
    assert blamed(text).names == ("W_V",)


def test_a_new_layer_is_to_blame_for_what_comes_after_it():
    """It has no new block: every entry is made of numbers."""
    entries = load("layer-addition").text.partition("[added.layer]")[2].partition("[constraints]")[0]
    names = [line.split(" = ")[0] for line in entries.splitlines() if " = " in line]
    shapes = {
        "W_Q": "h, k",
        "W_K": "h, k",
        "W_V": "h, v",
        "W_O": "v, h",
        "W_l1": "h, p",
        "W_l2": "p, h",
        "b_l1": "1, p",
    }
    own = [f'{name} = "ones({shapes.get(name, "1, h")})"' for name in names if name in PAPER_LAYER]
    found = blamed("\n".join(['name = "f"', "[added.layer]", *own, ""]))
    assert {"W_l2 of the new layer", "b_l2 of the new layer"} & set(found.names)


PAPER_LAYER = ("g_MHA", "W_Q", "W_K", "W_V", "W_O", "g_MLP", "W_l1", "b_l1", "W_l2", "b_l2")


def test_a_norm_that_would_meet_a_zero_row_is_no_agreement(monkeypatch):
    def raises(*_: object) -> None:
        raise ValueError("a row of zeros")

    monkeypatch.setattr(module, "replay", raises)
    found = refuted(free(MLP))
    assert "zeros in new blocks do not make these models agree" in blame(found, trace(found)).reason


# --- what changes nothing ---

TURNED = """name = "f"
[new]
A = "v, v"
[rewrite]
W_V = "W_V*A"
W_O = "A*W_O"
[constraints]
"A*A'" = "eye(v)"
"""
SELECTED = """name = "f"
[new]
S = "p, p; selection"
[rewrite]
W_l1 = "W_l1*S"
b_l1 = "b_l1*S"
W_l2 = "S'*W_l2"
"""
SIGNED = """name = "f"
[new]
d = "1, p"
T = "p, p"
[rewrite]
W_l1 = "W_l1*diag(d)"
b_l1 = "b_l1*diag(d)"
W_l2 = "T*W_l2"
[constraints]
"diag(d)*T" = "eye(p)"
"""
FACTORS = {
    "a turn": (TURNED, {"A"}, "the identity in place of it"),
    "units that are chosen": (SELECTED, {"S"}, "the identity in place of it"),
    "signs before relu": (SIGNED, {"d", "T"}, "ones and the identity in place of all of them"),
}


@pytest.mark.parametrize("name", FACTORS)
def test_a_factor_is_to_blame_where_the_models_agree_with_the_identity_in_its_place(name):
    text, expected, words = FACTORS[name]
    found = refuted(text)
    named = blame(found, trace(found))
    assert (set(named.names), named.reason) == (expected, f"with {words}, these models agree")
    assert change_without(found, *named.names, value=neutral) < 1e-9


@pytest.mark.parametrize("name", FACTORS)
def test_what_is_read_where_the_models_part_is_never_nothing(name, monkeypatch):
    """The same formula may agree in the layer before."""
    monkeypatch.setattr(module, "ways", lambda found: iter(()))
    found = refuted(FACTORS[name][0])
    named = blame(found, trace(found))
    assert named.names
    assert set(named.names) <= set(found.steps[0].variant.rewrite)


def test_a_formula_that_agrees_in_one_layer_is_to_blame_in_the_next():
    """What the units of layer 1 read agrees; the same formula in layer 2 is the first that differs."""
    found = refuted(SELECTED)
    assert parted(found, trace(found)) == ("W_l1", "b_l1")


def test_what_another_body_reads_is_not_called_rewritten():
    assert blamed('name = "f"\n[forward]\nMLP = "2*MLP"\n').reason == "read where the models part first"


def test_where_nothing_is_read_all_that_is_rewritten_is_named(monkeypatch):
    monkeypatch.setattr(module, "read", lambda term, agreed: iter(()))
    found = refuted(SELECTED)
    assert parted(found, trace(found)) == ("W_l1", "b_l1", "W_l2")


def test_a_block_of_two_different_sides_has_no_identity():
    """Even where its numbers are square."""
    found = refuted(free(MLP))
    assert list(module.new_blocks(found, zeros_like))
    names = {name for _, name in module.new_blocks(found, neutral)}
    assert names <= {"M_b_l1"}  # the only row


# --- what is added without any block ---


@pytest.mark.parametrize("architecture", ["gpt2", "vit"])
def test_a_bias_that_is_copied_is_to_blame_and_not_the_zeros_beside_it(architecture):
    """W_O = 0 and W_l2 = 0 write nothing; the biases of the layer before are written twice."""
    text = 'name = "f"\n[added.layer]\ncopy = "previous"\nW_O = "0"\nW_l2 = "0"\n'
    named = blamed(text, architecture=architecture)
    assert named.names
    assert set(named.names) <= {"b_O of the new layer", "b_l2 of the new layer"}
    assert "zero" in named.reason
    silent = text + 'b_O = "0"\nb_l2 = "0"\n'
    assert check([loads(silent, "f.toml")], PRESETS[architecture]).verdict == "proved"


def test_a_head_that_is_copied_whole_is_to_blame():
    named = blamed('name = "f"\n[added.head]\ncopy = "each"\n')
    assert set(named.names) >= {"W_O of the new head"}
    assert "zero" in named.reason


def test_in_a_chain_what_is_added_is_named_with_its_step():
    copied = 'name = "f"\n[added.layer]\ncopy = "previous"\nW_O = "0"\nb_l2 = "0"\n'
    found = refuted(load(MLP).text, copied)
    assert set(blame(found, trace(found)).names) >= {"W_l2 of the new layer of step 2"}
