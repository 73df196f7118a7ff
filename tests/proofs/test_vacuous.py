"""Constraints that contradict each other are refused with their places; what can be met somewhere never is."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growproof.proofs import vacuous
from growproof.proofs.check import chain, check
from growproof.proofs.vacuous import core, known, looks, refuse_contradiction, stated
from growproof.reports.answers import answer_text
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.errors import VariantError
from growproof.symbolic.variant import load, loads

PAPER = PRESETS["paper"]
MLP = load("mlp-expansion").text.partition("[constraints]")[0]
FIRST = MLP.count("\n") + 2  # the line of the first constraint


def variant(*constraints: str, text: str = MLP, file: str = "my.toml"):
    sides = [constraint.split(" = ") for constraint in constraints]
    return loads(text + "\n".join(["[constraints]", *(f'"{left}" = "{right}"' for left, right in sides)]), file)


def factors(inner: str, *constraints: str):
    """W_l1 times a product S U (p x p) through `inner` columns, which the constraints tie."""
    head = f'name = "Factors"\n[new]\nS = "p, {inner}"\nU = "{inner}, p"\n[rewrite]\nW_l1 = "W_l1*S*U"\n'
    return variant(*constraints, text=head)


def steps(*variants, preset=PAPER):
    return chain(variants, paper_model(preset))


def refusal(*variants, preset=PAPER) -> VariantError:
    with pytest.raises(VariantError, match="the constraints cannot be met") as caught:
        check(variants, preset)
    return caught.value


# --- what cannot be met ---


@pytest.mark.parametrize(
    ("constraints", "named"),
    [
        (("M_W_l2 = 0", "2*M_W_l2 = ones(p_hat - p, h)"), (0, 1)),
        (("M_W_l1 = 0", "M_W_l2 = 0", "M_b_l1 = 0", "-M_b_l1 = ones(1, p_hat - p)"), (2, 3)),
        (("M_W_l2 = 0", "M_W_l1 = 0", "M_W_l1*M_W_l2 = eye(h)"), (0, 2)),
        (("M_W_l2 = M_W_l1'", "M_b_l1 = 0", "M_W_l1 = 0", "2*M_W_l2 = ones(p_hat - p, h)"), (0, 2, 3)),
        (("M_W_l1 = 0", "M_W_l2*M_W_l2' = -eye(p_hat - p)"), (1,)),
        (("M_W_l2'*M_W_l2 = -sqrt(2)*eye(h)",), (0,)),
        (("M_W_l2 = sqrt(p)*ones(p_hat - p, h)", "M_W_l2 + sqrt(p)*ones(p_hat - p, h) = 0"), (0, 1)),
        (("act(M_W_l2) = -ones(p_hat - p, h)",), (0,)),
        (("hadamard(M_b_l1, M_b_l1) = -ones(1, p_hat - p)",), (0,)),
        (("diag(M_b_l1)*diag(M_b_l1) + eye(p_hat - p) = 0",), (0,)),
        (("M_W_l1 = W_l1*ones(p, p_hat - p)", "M_W_l1 - W_l1*ones(p, p_hat - p) = ones(h, p_hat - p)"), (0, 1)),
    ],
)
def test_a_contradiction_is_refused_with_the_fewest_constraints_that_make_it(constraints, named):
    error = refusal(variant(*constraints))
    lines = [FIRST + i for i in named]
    assert (error.file, error.line, error.column) == ("my.toml", lines[0], 2)
    assert all((f"(line {FIRST + i})" in error.found) == (i in named) for i in range(len(constraints)))
    assert "which no numbers meet at" in error.found


@pytest.mark.parametrize("preset", ["gpt2", "llama", "mixtral", "t5"])
def test_a_contradiction_is_refused_on_other_architectures(preset):
    refusal(variant("M_W_l2 = 0", "2*M_W_l2 = ones(p_hat - p, h)"), preset=PRESETS[preset])


def test_a_contradiction_of_heads_is_refused():
    text = load("heads-expansion").text.partition("[constraints]")[0]
    assert (
        "M_W_O"
        in refusal(variant("M_W_O = 0", "M_W_V*M_W_O = W_V*W_O + eye(h)", "W_V*W_O + M_W_V*M_W_O = 0", text=text)).found
    )


def test_without_sizes_one_look_is_enough():
    head = 'name = "Two"\n[new]\nM = "2, 2"\n[rewrite]\nW_l1 = "W_l1*kron(ones(1, 1), eye(p))"\n'
    found = refusal(variant("M = eye(2)", "2*M = eye(2)", text=head)).found
    assert found == "`M = eye(2)` (line 7) and `2*M = eye(2)` (line 8), which no numbers meet"


def test_large_numbers_in_constraints_are_outgrown():
    """S S' = 1 of 9 x 9 asks S for nine columns; only at larger sizes is there room."""
    wide = 'name = "Wide"\n[new]\nS = "9, p"\n[rewrite]\nW_l1 = "W_l1*(eye(p) + 0*S\'*S)"\n'
    seen = list(looks(stated(steps(variant("S*S' = eye(9)", text=wide))), steps(variant("S*S' = eye(9)", text=wide))))
    assert max(max(look.sizes.values()) for look in seen) > 9
    refuse_contradiction(steps(variant("S*S' = eye(9)", text=wide)))


# --- compositions ---


def test_a_contradiction_in_one_step_of_a_chain_is_refused_at_its_place():
    wrong = variant("M_W_l2 = 0", "2*M_W_l2 = ones(p_hat - p, h)", file="second.toml")
    for order in ((load("mlp-expansion"), wrong), (wrong, load("mlp-expansion"))):
        assert refusal(*order).file == "second.toml"


def test_two_steps_that_only_together_contradict_each_other_are_refused():
    """The first makes W_l2 zero; the second needs its square not to be."""
    zero = loads('name = "Zero"\n[new]\nM = "p, h"\n[rewrite]\nW_l2 = "M"\n[constraints]\nM = "0"\n', "zero.toml")
    one = 'name = "One"\n[new]\nM = "h, p"\n[rewrite]\nW_l1 = "W_l1 + 0*M"\n[constraints]\n"M*W_l2" = "eye(h)"\n'
    error = refusal(zero, loads(one, "one.toml"))
    assert (error.file, error.line) == ("zero.toml", 7)
    assert "(one.toml, line 7)" in error.found
    for alone in (steps(zero), steps(loads(one, "one.toml"))):
        refuse_contradiction(alone)


# --- what can be met ---


@pytest.mark.parametrize(
    "one",
    [
        variant("M_W_l2 = 0", "M_b_l1*M_W_l2 = b_l2"),  # by b_l2 = 0
        variant("M_W_l2 = 0", "M_W_l1*M_W_l2 = W_l1*W_l2"),
        variant("M_W_l2'*M_W_l2 = eye(h)"),  # by p_hat - p >= h
        variant("M_W_l1*M_W_l1' = 2*eye(h)", "M_W_l2*M_W_l2' = sqrt(2)*eye(p_hat - p)"),
        variant("act(M_W_l2) = ones(p_hat - p, h)", "act(-M_W_l2) = 0"),
        variant("M_b_l1*M_b_l1' = ones(1, 1)*p^(1/3)"),
        factors("v", "S*U = eye(p)"),  # by v >= p
        factors("v", "S*U = eye(p)", "U*S = eye(v)"),  # by v = p
        factors("4", "S*S' = eye(p)"),  # by p <= 4
        factors("v + 2", "S*U = eye(p)", "S*S' = eye(p)", "U'*U = eye(p)"),
    ],
)
def test_what_can_be_met_somewhere_is_not_refused(one):
    refuse_contradiction(steps(one))


def test_a_scalar_of_the_architecture_may_be_any_number():
    """M = eps 1 and 2 M = 4 1 are met where eps = 2; a base is positive, so with -1 nothing is."""
    head = 'name = "Scalar"\n[new]\nM = "h, h"\n[rewrite]\nW_O = "W_O*M"\n'
    refuse_contradiction(steps(variant("M = eps*eye(h)", "2*M = 4*eye(h)", text=head), preset=PRESETS["paper-eps"]))
    with pytest.raises(VariantError, match="cannot be met"):
        refuse_contradiction(
            steps(variant("M = rope_base*eye(h)", "2*M = -eye(h)", text=head), preset=PRESETS["llama"])
        )


def test_a_hard_system_is_answered_in_time_and_not_refused():
    """Orthogonal matrices that commute with nothing in particular: z3 may find them, or give up."""
    head = 'name = "Hard"\n[new]\n' + "".join(f'{name} = "p, p"\n' for name in "ABCD")
    head += '[rewrite]\nW_l1 = "W_l1*A*B*C*D"\n'
    one = variant("A*A' = eye(p)", "B*B' = eye(p)", "A*B - B*A = C", "C*D + D*C = A'*B", "D*D*D = A + B", text=head)
    start = time.perf_counter()
    refuse_contradiction(steps(one))
    assert time.perf_counter() - start < 5


MET_BY_ZEROS = ["M_W_l2 = 0", "3*M_W_l2 = 0", "M_W_l1 = 0", "M_b_l1 = 0", "M_W_l1*M_W_l2 = 0", "-M_b_l1 = M_b_l1"]


@settings(max_examples=25)
@given(st.lists(st.sampled_from(MET_BY_ZEROS), unique=True, max_size=5))
def test_constraints_that_zeros_meet_are_never_refused(constraints):
    refuse_contradiction(steps(variant(*constraints)))


# --- what is said, and what would be missed ---


def test_z3_is_only_asked_where_no_solution_was_found(monkeypatch):
    def asked(*_: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(vacuous, "refuse_contradiction", asked)
    check([load("mlp-expansion")], PAPER)
    check([variant("M_W_l1 = 0")], PAPER)
    with pytest.raises(AssertionError, match="asked"):
        check([variant("M_W_l2 = 0", "2*M_W_l2 = ones(p_hat - p, h)")], PAPER)


def test_an_answer_of_unknown_refuses_nothing(monkeypatch):
    wrong = variant("M_W_l2 = 0", "2*M_W_l2 = ones(p_hat - p, h)")
    monkeypatch.setattr(vacuous, "WORK", 1)
    hard = variant("M_W_l2*M_W_l2' = -eye(p_hat - p)", "M_W_l1*M_W_l1' = -eye(h)")
    refuse_contradiction(steps(hard))
    assert "z3 does not find out" in known(steps(hard))
    monkeypatch.undo()
    with pytest.raises(VariantError):
        refuse_contradiction(steps(wrong))


def test_an_undecided_answer_says_where_the_constraints_can_be_met():
    said = "\n".join(answer_text(check([variant("M_W_l2 = 0", "M_b_l1*M_W_l2 = b_l2")], PAPER)))
    assert "no solution of the constraints was found for all old parameters and sizes: at h = 1" in said
    assert "they can be met, and not at p = 2, v = 1" in known(steps(factors("v", "S*U = eye(p)")))


def test_the_core_is_what_clashes():
    for clash in ({3, 7}, {0}, {0, 9}, {2, 3, 4}, set(range(10))):
        one = core(range(10), lambda some, clash=clash: clash <= set(some))
        assert one == tuple(sorted(clash))


def test_a_selection_is_never_zero():
    text = 'name = "x"\n[new]\nS = "p, p; selection"\n[rewrite]\nW_l1 = "W_l1*S"\n[constraints]\nS = "0"\n'
    with pytest.raises(VariantError, match="cannot be met"):
        check([loads(text, "x.toml")], PRESETS["paper"])
    assert check([loads(text.replace("; selection", ""), "x.toml")], PRESETS["paper"]).verdict == "refuted"


@pytest.mark.parametrize("identity", ["eye(p_hat)", "2*eye(p_hat)"])
def test_an_identity_through_too_few_coordinates_is_refused_at_once(identity):
    """B A has rank p at most; z3 would have to look at every size."""
    text = 'name = "f"\n[grows]\np = "p_hat"\n[new]\nA = "p, p_hat"\nB = "p_hat, p"\n[rewrite]\nW_l1 = "W_l1*A"\n'
    text += f'b_l1 = "b_l1*A"\nW_l2 = "B*W_l2"\n[constraints]\n"B*A" = "{identity}"\n'
    with pytest.raises(VariantError, match="an identity of p_hat rows through p columns"):
        refuse_contradiction(chain([loads(text, "f.toml")], paper_model(PRESETS["paper"])))
    wide = text.replace('"B*A"', '"A*B"').replace("eye(p_hat)", "eye(p)")
    refuse_contradiction(chain([loads(wide, "f.toml")], paper_model(PRESETS["paper"])))
