"""The statement says for which sizes, parameters and blocks; it is made from the claim that was proved."""

import as_published
import pytest

from growproof.proofs.check import Answer, check
from growproof.proofs.statement import Formula, assumptions, equation, formula, plain, statement
from growproof.symbolic.architecture import PRESETS
from growproof.symbolic.preset import Preset
from growproof.symbolic.terms import matrix, product, size, zero
from growproof.symbolic.variant import catalogue, load, loads

PAPER, EPS = PRESETS["paper"], PRESETS["paper-eps"]
MLP = load("mlp-expansion").text


def answered(*texts: str, preset=PAPER) -> Answer:
    return check([loads(text, "f.toml") for text in texts], preset)


def lines(*texts: str, preset=PAPER) -> list[str]:
    found = answered(*texts, preset=preset)
    return [plain(line) for line in statement(found.steps)]


def notes(*texts: str, preset=PAPER) -> list[str]:
    return [plain(note) for note in assumptions(answered(*texts, preset=preset))]


# --- what is claimed ---


@pytest.mark.parametrize("name", catalogue())
def test_it_names_every_size_growth_and_constraint_on_what_the_architecture_has(name):
    variant, (sizes, numbers, blocks, claim) = load(name), lines(load(name).text)
    assert sizes.startswith("For all sizes s, h, p, k, v, o at least 1")
    assert all(f"{base}_hat > {base}" in sizes for base in variant.grows)
    assert "any number of layers and heads at least 1, all parameters and all inputs" in numbers
    shown = ", ".join(f"{constraint.left.name} = 0" for constraint in as_published.load(name).constraints)
    assert blocks == f"for all new blocks with {shown},"
    assert claim == f"the model after {variant.name} computes what it computed before."


def test_a_constraint_less_is_a_line_less():
    assert "for all new blocks," in lines(MLP.partition("[constraints]")[0])
    assert "for all new blocks with M_W_l2 = 0, M_b_l1 = 0," in lines(MLP + 'M_b_l1 = "0"\n')


def test_without_new_blocks_none_are_mentioned():
    assert not any("new blocks" in line for line in lines('name = "Nothing"\n'))


def test_a_constraint_is_written_as_it_was_meant():
    text = load("attention-expansion").text.replace('M_W_K = "0"', '''"M_W_Q*M_W_K'" = "0"''')
    assert "for all new blocks with M_W_Q*M_W_K' = 0," in lines(text)
    ones = MLP + 'M_b_l1 = "2*ones(1, p_hat - p)"\n'
    assert "for all new blocks with M_W_l2 = 0, M_b_l1 = 2*ones(1, p_hat - p)," in lines(ones)


def test_new_sizes_are_at_least_1_too():
    text = MLP.replace('"p_hat"', '"p + q"').replace("p_hat - p", "q")
    assert lines(text)[0] == "For all sizes s, h, p, k, v, o, q at least 1,"


def test_a_chain_names_its_links_and_the_sizes_and_blocks_of_each():
    sizes, _, blocks, claim = lines(MLP, load("layer-addition").text, MLP)
    assert "p_hat > p, p_hat~3 > p_hat" in sizes
    assert blocks.count("M_W_l2") == 4  # of the first link, of the new layer, and of both kinds of layers in the third
    assert claim.startswith("the model after MLP expansion then Layer addition then MLP expansion")


def test_what_is_claimed_of_another_variant_reads_otherwise():
    texts = [load(name).text for name in catalogue()]
    assert len({tuple(lines(text)) for text in texts}) == len(texts)


# --- what is taken for granted ---


def test_without_an_epsilon_no_row_is_zero():
    assert any("no row that a norm sees is zero" in note for note in notes(MLP))


def test_with_one_it_may_be_anything():
    found = notes(MLP, preset=EPS)
    assert any("eps is any number at least 0" in note for note in found)
    assert any(note.startswith("where it is 0, no row") for note in found)


NORMED = "no row that a norm sees is zero"
FREE = "is any number at least 0, the same in every norm"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"norm": "none"}, []),
        ({}, [f"{NORMED}, because there is no epsilon (0/0)"]),
        ({"norm": "layer"}, [f"{NORMED}, its mean taken away, because there is no epsilon (0/0)"]),
        ({"norm": "layer", "eps": True}, [f"eps {FREE}", f"where it is 0, {NORMED}, its mean taken away"]),
        (
            {"norm": "none", "qk_norm": True},
            [
                "eps_qk is any number at least 0, the same for all queries and keys",
                "where it is 0, no query and no key is zero",
            ],
        ),
        ({"norm": "none", "scale": "constant"}, ["scale is any number above 0"]),
        ({"norm": "none", "positions": "rotary"}, ["rope_base is any number above 0"]),
        ({"norm": "none", "positions": "rotary", "rope_frequencies": "table"}, []),
        ({"norm": "none", "positions": "none", "rope_frequencies": "recomputed"}, []),
        (
            {"norm": "none", "experts": True},
            ["a router keeps equally many experts for every token, the first of equal ones"],
        ),
    ],
    ids=str,
)
def test_what_an_architecture_takes_for_granted_is_said(options, expected):
    made = Preset("mine", "", "", tuple(options.items()))
    assert notes('name = "Nothing"\n', preset=made) == ["arithmetic is that of the real numbers", *expected]


def test_groups_are_counted_where_there_are_some():
    assert any("any number of layers, groups and heads" in line for line in lines(MLP, preset=PRESETS["mistral"]))
    assert any("any number of layers and heads" in line for line in lines(MLP))


def test_sizes_that_are_made_of_others_are_told():
    """Rotary positions turn pairs: k = 2 j, or in a part of each head k = 2 j + q with r = 2 j."""
    assert ", j at least 1, k = 2*j, p_hat > p," in lines(MLP, preset=PRESETS["llama"])[0]
    assert ", j, q at least 1, k = 2*j + q, r = 2*j, p_hat > p," in lines(MLP, preset=PRESETS["gptj"])[0]


def test_arithmetic_is_that_of_the_real_numbers():
    assert "arithmetic is that of the real numbers" in notes(MLP)


def test_what_was_skipped_is_said():
    text = MLP.replace("[rewrite]", '[rewrite]\nrope_base = "2*rope_base"')
    assert "the architecture has none of these, which are skipped: rope_base, W_gate, b_gate" in notes(text)
    assert not any("skipped" in note for note in notes(as_published.load("mlp-expansion").text))


def test_a_size_that_must_be_even_is_not_called_any_size():
    text = MLP.replace('"p_hat"', '"p + p/2"').replace("p_hat - p", "p/2")
    assert answered(text).verdict == "proved"
    assert any("p/2" in line for line in [*lines(text), *notes(text)])


# --- formulas ---


def test_a_formula_is_text_and_latex_of_one_term():
    A = matrix("M_W", size("h"), size("k"))
    assert formula(product(2, A)) == Formula("2*M_W", "2 M_{W}")
    assert equation(A, zero(size("h"), size("k"))) == Formula("M_W = 0", "M_{W} = 0")
    assert equation(size("p_hat"), size("p"), ">").text == "p_hat > p"
