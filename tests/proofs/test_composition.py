"""Proved expansions may follow one another in any order, any number of times; one unproved link breaks a chain.

A chain is proved in two ways: by transitivity from its links, and directly, as one claim about the composed
rewrite.
"""

import random
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from as_published import load

from growproof.numeric.forward import transformer as numeric_transformer
from growproof.numeric.model import from_nested
from growproof.proofs.certificate import certificate, verify
from growproof.proofs.check import DIRECT_LIMIT, Answer, check
from growproof.proofs.kernel import Composition, KernelError, Theorem, compose
from growproof.symbolic.architecture import PRESETS, Layer, paper_model, parameters
from growproof.symbolic.errors import VariantError
from growproof.symbolic.evaluate import Values, evaluate
from growproof.symbolic.expand import Block, expand
from growproof.symbolic.floats import float_arithmetic
from growproof.symbolic.instances import grown
from growproof.symbolic.preset import Preset
from growproof.symbolic.terms import Stack
from growproof.symbolic.variant import Variant, loads

SIX = (
    *("mlp-expansion", "head-addition", "heads-expansion"),
    *("attention-expansion", "hidden-expansion", "layer-addition"),
)
PAPER = PRESETS["paper"]
REPEATS = [
    ("head-addition", "heads-expansion", "head-addition"),
    ("layer-addition", "mlp-expansion", "layer-addition", "head-addition"),
    ("hidden-expansion", "attention-expansion", "hidden-expansion"),
    ("mlp-expansion", "mlp-expansion", "mlp-expansion"),
]


def orders(count: int, seed: int) -> list[tuple[str, ...]]:
    """Different orders of the six, with one seed."""
    chosen = random.Random(seed)
    found: dict[tuple[str, ...], None] = {}
    while len(found) < count:
        found[tuple(chosen.sample(SIX, len(SIX)))] = None
    return list(found)


@cache
def chain(*names: str) -> Answer:
    return check([load(name) for name in names], PAPER)


def proved_twice(found: Answer) -> bool:
    """Whether a chain is proved by transitivity, with a theorem per link, and directly."""
    composed, direct = found.composition, found.direct
    return (
        found.verdict == "proved"
        and isinstance(composed, Composition)
        and len(composed.theorems) == len(found.variants)
        and direct is not None
        and isinstance(direct.theorem, Theorem)
        and len(direct.steps) == len(found.variants)
    )


# --- every chain of proved links ---


@pytest.mark.parametrize("names", list(permutations(SIX, 2)), ids=" then ".join)
def test_every_ordered_pair_is_proved_both_ways(names):
    assert proved_twice(chain(*names))


@pytest.mark.parametrize("name", SIX)
def test_every_expansion_may_be_repeated(name):
    assert proved_twice(chain(name, name))


@pytest.mark.parametrize("names", REPEATS, ids=" then ".join)
def test_longer_chains_with_repeats_are_proved_both_ways(names):
    assert proved_twice(chain(*names))


@pytest.mark.parametrize("names", orders(20, seed=0), ids=" then ".join)
def test_all_six_are_proved_both_ways_in_any_order(names):
    found = chain(*names)
    assert proved_twice(found)
    assert len(found.direct.theorem.left.atoms(Stack).pop().inserted) == 1


def test_a_direct_theorem_starts_from_the_plain_model_and_keeps_every_hypothesis():
    found = chain("mlp-expansion", "mlp-expansion")
    theorem = found.direct.theorem
    assert theorem.right == found.parts[0].theorem.right
    assert [hypothesis.left.name for hypothesis in theorem.hypotheses] == ["M_W_l2", "M_W_l2~2"]
    assert [str(size) for size in found.direct.steps[-1].above] == ["p_hat~2"]


def test_a_chain_too_long_for_one_claim_is_proved_by_transitivity():
    names = ["mlp-expansion", "head-addition"] * (DIRECT_LIMIT // 2)
    assert chain(*names).direct is not None
    longer = chain(*names, "mlp-expansion")
    assert longer.direct is None
    assert longer.verdict == "proved"
    assert len(longer.composition.theorems) == DIRECT_LIMIT + 1


# --- chains with a link that is not proved ---


def without_constraints(name: str) -> Variant:
    return loads(load(name).text.partition("[constraints]")[0], "unconstrained.toml")


@pytest.mark.parametrize("where", [0, 1, 2])
@pytest.mark.parametrize("name", SIX)
def test_a_chain_with_one_unproved_link_is_refuted(name, where, change):
    links = [load("heads-expansion"), load("mlp-expansion")]
    links.insert(where, without_constraints(name))
    found = check(links, PAPER)
    assert found.verdict == "refuted"
    assert found.composition is None
    assert found.direct.theorem is None
    assert change(found.counterexample) > 1e-3


def test_theorems_of_two_architectures_do_not_compose():
    with_eps = check([load("mlp-expansion")], PRESETS["paper-eps"]).parts[0].theorem
    without = chain("mlp-expansion").parts[0].theorem
    with pytest.raises(KernelError):
        compose([with_eps, without])
    with pytest.raises(KernelError):
        compose([])


def test_links_that_undo_one_another_are_proved_as_one_claim_only():
    """Each changes the function and their chain does not, so transitivity must not say anything."""
    double = loads('name = "Twice"\n[rewrite]\nW_out = "2*W_out"\n', "double.toml")
    half = loads('name = "Half"\n[rewrite]\nW_out = "1/2*W_out"\n', "half.toml")
    found = check([double, half], PAPER)
    assert [claim.theorem for claim in found.parts] == [None, None]
    assert found.composition is None
    assert found.verdict == "proved"
    assert found.direct.theorem is not None
    assert verify(certificate(found))
    assert check([double, double], PAPER).verdict == "refuted"


def test_a_link_that_rewrites_the_factor_of_the_scores_is_refused():
    """The model that it leaves is of no architecture that the next link could speak of."""
    text = load("attention-expansion").text.replace("sqrt(k_hat)/sqrt(k)*", "")
    kept = loads(text.replace("[rewrite]", '[rewrite]\nscale = "1/sqrt(k)"'), "kept.toml")
    assert check([kept], PAPER).verdict == "proved"
    with pytest.raises(VariantError, match="scale"):
        check([kept, load("mlp-expansion")], PAPER)


# --- the composed rewrite on numbers is the rewrites one after the other ---

SIZES = {"s": 2, "h": 3, "p": 2, "k": 2, "v": 1, "o": 2}
MORE = 2  # how much a size grows in every step
Nested = dict[str, Any]


class Chain:
    """A model that grows step by step, and beside it the numbers of every block of the composed rewrite.

    `names` holds, for the model, each layer and each head, the symbols of the composed rewrite with their
    values; `labels` says which layer, and which family of heads, each layer and head of the grown model is.
    """

    def __init__(self, variants: Sequence[Variant], seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.scalars = dict(SIZES)
        self.base = paper_model(PAPER)
        old = [[self.old("head") for _ in range(2)] for _ in range(2)]
        self.model = {**self.old("model"), "layers": [{**self.old("layer"), "heads": heads} for heads in old]}
        self.original = self.model
        self.labels = [["", ["", ""]], ["", ["", ""]]]
        self.names = {
            "model": {name: entry for name, entry in self.model.items() if name != "layers"},
            "layers": [
                {"layer": {q: m for q, m in layer.items() if q != "heads"}, "heads": [dict(h) for h in layer["heads"]]}
                for layer in self.model["layers"]
            ],
        }
        composed = self.base
        for i, variant in enumerate(variants, 1):
            step = expand(composed, variant, i)
            self.grow(expand(self.base, variant), step.blocks, step.above, i)
            composed = step.new
        self.composed = composed

    def old(self, scope: str) -> Nested:
        sides = {**SIZES, "1": 1}
        found = (q for q in parameters(PAPER).values() if q.scope == scope)
        return {q.name: self.drawn(sides[q.rows], sides[q.columns]) for q in found}

    def drawn(self, rows: int, columns: int) -> np.ndarray:
        return self.rng.standard_normal((rows, columns))

    def grow(self, plain: Any, blocks: Sequence[Block], above: Any, number: int) -> None:
        for size, base in above.items():
            self.scalars[size.name] = int(base.subs(self.by_symbol(base))) + MORE
        zero = {constraint.left.name for constraint in plain.variant.constraints}
        now = {str(size).removesuffix("_hat"): self.scalars[f"{size}~{number}" if number > 1 else str(size)]
               for size in plain.above}  # fmt: skip

        def filled(owner: tuple[str, ...], names: Nested) -> Nested:
            """New blocks for one owner: by their names in the file, and in `names` by their composed symbols."""
            table: Nested = {"sizes": {f"{base}_hat": n for base, n in now.items()}}
            for block in (block for block in blocks if block.owner == owner):
                rows, columns = (int(side.subs(self.by_symbol(side))) for side in block.symbol.shape)
                entry = self.drawn(rows, columns) * (block.name not in zero)
                table[block.name] = names[block.symbol.name] = entry
            return table

        new = filled((), self.names["model"])
        new["layers"] = []
        for (label, families), names in zip(self.labels, self.names["layers"], strict=True):
            own = filled((label,), names["layer"])
            pairs = zip(families, names["heads"], strict=True)
            own["heads"] = [filled((label, family), inside) for family, inside in pairs]
            new["layers"].append(own)
        if plain.variant.added_head is not None:
            for _, families in self.labels:
                families.append(f"head{number}")
            for names in self.names["layers"]:
                names["heads"].append({})
        if plain.variant.added_layer is not None:
            position = int(self.rng.integers(0, len(self.labels) + 1))
            label, names = f"layer{number}", {"layer": {}, "heads": [{}, {}]}
            added = filled((label,), names["layer"])
            added["sizes"] |= {"k": self.model["layers"][0]["heads"][0]["W_Q"].shape[1]}
            added["heads"] = [filled((label, ""), inside) for inside in names["heads"]]
            new["added_layer"] = {**added, "position": position}
            self.labels.insert(position, [label, ["", ""]])
            self.names["layers"].insert(position, names)
        self.model = grown(plain, self.model, new, float_arithmetic())

    def by_symbol(self, side: Any) -> dict[Any, int]:
        return {symbol: self.scalars[symbol.name] for symbol in side.free_symbols}

    def by_the_composed_rewrite(self) -> Nested:
        """Every parameter of the grown model as its composed term, evaluated."""

        def evaluated(weights: Any, values: Values) -> Nested:
            return {name: evaluate(term, values, float_arithmetic()) for name, term in weights.items()}

        outer = Values(self.scalars, self.names["model"])
        terms = {layer.label: layer for layer in (self.composed.layer, *self.composed.inserted)}
        layers = []
        for (label, families), names in zip(self.labels, self.names["layers"], strict=True):
            values = outer.with_(Values(matrices=names["layer"]))
            heads = [
                evaluated(self.family(terms[label], family), values.with_(Values(matrices=inside)))
                for family, inside in zip(families, names["heads"], strict=True)
            ]
            layers.append({**evaluated(terms[label].weights, values), "heads": heads})
        return {**evaluated(self.composed.weights, outer), "layers": layers}

    @staticmethod
    def family(layer: Layer, label: str) -> Any:
        return next(heads.weights for heads in layer.heads if heads.label == label)


def arrays(model: Nested) -> Iterator[tuple[str, np.ndarray]]:
    for name, entry in sorted(model.items()):
        if isinstance(entry, list):
            for i, inside in enumerate(entry):
                yield from ((f"{name}[{i}].{where}", array) for where, array in arrays(inside))
        elif name != "scalars":  # the paper has none
            yield name, entry


def same(left: Nested, right: Nested) -> bool:
    pairs = list(zip(arrays(left), arrays(right), strict=True))
    return all(a == b and np.array_equal(x, y) for (a, x), (b, y) in pairs)


CHAINS = [*REPEATS, *((name, name) for name in SIX), *orders(6, seed=1)]


@pytest.mark.parametrize("names", CHAINS, ids=" then ".join)
def test_the_composed_rewrite_is_the_rewrites_one_after_the_other_bit_for_bit(names):
    found = Chain([load(name) for name in names], seed=0)
    assert same(found.by_the_composed_rewrite(), found.model)


@pytest.mark.parametrize("names", CHAINS, ids=" then ".join)
def test_the_chain_leaves_the_outputs_alone_in_numpy(names):
    found = Chain([load(name) for name in names], seed=1)
    before = numeric_transformer(*from_nested(found.original))
    after = numeric_transformer(*from_nested(found.model))
    assert np.allclose(before, after, rtol=1e-8, atol=1e-8)
    assert sum(array.size for _, array in arrays(found.model)) > sum(a.size for _, a in arrays(found.original))


def test_another_block_in_the_chain_would_show():
    found = Chain([load("mlp-expansion"), load("mlp-expansion")], seed=0)
    found.names["layers"][0]["layer"]["M_W_l1~2"][0, 0] += 1
    assert same(found.by_the_composed_rewrite(), found.model) is False


def test_a_chain_without_its_constraints_would_show():
    found = Chain([load("head-addition"), without_constraints("hidden-expansion")], seed=1)
    before = numeric_transformer(*from_nested(found.original))
    assert not np.allclose(before, numeric_transformer(*from_nested(found.model)))


@pytest.mark.parametrize("name", ["scale", "embed_scale", "logit_scale"])
def test_a_variant_with_a_scalar_of_its_own_is_refused_in_a_chain(name):
    """Kept while h grows, it is no longer what the architecture computes from its sizes: another theorem's model."""
    own = loads(f'name = "Own"\n[rewrite]\n{name} = "2*{name}"\n', "own.toml")
    model = Preset("m", "", "", (("embed_scale", True), ("logit_scale", True)))
    assert expand(paper_model(model), own).new.has_own_scale
    assert not expand(paper_model(model), load("mlp-expansion")).new.has_own_scale
    with pytest.raises(VariantError, match=f"`{name}` cannot be composed"):
        check([own, load("mlp-expansion")], model)
