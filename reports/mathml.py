"""Formulas for the page: LaTeX of a checked object to MathML, never silently less than the LaTeX.

latex2mathml draws an unknown macro as its name and drops what it cannot place.  So every result passes a
gate: the macros must be on our list, and the drawing must show the same characters and as many fractions,
roots, scripts, rows and cells as the LaTeX has.

>>> mathml(r"\\frac{1}{2} W_{Q}")
'<math><mfrac><mn>1</mn><mn>2</mn></mfrac><msub><mi>W</mi><mi>Q</mi></msub></math>'
"""

import html
from collections import Counter
from functools import cache
from xml.etree.ElementTree import Element, tostring

from latex2mathml.converter import convert_to_element

from growproof.reports.latex import Ink, ink, normal


@cache
def mathml(latex: str, display: bool = False) -> str:
    """The formula as a `<math>` element; a `ValueError` if anything of it cannot be drawn."""
    expected = ink(latex)
    try:
        drawing = convert_to_element(latex, display="block" if display else "inline")
    except Exception as error:
        raise ValueError(f"LaTeX that cannot be drawn ({type(error).__name__}): {latex}") from error
    respelled = _respell(drawing)
    respelled.attrib = {"display": "block"} if display else {}
    check(latex, expected, respelled)
    return tostring(respelled, encoding="unicode")


def check(latex: str, expected: Ink, drawing: Element) -> None:
    """The gate: refuses a drawing that shows more or less than the LaTeX says."""
    shown = _shown(drawing)
    if shown.characters != expected.characters:
        missing = expected.characters - shown.characters
        added = shown.characters - expected.characters
        raise ValueError(f"MathML lost {sorted(missing.elements())} and gained {sorted(added.elements())} of {latex}")
    if shown != expected:
        raise ValueError(f"MathML has other shapes than the LaTeX: {shown} instead of {expected}, in {latex}")
    if any(len(element) != _ARITY.get(element.tag, len(element)) for element in drawing.iter()):
        raise ValueError(f"MathML lacks an argument, in {latex}")
    for element in drawing.iter("mn"):
        if not (element.text or "").replace(".", "", 1).isdigit():
            raise ValueError(f"MathML reads {element.text!r} as a number, in {latex}")


_ARITY = dict.fromkeys(("mfrac", "mroot", "msub", "msup", "munder", "mover"), 2)
_ARITY |= dict.fromkeys(("msubsup", "munderover"), 3)


def _shown(drawing: Element) -> Ink:
    """The ink of a MathML tree."""
    tags = Counter(element.tag for element in drawing.iter())
    accents = sum(normal(_text(over[1])) in ("^", "~") for over in drawing.iter("mover"))
    pairs = tags["msubsup"] + tags["munderover"]
    return Ink(
        characters=Counter("".join(normal(_text(element)) for element in drawing.iter())),
        fractions=tags["mfrac"],
        roots=tags["msqrt"] + tags["mroot"],
        scripts=2 * pairs + tags["msub"] + tags["msup"] + tags["munder"] + tags["mover"] - accents,
        accents=accents,
        rows=tags["mtr"],
        cells=tags["mtd"],
    )


def _text(element: Element) -> str:
    return html.unescape(element.text or "")


# -- Spelling ------------------------------------------------------------------------------------------
# Browsers draw MathML Core: styled letters only as characters of their own, names as identifiers.

_STYLES = {
    "bold": {"A": 0x1D400, "a": 0x1D41A, "0": 0x1D7CE},
    "double-struck": {"A": 0x1D538, "a": 0x1D552, "0": 0x1D7D8},
}
_HATS = {
    ("^", True): "\N{MODIFIER LETTER CIRCUMFLEX ACCENT}",
    ("^", False): "\N{COMBINING CIRCUMFLEX ACCENT}",
    ("~", True): "\N{SMALL TILDE}",
    ("~", False): "\N{COMBINING TILDE}",
}
_SIGNS = frozenset(":;±′⌊⌋⌈⌉∣")
_LARGE = frozenset("∑∏")
_ROWS = frozenset({"math", "mrow", "mtd", "msqrt", "mstyle"})
_LEAVES = frozenset({"mi", "mn", "mo", "mtext", "mspace"})


def _respell(element: Element) -> Element:
    """The same drawing in MathML Core, without wrappers that hold a single thing."""
    if element.tag in _LEAVES:
        return _leaf(element)
    children = [_respell(child) for child in element]
    if element.tag in _ROWS:
        children = _spaced(_joined(children))
    if element.tag == "mrow" and len(children) == 1:
        return children[0]
    if element.tag in _ROWS and len(children) == 1 and children[0].tag == "mrow":
        children = list(children[0])
    tag = element.tag
    if children and children[0].text in _LARGE:
        tag = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}.get(tag, tag)
    copy = Element(tag, element.attrib)
    copy.extend(children)
    return _hat(copy) if tag == "mover" else copy


def _hat(over: Element) -> Element:
    """A hat or tilde with the character that the font draws as one: small, or as wide as what is below it."""
    mark = over[1]
    small = over.get("accent") == "true" or mark.get("stretchy") == "false"
    if mark.text in ("^", "~"):
        over[1] = Element("mo", {"stretchy": "false"} if small else {})
        over[1].text = _HATS[mark.text, small]
        over.set("accent", "true")
    return over


def _leaf(element: Element) -> Element:
    """One letter, number, sign, text or space."""
    text = _text(element)
    attributes = dict(element.attrib)
    style = attributes.pop("mathvariant", None)
    tag = element.tag
    if tag == "mo" and len(text) > 1 and text.isalpha():
        tag = "mi"
    elif tag == "mi" and text in _SIGNS:
        tag = "mo"
    if tag == "mi" and style == "normal":
        attributes["mathvariant"] = "normal"
    if attributes.get("fence") == "true" and text not in ("|", "‖", ""):
        attributes = {}
    leaf = Element(tag, attributes)
    leaf.text = _styled(text, _STYLES[style]) if style in _STYLES else text
    return leaf


def _styled(text: str, firsts: dict[str, int]) -> str:
    """The characters that Unicode has for bold or double-struck letters and digits."""
    for first, last in ("AZ", "az", "09"):
        if all(first <= character <= last for character in text):
            return "".join(chr(firsts[first] + ord(character) - ord(first)) for character in text)
    return text


def _joined(children: list[Element]) -> list[Element]:
    """Upright letters side by side are one name."""
    joined: list[Element] = []
    for child in children:
        if joined and _upright(child) and _upright(joined[-1]):
            joined[-1].text = (joined[-1].text or "") + (child.text or "")
        else:
            joined.append(child)
    for child in joined:
        if _upright(child) and len(child.text or "") > 1:
            del child.attrib["mathvariant"]
    return joined


def _spaced(children: list[Element]) -> list[Element]:
    """A thin space between a name, such as that of a function, and what it is written next to."""
    spaced: list[Element] = []
    for child in children:
        if spaced and (_name(spaced[-1]) or _name(child)) and not (_sign(spaced[-1]) or _sign(child)):
            spaced.append(Element("mspace", width="0.17em"))
        spaced.append(child)
    return spaced


def _name(element: Element) -> bool:
    return element.tag == "mi" and len(element.text or "") > 1


def _sign(element: Element) -> bool:
    """Whether the element is an operator, a fence, a space, or begins with one."""
    first = element[0] if element.tag == "mrow" and len(element) else element
    return first.tag in ("mo", "mspace", "mtext")


def _upright(element: Element) -> bool:
    return element.tag == "mi" and element.get("mathvariant") == "normal"
