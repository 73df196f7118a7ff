"""The campaign on trial: its cases are the same everywhere, and every kind of defect that is planted is found."""

import pickle
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from growproof.proofs import campaign, kernel, prover
from growproof.proofs.campaign import ATTACKS, Case, attacks, deck, drawn_case, from_file, judged, outcome, outcomes
from growproof.proofs.check import check
from growproof.proofs.counterexample import find_any
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.errors import VariantError
from growproof.symbolic.expand import expand
from growproof.symbolic.terms import MatrixSymbol, zero
from growproof.symbolic.variant import loads
from growproof.symbolic.writing import text_of

MLP = text_of(from_file("mlp-expansion", PRESETS["paper"]))
FALSE = MLP.partition("[constraints]")[0]
SEED = (3, 5)


def case(*texts: str, true: bool = False) -> Case:
    return Case("a test", "planted", loads(texts[0], "f.toml").architecture, texts, true)


# ---------------------------------------------------------------- the same everywhere


def test_a_case_follows_from_its_seed_and_number_alone():
    together = outcomes(0, [7, 8, 9])
    assert [outcome(0, 9), outcome(0, 7)] == [together[2], together[0]]
    assert [one.index for one in together] == [7, 8, 9]
    assert drawn_case(np.random.default_rng([1, 7])) != drawn_case(np.random.default_rng([0, 7]))


def test_an_outcome_can_be_sent():
    found = outcome(0, 4)
    assert pickle.loads(pickle.dumps(found)) == found


def test_cases_are_of_many_kinds_and_architectures():
    drawn = [case for i in range(150) if (case := drawn_or_refused(i)) is not None]
    assert len({one.kind for one in drawn}) == 6
    assert len({one.architecture for one in drawn}) == len(PRESETS)
    assert {len(one.texts) for one in drawn} == {1, 2, 3}
    assert 5 < sum(one.true for one in drawn) < 50


def drawn_or_refused(index: int) -> Case | None:
    """A variant of the catalogue need not fit every architecture."""
    try:
        return drawn_case(np.random.default_rng([0, index]))
    except VariantError:
        return None


def test_the_deck_is_another_one_where_the_catalogue_is(monkeypatch):
    before = deck()
    monkeypatch.setattr(campaign, "catalogue", lambda: ("mlp-expansion",))
    assert deck() != before


# ---------------------------------------------------------------- attacks


def test_a_proof_is_attacked_at_several_sizes():
    steps = [expand(paper_model(PRESETS["paper"]), loads(MLP, "f.toml"))]
    profiles = [profile for profile, _ in islice(attacks(steps, np.random.default_rng(0)), ATTACKS)]
    assert len(profiles) == ATTACKS
    assert len({(*profile.sizes.items(), profile.layers, profile.heads) for profile in profiles}) == ATTACKS
    assert judged(case(MLP), SEED).attacks == ATTACKS


def test_every_false_mutant_would_be_seen_by_the_attack(monkeypatch):
    """What `check` refutes, said to be proved: the random models differ every time."""
    trusting(monkeypatch)
    refuted = [i for i in range(30) if outcome(0, i).judgement.failure == "false proof"]
    assert len(refuted) > 5
    monkeypatch.undo()
    assert {i for i in range(30) if outcome(0, i).judgement.verdict == "refuted"} - set(refuted) == set()


def trusting(monkeypatch):
    """Let every refuted case pass for proved, and leave failures as large as they are."""

    def proved(*arguments):
        found = check(*arguments)
        return replace(found, verdict="proved") if found.verdict == "refuted" else found

    monkeypatch.setattr(campaign, "check", proved)
    monkeypatch.setattr(campaign, "smallest", lambda texts, happens: texts)


def test_a_proof_that_no_model_can_attack_is_counted(monkeypatch):
    monkeypatch.setattr(campaign, "drawn_blocks", lambda *_: None)
    found = judged(case(MLP), SEED)
    assert (found.verdict, found.attacks, found.failure) == ("proved", 0, "")


def test_a_norm_of_zeros_is_no_attack():
    """I + P = 0 in the grown model: with no epsilon that is 0/0, which the theorem excludes."""
    steps = [expand(paper_model(PRESETS["paper"]), loads('name = "a"\n[rewrite]\nI = "0"\nP = "0"\n', "f.toml"))]
    assert list(attacks(steps, np.random.default_rng(0))) == []


# ---------------------------------------------------------------- planted defects


@pytest.fixture
def broken_rule(fresh):
    """A kernel that takes every new block for zero."""
    right = kernel.RULES["zeros"]

    def wrong(context, term, argument):
        if isinstance(term, MatrixSymbol) and term.name.startswith("M_"):
            return zero(*term.shape)
        return right(context, term, argument)

    fresh.setitem(kernel.RULES, "zeros", wrong)


def test_a_broken_rule_of_the_kernel_is_found_and_made_small(broken_rule):
    found = next(one for i in range(100) if (one := outcome(0, i)).judgement.failure == "false proof")
    assert found.judgement.verdict == "proved"
    assert "the outputs differ by" in found.judgement.detail
    original = campaign.drawn_case(np.random.default_rng([0, found.index]))
    assert sum(map(len, found.texts)) < sum(map(len, original.texts)) or found.refused
    again = judged(case(*found.texts), (0, found.index))
    assert again.failure == "false proof"
    (text,) = found.texts
    assert len(loads(text, "f.toml").rewrite) <= 3


def test_with_the_rule_mended_the_small_case_is_refuted(broken_rule, fresh):
    (text,) = campaign.smallest((FALSE,), lambda texts: judged(case(*texts), SEED).failure == "false proof")
    fresh.undo()
    prover.prove.cache_clear()
    found = judged(case(text), SEED)
    assert (found.verdict, found.failure) == ("refuted", "")


def test_a_refutation_that_does_not_replay_is_found(monkeypatch):
    """Numbers of a false variant, said to refute a true one."""
    false = check([loads(FALSE, "f.toml")], PRESETS["paper"], 0, find_any)

    def confused(variants, *rest):
        return replace(check(variants, *rest), verdict="refuted", counterexample=false.counterexample)

    monkeypatch.setattr(campaign, "check", confused)
    assert judged(case(MLP), SEED).failure == "unreplayed refutation"
    assert judged(case(FALSE), SEED).failure == ""


def test_a_refutation_of_which_a_constraint_fails_does_not_replay(monkeypatch):
    """The outputs differ, but the new blocks are not what the variant asks for."""
    found = check([loads(FALSE, "f.toml")], PRESETS["paper"], 0, find_any)
    assert judged(case(FALSE), SEED).failure == ""
    monkeypatch.setattr(campaign, "is_exact", lambda *_: False)
    assert found.counterexample is not None
    assert judged(case(FALSE), SEED).failure == "unreplayed refutation"


def test_what_is_true_by_construction_and_refuted_is_found():
    assert judged(case(FALSE, true=True), SEED).failure == "refuted though true"


def test_an_exception_is_a_crash_and_an_error_of_the_variant_is_none(monkeypatch):
    def crash(variants, *_):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(campaign, "check", crash)
    found = outcome(0, 0)
    assert (found.judgement.verdict, found.judgement.failure) == ("crash", "crash")
    assert found.judgement.detail.endswith("ZeroDivisionError: planted\n")
    assert len(found.texts) == 1
    assert loads(found.texts[0], "f.toml").rewrite == {}

    def refuse(variants, *_):
        raise VariantError("planted")

    monkeypatch.setattr(campaign, "check", refuse)
    with pytest.raises(VariantError):
        judged(case(MLP), SEED)
    monkeypatch.setattr(campaign, "MOST_DRAWS", 3)
    with pytest.raises(AssertionError, match="found no variant in 3 draws"):
        outcome(0, 0)


UNKNOWN = """
name = "An unknown factor"
[grows]
k = "k_hat"
[new]
M_Q = "h, k_hat - k"
M_K = "h, k_hat - k"
[rewrite]
W_Q = "[?a*W_Q, M_Q]"
W_K = "[W_K, M_K]"
"""


def test_an_unknown_factor_is_attacked_as_solved_and_a_refutation_replayed_whatever_it_is(monkeypatch):
    proved = judged(case(UNKNOWN + '[constraints]\nM_K = "0"\n'), SEED)
    assert (proved.verdict, proved.attacks, proved.failure) == ("proved", ATTACKS, "")
    refuted = judged(case(UNKNOWN), SEED)
    assert (refuted.verdict, refuted.failure) == ("refuted", "")
    values = []
    right = campaign.expansions
    monkeypatch.setattr(campaign, "expansions", lambda *given: values.append(given[2]) or right(*given))
    judged(case(UNKNOWN), SEED)
    assert values == list(campaign.VALUES)


def test_an_output_that_is_no_number_is_no_attack(monkeypatch):
    """A comparison with nan is never true: it would let a false proof pass."""
    nothing = replace(find_any(campaign.expansions([loads(FALSE, "f")], PRESETS["paper"])).replay, ratio=float("nan"))
    monkeypatch.setattr(campaign, "compared", lambda *_: nothing)
    assert judged(case(MLP), SEED).attacks == 0


# ---------------------------------------------------------------- what the campaign found once


@pytest.mark.parametrize("preset", ["llama", "gptj"])
def test_after_longer_rotary_keys_more_pairs_turn(preset):
    """The second step of a chain read the old number of pairs off the model: sizes that do not fit."""
    texts = (text_of(from_file(name, PRESETS[preset])) for name in ("attention-expansion", "hidden-expansion"))
    assert judged(case(*texts), SEED).verdict == "refuted"


@pytest.mark.parametrize("preset", ["paper", "mistral"])
def test_a_copied_layer_has_the_heads_that_were_added_before(preset):
    """The new blocks of the copy were drawn for as many heads as the first model had."""
    copy = text_of(loads('name = "Copy"\n[added.layer]\ncopy = "previous"\n', "f.toml"))
    head = text_of(from_file("head-addition", PRESETS[preset]))
    texts = (head, copy.replace('"paper"', f'"{preset}"'))
    assert judged(case(*texts), SEED).verdict == "refuted"


@pytest.mark.parametrize("preset", ["vit", "mixtral"])
def test_a_function_that_is_no_polynomial_can_be_refuted(preset):
    """GELU and SiLU of whole numbers are no fractions: the grown model is compared with one of rounded values."""
    text = text_of(from_file("heads-expansion", PRESETS[preset])).replace("[W_V,", "[act(W_V),")
    assert judged(case(text), SEED).verdict == "refuted"


def test_a_condition_on_sums_needs_two_new_units():
    text = MLP.replace('M_W_l2 = "0"', '"ones(1, p_hat - p)*M_W_l2" = "0"')
    assert judged(case(text), SEED).verdict == "refuted"


def test_a_product_that_vanishes_needs_room():
    """M_W_V M_W_O = 0 with neither of them 0 asks for more values than the stream has coordinates."""
    head = text_of(from_file("head-addition", PRESETS["paper"]))
    text = head.replace('W_O = "M_W_O"', 'W_O = "act(M_W_O)"').replace('M_W_O = "0"', '"M_W_V*M_W_O" = "0"')
    assert judged(case(text), SEED).verdict == "refuted"
