"""Every construct of the format means on numbers what a plain reading of the file says, and is refused by its place.

The reading of second_reading.py shares no code with the package: what a variant makes of a model, and what the grown
model computes, are held against it both as tables of numbers and as the one term that is proved about.
"""

import re
from collections.abc import Mapping
from typing import Any

import constructs
import numpy as np
import pytest
import second_reading
from constructs import EXPERTS, GROUPS, KEYS, ROTARY, WIDER, written

from growproof.proofs.drawing import RANDOM, drawn_blocks, drawn_model
from growproof.proofs.experiment import PROFILE
from growproof.symbolic.architecture import EXPERTS as MIXED
from growproof.symbolic.architecture import LAYERS, PRESETS, Preset, levels, paper_model, parameters, transformer
from growproof.symbolic.errors import VariantError
from growproof.symbolic.evaluate import Values, evaluate
from growproof.symbolic.expand import Expansion, expand
from growproof.symbolic.floats import float_arithmetic
from growproof.symbolic.instances import Nested, grown, level_values, merged
from growproof.symbolic.preset import Preset as Made
from growproof.symbolic.terms import CHOSEN, Selection
from growproof.symbolic.variant import Variant, loads
from growproof.symbolic.writing import fitted

FLOATS = float_arithmetic()
CLOSE = 1e-9  # relative to the largest entry
EVERY = {**constructs.TRUE, **constructs.FALSE}
FAMILIES = ("groups", "heads", "experts")


def made(options: Mapping[str, Any]) -> Preset:
    return Made("made for a test", "", "", tuple(options.items()))


def read(text: str) -> Variant:
    return loads(text, "variant.toml")


# --- one model, grown ---


class Case:
    """A construct on random numbers."""

    def __init__(self, name: str, seed: int = 0) -> None:
        text, options = EVERY[name]
        rng = np.random.default_rng(seed)

        def entries(rows: int, columns: int) -> np.ndarray:
            return rng.standard_normal((rows, columns)) / np.sqrt(max(rows, 2))

        self.variant, self.preset = read(text), made(options)
        self.step = expand(paper_model(self.preset), self.variant)
        self.old = drawn_model(self.preset, PROFILE, entries, RANDOM)
        new = drawn_blocks(self.step, self.old, PROFILE, entries, rng)
        assert new is not None
        self.new = new

    @property
    def by_trees(self) -> np.ndarray:
        """What the grown model computes, by the second reading."""
        return second_reading.outputs([self.variant], self.old, (self.new,), self.preset)[1]


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def apart(found: Any, expected: Any, where: str = "") -> list[str]:
    """Where two tables of matrices differ."""
    if isinstance(expected, np.ndarray):
        same = np.shape(found) == expected.shape and np.allclose(found, expected, rtol=1e-12, atol=1e-12)
        return [] if same else [where]
    if isinstance(expected, list):
        if len(found) != len(expected):
            return [f"{where}: {len(found)} instead of {len(expected)}"]
        return [d for i, pair in enumerate(zip(found, expected, strict=True)) for d in apart(*pair, f"{where}[{i}]")]
    names = [name for name in expected if name != "bodies"]
    missing = [f"{where}.{name}" for name in names if name not in found]
    return missing or [d for name in names for d in apart(found[name], expected[name], f"{where}.{name}")]


every_construct = pytest.mark.parametrize("name", EVERY)


@every_construct
def test_a_model_becomes_what_the_trees_say(name):
    case = Case(name)
    found = grown(case.step, case.old, case.new, FLOATS)
    assert apart(found, second_reading.grown(case.variant, case.old, case.new, case.preset)) == []


@every_construct
def test_the_grown_model_has_the_parameters_of_what_it_becomes_and_no_others(name):
    case = Case(name)
    expected = parameters(second_reading.becomes(case.variant, case.preset))
    assert second_reading.becomes(case.variant, case.preset).options == case.step.new.preset.options
    found = grown(case.step, case.old, case.new, FLOATS)
    assert set(second_reading.matrices(found)) == {n for n, q in expected.items() if q.scope == "model"}
    of_bodies = {block.name for block in case.step.blocks} if case.variant.forward else set()
    for layer in found["layers"]:
        own = {n for n, q in expected.items() if q.scope == "layer"}
        assert set(second_reading.matrices(layer)) == own | of_bodies
        for inner in layer.get("groups", []) + layer.get("experts", []):
            scope = "group" if "heads" in inner else "expert"
            assert set(second_reading.matrices(inner)) == {n for n, q in expected.items() if q.scope == scope}


# --- the term that is proved about ---


def as_values(step: Expansion, old: Nested, new: Nested) -> Values:
    """What the grown model, as one term in old parameters and new blocks, needs to know."""
    pairs = list(zip(old["layers"], new["layers"], strict=True))
    layers = [(0, member_values(*pair)) for pair in pairs]
    for inserted in step.new.inserted:
        added = new["added_layer"]
        before, own = pairs[added["position"] - 1] if inserted.path else ({}, {})
        layers.insert(added["position"], (1, member_values(before, merged(own, added))))
    outer = level_values(old, new)
    becoming = {"top_k": step.variant.becomes["top_k"]} if "top_k" in step.variant.becomes else {}
    return Values({**outer.scalars, **becoming}, outer.matrices, {}, layers)


def member_values(old: Nested, new: Nested) -> Values:
    """A level of the old model and of the new blocks, with the members of the families within it."""
    found: dict[str, list[Values]] = {}
    for family in (family for family in FAMILIES if family in old or family in new):
        count = max(len(old.get(family, ())), len(new.get(family, ())))
        pairs = zip(old.get(family, [{}] * count), new.get(family, [{}] * count), strict=True)
        columns = np.eye(count)[:, :, None] if family == MIXED else [None] * count
        chosen = [{CHOSEN: u} if u is not None else {} for u in columns]
        members = [member_values(*pair).with_(Values(matrices=u)) for pair, u in zip(pairs, chosen, strict=True)]
        found[family] = found[f"{family} of layer1"] = members
    return level_values(old, new).with_(Values(members=found))


@pytest.mark.parametrize("seed", range(2))
@every_construct
def test_what_is_proved_about_computes_what_the_trees_say(name, seed):
    case = Case(name, seed)
    found = evaluate(transformer(case.step.new), as_values(case.step, case.old, case.new), FLOATS)
    assert relative(found, case.by_trees) < CLOSE


def test_the_constructs_are_what_a_file_can_say():
    """Each of them stands in more than one."""
    variants = [read(text) for text, _ in EVERY.values()]
    heads = [v.added_head for v in variants if v.added_head is not None]
    layers = [v.added_layer for v in variants if v.added_layer is not None]
    said = [
        [v for v in variants if any("selection" in block.kinds for block in v.new.values())],
        [one for one in heads if one.copy == "each"],
        [one for one in heads if one.group == "one"],
        [one for one in layers if one.copy == "previous"],
        *([v for v in variants if sublayer in v.forward] for sublayer in ("MHA", "MLP")),
        *([v for v in variants if option in v.becomes] for option in ("experts", "top_k", "kv_groups", "rope")),
    ]
    assert all(len(found) > 1 for found in said)
    assert [v.becomes["router"] for v in variants if "router" in v.becomes] == ["plain"]


# --- the two readings could disagree ---

EDITS = [
    ("selected units", "W_l1*S", "W_l1*S + W_l1*S"),
    ("selected units", "T*W_l2", "2*T*W_l2"),
    ("heads twice, by half", 'copy = "each"\nW_O = "1/2*W_O"', 'copy = "each"\nW_O = "W_O"'),
    ("heads twice, by half", 'copy = "each"\n', 'copy = "each"\nW_V = "-W_V"\n'),
    ("grouped heads twice, by half", 'copy = "each"', 'copy = "each"\nW_K = "-W_K"'),
    ("a head joins each group and writes", 'W_O = "M_O"', 'W_O = "2*M_O"'),
    ("a head joins each group and writes", 'W_Q = "M_Q"', 'W_Q = "-M_Q"'),
    ("a layer copied", 'copy = "previous"', 'copy = "previous"\nb_l2 = "0"'),
    ("a layer copied, its bias kept", 'W_O = "0"', 'W_O = "W_O"'),
    ("an adapter with nothing zero", "MLP + act(MLP*M_A)*M_B", "MLP + act(X*M_A)*M_B"),
    ("an adapter with nothing zero", "MLP + act(MLP*M_A)*M_B", "MLP - act(MLP*M_A)*M_B"),
    ("the attention in place of the MLP", 'MLP = "MHA"', 'MLP = "X"'),
    ("the MLP by its parts", "+ b_l2", "+ b_l2 + b_l2"),
    ("experts that are copies, each with a change", "top_k = 2", "top_k = 1"),
    ("experts that are copies, each with a change", "top_k = 2", 'top_k = 2\nrouter = "plain"'),
    ("experts that are copies, each with a change", 'W_R = "M_R"', 'W_R = "-M_R"'),
    ("values for every head, each its own", 'W_V = "W_V + A"', 'W_V = "W_V - A"'),
    ("frequencies kept, no factor", '[becomes]\nrope = "kept"', ""),
    ("the stream n times, read n times", "kron(ones(1, n), eye(h))", "kron(eye(h), ones(1, n))"),
]


@pytest.mark.parametrize(("name", "old", "new"), EDITS, ids=[f"{name}: {new!r:.30}" for name, _, new in EDITS])
def test_an_edit_that_only_one_reading_sees_is_noticed(name, old, new):
    case = Case(name)
    text = case.variant.text.replace(old, new)
    assert text != case.variant.text
    other = expand(paper_model(case.preset), read(text))
    found = evaluate(transformer(other.new), as_values(other, case.old, case.new), FLOATS)
    assert relative(found, case.by_trees) > 1e-3


def test_a_copy_of_another_layer_is_noticed():
    case = Case("a layer copied", seed=1)
    position = case.new["added_layer"]["position"]
    other = {**case.new, "added_layer": {**case.new["added_layer"], "position": 3 - position}}
    assert position in (1, 2)
    assert relative(grown_output(case, other), case.by_trees) > 1e-3
    assert relative(grown_output(case, case.new), case.by_trees) < CLOSE


def grown_output(case: Case, new: Nested) -> np.ndarray:
    return evaluate(transformer(case.step.new), as_values(case.step, case.old, new), FLOATS)


def test_a_matrix_that_is_no_selection_is_noticed():
    case = Case("selected units")
    table = case.new["layers"][0]
    assert second_reading.violated(case.variant, case.old, case.new) == []
    table["S"] = 2 * table["S"]
    table["T"] = table["T"] / 2
    assert second_reading.violated(case.variant, case.old, case.new) == ["S"]


# --- what blocks are, and whose ---


def blocks(text: str, options: Mapping[str, Any] | None = None) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
    """The scope and owner of each instance of a new block."""
    found: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for block in expand(paper_model(made(options or {})), read(text)).blocks:
        found.setdefault(block.name, []).append((block.scope, block.owner))
    return found


def test_a_selection_is_one_of_whoever_has_what_it_selects():
    text = written(**WIDER)
    assert blocks(text)["S"] == [("layer", ("",))]
    assert blocks(text.replace("; selection", "; selection, per model"))["S"] == [("model", ())]
    (S,) = [b.symbol for b in expand(paper_model(PRESETS["paper"]), read(text)).blocks if b.name == "S"]
    assert isinstance(S, Selection)
    assert S.path == (LAYERS,)


def test_a_block_of_a_copied_head_is_the_old_head_s_and_of_one_that_joins_a_group_the_group_s():
    copy = written(new="D = v, h", added__head="copy = each\nW_O = W_O + D")
    assert blocks(copy)["D"] == [("head", ("", ""))]
    joining, _ = EVERY["a head joins each group"]
    assert blocks(joining, GROUPS)["M_Q"] == [("group", ("", ""))]


def test_a_block_of_the_old_layers_and_of_a_copy_is_the_model_s():
    text, _ = EVERY["one block for the old layers and the copy"]
    assert blocks(text)["A"] == [("model", ())]


def test_a_block_of_a_body_is_its_layer_s():
    text, _ = EVERY["an adapter of zeros"]
    assert blocks(text)["M_A"] == [("layer", ("",))]


def test_a_block_of_an_expert_to_be_is_that_expert_s():
    text, _ = EVERY["experts that are copies, each with a change"]
    assert blocks(text)["D"] == [("expert", ("", "experts"))]


# --- what is refused, and where ---

SILENT = "copy = previous\nW_O = 0\nW_l2 = 0\nb_l2 = 0"
COPIES = {"new": "M_R = h, M", "rewrite": "W_R = M_R"}


def body(text: str, **more: str) -> str:
    return written(**{**more, "forward": f"MLP = {text}"})


REFUSED: list[tuple[str, dict[str, Any], str, str, tuple[str, ...]]] = [
    # the text, the architecture's options, where, and what the message names
    (
        written(**WIDER | {"new": "S = p, p_hat; selection, per model, per layer\nT = p_hat, p"}),
        {},
        "S =",
        ("one scope", "per model, per layer", "`per model`"),
    ),
    (
        written(**WIDER | {"new": "S = p, p_hat; selected\nT = p_hat, p"}),
        {},
        "selected",
        ("no such kind", "`selection`"),
    ),
    (written(**constructs.JOINING), {}, "[added.head]", ("queries are grouped",)),
    (
        written(**constructs.JOINING).replace('W_O = "M_O"', 'W_O = "M_O"\nW_K = "W_K"'),
        GROUPS,
        'W_K"',
        ("keys and values", "W_Q and W_O"),
    ),
    (written(added__head="group = one\nW_O = 0"), GROUPS, "[added.head]", ("has no W_Q", "an entry for W_Q")),
    (
        written(added__head="group = one\ncopy = each\nW_Q = W_Q\nW_O = 0"),
        GROUPS,
        "[added.head]",
        ("copies another or joins a group", "one of them"),
    ),
    (written(added__head="copy = all"), {}, 'all"', ("`copy` has no such value", '"each"')),
    (written(added__layer="copy = each"), {}, 'each"', ("`copy` has no such value", '"previous"')),
    (written(added__layer="group = one"), {}, "group", ("no such parameter or option of a new layer", "`group`")),
    (written(becomes="top_k = 2"), {}, "top_k", ("top_k and experts come together", "`experts`")),
    (written(**COPIES, becomes="experts = M"), {}, "experts", ("experts and top_k come together", "`top_k`")),
    (written(becomes="router = plain"), {}, "router", ("router and experts come together", "`experts`")),
    (written(becomes="router = plain"), EXPERTS, "router", ("router and experts come together", "`experts`")),
    (written(**COPIES, becomes="experts = M\ntop_k = 2"), EXPERTS, "experts", ("has experts already",)),
    (written(**COPIES, becomes="experts = M\ntop_k = 0"), {}, "top_k", ("no such value", "`0`", "how many experts")),
    (written(**COPIES, becomes="experts = M\ntop_k = two"), {}, "top_k", ("no such value", "`two`")),
    (written(**COPIES, becomes="experts = 3\ntop_k = 2"), {}, "experts", ("no such value", "`3`", "a name")),
    (
        written(becomes="experts = M\ntop_k = 2"),
        {},
        "experts",
        ("the architecture that it becomes has W_R", "[rewrite] W_R"),
    ),
    *(
        (
            written(new=f"M_R = h, {name}", rewrite="W_R = M_R", becomes=f"experts = {name}\ntop_k = 2"),
            {},
            "experts",
            ("a name of its own", name),
        )
        for name in ("h", "s", "E", "N", "k_pairs", "p_hat")
    ),
    (
        written(new="M_R = h, top_k", rewrite="W_R = M_R", becomes="experts = top_k\ntop_k = 2"),
        {},
        'top_k"',
        ("`top_k` is not a size", "the name of an option"),
    ),
    (written(becomes="kv_groups = E"), {}, "kv_groups", ("no grouped queries",)),
    (written(becomes="kv_groups = 2"), GROUPS, "kv_groups", ("no such value", "`2`")),
    (written(becomes="expert = M"), {}, "expert", ("this option cannot change", "`expert`", "experts")),
    (written(becomes="norm = layer"), {}, "norm", ("this option cannot change", "kv_groups")),
    (written(becomes="rope = yes"), ROTARY, "rope", ("no such value", "`yes`", '"kept"')),
    (
        written(**KEYS | {"rewrite": KEYS["rewrite"] + "\nrope_base = rope_base"}, becomes="rope = kept"),
        ROTARY,
        "rope =",
        ("frequencies are kept, or follow from a base",),
    ),
    (body("MLP", added__layer=SILENT), {}, "[added.layer]", ("a new layer and [forward]", "one of them")),
    (
        written(added__head="copy = each\nW_O = 0", added__layer=SILENT),
        {},
        "[added.layer]",
        ("a new head and a copied layer", "one of them"),
    ),
    (body("MLP + X*W_Q*W_K'"), {}, "W_Q", ("means nothing here", "W_Q")),
    (body("MLP + I"), {}, 'I"', ("means nothing here", "I")),
    (body("X*W_l1"), {}, "*W_l1", ("the shape does not fit", "s x p", "s x h")),
    (body("b_l2"), {}, "b_l2", ("the shape does not fit", "1 x h", "s x h")),
    (body("MLP + X*W_l1"), {}, "+ X", ("differ in shape", "s x p", "s x h")),
    (body("MLP + M*b_l2", new="M = h, 1"), {}, "+ M", ("differ in shape", "h x h")),
    (body("MLP + 1"), {}, "+ 1", ("a scalar and a matrix",)),
    (body("MLP*W_l1"), EXPERTS, "W_l1", ("means nothing here", "W_l1")),
    (written(forward="MLPs = X"), {}, "MLPs", ("no such sublayer", "`MLP`")),
    (written(new="X = h, h", rewrite="W_out = X*W_out"), {}, "X =", ("a sublayer's input",)),
    (written(new="MHA = h, h", rewrite="W_out = MHA*W_out"), {}, "MHA =", ("a sublayer",)),
    (written(new="X~in = h, h", rewrite="W_out = W_out"), {}, "X~in", ("cannot be the name of a block",)),
    (written(new="A = h, E\nB = E, h", rewrite="W_out = W_out + A*B*W_out"), {}, 'E"', ("means nothing here", "E")),
    (written(grows="p = p + N", rewrite="W_l1 = W_l1"), {}, 'N"', ("no such size", "N")),
    (written(grows="h = h*n - n"), {}, "- n", ("a grown size must exceed the old one",)),
    (written(grows="h = h"), {}, 'h"', ("a grown size must exceed the old one",)),
]


@pytest.mark.parametrize(
    ("text", "options", "at", "said"), REFUSED, ids=[f"{at}: {said[0]}" for *_, at, said in REFUSED]
)
def test_what_cannot_be_meant_is_refused_where_it_stands(text, options, at, said):
    with pytest.raises(VariantError) as caught:
        expand(paper_model(made(options)), read(text))
    error = caught.value
    assert error.file == "variant.toml"
    line = text.splitlines()[error.line - 1]
    assert at in line[error.column - 1 :] or (at.startswith("[") and line.strip() == at)
    for part in said:
        assert part in str(error)


def test_kept_frequencies_are_skipped_and_reported_where_nothing_is_rotary():
    step = expand(paper_model(PRESETS["paper"]), read(written(**KEYS, becomes="rope = kept")))
    assert step.assumptions == ("the architecture has none of these, which are skipped: rope",)
    bare = expand(paper_model(PRESETS["paper"]), read(written(**KEYS)))
    assert (step.new, step.constraints) == (bare.new, bare.constraints)


def test_kept_frequencies_of_a_part_of_each_head_are_what_they_were():
    """The new keys come after the part that is turned, so that no frequency changes."""
    step = expand(paper_model(PRESETS["gptj"]), read(written(**KEYS, becomes="rope = kept")))
    assert step.new.scalars["rope_base"] == step.old.scalars["rope_base"]
    whole = expand(paper_model(PRESETS["llama"]), read(written(**KEYS, becomes="rope = kept")))
    assert whole.new.scalars["rope_base"] != whole.old.scalars["rope_base"]


def test_entries_of_a_copy_that_the_architecture_lacks_are_skipped_and_reported():
    """An MLP without biases has no bias to be kept silent."""
    step = expand(paper_model(PRESETS["llama"]), read(written(added__layer=SILENT)))
    assert step.assumptions == ("the architecture has none of these, which are skipped: b_l2",)


def test_what_experts_have_is_known_where_there_will_be_some():
    step = expand(paper_model(PRESETS["llama"]), read(written(**COPIES, becomes="experts = M\ntop_k = 2")))
    assert step.assumptions == ()
    assert levels(step.new.preset) == levels(step.old.preset)
    assert step.new.preset["experts"]
    assert not re.search("n_experts", str(transformer(step.new)))


def test_a_variant_without_what_an_architecture_lacks_keeps_what_that_becomes():
    text, _ = EVERY["experts that are copies"]
    for name in ("paper", "mixtral"):  # to the second it cannot be applied
        kept = fitted(read(text), PRESETS[name])
        assert kept.rewrite == read(text).rewrite
        assert kept.new.keys() == {"M_R"}
