"""Every subset of some choices, sorted by an oracle, with few questions: a MARCO enumeration.

The choices are equations that an initialiser may make true.  More equations can only help, so sufficient sets are
closed upwards and insufficient ones downwards; a contradictory set stays contradictory when it grows.  A z3 map
remembers which subsets are decided; the largest that is not is asked about, and its answer is stretched as far as
it goes before it enters the map.  In the end the answers together cover every subset, which is checked anew.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import z3

Subset = frozenset[int]
Sort = Literal["sufficient", "insufficient", "undecided", "unsatisfiable"]
SORTS: tuple[Sort, ...] = ("sufficient", "insufficient", "undecided", "unsatisfiable")
Oracle = Callable[[Subset], Sort]


class CoverageError(Exception):
    """The answers leave a subset out, or say two things of one: an oracle is not what it must be."""


@dataclass(frozen=True)
class Limits:
    """When to stop before everything is decided: questions to the oracle, and seconds."""

    questions: int = 100_000
    seconds: float = float("inf")


@dataclass(frozen=True)
class Sorted:
    """The subsets of `count` choices: minimal sufficient, maximal insufficient, undecided, minimal contradictory ones.

    `unexplored` says that a limit came first; what is listed holds all the same.
    """

    count: int
    sufficient: tuple[Subset, ...] = ()
    insufficient: tuple[Subset, ...] = ()
    undecided: tuple[Subset, ...] = ()
    unsatisfiable: tuple[Subset, ...] = ()
    unexplored: bool = False
    questions: int = 0
    answers: Mapping[Subset, Sort] = field(default_factory=dict, compare=False)  # to every question ever asked

    def sort(self, subset: Subset) -> Sort | None:
        """What is known of a subset; None where the enumeration did not reach it."""
        if any(found <= subset for found in self.unsatisfiable):
            return "unsatisfiable"
        if any(found <= subset for found in self.sufficient):
            return "sufficient"
        if any(subset <= found for found in self.insufficient):
            return "insufficient"
        return "undecided" if subset in self.undecided else None


def sets(count: int, groups: Mapping[Sort, tuple[Subset, ...]]) -> Sorted:
    """The subsets of each sort."""
    sufficient, insufficient, undecided, unsatisfiable = (groups[sort] for sort in SORTS)
    return Sorted(count, sufficient, insufficient, undecided, unsatisfiable)


Keep = Callable[[Sorted], None]


def enumerate_subsets(
    count: int,
    oracle: Oracle,
    first: Iterable[Subset] = (),
    limits: Limits | None = None,
    known: Sorted | None = None,
    keep: Keep = lambda found: None,
) -> Sorted:
    """Sort every subset of `count` choices, beginning with those of `first`.

    `known` is what an earlier run found, with its answers, none of which is asked for again; `keep` is given
    everything found so far, after every question.  What contradicts itself has to be known beforehand: the oracle
    alone may call it sufficient.  Raises CoverageError where the oracle contradicts itself.
    """
    search = _Search(count, oracle, limits or Limits(), known or Sorted(count), keep)
    return search.run(list(first))


class _LimitError(Exception):
    """A limit was reached before everything was decided."""


class _Search:
    def __init__(self, count: int, oracle: Oracle, limits: Limits, known: Sorted, keep: Keep) -> None:
        self.count, self.oracle, self.limits, self.keep = count, oracle, limits, keep
        self.answers: dict[Subset, Sort] = dict(known.answers)
        self.start, self.asked = time.monotonic(), 0
        self.map = z3.SolverFor("QF_FD")
        self.map.set("ctrl_c", False)
        self.flags = flags(count)
        self.found: dict[Sort, list[Subset]] = {
            "sufficient": list(known.sufficient),
            "insufficient": list(known.insufficient),
            "undecided": list(known.undecided),
            "unsatisfiable": list(known.unsatisfiable),
        }
        self.map.add(*(z3.Not(covers(sort, s, self.flags)) for sort, found in self.found.items() for s in found))

    def run(self, first: list[Subset]) -> Sorted:
        try:
            while (subset := self.next_subset(first)) is not None:
                self.explore(subset)
        except _LimitError:
            return self.result(unexplored=True)
        result = self.result(unexplored=False)
        check_coverage(result)
        return result

    def result(self, unexplored: bool) -> Sorted:
        said = {sort: {s for s, answer in self.answers.items() if answer == sort} for sort in self.found}
        kept = {sort: extreme(sort, said[sort] | set(found)) for sort, found in self.found.items()}
        decided = sets(self.count, {**kept, "undecided": ()})
        kept["undecided"] = tuple(subset for subset in kept["undecided"] if decided.sort(subset) is None)
        found = sets(self.count, kept)
        return replace(found, unexplored=unexplored, questions=self.asked, answers=dict(self.answers))

    def next_subset(self, first: list[Subset]) -> Subset | None:
        """A subset that the map knows nothing of: the given ones first, then one as large as can be."""
        while first:
            subset = first.pop(0)
            if self.is_open(subset):
                return subset
        if self.map.check() != z3.sat:
            return None
        found = self.map.model()
        subset = frozenset(i for i, flag in enumerate(self.flags) if not z3.is_false(found[flag]))
        for i in range(self.count):
            if i not in subset and self.is_open(subset | {i}):
                subset |= {i}
        return subset

    def is_open(self, subset: Subset) -> bool:
        return self.map.check(*(flag if i in subset else z3.Not(flag) for i, flag in enumerate(self.flags))) == z3.sat

    def ask(self, subset: Subset) -> Sort:
        """The oracle's answer, asked once; a limit ends the search."""
        if subset not in self.answers:
            if self.asked >= self.limits.questions or time.monotonic() - self.start > self.limits.seconds:
                raise _LimitError
            self.asked += 1
            self.answers[subset] = self.oracle(subset)
            self.keep(self.result(unexplored=True))
        return self.answers[subset]

    def explore(self, subset: Subset) -> None:
        """Ask about a subset, stretch the answer, and enter it into the map."""
        sort = self.ask(subset)
        if sort in ("sufficient", "unsatisfiable"):
            subset = self.stretched(subset, sort, (subset - {i} for i in sorted(subset)))
        elif sort == "insufficient":
            subset = self.stretched(subset, sort, (subset | {i} for i in range(self.count) if i not in subset))
        self.found[sort].append(subset)
        self.map.add(z3.Not(covers(sort, subset, self.flags)))

    def stretched(self, subset: Subset, sort: Sort, changes: Iterable[Subset]) -> Subset:
        """The subset after every change by one choice under which the answer stays the same."""
        start = subset
        for changed in changes:
            other = (subset - (start - changed)) | (changed - start)
            if self.ask(other) == sort:
                subset = other
        return subset


def flags(count: int) -> list[z3.BoolRef]:
    return [z3.Bool(f"choice{i}") for i in range(count)]


def covers(sort: Sort, found: Subset, chosen: Sequence[z3.BoolRef]) -> z3.BoolRef:
    """That an answer speaks of the chosen subset: of larger ones, of smaller ones, or of itself only."""
    inside = z3.And(*(chosen[i] for i in sorted(found)))
    outside = z3.And(*(z3.Not(flag) for i, flag in enumerate(chosen) if i not in found))
    return {"insufficient": outside, "undecided": z3.And(inside, outside)}.get(sort, inside)


SAYS_MORE: dict[Sort, Callable[[Any, Any], bool]] = {
    "sufficient": operator.lt,
    "insufficient": operator.gt,
    "undecided": lambda other, subset: False,
    "unsatisfiable": operator.lt,
}


def extreme(sort: Sort, found: set[Subset]) -> tuple[Subset, ...]:
    """The subsets that say most, in order: the smallest of a sort, the largest insufficient, every undecided one."""
    further = SAYS_MORE[sort]
    kept = [s for s in found if not any(further(other, s) for other in found)]
    return tuple(sorted(kept, key=lambda s: (len(s), sorted(s))))


def check_coverage(found: Sorted) -> None:
    """Every subset is sorted, and none in two ways that exclude each other.  Raises CoverageError."""
    chosen, solver = flags(found.count), z3.SolverFor("QF_FD")
    groups: dict[Sort, tuple[Subset, ...]] = {
        "sufficient": found.sufficient,
        "insufficient": found.insufficient,
        "undecided": found.undecided,
        "unsatisfiable": found.unsatisfiable,
    }
    answers = [(sort, subset) for sort, subsets in groups.items() for subset in subsets]
    solver.add(*(z3.Not(covers(sort, subset, chosen)) for sort, subset in answers))
    if solver.check() != z3.unsat:
        raise CoverageError("a subset of the choices is not sorted")
    for low in found.sufficient:
        for high in found.insufficient:
            if low <= high:
                raise CoverageError(f"choices {sorted(low)} are sufficient, and more of them are not")
    for low in found.unsatisfiable:
        for high in found.insufficient:
            if low <= high:
                raise CoverageError(f"choices {sorted(low)} cannot be met, and numbers meet more of them")
