"""Scalar factors are correctly rounded, once, in every format."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growproof.numeric.formats import FORMATS, number_format
from growproof.numeric.rounding import rounded_sqrt

ratios = st.fractions(min_value=Fraction(1, 10_000), max_value=10_000, max_denominator=10_000)


@pytest.mark.parametrize("dtype", FORMATS)
@given(ratio=ratios)
@settings(deadline=None, derandomize=True, max_examples=100)
def test_no_number_of_the_format_is_nearer_to_the_root(dtype: str, ratio: Fraction) -> None:
    root = rounded_sqrt(ratio, dtype)
    assert root.dtype == number_format(dtype).dtype
    value = Fraction(float(root))
    above = Fraction(float(number_format(dtype).spacing(np.asarray(root)))) / 2
    # Just above a power of two the gap below is half as wide.
    below = above / 2 if np.frexp(float(root))[0] == 0.5 else above
    assert (value - below) ** 2 <= ratio <= (value + above) ** 2


@pytest.mark.parametrize("dtype", FORMATS)
@given(root=st.integers(1, 255), power=st.integers(-6, 6))
@settings(deadline=None, derandomize=True, max_examples=50)
def test_a_root_that_the_format_has_is_exact(dtype: str, root: int, power: int) -> None:
    exact = root * Fraction(2) ** power
    assert Fraction(float(rounded_sqrt(exact**2, dtype))) == exact


def test_ties_go_to_even() -> None:
    assert float(rounded_sqrt(Fraction(257) ** 2, "bfloat16")) == 256
    assert float(rounded_sqrt(Fraction(259) ** 2, "bfloat16")) == 260


@pytest.mark.parametrize("ratio", [0, -1, Fraction(10) ** 12])
def test_a_root_outside_the_format_is_an_error(ratio: int | Fraction) -> None:
    with pytest.raises(ValueError, match=r"scale: found sqrt\("):
        rounded_sqrt(ratio, "float16")


def test_other_dtypes_are_an_error() -> None:
    with pytest.raises(ValueError, match="dtype: found int64, expected one of float64, float32"):
        number_format("int64")
