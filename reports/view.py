"""What a report page shows, as plain data: the HTML is made from these and nothing else.

Formulas are LaTeX strings printed from checked objects.  Where a sentence holds formulas it is a `Text`:
a string, or a tuple of strings and `Math`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .zoo import Zoo

Verdict = Literal["proved", "refuted", "undecided"]
Kind = Literal["old", "free", "zero"]
Mark = Literal["proved", "refuted", "undecided", "measured"]
SHAPES = {"proved": "✓", "refuted": "✗", "undecided": "?", "measured": "≈", "not-applicable": "–"}
"""The shape beside each word for a verdict, so that colour says nothing alone."""


@dataclass(frozen=True)
class Math:
    """A formula within a sentence."""

    latex: str


Text = str | tuple[str | Math, ...]


@dataclass(frozen=True)
class Cell:
    """One block of a grown parameter: an old one, a new one that is free, or a new one that must be zero."""

    latex: str
    kind: Kind


@dataclass(frozen=True)
class Picture:
    """A grown parameter as its blocks, with the size of each row and each column of blocks."""

    parameter: str
    rows: tuple[tuple[Cell, ...], ...]
    row_sizes: tuple[str, ...]
    column_sizes: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """One rule applied to the whole left side of the goal, or to the part of it that stands in `before`."""

    rule: str
    reason: Text
    before: str
    after: str


@dataclass(frozen=True)
class Goal:
    """One commuting square and its equational proof, `left = ... = right`."""

    title: Text
    left: str
    right: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Value:
    """An intermediate value in both models."""

    name: str
    original: str
    expanded: str
    differs: bool


@dataclass(frozen=True)
class Counterexample:
    """An instance that meets every other constraint and changes the function, with the values on the way."""

    sizes: tuple[tuple[str, str], ...]
    parameters: tuple[tuple[str, str], ...]
    input: str
    intermediates: tuple[Value, ...]
    original: str
    expanded: str
    difference: Text
    first_divergence: Text
    replay: Text
    blame: Text = ""


@dataclass(frozen=True)
class Constraint:
    """An initialisation constraint, what it is for, and what happens without it."""

    latex: str
    role: Text
    counterexample: Counterexample | None = None


@dataclass(frozen=True)
class Start:
    """A set of choices for the new blocks, as formulas, with numbers where it is not enough."""

    chosen: Text
    counterexample: Counterexample | None = None


@dataclass(frozen=True)
class Condition:
    """What one square asks of the new blocks, and what is known about that."""

    square: str
    latex: tuple[str, ...]
    addition: Text
    status: Text


@dataclass(frozen=True)
class Initialiser:
    """What an initialiser may do: every start that suffices, the weakest condition, and what learns.

    `explorer` is what the page's script reads: every start, decided beforehand; `blocks` are its switches.
    """

    verdict: Text
    bounded: Text
    in_force: str  # the constraints that no choice replaces
    enough: tuple[Start, ...]
    not_enough: tuple[Start, ...]
    open: tuple[Text, ...]
    conditions: tuple[Condition, ...]
    learning: tuple[tuple[str, Text, Text], ...]  # a block, when it moves, how that is known
    blocks: tuple[str, ...] = ()
    explorer: str = ""


@dataclass(frozen=True)
class NumericRow:
    """One comparison in floating point; a control is one that must fail, and `passed` says that it did."""

    dtype: str
    sizes: Text
    what: Text
    max_abs: float | None
    max_ulp: float | None
    bound: float | None
    ratio: float | None
    control: bool
    passed: bool


@dataclass(frozen=True)
class Repaired:
    """A repair, proved: what it changes, and the text of the repaired variant."""

    changes: tuple[str, ...]
    variant_text: str


@dataclass(frozen=True)
class Section:
    """One expansion, or one composition: what is claimed, why it holds and what the numbers say.

    What is only shown, and no answer, has no verdict.
    """

    id: str
    title: str
    source: str
    description: Text
    verdict: Verdict | None
    statement: tuple[Text, ...] = ()
    assumptions: tuple[Text, ...] = ()
    pictures: tuple[Picture, ...] = ()
    goals: tuple[Goal, ...] = ()
    residual: tuple[str, ...] = ()
    counterexample: Counterexample | None = None
    features: tuple[str, ...] = ()
    repairs: tuple[Repaired, ...] = ()
    tried: Text = ""
    constraints: tuple[Constraint, ...] = ()
    initialiser: Initialiser | None = None
    numeric: tuple[NumericRow, ...] = ()
    factors: tuple[Text, ...] = ()
    sha256: str = ""
    certificate_json: str = ""
    variant_text: str = ""


@dataclass(frozen=True)
class Finding:
    """Something that the program found out about the paper, with its evidence."""

    id: str
    title: Text
    text: tuple[Text, ...]
    marks: tuple[Mark, ...]
    formulas: tuple[str, ...] = ()
    counterexample: Counterexample | None = None
    numeric: tuple[NumericRow, ...] = ()
    link: str = ""


@dataclass(frozen=True)
class ShownCell:
    """A cell as the page shows it; `kind` is its shape in the picture."""

    id: str
    title: str
    kind: str
    shape: str
    word: str
    reason: Text
    numbers: Text
    counterexample: Counterexample | None
    changes: tuple[str, ...]
    note: Text
    variant_text: str
    repairable: bool


@dataclass(frozen=True)
class ShownArchitecture:
    """A row of the picture: an architecture, where its facts come from, and its cells."""

    name: str
    description: str
    source: str
    cells: tuple[ShownCell, ...]


@dataclass(frozen=True)
class MatrixSection:
    """The matrix as plain data, for a page of its own or as a section of another."""

    expansions: tuple[str, ...]
    rows: tuple[ShownArchitecture, ...]
    summary: str


@dataclass(frozen=True)
class Page:
    """The whole report."""

    title: str
    intro: tuple[Text, ...]
    sections: tuple[Section, ...]
    findings: tuple[Finding, ...] = ()
    rules: tuple[tuple[str, str], ...] = ()
    trust: tuple[Text, ...] = ()
    seconds: float | None = None
    matrix: MatrixSection | None = None
    zoo: Zoo | None = None
