"""The paper's transformer: its parameters and its forward pass, as terms.

`transformer` is the one definition of the architecture on the symbolic side.  It is read off
equations 1-5 of arXiv:2308.06103 and used for the old and for the expanded model alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sympy import sqrt

from .terms import (
    Act,
    Expr,
    HeadSum,
    MatrixExpr,
    MatrixSymbol,
    Norm,
    Path,
    Softmax,
    Stack,
    Symbol,
    matrix,
    ones,
    product,
    scalar,
    size,
    total,
    transposed,
)


@dataclass(frozen=True)
class Parameter:
    """A parameter of the architecture: its name, its sizes (rows x columns), and what owns one of it."""

    name: str
    rows: str
    columns: str
    scope: str  # "model", "layer" or "head"


PARAMETERS = (
    Parameter("I", "s", "h", "model"),
    Parameter("P", "s", "h", "model"),
    Parameter("W_out", "h", "o", "model"),
    Parameter("g_MHA", "1", "h", "layer"),
    Parameter("W_Q", "h", "k", "head"),
    Parameter("W_K", "h", "k", "head"),
    Parameter("W_V", "h", "v", "head"),
    Parameter("W_O", "v", "h", "head"),
    Parameter("g_MLP", "1", "h", "layer"),
    Parameter("W_l1", "h", "p", "layer"),
    Parameter("b_l1", "1", "p", "layer"),
    Parameter("W_l2", "p", "h", "layer"),
    Parameter("b_l2", "1", "h", "layer"),
)

PARAMETER = {parameter.name: parameter for parameter in PARAMETERS}
SIZES = ("s", "h", "p", "k", "v", "o")
SCOPES = ("model", "layer", "head")
LAYERS, HEADS = "layers", "heads"  # the families of the old model


@dataclass(frozen=True)
class Preset:
    """An architecture: its name, its activation, and its epsilon (0, or a scalar that may be anything >= 0)."""

    name: str
    description: str
    act: str
    eps: Expr


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("paper", "pre-norm, RMSNorm without epsilon, ReLU (equations 1-5)", "relu", product(0)),
        Preset("paper-eps", "the same with an epsilon >= 0 in every norm", "relu", scalar("eps")),
    )
}


@dataclass(frozen=True)
class Heads:
    """A family of heads (or one head): its matrices, its score factor, and the path of what each head has."""

    label: str
    weights: Mapping[str, MatrixExpr]
    scale: Expr
    path: Path  # longer than its layer's by the family's name; the layer's own for a single head


@dataclass(frozen=True)
class Layer:
    """A layer: its own matrices, its families of heads, and the path of what each layer has."""

    label: str
    weights: Mapping[str, MatrixExpr]
    heads: tuple[Heads, ...]
    path: Path = ()  # the generic layer is of the family of layers, an inserted one is not


@dataclass(frozen=True)
class Transformer:
    """A model of symbolic size: the generic layer, single layers inserted anywhere, and the rest."""

    preset: Preset
    weights: Mapping[str, MatrixExpr]  # I, P, W_out
    layer: Layer
    inserted: tuple[Layer, ...] = ()
    eps: Expr = field(default_factory=lambda: product(0))
    sizes: Mapping[str, Expr] = field(default_factory=dict)

    @property
    def has_own_scale(self) -> bool:
        """Whether a score factor is not the one that the architecture gives its k."""
        layers = (self.layer, *self.inserted)
        return any(heads.scale != 1 / sqrt(self.sizes["k"]) for layer in layers for heads in layer.heads)


# ---------------------------------------------------------------- the forward pass


def norm(X: MatrixExpr, gain: MatrixExpr, model: Transformer) -> MatrixExpr:
    """Norm(X)  (equation 5)."""
    return Norm(X, gain, model.eps)


def head(X: MatrixExpr, heads: Heads) -> MatrixExpr:
    """H_e W_O,e with H_e = Softmax(1/sqrt(k) (X W_Q)(X W_K)') (X W_V)  (equation 4)."""
    w = heads.weights
    scores = product(heads.scale, X, w["W_Q"], transposed(product(X, w["W_K"])))
    return product(Softmax(scores), X, w["W_V"], w["W_O"])


def mha(X: MatrixExpr, layer: Layer) -> MatrixExpr:
    """The sum of all heads  (equation 4); a family contributes sum_e, a single head itself."""
    families = [(head(X, heads), heads.path[len(layer.path) :]) for heads in layer.heads]
    return total(*(HeadSum(one, *family) if family else one for one, family in families))


def mlp(X: MatrixExpr, layer: Layer, model: Transformer) -> MatrixExpr:
    """ReLU(X W_l1 + 1 b_l1) W_l2 + 1 b_l2  (equation 3)."""
    w, rows = layer.weights, ones(X.rows, 1)
    hidden = Act(total(product(X, w["W_l1"]), product(rows, w["b_l1"])), model.preset.act)
    return total(product(hidden, w["W_l2"]), product(rows, w["b_l2"]))


def attention_sublayer(X: MatrixExpr, layer: Layer, model: Transformer) -> MatrixExpr:
    """MHA(Norm_MHA(X))."""
    return mha(norm(X, layer.weights["g_MHA"], model), layer)


def mlp_sublayer(X: MatrixExpr, layer: Layer, model: Transformer) -> MatrixExpr:
    """MLP(Norm_MLP(X))."""
    return mlp(norm(X, layer.weights["g_MLP"], model), layer, model)


SUBLAYERS = {"attention": attention_sublayer, "MLP": mlp_sublayer}


def transformer_layer(X: MatrixExpr, layer: Layer, model: Transformer) -> MatrixExpr:
    """X' + MLP(Norm(X')) with X' = X + MHA(Norm(X))  (equation 2): every sublayer is added to its input."""
    for sublayer in SUBLAYERS.values():
        X = total(X, sublayer(X, layer, model))
    return X


def embedding(model: Transformer) -> MatrixExpr:
    """I + P, the start of the residual stream."""
    return total(model.weights["I"], model.weights["P"])


def output(X: MatrixExpr, model: Transformer) -> MatrixExpr:
    """X W_out."""
    return product(X, model.weights["W_out"])


def transformer(model: Transformer) -> MatrixExpr:
    """Layer_N( ... Layer_1(I + P) ... ) W_out  (equation 1)."""
    X = stream(model)
    inserted = [transformer_layer(X, layer, model) for layer in model.inserted]
    body = transformer_layer(X, model.layer, model)
    return output(Stack(embedding(model), X, body, LAYERS, inserted), model)


# ---------------------------------------------------------------- the generic model


def stream(model: Transformer) -> MatrixSymbol:
    """X, the residual stream (s x h): a symbol for any matrix of its shape."""
    return matrix("X", model.sizes["s"], model.sizes["h"])


def paper_model(preset: Preset) -> Transformer:
    """The old model: every parameter a symbol, every size a symbol."""
    sizes: dict[str, Symbol] = {name: size(name) for name in SIZES}

    def symbols(scope: str, path: Path) -> dict[str, MatrixSymbol]:
        found = (q for q in PARAMETERS if q.scope == scope)
        return {q.name: matrix(q.name, sizes.get(q.rows, 1), sizes[q.columns], path) for q in found}

    heads = Heads("", symbols("head", (LAYERS, HEADS)), 1 / sqrt(sizes["k"]), (LAYERS, HEADS))
    layer = Layer("", symbols("layer", (LAYERS,)), (heads,), (LAYERS,))
    return Transformer(preset, symbols("model", ()), layer, (), preset.eps, sizes)
