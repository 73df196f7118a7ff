"""What a page says before and after its sections: what it shows, and what has to be believed."""

from .view import Math, Text

INTRO: tuple[Text, ...] = (
    "An expansion makes a transformer bigger. This page shows which expansions leave every output as it was, "
    "for all sizes at once, and which do not.",
    (
        "Rows are tokens: a layer maps ",
        Math("X"),
        " to ",
        Math(r"X + \operatorname{attention}(X)"),
        " and adds ",
        Math(r"\operatorname{MLP}"),
        " of that. A hat marks the grown model. Each goal says that a piece of the grown model does on the grown "
        "stream what the old piece does on the old one.",
    ),
    "proved: derived by a small checked kernel, every line below replayed by it. refuted: numbers that meet the "
    "constraints and change the output, replayed in numpy. undecided: neither.",
)

TRUST: tuple[Text, ...] = (
    "The rules of the kernel, listed below, and the code that applies them at a place in a formula.",
    "sympy's constructors of matrix expressions and its arithmetic of scalars: polynomials and roots of sizes.",
    "That the architecture's formulas and the variant's rewrites, printed in each goal, say what is meant.",
    "Arithmetic is that of the real numbers; rounding is measured, not proved.",
    "Where a norm has no epsilon, no row that it sees is zero.",
    "Numbers in tables are evidence for the sizes and seeds shown, and never a proof.",
)
