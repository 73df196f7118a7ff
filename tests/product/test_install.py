"""The wheel, installed as a user would, works away from the source tree."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from growproof.reports.embedded import certificates

ROOT = Path(__file__).parents[2]


def test_importing_growproof_imports_no_heavy_library() -> None:
    probe = "import sys, growproof; print({'sympy', 'numpy', 'z3', 'jinja2', 'lark'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd="/")
    assert found.stdout.strip() == "set()"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment that has the wheel, built from a copy: no stale build is used."""
    place = tmp_path_factory.mktemp("install")
    leftovers = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
    source = shutil.copytree(ROOT, place / "source", ignore=leftovers)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(place), str(source)], check=True)
    shutil.rmtree(source)
    [wheel] = place.glob("growproof-*.whl")
    venv.create(place / "venv", with_pip=True)
    python = place / "venv" / "bin" / "python"
    subprocess.run([str(python), *pip[1:], "install", str(wheel)], check=True)
    return python


@pytest.mark.extras
def test_nothing_but_growproof_lands_in_site_packages(installed: Path) -> None:
    probe = "from importlib.metadata import files; print(*{file.parts[0] for file in files('growproof')})"
    found = subprocess.run([str(installed), "-c", probe], capture_output=True, text=True, check=True, cwd="/")
    tops = {top for top in found.stdout.split() if not top.endswith(".dist-info") and top != ".."}
    assert tops == {"growproof"}


@pytest.mark.extras
def test_the_report_is_written_from_the_root_folder(installed: Path, tmp_path: Path) -> None:
    report = tmp_path / "out.html"
    growproof = [str(installed), "-I", "-m", "growproof"]
    subprocess.run([*growproof, "report", "-o", str(report)], check=True, cwd="/")
    page = report.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert page.rstrip().endswith("</html>")
    assert len(certificates(page)) >= 6
    verified = subprocess.run([*growproof, "verify", str(report)], check=False, cwd="/")
    assert verified.returncode == 0
