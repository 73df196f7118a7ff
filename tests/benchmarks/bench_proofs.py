"""Proof times: the six theorems, at symbolic and at concrete sizes, long chains, and all orders of the six.

Run as `python tests/benchmarks/bench_proofs.py [ORDERS]`. So many of the 720 orders, drawn with a fixed seed, are
also derived directly on the composed rewrite: 72 unless given, all with 720.
"""

import itertools
import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from statistics import median

from sympy import Integer
from sympy.core.cache import clear_cache
from timing import interleaved, print_table, print_times, seconds

from growproof.proofs.check import Claim, chain, check, claim_of, composed
from growproof.proofs.matrix import SIX
from growproof.symbolic.architecture import PRESETS, Owner, Transformer, Weights, paper_model, reweighted
from growproof.symbolic.expand import Expansion
from growproof.symbolic.terms import Path, matrix, path_of
from growproof.symbolic.variant import Variant, load, loads

ROUNDS = 7
CONCRETE = (4, 16, 64, 256, 1024, 4096)
CHAINS = (1, 2, 4, 8, 16, 32, 64)
DIRECT_CHAINS = (1, 2, 4, 8, 16)
PAPER = PRESETS["paper"]
TARGETS = dict.fromkeys(SIX, 0.2)


def proved(variants: Sequence[Variant], base: Transformer) -> Claim:
    """The claim of a chain with its theorem; sympy's caches start empty, as in a fresh process."""
    clear_cache()
    claim = claim_of(variants, base)
    assert claim.theorem is not None, [variant.name for variant in variants]
    return claim


def main(orders: int) -> None:
    theorems()
    concrete_sizes()
    chains()
    all_orders(orders)


def theorems() -> None:
    base = paper_model(PAPER)
    variants = {name: load(name) for name in SIX}
    proved([variants["mlp-expansion"]], base)  # what is imported or built once is not the proof's time
    works = {name: lambda variant=variant: proved([variant], base) for name, variant in variants.items()}
    times = interleaved(works, ROUNDS)
    print_times(f"proofs for all sizes, {ROUNDS} rounds; seconds", times, "mlp-expansion", TARGETS)


# ---------------------------------------------------------------- concrete sizes


def at_size(model: Transformer, n: int) -> Transformer:
    """The generic model with every size the number n: its parameters are symbols of n rows or columns."""
    number = dict.fromkeys(model.sizes.values(), Integer(n))

    def sized(weights: Weights, owner: Owner, path: Path) -> Weights:
        shapes = {name: [number.get(side, side) for side in term.shape] for name, term in weights.items()}
        return {name: matrix(name, *shape, path_of(weights[name])) for name, shape in shapes.items()}

    [heads] = model.layer.heads
    layer = replace(model.layer, heads=(replace(heads, scale=heads.scale.subs(number)),))
    sizes = dict.fromkeys(model.sizes, Integer(n))
    return reweighted(replace(model, layer=layer, sizes=sizes), sized)


def doubled(name: str) -> Variant:
    """A variant of the catalogue that doubles the size that it grows, so that no size stays a symbol."""
    text = load(name).text
    for size in "hpkv":
        text = text.replace(f'\n{size} = "{size}_hat"', f'\n{size} = "2*{size}"')
    return loads(text, name)


def sizes_left(step: Expansion) -> set[str]:
    """The sizes that are still symbols."""
    terms = [*step.new.weights.values(), *step.new.layer.weights.values(), *(b.symbol for b in step.blocks)]
    return {str(symbol) for term in terms for side in term.shape for symbol in side.free_symbols}


def concrete_sizes() -> None:
    """The same six theorems about models of one size, n -> 2n: a size is a term, so that n changes nothing."""
    general = paper_model(PAPER)
    models = {"all": general} | {str(n): at_size(general, n) for n in CONCRETE}
    rows = []
    for name in SIX:
        variant = doubled(name)
        works = {n: lambda model=model, variant=variant: proved([variant], model) for n, model in models.items()}
        assert all(not sizes_left(proved([variant], models[str(n)]).steps[0]) for n in CONCRETE)
        times = interleaved(works, 3)
        rows.append([name, *(f"{median(measured):.3f}" for measured in times.values())])
    print_table("proofs at sizes s = h = p = k = v = o = n, n to 2n; median of 3, seconds", ["", *models], rows)


# ---------------------------------------------------------------- chains and orders


def different(count: int) -> list[Variant]:
    """The six over and over, every one a different text: no proof can be used twice."""
    names = itertools.islice(itertools.cycle(SIX), count)
    return [loads(f"{load(name).text}# {i}\n", name) for i, name in enumerate(names)]


def chains() -> None:
    base = paper_model(PAPER)
    rows = []
    for count in CHAINS:
        variants = different(count)
        clear_cache()
        start = time.perf_counter()
        answer = check(variants, PAPER)
        whole = time.perf_counter() - start
        assert answer.verdict == "proved"
        assert answer.composition is not None
        direct = seconds(lambda variants=variants: proved(variants, base)) if count in DIRECT_CHAINS else None
        shown = "" if direct is None else f"{direct:.2f}"
        rows.append([str(count), f"{whole:.2f}", f"{1000 * whole / count:.0f}", shown])
    head = ["expansions", "check", "ms each", "one derivation"]
    print_table("chains, all texts different (64 in at most 10 s); seconds", head, rows)


def directly(indices: Sequence[int]) -> tuple[bool, float]:
    """Whether the six in this order are proved on the composed rewrite, and in what time."""
    variants = [load(SIX[i]) for i in indices]
    start = time.perf_counter()
    claim = claim_of(variants, paper_model(PAPER))
    return claim.theorem is not None, time.perf_counter() - start


def all_orders(direct: int) -> None:
    """Every order of the six: by transitivity from the six theorems, and derived anew on the composed rewrite."""
    orders = list(itertools.permutations(range(len(SIX))))
    start = time.perf_counter()
    base = paper_model(PAPER)
    claims = [proved([load(name)], base) for name in SIX]
    chains = ((order, chain([load(SIX[i]) for i in order], base)) for order in orders)
    count = sum(composed([claims[i] for i in order], steps) is not None for order, steps in chains)
    rows = [["transitivity", f"{count} of {len(orders)}", f"{time.perf_counter() - start:.1f}", ""]]
    chosen = random.Random(0).sample(orders, direct)
    start = time.perf_counter()
    with ProcessPoolExecutor(max_workers=2) as pool:
        found = list(pool.map(directly, chosen, chunksize=10))
    wall = time.perf_counter() - start
    count = sum(holds for holds, _ in found)
    each = f"{median(taken for _, taken in found):.2f}"
    rows.append(["one derivation", f"{count} of {len(chosen)}", f"{wall:.1f}", each])
    print_table("orders of the six; seconds, with two processes", ["", "proved", "total", "median"], rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 72)
