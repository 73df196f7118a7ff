"""The smallest variants with which something still happens: links, entries and parts of trees are taken away."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from ..symbolic.errors import VariantError
from ..symbolic.syntax import Blocks, Expression, Number, children, names
from ..symbolic.variant import loads
from ..symbolic.writing import text_of
from .entries import Entries, Where, entries_of, names_in, parts, put, rebuilt, trees
from .mutants import EQUATIONS, MADE, SIDES, ZERO

MOST_TRIES = 400
FILE = "smaller.toml"

Texts = tuple[str, ...]


def smallest(texts: Texts, happens: Callable[[Texts], bool]) -> Texts:
    """The texts of a chain of variants, less everything without which it still happens.  Errors count as no."""
    tries = iter(range(MOST_TRIES))

    def shrinks(fewer: Texts) -> bool:
        if next(tries, None) is None:
            return False
        try:
            return happens(fewer)
        except VariantError:
            return False

    while (fewer := next(filter(shrinks, smaller(texts)), None)) is not None:
        texts = fewer
    return texts


def smaller(texts: Texts) -> Iterator[Texts]:
    """The chain with one thing less, what takes away most first."""
    variants = [loads(text, FILE) for text in texts]
    if any(variant.architecture != "paper" for variant in variants):
        yield tuple(text_of(replace(variant, architecture="paper")) for variant in variants)
    if len(texts) > 1:
        yield from (texts[:i] + texts[i + 1 :] for i in range(len(texts)))
    for i, (text, variant) in enumerate(zip(texts, variants, strict=True)):
        for entries in fewer(entries_of(variant)):
            less = text_of(replace(rebuilt(variant, tidied(entries)), source="", description="", verdict="", reason=""))
            if less != text:
                yield (*texts[:i], less, *texts[i + 1 :])


def fewer(entries: Entries) -> Iterator[Entries]:
    """A variant's entries less one thing: what is added, a size with what grows along, an entry, a part of a tree."""
    for what in ("head", "layer"):
        yield without(entries, [where for where in entries if where[:2] in (("added", what), ("option", what))])
    for size in names_in(entries, "grows"):
        yield without(entries, [("grows", size), *(("rewrite", name) for name in SIDES if size in SIDES[name])])
    for gone in entries:
        if gone[0] not in ("right", "columns", "kinds"):  # these go with something else
            yield without(entries, [gone])
    for where, tree in trees(entries, "grows", "rows", "columns", *MADE, *EQUATIONS):
        for shorter in simpler(tree):
            yield {**entries, where: shorter}


def without(entries: Entries, gone: Collection[Where]) -> Entries:
    return {where: entry for where, entry in entries.items() if where not in gone}


def simpler(tree: Expression) -> Iterator[Expression]:
    """A tree with one part replaced by what is inside it, by 0, or, of blocks, without a row or a column."""
    for path, part in parts(tree):
        yield from (put(tree, path, inner) for inner in children(part))
        if isinstance(part, Blocks):
            yield from (put(tree, path, cut) for cut in cuts(part))
        if path and not isinstance(part, Number):
            yield put(tree, path, ZERO)


def cuts(blocks: Blocks) -> Iterator[Blocks]:
    """Blocks without one of their rows or columns."""
    rows = blocks.rows
    for i in range(len(rows)) if len(rows) > 1 else ():
        yield Blocks(rows[:i] + rows[i + 1 :])
    for i in range(len(rows[0])) if len(rows[0]) > 1 else ():
        yield Blocks(tuple(row[:i] + row[i + 1 :] for row in rows))


def tidied(entries: Entries) -> Entries:
    """Without the new blocks of which nothing is made, and without the constraints on them."""
    used = {name.name for _, tree in trees(entries, *MADE) for name in names(tree)}
    idle = {name for name in names_in(entries, "rows") if name not in used}
    sides = trees(entries, *EQUATIONS)
    about = {where[1] for where, tree in sides if idle & {name.name for name in names(tree)}}
    blocks = {(part, name) for part in ("rows", "columns", "kinds") for name in idle}
    return without(entries, blocks | {(side, i) for side in EQUATIONS for i in about})
