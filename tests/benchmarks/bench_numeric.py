"""The numpy check of a 12-layer, h = 256 model expanded in all six ways, against its two forward passes.

Run as `python tests/benchmarks/bench_numeric.py`. Times are medians of interleaved rounds: a busy machine
slows all columns alike. Exits with 1 when the check costs more than LIMIT times the two forward passes.
"""

import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from growproof.numeric.blocks import (
    ZEROS,
    added_head,
    added_layer,
    attention_blocks,
    heads_blocks,
    hidden_blocks,
    mlp_blocks,
    random_fill,
)
from growproof.numeric.compare import compare
from growproof.numeric.evidence import ALL_SIX, STEPS, evidence
from growproof.numeric.expansions import (
    attention_expansion,
    head_addition,
    heads_expansion,
    hidden_expansion,
    layer_addition,
    mlp_expansion,
    on_heads,
    on_layers,
)
from growproof.numeric.formats import FORMATS, Array
from growproof.numeric.forward import transformer
from growproof.numeric.model import Model, random_model, random_rows

LIMIT = 3.0
ROUNDS = 5
LAYERS, H, HEADS, K, P, S = 12, 256, 8, 32, 1024, 64
NEW_LAYER = 6


def expanded_in_all_six_ways(model: Model, I: Array) -> tuple[Model, Array]:
    """Every size grows by a quarter, every layer gets one more head, and there is one more layer."""
    rng = np.random.default_rng(1)
    fill = {name: random_fill(rng, zero, model.dtype) for name, zero in ZEROS.items()}
    wide = H + H // 4
    grown = on_layers(model, lambda layer: mlp_expansion(layer, *mlp_blocks(layer, P + P // 4, fill["mlp-expansion"])))
    grown = on_layers(grown, lambda layer: head_addition(layer, added_head(H, K, K, fill["head-addition"])))
    grown = on_layers(
        grown,
        lambda layer: on_heads(
            layer,
            lambda head: heads_expansion(head, *heads_blocks(head, K + K // 4, fill["heads-expansion"])),
        ),
    )
    grown = on_layers(
        grown,
        lambda layer: on_heads(
            layer,
            lambda head: attention_expansion(head, *attention_blocks(head, K + K // 4, fill["attention-expansion"])),
        ),
    )
    grown, I_hat = hidden_expansion(grown, I, hidden_blocks(grown, wide, fill["hidden-expansion"]))
    new = added_layer(wide, P, [(K, K)] * HEADS, fill["layer-addition"])
    return layer_addition(grown, new, NEW_LAYER), I_hat


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(dtype: str, batch: int) -> float:
    """Print one line of the table; the ratio of the check to the two forward passes."""
    rng = np.random.default_rng(0)
    model = random_model(rng, s=S, h=H, o=H, p=[P] * LAYERS, heads=[[(K, K)] * HEADS] * LAYERS, dtype=dtype)
    I = random_rows(rng, batch * S, H, dtype).reshape(batch, S, H)
    expanded, I_hat = expanded_in_all_six_ways(model, I)
    found = compare(model, I, expanded, I_hat, inserted=[NEW_LAYER])
    times = [
        (
            seconds(lambda: transformer(model, I)),
            seconds(lambda: transformer(expanded, I_hat)),
            seconds(lambda: compare(model, I, expanded, I_hat, inserted=[NEW_LAYER])),
        )
        for _ in range(ROUNDS)
    ]
    first, second, check = (median(column) for column in zip(*times, strict=True))
    ratio = median(check / (one + two) for one, two, check in times)
    verdict = "passed" if found.passed else "FAILED"
    print(
        f"{dtype:>9} {batch:>6} {first:>10.3f} {second:>10.3f} {check:>10.3f} {ratio:>7.2f}"
        f"   {verdict}, worst {found.worst.ratio:.1e} of its bound, {found.output.max_ulp:.0f} ulp end to end"
    )
    return ratio if found.passed else float("inf")


def main() -> int:
    print(f"check of a model with N = {LAYERS}, h = {H}, E = {HEADS}, k = v = {K}, p = {P}, s = {S}; seconds")
    print(f"{'dtype':>9} {'batch':>6} {'original':>10} {'expanded':>10} {'check':>10} {'ratio':>7}")
    ratios = [measure(dtype, batch) for dtype in FORMATS for batch in (2, 8)]
    print(f"largest ratio {max(ratios):.2f}, limit {LIMIT:.1f}")
    table = seconds(lambda: [evidence(name) for name in (*STEPS, ALL_SIX)])
    print(f"evidence for the report, all seven tables: {table:.2f} s")
    return int(max(ratios) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
