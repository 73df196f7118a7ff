"""Who knows whom: the two sides share nothing, imports point one way, and what proves knows no name.

Each claim is a function from a source text to what it finds there, so that every claim is also tested on a
text that breaks it.
"""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from growproof.proofs.check import claim_of
from growproof.symbolic.architecture import PARAMETERS, PRESETS, paper_model
from growproof.symbolic.terms import MatrixSymbol
from growproof.symbolic.variant import PARAMETERS as ALL_PARAMETERS
from growproof.symbolic.variant import SIX, catalogue, load, loads

SIDES = {
    "symbolic": {"numeric", "proofs", "reports"},
    "numeric": {"symbolic", "proofs", "reports", "sympy", "z3"},
    "proofs": {"reports"},
}


def folder(package: str) -> Path:
    return Path(next(iter(import_module(f"growproof.{package}").__path__)))


def modules(package: str) -> list[Path]:
    return sorted(folder(package).rglob("*.py"))


def source(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# --- imports ---


def imports(text: str, package: str) -> Iterator[tuple[str, ...]]:
    """Every module that a module of growproof.<package> imports anywhere, as its full path."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            outer = ("growproof", package)[: 3 - node.level] if node.level else ()
            inner = tuple(node.module.split(".")) if node.module else ()
            yield from ((*outer, *inner, alias.name) for alias in node.names)


def by_text(text: str) -> set[str]:
    """Ways around an import statement."""
    calls = (node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    names = {func.id if isinstance(func, ast.Name) else getattr(func, "attr", "") for func in calls}
    return names & {"__import__", "import_module", "eval", "exec", "spec_from_file_location", "run_path"}


def forbidden(text: str, package: str) -> set[str]:
    """What a module of a package uses and must not; `growproof` alone would be the front door."""
    found = by_text(text)
    for path in imports(text, package):
        inside = path[1] if path[0] == "growproof" and len(path) > 1 else path[0]
        found |= {inside} & (SIDES[package] | {"growproof", "api"})
    return found


ALL = [(package, path) for package in SIDES for path in modules(package)]


@pytest.mark.parametrize(("package", "path"), ALL, ids=[f"{p}/{path.name}" for p, path in ALL])
def test_imports_point_one_way(package, path):
    assert forbidden(source(path), package) == set()


def test_there_are_modules_to_look_at():
    assert {("symbolic", "terms.py"), ("numeric", "expansions.py"), ("proofs", "kernel.py")} <= {
        (package, path.name) for package, path in ALL
    }


@pytest.mark.parametrize(
    ("package", "text", "found"),
    [
        ("symbolic", "from ..numeric.model import Head", "numeric"),
        ("symbolic", "from .. import numeric", "numeric"),
        ("symbolic", "def f():\n    from growproof.numeric import compare", "numeric"),
        ("symbolic", "import growproof.proofs.kernel", "proofs"),
        ("symbolic", "from growproof import numeric as other", "numeric"),
        ("numeric", "from ..symbolic.terms import product", "symbolic"),
        ("numeric", "import sympy", "sympy"),
        ("numeric", "from sympy.matrices import Matrix", "sympy"),
        ("numeric", "from .. import api", "api"),
        ("numeric", "import growproof", "growproof"),
        ("numeric", "__import__('sympy')", "__import__"),
        ("proofs", "import importlib\nimportlib.import_module('growproof.reports')", "import_module"),
        ("proofs", "if True:\n    from ..reports.latex import x", "reports"),
    ],
)
def test_a_forbidden_import_would_be_found(package, text, found):
    assert forbidden(text, package) == {found}


def test_allowed_imports_are_not_found():
    assert forbidden("from ..symbolic.terms import product\nfrom .kernel import apply", "proofs") == set()
    assert forbidden("import numpy as np\nfrom .formats import Array", "numeric") == set()


# --- names ---

NEW_BLOCKS = {name for variant in map(load, catalogue()) for name in variant.new if len(name) > 1}
CATALOGUE_WORDS = {*catalogue(), *(variant.name.lower() for variant in map(load, catalogue()))}
PROVING = ["proofs/kernel.py", "proofs/rules.py", "proofs/prover.py", "symbolic/terms.py", "symbolic/grids.py"]


def strings(text: str) -> Iterator[str]:
    """The string constants of a source text; docstrings are prose and mathematics, and decide nothing."""
    tree = ast.parse(text)
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    prose = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, owners) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


def known_names(text: str) -> set[str]:
    """The parameters, new blocks and catalogue entries that the string constants of a text mention."""
    found: set[str] = set()
    for constant in strings(text):
        words = set(re.findall(r"\w+", constant))
        found |= words & (set(ALL_PARAMETERS) | NEW_BLOCKS)
        found |= {name for name in CATALOGUE_WORDS if name in constant.lower()}
    return found


def imported_modules(text: str, package: str) -> set[str]:
    """The modules of growproof itself that a module imports from."""
    return {".".join(path[1:-1]) for path in imports(text, package) if path[0] == "growproof"}


@pytest.mark.parametrize("name", PROVING)
def test_what_proves_mentions_no_parameter_block_or_file(name):
    package, file = name.split("/")
    assert known_names(source(folder(package) / file)) == set()


@pytest.mark.parametrize("name", PROVING)
def test_what_proves_imports_only_what_proves(name):
    """The names stand in the architecture, the catalogue and what reads it; how a term is written orders a sum."""
    package, file = name.split("/")
    allowed = {"symbolic.notation"} | {one.removesuffix(".py").replace("/", ".") for one in PROVING}
    assert imported_modules(source(folder(package) / file), package) <= allowed


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("if term.name == 'W_Q': pass", {"W_Q"}),
        ("def f(x):\n    return x.name in {'b_l2', 'other'}", {"b_l2"}),
        ("known = 'M_W_O'", {"M_W_O"}),
        ("f'{x} of W_out'", {"W_out"}),
        ("if name == 'mlp-expansion': pass", {"mlp-expansion"}),
        ("if title == 'Head addition': pass", {"head addition"}),
        ("if name == 'I': pass", {"I"}),
        ("def f():\n    '''Rewrites W_Q.'''\n    return 'scalars'", set()),
    ],
)
def test_a_name_in_what_proves_would_be_found(text, found):
    assert known_names(text) == found


def test_another_module_in_what_proves_would_be_found():
    text = "from ..symbolic.architecture import PARAMETERS\nfrom .kernel import apply"
    assert imported_modules(text, "proofs") == {"symbolic.architecture", "proofs.kernel"}


# --- and so renaming changes nothing ---


def derivations(text: str) -> list[tuple[str, object, object, bool]]:
    """Each goal of a variant with its steps, and whether it was proved."""
    claim = claim_of([loads(text, "renamed.toml")], paper_model(PRESETS["paper"]))
    return [
        (p.goal.name, p.derivation.left_steps, p.derivation.right_steps, p.theorem is not None) for p in claim.goals
    ]


def renamed(text: str, names: dict[str, str]) -> str:
    return re.sub(r"\w+", lambda word: names.get(word[0], word[0]), text)


def block_names(text: str, *, reverse: bool) -> dict[str, str]:
    """New names for the new blocks, whose alphabetical order is the old one or its opposite."""
    blocks = sorted(loads(text, "f.toml").new)
    numbers = range(len(blocks), 0, -1) if reverse else range(1, len(blocks) + 1)
    return {block: f"Z{number:02}" for block, number in zip(blocks, numbers, strict=True)}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", SIX)
def test_renaming_file_and_new_blocks_changes_no_step(name, reverse):
    text = load(name).text
    other = renamed(text, block_names(text, reverse=reverse)).replace(load(name).name, "Another name")
    assert derivations(other) == derivations(text)


@pytest.mark.parametrize("name", SIX)
def test_without_its_constraints_a_renamed_file_is_no_more_proved_than_the_original(name):
    text = load(name).text.split("[constraints]")[0]
    other = renamed(text, block_names(text, reverse=True))
    verdicts = [[proved for *_, proved in derivations(version)] for version in (text, other)]
    assert verdicts[0] == verdicts[1]
    assert verdicts[0][-1:] != [True]


def with_other_symbols(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the architecture call its matrices by names that say nothing, in the opposite order."""
    from growproof.symbolic import architecture

    numbers = {parameter.name: f"Q{99 - i}" for i, parameter in enumerate(PARAMETERS)}
    right = architecture.matrix
    monkeypatch.setattr(architecture, "matrix", lambda name, *sides: right(numbers.get(name, name), *sides))


@pytest.mark.parametrize("name", SIX)
def test_renaming_every_parameter_changes_no_step(name, monkeypatch):
    text = load(name).text
    before = derivations(text)
    with_other_symbols(monkeypatch)
    claim = claim_of([load(name)], paper_model(PRESETS["paper"]))
    symbols = {symbol.name for goal in claim.goals for symbol in goal.goal.left.atoms(MatrixSymbol)}
    assert not symbols & {parameter.name for parameter in PARAMETERS}
    assert derivations(text) == before
