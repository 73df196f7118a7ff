"""The page that the tests look at: one of everything that a page can show."""

from collections.abc import Iterator
from typing import Any

import pytest
from chromium import launched

from growproof.reports.view import (
    Cell,
    Condition,
    Constraint,
    Counterexample,
    Finding,
    Goal,
    Initialiser,
    Math,
    NumericRow,
    Page,
    Picture,
    Section,
    Start,
    Step,
    Value,
)

W1, B1, W2 = "W_{l1}", "b_{l1}", "W_{l2}"
M1, MB, M2 = "M_{W_{l1}}", "M_{b_{l1}}", "M_{W_{l2}}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as chromium:
        yield chromium


def row(*cells: str) -> str:
    return r"\left[\begin{matrix}" + " & ".join(cells) + r"\end{matrix}\right]"


def column(*cells: str) -> str:
    return r"\left[\begin{matrix}" + r"\\".join(cells) + r"\end{matrix}\right]"


def relu(inner: str) -> str:
    return rf"\operatorname{{ReLU}}\left({inner}\right)"


def old(latex: str) -> Cell:
    return Cell(latex, "old")


OUTSIDE = r"+ 1_{s} b_{l2}"
INNER = f"X {W1} + 1_{{s}} {B1}"
NEW = f"X {M1} + 1_{{s}} {MB}"
GROWN = relu(f"X {row(W1, M1)} + 1_{{s}} {row(B1, MB)}") + " " + column(W2, M2) + OUTSIDE
SPLIT = relu(row(INNER, NEW)) + " " + column(W2, "0") + OUTSIDE
APART = row(relu(INNER), relu(NEW)) + " " + column(W2, "0") + OUTSIDE
PRODUCT = f"{relu(INNER)} {W2} + {relu(NEW)} 0 {OUTSIDE}"
PLAIN = f"{relu(INNER)} {W2} {OUTSIDE}"

COUNTEREXAMPLE = Counterexample(
    sizes=(("s", "1"), ("h", "2"), ("p", "1"), (r"\hat{p}", "2")),
    parameters=(
        (W1, column("1", "0")),
        (B1, "0"),
        (W2, row("1", "1")),
        (M1, column("0", "1")),
        (MB, "1"),
        (M2, row("0", r"\frac{1}{2}")),
    ),
    input=row("1", "2"),
    intermediates=(
        Value("X", row("1", "2"), row("1", "2"), False),
        Value(INNER, row("1"), row("1", "3"), False),
        Value(r"\operatorname{MLP}(X)", row("1", "1"), row("1", r"\frac{5}{2}"), True),
    ),
    original=row("2", "3"),
    expanded=row("2", r"\frac{9}{2}"),
    difference=("the output changes by ", Math(r"\frac{3}{2}")),
    first_divergence=("The models part at ", Math(r"\operatorname{MLP}(X)"), ", column 2."),
    replay="Replayed by numpy in float64: largest difference 1.5.",
)

INITIALISER = Initialiser(
    verdict="The constraints are sufficient, each is needed, and they are not the weakest condition.",
    bounded=("z3 at s = 2: they leave ", Math(M1), " free to be other than zero."),
    in_force="; A = B in force",
    enough=(Start((Math(f"{M2} = 0"),)), Start((Math(f"{M1} = 0"), ", ", Math(f"{MB} = 0")))),
    not_enough=(Start((Math(M1), ", ", Math(M2)), COUNTEREXAMPLE), Start((Math(MB), ", ", Math(M2)))),
    open=("z3 gave up within its limits: a query",),
    conditions=(
        Condition("MLP", (f"{relu(f'Y {M1} + 1_{{s}} {MB}')} {M2} = 0",), ("for every ", Math("Y")), "Sufficient."),
    ),
    learning=((M2, "at step 1", "a derivative in numpy"), (M1, "never", "proved"), (MB, "undecided", "unknown")),
    blocks=(M1, MB, M2),
    explorer=(
        '{"blocks": ["M_W_l1", "M_b_l1", "</script><b>"], "given": [2], "enough": [[2], [0, 1]],'
        ' "notEnough": [[1], [0]], "still": [[[2], [0, 1]], [[2], [0, 1]], [[0, 1]]]}'
    ),
)

RULES = (
    (
        "elementwise enters blocks",
        "───────────────────────────────\nf([A B]) = [f(A) f(B)]",
    ),
    (
        "block product",
        "A: m×n, B: m×q, C: n×r, D: q×r\n───────────────────────────────\n[A B][C; D] = A C + B D",
    ),
    ("zero annihilates", "A: m×n\n──────────────\nA 0(n,r) = 0(m,r)"),
)

STEPS = (
    Step("block product", ("over the columns of ", Math(row(W1, M1))), GROWN, SPLIT),
    Step("elementwise enters blocks", (Math(r"\operatorname{ReLU}"), " acts entry by entry"), SPLIT, APART),
    Step("block product", "a row of blocks times a column of blocks", APART, PRODUCT),
    Step("zero annihilates", ("by the constraint ", Math(f"{M2} = 0")), PRODUCT, PLAIN),
)

NUMERIC = (
    NumericRow(
        "float64",
        "12 layers, h = 256",
        "MLP expansion, all layers",
        3.1e-15,
        2.0,
        4.4e-12,
        7.0e-4,
        False,
        True,
    ),
    NumericRow("float32", "12 layers, h = 256", "MLP expansion, all layers", 1.7e-6, 3.0, 2.4e-3, 7.1e-4, False, True),
    NumericRow("bfloat16", "2 layers, h = 16", "MLP expansion, one layer", 0.0, 0.0, 1.2, 0.0, False, True),
    NumericRow("float64", "2 layers, h = 16", (Math(M2), " random"), 1.92, 8.6e15, 4.4e-13, 4.4e12, True, True),
)

MLP = Section(
    id="mlp-expansion",
    title="MLP expansion",
    source="arXiv:2308.06103, Definition 3.1 and Theorem 3.1",
    description=(
        "The hidden layer of every MLP grows from ",
        Math("p"),
        " to ",
        Math(r"\hat{p}"),
        " columns.",
    ),
    verdict="proved",
    statement=(
        (
            "For all sizes ",
            Math(r"s, h, p \geq 1"),
            " and ",
            Math(r"\hat{p} > p"),
            ", all parameters and all inputs:",
        ),
        ("if ", Math(f"{M2} = 0"), ", then the expanded model's output equals the old one's."),
    ),
    assumptions=(
        "Real arithmetic.",
        ("No row of ", Math("X"), " is zero, because the norm has no ", Math(r"\varepsilon"), "."),
    ),
    pictures=(
        Picture(W1, ((old(W1), Cell(M1, "free")),), ("h",), ("p", r"\hat{p} - p")),
        Picture(B1, ((old(B1), Cell(MB, "free")),), ("1",), ("p", r"\hat{p} - p")),
        Picture(W2, ((old(W2),), (Cell(r"M_{W_{l2}} = 0", "zero"),)), ("p", r"\hat{p} - p"), ("h",)),
    ),
    goals=(Goal(("The MLP of a generic layer, for all ", Math("X")), GROWN, PLAIN, STEPS),),
    constraints=(
        Constraint(
            f"{M2} = 0",
            "sufficient, irredundant",
            COUNTEREXAMPLE,
        ),
    ),
    initialiser=INITIALISER,
    numeric=NUMERIC,
    sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    certificate_json='{"variant": "name = \\"</script><b>\\"", "format": 1}',
    variant_text='name = "MLP expansion"\n\n[grows]\np = "p_hat"\n\n[constraints]\nM_W_l2 = "0"\n',
)

SQUARE = r"\left[\begin{matrix}a & b\\c & d\\e & f\\g & h\end{matrix}\right]"
ROOT = r"\frac{\sqrt{\hat{k}}}{\sqrt{k}}"

ATTENTION = Section(
    id="attention-expansion",
    title="Attention expansion",
    source="arXiv:2308.06103, Definition 3.4 and Theorem 3.4",
    description="Queries and keys grow.",
    verdict="proved",
    statement=(("For all sizes and all inputs the head ", Math("H_{e}"), " is unchanged."),),
    pictures=(
        Picture("W_{Q}", ((old("W_{Q}"), Cell("M_{W_{Q}}", "free")),), ("h",), ("k", r"\hat{k} - k")),
        Picture(
            "W_{K}",
            ((old(rf"{ROOT} W_{{K}}"), Cell("M_{W_{K}} = 0", "zero")),),
            ("h",),
            ("k", r"\hat{k} - k"),
        ),
    ),
    goals=(
        Goal(
            "The scores of a generic head",
            rf"\operatorname{{softmax}}\left(\frac{{1}}{{\sqrt{{\hat{{k}}}}}} X {row('W_{Q}', 'M_{W_{Q}}')} "
            rf"{column(ROOT + ' W_{K}^{T}', '0')} X^{{T}}\right) X W_{{V}}",
            r"\operatorname{softmax}\left(\frac{1}{\sqrt{k}} X W_{Q} W_{K}^{T} X^{T}\right) X W_{V}",
            (
                Step(
                    "block product",
                    "inside the softmax",
                    rf"{row('W_{Q}', 'M_{W_{Q}}')} {column(ROOT + ' W_{K}^{T}', '0')}",
                    rf"{ROOT} W_{{Q}} W_{{K}}^{{T}}",
                ),
            ),
        ),
        Goal("The sum over heads", r"\sum_{e=1}^{E} H_{e} W_{O,e}", "H W_{O}", ()),
    ),
    numeric=NUMERIC[:1],
    certificate_json='{"format": 1, "variant": "two"}',
)

WRONG = Section(
    id="wrong",
    title="My variant <script>alert(1)</script>",
    source="variants/mine & yours.toml",
    description="A description with <b>markup</b>.",
    verdict="refuted",
    statement=("The outputs are equal.",),
    counterexample=COUNTEREXAMPLE,
    residual=(f"{relu(NEW)} {M2} = 0",),
    variant_text='name = "<script>alert(1)</script>"\n',
)

FINDING = Finding(
    id="table-1",
    title="Table 1, taken literally, is refuted",
    text=(
        ("The constraint column of Table 1 leaves out ", Math("M_{I}"), ", which equation 37 has."),
        "With it free the output changes.",
    ),
    marks=("refuted",),
    formulas=("M_{I} + M_{P} = 0", SQUARE),
    counterexample=COUNTEREXAMPLE,
    numeric=NUMERIC[:2],
    link="mlp-expansion",
)

PAGE = Page(
    title="Six ways to grow a transformer, proved",
    intro=(
        "Every expansion below is stated, pictured, derived and measured.",
        ("A hat marks a grown size: ", Math(r"p \to \hat{p}"), "."),
    ),
    sections=(MLP, ATTENTION, WRONG),
    findings=(FINDING,),
    rules=RULES,
    trust=("The rules of the kernel.", "The constructors of sympy."),
    seconds=4.21,
)


@pytest.fixture(scope="session")
def page() -> Page:
    return PAGE
