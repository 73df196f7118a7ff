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
from growproof.reports.links import used_constraint, uses
from growproof.reports.page import render
from growproof.reports.view import Math, Page, Section, Step

GROWN, PLAIN = "A B", "A"
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


def test_the_contents_lead_to_every_section(html: str, outline: Outline) -> None:
    contents = html.partition('<nav class="contents"')[2].partition("</nav>")[0]
    sections = [found["aria-labelledby"] for tag, found in outline.elements if tag == "section"]
    assert re.findall(r'href="#([^"]*)"', contents) == sections


def test_the_first_link_skips_to_the_content(outline: Outline) -> None:
    first = next(found for tag, found in outline.elements if tag == "a")
    (main,) = (found for tag, found in outline.elements if tag == "main")
    assert first["href"] == f"#{main['id']}"


def test_each_rule_says_which_theorems_use_it_and_how_often(page: Page, html: str) -> None:
    expected = {
        rule: {
            section.id: sum(step.rule == rule for goal in section.goals for step in goal.steps)
            for section in page.sections
            if any(step.rule == rule for goal in section.goals for step in goal.steps)
        }
        for rule, _ in page.rules
    }
    assert uses(page) == expected
    assert expected["block product"] == {"mlp-expansion": 2, "attention-expansion": 1}
    users = html.partition('id="rule-block%20product"')[2].partition("</div>")[0]
    assert '<a href="#mlp-expansion">MLP expansion</a> (2)' in users
    assert '<a href="#attention-expansion">Attention expansion</a> (1)' in users


def test_the_graph_has_a_dot_and_a_number_for_each_use(page: Page, html: str) -> None:
    graph = html.partition('<table class="uses">')[2].partition("</table>")[0]
    dots = re.findall(r'<circle r="([\d.]+)"/></svg> (\d+)', graph)
    assert sorted(int(count) for _, count in dots) == sorted(
        count for found in uses(page).values() for count in found.values()
    )
    assert {count for size, count in dots if size == "8.0"} == {"2"}, "the most steps have the largest dot"
    assert len(graph) < 60_000


def test_a_step_leads_to_its_constraint_and_back(page: Page) -> None:
    step = Step("constraint", (Math("M_{W_{l2}} = 0"),), GROWN, PLAIN)
    goals = (replace(page.sections[0].goals[0], steps=(step,)), *page.sections[0].goals)
    section = replace(page.sections[0], goals=goals)
    html = render(replace(page, sections=(section, *page.sections[1:])))
    assert '(<a href="#mlp-expansion-constraint-0">what it is for</a>)' in html
    constraint = html.partition('<li id="mlp-expansion-constraint-0">')[2].partition("</li>\n</ul>\n<h3")[0]
    assert 'Used for <a href="#mlp-expansion-goal-0">' in constraint
    assert "mlp-expansion-goal-1" not in constraint
    assert '<a href="#mlp-expansion-constraint-0">Back to the constraint</a>' in constraint


@pytest.mark.parametrize(
    "step",
    [Step("constraint", (Math("M_{I} = 0"),), GROWN, PLAIN), Step("lemma", (Math("M_{W_{l2}} = 0"),), GROWN, PLAIN)],
    ids=["another equation", "another rule"],
)
def test_another_step_leads_to_no_constraint(page: Page, step: Step) -> None:
    assert used_constraint(page.sections[0], step) is None


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
