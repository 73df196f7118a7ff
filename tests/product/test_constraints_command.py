"""`growproof constraints`: statuses, JSON, limits and notes, queries as files, a second solver, what it refuses."""

import json
import os
import re
import signal
import sys
import time
from functools import partial

import pytest
import z3

from growproof.proofs import cross

MINE = """\
name = "Mine"

[grows]
v = "v_hat"

[new]
A = "h, v_hat - v"
C = "v_hat - v, h"

[rewrite]
W_V = "[W_V, A]"
W_O = "[W_O; C]"

[constraints]
C = "0"
"""
MINIMAL = [["A"], ["C"]]  # X A C = 0 for every X: either is enough
FREE = ('C = "0"\n', "")
CONTRADICTION = ('C = "0"\n', 'C = "0"\n"2*C" = "ones(v_hat - v, h)"\n')
REDUNDANT = ('C = "0"\n', 'C = "0"\nA = "0"\n')
FIELDS = {
    *("format", "variant", "architecture", "sufficient", "irredundant", "satisfiable", "minimal_sets"),
    *("maximal_insufficient", "undecided", "unsatisfiable", "unexplored", "dropped", "weakest", "is_weakest"),
    *("liveness", "liveness_undecided", "witnesses", "queries", "seconds"),
}


def refused(ran):
    """One clean line and status 2; the line."""
    assert (ran.status, ran.out) == (2, "")
    assert re.fullmatch(r"growproof: [^\n]+\n", ran.err)
    return ran.err


def answer(ran):
    """The JSON of a run, without the time that it took."""
    assert ran.err == ""
    found = json.loads(ran.out)
    assert set(found) >= FIELDS
    assert found.pop("seconds") >= 0
    return found


@pytest.fixture
def mine(edited):
    """A variant file: longer heads, edited."""
    return partial(edited, MINE, name="mine.toml")


KNOWN = {}  # what was computed once, for all tests


@pytest.fixture
def plain(run, mine):
    """The answer about the plain variant."""
    if "plain" not in KNOWN:
        KNOWN["plain"] = answer(run("constraints", mine(), "--json"))
    return KNOWN["plain"]


# ---------------------------------------------------------------- exit statuses


def test_a_decided_study_of_constraints_that_suffice_has_status_0(run, mine):
    ran = run("constraints", mine())
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("Mine: the constraints are sufficient, each is needed, and they are not the weakest")


def test_constraints_that_do_not_suffice_have_status_1(run, mine):
    ran = run("constraints", mine(FREE))
    assert (ran.status, ran.err) == (1, "")
    assert ran.out.startswith("Mine: ")


def test_unusable_input_has_status_2(run, mine):
    assert "mlp-expansion" in refused(run("constraints", "mlp-expnsion"))
    assert ":11:" in refused(run("constraints", mine(('"[W_V, A]"', '"[W_V, D]"'))))
    assert "paper" in refused(run("constraints", "mlp-expansion", "--architecture", "papper"))
    refused(run("constraints", "mlp-expansion", "head-addition"))
    refused(run("constraints"))


def test_constraints_that_nothing_meets_have_status_3(run, mine):
    ran = run("constraints", mine(CONTRADICTION), "--json")
    found = answer(ran)
    assert ran.status == 3
    assert (found["sufficient"], found["satisfiable"]) == (False, False)
    assert ["C"] in found["unsatisfiable"]


def test_a_limit_that_comes_first_has_status_3(run, mine):
    ran = run("constraints", mine(), "--limit", "1", "--json")
    assert ran.status == 3
    assert answer(ran)["unexplored"] is True
    assert "limit was reached" in run("constraints", mine(), "--limit", "1").out


def test_a_time_that_is_over_has_status_3(run, mine):
    assert run("constraints", mine(), "--seconds", "0").status == 3
    assert run("constraints", mine(), "--seconds", "1000").status == 0


@pytest.mark.parametrize(
    "option",
    [("--limit", "-1"), ("--limit", "x"), ("--seconds", "soon"), ("--seconds", "-1"), ("--seconds", "nan")],
    ids=" ".join,
)
def test_a_limit_that_means_nothing_is_refused(run, mine, option):
    assert option[1] in refused(run("constraints", mine(), *option))


# ---------------------------------------------------------------- JSON and text


def test_the_json_has_its_fields(plain):
    assert re.fullmatch("[0-9a-f]{64}", plain["variant"]["sha256"])
    assert (plain["variant"]["name"], plain["architecture"]) == ("Mine", "paper")
    assert (plain["sufficient"], plain["irredundant"], plain["satisfiable"]) == (True, True, True)
    assert (plain["undecided"], plain["unsatisfiable"], plain["unexplored"]) == ([], [], False)
    assert plain["is_weakest"] == "no"
    assert plain["liveness"] == {"A": 2, "C": 1}
    assert plain["liveness_undecided"] == []


def test_the_json_lists_the_sets_by_the_blocks_that_are_zero(run, variant, plain):
    """relu(x A + B) C = 0: C is zero, or the units give 0; so A alone and B alone are not enough."""
    assert (plain["minimal_sets"], plain["maximal_insufficient"]) == (MINIMAL, [[]])
    found = answer(run("constraints", variant(), "--json"))
    assert (found["minimal_sets"], found["maximal_insufficient"]) == ([["C"], ["A", "B"]], [["A"], ["B"]])
    for witness in found["witnesses"]:
        (block,) = witness["choices"]
        for layer in witness["counterexample"]["new"]["layers"]:
            assert not any(any(row) for row in layer[block])


def test_the_json_has_numbers_for_what_is_dropped_and_for_what_is_not_enough(plain):
    (dropped,) = plain["dropped"]
    assert dropped["constraint"] == "C = 0"
    assert [witness["choices"] for witness in plain["witnesses"]] == plain["maximal_insufficient"]
    for numbers in (dropped["counterexample"], *(witness["counterexample"] for witness in plain["witnesses"])):
        assert numbers["original"] != numbers["expanded"]
        assert numbers["max_abs_difference"] > 1e-3


def test_the_json_says_of_the_weakest_condition_where_it_holds(plain):
    (condition,) = plain["weakest"]
    assert (condition["condition"], condition["sufficient"]) == ("A*C = 0", "all sizes")
    assert "v_hat = 2" in condition["necessary"]
    assert "v_hat = 3" in condition["necessary"]


def test_a_constraint_that_is_not_needed_has_no_numbers(run, mine):
    """Each zero is enough without the other."""
    ran = run("constraints", mine(REDUNDANT), "--json")
    found = answer(ran)
    assert ran.status == 0
    assert found["irredundant"] is False
    assert {one["constraint"]: one["counterexample"] is None for one in found["dropped"]} == {
        "C = 0": True,
        "A = 0": True,
    }


def test_the_text_says_what_is_enough_and_what_learns(run, mine):
    lines = [line.strip() for line in run("constraints", mine()).out.splitlines()]
    assert {"C = 0", "A = 0"} <= set(lines)
    assert "gradient step 1 moves C" in lines
    assert "gradient step 2 moves A" in lines
    assert not any(line.endswith("without") or "without ;" in line for line in lines)


def test_the_same_input_gives_the_same_answer(run, mine, plain):
    assert answer(run("constraints", mine(), "--json")) == plain


def test_the_seed_changes_no_set(run, mine):
    found = answer(run("constraints", mine(), "--json", "--seed", "12345678901234567890"))
    assert found["minimal_sets"] == MINIMAL


def test_quiet_says_nothing(run, mine):
    assert run("constraints", mine(), "--quiet").out == ""


def test_the_page_shows_the_study(run, mine, tmp_path):
    page = tmp_path / "page.html"
    assert run("constraints", mine(), "--html", page).status == 0
    shown = page.read_text(encoding="utf-8")
    assert "What the initialiser may do" in shown
    assert [path.name for path in tmp_path.glob("*.part")] == []


def test_help_names_every_option(run, capsys):
    with pytest.raises(SystemExit) as left:
        run("constraints", "--help")
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for option in ("--vocabulary", "--limit", "--seconds", "--resume", "--smt", "--cross-check", "--html", "--json"):
        assert option in shown


# ---------------------------------------------------------------- more choices


def test_a_larger_vocabulary_offers_more_choices(run):
    """M_Q = M_K is not enough, for M M' is not zero; equal and opposite is zero, which no rule of the kernel says."""
    found = answer(run("constraints", "attention-expansion", "--vocabulary", "zero,equal,opposite", "--json"))
    both = ["M_W_Q = M_W_K", "M_W_Q = -M_W_K"]
    assert found["minimal_sets"][:2] == [["M_W_Q"], ["M_W_K"]]
    assert found["maximal_insufficient"] == [[choice] for choice in both]
    assert [*found["minimal_sets"][2:], *found["undecided"]] == [both]


def test_words_of_a_vocabulary_may_repeat_and_stand_apart(run, mine):
    assert answer(run("constraints", mine(), "--vocabulary", "zero, zero", "--json"))["minimal_sets"] == MINIMAL


@pytest.mark.parametrize("words", ["foo", "zero,foo", "", "zero,,equal", "Zero"])
def test_an_unknown_word_is_refused_with_those_that_are_known(run, mine, words):
    assert "zero, equal, opposite, multiple" in refused(run("constraints", mine(), "--vocabulary", words))


# ---------------------------------------------------------------- notes to resume from


def test_a_stopped_study_goes_on_to_the_same_answer(run, mine, plain, tmp_path):
    """Two questions are two answers, more than nothing and less than all."""
    notes = tmp_path / "notes.json"
    ran = run("constraints", mine(), "--limit", "2", "--resume", notes)
    assert ran.status == 3
    assert len(json.loads(notes.read_text(encoding="utf-8"))["answers"]) == 2
    for _ in range(2):  # the second time from finished notes
        ran = run("constraints", mine(), "--resume", notes, "--json")
        assert ran.status == 0
        assert answer(ran) == plain


def test_a_study_in_small_pieces_comes_to_an_end(run, mine, tmp_path):
    """Two questions tell of one set more, and there are three in the end."""
    notes = tmp_path / "notes.json"
    statuses = [run("constraints", mine(), "--limit", "2", "--resume", notes, "--quiet").status for _ in range(4)]
    assert (statuses[0], statuses[-1]) == (3, 0)


@pytest.fixture
def notes(run, mine, tmp_path):
    """Notes of a finished study of the plain variant."""
    path = tmp_path / "notes.json"
    if "notes" not in KNOWN:
        assert run("constraints", mine(), "--resume", path, "--quiet").status == 0
        KNOWN["notes"] = path.read_text(encoding="utf-8")
    path.write_text(KNOWN["notes"], encoding="utf-8")
    return path


def test_notes_on_something_else_are_refused_and_left_alone(run, mine, notes):
    before = notes.read_text(encoding="utf-8")
    others = [
        (mine(('"Mine"', '"Yours"'), name="yours.toml"),),
        (mine(), "--vocabulary", "zero,equal"),
        (mine(), "--architecture", "paper-eps"),
    ]
    for other in others:
        assert "something else" in refused(run("constraints", *other, "--resume", notes))
    assert notes.read_text(encoding="utf-8") == before


def forged(**said):
    """Notes in which these subsets are called something else, and no other is called so."""

    def change(found):
        kept = [[subset, sort] for subset, sort in found["answers"] if sort not in said]
        return {**found, "answers": [*kept, *([subset, sort] for sort, sets in said.items() for subset in sets)]}

    return change


# The blocks are A and C in this order; all of these are false, or mean nothing.
FORGERIES = {
    "nothing is needed": forged(sufficient=[[]]),
    "nothing is enough": forged(insufficient=[[0, 1]], sufficient=[]),
    "zero cannot be met": forged(unsatisfiable=[[1]]),
    "everything is open": forged(sufficient=[], insufficient=[], undecided=[[], [0], [1], [0, 1]]),
    "the given zeros are open": forged(sufficient=[[0]], undecided=[[1]]),
    "a smallest set with more than it needs": forged(sufficient=[[0, 1]]),
    "the same twice": forged(sufficient=[[1], [1], [0]]),
    "a choice that there is not": forged(sufficient=[[99]]),
    "a choice before the first": forged(sufficient=[[-1]]),
    "a largest set of choices that there are not": forged(insufficient=[[0, 99]]),
    "infinity": forged(sufficient=[[float("inf")]]),
    "no number": forged(sufficient=[["x"]]),
    "no list": lambda found: {**found, "answers": 7},
    "no set": lambda found: {**found, "answers": [[7, "sufficient"]]},
    "no sort": forged(true=[[1]]),
    "no answers": lambda found: {key: value for key, value in found.items() if key != "answers"},
    "another count": lambda found: {**found, "count": 99},
    "an endless count": lambda found: {**found, "count": float("inf")},
    "a list": lambda found: [found],
    "null": lambda found: None,
    "a text": lambda found: "notes",
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_notes_are_refused_or_change_no_answer(run, mine, plain, notes, forgery):
    honest = json.loads(notes.read_text(encoding="utf-8"))
    notes.write_text(json.dumps(FORGERIES[forgery](honest)), encoding="utf-8")
    ran = run("constraints", mine(), "--resume", notes, "--json")
    if ran.status == 2:
        assert json.loads(ran.out)["error"]["file"] == str(notes)
    elif ran.status == 3:  # what is called open stays open, and no more is claimed for it
        found = answer(ran)
        assert found["undecided"]
        assert all(one in plain["minimal_sets"] for one in found["minimal_sets"])
        assert all(one in plain["maximal_insufficient"] for one in found["maximal_insufficient"])
    else:
        assert ran.status == 0
        assert answer(ran) == plain


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"0"], ids=repr)
def test_notes_that_cannot_be_read_are_refused(run, mine, tmp_path, content):
    path = tmp_path / "notes.json"
    path.write_bytes(content[:100_000])
    assert "notes" in refused(run("constraints", mine(), "--resume", path))
    assert path.read_bytes() == content


def test_notes_in_an_impossible_place_are_refused(run, mine, tmp_path):
    refused(run("constraints", mine(), "--resume", tmp_path))
    refused(run("constraints", mine(), "--resume", tmp_path / "nowhere" / "notes.json"))


def test_notes_that_would_never_end_are_refused(run, mine, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused(run("constraints", mine(), "--resume", pipe, limit=1))


def test_ctrl_c_leaves_whole_notes_to_go_on_from(process, run, tmp_path):
    notes = tmp_path / "notes.json"
    arguments = ("constraints", "head-addition", "--vocabulary", "zero,equal,opposite", "--resume", notes)
    started = process(*arguments)
    deadline = time.monotonic() + 30
    while not notes.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=30)
    assert (started.returncode, out, err.count("\n")) == (130, "", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.json"]
    assert json.loads(notes.read_text(encoding="utf-8"))["answers"]
    assert "nothing was written" not in err, "the notes were written"


# ---------------------------------------------------------------- queries as files


def test_every_query_is_a_file_that_z3_reads_back_with_the_same_verdict(run, mine, tmp_path):
    folder = tmp_path / "new" / "queries"
    found = answer(run("constraints", mine(), "--smt", folder, "--json"))
    assert {path.name for path in folder.iterdir()} == {query["file"] for query in found["queries"]}
    assert {query["verdict"] for query in found["queries"]} == {"sat", "unsat"}
    for query in found["queries"]:
        solver = z3.SolverFor("QF_NRA")
        solver.add(z3.parse_smt2_file(str(folder / query["file"])))
        assert str(solver.check()) == query["verdict"]
        first, logic, *_ = (folder / query["file"]).read_text(encoding="utf-8").splitlines()
        assert (first, logic) == (f"; {query['name']}", "(set-logic QF_NRA)")


def test_an_altered_query_has_another_verdict(run, mine, tmp_path):
    """The comparison above can fail: without its assertions an unsatisfiable query is satisfiable."""
    found = answer(run("constraints", mine(), "--smt", tmp_path, "--json"))
    name = next(query["file"] for query in found["queries"] if query["verdict"] == "unsat")
    solver = z3.SolverFor("QF_NRA")
    kept = z3.parse_smt2_file(str(tmp_path / name))
    solver.add(list(kept)[:1])
    assert str(solver.check()) == "sat"


def test_queries_that_cannot_be_written_are_refused(run, mine, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    for place in (file, file / "folder", "/proc/growproof"):
        assert str(place) in refused(run("constraints", mine(), "--smt", place))
    assert file.read_text(encoding="utf-8") == "mine"


def test_a_page_that_cannot_be_written_is_refused_before_the_work(run, mine, tmp_path, monkeypatch):
    def work(*_):
        raise AssertionError("the work has begun")

    monkeypatch.setattr("growproof.reports.study.constraints", work)
    assert "cannot be written" in refused(run("constraints", mine(), "--html", tmp_path))
    assert "cannot be written" in refused(run("constraints", mine(), "--html", tmp_path / "no" / "page.html"))


def test_what_fails_at_the_end_leaves_no_page(run, mine, tmp_path):
    page, file = tmp_path / "page.html", tmp_path / "file"
    file.write_text("", encoding="utf-8")
    refused(run("constraints", mine(), "--html", page, "--smt", file))
    assert not page.exists()


# ---------------------------------------------------------------- a second solver


def test_without_cvc5_a_cross_check_is_refused_in_one_line(run, mine, monkeypatch):
    monkeypatch.setitem(sys.modules, "cvc5", None)
    assert "cvc5 is not installed" in refused(run("constraints", mine(), "--cross-check"))
    assert run("constraints", mine(), "--quiet").status == 0


def test_a_cross_check_lists_both_verdicts(run, mine):
    pytest.importorskip("cvc5")
    ran = run("constraints", mine(), "--cross-check", "--json")
    found = answer(ran)
    assert ran.status == 0
    assert [one["query"] for one in found["cross_check"]] == [query["name"] for query in found["queries"]]
    assert all({one["z3"], one["cvc5"]} != {"sat", "unsat"} for one in found["cross_check"])


def said_by_another(monkeypatch, verdict):
    monkeypatch.setattr(cross, "available", lambda: True)
    monkeypatch.setattr(cross, "ask", lambda query: verdict)


def test_a_disagreement_is_a_failure(run, mine, monkeypatch):
    said_by_another(monkeypatch, "sat")
    ran = run("constraints", mine(), "--cross-check")
    assert ran.status == 1
    assert "cvc5 disagrees" in ran.out


def test_a_solver_that_gives_up_contradicts_nothing(run, mine, monkeypatch):
    said_by_another(monkeypatch, "unknown")
    ran = run("constraints", mine(), "--cross-check")
    assert ran.status == 0
    assert "cvc5 agrees on 0 of" in ran.out
