"""The parameters of a transformer: the table of section 2 of the paper, one array per row.

Row vectors are 1 x n. Layers may differ in p and in their number of heads, heads in k and v.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .formats import Array, as_dtype


@dataclass(frozen=True, eq=False)
class Head:
    """One attention head: W_Q, W_K are h x k, W_V is h x v, W_O (its split of the output matrix) is v x h.

    `scale` is the factor on its scores; None stands for that of equation 4, 1/sqrt(k).
    """

    W_Q: Array
    W_K: Array
    W_V: Array
    W_O: Array
    scale: float | None = None

    @property
    def k(self) -> int:
        return int(self.W_Q.shape[1])

    @property
    def v(self) -> int:
        return int(self.W_V.shape[1])


HEAD_MATRICES = ("W_Q", "W_K", "W_V", "W_O")


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer: norm gains 1 x h, heads, W_l1 h x p, b_l1 1 x p, W_l2 p x h, b_l2 1 x h."""

    g_MHA: Array
    heads: tuple[Head, ...]
    g_MLP: Array
    W_l1: Array
    b_l1: Array
    W_l2: Array
    b_l2: Array

    @property
    def p(self) -> int:
        return int(self.W_l1.shape[1])


@dataclass(frozen=True, eq=False)
class Model:
    """A transformer: positions P (s x h), layers, output projection W_out (h x o).

    Raises ValueError, in one line with the parameter, the shape found and the shape expected, unless every
    shape fits, and unless every parameter has the dtype of P.
    """

    P: Array
    layers: tuple[Layer, ...]
    W_out: Array

    def __post_init__(self) -> None:
        _check_shapes(self)

    @property
    def s(self) -> int:
        return int(self.P.shape[0])

    @property
    def h(self) -> int:
        return int(self.P.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.P.dtype


def map_parameters(model: Model, change: Callable[[Array], Array]) -> Model:
    """The model with `change` applied to every parameter array."""
    return Model(change(model.P), tuple(_map_layer(layer, change) for layer in model.layers), change(model.W_out))


def cast(model: Model, dtype: DTypeLike) -> Model:
    """The model with every parameter rounded to the dtype."""
    target = as_dtype(dtype)
    return map_parameters(model, lambda parameter: parameter.astype(target))


def from_nested(nested: Mapping[str, Any], dtype: DTypeLike = np.float64) -> tuple[Model, Array]:
    """The model and input written as {I, P, W_out, layers: [{g_MHA, ..., heads: [{W_Q, ...}]}]}.

    Entries are nested lists or arrays of numbers; strings such as "3" or "1/2" are exact fractions. Raises
    ValueError for a missing parameter or a wrong shape.
    """
    target = as_dtype(dtype)
    layers = tuple(
        _layer_from_nested(layer, f"layers[{n}]", target) for n, layer in enumerate(_get(nested, "layers", ""))
    )
    model = Model(_array(nested, "P", "", target), layers, _array(nested, "W_out", "", target))
    return model, check_input(model, _array(nested, "I", "", target))


def to_nested(model: Model, I: Array) -> dict[str, Any]:
    """The inverse of `from_nested`: nested lists of Python floats."""
    return {
        "I": _list(I),
        "P": _list(model.P),
        "W_out": _list(model.W_out),
        "layers": [_layer_to_nested(layer) for layer in model.layers],
    }


def check_input(model: Model, I: Array) -> Array:
    """I itself. Raises ValueError unless I is s x h, or has further axes in front."""
    if I.ndim < 2 or I.shape[-2:] != model.P.shape:
        raise ValueError(f"I: found shape {I.shape}, expected (..., {model.s}, {model.h})")
    return I


def random_model(
    rng: np.random.Generator,
    *,
    s: int,
    h: int,
    o: int,
    p: Sequence[int],
    heads: Sequence[Sequence[tuple[int, int]]],
    dtype: DTypeLike = np.float64,
) -> Model:
    """A model with random parameters; p has one entry per layer, heads one list of (k, v) per layer.

    Matrices are normal with variance 1/rows, so that activations keep their size; gains lie around one.
    """
    layers = tuple(
        random_layer(rng, h=h, p=width, heads=shapes, dtype=dtype) for width, shapes in zip(p, heads, strict=True)
    )
    return Model(random_rows(rng, s, h, dtype), layers, random_matrix(rng, h, o, dtype))


def random_layer(
    rng: np.random.Generator,
    *,
    h: int,
    p: int,
    heads: Sequence[tuple[int, int]],
    dtype: DTypeLike = np.float64,
) -> Layer:
    """A random layer of width h, with MLP width p and one head per (k, v)."""
    return Layer(
        g_MHA=random_gain(rng, h, dtype),
        heads=tuple(random_head(rng, h=h, k=k, v=v, dtype=dtype) for k, v in heads),
        g_MLP=random_gain(rng, h, dtype),
        W_l1=random_matrix(rng, h, p, dtype),
        b_l1=random_rows(rng, 1, p, dtype),
        W_l2=random_matrix(rng, p, h, dtype),
        b_l2=random_rows(rng, 1, h, dtype),
    )


def random_head(rng: np.random.Generator, *, h: int, k: int, v: int, dtype: DTypeLike = np.float64) -> Head:
    """A random head of width h with key size k and value size v."""
    return Head(
        W_Q=random_matrix(rng, h, k, dtype),
        W_K=random_matrix(rng, h, k, dtype),
        W_V=random_matrix(rng, h, v, dtype),
        W_O=random_matrix(rng, v, h, dtype),
    )


def random_matrix(rng: np.random.Generator, rows: int, columns: int, dtype: DTypeLike) -> Array:
    """rows x columns, normal with variance 1/rows."""
    return np.asarray(rng.standard_normal((rows, columns)) / np.sqrt(rows)).astype(as_dtype(dtype))


def random_rows(rng: np.random.Generator, rows: int, columns: int, dtype: DTypeLike) -> Array:
    """rows x columns, standard normal: inputs, positions, biases."""
    return rng.standard_normal((rows, columns)).astype(as_dtype(dtype))


def random_gain(rng: np.random.Generator, h: int, dtype: DTypeLike) -> Array:
    """1 x h, uniform between 1/2 and 3/2."""
    return rng.uniform(0.5, 1.5, (1, h)).astype(as_dtype(dtype))


def _map_layer(layer: Layer, change: Callable[[Array], Array]) -> Layer:
    arrays = {f.name: change(getattr(layer, f.name)) for f in fields(Layer) if f.name != "heads"}
    heads = tuple(
        Head(**{name: change(getattr(head, name)) for name in HEAD_MATRICES}, scale=head.scale) for head in layer.heads
    )
    return Layer(heads=heads, **arrays)


def _check_shapes(model: Model) -> None:
    if model.P.ndim != 2 or 0 in model.P.shape:
        raise ValueError(f"P: found shape {model.P.shape}, expected (s, h)")
    if not model.layers:
        raise ValueError("layers: found none, expected at least one")
    _check(model, "W_out", model.W_out, (model.h, None))
    for n, layer in enumerate(model.layers):
        _check_layer(model, f"layers[{n}].", layer)


def _check_layer(model: Model, where: str, layer: Layer) -> None:
    h = model.h
    if not layer.heads:
        raise ValueError(f"{where}heads: found none, expected at least one")
    _check(model, where + "g_MHA", layer.g_MHA, (1, h))
    _check(model, where + "g_MLP", layer.g_MLP, (1, h))
    _check(model, where + "W_l1", layer.W_l1, (h, None))
    _check(model, where + "b_l1", layer.b_l1, (1, layer.p))
    _check(model, where + "W_l2", layer.W_l2, (layer.p, h))
    _check(model, where + "b_l2", layer.b_l2, (1, h))
    for e, head in enumerate(layer.heads):
        inside = f"{where}heads[{e}]."
        _check(model, inside + "W_Q", head.W_Q, (h, None))
        _check(model, inside + "W_K", head.W_K, (h, head.k))
        _check(model, inside + "W_V", head.W_V, (h, None))
        _check(model, inside + "W_O", head.W_O, (head.v, h))


def _check(model: Model, name: str, array: Array, expected: tuple[int | None, ...]) -> None:
    """Raise unless the array has that shape (None: any size from one) and the model's dtype."""
    fits = array.ndim == len(expected) and all(
        size == wanted if wanted is not None else size >= 1 for size, wanted in zip(array.shape, expected, strict=True)
    )
    if not fits:
        shape = ", ".join("any" if wanted is None else str(wanted) for wanted in expected)
        raise ValueError(f"{name}: found shape {array.shape}, expected ({shape})")
    if array.dtype != model.dtype:
        raise ValueError(f"{name}: found {array.dtype}, expected {model.dtype}, the dtype of P")


def _layer_from_nested(nested: Mapping[str, Any], where: str, dtype: np.dtype[Any]) -> Layer:
    arrays = {f.name: _array(nested, f.name, where, dtype) for f in fields(Layer) if f.name != "heads"}
    heads = tuple(
        Head(**{name: _array(head, name, f"{where}.heads[{e}]", dtype) for name in HEAD_MATRICES}, scale=_scale(head))
        for e, head in enumerate(_get(nested, "heads", where))
    )
    return Layer(heads=heads, **arrays)


def _layer_to_nested(layer: Layer) -> dict[str, Any]:
    nested: dict[str, Any] = {f.name: _list(getattr(layer, f.name)) for f in fields(Layer) if f.name != "heads"}
    nested["heads"] = [
        {name: _list(getattr(head, name)) for name in HEAD_MATRICES} | _scale_to_nested(head) for head in layer.heads
    ]
    return nested


def _scale_to_nested(head: Head) -> dict[str, float]:
    return {} if head.scale is None else {"scale": head.scale}


def _scale(nested: Mapping[str, Any]) -> float | None:
    return None if nested.get("scale") is None else float(nested["scale"])


def _get(nested: Mapping[str, Any], name: str, where: str) -> Any:
    if name not in nested:
        raise ValueError(f"{where}{'.' * bool(where)}{name}: found nothing, expected an entry of that name")
    return nested[name]


def _array(nested: Mapping[str, Any], name: str, where: str, dtype: np.dtype[Any]) -> Array:
    entry = _get(nested, name, where)
    try:
        found = np.asarray(entry)
        if found.dtype.kind in "OU":
            numbers = [float(Fraction(number)) for number in found.ravel().tolist()]
            found = np.asarray(numbers).reshape(found.shape)
        return found.astype(dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}{'.' * bool(where)}{name}: {error}") from None


def _list(array: Array) -> Any:
    return array.astype(np.float64).tolist()
