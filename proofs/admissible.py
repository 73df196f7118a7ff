"""Constraints that can be met: without this, a contradiction would prove anything.

For a claim about all old parameters, the constraints must have a solution in the new blocks whatever the
old parameters are.  A solution is looked for in the simplest way (solve for a new block where a constraint
is linear in it, every other new block zero) and each constraint is then proved for it by the kernel.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..symbolic.terms import Expr, MatAdd, MatrixExpr, MatrixSymbol, atoms, substitute, zero
from .kernel import Context, Equation, solved, split
from .prover import prove

Solution = dict[Expr, MatrixExpr]


def solution(hypotheses: Sequence[Equation], new: Sequence[MatrixSymbol]) -> Solution | None:
    """New blocks that meet the hypotheses for all old parameters, or None where none was found."""
    found = solved_blocks(hypotheses, set(new))
    zeros: Solution = {block: zero(*block.shape) for block in new if block not in found}
    complete = zeros | {block: substitute(right, zeros) for block, right in found.items()}
    instances = [Equation(substitute(h.left, complete), substitute(h.right, complete)) for h in hypotheses]
    met = all(prove(Context(), instance.left, instance.right).theorem is not None for instance in instances)
    return complete if met else None


def solved_blocks(hypotheses: Sequence[Equation], new: set[Expr]) -> Solution:
    """Each hypothesis solved for one of its new blocks, where that needs no block solved before."""
    found: Solution = {}
    for hypothesis in hypotheses:
        terms = hypothesis.left.args if isinstance(hypothesis.left, MatAdd) else (hypothesis.left,)
        for i, term in enumerate(terms):
            block, equation = split(term)[1], solved(hypothesis, i)
            if block not in new or equation is None or block in found or atoms(equation.right) & {block, *found}:
                continue
            if any(block in atoms(right) for right in found.values()):
                continue
            found[block] = equation.right
            break
    return found
