"""The weakest condition, read off the proof: as derived by hand, sufficient for all sizes, necessary at small ones."""

from functools import cache

import pytest
from as_published import load
from hypothesis import given, settings
from hypothesis import strategies as st
from unpublished import ADAPTER, TWO_VALUES, WRITERS

from growproof.proofs import solver, weakest
from growproof.proofs.check import claim_about, claim_of, derived
from growproof.proofs.choices import constrained
from growproof.proofs.goals import goals
from growproof.proofs.kernel import Context, Equation
from growproof.proofs.prover import prove
from growproof.proofs.weakest import INPUTS, first_no, necessity
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.notation import text as shown
from growproof.symbolic.terms import product, total, transposed, zero
from growproof.symbolic.variant import SIX, loads

RELU = "act(RowScale(X*X', h, 0)*X*diag({g})*{A} + ones(s, 1)*{d})*{C}"

BY_HAND = {  # the goal that stays open, and what its difference is once old factors are taken off both ends
    "mlp-expansion": {"MLP": {RELU.format(g="g_MLP", A="M_W_l1", d="M_b_l1", C="M_W_l2")}},
    "head-addition": {"attention": {"M_W_V*M_W_O"}},
    "heads-expansion": {"attention": {"M_W_V*M_W_O"}},
    "attention-expansion": {"attention": {"M_W_Q*M_W_K'"}},
    "hidden-expansion": {"input": {"M_I + M_P"}, "attention": {"M_W_O"}, "MLP": {"M_W_l2", "M_b_l2"}},
    "layer-addition": {
        "attention of new layer 1": {"diag(M_g_MHA)*M_W_V*M_W_O"},
        "MLP of new layer 1": {
            RELU.format(g="M_g_MLP", A="M_W_l1", d="M_b_l1", C="M_W_l2") + " + ones(s, 1)*M_b_l2",
        },
    },
}

DOUBLE = """
name = "Twice the keys"
[grows]
k = "2*k"
[new]
A = "h, k"
B = "h, k"
[rewrite]
W_Q = "[W_Q, A]"
W_K = "[sqrt(2)*W_K, B]"
"""

OTHERS = {
    TWO_VALUES: {"attention": {"V1*O1 + V2*O2"}},
    DOUBLE: {"attention": {"A*B'"}},
    ADAPTER: {"MLP": {"A*B"}},
    WRITERS: {"MLP": {"A", "b"}},
}
NAMES = {TWO_VALUES: "values", DOUBLE: "double", ADAPTER: "adapter", WRITERS: "writers"}
ALL = {load(name).text: expected for name, expected in BY_HAND.items()} | OTHERS
every = pytest.mark.parametrize("text", ALL, ids=[*BY_HAND, *NAMES.values()])


@cache
def claim(text):
    return claim_of([loads(text, "variant.toml")], paper_model(PRESETS["paper"]))


@cache
def found(text):
    return weakest.weakest(claim(text))


def conditions(weak):
    return {part.square: {shown(equation.left) for equation in part.equations} for part in weak.conditions}


def blocks(text):
    return {block.name: block.symbol for block in claim(text).steps[0].blocks}


def vanishes(term):
    return Equation(term, zero(*term.shape))


# --- as derived by hand ---


@every
def test_the_condition_is_the_one_derived_by_hand(text):
    assert conditions(found(text)) == ALL[text]


@every
def test_it_is_sufficient_for_all_sizes_and_necessary_at_small_ones(text):
    assert found(text).sufficient
    assert found(text).claim.theorem is not None
    assert all(part.holds_for_one_head for part in found(text).conditions)
    assert {one.answer.verdict for part in found(text).conditions for one in part.necessary if one.sizes["E"] == 1} == {
        "unsat"
    }


def test_two_heads_cancel_each_other_only_where_no_old_parameter_tells_them_apart():
    """Two heads of a new layer may write M and -M; two old heads have values of their own."""
    for name in SIX:
        parts = found(load(name).text).conditions
        several = [one.answer.verdict for part in parts for one in part.necessary if one.sizes["E"] == 2]
        assert set(several) <= ({"sat"} if name == "layer-addition" else {"unsat"})


@every
def test_it_speaks_of_all_inputs_only_where_an_activation_is_between(text):
    for part in found(text).conditions:
        assert part.for_all_inputs == any("act(" in shown(equation.left) for equation in part.equations)


@every
def test_it_is_asked_about_one_new_unit_and_about_two(text):
    """One unit cannot tell a product that vanishes from a factor that does."""
    for part in found(text).conditions:
        first, second = (one.sizes for one in part.necessary if one.sizes["E"] == 1)
        assert first != second


@pytest.mark.parametrize("name", SIX)
def test_the_papers_constraint_implies_it(name):
    """Otherwise it would not be sufficient; the converse is false for each of the six, whose constraints are zeros."""
    own = [Equation(*pair) for pair in claim(load(name).text).steps[0].constraints]
    for equation in found(load(name).text).equations:
        assert prove(Context(own), equation.left, equation.right).theorem is not None
    open_ones = [e for e in own if prove(Context(found(load(name).text).equations), e.left, e.right).theorem is None]
    assert open_ones


@pytest.mark.parametrize("name", SIX)
def test_other_names_of_the_blocks_rename_the_condition(name):
    text = load(name).text
    names = {block: f"Z{i}" for i, block in enumerate(load(name).new)}

    def renamed(words):
        for block in sorted(names, key=len, reverse=True):
            words = words.replace(block, names[block])
        return words

    def sorted_words(shown):  # a sum is written in the order of its names
        return {square: {frozenset(line.split(" + ")) for line in lines} for square, lines in shown.items()}

    expected = {square: {renamed(line) for line in lines} for square, lines in BY_HAND[name].items()}
    assert sorted_words(conditions(found(renamed(text)))) == sorted_words(expected)


@pytest.mark.parametrize("constraint", ['M_W_Q = "0"', '"M_W_Q*M_W_K\'" = "0"', ""])
def test_what_the_variant_asks_for_does_not_change_it(constraint):
    text = load("attention-expansion").text.partition("[constraints]")[0] + f"[constraints]\n{constraint}\n"
    assert conditions(found(text)) == BY_HAND["attention-expansion"]


def test_without_a_stream_map_there_is_none():
    assert weakest.weakest(claim('name = "Sum of squares"\n[rewrite]\nI = "hadamard(I, I)"\n')) is None


def test_a_variant_that_changes_nothing_asks_nothing():
    weak = found('name = "Nothing"\n')
    assert (weak.conditions, weak.sufficient, weak.is_necessary) == ((), True, True)


# --- a condition that is too strong is not called necessary ---


def verdicts(text, square, *terms):
    (goal,) = [goal for goal in goals(claim(text).growth) if goal.name == square]
    return [part.answer.verdict for part in necessity(claim(text), goal, [vanishes(term) for term in terms], False)]


def stronger():
    Q, K = (blocks(load("attention-expansion").text)[name] for name in ("M_W_Q", "M_W_K"))
    V1, V2, O1, O2 = (blocks(TWO_VALUES)[name] for name in ("V1", "V2", "O1", "O2"))
    attention = load("attention-expansion").text
    return [
        (attention, "attention", (Q,)),
        (attention, "attention", (K,)),
        (attention, "attention", (product(Q, transposed(K)), Q)),
        (TWO_VALUES, "attention", (product(V1, O1), product(V2, O2))),
        (TWO_VALUES, "attention", (product(V1, O1),)),
        (ADAPTER, "MLP", (blocks(ADAPTER)["B"],)),
        (WRITERS, "MLP", (total(*(2 * [blocks(WRITERS)["b"]])), blocks(WRITERS)["A"])),
    ]


@pytest.mark.parametrize(("text", "square", "terms"), stronger()[:-1])
def test_a_stronger_condition_is_not_necessary(text, square, terms):
    assert "sat" in verdicts(text, square, *terms)


def test_the_same_condition_said_otherwise_is_necessary():
    assert set(verdicts(*stronger()[-1][:2], *stronger()[-1][2])) == {"unsat"}


def test_a_core_that_is_too_strong_is_replaced_by_the_residual_itself(monkeypatch):
    Q = blocks(load("attention-expansion").text)["M_W_Q"]
    monkeypatch.setattr(weakest, "core", lambda term, new: (vanishes(Q),))
    weak = weakest.weakest(claim(load("attention-expansion").text))
    (part,) = weak.conditions
    assert part.for_all_inputs
    assert vanishes(Q) not in part.equations
    assert weak.sufficient


# --- and one that is too weak is not called sufficient ---


def test_a_core_that_is_too_weak_is_not_sufficient(monkeypatch):
    monkeypatch.setattr(weakest, "core", lambda term, new: ())
    for name in ("attention-expansion", "head-addition"):
        assert not weakest.weakest(claim(load(name).text)).sufficient


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        (TWO_VALUES, lambda own: [product(own["V1"], own["O1"])]),
        (DOUBLE, lambda own: [product(own["A"], transposed(own["B"]), own["A"])]),
        (WRITERS, lambda own: [own["A"]]),
    ],
    ids=["one of two", "a multiple", "one of two writers"],
)
def test_a_weaker_condition_proves_nothing(text, terms):
    pairs = [(term, zero(*term.shape)) for term in terms(blocks(text))]
    step = constrained(claim(text).steps[0], pairs)
    assert derived(claim_about(claim(text).variants, [step])).theorem is None


def test_a_condition_without_an_equation_cannot_fail():
    assert set(verdicts(load("attention-expansion").text, "attention")) == {"unsat"}


# --- z3's answers ---


def test_what_z3_does_not_know_is_not_called_necessary(monkeypatch):
    ask = solver.ask
    monkeypatch.setattr(weakest.solver, "ask", lambda query: ask(query, work=1))
    weak = weakest.weakest(claim(load("mlp-expansion").text))
    assert "unknown" in {answer.verdict for answer in weak.answers}
    assert not weak.is_necessary


@given(st.lists(st.sampled_from(["sat", "unsat", "unknown"]), min_size=1, max_size=len(INPUTS)))
@settings(max_examples=50)
def test_more_inputs_are_asked_for_only_while_the_answer_is_yes(verdicts):
    queries = [solver.Answer(solver.Query(str(i), ()), verdict) for i, verdict in enumerate(verdicts)]
    expected = next((query for query in queries if query.verdict != "sat"), queries[-1])
    assert first_no(iter(queries)) is expected
