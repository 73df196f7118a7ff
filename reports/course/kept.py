"""What a pack was when it was written: a file beside it with a digest of every other, so that no one's work is lost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from ...symbolic.errors import VariantError
from ..files import written

DIGESTS = "written.json"
FEW = 5  # names that an error lists


def digest(text: str) -> str:
    return sha256(text.encode("utf-8")).hexdigest()


def write_digests(into: Path, digests: Mapping[str, str]) -> None:
    """Note what was written.  Raises VariantError."""
    with written(into / DIGESTS) as parts:
        parts.append(json.dumps(dict(digests), indent=1) + "\n")


def digests_in(into: Path) -> dict[str, str]:
    """What was noted; nothing where nothing can be read."""
    try:
        found = json.loads((into / DIGESTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def check_unchanged(into: Path, names: Iterable[str]) -> None:
    """Nothing where every file of a pack is as it was written.  Raises VariantError, which names those that are not."""
    changed = list(edited(into, names))
    if changed:
        shown = ", ".join(changed[:FEW]) + (f" and {len(changed) - FEW} more" if len(changed) > FEW else "")
        raise VariantError(
            "files were edited since they were written",
            str(into),
            found=shown,
            expected="another folder, or --force to replace them",
        )


def edited(into: Path, names: Iterable[str]) -> Iterator[str]:
    digests = digests_in(into)
    for name in names:
        path = into / name
        if path.is_file() and digest(path.read_text(encoding="utf-8", errors="replace")) != digests.get(name):
            yield name
