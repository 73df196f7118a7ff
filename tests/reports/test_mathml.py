"""The gate: what comes out shows all that went in, or nothing comes out."""

from pathlib import Path
from xml.etree.ElementTree import SubElement, fromstring

import pytest
import sympy

import growproof.reports
from growproof.reports import mathml as module
from growproof.reports.latex import ACCENTS, DRAWN, FONTS, SPACES, ink
from growproof.reports.mathml import check, mathml

FORMULAS = (
    r"\left[\begin{matrix}W_{l1} & M_{W_{l1}}\\0 & \frac{1}{2}\end{matrix}\right]",
    r"\operatorname{softmax}\left(\frac{1}{\sqrt{k}} X W_{Q,e} W_{K,e}^{T} X^{T}\right) X W_{V}",
    r"\frac{\sqrt{\hat{k}}}{\sqrt{k}} \widehat{W}_{K}^{\top}",
    r"\sum_{e=1}^{E} H_{e} W_{O}^{(e)}",
    r"\left|{\hat{h}}\right| \geq \left\Vert x\right\Vert",
    r"\mathbf{0}_{m \times n} + \mathbb{1}_{s} b - \mathbb{I}_{h}",
    r"\text{for all } s, h \geq 1",
    r"\mathit{eps} \mathrm{ReLU}(X) \mathcal{X}'",
    r"\sqrt[3]{x} - 0.25 x''",
    r"\begin{array}{cc}a & b\\c & d\end{array} \begin{cases}a & b\\c & d\end{cases}",
    r"\left\{a : \left. b\right|_{c}\right\} / 2",
    "{}^{T}",
    r"g_{\mathrm{MHA}} + M_{W_{\mathrm{out}}}^{(2)}",
    r"\operatorname{Norm}_{g_{\mathrm{MHA}}}\left(X\right) W_{\mathrm{out}} \mathrm{a}b",
)


@pytest.mark.parametrize("latex", FORMULAS)
@pytest.mark.parametrize("display", [False, True])
def test_formulas_are_drawn_and_parse(latex: str, display: bool) -> None:
    drawn = mathml(latex, display)
    assert fromstring(drawn).tag == "math"
    assert "\\" not in drawn
    assert "mathvariant" not in drawn.replace('mathvariant="normal"', "").replace('mathvariant="italic"', "")


@pytest.mark.parametrize("macro", sorted(DRAWN.keys() - ACCENTS.keys()))
def test_every_listed_sign_is_drawn(macro: str) -> None:
    assert mathml(rf"a {macro} b")


@pytest.mark.parametrize("macro", sorted(ACCENTS.keys() | FONTS))
def test_every_listed_accent_and_font_is_drawn(macro: str) -> None:
    assert mathml(rf"{macro}{{W}}_{{1}}")


@pytest.mark.parametrize("space", sorted(SPACES))
def test_every_listed_space_is_drawn(space: str) -> None:
    assert "<ms" in mathml(rf"a{space} b") or "<mtext" in mathml(rf"a{space} b")


def test_unknown_macros_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"\\foo"):
        mathml(r"W_{l1}^{T} \foo{x}")


@pytest.mark.parametrize("latex", [r"a \\ b", "2em", r"\frac{1}", r"\left( a", "a & b"])
def test_malformed_formulas_are_refused(latex: str) -> None:
    with pytest.raises(ValueError):
        mathml(latex)


@pytest.mark.parametrize("tag", ["mi", "mn", "mo", "mfrac", "msqrt", "msub", "msup", "mtd", "mtr"])
def test_a_drawing_that_lost_a_piece_is_caught(tag: str) -> None:
    latex = r"\left[\begin{matrix}\frac{1}{2} & \sqrt{k}\\x_{1} & y^{2}\end{matrix}\right] + z"
    drawing = fromstring(mathml(latex))
    check(latex, ink(latex), drawing)
    parent, child = next((above, below) for above in drawing.iter() for below in above if below.tag == tag)
    parent.remove(child)
    with pytest.raises(ValueError, match=r"lost|shapes"):
        check(latex, ink(latex), drawing)


def test_a_drawing_that_gained_a_piece_is_caught() -> None:
    drawing = fromstring(mathml("x + y"))
    SubElement(drawing, "mi").text = "z"
    with pytest.raises(ValueError, match="gained"):
        check("x + y", ink("x + y"), drawing)


def test_a_converter_that_drops_a_token_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    careless = fromstring("<math><mi>a</mi></math>")
    monkeypatch.setattr(module, "convert_to_element", lambda latex, display: careless)
    with pytest.raises(ValueError, match="lost"):
        mathml("a + dropped")


def test_what_sympy_prints_is_drawn() -> None:
    h, k = sympy.symbols(r"h \hat{k}", positive=True)
    a, b = (sympy.MatrixSymbol(name, h, h) for name in ("A", "M_{W_{Q}}"))
    terms = [
        sympy.BlockMatrix([[a, b], [b.T, sympy.ZeroMatrix(h, h)]]),
        sympy.sqrt(k) / sympy.sqrt(h) * a.T * b,
        sympy.Identity(h) + sympy.HadamardProduct(a, b) - a**-1,
        sympy.Matrix([[1, sympy.Rational(1, 2)], [sympy.sqrt(3), -4]]),
        sympy.Matrix(1, 12, range(12)),
        sympy.KroneckerProduct(a, sympy.OneMatrix(1, h)),
        sympy.Abs(sympy.Symbol("x")) + sympy.Max(h, k),
        sympy.Rational(2, 3) * sympy.exp(h) + k ** sympy.Rational(3, 2),
        sympy.Sum(h, (h, 1, k)),
        sympy.Ge(h, k),
    ]
    for term in terms:
        assert mathml(sympy.latex(term))


def test_every_sign_is_in_the_embedded_font() -> None:
    listed = Path(growproof.reports.__file__).parent / "fonts" / "unicodes.txt"
    known: set[int] = set()
    for line in listed.read_text(encoding="ascii").split():
        first, _, last = line.removeprefix("U+").partition("-")
        known.update(range(int(first, 16), int(last or first, 16) + 1))
    drawn = "".join("".join(fromstring(mathml(latex)).itertext()) for latex in FORMULAS)
    assert {sign for sign in drawn + "".join(DRAWN.values()) if ord(sign) not in known} == set()
