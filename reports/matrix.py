"""The matrix as lines of text, as JSON and as a page: what each architecture does to each expansion."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..proofs.check import preset_named
from ..proofs.experiment import Outcome
from ..proofs.matrix import Cell, Matrix, matrix
from ..symbolic.architecture import PRESETS, paper_model
from ..symbolic.expand import expand
from ..symbolic.variant import load
from .answers import counterexample_json
from .files import unwritable, written
from .page import _environment, _policy, _style
from .report import SIX
from .sections import shown
from .view import Counterexample, Text

Json = dict[str, Any]
Say = Callable[[str], None]
TEMPLATES = Path(__file__).with_name("templates")

WORDS = {"proved": "proved", "refuted": "refuted", "undecided": "undecided", "not-applicable": "does not apply"}
SHORT = {"not-applicable": "-"}
REPAIRED = "refuted *"
SHAPES = {"proved": "✓", "refuted": "✗", "undecided": "?", "not-applicable": "–"}


# ---------------------------------------------------------------- the command


def run(chosen: argparse.Namespace, say: Say) -> Matrix:
    """Find the matrix that the arguments ask for, and write the files that they name.

    Raises VariantError for unknown names, for a variant that does not fit the architecture that it names itself, and
    for places that cannot be written, before the work begins.
    """
    names = chosen.expansion or SIX
    expansions = {name: load(name) for name in names}
    for variant in expansions.values():
        expand(paper_model(preset_named(variant.architecture)), variant)
    presets = [preset_named(name) for name in dict.fromkeys(chosen.architecture or PRESETS)]
    with ExitStack() as files:
        page = files.enter_context(written(chosen.html)) if chosen.html is not None else None
        if chosen.repairs is not None:
            folder(chosen.repairs)
        found = matrix(expansions, tuple(presets), chosen.seed, say)
        if page is not None:
            page.append(matrix_page(found))
    if chosen.repairs is not None:
        save_repairs(found, chosen.repairs)
    return found


def folder(path: Path) -> None:
    """Make a folder unless it is there.  Raises VariantError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from None


def save_repairs(found: Matrix, path: Path) -> None:
    """Every repaired variant as a file."""
    for cell in found.cells.values():
        if cell.repair is not None:
            with written(path / f"{Path(cell.expansion).stem}-{cell.architecture}.toml") as parts:
                parts.append(cell.repair.variant.text)


# ---------------------------------------------------------------- JSON


def matrix_json(found: Matrix) -> Json:
    """The cells by architecture and expansion."""
    return {
        preset.name: {cell.expansion: cell_json(cell) for cell in found.row(preset.name)}
        for preset in found.architectures
    }


def cell_json(cell: Cell) -> Json:
    repair = cell.repair
    return {
        "verdict": cell.verdict,
        "reason": cell.reason,
        "features": list(cell.features),
        "counterexample": None if cell.counterexample is None else counterexample_json(cell.counterexample),
        "repair": None
        if repair is None
        else {
            "changes": list(repair.changes),
            "verdict": "proved",
            "never_learn": list(cell.dead),
            "variant": repair.variant.text,
        },
        "numeric": [
            {"dtype": one.dtype, "max_abs": one.agreement.max_abs, "max_ulp": one.agreement.max_ulp}
            for one in cell.outcomes
        ],
        "seconds": round(cell.seconds, 3),
    }


# ---------------------------------------------------------------- text


def matrix_text(found: Matrix) -> Iterator[str]:
    """The table, and below it what is to be said about every cell that is not proved."""
    yield from table_text(found)
    for cell in found.cells.values():
        if cell.verdict != "proved":
            yield ""
            yield from cell_text(cell)
    yield ""
    yield summary(found)


def table_text(found: Matrix) -> Iterator[str]:
    names = [Path(name).stem.replace("-", " ", 1).split(" ") for name in found.expansions]
    heads = [[*[""] * (2 - len(parts)), *parts] for parts in names]  # two lines, the words at the bottom
    rows = [[preset.name, *map(short, found.row(preset.name))] for preset in found.architectures]
    lines = [["", *(head[0] for head in heads)], ["", *(head[1] for head in heads)], *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(f"{entry:{width}}" for entry, width in zip(line, widths, strict=True)).rstrip()
    if any(cell.repair is not None for cell in found.cells.values()):
        yield "* and a proved repair is known"


def short(cell: Cell) -> str:
    return REPAIRED if cell.repair is not None else SHORT.get(cell.verdict, cell.verdict)


def cell_text(cell: Cell) -> Iterator[str]:
    yield f"{WORDS[cell.verdict]}: {cell.expansion} on {cell.architecture}"
    yield f"  {cell.reason}"
    if cell.counterexample is not None:
        yield f"  {difference(cell)}"
    if cell.repair is not None:
        yield f"  repair, proved: {'; '.join(cell.repair.changes)}"
        if cell.dead:
            yield f"  {never_learn(cell)}"
    elif cell.verdict == "refuted":
        yield "  no repair was found"


def difference(cell: Cell) -> str:
    assert cell.counterexample is not None
    return f"counterexample, replayed in numpy: the outputs differ by {cell.counterexample.replay.max_abs:.3g}"


def never_learn(cell: Cell) -> str:
    return f"no gradient ever reaches these new blocks of the repair: {', '.join(cell.dead)}"


def summary(found: Matrix) -> str:
    """How many cells came out how.

    >>> summary(Matrix({}, (), {}))
    '0 cells: nothing'
    """
    verdicts = [cell.verdict for cell in found.cells.values()]
    counts = [f"{verdicts.count(verdict)} {WORDS[verdict]}" for verdict in WORDS if verdict in verdicts]
    repaired = sum(cell.repair is not None for cell in found.cells.values())
    noted = [*counts, *([f"{repaired} repaired"] if repaired else [])]
    return f"{len(verdicts)} cells: {', '.join(noted) or 'nothing'}"


# ---------------------------------------------------------------- the page


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


def matrix_section(found: Matrix) -> MatrixSection:
    """What a page shows of a matrix."""
    titles = {name: variant.name for name, variant in found.expansions.items()}
    rows = (
        ShownArchitecture(
            preset.name,
            preset.description,
            preset.source,
            tuple(shown_cell(cell, titles[cell.expansion]) for cell in found.row(preset.name)),
        )
        for preset in found.architectures
    )
    return MatrixSection(tuple(titles.values()), tuple(rows), summary(found))


def shown_cell(cell: Cell, title: str) -> ShownCell:
    repaired, verdict = cell.repair is not None, cell.verdict
    return ShownCell(
        id=f"{cell.architecture}--{Path(cell.expansion).stem}",
        title=title,
        kind="repaired" if repaired else verdict,
        shape=SHAPES[verdict],
        word=f"{WORDS[verdict]}, repaired" if repaired else WORDS[verdict],
        reason=sentence(cell.reason),
        numbers=numbers(cell.outcomes),
        counterexample=None if cell.counterexample is None else shown(cell.counterexample),
        changes=() if cell.repair is None else cell.repair.changes,
        note=sentence(never_learn(cell)) if cell.dead else "",
        variant_text="" if cell.repair is None else cell.repair.variant.text,
        repairable=verdict == "refuted",
    )


def sentence(text: str) -> str:
    """
    >>> sentence("what breaks it: LayerNorm")
    'What breaks it: LayerNorm.'
    """
    return f"{text[:1].upper()}{text[1:]}."


def numbers(outcomes: tuple[Outcome, ...]) -> str:
    """What numpy says."""
    found = [f"{one.dtype}: {one.agreement.max_abs:.2g}" for one in outcomes]
    return f"Largest difference of the outputs in numpy, {', '.join(found)}." if found else ""


def matrix_page(found: Matrix) -> str:
    """A page of its own."""
    style = Markup(_style() + Markup((TEMPLATES / "matrix.css").read_text(encoding="utf-8")))
    template = _environment().get_template("matrix-page.html.j2")
    section = matrix_section(found)
    return template.render(matrix=section, seconds=found.seconds, style=style, policy=_policy(style, ""))
