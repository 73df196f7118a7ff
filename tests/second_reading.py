"""A second reading of variant files on numbers, straight from their trees, and of what a transformer computes.

Nothing here uses the package's terms, rewrites, evaluation or forward passes: a tree is computed with numpy, and so is
a model.  What this says about a verdict is evidence of its own.  Architectures are those with pre-norm and options
among eps, groups, experts, router, mlp_bias, gated MLP, and rotary positions in pairs side by side.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from growproof.symbolic import architecture, syntax
from growproof.symbolic.preset import PRESETS, Preset
from growproof.symbolic.variant import Added, Variant

Names = dict[str, Any]
Nested = dict[str, Any]
PAPER = PRESETS["paper"]

# --- trees on numbers ---


def relu(A: np.ndarray) -> np.ndarray:
    return np.maximum(A, 0)


def gelu_tanh(A: np.ndarray) -> np.ndarray:
    return A / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (A + 0.044715 * A**3)))


ACTIVATIONS = {"relu": relu, "gelu_tanh": gelu_tanh, "silu": lambda A: A / (1 + np.exp(-A))}
FUNCTIONS = {
    "sqrt": np.sqrt,
    "eye": lambda n: np.eye(int(n)),
    "ones": lambda m, n: np.ones((int(m), int(n))),
    "0": lambda m, n: np.zeros((int(m), int(n))),
    "diag": lambda row: np.diag(row[0]),
    "kron": np.kron,
    "hadamard": np.multiply,
    "act": relu,
}


def value(tree: syntax.Expression, names: Mapping[str, Any]) -> Any:
    """What an expression is: a number or an array; a bare 0 is the number, and has no place among blocks."""
    match tree:
        case syntax.Number():
            return float(tree.value)
        case syntax.Name():
            return names[tree.name]
        case syntax.Negative():
            return -value(tree.operand, names)
        case syntax.Transposed():
            return value(tree.operand, names).T
        case syntax.Blocks():
            return np.block([[value(cell, names) for cell in row] for row in tree.rows])
        case syntax.Call():
            function = names.get(tree.function, FUNCTIONS[tree.function])  # a model's own `act` is among the names
            return function(*(value(argument, names) for argument in tree.arguments))
    assert isinstance(tree, syntax.BinaryOp)
    left, right = value(tree.left, names), value(tree.right, names)
    if tree.operator == "*":
        return left @ right if np.ndim(left) and np.ndim(right) else left * right
    return {"+": np.add, "-": np.subtract, "/": np.divide, "^": np.power}[tree.operator](left, right)


def filled(tree: syntax.Expression, names: Mapping[str, Any], shape: tuple[int, int]) -> np.ndarray:
    """A matrix of a shape; a bare 0 has any."""
    found = value(tree, names)
    return found if np.ndim(found) else np.full(shape, found)


# --- where names have a meaning ---


def parameters(scope: str, preset: Preset = PAPER) -> list[str]:
    """What the model, a layer, a group, a head or an expert of an architecture has."""
    found = architecture.parameters(preset).values()
    return [parameter.name for parameter in found if parameter.scope == scope]


def matrices(table: Nested) -> Names:
    return {name: entry for name, entry in table.items() if isinstance(entry, np.ndarray)}


def sizes(variant: Variant, new: Nested) -> Names:
    found = dict(new["sizes"])
    for base, tree in variant.grows.items():
        found.setdefault(f"{base}_hat", value(tree, found))
    return found


SCOPES = ("model", "layer", "group", "head", "expert")
FAMILIES = ("layers", "groups", "heads", "experts")
Pair = tuple[Nested, Nested]


def within(family: str, old: Nested, new: Nested) -> list[Pair]:
    """The members of a family in the tables of a model and in those of the new blocks; one of them may have none."""
    before, after = old.get(family, []), new.get(family, [])
    count = max(len(before), len(after))
    return list(zip(before or [{}] * count, after or [{}] * count, strict=True))


def everywhere(names: Names, old: Nested, new: Nested) -> Iterator[Names]:
    """The names that have a meaning in a table, and in every table within it."""
    here = {**names, **matrices(old), **matrices(new)}
    yield here
    for family in FAMILIES:
        for pair in within(family, old, new):
            yield from everywhere(here, *pair)


def places(variant: Variant, old: Nested, new: Nested) -> Iterator[Names]:
    """The names that have a meaning in the model, in each layer, head, ... and those of an added layer."""
    names = sizes(variant, new)
    yield from everywhere(names, old, new)
    if "added_layer" in new:
        model = {**names, **matrices(old), **matrices(new)}
        yield from everywhere(model, *copied(variant, old, new))


def copied(variant: Variant, old: Nested, new: Nested) -> Pair:
    """What an added layer starts from, and the new blocks that it sees: its own, and those of what it copies."""
    added = new["added_layer"]
    assert variant.added_layer is not None
    if variant.added_layer.copy is None:
        return {}, added
    before = added["position"] - 1
    return old["layers"][before], over(new["layers"][before], added)


def over(below: Nested, above: Nested) -> Nested:
    """Tables of the same form, one over the other."""
    found = {**below, **above}
    for family in FAMILIES:
        if family in below and family in above:
            found[family] = [over(*pair) for pair in zip(below[family], above[family], strict=True)]
    return found


# --- what a variant says of the new blocks ---


def elsewhere(variant: Variant, preset: Preset) -> dict[str, float]:
    """The new blocks that are only part of what other architectures have; here they are 0."""
    added = [a.entries for a in (variant.added_head, variant.added_layer) if a is not None]
    entries = [entry for table in (variant.rewrite, variant.forward, *added) for entry in table.items()]
    here = {name for scope in SCOPES for name in parameters(scope, preset)} | {"MHA", "MLP"}
    uses = [(name, {part.name for part in syntax.names(tree)} & variant.new.keys()) for name, tree in entries]
    used, needed = (set().union(*(blocks for name, blocks in uses if name in some)) for some in (dict(uses), here))
    return dict.fromkeys(used - needed, 0.0)


def violated(variant: Variant, old: Nested, new: Nested, preset: Preset = PAPER) -> list[str]:
    """The constraints that do not hold everywhere, or that speak of nothing; and blocks that are no selections."""
    absent = elsewhere(variant, becomes(variant, preset))
    everything = list(places(variant, old, new))
    chosen = [name for name in variant.new if "selection" in variant.new[name].kinds]
    found = [name for name in chosen if not all(selects(names[name]) for names in everything if name in names)]
    for constraint in variant.constraints:
        used = {name.name for side in (constraint.left, constraint.right) for name in syntax.names(side)}
        if used and used <= absent.keys():
            continue
        where = [names | absent for names in everything if used <= names.keys() | absent.keys()]
        gaps = [value(constraint.left, names) - value(constraint.right, names) for names in where]
        if not where or any(np.abs(gap).max() > 1e-12 for gap in gaps):
            found.append(syntax.show(constraint.left))
    return found


def selects(S: np.ndarray) -> bool:
    """Whether each column has a single 1, and 0 elsewhere."""
    return bool(np.isin(S, (0, 1)).all() and (S.sum(axis=0) == 1).all())


# --- a variant on a model ---


def becomes(variant: Variant, preset: Preset) -> Preset:
    """The architecture of the grown model."""
    said = variant.becomes
    new = {"experts": True} if "experts" in said else {}
    new |= {"router": said["router"]} if "router" in said else {}
    new |= {"groups": False} if "kv_groups" in said else {}
    return Preset(preset.name, "", "", tuple((dict(preset.given) | new).items()))


def grown(variant: Variant, old: Nested, new: Nested, preset: Preset = PAPER) -> Nested:
    """The model after a variant: every rewrite computed from its tree."""
    return _Growing(variant, preset, sizes(variant, new)).model(old, new)


class _Growing:
    """A variant and the architectures before and after it."""

    def __init__(self, variant: Variant, preset: Preset, own_sizes: Names) -> None:
        self.variant, self.before, self.after, self.sizes = variant, preset, becomes(variant, preset), own_sizes

    def model(self, old: Nested, new: Nested) -> Nested:
        names = {**self.sizes, **matrices(old), **matrices(new)}
        layers = [self.layer(*pair, names, self.variant.rewrite) for pair in within("layers", old, new)]
        if self.variant.forward:
            for layer, (_, own) in zip(layers, within("layers", old, new), strict=True):
                here = {**self.sizes, **matrices(new), **matrices(own)}
                layer["bodies"] = {name: (body, here) for name, body in self.variant.forward.items()}
        added = self.variant.added_layer
        if added is not None:
            entries = dict(added.entries) if added.copy is None else {**self.variant.rewrite, **added.entries}
            layers.insert(new["added_layer"]["position"], self.layer(*copied(self.variant, old, new), names, entries))
        return {**self.rewritten("model", names, self.variant.rewrite), "layers": layers}

    def rewritten(self, scope: str, names: Names, entries: Mapping[str, syntax.Expression]) -> Nested:
        """What something has: each parameter as an entry says it, or as it was."""
        return {
            name: filled(entries[name], names, self.shape(name)) if name in entries else names[name]
            for name in parameters(scope, self.after)
        }

    def shape(self, name: str) -> tuple[int, int]:
        """The rows and columns of a parameter of the grown model."""
        found = architecture.parameters(self.after)[name]
        grown_sizes = {base.removesuffix("_hat"): n for base, n in self.sizes.items() if base.endswith("_hat")}
        rows, columns = ({"1": 1, **self.sizes, **grown_sizes}.get(side, 0) for side in (found.rows, found.columns))
        return int(rows), int(columns)

    def layer(self, old: Nested, new: Nested, outer: Names, entries: Mapping[str, syntax.Expression]) -> Nested:
        names = {**outer, **matrices(old), **matrices(new)}
        groups = within("groups", old, new) if self.before["groups"] else [(old, new)]
        made = [self.group(*pair, names, entries) for pair in groups]
        made += self.added_heads(groups, made, names) if entries is self.variant.rewrite else []
        heads = {"groups": made} if self.after["groups"] else {"heads": [head for one in made for head in one["heads"]]}
        mixed = [{**names, **matrices(a), **matrices(b)} for a, b in within("experts", old, new)]
        experts = [self.rewritten("expert", here, entries) for here in mixed]
        return {**self.rewritten("layer", names, entries), **heads, **({"experts": experts} if experts else {})}

    def group(self, old: Nested, new: Nested, outer: Names, entries: Mapping[str, syntax.Expression]) -> Nested:
        """Some heads with what they share; without groups that is nothing."""
        names = {**outer, **matrices(old), **matrices(new)}
        heads = [self.head({**names, **matrices(a), **matrices(b)}, entries) for a, b in within("heads", old, new)]
        return {**self.rewritten("group", names, entries), "heads": heads}

    def head(self, names: Names, entries: Mapping[str, syntax.Expression]) -> Nested:
        """A head; its scores are divided by sqrt(k_hat), and another factor goes into the queries."""
        made = self.rewritten("head", names, entries)
        if "scale" not in self.variant.rewrite:
            return made
        factor = value(self.variant.rewrite["scale"], names) * np.sqrt(made["W_Q"].shape[1])
        return made | {"W_Q": factor * made["W_Q"]}

    def added_heads(self, groups: list[Pair], made: list[Nested], names: Names) -> list[Nested]:
        """The groups of new heads; heads that join a group are put into it."""
        added: Added | None = self.variant.added_head
        if added is None:
            return []
        if added.copy is not None:
            return [self.group(*pair, names, {**self.variant.rewrite, **added.entries}) for pair in groups]
        if added.group is not None:
            for (old, new), group in zip(groups, made, strict=True):
                group["heads"].append(self.head({**names, **matrices(old), **matrices(new)}, added.entries))
            return []
        shared = self.rewritten("group", names, added.entries)
        return [{**shared, "heads": [self.head(names, added.entries)]}]


# --- what a transformer computes ---


def norm(X: np.ndarray, gain: np.ndarray, eps: float) -> np.ndarray:
    return X / np.sqrt((X**2).mean(axis=1, keepdims=True) + eps) * gain


def softmax(A: np.ndarray) -> np.ndarray:
    powers = np.exp(A - A.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def turned(A: np.ndarray, base: float) -> np.ndarray:
    """Row i, from 0: its j-th pair of columns as a complex number, times the i-th power of e^(i base^(-2j/k))."""
    rows, k = A.shape
    angles = np.outer(np.arange(rows), base ** (-np.arange(0, k, 2) / k))
    pairs = (A[:, 0::2] + 1j * A[:, 1::2]) * np.exp(1j * angles)
    return np.stack([pairs.real, pairs.imag], axis=2).reshape(rows, k)


def mha(Y: np.ndarray, layer: Nested, numbers: Names, preset: Preset) -> np.ndarray:
    found = np.zeros_like(Y)
    for group in layer.get("groups", [layer]):
        for head in group["heads"]:
            w = {**group, **head}
            Q, K = Y @ w["W_Q"], Y @ w["W_K"]
            if preset["positions"] == "rotary":
                Q, K = (turned(A, numbers["rope_base"]) for A in (Q, K))
            found = found + softmax(Q @ K.T / np.sqrt(Q.shape[1])) @ (Y @ w["W_V"]) @ w["W_O"]
    return found


def mlp(Y: np.ndarray, layer: Nested, numbers: Names, preset: Preset) -> np.ndarray:
    if not preset["experts"]:
        return feed_forward(Y, layer, preset)
    weights, found = softmax(Y @ layer["W_R"]), np.zeros_like(Y)
    for i, row in enumerate(weights):
        chosen = sorted(range(len(row)), key=lambda e, row=row: (-row[e], e))[: int(numbers["top_k"])]
        whole = row[chosen].sum() if preset["router"] == "renormalised" else 1.0
        for e in chosen:
            found[i] += row[e] / whole * feed_forward(Y[i : i + 1], layer["experts"][e], preset)[0]
    return found


def feed_forward(Y: np.ndarray, w: Nested, preset: Preset) -> np.ndarray:
    f, hidden = ACTIVATIONS[preset["act"]], Y @ w["W_l1"] + w.get("b_l1", 0)
    hidden = f(Y @ w["W_gate"] + w.get("b_gate", 0)) * hidden if preset["mlp"] == "gated" else f(hidden)
    return hidden @ w["W_l2"] + w.get("b_l2", 0)


SUBLAYERS = {"MHA": mha, "MLP": mlp}


def output(model: Nested, preset: Preset = PAPER, **numbers: float) -> np.ndarray:
    """What a model computes; `numbers` are eps, top_k and rope_base where the architecture has them."""
    X = model["I"] + model.get("P", 0)
    for layer in model["layers"]:
        for name, sublayer in SUBLAYERS.items():
            Y = norm(X, layer[f"g_{name}"], numbers.get("eps", 0)) if preset["norm"] == "rms" else X
            own = sublayer(Y, layer, numbers, preset)
            if name in layer.get("bodies", {}):
                body, names = layer["bodies"][name]
                both = {one: f(Y, layer, numbers, preset) for one, f in SUBLAYERS.items()}
                known = {**names, **matrices(layer), **both, "X": Y, "act": ACTIVATIONS[preset["act"]]}
                own = value(body, known)
            X = X + own
    return X @ model["W_out"]


def outputs(
    variants: list[Variant], old: Nested, news: tuple[Nested, ...], preset: Preset = PAPER
) -> tuple[np.ndarray, np.ndarray]:
    """What a model computes before and after a chain.  AssertionError for a violated constraint."""
    numbers = {name: float(number) for name, number in old["scalars"].items()}
    before, model = output(old, preset, **numbers), old
    for variant, new in zip(variants, news, strict=True):
        assert violated(variant, model, new, preset) == []
        names = {**sizes(variant, new), **numbers}
        said = {name: value(tree, names) for name, tree in variant.rewrite.items() if name in numbers}
        said |= {"top_k": variant.becomes["top_k"]} if "top_k" in variant.becomes else {}
        if variant.becomes.get("rope") == "kept" and "rope_base" not in said and "rope_base" in numbers:
            said["rope_base"] = numbers["rope_base"] ** (names["k_hat"] / names["k"])
        model, preset, numbers = grown(variant, model, new, preset), becomes(variant, preset), numbers | said
    return before, output(model, preset, **numbers)
