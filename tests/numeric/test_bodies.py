"""A body computes what it says, stands where the sublayer stood, and is refused in one line where it makes no sense."""

import json
from collections.abc import Callable
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from growproof.numeric import architecture, bodies, tables
from growproof.numeric.activations import ACTIVATIONS
from growproof.numeric.architecture import Architecture, output
from growproof.numeric.bodies import Body, names, value
from growproof.numeric.derivative import STEP, slope
from growproof.numeric.tables import random_tables, read_tables

Array = np.ndarray
Tables = dict[str, Any]

CLOSE = {"rtol": 1e-11, "atol": 1e-11}


def name(one: str) -> Body:
    return ("name", one)


X, MHA, MLP = map(name, ("X", "MHA", "MLP"))
A, B, ROW = map(name, ("A", "B", "row"))


def affine(body: Body, weights: str, bias: str) -> Body:
    return ("+", ("*", body, name(weights)), name(bias))


DEEPER = affine(("act", affine(("act", affine(X, "W_l1", "b_l1")), "M_W", "M_b")), "W_l2", "b_l2")
ADAPTER = ("+", MLP, ("*", ("act", ("*", MLP, name("M_A"))), name("M_B")))


# ---------------------------------------------------------------- every operation, by numpy


def drawn() -> dict[str, Array]:
    """A and B of one shape, X square, a row of their width."""
    rng = np.random.default_rng(0)
    shapes = {"X": (3, 3), "A": (3, 4), "B": (3, 4), "row": (1, 4)}
    return {one: rng.standard_normal(shape) for one, shape in shapes.items()}


Expected = Callable[[Array, Array, Array, Array], Array]

OPERATIONS: dict[str, tuple[Body, Expected]] = {
    "name": (A, lambda X, A, B, row: A),
    "number": (("*", ("number", Fraction(-1, 3)), A), lambda X, A, B, row: -A / 3),
    "numbers": (("*", ("+", ("number", 2), ("number", 0.5)), A, ("'", ("number", 3))), lambda X, A, B, row: 7.5 * A),
    "+": (("+", A, B, A), lambda X, A, B, row: 2 * A + B),
    "+ row": (("+", A, ROW), lambda X, A, B, row: np.array([a + row[0] for a in A])),
    "row +": (("+", ROW, ROW, A), lambda X, A, B, row: np.array([a + 2 * row[0] for a in A])),
    "*": (("*", X, A, ("'", B)), lambda X, A, B, row: np.einsum("ij,jk,lk->il", X, A, B)),
    "'": (("'", A), lambda X, A, B, row: np.array([[A[i, j] for i in range(3)] for j in range(4)])),
    "act": (("act", A), lambda X, A, B, row: np.maximum(A, 0)),
    "hadamard": (("hadamard", A, B), lambda X, A, B, row: np.einsum("ij,ij->ij", A, B)),
    "kron": (("kron", A, ROW), lambda X, A, B, row: np.hstack([A[:, [j]] @ row for j in range(4)])),
    "diag": (("diag", ROW), lambda X, A, B, row: np.eye(4) * row),
    "blocks": (
        ("blocks", ((X, A), (("'", A), ("eye", 4)))),
        lambda X, A, B, row: np.vstack([np.hstack([X, A]), np.hstack([A.T, np.eye(4)])]),
    ),
    "zeros": (("zeros", 2, 3), lambda X, A, B, row: np.array([[0.0] * 3] * 2)),
    "ones": (("*", ("ones", 2, 3), A), lambda X, A, B, row: np.array([A.sum(axis=0)] * 2)),
    "eye": (("eye", 2), lambda X, A, B, row: np.array([[1.0, 0.0], [0.0, 1.0]])),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_computes_what_it_says(operation: str) -> None:
    body, expected = OPERATIONS[operation]
    found, wanted = value(body, drawn(), ACTIVATIONS["relu"]), expected(*drawn().values())
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_the_activation_is_the_architecture_s(act: str) -> None:
    assert (value(("act", A), drawn(), ACTIVATIONS[act]) == ACTIVATIONS[act](drawn()["A"])).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble", "complex128"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_has_the_dtype_of_what_it_reads(operation: str, dtype: str) -> None:
    body, expected = OPERATIONS[operation]
    matrices = {one: entry.astype(dtype) for one, entry in drawn().items()}
    found = value(body, matrices, ACTIVATIONS["relu"])
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_allclose(found, expected(*drawn().values()), rtol=1e-5, atol=1e-5)


shapes = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(shapes, shapes)
def test_a_sum_is_of_equal_shapes_or_of_a_row_and_its_width(one: tuple[int, int], other: tuple[int, int]) -> None:
    matrices = {"X": np.ones((1, 1)), "A": np.full(one, 2.0), "B": np.full(other, 3.0)}
    if one[1] == other[1] and (one[0] == other[0] or 1 in (one[0], other[0])):
        found = value(("+", A, B), matrices, ACTIVATIONS["relu"])
        assert found.tolist() == [[5.0] * one[1]] * max(one[0], other[0])
    else:
        with pytest.raises(ValueError, match="in a sum"):
            value(("+", A, B), matrices, ACTIVATIONS["relu"])


@given(shapes, shapes)
def test_a_product_needs_as_many_rows_as_columns(one: tuple[int, int], other: tuple[int, int]) -> None:
    """A matrix of one entry is no number."""
    matrices = {"X": np.ones((1, 1)), "A": np.full(one, 2.0), "B": np.full(other, 3.0)}
    if one[1] == other[0]:
        found = value(("*", A, B), matrices, ACTIVATIONS["relu"])
        assert found.tolist() == [[6.0 * one[1]] * other[1]] * one[0]
    else:
        with pytest.raises(ValueError, match="in a product"):
            value(("*", A, B), matrices, ACTIVATIONS["relu"])


def test_the_names_of_a_body_are_those_at_its_leaves() -> None:
    assert names(DEEPER) == {"X", "W_l1", "b_l1", "M_W", "M_b", "W_l2", "b_l2"}
    assert names(ADAPTER) == {"MLP", "M_A", "M_B"}
    assert names(("blocks", ((A, ("kron", B, ROW)), (("ones", 1, 2), ("number", 1))))) == {"A", "B", "row"}


# ---------------------------------------------------------------- in the place of a sublayer


def model(a: Architecture, forward: dict[str, Body], **extra: str) -> Tables:
    """Two layers of different p, each with random matrices of its own; a size of these is h, p or 1."""
    rng = np.random.default_rng(0)
    found = random_tables(rng, a, s=5, h=6, o=3, p=[7, 4], heads=[[(4, 3), (2, 2)], [(4, 1)]], **numbers(a))
    for layer, p in zip(found["layers"], (7, 4), strict=True):
        sizes = {"h": 6, "p": p, "1": 1}
        layer |= {one: rng.standard_normal([sizes[size] for size in shape.split()]) for one, shape in extra.items()}
    return found | {"forward": forward}


def numbers(a: Architecture) -> dict[str, float]:
    return {"top_k": 2} if a.experts else {}


def deeper(a: Architecture) -> Tables:
    return model(a, {"MLP": DEEPER}, M_W="p p", M_b="1 p")


def adapted(a: Architecture) -> Tables:
    return model(a, {"MLP": ADAPTER}, M_A="h p", M_B="p h")


def plain(found: Tables, **own: Array) -> Tables:
    """The same model without bodies and what they read, with other matrices in every layer."""
    layers = [
        {one: entry for one, entry in layer.items() if not one.startswith("M_")} | own for layer in found["layers"]
    ]
    return {one: entry for one, entry in found.items() if one != "forward"} | {"layers": layers}


Sublayer = Callable[[Array, Tables], Array]


def by_hand(found: Tables, mha: Sublayer, mlp: Sublayer) -> Array:
    """Equations 1, 2 and 5 with given sublayers."""
    S = found["I"] + found["P"]
    for layer in found["layers"]:
        S = S + mha(S / np.sqrt((S**2).mean(axis=1, keepdims=True)) * layer["g_MHA"], layer)
        S = S + mlp(S / np.sqrt((S**2).mean(axis=1, keepdims=True)) * layer["g_MLP"], layer)
    return S @ found["W_out"]


def attention(found: Tables, a: Architecture) -> Sublayer:
    """The architecture's own, tested elsewhere."""
    return lambda S, layer: architecture.mha(S, layer, found, a)


def hidden(S: Array, layer: Tables, act: Callable[[Array], Array]) -> Array:
    return act(S @ layer["W_l1"] + layer["b_l1"])


@pytest.mark.parametrize("act", ["relu", "gelu"])
def test_a_deeper_mlp_is_computed(act: str) -> None:
    a, f = Architecture(act=act), ACTIVATIONS[act]
    found = deeper(a)

    def mlp(S: Array, layer: Tables) -> Array:
        return f(hidden(S, layer, f) @ layer["M_W"] + layer["M_b"]) @ layer["W_l2"] + layer["b_l2"]

    np.testing.assert_allclose(output(found, a), by_hand(found, attention(found, a), mlp), **CLOSE)


@pytest.mark.parametrize(("act", "same"), [("relu", True), ("gelu", False), ("silu", False)])
def test_an_identity_layer_in_the_mlp_does_nothing_where_the_activation_is_idempotent(act: str, same: bool) -> None:
    a = Architecture(act=act)
    found = deeper(a)
    for layer, p in zip(found["layers"], (7, 4), strict=True):
        layer |= {"M_W": np.eye(p), "M_b": np.zeros((1, p))}
    apart = abs(output(found, a) - output(plain(found), a)).max()
    assert apart < 1e-13 if same else apart > 1e-3


def test_an_adapter_is_computed() -> None:
    a = Architecture()
    found = adapted(a)

    def mlp(S: Array, layer: Tables) -> Array:
        Y = hidden(S, layer, ACTIVATIONS["relu"]) @ layer["W_l2"] + layer["b_l2"]
        return Y + np.maximum(Y @ layer["M_A"], 0) @ layer["M_B"]

    np.testing.assert_allclose(output(found, a), by_hand(found, attention(found, a), mlp), **CLOSE)


def test_both_sublayers_may_have_a_body_that_reads_the_other_s_function() -> None:
    a = Architecture()
    own = {"MHA": ("*", MHA, name("M_A")), "MLP": ("+", ("*", ("number", Fraction(1, 2)), MLP), MHA, name("b_l2"))}
    found = model(a, own, M_A="h h")
    heads = attention(found, a)

    def mlp(S: Array, layer: Tables) -> Array:
        half = (hidden(S, layer, ACTIVATIONS["relu"]) @ layer["W_l2"] + layer["b_l2"]) / 2
        return half + heads(S, layer) + layer["b_l2"]

    expected = by_hand(found, lambda S, layer: heads(S, layer) @ layer["M_A"], mlp)
    np.testing.assert_allclose(output(found, a), expected, **CLOSE)


UNLIKE = [
    Architecture(),
    Architecture(norm="layer", norm_bias=True, placement="sandwich", attention_bias="qkvo", groups=True),
    Architecture(parallel=True, positions="none", mlp="gated", act="silu", mask="causal"),
    Architecture(experts=True, router="plain", placement="post"),
]
ORDINARY = {"MHA": MHA, "MLP": MLP}


@pytest.mark.parametrize("a", UNLIKE)
def test_a_body_that_is_the_sublayer_changes_nothing(a: Architecture) -> None:
    found = model(a, ORDINARY)
    assert (output(found, a) == output(plain(found), a)).all()


@pytest.mark.parametrize("a", UNLIKE)
def test_an_adapter_that_writes_nothing_changes_nothing_and_another_one_does(a: Architecture) -> None:
    found = adapted(a)
    assert abs(output(found, a) - output(plain(found), a)).max() > 1e-3
    for layer in found["layers"]:
        layer["M_B"] = 0 * layer["M_B"]
    assert (output(found, a) == output(plain(found), a)).all()


def test_a_body_reads_what_the_sublayer_reads() -> None:
    """After the norm where that stands before, the stream itself where not: MHA = X doubles the stream then."""
    a = Architecture(norm="none")
    found = model(a, {"MHA": X, "MLP": ("zeros", 5, 6)})
    np.testing.assert_allclose(output(found, a), 4 * (found["I"] + found["P"]) @ found["W_out"], **CLOSE)
    a = Architecture(norm="rms")
    found = model(a, {"MHA": X, "MLP": ("zeros", 5, 6)})
    expected = by_hand(found, lambda S, layer: S, lambda S, layer: 0 * S)
    np.testing.assert_allclose(output(found, a), expected, **CLOSE)


@pytest.mark.parametrize("dtype", ["float32", "longdouble"])
def test_the_output_has_the_dtype_of_the_parameters(dtype: str) -> None:
    for found in (deeper(Architecture()), adapted(Architecture())):
        single = output(astype(found, dtype), Architecture())
        assert single.dtype == np.dtype(dtype)
        np.testing.assert_allclose(single, output(found, Architecture()), rtol=1e-3, atol=1e-3)


def astype(entry: Any, dtype: str) -> Any:
    if isinstance(entry, list):
        return [{one: astype(inner, dtype) for one, inner in table.items()} for table in entry]
    if isinstance(entry, dict) and "layers" in entry:
        return {one: astype(inner, dtype) for one, inner in entry.items()}
    return entry.astype(dtype) if isinstance(entry, np.ndarray) else entry


def test_bodies_are_read_with_the_tables() -> None:
    found = deeper(Architecture())
    read = read_tables(found | {"I": found["I"].tolist()})
    assert read["forward"] == {"MLP": DEEPER}
    assert (output(read, Architecture()) == output(found, Architecture())).all()


def test_a_body_may_be_lists_as_json_has_them() -> None:
    found = deeper(Architecture())
    listed = found | {"forward": json.loads(json.dumps(found["forward"]))}
    assert listed["forward"]["MLP"][0] == "+"
    assert (output(listed, Architecture()) == output(found, Architecture())).all()


# ---------------------------------------------------------------- the slope

OPTIONS = {"act": "silu"}
OLD = ("W_l1", "b_l1", "W_l2", "b_l2", "g_MLP", "g_MHA")


def moved(found: Tables, one: str, t: complex) -> Tables:
    """One matrix of every layer, in a direction of its own."""
    rng = np.random.default_rng(1)
    layers = [layer | {one: layer[one] + t * rng.standard_normal(layer[one].shape)} for layer in found["layers"]]
    return found | {"layers": layers}


@pytest.mark.parametrize(
    ("make", "matrix"),
    [(deeper, one) for one in (*OLD, "M_W", "M_b")] + [(adapted, one) for one in (*OLD, "M_A", "M_B")],
)
def test_the_complex_step_through_a_body_is_the_slope(make: Callable[..., Tables], matrix: str) -> None:
    a, t = Architecture.from_options(OPTIONS), 1e-6
    found = make(a)
    exact = slope(moved(found, matrix, 1j * STEP), OPTIONS)
    central = (output(moved(found, matrix, t), a) - output(moved(found, matrix, -t), a)) / (2 * t)
    assert abs(exact).max() > 1e-3
    np.testing.assert_allclose(exact, central, rtol=1e-6, atol=1e-5 * abs(exact).max())


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "body",
    [
        (),
        "X",
        None,
        3,
        ("name",),
        ("name", 3),
        ("name", "X", "Y"),
        ("number", "1/2"),
        ("number", 1j),
        ("minus", X),
        ("+",),
        ("*",),
        ("'", X, X),
        ("act",),
        ("act", X, X),
        ("hadamard", X),
        ("kron", X, X, X),
        ("diag",),
        ("zeros", 2),
        ("zeros", 0, 2),
        ("ones", 2, 2.0),
        ("ones", X, 2),
        ("eye", -1),
        ("eye", 2, 2),
        ("blocks", ()),
        ("blocks", ((),)),
        ("blocks", (X, "X")),
        ("blocks", ((X, X), (X,))),
        ("blocks", (3,)),
        ("blocks",),
        ({"name": "X"}, X),
    ],
)
@pytest.mark.parametrize("around", [lambda body: body, lambda body: ("+", X, ("act", ("blocks", ((body,),))))])
def test_what_is_no_body_is_named(body: Any, around: Callable[[Any], Any]) -> None:
    with pytest.raises(ValueError) as error:
        output(model(Architecture(), {"MLP": around(body)}), Architecture())
    assert_one_line(error, "forward.MLP: found ")
    assert str(error.value).endswith(", expected a body such as ('name', 'X')")


def assert_one_line(error: pytest.ExceptionInfo[ValueError], start: str) -> None:
    assert str(error.value).startswith(start)
    assert "\n" not in str(error.value)


MISFITS = [
    (("+", X, name("W_l1")), "found shapes (5, 6) and (6, 7) in a sum, expected equal ones, or a row and a matrix"),
    (("+", X, ("number", 1)), "found shapes (5, 6) and () in a sum, expected "),
    (("+", X, ("ones", 5, 1)), "found shapes (5, 6) and (5, 1) in a sum, expected "),
    (("+", X, ("ones", 1, 1)), "found shapes (5, 6) and (1, 1) in a sum, expected "),
    (("*", X, X), "found shapes (5, 6) and (5, 6) in a product, expected as many columns as rows after them"),
    (("*", X, ("ones", 1, 1)), "found shapes (5, 6) and (1, 1) in a product, expected "),
    (("hadamard", X, name("b_l2")), "found shapes (5, 6) and (1, 6) in a Hadamard product, expected equal ones"),
    (("hadamard", X, ("number", 1)), "found shape () of an operand, expected a matrix"),
    (("*", ("act", ("number", 1)), X), "found shape () of an operand, expected a matrix"),
    (("kron", ("number", 1), X), "found shape () of an operand, expected a matrix"),
    (("diag", X), "found shape (5, 6) on a diagonal, expected a row"),
    (("diag", ("number", 2)), "found shape () on a diagonal, expected a row"),
    (("blocks", ((X, ("number", 0)),)), "found shape () of an operand, expected a matrix"),
    (("blocks", ((X, ("ones", 1, 6)),)), "found shapes (5, 6) and (1, 6) of blocks, expected one height in a row, "),
    (("blocks", ((X,), (("ones", 1, 1),))), "found shapes (5, 6) and (1, 1) of blocks, expected "),
    (
        ("blocks", ((("ones", 1, 2), ("ones", 1, 4)), (("ones", 4, 4), ("ones", 4, 2)))),
        "found shapes (1, 2) and (1, 4) and (4, 4) and (4, 2) of blocks, expected ",
    ),
    (name("b_l2"), "found shape (1, 6) of the whole body, expected that of X, (5, 6)"),
    (("number", 1), "found shape () of the whole body, expected that of X, (5, 6)"),
    (("*", X, name("W_l1")), "found shape (5, 7) of the whole body, expected that of X, (5, 6)"),
]


@pytest.mark.parametrize(("body", "message"), MISFITS)
def test_shapes_that_do_not_fit_are_named(body: Body, message: str) -> None:
    with pytest.raises(ValueError) as error:
        output(model(Architecture(), {"MLP": body}), Architecture())
    assert_one_line(error, f"forward.MLP: {message}")


@pytest.mark.parametrize(
    ("forward", "extra", "message"),
    [
        ({"FFN": X}, {}, "forward.FFN: found a body, expected one for MHA or MLP"),
        ({"MLP": name("M")}, {}, "layers[0].M: found nothing, expected an entry of that name"),
        ({"MLP": name("W_Q")}, {}, "layers[0].W_Q: found nothing, expected an entry of that name"),
        ({"MLP": name("W_out")}, {}, "layers[0].W_out: found nothing, expected an entry of that name"),
        ({"MLP": name("heads")}, {}, "layers[0].heads: found list, expected an array of "),
        ({"MLP": X}, {"M": "h h"}, "layers[0].M: found an entry, expected none in this architecture"),
        ({"MLP": X}, {"X": "h h"}, "layers[0].X: found an entry, expected none in this architecture"),
        ({"MLP": X}, {"MLP": "h h"}, "layers[0].MLP: found an entry, expected none in this architecture"),
        ({"MLP": name("M")}, {"M": "h"}, "layers[0].M: found shape (6,), expected (any, any)"),
    ],
)
def test_names_without_matrix_and_matrices_without_use_are_named(
    forward: dict[str, Body], extra: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError) as error:
        output(model(Architecture(), forward, **extra), Architecture())
    assert_one_line(error, message)


def test_the_second_layer_too_needs_the_matrices_of_a_body() -> None:
    found = deeper(Architecture())
    del found["layers"][1]["M_b"]
    with pytest.raises(ValueError, match=r"layers\[1\]\.M_b: found nothing, expected an entry of that name"):
        output(found, Architecture())
    found["layers"][1]["M_b"] = [[1.0] * 4]
    with pytest.raises(ValueError, match=r"layers\[1\]\.M_b: found list, expected an array of "):
        output(found, Architecture())


def test_a_body_is_not_for_the_experts_matrices() -> None:
    """Each expert has its own W_l1, and a layer none."""
    a = Architecture(experts=True)
    with pytest.raises(ValueError, match=r"layers\[0\]\.W_l1: found nothing, expected an entry of that name"):
        output(deeper(a), a)


# ---------------------------------------------------------------- these tests can fail

WRONG: dict[str, tuple[str, Callable[..., Array]]] = {
    "the last summand left out": ("+", lambda *terms: reduce(bodies.add, terms[:-1])),
    "the first summand twice": ("+", lambda *terms: reduce(bodies.add, (terms[0], *terms))),
    "factors in the other order": ("*", lambda *factors: reduce(lambda a, b: bodies.times(b, a), factors)),
    "no transpose": ("'", lambda a: a),
    "a sum for a Hadamard product": ("hadamard", lambda a, b: a + b),
    "Kronecker factors in the other order": ("kron", lambda a, b: np.kron(b, a)),
    "a diagonal from its end": ("diag", lambda a: np.diagflat(a[:, ::-1])),
}


def failing(operations: Any) -> set[str]:
    found = set()
    for operation in operations:
        try:
            test_an_operation_computes_what_it_says(operation)
        except (AssertionError, ValueError):
            found.add(operation)
    return found


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_operation_is_seen(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failing(OPERATIONS) == set()
    operation, function = WRONG[wrong]
    monkeypatch.setitem(bodies.OPERATIONS, operation, function)
    assert operation in failing(OPERATIONS)


@pytest.mark.parametrize(
    ("function", "wrong", "operation"),
    [
        ("grid", lambda rows: np.block([list(column) for column in zip(*rows, strict=True)]), "blocks"),
        ("matrix", lambda a: -a, "act"),
    ],
)
def test_a_wrong_step_inside_is_seen(
    function: str, wrong: Callable[..., Array], operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, function, wrong)
    assert operation in failing([operation])


def test_a_body_that_is_not_run_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    computed = bodies.computed

    def own(one: str, body: Body, known: Any, act: Any) -> Array:
        assert one in bodies.SUBLAYERS
        return computed(one, X, known, act)

    monkeypatch.setattr(bodies, "computed", own)
    for test in (
        lambda: test_a_deeper_mlp_is_computed("relu"),
        test_an_adapter_is_computed,
        test_both_sublayers_may_have_a_body_that_reads_the_other_s_function,
    ):
        with pytest.raises(AssertionError):
            test()


@pytest.mark.parametrize(("body", "message"), MISFITS)
def test_without_its_check_a_misfit_is_not_named(body: Body, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_fit", lambda fits, expected, *operands: operands[0])
    with pytest.raises((AssertionError, IndexError, pytest.fail.Exception)):
        test_shapes_that_do_not_fit_are_named(body, message)


def test_matrices_that_nobody_asks_for_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "body_shapes", lambda model, a: {"M": "? ?"})
    with pytest.raises(pytest.fail.Exception):
        test_names_without_matrix_and_matrices_without_use_are_named({"MLP": X}, {"M": "h h"}, "")


def test_a_step_that_is_not_analytic_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bodies.OPERATIONS, "*", lambda *factors: reduce(bodies.times, factors).real + 0j)
    with pytest.raises(AssertionError):
        test_the_complex_step_through_a_body_is_the_slope(deeper, "M_W")
