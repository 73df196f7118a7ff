"""Each expansion preserves the function, within rounding; and the check notices when it does not."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growproof.numeric.blocks import (
    ZEROS,
    added_head,
    added_layer,
    attention_blocks,
    heads_blocks,
    hidden_blocks,
    mlp_blocks,
    random_fill,
)
from growproof.numeric.compare import Agreement, Comparison, StreamMap, compare, difference
from growproof.numeric.error import Bounded
from growproof.numeric.evidence import ALL_SIX, STEPS, THEOREM, evidence
from growproof.numeric.expansions import (
    attention_expansion,
    head_addition,
    heads_expansion,
    hidden_expansion,
    layer_addition,
    mlp_expansion,
    on_heads,
    on_layers,
)
from growproof.numeric.formats import FORMATS, Array, number_format
from growproof.numeric.forward import transformer
from growproof.numeric.model import Head, Layer, Model, from_nested, map_parameters, random_model, random_rows

sizes = st.integers(1, 5)
shapes = st.lists(st.tuples(sizes, sizes), min_size=1, max_size=3)


@dataclass(frozen=True)
class Growing:
    """A model on its way: which layers are new, and how often each parameter was scaled."""

    model: Model
    I: Array
    new: tuple[int, ...] = ()
    scalings: Counter[str] = field(default_factory=Counter)


@st.composite
def models(draw: st.DrawFn) -> Growing:
    """A model of any depth, its layers and heads all different, in any format, and a batch of inputs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(FORMATS))
    # In h = 1 and 8 bits a row of the stream cancels to zero now and then.
    s, h, o, batch = draw(sizes), draw(st.integers(3, 6)), draw(sizes), draw(st.integers(1, 3))
    heads = draw(st.lists(shapes, min_size=1, max_size=3))
    p = [draw(sizes) for _ in heads]
    model = random_model(rng, s=s, h=h, o=o, p=p, heads=heads, dtype=dtype)
    return Growing(model, random_rows(rng, batch * s, h, dtype).reshape(batch, s, h))


@st.composite
def steps(draw: st.DrawFn, name: str) -> Callable[[Growing], Growing]:
    """One expansion with random new sizes, for layers and heads chosen at random."""
    seed, more = draw(st.integers(0, 2**32)), draw(sizes)
    k, v, place = draw(sizes), draw(sizes), draw(st.floats(0, 1))

    def step(now: Growing) -> Growing:
        rng = np.random.default_rng(seed)
        fill = random_fill(rng, ZEROS[name], now.model.dtype)
        layers = [n for n in range(1, len(now.model.layers) + 1) if rng.integers(2)]

        def chosen(layer: Layer, change: Callable[[Head], Head]) -> Layer:
            return on_heads(layer, change, [n for n in range(1, len(layer.heads) + 1) if rng.integers(2)])

        def wider_values(head: Head) -> Head:
            return heads_expansion(head, *heads_blocks(head, head.v + more, fill))

        def wider_keys(head: Head) -> Head:
            return attention_expansion(head, *attention_blocks(head, head.k + more, fill))

        match name:
            case "mlp-expansion":
                grown = on_layers(
                    now.model,
                    lambda layer: mlp_expansion(layer, *mlp_blocks(layer, layer.p + more, fill)),
                    layers,
                )
                return replace(now, model=grown)
            case "head-addition":
                head = added_head(now.model.h, k, v, fill)
                return replace(now, model=on_layers(now.model, lambda layer: head_addition(layer, head), layers))
            case "heads-expansion":
                grown = on_layers(now.model, lambda layer: chosen(layer, wider_values), layers)
                return replace(now, model=grown)
            case "attention-expansion":
                grown = on_layers(now.model, lambda layer: chosen(layer, wider_keys), layers)
                return replace(now, model=grown, scalings=now.scalings + Counter({"W_K": 1}))
            case "hidden-expansion":
                grown, I = hidden_expansion(now.model, now.I, hidden_blocks(now.model, now.model.h + more, fill))
                scalings = now.scalings + Counter({"g_MHA": 1, "g_MLP": 1})
                return replace(now, model=grown, I=I, scalings=scalings)
            case _:
                position = 1 + round(place * len(now.model.layers))
                layer = added_layer(now.model.h, more, [(k, v), (v, k)], fill)
                shifted = tuple(n + (n >= position) for n in now.new)
                return replace(now, model=layer_addition(now.model, layer, position), new=(*shifted, position))

    return step


def check(before: Growing, after: Growing) -> Comparison:
    return compare(before.model, before.I, after.model, after.I, inserted=after.new, scalings=after.scalings)


@pytest.mark.parametrize("name", STEPS)
@given(data=st.data(), before=models())
@settings(deadline=None, derandomize=True, max_examples=100)
def test_each_expansion_preserves_the_function(name: str, data: st.DataObject, before: Growing) -> None:
    after = data.draw(steps(name))(before)
    assert check(before, after).passed


@given(data=st.data(), before=models(), names=st.lists(st.sampled_from(sorted(STEPS)), max_size=8))
@settings(deadline=None, derandomize=True, max_examples=150)
def test_any_composition_in_any_order_preserves_the_function(
    data: st.DataObject, before: Growing, names: list[str]
) -> None:
    after = before
    for name in names:
        after = data.draw(steps(name))(after)
    assert check(before, after).passed


@pytest.mark.parametrize("name", [*STEPS, ALL_SIX])
@pytest.mark.parametrize("seed", range(4))
def test_theorems_pass_and_every_broken_constraint_and_scale_is_noticed(name: str, seed: int) -> None:
    rows = evidence(name, seed)
    assert [row for row in rows if not row.as_expected] == []
    for dtype in FORMATS:
        cases = {row.case for row in rows if row.dtype == dtype}
        assert THEOREM in cases
        assert {f"{zero} random" for zero in ZEROS.get(name, ())} <= cases
        assert sum(row.control for row in rows if row.dtype == dtype) >= 1


def test_the_evidence_is_reproducible_and_its_scales_are_controls_too() -> None:
    rows = evidence("hidden-expansion", 5)
    assert rows == evidence("hidden-expansion", 5)
    cases = {row.case: row.control for row in rows}
    assert not cases["M_I = -M_P, both random"]
    assert cases["g_MHA not scaled"]
    assert cases["g_MLP not scaled"]
    assert {row.case for row in evidence("attention-expansion") if row.control} == {
        "M_W_K random",
        "W_K not scaled",
    }


def test_evidence_for_an_unknown_expansion_is_an_error() -> None:
    with pytest.raises(ValueError, match="expansion: found 'all', expected one of mlp-expansion, "):
        evidence("all")


def wider(dtype: str, size: float) -> tuple[Model, Array, Model, Array]:
    """A model whose stream has that size, before and after hidden expansion from 4 to 8."""
    rng = np.random.default_rng(0)
    model = random_model(rng, s=3, h=4, o=3, p=[6, 5], heads=[[(1, 2)], [(1, 2)]], dtype=dtype)
    small = model.dtype.type(size)
    writes = {id(W) for layer in model.layers for W in (layer.W_l2, layer.b_l2, *(x.W_O for x in layer.heads))}
    model = map_parameters(model, lambda W: W * small if id(W) in writes or W is model.P else W)
    I = random_rows(rng, 3, 4, dtype) * small
    fill = random_fill(rng, ZEROS["hidden-expansion"], dtype)
    return model, I, *hidden_expansion(model, I, hidden_blocks(model, 8, fill))


@pytest.mark.parametrize("dtype", FORMATS)
def test_with_the_same_epsilon_hidden_expansion_fails_at_small_activations(dtype: str) -> None:
    found = compare(*wider(dtype, 2**-10), eps=1e-6)
    assert not found.passed
    assert found.output.max_ulp > 10


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("size", [1, 2**-10])
def test_with_epsilon_times_h_over_h_hat_hidden_expansion_passes(dtype: str, size: float) -> None:
    assert compare(*wider(dtype, size), eps=1e-6, eps_hat=4 / 8 * 1e-6).passed


def test_other_expansions_do_not_mind_an_epsilon() -> None:
    rng = np.random.default_rng(0)
    model = random_model(rng, s=3, h=4, o=3, p=[6], heads=[[(1, 2)]])
    I = np.zeros((3, 4)) - model.P
    fill = random_fill(rng, ZEROS["mlp-expansion"], "float64")
    grown = on_layers(model, lambda layer: mlp_expansion(layer, *mlp_blocks(layer, 9, fill)))
    assert compare(model, I, grown, I, eps=1e-6).passed
    with pytest.raises(ValueError, match=r"found row \[0\] of the stream zero"):
        compare(model, I, grown, I)


def duplicated(model: Model) -> Model:
    """The stream [X X]: every write twice, every read halved."""
    layers = tuple(
        Layer(
            g_MHA=np.hstack([layer.g_MHA] * 2),
            heads=tuple(
                Head(
                    *(np.vstack([W, W]) / 2 for W in (head.W_Q, head.W_K, head.W_V)),
                    np.hstack([head.W_O] * 2),
                )
                for head in layer.heads
            ),
            g_MLP=np.hstack([layer.g_MLP] * 2),
            W_l1=np.vstack([layer.W_l1] * 2) / 2,
            b_l1=layer.b_l1,
            W_l2=np.hstack([layer.W_l2] * 2),
            b_l2=np.hstack([layer.b_l2] * 2),
        )
        for layer in model.layers
    )
    return Model(np.hstack([model.P] * 2), layers, np.vstack([model.W_out] * 2) / 2)


def test_another_stream_map_is_given_as_a_matrix() -> None:
    model = random_model(np.random.default_rng(0), s=3, h=4, o=3, p=[6, 5], heads=[[(1, 2)], [(2, 2)]])
    I = random_rows(np.random.default_rng(1), 3, 4, "float64")
    E = np.hstack([np.eye(4)] * 2)
    twice, I_hat = duplicated(model), np.hstack([I, I])
    assert compare(model, I, twice, I_hat, stream=E, scalings={}).passed
    assert not compare(model, I, twice, I_hat, scalings={}).passed
    with pytest.raises(ValueError, match=r"stream: found shape \(8, 4\), expected \(4, 8\)"):
        compare(model, I, twice, I_hat, stream=E.T)


def test_a_rotated_stream_is_compared_up_to_the_rounding_of_the_rotation() -> None:
    model = random_model(np.random.default_rng(0), s=3, h=2, o=3, p=[6], heads=[[(1, 2)]])
    ones = tuple(replace(layer, g_MHA=np.ones((1, 2)), g_MLP=np.ones((1, 2))) for layer in model.layers)
    model = replace(model, layers=ones)
    I = random_rows(np.random.default_rng(1), 3, 2, "float64")
    E = np.array([[0.6, 0.8], [-0.8, 0.6]])
    turned = tuple(
        replace(
            layer,
            heads=tuple(Head(E.T @ head.W_Q, E.T @ head.W_K, E.T @ head.W_V, head.W_O @ E) for head in layer.heads),
            W_l1=E.T @ layer.W_l1,
            W_l2=layer.W_l2 @ E,
            b_l2=layer.b_l2 @ E,
        )
        for layer in model.layers
    )
    rounded = dict.fromkeys(("I", "P", "W_Q", "W_K", "W_V", "W_O", "W_l1", "W_l2", "b_l2", "W_out"), 4)
    expanded = Model(model.P @ E, turned, E.T @ model.W_out)
    assert compare(model, I, expanded, I @ E, stream=E, scalings=rounded).passed


def test_a_stream_map_stretches_errors_as_it_stretches_rows() -> None:
    twice = StreamMap.of(np.hstack([np.eye(2)] * 2), 2, 4, number_format("float64"))
    image = twice(Bounded(np.array([[3.0, 4.0]]), np.array([1.0])), number_format("float64"))
    assert image.value.tolist() == [[3.0, 4.0, 3.0, 4.0]]
    assert image.error == pytest.approx(np.sqrt(2))


def test_a_comparison_passes_only_if_every_part_does() -> None:
    good, bad = Agreement("good", 0, 0, 1, 0.5), Agreement("bad", 1, 1, 1, 2)
    assert Comparison("float64", {}, (good,), good).passed
    assert not Comparison("float64", {}, (good,), bad).passed
    assert not Comparison("float64", {}, (bad, good), good).passed
    assert Comparison("float64", {}, (bad, good), good).worst is bad


def test_a_new_layer_must_be_declared() -> None:
    model = random_model(np.random.default_rng(0), s=3, h=4, o=3, p=[6], heads=[[(1, 2)]])
    I = random_rows(np.random.default_rng(1), 3, 4, "float64")
    fill = random_fill(np.random.default_rng(2), ZEROS["layer-addition"], "float64")
    deeper = layer_addition(model, added_layer(4, 3, [(2, 2)], fill), 2)
    assert compare(model, I, deeper, I, inserted=[2]).passed
    assert not compare(model, I, deeper, I, inserted=[1]).passed
    with pytest.raises(ValueError, match="expanded: found 2 layers, expected 1"):
        compare(model, I, deeper, I)
    with pytest.raises(ValueError, match="inserted: found layer 3, expected 1 to 2"):
        compare(model, I, deeper, I, inserted=[3])


def test_the_squares_are_named_and_the_sizes_told() -> None:
    model, I, expanded, I_hat = wider("float64", 1)
    found = compare(model, I, expanded, I_hat)
    assert [square.name for square in found.squares] == [
        "input",
        "MHA 1",
        "MLP 1",
        "MHA 2",
        "MLP 2",
        "output",
    ]
    assert found.sizes["h"] == "4 -> 8"
    assert found.sizes["p"] == "5, 6"
    assert found.dtype == "float64"
    assert found.output.max_abs == np.abs(transformer(model, I) - transformer(expanded, I_hat)).max()


def test_one_changed_entry_fails_its_own_square_only() -> None:
    model, I, expanded, I_hat = wider("float64", 1)
    b_l2 = expanded.layers[0].b_l2.copy()
    b_l2[0, 2] += 1e-9
    changed = replace(expanded, layers=(replace(expanded.layers[0], b_l2=b_l2), expanded.layers[1]))
    found = compare(model, I, changed, I_hat)
    assert [square.name for square in found.squares if not square.passed] == ["MLP 1"]


def test_models_of_two_formats_are_not_compared() -> None:
    single, double = wider("float32", 1), wider("float64", 1)
    with pytest.raises(ValueError, match="expanded: found float64, expected float32"):
        compare(*single[:2], *double[2:])


def test_what_overflows_never_passes() -> None:
    model, I, expanded, I_hat = wider("float16", 1)
    large = replace(model, W_out=model.W_out * model.dtype.type(60_000))
    assert not compare(large, I, expanded, I_hat).passed
    huge = replace(expanded, W_out=expanded.W_out * model.dtype.type(60_000))
    assert not compare(large, I, huge, I_hat).passed


# The smallest counterexample to MLP expansion with M_W_l2 free: every size one.
ONE = {
    "I": [[1]],
    "P": [[0]],
    "W_out": [[1]],
    "layers": [
        {
            **{name: [[1]] for name in ("g_MHA", "g_MLP", "W_l1", "b_l1", "W_l2", "b_l2")},
            "heads": [{name: [[1]] for name in ("W_Q", "W_K", "W_V", "W_O")}],
        }
    ],
}


def test_a_blackboard_counterexample_is_replayed() -> None:
    model, I = from_nested(ONE)
    one = np.ones((1, 1))
    grown = on_layers(model, lambda layer: mlp_expansion(layer, one, 0 * one, one))
    found = difference(model, I, grown, I)
    assert (found.max_abs, found.passed) == (1.0, False)
    same = on_layers(model, lambda layer: mlp_expansion(layer, one, 0 * one, 0 * one))
    assert difference(model, I, same, I).max_abs == 0


def test_a_counterexample_with_a_zero_row_is_refused_with_the_row() -> None:
    model, I = from_nested(ONE)
    with pytest.raises(ValueError, match=r"norm: found row \[0\] of the stream zero with eps = 0, expected no 0/0"):
        difference(model, 0 * I, model, 0 * I)
    assert difference(model, 0 * I, model, 0 * I, eps=1.0).max_abs == 0


def test_outputs_of_different_shapes_are_an_error() -> None:
    model, I = from_nested(ONE)
    wide = replace(model, W_out=np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"output: found shape \(1, 2\), expected \(1, 1\)"):
        difference(model, I, wide, I)
