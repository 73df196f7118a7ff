"""The notation of a variant file's expressions: its trees, its parser and its printer.

[a, b; c, d]    blocks: comma for columns, semicolon for rows
+ - * /  ^      the * of a product is required; / and ^ are for scalars
A'              transpose, binds tightest
2, 0.25         exact rational numbers
?a              an unknown scalar, to be solved for
sqrt(c)  eye(n)  ones(m, n)  0(m, n)  diag(g)  blockdiag(A, B)  kron(A, B)  hadamard(A, B)  act(A)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from .errors import NOWHERE, Place, Quotation, VariantError

if TYPE_CHECKING:
    from lark import Lark
    from lark.exceptions import UnexpectedInput

_Tree: TypeAlias = Any
"""The parser's tree: lark leaves open which of a tree's children are trees and which are tokens."""

MANY = 1_000_000
FUNCTIONS = {
    "sqrt": (1, 1),
    "eye": (1, 1),
    "ones": (2, 2),
    "0": (2, 2),
    "diag": (1, 1),
    "blockdiag": (1, MANY),
    "kron": (2, 2),
    "hadamard": (2, 2),
    "act": (1, 1),
}
"""The functions, with the smallest and the largest number of their arguments."""

# Bounds that keep every later step quick and within Python's recursion limit.
LONGEST_EXPRESSION = 10_000
DEEPEST_EXPRESSION = 100
LONGEST_NUMBER = 100
LARGEST_EXPONENT = 64
LARGEST_POWER_BITS = 4096
BITS_OF_A_NAME = 4


# --- trees ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Node:
    """What every expression has: the place of its operator, name, number or opening bracket in the file."""

    place: Place = field(default=NOWHERE, compare=False, repr=False, kw_only=True)

    @property
    def line(self) -> int | None:
        """The line in the file, from 1."""
        return self.place.line

    @property
    def column(self) -> int | None:
        """The column in the file, from 1."""
        return self.place.column


@dataclass(frozen=True, slots=True)
class Number(Node):
    """An exact rational number."""

    value: Fraction


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A size, parameter or new block."""

    name: str


@dataclass(frozen=True, slots=True)
class Unknown(Node):
    """`?a`: a scalar to be solved for; `name` is without the question mark."""

    name: str


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function of `FUNCTIONS` and its arguments; `0(m, n)` is the call of "0"."""

    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Blocks(Node):
    """A block matrix; all rows have equally many blocks."""

    rows: tuple[tuple[Expression, ...], ...]


@dataclass(frozen=True, slots=True)
class BinaryOp(Node):
    """`left operator right`, with one of the operators + - * / ^."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Negative(Node):
    """Minus an expression."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class Transposed(Node):
    """The transpose of an expression."""

    operand: Expression


Expression: TypeAlias = Number | Name | Unknown | Call | Blocks | BinaryOp | Negative | Transposed


@dataclass(frozen=True, slots=True)
class Shape(Node):
    """What a new block is declared as: `rows, columns` and, after a semicolon, its kinds."""

    rows: Expression
    columns: Expression
    kinds: tuple[Name, ...] = ()


def error_at(
    node: Expression | Shape, message: str, found: str | None = None, expected: str | None = None
) -> VariantError:
    """The error that points at a node's place in the file (returned, for the caller to raise)."""
    return node.place.error(message, found, expected)


def children(expression: Expression) -> tuple[Expression, ...]:
    """The expressions directly inside one, from left to right."""
    match expression:
        case Call(arguments=arguments):
            return arguments
        case Blocks(rows=rows):
            return tuple(block for row in rows for block in row)
        case BinaryOp(left=left, right=right):
            return (left, right)
        case Negative(operand=operand) | Transposed(operand=operand):
            return (operand,)
        case _:
            return ()


def with_children(expression: Expression, parts: Sequence[Expression]) -> Expression:
    """An expression with other expressions directly inside it, in the order of `children`."""
    match expression:
        case Call():
            return replace(expression, arguments=tuple(parts))
        case Blocks(rows=rows):
            rest = iter(parts)
            return replace(expression, rows=tuple(tuple(next(rest) for _ in row) for row in rows))
        case BinaryOp():
            left, right = parts
            return replace(expression, left=left, right=right)
        case Negative() | Transposed():
            (operand,) = parts
            return replace(expression, operand=operand)
        case _:
            return expression


def names(expression: Expression) -> tuple[Name, ...]:
    """Every occurrence of a name, from left to right."""
    if isinstance(expression, Name):
        return (expression,)
    return tuple(name for child in children(expression) for name in names(child))


def constant(expression: Expression) -> Fraction | None:
    """The exact value of an expression made of numbers and + - * / ^ alone; None for any other."""
    match expression:
        case Number(value=value):
            return value
        case Negative(operand=operand):
            value_of_operand = constant(operand)
            return None if value_of_operand is None else -value_of_operand
        case BinaryOp(operator=operator, left=left_side, right=right_side):
            left, right = constant(left_side), constant(right_side)
            return None if left is None or right is None else _calculate(operator, left, right)
        case _:
            return None


def _calculate(operator: str, left: Fraction, right: Fraction) -> Fraction | None:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left / right if right else None
        case _:
            defined = right.denominator == 1 and abs(right) <= LARGEST_EXPONENT and (left or right >= 0)
            return Fraction(left ** int(right)) if defined else None


# --- printing ---------------------------------------------------------------------------------------------

_SUM, _PRODUCT, _SIGNED, _POWER, _POSTFIX, _ATOM = range(6)
_OPERANDS = {
    "+": (_SUM, _SUM, _PRODUCT),
    "-": (_SUM, _SUM, _PRODUCT),
    "*": (_PRODUCT, _PRODUCT, _SIGNED),
    "/": (_PRODUCT, _PRODUCT, _SIGNED),
    "^": (_POWER, _POSTFIX, _SIGNED),
}
"""For each operator: how tightly it binds, and how tightly its left and right operands must."""


def show(expression: Expression) -> str:
    """Print an expression in the notation that `parse` reads, with only the brackets it needs.

    >>> show(parse("(W_Q)*(M' + 0.50*(A*B))"))
    "W_Q*(M' + 0.5*(A*B))"
    """
    return _show(expression, _SUM)


def _show(expression: Expression, tightness: int) -> str:
    text, own = _written(expression)
    return text if own >= tightness else f"({text})"


def _written(expression: Expression) -> tuple[str, int]:
    match expression:
        case Number(value=value):
            return _number(value)
        case Name(name=name):
            return name, _ATOM
        case Unknown(name=name):
            return f"?{name}", _ATOM
        case Call(function=function, arguments=arguments):
            return f"{function}({_list(arguments)})", _ATOM
        case Blocks(rows=rows):
            return f"[{'; '.join(_list(row) for row in rows)}]", _ATOM
        case Negative(operand=operand):
            return f"-{_show(operand, _SIGNED)}", _SIGNED
        case Transposed(operand=operand):
            return f"{_show(operand, _POSTFIX)}'", _POSTFIX
        case BinaryOp(operator=operator, left=left, right=right):
            own, left_needs, right_needs = _OPERANDS[operator]
            spaced = f" {operator} " if own == _SUM else operator
            return _show(left, left_needs) + spaced + _show(right, right_needs), own


def _list(expressions: Iterable[Expression]) -> str:
    return ", ".join(show(expression) for expression in expressions)


def _number(value: Fraction) -> tuple[str, int]:
    """A number as a decimal when that is exact, else as a fraction."""
    if value < 0:
        return f"-{_show(Number(-value), _SIGNED)}", _SIGNED
    if value.denominator == 1:
        return str(value.numerator), _ATOM
    digits = _decimal_places(value.denominator)
    if digits is None:
        return f"{value.numerator}/{value.denominator}", _PRODUCT
    written = str(value.numerator * 10**digits // value.denominator).rjust(digits + 1, "0")
    return f"{written[:-digits]}.{written[-digits:]}", _ATOM


def _decimal_places(denominator: int) -> int | None:
    counts = []
    for prime in (2, 5):
        count = 0
        while denominator % prime == 0:
            denominator //= prime
            count += 1
        counts.append(count)
    return max(counts) if denominator == 1 else None


# --- parsing ----------------------------------------------------------------------------------------------


def parse(text: str, place: Place = NOWHERE) -> Expression:
    """Read an expression whose first character stands at `place`.

    Raises VariantError, with the place of the offending character, for any text that is not an expression.
    The format is described in the README, under "The variant format".
    """
    return parse_quoted(text, Quotation(place, text))


def parse_quoted(text: str, quotation: Quotation) -> Expression:
    """Read an expression from a string of a TOML file; errors as for `parse`."""
    places = _places(text, quotation)
    (tree,) = _parsed(text, "expression", places).children
    return _build(tree, places, DEEPEST_EXPRESSION)


def parse_shape(text: str, quotation: Quotation) -> Shape:
    """Read a new block's `rows, columns; kind, kind` from a string of a TOML file; errors as for `parse`."""
    places = _places(text, quotation)
    rows, columns, kinds = _parsed(text, "shape", places).children
    return Shape(
        _build(rows, places, DEEPEST_EXPRESSION),
        _build(columns, places, DEEPEST_EXPRESSION),
        tuple(_kind(kind.children, places) for kind in kinds.children) if kinds else (),
        place=places[0],
    )


def _places(text: str, quotation: Quotation) -> Sequence[Place]:
    if len(text) > LONGEST_EXPRESSION:
        raise quotation.place.error(
            "the expression is too long", f"{len(text)} characters", f"at most {LONGEST_EXPRESSION}"
        )
    return quotation.character_places()


@cache
def _parser() -> Lark:
    from lark import Lark  # here, because only commands that read a variant should pay for the import

    grammar = Path(__file__).with_name("expression.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", lexer="basic", start=["expression", "shape"])


def _parsed(text: str, start: str, places: Sequence[Place]) -> _Tree:
    from lark.exceptions import UnexpectedInput

    if not text.strip():
        raise places[0].error("the expression is empty", "nothing", _OPERAND)
    _check_brackets(text, places)
    try:
        return _parser().parse(text, start=start)
    except UnexpectedInput as error:
        raise _syntax_error(error, text, places) from None


_CLOSING = {"(": ")", "[": "]"}


def _check_brackets(text: str, places: Sequence[Place]) -> None:
    opened: list[int] = []
    for index, character in enumerate(text):
        if character in _CLOSING:
            opened.append(index)
            if len(opened) > DEEPEST_EXPRESSION:
                raise _too_deep(places[index])
        elif character in _CLOSING.values():
            if not opened:
                raise places[index].error("this bracket closes nothing", f"`{character}`", "no bracket")
            start = opened.pop()
            if character != _CLOSING[text[start]]:
                raise places[index].error(
                    f"the bracket {_opened(text, start, places)} is closed by another kind",
                    f"`{character}`",
                    f"`{_CLOSING[text[start]]}`",
                )
    if opened:
        start = opened[-1]
        raise places[-1].error(
            f"the bracket {_opened(text, start, places)} is not closed",
            "the end of the expression",
            f"`{_CLOSING[text[start]]}`",
        )


def _opened(text: str, start: int, places: Sequence[Place]) -> str:
    place = places[start]
    return f"`{text[start]}` opened at line {place.line}, column {place.column}"


def _too_deep(place: Place) -> VariantError:
    return place.error(
        "the expression is nested too deeply",
        f"more than {DEEPEST_EXPRESSION} brackets or operators inside one another",
        f"at most {DEEPEST_EXPRESSION}",
    )


_OPERAND = "a name, a number, `(` or `[`"
_STARTS_OPERAND = {"NAME", "NUMBER", "ZERO", "UNKNOWN", "LPAR", "LSQB"}
_MARKS = {
    "COMMA": "`,`",
    "SEMICOLON": "`;`",
    "RPAR": "`)`",
    "RSQB": "`]`",
    "$END": "the end of the expression",
}


_HABITS: Mapping[str, str] = {
    r"\*\*": "`^` for a power",
    r"//": "`/` for a quotient",
    r"\^\{": "`^( )` for an exponent",
    r"\^[T']": "`A'` for a transpose",
    r"\.T\b": "`'` for a transpose, as in `A'`",
    r"\.\*": "`hadamard(A, B)` for an entrywise product",
    r"\.[0-9]+": "a digit before the point, as in `0.5`",
    r"\.[A-Za-z_]+": "nothing after a point: a function is called by its name alone, and `A'` is a transpose",
    r"[@·⋅×]": "`*` for a product",
    r"[⊙∘]": "`hadamard(A, B)` for an entrywise product",
    r"⊗": "`kron(A, B)` for a Kronecker product",
    r"\|": "`,` between blocks side by side",
    r"={1,2}": "one side of an equation: a key of the file is the left side, its value the right one",
    r"#": "the comment after the closing quote",
}
"""What other languages write, by the pattern that finds it, and what a variant file has for that."""

_HABITUAL_FUNCTIONS: Mapping[str, str] = {
    **dict.fromkeys(("zeros", "zeros_like"), "0(m, n)"),
    **dict.fromkeys(("I", "Id", "identity", "Identity"), "eye(n)"),
    **dict.fromkeys(("transpose", "t", "tr"), "A'"),
    **dict.fromkeys(("hstack", "horzcat", "hcat", "cat", "concat", "concatenate"), "[A, B]"),
    **dict.fromkeys(("vstack", "vertcat", "vcat"), "[A; B]"),
    **dict.fromkeys(("matmul", "dot", "mul"), "A*B"),
    **dict.fromkeys(("relu", "gelu", "silu", "tanh", "sigmoid"), "act(A)"),
}
"""Functions of other languages, and what a variant file has for them."""


def _syntax_error(error: UnexpectedInput, text: str, places: Sequence[Place]) -> VariantError:
    from lark.exceptions import UnexpectedToken

    parser: Any = error.interactive_parser
    accepted = set(parser.accepts())
    expected = _in_words(accepted)
    start = error.pos_in_stream or 0
    for index in (max(start - 1, 0), start):
        for pattern, instead in _HABITS.items():
            habit = re.compile(pattern).match(text, index)
            if habit:
                return places[index].error("this is not the notation of variants", f"`{habit[0]}`", instead)
    if not isinstance(error, UnexpectedToken):
        index = start
        return places[index].error("this character has no meaning here", f"`{text[index]}`", expected)
    token = error.token
    if token.type == "$END":
        return places[len(text)].error("the expression ends too early", "its end", expected)
    place: Place = places[token.start_pos]
    if token.type in _STARTS_OPERAND and "STAR" in accepted:
        between = "`*` or `,`" if "COMMA" in accepted else "`*`"
        return place.error("a product is written with `*`", f"`{token}`", f"{between} before `{token}`")
    return place.error("the expression cannot be read", f"`{token}`", expected)


def _in_words(accepted: set[str]) -> str:
    words = []
    if "STAR" in accepted:
        words.append("an operator (+ - * / ^ ')")
    elif "LSQB" in accepted:
        words.append(_OPERAND)
    elif "NAME" in accepted:
        words.append("a kind")
    words += [mark for token, mark in _MARKS.items() if token in accepted]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def _build(tree: _Tree, places: Sequence[Place], depth: int) -> Expression:
    """Turn the parser's tree into an expression that is at most `depth` deep."""
    place = _place(tree, places)
    if depth == 0:
        raise _too_deep(place)
    parts = tree.children

    def inside(part: _Tree) -> Expression:
        return _build(part, places, depth - 1)

    match tree.data:
        case "number":
            return _checked_number(str(parts[0]), place)
        case "name":
            return Name(str(parts[0]), place=place)
        case "unknown":
            return Unknown(str(parts[0])[1:], place=place)
        case "negative":
            return Negative(inside(parts[1]), place=place)
        case "transposed":
            return Transposed(inside(parts[0]), place=place)
        case "binary":
            left, operator, right = parts
            return _checked_binary(BinaryOp(str(operator), inside(left), inside(right), place=place))
        case "call":
            function, arguments = parts
            given = tuple(inside(argument) for argument in arguments.children) if arguments else ()
            return _checked_call(Call(str(function), given, place=place))
        case _:
            rows = tuple(tuple(inside(block) for block in row.children) for row in parts[1:])
            return _checked_blocks(Blocks(rows, place=place))


def _place(tree: _Tree, places: Sequence[Place]) -> Place:
    """The place of the one token that a tree's node has of its own."""
    from lark import Token

    (token,) = (part for part in tree.children if isinstance(part, Token))
    place: Place = places[token.start_pos or 0]
    return place


def _kind(words: Sequence[Any], places: Sequence[Place]) -> Name:
    return Name(" ".join(words), place=places[words[0].start_pos])


def _checked_number(digits: str, place: Place) -> Number:
    if len(digits) > LONGEST_NUMBER:
        raise place.error("the number is too long", f"{len(digits)} digits", f"at most {LONGEST_NUMBER}")
    return Number(Fraction(digits), place=place)


def _checked_binary(operation: BinaryOp) -> BinaryOp:
    exponent = constant(operation.right) if operation.operator == "^" else None
    if exponent is not None and abs(exponent) > LARGEST_EXPONENT:
        raise error_at(
            operation.right,
            "the exponent is too large",
            f"`{show(operation.right)}`",
            f"a number from -{LARGEST_EXPONENT} to {LARGEST_EXPONENT}",
        )
    if operation.operator == "^" and operation.right == Name("T"):
        raise error_at(
            operation,
            "a transpose is written with `'`",
            f"`{show(operation)}`",
            f"`{show(Transposed(operation.left))}`",
        )
    if operation.operator == "^" and _bits(operation) > LARGEST_POWER_BITS:
        raise error_at(
            operation, "the power is too large", f"`{show(operation)}`", f"at most {LARGEST_POWER_BITS} binary digits"
        )
    if operation.operator == "/" and constant(operation.right) == 0:
        raise error_at(operation, "division by zero", f"`{show(operation.right)}`", "a number other than 0")
    if exponent is not None and exponent < 0 and constant(operation.left) == 0:
        raise error_at(operation, "division by zero", f"`{show(operation)}`", "a base other than 0")
    return operation


def _bits(expression: Expression) -> int:
    """How many binary digits a scalar may have where its names are small numbers, or terms where they are not."""
    match expression:
        case Number(value=value):
            return value.numerator.bit_length() + value.denominator.bit_length()
        case BinaryOp(operator="^", left=base, right=exponent):
            times = constant(exponent)
            most = (
                2 ** min(_bits(exponent), LARGEST_POWER_BITS.bit_length()) if times is None else abs(times).__ceil__()
            )
            return _bits(base) * most
        case BinaryOp(operator="+" | "-", left=left, right=right):
            return max(_bits(left), _bits(right)) + 1
        case _:
            return max(BITS_OF_A_NAME, sum(_bits(child) for child in children(expression)))


def _checked_call(call: Call) -> Call:
    if call.function not in FUNCTIONS:
        guess = _HABITUAL_FUNCTIONS.get(call.function) or nearest(call.function, FUNCTIONS)
        raise error_at(
            call,
            "there is no such function",
            f"`{call.function}`",
            f"`{guess}`" if guess else f"one of {', '.join(FUNCTIONS)}, or `*` before `(` for a product",
        )
    least, most = FUNCTIONS[call.function]
    if not least <= len(call.arguments) <= most:
        raise error_at(
            call,
            f"wrong number of arguments of `{call.function}`",
            str(len(call.arguments)),
            str(least) if least == most else f"at least {least}",
        )
    return call


def _checked_blocks(blocks: Blocks) -> Blocks:
    width = len(blocks.rows[0])
    for number, row in enumerate(blocks.rows, start=1):
        if len(row) != width:
            raise error_at(row[0], f"row {number} has another number of blocks than row 1", str(len(row)), str(width))
    return blocks


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that looks most like a mistyped name, or None when none does.

    >>> nearest("blokdiag", ["diag", "blockdiag"])
    'blockdiag'
    """
    from difflib import get_close_matches  # only an error needs it

    name, candidates = name[:LONGEST_NUMBER], tuple(candidates)
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    if name.lower() in by_lower:
        return by_lower[name.lower()]
    close = get_close_matches(name, candidates, n=1) or get_close_matches(name.lower(), by_lower, n=1)
    return by_lower.get(close[0], close[0]) if close else None
