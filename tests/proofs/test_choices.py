"""What an initialiser may choose: exactly the equations that its blocks' shapes and owners allow."""

import pytest
import unpublished
from as_published import load
from unpublished import TWO_UNITS

from growproof.proofs.choices import VOCABULARY, choices, constrained, given, old_parameters
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.expand import expand
from growproof.symbolic.terms import ZeroMatrix, atoms, negative, product, transposed
from growproof.symbolic.variant import SIX, loads

BASE = paper_model(PRESETS["paper"])


def step(text):
    return expand(BASE, loads(text, "variant.toml"))


def catalogued(name):
    return expand(BASE, load(name))


def texts(expansion, *words):
    return [choice.text for choice in choices(expansion, words)]


def symbols(expansion):
    return {block.name: block.symbol for block in expansion.blocks}


DOUBLE = """
name = "Twice the queries, keys and units"
[grows]
k = "2*k"
p = "2*p"
[new]
A = "h, k"
B = "h, k"
C = "h, p"
d = "1, p"
D = "p, h"
[rewrite]
W_Q = "[W_Q, A]"
W_K = "[sqrt(2)*W_K, B]"
W_l1 = "[W_l1, C]"
b_l1 = "[b_l1, d]"
W_l2 = "[W_l2; D]"
[constraints]
"A*B'" = "0"
D = "0"
"""

TWO = unpublished.constrained(TWO_UNITS, '"C1 + C2" = "0"')

OWNERS = """
name = "One shape, three owners"
[new]
L = "h, k; per layer"
H = "h, k; per head"
K = "h, k"
G = "h, k; per model"
[rewrite]
W_Q = "W_Q + L + H + G"
W_K = "W_K + K"
"""

# --- zero ---


@pytest.mark.parametrize("name", SIX)
def test_every_new_block_may_be_zero_in_the_order_of_the_file(name):
    assert texts(catalogued(name), "zero") == [f"{block} = 0" for block in load(name).new]


def test_a_block_that_is_zero_is_listed_by_its_name_and_any_other_choice_whole():
    assert [choice.label for choice in choices(step(TWO), ("zero",))] == ["A1", "A2", "d1", "d2", "C1", "C2"]
    assert [choice.label for choice in choices(step(TWO), ("equal",))] == ["A1 = A2", "d1 = d2", "C1 = C2"]


def test_a_zero_has_the_shape_of_its_block():
    for choice in choices(catalogued("layer-addition")):
        ((block, zero),) = choice.pairs
        assert isinstance(zero, ZeroMatrix)
        assert zero.shape == block.shape


def test_zero_is_the_word_that_is_used_unless_others_are_named():
    assert choices(step(TWO)) == choices(step(TWO), ("zero",))


# --- equal and opposite ---

PAIRS = {  # blocks of one shape (h x k, s x h, ..) and one owner
    "mlp-expansion": [],
    "head-addition": [("M_W_Q", "M_W_K")],
    "heads-expansion": [],
    "attention-expansion": [("M_W_Q", "M_W_K")],
    "hidden-expansion": [
        *(("M_I", "M_P"), ("M_g_MHA", "M_g_MLP"), ("M_g_MHA", "M_b_l2"), ("M_W_Q", "M_W_K"), ("M_g_MLP", "M_b_l2"))
    ],
    "layer-addition": [
        *(("M_g_MHA", "M_g_MLP"), ("M_g_MHA", "M_b_l2"), ("M_W_Q", "M_W_K"), ("M_g_MLP", "M_b_l2")),
    ],
}


@pytest.mark.parametrize("name", SIX)
def test_blocks_of_one_shape_and_one_owner_may_be_equal_or_opposite(name):
    assert texts(catalogued(name), "equal") == [f"{a} = {b}" for a, b in PAIRS[name]]
    assert texts(catalogued(name), "opposite") == [f"{a} = -{b}" for a, b in PAIRS[name]]


def test_equal_and_opposite_say_what_they_are_called():
    own = symbols(step(TWO))
    for equal, opposite in zip(choices(step(TWO), ("equal",)), choices(step(TWO), ("opposite",)), strict=True):
        a, b = (own[name] for name in equal.blocks)
        assert equal.pairs == ((a, b),)
        assert opposite.pairs == ((a, negative(b)),)
        assert (equal.factor, opposite.factor) == (None, None)


def test_blocks_of_different_owners_are_not_compared():
    """L is one for all heads of a layer, G one for the model; H and K are one for each head."""
    assert texts(step(OWNERS), "equal") == ["H = K"]


def test_a_block_is_never_compared_with_itself_and_no_pair_twice():
    for name in SIX:
        found = [choice.blocks for choice in choices(catalogued(name), ("equal",))]
        assert all(a != b for a, b in found)
        assert len({frozenset(pair) for pair in found}) == len(found)


# --- multiples ---


@pytest.mark.parametrize("name", SIX)
def test_the_blocks_of_the_six_have_the_shape_of_no_old_parameter_within_reach(name):
    """New sizes are k_hat - k and the like; a new head or layer is beside the old ones, not in one of them."""
    assert texts(catalogued(name), "multiple") == []


def test_a_block_may_be_a_multiple_of_every_old_parameter_of_its_shape():
    assert texts(step(DOUBLE), "multiple") == [
        *("A = t W_Q", "A = t W_K", "B = t W_Q", "B = t W_K"),
        *("C = t W_l1", "d = t b_l1", "D = t W_l2"),
    ]


def test_a_block_of_a_layer_is_no_multiple_of_what_each_head_has():
    assert texts(step(OWNERS), "multiple") == ["H = t W_Q", "H = t W_K", "K = t W_Q", "K = t W_K"]


def test_a_block_of_the_model_may_be_a_multiple_of_its_parameters_only():
    text = 'name = "x"\n[new]\nM = "s, h"\n[rewrite]\nI = "I + M"\n'
    assert texts(step(text), "multiple") == ["M = t I", "M = t P"]


def test_the_factor_of_a_multiple_may_be_any_number():
    expansion = step(DOUBLE)
    own, old = symbols(expansion), old_parameters(expansion, ("", ""))
    found = {choice.text: choice for choice in choices(expansion, ("multiple",))}
    choice = found["A = t W_K"]
    assert choice.pairs == ((own["A"], product(choice.factor, old["W_K"])),)
    for number in (-2, 0, 3):
        ((left, right),) = choice.at(product(number))
        assert (left, right) == (own["A"], product(number, old["W_K"]))


def test_each_multiple_has_a_factor_of_its_own():
    factors = [choice.factor for choice in choices(step(DOUBLE), ("multiple",))]
    assert len(set(factors)) == len(factors) == 7


def test_what_has_no_factor_is_the_same_at_every_number():
    for choice in choices(step(TWO), ("zero", "equal", "opposite")):
        assert choice.at(product(7)) == choice.pairs


# --- instances ---


@pytest.mark.parametrize("text", [load("mlp-expansion").text, DOUBLE])
def test_a_choice_speaks_of_every_instance_of_its_block(text):
    """After a layer was added, a layer's block is one in each old layer and one in that layer, which has its own."""
    grown = expand(expand(BASE, load("layer-addition")).new, loads(text, "variant.toml"), 2)
    for choice in choices(grown, tuple(VOCABULARY)):
        own = [block.symbol for block in grown.blocks if block.name == choice.blocks[0]]
        assert len(set(own)) == 2
        assert [left for left, _ in choice.pairs] == own
        old_layers, new_layer = (atoms(right) for _, right in choice.pairs)
        assert old_layers.isdisjoint(new_layer)


def test_the_vocabulary_is_put_together_in_the_order_that_the_user_names():
    expansion = step(TWO)
    assert texts(expansion, "opposite", "zero") == texts(expansion, "opposite") + texts(expansion, "zero")
    assert texts(expansion, *VOCABULARY) == [text for word in VOCABULARY for text in texts(expansion, word)]


def test_a_variant_without_new_blocks_leaves_nothing_to_choose():
    assert choices(step('name = "Nothing"\n'), tuple(VOCABULARY)) == ()


# --- what a variant has chosen ---


@pytest.mark.parametrize("name", SIX)
def test_the_constraints_of_the_six_are_zeros_and_nothing_else(name):
    expected = frozenset(constraint.left.name for constraint in load(name).constraints)
    assert given(catalogued(name)) == (expected, ())


def test_constraints_that_are_no_zeros_are_kept():
    own = symbols(step(DOUBLE))
    zeros, kept = given(step(DOUBLE))
    assert zeros == {"D"}
    ((left, right),) = kept
    assert left == product(own["A"], transposed(own["B"]))
    assert isinstance(right, ZeroMatrix)


def test_a_sum_that_vanishes_is_no_zero():
    assert given(step(TWO))[0] == frozenset()
    assert len(given(step(TWO))[1]) == 1


@pytest.mark.parametrize("constraint", ['D = "0(p, h)"', '"0(p, h)" = "D"'])
def test_a_zero_may_stand_on_either_side(constraint):
    assert given(step(DOUBLE.replace('D = "0"', constraint)))[0] == {"D"}


def test_other_constraints_take_the_place_of_the_variants_own():
    expansion = step(DOUBLE)
    (choice,) = choices(step(DOUBLE), ("zero",))[:1]
    other = constrained(expansion, choice.pairs)
    assert other.constraints == choice.pairs
    assert (other.blocks, other.new, other.old) == (expansion.blocks, expansion.new, expansion.old)
