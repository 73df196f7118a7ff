"""Every rule passes the validation, and every rule broken on purpose fails it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Integer, sqrt

from growproof.proofs import kernel, rules, validation
from growproof.proofs.kernel import RULES, Context, Equation, KernelError
from growproof.proofs.rules import pair, split
from growproof.proofs.samples import SAMPLES
from growproof.proofs.validation import Use, Validation, by_z3, on_numbers, on_random_terms, on_samples, used, validate
from growproof.symbolic.evaluate import Values, evaluate
from growproof.symbolic.terms import (
    Act,
    BlockMatrix,
    Diag,
    Frequencies,
    Hadamard,
    HeadSum,
    Identity,
    Kron,
    MatAdd,
    MatMul,
    Member,
    Norm,
    OneMatrix,
    Rope,
    RowScale,
    Selection,
    Softmax,
    Stack,
    Transpose,
    ZeroMatrix,
    atoms,
    block_rows,
    blocks,
    children,
    eye,
    free,
    is_scalar,
    is_selection,
    matrix,
    ones,
    path_of,
    product,
    rebuild,
    size,
    substitute,
    total,
    transposed,
    zero,
)

# --- the rules as they are ---


@pytest.fixture(scope="module")
def validations() -> dict[str, Validation]:
    return {found.rule: found for found in validate()}


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_changes_no_value(rule: str, validations: dict[str, Validation]) -> None:
    found = validations[rule]
    assert found.failures == ()
    assert found.holds
    assert found.numbers >= 3 * 3


TOO_HARD_FOR_Z3 = {"lemma": 1, "induction over layers": 4}  # at most so many samples


@pytest.mark.parametrize("rule", RULES)
def test_z3_agrees_at_small_sizes(rule: str, validations: dict[str, Validation]) -> None:
    found = validations[rule]
    assert found.unknown <= TOO_HARD_FOR_Z3.get(rule, 0)
    assert found.solved >= 3 or rule == "first order"  # z3 has no first-order number


def test_every_sample_has_values_and_every_trap_is_left_alone_or_keeps_its_value() -> None:
    for sample in SAMPLES:
        use = used(sample)
        assert use is not None or sample.trap, sample
        if use is not None:
            assert on_numbers(use, "numbers", np.random.default_rng(1)).outcome == "equal"


def test_random_terms_reach_every_rule(validations: dict[str, Validation]) -> None:
    assert [rule for rule, found in validations.items() if not found.random] == []


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_no_use_of_a_rule_changes_the_value_of_a_random_term(seed: int) -> None:
    assert [seen for seen in on_random_terms(RULES, seed, 2) if seen.outcome == "wrong"] == []


def test_the_same_seed_gives_the_same_validation() -> None:
    assert validate(["like terms", "lemma"], seed=7, terms=40) == validate(["like terms", "lemma"], seed=7, terms=40)


def test_half_a_pair_is_not_cut_off() -> None:
    """[0 b] turned by one frequency 1 is [-b sin i  b cos i] in row i; in halves, its first column would be 0."""
    n, p = size("n"), size("p")
    b = matrix("b", 2, p)
    turned = Rope(blocks([[zero(2, n), b]]), Frequencies(n, n + p))
    first = product(turned, blocks([[eye(n)], [zero(p, n)]]))
    values = Values({"n": Integer(1), "p": Integer(1)}, {"b": np.array([[3], [5]], dtype=complex)})
    assert evaluate(first, values, validation.NUMBERS) == pytest.approx(np.array([[0], [-5 * np.sin(1)]]))
    assert RULES[ROPE](Context(), turned, ()) is None
    whole = Rope(blocks([[zero(2, 2 * n), matrix("c", 2, p)]]), Frequencies(n, 2 * n + p))
    assert RULES[ROPE](Context(), whole, ()) is not None


def test_frequencies_fall_by_the_square_of_their_ratio_from_pair_to_pair() -> None:
    """8 columns with ratio 2 have 1, 1/4, 1/16, 1/64; after the first 4 columns come 1/16 and 1/64."""
    first, second = rules.cut_table(Frequencies(2, 8), Integer(2)) or ()
    found = [evaluate(part, Values(), validation.NUMBERS).real.tolist() for part in (first, second)]
    assert found == [[[1, 1 / 4]], [[1 / 16, 1 / 64]]]


def test_a_matrix_in_place_of_a_ratio_is_refused() -> None:
    """Each head's own ratio would hide in the frequencies, where no rule looks for what differs."""
    own = matrix("w", 1, 1, ("heads",))
    for last in (Frequencies(own, 2), Frequencies(own[0, 0], 2)):
        with pytest.raises(KernelError, match="constructors"):
            kernel.derive(Context(), HeadSum(product(own, last), "heads"), [])


# --- what the validation itself must refuse ---


def test_a_rule_without_a_sample_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "new rule", lambda context, term, argument: None)
    (found,) = validate(["new rule"], terms=0)
    assert found.failures == ("the rule has no sample",)


def test_a_rule_that_no_longer_applies_to_its_samples_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "like terms", lambda context, term, argument: None)
    assert failures("like terms")


def test_a_rule_that_always_runs_into_an_error_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "like terms", lambda context, term, argument: term.args[99])
    assert failures("like terms")


def test_values_that_do_not_meet_the_hypotheses_are_no_evidence() -> None:
    (use,) = [use for sample in SAMPLES if sample.rule == "constraint" and (use := used(sample))][:1]
    unmet = Use(use.rule, use.before, use.before, use.context, met=())
    seen = on_numbers(unmet, "numbers", np.random.default_rng(0))
    assert (seen.outcome, "do not meet" in seen.detail) == ("wrong", True)


def test_an_answer_that_z3_does_not_give_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation.solver, "ask", lambda query, work: validation.solver.Answer(query, "unknown"))
    (found,) = validate(["distribute"], terms=0)
    assert (found.solved, found.unknown) == (0, len([s for s in SAMPLES if s.rule == "distribute" and not s.trap]))


def test_what_has_no_value_on_any_sample_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "NUMBERS", validation.replace(validation.NUMBERS, inverse_root=lambda x: x / 0))
    assert failures("rescale the norm")


def failures(rule: str) -> list[str]:
    found = validation.summary(rule, list(on_samples(rule, 0, 3)))
    assert found.rule == rule
    return list(found.failures)


# --- every rule, broken ---


@dataclass(frozen=True)
class Break:
    """A rule and what is wrong with it: another function in its place, or something that it uses changed."""

    rule: str
    claim: str
    attribute: str  # of the file that the rule is in; empty for the rule itself
    value: Any

    def apply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        if self.attribute:
            monkeypatch.setattr(sys.modules[RIGHT[self.rule].__module__], self.attribute, self.value)
        else:
            monkeypatch.setitem(RULES, self.rule, self.value)


BREAKS: list[Break] = []


def broken(rule: str, attribute: str = "") -> Callable[[Any], Any]:
    """Registers the function below as a wrong version of a rule, named after what is wrong with it."""

    def register(function: Any) -> Any:
        BREAKS.append(Break(rule, function.__name__.replace("_", " "), attribute, function))
        return function

    return register


def set_to(rule: str, attribute: str, value: Any, claim: str) -> None:
    BREAKS.append(Break(rule, claim, attribute, value))


# definition of the norm


@broken("definition of the norm")
def drops_epsilon(context: Any, term: Any, argument: Any) -> Any:
    if isinstance(term, Norm):
        return product(RowScale(gram(term.arg), term.arg.cols, 0), term.arg, Diag(term.gain))
    return None


@broken("definition of the norm")
def divides_by_the_number_of_rows(context: Any, term: Any, argument: Any) -> Any:
    if isinstance(term, Norm):
        return product(RowScale(gram(term.arg), term.arg.rows, term.eps), term.arg, Diag(term.gain))
    return None


@broken("definition of the norm")
def forgets_the_gain(context: Any, term: Any, argument: Any) -> Any:
    return product(RowScale(gram(term.arg), term.arg.cols, term.eps), term.arg) if isinstance(term, Norm) else None


def gram(X: Any) -> Any:
    return product(X, transposed(X))


# constraint

SOLVED, TURNED_ROUND = kernel.solved, kernel.turned


@broken("constraint", "solved")
def solved_with_the_wrong_sign(equation: Equation, index: int) -> Any:
    found = SOLVED(equation, index)
    return None if found is None else Equation(found.left, product(-1, found.right))


@broken("constraint", "solved")
def solved_without_dividing_by_the_coefficient(equation: Equation, index: int) -> Any:
    terms = kernel.summands(equation)
    rest = [product(-1, term) for i, term in enumerate(terms) if i != index]
    A = split(terms[index])[1]
    return Equation(A, total(zero(*A.shape), *rest))


@broken("constraint", "solved")
def solved_divides_by_what_may_be_zero(equation: Equation, index: int) -> Any:
    terms = kernel.summands(equation)
    a, A = split(terms[index])
    rest = [product(-1 / a, term) for i, term in enumerate(terms) if i != index]
    return Equation(A, total(zero(*A.shape), *rest))


@broken("constraint", "solved")
def solved_forgets_the_other_terms(equation: Equation, index: int) -> Any:
    a, A = split(kernel.summands(equation)[index])
    return Equation(A, product(1 / a, equation.right)) if a.is_nonzero else None


@broken("constraint", "summands")
def terms_of_the_right_side_keep_their_sign(equation: Equation) -> Any:
    return (*kernel.terms_of(equation.left), *kernel.terms_of(equation.right))


@broken("constraint", "summands")
def the_right_side_is_forgotten(equation: Equation) -> Any:
    return kernel.terms_of(equation.left)


@broken("constraint", "permutation")
def every_orthogonal_matrix_is_a_permutation(equation: Equation) -> Any:
    S, *_ = factors = pair(equation.left) or (equation.left,)
    return S if factors == (S, transposed(S)) else None


def turning(function: Any) -> Any:
    """Registers a wrong way to read a constraint from the other side."""
    set_to("constraint", "FOLLOWS", {**kernel.FOLLOWS, kernel.TURNED: function}, function.__name__.replace("_", " "))
    return function


@turning
def matrices_that_are_not_square_commute_in_the_identity_too(equation: Equation) -> Any:
    factors = pair(equation.left)
    if factors is None or not isinstance(split(equation.right)[1], Identity):
        return None
    A, B = factors
    return Equation(product(B, A), product(split(equation.right)[0], eye(B.rows)))


@turning
def zero_divisors_commute_too(equation: Equation) -> Any:
    found = pair(equation.left)
    square = found is not None and found[0].rows == found[0].cols and isinstance(equation.right, ZeroMatrix)
    return Equation(product(found[1], found[0]), equation.right) if square else TURNED_ROUND(equation)


@turning
def the_number_before_the_identity_is_lost(equation: Equation) -> Any:
    found = TURNED_ROUND(equation)
    return None if found is None else Equation(found.left, eye(found.left.rows))


def diagonal_way(function: Any) -> Any:
    """Registers a wrong way to read a constraint on rows as one on diagonal matrices."""
    set_to("constraint", "FOLLOWS", {**kernel.FOLLOWS, kernel.DIAGONAL: function}, function.__name__.replace("_", " "))
    return function


@diagonal_way
def the_number_of_a_constraint_on_rows_is_lost(equation: Equation) -> Any:
    found = kernel.diagonal(equation)
    return None if found is None else Equation(found.left, split(found.right)[1])


@diagonal_way
def one_row_alone_is_a_row_of_ones(equation: Equation) -> Any:
    found = kernel.diagonal(equation)
    return None if found is None else Equation(found.left.args[0], found.right)


@broken("constraint")
def a_sum_over_heads_counts_as_one_head(context: Context, term: Any, argument: Any) -> Any:
    found = RIGHT["constraint"](context, term, argument)
    return RIGHT["constraint"](context, term.arg, argument) if found is None and isinstance(term, HeadSum) else found


@broken("constraint")
def the_right_side_is_summed_over_its_family(context: Context, term: Any, argument: Any) -> Any:
    found = RIGHT["constraint"](context, term, argument)
    return HeadSum(found, "heads") if found is not None and free(found, "heads") else found


@broken("constraint")
def a_transposed_reading_gives_the_right_side_untransposed(context: Context, term: Any, argument: Any) -> Any:
    found = read(context, argument)
    if found is not None and (term == found.left or transposed(term) == found.left):
        return found.right
    return None


@broken("constraint", "transpose_word")
def a_word_is_transposed_without_turning_it_around(term: Any) -> Any:
    return product(*(transposed(part) for part in term.args)) if isinstance(term, MatMul) else transposed(term)


@broken("constraint")
def whatever_has_the_shape_is_rewritten(context: Context, term: Any, argument: Any) -> Any:
    found = read(context, argument)
    return found.right if found is not None and term.shape == found.right.shape else None


def read(context: Context, argument: Any) -> Any:
    index, *form = argument
    return SOLVED(context.hypotheses[index], *form) if form else context.hypotheses[index]


# block product


def by_blocks(entry: Callable[[Any, Any], Any]) -> Any:
    """A block product whose entries are made from a row and a column of blocks."""

    def rule(context: Any, term: Any, argument: Any) -> Any:
        if not isinstance(term, MatMul) or len(term.args) != 2 or is_scalar(term.args[0]):
            return None
        left, right = block_rows(term.args[0]), block_rows(term.args[1])
        if len(left[0]) != len(right) or len(left) == len(right) == len(right[0]) == 1:
            return None
        return blocks([[entry(row, column) for column in zip(*right, strict=True)] for row in left])

    return rule


set_to("block product", "", by_blocks(lambda row, column: total(*map(product, row[:-1], column[:-1]))), "drops a block")
set_to("block product", "", by_blocks(lambda row, column: total(*map(product, row, column[::-1]))), "swaps two blocks")
set_to("block product", "", by_blocks(lambda row, column: total(*map(product, column, row))), "multiplies backwards")
set_to("block product", "", by_blocks(lambda row, column: product(row[0], column[0])), "takes the first blocks only")


CUT, CUT_LIKE = rules.cut, rules.cut_like


@broken("block product", "cut")
def ones_are_cut_into_identities(block: Any, heights: Any, widths: Any) -> Any:
    if not isinstance(block, OneMatrix):
        return CUT(block, heights, widths)
    return [[eye(h) if h == w else ones(h, w) for w in widths] for h in heights]


@broken("block product", "cut")
def only_the_first_of_the_ones_are_kept(block: Any, heights: Any, widths: Any) -> Any:
    if not isinstance(block, OneMatrix):
        return CUT(block, heights, widths)
    return [[zero(h, w) if i + j else ones(h, w) for j, w in enumerate(widths)] for i, h in enumerate(heights)]


@broken("block product", "cut")
def ones_count_once_for_every_part(block: Any, heights: Any, widths: Any) -> Any:
    scalar = 1 / sqrt(len(heights) * len(widths)) if isinstance(block, OneMatrix) else 1
    return [[product(scalar, part) for part in row] for row in CUT(block, heights, widths)]


# scalar into blocks


@broken("scalar into blocks")
def the_scalar_reaches_the_first_block_only(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, MatMul) or not isinstance(split(term)[1], BlockMatrix):
        return None
    a, grid = split(term)
    return rebuild(grid, [product(a, block) if i == 0 else block for i, block in enumerate(children(grid))])


@broken("scalar into blocks")
def one_scalar_of_several_is_lost(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, MatMul) or not isinstance(term.args[-1], BlockMatrix):
        return None
    return rebuild(term.args[-1], [product(term.args[0], block) for block in children(term.args[-1])])


# block sum


def summed(pick: Callable[[list[Any]], Any]) -> Any:
    """A block sum whose terms are chosen among the summands."""

    def rule(context: Any, term: Any, argument: Any) -> Any:
        if not isinstance(term, MatAdd) or not all(isinstance(part, BlockMatrix) for part in term.args):
            return None
        cells = [children(part) for part in term.args]
        return rebuild(term.args[0], pick(cells))

    return rule


set_to("block sum", "", summed(lambda cells: list(map(total, cells[0], cells[1]))), "adds the first two summands only")
set_to("block sum", "", summed(lambda cells: list(map(total, cells[0], cells[1][::-1]))), "adds the blocks backwards")
set_to("block sum", "", summed(lambda cells: cells[0]), "takes the first summand")


def cut_with(piece: Callable[[tuple[Any, ...], Any, int], Any]) -> Any:
    """A sum's summand a A 1 cut into pieces that are made of a and A, the ones of a column, and its number."""

    def cut_like(term: Any, grid: Any) -> Any:
        *before, last = term.args if isinstance(term, MatMul) else (term,)
        if not isinstance(last, OneMatrix):
            return CUT_LIKE(term, grid)
        return [[piece(tuple(before), ones(last.rows, block.cols), i) for i, block in enumerate(grid[0])]]

    return cut_like


def without_scalar(before: tuple[Any, ...], part: Any, i: int) -> Any:
    return product(*(factor for factor in before if not is_scalar(factor)), part)


def only_first(before: tuple[Any, ...], part: Any, i: int) -> Any:
    return zero(*product(*before, part).shape) if i else product(*before, part)


def without_matrices(before: tuple[Any, ...], part: Any, i: int) -> Any:
    found = product(*(factor for factor in before if is_scalar(factor)), part)
    return found if found.shape == product(*before, part).shape else product(*before, part)


set_to("block sum", "cut_like", cut_with(without_scalar), "the scalar before ones is lost")
set_to("block sum", "cut_like", cut_with(only_first), "the ones reach the first block only")
set_to("block sum", "cut_like", cut_with(without_matrices), "the matrix before ones is lost")


# block transpose


@broken("block transpose")
def the_blocks_stay_where_they_are(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Transpose) or not isinstance(term.arg, BlockMatrix):
        return None
    return rebuild(term.arg, [transposed(block) for block in children(term.arg)])


@broken("block transpose")
def the_blocks_are_moved_and_not_transposed(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Transpose) or not isinstance(term.arg, BlockMatrix):
        return None
    return blocks([list(column) for column in zip(*block_rows(term.arg), strict=True)])


# elementwise on blocks


@broken("elementwise on blocks")
def zero_blocks_stay_zero_for_every_function(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Act) or not isinstance(term.arg, BlockMatrix):
        return None
    acted = (block if isinstance(block, ZeroMatrix) else Act(block, term.name) for block in children(term.arg))
    return rebuild(term.arg, list(acted))


@broken("elementwise on blocks")
def a_softmax_enters_blocks(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, (Act, Softmax)) or not isinstance(term.arg, BlockMatrix):
        return None
    return rebuild(term.arg, [rebuild(term, [block]) for block in children(term.arg)])


@broken("elementwise on blocks")
def every_function_is_relu(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Act) or not isinstance(term.arg, BlockMatrix):
        return None
    return rebuild(term.arg, [Act(block, "relu") for block in children(term.arg)])


@broken("elementwise on blocks")
def a_causal_softmax_enters_rows_of_blocks(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Softmax) or term.mask != "causal" or len(block_rows(term.arg)) == 1:
        return RIGHT["elementwise on blocks"](context, term, argument)
    return rebuild(term.arg, [Softmax(block, term.mask) for block in children(term.arg)])


# entrywise product of blocks


def entrywise(cell: Callable[[Any, Any], Any], order: Callable[[list[Any]], list[Any]] = list) -> Any:
    """An entrywise product of blocks whose cells are made otherwise, or paired in another order."""

    def rule(context: Any, term: Any, argument: Any) -> Any:
        if not isinstance(term, Hadamard) or not all(isinstance(part, BlockMatrix) for part in children(term)):
            return None
        left, right = map(children, children(term))
        return rebuild(term.args[0], list(map(cell, left, order(list(right)))))

    return rule


HADAMARD = "entrywise product of blocks"
set_to(HADAMARD, "", entrywise(product), "squares are multiplied as matrices")
set_to(HADAMARD, "", entrywise(total), "the blocks are added")
set_to(HADAMARD, "", entrywise(lambda left, right: left), "the second matrix is lost")
set_to(HADAMARD, "", entrywise(Hadamard, lambda cells: cells[::-1]), "the second blocks are turned around")


@broken(HADAMARD)
def blocks_are_paired_by_their_size(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Hadamard) or not all(isinstance(part, BlockMatrix) for part in children(term)):
        return None
    left, right = map(children, children(term))
    fitting = [next((b for b in right if b.shape == a.shape), None) for a in left]
    return None if None in fitting else rebuild(term.args[0], list(map(Hadamard, left, fitting)))


@broken(HADAMARD)
def nested_blocks_are_paired_across(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Hadamard):
        return None
    left, right = ([b for part in children(one) for b in children(part)] for one in children(term))
    if len(left) != 4 or len(right) != 4:
        return RIGHT[HADAMARD](context, term, argument)
    return rebuild(term.args[0], [blocks([list(map(Hadamard, left[i : i + 2], right[i : i + 2]))]) for i in (0, 2)])


# rotation of blocks

ROPE, ROTATED, TABLES = "rotation of blocks", RULES["rotation of blocks"], rules.cut_table


def geometric(power: Callable[[Any, Any], Any], start: Callable[[Any], Any] = lambda a: a) -> Any:
    """A geometric sequence that goes on with another factor, and begins with another."""

    def cut_table(table: Any, pairs: Any) -> Any:
        a, row = split(table)
        if not isinstance(row, Frequencies) or not pairs.is_integer:
            return TABLES(table, pairs)
        m = 2 * pairs
        first = product(start(a), Frequencies(row.rho, m))
        return first, product(a * power(row.rho, m), Frequencies(row.rho, row.n - m))

    return cut_table


set_to(ROPE, "cut_table", geometric(lambda rho, m: rho**m), "the frequencies rise")
set_to(ROPE, "cut_table", geometric(lambda rho, m: rho ** (-m / 2)), "one power of rho for a pair")
set_to(ROPE, "cut_table", geometric(lambda rho, m: rho ** (2 - m)), "the powers are one pair behind")
set_to(ROPE, "cut_table", geometric(lambda rho, m: 1), "the frequencies start anew in each block")
set_to(ROPE, "cut_table", geometric(lambda rho, m: rho**-m, lambda a: 1), "the factor of the frequencies is lost")


@broken(ROPE, "cut_table")
def the_two_tables_are_swapped(table: Any, pairs: Any) -> Any:
    found = TABLES(table, pairs)
    return found and found[::-1]


@broken(ROPE, "cut_table")
def both_blocks_have_the_first_table(table: Any, pairs: Any) -> Any:
    found = TABLES(table, pairs)
    return found and (found[0], found[0] if same(found) else found[1])


@broken(ROPE, "cut_table")
def the_factor_of_a_table_of_blocks_is_lost(table: Any, pairs: Any) -> Any:
    return TABLES(split(table)[1], pairs)


@broken(ROPE, "cut_table")
def half_a_pair_may_be_cut_off(table: Any, pairs: Any) -> Any:
    row, m = split(table)[1], 2 * pairs
    if not isinstance(row, Frequencies):
        return TABLES(table, pairs)
    return Frequencies(row.rho, m), product(row.rho**-m, Frequencies(row.rho, row.n - m))


def same(pair: Any) -> bool:
    return pair[0].shape == pair[1].shape


@broken(ROPE)
def the_pairs_may_be_halves_apart(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Rope):
        return None
    found = ROTATED(context, Rope(term.arg, term.table), argument)
    turned = [
        part if not isinstance(part, Rope) else Rope(*part.args[:2], term.layout) for part in children(found or 0)
    ]
    return None if found is None else blocks([turned])


@broken(ROPE)
def the_pairs_turn_the_other_way(context: Any, term: Any, argument: Any) -> Any:
    found = ROTATED(context, term, argument)
    if found is None or isinstance(children(found)[1], Rope):
        return found
    first, *others = children(found)
    return blocks([[Rope(first.arg, product(-1, first.table)), *others]])


@broken(ROPE)
def what_is_beyond_the_table_is_turned_too(context: Any, term: Any, argument: Any) -> Any:
    found = ROTATED(context, term, argument)
    if found is None or isinstance(children(found)[1], Rope):
        return found
    first, second, *others = children(found)
    fits = second.cols == 2 * first.table.cols
    return blocks([[first, Rope(second, first.table) if fits else second, *others]])


@broken(ROPE)
def nothing_is_turned_where_something_is_beyond_the_table(context: Any, term: Any, argument: Any) -> Any:
    found = ROTATED(context, term, argument)
    return found if found is None or isinstance(children(found)[1], Rope) else term.arg


@broken(ROPE)
def each_row_of_blocks_starts_anew(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Rope) or term.layout != "interleaved" or len(block_rows(term.arg)) == 1:
        return ROTATED(context, term, argument)
    if len(block_rows(term.arg)[0]) > 1:
        return None
    return blocks([[Rope(block, term.table)] for block in children(term.arg)])


@broken(ROPE, "same_size")
def a_table_need_not_fit_the_columns(left: Any, right: Any) -> bool:
    return True


# diagonal of blocks


def diagonal(gains: Callable[[list[Any]], list[Any]]) -> Any:
    def rule(context: Any, term: Any, argument: Any) -> Any:
        if not isinstance(term, Diag) or not isinstance(term.arg, BlockMatrix):
            return None
        row = gains(list(children(term.arg)))
        cells = [[Diag(a) if i == j else zero(a.cols, b.cols) for j, b in enumerate(row)] for i, a in enumerate(row)]
        return blocks(cells)

    return rule


set_to("diagonal of blocks", "", diagonal(lambda row: row[::-1]), "the gains are turned around")
set_to("diagonal of blocks", "", diagonal(lambda row: [split(gain)[1] for gain in row]), "the gains lose their scalars")
set_to("diagonal of blocks", "", diagonal(lambda row: [row[0], *row[:-1]]), "the first gain comes twice")


# nested blocks

NESTED = RULES["nested blocks"]


@broken("nested blocks")
def nested_blocks_are_turned_around(context: Any, term: Any, argument: Any) -> Any:
    found = NESTED(context, term, argument)
    return None if found is None else blocks([row[::-1] for row in block_rows(found)])


@broken("nested blocks", "cut")
def a_zero_block_is_cut_into_identities(block: Any, heights: Any, widths: Any) -> Any:
    if isinstance(block, ZeroMatrix):
        return [[eye(h) if h == w else zero(h, w) for w in widths] for h in heights]
    return block_rows(block)


@broken("nested blocks", "cut")
def a_block_of_ones_is_cut_into_zeros(block: Any, heights: Any, widths: Any) -> Any:
    if isinstance(block, OneMatrix):
        return [[zero(h, w) if i + j else ones(h, w) for j, w in enumerate(widths)] for i, h in enumerate(heights)]
    return CUT(block, heights, widths)


@broken("nested blocks")
def columns_of_blocks_become_rows(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, BlockMatrix) or len(block_rows(term)) > 1:
        return NESTED(context, term, argument)
    columns = [children(block) for block in children(term)]
    return blocks(columns) if all(map(len, columns)) and columns[0][0].cols == term.args[0][0].cols else None


# product with zero, sum with zero, zeros


@broken("product with zero")
def a_product_is_zero_if_a_block_of_a_factor_is(context: Any, term: Any, argument: Any) -> Any:
    parts = [inner for part in term.args for inner in (part, *children(part))] if isinstance(term, MatMul) else ()
    return zero(*term.shape) if any(isinstance(part, ZeroMatrix) for part in parts) else None


@broken("product with zero")
def a_zero_factor_is_left_out(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, MatMul) or not any(isinstance(part, ZeroMatrix) for part in term.args):
        return None
    return product(*(part for part in term.args if not isinstance(part, ZeroMatrix)))


@broken("product with zero")
def an_entrywise_product_with_a_block_of_zeros_is_zero(context: Any, term: Any, argument: Any) -> Any:
    parts = [inner for part in children(term) for inner in children(part)] if isinstance(term, Hadamard) else ()
    found = any(isinstance(part, ZeroMatrix) for part in parts)
    return zero(*term.shape) if found else RIGHT["product with zero"](context, term, argument)


@broken("product with zero")
def frequencies_of_zero_make_everything_zero(context: Any, term: Any, argument: Any) -> Any:
    found = isinstance(term, Rope) and isinstance(term.table, ZeroMatrix)
    return zero(*term.shape) if found else RIGHT["product with zero"](context, term, argument)


@broken("sum with zero")
def a_sum_with_zero_is_zero(context: Any, term: Any, argument: Any) -> Any:
    found = isinstance(term, MatAdd) and any(isinstance(part, ZeroMatrix) for part in term.args)
    return zero(*term.shape) if found else None


@broken("sum with zero")
def ones_are_left_out_too(context: Any, term: Any, argument: Any) -> Any:
    kept = [part for part in term.args if not isinstance(part, (ZeroMatrix, OneMatrix))]
    return total(*kept) if isinstance(term, MatAdd) and 0 < len(kept) < len(term.args) else None


@broken("sum with zero")
def everything_after_a_zero_is_left_out(context: Any, term: Any, argument: Any) -> Any:
    found = isinstance(term, MatAdd) and any(isinstance(part, ZeroMatrix) for part in term.args)
    return term.args[0] if found else None


set_to("zeros", "FIXES_ZERO", rules.FIXES_ZERO | {"sigmoid"}, "the sigmoid of zero is zero")
set_to("zeros", "FIXES_ZERO", rules.FIXES_ZERO | {"cos"}, "the cosine of zero is zero")


@broken("zeros")
def one_zero_block_is_enough(context: Any, term: Any, argument: Any) -> Any:
    known = isinstance(term, (Transpose, BlockMatrix, Diag, HeadSum)) or getattr(term, "name", "") in rules.FIXES_ZERO
    return zero(*term.shape) if known and any(isinstance(part, ZeroMatrix) for part in children(term)) else None


@broken("zeros")
def every_function_of_zero_is_zero(context: Any, term: Any, argument: Any) -> Any:
    return zero(*term.shape) if children(term) and all(isinstance(p, ZeroMatrix) for p in children(term)) else None


# identity, scalars, scalar out


@broken("identity")
def a_product_with_the_identity_is_the_identity(context: Any, term: Any, argument: Any) -> Any:
    if isinstance(term, Transpose) and isinstance(term.arg, Identity):
        return term.arg
    return next((part for part in term.args if isinstance(part, Identity)), None) if isinstance(term, MatMul) else None


@broken("identity")
def a_matrix_of_ones_is_neutral(context: Any, term: Any, argument: Any) -> Any:
    kept = [part for part in term.args if not isinstance(part, (Identity, OneMatrix))]
    return product(*kept) if isinstance(term, MatMul) and 0 < len(kept) < len(term.args) else None


@broken("identity")
def scalars_before_an_identity_are_lost(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, MatMul) or not any(isinstance(part, Identity) for part in term.args):
        return None
    kept = [part for part in term.args if not isinstance(part, Identity) and not is_scalar(part)]
    return product(*kept) if kept else eye(term.rows)


@broken("identity")
def every_transpose_of_a_square_is_itself(context: Any, term: Any, argument: Any) -> Any:
    return term.arg if isinstance(term, Transpose) and term.rows == term.cols else None


def square_ones_too(term: Any) -> bool:
    return isinstance(term, Identity) or (isinstance(term, OneMatrix) and term.rows == term.cols)


set_to("identity", "is_identity", square_ones_too, "a square of ones is neutral")


@broken("product with zero")
def a_kronecker_product_with_a_block_of_zeros_is_zero(context: Any, term: Any, argument: Any) -> Any:
    parts = [inner for part in children(term) for inner in children(part)] if isinstance(term, Kron) else ()
    found = any(isinstance(part, ZeroMatrix) for part in parts)
    return zero(*term.shape) if found else RIGHT["product with zero"](context, term, argument)


@broken("product with zero")
def a_kronecker_product_with_zero_is_its_other_factor_with_zeros(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Kron) or not isinstance(children(term)[1], ZeroMatrix):
        return RIGHT["product with zero"](context, term, argument)
    A, B = children(term)
    return Kron(A, ones(*B.shape))


@broken("scalar out")
def one_of_two_scalars_in_a_kronecker_product_is_lost(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Kron):
        return RIGHT["scalar out"](context, term, argument)
    (a, A), (b, B) = map(split, children(term))
    return product(a, Kron(A, B)) if a * b != 1 else None


@broken("scalars")
def scalars_are_added(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, MatMul):
        return None
    found = [part for part in term.args if is_scalar(part)]
    return product(sum(found), split(term)[1]) if found else None


@broken("scalars")
def the_sign_is_lost(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, MatMul):
        return None
    a, A = split(term)
    return zero(*term.shape) if a == 0 else product(abs(a), A)


set_to("scalars", "simplified", lambda scalar: scalar.as_numer_denom()[0], "the denominator is lost")


def first_of_a_sum(term: Any) -> Any:
    """The number of the first term, as if all had it."""
    if not isinstance(term, MatAdd):
        return split(term)
    scalars, rest = zip(*map(split, term.args), strict=True)
    return scalars[0], total(*rest)


set_to("scalar out", "common", first_of_a_sum, "the number of the first term is that of all")
set_to("scalar out", "POSITIVELY_HOMOGENEOUS", frozenset({"relu", "tanh"}), "tanh is taken to be homogeneous")
set_to("scalar out", "POSITIVELY_HOMOGENEOUS", rules.FIXES_ZERO, "gelu and silu are taken to be homogeneous")


@broken("scalar out")
def a_negative_scalar_leaves_relu(context: Any, term: Any, argument: Any) -> Any:
    known = isinstance(term, (Transpose, Diag, HeadSum)) or (isinstance(term, Act) and term.name == "relu")
    a, A = split(children(term)[0]) if known else (1, None)
    return product(a, rebuild(term, [A])) if a != 1 else None


@broken("scalar out")
def a_scalar_leaves_a_softmax(context: Any, term: Any, argument: Any) -> Any:
    known = isinstance(term, (Transpose, Diag, HeadSum, Softmax))
    a, A = split(children(term)[0]) if known else (1, None)
    return product(a, rebuild(term, [A])) if a != 1 else None


@broken("scalar out")
def a_scalar_leaves_a_causal_softmax(context: Any, term: Any, argument: Any) -> Any:
    a, A = split(term.arg) if isinstance(term, Softmax) and term.mask == "causal" else (1, None)
    return product(a, Softmax(A, "causal")) if a != 1 else RIGHT["scalar out"](context, term, argument)


@broken("scalar out")
def a_scalar_leaves_a_table_of_frequencies(context: Any, term: Any, argument: Any) -> Any:
    a, table = split(term.table) if isinstance(term, Rope) else (1, None)
    return product(a, Rope(term.arg, table, term.layout)) if a != 1 else RIGHT["scalar out"](context, term, argument)


@broken("scalar out")
def one_of_two_scalars_in_an_entrywise_product_is_lost(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Hadamard):
        return RIGHT["scalar out"](context, term, argument)
    (a, A), (b, B) = map(split, children(term))
    return product(a, Hadamard(A, B)) if a * b != 1 else None


@broken("scalar out")
def a_turned_matrix_loses_its_scalar(context: Any, term: Any, argument: Any) -> Any:
    found = RIGHT["scalar out"](context, term, argument)
    return split(found)[1] if found is not None and isinstance(term, Rope) else found


@broken("scalar out")
def the_layout_of_pairs_is_lost(context: Any, term: Any, argument: Any) -> Any:
    found = RIGHT["scalar out"](context, term, argument)
    if found is None or not isinstance(term, Rope):
        return found
    a, turned = split(found)
    return product(a, Rope(*children(turned)))


@broken("scalar out")
def the_scalar_is_lost(context: Any, term: Any, argument: Any) -> Any:
    known = isinstance(term, (Transpose, Diag, HeadSum))
    a, A = split(children(term)[0]) if known else (1, None)
    return rebuild(term, [A]) if a != 1 else None


# distribute, factor, like terms


def distributed(spread: Callable[[Any, Any, Any], Any]) -> Any:
    """A product whose first sum is spread over the factors before and after it."""

    def rule(context: Any, term: Any, argument: Any) -> Any:
        for i, part in enumerate(term.args if isinstance(term, MatMul) else ()):
            if isinstance(part, MatAdd):
                return spread(term.args[:i], part.args, term.args[i + 1 :])
        return None

    return rule


set_to(
    "distribute",
    "",
    distributed(lambda before, sums, after: total(*(product(*after, one, *before) for one in sums))),
    "multiplies in the wrong order",
)
set_to(
    "distribute",
    "",
    distributed(lambda before, sums, after: total(*(product(*before, one, *after) for one in sums[:2]))),
    "drops the third summand",
)
set_to(
    "distribute",
    "",
    distributed(lambda before, sums, after: product(*before, sums[0], *after)),
    "keeps the first summand only",
)


@broken("distribute")
def functions_of_a_sum_are_spread(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Act) or not isinstance(term.arg, MatAdd):
        return None
    return total(*(Act(part, term.name) for part in term.arg.args))


@broken("factor")
def the_last_factors_are_not_compared(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, MatAdd) or not all(isinstance(part, MatMul) for part in term.args):
        return None
    if any(is_scalar(part.args[-2]) for part in term.args):
        return None
    return product(total(*(product(*part.args[:-1]) for part in term.args)), term.args[0].args[-1])


@broken("factor")
def the_factor_is_put_in_front(context: Any, term: Any, argument: Any) -> Any:
    found = RIGHT["factor"](context, term, argument)
    return None if found is None else product(found.args[-1], *found.args[:-1])


@broken("factor")
def the_scalars_are_lost(context: Any, term: Any, argument: Any) -> Any:
    found = RIGHT["factor"](context, term, argument)
    return None if found is None else product(total(*(split(part)[1] for part in found.args[0].args)), found.args[-1])


def collected(key: Callable[[Any], Any], join: Callable[[Any, Any], Any]) -> Any:
    """Like terms, with another notion of like and of joining their scalars."""

    def rule(context: Any, term: Any, argument: Any) -> Any:
        if not isinstance(term, MatAdd):
            return None
        sums: dict[Any, Any] = {}
        for part in term.args:
            scalar, matrices = split(part)
            first, joined = sums.get(key(matrices), (matrices, 0))
            sums[key(matrices)] = (first, join(joined, scalar))
        if len(sums) == len(term.args):
            return None
        kept = [product(scalar, matrices) for matrices, scalar in sums.values() if scalar != 0]
        return total(*kept) if kept else zero(*term.shape)

    return rule


def plus(a: Any, b: Any) -> Any:
    return a + b


set_to("like terms", "", collected(lambda A: frozenset(A.args), plus), "the order of factors does not count")
set_to("like terms", "", collected(lambda A: A.arg if isinstance(A, Transpose) else A, plus), "A' counts as A")
set_to("like terms", "", collected(lambda A: A, lambda a, b: a * b if a else b), "the scalars are multiplied")
set_to("like terms", "", collected(lambda A: A, lambda a, b: b), "the last scalar counts")


# rescale the norm


def rescaled(scale: Callable[[Any], Any], eps: Callable[[Any, Any], Any]) -> Any:
    """D_n(a G, eps) as scale(ratio) D_m(G, eps(old, ratio)), with ratio = n/(a m)."""

    def rule(context: Any, term: Any, argument: Any) -> Any:
        a, G = split(term.arg) if isinstance(term, RowScale) else (1, None)
        if not isinstance(G, MatMul):
            return None
        m = G.args[0].cols
        ratio = rules.simplified(term.n / (a * m))
        result = product(scale(ratio), RowScale(G, m, eps(term.eps, ratio)))
        return None if result == term else result

    return rule


def times(a: Any, b: Any) -> Any:
    return a * b


set_to("rescale the norm", "", rescaled(lambda ratio: ratio, times), "the scale has the wrong power")
set_to("rescale the norm", "", rescaled(lambda ratio: 1 / sqrt(ratio), times), "the scale is upside down")
set_to("rescale the norm", "", rescaled(sqrt, lambda eps, ratio: eps), "epsilon stays")
set_to("rescale the norm", "", rescaled(sqrt, lambda eps, ratio: eps / ratio), "epsilon is scaled the other way")


def rescaled_sum(others: Callable[[Any, Any], Any]) -> Any:
    """D_n(a G + ..., eps) by its first term's number a, with what becomes of each of the others."""

    def rule(context: Any, term: Any, argument: Any) -> Any:
        if not isinstance(term, RowScale) or not isinstance(term.arg, MatAdd):
            return None
        (a, G), *_ = map(split, term.arg.args)
        if not a.is_positive:
            return None
        m = G.args[0].cols
        ratio = rules.simplified(term.n / (a * m))
        arg = total(G, *(others(a, part) for part in term.arg.args[1:]))
        return product(sqrt(ratio), RowScale(arg, m, term.eps * ratio))

    return rule


set_to("rescale the norm", "", rescaled_sum(lambda a, part: part), "the other summands keep what the first loses")
set_to("rescale the norm", "", rescaled_sum(lambda a, part: split(part)[1]), "each summand loses a number of its own")


@broken("rescale the norm", "scaled")
def the_summands_are_multiplied(a: Any, term: Any) -> Any:
    return SCALED(1 / a, term)


@broken("rescale the norm")
def what_may_be_zero_or_negative_leaves_the_norm(context: Any, term: Any, argument: Any) -> Any:
    a, G = split(term.arg) if isinstance(term, RowScale) else (1, None)
    if not isinstance(G, MatMul) or not a.free_symbols or a.is_positive:
        return None
    ratio = term.n / (abs(a) * G.args[0].cols)
    return product(sqrt(ratio), RowScale(G, G.args[0].cols, term.eps * ratio))


SCALED = rules.scaled

# first order

set_to("first order", "SLOPE_AT_ZERO", {**rules.SLOPE_AT_ZERO, "gelu": 1}, "the slope of gelu is 1")
set_to("first order", "SLOPE_AT_ZERO", {**rules.SLOPE_AT_ZERO, "relu": 1}, "the slope of relu is 1")
set_to("first order", "order", lambda term: 2 * ORDER(term), "t A is zero")


@broken("first order")
def a_function_with_a_value_at_zero_loses_it(context: Any, term: Any, argument: Any) -> Any:
    slopes = {**rules.SLOPE_AT_ZERO, "sigmoid": sqrt(1) / 4}
    found = isinstance(term, Act) and term.name in slopes and ORDER(term.arg) > 0
    return product(slopes[term.name], term.arg) if found else RIGHT["first order"](context, term, argument)


@broken("first order")
def every_function_is_its_slope(context: Any, term: Any, argument: Any) -> Any:
    found = isinstance(term, Act) and term.name in rules.SLOPE_AT_ZERO
    return product(rules.SLOPE_AT_ZERO[term.name], term.arg) if found else RIGHT["first order"](context, term, argument)


ORDER = rules.order


# transposes


@broken("transpose of a product")
def the_factors_keep_their_order(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Transpose) or not isinstance(term.arg, MatMul):
        return None
    return product(*(part if is_scalar(part) else transposed(part) for part in term.arg.args))


@broken("transpose of a product")
def the_factors_are_turned_around_and_not_transposed(context: Any, term: Any, argument: Any) -> Any:
    return product(*term.arg.args[::-1]) if isinstance(term, Transpose) and isinstance(term.arg, MatMul) else None


@broken("transpose of a product")
def the_scalar_is_left_behind(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Transpose) or not isinstance(term.arg, MatMul):
        return None
    return product(*(transposed(part) for part in reversed(term.arg.args) if not is_scalar(part)))


@broken("transpose of a sum")
def only_the_first_summand_is_transposed(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Transpose) or not isinstance(term.arg, MatAdd):
        return None
    return total(transposed(term.arg.args[0]), *term.arg.args[1:])


@broken("transpose of a sum")
def the_last_summand_is_dropped(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Transpose) or not isinstance(term.arg, MatAdd):
        return None
    return total(*map(transposed, term.arg.args[:-1]))


@broken("transpose of a product")
def a_kronecker_product_is_turned_around(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Transpose) or not isinstance(term.arg, Kron):
        return None
    A, B = children(term.arg)
    return Kron(transposed(B), transposed(A))


# order of a sum


def reordered(made: Callable[[Any], Any]) -> Any:
    """A sum whose terms, in order, are made into something."""

    def rule(context: Any, term: Any, argument: Any) -> Any:
        found = RIGHT["order of a sum"](context, term, argument)
        return None if found is None else made(found.args)

    return rule


ORDERED = "order of a sum"
set_to(ORDERED, "", reordered(lambda parts: total(*dict.fromkeys(parts))), "a term that comes twice is kept once")
set_to(ORDERED, "", reordered(lambda parts: total(*(split(part)[1] for part in parts))), "the terms lose their numbers")


@broken(ORDERED)
def factors_are_ordered_too(context: Any, term: Any, argument: Any) -> Any:
    return product(*sorted(term.args, key=str)) if isinstance(term, MatMul) else None


# Kronecker products


def of_krons(made: Callable[..., Any]) -> Any:
    """(A (x) B)(C (x) D) made into something else."""

    def rule(context: Any, term: Any, argument: Any) -> Any:
        if not isinstance(term, MatMul) or not all(isinstance(part, Kron) for part in term.args):
            return None
        return made(*(factor for part in term.args for factor in children(part)))

    return rule


def paired_by_size(A: Any, B: Any, C: Any, D: Any) -> Any:
    return Kron(product(A, C), product(B, D)) if A.cols == C.rows else Kron(product(A, D), product(B, C))


KRON, KRON_FACTORS = "Kronecker product", "Kronecker factors"
set_to(
    KRON, "", of_krons(lambda A, B, C, D: Kron(product(A, D), product(B, C))), "the factors are multiplied crosswise"
)
set_to(KRON, "", of_krons(lambda A, B, C, D: Kron(product(C, A), product(D, B))), "the factors come in the wrong order")
set_to(KRON, "", of_krons(paired_by_size), "the factors are paired by their size")
set_to(KRON, "", of_krons(lambda A, B, C, D: Kron(product(B, D), product(A, C))), "the two factors change places")
set_to(KRON, "ones", lambda m, n: product(1 / n, ones(m, n)), "ones are averaged")


@broken(KRON_FACTORS)
def a_row_of_numbers_comes_after_the_identity(context: Any, term: Any, argument: Any) -> Any:
    A, B = children(term) if isinstance(term, Kron) else (None, None)
    return product(B, Kron(eye(B.cols), A)) if A is not None and A.rows == 1 else None


@broken(KRON_FACTORS)
def a_column_of_numbers_comes_after_the_identity(context: Any, term: Any, argument: Any) -> Any:
    A, B = children(term) if isinstance(term, Kron) else (None, None)
    return product(Kron(eye(B.rows), A), B) if A is not None and A.cols == 1 else None


@broken(KRON_FACTORS)
def a_factor_and_the_identity_change_places(context: Any, term: Any, argument: Any) -> Any:
    A, B = children(term) if isinstance(term, Kron) else (None, None)
    return Kron(B, A) if isinstance(A, Identity) and A != B else None


@broken(KRON_FACTORS)
def ones_are_taken_for_the_identity(context: Any, term: Any, argument: Any) -> Any:
    A, B = children(term) if isinstance(term, Kron) else (None, None)
    return Kron(eye(A.rows), B) if isinstance(A, OneMatrix) and A.rows == A.cols else None


set_to(KRON_FACTORS, "is_identity", lambda term: term.shape == (1, 1), "a single number is dropped")

# selections

ENDS_IN = rules.ends_with


def any_ones(term: Any) -> bool:
    return isinstance(term, OneMatrix) or is_selection(term)


def any_blocks(term: Any) -> bool:
    return is_selection(term) or (isinstance(term, BlockMatrix) and all(map(is_selection, children(term))))


def blocks_of_zeros(term: Any) -> bool:
    parts = children(term) if isinstance(term, BlockMatrix) and len(block_rows(term)) == 1 else ()
    return is_selection(term) or (bool(parts) and all(isinstance(p, ZeroMatrix) or is_selection(p) for p in parts))


def multiples(term: Any) -> bool:
    parts = children(term) if isinstance(term, BlockMatrix) and len(block_rows(term)) == 1 else ()
    return is_selection(term) or (bool(parts) and all(is_selection(split(part)[1]) for part in parts))


def first_factor(term: Any) -> bool:
    return is_selection(children(term)[0] if isinstance(term, Kron) else term)


def either_way(term: Any) -> bool:
    return is_selection(term.arg if isinstance(term, Transpose) else term)


SELECTION, SUMS = "selection", "sums of ones"
for which in (SELECTION, SUMS):
    set_to(which, "is_selection", any_ones, "a matrix of ones is a selection")
    set_to(which, "is_selection", any_blocks, "blocks of selections on top of each other are a selection")
    set_to(which, "is_selection", blocks_of_zeros, "a block of zeros is a selection")
    set_to(which, "is_selection", either_way, "the transpose of a selection is a selection")
    set_to(which, "is_selection", lambda term: not is_scalar(term), "every matrix is a selection")
    set_to(which, "flipped", lambda term: term, "a selection need not be transposed to select rows")
set_to(SELECTION, "is_selection", multiples, "a multiple of a selection is a selection")
set_to(SELECTION, "is_selection", first_factor, "one factor of a Kronecker product is enough")


@broken(SELECTION, "ends_with")
def what_the_parts_end_in_is_not_compared(term: Any, last: Any) -> Any:
    parts = [ends_in_any(part) for part in rules.terms_of(term)]
    return total(*parts) if parts and None not in parts else None


def ends_in_any(term: Any) -> Any:
    return product(*term.args[:-1]) if isinstance(term, MatMul) and not is_scalar(term.args[-2]) else None


@broken(SELECTION, "ends_with")
def what_does_not_end_in_the_selection_is_dropped(term: Any, last: Any) -> Any:
    kept = [part for part in rules.terms_of(term) if ENDS_IN(part, last) is not None]
    return ENDS_IN(total(*kept), last) if kept else None


@broken(SELECTION)
def a_softmax_of_selected_columns_is_selected(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Softmax) or not isinstance(term.arg, MatMul) or not is_selection(term.arg.args[-1]):
        return RIGHT[SELECTION](context, term, argument)
    *first, last = term.arg.args
    return product(Softmax(product(*first), term.mask), last)


@broken(SELECTION)
def the_function_is_lost(context: Any, term: Any, argument: Any) -> Any:
    found = RIGHT[SELECTION](context, term, argument)
    return term.arg if found is not None and isinstance(term, Act) else found


# sums of ones


def factors_of(term: Any) -> tuple[Any, Any]:
    two = isinstance(term, MatMul) and len(term.args) == 2 and not is_scalar(term.args[0])
    return term.args if two else (None, None)


@broken(SUMS)
def ones_times_ones_are_ones(context: Any, term: Any, argument: Any) -> Any:
    both = all(isinstance(part, OneMatrix) for part in factors_of(term))
    return ones(*term.shape) if both else RIGHT[SUMS](context, term, argument)


@broken(SUMS)
def ones_times_ones_count_the_rows(context: Any, term: Any, argument: Any) -> Any:
    both = all(isinstance(part, OneMatrix) for part in factors_of(term))
    return product(term.rows, ones(*term.shape)) if both else RIGHT[SUMS](context, term, argument)


@broken(SUMS)
def the_columns_of_a_softmax_sum_to_one(context: Any, term: Any, argument: Any) -> Any:
    first, last = factors_of(term)
    found = isinstance(first, OneMatrix) and isinstance(last, Softmax)
    return ones(*term.shape) if found else RIGHT[SUMS](context, term, argument)


@broken(SUMS)
def another_selection_selects_the_same_gains(context: Any, term: Any, argument: Any) -> Any:
    first, last = factors_of(term)
    found = isinstance(first, Selection) and isinstance(last, Diag) and isinstance(last.arg, MatMul)
    if not found or not isinstance(last.arg.args[-1], Selection) or last.arg.args[-1].shape != first.shape:
        return RIGHT[SUMS](context, term, argument)
    return product(Diag(product(*last.arg.args[:-1])), first)


@broken(SUMS)
def a_gain_is_moved_without_being_selected(context: Any, term: Any, argument: Any) -> Any:
    first, last = factors_of(term)
    moved = isinstance(first, Selection) and isinstance(last, Diag) and first.rows == first.cols
    return product(last, first) if moved else RIGHT[SUMS](context, term, argument)


set_to(SUMS, "weighs", lambda term: isinstance(term, (Softmax, Act)), "the values of a function sum to 1")
set_to(SUMS, "weighs", lambda term: isinstance(term, Softmax), "what is kept of a softmax sums to 1")

# diagonals and the identity in blocks


@broken("diagonals")
def a_diagonal_leaves_every_function(context: Any, term: Any, argument: Any) -> Any:
    word = term.arg.args if isinstance(term, Act) and isinstance(term.arg, MatMul) else ()
    if word and isinstance(word[-1], Diag):
        return product(rebuild(term, [product(*word[:-1])]), word[-1])
    return RIGHT["diagonals"](context, term, argument)


@broken("diagonals")
def a_diagonal_is_lost(context: Any, term: Any, argument: Any) -> Any:
    found = RIGHT["diagonals"](context, term, argument)
    return None if found is None else product(*found.args[:-1])


@broken("diagonals")
def a_diagonal_leaves_a_sum_in_which_it_stands_once(context: Any, term: Any, argument: Any) -> Any:
    if isinstance(term, Hadamard) and isinstance(term.args[0], MatAdd):
        return RIGHT["diagonals"](context, Hadamard(term.args[0].args[0], term.args[1]), argument)
    return RIGHT["diagonals"](context, term, argument)


@broken("product of rows")
def every_entrywise_product_is_one_of_rows(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, Hadamard) or term.cols != 1:
        return RIGHT["product of rows"](context, term, argument)
    return product(Diag(transposed(term.args[1])), term.args[1])


@broken("product of rows")
def one_of_two_rows_is_lost(context: Any, term: Any, argument: Any) -> Any:
    found = RIGHT["product of rows"](context, term, argument)
    return None if found is None else product(found.args[0], Diag(found.args[0]))


@broken("order of diagonals")
def whatever_stands_beside_a_diagonal_changes_places_with_it(context: Any, term: Any, argument: Any) -> Any:
    factors = pair(term)
    square = factors is not None and all(part.rows == part.cols for part in factors)
    return product(*factors[::-1]) if square and isinstance(factors[0], Diag) else None


@broken("order of diagonals")
def the_second_diagonal_comes_twice(context: Any, term: Any, argument: Any) -> Any:
    found = RIGHT["order of diagonals"](context, term, argument)
    return None if found is None else product(found.args[0], found.args[0])


set_to(
    "identity", "is_ones", lambda term: all(isinstance(part, OneMatrix) for part in pair(term) or (term,)), "1 1 is 1"
)
set_to("identity", "is_unit", lambda rows: isinstance(rows[0][0], Identity), "one identity in blocks is enough")
set_to("identity", "is_unit", lambda rows: len(rows) == len(rows[0]), "every square of blocks is the identity")

# ones apart


@broken("ones apart")
def the_ones_of_a_square_are_its_diagonal(context: Any, term: Any, argument: Any) -> Any:
    square = isinstance(term, OneMatrix) and term.rows == term.cols
    return eye(term.rows) if square else RIGHT["ones apart"](context, term, argument)


@broken("ones apart")
def zeros_come_apart_as_ones_do(context: Any, term: Any, argument: Any) -> Any:
    return product(ones(term.rows, 1), ones(1, term.cols)) if isinstance(term, (OneMatrix, ZeroMatrix)) else None


# softmax


def shifted_by(is_shift: Callable[[Any], bool]) -> Any:
    """A softmax without some of the summands in it."""

    def rule(context: Any, term: Any, argument: Any) -> Any:
        if not isinstance(term, Softmax) or not isinstance(term.arg, MatAdd):
            return None
        kept = [part for part in term.arg.args if not is_shift(part)]
        return Softmax(total(*kept), term.mask) if 0 < len(kept) < len(term.arg.args) else None

    return rule


def starts_in_ones(part: Any) -> bool:
    return isinstance(part, MatMul) and isinstance(part.args[0], OneMatrix)


def has_ones(part: Any) -> bool:
    return isinstance(part, MatMul) and any(isinstance(factor, OneMatrix) for factor in part.args)


SHIFT, EXPERTS = "shift of a softmax", "weights of the experts"
set_to(SHIFT, "", shifted_by(starts_in_ones), "a row that is added to each row shifts nothing")
set_to(SHIFT, "", shifted_by(has_ones), "ones anywhere in a product make a shift")
set_to(SHIFT, "", shifted_by(lambda part: isinstance(part, MatMul)), "every product is a shift")


@broken(SHIFT)
def the_mask_is_lost(context: Any, term: Any, argument: Any) -> Any:
    found = RIGHT[SHIFT](context, term, argument)
    return None if found is None else Softmax(found.arg)


@broken(SHIFT)
def a_shift_goes_by_any_function(context: Any, term: Any, argument: Any) -> Any:
    found = RIGHT[SHIFT](context, Softmax(term.arg), argument) if isinstance(term, (Act, Norm)) else None
    return found if found is None else rebuild(term, [found.arg, *children(term)[1:]])


# weights of the experts

set_to(EXPERTS, "weighs", lambda term: isinstance(term, Softmax), "what is kept of a softmax is all of it")
set_to(EXPERTS, "weighs", lambda term: not is_scalar(term), "every function weighs")
set_to(EXPERTS, "free", lambda term, family: False, "the experts may have scores of their own")
set_to(EXPERTS, "path_of", lambda symbol: ("heads",), "every column picks a head")
set_to(EXPERTS, "path_of", lambda symbol: path_of(symbol)[:1], "the outermost family counts")
set_to(EXPERTS, "CHOSEN", "w", "any column picks a member")


@broken(EXPERTS)
def one_expert_has_all_the_weight(context: Any, term: Any, argument: Any) -> Any:
    inside = RIGHT[EXPERTS](context, HeadSum(term, "heads"), argument) if isinstance(term, Diag) else None
    return inside or RIGHT[EXPERTS](context, term, argument)


@broken(EXPERTS)
def each_expert_counts_fully(context: Any, term: Any, argument: Any) -> Any:
    found = RIGHT[EXPERTS](context, term, argument)
    return None if found is None else HeadSum(found, term.family)


# idempotent function

IDEMPOTENT = "idempotent function"
set_to(IDEMPOTENT, "IDEMPOTENT", rules.FIXES_ZERO, "every function that fixes zero is idempotent")
set_to(IDEMPOTENT, "IDEMPOTENT", frozenset({"relu", "cos"}), "the cosine is idempotent")


@broken(IDEMPOTENT)
def relu_of_every_function_is_that_function(context: Any, term: Any, argument: Any) -> Any:
    twice = isinstance(term, Act) and isinstance(term.arg, Act)
    return term.arg if twice and term.name == "relu" else None


@broken(IDEMPOTENT)
def every_function_of_relu_is_relu(context: Any, term: Any, argument: Any) -> Any:
    twice = isinstance(term, Act) and isinstance(term.arg, Act)
    return term.arg if twice and term.arg.name == "relu" else None


# heads


def by_heads(kind: Any, part: Callable[[Any, Any], Any]) -> Any:
    """A sum over heads taken into the parts of a block matrix or a sum."""

    def rule(context: Any, term: Any, argument: Any) -> Any:
        if not isinstance(term, HeadSum) or not isinstance(term.arg, kind):
            return None
        return rebuild(term.arg, [part(one, term.family) for one in children(term.arg)])

    return rule


def common_once(part: Any, family: str) -> Any:
    return HeadSum(part, family) if free(part, family) else part


def plain_once(part: Any, family: str) -> Any:
    return part if isinstance(part, Member) else HeadSum(part, family)


def any_member_counts(part: Any, family: str) -> Any:
    found = {owner for symbol in atoms(part) for owner in path_of(symbol)}
    return HeadSum(part, family if family in found else next(iter(sorted(found)), family))


set_to("heads of blocks", "", by_heads(BlockMatrix, common_once), "a block that all heads share is counted once")
set_to("heads of blocks", "", by_heads(BlockMatrix, lambda part, family: part), "the sum is lost")
set_to("heads of blocks", "", by_heads(BlockMatrix, any_member_counts), "a block is summed over its own family")
set_to("heads of a sum", "", by_heads(MatAdd, common_once), "a summand that all heads share is counted once")
set_to("heads of a sum", "", by_heads(MatAdd, plain_once), "a bare matrix of the heads is counted once")
set_to("heads of a sum", "", by_heads(MatAdd, any_member_counts), "a summand is summed over its own family")


@broken("heads of a sum")
def a_sum_inside_a_function_is_split(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, HeadSum) or not isinstance(term.arg, Act) or not isinstance(term.arg.arg, MatAdd):
        return None
    return total(*(HeadSum(Act(part, term.arg.name), term.family) for part in term.arg.arg.args))


@broken("common factor of heads")
def the_factor_differs_between_heads(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, HeadSum) or not isinstance(term.arg, MatMul):
        return None
    *first, last = term.arg.args
    return product(HeadSum(product(*first), term.family), last) if split(product(*first))[1] != 1 else None


@broken("common factor of heads")
def only_a_bare_matrix_of_the_heads_differs(context: Any, term: Any, argument: Any) -> Any:
    if not isinstance(term, HeadSum) or not isinstance(term.arg, MatMul):
        return None
    *first, last = term.arg.args
    return None if term.family in path_of(last) else product(HeadSum(product(*first), term.family), last)


FREE = rules.free


@broken("common factor of heads", "free")
def no_matrix_differs_between_heads(term: Any, family: str) -> bool:
    return False


@broken("common factor of heads", "free")
def only_the_outermost_family_counts(term: Any, family: str) -> bool:
    return FREE(term, family) and any(path_of(symbol)[:1] == (family,) for symbol in atoms(term))


@broken("common factor of heads", "free")
def only_the_innermost_family_counts(term: Any, family: str) -> bool:
    return FREE(term, family) and any(path_of(symbol)[-1:] == (family,) for symbol in atoms(term))


@broken("common factor of heads", "free")
def a_sum_over_another_family_binds_all(term: Any, family: str) -> bool:
    return not isinstance(term, HeadSum) and FREE(term, family)


@broken("common factor of heads", "free")
def a_stack_of_layers_binds_all(term: Any, family: str) -> bool:
    return not isinstance(term, Stack) and FREE(term, family)


@broken("common factor of heads", "free")
def frequencies_are_the_same_for_all_heads(term: Any, family: str) -> bool:
    return FREE(term.arg if isinstance(term, Rope) else term, family)


@broken("common factor of heads", "free")
def a_causal_softmax_binds_all(term: Any, family: str) -> bool:
    return not (isinstance(term, Softmax) and term.mask == "causal") and FREE(term, family)


@broken("common factor of heads")
def the_family_of_the_sum_is_lost(context: Any, term: Any, argument: Any) -> Any:
    found = RIGHT["common factor of heads"](context, term, argument)
    return None if found is None else product(HeadSum(found.args[0].arg, "groups"), *found.args[1:])


@broken("common factor of heads")
def the_sum_over_the_rest_is_lost(context: Any, term: Any, argument: Any) -> Any:
    found = RIGHT["common factor of heads"](context, term, argument)
    return None if found is None else term.arg


# lemma


@broken("lemma")
def an_instance_is_guessed_and_not_checked(context: Context, term: Any, argument: Any) -> Any:
    theorem = context.lemmas[argument[0]]
    T = kernel.instance_of(theorem.left, term, context.stream)
    return None if T is None else substitute(theorem.right, {context.stream: T})


@broken("lemma", "families")
def a_member_may_be_captured(term: Any) -> set[str]:
    return set()


@broken("lemma")
def the_right_side_is_not_instantiated(context: Context, term: Any, argument: Any) -> Any:
    found = RIGHT["lemma"](context, term, argument)
    return None if found is None else context.lemmas[argument[0]].right


@broken("lemma")
def another_lemma_of_the_same_shape_is_used(context: Context, term: Any, argument: Any) -> Any:
    fitting = [lemma.right for lemma in context.lemmas if lemma.right.shape == term.shape]
    return fitting[-1] if fitting else None


# induction over layers

ENDS_WITH = kernel.ends_with


@broken("induction over layers", "ends_with")
def the_number_in_front_of_the_map_is_forgotten(term: Any, C: Any) -> Any:
    return ENDS_WITH(term, tuple(split(part)[1] for part in C))


@broken("induction over layers", "ends_with")
def the_number_in_front_of_the_map_stays_in_the_start(term: Any, C: Any) -> Any:
    return ENDS_WITH(term, C if isinstance(term, MatAdd) else tuple(split(part)[1] for part in C))


@broken("induction over layers", "proved_for")
def the_lemma_need_not_be_about_the_layer(context: Context, left: Any) -> Any:
    return context.lemmas[0].right


@broken("induction over layers", "ends_with")
def the_layer_may_end_in_another_map(term: Any, C: Any) -> Any:
    return product(*term.args[:-1]) if C and isinstance(term, MatMul) else ENDS_WITH(term, C)


@broken("induction over layers", "ends_with")
def one_summand_that_ends_in_the_map_is_enough(term: Any, C: Any) -> Any:
    if not C or not isinstance(term, MatAdd):
        return ENDS_WITH(term, C)
    parts = [part for part in term.args if ENDS_WITH(part, C) is not None]
    return ENDS_WITH(total(*parts), C) if parts else None


@broken("induction over layers")
def inserted_layers_are_dropped(context: Context, term: Any, argument: Any) -> Any:
    if not isinstance(term, Stack):
        return None
    alone = Stack(term.arg, term.stream, term.body, term.family)
    return RIGHT["induction over layers"](context, alone, argument)


@broken("induction over layers")
def inserted_layers_change_places(context: Context, term: Any, argument: Any) -> Any:
    found = RIGHT["induction over layers"](context, term, argument)
    layers = next(iter(found.atoms(Stack))) if found is not None else None
    if layers is None or len(layers.inserted) < 2:
        return found
    turned = Stack(layers.arg, layers.stream, layers.body, layers.family, layers.inserted[::-1])
    return product(turned, *(found.args[1:] if isinstance(found, MatMul) else ()))


@broken("induction over layers")
def kept_layers_are_dropped(context: Context, term: Any, argument: Any) -> Any:
    found = RIGHT["induction over layers"](context, term, argument)
    layers = next(iter(found.atoms(Stack))) if found is not None else None
    return layers and substitute_whole(found, layers, Stack(layers.arg, layers.stream, layers.body, layers.family))


def substitute_whole(term: Any, old: Any, new: Any) -> Any:
    return new if term == old else rebuild(term, [new if part == old else part for part in children(term)])


@broken("induction over layers")
def an_inserted_layer_becomes_one_of_the_family(context: Context, term: Any, argument: Any) -> Any:
    found = RIGHT["induction over layers"](context, term, argument)
    layers = next(iter(found.atoms(Stack))) if found is not None else None
    if layers is None:
        return None
    alike = [layers.body] * len(layers.inserted)
    return substitute_whole(found, layers, Stack(layers.arg, layers.stream, layers.body, layers.family, alike))


@broken("induction over layers", "free")
def each_layer_may_have_a_map_of_its_own(term: Any, family: str) -> bool:
    return False


@broken("induction over layers", "atoms")
def x_may_have_a_meaning_already(term: Any) -> set[Any]:
    return set()


@broken("induction over layers")
def the_layers_stay_as_they_are(context: Context, term: Any, argument: Any) -> Any:
    found = RIGHT["induction over layers"](context, term, argument)
    return term.arg if found is not None else None


RIGHT = dict(RULES)


def named(wrong: Break) -> str:
    return f"{wrong.rule}: {wrong.claim}"


@pytest.mark.parametrize("wrong", BREAKS, ids=named)
def test_a_broken_rule_fails_by_its_values(wrong: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failures(wrong.rule) == []
    wrong.apply(monkeypatch)
    assert [failure for failure in failures(wrong.rule) if not failure.startswith("the rule ")]


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_broken_at_least_twice(rule: str) -> None:
    assert len([wrong for wrong in BREAKS if wrong.rule == rule]) >= 2


UNKNOWN_TO_Z3 = ("what is kept of a softmax sums to 1", "what is kept of a softmax is all of it")


@pytest.mark.parametrize(
    "wrong", [w for w in BREAKS if w.rule != "first order" and w.claim not in UNKNOWN_TO_Z3], ids=named
)
def test_z3_alone_finds_a_broken_rule(wrong: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong.apply(monkeypatch)
    assert any(seen.outcome == "wrong" for seen in by_z3(wrong.rule, 0))


SEEN_AT_RANDOM = (
    *("drops epsilon", "solved with the wrong sign", "swaps two blocks", "adds the blocks backwards"),
    *("a sum with zero is zero", "one zero block is enough", "scalars are added", "the scalar is lost"),
    *("keeps the first summand only", "the last scalar counts", "the scale has the wrong power"),
    *("an instance is guessed and not checked", "every function is its slope", "squares are multiplied as matrices"),
    *("the second blocks are turned around", "the frequencies start anew in each block", "the two tables are swapped"),
    *(
        "the ones reach the first block only",
        "only the first of the ones are kept",
        "a block of ones is cut into zeros",
    ),
    *("the summands are multiplied", "the terms lose their numbers", "the factors are multiplied crosswise"),
    *("ones are averaged", "a single number is dropped", "every matrix is a selection", "the function is lost"),
    *("ones times ones count the rows", "the mask is lost", "each expert counts fully"),
    *("relu of every function is that function", "the experts may have scores of their own"),
)


@pytest.mark.parametrize("wrong", [w for w in BREAKS if w.claim in SEEN_AT_RANDOM], ids=named)
def test_random_terms_alone_find_a_broken_rule(wrong: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong.apply(monkeypatch)
    assert any(seen.outcome == "wrong" for seen in on_random_terms([wrong.rule], 0, 400))


def test_the_whole_validation_names_the_broken_rule_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    (wrong,) = [wrong for wrong in BREAKS if wrong.claim == "the sign is lost"]
    wrong.apply(monkeypatch)
    assert [found.rule for found in validate(terms=5) if not found.holds] == ["scalars"]
