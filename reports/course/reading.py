"""An answer in whatever form it comes, as plain data: texts, numbers, and lists and tables of these.

Nothing in it is run; what is too long, too deep or of no known kind gets one line.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from math import prod
from numbers import Rational, Real
from typing import Any

import numpy as np
from sympy import Basic, MatrixBase

from ...symbolic.errors import VariantError
from .spellings import respelled, with_plain_signs

LONGEST = 20_000  # characters of a text
LONGEST_EXPRESSION = 1_000  # of one expression, or of a text within a list
MOST = 1_000  # entries of lists and tables, all together
DEEPEST = 4
MOST_BITS = 400  # of a number
SHOWN = 60  # characters of an answer that are repeated
MOST_DIGITS = 9  # of a decimal that are looked at: fractions with larger denominators are not short


def plain(answer: object) -> Any:
    """The same as texts, truth values, numbers, lists and tables.  Raises VariantError.

    >>> plain({"M_A": np.eye(1), "M_B": (Decimal("0.5"), Fraction(1, 3))})
    {'M_A': [[1.0]], 'M_B': ['0.5', Fraction(1, 3)]}
    """
    return _plain(answer, LONGEST, DEEPEST, iter(range(MOST)))


def _plain(answer: object, longest: int, deepest: int, room: Iterator[int]) -> Any:
    if next(room, None) is None or deepest < 0:
        raise VariantError("the answer is too large", expected=f"at most {MOST} entries, {DEEPEST} deep")
    match answer:
        case None | bool():
            return answer
        case np.bool_():
            return bool(answer)
        case str():
            if len(answer) > longest:
                raise VariantError(
                    "the answer is too long", found=f"{len(answer)} characters", expected=f"at most {longest}"
                )
            return str(answer)
        case np.ndarray() | MatrixBase():
            if prod(answer.shape) > MOST:
                raise VariantError("the answer is too large", expected=f"at most {MOST} numbers")
            return _plain(answer.tolist(), longest, deepest, room)
        case Decimal() | Real() | Basic():
            return of_number(answer)
        case bytes() | bytearray():
            raise VariantError("the answer is no text", found=described(answer))
        case Mapping():
            if len(answer) > MOST or not all(isinstance(key, (str, Basic)) for key in answer):
                raise VariantError("a table has names on its left", found=described(answer))
            inside = {_plain(key, LONGEST_EXPRESSION, 0, room): value for key, value in answer.items()}
            return {key: _plain(value, LONGEST_EXPRESSION, deepest - 1, room) for key, value in inside.items()}
        case Collection():
            return [_plain(one, LONGEST_EXPRESSION, deepest - 1, room) for one in answer]
        case _:
            raise VariantError("an answer is a text, a number, a list or a table", found=described(answer))


def not_longer(text: str, longest: int) -> str:
    """The text.  Raises VariantError for a longer one."""
    if len(text) > longest:
        raise VariantError("the answer is too long", found=f"{len(text)} characters", expected=f"at most {longest}")
    return text


def of_number(answer: Any) -> int | Fraction | float | str:
    """A number exactly as it is; a Python float stays one, and what sympy knows is written out."""
    if isinstance(answer, Rational):
        found = Fraction(int(answer.numerator), int(answer.denominator))
        if max(found.numerator.bit_length(), found.denominator.bit_length()) > MOST_BITS:
            raise VariantError("the number has too many digits", expected=f"at most {MOST_BITS} bits")
        return int(found) if found.denominator == 1 else found
    if isinstance(answer, Decimal) and answer.is_finite() and abs(answer.adjusted()) < 100:
        return f"{answer:f}"
    if isinstance(answer, Basic):
        return not_longer(str(answer), LONGEST_EXPRESSION)
    return float(answer) if isinstance(answer, Real) else str(answer)


def described(answer: object) -> str:
    """An answer in a few words, whatever it is.

    >>> described("x" * 100)[-3:], described(3), described([])
    ('x…`', '3', 'a list')
    """
    if isinstance(answer, str):
        return quoted(answer)
    small = answer is None or (isinstance(answer, (int, float, Fraction)) and -1e30 < answer < 1e30)
    return str(answer) if small or isinstance(answer, float) else f"a {type(answer).__name__}"


def quoted(text: str) -> str:
    """A text between quotes, its end left out where it is long."""
    return f"`{shortened(text)}`"


def shortened(text: str, longest: int = SHOWN) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


# ---------------------------------------------------------------- expressions

FRACTION = "[¼½¾⅐-⅞]"


def spelled(answer: object) -> str:
    """An expression as the notation writes it.  Raises VariantError for what is no text and no exact number.

    >>> spelled("(k_hat/k)**½"), spelled("√2"), spelled(Fraction(1, 3)), spelled(0.5)
    ('(k_hat/k)^(1/2)', 'sqrt(2)', '1/3', '1/2')
    """
    if isinstance(answer, bool) or not isinstance(answer, (str, int, Fraction, float)):
        raise VariantError(
            "an expression is a text", found=described(answer), expected="a text such as 'sqrt(h/h_hat)*W'"
        )
    if not isinstance(answer, str):
        return str(exactly(answer))
    text = not_longer(answer.strip(), LONGEST_EXPRESSION)
    if found := re.search(rf"[\w)\]'](?<!sqrt)\s*{FRACTION}", text):
        raise VariantError("a fraction stands right behind something", found=quoted(found[0]), expected="`+` or `*`")
    return respelled(re.sub(FRACTION, lambda one: f"({unicodedata.normalize('NFKC', one[0])})", text))


def without_name(answer: object, name: str) -> object:
    """The expression of an answer that says which hole it is for, as in `?a = 1/2`.

    >>> without_name("?a = 1/2", "a"), without_name("1/2", "a")
    ('1/2', '1/2')
    """
    return re.sub(rf"^\s*\??{name}\s*=\s*", "", answer) if isinstance(answer, str) else answer


def exactly(value: int | Fraction | float) -> Fraction:
    """A number that is meant as it is written.  Raises VariantError for a float that can only be a rounded one."""
    if not isinstance(value, float):
        return Fraction(value)
    found = fraction_of(repr(value))
    if found is None or found.denominator > 10**6:
        near = nearest_fraction(repr(value))
        example = f"'{near}'" if near is not None else "such as '1/3' or 'sqrt(2)'"
        raise VariantError("the number is rounded", found=repr(value), expected=f"the exact fraction, {example}")
    return found


# ---------------------------------------------------------------- numbers

NUMBER = re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,2})?")


def fraction_of(text: str) -> Fraction | None:
    """The number that a text is; None where it is none.

    >>> fraction_of("-1/2"), fraction_of(".5"), fraction_of("+1e2"), fraction_of("1e99999999"), fraction_of("1/0")
    (Fraction(-1, 2), Fraction(1, 2), Fraction(100, 1), None, None)
    >>> fraction_of("−½"), fraction_of("2⁄3"), fraction_of("1½")
    (Fraction(-1, 2), Fraction(2, 3), None)
    """
    text = unicodedata.normalize("NFKC", text) if re.fullmatch(rf"\s*[-+−–]?\s*{FRACTION}\s*", text) else text
    above, slash, below = (part.strip() for part in with_plain_signs(text).partition("/"))
    if not NUMBER.fullmatch(above) or (slash and not re.fullmatch(r"\d{1,40}", below)):
        return None
    divisor = int(below) if slash else 1
    return Fraction(above) / divisor if divisor else None


def number_in(value: object) -> Fraction | None:
    """The same of plain data; a truth value is no number, and neither is infinity."""
    if isinstance(value, str):
        return fraction_of(value)
    if isinstance(value, bool) or not isinstance(value, (int, Fraction, float)) or abs(value) == float("inf"):
        return None
    return Fraction(value) if value == value else None


def nearest_fraction(decimal: str) -> Fraction | None:
    """The short fraction that a decimal rounds, and is not.

    >>> nearest_fraction("0.3333333333"), nearest_fraction("0.67"), nearest_fraction("0.125")
    (Fraction(1, 3), Fraction(2, 3), None)
    """
    digits = len(decimal.partition(".")[2])
    if not re.fullmatch(r"\d+\.\d\d+", decimal):
        return None
    unit, whole = 10**digits, int(decimal.replace(".", ""))
    for below in range(1, int(10 ** (min(digits, MOST_DIGITS) / 3)) + 1):
        above = (2 * whole * below + unit) // (2 * unit)
        if 0 < abs(above * unit - whole * below) < below:
            return Fraction(above, below)
    return None


def nearest_root(decimal: str) -> Fraction | None:
    """The short fraction whose root a decimal below 10 rounds, and is not.

    >>> nearest_root("1.41421356"), nearest_root("0.71"), nearest_root("0.25")
    (Fraction(2, 1), Fraction(1, 2), None)
    """
    digits = len(decimal.partition(".")[2])
    if not re.fullmatch(r"\d\.\d\d+", decimal):
        return None
    unit, whole = 10**digits, int(decimal.replace(".", ""))
    for below in range(1, int(10 ** (min(digits, MOST_DIGITS) / 3)) + 1):
        above = (whole * whole * below + unit * unit // 2) // (unit * unit)
        least, square, most = ((2 * whole + d) ** 2 * below for d in (-1, 0, 1))
        if least < 4 * unit * unit * above < most and 4 * unit * unit * above != square:
            return Fraction(above, below)
    return None


def rounded(text: str) -> str:
    """What to say of the first number in an expression that is rounded; nothing where there is none.

    >>> rounded("0.3333333333*W"), rounded("1.41421356*W")
    ('0.3333333333 is rounded, write 1/3', '1.41421356 is rounded, write sqrt(2)')
    """
    for decimal in re.findall(r"\d+\.\d+", text):
        near, root = nearest_fraction(decimal), nearest_root(decimal)
        if near is not None or root is not None:
            return f"{shortened(decimal, 20)} is rounded, write {near if near is not None else f'sqrt({root})'}"
    return ""
