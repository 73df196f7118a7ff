"""The tables of parameters that an architecture needs: their names and shapes, reading, checking, drawing.

    {tokens or I, P, W_out, g_in, ..., eps, scale, ...,
     layers: [{g_MHA, W_l1, ..., heads: [{W_Q, W_K, W_V, W_O, ...}]}]}

With grouped queries a layer has groups: [{W_K, W_V, ..., heads: [{W_Q, W_O, ...}]}], with experts
experts: [{W_l1, W_l2, ...}]. Layers may differ in p, n and their number of heads, heads (groups) in k and v.
A model may have forward: {MLP: body, MHA: body}, bodies as in `bodies.py`, whose other matrices every layer has.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .bodies import INPUT, SUBLAYERS, names
from .formats import Array
from .options import Architecture

Table = Mapping[str, Any]
Shapes = dict[str, str]  # name -> its sizes, as in "h k"; "?" is any size

DTYPES = tuple(dict.fromkeys(("float32", "float64", np.dtype(np.longdouble).name, "complex128")))

# ---------------------------------------------------------------- what there is


def model_shapes(a: Architecture) -> Shapes:
    shapes = {"tokens": "s o"} if a.tied else {"I": "s h"}
    shapes |= {"P": "s h"} if a.positions == "table" else {}
    shapes |= {"W_out": "h o"}
    shapes |= norm_shapes("in", a) if a.embedding_norm else {}
    shapes |= norm_shapes("out", a) if a.final_norm else {}
    return shapes | ({"rope_freqs": "1 f"} if a.positions == "rotary" and a.rope_frequencies == "table" else {})


def layer_shapes(a: Architecture) -> Shapes:
    norms: tuple[str, ...] = ("MHA",) if a.parallel else ("MHA", "MLP")
    if a.placement == "sandwich":
        norms += tuple(f"{name}_post" for name in norms)
    shapes = {name: shape for sublayer in norms for name, shape in norm_shapes(sublayer, a).items()}
    shapes |= {"b_O": "1 h"} if a.attention_bias == "qkvo" else {}
    return shapes | ({"W_R": "h n"} if a.experts else mlp_shapes(a))


def body_shapes(model: Table, a: Architecture) -> Shapes:
    """The matrices of each layer that only a body names, of any shape. Raises ValueError for what is no body."""
    known = {INPUT, *SUBLAYERS, *layer_shapes(a)}
    return dict.fromkeys(sorted(names_in_bodies(model) - known), "? ?")


def names_in_bodies(model: Table) -> set[str]:
    """What the bodies of the model's sublayers name. Raises ValueError for what is no body, or no sublayer's."""
    found: set[str] = set()
    for name, body in model.get("forward", {}).items():
        if name not in SUBLAYERS:
            raise ValueError(f"forward.{name}: found a body, expected one for {' or '.join(SUBLAYERS)}")
        try:
            found |= names(body)
        except ValueError as error:
            raise ValueError(f"forward.{name}: {error}") from None
    return found


def norm_shapes(name: str, a: Architecture) -> Shapes:
    if a.norm == "none":
        return {}
    return {f"g_{name}": "1 h"} | ({f"c_{name}": "1 h"} if a.norm_bias else {})


def mlp_shapes(a: Architecture) -> Shapes:
    gate = a.mlp == "gated"
    shapes = {"W_l1": "h p"} | ({"W_gate": "h p"} if gate else {}) | {"W_l2": "p h"}
    biases = {"b_l1": "1 p"} | ({"b_gate": "1 p"} if gate else {}) | {"b_l2": "1 h"}
    return shapes | (biases if a.mlp_bias else {})


def group_shapes(a: Architecture) -> Shapes:
    """What the heads of a group share."""
    shapes = {"W_K": "h k", "W_V": "h v"} | ({} if a.attention_bias == "none" else {"b_K": "1 k", "b_V": "1 v"})
    return shapes | ({"g_K": "1 k"} if a.qk_norm else {})


def query_shapes(a: Architecture) -> Shapes:
    """What every head has for itself."""
    shapes = {"W_Q": "h k", "W_O": "v h"} | ({} if a.attention_bias == "none" else {"b_Q": "1 k"})
    shapes |= {"g_Q": "1 k"} if a.qk_norm else {}
    return shapes | ({"B_pos": "s s"} if a.positions == "bias" else {})


def scalars(a: Architecture) -> dict[str, bool]:
    """The model's constants, and whether each must be given; the others have a value of their own."""
    rotary = a.positions == "rotary"
    present = {
        "eps": (a.eps, False),
        "eps_qk": (a.qk_norm, False),
        "scale": (a.scale == "constant", True),
        "rope_base": (rotary and a.rope_frequencies == "recomputed", False),
        "embed_scale": (a.embed_scale, False),
        "logit_scale": (a.logit_scale, False),
        "rope_dim": (rotary and a.rope_part == "part", True),
        "top_k": (a.experts, True),
    }
    return {name: needed for name, (used, needed) in present.items() if used}


# ---------------------------------------------------------------- checking


def check_tables(model: Table, a: Architecture) -> None:
    """Raise ValueError, in one line with the parameter, what is found and what is expected, unless all fits."""
    sizes: dict[str, int] = {}
    own = {name: entry for name, entry in model.items() if name != "forward"}
    _check(own, model_shapes(a), sizes, "", scalars(a), ("layers",))
    _check_number(model, "eps", 0)
    _check_number(model, "eps_qk", 0)
    for n, layer in enumerate(_family(model, "layers", "")):
        _check_layer(layer, model, dict(sizes), f"layers[{n}].", a)


def _check_layer(layer: Table, model: Table, sizes: dict[str, int], where: str, a: Architecture) -> None:
    families = ("groups" if a.groups else "heads", *(("experts",) if a.experts else ()))
    _check(layer, layer_shapes(a) | body_shapes(model, a), sizes, where, {}, families)
    for e, shared in enumerate(_family(layer, families[0], where)):
        _check_heads(shared, model, dict(sizes), f"{where}{families[0]}[{e}].", a)
    if not a.experts:
        return
    experts = _family(layer, "experts", where)
    if len(experts) != sizes["n"]:
        raise ValueError(f"{where}experts: found {len(experts)}, expected {sizes['n']}, the columns of W_R")
    for e, expert in enumerate(experts):
        _check(expert, mlp_shapes(a), dict(sizes), f"{where}experts[{e}].")
    _check_integer(model, "top_k", 1, sizes["n"], 1)


def _check_heads(shared: Table, model: Table, sizes: dict[str, int], where: str, a: Architecture) -> None:
    """A head, or a group and its heads."""
    own = {"scale": False}
    if a.groups:
        _check(shared, group_shapes(a), sizes, where, {}, ("heads",))
        for e, head in enumerate(_family(shared, "heads", where)):
            _check(head, query_shapes(a), sizes, f"{where}heads[{e}].", own)
    else:
        _check(shared, query_shapes(a) | group_shapes(a), sizes, where, own)
    if a.positions == "rotary":
        _check_rotary(model, sizes, where, a)


def _check_rotary(model: Table, sizes: dict[str, int], where: str, a: Architecture) -> None:
    """The rotated part is even and not more than k, and a table of frequencies has half its length."""
    k = sizes["k"]
    if a.rope_part == "part":
        _check_integer(model, "rope_dim", 2, k, 2)
    elif k % 2:
        raise ValueError(f"{where}W_K: found {k} columns, expected an even number, for rotary positions turn pairs")
    r = number(model, "rope_dim") if a.rope_part == "part" else k
    if a.rope_frequencies == "table" and 2 * sizes["f"] != r:
        raise ValueError(f"rope_freqs: found shape (1, {sizes['f']}), expected (1, {r // 2}) for {where[:-1]}")


def _check(
    owner: Table,
    shapes: Shapes,
    sizes: dict[str, int],
    where: str,
    numbers: Mapping[str, bool] | None = None,
    families: Sequence[str] = (),
) -> None:
    """Every entry of a table is there, and no other; sizes holds those that are known and learns the others."""
    numbers = numbers or {}
    needed = [*shapes, *(name for name, must in numbers.items() if must), *families]
    for name in owner:
        if name not in {*needed, *numbers}:
            raise ValueError(f"{where}{name}: found an entry, expected none in this architecture")
    for name in needed:
        if name not in owner:
            raise ValueError(f"{where}{name}: found nothing, expected an entry of that name")
    for name in numbers:
        _check_number(owner, name, None, where)
    for name, shape in shapes.items():
        _check_array(owner[name], where + name, shape.split(), sizes)


def _check_array(array: Any, name: str, shape: Sequence[str], sizes: dict[str, int]) -> None:
    expected = [1 if size == "1" else sizes.get(size) for size in shape]
    if not isinstance(array, np.ndarray) or array.dtype.name not in DTYPES:
        found = array.dtype.name if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{name}: found {found}, expected an array of {', '.join(DTYPES)}")
    fits = array.ndim == len(expected) and all(
        size == wanted if wanted is not None else size >= 1 for size, wanted in zip(array.shape, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in expected)
        raise ValueError(f"{name}: found shape {array.shape}, expected ({wanted})")
    sizes.update((size, found) for size, found in zip(shape, array.shape, strict=True) if size not in "1?")


def _check_number(owner: Table, name: str, least: float | None, where: str = "") -> None:
    if name not in owner:
        return
    if np.ndim(owner[name]) or np.asarray(owner[name]).dtype.kind not in "iufc":
        raise ValueError(f"{where}{name}: found {owner[name]!r}, expected a number")
    if least is not None and number(owner, name).real < least:
        raise ValueError(f"{where}{name}: found {owner[name]}, expected at least {least}")


def _check_integer(owner: Table, name: str, least: int, most: int, step: int) -> None:
    found = number(owner, name)
    if not isinstance(found, int) or found not in range(least, most + 1, step):
        kind = "an even number" if step == 2 else "a whole number"
        raise ValueError(f"{name}: found {found}, expected {kind} from {least} to {most}")


def _family(owner: Table, name: str, where: str) -> Sequence[Table]:
    if not len(owner[name]):
        raise ValueError(f"{where}{name}: found none, expected at least one")
    family: Sequence[Table] = owner[name]
    return family


def number(owner: Table, name: str, default: Any = None) -> Any:
    """A scalar as a Python number, which leaves the dtype of an array alone."""
    return np.asarray(owner.get(name, default)).item()


# ---------------------------------------------------------------- reading


def read_tables(nested: Table, dtype: DTypeLike = np.float64) -> dict[str, Any]:
    """The same tables with arrays for nested lists of numbers; strings such as "3" or "1/2" are exact fractions.

    Bodies stay as they are.
    """
    return {name: _read(entry, name, np.dtype(dtype)) for name, entry in nested.items()}


def _read(entry: Any, name: str, dtype: np.dtype[Any]) -> Any:
    if isinstance(entry, Sequence) and len(entry) and isinstance(entry[0], Mapping):
        return [read_tables(table, dtype) for table in entry]
    if isinstance(entry, Mapping):
        return entry
    try:
        found = np.asarray(entry)
        if found.dtype.kind in "OU":
            found = np.asarray([float(Fraction(one)) for one in found.ravel().tolist()]).reshape(found.shape)
        return found.astype(dtype) if found.ndim else found.item()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from None


# ---------------------------------------------------------------- drawing


def random_tables(
    rng: np.random.Generator,
    a: Architecture,
    *,
    s: int,
    h: int,
    o: int,
    p: Sequence[int],
    heads: Sequence[Sequence[tuple[int, int]]],
    queries: int = 2,
    experts: int = 3,
    dtype: DTypeLike = np.float64,
    **numbers: float,
) -> dict[str, Any]:
    """Random tables: p has one entry per layer, heads one list of (k, v) per layer, of `queries` heads each where
    grouped; numbers are the model's constants.

    Matrices are normal with variance 1/rows, so that activations keep their size; what gains multiply by lies around
    one, and everything else is standard normal.
    """
    sizes = {"s": s, "h": h, "o": o, "n": experts, "f": int(numbers.get("rope_dim", heads[0][0][0])) // 2}

    def draw(shapes: Shapes, **more: int) -> dict[str, Any]:
        return {name: _draw(rng, name, shape, sizes | more, a).astype(dtype) for name, shape in shapes.items()}

    def attention(k: int, v: int) -> dict[str, Any]:
        if not a.groups:
            return draw(query_shapes(a) | group_shapes(a), k=k, v=v)
        own = [draw(query_shapes(a), k=k, v=v) for _ in range(queries)]
        return draw(group_shapes(a), k=k, v=v) | {"heads": own}

    def layer(width: int, shapes: Sequence[tuple[int, int]]) -> dict[str, Any]:
        table = draw(layer_shapes(a), p=width)
        table["groups" if a.groups else "heads"] = [attention(k, v) for k, v in shapes]
        mixture = {"experts": [draw(mlp_shapes(a), p=width) for _ in range(experts)]} if a.experts else {}
        return table | mixture

    layers = [layer(width, shapes) for width, shapes in zip(p, heads, strict=True)]
    return draw(model_shapes(a)) | {"layers": layers} | numbers


def _draw(rng: np.random.Generator, name: str, shape: str, sizes: Mapping[str, int], a: Architecture) -> Array:
    rows, columns = (1 if size == "1" else sizes[size] for size in shape.split())
    if name.startswith("g_"):
        return rng.uniform(0.5, 1.5, (rows, columns)) - (a.norm_gain == "1 + g")
    if name == "rope_freqs":
        return rng.uniform(0, 1, (rows, columns))
    normal = rng.standard_normal((rows, columns))
    return normal / rows**0.5 if name.startswith("W_") else normal
