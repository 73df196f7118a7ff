"""The verdicts that a second reading of variant files judges: see second_reading.py."""

from functools import cache

import numpy as np
import pytest
import second_reading
from sympy import Rational

from growproof.proofs import prover
from growproof.proofs.check import Answer, check
from growproof.proofs.counterexample import Counterexample
from growproof.proofs.drawing import RANDOM, drawn_blocks, drawn_model
from growproof.proofs.experiment import PROFILE
from growproof.symbolic.architecture import PRESETS, Preset
from growproof.symbolic.variant import loads


def visible_change(found: Counterexample) -> float:
    """How far a counterexample moves the outputs.  AssertionError unless its numbers are what it says."""
    variants = [step.variant for step in found.steps]
    before, after = second_reading.outputs(variants, found.instance.old, found.instance.new, found.steps[0].old.preset)
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
    before, after = second_reading.outputs([variant], old, (new,), answer.preset)
    return bool(np.allclose(before, after, rtol=1e-9, atol=1e-9))


# --- fixtures ---


@cache
def _answer(texts: tuple[str, ...], architecture: str | Preset, seed: int) -> Answer:
    made = architecture if isinstance(architecture, Preset) else PRESETS[architecture]
    return check([loads(text, "variant.toml") for text in texts], made, seed)


@pytest.fixture
def fresh(monkeypatch):
    """For a test that changes a rule: nothing is remembered that was proved with others, before and after."""
    monkeypatch.setattr(prover, "always", {})
    prover.prove.cache_clear()
    yield monkeypatch
    prover.prove.cache_clear()


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
    return second_reading.grown
