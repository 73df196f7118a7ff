"""Variant files are read table by table; what cannot be used is refused with file, line and column."""

import hashlib
import json
import tomllib

import as_published
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from growproof.symbolic.errors import Place, VariantError, quotations
from growproof.symbolic.syntax import BinaryOp, Name, parse, show
from growproof.symbolic.variant import PARAMETERS, Variant, catalogue, load, loads

untimed = settings(deadline=None)
SIX = (
    *("attention-expansion", "head-addition", "heads-expansion"),
    *("hidden-expansion", "layer-addition", "mlp-expansion"),
)
NAMED = 'name = "A variant"\n'


def refusal(text: str) -> VariantError:
    with pytest.raises(VariantError) as caught:
        loads(text, "my.toml")
    assert "\n" not in str(caught.value)
    return caught.value


def shown(entries):
    return {name: show(expression) for name, expression in entries.items()}


def zeros(variant: Variant):
    assert all(show(constraint.right) == "0" for constraint in variant.constraints)
    return {show(constraint.left) for constraint in variant.constraints}


# --- the catalogue ---


def test_the_catalogue_has_the_paper_s_six():
    assert set(SIX) <= set(catalogue())


@pytest.mark.parametrize("name", SIX)
def test_each_cites_its_definition_and_is_for_the_paper_s_architecture(name):
    variant = load(name)
    assert variant.source.startswith("arXiv:2308.06103, Definition 3.")
    assert variant.architecture == "paper"
    assert variant.file == f"catalogue/{name}.toml"


@pytest.mark.parametrize("name", SIX)
def test_every_new_block_of_the_six_is_named_after_what_it_extends_and_is_used_once(name):
    variant = load(name)
    entries = variant.rewrite or (variant.added_head or variant.added_layer).entries
    for parameter, expression in entries.items():
        assert f"M_{parameter}" in show(expression)
    assert set(variant.new) == {f"M_{parameter}" for parameter in entries}


@pytest.mark.parametrize(
    ("name", "zero"),
    [
        ("mlp-expansion", {"M_W_l2"}),
        ("head-addition", {"M_W_O"}),
        ("heads-expansion", {"M_W_O"}),
        ("attention-expansion", {"M_W_K"}),
        ("hidden-expansion", {"M_P", "M_W_l2", "M_b_l2", "M_W_O", "M_I"}),
        ("layer-addition", {"M_W_O", "M_W_l2", "M_b_l2"}),
    ],
)
def test_the_six_set_to_zero_what_their_theorems_say(name, zero):
    assert zeros(as_published.load(name)) == zero


@pytest.mark.parametrize(
    ("name", "zero"),
    [
        ("mlp-expansion", set()),
        ("head-addition", set()),
        ("heads-expansion", set()),
        ("attention-expansion", {"M_b_K"}),
        ("hidden-expansion", {"M_b_O", *(f"M_c_{X}" for X in "in MHA MLP MHA_post MLP_post out".split())}),
        ("layer-addition", {"M_b_O", "M_c_MHA_post", "M_c_MLP_post"}),
    ],
)
def test_elsewhere_what_is_added_to_the_same_result_is_zero_too(name, zero):
    """Biases of the keys, and all that writes to the stream or to what a norm leaves there."""
    assert zeros(load(name)) - zeros(as_published.load(name)) == zero


def test_definition_3_4_scales_the_keys():
    assert shown(as_published.load("attention-expansion").rewrite) == {
        "W_Q": "[W_Q, M_W_Q]",
        "W_K": "[sqrt(k_hat)/sqrt(k)*W_K, M_W_K]",
    }


# --- what a file says ---

EVERYTHING = """
name = "Everything"
source = "a test"
description = "all tables"
architecture = "llama"

[grows]
p = "p + 2*q"

[new]
M = "h, q; per head"
S = "p, p_hat; selection, per layer"

[rewrite]
eps = "eps*h/h_hat"
W_l1 = "W_l1*S"

[constraints]
"S*M + 0(p, q)" = "eye(p)"

[stream]
map = "?a*[eye(h), 0]"

[added.head]
W_O = "M"
copy = "each"
group = "one"

[added.layer]
copy = "previous"
W_O = "0"

[forward]
MLP = "act(X*W_l1)*W_l2"

[becomes]
rope = "kept"
top_k = 2
tied = true
"""


def test_every_table_is_read():
    variant = loads(EVERYTHING, "my.toml")
    assert (variant.name, variant.source, variant.description) == ("Everything", "a test", "all tables")
    assert variant.architecture == "llama"
    assert shown(variant.grows) == {"p": "p + 2*q"}
    assert {name: (show(b.rows), show(b.columns), b.kinds) for name, b in variant.new.items()} == {
        "M": ("h", "q", ("per head",)),
        "S": ("p", "p_hat", ("selection", "per layer")),
    }
    assert shown(variant.rewrite) == {"eps": "eps*h/h_hat", "W_l1": "W_l1*S"}
    assert [(show(c.left), show(c.right)) for c in variant.constraints] == [("S*M + 0(p, q)", "eye(p)")]
    assert show(variant.stream_map) == "?a*[eye(h), 0]"
    assert shown(variant.added_head.entries) == {"W_O": "M"}
    assert (variant.added_head.copy, variant.added_head.group) == ("each", "one")
    assert shown(variant.added_layer.entries) == {"W_O": "0"}
    assert (variant.added_layer.copy, variant.added_layer.group) == ("previous", None)
    assert shown(variant.forward) == {"MLP": "act(X*W_l1)*W_l2"}
    assert variant.becomes == {"rope": "kept", "top_k": 2, "tied": True}


def test_a_name_is_enough():
    variant = loads(NAMED, "my.toml")
    assert (variant.source, variant.description, variant.architecture) == ("", "", "paper")
    assert not variant.grows
    assert not variant.constraints
    assert variant.added_head is variant.added_layer is variant.stream_map is None


def test_the_text_and_its_hash_are_those_of_the_file(tmp_path):
    content = "\ufeffname = 'é'\r\n".encode()
    path = tmp_path / "my.toml"
    path.write_bytes(content)
    variant = load(path)
    assert variant.text.encode() == content
    assert variant.sha256 == hashlib.sha256(content).hexdigest()
    assert variant == loads(variant.text, str(path))


def test_a_file_without_the_ending_is_read_when_it_exists(tmp_path, monkeypatch):
    (tmp_path / "plain").write_text(NAMED)
    monkeypatch.chdir(tmp_path)
    assert load("plain").name == load("./plain").name == "A variant"


# --- places ---


def test_entries_know_their_places():
    variant = loads(EVERYTHING, "my.toml")
    assert variant.place("rewrite", "W_l1") == Place("my.toml", 16, 1)
    assert variant.place("added", "layer") == variant.added_layer.place == Place("my.toml", 29, 8)
    assert variant.rewrite["W_l1"].place == Place("my.toml", 16, 13)  # its `*`
    assert variant.constraints[0].place == Place("my.toml", 19, 2)  # inside the quotes of the key
    assert variant.constraints[0].right.place == Place("my.toml", 19, 20)
    assert variant.new["M"].place == Place("my.toml", 11, 1)
    assert variant.place("rewrite", "W_l2") == Place("my.toml", 1, 1)  # not there


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("[rewrite]\nW_l1 = 'A + $'", 2, 13),  # a literal string
        ('[rewrite]\nW_l1 = "\\u0041 + \\t$"', 2, 20),  # escapes count as they are written
        ('[rewrite]\nW_l1 = """\nA +\n  $"""', 4, 3),  # the first newline is not part of the string
        ('[rewrite]\nW_l1 = """A \\\n\n   + $"""', 4, 6),  # nor is a continued line's break
        ("[rewrite]\r\nW_l1 = '''A\r\n + $'''\r\n", 3, 4),
        ("rewrite = { P = '0', W_l1 = 'A + $' }", 1, 34),
        ("rewrite.W_l1 = 'A + $'", 1, 21),
        ("'rewrite' . \"W_\\u006c1\" = 'A + $'", 1, 32),
        ("[constraints]\n'$' = '0'", 2, 2),
        ("[constraints]\nM = '0' # '$'\n'N' = '$'", 3, 8),
        ("[becomes]\na = 1.5\n[rewrite]\nW_l1 = '$'", 4, 9),
    ],
)
def test_errors_point_at_the_character_in_the_file(text, line, column):
    error = refusal(NAMED + text)
    assert error.found == "`$`"
    assert (error.file, error.line, error.column) == ("my.toml", 1 + line, column)


def plain(characters):
    return st.text(alphabet=characters, min_size=1, max_size=6)


keys = st.one_of(
    plain("ab_1-"),
    plain("A*'+ .").map(json.dumps),
    plain('A*"+ .#[').map(lambda key: f"'{key}'"),
)
strings = st.one_of(
    st.text(alphabet='ab"\\\t é\n#=', max_size=8).map(json.dumps),
    plain('ab"#={}[],').map(lambda text: f"'{text}'"),
    plain("ab'\n#=").map(lambda text: f'"""{text}"""'),
    plain("ab'\n\"").map(lambda text: '"""' + text.replace('"', '\\"') + '""' + '"""'),
    plain('ab"\n#=').map(lambda text: f"'''{text}'''"),
)
scalars = st.one_of(strings, st.sampled_from(["1.5", "true", "2020-01-01 10:00:00", "1e3", "-inf"]))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(keys, inner), max_size=3).map(
            lambda items: "{" + ", ".join(f"{key} = {value}" for key, value in items) + "}"
        ),
    ),
    max_leaves=5,
)
lines = st.one_of(
    st.lists(keys, min_size=1, max_size=2).map(lambda path: f"[{'.'.join(path)}] # ["),
    st.tuples(keys, values).map(" = ".join),
    st.tuples(keys, keys, values).map(lambda line: f"{line[0]} . {line[1]} = {line[2]} # = '"),
)
files = st.lists(lines, max_size=5).map("\n".join)


def strings_of(data, path=()):
    for key, value in data.items():
        if isinstance(value, dict):
            yield from strings_of(value, (*path, key))
        yield (*path, key), value


@untimed
@given(files)
def test_every_key_and_string_of_a_toml_file_is_found(text):
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)
    found = quotations(text, "my.toml")
    rows = text.split("\n")
    for path, value in strings_of(data):
        checked = [(path[-1], found.keys[path])]
        if isinstance(value, str):
            checked.append((value, found.values[path]))
        for content, quotation in checked:
            *places, _ = quotation.character_places()
            assert len(places) == len(content)
            written = [(rows[place.line - 1] + "\n")[place.column - 1] for place in places]
            assert all(a in (b, "\\") for a, b in zip(written, content, strict=True))


# --- refusing ---


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", '1:1: the variant has no name; expected name = "..." above all tables'),
        (
            "name = 3",
            '1:8: the value of `name` is not a string; found the number 3; expected a string in quotes, such as "3"',
        ),
        ("name = ' '", "1:9: the variant's name is empty; found nothing; expected a name"),
        (
            NAMED + "source = []",
            "2:10: the value of `source` is not a string; found an array; expected a string in quotes",
        ),
        (
            NAMED + "grows = 3",
            "2:9: `grows` is not a table; found the number 3; expected a table [grows]",
        ),
        (
            NAMED + "[constraint]",
            "2:2: there is no such key or table in a variant file; found `constraint`; expected `constraints`",
        ),
        (
            NAMED + "[grows]\nq = 'q_hat'",
            "3:1: there is no such size; found `q`; expected one of s, h, p, k, v, o, E, N",
        ),
        (
            NAMED + "[grows]\np = '-3'",
            "3:6: a size is a positive whole number; found `-3`; expected 1 or more",
        ),
        (
            NAMED + "[grows]\np = 'W_Q'",
            "3:6: `W_Q` is not a size; found the name of a parameter; expected a size",
        ),
        (
            NAMED + "[new]\nM = '-3, p'",
            "3:6: a size is a positive whole number; found `-3`; expected 1 or more",
        ),
        (
            NAMED + "[new]\nM = 'h, -2*p'",
            "3:11: a size is a positive whole number; found `-2*p`; expected 1 or more",
        ),
        (
            NAMED + "[new]\nM = 'h, 0'",
            "3:9: a size is a positive whole number; found `0`; expected 1 or more",
        ),
        (NAMED + "[new]\nM = 'h'", "3:7: the expression ends too early; found its end; expected `,`"),
        (
            NAMED + "[new]\nM = 'M, p'",
            "3:6: `M` is not a size; found the name of a new block; expected a size",
        ),
        (
            NAMED + "[new]\nM = 'h, p; selektion'",
            "3:12: there is no such kind of block; found `selektion`; expected `selection`",
        ),
        (
            NAMED + "[new]\nX = 'h, p'",
            "3:1: a new block cannot be called `X`; found the name of a sublayer's input; expected a name of its own",
        ),
        (
            NAMED + "[new]\nW_Q = 'h, p'",
            "3:1: a new block cannot be called `W_Q`; found the name of a parameter; expected a name of its own",
        ),
        (
            NAMED + "[new]\nh_hat = 'h, p'",
            "3:1: a new block cannot be called `h_hat`; found the name of a grown size; expected a name of its own",
        ),
        (
            NAMED + "[new]\n'M 1' = 'h, p'",
            "3:2: this cannot be the name of a block; found `M 1`; expected a letter, then letters, digits and _",
        ),
        (
            NAMED + "[rewrite]\nW_l3 = '0'",
            "3:1: there is no such parameter; found `W_l3`; expected `W_l2`",
        ),
        (
            NAMED + "[rewrite]\nW_l1 = 0",
            '3:8: the value of `W_l1` is not a string; found the number 0; expected a string in quotes, such as "0"',
        ),
        (
            NAMED + "[rewrite]\nW_l1.M = '0'",
            "3:1: the value of `W_l1` is not a string; found a table; expected a string in quotes",
        ),
        (
            NAMED + "[rewrite]\nW_l1 = '[W_l1, M'",
            "3:17: the bracket `[` opened at line 3, column 9 is not closed;"
            " found the end of the expression; expected `]`",
        ),
        (
            NAMED + "[constraints]\n'S*T' = '0'\n'(S*T)' = '1'",
            "4:2: two constraints have the same left side; found `(S*T)`; expected only the one of line 3",
        ),
        (NAMED + "[stream]\nmpa = '0'", "3:1: there is no such key of [stream]; found `mpa`; expected `map`"),
        (
            NAMED + "[added.heads]",
            "2:8: there is no such table in [added]; found `heads`; expected `head`",
        ),
        (NAMED + "[added.head]\ncopy = 'all'", '3:9: `copy` has no such value; found "all"; expected "each"'),
        (
            NAMED + "[added.layer]\nW_V1 = '0'",
            "3:1: there is no such parameter or option of a new layer; found `W_V1`; expected `W_V`",
        ),
        (NAMED + "[forward]\nMPL = 'X'", "3:1: there is no such sublayer; found `MPL`; expected `MLP`"),
        (
            NAMED + "[becomes]\nrope = 1.5",
            "3:8: the option `rope` has the wrong type; found the number 1.5;"
            " expected a string, a whole number, true or false",
        ),
        (NAMED + NAMED, '2:1: a key or table is given twice; found `name = "A variant"`'),
        (NAMED + "[grows]\n[grows]", "3:1: a key or table is given twice; found `[grows]`"),
        (
            NAMED + "[grows",
            "2:7: not valid TOML: Expected ']' at the end of a table declaration; found the end of the file",
        ),
        (
            NAMED + "p = \n",
            "2:5: not valid TOML: Invalid value; found the end of the line;"
            ' expected a value in quotes, as in W_l1 = "[W_l1, M]"',
        ),
    ],
)
def test_bad_files_are_refused_in_one_line(text, message):
    assert str(refusal(text)) == f"my.toml:{message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = " + "[" * 10_000, "too many brackets"),
        ("x = " + "1" * 5000, "out of range"),
        ("a." * 40_000 + "a = 1", "too many parts"),
        ('x = """' + '\\"""' * 20_000 + "\\", "not valid TOML"),
        (NAMED + "#" * 1_100_000, "too large"),
        ("name = '\ud800'", "not Unicode"),
        (NAMED + f"[rewrite]\nW_l1 = '{'(' * 9000}'", "nested too deeply"),
        (NAMED + f"[rewrite]\n{'W' * 90_000} = '0'", "no such parameter"),
    ],
)
def test_files_that_would_exhaust_the_machine_are_refused(text, message):
    assert message in str(refusal(text))


def test_an_unknown_parameter_without_a_near_name_lists_them_all():
    assert refusal(NAMED + "[rewrite]\nzzzz = '0'").expected == "one of " + ", ".join(PARAMETERS)


def test_an_unknown_name_suggests_the_nearest_and_where_the_others_are():
    with pytest.raises(VariantError, match="found `mlp-expnsion`; expected `mlp-expansion`") as caught:
        load("mlp-expnsion")
    assert "another name that `growproof list` shows" in caught.value.expected
    assert caught.value.file is None


def test_an_unreadable_file_is_refused(tmp_path):
    directory = tmp_path / "directory.toml"
    directory.mkdir()
    for path in (directory, tmp_path / "missing.toml", tmp_path / "nul\0.toml"):
        with pytest.raises(VariantError, match="the variant file cannot be read") as caught:
            load(path)
        assert caught.value.file == str(path)


def test_a_file_that_is_not_utf_8_is_refused_at_its_first_bad_byte(tmp_path):
    path = tmp_path / "latin.toml"
    path.write_bytes("name = 'é'\nsource = '".encode() + b"\xe9'")
    with pytest.raises(VariantError) as caught:
        load(path)
    assert (caught.value.line, caught.value.column, caught.value.found) == (2, 11, "the byte 0xe9")


def test_a_huge_file_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "huge.toml"
    path.write_bytes(b"#" * 2_000_000)
    with pytest.raises(VariantError, match="too large"):
        load(path)


def outcome(text: str):
    try:
        return loads(text, "my.toml")
    except VariantError as error:
        return error


@untimed
@given(st.text())
def test_any_text_is_a_variant_or_refused(text):
    assert isinstance(outcome(text), Variant) or "\n" not in str(outcome(text))


@untimed
@given(
    st.sampled_from(["grows", "new", "rewrite", "constraints", "stream", "added.head", "forward", "becomes"]),
    st.lists(st.tuples(keys, values), max_size=2),
)
def test_any_toml_is_a_variant_or_refused_at_a_place(table, entries):
    result = outcome(NAMED + f"[{table}]\n" + "\n".join(f"{key} = {value}" for key, value in entries))
    assert isinstance(result, Variant) or result.line is not None


def test_nothing_in_a_file_is_executed(tmp_path):
    target = tmp_path / "created"
    refusal(NAMED + f"[rewrite]\nW_l1 = \"open('{target}', 'w')\"")
    assert not target.exists()


def test_expressions_are_those_of_the_notation():
    variant = loads(NAMED + "[rewrite]\nW_l1 = 'W_l1 + M'", "my.toml")
    assert variant.rewrite["W_l1"] == parse("W_l1 + M") == BinaryOp("+", Name("W_l1"), Name("M"))
