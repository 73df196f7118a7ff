"""Find numbers that break it: the old model is small and given, the answer fills the new blocks of a false variant.

Right are all numbers that meet the constraints and change what numpy computes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ...proofs.choices import given
from ...proofs.counterexample import CLEARLY, Counterexample, Instance, expanded, find_any, replay, replayed
from ...proofs.drawing import satisfied, tables_of
from ...proofs.exactly import fractions, holds_exactly
from ...symbolic.architecture import PRESETS, paper_model
from ...symbolic.errors import VariantError
from ...symbolic.evaluate import Array
from ...symbolic.expand import expand
from ...symbolic.instances import Nested, with_matrices
from ...symbolic.notation import name_latex
from ...symbolic.syntax import nearest
from ...symbolic.variant import loads
from ..answers import matrix_text, sizes_of, tables, tables_json
from ..sections import matrix_latex, place
from .exercise import Exercise, Feedback, Given, Kind, Offline
from .judging import refuted
from .reading import described, number_in, quoted

Numbers = dict[str, Array]
LARGEST = 1000  # of a number in an answer
ROW_OF_ZEROS = "a norm meets a row that is zero, or rounds to zero, and divides 0 by 0: try other or smaller numbers"
LEAST = 2.0**-31  # a smaller difference of the outputs is not told from rounding


def example(exercise: Exercise) -> Counterexample:
    """The model that the question is about: that of the program's own counterexample, with nothing made zero."""
    return example_of(exercise.variant.text, exercise.preset.name)


@lru_cache(maxsize=64)
def example_of(variant: str, preset: str) -> Counterexample:
    found = find_any([expand(paper_model(PRESETS[preset]), loads(variant, "<lesson>"))])
    if found is None:
        raise VariantError("no numbers break this variant", found=preset, expected="a variant that can be refuted")
    return found


def blocks(found: Counterexample) -> Numbers:
    """The new blocks that may be other than zero, as they are in the example."""
    fixed, _ = given(found.steps[0])
    return {name: array for name, array in arrays(found.instance.new[0]) if name not in fixed}


def arrays(new: Nested) -> Iterator[tuple[str, Array]]:
    for table in tables_of(new):
        yield from ((name, entry) for name, entry in table.items() if isinstance(entry, np.ndarray))


# ---------------------------------------------------------------- answers


def read(answer: object, found: Counterexample) -> Numbers:
    """The blocks of an answer as matrices: a table, or lines `M = [1, 2; 3, 4]`.  Raises VariantError."""
    if isinstance(answer, str):
        answer = dict(assignments(answer))
    if not isinstance(answer, dict):
        raise VariantError("this is no table of blocks", found=described(answer))
    free = blocks(found)
    every = dict(arrays(found.instance.new[0]))
    given = {name: matrix(name, value, every[named(name, every)].shape) for name, value in answer.items()}
    for name, array in given.items():
        if name not in free and array.any():
            raise VariantError(f"{name} is not free", found=matrix_text(array), expected="0, as the variant says")
    return {name: array for name, array in given.items() if name in free}


ASSIGNMENT = re.compile(
    r"""
    [\s,;{]*+ (?:and\b\s*+)?+
    ["'`]?+ ([A-Za-z]\w*+) ["'`]?+ \s*+ [=:] \s*+
    ( \[ (?: [^\[\]=:] | \[ [^\[\]=:]*+ \] )*+ \] | \( [^()=:]*+ \) | [^\s,;}=:\[(]++ )
    [\s,;}.]*+
    """,
    re.VERBOSE,
)


def assignments(text: str) -> Iterator[tuple[str, str]]:
    """Every block of a text with its value; nothing is left out.  Raises VariantError.

    >>> dict(assignments("M_A = [1, 2; 3, 4], M_B: +2 and M_C = (1, 0)"))
    {'M_A': '[1, 2; 3, 4]', 'M_B': '+2', 'M_C': '(1, 0)'}
    """
    at = 0
    while at < len(text):
        found = ASSIGNMENT.match(text, at)
        if found is None:
            raise VariantError("this gives no block a value", found=quoted(text[at:].strip()))
        yield found[1], found[2]
        at = found.end()


def named(name: str, known: Numbers) -> str:
    if name not in known:
        guess = nearest(name, known)
        wanted = f"`{guess}`" if guess else f"one of {', '.join(known)}"
        raise VariantError("there is no such block here", found=quoted(name), expected=wanted)
    return name


def matrix(name: str, value: object, shape: tuple[int, ...]) -> Array:
    """The entries of a block; 0 for one that is zero.  Raises VariantError for another shape, and for no numbers."""
    wanted = f"{shape[0]} x {shape[1]} numbers from {-LARGEST} to {LARGEST}, such as {matrix_text(np.ones(shape))}"
    entries = [[number_in(entry) for entry in row] for row in rows_in(value)]
    if entries == [[0]]:
        return np.zeros(shape)
    widths = {len(row) for row in entries}
    if widths != {shape[1]} or len(entries) != shape[0]:
        size = " or ".join(map(str, sorted(widths)))
        raise VariantError(f"{name} does not fit", found=f"{len(entries)} x {size}", expected=wanted)
    numbers = [entry for row in entries for entry in row if entry is not None and abs(entry) <= LARGEST]
    if len(numbers) < shape[0] * shape[1]:
        raise VariantError(f"{name} has no such value", found=described(value), expected=wanted)
    return np.array([float(entry) for entry in numbers]).reshape(shape)


def rows_in(value: object) -> list[list[object]]:
    """A matrix as rows, however it is written: nested lists, `[1, 2; 3, 4]`, or a single number."""
    if isinstance(value, str):
        inner = value.strip().removeprefix("[").removesuffix("]").replace("],", ";")
        return [list(re.split(r"[,\s]+", row.strip(" \t\n[](),"))) for row in inner.split(";")]
    if not isinstance(value, list):
        return [[value]]
    return [row if isinstance(row, list) else [row] for row in value] if holds_rows(value) else [value]


def holds_rows(value: list[object]) -> bool:
    return any(isinstance(row, list) for row in value)


def instance(found: Counterexample, numbers: Numbers) -> Instance:
    """The example with other new blocks, the same in every layer and head; what is not given is zero."""
    free = blocks(found)

    def filled(nested: Any) -> Any:
        if isinstance(nested, dict):
            here = {name: numbers.get(name, 0 * entry) for name, entry in nested.items() if name in free}
            return {**{name: filled(entry) for name, entry in nested.items()}, **here}
        return [filled(one) for one in nested] if isinstance(nested, list) else nested

    (new,) = found.instance.new
    return Instance(found.instance.old, (filled(new),))


def check(exercise: Exercise, answer: Any) -> Feedback:
    found = example(exercise)
    tried = instance(found, read(answer, found))
    (step,), (new,) = found.steps, tried.new
    if not satisfied(step, fractions(tried.old), fractions(new), holds_exactly):
        return Feedback(False, "these numbers do not meet the constraints of the variant")
    try:
        apart = replay(found.steps, tried)
    except ValueError:
        return Feedback(False, ROW_OF_ZEROS)
    free = tuple(blocks(found))
    if apart.max_abs <= LEAST or apart.ratio <= CLEARLY:
        text = f"the outputs differ by only {apart.max_abs:.2g}, too little to tell it from rounding"
        return Feedback(False, f"{text}; try other or larger numbers for {', '.join(free)}", block=free)
    witness = replayed(found.steps, tried)
    because = ", ".join(refuted(witness).block or free)
    return Feedback(True, f"the outputs differ by {apart.max_abs:.3g}, because of {because}", witness)


def solution(exercise: Exercise) -> dict[str, Any]:
    return {name: tables_json(array) for name, array in blocks(example(exercise)).items()}


# ---------------------------------------------------------------- the page


def page(exercise: Exercise) -> Offline:
    """The two models for the script: the old one, and the grown one as sums over the entries of the new blocks."""
    found = example(exercise)
    shapes = {name: array.shape for name, array in blocks(found).items()}
    units = [(name, i, j) for name, (rows, columns) in shapes.items() for i in range(rows) for j in range(columns)]
    base = expanded(found.steps, instance(found, {}))
    slopes = [minus(expanded(found.steps, instance(found, unit(shapes[n], n, i, j))), base) for n, i, j in units]
    data = {
        "blocks": {name: list(shape) for name, shape in shapes.items()},
        "old": floats(found.instance.old),
        "grown": floats(base),
        "slopes": [floats(one) for one in slopes],
        "least": LEAST,
        "largest": LARGEST,
        "zeroRow": ROW_OF_ZEROS,
        "eps": [float(number) for number in found.scalars.get("eps", (0, 0))],
    }
    return Offline(data) if is_affine(found, shapes, base, slopes) else Offline({})


def unit(shape: tuple[int, ...], name: str, i: int, j: int) -> Numbers:
    found = np.zeros(shape)
    found[i, j] = 1
    return {name: found}


def minus(one: Any, other: Any) -> Any:
    """The difference of two tables, matrix by matrix."""
    if isinstance(one, dict):
        return {name: minus(entry, other[name]) for name, entry in one.items() if name not in ("scalars", "sizes")}
    if isinstance(one, list):
        return [minus(*pair) for pair in zip(one, other, strict=True)]
    return one - other if isinstance(one, np.ndarray) else one


def is_affine(
    found: Counterexample, shapes: Mapping[str, tuple[int, ...]], base: Nested, slopes: Sequence[Any]
) -> bool:
    """Whether the grown model is what the script adds up, tried at one more place; and one that it can run."""
    numbers = {
        name: np.arange(2.0, 2 + rows * columns).reshape(rows, columns) for name, (rows, columns) in shapes.items()
    }
    factors = [entry for array in numbers.values() for entry in array.ravel()]
    left = minus(expanded(found.steps, instance(found, numbers)), base)
    for factor, slope in zip(factors, slopes, strict=True):
        left = minus(left, times(factor, slope))
    same = all(np.abs(entry).max() < 1e-9 for _, entry in arrays(left))
    only_zeros = not given(found.steps[0])[1]
    return same and only_zeros and found.steps[0].old.preset.is_paper


def times(factor: float, nested: Any) -> Any:
    return with_matrices(nested, lambda entries: factor * entries)


def floats(nested: Any) -> Any:
    """Tables as JSON: matrices as lists of numbers."""
    if isinstance(nested, dict):
        return {name: floats(entry) for name, entry in nested.items() if name not in ("scalars", "sizes")}
    if isinstance(nested, list):
        return [floats(one) for one in nested]
    return nested.tolist() if isinstance(nested, np.ndarray) else nested


def given_model(exercise: Exercise) -> Given:
    """The old model, but for what is zero in it, and the shapes of the free blocks."""
    found = example(exercise)
    sizes = (f"{name_latex(name)} = {value}" for name, value in sizes_of(found).items())
    matrices = (
        f"{place(where)}{name_latex(name)} = {matrix_latex(array)}"
        for where, name, array in tables("", found.instance.old)
    )
    shapes = (f"{name}: {array.shape[0]} x {array.shape[1]}" for name, array in blocks(found).items())
    return Given((*sizes, *matrices), tuple(shapes))


NUMBERS = Kind(
    "numbers",
    "numbers for the new blocks, such as {'M_A': [[1, 0]]} or 'M_A = [1, 0]'",
    check,
    solution,
    page,
    given_model,
)
