"""Places in a variant file, and the one error that points at them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST_SHOWN = 300
MOST_PARTS = 10


class VariantError(Exception):
    """A variant file that cannot be used: what is wrong, where, what stands there and what should."""

    def __init__(
        self,
        message: str,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
        found: str | None = None,
        expected: str | None = None,
    ) -> None:
        super().__init__(message, file, line, column, found, expected)
        self.message = message
        self.file = file
        self.line = line
        self.column = column
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        """One line, `file:line:column: message; found X; expected Y`, without the parts that are missing."""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        parts = [f"{place}: {self.message}" if place else self.message]
        if self.found is not None:
            parts.append(f"found {self.found}")
        if self.expected is not None:
            parts.append(f"expected {self.expected}")
        return "; ".join(_one_line(part) for part in parts)

    def as_json(self) -> dict[str, str | int | None]:
        """The six fields, for the command line's `--json`."""
        return {
            "message": self.message,
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "found": self.found,
            "expected": self.expected,
        }


@dataclass(frozen=True, slots=True)
class Place:
    """A character of a file; line and column count from 1, in characters."""

    file: str | None = None
    line: int | None = None
    column: int | None = None

    def error(self, message: str, found: str | None = None, expected: str | None = None) -> VariantError:
        """The error that points here (returned, for the caller to raise)."""
        return VariantError(message, self.file, self.line, self.column, found, expected)


NOWHERE = Place()


@dataclass(frozen=True, slots=True)
class Quotation:
    """Where a key or value of a TOML file begins and, for a string, its content as the file writes it.

    `place` is the first character inside the quotes. `written` still has its escapes, such as \\u0058; it is
    None for anything but a string.
    """

    place: Place
    written: str | None = None
    escaped: bool = False

    def character_places(self) -> list[Place]:
        """The place of each character of the string that TOML reads, and of its end."""
        line, column = self.place.line or 1, self.place.column or 1
        places = []
        for piece in _pieces(self.written or "", self.escaped):
            if not (self.escaped and _CONTINUED.fullmatch(piece)):
                places.append(Place(self.place.file, line, column))
            newlines = piece.count("\n")
            line += newlines
            column = len(piece) - piece.rindex("\n") if newlines else column + len(piece)
        places.append(Place(self.place.file, line, column))
        return places


@dataclass(frozen=True, slots=True)
class Quotations:
    """Where every key and every value of a TOML file stands, by its path from the top."""

    keys: dict[tuple[str, ...], Quotation]
    values: dict[tuple[str, ...], Quotation]


def quotations(text: str, file: str) -> Quotations:
    """Find the keys and values of a text that `tomllib` accepts; nothing is promised for other texts.

    Inside arrays nothing is recorded: the variant format has none.
    """
    found = Quotations({}, {})
    table: tuple[str, ...] = ()  # of the last header
    inside: list[tuple[str, tuple[str, ...]]] = []  # the open inline tables and arrays, with their paths
    path: tuple[str, ...] = ()  # of the key that is being read, or was read last
    reading = "key"  # then "value", then "rest"; or "header"
    for kind, token, start in _tokens(text):
        if kind == "newline":
            if not inside:
                table = path if reading == "header" else table
                path, reading = (), "key"
        elif reading == "value":
            if path not in found.values:
                found.values[path] = _quotation(text, file, kind, token, start)
            reading = "rest"
            if token in "[{":
                inside.append((token, path))
                path, reading = ((), "key") if token == "{" else (path, "rest")
        elif inside and inside[-1][0] == "[":  # in an array only its end matters, and that of what it holds
            if token in "[{":
                inside.append(("[", path))
            elif token in "]}":
                inside.pop()
        elif token == "}":
            inside.pop()
            reading = "rest"
        elif token == ",":
            path, reading = (), "key"
        elif token == "=":
            path, reading = (inside[-1][1] if inside else table) + path, "value"
        elif token == "[":
            reading = "header"
        elif reading in ("key", "header") and kind in ("bare", "basic", "literal"):
            path += (_key(kind, token),)
            prefix = () if reading == "header" else inside[-1][1] if inside else table
            found.keys.setdefault(prefix + path, _quotation(text, file, kind, token, start))
    return found


def check_dotted_keys(text: str, file: str) -> None:
    """Refuse, with VariantError, a key of very many parts: `tomllib` takes minutes for it."""
    dots = 0
    for kind, token, start in _tokens(text):
        if token == ".":
            dots += 1
        elif kind in ("newline", "mark"):
            dots = 0
        if dots == MOST_PARTS:
            raise place_of(text, file, start).error(
                "the key has too many parts", f"more than {MOST_PARTS}", "at most 3, as in added.head.W_Q"
            )


_TOKEN = re.compile(  # every string may lack its end, so that a wrong file takes no longer than a right one
    r"""
      (?P<blank>[ \t]+|\#[^\n]*)
    | (?P<newline>\n)
    | (?P<long_basic>\"\"\"(?:[^"\\]|\\.|"(?!""))*+(?:"{3,5})?)
    | (?P<long_literal>'''(?:[^']|'(?!''))*+(?:'{3,5})?)
    | (?P<basic>"(?:[^"\\\n]|\\.)*+"?)
    | (?P<literal>'[^'\n]*+'?)
    | (?P<mark>[\[\]{},=.])
    | (?P<bare>[^\s\[\]{},=.\#"']+)
    """,
    re.VERBOSE | re.DOTALL,
)
_CONTINUED = re.compile(r"\\[ \t]*\n[ \t\n]*")
_PIECE = re.compile(rf"\\u[0-9A-Fa-f]{{4}}|\\U[0-9A-Fa-f]{{8}}|{_CONTINUED.pattern}|\\.|.", re.DOTALL)


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    for match in _TOKEN.finditer(text):
        if match.lastgroup and match.lastgroup != "blank":
            yield match.lastgroup, match.group(), match.start()


def _pieces(written: str, escaped: bool) -> Iterator[str]:
    """Cut a string's source into the parts that stand for one character each (a continued line: for none)."""
    return (match.group() for match in _PIECE.finditer(written)) if escaped else iter(written)


def _quotation(text: str, file: str, kind: str, token: str, start: int) -> Quotation:
    if kind in ("long_basic", "long_literal"):
        first = 4 if token[3] == "\n" else 3
        written: str | None = token[first:-3]
    elif kind in ("basic", "literal"):
        first, written = 1, token[1:-1]
    else:
        first, written = 0, token if kind == "bare" else None
    return Quotation(place_of(text, file, start + first), written, kind in ("basic", "long_basic"))


def place_of(text: str, file: str, offset: int) -> Place:
    """The line and column of a text's character."""
    line_start = text.rfind("\n", 0, offset) + 1
    return Place(file, text.count("\n", 0, offset) + 1, offset - line_start + 1)


def _key(kind: str, token: str) -> str:
    if kind == "bare":
        return token
    return next(iter(tomllib.loads(f"{token} = 0")))


def _one_line(text: str) -> str:
    """Make a text safe to print on one line of a terminal: control characters are escaped, long texts cut."""
    printable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return printable if len(printable) <= LONGEST_SHOWN else printable[: LONGEST_SHOWN - 1] + "…"
