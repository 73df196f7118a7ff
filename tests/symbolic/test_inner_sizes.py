"""Sizes that only new blocks have, such as the rank of a product of two: any size from 1, if two sides share it."""

import pytest

from growproof.proofs.check import check
from growproof.proofs.statement import plain, statement
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.errors import VariantError
from growproof.symbolic.expand import expand
from growproof.symbolic.variant import loads

PAPER = PRESETS["paper"]


def product(inner: str, other: str, becomes: str = "") -> str:
    """A product of two new blocks beside the queries, of which the second is zero."""
    new = f'[new]\nA = "h, {inner}"\nB = "{other}, k"\n'
    return f'name = "x"\n{new}[rewrite]\nW_Q = "W_Q + A*B"\n[constraints]\nB = "0"\n{becomes}'


def expanded(text: str):
    return expand(paper_model(PAPER), loads(text, "x.toml"))


def test_a_size_that_two_new_blocks_share_is_one_more_size_of_the_claim():
    blocks = {block.name: block.symbol.shape for block in expanded(product("rank", "rank")).blocks}
    assert blocks["A"][1] == blocks["B"][0]
    assert str(blocks["A"][1]) == "rank"
    found = check([loads(product("rank", "rank"), "x.toml")], PAPER)
    assert found.verdict == "proved"
    assert "o, rank at least 1" in plain(statement(found.steps)[0])


def test_an_inner_size_is_drawn_like_any_other():
    found = check([loads(product("rank", "rank").replace('B = "0"', '"A*B" = "A*B"'), "x.toml")], PAPER)
    assert found.verdict == "refuted"
    assert found.counterexample is not None
    assert found.counterexample.instance.new[0]["sizes"]["rank"] >= 1


@pytest.mark.parametrize(
    ("inner", "other"),
    [
        ("rank", "k"),  # stands alone: a slip of the pen
        ("k_hat", "k_hat"),  # a size that does not grow
        ("2*rank", "2*rank"),  # of nothing
    ],
)
def test_a_size_that_is_no_inner_size_is_an_error_with_its_place(inner, other):
    with pytest.raises(VariantError) as caught:
        expanded(product(inner, other))
    assert (caught.value.line, caught.value.found) == (3, inner.removeprefix("2*"))
    grown = inner.endswith("_hat")
    assert ("k does not grow" if grown else "stands alone on two sides in [new]") in caught.value.message


def test_in_a_chain_each_variant_has_inner_sizes_of_its_own():
    text = product("rank", "rank")
    found = check([loads(text, "x.toml"), loads(text.replace('"x"', '"y"'), "y.toml")], PAPER)
    assert found.verdict == "proved"
    assert {str(size) for step in found.steps for block in step.blocks for size in block.symbol.shape} > {"rank"}
