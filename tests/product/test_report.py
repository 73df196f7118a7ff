"""The report: what it says as JSON, what the page holds, and that altering it shows."""

import json
import os
import pty
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path

import pytest

from growproof.reports.embedded import certificates, embed
from growproof.reports.report import SIX

ENDS = {"mlp-expansion": "3.1", "head-addition": "3.2", "heads-expansion": "3.3"}
ENDS |= {"attention-expansion": "3.4", "hidden-expansion": "3.5", "layer-addition": "3.6"}


@dataclass(frozen=True)
class Reported:
    """One run of `growproof report --json`: its status, its page, and all that it printed."""

    status: int
    path: Path
    page: str
    out: str
    err: str


def terminal_text(reading: int) -> str:
    """What was written to a terminal until its other end was closed."""
    text = b""
    try:
        while piece := os.read(reading, 4096):
            text += piece
    except OSError:  # Linux says so when nobody holds the other end
        pass
    os.close(reading)
    return text.decode("utf-8")


@pytest.fixture(scope="module")
def both(start, tmp_path_factory) -> tuple[Reported, Reported]:
    """Two runs at once with different hash seeds; the second has a terminal for its standard error."""
    folder = tmp_path_factory.mktemp("reports")
    reading, writing = pty.openpty()

    def reported(i: int, **options: object) -> Reported:
        page = folder / f"{i}.html"
        environment = {**os.environ, "PYTHONHASHSEED": str(i + 1)}
        started = start(folder, "report", "-o", page, "--json", env=environment, **options)
        out, err = started.communicate(timeout=240)
        return Reported(started.returncode, page, page.read_text(encoding="utf-8"), out, err or "")

    with ThreadPoolExecutor() as pool:
        first = pool.submit(reported, 0)
        second = pool.submit(reported, 1, stderr=writing)
        shown = pool.submit(terminal_text, reading)
        found = second.result()
        os.close(writing)
        return first.result(), replace(found, err=shown.result())


@pytest.fixture(scope="module")
def report(both):
    return json.loads(both[0].out)


# ---------------------------------------------------------------- what it says


def test_the_report_ends_with_status_0_and_prints_json_only(both):
    for run in both:
        assert run.status == 0
        assert json.loads(run.out)
    assert both[0].err == ""


def test_progress_is_shown_on_a_terminal_only(both):
    assert both[0].err == ""
    lines = both[1].err.replace("\r\n", "\n").splitlines()
    assert all(line.startswith("growproof: ") for line in lines)
    assert [line.removeprefix("growproof: ") for line in lines if any(name in line for name in SIX)] == list(SIX)


def without_seconds(text):
    """Without the times: the field of the JSON, or the last line of the page."""
    text, count = re.subn(r'^ *"seconds": .*$|<p>growproof, [\d.]+ s</p>', "", text, flags=re.MULTILINE)
    assert count == 1
    return text


def test_two_runs_say_the_same(both):
    assert without_seconds(both[0].out) == without_seconds(both[1].out)
    assert without_seconds(both[0].page) == without_seconds(both[1].page)


def test_the_six_are_proved_each_with_its_steps(report):
    assert [one["name"] for one in report["expansions"]] == list(SIX)
    for one in report["expansions"]:
        assert one["verdict"] == "proved"
        assert one["steps"] > 0
    assert report["composition"]["verdict"] == "proved"
    assert report["seconds"] > 0


def test_each_constraint_of_the_theorems_is_needed(report):
    for one in report["expansions"]:
        constraints = one["constraints"]
        assert constraints["sufficient"] is True
        assert constraints["irredundant"] is True


def test_numpy_agrees_in_every_format_and_the_controls_show(report):
    for one in report["expansions"]:
        rows = one["numeric"]
        assert {row["dtype"] for row in rows} == {"float64", "float32", "float16", "bfloat16"}
        assert all(row["passed"] for row in rows if not row["control"])
        assert any(row["control"] for row in rows)
        assert not any(row["passed"] for row in rows if row["control"])


def test_the_findings_have_evidence(report):
    assert len(report["findings"]) >= 5
    assert len({found["id"] for found in report["findings"]}) == len(report["findings"])
    for found in report["findings"]:
        assert found["text"]
        assert found["evidence"]
    refuted = [
        entry
        for found in report["findings"]
        for entry in found["evidence"]
        if isinstance(entry, dict) and entry["verdict"] == "refuted"
    ]
    assert refuted
    assert all(entry["counterexample"]["max_abs_difference"] > 0 for entry in refuted)


# ---------------------------------------------------------------- the page


LOADS = re.compile(r"""<[^>]+\b(?:src|srcset|action|data|poster)\s*=|<link\b|<base\b|@import|url\((?!\s*['"]?data:)""")


@pytest.mark.parametrize("text", ["<img alt='' src=x>", "<link rel=x>", "a { b: url('x') }", "@import 'x'"])
def test_what_a_page_loads_is_seen(text):
    assert LOADS.search(text)


def test_the_page_is_whole_and_loads_nothing(both):
    page = both[0].page
    assert page.startswith("<!DOCTYPE html>")
    assert page.rstrip().endswith("</html>")
    assert "default-src 'none'" in unescape(page)
    assert not LOADS.search(page)
    assert len(page) < 10_000_000


def lost(page: str) -> set[str]:
    """Where links within a page lead that is not there."""
    return {*re.findall(r"""\bhref="#([^"]+)""", page)} - {*re.findall(r"""\bid="([^"]+)""", page)}


def test_every_link_leads_to_something_on_the_page(both):
    page = both[0].page
    assert lost(page) == set()
    assert lost(page.replace('id="hidden-expansion"', "")) == {"hidden-expansion"}
    for finding in page.split('<article class="finding"')[1:]:
        assert re.search(r'href="#(hidden|attention)-expansion">The expansion in question', finding)


def test_the_page_shows_every_expansion_with_its_definition(both):
    for name, number in ENDS.items():
        assert f'id="{name}"' in both[0].page
        assert f"Definition {number}" in both[0].page


def test_every_certificate_in_the_page_holds(run, both, tmp_path):
    page = tmp_path / "report.html"
    page.write_text(both[0].page, encoding="utf-8")
    assert len(certificates(both[0].page)) >= len(SIX)
    ran = run("verify", page, limit=60)
    assert ran.status == 0
    assert "fails" not in ran.out
    for name in ("MLP expansion", "Head addition", "Hidden dimension expansion"):
        assert f"the model after {name} computes what it computed before" in ran.out


def test_one_altered_certificate_is_found_among_all(run, both, tmp_path):
    page = tmp_path / "report.html"
    text = both[0].page
    right = certificates(text)[0]
    wrong = right.replace('"rule": "block product"', '"rule": "block sum"', 1)
    assert wrong != right
    page.write_text(text.replace(embed(right), embed(wrong)), encoding="utf-8")
    ran = run("verify", page, limit=60)
    assert ran.status == 1
    assert ran.out.count("fails: ") == 1
    assert "holds: " in ran.out


def test_a_report_cut_short_is_not_accepted(run, both, tmp_path):
    page = tmp_path / "report.html"
    last = both[0].page.rindex('class="certificate">')
    page.write_text(both[0].page[: last + 200], encoding="utf-8")
    ran = run("verify", page, limit=60)
    assert ran.status in (1, 2)
    assert "Traceback" not in ran.err


def test_no_temporary_file_stays(both):
    assert sorted(path.name for path in both[0].path.parent.iterdir()) == ["0.html", "1.html"]
