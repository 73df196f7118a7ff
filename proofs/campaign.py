"""One case of a soundness campaign: a random variant or chain, checked as anybody's, and its verdict attacked.

Case i of a seed is the same on every machine.  A proof is attacked with random models at several random sizes, which
know nothing of how it was proved; the numbers of a refutation are put into both models once more, which are made
anew from the texts alone.  A case that shows a defect of this package comes back as small as it goes.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from threading import Lock

import numpy as np

from ..numeric.compare import Agreement
from ..symbolic.architecture import PRESETS, Preset, paper_model
from ..symbolic.errors import VariantError
from ..symbolic.evaluate import Array, SizeError
from ..symbolic.expand import Expansion, expand
from ..symbolic.instances import Nested, grown
from ..symbolic.syntax import parse
from ..symbolic.variant import Variant, catalogue, load, loads
from ..symbolic.writing import fitted, text_of
from .check import Answer, check
from .comparison import compared, measured
from .counterexample import CLEARLY, Instance, expanded, find_any, is_exact
from .drawing import BOARD, FLOATS, RANDOM, Profile, drawn_blocks, drawn_model
from .invented import Rng, chosen, disguised, invented
from .mutants import MUTATIONS, mutants, mutated
from .smaller import Texts, smallest
from .unknowns import filled, unknowns

VERDICTS = ("proved", "refuted", "undecided", "crash")
FAILURES = ("false proof", "unreplayed refutation", "refuted though true", "crash")
ATTACKS = 4  # random models against every proof
TRIES = 12  # to find sizes that fit and blocks that meet the constraints
VISIBLE = 1e-6  # a change that no rounding of solved constraints makes
VALUES = ("1", "2", "-1/3")  # of what a refutation does not depend on
MOST_DRAWS = 1000  # until a draw is a variant
FILE = "case.toml"
one_at_a_time = Lock()  # the caches of a process are for one thread


@dataclass(frozen=True)
class Case:
    """What is put on trial: a chain of variants on one architecture, and whether it is true by construction."""

    kind: str
    how: str
    architecture: str
    texts: Texts
    true: bool


@dataclass(frozen=True)
class Judgement:
    """The verdict on a case, how many models attacked it, and what is wrong with it."""

    verdict: str  # of VERDICTS
    attacks: int = 0
    failure: str = ""  # of FAILURES; empty where nothing is wrong
    detail: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a case; the texts are those of what is worth a look, as small as they go where it failed."""

    index: int
    kind: str
    how: str
    architecture: str
    judgement: Judgement
    refused: int  # so many draws before it were no variants
    texts: Texts = ()


def outcomes(seed: int, indices: Sequence[int]) -> list[Outcome]:
    """The outcomes of some cases, one after the other."""
    with one_at_a_time:
        return [outcome(seed, index) for index in indices]


def outcome(seed: int, index: int) -> Outcome:
    """Draw a case until it is a variant, judge it, and make a failing one small."""
    rng = np.random.default_rng([seed, index])
    for refused in range(MOST_DRAWS):
        try:
            case = drawn_case(rng)
            found = judged(case, (seed, index))
        except VariantError:
            continue
        texts = case.texts if found.failure or found.verdict == "undecided" else ()
        if found.failure:
            texts = smallest(texts, partial(fails, case, (seed, index), found))
        return Outcome(index, case.kind, case.how, case.architecture, found, refused, texts)
    raise AssertionError(f"case {index} of seed {seed}: found no variant in {MOST_DRAWS} draws")


# ---------------------------------------------------------------- drawing


def deck() -> str:
    """What cases are drawn from, as a SHA-256: with another catalogue, or other mutations, they are others."""
    drawing = (Path(__file__).with_name(f"{name}.py") for name in ("entries", "mutants", "invented", "campaign"))
    texts = (*PRESETS, *(load(name).text for name in catalogue()), *(path.read_text("utf-8") for path in drawing))
    return sha256("\0".join(texts).encode("utf-8")).hexdigest()


def drawn_case(rng: Rng) -> Case:
    """A mutant of something, an invention, a disguise of something, or a chain of these."""
    length = int(rng.choice((1, 2, 3), p=(0.9, 0.05, 0.05)))
    from_catalogue = [bool(rng.integers(3)) for _ in range(length)]
    names = [chosen(rng, names_in_catalogue()) if known else "" for known in from_catalogue]
    preset = drawn_preset(names, rng)
    links, how = [], []
    for name in names:
        title, link = (name, from_file(name, preset)) if name else invented(preset, rng)
        links.append(link)
        how.append(title)
    is_mutant = bool(rng.integers(10) >= 3)
    if is_mutant:
        i = int(rng.integers(length))
        links[i], how[i] = mutant(links[i], how[i], rng)
    else:
        links = [disguised(link, rng, 1) for link in links]
    what = "chain" if length > 1 else "the catalogue" if names[0] else "an invention"
    kind = f"mutant of {what}" if is_mutant else what
    return Case(kind, "; ".join(how), preset.name, tuple(map(text_of, links)), not is_mutant and not any(names))


@cache
def names_in_catalogue() -> tuple[str, ...]:
    return catalogue()


@cache
def read(name: str) -> Variant:
    return load(name)


def from_file(name: str, preset: Preset) -> Variant:
    """A variant of the catalogue for another architecture, without what that lacks."""
    own = replace(read(name), source="", description="", verdict="", reason="", architecture=preset.name)
    return fitted(own, preset)


def drawn_preset(names: Sequence[str], rng: Rng) -> Preset:
    """The paper's architecture, or that of a variant, or any."""
    own = [read(name).architecture for name in names if name] or ["paper"]
    return PRESETS[chosen(rng, own if rng.integers(2) else list(PRESETS))]


def mutant(variant: Variant, how: str, rng: Rng) -> tuple[Variant, str]:
    """The variant after one mutation, or two."""
    for _ in range(chosen(rng, (1, 1, 1, 2))):
        names = (str(name) for name in rng.permutation(list(MUTATIONS)))
        name, changes = next((name, changes) for name in names if (changes := mutants(variant, name)))
        variant, how = mutated(variant, chosen(rng, changes)), f"{how}, {name}"
    return variant, how


# ---------------------------------------------------------------- judging


def judged(case: Case, seeds: Sequence[int]) -> Judgement:
    """The verdict on a case, and what came of the attack on it.  Raises VariantError for what is no variant."""
    variants = [loads(text, FILE) for text in case.texts]
    preset = PRESETS[variants[0].architecture]
    try:
        answer = check(variants, preset, 0, find_any)
        if any(map(unknowns, variants)):  # with what they were solved to
            variants = list(answer.variants)
        if answer.verdict == "proved":
            return attacked(expansions(variants, preset), seeds)
        return replayed(variants, preset, answer, case.true)
    except VariantError:
        raise
    except Exception as error:
        return Judgement("crash", 0, "crash", "".join(traceback.format_exception(error)[-3:]))


def expansions(variants: Sequence[Variant], preset: Preset, value: str = "1") -> list[Expansion]:
    """Each variant applied to the plain model, with one value for every scalar that is still unknown."""
    known = (filled(one, dict.fromkeys(unknowns(one), parse(value))) for one in variants)
    return [expand(paper_model(preset), one) for one in known]


def fails(case: Case, seeds: Sequence[int], before: Judgement, texts: Texts) -> bool:
    """Whether other texts fail like a case, with the same exception where it was one."""
    found = judged(replace(case, texts=texts), seeds)
    same = found.detail.splitlines()[-1:] == before.detail.splitlines()[-1:] or found.failure != "crash"
    return found.failure == before.failure and same


def attacked(steps: Sequence[Expansion], seeds: Sequence[int]) -> Judgement:
    """A proof, after random models of several sizes had their say."""
    rng = np.random.default_rng([*seeds, 1])
    count = 0
    for sizes, found in islice(attacks(steps, rng), ATTACKS):
        count += 1
        if differs(found):
            return Judgement("proved", count, "false proof", f"the outputs differ by {found.max_abs:.3g} at {sizes}")
    return Judgement("proved", count)


def differs(found: Agreement) -> bool:
    """Whether no rounding explains a difference, that of solved constraints included."""
    return found.ratio > CLEARLY and found.max_abs > VISIBLE


def attacks(steps: Sequence[Expansion], rng: Rng) -> Iterator[tuple[Profile, Agreement]]:
    """Random models before and after a chain, wherever sizes fit and blocks that meet the constraints are found."""
    for _ in range(TRIES):
        profile = drawn_profile(rng)
        pair = drawn_pair(steps, profile, rng)
        if pair is None:
            continue
        try:
            found = compared(steps, *pair)
        except ValueError:  # a norm met a row of zeros
            continue
        if np.isfinite((found.max_abs, found.ratio)).all():
            yield profile, found


def drawn_profile(rng: Rng) -> Profile:
    """Sizes of no particular kind."""
    sizes = {name: int(rng.integers(low, 6)) for name, low in {"s": 2, "h": 1, "p": 1, "k": 1, "v": 1, "o": 1}.items()}
    heads, layers, ratio, more = (int(n) for n in rng.integers((1, 1, 2, 1), (4, 4, 5, 4)))
    return Profile(sizes, heads, layers, ratio, more)


def drawn_pair(steps: Sequence[Expansion], profile: Profile, rng: Rng) -> tuple[Nested, Nested] | None:
    """A model with normal entries and what a chain makes of it; None where no new blocks are found."""

    def entries(rows: int, columns: int) -> Array:
        return rng.standard_normal((rows, columns))

    old = drawn_model(steps[0].old.preset, profile, entries, chosen(rng, (BOARD, RANDOM)))
    current = old
    for step in steps:
        new = drawn_blocks(step, current, profile, entries, rng)
        if new is None:
            return None
        try:
            current = grown(step, current, new, FLOATS)
        except SizeError:
            return None
    return old, current


def replayed(variants: Sequence[Variant], preset: Preset, answer: Answer, true: bool) -> Judgement:
    """A refutation, after its numbers went through both models once more; or what is neither proved nor refuted."""
    if answer.counterexample is None:
        return Judgement(answer.verdict)
    for value in VALUES if any(map(unknowns, variants)) else VALUES[:1]:
        steps, instance = expansions(variants, preset, value), answer.counterexample.instance
        found = again(steps, instance)
        if not (is_exact(steps, instance) and differs(found)):
            what = f"the outputs differ by {found.max_abs:.3g}, {found.ratio:.3g} times the bound for rounding"
            return Judgement(answer.verdict, 0, "unreplayed refutation", what)
    return Judgement(answer.verdict, 0, "refuted though true" if true else "", f"they differ by {found.max_abs:.3g}")


def again(steps: Sequence[Expansion], instance: Instance) -> Agreement:
    """Both models on the numbers of a refutation, in the forward pass of all architectures."""
    return measured(steps, instance.old, expanded(steps, instance))
