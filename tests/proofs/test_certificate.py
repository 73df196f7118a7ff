"""A certificate holds or it does not: whatever is altered in one, nothing new is ever believed.

`verify` rebuilds the claim from the variants' text, so that most alterations show by themselves.  A forger who
keeps a file consistent, with its own sha256 and statement, meets the kernel.
"""

import copy
import hashlib
import json
import random
import tracemalloc
from collections.abc import Iterator
from functools import cache
from typing import Any

import as_published
import pytest

from growproof.proofs.certificate import FORMAT, CertificateError, certificate, verify
from growproof.proofs.check import check, claim_shell
from growproof.proofs.statement import plain, statement
from growproof.reports.verification import verify_file
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.errors import VariantError
from growproof.symbolic.variant import load, loads

SIX = (
    *("mlp-expansion", "head-addition", "heads-expansion"),
    *("attention-expansion", "hidden-expansion", "layer-addition"),
)
PAPER = PRESETS["paper"]
PAIR = ("head-addition", "mlp-expansion")
Json = Any
Path = tuple[Any, ...]


@cache
def _certificate(names: tuple[str, ...]) -> str:
    return json.dumps(certificate(check([load(name) for name in names], PAPER)))


def fresh(*names: str) -> Json:
    """A certificate of its own, to be altered."""
    return json.loads(_certificate(names))


def rejected(found: Json) -> str:
    """The one line in which a certificate is rejected."""
    with pytest.raises(CertificateError) as caught:
        verify(found)
    return str(caught.value)


def holds(found: Json) -> bool:
    try:
        verify(found)
    except CertificateError:
        return False
    return True


# --- what holds ---


@pytest.mark.parametrize("names", [*((name,) for name in SIX), PAIR, SIX], ids=" then ".join)
def test_the_certificate_of_what_is_proved_holds_and_says_what_it_proves(names):
    held = verify(fresh(*names))
    claim = claim_shell([load(name) for name in names], paper_model(PAPER))
    assert held.statement == " ".join(plain(line) for line in statement(claim.steps))
    assert all(load(name).name in held.statement for name in names)
    assert [lines[0] for lines in held.variants] == [f"{load(n).name}, sha256 {load(n).sha256}" for n in names]
    assert held.architecture == "paper"


def test_a_certificate_is_the_same_every_time():
    again = certificate(check([load(name) for name in PAIR], PAPER))
    assert json.dumps(again) == _certificate(PAIR)


def test_there_is_no_certificate_for_what_is_not_proved():
    for text in ('name = "a"\n[rewrite]\nW_Q = "2*W_Q"\n', 'name = "b"\n[rewrite]\nI = "2*I"\nP = "P"\n'):
        answer = check([loads(text, "f.toml")], PAPER)
        with pytest.raises(CertificateError, match=answer.verdict):
            certificate(answer)


def test_a_chain_too_long_for_one_claim_has_a_certificate_of_its_links():
    chain = [load(name) for name in ("mlp-expansion", "head-addition") * 5]
    found = certificate(check(chain, PAPER))
    assert len(found["claims"]) == 2
    assert len(found["chain"]) == 10
    assert len(verify(found).variants) == 2
    assert verify(found).statement.count("MLP expansion") == 5


# --- every leaf of one certificate, altered ---


def places(found: Json, path: Path = ()) -> Iterator[Path]:
    """The path of everything in a JSON tree, the whole of it left out."""
    if path:
        yield path
    entries = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    for key, inside in entries:
        yield from places(inside, (*path, key))


def at(found: Json, path: Path) -> Json:
    for key in path:
        found = found[key]
    return found


def altered(found: Json, path: Path, value: Json) -> Json:
    found = copy.deepcopy(found)
    at(found, path[:-1])[path[-1]] = value
    return found


def without(found: Json, path: Path) -> Json:
    found = copy.deepcopy(found)
    del at(found, path[:-1])[path[-1]]
    return found


JUNK = (None, True, float("nan"), "", [])


def others(value: Json) -> Iterator[Json]:
    """Values that are not this one: of other types, and near it."""
    near: tuple[Json, ...] = ()
    if isinstance(value, str):
        near = (value + " ", value[1:], value.upper())
    elif type(value) is int:
        near = (value + 1, value - 1, float(value), bool(value))
    elif isinstance(value, list):
        near = (value[1:], value[:-1], [*value, *value], [*value, 0], value[::-1], [value])
    elif isinstance(value, dict):
        near = (value | {"more": 0}, dict(list(value.items())[1:]))
    written = json.dumps(value)
    yield from (other for other in (*JUNK, *near) if json.dumps(other) != written)


def leaves(found: Json) -> list[Path]:
    return [path for path in places(found) if not isinstance(at(found, path), dict | list)]


def test_every_other_leaf_is_rejected():
    """Each string and number of a small certificate, replaced by others in turn."""
    found = fresh("head-addition")
    tried = [(path, other) for path in leaves(found) for other in others(at(found, path))]
    assert [(path, other) for path, other in tried if holds(altered(found, path, other))] == []
    assert len(tried) > 300


@pytest.mark.parametrize(("names", "count"), [(("hidden-expansion",), 25), (PAIR, 25), (SIX, 8)])
def test_a_sample_of_the_leaves_of_a_larger_certificate(names, count):
    found = fresh(*names)
    chosen = random.Random(0)
    for path in chosen.sample(leaves(found), count):
        other = chosen.choice(list(others(at(found, path))))
        assert not holds(altered(found, path, other)), (path, other)


KEYS = ("format", "architecture", "variants", "chain", "statement", "claims")


def test_nothing_can_be_left_out_or_added():
    found = fresh("mlp-expansion")
    assert tuple(found) == KEYS
    tables = [path for path in places(found) if isinstance(at(found, path), dict)]
    for path in [(), *tables]:
        assert "unknown" in rejected(with_more(found, path))
        assert not any(holds(without(found, (*path, key))) for key in at(found, path))


def with_more(found: Json, path: Path) -> Json:
    found = copy.deepcopy(found)
    at(found, path)["note"] = "checked by nobody"
    return found


def steps(found: Json) -> list[Path]:
    return [path for path in places(found) if path[-2:-1] in (("from left",), ("from right",))]


@pytest.mark.parametrize("name", ["mlp-expansion", "attention-expansion"])
def test_no_step_can_be_dropped_repeated_or_moved(name):
    found = fresh(name)
    for path in steps(found):
        chain, i = at(found, path[:-1]), path[-1]
        assert not holds(without(found, path))
        assert not holds(altered(found, path[:-1], [*chain[: i + 1], *chain[i:]]))
        if i:
            assert not holds(altered(found, path[:-1], [*chain[: i - 1], chain[i], chain[i - 1], *chain[i + 1 :]]))
    assert len(steps(found)) > 5


def test_steps_cannot_change_sides():
    found = fresh("hidden-expansion")
    for i, goal in enumerate(found["claims"][0]["goals"]):
        if goal["from left"] != goal["from right"]:
            other = goal | {"from left": goal["from right"], "from right": goal["from left"]}
            assert not holds(altered(found, ("claims", 0, "goals", i), other))


@pytest.mark.parametrize("name", SIX)
def test_goals_can_be_neither_reordered_nor_repeated_nor_renamed(name):
    found = fresh(name)
    goals = found["claims"][0]["goals"]
    where = ("claims", 0, "goals")
    assert not holds(altered(found, where, goals[::-1]))
    assert not holds(altered(found, where, [*goals, goals[-1]]))
    assert not holds(altered(found, where, []))
    for i, goal in enumerate(goals):
        assert not holds(altered(found, (*where, i), goal | {"name": "another goal"}))


@pytest.mark.parametrize("name", SIX)
def test_a_goal_that_another_needs_cannot_be_dropped(name):
    found = fresh(name)
    goals = found["claims"][0]["goals"]
    for i, goal in enumerate(goals):
        if goal["from left"] or goal["name"] == "model":
            assert not holds(without(found, ("claims", 0, "goals", i))), goal["name"]


def test_a_goal_cannot_be_swapped_for_an_easier_one():
    """The goals come from the variant's text; what stands in the certificate is only compared."""
    found = fresh("mlp-expansion")
    goals = found["claims"][0]["goals"]
    i = next(i for i, goal in enumerate(goals) if goal["name"] == "MLP")
    trivial = goals[i] | {"left": goals[i]["right"], "from left": []}
    assert not holds(altered(found, ("claims", 0, "goals", i), trivial))


# --- the variant, the architecture and the chain ---


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('M_W_l2 = "0" ', ""),  # a constraint removed
        ('M_W_l2 = "0" ', 'M_W_l1 = "0" '),
        ("p_hat", "q"),  # a size renamed
        ("M_W_l1", "M_one"),  # a block renamed
        ("MLP expansion", "Anything at all"),
        ("[W_l1, M_W_l1]", "[M_W_l1, W_l1]"),
        ("# Definition 3.1", "# Definition 3.2"),
    ],
)
def test_an_edited_text_is_rejected(old, new):
    found = fresh("mlp-expansion")
    text = found["variants"][0]["text"]
    assert text.replace(old, new) != text
    assert not holds(altered(found, ("variants", 0, "text"), text.replace(old, new)))


def test_another_architecture_is_rejected():
    for name in ("mlp-expansion", "hidden-expansion"):
        assert not holds(altered(fresh(name), ("architecture",), "paper-eps"))
    assert "no architecture" in rejected(altered(fresh("mlp-expansion"), ("architecture",), "gpt"))


def test_the_order_of_a_chain_counts():
    found = fresh(*PAIR)
    assert found["chain"] == [0, 1]
    for chain in ([1, 0], [0], [1], [], [0, 0], [0, 2], [0, -1], [0, True]):
        assert not holds(altered(found, ("chain",), chain))
    assert not holds(altered(found, ("variants",), found["variants"][::-1]))
    assert not holds(altered(found, ("claims", 2, "variants"), [1, 0]))


def test_a_certificate_without_the_claim_that_it_is_for_is_rejected():
    found = fresh(*PAIR)
    assert "not those of the chain" in rejected(altered(found, ("claims",), found["claims"][:1]))
    assert not holds(altered(found, ("claims",), []))
    swapped = altered(found, ("claims", 0, "goals"), found["claims"][1]["goals"])
    assert not holds(swapped)


# --- forgeries that are consistent ---


def forged(text: str, name: str) -> Json:
    """A text with the derivation of a catalogue variant, every other entry as it would be if it held."""
    variant = loads(text, "forged.toml")
    found = fresh(name)
    found["variants"][0] = {
        "name": variant.name,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "text": text,
    }
    claim = claim_shell([variant], paper_model(PAPER))
    found["claims"][0]["statement"] = " ".join(plain(line) for line in statement(claim.steps))
    return found


DROPPED = [(name, i) for name in SIX for i in range(len(as_published.load(name).constraints))]


@pytest.mark.parametrize(("architecture", "absent"), [("paper", "W_gate b_gate"), ("llama", "b_l1 b_gate")])
def test_what_a_variant_does_is_said_without_what_the_architecture_lacks(architecture, absent):
    ((_, *said),) = verify(certificate(check([load("mlp-expansion")], PRESETS[architecture]))).variants
    names = [name for name in ("W_l1", "b_l1", "W_l2", "W_gate", "b_gate") if name not in absent.split()]
    shapes = {"W_l2": "p_hat - p x h", **dict.fromkeys(("b_l1", "b_gate"), "1 x p_hat - p")}
    blocks = [f"M_{name} is new: {shapes.get(name, 'h x p_hat - p')}" for name in names]
    rewrites = [f"{name} becomes [{name}{';' if name == 'W_l2' else ','} M_{name}]" for name in names]
    assert said == ["p grows to p_hat", *blocks, *rewrites]


def test_a_forgery_of_the_true_text_is_the_certificate():
    """So that what is rejected below is rejected for its text."""
    for name in SIX:
        assert forged(load(name).text, name) == fresh(name)


@pytest.mark.parametrize(("name", "gone"), DROPPED)
def test_a_variant_without_a_constraint_and_the_derivation_of_the_true_one_is_rejected(name, gone):
    """The forger even counts the remaining constraints anew."""
    before, header, after = as_published.load(name).text.partition("[constraints]")
    lines = [line for line in after.splitlines() if " = " in line]
    text = before + header + "\n" + "\n".join(lines[:gone] + lines[gone + 1 :]) + "\n"
    found = forged(text, name)
    for path in steps(found):
        step = at(found, path)
        if step["rule"] == "constraint" and step["argument"][0] > gone:
            step["argument"][0] -= 1
    assert rejected(found).startswith(("the rule 'constraint' does not apply", "the claim has no stream map"))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("mlp-expansion", 'M_W_l2 = "0" ', 'M_W_l1 = "0" '),
        ("attention-expansion", "sqrt(k_hat)/sqrt(k)*", ""),
        ("attention-expansion", "sqrt(k_hat)/sqrt(k)*", "k_hat/k*"),
        ("heads-expansion", "[W_O; M_W_O]", "[M_W_O; W_O]"),
        ("hidden-expansion", "sqrt(h)/sqrt(h_hat)*g_MLP", "g_MLP"),
        ("hidden-expansion", 'M_I = "0"\n', ""),
        ("layer-addition", 'M_b_l2 = "0"\n', ""),
    ],
)
def test_a_nearly_true_variant_with_the_derivation_of_a_true_one_is_rejected(name, old, new):
    text = load(name).text
    if old not in text:
        old = old.rstrip()
    assert old in text
    assert not holds(forged(text.replace(old, new), name))


def test_a_contradiction_with_a_derivation_that_the_kernel_accepts_is_rejected():
    """Every step holds under M_W_l2 = 0; but the constraints have no solution, so nothing was proved."""
    text = load("mlp-expansion").text + '"M_W_l2*ones(h, 1)" = "ones(p_hat - p, 1)"\n'
    assert "cannot be met" in rejected(forged(text, "mlp-expansion"))


def test_a_forged_step_has_no_rule_to_go_by():
    found = fresh("mlp-expansion")
    step = next(path for path in steps(found) if at(found, path)["rule"] == "constraint")
    for rule in ("believe me", "Constraint", "", "hypothesis", "__class__"):
        assert "no rule" in rejected(altered(found, (*step, "rule"), rule))


# --- what is no certificate ---


@pytest.mark.parametrize(
    "found", [None, 0, "x", [], {}, [{}], {"format": FORMAT + "0"}, {"format": None}, {"format": [FORMAT]}]
)
def test_what_is_no_certificate_is_called_so(found):
    assert "no certificate" in rejected(found)


def test_a_certificate_with_nothing_in_it_is_malformed():
    assert "malformed" in rejected({"format": FORMAT})
    empty = {"format": FORMAT, "architecture": "paper", "variants": [], "chain": [], "claims": []}
    assert not holds(empty)


def test_a_text_that_is_no_variant_is_rejected_with_its_place():
    text = load("mlp-expansion").text.replace("M_W_l2]", "M_W_l3]")
    line = next(i for i, line in enumerate(text.splitlines(), 1) if "M_W_l3]" in line)
    assert f":{line}:16:" in rejected(altered(fresh("mlp-expansion"), ("variants", 0, "text"), text))
    assert not holds(altered(fresh("mlp-expansion"), ("variants", 0, "text"), "\x00"))


@pytest.mark.parametrize("cut", [0, 1, 1000, -1])
def test_a_truncated_file_is_refused(cut, tmp_path):
    path = tmp_path / "proof.json"
    path.write_text(_certificate(("mlp-expansion",))[:cut])
    with pytest.raises(VariantError, match="not valid JSON"):
        verify_file(path)


# --- alterations that say nothing new ---


def needless() -> Iterator[tuple[str, Json]]:
    """Alterations after which the kernel still proves the chain, from less or in another way."""
    one, pair = fresh("mlp-expansion"), fresh(*PAIR)
    goals = [goal["name"] for goal in one["claims"][0]["goals"]]
    yield "a goal that nothing needs is dropped", without(one, ("claims", 0, "goals", goals.index("output")))
    yield "a link is repeated", altered(one, ("chain",), [0, 0])
    yield "a claim is repeated", altered(one, ("claims",), one["claims"] * 2)
    yield "a claim is dropped where another proves the chain", without(pair, ("claims", 0))
    yield "claims are reordered", altered(pair, ("claims",), pair["claims"][::-1])
    step = next(path for path in steps(one) if at(one, path)["rule"] == "block product")
    yield "an argument for a rule that takes none", altered(one, (*step, "argument"), [0])
    several = next(path for path in steps(one) if len(at(one, path)["positions"]) > 1)
    yield "places in another order", altered(one, (*several, "positions"), at(one, several)["positions"][::-1])


NEEDLESS = dict(needless())


@pytest.mark.parametrize("what", NEEDLESS)
def test_every_alteration_is_rejected(what):
    assert not holds(NEEDLESS[what])


def test_a_rejection_is_one_line():
    found = fresh("mlp-expansion")
    names = [goal["name"] for goal in found["claims"][0]["goals"]]
    assert "\n" not in rejected(without(found, ("claims", 0, "goals", names.index("MLP"))))


def test_deep_nesting_is_rejected():
    deep: Json = []
    for _ in range(100_000):
        deep = [deep]
    rejected(altered(fresh("mlp-expansion"), ("claims", 0, "statement"), deep))


def test_a_run_longer_than_the_term_costs_nothing():
    found = fresh("attention-expansion")
    run = next(path for path in places(found) if isinstance(at(found, path), list) and path[-3:-2] == ("positions",))
    hostile = altered(found, run, [0, 10**6])
    tracemalloc.start()
    rejected(hostile)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000
