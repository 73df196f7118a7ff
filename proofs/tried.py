"""What was tried for a claim that stays undecided: the prover's strategies, and numbers that meet the constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .check import Claim
from .counterexample import TRIALS, drawn
from .drawing import Profile, profiles
from .prover import STRATEGIES


@dataclass(frozen=True)
class Drawn:
    """Instances of some old sizes: how many were drawn, and how many of them meet the constraints and were run."""

    sizes: Mapping[str, int] = field(hash=False)
    drawn: int
    run: int


@dataclass(frozen=True)
class Tried:
    """The strategies, each with its rules, and the instances; no run of these changed the output."""

    strategies: tuple[tuple[str, ...], ...]
    instances: tuple[Drawn, ...]

    @property
    def run(self) -> int:
        return sum(one.run for one in self.instances)

    @property
    def drawn(self) -> int:
        return sum(one.drawn for one in self.instances)


def tried(claims: Sequence[Claim], seed: int = 0) -> Tried:
    """What `check` tries for a chain of variants: the same numbers are drawn once more, to count them.

    A claim without a stream map is not put to the prover.
    """
    steps = [claim.steps[0] for claim in claims]
    rng = np.random.default_rng(seed)
    counted = []
    for profile in profiles(steps):
        found = [drawn(steps, profile, rng) for _ in range(TRIALS)]
        counted.append(Drawn(sizes_of(profile), len(found), sum(one is not None for one in found)))
    return Tried(STRATEGIES if any(claim.goals for claim in claims) else (), tuple(counted))


def sizes_of(profile: Profile) -> dict[str, int]:
    """The old sizes, and how many layers and heads; how far the sizes grow is part of the draw."""
    return {**profile.sizes, "N": profile.layers, "E": profile.heads, "growth": profile.ratio}
