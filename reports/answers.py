"""An answer as JSON and as lines of text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..proofs.check import Answer, Claim
from ..proofs.counterexample import Counterexample
from ..proofs.experiment import Outcome
from ..proofs.liveness import Liveness
from ..proofs.statement import assumptions, plain, statement
from ..proofs.trace import Trace, trace
from ..symbolic.architecture import FAMILIES, LAYERS
from ..symbolic.notation import latex, text
from .derivation import chains

FORMAT = "growproof answer 1"
Json = dict[str, Any]


def answer_json(answer: Answer, outcomes: tuple[Outcome, ...], learns: Liveness | None, seconds: float) -> Json:
    """The fields of `check --json`; those of methods that this version does not have are empty.

    What learns is known of a single proved variant.
    """
    claim = final_claim(answer)
    return {
        "format": FORMAT,
        "variant": variant_json(answer),
        "variants": [{"name": v.name, "source": v.source, "sha256": v.sha256} for v in answer.variants],
        "architecture": answer.preset.name,
        "verdict": answer.verdict,
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
        "residual": [f"{latex(left)} = {latex(right)}" for left, right in answer.residual],
        "repairs": [],
        "solved": {},
        "liveness": dict(learns.first) if learns is not None else {},
        "liveness_undecided": list(learns.undecided) if learns is not None else [],
        "numeric": [
            {
                "dtype": found.dtype,
                "sizes": dict(found.sizes),
                "max_abs": found.agreement.max_abs,
                "max_ulp": found.agreement.max_ulp,
            }
            for found in outcomes
        ],
        "seconds": round(seconds, 3),
    }


def final_claim(answer: Answer) -> Claim:
    """The claim about the whole chain; for a long chain, which has none of its own, its first part."""
    return answer.direct if answer.direct is not None else answer.parts[0]


def proved_by(answer: Answer) -> list[str]:
    """How: by transitivity (or by itself, for one variant), directly on the composed rewrite, or both."""
    direct = answer.direct is not None and answer.direct.theorem is not None
    way = "transitivity" if len(answer.variants) > 1 else "derivation"
    return [*([way] if answer.composition is not None else []), *(["direct derivation"] if direct else [])]


def variant_json(answer: Answer) -> Json:
    shas = [variant.sha256 for variant in answer.variants]
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
    first = steps.first_divergence
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

    >>> number_json(2.0), number_json(0.5)
    (2, '1/2')
    """
    from sympy import Expr, Rational

    if isinstance(entry, Expr):
        if entry.is_Integer:
            return int(entry)
        if entry.is_Rational:
            return f"{entry.p}/{entry.q}"
        return {"exact": latex(entry), "value": float(entry)}
    value = float(entry)
    if value == int(value):
        return int(value)
    exact = Rational(*value.as_integer_ratio())
    return f"{exact.p}/{exact.q}" if exact.q <= 2**20 else {"exact": None, "value": value}


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


def answer_text(answer: Answer, outcomes: tuple[Outcome, ...]) -> Iterator[str]:
    """A line that can be read aloud, then the reason."""
    names = " then ".join(variant.name for variant in answer.variants)
    yield {
        "proved": f"proved: {names} never changes what the model computes.",
        "refuted": f"refuted: {names} can change what the model computes.",
        "undecided": f"undecided: {names} was neither proved nor refuted.",
    }[answer.verdict]
    if answer.counterexample is not None:
        yield from counterexample_text(answer.counterexample, trace(answer.counterexample))
        return
    if answer.verdict == "proved":
        for line in statement(answer.steps):
            yield f"  {plain(line)}"
        yield from derivation_text(answer)
    else:
        yield from open_text(answer)
    yield from (f"  assuming: {plain(line)}" for line in assumptions(answer))
    for found in outcomes if answer.verdict == "proved" else ():
        apart = found.agreement
        yield f"  numpy {found.dtype}: outputs differ by {apart.max_abs:.2g} ({apart.max_ulp:.3g} ulp)"


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
    if any(not claim.admissible for claim in claims):
        yield "  no solution of the constraints was found that exists for all old parameters"
    for left, right in answer.residual:
        yield f"  remains: {text(left)} = {text(right)}"


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
        yield f"  first difference: {first.place}, {matrix_text(first.original)} becomes {matrix_text(first.expanded)}"
    yield f"  output: {matrix_text(end.original)} becomes {matrix_text(end.expanded)}"
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


def matrix_text(array: Any) -> str:
    if array is None:
        return "nothing"
    return "[" + "; ".join(", ".join(entry_text(entry) for entry in row) for row in array) + "]"


def entry_text(entry: Any) -> str:
    shown = number_json(entry)
    return f"{shown['value']:.6g}" if isinstance(shown, dict) else str(shown)
