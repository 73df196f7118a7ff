"""The kernel: the only code that makes theorems; with the rules of algebra in `rules` it is what has to be believed.

A theorem says that two terms are equal for all sizes, all parameters, all inputs and all new blocks
that meet the hypotheses.  It starts as `t = t` and changes its right side one rule at a time; the
rule computes the new sub-term itself, so a wrong step cannot be told to the kernel.  Two theorems
with the same right side meet.  The prover searches, and is not trusted; see TRUST.md.

Where the first-order number t (with t t = 0) occurs, the numbers are a + b t, functions are extended to them by
their slope, and a theorem says that both sides agree to first order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass
from functools import wraps

from sympy import S

from ..symbolic.grids import cut, heights, same_partition, widths
from ..symbolic.terms import (
    Diag,
    Expr,
    Hadamard,
    Identity,
    MatAdd,
    MatMul,
    MatrixExpr,
    MatrixSymbol,
    OneMatrix,
    Selection,
    Stack,
    atoms,
    block_rows,
    children,
    eye,
    families,
    free,
    is_scalar,
    ones,
    product,
    rebuild,
    same_shape,
    same_size,
    substitute,
    total,
    transposed,
    well_formed,
    zero,
)
from .rules import ALGEBRA, ends_with, pair, scaled, split, terms_of, transpose_word


class KernelError(Exception):
    """A step that no rule allows: names the rule, and says what the kernel saw."""


# ---------------------------------------------------------------- theorems


@dataclass(frozen=True)
class Equation:
    """left = right, of one shape: what a constraint asks of the new blocks."""

    left: MatrixExpr
    right: MatrixExpr


@dataclass(frozen=True)
class Step:
    """A rule, the disjoint places where it is used, and what selects the equation that it uses."""

    rule: str
    positions: tuple[Position, ...]
    argument: tuple[int, ...] = ()


Position = tuple["int | tuple[int, int]", ...]  # child indices; a last (i, j) is a run of factors or summands

_KEY = object()


class Theorem:
    """left = right under the hypotheses.  Only this file can make one."""

    __slots__ = ("hypotheses", "left", "right")
    hypotheses: tuple[Equation, ...]
    left: Expr
    right: Expr

    def __init__(self, hypotheses: tuple[Equation, ...], left: Expr, right: Expr, key: object = None) -> None:
        if key is not _KEY:
            raise KernelError("a theorem comes from the kernel's rules only")
        object.__setattr__(self, "hypotheses", hypotheses)
        object.__setattr__(self, "left", left)
        object.__setattr__(self, "right", right)

    def __setattr__(self, name: str, value: object) -> None:
        raise KernelError("a theorem does not change")


@dataclass(frozen=True)
class Context:
    """What a derivation may use: hypotheses, theorems under the same hypotheses, and the generic stream X.

    X stands for every matrix of its shape, in a lemma and in a hypothesis alike.  A theorem among the facts is used as
    a hypothesis is.
    """

    hypotheses: tuple[Equation, ...] = ()
    lemmas: tuple[Theorem, ...] = ()
    stream: MatrixSymbol | None = None
    facts: tuple[Theorem, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "hypotheses", tuple(self.hypotheses))
        object.__setattr__(self, "lemmas", genuine(self.lemmas))
        object.__setattr__(self, "facts", genuine(self.facts))
        if self.stream is not None and type(self.stream) is not MatrixSymbol:
            raise KernelError(f"{self.stream} cannot stand for every matrix of its shape")
        for hypothesis in self.hypotheses:
            sides = hypothesis.left, hypothesis.right
            if not (all(map(well_formed, sides)) and same_shape(*sides)):
                raise KernelError(f"the constructors did not make the equation {hypothesis}")
        if any(theorem.hypotheses != self.hypotheses for theorem in self.lemmas + self.facts):
            raise KernelError("a lemma was proved under other hypotheses")

    @property
    def equations(self) -> tuple[Equation, ...]:
        """The hypotheses and the facts."""
        return self.hypotheses + tuple(Equation(fact.left, fact.right) for fact in self.facts)


def genuine(theorems: Sequence[Theorem]) -> tuple[Theorem, ...]:
    """The theorems, if that is what they are."""
    if any(type(theorem) is not Theorem for theorem in theorems):
        raise KernelError("what is called a theorem is none")
    return tuple(theorems)


def derive(context: Context, start: Expr, steps: Sequence[Step]) -> Theorem:
    """start = what the steps make of it.  Raises KernelError at the first step that no rule allows."""
    if not well_formed(start):
        raise KernelError(f"the constructors did not make {start}")
    term = start
    for step in steps:
        term = apply(context, term, step)
    return Theorem(context.hypotheses, start, term, _KEY)


def meet(left: Theorem, right: Theorem) -> Theorem:
    """From a = c and b = c conclude a = b."""
    left, right = genuine((left, right))
    if left.hypotheses != right.hypotheses:
        raise KernelError("the two sides were derived under different hypotheses")
    if left.right != right.right:
        raise KernelError(f"the two sides do not meet: {left.right} and {right.right}")
    return Theorem(left.hypotheses, left.left, right.left, _KEY)


def restate(context: Context, index: int, left: Sequence[Step], right: Sequence[Step]) -> Theorem:
    """From the hypothesis L = R, and L = A and R = B, conclude A = B."""
    equation = context.hypotheses[index]
    A, B = derive(context, equation.left, left).right, derive(context, equation.right, right).right
    return Theorem(context.hypotheses, A, B, _KEY)


def by_blocks(theorem: Theorem) -> tuple[Theorem, ...]:
    """From [A B] = [C D] conclude A = C and B = D        for blocks of equal sizes; zeros are cut to fit"""
    (whole,) = genuine((theorem,))
    finer = max(map(block_rows, (whole.left, whole.right)), key=lambda grid: len(grid) * len(grid[0]))
    left, right = (cut(side, heights(finer), widths(finer)) for side in (whole.left, whole.right))
    if not same_partition(left, right):
        return (whole,)
    pairs = [pair for rows in zip(left, right, strict=True) for pair in zip(*rows, strict=True)]
    return tuple(Theorem(whole.hypotheses, A, C, _KEY) for A, C in pairs)


def apply(context: Context, term: Expr, step: Step) -> Expr:
    """The term after one step: the rule rewrites the sub-term at each position, and nothing else."""
    if step.rule not in RULES:
        raise KernelError(f"no rule is called {step.rule!r}")
    rule = RULES[step.rule]
    if len(step.argument) not in ARGUMENTS.get(step.rule, (0,)):
        raise KernelError(f"the rule {step.rule!r} does not take {step.argument}")

    def rewritten(subterm: Expr) -> Expr:
        try:
            result = rule(context, subterm, step.argument)
        except (TypeError, ValueError) as error:
            raise KernelError(f"the rule {step.rule!r} cannot be used with {step.argument}: {error}") from None
        if result is None:
            raise KernelError(f"the rule {step.rule!r} does not apply to {subterm}")
        if not same_shape(result, subterm):
            raise KernelError(f"the rule {step.rule!r} changed the shape of {subterm}")
        return result

    return replace(term, step.positions, rewritten)


def replace(term: Expr, positions: Sequence[Position], rewritten: Callable[[Expr], Expr]) -> Expr:
    """The term with the sub-terms at some disjoint positions rewritten."""
    if not positions:
        raise KernelError("a step without a position")
    if positions == ((),) or list(positions) == [()]:
        return rewritten(term)
    parts = list(children(term))
    runs = sorted((p[0] for p in positions if p and isinstance(p[0], tuple)), reverse=True)
    inner: dict[int, list[Position]] = {}
    for position in positions:
        if not position or (isinstance(position[0], tuple) and (len(position) > 1 or len(position[0]) != 2)):
            raise KernelError("positions overlap, or go on below a run")
        ends = position[0] if isinstance(position[0], tuple) else (position[0],)
        if not all(isinstance(i, int) for i in ends):
            raise KernelError(f"a position is a number or a run of two, not {position[0]!r}")
        if isinstance(position[0], int):
            inner.setdefault(position[0], []).append(position[1:])
    if any(not 0 <= i < j <= len(parts) for i, j in runs):
        raise KernelError("a run of factors or summands lies outside the term")
    taken = [i for run in runs for i in range(*run)] + list(inner)
    if len(set(taken)) != len(taken) or any(not 0 <= i < len(parts) for i in taken):
        raise KernelError("positions overlap or lie outside the term")
    for i, below in inner.items():
        parts[i] = replace(parts[i], below, rewritten)
    for i, j in runs:
        if not isinstance(term, (MatMul, MatAdd)) or any(is_scalar(part) for part in parts[i:j]):
            raise KernelError("a run of factors or summands lies in no product or sum")
        parts[i:j] = [rewritten((product if isinstance(term, MatMul) else total)(*parts[i:j]))]
    return rebuild(term, parts)


# ---------------------------------------------------------------- rules
# Each takes (context, term, argument) and returns the rewritten term, or None where it does not apply.

Rule = Callable[[Context, Expr, "tuple[int, ...]"], "Expr | None"]


def hypothesis(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """L  =  R        where L = R is a constraint or a fact, or its transpose, or solved for one of its terms"""
    index, *form = argument
    if not 0 <= index < len(context.equations):
        return None
    equation = oriented(context.equations[index], form)
    if equation is None:
        return None
    if term == equation.left:
        return equation.right
    if transposed(term) == equation.left or term == transpose_word(equation.left):
        return transposed(equation.right)
    return None


def oriented(equation: Equation, form: Sequence[int]) -> Equation | None:
    """A constraint as it stands, or solved for the term that the form names, or what follows from it."""
    if not form or tuple(form) not in FOLLOWS:
        return solved(equation, *form) if form else equation
    return FOLLOWS[tuple(form)](equation)


def turned(equation: Equation) -> Equation | None:
    """A B = a I  as  B A = a I        for square A and B, and a number a that is not zero"""
    factors, (a, one) = pair(equation.left), split(equation.right)
    if factors is None or not isinstance(one, Identity) or not a.is_nonzero:
        return None
    A, B = factors
    return Equation(product(B, A), equation.right) if same_size(A.rows, A.cols) and same_shape(A, B) else None


def permutation(equation: Equation) -> Selection | None:
    """S of S S' = I, for a square selection S: each of its rows and columns holds a single 1."""
    S, *_ = factors = pair(equation.left) or (equation.left,)
    found = isinstance(S, Selection) and factors == (S, transposed(S)) and isinstance(equation.right, Identity)
    return S if found and same_size(*S.shape) else None


def row_sums(equation: Equation) -> Equation | None:
    """S S' = I  as  S 1 = 1        for a permutation S"""
    S = permutation(equation)
    return None if S is None else Equation(product(S, ones(S.cols, 1)), ones(S.rows, 1))


def column_sums(equation: Equation) -> Equation | None:
    """S S' = I  as  1 S' = 1        for a permutation S"""
    S = permutation(equation)
    return None if S is None else Equation(product(ones(1, S.cols), transposed(S)), ones(1, S.rows))


def diagonal(equation: Equation) -> Equation | None:
    """a o b = c 1  as  diag(a) diag(b) = c I        for rows a and b, in the order of the alphabet"""
    left, (c, right) = equation.left, split(equation.right)
    if not isinstance(left, Hadamard) or not isinstance(right, OneMatrix) or right.rows != 1:
        return None
    return Equation(product(*sorted(map(Diag, children(left)), key=str)), scaled(c, eye(right.cols)))


TURNED, ROW_SUMS, COLUMN_SUMS, DIAGONAL = (-1,), (-2,), (-3,), (-4,)
FOLLOWS: Mapping[tuple[int, ...], Callable[[Equation], Equation | None]] = {
    TURNED: turned,
    ROW_SUMS: row_sums,
    COLUMN_SUMS: column_sums,
    DIAGONAL: diagonal,
}


def solved(equation: Equation, index: int) -> Equation | None:
    """a A + B = C  as  A = (1/a) C - (1/a) B        for any term of either side, a number a that is not zero"""
    terms = summands(equation)
    if not 0 <= index < len(terms) or not split(terms[index])[0].is_nonzero:
        return None
    a, A = split(terms[index])
    rest = [scaled(-1 / a, term) for i, term in enumerate(terms) if i != index]
    return Equation(A, total(*rest) if rest else zero(*A.shape))


def summands(equation: Equation) -> tuple[MatrixExpr, ...]:
    """The terms A, B, -C of A + B = C, that is A + B - C = 0."""
    return (*terms_of(equation.left), *(scaled(S.NegativeOne, term) for term in terms_of(equation.right)))


def lemma(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """L(T)  =  R(T)        where L(X) = R(X) is a theorem and T any matrix of the shape of X"""
    (index,) = argument
    if not 0 <= index < len(context.lemmas):
        return None
    theorem = context.lemmas[index]
    X = context.stream
    T = instance_of(theorem.left, term, X) if X is not None else None
    if X is None or T is None or is_scalar(T):
        return theorem.right if term == theorem.left else None
    captured = any(free(T, family) for family in families(theorem.left) | families(theorem.right))
    if captured or hides(theorem.left, X) or hides(theorem.right, X) or not same_shape(T, X):
        return None
    return substitute(theorem.right, {X: T}) if substitute(theorem.left, {X: T}) == term else None


def hides(term: Expr, X: MatrixSymbol) -> bool:
    """Whether X stands in a layer of a stack as something other than its stream, where no instance reaches it."""
    return any(X in atoms(layer) for node in term.atoms(Stack) if node.stream != X for layer in node.layers)


def instance_of(pattern: Expr, term: Expr, X: MatrixSymbol) -> MatrixExpr | None:
    """What X is in the term if the term is an instance of the pattern: a guess, checked by the caller."""
    if pattern == X:
        return term
    inner, found = children(pattern), children(term)
    if isinstance(pattern, MatMul) and isinstance(term, MatMul) and X in inner and len(found) >= len(inner):
        before, after = inner.index(X), len(inner) - inner.index(X) - 1
        return product(*found[before : len(found) - after])
    if type(pattern) is not type(term) or len(inner) != len(found):
        return None
    guesses = (instance_of(p, t, X) for p, t in zip(inner, found, strict=True))
    return next((guess for guess in guesses if guess is not None), None)


def induction(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
    """Layers[G | H](Y C)  =  Layers[F | K](Y) C        by lemmas G(X C) = F(X) C, and H(X C) = K(X) C or X C

    C is the stream map, the same for all layers (nothing where the stream stays as it is).  An inserted layer H
    becomes K in its place, or goes where it is the identity.
    """
    X = context.stream
    if not isinstance(term, Stack) or X is None or X in atoms(term.arg):
        return None
    if any(layer.has(Stack) or (term.stream != X and X in atoms(layer)) for layer in term.layers):
        return None
    for C in stream_maps(term.arg):
        captured = any(free(part, family) for part in C for family in families(term))
        if captured or any({X, term.stream} & atoms(part) or not same_size(part.rows, X.cols) for part in C):
            continue
        XC = product(X, *C)
        if not same_size(XC.cols, term.stream.cols):
            continue
        sides = [proved_for(context, substitute(G, {term.stream: XC})) for G in term.layers]
        Y, F, *K = (None if side is None else ends_with(side, C) for side in (term.arg, *sides))
        if Y is None or F is None or None in K or any(free(layer, term.family) for layer in K):
            continue
        return product(Stack(Y, X, F, term.family, [layer for layer in K if layer != X]), *C)
    return None


def proved_for(context: Context, left: Expr) -> Expr | None:
    """The right side of the lemma with this left side."""
    return next((lemma.right for lemma in context.lemmas if lemma.left == left), None)


def stream_maps(start: Expr) -> list[tuple[MatrixExpr, ...]]:
    """What the stream map of a start can be: nothing, the last factor, or that times the number in front."""
    if not isinstance(start, MatMul):
        return [()]
    c, last = split(start)[0], start.args[-1]
    return [(), (last,), *([(scaled(c, last),)] if c.is_nonzero and c != 1 else [])]


def plain(rule: Callable[[Expr], Expr | None]) -> Rule:
    """A rule of algebra, which needs no context."""

    @wraps(rule)
    def applied(context: Context, term: Expr, argument: tuple[int, ...]) -> Expr | None:
        return rule(term)

    return applied


RULES: Mapping[str, Rule] = {
    **{name: plain(rule) for name, rule in ALGEBRA.items()},
    "constraint": hypothesis,
    "lemma": lemma,
    "induction over layers": induction,
}
ARGUMENTS = {"lemma": (1,), "constraint": (1, 2)}  # how many numbers select what a rule uses; else none


# ---------------------------------------------------------------- composition


@dataclass(frozen=True)
class Composition:
    """Growing a model by the first theorem, what comes out by the second, and so on, changes no output."""

    theorems: tuple[Theorem, ...]
    key: InitVar[object]

    def __post_init__(self, key: object) -> None:
        if key is not _KEY:
            raise KernelError("a composition comes from the kernel only")


def compose(theorems: Sequence[Theorem]) -> Composition:
    """From theorems `grown model = model`, each for every model of one architecture, their composition.

    Each right side is the same generic model, in which every parameter and size is a symbol; a grown model
    is an instance of it, so the next theorem speaks of it too, and the equations chain.
    """
    if not theorems or any(theorem.right != theorems[0].right for theorem in theorems):
        raise KernelError("the theorems are not about one generic model")
    return Composition(genuine(theorems), _KEY)
