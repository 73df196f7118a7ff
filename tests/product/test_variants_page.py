"""The examples of VARIANTS.md: each is checked, and the line below it is true."""

import re
from pathlib import Path

import pytest

import growproof
from growproof.symbolic.becoming import CHANGES
from growproof.symbolic.notation import text
from growproof.symbolic.syntax import FUNCTIONS
from growproof.symbolic.variant import _TABLES, HEAD_OPTIONS, KINDS, LAYER_OPTIONS, PARAMETERS, SUBLAYERS

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
