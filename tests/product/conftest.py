"""Runs of the command line: in this process, with a time limit, or in one of its own."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from limits import time_limit

from growproof.reports.cli import main

LIMIT = 20  # seconds; far more than any run here should take

MLP = """\
name = "Mine"

[grows]
p = "p_hat"

[new]
A = "h, p_hat - p"
B = "1, p_hat - p"
C = "p_hat - p, h"

[rewrite]
W_l1 = "[W_l1, A]"
b_l1 = "[b_l1, B]"
W_l2 = "[W_l2; C]"

[constraints]
C = "0"
"""


@dataclass(frozen=True)
class Ran:
    """What a run of the command did."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """The command line in this process."""

    def run(*arguments: str | Path, limit: float = LIMIT) -> Ran:
        capsys.readouterr()
        with time_limit(limit):
            status = main([str(argument) for argument in arguments])
        return Ran(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def start() -> Callable[..., subprocess.Popen[str]]:
    """The command line in a process of its own, which starts in a folder."""

    def start(folder: Path, *arguments: str | Path, **options: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "growproof", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": folder}
        return subprocess.Popen(command, **pipes | options)

    return start


@pytest.fixture
def process(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """The command line in a process of its own, which starts in the test's folder."""
    return partial(start, tmp_path)


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Path]:
    """A variant file: a text with a few parts replaced, each of which must be there."""

    def write(text: str, *replaced: tuple[str, str], name: str = "my.toml") -> Path:
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def variant(edited: Callable[..., Path]) -> Callable[..., Path]:
    """The MLP expansion as a file, edited."""
    return partial(edited, MLP)
