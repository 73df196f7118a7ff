"""Apply a variant to a model of symbolic size: every rewrite written once, in its file, becomes terms here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sympy import Integer
from sympy import expand as multiplied_out

from .architecture import (
    EXPERTS,
    INPUT,
    INPUTS,
    PARAMETERS,
    SCALARS,
    SCOPES,
    Experts,
    Heads,
    Layer,
    Owner,
    Parameter,
    Transformer,
    as_it_was,
    default_scalar,
    has_scalar,
    levels,
    parameters,
    side,
    with_what_follows,
)
from .becoming import becomes
from .elaborate import Scope, elaborate, is_unknown, shape_of
from .errors import VariantError
from .meaning import NEW_LAYER, Meaning, an_architecture_with, elsewhere
from .notation import instance
from .syntax import Expression, Name, error_at, names, nearest
from .terms import (
    Expr,
    MatrixExpr,
    MatrixSymbol,
    Path,
    Symbol,
    canonical,
    matrix,
    same_size,
    selection,
    size,
    zero,
)
from .variant import INPUT as X
from .variant import OWN_SIZES, SIZES, SUBLAYERS, Added, Constraint, Variant, meaning_of

Entries = Mapping[str, Expression]
NOTHING: Entries = {}


@dataclass(frozen=True)
class Block:
    """One instance of a new block: its declared name, its scope, who owns it, and its symbol."""

    name: str
    scope: str
    owner: Owner
    symbol: MatrixSymbol


@dataclass(frozen=True)
class Expansion:
    """A model, what a variant makes of it, and what the variant says about the new blocks."""

    variant: Variant
    old: Transformer
    new: Transformer
    blocks: tuple[Block, ...]
    constraints: tuple[tuple[MatrixExpr, MatrixExpr], ...]
    constraint_sources: tuple[int, ...]  # which constraint of the file each instance comes from
    stream_map: MatrixExpr | None  # None: to be read off the rewrites of I and P
    above: Mapping[Symbol, Expr]  # grown size -> the size that it exceeds
    assumptions: tuple[str, ...]


def expand(old: Transformer, variant: Variant, step: int = 1) -> Expansion:
    """Apply a variant to a model, as the step-th of a chain.

    Raises VariantError for an unknown name, a wrong shape, a parameter that should grow and has no rewrite, and for a
    variant of what the model lacks and nothing else, about which every claim would be true.
    """
    return _Application(old, variant, step).result()


FIXED = ("s", "o", *OWN_SIZES)  # sizes that no variant changes
KNOWN = frozenset((*SIZES, *(f"{base}_hat" for base in SIZES), *OWN_SIZES))  # names of sizes that no variant gives
_SCOPE_OF_KIND = {"per model": "model", "per layer": "layer", "per head": "head"}
SELECTION = "selection"


class _Application:
    """The names in force while one variant is applied; built once, read by every elaboration."""

    def __init__(self, old: Transformer, variant: Variant, step: int) -> None:
        self.old, self.variant = old, variant
        self.tag = "" if step == 1 else str(step)
        self.step = step
        self.assumptions: list[str] = []
        self.above: dict[Symbol, Expr] = {}
        self.size_names = self._grown_sizes()
        grown = {name: self.size_names.get(f"{name}_hat", old.sizes[name]) for name in old.sizes}
        self.sizes = with_what_follows(grown)
        self.preset = becomes(old.preset, variant)
        self.sizes |= self._new_sizes()
        self.parameters = parameters(self.preset)
        self.uses = dict(self._uses())
        others = {"n_experts": size("n_experts")}  # sizes of architectures that have what is skipped here
        self.skipped = {name: zero(*self._shape(name, others)) for name in variant.new if self._is_skipped(name)}
        self.blocks = tuple(b for name in variant.new if name not in self.skipped for b in self._instances(name))

    # -------------------------------------------------------- sizes

    def _grown_sizes(self) -> dict[str, Expr]:
        """Every size name of the file, old and grown, with what it stands for."""
        known: dict[str, Expr] = dict(self.old.sizes)
        for base, expression in self._in_order():
            if base not in self.old.sizes or base in FIXED:
                growing = [name for name in self.old.sizes if name not in FIXED]
                raise error_at(expression, "this size cannot grow", base, "one of " + ", ".join(growing))
            for name in names(expression):
                if name.name in KNOWN and name.name not in known and expression != Name(f"{base}_hat"):
                    raise error_at(name, "no such size is known here", name.name, "a name of its own")
                known.setdefault(name.name, size(instance(name.name, self.tag)))
            grown = elaborate(expression, self._scope(known), None)
            known[f"{base}_hat"] = grown
            self._grows_beyond(expression, grown, self.old.sizes[base])
        return known | {name: size(instance(name, self.tag)) for name in self._inner_sizes(known)}

    def _inner_sizes(self, known: Collection[str]) -> Iterator[str]:
        """The sizes that only new blocks have, such as the rank of a product of two; one that stands alone is none."""
        elsewhere = {*known, *KNOWN, str(self.variant.becomes.get("experts"))}
        shapes = [side for block in self.variant.new.values() for side in (block.rows, block.columns)]
        bare = [side.name for side in shapes if isinstance(side, Name) and side.name not in elsewhere]
        yield from dict.fromkeys(name for name in bare if bare.count(name) > 1)

    def _in_order(self) -> Iterator[tuple[str, Expression]]:
        """The sizes that grow, each after those whose grown size it mentions."""
        waiting = dict(self.variant.grows)
        while waiting:
            hats = {base: {f"{other}_hat" for other in waiting if other != base} for base in waiting}
            mentioned = {base: {name.name for name in names(waiting[base])} for base in waiting}
            ready = [base for base in waiting if not mentioned[base] & hats[base]]
            if not ready:
                place = next(iter(waiting.values()))
                raise error_at(place, "these sizes grow by one another", ", ".join(waiting), "an order")
            yield ready[0], waiting.pop(ready[0])

    def _grows_beyond(self, place: Expression, grown: Expr, base: Expr) -> None:
        """A new size is assumed to exceed the old one; anything else must be as large by itself, such as n*h."""
        old = {symbol for side in self.old.sizes.values() for symbol in side.free_symbols}
        if isinstance(grown, Symbol) and grown not in old and grown not in self.above:
            self.above[grown] = base
        elif grown == base or not self._is_nonnegative(grown - base):
            raise error_at(place, "a grown size must exceed the old one", str(grown), f"more than {base} for all sizes")

    def _is_nonnegative(self, difference: Expr) -> bool:
        """Whether a difference of sizes is 0 or more for all sizes, each of which is 1 and something."""
        spread = Scope({}, self.above, "").spread(difference)
        more = {s: 1 + Symbol(f"{s}~", integer=True, nonnegative=True) for s in spread.free_symbols}
        return bool(multiplied_out(spread.subs(more)).is_nonnegative)

    def _scope(self, known: Mapping[str, Expr], here: str = "model") -> Scope:
        """What names mean to something of `here`: the model, a layer, a group, a head, an expert or a new layer."""
        return Scope(known, self.above, self.old.preset.act, elsewhere=partial(self._elsewhere, here))

    def _elsewhere(self, here: str, name: str) -> Meaning | None:
        """What a name means that means nothing to something of `here`."""
        owners = {known: parameter.scope for known, parameter in parameters(self.old.preset).items()}
        owners |= {block.name: block.scope for block in self.blocks}
        return elsewhere(name, owners, here, self.old.preset)

    def _new_sizes(self) -> dict[str, Expr]:
        """The number of experts, where there are any from now on."""
        if "experts" not in self.variant.becomes:
            return {}
        name = str(self.variant.becomes["experts"])
        known = {*self.size_names, *self.variant.new}
        if (meaning_of(name) and name != "n_experts") or name in known:
            what = "the number of experts needs a name of its own"
            raise self.variant.place("becomes", "experts").error(what, name, "a name that means nothing yet")
        count = size(instance(name, self.tag))
        self.size_names[name] = self.size_names["n_experts"] = count
        return {"n_experts": count}

    # -------------------------------------------------------- new blocks

    def _entries(self) -> Iterator[tuple[str, str, Expression]]:
        """Everything that a new block can be used in, with its home (old or new layer) and the parameter's name."""
        variant = self.variant
        yield from (("old", name, entry) for name, entry in variant.rewrite.items())
        yield from (("added", name, entry) for name, entry in _entries(variant.added_head).items())
        yield from (("new", name, entry) for name, entry in _entries(variant.added_layer).items())
        yield from (("old", name, entry) for name, entry in variant.forward.items())

    def _uses(self) -> Iterator[tuple[str, set[tuple[str, str]]]]:
        """For each new block, the places (old or new layer) and the scopes of what it is used in."""
        found: dict[str, set[tuple[str, str]]] = {name: set() for name in self.variant.new}
        places: list[tuple[str, str, Expression]] = []
        for home, name, entry in self._entries():
            if name in SUBLAYERS:
                places.append((home, "layer", entry))
            elif name in self.parameters:
                scope = self.parameters[name].scope
                places.append(
                    ("old", self._scope_of_new_head(scope), entry) if home == "added" else (home, scope, entry)
                )
        if self.variant.stream_map is not None:
            places.append(("old", "model", self.variant.stream_map))
        for home, scope, entry in places:
            for name in (one.name for one in names(entry) if one.name in found):
                found[name].add((home, scope))
        yield from found.items()

    def _scope_of_new_head(self, scope: str) -> str:
        """What has one of a new head's matrices: a layer; or the group that it joins, or the head that it copies."""
        added = self.variant.added_head
        assert added is not None
        return scope if added.copy is not None else "group" if added.group is not None else "layer"

    def _is_skipped(self, name: str) -> bool:
        """Whether a new block is only part of what this architecture does not have."""
        mentioned = any(one.name == name for _, _, entry in self._entries() for one in names(entry))
        return mentioned and not self.uses[name]

    def _instances(self, name: str) -> Iterator[Block]:
        """One member of a new block for each owner: the widest scope of what it is used in."""
        homes = {home for home, _ in self.uses[name]}
        scopes = [scope for _, scope in self.uses[name]] or ["model"]
        scope = self._given_scope(name, homes) or ("model" if len(homes) > 1 else common(scopes))
        for owner in self._owners(scope, homes):
            labels = owner[1:] if homes == {"new"} else owner
            tag = ".".join(part for part in (self.tag, *labels) if part not in ("", EXPERTS))
            kind = selection if SELECTION in self.variant.new[name].kinds else matrix
            yield Block(name, scope, owner, kind(instance(name, tag), *self._shape(name), self._path(owner, scope)))

    def _shape(self, name: str, others: Mapping[str, Expr] | None = None) -> tuple[Expr, Expr]:
        """The shape that the file gives a new block."""
        block = self.variant.new[name]
        known = replace(self._scope({**(others or {}), **self.size_names}), elsewhere=self._lone_size)
        rows, columns = (elaborate(side, known, None) for side in (block.rows, block.columns))
        for place, value in ((block.rows, rows), (block.columns, columns)):
            if not known.is_size(value):
                raise error_at(place, "a size must be at least 1 for all sizes", str(value), "a positive size")
        return rows, columns

    def _lone_size(self, name: str) -> Meaning | None:
        """What a size of its own needs, where the side of a new block has a name that is no size."""
        if name in KNOWN or nearest(name, self.size_names):
            return elsewhere(name, {}, "model", self.old.preset)
        return "a size of its own stands alone on two sides in [new]", "a size, or a second side of this name"

    def _given_scope(self, name: str, homes: set[str]) -> str | None:
        """The scope that the file gives a block; one that the block cannot have is refused."""
        block = self.variant.new[name]
        kinds = [kind for kind in block.kinds if kind in _SCOPE_OF_KIND]
        if len(kinds) > 1:
            raise block.place.error("a block has one scope", ", ".join(kinds), f"`{kinds[0]}`")
        scope = _SCOPE_OF_KIND[kinds[0]] if kinds else None
        if scope not in (None, "model") and len(homes) > 1:
            raise block.place.error(
                "a block of the old layers and of the new one is the model's", f"`{kinds[0]}`", "`per model`"
            )
        return scope

    def _path(self, owner: Owner, scope: str) -> Path:
        """The families of which every member has its own block, for an owner and a scope."""
        if scope == "expert":
            return self._experts_path(owner[0])
        inner = 1 if scope == "group" else 2  # how many families within a layer
        layer = next((layer for layer in (self.old.layer, *self.old.inserted) if owner[:1] == (layer.label,)), None)
        if layer is None:
            families = levels(self.preset)[1 : 1 + inner]
            copied = next((heads.path[1:] for heads in self._copied_heads if owner[1:] == (heads.label,)), families)
            return tuple(map(self._family_of_new_layer, copied[:inner])) if len(owner) == 2 else ()
        path = next((heads.path for heads in layer.heads if owner[1:] == (heads.label,)), layer.path)
        return path[: len(layer.path) + inner]

    @property
    def _copied_heads(self) -> tuple[Heads, ...]:
        """The families of heads of the layer that a new one copies."""
        added = self.variant.added_layer
        return self.old.layer.heads if added is not None and added.copy is not None else ()

    def _family_of_new_layer(self, family: str) -> str:
        """The family of heads or experts of a new layer: one of its own, or that of the layer which it copies."""
        return family if self._copied_heads else f"{family} of {self._new_layer}"

    def _experts_path(self, label: str) -> Path:
        """The families of which every expert of a layer is a member."""
        layer = next((layer for layer in (self.old.layer, *self.old.inserted) if layer.label == label), None)
        if layer is None:
            return (self._family_of_new_layer(EXPERTS),)
        own = (*layer.path, EXPERTS) if layer.path else (f"{EXPERTS} of {label}",)
        return own if layer.experts is None else layer.experts.path

    def _owners(self, scope: str, homes: set[str]) -> Iterator[Owner]:
        within = {"layer": (), "expert": (EXPERTS,)}
        if scope == "model" or len(homes) > 1:
            yield ()
        elif homes == {"new"} and (scope in within or not self._copied_heads):
            yield (self._new_layer, *within.get(scope, ("",)))
        elif homes == {"new"}:
            yield from ((self._new_layer, heads.label) for heads in _having(scope, self._copied_heads))
        else:
            for layer in (self.old.layer, *self.old.inserted):
                if scope in within:
                    yield (layer.label, *within[scope])
                else:
                    yield from ((layer.label, heads.label) for heads in _having(scope, layer.heads))

    @property
    def _new_layer(self) -> str:
        return f"layer{self.step}"

    def _blocks_for(self, owner: Owner, scope: str) -> dict[str, MatrixSymbol]:
        """The new blocks that something of an owner sees: those of its scope and those of what it belongs to.

        A layer that copies another sees the blocks of that as well, and a head that joined a group those of the group.
        """
        within = SCOPES[: SCOPES.index(scope) + 1]
        seen = [block for block in self.blocks if block.scope in within]
        copies = bool(self._copied_heads) and owner[:1] == (self._new_layer,)
        owners = [(self.old.layer.label, *owner[1:]), owner] if copies else [owner]
        joins = {heads.label: heads.joins for layer in (self.old.layer, *self.old.inserted) for heads in layer.heads}
        shared = [joins.get(label) for label in owner[1:]]
        owners = [*((one[0], label) for one in owners for label in shared if label is not None), *owners]
        return {b.name: b.symbol for own in owners for b in seen if b.owner == own[: len(b.owner)]}

    # -------------------------------------------------------- the expanded model

    def result(self) -> Expansion:
        old, variant = self.old, self.variant
        self._check_names()
        self._check_input()
        layers = [self._layer(layer) for layer in (old.layer, *old.inserted)]
        if variant.added_layer is not None:
            layers.append(self._added_layer(variant.added_layer))
        scalars = {**old.scalars, **{name: self._model_scalar(name) for name in SCALARS}}
        scalars |= {"top_k": Integer(variant.becomes["top_k"])} if "top_k" in variant.becomes else {}
        weights = self._rewritten("model", old.weights, ())
        new = Transformer(self.preset, weights, layers[0], tuple(layers[1:]), scalars, self.sizes)
        pairs = list(self._constraints())
        self._note_what_does_nothing(new)
        stream_map = None
        if variant.stream_map is not None:
            shape = (old.sizes["h"], self.sizes["h"])
            stream_map = elaborate(variant.stream_map, self._scope(self._names((), "model", old.weights)), shape)
        return Expansion(
            variant,
            old,
            new,
            self.blocks,
            tuple(pair for _, pair in pairs),
            tuple(source for source, _ in pairs),
            stream_map,
            self.above,
            tuple(self.assumptions),
        )

    def _note_what_does_nothing(self, new: Transformer) -> None:
        unused = [name for name in self.variant.new if not self.uses[name] and name not in self.skipped]
        self.assumptions += [f"no rewrite uses {', '.join(unused)}"] if unused else []
        if replace(new, sizes=self.old.sizes) == self.old:
            self.assumptions.append("the variant changes nothing: every matrix is what it was")

    def _check_input(self) -> None:
        """What a model is made of is fixed before its input comes: only the input's own rewrite may use it."""
        variant = self.variant
        made_of = [entry for name, entry in variant.rewrite.items() if name not in INPUTS]
        made_of += [*_entries(variant.added_head).values(), *_entries(variant.added_layer).values()]
        made_of += [side for constraint in variant.constraints for side in (constraint.left, constraint.right)]
        made_of += [variant.stream_map] if variant.stream_map is not None else []
        for name in (name for entry in made_of for name in names(entry)):
            if name.name in INPUTS:
                what = "only the rewrite of the input may use the input"
                raise error_at(name, what, name.name, "a parameter or a new block")

    def _check_names(self) -> None:
        """Names of other architectures are skipped and reported; a variant must have something beside them."""
        skipped: list[tuple[str, str]] = []  # the table and the name
        there = [*self.variant.grows, *(one for one in (self.variant.added_head, self.variant.added_layer) if one)]
        for home, name, entry in self._entries():
            if home == "old" and name in self.variant.new:
                raise error_at(entry, "a new block has no rewrite", name, "a parameter")
            if name in (*self.parameters, *SUBLAYERS) or has_scalar(name, self.old.preset):
                there.append(name)
            else:
                skipped.append(("rewrite", name))
        for option in self.variant.becomes:
            if option == "rope" and not has_scalar("rope_base", self.old.preset):
                skipped.append(("becomes", option))
            else:
                there.append(option)
        if not skipped:
            return
        names = ", ".join(dict.fromkeys(name for _, name in skipped))
        if not there:
            what = f"`{self.old.preset.name}` has nothing that the variant changes"
            needed = ("rope_base" if name == "rope" else name for _, name in skipped)
            raise self.variant.place(*skipped[0]).error(what, names, an_architecture_with(needed))
        self.assumptions.append(f"the architecture has none of these, which are skipped: {names}")

    def _names(self, owner: Owner, scope: str, *weights: Mapping[str, Expr]) -> dict[str, Expr]:
        preset = self.old.preset
        found: dict[str, Expr] = dict(self.size_names)
        found |= {n: self.old.scalars[n] for n in SCALARS if n != "scale" and has_scalar(n, preset)}
        for part in weights:
            found.update(part)
        found = {name: term for name, term in found.items() if name not in INPUTS}
        return found | self._blocks_for(owner, scope)

    def _rewritten(
        self,
        scope: str,
        weights: Mapping[str, MatrixExpr],
        owner: Owner,
        *outer: Mapping[str, Expr],
        overrides: Entries = NOTHING,
    ) -> dict[str, MatrixExpr]:
        """The matrices of one owner after the variant; `outer` holds those of what it belongs to."""
        known = self._scope(self._names(owner, scope, *outer, weights), scope)
        entries = {**self.variant.rewrite, **overrides}
        result: dict[str, MatrixExpr] = {}
        for name, parameter in self.parameters.items():
            if parameter.scope != scope:
                continue
            shape, entry, old = self._sides(parameter), entries.get(name), weights.get(name)
            if entry is None and old is None:
                what = f"the architecture that it becomes has {name}, and no rewrite gives it"
                place = self.variant.place("becomes", next(iter(self.variant.becomes)))
                raise place.error(what, "no entry", f"[rewrite] {name}")
            here = known if name not in INPUTS else replace(known, names={**known.names, name: old})
            result[name] = old if entry is None else elaborate(entry, here, shape)
            if entry is None:
                self._check_unchanged(name, old, shape)
        return result

    def _sides(self, parameter: Parameter) -> tuple[Expr, Expr]:
        """The shape of a parameter of the expanded model."""
        return side(parameter.rows, self.sizes), side(parameter.columns, self.sizes)

    def _check_unchanged(self, name: str, term: MatrixExpr, shape: tuple[Expr, ...]) -> None:
        if same_size(term.rows, shape[0]) and same_size(term.cols, shape[1]):
            return
        place = next(iter(self.variant.grows.values()))
        sides = {self.parameters[name].rows, self.parameters[name].columns}
        grown = [base for base in self.variant.grows if base in sides or (base == "k" and "f" in sides)]
        raise error_at(
            place,
            f"{name} has a size that grows ({', '.join(grown)}) and no rewrite",
            f"{name} of {term.rows} x {term.cols}",
            f"a rewrite of {name} to {shape[0]} x {shape[1]}",
        )

    def _layer(self, layer: Layer) -> Layer:
        weights = self._rewritten("layer", layer.weights, (layer.label,), self.old.weights)
        heads = [self._heads(layer, family) for family in layer.heads]
        if self.variant.added_head is not None:
            heads += self._added_heads(layer, self.variant.added_head)
        return self._with_bodies(
            replace(layer, weights=weights, heads=tuple(heads), experts=self._experts(layer, layer.label))
        )

    def _experts(self, layer: Layer, label: str, overrides: Entries = NOTHING) -> Experts | None:
        """The experts of a layer; where it had none, each is what the layer had."""
        if not self.preset["experts"]:
            return None
        before = layer.weights if layer.experts is None else layer.experts.weights
        owner, outer = (label, EXPERTS), (self.old.weights, layer.weights)
        weights = self._rewritten("expert", before, owner, *outer, overrides=overrides)
        return Experts(weights, self._experts_path(layer.label))

    def _heads(self, layer: Layer, heads: Heads, label: str | None = None, overrides: Entries = NOTHING) -> Heads:
        """A family of heads after the variant; `label` is that of the layer whose new blocks it sees."""
        owner, outer = (layer.label if label is None else label, heads.label), (self.old.weights, layer.weights)
        shared = self._shared(heads)
        weights = self._rewritten("group", shared, owner, *outer, overrides=overrides)
        weights |= self._rewritten("head", heads.weights, owner, *outer, shared, overrides=overrides)
        scale = self._scale(self._names(owner, "head", *outer, heads.weights), heads.scale)
        return replace(heads, weights={name: weights[name] for name in heads.weights}, scale=scale)

    def _shared(self, heads: Heads) -> dict[str, MatrixExpr]:
        """What the heads of a group have in common."""
        return {name: w for name, w in heads.weights.items() if self.parameters[name].scope == "group"}

    def _with_bodies(self, layer: Layer) -> Layer:
        """The layer with the sublayers that the variant defines anew, and the new blocks in them among its matrices."""
        if not self.variant.forward:
            return layer
        blocks = self._blocks_for((layer.label,), "layer")
        used = {name.name for body in self.variant.forward.values() for name in names(body)}
        weights = {**layer.weights, **{name: blocks[name] for name in blocks if name in used}}
        shape = (self.sizes["s"], self.sizes["h"])
        known = {**self._names((), "model"), X: matrix(INPUT, *shape)}
        known |= {name: matrix(as_it_was(name), *term.shape) for name, term in weights.items()}
        known |= {name: matrix(as_it_was(name), *shape) for name in SUBLAYERS}
        scope = replace(self._scope(known, "layer"), rows=shape[0])
        bodies = {name: elaborate(body, scope, shape) for name, body in self.variant.forward.items()}
        return replace(layer, weights=weights, bodies=bodies)

    def _scale(self, known: Mapping[str, Expr], old: Expr) -> Expr:
        """The score factor: as the file says, else as the architecture has it for the grown k."""
        if "scale" in self.variant.rewrite:
            return self._scalar("scale", old, known, "head")
        return default_scalar("scale", self.preset, self.sizes)

    def _model_scalar(self, name: str) -> Expr:
        """A scalar of the expanded model: rewritten, recomputed where it follows a size that grows, else as it was."""
        preset, known = self.old.preset, self._names((), "model", self.old.weights)
        old = self.old.scalars[name]
        if name == "scale" or not has_scalar(name, preset) or name not in self.variant.rewrite:
            before, now = (default_scalar(name, preset, sizes) for sizes in (self.old.sizes, self.sizes))
            pairs = side("f", self.sizes) / side("f", self.old.sizes)
            kept = name == "rope_base" and "rope" in self.variant.becomes and has_scalar(name, preset)
            return old**pairs if kept else old if before == now else now
        found, place = self._scalar(name, old, known, "model"), self.variant.rewrite[name]
        if any(is_unknown(symbol) for symbol in found.free_symbols):  # its sign is looked at once it is solved for
            return found
        if name in ("eps", "eps_qk") and not self._scope(known).is_nonnegative(found):
            raise error_at(place, f"{name} must not be negative", str(found), "0 or more for all sizes")
        if name == "rope_base" and not self._scope(known).is_positive(found):
            raise error_at(place, f"{name} must be positive", str(found), "more than 0 for all sizes")
        return found

    def _scalar(self, name: str, old: Expr, known: Mapping[str, Expr], here: str) -> Expr:
        return canonical(elaborate(self.variant.rewrite[name], self._scope({**known, name: old}, here), None))

    def _given(self, scope: str, added: Added, known: Scope, what: str) -> dict[str, MatrixExpr]:
        """The matrices of something new: every parameter of its scope, and nothing else."""
        result = {}
        for parameter in (p for p in self.parameters.values() if p.scope == scope):
            if parameter.name not in added.entries:
                raise added.place.error(
                    f"{what} has no {parameter.name}",
                    ", ".join(added.entries),
                    f"an entry for {parameter.name}",
                )
            result[parameter.name] = elaborate(added.entries[parameter.name], known, self._sides(parameter))
        return result

    def _added_heads(self, layer: Layer, added: Added) -> list[Heads]:
        """One more head; or one for each head that there is, a changed copy; or one for each group, which it joins."""
        _check_entries(added.entries, ("group", "head"), "a new head")
        if added.copy is not None and added.group is not None:
            raise added.place.error("a new head copies another or joins a group", "copy and group", "one of them")
        if added.copy is None and added.group is None:
            return [self._added_head(layer, added)]
        if added.group is not None:
            return [self._joining_head(layer, family, added) for family in layer.heads if family.joins is None]
        copies = (self._heads(layer, family, overrides=added.entries) for family in layer.heads)
        return [self._relabelled(copy) for copy in copies]

    def _relabelled(self, copy: Heads) -> Heads:
        """A copy of a family of heads; a copy of what joined a group joins the copy of that group."""
        joins = None if copy.joins is None else f"{copy.joins}head{self.step}"
        return replace(copy, label=f"{copy.label}head{self.step}", joins=joins)

    def _joining_head(self, layer: Layer, family: Heads, added: Added) -> Heads:
        if not self.preset["groups"]:
            raise added.place.error(
                "a new head can join a group only where queries are grouped",
                self.preset.name,
                "every matrix of the head",
            )
        for name, entry in added.entries.items():
            if name in self.parameters and self.parameters[name].scope == "group":
                raise error_at(entry, "a head that joins a group has its keys and values", name, "W_Q and W_O")
        shared = self._shared(family)
        owner, outer = (layer.label, family.label), (self.old.weights, layer.weights)
        known = self._scope(self._names(owner, "group", *outer, shared), "group")
        weights = self._rewritten("group", shared, owner, *outer) | self._given("head", added, known, "the new head")
        scale = self._scale(known.names, self._plain_scale)
        path = family.path[: len(layer.path) + 1] if family.path != layer.path else layer.path
        return Heads(f"{family.label}head{self.step}", self._ordered(weights), scale, path, family.label)

    def _added_head(self, layer: Layer, added: Added) -> Heads:
        known = self._scope(self._names((layer.label,), "layer", self.old.weights, layer.weights), "layer")
        weights = self._given("group", added, known, "the new head") | self._given("head", added, known, "the new head")
        scale = self._scale(known.names, self._plain_scale)
        return Heads(f"head{self.step}", self._ordered(weights), scale, layer.path)

    def _ordered(self, weights: Mapping[str, MatrixExpr]) -> dict[str, MatrixExpr]:
        return {name: weights[name] for name in self.parameters if name in weights}

    def _copied_layer(self, added: Added) -> Layer:
        """What the layer before it becomes, with some entries of its own; its members are those of that layer."""
        old, entries, label = self.old.layer, added.entries, self._new_layer
        weights = self._rewritten("layer", old.weights, (label,), self.old.weights, overrides=entries)
        heads = tuple(self._heads(old, family, label, entries) for family in old.heads)
        return Layer(label, weights, heads, old.path, self._experts(old, label, entries))

    def _added_layer(self, added: Added) -> Layer:
        _check_entries(added.entries, ("layer", "group", "head", "expert"), "a new layer")
        if self.variant.forward:
            raise added.place.error("a new layer and [forward] are two variants", "both in one", "one of them")
        if added.copy is not None and self.variant.added_head is not None:
            raise added.place.error("a new head and a copied layer are two variants", "both in one", "one of them")
        if added.copy is not None:
            return self._copied_layer(added)
        label = self._new_layer
        owners = {"layer": (label,), "group": (label, ""), "head": (label, ""), "expert": (label, EXPERTS)}
        own, of_group, of_head, of_expert = (
            self._scope(self._names(owner, scope, self.old.weights), NEW_LAYER) for scope, owner in owners.items()
        )
        weights = self._given("layer", added, own, "the new layer")
        of_heads = self._given("group", added, of_group, "the new layer")
        of_heads |= self._given("head", added, of_head, "the new layer")
        scale = self._scale(of_head.names, self._plain_scale)
        heads = Heads("", self._ordered(of_heads), scale, self._path((label, ""), "head"))
        mixed = self._given("expert", added, of_expert, "the new layer")
        experts = Experts(mixed, self._experts_path(label)) if mixed else None
        return Layer(label, weights, (heads,), (), experts)

    @property
    def _plain_scale(self) -> Expr:
        """The score factor that the architecture gives the old k."""
        return default_scalar("scale", self.old.preset, self.old.sizes)

    # -------------------------------------------------------- constraints

    def _constraints(self) -> Iterator[tuple[int, tuple[MatrixExpr, MatrixExpr]]]:
        """Each constraint for each owner of the narrowest thing in it; members carry the same index."""
        for source, constraint in enumerate(self.variant.constraints):
            used = {name.name for side in (constraint.left, constraint.right) for name in names(side)}
            if not used & set(self.variant.new):
                new = ", ".join(self.variant.new)
                raise error_at(
                    constraint.left,
                    "a constraint speaks of a new block",
                    ", ".join(sorted(used)) or "no name",
                    f"one of {new}" if new else "a block of [new], which is not there",
                )
            self._check_homes(constraint, used)
            gone = sorted(used & set(self.skipped))
            if used & set(self.variant.new) <= set(gone):
                continue  # about what this architecture does not have
            if gone:
                self.assumptions.append(f"nothing here uses {', '.join(gone)}: 0 in the constraint {constraint.text}")
            owners = list(self._owners_of(used))
            if not owners:
                raise self._without_owner(constraint)
            for _, known in owners:
                yield source, _pair(constraint.left, constraint.right, self._scope(known))

    def _check_homes(self, constraint: Constraint, used: Collection[str]) -> None:
        """Raise VariantError for a constraint between a block of every old layer and one of the new layer."""
        owned = {block.name: block.owner[0] for block in self.blocks if block.owner}
        of_new = sorted(name for name in used if owned.get(name) == self._new_layer)
        of_old = sorted(name for name in used if name in owned and owned[name] != self._new_layer)
        if of_new and of_old:
            what = f"{of_old[0]} belongs to every old layer, and {of_new[0]} to the new one"
            raise constraint.place.error(what, constraint.text, "blocks of one of them, or a block `per model`")

    def _without_owner(self, constraint: Constraint) -> VariantError:
        """Why a constraint speaks of nothing: a name that nothing has, or names that nothing has together."""
        anywhere = {name for owner, scope, weights in self._all_owners() for name in self._known(owner, scope, weights)}
        mentioned = [name for side in (constraint.left, constraint.right) for name in names(side)]
        for name in mentioned:
            if name.name not in anywhere:
                known = self._elsewhere("model", name.name)
                if known is not None:
                    return error_at(name, f"this name means nothing here: {known[0]}", name.name, known[1])
                guess = nearest(name.name, anywhere)
                expected = f"{guess}?" if guess else "another name"
                return error_at(name, "this name means nothing here", name.name, expected)
        found = ", ".join(dict.fromkeys(name.name for name in mentioned))
        return constraint.place.error("no layer or head has all these", found, "names that belong together")

    def _known(self, owner: Owner, scope: str, weights: Sequence[Mapping[str, Expr]]) -> dict[str, Expr]:
        """The names of a constraint; a block that this architecture has no use for is 0."""
        return {**self._names(owner, scope, *weights), **self.skipped}

    def _owners_of(self, used: Iterable[str]) -> Iterator[tuple[Owner, dict[str, Expr]]]:
        used = set(used)
        scopes = {block.scope for block in self.blocks if block.name in used and block.owner}
        scopes |= {self.parameters[name].scope for name in used if name in self.parameters}
        narrowest = max(scopes, key=SCOPES.index, default="model")
        for owner, scope, weights in self._all_owners():
            known = self._known(owner, scope, weights)
            if scope == narrowest and used <= set(known):
                yield owner, known

    def _all_owners(self) -> Iterator[tuple[Owner, str, tuple[Mapping[str, Expr], ...]]]:
        """Everything that owns parameters or new blocks, with its scope and the old matrices that it sees."""
        model = self.old.weights
        yield (), "model", (model,)
        for layer in (self.old.layer, *self.old.inserted):
            yield (layer.label,), "layer", (model, layer.weights)
            for heads in _having("group", layer.heads):
                yield (layer.label, heads.label), "group", (model, layer.weights, self._shared(heads))
            for heads in layer.heads:
                yield (layer.label, heads.label), "head", (model, layer.weights, heads.weights)
            if self.preset["experts"]:
                own = layer.experts.weights if layer.experts is not None else {}
                yield (layer.label, EXPERTS), "expert", (model, layer.weights, own)
        if self.variant.added_layer is not None:
            old = self.old.layer.weights if self._copied_heads else {}
            yield (self._new_layer,), "layer", (model, old)
            copied = self._copied_heads
            for label, weights in [(h.label, h.weights) for h in _having("group", copied)] or [("", {})]:
                yield (self._new_layer, label), "group", (model, old, weights)
            for label, weights in [(h.label, h.weights) for h in copied] or [("", {})]:
                yield (self._new_layer, label), "head", (model, old, weights)
            yield (self._new_layer, EXPERTS), "expert", (model, old)


def _having(scope: str, families: Iterable[Heads]) -> list[Heads]:
    """The families that own something of a scope: one that joined the groups of another has no groups itself."""
    return [family for family in families if scope != "group" or family.joins is None]


def common(scopes: Collection[str]) -> str:
    """The widest of some scopes; for heads and experts it is what has both, the layer."""
    if "expert" in scopes and {"group", "head"} & set(scopes):
        return common(["layer", *(scope for scope in scopes if scope in ("model", "layer"))])
    return min(scopes, key=SCOPES.index)


def _pair(left: Expression, right: Expression, scope: Scope) -> tuple[MatrixExpr, MatrixExpr]:
    """Both sides of a constraint; a bare 0 takes the other side's shape."""
    shape = shape_of(left, scope) or shape_of(right, scope)
    if shape is None:
        raise error_at(left, "a constraint is an equation between matrices", "two scalars", "a matrix on one side")
    return elaborate(left, scope, shape), elaborate(right, scope, shape)


def _check_entries(entries: Mapping[str, Expression], scopes: tuple[str, ...], what: str) -> None:
    allowed = [parameter.name for parameter in PARAMETERS if parameter.scope in scopes]
    for name, entry in entries.items():
        if name not in allowed:
            guess = nearest(name, allowed)
            raise error_at(entry, f"{what} has no such parameter", name, guess or ", ".join(allowed))


def _entries(added: Added | None) -> Mapping[str, Expression]:
    return added.entries if added is not None else {}
