"""How a formula may be spelled: one table, which the pages read too.

`SIGNS` are replaced by what they mean; then `PATTERNS`, regular expressions of Python and of JavaScript alike, as long
as one of them changes something.  A product may be left unwritten only where it can be read in one way.
"""

from __future__ import annotations

import json
import re

SPACES = "\u00a0\u2007\u2009\u202f"  # that do not break, or are thin
SUBSCRIPTS = {chr(0x2080 + digit): str(digit) for digit in range(10)}

SIGNS = {
    "**": "^",
    "²": "^2",
    "³": "^3",
    "√": "sqrt",
    **dict.fromkeys("×·⋅∗∙", "*"),
    **dict.fromkeys("÷⁄∕", "/"),
    **dict.fromkeys("−–", "-"),
    **dict.fromkeys("ᵀ’′", "'"),
    **dict.fromkeys(SPACES, " "),
    **SUBSCRIPTS,
    "ĥ": "h_hat",
    "ŝ": "s_hat",
    "ô": "o_hat",
}

_NAME = "[A-Za-z0-9_]"
_BEFORE = r"(^|[-+*,;=(\[])"  # what a number stands behind that is neither divided by nor an exponent
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"

PATTERNS = (
    (r"\\(?:left|right)(?![A-Za-z])", ""),
    (r"\\(?:cdot|times)(?![A-Za-z])", "*"),
    (r"\\hat\s*(?:\{\s*([A-Za-z])\s*\}|([A-Za-z]))", r"\1\2_hat"),
    (r"([A-Za-z])\u0302", r"\1_hat"),
    (r"_\{\s*([A-Za-z0-9_]+)\s*\}", r"_\1"),
    (r"\\frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"((\1)/(\2))"),
    (r"\\sqrt\s*\{([^{}]*)\}", r"sqrt(\1)"),
    (r"\^\s*\{([^{}]*)\}", r"^(\1)"),
    (rf"(?<!{_NAME})sqrt\s*({_NAME}+)", r"sqrt(\1)"),
    (r"\s*([-+*/^()\[\],;=])\s*", r"\1"),
    (rf"(?<![.]|{_NAME})\.([0-9])", r"0.\1"),
    (r"([0-9])\.(?![0-9.])", r"\1"),
    (r"(^|[\[(,;=])\+", r"\1"),
    (rf"{_BEFORE}({_NUMBER}) ?(?=[A-Za-z(])", r"\1\2*"),
    (rf"{_BEFORE}([0-9]+/[0-9]+) (?=[A-Za-z])", r"\1\2*"),
    (rf"{_BEFORE}(\({_NUMBER}(?:/{_NUMBER})?\))(?=[A-Za-z(])", r"\1\2*"),
)
MOST_ROUNDS = 20  # of the patterns: deeper nesting stays as it is


def respelled(text: str) -> str:
    """A formula as the notation writes it.

    >>> respelled("2/3 W_l₂"), respelled("√k̂/√k"), respelled(r"\\frac{1}{\\sqrt{\\hat{k}}}"), respelled("+.5 × ( 2 k )")
    ('2/3*W_l2', 'sqrt(k_hat)/sqrt(k)', '((1)/(sqrt(k_hat)))', '0.5*(2*k)')
    """
    text = with_plain_signs(text)
    for _ in range(MOST_ROUNDS):
        before = text
        for pattern, meaning in PATTERNS:
            text = re.sub(pattern, meaning, text)
        if text == before:
            break
    return text.strip()


def with_plain_signs(text: str) -> str:
    for sign, meaning in SIGNS.items():
        text = text.replace(sign, meaning)
    return text


def as_json() -> str:
    """The table for the script of a page, whose replacements write $1 for \\1."""
    patterns = [(pattern, meaning.replace("\\", "$")) for pattern, meaning in PATTERNS]
    return json.dumps({"signs": SIGNS, "patterns": patterns, "rounds": MOST_ROUNDS})
