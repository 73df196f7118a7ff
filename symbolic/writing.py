"""Variants changed and written: without what an architecture lacks, and as the text of a file that says the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from .architecture import has_scalar, parameters
from .becoming import changed
from .preset import Preset
from .syntax import Expression, children, names, show, with_children
from .variant import TEXTS, Added, NewBlock, Variant

Trees = Mapping[str, Expression]
EXPECTED = ("verdict", "reason")  # an empty one says nothing, and is not a verdict


def has(preset: Preset, name: str) -> bool:
    """Whether an architecture has a parameter or a scalar of that name."""
    return name in parameters(preset) or has_scalar(name, preset)


def fitted(variant: Variant, *presets: Preset) -> Variant:
    """The variant without what all the architectures lack; as it is where a constraint ties that to what they have."""
    known = (*presets, *(changed(preset, variant) for preset in presets))

    def there(entries: Trees) -> dict[str, Expression]:
        return {name: tree for name, tree in entries.items() if any(has(preset, name) for preset in known)}

    def of(added: Added | None) -> Added | None:
        return None if added is None else replace(added, entries=there(added.entries))

    kept = replace(
        variant, rewrite=there(variant.rewrite), added_head=of(variant.added_head), added_layer=of(variant.added_layer)
    )
    gone = mentioned(variant) - mentioned(kept)
    spoken_of = [blocks_in(variant, (one.left, one.right)) for one in variant.constraints]
    if any(gone & used and used - gone for used in spoken_of):
        return variant
    new = {name: block for name, block in variant.new.items() if name not in gone}
    constraints = (one for one, used in zip(variant.constraints, spoken_of, strict=True) if not used & gone)
    return replace(kept, new=new, constraints=tuple(constraints))


def mentioned(variant: Variant) -> set[str]:
    """The new blocks of which something is made."""
    return blocks_in(variant, made_of(variant))


def made_of(variant: Variant) -> Iterator[Expression]:
    """Every tree that says what something is: rewrites, the stream map, new heads and layers, bodies."""
    yield from variant.rewrite.values()
    yield from [variant.stream_map] if variant.stream_map is not None else []
    for added in (variant.added_head, variant.added_layer):
        yield from added.entries.values() if added is not None else ()
    yield from variant.forward.values()


def trees_of(variant: Variant) -> Iterator[Expression]:
    """Every tree of matrices: what something is, and both sides of the constraints."""
    yield from made_of(variant)
    yield from (side for constraint in variant.constraints for side in (constraint.left, constraint.right))


def with_trees(variant: Variant, change: Callable[[Expression], Expression]) -> Variant:
    """The variant with each of these trees changed; its text is that of before."""

    def all_of(entries: Trees) -> dict[str, Expression]:
        return {name: change(tree) for name, tree in entries.items()}

    def of(added: Added | None) -> Added | None:
        return None if added is None else replace(added, entries=all_of(added.entries))

    return replace(
        variant,
        rewrite=all_of(variant.rewrite),
        stream_map=None if variant.stream_map is None else change(variant.stream_map),
        added_head=of(variant.added_head),
        added_layer=of(variant.added_layer),
        forward=all_of(variant.forward),
        constraints=tuple(replace(c, left=change(c.left), right=change(c.right)) for c in variant.constraints),
    )


def blocks_in(variant: Variant, trees: Iterable[Expression]) -> set[str]:
    return {name.name for tree in trees for name in names(tree)} & set(variant.new)


def text_of(variant: Variant, marked: Collection[str] = ()) -> str:
    """A variant as the text of a file that says the same; `marked` entries are pointed out as a repair.

    >>> from ..symbolic.variant import load
    >>> print(text_of(load("mlp-expansion"), ["M_W_l2"]).splitlines()[-1])
    M_W_l2 = "0"  # repair
    """

    def line(key: str, value: object, marked: Collection[str] = ()) -> str:
        written = key if re.fullmatch(r"\w+", key, re.ASCII) else quoted(key)
        return f"{written} = {quoted(value)}" + ("  # repair" if key in marked else "")

    def table(header: str, entries: Mapping[str, object], marked: Collection[str] = ()) -> list[str]:
        return ["", f"[{header}]", *(line(key, value, marked) for key, value in entries.items())] if entries else []

    lines = [line(key, text) for key in TEXTS if (text := getattr(variant, key)) or key not in EXPECTED]
    lines += table("grows", shown(variant.grows))
    lines += table("new", {name: shape_of(block) for name, block in variant.new.items()})
    lines += table("rewrite", shown(variant.rewrite), marked)
    lines += table("stream", shown({"map": variant.stream_map} if variant.stream_map is not None else {}))
    for what, added in (("head", variant.added_head), ("layer", variant.added_layer)):
        if added is not None:
            chosen = {key: value for key, value in (("copy", added.copy), ("group", added.group)) if value is not None}
            lines += table(f"added.{what}", {**chosen, **shown(added.entries)})
    lines += table("forward", shown(variant.forward)) + table("becomes", variant.becomes)
    lines += table("constraints", {show(one.left): show(one.right) for one in variant.constraints}, marked)
    return "\n".join(lines) + "\n"


def shown(entries: Trees) -> dict[str, str]:
    return {name: show(tree) for name, tree in entries.items()}


def shape_of(block: NewBlock) -> str:
    return f"{show(block.rows)}, {show(block.columns)}" + (f"; {', '.join(block.kinds)}" if block.kinds else "")


def quoted(value: object) -> str:
    """A value of TOML; strings, whole numbers and truth values are written as in JSON."""
    return json.dumps(value, ensure_ascii=False)


def replaced(tree: Expression, old: Expression, new: Expression) -> Expression:
    """An expression with every part that is `old` replaced."""
    return new if tree == old else with_children(tree, [replaced(part, old, new) for part in children(tree)])
