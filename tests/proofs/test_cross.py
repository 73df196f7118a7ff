"""A second solver: cvc5 reads the text of every query and must not say the opposite of z3."""

from functools import cache

import pytest
import z3
from as_published import load

from growproof.proofs import cross
from growproof.proofs.bounded import bounded
from growproof.proofs.check import claim_of
from growproof.proofs.cross import Second, second_opinions
from growproof.proofs.solver import Answer, Query
from growproof.proofs.solver import ask as z3_says
from growproof.proofs.weakest import weakest
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.variant import SIX, loads

needs_cvc5 = pytest.mark.extras

x, y = z3.Reals("x y")
SAT = Query("the root of two", (x * x == 2, x > 0))
UNSAT = Query("a square below zero", (x * x + y * y < 0,))

# One for which both solvers have numbers to find, and one for which there is nothing to find.
FALSE = {
    "no constraint": load("mlp-expansion").text.partition("[constraints]")[0],
    "contradiction": load("mlp-expansion").text + '"2*M_W_l2" = "ones(p_hat - p, h)"\n',
}
TEXTS = {name: load(name).text for name in SIX} | FALSE


@pytest.fixture(autouse=True, scope="module")
def patience():
    """What cvc5 does not find soon, it seldom finds: `unknown` contradicts nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross, "MILLISECONDS", 1000)
        yield


@cache
def answers(text):
    claim = claim_of([loads(text, "variant.toml")], paper_model(PRESETS["paper"]))
    return (*bounded(claim).answers, *weakest(claim).answers)


@cache
def opinions(text):
    return second_opinions(answers(text))


# --- what counts as a disagreement ---


@pytest.mark.parametrize(
    ("first", "second", "disagrees"),
    [
        *(("sat", "unsat", True), ("unsat", "sat", True), ("sat", "sat", False), ("unsat", "unsat", False)),
        *(("unknown", "sat", False), ("sat", "unknown", False), ("unknown", "unknown", False)),
    ],
)
def test_only_opposite_verdicts_disagree(first, second, disagrees):
    assert Second(Answer(SAT, first), second).disagrees == disagrees


def test_every_answer_is_put_to_the_second_solver_in_order(monkeypatch):
    asked = []
    monkeypatch.setattr(cross, "ask", lambda query: asked.append(query) or "unknown")
    first = [z3_says(SAT), z3_says(UNSAT)]
    found = second_opinions(first)
    assert asked == [SAT, UNSAT]
    assert [one.first for one in found] == first


def test_a_second_solver_that_says_the_opposite_disagrees_every_time(monkeypatch):
    monkeypatch.setattr(cross, "ask", lambda query: "sat" if z3_says(query).verdict == "unsat" else "unsat")
    assert all(one.disagrees for one in second_opinions(answers(TEXTS["mlp-expansion"])))


# --- cvc5 ---


@needs_cvc5
def test_cvc5_knows_what_is_true_and_what_is_not():
    assert cross.available()
    assert cross.ask(SAT) == "sat"
    assert cross.ask(UNSAT) == "unsat"


@needs_cvc5
@pytest.mark.parametrize("name", TEXTS)
def test_both_solvers_agree_on_every_query(name):
    found = opinions(TEXTS[name])
    assert len(found) == len(answers(TEXTS[name])) > 0
    assert [one.first.file_name for one in found if one.disagrees] == []
    assert any(one.verdict != "unknown" for one in found)  # else there is nothing to agree on


@needs_cvc5
def test_cvc5_decides_most_of_what_z3_decides():
    found = [one for name in SIX for one in opinions(load(name).text)]
    assert sum(one.verdict == one.first.verdict for one in found) > len(found) / 2


@needs_cvc5
def test_numbers_that_break_a_false_variant_are_found_by_both():
    both = [one for one in opinions(FALSE["no constraint"]) if one.first.verdict == one.verdict == "sat"]
    assert any("fails" in one.first.query.name for one in both)


@needs_cvc5
@pytest.mark.parametrize("query", [SAT, UNSAT], ids=["sat", "unsat"])
def test_a_flipped_verdict_of_z3_is_a_disagreement(query):
    flipped = {"sat": "unsat", "unsat": "sat"}
    (one,) = second_opinions([Answer(query, flipped[z3_says(query).verdict])])
    assert one.disagrees


@needs_cvc5
def test_a_limit_leaves_cvc5_without_an_answer(monkeypatch):
    monkeypatch.setattr(cross, "MILLISECONDS", 1)
    hard = Query("hard", (x > 1, x < 5, y > 1, y < 5, x**7 * y**5 + x * y**11 == x**13 + 3 * y**3 + 1))
    assert cross.ask(hard) == "unknown"
