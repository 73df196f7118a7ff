"""Variants invented at random that are true by construction: each is a theorem with a few lines of proof beside it.

An invention is the text of a variant file.  Which architectures it is true of is decided by their options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from ..symbolic.architecture import Parameter, parameters
from ..symbolic.preset import Preset
from ..symbolic.syntax import BinaryOp, Expression, Name, Negative, Transposed, parse
from ..symbolic.variant import Variant, loads
from .entries import entries_of, parts, put, rebuilt, trees
from .mutants import shape_of

T = TypeVar("T")
Rng = np.random.Generator
Table = dict[str, str]
WRITERS = ("W_O", "b_O", "W_l2", "b_l2")  # what a sublayer writes to the stream with
VANISHING = ("relu", "gelu", "gelu_tanh", "quick_gelu", "silu", "tanh")  # f(0) = 0


@dataclass(frozen=True)
class Invention:
    """The tables of a variant file; those of an added head or layer by what is added."""

    grows: Table = field(default_factory=dict)
    new: Table = field(default_factory=dict)
    rewrite: Table = field(default_factory=dict)
    constraints: Table = field(default_factory=dict)
    stream: Table = field(default_factory=dict)
    added: Mapping[str, Table] = field(default_factory=dict)

    def text(self, name: str, preset: Preset) -> str:
        """The text of the file."""
        tables = {"grows": self.grows, "new": self.new, "rewrite": self.rewrite, "stream": self.stream}
        tables |= {f"added.{what}": entries for what, entries in self.added.items()}
        tables |= {"constraints": {f'"{left}"': right for left, right in self.constraints.items()}}
        lines = [f'name = "{name}"', f'architecture = "{preset.name}"']
        for header, entries in tables.items():
            lines += ["", f"[{header}]", *(f'{key} = "{value}"' for key, value in entries.items())] if entries else []
        return "\n".join(lines) + "\n"


def chosen(rng: Rng, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]


def of_size(preset: Preset, size: str, side: str) -> list[Parameter]:
    """The parameters that have a size as their rows, or as their columns."""
    return [one for one in parameters(preset).values() if getattr(one, side) == size]


def sides(one: Parameter, size: str, more: str) -> str:
    """The shape of the new part of a parameter of which a size grows."""
    return ", ".join(more if side == size else side for side in (one.rows, one.columns))


def joined(new_first: bool, old: str, new: str, mark: str) -> str:
    return f"[{new}{mark} {old}]" if new_first else f"[{old}{mark} {new}]"


# ---------------------------------------------------------------- units and values


def wider(preset: Preset, rng: Rng) -> Invention:
    """[W, M] written and [W; M] read, in any order: true where the new coordinates are never read, or are zero."""
    size = chosen(rng, "pv")
    new_first, more = bool(rng.integers(2)), f"{size}_hat - {size}"
    writers, readers = of_size(preset, size, "columns"), of_size(preset, size, "rows")
    new = {f"M_{one.name}": sides(one, size, more) for one in (*writers, *readers)}
    rewrite = {one.name: joined(new_first, one.name, f"M_{one.name}", ",") for one in writers}
    rewrite |= {one.name: joined(new_first, one.name, f"M_{one.name}", ";") for one in readers}
    silent = size == "v" or preset["mlp"] == "gated" or preset.act in VANISHING
    quiet = {f"M_{one.name}": "0" for one in (readers if rng.integers(2) or not silent else writers)}
    if size == "v" and rng.integers(2):  # H M_V M_O = 0, and 1 b M_O = 0
        quiet = {f"M_{one.name}*M_{reader.name}": "0" for one in writers for reader in readers}
    return Invention({size: f"{size}_hat"}, new, rewrite, quiet)


def doubled(preset: Preset, rng: Rng) -> Invention:
    """[W, W] written, [a W + M; (1 - a) W - M] read: the two copies of each coordinate are equal."""
    size, share = chosen(rng, "pv"), chosen(rng, ("1/2", "1/3", "2", "0.25", "-1"))
    noise, rewrite, new = bool(rng.integers(2)), Table(), Table()
    for one in of_size(preset, size, "columns"):
        rewrite[one.name] = f"[{one.name}, {one.name}]"
    for one in of_size(preset, size, "rows"):
        new |= {f"M_{one.name}": f"{one.rows}, {one.columns}"} if noise else {}
        plus, minus = (f" + M_{one.name}", f" - M_{one.name}") if noise else ("", "")
        rewrite[one.name] = f"[{share}*{one.name}{plus}; (1 - {share})*{one.name}{minus}]"
    return Invention({size: f"2*{size}"}, new, rewrite)


def turned_values(preset: Preset, rng: Rng) -> Invention:
    """W_V R and S W_O with R S = I, the new coordinates as many as before or more."""
    size = chosen(rng, ("v", "v_hat"))
    grows = {"v": size} if size != "v" else {}
    rewrite = {one.name: f"{one.name}*R" for one in of_size(preset, "v", "columns")}
    rewrite |= {one.name: f"S*{one.name}" for one in of_size(preset, "v", "rows")}
    return Invention(grows, {"R": f"v, {size}", "S": f"{size}, v"}, rewrite, {"R*S": "eye(v)"})


def selected(preset: Preset, rng: Rng) -> Invention:
    """W S written and T W read with S T = I, S a selection: functions of entries commute with S."""
    size = chosen(rng, "pv")
    rewrite = {one.name: f"{one.name}*S" for one in of_size(preset, size, "columns")}
    rewrite |= {one.name: f"T*{one.name}" for one in of_size(preset, size, "rows")}
    new = {"S": f"{size}, {size}_hat; selection", "T": f"{size}_hat, {size}"}
    return Invention({size: f"{size}_hat"}, new, rewrite, {"S*T": f"eye({size})"})


# ---------------------------------------------------------------- keys


def plain_scores(preset: Preset) -> bool:
    """Whether a score is c q k', q and k as the matrices make them."""
    return preset["positions"] != "rotary" and not preset["qk_norm"]


def shares(preset: Preset, rng: Rng) -> tuple[str, str]:
    """Factors for queries and keys that together undo the change of the score factor when k grows."""
    whole = "sqrt(k_hat/k)" if preset["scale"] == "sqrt" else "1"
    options = [(whole, "1"), ("1", whole), (f"2*{whole}", "1/2"), ("(-1)", f"(-{whole})")]
    if preset["scale"] == "sqrt":  # the unknown factor can be solved for
        options += [("?a", "1"), ("2", "?a")]
        options += [("sqrt(k_hat)", "1/sqrt(k)"), ("(k_hat/k)^(1/4)", "(k_hat/k)^(1/4)")]
    return chosen(rng, options)


def longer_keys(preset: Preset, rng: Rng) -> Invention:
    """[a W_Q, M_Q] and [b W_K, M_K], biases alike, with M_Q M_K' = 0 and a b the growth of the score factor."""
    writers, (a, b) = of_size(preset, "k", "columns"), shares(preset, rng)
    of_keys = {one.name: one.name.endswith("_K") for one in writers}
    new = {f"M_{one.name}": sides(one, "k", "k_hat - k") for one in writers}
    rewrite = {name: f"[{b if keys else a}*{name}, M_{name}]" for name, keys in of_keys.items()}
    quiet = bool(rng.integers(2))
    constraints = {f"M_{name}": "0" for name, keys in of_keys.items() if keys == quiet}
    if len(writers) == 2 and rng.integers(2):
        constraints = {"M_W_Q*M_W_K'": "0"}
    return Invention({"k": "k_hat"}, new, rewrite, constraints)


def turned_keys(preset: Preset, rng: Rng) -> Invention:
    """Queries times R and keys times S' with R S = I, the new coordinates as many as before or more."""
    size = chosen(rng, ("k", "k_hat"))
    grows, (a, b) = ({"k": size}, shares(preset, rng)) if size != "k" else ({}, ("1", "1"))
    turn = {"Q": f"*R*{a}", "K": f"*S'*{b}"}
    rewrite = {one.name: one.name + turn[one.name[-1]] for one in of_size(preset, "k", "columns")}
    return Invention(grows, {"R": f"k, {size}", "S": f"{size}, k"}, rewrite, {"R*S": "eye(k)"})


# ---------------------------------------------------------------- heads, layers, matrices


def silent_head(preset: Preset, rng: Rng) -> Invention:
    """One more head with W_V W_O = 0 and b_V W_O = 0, for one reason or another."""
    inside = [one for one in parameters(preset).values() if one.scope in ("group", "head")]
    values = [one.name for one in inside if one.columns == "v"]
    quiet = chosen(
        rng,
        (
            {"M_W_O": "0"},
            {f"M_{name}": "0" for name in values},
            {f"M_{name}*M_W_O": "0" for name in values},
        ),
    )
    new = {f"M_{one.name}": f"{one.rows}, {one.columns}" for one in inside}
    return Invention({}, new, {}, quiet, {}, {"head": {one.name: f"M_{one.name}" for one in inside}})


def silent_layer(preset: Preset, rng: Rng) -> Invention:
    """One more layer of which no sublayer writes anything."""
    inside = [one for one in parameters(preset).values() if one.scope != "model"]
    new = {f"M_{one.name}": f"{one.rows}, {one.columns}" for one in inside}
    writing = [one.name for one in inside if one.name in WRITERS]
    quiet = {f"M_{name}": "0" for name in writing}
    if "b_V" not in parameters(preset) and rng.integers(2):
        del quiet["M_W_O"]
        quiet["M_W_V*M_W_O"] = "0"
    return Invention({}, new, {}, quiet, {}, {"layer": {one.name: f"M_{one.name}" for one in inside}})


def copied_layer(preset: Preset, rng: Rng) -> Invention:
    """A copy of the layer before, of which no sublayer writes anything."""
    writing = [one.name for one in parameters(preset).values() if one.name in WRITERS]
    return Invention(added={"layer": {"copy": "previous", **dict.fromkeys(writing, "0")}})


def low_rank(preset: Preset, rng: Rng) -> Invention:
    """W + A B with one of the two zero."""
    one = chosen(rng, [q for q in parameters(preset).values() if q.name != "I" and q.columns != "f"])
    inner = chosen(rng, "hpkvo")
    new = {"A": f"{one.rows}, {inner}", "B": f"{inner}, {one.columns}"}
    return Invention({}, new, {one.name: f"{one.name} + A*B"}, {chosen(rng, "AB"): "0"})


def moved_input(preset: Preset, rng: Rng) -> Invention:
    """Only the sum of the input and the positions is read."""
    factor = chosen(rng, ("", "2*", "1/3*"))
    return Invention({}, {"M": "s, h"}, {"I": f"I + {factor}M", "P": f"P - {factor}M"})


# ---------------------------------------------------------------- the stream


def wider_stream(preset: Preset, rng: Rng) -> Invention:
    """[X, 0] or [0, X] in every place, the gains times sqrt(h/h_hat), eps times h/h_hat."""
    new_first, new, rewrite, constraints = bool(rng.integers(2)), Table(), Table(), Table()
    for one in parameters(preset).values():
        if "h" not in (one.rows, one.columns):
            continue
        gain = one.name.startswith("g_")
        old = f"sqrt(h/h_hat)*{one.name}" if gain else one.name
        new[f"M_{one.name}"] = sides(one, "h", "h_hat - h")
        rewrite[one.name] = joined(new_first, old, f"M_{one.name}", "," if one.columns == "h" else ";")
        if one.columns == "h" and not gain:
            constraints[f"M_{one.name}"] = "0"
    scalars = {"eps": "eps*h/h_hat"} if preset["eps"] else {}
    return Invention({"h": "h_hat"}, new, {**rewrite, **scalars}, constraints)


def turned_stream(preset: Preset, rng: Rng) -> Invention:
    """X R with R R' = I: the gains move into what reads the norms, and every row keeps its mean square."""
    readers = {"W_Q": "g_MHA", "W_K": "g_MHA", "W_V": "g_MHA", "W_l1": "g_MLP"}
    rewrite = {one.name: f"{one.name}*R" for one in of_size(preset, "h", "columns")}
    rewrite |= dict.fromkeys(readers.values(), "ones(1, h)")
    rewrite |= {name: f"R'*diag({gain})*{name}" for name, gain in readers.items()} | {"W_out": "R'*W_out"}
    return Invention({}, {"R": "h, h"}, rewrite, {"R*R'": "eye(h)"}, {"map": "R"})


# ---------------------------------------------------------------- which are true where

Invent = Callable[[Preset, Rng], Invention]


def true_of(preset: Preset) -> dict[str, Invent]:
    """The inventions that are true of an architecture."""
    plain = preset.is_paper
    conditions = {
        wider: True,
        doubled: True,
        turned_values: True,
        selected: True,
        longer_keys: plain_scores(preset),
        turned_keys: plain_scores(preset),
        silent_head: True,
        silent_layer: preset["placement"] == "pre",
        copied_layer: preset["placement"] == "pre",
        low_rank: True,
        moved_input: preset["positions"] == "table" and not (preset["tied"] or preset["embed_scale"]),
        wider_stream: plain,
        turned_stream: plain,
    }
    return {invent.__name__.replace("_", " "): invent for invent, holds in conditions.items() if holds}


def invented(preset: Preset, rng: Rng) -> tuple[str, Variant]:
    """What was invented, and a random variant that is true by construction, in one of its disguises."""
    name, invent = chosen(rng, list(true_of(preset).items()))
    variant = loads(invent(preset, rng).text(f"Invented: {name}", preset), "invented.toml")
    return name, disguised(variant, rng, int(rng.integers(3)))


# ---------------------------------------------------------------- disguises


def disguised(variant: Variant, rng: Rng, times: int) -> Variant:
    """The variant with some of its matrices written otherwise, each equal to what it was."""
    entries = entries_of(variant)
    for _ in range(times):
        matrices = [
            (where, tree, path, part)
            for where, tree in trees(entries, "rewrite", "added")
            for path, part in parts(tree)
            if isinstance(part, Name) and shape_of(entries, part.name) is not None
        ]
        if matrices:
            where, tree, path, part = chosen(rng, matrices)
            entries = {**entries, where: put(tree, path, chosen(rng, list(longer(part))))}
    return rebuilt(variant, entries)


def longer(tree: Expression) -> Iterator[Expression]:
    """Longer ways to write a matrix."""
    half, twice = (BinaryOp("*", parse(factor), tree) for factor in ("1/2", "2"))
    yield Transposed(Transposed(tree))
    yield Negative(Negative(tree))
    yield BinaryOp("*", parse("2"), half)
    yield BinaryOp("+", half, half)
    yield BinaryOp("-", twice, tree)
