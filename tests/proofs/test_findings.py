"""What the paper gets wrong: each finding rests on verdicts or measurements, and could have come out otherwise."""

import re
from functools import cache
from itertools import pairwise

from growproof.proofs.certificate import certificate, verify
from growproof.proofs.findings import Finding, edited, findings, zero_row
from growproof.proofs.statement import plain
from growproof.symbolic.syntax import show
from growproof.symbolic.variant import Variant, load


@cache
def found() -> dict[str, Finding]:
    return {finding.id: finding for finding in findings()}


def verdicts(name: str) -> list[str]:
    return [answer.verdict for answer in found()[name].answers]


def constraints(variant: Variant) -> set[str]:
    return {f"{show(constraint.left)} = {show(constraint.right)}" for constraint in variant.constraints}


WRITERS = {"M_W_l2 = 0", "M_b_l2 = 0", "M_W_O = 0"}


def test_table_1_as_printed_is_refuted(change):
    """It leaves out M_I, which equation 37 has, and lists the gains, which no equation has."""
    (answer,) = found()["table-1"].answers
    assert constraints(answer.variants[0]) == WRITERS | {"M_P = 0", "M_g_MHA = 0", "M_g_MLP = 0"}
    assert answer.verdict == "refuted"
    assert change(answer.counterexample) > 1e-3


def test_random_columns_of_an_embedding_are_refuted(change):
    (answer,) = found()["random-embedding-columns"].answers
    assert constraints(answer.variants[0]) == WRITERS | {"M_P = 0"}
    assert change(answer.counterexample) > 1e-3
    moved = answer.counterexample.instance.new[0]["M_I"]
    assert moved.any()


def test_input_and_positions_may_cancel(proved):
    (answer,) = found()["input-and-positions-cancel"].answers
    assert constraints(answer.variants[0]) == WRITERS | {"M_I + M_P = 0"}
    assert proved(answer)
    assert "M_I + M_P = 0" in plain(found()["input-and-positions-cancel"].title)


def test_an_epsilon_breaks_theorem_3_5_and_one_rewrite_repairs_it(change, proved):
    broken, repaired = found()["epsilon"].answers
    assert broken.variants[0] == load("hidden-expansion")
    assert broken.preset.name == repaired.preset.name == "paper-eps"
    assert change(broken.counterexample) > 1e-3
    assert broken.residual
    assert proved(repaired)
    assert "eps_hat = eps*h/h_hat" in plain(found()["epsilon"].title)


def test_the_smaller_the_activations_the_more_an_epsilon_changes():
    """Its share is eps over the mean square, so that a tenth of the size makes it a hundred times as large."""
    pattern = re.compile(r"size (\S+): .* by (\S+) of the largest; with the epsilon repaired by (\S+)\.$")
    rows = [tuple(map(float, pattern.search(line).groups())) for line in found()["epsilon"].measured]
    assert [size for size, _, _ in rows] == [1, 0.1, 0.01]
    changes = [kept for _, kept, _ in rows]
    assert all(30 < after / before < 300 for before, after in pairwise(changes))
    assert all(repaired < 1e-13 for _, _, repaired in rows)


def test_a_zero_row_has_no_norm_without_an_epsilon():
    assert "row [1] of the stream zero with eps = 0" in zero_row()
    assert zero_row().endswith("eps = 1e-6: finite outputs")
    assert found()["zero-row"].measured == (zero_row(),)


def test_the_zeros_of_3_4_are_neither_the_only_ones_nor_the_weakest(proved):
    queries, weakest = found()["minimal"].answers
    assert constraints(queries.variants[0]) == {"M_W_Q = 0"}
    assert constraints(weakest.variants[0]) == {"M_W_Q*M_W_K' = 0"}
    assert proved(queries)
    assert proved(weakest)


def test_every_proof_among_the_findings_has_a_certificate():
    proofs = [answer for finding in found().values() for answer in finding.answers if answer.verdict == "proved"]
    assert len(proofs) == 4
    assert all(verify(certificate(answer)) for answer in proofs)


def test_every_finding_shows_something():
    assert all(finding.answers or finding.measured for finding in found().values())


def test_an_edit_changes_the_constraints_and_nothing_else():
    variant = load("hidden-expansion")
    other = edited(variant, "Other", {"M_P": "0"}, {"eps": "eps*h/h_hat"})
    assert other.name == "Other"
    assert constraints(other) == {"M_P = 0"}
    assert {name: show(entry) for name, entry in other.rewrite.items() if name != "eps"} == {
        name: show(entry) for name, entry in variant.rewrite.items()
    }
    assert show(other.rewrite["eps"]) == "eps*h/h_hat"
    same = edited(variant, variant.name, {show(c.left): show(c.right) for c in variant.constraints})
    assert (same.rewrite, same.constraints, same.new) == (variant.rewrite, variant.constraints, variant.new)


def test_other_seeds_find_the_same():
    assert {f.id: [a.verdict for a in f.answers] for f in findings(1)} == {name: verdicts(name) for name in found()}
