"""The two sides agree: a catalogue file evaluated on numbers is the numpy expansion, bit for bit.

symbolic/ states each expansion as a block-matrix rewrite in a text file, numeric/ as array code written from
the paper; they share no code. Both round a scalar factor once, from its exact value, and multiply in the
parameters' own format. That product of two numbers is rounded once as well, also in float16 and bfloat16,
where numpy multiplies in float32: the exact product of two 11-bit significands has 22 bits, and float32 holds
24. So the parameters can be compared as bits, in every format; there is no tolerance here.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any

import numpy as np
import pytest
from as_published import load
from hypothesis import given, settings
from hypothesis import strategies as st

from growproof.numeric import expansions
from growproof.numeric.blocks import (
    added_head,
    added_layer,
    attention_blocks,
    heads_blocks,
    hidden_blocks,
    mlp_blocks,
    random_fill,
)
from growproof.numeric.error import bounded_transformer
from growproof.numeric.formats import FORMATS, as_dtype
from growproof.numeric.forward import transformer as numeric_transformer
from growproof.numeric.model import Head, Layer, Model, random_model, random_rows
from growproof.symbolic.architecture import HEADS, PRESETS, levels, paper_model, transformer
from growproof.symbolic.errors import VariantError
from growproof.symbolic.evaluate import Values, evaluate
from growproof.symbolic.expand import Expansion, expand
from growproof.symbolic.floats import float_arithmetic
from growproof.symbolic.instances import grown, level_values, model_values
from growproof.symbolic.variant import loads

SIX = (
    *("mlp-expansion", "head-addition", "heads-expansion"),
    *("attention-expansion", "hidden-expansion", "layer-addition"),
)
OLD = paper_model(PRESETS["paper"])
EXPANSIONS = {name: expand(OLD, load(name)) for name in SIX}

Nested = dict[str, Any]


# --- a random model, its new blocks, and what numpy makes of them ---


@dataclass(frozen=True)
class Case:
    """A model of layers (p, [(k, v), ...]) and its input; new blocks come from the same random numbers."""

    s: int
    h: int
    o: int
    layers: Sequence[tuple[int, Sequence[tuple[int, int]]]]
    seed: int

    def drawn(self, dtype: str) -> tuple[Model, np.ndarray, np.random.Generator]:
        rng = np.random.default_rng(self.seed)
        widths, heads = zip(*self.layers, strict=True)
        model = random_model(rng, s=self.s, h=self.h, o=self.o, p=widths, heads=heads, dtype=dtype)
        return model, random_rows(rng, self.s, self.h, dtype), rng


def sizes(largest: int) -> st.SearchStrategy[int]:
    return st.integers(1, largest)


CASES = st.builds(
    Case,
    s=sizes(3),
    h=sizes(5),
    o=sizes(3),
    layers=st.lists(
        st.tuples(sizes(5), st.lists(st.tuples(sizes(5), sizes(4)), min_size=1, max_size=3)),
        min_size=1,
        max_size=3,
    ),
    seed=st.integers(0, 2**32),
)
UNEVEN = Case(2, 5, 3, [(4, [(3, 2), (2, 5)]), (2, [(5, 1), (3, 3), (2, 2)])], seed=7)


def named(part: Any, prefix: str = "") -> Nested:
    """The arrays of a numeric dataclass by their names; heads and layers nest."""

    def shown(value: Any) -> Any:
        return [named(each, prefix) for each in value] if isinstance(value, tuple) else value

    assert is_dataclass(part)
    tables = {name: shown(value) for name, value in vars(part).items() if value is not None}
    return {name if name in ("heads", "layers") else prefix + name: value for name, value in tables.items()}


def nested(model: Model, I: np.ndarray) -> Nested:
    return {"I": I, **named(model), "scalars": {}}


@dataclass(frozen=True)
class Both:
    """The old model, the new blocks as the symbolic side nests them, and the numeric side's expanded model."""

    old: Nested
    new: Nested
    model: Model
    I: np.ndarray

    @property
    def expected(self) -> Nested:
        return nested(self.model, self.I)


Growth = Callable[[Model, np.ndarray, np.random.Generator, Any], tuple[Nested, Model, np.ndarray]]


def by_mlp(model: Model, I: np.ndarray, rng: np.random.Generator, fill: Any) -> Any:
    def layer(old: Layer) -> tuple[Nested, Layer]:
        p_hat = old.p + int(rng.integers(1, 5))
        M_W_l1, M_b_l1, M_W_l2 = mlp_blocks(old, p_hat, fill)
        table = {"M_W_l1": M_W_l1, "M_b_l1": M_b_l1, "M_W_l2": M_W_l2, "sizes": {"p_hat": p_hat}}
        return table, expansions.mlp_expansion(old, M_W_l1, M_b_l1, M_W_l2)

    tables, layers = zip(*map(layer, model.layers), strict=True)
    return {"layers": list(tables)}, Model(model.P, layers, model.W_out), I


def by_new_head(model: Model, I: np.ndarray, rng: np.random.Generator, fill: Any) -> Any:
    def layer(old: Layer) -> tuple[Nested, Layer]:
        k, v = (int(size) for size in rng.integers(1, 5, 2))
        head = added_head(model.h, k, v, fill)
        return {**named(head, "M_"), "sizes": {"k": k, "v": v}}, expansions.head_addition(old, head)

    tables, layers = zip(*map(layer, model.layers), strict=True)
    return {"layers": list(tables)}, Model(model.P, layers, model.W_out), I


def by_heads(model: Model, I: np.ndarray, change: Callable[[Head], tuple[Nested, Head]]) -> Any:
    changed = [[change(head) for head in layer.heads] for layer in model.layers]
    tables = [{"heads": [table for table, _ in layer]} for layer in changed]
    layers = [
        expansions.on_heads(layer, iter_of([head for _, head in new]))
        for layer, new in zip(model.layers, changed, strict=True)
    ]
    return {"layers": tables}, Model(model.P, tuple(layers), model.W_out), I


def iter_of(heads: Sequence[Head]) -> Callable[[Head], Head]:
    """A change that gives the heads in order, for `on_heads`, which asks once for each."""
    following = iter(heads)
    return lambda _: next(following)


def by_values(model: Model, I: np.ndarray, rng: np.random.Generator, fill: Any) -> Any:
    def head(old: Head) -> tuple[Nested, Head]:
        v_hat = old.v + int(rng.integers(1, 5))
        M_W_V, M_W_O = heads_blocks(old, v_hat, fill)
        new = {"M_W_V": M_W_V, "M_W_O": M_W_O, "sizes": {"v_hat": v_hat}}
        return new, expansions.heads_expansion(old, M_W_V, M_W_O)

    return by_heads(model, I, head)


def by_keys(model: Model, I: np.ndarray, rng: np.random.Generator, fill: Any) -> Any:
    def head(old: Head) -> tuple[Nested, Head]:
        k_hat = old.k + int(rng.integers(1, 5))
        M_W_Q, M_W_K = attention_blocks(old, k_hat, fill)
        new = {"M_W_Q": M_W_Q, "M_W_K": M_W_K, "sizes": {"k_hat": k_hat}}
        return new, expansions.attention_expansion(old, M_W_Q, M_W_K)

    return by_heads(model, I, head)


def by_stream(model: Model, I: np.ndarray, rng: np.random.Generator, fill: Any) -> Any:
    h_hat = model.h + int(rng.integers(1, 5))
    blocks = hidden_blocks(model, h_hat, fill)
    return {**named(blocks), "sizes": {"h_hat": h_hat}}, *expansions.hidden_expansion(model, I, blocks)


def by_layer(model: Model, I: np.ndarray, rng: np.random.Generator, fill: Any) -> Any:
    shapes = [(head.k, head.v) for head in model.layers[0].heads]
    layer = added_layer(model.h, int(rng.integers(1, 5)), shapes, fill)
    position = int(rng.integers(1, len(model.layers) + 2))  # numeric counts from 1, symbolic from 0
    added = {**named(layer, "M_"), "position": position - 1}
    added["heads"] = [{**table, "sizes": {"k": k}} for table, (k, _) in zip(added["heads"], shapes, strict=True)]
    return {"added_layer": added}, expansions.layer_addition(model, layer, position), I


GROWTHS: dict[str, Growth] = dict(zip(SIX, (by_mlp, by_new_head, by_values, by_keys, by_stream, by_layer), strict=True))


def both(name: str, case: Case, dtype: str, zero: frozenset[str] = frozenset()) -> Both:
    model, I, rng = case.drawn(dtype)
    new, expanded, I_hat = GROWTHS[name](model, I, rng, random_fill(rng, zero, dtype))
    return Both(nested(model, I), new, expanded, I_hat)


# --- comparison ---


def differences(found: Any, expected: Any, where: str = "") -> list[str]:
    """The parameters whose bits, dtype or shape differ."""
    if isinstance(expected, dict):
        if set(found) != set(expected):
            return [f"{where}: {sorted(set(found) ^ set(expected))}"]
        return [d for name in expected for d in differences(found[name], expected[name], f"{where}.{name}")]
    if isinstance(expected, list):
        if len(found) != len(expected):
            return [f"{where}: {len(found)} instead of {len(expected)}"]
        pairs = enumerate(zip(found, expected, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{where}[{i}]")]
    same = found.dtype == expected.dtype and found.shape == expected.shape
    return [] if same and found.tobytes() == expected.tobytes() else [where]


def disagreement(expansion: Expansion, pair: Both, dtype: str) -> list[str]:
    found = grown(expansion, pair.old, pair.new, float_arithmetic(as_dtype(dtype)))
    return differences(found, pair.expected)


@pytest.mark.parametrize("name", SIX)
@settings(deadline=None, derandomize=True, max_examples=30)
@given(case=CASES, dtype=st.sampled_from(FORMATS))
def test_the_file_on_numbers_is_the_numpy_expansion_bit_for_bit(name, case, dtype):
    assert disagreement(EXPANSIONS[name], both(name, case, dtype), dtype) == []


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", SIX)
def test_they_agree_in_every_format_where_layers_and_heads_differ(name, dtype):
    pair = both(name, UNEVEN, dtype)
    assert disagreement(EXPANSIONS[name], pair, dtype) == []
    assert nested_bytes(pair.expected) > nested_bytes(pair.old)


def nested_bytes(table: Any) -> int:
    parts = table.values() if isinstance(table, dict) else table if isinstance(table, list) else None
    return table.nbytes if parts is None else sum(map(nested_bytes, parts))


def test_every_expansion_of_the_numeric_side_has_its_file():
    public = {name for name, value in vars(expansions).items() if callable(value) and name[0].islower()}
    files = {name.replace("-", "_") for name in SIX}
    assert files <= public
    assert {name for name in public if name.endswith(("_expansion", "_addition"))} == files


# --- an edit on one side only is noticed ---


REWRITTEN = [
    (name, line)
    for name in SIX
    for line in EXPANSIONS[name].variant.text.splitlines()
    if re.match(r'(I|P|[Wbg]_\w+) += "', line)
]


def notices(name: str, text: str) -> bool:
    """Whether the edited file is refused, or its parameters differ from the numeric side's."""
    assert text != EXPANSIONS[name].variant.text
    try:
        expansion = expand(OLD, loads(text, "edited.toml"))
    except VariantError:
        return True
    return bool(disagreement(expansion, both(name, UNEVEN, "float32"), "float32"))


def edited(name: str, line: str, by: str) -> str:
    return EXPANSIONS[name].variant.text.replace(line, by)


def test_there_is_one_line_for_each_parameter_that_an_expansion_touches():
    assert [sum(name == found for found, _ in REWRITTEN) for name in SIX] == [3, 4, 2, 2, 12, 10]


@pytest.mark.parametrize(("name", "line"), REWRITTEN)
def test_a_factor_more_in_the_file_is_noticed(name, line):
    assert notices(name, edited(name, line, re.sub(r'"(.*)"', r'"2*(\1)"', line)))


@pytest.mark.parametrize(("name", "line"), REWRITTEN)
def test_a_missing_line_of_the_file_is_noticed(name, line):
    assert notices(name, edited(name, line + "\n", ""))


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, line in REWRITTEN if "[" in line])
def test_blocks_swapped_in_the_file_are_noticed(name, line):
    swapped = re.sub(r'"\[(.*)([,;]) (.*)\]"', r'"[\3\2 \1]"', line)
    assert notices(name, edited(name, line, swapped))


@pytest.mark.parametrize(
    ("name", "factor", "other"),
    [
        ("attention-expansion", "sqrt(k_hat)/sqrt(k)*", other)
        for other in ("", "k_hat/k*", "sqrt(k)/sqrt(k_hat)*", "sqrt(k_hat - 1)/sqrt(k)*")
    ]
    + [
        ("hidden-expansion", "sqrt(h)/sqrt(h_hat)*", other)
        for other in ("", "h/h_hat*", "sqrt(h_hat)/sqrt(h)*", "(1 - 2^-23)*sqrt(h)/sqrt(h_hat)*")
    ],
)
def test_another_scale_in_the_file_is_noticed(name, factor, other):
    assert notices(name, edited(name, factor, other))


def test_a_parameter_in_another_s_place_is_noticed():
    assert notices("head-addition", edited("head-addition", 'W_Q = "M_W_Q"', 'W_Q = "M_W_K"'))
    assert notices("layer-addition", edited("layer-addition", 'g_MHA = "M_g_MHA"', 'g_MHA = "M_g_MLP"'))


def expect_disagreement(name: str) -> None:
    for dtype in ("float64", "float32", "float16"):
        assert disagreement(EXPANSIONS[name], both(name, UNEVEN, dtype), dtype)


@pytest.mark.parametrize("name", ["attention-expansion", "hidden-expansion"])
@pytest.mark.parametrize("towards", [0, 2])
def test_a_numeric_scale_off_by_one_unit_in_the_last_place_is_noticed(name, towards, monkeypatch):
    right = expansions.rounded_sqrt

    def off(ratio, dtype):
        value = right(ratio, dtype)
        return np.nextafter(value, value.dtype.type(towards))

    monkeypatch.setattr(expansions, "rounded_sqrt", off)
    expect_disagreement(name)


@pytest.mark.parametrize(
    ("name", "function", "axis"),
    [
        (name, function, axis)
        for name in ("mlp-expansion", "heads-expansion", "hidden-expansion")
        for function, axis in (("_beside", -1), ("_below", 0))
    ]
    + [("attention-expansion", "_beside", -1)],
)
def test_numeric_blocks_in_the_other_order_are_noticed(name, function, axis, monkeypatch):
    monkeypatch.setattr(expansions, function, lambda A, M, _: np.concatenate([M, A], axis=axis))
    expect_disagreement(name)


def test_numeric_heads_and_layers_in_another_order_are_noticed(monkeypatch):
    right = expansions.layer_addition
    monkeypatch.setattr(expansions, "layer_addition", lambda model, layer, position: right(model, layer, 4 - position))
    assert disagreement(EXPANSIONS["layer-addition"], both("layer-addition", at_the_end(), "float64"), "float64")
    monkeypatch.setattr(
        expansions,
        "head_addition",
        lambda layer, head: Layer(**{**vars(layer), "heads": (head, *layer.heads)}),
    )
    expect_disagreement("head-addition")


def at_the_end() -> Case:
    """A case in which the new layer does not come to stand in the middle of three."""
    cases = (Case(2, 3, 1, UNEVEN.layers, seed) for seed in range(100))
    return next(c for c in cases if both("layer-addition", c, "float64").new["added_layer"]["position"] != 1)


# --- the forward passes ---


def forward_agrees(found: np.ndarray, model: Model, I: np.ndarray) -> bool:
    """Whether an output lies within the rounding bounds of both sides, which perform the same operations."""
    computed = bounded_transformer(model, I)
    assert np.array_equal(computed.value, numeric_transformer(model, I))
    return bool((np.linalg.norm(found - computed.value, axis=-1) <= 2 * computed.error).all())


@settings(deadline=None, derandomize=True, max_examples=40)
@given(case=CASES)
def test_the_forward_passes_agree_within_the_bound_for_rounding(case):
    model, I, _ = case.drawn("float64")
    found = evaluate(transformer(OLD), model_values(nested(model, I), levels(PRESETS["paper"])), float_arithmetic())
    assert forward_agrees(found, model, I)


def expanded_values(pair: Both) -> Values:
    """What the expanded model, as one term in old parameters and new blocks, needs to know."""

    def heads(old: Sequence[Nested], new: Sequence[Nested]) -> Values:
        pairs = zip(old or [{}] * len(new), new or [{}] * len(old), strict=True)
        members = [level_values(*both_sides) for both_sides in pairs]
        return Values(members=dict.fromkeys((HEADS, "heads of layer1"), members))

    new_layers = pair.new.get("layers", [{}] * len(pair.old["layers"]))
    layers = [
        (0, level_values(old, new).with_(heads(old["heads"], new.get("heads", []))))
        for old, new in zip(pair.old["layers"], new_layers, strict=True)
    ]
    if "added_layer" in pair.new:
        added = pair.new["added_layer"]
        layers.insert(added["position"], (1, level_values(added).with_(heads([], added["heads"]))))
    own = level_values(pair.old, pair.new)
    return Values(own.scalars, own.matrices, {}, layers)


@pytest.mark.parametrize("name", SIX)
@settings(deadline=None, derandomize=True, max_examples=15)
@given(case=CASES)
def test_the_expanded_model_as_one_term_computes_what_the_expanded_arrays_do(name, case):
    pair = both(name, case, "float64")
    term = transformer(EXPANSIONS[name].new)
    assert forward_agrees(evaluate(term, expanded_values(pair), float_arithmetic()), pair.model, pair.I)


def test_the_forward_passes_do_not_agree_on_another_parameter():
    model, I, _ = UNEVEN.drawn("float64")
    other = nested(model, I)
    other["layers"][1]["heads"][2]["W_V"] = other["layers"][1]["heads"][2]["W_V"] * (1 + 1e-9)
    found = evaluate(transformer(OLD), model_values(other, levels(PRESETS["paper"])), float_arithmetic())
    assert not forward_agrees(found, model, I)
