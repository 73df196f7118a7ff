"""Every expansion held against the real thing: random models of every family, grown, against what growproof says.

A cell is an expansion on a family. The model is loaded, rewritten as the catalogue says with new blocks that meet the
constraints and are random otherwise, and stored into a larger model of the same class; then both models run.
"""

import re
from collections.abc import Iterable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch, of the optional extra")
pytest.importorskip("transformers", reason="needs transformers, of the optional extra")

from loading import (
    FAMILIES,
    Sizes,
    Tables,
    build,
    evened,
    grown,
    in_float64,
    laid_out,
    load,
    padded,
    randomise,
    run,
    store,
)
from sympy import Expr, Integer, Rational, sqrt

from growproof import symbolic
from growproof.numeric.architecture import Architecture, output
from growproof.proofs.check import claim_of
from growproof.proofs.comparison import tables as numeric_tables
from growproof.proofs.drawing import Profile, drawn_blocks, satisfied, unconstrained_blocks
from growproof.proofs.features import breaking
from growproof.proofs.matrix import SIX
from growproof.proofs.repair import repair
from growproof.symbolic.architecture import SCALARS, paper_model, parameters
from growproof.symbolic.expand import Expansion, expand
from growproof.symbolic.floats import float_arithmetic
from growproof.symbolic.instances import Nested
from growproof.symbolic.instances import grown as rewritten
from growproof.symbolic.preset import PRESETS, Preset
from growproof.symbolic.variant import Variant, loads
from growproof.symbolic.variant import load as load_variant

pytestmark = pytest.mark.extras

Cell = tuple[str, str]  # an expansion and a family

# ---------------------------------------------------------------- the cells

FREQUENCIES = "the rotary frequencies are computed from the grown k"
EPSILON = "the mean square is divided by the grown h, and epsilon is not"
MEAN = "the mean of a row moves when zeros are appended"

REFUTED: dict[Cell, str] = {
    ("attention-expansion", "llama"): FREQUENCIES,
    ("attention-expansion", "mistral"): FREQUENCIES,
    ("attention-expansion", "mixtral"): FREQUENCIES,
    ("attention-expansion", "gemma"): FREQUENCIES,
    ("attention-expansion", "qwen3"): f"{FREQUENCIES}, and the factor on the keys is normalised away",
    ("attention-expansion", "t5"): "there is no factor 1/sqrt(k) for the factor on the keys to undo",
    ("hidden-expansion", "llama"): EPSILON,
    ("hidden-expansion", "mistral"): EPSILON,
    ("hidden-expansion", "mixtral"): EPSILON,
    ("hidden-expansion", "qwen3"): EPSILON,
    ("hidden-expansion", "t5"): EPSILON,
    ("hidden-expansion", "gemma"): f"{EPSILON}; gains are 1 + g; sqrt(h) grows; the input reads the new rows of W_out",
    ("hidden-expansion", "gpt2"): f"{MEAN}; the input reads the new rows of W_out",
    ("hidden-expansion", "opt"): f"{MEAN}; the input reads the new rows of W_out",
    ("hidden-expansion", "bert"): MEAN,
    ("hidden-expansion", "vit"): MEAN,
    ("hidden-expansion", "gptj"): MEAN,
    ("layer-addition", "bert"): "the norms of the new layer stand in the stream: Norm(x + 0) is not x",
}

WITHOUT_REPAIR: dict[Cell, str] = {
    ("layer-addition", "bert"): "whatever its gains and biases are, a norm of the stream is not the stream",
}

CELLS = [(expansion, name) for expansion in SIX for name in FAMILIES]
PROVED = [cell for cell in CELLS if cell not in REFUTED]


def cells(expansions: Iterable[str], names: Iterable[str]) -> set[Cell]:
    return set(product(expansions, names))


ADAPTED: dict[str, set[Cell]] = {
    "one size for queries, keys and values: zeros are appended to the smaller ones": cells(
        ("attention-expansion", "heads-expansion"), FAMILIES
    ),
    "as many heads in every group: a new head's group is filled with heads that write nothing": cells(
        ("head-addition",), ("mistral", "qwen3", "mixtral")
    ),
    "one gain for the queries (keys) of all heads in a layer: new ones are equal": cells(
        ("head-addition", "attention-expansion", "layer-addition"), ("qwen3",)
    ),
    "one table of position biases for all layers: a new head mixes two old ones', a new layer has the others'": cells(
        ("head-addition", "layer-addition"), ("t5",)
    ),
}
"""What a class insists on, how a cell's new model is made to fit it, and where: another way to store the same function,
or new blocks that are random in fewer ways."""


@cache
def applied(expansion: str, name: str) -> Expansion:
    return expand(paper_model(PRESETS[name]), load_variant(expansion))


def is_proved(variant: Variant, name: str) -> bool:
    return claim_of([variant], paper_model(PRESETS[name])).theorem is not None


# ---------------------------------------------------------------- the repairs

CATALOGUE = Path(symbolic.__file__).parent / "catalogue"
SCALED_KEYS, PLAIN_KEYS = 'W_K = "[sqrt(k_hat)/sqrt(k)*W_K, M_W_K]"', 'W_K = "[W_K, M_W_K]"'
SCALED_GAIN = r'"\[sqrt\(h\)/sqrt\(h_hat\)\*(g_\w+), (M_g_\w+)\]"'
GAIN_PLUS_ONE = r'"[sqrt(h)/sqrt(h_hat)*(ones(1, h) + \1), \2] - ones(1, h_hat)"'
SMALLER_EPS = 'eps = "eps*h/h_hat"'
OLD_FREQUENCIES = 'rope_base = "rope_base^(k_hat/k)"'


def repaired_text(expansion: str, edits: dict[str, str], *, rewrite: str = "", constraints: str = "") -> str:
    """The catalogue's text with some of it replaced, and entries added at the head of two tables."""
    edits = {re.escape(old): new for old, new in edits.items()}
    edits |= {r"\[rewrite\].*\n": f"[rewrite]\n{rewrite}\n", r"\[constraints\].*\n": f"[constraints]\n{constraints}\n"}
    return edited((CATALOGUE / f"{expansion}.toml").read_text(encoding="utf-8"), edits)


def edited(text: str, edits: dict[str, str]) -> str:
    for old, new in edits.items():
        text, count = re.subn(old, new, text)
        assert count, f"the catalogue has no {old}"
    return text


def kept_frequencies() -> str:
    """base^(-2j/k) is kept for every old pair j; the new pairs follow."""
    return repaired_text("attention-expansion", {}, rewrite=OLD_FREQUENCIES)


def without_factor() -> str:
    return repaired_text("attention-expansion", {SCALED_KEYS: PLAIN_KEYS})


def normed_keys() -> str:
    """q and k grow by zeros, so their mean squares shrink by k/k_hat: epsilon goes along, a gain undoes it.

    Normed, q and k are both sqrt(k_hat/k) larger and the scores k_hat/k; 1/sqrt(k_hat) leaves sqrt(k_hat/k).
    """
    edits = {SCALED_KEYS: PLAIN_KEYS, 'g_K = "[g_K, M_g_K]"': 'g_K = "[sqrt(k)/sqrt(k_hat)*g_K, M_g_K]"'}
    rewrite = f'{OLD_FREQUENCIES}\neps_qk = "eps_qk*k/k_hat"'
    return repaired_text("attention-expansion", edits, rewrite=rewrite, constraints='M_W_Q = "0"')


def smaller_eps() -> str:
    return repaired_text("hidden-expansion", {}, rewrite=SMALLER_EPS)


def gains_plus_one() -> str:
    """The embedding keeps its factor sqrt(h)."""
    rewrite = f'{SMALLER_EPS}\nembed_scale = "embed_scale"'
    text = repaired_text("hidden-expansion", {}, rewrite=rewrite, constraints='M_W_out = "0"')
    return edited(text, {SCALED_GAIN: GAIN_PLUS_ONE})


def smaller_embedding() -> str:
    """The embedding makes up for sqrt(h_hat), so logits are as much smaller, and the final gains keep their size."""
    edits = {
        '"[W_out; M_W_out]"': '"[sqrt(h)/sqrt(h_hat)*W_out; M_W_out]"',
        '"[sqrt(h)/sqrt(h_hat)*g_out, M_g_out]"': '"[ones(1, h) + g_out, M_g_out] - ones(1, h_hat)"',
    }
    text = repaired_text("hidden-expansion", edits, rewrite=SMALLER_EPS, constraints='M_W_out = "0"')
    return edited(text, {SCALED_GAIN: GAIN_PLUS_ONE})


def duplicated(preset: Preset) -> str:
    """The stream twice side by side: mean and variance of a row stay, readers share the old matrix as they like.

    With a tied output W_out is in two copies too, so the final gains and biases are halved.
    """
    new, rewrite = [], []
    for name, parameter in parameters(preset).items():
        tied = preset["tied"] and name in ("W_out", "g_out", "c_out")
        if parameter.columns == "h":
            rewrite.append(f'{name} = "[{name}/2, {name}/2]"' if tied else f'{name} = "[{name}, {name}]"')
        elif parameter.rows == "h":
            rewrite.append(f'{name} = "[{name}; {name}]"' if tied else f'{name} = "[{name} - M_{name}; M_{name}]"')
            new += [] if tied else [f'M_{name} = "h, {parameter.columns}"']
    head = ['name = "Hidden dimension, twice"', "[grows]", 'h = "2*h"', "[new]"]
    return "\n".join([*head, *new, "[rewrite]", *rewrite, ""])


REPAIRS: dict[Cell, list[str]] = {
    **{("attention-expansion", name): [kept_frequencies()] for name in ("llama", "mistral", "mixtral", "gemma")},
    ("attention-expansion", "qwen3"): [normed_keys()],
    ("attention-expansion", "t5"): [without_factor()],
    **{("hidden-expansion", name): [smaller_eps()] for name in ("llama", "mistral", "mixtral", "qwen3", "t5")},
    ("hidden-expansion", "gemma"): [gains_plus_one(), smaller_embedding()],
    **{("hidden-expansion", name): [duplicated(PRESETS[name])] for name in ("gpt2", "opt", "bert", "vit", "gptj")},
}
REPAIRED = [pytest.param(cell, text, id="-".join(cell)) for cell, texts in REPAIRS.items() for text in texts]


# ---------------------------------------------------------------- a model and its new blocks

FLOATS = float_arithmetic()
SIZES = Sizes()
SEED = 2  # at which no new unit of a ReLU is off for all tokens


def sizable(tables: Tables) -> Tables:
    """With epsilons that are seen in the output as much as everything else."""
    return tables | {name: 0.25 for name in ("eps", "eps_qk") if name in tables}


@cache
def original(name: str) -> tuple[Nested, np.ndarray]:
    """A random model of a family as the symbolic side reads it, and its output."""
    model = build(FAMILIES[name], SIZES)
    randomise(model)
    tables = sizable(load(FAMILIES[name], model)[1])
    if not FAMILIES[name].readout:
        tables["W_out"] = np.random.default_rng(0).standard_normal((SIZES.h, SIZES.o)) / SIZES.h**0.5
    _, columns = laid_out(FAMILIES[name].options, tables, PRESETS[name]["rope_layout"])
    return nested(columns, PRESETS[name]), exact(name, model, tables)


def nested(tables: Tables, preset: Preset) -> Nested:
    """The tables with scalars and fixed sizes where the symbolic side has them, and what a class computes given."""
    scalars = (*SCALARS, "top_k")
    numbers: dict[str, Expr] = {name: Rational(repr(tables[name])) for name in scalars if name in tables}
    if preset["embed_scale"]:
        numbers["embed_scale"] = sqrt(Integer(len(tables["W_out"])))
    fixed = {}
    if preset["positions"] == "rotary":
        first = tables["layers"][0]["groups" if preset["groups"] else "heads"][0]
        k = first["W_K"].shape[1]
        turned = tables.get("rope_dim", k)
        part = {"k_turned": turned, "k_rest": k - turned} if "rope_dim" in tables else {}
        fixed["sizes"] = {"k_pairs": turned // 2, **part}
    rest = {name: entry for name, entry in tables.items() if name not in (*scalars, "rope_dim")}
    return {**rest, "scalars": numbers, **fixed}


def blocks(step: Expansion, name: str, *, constrained: bool = True, shared: bool = True) -> Nested:
    """Random new blocks, constraints met or not, equal or not where the class has one place for several."""
    model, rng = original(name)[0], np.random.default_rng(SEED)
    profile = Profile({}, SIZES.groups if PRESETS[name]["groups"] else SIZES.heads, SIZES.layers, ratio=2)
    draw = drawn_blocks if constrained else unconstrained_blocks

    def entries(rows: int, columns: int) -> np.ndarray:
        return rng.standard_normal((rows, columns)) / rows**0.5

    found = draw(step, model, profile, entries, rng)
    assert found is not None, "no new blocks were found that meet the constraints"
    if shared:
        share(model, found)
    assert satisfied(step, model, found) == constrained
    return found


def share(model: Nested, new: Nested) -> None:
    """Make equal what a class keeps once: gains of queries (keys) in a layer, position biases in all layers."""
    old_layers, added = model["layers"], new.get("added_layer", {})
    biases = [head["B_pos"] for head in members(old_layers[0], "B_pos")]
    for own in [*new["layers"], added]:
        for name in ("M_g_Q", "M_g_K"):
            places = members(own, name)
            for table in places:
                table[name] = places[0][name]
    for old, own in zip(old_layers, new["layers"], strict=True):  # an added head's blocks are the layer's
        for name in own.keys() & {"M_g_Q", "M_g_K"}:
            own[name] = members(old, name.removeprefix("M_"))[0][name.removeprefix("M_")]
        if "M_B_pos" in own:
            own["M_B_pos"] = 2 * biases[0] - biases[1]
    for head, bias in zip(members(added, "M_B_pos"), biases, strict=False):
        head["M_B_pos"] = bias


def members(table: Nested, name: str) -> list[Nested]:
    """Those of a table, its groups and its heads that have an entry of that name."""
    inner = [one for family in ("groups", "heads") for one in table.get(family, [])]
    return [table for _ in range(name in table)] + [found for one in inner for found in members(one, name)]


# ---------------------------------------------------------------- both models run


def exact(name: str, model: Any, tables: Tables) -> np.ndarray:
    """The model's output in float64 throughout, with the frequencies of the tables."""
    with in_float64():
        store(FAMILIES[name], model, tables)
        return run(FAMILIES[name], model, tables)


def expanded(step: Expansion, new: Nested, name: str) -> Tables:
    return numeric_tables(rewritten(step, original(name)[0], new, FLOATS))


def after(step: Expansion, new: Nested, name: str) -> np.ndarray:
    """The output of the real model that the expansion makes; that of the numpy forward is the same."""
    options, tables = padded(PRESETS[name].options, evened(expanded(step, new, name)))
    options, tables = laid_out(options, tables, FAMILIES[name].architecture.rope_layout)
    found = exact(name, grown(FAMILIES[name], tables), tables)
    same(output(tables, Architecture.from_options(options)), found)
    return found


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, in units of the largest output."""
    return float(abs(found - expected).max() / abs(expected).max())


def same(found: np.ndarray, expected: np.ndarray) -> None:
    """Right to the last bits: a sum of n terms errs by n u of their size at most, u = 2^-53 (most errors cancel).

    The longest sums of a grown model have the 2 h terms of its stream, the p + 1 of its MLP, or s; what one part makes
    of them the next one reads, and there are two parts in each of at most three layers, and the output.
    """
    n = 2 * SIZES.h + SIZES.p + 1 + len(expected)
    assert distance(found, expected) < (2 * (SIZES.layers + 1) + 1) * n * 2.0**-53


def different(found: np.ndarray, expected: np.ndarray) -> None:
    """In the first digits."""
    assert distance(found, expected) > 1e-2


def label(cell: Cell) -> str:
    return "-".join(cell)


# ---------------------------------------------------------------- what is proved holds, what is not does not


@pytest.mark.parametrize("cell", CELLS, ids=label)
def test_growproof_proves_just_the_cells_that_are_not_refuted(cell: Cell) -> None:
    proved = is_proved(load_variant(cell[0]), cell[1])
    assert proved == (cell not in REFUTED)


@pytest.mark.parametrize("cell", PROVED, ids=label)
def test_a_proved_expansion_leaves_the_real_model_what_it_was(cell: Cell) -> None:
    step, name = applied(*cell), cell[1]
    same(after(step, blocks(step, name), name), original(name)[1])


@pytest.mark.parametrize("cell", PROVED, ids=label)
def test_without_its_constraints_it_changes_the_real_model(cell: Cell) -> None:
    """So that the comparison is one that can fail."""
    step, name = applied(*cell), cell[1]
    different(after(step, blocks(step, name, constrained=False), name), original(name)[1])


@pytest.mark.parametrize("cell", REFUTED, ids=label)
def test_a_refuted_expansion_changes_the_real_model(cell: Cell) -> None:
    """With new blocks that meet the constraints."""
    step, name = applied(*cell), cell[1]
    different(after(step, blocks(step, name), name), original(name)[1])


@pytest.mark.parametrize(("cell", "text"), REPAIRED)
def test_growproof_proves_the_repair(cell: Cell, text: str) -> None:
    proved = is_proved(loads(text, label(cell)), cell[1])
    assert proved


@pytest.mark.parametrize(("cell", "text"), REPAIRED)
def test_a_repaired_expansion_leaves_the_real_model_what_it_was(cell: Cell, text: str) -> None:
    name = cell[1]
    step = expand(paper_model(PRESETS[name]), loads(text, label(cell)))
    same(after(step, blocks(step, name), name), original(name)[1])


@pytest.mark.parametrize("cell", [cell for cell in REFUTED if cell not in WITHOUT_REPAIR], ids=label)
def test_the_repair_that_growproof_finds_leaves_the_real_model_what_it_was(cell: Cell) -> None:
    variant, name = load_variant(cell[0]), cell[1]
    found = repair(variant, PRESETS[name], breaking(variant, PRESETS[name]))
    assert found is not None
    step = expand(paper_model(PRESETS[name]), found.variant)
    same(after(step, blocks(step, name), name), original(name)[1])


# ---------------------------------------------------------------- no cell is left out in silence


def test_every_refuted_cell_has_a_repair_or_a_reason_why_not() -> None:
    assert set(REFUTED) == set(REPAIRS) | set(WITHOUT_REPAIR)
    assert not set(REPAIRS) & set(WITHOUT_REPAIR)


@pytest.mark.parametrize("cell", CELLS, ids=label)
def test_a_cell_is_adapted_just_where_the_class_cannot_hold_it(cell: Cell) -> None:
    step, name = applied(*cell), cell[1]
    tables = expanded(step, blocks(step, name, shared=False), name)
    _, tables = laid_out(PRESETS[name].options, tables, FAMILIES[name].architecture.rope_layout)
    if cell in set().union(*ADAPTED.values()):
        with pytest.raises(ValueError, match=r"in the model|in the tables|one place"):
            grown(FAMILIES[name], tables)
    else:
        grown(FAMILIES[name], tables)


# ---------------------------------------------------------------- the helpers


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_read_by_the_symbolic_side_is_the_model_for_the_numeric_side(name: str) -> None:
    tables = numeric_tables(original(name)[0])
    same(output(tables, Architecture.from_options(PRESETS[name].options)), original(name)[1])


@pytest.mark.parametrize("name", ["mistral", "qwen3"])
def test_groups_are_filled_with_heads_that_write_nothing(name: str) -> None:
    tables, a = numeric_tables(original(name)[0]), Architecture.from_options(PRESETS[name].options)
    for layer in tables["layers"]:
        layer["groups"] = [layer["groups"][0], {**layer["groups"][1], "heads": layer["groups"][1]["heads"][:1]}]
    even = evened(tables)
    counts = [[len(group["heads"]) for layer in one["layers"] for group in layer["groups"]] for one in (tables, even)]
    assert counts == [[2, 1, 2, 1], [2, 2, 2, 2]]
    same(output(even, a), output(tables, a))
    even["layers"][0]["groups"][1]["heads"][1]["W_O"] += 1
    different(output(even, a), output(tables, a))


def test_an_edit_of_what_the_catalogue_does_not_have_is_an_error() -> None:
    with pytest.raises(AssertionError, match="the catalogue has no W_X"):
        repaired_text("attention-expansion", {"W_X": "W_Q"})
