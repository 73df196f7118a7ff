"""The transformer: its parameters and its forward pass, as terms.

`transformer` is the one definition of the architecture on the symbolic side, for the old and for the expanded model
alike.  With no option given it is equations 1-5 of arXiv:2308.06103; what an option changes stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from sympy import S, Symbol, sqrt

from .preset import PRESETS as PRESETS
from .preset import Preset as Preset
from .terms import (
    CHOSEN,
    Act,
    Diag,
    Expr,
    Frequencies,
    Hadamard,
    HeadSum,
    MatrixExpr,
    MatrixSymbol,
    Norm,
    Path,
    Rope,
    Softmax,
    Stack,
    canonical,
    eye,
    matrix,
    ones,
    product,
    scalar,
    size,
    substitute,
    total,
    transposed,
)

# ---------------------------------------------------------------- parameters

Has = Callable[[Preset], bool]


@dataclass(frozen=True)
class Parameter:
    """A parameter: its name, its sizes (rows x columns), what owns one of it, and which architectures have it."""

    name: str
    rows: str
    columns: str
    scope: str  # "model", "layer", "group" or "head"
    has: Has = lambda preset: True


def normed(preset: Preset) -> bool:
    return bool(preset["norm"] != "none")


def biased(*where: Has) -> Has:
    """Norms that are there and have a bias."""
    return lambda preset: bool(preset["norm_bias"]) and all(has(preset) for has in where)


def option(name: str, *values: object) -> Has:
    """Architectures in which an option has one of some values."""
    return lambda preset: preset[name] in values


def both(*conditions: Has) -> Has:
    return lambda preset: all(has(preset) for has in conditions)


SEQUENTIAL = both(normed, option("parallel", False))
SANDWICH = both(normed, option("placement", "sandwich"))
FINAL, FIRST = both(normed, option("final_norm", True)), both(normed, option("embedding_norm", True))
GATED, BIASED = option("mlp", "gated"), option("mlp_bias", True)
TABLE = both(option("positions", "rotary"), option("rope_frequencies", "table"))

PARAMETERS = (
    Parameter("I", "s", "h", "model", option("tied", False)),
    Parameter("tokens", "s", "o", "model", option("tied", True)),  # the tokens; their embedding is I = tokens W_out'
    Parameter("P", "s", "h", "model", option("positions", "table")),
    Parameter("g_in", "1", "h", "model", FIRST),
    Parameter("c_in", "1", "h", "model", biased(FIRST)),
    Parameter("rope_freqs", "1", "f", "model", TABLE),
    Parameter("g_out", "1", "h", "model", FINAL),
    Parameter("c_out", "1", "h", "model", biased(FINAL)),
    Parameter("W_out", "h", "o", "model"),
    Parameter("g_MHA", "1", "h", "layer", normed),
    Parameter("c_MHA", "1", "h", "layer", biased(normed)),
    Parameter("W_Q", "h", "k", "head"),
    Parameter("b_Q", "1", "k", "head", option("attention_bias", "qkv", "qkvo")),
    Parameter("g_Q", "1", "k", "head", option("qk_norm", True)),
    Parameter("W_K", "h", "k", "group"),
    Parameter("b_K", "1", "k", "group", option("attention_bias", "qkv", "qkvo")),
    Parameter("g_K", "1", "k", "group", option("qk_norm", True)),
    Parameter("W_V", "h", "v", "group"),
    Parameter("b_V", "1", "v", "group", option("attention_bias", "qkv", "qkvo")),
    Parameter("W_O", "v", "h", "head"),
    Parameter("B_pos", "s", "s", "head", option("positions", "bias")),
    Parameter("b_O", "1", "h", "layer", option("attention_bias", "qkvo")),
    Parameter("g_MHA_post", "1", "h", "layer", SANDWICH),
    Parameter("c_MHA_post", "1", "h", "layer", biased(SANDWICH)),
    Parameter("g_MLP", "1", "h", "layer", SEQUENTIAL),
    Parameter("c_MLP", "1", "h", "layer", biased(SEQUENTIAL)),
    Parameter("W_R", "h", "n_experts", "layer", option("experts", True)),
    Parameter("W_gate", "h", "p", "expert", GATED),
    Parameter("b_gate", "1", "p", "expert", both(GATED, BIASED)),
    Parameter("W_l1", "h", "p", "expert"),
    Parameter("b_l1", "1", "p", "expert", BIASED),
    Parameter("W_l2", "p", "h", "expert"),
    Parameter("b_l2", "1", "h", "expert", BIASED),
    Parameter("g_MLP_post", "1", "h", "layer", SANDWICH),
    Parameter("c_MLP_post", "1", "h", "layer", biased(SANDWICH)),
)
INPUTS = ("I", "tokens")  # what comes when the model is there; everything else is part of it
FOLLOWING = ("scale", "embed_scale", "logit_scale")  # scalars that an architecture computes from its sizes
SCALARS = ("eps", "eps_qk", "rope_base", *FOLLOWING)


def names_of(*scopes: str) -> tuple[str, ...]:
    """The parameters of some scopes, in an architecture that has everything."""
    return tuple(parameter.name for parameter in PARAMETERS if parameter.scope in scopes)


SIZES = ("s", "h", "p", "k", "v", "o")
SCOPES = ("model", "layer", "group", "head", "expert")  # from the widest to the narrowest
FAMILIES = LAYERS, GROUPS, HEADS, EXPERTS = "layers", "groups", "heads", "experts"  # of the old model


@lru_cache
def parameters(preset: Preset) -> Mapping[str, Parameter]:
    """The parameters of an architecture by name; without groups keys are per head, without experts an MLP per layer."""
    narrow = {"group": "group" if preset["groups"] else "head", "expert": "expert" if preset["experts"] else "layer"}
    found = (q for q in PARAMETERS if q.has(preset))
    return {q.name: Parameter(q.name, q.rows, q.columns, narrow.get(q.scope, q.scope)) for q in found}


def levels(preset: Preset) -> tuple[str, ...]:
    """What a model has many of, from the outside in: layers, in each groups of heads (if any), in each heads."""
    return (LAYERS, GROUPS, HEADS) if preset["groups"] else (LAYERS, HEADS)


def side(name: str, sizes: Mapping[str, Expr]) -> Expr:
    """A side of a parameter: a size, 1, or the number f of rotary frequencies."""
    if name == "f":
        return sizes.get("k_turned", sizes["k"]) / 2
    return S.One if name == "1" else sizes[name]


def with_what_follows(sizes: Mapping[str, Expr]) -> dict[str, Expr]:
    """Sizes with those that follow from k where positions are rotary: its pairs, or what is not turned of it."""
    if "k_turned" in sizes:
        return {**sizes, "k_rest": canonical(sizes["k"] - sizes["k_turned"])}
    return {**sizes, "k_pairs": canonical(sizes["k"] / 2)} if "k_pairs" in sizes else dict(sizes)


# ---------------------------------------------------------------- models


@dataclass(frozen=True)
class Heads:
    """A family of heads (or one head): its matrices, its score factor, and the path of what each head has.

    `joins` is the label of the family with whose groups it shares keys and values, if it came later than these.
    """

    label: str
    weights: Mapping[str, MatrixExpr]
    scale: Expr
    path: Path  # longer than its layer's by the family's name; the layer's own for a single head
    joins: str | None = None


@dataclass(frozen=True)
class Experts:
    """The MLPs that a layer mixes: their matrices, and the path of what each has."""

    weights: Mapping[str, MatrixExpr]
    path: Path


@dataclass(frozen=True)
class Layer:
    """A layer: its own matrices, its families of heads, and the path of what each layer has.

    `bodies` are the sublayers that a variant defines anew, in terms of INPUT and of what they were.
    """

    label: str
    weights: Mapping[str, MatrixExpr]
    heads: tuple[Heads, ...]
    path: Path = ()  # the generic layer is of the family of layers, an inserted one is not
    experts: Experts | None = None
    bodies: Mapping[str, MatrixExpr] = field(default_factory=dict)


INPUT = "X~in"  # what a sublayer reads, in its body


def as_it_was(name: str) -> str:
    """The name of what a sublayer computes without a body of its own."""
    return f"{name}~in"


@dataclass(frozen=True)
class Transformer:
    """A model of symbolic size: the generic layer, single layers inserted anywhere, and the rest."""

    preset: Preset
    weights: Mapping[str, MatrixExpr]  # I, P, W_out, ...
    layer: Layer
    inserted: tuple[Layer, ...] = ()
    scalars: Mapping[str, Expr] = field(default_factory=dict)
    sizes: Mapping[str, Expr] = field(default_factory=dict)

    @property
    def eps(self) -> Expr:
        return self.scalars.get("eps", S.Zero)

    @property
    def has_own_scale(self) -> bool:
        """Whether a scalar that follows the sizes is not the one that the architecture gives its sizes."""
        own = {name: default_scalar(name, self.preset, self.sizes) for name in FOLLOWING}
        heads = (heads for layer in (self.layer, *self.inserted) for heads in layer.heads)
        others = any(self.scalars[name] != own[name] for name in FOLLOWING if name != "scale")
        return others or any(one.scale != own["scale"] for one in heads)


Weights = Mapping[str, MatrixExpr]
Owner = tuple[str, ...]  # () for the model, (layer,) for a layer, (layer, heads) for a family of heads or experts


def reweighted(model: Transformer, change: Callable[[Weights, Owner, Path], Weights]) -> Transformer:
    """The model with other matrices: what `change` makes of those of the model, and of each head, expert and layer."""

    def layer(one: Layer) -> Layer:
        heads = tuple(replace(h, weights=change(h.weights, (one.label, h.label), h.path)) for h in one.heads)
        experts = one.experts
        if experts is not None:
            experts = replace(experts, weights=change(experts.weights, (one.label, EXPERTS), experts.path))
        own = change(one.weights, (one.label,), one.path)
        return replace(one, weights=own, heads=heads, experts=experts)

    weights, inner = change(model.weights, (), ()), layer(model.layer)
    return replace(model, weights=weights, layer=inner, inserted=tuple(map(layer, model.inserted)))


def default_scalar(name: str, preset: Preset, sizes: Mapping[str, Expr]) -> Expr:
    """A scalar of the architecture; one that follows the sizes is recomputed when they grow."""
    scales = {"sqrt": 1 / sqrt(sizes["k"]), "constant": Symbol("scale", positive=True), "none": S.One}
    return {
        "eps": preset.eps,
        "eps_qk": scalar("eps_qk") if preset["qk_norm"] else S.Zero,
        "scale": scales[preset["scale"]],
        "rope_base": Symbol("rope_base", positive=True) if preset["positions"] == "rotary" else S.One,
        "embed_scale": sqrt(sizes["h"]) if preset["embed_scale"] else S.One,
        "logit_scale": 1 / sqrt(sizes["h"]) if preset["logit_scale"] else S.One,
    }[name]


def has_scalar(name: str, preset: Preset) -> bool:
    """Whether an architecture has a scalar of that name, so that a rewrite of it means something."""
    there = {"eps": preset["eps"], "eps_qk": preset["qk_norm"], "scale": True}
    there["rope_base"] = preset["positions"] == "rotary" and preset["rope_frequencies"] == "recomputed"
    return bool(there.get(name, preset[name] if name in ("embed_scale", "logit_scale") else False))


# ---------------------------------------------------------------- norms


def norm(X: MatrixExpr, name: str, weights: Mapping[str, MatrixExpr], model: Transformer) -> MatrixExpr:
    """Norm(X) with the gain g_name and the bias c_name  (equation 5); LayerNorm centres the rows first."""
    preset = model.preset
    if preset["norm"] == "none":
        return X
    centred = product(X, centring(X.cols)) if preset["norm"] == "layer" else X
    scaled = Norm(centred, gain(weights[f"g_{name}"], model), model.eps)
    return total(scaled, product(ones(X.rows, 1), weights[f"c_{name}"])) if preset["norm_bias"] else scaled


def gain(stored: MatrixExpr, model: Transformer) -> MatrixExpr:
    """What a norm multiplies by: the stored gains, or these plus one  (1 x h)."""
    return total(ones(1, stored.cols), stored) if model.preset["norm_gain"] == "1 + g" else stored


def centring(n: Expr) -> MatrixExpr:
    """C = I - (1/n) 1 1', so that X C has the rows of X less their means  (n x n)."""
    return total(eye(n), product(-1 / n, ones(n, 1), ones(1, n)))


# ---------------------------------------------------------------- attention


def affine(X: MatrixExpr, weights: Mapping[str, MatrixExpr], what: str) -> MatrixExpr:
    """X W_what + 1 b_what."""
    if f"b_{what}" not in weights:
        return product(X, weights[f"W_{what}"])
    return total(product(X, weights[f"W_{what}"]), product(ones(X.rows, 1), weights[f"b_{what}"]))


def turned(A: MatrixExpr, what: str, weights: Mapping[str, MatrixExpr], model: Transformer) -> MatrixExpr:
    """Queries or keys (s x k), normalised and turned by their positions where the architecture does that."""
    if model.preset["qk_norm"]:
        A = Norm(A, gain(weights[f"g_{what}"], model), model.scalars["eps_qk"])
    return Rope(A, frequencies(model), model.preset["rope_layout"]) if model.preset["positions"] == "rotary" else A


def frequencies(model: Transformer) -> MatrixExpr:
    """The frequencies of the rotary positions, a given row (1 x f) or base^(-2j/k)."""
    if model.preset["rope_frequencies"] == "table":
        return model.weights["rope_freqs"]
    k = model.sizes.get("k_turned", model.sizes["k"])
    return Frequencies(model.scalars["rope_base"] ** (1 / k), k)


def head(X: MatrixExpr, heads: Heads, model: Transformer) -> MatrixExpr:
    """H_e W_O,e with H_e = Softmax(1/sqrt(k) (X W_Q)(X W_K)') (X W_V)  (equation 4)."""
    w = heads.weights
    queries, keys = turned(affine(X, w, "Q"), "Q", w, model), turned(affine(X, w, "K"), "K", w, model)
    scores = product(heads.scale, queries, transposed(keys))
    scores = total(scores, w["B_pos"]) if "B_pos" in w else scores
    return product(Softmax(scores, model.preset["mask"]), affine(X, w, "V"), w["W_O"])


def mha(X: MatrixExpr, layer: Layer, model: Transformer) -> MatrixExpr:
    """The sum of all heads, and 1 b_O  (equation 4); a family contributes sum_e, a single head itself."""
    parts = []
    for heads in layer.heads:
        one = head(X, heads, model)
        for family in reversed(heads.path[len(layer.path) :]):
            one = HeadSum(one, family)
        parts.append(one)
    bias = [product(ones(X.rows, 1), layer.weights["b_O"])] if "b_O" in layer.weights else []
    return total(*parts, *bias)


# ---------------------------------------------------------------- MLP


def mlp(X: MatrixExpr, layer: Layer, model: Transformer) -> MatrixExpr:
    """The MLP, or sum_e diag(w_e) MLP_e(X) with w_e a column of the router's weights Softmax_top(X W_R)."""
    if layer.experts is None:
        return feed_forward(X, layer.weights, model)
    routes = Softmax(product(X, layer.weights["W_R"]), ROUTERS[model.preset["router"]])
    weight = Diag(transposed(product(routes, chosen(layer.experts, model))))
    return HeadSum(product(weight, feed_forward(X, layer.experts.weights, model)), layer.experts.path[-1])


ROUTERS = {"renormalised": "top", "plain": "kept"}


def chosen(experts: Experts, model: Transformer) -> MatrixSymbol:
    """u~e, the column of the identity that picks an expert  (n x 1)."""
    return matrix(CHOSEN, model.sizes["n_experts"], 1, experts.path)


def feed_forward(X: MatrixExpr, w: Mapping[str, MatrixExpr], model: Transformer) -> MatrixExpr:
    """f(X W_l1 + 1 b_l1) W_l2 + 1 b_l2  (equation 3); gated: f(X W_gate + 1 b_gate) o (X W_l1 + 1 b_l1)."""
    inner = affine(X, w, "l1")
    if model.preset["mlp"] == "gated":
        hidden = Hadamard(Act(affine(X, w, "gate"), model.preset.act), inner)
    else:
        hidden = Act(inner, model.preset.act)
    return affine(hidden, w, "l2")


# ---------------------------------------------------------------- the whole


PIECES: Mapping[str, tuple[str, Callable[[MatrixExpr, Layer, Transformer], MatrixExpr]]] = {
    "attention": ("MHA", mha),
    "MLP": ("MLP", mlp),
}
Sublayer = Callable[[MatrixExpr, Layer, Transformer], MatrixExpr]


def written(X: MatrixExpr, piece: str, layer: Layer, model: Transformer) -> MatrixExpr:
    """What a sublayer adds to the stream: f(Norm(X)), Norm(f(X)), Norm(f(Norm(X))), or f(X) in post-norm."""
    name, f = PIECES[piece]
    placement = model.preset["placement"]
    before = norm(X, norm_name(name, model), layer.weights, model) if placement in ("pre", "sandwich") else X
    found = f(before, layer, model)
    if name in layer.bodies:
        size = layer.bodies[name].shape
        own = {matrix(as_it_was(one), *size): sublayer(before, layer, model) for one, sublayer in PIECES.values()}
        named = {matrix(as_it_was(n), *w.shape): w for n, w in layer.weights.items()}
        found = substitute(layer.bodies[name], {matrix(INPUT, *size): before, **own, **named})
    if placement == "output":
        return norm(found, name, layer.weights, model)
    return norm(found, f"{name}_post", layer.weights, model) if placement == "sandwich" else found


def norm_name(name: str, model: Transformer) -> str:
    """Side by side, both sublayers read one norm."""
    return "MHA" if model.preset["parallel"] else name


def attention_sublayer(X: MatrixExpr, layer: Layer, model: Transformer) -> MatrixExpr:
    """MHA(Norm_MHA(X)), or as the placement of the norms has it."""
    return written(X, "attention", layer, model)


def mlp_sublayer(X: MatrixExpr, layer: Layer, model: Transformer) -> MatrixExpr:
    """MLP(Norm_MLP(X)), or as the placement of the norms has it."""
    return written(X, "MLP", layer, model)


SUBLAYERS: Mapping[str, Sublayer] = {"attention": attention_sublayer, "MLP": mlp_sublayer}


def norms_after(model: Transformer) -> Mapping[str, Sublayer]:
    """The norms through which the whole stream goes, by the sublayer that they follow: those of post-norm."""
    if model.preset["placement"] != "post" or model.preset["norm"] == "none":
        return {}
    return {piece: norm_after(name) for piece, (name, _) in PIECES.items()}


def norm_after(name: str) -> Sublayer:
    return lambda X, layer, model: norm(X, norm_name(name, model), layer.weights, model)


def transformer_layer(X: MatrixExpr, layer: Layer, model: Transformer) -> MatrixExpr:
    """X' + MLP(Norm(X')) with X' = X + MHA(Norm(X))  (equation 2); side by side, both read X."""
    after = norms_after(model)
    if model.preset["parallel"]:
        return total(X, *(sublayer(X, layer, model) for sublayer in SUBLAYERS.values()))
    for name, sublayer in SUBLAYERS.items():
        X = total(X, sublayer(X, layer, model))
        X = after[name](X, layer, model) if name in after else X
    return X


def embedding(model: Transformer) -> MatrixExpr:
    """I + P, the start of the residual stream; with tied weights I = tokens W_out'."""
    w = model.weights
    tokens = product(model.scalars["embed_scale"], w["I"] if "I" in w else product(w["tokens"], transposed(w["W_out"])))
    return total(tokens, w["P"]) if "P" in w else tokens


def start(X: MatrixExpr, model: Transformer) -> MatrixExpr:
    """The stream before the first layer: the embedding, through a norm where there is one."""
    return norm(X, "in", model.weights, model) if "g_in" in model.weights else X


def output(X: MatrixExpr, model: Transformer) -> MatrixExpr:
    """X W_out, after the final norm where there is one."""
    X = norm(X, "out", model.weights, model) if "g_out" in model.weights else X
    return product(model.scalars["logit_scale"], X, model.weights["W_out"])


def transformer(model: Transformer) -> MatrixExpr:
    """Layer_N( ... Layer_1(I + P) ... ) W_out  (equation 1)."""
    X = stream(model)
    inserted = [transformer_layer(X, layer, model) for layer in model.inserted]
    body = transformer_layer(X, model.layer, model)
    return output(Stack(start(embedding(model), model), X, body, LAYERS, inserted), model)


# ---------------------------------------------------------------- the generic model


def stream(model: Transformer) -> MatrixSymbol:
    """X, the residual stream (s x h): a symbol for any matrix of its shape."""
    return matrix("X", model.sizes["s"], model.sizes["h"])


def paper_model(preset: Preset) -> Transformer:
    """The old model: every parameter a symbol, every size a symbol."""
    sizes: dict[str, Expr] = {name: size(name) for name in SIZES}
    if preset["positions"] == "rotary":  # what is turned are pairs
        turned = 2 * size("k_pairs")
        part = {"k_rest": size("k_rest"), "k_turned": turned, "k": turned + size("k_rest")}
        sizes |= {"k_pairs": size("k_pairs"), **(part if preset["rope_part"] == "part" else {"k": turned})}
    if preset["experts"]:
        sizes |= {"n_experts": size("n_experts")}

    def symbols(scope: str, path: Path) -> dict[str, MatrixSymbol]:
        found = (q for q in parameters(preset).values() if q.scope == scope)
        return {q.name: matrix(q.name, side(q.rows, sizes), side(q.columns, sizes), path) for q in found}

    path = levels(preset)
    scalars = {name: default_scalar(name, preset, sizes) for name in SCALARS}
    scalars |= {"top_k": size("top_k")} if preset["experts"] else {}
    own = symbols("head", path) | symbols("group", path[:-1])
    heads = Heads("", {name: own[name] for name in parameters(preset) if name in own}, scalars["scale"], path)
    mixed = (LAYERS, EXPERTS)
    experts = Experts(symbols("expert", mixed), mixed) if preset["experts"] else None
    layer = Layer("", symbols("layer", (LAYERS,)), (heads,), (LAYERS,), experts)
    return Transformer(preset, symbols("model", ()), layer, (), scalars, sizes)
