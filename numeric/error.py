"""Rigorous error bounds for the forward pass, from the operations that it performs.

A bound is kept for every row (token) of every intermediate value: it bounds the Euclidean norm of what was computed
minus what equations 1 to 5 give in real arithmetic. Cauchy-Schwarz makes this cheap, since for a row x and a matrix
W the products need norms only: |x| |W| in place of |x_i| |w_ij| summed. The rules used (x is computed, dx bounds its
error, |W| is the Frobenius norm, u the unit roundoff, n the inner size):

    product      d(x W) <= dx (|W| + dW) + |x| dW + gamma_n |x| |W|             Higham, section 3.5
    norm         |x/|x| - y/|y|| <= 2 |x - y| / (|x| + |y|), and never more than 2         Dunkl, Williams 1964
    softmax      sum_j |dp_j| <= max_j |ds_j|, and never more than 2            its Jacobian diag(p) - p p'
    relu         Lipschitz with constant 1, computed exactly
    rounding     u times the norm of the rounded row; underflow adds eta per element

Running bounds hold for any order of summation, with or without fused multiply-add. Assumed: +, -, *, / and sqrt are
correctly rounded (IEEE 754) with gradual underflow; exp has an error of at most EXP_ULPS units in the last place;
a parameter that was scaled several times was never subnormal in between. The bounds' own arithmetic is covered by SLACK.
"""

from collections.abc import Mapping
from dataclasses import dataclass

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

    `scalings` counts, for each parameter name, the rounded scalar factors that it carries: each one has put two
    rounding errors into it, of the factor and of the product. A name that is missing counts none.
    """

    form: Format
    eps: float
    scalings: Scalings

    def gamma(self, n: int) -> float:
        """gamma_n of the working format. Raises ValueError for sizes at which SLACK no longer covers the bounds."""
        work = self.form.working
        if n * work.u > 1e-3:
            raise ValueError(f"error bound: found {n} roundings in a row, expected at most {1e-3 / work.u:.0f}")
        return work.gamma(n)

    def parameter(self, name: str, *arrays: Array) -> tuple[Array, Array]:
        """Norms of the given arrays and bounds on the norms of their errors, each as a column."""
        norms = np.array([[frobenius(array)] for array in arrays])
        count = self.scalings.get(name, 0)
        if count == 0:
            return norms, np.zeros_like(norms)
        sizes = np.array([[array.size] for array in arrays])
        return norms, self.form.gamma(2 * count) * norms + count * self.form.eta * np.sqrt(sizes)

    def product(self, x: Array, dx: Array, W: Array, dW: Array, inner: int, columns: int) -> Array:
        """Bound for x W before its result is rounded, see above; inner counts the operations on one element."""
        work = self.form.working
        underflow = inner * np.sqrt(columns) * work.eta
        return np.asarray(dx * (W + dW) + x * (dW + self.gamma(inner) * W) + underflow)

    def rounding(self, value: Array) -> Array:
        """Bound for the rounding of each row to the format; zero when the format computes in itself."""
        if self.form.working is self.form:
            return np.zeros(value.shape[:-1])
        return self.form.u * row_norms(value) + np.sqrt(value.shape[-1]) * self.form.eta


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
    W, dW = arith.parameter("W_out", model.W_out)
    error = arith.product(row_norms(X.value), X.error, W[0], dW[0], model.h, output.shape[-1])
    return Bounded(output, SLACK * (error + arith.rounding(output)))


def mha_error(layer: Layer, values: MHAValues, incoming: Array, arith: Arithmetic) -> Array:
    """Bounds (..., s) on the rows of values.output, given bounds on the rows of values.X."""
    dn = _norm_error("g_MHA", layer.g_MHA, values.X, values.norm, incoming, arith)
    n = row_norms(values.norm)
    width = sum(len(group.heads) * group.V.shape[-1] for group in values.groups)
    h = values.output.shape[-1]
    total = arith.rounding(values.output)
    for group in values.groups:
        W, dW = arith.parameter("W_O", *(head.W_O for head in group.heads))
        dH = _context_error(group, n, dn, arith)
        total = total + arith.product(row_norms(group.H), dH, W, dW, width, h).sum(axis=-2)
    return SLACK * total


def mlp_error(layer: Layer, values: MLPValues, incoming: Array, arith: Arithmetic) -> Array:
    """Bounds (..., s) on the rows of values.output, given bounds on the rows of values.X."""
    dn = _norm_error("g_MLP", layer.g_MLP, values.X, values.norm, incoming, arith)
    da = _affine_error("l1", layer.W_l1, layer.b_l1, values.norm, dn, arith) + arith.rounding(values.activations)
    dy = _affine_error("l2", layer.W_l2, layer.b_l2, values.activations, da, arith)
    return SLACK * (dy + arith.rounding(values.output))


def row_norms(X: Array) -> Array:
    """Upper bounds, up to SLACK, on the Euclidean norms of the rows, as float64; squares may underflow."""
    squares = np.einsum("...i,...i->...", X, X).astype(np.float64)
    return np.asarray(np.sqrt(squares + X.shape[-1] * number_format(X.dtype).eta))


def frobenius(W: Array) -> float:
    """The Frobenius norm of a matrix, the sum of squares taken in at least float32."""
    flat = W.ravel() if W.dtype.itemsize > 2 else W.ravel().astype(np.float32)
    return float(np.sqrt(float(flat @ flat) + flat.size * number_format(flat.dtype).eta))


def _norm_error(name: str, g: Array, X: Array, normed: Array, incoming: Array, arith: Arithmetic) -> Array:
    """Bounds on the rows of Norm(X); eps acts like one more coordinate of size sqrt(h eps) in every row."""
    h, work = X.shape[-1], arith.form.working
    gain, count = float(np.abs(g).max()), arith.scalings.get(name, 0)
    drift, lost_gain = arith.form.gamma(2 * count), count * arith.form.eta
    squares = np.einsum("...i,...i->...", X, X).astype(np.float64) + h * arith.eps
    length = np.sqrt(squares)
    moved = np.minimum(2, 2 * incoming / (length + np.maximum(length - incoming, 0))) * np.sqrt(h)
    lost = h * work.eta / squares  # squares that underflowed, relative to their sum
    relative = np.where(lost < 0.25, arith.gamma(h + 8) + 2 * lost, np.inf) + drift
    rounded = relative * row_norms(normed) + np.sqrt(h) * (work.eta * (1 + gain) + lost_gain)
    return np.asarray((gain * (1 + drift) + lost_gain) * moved + rounded + arith.rounding(normed))


def _context_error(group: HeadGroup, n: Array, dn: Array, arith: Arithmetic) -> Array:
    """Bounds (..., G, s) on the rows of every head's context H."""
    work, k, s = arith.form.working, group.Q.shape[-1], group.Q.shape[-2]
    dQ = _projection_error("W_Q", group, n, dn, arith)
    dK = _projection_error("W_K", group, n, dn, arith)
    dV = _projection_error("W_V", group, n, dn, arith)
    Q = row_norms(group.Q)
    K, dK = _largest(row_norms(group.K)), _largest(dK)
    V, dV = _largest(row_norms(group.V)), _largest(dV)
    # Scores: k products, the factor 1/sqrt(k) (3), the shift by the maximum, at most twice |q| |k| (2).
    scores = (dQ * (K + dK) + Q * (dK + arith.gamma(k + 5) * K)) / np.sqrt(k) + (k + 1) * work.eta
    # Weights: two exponentials of 2 EXP_ULPS u each, a sum of s terms and a quotient, then the format's rounding.
    weights = np.minimum(2, scores) + arith.gamma(s + 4 * EXP_ULPS + 4) + 2 * s * work.eta
    if arith.form.working is not arith.form:
        weights = weights + arith.form.u + s * arith.form.eta
    product = arith.gamma(s) * V + s * np.sqrt(group.V.shape[-1]) * work.eta
    return np.asarray(weights * V + dV + product + arith.rounding(group.H))


def _projection_error(name: str, group: HeadGroup, n: Array, dn: Array, arith: Arithmetic) -> Array:
    """Bounds (..., G, s) on the rows of Q, K or V, whichever the parameter gives."""
    value = {"W_Q": group.Q, "W_K": group.K, "W_V": group.V}[name]
    W, dW = arith.parameter(name, *(getattr(head, name) for head in group.heads))
    inner, columns = group.heads[0].W_Q.shape[0], value.shape[-1]
    product = arith.product(n[..., None, :], dn[..., None, :], W, dW, inner, columns)
    return np.asarray(product + arith.rounding(value))


def _affine_error(name: str, W: Array, b: Array, x: Array, dx: Array, arith: Arithmetic) -> Array:
    """Bounds on the rows of x W + b before rounding, for the parameters W_name and b_name."""
    (matrix,), (matrix_error,) = arith.parameter("W_" + name, W)
    (bias,), (bias_error,) = arith.parameter("b_" + name, b)
    product = arith.product(row_norms(x), dx, matrix, matrix_error, W.shape[0] + 1, W.shape[1])
    return product + bias_error + arith.gamma(2) * bias


def _largest(rows: Array) -> Array:
    """The largest of each sequence's rows, kept as an axis of one: any token may attend to it."""
    return np.asarray(rows.max(axis=-1, keepdims=True))
