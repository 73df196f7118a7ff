"""Lessons as Chromium shows them from a file: steps revealed, answers judged, nothing loaded, nothing to complain of.

And the notebooks as Jupyter runs them.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from chromium import Watched, watched

from growproof.reports.course import lesson
from growproof.reports.course.notebook import notebook
from growproof.reports.course.page import index_page, lecturer_page, lecturer_part, lesson_page, notation_page
from growproof.reports.course.taught import Taught, taught

pytestmark = pytest.mark.extras

SHOWN = ("blocks", "mlp", "attention", "limits", "training", "workshop")


@cache
def shown(name: str) -> Taught:
    return taught(lesson.lesson(name))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("pack")
    lessons = [lesson.lesson(name) for name in lesson.names()]
    for name in SHOWN:
        (into / f"{name}.html").write_text(lesson_page(shown(name), lessons), encoding="utf-8")
    (into / "index.html").write_text(index_page(lessons, True), encoding="utf-8")
    (into / "notation.html").write_text(notation_page(), encoding="utf-8")
    (into / "lecturer.html").write_text(lecturer_page([lecturer_part(shown(name)) for name in SHOWN]), encoding="utf-8")
    return into


@pytest.fixture
def opened(browser: Any, folder: Path) -> Iterator[Any]:
    """Opens a lesson; at the end there was no complaint and no request but for the file."""
    pages: list[tuple[Any, str, Watched]] = []

    def opened(name: str, width: int = 1200, scheme: str = "light") -> Any:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        seen = watched(page)
        address = (folder / f"{name}.html").as_uri()
        page.goto(address)
        pages.append((page, address, seen))
        return page

    yield opened
    for page, address, seen in pages:
        page.close()
        assert seen.complaints == []
        assert seen.addresses == [address]


def box(page: Any, name: str) -> Any:
    return page.locator(f'.exercise[data-name="{name}"]')


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [380, 1200])
@pytest.mark.parametrize("name", [*SHOWN, "index", "notation", "lecturer"])
def test_nothing_is_over_the_edge(opened: Any, name: str, width: int, scheme: str) -> None:
    page = opened(name, width, scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", [*SHOWN, "notation"])
def test_nothing_is_over_the_edge_in_letters_of_double_size(opened: Any, name: str) -> None:
    page = opened(name, 320)
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_the_values_of_both_models_are_in_sight_on_a_telephone(opened: Any) -> None:
    board = opened("training", 390).locator(".board").first
    for cell in board.locator("tbody td").all():
        assert cell.evaluate("each => each.getBoundingClientRect().right") <= 390
    assert board.get_by_role("row").count() == board.locator("tr").count()


@pytest.mark.parametrize("name", SHOWN)
def test_a_board_is_not_printed_apart_from_what_announces_it(opened: Any, name: str) -> None:
    page = opened(name)
    page.emulate_media(media="print")
    before = "[...document.querySelectorAll('main section > :is(h2, h3, p:has(+ .board), p:has(+ p + .board))')]"
    for style in ("breakAfter", "breakInside"):
        assert page.evaluate(f"{before}.every(each => getComputedStyle(each).{style} === 'avoid')")
    assert page.evaluate(f"{before}.some(each => each.matches('p'))") == (page.locator("section > .board").count() > 0)


def test_steps_are_revealed_one_by_one_with_the_keyboard(opened: Any) -> None:
    page = opened("mlp")
    first = page.locator(".reveal").first
    visible = first.locator(".chain > li:visible")
    assert visible.count() == 1
    first.get_by_role("button", name="Next step").focus()
    page.keyboard.press("Enter")
    assert visible.count() == 2
    assert "Step 1 of" in first.get_by_role("status").inner_text()
    first.get_by_role("button", name="All steps").click()
    assert visible.count() == first.locator(".chain > li").count() > 3
    first.get_by_role("button", name="Again").click()
    assert visible.count() == 1


@pytest.mark.parametrize("name", ["Next step", "All steps"])
def test_one_more_enter_at_the_last_step_wipes_nothing(opened: Any, name: str) -> None:
    first = opened("mlp").locator(".reveal").first
    button = first.get_by_role("button", name=name)
    for _ in range(first.locator(".chain > li").count() + 2):
        button.press("Enter")
    assert first.locator(".chain > li.later").count() == 0
    assert button.evaluate("each => each === document.activeElement")
    assert button.is_disabled()
    again = first.get_by_role("button", name="Again")
    again.press("Enter")
    assert first.locator(".chain > li:visible").count() == 1
    assert not button.is_disabled()


def test_control_and_enter_check_an_answer_of_ones_own(opened: Any) -> None:
    asked = box(opened("workshop"), "design")
    asked.locator("textarea").fill("name = 'x'")
    asked.locator("textarea").press("Enter")
    assert asked.locator(".answer").text_content() == ""
    asked.locator("textarea").press("Control+Enter")
    assert "growproof check my.toml" in asked.get_by_role("status").inner_text()


def test_enter_on_a_choice_checks_it(opened: Any) -> None:
    asked = box(opened("blocks"), "lower-block")
    right = asked.get_by_label("2/3*W_l2", exact=True)
    right.check()
    right.press("Enter")
    assert "Right" in asked.get_by_role("status").inner_text()


def test_there_is_one_answer_at_a_time_where_the_prover_is(browser: Any, folder: Path) -> None:
    page = browser.new_page()
    html = (folder / "blocks.html").read_text(encoding="utf-8")
    page.route("**/*", lambda route: route.fulfill(body=html, content_type="text/html"))
    page.goto("http://localhost:1/blocks.html")
    asked = box(page, "lower-block")
    own, choice = asked.locator(".own"), asked.get_by_label("2/3*W_l2", exact=True)
    own.fill("W_l2")
    choice.check()
    assert own.input_value() == ""
    own.fill("W_l2")
    assert not choice.is_checked()
    page.close()


@pytest.mark.parametrize("name", ["index", "blocks"])
def test_a_page_leads_to_the_workbench_where_it_is_served_and_nowhere_else(
    browser: Any, folder: Path, opened: Any, name: str
) -> None:
    assert opened(name).get_by_role("link", name="Workbench").count() == 0
    page = browser.new_page()
    html = (folder / f"{name}.html").read_text(encoding="utf-8")
    page.route("**/*", lambda route: route.fulfill(body=html, content_type="text/html"))
    page.goto(f"http://localhost:1/course/{name}.html")
    assert page.get_by_role("link", name="Workbench").evaluate("each => each.href") == "http://localhost:1/"
    page.close()


def test_no_page_of_the_students_leads_to_the_lecturer(folder: Path) -> None:
    for name in (*SHOWN, "index"):
        html = (folder / f"{name}.html").read_text(encoding="utf-8")
        assert "lecturer.html" not in html
        assert "notebooks/instructor" not in html


def test_zeros_right_and_wrong(opened: Any) -> None:
    asked = box(opened("mlp"), "zeros")
    asked.locator("input").nth(0).check()
    asked.get_by_role("button", name="Check").click()
    assert "Not yet" in asked.get_by_role("status").inner_text()
    assert asked.locator(".answer .board").is_visible()
    asked.locator("input").nth(1).check()
    asked.get_by_role("button", name="Check").click()
    assert "Right" in asked.get_by_role("status").inner_text()


FACTORS = [
    ("sqrt(k_hat/k)", "Agrees"),
    ("(k_hat/k)**(1/2)", "Agrees"),
    ("√(k_hat)/√k", "Agrees"),
    ("k_hat/k", "W_K is 4"),
    ("k/0", "divides by 0"),
    ("two", "two is not known here"),
    ("sqrt(", "cannot be used"),
    ("√½*√(2*k_hat/k)", "Agrees"),
    ("(k_hat/k)^½", "Agrees"),
    ("a = (k_hat/k)^0.5", "Agrees"),
    ("?a = sqrt(k_hat/k)", "Agrees"),
    ("2½", "right behind something"),
    ("sqrt(k_hat/k) + 1/10^30", "Not yet"),
    ("sqrt(k_hat/k) + 1/10^60/10^60/10^60/10^60/10^60/10^60", "Not yet"),
    ("sqrt(k_hat/k) + (k-1)*(k-2)*(k-3)*(k-5)", "Not yet"),
    ("sqrt(k_hat/k)*1.00000000000000000001", "Not yet"),
    ("((k_hat/k)^3)^(1/6)", "Agrees"),
    ("(k_hat/k)^(h/(2*h))", "Agrees"),
    ("√k̂/√k", "Agrees"),
    (r"\sqrt{\frac{\hat{k}}{k}}", "Agrees"),
    ("+(k_hat ÷ k)**.5", "Agrees"),
    ("W_K = [sqrt(k_hat/k)*W_K, M_W_K]", "Agrees"),
    ("W_K = [sqrt(k_hat/k)*W_K, 0]", "the line differs"),
    ("1.41421356", "1.41421356 is rounded, write sqrt(2)"),
    ("(((9^64)^64)^64)^64", "grow too large"),
    ("sqrt(" * 150 + "k" + ")" * 150, "Not yet"),
    ("1+" * 600 + "1", "too long"),
    ("", "Type a factor"),
]


def test_a_factor_in_any_form(opened: Any) -> None:
    asked = box(opened("attention"), "scale")
    for text, said in FACTORS:
        asked.locator(".typed").fill(text)
        asked.locator(".typed").press("Enter")
        assert said in asked.get_by_role("status").inner_text(), text


NUMBERS = [
    *("1/3", "⅓", "2/6", "0.33", "0.3333333333", "0.3333333333333333333333", "1/3 + 1/10^20", "0.5", "2^(-1)", "3"),
    *("p/p_hat", "1/(p_hat/p)", "p_hat/p/9", "h/(3*h)", "(p/(27*p))^(1/3)", "+1/3", "2⁄6", "sqrt(p)/sqrt(9p)"),
    *("1/3 + (p-1)*(p-2)*(p-3)*(p-5)", "1/3+1/10^60/10^60", "1/3 + (p_hat - 3*p)", "p/(p + 2)", "W_l2"),
    "W_l2 = [1/3*W_l2; 1/3*W_l2; 1/3*W_l2]",
    "W_l2 = [1/3*W_l2; 1/3*W_l2; 2/3*W_l2]",
]


def test_the_page_says_of_a_number_what_the_prover_says(opened: Any) -> None:
    asked, one = box(opened("blocks"), "three-copies"), lesson.lesson("blocks").exercise("three-copies")
    for text in NUMBERS:
        asked.locator(".typed").fill(text)
        asked.get_by_role("button", name="Check").click()
        told, found = asked.get_by_role("status").inner_text(), one.check(text)
        assert ("Agrees" in told) == found.right, text
        assert "Right" not in told, text
        assert ("is rounded, write 1/3" in told) == ("is rounded, write 1/3" in found.text), text


def test_a_dead_start_is_not_right_where_all_must_learn(opened: Any) -> None:
    asked, one = box(opened("training"), "alive"), lesson.lesson("training").exercise("alive")
    inputs = asked.locator("input")
    for picked in ([], [0], [1], [0, 1]):
        for i in range(inputs.count()):
            inputs.nth(i).set_checked(i in picked)
        asked.get_by_role("button", name="Check").click()
        told, found = asked.get_by_role("status").inner_text(), one.check([blocks_of(asked)[i] for i in picked])
        assert ("Right" in told) == found.right
        assert ("never move" in told) == ("never move" in found.text)


def test_a_choice_right_and_wrong(opened: Any) -> None:
    asked = box(opened("blocks"), "lower-block")
    asked.get_by_role("button", name="Check").click()
    assert "Choose one" in asked.get_by_role("status").inner_text()
    for choice, said in (("2/3*W_l2", "Right"), ("1/3*W_l2", "Not yet")):
        asked.get_by_label(choice, exact=True).check()
        asked.get_by_role("button", name="Check").click()
        assert said in asked.get_by_role("status").inner_text()
    assert asked.locator(".answer .board").is_visible()


def test_a_derivation_by_buttons(opened: Any) -> None:
    asked = box(opened("mlp"), "derivation")
    wrong = asked.get_by_role("button", name="product with zero")
    wrong.click()
    assert "applies nowhere" in asked.get_by_role("status").inner_text()
    labels = data_of(asked)
    for rule in lesson.lesson("mlp").exercise("derivation").solution():
        asked.locator(".rules-to-use button").nth(labels["rules"].index(rule)).click()
    assert "Right" in asked.get_by_role("status").inner_text()
    assert asked.locator(".steps > li").count() > 3


def data_of(asked: Any) -> Any:
    return json.loads(asked.evaluate("each => each.querySelector('script[type=\"application/json\"]').textContent"))


SMALL = [
    *(["0", ".01", "+.01"], ["0", "1e-3", "1e-3"], ["0", "1e-6", "1"], ["0", "1e-6", "1e-6"], ["0", "1e1", "1/3"]),
    *(["0", "1e1", "½"], ["0", "2⁄3", "−½"]),
]


def test_numbers_are_run_on_the_page_as_numpy_runs_them(opened: Any) -> None:
    asked, one = box(opened("mlp"), "break"), lesson.lesson("mlp").exercise("break")
    inputs = asked.locator(".entries input")
    for numbers in (["0", "0", "0"], ["0", "3", "-1/2"], ["2", "0", "5"], ["-2", "0", "5"], ["1", "1", "0"], *SMALL):
        for i, number in enumerate(numbers):
            inputs.nth(i).fill(number)
        asked.get_by_role("button", name="Check").click()
        right = one.check(dict(zip(blocks_of(asked), numbers, strict=True))).right
        told = asked.get_by_role("status").inner_text()
        assert ("Right" in told) == right, numbers
        assert right or "differ by only" in told
    for number in ("much", "1001"):
        inputs.nth(0).fill(number)
        asked.get_by_role("button", name="Check").click()
        assert "a number is expected from -1000 to 1000" in asked.get_by_role("status").inner_text()


def blocks_of(asked: Any) -> list[str]:
    """The new blocks that a page asks about."""
    return list(data_of(asked)["blocks"])


def test_attention_is_run_on_the_page_too(opened: Any) -> None:
    asked, one = box(opened("attention"), "break"), lesson.lesson("attention").exercise("break")
    inputs = asked.locator(".entries input")
    for i in range(inputs.count()):
        inputs.nth(i).fill("1")
    asked.get_by_role("button", name="Check").click()
    assert "Right" in asked.get_by_role("status").inner_text()
    assert one.check({"M_W_Q": [[1, 1, 1]], "M_W_K": [[1, 1, 1]]}).right
    for i in range(inputs.count()):
        inputs.nth(i).fill("1000")
    asked.get_by_role("button", name="Check").click()
    found = one.check({"M_W_Q": [[1000] * 3], "M_W_K": [[1000] * 3]})
    assert "or rounds to zero" in found.text
    assert found.text in asked.get_by_role("status").inner_text()


def test_a_prediction_right_and_wrong_and_none_at_all(opened: Any) -> None:
    asked, one = box(opened("mlp"), "first"), lesson.lesson("mlp").exercise("first")
    blocks = blocks_of(asked)

    def told(*picked: int) -> str:
        for i in range(len(blocks)):
            asked.locator("input").nth(i).set_checked(i in picked)
        asked.get_by_role("button", name="Check").click()
        return str(asked.get_by_role("status").inner_text())

    assert told() == "Tick what moves at the first step, or none of them."
    for picked in ((0,), (1,), (2,), (0, 2), (0, 1)):
        found = one.check([blocks[i] for i in picked])
        assert found.text in told(*picked)
        assert ("Right" in told(*picked)) == found.right
    asked.get_by_label("none of them").check()
    assert asked.locator("input:checked").count() == 1
    asked.get_by_role("button", name="Check").click()
    assert one.check([]).text in asked.get_by_role("status").inner_text()
    assert "M_W_l2" not in asked.get_by_role("status").inner_text()


def test_nothing_moves_can_be_said(opened: Any) -> None:
    asked = box(opened("training"), "other-way")
    asked.get_by_label("none of them").check()
    asked.get_by_role("button", name="Check").click()
    right = lesson.lesson("training").exercise("other-way").check([]).right
    assert ("Right" in asked.get_by_role("status").inner_text()) == right


def test_a_design_is_told_where_the_prover_is(opened: Any) -> None:
    asked = box(opened("workshop"), "design")
    asked.locator("textarea").fill("name = 'x'")
    asked.get_by_role("button", name="Check").click()
    assert "growproof check my.toml" in asked.get_by_role("status").inner_text()


def test_it_prints_every_step_and_no_feedback(opened: Any) -> None:
    page = opened("mlp")
    page.emulate_media(media="print")
    assert page.locator(".chain > li.later:visible").count() == page.locator(".chain > li.later").count() > 0
    assert page.locator(".answer:visible, .hints:visible, .check:visible, .own-answer:visible").count() == 0
    free = page.locator(".picture td.free")
    assert free.count() == page.locator(".picture td.free:visible").count() > 0
    assert page.pdf().startswith(b"%PDF")


def test_it_reads_without_javascript(browser: Any, folder: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "mlp.html").as_uri())
    assert page.locator(".chain > li:visible").count() > 3
    assert "where scripts are allowed" in page.locator(".exercise").first.inner_text()
    context.close()


@pytest.mark.parametrize("name", [*SHOWN, "index", "notation", "lecturer"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_for_axe(opened: Any, name: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = opened(name, scheme=scheme)
    for button in page.locator(".check").all():
        button.click()
    found = axe.run(page).response["violations"]
    grave = [one for one in found if one["impact"] in ("serious", "critical")]
    serious = [f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in grave]
    assert serious == []


# ---------------------------------------------------------------- notebooks


def run(text: str, folder: Path) -> Any:
    """A notebook run from its first cell."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.reads(text, as_version=4)
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return book


@pytest.mark.parametrize("name", list(lesson.names()))
def test_the_instructor_notebook_runs(name: str, tmp_path: Path) -> None:
    book = run(notebook(shown(name), True), tmp_path)
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("Right" in output.get("data", {}).get("text/html", "") for output in outputs) >= 3


def test_the_student_notebook_stops_kindly_at_the_first_empty_answer(tmp_path: Path) -> None:
    from nbclient.exceptions import CellExecutionError

    with pytest.raises(CellExecutionError) as found:
        run(notebook(shown("blocks"), False), tmp_path)
    assert found.value.ename == "NotYetError"
    assert "there is no answer yet" in found.value.evalue
    assert "Traceback" not in found.value.traceback
