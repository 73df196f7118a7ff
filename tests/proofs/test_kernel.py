"""Only the kernel makes theorems, and only from steps that a rule allows."""

import ast
import contextlib
import copy
import dataclasses
import io
import pickle
import tokenize
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy.matrices.expressions import Inverse, MatPow

from growproof.proofs import kernel, rules
from growproof.proofs.check import claim_shell
from growproof.proofs.kernel import (
    RULES,
    Composition,
    Context,
    Equation,
    KernelError,
    Step,
    Theorem,
    apply,
    compose,
    derive,
    meet,
    replace,
)
from growproof.proofs.random_terms import CONTEXT, random_term
from growproof.proofs.rules import ALGEBRA
from growproof.proofs.validation import arguments, positions
from growproof.symbolic import grids
from growproof.symbolic.architecture import PRESETS, paper_model, stream
from growproof.symbolic.errors import VariantError
from growproof.symbolic.notation import instance
from growproof.symbolic.terms import (
    CHOSEN,
    Act,
    Diag,
    HeadSum,
    MatMul,
    Norm,
    RowScale,
    ShapeError,
    Softmax,
    Stack,
    atoms,
    blocks,
    eye,
    matrix,
    product,
    selection,
    size,
    substitute,
    sympify,
    total,
    transposed,
    zero,
)
from growproof.symbolic.variant import SIX, catalogue, load, loads

m, n, p = map(size, "mnp")
A, B, D = matrix("A", m, n), matrix("B", m, n), matrix("D", n, p)
Q, R, S = (matrix(name, n, n) for name in "QRS")
V, W = matrix("V", m, n, ("heads",)), matrix("W", n, n, ("heads",))
X, Y, Z = matrix("X", m, n), matrix("Y", m, n), matrix("Z", m, n)
WHOLE = ((),)
TRUE = derive(Context(), product(A, eye(n)), [Step("identity", WHOLE)])


def refused(make: Callable[..., Any], *arguments: Any) -> str:
    """The message of the kernel's refusal."""
    with pytest.raises(KernelError) as caught:
        make(*arguments)
    return str(caught.value)


def step(rule: str, *argument: int, at: Any = ()) -> Step:
    return Step(rule, (at,), argument)


# --- only the kernel makes theorems ---


def test_a_derivation_makes_a_theorem() -> None:
    assert type(TRUE) is Theorem
    assert (TRUE.hypotheses, TRUE.left, TRUE.right) == ((), product(A, eye(n)), A)


@pytest.mark.parametrize("key", [(), (None,), (object(),), ("_KEY",)], ids=["none", "None", "object", "name"])
def test_the_constructor_makes_no_theorem(key: tuple[Any, ...]) -> None:
    assert "kernel's rules only" in refused(Theorem, (), A, B, *key)


@pytest.mark.parametrize("name", ["left", "right", "hypotheses", "proof"])
def test_a_theorem_does_not_change(name: str) -> None:
    assert "does not change" in refused(setattr, TRUE, name, B)
    assert (TRUE.left, TRUE.right) == (product(A, eye(n)), A)


def test_a_theorem_has_no_variants_and_no_copies() -> None:
    with pytest.raises(TypeError):
        dataclasses.replace(TRUE, right=B)  # type: ignore[type-var]
    for copied in (copy.copy, copy.deepcopy, lambda theorem: pickle.loads(pickle.dumps(theorem))):
        refused(copied, TRUE)


def test_an_empty_theorem_says_nothing() -> None:
    empty = object.__new__(Theorem)
    for use in (lambda: empty.left, lambda: meet(empty, TRUE), lambda: compose([empty])):
        with pytest.raises((AttributeError, KernelError)):
            use()


def test_whoever_writes_python_can_forge_a_theorem() -> None:
    """Python hides nothing, so a `Theorem` object is no evidence by itself; a certificate holds none, only steps."""
    forged = object.__new__(Theorem)
    for name, value in (("hypotheses", ()), ("left", A), ("right", B)):
        object.__setattr__(forged, name, value)
    assert (forged.left, forged.right) == (A, B)
    assert Theorem((), A, B, kernel._KEY).right == B


# --- steps ---


def test_a_derivation_stops_at_the_first_step_that_does_not_apply() -> None:
    steps = [step("identity"), step("distribute"), step("no rule")]
    assert "'distribute' does not apply to A" in refused(derive, Context(), product(A, eye(n)), steps)


def test_a_rule_has_to_be_known() -> None:
    assert "no rule is called 'by magic'" in refused(derive, Context(), A, [step("by magic")])


def test_without_steps_a_term_equals_itself() -> None:
    theorem = derive(Context(), A, [])
    assert theorem.left == theorem.right == A


@pytest.mark.parametrize(
    "wrong",
    [zero(n, m), D, product(A, D), product(A, transposed(A)), matrix("A", m, n + 1)],
    ids=lambda term: str(term.shape),
)
def test_a_rule_that_changes_the_shape_is_refused(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "wrong", lambda context, term, argument: wrong)
    assert "changed the shape" in refused(derive, Context(), A, [step("wrong")])


def test_a_rule_that_only_writes_the_shape_differently_is_not() -> None:
    same = matrix("S", (m + n) ** 2 - m**2, p)
    wanted = matrix("S", n**2 + 2 * m * n, p)
    assert same == wanted


SUM = total(product(A, Q, R), B, product(2, A, eye(n)))


@pytest.mark.parametrize(
    "bad",
    [
        [],
        [(3,)],
        [(-1,)],
        [(0, 3)],
        [(0, 0, 0)],
        [(), ()],
        [(), (0,)],
        [(1,), (1,)],
        [(0,), (0, 0)],
        [(0, 0), (0,)],
        [((0, 2),), ((1, 3),)],
        [((0, 2),), (1,)],
        [((0, 2), 0)],
        [((0, 4),)],
        [((-1, 1),)],
        [((1, 1),)],
        [((2, 1),)],
        [(2, (0, 2))],  # the factor 2 is a scalar
        [(1, (0, 1))],  # B has no parts
    ],
    ids=str,
)
def test_positions_that_are_empty_overlap_or_lie_outside_are_refused(
    bad: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, "nothing", lambda context, term, argument: term)
    refused(apply, Context(), SUM, Step("nothing", tuple(bad)))


def test_runs_are_of_factors_and_summands_only() -> None:
    for term in (blocks([[A, B]]), transposed(A), Act(A, "relu"), HeadSum(product(V, Q), "heads")):
        refused(replace, term, [((0, 1),)], lambda part: part)


def test_a_step_rewrites_its_places_and_nothing_else() -> None:
    found = apply(Context(), SUM, Step("identity", ((2,),)))
    assert found == total(product(A, Q, R), B, product(2, A))
    together = total(product(eye(m), A), product(A, eye(n)), product(A, eye(n)))
    assert apply(Context(), together, Step("identity", ((0,), (2,)))) == total(A, product(A, eye(n)), A)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_a_term_is_put_together_again_as_it_was(seed: int) -> None:
    term = random_term(np.random.default_rng(seed))
    for position, part in positions(term):
        seen = []
        assert replace(term, [position], lambda found, seen=seen: seen.append(found) or found) == term
        assert seen == [part]


def test_a_step_never_enters_a_layer() -> None:
    layers = Stack(Y, Z, total(Z, product(Z, eye(n))), "layers")
    for position in [(1,), (0, 0), (2, 1)]:
        refused(derive, Context(), layers, [step("identity", at=position)])


# --- hypotheses and lemmas ---


def test_a_hypothesis_that_is_not_there_is_refused() -> None:
    given = Context((Equation(A, zero(m, n)),))
    assert derive(given, A, [step("constraint", 0)]).right == zero(m, n)
    for argument in [(1,), (-1,), (0, 1), (0, -1), (99, 0)]:
        refused(derive, given, A, [step("constraint", *argument)])


def test_a_hypothesis_is_never_read_from_right_to_left() -> None:
    given = Context((Equation(A, B),))
    refused(derive, given, B, [step("constraint", 0)])


def test_a_hypothesis_is_not_solved_for_a_term_whose_coefficient_may_be_zero() -> None:
    given = Context((Equation(total(product(m - n, A), B), zero(m, n)),))
    refused(derive, given, A, [step("constraint", 0, 0)])
    assert derive(given, B, [step("constraint", 0, 1)]).right == product(n - m, A)


def test_a_theorem_keeps_its_hypotheses() -> None:
    hypotheses = (Equation(A, zero(m, n)),)
    theorem = derive(Context(hypotheses), A, [step("constraint", 0)])
    assert theorem.hypotheses == hypotheses
    assert meet(theorem, theorem).hypotheses == hypotheses


@pytest.mark.parametrize("own", [(), (Equation(B, zero(m, n)),), (Equation(A, zero(m, n)),) * 2], ids=len)
def test_a_lemma_under_other_hypotheses_is_refused(own: tuple[Equation, ...]) -> None:
    lemma = derive(Context((Equation(A, zero(m, n)),)), A, [step("constraint", 0)])
    assert "other hypotheses" in refused(Context, own, (lemma,))


def test_a_lemma_that_is_not_there_is_refused() -> None:
    given = Context(lemmas=(TRUE,))
    assert derive(given, TRUE.left, [step("lemma", 0)]).right == A
    for index in (1, -1, 7):
        refused(derive, given, TRUE.left, [step("lemma", index)])


def test_without_a_stream_a_lemma_is_about_its_own_terms() -> None:
    given = Context(lemmas=(derive(Context(), product(X, eye(n)), [step("identity")]),))
    assert derive(given, product(X, eye(n)), [step("lemma", 0)]).right == X
    refused(derive, given, product(A, eye(n)), [step("lemma", 0)])


def test_an_instance_has_the_shape_of_the_stream() -> None:
    kill = derive(Context(), product(X, zero(n, p)), [step("product with zero")])
    other = matrix("O", p, n)
    refused(derive, Context(lemmas=(kill,), stream=X), product(other, zero(n, p)), [step("lemma", 0)])


def test_the_names_of_heads_are_not_captured_by_a_lemma() -> None:
    sums = derive(Context(), HeadSum(product(transposed(V), X), "heads"), [step("common factor of heads")])
    given = Context(lemmas=(sums,), stream=X)
    own = HeadSum(product(transposed(V), V, Q), "heads")  # sum_e V_e' V_e Q, which is not (sum_e V_e') V Q
    refused(derive, given, own, [step("lemma", 0)])
    free = substitute(sums.left, {X: product(A, Q)})
    assert derive(given, free, [step("lemma", 0)]).right == product(HeadSum(transposed(V), "heads"), A, Q)


@pytest.mark.parametrize("own", [(), ("layers",), ("heads",), ("layers", "heads")], ids=str)
def test_the_stream_map_belongs_to_no_layer(own: tuple[str, ...]) -> None:
    C, K = matrix("C", n, p, own), matrix("K", p, n, ("layers",))
    stream_hat = matrix("X", m, p)
    lemma = derive(Context(), product(X, C, K, C), [])
    given = Context(lemmas=(lemma,), stream=X)
    layers = Stack(product(Y, C), stream_hat, product(stream_hat, K, C), "layers")
    if "layers" in own:
        refused(derive, given, layers, [step("induction over layers")])
    else:
        found = derive(given, layers, [step("induction over layers")]).right
        assert found == product(Stack(Y, X, product(X, C, K), "layers"), C)


def test_an_inserted_layer_with_a_lemma_of_its_own_is_kept() -> None:
    same, moved, other = total(X, zero(m, n)), total(X, A, zero(m, n)), total(X, B, zero(m, n))
    given = Context(
        lemmas=tuple(derive(Context(), layer, [step("sum with zero")]) for layer in (same, moved)), stream=X
    )
    layers = Stack(Y, X, moved, "layers", [same, moved, same])
    found = derive(given, layers, [step("induction over layers")]).right
    assert found == Stack(Y, X, total(X, A), "layers", [total(X, A)])
    refused(derive, given, Stack(Y, X, moved, "layers", [same, other]), [step("induction over layers")])


def test_a_matrix_that_comes_to_differ_between_heads_is_no_common_factor() -> None:
    """M = A_e holds for every head; A_e is any one of them outside of a sum, and each in its turn within."""
    M, A_e, own = matrix("M", m, n), V, matrix("U", n, m, ("heads",))
    given = Context((Equation(M, A_e),))
    within, common = HeadSum(product(own, M), "heads"), step("common factor of heads")
    inside, outside = step("constraint", 0, at=(0, 1)), step("constraint", 0, at=(1,))
    assert derive(given, within, [inside]).right == HeadSum(product(own, A_e), "heads")
    assert derive(given, within, [common, outside]).right == product(HeadSum(own, "heads"), A_e)
    refused(derive, given, within, [inside, common])
    assert derive(given, within, [inside, step("constraint", 0, 1, at=(0, 1)), common]).right == product(
        HeadSum(own, "heads"), M
    )


def test_an_equation_is_solved_for_a_term_of_either_side() -> None:
    given = Context((Equation(total(A, product(2, B)), product(3, X)),))
    found = [derive(given, term, [step("constraint", 0, i)]).right for i, term in enumerate((A, B, X))]
    third = sympify(1) / 3
    assert found == [
        total(product(-2, B), product(3, X)),
        total(product(-sympify(1) / 2, A), product(sympify(3) / 2, X)),
        total(product(third, A), product(2 * third, B)),
    ]


@pytest.mark.parametrize("name", ["X", "W_Q", "I", "p", "p_hat", "MHA", "sqrt", "M~2", "τ", "X~1"])
def test_no_block_of_a_file_can_have_a_name_that_the_proofs_use(name: str) -> None:
    text = f'name = "n"\n[new]\n"{name}" = "s, h"\n[constraints]\n"{name}" = "0"\n'
    with pytest.raises(VariantError):
        loads(text, "n.toml")


@pytest.mark.parametrize("name", SIX)
def test_the_stream_stands_in_no_hypothesis(name: str) -> None:
    model = paper_model(PRESETS["paper"])
    shell = claim_shell([load(name)], model)
    assert shell.growth is not None
    for X in (stream(shell.growth.old), stream(shell.growth.new)):
        assert all(X not in atoms(side) for h in shell.growth.hypotheses for side in (h.left, h.right))


def test_the_blocks_of_two_steps_never_share_a_name() -> None:
    claim = claim_shell([load("mlp-expansion")] * 2, paper_model(PRESETS["paper"]))
    first, second = ({block.symbol for block in step.blocks} for step in claim.steps)
    assert len(first) == len(second) == 3
    assert not first & second
    assert instance("M", "2") != "M2"


# --- meeting and composing ---


def test_two_theorems_with_one_right_side_meet() -> None:
    other = derive(Context(), total(A, zero(m, n)), [step("sum with zero")])
    assert (meet(TRUE, other).left, meet(TRUE, other).right) == (product(A, eye(n)), total(A, zero(m, n)))


def test_theorems_with_different_right_sides_do_not_meet() -> None:
    assert "do not meet" in refused(meet, TRUE, derive(Context(), B, []))


def test_theorems_under_different_hypotheses_do_not_meet() -> None:
    given = (Equation(B, zero(m, n)),)
    assert "different hypotheses" in refused(meet, TRUE, derive(Context(given), A, []))
    assert "different hypotheses" in refused(meet, derive(Context(given), A, []), TRUE)


def test_theorems_about_different_models_do_not_compose() -> None:
    assert compose([TRUE, TRUE]).theorems == (TRUE, TRUE)
    refused(compose, [TRUE, derive(Context(), B, [])])
    refused(compose, [])


# --- what would make false theorems ---


class Forged(Theorem):
    """A subclass that makes itself."""

    def __init__(self, left: Any, right: Any) -> None:
        for name, value in (("hypotheses", ()), ("left", left), ("right", right)):
            object.__setattr__(self, name, value)


def stand_in(left: Any, right: Any) -> Any:
    return SimpleNamespace(hypotheses=(), left=left, right=right)


@pytest.mark.parametrize("make", [stand_in, Forged])
def test_a_lemma_has_to_be_a_theorem(make: Any) -> None:
    refused(lambda: Context(lemmas=(make(A, B),)))


@pytest.mark.parametrize("make", [stand_in, Forged])
def test_only_theorems_meet_and_compose(make: Any) -> None:
    refused(meet, make(A, zero(m, n)), make(B, zero(m, n)))
    refused(meet, TRUE, make(B, A))
    refused(compose, [make(A, B)])


@pytest.mark.parametrize("key", [None, object(), "_KEY"], ids=["None", "object", "name"])
def test_only_the_kernel_makes_compositions(key: Any) -> None:
    refused(Composition, (TRUE,), key)
    with pytest.raises(TypeError):
        Composition((TRUE,))  # type: ignore[call-arg]


def test_hypotheses_cannot_be_taken_away_later() -> None:
    hypotheses = [Equation(A, zero(m, n))]
    theorem = derive(Context(hypotheses), A, [step("constraint", 0)])  # type: ignore[arg-type]
    hypotheses.clear()
    assert len(theorem.hypotheses) == 1


def test_lemmas_cannot_be_exchanged_later() -> None:
    lemmas = [TRUE]
    given = Context(lemmas=lemmas)  # type: ignore[arg-type]
    lemmas[0] = stand_in(TRUE.left, B)
    assert derive(given, TRUE.left, [step("lemma", 0)]).right == A


def test_a_hypothesis_about_the_stream_is_one_about_every_matrix() -> None:
    """X stands for every matrix of its shape in a hypothesis as in a lemma: X = 0 says that they all are zero."""
    hypotheses = (Equation(X, zero(m, n)),)
    lemma = derive(Context(hypotheses), X, [step("constraint", 0)])
    found = derive(Context(hypotheses, (lemma,), X), A, [step("lemma", 0)])
    assert (found.hypotheses, found.right) == (hypotheses, zero(m, n))


def test_a_layer_that_speaks_of_x_is_not_taken_for_one_of_its_stream() -> None:
    lemma = derive(Context(), total(X, X), [step("like terms")])
    given = Context(lemmas=(lemma,), stream=X)
    adding, doubling = Stack(Y, Z, total(Z, X), "layers"), Stack(Y, Z, total(Z, Z), "layers")
    refused(derive, given, adding, [step("induction over layers")])
    assert derive(given, doubling, [step("induction over layers")]).right == Stack(Y, X, product(2, X), "layers")


def test_a_layer_whose_stream_is_hidden_in_a_stack_is_left_alone() -> None:
    inner = matrix("Z2", m, n)
    layer = Stack(Z, inner, total(inner, Z), "layers")
    lemma = derive(Context(), substitute(layer, {Z: X}), [])
    given = Context(lemmas=(lemma,), stream=X)
    refused(derive, given, Stack(Y, Z, layer, "layers"), [step("induction over layers")])


def test_a_matrix_of_the_heads_stays_one_of_the_heads() -> None:
    own = matrix("B", m, n, ("heads",))
    given = Context((Equation(V, product(own, eye(n))),))  # for each head
    found = derive(given, HeadSum(V, "heads"), [step("constraint", 0, at=(0,)), step("identity", at=(0,))])
    assert found.right == HeadSum(own, "heads")
    refused(derive, given, HeadSum(product(A, Q, W), "heads"), [step("common factor of heads")])


def test_a_matrix_of_the_layers_stays_one_of_the_layers() -> None:
    own, other = (matrix(name, n, n, ("layers",)) for name in ("Q", "R"))
    hypotheses = (Equation(own, other),)  # for each layer
    lemma = derive(Context(hypotheses), product(X, own), [step("constraint", 0, at=(1,))])
    given = Context(hypotheses, (lemma,), X)
    found = derive(given, Stack(Y, X, product(X, own), "layers"), [step("induction over layers")]).right
    assert found == Stack(Y, X, product(X, other), "layers")
    once = Stack(Y, X, product(X, own), "layers", [product(X, own)])
    refused(derive, given, once, [step("induction over layers")])


def test_families_of_different_size_are_not_mixed_up() -> None:
    def emptied(family: str) -> Theorem:
        body = total(A, product(matrix("V", m, n, (family,)), zero(n, n)))
        steps = [step("product with zero", at=(0, 1)), step("sum with zero", at=(0,))]
        return derive(Context(), HeadSum(body, family), steps)

    assert emptied("heads").right == HeadSum(A, "heads")  # E A
    refused(meet, emptied("heads"), emptied("groups"))


def test_a_sum_over_heads_binds_its_own_family_only() -> None:
    of_groups, of_both = matrix("G", n, n, ("groups",)), matrix("H", n, n, ("heads", "groups"))
    common = [step("common factor of heads")]
    for family, last, shared in (
        ("heads", of_groups, True),
        ("groups", W, True),
        ("heads", HeadSum(W, "heads"), True),
        ("heads", HeadSum(of_groups, "groups"), True),
        ("heads", of_both, False),
        ("groups", of_both, False),
        ("heads", HeadSum(of_both, "groups"), False),
        ("groups", HeadSum(of_both, "heads"), False),
        ("heads", matrix("L", n, n, ("layers", "heads")), False),
    ):
        sums = HeadSum(product(A, Q, last), family)
        if shared:
            assert derive(Context(), sums, common).right == product(HeadSum(product(A, Q), family), last)
        else:
            refused(derive, Context(), sums, common)


@pytest.mark.parametrize(
    "start",
    [
        MatMul(Q, R, sympify(2), evaluate=False),  # `scalars` makes 2 2 R of it
        HeadSum(product(V[0, 0], A), "heads"),  # `scalar out` makes V_11 sum_e A of it
        Stack(Y, X, product(V[0, 0], X), "layers"),
        Stack(Y, X, X, "layers", [product(V[0, 0], X)]),
        Act(product(V[0, 0], A), "relu"),
    ],
    ids=str,
)
def test_a_term_that_the_constructors_do_not_build_is_refused(start: Any) -> None:
    refused(derive, Context(), start, [])


@pytest.mark.parametrize(
    ("bad", "term"),
    [
        (step("lemma"), A),
        (step("lemma", 0, 0), A),
        (step("constraint"), A),
        (step("constraint", 0, 0, 0), A),
        (step("lemma", 0, at=(0,)), product(2, A)),
        (step("identity", at=((0, 1, 2),)), product(A, Q, R)),
        (step("identity", at=("a",)), product(A, Q)),
        (step("identity", at=(None,)), product(A, Q)),
        (step("identity", at=(0.0,)), product(A, Q)),
    ],
    ids=lambda bad: f"{bad.rule} {bad.argument} {bad.positions}" if isinstance(bad, Step) else str(bad),
)
def test_a_malformed_step_is_refused_in_words(bad: Step, term: Any) -> None:
    lemma = derive(Context((Equation(B, A),)), X, [])
    refused(derive, Context((Equation(B, A),), (lemma,), X), term, [bad])


def test_no_rule_runs_into_an_error_on_a_term() -> None:
    rng = np.random.default_rng(0)
    for term in (random_term(rng) for _ in range(30)):
        for rule, function in RULES.items():
            for argument in arguments(rule, CONTEXT):
                for _, part in positions(term):
                    with contextlib.suppress(ShapeError):
                        function(CONTEXT, part, argument)


# --- what the kernel lets through: each of these is a hole to be closed ---


def test_a_theorem_is_about_matrices() -> None:
    refused(derive, Context(), sympify(2), [])


def test_a_run_between_no_numbers_is_refused_in_words() -> None:
    refused(derive, Context(), product(A, eye(n)), [step("identity", at=(("a", "b"),))])


@pytest.mark.parametrize("hidden", [MatPow(W, 2), Inverse(W)], ids=str)
def test_a_node_that_the_kernel_does_not_know_is_refused(hidden: Any) -> None:
    refused(derive, Context(), HeadSum(product(V, hidden), "heads"), [step("common factor of heads")])


@pytest.mark.parametrize("hidden", [RowScale(Q, n, W[0, 0]), Norm(Q, matrix("g", 1, n), W[0, 0])], ids=str)
def test_an_entry_of_a_matrix_in_a_norm_is_refused(hidden: Any) -> None:
    refused(derive, Context(), HeadSum(product(V, hidden), "heads"), [step("common factor of heads")])


def test_a_hypothesis_that_the_constructors_do_not_build_is_refused() -> None:
    """V_e = w_e A with an entry w_e of W_e, and then sum_e V_e = w sum_e A."""
    hypotheses = (Equation(V, product(W[0, 0], A)),)
    with pytest.raises(KernelError):
        derive(Context(hypotheses), HeadSum(V, "heads"), [step("constraint", 0, at=(0,)), step("scalar out")])


def test_a_matrix_of_the_name_of_a_selection_is_none() -> None:
    selected = derive(Context(), Act(product(A, selection("Q", n, n)), "relu"), [step("selection")])
    assert selected.right == product(Act(A, "relu"), selection("Q", n, n))
    refused(derive, Context(), Act(product(A, Q), "relu"), [step("selection")])
    refused(derive, Context(lemmas=(selected,)), Act(product(A, Q), "relu"), [step("lemma", 0)])
    refused(meet, selected, derive(Context(), product(Act(A, "relu"), Q), []))


CHOICE = selection("Q", n, n)
COLUMN = matrix(CHOSEN, n, 1, ("heads",))


@pytest.mark.parametrize(
    ("known", "start", "rule", "instance"),
    [
        (CHOICE, Act(product(A, CHOICE), "relu"), "selection", R),
        (
            COLUMN,
            HeadSum(Diag(transposed(product(Softmax(A), COLUMN))), "heads"),
            *("weights of the experts",),
            matrix("b", n, 1),
        ),
    ],
    ids=["a selection", "the column of a member"],
)
def test_what_is_known_of_a_matrix_is_not_known_of_its_instances(
    known: Any, start: Any, rule: str, instance: Any
) -> None:
    """X stands for every matrix of its shape, so it is none of which the rules know more than that."""
    lemma = derive(Context(), start, [step(rule)])
    with pytest.raises(KernelError):
        derive(Context(lemmas=(lemma,), stream=known), substitute(start, {known: instance}), [step("lemma", 0)])


def test_an_instance_of_a_lemma_is_one_in_the_layers_too() -> None:
    """Where N layers add X to it, X becomes (N + 1) X; but A does not become (N + 1) A."""
    hypotheses = (Equation(Stack(X, Z, total(Z, X), "layers"), product(1 + n, X)),)
    lemma = derive(Context(hypotheses), hypotheses[0].left, [step("constraint", 0)])
    given = Context(hypotheses, (lemma,), X)
    refused(derive, given, Stack(A, Z, total(Z, X), "layers"), [step("lemma", 0)])


# --- the kernel as a file ---


TO_READ = (kernel, rules, grids)  # by whoever does not believe a theorem


def source_of(module: Any) -> str:
    return Path(module.__file__).read_text(encoding="utf-8")


def test_a_sceptic_reads_at_most_780_lines_of_code() -> None:
    """The kernel in at most 300, the rules of algebra in at most 450; blocks are cut in what is left."""
    makes_theorems, rewrites, cuts = (len(code_lines(source_of(module))) for module in TO_READ)
    assert 100 < makes_theorems <= 300
    assert 100 < rewrites <= 450
    assert makes_theorems + rewrites + cuts <= 780


def test_only_code_is_counted_as_such() -> None:
    assert code_lines(
        '"""Doc\nstring."""\n\n# comment\nx = 1  # one\n\n\ndef f():\n    """Doc."""\n    return (\n        x\n    )\n'
    ) == {*(5, 8, 10, 11, 12)}


def code_lines(source: str) -> set[int]:
    """The numbers of the lines that hold more than blanks, comments and docstrings."""
    ignored = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    found = {i for t in tokens if t.type not in ignored for i in range(t.start[0], t.end[0] + 1)}
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            found -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return found


@pytest.mark.parametrize("module", TO_READ, ids=lambda module: module.__name__)
def test_no_rule_speaks_of_an_expansion_or_a_parameter(module: Any) -> None:
    for name in (*catalogue(), "W_Q", "W_O", "W_l1", "M_W", "g_MHA", "W_out", "W_R"):
        assert name not in source_of(module)


def test_every_rule_lives_in_one_of_the_files_to_read() -> None:
    homes = {name: rule.__module__ for name, rule in RULES.items()}
    assert {name for name, home in homes.items() if home == rules.__name__} == set(ALGEBRA)
    assert set(homes.values()) == {kernel.__name__, rules.__name__}


def test_a_rule_of_algebra_sees_the_term_alone() -> None:
    given = Context((Equation(product(A, eye(n)), B),), (), X)
    for name, rule in ALGEBRA.items():
        assert RULES[name](given, product(A, eye(n)), ()) == rule(product(A, eye(n)))


def test_every_rule_is_drawn_in_its_docstring() -> None:
    for name, rule in RULES.items():
        assert rule.__doc__ is not None, name
        assert "  =  " in rule.__doc__, name
