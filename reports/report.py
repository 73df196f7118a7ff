"""The report: the paper's six expansions proved, their constraints and numbers, and the findings."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..numeric.evidence import ALL_SIX, Row, evidence
from ..proofs.check import Answer, check
from ..proofs.constraints import Constraints, study_of
from ..proofs.findings import Finding, findings
from ..proofs.lattice import Sorted
from ..proofs.liveness import standstill
from ..proofs.matrix import SIX, Matrix, matrix
from ..proofs.places import apart
from ..proofs.remarks import Remarks
from ..proofs.statement import plain
from ..symbolic.architecture import PRESETS, Preset
from ..symbolic.variant import Variant, load
from .answers import counterexample_json, remaining_latex, residual_of
from .files import written
from .initialiser import parts_json
from .matrix import matrix_section
from .sections import evidence_row, rules, section, shown, text_of
from .starts import with_study
from .trust import TRUST, intro
from .view import Finding as ShownFinding
from .view import Mark, Page, Section
from .zoo import Zoo, zoo_section

Say = Callable[[str], None]
Json = dict[str, Any]
NO_OTHERS: Mapping[str, Variant] = {}


@dataclass(frozen=True)
class Expanded:
    """Everything the report says about one expansion."""

    name: str
    answer: Answer
    constraints: Constraints
    standstill: Mapping[str, Sorted]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Report:
    """What was found about the six, their composition, and the paper."""

    six: tuple[Expanded, ...]
    together: Answer
    together_rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    matrix: Matrix | None  # None: real architectures were not asked about
    zoo: Zoo | None  # None: nor was the literature
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
        studied = all(one.constraints.irredundant and one.constraints.decided for one in self.six)
        matrix = self.matrix is None or self.matrix.decided
        zoo = self.zoo is None or self.zoo.as_expected
        decided = studied and matrix and zoo and all(answer.verdict != "undecided" for answer in answers)
        return decided and all(row.as_expected for row in rows)


def build(
    seed: int, say: Say, architectures: Sequence[Preset] = (), others: Mapping[str, Variant] = NO_OTHERS
) -> Report:
    """Prove and check everything, on further architectures too, and other variants; `say` hears what is being done."""
    start, preset = time.perf_counter(), PRESETS["paper"]
    six = []
    for name in SIX:
        say(name)
        variant = load(name)
        answer = check([variant], preset, seed)
        studied = study_of(answer.parts[0], preset, seed)
        still = standstill(answer.parts[0], seed)
        six.append(Expanded(name, answer, studied, still, evidence(name, seed)))
    say("all six together")
    together = check([load(name) for name in SIX], preset, seed)
    together_rows = evidence(ALL_SIX, seed)
    say("findings")
    found = tuple(findings(seed))
    expansions = {name: load(name) for name in SIX}
    cells = matrix(expansions, tuple(architectures), seed, say) if architectures else None
    animals = zoo_section(others, seed, say) if others else None
    return Report(tuple(six), together, together_rows, found, cells, animals, time.perf_counter() - start)


def write_report(
    path: Path,
    seed: int = 0,
    say: Say = lambda text: None,
    architectures: Sequence[Preset] = (),
    others: Mapping[str, Variant] = NO_OTHERS,
) -> Report:
    """Build the report and write its page.  Raises VariantError where the file cannot be written."""
    from .page import render  # here, because the templates cost time that other commands need not pay

    with written(path) as parts:
        report = build(seed, say, architectures, others)
        say("page")
        parts.append(render(page(report)))
    return report


# ---------------------------------------------------------------- the page


def page(report: Report) -> Page:
    """The report as a page."""
    return Page(
        title="Function-preserving expansions of transformers",
        intro=intro(PRESETS["paper"]),
        sections=(*(expansion_section(one) for one in report.six), together_section(report)),
        findings=tuple(finding_of(found) for found in report.findings),
        rules=rules(),
        trust=TRUST,
        seconds=report.seconds,
        matrix=None if report.matrix is None else matrix_section(report.matrix),
        zoo=report.zoo,
    )


def expansion_section(one: Expanded) -> Section:
    plain = section(one.answer, one.name, [evidence_row(row) for row in one.rows])
    return with_study(plain, one.constraints, one.standstill)


def together_section(report: Report) -> Section:
    found = section(report.together, "all-six", [evidence_row(row) for row in report.together_rows])
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
        formulas=() if refuted is None else tuple(map(remaining_latex, residual_of(refuted))),
        counterexample=None if refuted is None or refuted.counterexample is None else shown(refuted.counterexample),
        link=found.about,
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
        "constraints": parts_json(one.constraints),
        "numeric": [row_json(row) for row in one.rows],
    }


def steps_of(answer: Answer) -> int:
    return answer.claims[-1].step_count


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


def one_page(answer: Answer, remarks: Remarks, seconds: float, seed: int) -> Page:
    """The page of `check --html`: one section; a single proved variant comes with the study of its constraints."""
    found = section(answer, "answer", remarks=remarks)
    if answer.verdict == "proved" and len(answer.variants) == 1:
        found = studied(found, study_of(answer.parts[0], answer.preset, seed), seed)
    return Page(section_title(answer), intro(answer.preset), (found,), rules=rules(), trust=TRUST, seconds=seconds)


def study_page(found: Constraints, seed: int, seconds: float) -> Page:
    """The page of `constraints --html`."""
    answer = check(found.claim.variants, found.claim.steps[0].old.preset, seed)
    plain = section(answer, "answer")
    sections = (studied(plain, found, seed),)
    return Page(section_title(answer), intro(answer.preset), sections, rules=rules(), trust=TRUST, seconds=seconds)


def studied(plain: Section, found: Constraints, seed: int) -> Section:
    """With the explorer where every choice is a block at zero and no other constraint is in force."""
    zeros = all(choice.text == f"{choice.label} = 0" for choice in found.study.choices)
    zeros = zeros and not found.study.kept and not found.study.sorted.unexplored
    zeros = zeros and apart(found.claim.steps[0]).is_as_written
    return with_study(plain, found, standstill(found.claim, seed) if zeros else None)


def section_title(answer: Answer) -> str:
    return " then ".join(variant.name for variant in answer.variants)
