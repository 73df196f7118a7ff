"""A proved variant on random numbers: in every format, on every architecture, and saying where rounding interferes."""

import pytest

from growproof.proofs.check import check
from growproof.proofs.experiment import Outcome, experiment
from growproof.symbolic.architecture import PRESETS
from growproof.symbolic.variant import loads

THIRDS = """
name = "New units in pairs that cancel"

[grows]
p = "3*p"

[new]
M = "h, p"
m = "1, p"
N_1 = "p, h"
N_2 = "p, h"

[rewrite]
W_l1 = "[W_l1, M, M]"
b_l1 = "[b_l1, m, m]"
W_l2 = "[W_l2; {a}*N_1; N_2]"

[constraints]
"N_2" = "-{a}*N_1"
"""


def outcomes(a: str, architecture: str) -> tuple[Outcome, ...]:
    answer = check([loads(THIRDS.format(a=a), "f.toml")], PRESETS[architecture])
    assert answer.verdict == "proved"
    return experiment([claim.steps[0] for claim in answer.parts])


@pytest.mark.parametrize("architecture", ["paper", "bert"])
def test_a_constraint_that_a_format_cannot_meet_is_said_to_hold_only_nearly(architecture: str) -> None:
    """A third of most numbers of 8, 11 or 24 bits has no place in them; in 53 bits it is met up to a rounding error."""
    found = {one.dtype: one for one in outcomes("1/3", architecture)}
    assert [dtype for dtype, one in found.items() if not one.met] == ["float32", "float16", "bfloat16"]
    assert found["float64"].remark == ""
    assert "only nearly" in found["bfloat16"].remark


@pytest.mark.parametrize("architecture", ["paper", "bert"])
def test_a_constraint_with_a_power_of_two_holds_in_every_format(architecture: str) -> None:
    assert [one.met for one in outcomes("1/2", architecture)] == [True] * 4
