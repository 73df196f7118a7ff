"""What a norm makes of the stream: its own map, read off what the norm leaves of each block."""

import pytest

from growproof.proofs.check import claim_of
from growproof.proofs.goals import Proved
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.terms import ZeroMatrix, block_rows
from growproof.symbolic.variant import Variant, load, loads

NORMS = ("norm of attention", "norm of MLP")


def norms(variant: Variant) -> dict[str, Proved]:
    claim = claim_of([variant], paper_model(PRESETS[variant.architecture]))
    return {proved.goal.name: proved for proved in claim.goals if proved.goal.name in NORMS}


def vanishing(proved: Proved) -> list[bool]:
    """Of which blocks of the stream map a goal says that the norm leaves nothing."""
    return [isinstance(block, ZeroMatrix) for block in block_rows(proved.goal.right.args[-1])[0]]


def test_of_the_mean_a_layer_norm_leaves_nothing():
    """The coordinates that hold the mean are 0 after it; the lemma says so and is proved."""
    found = norms(load("lemon-width-layernorm"))
    assert [vanishing(proved) for proved in found.values()] == [[False, True]] * 2
    assert all(proved.theorem is not None for proved in found.values())


def test_with_a_bias_on_these_coordinates_something_is_left():
    text = load("lemon-width-layernorm").text
    assert "c_MHA), 0]" in text
    found = norms(loads(text.replace("c_MHA), 0]", "c_MHA), ones(1, r)]"), "f.toml"))
    assert vanishing(found["norm of MLP"]) == [False, True]
    assert found["norm of attention"].theorem is None


@pytest.mark.parametrize("name", ["hidden-expansion-eps", "staged-training-width"])
def test_where_the_norm_keeps_every_block_the_map_is_that_of_the_stream(name):
    for proved in norms(load(name)).values():
        assert proved.theorem is not None
    claim = claim_of([load(name)], paper_model(PRESETS[load(name).architecture]))
    assert claim.growth is not None
    assert {proved.goal.right.args[-1] for proved in norms(load(name)).values()} <= {claim.growth.stream_map}


def test_a_turned_stream_is_read_off_the_input():
    text = load("slicegpt-rotation").text.partition("[stream]")[0] + '[constraints]\n"Q*Q\'" = "eye(h)"\n'
    claim = claim_of([loads(text, "f.toml")], paper_model(PRESETS["llama"]))
    assert claim.growth is not None
    assert str(claim.growth.stream_map) == "Q"
    assert claim.theorem is not None


def test_what_is_turned_with_the_input_is_turned_alike():
    """I Q + P Q is (I + P) Q, and I Q + P R is not."""
    for other, found in (("P*Q", "Q"), ("P*R", None)):
        text = f'name = "f"\n[new]\nQ = "h, h"\nR = "h, h"\n[rewrite]\nI = "I*Q"\nP = "{other}"\n'
        growth = claim_of([loads(text, "f.toml")], paper_model(PRESETS["paper"])).growth
        assert (None if growth is None else str(growth.stream_map)) == found
