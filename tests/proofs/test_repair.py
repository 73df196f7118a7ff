"""What breaks an expansion on an architecture, and how it is repaired: named, proved, replayed, and never wrong."""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from growproof.proofs import features, repair
from growproof.proofs.check import check
from growproof.proofs.comparison import compared
from growproof.proofs.drawing import RANDOM, drawn_blocks, drawn_model
from growproof.proofs.experiment import PROFILE
from growproof.proofs.features import as_in_the_paper, breaking, different, in_words, seems_to_hold
from growproof.proofs.repair import Repair
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.errors import VariantError
from growproof.symbolic.expand import expand
from growproof.symbolic.floats import float_arithmetic
from growproof.symbolic.instances import grown
from growproof.symbolic.preset import OPTIONS, Preset
from growproof.symbolic.syntax import Expression, parse
from growproof.symbolic.variant import SIX, Variant, load, loads
from growproof.symbolic.writing import fitted, text_of

ATTENTION, HIDDEN, LAYER, MLP = "attention-expansion", "hidden-expansion", "layer-addition", "mlp-expansion"

BROKEN = {
    (HIDDEN, "paper-eps"): {"eps"},
    (HIDDEN, "llama"): {"eps"},
    (HIDDEN, "mistral"): {"eps"},
    (HIDDEN, "qwen3"): {"eps"},
    (HIDDEN, "t5"): {"eps"},
    (HIDDEN, "gemma"): {"norm_gain", "eps", "tied", "embed_scale"},
    (HIDDEN, "gpt2"): {"norm", "eps", "tied"},
    (HIDDEN, "opt"): {"norm", "eps", "tied"},
    (HIDDEN, "bert"): {"norm", "eps"},
    (HIDDEN, "vit"): {"norm", "eps"},
    (HIDDEN, "gptj"): {"norm", "eps"},
    (ATTENTION, "llama"): {"positions"},
    (ATTENTION, "mistral"): {"positions"},
    (ATTENTION, "gemma"): {"positions"},
    (ATTENTION, "qwen3"): {"qk_norm", "positions"},
    (ATTENTION, "t5"): {"scale"},
    (LAYER, "bert"): {"placement"},
}
"""By hand: zero padding moves eps/h and the mean of LayerNorm; a tied output writes the free rows of W_out into the
stream; a gain 1 + g is not scaled by scaling g; sqrt(h) follows h.  Longer keys move the frequencies base^(-2j/k) and
the norm of q and k; T5 has no 1/sqrt(k) to undo.  Post-norm normalises X even where a layer writes nothing."""

REPAIRED = {
    (HIDDEN, "paper-eps"): {"eps = eps*h/h_hat"},
    (HIDDEN, "llama"): {"eps = eps*h/h_hat"},
    (HIDDEN, "mistral"): {"eps = eps*h/h_hat"},
    (HIDDEN, "qwen3"): {"eps = eps*h/h_hat"},
    (HIDDEN, "t5"): {"eps = eps*h/h_hat"},
    (ATTENTION, "llama"): {"rope_base = rope_base^(k_hat/k)"},
    (ATTENTION, "mistral"): {"rope_base = rope_base^(k_hat/k)"},
    (ATTENTION, "gemma"): {"rope_base = rope_base^(k_hat/k)"},
    (ATTENTION, "t5"): {"W_K = [W_K, M_W_K]"},
    # q c and k c, c = sqrt(k_hat/k), have the mean square over k_hat that q and k have over k: eps_qk may stay
    (ATTENTION, "qwen3"): {
        "rope_base = rope_base^(k_hat/k)",
        "M_W_Q = 0",
        "W_Q = [sqrt(k_hat)/sqrt(k)*W_Q, M_W_Q]",
        "g_Q = [sqrt(k)/sqrt(k_hat)*g_Q, M_g_Q]",
    },
    (HIDDEN, "gemma"): {
        *(f"{g} = [sqrt(h)/sqrt(h_hat)*(ones(1, h) + {g}) - ones(1, h), M_{g}]" for g in ("g_MHA", "g_MLP", "g_out")),
        "eps = eps*h/h_hat",
        "M_W_out = 0",
        "embed_scale = embed_scale",
    },
}
BEYOND = [(HIDDEN, name) for name in ("gpt2", "opt", "bert", "vit", "gptj")] + [(LAYER, "bert")]
"""LayerNorm's mean moves with any zero padding; Norm(X) is not X."""


def preset(name: str = "llama", **options: object) -> Preset:
    """An architecture with some options changed."""
    found = PRESETS[name]
    return replace(found, given=tuple({**dict(found.given), **options}.items()))


@cache
def broken_by(name: str, architecture: str) -> tuple[str, ...]:
    return breaking(load(name), PRESETS[architecture])


@cache
def repaired(name: str, architecture: str) -> Repair | None:
    return repair.repair(load(name), PRESETS[architecture], broken_by(name, architecture))


def mended(variant: Variant, preset: Preset) -> Repair | None:
    return repair.repair(variant, preset, breaking(variant, preset))


def difference(variant: Variant, preset: Preset, seed: int) -> float:
    """How far a variant moves the outputs of a random model, times the bound for rounding errors."""
    rng = np.random.default_rng(seed)

    def entries(rows: int, columns: int) -> np.ndarray:
        return rng.standard_normal((rows, columns)) / np.sqrt(max(rows, 2))

    step = expand(paper_model(preset), variant)
    old = drawn_model(preset, PROFILE, entries, RANDOM)
    new = drawn_blocks(step, old, PROFILE, entries, rng)
    return compared([step], old, grown(step, old, new, float_arithmetic())).ratio


# ---------------------------------------------------------------- features


@pytest.mark.parametrize(("name", "architecture"), BROKEN)
def test_what_breaks_an_expansion_is_named(name, architecture):
    assert set(broken_by(name, architecture)) == BROKEN[name, architecture]


@pytest.mark.parametrize(("name", "architecture"), BROKEN)
def test_without_what_breaks_it_it_is_proved_and_with_any_of_it_refuted(name, architecture):
    whole, options = PRESETS[architecture], broken_by(name, architecture)
    assert check([load(name)], as_in_the_paper(whole, options)).verdict == "proved"
    for left in options:
        rest = as_in_the_paper(whole, [option for option in options if option != left])
        assert not seems_to_hold(load(name), rest)
        assert difference(load(name), rest, 1) > 1e3


def test_what_nothing_breaks_has_no_features():
    assert breaking(load(MLP), PRESETS["paper"]) == ()


def test_a_variant_that_is_wrong_in_the_paper_too_has_no_features():
    wrong = loads(load(MLP).text.replace('M_W_l2 = "0"', 'M_W_gate = "0"'), "wrong.toml")
    assert check([wrong], PRESETS["paper"]).verdict == "refuted"
    assert breaking(wrong, PRESETS["llama"]) == ()


def test_a_set_that_numbers_find_but_nothing_proves_is_not_named(monkeypatch):
    """The numbers blame the activation."""
    monkeypatch.setattr(features, "seems_to_hold", lambda variant, preset, seed: preset["act"] == "relu")
    assert breaking(load(ATTENTION), PRESETS["llama"]) == ()
    assert breaking(load(MLP), PRESETS["llama"]) == ("act",)  # proved, as it is with any activation


def test_of_two_features_that_break_it_only_together_one_is_named(monkeypatch):
    holds = [(), ("eps",), ("mlp",)]  # what is left as it is
    monkeypatch.setattr(features, "seems_to_hold", lambda variant, preset, seed: different(preset) in holds)
    monkeypatch.setattr(features, "claim_of", lambda *_: SimpleNamespace(theorem=True))
    assert breaking(load(MLP), preset("paper", eps=True, mlp="gated")) == ("eps",)


def test_every_value_of_every_option_has_words():
    for option, (_, *others) in OPTIONS.items():
        for value in others:
            assert in_words(Preset("x", "", "", ((option, value),)), option)


def test_rotary_positions_are_named_by_their_frequencies():
    assert in_words(preset(), "positions") == "rotary positions recomputed from k"
    assert in_words(preset(rope_frequencies="table"), "positions") == "rotary positions from a table"
    assert in_words(preset(rope_part="part"), "positions") == "rotary positions in a part of each head"


# ---------------------------------------------------------------- repairs


@pytest.mark.parametrize(("name", "architecture"), REPAIRED)
def test_the_repair_is_the_one_found_by_hand(name, architecture):
    assert set(repaired(name, architecture).changes) == REPAIRED[name, architecture]


@pytest.mark.parametrize(("name", "architecture"), REPAIRED)
def test_a_repair_is_proved_from_its_text_and_agrees_on_random_models(name, architecture):
    found = repaired(name, architecture)
    again = loads(found.variant.text, "saved.toml")
    assert check([again], PRESETS[again.architecture]).verdict == "proved"
    assert again.architecture == architecture
    for seed in range(3):
        assert difference(load(name), PRESETS[architecture], seed) > 1e3
        assert difference(again, PRESETS[architecture], seed) <= 1


@pytest.mark.parametrize(("name", "architecture"), REPAIRED)
def test_every_change_of_a_repair_is_needed(name, architecture):
    """Undone one by one, each has numbers that refute what is left."""
    found, before = repaired(name, architecture).variant, load(name)
    for change in repaired(name, architecture).changes:
        key, _, _ = change.partition(" = ")
        rewrite = {name: tree for name, tree in found.rewrite.items() if name != key or name in before.rewrite}
        rewrite |= {name: before.rewrite[name] for name in (key,) if name in before.rewrite}
        kept = tuple(one for one in found.constraints if text(one.left) != key)
        less = replace(found, rewrite=rewrite, constraints=kept)
        assert difference(less, PRESETS[architecture], 0) > 1e3, change


def text(tree: object) -> str:
    return repair.show(tree)


@pytest.mark.parametrize(("name", "architecture"), BEYOND)
def test_where_no_edit_is_enough_the_stream_is_doubled_or_nothing_is_offered(name, architecture, monkeypatch):
    """The mean of LayerNorm stays for two copies; a norm after the sublayers makes a layer of zeros no identity."""
    doubled = repaired(name, architecture)
    assert (doubled is None) == (name != HIDDEN)
    assert doubled is None or doubled.changes[0] == "h = 2*h"
    monkeypatch.setattr(repair, "two_copies", lambda *_: None)
    assert repair.repair(load(name), PRESETS[architecture], tuple(BROKEN[name, architecture])) is None


@pytest.mark.parametrize("architecture", [one for name, one in BEYOND if name == HIDDEN])
def test_two_copies_are_two_copies_in_numbers(architecture):
    """One copy less, or a reader that takes the sum without sharing it, changes the output."""
    preset, right = PRESETS[architecture], repaired(HIDDEN, architecture).variant
    assert difference(right, preset, 0) < 1
    for before, after in (('"[W_l2, W_l2]"', '"[W_l2, 0]"'), ("[W_l1 - M_W_l1; M_W_l1]", "[W_l1; M_W_l1]")):
        assert before in right.text
        assert difference(loads(right.text.replace(before, after), "wrong.toml"), preset, 0) > 1e3


def test_a_constant_score_factor_must_not_be_undone():
    found = mended(load(ATTENTION), preset("paper-eps", scale="constant", attention_bias="qkv"))
    assert set(found.changes) == {"W_K = [W_K, M_W_K]", "b_K = [b_K, M_b_K]"}


def test_a_factor_is_of_a_matrix_and_its_bias_together():
    """Under a q/k norm it is whole queries and keys that are scaled, X W + b."""
    biased = preset("qwen3", attention_bias="qkv", positions="table")
    changed = next(repair.candidates(load(ATTENTION), biased, ["qk_norm"], 0))
    assert {"M_W_Q", "M_b_Q"} <= set(changed)
    assert ("W_Q" in changed, "W_K" in changed) == ("b_Q" in changed, "b_K" in changed)
    assert {"W_Q", "W_K"} & set(changed)


def test_a_factor_of_the_logits_that_follows_h_is_kept_or_made_up_for():
    """1/sqrt(h) becomes 1/sqrt(h_hat), which is what the factor on the last gain is for."""
    found = mended(load(HIDDEN), preset("t5", logit_scale=True))
    assert set(found.changes) - {"eps = eps*h/h_hat"} in ({"logit_scale = logit_scale"}, {"g_out = [g_out, M_g_out]"})


def test_a_missing_zero_is_found_where_the_paper_is_broken_too():
    """Theorem 3.1 without its constraint: one zero is enough, M_W_l2 = 0; two others would do as well."""
    free = loads(load(MLP).text.replace('M_W_l2 = "0"', ""), "free.toml")
    assert mended(free, PRESETS["paper"]).changes == ("M_W_l2 = 0",)


def test_two_missing_zeros_are_found():
    """Theorem 3.5 without two of its constraints: whatever writes to the new coordinates must be zero."""
    free = re.sub(r'\n(M_W_l2|M_W_O) = "0"', "", load(HIDDEN).text)
    assert set(mended(loads(free, "free.toml"), PRESETS["paper"]).changes) == {"M_W_l2 = 0", "M_W_O = 0"}


def test_a_missing_factor_is_found():
    """Theorem 3.4 without the factor that undoes 1/sqrt(k): on the queries or on the keys."""
    bare = loads(load(ATTENTION).text.replace("sqrt(k_hat)/sqrt(k)*", ""), "bare.toml")
    (change,) = mended(bare, PRESETS["paper"]).changes
    assert re.fullmatch(r"W_([QK]) = \[sqrt\(k_hat\)/sqrt\(k\)\*W_\1, M_W_\1\]", change)


def test_other_names_get_the_same_features_and_the_same_repair():
    """Nothing here knows a block or a file by name."""
    other = loads(load(ATTENTION).text.replace("M_", "Fresh"), "other.toml")
    other = replace(other, name="Something else")
    found = mended(other, PRESETS["qwen3"])
    assert set(breaking(other, PRESETS["qwen3"])) == BROKEN[ATTENTION, "qwen3"]
    assert {change.replace("Fresh", "M_") for change in found.changes} == REPAIRED[ATTENTION, "qwen3"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_seed_does_not_matter(seed):
    """The gains of Gemma are 1 + g: whole numbers such as g = -1 would hide what they do."""
    variant, gemma = load(HIDDEN), PRESETS["gemma"]
    found = breaking(variant, gemma, seed)
    assert set(found) == BROKEN[HIDDEN, "gemma"]
    assert set(repair.repair(variant, gemma, found, seed).changes) == REPAIRED[HIDDEN, "gemma"]


# ---------------------------------------------------------------- what `check` offers

FREE_MLP = load(MLP).text.replace('M_W_l2 = "0"', "")
BARE = load(ATTENTION).text.replace("sqrt(k_hat)/sqrt(k)*", "")
TWICE = """name = "Twice"
[grows]
p = "2*p"
v = "2*v"
[rewrite]
W_l1 = "[W_l1, W_l1]"
b_l1 = "[b_l1, b_l1]"
W_l2 = "[W_l2; W_l2]"
W_V = "[W_V, W_V]"
W_O = "[W_O; W_O]"
"""
HALVES = "W_l2 = [1/2*W_l2; 1/2*W_l2]"
READS = ["W_l1 = [1/2*W_l1, 1/2*W_l1]", "b_l1 = [1/2*b_l1, 1/2*b_l1]"]
ROOTS = [f"W_{x} = [sqrt(k_hat)/sqrt(k)*W_{x}, M_W_{x}]" for x in "QK"]
GAINS = [f"g_{x} = [sqrt(h)/sqrt(h_hat)*g_{x}, M_g_{x}]" for x in ("MHA", "MLP")]

OFFERED = {
    # relu(N M1 + m1) M2 = 0 where M2 = 0, or M1 = m1 = 0
    "an MLP that is free": (FREE_MLP, [["M_W_l2 = 0"], ["M_W_l1 = 0", "M_b_l1 = 0"]]),
    "a head that is free": (load("head-addition").text.partition("[constraints]")[0], [["M_W_V = 0"], ["M_W_O = 0"]]),
    # sum of x^2 is over h_hat columns, of which only h are not zero
    "no factor on the gains": (load(HIDDEN).text.replace("sqrt(h)/sqrt(h_hat)*", ""), [GAINS]),
    "no factor on one gain": (load(HIDDEN).text.replace("sqrt(h)/sqrt(h_hat)*g_MLP", "g_MLP"), [GAINS[1:]]),
    # 1/sqrt(k) becomes 1/sqrt(k_hat)
    "no factor on queries and keys": (BARE, [[ROOTS[0]], [ROOTS[1]]]),
    "no factor, no zeros": (
        BARE.partition("[constraints]")[0],
        [[ROOTS[0], "M_W_Q = 0"], [ROOTS[0], "M_W_K = 0"], [ROOTS[1], "M_W_Q = 0"]],
    ),
    "another factor": (
        load(ATTENTION).text.replace("sqrt(k_hat)/sqrt(k)", "k_hat/k"),
        [[ROOTS[1]], ["W_Q = [sqrt(k)/sqrt(k_hat)*W_Q, M_W_Q]"]],
    ),
    # what is written twice is read by half, in both sublayers
    "everything twice": (
        TWICE,
        [
            [HALVES, "W_V = [1/2*W_V, 1/2*W_V]"],
            [HALVES, "W_O = [1/2*W_O; 1/2*W_O]"],
            [*READS, "W_V = [1/2*W_V, 1/2*W_V]"],
        ],
    ),
    "a sign": ('name = "f"\n[rewrite]\nW_V = "-W_V"\nW_Q = "2*W_Q"\nW_K = "1/2*W_K"\n', [["W_V = W_V"]]),
}
every_offer = pytest.mark.parametrize("name", OFFERED)


@cache
def offered(name: str) -> tuple[Repair, ...]:
    return repair.offer(loads(OFFERED[name][0], "f.toml"), PRESETS["paper"]).repairs


@every_offer
def test_the_smallest_repairs_are_those_found_by_hand(name):
    assert [list(found.changes) for found in offered(name)] == OFFERED[name][1]


@every_offer
def test_what_is_offered_is_proved_from_its_text_and_leaves_random_models_alone(name):
    for found in offered(name):
        again = loads(found.variant.text, "saved.toml")
        assert check([again], PRESETS["paper"]).verdict == "proved"
        assert all(difference(again, PRESETS["paper"], seed) <= 1 for seed in range(3))


@every_offer
def test_nothing_of_an_offer_can_be_left_out(name):
    """Each change undone by itself, and what is left is refuted."""
    before = loads(OFFERED[name][0], "f.toml")
    for found in offered(name):
        for change in found.changes:
            assert check([undone(found.variant, before, change)], PRESETS["paper"]).verdict == "refuted", change


def undone(found: Variant, before: Variant, change: str) -> Variant:
    """A repaired variant without one of its changes."""
    key, _, _ = change.partition(" = ")
    rewrite = {**found.rewrite, key: before.rewrite[key]} if key in before.rewrite else found.rewrite
    kept = tuple(one for one in found.constraints if text(one.left) != key or key in before.rewrite)
    return loads(text_of(replace(found, rewrite=rewrite, constraints=kept)), "less.toml")


ALONE = {
    "a sign": ('W_V = "-W_V"', "paper"),
    "two signs": ('W_V = "-W_V"\nW_out = "2*W_out"', "paper"),
    "what only relu does": ('W_l1 = "2*W_l1"\nb_l1 = "2*b_l1"\nW_l2 = "1/2*W_l2"', "gpt2"),
    "what a bias breaks": ('W_V = "2*W_V"\nW_O = "1/2*W_O"', "gpt2"),
    "a scalar": ('eps = "2*eps"', "paper-eps"),
}


@pytest.mark.parametrize("name", ALONE)
def test_to_change_nothing_at_all_is_no_repair(name):
    rewrites, architecture = ALONE[name]
    wrong = loads(f'name = "f"\n[rewrite]\n{rewrites}\n', "f.toml")
    assert check([wrong], PRESETS[architecture]).verdict == "refuted"
    for found in repair.offer(wrong, PRESETS[architecture]).repairs:
        assert not repair.leaves_alone(expand(paper_model(PRESETS[architecture]), found.variant))
        assert found.changes != tuple(f"{one} = {one}" for one in wrong.rewrite)


def test_to_change_nothing_at_all_would_mend_everything(monkeypatch):
    """Without the look at what is left it is what is offered."""
    monkeypatch.setattr(repair, "leaves_alone", lambda step: False)
    assert [one.change for one in repair.offer(loads(SIGN, "f.toml"), PRESETS["paper"]).repairs] == ["W_V = W_V"]
    monkeypatch.undo()
    assert repair.offer(loads(SIGN, "f.toml"), PRESETS["paper"]).repairs == ()


SIGN = 'name = "f"\n[rewrite]\nW_V = "-W_V"\n'


def test_no_repair_has_fewer_edits_than_what_is_offered(monkeypatch):
    """With one edit less there is none: neither halves alone, nor a factor without its zero."""
    monkeypatch.setattr(repair, "MOST_EDITS", 1)
    assert repair.offer(loads(TWICE, "f.toml"), PRESETS["paper"]).repairs == ()
    monkeypatch.setattr(repair, "MOST_EDITS", 0)
    assert repair.offer(loads(BARE, "f.toml"), PRESETS["paper"]).repairs == ()


def test_nothing_is_offered_that_the_kernel_does_not_prove(monkeypatch):
    monkeypatch.setattr(repair, "claim_of", lambda *_: SimpleNamespace(theorem=None))
    for wrong, _ in OFFERED.values():
        assert repair.offer(loads(wrong, "f.toml"), PRESETS["paper"]).repairs == ()


def test_nothing_is_offered_that_numbers_refute(monkeypatch):
    """A prover that proves anything, and a search that sees nothing: the look at the saved text remains."""
    monkeypatch.setattr(repair, "claim_of", lambda *_: SimpleNamespace(theorem=True))
    monkeypatch.setattr(repair, "agree", lambda *_, **__: True)
    for text in (BARE, TWICE):
        found = repair.offer(loads(text, "f.toml"), PRESETS["paper"]).repairs
        assert all(check([one.variant], PRESETS["paper"]).verdict == "proved" for one in found)
    monkeypatch.setattr(repair, "edits", lambda *_: iter([{"W_K": parse("[2*W_K, M_W_K]")}]))
    assert repair.offer(loads(BARE, "f.toml"), PRESETS["paper"]).repairs == ()


def test_what_one_feature_breaks_is_mended_and_of_several_they_are_named():
    one = repair.offer(load(ATTENTION), PRESETS["llama"])
    assert [found.change for found in one.repairs] == ["rope_base = rope_base^(k_hat/k)"]
    several = repair.offer(load(HIDDEN), PRESETS["gpt2"])
    assert set(several.features) == {"LayerNorm", "an epsilon", "a tied output"}
    assert several.repairs == ()


def test_a_repair_that_is_too_long_for_a_file_is_not_offered(monkeypatch):
    def too_long(*_: object) -> None:
        raise VariantError("the variant file is too large")

    wrong = loads(BARE, "f.toml")
    monkeypatch.setattr(repair, "loads", too_long)
    assert repair.offer(wrong, PRESETS["paper"]).repairs == ()


def test_a_repair_knows_no_name():
    """With other names for the new blocks, the same edits in these names."""
    other = loads(BARE.replace("M_", "Fresh"), "other.toml")
    found = [one.change.replace("Fresh", "M_") for one in repair.offer(other, PRESETS["paper"]).repairs]
    assert found == [one.change for one in offered("no factor on queries and keys")]


@pytest.mark.parametrize(
    ("sets", "items"), [([], "abc"), ([()], "abc"), (["a", "bc"], "abcd"), (["ab", "bc", "cd"], "abcd")]
)
def test_every_smallest_set_is_found(sets, items):
    def holds(chosen: object) -> bool:
        return any(set(one) <= set(chosen) for one in sets)

    assert sorted(map(set, repair.smallest_sets(items, holds)), key=sorted) == sorted(map(set, sets), key=sorted)


# ---------------------------------------------------------------- never a wrong one


@pytest.fixture
def edits_only(monkeypatch):
    """No other way than an edit: two copies of the stream are always right."""
    monkeypatch.setattr(repair, "two_copies", lambda *_: None)


def wrong_words(variant: Variant, step: object) -> Iterator[dict[str, Expression]]:
    """Both the wrong way round."""
    yield {"eps": parse("eps*h_hat/h")} if "h" in variant.grows else {"rope_base": parse("rope_base^(k/k_hat)")}


def test_a_wrong_word_of_the_vocabulary_is_never_offered(monkeypatch, edits_only):
    monkeypatch.setattr(repair, "edits", wrong_words)
    assert repair.repair(load(HIDDEN), PRESETS["paper-eps"], ["eps"]) is None
    assert repair.repair(load(ATTENTION), PRESETS["llama"], ["positions"]) is None


def test_numbers_that_see_nothing_are_not_enough(monkeypatch, edits_only):
    """With a blind filter, the unchanged variant comes first, then a wrong word; the prover refuses both."""
    monkeypatch.setattr(repair, "edits", wrong_words)
    monkeypatch.setattr(repair, "same_output", lambda *_: True)
    monkeypatch.setattr(repair, "seems_to_hold", lambda *_: True)
    assert repair.repair(load(HIDDEN), PRESETS["paper-eps"], ["eps"]) is None


def test_a_prover_that_proves_anything_is_not_enough(monkeypatch, edits_only):
    """With a blind filter and a wrong word as well: what is offered is looked at once more, as it was saved."""
    monkeypatch.setattr(repair, "edits", wrong_words)
    monkeypatch.setattr(repair, "same_output", lambda *_: True)
    monkeypatch.setattr(repair, "claim_of", lambda *_: SimpleNamespace(theorem=True))
    assert repair.repair(load(HIDDEN), PRESETS["paper-eps"], ["eps"]) is None


def test_a_variant_that_does_not_fit_the_stages_is_not_repaired(edits_only):
    """It names no P, which the paper's positions need while the epsilon is mended."""
    narrow = loads(text_of(fitted(load(HIDDEN), PRESETS["llama"])), "narrow.toml")
    assert repair.repair(narrow, PRESETS["llama"], ["eps", "positions"]) is None
    assert repair.repair(narrow, PRESETS["llama"], ["eps"]) is not None


# ---------------------------------------------------------------- texts


@pytest.mark.parametrize("name", SIX)
def test_a_variant_that_is_written_and_read_says_the_same(name):
    before = load(name)
    after = loads(text_of(before), "again.toml")
    told = ("name", "source", "description", "architecture", "grows", "new", "rewrite", "constraints", "stream_map")
    assert all(getattr(before, field) == getattr(after, field) for field in told)
    for one, other in ((before.added_head, after.added_head), (before.added_layer, after.added_layer)):
        assert (one and one.entries) == (other and other.entries)


def test_what_is_rare_in_a_variant_is_written_too():
    lines = """name = "A \\"name\\""
[grows]
h = "2*h"
[new]
S = "p, p; selection, per layer"
A = "h, h"
[rewrite]
W_l1 = "W_l1*S"
[stream]
map = "kron(ones(1, 2), eye(h))"
[added.head]
copy = "each"
W_O = "0"
[added.layer]
copy = "previous"
W_O = "0"
[forward]
MLP = "act(X*W_l1)*W_l2"
[becomes]
top_k = 2
rope = "kept"
[constraints]
"A + A'" = "eye(h)"
"""
    before, after = loads(lines, "x.toml"), loads(text_of(loads(lines, "x.toml")), "x.toml")
    told = ("name", "grows", "new", "rewrite", "constraints", "stream_map", "forward", "becomes")
    assert all(getattr(before, field) == getattr(after, field) for field in told)
    assert (after.added_head.copy, after.added_layer.copy) == ("each", "previous")


def test_a_saved_repair_names_only_what_its_architecture_has_and_marks_what_it_changes():
    saved = repaired(ATTENTION, "llama").variant
    assert set(saved.rewrite) == {"W_Q", "W_K", "rope_base"}
    assert set(saved.new) == {"M_W_Q", "M_W_K"}
    assert [line.split(" = ")[0] for line in saved.text.splitlines() if line.endswith("# repair")] == ["rope_base"]
