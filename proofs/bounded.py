"""A claim at small sizes, put to z3: a second opinion on what the kernel proves for all sizes.

At concrete sizes every entry is a real number.  A theorem's constraints are sufficient there if `the constraints
hold and a square fails` is unsat for every square; they force a block to zero if `the constraints hold and the
block is not zero` is unsat.  All of this is bounded evidence, and is stated with its sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import z3

from ..symbolic.architecture import LAYERS
from ..symbolic.evaluate import Arithmetic, Array, Values, evaluate, whole
from ..symbolic.terms import Expr, MatrixSymbol, Path, atoms, free, path_of, zero
from . import solver
from .check import Claim
from .drawing import BOARD, Profile, fitting, grown_sizes
from .goals import Goal, goals
from .kernel import Equation

SMALL: Mapping[str, int] = {"s": 2, "h": 1, "p": 1, "k": 1, "v": 1, "o": 1}  # s = 1 hides what attention does
LARGER: Mapping[str, int] = {"s": 2, "h": 2, "p": 2, "k": 2, "v": 2, "o": 1}
HEADS = 2
SCALARS_HERE = {name: number for name, number in BOARD.items() if name != "scale"}
RATIO = 4  # how many times larger a size under a root grows, so that roots are rational

Entries = Callable[[str, int, int], Array]  # name, rows, columns -> the matrix


# ---------------------------------------------------------------- a claim at small sizes


def inner(symbol: Expr) -> Path:
    """The families within one layer of which every member has a matrix of its own."""
    path = path_of(symbol)
    return path[1:] if path[:1] == (LAYERS,) else path


@dataclass(frozen=True)
class Small:
    """A claim about one variant at concrete sizes, with so many heads in each family."""

    claim: Claim
    sizes: Mapping[str, int]
    heads: int

    @property
    def squares(self) -> Iterator[Goal]:
        """The goals that are not put together from others, and say something; none without a stream map."""
        found = goals(self.claim.growth) if self.claim.growth is not None else ()
        return (goal for goal in found if not goal.parts and goal.left != goal.right)

    @property
    def hypotheses(self) -> tuple[Equation, ...]:
        return tuple(Equation(*pair) for pair in self.claim.steps[0].constraints)

    def values(self, old: Entries = solver.matrix) -> Values:
        """Every symbol of the claim; a new block is unknown, an old parameter and the stream are as `old` says."""
        new = {block.symbol for block in self.claim.steps[0].blocks}
        found = {symbol for goal in self.squares for side in (goal.left, goal.right) for symbol in atoms(side)}
        found |= new | {symbol for h in self.hypotheses for side in (h.left, h.right) for symbol in atoms(side)}

        def entries(symbols: set[Expr], member: str) -> dict[str, Array]:
            ordered = sorted(symbols, key=lambda symbol: str(symbol.name))  # the same in every process
            return {s.name: (solver.matrix if s in new else old)(s.name + member, *self.shape(s)) for s in ordered}

        def inside(path: Path, member: str) -> Values:
            """The symbols of one path of families, and those within it, for one member."""
            own = entries({symbol for symbol in found if inner(symbol) == path}, member)
            deeper = {inner(symbol)[: len(path) + 1] for symbol in found} - {path}
            families = {longer[-1] for longer in deeper if len(longer) > len(path) and longer[: len(path)] == path}
            members = {
                f: [inside((*path, f), f"{member}.{e + 1}") for e in range(self.heads)] for f in sorted(families)
            }
            return Values({}, own, members)

        return Values({**self.sizes, **SCALARS_HERE}).with_(inside((), ""))

    def shape(self, symbol: MatrixSymbol) -> tuple[int, int]:
        return (whole(symbol.rows, Values(self.sizes)), whole(symbol.cols, Values(self.sizes)))

    def holds(self, equation: Equation, values: Values, arithmetic: Arithmetic) -> z3.BoolRef:
        """An equation, for every head if it speaks of heads."""
        sides = equation.left, equation.right
        within = [family for family in values.members if any(free(side, family) for side in sides)]
        if within:
            others = {family: found for family, found in values.members.items() if family != within[0]}
            rest = Values(values.scalars, values.matrices, others, values.layers)
            return z3.And(*(self.holds(equation, rest.with_(one), arithmetic) for one in values.members[within[0]]))
        return solver.equal(*(evaluate(side, values, arithmetic) for side in sides))

    def query(self, name: str, hypotheses: Sequence[Equation], wanted: Sequence[Equation] = ()) -> solver.Query:
        """Numbers that meet the hypotheses, and fail one of the wanted equations where there are any."""
        facts: list[z3.BoolRef] = []
        values, arithmetic = self.values(), solver.arithmetic(facts)
        held = [self.holds(equation, values, arithmetic) for equation in hypotheses]
        failed = [z3.Not(self.holds(equation, values, arithmetic)) for equation in wanted]
        return solver.Query(name, (*facts, *held, *([z3.Or(*failed)] if failed else [])))


def small(claim: Claim, sizes: Mapping[str, int] = SMALL, heads: int = HEADS, more: int = 1) -> Small:
    """A claim about one variant at small old sizes; the grown ones are a little larger, by `more` or by a ratio."""
    fitted = fitting(sizes, claim.steps[0].old.preset)
    return Small(claim, {**fitted, **grown_sizes(claim.steps[0], fitted, Profile({}, 1, 1, RATIO, more))}, heads)


# ---------------------------------------------------------------- what z3 says about the constraints


@dataclass(frozen=True)
class Bounded:
    """What z3 says about a claim at some sizes: for each square, for the constraints, and for each new block."""

    sizes: Mapping[str, int]
    squares: Mapping[str, solver.Answer]
    constraints: solver.Answer
    nonzero: Mapping[str, solver.Answer]

    @property
    def sufficient(self) -> bool:
        """At these sizes no numbers meet the constraints and break a square."""
        return all(answer.verdict == "unsat" for answer in self.squares.values())

    @property
    def satisfiable(self) -> bool:
        """The constraints can be met, and where there are new blocks, with one of them not zero."""
        return self.constraints.verdict == "sat" and (bool(self.free) or not self.nonzero)

    @property
    def free(self) -> tuple[str, ...]:
        """The new blocks that the constraints leave free to be other than zero."""
        return tuple(name for name, answer in self.nonzero.items() if answer.verdict == "sat")

    @property
    def answers(self) -> tuple[solver.Answer, ...]:
        return (*self.squares.values(), self.constraints, *self.nonzero.values())


def bounded(claim: Claim, at: Small | None = None) -> Bounded:
    """A claim about one variant, whose stream map is known, put to z3 at small sizes."""
    here = at or small(claim)
    hypotheses = here.hypotheses
    squares = {
        goal.name: solver.ask(here.query(f"{goal.name} fails", hypotheses, [Equation(goal.left, goal.right)]))
        for goal in here.squares
    }
    met = solver.ask(here.query("the constraints hold", hypotheses))
    nonzero = {
        block.name: solver.ask(here.query(f"{block.name} is not zero", hypotheses, [is_zero(block.symbol)]))
        for block in claim.steps[0].blocks
    }
    return Bounded(here.sizes, squares, met, nonzero)


def is_zero(block: MatrixSymbol) -> Equation:
    return Equation(block, zero(*block.shape))
