"""The matrix: verdicts by hand, evidence for each, and honest about what it does not know."""

from dataclasses import replace
from functools import cache

import pytest
from unpublished import LORA_OF_THE_GATE

from growproof.proofs import matrix as module
from growproof.proofs.matrix import Cell, Matrix, cell, matrix
from growproof.reports.report import SIX
from growproof.symbolic.architecture import PRESETS
from growproof.symbolic.variant import load, loads

MODELLED = list(PRESETS)
ATTENTION, HIDDEN, LAYER, MLP = "attention-expansion", "hidden-expansion", "layer-addition", "mlp-expansion"

REFUTED = {
    **{name: {ATTENTION, HIDDEN} for name in ("llama", "mistral", "mixtral", "qwen3", "gemma", "t5")},
    **{name: {HIDDEN} for name in ("paper-eps", "gpt2", "opt", "vit", "gptj")},
    "bert": {HIDDEN, LAYER},
    "paper": set(),
}
"""By hand: an epsilon or LayerNorm breaks zero padding; recomputed rotary frequencies, a norm of q and k, or no factor
1/sqrt(k) break longer keys (GPT-J's lie outside the rotary part); post-norm breaks a layer that writes nothing."""

LLAMA_ONLY = """
name = "Wider, as one writes it for Llama"
[grows]
p = "p_hat"
[new]
U = "h, p_hat - p"
G = "h, p_hat - p"
D = "p_hat - p, h"
[rewrite]
W_l1 = "[W_l1, U]"
W_gate = "[W_gate, G]"
W_l2 = "[W_l2; D]"
[constraints]
D = "0"
"""


@cache
def known(name: str, architecture: str) -> Cell:
    return cell(name, load(name), PRESETS[architecture])


def own(text: str, architecture: str) -> Cell:
    return cell("own", loads(text, "own.toml"), PRESETS[architecture])


# ---------------------------------------------------------------- verdicts


@pytest.mark.parametrize("architecture", MODELLED)
@pytest.mark.parametrize("name", SIX)
def test_each_cell_is_as_derived_by_hand(name, architecture):
    found = known(name, architecture)
    assert found.verdict == ("refuted" if name in REFUTED[architecture] else "proved")
    assert found.decided


def test_a_refuted_cell_says_what_breaks_it():
    assert known(HIDDEN, "gpt2").reason == "what breaks it: LayerNorm, an epsilon and a tied output"
    assert known(ATTENTION, "t5").features == ("no score factor",)
    assert known(LAYER, "bert").features == ("post-norm",)


def test_a_refuted_cell_has_numbers_that_numpy_replays():
    found = known(ATTENTION, "qwen3")
    assert found.counterexample.replay.max_abs > 1e-3
    assert found.counterexample.replay.ratio > 1e3
    assert found.counterexample.steps[0].old.preset == PRESETS["qwen3"]


def test_a_repaired_cell_has_numbers_of_the_repair():
    found = known(ATTENTION, "llama")
    assert found.repair.changes == ("rope_base = rope_base^(k_hat/k)",)
    assert [one.dtype for one in found.outcomes] == ["float64", "float32", "float16", "bfloat16"]
    assert found.agrees


def test_what_never_learns_in_a_repair_is_told():
    """The new columns of q and k are both zero and only ever multiply each other; for Llama one side is free."""
    assert {"M_W_Q", "M_W_K"} <= set(known(ATTENTION, "qwen3").dead)
    assert known(ATTENTION, "llama").dead == ()


def test_a_variant_of_what_an_architecture_lacks_does_not_apply():
    assert own(LORA_OF_THE_GATE, "llama").verdict == "proved"
    missing = own(LORA_OF_THE_GATE, "gpt2")
    assert missing.verdict == "not-applicable"
    assert missing.reason == "`gpt2` has nothing that the variant changes: W_gate"
    assert missing.decided


def test_a_variant_that_changes_nothing_does_not_apply_anywhere():
    assert own('name = "x"\n[rewrite]\nW_l1 = "W_l1"\n', "paper").reason == "the expansion changes nothing"


def test_a_variant_that_does_not_fit_an_architecture_does_not_apply_and_says_why():
    assert own(LLAMA_ONLY, "llama").verdict == "proved"
    missing = own(LLAMA_ONLY, "gpt2")
    assert missing.verdict == "not-applicable"
    assert "b_l1" in missing.reason


def test_a_variant_that_is_wrong_everywhere_is_refuted_without_a_feature():
    wrong = own(LLAMA_ONLY.replace('D = "0"', 'G = "ones(h, p_hat - p)"'), "llama")
    assert (wrong.verdict, wrong.features) == ("refuted", ())
    assert wrong.reason == "refuted with the paper's options too"
    assert wrong.repair.changes in (("D = 0",), ("U = 0",))  # act(X G) o (X U) D


# ---------------------------------------------------------------- evidence that fails


def test_a_proof_that_numbers_contradict_is_not_decided(monkeypatch):
    run = module.experiment

    def spoiled(*given):
        return tuple(replace(one, agreement=replace(one.agreement, ratio=2.0)) for one in run(*given))

    monkeypatch.setattr(module, "experiment", spoiled)
    found = cell(MLP, load(MLP), PRESETS["llama"])
    assert found.verdict == "proved"
    assert not found.decided


def test_a_proof_without_numbers_is_not_decided(monkeypatch):
    monkeypatch.setattr(module, "experiment", lambda *_: ())
    assert not cell(MLP, load(MLP), PRESETS["llama"]).decided


def test_what_numbers_do_not_refute_and_nothing_proves_is_undecided(monkeypatch):
    monkeypatch.setattr(module, "seems_to_hold", lambda *_: True)
    monkeypatch.setattr("growproof.proofs.check.find", lambda *_: None)
    found = cell(ATTENTION, load(ATTENTION), PRESETS["llama"])
    assert found.verdict == "undecided"
    assert "remain" in found.reason
    assert not found.decided


def test_what_random_numbers_miss_is_still_refuted(monkeypatch):
    monkeypatch.setattr(module, "seems_to_hold", lambda *_: True)
    assert cell(LAYER, load(LAYER), PRESETS["bert"]).verdict == "refuted"


# ---------------------------------------------------------------- the whole


def small(say=lambda text: None) -> Matrix:
    return matrix({MLP: load(MLP), LAYER: load(LAYER)}, (PRESETS["bert"], PRESETS["paper"]), say=say)


def test_the_same_inputs_give_the_same_cells():
    first, second = small(), small()
    for place, one in first.cells.items():
        other = second.cells[place]
        assert (one.verdict, one.reason, one.features) == (other.verdict, other.reason, other.features)


def test_cells_come_one_by_one_and_each_is_told():
    told: list[str] = []
    found = small(told.append)
    assert told == [
        "bert, mlp-expansion: proved",
        "bert, layer-addition: refuted",
        "paper, mlp-expansion: proved",
        "paper, layer-addition: proved",
    ]
    assert [one.verdict for one in found.row("bert")] == ["proved", "refuted"]
    assert found.decided


def test_one_open_cell_leaves_the_matrix_open():
    found = small()
    opened = replace(found.cells[MLP, "paper"], verdict="undecided")
    assert not replace(found, cells={**found.cells, (MLP, "paper"): opened}).decided


def test_a_router_of_two_experts_learns_after_the_repair():
    """With two experts kept, their weights depend on the scores: the new rows of W_R move at the second step."""
    assert known(HIDDEN, "mixtral").dead == ()
