"""The same claims by element-wise z3, by explicit sympy matrices, and by growproof: where each stops.

The rivals check one concrete size at a time, with a symbol for every entry, and only the sublayer's own
equation. growproof proves the whole model's for all sizes. The MLP grows from p = n to 2n and the queries and
keys from k = n to 2n, with s = h = n. A size that takes longer than LIMIT is stopped, and larger ones are not tried.

Run as `python tests/benchmarks/bench_rivals.py`.
"""

import multiprocessing
import resource
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np
import sympy
import z3
from sympy.core.cache import clear_cache
from timing import print_table

from growproof.proofs.check import check
from growproof.symbolic.architecture import PRESETS
from growproof.symbolic.variant import load

LIMIT = 10.0
LARGEST_MEMORY = 6 * 2**30
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
Array = np.ndarray
Constraint = Callable[[Array], list[z3.BoolRef]]


# ---------------------------------------------------------------- z3, entry by entry


def reals(name: str, rows: int, columns: int) -> Array:
    entries = [[z3.Real(f"{name}_{i}_{j}") for j in range(columns)] for i in range(rows)]
    return np.array(entries, dtype=object)


def each(work: Callable[[z3.ArithRef], z3.ArithRef], entries: Array) -> Array:
    return np.vectorize(work, otypes=[object])(entries)


def relu(entries: Array) -> Array:
    return each(lambda x: z3.If(x > 0, x, z3.RealVal(0)), entries)


def always_equal(left: Array, right: Array, *facts: z3.BoolRef) -> bool:
    """Whether z3 finds that no values that meet the facts make any entry differ."""
    solver = z3.Solver()
    solver.add(*facts, z3.Or([a != b for a, b in zip(left.flat, right.flat, strict=True)]))
    return solver.check() == z3.unsat


def zero(entries: Array) -> list[z3.BoolRef]:
    return [entry == 0 for entry in entries.flat]


def free(entries: Array) -> list[z3.BoolRef]:
    return []


def z3_mlp(n: int, constraint: Constraint = zero) -> bool:
    """relu(X W_l1 + b_l1) W_l2 + b_l2 before and after definition 3.1; the constraint is on M_W_l2."""
    X, W1, b1, W2, b2 = (reals(*q) for q in (("X", n, n), ("W1", n, n), ("b1", 1, n), ("W2", n, n), ("b2", 1, n)))
    M1, Mb, M2 = reals("M1", n, n), reals("Mb", 1, n), reals("M2", n, n)
    old = relu(X @ W1 + b1) @ W2 + b2
    new = relu(X @ np.hstack([W1, M1]) + np.hstack([b1, Mb])) @ np.vstack([W2, M2]) + b2
    return always_equal(old, new, *constraint(M2))


def z3_scores(n: int, constraint: Constraint = zero) -> bool:
    """(X W_Q) (X W_K)' / sqrt(k) before and after definition 3.4; the constraint is on M_W_K.

    The roots are reals with the right squares.
    """
    X, Q, K, MQ, MK = (reals(name, n, n) for name in ("X", "Q", "K", "MQ", "MK"))
    a, b, c = z3.Reals("a b c")
    roots = [a > 0, b > 0, c > 0, a * a * n == 1, b * b * 2 * n == 1, c * c == 2]
    new_keys = np.hstack([each(lambda x: c * x, K), MK])
    old = each(lambda x: a * x, (X @ Q) @ (X @ K).T)
    new = each(lambda x: b * x, (X @ np.hstack([Q, MQ])) @ (X @ new_keys).T)
    return always_equal(old, new, *roots, *constraint(MK))


# ---------------------------------------------------------------- explicit sympy matrices


def symbols(name: str, rows: int, columns: int) -> sympy.Matrix:
    return sympy.Matrix(rows, columns, lambda i, j: sympy.Symbol(f"{name}_{i}_{j}", real=True))


def sympy_mlp(n: int, M2: sympy.Matrix | None = None) -> sympy.Matrix:
    """The difference that definition 3.1 makes, with M_W_l2 = 0 unless given."""
    X, W1, b1, W2, b2 = (symbols(*q) for q in (("X", n, n), ("W1", n, n), ("b1", 1, n), ("W2", n, n), ("b2", 1, n)))
    M1, Mb, row = symbols("M1", n, n), symbols("Mb", 1, n), sympy.ones(n, 1)

    def mlp(W1: sympy.Matrix, b1: sympy.Matrix, W2: sympy.Matrix) -> sympy.Matrix:
        return (X * W1 + row * b1).applyfunc(lambda x: sympy.Max(x, 0)) * W2 + row * b2

    wide = W1.row_join(M1), b1.row_join(Mb), W2.col_join(sympy.zeros(n, n) if M2 is None else M2)
    return mlp(*wide) - mlp(W1, b1, W2)


def sympy_scores(n: int, MK: sympy.Matrix | None = None) -> sympy.Matrix:
    """The difference that definition 3.4 makes, with M_W_K = 0 unless given."""
    X, Q, K, MQ = (symbols(name, n, n) for name in ("X", "Q", "K", "MQ"))
    new_keys = (sympy.sqrt(2 * n) / sympy.sqrt(n) * K).row_join(sympy.zeros(n, n) if MK is None else MK)
    new = X * Q.row_join(MQ) * (X * new_keys).T / sympy.sqrt(2 * n)
    return new - X * Q * (X * K).T / sympy.sqrt(n)


def is_expanded_to_zero(difference: sympy.Matrix) -> bool:
    return difference.applyfunc(sympy.expand).is_zero_matrix is True


def is_simplified_to_zero(difference: sympy.Matrix) -> bool:
    return sympy.simplify(difference).is_zero_matrix is True


# ---------------------------------------------------------------- until they stop


def timed(work: Callable[[int], bool], n: int, answer: Connection) -> None:
    """Run in a process of its own: whether the claim was proved at this size, and in what time."""
    resource.setrlimit(resource.RLIMIT_AS, (LARGEST_MEMORY, LARGEST_MEMORY))
    start = time.perf_counter()
    proved = work(n)
    answer.send((proved, time.perf_counter() - start))


def until_it_stops(work: Callable[[int], bool]) -> list[str]:
    """The seconds at each size, as far as they go, then what happened."""
    cells = []
    fork = multiprocessing.get_context("fork")
    for n in SIZES:
        receiver, sender = fork.Pipe(duplex=False)
        process = fork.Process(target=timed, args=(work, n, sender))
        process.start()
        sender.close()
        try:
            proved, taken = receiver.recv() if receiver.poll(LIMIT) else (None, LIMIT)
        except EOFError:
            proved, taken = None, 0.0
        process.kill()
        process.join()
        cells.append(f"{taken:.2f}" if proved else f"> {LIMIT:.0f}" if taken == LIMIT else "fails")
        if not proved:
            break
    return cells + [""] * (len(SIZES) - len(cells))


RIVALS: dict[str, Callable[[int], bool]] = {
    "MLP, z3": z3_mlp,
    "MLP, sympy expand": lambda n: is_expanded_to_zero(sympy_mlp(n)),
    "MLP, sympy simplify": lambda n: is_simplified_to_zero(sympy_mlp(n)),
    "scores, z3": z3_scores,
    "scores, sympy expand": lambda n: is_expanded_to_zero(sympy_scores(n)),
    "scores, sympy simplify": lambda n: is_simplified_to_zero(sympy_scores(n)),
}


def check_that_each_can_fail() -> None:
    """Without its constraint each claim is false, and each rival must say so."""
    assert not z3_mlp(1, free)
    assert not z3_scores(1, free)
    for difference in (sympy_mlp(1, symbols("M2", 1, 1)), sympy_scores(1, symbols("MK", 1, 1))):
        assert not is_expanded_to_zero(difference)
        assert not is_simplified_to_zero(difference)


def growproof(name: str) -> list[str]:
    """The verdict and its time; sympy's caches start empty, as in a fresh process."""
    variant = load(name)
    clear_cache()
    start = time.perf_counter()
    answer = check([variant], PRESETS["paper"])
    return [f"growproof {name}", answer.verdict, f"{time.perf_counter() - start:.3f}"]


def main() -> None:
    check_that_each_can_fail()
    rows = [[name, *until_it_stops(work)] for name, work in RIVALS.items()]
    head = ["one size at a time, n =", *map(str, SIZES)]
    print_table(f"entry by entry, one equation; seconds, stopped at {LIMIT:.0f}", head, rows)
    rows = [growproof("mlp-expansion"), growproof("attention-expansion")]
    print_table("the whole model, all sizes at once; seconds", ["", "verdict", "seconds"], rows)


if __name__ == "__main__":
    main()
