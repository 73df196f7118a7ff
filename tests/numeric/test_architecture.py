"""One description, one forward pass: every option computes what it says, and none can be left out.

The reference is written here with loops over single numbers, from the description's words and nothing else.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from growproof.numeric import architecture, forward
from growproof.numeric.activations import ACTIVATIONS
from growproof.numeric.architecture import Architecture, output
from growproof.numeric.model import random_model, to_nested
from growproof.numeric.options import VALUES
from growproof.numeric.tables import check_tables, random_tables, read_tables

Tables = dict[str, Any]
Rows = list[list[float]]

CLOSE = {"rtol": 1e-10, "atol": 1e-10}  # some thousand roundings of 1e-16 each, on numbers of size one

NUMBERS = {
    "eps": 0.3,
    "eps_qk": 0.2,
    "scale": 0.7,
    "rope_base": 50.0,
    "rope_dim": 2,
    "top_k": 2,
    "embed_scale": 1.7,
    "logit_scale": 0.6,
}


def described(**options: Any) -> Architecture:
    return Architecture.from_options(options)


def numbers_of(a: Architecture) -> dict[str, Any]:
    """Constants for all that the architecture needs, none of them a default."""
    used = {
        "eps": a.eps,
        "eps_qk": a.qk_norm,
        "scale": a.scale == "constant",
        "rope_base": a.positions == "rotary" and a.rope_frequencies == "recomputed",
        "rope_dim": a.positions == "rotary" and a.rope_part == "part",
        "top_k": a.experts,
        "embed_scale": a.embed_scale,
        "logit_scale": a.logit_scale,
    }
    return {name: NUMBERS[name] for name, needed in used.items() if needed}


def drawn(a: Architecture, seed: int = 0, dtype: str = "float64") -> Tables:
    """Two layers that differ in p, number of heads, and v; and in k, where no frequency table forbids it."""
    k = 4 if a.rope_frequencies == "table" else 6
    heads = [[(4, 3), (k, 2)], [(4, 1)]]
    return random_tables(
        np.random.default_rng(seed), a, s=5, h=6, o=3, p=[7, 4], heads=heads, dtype=dtype, **numbers_of(a)
    )


# ---------------------------------------------------------------- the reference: loops over single numbers


def times(X: Any, W: Any) -> Rows:
    return [[sum(x * W[i][j] for i, x in enumerate(row)) for j in range(len(W[0]))] for row in X]


def plus(X: Any, Y: Any) -> Rows:
    """X + Y, where Y may be one row for all."""
    return [[x + y for x, y in zip(row, Y[i if len(Y) > 1 else 0], strict=True)] for i, row in enumerate(X)]


def scaled(c: float, X: Any) -> Rows:
    return [[c * x for x in row] for row in X]


NAIVE_ACTS: Mapping[str, Callable[[float], float]] = {
    "relu": lambda x: max(x, 0.0),
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "quick_gelu": lambda x: x / (1 + math.exp(-1.702 * x)),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
}


def naive_norm(X: Any, name: str, owner: Tables, model: Tables, a: Architecture) -> Rows:
    if a.norm == "none":
        return X
    rows = []
    for row in X:
        mean = sum(row) / len(row) if a.norm == "layer" else 0.0
        variance = sum((x - mean) ** 2 for x in row) / len(row)
        gains = [g + 1 if a.norm_gain == "1 + g" else g for g in owner[f"g_{name}"][0]]
        new = [(x - mean) / math.sqrt(variance + model.get("eps", 0)) * g for x, g in zip(row, gains, strict=True)]
        rows.append([x + c for x, c in zip(new, owner[f"c_{name}"][0], strict=True)] if a.norm_bias else new)
    return rows


def naive_affine(X: Any, owner: Tables, name: str, biased: bool) -> Rows:
    product = times(X, owner[f"W_{name}"])
    return plus(product, owner[f"b_{name}"]) if biased else product


def naive_mlp(X: Any, owner: Tables, a: Architecture) -> Rows:
    act = NAIVE_ACTS[a.act]
    hidden = naive_affine(X, owner, "l1", a.mlp_bias)
    if a.mlp == "gated":
        gate = naive_affine(X, owner, "gate", a.mlp_bias)
        hidden = [[act(g) * x for g, x in zip(*rows, strict=True)] for rows in zip(gate, hidden, strict=True)]
    else:
        hidden = [[act(x) for x in row] for row in hidden]
    return naive_affine(hidden, owner, "l2", a.mlp_bias)


def naive_softmax(row: list[float]) -> list[float]:
    powers = [math.exp(x - max(row)) for x in row]
    return [power / sum(powers) for power in powers]


def naive_mixture(X: Any, layer: Tables, model: Tables, a: Architecture) -> Rows:
    outputs = [naive_mlp(X, expert, a) for expert in layer["experts"]]
    rows = []
    for i, logits in enumerate(times(X, layer["W_R"])):
        weights = naive_softmax(logits)
        chosen = sorted(range(len(weights)), key=lambda e: weights[e])[-model["top_k"] :]
        share = sum(weights[e] for e in chosen) if a.router == "renormalised" else 1.0
        rows.append([sum(weights[e] / share * outputs[e][i][j] for e in chosen) for j in range(len(X[0]))])
    return rows


def naive_turned(Y: Any, gain: str, owner: Tables, model: Tables, a: Architecture) -> Rows:
    Y = [list(row) for row in Y]
    if a.qk_norm:
        gains = [g + 1 if a.norm_gain == "1 + g" else g for g in owner[gain][0]]
        means = [sum(x * x for x in row) / len(row) + model.get("eps_qk", 0) for row in Y]
        Y = [[x / math.sqrt(m) * g for x, g in zip(row, gains, strict=True)] for row, m in zip(Y, means, strict=True)]
    if a.positions != "rotary":
        return Y
    r = model["rope_dim"] if a.rope_part == "part" else len(Y[0])
    for position, row in enumerate(Y):
        for j in range(r // 2):
            table = a.rope_frequencies == "table"
            theta = model["rope_freqs"][0][j] if table else model.get("rope_base", 10000) ** (-2 * j / r)
            one, two = (2 * j, 2 * j + 1) if a.rope_layout == "interleaved" else (j, j + r // 2)
            turn = complex(row[one], row[two]) * complex(math.cos(position * theta), math.sin(position * theta))
            row[one], row[two] = turn.real, turn.imag
    return Y


def naive_head(X: Any, head: Tables, model: Tables, a: Architecture) -> Rows:
    biased = a.attention_bias != "none"
    Q = naive_turned(naive_affine(X, head, "Q", biased), "g_Q", head, model, a)
    K = naive_turned(naive_affine(X, head, "K", biased), "g_K", head, model, a)
    V = naive_affine(X, head, "V", biased)
    scale = {"sqrt": 1 / math.sqrt(len(K[0])), "constant": model.get("scale"), "none": 1}[a.scale]
    context = []
    for i in range(len(X)):
        seen = range(i + 1) if a.mask == "causal" else range(len(X))
        logits = [head.get("scale", scale) * sum(q * k for q, k in zip(Q[i], K[j], strict=True)) for j in seen]
        if a.positions == "bias":
            logits = [logit + head["B_pos"][i][j] for j, logit in zip(seen, logits, strict=True)]
        weights = naive_softmax(logits)
        context.append([sum(weights[j] * V[j][c] for j in seen) for c in range(len(V[0]))])
    return times(context, head["W_O"])


def flat_heads(layer: Tables) -> list[Tables]:
    """Every head with what it shares."""
    if "groups" not in layer:
        return layer["heads"]
    return [{**group, **head} for group in layer["groups"] for head in group["heads"]]


def naive_mha(X: Any, layer: Tables, model: Tables, a: Architecture) -> Rows:
    Y = [[0.0] * len(X[0]) for _ in X]
    for head in flat_heads(layer):
        Y = plus(Y, naive_head(X, head, model, a))
    return plus(Y, layer["b_O"]) if a.attention_bias == "qkvo" else Y


def naive_output(model: Tables, a: Architecture) -> Rows:
    W_out = model["W_out"]
    X = times(model["tokens"], W_out.T) if a.tied else model["I"].tolist()
    X = scaled(model.get("embed_scale", math.sqrt(len(W_out))), X) if a.embed_scale else X
    X = plus(X, model["P"]) if a.positions == "table" else X
    X = naive_norm(X, "in", model, model, a) if a.embedding_norm else X
    for layer in model["layers"]:
        X = naive_layer(X, layer, model, a)
    X = naive_norm(X, "out", model, model, a) if a.final_norm else X
    X = scaled(model.get("logit_scale", 1 / math.sqrt(len(W_out))), X) if a.logit_scale else X
    return times(X, W_out)


def naive_layer(X: Any, layer: Tables, model: Tables, a: Architecture) -> Rows:
    def attention(Y: Any) -> Rows:
        return naive_mha(Y, layer, model, a)

    def feed(Y: Any) -> Rows:
        return naive_mixture(Y, layer, model, a) if a.experts else naive_mlp(Y, layer, a)

    if a.parallel:
        return naive_sublayer(X, "MHA", lambda Y: plus(attention(Y), feed(Y)), layer, model, a)
    X = naive_sublayer(X, "MHA", attention, layer, model, a)
    return naive_sublayer(X, "MLP", feed, layer, model, a)


def naive_sublayer(X: Any, name: str, f: Callable[[Any], Rows], layer: Tables, model: Tables, a: Architecture) -> Rows:
    def norm(Y: Any, suffix: str = "") -> Rows:
        return naive_norm(Y, name + suffix, layer, model, a)

    if a.placement == "pre":
        return plus(X, f(norm(X)))
    if a.placement == "post":
        return norm(plus(X, f(X)))
    if a.placement == "output":
        return plus(X, norm(f(X)))
    return plus(X, norm(f(norm(X)), "_post"))


# ---------------------------------------------------------------- it computes what the description says


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("eps", [None, 0.1])
def test_the_defaults_are_equations_1_to_5(seed: int, eps: float | None) -> None:
    rng = np.random.default_rng(seed)
    s, h, o = rng.integers(1, 8, 3)
    heads = [[tuple(rng.integers(1, 5, 2).tolist()) for _ in range(n)] for n in rng.integers(1, 4, 2)]
    model = random_model(rng, s=s, h=h, o=o, p=rng.integers(1, 9, 2).tolist(), heads=heads)
    I = rng.standard_normal((s, h))
    tables = read_tables(to_nested(model, I)) | ({} if eps is None else {"eps": eps})
    found = output(tables, described(eps=eps is not None))
    np.testing.assert_allclose(found, forward.transformer(model, I, eps or 0.0), rtol=1e-12, atol=1e-12)


# An option that speaks of a part which the paper does not have is tried where that part is.
NEEDS: Mapping[str, dict[str, Any]] = {
    "rope_layout": {"positions": "rotary"},
    "rope_frequencies": {"positions": "rotary"},
    "rope_part": {"positions": "rotary"},
    "router": {"experts": True},
}
CHOICES = [(option, value) for option, values in VALUES.items() for value in values[1:]]


@pytest.mark.parametrize(("option", "value"), CHOICES, ids=[f"{option}={value}" for option, value in CHOICES])
def test_every_option_computes_what_it_says(option: str, value: Any) -> None:
    a = described(**NEEDS.get(option, {}), **{option: value})
    tables = drawn(a)
    np.testing.assert_allclose(output(tables, a), naive_output(tables, a), **CLOSE)


def allowed(options: dict[str, Any]) -> bool:
    return not options["parallel"] or options["placement"] == "pre"


descriptions = st.fixed_dictionaries({option: st.sampled_from(values) for option, values in VALUES.items()})
architectures = descriptions.filter(allowed).map(Architecture.from_options)


@settings(max_examples=150, deadline=None)
@given(architectures, st.integers(0, 2**32 - 1))
def test_options_combine(a: Architecture, seed: int) -> None:
    assume(a.eps or a.act != "relu" or a.placement in ("pre", "post"))  # relu may write a row of zeros
    tables = drawn(a, seed)
    expected = np.array(naive_output(tables, a))
    # Without any norm a stream grows with every layer, and rounding with it.
    size = max(1.0, abs(expected).max())
    np.testing.assert_allclose(output(tables, a) / size, expected / size, rtol=1e-10, atol=1e-10)


# ---------------------------------------------------------------- no option can be left out


def without(option: str, tables: Tables, a: Architecture) -> Tables:
    """The tables as one reads them who does not know of the option: its own entries unread, missing ones drawn."""
    return cut(tables, drawn(a, seed=1), option)


def cut(tables: Tables, other: Tables, option: str) -> Tables:
    """The entries of `other`, taken from `tables` where these have them; of groups the first head, the first expert."""
    if option == "groups" and "heads" in other and "groups" in tables:
        tables = tables | {"heads": [{**group, **group["heads"][0]} for group in tables["groups"]]}
    if option == "experts" and "experts" in tables:
        tables = tables | tables["experts"][0]
    found = {}
    for name, entry in other.items():
        if isinstance(entry, list):
            found[name] = [cut(*pair, option) for pair in zip(tables[name], entry, strict=True)]
        else:
            found[name] = tables.get(name, entry)
    return found


@pytest.mark.parametrize(("option", "value"), CHOICES, ids=[f"{option}={value}" for option, value in CHOICES])
def test_leaving_an_option_out_changes_the_output(option: str, value: Any) -> None:
    needs = NEEDS.get(option, {})
    a, paper = described(**needs, **{option: value}), described(**needs)
    tables = drawn(a)
    unaware = without(option, tables, paper)
    check_tables(unaware, paper)
    assert abs(output(tables, a) - output(unaware, paper)).max() > 1e-3


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "quick_gelu", "silu"])
def test_similar_activations_are_told_apart(activation: str) -> None:
    a = described(act=activation)
    tables = drawn(a)
    others = [described(act=other) for other in ("gelu", "gelu_tanh", "quick_gelu", "silu") if other != activation]
    assert min(abs(output(tables, a) - output(tables, other)).max() for other in others) > 1e-5


def test_heads_of_a_group_share_keys_and_values() -> None:
    """With every head its own copy of what its group shares, the output is the same; with one copy altered, not."""
    a = described(groups=True, attention_bias="qkv", qk_norm=True)
    tables = drawn(a)
    layers = [{name: entry for name, entry in layer.items() if name != "groups"} for layer in tables["layers"]]
    heads = [
        [{name: entry for name, entry in head.items() if name != "heads"} for head in flat_heads(layer)]
        for layer in tables["layers"]
    ]
    copied = tables | {"layers": [layer | {"heads": own} for layer, own in zip(layers, heads, strict=True)]}
    flat = described(attention_bias="qkv", qk_norm=True)
    np.testing.assert_allclose(output(copied, flat), output(tables, a), **CLOSE)
    heads[0][1]["W_K"] = heads[0][1]["W_K"] + 1
    assert abs(output(copied, flat) - output(tables, a)).max() > 1e-3


KEPT = {
    "renormalised": [[0, 2 / 7, 5 / 7], [3 / 7, 0, 4 / 7]],
    "plain": [[0, 2 / 8, 5 / 8], [3 / 8, 0, 4 / 8]],
}


@pytest.mark.parametrize("kind", VALUES["router"])
def test_a_router_keeps_the_largest_weights(kind: str) -> None:
    scores = np.log([[1.0, 2.0, 5.0], [3.0, 1.0, 4.0]])
    found = architecture.router(scores, 2, described(experts=True, router=kind))
    np.testing.assert_allclose(found, KEPT[kind], **CLOSE)


def test_the_first_of_equal_weights_are_kept() -> None:
    found = architecture.router(np.zeros((1, 4)), 2, described(experts=True, router="plain"))
    assert found.tolist() == [[0.25, 0.25, 0, 0]]


def test_a_masked_token_has_no_weight_at_all() -> None:
    """Whatever stands in later rows, earlier rows of the output stay the same bit for bit."""
    a = described(mask="causal")
    tables = drawn(a)
    before = output(tables, a)
    tables["I"] = tables["I"].copy()
    tables["I"][3:] *= 100
    after = output(tables, a)
    assert (after[:3] == before[:3]).all()
    assert (after[3:] != before[3:]).all()


def test_a_head_may_have_its_own_factor() -> None:
    a = described()
    tables = drawn(a)
    before = output(tables, a)
    tables["layers"][0]["heads"][0]["scale"] = 0.9
    assert abs(output(tables, a) - before).max() > 1e-3
    np.testing.assert_allclose(output(tables, a), naive_output(tables, a), **CLOSE)


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("eps", 0.0),
        ("eps_qk", 0.0),
        ("rope_base", 10000.0),
        ("embed_scale", 6**0.5),
        ("logit_scale", 6**-0.5),
    ],
)
def test_constants_have_the_defaults_that_the_description_gives(name: str, default: float) -> None:
    a = described(eps=True, qk_norm=True, positions="rotary", embed_scale=True, logit_scale=True)
    tables = drawn(a) | {name: default}  # h is 6
    given = output(tables, a)
    del tables[name]
    assert (output(tables, a) == given).all()


@pytest.mark.parametrize("a", [described(), described(positions="rotary", act="gelu", mask="causal", scale="constant")])
def test_the_output_has_the_dtype_of_the_parameters(a: Architecture) -> None:
    exact = output(drawn(a), a)
    single = output(drawn(a, dtype="float32") | {name: np.float64(x) for name, x in numbers_of(a).items()}, a)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, exact, rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------- derivatives by the complex step

STEP = 1e-30


def moved(tables: Tables, direction: Tables, t: complex) -> Tables:
    """The tables with every array moved by t along the direction; numbers stay."""
    return {
        name: [moved(*pair, t) for pair in zip(entry, direction[name], strict=True)]
        if isinstance(entry, list)
        else entry + t * direction[name]
        if isinstance(entry, np.ndarray)
        else entry
        for name, entry in tables.items()
    }


@pytest.mark.parametrize(
    "a",
    [
        *(described(act=act, positions="rotary") for act in ACTIVATIONS),
        *(
            described(act="silu", **{**NEEDS.get(option, {}), option: value})
            for option, value in CHOICES
            if option != "act"
        ),
    ],
    ids=[*ACTIVATIONS, *(f"{option}={value}" for option, value in CHOICES if option != "act")],
)
def test_the_complex_step_is_the_slope(a: Architecture) -> None:
    tables, direction, t = drawn(a), drawn(a, seed=1), 1e-6
    slope = output(moved(tables, direction, 1j * STEP), a).imag / STEP
    difference = (output(moved(tables, direction, t), a) - output(moved(tables, direction, -t), a)) / (2 * t)
    # The central difference is wrong by t^2 f''' and by 1e-16 / t.
    np.testing.assert_allclose(slope, difference, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_an_activation_is_its_formula_far_out_too(act: str) -> None:
    x = np.array([-300.0, -40.0, -3.0, -1e-3, 0.0, 1e-3, 3.0, 40.0, 300.0])
    expected = [NAIVE_ACTS[act](y) for y in x]
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for found in (ACTIVATIONS[act](x), ACTIVATIONS[act](x + 1j * STEP)):
            np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


def test_relu_has_slope_zero_at_zero() -> None:
    assert ACTIVATIONS["relu"](np.array([0 + 1j * STEP])).imag == 0


# ---------------------------------------------------------------- what is said about wrong descriptions and tables


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalisation": "rms"}, "normalisation: found an unknown option, expected one of norm, norm_gain, "),
        ({"norm": "batch"}, "norm: found 'batch', expected one of 'rms', 'layer', 'none'"),
        ({"eps": 1}, "eps: found 1, expected one of False, True"),
        ({"mlp_bias": "no"}, "mlp_bias: found 'no', expected one of True, False"),
        ({"scale": False}, "scale: found False, expected one of 'sqrt', 'constant', 'none'"),
        (
            {"parallel": True, "placement": "post"},
            "parallel: found True with placement = 'post', expected placement = 'pre'",
        ),
        ({"act": ["relu"]}, "act: found ['relu'], expected one of 'relu', "),
    ],
)
def test_an_unknown_option_or_value_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        Architecture.from_options(options)
    assert str(error.value).startswith(message)


def test_the_first_value_of_every_option_is_the_papers() -> None:
    assert described(**{option: values[0] for option, values in VALUES.items()}) == Architecture()


EVERYTHING = described(
    norm="layer",
    norm_bias=True,
    eps=True,
    placement="sandwich",
    final_norm=True,
    embedding_norm=True,
    mlp="gated",
    attention_bias="qkvo",
    scale="constant",
    groups=True,
    qk_norm=True,
    positions="rotary",
    rope_frequencies="table",
    rope_part="part",
    tied=True,
    embed_scale=True,
    logit_scale=True,
    experts=True,
)
BIASED = described(positions="bias", attention_bias="qkvo")
FULL = [EVERYTHING, BIASED, described(), described(parallel=True)]


def places(tables: Tables, where: str = "") -> Iterator[tuple[str, Tables, str]]:
    """The full name of every entry, the table that holds it, and its name there."""
    for name, entry in tables.items():
        yield where + name, tables, name
        if isinstance(entry, list):
            for n, table in enumerate(entry):
                yield from places(table, f"{where}{name}[{n}].")


OPTIONAL = {"eps", "eps_qk", "embed_scale", "logit_scale"}


@pytest.mark.parametrize("a", FULL)
def test_a_missing_parameter_is_named(a: Architecture) -> None:
    for full_name, owner, name in list(places(tables := drawn(a))):
        entry = owner.pop(name)
        if name not in OPTIONAL:
            with pytest.raises(ValueError) as error:
                output(tables, a)
            assert str(error.value) == f"{full_name}: found nothing, expected an entry of that name"
        owner[name] = entry
    check_tables(tables, a)


@pytest.mark.parametrize("a", FULL)
def test_a_parameter_that_would_not_be_read_is_named(a: Architecture) -> None:
    tables = drawn(a)
    owners = {id(owner): (full_name.removesuffix(name), owner) for full_name, owner, name in places(tables)}
    for where, owner in owners.values():
        owner["W_new"] = np.ones((2, 2))
        with pytest.raises(ValueError) as error:
            output(tables, a)
        assert str(error.value) == f"{where}W_new: found an entry, expected none in this architecture"
        del owner["W_new"]


@pytest.mark.parametrize("a", FULL)
def test_a_wrong_shape_is_named(a: Architecture) -> None:
    """A row more and a column more is wrong for every array: each of its sizes is fixed by another one, or is 1."""
    alone = {"W_out", "tokens", "I", "rope_freqs"}  # what others are measured by: these are named instead
    for full_name, owner, name in list(places(tables := drawn(a))):
        if isinstance(array := owner[name], np.ndarray):
            owner[name] = np.ones(tuple(size + 1 for size in array.shape))
            with pytest.raises(ValueError, match=r"found shape .*, expected") as error:
                output(tables, a)
            assert name in alone or full_name.rpartition(".")[0] in str(error.value)
            owner[name] = array


def changed(name: str, entry: Any, **options: Any) -> tuple[Tables, Architecture]:
    a = described(**options)
    return drawn(a) | {name: entry}, a


@pytest.mark.parametrize(
    ("tables_and_architecture", "message"),
    [
        (changed("eps", 0.1), "eps: found an entry, expected none in this architecture"),
        (changed("P", np.ones((5, 6)), positions="rotary"), "P: found an entry, expected none in this architecture"),
        (changed("P", np.ones((4, 6))), "P: found shape (4, 6), expected (5, 6)"),
        (changed("W_out", np.ones((6, 3), int)), "W_out: found int64, expected an array of float32, "),
        (changed("W_out", [[1.0]]), "W_out: found list, expected an array of float32, "),
        (changed("W_out", np.ones((5, 3))), "W_out: found shape (5, 3), expected (6, any)"),
        (changed("layers", []), "layers: found none, expected at least one"),
        (changed("eps", -0.1, eps=True), "eps: found -0.1, expected at least 0"),
        (changed("eps", "0.1", eps=True), "eps: found '0.1', expected a number"),
        (changed("scale", [1.0], scale="constant"), "scale: found [1.0], expected a number"),
        (changed("top_k", 4, experts=True), "top_k: found 4, expected a whole number from 1 to 3"),
        (changed("top_k", 1.0, experts=True), "top_k: found 1.0, expected a whole number from 1 to 3"),
        (
            changed("rope_dim", 3, positions="rotary", rope_part="part"),
            "rope_dim: found 3, expected an even number from 2 to 4",
        ),
        (
            changed("rope_freqs", np.ones((1, 3)), positions="rotary", rope_frequencies="table"),
            "rope_freqs: found shape (1, 3), expected (1, 2) for layers[0].heads[0]",
        ),
    ],
)
def test_a_wrong_entry_is_named(tables_and_architecture: tuple[Tables, Architecture], message: str) -> None:
    with pytest.raises(ValueError) as error:
        output(*tables_and_architecture)
    assert str(error.value).startswith(message)


def test_an_odd_key_size_is_refused_where_pairs_turn() -> None:
    a = described(positions="rotary")
    tables = random_tables(np.random.default_rng(0), a, s=2, h=2, o=1, p=[1], heads=[[(3, 1)]])
    with pytest.raises(ValueError, match=r"layers\[0\]\.heads\[0\]\.W_K: found 3 columns, expected an even number"):
        output(tables, a)


def test_experts_are_as_many_as_the_router_has_columns() -> None:
    a = described(experts=True)
    tables = drawn(a)
    tables["layers"][1]["experts"].pop()
    with pytest.raises(ValueError, match=r"layers\[1\]\.experts: found 2, expected 3, the columns of W_R"):
        output(tables, a)


@pytest.mark.parametrize(("norm", "row"), [("rms", 0.0), ("layer", 1.0)])
def test_a_row_without_direction_has_no_norm_without_epsilon(norm: str, row: float) -> None:
    """RMSNorm has no direction for a row of zeros, LayerNorm none for a row of equal numbers."""
    tables = drawn(described(norm=norm))
    tables["I"], tables["P"] = tables["I"].copy(), tables["P"].copy()
    tables["I"][2], tables["P"][2] = row, 0
    with pytest.raises(ValueError, match=r"g_MHA: found row \[2\] before the norm zero with eps = 0, expected no 0/0"):
        output(tables, described(norm=norm))
    assert np.isfinite(output(tables | {"eps": 0.1}, described(norm=norm, eps=True))).all()


def test_tables_are_read_from_lists_of_exact_fractions() -> None:
    a = described(groups=True, experts=True)
    tables = drawn(a)
    nested = {**tables, "W_out": [["1/3", "2", "-1/4"]] * 6, "I": tables["I"].tolist()}
    read = read_tables(nested)
    assert (read["W_out"][0] == [1 / 3, 2, -1 / 4]).all()
    assert (output(read, a) == output({**tables, "W_out": read["W_out"]}, a)).all()
    with pytest.raises(ValueError, match=r"^I: "):
        read_tables({**nested, "I": [["one"]]})


# ---------------------------------------------------------------- these tests can fail


def test_a_forward_pass_that_ignores_the_mask_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architecture.np, "tri", lambda n, dtype: np.ones((n, n), bool))
    with pytest.raises(AssertionError):
        test_every_option_computes_what_it_says("mask", "causal")
    with pytest.raises(AssertionError):
        test_a_masked_token_has_no_weight_at_all()


def test_an_activation_that_is_not_analytic_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ACTIVATIONS, "silu", lambda x: x * ACTIVATIONS["sigmoid"](x).real)
    with pytest.raises(AssertionError):
        test_the_complex_step_is_the_slope(described(act="silu"))


@pytest.mark.parametrize("kind", VALUES["router"])
def test_a_router_that_does_not_ask_how_is_seen(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    router, other = architecture.router, next(value for value in VALUES["router"] if value != kind)
    always = described(experts=True, router=other)
    monkeypatch.setattr(architecture, "router", lambda scores, top_k, a: router(scores, top_k, always))
    with pytest.raises(AssertionError):
        test_a_router_keeps_the_largest_weights(kind)
    with pytest.raises(AssertionError):
        test_every_option_computes_what_it_says("router", kind)
