"""A variant as lines of numpy: made from its trees, and never typed.

>>> from ...symbolic.syntax import parse
>>> numpy_text(parse("[sqrt(k_hat/k)*W_K, M]"), {"k", "k_hat"})
'np.block([[np.sqrt(k_hat / k) * W_K, M]])'
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...symbolic.architecture import PARAMETERS, Preset, parameters
from ...symbolic.expand import Expansion
from ...symbolic.instances import SIDES
from ...symbolic.syntax import (
    BinaryOp,
    Blocks,
    Call,
    Expression,
    Name,
    Negative,
    Number,
    Transposed,
    names,
    show,
)
from ...symbolic.variant import Variant

OLD = {"s": 3, "h": 4, "p": 3, "k": 2, "v": 2, "o": 2, "E": 1, "N": 1}
MORE = 3  # by how much a new size grows
LAYER = ("g_MHA", "g_MLP", "W_l1", "b_l1", "W_l2", "b_l2")
HEAD = ("W_Q", "W_K", "W_V", "W_O")
MODEL = ("I", "P", "W_out")


@dataclass(frozen=True)
class Lines:
    """Four cells: sizes and old parameters, new blocks, the rewrite, and both models compared."""

    old: str
    new: str
    rewrite: str
    compare: str


def lines(step: Expansion) -> Lines:
    """The lines for one variant on one layer with one head."""
    variant, preset = step.variant, step.old.preset
    return Lines(
        "\n".join(old_lines(variant, preset)),
        "\n".join(new_lines(step)),
        "\n".join(rewrite_lines(variant)),
        "\n".join([*model_lines(variant), before_line(preset), *after_lines(variant, preset)]),
    )


def chained(steps: Sequence[Expansion]) -> tuple[Lines, ...]:
    """The lines for one variant after the other: what one makes, the next one grows.

    None at all where one of them adds heads or layers that the next would have to grow.
    """
    first, *rest = steps
    if any(one.variant.added_head or one.variant.added_layer for one in steps[:-1]):
        return ()
    return (lines(first), *(following(*pair) for pair in zip(steps, rest, strict=False)))


def following(earlier: Expansion, step: Expansion) -> Lines:
    """The lines for a variant of what an earlier one made; the output is compared with that of the very first model."""
    made, variant, preset = earlier.variant, step.variant, step.old.preset
    sizes = sizes_that_grow(variant, lambda base: f"{base} + {MORE}" if base in OLD else str(MORE))
    old = ["# what has grown is the old model now"]
    old += [f"{name} = {name}_hat" for name in (*made.grows, *made.rewrite)]
    old += [f"{name} = {value}" for name, value in sizes]
    return replace(
        lines(step),
        old="\n".join(old),
        compare="\n".join([*model_lines(variant), *after_lines(variant, preset)]),
    )


def source() -> str:
    """The forward pass, as a cell."""
    return Path(__file__).with_name("lessons").joinpath("forward.txt").read_text(encoding="utf-8").strip()


# ---------------------------------------------------------------- expressions


def numpy_text(tree: Expression, sizes: Collection[str]) -> str:
    """An expression as numpy writes it; `sizes` are the names of numbers."""

    def text(part: Expression) -> str:
        return numpy_text(part, sizes)

    def inner(part: Expression) -> str:
        found = text(part)
        return f"({found})" if isinstance(part, (BinaryOp, Negative)) else found

    match tree:
        case Number() | Name():
            return show(tree)
        case Blocks(rows=rows):
            return f"np.block([{', '.join('[' + ', '.join(map(text, row)) + ']' for row in rows)}])"
        case Transposed(operand=operand):
            return f"{inner(operand)}.T"
        case Negative(operand=operand):
            return f"-{inner(operand)}"
        case BinaryOp(operator="*", left=left, right=right):
            sign = "*" if is_number(left, sizes) or is_number(right, sizes) else "@"
            return f"{factor(left, sizes)} {sign} {inner(right)}"
        case BinaryOp(operator="/", left=left, right=right):
            return f"{factor(left, sizes)} / {inner(right)}"
        case BinaryOp(operator="^", left=left, right=right):
            return f"{inner(left)} ** {inner(right)}"
        case BinaryOp(operator=operator, left=left, right=right):
            return f"{text(left)} {operator} {inner(right)}"
        case Call(function=function, arguments=arguments):
            return CALLS[function].format(", ".join(map(text, arguments)))
    raise AssertionError(tree)


CALLS: Mapping[str, str] = {
    "sqrt": "np.sqrt({})",
    "eye": "np.eye({})",
    "ones": "np.ones(({}))",
    "0": "np.zeros(({}))",
    "diag": "np.diag(np.ravel({}))",
    "blockdiag": "blockdiag({})",
    "kron": "np.kron({})",
    "hadamard": "np.multiply({})",
    "act": "np.maximum({}, 0)",
}


def factor(tree: Expression, sizes: Collection[str]) -> str:
    """A left factor: only sums need brackets."""
    sums = isinstance(tree, BinaryOp) and tree.operator in "+-"
    return f"({numpy_text(tree, sizes)})" if sums or isinstance(tree, Negative) else numpy_text(tree, sizes)


def is_number(tree: Expression, sizes: Collection[str]) -> bool:
    """Whether an expression is made of numbers and sizes only."""
    if isinstance(tree, (Blocks, Transposed)) or (isinstance(tree, Call) and tree.function != "sqrt"):
        return False
    return all(name.name in sizes for name in names(tree))


# ---------------------------------------------------------------- cells


def grown_sizes(variant: Variant) -> Iterator[tuple[str, str]]:
    """Every size that the variant introduces, with its value, and then the grown ones."""
    return sizes_that_grow(variant, lambda base: str(OLD.get(base, 0) + MORE))


def sizes_that_grow(variant: Variant, larger: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    inside = (name.name for tree in variant.grows.values() for name in names(tree))
    for name in dict.fromkeys(inside):
        if name not in OLD:
            yield name, larger(name.removesuffix("_hat"))
    for size, tree in variant.grows.items():
        if not isinstance(tree, Name):
            yield f"{size}_hat", numpy_text(tree, set(OLD))


def number_names(variant: Variant) -> set[str]:
    return {*OLD, "eps", *(f"{size}_hat" for size in variant.grows), *(name for name, _ in grown_sizes(variant))}


def shape(name: str) -> str:
    return ", ".join(SIDES[name])


def old_lines(variant: Variant, preset: Preset) -> Iterator[str]:
    used = [size for size in OLD if size not in "EN"]
    yield "rng = np.random.default_rng(0)"
    yield f"{', '.join(used)} = {', '.join(str(OLD[size]) for size in used)}"
    yield from (f"{name} = {value}" for name, value in grown_sizes(variant))
    if "eps" in preset.options and preset["eps"]:
        yield "eps = 0.01"
    known = {parameter.name for parameter in PARAMETERS} & {*MODEL, *LAYER, *HEAD}
    yield from (f"{name} = rng.normal(size=({shape(name)}))" for name in (*MODEL, *LAYER, *HEAD) if name in known)


def new_lines(step: Expansion) -> Iterator[str]:
    """New blocks: zero where a constraint says so, what another equation says of a bare block, else random."""
    variant, sizes = step.variant, number_names(step.variant)
    equations = {one.left.name: one.right for one in variant.constraints if isinstance(one.left, Name)}
    for block in variant.new.values():
        if block.name not in equations:
            shape = f"{numpy_text(block.rows, sizes)}, {numpy_text(block.columns, sizes)}"
            yield f"{block.name} = rng.normal(size=({shape}))"
    for name, right in equations.items():
        block = variant.new[name]
        shape = f"({numpy_text(block.rows, sizes)}, {numpy_text(block.columns, sizes)})"
        yield f"{name} = np.zeros({shape})" if show(right) == "0" else f"{name} = {numpy_text(right, sizes)}"


def rewrite_lines(variant: Variant) -> Iterator[str]:
    """Each grown parameter, with the zeros of unnamed shape taken from what they stand beside."""
    sizes = number_names(variant)
    for name, tree in variant.rewrite.items():
        yield f"{name}_hat = {numpy_text(with_zeros(name, tree, variant), sizes)}"
    for what, added in (("head", variant.added_head), ("layer", variant.added_layer)):
        if added is not None:
            yield from (f"{name}_{what} = {numpy_text(tree, sizes)}" for name, tree in added.entries.items())


def with_zeros(name: str, tree: Expression, variant: Variant) -> Expression:
    """A plain 0 in a row or a column of two blocks, with its sizes: what the parameter has grown by."""
    if not isinstance(tree, Blocks):
        return tree
    rows, columns = (grown_side(side, variant) for side in SIDES[name])
    old_rows, old_columns = SIDES[name]

    def sized(part: Expression, i: int, j: int) -> Expression:
        if show(part) != "0":
            return part
        height = old_rows if i == 0 else f"{rows} - {old_rows}"
        width = old_columns if j == 0 else f"{columns} - {old_columns}"
        return Call("0", (Name(height), Name(width)))

    cells = tuple(tuple(sized(part, i, j) for j, part in enumerate(row)) for i, row in enumerate(tree.rows))
    return Blocks(cells)


def grown_side(side: str, variant: Variant) -> str:
    return f"{side}_hat" if side in variant.grows else side


def name_after(variant: Variant, name: str) -> str:
    return f"{name}_hat" if name in variant.rewrite else name


def model_lines(variant: Variant) -> Iterator[str]:
    """Both models' layers."""

    def grown(name: str) -> str:
        return name_after(variant, name)

    yield f"layer = {layer_text([head_text(str)], str)}"
    heads = [head_text(grown), *([head_text(lambda name: f"{name}_head")] if variant.added_head is not None else [])]
    yield f"layer_hat = {layer_text(heads, grown)}"
    if variant.added_layer is not None:
        own = [head_text(lambda name: f"{name}_layer")]
        yield f"new_layer = {layer_text(own, lambda name: f'{name}_layer')}"


def before_line(preset: Preset) -> str:
    return f"before = transformer(I, P, W_out, [layer]{', eps' if preset['eps'] else ''})"


def after_lines(variant: Variant, preset: Preset) -> Iterator[str]:
    entry = ", ".join(name_after(variant, name) for name in MODEL)
    more = ", new_layer" if variant.added_layer is not None else ""
    eps = f", {name_after(variant, 'eps')}" if preset["eps"] else ""
    yield f"after = transformer({entry}, [layer_hat{more}]{eps})"
    yield "print(np.abs(after - before).max())"


def head_text(named: object) -> str:
    return f"dict({', '.join(f'{name}={call(named, name)}' for name in HEAD)})"


def layer_text(heads: Sequence[str], named: object) -> str:
    return f"dict({', '.join(f'{name}={call(named, name)}' for name in LAYER)}, heads=[{', '.join(heads)}])"


def call(named: object, name: str) -> str:
    assert callable(named)
    return str(named(name))


def can_be_written(preset: Preset) -> bool:
    """Whether the short forward pass of a lesson is that of the architecture."""
    return set(parameters(preset)) == {*MODEL, *LAYER, *HEAD}
