"""What learns, and when: the first gradient step at which each new block moves.

All parameters are trained, on any loss.  A block has no gradient in a state when the output does not change to first
order as the block does: every piece of the model that holds it is proved to agree with its perturbed self modulo
t t = 0, which counts a quadratic dependence as none, and relu'(0) as 0.  A block that has one is shown by a derivative
in numpy at random parameters.  A block that moved is arbitrary from the next step on; what never moves is dead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from ..numeric.derivative import STEP, slope
from ..symbolic.architecture import (
    SUBLAYERS,
    Owner,
    Transformer,
    Weights,
    embedding,
    norms_after,
    output,
    parameters,
    reweighted,
    start,
    stream,
)
from ..symbolic.evaluate import Array
from ..symbolic.expand import Expansion
from ..symbolic.floats import float_arithmetic
from ..symbolic.instances import Nested, grown
from ..symbolic.terms import (
    Expr,
    Identity,
    MatrixExpr,
    MatrixSymbol,
    Path,
    Selection,
    ZeroMatrix,
    atoms,
    block_rows,
    blocks,
    eye,
    matrix,
    path_of,
    product,
    substitute,
    total,
    zero,
)
from . import rules
from .check import Claim, claim_about, derived
from .choices import Pair, by_name, constrained, given
from .comparison import compared, tables
from .drawing import RANDOM, Profile, drawn_blocks, drawn_model
from .goals import Goal, Growth, Proved, wholly_proved
from .kernel import Context, Equation
from .lattice import Oracle, Sorted, Subset, enumerate_subsets
from .places import Apart, apart
from .prover import FIRST_ORDER, prove

PROFILES = (  # a few new units, and many: what is free to move may differ
    Profile({"s": 4, "h": 6, "p": 6, "k": 6, "v": 6, "o": 3}, 1, 2, 2),
    Profile({"s": 4, "h": 3, "p": 2, "k": 2, "v": 2, "o": 3}, 1, 2, 4, 6),
)
COMPLEX = float_arithmetic(np.complex128)
t = rules.FIRST_ORDER
MOST = 600  # the weight of a term in these proofs
CLEARLY = 1e-9  # a slope that is zero is zero up to rounding errors, far below this


@dataclass(frozen=True)
class State:
    """What is known of the new blocks before a step: those that are zero, and the other equations in force."""

    step: int
    zeros: frozenset[str]
    equations: tuple[Pair, ...]
    moved: frozenset[str]


@dataclass(frozen=True)
class Still:
    """A block with no gradient at a step: the goals that show it, all proved, or None where the proof is missing."""

    block: str
    step: int
    proof: tuple[Proved, ...] | None


@dataclass(frozen=True)
class Liveness:
    """For each new block the first gradient step at which it moves (None: never), and why it stands still before.

    `doubt` is the first step at which something may move that numpy does not see moving: what is said of later
    steps holds only if it does not.
    """

    first: Mapping[str, int | None]
    still: tuple[Still, ...]
    doubt: int | None

    @property
    def undecided(self) -> tuple[str, ...]:
        """Blocks for which numpy sees no gradient where the prover cannot show that there is none."""
        doubt = self.doubt
        if doubt is None:
            return ()
        open_ones = {found.block for found in self.still if found.proof is None or found.step > doubt}
        return tuple(name for name, step in self.first.items() if step is None or name in open_ones)

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps at which something moves for the first time."""
        return tuple(sorted({step for step in self.first.values() if step is not None}))

    @property
    def dead(self) -> tuple[str, ...]:
        """Blocks that are proved never to move."""
        return tuple(name for name, step in self.first.items() if step is None and name not in self.undecided)


def liveness(claim: Claim, zeros: frozenset[str] | None = None, seed: int = 0) -> Liveness:
    """What learns from a variant's own start, or from one in which other new blocks are zero.

    A block moves when one of its places does; a selection says how a model is wired, and is not trained.
    """
    found = apart(started(claim.steps[0], zeros))
    own, equations = given(found.step)
    chosen = {block.name for block in found.step.blocks if isinstance(block.symbol, Selection)}
    found = replace(found, places={name: own for name, own in found.places.items() if name not in chosen})
    state = State(1, own, equations, frozenset())
    if not found.places:
        return Liveness({}, (), None)
    names = tuple(name for name in by_name(found.step) if name not in chosen)
    moved: dict[str, int] = {}
    still: list[Still] = []
    while True:
        here, waiting = at(found.step, state), [name for name in names if name not in state.moved]
        drawn = places(here, seed)
        now = frozenset(name for name in waiting if moves(name, drawn))
        resting = [name for name in waiting if name not in now]
        if any(one.proof is None for one in still):  # what comes after a doubt would not count
            still += [Still(name, state.step, None) for name in resting]
        elif resting:
            before = claim_about(claim.variants, [here])
            before = before if any(one.differs for one in drawn) else derived(before)
            still += [Still(name, state.step, shown(before, name)) for name in resting]
        moved |= dict.fromkeys(now, state.step)
        if not now:
            return together(found, moved, still)
        state = after(found.step, state, now)


def started(step: Expansion, zeros: frozenset[str] | None) -> Expansion:
    """The expansion from another start: these new blocks zero, the other equations in force."""
    if zeros is None:
        return step
    return at(step, State(1, zeros, given(step)[1], frozenset()))


def together(found: Apart, moved: Mapping[str, int], still: Sequence[Still]) -> Liveness:
    """What the places of each block say of the block."""
    first: dict[str, int | None] = {}
    resting: list[Still] = []
    for name, own in found.places.items():
        first[name] = min((moved[place] for place in own if place in moved), default=None)
        for step in sorted({one.step for one in still if first[name] is None or one.step < (first[name] or 0)}):
            proofs = [one.proof for one in still if one.step == step and one.block in own]
            known = [proof for proof in proofs if proof is not None]
            whole = tuple(goal for proof in known for goal in proof)
            resting.append(Still(name, step, whole if len(known) == len(proofs) else None))
    doubt = min((one.step for one in still if one.proof is None), default=None)
    return Liveness(first, tuple(resting), doubt)


def after(step: Expansion, state: State, moving: frozenset[str]) -> State:
    """The next state: what moved is arbitrary, and so is what an equation tied it to."""
    moved = state.moved | moving
    symbols = {block.symbol for block in step.blocks if block.name in moved}
    kept = tuple(pair for pair in state.equations if not (atoms(pair[0]) | atoms(pair[1])) & symbols)
    return State(state.step + 1, state.zeros - moved, kept, moved)


def at(step: Expansion, state: State) -> Expansion:
    """The expansion with what is known in a state as its constraints."""
    pairs = [(b.symbol, zero(*b.symbol.shape)) for b in step.blocks if b.name in state.zeros]
    return constrained(step, [*state.equations, *pairs])


# ---------------------------------------------------------------- a block that moves, in numbers


@dataclass(frozen=True, eq=False)
class Place:
    """Random parameters and new blocks that meet the constraints of an expansion."""

    step: Expansion
    old: Nested
    new: Nested

    @property
    def differs(self) -> bool:
        """Whether the grown model computes something else, so that there is nothing to prove."""
        hat = grown(self.step, self.old, self.new, float_arithmetic())
        scalings = dict.fromkeys(parameters(self.step.old.preset), 1)
        return not compared([self.step], self.old, hat, "float64", scalings).passed

    def slope(self, name: str) -> float:
        """The largest change of the output, to first order, as a block moves in a random direction."""
        hat = grown(self.step, self.old, towards(self.new, name, np.random.default_rng(0)), COMPLEX)
        return float(np.abs(slope(tables(hat), self.step.new.preset.options)).max())


def places(step: Expansion, seed: int) -> tuple[Place, ...]:
    """A few random places; none where the constraints could not be met."""
    found = (place(step, profile, seed + i) for i, profile in enumerate(PROFILES))
    return tuple(one for one in found if one is not None)


def place(step: Expansion, profile: Profile, seed: int) -> Place | None:
    rng = np.random.default_rng(seed)

    def entries(rows: int, columns: int) -> Array:
        return rng.standard_normal((rows, columns))

    old = drawn_model(step.old.preset, profile, entries, RANDOM)
    new = drawn_blocks(step, old, profile, entries, rng)
    return None if new is None else Place(step, old, new)


def moves(name: str, found: Sequence[Place]) -> bool:
    """Whether the output has a derivative with respect to a block at one of some places."""
    return any(one.slope(name) > CLEARLY for one in found)


def towards(nested: Nested, name: str, rng: np.random.Generator) -> Nested:
    """The new blocks, that of one name with a small imaginary direction."""
    found: Nested = {}
    for key, entry in nested.items():
        if isinstance(entry, np.ndarray):
            found[key] = entry + (1j * STEP * rng.standard_normal(entry.shape) if key == name else 0)
        elif isinstance(entry, dict) and key != "sizes":
            found[key] = towards(entry, name, rng)
        elif isinstance(entry, list):
            found[key] = [towards(inner, name, rng) for inner in entry]
        else:
            found[key] = entry
    return found


# ---------------------------------------------------------------- a block that does not, by proof


def shown(before: Claim, name: str) -> tuple[Proved, ...] | None:
    """Proved goals that show that a block has no gradient; None where no way leads there.

    `before` claims what the state's equations make of the model.  The perturbed model computes what the old one
    does; or what the unperturbed one does; or the perturbation stays in coordinates that are seen to second order.
    """
    return next((way for way in ways(before, perturbed(before.steps[0], name)) if way is not None), None)


def ways(before: Claim, moved: Transformer) -> Iterator[tuple[Proved, ...] | None]:
    """Proofs about the perturbed model, each of which is enough; None for one that fails."""
    step = before.steps[0]
    hypotheses = tuple(Equation(*pair) for pair in step.constraints)
    growth = before.growth if before.theorem is not None else None
    if growth is not None:
        yield wholly_proved(replace(growth, new=moved), FIRST_ORDER, MOST, before.goals)
    yield wholly_proved(Growth(step.new, moved, hypotheses, None), FIRST_ORDER, MOST)
    if growth is not None and growth.stream_map is not None:
        X, found = stream(step.old), list(hidden(growth, moved))
        context = Context(hypotheses, (), X)
        if found and not norms_after(step.old):
            yield all_proved(context, found)


def all_proved(context: Context, found: Sequence[Goal]) -> tuple[Proved, ...] | None:
    """Every goal by itself, or None at the first that fails."""
    done = []
    for goal in found:
        done.append(Proved(goal, prove(context, goal.left, goal.right, FIRST_ORDER, MOST)))
        if done[-1].theorem is None:
            return None
    return tuple(done)


def hidden(growth: Growth, moved: Transformer) -> Iterator[Goal]:
    """On a stream [X  t Z] every piece does on X what the old one does, and writes at most t elsewhere.

    For a stream map [I 0]; nothing for any other.
    """
    rows = block_rows(growth.stream_map) if growth.stream_map is not None else ((),)
    if len(rows[0]) != 2 or not isinstance(rows[0][0], Identity) or not isinstance(rows[0][1], ZeroMatrix):
        return
    ((old, new),), X = rows, stream(growth.old)
    seen = blocks([[old], [zero(new.cols, old.cols)]])
    unseen = blocks([[zero(old.cols, new.cols)], [eye(new.cols)]])
    there = blocks([[X, product(t, matrix("Z~", X.rows, new.cols))]])
    before = dict(pieces(X, growth.old))
    for name, piece in pieces(there, moved):
        yield Goal(name, product(piece, seen), before.get(name, zero(*X.shape)))
        yield Goal(f"{name}, new coordinates", product(t, piece, unseen), zero(X.rows, new.cols))
    yield Goal("output", output(there, moved), output(X, growth.old))


def pieces(X: MatrixExpr, model: Transformer) -> Iterator[tuple[str, MatrixExpr]]:
    """What writes to the stream, as terms in it."""
    yield "input", start(embedding(model), model)
    for layer in (model.layer, *model.inserted):
        for name, sublayer in SUBLAYERS.items():
            yield f"{name} {layer.label}".strip(), sublayer(X, layer, model)


def perturbed(step: Expansion, name: str) -> Transformer:
    """The expanded model with M + t D for a block M, D a new matrix of its shape for each instance."""
    found = {block.symbol: direction(block.symbol) for block in by_name(step)[name]}
    moved: dict[Expr, Expr] = {M: total(M, product(t, D)) for M, D in found.items()}

    def weights(terms: Weights, owner: Owner, path: Path) -> Weights:
        return {key: substitute(term, moved) for key, term in terms.items()}

    return reweighted(step.new, weights)


def direction(M: MatrixSymbol) -> MatrixSymbol:
    """D, any matrix of the shape of M."""
    return matrix(f"D~{M.name}", M.rows, M.cols, path_of(M))


# ---------------------------------------------------------------- every start at once


def standstill(claim: Claim, seed: int = 0) -> dict[str, Sorted]:
    """For each new block the smallest sets of zeros under which it has no gradient, as numpy sees it.

    Zeros can only take gradients away, so these sets say for every start what moves, step by step.
    """
    step = claim.steps[0]
    names = tuple(by_name(step))

    @cache
    def drawn(zeros: Subset) -> tuple[Place, ...]:
        return places(at(step, State(1, frozenset(names[i] for i in zeros), (), frozenset())), seed)

    def oracle(name: str) -> Oracle:
        return lambda zeros: "insufficient" if moves(name, drawn(zeros)) else "sufficient"

    return {name: enumerate_subsets(len(names), oracle(name)) for name in names}
