"""Derivations as people read them: one chain of equations, every line with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from sympy.core.symbol import Str

from ..proofs.check import Claim
from ..proofs.goals import Goal, Proved, context_of
from ..proofs.kernel import Context, Step, apply, instance_of
from ..proofs.statement import Formula, Sentence, equation
from ..symbolic.architecture import SUBLAYERS, stream
from ..symbolic.notation import latex, text
from ..symbolic.terms import (
    Expr,
    MatAdd,
    MatrixExpr,
    Norm,
    RowScale,
    Stack,
    atoms,
    children,
    matrix,
    rebuild,
    substitute,
    subterms,
    total,
)


@dataclass(frozen=True)
class Line:
    """One step of a chain: `before` becomes `after` by a rule; `reason` says which equation, or where."""

    rule: str
    reason: Sentence
    before: Expr
    after: Expr


@dataclass(frozen=True)
class Chain:
    """A goal, left = ... = right; `where` says what the abbreviations in it stand for."""

    goal: Goal
    left: Expr
    right: Expr
    lines: tuple[Line, ...]
    where: Sentence = ()


def chains(claim: Claim) -> Iterator[Chain]:
    """Every goal of a claim with the lines of its proof, from left to right."""
    names = sublayer_names(claim)
    for i, proved in enumerate(claim.goals):
        if claim.growth is None:
            return
        earlier = {p.goal.name: p for p in claim.goals[:i]}
        context = context_of(proved.goal, claim.growth, earlier)
        used = [name for name in proved.goal.uses if name in earlier and earlier[name].theorem is not None]
        lines = tuple(lines_of(context, proved, used))
        yield abbreviated(Chain(proved.goal, proved.goal.left, proved.goal.right, lines), names)


def lines_of(context: Context, proved: Proved, used: Sequence[str]) -> Iterator[Line]:
    """The steps from the left, then those from the right read backwards.

    Where a constraint is written out: from what its left side becomes back to it, on to what its right side becomes.
    """
    found = proved.derivation
    left = [*forwards(context, found.left, found.left_steps, used)]
    right = [*forwards(context, found.right, found.right_steps, used)]
    if proved.goal.constraint is None:
        yield from (*left, *backwards(right))
    else:
        yield from (*backwards(left), Line("constraint", (), found.left, found.right), *right)


def forwards(context: Context, start: Expr, steps: Sequence[Step], used: Sequence[str]) -> Iterator[Line]:
    for step in steps:
        before, start = start, apply(context, start, step)
        yield Line(step.rule, reason(context, step, used), before, start)


def backwards(lines: Sequence[Line]) -> Iterator[Line]:
    for line in reversed(lines):
        yield Line(line.rule, (*line.reason, *BACKWARDS), line.after, line.before)


BACKWARDS = ("from right to left",)


def reason(context: Context, step: Step, used: Sequence[str]) -> Sentence:
    """The equation that a step uses, or in how many places its rule is used."""
    if step.rule == "lemma":
        return (f"the goal: {used[step.argument[0]]}",)
    if step.rule == "constraint":
        index = step.argument[0]
        used_one = context.equations[index]
        return (equation(used_one.left, used_one.right),)
    return (f"in {len(step.positions)} places",) if len(step.positions) > 1 else ()


# ---------------------------------------------------------------- sublayers by name


class Named(MatrixExpr):
    """A sublayer written by its name, for reading only: no rule knows it."""

    def __new__(cls, arg: MatrixExpr, name: str | Str) -> Named:
        return MatrixExpr.__new__(cls, arg, Str(str(name)))

    @property
    def shape(self) -> tuple[Expr, Expr]:
        return self.args[0].shape

    def _latex(self, printer) -> str:  # type: ignore[no-untyped-def]
        return rf"{self.args[1]}\left({printer._print(self.args[0])}\right)"


Names = tuple[tuple[Expr, Expr, str], ...]  # a sublayer as a term, its X, and its name in LaTeX


def sublayer_names(claim: Claim) -> Names:
    """Each sublayer of the old layer, of the grown one where it differs, and of new layers."""
    assert claim.steps
    old, new = claim.steps[0].old, claim.steps[-1].new
    found: list[tuple[Expr, Expr, str]] = []
    for name, sublayer in SUBLAYERS.items():
        shown = rf"\operatorname{{{name}}}"
        before = sublayer(stream(old), old.layer, old)
        after = sublayer(stream(new), new.layer, new)
        found.append((before, stream(old), shown))
        if after != before:
            found.append((after, stream(new), rf"\widehat{{{shown}}}"))
        for layer in new.inserted:
            index = rf"\mathrm{{new}} {layer.label.removeprefix('layer')}"
            found.append((sublayer(stream(new), layer, new), stream(new), rf"{shown}_{{{index}}}"))
    return tuple(found)


def abbreviated(chain: Chain, names: Names) -> Chain:
    """A chain that puts several goals together, with the sublayers by name; one that opens no norm, with it as Y."""
    if len(chain.goal.uses) > 1:
        return rewritten(chain, lambda term: by_name(term, names))
    norms = norms_of(chain.right) or norms_of(chain.left)
    opened = any(isinstance(term, RowScale) for line in chain.lines for term in subterms(line.after))
    if opened or len(norms) != 1 or any(symbol.name == "Y" for symbol in atoms(chain.left)):
        return chain
    (norm,) = norms
    Y = matrix("Y", *norm.shape)
    where = (", with ", Formula(f"Y = {text(norm)}", f"Y = {latex(norm)}"))
    return replace(rewritten(chain, lambda term: substitute(term, {norm: Y})), where=where)


def norms_of(term: Expr) -> set[Expr]:
    return {part for part in subterms(term) if isinstance(part, Norm)}


def rewritten(chain: Chain, shorten: Callable[[Expr], Expr]) -> Chain:
    lines = tuple(Line(x.rule, x.reason, shorten(x.before), shorten(x.after)) for x in chain.lines)
    return Chain(chain.goal, shorten(chain.left), shorten(chain.right), lines)


@lru_cache(maxsize=4096)
def by_name(term: Expr, names: Names) -> Expr:
    """The term with every instance of a sublayer replaced by its name."""
    for T, name in sublayers(term, names):
        return Named(by_name(T, names), name)
    if isinstance(term, MatAdd):
        return by_name_in_sum(term, names)
    if isinstance(term, Stack):
        start, body = by_name(term.arg, names), by_name(term.body, names)
        return Stack(start, term.stream, body, term.family, [by_name(layer, names) for layer in term.inserted])
    parts = children(term)
    return rebuild(term, [by_name(part, names) for part in parts]) if parts else term


def by_name_in_sum(term: MatAdd, names: Names) -> Expr:
    """A sum in which neighbours may make up a sublayer."""
    parts, done = list(term.args), []
    while parts:
        taken = next((n for n in lengths(names) if n <= len(parts) and is_sublayer(total(*parts[:n]), names)), 1)
        part = total(*parts[:taken])
        done.append(by_name(part, names) if taken > 1 or not isinstance(part, MatAdd) else part)
        parts = parts[taken:]
    return total(*done)


def lengths(names: Names) -> list[int]:
    return sorted({len(pattern.args) for pattern, _, _ in names if isinstance(pattern, MatAdd)}, reverse=True)


def is_sublayer(term: Expr, names: Names) -> bool:
    return any(True for _ in sublayers(term, names))


def sublayers(term: Expr, names: Names) -> Iterator[tuple[MatrixExpr, str]]:
    """What a term is a sublayer of, and the name of that sublayer."""
    for pattern, X, name in names:
        T = instance_of(pattern, term, X) if type(pattern) is type(term) else None
        if T is not None and T.shape == X.shape and substitute(pattern, {X: T}) == term:
            yield T, name
