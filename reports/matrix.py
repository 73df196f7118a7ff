"""The matrix as lines of text, as JSON and as a page: what each architecture does to each expansion."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..proofs.check import preset_named
from ..proofs.experiment import Outcome
from ..proofs.matrix import SIX, Cell, Matrix, matrix
from ..symbolic.architecture import PRESETS, paper_model
from ..symbolic.expand import expand
from ..symbolic.variant import load
from ..symbolic.writing import fitted
from .answers import counterexample_json
from .files import folder, written
from .page import environment, policy, style_sheet
from .sections import shown
from .view import SHAPES, MatrixSection, ShownArchitecture, ShownCell

Json = dict[str, Any]
Say = Callable[[str], None]

WORDS = {"proved": "proved", "refuted": "refuted", "undecided": "undecided", "not-applicable": "does not apply"}
SHORT = {"not-applicable": "-"}
REPAIRED = "refuted *"


# ---------------------------------------------------------------- the command


def run(chosen: argparse.Namespace, say: Say) -> Matrix:
    """Find the matrix that the arguments ask for, and write the files that they name.

    Raises VariantError for unknown names, for a variant that does not fit the architecture that it names itself, and
    for places that cannot be written, before the work begins.
    """
    names = chosen.expansion or SIX
    expansions = {name: load(name) for name in names}
    for variant in expansions.values():
        own = preset_named(variant.architecture)
        expand(paper_model(own), fitted(variant, own))
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
    style, section = style_sheet("matrix.css"), matrix_section(found)
    template = environment().get_template("matrix-page.html.j2")
    return template.render(matrix=section, seconds=found.seconds, style=style, policy=policy(style, ""))
