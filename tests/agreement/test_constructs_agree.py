"""The two sides agree on grown models of every construct: the tables that symbolic/ makes are run by numeric/.

What symbolic/ proves about is one term in old parameters and new blocks, and numeric/ knows tables only: of more heads,
layers, experts, and of bodies as data.  The second reading of second_reading.py is held against it as well.
"""

from typing import Any

import constructs
import numpy as np
import pytest
import second_reading

from growproof.numeric import architecture as numeric
from growproof.numeric.options import Architecture
from growproof.proofs.comparison import compared, tables
from growproof.proofs.drawing import RANDOM, drawn_blocks, drawn_model
from growproof.proofs.experiment import PROFILE
from growproof.symbolic.architecture import Preset, paper_model
from growproof.symbolic.expand import Expansion, expand
from growproof.symbolic.floats import float_arithmetic
from growproof.symbolic.instances import Nested, grown
from growproof.symbolic.variant import Variant, loads

CLOSE = 1e-10  # relative to the largest entry of the output
EVERY = {**constructs.TRUE, **constructs.FALSE}
every_construct = pytest.mark.parametrize("name", EVERY)


def drawn(name: str, seed: int) -> tuple[Variant, Expansion, Nested, Nested]:
    text, options = EVERY[name]
    rng = np.random.default_rng(seed)

    def entries(rows: int, columns: int) -> np.ndarray:
        return rng.standard_normal((rows, columns)) / np.sqrt(max(rows, 2))

    preset = Preset("made for a test", "", "", tuple(options.items()))
    variant = loads(text, "variant.toml")
    step = expand(paper_model(preset), variant)
    old = drawn_model(preset, PROFILE, entries, RANDOM)
    new = drawn_blocks(step, old, PROFILE, entries, rng)
    assert new is not None
    return variant, step, old, new


def in_numpy(step: Expansion, model: Nested) -> np.ndarray:
    return numeric.output(tables(model), Architecture.from_options(step.new.preset.options))


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("seed", range(2))
@every_construct
def test_a_grown_model_is_one_function(name, seed):
    variant, step, old, new = drawn(name, seed)
    found = in_numpy(step, grown(step, old, new, float_arithmetic()))
    _, expected = second_reading.outputs([variant], old, (new,), step.old.preset)
    assert relative(found, expected) < CLOSE


@pytest.mark.parametrize("name", constructs.TRUE)
def test_what_is_true_changes_no_output_within_the_bound_for_rounding(name):
    _, step, old, new = drawn(name, 2)
    assert compared([step], old, grown(step, old, new, float_arithmetic())).ratio < 1


@pytest.mark.parametrize("name", constructs.FALSE)
def test_what_is_false_changes_it_far_beyond_that(name):
    _, step, old, new = drawn(name, 2)
    assert compared([step], old, grown(step, old, new, float_arithmetic())).ratio > 1e3


# --- they could disagree ---


def moved(table: Any, name: str) -> Any:
    """The tables with the matrices of one name a little larger, and those of every other as they are."""
    if isinstance(table, dict):
        return {key: entry * 1.0001 if key == name else moved(entry, name) for key, entry in table.items()}
    return [moved(entry, name) for entry in table] if isinstance(table, list) else table


@pytest.mark.parametrize(
    ("name", "matrix"),
    [
        ("an adapter with nothing zero", "M_A"),
        ("an adapter with nothing zero", "W_l2"),
        ("the attention in place of the MLP", "W_V"),
        ("experts that are copies, each with a change", "W_R"),
        ("experts that are copies, each with a change", "b_l1"),
        ("values for every head, each its own", "W_K"),
        ("a head joins each group and writes", "W_Q"),
        ("a layer copied", "b_l2"),
        ("heads twice", "W_O"),
    ],
)
def test_a_matrix_that_one_side_does_not_see_is_noticed(name, matrix):
    variant, step, old, new = drawn(name, 0)
    model = grown(step, old, new, float_arithmetic())
    _, expected = second_reading.outputs([variant], old, (new,), step.old.preset)
    assert relative(in_numpy(step, moved(model, matrix)), expected) > 1e-7


def test_another_number_of_experts_for_each_token_is_noticed():
    variant, step, old, new = drawn("experts that are copies, each with a change", 0)
    model = grown(step, old, new, float_arithmetic())
    _, expected = second_reading.outputs([variant], old, (new,), step.old.preset)
    assert model["scalars"]["top_k"] == 2
    model["scalars"]["top_k"] = 1
    assert relative(in_numpy(step, model), expected) > 1e-3


def test_a_body_that_one_side_reads_otherwise_is_noticed():
    variant, step, old, new = drawn("an adapter with nothing zero", 0)
    model = grown(step, old, new, float_arithmetic())
    _, expected = second_reading.outputs([variant], old, (new,), step.old.preset)
    operation, *parts = model["forward"]["MLP"]
    assert operation == "+"
    model["forward"]["MLP"] = ("+", *parts, ("name", "X"))
    assert relative(in_numpy(step, model), expected) > 1e-3
