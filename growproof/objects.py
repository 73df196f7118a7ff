"""Variants that Python code makes: `package.module:object`, imported because the user names it so, and only then."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import reduce
from importlib import import_module
from typing import Any

from .building import from_tables
from .symbolic.errors import VariantError
from .symbolic.variant import Variant, loads

EXPECTED = "a Variant, the text of a variant file, its tables, or a function that gives one of these"
_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def names_object(given: str) -> bool:
    """Whether a text names an object of a module, and no file.

    >>> names_object("my.module:wider"), names_object("my.toml"), names_object("mlp-expansion")
    (True, False, False)
    """
    return bool(_NAME.fullmatch(given)) and not os.path.exists(given)


def variant_in(given: str) -> Variant:
    """The variant that `package.module:object` names; a function without arguments is called.

    The current directory is on the path meanwhile, and what the code prints goes to standard error.  Raises
    VariantError for whatever goes wrong, with the type and the message of an exception of that code.
    """
    module, _, name = given.partition(":")
    with guest_code():
        found = tried(given, lambda: reduce(getattr, name.split("."), import_module(module)))
        if callable(found) and not isinstance(found, Variant):
            found = tried(given, found)
    return as_variant(found, given)


def tried(given: str, run: Callable[[], Any]) -> Any:
    """What some code gives.  Raises VariantError where it raises anything."""
    try:
        return run()
    except VariantError:
        raise
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}"
        raise VariantError("the object could not be made", given, found=said, expected=EXPECTED) from None


def as_variant(found: Any, given: str) -> Variant:
    """An object as a variant.  Raises VariantError."""
    match found:
        case Variant():
            return found
        case str():
            return loads(found, given)
        case Mapping():
            return from_tables(found)
    what = f"a {type(found).__name__}"
    raise VariantError("the object is no variant", given, found=what, expected=EXPECTED)


@contextmanager
def guest_code() -> Iterator[None]:
    """The current directory on the path, and standard output kept clean."""
    before = list(sys.path)
    sys.path.insert(0, os.getcwd())
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path[:] = before
