"""What the letters of the course mean: the architecture, written out from its one definition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...proofs.rules import norm_definition
from ...symbolic.architecture import (
    PRESETS,
    SUBLAYERS,
    Transformer,
    embedding,
    norm,
    output,
    paper_model,
    parameters,
    stream,
    transformer_layer,
)
from ...symbolic.meaning import COUNTS, OWNERS
from ...symbolic.notation import latex, name_latex
from ..derivation import by_name
from ..view import Math

SIZES = {
    "s": "the number of tokens",
    "h": "the width of the stream",
    "p": "the number of hidden units of an MLP",
    "k": "the width of queries and keys",
    "v": "the width of values",
    "o": "the width of the output",
    **COUNTS,
}
SIGNS: tuple[tuple[str | Math, str], ...] = (
    ("[A, B]", "A with B on its right: as many rows in both"),
    ("[A; B]", "A with B below it: as many columns in both"),
    ("A'", "A transposed; in formulas with a T"),
    (Math(r"\hat{k}"), "a size after growing, typed k_hat"),
    ("M_W_K", "a new block, here the one beside W_K: anything that the constraints allow"),
    ("0", "zeros, as many as fit"),
    (Math(r"\mathbf{1}_{s}"), "a column of s ones: it repeats a row of biases for every token"),
    (Math(r"D_{n}\left(G\right)"), "the diagonal matrix of 1/sqrt(G_ii/n): its product with X divides each row of X"),
    (Math(r"\operatorname{diag}\left(g\right)"), "the diagonal matrix of a row: a product with it multiplies columns"),
    (Math(r"\sum_{e}"), "the sum over all heads; every head has matrices of its own"),
    ("?a", "what an exercise asks for"),
)


@dataclass(frozen=True)
class Notation:
    """Equations with what each is, parameters with their sizes and owner, sizes, and signs."""

    equations: tuple[tuple[str, str], ...]
    parameters: tuple[tuple[str, str, str], ...]
    sizes: tuple[tuple[str, str], ...]
    signs: tuple[tuple[str | Math, str], ...]


def notation() -> Notation:
    """The paper's architecture.

    >>> notation().equations[0]
    ('The stream begins with', 'X = I + P')
    """
    preset = PRESETS["paper"]
    owned = (
        (name_latex(one.name), rf"{one.rows} \times {one.columns}", OWNERS[one.scope])
        for one in parameters(preset).values()
    )
    return Notation(tuple(equations(paper_model(preset))), tuple(owned), tuple(SIZES.items()), SIGNS)


def equations(model: Transformer) -> Iterator[tuple[str, str]]:
    """The forward pass from the input to the output, in LaTeX."""
    X, layer = stream(model), model.layer
    sublayers = {name: sublayer(X, layer, model) for name, sublayer in SUBLAYERS.items()}
    names = tuple((term, X, rf"\operatorname{{{name}}}") for name, term in sublayers.items())
    yield "The stream begins with", f"X = {latex(embedding(model))}"
    yield "Each of the N layers makes of it", latex(by_name(transformer_layer(X, layer, model), names))
    for name, term in sublayers.items():
        yield f"where {name} is", rf"\operatorname{{{name}}}\left(X\right) = {latex(term)}"
    read = norm(X, "MHA", layer.weights, model)
    opened = norm_definition(read)
    assert opened is not None
    yield "A norm divides each row by the root of its mean square", f"{latex(read)} = {latex(opened)}"
    yield "The output is, after the last layer", latex(output(X, model))
