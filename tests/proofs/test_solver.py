"""What z3 is told of nonlinear functions is true of them, and no query goes on for ever."""

import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import z3
from hypothesis import given
from hypothesis import strategies as st
from sympy import Rational, cbrt, sqrt

from growproof.proofs import solver
from growproof.proofs.solver import Answer, Query, ask, differ, equal, file_name, smt_lib, write
from growproof.symbolic import evaluate

x, y = z3.Reals("x y")

# --- facts ---

numbers = st.fractions(min_value=-8, max_value=8, max_denominator=4)


def reals(*entries):
    return np.array([[z3.RealVal(str(entry)) for entry in row] for row in entries], dtype=object)


def consistent(facts, *assertions):
    return ask(Query("facts", (*facts, *assertions))).verdict


def near(variable, value):
    """A real number within rounding of a float, as two inequalities."""
    low, high = (z3.RealVal(str(Fraction(value + gap))) for gap in (-1e-6, 1e-6))
    return z3.And(variable > low, variable < high)


def made():
    facts = []
    return facts, solver.arithmetic(facts)


@given(st.lists(numbers, min_size=1, max_size=4))
def test_relu_is_relu(entries):
    facts, here = made()
    found = here.act("relu", reals(entries))
    assert consistent(facts, equal(found, reals([max(entry, 0) for entry in entries]))) == "sat"
    assert consistent(facts, differ(found, reals([max(entry, 0) for entry in entries]))) == "unsat"


@given(st.fractions(min_value=Fraction(1, 9), max_value=50, max_denominator=9))
def test_an_inverse_root_is_the_positive_one(q):
    facts, here = made()
    ((d,),) = here.inverse_root(reals([q]))
    true = 1 / math.sqrt(q)
    assert consistent(facts, near(d, true)) == "sat"
    assert consistent(facts, z3.Not(near(d, true))) == "unsat"


@given(st.fractions(min_value=1, max_value=50, max_denominator=9))
def test_an_inverse_root_of_an_unknown_is_the_true_one_wherever_it_is(q):
    facts, here = made()
    ((d,),) = here.inverse_root(np.array([[x * x + 1]], dtype=object))
    at = x * x + 1 == z3.RealVal(str(q))
    assert consistent(facts, at, z3.Not(near(d, 1 / math.sqrt(q)))) == "unsat"
    assert consistent(facts, at, near(d, 1 / math.sqrt(q))) == "sat"


@given(numbers.filter(bool), st.integers(1, 12))
def test_an_exact_root_is_the_root(factor, n):
    facts, here = made()
    scalar = Rational(factor) * sqrt(n)
    value = here.number(scalar)
    assert consistent(facts, z3.Not(near(value, float(scalar)))) == "unsat"
    assert consistent(facts, near(value, float(scalar))) == "sat"


@pytest.mark.parametrize("scalar", [sqrt(2) + 1, 1 - sqrt(2), cbrt(2)])
def test_of_a_number_that_is_no_root_of_a_fraction_the_sign_is_known(scalar):
    facts, here = made()
    value = here.number(scalar)
    assert here.number(scalar) is value
    assert consistent(facts, near(value, float(scalar))) == "sat"
    assert consistent(facts, value * (1 if scalar.is_positive else -1) <= 0) == "unsat"
    assert consistent(facts, value == (7 if scalar.is_positive else -7)) == "sat"  # nothing else is


@given(numbers)
def test_the_true_cosine_and_sine_meet_everything_that_is_said_of_them(angle):
    facts, here = made()
    ((cos,),), ((sin,),) = here.turn(reals([angle]))
    assert consistent(facts, near(cos, math.cos(angle)), near(sin, math.sin(angle))) == "sat"
    assert consistent(facts, cos * cos + sin * sin != 1) == "unsat"


def test_an_angle_of_zero_turns_nothing_and_one_angle_turns_one_way():
    facts, here = made()
    (cosines,), (sines,) = here.turn(np.array([[z3.RealVal(0), x, x]], dtype=object))
    assert consistent(facts, z3.Or(cosines[0] != 1, sines[0] != 0)) == "unsat"
    assert consistent(facts, z3.Or(cosines[1] != cosines[2], sines[1] != sines[2])) == "unsat"
    assert consistent(facts, cosines[1] == 0) == "sat"


def softmax(row):
    """By its definition."""
    weights = [math.exp(float(entry) - max(map(float, row))) for entry in row]
    return [weight / sum(weights) for weight in weights]


rows = st.lists(st.lists(numbers, min_size=2, max_size=2), min_size=1, max_size=3)


@given(rows)
def test_the_true_softmax_meets_everything_that_is_said_of_it(scores):
    """Its own values, put in as numbers within rounding, satisfy the facts; equal rows get equal values exactly."""
    facts, here = made()
    found = here.softmax(reals(*scores))
    close = [near(w, v) for row, values in zip(found, map(softmax, scores), strict=True)
             for w, v in zip(row, values, strict=True)]  # fmt: skip
    assert consistent(facts, *close) == "sat"


@given(st.lists(numbers, min_size=2, max_size=3), numbers)
def test_a_row_that_is_shifted_by_a_constant_has_the_same_softmax(row, by):
    facts, here = made()
    found = here.softmax(reals(row, [entry + by for entry in row]))
    assert consistent(facts, differ(found[:1], found[1:])) == "unsat"


def test_two_rows_have_one_softmax_only_if_they_differ_by_a_constant():
    """softmax(0, a) = softmax(0, b) says a = b: the quotient of the weights is exp(a)."""
    facts, here = made()
    found = here.softmax(np.array([[z3.RealVal(0), x], [z3.RealVal(0), y]], dtype=object))
    assert consistent(facts, equal(found[:1], found[1:]), x != y) == "unsat"
    assert consistent(facts, differ(found[:1], found[1:]), x == y) == "unsat"
    assert consistent(facts, differ(found[:1], found[1:]), x != y) == "sat"


def test_the_softmax_of_equal_scores_is_the_mean_and_of_one_score_is_one():
    facts, here = made()
    thirds = here.softmax(np.array([[x, x, x]], dtype=object))
    (one,) = here.softmax(np.array([[y]], dtype=object))
    assert consistent(facts, z3.Or(*(3 * w != 1 for w in thirds[0]))) == "unsat"
    assert consistent(facts, one[0] != 1) == "unsat"


def test_the_softmax_of_unknown_scores_is_not_known_to_be_the_mean():
    facts, here = made()
    ((first, _),) = here.softmax(np.array([[x, y]], dtype=object))
    assert consistent(facts, 2 * first != 1) == "sat"


@given(rows, st.integers(1, 2))
def test_what_a_router_truly_keeps_meets_everything_that_is_said_of_it(weights, count):
    facts, here = made()
    positive = [[1 + abs(entry) for entry in row] for row in weights]
    kept = here.largest(reals(*positive), count)
    true = evaluate.largest(np.array(positive, dtype=float), count)
    close = [near(w, v) for row, values in zip(kept, true, strict=True) for w, v in zip(row, values, strict=True)]
    assert consistent(facts, *close) == "sat"
    assert consistent(facts, z3.Or(*(z3.Sum(list(row)) != 1 for row in kept))) == "unsat"


def test_a_router_keeps_the_same_of_the_same_weights_and_nothing_negative():
    facts, here = made()
    first, second = here.largest(np.array([[x, y], [y, x]], dtype=object), 1)
    assert consistent(facts, x == y, first[0] != second[0]) == "unsat"
    assert consistent(facts, first[0] < 0) == "unsat"
    assert consistent(facts, x != y, first[0] != second[0]) == "sat"


TRUE = {
    "gelu": lambda a: a * (1 + math.erf(a / math.sqrt(2))) / 2,
    "tanh": math.tanh,
    "silu": lambda a: a / (1 + math.exp(-a)),
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)),
}


@given(st.sampled_from(sorted(TRUE)), st.lists(numbers, min_size=1, max_size=4))
def test_the_true_activation_meets_everything_that_is_said_of_it(name, entries):
    facts, here = made()
    (found,) = here.act(name, reals(entries))
    values = {}
    for value, entry in zip(found, entries, strict=True):
        values.setdefault(float(entry), value)
        assert consistent(facts, value != values[float(entry)]) == "unsat"
    close = [near(value, TRUE[name](float(entry))) for value, entry in zip(found, entries, strict=True)]
    assert consistent(facts, *close) == "sat"


def test_only_of_a_function_that_fixes_zero_is_that_assumed():
    for name, verdict in (("gelu", "unsat"), ("tanh", "unsat"), ("silu", "unsat"), ("sigmoid", "sat")):
        facts, here = made()
        ((value,),) = here.act(name, np.array([[x]], dtype=object))
        assert consistent(facts, x == 0, value != 0) == verdict
        assert consistent(facts, x == 1, value == 0) == "sat"  # of other arguments nothing is known


def test_equal_polynomials_have_one_value_however_they_are_written():
    facts, here = made()
    (first, second), *_ = here.act("gelu", np.array([[(x + y) * (x - y), x * x - y * y]], dtype=object))
    assert consistent(facts, first != second) == "unsat"


# --- a fact that is false would be seen ---


def test_a_false_fact_contradicts_the_true_function(monkeypatch):
    """If sigmoid were said to fix zero, its true value 1/2 there would meet no fact."""
    monkeypatch.setattr(solver, "FIXES_ZERO", solver.FIXES_ZERO | {"sigmoid"})
    facts, here = made()
    ((value,),) = here.act("sigmoid", reals([0]))
    assert consistent(facts, near(value, 0.5)) == "unsat"


# --- arrays ---


def test_arrays_of_different_shapes_are_not_compared():
    for compare in (differ, equal):
        with pytest.raises(ValueError, match="expected"):
            compare(solver.matrix("A", 1, 2), solver.matrix("A", 2, 1))


def test_an_array_differs_from_another_in_one_entry():
    A, B = solver.matrix("A", 2, 2), solver.matrix("B", 2, 2)
    same = [a == b for a, b in list(zip(A.flat, B.flat, strict=True))[:3]]
    assert consistent([], differ(A, B), *same) == "sat"
    assert consistent([], differ(A, B), equal(A, B)) == "unsat"


# --- limits ---

HARD = Query("hard", (x > 1, x < 5, y > 1, y < 5, x**7 * y**5 + x * y**11 == x**13 + 3 * y**3 + 1))


def test_without_work_or_time_nothing_is_known():
    assert ask(HARD, work=1).verdict == "unknown"
    assert ask(HARD, work=1).model is None


def test_the_limit_is_the_same_in_every_run():
    assert [ask(HARD, work=1000).verdict for _ in range(3)] == [ask(HARD, work=1000).verdict] * 3


def test_sat_comes_with_numbers_and_unsat_without():
    found = ask(Query("x is 2", (x * x == 4, x > 0)))
    assert found.verdict == "sat"
    assert found.model[x].as_fraction() == 2
    assert ask(Query("no square is negative", (x * x < 0,))) == Answer(
        Query("no square is negative", (x * x < 0,)), "unsat"
    )


# --- as text ---


QUERIES = [
    Query("sat", (x * y == 1, x > 2)),
    Query("unsat", (x * x + y * y < 0,)),
    Query("relu", (z3.If(x >= 0, x, z3.RealVal(0)) != z3.If(x >= 0, x, z3.RealVal(0)),)),
    Query("names", (z3.Real("M.1[0,1]") > 1, z3.Real("inverse_root.3") == z3.Real("M.1[0,1]"))),
    Query("none", ()),
]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_the_text_says_what_the_query_says(query):
    parsed = Query("parsed", tuple(z3.parse_smt2_string(smt_lib(query))))
    assert ask(parsed).verdict == ask(query).verdict
    both = [z3.And(*query.assertions), z3.And(*parsed.assertions)]
    assert ask(Query("different", (z3.Xor(*both),))).verdict == "unsat"


def test_a_file_name_is_made_of_plain_letters_and_tells_queries_apart():
    names = [file_name(Query(name, ())) for name in ("A*B = 0", "A+B = 0", "../../etc", "é" * 300, "")]
    assert len(set(names)) == len(names)
    for name in names:
        assert name.endswith(".smt2")
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
        assert len(name) < 100
    assert file_name(QUERIES[0]) == file_name(QUERIES[0]) == Answer(QUERIES[0], "sat").file_name


def test_every_query_is_written_to_a_file_that_z3_reads_back(tmp_path):
    write(QUERIES, tmp_path / "deep" / "queries")
    files = sorted((tmp_path / "deep" / "queries").iterdir())
    assert sorted(file.name for file in files) == sorted(map(file_name, QUERIES))
    for query in QUERIES:
        other = z3.Solver()
        other.from_file(str(tmp_path / "deep" / "queries" / file_name(query)))
        assert str(other.check()) == ask(query).verdict


def test_an_interrupt_during_a_question_is_heard():
    """z3 would take it for itself: then Ctrl-C is lost, or ends the process without a word."""
    code = (
        "import os, signal, threading, z3\n"
        "from growproof.proofs import solver\n"
        "v = z3.Reals(' '.join(f'x{i}' for i in range(14)))\n"
        "hard = tuple(v[i] ** 5 + v[(i + 1) % 14] ** 3 * v[(i + 5) % 14] == i + 1 for i in range(14))\n"
        "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "try:\n"
        "    for _ in range(5):\n"
        "        solver.ask(solver.Query('hard', hard), 10**9, 2)\n"
        "except KeyboardInterrupt:\n"
        "    print('heard')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "heard\n", "")
