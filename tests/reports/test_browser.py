"""The page as Chromium shows it: no requests, no complaints, nothing over the edge, brackets that stretch."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from chromium import watched

from growproof.proofs.constraints import Constraints, constraints
from growproof.proofs.liveness import liveness
from growproof.reports import docs
from growproof.reports.page import render
from growproof.reports.report import study_page
from growproof.reports.view import Page
from growproof.symbolic.architecture import PRESETS
from growproof.symbolic.variant import load

pytestmark = pytest.mark.extras

LOOKS = list(product((390, 1400), ("light", "dark")))


@pytest.fixture(scope="module")
def address(page: Page, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render(page), encoding="utf-8")
    return file.as_uri()


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    opened.goto(address)
    yield opened
    opened.close()


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_quiet_and_within_the_window(browser: Any, address: str, width: int, scheme: str) -> None:
    opened = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    seen = watched(opened)
    opened.goto(address)
    opened.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    wide = opened.evaluate("document.documentElement.scrollWidth")
    fonts = opened.evaluate("document.fonts.ready.then(set => [...set].map(font => font.status))")
    opened.close()
    assert seen.addresses == [address]
    assert seen.complaints == []
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


# ---------------------------------------------------------------- for everybody


def findings(tab: Any) -> list[tuple[str, str]]:
    """What axe finds serious or critical: the rule, and the first element."""
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(tab).response["violations"]
    return [(v["id"], v["nodes"][0]["html"]) for v in violations if v["impact"] in ("serious", "critical")]


@pytest.fixture(scope="module")
def documentation(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("docs") / "docs.html"
    file.write_text(docs.render(), encoding="utf-8")
    return file.as_uri()


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_axe_has_nothing_serious_to_say(
    browser: Any, address: str, documentation: str, width: int, scheme: str
) -> None:
    for place in (address, documentation):
        opened = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        opened.goto(place)
        opened.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert findings(opened) == []
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        opened.close()


def test_axe_would_see_a_link_without_a_name_and_faint_ink(tab: Any) -> None:
    worse = "<a href='#main'></a><p id='faint'>faint</p>"
    tab.evaluate("worse => document.querySelector('main').insertAdjacentHTML('beforeend', worse)", worse)
    tab.evaluate("document.querySelector('#faint').style.color = '#ccc'")
    assert {"link-name", "color-contrast"} <= {rule for rule, _ in findings(tab)}


def test_the_first_key_offers_to_skip_to_the_content(tab: Any) -> None:
    tab.keyboard.press("Tab")
    skip = tab.locator(":focus")
    assert skip.inner_text() == "Skip to the content"
    assert skip.bounding_box()["y"] >= 0
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "main"


def test_details_open_with_enter(tab: Any) -> None:
    summary = tab.locator("summary").first
    summary.focus()
    tab.keyboard.press("Enter")
    assert tab.locator("details").first.get_attribute("open") is not None


def test_a_graph_wider_than_a_phone_scrolls_with_the_keyboard(browser: Any, address: str) -> None:
    opened = browser.new_page(viewport={"width": 200, "height": 900})
    opened.goto(address)
    box = opened.locator(".scroll:has(> .uses)")
    box.focus()
    opened.keyboard.press("ArrowRight")
    opened.wait_for_function("() => document.querySelector('.scroll:has(> .uses)').scrollLeft > 0")
    opened.close()


# ---------------------------------------------------------------- the explorer

STUDIED = "mlp-expansion"


@pytest.fixture(scope="module")
def studied() -> Constraints:
    return constraints(load(STUDIED), PRESETS["paper"])


@pytest.fixture(scope="module")
def study_file(studied: Constraints, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("study") / "study.html"
    file.write_text(render(study_page(studied, 0, 0.0)), encoding="utf-8")
    return file


@pytest.fixture
def explorer(browser: Any, study_file: Path) -> Iterator[Any]:
    """The page of one study, with no network, and with everything that it asks for written down."""
    context = browser.new_context(offline=True)
    opened = context.new_page()
    seen = watched(opened)
    opened.asked, opened.complaints = seen.requests, seen.complaints
    opened.goto(study_file.as_uri())
    yield opened
    context.close()


# What the explorer shows: good or bad, and in each line its words and the blocks, told by the formula of their switch.
SHOWN = """() => {
    const box = document.querySelector(".explorer");
    const names = [...box.querySelectorAll("label math")].map(each => each.textContent);
    return {
        good: box.querySelector(".answer").classList.contains("good"),
        text: box.querySelector(".answer").textContent,
        steps: [...box.querySelectorAll(".steps li")].map(line => [
            line.firstChild.textContent.trim(),
            [...line.querySelectorAll("math")].map(each => names.indexOf(each.textContent)),
        ]),
    };
}"""


def subsets(count: int) -> list[frozenset[int]]:
    return [frozenset(i for i in range(count) if chosen >> i & 1) for chosen in range(2**count)]


def choose(tab: Any, zeros: frozenset[int]) -> dict[str, Any]:
    """Set every switch, and read what is shown."""
    for i, switch in enumerate(tab.query_selector_all(".explorer input")):
        switch.set_checked(i in zeros)
    return tab.evaluate(SHOWN)


def expected_lines(study: Constraints, zeros: frozenset[int]) -> list[list[Any]]:
    """What learns from a start, by a training of its own in Python."""
    names = [choice.label for choice in study.study.choices]
    first = liveness(study.claim, frozenset(names[i] for i in zeros)).first
    moving = {step: [i for i, name in enumerate(names) if first[name] == step] for step in (1, 2, 3, None)}
    words = {step: "Never:" if step is None else f"Gradient step {step} moves" for step in moving}
    return [[words[step], blocks] for step, blocks in moving.items() if blocks]


def wrong_answers(tab: Any, study: Constraints) -> list[frozenset[int]]:
    """The starts for which the explorer shows another verdict than the study."""
    wrong = []
    for zeros in subsets(len(study.study.choices)):
        sort, found = study.study.sorted.sort(zeros), choose(tab, zeros)
        words = {"sufficient": "✓ Preserved", "insufficient": "✗ Not preserved"}[sort]
        if found["good"] != (sort == "sufficient") or not found["text"].startswith(words):
            wrong.append(zeros)
    return wrong


def test_the_explorer_shows_the_verdict_of_the_study_for_every_start(explorer: Any, studied: Constraints) -> None:
    assert studied.study.sorted.sort(frozenset({2})) == "sufficient"
    assert studied.study.sorted.sort(frozenset({0})) == "insufficient"
    assert wrong_answers(explorer, studied) == []


def test_the_explorer_shows_what_learns_from_every_start(explorer: Any, studied: Constraints) -> None:
    for zeros in subsets(len(studied.study.choices)):
        assert choose(explorer, zeros)["steps"] == expected_lines(studied, zeros), sorted(zeros)


def test_the_explorer_begins_with_the_variant_s_own_zeros(explorer: Any, studied: Constraints) -> None:
    checked = explorer.eval_on_selector_all(".explorer input", "all => all.map(each => each.checked)")
    assert checked == [i in studied.study.given for i in range(len(checked))]
    assert explorer.evaluate(SHOWN)["good"]


def test_the_explorer_names_the_zeros_that_are_enough(explorer: Any, studied: Constraints) -> None:
    """relu(x M_1 + m) M_2 = 0 with everything zero: a smallest set is named, not all of them."""
    choose(explorer, frozenset({0, 1, 2}))
    named = explorer.evaluate("document.querySelectorAll('.explorer .answer math').length")
    assert named in {len(subset) for subset in studied.study.sorted.sufficient}


def test_another_set_in_the_page_would_be_noticed(browser: Any, study_file: Path, studied: Constraints) -> None:
    """The page says of the second and third block together what is true of the third alone."""
    text = study_file.read_text(encoding="utf-8")
    assert text.count('"enough": [[2], [0, 1]]') == 1
    other = study_file.with_name("other.html")
    other.write_text(text.replace('"enough": [[2], [0, 1]]', '"enough": [[1, 2], [0, 1]]'), encoding="utf-8")
    opened = browser.new_page()
    opened.goto(other.as_uri())
    assert wrong_answers(opened, studied) == [frozenset({2}), frozenset({0, 2})]
    opened.close()


def test_the_explorer_can_be_used_from_the_keyboard(explorer: Any) -> None:
    focused = "[...document.querySelectorAll('.explorer input')].indexOf(document.activeElement)"
    reached = []
    for _ in range(200):
        explorer.keyboard.press("Tab")
        if (here := explorer.evaluate(focused)) >= 0:
            reached.append(here)
    assert reached[:3] == [0, 1, 2], "every switch, in order"
    explorer.focus(".explorer input >> nth=2")
    before = explorer.evaluate(SHOWN)
    explorer.keyboard.press("Space")
    after = explorer.evaluate(SHOWN)
    assert (before["good"], after["good"]) == (True, False)
    assert explorer.get_attribute(".explorer .answer", "aria-live") == "polite"


def test_a_switch_and_a_link_have_names_and_the_link_leads_to_numbers(explorer: Any) -> None:
    choose(explorer, frozenset())
    assert all(label.inner_text().strip() for label in explorer.query_selector_all(".explorer label"))
    link = explorer.locator(".explorer .answer a")
    target = link.get_attribute("href")
    explorer.keyboard.press("Tab")
    link.focus()
    explorer.keyboard.press("Enter")
    assert explorer.url.endswith(target)
    numbers = explorer.locator(f"{target} details")
    assert numbers.get_attribute("open") is not None
    assert numbers.locator("table, math").first.is_visible()


def test_the_explorer_needs_no_network(explorer: Any, study_file: Path, studied: Constraints) -> None:
    for zeros in subsets(len(studied.study.choices)):
        choose(explorer, zeros)
    assert [url for url in explorer.asked if not url.startswith("data:")] == [study_file.as_uri()]
    assert explorer.complaints == []


@pytest.mark.parametrize("width", [320, 390])
def test_the_explorer_stays_within_a_narrow_window(explorer: Any, width: int, studied: Constraints) -> None:
    explorer.set_viewport_size({"width": width, "height": 800})
    for zeros in subsets(len(studied.study.choices)):
        choose(explorer, zeros)
        assert explorer.evaluate("document.documentElement.scrollWidth") <= width


def test_without_javascript_the_sets_and_the_steps_can_be_read(
    browser: Any, study_file: Path, studied: Constraints
) -> None:
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(study_file.as_uri())
    assert opened.locator(".explorer").count() == 1
    assert not opened.locator(".explorer").is_visible()
    rows = opened.locator("table.learning tbody tr")
    steps = sorted(rows.nth(i).locator("td").first.inner_text() for i in range(rows.count()))
    assert steps == sorted(f"at step {step}" for step in studied.liveness.first.values())
    assert rows.first.is_visible()
    lists = opened.locator("ul.starts")
    assert lists.nth(0).locator("> li").count() == len(studied.study.sorted.sufficient)
    assert lists.nth(1).locator("> li").count() == len(studied.study.sorted.insufficient)
    assert lists.nth(0).is_visible()
    opened.click("ul.starts summary >> nth=0")
    assert opened.locator("ul.starts details[open] math").first.is_visible()
    context.close()
