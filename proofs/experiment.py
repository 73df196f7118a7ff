"""A variant on random numbers in every floating-point format: evidence, never a proof."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sympy import Expr, Integer, Symbol

from ..numeric.compare import Agreement
from ..numeric.formats import FORMATS
from ..symbolic.architecture import parameters
from ..symbolic.evaluate import Array, Values, exact
from ..symbolic.expand import Expansion
from ..symbolic.floats import float_arithmetic
from ..symbolic.instances import grown, with_matrices
from ..symbolic.terms import MatMul, subterms
from .comparison import compared
from .drawing import RANDOM, Profile, drawn_blocks, drawn_model, fitting, satisfied
from .rules import simplified, split

LARGEST_GROWTH = 16
PROFILE = Profile({"s": 4, "h": 6, "p": 6, "k": 6, "v": 6, "o": 3}, 2, 2, 2, 2)  # halves and thirds are whole


@dataclass(frozen=True)
class Outcome:
    """Both models on the same numbers in one format, and whether new blocks still meet the constraints in it."""

    dtype: str
    sizes: Mapping[str, int] = field(hash=False)
    agreement: Agreement
    met: bool = True

    @property
    def remark(self) -> str:
        """What else is to be said of the difference; mostly nothing."""
        return "" if self.met else "; rounded to this format, the new blocks meet the constraints only nearly"


def experiment(steps: Sequence[Expansion], seed: int = 0) -> tuple[Outcome, ...]:
    """A chain on one random model, in each format; nothing where the constraints could not be met."""
    return tuple(found for dtype in FORMATS if (found := outcome(steps, dtype, seed)) is not None)


def outcome(steps: Sequence[Expansion], dtype: str, seed: int) -> Outcome | None:
    rng = np.random.default_rng(seed)
    arithmetic = float_arithmetic(kind(dtype))

    def entries(rows: int, columns: int) -> Array:
        return rng.standard_normal((rows, columns)) / np.sqrt(max(rows, 2))

    preset = steps[0].old.preset
    old = in_format(drawn_model(preset, PROFILE, entries, RANDOM), dtype)
    current, sizes, met = old, fitting(PROFILE.sizes, preset), True
    for step in steps:
        new = drawn_blocks(step, current, PROFILE, entries, rng)
        if new is None:
            return None
        sizes |= {name: n for name, n in new["sizes"].items() if name != "f" and name not in old["scalars"]}
        new = in_format(new, dtype)
        met = met and satisfied(step, *(in_format(side, "float64") for side in (current, new)))
        current = grown(step, current, new, arithmetic)
    scalings = dict.fromkeys(parameters(preset), len(steps))
    return Outcome(dtype, sizes, compared(steps, old, current, dtype, scalings), met)


def kind(dtype: str) -> Any:
    """numpy's type of a format's name; bfloat16 comes from ml_dtypes."""
    if dtype != "bfloat16":
        return np.dtype(dtype)
    import ml_dtypes  # here, because importing it costs time

    return np.dtype(ml_dtypes.bfloat16)


def in_format(nested: Any, dtype: str) -> Any:
    """The same tables with every matrix rounded to a format."""
    return with_matrices(nested, lambda entries: entries.astype(kind(dtype)))


# ---------------------------------------------------------------- factors


@dataclass(frozen=True)
class Factor:
    """A factor in a rewrite, its value in the experiment, and the growth at which it is a power of two."""

    factor: Expr
    value: Expr
    at: Expr | None  # grown = at * old

    @property
    def power_of_two(self) -> bool:
        """Whether floating point keeps every product with it exactly, short of overflow and underflow."""
        return is_power_of_two(self.value)


def factors(steps: Sequence[Expansion], sizes: Mapping[str, int]) -> tuple[Factor, ...]:
    """The factors in the rewrites of a chain, but for 1 and -1, at the sizes of an experiment."""
    found = dict.fromkeys(abs(one) for step in steps for one in coefficients(step))
    known = [one for one in found if one != 1 and {symbol.name for symbol in one.free_symbols} <= set(sizes)]
    above = {grown: base for step in steps for grown, base in step.above.items()}
    return tuple(Factor(one, exact(one, Values(dict(sizes))), growth_for(one, above)) for one in known)


def coefficients(step: Expansion) -> Iterator[Expr]:
    """Every scalar in front of a product in the grown matrices, and what the variant multiplies scalars by."""
    new, old = step.new, step.old
    for layer in (new.layer, *new.inserted):
        tables = [layer.weights, *(heads.weights for heads in layer.heads)]
        tables += [layer.experts.weights] if layer.experts is not None else []
        for table in (new.weights, *tables):
            for term in table.values():
                yield from (split(part)[0] for part in subterms(term) if isinstance(part, MatMul))
    for name in step.variant.rewrite:
        if old.scalars.get(name):
            yield simplified(new.scalars[name] / old.scalars[name])


def growth_for(factor: Expr, above: Mapping[Symbol, Expr]) -> Expr | None:
    """How many times as large the sizes must grow for a factor to be a power of two; None where no few do."""
    grown = [symbol for symbol in above if symbol in factor.free_symbols]
    for times in range(2, LARGEST_GROWTH + 1) if grown else ():
        if is_power_of_two(simplified(factor.subs({symbol: times * above[symbol] for symbol in grown}))):
            return Integer(times)
    return None


def is_power_of_two(number: Expr) -> bool:
    """
    >>> [is_power_of_two(Integer(4) / n) for n in (2, 3, 32)]
    [True, False, True]
    """
    parts = (int(number.p), int(number.q)) if number.is_Rational and number > 0 else (0, 0)
    return all(part > 0 and part & (part - 1) == 0 for part in parts)
