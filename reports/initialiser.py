"""What the initialiser may do, as JSON and as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..proofs.constraints import Constraints
from ..proofs.cross import Second
from ..proofs.kernel import Equation
from ..proofs.lattice import Subset
from ..proofs.liveness import Liveness
from ..proofs.statement import Formula, Sentence, equation, formula, listed, plain
from ..proofs.weakest import Condition, Necessary, Weakest
from ..symbolic.notation import latex, name_latex
from ..symbolic.terms import (
    Expr,
    MatMul,
    MatrixExpr,
    MatrixSymbol,
    RowScale,
    Transpose,
    children,
    matrix,
    product,
    rebuild,
)
from .answers import counterexample_json, matrix_text, sizes_of

FORMAT = "growproof constraints 1"
Json = dict[str, Any]


def constraints_json(found: Constraints, seconds: float) -> Json:
    """The fields of `constraints --json`."""
    variant, sets = found.claim.variants[0], found.study.sorted
    return {
        "format": FORMAT,
        "variant": {"name": variant.name, "source": variant.source, "sha256": variant.sha256},
        "architecture": found.claim.steps[0].old.preset.name,
        **parts_json(found),
        "unexplored": sets.unexplored,
        "unsatisfiable": [labels(found, subset) for subset in sets.unsatisfiable],
        "witnesses": [
            {"choices": labels(found, subset), "counterexample": counterexample_json(witness) if witness else None}
            for subset, witness in found.study.witnesses.items()
        ],
        "queries": [{"name": a.query.name, "file": a.file_name, "verdict": a.verdict} for a in found.answers],
        "seconds": round(seconds, 3),
    }


def parts_json(found: Constraints) -> Json:
    """What is known about the constraints, for one variant or within a report."""
    sets = found.study.sorted
    return {
        "sufficient": found.sufficient,
        "irredundant": found.irredundant,
        "satisfiable": found.satisfiable,
        "free": list(found.bounded.free) if found.bounded is not None else [],
        "minimal_sets": [labels(found, subset) for subset in sets.sufficient],
        "maximal_insufficient": [labels(found, subset) for subset in sets.insufficient],
        "undecided": [labels(found, subset) for subset in sets.undecided],
        "dropped": [
            {"constraint": one.text, "counterexample": one.counterexample and counterexample_json(one.counterexample)}
            for one in found.dropped
        ],
        "weakest": [condition_json(found, part) for part in (found.weakest.conditions if found.weakest else ())],
        "is_weakest": found.is_weakest,
        "liveness": dict(found.liveness.first),
        "liveness_undecided": list(found.liveness.undecided),
    }


def labels(found: Constraints, subset: Subset) -> list[str]:
    return list(found.study.labels(subset))


def condition_json(found: Constraints, condition: Condition) -> Json:
    assert found.weakest is not None
    return {
        "square": condition.square,
        "condition": plain(condition_sentence(condition)),
        "latex": [equation(short(e.left), short(e.right)).latex for e in condition.equations],
        "sufficient": "all sizes" if found.weakest.sufficient else "undecided",
        "necessary": plain(necessity_sentence(condition)),
    }


# ---------------------------------------------------------------- sentences


def condition_sentence(condition: Condition) -> Sentence:
    """The equations of a condition, with every normalised stream written Y."""
    parts: list[str | Formula] = []
    for i, one in enumerate(condition.equations):
        parts += [", " if i else "", equation(short(one.left), short(one.right))]
    return (*parts, *((" for every normalised stream ", formula(NORMALISED)) if condition.for_all_inputs else ()))


NORMALISED = MatrixSymbol("Y", 1, 1)  # only its name is shown


def short(term: Expr) -> Expr:
    """The term with D(X X') X, a stream whose rows are normalised, written Y."""
    if isinstance(term, MatMul):
        return product(*shortened(list(term.args)))
    parts = children(term)
    return rebuild(term, [short(part) for part in parts]) if parts else term


def shortened(factors: list[Expr]) -> Iterator[Expr]:
    while factors:
        first, *rest = factors
        if rest and isinstance(first, RowScale) and isinstance(rest[0], MatrixSymbol):
            yield normalised(rest[0])
            factors = rest[1:]
        elif rest and isinstance(rest[0], Transpose) and isinstance(rest[0].arg, RowScale):
            yield Transpose(normalised(first.arg))
            factors = rest[1:]
        else:
            yield short(first) if first.is_Matrix else first
            factors = rest


def normalised(X: MatrixExpr) -> MatrixSymbol:
    return matrix("Y", X.rows, X.cols)


def necessity_sentence(condition: Condition) -> Sentence:
    """Where z3 finds nothing weaker, with the sizes; and where heads may cancel each other."""
    if condition.is_necessary:
        return ("nothing weaker (z3) at ", *places(condition.necessary))
    weaker = [found for found in condition.necessary if found.answer.verdict == "sat"]
    if weaker and condition.holds_for_one_head:
        alone = [found for found in condition.necessary if found.sizes["E"] == 1]
        several = ("; something weaker does at ", *sizes_sentence({"E": weaker[0].sizes["E"]}), ": heads may cancel")
        return ("nothing weaker (z3) at ", *places(alone), *several)
    said = "; ".join(f"{found.answer.verdict} at {plain(sizes_sentence(found.sizes))}" for found in condition.necessary)
    return (f"whether something weaker does is not decided (z3: {said})",)


def places(found: Sequence[Necessary]) -> Iterator[str | Formula]:
    """The sizes that the places share, and then those in which they differ."""
    shared = {name: n for name, n in found[0].sizes.items() if all(one.sizes[name] == n for one in found)}
    yield from sizes_sentence(shared)
    for i, one in enumerate(found):
        yield " and with " if i else ", with "
        yield from sizes_sentence({name: n for name, n in one.sizes.items() if name not in shared})


def sizes_sentence(sizes: Mapping[str, int]) -> Iterator[str | Formula]:
    """s = 2, h = 1, ..."""
    return listed([Formula(f"{name} = {n}", f"{name_latex(name)} = {n}") for name, n in sizes.items()])


NEEDED = {True: "each is needed", False: "not each is shown to be needed"}
WEAKEST = {
    "yes": "they are the weakest condition",
    "no": "they are not the weakest condition",
    "unknown": "whether they are the weakest condition is not decided",
}


def verdict_text(found: Constraints) -> str:
    """In one line: sufficient, irredundant, weakest."""
    subject = "the constraints" if found.dropped else "no constraints"
    if found.refuted:
        return f"{subject} are not sufficient: the function can change where they hold"
    if not found.sufficient:
        return f"whether {subject} are sufficient is not decided"
    if not found.dropped:
        return "no constraints are needed"
    return f"the constraints are sufficient, {NEEDED[found.irredundant]}, and {WEAKEST[found.is_weakest]}"


# ---------------------------------------------------------------- text


def constraints_text(found: Constraints) -> Iterator[str]:
    """What a reader at a terminal wants to know."""
    yield f"{found.claim.variants[0].name}: {verdict_text(found)}."
    for one in found.dropped if found.sufficient else ():
        yield f"  without {one.text}: {'the function can change' if one.counterexample else 'no counterexample found'}"
    yield from sets_text(found)
    yield from weakest_text(found.weakest)
    yield from liveness_text(found.liveness)
    for answer in found.unknown:
        yield f"  undecided by z3 within its limits: {answer.query.name} ({answer.file_name})"


def weakest_text(found: Weakest | None) -> Iterator[str]:
    if found is None or not found.sufficient:
        yield "  weakest condition: not found"
        return
    for condition in found.conditions:
        yield f"  weakest for {condition.square}: {plain(condition_sentence(condition))}"
        yield f"    sufficient for all sizes; {plain(necessity_sentence(condition))}"


def sets_text(found: Constraints) -> Iterator[str]:
    sets = found.study.sorted
    if sets.sufficient:
        yield f"  enough, whatever the other new blocks are (every smallest set{in_force(found)}):"
        yield from (f"    {set_text(found, subset)}" for subset in sets.sufficient)
    if sets.insufficient:
        yield "  not enough (every largest set, by what it leaves out), with numbers:"
        yield from (f"    {refuted_text(found, subset)}" for subset in sets.insufficient)
    for subset in sets.undecided:
        yield f"  undecided: {set_text(found, subset)}"
    for subset in sets.unsatisfiable:
        yield f"  cannot be met, says z3 at small sizes: {set_text(found, subset)}"
    if sets.unexplored:
        yield "  a limit was reached: other sets were not looked at"


def in_force(found: Constraints) -> str:
    """The constraints that no set of choices replaces."""
    zeros = {found.study.choices[i].text for i in found.study.given}
    kept = [one.text for one in found.dropped if one.text not in zeros]
    return f"; {', '.join(kept)} in force" if kept else ""


def refuted_text(found: Constraints, subset: Subset) -> str:
    witness = found.study.witnesses[subset]
    return rest_text(found, subset) + (f"; {witness_text(witness)}" if witness is not None else "")


def set_text(found: Constraints, subset: Subset) -> str:
    return ", ".join(found.study.choices[i].text for i in sorted(subset)) or "nothing more"


def rest_text(found: Constraints, subset: Subset) -> str:
    """What a largest set does not choose."""
    rest = [choice.text for i, choice in enumerate(found.study.choices) if i not in subset]
    return f"without {', '.join(rest)}" if rest else "even all of them"


def witness_text(witness: Any) -> str:
    from ..proofs.trace import trace

    end = trace(witness).values[-1]
    sizes = ", ".join(f"{name} = {size}" for name, size in sizes_of(witness).items())
    return f"at {sizes} the output {matrix_text(end.original)} becomes {matrix_text(end.expanded)}"


def liveness_text(found: Liveness) -> Iterator[str]:
    """The new blocks in the order in which they move."""
    seen = {step: [name for name, first in found.first.items() if first == step] for step in found.steps}
    for step, names in seen.items():
        yield f"  gradient step {step} moves {', '.join(names)}"
    late = [name for name in found.undecided if found.first[name] is not None]
    if late:
        yield f"  perhaps earlier, for no proof rules it out: {', '.join(late)}"
    if found.dead:
        yield f"  never moves: {', '.join(found.dead)} (with relu'(0) = 0)"
    never = [name for name in found.undecided if found.first[name] is None]
    if never:
        yield f"  no gradient seen, none ruled out: {', '.join(never)}"


def second_text(opinions: list[Second]) -> Iterator[str]:
    """What cvc5 makes of what z3 was asked."""
    agree = sum(one.first.verdict == one.verdict for one in opinions)
    yield f"  cvc5 agrees on {agree} of {len(opinions)} queries"
    for one in opinions:
        if one.disagrees:
            yield f"  cvc5 disagrees: {one.first.query.name}: z3 says {one.first.verdict}, cvc5 {one.verdict}"


def condition_latex(condition: Condition) -> tuple[str, ...]:
    return tuple(shown(e) for e in condition.equations)


def shown(one: Equation) -> str:
    return f"{latex(short(one.left))} = 0"
