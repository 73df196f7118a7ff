"""Whole processes, imports included, next to a bare Python and to importing sympy; where import time goes.

Run as `python tests/benchmarks/bench_commands.py`.
"""

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from timing import interleaved, print_table, print_times

from growproof.proofs.matrix import SIX

ROUNDS, REPORTS = 5, 3
IMPORTS_SHOWN = 10
TARGETS = {"check mlp-expansion": 1.5, "report": 10.0}


def process(*arguments: str) -> Callable[[], None]:
    """A run of Python that must end with status 0; what it prints is dropped."""

    def run() -> None:
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)

    return run


def growproof(*arguments: str) -> Callable[[], None]:
    return process("-m", "growproof", *arguments)


def commands(page: str) -> dict[str, Callable[[], None]]:
    return {
        "import sympy": process("-c", "import sympy"),
        "python -c pass": process("-c", "pass"),
        "--help": growproof("--help"),
        "list": growproof("list"),
        "check mlp-expansion": growproof("check", "mlp-expansion"),
        "check all six": growproof("check", *SIX),
        "check --html": growproof("check", "mlp-expansion", "--html", page),
        "verify": growproof("verify", page),
    }


def import_times(*arguments: str) -> Counter[str]:
    """Microseconds that a run spends in the body of each module that it imports, imports within left out."""
    command = [sys.executable, "-X", "importtime", "-m", "growproof", *arguments]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    lines = [line.removeprefix("import time:").split("|") for line in shown.splitlines() if line.count("|") == 2]
    return Counter({name.strip(): int(own) for own, _, name in lines if own.strip().isdigit()})


def print_imports(command: str) -> None:
    """The packages that cost most to import, and in them the module that costs most."""
    own = import_times(*command.split())
    packages: Counter[str] = Counter()
    for module, time in own.items():
        packages[module.split(".")[0]] += time
    rows = []
    for package, time in packages.most_common(IMPORTS_SHOWN):
        inside = {module: own[module] for module in own if module.split(".")[0] == package}
        dearest = max(inside, key=lambda module: inside[module])
        share = f"{time / own.total():.0%}"
        rows.append([package, str(len(inside)), f"{time / 1000:.1f}", share, f"{dearest} {own[dearest] / 1000:.1f}"])
    title = f"imports of `growproof {command}`: {own.total() / 1000:.0f} ms in {len(own)} modules"
    print_table(title, ["package", "modules", "ms", "share", "its dearest module, ms"], rows)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        page = str(Path(folder) / "page.html")
        growproof("check", "mlp-expansion", "--html", page)()
        times = interleaved(commands(page), ROUNDS)
        print_times(f"whole processes, {ROUNDS} rounds; seconds", times, "import sympy", TARGETS)
        both = {"import sympy": process("-c", "import sympy"), "report": growproof("report", "-o", page)}
        print_times(f"the report, {REPORTS} rounds; seconds", interleaved(both, REPORTS), "import sympy", TARGETS)
    for command in ("list", "check mlp-expansion"):
        print_imports(command)


if __name__ == "__main__":
    main()
