"""Terms on z3's real numbers, and questions about them: bounded evidence, never a proof for all sizes.

A query is a list of assertions; z3 looks for numbers that make them all true.  `unsat` says that there are
none, at the sizes of the query; `sat` says that z3 believes in some, and counts only once it is replayed.
Every query has a limit on work, time and memory, and can be written as SMT-LIB 2 for another solver.

A nonlinear function is a fresh number for every argument it is given, with facts that are true of it:
relu(x) is x or 0; d = 1/sqrt(q) has d > 0 and d d q = 1; a row of a softmax is positive, sums to one, and two
rows are equal exactly when their scores differ by one constant; any other f has equal values at equal arguments,
and f(0) = 0 where the kernel says so.  What follows from the facts follows from the functions.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import z3
from sympy import Expr, Rational, sqrt

from ..symbolic.evaluate import Arithmetic, Array
from .rules import FIXES_ZERO

WORK = 2_000_000  # z3's own count of its work: the same on every machine, so that answers do not depend on time
SECONDS = 5
MEGABYTES = 1000


# ---------------------------------------------------------------- queries


@dataclass(frozen=True)
class Query:
    """A question with its name: are there real numbers that make every assertion true?"""

    name: str
    assertions: tuple[z3.BoolRef, ...]


@dataclass(frozen=True)
class Answer:
    """What z3 says, and for `sat` its numbers (to be replayed before they count)."""

    query: Query
    verdict: Literal["sat", "unsat", "unknown"]
    model: z3.ModelRef | None = field(default=None, compare=False)

    @property
    def file_name(self) -> str:
        return file_name(self.query)


def ask(query: Query, work: int = WORK, seconds: int = SECONDS) -> Answer:
    """z3's answer within the limits; `unknown` where they do not suffice.

    >>> x = z3.Real("x")
    >>> ask(Query("a square below zero", (x * x < 0,))).verdict
    'unsat'
    """
    solver = z3.SolverFor("QF_NRA")
    solver.set("ctrl_c", False)  # else z3 takes an interrupt for itself, and nobody hears of it
    solver.set("rlimit", work)
    solver.set("timeout", 1000 * seconds)
    solver.set("max_memory", MEGABYTES)
    solver.add(*query.assertions)
    found = str(solver.check())
    if found == "sat":
        return Answer(query, "sat", solver.model())
    return Answer(query, "unsat" if found == "unsat" else "unknown")


def selects(entries: Array) -> Iterator[z3.BoolRef]:
    """That each column of a matrix has a single 1, and 0 elsewhere."""
    for column in entries.T:
        yield from (z3.Or(entry == 0, entry == 1) for entry in column)
        yield z3.Sum(list(column)) == 1


def smt_lib(query: Query) -> str:
    """The query as SMT-LIB 2 text, for any solver of nonlinear real arithmetic."""
    solver = z3.Solver()
    solver.add(*query.assertions)
    return f"; {query.name}\n(set-logic QF_NRA)\n{solver.to_smt2()}"


def file_name(query: Query) -> str:
    """A file name for a query: the words of its name, and a digest that tells it from every other.

    >>> file_name(Query("M is not zero, s = 2", ()))
    'm-is-not-zero-s-2-017996f3.smt2'
    """
    words = re.sub(r"[^a-z0-9]+", "-", query.name.lower()).strip("-")[:60].strip("-")
    return f"{words}-{hashlib.sha256(query.name.encode()).hexdigest()[:8]}.smt2"


def write(queries: Iterable[Query], folder: Path) -> None:
    """Every query as a file of its own in a folder, which is made where there is none.  Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for query in queries:
        (folder / file_name(query)).write_text(smt_lib(query), encoding="utf-8")


# ---------------------------------------------------------------- arrays of reals


def matrix(name: str, rows: int, columns: int) -> Array:
    """A matrix of unknown reals (rows x columns)."""
    return np.array([[z3.Real(f"{name}[{i},{j}]") for j in range(columns)] for i in range(rows)], dtype=object)


def differ(left: Array, right: Array) -> z3.BoolRef:
    """Two arrays of one shape differ somewhere.  Raises ValueError for different shapes."""
    if left.shape != right.shape:
        raise ValueError(f"found an array of shape {right.shape}, expected {left.shape}")
    return z3.Or(*(a != b for a, b in zip(left.flat, right.flat, strict=True)))


def equal(left: Array, right: Array) -> z3.BoolRef:
    """Two arrays of one shape agree everywhere.  Raises ValueError for different shapes."""
    return z3.Not(differ(left, right))


# ---------------------------------------------------------------- functions on reals


def arithmetic(facts: list[z3.BoolRef]) -> Arithmetic:
    """z3's reals as numbers for `evaluate`; what is true of the values it makes is appended to `facts`.

    Both sides of an equation need one arithmetic, so that equal arguments give equal values.
    """
    functions = _Functions(facts)
    return Arithmetic(
        functions.constant,
        functions.act,
        functions.softmax,
        functions.inverse_root,
        functions.turn,
        largest=functions.largest,
        kept=functions.kept,
    )


class _Functions:
    """The values that were made so far, so that each argument has one value."""

    def __init__(self, facts: list[z3.BoolRef]) -> None:
        self.facts = facts
        self.known: dict[tuple[str, ...], list[z3.ArithRef]] = {}
        self.rows: list[tuple[list[z3.ArithRef], list[z3.ArithRef]]] = []
        self.mixtures: list[tuple[list[z3.ArithRef], list[z3.ArithRef]]] = []
        self.calls: dict[str, list[tuple[z3.ArithRef, z3.ArithRef]]] = {}

    def constant(self, scalar: Expr) -> z3.ArithRef:
        """An exact scalar: a fraction, the root that its square says it is, or some number of its sign."""
        if scalar.is_Rational:
            return z3.RealVal(f"{scalar.p}/{scalar.q}")
        square = (scalar**2).expand()
        if not square.is_Rational:
            found, new = self.value("number", scalar)
            self.facts += [found > 0 if scalar.is_positive else found < 0] if new and scalar.is_nonzero else []
            return found
        factor, base = sqrt(square.p * square.q).as_coeff_Mul()  # sqrt(p/q) = sqrt(p q)/q, squares taken out
        factor = factor / square.q if scalar.is_positive else -factor / square.q
        return z3.RealVal(f"{factor.p}/{factor.q}") * self.root(int(base**2))

    def root(self, n: int) -> z3.ArithRef:
        """The positive root of a whole number that is no square."""
        root, new = self.value("root", n)
        if new:
            self.facts += [root > 0, root * root == n]
        return root

    def value(self, function: str, *arguments: Any) -> tuple[z3.ArithRef, bool]:
        """The one value of a function at an argument, and whether it is new."""
        key = (function, *(a.sexpr() if isinstance(a, z3.ExprRef) else str(a) for a in arguments))
        new = key not in self.known
        if new:
            self.known[key] = [z3.Real(f"{function}.{len(self.known)}")]
        return self.known[key][0], new

    def act(self, name: str, entries: Array) -> Array:
        if name == "relu":
            return each(lambda x: z3.If(x >= 0, x, z3.RealVal(0)), entries)
        return each(lambda x: self.call(name, x), entries)

    def call(self, name: str, x: z3.ArithRef) -> z3.ArithRef:
        """f(x) for a function of which little is known."""
        x = simple(x)
        y, new = self.value(name, x)
        if new:
            calls = self.calls.setdefault(name, [])
            self.facts += [z3.Implies(x == a, y == b) for a, b in calls]
            if name in FIXES_ZERO:
                self.facts.append(z3.Implies(x == 0, y == 0))
            calls.append((x, y))
        return y

    def softmax(self, scores: Array) -> Array:
        return np.array([self.softmax_row([simple(x) for x in row]) for row in scores], dtype=object)

    def softmax_row(self, row: list[z3.ArithRef]) -> list[z3.ArithRef]:
        shifted = [simple(x - row[0]) for x in row]
        values = [self.value(f"softmax{j}", *shifted) for j in range(len(row))]
        weights = [weight for weight, _ in values]
        if values[0][1]:
            self.facts += [*(weight > 0 for weight in weights), z3.Sum(weights) == 1]
            for other, others in self.rows:
                if len(other) == len(row):
                    same = z3.And(*(a == b for a, b in zip(shifted, other, strict=True)))
                    self.facts.append(same == z3.And(*(a == b for a, b in zip(weights, others, strict=True))))
            if all(z3.is_rational_value(x) and x.as_fraction() == 0 for x in shifted):
                self.facts += [weight == z3.RealVal(f"1/{len(row)}") for weight in weights]
            self.rows.append((shifted, weights))
        return weights

    def largest(self, weights: Array, count: int) -> Array:
        """What a router keeps of each row: numbers from 0 that sum to 1, the same for the same weights."""
        return np.array([self.routes(list(row)) for row in weights], dtype=object)

    def kept(self, weights: Array, count: int) -> Array:
        """Each weight or 0, the same for the same row."""
        found = [[self.value(f"kept{j}", *row) for j in range(len(row))] for row in weights]
        for route, weight in zip((r for row in found for r, _ in row), weights.flat, strict=True):
            self.facts.append(z3.Or(route == 0, route == weight))
        return np.array([[route for route, _ in row] for row in found], dtype=object)

    def routes(self, row: list[z3.ArithRef]) -> list[z3.ArithRef]:
        found = [self.value(f"top{j}", *row) for j in range(len(row))]
        kept = [route for route, _ in found]
        if found[0][1]:
            self.facts += [*(route >= 0 for route in kept), z3.Sum(kept) == 1]
            for other, others in self.mixtures:
                if len(other) == len(row):
                    same = z3.And(*(a == b for a, b in zip(row, other, strict=True)))
                    self.facts.append(z3.Implies(same, z3.And(*(a == b for a, b in zip(kept, others, strict=True)))))
            self.mixtures.append((row, kept))
        return kept

    def inverse_root(self, squares: Array) -> Array:
        return each(self.one_inverse_root, squares)

    def turn(self, angles: Array) -> tuple[Array, Array]:
        """cos and sin of every angle: two numbers on the unit circle, the same for the same angle."""
        pairs = each(self.one_turn, angles)
        return each(lambda pair: pair[0], pairs), each(lambda pair: pair[1], pairs)

    def one_turn(self, x: z3.ArithRef) -> tuple[z3.ArithRef, z3.ArithRef]:
        x = simple(x)
        if z3.is_rational_value(x) and x.as_fraction() == 0:
            return z3.RealVal(1), z3.RealVal(0)
        (cos, new), (sin, _) = self.value("turn.cos", x), self.value("turn.sin", x)
        if new:
            self.facts.append(cos * cos + sin * sin == 1)
        return cos, sin

    def one_inverse_root(self, q: z3.ArithRef) -> z3.ArithRef:
        """1/sqrt(q); that q is not zero is part of what is known."""
        q = simple(q)
        if z3.is_rational_value(q) and q.as_fraction() > 0:
            return self.constant(1 / sqrt(Rational(q.as_fraction())))
        d, new = self.value("inverse_root", q)
        if new:
            self.facts += [d > 0, d * d * q == 1]
        return d


def simple(x: Any) -> z3.ArithRef:
    """A sum of monomials, so that equal polynomials are written alike."""
    return z3.simplify(x if isinstance(x, z3.ExprRef) else z3.RealVal(x), som=True)


def each(function: Any, entries: Array) -> Array:
    result = np.empty(entries.shape, dtype=object)
    for index in np.ndindex(entries.shape):
        result[index] = function(entries[index])
    return result
