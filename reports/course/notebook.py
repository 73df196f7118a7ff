"""Lessons as Jupyter notebooks, for students and with solutions; the cells carry nbgrader's metadata."""

from __future__ import annotations

import re
from typing import Any

from ..view import Math, Text
from .exercise import bare
from .lines import source
from .taught import Asked, Taught

NOTATION = "../../notation.html"  # from where a pack has its notebooks
HINT = "`exercise.hint(1)` gives a first hint, `exercise.hint(2)` the next."


def available() -> bool:
    """Whether notebooks can be written: nbformat is an extra."""
    from importlib.util import find_spec

    return find_spec("nbformat") is not None


def notebook(found: Taught, solutions: bool) -> str:
    """A lesson as the text of a notebook; `solutions` makes it the instructor's."""
    import nbformat
    from nbformat import v4

    cells = [*introduction(found), *explanation(found), *numpy_cells(found)]
    for number, asked in enumerate(found.asked, 1):
        cells += exercise_cells(number, asked, solutions)
    for i, cell in enumerate(cells):
        cell["id"] = f"{found.lesson.id}-{i}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    book = v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})
    nbformat.validate(book)
    return nbformat.writes(book) + "\n"


def introduction(found: Taught) -> list[Any]:
    lesson = found.lesson
    goals = "\n".join(f"- {marked(goal)}" for goal in lesson.goals)
    idea = "\n\n".join(map(marked, lesson.idea))
    letters = f"[what the letters mean]({NOTATION})"
    title = f"# {lesson.number}. {lesson.title}\n\n{lesson.minutes} minutes; {letters}"
    return [
        text_cell(f"{title}\n\n{goals}\n\n## The idea\n\n{idea}"),
        code_cell("import growproof"),
    ]


def explanation(found: Taught) -> list[Any]:
    """The blocks and the proof, as the front door shows them; then what breaks it."""
    lesson = found.lesson
    variants = [f"growproof.loads({literal(variant.text)})" for variant in lesson.variants]
    names = ", ".join(f"variant_{i}" if len(variants) > 1 else "variant" for i in range(1, len(variants) + 1))
    lines = [f"{name} = {made}" for name, made in zip(names.split(", "), variants, strict=True)]
    reading = "\n\n".join(map(marked, lesson.reading))
    statement = "\n\n".join(map(sentence, found.statement))
    cells = [
        text_cell(f"## Why it is true\n\n{statement}\n\n{reading}"),
        code_cell("\n".join(lines)),
        code_cell(f'growproof.prove({names}, architecture="{lesson.preset.name}")'),
    ]
    if found.ways:
        cells.append(text_cell(f"## Two ways to prove it\n\n{ways_table(found)}"))
    if found.conditions:
        formulas = (f"{one.square}: ${latex}$" for one in found.conditions for latex in one.latex)
        cells.append(text_cell("\n\n".join(["## The weakest condition", *formulas])))
    if lesson.broken is not None:
        made = f"growproof.loads({literal(bare(lesson.broken.variant))})"
        cells.append(text_cell(f"## What breaks it\n\n{marked(lesson.broken.text)}"))
        cells.append(code_cell(f'growproof.check({made}, architecture="{lesson.broken.preset.name}")'))
    if found.history is not None:
        cells.append(text_cell("## A model that grows while it learns"))
        cells.append(code_cell("from growproof.reports.course.training import trained\n\ntrained()"))
    return cells


def ways_table(found: Taught) -> str:
    rows = (f"| {way.title} | {way.goals} | {way.steps} |" for way in found.ways)
    return "\n".join(["| Theorem | Goals | Steps |", "|---|---|---|", *rows])


def numpy_cells(found: Taught) -> list[Any]:
    if not found.lines:
        return []
    cells = [text_cell("## In numpy"), code_cell(source())]
    for lines in found.lines:
        cells += [code_cell(part) for part in (lines.old, lines.new, lines.rewrite, lines.compare) if part]
    return cells


# ---------------------------------------------------------------- exercises


def exercise_cells(number: int, asked: Asked, solutions: bool) -> list[Any]:
    """The question, without an answer from before; the cell for the answer; and the cell that grades it."""
    exercise = asked.exercise
    identifier = f"{exercise.lesson}-{exercise.name}"
    expects = f"Expected: {exercise.kind.expects}. {HINT if exercise.hints else ''}"
    answer = exercise.solution() if solutions else ...
    written = f"### BEGIN SOLUTION\nanswer = {literal(answer)}\n### END SOLUTION" if solutions else "answer = ..."
    return [
        text_cell(f"## Exercise {number}\n\n{marked(exercise.question)}\n\n{expects}"),
        code_cell(
            f'exercise = growproof.exercise("{exercise.lesson}", "{exercise.name}")\nanswer = None\nexercise',
            nbgrader(f"{identifier}-question", solution=False, locked=True),
        ),
        code_cell(written, nbgrader(identifier, solution=True, locked=False)),
        code_cell(
            "feedback = exercise.check(answer)\ndisplay(feedback)\nfeedback.require()",
            nbgrader(f"{identifier}-test", solution=False, locked=True, points=exercise.points),
        ),
    ]


def nbgrader(identifier: str, solution: bool, locked: bool, points: int | None = None) -> dict[str, Any]:
    """nbgrader's metadata of a cell: one to fill in, or one that is locked; one that gives points grades."""
    grade = points is not None
    own = {"grade_id": identifier, "grade": grade, "solution": solution, "locked": locked, "task": False}
    return {"nbgrader": {**own, **({"points": points} if grade else {}), "schema_version": 3}}


# ---------------------------------------------------------------- cells


def text_cell(text: str) -> Any:
    from nbformat import v4

    return v4.new_markdown_cell(text)


def code_cell(code: str, metadata: dict[str, Any] | None = None) -> Any:
    from nbformat import v4

    return v4.new_code_cell(code, metadata=metadata or {})


def literal(value: object) -> str:
    """A value as Python writes it; a text of several lines between three quotes."""
    if isinstance(value, str) and "\n" in value and "'''" not in value and "\\" not in value:
        return f"'''\n{value.strip()}\n'''"
    return "..." if value is ... else repr(value)


def marked(text: str) -> str:
    """A lecturer's sentence as Markdown: names of blocks as code.

    >>> marked("set `a*b` of M_A")
    'set `a*b` of `M_A`'
    """
    return re.sub(r"`[^`]+`|\b[A-Za-z]+_\w+", lambda found: f"`{found[0].strip('`')}`", text)


def sentence(text: Text) -> str:
    parts = (text,) if isinstance(text, str) else text
    return "".join(f"${part.latex}$" if isinstance(part, Math) else part for part in parts)
