"""The workbench in Chromium: what a student sees, with the keyboard, and that nothing leaves the machine."""

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from chromium import watched

from growproof.symbolic.variant import load

pytestmark = pytest.mark.extras

LOOKS = list(product((320, 380, 1200), ("light", "dark")))
TRUE = load("attention-expansion").text
FALSE = 'name = "Louder"\n[rewrite]\nW_V = "2*W_V"\nW_O = "[W_O]"\n'
MALFORMED = 'name = "Wrong"\n[rewrite]\nW_V = "2*W_W"\n'
SAID = {TRUE: "proved", FALSE: "refuted", MALFORMED: "line 3, column 10"}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    command = [sys.executable, "-m", "growproof", "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield json.loads("".join(server.stdout.readline() for _ in range(3)))["address"]
        server.terminate()


class Bench:
    """A workbench in a tab, with what the browser complained of and asked for."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.tab = browser.new_page(**options)
        seen = watched(self.tab)
        self.complaints, self.requests = seen.complaints, seen.requests
        self.tab.goto(address)
        self.wait()

    def wait(self, said: str = "") -> None:
        """Until the newest answer, which says something, is there."""
        self.tab.locator("#outcome", has_text=said or "s").wait_for()
        self.tab.locator("#busy").wait_for(state="hidden")

    def write(self, text: str) -> None:
        self.tab.fill("#text", text)
        self.wait(SAID.get(text, ""))

    @property
    def outcome(self) -> str:
        return str(self.tab.inner_text("#outcome"))

    @property
    def text(self) -> str:
        return str(self.tab.input_value("#text"))


@pytest.fixture
def bench(browser: Any, address: str) -> Iterator[Bench]:
    opened = Bench(browser, address, viewport={"width": 1200, "height": 900})
    yield opened
    opened.tab.close()


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_quiet_accessible_and_within_the_window(browser: Any, address: str, width: int, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    bench = Bench(browser, address, viewport={"width": width, "height": 900}, color_scheme=scheme)
    for text, said in SAID.items():
        bench.write(text)
        assert said in bench.outcome
        assert bench.tab.evaluate("document.documentElement.scrollWidth") <= width
        found = Axe().run(bench.tab).response["violations"]
        serious = [one["id"] for one in found if one["impact"] in ("serious", "critical")]
        assert serious == []
    assert bench.complaints == []
    assert all(url.startswith((address, "data:")) for url in bench.requests)
    bench.tab.close()


def test_every_id_is_there_once(bench: Bench) -> None:
    for text in (TRUE, FALSE):
        bench.write(text)
        found = bench.tab.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
        assert len(set(found)) == len(found)


@pytest.mark.parametrize("width", [390, 1280])
def test_where_the_models_differ_is_in_sight(browser: Any, address: str, width: int) -> None:
    bench = Bench(browser, address, viewport={"width": width, "height": 900})
    bench.write(FALSE)
    edge = bench.tab.evaluate("document.querySelector('#answer .board').getBoundingClientRect().right")
    marks = bench.tab.locator("#answer .differs .mark")
    assert marks.count() > 0
    assert all(mark.evaluate("each => each.getBoundingClientRect().right") <= edge for mark in marks.all())
    bench.tab.close()


def test_axe_would_find_something(bench: Bench) -> None:
    from axe_playwright_python.sync_playwright import Axe

    bench.tab.evaluate("document.querySelector('label[for=text]').remove()")
    assert "label" in [one["id"] for one in Axe().run(bench.tab).response["violations"]]


def test_a_false_variant_shows_numbers_and_a_repair_that_goes_into_the_editor(bench: Bench) -> None:
    bench.write(FALSE)
    assert bench.tab.locator("#answer .board").is_visible()
    bench.tab.click("text=Put repair 1 into the editor")
    bench.wait("proved")
    assert bench.text != FALSE
    bench.tab.go_back()
    bench.wait("refuted")
    assert bench.text == FALSE


def test_the_place_of_an_error_is_marked_and_can_be_gone_to(bench: Bench) -> None:
    bench.write(MALFORMED)
    assert bench.tab.inner_text(".gutter b") == "▸3"
    assert bench.tab.inner_text(".marks mark") == "W_W"
    assert bench.tab.get_attribute("#text", "aria-invalid") == "true"
    bench.tab.click(".place")
    assert bench.tab.evaluate("document.activeElement.id") == "text"
    assert bench.tab.evaluate("document.activeElement.selectionStart") == MALFORMED.index("W_W")
    bench.write(FALSE)
    assert bench.tab.locator(".marks mark").count() == 0


def test_the_mark_lies_on_what_it_marks(bench: Bench) -> None:
    """Also in a text that is longer and wider than the editor: the textarea and the marks scroll as one."""
    lines = "\n".join(f"# {i} " + "x" * 200 for i in range(100))
    bench.tab.fill("#text", f"{lines}\n{MALFORMED}")
    bench.wait("line 103")
    bench.tab.evaluate("document.getElementById('text').scrollTo(80, 700)")
    bench.tab.wait_for_timeout(100)
    tops = "[...document.querySelectorAll('.marks, #text, .gutter')].map(each => each.scrollTop)"
    lefts = "[...document.querySelectorAll('.marks, #text')].map(each => each.scrollLeft)"
    assert set(bench.tab.evaluate(tops)) == {700}
    assert set(bench.tab.evaluate(lefts)) == {80}


def test_a_column_counts_characters_beyond_the_sixteen_bit_ones(bench: Bench) -> None:
    bench.tab.fill("#text", 'name = "Wrong"\n[rewrite]\nW_V = "2*W_W" # 𝔐\n"𝔐𝔐" = "W_W"\n')
    bench.wait("line")
    assert bench.tab.inner_text(".marks mark") in ("W_W", "𝔐")


def test_the_link_carries_variant_and_architecture_and_sends_no_server_either(
    browser: Any, address: str, bench: Bench
) -> None:
    bench.tab.select_option("#architecture", "llama")
    bench.write(TRUE.replace("Attention", "Größere → 𝔐"))
    bench.tab.wait_for_url("**/#*")
    bench.tab.click("#link")
    link = bench.tab.url
    other = Bench(browser, link)
    assert (other.text, other.tab.input_value("#architecture")) == (bench.text, "llama")
    assert other.outcome.splitlines()[0] == bench.outcome.splitlines()[0]
    assert not any("#" in url or link.split("#")[1] in url for url in other.requests)
    other.tab.close()


@pytest.mark.parametrize("code", ["x", "%00", "e30", "bm90IGRlZmxhdGU", "A" * 3000])
def test_a_link_that_cannot_be_read_says_so(browser: Any, address: str, code: str) -> None:
    bench = Bench(browser, f"{address}#{code}")
    assert "the link holds no variant that can be read" in bench.outcome
    bench.tab.close()


def test_a_link_that_unpacks_to_very_much_is_not_unpacked(browser: Any, address: str, bench: Bench) -> None:
    code = bench.tab.evaluate("() => packed({ text: 'x'.repeat(50_000_000), architecture: null })")
    other = Bench(browser, f"{address}#{code}")
    assert "the link holds no variant that can be read" in other.outcome
    other.tab.close()


def test_the_newest_answer_wins(bench: Bench) -> None:
    """Many edits without a pause are one check, and the answer to an older text never comes after."""
    bench.requests.clear()
    for i in range(20):
        bench.tab.fill("#text", FALSE.replace("2*", f"{i + 3}*"))
    bench.write(TRUE)
    bench.tab.wait_for_timeout(1500)
    assert "proved" in bench.outcome
    assert len([url for url in bench.requests if url.endswith("/check")]) <= 3


def test_an_older_answer_that_comes_late_is_not_shown(bench: Bench) -> None:
    held = []
    bench.tab.route("**/check", lambda route: held.append(route) if not held else route.continue_())
    bench.tab.fill("#text", FALSE)
    bench.tab.click("text=Check")
    bench.tab.wait_for_timeout(300)
    bench.write(TRUE)
    assert len(held) == 1
    bench.tab.wait_for_timeout(300)
    assert "proved" in bench.outcome


def test_the_keyboard_alone_is_enough(bench: Bench) -> None:
    keys = bench.tab.keyboard
    seen = []
    for _ in range(8):
        keys.press("Tab")
        seen.append(bench.tab.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert seen[:6] == ["example", "open", "architecture", "text", "Check", "link"]
    bench.tab.focus("#example")
    keys.press("ArrowDown")
    keys.press("Tab")
    keys.press("Enter")
    bench.wait("Head addition")
    bench.tab.focus("#text")
    keys.press("Control+a")
    keys.insert_text(FALSE)
    keys.press("Control+Enter")
    bench.wait("refuted")
    assert bench.text == FALSE


def test_the_verdict_is_announced_by_word_and_shape(bench: Bench) -> None:
    assert bench.tab.get_attribute("#outcome", "role") == "status"
    bench.write(TRUE)
    assert bench.outcome.startswith("✓ proved")
    bench.write(FALSE)
    assert bench.outcome.startswith("✗ refuted")


def test_a_server_that_is_busy_or_gone_is_told_of(bench: Bench) -> None:
    busy = {"status": 503, "headers": {"Retry-After": "0"}, "body": "{}"}
    answers = iter([lambda route: route.fulfill(**busy), lambda route: route.continue_()])
    bench.tab.route("**/check", lambda route: next(answers)(route))
    bench.write(FALSE)
    bench.tab.unroute("**/check")
    bench.tab.route("**/check", lambda route: route.abort())
    bench.tab.click("text=Check")
    bench.wait("does not answer")


def test_markup_in_a_variant_is_text(bench: Bench) -> None:
    bench.write(FALSE.replace("Louder", "<img src=x onerror=alert(1)>"))
    bench.wait("refuted")
    assert bench.tab.locator("#outcome img, #answer img").count() == 0
    assert "<img src=x" in bench.outcome


def test_a_script_that_got_into_the_page_would_not_run(bench: Bench) -> None:
    bench.tab.evaluate("document.getElementById('answer').innerHTML = '<img src=x onerror=\"window.ran = 1\">'")
    bench.tab.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))"
    )
    bench.tab.wait_for_timeout(200)
    assert bench.tab.evaluate("window.ran") is None
    assert "Content Security Policy" in "".join(bench.complaints)
