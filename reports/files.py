"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..symbolic.errors import VariantError


@contextmanager
def written(path: Path) -> Iterator[list[str]]:
    """A list for the parts of a text; on leaving they become the file, by way of a temporary one beside it.

    The place is tried before the work begins.  Raises VariantError where nothing can be written.
    """
    parts: list[str] = []
    try:
        path = Path(os.path.realpath(path)) if path.is_symlink() else path
        if path.exists() and not path.is_file():
            raise OSError("it is a directory" if path.is_dir() else "it is no regular file")
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:50]}.", suffix=".part")
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            yield parts
            stream.write("".join(parts))
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        Path(name).unlink(missing_ok=True)


def folder(path: Path) -> None:
    """Make a folder unless it is there.  Raises VariantError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from None


def distinct(files: Mapping[str, Path | None]) -> None:
    """Files with what each is for are different ones; else one would replace another.  Raises VariantError."""
    seen: dict[Path, str] = {}
    for what, path in files.items():
        place = Path(os.path.realpath(path)) if path is not None else None
        if place in seen:
            raise VariantError(f"{seen[place]} and {what} name one file", str(path), expected="two files")
        if place is not None:
            seen[place] = what


def unwritable(path: Path, error: Exception) -> VariantError:
    reason = getattr(error, "strerror", None) or str(error)
    return VariantError("the file cannot be written", str(path), found=reason, expected="a writable place")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
