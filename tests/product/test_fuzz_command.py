"""The command `fuzz`: its table and JSON, going on after an interruption, failing cases as files, and clusters."""

import json
import os
import signal
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from growproof.proofs import campaign
from growproof.proofs.campaign import Judgement, Outcome, outcome
from growproof.proofs.check import check
from growproof.reports import fuzz
from growproof.symbolic.variant import loads

FEW = ("fuzz", "--count", 8, "--jobs", 1)
PROMISED = ("count", "proved", "refuted", "undecided", "false_proofs", "unreplayed_refutations", "seconds")


def found(ran, status=0):
    """The JSON of a run, without what differs from run to run."""
    assert (ran.status, ran.err) == (status, "")
    return {key: value for key, value in json.loads(ran.out).items() if key != "seconds"}


def refused(ran) -> str:
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    return ran.err


@pytest.fixture
def run(run):
    """The command line, with the patience that a busy machine needs."""
    return partial(run, limit=180)


@pytest.fixture
def trusting(monkeypatch):
    """Every refuted variant is said to be proved."""

    def proved(*arguments):
        answer = check(*arguments)
        return replace(answer, verdict="proved") if answer.verdict == "refuted" else answer

    monkeypatch.setattr(campaign, "check", proved)


# ---------------------------------------------------------------- what it says


def test_the_json_has_every_field_and_the_numbers_add_up(run):
    ran = run(*FEW, "--seed", 3, "--json")
    shown = json.loads(ran.out)
    assert set(PROMISED) <= set(shown)
    assert shown["count"] == 8 == shown["proved"] + shown["refuted"] + shown["undecided"]
    assert (shown["false_proofs"], shown["unreplayed_refutations"], shown["failures"]) == (0, 0, [])
    assert sum(sum(counts.values()) for counts in shown["kinds"].values()) == 8
    assert shown["attacks"] >= shown["proved"]
    assert shown["seconds"] > 0
    assert len(shown["undecided_cases"]) == shown["undecided"]


def test_the_table_says_the_same(run):
    shown = found(run(*FEW, "--json"))
    lines = run(*FEW).out.splitlines()
    assert lines[0].split() == ["proved", "refuted", "undecided", "crash"]
    (total,) = [line for line in lines if line.startswith("all ")]
    assert total.split()[1:] == [str(shown[key]) for key in ("proved", "refuted", "undecided")] + ["0"]
    assert {"false proofs: 0", "unreplayed refutations: 0", "refuted though true: 0", "crashes: 0"} <= set(lines)
    assert lines[-1].startswith("8 cases of seed 0 in ")


def test_quiet_says_nothing(run):
    ran = run(*FEW, "--quiet")
    assert (ran.status, ran.out, ran.err) == (0, "", "")


def test_another_seed_is_another_campaign(run):
    assert found(run(*FEW, "--json"))["kinds"] != found(run(*FEW, "--seed", 1, "--json"))["kinds"]


def test_two_processes_find_what_one_finds(run):
    one, two = (found(run("fuzz", "--count", 16, "--jobs", jobs, "--json")) for jobs in (1, 2))
    assert one == two


def test_a_backend_that_gives_everything_at_once_finds_the_same(run, process):
    """In a process of its own: this backend forks, which a process with threads may not survive."""
    started = process("fuzz", "--count", 8, "--jobs", 2, "--backend", "multiprocessing", "--json")
    out, err = started.communicate(timeout=120)
    assert found(SimpleNamespace(status=started.returncode, out=out, err=err)) == found(run(*FEW, "--json"))


# ---------------------------------------------------------------- going on


def test_a_campaign_goes_on_from_its_notes(run, tmp_path, monkeypatch):
    notes = tmp_path / "notes.json"
    run(*FEW, "--resume", notes)
    before = notes.read_text(encoding="utf-8")
    whole = found(run("fuzz", "--count", 16, "--jobs", 1, "--json"))
    monkeypatch.setattr(
        fuzz, "outcomes", lambda seed, indices: [outcome(seed, i) for i in indices if i >= 8 or fail(i)]
    )
    assert found(run("fuzz", "--count", 16, "--jobs", 1, "--resume", notes, "--json")) == whole
    assert json.loads(notes.read_text(encoding="utf-8"))["outcomes"][:8] == json.loads(before)["outcomes"]
    assert found(run(*FEW, "--resume", notes, "--json"))["count"] == 8, "the notes may hold more"


def fail(index):
    raise AssertionError(f"case {index} is judged twice")


def test_what_is_done_at_ctrl_c_is_kept_and_shown(run, tmp_path, monkeypatch):
    notes = tmp_path / "notes.json"

    def interrupted(seed, indices):
        if indices[0] >= 8:
            raise KeyboardInterrupt
        return [outcome(seed, i) for i in indices]

    monkeypatch.setattr(fuzz, "outcomes", interrupted)
    ran = run("fuzz", "--count", 16, "--jobs", 1, "--resume", notes)
    assert (ran.status, ran.err) == (130, "")
    assert ran.out.splitlines()[-1].startswith("interrupted: 8 cases of seed 0")
    monkeypatch.undo()
    assert len(json.loads(notes.read_text(encoding="utf-8"))["outcomes"]) == 8
    whole = found(run("fuzz", "--count", 16, "--jobs", 1, "--json"))
    assert found(run("fuzz", "--count", 16, "--jobs", 1, "--resume", notes, "--json")) == whole


def test_workers_that_are_gone_are_one_line_and_lose_nothing(run, tmp_path, monkeypatch):
    notes = tmp_path / "notes.json"

    def killed(seed, indices):
        if indices[0] >= 8:
            raise RuntimeError("a worker was killed")
        return [outcome(seed, i) for i in indices]

    monkeypatch.setattr(fuzz, "outcomes", killed)
    said = refused(run("fuzz", "--count", 16, "--jobs", 1, "--resume", notes))
    assert "RuntimeError: a worker was killed" in said
    assert len(done(notes)) == 8


def test_ctrl_c_in_a_terminal_reaches_every_process_and_ends_quietly(start, run, tmp_path):
    """The workers are in the terminal's group as well."""
    arguments = ("fuzz", "--count", 160, "--jobs", 2, "--resume", "notes.json")
    started = start(tmp_path, *arguments, start_new_session=True)
    deadline = time.monotonic() + 60
    while not done(tmp_path / "notes.json") and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(started.pid, signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert (started.returncode, err) == (130, "")
    assert "interrupted: " in out
    assert [path.name for path in tmp_path.iterdir()] == ["notes.json"]
    assert 0 < len(done(tmp_path / "notes.json")) < 200


def done(notes: Path) -> list[object]:
    return json.loads(notes.read_text(encoding="utf-8"))["outcomes"] if notes.exists() else []


# ---------------------------------------------------------------- failing cases


def test_a_failing_case_is_written_small_with_its_seed(run, trusting, tmp_path):
    folder = tmp_path / "new" / "failures"
    ran = run("fuzz", "--count", 6, "--jobs", 1, "--failures", folder, "--json")
    assert ran.status == 1
    shown = json.loads(ran.out)
    assert shown["false_proofs"] == len(shown["failures"]) > 0
    assert sorted(shown["files"]) == sorted(str(path) for path in folder.iterdir())
    for file in map(Path, shown["files"]):
        text = file.read_text(encoding="utf-8")
        assert text.startswith("# false proof: the outputs differ by ")
        assert "of `growproof fuzz --seed 0`" in text
        assert len(loads(text, "f.toml").text) < 1500
    assert run("check", shown["files"][0]).status == 1, "refuted, by the check that tells the truth"


def test_without_a_folder_failing_cases_go_into_one_of_a_plain_name(run, trusting, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run("fuzz", "--count", 2, "--jobs", 1)
    assert ran.status == 1
    assert "false proofs: 1" in ran.out or "false proofs: 2" in ran.out
    assert all(path.name.startswith("case-0-") for path in (tmp_path / "growproof-failures").iterdir())


@pytest.mark.parametrize("failure", campaign.FAILURES)
def test_every_kind_of_failure_is_exit_status_1(run, monkeypatch, tmp_path, failure):
    def failing(seed, indices):
        judged = replace(outcome(seed, 0).judgement, failure=failure, detail="planted")
        return [replace(outcome(seed, i), judgement=judged, texts=('name = "x"\n',)) for i in indices]

    monkeypatch.setattr(fuzz, "outcomes", failing)
    ran = run("fuzz", "--count", 1, "--jobs", 1, "--failures", tmp_path)
    assert ran.status == 1
    assert f"case 0, {outcome(0, 0).kind}: {failure}; planted" in ran.out
    assert (tmp_path / "case-0-0.toml").read_text(encoding="utf-8").startswith(f"# {failure}: planted\n")


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--count", "0"), "expected a number from 1"),
        (("--count", "-3"), "expected a number from 1"),
        (("--count", "many"), "--count"),
        (("--seed", "-1"), "expected a number from 0"),
        (("--jobs", "0"), "expected a number from 1"),
        (("--backend", "threads"), "one of loky, multiprocessing, dask, ray"),
        (("--scheduler", "127.0.0.1:8786"), "only a cluster has a scheduler"),
    ],
)
def test_unusable_arguments_are_named(run, arguments, said):
    assert said in refused(run("fuzz", *arguments))


@pytest.mark.parametrize(
    ("backend", "module", "said"),
    [("dask", "dask", 'pip install "growproof[dask]"'), ("ray", "ray", "pip install ray")],
)
def test_a_cluster_that_is_not_installed_is_named(run, monkeypatch, backend, module, said):
    monkeypatch.setitem(sys.modules, module, None)
    assert said in refused(run("fuzz", "--backend", backend))


def proved(index: int) -> Outcome:
    return Outcome(index, "a kind", "somehow", "paper", Judgement("proved", 4), 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: "[]",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("growproof fuzz 1", "growproof fuzz 0"),
        lambda text: text.replace('"seed": 0', '"seed": 1'),
        lambda text: text.replace('"deck": "', '"deck": "0'),
        lambda text: text.replace('"index": 3', '"index": -3'),
        lambda text: text.replace('"verdict": "', '"verdict": "not '),
        lambda text: text.replace('"attacks": ', '"attacks": 1.'),
        lambda text: text.replace('"kind"', '"sort"'),
    ],
)
def test_notes_that_are_none_or_of_something_else_are_refused_and_kept(run, tmp_path, change):
    notes, four = tmp_path / "notes.json", {i: proved(i) for i in range(4)}
    fuzz.Notes(notes, 0).write(four)
    assert fuzz.Notes(notes, 0).read() == four
    text = change(notes.read_text(encoding="utf-8"))
    notes.write_text(text, encoding="utf-8")
    assert "the notes" in refused(run(*FEW, "--resume", notes))
    assert notes.read_text(encoding="utf-8") == text


def test_places_that_cannot_be_written_are_refused_before_the_work(run, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "outcomes", fail)
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for arguments in (
        ("--resume", tmp_path),
        ("--resume", tmp_path / "nowhere" / "notes.json"),
        ("--failures", tmp_path / "file"),
        ("--resume", tmp_path / "one", "--failures", tmp_path / "one"),
    ):
        refused(run(*FEW, *arguments))
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_an_error_in_json_is_json(run):
    ran = run("fuzz", "--backend", "threads", "--json")
    assert ran.status == 2
    assert json.loads(ran.out)["error"]["found"] == "threads"


# ---------------------------------------------------------------- clusters


def test_ray_is_started_told_to_joblib_and_ended(run, monkeypatch):
    """A stand-in for Ray, whose backend of joblib is one of the kind that gives everything at once."""
    from joblib import register_parallel_backend
    from joblib._parallel_backends import LokyBackend

    class AtOnce(LokyBackend):
        supports_return_generator = False

    calls = []
    ray, util, joblib = ModuleType("ray"), ModuleType("ray.util"), ModuleType("ray.util.joblib")
    ray.init = lambda address, **_: calls.append(address)
    ray.shutdown = lambda: calls.append("shutdown")
    joblib.register_ray = lambda: register_parallel_backend("ray", AtOnce)
    for module in (ray, util, joblib):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    shown = found(run("fuzz", "--count", 8, "--jobs", 2, "--backend", "ray", "--scheduler", "here:1", "--json"))
    assert calls == ["here:1", "shutdown"]
    assert shown == found(run(*FEW, "--json"))

    def unreachable(address, **_):
        raise ConnectionError("nobody there")

    ray.init = unreachable
    assert "the scheduler cannot be reached" in refused(run("fuzz", "--backend", "ray", "--scheduler", "here:1"))


@pytest.mark.extras
def test_a_dask_cluster_of_two_processes_finds_the_same(run):
    distributed = pytest.importorskip("distributed")
    here = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with here as cluster:
        arguments = ("--backend", "dask", "--scheduler", cluster.scheduler_address)
        shown = found(run("fuzz", "--count", 40, *arguments, "--json"))
        with distributed.Client(cluster) as client:
            assert len(client.scheduler_info()["workers"]) == 2, "the cluster is the user's, and stays"
    assert shown == found(run("fuzz", "--count", 40, "--jobs", 1, "--json"))


@pytest.mark.extras
def test_dask_without_a_scheduler_is_processes_of_this_machine(run):
    pytest.importorskip("distributed")
    shown = found(run("fuzz", "--count", 8, "--backend", "dask", "--jobs", 2, "--json"))
    assert shown == found(run(*FEW, "--json"))


@pytest.mark.extras
@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "http://127.0.0.1:1"])
def test_a_scheduler_that_does_not_answer_is_refused(run, address):
    pytest.importorskip("distributed")
    assert "the scheduler cannot be reached" in refused(run("fuzz", "--backend", "dask", "--scheduler", address))
