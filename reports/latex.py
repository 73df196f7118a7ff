"""The LaTeX that growproof prints, token by token, and what a faithful drawing of it must contain.

Only the macros listed here are accepted.  A formula's `Ink` counts what a reader must see; the
MathML made from it is compared against that count (see `growproof.reports.mathml`).

>>> sorted(ink(r"\\frac{1}{\\sqrt{k}} X^{T}").characters.elements())
['1', 'T', 'X', 'k']
>>> ink(r"\\foo{x}")
Traceback (most recent call last):
ValueError: LaTeX macro \\foo is not on the list, in \\foo{x}
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

# Macros that arrange their arguments and draw nothing countable themselves.
SHAPES = frozenset({r"\frac", r"\sqrt", r"\left", r"\right", r"\displaystyle"})
FONTS = frozenset({r"\mathbb", r"\mathbf", r"\mathcal", r"\mathit", r"\mathrm"})
SPACES = frozenset({r"\,", r"\:", r"\;", r"\ ", r"\quad", r"\qquad"})
WORDS = frozenset({r"\operatorname", r"\text"})
ENVIRONMENTS = {"matrix": "", "pmatrix": "()", "bmatrix": "[]", "array": "", "cases": "{"}

# Macros that put one mark above their argument.
ACCENTS = {r"\hat": "^", r"\widehat": "^", r"\tilde": "~", r"\widetilde": "~"}

GREEK = {
    rf"\{name}": unicodedata.lookup(f"GREEK SMALL LETTER {name.upper().replace('LAMBDA', 'LAMDA')}")
    for name in (
        "alpha beta gamma delta zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau chi psi omega"
    ).split()
} | {
    r"\varepsilon": "ε", r"\epsilon": "ϵ", r"\phi": "ϕ", r"\varphi": "φ",
    r"\Gamma": "Γ", r"\Delta": "Δ", r"\Theta": "Θ", r"\Lambda": "Λ", r"\Pi": "Π", r"\Sigma": "Σ",
    r"\Phi": "Φ", r"\Psi": "Ψ", r"\Omega": "Ω",
}  # fmt: skip
FUNCTIONS = {rf"\{name}": name for name in "cos cosh exp log max min sin sinh tan tanh".split()}
SIGNS = {
    r"\approx": "≈", r"\bot": "⊥", r"\cdot": "·", r"\cdots": "⋯", r"\circ": "∘", r"\ddots": "⋱",
    r"\dots": "…", r"\ell": "ℓ", r"\equiv": "≡", r"\exists": "∃", r"\forall": "∀", r"\ge": "≥",
    r"\geq": "≥", r"\gt": ">", r"\in": "∈", r"\infty": "∞", r"\langle": "⟨", r"\ldots": "…", r"\le": "≤",
    r"\leq": "≤", r"\lfloor": "⌊", r"\lceil": "⌈", r"\lt": "<", r"\lvert": "|", r"\lVert": "‖",
    r"\mapsto": "↦", r"\mid": "∣", r"\ne": "≠", r"\neq": "≠", r"\odot": "⊙", r"\oplus": "⊕",
    r"\otimes": "⊗", r"\pm": "±", r"\prime": "′", r"\prod": "∏", r"\rangle": "⟩", r"\rceil": "⌉",
    r"\rfloor": "⌋", r"\Rightarrow": "⇒", r"\rvert": "|", r"\rVert": "‖", r"\sum": "∑", r"\times": "×",
    r"\to": "→", r"\top": "⊤", r"\vdots": "⋮", r"\vert": "|", r"\Vert": "‖", r"\{": "{", r"\}": "}",
    r"\|": "‖",
}  # fmt: skip
DRAWN = ACCENTS | GREEK | FUNCTIONS | SIGNS
MACROS = SHAPES | FONTS | SPACES | WORDS | DRAWN.keys()

_TOKEN = re.compile(
    r"""
    (?P<environment>\\(?P<edge>begin|end)\{(?P<kind>[a-z]+)\}(?:(?<=array\})\{[lcr|]+\})?)
  | (?P<word>\\(?:operatorname|text)\{(?P<letters>[A-Za-z0-9 ,.=<>\-]*)\})
  | (?P<void>\\(?:left|right)\s*\.)
  | (?P<degree>\\sqrt\[[A-Za-z0-9]+\])
  | (?P<row>\\\\)
  | (?P<macro>\\(?:[A-Za-z]+|.))
  | (?P<script>[_^])
  | (?P<prime>'+)
  | (?P<column>&)
  | (?P<brace>[{}])
  | (?P<space>\s)
  | (?P<character>[A-Za-z0-9+\-=<>(),.:;/|!*\[\]])
  | (?P<stranger>.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Ink:
    """What a drawing of a formula must show: each character, and how many pieces of each shape."""

    characters: Counter[str]
    fractions: int
    roots: int
    scripts: int
    accents: int
    rows: int
    cells: int


def ink(latex: str) -> Ink:
    """The ink of a formula; a `ValueError` names the first macro or character that is not on the list."""
    if latex.replace(r"\{", "").count("{") != latex.replace(r"\}", "").count("}"):
        raise ValueError(f"LaTeX with unbalanced braces: {latex}")
    characters: Counter[str] = Counter()
    shapes: Counter[str] = Counter()
    for token in _TOKEN.finditer(latex):
        characters.update(normal(_drawn(token, latex)))
        shapes.update(_shapes(token))
    return Ink(characters, *(shapes[name] for name in _SHAPES))


_SHAPES = ("fraction", "root", "script", "accent", "row", "cell")


def normal(text: str) -> str:
    """Text as the count knows it: without spaces and invisible signs, styled letters as plain ones."""
    plain = unicodedata.normalize("NFKC", text).translate(_SAME)
    return "".join(plain.split())


_SAME = {
    ord("\N{MINUS SIGN}"): "-",
    ord("\N{ASTERISK OPERATOR}"): "*",
    ord("\N{MODIFIER LETTER CIRCUMFLEX ACCENT}"): "^",
    ord("\N{COMBINING CIRCUMFLEX ACCENT}"): "^",
    ord("\N{COMBINING TILDE}"): "~",
}


def _drawn(token: re.Match[str], latex: str) -> str:
    """The characters that one token draws."""
    match token.lastgroup:
        case "environment":
            if token["kind"] not in ENVIRONMENTS:
                raise ValueError(f"LaTeX environment {token['kind']} is not on the list, in {latex}")
            return ENVIRONMENTS[token["kind"]] if token["edge"] == "begin" else ""
        case "word":
            return token["letters"]
        case "macro":
            if token[0] not in MACROS:
                raise ValueError(f"LaTeX macro {token[0]} is not on the list, in {latex}")
            return DRAWN.get(token[0], "")
        case "degree":
            return token[0].removeprefix(r"\sqrt")[1:-1]
        case "prime":
            return "′" * len(token[0])
        case "character":
            return token[0]
        case "stranger":
            raise ValueError(f"LaTeX character {token[0]!r} is not on the list, in {latex}")
    return ""


def _shapes(token: re.Match[str]) -> tuple[str, ...]:
    """The pieces that one token adds."""
    match token.lastgroup:
        case "environment":
            return ("row", "cell") if token["edge"] == "begin" else ()
        case "row":
            return ("row", "cell")
        case "column":
            return ("cell",)
        case "degree":
            return ("root",)
        case "script" | "prime":
            return ("script",)
        case "macro":
            return _MACRO_SHAPES.get(token[0], ())
    return ()


_MACRO_SHAPES = {r"\frac": ("fraction",), r"\sqrt": ("root",)} | dict.fromkeys(ACCENTS, ("accent",))
