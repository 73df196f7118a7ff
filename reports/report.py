"""The report: the paper's six expansions proved, their constraints and numbers, and the findings."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..numeric.evidence import ALL_SIX, Row, evidence
from ..proofs.check import Answer, check
from ..proofs.constraints import Dropped, dropped, irredundant
from ..proofs.findings import Finding, findings
from ..proofs.statement import plain
from ..symbolic.architecture import PRESETS
from ..symbolic.notation import latex
from ..symbolic.variant import load
from .answers import counterexample_json
from .files import written
from .sections import constraint_of, evidence_row, rules, section, shown, text_of
from .trust import INTRO, TRUST
from .view import Finding as ShownFinding
from .view import Mark, NumericRow, Page, Section

SIX = (
    "mlp-expansion",
    "head-addition",
    "heads-expansion",
    "attention-expansion",
    "hidden-expansion",
    "layer-addition",
)
Say = Callable[[str], None]
Json = dict[str, Any]


@dataclass(frozen=True)
class Expanded:
    """Everything the report says about one expansion."""

    name: str
    answer: Answer
    dropped: tuple[Dropped, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Report:
    """What was found about the six, their composition, and the paper."""

    six: tuple[Expanded, ...]
    together: Answer
    together_rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def decided(self) -> bool:
        """Every verdict decided, every constraint's counterexample found, every numeric row as expected."""
        answers = [
            self.together,
            *(one.answer for one in self.six),
            *(a for f in self.findings for a in f.answers),
        ]
        rows = [*self.together_rows, *(row for one in self.six for row in one.rows)]
        needed = all(irredundant(one.dropped) for one in self.six)
        return needed and all(a.verdict != "undecided" for a in answers) and all(row.as_expected for row in rows)


def build(seed: int, say: Say) -> Report:
    """Prove and check everything; `say` hears what is being done."""
    start, preset = time.perf_counter(), PRESETS["paper"]
    six = []
    for name in SIX:
        say(name)
        variant = load(name)
        answer = check([variant], preset, seed)
        six.append(Expanded(name, answer, tuple(dropped(variant, preset, seed)), evidence(name, seed)))
    say("all six together")
    together = check([load(name) for name in SIX], preset, seed)
    together_rows = evidence(ALL_SIX, seed)
    say("findings")
    found = tuple(findings(seed))
    return Report(tuple(six), together, together_rows, found, time.perf_counter() - start)


def write_report(path: Path, seed: int = 0, say: Say = lambda text: None) -> Report:
    """Build the report and write its page.  Raises VariantError where the file cannot be written."""
    from .page import render  # here, because the templates cost time that other commands need not pay

    with written(path) as parts:
        report = build(seed, say)
        say("page")
        parts.append(render(page(report)))
    return report


# ---------------------------------------------------------------- the page


def page(report: Report) -> Page:
    """The report as a page."""
    return Page(
        title="Function-preserving expansions of transformers",
        intro=INTRO,
        sections=(*(expansion_section(one) for one in report.six), together_section(report)),
        findings=tuple(finding_of(found) for found in report.findings),
        rules=rules(),
        trust=TRUST,
        seconds=report.seconds,
    )


def expansion_section(one: Expanded) -> Section:
    claim = one.answer.parts[0]
    constraints = [constraint_of(claim, dropped, ()) for dropped in one.dropped]
    return section(one.answer, one.name, constraints, [evidence_row(row) for row in one.rows])


def together_section(report: Report) -> Section:
    found = section(report.together, "all-six", (), [evidence_row(row) for row in report.together_rows])
    return replace(found, title="All six, one after the other")


def finding_of(found: Finding) -> ShownFinding:
    """A finding with the verdicts, its counterexample, what remained open, and what was measured."""
    refuted = next((answer for answer in found.answers if answer.counterexample is not None), None)
    verdicts = [f"{answer.variants[0].name}: {answer.verdict}." for answer in found.answers]
    marks: list[Mark] = [answer.verdict for answer in found.answers]
    return ShownFinding(
        id=found.id,
        title=text_of(found.title),
        text=(text_of(found.text), *verdicts, *found.measured),
        marks=tuple(marks) or ("measured",),
        formulas=() if refuted is None else tuple(f"{latex(a)} = {latex(b)}" for a, b in refuted.residual),
        counterexample=None if refuted is None or refuted.counterexample is None else shown(refuted.counterexample),
    )


# ---------------------------------------------------------------- JSON


def report_json(report: Report) -> Json:
    """The fields of `report --json`."""
    return {
        "format": "growproof report 1",
        "expansions": [expansion_json(one) for one in report.six],
        "composition": {"verdict": report.together.verdict, "steps": steps_of(report.together)},
        "findings": [finding_json(found) for found in report.findings],
        "seconds": round(report.seconds, 3),
    }


def expansion_json(one: Expanded) -> Json:
    return {
        "name": one.name,
        "verdict": one.answer.verdict,
        "steps": steps_of(one.answer),
        "constraints": {
            "sufficient": one.answer.verdict == "proved",
            "irredundant": irredundant(one.dropped),
            "dropped": [dropped_json(dropped) for dropped in one.dropped],
        },
        "numeric": [row_json(row) for row in one.rows],
    }


def steps_of(answer: Answer) -> int:
    return answer.claims[-1].step_count


def dropped_json(dropped: Dropped) -> Json:
    found = dropped.counterexample
    return {
        "constraint": dropped.text,
        "counterexample": None if found is None else counterexample_json(found),
    }


def row_json(row: Row) -> Json:
    return {
        "dtype": row.dtype,
        "sizes": dict(row.sizes),
        "case": row.case,
        "control": row.control,
        "max_abs": row.max_abs,
        "max_ulp": row.max_ulp,
        "bound": row.bound,
        "ratio": row.ratio,
        "passed": row.passed,
    }


def finding_json(found: Finding) -> Json:
    evidence = [
        {
            "name": answer.variants[0].name,
            "verdict": answer.verdict,
            "counterexample": counterexample_json(answer.counterexample) if answer.counterexample else None,
        }
        for answer in found.answers
    ]
    return {
        "id": found.id,
        "text": f"{plain(found.title)}. {plain(found.text)}",
        "evidence": [*evidence, *found.measured],
    }


def one_page(answer: Answer, numeric: Sequence[NumericRow], constraints: Sequence[Any], seconds: float) -> Page:
    """The page of `check --html`: one section."""
    return Page(
        title=section_title(answer),
        intro=INTRO,
        sections=(section(answer, "answer", constraints, numeric),),
        rules=rules(),
        trust=TRUST,
        seconds=seconds,
    )


def section_title(answer: Answer) -> str:
    return " then ".join(variant.name for variant in answer.variants)
