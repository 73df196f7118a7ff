"""What cannot be used is answered in one line with its place and status 2: no traceback, no half-written file.

What the parser refuses is tested in tests/symbolic; here the whole command is.
"""

import errno
import json
import os
import re
import resource
import stat
import tempfile
import unicodedata
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Ran:
    """What a process did."""

    status: int
    out: str
    err: str


def checked(ran, status=2):
    """A refusal: one clean line on standard error, and nothing else."""
    assert ran.status == status
    assert ran.out == ""
    assert re.fullmatch(r"growproof: [^\n]+\n", ran.err)
    assert ran.err[:-1].isprintable()
    return ran.err.removeprefix("growproof: ").rstrip("\n")


def error_json(ran):
    assert (ran.status, ran.err) == (2, "")
    error = json.loads(ran.out)
    assert list(error) == ["error"]
    assert set(error["error"]) == {"message", "file", "line", "column", "found", "expected"}
    return error["error"]


PROMPT = 10  # seconds; alone on a machine each takes less than 2, most less than 1

# ---------------------------------------------------------------- variant files

# What is replaced in the file, by what, the line and column of the place, and words of the message.
WRONG = {
    "wrong TOML": (("[constraints]", "[constraints"), 16, 13, "not valid TOML"),
    "an unbalanced bracket": (('"[W_l1, A]"', '"[W_l1, A"'), 12, 17, "the bracket `[` opened at line 12, column 9"),
    "an unknown symbol": (('"[W_l1, A]"', '"[W_l1, D]"'), 12, 16, "this name means nothing here; found D"),
    "a wrong shape": (('A = "h, p_hat - p"', 'A = "h, p_hat"'), 12, 9, "h x (p + p_hat); expected h x p_hat"),
    "rows and columns mixed up": (('"[W_l1, A]"', '"[W_l1; A]"'), 12, 9, "expected p columns"),
    "a growing parameter without rewrite": (('b_l1 = "[b_l1, B]"\n', ""), 4, 6, "b_l1 has a size that grows (p)"),
    "a size below the old one": (('p = "p_hat"', 'p = "p - 1"'), 4, 8, "found p - 1; expected more than p"),
    "a negative size": (('p = "p_hat"', 'p = "-p"'), 4, 6, "a size is a positive whole number; found `-p`"),
    "a block of negative size": (('C = "p_hat - p,', 'C = "p - p_hat,'), 9, 8, "found p - p_hat; expected a positive"),
    "a size that is no number": (('p = "p_hat"', "p = nan"), 4, 5, "found the number nan; expected a string"),
    "an infinite size": (('p = "p_hat"', "p = inf"), 4, 5, "found the number inf; expected a string"),
    "a fixed size": (('p = "p_hat"', 'p = "1000000000"'), 4, 6, "expected more than p for all sizes"),
    "a fraction of a size": (
        ('p = "p_hat"', 'p = "p + 1/2"'),
        7,
        15,
        "a size must be at least 1 for all sizes; found 1/2",
    ),
    "sizes that grow by one another": (('p = "p_hat"', 'p = "h_hat"\nh = "p_hat"'), 4, 6, "found p, h"),
    "an unknown size": (('p = "p_hat"', 'q = "p_hat"'), 4, 1, "there is no such size; found `q`"),
    "a size that cannot grow": (('p = "p_hat"', 'p = "p_hat"\no = "2*o"'), 5, 7, "this size cannot grow; found o"),
    "a number that is none": (('"[W_l1, A]"', '"[W_l1, nan*A]"'), 12, 16, "found nan"),
    "a division by zero": (('"[W_l1, A]"', '"[W_l1, 1/(p - p)*A]"'), 12, 21, "a division by what may be zero"),
    "a root of what may be negative": (
        ('"[W_l1, A]"', '"[W_l1, sqrt(p-h)*A]"'),
        12,
        22,
        "may be negative; found p - h",
    ),
    "a quotient of matrices": (('"[W_l1, A]"', '"W_l1/A"'), 12, 13, "`/` takes scalars"),
    "an exponent bomb": (('"[W_l1, A]"', '"[W_l1, 9^9^9^9*A]"'), 12, 21, "the exponent is too large"),
    "a huge power": (('"[W_l1, A]"', '"[(10^64)^64*W_l1, A]"'), 12, 17, "the power is too large"),
    "a huge sum": (('"[W_l1, A]"', '"[(p+h+k+v)^64*W_l1, A]"'), 12, 19, "the expression is too large"),
    "deep nesting": (('"[W_l1, A]"', f'"{"(" * 500}"'), 12, 109, "nested too deeply"),
    "a very long sum": (('"[W_l1, A]"', f'"{"A+" * 2000}A"'), 12, 3808, "nested too deeply"),
    "a call of Python": (('"[W_l1, A]"', "'exit(3)'"), 12, 9, "there is no such function; found `exit`"),
    "an attribute of Python": (('"[W_l1, A]"', "'W_l1.__class__'"), 12, 13, "found `.__class__`"),
    "an unknown table": (("[constraints]", "[constraint]"), 16, 2, "found `constraint`; expected `constraints`"),
    "a constraint on old parameters": (('C = "0"', 'W_l1 = "0"'), 17, 1, "a constraint speaks of a new block"),
    "an unknown architecture option": (("[constraints]", "[becomes]\nrope = 1\n[constraints]"), 17, 1, "found `1`"),
    "a size of zero": (('p = "p_hat"', 'p = "0*p"'), 4, 7, "a grown size must exceed the old one; found 0"),
    "a size that does not grow": (
        ('p = "p_hat"', 'p = "p-p+1"'),
        4,
        9,
        "a grown size must exceed the old one; found 1",
    ),
    "a block without rows": (
        ('A = "h, p_hat - p"', 'A = "0, h"'),
        7,
        6,
        "a size is a positive whole number; found `0`",
    ),
    "a block of no difference": (('A = "h, p_hat - p"', 'A = "h, p-p"'), 7, 10, "at least 1 for all sizes; found 0"),
    "a block by another block": (('A = "h, p_hat - p"', 'A = "h, B"'), 7, 9, "`B` is not a size"),
    "a size by itself": (('p = "p_hat"', 'p = "p + p_hat"'), 4, 10, "no such size is known here; found p_hat"),
    "a tower of powers": (('"[W_l1, A]"', '"[p^p^p^p*W_l1, A]"'), 12, 13, "the power is too large; found `p^p^p`"),
    "a power of powers": (('"[W_l1, A]"', '"[(p^64)^64*W_l1, A]"'), 12, 16, "the power is too large"),
    "a sum of many fractions": (
        ('"[W_l1, A]"', f'"[({" + ".join(f"1/(p+{i})" for i in range(1, 60))})*W_l1, A]"'),
        12,
        69,
        "the expression is too large",
    ),
    "very many minus signs": (('"[W_l1, A]"', f'"{"- " * 4990}A"'), 12, 209, "nested too deeply"),
    "very many quote marks": (('"[W_l1, A]"', f'"W_l1{chr(39) * 9990}"'), 12, 9902, "nested too deeply"),
    "a sum of 100 kB": (('"[W_l1, A]"', f'"{"a+" * 49000}a"'), 12, 9, "the expression is too long"),
    "deep brackets in a key": (('C = "0"', f'"{"(" * 4000}C{")" * 4000}" = "0"'), 17, 102, "nested too deeply"),
    "very many blocks side by side": (('"[W_l1, A]"', f'"[{", ".join(["W_l1"] * 1600)}]"'), 12, 9, "too many blocks"),
    "very many new blocks": (
        ("[new]", "[new]\n" + "\n".join(f'D{i} = "h, p"' for i in range(5000))),
        6,
        2,
        "[new] is too long; found 5003 entries",
    ),
    "very many constraints": (
        ('C = "0"', "\n".join(f'"{i}*C" = "0"' for i in range(1, 5000))),
        16,
        2,
        "[constraints] is too long",
    ),
    "nested Kronecker products": (
        ('"[W_l1, A]"', f'"[{"kron(eye(2), " * 60}W_l1{")" * 60}, A]"'),
        12,
        9,
        "differ in rows",
    ),
    "a letter that looks like another": (('"[W_l1, A]"', '"[W_l1, Α]"'), 12, 16, "found `Α`"),
    "a name of Python with underscores": (('A = "h', '__import__ = "h'), 7, 1, "cannot be the name of a block"),
    "a grown size as a block": (('A = "h', 'h_hat = "h'), 7, 1, "a new block cannot be called `h_hat`"),
    "a constraint between numbers": (('C = "0"', '"1" = "2"'), 17, 2, "speaks of a new block; found no name"),
    "constraints that nothing meets": (
        ('C = "0"', 'C = "0"\n"2*C" = "ones(p_hat - p, h)"'),
        17,
        1,
        "the constraints cannot be met",
    ),
    "no name": (('name = "Mine"\n', ""), 1, 1, "the variant has no name"),
    "zero to the power of zero": (('"[W_l1, A]"', '"[0^0*W_l1, A]"'), 12, 11, "a power 0^0 means nothing; found 0^0"),
    "zero to a power that may be zero": (
        ('"[W_l1, A]"', '"[(p - h)^(k - 1)*W_l1, A]"'),
        12,
        17,
        "a power 0^0 means nothing; found (p - h)^(k - 1)",
    ),
    "the number of heads in a product": (('"[W_l1, A]"', '"[1/E*W_l1, A]"'), 12, 12, "E is the number of heads"),
    "the number of layers in a product": (('"[W_l1, A]"', '"[N*W_l1, A]"'), 12, 10, "N is the number of layers"),
    "a size of its own on one side": (
        ('A = "h, p_hat - p"', 'A = "h, p_hat - p"\nu = "v, r"'),
        8,
        9,
        "a size of its own stands alone on two sides in [new]; found r",
    ),
    "what another architecture has": (
        ('"[b_l1, B]"', '"[b_l1 + c_MLP*W_l1, B]"'),
        13,
        17,
        "`paper` has no such parameter; found c_MLP; expected what it has, or an architecture that has c_MLP: gpt2",
    ),
    "what belongs to a head": (('"[W_l1, A]"', '"[W_Q, A]"'), 12, 10, "W_Q belongs to a head, and this to a layer"),
    "a grown size that does not grow": (('"[W_l1, A]"', '"[W_l1, k_hat*A]"'), 12, 16, "k does not grow"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_variant_is_refused_at_its_place(run, variant, what):
    replaced, line, column, words = WRONG[what]
    path = variant(replaced)
    shown = checked(run("check", path, limit=PROMPT))
    assert shown.startswith(f"{path}:{line}:{column}: ")
    assert words in shown


def test_a_constraint_without_any_new_block_says_what_is_missing(run, tmp_path):
    path = tmp_path / "old.toml"
    path.write_text('name = "x"\n[rewrite]\nW_l1 = "2*W_l1"\n[constraints]\nW_l1 = "0"\n')
    expected = "a constraint speaks of a new block; found W_l1; expected a block of [new], which is not there"
    assert checked(run("check", path)) == f"{path}:5:1: {expected}"


# Rewrites, the architecture, and what is said; where there is none, it is the one that a file without a name has.
OTHERS = {
    "a block of a head in what a group has": (
        '[new]\nR = "v, v; per head"\n[rewrite]\nW_V = "W_V*R"\nW_O = "R\'*W_O"\n',
        "mistral",
        "R belongs to a head, and this to a group of heads",
    ),
    "a matrix of a head in a head that joins a group": (
        '[added.head]\ngroup = "one"\nW_Q = "W_Q"\nW_O = "0"\n',
        "mistral",
        "W_Q belongs to a head, and this to a group of heads",
    ),
    "a bias of a head in one of the layer": (
        '[rewrite]\nb_O = "b_O + b_V*W_O"\n',
        "vit",
        "b_V belongs to a head, and this to a layer",
    ),
    "what a new layer does not have": (
        "[added.layer]\n"
        + "".join(f'{name} = "0"\n' for name in ("g_MHA", "W_Q", "W_K", "W_V", "W_O", "g_MLP"))
        + 'W_l1 = "W_l1"\nb_l1 = "0"\nW_l2 = "0"\nb_l2 = "0"\n',
        "paper",
        "W_l1 belongs to a layer, and this to a new layer",
    ),
    "a scalar in another rewrite": (
        '[rewrite]\nW_K = "scale*W_K"\n',
        "paper",
        "only the rewrite of scale may use it",
    ),
    "a constraint on what is not there": (
        '[new]\nM = "1, h"\n[rewrite]\nb_l2 = "b_l2 + M"\n[constraints]\nM = "b_O"\n',
        "paper",
        "`paper` has no such parameter; found b_O",
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_name_that_means_something_elsewhere_is_refused_with_what_it_means(run, tmp_path, what):
    tables, architecture, words = OTHERS[what]
    path = tmp_path / "other.toml"
    path.write_text(f'name = "x"\n{tables}')
    assert f"this name means nothing here: {words}" in checked(run("check", path, "--architecture", architecture))


# --- nothing that applies ---

NOTHING = {
    "a router where there are no experts": ('W_R = "2*W_R"', "paper", "3:1", "W_R", "W_R: mixtral"),
    "an epsilon where there is none": ('eps = "eps^2"', "paper", "3:1", "eps", "eps: paper-eps, gpt2"),
    "the input of a tied model": ('I = "2*I"', "gemma", "3:1", "I", "I: paper, paper-eps"),
    "several": ('b_l1 = "2*b_l1"\nP = "3*P"', "llama", "3:1", "b_l1, P", "some of these: paper, paper-eps"),
}


@pytest.mark.parametrize("what", NOTHING)
def test_a_variant_of_which_nothing_applies_is_refused_and_not_proved(run, tmp_path, what):
    rewrites, architecture, place, found, having = NOTHING[what]
    path = tmp_path / "nothing.toml"
    path.write_text(f'name = "x"\n[rewrite]\n{rewrites}\n')
    for command in ("check", "constraints"):
        shown = checked(run(command, path, "--architecture", architecture))
        assert shown.startswith(
            f"{path}:{place}: `{architecture}` has nothing that the variant changes; found {found};"
        )
        assert f"expected an architecture that has {having}" in shown


def test_a_forgotten_architecture_does_not_make_a_false_claim_true(run, tmp_path):
    path = tmp_path / "router.toml"
    path.write_text('name = "x"\n[rewrite]\nW_R = "2*W_R"\n')
    checked(run("check", path))
    assert run("check", path, "--architecture", "mixtral").status == 1


def test_a_link_of_which_nothing_applies_is_refused(run, tmp_path):
    path = tmp_path / "router.toml"
    path.write_text('name = "x"\n[rewrite]\nW_R = "2*W_R"\n')
    for chain in (("mlp-expansion", path), (path, "mlp-expansion")):
        assert "has nothing that the variant changes" in checked(run("check", *chain))


def test_kept_frequencies_alone_are_nothing_where_nothing_is_rotary(run, tmp_path):
    path = tmp_path / "rope.toml"
    path.write_text('name = "x"\n[becomes]\nrope = "kept"\n')
    assert "found rope; expected an architecture that has rope_base: llama" in checked(run("check", path))


@pytest.mark.parametrize(
    "tables",
    [
        "",  # a file that changes nothing says so itself
        '[rewrite]\nW_R = "2*W_R"\nW_l1 = "W_l1"\n',
        '[new]\nA = "h, h"\n[rewrite]\neps = "2*eps"\nW_out = "W_out + A*W_out"\n[constraints]\nA = "0"\n',
    ],
)
def test_a_variant_of_which_something_applies_or_that_says_nothing_is_still_proved(run, tmp_path, tables):
    path = tmp_path / "some.toml"
    path.write_text(f'name = "x"\n{tables}')
    assert run("check", path).status == 0


@pytest.mark.parametrize("what", ["an unknown symbol", "wrong TOML", "a negative size"])
def test_json_has_the_same_place_and_nothing_else_is_printed(run, variant, what):
    replaced, line, column, _ = WRONG[what]
    path = variant(replaced)
    error = error_json(run("check", path, "--json"))
    assert (error["file"], error["line"], error["column"]) == (str(path), line, column)
    assert error["message"] in checked(run("check", path))


@pytest.mark.parametrize("what", ["an unknown symbol", "a growing parameter without rewrite"])
def test_a_refused_variant_leaves_no_file(run, variant, tmp_path, what):
    path = variant(WRONG[what][0])
    run("check", path, "--html", tmp_path / "page.html", "--certificate", tmp_path / "proof.json")
    assert list(tmp_path.iterdir()) == [path]


def test_the_second_of_two_variants_is_named(run, variant):
    path = variant(WRONG["an unknown symbol"][0])
    assert checked(run("check", "mlp-expansion", path)).startswith(f"{path}:12:16: ")


# What newcomers write in place of "[W_l1, A]" out of habit, the column, and what they are told to write.
HABITS = {
    "[W_l1 A]": (15, "expected `*` or `,` before `A`"),
    "[W_L1, A]": (10, "expected W_l1?"),
    "[w_l1, A]": (10, "expected W_l1?"),
    "[W_l1, A']": (9, "found (p_hat - p) x h; expected h rows"),
    "[W_l1; A]": (9, "found h x (p_hat - p); expected p columns"),
    "[W_l1, C]": (9, "blocks side by side differ in rows in [W_l1, C]; found (p_hat - p) x h; expected h rows"),
    "[W_l1, A.T]": (17, "found `.T`; expected `'` for a transpose, as in `A'`"),
    "[W_l1, A^T]": (17, "a transpose is written with `'`; found `A^T`; expected `A'`"),
    "[W_l1, eye(h) @ A]": (23, "found `@`; expected `*` for a product"),
    "[W_l1, p**2*A]": (17, "found `**`; expected `^` for a power"),
    "[W_l1, p//2*A]": (17, "found `//`; expected `/` for a quotient"),
    "[W_l1, .5*A]": (16, "found `.5`; expected a digit before the point, as in `0.5`"),
    "[W_l1, A .* A]": (18, "expected `hadamard(A, B)` for an entrywise product"),
    "[W_l1 | A]": (15, "expected `,` between blocks side by side"),
    "[W_l1, zeros(h, p_hat - p)]": (16, "there is no such function; found `zeros`; expected `0(m, n)`"),
    "[W_l1, np.zeros(h, p)]": (18, "found `.zeros`; expected nothing after a point"),
    "[W_l1, I(h)*A]": (16, "found `I`; expected `eye(n)`"),
    "[W_l1, identity(h)*A]": (16, "expected `eye(n)`"),
    "[W_l1, ones(h)]": (16, "wrong number of arguments of `ones`; found 1; expected 2"),
    "[W_l1, relu(A)]": (16, "expected `act(A)`"),
    "hstack(W_l1, A)": (9, "expected `[A, B]`"),
    "W_l1 = [W_l1, A]": (14, "expected one side of an equation"),
}


@pytest.mark.parametrize("written", HABITS)
def test_a_habit_of_another_language_is_told_what_to_write_instead(run, variant, written):
    column, words = HABITS[written]
    path = variant(('"[W_l1, A]"', f'"{written}"'))
    shown = checked(run("check", path))
    assert shown.startswith(f"{path}:12:{column}: ")
    assert words in shown


@pytest.mark.parametrize(
    ("replaced", "place", "words"),
    [
        (('"[W_l1, A]"', "[W_l1, A]"), "12:9", 'expected a value in quotes, as in W_l1 = "[W_l1, M]"'),
        (('"[W_l1, A]"', "W_l1"), "12:8", "expected a value in quotes"),
        (('"[W_l1, A]"', '"[W_l1, A]'), "12:18", "expected a closing quote"),
        (('"[W_l1, A]"', "“[W_l1, A]”"), "12:8", "found `“`; expected a value in quotes"),
        (('W_l1 = "', 'W_l1 : "'), "12:6", "found `:`; expected `=` after the key"),
        (('C = "0"', 'C*A = "0"'), "17:2", "a key that is an expression stands in quotes"),
        (('C = "0"', "C = 0"), "17:5", 'a string in quotes, such as "0"'),
        (('A = "h, p_hat - p"', 'A = "h; p_hat - p"'), "7:7", "found `;`; expected `,`"),
        (('A = "h, p_hat - p"', 'A = "h x p_hat - p"'), "7:8", "expected `*` or `,` before `x`"),
        (('A = "h, p_hat - p"', 'A = "h, phat - p"'), "7:9", "expected p_hat?"),
        (('A = "h, p_hat - p"', 'A = "p_hat - p, h"'), "12:9", "found (p_hat - p) x h; expected h rows"),
        (('"[W_l1, A]"', '"[W_l1, W_l1*A]"'), "12:20", "found h x (p_hat - p); expected p rows"),
        (('"[W_l1, A]"', '"[W_l1, C*W_l2]"'), "12:17", "found p x h; expected h rows, as its transpose has"),
        (('W_l1 = "', 'w_l1 = "'), "12:1", "there is no such parameter; found `w_l1`; expected `W_l1`"),
    ],
)
def test_a_slip_of_a_newcomer_is_told_what_to_write_instead(run, variant, replaced, place, words):
    path = variant(replaced)
    shown = checked(run("check", path))
    assert shown.startswith(f"{path}:{place}: ")
    assert words in shown


CONTENTS = {
    "empty": (b"", "the variant has no name"),
    "a comment": (b"# nothing\n", "the variant has no name"),
    "binary": (bytes(range(256)), "UTF-8"),
    "an executable": (b"\x7fELF\x02\x01" + bytes(100), "not valid TOML"),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(100), "the file is not UTF-8; found the byte 0x89"),
    "UTF-16": ('name = "x"'.encode("utf-16"), "the file is not UTF-8; found the byte 0xff"),
    "a NUL": (b'name = "a\0b"\n', r"found `\x00`"),
    "JSON": (b'{"name": "x"}', "not valid TOML"),
    "huge": (b'name = "x"\n' + b"#" * 10_000_000, "the variant file is too large"),
    "an inline table in a table without end": (
        b'name = "x"\nx = ' + b"{a=" * 10_000,
        "too many brackets inside one another",
    ),
    "deep arrays": (b'name = "x"\nx = ' + b"[" * 10_000 + b"]" * 10_000, "too many brackets inside one another"),
    "a deep header": (b'name = "x"\n' + b"[" * 10_000, "not valid TOML"),
    "a key of many parts": (b'name = "x"\n' + b"a." * 10_000 + b"a = 1\n", "the key has too many parts"),
    "a key given twice": (b'name = "x"\nname = "y"\n', "a key or table is given twice"),
    "a table given twice": (b'name = "x"\n[grows]\n[new]\n[grows]\n', "a key or table is given twice"),
    "Latin 1": ('name = "größer"'.encode("latin-1"), "the file is not UTF-8; found the byte 0xf6"),
    "old line ends": (b'name = "x"\r[grows]\rp = "p_hat"\r', r"found `\r`"),
    "escape sequences": (b'name = "x"\n\x1b[31m', r"found `\x1b`"),
}


@pytest.mark.parametrize("what", CONTENTS)
def test_any_file_is_refused_or_read(run, tmp_path, what):
    content, words = CONTENTS[what]
    path = tmp_path / "my.toml"
    path.write_bytes(content)
    shown = checked(run("check", path, limit=PROMPT))
    assert shown.startswith(f"{path}:")
    assert words in shown


@pytest.mark.parametrize(("start", "end"), [("", "\r\n"), ("\ufeff", "\n")], ids=["CRLF", "a byte order mark"])
def test_what_editors_write_is_read(run, variant, start, end):
    path = variant()
    path.write_bytes((start + path.read_text(encoding="utf-8").replace("\n", end)).encode("utf-8"))
    assert run("check", path).status == 0


@pytest.mark.parametrize(
    "name", ["print", "eval", "exec", "lambda", "None", "True", "self", "S", "Q", "oo", "pi", "nan"]
)
def test_a_block_may_be_called_like_something_of_python_or_sympy(run, variant, name):
    path = variant()
    path.write_text(re.sub(r"\bA\b", name, path.read_text(encoding="utf-8")), encoding="utf-8")
    assert run("check", path).status == 0


def test_links_in_a_circle_are_no_file(run, tmp_path):
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.symlink_to(other)
    other.symlink_to(one)
    assert "Too many levels of symbolic links" in checked(run("check", one, limit=PROMPT))


def test_what_is_no_file_is_refused(run, tmp_path):
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    assert "Is a directory" in checked(run("check", folder))
    assert "No such file" in checked(run("check", tmp_path / "missing.toml"))
    assert "the catalogue name `mlp-expansion`" in checked(run("check", tmp_path / "mlp-expansion.toml"))
    assert "Is a directory" in checked(run("verify", folder))
    assert "No such file" in checked(run("verify", tmp_path / "missing.json"))


@pytest.mark.parametrize("command", ["check", "verify"])
def test_a_pipe_that_nobody_writes_to_is_refused_at_once(run, tmp_path, command):
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    assert checked(run(command, pipe, limit=2)).startswith(f"{pipe}:")


def little_memory():
    """So that what would take all of the machine's memory fails by itself."""
    resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))


@pytest.fixture
def answer(process):
    """The command line in a process with little memory, which is killed when it takes too long."""

    def answer(*arguments: str | Path, limit: float = 15) -> Ran:
        started = process(*arguments, preexec_fn=little_memory)
        try:
            out, err = started.communicate(timeout=limit)
        finally:
            started.kill()
            started.communicate()
        assert "Traceback" not in err
        return Ran(started.returncode, out, err)

    return answer


@pytest.mark.parametrize("command", ["verify", "check"])
def test_an_endless_device_is_no_file(answer, command):
    assert "it is no regular file" in checked(answer(command, "/dev/zero"))


NO_CERTIFICATE = {
    "empty": ("", 2),
    "not JSON": ("certificate", 2),
    "half a file": ('{"format": "growproof certificate 1", "variants": [', 2),
    "deep nesting": ("[" * 100_000, 2),
    "a page of something else": ("<!DOCTYPE html><p>hello", 2),
    "other JSON": ("{}", 1),
    "a list": ("[]", 1),
    "no fields": ('{"format": "growproof certificate 1"}', 1),
    "fields of other types": ('{"format": "growproof certificate 1", "variants": 3, "claims": {}, "chain": null}', 1),
}


@pytest.mark.parametrize("what", NO_CERTIFICATE)
def test_what_is_no_certificate_is_refused_or_rejected(run, tmp_path, what):
    text, status = NO_CERTIFICATE[what]
    path = tmp_path / "proof.json"
    path.write_text(text, encoding="utf-8")
    ran = run("verify", path, limit=60)
    assert ran.status == status
    assert (ran.out + ran.err).count("\n") == 1
    assert "Traceback" not in ran.err


# ---------------------------------------------------------------- names and arguments


@pytest.mark.parametrize(("given", "nearest"), [("mlp-expnsion", "mlp-expansion"), ("MLP expansion", "mlp-expansion")])
def test_an_unknown_name_suggests_the_nearest_and_where_all_are(run, given, nearest):
    shown = checked(run("check", given))
    assert f"found `{given}`; expected `{nearest}`" in shown
    assert "another name that `growproof list` shows" in shown
    assert error_json(run("check", given, "--json"))["found"] == f"`{given}`"


def test_an_unknown_architecture_suggests_the_nearest(run, variant):
    assert "expected `paper`" in checked(run("check", "mlp-expansion", "--architecture", "papre"))
    assert "expected `paper`" in checked(run("check", variant(("[grows]", 'architecture = "papre"\n[grows]'))))


ARGUMENTS = {
    "": "COMMAND",
    "nosuch": "'nosuch'",
    "--version-of": "COMMAND",
    "check": "VARIANT",
    "check mlp-expansion --sed 1": "--sed",
    "check mlp-expansion --seed": "--seed",
    "check mlp-expansion --seed -1": "-1",
    "check mlp-expansion --seed x": "'x'",
    "check mlp-expansion --seed 1.5": "'1.5'",
    "check mlp-expansion --seed nan": "'nan'",
    "check mlp-expansion --html": "--html",
    "verify": "FILE",
    "verify a b": "b",
    "list extra": "extra",
    "report extra": "extra",
}


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_wrong_arguments_are_named_in_one_line(run, arguments):
    assert ARGUMENTS[arguments] in checked(run(*arguments.split()))
    assert ARGUMENTS[arguments] in error_json(run(*arguments.split(), "--json"))["message"]


# ---------------------------------------------------------------- places that cannot be written


def test_a_missing_folder_a_folder_and_one_name_twice_are_refused_before_the_work(run, tmp_path):
    missing = tmp_path / "missing" / "page.html"
    for option in ("--html", "--certificate"):
        assert "No such file or directory" in checked(run("check", "mlp-expansion", option, missing))
        assert "directory" in checked(run("check", "mlp-expansion", option, tmp_path))
    assert "No such file or directory" in checked(run("report", "-o", missing, limit=3))
    assert "it is a directory" in checked(run("report", "-o", tmp_path, limit=3))
    both = tmp_path / "one"
    assert "two files" in checked(run("check", "mlp-expansion", "--html", both, "--certificate", both))
    assert list(tmp_path.iterdir()) == []


def test_a_certificate_is_never_written_over_a_folder(run, tmp_path):
    error = error_json(run("check", "mlp-expansion", "--certificate", tmp_path, "--json"))
    assert error["file"] == str(tmp_path)


@pytest.fixture
def read_only_folder(run):
    """A folder in which nobody may write; a superuser's rights are laid down, once everything is imported."""
    run("check", "mlp-expansion", "--quiet")
    for module in ("report", "page"):
        import_module(f"growproof.reports.{module}")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    superuser = os.geteuid() == 0
    if superuser:
        os.seteuid(65534)
    yield folder
    if superuser:
        os.seteuid(0)
    folder.rmdir()


def test_a_folder_that_is_read_only_is_refused(run, read_only_folder):
    path = read_only_folder / "x"
    for arguments in (("check", "mlp-expansion", "--html"), ("check", "mlp-expansion", "--certificate")):
        assert "Permission denied" in checked(run(*arguments, path))
    assert "Permission denied" in checked(run("report", "-o", path, limit=60))


def few_bytes():
    """What a full disk does: a write fails half-way."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))


@pytest.mark.parametrize("option", ["--html", "--certificate"])
def test_a_full_disk_leaves_no_half_written_file(process, tmp_path, option):
    before = tmp_path / "result"
    before.write_text("the result of before", encoding="utf-8")
    started = process("check", "mlp-expansion", option, before, preexec_fn=few_bytes)
    out, err = started.communicate(timeout=60)
    assert (started.returncode, out) == (2, "")
    assert err.startswith(f"growproof: {before}: the file cannot be written; found {os.strerror(errno.EFBIG)}")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [before]
    assert before.read_text(encoding="utf-8") == "the result of before"


@pytest.mark.parametrize("option", ["--html", "--certificate"])
def test_a_device_or_pipe_is_not_replaced_by_a_file(run, tmp_path, option):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert str(pipe) in checked(run("check", "mlp-expansion", option, pipe, limit=60))
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_link_to_a_device_is_not_replaced_by_a_file(run, tmp_path):
    link = tmp_path / "full"
    link.symlink_to("/dev/full")
    checked(run("check", "mlp-expansion", "--html", link))
    assert link.is_symlink()


@pytest.mark.parametrize("arguments", [("check", "mlp-expansion"), ("check", "nosuch", "--json")], ids=" ".join)
def test_a_full_standard_output_is_one_line_and_status_2(process, arguments):
    with open("/dev/full", "w", encoding="utf-8") as full:
        started = process(*arguments, stdout=full)
        _, err = started.communicate(timeout=60)
    assert started.returncode == 2
    assert err.startswith("growproof: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "mlp-expansion"),
        ("check", "nosuch", "--json"),
    ],
)
def test_a_closed_standard_output_brings_no_traceback(process, arguments):
    started = process(*arguments, preexec_fn=lambda: os.close(1), stdout=None)
    _, err = started.communicate(timeout=60)
    assert "Traceback" not in err


def test_an_error_into_a_closed_pipe_brings_no_traceback(process):
    started = process("check", "nosuch", "--json")
    started.stdout.close()
    started.stdout = None
    _, err = started.communicate(timeout=60)
    assert err == ""


def test_a_terminal_without_unicode_gets_an_answer(process, variant):
    path = variant(("Mine", "größer → λ"))
    for arguments in ((), ("--json",)):
        started = process("check", path, *arguments, env={**os.environ, "PYTHONIOENCODING": "ascii"})
        out, err = started.communicate(timeout=60)
        assert (started.returncode, err) == (0, "")
        assert "proved" in out


# ---------------------------------------------------------------- large numbers


@pytest.mark.parametrize("grown", ["p + 10^5", "p + 10^9", "10^60*p", "p + p^20"])
def test_a_huge_growth_is_proved_like_any_other(answer, variant, grown):
    assert answer("check", variant(('p = "p_hat"', f'p = "{grown}"'))).status == 0


def test_a_huge_growth_that_is_false_is_answered_in_time(answer, variant):
    path = variant(('p = "p_hat"', 'p = "p + 10^9"'), ('C = "0"', 'A = "0"'))
    assert answer("check", path, limit=6).status in (1, 3)


def test_a_huge_kronecker_product_is_answered_in_time(answer, variant):
    grown = ('p = "p_hat"', 'p = "10^6*p"')
    path = variant(grown, ('"[W_l1, A]"', '"kron(ones(1, 10^6), W_l1)"'), ('A = "h, p_hat - p"\n', ""))
    assert answer("check", path, limit=6).status in (1, 3)


@pytest.mark.parametrize(
    "replaced",
    [
        ('C = "0"', '"kron(C, eye(10^6))" = "0"'),
        ('C = "0"', '"kron(C, eye(500))" = "0"'),
        ('"[W_l1, A]"', '"[ones(h,10^20)*ones(10^20,p)+W_l1, A]"'),
        ('"[W_l1, A]"', f'"[{"*".join(["p^64"] * 30)}*W_l1, A]"'),
        ('"[W_l1, A]"', f'"[{"sqrt(" * 90}p{")" * 90}*W_l1, A]"'),
        ('"[W_l1, A]"', f'"[W_l1{"*W_l2*W_l1" * 45}, A]"'),
    ],
)
def test_what_is_too_large_for_numbers_is_answered_all_the_same(answer, variant, replaced):
    """Nothing but the answer is printed: no traceback, and no warning of an overflow."""
    ran = answer("check", variant(replaced))
    assert ran.status in (0, 1, 3)
    assert ran.err == ""


def test_a_large_exponent_in_grown_sizes_is_answered_in_time(answer, variant):
    path = variant(('p = "p_hat"', 'p = "p + p^60"'), ('"[W_l1, A]"', '"[2^p_hat*W_l1, A]"'))
    assert answer("check", path).status in (1, 3)


def test_many_blocks_and_nested_functions_are_answered_in_time(run, variant):
    nested = "act(" * 45 + "A" + ")" * 45
    assert run("check", variant(('"[W_l1, A]"', f'"[W_l1, {nested}]"')), limit=60).status == 0
    many = "\n".join(f'D{i} = "h, p"' for i in range(300))
    assert run("check", variant(("[new]", f"[new]\n{many}")), limit=60).status == 0


# ---------------------------------------------------------------- hostile texts

HOSTILE = (
    '<script>alert(1)</script></script><img src=x onerror="alert(2)"> & \' " <!-- ]]> </math> {{ 7*7 }} {% x %} %s {0}'
)


class Tags(HTMLParser):
    """The elements of a page and their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, list[str]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, [name for name, _ in attrs]))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("constraint", ["C", "A"], ids=["proved", "refuted"])
def test_texts_of_a_variant_add_no_element_to_a_page(run, variant, tmp_path, constraint):
    found = []
    for i, name in enumerate((HOSTILE, "tame")):
        texts = "\n".join(f"{key} = {json.dumps(name)}" for key in ("name", "source", "description"))
        path = variant(('name = "Mine"', texts), ('C = "0"', f'{constraint} = "0"'))
        page = tmp_path / f"{i}.html"
        run("check", path, "--html", page)
        found.append(Tags(page.read_text(encoding="utf-8")))
    assert found[0].tags == found[1].tags
    assert HOSTILE in found[0].text


def test_a_page_with_hostile_texts_can_be_verified(run, variant, tmp_path):
    page = tmp_path / "page.html"
    path = variant(('name = "Mine"', f"name = {json.dumps(HOSTILE)}"))
    assert run("check", path, "--html", page, "--quiet").status == 0
    ran = run("verify", page)
    assert ran.status == 0
    assert HOSTILE in ran.out


CONTROLS = {
    "colour": "\\u001b[31mred\\u001b[0m",
    "a new line": "Mine\\nproved: everything",
    "a carriage return": "Mine\\rproved: everything",
    "the bell": "\\u0007",
    "8-bit escapes": "\\u009b31m",
    "right to left": "abc\\u202edef\\u2066",
    "a line separator": "a\\u2028b",
}


def assert_clean(text):
    """No character of a text but its line ends moves the cursor, colours or reorders."""
    assert not {c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")}


@pytest.mark.parametrize("key", ["name", "source", "description"])
@pytest.mark.parametrize("what", CONTROLS)
def test_a_text_with_characters_that_cannot_be_shown_is_refused(run, variant, what, key):
    """Refused by its code point, so that it reaches no terminal and no page."""
    before = 'name = "Mine"'
    line = f'{key} = "{CONTROLS[what]}"'
    path = variant((before, line if key == "name" else f"{before}\n{line}"))
    for arguments in (("check", path), ("check", path, "--json")):
        ran = run(*arguments)
        assert ran.status == 2
        assert_clean(ran.out + ran.err)
        assert f"the {key} has a character that cannot be shown" in ran.out + ran.err
        assert "U+" in ran.out + ran.err


def test_nothing_in_a_variant_is_executed(run, variant, tmp_path):
    created = tmp_path / "created"
    for code in (f"open('{created}', 'w')", f"__import__('os').mkdir('{created}')", f"eval(open('{created}', 'w'))"):
        checked(run("check", variant(("[W_l1, A]", code))))
    assert not created.exists()
