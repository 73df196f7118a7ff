"""Growing during training: a small model is trained, grown in all six ways, and trained on.

Each growth is that of the variant file, applied to the numbers; new blocks are random where the constraints leave them
free.  The task is to continue a repeating pattern of three tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from ...proofs.check import claim_of
from ...proofs.drawing import Profile, drawn_blocks, drawn_model
from ...proofs.liveness import Liveness, liveness
from ...symbolic.architecture import PRESETS, paper_model
from ...symbolic.expand import Expansion
from ...symbolic.floats import float_arithmetic
from ...symbolic.instances import Nested, grown, with_matrices
from ...symbolic.variant import SIX, load
from .gradients import Array, Table, Tokens, loss_and_gradient

TOKENS = 6  # as many as positions, so that the table of tokens stands where the input stood
PATTERN = 3
STEPS = 40  # between two growths
RATE = 0.002
SIZES = {"s": TOKENS, "h": 4, "p": 4, "k": 2, "v": 2, "o": TOKENS}
FLOATS = float_arithmetic()


@dataclass(frozen=True)
class Growth:
    """One growth: where in the curve, the loss on either side, and when each new block moved, foretold and seen."""

    name: str
    title: str
    at: int
    before: float
    after: float
    parameters: tuple[int, int]
    foretold: Mapping[str, int | None]
    seen: Mapping[str, int | None]

    @property
    def jump(self) -> float:
        return abs(self.after - self.before)


@dataclass(frozen=True)
class History:
    """The losses, step by step, and the growths; a notebook draws both."""

    losses: tuple[float, ...]
    growths: tuple[Growth, ...]

    def _repr_html_(self) -> str:
        from .page import history_fragment

        return history_fragment(self)


def sequences() -> tuple[Tokens, Tokens]:
    """Every pattern of three different places, repeated; and the token that comes next."""
    patterns = np.array(list(product(range(TOKENS), repeat=PATTERN)))
    return np.tile(patterns, TOKENS // PATTERN), patterns[:, 0]


@lru_cache(maxsize=1)
def trained(names: Sequence[str] = SIX, seed: int = 0) -> History:
    """Train, grow by each variant in turn, and train on."""
    rng = np.random.default_rng(seed)

    def entries(rows: int, columns: int) -> Array:
        return rng.standard_normal((rows, columns)) / np.sqrt(max(rows, 2))

    tokens, target = sequences()
    model = drawn_model(PRESETS["paper"], Profile(SIZES, 1, 1, 2), entries)
    adam, losses, growths = Adam.start(model), list[float](), list[Growth]()
    for name in names:
        model, adam, found = several(model, adam, tokens, target, STEPS)
        losses += found
        claim = claim_of([load(name)], paper_model(PRESETS["paper"]))
        step = claim.steps[0]
        new = drawn_blocks(step, model, Profile(SIZES, len(model["layers"][0]["heads"]), 1, 2, 2), entries, rng)
        assert new is not None
        larger = grown(step, model, new, FLOATS)
        before, after = (loss_and_gradient(one, tokens, target)[0] for one in (model, larger))
        foretold = liveness(claim)
        places = {block: marks(step, model, new, block) for block in foretold.first}
        counts = (parameters(model), parameters(larger))
        seen = moving(larger, tokens, target, places, last(foretold))
        growths.append(Growth(name, step.variant.name, len(losses), before, after, counts, foretold.first, seen))
        model, adam = larger, Adam.start(larger)
    _, _, found = several(model, adam, tokens, target, STEPS)
    return History((*losses, *found), tuple(growths))


def last(found: Liveness) -> int:
    return max(found.steps, default=1) + 1


def several(model: Nested, adam: Adam, tokens: Tokens, target: Tokens, count: int) -> tuple[Nested, Adam, list[float]]:
    """So many steps, with the loss before each."""
    losses = []
    for _ in range(count):
        loss, gradient = loss_and_gradient(model, tokens, target)
        losses.append(loss)
        model, adam = adam.step(model, gradient)
    return model, adam, losses


def moving(
    model: Nested, tokens: Tokens, target: Tokens, places: Mapping[str, Table], steps: int
) -> dict[str, int | None]:
    """The first step of training at which an entry of each block moves; None if none does in so many."""
    adam, seen = Adam.start(model), dict.fromkeys(places, None)
    found: dict[str, int | None] = {**seen}
    for count in range(1, steps + 1):
        after, adam = adam.step(model, loss_and_gradient(model, tokens, target)[1])
        for block, marked in places.items():
            if found[block] is None and any(
                bool((one != other)[mark].any()) for one, other, mark in zip3(model, after, marked)
            ):
                found[block] = count
        model = after
    return found


def marks(step: Expansion, model: Nested, new: Nested, block: str) -> Table:
    """The entries of the grown model that a block fills, in every layer and head."""
    nothing = with_matrices(model, np.zeros_like)
    alone = grown(step, nothing, only(new, block), FLOATS)
    return with_matrices(alone, lambda entries: entries != 0)


def only(new: Any, block: str) -> Any:
    """New blocks with ones in one of them and zeros in all others."""
    if isinstance(new, dict):
        ones = {n: np.full_like(e, n == block) for n, e in new.items() if isinstance(e, np.ndarray)}
        return {**{n: only(e, block) for n, e in new.items()}, **ones}
    return [only(one, block) for one in new] if isinstance(new, list) else new


def zip3(*nested: Any) -> Iterator[tuple[Array, ...]]:
    """The matrices of tables of one form, side by side."""
    first = nested[0]
    if isinstance(first, dict):
        for name in first:
            if name not in ("scalars", "sizes"):
                yield from zip3(*(one[name] for one in nested))
    elif isinstance(first, list):
        for members in zip(*nested, strict=True):
            yield from zip3(*members)
    else:
        yield nested


def parameters(model: Nested) -> int:
    return sum(matrix.size for (matrix,) in zip3(model))


@dataclass(frozen=True)
class Adam:
    """Adam, with the means of the gradient and of its square; what has no gradient does not move at all."""

    mean: Any
    square: Any
    count: int = 0

    @staticmethod
    def start(model: Nested) -> Adam:
        return Adam(zeros_like(model), zeros_like(model))

    def step(self, model: Nested, gradient: Table) -> tuple[Nested, Adam]:
        count = self.count + 1
        mean = combined(lambda m, g: 0.9 * m + 0.1 * g, self.mean, gradient)
        square = combined(lambda v, g: 0.99 * v + 0.01 * g * g, self.square, gradient)
        corrections = 1 - 0.9**count, 1 - 0.99**count

        def moved(w: Array, m: Array, v: Array) -> Array:
            return w - RATE * (m / corrections[0]) / (np.sqrt(v / corrections[1]) + 1e-8)

        return {**model, **combined(moved, model, mean, square)}, Adam(mean, square, count)


def zeros_like(model: Nested) -> Any:
    return combined(np.zeros_like, model)


def combined(change: Any, *nested: Any) -> Any:
    """Tables of one form combined matrix by matrix."""
    first = nested[0]
    if isinstance(first, dict):
        names = [name for name in first if name not in ("scalars", "sizes")]
        return {name: combined(change, *(one[name] for one in nested)) for name in names}
    if isinstance(first, list):
        return [combined(change, *members) for members in zip(*nested, strict=True)]
    return change(*nested)
