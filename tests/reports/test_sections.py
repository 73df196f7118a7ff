"""What a page shows of an architecture: its own parameters as blocks, its own layer, and nothing that it lacks."""

import pytest

from growproof.reports.sections import pictures
from growproof.reports.trust import intro
from growproof.reports.view import Math, Picture, Text
from growproof.symbolic.architecture import PRESETS, paper_model, parameters
from growproof.symbolic.expand import expand
from growproof.symbolic.notation import latex, name_latex
from growproof.symbolic.preset import Preset
from growproof.symbolic.terms import Act, HeadSum, matrix, size
from growproof.symbolic.variant import SIX, load, loads


def shown(name: str, architecture: str) -> list[Picture]:
    return list(pictures(expand(paper_model(PRESETS[architecture]), load(name))))


def words(text: Text) -> str:
    """A text with its formulas in LaTeX."""
    return text if isinstance(text, str) else "".join(p.latex if isinstance(p, Math) else p for p in text)


@pytest.mark.parametrize("name", SIX)
@pytest.mark.parametrize("architecture", PRESETS)
def test_every_changed_parameter_of_the_architecture_is_drawn_once_and_no_other(name, architecture):
    variant, own = load(name), parameters(PRESETS[architecture])
    added = variant.added_head or variant.added_layer
    names = [name for name in (variant.rewrite if added is None else added.entries) if name in own]
    drawn = [rf"\widehat{{{name_latex(name)}}}" if added is None else name_latex(name) for name in names]
    assert sorted(picture.parameter for picture in shown(name, architecture)) == sorted(drawn)


@pytest.mark.parametrize("name", SIX)
@pytest.mark.parametrize("architecture", PRESETS)
def test_a_zero_block_is_drawn_where_the_constraints_say_so(name, architecture):
    step = expand(paper_model(PRESETS[architecture]), load(name))
    cells = [cell.latex for one in shown(name, architecture) for row in one.rows for cell in row if cell.kind == "zero"]
    assert sorted(cells) == sorted(f"{latex(left)} = 0" for left, _ in step.constraints)


def test_a_parameter_that_is_left_as_it_was_is_not_drawn():
    step = expand(paper_model(PRESETS["mixtral"]), loads('name = "f"\n[rewrite]\nW_l1 = "W_l1"\n', "f.toml"))
    assert list(pictures(step)) == []


# --- the layer in words ---


def test_the_paper_s_layer_is_said_without_a_name():
    texts = [words(text) for text in intro(PRESETS["paper"])]
    assert any(r"maps X to X + \operatorname{attention}(X) and adds \operatorname{MLP} of that" in one for one in texts)
    assert not any("architecture" in text for text in texts)


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "paper"])
def test_another_architecture_is_named_and_described(name):
    texts = [words(text) for text in intro(PRESETS[name])]
    assert f"The architecture is {name}. {PRESETS[name].description}." in texts


@pytest.mark.parametrize(
    ("options", "layer"),
    [
        ({}, r"maps X to X + \operatorname{attention}(X) and adds \operatorname{MLP} of that."),
        ({"placement": "sandwich"}, r"maps X to X + \operatorname{attention}(X) and adds \operatorname{MLP} of that."),
        ({"parallel": True}, r"maps X to X + \operatorname{attention}(X) + \operatorname{MLP}(X)."),
        (
            {"placement": "post"},
            r"maps X to the norm of X + \operatorname{attention}(X), adds \operatorname{MLP} of that, "
            "and takes the norm again.",
        ),
    ],
)
def test_a_layer_is_said_as_the_architecture_has_it(options, layer):
    made = Preset("mine", "", "", tuple(options.items()))
    assert any(layer in words(text) for text in intro(made))


# --- formulas of architectures ---


def test_a_sum_over_groups_and_one_over_their_heads_have_indices_of_their_own():
    A = matrix("A", size("s"), size("h"), ("layers", "groups", "heads"))
    assert latex(HeadSum(HeadSum(A, "heads"), "groups")).startswith(r"\sum_{g} ")
    assert r"\sum_{e} " in latex(HeadSum(HeadSum(A, "heads"), "groups"))


@pytest.mark.parametrize(("act", "shown"), [("relu", "ReLU"), ("silu", "silu"), ("gelu_tanh", r"gelu}_{\mathrm{tanh}")])
def test_an_activation_is_written_as_a_function(act, shown):
    X = matrix("X", size("s"), size("h"))
    assert latex(Act(X, act)) == rf"\operatorname{{{shown}}}\left(X\right)"
