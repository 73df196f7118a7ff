"""The catalogue: every file says what to expect and why, and what is expected is what is found.

A true variant that loses something essential is refuted, and a false one is mended by what its reason names.
"""

import re
from functools import cache

import numpy as np
import pytest

from growproof.proofs.certificate import certificate, verify
from growproof.proofs.check import Answer, check
from growproof.proofs.comparison import compared
from growproof.proofs.counterexample import CLEARLY
from growproof.proofs.drawing import satisfied
from growproof.proofs.experiment import experiment
from growproof.symbolic.architecture import PRESETS
from growproof.symbolic.errors import VariantError
from growproof.symbolic.variant import SIX, VERDICTS, Variant, catalogue, load, loads, zoo
from growproof.symbolic.writing import text_of

FOUND = {verdict: [n for n in catalogue() if load(n).verdict == verdict] for verdict in VERDICTS}
every = pytest.mark.parametrize("name", catalogue())
proved = pytest.mark.parametrize("name", FOUND["proved"])
refuted = pytest.mark.parametrize("name", FOUND["refuted"])


def judged(variant: Variant) -> Answer:
    return check([variant], PRESETS[variant.architecture])


@cache
def answer(name: str) -> Answer:
    return judged(load(name))


def altered(name: str, *changes: tuple[str, str]) -> Variant:
    """A catalogue file in which some texts, each of which stands there once, are others; the last may be put below."""
    text = load(name).text
    for old, new in changes:
        assert old == END or text.count(old) == 1, f"{name}: {old!r} stands there {text.count(old)} times"
        text = f"{text}\n{new}\n" if old == END else text.replace(old, new)
    return loads(text, f"{name}.toml")


END = "the end of the file"

# --- what the files say ---


def test_the_zoo_is_large_and_comes_beside_the_paper_s_six():
    assert set(SIX) | set(zoo()) == set(catalogue())
    assert not set(SIX) & set(zoo())
    assert len(zoo()) >= 40
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in catalogue())


@every
def test_a_file_begins_with_a_remark_and_says_what_it_is_and_what_to_expect(name):
    remark, *lines = load(name).text.splitlines()
    assert re.fullmatch(r"# [A-Z].*\.", remark)
    assert [line.split(" = ")[0] for line in lines[:5]] == ["name", "source", "architecture", "verdict", "reason"]
    assert max(map(len, [remark, *lines])) <= 120


@every
def test_a_file_has_a_source_and_a_reason_that_can_be_read_aloud(name):
    variant = load(name)
    assert "arXiv:" in variant.source
    assert re.fullmatch(r"[A-Z0-9n][^*=_\[\]]*\.", variant.reason)  # words, no formulas
    assert len(variant.reason.split()) <= 30


def test_names_are_different():
    assert len({load(name).name for name in catalogue()}) == len(catalogue())


# --- what is found ---


@every
def test_the_verdict_is_the_expected_one(name):
    assert answer(name).verdict == load(name).verdict


@proved
def test_what_is_proved_has_a_certificate_that_holds(name):
    assert verify(certificate(answer(name))).statement


@proved
def test_what_is_proved_agrees_in_numpy(name):
    outcomes = experiment([claim.steps[0] for claim in answer(name).parts])
    assert [outcome.dtype for outcome in outcomes] == ["float64", "float32", "float16", "bfloat16"]
    assert all(outcome.agreement.passed for outcome in outcomes)
    assert outcomes[0].met


@refuted
def test_the_numbers_of_a_counterexample_meet_the_constraints_and_differ_in_numpy(name):
    found = answer(name).counterexample
    assert found is not None
    (step,), (new,) = found.steps, found.instance.new
    assert satisfied(step, found.instance.old, new)
    replay = compared([step], found.instance.old, found.grown)
    assert replay.max_abs == found.replay.max_abs > 0
    assert replay.ratio > CLEARLY
    assert np.isfinite(replay.max_abs)


# --- what is essential ---

WITHOUT = {  # a true variant, what it loses, and what is then wrong
    "adapter": [('N_up = "0"\n', "")],  # one of the two bottlenecks writes
    "any-isometry": [('eps = "eps*h/h_hat"\n', "")],  # the mean square is over more coordinates
    "attention-expansion-any-factor": [("?a*W_Q", "2*W_Q")],  # right at k_hat = 4 k only
    "attention-expansion-qk-norm": [("sqrt(k)/sqrt(k_hat)*g_Q", "g_Q")],  # the norm divides by another root
    "attention-expansion-rope": [('rope_base = "rope_base^(k_hat/k)"\n', "")],  # other frequencies
    "attention-expansion-t5": [('"[W_K, M_W_K]"', '"[sqrt(k_hat)/sqrt(k)*W_K, M_W_K]"')],  # nothing to undo
    "bert2bert-fpi": [('W_O = "1/2*W_O"\n', "")],  # twice what was written
    "controlnet": [('Z_out = "0"\n', "")],
    "copies-in-any-order": [('"S*S\'" = "n*eye(h)"\n', "")],  # some copied more often than others
    "deep-fusion": [('"1/2*[W_out; W_out]"', '"[W_out; W_out]"')],  # a sum instead of a mean
    "gated-mlp-zero-gate": [('M_W_gate = "0"\n', "")],
    "gqa-head-addition": [('M_W_O = "0"\n', "")],
    "gqa-to-mha": [(END, '[rewrite]\nW_K = "2*W_K"')],  # other keys than those of the group
    "gradmax": [('M_b_l1 = "0"\n', "")],  # GELU of a bias
    "hidden-expansion-eps": [('eps = "h/h_hat*eps"\n', "")],
    "hidden-expansion-gemma": [
        ("sqrt(h)/sqrt(h_hat)*(ones(1, h) + g_MHA) - ones(1, h)", "sqrt(h)/sqrt(h_hat)*g_MHA")
    ],  # the stored gain scaled
    "hypercloning-diagonal": [('W_O = "[0, W_O]"', 'W_O = "[W_O, 0]"')],  # new heads write to the wrong copy
    "hypercloning-noisy": [('"kron(ones(1, n), eye(p))*M_l2" = "0"\n', "")],  # noise that is seen
    "hypercloning-layernorm": [('W_out = "1/n*kron(ones(n, 1), W_out)"', 'W_out = "kron(ones(n, 1), W_out)"')],
    "hypercloning-symmetric": [('W_out = "1/n*kron(ones(n, 1), W_out)"', 'W_out = "kron(ones(n, 1), W_out)"')],
    "key-bias": [('b_K = "M_b_K"', 'b_Q = "M_b_K"')],  # the bias of the queries is seen
    "lemon-depth": [("-M_W_l2", "M_W_l2")],  # what should cancel adds up
    "lemon-width-layernorm": [("1/h*b_O*ones(h, 1)*ones(1, r)]", "0]")],
    "lemon-width-rmsnorm": [("sqrt(n*h)/sqrt(h_hat)*[kron(ones(1, n), g_out)", "[kron(ones(1, n), g_out)")],
    "llama-pro": [('W_l2 = "0"\n', "")],
    "lora": [('B_V = "0"\n', "")],
    "masked-growth": [('mask_MLP = "0"\n', "")],
    "net2deeper": [('M_b = "0"\n', "")],
    "net2wider": [('"S*T" = "eye(p)"\n', "")],
    "rezero": [('M_alpha = "0"\n', "")],
    "slicegpt-rotation": [('g_MHA = "ones(1, h)"', 'g_MHA = "g_MHA"')],  # gains do not turn with the stream
    "sparse-upcycling-renormalised": [("top_k = 2", 'top_k = 2\nrouter = "plain"')],
    "spinquant-values": [("R'*W_O", "R*W_O")],  # turned once more instead of back
    "staged-training-depth": [('b_V = "0"\n', "")],  # attention passes on the bias of the values
    "staged-training-width": [('g_out = "1/2*[g_out, g_out]"', 'g_out = "[g_out, g_out]"')],
}


def test_every_true_variant_of_the_zoo_is_broken_once():
    assert set(WITHOUT) == set(FOUND["proved"]) - set(SIX)


@pytest.mark.parametrize("name", WITHOUT)
def test_a_true_variant_without_something_essential_is_refuted(name):
    assert judged(altered(name, *WITHOUT[name])).verdict == "refuted"


ZEROS = '[constraints]\nM_I = "0"\nM_P = "0"\nM_W_O = "0"\nM_W_l2 = "0"\nM_b_l2 = "0"'
WITH = {  # a false variant, what mends it, and why
    "attention-expansion-rope-recomputed": [(END, '[becomes]\nrope = "kept"')],  # old pairs keep their frequencies
    "bert2bert-aki": [(END, '[constraints]\nM_W_l1 = "W_l1"\nM_b_l1 = "b_l1"')],  # copies of the layer's own units
    "bert2bert-fpi-hidden": [
        ('architecture = "bert"', 'architecture = "paper-eps"'),
        ('h = "h_hat"', 'h = "n*h"'),
        ('"h, h_hat; selection"', '"h, n*h; selection"'),
        (END, '"S*S\'" = "n*eye(h)"\nshares = "1/n*ones(1, h)"'),
    ],  # equally often, and a norm without a mean
    "head-addition-value-bias": [(END, 'M_b_V = "0"')],
    "head-addition-zero-keys": [(END, 'M_W_V = "0"')],
    "hidden-expansion-layernorm": [('architecture = "vit"', 'architecture = "paper-eps"')],  # a norm without a mean
    "hidden-expansion-zero-readers": [(END, ZEROS)],  # what the norm reads is zero
    "layer-addition-post-norm": [('architecture = "bert"', 'architecture = "vit"')],  # a norm before the sum
    "ligo": [
        ('"[g_MHA, g_MHA*A\']"', '"sqrt(h)/sqrt(h_hat)*[g_MHA, g_MHA*A\']"'),
        ('"[g_MLP, g_MLP*A\']"', '"sqrt(h)/sqrt(h_hat)*[g_MLP, g_MLP*A\']"'),
        (END, '[constraints]\nA = "0"\nB = "0"'),
    ],  # mixtures of nothing
    "net2deeper-gelu": [('architecture = "gpt2"', 'architecture = "opt"')],  # ReLU changes nothing the second time
    "solar": [(END, 'W_O = "0"\nW_l2 = "0"')],
    "sparse-upcycling": [('router = "plain"', 'router = "renormalised"')],
    "stackbert": [
        ('architecture = "bert"', 'architecture = "vit"'),
        (END, 'W_O = "0"\nb_O = "0"\nW_l2 = "0"\nb_l2 = "0"'),
    ],  # a norm before the sum, and a copy that writes nothing
    "tokenformer": [
        ("sqrt(p_hat)/sqrt(p)*W_l1", "W_l1"),
        ("sqrt(p_hat)/sqrt(p)*b_l1", "b_l1"),
    ],  # a scale that does not grow
}


def test_every_false_variant_is_mended_once():
    assert set(WITH) == set(FOUND["refuted"])


@pytest.mark.parametrize("name", WITH)
def test_a_false_variant_with_what_it_lacks_is_proved(name):
    assert judged(altered(name, *WITH[name])).verdict == "proved"


# --- what a file expects ---


def test_a_file_may_say_nothing_of_what_to_expect():
    variant = loads('name = "x"\n', "x.toml")
    assert (variant.verdict, variant.reason) == ("", "")
    assert "verdict" not in text_of(variant)


@every
def test_written_as_text_a_file_still_says_what_to_expect(name):
    again = loads(text_of(load(name)), "again.toml")
    assert (again.verdict, again.reason) == (load(name).verdict, load(name).reason)


def test_a_verdict_that_there_is_not_is_an_error_with_its_place():
    with pytest.raises(VariantError) as caught:
        loads('name = "x"\nverdict = "true"\n', "x.toml")
    error = caught.value
    assert (error.line, error.column, error.found) == (2, 12, '"true"')
    assert error.expected == '"proved" or "refuted" or "undecided"'


@pytest.mark.parametrize("name", ["lora", "solar"])
def test_another_verdict_than_the_expected_one_is_noticed(name):
    from growproof.reports.answers import answer_text, expected

    right, variant = answer(name), load(name)
    wrong = judged(altered(name, (f'verdict = "{variant.verdict}"', 'verdict = "undecided"')))
    assert f"  as expected: {variant.reason}" in list(answer_text(right))
    assert f"  expected: undecided: {variant.reason}" in list(answer_text(wrong))
    assert (expected(right), expected(wrong)) == (variant.verdict, "undecided")


def test_what_a_file_expects_on_its_own_architecture_says_nothing_of_another():
    from growproof.reports.answers import answer_text, expected

    elsewhere = check([load("net2deeper-gelu")], PRESETS["opt"])
    assert elsewhere.verdict == "proved"
    assert expected(elsewhere) is None
    assert not any("expected" in line for line in answer_text(elsewhere))
