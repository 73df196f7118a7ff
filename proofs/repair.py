"""The smallest repairs of a variant that changes the function: a few edits of its text, found by numbers, then proved.

The edits are few and know nothing of any expansion: new blocks that become zero; a scalar of the architecture that
follows a growing size, or stays as it was; a factor that is dropped, changed, or put on a parameter, on a gain as the
architecture stores it.  The factors are those that the variant has, and powers of how much a size grows.  An edit that
leaves nothing of the variant mends everything, and is none.

On an architecture that breaks the variant, what breaks it comes back one feature after the other and is mended, so
every search is short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import combinations, islice
from math import isqrt

from sympy import Expr

from ..symbolic.architecture import FOLLOWING, PARAMETERS, SCALARS, Transformer, has_scalar, paper_model, parameters
from ..symbolic.elaborate import Scope, elaborate
from ..symbolic.errors import NOWHERE, VariantError
from ..symbolic.expand import Expansion, expand
from ..symbolic.preset import Preset
from ..symbolic.syntax import BinaryOp, Call, Expression, Name, Number, children, names, show
from ..symbolic.terms import MatrixSymbol, Symbol, zero
from ..symbolic.variant import PARAMETERS as PARAMETER_NAMES
from ..symbolic.variant import Constraint, Variant, loads
from ..symbolic.writing import fitted, replaced, text_of
from .check import Claim, claim_of, claim_shell
from .copies import two_copies
from .counterexample import Instance
from .features import (
    as_in_the_paper,
    breaking,
    different,
    in_words,
    irreducible,
    random_instance,
    same_output,
    seems_to_hold,
)
from .goals import prove_growth
from .prover import STRATEGIES
from .rules import simplified

TRIES = 160  # edited variants that are tried on numbers
FEW_TRIES = 40  # where the model is larger than the paper's
MOST_EDITS = 2  # for one feature, beside new blocks that become zero
INSTANCES = 3  # of one, all new units may be dead
LOOKS = 32  # sets of new blocks among which every smallest set of zeros is looked for
PROOFS = 3  # repairs that are put to the prover
ZERO, ONE = Number(Fraction(0)), Number(Fraction(1))

Edit = Mapping[str, Expression]  # what names become: parameters and scalars are rewritten, new blocks constrained
Factor = tuple[str, Expression]  # the size whose growth it follows ("": the variant's own), and the factor

GAINS: Mapping[str, str] = {q.name: q.columns for q in PARAMETERS if q.name.startswith("g_")}


@dataclass(frozen=True)
class Repair:
    """A repaired variant, read from the text that a user can save; what it changes; and its claim, which is proved."""

    variant: Variant
    changes: tuple[str, ...]
    claim: Claim

    @property
    def change(self) -> str:
        return ", ".join(self.changes)


@dataclass(frozen=True)
class Offer:
    """What `check` offers for a refuted variant: the features of the architecture that break it, and repairs."""

    features: tuple[str, ...]
    repairs: tuple[Repair, ...]


def offer(variant: Variant, preset: Preset, seed: int = 0) -> Offer:
    """The smallest repairs, each proved: as few edits as possible, every smallest set of zeros beside them.

    What several features break takes longer to mend; `repair` does that.
    """
    features = breaking(variant, preset, seed) if different(preset) else ()
    words = tuple(in_words(preset, option) for option in features)
    tries = iter(range(TRIES if not different(preset) else FEW_TRIES))
    for level in levels(fitted(variant, preset), preset, tries, seed) if len(features) < 2 else ():
        found = (repaired(variant, preset, edit, seed) for edit in sorted(level, key=len)[:PROOFS])
        repairs = tuple(one for one in found if one is not None)
        if repairs:
            return Offer(words, repairs)
    return Offer(words, ())


def repair(variant: Variant, preset: Preset, features: Sequence[str], seed: int = 0) -> Repair | None:
    """The smallest repair that the edits reach, or else two copies of the stream, proved; None where neither is.

    `features` are the options that break the variant, in the order in which they are mended.
    """
    edits = islice(candidates(variant, preset, features, seed), PROOFS)
    found = (repaired(variant, preset, edit, seed) for edit in edits)
    return next((one for one in found if one is not None), None) or copied(variant, preset, seed)


def repaired(variant: Variant, preset: Preset, edit: Edit, seed: int) -> Repair | None:
    """The variant with an edit, read from its text; None where it is not proved, or numbers see a change."""
    named = replace(variant, name=f"{variant.name}, repaired for {preset.name}", architecture=preset.name)
    try:
        saved = loads(text_of(fitted(edited(named, edit), preset), edit), f"repaired-{preset.name}.toml")
    except VariantError:  # the text is too long for a file
        return None
    there = [name for name in edit if name in saved.rewrite or name in saved.new]
    return proved(saved, preset, [f"{name} = {show(edit[name])}" for name in there], seed)


def copied(variant: Variant, preset: Preset, seed: int) -> Repair | None:
    """Two copies of the stream instead."""
    saved = two_copies(variant, preset)
    changes = ("h = 2*h", "the stream is [X, X] instead of [X, 0]: every parameter in two parts")
    return None if saved is None else proved(saved, preset, changes, seed)


def proved(saved: Variant, preset: Preset, changes: Sequence[str], seed: int) -> Repair | None:
    """A repair is offered when the kernel proves it and random numbers see no change."""
    claim = claim_of([saved], paper_model(preset))
    holds = claim.theorem is not None and seems_to_hold(saved, preset, seed)
    return Repair(saved, tuple(changes), claim) if holds else None


# ---------------------------------------------------------------- the search


def candidates(variant: Variant, preset: Preset, features: Sequence[str], seed: int) -> Iterator[Edit]:
    """Edits with which numbers see no change: one feature after the other comes back, and is mended."""
    stages = [as_in_the_paper(preset, features[i + 1 :]) for i in range(len(features))] or [preset]
    tries, start = iter(range(TRIES)), fitted(variant, *stages)

    def mended(done: Edit, stages: Sequence[Preset]) -> Iterator[Edit]:
        if not stages:
            yield done
            return
        for level in levels(edited(start, done), stages[0], tries, seed):
            for more in level:
                yield from mended({**done, **more}, stages[1:])

    return mended({}, stages)


def levels(variant: Variant, preset: Preset, tries: Iterator[int], seed: int) -> Iterator[Iterator[Edit]]:
    """The edits with which numbers see no change: no edit beside zeros, one, two; every smallest set of zeros each."""
    base = paper_model(preset)
    step = expanded(base, variant)
    if step is None:  # it does not fit the architecture with some options as in the paper
        return
    free = [name for name in free_blocks(variant, preset) if numbers(step, [name], seed) is not None]
    read = suspects(variant, base)
    pool = distinct(edit for edit in edits(variant, step) if read is None or read & set(edit))

    def level(count: int) -> Iterator[Edit]:
        for chosen in combinations(pool, count):
            edit = {name: tree for one in chosen for name, tree in one.items()}
            if len(edit) < sum(map(len, chosen)):  # two of them about one name
                continue
            if next(tries, None) is None:
                return
            changed = expanded(base, edited(variant, edit))
            if changed is not None and not (edit and leaves_alone(changed)):
                for zeros in smallest_sets(free, partial(agree, changed, seed=seed)):
                    yield {**edit, **dict.fromkeys(zeros, ZERO)}

    yield from map(level, range(MOST_EDITS + 1))


def distinct(edits: Iterable[Edit]) -> list[Edit]:
    """Each edit once."""
    return list({frozenset(edit.items()): edit for edit in edits}.values())


def suspects(variant: Variant, base: Transformer) -> frozenset[str] | None:
    """The parameters and scalars of the first open goals, those that use no other open one; None without a stream map.

    Only computing with blocks is tried: what is hard is open too, and the names are a few more.
    """
    claim = claim_shell([variant], base).growth
    if claim is None:
        return None
    still = [proved.goal for proved in prove_growth(claim, STRATEGIES[:2]) if proved.theorem is None]
    names = {goal.name for goal in still}
    sides = [side for goal in still if not names & set(goal.uses) for side in (goal.left, goal.right)]
    return frozenset(symbol.name for side in sides for symbol in side.atoms(MatrixSymbol, Symbol))


def expanded(base: Transformer, variant: Variant) -> Expansion | None:
    """The variant applied to a model; None where it does not fit."""
    try:
        return expand(base, variant)
    except VariantError:
        return None


def leaves_alone(step: Expansion) -> bool:
    """Whether a model is what it was before a variant, every matrix and scalar of it."""
    return replace(step.new, sizes=step.old.sizes) == step.old


def agree(step: Expansion, zeros: Sequence[str], seed: int) -> bool:
    """Whether random numbers see no change with some new blocks zero; False where these cannot be."""
    instances = (numbers(step, zeros, seed + i) for i in range(INSTANCES))
    return all(instance is not None and same_output(step, instance) for instance in instances)


def numbers(step: Expansion, zeros: Sequence[str], seed: int) -> Instance | None:
    """A random model with new blocks of which some are zero; None where no others are found."""
    pairs = ((block.symbol, zero(*block.symbol.shape)) for block in step.blocks if block.name in zeros)
    return random_instance(replace(step, constraints=(*step.constraints, *pairs)), seed)


def smallest_sets(items: Sequence[str], holds: Callable[[Sequence[str]], bool]) -> list[tuple[str, ...]]:
    """Every smallest set with which something holds that stays true as sets grow.

    Another smallest set lacks some element of each that is known; so every one of these is left out in turn.

    >>> smallest_sets("abcd", lambda chosen: "c" in chosen or {"a", "b"} <= set(chosen))
    [('c',), ('a', 'b')]
    """
    found: list[tuple[str, ...]] = []
    waiting: list[frozenset[str]] = [frozenset()]  # what is left out
    for _ in range(LOOKS):
        if not waiting:
            break
        out = waiting.pop(0)
        known = next((one for one in found if not out & set(one)), None)
        if known is None:
            rest = [item for item in items if item not in out]
            if not holds(rest):
                continue
            known = tuple(irreducible(rest, holds))
            found.append(known)
        waiting += [out | {item} for item in known if out | {item} not in waiting]
    return sorted(found, key=len)


# ---------------------------------------------------------------- the vocabulary


def edits(variant: Variant, step: Expansion) -> Iterator[Edit]:
    """Every single edit that means something in this architecture, the likeliest first; zeros come on their own."""
    preset = step.old.preset
    own = [name for name in SCALARS if has_scalar(name, preset)]
    here = {name: tree for name, tree in variant.rewrite.items() if name in parameters(preset)}
    scaled = {name: factor for name in here if (factor := factor_in(variant, name)) is not None}
    bare = {
        name: replaced(tree, product(scaled[name], name), Name(name)) for name, tree in here.items() if name in scaled
    }
    for factor in dict.fromkeys(scaled.values()):
        alike = [name for name in scaled if scaled[name] == factor]
        yield {name: bare[name] for name in alike}
        if preset["norm_gain"] != "g" and (gains := [name for name in alike if name in GAINS]):
            yield {name: times(factor, bare[name], name, preset) for name in gains}
        if len(list(maps(alike))) > 1:
            yield from ({name: bare[name] for name in together} for together in maps(alike))
    plain = {name: bare.get(name, tree) for name, tree in here.items() if Name(name) in names(tree)}
    for size, factor in factors(variant, step):
        able = [name for name in plain if scaled.get(name) != factor and size in ("", *sides(name, preset))]
        for together in dict.fromkeys((*groups(variant, plain, able, preset), *maps(able))):
            yield {name: times(factor, plain[name], name, preset) for name in together}
    for size in variant.grows:
        yield from ({name: multiplied(Name(name), inverse(growth(step, size)))} for name in own)
        yield from ({name: BinaryOp("^", Name(name), growth(step, size))} for name in own)
    kept = [name for name in here if not {*sides(name, preset)} & {*variant.grows}]
    kept += [name for name in own if name in FOLLOWING or name in variant.rewrite]
    yield from ({name: Name(name)} for name in kept if variant.rewrite.get(name) != Name(name))


def maps(parameters: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The parameters one by one, but the matrix of an affine map together with its bias.

    >>> list(maps(["W_Q", "g_Q", "b_Q", "b_K"]))
    [('W_Q', 'b_Q'), ('g_Q',), ('b_K',)]
    """
    bias = {f"W_{name[2:]}": name for name in parameters if name.startswith("b_")}
    taken = {bias[name] for name in parameters if name in bias}
    for name in parameters:
        if name not in taken:
            yield (name, bias[name]) if name in bias else (name,)


def groups(
    variant: Variant, trees: Mapping[str, Expression], able: Sequence[str], preset: Preset
) -> Iterator[tuple[str, ...]]:
    """Parameters that are rewritten alike and grow in the same sides, or are of one kind, shape and scope."""
    known = parameters(preset)

    def pattern(name: str) -> Expression:
        tree = replaced(trees[name], Name(name), Name("@"))
        for block in variant.new:
            tree = replaced(tree, Name(block), Name("*"))
        return tree

    def growing(name: str) -> object:
        return known[name].rows in variant.grows, known[name].columns in variant.grows

    def shape(name: str) -> object:
        return known[name].rows, known[name].columns, known[name].scope, name.partition("_")[0]

    for kind in (growing, shape):
        found: dict[object, list[str]] = {}
        for name in able:
            found.setdefault((pattern(name), kind(name)), []).append(name)
        yield from (tuple(alike) for alike in found.values() if len(alike) > 1)


def sides(name: str, preset: Preset) -> tuple[str, str]:
    """The sizes of a parameter."""
    parameter = parameters(preset)[name]
    return parameter.rows, parameter.columns


def times(factor: Expression, tree: Expression, name: str, preset: Preset) -> Expression:
    """The rewrite of a parameter with a factor on the old one; of a gain 1 + g it is c*(1 + g) - 1 that is stored."""
    if name not in GAINS or preset["norm_gain"] == "g":
        return replaced(tree, Name(name), product(factor, name))
    ones = Call("ones", (ONE, Name(GAINS[name])))
    whole = BinaryOp("*", factor, BinaryOp("+", ones, Name(name)))
    return replaced(tree, Name(name), BinaryOp("-", whole, ones))


def product(factor: Expression, name: str) -> Expression:
    return BinaryOp("*", factor, Name(name))


# ---------------------------------------------------------------- factors


def factors(variant: Variant, step: Expansion) -> Iterator[Factor]:
    """The different factors of a variant; for each size that grows the root of its growth, the growth; their inverses.

    Each comes once, however it is written.
    """
    own = [factor for name in variant.rewrite if (factor := factor_in(variant, name)) is not None]
    powers = [(size, power) for size in variant.grows for power in (root(step, size), growth(step, size))]
    known: set[tuple[str, Expr | Expression]] = set()
    for size, factor in (*(("", factor) for factor in own), *powers):
        for either in (factor, inverse(factor)):
            value = value_of(either, step)
            if not {("", value), (size, value)} & known:
                known.add((size, value))
                yield size, either


def growth(step: Expansion, size: str) -> Expression:
    """How much a size grows: a number where it is one, else grown/old."""
    ratio = simplified(step.new.sizes[size] / step.old.sizes[size])
    if not ratio.is_Rational:
        return BinaryOp("/", Name(f"{size}_hat"), Name(size))
    return quotient(Number(Fraction(int(ratio.p))), Number(Fraction(int(ratio.q))))


def root(step: Expansion, size: str) -> Expression:
    """The square root of how much a size grows."""

    def of(tree: Expression) -> Expression:
        whole = isqrt(int(tree.value)) if isinstance(tree, Number) else 0
        return Number(Fraction(whole)) if tree == Number(Fraction(whole * whole)) else Call("sqrt", (tree,))

    match growth(step, size):
        case BinaryOp("/", above, below):
            return quotient(of(above), of(below))
        case number:
            return of(number)


def inverse(factor: Expression) -> Expression:
    match factor:
        case BinaryOp("/", above, below):
            return quotient(below, above)
        case _:
            return quotient(ONE, factor)


def quotient(above: Expression, below: Expression) -> Expression:
    return above if below == ONE else BinaryOp("/", above, below)


def multiplied(tree: Expression, factor: Expression) -> Expression:
    """A scalar times a factor, without needless brackets."""
    match factor:
        case BinaryOp("/", above, below):
            return BinaryOp("/", tree if above == ONE else BinaryOp("*", tree, above), below)
        case _:
            return BinaryOp("*", tree, factor)


def value_of(factor: Expression, step: Expansion) -> Expr | Expression:
    """What a factor is, whatever way it is written; the tree itself where it speaks of more than the model's sizes."""
    sizes = dict(step.old.sizes) | {f"{name}_hat": size for name, size in step.new.sizes.items()}
    try:
        return elaborate(factor, Scope(sizes, step.above, step.old.preset.act), None)
    except VariantError:
        return factor


def factor_in(variant: Variant, name: str) -> Expression | None:
    """The factor, made of sizes alone, on an old parameter in its rewrite."""

    def within(tree: Expression) -> Expression | None:
        match tree:
            case BinaryOp("*", factor, Name(own)) if own == name and made_of_sizes(factor):
                return factor
        return next((found for part in children(tree) if (found := within(part)) is not None), None)

    def made_of_sizes(tree: Expression) -> bool:
        return not any(one.name in variant.new or one.name in PARAMETER_NAMES for one in names(tree))

    return within(variant.rewrite[name])


def free_blocks(variant: Variant, preset: Preset) -> tuple[str, ...]:
    """The new blocks that this architecture has and about which no equation speaks by themselves."""
    bound = {constraint.left.name for constraint in variant.constraints if isinstance(constraint.left, Name)}
    return tuple(name for name in fitted(variant, preset).new if name not in bound)


def edited(variant: Variant, edit: Edit) -> Variant:
    """The variant with names that become something else; its text is that of before."""
    rewrites = {name: tree for name, tree in edit.items() if name not in variant.new}
    equations = (Constraint(Name(name), tree, NOWHERE) for name, tree in edit.items() if name in variant.new)
    return replace(variant, rewrite={**variant.rewrite, **rewrites}, constraints=(*variant.constraints, *equations))
