"""Constraints that cannot be met prove nothing: a contradiction would prove anything."""

import pytest
from sympy import Integer

from growproof.proofs.admissible import solution
from growproof.proofs.check import chain, claim_of, composed
from growproof.proofs.kernel import Equation
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.errors import VariantError
from growproof.symbolic.terms import (
    Diag,
    MatAdd,
    atoms,
    blocks,
    eye,
    matrix,
    negative,
    ones,
    product,
    size,
    total,
    transposed,
    zero,
)
from growproof.symbolic.variant import SIX, load, loads

m, n = size("m"), size("n")
A, B, C = (matrix(name, m, n) for name in "ABC")
W = matrix("W", m, n)
MLP = load("mlp-expansion").text.partition("[constraints]")[0]


def solved(*pairs, new=(A, B, C)):
    return solution([Equation(left, right) for left, right in pairs], new)


def mlp(*constraints: str) -> str:
    sides = [constraint.split(" = ") for constraint in constraints]
    return MLP + "\n".join(["[constraints]", *(f'"{left}" = "{right}"' for left, right in sides), ""])


# --- solutions ---


def test_new_blocks_that_nothing_is_asked_of_are_zero():
    assert solved() == {A: zero(m, n), B: zero(m, n), C: zero(m, n)}


def test_a_block_is_solved_for_where_it_stands_alone_in_a_sum():
    found = solved((total(A, B), zero(m, n)), (total(product(2, C), W), zero(m, n)))
    assert found[A] == zero(m, n) or found[B] == zero(m, n)
    assert atoms(found[C]) == {W}


def test_a_product_is_met_by_zeros():
    assert solved((product(A, transposed(B)), zero(m, m))) is not None


def test_a_block_may_equal_an_old_parameter():
    assert solved((A, W), (B, product(3, W))) == {A: W, B: product(3, W), C: zero(m, n)}


@pytest.mark.parametrize(
    "pairs",
    [
        [(A, zero(m, n)), (A, ones(m, n))],
        [(A, zero(m, n)), (product(2, A), ones(m, n))],
        [(A, B), (A, total(B, ones(m, n)))],
        [(total(A, B), ones(m, n)), (total(A, B), zero(m, n))],
        [(A, W), (total(A, W), zero(m, n))],  # only for W = 0
        [(W, zero(m, n))],
        [(W, ones(m, n)), (A, zero(m, n))],
        [(product(A, transposed(W)), eye(m))],  # only for a W of full rank
    ],
)
def test_what_has_no_solution_for_every_old_parameter_has_none(pairs):
    assert solved(*pairs) is None


@pytest.mark.parametrize("name", SIX)
def test_the_six_can_be_initialised_as_they_ask(name):
    claim = claim_of([load(name)], paper_model(PRESETS["paper"]))
    assert claim.admissible
    assert solution(claim.growth.hypotheses, [block.symbol for block in claim.steps[0].blocks]) is not None


def test_a_solution_meets_the_constraints_when_it_is_put_in():
    """A + W = 0 and B - 2 A = 0 in one of the ways that a person would write them."""
    found = solved((total(A, W), zero(m, n)), (B, product(2, W)))
    assert found[A] == negative(W)
    assert found[B] == product(2, W)


# --- and so, of variants ---


@pytest.mark.parametrize(
    "text",
    [
        mlp("M_W_l2 = 0", "2*M_W_l2 = ones(p_hat - p, h)"),
        mlp("M_W_l2 = 0", "-M_W_l2 = ones(p_hat - p, h)", "M_W_l1 = 0"),
        mlp("M_W_l2 = 0", "M_b_l1 = 0", "M_b_l1 - ones(1, p_hat - p) = 0"),
        mlp("M_W_l2 = 0", "M_W_l1 = 0", "M_W_l1*M_W_l2 = eye(h)"),
        mlp("M_W_l2 = 0", "M_b_l1*M_W_l2 = b_l2"),  # only for b_l2 = 0
        mlp("M_W_l2 = 0", "M_W_l2 + ones(p_hat - p, 1)*b_l2 = 0"),
        mlp("M_W_l2 = 0", "M_W_l1*M_W_l2 = W_l1*W_l2"),
    ],
)
def test_a_contradiction_is_not_proved_although_its_goals_are(text):
    """Each has M_W_l2 = 0, from which every goal of theorem 3.1 follows."""
    claim = claim_of([loads(text, "test.toml")], paper_model(PRESETS["paper"]))
    assert all(goal.theorem is not None for goal in claim.goals)
    assert not claim.admissible
    assert claim.theorem is None


def test_what_only_some_old_parameters_meet_is_undecided(answer):
    found = answer(mlp("M_W_l2 = 0", "M_b_l1*M_W_l2 = b_l2"))
    assert found.composition is None
    assert found.verdict == "undecided"


@pytest.mark.parametrize(
    "text",
    [
        'name = "a"\n[new]\nM = "p, h"\n[rewrite]\nW_l2 = "M"\n[constraints]\nM = "W_l2"\n"M + W_l2" = "0"\n',
        'name = "a"\n[new]\nM = "h, h"\n[rewrite]\nW_l1 = "M*W_l1"\n[constraints]\n"M*W_l1" = "0"\nM = "eye(h)"\n',
        'name = "a"\n[new]\nM = "h, k"\n[rewrite]\nW_Q = "M"\n[constraints]\n"M - W_Q" = "0"\n"M - W_K" = "0"\n',
    ],
)
def test_what_forces_an_old_parameter_is_not_proved(text, answer):
    assert answer(text).verdict != "proved"


def test_a_chain_with_a_contradiction_in_one_link_is_not_proved(answer):
    contradiction = mlp("M_W_l2 = 0", "2*M_W_l2 = ones(p_hat - p, h)")
    heads = load("heads-expansion").text
    for texts in ((contradiction, heads), (heads, contradiction), (contradiction, contradiction)):
        variants = [loads(text, "test.toml") for text in texts]
        base = paper_model(PRESETS["paper"])
        assert composed([claim_of([variant], base) for variant in variants], chain(variants, base)) is None
        assert claim_of(variants, base).theorem is None
        with pytest.raises(VariantError, match="cannot be met"):
            answer(*texts)


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ("W_l1 = 0", "speaks of a new block"),
        ("W_l1*W_l2 = 0", "speaks of a new block"),
        ("P = 0", "speaks of a new block"),
        ("M_W_l1*0*P = I", "only the rewrite of the input"),
        ("M_b_l1 = W_Q", "shape"),
        ("M_b_l1 = b_l1", "shape"),
        ("M_W_l1 = M_b_l1", "shape"),
        ("M_W_l3 = 0", "speaks of a new block"),
    ],
)
def test_constraints_on_old_parameters_alone_and_of_wrong_sizes_are_refused(constraint, message, answer):
    with pytest.raises(VariantError, match=message):
        answer(mlp("M_W_l2 = 0", constraint))


# --- known gaps ---


def copies(owner: str, block: str, parameter: str) -> str:
    """A block that one layer or the model has, and that is to equal what every head or layer has of its own."""
    return (
        f'name = "Shared"\n[new]\nM = "{block}; {owner}"\n'
        f'[rewrite]\n{parameter} = "1/2*{parameter} + 1/2*M"\n[constraints]\nM = "{parameter}"\n'
    )


HEAD = load("head-addition").text.partition("[constraints]")[0]


@pytest.mark.parametrize(
    "text",
    [
        copies("per layer", "h, k", "W_Q"),
        copies("per model", "h, k", "W_Q"),
        copies("per model", "h, p", "W_l1"),
        HEAD + '[constraints]\nM_W_V = "W_V"\nM_W_O = "0"\n',
    ],
    ids=["a layer's block for every head", "the model's for every head", "the model's for every layer", "a new head"],
)
def test_one_block_that_must_equal_many_parameters_cannot_be_met(text, answer):
    """With two different heads (or layers) no block equals both."""
    assert answer(text).verdict != "proved"


def test_a_block_of_each_head_may_equal_its_parameter(answer, proved):
    assert proved(answer(copies("per head", "h, k", "W_Q")))
    assert proved(answer(copies("per layer", "h, p", "W_l1")))


# --- what zero and the identity do not do ---

U, V, Q = matrix("U", m, Integer(1)), matrix("V", Integer(1), n), matrix("Q", n, n)


@pytest.mark.parametrize(
    "pair",
    [
        (product(transposed(U), U), ones(1, 1)),  # a column of length 1
        (product(V, transposed(V)), ones(1, 1)),
        (Diag(V), eye(n)),  # a row of ones
        (product(Q, transposed(Q)), product(4, eye(n))),
        (product(Q, Q), product(2, eye(n))),
    ],
)
def test_a_row_of_equal_numbers_or_a_multiple_of_the_identity_may_do(pair):
    assert solved(pair, new=(U, V, Q)) is not None


@pytest.mark.parametrize(
    "pair",
    [
        (product(Q, Q), product(-1, eye(n))),  # not for n = 1
        (product(U, transposed(U)), eye(m)),  # only for m = 1
        (product(transposed(V), V), eye(n)),
    ],
)
def test_what_only_some_sizes_allow_has_no_solution(pair):
    assert solved(pair, new=(U, V, Q)) is None


# --- a product with what another constraint gives an inverse of ---

V_SQUARE, W_SQUARE = matrix("V", n, n), matrix("W", n, n)
T, READER, g = matrix("T", m, size("r")), matrix("U", size("r"), n), matrix("g", 1, size("r"))
ROWS = (product(T, transposed(T)), eye(m))
LONGER = {size("r"): m}


def grown(*pairs):
    return solution([Equation(left, right) for left, right in pairs], [T, READER, g], LONGER)


@pytest.mark.parametrize(
    "reader",
    [product(T, READER), product(T, Diag(g), READER), product(3, T, READER), total(product(T, READER), product(-1, W))],
    ids=["as it is", "with gains", "times a number", "in a sum"],
)
def test_what_reads_a_stream_of_other_coordinates_can_undo_them(reader):
    """T T' = I and T READER = W for any W: T = [I 0] and READER = T' W."""
    right = zero(m, n) if isinstance(reader, MatAdd) else W
    found = grown(ROWS, (reader, right))
    assert found is not None
    assert atoms(found[READER]) == {W}


def test_the_mean_in_every_other_coordinate_keeps_what_a_layer_norm_sees():
    r = size("r")
    centred = total(ROWS[0], product(-1 / r, T, ones(r, r), transposed(T)))
    kept = total(eye(m), product(-1 / m, ones(m, m)))
    found = grown((centred, kept))
    assert found is not None
    assert found[T] == blocks([[eye(m), product(1 / m, ones(m, r - m))]])


@pytest.mark.parametrize(
    "pairs",
    [
        [ROWS, (product(T, READER), W), (READER, zero(size("r"), n))],  # only for W = 0
        [(product(T, READER), W), (T, zero(m, size("r")))],
    ],
)
def test_a_product_that_only_some_old_parameters_allow_has_no_solution(pairs):
    assert grown(*pairs) is None


def test_a_product_of_new_squares_may_have_the_identity_as_its_first_factor():
    found = solved((product(Q, V_SQUARE), W_SQUARE), new=(Q, V_SQUARE))
    assert found is not None
    assert found[Q] == eye(n)
    assert atoms(found[V_SQUARE]) == {W_SQUARE}
