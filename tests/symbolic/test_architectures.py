"""Architectures as data: every option counts, and an architecture is what its table says.

For every value of every option there is a variant that is true with it and false without, or the other way round:
whoever ignores the option has a wrong verdict about one of two architectures that differ in nothing else.
"""

import ast
from functools import cache
from pathlib import Path
from typing import Any

import as_published
import numpy as np
import pytest

from growproof.proofs.check import Answer, check
from growproof.proofs.comparison import compared
from growproof.proofs.drawing import RANDOM, drawn_blocks, drawn_model
from growproof.proofs.experiment import PROFILE
from growproof.symbolic import variant
from growproof.symbolic.architecture import PRESETS, levels, paper_model, parameters, transformer
from growproof.symbolic.errors import VariantError
from growproof.symbolic.evaluate import evaluate
from growproof.symbolic.expand import expand
from growproof.symbolic.floats import float_arithmetic
from growproof.symbolic.instances import grown, model_values
from growproof.symbolic.preset import OPTIONS, Preset, loaded
from growproof.symbolic.variant import SIX, Variant, load, loads

Options = dict[str, Any]
PAPER = PRESETS["paper"]


def preset(**options: Any) -> Preset:
    return Preset("made for a test", "", "", tuple(options.items()))


@cache
def answer(text: str, made: Preset) -> Answer:
    return check([loads(text, "variant.toml")], made)


# --- variants ---


def changed(name: str, old: str, new: str) -> str:
    """A catalogue file with one text replaced, wherever it stands."""
    text = load(name).text
    assert old in text
    return text.replace(old, new)


def rewritten(**entries: str) -> str:
    return "\n".join(['name = "Rewritten"', "[rewrite]", *(f'{name} = "{tree}"' for name, tree in entries.items()), ""])


def zeros(name: str, *blocks: str) -> str:
    """A catalogue file with these blocks zero and no other constraint."""
    lines = (f'{block} = "0"' for block in blocks)
    return load(name).text.partition("[constraints]")[0] + "\n".join(["[constraints]", *lines, ""])


HIDDEN, ATTENTION, LAYER = (load(name).text for name in ("hidden-expansion", "attention-expansion", "layer-addition"))
FACTOR = "sqrt(h)/sqrt(h_hat)*"
QUERIES_AS_KEYS = """
name = "What every head's keys gain and lose are its queries"
[new]
A = "h, k"
B = "h, k"
[rewrite]
W_K = "W_K + A - B"
[constraints]
A = "W_Q"
B = "W_Q"
"""

# With an option at the paper's value, and at another; what both architectures have else; and why.
COUNTS: dict[tuple[str, Any], tuple[str, Options, str, str]] = {
    # Zero coordinates move the mean, but not the mean square once the gain has its factor.
    ("norm", "layer"): (HIDDEN, {}, "proved", "refuted"),
    # Where nothing is normed, no gain needs a factor.
    ("norm", "none"): (changed("hidden-expansion", FACTOR, ""), {}, "refuted", "proved"),
    # c (1 + g) is not 1 + c g.
    ("norm_gain", "1 + g"): (HIDDEN, {}, "proved", "refuted"),
    # A new bias is read by the new rows.
    ("norm_bias", True): (changed("hidden-expansion", 'M_c_MHA = "0"\n', ""), {}, "proved", "refuted"),
    # The factor mends the mean square, not the epsilon.
    ("eps", True): (HIDDEN, {}, "proved", "refuted"),
    # Norm(X + 0) is not X.
    ("placement", "post"): (LAYER, {}, "proved", "refuted"),
    # Norm(2 A) = Norm(A), with no epsilon.
    ("placement", "output"): (rewritten(W_l2="2*W_l2"), {"mlp_bias": False}, "refuted", "proved"),
    ("placement", "sandwich"): (rewritten(W_l2="2*W_l2"), {"mlp_bias": False}, "refuted", "proved"),
    # The gain of a norm that is there needs its factor.
    ("final_norm", True): (changed("hidden-expansion", f"{FACTOR}g_out", "g_out"), {}, "proved", "refuted"),
    ("embedding_norm", True): (changed("hidden-expansion", f"{FACTOR}g_in", "g_in"), {}, "proved", "refuted"),
    # sigmoid(0) is not 0, but act(..) times 0 is.
    ("mlp", "gated"): (zeros("mlp-expansion", "M_W_l1", "M_b_l1"), {"act": "sigmoid"}, "refuted", "proved"),
    # relu(2 A) = 2 relu(A).
    **{
        ("act", act): (rewritten(W_l1="2*W_l1", W_l2="1/2*W_l2"), {"mlp_bias": False}, "proved", "refuted")
        for act in OPTIONS["act"][1:]
    },
    # A bias writes to the stream on its own.
    ("mlp_bias", False): (changed("layer-addition", 'M_b_l2 = "0"\n', ""), {}, "refuted", "proved"),
    ("attention_bias", "qkvo"): (changed("layer-addition", 'M_b_O = "0"\n', ""), {}, "proved", "refuted"),
    # The rows of a softmax sum to 1, so a value bias comes through whole.
    ("attention_bias", "qkv"): (zeros("head-addition", "M_W_V"), {}, "proved", "refuted"),
    # There is no 1/sqrt(k) to undo.
    ("scale", "constant"): (ATTENTION, {}, "proved", "refuted"),
    ("scale", "none"): (ATTENTION, {}, "proved", "refuted"),
    # Keys that belong to a group cannot be the queries of each of its heads: nothing meets the constraints.
    ("groups", True): (QUERIES_AS_KEYS, {}, "proved", "undecided"),
    # A norm takes a factor away again.
    ("qk_norm", True): (ATTENTION, {}, "proved", "refuted"),
    # The angles follow k.
    ("positions", "rotary"): (ATTENTION, {}, "proved", "refuted"),
    ("positions", "bias"): (rewritten(B_pos="2*B_pos", W_out="W_out"), {}, "proved", "refuted"),
    ("positions", "none"): (changed("hidden-expansion", 'M_P = "0"\n', ""), {}, "refuted", "proved"),
    # New columns at the end are pairs of their own where pairs stand side by side, and part the old ones in halves.
    ("rope_layout", "half"): (
        ATTENTION,
        {"positions": "rotary", "rope_frequencies": "table"},
        "proved",
        "refuted",
    ),
    ("rope_frequencies", "table"): (ATTENTION, {"positions": "rotary"}, "refuted", "proved"),
    # New columns come after the part that is turned.
    ("rope_part", "part"): (ATTENTION, {"positions": "rotary"}, "refuted", "proved"),
    # There is no second norm whose gain needs a factor.
    ("parallel", True): (changed("hidden-expansion", f"{FACTOR}g_MLP", "g_MLP"), {}, "refuted", "proved"),
    # The new rows of W_out write to the stream.
    ("tied", True): (HIDDEN, {}, "proved", "refuted"),
    # sqrt(h) follows h.
    ("embed_scale", True): (HIDDEN, {}, "proved", "refuted"),
    ("logit_scale", True): (HIDDEN, {}, "proved", "refuted"),
    # (-Y) (-W_l1) = Y W_l1, but a router reads Y too.
    ("experts", True): (rewritten(g_MLP="-g_MLP", W_l1="-W_l1"), {}, "proved", "refuted"),
    # What every expert writes is written once only if their weights sum to 1.
    ("router", "plain"): (
        'name = "Back"\n[new]\nc = "1, h"\n[rewrite]\nb_l2 = "b_l2 + c"\n[forward]\nMLP = "MLP - c"\n',
        {"experts": True},
        "proved",
        "refuted",
    ),
}
WITHOUT_A_VARIANT = {("mask", "causal")}
"""A file cannot tell tokens apart: its constraints hold after any permutation of the tokens if they hold before, and a
mask is about their order.  That it counts is seen in the function."""


def test_every_value_of_every_option_is_tried():
    others = {(option, value) for option, values in OPTIONS.items() for value in values[1:]}
    assert set(COUNTS) | WITHOUT_A_VARIANT == others


@pytest.mark.parametrize(("option", "value"), COUNTS, ids=str)
def test_who_ignores_an_option_has_a_wrong_verdict(option, value):
    text, rest, with_the_paper_s, with_this = COUNTS[option, value]
    without, having = preset(**rest), preset(**rest, **{option: value})
    assert answer(text, without).verdict == with_the_paper_s
    assert answer(text, having).verdict == with_this
    assert all(agrees(text, made) for made in (without, having) if answer(text, made).verdict == "proved")


@pytest.mark.parametrize(("option", "value"), COUNTS, ids=str)
def test_with_an_option_ignored_the_verdict_is_wrong(option, value, monkeypatch):
    """The same architecture under another name, for which nothing is remembered, read by someone who is blind to it."""
    text, rest, with_the_paper_s, with_this = COUNTS[option, value]
    right = Preset.__getitem__
    blind = lambda self, asked: OPTIONS[option][0] if asked == option else right(self, asked)  # noqa: E731
    monkeypatch.setattr(Preset, "__getitem__", blind)
    made = Preset("seen by the blind", "", "", (*rest.items(), (option, value)))
    assert answer(text, made).verdict == with_the_paper_s != with_this


def agrees(text: str, made: Preset) -> bool:
    """Whether a variant leaves the outputs of random models alone, which numpy runs."""
    return all(difference(loads(text, "variant.toml"), made, seed) < 1 for seed in range(2))


def difference(said: Variant, made: Preset, seed: int) -> float:
    """How far a variant moves the outputs of a random model, times the bound for rounding errors."""
    rng = np.random.default_rng(seed)

    def entries(rows: int, columns: int) -> np.ndarray:
        return rng.standard_normal((rows, columns)) / np.sqrt(max(rows, 2))

    step = expand(paper_model(made), said)
    old = drawn_model(made, PROFILE, entries, RANDOM)
    new = drawn_blocks(step, old, PROFILE, entries, rng)
    assert new is not None, "no blocks found that meet the constraints"
    return compared([step], old, grown(step, old, new, float_arithmetic())).ratio


def test_a_causal_mask_is_another_function():
    """Row 1 attends to token 1 only, so that it does not change with token 2."""
    rng = np.random.default_rng(0)
    old = drawn_model(PAPER, PROFILE, lambda rows, columns: rng.standard_normal((rows, columns)))
    other = old | {"I": old["I"] + np.eye(*old["I"].shape, k=-1)}
    outputs = {mask: [evaluated(preset(mask=mask), model)[0] for model in (old, other)] for mask in ("none", "causal")}
    assert np.array_equal(*outputs["causal"])
    assert not np.allclose(*outputs["none"])


def evaluated(made: Preset, model: dict[str, Any]) -> np.ndarray:
    return evaluate(transformer(paper_model(made)), model_values(model, levels(made)), float_arithmetic())


# --- the presets are the tables that were held against the real models ---


def held() -> dict[str, Options]:
    """The options of each family in tests/transformers, read without what that needs to run."""
    path = Path(__file__).parents[1] / "transformers" / "loading.py"
    known: dict[str, Any] = {}
    families: dict[str, Options] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict) and isinstance(node.targets[0], ast.Name):
            known[node.targets[0].id] = tabled(node.value, known)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "FAMILIES":
            assert isinstance(node.value, ast.Dict)
            for name, made in zip(node.value.keys, node.value.values, strict=True):
                assert isinstance(name, ast.Constant)
                assert isinstance(made, ast.Call)
                families[name.value] = tabled(made.args[0], known)
    return families


def tabled(node: ast.expr, known: dict[str, Any]) -> Any:
    """A table that is written out, by its name, or as a union of two."""
    if isinstance(node, ast.BinOp):
        return tabled(node.left, known) | tabled(node.right, known)
    try:
        return known[node.id] if isinstance(node, ast.Name) else ast.literal_eval(node)
    except ValueError:
        return None


def test_every_preset_but_the_paper_s_was_held_against_a_real_model():
    assert set(held()) == set(PRESETS) - {"paper", "paper-eps"}


@pytest.mark.parametrize("name", held())
def test_a_preset_is_the_table_that_was_held_against_the_real_model(name):
    """But for the order of rotary columns, which can be either: a preset has pairs side by side."""
    expected = held()[name]
    expected.pop("rope_layout", None)
    assert dict(PRESETS[name].given) == expected
    assert PRESETS[name].source.startswith("transformers 5.24, ")


def test_the_paper_s_preset_says_nothing_and_all_its_values_come_first():
    assert PAPER.given == ()
    assert PAPER.options == {option: values[0] for option, values in OPTIONS.items()}
    assert [name for name, made in PRESETS.items() if made.is_paper] == ["paper", "paper-eps"]


# --- what is no architecture is refused ---


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"norms": "layer"}, "norms = 'layer'"),
        ({"norm": "batch"}, "norm = 'batch'"),
        ({"act": "GELU"}, "act = 'GELU'"),
        ({"eps": "yes"}, "eps = 'yes'"),
        ({"eps": 1}, "eps = 1"),
        ({"mlp_bias": None}, "mlp_bias = None"),
        ({"norm": ["rms"]}, r"norm = \['rms'\]"),
        ({"parallel": True, "placement": "post"}, "parallel"),
    ],
)
def test_an_unknown_option_or_value_is_refused_by_name(options, named):
    with pytest.raises(ValueError, match=f"found {named}"):
        preset(**options)


def test_an_unknown_option_in_a_file_is_refused_with_its_name(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('description = ""\nsource = ""\n[options]\nnorms = "layer"\n', encoding="utf-8")
    with pytest.raises(ValueError, match="mine: found norms = 'layer'"):
        loaded(path)


# --- what the paper lacks is skipped, and nothing else ---


@pytest.mark.parametrize("name", SIX)
def test_on_the_paper_s_architecture_a_file_says_what_it_says_without_the_rest(name):
    whole, published = (expand(paper_model(PAPER), file.load(name)) for file in (variant, as_published))
    for part in ("old", "new", "blocks", "constraints", "stream_map", "above"):
        assert getattr(whole, part) == getattr(published, part), part


@pytest.mark.parametrize("name", SIX)
@pytest.mark.parametrize("architecture", PRESETS)
def test_what_is_skipped_is_what_the_architecture_has_not(name, architecture):
    made = PRESETS[architecture]
    step = expand(paper_model(made), load(name))
    entries = [*load(name).rewrite]
    for added in (load(name).added_head, load(name).added_layer):
        entries += added.entries if added is not None else ()
    skipped = [entry for entry in entries if entry not in parameters(made)]
    notes = [f"the architecture has none of these, which are skipped: {', '.join(skipped)}"] if skipped else []
    assert list(step.assumptions) == notes
    assert {block.name for block in step.blocks} == {f"M_{entry}" for entry in entries if entry not in skipped}


EXPERTS_ONLY = """
name = "A router in other coordinates"
[new]
M = "n_experts, n_experts"
[rewrite]
W_R = "W_R*M"
[constraints]
M = "eye(n_experts)"
"""


def test_what_is_said_of_blocks_that_an_architecture_has_no_use_for_is_left_out_there():
    """The number of experts is a size where there are experts only."""
    variant = loads(EXPERTS_ONLY.replace("[rewrite]\n", '[rewrite]\nW_out = "W_out"\n'), "experts.toml")
    assert check([variant], PRESETS["llama"]).verdict == "proved"
    assert check([variant], PRESETS["mixtral"]).verdict == "proved"
    assert expand(paper_model(PRESETS["llama"]), variant).constraints == ()
    elsewhere = loads('name = "x"\n[rewrite]\nW_out = "W_out + 0(h, n_experts)*0(n_experts, o)"\n', "n.toml")
    with pytest.raises(VariantError, match="n_experts"):
        expand(paper_model(PRESETS["llama"]), elsewhere)
