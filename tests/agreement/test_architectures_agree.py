"""The two sides agree on every architecture: the forward pass as a term and the one in numpy compute the same.

symbolic/ writes it as one term with options, numeric/ as array code from a table of options; they share no code.
Both sum in their own order, so they agree up to rounding: in float64 about 1e-16 for each operation, of which an
output here has some hundreds, on numbers near one.
"""

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sympy import Integer

from growproof.numeric import architecture as numeric
from growproof.numeric.options import VALUES, Architecture
from growproof.proofs.comparison import tables
from growproof.proofs.drawing import RANDOM, Profile, drawn_model
from growproof.symbolic.architecture import PRESETS, levels, paper_model, transformer
from growproof.symbolic.evaluate import evaluate
from growproof.symbolic.floats import float_arithmetic
from growproof.symbolic.instances import Nested, model_values
from growproof.symbolic.preset import OPTIONS, Preset
from growproof.symbolic.terms import Expr

CLOSE = 1e-10  # relative to the largest entry of the output
PROFILES = (  # layers of two widths, with heads of two sizes of values, of which there are two and three
    Profile({"s": 4, "h": 5, "p": 4, "k": 3, "v": 2, "o": 3}, 2, 1, 2),
    Profile({"s": 4, "h": 5, "p": 3, "k": 3, "v": 4, "o": 3}, 3, 1, 2),
)


def preset(**options: Any) -> Preset:
    return Preset("drawn", "", "", tuple(options.items()))


def drawn(made: Preset, seed: int) -> Nested:
    """A random model whose layers differ; a router keeps one expert of two, or both."""
    rng = np.random.default_rng(seed)

    def entries(rows: int, columns: int) -> np.ndarray:
        return rng.standard_normal((rows, columns)) / np.sqrt(max(rows, 2))

    numbers = RANDOM | {"top_k": Integer(1 + seed % 2)}
    first, second = (drawn_model(made, profile, entries, numbers) for profile in PROFILES)
    return first | {"layers": first["layers"] + second["layers"]}


@cache
def term(made: Preset) -> Expr:
    return transformer(paper_model(made))


def as_a_term(made: Preset, model: Nested) -> np.ndarray:
    return evaluate(term(made), model_values(model, levels(made)), float_arithmetic())


def in_numpy(options: dict[str, Any], model: Nested) -> np.ndarray:
    return numeric.output(tables(model), Architecture.from_options(options))


def apart(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_both_sides_have_the_same_options_with_the_paper_s_value_first():
    assert OPTIONS == VALUES
    assert list(OPTIONS) == list(VALUES)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_one_function(name, seed):
    made = PRESETS[name]
    model = drawn(made, seed)
    assert apart(as_a_term(made, model), in_numpy(made.options, model)) < CLOSE


@pytest.mark.parametrize(("option", "value"), [(o, v) for o, values in OPTIONS.items() for v in values], ids=str)
def test_a_value_of_an_option_is_one_function(option, value):
    made = preset(**COMPANY.get(option, {}), **{option: value})
    model = drawn(made, 0)
    assert apart(as_a_term(made, model), in_numpy(made.options, model)) < CLOSE


COMPANY: dict[str, dict[str, Any]] = {
    **{option: {"positions": "rotary"} for option in ("rope_layout", "rope_frequencies", "rope_part")},
    "norm_gain": {"qk_norm": True},
    "router": {"experts": True},
}
"""What an option needs beside it to mean something."""


COMBINED = st.fixed_dictionaries({option: st.sampled_from(values) for option, values in OPTIONS.items()})


@settings(max_examples=80)
@given(COMBINED, st.integers(0, 2**32))
def test_any_options_together_are_one_function(options, seed):
    assume(not options["parallel"] or options["placement"] == "pre")
    made = preset(**options)
    model = drawn(made, seed)
    assert apart(as_a_term(made, model), in_numpy(options, model)) < CLOSE


# --- the two could disagree ---


def arrays(table: Any) -> list[np.ndarray]:
    """Every matrix of a model."""
    if isinstance(table, np.ndarray):
        return [table]
    parts = table.values() if isinstance(table, dict) else table if isinstance(table, list) else ()
    return [array for part in parts for array in arrays(part)]


@pytest.mark.parametrize("name", PRESETS)
def test_another_matrix_on_one_side_would_show(name):
    """In one of three models, for every unit of a relu may be off; key biases without rotary positions never do."""
    made = PRESETS[name]
    models = [drawn(made, seed) for seed in (1, 3, 5)]
    seen = np.max([moved_by_each(made, model) for model in models], axis=0)
    hidden = {id(array) for array in key_biases(made, models[0])}
    for array, found in zip(arrays(models[0]), seen, strict=True):
        assert found < CLOSE if id(array) in hidden else found > 1000 * CLOSE


def moved_by_each(made: Preset, model: Nested) -> list[float]:
    """How far one side comes from the other when a matrix is another there, for each matrix."""
    rng, expected, found = np.random.default_rng(0), as_a_term(made, model), []
    for array in arrays(model):
        before = array.copy()
        array += 0.01 * rng.standard_normal(array.shape)
        found.append(apart(in_numpy(made.options, model), expected))
        array[:] = before
    return found


def key_biases(made: Preset, model: Nested) -> list[np.ndarray]:
    """Those that add one number to a row of scores."""
    if made["attention_bias"] == "none" or made["positions"] == "rotary":
        return []
    return [head["b_K"] for layer in model["layers"] for head in layer["heads"]]


def unlike() -> list[tuple[str, str, Any]]:
    """Every preset with one option as in the paper that it has otherwise."""
    return [(name, option, OPTIONS[option][0]) for name, made in PRESETS.items() for option, _ in made.given]


@pytest.mark.parametrize(("name", "option", "value"), unlike())
def test_another_value_of_an_option_on_one_side_would_show(name, option, value):
    """The other side refuses the tables, or computes something else."""
    made = PRESETS[name]
    model = drawn(made, 0)
    try:
        other = in_numpy(made.options | {option: value}, model)
    except ValueError:
        return
    assert apart(other, as_a_term(made, model)) > 1e-4


def test_a_forward_pass_with_one_operation_altered_would_show(monkeypatch):
    made = PRESETS["llama"]
    model = drawn(made, 0)
    expected = as_a_term(made, model)
    monkeypatch.setattr(numeric, "gain", lambda g, a: g * (1 + 1e-8))
    assert apart(in_numpy(made.options, model), expected) > CLOSE
