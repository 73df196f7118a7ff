"""The README's examples do what it says."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

DOCUMENTS = ("README.md", "TRUST.md", "VARIANTS.md", "EXTENDING.md", "ARCHITECTURE.md")
README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def fenced(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def run(command: str, folder: Path) -> list[str]:
    """The output lines of a shell command, in which `growproof` is the one under test."""
    bin_folder = folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    script = bin_folder / "growproof"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m growproof "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    found = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
        check=False,
    )
    assert found.stderr == ""
    return found.stdout.splitlines()


def test_the_console_examples_begin_as_shown(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(fenced("toml")[0], encoding="utf-8")
    for block in fenced("console"):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = example.splitlines()
            assert run(command, tmp_path)[: len(shown)] == shown, command


def test_the_python_examples_hold() -> None:
    for block in fenced("pycon"):
        test = doctest.DocTestParser().get_doctest(block, {}, "README", "README.md", 0)
        assert doctest.DocTestRunner().run(test).failed == 0


def test_every_linked_file_exists() -> None:
    for document in DOCUMENTS:
        text = (Path(__file__).parents[2] / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert target.startswith("https://") or (Path(__file__).parents[2] / target).exists(), target


def test_the_architecture_page_names_every_module_and_no_other() -> None:
    root = Path(__file__).parents[2]
    text = (root / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for package in ("symbolic", "numeric", "proofs", "reports"):
        section = text.split(f"\n    {package}/", 1)[1].split("\n    growproof/", 1)[0].split("\n    proofs/", 1)
        section_text = section[0] if package in ("symbolic", "numeric") else " ".join(section)
        for module in (root / package).glob("*.py"):
            if module.stem != "__init__":
                assert re.search(rf"\b{module.stem}\b", section_text), f"{package}/{module.name}"


# ---------------------------------------------------------------- how to extend

PATHS = re.compile(r"`((?:symbolic|numeric|proofs|reports|tests)/[^`]*)`")


def missing(text: str) -> list[str]:
    """The paths in a text at which there is nothing; NAME stands for a name that the reader chooses."""
    root = Path(__file__).parents[2]
    places = {path: root / path for path in PATHS.findall(text)}
    return [path for path, place in places.items() if not (place.parent if "NAME" in place.name else place).exists()]


def test_every_file_to_touch_and_every_test_to_run_exists() -> None:
    text = (Path(__file__).parents[2] / "EXTENDING.md").read_text(encoding="utf-8")
    assert len(PATHS.findall(text)) > 20
    assert missing(text) == []
    assert missing(text.replace("proofs/rules.py", "proofs/laws.py")) == ["proofs/laws.py"]


def test_each_way_to_extend_names_a_test() -> None:
    text = (Path(__file__).parents[2] / "EXTENDING.md").read_text(encoding="utf-8")
    ways = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert len(ways) == 4
    assert all("`tests/" in way for way in ways)


def test_every_command_is_in_the_readme() -> None:
    found = subprocess.run([sys.executable, "-m", "growproof", "--help"], capture_output=True, text=True, check=True)
    commands = re.findall(r"^    (\w+)(?:  |$)", found.stdout, re.MULTILINE)
    assert len(commands) > 10
    assert [name for name in commands if f"    growproof {name} " not in README] == []
