"""Check a variant or a chain of them: proved, refuted with numbers, or exactly what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..symbolic.architecture import FOLLOWING, PRESETS, Preset, Transformer, paper_model
from ..symbolic.errors import VariantError
from ..symbolic.expand import Expansion, expand
from ..symbolic.notation import text
from ..symbolic.syntax import nearest, parse
from ..symbolic.terms import Expr
from ..symbolic.variant import Variant
from .admissible import sizes_exist, solution
from .counterexample import Counterexample, find
from .goals import Growth, Proved, growth, prove_growth
from .kernel import Composition, Equation, Theorem, compose
from .unknowns import filled, solutions, unknowns
from .whatever import find_whatever

Verdict = Literal["proved", "refuted", "undecided"]
Search = Callable[[Sequence[Expansion], int], Counterexample | None]
DIRECT_LIMIT = 8  # longer chains are proved by transitivity only


@dataclass(frozen=True)
class Claim:
    """One or several variants applied one after the other, as one claim, with its goals' derivations."""

    variants: tuple[Variant, ...]
    steps: tuple[Expansion, ...]
    growth: Growth | None  # None: no stream map fits
    goals: tuple[Proved, ...]
    admissible: bool

    @property
    def theorem(self) -> Theorem | None:
        """The theorem about the whole model, if every goal is proved and the constraints can be met."""
        return self.goals[-1].theorem if self.goals and self.admissible else None

    @property
    def step_count(self) -> int:
        return sum(len(g.derivation.left_steps) + len(g.derivation.right_steps) for g in self.goals)


@dataclass(frozen=True)
class Answer:
    """What is known about a chain of variants on one architecture."""

    variants: tuple[Variant, ...]
    preset: Preset
    verdict: Verdict
    parts: tuple[Claim, ...]  # each variant by itself, in order
    direct: Claim | None  # the chain as one claim; None for a single variant or a long chain
    composition: Composition | None
    counterexample: Counterexample | None
    steps: tuple[Expansion, ...]  # the chain, each variant applied to what the ones before it made
    given: tuple[Variant, ...]  # as they were given, with unknown scalars
    solved: Mapping[str, Expr]  # the unknown scalars

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The different claims that the answer rests on."""
        return distinct(self.parts, self.direct)

    @property
    def open_goals(self) -> tuple[Proved, ...]:
        """The goals that were not proved: of the chain as a whole if that was tried, else of its parts."""
        return open_goals([self.direct] if self.direct is not None else self.parts)

    @property
    def residual(self) -> tuple[tuple[Expr, Expr], ...]:
        """The equations that remain: what computing made of both sides of the open goals."""
        return residual(self.open_goals)


def distinct(parts: Sequence[Claim], direct: Claim | None) -> tuple[Claim, ...]:
    """The different claims of a chain: one for each different variant, and one about the whole if there is one."""
    of_each = {claim.variants[0].sha256: claim for claim in parts}
    return (*of_each.values(), *([direct] if direct is not None else []))


def open_goals(claims: Iterable[Claim]) -> tuple[Proved, ...]:
    """The goals of some claims that were not proved."""
    return tuple(goal for claim in claims for goal in claim.goals if goal.theorem is None)


def residual(goals: Sequence[Proved]) -> tuple[tuple[Expr, Expr], ...]:
    """What computing made of both sides of open goals.

    A goal whose lemma is open, or that is put together from open parts, says nothing new.
    """
    names = {goal.goal.name for goal in goals}
    first = [goal.derivation.residual for goal in goals if not names & set(goal.goal.uses)]
    return tuple(dict.fromkeys(ends for ends in first if ends is not None))


def check(variants: Sequence[Variant], preset: Preset, seed: int = 0, search: Search | None = None) -> Answer:
    """Prove a chain of variants (one is a chain too), or refute it, or say what is open.

    `search` looks for the counterexample, `find` where none is given.
    Raises VariantError for what cannot be used.
    """
    base, given = paper_model(preset), tuple(variants)
    variants, solved = with_solutions(given, base)
    by_text = {variant.sha256: claim_of([variant], base) for variant in reversed(variants)}
    parts = tuple(by_text[variant.sha256] for variant in variants)
    direct = (
        claim_of(variants, base) if 1 < len(variants) <= DIRECT_LIMIT and not copies_a_new_layer(variants) else None
    )
    steps = chain(variants, base)
    composition = composed(parts, steps)
    if composition is not None or (direct is not None and direct.theorem is not None):
        return Answer(variants, preset, "proved", parts, direct, composition, None, steps, given, solved)
    for claim in distinct(parts, direct):
        refuse_vacuous(claim)
    found = searched(variants, parts, base, seed, search or find)
    verdict: Verdict = "refuted" if found is not None else "undecided"
    return Answer(variants, preset, verdict, parts, direct, None, found, steps, given, solved)


def searched(
    variants: Sequence[Variant], parts: Sequence[Claim], base: Transformer, seed: int, search: Search
) -> Counterexample | None:
    """A counterexample to a chain; with unknown scalars in it, one whatever they are, to a single variant only."""
    if not any(map(unknowns, variants)):
        return search([claim.steps[0] for claim in parts], seed)
    return find_whatever(variants[0], base, seed) if len(variants) == 1 else None


def with_solutions(variants: Sequence[Variant], base: Transformer) -> tuple[tuple[Variant, ...], dict[str, Expr]]:
    """The variants with their unknown scalars solved for, each by itself, where a solution is found and proved."""
    found: list[Variant] = []
    solved: dict[str, Expr] = {}
    for variant in variants:
        names = unknowns(variant)
        equations = residual(open_goals([claim_of([variant], base)])) if names else ()
        for values in solutions(names, equations) if names else ():
            tried = filled(variant, {name: parse(text(value)) for name, value in values.items()})
            if is_proved(tried, base):
                where = "" if len(variants) == 1 else f" in {variant.name}"
                variant, solved = tried, {**solved, **{f"{name}{where}": value for name, value in values.items()}}
                break
        found.append(variant)
    return tuple(found), solved


def is_proved(variant: Variant, base: Transformer) -> bool:
    """Whether a variant with some numbers in it is proved; with those that not all sizes allow it is not."""
    try:
        return claim_of([variant], base).theorem is not None
    except VariantError:
        return False


def solved_for(variant: Variant, preset: Preset) -> Variant:
    """A variant with its unknown scalars solved for.  Raises VariantError where that does not succeed."""
    (found,), _ = with_solutions([variant], paper_model(preset))
    for name in unknowns(found):
        what = "an unknown scalar could not be solved for"
        raise VariantError(what, variant.file, found=f"?{name}", expected="a value for it; see what `check` says")
    return found


def copies_a_new_layer(variants: Sequence[Variant]) -> bool:
    """Whether the layer that is copied may be one that the chain adds; then only transitivity speaks of every place."""
    added = [variant.added_layer for variant in variants if variant.added_layer is not None]
    return any(layer.copy is not None for layer in added[1:])


def composed(parts: Sequence[Claim], steps: Sequence[Expansion]) -> Composition | None:
    """By transitivity: if each variant preserves every model of the architecture, so does their chain.

    None where a variant that is not the last makes a model of another architecture, one with a score factor of its
    own, and where no sizes are whole in every step of the chain.
    """
    if any(claim.steps[0].new.has_own_scale for claim in parts[:-1]) or not sizes_exist(steps):
        return None
    theorems = [claim.theorem for claim in parts]
    proved = [theorem for theorem in theorems if theorem is not None]
    return compose(proved) if len(proved) == len(theorems) else None


def claim_of(variants: Sequence[Variant], base: Transformer) -> Claim:
    """The claim of a chain about the plain model, with the derivations that the prover finds."""
    return derived(claim_shell(variants, base))


def derived(claim: Claim) -> Claim:
    """The claim with the derivations that the prover finds."""
    return replace(claim, goals=prove_growth(claim.growth)) if claim.growth is not None else claim


def claim_shell(variants: Sequence[Variant], base: Transformer) -> Claim:
    """The claim of a chain about the plain model, nothing proved yet.  Raises VariantError as `check` does."""
    return claim_about(variants, chain(variants, base))


def chain(variants: Sequence[Variant], base: Transformer) -> tuple[Expansion, ...]:
    """Each variant applied to the model that the ones before it made.  Raises VariantError."""
    refuse_composed_scale(variants)
    model, steps = base, list[Expansion]()
    for i, variant in enumerate(variants, 1):
        steps.append(expand(model, variant, i))
        model = steps[-1].new
    return tuple(steps)


def claim_about(variants: Sequence[Variant], steps: Sequence[Expansion]) -> Claim:
    """What a chain of expansions claims, nothing proved yet."""
    hypotheses = tuple(Equation(*pair) for step in steps for pair in step.constraints)
    given = steps[0].stream_map if len(steps) == 1 else None
    claim = growth(steps[0].old, steps[-1].new, hypotheses, given)
    new = [block.symbol for step in steps for block in step.blocks]
    above = {grown: base for step in steps for grown, base in step.above.items()}
    admissible = solution(hypotheses, new, above) is not None and sizes_exist(steps)
    return Claim(tuple(variants), tuple(steps), claim, (), admissible)


def refuse_vacuous(claim: Claim) -> None:
    """Raises VariantError for constraints that contradict each other; only asked where no solution was found."""
    if not claim.admissible:
        from .vacuous import refuse_contradiction  # here, because z3 is slow to import and seldom needed

        refuse_contradiction(claim.steps)


def refuse_composed_scale(variants: Sequence[Variant]) -> None:
    """After a variant of its own `scale`, or of another forward pass, the model is no longer of the architecture that
    the next one speaks of.
    """
    for variant in variants if len(variants) > 1 else ():
        own = [("rewrite", name) for name in FOLLOWING if name in variant.rewrite]
        own += [(table, name) for table in ("forward", "becomes") for name in getattr(variant, table)]
        for table, name in own:
            what = f"a variant that changes `{name}` cannot be composed"
            raise variant.place(table, name).error(what, f"`{name}` in [{table}]", "a variant without it")


def preset_named(name: str) -> Preset:
    """The architecture of that name.  Raises VariantError with the nearest name."""
    if name not in PRESETS:
        guess = nearest(name, PRESETS)
        known = ", ".join(PRESETS)
        raise VariantError(
            "no architecture has this name",
            found=f"`{name}`",
            expected=f"`{guess}`" if guess else f"one of {known}",
        )
    return PRESETS[name]
