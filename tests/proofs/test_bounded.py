"""z3 at small sizes: what is proved for all sizes holds there, and what a dropped constraint breaks is broken there."""

from functools import cache

import pytest
import z3
from as_published import load

from growproof.proofs import bounded as module
from growproof.proofs import solver
from growproof.proofs.bounded import bounded, small
from growproof.proofs.check import claim_of
from growproof.proofs.constraints import without
from growproof.proofs.kernel import Equation
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.terms import transposed, zero
from growproof.symbolic.variant import SIX, loads

DROPPED = [(name, i) for name in SIX for i in range(len(load(name).constraints))]


@cache
def claim(text, architecture="paper"):
    return claim_of([loads(text, "variant.toml")], paper_model(PRESETS[architecture]))


@cache
def answered(text, architecture="paper"):
    return bounded(claim(text, architecture))


def of(name):
    return answered(load(name).text)


@cache
def weaker(name, gone):
    return claim_of([without(load(name), gone)], paper_model(PRESETS["paper"]))


# --- the six ---


@pytest.mark.parametrize("name", SIX)
def test_at_small_sizes_nothing_meets_the_constraints_and_fails(name):
    assert of(name).sufficient
    assert {answer.verdict for answer in of(name).squares.values()} == {"unsat"}
    assert len(of(name).squares) > 0


@pytest.mark.parametrize(("name", "gone"), DROPPED)
def test_without_any_one_constraint_something_fails(name, gone):
    """Where the input no longer tells the stream map, the theorem's own is asked about."""
    here = small(weaker(name, gone) if weaker(name, gone).growth is not None else claim(load(name).text))
    kept = [Equation(*pair) for pair in weaker(name, gone).steps[0].constraints]
    squares = [Equation(goal.left, goal.right) for goal in here.squares]
    assert "sat" in {solver.ask(here.query("fails", kept, [square])).verdict for square in squares}


@pytest.mark.parametrize("name", SIX)
def test_the_constraints_force_the_blocks_that_they_name_and_no_other(name):
    forced = {constraint.left.name for constraint in load(name).constraints}
    assert set(of(name).free) == set(load(name).new) - forced
    assert set(of(name).nonzero) == set(load(name).new)
    assert of(name).constraints.verdict == "sat"
    assert of(name).satisfiable


@pytest.mark.parametrize("name", SIX)
def test_every_old_size_is_as_small_as_shows_something_and_every_new_one_larger(name):
    """s = 1 hides what attention does."""
    sizes = of(name).sizes
    assert all(sizes[size] == (2 if size == "s" else 1) for size in "shpkvo")
    assert all(sizes[f"{size}_hat"] > sizes[size] for size in load(name).grows)


def test_an_epsilon_breaks_theorem_3_5_at_small_sizes():
    found = answered(load("hidden-expansion").text, "paper-eps")
    assert not found.sufficient
    assert found.squares["norm of attention"].verdict == "sat"
    assert answered(load("mlp-expansion").text, "paper-eps").sufficient


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("attention-expansion", "sqrt(k_hat)/sqrt(k)*"), ("hidden-expansion", "sqrt(h)/sqrt(h_hat)*")],
)
def test_a_forgotten_factor_breaks_a_square(name, wrong):
    assert wrong in load(name).text
    assert not answered(load(name).text.replace(wrong, "")).sufficient


# --- constraints that force too much, or contradict each other ---

MLP = load("mlp-expansion").text


def test_constraints_that_force_every_new_block_are_met_by_zeros_only():
    found = answered(MLP + 'M_W_l1 = "0"\nM_b_l1 = "0"\n')
    assert found.free == ()
    assert found.constraints.verdict == "sat"
    assert not found.satisfiable


def test_a_contradiction_is_met_by_nothing():
    found = answered(MLP + '"2*M_W_l2" = "ones(p_hat - p, h)"\n')
    assert found.constraints.verdict == "unsat"
    assert found.sufficient  # of nothing, everything is true
    assert not found.satisfiable


def test_a_variant_without_new_blocks_forces_none():
    found = answered('name = "Nothing"\n')
    assert (found.squares, found.nonzero, found.satisfiable) == ({}, {}, True)


# --- queries ---


def test_what_holds_for_each_head_is_asked_of_every_head():
    """The new block of one head may be zero while another's is not."""
    here = small(claim(load("attention-expansion").text))
    block = {block.name: block.symbol for block in claim(load("attention-expansion").text).steps[0].blocks}["M_W_Q"]
    zero_everywhere = here.query("zero", [Equation(block, zero(*block.shape))])
    names = {str(atom) for atom in z3.z3util.get_vars(z3.And(*zero_everywhere.assertions))}
    assert {name.partition("[")[0] for name in names} == {"M_W_Q.1", "M_W_Q.2"}


def test_equal_arguments_of_a_function_have_equal_values_on_both_sides_of_a_square():
    """Otherwise not even what a variant leaves alone would be the same."""
    here = small(claim(load("hidden-expansion").text))
    (square,) = [goal for goal in here.squares if goal.name == "attention"]
    same = Equation(square.left, square.left)
    assert solver.ask(here.query("not itself", [], [same])).verdict == "unsat"


def test_a_transposed_constraint_is_the_same_constraint():
    (pair,) = claim(load("attention-expansion").text).steps[0].constraints
    here = small(claim(load("attention-expansion").text))
    (square,) = [Equation(goal.left, goal.right) for goal in here.squares]
    turned = Equation(transposed(pair[0]), transposed(pair[1]))
    assert solver.ask(here.query("fails", [turned], [square])).verdict == "unsat"


@pytest.mark.parametrize("name", SIX)
def test_every_query_says_the_same_as_its_text(name):
    for answer in of(name).answers:
        parsed = solver.Query("parsed", tuple(z3.parse_smt2_string(solver.smt_lib(answer.query))))
        assert solver.ask(parsed).verdict == answer.verdict


@pytest.mark.parametrize("name", SIX)
def test_every_query_of_a_variant_has_a_file_of_its_own(name):
    files = [answer.file_name for answer in of(name).answers]
    assert len(set(files)) == len(files)


# --- what z3 does not know, or gets wrong, is not called sufficient ---


def test_a_limit_leaves_the_answers_unknown(monkeypatch):
    ask = solver.ask
    monkeypatch.setattr(module.solver, "ask", lambda query: ask(query, work=1))
    found = bounded(claim(load("attention-expansion").text))
    assert "unknown" in {answer.verdict for answer in found.squares.values()}
    assert not found.sufficient


def test_one_square_that_fails_makes_the_constraints_insufficient(monkeypatch):
    ask = solver.ask

    def lie(query):
        answer = ask(query)
        return solver.Answer(query, "sat") if query.name.startswith("MLP fails") else answer

    monkeypatch.setattr(module.solver, "ask", lie)
    assert not bounded(claim(load("hidden-expansion").text)).sufficient
