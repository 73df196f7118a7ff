"""An answer as JSON and as lines of text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..proofs.blame import blame
from ..proofs.check import Answer, Claim
from ..proofs.counterexample import Counterexample
from ..proofs.experiment import Factor
from ..proofs.remarks import Remarks
from ..proofs.repair import Offer, Repair
from ..proofs.residual import Remaining, remaining
from ..proofs.statement import assumptions, plain, statement
from ..proofs.trace import Trace, Value, trace
from ..proofs.tried import Tried
from ..proofs.unknowns import unknowns
from ..symbolic.architecture import FAMILIES, LAYERS
from ..symbolic.floats import fraction_of
from ..symbolic.notation import latex, text
from .derivation import chains

FORMAT = "growproof answer 1"
ROUNDING = 1e-12  # of the largest entry: less is what rounding leaves of 0
Json = dict[str, Any]


def answer_json(answer: Answer, remarks: Remarks, seconds: float) -> Json:
    """The fields of `check --json`; those of methods that this version does not have are empty."""
    claim, learns, offer = final_claim(answer), remarks.learns, remarks.offer
    return {
        "format": FORMAT,
        "variant": variant_json(answer),
        "variants": [{"name": v.name, "source": v.source, "sha256": v.sha256} for v in answer.given],
        "architecture": answer.preset.name,
        "verdict": answer.verdict,
        "expected": expected(answer),
        "statement": " ".join(plain(line) for line in statement(answer.steps)),
        "assumptions": [plain(line) for line in assumptions(answer)],
        "proved_by": proved_by(answer),
        "derivation": [
            {
                "goal": chain.goal.name,
                "steps": [{"rule": x.rule, "before": latex(x.before), "after": latex(x.after)} for x in chain.lines],
            }
            for chain in chains(claim)
        ],
        "counterexample": None if answer.counterexample is None else counterexample_json(answer.counterexample),
        "residual": [remaining_latex(found) for found in residual_of(answer)],
        "tried": None if remarks.tried is None else tried_json(remarks.tried),
        "features": list(offer.features) if offer is not None else [],
        "repairs": [repair_json(found) for found in offer.repairs] if offer is not None else [],
        "solved": {name: latex(value) for name, value in answer.solved.items()},
        "liveness": dict(learns.first) if learns is not None else {},
        "liveness_undecided": list(learns.undecided) if learns is not None else [],
        "numeric": [
            {
                "dtype": found.dtype,
                "sizes": dict(found.sizes),
                "max_abs": found.agreement.max_abs,
                "max_ulp": found.agreement.max_ulp,
                "constraints_met": found.met,
            }
            for found in remarks.outcomes
        ],
        "factors": [factor_json(found) for found in remarks.factors],
        "seconds": round(seconds, 3),
    }


def repair_json(found: Repair) -> Json:
    """A repair is proved before it is offered."""
    return {"change": found.change, "changes": list(found.changes), "verdict": "proved", "variant": found.variant.text}


def tried_json(found: Tried) -> Json:
    return {
        "strategies": [list(rules) for rules in found.strategies],
        "instances": found.run,
        "drawn": found.drawn,
        "sizes": [{"sizes": dict(one.sizes), "drawn": one.drawn, "run": one.run} for one in found.instances],
    }


def factor_json(found: Factor) -> Json:
    return {
        "factor": latex(found.factor),
        "value": float(found.value),
        "power_of_two": found.power_of_two,
        "power_of_two_at_growth": None if found.at is None else int(found.at),
    }


def residual_of(answer: Answer) -> tuple[Remaining, ...]:
    """The equations that remain, without what their sides share."""
    expansions = (step for claim in (*answer.parts, answer.direct) if claim is not None for step in claim.steps)
    new = {block.symbol for step in expansions for block in step.blocks}
    return tuple(dict.fromkeys(one for ends in answer.residual for one in remaining(*ends, new)))


def remaining_latex(found: Remaining) -> str:
    where = rf"\text{{ {everywhere(found)}}}" if found.families else ""
    return f"{latex(found.term)} = 0{where}"


def everywhere(found: Remaining) -> str:
    """In every member of what an equation is asked of.

    >>> from ..symbolic.terms import zero
    >>> everywhere(Remaining(zero(1, 1), ("groups", "heads")))
    'in every group and head'
    """
    return f"in every {' and '.join(family.removesuffix('s') for family in found.families)}" if found.families else ""


def final_claim(answer: Answer) -> Claim:
    """The claim about the whole chain; for a long chain, which has none of its own, its first part."""
    return answer.direct if answer.direct is not None else answer.parts[0]


def proved_by(answer: Answer) -> list[str]:
    """How: by transitivity (or by itself, for one variant), directly on the composed rewrite, or both."""
    direct = answer.direct is not None and answer.direct.theorem is not None
    way = "transitivity" if len(answer.variants) > 1 else "derivation"
    return [*([way] if answer.composition is not None else []), *(["direct derivation"] if direct else [])]


def variant_json(answer: Answer) -> Json:
    shas = [variant.sha256 for variant in answer.given]
    whole = shas[0] if len(shas) == 1 else hashlib.sha256(" ".join(shas).encode()).hexdigest()
    return {
        "name": " then ".join(variant.name for variant in answer.variants),
        "source": "; ".join(dict.fromkeys(variant.source for variant in answer.variants)),
        "sha256": whole,
    }


# ---------------------------------------------------------------- counterexamples


def counterexample_json(found: Counterexample) -> Json:
    """Numbers that anyone can replay; integers, "n/d" strings, or {"exact", "value"} where irrational."""
    steps = trace(found)
    ends = steps.values[-1]
    first, culprits = steps.first_divergence, blame(found, steps)
    new = [tables_json(blocks) for blocks in found.instance.new]
    return {
        "sizes": sizes_of(found),
        **{name: number_json(before) for name, (before, _) in scalars_of(found)},
        **{f"{name}_hat": number_json(after) for name, (_, after) in scalars_of(found)},
        "parameters": tables_json(found.instance.old),
        "new": new[0] if len(new) == 1 else new,
        "input": matrix_json(input_of(found)),
        "original": matrix_json(ends.original),
        "expanded": matrix_json(ends.expanded),
        "intermediates": [
            {
                "name": f"{value.place}: {value.formula}",
                "original": None if value.original is None else matrix_json(value.original),
                "expanded": None if value.expanded is None else matrix_json(value.expanded),
                "differs": value.differs,
            }
            for value in steps.values
        ],
        "max_abs_difference": found.replay.max_abs,
        "times_rounding_bound": found.replay.ratio,
        "first_divergence": None if first is None else f"{first.place}: {first.formula}",
        "blame": list(culprits.names),
        "blame_reason": culprits.reason,
    }


def tables_json(nested: Any) -> Any:
    """A nested model or its new blocks, without the sizes that its shapes show."""
    if isinstance(nested, Mapping):
        return {name: tables_json(entry) for name, entry in nested.items() if name not in ("sizes", "scalars")}
    if isinstance(nested, (list, tuple)):
        return [tables_json(entry) for entry in nested]
    return matrix_json(nested) if isinstance(nested, np.ndarray) else nested


def matrix_json(array: Any) -> list[list[Any]]:
    return [[number_json(entry) for entry in row] for row in array]


def number_json(entry: Any) -> Any:
    """An integer, a fraction as "n/d", or an irrational number as LaTeX and a float.

    >>> number_json(2.0), number_json(0.5), number_json(1 / 3)
    (2, '1/2', '1/3')
    """
    from sympy import Expr

    if isinstance(entry, Expr):
        if entry.is_Integer:
            return int(entry)
        if entry.is_Rational:
            return f"{entry.p}/{entry.q}"
        return {"exact": latex(entry), "value": float(entry)}
    value = float(entry)
    exact = fraction_of(value)
    if exact.denominator == 1:
        return int(exact)
    return str(exact) if exact.denominator <= 2**20 else {"exact": None, "value": value}


def sizes_of(found: Counterexample) -> Json:
    """The sizes of both models, by name."""
    from ..proofs.drawing import first_members
    from ..symbolic.architecture import levels
    from ..symbolic.instances import level_values

    old, families = found.instance.old, levels(found.steps[0].old.preset)
    chain = list(first_members(old, families))
    sizes = dict(level_values(*chain).scalars)
    for blocks in found.instance.new:
        sizes |= {name: value for name, value in blocks.get("sizes", {}).items() if name not in sizes}
    shown = {name: value for name, value in sizes.items() if name not in (*old["scalars"], "f")}
    heads = {"E": len(next(one["heads"] for one in reversed(chain) if "heads" in one))}
    heads |= {"groups": len(chain[1]["groups"])} if "groups" in families else {}
    return shown | heads | {"N": len(old["layers"])}


def scalars_of(found: Counterexample) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """The scalars of both models by name; eps is told where there is none too."""
    yield from {"eps": (0, 0), **found.scalars}.items()


def input_of(found: Counterexample) -> Any:
    """The input, or the tokens that make it."""
    old = found.instance.old
    return old["I"] if "I" in old else old["tokens"]


# ---------------------------------------------------------------- text


def answer_text(answer: Answer, remarks: Remarks | None = None) -> Iterator[str]:
    """A line that can be read aloud, then the reason and what goes with it."""
    found = remarks or Remarks()
    names = " then ".join(variant.name for variant in answer.variants)
    yield {
        "proved": f"proved: {names} never changes what the model computes.",
        "refuted": f"refuted: {names} can change what the model computes.",
        "undecided": f"undecided: {names} was neither proved nor refuted.",
    }[answer.verdict]
    yield from expected_text(answer)
    yield from solved_text(answer)
    if answer.counterexample is not None:
        yield from counterexample_text(answer.counterexample, trace(answer.counterexample))
        yield from (f"  to blame: {one}" for one in (found.blame,) if one is not None)
        yield from offer_text(found.offer) if found.offer is not None else ()
        return
    if answer.verdict == "proved":
        for line in statement(answer.steps):
            yield f"  {plain(line)}"
        yield from derivation_text(answer)
    else:
        yield from open_text(answer)
        yield from (f"  tried: {tried_text(one)}" for one in (found.tried,) if one is not None)
    yield from (f"  assuming: {plain(line)}" for line in assumptions(answer))
    for outcome in found.outcomes:
        apart = outcome.agreement
        ulps = f"{apart.max_ulp:.3g} ulp"
        yield f"  numpy {outcome.dtype}: outputs differ by {apart.max_abs:.2g} ({ulps}){outcome.remark}"
    yield from (f"  factor {text(factor.factor)} {factor_text(factor)}" for factor in found.factors)


def expected(answer: Answer) -> str | None:
    """The verdict that a single variant's file expects on its own architecture; None where it says nothing of this."""
    variant, *others = answer.given
    here = not others and variant.architecture == answer.preset.name
    return variant.verdict or None if here else None


def expected_text(answer: Answer) -> Iterator[str]:
    """The file's reason where it expects what was found, and otherwise what it expects."""
    (first, *_), wanted = answer.given, expected(answer)
    why = f": {first.reason}" if first.reason else ""
    if wanted == answer.verdict:
        yield f"  as expected{why}"
    elif wanted is not None:
        yield f"  expected: {wanted}{why}"


def solved_text(answer: Answer) -> Iterator[str]:
    """What the unknown scalars are, or that the answer holds whatever they are."""
    yield from (f"  with {name} = {text(value)}" for name, value in answer.solved.items())
    names = [f"?{name}" for variant in answer.variants for name in unknowns(variant)]
    if names and answer.verdict == "refuted":
        yield f"  whatever {', '.join(names)} may be: in these numbers it makes no difference"
    elif names:
        yield f"  no value of {', '.join(names)} was found with which it is proved"


def offer_text(offer: Offer) -> Iterator[str]:
    """What breaks the variant, and how it is repaired."""
    if offer.features:
        yield f"  what breaks it: {', '.join(offer.features)}"
    for found in offer.repairs:
        yield f"  repair, proved: {found.change}"
    if len(offer.features) > 1:
        yield "  repairs of what several features break take longer: see growproof matrix"


def tried_text(found: Tried) -> str:
    """How much was tried."""
    sizes = f"{len(found.instances)} sets of sizes"
    numbers = (
        f"{found.run} of {found.drawn} instances drawn at {sizes} meet the constraints, and none changes the output"
    )
    return f"{len(found.strategies)} strategies of the prover; {numbers}"


def factor_text(found: Factor) -> str:
    """Whether floating point keeps products with a factor as they are."""
    value = f"= {float(found.value):.6g}"
    if found.power_of_two:
        return f"{value}, a power of two: floating point keeps products with it exactly"
    at = f"; a power of two where sizes grow {found.at} times" if found.at is not None else ""
    return f"{value}, no power of two: floating point rounds products with it{at}"


def derivation_text(answer: Answer) -> Iterator[str]:
    for claim in answer.claims:
        names = " then ".join(variant.name for variant in claim.variants)
        yield f"  {names}:" if len(answer.claims) > 1 else "  because"
        for goal in claim.goals:
            rules = [step.rule for step in (*goal.derivation.left_steps, *reversed(goal.derivation.right_steps))]
            yield f"    {goal.goal.name}: {', '.join(rules) if rules else 'unchanged'}"
    if len(answer.variants) > 1:
        yield f"  the chain by {' and by '.join(proved_by(answer))}"


def open_text(answer: Answer) -> Iterator[str]:
    claims = [answer.direct] if answer.direct is not None else list(answer.parts)
    if any(claim.growth is None for claim in claims):
        yield "  no stream map is given, and none can be read off the rewrites of I and P: add [stream] map"
    for claim in claims:
        if not claim.admissible:
            from ..proofs.vacuous import known  # here, because z3 is slow to import and seldom needed

            yield f"  {known(claim.steps)}"
    for found in residual_of(answer):
        yield f"  remains: {text(found.term)} = 0" + (f", {everywhere(found)}" if found.families else "")


def counterexample_text(found: Counterexample, steps: Trace) -> Iterator[str]:
    """The numbers, without the matrices that are zero, and where the models part."""
    yield "  sizes: " + ", ".join(f"{name} = {value}" for name, value in sizes_of(found).items())
    for name, (before, after) in found.scalars.items():
        yield f"  {name} = {entry_text(before)}" + (f", and {entry_text(after)} after" if after != before else "")
    for where, name, array in named_matrices(found):
        yield f"  {where}{name} = {matrix_text(array)}"
    yield "  every other entry is 0"
    first, end = steps.first_divergence, steps.values[-1]
    if first is not None:
        yield f"  first difference: {first.place}, {before_and_after(first)}"
    yield f"  output: {before_and_after(end)}"
    times = f"{found.replay.ratio:.1g} times the bound for rounding errors"
    yield f"  replayed in numpy: the outputs differ by {found.replay.max_abs:.3g}, {times}"


def named_matrices(found: Counterexample) -> Iterator[tuple[str, str, Any]]:
    """Every matrix that is not zero, with where it belongs."""
    yield from tables("", found.instance.old)
    for i, new in enumerate(found.instance.new, 1):
        yield from tables(f"step {i}: " if len(found.instance.new) > 1 else "", new)


def tables(where: str, nested: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for name, entry in nested.items():
        if isinstance(entry, np.ndarray) and entry.any():
            yield where, name, entry
    if "added_layer" in nested:
        added = nested["added_layer"]
        yield from tables(f"{where}new layer {added['position'] + 1}: ", added)
    for family in FAMILIES:
        before = where.removesuffix(": ") + ", " if where.endswith(": ") and family != LAYERS else where
        for i, member in enumerate(nested.get(family, ()), 1):
            yield from tables(f"{before}{family.removesuffix('s')} {i}: ", member)


def before_and_after(value: Value) -> str:
    """A value of both models."""
    before, after = value.original, value.expanded
    return f"{matrix_text(before, after)} becomes {matrix_text(after, before)}"


def matrix_text(array: Any, beside: Any = None) -> str:
    """A matrix in one line; without fractions where it, or what it stands beside, has numbers that are none.

    >>> matrix_text(np.array([[0.25, 2]])), matrix_text(np.array([[0.25, 2, 2**0.5]]))
    ('[1/4, 2]', '[0.25, 2, 1.41421]')
    """
    if array is None:
        return "nothing"
    both = [entry for one in (array, beside) if one is not None for row in one for entry in row]
    if not any(isinstance(number_json(entry), dict) for entry in both):
        return in_brackets([[entry_text(entry) for entry in row] for row in array])
    least = ROUNDING * max(abs(float(entry)) for entry in both)
    rows = [[float(entry) if abs(float(entry)) > least else 0 for entry in row] for row in array]
    return in_brackets([[f"{entry:.6g}" for entry in row] for row in rows])


def in_brackets(rows: Sequence[Sequence[str]]) -> str:
    return "[" + "; ".join(", ".join(row) for row in rows) + "]"


def entry_text(entry: Any) -> str:
    shown = number_json(entry)
    return f"{shown['value']:.6g}" if isinstance(shown, dict) else str(shown)
