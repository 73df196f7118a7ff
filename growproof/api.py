"""The functions of the front door; check, prove, expand and report do what the commands of their names do."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .building import from_tables, keys_named
from .objects import names_object, variant_in
from .proofs.check import check as check_variants
from .proofs.check import claim_of, preset_named
from .shown import Answer, Claim, Expansion, Variant, shown
from .symbolic import variant as files
from .symbolic.architecture import Preset, paper_model
from .symbolic.errors import VariantError
from .symbolic.expand import expand as expand_variant

Given = str | os.PathLike[str] | files.Variant
"""A variant: itself, the name of one in the catalogue, the path of a file, or `package.module:object`."""


def chosen_preset(variants: Sequence[files.Variant], architecture: str | None) -> Preset:
    """The architecture asked for, or the one that all the variants name.  Raises VariantError."""
    must_be(architecture, (str, type(None)), "architecture", "its name, as `growproof list` shows it")
    named = {variant.architecture for variant in variants}
    if architecture is None and len(named) != 1:
        raise VariantError(
            "the variants name different architectures" if named else "there is no variant to look at",
            found=", ".join(sorted(named)) or "nothing",
            expected="--architecture" if named else "one or more variants",
        )
    return preset_named(architecture if architecture is not None else named.pop())


def must_be(given: object, kinds: tuple[type, ...], what: str, expected: str) -> None:
    """Raises VariantError for what is of no kind that is wanted."""
    if not isinstance(given, kinds):
        raise VariantError(f"this is no {what}", found=f"a {type(given).__name__}", expected=expected)


def loaded(given: Given) -> files.Variant:
    """The variant that is given.  Raises VariantError for one that cannot be used."""
    if isinstance(given, files.Variant):
        return given
    must_be(given, (str, os.PathLike), "variant", "a variant, its name or its file; several as in check(first, second)")
    named = os.fspath(given)
    return variant_in(named) if names_object(named) else files.load(named)


def check(*variants: Given, architecture: str | None = None, seed: int = 0) -> Answer:
    """Prove or refute a variant, or the composition of several in that order.

    Raises VariantError for one that cannot be used.

    >>> check("mlp-expansion").verdict
    'proved'
    """
    chain = [loaded(given) for given in variants]
    with keys_named(chain):
        return shown(Answer, check_variants(chain, chosen_preset(chain, architecture), seed), seed=seed)


def prove(*variants: Given, architecture: str | None = None) -> Claim:
    """The claim of a variant or chain with its goals and derivations; its `theorem` is None if a goal is open.

    >>> prove("attention-expansion").theorem is not None
    True
    """
    chain = [loaded(given) for given in variants]
    with keys_named(chain):
        return shown(Claim, claim_of(chain, paper_model(chosen_preset(chain, architecture))))


def expand(variant: Given, architecture: str | None = None) -> Expansion:
    """The symbolic model after a variant, with its new blocks and constraints as terms.

    >>> [block.name for block in expand("heads-expansion").blocks]
    ['M_W_V', 'M_W_O']
    """
    one = loaded(variant)
    with keys_named([one]):
        return shown(Expansion, expand_variant(paper_model(chosen_preset([one], architecture)), one))


Table = Mapping[str, str]


def variant(
    name: str,
    *,
    grows: Table | None = None,
    new: Table | None = None,
    rewrite: Table | None = None,
    constraints: Table | None = None,
    **tables: Any,
) -> Variant:
    """A variant from tables like those of a file.  Raises VariantError, which names the key.

    >>> louder = variant("Louder values", rewrite={"W_V": "2*W_V", "W_O": "1/2*W_O"})
    >>> check(louder).verdict
    'proved'
    """
    given = {"grows": grows, "new": new, "rewrite": rewrite, "constraints": constraints, **tables}
    found = {key: table for key, table in given.items() if table is not None}
    return shown(Variant, from_tables({"name": name, **found}))


def loads(text: str, file: str = "<text>") -> Variant:
    """A variant from the text of a file; `file` is the name that errors show.  Raises VariantError."""
    must_be(text, (str,), "text", "the text of a file")
    return shown(Variant, files.loads(text, file))


def report(path: str | Path = "growproof-report.html", seed: int = 0) -> Path:
    """Prove and check the paper's six expansions and write the report; the path of the file."""
    from .reports.report import write_report

    write_report(Path(path), seed)
    return Path(path)
