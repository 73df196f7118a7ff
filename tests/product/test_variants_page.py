"""The examples of VARIANTS.md: each is checked, and the line below it is true."""

import re
from pathlib import Path

import pytest

import growproof
from growproof.symbolic.becoming import CHANGES
from growproof.symbolic.notation import text
from growproof.symbolic.syntax import FUNCTIONS
from growproof.symbolic.variant import _TABLES, HEAD_OPTIONS, KINDS, LAYER_OPTIONS, PARAMETERS, SUBLAYERS, zoo

PAGE = (Path(__file__).parents[2] / "VARIANTS.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```\n\n([^\n]+)\n", PAGE, re.DOTALL)


def names(example):
    return re.search(r'name = "(.*)"', example[0])[1]


@pytest.mark.parametrize("example", EXAMPLES, ids=names)
def test_the_line_below_an_example_is_what_check_finds(example):
    file, line = example
    answer = growproof.check(growproof.loads(file))
    solved = "".join(f", with {name} = {text(value)}" for name, value in answer.solved.items())
    assert f"{answer.verdict}{solved}" == line


def test_every_example_has_such_a_line():
    assert len(EXAMPLES) == PAGE.count("```toml") > 10


@pytest.mark.parametrize(
    "word", [*FUNCTIONS, *KINDS, *CHANGES, *PARAMETERS, *SUBLAYERS, *HEAD_OPTIONS, *LAYER_OPTIONS, *_TABLES]
)
def test_every_word_of_the_format_is_on_the_page(word):
    assert re.search(rf"(?<!\w){re.escape(word)}(?!\w)", PAGE), word


# ---------------------------------------------------------------- the zoo

ZOO = PAGE[PAGE.index("## The zoo") :]


def unknown(text):
    """The names of variants in the tables that no file of the catalogue has."""
    rows = [row for row in text.splitlines() if row.startswith("|")]
    names = {name for row in rows for name in re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)+)`", row)}
    return names - set(zoo())


def test_every_variant_that_the_zoo_names_is_in_the_catalogue():
    assert unknown(ZOO) == set()
    assert unknown(ZOO.replace("`llama-pro`", "`lama-pro`")) == {"lama-pro"}


def test_the_zoo_is_as_large_as_it_says():
    assert f"also holds {len(zoo())} ways" in ZOO
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"the zoo, {len(zoo())} ways" in readme


def test_the_zoo_s_example_begins_as_shown(run):
    command, *shown = re.search(r"```console\n\$ growproof (.*?)```", ZOO, re.DOTALL)[1].splitlines()
    assert run(*command.split()).out.splitlines()[: len(shown)] == shown
