"""Mutants: a variant with something dropped, weakened, rescaled, moved, exchanged or forgotten.

Each mutation gives every change of its kind that a variant has a place for; most make a theorem false, some do not.
None knows what a variant is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from itertools import combinations
from typing import Any

from ..symbolic.architecture import PARAMETERS, SCALARS
from ..symbolic.syntax import BinaryOp, Blocks, Call, Expression, Name, Negative, Number, Transposed, names, parse
from ..symbolic.variant import KINDS, Variant
from .entries import Entries, Where, entries_of, names_in, parts, put, rebuilt, trees

Change = Mapping[Where, Any]  # None: the entry goes
Mutation = Callable[[Entries], Iterator[Change]]

ZERO, ONE = Number(Fraction(0)), Number(Fraction(1))
SIDES = {q.name: (q.rows, q.columns) for q in PARAMETERS}
OLD_SHAPES = {name: (parse(rows), parse(columns)) for name, (rows, columns) in SIDES.items()}
MADE = ("rewrite", "added", "stream", "forward")  # tables of what the grown model is made of
EQUATIONS = ("left", "right")
TURN = Name("R_turn")


def mutated(variant: Variant, change: Change) -> Variant:
    """The variant after a change; its text is that of before."""
    entries = {**entries_of(variant), **change}
    return rebuilt(variant, {where: entry for where, entry in entries.items() if entry is not None})


def mutants(variant: Variant, mutation: str) -> list[Change]:
    """Every change of a kind."""
    entries = entries_of(variant)
    changes = MUTATIONS[mutation](entries)
    return [change for change in changes if any(entries.get(where) != entry for where, entry in change.items())]


# ---------------------------------------------------------------- what stands where


def exchanged(
    entries: Entries, tables: tuple[str, ...], others: Callable[[Expression], Iterator[Expression]]
) -> Iterator[Change]:
    """Each part of each tree with each of the others that can stand in its place."""
    for where, tree in trees(entries, *tables):
        for path, part in parts(tree):
            yield from ({where: put(tree, path, other)} for other in others(part))


def shape_of(entries: Entries, name: str) -> tuple[Expression, Expression] | None:
    """The sides of a new block or of an old parameter; None for a size or a scalar."""
    if ("rows", name) in entries:
        return entries["rows", name], entries["columns", name]
    return OLD_SHAPES.get(name)


def is_scalar(entries: Entries, tree: Expression) -> bool:
    """Whether a tree is a number made of sizes, scalars and unknowns."""
    functions = {part.function for _, part in parts(tree) if isinstance(part, Call)}
    matrices = any(isinstance(part, Blocks) for _, part in parts(tree)) or functions - {"sqrt"}
    return not matrices and all(shape_of(entries, name.name) is None for name in names(tree))


def grown(entries: Entries, side: str) -> Expression:
    """A side of a parameter of the grown model."""
    return Name(f"{side}_hat") if ("grows", side) in entries else parse(side)


def factors(entries: Entries) -> Iterator[Expression]:
    """Numbers, and powers of how much a size grows."""
    yield from map(parse, ("2", "1/2", "-1", "sqrt(2)", "3"))
    for base in names_in(entries, "grows"):
        ratios = ("{0}_hat/{0}", "sqrt({0}_hat/{0})", "sqrt({0}/{0}_hat)", "{0}/{0}_hat")
        yield from (parse(ratio.format(base)) for ratio in ratios)


def times(left: Expression, right: Expression) -> Expression:
    return BinaryOp("*", left, right)


# ---------------------------------------------------------------- constraints


def without_a_constraint(entries: Entries) -> Iterator[Change]:
    for i in names_in(entries, "left"):
        yield {("left", i): None, ("right", i): None}


def zero_blocks(entries: Entries) -> Iterator[tuple[str, Name]]:
    """The constraints that say that a new block is 0, with the block."""
    for i in names_in(entries, "left"):
        block = entries["left", i]
        if isinstance(block, Name) and ("rows", block.name) in entries and entries["right", i] == ZERO:
            yield i, block


def weaker_constraint(entries: Entries) -> Iterator[Change]:
    """M = 0 becomes a condition on the sums of its columns, or on its product with another block."""
    for i, block in zero_blocks(entries):
        rows, columns = entries["rows", block.name], entries["columns", block.name]
        if rows != ONE:
            yield {("left", i): times(Call("ones", (ONE, rows)), block)}
        for other in (other for other in names_in(entries, "rows") if other != block.name):
            if entries["rows", other] == columns:
                yield {("left", i): times(block, Name(other))}
            if entries["columns", other] == columns:
                yield {("left", i): times(block, Transposed(Name(other)))}


def constraint_on_another_block(entries: Entries) -> Iterator[Change]:
    for i, block in zero_blocks(entries):
        for other in names_in(entries, "rows"):
            if other != block.name:
                yield {("left", i): Name(other)}


def another_right_side(entries: Entries) -> Iterator[Change]:
    """A block that was to be 0 is to be ones, or another block."""
    for i, block in zero_blocks(entries):
        shape = entries["rows", block.name], entries["columns", block.name]
        yield {("right", i): Call("ones", shape)}
        for other in names_in(entries, "rows"):
            if other != block.name and shape_of(entries, other) == shape:
                yield {("right", i): Name(other)}


# ---------------------------------------------------------------- factors and signs


def another_factor(entries: Entries) -> Iterator[Change]:
    """A factor on a matrix, wherever it stands."""
    scales = list(factors(entries))

    def scaled(part: Expression) -> Iterator[Expression]:
        if isinstance(part, Name) and shape_of(entries, part.name) is not None:
            yield from (times(factor, part) for factor in scales)

    yield from exchanged(entries, MADE, scaled)


def without_a_factor(entries: Entries) -> Iterator[Change]:
    def bare(part: Expression) -> Iterator[Expression]:
        if isinstance(part, BinaryOp) and part.operator in "*/":
            factor, rest = (part.left, part.right) if part.operator == "*" else (part.right, part.left)
            if is_scalar(entries, factor):
                yield rest

    yield from exchanged(entries, MADE, bare)


def another_scalar(entries: Entries) -> Iterator[Change]:
    """A scalar of the architecture rewritten."""
    for name in SCALARS:
        yield {("rewrite", name): Name(name)}
        for factor in factors(entries):
            yield {("rewrite", name): times(factor, Name(name))}


def another_number(entries: Entries) -> Iterator[Change]:
    def others(part: Expression) -> Iterator[Expression]:
        if isinstance(part, Number):
            n = part.value
            yield from (Number(m) for m in dict.fromkeys((n + 1, 2 * n, n / 2, abs(n - 1))) if m != n)

    yield from exchanged(entries, (*MADE, *EQUATIONS), others)


def another_sign(entries: Entries) -> Iterator[Change]:
    def others(part: Expression) -> Iterator[Expression]:
        match part:
            case BinaryOp("+", left, right):
                yield BinaryOp("-", left, right)
            case BinaryOp("-", left, right):
                yield BinaryOp("+", left, right)
            case Negative(operand):
                yield operand

    yield from exchanged(entries, (*MADE, *EQUATIONS), others)


# ---------------------------------------------------------------- blocks


def blocks_moved(entries: Entries) -> Iterator[Change]:
    """Two neighbours among the blocks change places."""

    def moved(part: Expression) -> Iterator[Expression]:
        if not isinstance(part, Blocks):
            return
        for i, j in combinations(range(len(part.rows)), 2):
            yield Blocks(exchange(part.rows, i, j))
        for i, j in combinations(range(len(part.rows[0])), 2):
            yield Blocks(tuple(exchange(row, i, j) for row in part.rows))

    yield from exchanged(entries, (*MADE, *EQUATIONS), moved)


def exchange(line: tuple[Any, ...], i: int, j: int) -> tuple[Any, ...]:
    """A line in which two change places."""
    order = list(line)
    order[i], order[j] = order[j], order[i]
    return tuple(order)


def transposed(entries: Entries) -> Iterator[Change]:
    """A square matrix transposed, or one transposed no more."""

    def flipped(part: Expression) -> Iterator[Expression]:
        if isinstance(part, Transposed):
            yield part.operand
        elif isinstance(part, Name) and (shape := shape_of(entries, part.name)) is not None and shape[0] == shape[1]:
            yield Transposed(part)

    yield from exchanged(entries, (*MADE, *EQUATIONS), flipped)


def another_block(entries: Entries) -> Iterator[Change]:
    """A block or parameter in the place of another one of its shape."""
    known = {name: shape_of(entries, name) for name in (*names_in(entries, "rows"), *SIDES)}

    def others(part: Expression) -> Iterator[Expression]:
        if isinstance(part, Name) and part.name in known:
            same = (name for name, shape in known.items() if shape == known[part.name] and name != part.name)
            yield from map(Name, same)

    yield from exchanged(entries, (*MADE, *EQUATIONS), others)


def forgotten(entries: Entries) -> Iterator[Change]:
    """A block left out: zeros in its place."""

    def zeros(part: Expression) -> Iterator[Expression]:
        if isinstance(part, Name) and (shape := shape_of(entries, part.name)) is not None:
            yield Call("0", shape)

    yield from exchanged(entries, MADE, zeros)


def without_a_rewrite(entries: Entries) -> Iterator[Change]:
    """A parameter that no size asks to be rewritten stays as it is."""
    growing = set(names_in(entries, "grows"))
    for name in names_in(entries, "rewrite"):
        if growing.isdisjoint(SIDES.get(name, ())):
            yield {("rewrite", name): None}


def rewrites_exchanged(entries: Entries) -> Iterator[Change]:
    """Two parameters of one shape get what the other should."""
    for table in ("rewrite", "added"):
        found = [where for where, _ in trees(entries, table) if where[-1] in SIDES]
        for one, other in combinations(found, 2):
            if SIDES[one[-1]] == SIDES[other[-1]]:
                yield {one: entries[other], other: entries[one]}


def turned(entries: Entries) -> Iterator[Change]:
    """A parameter times an orthogonal matrix of its own."""
    for where, tree in trees(entries, "rewrite", "added"):
        for i, side in enumerate(SIDES.get(where[-1], ())):
            if side in ("s", "1", "o", "n_experts", "f"):
                continue
            size = grown(entries, side)
            yield {
                where: times(tree, TURN) if i else times(TURN, tree),
                ("rows", TURN.name): size,
                ("columns", TURN.name): size,
                ("kinds", TURN.name): (),
                ("left", "turn"): times(TURN, Transposed(TURN)),
                ("right", "turn"): Call("eye", (size,)),
            }


# ---------------------------------------------------------------- sizes, owners, options


def another_size(entries: Entries) -> Iterator[Change]:
    """A size grows otherwise, or a block stands on its side."""
    for base in names_in(entries, "grows"):
        for text in ("{0}_hat", "2*{0}", "3*{0}", "{0} + 1", "{0} + more"):
            if (tree := parse(text.format(base))) != entries["grows", base]:
                yield {("grows", base): tree}
    for name in names_in(entries, "rows"):
        yield {("rows", name): entries["columns", name], ("columns", name): entries["rows", name]}


def another_owner(entries: Entries) -> Iterator[Change]:
    """A block that is shared, or no longer; a block that is no selection any more."""
    for name in names_in(entries, "kinds"):
        for kinds in ((), *((kind,) for kind in KINDS)):
            if kinds != entries["kinds", name]:
                yield {("kinds", name): kinds}


def another_option(entries: Entries) -> Iterator[Change]:
    """An option of what is added, or of the architecture after it, left out or changed."""
    for where, value in entries.items():
        if where[0] in ("option", "becomes"):
            yield {where: None}
        if where[0] == "becomes" and isinstance(value, int):
            yield {where: not value if isinstance(value, bool) else value + 1}


def another_function(entries: Entries) -> Iterator[Change]:
    """A function left out, or one too many."""

    def others(part: Expression) -> Iterator[Expression]:
        if isinstance(part, Call) and len(part.arguments) == 1:
            yield part.arguments[0]
        if isinstance(part, Name) and shape_of(entries, part.name) is not None:
            yield Call("act", (part,))

    yield from exchanged(entries, MADE, others)


MUTATIONS: Mapping[str, Mutation] = {
    "without a constraint": without_a_constraint,
    "a weaker constraint": weaker_constraint,
    "a constraint on another block": constraint_on_another_block,
    "another right side": another_right_side,
    "another factor": another_factor,
    "without a factor": without_a_factor,
    "another scalar": another_scalar,
    "another number": another_number,
    "another sign": another_sign,
    "blocks moved": blocks_moved,
    "transposed": transposed,
    "another block": another_block,
    "a block forgotten": forgotten,
    "without a rewrite": without_a_rewrite,
    "rewrites exchanged": rewrites_exchanged,
    "turned": turned,
    "another size": another_size,
    "another owner": another_owner,
    "another option": another_option,
    "another function": another_function,
}
