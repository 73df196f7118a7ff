"""Square roots of rational numbers, correctly rounded from their exact value."""

from fractions import Fraction
from math import isqrt, ldexp
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .formats import number_format


def rounded_sqrt(ratio: Fraction | int, dtype: DTypeLike) -> Any:
    """sqrt(ratio) as a scalar of the dtype, rounded once to nearest, ties to even, in integer arithmetic.

    Raises ValueError where the ratio is not positive or its root lies outside the format's normal range.

    >>> rounded_sqrt(Fraction(9, 4), "float16")
    np.float16(1.5)
    >>> rounded_sqrt(2, "float64").hex()
    '0x1.6a09e667f3bcdp+0'
    """
    form = number_format(dtype)
    ratio = Fraction(ratio)
    if ratio <= 0:
        raise ValueError(f"scale: found sqrt({ratio}), expected the root of a positive ratio")
    significand, exponent = _significand(ratio, form.bits)
    with np.errstate(over="ignore"):
        root = np.asarray(ldexp(significand, exponent)).astype(form.dtype)[()]
    if not np.isfinite(root) or exponent < form.tiny:
        raise ValueError(f"scale: found sqrt({ratio}), expected a normal number of {form.name}")
    return root


def _significand(ratio: Fraction, bits: int) -> tuple[int, int]:
    """(m, e) with m of the given number of bits (or 2**bits) and m 2**e nearest to sqrt(ratio)."""
    shift = bits + 2 - (ratio.numerator.bit_length() - ratio.denominator.bit_length()) // 2
    scaled = ratio * Fraction(4) ** shift
    root = isqrt(scaled.numerator // scaled.denominator)
    inexact = root * root != scaled
    drop = root.bit_length() - bits
    kept, rest = root >> drop, root & ((1 << drop) - 1)
    half = 1 << (drop - 1)
    up = rest > half or (rest == half and (inexact or kept % 2 == 1))
    return kept + up, drop - shift
