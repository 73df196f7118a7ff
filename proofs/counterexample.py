"""Counterexamples: small numbers that meet the constraints and change the function, replayed in numpy.

The search draws small integers for models of growing size, most of all of size one, fills the new blocks
so that the constraints hold, and runs both models with the numeric package, which shares no code with
the proofs.  A difference counts when it exceeds the bound for rounding errors many times over.  What is
found is then made smaller: entry by entry towards 0 and 1, as long as the difference stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import product as combinations
from typing import Any

import numpy as np

from ..numeric.compare import Agreement, difference
from ..numeric.model import from_nested
from ..symbolic.architecture import PARAMETERS, PRESETS, SCOPES, paper_model
from ..symbolic.evaluate import Array, Values, evaluate, exact
from ..symbolic.expand import Block, Expansion
from ..symbolic.floats import float_arithmetic
from ..symbolic.instances import Nested, grown, level_values
from ..symbolic.terms import MatAdd, MatMul, MatrixSymbol, ZeroMatrix, is_scalar
from .kernel import Equation, solved
from .prover import orientation

CLEARLY = 1e3  # a difference counts from so many times its rounding bound
VISIBLE = 1e-3
TRIALS = 6
GLIMPSES = 2
FLOATS = float_arithmetic()


@dataclass(frozen=True)
class Instance:
    """A concrete model and, for each step of a chain, the new blocks; all entries are integers."""

    old: Nested
    new: tuple[Nested, ...]
    eps: Fraction


@dataclass(frozen=True)
class Counterexample:
    """An instance whose two models differ, the grown model in floating point, and what the replay found."""

    steps: tuple[Expansion, ...]
    instance: Instance
    grown: Nested
    eps_hat: float
    replay: Agreement


def find(steps: Sequence[Expansion], seed: int = 0) -> Counterexample | None:
    """A minimised counterexample to a chain of expansions, each of the plain model; None if none was found."""
    rng = np.random.default_rng(seed)
    for profile in profiles(steps):
        for _ in range(TRIALS):
            instance = drawn(steps, profile, rng)
            if instance is not None and differs(steps, instance):
                return replayed(steps, minimised(steps, instance))
    return None


def glimpse(steps: Sequence[Expansion], seed: int = 0) -> bool:
    """Whether one of a few random instances changes the function: quick, and almost sure where most of them do."""
    rng = np.random.default_rng(seed)
    instances = (drawn(steps, GENERIC, rng) for _ in range(GLIMPSES))
    return any(instance is not None and differs(steps, instance) for instance in instances)


# ---------------------------------------------------------------- sizes


@dataclass(frozen=True)
class Profile:
    """The old sizes, the numbers of heads and layers, and how many times larger a size under a root grows."""

    sizes: Mapping[str, int]
    heads: int
    layers: int
    ratio: int


GENERIC = Profile({"s": 3, "h": 3, "p": 2, "k": 2, "v": 2, "o": 2}, 2, 2, 2)


def profiles(steps: Sequence[Expansion]) -> Iterator[Profile]:
    """Sizes from the smallest up; s = 1 hides attention, h = 1 the norm, N = 1 what the last layer writes.

    A ratio of 4 keeps the roots rational; others come later, for what holds at one ratio only.
    """
    grows = any(step.above or step.variant.grows for step in steps)
    for ratio in (4, 2, 9) if grows else (4,):
        for layers, h, s in combinations((1, 2), (1, 2), (1, 2)):
            yield Profile({"s": s, "h": h, "p": 1, "k": 1, "v": 1, "o": 1}, 1, layers, ratio)
    yield GENERIC


def grown_sizes(step: Expansion, known: Mapping[str, int], ratio: int) -> dict[str, int]:
    """Values for the size symbols that a variant introduces: times `ratio` under a root, else one more."""
    found: dict[str, int] = {}
    for symbol, base in step.above.items():
        old = int(exact(base, Values({**known, **found})))
        found[symbol.name] = old * ratio if base in rooted_sizes() else old + 1
    fresh = {symbol.name for grown_size in step.new.sizes.values() for symbol in grown_size.free_symbols}
    return found | dict.fromkeys(fresh - set(found) - set(known), 1)


@cache
def rooted_sizes() -> frozenset[Any]:
    """The sizes whose root the architecture takes: that of the score factor and that of the norms."""
    model = paper_model(PRESETS["paper"])
    return frozenset({*model.layer.heads[0].scale.free_symbols, model.sizes["h"]})


# ---------------------------------------------------------------- drawing an instance


def drawn(steps: Sequence[Expansion], profile: Profile, rng: np.random.Generator) -> Instance | None:
    """Random small integers for the old model and for every new block, with the constraints met."""

    def entries(rows: int, columns: int) -> Array:
        return rng.choice([-2.0, -1.0, 1.0, 1.0, 2.0], size=(rows, columns))

    old = drawn_model(profile, entries)
    current, new = old, []
    eps = Fraction(0) if steps[0].old.preset.eps == 0 else Fraction(1)
    for step in steps:
        blocks = drawn_blocks(step, current, profile, entries, rng)
        if blocks is None:
            return None
        new.append(blocks)
        current = grown(step, current, blocks, FLOATS)
    return Instance(old, tuple(new), eps)


Draw = Callable[[int, int], Array]


def drawn_model(profile: Profile, entries: Draw) -> Nested:
    def level(scope: str) -> Nested:
        sizes = {**profile.sizes, "1": 1}
        return {q.name: entries(sizes[q.rows], sizes[q.columns]) for q in PARAMETERS if q.scope == scope}

    def layer() -> Nested:
        return {**level("layer"), "heads": [level("head") for _ in range(profile.heads)]}

    return {**level("model"), "layers": [layer() for _ in range(profile.layers)]}


def drawn_blocks(
    step: Expansion, model: Nested, profile: Profile, entries: Draw, rng: np.random.Generator
) -> Nested | None:
    """New blocks for one step, nested like the model; None where the constraints could not be met."""

    first = model["layers"][0]
    known = {**level_values(model, first, first["heads"][0]).scalars}
    sizes = known | grown_sizes(step, known, profile.ratio)

    def filled(depth: int, added: bool) -> Nested:
        table: Nested = {"sizes": sizes}
        for block in owned(step, depth, added):
            rows, columns = (int(exact(side, Values(sizes))) for side in block.symbol.shape)
            table[block.name] = entries(rows, columns)
        return table

    def layer(heads: int, added: bool) -> Nested:
        return {**filled(1, added), "heads": [filled(2, added) for _ in range(heads)]}

    new = {**filled(0, False), "layers": [layer(len(old["heads"]), False) for old in model["layers"]]}
    if step.variant.added_layer is not None:
        position = int(rng.integers(0, len(model["layers"]) + 1))
        new["added_layer"] = {**layer(profile.heads, True), "position": position}
    return new if constrain(step, model, new, rng) else None


def owned(step: Expansion, depth: int, added: bool) -> Iterator[Block]:
    """The new blocks that a model (0), a layer (1) or a head (2) has, of the old or of the added layer."""
    label = step.old.layer.label
    return (b for b in step.blocks if len(b.owner) == depth and (depth == 0 or (b.owner[0] != label) == added))


# ---------------------------------------------------------------- constraints


Place = tuple[int, bool]  # depth: of the model (0), a layer (1) or a head (2); and whether of the added layer


def levels(place: Place, model: Nested, new: Nested) -> Iterator[tuple[list[Nested], Values]]:
    """Every instance of a place: the tables of new blocks that are in reach there, and the values in force."""
    depth, added = place
    if added:
        layers = [({"heads": [{} for _ in new["added_layer"]["heads"]]}, new["added_layer"])]
    else:
        layers = list(zip(model["layers"], new["layers"], strict=True))
    if depth == 0:
        yield [new], level_values(model, new)
    for layer, own in layers if depth else ():
        if depth == 1:
            yield [new, own], level_values(model, new, layer, own)
        for head, inside in zip(layer["heads"], own["heads"], strict=True) if depth == 2 else ():
            yield [new, own, inside], level_values(model, new, layer, own, head, inside)


def owners_of(step: Expansion, equation: Equation) -> Place:
    """How deep a constraint lives, and whether in the added layer: as its deepest new block or parameter."""
    names = {symbol.name for side in (equation.left, equation.right) for symbol in side.atoms(MatrixSymbol)}
    blocks = [block for block in step.blocks if block.symbol.name in names]
    depths = [len(block.owner) for block in blocks]
    depths += [SCOPES.index(q.scope) for q in PARAMETERS if q.name in names]
    added = any(block.owner and block.owner[0] != step.old.layer.label for block in blocks)
    return max(depths, default=0), added


def constrain(step: Expansion, model: Nested, new: Nested, rng: np.random.Generator) -> bool:
    """Change new blocks so that every constraint holds; False where this simple solver does not succeed."""
    equations = [Equation(*pair) for pair in step.constraints]
    for equation in equations:
        for tables, values in levels(owners_of(step, equation), model, new):
            enforce(equation, tables, values, rng)
    return satisfied(step, model, new)


def enforce(equation: Equation, tables: list[Nested], values: Values, rng: np.random.Generator) -> None:
    """Make one equation true at one place: solve it for a new block, or set a factor to zero."""
    form = orientation(equation)
    oriented = solved(equation, *form) if form else equation
    if oriented is None:
        return
    if isinstance(oriented.left, MatrixSymbol):
        assign(oriented.left.name, evaluate(oriented.right, values, FLOATS), tables)
    elif isinstance(oriented.right, ZeroMatrix) and not isinstance(oriented.left, MatAdd):
        factors = [f for f in oriented.left.args if isinstance(f, MatMul) or not is_scalar(f)]
        names = [symbol.name for f in factors for symbol in f.atoms(MatrixSymbol)]
        names = [name for name in names if any(name in table for table in tables)]
        if names:
            name = names[rng.integers(len(names))]
            assign(name, 0 * values.matrices[name], tables)


def assign(name: str, value: Array, tables: list[Nested]) -> None:
    for table in tables:
        if name in table:
            table[name] = value + 0.0


def satisfied(step: Expansion, model: Nested, new: Nested) -> bool:
    """Whether every constraint holds, in every place where it applies."""
    return all(
        np.array_equal(evaluate(equation.left, values, FLOATS), evaluate(equation.right, values, FLOATS))
        for equation in (Equation(*pair) for pair in step.constraints)
        for _, values in levels(owners_of(step, equation), model, new)
    )


# ---------------------------------------------------------------- running both models


def expanded(steps: Sequence[Expansion], instance: Instance) -> tuple[Nested, float]:
    """The grown model and its epsilon."""
    current, eps = instance.old, float(instance.eps)
    for step, new in zip(steps, instance.new, strict=True):
        eps = grown_eps(step, current, new, eps)
        current = grown(step, current, new, FLOATS)
    return current, eps


def grown_eps(step: Expansion, model: Nested, new: Nested, eps: float) -> float:
    """The epsilon of the model after one step."""
    known = Values({**level_values(model, new).scalars, "eps": eps})
    return float(exact(step.new.eps, known))


def differs(steps: Sequence[Expansion], instance: Instance) -> bool:
    """Whether the constraints hold and the outputs differ clearly; False where a norm meets a zero row."""
    current = instance.old
    for step, new in zip(steps, instance.new, strict=True):
        if not satisfied(step, current, new):
            return False
        current = grown(step, current, new, FLOATS)
    try:
        found = replay(steps, instance)
    except ValueError:
        return False
    return found.ratio > CLEARLY and found.max_abs > VISIBLE


def replay(steps: Sequence[Expansion], instance: Instance) -> Agreement:
    """Both full models in numpy, float64.  Raises ValueError for a row of zeros where eps = 0."""
    hat, eps_hat = expanded(steps, instance)
    original, I = from_nested(instance.old)
    grown_model, I_hat = from_nested(hat)
    return difference(original, I, grown_model, I_hat, eps=float(instance.eps), eps_hat=eps_hat)


def replayed(steps: Sequence[Expansion], instance: Instance) -> Counterexample:
    hat, eps_hat = expanded(steps, instance)
    return Counterexample(tuple(steps), instance, hat, eps_hat, replay(steps, instance))


# ---------------------------------------------------------------- making it small


def minimised(steps: Sequence[Expansion], instance: Instance) -> Instance:
    """The instance with every entry moved to 0 or 1 where the difference survives that."""
    for table, name, index in cells(instance):
        for value in (0.0, 1.0):
            before = table[name]
            if before[index] == value:
                break
            table[name] = changed(before, index, value)
            if differs(steps, instance):
                break
            table[name] = before
    return instance


def changed(array: Array, index: tuple[int, ...], value: float) -> Array:
    result = array.copy()
    result[index] = value
    return result


def cells(instance: Instance) -> Iterator[tuple[Nested, str, tuple[int, ...]]]:
    """Every entry of every matrix, the new blocks last."""
    for table in (*tables_of(instance.old), *(t for new in instance.new for t in tables_of(new))):
        for name, array in table.items():
            if isinstance(array, np.ndarray):
                yield from ((table, name, index) for index in np.ndindex(array.shape))


def tables_of(nested: Nested) -> Iterable[Nested]:
    yield nested
    for layer in (*nested.get("layers", ()), *([nested["added_layer"]] if "added_layer" in nested else [])):
        yield layer
        yield from layer.get("heads", ())
