"""What a study of constraints costs: against the number of new blocks, for the six, and per query to z3 and cvc5.

Run as `python tests/benchmarks/bench_constraints.py`. Targets: 5 s for the sets of the six, 50 ms for each query.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from sympy.core.cache import clear_cache
from timing import print_table, seconds

from growproof.proofs import cross, solver
from growproof.proofs.check import claim_of
from growproof.proofs.constraints import constraints
from growproof.proofs.lattice import enumerate_subsets
from growproof.proofs.liveness import standstill
from growproof.proofs.matrix import SIX
from growproof.proofs.minimal import Study, study
from growproof.proofs.solver import Answer
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.variant import Variant, load, loads

PAPER = PRESETS["paper"]
BASE = paper_model(PAPER)
BLOCKS = range(2, 17, 2)
PAIRS = range(1, 5)
ROUNDS, SLOWEST = 3, 10
TARGET_SIX, TARGET_QUERY = 5.0, 0.05

# ---------------------------------------------------------------- families of variants


def variant_file(title: str, new: dict[str, str], tables: str, zeros: Sequence[str]) -> Variant:
    shapes = "\n".join(f'{name} = "{shape}"' for name, shape in new.items())
    constraints = "\n".join(f'{name} = "0"' for name in zeros)
    text = f'name = "{title}"\n{tables}\n[new]\n{shapes}\n[constraints]\n{constraints}\n'
    return loads(text, f"{title}.toml")


def factors(count: int) -> Variant:
    """One product of so many new blocks is added to the queries: any one of them zero is enough."""
    names = [f"A{i}" for i in range(1, count + 1)]
    shapes = dict.fromkeys(names, "k, k") | {"A1": "h, k"}
    rewrite = f'[rewrite]\nW_Q = "W_Q + {"*".join(names)}"'
    return variant_file(f"{count} factors", shapes, rewrite, names[-1:])


def pairs(count: int) -> Variant:
    """So many pairs of new values and outputs: one zero of each pair is needed, in 2^count ways."""
    numbers = range(1, count + 1)
    shapes = {f"V{i}": "h, q" for i in numbers} | {f"O{i}": "q, h" for i in numbers}
    grows = f'[grows]\nv = "v + {count}*q"\n[rewrite]\n'
    values = f'W_V = "[W_V, {", ".join(f"V{i}" for i in numbers)}]"\n'
    outputs = f'W_O = "[W_O; {"; ".join(f"O{i}" for i in numbers)}]"'
    return variant_file(f"{count} pairs", shapes, grows + values + outputs, [f"O{i}" for i in numbers])


def measured(variant: Variant) -> tuple[Study, float]:
    """A whole enumeration; sympy's caches start empty, as in a fresh process."""
    clear_cache()
    claim = claim_of([variant], BASE)
    start = time.perf_counter()
    found = study(claim)
    return found, time.perf_counter() - start


def row(found: Study, taken: float) -> list[str]:
    sets = found.sorted
    assert (sets.undecided, sets.unsatisfiable, sets.unexplored) == ((), (), False)
    counts = (len(found.choices), 2 ** len(found.choices), len(sets.sufficient), len(sets.insufficient))
    return [*map(str, counts), str(sets.questions), f"{taken:.2f}", f"{1000 * taken / sets.questions:.0f}"]


HEAD = ["blocks", "subsets", "smallest", "largest", "questions", "seconds", "ms each"]


def family(title: str, variants: Iterator[tuple[Variant, int, int]]) -> None:
    """Each variant with the numbers of sets that it must have."""
    rows = []
    for variant, smallest, largest in variants:
        found, taken = measured(variant)
        assert (len(found.sorted.sufficient), len(found.sorted.insufficient)) == (smallest, largest), variant.name
        rows.append(row(found, taken))
    print_table(title, HEAD, rows)


def enumeration_alone() -> None:
    """The same lattices with an oracle that costs nothing: what the search itself takes."""
    rows = []
    for count in BLOCKS:

        def oracle(subset: frozenset[int]) -> str:
            return "sufficient" if subset else "insufficient"

        taken = min(seconds(lambda count=count, oracle=oracle: enumerate_subsets(count, oracle)) for _ in range(ROUNDS))
        rows.append([str(count), f"{1000 * taken:.1f}"])
    print_table("one of n blocks, an oracle that costs nothing; milliseconds", ["blocks", "ms"], rows)


# ---------------------------------------------------------------- the six


Asked = tuple[str, Answer]  # about which expansion, and what z3 said


def six() -> list[Asked]:
    """The six from nothing, part by part; everything that z3 was asked."""
    variants = {name: load(name) for name in SIX}
    constraints(variants[SIX[0]], PAPER)  # what is imported or built once is not the study's time
    rows, answers, times = [], [], []
    for name, variant in variants.items():
        clear_cache()
        start = time.perf_counter()
        found = constraints(variant, PAPER)
        whole = time.perf_counter() - start
        assert found.decided
        sets = seconds(lambda claim=found.claim: study(claim))
        starts = seconds(lambda claim=found.claim: standstill(claim))
        sorts = found.study.sorted
        counts = [len(found.study.choices), len(sorts.sufficient), len(sorts.insufficient), sorts.questions]
        rows.append([name, *map(str, counts), f"{whole:.2f}", f"{sets:.2f}", f"{starts:.2f}", str(len(found.answers))])
        answers += [(name, answer) for answer in found.answers]
        times.append((whole, sets, starts))
    together = [f"{sum(column):.2f}" for column in zip(*times, strict=True)]
    rows.append(["together", "", "", "", "", *together, str(len(answers))])
    head = ["", "blocks", "smallest", "largest", "questions", "all", "sets", "every start", "queries"]
    print_table(f"studies of the six (target {TARGET_SIX:.0f} s for all sets together); seconds", head, rows)
    return answers


# ---------------------------------------------------------------- queries


WIDTH = 80  # of a query's name


def queries(title: str, answers: Sequence[Asked], ask: Callable[[solver.Query], object], rounds: int) -> None:
    """How long each query takes, the median of a few rounds; the slowest of them by name."""
    times = {
        asked: median(seconds(lambda query=asked[1].query: ask(query)) for _ in range(rounds)) for asked in answers
    }
    each, late = list(times.values()), sum(taken > TARGET_QUERY for taken in times.values())
    slowest = sorted(times, key=lambda asked: -times[asked])[:SLOWEST]
    rows = [
        [f"{name}: {found.query.name}"[:WIDTH], found.verdict, f"{1000 * times[name, found]:.1f}"]
        for name, found in slowest
    ]
    print(
        f"\n{title}: {len(each)} queries, {sum(each):.2f} s, median {1000 * median(each):.1f} ms, {late} above target"
    )
    print_table(f"the slowest {SLOWEST} (target {1000 * TARGET_QUERY:.0f} ms); milliseconds", ["", "", "ms"], rows)


def main() -> None:
    family("one product of n new blocks", ((factors(n), n, 1) for n in BLOCKS))
    family("n pairs of new blocks", ((pairs(n), 2**n, n) for n in PAIRS))
    enumeration_alone()
    answers = six()
    queries("z3", answers, solver.ask, ROUNDS)
    if cross.available():
        queries("cvc5", answers, cross.ask, 1)
    else:
        print("\ncvc5 is not installed")


if __name__ == "__main__":
    main()
