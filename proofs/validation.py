"""Every rule of the kernel, tested by values: on samples, on random terms, and by z3 at small sizes.

A rule that is right changes a term and not its value.  So a term gets random sizes, random matrices and random
families of heads and layers, all hypotheses made true, and is evaluated before and after the rule.  Random terms
are for the shapes that nobody thought of; z3 has all matrices of one small size at once.  This is evidence, not a
proof.  A rule without a sample fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import product as combinations
from math import erf
from typing import Any, Literal

import numpy as np
import z3
from sympy import Symbol, sympify

from ..symbolic.evaluate import Arithmetic, Array, Values, evaluate, exact
from ..symbolic.notation import text
from ..symbolic.terms import (
    CHOSEN,
    Expr,
    MatAdd,
    MatMul,
    MatrixExpr,
    MatrixSymbol,
    Path,
    Selection,
    ShapeError,
    Softmax,
    Stack,
    atoms,
    children,
    eye,
    families,
    free,
    is_scalar,
    path_of,
    product,
    total,
)
from . import random_terms, solver
from .kernel import RULES, Context, Equation, KernelError, Position, Step, apply, summands
from .rules import FIRST_ORDER
from .samples import GROUPS, LAYERS, SAMPLES, Definitions, Sample

ROUNDING = 1e-8  # relative to the largest entry; what a wrong rule makes is off by about that entry
WORK = 200_000  # of z3 for one sample
FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)  # what a wrong rule may run into


@dataclass(frozen=True)
class Validation:
    """What was seen of one rule; z3's `unknown` is neither a pass nor a failure."""

    rule: str
    numbers: int  # evaluations of samples on random numbers, equal before and after
    random: int  # the same for uses on random terms
    solved: int  # samples that z3 finds to be equal before and after, for all matrices of one small size
    unknown: int  # samples about which z3 finds nothing
    failures: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.failures


def validate(
    rules: Collection[str] | None = None, seed: int = 0, instances: int = 3, terms: int = 200
) -> tuple[Validation, ...]:
    """Every rule (or some): each sample so many times on random numbers and once by z3, and so many random terms."""
    rules = tuple(RULES) if rules is None else rules
    random = list(on_random_terms(rules, seed, terms))
    return tuple(
        summary(rule, (*on_samples(rule, seed, instances), *by_z3(rule, seed), *(s for s in random if s.rule == rule)))
        for rule in rules
    )


# ---------------------------------------------------------------- uses of a rule, and what came of them


@dataclass(frozen=True)
class Use:
    """A term before and after a rule, and what the rule could use; `met` makes the hypotheses true."""

    rule: str
    before: MatrixExpr
    after: MatrixExpr
    context: Context
    met: Definitions
    kept: tuple[int, ...] = ()  # which of the inserted layers, counted from 1, are there after the rule

    def __str__(self) -> str:
        return f"{text(self.before)}  became  {text(self.after)}"


@dataclass(frozen=True)
class Seen:
    """What came of one use; `detail` says what is wrong with it."""

    rule: str
    how: Literal["numbers", "random", "z3"]
    outcome: Literal["equal", "unknown", "no value", "wrong"]
    detail: str = ""


def summary(rule: str, seen: Sequence[Seen]) -> Validation:
    count = Counter((one.how, one.outcome) for one in seen)
    failures = [one.detail for one in seen if one.outcome == "wrong"]
    if not any(sample.rule == rule and not sample.trap for sample in SAMPLES):
        failures.append("the rule has no sample")
    elif not failures and not count["numbers", "equal"]:
        failures.append("no sample had a value")
    numbers, random, solved = (count[how, "equal"] for how in ("numbers", "random", "z3"))
    return Validation(rule, numbers, random, solved, count["z3", "unknown"], tuple(failures))


def used(sample: Sample) -> Use | None:
    """The sample with its rule used; None where the kernel refuses."""
    try:
        after = apply(sample.context, sample.term, Step(sample.rule, (sample.at,), sample.argument))
    except (KernelError, ShapeError):
        return None
    return Use(sample.rule, sample.term, after, sample.context, sample.met, sample.kept)


def on_samples(rule: str, seed: int, instances: int) -> Iterator[Seen]:
    rng = np.random.default_rng(seed)
    for sample in (sample for sample in SAMPLES if sample.rule == rule):
        try:
            use = used(sample)
        except FAULTS as error:
            yield Seen(rule, "numbers", "wrong", ran_into(error, sample.term))
            continue
        if use is not None:
            yield from (on_numbers(use, "numbers", rng, alike=i == 0) for i in range(instances))
        elif not sample.trap:
            yield Seen(rule, "numbers", "wrong", f"the rule does not apply to {text(sample.term)}")


def on_random_terms(rules: Collection[str], seed: int, terms: int) -> Iterator[Seen]:
    rng = np.random.default_rng(seed)
    for _ in range(terms):
        term = random_terms.random_term(rng)
        places = list(positions(term))
        for rule in rules:
            yield from (on_numbers(use, "random", rng) for use in uses(rule, term, places))


Place = tuple[Position, Expr]  # a part of a term


def ran_into(error: Exception, term: Expr) -> str:
    return f"the rule runs into an error on {text(term)}: {type(error).__name__}: {error}"


def uses(rule: str, term: MatrixExpr, places: Sequence[Place]) -> Iterator[Use]:
    """Every way to use a rule once, anywhere in a random term; where it runs into an error it makes nothing."""
    context, met = random_terms.CONTEXT, random_terms.MET
    for argument in arguments(rule, context):
        for position, subterm in fitting(rule, context, argument, places):
            try:
                if RULES[rule](context, subterm, argument) is None:
                    continue
                after = apply(context, term, Step(rule, (position,), argument))
            except (KernelError, *FAULTS):
                continue
            yield Use(rule, term, after, context, met)


def fitting(rule: str, context: Context, argument: tuple[int, ...], places: Sequence[Place]) -> Sequence[Place]:
    """The places where a constraint fits by its shape; for other rules all of them."""
    if rule != "constraint":
        return places
    shape = context.hypotheses[argument[0]].left.shape
    return [place for place in places if place[1].shape in (shape, shape[::-1])]


def positions(term: Expr) -> Iterator[Place]:
    """Every sub-term and every run of factors or summands, with its position."""
    yield (), term
    parts = children(term)
    for i, part in enumerate(parts):
        if not is_scalar(part):
            yield from (((i, *below), found) for below, found in positions(part))
    if isinstance(term, (MatMul, MatAdd)):
        joined = product if isinstance(term, MatMul) else total
        first = sum(map(is_scalar, parts))
        for i in range(first, len(parts)):
            yield from ((((i, j),), joined(*parts[i:j])) for j in range(i + 2, len(parts) + 1))


def arguments(rule: str, context: Context) -> Iterator[tuple[int, ...]]:
    """Every argument that a rule can take: a lemma, or a constraint as it stands or solved for one of its terms."""
    if rule == "lemma":
        yield from ((i,) for i in range(len(context.lemmas)))
    elif rule == "constraint":
        for i, equation in enumerate(context.hypotheses):
            yield from ((i,), *((i, j) for j in range(len(summands(equation)))))
    else:
        yield ()


# ---------------------------------------------------------------- values


@dataclass(frozen=True)
class Draw:
    """How symbols get values: sizes at most `largest` (or all 2), and the number of members of a family."""

    rng: np.random.Generator
    largest: int
    alike: bool  # then m - n is zero, and blocks can be swapped
    count: Callable[[str], int]
    entries: Callable[[str, int, int], Array]  # a matrix by its name and shape
    selections: Callable[[str, int, int], Array]  # the same with a single 1 in each column
    arithmetic: Arithmetic


Chosen = Mapping[str, int]  # which member of a family is meant, where one is


class Members(Sequence[Any]):
    """Members that are made when they are asked for: families nest in any order, and within themselves."""

    def __init__(self, length: int, make: Callable[[int], Any]) -> None:
        self.length, self.make = length, make

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        if index >= self.length:
            raise IndexError(index)
        return self.make(index)


@dataclass(frozen=True, eq=False)
class World:
    """Values of all symbols of a use, drawn or, for those that `met` defines, computed.

    A matrix has a value for every choice of a member of each of its families.  Where none is chosen, the matrix is free
    and has one more value, for which the hypotheses hold too.  The column that picks a member picks the chosen one, and
    any one where it is free.
    """

    draw: Draw
    scalars: Mapping[str, Expr]
    owners: Mapping[MatrixSymbol, Path]  # of every matrix
    counts: Mapping[str, int]
    met: Mapping[MatrixSymbol, MatrixExpr]
    order: Sequence[int]  # of the layers: 0 for one of the family, i for the i-th inserted
    drawn: dict[str, Array] = field(default_factory=dict)
    known: dict[tuple[tuple[str, int], ...], Values] = field(default_factory=dict, init=False)

    def values(self, chosen: Chosen) -> Values:
        """What the symbols are where some members are chosen; what the model has once is as in the model."""
        key = tuple(sorted(chosen.items()))
        if key not in self.known:
            own = {s.name: self.matrix(s, chosen) for s, path in self.owners.items() if path or not chosen}
            inner = {family: self.members(family, chosen) for family in self.counts}
            layers = Members(len(self.order), lambda i: self.layer(i, chosen))
            self.known[key] = Values(self.scalars, own, inner, layers)
        return self.known[key]

    def members(self, family: str, chosen: Chosen) -> Members:
        return Members(self.counts[family], lambda i: self.values({**chosen, family: i}))

    def layer(self, index: int, chosen: Chosen) -> tuple[int, Values]:
        before = self.order[:index].count(0)
        which = self.order[index]
        return which, Values() if which else self.values({**chosen, LAYERS: before})

    def matrix(self, symbol: MatrixSymbol, chosen: Chosen) -> Array:
        own = {family: chosen[family] for family in self.owners[symbol] if family in chosen}
        name = symbol.name + "".join(f".{family}{i}" for family, i in own.items())
        if name not in self.drawn:
            met = symbol in self.met
            self.drawn[name] = self.computed(self.met[symbol], own) if met else self.fresh(symbol, name, own)
        return self.drawn[name]

    def fresh(self, symbol: MatrixSymbol, name: str, chosen: Chosen) -> Array:
        rows, columns = (int(exact(side, Values(self.scalars))) for side in symbol.shape)
        if picks(symbol) and self.owners[symbol][-1] in chosen:
            which = chosen[self.owners[symbol][-1]]
            return unit(rows, self.draw.arithmetic)[:, which : which + 1]
        draw = self.draw.selections if picks(symbol) or isinstance(symbol, Selection) else self.draw.entries
        return draw(name, rows, columns)

    def computed(self, definition: MatrixExpr, chosen: Chosen) -> Array:
        """What a definition without sums over heads is."""
        parts = {symbol.name: self.matrix(symbol, chosen) for symbol in atoms(definition)}
        return evaluate(definition, Values(self.scalars, parts), self.draw.arithmetic)

    def places(self, equation: Equation) -> Iterator[Values]:
        """Where a hypothesis holds: for every choice of the members that are free in it."""
        sides = (equation.left, equation.right)
        own = [family for family in self.counts if any(free(side, family) for side in sides)]
        for choice in combinations(*((None, *range(self.counts[family])) for family in own)):
            chosen = {family: i for family, i in zip(own, choice, strict=True) if i is not None}
            yield self.values({}).with_(self.values(chosen))


def picks(symbol: MatrixSymbol) -> bool:
    """Whether a matrix is the column of the identity that picks a member of its family."""
    return symbol.name == CHOSEN


def unit(n: int, arithmetic: Arithmetic) -> Array:
    return evaluate(eye(n), Values(), arithmetic)


def world(use: Use, draw: Draw) -> World:
    """Everything drawn that a use speaks of; a family has as many members as there are columns that pick them."""
    sides = [side for h in use.context.hypotheses for side in (h.left, h.right)]
    names = [names_in(term) for term in (use.before, use.after, *sides, *(term for pair in use.met for term in pair))]
    symbols, scalars, named = (set[Any]().union(*group) for group in zip(*names, strict=True))
    counts = {family: draw.count(family) for family in sorted(named)}
    values = drawn_scalars(scalars, draw)
    counts |= {path_of(u)[-1]: int(exact(u.rows, Values(values))) for u in symbols if picks(u)}
    layers = counts[LAYERS] if use.before.has(Stack) else 0
    found = tuple(order(layers, inserted(use.before), draw.rng))
    paths = {symbol: path_of(symbol) for symbol in sorted(symbols, key=str)}
    return World(draw, values, paths, counts, dict(use.met), found)


Names = tuple[frozenset[MatrixSymbol], frozenset[Symbol], frozenset[str]]


@lru_cache(maxsize=2000)
def names_in(term: Expr) -> Names:
    """The matrices of a term, its sizes and other scalars, and its families."""
    matrices = atoms(term)
    scalars = term.free_symbols.union(*(side.free_symbols for symbol in matrices for side in symbol.shape))
    plain = (symbol for symbol in scalars if isinstance(symbol, Symbol))
    return frozenset(matrices), frozenset(plain), frozenset(families(term).union(*map(path_of, matrices)))


def drawn_scalars(symbols: Iterable[Symbol], draw: Draw) -> dict[str, Expr]:
    """Sizes and other scalars (positive); a grown size, named like `n_hat`, exceeds the old one.

    A router keeps the two largest weights of a row.
    """
    found: dict[str, Expr] = {}
    for symbol in sorted(symbols, key=lambda symbol: (symbol.name.endswith("_hat"), symbol.name)):
        drawn = sympify(2 if draw.alike else int(draw.rng.integers(1, draw.largest + 1)))
        base = found.get(symbol.name.removesuffix("_hat"), 0) if symbol.name.endswith("_hat") else 0
        found[symbol.name] = drawn + base if symbol.is_integer else drawn / 4
    return found | {FIRST_ORDER.name: FIRST_ORDER, "top_k": sympify(2)}


def order(layers: int, extra: int, rng: np.random.Generator) -> list[int]:
    """The layers of the family with each inserted one somewhere between them."""
    found = [0] * layers
    for which in range(1, extra + 1):
        found.insert(int(rng.integers(len(found) + 1)), which)
    return found


def inserted(term: Expr) -> int:
    return max((len(stack.inserted) for stack in term.atoms(Stack)), default=0)


def both(use: Use, found: World, arithmetic: Arithmetic) -> Iterator[Array]:
    """The values before and after."""
    places = {0: 0, **{which: i for i, which in enumerate(use.kept, 1)}}
    kept = replace(found, order=tuple(places[which] for which in found.order if which in places))
    yield evaluate(use.before, found.values({}), arithmetic)
    yield evaluate(use.after, kept.values({}), arithmetic)


# ---------------------------------------------------------------- random numbers
# Floating-point numbers a + b t with t t = 0, as the kernel's first-order number asks: complex numbers with an
# imaginary part so small that its square is zero.

STEP = 1e-200  # its square is below the smallest number


def normal_distribution(x: Array) -> Array:
    """The probability that a standard normal number is below x, and its slope in the part b of x."""
    below = (1 + np.vectorize(erf, otypes=[float])(x.real / np.sqrt(2))) / 2
    return below + np.exp(-(x.real**2) / 2) / np.sqrt(2 * np.pi) * (x - x.real)


FUNCTIONS: Mapping[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.where(x.real > 0, x, 0),
    "gelu": lambda x: x * normal_distribution(x),
    "gelu_tanh": lambda x: x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2,
    "quick_gelu": lambda x: x / (1 + np.exp(-1.702 * x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "cos": np.cos,
}


def softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.real.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def number(exact_scalar: Expr) -> complex:
    parts = exact_scalar.subs(FIRST_ORDER, 0), exact_scalar.diff(FIRST_ORDER).subs(FIRST_ORDER, 0)
    return complex(float(parts[0]), STEP * float(parts[1]))


NUMBERS = Arithmetic(
    lru_cache(maxsize=2000)(number),
    lambda name, entries: FUNCTIONS[name](entries),
    softmax,
    lambda x: 1 / np.sqrt(x),
    lambda angles: (np.cos(angles), np.sin(angles)),
    np.dtype(complex),
)


def on_numbers(use: Use, how: Literal["numbers", "random"], rng: np.random.Generator, alike: bool = False) -> Seen:
    """One evaluation before and after, with random entries and random sizes, or sizes that are all alike."""

    def entries(name: str, rows: int, columns: int) -> Array:
        return rng.standard_normal((rows, columns)) + STEP * 1j * rng.standard_normal((rows, columns))

    def selections(name: str, rows: int, columns: int) -> Array:
        return unit(rows, NUMBERS)[:, rng.integers(rows, size=columns)]

    def count(family: str) -> int:
        return int(rng.integers(1, 4))

    try:
        with np.errstate(all="ignore"):
            found = world(use, Draw(rng, 3, alike, count, entries, selections, NUMBERS))
            check_hypotheses(use, found)
            before, after = both(use, found, NUMBERS)
    except FAULTS as error:
        return Seen(use.rule, how, "wrong", f"{use}, which has no value: {type(error).__name__}: {error}")
    if not np.isfinite(before).all():
        return Seen(use.rule, how, "no value")
    if before.shape != after.shape:
        return Seen(use.rule, how, "wrong", f"{use}, of shape {after.shape} instead of {before.shape}")
    if off(before, after) <= ROUNDING:  # never so where one of them is not a number
        return Seen(use.rule, how, "equal")
    sizes = ", ".join(f"{name} = {number}" for name, number in found.scalars.items())
    return Seen(use.rule, how, "wrong", f"{use}, which is off by {off(before, after):.2g} at {sizes}")


def off(before: Array, after: Array) -> float:
    """The largest difference of an entry or of its slope, relative to the largest of them where that exceeds 1."""
    pairs = (before.real, after.real), (before.imag / STEP, after.imag / STEP)
    return max(float(np.abs(a - b).max() / max(1.0, np.abs(a).max())) for a, b in pairs)


def check_hypotheses(use: Use, found: World) -> None:
    """Raises ValueError where a hypothesis does not hold: the sample would show nothing."""
    for equation in use.context.hypotheses:
        for place in found.places(equation):
            if not off(*(evaluate(side, place, NUMBERS) for side in (equation.left, equation.right))) <= ROUNDING:
                raise ValueError(f"the values do not meet {text(equation.left)} = {text(equation.right)}")


# ---------------------------------------------------------------- z3


def by_z3(rule: str, seed: int) -> Iterator[Seen]:
    """Each sample for all matrices of some size: all sizes 2, or some of them 1 where that is too hard for z3."""
    rng = np.random.default_rng(seed)
    for sample in (sample for sample in SAMPLES if sample.rule == rule):
        try:
            use = used(sample)
            if use is not None and known_to_z3(use.before):
                yield asked(use, rng)
        except FAULTS as error:
            yield Seen(rule, "z3", "wrong", ran_into(error, sample.term))


def known_to_z3(term: MatrixExpr) -> bool:
    """Whether a term has neither the first-order number nor weights that are cut."""
    return FIRST_ORDER not in term.free_symbols and all(node.mask != "kept" for node in term.atoms(Softmax))


def asked(use: Use, rng: np.random.Generator) -> Seen:
    for alike in (True, False):
        verdict = solver.ask(query(use, rng, alike), WORK).verdict
        if verdict == "sat":
            return Seen(use.rule, "z3", "wrong", f"{use}, and z3 has numbers for which they differ")
        if verdict == "unsat":
            return Seen(use.rule, "z3", "equal")
    return Seen(use.rule, "z3", "unknown")


def few(family: str) -> int:
    """Two heads and two layers, and another number of groups."""
    return 3 if family == GROUPS else 2


def query(use: Use, rng: np.random.Generator, alike: bool) -> solver.Query:
    """Are there matrices that meet the hypotheses and have another value after than before?"""
    facts: list[z3.BoolRef] = []
    arithmetic = solver.arithmetic(facts)

    def selections(name: str, rows: int, columns: int) -> Array:
        made = solver.matrix(name, rows, columns)
        facts.extend(solver.selects(made))
        return made

    found = world(replace(use, met=()), Draw(rng, 2, alike, few, solver.matrix, selections, arithmetic))
    hypotheses = [
        solver.equal(*(evaluate(side, place, arithmetic) for side in (equation.left, equation.right)))
        for equation in use.context.hypotheses
        for place in found.places(equation)
    ]
    before, after = both(use, found, arithmetic)
    return solver.Query(use.rule, (*hypotheses, solver.differ(before, after), *facts))
