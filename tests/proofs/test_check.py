"""Three verdicts and nothing between them: what each rests on, and what is left when a proof fails."""

import dataclasses

import as_published
import pytest

from growproof.proofs.check import check, claim_of, preset_named
from growproof.proofs.constraints import dropped, irredundant, without
from growproof.proofs.kernel import Theorem
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.errors import VariantError
from growproof.symbolic.variant import SIX, load, loads

PAPER, EPS = PRESETS["paper"], PRESETS["paper-eps"]
GRAM = load("mlp-expansion").text.partition("[constraints]")[0] + '[constraints]\n"M_W_l2*M_W_l2\'" = "0"\n'
"""True, for a real matrix with M M' = 0 is zero; and beyond the rules, which know no sums of squares."""
FALSE = 'name = "False"\n[rewrite]\nW_V = "2*W_V"\n'


# --- verdicts ---


@pytest.mark.parametrize("name", SIX)
@pytest.mark.parametrize("architecture", ["paper", "paper-eps"])
def test_an_epsilon_refutes_theorem_3_5_and_no_other(name, architecture, answer):
    expected = "refuted" if (name, architecture) == ("hidden-expansion", "paper-eps") else "proved"
    assert answer(load(name).text, architecture=architecture).verdict == expected


def test_a_variant_that_says_nothing_is_proved(answer, proved):
    assert proved(answer('name = "Nothing"\n'))


def test_what_is_proved_has_a_theorem_and_nothing_open(answer):
    for name in SIX:
        found = answer(load(name).text)
        assert isinstance(found.parts[0].theorem, Theorem)
        assert (found.open_goals, found.residual, found.counterexample) == ((), (), None)


def test_what_is_refuted_has_numbers_no_theorem_and_a_residual(answer, refuted):
    found = answer(FALSE)
    assert refuted(found)
    assert found.composition is None
    assert found.parts[0].theorem is None
    assert found.residual


def test_what_is_undecided_has_neither_and_says_what_remains(answer):
    found = answer(GRAM)
    assert found.verdict == "undecided"
    assert found.counterexample is None
    assert found.composition is None
    ((left, right),) = found.residual
    assert left != right
    assert [goal.goal.name for goal in found.open_goals] == ["MLP", "layer", "model"]


def test_without_a_stream_map_nothing_is_claimed(answer):
    """What the input becomes is no multiple of I + P."""
    found = answer('name = "Sum of squares"\n[rewrite]\nI = "hadamard(I, I)"\n')
    assert found.verdict == "refuted"
    assert found.parts[0].growth is None
    assert found.parts[0].goals == ()


def test_what_a_model_is_made_of_does_not_depend_on_its_input():
    """P = I + P and I = 0 gives the same numbers for one input, and one model for none."""
    for line in ('P = "I + P"\nI = "0(s, h)"', 'W_out = "hadamard(I, I)"', 'W_l1 = "W_l1*0*I"'):
        with pytest.raises(VariantError, match="only the rewrite of the input"):
            check([loads(f'name = "x"\n[rewrite]\n{line}\n', "x.toml")], PRESETS["paper"])


def test_the_residual_is_of_the_smallest_open_goals(answer):
    """An open MLP makes the layer and the model open; only the MLP's equation is shown."""
    found = answer(load("mlp-expansion").text.partition("[constraints]")[0])
    assert [goal.goal.name for goal in found.open_goals] == ["MLP", "layer", "model"]
    (pair,) = found.residual
    names = [{symbol.name for symbol in side.free_symbols if hasattr(symbol, "shape")} for side in pair]
    assert {"M_W_l1", "M_W_l2"} <= names[0] - names[1]


def test_every_open_goal_of_a_false_variant_is_really_open(answer):
    for text in (FALSE, load("hidden-expansion").text.replace("sqrt(h)/sqrt(h_hat)*", "")):
        for goal in answer(text).open_goals:
            assert goal.theorem is None
            assert goal.derivation.residual is not None


# --- the same inputs, the same answer ---


@pytest.mark.parametrize("text", [FALSE, load("attention-expansion").text.replace("sqrt(k_hat)/sqrt(k)*", "")])
def test_the_same_seed_gives_the_same_answer(text):
    first, second = (check([loads(text, "f.toml")], PAPER, 7) for _ in range(2))
    assert str(first.counterexample.instance) == str(second.counterexample.instance)
    assert str(first.counterexample.replay) == str(second.counterexample.replay)
    assert first.residual == second.residual
    steps = [[(g.derivation.left_steps, g.derivation.right_steps) for g in a.parts[0].goals] for a in (first, second)]
    assert steps[0] == steps[1]


@pytest.mark.parametrize("name", SIX)
def test_a_proof_does_not_depend_on_the_seed(name):
    derivations = [
        [(g.derivation.left_steps, g.derivation.right_steps) for g in check([load(name)], PAPER, seed).parts[0].goals]
        for seed in (0, 1)
    ]
    assert derivations[0] == derivations[1]


# --- chains ---


def test_a_variant_that_occurs_twice_is_claimed_once(answer):
    text = load("mlp-expansion").text
    found = answer(text, text, load("head-addition").text)
    assert len(found.parts) == 3
    assert [len(claim.variants) for claim in found.claims] == [1, 1, 3]
    assert found.parts[0] is found.parts[1]


def test_two_files_that_differ_in_a_comment_are_two_variants(answer):
    text = load("mlp-expansion").text
    assert len(answer(text, "# Again.\n" + text).claims) == 3


def test_a_single_variant_has_no_claim_about_a_chain(answer):
    found = answer(load("mlp-expansion").text)
    assert found.direct is None
    assert len(found.composition.theorems) == 1


# --- architectures ---


def test_an_unknown_architecture_is_named_with_the_nearest():
    assert preset_named("paper") is PAPER
    with pytest.raises(VariantError, match=r"no architecture.*paper-eps"):
        preset_named("paper-epsilon")


def test_a_rewrite_of_an_epsilon_counts_only_where_there_is_one(answer):
    text = as_published.load("mlp-expansion").text.replace("[rewrite]", '[rewrite]\neps = "2*eps"')
    assert answer(text).verdict == "proved"
    skipped = "the architecture has none of these, which are skipped: eps"
    assert answer(text).parts[0].steps[0].assumptions == (skipped,)
    assert answer(text, architecture="paper-eps").verdict == "refuted"


# --- what each constraint is for ---


@pytest.mark.parametrize("name", SIX)
def test_the_constraints_of_the_six_are_irredundant(name, change):
    found = list(dropped(load(name), PAPER))
    assert irredundant(found)
    assert len(found) == len(as_published.load(name).constraints)
    for one in found:
        assert len(one.expansion.constraints) < len(claim_of([load(name)], paper_model(PAPER)).steps[0].constraints)
        assert change(one.counterexample) > 1e-3


def test_a_constraint_that_is_not_needed_is_seen_as_such():
    text = load("mlp-expansion").text + 'M_b_l1 = "0"\n'
    found = list(dropped(loads(text, "f.toml"), PAPER))
    assert [one.text for one in found] == ["M_W_l2 = 0", "M_b_l1 = 0"]
    assert [one.counterexample is None for one in found] == [False, True]
    assert not irredundant(found)


def test_a_variant_without_a_constraint_keeps_the_others():
    variant = load("layer-addition")
    assert without(variant, 1).constraints == variant.constraints[:1] + variant.constraints[2:]
    assert dataclasses.replace(without(variant, 1), constraints=variant.constraints) == variant


# --- known gaps ---

KEPT = load("attention-expansion").text.replace("sqrt(k_hat)/sqrt(k)*", "").replace(
    "[rewrite]", '[rewrite]\nscale = "1/sqrt(k)"'
)  # fmt: skip


def unseen(grows: str, new: str, rewrite: str, constraint: str) -> str:
    """A true variant that is beyond the rules: hadamard(M, 0) is zero, so the new units write nothing."""
    return f"""
name = "Beyond the rules"
[grows]
p = "p + q"
{grows}
[new]
C = "h, q"
d = "1, q"
M = "q, h"
{new}
[rewrite]
W_l1 = "[W_l1, C]"
b_l1 = "[b_l1, d]"
W_l2 = "[W_l2; hadamard(M, 0*M)]"
{rewrite}
[constraints]
{constraint}
"""


LONGER = 'A = "h, {0}"\nB = "h, {0}"', 'W_Q = "[W_Q, A]"\nW_K = "[{0}W_K, B]"'


def test_what_is_beyond_the_rules_is_undecided(answer, agree):
    found = answer(unseen('k = "k_hat"', LONGER[0].format("k_hat - k"), LONGER[1].format("sqrt(k_hat/k)*"), 'B = "0"'))
    assert found.verdict in ("proved", "undecided")
    assert agree(found, seed=0)


def test_a_variant_that_keeps_the_factor_of_the_scores_is_not_refuted_by_another_factor(answer):
    kept = LONGER[1].format("") + '\nscale = "1/sqrt(k)"'
    assert answer(unseen('k = "k_hat"', LONGER[0].format("k_hat - k"), kept, 'B = "0"')).verdict != "refuted"


def test_a_variant_for_even_sizes_is_not_refuted_by_an_odd_one(answer):
    text = unseen('k = "k + k/2"', LONGER[0].format("k/2"), LONGER[1].format("sqrt(3/2)*"), 'B = "0"')
    assert answer(text).verdict != "refuted"


@pytest.mark.parametrize(
    "text",
    [
        'name = "Doubled"\n[rewrite]\nscale = "2/sqrt(k)"\n',
        KEPT.replace('"[W_K, M_W_K]"', '"[sqrt(k_hat/k)*W_K, M_W_K]"'),
        KEPT.partition("[constraints]")[0],
    ],
    ids=["no other change", "kept, and the keys scaled", "kept, and no constraint"],
)
def test_a_false_variant_with_its_own_factor_of_the_scores_is_refuted(text, answer, refuted):
    assert refuted(answer(text))
