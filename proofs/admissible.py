"""Constraints that can be met: without this, a contradiction would prove anything.

For a claim about all old parameters, the constraints must have a solution in the new blocks whatever the
old parameters are.  A solution is looked for in the simplest way (solve for a new block where a constraint
is linear in it, or has it times what another constraint gives an inverse of; every other new block zero, or where zero
does not do the identity, [I 0] or [I; 0], a multiple of these, [I mean], or a row of equal numbers; a selection is any,
or [I S], or [I .. I]) and each constraint is then proved for it by the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from itertools import product as combinations

from sympy import Mul, S, Symbol, sqrt

from ..symbolic.architecture import side
from ..symbolic.elaborate import Scope
from ..symbolic.expand import Expansion
from ..symbolic.terms import (
    Diag,
    Expr,
    Identity,
    Kron,
    MatrixExpr,
    MatrixSymbol,
    Selection,
    atoms,
    blocks,
    canonical,
    children,
    eye,
    factors,
    is_selection,
    ones,
    path_of,
    product,
    same_size,
    selection,
    substitute,
    subterms,
    zero,
)
from .kernel import Context, Equation, solved, summands
from .prover import prove
from .rules import pair, scaled, split

Solution = dict[Expr, MatrixExpr]
ALWAYS: Mapping[Symbol, Expr] = {}


def solution(
    hypotheses: Sequence[Equation], new: Sequence[MatrixSymbol], above: Mapping[Symbol, Expr] = ALWAYS
) -> Solution | None:
    """New blocks that meet the hypotheses for all old parameters, or None where none was found.

    `above` says which size each grown size exceeds.
    """
    found = solved_blocks(hypotheses, set(new))
    others = [block for block in new if block not in found]
    zeros: Solution = {block: nothing(block) for block in others}
    open_ones = [h for h in hypotheses if not met(h, complete(found, zeros))]
    unmet = {symbol for h in open_ones for symbol in atoms(h.left) | atoms(h.right)}
    choices = (zeros, *(zeros | {b: kind(b) for b in others if b in unmet} for kind in kinds(open_ones, above)))
    candidates = (complete(found, choice) for choice in choices)
    return next((chosen for chosen in candidates if all(met(h, chosen) for h in hypotheses)), None)


Kind = Callable[[MatrixSymbol], MatrixExpr]


def kinds(hypotheses: Sequence[Equation], above: Mapping[Symbol, Expr]) -> Iterator[Kind]:
    """What blocks may be where zero does not do, the simplest first."""
    scope = Scope({}, above, "")
    yield lambda block: unit(block, scope)
    yield copies
    yield lambda block: level(block, S.One, scope)
    yield lambda block: level(block, 1 / sqrt(Mul(*block.shape)), scope)
    yield lambda block: unit(block, scope, means)
    for a in dict.fromkeys(split(h.right)[0] for h in hypotheses if isinstance(split(h.right)[1], Identity)):
        if a.is_positive:
            yield lambda block, a=a: scaled(sqrt(a), unit(block, scope))  # type: ignore[misc]


def complete(found: Solution, others: Solution) -> Solution:
    return others | {block: substitute(right, others) for block, right in found.items()}


def met(hypothesis: Equation, chosen: Solution) -> bool:
    """Proved, without any assumption, for these new blocks."""
    left, right = (substitute(side, chosen) for side in (hypothesis.left, hypothesis.right))
    return prove(Context(), left, right).theorem is not None


def nothing(block: MatrixSymbol) -> MatrixExpr:
    """Zero; a selection is never zero, and stays any."""
    return block if isinstance(block, Selection) else zero(*block.shape)


Filling = Callable[[Expr, Expr], MatrixExpr]


def unit(block: MatrixSymbol, scope: Scope, filling: Filling = zero) -> MatrixExpr:
    """The identity, filled up at its right or below, with zeros or other; a selection with another one at its right."""
    m, n = block.shape
    if scope.is_size(n - m):
        rest = selection(f"{block.name}~rest", m, n - m, path_of(block)) if is_selection(block) else filling(m, n - m)
        return blocks([[eye(m), rest]])
    if scope.is_size(m - n):
        return blocks([[eye(n)], [filling(m - n, n)]])
    return eye(m) if m == n else nothing(block)


def means(rows: Expr, columns: Expr) -> MatrixExpr:
    """What follows the identity in [I mean]: each column takes the mean of a row, as LEMON's does under LayerNorm."""
    return scaled(1 / rows, ones(rows, columns))


def level(block: MatrixSymbol, entry: Expr, scope: Scope) -> MatrixExpr:
    """A row or a column of which all entries are one number; the identity for others."""
    return scaled(entry, ones(*block.shape)) if 1 in block.shape else unit(block, scope)


def copies(block: MatrixSymbol) -> MatrixExpr:
    """The identity again and again, for a selection whose columns are a multiple of its rows."""
    rows, columns = block.shape
    times = canonical(columns / rows)
    return Kron(ones(1, times), eye(rows)) if is_selection(block) and times.is_integer else nothing(block)


def solved_blocks(hypotheses: Sequence[Equation], new: set[Expr]) -> Solution:
    """Each hypothesis, the shortest first, solved for one of its new blocks, in which blocks solved before are put."""
    found: Solution = {}
    inverses = Inverses.given_by(hypotheses, new)
    for hypothesis in sorted(hypotheses, key=lambda h: len(summands(h))):
        for i, _ in enumerate(summands(hypothesis)):
            equation = solved(hypothesis, i)
            if equation is None:
                continue
            block, right = inverses.alone(equation)
            if block not in new or block in found:
                continue
            right = substitute(right, found)
            if isinstance(block, Selection) and not is_selection(right):
                continue
            if any(path_of(symbol) != path_of(block)[: len(path_of(symbol))] for symbol in atoms(right)):
                continue  # one block cannot follow what differs from head to head, or from layer to layer
            if block in atoms(right) or any(block in atoms(other) for other in found.values()):
                continue
            found[block] = right
            break
    return found


@dataclass(frozen=True)
class Inverses:
    """What cancels a factor of a product: `after` it, F G = I, or `before` it, G F = I."""

    after: Solution
    before: Solution

    @classmethod
    def given_by(cls, hypotheses: Sequence[Equation], new: Iterable[Expr]) -> Inverses:
        """The constraints A B = a I; new gains are taken as ones, and a first factor as I: the solution is proved."""
        before: Solution = {Diag(row): eye(row.cols) for row in new if row.is_Matrix and row.rows == 1}
        after = before | {A: eye(A.rows) for A in new if same_size(*A.shape)}
        for hypothesis in hypotheses:
            word, (a, right) = pair(hypothesis.left), split(hypothesis.right)
            if word is None or not isinstance(right, Identity) or not a.is_nonzero:
                continue
            A, B = word
            after[A], before[B] = scaled(1 / a, B), scaled(1 / a, A)
            if same_size(*A.shape):
                after[B], before[A] = before[B], after[A]
        return cls(after, before)

    def alone(self, equation: Equation) -> tuple[MatrixExpr, MatrixExpr]:
        """A B C = D  as  B = A^-1 D C^-1"""
        word, right = list(factors(equation.left)), equation.right
        while len(word) > 1 and word[0] in self.after:
            right = product(self.after[word.pop(0)], right)
        while len(word) > 1 and word[-1] in self.before:
            right = product(right, self.before[word.pop()])
        return product(*word), right


# ---------------------------------------------------------------- sizes

MOST = 5000
LARGEST = 12  # to which sizes a whole value is looked for


def whole_sizes(steps: Sequence[Expansion]) -> tuple[Expr, ...]:
    """The sizes of a chain that are whole for some values of their symbols only, such as 3/2 k."""
    grown = [size for step in steps for size in step.new.sizes.values()]
    grown += [side("f", step.new.sizes) for step in steps if step.new.preset["positions"] == "rotary"]  # pairs of keys
    leaves = (leaf for step in steps for term in terms_of(step) for leaf in subterms(term) if not children(leaf))
    sides = (side for leaf in leaves if leaf.is_Matrix for side in leaf.shape)
    return tuple(dict.fromkeys(size for size in (*grown, *sides) if not size.is_integer))


def terms_of(step: Expansion) -> Iterator[Expr]:
    """Every term that a variant makes: new blocks, rewritten parameters, constraints and stream map."""
    yield from (block.symbol for block in step.blocks)
    for layer in (step.new.layer, *step.new.inserted):
        yield from layer.weights.values()
        yield from (term for heads in layer.heads for term in heads.weights.values())
        yield from layer.bodies.values()
        yield from layer.experts.weights.values() if layer.experts is not None else ()
    yield from step.new.weights.values()
    yield from (side for pair in step.constraints for side in pair)
    yield from [step.stream_map] if step.stream_map is not None else []


def sizes_exist(steps: Sequence[Expansion]) -> bool:
    """Whether some small sizes make every size of a chain whole; a claim about no sizes at all says nothing."""
    wanted = whole_sizes(steps)
    symbols = sorted({symbol for size in wanted for symbol in size.free_symbols}, key=str)
    above = [(grown, base) for step in steps for grown, base in step.above.items()]
    within = [(grown, base) for grown, base in above if {grown, *base.free_symbols} <= set(symbols)]
    for values in islice(combinations(range(1, LARGEST + 1), repeat=len(symbols)), MOST):
        here = dict(zip(symbols, values, strict=True))
        larger = all(bool(here[grown] > base.subs(here)) for grown, base in within)
        if larger and all(size.subs(here).is_Integer and size.subs(here) > 0 for size in wanted):
            return True
    return False
