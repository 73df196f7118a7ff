"""The statement says for which sizes, parameters and blocks; it is made from the claim that was proved."""

import as_published
import constructs
import pytest

from growproof.proofs.check import Answer, check
from growproof.proofs.statement import Formula, assumptions, equation, formula, meaning, plain, statement
from growproof.symbolic.architecture import PRESETS
from growproof.symbolic.preset import Preset
from growproof.symbolic.terms import matrix, product, size, zero
from growproof.symbolic.variant import SIX, load, loads

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


@pytest.mark.parametrize("name", SIX)
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
    texts = [load(name).text for name in SIX]
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
            ["a router keeps the top_k largest weights for every token, the first of equal ones, made to sum to 1"],
        ),
    ],
    ids=str,
)
def test_what_an_architecture_takes_for_granted_is_said(options, expected):
    made = Preset("mine", "", "", tuple(options.items()))
    assert notes('name = "A sign"\n[rewrite]\nW_O = "-W_O"\n', preset=made) == [
        "arithmetic is that of the real numbers",
        *expected,
    ]


def test_groups_are_counted_where_there_are_some():
    assert any("any number of layers, groups and heads" in line for line in lines(MLP, preset=PRESETS["mistral"]))
    assert any("any number of layers and heads" in line for line in lines(MLP))


def test_sizes_that_are_made_of_others_are_told():
    """Rotary positions turn pairs of keys, all of them or those of a part of each head."""
    assert ", k_pairs at least 1, k = 2*k_pairs, p_hat > p," in lines(MLP, preset=PRESETS["llama"])[0]
    made = "k_pairs, k_rest at least 1, k = 2*k_pairs + k_rest, k_turned = 2*k_pairs, p_hat > p,"
    assert made in lines(MLP, preset=PRESETS["gptj"])[0]


# --- what is more than a rewrite ---


def construct(name: str) -> tuple[list[str], list[str], list[str]]:
    """The statement, what is taken for granted, and what the variant does, of a construct."""
    text, options = constructs.TRUE[name]
    found = answered(text, preset=Preset("mine", "", "", tuple(options.items())))
    says = [plain(line) for line in statement(found.steps)], [plain(note) for note in assumptions(found)]
    return *says, list(meaning(found.variants[0]))


def test_a_selection_is_told_from_any_matrix():
    claim, _, does = construct("selected units")
    assert "for all selections S (a single 1 in each column, and 0 elsewhere)," in claim
    assert "S is new: p x p_hat, selection" in does
    mixed = construct("units twice, by half")
    assert not any("selection" in line for lines in mixed for line in lines)


def test_where_a_copied_layer_comes_to_stand_is_told():
    claim, _, does = construct("a layer copied, and silent")
    assert "for every position of the new layer after the first layer: 2 to N + 1, where there are N layers," in claim
    assert "a new layer is a copy of what the one before it becomes, with W_O = 0, W_l2 = 0, b_l2 = 0" in does
    assert not any("position" in line for line in lines(load("layer-addition").text))


def test_what_a_new_head_starts_from_is_told():
    assert "every head has a copy of what it becomes, with W_O = 1/2*W_O" in construct("heads twice, by half")[2]
    assert "every head has a copy of what it becomes" in construct("heads twice, values by half")[2]
    joins = "in every group a new head, with the group's keys and values, has W_Q = M_Q, W_O = M_O"
    assert joins in construct("a head joins each group")[2]
    assert any(line.startswith("a new head has W_Q = M_W_Q") for line in meaning(load("head-addition")))


def test_bodies_are_told():
    does = construct("adapters of both sublayers")[2]
    assert "what MLP computes from X becomes MLP + MLP*A" in does
    assert "what MHA computes from X becomes MHA + MHA*B*C" in does


def test_experts_are_told_with_their_number_and_how_many_are_chosen():
    claim, granted, does = construct("experts that are copies")
    assert claim[0] == "For all sizes s, h, p, k, v, o, M at least 1,"
    assert any("keeps the 2 largest weights" in note and "made to sum to 1" in note for note in granted)
    assert {"W_R becomes M_R", "the MLP of a layer becomes M experts", "each token goes to 2 of them"} <= set(does)


def test_groups_that_end_and_frequencies_that_are_kept_are_told():
    assert "every head gets keys and values of its own" in construct("keys and values for every head")[2]
    assert "the frequencies of the old keys are kept" in construct("frequencies kept")[2]


def test_no_two_constructs_do_the_same_in_words():
    texts = [text for table in (constructs.TRUE, constructs.FALSE) for text, _ in table.values()]
    constraints = [text.partition("[constraints]")[2] for text in texts]
    told = [meaning(loads(text, "f.toml"))[1:] for text in texts]
    assert len(set(zip(told, constraints, strict=True))) == len(set(texts))


# --- what is taken for granted, still ---


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
