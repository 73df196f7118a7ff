"""What the commands print, write and answer."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from growproof.proofs.certificate import FORMAT as CERTIFICATE_FORMAT
from growproof.reports.report import SIX
from growproof.symbolic.architecture import PRESETS

FREE = ('[constraints]\nC = "0"\n', "")
CONTRADICTION = ('C = "0"\n', 'C = "0"\n"2*C" = "ones(p_hat - p, h)"\n')
FORCED = ('C = "0"\n', 'C = "0"\n"B*C" = "b_l2"\n')  # met by old parameters with b_l2 = 0 only
FIELDS = {
    *("format", "variant", "architecture", "verdict", "statement", "assumptions", "derivation"),
    *("counterexample", "residual", "repairs", "solved", "liveness", "numeric", "seconds"),
}


# ---------------------------------------------------------------- verdicts and exit statuses


@pytest.mark.parametrize("name", SIX)
def test_each_of_the_six_is_proved(run, name):
    ran = run("check", name)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("proved: ")


def test_a_variant_without_its_constraint_is_refuted_with_status_1(run, variant):
    ran = run("check", variant(FREE))
    assert (ran.status, ran.err) == (1, "")
    assert ran.out.startswith("refuted: Mine can change")


def test_unusable_input_has_status_2(run):
    ran = run("check", "mlp-expnsion")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert "mlp-expansion" in ran.err


def test_constraints_that_some_old_parameters_do_not_meet_prove_nothing_and_have_status_3(run, variant):
    ran = run("check", variant(FORCED))
    assert (ran.status, ran.err) == (3, "")
    assert ran.out.startswith("undecided: ")
    assert "no solution of the constraints was found" in ran.out


def test_constraints_that_contradict_each_other_are_unusable_and_have_status_2(run, variant):
    path = variant(CONTRADICTION)
    ran = run("check", path)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"growproof: {path}:17:1: the constraints cannot be met")
    assert "`C = 0` (line 17) and `2*C = ones(p_hat - p, h)` (line 18)" in ran.err


def test_the_architecture_decides(run):
    assert run("check", "hidden-expansion").status == 0
    assert run("check", "hidden-expansion", "--architecture", "paper-eps").status == 1


def test_a_chain_is_checked_as_a_whole(run, variant):
    ran = run("check", "mlp-expansion", "hidden-expansion", "--json")
    found = json.loads(ran.out)
    assert found["verdict"] == "proved"
    assert found["variant"]["name"] == "MLP expansion then Hidden dimension expansion"
    assert len(found["variants"]) == 2
    assert run("check", "hidden-expansion", variant(FREE)).status == 1


def test_two_wrongs_can_make_a_right(run, tmp_path):
    path = tmp_path / "swap.toml"
    path.write_text('name = "Swap"\n[rewrite]\nW_Q = "W_K"\nW_K = "W_Q"\n', encoding="utf-8")
    assert run("check", path).status == 1
    assert run("check", path, path).status == 0


def test_the_seed_does_not_change_a_verdict(run, variant):
    refuted = variant(FREE)
    for seed in ("1", "12345678901234567890"):
        assert run("check", "mlp-expansion", "--seed", seed).status == 0
        assert run("check", refuted, "--seed", seed).status == 1


# ---------------------------------------------------------------- JSON


def checked_json(ran):
    found = json.loads(ran.out)
    assert set(found) >= FIELDS
    assert ran.err == ""
    return found


def test_the_json_of_a_proof_has_its_fields(run):
    found = checked_json(run("check", "attention-expansion", "--json"))
    assert found["variant"]["name"] == "Attention expansion"
    assert found["variant"]["source"].startswith("arXiv:2308.06103")
    assert re.fullmatch("[0-9a-f]{64}", found["variant"]["sha256"])
    assert (found["architecture"], found["verdict"]) == ("paper", "proved")
    assert found["counterexample"] is None
    assert found["residual"] == []
    assert any("real numbers" in line for line in found["assumptions"])
    steps = [step for goal in found["derivation"] for step in goal["steps"]]
    assert {"goal", "steps"} <= set(found["derivation"][0])
    assert all({"rule", "before", "after"} <= set(step) for step in steps)
    assert any(step["rule"] == "constraint" for step in steps)
    assert {row["dtype"] for row in found["numeric"]} == {"float64", "float32", "float16", "bfloat16"}
    assert all({"sizes", "max_abs", "max_ulp"} <= set(row) for row in found["numeric"])


def test_the_json_of_an_open_question_says_what_remains(run, variant):
    found = checked_json(run("check", variant(FORCED), "--json"))
    assert found["verdict"] == "undecided"
    assert found["counterexample"] is None


def number(entry):
    """A number of a counterexample: an integer, "n/d", or an irrational one with its value."""
    if isinstance(entry, dict):
        assert set(entry) == {"exact", "value"}
        return entry["value"]
    if isinstance(entry, str):
        numerator, denominator = map(int, entry.split("/"))
        return numerator / denominator
    assert type(entry) is int
    return float(entry)


def array(rows):
    return np.array([[number(entry) for entry in row] for row in rows])


def norm(X, gain):
    return X * gain / np.sqrt((X**2).mean(axis=1, keepdims=True))


def head(X, q):
    scores = X @ q["W_Q"] @ (X @ q["W_K"]).T / np.sqrt(q["W_Q"].shape[1])
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ X @ q["W_V"] @ q["W_O"]


def transformer(model):
    """Equations 1-5 of the paper, written once more: nothing of the product is used."""
    X = model["I"] + model["P"]
    for layer in model["layers"]:
        normed = norm(X, layer["g_MHA"])
        X = X + sum(head(normed, q) for q in layer["heads"])
        normed = norm(X, layer["g_MLP"])
        X = X + np.maximum(normed @ layer["W_l1"] + layer["b_l1"], 0) @ layer["W_l2"] + layer["b_l2"]
    return X @ model["W_out"]


def arrays(tables):
    """A nested model with every matrix as an array."""
    if isinstance(tables, dict):
        return {name: arrays(entry) for name, entry in tables.items()}
    if isinstance(tables[0], dict):
        return [arrays(entry) for entry in tables]
    return array(tables)


def test_a_counterexample_can_be_replayed_from_its_json(run, variant):
    found = checked_json(run("check", variant(FREE), "--json"))["counterexample"]
    model, new = arrays(found["parameters"]), arrays(found["new"])
    assert np.array_equal(array(found["input"]), model["I"])
    before = transformer(model)
    for layer, blocks in zip(model["layers"], new["layers"], strict=True):
        layer["W_l1"] = np.hstack([layer["W_l1"], blocks["A"]])
        layer["b_l1"] = np.hstack([layer["b_l1"], blocks["B"]])
        layer["W_l2"] = np.vstack([layer["W_l2"], blocks["C"]])
    after = transformer(model)
    assert np.allclose(before, array(found["original"]), rtol=1e-12)
    assert np.allclose(after, array(found["expanded"]), rtol=1e-12)
    assert np.isclose(np.abs(after - before).max(), found["max_abs_difference"], rtol=1e-9)
    assert found["max_abs_difference"] > 1e-6
    assert found["sizes"]["p_hat"] > found["sizes"]["p"]


def test_a_counterexample_names_the_first_place_where_the_models_part(run, variant):
    found = checked_json(run("check", variant(FREE), "--json"))["counterexample"]
    parted = [value["name"] for value in found["intermediates"] if value["differs"]]
    assert parted[0] == found["first_divergence"]
    assert "W_{l2}" in parted[0]
    for value in found["intermediates"]:
        before, after = value["original"], value["expanded"]
        if before and after and len(before[0]) == len(after[0]):
            assert value["differs"] == (before != after)


def without_seconds(text):
    return re.sub(r'^ *"seconds": .*$', "", text, flags=re.MULTILINE)


def test_the_same_input_gives_the_same_output_in_any_process(run, process, variant):
    refuted = variant(FREE)
    for arguments in (("check", "attention-expansion"), ("check", refuted)):
        environment = {**os.environ, "PYTHONHASHSEED": "7"}
        started = process(*arguments, "--json", env=environment)
        here = [without_seconds(run(*arguments, "--json").out) for _ in range(2)]
        there, _ = started.communicate(timeout=60)
        assert here[0] == here[1] == without_seconds(there)


# ---------------------------------------------------------------- quiet, files, verify


def test_quiet_prints_nothing_on_standard_output(run, tmp_path, variant):
    proof = tmp_path / "proof.json"
    for arguments in (
        ("check", "mlp-expansion", "--certificate", proof),
        ("check", variant(FREE)),
        ("verify", proof),
        ("list",),
    ):
        ran = run(*arguments, "--quiet")
        assert (ran.out, ran.err) == ("", "")


def test_a_page_and_a_certificate_are_written_and_verified(run, tmp_path):
    page, proof = tmp_path / "page.html", tmp_path / "proof.json"
    assert run("check", "mlp-expansion", "--html", page, "--certificate", proof, "--quiet").status == 0
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    found = json.loads(proof.read_text(encoding="utf-8"))
    assert found["format"] == CERTIFICATE_FORMAT
    assert "M_W_l2" in found["variants"][0]["text"]
    for path in (page, proof):
        ran = run("verify", path)
        assert ran.status == 0
        assert ran.out.startswith("holds: For all sizes")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "proof.json"]


def test_what_is_refuted_has_a_page_and_no_certificate(run, tmp_path, variant):
    page, proof = tmp_path / "page.html", tmp_path / "proof.json"
    ran = run("check", variant(FREE), "--html", page, "--certificate", proof)
    assert ran.status == 1
    assert "no certificate" in ran.out
    assert "refuted" in page.read_text(encoding="utf-8")
    assert not proof.exists()
    assert run("verify", page).status == 2


def test_a_certificate_of_before_stays_when_there_is_no_new_one(run, tmp_path, variant):
    proof = tmp_path / "proof.json"
    proof.write_text("before", encoding="utf-8")
    run("check", variant(FREE), "--certificate", proof)
    assert proof.read_text(encoding="utf-8") == "before"


@pytest.fixture(scope="module")
def proof_text(tmp_path_factory):
    from growproof.reports.cli import main

    path = tmp_path_factory.mktemp("proof") / "proof.json"
    assert main(["check", "mlp-expansion", "--certificate", str(path), "--quiet"]) == 0
    return path.read_text(encoding="utf-8")


ALTERATIONS = {
    "a stronger statement": ("p_hat > p", "p_hat >= p"),
    "a dropped constraint": (r"[constraints]\nM_W_l2 = \"0\"", r"[constraints]\nM_W_l1 = \"0\""),
    "another block": ("[W_l1, M_W_l1]", "[M_W_l1, W_l1]"),
    "another architecture": ('"architecture": "paper"', '"architecture": "paper-eps"'),
    "another rule": ('"rule": "product with zero"', '"rule": "sum with zero"'),
    "another name": ('"name": "MLP expansion"', '"name": "My expansion"'),
    "another term": ('"after": "', '"after": "0*'),
    "another format": (CERTIFICATE_FORMAT, CERTIFICATE_FORMAT + "0"),
}


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_an_altered_certificate_is_rejected(run, tmp_path, proof_text, alteration):
    old, new = ALTERATIONS[alteration]
    assert old in proof_text
    path = tmp_path / "proof.json"
    path.write_text(proof_text.replace(old, new, 1), encoding="utf-8")
    ran = run("verify", path)
    assert (ran.status, ran.err) == (1, "")
    assert ran.out.startswith("fails: ")
    assert ran.out.count("\n") == 1


def test_a_certificate_without_a_needed_step_is_rejected(run, tmp_path, proof_text):
    found = json.loads(proof_text)
    goal = next(goal for goal in found["claims"][0]["goals"] if goal["name"] == "MLP")
    removed = goal["from left"].pop()
    assert removed
    path = tmp_path / "proof.json"
    path.write_text(json.dumps(found), encoding="utf-8")
    assert run("verify", path).status == 1


def test_verify_says_as_json_what_holds(run, tmp_path, proof_text):
    path = tmp_path / "proof.json"
    path.write_text(proof_text, encoding="utf-8")
    [certificate] = json.loads(run("verify", path, "--json").out)["certificates"]
    assert certificate["holds"] is True
    assert certificate["error"] is None
    path.write_text(proof_text.replace("p_hat > p", "p_hat >= p", 1), encoding="utf-8")
    [certificate] = json.loads(run("verify", path, "--json").out)["certificates"]
    assert certificate["holds"] is False
    assert "statement" in certificate["error"]


# ---------------------------------------------------------------- list and help


def test_list_names_the_catalogue_and_the_architectures(run):
    ran = run("list")
    assert ran.status == 0
    for name in (*SIX, *PRESETS):
        assert re.search(rf"^  {name} ", ran.out, re.MULTILINE)
    found = json.loads(run("list", "--json").out)
    assert {variant["name"] for variant in found["variants"]} >= set(SIX)
    assert {preset["name"] for preset in found["architectures"]} == set(PRESETS)


@pytest.mark.parametrize("command", ["", "report", "check", "verify", "list"])
def test_help_has_status_0(run, capsys, command):
    with pytest.raises(SystemExit) as left:
        run(*command.split(), "--help")
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("usage: growproof")


# ---------------------------------------------------------------- processes


def test_the_module_runs_from_any_folder(process, variant):
    path = variant()
    started = process("check", path.name)
    out, err = started.communicate(timeout=60)
    assert (started.returncode, err) == (0, "")
    assert out.startswith("proved: Mine")


def test_ctrl_c_during_the_report_leaves_no_file_and_no_traceback(process, tmp_path):
    report = tmp_path / "report.html"
    report.write_text("the report of before", encoding="utf-8")
    started = process("report", "-o", report)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) == 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(list(tmp_path.iterdir())) == 2, "the temporary file beside the report"
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert out == ""
    assert started.returncode in (130, -signal.SIGINT)  # a shell says 130 of both; Python ends so out of an exec
    assert err == "growproof: interrupted; nothing unfinished was written\n"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert report.read_text(encoding="utf-8") == "the report of before"


@pytest.mark.parametrize("arguments", [("check", "mlp-expansion", "--json"), ("list",)], ids=" ".join)
def test_a_closed_pipe_is_no_error_worth_a_traceback(process, arguments):
    started = process(*arguments)
    started.stdout.close()
    started.stdout = None
    _, err = started.communicate(timeout=60)
    assert err == ""


def test_a_variant_can_come_through_a_pipe(process, variant):
    with variant().open(encoding="utf-8") as text:
        started = process("check", "/dev/stdin", stdin=text)
        out, _ = started.communicate(timeout=60)
    assert out.startswith("proved: Mine")
    started = process("check", "/dev/stdin", stdin=subprocess.PIPE)
    out, _ = started.communicate(variant().read_text(encoding="utf-8"), timeout=60)
    assert out.startswith("proved: Mine")


def test_files_are_made_with_the_permissions_that_the_user_wants(run, tmp_path):
    page = tmp_path / "page.html"
    before = os.umask(0o027)
    try:
        run("check", "mlp-expansion", "--html", page, "--quiet")
    finally:
        os.umask(before)
    assert page.stat().st_mode & 0o777 == 0o640
    assert Path(page).is_file()


@pytest.mark.parametrize("architecture", ["paper-eps", "llama", "bert", "mixtral"])
def test_a_proved_answer_on_another_architecture_is_json_too(run, architecture):
    found = json.loads(run("check", "mlp-expansion", "--architecture", architecture, "--json").out)
    assert found["verdict"] == "proved"
    assert all(type(size) is int for row in found["numeric"] for size in row["sizes"].values())
