"""What the paper gets wrong or leaves open, found by running the checks on variants of its own theorems.

Each finding edits the constraints or the rewrites of a catalogue file, as the paper's other sentences
would have them, and lets the verdict speak.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..numeric.blocks import ZEROS, hidden_blocks, random_fill
from ..numeric.expansions import hidden_expansion
from ..numeric.forward import transformer
from ..numeric.model import Model, random_model, random_rows
from ..symbolic.architecture import PRESETS
from ..symbolic.terms import scalar
from ..symbolic.variant import Variant, load, loads
from .check import Answer, check
from .statement import Formula, Sentence, equation


@dataclass(frozen=True)
class Finding:
    """A sentence about the paper and the answers, or the measurement, that show it."""

    id: str
    about: str  # the catalogue's name of the expansion in question
    title: Sentence
    text: Sentence
    answers: tuple[Answer, ...] = ()
    measured: tuple[str, ...] = ()


def edited(
    variant: Variant, name: str, constraints: Mapping[str, str], rewrite: Mapping[str, str] | None = None
) -> Variant:
    """A variant with other constraints and further rewrites, by way of its text."""
    before, _, _ = variant.text.partition("[constraints]")
    lines = [f'{left} = "{right}"' for left, right in (rewrite or {}).items()]
    lines += ["", "[constraints]", *(f'"{left}" = "{right}"' for left, right in constraints.items())]
    text = before.replace(f'name = "{variant.name}"', f'name = "{name}"').rstrip() + "\n" + "\n".join(lines) + "\n"
    return loads(text, f"{variant.name}, edited")


WRITERS = {"M_W_l2": "0", "M_b_l2": "0", "M_W_O": "0"}


def constraints_of(answer: Answer) -> list[Formula]:
    """The constraints of an answer's one variant, as formulas."""
    return [equation(left, right) for left, right in answer.parts[0].steps[0].constraints]


def findings(seed: int = 0) -> Iterator[Finding]:
    """The findings, in the order of the paper's text."""
    hidden, attention = load("hidden-expansion"), load("attention-expansion")
    paper, with_eps = PRESETS["paper"], PRESETS["paper-eps"]
    table = edited(hidden, "Table 1 as printed", {"M_P": "0", **WRITERS, "M_g_MHA": "0", "M_g_MLP": "0"})
    yield Finding(
        "table-1",
        "hidden-expansion",
        ("Table 1 is false as printed for the hidden dimension",),
        (
            "Its column of constraints leaves out the new columns of the input, which equation 37 has, and adds "
            "the norm gains, which no equation has. With those constraints the output can change; theorem 3.5, "
            "proved above, constrains no gain.",
        ),
        (check([table], paper, seed),),
    )
    columns = edited(hidden, "Embedding extended with random columns", {"M_P": "0", **WRITERS})
    yield Finding(
        "random-embedding-columns",
        "hidden-expansion",
        ("Random new columns of the embedding change the function",),
        ("The sentence after equation 32 extends an embedding table with random columns, against equation 37.",),
        (check([columns], paper, seed),),
    )
    both = check([edited(hidden, "Input and positions cancel", {"M_I + M_P": "0", **WRITERS})], paper, seed)
    yield Finding(
        "input-and-positions-cancel",
        "hidden-expansion",
        (constraints_of(both)[0], " is enough for the input"),
        (
            "Neither block needs to be zero: an embedding may have random new columns if the positions take them "
            "away again.",
        ),
        (both,),
    )
    equations = {"M_P": "0", **WRITERS, "M_I": "0"}
    name = "Hidden dimension expansion with its epsilon repaired"
    repaired = check([edited(hidden, name, equations, {"eps": "eps*h/h_hat"})], with_eps, seed)
    repair = equation(scalar("eps_hat"), repaired.parts[0].steps[0].new.eps)
    yield Finding(
        "epsilon",
        "hidden-expansion",
        ("An epsilon in the norm breaks theorem 3.5, and ", repair, " repairs it"),
        (
            "Equation 5 has no epsilon; implementations do. The wider norm divides the sum of squares by the new "
            "width; the gains undo that for the squares, but not for the epsilon.",
        ),
        (check([hidden], with_eps, seed), repaired),
        tuple(epsilon_at(scale, seed) for scale in (1.0, 0.1, 0.01)),
    )
    yield Finding(
        "zero-row",
        "hidden-expansion",
        ("Without an epsilon a zero row divides 0 by 0",),
        ("Theorem 3.5 and all others silently assume that no row that a norm sees is zero.",),
        measured=(zero_row(),),
    )
    queries = check([edited(attention, "Attention expansion, zero queries", {"M_W_Q": "0"})], paper, seed)
    weakest = check([edited(attention, "Attention expansion, zero product", {"M_W_Q*M_W_K'": "0"})], paper, seed)
    yield Finding(
        "minimal",
        "attention-expansion",
        ("The theorems' zeros are irredundant, but neither the only ones nor the weakest condition",),
        (
            "Each constraint dropped alone gives a counterexample (see the sections above). In 3.4, ",
            *constraints_of(queries),
            " does as well, and ",
            *constraints_of(weakest),
            " is enough.",
        ),
        (queries, weakest),
    )


def epsilon_at(scale: float, seed: int) -> str:
    """The hidden expansion with an epsilon, on inputs of some size: how far the outputs are apart, relatively."""
    rng, eps = np.random.default_rng(seed), 1e-6
    model = random_model(rng, s=8, h=16, o=4, p=[32, 32], heads=[[(4, 4)] * 2] * 2)
    small = replace(model, P=scale * model.P)
    I = scale * random_rows(rng, model.s, model.h, np.float64)
    blocks = hidden_blocks(small, 4 * model.h, random_fill(rng, ZEROS["hidden-expansion"], np.float64))
    grown, I_hat = hidden_expansion(small, I, blocks)
    before = transformer(small, I, eps)
    kept, repaired = (
        float(abs(transformer(grown, I_hat, eps_hat) - before).max() / abs(before).max())
        for eps_hat in (eps, eps * model.h / grown.h)
    )
    return (
        f"numpy, eps = 1e-6, h = {model.h} to {grown.h}, inputs of size {scale:g}: the outputs change by "
        f"{kept:.1e} of the largest; with the epsilon repaired by {repaired:.1e}."
    )


def zero_row() -> str:
    """What numpy says about a zero row without an epsilon, and with one."""
    rng = np.random.default_rng(0)
    model = random_model(rng, s=2, h=3, o=2, p=[2], heads=[[(1, 1)]])
    I = random_rows(rng, 2, 3, np.float64)
    I[1] = -model.P[1]
    with_eps = np.isfinite(transformer(model, I, 1e-6)).all()
    return f"numpy, second row of I + P zero, eps = 0: {refusal(model, I)}; eps = 1e-6: " + (
        "finite outputs" if with_eps else "no finite outputs"
    )


def refusal(model: Model, I: np.ndarray) -> str:
    try:
        transformer(model, I)
    except ValueError as error:
        return str(error)
    return "no error"
