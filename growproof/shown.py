"""The objects of the front door: those of the packages, which also show themselves in a notebook.

`_repr_html_` gives a fragment made with the templates of the pages: it needs no script, and its style stays within.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from .proofs import check
from .symbolic import expand, variant

if TYPE_CHECKING:
    from .proofs.remarks import Remarks
    from .proofs.repair import Repair
    from .reports.view import Section

T = TypeVar("T")


@dataclass(frozen=True, eq=False, repr=False)
class Answer(check.Answer):
    """The answer about a chain of variants, with what goes with it; computed when it is asked for."""

    seed: int = 0

    @cached_property
    def remarks(self) -> Remarks:
        """Numbers and learning if it is proved, blame and repairs if refuted, and what was tried if undecided."""
        from .proofs.remarks import remarks

        return remarks(self, self.seed)

    @property
    def repairs(self) -> tuple[Repair, ...]:
        """The smallest repairs of a refuted variant, each proved."""
        return self.remarks.offer.repairs if self.remarks.offer is not None else ()

    def __str__(self) -> str:
        from .reports.answers import answer_text

        return "\n".join(answer_text(self, self.remarks))

    def __repr__(self) -> str:
        return f"<Answer: {' then '.join(one.name for one in self.variants)}, {self.preset.name}: {self.verdict}>"

    def _repr_html_(self) -> str:
        from .reports.sections import section

        return drawn(section(self, identifier(*self.variants), remarks=self.remarks))


@dataclass(frozen=True, eq=False, repr=False)
class Claim(check.Claim):
    """A claim with the derivations of its goals."""

    def __repr__(self) -> str:
        state = "proved" if self.theorem is not None else "open"
        return f"<Claim: {' then '.join(one.name for one in self.variants)}: {state}>"

    def _repr_html_(self) -> str:
        from .reports.sections import claim_section

        return drawn(claim_section(self, identifier(*self.variants)))


@dataclass(frozen=True, eq=False)
class Expansion(expand.Expansion):
    """The symbolic model after a variant."""

    def _repr_html_(self) -> str:
        from .reports.sections import expansion_section

        return drawn(expansion_section(self, identifier(self.variant)))


@dataclass(frozen=True, eq=False)
class Variant(variant.Variant):
    """What a variant file says."""

    def _repr_html_(self) -> str:
        from .reports.sections import variant_section

        return drawn(variant_section(self, identifier(self)))


def shown(kind: type[T], plain: Any, **more: Any) -> T:
    """An object of a package as the one of the front door that shows itself."""
    return kind(**{field.name: getattr(plain, field.name) for field in fields(plain)}, **more)


def identifier(*variants: variant.Variant) -> str:
    """An anchor for a fragment: no two variants share one."""
    return "growproof-" + "-".join(one.sha256[:12] for one in variants)


def drawn(section: Section) -> str:
    from .reports.page import fragment

    return fragment(section)
