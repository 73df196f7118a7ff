"""How terms are written: LaTeX for pages, plain text in the variant notation for certificates."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from sympy import Expr
from sympy.printing.latex import LatexPrinter
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.str import StrPrinter

from .syntax import FUNCTIONS
from .terms import MatMul, block_rows, is_scalar

_INSTANCE = "~"  # separates a name from the instance of the block that it names; no user name holds it


def instance(name: str, tag: str) -> str:
    """The name of one instance of a new block: the n-th step of a chain, the heads it belongs to."""
    return f"{name}{_INSTANCE}{tag}" if tag else name


@cache
def name_latex(name: str) -> str:
    r"""A text name as LaTeX.

    >>> name_latex("M_W_l1"), name_latex("p_hat"), name_latex("M_g~2"), name_latex("?a")
    ('M_{W_{l1}}', '\\hat{p}', 'M_{g}^{(2)}', '\\tilde{a}')
    """
    if name.startswith("?"):  # an unknown scalar
        return rf"\tilde{{{name_latex(name[1:])}}}"
    if _INSTANCE in name:
        head, tag = name.split(_INSTANCE, 1)
        return f"{name_latex(head)}^{{({tag})}}"
    if name.endswith("_hat"):
        return rf"\hat{{{name_latex(name[:-4])}}}"
    greek = {"eps": r"\varepsilon"}
    head, _, tail = name.partition("_")
    if not tail:
        return greek.get(name, name if len(name) == 1 or re.fullmatch(r"[A-Za-z]\d*", name) else rf"\mathrm{{{name}}}")
    inner = name_latex(tail) if "_" in tail or tail in greek else (tail if len(tail) < 3 else rf"\mathrm{{{tail}}}")
    return f"{name_latex(head)}_{{{inner}}}"


class _Remembering:
    """A printer that prints equal sub-terms once, for terms never change, and p_hat - p, not -p + p_hat."""

    def _as_ordered_terms(self, expr, order=None):
        found = super()._as_ordered_terms(expr, order)  # type: ignore[misc]
        return sorted(found, key=lambda term: term.could_extract_minus_sign())

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[Expr, str] = {}

    def _print(self, expr: Any, **kwargs: Any) -> str:
        if kwargs or not isinstance(expr, Expr):
            return str(super()._print(expr, **kwargs))  # type: ignore[misc]
        if expr not in self._known:
            if len(self._known) > LARGEST_MEMORY:
                self._known.clear()
            self._known[expr] = super()._print(expr)  # type: ignore[misc]
        return self._known[expr]

    def parenthesize(self, item, level, *given, strict=False, **options):
        """A product is weak where a minus stands in front; sympy would work that out from all of its factors."""
        if not isinstance(item, MatMul):
            return super().parenthesize(item, level, *given, strict=strict, **options)  # type: ignore[misc]
        first = item.args[0]
        strength = PRECEDENCE["Add" if is_scalar(first) and first.could_extract_minus_sign() else "Mul"]
        bare = strength > level or (strict and strength == level)
        return self._print(item) if bare else self.brackets.format(self._print(item))

    brackets = "({})"


LARGEST_MEMORY = 50_000


class _Latex(_Remembering, LatexPrinter):
    """sympy's own printers of sums and products evaluate and reorder; these print what is there."""

    brackets = r"\left({}\right)"

    def _print_Symbol(self, expr, style="plain"):
        return name_latex(expr.name)

    def _print_MatrixSymbol(self, expr, style="plain"):
        return name_latex(expr.name)

    def _print_MatMul(self, expr):
        minus = expr.args[0] == -1
        shown = [self.parenthesize(part, PRECEDENCE["Mul"], strict=is_scalar(part)) for part in expr.args[minus:]]
        return ("-" if minus else "") + " ".join(shown)

    def _print_MatAdd(self, expr):
        shown = [
            self._print(part) if isinstance(part, MatMul) else self.parenthesize(part, PRECEDENCE["Add"])
            for part in expr.args
        ]
        return shown[0] + "".join(f" {part}" if part.startswith("-") else f" + {part}" for part in shown[1:])

    def _print_ZeroMatrix(self, expr):
        return "0"

    def _print_Identity(self, expr):
        return rf"\mathbf{{I}}_{{{self._print(expr.rows)}}}"

    def _print_OneMatrix(self, expr):
        sizes = self._print(expr.rows)
        if expr.cols != 1:
            sizes += rf" \times {self._print(expr.cols)}"
        return rf"\mathbf{{1}}_{{{sizes}}}"

    def _print_Transpose(self, expr):
        inner = self.parenthesize(expr.arg, PRECEDENCE["Pow"])
        return rf"{inner}^{{T}}"


class _Text(_Remembering, StrPrinter):
    """The variant notation; nodes without a notation of their own print like calls."""

    def _print_BlockMatrix(self, expr):
        rows = "; ".join(", ".join(map(self._print, row)) for row in block_rows(expr))
        return f"[{rows}]"

    def _print_Transpose(self, expr):
        return f"{self.parenthesize(expr.arg, PRECEDENCE['Pow'])}'"

    def _print_ZeroMatrix(self, expr):
        return f"0({self._print(expr.rows)}, {self._print(expr.cols)})"

    def _print_OneMatrix(self, expr):
        return f"ones({self._print(expr.rows)}, {self._print(expr.cols)})"

    def _print_Identity(self, expr):
        return f"eye({self._print(expr.rows)})"

    def _print_MatMul(self, expr):
        minus = expr.args[0] == -1
        shown = [self.parenthesize(part, PRECEDENCE["Mul"]) for part in expr.args[minus:]]
        return "-" * minus + "*".join(shown)

    def _print_MatAdd(self, expr):
        first, *rest = [
            self._print(part) if isinstance(part, MatMul) else self.parenthesize(part, PRECEDENCE["Add"])
            for part in expr.args
        ]
        return first + "".join(f" - {part[1:]}" if part.startswith("-") else f" + {part}" for part in rest)

    def _print_Pow(self, expr, rational=False):
        return super()._print_Pow(expr, rational).replace("**", "^")

    def _print_Act(self, expr):
        return f"act({self._print(expr.arg)})"  # an architecture has one activation

    def _node(self, expr):
        name = type(expr).__name__
        known = name.lower() if name.lower() in FUNCTIONS else name
        return f"{known}({', '.join(map(self._print, expr.args))})"

    def _print_Softmax(self, expr):
        mask = "" if expr.mask == "none" else f"_{expr.mask}"
        return f"Softmax{mask}({self._print(expr.arg)})"

    _print_Diag = _print_RowScale = _print_Norm = _node
    _print_Hadamard = _print_Kron = _print_HeadSum = _print_Stack = _node


_latex_printer = _Latex()
_text_printer = _Text()


def latex(term: Expr) -> str:
    """The term as LaTeX, printed from the object itself."""
    return _latex_printer.doprint(term)


def text(term: Expr) -> str:
    """The term as plain text, in the notation of variant files where that has one."""
    return _text_printer.doprint(term)
