"""From answers to the view: every formula printed from the object that was checked."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from sympy import Symbol

from ..numeric.evidence import Row
from ..proofs.blame import Blame, blame
from ..proofs.certificate import certificate
from ..proofs.check import Answer, Claim, preset_named
from ..proofs.constraints import Dropped
from ..proofs.counterexample import Counterexample
from ..proofs.experiment import Outcome
from ..proofs.kernel import RULES
from ..proofs.remarks import Remarks
from ..proofs.residual import remaining
from ..proofs.statement import Formula, Sentence, assumptions, equation, statement
from ..proofs.trace import Value as TraceValue
from ..proofs.trace import trace
from ..symbolic.architecture import PARAMETERS, paper_model
from ..symbolic.errors import VariantError
from ..symbolic.expand import Expansion, expand
from ..symbolic.notation import latex, name_latex
from ..symbolic.terms import MatrixExpr, ZeroMatrix, atoms, block_rows
from ..symbolic.variant import Variant
from .answers import (
    factor_text,
    final_claim,
    input_of,
    named_matrices,
    number_json,
    proved_by,
    remaining_latex,
    residual_of,
    sizes_of,
    tried_text,
)
from .derivation import Chain, chains
from .view import Cell, Constraint, Goal, Kind, Math, NumericRow, Picture, Repaired, Section, Step, Text, Value
from .view import Counterexample as Shown


def text_of(sentence: Sentence) -> Text:
    """A sentence with its formulas to be drawn."""
    return tuple(Math(part.latex) if isinstance(part, Formula) else part for part in sentence)


def section(
    answer: Answer,
    identifier: str,
    numeric: Sequence[NumericRow] = (),
    remarks: Remarks | None = None,
) -> Section:
    """One answer as a section of a page."""
    claim, notes = final_claim(answer), remarks or Remarks()
    proved = answer.verdict == "proved"
    return Section(
        id=identifier,
        title=" then ".join(variant.name for variant in answer.variants),
        source="; ".join(dict.fromkeys(variant.source for variant in answer.variants)),
        description=answer.variants[0].description if len(answer.variants) == 1 else how(answer),
        verdict=answer.verdict,
        statement=tuple(text_of(line) for line in (*solved(answer), *statement(answer.steps))) if proved else (),
        assumptions=tuple(text_of(line) for line in assumptions(answer)),
        pictures=tuple(pictures(claim.steps[0])) if len(claim.steps) == 1 else (),
        goals=tuple(goal_of(chain) for chain in chains(claim)) if proved else (),
        residual=() if answer.counterexample else tuple(map(remaining_latex, residual_of(answer))),
        counterexample=None if answer.counterexample is None else shown(answer.counterexample),
        features=notes.offer.features if notes.offer is not None else (),
        repairs=tuple(Repaired(one.changes, one.variant.text) for one in notes.offer.repairs) if notes.offer else (),
        tried=f"Tried: {tried_text(notes.tried)}." if notes.tried is not None else "",
        numeric=(*numeric, *map(outcome_row, notes.outcomes)),
        factors=tuple((Math(latex(one.factor)), f" {factor_text(one)}.") for one in notes.factors),
        sha256=", ".join(variant.sha256 for variant in answer.variants),
        certificate_json=json.dumps(certificate(answer)) if proved else "",
        variant_text="\n\n".join(variant.text for variant in answer.variants),
    )


def how(answer: Answer) -> Text:
    return f"Shown by {' and by '.join(proved_by(answer))}." if answer.verdict == "proved" else ""


def solved(answer: Answer) -> Iterator[Sentence]:
    """The unknown scalars with what they were solved for."""
    for name, value in answer.solved.items():
        yield "With ", equation(Symbol(name), value), ":"


def claim_section(claim: Claim, identifier: str) -> Section:
    """A claim with its derivations; without a verdict where a goal is open."""
    proved = claim.theorem is not None
    done = [chain for chain, goal in zip(chains(claim), claim.goals, strict=False) if goal.theorem is not None]
    still = [goal.derivation.residual for goal in claim.goals if goal.derivation.residual is not None]
    new = {block.symbol for step in claim.steps for block in step.blocks}
    return Section(
        id=identifier,
        title=" then ".join(variant.name for variant in claim.variants),
        source="; ".join(dict.fromkeys(variant.source for variant in claim.variants)),
        description=claim.variants[0].description if len(claim.variants) == 1 else "",
        verdict="proved" if proved else None,
        statement=tuple(text_of(line) for line in statement(claim.steps)),
        pictures=tuple(pictures(claim.steps[0])) if len(claim.steps) == 1 else (),
        goals=tuple(map(goal_of, done)),
        residual=tuple(dict.fromkeys(remaining_latex(one) for ends in still for one in remaining(*ends, new))),
        sha256=", ".join(variant.sha256 for variant in claim.variants),
        variant_text="\n\n".join(variant.text for variant in claim.variants),
    )


def expansion_section(step: Expansion, identifier: str) -> Section:
    """What a variant does to an architecture, and what it asks of the new blocks."""
    equations = (equation(left, right).latex for left, right in step.constraints)
    return Section(
        id=identifier,
        title=f"{step.variant.name} on {step.old.preset.name}",
        source=step.variant.source,
        description=step.variant.description,
        verdict=None,
        assumptions=step.assumptions,
        pictures=tuple(pictures(step)),
        constraints=tuple(Constraint(one, "asked of the new blocks") for one in equations),
        sha256=step.variant.sha256,
        variant_text=step.variant.text,
    )


def variant_section(variant: Variant, identifier: str) -> Section:
    """A variant on the architecture that it names; with the reason where it does not fit that."""
    try:
        step = expand(paper_model(preset_named(variant.architecture)), variant)
    except VariantError as error:
        why = f"It cannot be used on {variant.architecture}: {error}"
        found = Section(identifier, variant.name, variant.source, why, None)
        return replace(found, sha256=variant.sha256, variant_text=variant.text)
    return replace(expansion_section(step, identifier), title=variant.name)


# ---------------------------------------------------------------- derivations


def goal_of(chain: Chain) -> Goal:
    steps = tuple(Step(x.rule, text_of(x.reason), latex(x.before), latex(x.after)) for x in chain.lines)
    title = text_of((chain.goal.name, *(("",) if steps else (", unchanged",)), *chain.where))
    return Goal(title, latex(chain.left), latex(chain.right), steps)


def rules() -> tuple[tuple[str, str], ...]:
    """Every rule of the kernel as its docstring draws it."""
    return tuple((name, inspect.cleandoc(rule.__doc__ or "")) for name, rule in RULES.items())


# ---------------------------------------------------------------- pictures


def pictures(step: Expansion) -> Iterator[Picture]:
    """Every parameter that a variant rewrites or adds, as its blocks."""
    layers = [(step.new.layer, step.old.layer), *((layer, None) for layer in step.new.inserted)]
    yield from changed(step, step.new.weights, step.old.weights)
    for layer, old in layers:
        heads = [(h, old.heads[i] if old and i < len(old.heads) else None) for i, h in enumerate(layer.heads)]
        for family, before in heads:
            yield from changed(step, family.weights, before.weights if before else {})
        yield from changed(step, layer.weights, old.weights if old else {})
        if layer.experts is not None:
            yield from changed(step, layer.experts.weights, old.experts.weights if old and old.experts else {})


def changed(step: Expansion, new: Any, old: Any) -> Iterator[Picture]:
    for name, term in new.items():
        if old.get(name) != term:
            grid = block_rows(term)
            yield Picture(
                parameter=rf"\widehat{{{name_latex(name)}}}" if old else name_latex(name),
                rows=tuple(tuple(cell(step, block) for block in row) for row in grid),
                row_sizes=tuple(latex(row[0].rows) for row in grid),
                column_sizes=tuple(latex(block.cols) for block in grid[0]),
            )


def cell(step: Expansion, block: MatrixExpr) -> Cell:
    """A block: old if it holds an old parameter, zero if it is or a constraint says so, else new and free."""
    old = {parameter.name for parameter in PARAMETERS}
    zeros = [left for left, right in step.constraints if isinstance(right, ZeroMatrix)]
    if any(symbol.name in old for symbol in atoms(block)):
        return Cell(latex(block), "old")
    kind: Kind = "zero" if isinstance(block, ZeroMatrix) or block in zeros else "free"
    return Cell(f"{latex(block)} = 0" if block in zeros else latex(block), kind)


# ---------------------------------------------------------------- counterexamples


def shown(found: Counterexample) -> Shown:
    """A counterexample as it would stand on a blackboard."""
    steps = trace(found)
    first, end, culprits = steps.first_divergence, steps.values[-1], blame(found, steps)
    sizes = [(name_latex(name), str(value)) for name, value in sizes_of(found).items()]
    for name, (before, after) in found.scalars.items():
        sizes += [(name_latex(name), entry_latex(before)), (name_latex(f"{name}_hat"), entry_latex(after))]
    matrices = [(place(where) + name_latex(name), matrix_latex(array)) for where, name, array in named_matrices(found)]
    divergence: Text = () if first is None else ("The models part first at ", *placed(first), ".")
    return Shown(
        sizes=tuple(sizes),
        parameters=tuple(matrices),
        input=matrix_latex(input_of(found)),
        intermediates=tuple(
            Value(
                place(f"{v.place}: ") + v.formula,
                matrix_latex(v.original),
                matrix_latex(v.expanded),
                v.differs,
            )
            for v in steps.values
        ),
        original=matrix_latex(end.original),
        expanded=matrix_latex(end.expanded),
        difference=f"The outputs differ by {found.replay.max_abs:.3g}.",
        first_divergence=divergence,
        replay=(
            f"Replayed in numpy (float64) on both full models: largest difference {found.replay.max_abs:.3g}, "
            f"{found.replay.ratio:.1g} times the bound for rounding errors."
        ),
        blame=("To blame: ", *between(culprits), f": {culprits.reason}."),
    )


def between(culprits: Blame) -> Iterator[str | Math]:
    """The names of what is to blame, with commas."""
    for i, name in enumerate(culprits.names):
        yield ", " if i else ""
        bare, _, step = name.partition(" ")
        yield Math(name_latex(bare))
        yield f" {step}" if step else ""


def placed(value: TraceValue) -> tuple[str | Math, ...]:
    return (f"{value.place}, ", Math(value.formula))


def place(where: str) -> str:
    return rf"\text{{{where.replace(':', ',')}}}" if where else ""


def matrix_latex(array: Any) -> str:
    if array is None:
        return r"\text{-}"
    rows = r" \\ ".join(" & ".join(entry_latex(entry) for entry in row) for row in array)
    return rf"\left[\begin{{matrix}}{rows}\end{{matrix}}\right]"


def entry_latex(entry: Any) -> str:
    """A number: exact where it is short, else with six digits."""
    number = number_json(entry)
    if isinstance(number, dict):
        exact = number["exact"]
        return exact if exact is not None and len(exact) <= 40 else f"{number['value']:.6g}"
    if isinstance(number, str):
        above, below = number.lstrip("-").split("/")
        return ("-" if number.startswith("-") else "") + rf"\frac{{{above}}}{{{below}}}"
    return str(number)


# ---------------------------------------------------------------- constraints and numbers


def constraint_of(claim: Claim, dropped: Dropped) -> Constraint:
    """A constraint, and what dropping it does."""
    step = claim.steps[0]
    instances = [
        f"{latex(left)} = {latex(right)}"
        for (left, right), source in zip(step.constraints, step.constraint_sources, strict=True)
        if source == dropped.index
    ]
    found = dropped.counterexample
    role = "needed: without it the function can change" if found else "no counterexample without it was found"
    return Constraint(", ".join(instances), role, None if found is None else shown(found))


def evidence_row(row: Row) -> NumericRow:
    """A line of the numeric evidence: end-to-end errors, and the worst square against its bound."""
    sizes = ", ".join(f"{name} = {value}" for name, value in row.sizes.items())
    passed = not row.passed if row.control else row.passed
    return NumericRow(row.dtype, sizes, row.case, row.max_abs, row.max_ulp, row.bound, row.ratio, row.control, passed)


def outcome_row(found: Outcome) -> NumericRow:
    sizes = ", ".join(f"{name} = {value}" for name, value in found.sizes.items())
    apart = found.agreement
    what = f"as the variant says, end to end{found.remark}"
    return NumericRow(
        found.dtype, sizes, what, apart.max_abs, apart.max_ulp, apart.bound, apart.ratio, False, apart.passed
    )
