"""Lessons as HTML: every page is one file with its style, font, script and data inside."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment
from markupsafe import Markup, escape

from ...symbolic.notation import name_latex
from ..mathml import mathml
from ..page import environment, policy, scoped_style, style_sheet
from ..sections import shown
from .exercise import Exercise, Feedback
from .lines import source
from .notation import notation
from .spellings import as_json

if TYPE_CHECKING:
    from .lesson import Lesson
    from .taught import Taught
    from .training import History

TEMPLATES = Path(__file__).parent.parent / "templates"
SCRIPTS = ("course-served.js", "course-factor.js", "course.js")
CONNECT = "; connect-src 'self'"  # to the prover, where a page is served by it
WORD = re.compile(r"`([^`]+)`|\b([A-Za-z]+_\w+)")

HOW = {
    "fill": "The prover decided each of these choices when the page was written.",
    "repair": "The prover decided each of these choices when the page was written.",
    "zeros": "The prover decided every set of blocks when the page was written.",
    "order": "The kernel made every step that you can reach when the page was written.",
    "learns": "When each block moves was found by proof and derivative when the page was written.",
    "scale": "This page only compares numbers: your factor with the solver's, which the prover accepted, at sizes "
    "drawn by chance.",
    "numbers": "This page runs both models on your numbers.",
    "design": "This answer needs the prover: open the pack with `growproof serve --course`, save your design as a file "
    "for `growproof check`, or use the notebook.",
}


def file_of(lesson: Lesson) -> str:
    return f"{lesson.number:02}-{lesson.id}.html"


@cache
def templates() -> Environment:
    """The templates of the report with what lessons need besides."""
    found = environment().overlay()
    found.filters |= {"prose": prose, "json": json.dumps, "typed": typed}
    found.globals |= {"curve_of": curve, "file_of": file_of}
    return found


def prose(text: str) -> Markup:
    """A lecturer's sentence: names of blocks drawn as in formulas, what stands in backquotes as code.

    >>> prose("set `a*b` of M_A")
    Markup('set <code>a*b</code> of <math><msub><mi>M</mi><mi>A</mi></msub></math>')
    """
    parts, end = [], 0
    for match in WORD.finditer(text):
        quoted, name = match.groups()
        parts.append(escape(text[end : match.start()]))
        name = quoted if quoted is not None and re.fullmatch(r"[A-Za-z]+_\w+", quoted) else name
        parts.append(Markup("<code>{}</code>").format(quoted) if name is None else Markup(mathml(name_latex(name))))
        end = match.end()
    return Markup().join([*parts, escape(text[end:])])


def typed(name: str) -> Markup:
    """The name of a size as it is drawn, and where they differ as it is typed.

    >>> typed("k_hat")
    Markup('<math><mover accent="true"><mi>k</mi><mo stretchy="false">ˆ</mo></mover></math> (typed <code>k_hat</code>)')
    """
    drawn = Markup(mathml(name_latex(name)))
    return drawn if len(name) == 1 else drawn + Markup(" (typed <code>{}</code>)").format(name)


# ---------------------------------------------------------------- pages


def lesson_page(found: Taught, lessons: Sequence[Lesson]) -> str:
    i = [lesson.id for lesson in lessons].index(found.lesson.id)
    around = (lessons[i - 1] if i else None, lessons[i + 1] if i + 1 < len(lessons) else None)
    script = Markup("\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS))
    return page(
        "course-lesson.html.j2", script, taught=found, around=around, how=HOW, forward=source(), spellings=as_json()
    )


def index_page(lessons: Sequence[Lesson], notebooks: bool) -> str:
    return page("course-index.html.j2", scripts(SCRIPTS[0]), lessons=lessons, notebooks=notebooks)


def notation_page() -> str:
    return page("course-notation.html.j2", Markup(), notation=notation())


def lecturer_page(parts: Sequence[str]) -> str:
    return page("course-lecturer.html.j2", Markup(), parts=list(map(Markup, parts)))


def lecturer_part(found: Taught) -> str:
    return templates().get_template("course-solutions.html.j2").render(taught=found)


def scripts(*names: str) -> Markup:
    return Markup("\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names))


def page(template: str, script: Markup, **more: object) -> str:
    style = style_sheet("course.css")
    rules = policy(style, script) + (CONNECT if script else "")
    return templates().get_template(template).render(known=set(), style=style, script=script, policy=rules, **more)


# ---------------------------------------------------------------- fragments


def feedback_html(found: Feedback) -> str:
    """What is said about an answer, for a page that has the style sheet already."""
    example = found.counterexample
    numbers = None if example is None else replace(shown(example), blame="")  # which the text has said
    return templates().get_template("course-feedback.html.j2").render(feedback=found, numbers=numbers)


def feedback_fragment(found: Feedback) -> str:
    return fragment(feedback_html(found))


def question_fragment(exercise: Exercise) -> str:
    return fragment(templates().get_template("course-question.html.j2").render(exercise=exercise))


def history_fragment(found: History) -> str:
    return fragment(templates().get_template("course-history.html.j2").render(history=found, curve=curve(found)))


def fragment(html: str) -> str:
    sheet = (TEMPLATES / "course.css").read_text(encoding="utf-8")
    inside = f".growproof {{\n{sheet}\n}}"
    return f'<div class="growproof"><style>{scoped_style()}\n{inside}</style>{html}</div>'


# ---------------------------------------------------------------- the loss curve


@dataclass(frozen=True)
class Curve:
    """A loss curve in the units of its picture: the line, and a mark for every growth."""

    width: int
    height: int
    line: str
    marks: tuple[tuple[float, float], ...]
    labels: tuple[tuple[float, str], ...]  # heights on the axis
    last: int


def curve(found: History, width: int = 640, height: int = 240) -> Curve:
    """The losses as points; the axis begins at zero."""
    top, left, room = max(found.losses), 40, height - 30
    across = (width - left - 10) / (len(found.losses) - 1)

    def x(step: int) -> float:
        return round(left + across * step, 1)

    def y(loss: float) -> float:
        return round(10 + (room - 10) * (1 - loss / top), 1)

    line = " ".join(f"{x(i)},{y(loss)}" for i, loss in enumerate(found.losses))
    labels = tuple((y(value), f"{value:.2g}") for value in (0, top / 2, top))
    return Curve(width, height, line, tuple((x(g.at), y(g.before)) for g in found.growths), labels, len(found.losses))
