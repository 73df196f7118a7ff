"""Studies of constraints: sufficient, needed, satisfiable, weakest or not, against what the mathematics says."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from as_published import load

from growproof.numeric.forward import transformer
from growproof.numeric.model import from_nested
from growproof.proofs import minimal, solver
from growproof.proofs.constraints import Constraints, constraints, without
from growproof.proofs.counterexample import Counterexample
from growproof.proofs.lattice import CoverageError, Limits, Sorted
from growproof.proofs.weakest import Condition
from growproof.symbolic.architecture import PRESETS
from growproof.symbolic.notation import text
from growproof.symbolic.variant import Variant, loads

MLP, HEAD, HEADS, ATTENTION = "mlp-expansion", "head-addition", "heads-expansion", "attention-expansion"
HIDDEN, LAYER = "hidden-expansion", "layer-addition"
SIX = (MLP, HEAD, HEADS, ATTENTION, HIDDEN, LAYER)
WRITERS = ("M_W_O = 0", "M_W_l2 = 0", "M_b_l2 = 0")
PAPER = PRESETS["paper"]

six = pytest.mark.parametrize("name", SIX)


def variant(name: str, *given: str, replaced: tuple[str, str] = ("", "")) -> Variant:
    """A file of the catalogue with other constraints, such as "M_W_l2 = 0", and a text replaced."""
    body = load(name).text.split("[constraints]")[0]
    assert replaced[0] in body
    sides = [constraint.split(" = ") for constraint in given]
    lines = [body.replace(*replaced), "[constraints]", *(f'"{a}" = "{b}"' for a, b in sides), ""]
    return loads("\n".join(lines), "variant.toml")


@cache
def paper(name: str) -> Constraints:
    return constraints(load(name), PAPER)


@cache
def study(name: str, *given: str, replaced: tuple[str, str] = ("", "")) -> Constraints:
    return constraints(variant(name, *given, replaced=replaced), PAPER)


def sets(found: Constraints) -> set[tuple[str, ...]]:
    return {found.study.labels(subset) for subset in found.study.sorted.sufficient}


# ---------------------------------------------------------------- the six


@six
def test_the_paper_s_constraint_is_sufficient_satisfiable_and_decided(name):
    found = paper(name)
    assert (found.sufficient, found.refuted, found.satisfiable, found.decided) == (True, False, True, True)


@six
def test_the_paper_s_constraint_is_irredundant(name, change):
    """Every zero that is dropped gives numbers; they meet the others by a second reading, and change the output."""
    found = paper(name)
    assert found.irredundant
    assert [one.text for one in found.dropped] == [f"{block} = 0" for block in zeros_of(name)]
    for one in found.dropped:
        assert len(one.expansion.variant.constraints) == len(found.dropped) - 1
        assert change(one.counterexample) > 1e-3


def zeros_of(name: str) -> list[str]:
    """The blocks that the theorem sets to zero, read from the file as lines of text."""
    lines = load(name).text.split("[constraints]")[1].splitlines()
    return [line.split(" =")[0] for line in lines if line.partition("#")[0].strip().endswith('= "0"')]


# Why not: another smallest set suffices (MLP, head, heads, attention, layer); M_I + M_P = 0 is enough (hidden).
@six
def test_the_paper_s_constraint_is_not_the_weakest(name):
    assert paper(name).is_weakest == "no"


# What must vanish, by the block products of appendix A: the new summand of each square.
PRODUCTS = {
    HEAD: {"M_W_V*M_W_O"},
    HEADS: {"M_W_V*M_W_O"},
    ATTENTION: {"M_W_Q*M_W_K'"},
    HIDDEN: {"M_I + M_P", "M_W_O", "M_W_l2", "M_b_l2"},
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_the_weakest_condition_is_the_new_summand_of_each_square(name):
    found = paper(name).weakest
    assert (found.sufficient, found.is_necessary) == (True, True)
    assert {text(equation.left) for equation in found.equations} == PRODUCTS[name]
    assert not any(condition.for_all_inputs for condition in found.conditions)


@pytest.mark.parametrize("name", [MLP, LAYER])
def test_new_units_are_silent_for_every_input_or_the_function_changes(name):
    """relu(Y M1 + m1) M2, with what a new layer adds to it, has no shorter equation without the input."""
    found = paper(name).weakest
    assert found.sufficient
    assert all(condition.holds_for_one_head for condition in found.conditions)
    [units] = [condition for condition in found.conditions if condition.square.startswith("MLP")]
    assert units.for_all_inputs
    assert "act(" in text(units.equations[0].left)


# ---------------------------------------------------------------- other statements, each with its reason

WEAKEST = {
    "attention: the product": (ATTENTION, "M_W_Q*M_W_K' = 0"),
    "attention: the product, transposed": (ATTENTION, "M_W_K*M_W_Q' = 0"),
    "heads: the product": (HEADS, "M_W_V*M_W_O = 0"),
    "head: the product": (HEAD, "M_W_V*M_W_O = 0"),
    "hidden: input and positions cancel": (HIDDEN, "M_I + M_P = 0", *WRITERS),
}


@pytest.mark.parametrize("case", WEAKEST)
def test_a_constraint_that_says_no_more_than_the_residual_is_the_weakest(case):
    found = study(*WEAKEST[case])
    assert (found.sufficient, found.irredundant, found.satisfiable) == (True, True, True)
    assert found.is_weakest == "yes"


NOT_WEAKEST = {
    "attention: the other zero": (ATTENTION, "M_W_Q = 0"),
    "mlp: units that give 0": (MLP, "M_W_l1 = 0", "M_b_l1 = 0"),
    "heads: values zero": (HEADS, "M_W_V = 0"),
}


@pytest.mark.parametrize("case", NOT_WEAKEST)
def test_another_smallest_set_is_irredundant_and_not_the_weakest(case):
    found = study(*NOT_WEAKEST[case])
    assert (found.sufficient, found.irredundant, found.decided) == (True, True, True)
    assert found.is_weakest == "no"
    assert found.study.given_is_minimal


@pytest.mark.parametrize("name", [ATTENTION, HEADS])
def test_what_z3_does_not_confirm_is_not_called_the_weakest(monkeypatch, name):
    """The condition of a constraint that is the weakest, with its necessity taken away."""
    (case,) = [case for case in WEAKEST.values() if case[0] == name and not case[1].startswith("M_W_K")]
    monkeypatch.setattr(Condition, "is_necessary", property(lambda self: False))
    assert constraints(variant(*case), PAPER).is_weakest == "unknown"


def test_a_redundant_constraint_is_found():
    """M_W_l2 = 0 alone is enough, so dropping it is the only change that can be seen."""
    found = study(MLP, "M_W_l2 = 0", "M_b_l1 = 0")
    assert (found.sufficient, found.irredundant, found.is_weakest) == (True, False, "no")
    assert {one.text: one.counterexample is not None for one in found.dropped} == {
        "M_W_l2 = 0": True,
        "M_b_l1 = 0": False,
    }
    assert not found.study.given_is_minimal
    assert sets(found) == {("M_W_l2",), ("M_W_l1", "M_b_l1")}


def test_a_constraint_that_says_the_same_twice_is_redundant():
    found = study(HEADS, "M_W_O = 0", "2*M_W_O = 0")
    assert (found.sufficient, found.irredundant, found.satisfiable) == (True, False, True)
    assert [one.counterexample for one in found.dropped] == [None, None]


def test_a_wrong_scale_is_refuted_whatever_is_zero():
    """Without sqrt(k_hat/k) the scores shrink, for every choice of zeros."""
    found = study(ATTENTION, "M_W_K = 0", replaced=("sqrt(k_hat)/sqrt(k)*", ""))
    assert (found.sufficient, found.refuted, found.satisfiable, found.decided) == (False, True, True, True)
    assert found.study.sorted.sufficient == ()
    assert found.study.sorted.insufficient == (frozenset({0, 1}),)
    assert found.is_weakest != "yes"


@pytest.mark.parametrize("name", [HEAD, HEADS])
def test_no_constraint_is_refuted_and_no_weakest_condition(name):
    found = study(name)
    assert (found.sufficient, found.refuted, found.satisfiable, found.dropped) == (False, True, True, ())
    assert found.is_weakest != "yes"
    assert sets(found) == sets(paper(name))


def test_too_few_zeros_are_refuted_and_no_weakest_condition():
    """M_W_O = 0 is part of the weakest condition of the hidden expansion, and not enough."""
    found = study(HIDDEN, "M_W_O = 0")
    assert (found.sufficient, found.refuted) == (False, True)
    assert found.is_weakest != "yes"


CONTRADICTIONS = {
    "mlp: zero and one": (MLP, "M_W_l2 = 0", "2*M_W_l2 = ones(p_hat - p, h)"),
    "attention: two values": (ATTENTION, "M_W_K = ones(h, k_hat - k)", "2*M_W_K = ones(h, k_hat - k)"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_contradiction_is_not_satisfiable_and_proves_nothing(case):
    found = study(*CONTRADICTIONS[case])
    assert (found.satisfiable, found.sufficient, found.refuted) == (False, False, False)
    assert found.bounded.constraints.verdict == "unsat"
    assert not found.decided


def test_a_set_of_zeros_that_contradicts_another_constraint_is_named():
    found = study(MLP, "M_W_l2 = 0", "2*M_W_l2 = ones(p_hat - p, h)")
    labels = [found.study.labels(subset) for subset in found.study.sorted.unsatisfiable]
    assert labels == [("M_W_l2",)]
    assert found.study.sorted.sort(frozenset({0, 1, 2})) == "unsatisfiable"


def test_zeros_everywhere_are_satisfiable_only_without_new_freedom():
    """All blocks zero can be met, and leaves none free to be other than zero."""
    found = study(HEADS, "M_W_V = 0", "M_W_O = 0")
    assert (found.sufficient, found.irredundant) == (True, False)
    assert found.claim.admissible
    assert found.bounded.constraints.verdict == "sat"
    assert found.bounded.free == ()
    assert not found.satisfiable


def test_a_variant_of_nothing_needs_nothing():
    found = constraints(loads('name = "None"\n[rewrite]\nW_V = "-W_V"\nW_O = "-W_O"\n', "none.toml"), PAPER)
    assert (found.sufficient, found.irredundant, found.satisfiable, found.decided) == (True, True, True, True)
    assert found.study.sorted.sufficient == (frozenset(),)
    assert found.liveness.first == {}


def test_what_is_true_and_beyond_the_rules_is_undecided_and_not_dropped():
    """Units that never fire: relu(-1) = 0 is no rule of the kernel, and no numbers refute it."""
    found = study(MLP, "M_W_l1 = 0", "M_b_l1 = -ones(1, p_hat - p)")
    assert (found.sufficient, found.refuted, found.decided) == (False, False, False)
    assert frozenset({0}) in found.study.sorted.undecided


def test_without_a_stream_map_nothing_is_claimed():
    """I and P are rewritten so that no map can be read off."""
    body = '[new]\nA = "h, h"\n[rewrite]\nI = "I*A"\n[constraints]\n"A*A" = "eye(h)"\n'
    found = constraints(loads(f'name = "No map"\n{body}', "map.toml"), PAPER)
    assert (found.bounded, found.weakest, found.is_weakest) == (None, None, "unknown")
    assert not found.sufficient


# ---------------------------------------------------------------- limits and what is left open


def test_a_limit_leaves_the_study_undecided_and_what_it_lists_true():
    """Three questions show some sets, each of which holds a smallest one, and not all of these."""
    found = constraints(load(HEAD), PAPER, limits=Limits(questions=3))
    assert found.study.sorted.unexplored
    assert found.sufficient
    assert not found.decided
    whole = paper(HEAD).study.sorted.sufficient
    assert found.study.sorted.sufficient
    assert all(any(smallest <= subset for smallest in whole) for subset in found.study.sorted.sufficient)
    assert set(found.study.sorted.sufficient) != set(whole)


def test_a_study_goes_on_from_what_an_earlier_one_found():
    kept: list[Sorted] = []
    constraints(load(HEAD), PAPER, limits=Limits(questions=3), keep=kept.append)
    again, whole = constraints(load(HEAD), PAPER, known=kept[-1]).study.sorted, paper(HEAD).study.sorted
    assert kept[-1].unexplored
    assert (again.sufficient, again.insufficient) == (whole.sufficient, whole.insufficient)
    assert not again.unexplored


def test_what_z3_gives_up_is_undecided_with_its_name(monkeypatch):
    monkeypatch.setattr(solver, "ask", lambda query, *limits: solver.Answer(query, "unknown"))
    found = constraints(load(HEADS), PAPER)
    assert found.sufficient
    assert not found.decided
    assert found.is_weakest != "yes"
    assert set(found.unknown) == set(found.answers)
    assert all(answer.file_name.endswith(".smt2") for answer in found.unknown)


@pytest.mark.parametrize("name", [HEADS, ATTENTION])
def test_the_seed_changes_no_answer(name):
    found, before = constraints(load(name), PAPER, seed=1), paper(name)
    assert sets(found) == sets(before)
    assert found.study.sorted.insufficient == before.study.sorted.insufficient
    assert (found.irredundant, found.is_weakest) == (before.irredundant, before.is_weakest)


# ---------------------------------------------------------------- a broken oracle


def test_an_oracle_that_contradicts_itself_is_caught(monkeypatch):
    """M_W_l2 = 0 suffices, and two zeros and more are said to change the function."""
    honest = minimal.Oracle.sort

    def broken(self, subset):
        return "insufficient" if len(subset) > 1 else honest(self, subset)

    monkeypatch.setattr(minimal.Oracle, "sort", broken)
    with pytest.raises(CoverageError):
        constraints(load(MLP), PAPER)


def test_numbers_that_are_not_looked_for_leave_sets_undecided(monkeypatch):
    monkeypatch.setattr(minimal, "glimpse", lambda steps, seed: False)
    monkeypatch.setattr(minimal, "find", lambda steps, seed: None)
    found = constraints(load(HEADS), PAPER)
    assert found.study.sorted.insufficient == ()
    assert found.study.sorted.undecided == (frozenset(),)
    assert not found.decided


# ---------------------------------------------------------------- numbers


def tables(new: Any) -> list[dict[str, Any]]:
    """Every table of new blocks, at every depth."""
    inner = [*new.get("layers", ()), *new.get("heads", ()), *([new["added_layer"]] if "added_layer" in new else [])]
    return [new, *(table for one in inner for table in tables(one))]


def shifted(found: Counterexample, variant: Variant, grow: Any) -> float:
    """How far the numbers move the output, with the grown model from the file's trees."""
    (new,) = found.instance.new
    before, after = (transformer(*from_nested(m)) for m in (found.instance.old, grow(variant, found.instance.old, new)))
    return float(np.abs(after - before).max())


@six
def test_every_largest_set_that_is_not_enough_has_numbers_that_meet_it(name, grown_by_trees):
    found = paper(name).study
    assert set(found.witnesses) == set(found.sorted.insufficient)
    for subset, witness in found.witnesses.items():
        here = tables(witness.instance.new[0])
        for block in found.labels(subset):
            entries = [table[block] for table in here if block in table]
            assert entries
            assert not any(entry.any() for entry in entries)
        assert shifted(witness, load(name), grown_by_trees) > 1e-3


def test_leaving_a_constraint_out_leaves_all_else():
    three = load(LAYER)
    left = [constraint.left for constraint in without(three, 1).constraints]
    assert left == [three.constraints[0].left, three.constraints[2].left]
    assert without(three, 1).rewrite == three.rewrite
