"""numeric/ is written from the paper: it shares no code with the symbolic side."""

import ast
from pathlib import Path

import pytest

import growproof.numeric

MODULES = sorted(Path(next(iter(growproof.numeric.__path__))).glob("*.py"))
ALLOWED = {"collections", "dataclasses", "fractions", "functools", "itertools", "math", "ml_dtypes", "numpy", "typing"}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_numeric_imports_numpy_and_itself_only(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert {name.name.split(".")[0] for name in node.names} <= ALLOWED
        if isinstance(node, ast.ImportFrom):
            assert node.level == 1 or (node.level == 0 and str(node.module).split(".")[0] in ALLOWED)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"__import__", "eval", "exec"}


def test_there_are_modules_to_look_at() -> None:
    assert {"forward.py", "expansions.py", "compare.py"} <= {path.name for path in MODULES}
