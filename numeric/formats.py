"""The four number formats, and how the package computes in each of them.

float64 and float32 compute in themselves. float16 and bfloat16 are held in float32 between roundings, as
hardware does: every matrix product, norm and softmax runs and accumulates in float32, and its result is
rounded to the format. The error analysis (`error.py`) describes exactly this.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]

FORMATS = ("float64", "float32", "float16", "bfloat16")

# Name -> significant bits, exponent of the smallest subnormal number.
_BITS = {"float64": (53, -1074), "float32": (24, -149), "float16": (11, -24), "bfloat16": (8, -133)}


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: its numpy dtype, significant bits and smallest subnormal 2**tiny.

    `working` is the format in which operations run before their result is rounded to this one.
    """

    name: str
    dtype: np.dtype[Any]
    bits: int
    tiny: int
    working_name: str

    @property
    def working(self) -> "Format":
        return self if self.working_name == self.name else number_format(self.working_name)

    @property
    def u(self) -> float:
        """Unit roundoff: fl(x) = x (1 + d) with |d| <= u, where no underflow occurs."""
        return 2.0**-self.bits

    @property
    def eta(self) -> float:
        """Smallest positive number: it bounds what one underflow can add to a result."""
        return 2.0**self.tiny

    @property
    def normal(self) -> float:
        """Smallest normal number: below it, relative precision is lost."""
        return 2.0 ** (self.tiny + self.bits - 1)

    def gamma(self, n: int) -> float:
        """gamma_n = n u / (1 - n u), the accumulated relative error of n roundings (Higham, lemma 3.1).

        Raises ValueError unless n u < 1.
        """
        if n * self.u >= 1:
            raise ValueError(f"{self.name}: found {n} roundings, expected fewer than {1 / self.u:.0f}")
        return n * self.u / (1 - n * self.u)

    def load(self, x: Array) -> Array:
        """x, rounded to this format and held in the working one; no copy where none is needed."""
        return self.round(x).astype(self.working.dtype, copy=False)

    def round(self, x: Array) -> Array:
        """x with every element rounded to this format; a no-op when x already has its dtype."""
        return x.astype(self.dtype, copy=False)

    def settle(self, x: Array) -> Array:
        """x, computed in the working format, rounded to this one and held in the working one again."""
        if self.working_name == self.name:
            return x
        return x.astype(self.dtype).astype(self.working.dtype)

    def spacing(self, x: Array) -> Array:
        """Distance from each |x| to the next larger number of this format (one ulp at x), as float64."""
        _, exponent = np.frexp(np.abs(x).astype(np.float64))
        exponent = np.where(x == 0, self.tiny, exponent - self.bits)
        return np.asarray(np.ldexp(1.0, np.maximum(exponent, self.tiny)))


def as_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """The numpy dtype of that name, with bfloat16 from ml_dtypes, imported only when asked for.

    >>> as_dtype("bfloat16").itemsize
    2
    """
    if isinstance(dtype, str) and dtype == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(dtype)


def number_format(dtype: DTypeLike) -> Format:
    """The format of a dtype or name. Raises ValueError for any other than the four in FORMATS."""
    return _format_of(as_dtype(dtype))


@lru_cache
def _format_of(found: np.dtype[Any]) -> Format:
    if found.name not in _BITS:
        raise ValueError(f"dtype: found {found.name}, expected one of {', '.join(FORMATS)}")
    bits, tiny = _BITS[found.name]
    working = found.name if bits >= 24 else "float32"
    return Format(found.name, found, bits, tiny, working)
