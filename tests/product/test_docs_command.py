"""The documentation as a page: every document is in it, every link leads somewhere, and nothing is fetched."""

import re
from html import unescape

import pytest

import growproof
from growproof.reports import docs
from growproof.symbolic.errors import VariantError


@pytest.fixture(scope="module")
def page():
    return docs.render()


def test_the_command_writes_the_page(run, page, tmp_path):
    place = tmp_path / "docs.html"
    ran = run("docs", "-o", place)
    assert (ran.status, ran.err, ran.out) == (0, "", f"wrote {place}\n")
    assert place.read_text(encoding="utf-8") == page
    assert run("docs", "-o", tmp_path / "no" / "docs.html").status == 2


def test_every_document_and_every_heading_is_there(page):
    for name in docs.DOCUMENTS:
        for _, title in re.findall(r"^(#{1,2}) (.*)$", docs.text_of(name), re.MULTILINE):
            assert f">{title}</h" in unescape(page).replace("<code>", "`").replace("</code>", "`"), title


def test_every_function_of_the_package_is_described(page):
    for name in growproof.__all__:
        assert f">growproof.{name}</h3>" in page


def test_links_lead_somewhere(page):
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', page)) <= set(ids)
    assert all(link.startswith(("#", "https://")) for link in re.findall(r'href="([^"]*)"', page))


def test_nothing_is_loaded_and_nothing_runs(page):
    assert "<script" not in page
    assert "<img" not in page
    assert "default-src 'none'" in unescape(page)
    assert "<!--" not in page


def test_the_verdict_below_a_file_has_a_shape_and_a_word(page):
    verdicts = re.findall(r'<p class="outcome (\w+)"><span aria-hidden="true">(.)</span> (\w+)', page)
    assert {(found, shape) for found, shape, _ in verdicts} == {("proved", "✓"), ("refuted", "✗")}
    assert all(found == word for found, _, word in verdicts)
    assert len(verdicts) == docs.text_of("VARIANTS.md").count("```toml")


def test_a_verdict_that_stands_below_no_file_is_a_word_like_others():
    assert "outcome" not in docs.document("A.md", "# A\n\nproved").html


def test_html_in_a_document_is_text_and_other_files_are_no_links():
    found = docs.document("A.md", "# A\n\n<b>x</b> [B](TRUST.md) [C](reports/fonts) [D](javascript:alert)")
    assert "&lt;b&gt;" in found.html
    assert '<a href="#trust">B</a>' in found.html
    assert "<span>C</span>" in found.html
    assert '<a href="javascript' not in found.html


def test_a_missing_document_is_named():
    with pytest.raises(VariantError, match=r"NONE\.md"):
        docs.text_of("NONE.md")
