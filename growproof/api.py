"""The four functions of the front door; each does what the command of its name does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .proofs.check import Answer, Claim, claim_of, preset_named
from .proofs.check import check as check_variants
from .symbolic.architecture import Preset, paper_model
from .symbolic.errors import VariantError
from .symbolic.expand import Expansion
from .symbolic.expand import expand as expand_variant
from .symbolic.variant import Variant, load


def chosen_preset(variants: Sequence[Variant], architecture: str | None) -> Preset:
    """The architecture asked for, or the one that all the variants name.  Raises VariantError."""
    named = {variant.architecture for variant in variants}
    if architecture is None and len(named) > 1:
        raise VariantError(
            "the variants name different architectures",
            found=", ".join(sorted(named)),
            expected="--architecture",
        )
    return preset_named(architecture if architecture is not None else named.pop())


def check(*variants: str, architecture: str | None = None, seed: int = 0) -> Answer:
    """Prove or refute a variant, or the composition of several in that order.

    A variant is a catalogue name or the path of a .toml file.  Raises VariantError for one that cannot be used.

    >>> check("mlp-expansion").verdict
    'proved'
    """
    loaded = [load(variant) for variant in variants]
    return check_variants(loaded, chosen_preset(loaded, architecture), seed)


def prove(*variants: str, architecture: str | None = None) -> Claim:
    """The claim of a variant or chain with its goals and derivations; its `theorem` is None if a goal is open.

    >>> prove("attention-expansion").theorem is not None
    True
    """
    loaded = [load(variant) for variant in variants]
    return claim_of(loaded, paper_model(chosen_preset(loaded, architecture)))


def expand(variant: str, architecture: str | None = None) -> Expansion:
    """The symbolic model after a variant, with its new blocks and constraints as terms.

    >>> [block.name for block in expand("heads-expansion").blocks]
    ['M_W_V', 'M_W_O']
    """
    loaded = load(variant)
    return expand_variant(paper_model(chosen_preset([loaded], architecture)), loaded)


def report(path: str | Path = "growproof-report.html", seed: int = 0) -> Path:
    """Prove and check the paper's six expansions and write the report; the path of the file."""
    from .reports.report import write_report

    write_report(Path(path), seed)
    return Path(path)
