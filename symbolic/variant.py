"""Variant files: an expansion as the blocks, rewrites and constraints that a TOML file states."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .architecture import SCALARS, names_of
from .errors import Place, Quotation, Quotations, VariantError, check_dotted_keys, place_of, quotations
from .syntax import (
    FUNCTIONS,
    BinaryOp,
    Expression,
    Name,
    Negative,
    Number,
    children,
    constant,
    error_at,
    names,
    nearest,
    parse_quoted,
    parse_shape,
    show,
)

SIZES = ("s", "h", "p", "k", "v", "o", "E", "N")
"""Sequence, hidden, MLP, key, value and output size; heads; layers. A grown size is the name + `_hat`."""
OWN_SIZES = ("k_pairs", "k_rest", "k_turned", "n_experts")  # of some architectures; no variant grows them

MODEL_PARAMETERS = names_of("model")
LAYER_PARAMETERS = names_of("layer", "expert")
HEAD_PARAMETERS = names_of("group", "head")
PARAMETERS = MODEL_PARAMETERS + LAYER_PARAMETERS + HEAD_PARAMETERS + SCALARS
"""Every name that can be rewritten in some architecture."""

SUBLAYERS = ("MHA", "MLP")
INPUT = "X"
"""The input of a sublayer, in the bodies of `[forward]`; no block may have this name."""

KINDS = ("selection", "per model", "per layer", "per head")
"""What may follow the semicolon of a shape: a fact about the block, or its scope."""

HEAD_OPTIONS = {"copy": ("each",), "group": ("one",)}
LAYER_OPTIONS = {"copy": ("previous",)}

VERDICTS = ("proved", "refuted", "undecided")
"""What a file may say to expect."""

SIX = (
    "mlp-expansion",
    "head-addition",
    "heads-expansion",
    "attention-expansion",
    "hidden-expansion",
    "layer-addition",
)
"""The paper's expansions, in its order; the rest of the catalogue is the zoo."""

LARGEST_FILE = 100_000
MOST_ENTRIES = 400  # of a table
_CATALOGUE = Path(__file__).with_name("catalogue")


@dataclass(frozen=True, slots=True)
class NewBlock:
    """A block that the expansion adds, with its shape and the kinds of `KINDS` that it has."""

    name: str
    rows: Expression
    columns: Expression
    kinds: tuple[str, ...]
    place: Place = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Constraint:
    """An equation that the initialiser must make true."""

    left: Expression
    right: Expression
    place: Place = field(compare=False, repr=False)

    @property
    def text(self) -> str:
        return f"{show(self.left)} = {show(self.right)}"


@dataclass(frozen=True, slots=True)
class Added:
    """A new head or layer: its parameters in terms of new blocks, and what it starts from."""

    entries: Mapping[str, Expression]
    copy: str | None
    group: str | None
    place: Place = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Variant:
    """What a variant file says, table by table, in the file's order; names are not resolved yet."""

    name: str
    source: str
    description: str
    architecture: str
    verdict: str  # what is expected on that architecture, and why; empty where the file does not say
    reason: str
    grows: Mapping[str, Expression]
    new: Mapping[str, NewBlock]
    rewrite: Mapping[str, Expression]
    constraints: tuple[Constraint, ...]
    stream_map: Expression | None
    added_head: Added | None
    added_layer: Added | None
    forward: Mapping[str, Expression]
    becomes: Mapping[str, str | int | bool]
    text: str = field(repr=False)
    file: str
    key_places: Mapping[tuple[str, ...], Place] = field(compare=False, repr=False)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file's bytes, in hexadecimal."""
        return hashlib.sha256(self.text.encode("utf-8")).hexdigest()

    def place(self, *path: str) -> Place:
        """Where a key stands, such as `place("rewrite", "W_l1")`; the file's start when it is not there."""
        return self.key_places.get(path, Place(self.file, 1, 1))


# --- files ------------------------------------------------------------------------------------------------


def catalogue() -> tuple[str, ...]:
    """The names of the built-in variants, sorted."""
    return tuple(sorted(file.stem for file in _CATALOGUE.glob("*.toml")))


def zoo() -> tuple[str, ...]:
    """The names of the built-in variants that are not the paper's, sorted."""
    return tuple(name for name in catalogue() if name not in SIX)


def load(path_or_name: str | os.PathLike[str]) -> Variant:
    """Read a variant from a .toml file, or from the catalogue by its name.

    Raises VariantError when there is no such file or name, or when the file is not a variant.
    The format is described in the README, under "The variant format".
    """
    named = os.fspath(path_or_name)
    if named.endswith(".toml") or "/" in named or os.sep in named or os.path.isfile(named):
        return loads(_read(Path(named), named), named)
    known = catalogue()
    if named not in known:
        guess = nearest(named, known)
        others = "another name that `growproof list` shows"
        raise VariantError(
            "no variant of the catalogue has this name",
            found=f"`{named}`",
            expected=f"`{guess}`, or {others}" if guess else f"{others}, or a file",
        )
    return loads(_read(_CATALOGUE / f"{named}.toml", named), f"catalogue/{named}.toml")


def _read(path: Path, shown: str) -> str:
    try:
        content = content_of(path, LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        built_in = f", or the catalogue name `{path.stem}`" if path.stem in catalogue() else ""
        raise VariantError(
            "the variant file cannot be read", shown, found=reason, expected=f"a TOML file{built_in}"
        ) from None
    if len(content) > LARGEST_FILE:
        raise _too_large(shown)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        raise place_of(before, shown, len(before)).error(
            "the file is not UTF-8", f"the byte 0x{content[error.start]:02x}", "UTF-8 text"
        ) from None


def content_of(path: Path, most: int) -> bytes:
    """At most so many bytes of a file, or of a stream that this process was given.

    Raises OSError for what cannot be read; a device or a pipe by name may wait for ever, and is refused.
    """
    given = path.parent in (Path("/dev/fd"), Path("/proc/self/fd")) or path == Path("/dev/stdin")
    if path.exists() and not (path.is_file() or path.is_dir() or given):
        raise OSError("it is no regular file")
    with path.open("rb") as stream:
        return stream.read(most)


def _too_large(file: str) -> VariantError:
    return VariantError(
        "the variant file is too large",
        file,
        found=f"more than {LARGEST_FILE} bytes",
        expected="a small file",
    )


# --- TOML -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the file: its keys and values, and where they stand."""

    data: Mapping[str, Any]
    path: tuple[str, ...]
    quotations: Quotations
    file: str

    def key(self, key: str) -> Quotation:
        return self.quotations.keys[(*self.path, key)]

    def value(self, key: str) -> Quotation:
        """The value's place; a table with a header of its own has only the header's."""
        return self.quotations.values.get((*self.path, key)) or self.key(key)

    def table(self, key: str) -> _Table:
        value = self.data.get(key, {})
        if not isinstance(value, dict):
            raise self.value(key).place.error(f"`{key}` is not a table", _in_words(value), f"a table [{key}]")
        if len(value) > MOST_ENTRIES:
            raise self.value(key).place.error(
                f"[{key}] is too long", f"{len(value)} entries", f"at most {MOST_ENTRIES}"
            )
        return _Table(value, (*self.path, key), self.quotations, self.file)

    def text(self, key: str) -> str:
        value = self.data[key]
        if not isinstance(value, str):
            example = f', such as "{value}"' if isinstance(value, int | float) else ""
            raise self.value(key).place.error(
                f"the value of `{key}` is not a string", _in_words(value), f"a string in quotes{example}"
            )
        return value

    def expression(self, key: str) -> Expression:
        return parse_quoted(self.text(key), self.value(key))

    def expressions(self, keys: Iterable[str]) -> dict[str, Expression]:
        return {key: self.expression(key) for key in keys}

    def check_keys(self, known: Collection[str], what: str) -> None:
        for key in self.data:
            if key not in known:
                guess = nearest(key, known)
                raise self.key(key).place.error(
                    f"there is no such {what}",
                    f"`{key}`",
                    f"`{guess}`" if guess else f"one of {', '.join(known)}",
                )


def _in_words(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f'the string "{value}"'
        case dict():
            return "a table"
        case list():
            return "an array"
        case _:
            return "a date or time"


def _parsed_toml(text: str, file: str) -> _Table:
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    check_dotted_keys(text, file)
    try:
        data = tomllib.loads(text)
    except RecursionError:
        raise VariantError(
            "not valid TOML: too many brackets inside one another", file, expected="tables and strings"
        ) from None
    except ValueError as error:
        raise _toml_error(str(error), text, file) from None
    return _Table(data, (), quotations(text, file), file)


_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


_INSTEAD = {
    "Invalid value": 'a value in quotes, as in W_l1 = "[W_l1, M]"',
    "Expected newline": 'a value in quotes, as in W_l1 = "[W_l1, M]"',
    "Expected '=' after a key": "`=` after the key; a key that is an expression stands in quotes",
    "Invalid statement": "a key or a [table]; a key that is an expression stands in quotes",
    "Illegal character '\\n'": "a closing quote",
}
"""For what tomllib says of the commonest mistakes, what to write instead."""


def _toml_error(message: str, text: str, file: str) -> VariantError:
    """What tomllib says, with its position and the character there as fields of their own."""
    position = _POSITION.search(message)
    if position is None:
        return VariantError("not valid TOML: a number or date is out of range", file)
    reason = message[: position.start()]
    lines = text.split("\n")
    line, column = (int(n) for n in position.groups()) if position[1] else (len(lines), len(lines[-1]) + 1)
    content = lines[line - 1]
    if reason.startswith("Cannot"):  # tomllib finds a repetition only at its end
        column = len(content) - len(content.lstrip()) + 1
        return Place(file, line, column).error("a key or table is given twice", f"`{content.strip()}`")
    at_end = "the end of the line" if line < len(lines) else "the end of the file"
    found = f"`{content[column - 1]}`" if column <= len(content) else at_end
    expected = next((words for start, words in _INSTEAD.items() if reason.startswith(start)), None)
    return Place(file, line, column).error(f"not valid TOML: {reason}", found, expected)


# --- the variant ------------------------------------------------------------------------------------------

TEXTS = ("name", "source", "description", "architecture", "verdict", "reason")
_TABLES = ("grows", "new", "rewrite", "constraints", "stream", "added", "forward", "becomes")


def loads(text: str, file: str) -> Variant:
    """Read a variant from the text of a file; `file` is the name that errors show.

    Raises VariantError, with line and column, for any text that is not a variant.
    The format is described in the README, under "The variant format".
    """
    _check_text(text, file)
    top = _parsed_toml(text, file)
    top.check_keys(TEXTS + _TABLES, "key or table in a variant file")
    stream, added, becomes = top.table("stream"), top.table("added"), top.table("becomes")
    stream.check_keys(("map",), "key of [stream]")
    added.check_keys(("head", "layer"), "table in [added]")
    new = _new_blocks(top.table("new"))
    return Variant(
        name=_name(top),
        source=_optional_text(top, "source", ""),
        description=_optional_text(top, "description", ""),
        architecture=_optional_text(top, "architecture", "paper"),
        verdict=_verdict(top),
        reason=_optional_text(top, "reason", ""),
        grows=_grows(top.table("grows"), new),
        new=new,
        rewrite=_entries(top.table("rewrite"), PARAMETERS, "parameter"),
        constraints=_constraints(top.table("constraints")),
        stream_map=stream.expression("map") if "map" in stream.data else None,
        added_head=_added(added, "head", HEAD_PARAMETERS, HEAD_OPTIONS),
        added_layer=_added(added, "layer", LAYER_PARAMETERS + HEAD_PARAMETERS, LAYER_OPTIONS),
        forward=_entries(top.table("forward"), SUBLAYERS, "sublayer"),
        becomes={option: _setting(becomes, option) for option in becomes.data},
        text=text,
        file=file,
        key_places={path: quotation.place for path, quotation in top.quotations.keys.items()},
    )


def _check_text(text: str, file: str) -> None:
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise place_of(text, file, error.start).error(
            "the text is not Unicode", "half of a surrogate pair", "UTF-8 text"
        ) from None
    if size > LARGEST_FILE:
        raise _too_large(file)


def _name(top: _Table) -> str:
    if "name" not in top.data:
        raise Place(top.file, 1, 1).error("the variant has no name", None, 'name = "..." above all tables')
    name = _printable(top, "name")
    if not name.strip():
        raise top.value("name").place.error("the variant's name is empty", "nothing", "a name")
    return name


def _verdict(top: _Table) -> str:
    """The verdict that the file expects, and one that there is."""
    return _option(top, "verdict", VERDICTS) if "verdict" in top.data else ""


def _optional_text(top: _Table, key: str, default: str) -> str:
    return _printable(top, key) if key in top.data else default


def _printable(top: _Table, key: str) -> str:
    """A text in one line, without characters that change how it is shown."""
    text = top.text(key)
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Co", "Cn"):
            found = f"the character U+{ord(character):04X}"
            what = f"the {key} has a character that cannot be shown"
            raise top.value(key).place.error(what, found, "one line of text")
    return text


def _entries(table: _Table, known: Collection[str], what: str) -> dict[str, Expression]:
    table.check_keys(known, what)
    return table.expressions(table.data)


_BLOCK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_GROWN_SIZES = tuple(f"{size}_hat" for size in SIZES)


def _new_blocks(table: _Table) -> dict[str, NewBlock]:
    blocks = {}
    for name in table.data:
        place = table.key(name).place
        _check_new_name(name, place)
        shape = parse_shape(table.text(name), table.value(name))
        for size in (shape.rows, shape.columns):
            _check_size(size, table.data)
        blocks[name] = NewBlock(name, shape.rows, shape.columns, _kinds(shape.kinds), place)
    return blocks


def _check_new_name(name: str, place: Place) -> None:
    if not _BLOCK_NAME.fullmatch(name):
        raise place.error("this cannot be the name of a block", f"`{name}`", "a letter, then letters, digits and _")
    meaning = meaning_of(name)
    if meaning:
        raise place.error(f"a new block cannot be called `{name}`", f"the name of {meaning}", "a name of its own")


def meaning_of(name: str) -> str | None:
    """What a name already means in every variant."""
    meanings = {
        "a parameter": PARAMETERS,
        "a size": (*SIZES, *OWN_SIZES),
        "an option": ("top_k",),
        "a grown size": _GROWN_SIZES,
        "a function": FUNCTIONS,
        "a sublayer": SUBLAYERS,
        "a sublayer's input": (INPUT,),
    }
    return next((meaning for meaning, group in meanings.items() if name in group), None)


def _kinds(given: tuple[Name, ...]) -> tuple[str, ...]:
    for kind in given:
        if kind.name not in KINDS:
            guess = nearest(kind.name, KINDS)
            raise error_at(
                kind,
                "there is no such kind of block",
                f"`{kind.name}`",
                f"`{guess}`" if guess else f"one of {', '.join(KINDS)}",
            )
    return tuple(kind.name for kind in given)


def _check_size(size: Expression, new: Collection[str]) -> None:
    """Refuse what cannot be a size whatever the names stand for."""
    _check_size_terms(size)
    for name in names(size):
        meaning = "a new block" if name.name in new else meaning_of(name.name)
        if meaning not in (None, "a size", "a grown size"):
            raise error_at(name, f"`{name.name}` is not a size", f"the name of {meaning}", "a size")
    value = constant(size)
    if (value is not None and (value < 1 or value.denominator != 1)) or _is_minus(size):
        raise error_at(size, "a size is a positive whole number", f"`{show(size)}`", "1 or more")


def _check_size_terms(size: Expression) -> None:
    if not isinstance(size, Number | Name | BinaryOp | Negative):
        raise error_at(size, "a size is made of names, numbers and + - * / ^", f"`{show(size)}`", "a name or a number")
    for child in children(size):
        _check_size_terms(child)


def _is_minus(size: Expression) -> bool:
    while isinstance(size, BinaryOp) and size.operator in "*/":
        size = size.left
    return isinstance(size, Negative)


def _grows(table: _Table, new: Collection[str]) -> dict[str, Expression]:
    grows = _entries(table, SIZES, "size")
    for size in grows.values():
        _check_size(size, new)
    return grows


def _constraints(table: _Table) -> tuple[Constraint, ...]:
    constraints: dict[Expression, Constraint] = {}
    for key in table.data:
        right = table.text(key)
        quotation = table.key(key)
        left = parse_quoted(key, quotation)
        if left in constraints:
            earlier = constraints[left].place.line
            raise quotation.place.error(
                "two constraints have the same left side", f"`{key}`", f"only the one of line {earlier}"
            )
        constraints[left] = Constraint(left, parse_quoted(right, table.value(key)), quotation.place)
    return tuple(constraints.values())


def _added(
    added: _Table, what: str, parameters: Collection[str], options: Mapping[str, tuple[str, ...]]
) -> Added | None:
    if what not in added.data:
        return None
    table = added.table(what)
    table.check_keys((*parameters, *options), f"parameter or option of a new {what}")
    chosen = {option: _option(table, option, options[option]) for option in options if option in table.data}
    entries = table.expressions(key for key in table.data if key not in options)
    return Added(entries, chosen.get("copy"), chosen.get("group"), added.key(what).place)


def _option(table: _Table, option: str, values: tuple[str, ...]) -> str:
    value = table.text(option)
    if value not in values:
        allowed = " or ".join(f'"{allowed}"' for allowed in values)
        raise table.value(option).place.error(f"`{option}` has no such value", f'"{value}"', allowed)
    return value


def _setting(table: _Table, option: str) -> str | int | bool:
    value = table.data[option]
    if not isinstance(value, str | int):
        raise table.value(option).place.error(
            f"the option `{option}` has the wrong type",
            _in_words(value),
            "a string, a whole number, true or false",
        )
    return value
