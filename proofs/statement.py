"""What is claimed, in words: made from the claim's sizes, constraints and architecture, for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sympy import Symbol

from ..symbolic.architecture import Transformer
from ..symbolic.expand import Expansion
from ..symbolic.notation import latex, text
from ..symbolic.preset import Preset
from ..symbolic.syntax import show
from ..symbolic.terms import Expr, Selection, scalar
from ..symbolic.variant import Added, Variant
from .admissible import whole_sizes
from .check import Answer


@dataclass(frozen=True)
class Formula:
    """A formula in a sentence, as plain text and as LaTeX of the same object."""

    text: str
    latex: str


Sentence = tuple["str | Formula", ...]


def formula(term: Expr) -> Formula:
    return Formula(text(term), latex(term))


def equation(left: Expr, right: Expr, sign: str = "=") -> Formula:
    """left = right; a zero matrix on the right is written 0, since the left side shows its shape."""
    right_text = "0" if getattr(right, "is_ZeroMatrix", False) else text(right)
    return Formula(f"{text(left)} {sign} {right_text}", f"{latex(left)} {sign} {latex(right)}")


def listed(formulas: list[Formula]) -> Iterator[str | Formula]:
    for i, item in enumerate(formulas):
        if i:
            yield ", "
        yield item


def plain(sentence: Iterable[str | Formula]) -> str:
    """A sentence as plain text."""
    return "".join(part if isinstance(part, str) else part.text for part in sentence)


def statement(steps: Sequence[Expansion]) -> tuple[Sentence, ...]:
    """What a chain of expansions claims: for which sizes, parameters and new blocks; then what is equal."""
    old = steps[0].old
    above: Mapping[Expr, Expr] = {grown: base for step in steps for grown, base in step.above.items()}
    own = {name: size for name, size in old.sizes.items() if size.is_Symbol}
    sizes = [formula(size) for size in own.values()]
    grown = [equation(symbol, base, ">") for symbol, base in above.items()]
    free = claim_sizes(steps) - set(above) - set(own.values())
    made = [equation(Symbol(name), size) for name, size in old.sizes.items() if name not in own]
    sizes += [formula(size) for size in sorted(free, key=str)]
    whole = [formula(size) for size in whole_sizes(steps)]
    families = ["layers", *(["groups"] if old.preset["groups"] else []), "heads"]
    lines: list[Sentence] = [
        (
            "For all sizes ",
            *listed(sizes),
            " at least 1",
            *(part for one in (*made, *grown) for part in (", ", one)),
            ",",
        ),
        *([("for which ", *listed(whole), " are whole," if len(whole) > 1 else " is whole,")] if whole else []),
        (f"for any number of {in_words(families)} at least 1, all parameters and all inputs,",),
        *([(COPIED,)] if any(is_copied(step.variant) for step in steps) else []),
    ]
    chosen = [formula(b.symbol) for step in steps for b in step.blocks if isinstance(b.symbol, Selection)]
    if chosen:
        lines.append(("for all selections ", *listed(chosen), " (a single 1 in each column, and 0 elsewhere),"))
    constraints = [equation(left, right) for step in steps for left, right in step.constraints]
    if constraints:
        lines.append(("for all new blocks with ", *listed(constraints), ","))
    elif any(step.blocks for step in steps):
        lines.append(("for all new blocks,",))
    names = " then ".join(step.variant.name for step in steps)
    lines.append((f"the model after {names} computes what it computed before.",))
    return tuple(lines)


COPIED = "for every position of the new layer after the first layer: 2 to N + 1, where there are N layers,"


def is_copied(variant: Variant) -> bool:
    """Whether a new layer starts from the one before it."""
    return variant.added_layer is not None and variant.added_layer.copy is not None


def in_words(things: Sequence[str]) -> str:
    """A list in a sentence.

    >>> in_words(["layers", "groups", "heads"])
    'layers, groups and heads'
    """
    return ", ".join(things[:-1]) + " and " * (len(things) > 1) + things[-1]


def claim_sizes(steps: Sequence[Expansion]) -> set[Expr]:
    """Every size symbol of the grown model and of the new blocks."""
    shapes = [side for step in steps for block in step.blocks for side in block.symbol.shape]
    grown = [size for step in steps for size in step.new.sizes.values()]
    return {symbol for size in (*shapes, *grown) for symbol in size.free_symbols}


def meaning(variant: Variant) -> tuple[str, ...]:
    """What a variant does, line by line as its file says it: which variant, what grows, new blocks, rewrites."""
    lines = [f"{variant.name}, sha256 {variant.sha256}"]
    lines += [f"{size} grows to {show(grown)}" for size, grown in variant.grows.items()]
    for block in variant.new.values():
        kinds = f", {', '.join(block.kinds)}" if block.kinds else ""
        lines.append(f"{block.name} is new: {show(block.rows)} x {show(block.columns)}{kinds}")
    lines += [f"{name} becomes {show(entry)}" for name, entry in variant.rewrite.items()]
    for what, added in (("head", variant.added_head), ("layer", variant.added_layer)):
        if added is not None:
            lines.append(f"{origin(what, added)} {entries_of(added)}".strip())
    lines += [f"what {name} computes from X becomes {show(body)}" for name, body in variant.forward.items()]
    lines += [BECOMES[option].format(value) for option, value in variant.becomes.items()]
    return tuple(lines)


BECOMES = {
    "experts": "the MLP of a layer becomes {} experts",
    "top_k": "each token goes to {} of them",
    "router": "the weights of the experts that are kept are {}",
    "kv_groups": "every head gets keys and values of its own",
    "rope": "the frequencies of the old keys are kept",
}
"""What each option becomes, in words."""


def origin(what: str, added: Added) -> str:
    """Which head or layer is new, and what it starts from."""
    if added.group is not None:
        return "in every group a new head, with the group's keys and values, has"
    if added.copy is None:
        return f"a new {what} has"
    before = "every head has a copy of what it" if what == "head" else "a new layer is a copy of what the one before it"
    return f"{before} becomes" + (", with" if added.entries else "")


def entries_of(added: Added) -> str:
    return ", ".join(f"{name} = {show(entry)}" for name, entry in added.entries.items())


def norms_of(preset: Preset) -> Iterator[Sentence]:
    """What is taken for granted where something is normed."""
    row = "no row that a norm sees is zero" + (", its mean taken away" if preset["norm"] == "layer" else "")
    if preset["norm"] != "none" and not preset["eps"]:
        yield (f"{row}, because there is no epsilon (0/0)",)
    elif preset["norm"] != "none":
        yield formula(scalar("eps")), " is any number at least 0, the same in every norm"
        yield (f"where it is 0, {row}",)
    if preset["qk_norm"]:
        yield formula(scalar("eps_qk")), " is any number at least 0, the same for all queries and keys"
        yield ("where it is 0, no query and no key is zero",)


def turns_by_base(preset: Preset) -> bool:
    """Whether there are rotary positions with frequencies that follow from a base."""
    return bool(preset["positions"] == "rotary" and preset["rope_frequencies"] == "recomputed")


def routing(model: Transformer) -> Sentence:
    """To how many experts a token goes."""
    count = formula(model.scalars["top_k"])
    last = "made to sum to 1" if model.preset["router"] == "renormalised" else "as they are"
    return ("a router keeps the ", count, f" largest weights for every token, the first of equal ones, {last}")


def assumptions(answer: Answer) -> tuple[Sentence, ...]:
    """What the claim takes for granted."""
    found: list[Sentence] = [("arithmetic is that of the real numbers",), *norms_of(answer.preset)]
    for name, has in (("scale", answer.preset["scale"] == "constant"), ("rope_base", turns_by_base(answer.preset))):
        found += [(formula(answer.steps[0].old.scalars[name]), " is any number above 0")] if has else []
    found += [routing(step.new) for step in answer.steps[-1:] if step.new.preset["experts"]]
    for claim in answer.parts:
        found += [(note,) for note in claim.steps[0].assumptions]
    return tuple(dict.fromkeys(found))
