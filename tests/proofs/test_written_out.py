"""A constraint may be a product of sums or an equation of blocks: it is written out, and what follows is used."""

import pytest

from growproof.proofs.certificate import CertificateError, certificate, verify
from growproof.proofs.check import check
from growproof.proofs.kernel import Context, Equation, KernelError, Step, by_blocks, derive, restate
from growproof.reports.derivation import chains
from growproof.symbolic.architecture import PRESETS
from growproof.symbolic.terms import blocks, matrix, ones, product, size, total, zero
from growproof.symbolic.variant import loads

m, n, p = map(size, "mnp")
A, B, C, D = (matrix(name, m, n) for name in "ABCD")
R = matrix("R", n, p)
WHOLE = ((),)

SUMS = """
name = "Keys and queries, a little turned"
[new]
M = "k, k"
R = "k, k"
[rewrite]
W_Q = "W_Q + W_Q*M"
W_K = "W_K + W_K*R"
[constraints]
"(eye(k) + M)*(eye(k) + R')" = "eye(k)"
"""
OF_BLOCKS = """
name = "Keys and queries in two halves"
[grows]
k = "2*k"
[new]
M = "k, 2*k"
R = "k, 2*k"
[rewrite]
W_Q = "sqrt(2)*W_Q*M"
W_K = "W_K*R"
[constraints]
"[M; R]*[M; R]'" = "[eye(k), eye(k); eye(k), eye(k)]"
"""


def answer(text):
    return check([loads(text, "f.toml")], PRESETS["paper"])


def written_out(text):
    """The goals of a variant that write its constraints out."""
    (claim,) = answer(text).claims
    return [proved for proved in claim.goals if proved.goal.constraint is not None]


@pytest.mark.parametrize("text", [SUMS, OF_BLOCKS], ids=["sums", "blocks"])
def test_what_a_constraint_says_when_it_is_written_out_is_used(text):
    assert answer(text).verdict == "proved"
    assert len(written_out(text)) == 1
    assert verify(certificate(answer(text))).statement


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (SUMS, "+ R')", "- R')"),
        (SUMS, '= "eye(k)"', '= "eye(k) + M"'),
        (OF_BLOCKS, "[eye(k), eye(k); eye(k), eye(k)]", "[eye(k), 0; 0, eye(k)]"),
        (OF_BLOCKS, "[M; R]*[M; R]'", "[M; M]*[M; M]'"),
    ],
)
def test_a_constraint_that_says_something_else_proves_nothing(text, old, new):
    assert old in text
    assert answer(text.replace(old, new)).verdict == "refuted"


def test_a_derivation_shows_how_a_constraint_is_written_out():
    """A chain from one side to the other, with the constraint itself in the middle."""
    (claim,) = answer(SUMS).claims
    chain = next(chain for chain in chains(claim) if chain.goal.constraint is not None)
    assert (chain.lines[0].before, chain.lines[-1].after) == (chain.goal.left, chain.goal.right)
    assert all(one.after == other.before for one, other in zip(chain.lines, chain.lines[1:], strict=False))
    (used,) = (line for line in chain.lines if line.rule == "constraint")
    assert Equation(used.before, used.after) in claim.growth.hypotheses


def test_a_plain_constraint_is_not_written_out():
    assert written_out(SUMS.partition("[constraints]")[0] + '[constraints]\nM = "0"\n"M + R" = "0"\n') == []


def test_a_certificate_with_another_way_of_writing_out_is_rejected():
    found = certificate(answer(SUMS))
    goal = found["claims"][0]["goals"][0]
    assert goal["name"] == "constraint 1, written out"
    goal["from left"].pop()
    with pytest.raises(CertificateError, match="do not write the constraint out as the goal"):
        verify(found)


# --- in the kernel ---


def test_a_hypothesis_is_restated_by_steps_on_both_sides():
    given = Context((Equation(product(total(A, B), R), product(C, R)),))
    found = restate(given, 0, [Step("distribute", WHOLE)], [])
    assert (found.left, found.right) == (total(product(A, R), product(B, R)), product(C, R))
    assert found.hypotheses == given.hypotheses


def test_a_step_that_does_not_apply_restates_nothing():
    with pytest.raises(KernelError):
        restate(Context((Equation(A, B),)), 0, [Step("distribute", WHOLE)], [])
    with pytest.raises(IndexError):
        restate(Context(), 0, [], [])


def as_theorem(left, right):
    return restate(Context((Equation(left, right),)), 0, [], [])


def sides(theorems):
    return [(theorem.left, theorem.right) for theorem in theorems]


def test_equal_blocks_at_equal_places():
    theorem = as_theorem(blocks([[A, B], [C, D]]), blocks([[B, A], [zero(m, n), D]]))
    assert sides(by_blocks(theorem)) == [(A, B), (B, A), (C, zero(m, n)), (D, D)]


def test_zeros_and_ones_are_cut_to_fit():
    assert sides(by_blocks(as_theorem(blocks([[A, B]]), zero(m, 2 * n)))) == [(A, zero(m, n)), (B, zero(m, n))]
    assert sides(by_blocks(as_theorem(ones(2 * m, n), blocks([[A], [B]])))) == [(ones(m, n), A), (ones(m, n), B)]


def test_blocks_that_are_cut_otherwise_are_not_compared():
    Q, S = matrix("Q", m, p), matrix("S", m, p)
    for left, right in ((blocks([[A, Q]]), blocks([[S, B]])), (blocks([[A, Q]]), matrix("W", m, n + p))):
        assert sides(by_blocks(as_theorem(left, right))) == [(left, right)]


def test_a_fact_is_used_as_a_constraint_is_and_only_under_its_hypotheses():
    fact = as_theorem(A, B)
    given = Context(fact.hypotheses, facts=(fact,))
    for index in (0, 1):
        assert derive(given, A, [Step("constraint", WHOLE, (index,))]).right == B
    with pytest.raises(KernelError, match="does not apply"):
        derive(given, A, [Step("constraint", WHOLE, (2,))])
    with pytest.raises(KernelError, match="other hypotheses"):
        Context(facts=(fact,))
    with pytest.raises(KernelError, match="none"):
        Context(facts=(Equation(A, B),))
    with pytest.raises(KernelError, match="none"):
        by_blocks(Equation(A, B))
