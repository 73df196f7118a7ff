"""Certificates: a claim and its derivation as JSON, and the check that trusts only the kernel.

A certificate holds the variants' text and, for every goal, the rules, places and terms of its derivation.
`verify` rebuilds the claims and their goals from the text, replays every step in the kernel, writes the
certificate that this makes, and compares: whatever was altered shows as a difference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..symbolic.architecture import paper_model
from ..symbolic.errors import VariantError
from ..symbolic.expand import Expansion
from ..symbolic.notation import text
from ..symbolic.terms import Expr, ShapeError
from ..symbolic.variant import loads
from ..symbolic.writing import fitted
from .check import Answer, Claim, claim_shell, composed, preset_named
from .check import chain as expanded
from .goals import Goal, Proved, context_of, goals, restated
from .kernel import Context, KernelError, Position, Step, apply, derive, meet
from .prover import Derivation, in_order
from .statement import assumptions, meaning, plain, statement

FORMAT = "growproof certificate 1"
Json = dict[str, Any]


class CertificateError(Exception):
    """A certificate that does not hold: says where and why, in one line."""


def certificate(answer: Answer) -> Json:
    """The certificate of a proved answer.  Raises CertificateError for any other."""
    if answer.verdict != "proved":
        raise CertificateError(f"there is no certificate for what is {answer.verdict}")
    claims = [claim for claim in answer.claims if claim.theorem is not None]
    if answer.composition is None:  # the links by themselves prove nothing, the chain as a whole does
        claims = claims[-1:]
    distinct = {variant.sha256: variant for variant in answer.variants}
    order = list(distinct)
    return {
        "format": FORMAT,
        "architecture": answer.preset.name,
        "variants": [
            {"name": variant.name, "sha256": variant.sha256, "text": variant.text} for variant in distinct.values()
        ],
        "chain": [order.index(variant.sha256) for variant in answer.variants],
        "statement": stated(answer.steps),
        "claims": [claim_json(claim, order) for claim in claims],
    }


def claim_json(claim: Claim, order: Sequence[str]) -> Json:
    return {
        "variants": [order.index(variant.sha256) for variant in claim.variants],
        "statement": stated(claim.steps),
        "goals": [goal_json(claim, proved, claim.goals[:i]) for i, proved in enumerate(claim.goals)],
    }


def stated(steps: Sequence[Expansion]) -> str:
    return " ".join(plain(line) for line in statement(steps))


def goal_json(claim: Claim, proved: Proved, earlier: Sequence[Proved]) -> Json:
    assert claim.growth is not None
    context = context_of(proved.goal, claim.growth, {p.goal.name: p for p in earlier})
    derivation = proved.derivation
    return {
        "name": proved.goal.name,
        "left": text(derivation.left),
        "right": text(derivation.right),
        "from left": steps_json(context, derivation.left, derivation.left_steps),
        "from right": steps_json(context, derivation.right, derivation.right_steps),
    }


def steps_json(context: Context, term: Expr, steps: Sequence[Step]) -> list[Json]:
    found = []
    for step in steps:
        before, term = term, apply(context, term, step)
        found.append(
            {
                "rule": step.rule,
                "positions": [[list(i) if isinstance(i, tuple) else i for i in p] for p in step.positions],
                "argument": list(step.argument),
                "before": text(before),
                "after": text(term),
            }
        )
    return found


# ---------------------------------------------------------------- checking


@dataclass(frozen=True)
class Held:
    """What a certificate proves: about which variants, on which architecture, under which assumptions."""

    statement: str
    architecture: str
    assumptions: tuple[str, ...]
    variants: tuple[tuple[str, ...], ...]  # what each variant does, line by line


def verify(found: object) -> Held:
    """Re-check a certificate and say what it proves.

    Raises CertificateError at the first thing that is not as it must be.
    """
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise CertificateError(f"this is no certificate: found no format {FORMAT!r}")
    try:
        rebuilt, answer = replayed(found)
        where = difference(rebuilt, found, "certificate")
    except (KernelError, ShapeError, VariantError) as error:
        raise CertificateError(" ".join(str(error).split())) from None
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise CertificateError(f"the certificate is malformed: {type(error).__name__}: {reason}") from None
    except (RecursionError, MemoryError) as error:
        raise CertificateError(f"the certificate is too large: {type(error).__name__}") from None
    if where is not None:
        raise CertificateError(where)
    distinct = {variant.sha256: variant for variant in answer.variants}
    return Held(
        stated(answer.steps),
        answer.preset.name,
        tuple(plain(line) for line in assumptions(answer)),
        tuple(meaning(fitted(variant, answer.preset)) for variant in distinct.values()),
    )


def replayed(found: Mapping[str, Any]) -> tuple[Json, Answer]:
    """The certificate that the kernel makes of the variants' text and the steps, and the answer that it is about."""
    variants = [loads(entry["text"], f"{entry['name']} (in the certificate)") for entry in found["variants"]]
    preset = preset_named(found["architecture"])
    chain = [variants[checked_index(i, variants)] for i in found["chain"]]
    base = paper_model(preset)
    claims = []
    for entry in found["claims"]:
        chosen = [variants[checked_index(i, variants)] for i in entry["variants"]]
        claims.append(with_steps(claim_shell(chosen, base), entry["goals"]))
    if [list(entry["variants"]) for entry in found["claims"]] not in expected_claims(found["chain"]):
        raise CertificateError("the claims are not those of the chain: each variant, then the chain as a whole")
    if not chain or any(claim.theorem is None for claim in claims):
        raise CertificateError("a claim is not proved: a goal is missing, or the constraints cannot be met")
    whole = [v.sha256 for v in chain]
    direct = next((c for c in claims if [v.sha256 for v in c.variants] == whole), None)
    by_text = {claim.variants[0].sha256: claim for claim in claims if len(claim.variants) == 1}
    steps = expanded(chain, base)
    composition = composed([by_text[sha] for sha in whole], steps) if all(sha in by_text for sha in whole) else None
    if direct is None and composition is None:
        raise CertificateError("the claims do not make up the chain")
    parts = tuple(by_text[sha] for sha in whole if sha in by_text)
    direct = direct if len(chain) > 1 else None
    answer = Answer(tuple(chain), preset, "proved", parts, direct, composition, None, steps, tuple(chain), {})
    order = [variant.sha256 for variant in variants]
    return certificate(answer) | {"claims": [claim_json(claim, order) for claim in claims]}, answer


def expected_claims(chain: Sequence[int]) -> list[list[list[int]]]:
    """Each variant of a chain by itself, once; the chain as a whole; or both, the whole last."""
    parts, whole = [[i] for i in dict.fromkeys(chain)], [list(chain)]
    return [parts, [*parts, *whole], whole] if len(chain) > 1 else [parts]


def checked_index(i: object, items: Sequence[object]) -> int:
    if type(i) is not int or not 0 <= i < len(items):
        raise CertificateError(f"there is no variant number {i!r}")
    return i


def with_steps(shell: Claim, entries: Sequence[Mapping[str, Any]]) -> Claim:
    """A claim whose goals are proved by the given steps; its goals come from the claim, not from the entries."""
    if shell.growth is None:
        raise CertificateError("the claim has no stream map")
    given = {entry["name"]: entry for entry in entries}
    wanted = list(goals(shell.growth))
    helpers = {name for goal in wanted for name in goal.lemmas}  # a goal may be proved without its lemma
    done: dict[str, Proved] = {}
    for goal in wanted:
        if goal.name in given:
            context = context_of(goal, shell.growth, done)
            done[goal.name] = Proved(goal, proved_by(context, goal, given[goal.name]))
        elif goal.name not in helpers:
            raise CertificateError(f"the goal {goal.name!r} is missing")
    return Claim(shell.variants, shell.steps, shell.growth, tuple(done.values()), shell.admissible)


def proved_by(context: Context, goal: Goal, entry: Mapping[str, Any]) -> Derivation:
    left = tuple(step_from(step) for step in entry["from left"])
    right = tuple(step_from(step) for step in entry["from right"])
    if goal.constraint is not None:
        return restated(context, goal, left, right)
    theorem = meet(derive(context, goal.left, left), derive(context, goal.right, right))
    return Derivation(goal.left, goal.right, left, right, theorem)


def step_from(entry: Mapping[str, Any]) -> Step:
    positions = tuple(position_from(position) for position in entry["positions"])
    if positions != in_order(positions):
        raise CertificateError("the places of a step are not in order")
    return Step(entry["rule"], positions, tuple(whole(i) for i in entry["argument"]))


def position_from(position: Sequence[Any]) -> Position:
    return tuple((whole(i[0]), whole(i[1])) if isinstance(i, list) and len(i) == 2 else whole(i) for i in position)


def whole(i: object) -> int:
    if type(i) is not int:
        raise CertificateError(f"a position is a whole number, not {i!r}")
    return i


def difference(expected: Any, found: Any, where: str) -> str | None:
    """The first place where a certificate is not what its own variants and steps make; None if it is."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in (*expected, *(key for key in found if key not in expected)):
            if (key in expected) != (key in found):
                return f"{where}: {key!r} is {'missing' if key in expected else 'unknown'}"
            inner = difference(expected[key], found[key], f"{where}.{key}")
            if inner is not None:
                return inner
        return None
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        inside = (difference(a, b, f"{where}[{i}]") for i, (a, b) in pairs)
        return next((inner for inner in inside if inner is not None), None)
    if type(expected) is type(found) and expected == found:
        return None
    return f"{where}: found {shortened(found)}, expected {shortened(expected)}"


def shortened(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= 120 else shown[:117] + "..."
