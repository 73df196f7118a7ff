"""A name means one thing: no size, block or input is taken for another of that name, in a chain either."""

import pytest

from growproof.proofs.check import check
from growproof.proofs.experiment import experiment
from growproof.proofs.remarks import remarks
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.errors import VariantError
from growproof.symbolic.expand import expand
from growproof.symbolic.variant import catalogue, load, loads


def answer(architecture, *texts):
    return check([loads(text, "f.toml") for text in texts], PRESETS[architecture])


# --- new blocks ---

SILENT_COPIES = """name = "Copies that undo each other"
[added.head]
copy = "each"
W_V = "0"
W_O = "-W_O"
"""
COPIED_LAYER = """name = "A copied layer in which each head has its own M"
[new]
M = "h, v{}"
[added.layer]
copy = "previous"
W_Q = "0"
W_V = "M"
W_l2 = "0"
b_l2 = "0"
"""


@pytest.mark.parametrize(("architecture", "kind"), [("paper", "; per head"), ("mistral", "")])
def test_every_family_of_heads_of_a_copied_layer_has_its_own_new_block(architecture, kind):
    """With one M for both families the copies would undo each other, and the chain would be proved."""
    found = answer(architecture, SILENT_COPIES, COPIED_LAYER.format(kind))
    assert found.verdict == "refuted"
    assert found.direct is not None
    assert found.direct.theorem is None


@pytest.mark.parametrize("name", catalogue())
def test_no_two_new_blocks_share_a_symbol(name):
    """Nor after copies of the heads, which give each layer two families of them."""
    variant = load(name)
    model = paper_model(PRESETS[variant.architecture])
    model = expand(model, loads(SILENT_COPIES, "f.toml")).new
    blocks = expand(model, variant, 2).blocks
    assert len({block.symbol for block in blocks}) == len(blocks)


JOINING = load("gqa-head-addition").text
WIDER_VALUES = """name = "Longer values"
[grows]
v = "v_hat"
[new]
M_V = "h, v_hat - v"
M_O = "v_hat - v, h"
[rewrite]
W_V = "[W_V, M_V]"
W_O = "[W_O; M_O]"
[constraints]
M_O = "0"
"""


def test_a_head_that_joined_a_group_shares_its_keys_and_values_ever_after():
    step = answer("mistral", JOINING, WIDER_VALUES).steps[-1]
    old, joined = step.new.layer.heads
    assert old.weights["W_V"] == joined.weights["W_V"]
    assert old.weights["W_O"] != joined.weights["W_O"]


def test_a_group_is_joined_once_by_each_step():
    found = answer("mistral", JOINING, JOINING)
    assert found.verdict == "proved"
    families = found.steps[-1].new.layer.heads
    assert [family.joins for family in families] == [None, "", ""]
    assert {family.path for family in families[1:]} == {("layers", "groups")}


# --- sizes ---

EXPERTS = """name = "As many units as experts"
[grows]
p = "{0}*p"
[new]
M_R = "h, M"
[rewrite]
W_l1 = "kron(ones(1, p_hat/p), W_l1)"
b_l1 = "kron(ones(1, p_hat/p), b_l1)"
W_l2 = "kron(ones(p_hat/p, 1), p/p_hat*M/{0}*W_l2)"
W_R = "M_R"
[becomes]
experts = "M"
top_k = 2
"""


def test_a_size_of_a_file_is_not_the_number_of_experts():
    assert answer("paper", EXPERTS.format("q")).verdict == "refuted"
    with pytest.raises(VariantError, match="no such size is known here; found n_experts"):
        answer("paper", EXPERTS.format("n_experts"))


@pytest.mark.parametrize("name", ["n_experts", "k_pairs", "k_turned", "k_rest", "top_k"])
def test_no_file_gives_a_meaning_to_what_an_architecture_counts(name):
    for text in (f'[new]\n{name} = "h, p"', f'[grows]\np = "p + {name}"', f'[grows]\np = "{name}"'):
        with pytest.raises(VariantError, match=name):
            answer("paper", f'name = "f"\n{text}\n[rewrite]\nW_l1 = "W_l1"\n')


TWICE = """name = "Twice as many pairs of keys"
[grows]
k = "2*k"
[new]
M_Q = "h, k"
M_K = "h, k"
[rewrite]
W_Q = "[sqrt(2)*W_Q, M_Q]"
W_K = "[W_K, M_K]"
rope_base = "rope_base^2"
[constraints]
M_K = "0"
"""


@pytest.mark.parametrize(("factor", "verdict"), [("2*k_pairs/k", "proved"), ("4*k_pairs/k", "refuted")])
def test_the_pairs_of_keys_grow_with_the_keys(factor, verdict):
    """After a first step too, k is twice k_pairs: the second factor would be one of a model that keeps its pairs."""
    scaled = f'name = "Scaled"\n[rewrite]\nW_l2 = "{factor}*W_l2"\n'
    assert answer("llama", scaled).verdict == verdict
    assert answer("llama", TWICE, scaled).verdict == verdict


# --- the input ---


@pytest.mark.parametrize(
    "entry",
    [
        '[rewrite]\nP = "P + tokens*M"',
        '[rewrite]\nP = "P"\n[constraints]\n"tokens*M" = "0"',
        '[rewrite]\nP = "P"\n[stream]\nmap = "M\'*tokens\'*tokens*M"',
    ],
)
def test_where_the_output_is_tied_nothing_is_made_of_the_tokens(entry):
    """A model is there before its input: with positions that know the tokens, anything could be undone."""
    with pytest.raises(VariantError, match="only the rewrite of the input may use the input; found tokens"):
        answer("gpt2", f'name = "f"\n[new]\nM = "o, h"\n{entry}\n')


# --- what an architecture lacks ---


def test_a_constraint_says_what_it_takes_for_zero():
    text = 'name = "f"\n[new]\nA = "1, h"\nB = "1, h"\n[rewrite]\nc_MLP = "c_MLP + A"\nb_l2 = "b_l2 + B"\n'
    (step,) = answer("paper", text + '[constraints]\n"A + B" = "0"\n').steps
    assert "nothing here uses A: 0 in the constraint A + B = 0" in step.assumptions


# --- what does nothing ---


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("", {"the variant changes nothing: every matrix is what it was"}),
        ('[rewrite]\nW_Q = "W_Q"\n', {"the variant changes nothing: every matrix is what it was"}),
        ('[new]\nM = "h, p"\n[rewrite]\nW_Q = "-W_Q"\nW_K = "-W_K"\n', {"no rewrite uses M"}),
        ('[rewrite]\nW_Q = "-W_Q"\nW_K = "-W_K"\n', set()),
        ('[added.head]\nW_Q = "0"\nW_K = "0"\nW_V = "0"\nW_O = "0"\n', set()),
    ],
)
def test_what_a_file_does_not_change_is_said(text, notes):
    found = answer("paper", f'name = "f"\n{text}')
    assert found.verdict == "proved"
    assert set(found.steps[0].assumptions) == notes


# --- found by attack ---


@pytest.mark.parametrize(
    "text",
    [
        '[rewrite]\nW_l2 = "hadamard(ones(p, p)*ones(p, p), eye(p))*W_l2"\n',
        '[new]\nM = "p, p"\n[rewrite]\nW_l2 = "M*W_l2"\n[constraints]\nM = "hadamard(ones(p, p)*ones(p, p), eye(p))"\n',
        "[forward]\nMLP = \"hadamard(ones(s, s)*ones(s, s), X*X')*X - X*X'*X + MLP\"\n",
    ],
)
def test_a_product_of_square_ones_is_not_one_of_ones(text):
    assert answer("paper", f'name = "f"\n{text}').verdict == "refuted"


MIXED = """name = "f"
[new]
M = "h, p{kind}"
L = "h, p{kind}"
[rewrite]
W_l1 = "W_l1 + M"
[added.layer]
copy = "previous"
W_l1 = "W_l1 + L"
W_O = "0"
W_l2 = "0"
b_l2 = "0"
[constraints]
M = "L"
L = "0"
"""


def test_no_constraint_is_between_every_old_layer_and_the_new_one():
    """It could be meant for the layer that is copied, or for all; with one block for the whole model it says which."""
    with pytest.raises(VariantError, match="M belongs to every old layer, and L to the new one"):
        answer("paper", MIXED.format(kind=""))
    assert answer("paper", MIXED.format(kind="; per model")).verdict == "proved"


def test_unknowns_of_two_files_with_one_name_are_two():
    texts = [f'name = "by {n}"\n[rewrite]\nW_V = "{n}*W_V"\nW_O = "?a*W_O"\n' for n in (2, 3)]
    found = answer("paper", *texts)
    assert found.verdict == "proved"
    assert {name: str(value) for name, value in found.solved.items()} == {"a in by 2": "1/2", "a in by 3": "1/3"}


@pytest.mark.parametrize(
    "text",
    [
        '[new]\nc = "1, p"\n[rewrite]\nW_l2 = "diag(c)*W_l2"\n[constraints]\nc = "2^?a*ones(1, p)"\n',
        '[new]\nM = "1, h"\n[rewrite]\nb_l2 = "b_l2 + M"\n[constraints]\nM = "?a^5*ones(1, h)"\n',
        '[rewrite]\nW_Q = "32*W_Q"\nscale = "?a^5*scale"\n',
    ],
)
def test_what_some_number_makes_true_is_not_refuted(text):
    """Numbers drawn for ?a = 1 say nothing of another one, if a constraint or a score factor has it."""
    assert answer("paper", f'name = "f"\n{text}').verdict == "undecided"


def test_sizes_that_are_whole_nowhere_prove_nothing_in_a_body_either():
    body = "MLP*kron(eye(h/2), J) + X*0(h, (h+1)/2)*0((h+1)/2, h)"
    text = f'name = "f"\n[new]\nJ = "2, 2"\n[forward]\nMLP = "{body}"\n[constraints]\nJ = "eye(2)"\n'
    assert answer("paper", text).verdict == "undecided"
    assert answer("paper", text.replace(body, "MLP*kron(eye(h/2), J)")).verdict == "proved"


def test_an_input_that_is_something_else_has_no_stream_map():
    assert answer("llama", 'name = "f"\n[new]\nA = "s, r"\nB = "r, h"\n[rewrite]\nI = "A*B"\n').verdict == "refuted"


def test_a_proof_that_numbers_contradict_claims_nothing(monkeypatch):
    """No such proof is known: here the numbers are those of another variant."""
    found = answer("paper", load("mlp-expansion").text)
    assert remarks(found).outcomes[0].met
    wrong = expand(paper_model(PRESETS["paper"]), loads('name = "f"\n[rewrite]\nW_O = "2*W_O"\n', "f.toml"))
    monkeypatch.setattr("growproof.proofs.remarks.experiment", lambda steps, seed: experiment([wrong], seed))
    with pytest.raises(VariantError, match="numpy contradicts it, so nothing is claimed"):
        remarks(found)
