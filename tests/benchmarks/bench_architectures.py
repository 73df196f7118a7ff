"""A forward pass of the numpy side against torch's, on small Llamas, in one run and with one thread each.

Run as `python tests/benchmarks/bench_architectures.py`. Times are medians of interleaved rounds: a busy machine
slows both alike. Exits with 1 when numpy takes more than LIMIT times as long; without torch it says so, and exits
with 0.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy and torch are imported

import numpy as np
from timing import interleaved, print_table

from growproof.numeric.architecture import output
from growproof.numeric.options import Architecture

LIMIT = 3.0
ROUNDS = 15
TOKENS, VOCABULARY = 64, 1000
SHAPES = ((2, 64, 176, 4), (4, 256, 688, 8), (8, 512, 1376, 8))  # layers, h, p, heads
DTYPES = ("float32", "float64")
CLOSE = {"float32": 1e-4, "float64": 1e-5}  # torch's norm, softmax and angles are in float32 either way


def main() -> int:
    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if missing:
        print(f"not measured: needs {' and '.join(missing)}, of the optional extra `transformers`")
        return 0
    measured = [(shape, dtype, measure(shape, dtype)) for shape in SHAPES for dtype in DTYPES]
    rows = [
        [*map(str, shape), dtype, *(f"{1000 * time:.2f}" for time in times), f"{times[0] / times[1]:.2f}"]
        for shape, dtype, times in measured
    ]
    title = f"Llama on {TOKENS} tokens, one thread, {ROUNDS} rounds; milliseconds, limit of the ratio {LIMIT}"
    print_table(title, ["layers", "h", "p", "heads", "", "numpy", "torch", "ratio"], rows)
    return int(any(numpy > LIMIT * torch for _, _, (numpy, torch) in measured))


def measure(shape: tuple[int, int, int, int], dtype: str) -> tuple[float, float]:
    """The medians of numpy and of torch."""
    works = forward_passes(shape, dtype)
    found, expected = (work() for work in works.values())  # what is done only once is not counted
    assert abs(found - expected).max() < CLOSE[dtype] * abs(expected).max()
    times = interleaved(works, ROUNDS)
    return median(times["numpy"]), median(times["torch"])


def forward_passes(shape: tuple[int, int, int, int], dtype: str) -> dict[str, Callable[[], np.ndarray]]:
    """One random model, run by numpy and by transformers with the attention that torch has built in."""
    import torch

    sys.path.insert(0, str(Path(__file__).parents[1] / "transformers"))
    import loading

    torch.set_num_threads(1)
    layers, h, p, heads = shape
    sizes = loading.Sizes(h=h, o=VOCABULARY, p=p, d=h // heads, heads=heads, layers=layers)
    tokens = tuple(np.random.default_rng(0).integers(0, VOCABULARY, TOKENS).tolist())
    family = replace(loading.FAMILIES["llama"], tokens=tokens)
    model = loading.build(family, sizes, getattr(torch, dtype), "sdpa")
    loading.randomise(model)
    options, tables = loading.load(family, model)
    architecture = Architecture.from_options(options)
    return {"numpy": lambda: output(tables, architecture), "torch": lambda: loading.run(family, model, tables)}


if __name__ == "__main__":
    sys.exit(main())
