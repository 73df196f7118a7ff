"""A variant from Python's own tables: written as the text of a file, and from there on like any other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from .symbolic.errors import VariantError, quotations
from .symbolic.variant import Variant, loads
from .symbolic.writing import quoted

BUILT = "<variant>"  # where the file of other variants is named


def from_tables(tables: Mapping[str, Any]) -> Variant:
    """The variant of a mapping that has the entries of a variant file.  Raises VariantError, which names the key.

    >>> from_tables({"name": "Louder", "rewrite": {"W_l2": "2*W_l3"}}).sha256[:8]
    '52b11b20'
    """
    text = "\n".join([*lines(tables), ""])
    try:
        return loads(text, BUILT)
    except VariantError as error:
        raise at_key(error, text) from None


def lines(tables: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """The lines of a TOML text: the entries of a table, and then the tables within it."""
    inner = {key: value for key, value in tables.items() if isinstance(value, Mapping)}
    for key, value in tables.items():
        if not isinstance(key, str):
            raise VariantError(f"a key{within(path)} is not a string", found=repr(key), expected="a string")
        if key not in inner:
            if not isinstance(value, (str, int)):
                what = f"the value of {'.'.join((*path, key))} cannot be part of a variant"
                raise VariantError(what, found=f"a {type(value).__name__}", expected="a string, or a table of strings")
            yield f"{quoted(key)} = {quoted(value)}"
    for key, table in inner.items():
        yield f"[{'.'.join(map(quoted, (*path, key)))}]"
        yield from lines(table, (*path, key))


def within(path: Sequence[str]) -> str:
    return f" of {'.'.join(path)}" if path else ""


def at_key(error: VariantError, text: str) -> VariantError:
    """The error with the key that stands where it points, in place of a line that nobody wrote."""
    keys = quotations(text, BUILT).keys
    path = next((path for path, found in reversed(keys.items()) if found.place.line == error.line), ())
    where = f"in {'.'.join(path)}: " if path else ""
    return VariantError(f"{where}{error.message}", found=error.found, expected=error.expected)


@contextmanager
def keys_named(variants: Sequence[Variant]) -> Iterator[None]:
    """Errors about a variant that was built from tables name the key."""
    try:
        yield
    except VariantError as error:
        built = [one for one in variants if one.file == BUILT == error.file]
        raise (at_key(error, built[0].text) if len(built) == 1 else error) from None
