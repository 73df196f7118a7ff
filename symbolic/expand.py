"""Apply a variant to a model of symbolic size: every rewrite written once, in its file, becomes terms here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from sympy import S, sqrt

from .architecture import PARAMETER, PARAMETERS, SCOPES, Heads, Layer, Transformer
from .elaborate import Scope, elaborate, shape_of
from .errors import VariantError
from .notation import instance
from .syntax import Expression, Name, error_at, names, nearest
from .terms import Expr, MatrixExpr, MatrixSymbol, Path, Symbol, canonical, matrix, same_size, size
from .variant import SIZES, Added, Constraint, Variant

Key = tuple[str, ...]  # () for the model, (layer,) for a layer, (layer, heads) for a family of heads


@dataclass(frozen=True)
class Block:
    """One instance of a new block: its declared name, who owns it, and its symbol."""

    name: str
    owner: Key
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

    Raises VariantError for what the format allows and this version does not model, an unknown name, a
    wrong shape, or a parameter that should grow and has no rewrite.
    """
    _refuse_unmodelled(variant)
    return _Application(old, variant, step).result()


def _refuse_unmodelled(variant: Variant) -> None:
    """What the format allows and this version does not model is named, never ignored."""
    for table, entries in (("forward", variant.forward), ("becomes", variant.becomes)):
        for name in entries:
            raise variant.place(table, name).error(
                f"[{table}] is not part of this version", f"`{name}`", "a variant without it"
            )
    for block in variant.new.values():
        for kind in block.kinds:
            if kind not in _SCOPE_OF_KIND:
                raise block.place.error(
                    "this kind of block is not part of this version", f"`{kind}`", " or ".join(_SCOPE_OF_KIND)
                )
    for added in (variant.added_head, variant.added_layer):
        for option in (added.copy, added.group) if added is not None else ():
            if added is not None and option is not None:
                raise added.place.error(
                    "copies and groups are not part of this version", f'"{option}"', "every parameter given"
                )


INPUT = "I"
_HATS = frozenset(f"{base}_hat" for base in SIZES)
_SCOPE_OF_KIND = {"per model": "model", "per layer": "layer", "per head": "head"}


class _Application:
    """The names in force while one variant is applied; built once, read by every elaboration."""

    def __init__(self, old: Transformer, variant: Variant, step: int) -> None:
        self.old, self.variant = old, variant
        self.tag = "" if step == 1 else str(step)
        self.step = step
        self.assumptions: list[str] = []
        self.above: dict[Symbol, Expr] = {}
        self.size_names = self._grown_sizes()
        self.sizes = {name: self.size_names.get(f"{name}_hat", old.sizes[name]) for name in old.sizes}
        self.uses = dict(self._uses())
        self.blocks = tuple(block for name in variant.new for block in self._instances(name))

    # -------------------------------------------------------- sizes

    def _grown_sizes(self) -> dict[str, Expr]:
        """Every size name of the file, old and grown, with what it stands for."""
        known: dict[str, Expr] = dict(self.old.sizes)
        for base, expression in self._in_order():
            if base not in self.old.sizes or base in ("s", "o"):
                growing = [name for name in self.old.sizes if name not in ("s", "o")]
                raise error_at(expression, "this size cannot grow", base, "one of " + ", ".join(growing))
            for name in names(expression):
                if name.name in _HATS and name.name not in known and expression != Name(f"{base}_hat"):
                    raise error_at(name, "no such grown size is known here", name.name, "a name of its own")
                known.setdefault(name.name, size(instance(name.name, self.tag)))
            grown = elaborate(expression, self._scope(known), None)
            known[f"{base}_hat"] = grown
            self._grows_beyond(expression, grown, self.old.sizes[base])
        return known

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
        """A new size is assumed to exceed the old one; anything else must do so by itself."""
        old = {symbol for side in self.old.sizes.values() for symbol in side.free_symbols}
        if isinstance(grown, Symbol) and grown not in old and grown not in self.above:
            self.above[grown] = base
        elif not Scope({}, self.above, "").is_size(grown - base):
            raise error_at(place, "a grown size must exceed the old one", str(grown), f"more than {base} for all sizes")

    def _scope(self, known: Mapping[str, Expr]) -> Scope:
        return Scope(known, self.above, self.old.preset.act)

    # -------------------------------------------------------- new blocks

    def _uses(self) -> Iterator[tuple[str, set[tuple[str, str]]]]:
        """For each new block, the places (old or new layer) and the scopes of what it is used in."""
        variant = self.variant
        found: dict[str, set[tuple[str, str]]] = {name: set() for name in variant.new}
        entries: list[tuple[str, str, Expression]] = [
            ("old", PARAMETER[name].scope, entry) for name, entry in variant.rewrite.items() if name in PARAMETER
        ]
        entries += [("old", "layer", entry) for entry in _entries(variant.added_head).values()]
        entries += [
            ("new", PARAMETER[name].scope, entry)
            for name, entry in _entries(variant.added_layer).items()
            if name in PARAMETER
        ]
        if variant.stream_map is not None:
            entries.append(("old", "model", variant.stream_map))
        for home, scope, entry in entries:
            for name in names(entry):
                if name.name in found:
                    found[name.name].add((home, scope))
        yield from found.items()

    def _instances(self, name: str) -> Iterator[Block]:
        """One member of a new block for each owner: the widest scope of what it is used in."""
        homes = {home for home, _ in self.uses[name]}
        scopes = [scope for _, scope in self.uses[name]] or ["model"]
        scope = self._given_scope(name, homes) or min(scopes, key=SCOPES.index)
        for owner in self._owners(scope, homes):
            tag = ".".join(part for part in (self.tag, *(() if homes == {"new"} else owner)) if part)
            block = self.variant.new[name]
            known = self._scope(self.size_names)
            rows, columns = (elaborate(side, known, None) for side in (block.rows, block.columns))
            for side, value in ((block.rows, rows), (block.columns, columns)):
                if not known.is_size(value):
                    raise error_at(side, "a size must be at least 1 for all sizes", str(value), "a positive size")
            yield Block(name, owner, matrix(instance(name, tag), rows, columns, self._path(owner)))

    def _given_scope(self, name: str, homes: set[str]) -> str | None:
        """The scope that the file gives a block; one that the block cannot have is refused."""
        block = self.variant.new[name]
        if len(block.kinds) > 1:
            raise block.place.error("a block has one scope", ", ".join(block.kinds), f"`{block.kinds[0]}`")
        scope = _SCOPE_OF_KIND[block.kinds[0]] if block.kinds else None
        if scope not in (None, "model") and len(homes) > 1:
            raise block.place.error(
                "a block of the old layers and of the new one is the model's", f"`{block.kinds[0]}`", "`per model`"
            )
        return scope

    def _path(self, owner: Key) -> Path:
        """The families of which every member has its own block, for an owner."""
        layer = next((layer for layer in (self.old.layer, *self.old.inserted) if owner[:1] == (layer.label,)), None)
        if layer is None:
            return (f"heads of {owner[0]}",) if len(owner) == 2 else ()
        return next((heads.path for heads in layer.heads if owner[1:] == (heads.label,)), layer.path)

    def _owners(self, scope: str, homes: set[str]) -> Iterator[Key]:
        if scope == "model" or len(homes) > 1:
            yield ()
        elif homes == {"new"}:
            yield (self._new_layer,) if scope == "layer" else (self._new_layer, "")
        else:
            for layer in (self.old.layer, *self.old.inserted):
                if scope == "layer":
                    yield (layer.label,)
                else:
                    yield from ((layer.label, heads.label) for heads in layer.heads)

    @property
    def _new_layer(self) -> str:
        return f"layer{self.step}"

    def _blocks_for(self, owner: Key) -> dict[str, MatrixSymbol]:
        """The new blocks that an owner sees: its own and those of what it belongs to."""
        return {block.name: block.symbol for block in self.blocks if block.owner == owner[: len(block.owner)]}

    # -------------------------------------------------------- the expanded model

    def result(self) -> Expansion:
        old, variant = self.old, self.variant
        self._check_names()
        self._check_input()
        layers = [self._layer(layer) for layer in (old.layer, *old.inserted)]
        if variant.added_layer is not None:
            layers.append(self._added_layer(variant.added_layer))
        eps = self._eps()
        weights = self._rewritten("model", old.weights, ())
        new = Transformer(old.preset, weights, layers[0], tuple(layers[1:]), eps, self.sizes)
        pairs = list(self._constraints())
        stream_map = None
        if variant.stream_map is not None:
            shape = (old.sizes["h"], self.sizes["h"])
            stream_map = elaborate(variant.stream_map, self._scope(self._names((), old.weights)), shape)
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

    def _check_input(self) -> None:
        """What a model is made of is fixed before its input comes: only the input's own rewrite may use it."""
        variant = self.variant
        made_of = [entry for name, entry in variant.rewrite.items() if name != INPUT]
        made_of += [*_entries(variant.added_head).values(), *_entries(variant.added_layer).values()]
        made_of += [side for constraint in variant.constraints for side in (constraint.left, constraint.right)]
        made_of += [variant.stream_map] if variant.stream_map is not None else []
        for name in (name for entry in made_of for name in names(entry)):
            if name.name == INPUT:
                what = "only the rewrite of the input may use the input"
                raise error_at(name, what, INPUT, "a parameter or a new block")

    def _check_names(self) -> None:
        """Names of other architectures are skipped and reported; `eps` counts only where there is one."""
        for name, entry in self.variant.rewrite.items():
            known = name in PARAMETER or name == "scale" or (name == "eps" and self.old.preset.eps != 0)
            if name in self.variant.new:
                raise error_at(entry, "a new block has no rewrite", name, "a parameter")
            if not known:
                self.assumptions.append(f"the architecture has no {name}: its rewrite is skipped")

    def _names(self, owner: Key, *weights: Mapping[str, Expr]) -> dict[str, Expr]:
        found: dict[str, Expr] = dict(self.size_names)
        if self.old.preset.eps != 0:
            found["eps"] = self.old.eps
        for part in weights:
            found.update(part)
        found.pop(INPUT, None)
        found.update(self._blocks_for(owner))
        return found

    def _rewritten(
        self, scope: str, weights: Mapping[str, MatrixExpr], owner: Key, *outer: Mapping[str, Expr]
    ) -> dict[str, MatrixExpr]:
        """The matrices of one owner after the variant; `outer` holds those of the layer and the model."""
        known = self._scope(self._names(owner, *outer, weights))
        result: dict[str, MatrixExpr] = {}
        for parameter in (p for p in PARAMETERS if p.scope == scope):
            shape = tuple(self.sizes.get(side, S.One) for side in (parameter.rows, parameter.columns))
            old, entry = weights[parameter.name], self.variant.rewrite.get(parameter.name)
            here = known if parameter.name != INPUT else self._scope({**known.names, INPUT: old})
            result[parameter.name] = old if entry is None else elaborate(entry, here, shape)
            if entry is None:
                self._check_unchanged(parameter.name, old, shape)
        return result

    def _check_unchanged(self, name: str, term: MatrixExpr, shape: tuple[Expr, ...]) -> None:
        if same_size(term.rows, shape[0]) and same_size(term.cols, shape[1]):
            return
        place = next(iter(self.variant.grows.values()))
        grown = [base for base in self.variant.grows if base in (PARAMETER[name].rows, PARAMETER[name].columns)]
        raise error_at(
            place,
            f"{name} has a size that grows ({', '.join(grown)}) and no rewrite",
            f"{name} of {term.rows} x {term.cols}",
            f"a rewrite of {name} to {shape[0]} x {shape[1]}",
        )

    def _layer(self, layer: Layer) -> Layer:
        owner = (layer.label,)
        weights = self._rewritten("layer", layer.weights, owner, self.old.weights)
        heads = [self._heads(layer, family) for family in layer.heads]
        if self.variant.added_head is not None:
            heads.append(self._added_head(layer, self.variant.added_head))
        return replace(layer, weights=weights, heads=tuple(heads))

    def _heads(self, layer: Layer, heads: Heads) -> Heads:
        owner = (layer.label, heads.label)
        weights = self._rewritten("head", heads.weights, owner, self.old.weights, layer.weights)
        scale = self._scale(self._names(owner, self.old.weights, layer.weights, heads.weights), heads.scale)
        return replace(heads, weights=weights, scale=scale)

    def _scale(self, known: Mapping[str, Expr], old: Expr) -> Expr:
        """The score factor: as the file says, else recomputed from the grown k."""
        entry = self.variant.rewrite.get("scale")
        return self._scalar("scale", old, known) if entry is not None else 1 / sqrt(self.sizes["k"])

    def _eps(self) -> Expr:
        known = self._names((), self.old.weights)
        eps = self._scalar("eps", self.old.eps, known)
        if not self._scope(known).is_nonnegative(eps):
            place = self.variant.rewrite["eps"]
            raise error_at(place, "eps must not be negative", str(eps), "0 or more for all sizes")
        return eps

    def _scalar(self, name: str, old: Expr, known: Mapping[str, Expr]) -> Expr:
        entry = self.variant.rewrite.get(name)
        if entry is None or old == 0:
            return old
        return canonical(elaborate(entry, self._scope({**known, name: old}), None))

    def _given(self, scope: str, added: Added, known: Scope, what: str) -> dict[str, MatrixExpr]:
        """The matrices of something new: every parameter of its scope, and nothing else."""
        result = {}
        for parameter in (p for p in PARAMETERS if p.scope == scope):
            if parameter.name not in added.entries:
                raise added.place.error(
                    f"{what} has no {parameter.name}",
                    ", ".join(added.entries),
                    f"an entry for {parameter.name}",
                )
            shape = (self.sizes.get(parameter.rows, S.One), self.sizes[parameter.columns])
            result[parameter.name] = elaborate(added.entries[parameter.name], known, shape)
        return result

    def _added_head(self, layer: Layer, added: Added) -> Heads:
        _check_entries(added.entries, ("head",), "a new head")
        known = self._scope(self._names((layer.label,), self.old.weights, layer.weights))
        weights = self._given("head", added, known, "the new head")
        scale = self._scale(known.names, self._plain_scale)
        return Heads(f"head{self.step}", weights, scale, layer.path)

    def _added_layer(self, added: Added) -> Layer:
        _check_entries(added.entries, ("layer", "head"), "a new layer")
        label = self._new_layer
        own = self._scope(self._names((label,), self.old.weights))
        of_head = self._scope(self._names((label, ""), self.old.weights))
        weights = self._given("layer", added, own, "the new layer")
        of_heads = self._given("head", added, of_head, "the new layer")
        heads = Heads("", of_heads, self._scale(of_head.names, self._plain_scale), self._path((label, "")))
        return Layer(label, weights, (heads,))

    @property
    def _plain_scale(self) -> Expr:
        """The score factor that the architecture gives the old k."""
        return 1 / sqrt(self.old.sizes["k"])

    # -------------------------------------------------------- constraints

    def _constraints(self) -> Iterator[tuple[int, tuple[MatrixExpr, MatrixExpr]]]:
        """Each constraint for each owner of the narrowest thing in it; members carry the same index."""
        for source, constraint in enumerate(self.variant.constraints):
            used = {name.name for side in (constraint.left, constraint.right) for name in names(side)}
            if not used & set(self.variant.new):
                raise error_at(
                    constraint.left,
                    "a constraint speaks of a new block",
                    ", ".join(sorted(used)),
                    "one of " + ", ".join(self.variant.new),
                )
            owners = list(self._owners_of(used))
            if not owners:
                raise self._without_owner(constraint)
            for _, known in owners:
                yield source, _pair(constraint.left, constraint.right, self._scope(known))

    def _without_owner(self, constraint: Constraint) -> VariantError:
        """Why a constraint speaks of nothing: a name that nothing has, or names that nothing has together."""
        anywhere = {name for owner, weights in self._all_owners() for name in self._names(owner, *weights)}
        mentioned = [name for side in (constraint.left, constraint.right) for name in names(side)]
        for name in mentioned:
            if name.name not in anywhere:
                guess = nearest(name.name, anywhere)
                expected = f"{guess}?" if guess else "another name"
                return error_at(name, "this name means nothing here", name.name, expected)
        found = ", ".join(dict.fromkeys(name.name for name in mentioned))
        return constraint.place.error("no layer or head has all these", found, "names that belong together")

    def _owners_of(self, used: Iterable[str]) -> Iterator[tuple[Key, dict[str, Expr]]]:
        used = set(used)
        depth = max((len(block.owner) for block in self.blocks if block.name in used), default=0)
        depth = max([depth, *(SCOPES.index(PARAMETER[name].scope) for name in used if name in PARAMETER)])
        for owner, weights in self._all_owners():
            known = self._names(owner, *weights)
            if len(owner) == depth and used <= set(known):
                yield owner, known

    def _all_owners(self) -> Iterator[tuple[Key, tuple[Mapping[str, Expr], ...]]]:
        """Everything that owns parameters or new blocks, with the old matrices that it sees."""
        model = self.old.weights
        yield (), (model,)
        for layer in (self.old.layer, *self.old.inserted):
            yield (layer.label,), (model, layer.weights)
            for heads in layer.heads:
                yield (layer.label, heads.label), (model, layer.weights, heads.weights)
        if self.variant.added_layer is not None:
            yield (self._new_layer,), (model,)
            yield (self._new_layer, ""), (model,)


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
