"""The examples in every module's docstrings are true, on the installed modules and not on second copies."""

import doctest
import pkgutil
from importlib import import_module

import pytest

PACKAGES = ("symbolic", "numeric", "proofs", "reports")


def modules() -> list[str]:
    """The names of all modules: the packages lie in several folders, so each is walked by itself."""
    names = ["growproof"]
    for package in PACKAGES:
        folder = import_module(f"growproof.{package}").__path__
        names.append(f"growproof.{package}")
        names += [f"growproof.{package}.{found.name}" for found in pkgutil.iter_modules(folder)]
    return names


@pytest.mark.parametrize("name", modules())
def test_examples_are_true(name: str) -> None:
    outcome = doctest.testmod(import_module(name))
    assert outcome.failed == 0
