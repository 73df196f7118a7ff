"""The command `matrix`: its table, its JSON, its page, its files, and what it refuses."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from unpublished import LORA_OF_THE_GATE

from growproof.proofs import matrix as module
from growproof.reports import matrix as shown
from growproof.reports.report import SIX
from growproof.symbolic.architecture import PRESETS

ATTENTION, LAYER, MLP = "attention-expansion", "layer-addition", "mlp-expansion"
SMALL = ("--architecture", "t5", "--architecture", "bert", "--expansion", ATTENTION, "--expansion", LAYER)


class Links(HTMLParser):
    """The ids and the links of a page, and what it fetches."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name == "href"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of two architectures and two expansions, and the matrix that it shows."""
    expansions = {name: shown.load(name) for name in (ATTENTION, LAYER)}
    found = module.matrix(expansions, (PRESETS["t5"], PRESETS["bert"]))
    return shown.matrix_page(found), found


# ---------------------------------------------------------------- table and JSON


def test_the_table_has_a_word_in_every_cell_and_the_reasons_below(run):
    ran = run("matrix", *SMALL)
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["attention", "layer"],
        ["expansion", "addition"],
        ["t5", "refuted", "*", "proved"],
        ["bert", "proved", "refuted"],
    ]
    assert "refuted: attention-expansion on t5\n  what breaks it: no score factor\n" in ran.out
    assert "  repair, proved: W_K = [W_K, M_W_K]\n" in ran.out
    assert "refuted: layer-addition on bert\n  what breaks it: post-norm\n" in ran.out
    assert "  no repair was found\n" in ran.out
    assert lines[-1] == "4 cells: 2 proved, 2 refuted, 1 repaired"


def test_the_json_is_by_architecture_and_expansion(run):
    ran = run("matrix", *SMALL, "--json")
    found = json.loads(ran.out)
    assert {name: list(row) for name, row in found.items()} == {"t5": [ATTENTION, LAYER], "bert": [ATTENTION, LAYER]}
    broken = found["t5"][ATTENTION]
    assert (broken["verdict"], broken["features"]) == ("refuted", ["no score factor"])
    assert broken["counterexample"]["max_abs_difference"] > 1e-3
    assert broken["repair"]["changes"] == ["W_K = [W_K, M_W_K]"]
    assert broken["repair"]["verdict"] == "proved"
    whole = found["bert"][ATTENTION]
    assert (whole["verdict"], whole["counterexample"], whole["repair"]) == ("proved", None, None)
    assert [one["dtype"] for one in whole["numeric"]] == ["float64", "float32", "float16", "bfloat16"]
    assert found["bert"][LAYER]["repair"] is None


def test_the_same_arguments_give_the_same_json_but_for_seconds(run):
    def told() -> str:
        return re.sub(r'"seconds": [\d.]+', "", run("matrix", *SMALL, "--json").out)

    assert told() == told()


def test_all_six_on_all_architectures_unless_limited(monkeypatch, run):
    asked = []
    monkeypatch.setattr(module, "cell", lambda *given: asked.append(given[:3]) or module.Cell("x", "y", "proved", ""))
    run("matrix", "--quiet")
    assert [(name, preset.name) for name, _, preset in asked] == [(one, name) for name in PRESETS for one in SIX]


def test_a_variant_of_ones_own_is_a_column(run, tmp_path):
    (tmp_path / "lora.toml").write_text(LORA_OF_THE_GATE)
    ran = run("matrix", "--expansion", tmp_path / "lora.toml", "--architecture", "llama", "--architecture", "gpt2")
    assert ran.status == 0
    assert [line.split() for line in ran.out.splitlines()[2:4]] == [["llama", "proved"], ["gpt2", "-"]]
    assert "does not apply: " in ran.out
    assert "`gpt2` has nothing that the variant changes: W_gate" in ran.out


def test_an_undecided_cell_gives_status_3(monkeypatch, run):
    monkeypatch.setattr(module, "experiment", lambda *_: ())  # proved, but without numbers that say so
    assert run("matrix", "--architecture", "t5", "--expansion", MLP).status == 3


def test_quiet_prints_nothing(run):
    ran = run("matrix", "--architecture", "t5", "--expansion", MLP, "--quiet")
    assert (ran.status, ran.out, ran.err) == (0, "", "")


# ---------------------------------------------------------------- files


def test_a_saved_repair_is_a_variant_that_check_proves(run, tmp_path):
    assert run("matrix", *SMALL, "--repairs", tmp_path / "repairs", "--quiet").status == 0
    (saved,) = (tmp_path / "repairs").iterdir()
    assert saved.name == "attention-expansion-t5.toml"
    assert run("check", saved).status == 0
    assert run("check", ATTENTION, "--architecture", "t5").status == 1


def test_the_page_is_written_whole(run, tmp_path):
    run("matrix", *SMALL, "--html", tmp_path / "m.html", "--quiet")
    written = (tmp_path / "m.html").read_text(encoding="utf-8")
    assert written.startswith("<!DOCTYPE html>")
    assert written.rstrip().endswith("</html>")
    assert [file.name for file in tmp_path.iterdir()] == ["m.html"]


def test_every_cell_of_the_picture_leads_to_its_reason(page):
    links = Links(page[0])
    assert len(links.ids) == len(set(links.ids))
    assert {link.removeprefix("#") for link in links.links} <= set(links.ids)
    for cell in page[1].cells.values():
        assert f"#{cell.architecture}--{cell.expansion}" in links.links


def test_a_status_is_a_word_and_a_shape(page):
    cells = re.findall(r'<td class="[a-z-]+"><a [^>]*>(.*?)<span class="unseen">', page[0])
    words = [re.sub(r"<[^>]*>", "", cell) for cell in cells]
    assert words == ["✗ refuted, repaired", "✓ proved", "✓ proved", "✗ refuted"]


def test_the_page_has_reasons_numbers_and_the_repaired_file(page):
    html, found = page
    repaired = found.cells[ATTENTION, "t5"].repair
    assert "What breaks it: no score factor." in html
    assert "The outputs differ by" in html
    assert '<pre class="file" tabindex="0">name = &#34;Attention expansion, repaired for t5&#34;' in html
    assert all(line in html for line in repaired.changes)
    assert "No repair was found." in html


def test_nothing_is_fetched_and_nothing_runs(page):
    html = page[0]
    assert not re.search(r"(?:src|href|url|@import)[=(\s'\"]*(?:https?:|//)", html)
    assert "script-src" not in html
    assert not Links(html).tags & {"script", "link", "img", "iframe", "object", "form"}


def test_names_are_escaped(page):
    found = page[1]
    (name, cell), *_ = found.cells.items()
    evil = replace(found, cells={**found.cells, name: replace(cell, reason="<b>bold</b>")})
    assert "<b>bold" not in shown.matrix_page(evil)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--architecture", "lama"], "llama"),
        (["--expansion", "mlp-expnsion"], "mlp-expansion"),
        (["--seed", "-1"], "seed"),
        (["--html", "missing/folder/m.html"], "cannot be written"),
    ],
)
def test_wrong_arguments_are_one_line_and_status_2(run, arguments, told):
    ran = run("matrix", *arguments, limit=3)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert told in ran.err


def test_a_variant_that_does_not_fit_its_own_architecture_is_refused_with_its_place(run, variant):
    ran = run("matrix", "--expansion", variant(('W_l2 = "[W_l2; C]"', 'W_l2 = "[W_l2; D]"')), limit=3)
    assert ran.status == 2
    assert "my.toml:14" in ran.err


def test_a_folder_that_cannot_be_made_is_refused_before_the_work(run, tmp_path):
    (tmp_path / "file").write_text("")
    ran = run("matrix", "--repairs", tmp_path / "file", limit=3)
    assert ran.status == 2
    assert str(tmp_path / "file") in ran.err


def test_an_error_in_json_is_json(run):
    ran = run("matrix", "--architecture", "lama", "--json")
    assert ran.status == 2
    assert "llama" in json.loads(ran.out)["error"]["expected"]
