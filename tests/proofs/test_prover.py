"""The prover leaves out only what is hopeless, and goes on from what it has tried."""

import pytest

from growproof.proofs.kernel import RULES, Context
from growproof.proofs.prover import NEEDS, STRATEGIES, kinds, prove
from growproof.proofs.samples import PLAIN
from growproof.symbolic.terms import Act, Expr, Grid, Kron, blocks, eye, matrix, product, size, total, zero

m, n, p = (size(name) for name in "mnp")
A, B, C = matrix("A", m, n), matrix("B", m, p), matrix("C", n, p)


def missing(needs: dict[str, type[Expr]]) -> set[str]:
    """The rules that apply to a sample without the kind of term that they are said to need."""
    return {rule for rule, kind in needs.items() for term in PLAIN[rule] if kind not in kinds(term)}


def test_no_rule_applies_where_the_prover_does_not_look_for_it():
    assert missing(dict(NEEDS)) == set()
    assert set(NEEDS) <= set(RULES)


@pytest.mark.parametrize(("rule", "kind"), [("block product", Kron), ("zeros", Act), ("distribute", Grid)])
def test_a_need_that_is_none_is_noticed(rule, kind):
    assert missing({rule: kind}) == {rule}


def test_a_strategy_goes_on_from_the_longest_one_that_it_begins_with():
    """With or without the shorter ones before it, a strategy takes the same steps."""
    goal = product(A, blocks([[C, zero(n, m)]])), blocks([[product(A, C), zero(m, m)]])
    for strategies in (STRATEGIES, STRATEGIES[2:3], STRATEGIES[3:4]):
        assert prove(Context(), *goal, strategies).theorem is not None
    false = product(total(product(A, eye(n)), A), C), B
    for i in range(1, len(STRATEGIES)):
        alone, after_others = (
            prove(Context(), *false, tried) for tried in (STRATEGIES[i : i + 1], STRATEGIES[: i + 1])
        )
        assert alone.theorem is after_others.theorem is None
        assert alone.residual == after_others.residual
        assert alone.left_steps == after_others.left_steps
