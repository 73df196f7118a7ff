"""The documentation as one page, made from the documents that the tests check and from the docstrings of the API."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from markupsafe import Markup, escape

import growproof

from ..symbolic.errors import VariantError
from .page import environment, policy, style_sheet
from .view import SHAPES

DOCUMENTS = ("README.md", "VARIANTS.md", "EXTENDING.md", "ARCHITECTURE.md", "TRUST.md")


@dataclass(frozen=True)
class Document:
    """A document: its name on the page, its headings with theirs, and what it says."""

    id: str
    title: str
    headings: tuple[tuple[str, str], ...]
    html: Markup


def render() -> str:
    """The page as HTML.  Raises VariantError where a document is missing."""
    documents = [*(document(name, text_of(name)) for name in DOCUMENTS), api()]
    style = style_sheet("page.css")
    template = environment().get_template("docs.html.j2")
    return template.render(documents=documents, style=style, policy=policy(style, ""))


def text_of(name: str) -> str:
    """A document, from the source tree or from where it was installed.  Raises VariantError where it is missing."""
    tree = Path(__file__).parents[1] / name
    installed = (file.locate() for file in metadata.files("growproof") or () if file.name == name)
    for place in (tree, *map(Path, installed)):
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise VariantError("a document of growproof is missing", found=f"no {name}", expected="a whole installation")


def api() -> Document:
    """The public names as their docstrings describe them."""
    entries = [(name, getattr(growproof, name)) for name in sorted(growproof.__all__)]
    lines = ["# The Python API", "", "What `import growproof` gives; errors in what is given are `VariantError`s."]
    for name, function in entries:
        lines += ["", f"## growproof.{name}", "", "```python", f"{name}{inspect.signature(function)}", "```", ""]
        lines += ["```text", inspect.cleandoc(function.__doc__ or ""), "```"]
    return document("API.md", "\n".join(lines))


# ---------------------------------------------------------------- Markdown


def document(name: str, text: str) -> Document:
    """A document from its Markdown, in which HTML is text and comments are nothing.

    >>> document("A.md", "# Title").title
    'Title'
    """
    markdown = MarkdownIt("commonmark", {"html": False}, renderer_cls=Renderer).enable("table")
    said: dict[str, Any] = {"id": name.removesuffix(".md").lower(), "headings": [], "links": []}
    html = markdown.render(re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL), said)
    (id, title), *headings = said["headings"]
    return Document(id, title, tuple(headings), Markup(html))


class Renderer(RendererHTML):
    """Markdown as the pages have it; a method is named after the token that it draws, and `env` is the document."""

    def heading_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:
        """One level less, for the page has a title; the first two levels have names."""
        level, title = int(tokens[idx].tag[1]), plain(tokens[idx + 1])
        if level > 2:
            return f"<h{level + 1}>"
        slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        name = f"{env['id']}-{slug}" if env["headings"] else env["id"]
        env["headings"].append((name, title))
        return f'<h{level + 1} id="{name}">'

    def heading_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:
        return f"</h{int(tokens[idx].tag[1]) + 1}>\n"

    def paragraph_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:
        """What was found of the file above has its shape before its word."""
        word = re.match(r"\w*", tokens[idx + 1].content)
        if word and word[0] in SHAPES and idx and tokens[idx - 1].type == "fence":
            return f'<p class="outcome {word[0]}"><span aria-hidden="true">{SHAPES[word[0]]}</span> '
        return self.renderToken(tokens, idx, options, env)

    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:
        """Another document is on this page; any other file is not here, and no link."""
        target = str(tokens[idx].attrGet("href"))
        here = f"#{target.removesuffix('.md').lower()}" if target in DOCUMENTS else target
        env["links"].append(here.startswith(("#", "https://")))
        return f'<a href="{escape(here)}">' if env["links"][-1] else "<span>"

    def link_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:
        return "</a>" if env["links"].pop() else "</span>"

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:
        return ""

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:
        return f'<pre class="file" tabindex="0">{escape(tokens[idx].content)}</pre>\n'

    code_block = fence

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:
        """In a box that scrolls, named after the heading above."""
        title = escape(env["headings"][-1][1])
        return f'<div class="scroll" tabindex="0" role="group" aria-label="{title}: table">\n<table class="rows">\n'

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:
        return "</table>\n</div>\n"


def plain(inline: Token) -> str:
    return "".join(child.content for child in inline.children or ())
