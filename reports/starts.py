"""From a study of the constraints to the view: starts that suffice or not, conditions, what learns, the explorer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ..proofs.bounded import Bounded
from ..proofs.constraints import Constraints
from ..proofs.lattice import Sorted, Subset
from ..proofs.liveness import Liveness
from ..proofs.statement import formula
from ..proofs.weakest import Weakest
from ..symbolic.notation import latex, name_latex
from .initialiser import (
    NORMALISED,
    condition_latex,
    in_force,
    necessity_sentence,
    sizes_sentence,
    verdict_text,
)
from .sections import constraint_of, shown, text_of
from .view import Condition, Initialiser, Math, Section, Start, Text


def with_study(section: Section, found: Constraints, standstill: Mapping[str, Sorted] | None) -> Section:
    """A section with each constraint's purpose, and with what the initialiser may do."""
    purposes = tuple(constraint_of(found.claim, dropped) for dropped in found.dropped)
    return replace(section, constraints=purposes, initialiser=initialiser(found, standstill))


def initialiser(found: Constraints, standstill: Mapping[str, Sorted] | None) -> Initialiser:
    """The view of a study; `standstill` feeds the explorer, which is left out without it."""
    sets = found.study.sorted
    return Initialiser(
        verdict=f"{verdict_text(found)[0].upper()}{verdict_text(found)[1:]}.",
        bounded=bounded_text(found.bounded) if found.bounded is not None else "",
        in_force=in_force(found),
        enough=tuple(Start(chosen(found, subset)) for subset in sets.sufficient),
        not_enough=tuple(
            Start(left(found, subset), shown(witness) if witness is not None else None)
            for subset, witness in found.study.witnesses.items()
        ),
        open=tuple(open_sets(found)),
        conditions=tuple(conditions(found.weakest)),
        learning=tuple(learning(found.liveness)),
        blocks=tuple(name_latex(choice.label) for choice in found.study.choices),
        explorer=json.dumps(explorer(found, standstill)) if standstill is not None else "",
    )


def bounded_text(found: Bounded) -> Text:
    """What z3 says about the constraints at small sizes."""
    sizes = text_of(tuple(sizes_sentence(found.sizes)))
    broken = "no numbers that meet them break a square" if found.sufficient else "not every square is closed"
    free = in_a_row(map(name_latex, found.free))
    rest: tuple[str | Math, ...] = ("they force every new block to zero",)
    if free:
        rest = ("they leave ", *free, " free to be other than zero")
    rest = rest if found.nonzero else ("there is no new block",)
    return ("At ", *as_parts(sizes), f" z3 says: {broken}; ", *rest, ".")


def chosen(found: Constraints, subset: Subset) -> Text:
    """The equations of a set of choices; a block that is zero by an equation for its declared name."""
    return in_a_row(choice_latex(found, i) for i in sorted(subset)) or "nothing more"


def left(found: Constraints, subset: Subset) -> Text:
    """The blocks that a set leaves free."""
    names = (choice.label for i, choice in enumerate(found.study.choices) if i not in subset)
    return in_a_row(map(name_latex, names)) or "nothing, and still"


def in_a_row(formulas: Iterable[str]) -> tuple[str | Math, ...]:
    """Formulas with commas between them."""
    return tuple(part for latex in formulas for part in (", ", Math(latex)))[1:]


def choice_latex(found: Constraints, i: int) -> str:
    choice = found.study.choices[i]
    if choice.text == f"{choice.label} = 0":
        return f"{name_latex(choice.label)} = 0"
    (first, second), *_ = choice.pairs
    return f"{latex(first)} = {latex(second)}"


def open_sets(found: Constraints) -> Iterator[Text]:
    sets = found.study.sorted
    yield from ((*as_parts(chosen(found, subset)), ": neither proved nor refuted") for subset in sets.undecided)
    yield from (
        (*as_parts(chosen(found, subset)), ": cannot be met, says z3 at small sizes") for subset in sets.unsatisfiable
    )
    yield from (f"z3 gave up within its limits: {answer.query.name}" for answer in found.unknown)
    if sets.unexplored:
        yield "A limit was reached before every set was looked at."


def as_parts(text: Text) -> tuple[str | Math, ...]:
    return (text,) if isinstance(text, str) else text


def conditions(found: Weakest | None) -> Iterator[Condition]:
    for one in found.conditions if found is not None and found.sufficient else ():
        yield Condition(
            one.square,
            condition_latex(one),
            ("for every normalised stream ", Math(formula(NORMALISED).latex)) if one.for_all_inputs else "",
            ("Sufficient, proved for all sizes; ", *text_of(necessity_sentence(one)), "."),
        )


def learning(found: Liveness) -> Iterator[tuple[str, Text, Text]]:
    """Every new block in the order in which it moves."""
    last = max((step for step in found.first.values() if step is not None), default=0) + 1
    for name, step in sorted(found.first.items(), key=lambda entry: entry[1] or last):
        yield (name_latex(name), *when(found, name, step))


def when(found: Liveness, name: str, step: int | None) -> tuple[Text, Text]:
    if name in found.undecided:
        by = "undecided" if step is None else f"by step {step}"
        return by, "numpy sees no gradient before, and the prover cannot rule one out"
    if step is None:
        return "never", "no gradient to first order in any reachable state, proved"
    seen = "a derivative in numpy at random parameters"
    return f"at step {step}", seen if step == 1 else f"no gradient before, proved; then {seen}"


def explorer(found: Constraints, standstill: Mapping[str, Sorted]) -> dict[str, object]:
    """Every start at once: which zeros preserve the function, which do not, and under which each block stands still."""
    sets = found.study.sorted
    return {
        "blocks": [choice.label for choice in found.study.choices],
        "given": sorted(found.study.given),
        "enough": [sorted(subset) for subset in sets.sufficient],
        "notEnough": [sorted(subset) for subset in found.study.witnesses],
        "still": [[sorted(subset) for subset in standstill[c.label].sufficient] for c in found.study.choices],
    }
