"""The course: every lesson is whole, every exercise accepts what is right in any form, and nothing is typed."""

import doctest
import json
import pkgutil
import re
import time
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from html import unescape
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

import growproof
from growproof.numeric.forward import transformer
from growproof.numeric.model import from_nested
from growproof.proofs.blame import Blame
from growproof.proofs.check import check as judging_check
from growproof.proofs.check import claim_of
from growproof.proofs.drawing import Profile, drawn_model
from growproof.proofs.weakest import weakest
from growproof.reports import course
from growproof.reports.course import (
    breaking,
    filling,
    judging,
    learning,
    lesson,
    ordering,
    taught,
    training,
    zeroing,
)
from growproof.reports.course.exercise import Exercise, Feedback, NotYetError
from growproof.reports.course.exercises import KINDS, check_exercise, exercise
from growproof.reports.course.gradients import loss_and_gradient
from growproof.reports.course.lines import can_be_written, lines, source
from growproof.reports.course.notation import notation
from growproof.reports.course.notebook import notebook
from growproof.reports.course.page import lesson_page, notation_page, prose
from growproof.reports.course.spellings import PATTERNS, SIGNS
from growproof.reports.mathml import mathml
from growproof.symbolic.architecture import PRESETS, SIZES, SUBLAYERS, paper_model, parameters, stream
from growproof.symbolic.errors import VariantError
from growproof.symbolic.expand import expand
from growproof.symbolic.notation import latex, name_latex
from growproof.symbolic.variant import SIX, load

LESSONS = list(lesson.names())
ALL = [(name, one.name) for name in LESSONS for one in lesson.lesson(name).exercises]
MEGABYTE = 1_000_000


@pytest.mark.parametrize("name", [found.name for found in pkgutil.iter_modules(course.__path__)])
def test_examples_in_docstrings_are_true(name: str) -> None:
    assert doctest.testmod(import_module(f"growproof.reports.course.{name}")).failed == 0


# ---------------------------------------------------------------- lessons


def test_there_are_ten_lessons_and_a_workshop() -> None:
    assert len(LESSONS) == 11
    taught_ones = [v.name for name in LESSONS[1:7] for v in lesson.lesson(name).variants]
    assert taught_ones == [growproof.loads(path.read_text()).name for path in map(catalogue_file, SIX)]


def catalogue_file(name: str) -> Path:
    return Path(import_module("growproof.symbolic.variant").__file__ or "").with_name("catalogue") / f"{name}.toml"


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_has_goals_minutes_and_three_to_five_exercises(name: str) -> None:
    found = lesson.lesson(name)
    assert found.goals
    assert found.idea
    assert found.prepare
    assert 20 <= found.minutes <= 90
    assert 3 <= len(found.exercises) <= 5
    assert all(one.hints for one in found.exercises)


def test_every_kind_is_used() -> None:
    assert {exercise(*names).kind.name for names in ALL} == set(KINDS)


def changed(tmp_path: Path, name: str, *edits: tuple[str, str]) -> Path:
    text = lesson.names()[name].read_text(encoding="utf-8")
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / f"01-{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_derivation_is_that_of_the_variant_in_the_file(tmp_path: Path) -> None:
    edits = (("1/2*W_l2; 1/2*W_l2", "3/4*W_l2; 1/4*W_l2"),)
    before, after = (
        taught.taught(lesson.read(path)) for path in (lesson.names()["blocks"], changed(tmp_path, "blocks", *edits))
    )
    assert before.goals != after.goals
    assert any(r"\frac{3}{4}" in step.before for goal in after.goals for step in goal.steps)


def test_a_lesson_that_teaches_a_falsehood_is_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, "blocks", ('W_l2 = "[1/2*W_l2; 1/2*W_l2]"', 'W_l2 = "[1/2*W_l2; 3/4*W_l2]"'))
    with pytest.raises(VariantError, match="teaches what is not proved"):
        taught.taught(lesson.read(path))


def test_a_lesson_that_breaks_nothing_is_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, "blocks", ('W_l2 = "[W_l2; W_l2]"', 'W_l2 = "[W_l2; 0]"'))
    with pytest.raises(VariantError, match="breaks what is not refuted"):
        taught.taught(lesson.read(path))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("minutes = 45", "minuts = 45"), "no such entry"),
        (("minutes = 45\n", ""), "lacks an entry.*minutes"),
        (('kind = "scale"', 'kind = "quiz"'), "no exercise is of this kind"),
        (("minutes = 45", "minutes = "), "cannot be read"),
    ],
)
def test_a_wrong_lesson_file_is_named(tmp_path: Path, edit: tuple[str, str], message: str) -> None:
    with pytest.raises(VariantError, match=message):
        lesson.read(changed(tmp_path, "blocks", edit))


# ---------------------------------------------------------------- exercises


@pytest.mark.parametrize(("name", "own"), ALL)
def test_the_solution_that_is_found_is_accepted(name: str, own: str) -> None:
    one = exercise(name, own)
    assert one.check(one.solution()).right


NONSENSE = ["", None, "spam and eggs", 17, ["nix"], {"x": "y"}, object(), "((((", "?a", float("nan"), [[]], True, "\0"]


@pytest.mark.parametrize(("name", "own"), [(n, e) for n, e in ALL if n in ("mlp", "attention", "workshop", "blocks")])
def test_nonsense_gets_one_kind_line(name: str, own: str) -> None:
    for answer in NONSENSE:
        found = exercise(name, own).check(answer)
        assert not found.right
        assert "\n" not in found.text
        assert "expected" in found.text or found.block or found.counterexample, (answer, found.text)


@given(st.text(max_size=20) | st.lists(st.text(max_size=5), max_size=3) | st.integers())
def test_whatever_is_answered_nothing_is_raised(answer: Any) -> None:
    for names in (("mlp", "zeros"), ("mlp", "break"), ("mlp", "derivation"), ("attention", "scale")):
        assert isinstance(exercise(*names).check(answer), Feedback)


@pytest.mark.parametrize(
    ("name", "own", "answer"),
    [
        ("attention", "scale", "sqrt(k_hat/k)"),
        ("attention", "scale", "(k_hat/k)^(1/2)"),
        ("attention", "scale", "(k_hat/k)**(1/2)"),
        ("attention", "scale", "k_hat/sqrt(k*k_hat)"),
        ("attention", "scale", "√(k_hat/k)"),
        ("attention", "scale", "(k_hat/k)**.5"),
        ("attention", "scale", "√k̂/√k"),
        ("attention", "scale", "(k\u0302 ÷ k)^½"),
        ("attention", "scale", r"\sqrt{\frac{\hat{k}}{k}}"),
        ("attention", "scale", "\u00a0(k_hat\u202f∕\u202fk)^(1/2)\u00a0"),
        ("attention", "scale", "W_K = [sqrt(k_hat/k)*W_K, M_W_K]"),
        ("hidden", "gain", "√(h/ĥ)"),
        ("blocks", "three-copies", "+1/3"),
        ("blocks", "three-copies", "p/p_hat"),
        ("blocks", "lower-block", "2W_l2/3"),
        ("blocks", "lower-block", "2/3 W_l2"),
        ("blocks", "lower-block", "2⁄3 ∗ W_l₂"),
        ("blocks", "lower-block", "(2/3)W_l2"),
        ("blocks", "lower-block", "W_l2 – 1/3 W_l2"),
        ("blocks", "lower-block", "W_l2 = [1/3*W_l2; 2/3*W_l2]"),
        ("blocks", "three-copies", "2/6"),
        ("blocks", "lower-block", "W_l2 - 1/3*W_l2"),
        ("blocks", "lower-block", "(4/6) * W_l2"),
        ("mlp", "zeros", "M_W_l1 = 0 and M_b_l1 = 0"),
        ("mlp", "zeros", {"M_W_l2"}),
        ("mlp", "zeros", "W_l₂ = 0"),
        ("head", "zeros", "W_O = 0"),
        ("head", "zeros", {"W_O": "0"}),
        ("mlp", "break", "M_b_l1 = ½, M_W_l2 = −2⁄3"),
        ("mlp", "zeros", ["M_W_l1", "M_b_l1", "M_W_l2"]),
        ("mlp", "break", {"M_b_l1": 3, "M_W_l2": "-1/2"}),
        ("mlp", "break", "M_W_l1 = [2]; M_W_l2 = [5]"),
        ("mlp", "break", {"M_W_l1": np.array([[2.0]]), "M_W_l2": [7]}),
        ("mlp", "first", {"M_W_l1": 2, "M_b_l1": 2, "M_W_l2": 1}),
        ("mlp", "first", "m_w_l2"),
        ("heads", "both-zero", []),
        ("heads", "both-zero", "none"),
        ("heads", "zeros", "both"),
        ("mlp", "zeros", "set M_W_l2 to zero"),
        ("hidden", "repair", "M_I = -M_P"),
        ("hidden", "repair", 'M_P + M_I = "0"'),
        ("attention", "share", {"W_K": "[W_K, M_W_K]"}),
        ("attention", "share", "W_Q = [2*W_Q, M_W_Q]\nW_K = [sqrt(k_hat/k)/2*W_K, M_W_K]"),
    ],
)
def test_a_right_answer_in_another_form_is_right(name: str, own: str, answer: Any) -> None:
    assert exercise(name, own).check(answer).right


@pytest.mark.parametrize(
    ("name", "own", "answer", "block"),
    [
        ("attention", "scale", "1", "W_K"),
        ("attention", "scale", "sqrt(k/k_hat)", "W_K"),
        ("blocks", "lower-block", "W_l2", "W_l2"),
        ("mlp", "zeros", ["M_W_l1"], "M_W_l2"),
        ("mlp", "zeros", [], "M_W_l2"),
        ("mlp", "break", {"M_b_l1": 1}, "M_W_l2"),
        ("mlp", "first", ["M_W_l1", "M_W_l2"], "M_W_l1"),
        ("mlp", "derivation", ["product with zero"], "product with zero"),
        ("hidden", "repair", "M_I = M_P", "M_W_out"),
        ("layer", "zeros", ["M_W_O", "M_W_l2"], "M_b_l2"),
    ],
)
def test_a_wrong_answer_names_the_block(name: str, own: str, answer: Any, block: str) -> None:
    found = exercise(name, own).check(answer)
    assert not found.right
    assert block in found.block
    assert block in found.text
    assert found.hints
    with pytest.raises(NotYetError):
        found.require()


def test_a_refuted_answer_comes_with_its_numbers() -> None:
    found = exercise("mlp", "zeros").check(["M_W_l1"])
    assert found.counterexample is not None
    assert "replayed in numpy" in str(found)
    assert "Both models, value by value" in found._repr_html_()


def test_a_wrong_prediction_does_not_get_the_right_one() -> None:
    asked = exercise("mlp", "first")
    assert asked.check([]).text == "something moves at the first step"
    assert asked.check(["M_W_l1", "M_b_l1"]).text == "M_W_l1 does not move at the first step"
    assert exercise("training", "layer").check(["M_W_O"]).text == "these do, and something else does too"


def test_a_number_that_is_too_large_gets_the_limit() -> None:
    assert "from -1000 to 1000" in exercise("mlp", "break").check("M_b_l1 = 1001, M_W_l2 = 1").text


def test_a_lesson_holds_what_its_goals_promise() -> None:
    pages = {
        name: lesson_page(taught.taught(lesson.lesson(name)), [lesson.lesson(name)])
        for name in ("attention", "composition", "limits")
    }
    weakest = growproof_weakest("attention-expansion")
    assert [one.latex for one in taught.taught(lesson.lesson("attention")).conditions] == [weakest]
    assert "The weakest condition" in pages["attention"]
    ways = taught.taught(lesson.lesson("composition")).ways
    assert [one.title for one in ways] == ["MLP expansion", "Hidden dimension expansion", "both at once"]
    assert all(f'<td class="count">{one.steps}</td>' in pages["composition"] for one in ways)
    assert "What breaks it: an epsilon." in pages["limits"]


def growproof_weakest(name: str) -> tuple[str, ...]:
    found = weakest(claim_of([load(name)], paper_model(PRESETS["paper"])))
    assert found is not None
    return tuple(f"{latex(one.left)} = {latex(one.right)}" for part in found.conditions for one in part.equations)


def test_a_repair_may_not_shrink_the_task() -> None:
    asked = exercise("attention", "share")
    text = asked.variant.text
    assert "leave [grows]" in asked.check(text.replace('k = "k_hat"', 'k = "2*k"').replace("k_hat", "(2*k)")).text
    nothing = 'name = "x"\n[rewrite]\nW_Q = "W_Q"\n'
    assert not asked.check(nothing).right


def test_a_design_must_grow_be_proved_and_learn() -> None:
    asked = exercise("workshop", "design")
    dead = (
        'name = "x"\n[grows]\np = "p_hat"\n[new]\nA = "h, p_hat - p"\nB = "1, p_hat - p"\n[rewrite]\n'
        'W_l1 = "[W_l1, A]"\nb_l1 = "[b_l1, B]"\nW_l2 = "[W_l2; 0]"\n[constraints]\nA = "0"\nB = "0"\n'
    )
    false = str(asked.solution()).replace("; -C]", "; C]")
    assert "does not grow p" in asked.check('name = "x"\n[rewrite]\nW_V = "2*W_V"\nW_O = "1/2*W_O"\n').text
    assert asked.check(false).counterexample is not None
    assert "moves" in asked.check(dead).text


# ---------------------------------------------------------------- more than proved


@pytest.mark.parametrize(
    ("answer", "bound"),
    [
        ("M_I = 0\nM_P = 0", ("M_I", "M_P")),
        ("I = [I, 0]; P = [P, 0]", ("M_I", "M_P")),
        ("M_I = M_P\n2*M_P = 0", ("M_I", "M_P")),
        ("I = [I, M_I]; P = [P, -M_I]", ("M_P",)),
        ("I = [I, M_I - M_I]; P = [P, 0*M_P]", ("M_I", "M_P")),
    ],
)
def test_a_block_that_must_stay_free_is_neither_zero_nor_gone(answer: str, bound: tuple[str, ...]) -> None:
    asked = exercise("hidden", "repair")
    found = asked.check(answer)
    assert not found.right
    assert found.block == bound
    assert found.text.endswith(f"but {' and '.join(bound)} must be free")


def test_what_the_lesson_chose_is_the_solution() -> None:
    for names in ALL:
        if exercise(*names).kind.name == "repair":
            assert exercise(*names).solution() in exercise(*names).more["choices"]
    assert exercise("hidden", "repair").solution() == "M_I + M_P = 0"


def test_where_blocks_must_learn_dead_ones_are_named() -> None:
    asked = exercise("training", "alive")
    found = asked.check(["M_W_O", "M_W_V"])
    assert not found.right
    assert found.block == ("M_W_V", "M_W_O")
    assert "M_W_V, M_W_O never move" in found.text
    assert exercise("heads", "zeros").check(["M_W_O", "M_W_V"]).right  # where nobody asks for it
    assert all(asked.check([one]).right for one in found.block)
    assert asked.kind.page(asked).data["alive"]


GROWN = 'name = "x"\n[grows]\np = "2*p"\n[rewrite]\nW_l1 = "[W_l1, {0}]"\nb_l1 = "[b_l1, {1}]"\nW_l2 = "[{2}; {3}]"\n'


def test_zeros_without_a_name_must_learn_too_and_copies_do() -> None:
    asked = exercise("workshop", "design")
    dead, copies, heard = (
        asked.check(GROWN.format(*one))
        for one in (
            ("0", "0", "W_l2", "0"),
            ("W_l1", "b_l1", "1/2*W_l2", "1/2*W_l2"),
            ("W_l1", "b_l1", "W_l2", "0"),
        )
    )
    assert not dead.right
    assert "nothing new in it ever moves" in dead.text
    assert copies.right
    assert "what is new in W_l2 moves at step 1" in copies.text
    assert heard.right
    assert "what is new in W_l1 moves at step 2" in heard.text


def test_an_answer_leaves_no_number_open() -> None:
    for names, answer in (
        (("workshop", "design"), GROWN.format("W_l1", "b_l1", "?a*W_l2", "?a*W_l2")),
        (("blocks", "repair"), "W_l2 = [?a*W_l2; ?a*W_l2]"),
    ):
        found = exercise(*names).check(answer)
        assert not found.right
        assert "?a" in found.text


# ---------------------------------------------------------------- what is read, and what is not


@pytest.mark.parametrize("answer", ["√½*√2*√(k_hat/k)", "(k_hat/k)^½", "sqrt ½ * sqrt(2*k_hat/k)", "½*2*sqrt(k_hat/k)"])
def test_a_fraction_in_one_sign_stands_in_brackets(answer: str) -> None:
    assert exercise("attention", "scale").check(answer).right


@pytest.mark.parametrize("answer", ["2½", "k½", "(k)½", "2 ½"])
def test_a_fraction_right_behind_something_is_refused(answer: str) -> None:
    assert "right behind" in exercise("attention", "scale").check(answer).text


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        (("hidden", "zeros"), "all but M_P"),
        (("hidden", "zeros"), "all except M_P"),
        (("hidden", "zeros"), "everything but M_I"),
        (("hidden", "zeros"), ["all", "M_P"]),
        (("head", "zeros"), "M_W_Q or M_W_O"),
        (("head", "zeros"), "not M_W_O"),
        (("head", "zeros"), "M_W_O != 0"),
        (("mlp", "zeros"), "no M_W_l2"),
        (("mlp", "zeros"), ["M_W_l2 = 1"]),
        (("mlp", "zeros"), {"M_W_l2": "perhaps"}),
        (("mlp", "first"), "M_W_l1 or M_W_l2"),
        (("mlp", "first"), {"M_W_l2": "soon"}),
    ],
)
def test_what_is_denied_or_left_open_is_refused_in_one_line(names: tuple[str, str], answer: Any) -> None:
    found = exercise(*names).check(answer)
    assert not found.right
    assert found.text.startswith("this cannot be used")
    assert "\n" not in found.text


@pytest.mark.parametrize(
    ("names", "answer", "right"),
    [
        (("mlp", "zeros"), {"M_W_l1": True, "M_W_l2": False}, False),
        (("mlp", "zeros"), {"M_W_l1": False, "M_W_l2": True}, True),
        (("mlp", "zeros"), {"M_W_l2": "0"}, True),
        (("mlp", "zeros"), {"M_W_l2": "zero", "M_W_l1": 1}, True),
        (("mlp", "zeros"), {"M_W_l2": [[0]]}, True),
        (("mlp", "zeros"), {"M_W_l2": np.zeros((1, 2))}, True),
        (("mlp", "zeros"), {"M_W_l2": np.ones((1, 2))}, False),
        (("mlp", "zeros"), "only M_W_l2", True),
        (("mlp", "zeros"), "`M_W_l2`", True),
        (("mlp", "first"), {"M_W_l2": True, "M_W_l1": False}, True),
        (("mlp", "first"), {"M_W_l2": np.int64(1), "M_W_l1": 2, "M_b_l1": None}, True),
        (("heads", "both-zero"), ["none"], True),
        (("heads", "both-zero"), "neither", True),
        (("heads", "both-zero"), "none of them", True),
    ],
)
def test_tables_say_of_each_block_whether_it_is_meant(names: tuple[str, str], answer: Any, right: bool) -> None:
    assert exercise(*names).check(answer).right == right


@pytest.mark.parametrize(
    "answer",
    [
        "M_b_l1 = +2, M_W_l2 = (1)",
        "M_b_l1: 1; M_W_l2: -1/2",
        "{'M_b_l1': [[3]], 'M_W_l2': 2}",
        "M_b_l1 = .5 and M_W_l2 = 1e1",
        "M_b_l1 = .01\nM_W_l2 = .01",
        {"M_b_l1": Decimal("1e-3"), "M_W_l2": sympy.Rational(1, 2)},
        {"M_b_l1": Fraction(1, 3), "M_W_l2": np.float32(0.5)},
    ],
)
def test_numbers_are_read_with_signs_points_and_exponents(answer: Any) -> None:
    assert exercise("mlp", "break").check(answer).right


@pytest.mark.parametrize(
    "answer", ["M_b_l1 = 1 or so, M_W_l2 = 2", "M_b_l1 = 1, M_W_l2", "M_b_l1 = 1e99999999", "M_b_l1 = 2 M_b_l1", "1"]
)
def test_nothing_of_a_text_of_numbers_is_left_out(answer: str) -> None:
    found = exercise("mlp", "break").check(answer)
    assert not found.right
    assert found.text.startswith("this cannot be used")
    assert "expected" in found.text


def test_a_small_number_is_judged_as_it_is() -> None:
    asked = exercise("mlp", "break")
    assert "differ by 1e-06" in asked.check("M_b_l1 = 1e-6, M_W_l2 = 1").text
    assert "differ by only 1e-12, too little" in asked.check("M_b_l1 = 1e-6, M_W_l2 = 1e-6").text


def test_a_block_that_is_zero_may_be_given_as_zero() -> None:
    asked = exercise("head", "mean")
    assert asked.check({"M_W_Q": 0, "M_W_V": 1, "M_W_O": 1}).right
    assert "is not free" in asked.check({"M_W_Q": 1, "M_W_V": 1, "M_W_O": 1}).text


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        (("blocks", "three-copies"), Fraction(1, 3)),
        (("blocks", "three-copies"), sympy.Rational(1, 3)),
        (("blocks", "three-copies"), "?a = 1/3"),
        (("blocks", "three-copies"), "⅓"),
        (("attention", "scale"), "a = sqrt(k_hat/k)"),
        (("attention", "scale"), sympy.sqrt(sympy.Symbol("k_hat") / sympy.Symbol("k"))),
        (("blocks", "lower-block"), "?below = 2/3*W_l2"),
        (("composition", "two-factors"), Decimal("0.5")),
        (("composition", "two-factors"), np.float64(0.5)),
        (("blocks", "repair"), ["W_l2 = [1/4*W_l2; 3/4*W_l2]"]),
        (("blocks", "repair"), '[rewrite]\nW_l2 = "[1/4*W_l2; 3/4*W_l2]"'),
        (("blocks", "repair"), "W_l2 = [0.33*W_l2; 0.67*W_l2]"),
        (("hidden", "repair"), "[constraints]\n'M_I + M_P' = '0'"),
    ],
)
def test_numbers_and_lines_of_any_make_are_read(names: tuple[str, str], answer: Any) -> None:
    assert exercise(*names).check(answer).right


def test_a_list_of_rules_as_one_writes_it() -> None:
    asked = exercise("mlp", "derivation")
    names, rules = asked.kind.given(asked).words, asked.solution()
    numbered = "\n".join(f"{i}. {rule.replace(' ', '_')}." for i, rule in enumerate(rules, 1))
    assert asked.check(numbered).right
    assert asked.check(" ".join(str(names.index(rule) + 1) for rule in rules)).right


@pytest.mark.parametrize("answer", ["0.3333333333", "0.33", 1 / 3, Decimal(1) / 3])
def test_a_rounded_number_is_told_its_fraction(answer: Any) -> None:
    found = exercise("blocks", "three-copies").check(answer)
    assert not found.right
    assert "is rounded" in found.text
    assert "1/3" in found.text


@pytest.mark.parametrize("answer", ["1.41421356", "1.41", 2**0.5])
def test_a_rounded_root_is_told_its_root(answer: Any) -> None:
    assert "is rounded" in exercise("attention", "scale").check(answer).text
    assert isinstance(answer, float) or "write sqrt(2)" in exercise("attention", "scale").check(answer).text


def test_a_rounded_number_that_is_not_decided_is_another_number(monkeypatch: pytest.MonkeyPatch, clean: None) -> None:
    monkeypatch.setattr(
        judging, "check", lambda *_: replace(judging_check(*_), verdict="undecided", counterexample=None)
    )
    found = exercise("blocks", "three-copies").check("0.3333333333").text
    assert found == "0.3333333333 is rounded, write 1/3: a rounded number is another number"


@pytest.mark.parametrize("answer", ["1/2k", "2/3k", "k(2)", "1/(2)k"])
def test_a_product_that_can_be_read_in_two_ways_is_refused_in_one_line(answer: str) -> None:
    found = exercise("attention", "scale").check(answer)
    assert found.text.startswith("this cannot be used")
    assert "\n" not in found.text


@pytest.mark.parametrize("answer", ["W_l2 = [1/4*W_l2; 3/4*W_l2]", "W_l2 = 3", "W_l1 = [W_l1, W_l1]"])
def test_another_line_than_that_of_the_question_is_no_answer(answer: str) -> None:
    assert not exercise("blocks", "lower-block").check(answer).right


def test_what_is_rounded_is_looked_for_in_the_answer_alone() -> None:
    assert "2308" not in exercise("attention", "scale").check("2").text


@pytest.mark.parametrize(
    ("name", "own"), [one for one in ALL if exercise(*one).kind.name in ("fill", "repair", "scale")]
)
def test_a_question_does_not_show_what_is_said_of_the_true_variant(name: str, own: str) -> None:
    shown = exercise(name, own).kind.given(exercise(name, own)).variant
    assert not re.search(r'(?m)^(verdict|reason|source|description) =|= ""', shown)
    assert growproof.loads(shown).rewrite == exercise(name, own).variant.rewrite


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ((5, "scale"), "found 5"),
        (("attention", 5), "found 5"),
        ((None, None), "found None"),
        (("attention", ["scale"]), "found a list"),
    ],
)
def test_a_name_that_is_no_text_is_refused_like_an_unknown_one(names: Any, found: str) -> None:
    with pytest.raises(VariantError, match=found):
        growproof.exercise(*names)


def test_what_the_prover_cannot_decide_may_be_true() -> None:
    found = exercise("blocks", "three-copies").check("1/3 + 1/10^12")
    assert not found.right
    assert "cannot decide this; it may be true" in found.text
    assert len(found.text) < 200


# ---------------------------------------------------------------- blame


@pytest.mark.parametrize(
    ("names", "answer", "block"),
    [
        (("blocks", "lower-block"), "W_l2", ("W_l2",)),
        (("attention", "scale"), "1", ("W_K",)),
        (("limits", "epsilon"), "1", ("eps",)),
        (("limits", "layernorm"), "0", ("I",)),
        (("limits", "rotary"), "rope_base = rope_base*k_hat/k", ("rope_base",)),
        (("head", "output-block"), "M_W_O", ("M_W_V", "M_W_O")),
    ],
)
def test_to_blame_is_where_the_answer_stands(names: tuple[str, str], answer: str, block: tuple[str, ...]) -> None:
    assert exercise(*names).check(answer).block == block


def test_where_nothing_can_be_blamed_nothing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    example = exercise("mlp", "zeros").check([]).counterexample
    assert example is not None
    monkeypatch.setattr(judging, "blame", lambda *_: Blame((), "rewritten"))
    found = judging.refuted(example)
    assert found.text == "the model can compute something else"
    assert found.block == ()


# ---------------------------------------------------------------- what nobody would answer


class Hostile:
    def __repr__(self) -> str:
        raise ValueError("no")

    __str__ = __repr__


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


HOSTILE = {
    "digits": lambda: 10**5000,
    "deep": lambda: nested(100_000),
    "object": Hostile,
    "objects": lambda: [Hostile()],
    "array": lambda: {"M_W_l2": np.array([["a", None]])},
    "large array": lambda: np.zeros((2000, 2000)),
    "long": lambda: "x" * 100_000,
    "nearly long": lambda: "x" * 19_000,
    "lines": lambda: "\n;[" * 6000,
    "equals": lambda: "a=" * 9000,
    "sum": lambda: "1+" * 490 + "1",
    "exponent": lambda: "1e99999999",
    "power": lambda: "9^9^9^9",
    "decimal": lambda: Decimal("1e99999999"),
    "bytes": lambda: b"M_W_l2",
    "complex": lambda: 1j,
    "infinite": lambda: {"M_W_l2": float("inf")},
}
KIND_BY_KIND = {exercise(*names).kind.name: names for names in ALL if names[0] not in ("limits", "composition")}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("kind", KIND_BY_KIND)
def test_whatever_it_is_there_is_one_line_at_once(kind: str, what: str) -> None:
    asked, answer = exercise(*KIND_BY_KIND[kind]), HOSTILE[what]()
    asked.check(None)
    start = time.perf_counter()
    found = asked.check(answer)
    assert time.perf_counter() - start < 2
    assert not found.right
    assert "\n" not in found.text
    assert len(found.text) < 400


def test_a_hint_is_given_whatever_is_asked_for() -> None:
    asked = exercise("mlp", "zeros")
    first, last = asked.hints
    assert [asked.hint(step) for step in ("a", None, 0, -1, 2, 99)] == [first, first, first, first, last, last]


def test_a_long_name_is_quoted_in_short() -> None:
    for ask in (lambda: exercise("x" * 1000, "y"), lambda: exercise("mlp", "y" * 1000)):
        with pytest.raises(VariantError) as found:
            ask()
        assert len(str(found.value)) < 250
    assert len(exercise("attention", "scale").check("x" * 900).text) < 350


def test_the_page_spells_as_the_prover_does() -> None:
    html = lesson_page(taught.taught(lesson.lesson("mlp")), [lesson.lesson(one) for one in LESSONS])
    held = re.search(r'<div id="spellings" hidden><script type="application/json">(.*?)</script>', html)
    assert held is not None
    assert json.loads(held[1])["signs"] == SIGNS
    assert [pattern for pattern, _ in json.loads(held[1])["patterns"]] == [pattern for pattern, _ in PATTERNS]


# ---------------------------------------------------------------- not stored


def forget() -> None:
    for cached in (
        judging.answer_about,
        zeroing.studied_text,
        learning.learns_text,
        ordering.puzzle_about,
        breaking.example_of,
    ):
        cached.cache_clear()


@pytest.fixture
def clean() -> Any:
    forget()
    yield
    forget()


def refuses(*_: Any, **__: Any) -> Any:
    raise VariantError("the prover is broken")


@pytest.mark.parametrize(
    ("name", "own", "module", "what"),
    [
        ("attention", "scale", judging, "check"),
        ("blocks", "lower-block", judging, "check"),
        ("hidden", "repair", judging, "check"),
        ("workshop", "design", judging, "check"),
        ("mlp", "zeros", zeroing, "derived"),
        ("mlp", "derivation", ordering, "apply"),
        ("mlp", "break", breaking, "replay"),
        ("mlp", "first", learning, "liveness"),
    ],
)
def test_without_the_prover_no_answer_is_right(
    monkeypatch: pytest.MonkeyPatch, clean: None, name: str, own: str, module: Any, what: str
) -> None:
    one = exercise(name, own)
    right = one.solution()
    assert one.check(right).right
    forget()
    monkeypatch.setattr(module, what, refuses)
    assert not one.check(right).right


# ---------------------------------------------------------------- what a page holds


def offline(name: str, own: str) -> tuple[Exercise, Any]:
    one = exercise(name, own)
    return one, one.kind.page(one)


def test_every_set_of_zeros_on_the_page_is_what_the_prover_says() -> None:
    one, held = offline("mlp", "zeros")
    names = held.data["blocks"]
    for bits in range(2 ** len(names)):
        zeros = {i for i in range(len(names)) if bits >> i & 1}
        enough = any(set(one) <= zeros for one in held.data["enough"])
        witnessed = any(zeros <= set(one) for one in held.data["notEnough"])
        assert enough != witnessed
        said = one.check([names[i] for i in zeros])
        assert said.right == enough
        assert all(said.text.endswith(text) for subset, text in held.data["dead"] if set(subset) == zeros)
    assert any("never move" in text for _, text in held.data["dead"])


def test_every_state_on_the_page_is_made_by_the_kernel() -> None:
    one, held = offline("mlp", "derivation")
    asked = ordering.puzzle(one)
    assert held.data["end"] is not None
    for path in (one.solution(), one.solution()[1:2]):
        state = 0
        for rule in path:
            state = held.data["next"][state][held.data["rules"].index(rule)]
        reached = state == held.data["end"]
        assert one.check(path).right == reached
    assert ordering.index(asked, "sum with") == held.data["rules"].index("sum with zero")


def test_another_order_that_the_kernel_accepts_is_right() -> None:
    one, held = offline("mlp", "derivation")
    found = set(paths(held.data, 0, ()))
    assert len(found) > 1
    assert all(one.check([held.data["rules"][i] for i in path]).right for path in found)


def paths(data: Any, state: int, done: tuple[int, ...]) -> Any:
    if state == data["end"]:
        yield done
    elif len(done) < 8:
        for i, after in enumerate(data["next"][state]):
            if after is not None:
                yield from paths(data, after, (*done, i))


@pytest.mark.parametrize(("name", "own"), [one for one in ALL if exercise(*one).kind.name in ("fill", "repair")])
def test_choices_are_right_and_wrong_and_the_wrong_ones_have_numbers(name: str, own: str) -> None:
    _, held = offline(name, own)
    assert len(set(held.data["right"])) == 2
    assert all(one.right or one.counterexample is not None for one in held.said)


@pytest.mark.parametrize(("name", "own"), [one for one in ALL if exercise(*one).kind.name == "numbers"])
def test_the_page_can_run_the_model_of_every_exercise_about_numbers(name: str, own: str) -> None:
    _, held = offline(name, own)
    assert held.data["slopes"]


def test_a_factor_on_the_page_is_what_the_solver_finds() -> None:
    one, held = offline("attention", "scale")
    assert held.data["right"] == [one.solution()]
    assert held.data["grows"] == {"k_hat": "k_hat"}
    assert held.data["block"] == ("W_K",)
    assert filling.number(exercise("limits", "epsilon")) == "h/h_hat"
    assert offline("blocks", "three-copies")[1].data["grows"] == {"p_hat": "3*p"}


@pytest.mark.parametrize("name", ["blocks", "mlp", "attention", "training"])
def test_a_lesson_is_small_and_loads_nothing(name: str) -> None:
    html = lesson_page(taught.taught(lesson.lesson(name)), [lesson.lesson(one) for one in LESSONS])
    assert len(html.encode()) < MEGABYTE
    assert "default-src 'none'" in unescape(html)
    assert not re.search(r"<[^>]*\s(on\w+|style)=", html)
    assert not re.search(r"(src|@import|<link)[^\n]{0,3}=?\s*[\"']?https?:", html)


def test_the_notation_is_that_of_the_architecture() -> None:
    html, found = notation_page(), notation()
    model = paper_model(PRESETS["paper"])
    for sublayer in SUBLAYERS.values():
        assert any(latex(sublayer(stream(model), model.layer, model)) in shown for _, shown in found.equations)
    assert [name for name, _, _ in found.parameters] == [name_latex(name) for name in parameters(PRESETS["paper"])]
    assert list(dict(found.sizes)) == [*SIZES, "E", "N"]
    assert all(mathml(name) in html for name, _, _ in found.parameters)
    assert "notation.html" in lesson_page(taught.taught(lesson.lesson("blocks")), [lesson.lesson("blocks")])


def test_prose_cannot_bring_in_markup() -> None:
    assert "<b>" not in prose("<b>`<i>`</b> M_W_O")


# ---------------------------------------------------------------- as data


def test_an_answer_as_data() -> None:
    found = check_exercise({"lesson": "attention", "exercise": "scale", "answer": "1"})
    assert set(found) == {"right", "text", "html"}
    assert found["right"] is False
    assert "<math" in found["html"]
    assert check_exercise({"lesson": "attention", "exercise": "scale", "answer": "sqrt(k_hat/k)"})["right"] is True
    json.dumps(found)


@pytest.mark.parametrize(
    "payload",
    [{}, {"lesson": 1, "exercise": []}, {"lesson": "no", "exercise": "no"}, {"lesson": "mlp", "exercise": ""}],
)
def test_a_payload_of_nonsense_is_answered(payload: Any) -> None:
    found = check_exercise(payload)
    assert found["right"] is False
    assert "expected" in found["text"] or "names its lesson" in found["text"]


def test_the_front_door() -> None:
    assert growproof.exercise("attention", "scale").check("sqrt(k_hat/k)").right
    assert growproof.exercise("mlp", "zeros").hint(2) == lesson.lesson("mlp").exercise("zeros").hints[1]


# ---------------------------------------------------------------- numpy and notebooks


@pytest.mark.parametrize("name", LESSONS)
def test_the_numpy_lines_do_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = lesson.lesson(name)
    for variant in found.variants if can_be_written(found.preset) else ():
        made = lines(expand(paper_model(found.preset), variant))
        exec("\n".join([source(), made.old, made.new, made.rewrite, made.compare]), {})
        assert float(capsys.readouterr().out) < 1e-12


def test_the_numpy_lines_of_a_composition_grow_what_the_first_made(capsys: pytest.CaptureFixture[str]) -> None:
    found = taught.taught(lesson.lesson("composition"))
    first, second = found.lines
    names: dict[str, Any] = {}
    exec("\n".join([source(), first.old, first.new, first.rewrite, first.compare]), names)
    exec("\n".join([second.old, second.new, second.rewrite, second.compare]), names)
    assert all(float(line) < 1e-12 for line in capsys.readouterr().out.split())
    assert names["W_l1_hat"].shape == (names["h_hat"], names["p"]) == (7, 6)
    assert names["p"] > 3
    assert "W_l1 = W_l1_hat" in lesson_page(found, [found.lesson])
    assert "W_l1 = W_l1_hat" in notebook(found, False)


def test_the_numpy_lines_show_what_breaks(capsys: pytest.CaptureFixture[str]) -> None:
    broken = lesson.lesson("mlp").broken
    assert broken is not None
    made = lines(expand(paper_model(broken.preset), broken.variant))
    exec("\n".join([source(), made.old, made.new, made.rewrite, made.compare]), {})
    assert float(capsys.readouterr().out) > 1e-3


def test_notebooks_differ_in_the_solutions_only() -> None:
    pytest.importorskip("nbformat")
    found = taught.taught(lesson.lesson("attention"))
    student, teacher = (json.loads(notebook(found, solutions))["cells"] for solutions in (False, True))
    differing = [(a, b) for a, b in zip(student, teacher, strict=True) if a != b]
    assert len(differing) == len(found.asked)
    for ours, theirs in differing:
        assert "".join(ours["source"]) == "answer = ..."
        assert "".join(theirs["source"]).startswith("### BEGIN SOLUTION\n")
        assert theirs["metadata"]["nbgrader"]["solution"] is True
    grades = [cell["metadata"]["nbgrader"] for cell in student if cell["metadata"].get("nbgrader", {}).get("grade")]
    assert [one["points"] for one in grades] == [1] * len(found.asked)
    assert len({one["grade_id"] for one in grades}) == len(grades)


def test_each_exercise_of_a_notebook_starts_without_an_answer_in_a_cell_that_is_locked() -> None:
    pytest.importorskip("nbformat")
    cells = json.loads(notebook(taught.taught(lesson.lesson("heads")), False))["cells"]
    own = [cell for cell in cells if "nbgrader" in cell["metadata"]]
    for asks, answers, grades in zip(own[::3], own[1::3], own[2::3], strict=True):
        assert "answer = None" in "".join(asks["source"])
        assert [cell["metadata"]["nbgrader"]["locked"] for cell in (asks, answers, grades)] == [True, False, True]
        assert not asks["metadata"]["nbgrader"]["grade"]
        names = {"growproof": growproof, "display": lambda _: None, "answer": "that of the last exercise"}
        exec("".join(asks["source"]), names)
        with pytest.raises(NotYetError, match="there is no answer yet"):
            exec("".join(grades["source"]), names)
    assert len(own) == 3 * len(lesson.lesson("heads").exercises)


# ---------------------------------------------------------------- training


def random_table(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    sizes = {"s": 6, "h": 3, "p": 3, "k": 2, "v": 2, "o": 6}
    return drawn_model(PRESETS["paper"], Profile(sizes, 2, 2, 2), lambda *shape: rng.standard_normal(shape))


def test_the_forward_pass_of_training_is_that_of_the_numeric_side() -> None:
    model, (tokens, target) = random_table(0), training.sequences()
    losses = []
    for row, wanted in zip(tokens[::40], target[::40], strict=True):
        numbers, I = from_nested({**model, "I": model["I"][row]})
        logits = transformer(numbers, I)[-1]
        losses.append(np.log(np.exp(logits).sum()) - logits[wanted])
    assert loss_and_gradient(model, tokens[::40], target[::40])[0] == pytest.approx(np.mean(losses), rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_is_the_slope_of_the_loss(seed: int) -> None:
    model, (tokens, target) = random_table(seed), training.sequences()
    rng = np.random.default_rng(seed)
    towards = training.combined(lambda entries: rng.standard_normal(entries.shape), model)

    def loss(t: float) -> float:
        there = training.combined(lambda entries, d: entries + t * d, model, towards)
        return loss_and_gradient({**model, **there}, tokens, target)[0]

    gradient = loss_and_gradient(model, tokens, target)[1]
    slope = sum(float((g * d).sum()) for g, d in training.zip3(gradient, towards))
    assert (loss(1e-5) - loss(-1e-5)) / 2e-5 == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_the_curve_has_no_jump_and_blocks_move_when_foretold() -> None:
    found = training.trained(SIX)
    assert [one.name for one in found.growths] == list(SIX)
    assert found.losses[-1] < found.losses[0] / 10
    for one in found.growths:
        assert one.jump <= 1e-12
        assert one.parameters[1] > one.parameters[0]
        assert dict(one.seen) == dict(one.foretold)
    assert {step for one in found.growths for step in one.seen.values()} == {1, 2}


def test_a_growth_that_is_false_would_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = lesson.lesson("mlp").broken
    assert broken is not None
    monkeypatch.setattr(training, "load", lambda name: broken.variant)
    training.trained.cache_clear()
    found = training.trained(("mlp-expansion",))
    training.trained.cache_clear()
    assert found.growths[0].jump > 1e-6
