"""The page: one self-contained HTML file from the view, through the templates.

Everything is inside the file, the mathematics font too.  The content security policy allows this one style sheet,
embedded fonts, and the one script of the explorer where a page has one; the page reads the same without it.
"""

import hashlib
import re
from base64 import b64encode
from dataclasses import replace
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from growproof.reports.embedded import data, embed
from growproof.reports.links import goals_with, radius, used_constraint, uses
from growproof.reports.mathml import mathml
from growproof.reports.view import SHAPES, Cell, Math, Page, Picture, Section, Step, Text

_HERE = Path(__file__).parent


def render(page: Page) -> str:
    """The page as HTML."""
    style, script = style_sheet("page.css", *(["matrix.css"] if page.matrix or page.zoo else [])), _script(page)
    known = {name for name, _ in page.rules}
    template = environment().get_template("page.html.j2")
    return template.render(page=page, known=known, style=style, script=script, policy=policy(style, script))


@cache
def environment() -> Environment:
    """The templates with their filters."""
    found = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "text": text,
        "math": _math,
        "display": lambda latex: Markup(mathml(latex, display=True)),
        "number": number,
        "certificate": lambda json: Markup(embed(json)),
        "data": lambda json: Markup(data(json)),
    }
    found.globals |= {"shapes": SHAPES, "chain": chain, "tally": tally, "wide": wide}
    found.globals |= {"uses": uses, "radius": radius, "used_constraint": used_constraint, "goals_with": goals_with}
    return found


@cache
def style_sheet(*more: str) -> Markup:
    """The style sheet with the font inside, and further ones."""
    font = b64encode((_HERE / "fonts" / "STIXTwoMath-subset.woff2").read_bytes()).decode("ascii")
    sheets = [(_HERE / "templates" / name).read_text(encoding="utf-8") for name in ("style.css", *more)]
    return Markup("".join(sheets).replace("FONT", font))


def fragment(section: Section) -> str:
    """A section by itself, for a notebook: its style reaches nothing around it, and nothing runs."""
    template = environment().get_template("fragment.html.j2")
    still = replace(section, certificate_json="", initialiser=None)
    return template.render(section=still, known=set(), style=scoped_style())


@cache
def scoped_style() -> Markup:
    """The style sheet for what is within a fragment, in the reader's own mathematics font.

    The rules stand inside one for the fragment, which takes the place of the whole page.
    """
    sheet = (_HERE / "templates" / "style.css").read_text(encoding="utf-8")
    rules = re.sub(
        r"(?m)^( *)(:root|html|body)(?= \{)", r"\1&", re.sub(r"@font-face \{[^}]*\}|@page \{[^}]*\}", "", sheet)
    )
    return Markup(
        f".growproof {{\n{rules}\n& {{ font-size: 1rem; max-width: none; padding: 0.5rem 1.2rem 1.2rem; }}\n}}"
    )


def _script(page: Page) -> Markup:
    """The script of the explorer, if a section has one."""
    used = any(section.initialiser is not None and section.initialiser.explorer for section in page.sections)
    return Markup((_HERE / "templates" / "explorer.js").read_text(encoding="utf-8") if used else "")


def policy(style: str, script: str) -> str:
    """What the page may load and run: what is in it."""
    sources = f"style-src {_digest(style)}; font-src data:" + (f"; script-src {_digest(script)}" if script else "")
    return f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'"


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"


def text(content: Text) -> Markup:
    """A sentence, escaped, with its formulas drawn.

    >>> text(("for all ", Math("p"), " < 3"))
    Markup('for all <math><mi>p</mi></math> &lt; 3')
    """
    parts = (content,) if isinstance(content, str) else content
    return Markup().join(_math(part.latex) if isinstance(part, Math) else escape(part) for part in parts)


def _math(latex: str) -> Markup:
    return Markup(mathml(latex))


def number(value: float | None) -> Markup:
    """A measured number with two digits, or a dash.

    >>> print(number(1.23e-7), number(0.0), number(2.5), number(None))
    1.2 × 10<sup>−7</sup> 0 2.5 –
    """
    if value is None:
        return Markup("–")
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    if value == 0 or -3 < int(exponent) < 5:
        return escape(f"{value:.3g}")
    return Markup("{} × 10<sup>{}</sup>").format(mantissa, str(int(exponent)).replace("-", "−"))


def chain(left: str, steps: tuple[Step, ...]) -> list[tuple[str, Step]]:
    """Each step with what to write before the equals sign: nothing when it goes on from the line above."""
    lines = []
    for step in steps:
        lines.append(("" if step.before == left else step.before, step))
        left = step.after
    return lines


def wide(picture: Picture, column: int) -> bool:
    """Whether a column of blocks holds an old one: old blocks are drawn wider than new ones."""
    cells: list[Cell] = [row[column] for row in picture.rows]
    return any(cell.kind == "old" for cell in cells)


def tally(section: Section) -> dict[str, str]:
    """The counts of a section for the summary table."""
    constraints = section.constraints
    needed = sum(constraint.counterexample is not None for constraint in constraints)
    checks = [row for row in section.numeric if not row.control]
    controls = [row for row in section.numeric if row.control]
    return {
        "steps": str(sum(len(goal.steps) for goal in section.goals)),
        "constraints": str(len(constraints)),
        "needed": _of(needed, len(constraints)),
        "starts": "–" if section.initialiser is None else str(len(section.initialiser.enough)),
        "checks": _of(sum(row.passed for row in checks), len(checks)),
        "controls": _of(sum(row.passed for row in controls), len(controls)),
    }


def _of(part: int, whole: int) -> str:
    return f"{part} of {whole}" if whole else "–"
