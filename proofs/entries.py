"""A variant as one flat table, from the place of each entry to the entry, and back: what random changes work on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from ..symbolic.errors import NOWHERE
from ..symbolic.syntax import Expression, children, with_children
from ..symbolic.variant import Added, Constraint, NewBlock, Variant

Where: TypeAlias = tuple[str, ...]
Entries: TypeAlias = Mapping[Where, Any]  # trees, and options: strings, numbers, kinds

TABLES = ("grows", "rewrite", "forward", "becomes")
OPTIONS = ("copy", "group")  # of what is added


def entries_of(variant: Variant) -> dict[Where, Any]:
    """Every tree and option of a variant under its place; those of constraint i under (left, i) and (right, i).

    >>> from ..symbolic.variant import load
    >>> [where for where in entries_of(load("mlp-expansion")) if where[0] in ("grows", "left")]
    [('grows', 'p'), ('left', '0')]
    """
    found: dict[Where, Any] = {}
    for table in TABLES:
        found |= {(table, name): entry for name, entry in getattr(variant, table).items()}
    for name, block in variant.new.items():
        found |= {("rows", name): block.rows, ("columns", name): block.columns, ("kinds", name): block.kinds}
    for i, one in enumerate(variant.constraints):
        found |= {("left", str(i)): one.left, ("right", str(i)): one.right}
    if variant.stream_map is not None:
        found["stream", "map"] = variant.stream_map
    for what, added in (("head", variant.added_head), ("layer", variant.added_layer)):
        if added is not None:
            chosen = {option: getattr(added, option) for option in OPTIONS}
            found |= {("option", what, option): value for option, value in chosen.items() if value is not None}
            found |= {("added", what, name): tree for name, tree in added.entries.items()}
    return found


def rebuilt(variant: Variant, entries: Entries) -> Variant:
    """The variant with other entries; its text is that of before.  A block or constraint of which a part lacks goes."""

    def table(name: str) -> dict[str, Any]:
        return {one: entries[name, one] for one in names_in(entries, name)}

    rows, columns, kinds, left, right = map(table, ("rows", "columns", "kinds", "left", "right"))
    new = (NewBlock(name, rows[name], columns[name], kinds[name], NOWHERE) for name in rows if name in columns)
    return replace(
        variant,
        grows=table("grows"),
        new={block.name: block for block in new},
        rewrite=table("rewrite"),
        constraints=tuple(Constraint(left[i], right[i], NOWHERE) for i in left if i in right),
        stream_map=entries.get(("stream", "map")),
        added_head=added_of(entries, "head"),
        added_layer=added_of(entries, "layer"),
        forward=table("forward"),
        becomes=table("becomes"),
    )


def names_in(entries: Entries, table: str) -> list[str]:
    """The names of the entries of a table."""
    return [where[1] for where in entries if where[0] == table]


def added_of(entries: Entries, what: str) -> Added | None:
    """The head or layer that is added, if anything is said of one."""
    trees = {where[2]: tree for where, tree in entries.items() if where[:2] == ("added", what)}
    chosen = {option: entries.get(("option", what, option)) for option in OPTIONS}
    return Added(trees, **chosen, place=NOWHERE) if trees or any(chosen.values()) else None


def trees(entries: Entries, *tables: str) -> Iterator[tuple[Where, Expression]]:
    """The entries of some tables that hold nothing but trees."""
    for where, tree in entries.items():
        if where[0] in tables:
            yield where, tree


# ---------------------------------------------------------------- inside a tree

Path: TypeAlias = tuple[int, ...]


def parts(tree: Expression, path: Path = ()) -> Iterator[tuple[Path, Expression]]:
    """Every part of a tree with the way to it, the whole first."""
    yield path, tree
    for i, child in enumerate(children(tree)):
        yield from parts(child, (*path, i))


def put(tree: Expression, path: Path, part: Expression) -> Expression:
    """A tree with another part at a place.

    >>> from ..symbolic.syntax import parse, show
    >>> show(put(parse("[A, B]*C"), (0, 1), parse("D'")))
    "[A, D']*C"
    """
    if not path:
        return part
    first, *rest = path
    inside = list(children(tree))
    inside[first] = put(inside[first], tuple(rest), part)
    return with_children(tree, inside)
