"""Re-check the certificates of a file: a certificate by itself, or all those in a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..proofs.certificate import CertificateError, Held, verify
from ..symbolic.errors import VariantError
from ..symbolic.variant import content_of
from .embedded import certificates

LARGEST_FILE = 200_000_000


@dataclass(frozen=True)
class Verified:
    """What one certificate proves, or why it does not hold."""

    held: Held | None
    error: str | None = None

    def lines(self) -> Iterator[str]:
        """The statement first, then everything that it speaks of."""
        if self.held is None:
            yield f"fails: {self.error}"
            return
        yield f"holds: {self.held.statement}"
        yield f"  architecture: {self.held.architecture}"
        yield from (f"  assuming: {line}" for line in self.held.assumptions)
        for first, *rest in self.held.variants:
            yield f"  {first}"
            yield from (f"    {line}" for line in rest)

    def as_json(self) -> dict[str, Any]:
        return {"holds": self.held is not None, "error": self.error, **(asdict(self.held) if self.held else {})}


def verify_file(path: Path) -> list[Verified]:
    """Each certificate of a file.  Raises VariantError for a file that cannot be read or has none."""
    text = read(path)
    found = certificates(text) if text.lstrip().startswith("<") else [text]
    if not found:
        raise VariantError("the page has no certificate", str(path), expected="a page that growproof wrote")
    return [verified(one, path) for one in found]


def read(path: Path) -> str:
    try:
        content = content_of(path, LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise VariantError("the file is too large", str(path), expected=f"at most {LARGEST_FILE} bytes")
        return content.decode("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        expected = "a certificate or a page"
        raise VariantError("the file cannot be read", str(path), found=reason, expected=expected) from None


def without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which no key stands twice.  Raises ValueError."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def verified(text: str, path: Path) -> Verified:
    try:
        found = json.loads(text, object_pairs_hook=without_doubles)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        column = getattr(error, "colno", None)
        reason = getattr(error, "msg", str(error))
        raise VariantError("not valid JSON", str(path), line, column, reason, "a certificate") from None
    try:
        return Verified(verify(found))
    except CertificateError as error:
        return Verified(None, str(error))
