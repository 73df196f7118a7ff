"""What the answers of `check` say beside the verdict: blame, repairs, what was tried, and factors."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from sympy import Float, Integer, Rational, sqrt

from growproof.proofs.check import claim_of
from growproof.proofs.experiment import factors, is_power_of_two
from growproof.proofs.prover import STRATEGIES
from growproof.proofs.tried import tried
from growproof.reports.answers import matrix_text
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.expand import expand
from growproof.symbolic.variant import load, loads

FREE = ('[constraints]\nC = "0"\n', "")
TWICE = """name = "Twice"
[grows]
p = "2*p"
[rewrite]
W_l1 = "[W_l1, W_l1]"
b_l1 = "[b_l1, b_l1]"
W_l2 = "[W_l2; W_l2]"
"""
# A real matrix with M M' = 0 is zero; no rule says so.
OPEN = """name = "Open"
[grows]
v = "v_hat"
[new]
M_V = "h, v_hat - v"
M_O = "v_hat - v, h"
[rewrite]
W_V = "[W_V, M_V]"
W_O = "[W_O; M_O]"
[constraints]
"M_O*M_O'" = "0"
"""
FIELDS = {
    *("format", "variant", "architecture", "verdict", "statement", "assumptions", "derivation", "counterexample"),
    *("residual", "tried", "repairs", "solved", "liveness", "numeric", "factors", "seconds"),
}


@pytest.fixture
def answer(run, tmp_path):
    """The JSON of `check` about a text."""

    def ask(text: str, *arguments: str) -> dict:
        path = tmp_path / "asked.toml"
        path.write_text(text, encoding="utf-8")
        found = json.loads(run("check", path, "--json", *arguments).out)
        assert set(found) >= FIELDS
        return found

    return ask


# --- refuted: blame and repairs ---


def test_the_block_to_blame_is_named_in_words_and_in_json(run, variant):
    path = variant(FREE)
    assert re.search(r"^  to blame: B, C \(with any one of them zero", run("check", path).out, re.MULTILINE)
    found = json.loads(run("check", path, "--json").out)["counterexample"]
    assert found["blame"] == ["B", "C"]
    assert "agree" in found["blame_reason"]


def test_the_smallest_repairs_are_offered_with_the_text_of_a_variant(run, variant, answer):
    path = variant(FREE)
    assert [line for line in run("check", path).out.splitlines() if "repair" in line] == [
        "  repair, proved: C = 0",
        "  repair, proved: A = 0, B = 0",
    ]
    repairs = json.loads(run("check", path, "--json").out)["repairs"]
    assert [(one["change"], one["verdict"]) for one in repairs] == [("C = 0", "proved"), ("A = 0, B = 0", "proved")]
    assert all(answer(one["variant"])["verdict"] == "proved" for one in repairs)


def test_a_factor_is_found_for_what_is_written_twice(answer):
    """Half of what is written, or, since relu(A/2) = relu(A)/2, half of what is read."""
    changes = [one["change"] for one in answer(TWICE)["repairs"]]
    assert changes[0] == "W_l2 = [1/2*W_l2; 1/2*W_l2]"
    assert set(changes[1:]) <= {"W_l1 = [1/2*W_l1, 1/2*W_l1], b_l1 = [1/2*b_l1, 1/2*b_l1]"}


def test_repairs_are_written_as_files_that_are_proved(run, variant, tmp_path):
    ran = run("check", variant(FREE), "--repairs", tmp_path / "repairs")
    files = sorted((tmp_path / "repairs").iterdir())
    assert [file.name for file in files] == ["mine-repair-1.toml", "mine-repair-2.toml"]
    assert all(f"wrote {file}" in ran.out for file in files)
    assert all(run("check", file, "--quiet").status == 0 for file in files)


def test_a_place_for_repairs_that_cannot_be_made_is_refused_before_the_work(run, variant, tmp_path):
    (tmp_path / "taken").write_text("", encoding="utf-8")
    ran = run("check", variant(FREE), "--repairs", tmp_path / "taken", limit=3)
    assert (ran.status, ran.out) == (2, "")


def test_what_an_architecture_breaks_says_what_breaks_it(answer):
    text = load("hidden-expansion").text
    found = answer(text, "--architecture", "paper-eps")
    assert found["features"] == ["an epsilon"]
    assert [one["change"] for one in found["repairs"]] == ["eps = eps*h/h_hat"]


def test_what_is_proved_or_a_chain_has_no_repairs(run, variant, answer):
    assert answer(load("mlp-expansion").text)["repairs"] == []
    chain = json.loads(run("check", "heads-expansion", variant(FREE), "--json").out)
    assert (chain["verdict"], chain["repairs"]) == ("refuted", [])
    assert chain["counterexample"]["blame"] == ["B of step 2", "C of step 2"]


@pytest.mark.parametrize("text", [TWICE, OPEN, load("attention-expansion").text])
def test_the_page_says_what_the_text_says(run, tmp_path, text):
    path, page = tmp_path / "asked.toml", tmp_path / "page.html"
    path.write_text(text, encoding="utf-8")
    said = run("check", path, "--html", page).out
    shown = page.read_text(encoding="utf-8")
    for words, mark in (
        ("to blame:", "To blame:"),
        ("repair, proved:", "Repaired variant file"),
        ("  tried:", "Tried:"),
        ("  factor ", "floating point rounds products"),
    ):
        assert words not in said or mark in shown


def test_nothing_is_offered_that_undoes_the_whole_variant(run, tmp_path):
    path = tmp_path / "gelu.toml"
    path.write_text('name = "x"\n[rewrite]\nW_l1 = "2*W_l1"\nb_l1 = "2*b_l1"\nW_l2 = "1/2*W_l2"\n')
    ran = run("check", path, "--architecture", "gpt2")
    assert ran.status == 1
    assert "repair" not in ran.out


def test_what_is_to_blame_is_never_nothing(run, tmp_path):
    path = tmp_path / "turned.toml"
    path.write_text('name = "x"\n[new]\nS = "p, p; selection"\n[rewrite]\nW_l1 = "W_l1*S"\nW_l2 = "S\'*W_l2"\n')
    for architecture in ("paper", "t5"):
        assert re.search(
            r"^  to blame: S \(with ", run("check", path, "--architecture", architecture).out, re.MULTILINE
        )


def test_a_matrix_is_of_fractions_or_of_decimals_and_shows_no_rounded_zero():
    half, root = Rational(1, 2), sqrt(Integer(2))
    assert matrix_text([[half, Integer(2)]]) == "[1/2, 2]"
    assert matrix_text([[half, Integer(2), root]]) == "[0.5, 2, 1.41421]"
    assert matrix_text([[half, Float("8.20053e-143")]]) == "[0.5, 0]"
    assert matrix_text([[half]], [[root]]) == "[0.5]"
    assert matrix_text([[Float("8.2e-143")]]) == "[8.2e-143]"  # all that there is
    assert matrix_text(None, [[root]]) == "nothing"


def test_where_the_models_part_both_are_written_alike(run, tmp_path):
    path = tmp_path / "keys.toml"
    path.write_text(
        'name = "x"\n[grows]\nk = "k + 2*r"\n[new]\nA = "h, r"\nB = "h, r"\n[rewrite]\n'
        'W_Q = "[sqrt((k + 2*r)/k)*W_Q, A, A]"\nW_K = "[W_K, B, -B]"\n[becomes]\nrope = "kept"\n'
    )
    said = run("check", path, "--architecture", "llama").out
    shown = [line for line in said.splitlines() if "first difference" in line or line.startswith("  output")]
    assert len(shown) == 2
    for line in shown:
        assert not ("/" in line and "." in line), line
        assert "e-" not in line, line


# --- undecided: what remains, and what was tried ---


def test_only_what_differs_remains(run, answer, tmp_path):
    found = answer(OPEN)
    assert found["verdict"] == "undecided"
    assert found["residual"] == [r"M_{V} M_{O} = 0\text{ in every head}"]
    assert "  remains: M_V*M_O = 0, in every head\n" in run("check", tmp_path / "asked.toml").out


def test_what_was_tried_is_counted(run, answer, tmp_path):
    found = answer(OPEN)["tried"]
    assert found["strategies"] == [list(rules) for rules in STRATEGIES]
    assert 0 < found["instances"] <= found["drawn"]
    assert found["instances"] == sum(one["run"] for one in found["sizes"])
    assert f"{found['instances']} of {found['drawn']} instances" in run("check", tmp_path / "asked.toml").out
    assert answer(TWICE)["tried"] is None


def test_without_a_stream_map_no_strategy_was_tried():
    claim = claim_of([load("heads-expansion")], paper_model(PRESETS["paper"]))
    assert len(tried([claim]).strategies) == len(STRATEGIES)
    assert tried([replace(claim, growth=None, goals=())]).strategies == ()


# --- proved: factors in floating point ---


def test_a_factor_that_is_no_power_of_two_is_pointed_out(run, answer):
    (factor,) = answer(load("attention-expansion").text)["factors"]
    assert factor["factor"] == r"\frac{\sqrt{\hat{k}}}{\sqrt{k}}"
    assert factor["value"] == pytest.approx(2**0.5)  # k = 6 and k_hat = 12 in the experiment
    assert (factor["power_of_two"], factor["power_of_two_at_growth"]) == (False, 4)
    said = run("check", "attention-expansion").out
    assert "no power of two: floating point rounds products with it; a power of two where sizes grow 4 times" in said


def test_a_half_is_a_power_of_two_and_then_nothing_is_rounded(answer):
    found = answer(TWICE.replace('"[W_l2; W_l2]"', '"1/2*[W_l2; W_l2]"'))
    assert [(one["factor"], one["value"], one["power_of_two"]) for one in found["factors"]] == [
        (r"\frac{1}{2}", 0.5, True)
    ]


@pytest.mark.parametrize(("name", "count"), [("mlp-expansion", 0), ("hidden-expansion", 1), ("layer-addition", 0)])
def test_every_factor_is_named_once(answer, name, count):
    assert len(answer(load(name).text)["factors"]) == count


def test_a_factor_on_a_scalar_counts_too():
    text = load("hidden-expansion").text.replace("[constraints]", 'eps = "eps*h/h_hat"\n\n[constraints]', 1)
    text = text.replace('eps = "eps*h/h_hat"\n', "").replace("[rewrite]", '[rewrite]\neps = "eps*h/h_hat"', 1)
    step = expand(paper_model(PRESETS["paper-eps"]), loads(text, "f.toml"))
    found = factors([step], {"h": 6, "h_hat": 12})
    assert {str(one.value) for one in found} == {"1/2", "sqrt(2)/2"}


def test_powers_of_two_are_told_from_others():
    assert all(map(is_power_of_two, (Integer(1), Integer(8), Rational(1, 4))))
    assert not any(map(is_power_of_two, (Integer(0), Integer(3), Integer(-2), Rational(3, 4), sqrt(2))))


# --- quick ---


@pytest.mark.parametrize("text", [TWICE, OPEN, load("hidden-expansion").text.partition("[constraints]")[0]])
def test_an_answer_of_any_kind_takes_no_more_than_five_times_the_shortest(process, tmp_path, text):
    """Of processor time, in a process of its own, beside that of the simplest proof: seconds depend on the machine."""
    import resource

    def processor_time(asked: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process("check", asked, "--json").communicate(timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    Path(tmp_path / "asked.toml").write_text(text, encoding="utf-8")
    assert processor_time("asked.toml") < 5 * processor_time("mlp-expansion")
