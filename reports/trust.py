"""What a page says before and after its sections: what it shows, and what has to be believed."""

from ..symbolic.preset import Preset
from .view import Math, Text

X, MLP, SUM = Math("X"), Math(r"\operatorname{MLP}"), Math(r"X + \operatorname{attention}(X)")
SIDE_BY_SIDE = Math(r"X + \operatorname{attention}(X) + \operatorname{MLP}(X)")


def intro(preset: Preset) -> tuple[Text, ...]:
    """What a page about an architecture shows, and how to read it."""
    return (
        "An expansion makes a transformer bigger. This page shows which expansions leave every output as it was, "
        "for all sizes at once, and which do not.",
        (
            "Rows are tokens: a layer maps ",
            *a_layer(preset),
            ". A hat marks the grown model. Each goal says that a piece of the grown model does on the grown "
            "stream what the old piece does on the old one.",
        ),
        *([] if preset.name == "paper" else [f"The architecture is {preset.name}. {preset.description}."]),
        "proved: derived by a small checked kernel, every line below replayed by it. refuted: numbers that meet the "
        "constraints and change the output, replayed in numpy. undecided: neither.",
    )


def a_layer(preset: Preset) -> tuple[str | Math, ...]:
    """What a layer does with its stream."""
    if preset["parallel"]:
        return X, " to ", SIDE_BY_SIDE
    if preset["placement"] == "post":
        return X, " to the norm of ", SUM, ", adds ", MLP, " of that, and takes the norm again"
    return X, " to ", SUM, " and adds ", MLP, " of that"


TRUST: tuple[Text, ...] = (
    "The rules of the kernel, listed below, and the code that applies them at a place in a formula.",
    "sympy's constructors of matrix expressions and its arithmetic of scalars: polynomials and roots of sizes.",
    "That the architecture's formulas and the variant's rewrites, printed in each goal, say what is meant.",
    "Arithmetic is that of the real numbers; rounding is measured, not proved.",
    "Where a norm has no epsilon, no row that it sees is zero.",
    "Numbers in tables are evidence for the sizes and seeds shown, and never a proof.",
)
