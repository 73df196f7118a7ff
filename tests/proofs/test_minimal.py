"""Every smallest set of choices that suffices, against sets derived by hand; every other set has numbers against it."""

import re
from functools import cache
from itertools import chain, combinations

import numpy as np
import pytest
import unpublished
from as_published import load
from unpublished import TWO_UNITS, TWO_VALUES, constrained

from growproof.numeric.forward import transformer
from growproof.numeric.model import from_nested
from growproof.proofs.check import claim_of
from growproof.proofs.choices import choices
from growproof.proofs.lattice import CoverageError, Limits
from growproof.proofs.minimal import Oracle, study
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.variant import loads


@cache
def claim(text, architecture="paper"):
    return claim_of([loads(text, "variant.toml")], paper_model(PRESETS[architecture]))


@cache
def studied(text, *vocabulary):
    return study(claim(text), vocabulary or ("zero",))


def named(found, sort):
    """The sets of one sort, by the labels of their choices."""
    return {frozenset(found.labels(subset)) for subset in getattr(found.sorted, sort)}


def sets(*texts):
    """`sets("A B", "C")` is the set of {A, B} and {C}."""
    return {frozenset(text.split()) for text in texts}


def largest_without(labels, lowest):
    """The largest sets that hold none of the given ones: what is insufficient where nothing else is."""
    every = [frozenset(s) for n in range(len(labels) + 1) for s in combinations(labels, n)]
    free = {s for s in every if not any(low <= s for low in lowest)}
    return {s for s in free if not any(s | {label} in free for label in set(labels) - s)}


TWO = constrained(TWO_UNITS, 'C1 = "0"', 'C2 = "0"')
CANCEL = constrained(TWO, '"C1 + C2" = "0"')
ONES = constrained(TWO, '"C1 + C2" = "ones(q, h)"')

VALUES = constrained(TWO_VALUES, 'O1 = "0"', 'O2 = "0"')
ADAPTER = constrained(unpublished.ADAPTER, 'B = "0"')
WRITERS = constrained(unpublished.WRITERS, 'A = "0"', 'b = "0"')

SCORES = """
name = "Longer keys, wider MLP"
[grows]
k = "k_hat"
p = "p_hat"
[new]
R = "h, k_hat - k"
S = "h, k_hat - k"
U = "h, p_hat - p"
u = "1, p_hat - p"
V = "p_hat - p, h"
[rewrite]
W_Q = "[sqrt(k_hat/k)*W_Q, R]"
W_K = "[W_K, S]"
W_l1 = "[W_l1, U]"
b_l1 = "[b_l1, u]"
W_l2 = "[W_l2; V]"
[constraints]
R = "0"
V = "0"
"""

PARTS = [  # one of each column: what makes a layer's MHA vanish, and its MLP; the bias b_l2 always
    f"{mha} {mlp} M_b_l2"
    for mha in ("M_g_MHA", "M_W_V", "M_W_O")
    for mlp in ("M_W_l2", "M_g_MLP M_b_l1", "M_W_l1 M_b_l1")
]

BY_HAND = {
    "mlp-expansion": sets("M_W_l2", "M_W_l1 M_b_l1"),  # relu(N A + d) C
    "head-addition": sets("M_W_V", "M_W_O"),  # (mean of N V) O, whatever the scores are
    "heads-expansion": sets("M_W_V", "M_W_O"),
    "attention-expansion": sets("M_W_Q", "M_W_K"),
    "hidden-expansion": sets("M_P M_W_l2 M_b_l2 M_W_O M_I"),  # the norm sees all that is written
    "layer-addition": sets(*PARTS),
    TWO: sets("C1 C2", "A1 d1 C2", "A2 d2 C1", "A1 A2 d1 d2"),  # each of the two vanishes
    CANCEL: sets("C1", "C2", "A1 A2 d1 d2"),  # one of C1, C2 is zero with the other
    VALUES: sets("V1 V2", "V1 O2", "O1 V2", "O1 O2"),
    SCORES: sets("R V", "S V", "R U u", "S U u"),
    ADAPTER: sets("A", "B"),
    WRITERS: sets("A b"),
}
NAMES = {TWO: "two", CANCEL: "cancel", VALUES: "values", SCORES: "scores", ADAPTER: "adapter", WRITERS: "writers"}
every = pytest.mark.parametrize("name", BY_HAND, ids=[NAMES.get(name, name) for name in BY_HAND])


def text_of(name):
    return load(name).text if name not in NAMES else name


# --- sets derived by hand ---


@every
def test_the_smallest_sets_are_those_derived_by_hand(name):
    assert named(studied(text_of(name)), "sufficient") == BY_HAND[name]


@every
def test_everything_else_is_insufficient(name):
    found = studied(text_of(name))
    assert (named(found, "undecided"), named(found, "unsatisfiable")) == (set(), set())
    labels = [choice.label for choice in found.choices]
    assert named(found, "insufficient") == largest_without(labels, BY_HAND[name])
    assert not found.sorted.unexplored


@every
def test_the_constraints_of_the_variant_are_one_of_them(name):
    """But for the one whose constraint is no zero: of itself it does not suffice."""
    found = studied(text_of(name))
    assert found.given_is_minimal == (name != CANCEL)
    assert found.sorted.sort(found.given) == ("insufficient" if name == CANCEL else "sufficient")


@pytest.mark.parametrize("name", ["mlp-expansion", "attention-expansion"])
def test_an_epsilon_changes_no_set_where_no_size_of_the_stream_grows(name):
    found = study(claim(load(name).text, "paper-eps"))
    assert named(found, "sufficient") == BY_HAND[name]


def test_an_epsilon_makes_every_set_of_the_hidden_expansion_insufficient():
    found = study(claim(load("hidden-expansion").text, "paper-eps"))
    assert named(found, "insufficient") == {frozenset(load("hidden-expansion").new)}
    assert named(found, "sufficient") == set()


@pytest.mark.parametrize("name", ["mlp-expansion", "attention-expansion", "head-addition"])
def test_other_names_of_the_blocks_change_the_names_only(name):
    text = load(name).text
    names = {block: f"Z{i}" for i, block in enumerate(load(name).new)}
    for block in names:
        text = re.sub(rf"\b{block}\b", names[block], text)
    assert not any(block in text for block in names)
    assert named(studied(text), "sufficient") == {frozenset(names[block] for block in low) for low in BY_HAND[name]}


# --- numbers against what does not suffice ---


def tables(new):
    """Every table of new blocks."""
    layers = [*new["layers"], *([new["added_layer"]] if "added_layer" in new else [])]
    return [new, *layers, *chain.from_iterable(layer["heads"] for layer in layers)]


@every
def test_every_largest_insufficient_set_has_numbers_that_meet_it_and_change_the_function(name, grown_by_trees):
    found = studied(text_of(name))
    variant = claim(text_of(name)).variants[0]
    assert set(found.witnesses) == set(found.sorted.insufficient)
    for subset, witness in found.witnesses.items():
        old, (new,) = witness.instance.old, witness.instance.new
        for table in tables(new):
            assert not any(table[block].any() for block in found.labels(subset) if block in table)
            assert name != CANCEL or "C1" not in table or not (table["C1"] + table["C2"]).any()
        before = transformer(*from_nested(old), 0.0)
        after = transformer(*from_nested(grown_by_trees(variant, old, new)), 0.0)
        assert np.abs(after - before).max() > 1e-3
        assert np.abs(after - before).max() == pytest.approx(witness.replay.max_abs)


# --- constraints that cannot be met ---


def test_what_contradicts_the_kept_constraints_is_told_apart():
    """C1 + C2 = 1: both cannot be zero; with one of them zero, the units of the other must be silent."""
    found = studied(ONES)
    assert named(found, "unsatisfiable") == sets("C1 C2")
    assert named(found, "sufficient") == sets("A1 A2 d1 d2", "A1 d1 C2", "A2 d2 C1")
    assert named(found, "undecided") == set()


def test_a_block_that_must_be_invertible_cannot_be_zero():
    found = studied(constrained(ADAPTER, '"A*A\'" = "eye(h)"'))
    assert named(found, "unsatisfiable") == sets("A")
    assert named(found, "sufficient") == sets("B")
    assert named(found, "insufficient") == sets("")
    assert (found.given, found.given_is_minimal) == (frozenset(), False)


def test_constraints_that_contradict_each_other_leave_nothing_to_choose():
    found = studied(constrained(TWO, '"2*C1" = "ones(q, h)"', '"3*C1" = "ones(q, h)"'))
    assert named(found, "unsatisfiable") == sets("")
    assert named(found, "sufficient") == named(found, "insufficient") == named(found, "undecided") == set()
    assert found.witnesses == {}


# --- beyond zeros ---


def test_what_a_smaller_set_decides_is_not_called_undecided():
    """{V1 = V2, O1 = -O2} suffices, and so does every set that holds it."""
    found = studied(VALUES, "equal", "opposite").sorted
    assert [subset for subset in found.undecided if found.sort(subset) != "undecided"] == []


def directions(chosen, first, second):
    """The pairs (a, b) that are left when a = 0, b = 0, a = b and a = -b are asked for, as columns."""
    rows = {first: (1, 0), second: (0, 1), f"{first} = {second}": (1, -1), f"{first} = -{second}": (1, 1)}
    asked = [row for text, row in rows.items() if text in chosen]
    if not asked:
        return np.eye(2)
    _, sizes, right = np.linalg.svd(np.array(asked, dtype=float))
    return right[np.count_nonzero(sizes > 1e-9) :].T


@cache
def cancelling(*vocabulary):
    """For each set of choices for V1, V2, O1, O2, whether it suffices, and what is said of it.

    V1 O1 + V2 O2 = 0 for all that is left exactly if what is left of V is at right angles to what is left of O.
    """
    found = studied(VALUES, *vocabulary)
    chosen = chain.from_iterable(combinations(range(len(found.choices)), n) for n in range(len(found.choices) + 1))
    rows = []
    for subset in map(frozenset, chosen):
        texts = {found.choices[i].text.removesuffix(" = 0") for i in subset}
        overlap = directions(texts, "V1", "V2").T @ directions(texts, "O1", "O2")
        rows.append((texts, np.abs(overlap).max(initial=0) < 1e-9, found.sorted.sort(subset)))
    return rows


@pytest.mark.parametrize("vocabulary", [("equal", "opposite"), ("zero", "opposite")])
def test_what_is_said_of_heads_that_cancel_each_other_is_true(vocabulary):
    rows = cancelling(*vocabulary)
    assert all(said != "sufficient" for _, suffices, said in rows if not suffices)
    assert all(said != "insufficient" for _, suffices, said in rows if suffices)
    assert {said for _, suffices, said in rows if not suffices} == {"insufficient"}


def test_heads_that_cancel_each_other_are_found():
    found = named(studied(VALUES, "equal", "opposite"), "sufficient")
    assert {frozenset({"V1 = V2", "O1 = -O2"}), frozenset({"V1 = -V2", "O1 = O2"})} <= found


def test_an_opposite_of_zero_is_zero():
    assert [
        texts for texts, suffices, said in cancelling("zero", "opposite") if suffices and said != "sufficient"
    ] == []


def test_only_a_block_that_equals_another_and_its_opposite_is_left_undecided():
    """A = B and A = -B make both zero, which needs the sum of the two equations: the prover uses one at a time."""
    rows = cancelling("equal", "opposite")
    left = [texts for texts, suffices, said in rows if suffices and said != "sufficient"]
    assert all({f"{a} = {b}", f"{a} = -{b}"} <= texts for texts in left for a, b in [pair_in(texts)])


def pair_in(texts):
    return ("V1", "V2") if {"V1 = V2", "V1 = -V2"} <= texts else ("O1", "O2")


UNBIASED = """
name = "Two blocks of new units without a bias"
[grows]
p = "p + 2*q"
[new]
A1 = "h, q"
A2 = "h, q"
C1 = "q, h"
C2 = "q, h"
[rewrite]
W_l1 = "[W_l1, A1, A2]"
b_l1 = "[b_l1, 0(1, q), 0(1, q)]"
W_l2 = "[W_l2; C1; C2]"
"""


def test_units_that_cancel_each_other_are_equal_and_write_opposites():
    """relu(u) C1 + relu(u') C2; that u' = -u and the C are equal or opposite leaves |u| C or u C."""
    found = choices(claim(UNBIASED).steps[0], ("equal", "opposite"))
    oracle = Oracle(claim(UNBIASED), found, (), 0)

    def said(*texts):
        return oracle.sort(frozenset(i for i, choice in enumerate(found) if choice.text in texts))

    assert said("A1 = A2", "C1 = -C2") == "sufficient"
    assert said("A1 = A2", "C1 = C2") == "insufficient"
    assert said("A1 = -A2", "C1 = C2") == said("A1 = -A2", "C1 = -C2") == "insufficient"


MULTIPLES = """
name = "Twice the keys"
[grows]
k = "2*k"
[new]
A = "h, k"
B = "h, k"
[rewrite]
W_Q = "[W_Q, A]"
W_K = "[sqrt(2)*W_K, B]"
[constraints]
B = "0"
"""


def test_a_multiple_of_an_old_block_silences_nothing():
    """[Q, A] [sqrt(2) K, B]' is sqrt(2) Q K' exactly if A B' = 0: no multiple of Q, K does that for every factor."""
    found = studied(MULTIPLES, "zero", "multiple")
    for chosen in map(frozenset, chain.from_iterable(combinations(range(6), n) for n in range(7))):
        texts = {found.choices[i].text for i in chosen}
        zero = any(f"{block} = 0" in texts for block in "AB")
        two = [{f"{block} = t W_Q", f"{block} = t W_K"} <= texts for block in "AB"]  # t W_Q = t' W_K: both t are 0
        if found.sorted.sort(chosen) is not None and not any(two):
            assert found.sorted.sort(chosen) == ("sufficient" if zero else "insufficient"), texts


# --- limits, seeds, and oracles that lie ---


def test_a_limit_leaves_the_rest_unexplored_and_going_on_completes_it():
    whole = studied(load("layer-addition").text)
    part = study(claim(load("layer-addition").text), limits=Limits(questions=40))
    assert part.sorted.unexplored
    assert named(part, "sufficient") < named(whole, "sufficient")
    rest = study(claim(load("layer-addition").text), known=part.sorted)
    assert named(rest, "sufficient") == named(whole, "sufficient")
    assert named(rest, "insufficient") == named(whole, "insufficient")


@pytest.mark.parametrize("name", ["mlp-expansion", "attention-expansion"])
def test_the_sets_do_not_depend_on_the_seed(name):
    found = study(claim(load(name).text), seed=7)
    assert named(found, "sufficient") == BY_HAND[name]
    assert named(found, "insufficient") == named(studied(load(name).text), "insufficient")


def test_a_prover_that_fails_leaves_sets_undecided_and_none_called_insufficient(monkeypatch):
    monkeypatch.setattr("growproof.proofs.minimal.derived", lambda claim: claim)
    found = study(claim(load("mlp-expansion").text))
    assert named(found, "sufficient") == set()
    assert named(found, "insufficient") == named(studied(load("mlp-expansion").text), "insufficient")
    assert named(found, "undecided") == sets(
        *("M_W_l2", "M_W_l1 M_W_l2", "M_b_l1 M_W_l2", "M_W_l1 M_b_l1", "M_W_l1 M_b_l1 M_W_l2")
    )


def test_an_oracle_that_contradicts_the_prover_is_seen(monkeypatch):
    """{M_W_l2} is proved; numbers are said to change the function under {M_W_l1, M_W_l2}."""
    true = Oracle.sort
    wrong = frozenset({0, 2})
    monkeypatch.setattr(Oracle, "sort", lambda self, s: "insufficient" if s == wrong else true(self, s))
    with pytest.raises(CoverageError):
        study(claim(load("mlp-expansion").text))


def test_a_search_that_finds_no_numbers_calls_nothing_sufficient_for_that(monkeypatch):
    monkeypatch.setattr("growproof.proofs.minimal.glimpse", lambda steps, seed: False)
    monkeypatch.setattr("growproof.proofs.minimal.find", lambda steps, seed: None)
    found = study(claim(load("mlp-expansion").text))
    assert named(found, "sufficient") == BY_HAND["mlp-expansion"]
    assert named(found, "undecided") == sets("", "M_W_l1", "M_b_l1")
