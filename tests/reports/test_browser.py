"""The page as Chromium shows it: no requests, no complaints, nothing over the edge, brackets that stretch."""

import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from growproof.reports.page import render
from growproof.reports.view import Page

pytestmark = pytest.mark.extras

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
LOOKS = list(product((390, 1400), ("light", "dark")))


@pytest.fixture(scope="module")
def address(page: Page, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render(page), encoding="utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = FLAGS + (["--no-sandbox"] if os.geteuid() == 0 else [])
        path = CHROMIUM if CHROMIUM.exists() else None
        chromium = playwright.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    opened.goto(address)
    yield opened
    opened.close()


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_quiet_and_within_the_window(browser: Any, address: str, width: int, scheme: str) -> None:
    opened = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    requests: list[str] = []
    complaints: list[str] = []
    opened.on("request", lambda request: requests.append(request.url))
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(address)
    opened.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    wide = opened.evaluate("document.documentElement.scrollWidth")
    fonts = opened.evaluate("document.fonts.ready.then(set => [...set].map(font => font.status))")
    opened.close()
    assert [url for url in requests if not url.startswith("data:")] == [address]
    assert complaints == []
    assert wide <= width
    assert fonts == ["loaded"]


def test_light_and_dark_differ_and_can_be_read(browser: Any, address: str) -> None:
    lightness = {}
    for scheme in ("light", "dark"):
        opened = browser.new_page(color_scheme=scheme)
        opened.goto(address)
        lightness[scheme] = opened.evaluate(
            """() => ["backgroundColor", "color"].map(name => {
                const color = getComputedStyle(document.body)[name];
                const [red, green, blue] = color.match(/[0-9.]+/g).map(Number);
                return (red + green + blue) / 765;
            })"""
        )
        opened.close()
    (paper, ink), (night, chalk) = lightness["light"], lightness["dark"]
    assert paper - ink > 0.7
    assert chalk - night > 0.7


def test_brackets_stretch_over_four_rows(tab: Any) -> None:
    bracket, table = tab.evaluate(
        """() => {
            const table = [...document.querySelectorAll("mtable")].find(each => each.children.length == 4);
            return [table.previousElementSibling, table].map(each => each.getBoundingClientRect().height);
        }"""
    )
    assert table > 60
    assert bracket >= 0.8 * table


def test_a_long_formula_scrolls_in_its_own_box(browser: Any, address: str) -> None:
    opened = browser.new_page(viewport={"width": 390, "height": 900})
    opened.goto(address)
    scrolling = opened.evaluate(
        """[...document.querySelectorAll(".chain .formula")]
            .filter(box => box.scrollWidth > box.clientWidth).length"""
    )
    opened.close()
    assert scrolling > 0


def test_it_prints_with_every_detail_open(tab: Any) -> None:
    tab.emulate_media(media="print")
    hidden = tab.evaluate(
        "[...document.querySelectorAll('details > *')].filter(each => !each.checkVisibility()).length"
    )
    assert tab.pdf().startswith(b"%PDF")
    assert hidden == 0


def test_it_reads_without_javascript(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(address)
    assert "block product" in opened.inner_text("body")
    opened.click("summary >> nth=0")
    assert "The models part at" in opened.inner_text(".constraints")
    context.close()
