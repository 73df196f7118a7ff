"""The page as text: whole, escaped, self-contained, and with its certificates inside."""

import hashlib
import json
import re
from base64 import b64encode
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from growproof.reports.embedded import certificates, embed
from growproof.reports.page import render
from growproof.reports.view import Math, Page, Section

VOID = {"meta", "br", "hr", "input", "mspace"}


class Outline(HTMLParser):
    """The elements of a page; complains about a tag that is not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def html(page: Page) -> str:
    return render(page)


@pytest.fixture(scope="module")
def outline(html: str) -> Outline:
    return Outline(html)


def test_nothing_is_fetched(html: str, outline: Outline) -> None:
    assert not re.search(r"(?:src|href|url|@import)[=(\s'\"]*(?:https?:|//)", html)
    for tag, attributes in outline.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "form", "base")
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#")


def scripts(outline: Outline) -> list[dict[str, str | None]]:
    return [attributes for tag, attributes in outline.elements if tag == "script"]


DATA = ("application/json", "application/gzip;base64")  # no browser runs these


def test_nothing_runs_but_the_explorer(outline: Outline) -> None:
    assert [found for found in scripts(outline) if found.get("type") not in DATA] == [{}]
    for _, attributes in outline.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes)


def test_a_page_without_explorer_runs_nothing(page: Page) -> None:
    still = replace(page, sections=tuple(replace(section, initialiser=None) for section in page.sections))
    html = render(still)
    assert all(found.get("type") in DATA for found in scripts(Outline(html)))
    assert "script-src" not in html


def test_the_policy_allows_this_style_this_script_and_embedded_fonts_only(html: str, outline: Outline) -> None:
    policies = [found["content"] for _, found in outline.elements if "http-equiv" in found]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policies[0]
    script = html.rpartition("<script>")[2].partition("</script>")[0]
    digest = b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    assert f"script-src 'sha256-{digest}'" in policies[0]


def test_names_and_files_of_users_are_escaped(html: str, outline: Outline) -> None:
    assert "<script>alert" not in html
    assert "<b>" not in html
    assert "My variant <script>alert(1)</script>" in outline.text
    assert "variants/mine & yours.toml" in outline.text


def test_links_lead_somewhere(outline: Outline) -> None:
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    targets = {attributes["href"][1:] for tag, attributes in outline.elements if tag == "a"}
    assert len(ids) == len(set(ids))
    assert targets <= set(ids) | {name.replace(" ", "%20") for name in ids}


def test_tables_have_captions_and_headings_do_not_skip(outline: Outline) -> None:
    tags = [tag for tag, _ in outline.elements]
    assert tags.count("table") == tags.count("caption")
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))


def test_every_part_of_the_view_is_shown(page: Page, outline: Outline) -> None:
    for words in (
        "Six ways to grow a transformer, proved",
        "Negative controls: these must differ",
        "old block",
        "new block, zero",
        "block product",
        "The models part at",
        "within the bound",
        "noticed",
        "What remains open",
        "Table 1, taken literally, is refuted",
        "What is trusted",
        "4.21",
    ):
        assert words in outline.text


def test_certificates_come_back_equal(page: Page, html: str) -> None:
    embedded = [json.loads(section.certificate_json) for section in page.sections if section.certificate_json]
    assert [json.loads(found) for found in certificates(html)] == embedded


@pytest.mark.parametrize("text", ["</script>", "<!--<script>", "]]>", "\\u003c", "<\\", "é\u2028"])
def test_no_text_in_a_certificate_ends_it(text: str) -> None:
    certificate = json.dumps({"note": text}, ensure_ascii=False)
    assert [json.loads(found) for found in certificates(f"<p>{embed(certificate)}</p>")] == [{"note": text}]


def test_one_variant_makes_a_page_without_a_summary(page: Page) -> None:
    html = render(replace(page, sections=page.sections[:1], findings=(), rules=(), trust=(), seconds=None))
    assert 'id="summary"' not in html
    assert 'id="mlp-expansion"' in html


def test_the_same_view_makes_the_same_page(page: Page, html: str) -> None:
    assert render(page) == html


def test_a_formula_that_cannot_be_drawn_stops_the_page(page: Page) -> None:
    broken = Section("x", "x", "", "", "proved", ((Math(r"\foo"),),))
    with pytest.raises(ValueError, match=r"\\foo"):
        render(replace(page, sections=(broken,)))


def test_block_kinds_are_told_apart_in_words_too(outline: Outline) -> None:
    for kind in ("(old)", "(free)", "(zero)"):
        assert kind in outline.text
