"""Theorems 3.1 to 3.6: proved for every size, in steps that can each be followed, and saying what they should."""

from collections.abc import Iterator
from functools import cache

import as_published
import numpy as np
import pytest

from growproof.proofs.check import Claim, claim_of
from growproof.proofs.goals import Proved, context_of
from growproof.proofs.kernel import RULES, Context, KernelError, Step, Theorem, apply, derive, meet
from growproof.symbolic.architecture import HEADS as FAMILY
from growproof.symbolic.architecture import PRESETS, paper_model, parameters, transformer
from growproof.symbolic.evaluate import Values, evaluate
from growproof.symbolic.expand import Block
from growproof.symbolic.floats import float_arithmetic
from growproof.symbolic.terms import Expr, MatrixSymbol, Norm, Stack, path_of
from growproof.symbolic.variant import load

THEOREMS = {
    "mlp-expansion": "3.1",
    "head-addition": "3.2",
    "heads-expansion": "3.3",
    "attention-expansion": "3.4",
    "hidden-expansion": "3.5",
    "layer-addition": "3.6",
}
SIX = tuple(THEOREMS)
BASE = paper_model(PRESETS["paper"])

six = pytest.mark.parametrize("name", SIX)


@cache
def claim(name: str) -> Claim:
    return claim_of([load(name)], BASE)


def context(name: str, proved: Proved) -> Context:
    earlier = {other.goal.name: other for other in claim(name).goals}
    return context_of(proved.goal, claim(name).growth, earlier)


def chains(name: str) -> Iterator[tuple[Context, list[Expr], tuple[Step, ...]]]:
    """For each side of each goal: the terms from the goal's side on, and the steps between them."""
    for proved in claim(name).goals:
        known, found = context(name, proved), proved.derivation
        for start, steps in ((found.left, found.left_steps), (found.right, found.right_steps)):
            terms = [start]
            for step in steps:
                terms.append(apply(known, terms[-1], step))
            yield known, terms, steps


# --- proved, for every size ---


@six
def test_the_theorem_is_about_the_whole_model_before_and_after(name):
    theorem = claim(name).theorem
    assert isinstance(theorem, Theorem)
    assert theorem.left == transformer(claim(name).steps[0].new)
    assert theorem.right == transformer(BASE)


@six
def test_every_size_in_it_is_a_symbol(name):
    """No side of a parameter or block is a number, but for the one row of gains and biases."""
    theorem, (step,) = claim(name).theorem, claim(name).steps
    symbols = {symbol for side in (theorem.left, theorem.right) for symbol in side.atoms(MatrixSymbol)}
    named = set(parameters(BASE.preset)) | {block.symbol.name for block in step.blocks}
    assert {symbol.name for symbol in symbols} == named | {"X"}  # in X a layer is written
    assert all(side == 1 or side.free_symbols for symbol in symbols for side in symbol.shape)
    assert all(symbol.cols != 1 for symbol in symbols)
    grown = [size for base, size in step.new.sizes.items() if size != BASE.sizes[base]]
    assert [size.is_Symbol for size in grown] == [True] * len(load(name).grows)


@six
def test_the_numbers_of_layers_and_heads_are_open(name):
    """One generic layer with one generic sum over heads stands for all; only what is added stands beside it."""
    (stack,) = claim(name).theorem.left.atoms(Stack)
    assert len(stack.inserted) == (name == "layer-addition")
    own = {symbol.name for symbol in stack.body.atoms(MatrixSymbol) if stack.family in path_of(symbol)}
    assert {"W_Q", "W_l1", "g_MHA"} <= own


@six
def test_its_hypotheses_are_the_constraints_of_the_file_on_what_the_paper_has(name):
    theorem = claim(name).theorem
    assert {hypothesis.left.name for hypothesis in theorem.hypotheses} == constrained(name)
    assert all(hypothesis.right.is_ZeroMatrix for hypothesis in theorem.hypotheses)


def constrained(name: str) -> set[str]:
    return {constraint.left.name for constraint in as_published.load(name).constraints}


# --- step by step ---


@six
def test_every_step_applies_again_and_the_sides_meet(name):
    for proved in claim(name).goals:
        known, found = context(name, proved), proved.derivation
        theorem = meet(derive(known, found.left, found.left_steps), derive(known, found.right, found.right_steps))
        assert (theorem.left, theorem.right) == (proved.goal.left, proved.goal.right)
        assert (theorem.left, theorem.right) == (proved.theorem.left, proved.theorem.right)


@six
def test_no_step_does_nothing_and_no_derivation_goes_in_circles(name):
    for _, terms, _ in chains(name):
        assert len(set(terms)) == len(terms)


@six
def test_no_derivation_can_do_without_a_constraint(name):
    for proved in claim(name).goals:
        known, found = context(name, proved), proved.derivation
        for i in (i for i, step in enumerate(found.left_steps) if step.rule == "constraint"):
            fewer = found.left_steps[:i] + found.left_steps[i + 1 :]
            with pytest.raises(KernelError):
                meet(derive(known, found.left, fewer), derive(known, found.right, found.right_steps))


@six
def test_each_constraint_is_used_and_nothing_else_is_assumed(name):
    used = {step.argument[0] for _, _, steps in chains(name) for step in steps if step.rule == "constraint"}
    assert used == set(range(len(claim(name).theorem.hypotheses)))


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        # Of appendix A: split the products, pass the blocks through ReLU, multiply, drop the zero, per sublayer;
        # then one step for the layer and one for all layers.
        ("mlp-expansion", 6, 15),
        # The new head is a further summand: its zero, the product with it, the sum with it.
        ("head-addition", 4, 10),
        ("heads-expansion", 5, 12),
        # Two products, a transpose, and the factors of the scores.
        ("attention-expansion", 7, 20),
        # Both norms are opened, and four products are split in each sublayer.
        ("hidden-expansion", 40, 150),
        # Both sublayers of one layer lose what they write.
        ("layer-addition", 6, 20),
    ],
)
def test_a_proof_has_as_many_steps_as_a_person_would_write(name, least, most):
    assert least <= claim(name).step_count <= most


@six
def test_every_step_names_a_rule_that_is_written_down(name):
    for _, _, steps in chains(name):
        assert all(RULES[step.rule].__doc__ for step in steps)


def test_only_the_wider_stream_opens_the_norms():
    """The other theorems hold for any norm, and their proofs say so."""
    opened = {name for name in SIX for _, _, steps in chains(name) for s in steps if s.rule == "definition of the norm"}
    assert opened == {"hidden-expansion"}
    assert claim("mlp-expansion").theorem.left.atoms(Norm)


# --- the goals, on numbers ---

SIZES = {"s": 3, "h": 4, "p": 3, "k": 2, "v": 2, "o": 2}
GROWN = {"h_hat": 7, "p_hat": 5, "k_hat": 5, "v_hat": 3}
HEADS, LAYERS = 2, 2


class Numbers:
    """Random numbers for everything that a goal can mention; the named blocks are not zero, the others are."""

    def __init__(self, name: str, seed: int, broken: frozenset[str] = frozenset()) -> None:
        self.rng = np.random.default_rng(seed)
        self.scalars = SIZES | GROWN
        self.blocks = claim(name).steps[0].blocks
        self.zero = constrained(name) - broken
        layers = [(0, self.layer("")) for _ in range(LAYERS)]
        self.of_layer = layers[0][1]
        if claim(name).steps[0].new.inserted:
            added = self.layer("layer1", added=True)
            self.of_added = added
            layers.insert(1, (1, added))
        self.layers = layers
        X = {"X": self.rng.standard_normal((SIZES["s"], SIZES["h"]))}
        self.model = Values(self.scalars, self.level("model", ()) | X)

    def sides(self, rows: Expr, columns: Expr) -> tuple[int, int]:
        known = {symbol: self.scalars[symbol.name] for side in (rows, columns) for symbol in side.free_symbols}
        return int(rows.subs(known)), int(columns.subs(known))

    def entries(self, symbol: MatrixSymbol, name: str) -> np.ndarray:
        drawn = self.rng.standard_normal(self.sides(*symbol.shape))
        return 0 * drawn if name in self.zero else drawn

    def level(self, scope: str, owner: tuple[str, ...], added: bool = False) -> dict[str, np.ndarray]:
        weights = {"model": BASE.weights, "layer": BASE.layer.weights, "head": BASE.layer.heads[0].weights}[scope]
        old = {} if added else {name: self.entries(symbol, name) for name, symbol in weights.items()}
        return old | {b.symbol.name: self.entries(b.symbol, b.name) for b in self.owned(owner)}

    def owned(self, owner: tuple[str, ...]) -> list[Block]:
        return [block for block in self.blocks if block.owner == owner]

    def layer(self, label: str, added: bool = False) -> Values:
        heads = [Values(matrices=self.level("head", (label, ""), added)) for _ in range(HEADS)]
        members = dict.fromkeys((FAMILY, f"heads of {label}"), heads)
        return Values(matrices=self.level("layer", (label,), added), members=members)

    def holds(self, proved: Proved) -> bool:
        """Whether the two sides of a goal are equal for these numbers; the old model lacks the added layer."""
        values = self.model.with_(self.of_added if "new layer" in proved.goal.name else self.of_layer)
        old_layers = [(which, layer) for which, layer in self.layers if which == 0]
        left = evaluate(proved.goal.left, values.with_(Values(layers=self.layers)), float_arithmetic())
        right = evaluate(proved.goal.right, values.with_(Values(layers=old_layers)), float_arithmetic())
        return bool(np.allclose(left, right, rtol=1e-9, atol=1e-9))


@pytest.mark.parametrize("seed", range(3))
@six
def test_both_sides_of_every_goal_agree_on_numbers_that_meet_the_constraints(name, seed):
    numbers = Numbers(name, seed)
    assert [proved.goal.name for proved in claim(name).goals if not numbers.holds(proved)] == []


WRITERS = {"M_W_O", "M_W_l2", "M_b_l2"}
NEEDS: dict[str, dict[str, set[str]]] = {
    # Each goal and the constraints that it needs; those not listed hold for all new blocks.
    "mlp-expansion": {goal: {"M_W_l2"} for goal in ("MLP", "layer", "model")},
    "head-addition": {goal: {"M_W_O"} for goal in ("attention", "layer", "model")},
    "heads-expansion": {goal: {"M_W_O"} for goal in ("attention", "layer", "model")},
    "attention-expansion": {goal: {"M_W_K"} for goal in ("attention", "layer", "model")},
    "hidden-expansion": {
        "input": {"M_I", "M_P"},
        "attention": {"M_W_O"},
        "MLP": {"M_W_l2", "M_b_l2"},
        "layer": WRITERS,
        "model": WRITERS | {"M_I", "M_P"},
    },
    "layer-addition": {
        "attention of new layer 1": {"M_W_O"},
        "MLP of new layer 1": {"M_W_l2", "M_b_l2"},
        "new layer 1": WRITERS,
        "model": WRITERS,
    },
}


@six
def test_a_violated_constraint_breaks_the_goals_that_need_it_and_no_other(name):
    for block in constrained(name):
        numbers = Numbers(name, 0, frozenset({block}))
        broken = {proved.goal.name for proved in claim(name).goals if not numbers.holds(proved)}
        assert broken == {goal for goal, needs in NEEDS[name].items() if block in needs}
        assert "model" in broken


@six
def test_every_goal_that_says_something_is_about_the_grown_model(name):
    """Its left side has the new blocks, or the goal is an identity and needs no step."""
    blocks = {block.symbol for block in claim(name).steps[0].blocks}
    for proved in claim(name).goals:
        trivial = proved.goal.left == proved.goal.right
        assert trivial or proved.goal.left.atoms(MatrixSymbol) & blocks
        assert trivial == (proved.derivation.left_steps + proved.derivation.right_steps == ())
