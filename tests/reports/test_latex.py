"""The list of macros, and the count of what a formula must show."""

import pytest

from growproof.reports.latex import ink


@pytest.mark.parametrize(
    ("latex", "named"),
    [
        (r"\foo{x}", r"\foo"),
        (r"a \href{x}{y}", r"\href"),
        (r"\begin{tikzpicture}x\end{tikzpicture}", "tikzpicture"),
        ("50 % of x", "%"),
        (r"\text{50 \%}", r"\text"),
        (r"\frac{1}{2", "unbalanced"),
        ("x ∈ y", "∈"),
    ],
)
def test_refusals_name_what_is_refused(latex: str, named: str) -> None:
    with pytest.raises(ValueError) as refusal:
        ink(latex)
    assert named in str(refusal.value)


def test_shapes_are_counted() -> None:
    shown = ink(r"\hat{p}_{1}^{T} \frac{1}{\sqrt{k}} \left[\begin{matrix}a & b\\c & d\end{matrix}\right]")
    assert (shown.fractions, shown.roots, shown.scripts, shown.accents) == (1, 1, 2, 1)
    assert (shown.rows, shown.cells) == (2, 4)


def test_a_left_dot_draws_nothing() -> None:
    assert ink(r"\left. x\right|").characters == ink("x |").characters
