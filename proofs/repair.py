"""The smallest repair of a variant that an architecture breaks: a few edits of its text, found by numbers, then proved.

The edits are few and know nothing of any expansion: one more new block is zero; a scalar of the architecture follows
the grown size, or stays as it was; a factor is dropped, or put on another parameter, on a gain as the architecture
stores it.  What breaks the variant comes back one feature after the other and is mended, so every search is short.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations, islice

from ..symbolic.architecture import PARAMETERS, has_scalar, paper_model, parameters
from ..symbolic.errors import NOWHERE, VariantError
from ..symbolic.expand import expand
from ..symbolic.preset import Preset
from ..symbolic.syntax import BinaryOp, Call, Expression, Name, Number, children, names, parse, show
from ..symbolic.variant import PARAMETERS as PARAMETER_NAMES
from ..symbolic.variant import Constraint, Variant, loads
from ..symbolic.writing import fitted, replaced, text_of
from .check import Claim, claim_of
from .copies import two_copies
from .features import as_in_the_paper, irreducible, random_instance, same_output, seems_to_hold

TRIES = 80  # edited variants that are tried on numbers
MOST_EDITS = 3  # for one feature, beside new blocks that become zero
PROOFS = 3  # repairs that are put to the prover
ZERO, ONE = Number(Fraction(0)), Number(Fraction(1))

Edit = Mapping[str, Expression]  # what names become: parameters and scalars are rewritten, new blocks constrained

SCALARS: Mapping[str, tuple[str, str]] = {
    "eps": ("h", "eps*h/h_hat"),
    "eps_qk": ("k", "eps_qk*k/k_hat"),
    "rope_base": ("k", "rope_base^(k_hat/k)"),
    "embed_scale": ("h", "embed_scale"),
    "logit_scale": ("h", "logit_scale"),
}
"""What undoes the effect of a growing size on a scalar: the size, and the scalar's rewrite."""

GAINS: Mapping[str, str] = {q.name: q.columns for q in PARAMETERS if q.name.startswith("g_")}


@dataclass(frozen=True)
class Repair:
    """A repaired variant, read from the text that a user can save; what it changes; and its claim, which is proved."""

    variant: Variant
    changes: tuple[str, ...]
    claim: Claim


def repair(variant: Variant, preset: Preset, features: Sequence[str], seed: int = 0) -> Repair | None:
    """The smallest repair that the edits reach, or else two copies of the stream, proved; None where neither is.

    `features` are the options that break the variant, in the order in which they are mended.
    """
    named = replace(variant, name=f"{variant.name}, repaired for {preset.name}", architecture=preset.name)
    for edit in islice(candidates(variant, preset, features, seed), PROOFS):
        saved = loads(text_of(fitted(edited(named, edit), preset), edit), f"repaired-{preset.name}.toml")
        claim = claim_of([saved], paper_model(preset))
        if claim.theorem is not None and seems_to_hold(saved, preset, seed):
            there = (name for name in edit if name in saved.rewrite or name in saved.new)
            return Repair(saved, tuple(f"{name} = {show(edit[name])}" for name in there), claim)
    copied = two_copies(variant, preset)
    if copied is None:
        return None
    claim = claim_of([copied], paper_model(preset))
    changes = ("h = 2*h", "the stream is [X, X] instead of [X, 0]: every parameter in two parts")
    proved = claim.theorem is not None and seems_to_hold(copied, preset, seed)
    return Repair(copied, changes, claim) if proved else None


# ---------------------------------------------------------------- the search


def candidates(variant: Variant, preset: Preset, features: Sequence[str], seed: int) -> Iterator[Edit]:
    """Edits with which numbers see no change: one feature after the other comes back, and is mended."""
    stages = [as_in_the_paper(preset, features[i + 1 :]) for i in range(len(features))] or [preset]
    factors, tries = factors_in(variant), iter(range(TRIES))
    variant = fitted(variant, *stages)

    def mended(done: Edit, stages: Sequence[Preset]) -> Iterator[Edit]:
        if not stages:
            yield done
            return
        for more in smallest(edited(variant, done), stages[0], factors, tries, seed):
            yield from mended({**done, **more}, stages[1:])

    return mended({}, stages)


def smallest(
    variant: Variant, preset: Preset, factors: Iterable[Expression], tries: Iterator[int], seed: int
) -> Iterator[Edit]:
    """As few edits as possible, and as few zeros beside them, with which numbers see no change."""
    zeros = dict.fromkeys(free_blocks(variant, preset), ZERO)
    pool, base = list(edits(variant, preset, factors)), paper_model(preset)
    try:
        instance = random_instance(expand(base, edited(variant, zeros)), seed)
    except VariantError:  # it does not fit the architecture with some options as in the paper
        return
    for chosen in (chosen for count in range(MOST_EDITS + 1) for chosen in combinations(pool, count)):
        edit = {name: tree for one in chosen for name, tree in one.items()}
        if instance is None or len(edit) < sum(map(len, chosen)):  # two of them about one name
            continue
        if next(tries, None) is None:
            return
        if same_output(expand(base, edited(variant, {**edit, **zeros})), instance):
            kept = needed_zeros(edited(variant, edit), list(zeros), preset, seed)
            yield {**edit, **dict.fromkeys(kept, ZERO)}


def needed_zeros(variant: Variant, blocks: Sequence[str], preset: Preset, seed: int) -> Sequence[str]:
    """Which of some blocks must be zero, if all of them suffice: none, else one, else as few as are needed."""

    def holds(zeros: Sequence[str]) -> bool:
        return seems_to_hold(edited(variant, dict.fromkeys(zeros, ZERO)), preset, seed)

    few = next(filter(holds, ([], *([block] for block in blocks))), None)
    return irreducible(blocks, holds) if few is None else few


# ---------------------------------------------------------------- the vocabulary


def edits(variant: Variant, preset: Preset, factors: Iterable[Expression]) -> Iterator[Edit]:
    """Every single edit that means something in this architecture, the likeliest first; zeros come on their own."""
    for name, (size, text) in SCALARS.items():
        if size in variant.grows and has_scalar(name, preset) and name not in variant.rewrite:
            yield {name: parse(text)}
    here = {name: tree for name, tree in variant.rewrite.items() if name in parameters(preset)}
    scaled = {name: factor for name in here if (factor := factor_in(variant, name)) is not None}
    bare = {name: replaced(here[name], BinaryOp("*", scaled[name], Name(name)), Name(name)) for name in scaled}
    for factor in dict.fromkeys(scaled.values()):
        alike = [name for name in scaled if scaled[name] == factor]
        yield {name: bare[name] for name in alike}
        if preset["norm_gain"] != "g" and (gains := [name for name in alike if name in GAINS]):
            yield {name: times(factor, bare[name], name, preset) for name in gains}
        if len(list(maps(alike))) > 1:
            yield from ({name: bare[name] for name in together} for together in maps(alike))
    for either in (either for factor in factors for either in (factor, inverse(factor))):
        kept = [name for name, tree in here.items() if name not in scaled and Name(name) in names(tree)]
        yield from ({name: times(either, here[name], name, preset) for name in together} for together in maps(kept))


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


def times(factor: Expression, tree: Expression, name: str, preset: Preset) -> Expression:
    """The rewrite of a parameter with a factor on the old one; of a gain 1 + g it is c*(1 + g) - 1 that is stored."""
    if name not in GAINS or preset["norm_gain"] == "g":
        return replaced(tree, Name(name), BinaryOp("*", factor, Name(name)))
    ones = Call("ones", (ONE, Name(GAINS[name])))
    whole = BinaryOp("*", factor, BinaryOp("+", ones, Name(name)))
    return replaced(tree, Name(name), BinaryOp("-", whole, ones))


def inverse(factor: Expression) -> Expression:
    if isinstance(factor, BinaryOp) and factor.operator == "/":
        return BinaryOp("/", factor.right, factor.left)
    return BinaryOp("/", ONE, factor)


def factors_in(variant: Variant) -> tuple[Expression, ...]:
    """The different factors that a variant puts on old parameters; where it has none, the roots of what grows."""
    found = [factor_in(variant, name) for name in variant.rewrite]
    roots = [parse(f"sqrt({size}_hat)/sqrt({size})") for size in variant.grows]
    return tuple(dict.fromkeys([factor for factor in found if factor is not None] or roots))


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
