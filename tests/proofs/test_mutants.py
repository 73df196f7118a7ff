"""Mutants and inventions: every change has a place, says what it changes, and the inventions are true."""

from itertools import islice

import numpy as np
import pytest
from as_published import load
from hypothesis import given
from hypothesis import strategies as st

from growproof.proofs.campaign import Case, attacks, differs, from_file, judged
from growproof.proofs.check import with_solutions
from growproof.proofs.entries import entries_of, parts, put, rebuilt, trees
from growproof.proofs.invented import disguised, invented, longer, true_of
from growproof.proofs.mutants import MUTATIONS, mutants, mutated
from growproof.proofs.smaller import smallest
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.errors import VariantError
from growproof.symbolic.expand import expand
from growproof.symbolic.syntax import Name, parse, show
from growproof.symbolic.variant import Variant, catalogue, loads
from growproof.symbolic.variant import load as load_built_in
from growproof.symbolic.writing import text_of

SIX = (
    *("mlp-expansion", "head-addition", "heads-expansion"),
    *("attention-expansion", "hidden-expansion", "layer-addition"),
)
PAPER = PRESETS["paper"]
EVERYTHING = """
name = "Everything"
[grows]
k = "k_hat"
[new]
R = "k, k_hat; per head"
S = "k_hat, k"
A = "h, h"
[rewrite]
W_Q = "W_Q*R - 0*W_Q*R"
W_K = "1/2*W_K*(S' + R)"
W_O = "act(W_O)*A'"
[stream]
map = "eye(h)"
[added.layer]
copy = "previous"
W_O = "0"
[added.head]
copy = "each"
[forward]
MLP = "act(X*W_l1)*W_l2"
[becomes]
experts = 2
tied = true
[constraints]
"R*S" = "eye(k)"
S = "0"
"""


def anything() -> dict[str, Variant]:
    return {"everything": loads(EVERYTHING, "e.toml")} | {name: load(name) for name in SIX}


def judgement(*texts: str, true: bool = False):
    return judged(Case("a test", "", loads(texts[0], "f").architecture, texts, true), (0, 0))


# ---------------------------------------------------------------- entries


@pytest.mark.parametrize("variant", anything().values(), ids=anything())
def test_a_variant_is_what_its_entries_say(variant):
    assert text_of(rebuilt(variant, entries_of(variant))) == text_of(variant)


@pytest.mark.parametrize("gone", entries_of(loads(EVERYTHING, "e.toml")))
def test_without_any_one_entry_it_is_another(gone):
    """So every entry says something, and none is read from elsewhere."""
    variant = loads(EVERYTHING, "e.toml")
    entries = {where: entry for where, entry in entries_of(variant).items() if where != gone}
    if gone[0] != "kinds":
        assert text_of(rebuilt(variant, entries)) != text_of(variant)


@given(st.data())
def test_a_part_put_in_its_place_is_the_tree_again(data):
    entries = entries_of(data.draw(st.sampled_from(list(anything().values()))))
    _, tree = data.draw(st.sampled_from(list(trees(entries, "rewrite", "left", "added"))))
    path, part = data.draw(st.sampled_from(list(parts(tree))))
    assert put(tree, path, part) == tree
    other = put(tree, path, Name("other"))
    assert other != tree
    assert dict(parts(other))[path] == Name("other")


# ---------------------------------------------------------------- mutations


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_every_mutation_has_a_place_and_changes_the_text(mutation):
    found = [(variant, change) for variant in anything().values() for change in mutants(variant, mutation)]
    assert found
    for variant, change in found:
        assert text_of(mutated(variant, change)) != text_of(variant)


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_most_mutations_make_variants_of_the_six(mutation):
    variants = [from_file(name, PAPER) for name in SIX]
    texts = [text_of(mutated(one, change)) for one in variants for change in mutants(one, mutation)[:3]]
    none = (
        "transposed",
        "another sign",
        "another number",
        "without a rewrite",
        "another option",
    )  # the six have no place for these
    assert any(map(usable, texts)) is (mutation not in none)


def usable(text: str) -> bool:
    try:
        return bool(expand(paper_model(PAPER), loads(text, "m.toml")))
    except VariantError:
        return False


@pytest.mark.parametrize(
    ("name", "mutation", "written", "verdict"),
    [
        ("mlp-expansion", "without a constraint", "", "refuted"),
        ("mlp-expansion", "a weaker constraint", '"ones(1, p_hat - p)*M_W_l2" = "0"', "refuted"),
        ("attention-expansion", "a weaker constraint", '"M_W_K*M_W_Q\'" = "0"', "proved"),
        ("mlp-expansion", "blocks moved", 'W_l2 = "[M_W_l2; W_l2]"', "refuted"),
        ("attention-expansion", "without a factor", 'W_K = "[W_K, M_W_K]"', "refuted"),
        ("attention-expansion", "another factor", 'W_Q = "[2*W_Q, M_W_Q]"', "refuted"),
        ("heads-expansion", "a block forgotten", 'W_V = "[W_V, 0(h, v_hat - v)]"', "proved"),
        ("heads-expansion", "a block forgotten", 'W_V = "[0(h, v), M_W_V]"', "refuted"),
        ("head-addition", "another function", 'W_O = "act(M_W_O)"', "proved"),
        ("head-addition", "turned", 'W_V = "M_W_V*R_turn"', "proved"),
        ("heads-expansion", "turned", 'W_V = "[W_V, M_W_V]*R_turn"', "refuted"),
    ],
)
def test_mutants_are_judged_as_they_should(name, mutation, written, verdict):
    variant = from_file(name, PAPER)
    texts = [text_of(mutated(variant, change)) for change in mutants(variant, mutation)]
    (text,) = [text for text in texts if written in text]
    assert judgement(text).verdict == verdict


# ---------------------------------------------------------------- inventions

INVENTIONS = [(preset, name) for preset in PRESETS for name in true_of(PRESETS[preset])]


@pytest.mark.parametrize(("preset", "name"), INVENTIONS)
def test_an_invention_is_true(preset, name):
    """Proved or not, random models never differ."""
    invent = true_of(PRESETS[preset])[name]
    for seed in range(2):
        text = invent(PRESETS[preset], np.random.default_rng(seed)).text(name, PRESETS[preset])
        (variant,), _ = with_solutions([loads(text, "i.toml")], paper_model(PRESETS[preset]))
        steps = [expand(paper_model(PRESETS[preset]), variant)]
        found = [agreement for _, agreement in islice(attacks(steps, np.random.default_rng(seed)), 3)]
        assert found
        assert not any(map(differs, found)), text


def test_what_is_not_true_of_an_architecture_is_not_invented_there():
    """The rotations of Llama do not commute with a turn of the keys; LayerNorm sees the mean of a turned stream."""
    assert {"turned keys", "longer keys"} & set(true_of(PRESETS["llama"])) == set()
    assert {"turned stream", "wider stream"} & set(true_of(PRESETS["gpt2"])) == set()


def test_an_invention_said_to_be_true_and_false_is_found():
    text = from_file("mlp-expansion", PAPER)
    found = judgement(text_of(mutated(text, mutants(text, "without a constraint")[0])), true=True)
    assert (found.verdict, found.failure) == ("refuted", "refuted though true")


@pytest.mark.parametrize("name", SIX)
def test_a_disguise_is_another_text_and_as_true(name):
    variant = from_file(name, PAPER)
    for seed in range(3):
        text = text_of(disguised(variant, np.random.default_rng(seed), 1))
        assert text != text_of(variant)
        assert judgement(text).verdict == "proved"


def test_disguises_are_different():
    assert len({show(other) for other in longer(parse("A"))}) == 5


def test_inventions_follow_from_the_random_numbers_alone():
    once, again = (invented(PAPER, np.random.default_rng(5)) for _ in range(2))
    assert (once[0], text_of(once[1])) == (again[0], text_of(again[1]))


# ---------------------------------------------------------------- smaller


def test_what_is_not_needed_goes():
    """Everything but what the condition asks for, in a chain of two."""
    texts = (text_of(from_file("hidden-expansion", PAPER)), text_of(from_file("mlp-expansion", PAPER)))
    (found,) = smallest(texts, lambda texts: any("W_l2" in loads(text, "f").rewrite for text in texts))
    less = loads(found, "f")
    assert (dict(less.grows), dict(less.new), less.constraints) == ({}, {}, ())
    assert list(less.rewrite) == ["W_l2"]
    assert len(show(less.rewrite["W_l2"])) <= 6


def test_what_is_as_small_as_it_goes_stays():
    text = 'name = "a"\nsource = ""\ndescription = ""\narchitecture = "paper"\n'
    assert smallest((text,), lambda texts: True) == (text,)


def test_an_error_on_the_way_is_no_reason_to_take_something_away():
    def needs_a_size(texts):
        (text,) = texts
        if "p_hat" not in text:
            raise VariantError("no size")
        return True

    (found,) = smallest((text_of(from_file("mlp-expansion", PAPER)),), needs_a_size)
    assert "p_hat" in found


def test_the_catalogue_is_taken_as_it_is():
    """Every variant of the catalogue can be mutated, whatever is in it."""
    for name in catalogue():
        variant = from_file(name, PRESETS[load_built_in(name).architecture])
        assert text_of(rebuilt(variant, entries_of(variant))) == text_of(variant)
        assert sum(len(mutants(variant, mutation)) for mutation in MUTATIONS) > 5
