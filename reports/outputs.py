"""The files that `check` can write beside its answer: a page and a certificate."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..proofs.certificate import certificate
from ..proofs.check import Answer
from ..proofs.remarks import Remarks
from ..proofs.repair import Repair
from ..symbolic.variant import Variant
from .files import distinct, written

Write = Callable[[Answer, Remarks, float, int], None]


@contextmanager
def outputs(html: Path | None, proof: Path | None, variants: Sequence[str] = ()) -> Iterator[Write]:
    """Open what is asked for before the work begins; `write` fills it.

    Raises VariantError where a file cannot be written, or is a variant's or the other's.
    """
    sources = {f"the variant {name}": Path(name) for name in dict.fromkeys(variants)}
    distinct({**sources, "--html": html, "--certificate": proof})
    with ExitStack() as files:
        page = files.enter_context(written(html)) if html is not None else None
        proofs = proof_file(proof, files)

        def write(answer: Answer, remarks: Remarks, seconds: float, seed: int) -> None:
            if page is not None:
                page.append(page_of(answer, remarks, seconds, seed))
            if answer.verdict == "proved":
                proofs(json.dumps(certificate(answer), indent=1, ensure_ascii=False) + "\n")

        yield write


def proof_file(path: Path | None, files: ExitStack) -> Callable[[str], None]:
    """Writes the certificate if there is one; the place is tried at once, the file is made only when needed."""
    if path is None:
        return lambda text: None
    with written(path.with_name(f".{path.name}.trial")) as trial:
        trial.append("")
    path.with_name(f".{path.name}.trial").unlink()

    def write(text: str) -> None:
        with written(path) as parts:
            parts.append(text)

    return write


def save_repairs(found: Sequence[Repair], variant: Variant, into: Path) -> Iterator[Path]:
    """Every repaired variant as a file, numbered in the order in which they are offered."""
    name = re.sub(r"\W+", "-", variant.name.lower()).strip("-") or "variant"
    for i, one in enumerate(found, 1):
        path = into / f"{name[:60]}-repair-{i}.toml"
        with written(path) as parts:
            parts.append(one.variant.text)
        yield path


def page_of(answer: Answer, remarks: Remarks, seconds: float, seed: int) -> str:
    """The page of one answer."""
    from .page import render
    from .report import one_page

    return render(one_page(answer, remarks, seconds, seed))
