"""Rigorous error bounds for the forward pass, from the operations that it performs.

Every sublayer gets, for each row (token) of its output, a bound on the Euclidean norm of what was computed
minus what equations 1 to 5 give in real arithmetic. Inside a sublayer the bounds are elementwise, in the form
row times column, |dY_ij| <= e_i c_j, so that no second matrix product is needed. The rules (u is the unit
roundoff, n the inner size, letters stand for computed values):

    product      |d(X W)| <= |dX| |W| + gamma_n |X| |W|                         Higham, section 3.5
    its form     (|X| |W|)_ij <= sqrt(sum_k x_ik^2 w_k) sqrt(sum_k W_kj^2 / w_k)    Cauchy; w_k = |W_k|
    norm         |x/|x| - y/|y|| <= 2 |x - y| / (|x| + |y|), and never more than 2        Dunkl, Williams 1964
    softmax      sum_j |dp_j| <= max_j |ds_j|, and never more than 2            its Jacobian diag(p) - p p'
    relu         Lipschitz with constant 1, computed exactly
    rounding     u |y|, and eta where it underflows

They hold for any order of summation, with or without fused multiply-add, and a zero row or column of W costs
nothing. Assumed: +, -, *, / and sqrt are correctly rounded (IEEE 754) with gradual underflow; exp has an
error of at most EXP_ULPS units in the last place; a parameter that was scaled several times was never
subnormal in between. The rounding of the bounds' own arithmetic is covered by SLACK.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .formats import Array, Format, number_format
from .forward import HeadGroup, MHAValues, MLPValues, embed, mha_values, mlp_values, project
from .model import Layer, Model

EXP_ULPS = 4
SLACK = 1.01

Scalings = Mapping[str, int]

EXACT: Scalings = {}


@dataclass(frozen=True, eq=False)
class Bounded:
    """A computed array (..., s, n) and, for every row, a bound (..., s) on the norm of its error.

    The bounds may have more leading axes than the array: several bounds are then carried at once.
    """

    value: Array
    error: Array


@dataclass(frozen=True)
class Arithmetic:
    """What the bounds depend on besides the values: the format, eps, and how often each parameter was scaled.

    `scalings` counts, for each parameter name, the rounded scalar factors that it carries: each one has put
    two rounding errors into it, of the factor and of the product. A name that is missing counts none.
    """

    form: Format
    eps: float
    scalings: Scalings

    @cached_property
    def u(self) -> float:
        """Relative error of rounding a result to the format; zero when the format computes in itself."""
        return 0.0 if self.form.working is self.form else self.form.u

    def gamma(self, n: int) -> float:
        """gamma_n of the working format. Raises ValueError where SLACK would not cover the bounds."""
        work = self.form.working
        if n * work.u > 1e-3:
            raise ValueError(f"error bound: found size {n}, expected at most {1e-3 / work.u:.0f}")
        return work.gamma(n)

    def underflow(self, n: int) -> float:
        """What underflow can add to one element after n operations, its rounding to the format included."""
        return 2 * n * self.form.working.eta + (self.form.eta if self.u else 0.0)

    def drift(self, name: str, parameter: Array) -> float:
        """Largest relative error of an element of a parameter, from the scalings that it carries."""
        count = self.scalings.get(name, 0)
        if count == 0:
            return 0.0
        size = np.abs(parameter).astype(np.float64)
        smallest = size[size > 0].min(initial=1.0)
        lost = count * self.form.eta / smallest if smallest < self.form.normal else 0.0
        return self.form.gamma(2 * count) + float(lost)

    def rounding(self, value: Array) -> Array | float:
        """Bound on the norm of each row's error of rounding to the format."""
        return self.u * row_norms(value) + self.underflow(1) * value.shape[-1] ** 0.5


@dataclass(frozen=True, eq=False)
class Matrix:
    """What the bounds need of a parameter matrix, or of the stacked matrices (G, n, m) of G heads.

    `size` holds absolute values, rows the norms w_k of the rows, columns the c_j = sqrt(sum_k W_kj^2 / w_k).
    """

    size: Array
    rows: Array
    columns: Array
    drift: float

    @classmethod
    def of(cls, name: str, W: Array, arith: Arithmetic) -> "Matrix":
        size = np.abs(arith.form.load(W))
        squares = size * size + size.dtype.type(arith.form.working.eta)
        rows = np.sqrt(squares.sum(axis=-1))
        columns = np.sqrt(np.matmul(1 / rows[..., None, :], squares)[..., 0, :])
        return cls(size, rows, columns, arith.drift(name, W))


@dataclass(frozen=True, eq=False)
class NormError:
    """The error of a norm's rows: |dn_ik| <= relative_i |n_ik| + gain_k m_ik + tiny, |m_i| <= moved_i."""

    squares: Array
    relative: Array
    moved: Array
    gain: Array
    tiny: float


def bounded_transformer(model: Model, I: Array, eps: float = 0.0, scalings: Scalings = EXACT) -> Bounded:
    """The output of `transformer`, in the working format, with a bound on its distance from the exact output.

    Exact means: real arithmetic on the given input and on the parameters before their scalings were rounded.
    Raises ValueError as `transformer` does.
    """
    arith = Arithmetic(number_format(model.dtype), eps, scalings)
    X = bounded_embed(model, I, arith)
    for layer in model.layers:
        X = bounded_sum(X, bounded_mha(layer, X, arith), arith)
        X = bounded_sum(X, bounded_mlp(layer, X, arith), arith)
    return bounded_project(model, X, arith)


def bounded_embed(model: Model, I: Array, arith: Arithmetic) -> Bounded:
    """I + P and the rounding error of this one sum."""
    X = embed(model, I)
    return Bounded(X, SLACK * 2 * arith.form.u * row_norms(X))


def bounded_mha(layer: Layer, X: Bounded, arith: Arithmetic) -> Bounded:
    """MHA(Norm_MHA(X)) and its error, that of X included."""
    values = mha_values(layer, X.value, arith.eps, arith.form)
    return Bounded(values.output, mha_error(layer, values, X.error, arith))


def bounded_mlp(layer: Layer, X: Bounded, arith: Arithmetic) -> Bounded:
    """MLP(Norm_MLP(X)) and its error, that of X included."""
    values = mlp_values(layer, X.value, arith.eps, arith.form)
    return Bounded(values.output, mlp_error(layer, values, X.error, arith))


def bounded_sum(X: Bounded, Y: Bounded, arith: Arithmetic) -> Bounded:
    """X + Y: the errors add, and the sum is rounded at most twice (working format, then format)."""
    total = arith.form.settle(X.value + Y.value)
    return Bounded(total, SLACK * (X.error + Y.error + 2 * arith.form.u * row_norms(total)))


def bounded_project(model: Model, X: Bounded, arith: Arithmetic) -> Bounded:
    """X W_out and its error, that of X included."""
    output = project(model, X.value)
    W = Matrix.of("W_out", model.W_out, arith)
    incoming = X.error * (1 + W.drift) * float(np.linalg.norm(W.rows))
    own = (arith.gamma(model.h) + W.drift) * (np.abs(X.value) @ W.rows)
    tiny = arith.underflow(model.h) * output.shape[-1] ** 0.5
    return Bounded(output, SLACK * (incoming + own + arith.rounding(output) + tiny))


def mha_error(layer: Layer, values: MHAValues, incoming: Array, arith: Arithmetic) -> Array:
    """Bounds (..., s) on the rows of values.output, given bounds on the rows of values.X."""
    norm = _norm_error("g_MHA", layer.g_MHA, values.X, values.norm, incoming, arith)
    inner = sum(len(group.heads) * group.V.shape[-1] for group in values.groups)
    heads = [_head_error(group, norm, inner, arith).sum(axis=-2) for group in values.groups]
    tiny = arith.underflow(inner) * norm.gain.size**0.5
    return np.asarray(SLACK * (sum(heads) + arith.rounding(values.output) + tiny))


def mlp_error(layer: Layer, values: MLPValues, incoming: Array, arith: Arithmetic) -> Array:
    """Bounds (..., s) on the rows of values.output, given bounds on the rows of values.X."""
    norm = _norm_error("g_MLP", layer.g_MLP, values.X, values.norm, incoming, arith)
    W1, W2 = Matrix.of("W_l1", layer.W_l1, arith), Matrix.of("W_l2", layer.W_l2, arith)
    b1, b2 = (np.abs(arith.form.load(b)) for b in (layer.b_l1, layer.b_l2))
    h, p = W1.size.shape
    # |da_ij| <= e_i c_j + fixed_j + u a_ij; each part goes through W_l2 by itself.
    e = _first_product(norm, W1, arith)
    fixed = (arith.gamma(2) + arith.drift("b_l1", layer.b_l1)) * b1 + arith.underflow(h + 1)
    own = arith.u + arith.gamma(p + 1) + W2.drift
    through = e * _norm_through(W1.columns, W2) + _norm_through(fixed, W2)
    product = own * (values.activations @ W2.rows)
    bias = (arith.gamma(2) + arith.drift("b_l2", layer.b_l2)) * float(np.linalg.norm(b2))
    tiny = arith.underflow(p + 1) * h**0.5
    return np.asarray(SLACK * (through + product + bias + arith.rounding(values.output) + tiny))


def row_norms(X: Array) -> Array:
    """Upper bounds, up to SLACK, on the Euclidean norms of the rows, as float64; squares may underflow."""
    squares = np.einsum("...i,...i->...", X, X).astype(np.float64)
    return np.asarray(np.sqrt(squares + X.shape[-1] * number_format(X.dtype).eta))


def _norm_error(name: str, g: Array, X: Array, normed: Array, incoming: Array, arith: Arithmetic) -> NormError:
    """The error of Norm(X); eps acts like one more coordinate of size sqrt(h eps) in every row."""
    h, work = X.shape[-1], arith.form.working
    length = np.sqrt(np.einsum("...i,...i->...", X, X).astype(np.float64) + h * arith.eps)
    moved = np.minimum(2, 2 * incoming / (length + np.maximum(length - incoming, 0))) * h**0.5
    lost = h * work.eta / length**2  # squares that underflowed, relative to their sum
    drift = arith.drift(name, g)
    relative = np.where(lost < 0.25, arith.gamma(h + 8) + 2 * lost, np.inf) + drift + arith.u
    gain = np.abs(arith.form.load(g))[0] * (1 + drift)
    return NormError(normed * normed, relative, moved, gain, arith.underflow(2) * (1 + float(gain.max())))


def _first_product(norm: NormError, W: Matrix, arith: Arithmetic) -> Array:
    """e_i, (..., s) or (..., G, s), with |d(n W)_ij| <= e_i c_j before rounding, for the columns c of W."""
    h = norm.gain.size
    tiny = W.rows.dtype.type(arith.form.working.eta)
    weighted = np.sqrt(norm.squares @ np.moveaxis(W.rows, -1, 0) + tiny * h * (1 + W.rows.max()))
    moved = (norm.gain * np.sqrt(W.rows)).max(axis=-1) * (1 + W.drift)
    fixed = norm.tiny * np.sqrt(W.rows.sum(axis=-1))
    own = arith.gamma(h) + W.drift
    if W.rows.ndim == 1:
        return np.asarray((norm.relative + own) * weighted + norm.moved * moved + fixed)
    e = (norm.relative + own)[..., None] * weighted + norm.moved[..., None] * moved + fixed
    return np.asarray(np.swapaxes(e, -1, -2))


def _head_error(group: HeadGroup, norm: NormError, inner: int, arith: Arithmetic) -> Array:
    """Bounds (..., G, s) on the rows of every head's part H W_O of the output, before the sum is rounded."""
    W_V, W_O = _stacked("W_V", group, arith), _stacked("W_O", group, arith)
    s, h = group.V.shape[-2], norm.gain.size
    ds = _scores_error(group, norm, arith)
    # dH = dp V + p dV + rounding, where sum_j p_ij = 1: what counts is the largest over tokens.
    # Two exact rows of weights both sum to one, so their difference meets V minus any row: half its range.
    top, low = group.V.max(axis=-2), group.V.min(axis=-2)
    V, centred = np.maximum(top, -low), (top - low) / 2
    e_V = _largest(_first_product(norm, W_V, arith))
    fixed = arith.underflow(h) + arith.underflow(s)
    by_scores = np.minimum(2, ds) * _heads_norm_through(centred, W_O)[..., None]
    # Two exponentials of 2 EXP_ULPS u each, a sum of s terms, a quotient, two roundings, the product with V.
    weights = arith.gamma(2 * s + 4 * EXP_ULPS + 6) + 2 * arith.u + s * arith.underflow(2)
    by_weights = weights * _heads_norm_through(V, W_O)[..., None]
    by_values = e_V * _heads_norm_through(W_V.columns, W_O)[..., None]
    by_underflow = fixed * W_O.rows.sum(axis=-1)[..., None]
    own = arith.u + arith.gamma(inner + len(group.heads)) + W_O.drift
    by_product = own * np.matmul(np.abs(group.H), W_O.rows[..., None])[..., 0]
    return np.asarray(by_scores + by_weights + by_values + by_underflow + by_product)


def _scores_error(group: HeadGroup, norm: NormError, arith: Arithmetic) -> Array:
    """Bounds (..., G, s) on max_j |ds_ij|, the error of every token's shifted scores."""
    W_Q, W_K = _stacked("W_Q", group, arith), _stacked("W_K", group, arith)
    work, k, h = arith.form.working, group.Q.shape[-1], norm.gain.size
    K = np.abs(group.K).max(axis=-2)
    e_Q = _first_product(norm, W_Q, arith)
    e_K = _largest(_first_product(norm, W_K, arith))
    # |dq_id| <= e_Q c_d + u |q_id| + fixed, and so for K: every term is a product with a vector over d.
    fixed = arith.underflow(h)
    dK = e_K * W_K.columns + arith.u * K + fixed
    reach = K + dK
    by_Q = e_Q * (reach * W_Q.columns).sum(axis=-1)[..., None] + fixed * reach.sum(axis=-1)[..., None]
    # k products, the factor (3), and the shift by the maximum, which is at most twice |q| |k| (4).
    slope = dK + arith.u * reach + arith.gamma(k + 7) * K
    by_K = np.matmul(np.abs(group.Q), slope.astype(work.dtype)[..., None])[..., 0]
    scale = group.heads[0].scale
    factor = k**-0.5 if scale is None else abs(scale)
    return np.asarray((by_Q + by_K) * factor + 2 * (k + 1) * work.eta)


def _stacked(name: str, group: HeadGroup, arith: Arithmetic) -> Matrix:
    return Matrix.of(name, np.stack([getattr(head, name) for head in group.heads]), arith)


def _norm_through(c: Array, W: Matrix) -> float:
    """|c |W||, for a row c of bounds."""
    return float(np.linalg.norm(c @ W.size)) * (1 + W.drift)


def _heads_norm_through(c: Array, W: Matrix) -> Array:
    """|c |W|| for every head, for rows c (..., G, n) of bounds."""
    through = np.matmul(c[..., None, :], W.size)[..., 0, :]
    return np.asarray(np.sqrt(np.einsum("...i,...i->...", through, through))) * (1 + W.drift)


def _largest(rows: Array) -> Array:
    """The largest of each sequence's rows, kept as an axis of one: any token may attend to it."""
    return np.asarray(rows.max(axis=-1, keepdims=True))
