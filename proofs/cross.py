"""A second solver's answer to what z3 was asked: cvc5, where it is installed (`pip install growproof[cvc5]`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .solver import Answer, Query, smt_lib

MILLISECONDS = 10_000


@dataclass(frozen=True)
class Second:
    """z3's answer and cvc5's verdict on the same query."""

    first: Answer
    verdict: str

    @property
    def disagrees(self) -> bool:
        """One says that there are numbers, the other that there are none; `unknown` contradicts nothing."""
        return {self.first.verdict, self.verdict} == {"sat", "unsat"}


def available() -> bool:
    from importlib.util import find_spec

    return find_spec("cvc5") is not None


def second_opinions(answers: Iterable[Answer]) -> list[Second]:
    """cvc5 on every query, read from its SMT-LIB text.  Raises ImportError without cvc5."""
    return [Second(answer, ask(answer.query)) for answer in answers]


def ask(query: Query) -> str:
    """cvc5's verdict on a query: sat, unsat or unknown."""
    import cvc5

    solver = cvc5.Solver()
    solver.setOption("tlimit-per", str(MILLISECONDS))
    parser = cvc5.InputParser(solver)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, smt_lib(query), query.name)
    symbols, verdict = parser.getSymbolManager(), "unknown"
    while not (command := parser.nextCommand()).isNull():
        said = command.invoke(solver, symbols).strip()
        verdict = said if said in ("sat", "unsat") else verdict
    return verdict
