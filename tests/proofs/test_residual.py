"""What an open goal asks of the new blocks: the words that remain, and what in them is new."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from growproof.proofs.kernel import Equation
from growproof.proofs.residual import core, sums
from growproof.proofs.residual import remaining as reading
from growproof.symbolic.evaluate import Values, evaluate
from growproof.symbolic.floats import float_arithmetic
from growproof.symbolic.terms import (
    Act,
    HeadSum,
    MatAdd,
    Softmax,
    blocks,
    eye,
    matrix,
    product,
    size,
    total,
    transposed,
    zero,
)

n, m = size("n"), size("m")
X, Y, W, V = (matrix(name, n, n) for name in "XYWV")  # old
A, B, C = (matrix(name, n, n) for name in "ABC")  # new
Q, K = (matrix(name, n, n, ("layers", "heads")) for name in "QK")  # each head's own
NEW = {A, B, C, Q, K}
O = zero(n, n)


def remaining(left, right):
    return list(sums(left, right))


def asked(term, new=NEW):
    """The left sides of what is asked of the new blocks, each of which must vanish."""
    found = core(term, new)
    assert found is None or all(equation.right == zero(*equation.left.shape) for equation in found)
    return None if found is None else [equation.left for equation in found]


# --- for a reader ---


def shown(left, right):
    return [(found.term, found.families) for found in reading(left, right, NEW)]


def test_what_both_sides_share_is_not_shown():
    assert shown(total(X, product(A, B)), X) == [(product(A, B), ())]


def test_old_factors_around_the_new_blocks_are_not_shown():
    assert shown(product(X, W, A, B, V), O) == [(product(A, B), ())]


def test_a_sum_over_heads_is_asked_of_every_head():
    term = HeadSum(product(Softmax(X), X, Q, K, W), "heads")
    assert shown(total(X, term), X) == [(product(Q, K), ("heads",))]


def test_a_function_of_new_blocks_stays():
    inner = product(Act(product(X, A), "relu"), C)
    assert shown(total(product(inner, W), X), X) == [(inner, ())]


def test_words_with_other_factors_around_them_stay_as_they_are():
    found = total(product(X, A), product(W, B))
    assert shown(found, O) == [(found, ())]


def test_words_that_agree_around_the_new_blocks_are_one_equation():
    assert shown(total(product(X, A, W), product(X, B, W)), O) == [(total(A, B), ())]


@pytest.mark.parametrize("spoilt", [product(Y, A, W), product(X, A, V), product(2, X, W)])
def test_what_is_left_out_is_the_same_in_every_word(spoilt):
    found = total(product(X, B, W), spoilt)
    assert shown(found, O) == [(found, ())]


# --- sums of words ---


def test_equal_sides_ask_nothing():
    assert remaining(product(X, W), product(X, W)) == []


def test_the_same_words_in_another_order_ask_nothing():
    assert remaining(MatAdd(A, B), MatAdd(B, A)) == []


def test_words_of_both_sides_cancel():
    assert remaining(total(X, product(A, B)), X) == [product(A, B)]
    assert remaining(X, total(X, product(A, B))) == [product(-1, A, B)]


def test_a_word_that_occurs_on_one_side_only_stays_with_its_sign():
    assert remaining(total(product(X, A), W), total(product(Y, B), W)) == [total(product(X, A), product(-1, Y, B))]


def test_every_block_is_a_sum_of_its_own():
    left, right = blocks([[product(X, A), W]]), blocks([[O, W]])
    assert remaining(left, right) == [product(X, A)]
    assert remaining(blocks([[A, B]]), zero(n, 2 * n)) == [A, B]
    assert remaining(zero(n, 2 * n), blocks([[A, B]])) == [product(-1, A), product(-1, B)]


def test_the_scores_of_two_softmaxes_are_what_must_agree():
    left = product(Softmax(total(product(X, transposed(X)), product(A, transposed(B)))), V)
    right = product(Softmax(product(X, transposed(X))), V)
    assert remaining(left, right) == [product(A, transposed(B))]


def test_so_are_the_arguments_of_an_activation_and_of_a_sum_over_heads():
    assert remaining(Act(total(X, A), "relu"), Act(X, "relu")) == [A]
    left, right = HeadSum(product(X, Q), "heads"), HeadSum(product(X, K), "heads")
    assert remaining(left, right) == [total(product(X, Q), product(-1, X, K))]


def test_words_that_differ_in_two_places_are_compared_whole():
    left = product(Softmax(total(X, A)), W)
    right = product(Softmax(X), V)
    assert remaining(left, right) == [total(left, product(-1, right))]


def test_other_functions_or_factors_are_compared_whole():
    for left, right in (
        (Act(A, "relu"), Act(X, "gelu")),
        (product(2, Act(A, "relu")), Act(X, "relu")),
        (Act(A, "relu"), Softmax(X)),
    ):
        assert remaining(left, right) == [total(left, product(-1, right))]


# --- what the sums say, they say of the values ---


@st.composite
def pairs(draw):
    """Two sums of short words, with an activation here and there."""
    letters = st.sampled_from([X, W, A, B, Act(A, "relu"), Act(X, "relu")])
    word = st.lists(letters, min_size=1, max_size=3).map(lambda parts: reduce(product, parts))
    side = st.lists(word, min_size=1, max_size=3).map(lambda words: total(*words))
    return draw(side), draw(side)


@given(pairs(), st.integers(0, 10**6))
def test_left_minus_right_is_the_sum_that_remains(pair, seed):
    left, right = pair
    rng = np.random.default_rng(seed)
    values = Values({"n": 2}, {name: rng.integers(-3, 4, (2, 2)).astype(float) for name in "XYWVABC"})
    gap, *others = (evaluate(side, values, float_arithmetic()) for side in pair)
    gap = gap - others[0]
    found = [evaluate(part, values, float_arithmetic()) for part in sums(left, right)]
    if all(np.abs(part).max() < 1e-9 for part in found):
        assert np.abs(gap).max() < 1e-9


# --- cores ---


def test_the_new_blocks_that_stand_together_are_the_core():
    assert asked(product(X, A, transposed(B), W)) == [product(A, transposed(B))]
    assert asked(product(A, B)) == [product(A, B)]


def test_a_factor_in_front_of_everything_is_left_out():
    assert asked(product(7, X, A, W)) == [A]
    assert asked(product(-1, A)) == [A]


def test_words_with_equal_surroundings_share_an_equation_with_their_factors():
    assert asked(total(product(X, A, W), product(X, B, W))) == [total(A, B)]
    assert asked(total(product(2, X, A), product(-1, X, B, C))) == [total(product(2, A), product(-1, B, C))]


def test_words_with_different_surroundings_have_an_equation_each():
    assert set(asked(total(product(X, A), product(W, A), product(X, B, W)))) == {A, product(B)}


def test_within_a_sum_over_heads_each_head_has_its_core():
    assert asked(HeadSum(product(X, Q, transposed(K), W), "heads")) == [product(Q, transposed(K))]


def test_a_sum_over_heads_is_no_surrounding_of_what_is_outside_it():
    found = asked(total(HeadSum(product(X, Q, W), "heads"), product(X, A, W)))
    assert found is None or set(found) == {Q, A}


@pytest.mark.parametrize(
    "word",
    [product(A, X, B), product(X, W), product(X, A, W, C), product(X, Act(total(X, A), "relu"), W)],
    ids=["old between new", "nothing new", "twice", "new and old in one argument"],
)
def test_a_word_whose_new_blocks_do_not_stand_together_has_no_core(word):
    assert asked(word) is None
    assert asked(total(word, product(Y, A, V))) is None


def test_an_activation_of_new_blocks_alone_belongs_to_the_core():
    assert asked(product(X, Act(A, "relu"), B)) == [product(Act(A, "relu"), B)]


def test_surroundings_without_a_core_count_as_the_identity():
    """X A W = X W for all X, W exactly if A is the identity."""
    assert asked(total(product(X, A, W), product(-1, X, W))) == [total(A, product(-1, eye(n)))]


@given(st.lists(st.tuples(st.sampled_from([(X, W), (W, X), (X,), ()]), st.sampled_from([A, B, product(A, B)])),
                min_size=1, max_size=3), st.data())  # fmt: skip
def test_blocks_that_meet_the_core_make_the_sum_vanish(parts, data):
    """A and B are drawn among 0, 1 and -1 times one matrix; whenever every equation holds, the sum is zero."""
    term = total(*(product(*around[:1], inside, *around[1:]) for around, inside in parts))
    if term == O:
        return
    found = core(term, NEW)
    rng = np.random.default_rng(0)
    M = rng.integers(-3, 4, (2, 2)).astype(float)
    blocks_at = {name: data.draw(st.sampled_from([-1, 0, 1])) * M for name in "AB"}
    values = Values({"n": 2}, blocks_at | {name: rng.integers(-3, 4, (2, 2)).astype(float) for name in "XW"})

    def vanishes(equation):
        return not evaluate(equation.left, values, float_arithmetic()).any()

    assert found is not None
    if all(map(vanishes, found)):
        assert vanishes(Equation(term, O))
