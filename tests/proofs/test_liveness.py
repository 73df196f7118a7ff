"""What learns, and when: answers derived by hand, proofs that hold, and numpy models that are trained."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import chain, combinations
from typing import Any

import numpy as np
import pytest
from as_published import load
from sympy import S

from growproof.numeric import architecture
from growproof.numeric.forward import transformer
from growproof.numeric.model import from_nested
from growproof.proofs import kernel, rules
from growproof.proofs import liveness as module
from growproof.proofs.check import Claim, claim_about, claim_of, derived
from growproof.proofs.choices import given
from growproof.proofs.drawing import Profile, drawn_model, unconstrained_blocks
from growproof.proofs.lattice import Sorted
from growproof.proofs.liveness import Liveness, State, after, at, liveness, shown, standstill
from growproof.symbolic.architecture import PRESETS, Preset, paper_model
from growproof.symbolic.syntax import show
from growproof.symbolic.variant import Variant, loads

PAPER = PRESETS["paper"]
GELU = Preset("gelu", "the paper's with another activation", "", (("act", "gelu"),))

# ---------------------------------------------------------------- variant files


def variant(name: str, *constraints: str) -> Variant:
    """A variant file: one of the catalogue with other constraints, such as "M_W_l2 = 0"."""
    body = load(name).text.split("[constraints]")[0]
    sides = [constraint.split(" = ") for constraint in constraints]
    return loads("\n".join([body, "[constraints]", *(f'"{a}" = "{b}"' for a, b in sides), ""]), "variant.toml")


def zeros(*names: str) -> tuple[str, ...]:
    return tuple(f"{name} = 0" for name in names)


@cache
def claim(name: str, *constraints: str, preset: Preset = PAPER) -> Claim:
    return claim_of([variant(name, *constraints)], paper_model(preset))


@cache
def found(name: str, *constraints: str) -> Liveness:
    return liveness(claim(name, *constraints))


def blocks(name: str) -> tuple[str, ...]:
    return tuple(load(name).new)


def steps(name: str, first: str = "", second: str = "", third: str = "") -> dict[str, int | None]:
    """The answer in which some blocks move at a step, and all the others never."""
    moving = {block: step for step, text in enumerate((first, second, third), 1) for block in text.split()}
    assert set(moving) <= set(blocks(name))
    return dict.fromkeys(blocks(name)) | moving


# ---------------------------------------------------------------- answers derived by hand

MLP, HEAD, HEADS, ATTENTION = "mlp-expansion", "head-addition", "heads-expansion", "attention-expansion"
HIDDEN, LAYER = "hidden-expansion", "layer-addition"
SIX = (MLP, HEAD, HEADS, ATTENTION, HIDDEN, LAYER)
WRITERS = ("M_W_O", "M_W_l2", "M_b_l2")
INPUT = ("M_I", "M_P")
READS = ("M_W_Q", "M_W_K", "M_W_V", "M_W_l1")
GAINS = ("M_g_MHA", "M_g_MLP")
WRITING, READING = "M_I M_P M_W_O M_W_l2 M_b_l2", "M_W_Q M_W_K M_W_V M_W_l1 M_W_out"

# A factor of a product has a gradient where the others are not zero, and relu'(0) = 0.
ANSWERS = {
    "mlp, theorem 3.1": (MLP, zeros("M_W_l2"), steps(MLP, "M_W_l2", "M_W_l1 M_b_l1")),
    "mlp, units give 0: relu'(0) = 0": (MLP, zeros("M_W_l1", "M_b_l1"), steps(MLP)),
    "mlp, all zero": (MLP, zeros(*blocks(MLP)), steps(MLP)),
    "mlp, constant units write nothing": (MLP, zeros("M_W_l1", "M_W_l2"), steps(MLP, "M_W_l2", "M_W_l1 M_b_l1")),
    "mlp, nothing zero": (MLP, (), steps(MLP, "M_W_l1 M_b_l1 M_W_l2")),
    "head, theorem 3.2": (HEAD, zeros("M_W_O"), steps(HEAD, "M_W_O", "M_W_Q M_W_K M_W_V")),
    "head, values zero": (HEAD, zeros("M_W_V"), steps(HEAD, "M_W_V", "M_W_Q M_W_K M_W_O")),
    "head, values and outputs zero": (HEAD, zeros("M_W_V", "M_W_O"), steps(HEAD)),
    "head, queries and keys zero": (HEAD, zeros("M_W_Q", "M_W_K"), steps(HEAD, "M_W_V M_W_O")),
    "head, queries and outputs zero": (HEAD, zeros("M_W_Q", "M_W_O"), steps(HEAD, "M_W_O", "M_W_V M_W_Q", "M_W_K")),
    "heads, theorem 3.3": (HEADS, zeros("M_W_O"), steps(HEADS, "M_W_O", "M_W_V")),
    "heads, values zero": (HEADS, zeros("M_W_V"), steps(HEADS, "M_W_V", "M_W_O")),
    "heads, both zero": (HEADS, zeros("M_W_V", "M_W_O"), steps(HEADS)),
    "attention, theorem 3.4": (ATTENTION, zeros("M_W_K"), steps(ATTENTION, "M_W_K", "M_W_Q")),
    "attention, queries zero": (ATTENTION, zeros("M_W_Q"), steps(ATTENTION, "M_W_Q", "M_W_K")),
    "attention, both zero": (ATTENTION, zeros("M_W_Q", "M_W_K"), steps(ATTENTION)),
    "hidden, theorem 3.5": (
        HIDDEN,
        zeros(*INPUT, *WRITERS),
        steps(HIDDEN, WRITING, f"{READING} {' '.join(GAINS)}"),
    ),
    "hidden, input and positions cancel": (
        HIDDEN,
        ("M_I + M_P = 0", *zeros(*WRITERS)),
        steps(HIDDEN, WRITING, f"{READING} {' '.join(GAINS)}"),
    ),
    "hidden, reads and output rows zero": (HIDDEN, zeros(*INPUT, *WRITERS, *READS, "M_W_out"), steps(HIDDEN)),
    # The last stream is read by W_out without a norm; a gain waits for reads.
    "hidden, reads zero": (
        HIDDEN,
        zeros(*INPUT, *WRITERS, *READS),
        steps(HIDDEN, WRITING, READING, " ".join(GAINS)),
    ),
    "hidden, gains zero": (
        HIDDEN,
        zeros(*INPUT, *WRITERS, *GAINS),
        steps(HIDDEN, WRITING, f"M_W_out {' '.join(GAINS)}", " ".join(READS)),
    ),
    "layer, theorem 3.6": (
        LAYER,
        zeros(*WRITERS),
        steps(LAYER, " ".join(WRITERS), f"{' '.join(GAINS)} M_W_Q M_W_K M_W_V M_W_l1 M_b_l1"),
    ),
    "layer, all zero": (LAYER, zeros(*blocks(LAYER)), steps(LAYER, "M_b_l2")),
    "layer, units give 0": (
        LAYER,
        zeros("M_W_O", "M_W_l1", "M_b_l1", "M_b_l2"),
        steps(LAYER, "M_W_O M_b_l2", "M_W_V M_W_Q M_W_K M_g_MHA"),
    ),
}

cases = pytest.mark.parametrize("case", ANSWERS)


@cases
def test_each_block_moves_when_it_must(case):
    name, constraints, expected = ANSWERS[case]
    learns = found(name, *constraints)
    assert dict(learns.first) == expected
    assert learns.undecided == ()


def own_zeros(name: str) -> tuple[str, ...]:
    """The constraints of a catalogue file, all of them zeros."""
    return tuple(f"{show(c.left)} = {show(c.right)}" for c in load(name).constraints)


@pytest.mark.parametrize("name", SIX)
def test_zeros_given_by_name_are_as_good_as_a_file_with_them(name):
    start = frozenset(constraint.removesuffix(" = 0") for constraint in own_zeros(name))
    assert liveness(claim(name), start).first == found(name, *own_zeros(name)).first


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("name", "product"), [(HEADS, "M_W_V*M_W_O = 0"), (ATTENTION, "M_W_Q*M_W_K' = 0")])
def test_a_product_that_is_zero_leaves_both_factors_alive(name, product, seed):
    """Two units are enough for a zero product of factors that are not zero; each is the other's gradient."""
    learns = liveness(claim(name, product), seed=seed)
    assert dict(learns.first) == dict.fromkeys(blocks(name), 1)
    assert learns.undecided == ()


@pytest.mark.parametrize("name", [MLP, LAYER])
def test_the_seed_changes_nothing(name):
    own, expected = own_zeros(name), dict(found(name, *own_zeros(name)).first)
    assert [dict(liveness(claim(name, *own), seed=seed).first) for seed in (5, 77)] == [expected, expected]


@pytest.mark.parametrize("name", [MLP, LAYER])
def test_an_epsilon_changes_nothing(name):
    own = own_zeros(name)
    assert liveness(claim(name, *own, preset=PRESETS["paper-eps"])).first == found(name, *own).first


def test_names_of_blocks_mean_nothing():
    """The MLP expansion with every block under the name of another."""
    turned = {"M_W_l1": "B1", "M_b_l1": "M_W_l2", "M_W_l2": "M_W_l1"}
    text = re.sub("|".join(turned), lambda found: turned[found[0]], variant(MLP, "M_W_l2 = 0").text)
    learns = liveness(claim_of([loads(text, "variant.toml")], paper_model(PAPER)))
    assert dict(learns.first) == {"B1": 2, "M_W_l2": 2, "M_W_l1": 1}


# ---------------------------------------------------------------- proofs


def states(name: str, *constraints: str) -> Iterator[tuple[State, frozenset[str]]]:
    """The states of a training, and what moves out of each."""
    step, learns = claim(name, *constraints).steps[0], found(name, *constraints)
    state = State(1, *given(step), frozenset())
    for number in sorted({first for first in learns.first.values() if first is not None}):
        now = frozenset(block for block, first in learns.first.items() if first == number)
        yield state, now
        state = after(step, state, now)


def claim_at(name: str, constraints: tuple[str, ...], state: State) -> Claim:
    original = claim(name, *constraints)
    return derived(claim_about(original.variants, [at(original.steps[0], state)]))


@cases
def test_every_block_that_stands_still_has_proved_goals(case):
    name, constraints, expected = ANSWERS[case]
    still = found(name, *constraints).still
    last = 1 + max((step for step in expected.values() if step is not None), default=0)
    waiting = {(block, step) for block, first in expected.items() for step in range(1, first or last + 1)}
    assert {(one.block, one.step) for one in still} == waiting
    for one in still:
        assert one.proof
        assert all(type(goal.theorem) is kernel.Theorem for goal in one.proof)


def claimed_dead(name: str, constraints: tuple[str, ...], most: int = 20) -> list[tuple[int, str]]:
    """The blocks that move (so many at each step), and that the prover would show to stand still."""
    wrong = []
    for state, now in states(name, *constraints):
        before = claim_at(name, constraints, state)
        wrong += [(state.step, block) for block in sorted(now)[:most] if shown(before, block) is not None]
    return wrong


@pytest.mark.parametrize("case", [case for case in ANSWERS if ANSWERS[case][0] != HIDDEN or "3.5" in case])
def test_no_block_that_moves_is_shown_to_stand_still(case):
    name, constraints, _ = ANSWERS[case]
    assert claimed_dead(name, constraints, most=1 if name == HIDDEN else 20) == []


def test_the_statement_of_a_proof_speaks_of_the_perturbed_block():
    """Its goals hold t and an arbitrary direction for every instance of the block, and of no other."""
    one = next(one for one in found(HEAD, *zeros("M_W_O")).still if one.block == "M_W_V")
    names = {symbol.name for goal in one.proof for symbol in module.atoms(goal.goal.left)}
    assert "D~M_W_V" in names
    assert not {name for name in names if name.startswith("D~")} - {"D~M_W_V"}
    assert rules.FIRST_ORDER in one.proof[-1].goal.left.free_symbols


# ---------------------------------------------------------------- relu'(0) = 0, and other conventions


UNITS = zeros("M_W_l1", "M_b_l1")


def test_under_gelu_units_that_give_0_have_a_gradient():
    """gelu(0) = 0, so the outputs have none; gelu'(0) = 1/2, so nothing rules one out for the units."""
    before = claim(MLP, *UNITS, preset=GELU)
    assert before.theorem is not None
    assert shown(before, "M_W_l2") is not None
    assert shown(before, "M_W_l1") is None
    assert shown(before, "M_b_l1") is None
    relu = claim(MLP, *UNITS)
    assert all(shown(relu, block) is not None for block in blocks(MLP))


def test_another_slope_at_zero_in_the_kernel_is_noticed(fresh):
    fresh.setitem(rules.SLOPE_AT_ZERO, "relu", S.Half)
    assert liveness(claim(MLP, *UNITS)).undecided == ("M_W_l1", "M_b_l1", "M_W_l2")


def test_another_slope_at_zero_for_gelu_is_noticed(fresh):
    fresh.setitem(rules.SLOPE_AT_ZERO, "gelu", S.Zero)
    assert shown(claim(MLP, *UNITS, preset=GELU), "M_W_l1") is not None


def test_another_slope_at_zero_in_numpy_is_noticed(monkeypatch):
    with_slope_one = {"relu": lambda x: np.where(x.real >= 0, x, 0)}
    monkeypatch.setattr(architecture, "ACTIVATIONS", with_slope_one)
    assert dict(liveness(claim(MLP, *UNITS)).first) != steps(MLP)


def test_a_rule_that_forgets_the_first_order_is_noticed(fresh):
    """t A = 0 would show of every block that it stands still."""

    def forgets(context, term, argument):
        return rules.zero(*rules.shape(term)) if rules.order(term) > 0 else None

    fresh.setitem(kernel.RULES, "first order", forgets)
    assert claimed_dead(MLP, zeros("M_W_l2")) == [(1, "M_W_l2"), (2, "M_W_l1"), (2, "M_b_l1")]


def test_without_the_first_order_rule_a_quadratic_dependence_is_not_decided(fresh):
    """The norm sees the new coordinates squared; only t t = 0 says that this is none."""
    constraints = ANSWERS["hidden, reads and output rows zero"][1]
    assert "M_I" not in found(HIDDEN, *constraints).undecided
    fresh.setitem(kernel.RULES, "first order", lambda context, term, argument: None)
    assert shown(claim(HIDDEN, *constraints), "M_I") is None


def test_a_derivative_that_is_always_zero_leaves_blocks_undecided(monkeypatch):
    """Nothing moves then, and the prover cannot show why: so that nothing else is said to stand still for ever."""
    monkeypatch.setattr(module, "slope", lambda nested, options: np.zeros(1))
    assert liveness(claim(MLP, "M_W_l2 = 0")).undecided == ("M_W_l1", "M_b_l1", "M_W_l2")


# ---------------------------------------------------------------- every start at once


def subsets(names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return chain.from_iterable(combinations(names, size) for size in range(len(names) + 1))


def looked_up(still: dict[str, Sorted], start: frozenset[str]) -> dict[str, int | None]:
    """When each block moves from a start, by the sets under which it stands still."""
    order, first, zero = tuple(still), dict.fromkeys(still), set(start)
    for step in range(1, len(order) + 1):
        now = [
            name
            for name in order
            if first[name] is None and not any({order[i] for i in subset} <= zero for subset in still[name].sufficient)
        ]
        first |= dict.fromkeys(now, step)
        zero -= set(now)
    return first


@cache
def stands(name: str) -> dict[str, Sorted]:
    return standstill(claim(name))


@pytest.mark.parametrize("name", [MLP, HEAD, HEADS, ATTENTION])
def test_the_sets_under_which_a_block_stands_still_tell_every_start(name):
    for start in subsets(blocks(name)):
        assert looked_up(stands(name), frozenset(start)) == found(name, *zeros(*start)).first, start


def test_a_product_s_factors_stand_still_while_the_other_is_zero():
    """Derived by hand: Q needs K, V and O; V needs O; and so on."""
    order = blocks(HEAD)
    sets = {name: {tuple(order[i] for i in s) for s in found.sufficient} for name, found in stands(HEAD).items()}
    assert sets == {
        "M_W_Q": {("M_W_K",), ("M_W_V",), ("M_W_O",)},
        "M_W_K": {("M_W_Q",), ("M_W_V",), ("M_W_O",)},
        "M_W_V": {("M_W_O",)},
        "M_W_O": {("M_W_V",)},
    }


# ---------------------------------------------------------------- a model that is trained

Nested = dict[str, Any]
TINY = Profile({"s": 5, "h": 3, "p": 3, "k": 2, "v": 2, "o": 2}, 1, 2, 2)
SMALL_STEP, DEAD_ZONE = 1e-5, 1e-4  # what is moved to see a slope; where relu counts as flat, so that relu'(0) = 0
ROUNDING = 1e-7  # a slope below is none: differences of losses are wrong by about 1e-16 / SMALL_STEP
SEEDS, STEPS = 2, 4


def forward(nested: Nested) -> np.ndarray:
    """Equations 1 to 5, over a batch of models; relu is flat in a small zone around zero."""
    X = nested["I"] + nested["P"]
    for layer in nested["layers"]:
        Y = rms(X) * layer["g_MHA"]
        X = X + sum(attended(Y, head) for head in layer["heads"])
        hidden = rms(X) * layer["g_MLP"] @ layer["W_l1"] + layer["b_l1"]
        X = X + np.where(hidden > DEAD_ZONE, hidden, 0) @ layer["W_l2"] + layer["b_l2"]
    return X @ nested["W_out"]


def rms(X: np.ndarray) -> np.ndarray:
    return X / np.sqrt((X**2).mean(axis=-1, keepdims=True))


def attended(Y: np.ndarray, head: Nested) -> np.ndarray:
    scores = (Y @ head["W_Q"]) @ np.swapaxes(Y @ head["W_K"], -1, -2) / np.sqrt(head["W_Q"].shape[-1])
    powers = np.exp(scores)
    return powers / powers.sum(axis=-1, keepdims=True) @ Y @ head["W_V"] @ head["W_O"]


def entries(nested: Any) -> np.ndarray:
    """All numbers of a model in one row."""
    if isinstance(nested, np.ndarray):
        return nested.ravel()
    parts = nested.values() if isinstance(nested, dict) else nested
    return np.concatenate([entries(part) for part in parts])


def filled(like: Any, numbers: np.ndarray) -> Any:
    """Models like one, filled with rows of numbers (a batch of them)."""
    at_column = iter(np.cumsum([0, *sizes_in(like)]))
    start = [next(at_column)]

    def fill(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: fill(inner) for key, inner in part.items()}
        if isinstance(part, list):
            return [fill(inner) for inner in part]
        begin, start[0] = start[0], next(at_column)
        return numbers[..., begin : start[0]].reshape(*numbers.shape[:-1], *part.shape)

    return fill(like)


def sizes_in(nested: Any) -> Iterator[int]:
    if isinstance(nested, np.ndarray):
        yield nested.size
    else:
        for part in nested.values() if isinstance(nested, dict) else nested:
            yield from sizes_in(part)


def with_entries(table: Any, change) -> Any:
    """New blocks with each matrix changed, by its name."""
    if isinstance(table, list):
        return [with_entries(part, change) for part in table]
    return {
        key: change(key, entry)
        if isinstance(entry, np.ndarray)
        else with_entries(entry, change)
        if isinstance(entry, list) or (isinstance(entry, dict) and key != "sizes")
        else entry
        for key, entry in table.items()
    }


def drawn(name: str, start: frozenset[str], seed: int) -> tuple[Nested, Nested]:
    """A random old model, and new blocks of which some are zero."""
    rng = np.random.default_rng(seed)
    step = claim(name).steps[0]

    def normal(rows: int, columns: int) -> np.ndarray:
        return rng.standard_normal((rows, columns))

    old = drawn_model(PAPER, TINY, normal)
    new = unconstrained_blocks(step, old, TINY, normal, rng)
    return old, with_entries(new, lambda key, entry: entry * (key not in start))


def slopes(model: Nested, row: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The gradient of a random loss, by central differences in every entry."""
    moves = SMALL_STEP * np.eye(row.size)
    losses = ((forward(filled(model, np.concatenate([row + moves, row - moves]))) - target) ** 2).sum(axis=(-2, -1))
    gradient = (losses[: row.size] - losses[row.size :]) / (2 * SMALL_STEP)
    return np.where(np.abs(gradient) > ROUNDING, gradient, 0)


def trained(name: str, start: frozenset[str], seed: int, grow) -> dict[str, int | None]:
    """The first step of plain gradient descent at which each block moves in a grown model."""
    old, new = drawn(name, start, seed)
    empty = with_entries(old, lambda key, entry: 0 * entry)
    where = {}
    for block in blocks(name):
        mark = with_entries(new, lambda key, entry, block=block: np.full(entry.shape, float(key == block)))
        where[block] = entries(grow(load(name), empty, mark)) != 0
    model = grow(load(name), old, new)
    row, first = entries(model), dict.fromkeys(blocks(name))
    target = np.random.default_rng(seed).standard_normal((TINY.sizes["s"], TINY.sizes["o"]))
    for step in range(1, STEPS + 1):
        gradient = slopes(model, row, target)
        for block, mask in where.items():
            if first[block] is None and gradient[mask].any():
                first[block] = step
        row = row - 0.1 * gradient / np.abs(gradient).max()
    return first


def first_moves(name: str, start: frozenset[str], grow) -> dict[str, int | None]:
    """Over a few random models: at one of them a unit may be off, or a slope may vanish by chance."""
    runs = [trained(name, start, seed, grow) for seed in range(SEEDS)]
    moved = {block: [run[block] for run in runs if run[block] is not None] for block in blocks(name)}
    return {block: min(steps, default=None) for block, steps in moved.items()}


def sampled(name: str, count: int) -> list[tuple[str, ...]]:
    """A few sets of zeros, the same in every run."""
    rng = np.random.default_rng(3)
    return [tuple(block for block in blocks(name) if rng.random() < 0.4) for _ in range(count)]


STARTS = [
    *((name, start) for name in (MLP, HEAD, HEADS, ATTENTION) for start in subsets(blocks(name))),
    *((name, start) for name, count in ((HIDDEN, 3), (LAYER, 3)) for start in sampled(name, count)),
    *(
        (name, tuple(c.removesuffix(" = 0") for c in constraints))
        for name, constraints, _ in ANSWERS.values()
        if name in (HIDDEN, LAYER) and not any("+" in c for c in constraints)
    ),
]


@pytest.mark.parametrize(("name", "start"), STARTS, ids=lambda part: part if isinstance(part, str) else "+".join(part))
def test_training_moves_the_blocks_at_the_steps_that_were_told(name, start, grown_by_trees):
    told = found(name, *zeros(*start))
    assert told.undecided == ()
    assert first_moves(name, frozenset(start), grown_by_trees) == told.first


def test_the_model_that_is_trained_is_the_one_that_numpy_runs(grown_by_trees):
    for name in SIX:
        old, new = drawn(name, frozenset(), 0)
        model = grown_by_trees(load(name), old, new)
        assert np.allclose(forward(model), transformer(*from_nested(model)), rtol=1e-12, atol=1e-12)
        assert np.array_equal(entries(filled(model, entries(model))), entries(model))


def test_training_notices_another_convention(grown_by_trees, monkeypatch):
    """Without the flat zone central differences see half a slope at zero, and the units move."""
    assert first_moves(MLP, frozenset({"M_W_l1", "M_b_l1"}), grown_by_trees) == steps(MLP)
    monkeypatch.setitem(globals(), "DEAD_ZONE", 0.0)
    moved = first_moves(MLP, frozenset({"M_W_l1", "M_b_l1"}), grown_by_trees)
    assert (moved["M_W_l1"], moved["M_b_l1"]) == (1, 1)


@pytest.mark.parametrize(
    ("entries", "architecture", "first"),
    [
        ('group = "one"\nW_Q = "Q"\nW_O = "0"', "mistral", 2),  # W_O moves at once: the group's values are there
        ('W_Q = "Q"\nW_K = "Q"\nW_V = "ones(h, v)"\nW_O = "0"', "paper", 2),
        ('W_Q = "Q"\nW_K = "Q"\nW_V = "0"\nW_O = "0"', "paper", None),  # either zero keeps the other still
    ],
)
def test_a_zero_of_a_new_head_is_trained_like_any_other_matrix_of_it(entries, architecture, first):
    text = f'name = "f"\n[new]\nQ = "h, k"\n[added.head]\n{entries}\n'
    claim = claim_of([loads(text, "f.toml")], paper_model(PRESETS[architecture]))
    assert liveness(claim).first == {"Q": first}
