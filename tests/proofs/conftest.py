"""A second reading of variant files on numbers, straight from their trees, and the verdicts that it judges.

Nothing here uses the package's terms, rewrites or evaluation: a tree is computed with numpy, the models run in
`numeric`.  So what these fixtures say about a verdict is evidence of its own.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
from sympy import Rational

from growproof.numeric.forward import transformer
from growproof.numeric.model import from_nested
from growproof.proofs.check import Answer, check
from growproof.proofs.counterexample import Counterexample
from growproof.proofs.drawing import RANDOM, drawn_blocks, drawn_model
from growproof.proofs.experiment import PROFILE
from growproof.symbolic import architecture, syntax
from growproof.symbolic.architecture import PRESETS
from growproof.symbolic.variant import Variant, loads

Names = dict[str, Any]
Nested = dict[str, Any]

# --- trees on numbers ---

FUNCTIONS = {
    "sqrt": np.sqrt,
    "eye": lambda n: np.eye(int(n)),
    "ones": lambda m, n: np.ones((int(m), int(n))),
    "0": lambda m, n: np.zeros((int(m), int(n))),
    "diag": lambda row: np.diag(row[0]),
    "kron": np.kron,
    "hadamard": np.multiply,
    "act": lambda A: np.maximum(A, 0),
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
            return FUNCTIONS[tree.function](*(value(argument, names) for argument in tree.arguments))
    assert isinstance(tree, syntax.BinaryOp)
    left, right = value(tree.left, names), value(tree.right, names)
    if tree.operator == "*":
        return left @ right if np.ndim(left) and np.ndim(right) else left * right
    return {"+": np.add, "-": np.subtract, "/": np.divide, "^": np.power}[tree.operator](left, right)


# --- a variant on a model ---


def parameters(scope: str) -> list[str]:
    """What the paper's model, layer or head has."""
    found = architecture.parameters(PRESETS["paper"]).values()
    return [parameter.name for parameter in found if parameter.scope == scope]


def matrices(table: Nested) -> Names:
    return {name: entry for name, entry in table.items() if isinstance(entry, np.ndarray)}


def sizes(variant: Variant, new: Nested) -> Names:
    found = dict(new["sizes"])
    for base, tree in variant.grows.items():
        found.setdefault(f"{base}_hat", value(tree, found))
    return found


def places(variant: Variant, old: Nested, new: Nested) -> Iterator[Names]:
    """The names that have a meaning in the model, in each layer and in each head, and those of an added layer."""
    model = {**sizes(variant, new), **matrices(old), **matrices(new)}
    yield model
    for layer, own in zip(old["layers"], new["layers"], strict=True):
        names = {**model, **matrices(layer), **matrices(own)}
        yield names
        for head, inside in zip(layer["heads"], own["heads"], strict=True):
            yield {**names, **matrices(head), **matrices(inside)}
    if "added_layer" in new:
        names = {**model, **matrices(new["added_layer"])}
        yield names
        yield from ({**names, **matrices(inside)} for inside in new["added_layer"]["heads"])


def elsewhere(variant: Variant) -> dict[str, float]:
    """The new blocks that are only part of what other architectures have; here they are 0."""
    added = [a.entries for a in (variant.added_head, variant.added_layer) if a is not None]
    entries = [entry for table in (variant.rewrite, *added) for entry in table.items()]
    here = {parameter for scope in ("model", "layer", "head") for parameter in parameters(scope)}
    uses = [(name, {part.name for part in syntax.names(tree)} & variant.new.keys()) for name, tree in entries]
    used, needed = (set().union(*(blocks for name, blocks in uses if name in some)) for some in (dict(uses), here))
    return dict.fromkeys(used - needed, 0.0)


def violated(variant: Variant, old: Nested, new: Nested) -> list[str]:
    """The constraints that do not hold everywhere, or that speak of nothing."""
    found, absent = [], elsewhere(variant)
    for constraint in variant.constraints:
        used = {name.name for side in (constraint.left, constraint.right) for name in syntax.names(side)}
        if used and used <= absent.keys():
            continue
        where = [names | absent for names in places(variant, old, new) if used <= names.keys() | absent.keys()]
        gaps = [value(constraint.left, names) - value(constraint.right, names) for names in where]
        if not where or any(np.abs(gap).max() > 1e-12 for gap in gaps):
            found.append(syntax.show(constraint.left))
    return found


def grown(variant: Variant, old: Nested, new: Nested) -> Nested:
    """The model after a variant: every rewrite computed from its tree."""
    own_size = sizes(variant, new)

    def rewritten(scope: str, names: Names) -> Nested:
        return {
            name: value(variant.rewrite[name], names) if name in variant.rewrite else names[name]
            for name in parameters(scope)
        }

    def given(entries: Mapping[str, Any], scope: str, names: Names) -> Nested:
        return {name: value(entries[name], names) for name in parameters(scope)}

    def rescaled(head: Nested, names: Names) -> Nested:
        """numpy divides by sqrt(k_hat); another factor of the scores goes into the queries."""
        if "scale" not in variant.rewrite:
            return head
        k = head["W_Q"].shape[1]
        return head | {"W_Q": value(variant.rewrite["scale"], names) * np.sqrt(k) * head["W_Q"]}

    model = {**own_size, **matrices(old), **matrices(new)}
    layers = []
    for layer, own in zip(old["layers"], new["layers"], strict=True):
        names = {**model, **matrices(layer), **matrices(own)}
        heads = []
        for head, inside in zip(layer["heads"], own["heads"], strict=True):
            here = {**names, **matrices(head), **matrices(inside)}
            heads.append(rescaled(rewritten("head", here), here))
        if variant.added_head is not None:
            heads.append(given(variant.added_head.entries, "head", names))
        layers.append({**rewritten("layer", names), "heads": heads})
    if variant.added_layer is not None:
        added, entries = new["added_layer"], variant.added_layer.entries
        names = {**model, **matrices(added)}
        heads = [given(entries, "head", {**names, **matrices(inside)}) for inside in added["heads"]]
        layers.insert(added["position"], {**given(entries, "layer", names), "heads": heads})
    return {**rewritten("model", model), "layers": layers}


def outputs(
    variants: list[Variant], old: Nested, news: tuple[Nested, ...], eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """What the model computes before and after a chain.  AssertionError for a violated constraint."""
    before = transformer(*from_nested(old), eps)
    model = old
    for variant, new in zip(variants, news, strict=True):
        assert violated(variant, model, new) == []
        if "eps" in variant.rewrite and eps:
            eps = value(variant.rewrite["eps"], {**sizes(variant, new), "eps": eps})
        model = grown(variant, model, new)
    return before, transformer(*from_nested(model), eps)


def visible_change(found: Counterexample) -> float:
    """How far a counterexample moves the outputs.  AssertionError unless its numbers are what it says."""
    variants = [step.variant for step in found.steps]
    eps, _ = found.scalars.get("eps", (0, 0))
    before, after = outputs(variants, found.instance.old, found.instance.new, float(eps))
    change = float(np.abs(after - before).max())
    assert found.replay.max_abs == pytest.approx(change)
    return change


def agreement(answer: Answer, seed: int) -> bool:
    """Whether a variant leaves the outputs of one random model alone, blocks random where nothing is said."""
    (variant,) = answer.variants
    rng = np.random.default_rng(seed)

    def entries(rows: int, columns: int) -> np.ndarray:
        return rng.standard_normal((rows, columns)) / np.sqrt(max(rows, 2))

    old = drawn_model(answer.preset, PROFILE, entries, RANDOM | {"eps": Rational(1, 4)})
    new = drawn_blocks(answer.parts[0].steps[0], old, PROFILE, entries, rng)
    assert new is not None, "no blocks found that meet the constraints"
    before, after = outputs([variant], old, (new,), float(old["scalars"].get("eps", 0)))
    return bool(np.allclose(before, after, rtol=1e-9, atol=1e-9))


# --- fixtures ---


@cache
def _answer(texts: tuple[str, ...], architecture: str, seed: int) -> Answer:
    return check([loads(text, "variant.toml") for text in texts], PRESETS[architecture], seed)


@pytest.fixture(scope="session")
def answer():
    """The answer about a chain of texts; asked for again, it is not computed again."""
    return lambda *texts, architecture="paper", seed=0: _answer(texts, architecture, seed)


@pytest.fixture(scope="session")
def refuted():
    """Whether an answer is `refuted`, and its numbers refute by this second reading as well."""

    def judge(found: Answer) -> bool:
        if found.verdict != "refuted" or found.counterexample is None:
            return False
        return visible_change(found.counterexample) > 1e-3

    return judge


@pytest.fixture(scope="session")
def proved():
    """Whether an answer is `proved`, and random models agree by this second reading as well."""
    return lambda found: found.verdict == "proved" and all(agreement(found, seed) for seed in range(3))


@pytest.fixture(scope="session")
def change():
    """How far a counterexample moves the outputs, by this second reading."""
    return visible_change


@pytest.fixture(scope="session")
def agree():
    """Whether a variant leaves one random model's outputs alone, by this second reading."""
    return agreement


@pytest.fixture(scope="session")
def grown_by_trees():
    """A model after a variant, by this second reading."""
    return grown
