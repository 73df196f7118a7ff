"""How make chooses a Python: new enough and able to make environments, or one line about what is missing."""

import subprocess
from pathlib import Path

FINDER = Path(__file__).parents[2] / ".ci" / "find-python"


def interpreter(folder: Path, name: str, version: str, able: bool) -> None:
    """A stand-in for a Python: answers the three questions that the finder asks."""
    new = tuple(map(int, version.split("."))) >= (3, 11)
    file = folder / name
    file.write_text(
        "#!/bin/sh\n"
        'case "$2" in\n'
        f'*print*) echo "{version}" ;;\n'
        f"*version_info*) exit {int(not new)} ;;\n"
        f"*ensurepip*) exit {int(not able)} ;;\n"
        "esac\n"
    )
    file.chmod(0o755)


def find(folder: Path, python: str = "") -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(FINDER)]
    environment = {"PATH": str(folder), "PYTHON": python}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_first_new_enough_python_is_taken(tmp_path: Path) -> None:
    interpreter(tmp_path, "python3", "3.9", able=True)
    interpreter(tmp_path, "python3.12", "3.12", able=True)
    assert find(tmp_path).stdout == "python3.12\n"


def test_a_named_python_is_the_only_candidate(tmp_path: Path) -> None:
    interpreter(tmp_path, "python3", "3.13", able=True)
    interpreter(tmp_path, "mine", "3.11", able=True)
    assert find(tmp_path, "mine").stdout == "mine\n"
    assert find(tmp_path, "absent").returncode == 1


def test_the_missing_debian_package_is_named(tmp_path: Path) -> None:
    interpreter(tmp_path, "python3", "3.12", able=False)
    answer = find(tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "apt-get install python3.12-venv" in answer.stderr


def test_a_python_that_is_too_old_is_named(tmp_path: Path) -> None:
    interpreter(tmp_path, "python3", "3.9", able=True)
    answer = find(tmp_path)
    assert answer.returncode == 1
    assert "python3 (3.9)" in answer.stderr
