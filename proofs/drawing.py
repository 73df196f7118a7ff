"""Numbers for a model and for new blocks that meet the constraints: integers for a blackboard, or random ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product as combinations

import numpy as np
from sympy import ZZ, Integer, Rational, S, Symbol
from sympy.polys.matrices import DomainMatrix

from ..symbolic.architecture import (
    EXPERTS,
    FAMILIES,
    GROUPS,
    HEADS,
    LAYERS,
    SCALARS,
    SCOPES,
    default_scalar,
    has_scalar,
    levels,
    paper_model,
    parameters,
)
from ..symbolic.evaluate import Array, SizeError, Values, evaluate, exact, whole
from ..symbolic.expand import Block, Expansion
from ..symbolic.floats import float_arithmetic
from ..symbolic.instances import Nested, level_values, merged
from ..symbolic.preset import Preset
from ..symbolic.terms import (
    Expr,
    MatrixExpr,
    MatrixSymbol,
    Selection,
    atoms,
    eye,
    factors,
    product,
    transposed,
)
from .admissible import Solution, solution, whole_sizes
from .exactly import rounded_fractions
from .kernel import Equation, solved, summands
from .prover import bare
from .rules import split, transpose_word

FLOATS = float_arithmetic()
PASSES = 4  # one constraint may undo another
FINEST = 2.0**6  # a value with so small a part is exact in floating point, and still read at a glance
CHOICES = 4  # of columns that are inverted
MOST_UNKNOWNS = 200  # entries of a block for which an equation is solved
CLOSE = 1e-9  # relative: how well floating-point numbers meet a constraint

# ---------------------------------------------------------------- sizes


SMALL_EPS = 2.0**-10  # for random models
BOARD: Mapping[str, Expr] = {"top_k": S.One, "eps": S.One, "eps_qk": S.One, "scale": S.Half, "rope_base": Integer(16)}
RANDOM: Mapping[str, Expr] = {**BOARD, "top_k": Integer(2), "eps": Rational(SMALL_EPS), "eps_qk": Rational(SMALL_EPS)}
UNLIKE: Mapping[str, Expr] = {**BOARD, "top_k": Integer(2), "eps": Integer(2), "eps_qk": Integer(3)}


@dataclass(frozen=True)
class Profile:
    """The old sizes, the numbers of heads and layers; sizes under a root grow `ratio` times, others by `more`.

    From one size to the next, both are larger by `uneven`.
    """

    sizes: Mapping[str, int]
    heads: int
    layers: int
    ratio: int
    more: int = 1
    uneven: int = 0
    scalars: Mapping[str, Expr] = field(default_factory=lambda: BOARD)


GENERIC = Profile({"s": 3, "h": 3, "p": 2, "k": 2, "v": 2, "o": 2}, 2, 2, 2)
UNEVEN = Profile({"s": 2, "h": 4, "p": 15, "k": 7, "v": 9, "o": 1}, 1, 2, 2, 1, 1, UNLIKE)


def profiles(steps: Sequence[Expansion]) -> Iterator[Profile]:
    """Sizes from the smallest up; s = 1 hides attention, h = 1 the norm, N = 1 what the last layer writes.

    A ratio of 4 keeps the roots rational; others come later, for what holds at one ratio only.  Then scalars that are
    not 1; two of everything; more than one new coordinate, for what holds of one alone; more coordinates than the
    stream has: so many products can vanish; and sizes and scalars no two of which are equal, or grow alike.
    """
    grows = any(step.above or step.variant.grows for step in steps)
    for ratio in (4, 2, 9) if grows else (4,):
        for layers, h, s in combinations((1, 2), (1, 2), (1, 2)):
            yield Profile({"s": s, "h": h, "p": 1, "k": 1, "v": 1, "o": 1}, 1, layers, ratio)
    yield Profile({"s": 2, "h": 2, "p": 1, "k": 1, "v": 1, "o": 1}, 1, 1, 4, scalars=UNLIKE)
    yield Profile({"s": 2, "h": 2, "p": 2, "k": 2, "v": 2, "o": 1}, 1, 1, 2)
    yield Profile({"s": 2, "h": 2, "p": 1, "k": 1, "v": 1, "o": 1}, 1, 2, 4, 2)
    yield GENERIC
    yield Profile({"s": 2, "h": 2, "p": 5, "k": 5, "v": 5, "o": 1}, 1, 2, 2)
    yield UNEVEN


def grown_sizes(step: Expansion, known: Mapping[str, int], profile: Profile) -> dict[str, int]:
    """Values for the size symbols that a variant introduces: times the ratio under a root, else so many more.

    Raises SizeError where an old size is not whole.
    """
    found: dict[str, int] = {}
    for i, (symbol, base) in enumerate(step.above.items()):
        old, uneven = whole(base, Values({**known, **found})), i * profile.uneven
        found[symbol.name] = old * (profile.ratio + uneven) if base in rooted(step) else old + profile.more + uneven
    if "experts" in step.variant.becomes:
        found[str(step.new.sizes["n_experts"])] = int(step.variant.becomes["top_k"]) + profile.more
    others = sorted(size_names(step) - set(found) - set(known))
    few, many = (
        found | {name: more + i * profile.uneven for i, name in enumerate(others)}
        for more in (profile.more, profile.more + 1)
    )
    return few if grows(step, {**known, **few}) else many


def grows(step: Expansion, sizes: Mapping[str, int]) -> bool:
    """Whether every size that a variant grows is larger than it was, for some values; n*h is not for n = 1."""
    pairs = ((exact(model.sizes[name], Values(sizes)) for model in (step.old, step.new)) for name in step.variant.grows)
    return all(old < new for old, new in pairs)


def size_names(step: Expansion) -> frozenset[str]:
    """The symbols that the grown sizes and those of the new blocks are written in."""
    sides = [*step.new.sizes.values(), *(side for block in step.blocks for side in block.symbol.shape)]
    return frozenset(symbol.name for side in sides for symbol in side.free_symbols)


def rooted(step: Expansion) -> tuple[Expr, ...]:
    """The sizes whose root the architecture takes: that of the score factor and that of the norms."""
    return step.old.sizes["k"], step.old.sizes["h"]


# ---------------------------------------------------------------- models and blocks


Draw = Callable[[int, int], Array]


def fitting(sizes: Mapping[str, int], preset: Preset) -> dict[str, int]:
    """Sizes at which an architecture makes sense: pairs of keys to turn, and rows that are more than their mean."""
    found = dict(sizes)
    if preset["norm"] == "layer":
        found["h"] += 2
    if preset["experts"]:
        found["n_experts"] = 3
    if preset["positions"] == "rotary":  # the first pair turns alike at every k, the second does not
        part = {"k_turned": 4, "k_pairs": 2, "k_rest": found["k"], "k": 4 + found["k"]}
        found |= part if preset["rope_part"] == "part" else {"k_pairs": 1 + found["k"], "k": 2 + 2 * found["k"]}
    return found


def drawn_model(preset: Preset, profile: Profile, entries: Draw, numbers: Mapping[str, Expr] = BOARD) -> Nested:
    """A model of an architecture, its matrices as `entries` draws them, its scalars as given."""
    sizes = fitting(profile.sizes, preset)
    sides = {**sizes, "1": 1, "f": sizes.get("k_turned", sizes["k"]) // 2}

    def table(scope: str) -> Nested:
        found = (q for q in parameters(preset).values() if q.scope == scope)
        return {q.name: entries(sides[q.rows], sides[q.columns]) for q in found}

    symbols = paper_model(preset).sizes
    values = Values({**sizes, **numbers})
    scalars = {n: exact(default_scalar(n, preset, symbols), values) for n in SCALARS if has_scalar(n, preset)}
    scalars = {name: number for name, number in scalars.items() if name != "scale" or preset["scale"] == "constant"}
    counts = {LAYERS: profile.layers, GROUPS: profile.heads, HEADS: profile.heads, EXPERTS: sizes.get("n_experts", 0)}
    scalars |= {"top_k": numbers["top_k"]} if "n_experts" in sizes else {}
    own = {"sizes": {name: sizes[name] for name in ("k_pairs", "k_turned", "k_rest") if name in sizes}}
    return {**tree("model", levels(preset), counts, table), "scalars": scalars, **own}


def tree(scope: str, families: Sequence[str], counts: Mapping[str, int], table: Callable[[str], Nested]) -> Nested:
    """The table of a scope, and under each family as many of the next scope as counted."""
    if not families:
        return table(scope)
    family, *within = families
    members = [tree(family.removesuffix("s"), within, counts, table) for _ in range(counts[family])]
    mixed = scope == "layer" and counts[EXPERTS]
    experts = {EXPERTS: [table("expert") for _ in range(counts[EXPERTS])]} if mixed else {}
    return {**table(scope), family: members, **experts}


def drawn_blocks(
    step: Expansion, model: Nested, profile: Profile, entries: Draw, rng: np.random.Generator
) -> Nested | None:
    """New blocks for one step, nested like the model; None where sizes or constraints are not met."""
    try:
        new = unconstrained_blocks(step, model, profile, entries, rng)
        return new if constrain(step, model, new, rng) else None
    except SizeError:
        return None


def unconstrained_blocks(
    step: Expansion, model: Nested, profile: Profile, entries: Draw, rng: np.random.Generator
) -> Nested:
    """New blocks for one step, nested like the model.  Raises SizeError where a size is not whole."""
    known = dict(level_values(*first_members(model, levels(step.old.preset))).scalars)
    sizes = known | grown_sizes(step, known, profile)
    for size in (*step.new.sizes.values(), *whole_sizes([step])):
        whole(size, Values(sizes))

    bound = {symbol for pair in step.constraints for side in pair for symbol in atoms(side)}

    def filled(scope: str, added: bool) -> Nested:
        found: Nested = {"sizes": sizes}
        for block in owned(step, scope, added):
            rows, columns = (whole(side, Values(sizes)) for side in block.symbol.shape)
            chosen = isinstance(block.symbol, Selection)
            found[block.name] = select(rows, columns, block.symbol) if chosen else entries(rows, columns)
        return found

    def select(rows: int, columns: int, symbol: Expr) -> Array:
        return selected(rows, columns, rng) if symbol in bound else np.eye(rows)[:, rng.integers(0, rows, columns)]

    def like(scope: str, families: Sequence[str], old: Nested, added: bool = False) -> Nested:
        if not families:
            return filled(scope, added)
        family, *within = families
        members = [like(family.removesuffix("s"), within, one, added) for one in old[family]]
        count = len(old[EXPERTS]) if EXPERTS in old else made if scope == "layer" else 0
        experts = {EXPERTS: [filled("expert", added) for _ in range(count)]} if count else {}
        return {**filled(scope, added), family: members, **experts}

    families = levels(step.old.preset)
    made = whole(step.new.sizes["n_experts"], Values(sizes)) if "experts" in step.variant.becomes else 0
    new = like("model", families, model)
    if step.variant.added_layer is not None:
        first = 0 if step.variant.added_layer.copy is None else 1
        position = int(rng.integers(first, len(model["layers"]) + 1))
        before = model["layers"][max(position - 1, 0)]  # the layer that is copied, if any; as many heads in any case
        new["added_layer"] = {**like("layer", families[1:], before, True), "position": position}
    return new


def selected(rows: int, columns: int, rng: np.random.Generator) -> Array:
    """A random selection: every row is chosen, where there are enough columns, and equally often every other time."""
    others = np.arange(rows, columns) % rows if rng.integers(2) else rng.integers(0, rows, max(columns - rows, 0))
    return np.eye(rows)[:, rng.permutation(np.concatenate([rng.permutation(rows)[:columns], others]))]


def first_members(model: Nested, families: Sequence[str]) -> Iterator[Nested]:
    """A model, its first layer, the first group or head of that, and so on."""
    yield model
    for family in families:
        model = model[family][0]
        yield model
        if EXPERTS in model:
            yield model[EXPERTS][0]


def owned(step: Expansion, scope: str, added: bool) -> Iterator[Block]:
    """The new blocks of a scope, of the old layers or of the added one; those of the model are old."""
    return (block for block in step.blocks if block.scope == scope and is_added(step, block) == added)


def is_added(step: Expansion, block: Block) -> bool:
    """Whether a new block is one of the added layer."""
    return bool(block.owner and block.owner[0] != step.old.layer.label)


# ---------------------------------------------------------------- constraints


Place = tuple[str, bool]  # a scope, and whether of the added layer


def instances(step: Expansion, place: Place, model: Nested, new: Nested) -> Iterator[tuple[list[Nested], Values]]:
    """Every instance of a place: the tables of new blocks that are in reach there, and the values in force."""
    scope, added = place
    chains = [[(model, new)]]
    for family in chain_to(scope, levels(step.old.preset)):
        if family == LAYERS and added:
            chains = [[*chain, (copied(step, model, new), new["added_layer"])] for chain in chains]
        else:
            chains = [[*chain, pair] for chain in chains for pair in members(chain[-1], family)]
    for chain in chains:
        yield [own for _, own in chain], level_values(*(level for pair in chain for level in pair))


def copied(step: Expansion, model: Nested, new: Nested) -> Nested:
    """The layer that an added one copies, with its new blocks; nothing where it copies none."""
    if not any(layer.path for layer in step.new.inserted):
        return {}
    before = new["added_layer"]["position"] - 1
    return merged(model["layers"][before], new["layers"][before])


def chain_to(scope: str, families: Sequence[str]) -> tuple[str, ...]:
    """The families through which one comes from the model to a scope."""
    if scope == "expert":
        return (LAYERS, EXPERTS)
    scopes = ["model", *(family.removesuffix("s") for family in families)]
    return tuple(families[: scopes.index(scope)])


def members(pair: tuple[Nested, Nested], family: str) -> Iterator[tuple[Nested, Nested]]:
    """The members of a family, old and new side by side."""
    old, new = pair
    yield from zip(old.get(family, [{}] * len(new[family])), new[family], strict=True)


def owners_of(step: Expansion, equation: Equation) -> Place:
    """The narrowest scope of a constraint's new blocks and parameters, and whether it is about the added layer."""
    names = {symbol.name for side in (equation.left, equation.right) for symbol in side.atoms(MatrixSymbol)}
    blocks = [block for block in step.blocks if block.symbol.name in names]
    scopes = [block.scope for block in blocks]
    scopes += [q.scope for q in parameters(step.old.preset).values() if q.name in names]
    added = any(is_added(step, block) for block in blocks)
    return max(scopes, key=SCOPES.index, default="model"), added


def constrain(step: Expansion, model: Nested, new: Nested, rng: np.random.Generator) -> bool:
    """Change new blocks so that every constraint holds; False where this simple solver does not succeed."""
    equations = [Equation(*pair) for pair in step.constraints]
    uses = Counter(symbol.name for equation in equations for symbol in atoms(equation.left) | atoms(equation.right))
    for _ in range(PASSES):
        if satisfied(step, model, new):
            return True
        for equation in equations:
            for tables, values in instances(step, owners_of(step, equation), model, new):
                if not holds_closely(equation, values):
                    enforce(equation, tables, values, uses, rng)
    return satisfied(step, model, new) or solved_for_all(step, model, new)


def solved_for_all(step: Expansion, model: Nested, new: Nested) -> bool:
    """Take the solution that is there for all old parameters; False where none is known, or a selection is any."""
    found = known_solution(step.constraints, tuple(b.symbol for b in step.blocks), tuple(step.above.items()))
    if found is None or any(isinstance(symbol, Selection) for right in found.values() for symbol in atoms(right)):
        return False
    for block in step.blocks:
        for tables, values in instances(step, (block.scope, is_added(step, block)), model, new):
            assign(block.name, evaluate(found[block.symbol], values, FLOATS), tables)
    return satisfied(step, model, new)


@lru_cache(maxsize=64)
def known_solution(
    constraints: Sequence[tuple[MatrixExpr, MatrixExpr]],
    blocks: Sequence[MatrixSymbol],
    above: Sequence[tuple[Symbol, Expr]],
) -> Solution | None:
    return solution([Equation(*pair) for pair in constraints], blocks, dict(above))


def enforce(
    equation: Equation, tables: list[Nested], values: Values, uses: Mapping[str, int], rng: np.random.Generator
) -> None:
    """Make one equation true at one place: solve it for a new block, or move a block to where it holds.

    `uses` counts the equations that a block is in: the one that the fewest others bind is moved first.
    """
    here = {name for table in tables for name in table}
    for name, right in solutions(equation):
        if name in here:
            return assign(name, evaluate(right, values, FLOATS), tables)
    symbols = sorted(atoms(equation.left) | atoms(equation.right), key=str)
    names = [symbol.name for symbol in symbols if symbol.name in here]
    free = [symbol.name for symbol in symbols if not isinstance(symbol, Selection)]
    for name in sorted(rng.permutation([name for name in names if name in free]), key=uses.__getitem__):
        for way in (divided, linear, selection, zeros):
            value = way(equation, name, values, rng)
            if value is not None:
                return assign(name, value, tables)
    for name in names:
        rows, columns = values.matrices[name].shape
        assign(name, np.eye(rows, columns) if name in free else selected(rows, columns, rng), tables)


def divided(equation: Equation, name: str, values: Values, rng: np.random.Generator) -> Array | None:
    """A value of a block B in A B C = D at which it holds; as free as the equation leaves it."""
    sides = around(equation, name)
    if sides is None:
        return None
    A, C, D = (evaluate(side, values, FLOATS) for side in sides)
    after, before = null_space(A), null_space(C.T)
    moved = after @ drawn_steps(rng, after.shape[1], len(C)) + drawn_steps(rng, A.shape[1], before.shape[1]) @ before.T
    inverses = zip(right_inverses(A, rng), right_inverses(C.T, rng), strict=False)
    return readable(equation, name, (G @ D @ H.T + moved for G, H in inverses), values)


def drawn_steps(rng: np.random.Generator, *shape: int) -> Array:
    return rng.choice([-1.0, 1.0, 2.0], size=shape)


def right_inverses(A: Array, rng: np.random.Generator) -> Iterator[Array]:
    """Some G with A G = I, if there are any: the smallest one, then those of as many columns as A has rows.

    These are seldom fractions with large denominators; of numbers that are not short, there is nothing to choose.
    """
    yield np.linalg.pinv(A)
    for _ in range(CHOICES if np.array_equal(A, short(A)) else 0):
        chosen = rng.permutation(A.shape[1])[: len(A)]
        found = np.zeros(A.shape[::-1])
        found[chosen] = np.linalg.pinv(A[:, chosen])
        yield found


@lru_cache(maxsize=4096)
def around(equation: Equation, name: str) -> tuple[MatrixExpr, MatrixExpr, MatrixExpr] | None:
    """A, C and D where an equation is A B C = D, and B, of that name, nowhere else; the equation may be transposed."""

    def holds(term: Expr) -> bool:
        return any(symbol.name == name for symbol in atoms(term))

    terms = summands(equation)
    within = [k for k, term in enumerate(terms) if holds(term)]
    one = solved(equation, within[0]) if len(within) == 1 else None
    for left, right in (
        () if one is None else ((one.left, one.right), (transpose_word(one.left), transposed(one.right)))
    ):
        word = factors(left)
        i = next((i for i, factor in enumerate(word) if isinstance(factor, MatrixSymbol) and factor.name == name), None)
        if i is not None and not any(map(holds, (*word[:i], *word[i + 1 :]))):
            B = word[i]
            return product(*(word[:i] or [eye(B.rows)])), product(*(word[i + 1 :] or [eye(B.cols)])), right
    return None


def linear(equation: Equation, name: str, values: Values, rng: np.random.Generator) -> Array | None:
    """A value of a block in which an equation is linear, at which it holds; as free as the equation leaves it."""
    now = values.matrices[name]
    at_zero, once, twice = (gap(equation, name, factor * (now + 1), values) for factor in (0, 1, 2))
    if now.size > MOST_UNKNOWNS or np.abs(twice - 2 * once + at_zero).max() > CLOSE * (1 + np.abs(once).max()):
        return None
    slopes, free = directions(equation, name, values, at_zero)
    start = np.linalg.lstsq(slopes, -at_zero)[0]
    found = (start + free @ drawn_steps(rng, free.shape[1])).reshape(now.shape)
    return readable(equation, name, [found], values)


def readable(equation: Equation, name: str, found: Iterable[Array], values: Values) -> Array | None:
    """The first of some values of a block that is short, else the first as it was found, if an equation holds there."""
    first, *others = found
    for value in (first, *others):
        if holds_at(equation, name, short(value), values):
            return short(value)
    near = rounded_fractions(first)
    return near if holds_at(equation, name, near, values) else None


def short(value: Array) -> Array:
    """The nearest numbers with few digits."""
    return np.rint(FINEST * value) / FINEST


def directions(equation: Equation, name: str, values: Values, at_zero: Array) -> tuple[Array, Array]:
    """How the gap of an equation changes with each entry of a block, and the changes that leave it as it is.

    The same for every head and layer with the same other matrices, it is found once for these.
    """
    units = np.eye(values.matrices[name].size).reshape(-1, *values.matrices[name].shape)
    others = sorted({symbol.name for side in (equation.left, equation.right) for symbol in atoms(side)} - {name})
    seen = tuple((other, values.matrices[other].tobytes()) for other in others if other in values.matrices)
    key = (equation, name, units.shape, tuple(values.scalars.items()), seen)
    if key not in _DIRECTIONS:
        if len(_DIRECTIONS) > MOST_DIRECTIONS:
            _DIRECTIONS.clear()
        slopes = np.array([gap(equation, name, unit, values) - at_zero for unit in units]).T
        _DIRECTIONS[key] = slopes, null_space(slopes)
    return _DIRECTIONS[key]


_DIRECTIONS: dict[Hashable, tuple[Array, Array]] = {}
MOST_DIRECTIONS = 50


def null_space(rows: Array) -> Array:
    """Columns that span what a matrix sends to zero; whole numbers for a matrix of whole numbers."""
    rows = np.unique(rows, axis=0)  # of a large identity, one row
    if not np.array_equal(rows, np.rint(rows)):
        scale, directions = np.linalg.svd(rows)[1:]
        return np.asarray(directions[(scale > CLOSE * scale.max(initial=1)).sum() :].T)
    entries = {i: {int(j): ZZ(int(row[j])) for j in row.nonzero()[0]} for i, row in enumerate(rows) if row.any()}
    found = (
        DomainMatrix(entries, rows.shape, ZZ)
        .to_field()
        .nullspace(divide_last=True)
        .clear_denoms_rowwise(convert=True)[1]
    )
    return np.array(found.to_list(), dtype=float).reshape(-1, rows.shape[1]).T


def selection(equation: Equation, name: str, values: Values, rng: np.random.Generator) -> Array | None:
    """One 1 or -1 in each row or in each column, or the same number of several, at which an equation holds."""
    rows, columns = values.matrices[name].shape
    short, long = sorted((rows, columns))
    order, sign = rng.permutation(long), rng.choice([-1.0, 1.0])
    for times in range(1, long // short + 1):
        found = np.zeros((short, long))
        found[np.repeat(np.arange(short), times), order[: short * times]] = sign
        found = found if rows == short else found.T
        if holds_at(equation, name, found, values):
            return found
    return None


def zeros(equation: Equation, name: str, values: Values, rng: np.random.Generator) -> Array | None:
    """Zero, if an equation holds there."""
    found = 0 * values.matrices[name]
    return found if holds_at(equation, name, found, values) else None


def holds_at(equation: Equation, name: str, value: Array, values: Values) -> bool:
    return holds_closely(equation, values.with_(Values(matrices={name: value})))


def gap(equation: Equation, name: str, value: Array, values: Values) -> Array:
    """The left side minus the right side, as one row, with another value for a block."""
    here = values.with_(Values(matrices={name: value}))
    return np.ravel(evaluate(equation.left, here, FLOATS) - evaluate(equation.right, here, FLOATS))


@lru_cache(maxsize=4096)
def solutions(equation: Equation) -> tuple[tuple[str, MatrixExpr], ...]:
    """The bare matrices that an equation can be solved for, with what they then are."""
    found = [(split(summands(equation)[k])[1], solved(equation, k)) for k in bare(equation)]
    return tuple((block.name, one.right) for block, one in found if one is not None and block not in atoms(one.right))


def assign(name: str, value: Array, tables: list[Nested]) -> None:
    for table in tables:
        if name in table:
            table[name] = value + 0.0


Holds = Callable[[Equation, Values], bool]


def satisfied(step: Expansion, model: Nested, new: Nested, holds: Holds | None = None) -> bool:
    """Whether every constraint holds, in every place where it applies; in floating point unless `holds` judges."""
    judge = holds or holds_closely
    return selections(step, new) and all(
        judge(equation, values)
        for equation in (Equation(*pair) for pair in step.constraints)
        for _, values in instances(step, owners_of(step, equation), model, new)
    )


def selections(step: Expansion, new: Nested) -> bool:
    """Whether every block that is to be a selection is one."""
    chosen = {block.name for block in step.blocks if isinstance(block.symbol, Selection)}
    found = [array for table in tables_of(new) for name, array in table.items() if name in chosen]
    return all(is_selected(array) for array in found)


def is_selected(array: Array) -> bool:
    """Whether each column has a single 1, and 0 elsewhere."""
    return bool(((array == 0) | (array == 1)).all() and (array.sum(axis=0) == 1).all())


def tables_of(nested: Nested) -> Iterator[Nested]:
    """A table and every table within it."""
    yield nested
    added = [nested["added_layer"]] if "added_layer" in nested else []
    for inner in (*(one for family in FAMILIES for one in nested.get(family, ())), *added):
        yield from tables_of(inner)


def holds_closely(equation: Equation, values: Values) -> bool:
    """Up to rounding errors."""
    left, right = (evaluate(side, values, FLOATS) for side in (equation.left, equation.right))
    return bool((np.abs(left - right) <= CLOSE * (1 + np.abs(right))).all())
