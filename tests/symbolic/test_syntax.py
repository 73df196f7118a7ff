"""Expressions are read as written, printed back the same, and refused with one clear line."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growproof.symbolic.errors import Place, VariantError
from growproof.symbolic.syntax import (
    FUNCTIONS,
    BinaryOp,
    Blocks,
    Call,
    Name,
    Negative,
    Number,
    Transposed,
    Unknown,
    children,
    constant,
    error_at,
    names,
    nearest,
    parse,
    show,
)

untimed = settings(deadline=None)
A, B, C = Name("A"), Name("B"), Name("C")
START = Place("file.toml", 3, 5)


def number(value: int) -> Number:
    return Number(Fraction(value))


def refusal(text: str) -> VariantError:
    with pytest.raises(VariantError) as caught:
        parse(text, START)
    assert "\n" not in str(caught.value)
    return caught.value


# --- reading ---


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("A", A),
        ("?a", Unknown("a")),
        ("12", number(12)),
        ("0.10", Number(Fraction(1, 10))),
        ("[A, B; C, 0]", Blocks(((A, B), (C, number(0))))),
        ("[A]", Blocks(((A,),))),
        ("0(h, p)", Call("0", (Name("h"), Name("p")))),
        ("0 (h, p)", Call("0", (Name("h"), Name("p")))),
        ("blockdiag(A, B, C)", Call("blockdiag", (A, B, C))),
        ("A - B - C", BinaryOp("-", BinaryOp("-", A, B), C)),
        ("A - (B - C)", BinaryOp("-", A, BinaryOp("-", B, C))),
        ("A + B*C", BinaryOp("+", A, BinaryOp("*", B, C))),
        ("A/B*C", BinaryOp("*", BinaryOp("/", A, B), C)),
        ("A*B'", BinaryOp("*", A, Transposed(B))),
        ("(A*B)'", Transposed(BinaryOp("*", A, B))),
        ("A''", Transposed(Transposed(A))),
        ("-A'", Negative(Transposed(A))),
        ("-A^2", Negative(BinaryOp("^", A, number(2)))),
        ("-A*B", BinaryOp("*", Negative(A), B)),
        ("A^2^3", BinaryOp("^", A, BinaryOp("^", number(2), number(3)))),
        ("A^-2", BinaryOp("^", A, Negative(number(2)))),
        ("A'^2", BinaryOp("^", Transposed(A), number(2))),
        ("A\n +\tB", BinaryOp("+", A, B)),
    ],
)
def test_notation_means(text, expression):
    assert parse(text) == expression


def test_powers_stay_unevaluated():
    assert parse("2^64") == BinaryOp("^", number(2), number(64))


def test_constants_are_exact():
    assert constant(parse("1/3 + 0.1")) == Fraction(13, 30)
    assert constant(parse("-2^-2")) == Fraction(-1, 4)
    assert constant(parse("p/p")) is None


def test_names_are_listed_from_left_to_right():
    assert [name.name for name in names(parse("[A, kron(B, C)'; -A, ?a]"))] == ["A", "B", "C", "A"]


# --- printing ---

leaves = st.one_of(
    st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,5}", fullmatch=True).map(Name),
    st.sampled_from(["a", "b_1"]).map(Unknown),
    st.integers(0, 99).map(number),
    st.decimals(0, 100, places=3).map(lambda d: Number(Fraction(d))),
)


def compound(parts):
    def call(function):
        least, most = FUNCTIONS[function]
        arguments = st.lists(parts, min_size=least, max_size=min(most, 3))
        return arguments.map(lambda given: Call(function, tuple(given)))

    def rows(width):
        return st.lists(st.tuples(*[parts] * width), min_size=1, max_size=2).map(lambda rows: Blocks(tuple(rows)))

    return st.one_of(
        st.builds(BinaryOp, st.sampled_from("+-*"), parts, parts),
        st.builds(lambda left, name: BinaryOp("/", left, name), parts, st.just(A)),
        st.builds(lambda left, power: BinaryOp("^", left, power), st.just(B), st.integers(0, 9).map(number)),
        st.builds(lambda left, right: BinaryOp("^", left, right), leaves, st.sampled_from([A, Negative(B)])),
        st.builds(Negative, parts),
        st.builds(Transposed, parts),
        st.sampled_from(sorted(FUNCTIONS)).flatmap(call),
        st.integers(1, 3).flatmap(rows),
    )


expressions = st.recursive(leaves, compound, max_leaves=12)


@untimed
@given(expressions)
def test_printed_expressions_read_back_the_same(expression):
    assert parse(show(expression)) == expression


@untimed
@given(expressions)
def test_printing_settles_after_one_reading(expression):
    assert show(parse(show(expression))) == show(expression)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("((A))*((B+C))", "A*(B + C)"),
        ("[ A,B ;C,  D ]", "[A, B; C, D]"),
        ("sqrt( k_hat )/sqrt(k) * W_K", "sqrt(k_hat)/sqrt(k)*W_K"),
        ("A*(B*C)", "A*(B*C)"),
        ("(A^B)^C", "(A^B)^C"),
        ("(-A)'", "(-A)'"),
        ("0.50", "0.5"),
    ],
)
def test_only_needed_brackets_are_printed(text, printed):
    assert show(parse(text)) == printed


@pytest.mark.parametrize(
    ("value", "printed"), [(Fraction(-1, 2), "-0.5"), (Fraction(1, 3), "1/3"), (Fraction(-7), "-7")]
)
def test_numbers_that_the_notation_lacks_print_as_operations(value, printed):
    assert show(Number(value)) == printed
    assert show(Transposed(Number(value))) == f"({printed})'"


# --- places ---


def test_every_node_knows_its_place():
    blocks = parse("[A,\n  -B'*?c]", START)
    (first, product) = children(blocks)
    assert (blocks.line, blocks.column) == (3, 5)  # its opening bracket
    assert (first.line, first.column) == (3, 6)
    assert (product.line, product.column) == (4, 6)  # its operator
    assert (product.left.line, product.left.column) == (4, 3)  # the minus
    assert (product.left.operand.line, product.left.operand.column) == (4, 5)  # the quote mark
    assert (product.right.line, product.right.column) == (4, 7)


def test_places_do_not_count_in_comparisons():
    assert parse("A + B", START) == parse("A+B")
    assert hash(parse("A + B", START)) == hash(parse("A+B"))


def test_an_error_can_be_put_at_a_node():
    error = error_at(parse("A + B", START), "shapes differ", "h x p", "h x h")
    assert str(error) == "file.toml:3:7: shapes differ; found h x p; expected h x h"


# --- refusing ---


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "3:5: the expression is empty; found nothing; expected a name, a number, `(` or `[`"),
        (
            "[A, B",
            "3:10: the bracket `[` opened at line 3, column 5 is not closed;"
            " found the end of the expression; expected `]`",
        ),
        (
            "A*(B + [C)",
            "3:14: the bracket `[` opened at line 3, column 12 is closed by another kind; found `)`; expected `]`",
        ),
        ("A)", "3:6: this bracket closes nothing; found `)`; expected no bracket"),
        ("2 p", "3:7: a product is written with `*`; found `p`; expected `*` before `p`"),
        ("2p", "3:6: a product is written with `*`; found `p`; expected `*` before `p`"),
        ("A B", "3:7: a product is written with `*`; found `B`; expected `*` before `B`"),
        ("[A B]", "3:8: a product is written with `*`; found `B`; expected `*` or `,` before `B`"),
        ("A +", "3:8: the expression ends too early; found its end; expected a name, a number, `(` or `[`"),
        ("A ** B", "3:7: this is not the notation of variants; found `**`; expected `^` for a power"),
        ("[A,]", "3:8: the expression cannot be read; found `]`; expected a name, a number, `(` or `[`"),
        ("A, B", "3:6: the expression cannot be read; found `,`; expected the end of the expression"),
        (
            "A = B",
            "3:7: this is not the notation of variants; found `=`; expected one side of an equation:"
            " a key of the file is the left side, its value the right one",
        ),
        (
            "__import__('os')",
            "3:5: this character has no meaning here; found `_`; expected a name, a number, `(` or `[`",
        ),
        ("blokdiag(A)", "3:5: there is no such function; found `blokdiag`; expected `blockdiag`"),
        ("eye(h, h)", "3:5: wrong number of arguments of `eye`; found 2; expected 1"),
        ("ones()", "3:5: wrong number of arguments of `ones`; found 0; expected 2"),
        ("blockdiag()", "3:5: wrong number of arguments of `blockdiag`; found 0; expected at least 1"),
        ("[A, B; C]", "3:12: row 2 has another number of blocks than row 1; found 1; expected 2"),
        ("A/(1 - 1)", "3:6: division by zero; found `1 - 1`; expected a number other than 0"),
        ("0^-1", "3:6: division by zero; found `0^-1`; expected a base other than 0"),
    ],
)
def test_refusals_say_where_what_and_what_instead(text, message):
    assert str(refusal(text)) == f"file.toml:{message}"


def test_a_name_before_a_bracket_may_be_a_forgotten_product():
    assert "`*` before `(`" in (refusal("p(h + 1)").expected or "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(" * 4000 + "A" + ")" * 4000, "nested too deeply"),
        ("[" * 4000 + "A" + "]" * 4000, "nested too deeply"),
        ("-" * 5000 + "A", "nested too deeply"),
        ("A" + "'" * 5000, "nested too deeply"),
        ("A+" * 4000 + "A", "nested too deeply"),
        ("A^" * 4000 + "A", "nested too deeply"),
        ("(" * 10_001, "too long"),
        ("A" * 1_000_001, "too long"),
        ("1" * 5000, "number is too long"),
        ("2^999999999", "exponent is too large"),
        ("2^-65", "exponent is too large"),
        ("2^(8*9)", "exponent is too large"),
        ("(9^64)^64", "power is too large"),
        ("((2^(1/2))^64)^64^1", "power is too large"),
        ("((p + q)^64)^64", "power is too large"),
        ("p^p^p", "power is too large"),
        ("2^(p*p*p)", "power is too large"),
    ],
)
def test_expressions_that_would_exhaust_the_machine_are_refused(text, message):
    assert message in refusal(text).message


def test_the_exponents_of_known_expansions_are_not_constants():
    assert show(parse("rope_base^(k_hat/k)")) == "rope_base^(k_hat/k)"


def outcome(text: str):
    try:
        return parse(text, START)
    except VariantError as error:
        return error


@untimed
@given(st.one_of(st.text(), st.text(alphabet="ABp0123. ?+-*/^'()[],;eyk", max_size=30)))
def test_any_text_is_read_or_refused(text):
    result = outcome(text)
    if isinstance(result, VariantError):
        assert result.line is not None
        assert "\n" not in str(result)
    else:
        assert parse(show(result)) == result


def test_errors_stay_on_one_line_whatever_they_quote():
    error = VariantError("bad", "a\nfile", 1, 2, found="\x1b[31m\n" + "x" * 1000)
    assert str(error).startswith("a\\nfile:1:2: bad; found \\x1b[31m\\nx")
    assert str(error).isprintable()
    assert len(str(error)) < 400


def test_errors_leave_out_what_is_missing():
    assert str(VariantError("no such name")) == "no such name"
    assert VariantError("bad", "f", 1).as_json() == {
        "message": "bad",
        "file": "f",
        "line": 1,
        "column": None,
        "found": None,
        "expected": None,
    }


def test_the_nearest_name_is_the_same_in_another_case_or_else_respects_case_first():
    assert nearest("w_l1", ["b_l1", "W_l1"]) == "W_l1"
    assert nearest("W_l3", ["w_l2", "W_l1"]) == "W_l1"
    assert nearest("BLOCKDIAG", FUNCTIONS) == "blockdiag"
    assert nearest("zzzz", FUNCTIONS) is None
