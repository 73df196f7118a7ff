"""Does an expansion preserve the function? Checked square by square, and end to end.

With a stream map E (h x h_hat) the claim splits into squares: the embedding gives (I + P) E, every sublayer
gives f_hat(X E) = f(X) E, a new layer gives X E for X E, and the output projection gives the old output. Each
square is evaluated at the stream X that the original model reaches on the input, and the two sides may differ
only by the sum of their rigorous local error bounds (`error.py`), row by row. End to end both models run on
their own, with the errors of all layers carried along; that bound is true as well but grows with depth, so
the squares decide.

An ulp is the spacing of the model's format at the largest magnitude in the reference's row (token): where a
row
[y 0] is expected, an entry in place of a 0 is measured against y.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from .error import (
    EXACT,
    SLACK,
    Arithmetic,
    Bounded,
    Scalings,
    bounded_embed,
    bounded_mha,
    bounded_mlp,
    bounded_project,
    bounded_sum,
    bounded_transformer,
    row_norms,
)
from .formats import Array, Format, number_format
from .model import Layer, Model

# The parameters that definitions 3.4 and 3.5 scale, once each.
PAPER_SCALINGS: Scalings = {"W_K": 1, "g_MHA": 1, "g_MLP": 1}


@dataclass(frozen=True)
class Agreement:
    """How far two computed arrays are apart.

    max_abs and max_ulp are taken over elements. ratio is the worst, over rows, of the Euclidean norm of the
    difference divided by its bound, and bound is the bound of that row: above one, no rounding error explains
    it.
    """

    name: str
    max_abs: float
    max_ulp: float
    bound: float
    ratio: float

    @property
    def passed(self) -> bool:
        return self.ratio <= 1


@dataclass(frozen=True)
class Comparison:
    """The outcome of `compare`: one agreement per square, and the outputs' agreement end to end."""

    dtype: str
    sizes: Mapping[str, str]
    squares: tuple[Agreement, ...]
    output: Agreement

    @property
    def passed(self) -> bool:
        return self.output.passed and all(square.passed for square in self.squares)

    @property
    def worst(self) -> Agreement:
        """The agreement with the largest ratio."""
        return max((*self.squares, self.output), key=lambda agreement: agreement.ratio)


def compare(
    original: Model,
    I: Array,
    expanded: Model,
    I_hat: Array,
    *,
    inserted: Collection[int] = (),
    stream: Array | None = None,
    eps: float = 0.0,
    eps_hat: float | None = None,
    scalings: Scalings = PAPER_SCALINGS,
) -> Comparison:
    """Compare the expanded model with the original, both in their common dtype, at the inputs I and I_hat.

    `inserted` numbers the expanded model's new layers from 1; the others correspond in order. `stream` is E,
    by default [eye(h) 0]. eps_hat is the expanded model's eps, by default the same. `scalings` tells how many
    rounded factors each parameter of the expanded model carries.

    Raises ValueError when the dtypes differ, layers or shapes do not correspond, or a norm meets 0/0.
    """
    form = _common_format(original, expanded)
    layers = _corresponding(original, expanded, inserted)
    sides = _Sides(
        form=form,
        here=Arithmetic(form, eps, EXACT),
        there=Arithmetic(form, eps if eps_hat is None else eps_hat, scalings),
        stream=StreamMap.of(stream, original.h, expanded.h, form),
    )
    with np.errstate(over="ignore", invalid="ignore"):
        return _compare(original, I, expanded, I_hat, layers, sides)


def difference(
    original: Model,
    I: Array,
    expanded: Model,
    I_hat: Array,
    *,
    eps: float = 0.0,
    eps_hat: float | None = None,
    scalings: Scalings = PAPER_SCALINGS,
) -> Agreement:
    """Compare the two outputs only, whatever the models' layers: to replay a counterexample.

    A ratio above one proves that the two functions differ at this input, rounding errors aside. Raises
    ValueError when the dtypes differ, shapes do not fit, or a norm meets a row of zeros with eps = 0 (the
    error names it).
    """
    form = _common_format(original, expanded)
    with np.errstate(over="ignore", invalid="ignore"):
        reference = bounded_transformer(original, I, eps)
        candidate = bounded_transformer(expanded, I_hat, eps if eps_hat is None else eps_hat, scalings)
        return _agreement("output", reference, candidate, form)


@dataclass(frozen=True, eq=False)
class StreamMap:
    """E as an operation on the original's stream: zero padding to h_hat when no matrix is given."""

    h_hat: int
    E: Array | None
    norm: float
    rounding: float

    @classmethod
    def of(cls, E: Array | None, h: int, h_hat: int, form: Format) -> "StreamMap":
        """The map for a matrix E, or for [eye(h) 0]. Raises ValueError where it does not fit."""
        if E is None:
            if h_hat < h:
                raise ValueError(f"stream: found h = {h} -> {h_hat}, expected a matrix, since padding only grows")
            return cls(h_hat, None, 1.0, 0.0)
        if E.shape != (h, h_hat):
            raise ValueError(f"stream: found shape {E.shape}, expected ({h}, {h_hat})")
        E = form.load(E)
        size = np.abs(E.astype(np.float64))
        spectral = float(np.sqrt(size.sum(axis=0).max() * size.sum(axis=1).max()))
        copies = bool(np.isin(size, (0, 1)).all() and (np.count_nonzero(size, axis=0) <= 1).all())
        return cls(
            h_hat,
            E,
            spectral,
            0.0 if copies else (2 * form.u + form.working.gamma(h)) * float(np.linalg.norm(size)),
        )

    def __call__(self, X: Bounded, form: Format) -> Bounded:
        """X E, its error included; exact for padding and for maps that only copy coordinates."""
        if self.E is None:
            return replace(X, value=_pad(X.value, self.h_hat))
        value = form.settle(X.value @ self.E)
        error = self.norm * X.error
        if self.rounding:
            error = SLACK * (error + self.rounding * row_norms(X.value) + form.u * row_norms(value))
        return Bounded(value, error)


@dataclass(frozen=True, eq=False)
class _Sides:
    """How each side computes, and the map from the original's stream to the expanded one's."""

    form: Format
    here: Arithmetic
    there: Arithmetic
    stream: StreamMap

    def embedded(self, X: Bounded) -> Bounded:
        """X E with the bounds that count within one square."""
        return self.stream(replace(X, error=X.error[0]), self.form)


def _compare(
    original: Model, I: Array, expanded: Model, I_hat: Array, layers: list[Layer | None], sides: _Sides
) -> Comparison:
    """Both models, layer by layer; X is the original's stream, X_hat the expanded model's own."""
    X, X_hat = bounded_embed(original, I, sides.here), bounded_embed(expanded, I_hat, sides.there)
    squares = [_agreement("input", sides.stream(X, sides.form), X_hat, sides.form)]
    X = _two_errors(X)
    for number, (layer, layer_hat) in enumerate(zip(layers, expanded.layers, strict=True), 1):
        if layer is None:
            X_hat, square = _new_layer(f"new layer {number}", layer_hat, X, X_hat, sides)
            squares.append(square)
            continue
        for name, sublayer in (("MHA", bounded_mha), ("MLP", bounded_mlp)):
            Y = sublayer(layer, X, sides.here)
            Y_hat = sublayer(layer_hat, _two_streams(sides.embedded(X), X_hat), sides.there)
            squares.append(_agreement(f"{name} {number}", sides.embedded(Y), _member(Y_hat, 0), sides.form))
            X = _two_errors(_carried(bounded_sum(X, Y, sides.here)))
            X_hat = bounded_sum(X_hat, _member(Y_hat, 1), sides.there)
    O = bounded_project(original, X, sides.here)
    O_hat = bounded_project(expanded, _two_streams(sides.embedded(X), X_hat), sides.there)
    squares.append(_agreement("output", replace(O, error=O.error[0]), _member(O_hat, 0), sides.form))
    output = _agreement("end to end", _carried(O), _member(O_hat, 1), sides.form)
    return Comparison(sides.form.name, _sizes(original, expanded), tuple(squares), output)


def _new_layer(name: str, layer: Layer, X: Bounded, X_hat: Bounded, sides: _Sides) -> tuple[Bounded, Agreement]:
    """The expanded model's stream after a new layer, and the square that says that it gives X E for X E."""
    before = after = _two_streams(sides.embedded(X), X_hat)
    for sublayer in (bounded_mha, bounded_mlp):
        after = bounded_sum(after, sublayer(layer, after, sides.there), sides.there)
    return _member(after, 1), _agreement(name, _member(before, 0), _member(after, 0), sides.form)


def _two_errors(X: Bounded) -> Bounded:
    """X with two bounds at once: zero for the squares, which take X as given, and its own end to end."""
    return replace(X, error=np.stack([np.zeros_like(X.error), X.error]))


def _carried(X: Bounded) -> Bounded:
    """X with the bounds of the whole model only."""
    return replace(X, error=X.error[1])


def _two_streams(X: Bounded, Y: Bounded) -> Bounded:
    """X and Y as a batch of two: one pass through a layer serves the square and the whole model."""
    return Bounded(np.stack([X.value, Y.value]), np.stack([X.error, Y.error]))


def _member(X: Bounded, index: int) -> Bounded:
    return Bounded(X.value[index], X.error[index])


def _agreement(name: str, reference: Bounded, candidate: Bounded, form: Format) -> Agreement:
    """Raises ValueError when the two arrays have different shapes."""
    if reference.value.shape != candidate.value.shape:
        raise ValueError(f"{name}: found shape {candidate.value.shape}, expected {reference.value.shape}")
    gap = candidate.value - reference.value
    largest = np.abs(gap).max(axis=-1)
    ulp = form.spacing(np.abs(reference.value).max(axis=-1))
    bound = reference.error + candidate.error
    ratio = _ratio(_distances(gap, largest), bound)
    worst = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
    return Agreement(name, float(largest.max()), float((largest / ulp).max()), float(bound[worst]), float(ratio[worst]))


def _distances(gap: Array, largest: Array) -> Array:
    """Norms of the rows of a difference, safe from underflow, whose largest elements are known."""
    scale = np.where(largest > 0, largest, 1)
    scaled = gap / scale[..., None]
    return np.asarray(scale * np.sqrt(np.einsum("...i,...i->...", scaled, scaled)).astype(np.float64))


def _ratio(distance: Array, bound: Array) -> Array:
    """distance / bound with 0/0 = 0; infinite wherever something is not a finite number."""
    usable = (bound > 0) & (bound < np.inf)
    ratio = np.divide(distance, bound, out=np.full(distance.shape, np.inf), where=usable)
    ratio[(distance == 0) & (bound == 0)] = 0
    return np.nan_to_num(ratio, nan=np.inf, posinf=np.inf)


def _pad(X: Array, width: int) -> Array:
    """[X 0]."""
    if X.shape[-1] == width:
        return X
    padded = np.zeros((*X.shape[:-1], width), X.dtype)
    padded[..., : X.shape[-1]] = X
    return padded


def _common_format(original: Model, expanded: Model) -> Format:
    if original.dtype != expanded.dtype:
        raise ValueError(f"expanded: found {expanded.dtype}, expected {original.dtype} as in the original")
    return number_format(original.dtype)


def _corresponding(original: Model, expanded: Model, inserted: Collection[int]) -> list[Layer | None]:
    """The original's layer for each of the expanded model's, None for those inserted."""
    total = len(expanded.layers)
    for number in inserted:
        if not 1 <= number <= total:
            raise ValueError(f"inserted: found layer {number}, expected 1 to {total}")
    expected = len(original.layers) + len(set(inserted))
    if total != expected:
        raise ValueError(f"expanded: found {total} layers, expected {expected}")
    old = iter(original.layers)
    return [None if number in inserted else next(old) for number in range(1, total + 1)]


def _sizes(original: Model, expanded: Model) -> dict[str, str]:
    """Every size by name, "old -> new" where it grows; several values where layers or heads differ."""
    before, after = _model_sizes(original), _model_sizes(expanded)
    return {name: old if old == after[name] else f"{old} -> {after[name]}" for name, old in before.items()}


def _model_sizes(model: Model) -> dict[str, str]:
    heads = [head for layer in model.layers for head in layer.heads]
    return {
        "N": str(len(model.layers)),
        "s": str(model.s),
        "h": str(model.h),
        "o": str(model.W_out.shape[1]),
        "E": _distinct(len(layer.heads) for layer in model.layers),
        "k": _distinct(head.k for head in heads),
        "v": _distinct(head.v for head in heads),
        "p": _distinct(layer.p for layer in model.layers),
    }


def _distinct(numbers: Iterable[int]) -> str:
    return ", ".join(str(number) for number in sorted(set(numbers)))
