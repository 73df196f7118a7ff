"""The command `new`: a commented starting file with every parameter that has to grow, and zeros to begin with."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sympy import Expr

from ..proofs.check import claim_of
from ..proofs.features import as_in_the_paper, breaking, in_words, irreducible, seems_to_hold
from ..proofs.matrix import listed
from ..symbolic.architecture import (
    FOLLOWING,
    PARAMETERS,
    Parameter,
    Preset,
    default_scalar,
    paper_model,
    parameters,
    side,
)
from ..symbolic.errors import VariantError
from ..symbolic.expand import FIXED
from ..symbolic.syntax import nearest
from ..symbolic.terms import size
from ..symbolic.variant import Variant, loads
from .files import written

Sizes = Mapping[str, Expr]

ADDED: Mapping[str, tuple[str, ...]] = {"head": ("group", "head"), "layer": ("layer", "group", "head", "expert")}
"""What can be added, with the scopes of the parameters that it has."""

MEANING: Mapping[str, str] = {
    "h": "the hidden size",
    "p": "the width of the MLP",
    "k": "the size of a head's queries and keys",
    "v": "the size of a head's values",
}


@dataclass(frozen=True)
class Entry:
    """What a parameter becomes, and the new blocks in that with their shapes, all as the file writes them."""

    parameter: str
    expression: str
    blocks: Mapping[str, str]


@dataclass(frozen=True)
class Start:
    """What a starting file is about: the sizes that grow, or a head or layer that is added; on an architecture."""

    preset: Preset
    grows: tuple[str, ...] = ()
    adds: str | None = None

    @property
    def sizes(self) -> tuple[Sizes, Sizes]:
        """The sizes before and after; n is there for what is skipped where there are no experts."""
        old = {name: size(name) for name in (*paper_model(self.preset).sizes, "n_experts")}
        return old, old | {name: size(f"{name}_hat") for name in self.grows}

    @property
    def everywhere(self) -> tuple[Entry, ...]:
        """What every parameter of any architecture becomes, if anything."""
        if self.adds is not None:
            return tuple(started(q, self) for q in PARAMETERS if q.scope in ADDED[self.adds])
        return tuple(entry for entry in (grown(q, self) for q in PARAMETERS) if entry is not None)

    def on(self, preset: Preset) -> tuple[Entry, ...]:
        """The same, for those of one architecture."""
        return tuple(entry for entry in self.everywhere if entry.parameter in parameters(preset))


def new_file(path: Path, start: Start, replace: bool) -> str:
    """Write a starting file; its text.  Raises VariantError where a file is there already or cannot be written."""
    if os.path.lexists(path) and not replace:
        raise VariantError("the file is there already", str(path), expected="another name, or --force to replace it")
    with written(path) as parts:
        parts.append(text_of(start, zeros(start)))
    return parts[0]


# ---------------------------------------------------------------- what grows, what is added


def growing(sizes: Sequence[str], preset: Preset) -> Start:
    """Some sizes grow.  Raises VariantError for what cannot."""
    can_grow = [name for name in paper_model(preset).sizes if name not in FIXED]
    for name in sizes:
        if name not in can_grow:
            guess = nearest(name, can_grow)
            expected = f"`{guess}`" if guess else f"one of {', '.join(can_grow)}"
            raise VariantError("this size cannot grow", found=f"`{name}`", expected=expected)
    return Start(preset, grows=tuple(dict.fromkeys(sizes)))


def grown(q: Parameter, start: Start) -> Entry | None:
    """New columns beside the old matrix, new rows below it, or both and a corner; None for one that stays as it is."""
    rows, more_rows = growth_of(q.rows, start)
    columns, more_columns = growth_of(q.columns, start)
    before, name = undoing(q, start) + q.name, f"M_{q.name}"
    beside, below, corner = f"{rows}, {more_columns}", f"{more_rows}, {columns}", f"{more_rows}, {more_columns}"
    if more_rows and more_columns:
        blocks = {f"{name}_beside": beside, f"{name}_below": below, f"{name}_corner": corner}
        return Entry(q.name, "[{}, {}; {}, {}]".format(before, *blocks), blocks)
    if more_columns:
        return Entry(q.name, f"[{before}, {name}]", {name: beside})
    return Entry(q.name, f"[{before}; {name}]", {name: below}) if more_rows else None


def growth_of(which: str, start: Start) -> tuple[str, str]:
    """A side of a parameter as a file writes it, and by how much it grows; "" where it does not."""
    before, after = (str(side(which, sizes)) for sizes in start.sizes)
    return before, f"{after} - {before}" if after != before else ""


def undoing(q: Parameter, start: Start) -> str:
    """The factor that undoes the change of a root: that of the scores, by the keys; that of a norm, by its gains."""
    if q.name in ("W_K", "b_K") and "scale" in changed(start):
        return "sqrt(k_hat)/sqrt(k)*"
    return "sqrt(h)/sqrt(h_hat)*" if q.name.startswith("g_") and q.columns == "h" and "h" in start.grows else ""


def changed(start: Start) -> tuple[str, ...]:
    """The scalars that the architecture computes from what grows."""
    before, after = start.sizes
    return tuple(
        s for s in FOLLOWING if default_scalar(s, start.preset, before) != default_scalar(s, start.preset, after)
    )


def started(q: Parameter, start: Start) -> Entry:
    """A parameter of the new head or layer: a new block."""
    shape = f"{growth_of(q.rows, start)[0]}, {growth_of(q.columns, start)[0]}"
    return Entry(q.name, f"M_{q.name}", {f"M_{q.name}": shape})


# ---------------------------------------------------------------- zeros that suffice


@dataclass(frozen=True)
class Zeros:
    """New blocks that are proved to suffice as zeros, and the options that break the variant all the same."""

    blocks: tuple[str, ...]
    breaking: tuple[str, ...] = ()


def zeros(start: Start) -> Zeros:
    """From all blocks to fewer, the first freed first and biases last, as numbers say; what remains is then proved.

    If need be, that is with one block more, or on the architecture without the options that are to blame.
    """

    def with_zeros(names: Iterable[str]) -> Variant:
        lines = [*tables(start, start.everywhere), "[constraints]", *map(zero, names)]
        return loads("\n".join(lines), "new.toml")

    every = with_zeros(blocks(start.everywhere))
    options = () if seems_to_hold(every, start.preset) else breaking(every, start.preset)
    simpler = as_in_the_paper(start.preset, options)
    biases_last = sorted(start.on(simpler), key=lambda entry: entry.parameter.startswith(("b_", "c_")))
    there = tuple(reversed(blocks(biases_last)))
    fewest = irreducible(there, lambda names: seems_to_hold(with_zeros(names), simpler))
    another = ([*fewest, name] for name in there if name not in fewest)  # numbers may see more than the prover
    for found in ([*fewest], *another):
        if claim_of([with_zeros(found)], paper_model(simpler)).theorem is not None:
            return Zeros(tuple(name for name in blocks(start.on(start.preset)) if name in found), options)
    return Zeros((), options)


def blocks(entries: Iterable[Entry]) -> dict[str, str]:
    """The new blocks of some entries, with their shapes."""
    return {name: shape for entry in entries for name, shape in entry.blocks.items()}


# ---------------------------------------------------------------- the text


def text_of(start: Start, suggested: Zeros) -> str:
    """The whole file: no constraint is chosen yet, and those suggested are comments."""
    chosen = (f"# {zero(name)}" for name in suggested.blocks)
    return (
        "\n".join([*tables(start, start.on(start.preset)), *advice(start, suggested), "[constraints]", *chosen]) + "\n"
    )


def zero(name: str) -> str:
    return f'{name} = "0"'


def tables(start: Start, entries: Sequence[Entry]) -> Iterator[str]:
    """Everything above the constraints, each table under a comment that says what it is for."""
    about = f"a new {start.adds}" if start.adds is not None else f"a larger {' and '.join(start.grows)}"
    yield f"# A starting file of growproof: {about}.  Everything after a # is a comment, and nothing is executed."
    yield "# Save, check, change, check again:  growproof check FILE"
    yield ""
    yield f'name = "My variant: {about}"'
    yield f'architecture = "{start.preset.name}"  # `growproof list` names the others; --architecture tries one'
    if start.grows:
        yield from GROWS
        yield from (f'{name} = "{name}_hat"  # {MEANING[name]}' for name in start.grows)
    yield from NEW
    yield from (f'{name} = "{shape}"' for name, shape in blocks(entries).items())
    yield from rewritten(start) if start.adds is None else (*ADDS, f"[added.{start.adds}]")
    yield from (f'{entry.parameter} = "{entry.expression}"' for entry in entries)


GROWS = (
    "",
    '# What grows: size = grown size.  A new symbol such as "p_hat" is any larger size; "2*p" and "p + q" are others.',
    "[grows]",
)
NEW = (
    "",
    '# The new blocks and their shapes, "rows, columns".  Each may hold anything that the constraints allow.',
    "[new]",
)
ADDS = (
    "",
    "# What the parameters of the new one are: a new block each, or an expression such as M_W_Q + W_Q or 0.",
)
REWRITE = (
    "",
    "# What the parameters become: [A, B] puts B beside A, and [A; B] below it; A*B is a product, A' a transpose.",
    "# Tokens are rows, so that a layer computes X*W.  A parameter that is not listed stays as it is.",
)


def rewritten(start: Start) -> Iterator[str]:
    """The heading of the rewrites, with what happens to the roots of the sizes that grow."""
    yield from REWRITE
    if "scale" in changed(start):
        yield "# The scores are divided by sqrt(k), which becomes sqrt(k_hat): the factor of the keys undoes that."
    if any(undoing(q, start) for q in parameters(start.preset).values() if q.columns == "h"):
        yield "# A norm divides by the root of a mean over h, now over h_hat: the factor of the gains undoes that,"
        yield "# as long as the new coordinates of the stream are zero."
    yield "[rewrite]"
    for name in changed(start):
        if name != "scale":
            yield f'{name} = "{name}"  # as before; without this line it is computed from the grown size'


def advice(start: Start, suggested: Zeros) -> Iterator[str]:
    """What constraints are, and which to try first."""
    yield ""
    yield '# What the initialiser has to make true, as equations: M_W_l2 = "0", or "M_W_l1*M_W_l2" = "0" in quotes.'
    yield "# Nothing is asked yet: the new blocks may be anything, and numbers will be found that refute this file."
    if suggested.breaking:
        words = listed([in_words(start.preset, option) for option in suggested.breaking])
        yield f"# Zeros alone are not enough on {start.preset.name}: what breaks it is {words}."
        yield "# Delete the # of the zeros below, and look for the smallest change of the rewrites that mends it:"
        yield f"#   growproof matrix --architecture {start.preset.name} --expansion FILE"
    elif suggested.blocks:
        yield "# The zeros below are enough: delete the # in front of them, and the answer is `proved`."
    else:
        yield "# No choice of zeros was found that is enough."
    yield "# What else would do, and how little is enough:  growproof constraints FILE"
