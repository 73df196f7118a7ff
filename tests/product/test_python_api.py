"""The front door in Python and in notebooks, and `check package.module:object`."""

import json
import re
import subprocess
import sys
import textwrap
from html.parser import HTMLParser
from itertools import count

import pytest

import growproof
from growproof.objects import names_object
from growproof.symbolic.errors import VariantError
from growproof.symbolic.variant import load

TABLES = {
    "grows": {"p": "p_hat"},
    "new": {"A": "h, p_hat - p", "B": "1, p_hat - p", "C": "p_hat - p, h"},
    "rewrite": {"W_l1": "[W_l1, A]", "b_l1": "[b_l1, B]", "W_l2": "[W_l2; C]"},
}
ZERO = {"C": "0"}
TEXT = 'name = "Louder"\n[rewrite]\nW_V = "2*W_V"\n'


def built(**more):
    return growproof.variant("Mine", **{**TABLES, **more})


# --- what can be given ---


def test_tables_make_the_variant_that_a_file_makes(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(built(constraints=ZERO).text, encoding="utf-8")
    from_file = load(path)
    assert from_file.sha256 == built(constraints=ZERO).sha256
    assert (from_file.new, from_file.rewrite) == (built().new, built().rewrite)
    assert growproof.check(built(constraints=ZERO)).verdict == growproof.check(path).verdict == "proved"


def test_every_table_of_a_file_can_be_given():
    found = growproof.variant(
        'A "name"',
        description="what it does",
        architecture="llama",
        new={"M": "h, h"},
        stream={"map": "eye(h)"},
        added={"head": {"W_O": "0"}, "layer": {"copy": "previous", "W_O": "0"}},
        becomes={"top_k": 2, "rope": "kept"},
        constraints={"M*M'": "eye(h)"},
    )
    assert (found.name, found.architecture, found.becomes) == ('A "name"', "llama", {"top_k": 2, "rope": "kept"})
    assert found.added_layer.copy == "previous"
    assert found.added_head.entries.keys() == {"W_O"}
    assert len(found.constraints) == 1


def test_variants_texts_paths_and_names_go_together():
    assert growproof.check("heads-expansion", built(constraints=ZERO)).verdict == "proved"
    assert growproof.check(growproof.loads(TEXT)).verdict == "refuted"
    assert growproof.prove(built(constraints=ZERO)).theorem is not None
    assert [block.name for block in growproof.expand(built()).blocks] == ["A", "B", "C"]


def test_nothing_to_check_is_an_error():
    with pytest.raises(VariantError, match="no variant"):
        growproof.check()


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda: growproof.check(["heads-expansion", "mlp-expansion"]), "a list; .* as in check"),
        (lambda: growproof.check(3), "a int; expected a variant, its name or its file"),
        (lambda: growproof.prove(None), "a NoneType"),
        (lambda: growproof.expand(b"mlp-expansion"), "a bytes"),
        (lambda: growproof.check("mlp-expansion", architecture=["paper"]), "a list; expected its name"),
        (lambda: growproof.loads(3), "a int; expected the text of a file"),
    ],
    ids=["a list", "a number", "nothing", "bytes", "an architecture", "a text"],
)
def test_what_is_no_variant_is_an_error_that_says_what_is_wanted(call, found):
    with pytest.raises(VariantError, match=f"this is no .*; found {found}") as raised:
        call()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"rewrite": {"W_l1": "[W_l1, "}}, "in rewrite.W_l1: .*not closed"),
        ({"rewrite": {"W_l9": "0"}}, "in rewrite.W_l9: there is no such parameter"),
        ({"grows": {"p": 3}}, "in grows.p: the value of `p` is not a string"),
        ({"grows": {"p": 2.5}}, "the value of grows.p cannot be part of a variant; found a float"),
        ({"grows": {2: "p"}}, "a key of grows is not a string; found 2"),
        ({"bogus": {}}, "in bogus: there is no such key or table"),
        ({"constraints": {"C'": "0", "A**B": "0"}}, r"in constraints.A\*\*B: "),
        # not before it meets an architecture
        ({"rewrite": {"W_l1": "[W_l1, B]"}}, "in rewrite.W_l1: .*found"),
        ({"added": {"head": {"W_O": "0"}}}, "in added.head: the new head has no W_Q"),
    ],
)
def test_an_error_names_the_key(more, words):
    with pytest.raises(VariantError, match=words) as raised:
        growproof.check(built(**more))
    assert raised.value.line is None


def test_a_certificate_of_built_tables_can_be_verified(tmp_path, monkeypatch, run):
    (tmp_path / "mine.py").write_text(f"import growproof\nmine = {built(constraints=ZERO).text!r}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    assert run("check", "mine:mine", "--certificate", "proof.json", "--quiet").status == 0
    assert run("verify", "proof.json").status == 0


# --- answers as objects ---


def test_an_answer_has_its_repairs_its_words_and_its_numbers():
    found = growproof.check(built())
    assert repr(found) == "<Answer: Mine, paper: refuted>"
    assert [one.change for one in found.repairs] == ["C = 0", "A = 0, B = 0"]
    assert growproof.check(found.repairs[0].variant).verdict == "proved"
    assert "to blame: B, C" in str(found)
    assert found.remarks is found.remarks
    assert growproof.check("mlp-expansion").repairs == ()


# --- notebooks ---

VOID = {"meta", "br", "hr", "input", "mspace"}


class Fragment(HTMLParser):
    """The elements of a fragment; complains about a tag that is not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data if self.open[-1:] != ["style"] else ""


OPEN = growproof.variant("Open", **TABLES, constraints={"C*C'": "0"})
SHOWN = {
    "proved": (lambda: growproof.check("mlp-expansion"), ["proved", "Statement", "Proof", "new block, zero"]),
    "refuted": (lambda: growproof.check(built()), ["refuted", "Both models", "To blame", "Repairs", "C = 0"]),
    "undecided": (lambda: growproof.check(OPEN), ["undecided", "What remains open", "Tried: "]),
    "a chain": (lambda: growproof.check("mlp-expansion", "heads-expansion"), ["proved", "then"]),
    "a claim": (lambda: growproof.prove("attention-expansion"), ["proved", "Statement", "Proof"]),
    "an open claim": (lambda: growproof.prove(built()), ["What remains open"]),
    "an expansion": (lambda: growproof.expand("hidden-expansion"), ["Blocks", "asked of the new blocks"]),
    "a variant": (lambda: built(), ["Mine", "Blocks", "Variant file"]),
    "a variant that does not fit": (lambda: built(rewrite={"W_l1": "[W_l1, B]"}), ["Mine", "It cannot be used"]),
}


def html_of(name):
    return SHOWN[name][0]()._repr_html_()


@pytest.mark.parametrize("name", SHOWN)
def test_what_the_front_door_gives_shows_itself(name):
    found = Fragment(html_of(name))
    assert all(words in found.text for words in SHOWN[name][1])


@pytest.mark.parametrize("name", SHOWN)
def test_a_fragment_runs_nothing_fetches_nothing_and_keeps_its_style_to_itself(name):
    html = html_of(name)
    tags = [tag for tag, _ in Fragment(html).elements]
    assert not {"script", "link", "img", "iframe", "html", "head", "body", "meta"} & set(tags)
    assert not re.search(r"(?:src|href|url|@import)[=(\s'\"]*(?:https?:|//|data:)", html)
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    depths = list(depth_of_lines(style))
    assert all(line.strip() in (".growproof {", "") for line, depth in depths if depth == 0)
    assert "prefers-color-scheme: dark" in style
    assert ":root" not in style
    assert not re.search(r"(?m)^ *(?:body|html)\b", style)


def depth_of_lines(style):
    """Each line with the number of rules that it begins in."""
    depth = 0
    for line in style.splitlines():
        yield line, depth
        depth += line.count("{") - line.count("}")
    assert depth == 0


def test_a_rule_that_stands_outside_would_be_seen():
    assert ("p { color: red }", 0) in list(depth_of_lines(".growproof {\n}\np { color: red }"))


def test_two_fragments_share_no_anchor():
    ids = [found.get("id") for name in ("proved", "refuted") for _, found in Fragment(html_of(name)).elements]
    ids = [one for one in ids if one is not None]
    assert ids
    assert len(ids) == len(set(ids))


def test_names_of_users_are_escaped():
    html = growproof.variant("<script>alert(1)</script>", description="<b>", rewrite={"W_V": "W_V"})._repr_html_()
    assert "<script>" not in html
    assert "<b>" not in html
    assert "<script>alert(1)</script>" in Fragment(html).text


def test_a_notebook_finds_the_fragment():
    """Where IPython is there, by its own formatter; else by what that looks for."""
    found = growproof.check("mlp-expansion")
    try:
        from IPython.core.formatters import HTMLFormatter
    except ImportError:
        assert callable(found._repr_html_)
        assert "IPython" not in sys.modules
        return
    assert HTMLFormatter()(found) == found._repr_html_()


def test_importing_the_front_door_costs_nothing():
    code = "import sys, growproof; print(any(m in sys.modules for m in ('sympy', 'numpy', 'z3', 'jinja2')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


# --- package.module:object ---

numbered = count()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of its own in the current directory; its name."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> str:
        name = f"guest_{next(numbered)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
        return name

    return write


OBJECTS = """
    import growproof
    print("loud")
    tables = {"name": "Louder", "rewrite": {"W_V": "2*W_V"}}
    text = 'name = "Louder"\\n[rewrite]\\nW_V = "2*W_V"\\n'
    made = growproof.variant(**tables)
    def function():
        return tables
    class Inner:
        made = made
"""


@pytest.mark.parametrize("name", ["tables", "text", "made", "function", "Inner.made"])
def test_an_object_that_is_named_is_checked(run, module, name):
    ran = run("check", f"{module(OBJECTS)}:{name}", "--json")
    assert ran.status == 1
    assert json.loads(ran.out)["variant"]["name"] == "Louder"  # what the module prints is elsewhere


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 3", "the object is no variant; found a int"),
        ("def x(): raise KeyError('why')", "KeyError: 'why'"),
        ("def x(needed): return 1", "TypeError: x() missing 1 required"),
        ("y = 3", "has no attribute 'x'"),
        ("raise RuntimeError('at import')", "RuntimeError: at import"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("x =", "SyntaxError"),
        ("x = 'name = 3'", "the value of `name` is not a string"),
        ("x = {'name': 'f', 'rewrite': {'W_9': '0'}}", "in rewrite.W_9: there is no such parameter"),
        ("x = {'rewrite': {'W_V': '0'}}", "the variant has no name"),
        ("import growproof\nx = growproof.variant('f', grows={'z': '2*z'})", "in grows.z: there is no such size"),
        ("x = type('A', (), {})", "the object is no variant"),
    ],
)
def test_whatever_goes_wrong_there_is_one_line_and_status_2(run, module, text, words):
    ran = run("check", f"{module(text)}:x")
    assert (ran.status, ran.out) == (2, "")
    assert words in ran.err
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err


def test_a_module_that_is_not_there_is_named(run):
    assert "No module named 'no'" in run("check", "no.such:thing").err


def test_nothing_runs_unless_it_is_named_so(run, module, tmp_path):
    """A file of that name is a file, and a name without a colon is a name."""
    name = module("raise RuntimeError('ran')")
    (tmp_path / f"{name}:x").write_text(TEXT, encoding="utf-8")
    assert not names_object(f"{name}:x")
    assert run("check", f"{name}:x").status == 1
    assert "ran" not in run("check", name).err
    assert "ran" not in run("check", f"{name}.py").err


def test_the_path_is_as_it_was_afterwards(run, module):
    before = list(sys.path)
    run("check", f"{module(OBJECTS)}:tables")
    run("check", f"{module('raise ValueError')}:x")
    assert sys.path == before
