"""The prover: looks for the steps of a derivation.  It is not trusted; the kernel redoes every step.

The search is plain: a strategy is a list of rules in order of preference; the first rule that applies
anywhere is used everywhere it applies, until none does.  Both sides of a goal are rewritten so, and
meet or do not; what is left when they do not meet is the residual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..symbolic.terms import (
    Act,
    Diag,
    Expr,
    Grid,
    Hadamard,
    HeadSum,
    Kron,
    MatAdd,
    MatMul,
    MatrixExpr,
    MatrixSymbol,
    Norm,
    OneMatrix,
    Rope,
    Softmax,
    Transpose,
    ZeroMatrix,
    atoms,
    children,
    is_scalar,
    product,
    total,
)
from .kernel import (
    FOLLOWS,
    RULES,
    Context,
    Equation,
    Position,
    Rule,
    Step,
    Theorem,
    apply,
    derive,
    meet,
    oriented,
    summands,
)
from .rules import pair, split, terms_of

STEP_LIMIT = 400
WEIGHT_LIMIT = 6_000  # a larger term is given up

CLEAN = (
    "product with zero",
    "sum with zero",
    "zeros",
    "identity",
    "idempotent function",
    "weights of the experts",
    "lemma",
    "induction over layers",
    "constraint",
)
BLOCKS = (
    "scalar into blocks",
    "block sum",
    "block transpose",
    "elementwise on blocks",
    "entrywise product of blocks",
    "rotation of blocks",
    "diagonal of blocks",
    "heads of blocks",
    "nested blocks",
    "block product",
    "Kronecker factors",
    "sums of ones",
    "selection",
    "diagonals",
    "product of rows",
    "order of diagonals",
    "common factor of heads",
)
SCALARS = ("scalar out", "rescale the norm", "scalars", "like terms")
COPIES = ("Kronecker product",)  # after numbers have left it: its factors are taken apart again
CONSTANTS = ("ones apart", "distribute constants")
NORMS = ("definition of the norm",)
EXPAND = (
    "ones apart",
    "transpose of a product",
    "transpose of a sum",
    "distribute",
    "heads of a sum",
    "shift of a softmax",
)

ORDER = ("order of a sum",)

STRATEGIES: tuple[tuple[str, ...], ...] = (
    ("lemma", "induction over layers", "factor"),  # put proved pieces together
    (*CLEAN, *BLOCKS, *SCALARS, *COPIES),  # compute with blocks
    (*CLEAN, *BLOCKS, *SCALARS, *COPIES, *CONSTANTS, *NORMS),  # and open the norms
    (*CLEAN, *BLOCKS, *SCALARS, *COPIES, *EXPAND),  # or write everything out but the norms
    (*CLEAN, *BLOCKS, *SCALARS, *COPIES, *EXPAND, *ORDER),  # and put sums in order
    (*CLEAN, *BLOCKS, *SCALARS, *COPIES, *EXPAND, *NORMS, *ORDER),  # and open the norms
)

FIRST_ORDER = tuple(("first order", *strategy) for strategy in STRATEGIES[1:])  # for goals that hold to first order


@dataclass(frozen=True)
class Derivation:
    """The steps that take each side of a goal to a common term; `theorem` is None where they do not meet."""

    left: Expr
    right: Expr
    left_steps: tuple[Step, ...]
    right_steps: tuple[Step, ...]
    theorem: Theorem | None
    residual: tuple[Expr, Expr] | None = None


ASSEMBLE = STRATEGIES[:1]


@lru_cache(maxsize=256)
def prove(
    context: Context,
    left: Expr,
    right: Expr,
    strategies: tuple[tuple[str, ...], ...] = STRATEGIES,
    most: int = WEIGHT_LIMIT,
) -> Derivation:
    """Derive left = right with the first strategy that makes the sides meet; terms heavier than `most` are given up.

    A strategy goes on from where the longest one that it begins with came to an end.
    """
    tried: dict[tuple[str, ...], tuple[Chain, Chain]] = {(): ([(None, left)], [(None, right)])}
    for strategy in strategies:
        begun = max((one for one in tried if strategy[: len(one)] == one), key=len)
        lefts, rights = tried[begun]
        lefts = chain(context, lefts, strategy, right, most)
        rights = chain(context, rights, strategy, lefts[-1][1], most)
        tried[strategy] = lefts, rights
        found = joined(context, lefts, rights)
        if found is not None:
            return found
    return Derivation(left, right, steps_of(lefts), steps_of(rights), None, (lefts[-1][1], rights[-1][1]))


def joined(context: Context, lefts: Chain, rights: Chain) -> Derivation | None:
    """The derivation up to the first term of the left chain that the right one reaches; None where there is none."""
    reached = {term: i for i, (_, term) in reversed(list(enumerate(rights)))}
    i = next((i for i, (_, term) in enumerate(lefts) if term in reached), None)
    if i is None:
        return None
    left, right = lefts[0][1], rights[0][1]
    left_steps, right_steps = steps_of(lefts[: i + 1]), steps_of(rights[: reached[lefts[i][1]] + 1])
    theorem = meet(derive(context, left, left_steps), derive(context, right, right_steps))
    return Derivation(left, right, left_steps, right_steps, theorem)


def steps_of(links: Chain) -> tuple[Step, ...]:
    return tuple(step for step, _ in links if step)


def normal_form(context: Context, term: Expr, strategy: Sequence[str] = STRATEGIES[1]) -> Expr:
    """What a strategy makes of a term; if none is given, computing with blocks."""
    return chain(context, [(None, term)], strategy)[-1][1]


Chain = list[tuple["Step | None", Expr]]


def chain(
    context: Context, begun: Chain, strategy: Sequence[str], stop: Expr | None = None, most: int = WEIGHT_LIMIT
) -> Chain:
    """The terms that a strategy makes of the last one of a chain, each with the step that led to it."""
    links, term = list(begun), begun[-1][1]
    moves = [(rule, argument) for rule in strategy for argument in arguments(context, rule)]
    known: Known = {}
    if sum(map(len, always.values())) > MOST_KNOWN:
        always.clear()
    while term != stop and len(links) <= STEP_LIMIT and weight(term) <= most:
        step = next((step for move in moves if (step := everywhere(context, term, *move, known))), None)
        if step is None:
            break
        term = apply(context, term, step)
        links.append((step, term))
    return links


def arguments(context: Context, rule: str) -> Iterator[tuple[int, ...]]:
    """The arguments that a rule can take: which lemma, or which constraint and how it is read."""
    if rule == "lemma":
        yield from ((i,) for i, lemma in enumerate(context.lemmas) if lemma.left != lemma.right)
    elif rule == "constraint":
        yield from orientations(context.equations)
    else:
        yield ()


@lru_cache
def orientations(equations: Sequence[Equation]) -> tuple[tuple[int, ...], ...]:
    """Each equation with the term that it is solved for, so that rewriting comes to an end.

    A bare matrix is eliminated where nothing leads back to it; else the largest word of several matrices, by length
    and then by name, becomes what is smaller.
    """
    found: list[tuple[int, ...]] = []
    needs: dict[Expr, set[Expr]] = {}  # an eliminated matrix -> those that come in its place
    for i, equation in sorted(enumerate(equations), key=lambda entry: len(summands(entry[1]))):
        terms = summands(equation)
        chosen = next((k for k in bare(equation) if eliminates(terms, k, needs)), None)
        if chosen is not None:
            rest = (symbol for k, term in enumerate(terms) if k != chosen for symbol in atoms(term))
            needs[split(terms[chosen])[1]] = set(rest)
        else:
            words = [k for k, term in enumerate(terms) if not isinstance(split(term)[1], MatrixSymbol)]
            chosen = max(words, key=lambda k: (weight(terms[k]), str(split(terms[k])[1])), default=None)
        if chosen is not None and not feeds_itself(terms, chosen):
            as_it_stands = chosen == 0 and equation.left == split(terms[0])[1]
            found.append((i,) if as_it_stands else (i, chosen))
    for i, equation in enumerate(equations):
        found += [(i, *form) for form, follows in FOLLOWS.items() if follows(equation) not in (None, equation)]
    return tuple(found)


def feeds_itself(terms: Sequence[MatrixExpr], k: int) -> bool:
    """Whether a bare matrix, or its transpose, would be replaced by something that holds it."""
    left = split(terms[k])[1]
    inner = left.arg if isinstance(left, Transpose) else left
    return isinstance(inner, MatrixSymbol) and any(inner in atoms(term) for i, term in enumerate(terms) if i != k)


def bare(equation: Equation) -> Iterator[int]:
    """The terms of an equation that are bare matrices: those of the left side from its end, then the others."""
    found = [k for k, term in enumerate(summands(equation)) if isinstance(split(term)[1], MatrixSymbol)]
    left = len(terms_of(equation.left))
    yield from (*reversed([k for k in found if k < left]), *(k for k in found if k >= left))


def eliminates(terms: Sequence[MatrixExpr], k: int, needs: Mapping[Expr, set[Expr]]) -> bool:
    """Whether no way leads from what comes in place of a bare matrix back to it."""
    block = split(terms[k])[1]
    waiting = {symbol for i, term in enumerate(terms) if i != k for symbol in atoms(term)}
    seen: set[Expr] = set()
    while waiting:
        symbol = waiting.pop()
        seen.add(symbol)
        waiting |= needs.get(symbol, set()) - seen
    return block not in seen and block not in needs


@lru_cache(maxsize=16384)
def weight(term: Expr) -> int:
    """How large a term is: the number of its matrices and operations."""
    return 1 + sum(weight(part) for part in children(term) if not is_scalar(part))


# ---------------------------------------------------------------- where a rule applies


def anything(term: Expr) -> bool:
    return True


def is_constant_product(term: Expr) -> bool:
    """Whether a term is a product of two matrices, one without any parameter, such as the centring of LayerNorm."""
    factors = pair(split(term)[1])
    return factors is not None and not all(map(atoms, factors))


NARROWED: Mapping[str, tuple[str, Callable[[Expr], bool]]] = {
    "distribute constants": ("distribute", is_constant_product)
}
"""A move that uses a rule only where a test says that it is worth it."""

NEEDS: Mapping[str, type[Expr]] = {
    "block product": Grid,
    "block sum": Grid,
    "block transpose": Grid,
    "nested blocks": Grid,
    "scalar into blocks": Grid,
    "elementwise on blocks": Act,
    "idempotent function": Act,
    "entrywise product of blocks": Hadamard,
    "rotation of blocks": Rope,
    "diagonal of blocks": Diag,
    "diagonals": Diag,
    "product of rows": Hadamard,
    "order of diagonals": Diag,
    "definition of the norm": Norm,
    "shift of a softmax": Softmax,
    "heads of blocks": HeadSum,
    "heads of a sum": HeadSum,
    "common factor of heads": HeadSum,
    "weights of the experts": HeadSum,
    "Kronecker product": Kron,
    "Kronecker factors": Kron,
    "ones apart": OneMatrix,
    "sum with zero": ZeroMatrix,
    "transpose of a product": Transpose,
    "transpose of a sum": Transpose,
}
"""The kind of term without which a rule applies nowhere: where there is none, nothing needs to be searched."""


@lru_cache(maxsize=16384)
def kinds(term: Expr) -> frozenset[type[Expr]]:
    """The kinds of terms in a term, as far as rules reach into it."""
    return frozenset({type(term), Expr}).union(*map(kinds, children(term)))


Known = dict[tuple[str, Rule, tuple[int, ...]], dict[Expr, tuple[Position, ...]]]
CONTEXTUAL = ("constraint", "lemma", "induction over layers")
INWARD = ("factor",)  # what is within may become a lemma's left side, which the whole would then no longer hold
MOST_KNOWN = 150_000
always: Known = {}  # where the rules apply that depend on no context


def everywhere(context: Context, term: Expr, move: str, argument: tuple[int, ...], here: Known) -> Step | None:
    """The step that uses a rule at every place where it applies; None where it applies nowhere."""
    rule, worth_it = NARROWED.get(move, (move, anything))
    needed = NEEDS.get(rule, Expr)
    if needed not in kinds(term):
        return None
    length, applied = run_length(context, move, argument), RULES[rule]
    wanted = symbols_wanted(context, rule, argument)
    known = (here if rule in CONTEXTUAL else always).setdefault((move, applied, argument), {})

    def fits(term: Expr) -> bool:
        hopeless = rule == "constraint" and atoms(term) != wanted
        return not hopeless and worth_it(term) and applied(context, term, argument) is not None

    def places(term: Expr) -> tuple[Position, ...]:
        found = known.get(term)
        if found is None:
            inside = tuple(below(term)) if rule in INWARD else ()
            found = known[term] = inside or (((),) if fits(term) else tuple(below(term)))
        return found

    def below(term: Expr) -> Iterator[Position]:
        """Below a term: the first run that fits (products grow from the left), else inside its parts."""
        parts = children(term)
        runs = range(len(parts) - length + 1) if length else ()
        first = next((i for i in runs if run_applies(term, parts[i : i + length])), None)
        if first is not None:
            yield ((first, first + length),)
        for i, part in enumerate(parts):
            outside = first is None or not first <= i < first + length
            if outside and part.is_Matrix and needed in kinds(part) and (not wanted or wanted <= atoms(part)):
                yield from ((i, *position) for position in places(part))

    def run_applies(term: Expr, run: Sequence[Expr]) -> bool:
        if not isinstance(term, (MatMul, MatAdd)) or len(run) < length or any(map(is_scalar, run)):
            return False
        if wanted and not wanted <= frozenset[Expr]().union(*map(atoms, run)):
            return False
        part = (product if isinstance(term, MatMul) else total)(*run)
        return isinstance(part, type(term)) and fits(part)

    positions = places(term)
    return Step(rule, in_order(positions), argument) if positions else None


def symbols_wanted(context: Context, rule: str, argument: tuple[int, ...]) -> frozenset[Expr]:
    """The matrices that a term must hold for a rule to apply: those of the left side, but for what stands for any."""
    if rule == "lemma":
        return atoms(context.lemmas[argument[0]].left) - {context.stream}
    if rule == "constraint":
        equation = oriented(context.equations[argument[0]], argument[1:])
        return frozenset() if equation is None else atoms(equation.left)
    return frozenset()


def in_order(positions: Sequence[Position]) -> tuple[Position, ...]:
    """Disjoint places from left to right."""
    return tuple(sorted(positions, key=lambda position: [i if isinstance(i, int) else i[0] for i in position]))


def run_length(context: Context, rule: str, argument: tuple[int, ...]) -> int:
    """How many neighbours of a product or sum a rule takes at a time; 0 for rules on whole terms."""
    if rule in ("block product", "Kronecker product", "sums of ones", "order of diagonals", *NARROWED):
        return 2
    if rule == "lemma":
        pattern = context.lemmas[argument[0]].left
    elif rule == "constraint":
        equation = oriented(context.equations[argument[0]], argument[1:])
        pattern = None if equation is None else equation.left
    else:
        return 0
    return len(pattern.args) if isinstance(pattern, (MatMul, MatAdd)) else 0
