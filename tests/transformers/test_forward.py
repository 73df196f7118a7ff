"""The forward pass held against the real thing: tiny random models of every family, made by transformers itself."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch, of the optional extra")
pytest.importorskip("transformers", reason="needs transformers, of the optional extra")

import torch
from loading import FAMILIES, Sizes, Tables, build, grown, in_float64, laid_out, load, padded, randomise, run, store

from growproof.numeric.architecture import Architecture, output
from growproof.symbolic.preset import PRESETS

pytestmark = pytest.mark.extras

NAMES = list(FAMILIES)
NATURAL = Sizes()  # h = heads x d, as the classes expect
OTHER = Sizes(h=12, p=18, d=6, heads=4, layers=3)  # h = 12, heads x d = 24
MORE = Sizes(h=16, d=4, heads=6)  # two heads more; 6 does not divide 16


def made(name: str, sizes: Sizes = NATURAL, dtype: torch.dtype = torch.float64, attention: str = "eager") -> Any:
    model = build(FAMILIES[name], sizes, dtype, attention)
    randomise(model)
    return model


def exact(name: str, model: Any, tables: Tables) -> np.ndarray:
    """The model's output in float64 throughout, with frequencies that its class computed in float32 computed anew."""
    with in_float64():
        store(FAMILIES[name], model, tables)
        return run(FAMILIES[name], model, tables)


def same(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal up to some hundred roundings of 1e-16."""
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def loaded(name: str, sizes: Sizes = NATURAL) -> tuple[Architecture, Tables]:
    options, tables = load(FAMILIES[name], made(name, sizes))
    return Architecture.from_options(options), tables


def arrays(tables: Any, where: str = "") -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(tables, np.ndarray):
        yield where, tables
    elif isinstance(tables, list | dict):
        entries = tables.items() if isinstance(tables, dict) else enumerate(tables)
        for name, entry in entries:
            yield from arrays(entry, f"{where}.{name}")


# ---------------------------------------------------------------- loaded: the same output


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", NAMES)
def test_the_output_is_that_of_the_model_in_float32(name: str, attention: str) -> None:
    """Longest sums have n = h + p + s terms, so they are right to n u of their size, u = 2^-24 (most errors cancel)."""
    model = made(name, NATURAL, torch.float32, attention)
    options, tables = load(FAMILIES[name], model)
    expected = run(FAMILIES[name], model, tables)
    found = output(tables, Architecture.from_options(options))
    assert found.dtype == expected.dtype == np.float32
    n = NATURAL.h + NATURAL.p + len(expected)
    assert abs(found - expected).max() < n * 2.0**-24 * abs(expected).max()


@pytest.mark.parametrize("sizes", [NATURAL, OTHER, MORE], ids=["natural", "other", "more"])
@pytest.mark.parametrize("name", NAMES)
def test_the_formulas_are_those_of_the_model(name: str, sizes: Sizes) -> None:
    model = made(name, sizes)
    options, tables = load(FAMILIES[name], model)
    same(output(tables, Architecture.from_options(options)), exact(name, model, tables))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_zero_or_one_by_chance(name: str) -> None:
    """An entry that is zero or one could hide a wrong formula; tokens and a readout of our own are meant to be so."""
    tables = loaded(name)[1]
    for where, array in arrays(tables):
        if where != ".tokens" and (FAMILIES[name].readout or where != ".W_out"):
            assert not np.isin(array, [0, 1]).any(), where
    assert tables["eps"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_matters(name: str) -> None:
    """With any one entry altered the output is another, but for key biases that softmax does not see."""
    a, tables = loaded(name)
    expected = output(tables, a)
    for where, array in arrays(tables):
        unseen = where.endswith("b_K") and a.positions != "rotary"
        before = array.copy()
        array += 0.1 * np.random.default_rng(0).standard_normal(array.shape)
        change = abs(output(tables, a) - expected).max()
        assert change < 1e-12 if unseen else change > 1e-6, where
        array[:] = before


@pytest.mark.parametrize("name", NAMES)
def test_every_option_of_a_family_is_needed_or_changes_the_tables(name: str) -> None:
    """With the paper's value of any one option, the same tables are refused or give another output."""
    a, tables = loaded(name)
    expected = output(tables, a)
    for option in FAMILIES[name].options:
        other = replace(a, **{option: getattr(Architecture(), option)})
        try:
            change = abs(output(tables, other) - expected).max()
        except ValueError:
            continue
        assert change > 1e-4, option


@pytest.mark.parametrize("name", [name for name in NAMES if FAMILIES[name].architecture.positions == "rotary"])
def test_pairs_side_by_side_and_in_halves_are_one_model_with_its_columns_in_another_order(name: str) -> None:
    a, tables = loaded(name)
    other = "half" if a.rope_layout == "interleaved" else "interleaved"
    options, moved = laid_out(FAMILIES[name].options, tables, other)
    b = Architecture.from_options(options)
    same(output(moved, b), output(tables, a))
    assert abs(output(tables, b) - output(tables, a)).max() > 1e-3
    for (where, found), (_, expected) in zip(
        arrays(laid_out(options, moved, a.rope_layout)[1]), arrays(tables), strict=True
    ):
        assert (found == expected).all(), where


@pytest.mark.parametrize("name", NAMES)
def test_the_preset_of_the_family_is_what_was_held_against_it(name: str) -> None:
    """But for the order of rotary columns: a preset has pairs side by side."""
    described = Architecture.from_options(PRESETS[name].options)
    assert replace(described, rope_layout=FAMILIES[name].architecture.rope_layout) == FAMILIES[name].architecture


def test_a_window_shorter_than_the_sequence_is_no_part_of_the_description() -> None:
    model = made("mistral")
    options, tables = load(FAMILIES["mistral"], model)
    model.config.sliding_window = 2
    found = exact("mistral", model, tables)
    expected = output(tables, Architecture.from_options(options))
    same(found[:2], expected[:2])  # the first two tokens have no more than two to see
    assert abs(found[2:] - expected[2:]).min() > 1e-6


# ---------------------------------------------------------------- stored: the same model again


@pytest.mark.parametrize("name", NAMES)
def test_what_is_stored_is_what_is_loaded(name: str) -> None:
    model = made(name, OTHER)
    tables = load(FAMILIES[name], model)[1]
    again = grown(FAMILIES[name], tables)
    found = dict(arrays(load(FAMILIES[name], again)[1]))
    for where, array in arrays(tables):
        np.testing.assert_allclose(found[where], array, rtol=1e-13, atol=1e-13, err_msg=where)
    same(exact(name, again, tables), exact(name, model, tables))


def changed_numbers(name: str) -> tuple[Architecture, Tables]:
    """Other constants; and a table of frequencies, where these were computed."""
    a, tables = loaded(name)
    options: dict[str, Any] = {"scale": "constant"}
    tables |= {"eps": 0.2, "scale": 0.8} | ({"eps_qk": 0.3} if "eps_qk" in tables else {})
    if a.embed_scale:
        tables["embed_scale"] = 3.1
    if "rope_base" in tables:
        del tables["rope_base"]
        tables["rope_freqs"] = np.random.default_rng(0).uniform(0, 1, (1, NATURAL.d // 2))
        options["rope_frequencies"] = "table"
    return replace(a, **options), tables


@pytest.mark.parametrize("name", NAMES)
def test_constants_and_frequencies_can_be_stored(name: str) -> None:
    a, tables = changed_numbers(name)
    before = exact(name, made(name), loaded(name)[1])
    after = exact(name, made(name), tables)
    same(output(tables, a), after)
    assert abs(after - before).max() > 1e-3


# ---------------------------------------------------------------- grown


def feeds(tables: Tables) -> list[Tables]:
    """What holds W_l1 and W_l2: every layer, or every expert of every layer."""
    return [feed for layer in tables["layers"] for feed in layer.get("experts", [layer])]


def shared_heads(tables: Tables) -> list[Tables]:
    return [group for layer in tables["layers"] for group in layer.get("groups", layer.get("heads"))]


def more(rng: np.random.Generator, table: Tables, name: str, axis: int, *, zero: bool = False) -> None:
    """Seven more rows or columns, random or zero."""
    if name in table:
        shape = list(table[name].shape)
        shape[axis] = 7
        new = np.zeros(shape) if zero else rng.standard_normal(shape)
        table[name] = np.concatenate([table[name], new], axis=axis)


def widen_mlp(rng: np.random.Generator, tables: Tables, zero: bool) -> None:
    """Definition 3.1 with new gates and biases: only the rows of W_l2 must be zero."""
    for feed in feeds(tables):
        for name in ("W_l1", "W_gate", "b_l1", "b_gate"):
            more(rng, feed, name, 1)
        more(rng, feed, "W_l2", 0, zero=zero)


def widen_values(rng: np.random.Generator, tables: Tables, zero: bool) -> None:
    """Definition 3.3 with new value biases: only the rows of W_O must be zero."""
    for group in shared_heads(tables):
        for name in ("W_V", "b_V"):
            more(rng, group, name, 1)
        for head in group.get("heads", [group]):
            more(rng, head, "W_O", 0, zero=zero)


@pytest.mark.parametrize("grow", [widen_mlp, widen_values])
@pytest.mark.parametrize("name", NAMES)
def test_a_grown_model_is_the_old_function_when_the_new_rows_are_zero(name: str, grow: Callable[..., None]) -> None:
    options, tables = load(FAMILIES[name], model := made(name))
    before = exact(name, model, tables)
    after = {}
    for zero in (True, False):
        larger = load(FAMILIES[name], model)[1]
        grow(np.random.default_rng(1), larger, zero)
        new_options, larger = padded(options, larger)
        after[zero] = exact(name, grown(FAMILIES[name], larger), larger)
        same(output(larger, Architecture.from_options(new_options)), after[zero])
    same(after[True], before)
    assert abs(after[False] - before).max() > 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_padded_heads_compute_the_same(name: str) -> None:
    """Also with heads whose v is larger than k, and an epsilon for queries and keys."""
    a, tables = loaded(name)
    widen_values(np.random.default_rng(0), tables, zero=False)
    if a.qk_norm:
        tables["eps_qk"] = 0.3
    options, wide = padded(FAMILIES[name].options, tables)
    d = 14 if a.positions == "rotary" and a.rope_part == "all" else 13  # v is 6 + 7, and pairs are even
    assert {(group["W_K"].shape[1], group["W_V"].shape[1]) for group in shared_heads(wide)} == {(d, d)}
    same(output(wide, Architecture.from_options(options)), output(tables, a))


# ---------------------------------------------------------------- what cannot be stored


def without_a_layer(tables: Tables) -> None:
    tables["layers"].pop()


def with_another_entry(tables: Tables) -> None:
    tables["layers"][0]["W_new"] = np.ones((2, 2))


def with_a_longer_row(tables: Tables) -> None:
    tables["layers"][0]["W_l1"] = np.ones((NATURAL.h, NATURAL.p + 1))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_a_layer, r"\.layers: found 1 in the tables, expected 2 as in the model"),
        (with_another_entry, r"\.layers\[0\]: found entries that are not in both model and tables: W_new"),
        (with_a_longer_row, r"found shape \(24, 21\) in the tables, expected \(24, 20\) as in the model"),
    ],
)
def test_tables_that_do_not_fit_are_refused(spoil: Callable[[Tables], None], message: str) -> None:
    model = made("gpt2")
    spoil(tables := load(FAMILIES["gpt2"], model)[1])
    with pytest.raises(ValueError, match=message):
        store(FAMILIES["gpt2"], model, tables)


@pytest.mark.parametrize(("name", "entry"), [("t5", "B_pos"), ("qwen3", "g_Q")])
def test_values_that_the_model_shares_must_be_equal(name: str, entry: str) -> None:
    """T5 has one table of position biases for all layers, Qwen3 one gain for the queries of all heads of a layer."""
    model = made(name)
    tables = load(FAMILIES[name], model)[1]
    group = shared_heads(tables)[0]
    head = group.get("heads", [group])[0]
    head[entry] = head[entry] + 1
    with pytest.raises(ValueError, match="found different values for one place in the model, expected equal ones"):
        store(FAMILIES[name], model, tables)
