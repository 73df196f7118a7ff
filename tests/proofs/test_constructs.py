"""Selections, copies, groups, bodies, what an architecture becomes: what is true is proved, what looks like it is not.

Every verdict is judged by the second reading of second_reading.py, which shares no code with the package.
"""

import json
import re

import constructs
import numpy as np
import pytest
import second_reading
from constructs import EXPERTS, GROUPS, KEYS, ROTARY, WIDER, doubled, written

from growproof.proofs.certificate import CertificateError, certificate, verify
from growproof.proofs.check import Answer, check, claim_of
from growproof.proofs.drawing import RANDOM, drawn_blocks, drawn_model
from growproof.proofs.experiment import PROFILE
from growproof.proofs.liveness import liveness
from growproof.proofs.trace import trace
from growproof.symbolic.architecture import PRESETS, Preset, paper_model
from growproof.symbolic.errors import VariantError
from growproof.symbolic.floats import float_arithmetic
from growproof.symbolic.instances import grown
from growproof.symbolic.variant import load, loads

SILENT = "copy = previous\nW_O = 0\nW_l2 = 0\nb_l2 = 0"
COPY = written(added__layer=SILENT)
LOUD = written(added__layer="copy = previous")
ADAPTER = constructs.TRUE["an adapter of zeros"][0]


def made(options: constructs.Options) -> Preset:
    return Preset("mine", "", "", tuple(options.items()))


# --- verdicts ---


@pytest.mark.parametrize("name", constructs.TRUE)
def test_what_is_true_is_proved(name, answer, proved):
    text, options = constructs.TRUE[name]
    assert proved(answer(text, architecture=made(options)))


@pytest.mark.parametrize("name", constructs.FALSE)
def test_what_looks_like_it_is_refuted_with_numbers_that_part_somewhere(name, answer, refuted):
    text, options = constructs.FALSE[name]
    found = answer(text, architecture=made(options))
    assert refuted(found)
    assert trace(found.counterexample).first_divergence is not None


@pytest.mark.parametrize("name", constructs.UNPROVED)
def test_what_nothing_meets_and_what_has_another_proof_is_never_proved(name, answer):
    text, options = constructs.UNPROVED[name]
    try:
        verdict = answer(text, architecture=made(options)).verdict
    except VariantError as error:
        verdict = error.message
    assert verdict in ("undecided", "the constraints cannot be met, so the statement would be vacuous")


@pytest.mark.parametrize("seed", range(3))
def test_what_is_undecided_for_its_stream_map_is_true(seed, agree, answer):
    text, options = constructs.UNPROVED["every coordinate n times, with another stream map"]
    assert agree(answer(text, architecture=made(options)), seed)


# --- on the architectures that there are ---

SILENT_WITH_BIAS = written(added__layer=f"{SILENT}\nb_O = 0")
HALVES = written(rewrite="W_O = 1/2*W_O", added__head="copy = each\nW_O = 1/2*W_O")
JOINING = constructs.TRUE["a head joins each group"][0]
UPCYCLED = constructs.TRUE["experts that are copies"][0]

ON_PRESETS = {
    # A norm after the sublayers is no identity; a bias of the attention is written too.
    COPY: dict.fromkeys(PRESETS, "proved") | dict.fromkeys(("gpt2", "opt", "vit", "bert"), "refuted"),
    SILENT_WITH_BIAS: dict.fromkeys(PRESETS, "proved") | {"bert": "refuted"},
    HALVES: dict.fromkeys(PRESETS, "proved"),
    ADAPTER: dict.fromkeys(PRESETS, "proved"),
    # The frequencies follow k where all of each key is turned, and then there is a base to be kept.
    written(**KEYS): {"gptj": "proved", "llama": "refuted", "paper": "proved"},
    written(**KEYS, becomes="rope = kept"): {"gptj": "proved", "llama": "proved", "paper": "proved"},
}
CELLS = [(text, name, expected) for text, row in ON_PRESETS.items() for name, expected in row.items()]


@pytest.mark.parametrize(("text", "architecture", "expected"), CELLS, ids=[f"{n}-{e}" for _, n, e in CELLS])
def test_on_each_architecture_the_verdict_is_as_derived_by_hand(text, architecture, expected, answer):
    found = answer(text, architecture=architecture)
    assert found.verdict == expected
    assert expected != "proved" or all(unchanged(found, seed) for seed in range(2))


def unchanged(found: Answer, seed: int) -> bool:
    """Whether numpy sees no change on random models; the numeric side runs every architecture."""
    from growproof.proofs.comparison import compared

    rng = np.random.default_rng(seed)

    def entries(rows: int, columns: int) -> np.ndarray:
        return rng.standard_normal((rows, columns)) / np.sqrt(max(rows, 2))

    (step,) = found.steps
    old = drawn_model(found.preset, PROFILE, entries, RANDOM)
    new = drawn_blocks(step, old, PROFILE, entries, rng)
    assert new is not None
    return compared([step], old, grown(step, old, new, float_arithmetic())).ratio < 1


# --- several in a chain ---


@pytest.mark.parametrize(
    "texts",
    [
        (COPY, COPY),
        (COPY, load("mlp-expansion").text, COPY),
        (load("hidden-expansion").text, COPY),
        (HALVES, HALVES),
        (constructs.TRUE["selected units"][0], constructs.TRUE["selected units"][0]),
        (constructs.TRUE["the stream n times"][0], constructs.TRUE["every coordinate n times"][0], COPY),
    ],
    ids=range(6),
)
def test_chains_of_what_is_true_are_proved(texts, answer):
    found = answer(*texts)
    assert found.verdict == "proved"
    assert all(chain_agrees(found, seed) for seed in range(2))


def chain_agrees(found: Answer, seed: int) -> bool:
    """Whether a chain leaves the outputs of one random model alone, by the second reading."""
    rng = np.random.default_rng(seed)

    def entries(rows: int, columns: int) -> np.ndarray:
        return rng.standard_normal((rows, columns)) / np.sqrt(max(rows, 2))

    old = model = drawn_model(found.preset, PROFILE, entries, RANDOM)
    news = []
    for claim in found.parts:
        new = drawn_blocks(claim.steps[0], model, PROFILE, entries, rng)
        assert new is not None
        news.append(new)
        model = grown(claim.steps[0], model, new, float_arithmetic())
    before, after = second_reading.outputs(list(found.variants), old, tuple(news))
    return bool(np.allclose(before, after, rtol=1e-9, atol=1e-9))


@pytest.mark.parametrize("texts", [(COPY, LOUD), (LOUD, COPY), (HALVES, written(added__head="copy = each"))])
def test_a_chain_with_one_false_link_is_refuted(texts, answer, refuted):
    assert refuted(answer(*texts))


@pytest.mark.parametrize(
    ("changing", "named"),
    [
        (ADAPTER, "MLP"),
        (written(forward="MHA = MHA"), "MHA"),
        (UPCYCLED, "experts"),
        (written(**KEYS, becomes="rope = kept"), "rope"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_after_another_forward_pass_the_next_variant_speaks_of_another_architecture(changing, named, first):
    others = [loads(changing, "changing.toml"), load("mlp-expansion")]
    with pytest.raises(VariantError) as caught:
        check(others if first else others[::-1], PRESETS["paper"])
    assert f"`{named}`" in str(caught.value)
    assert caught.value.file == "changing.toml"
    assert changing.splitlines()[caught.value.line - 1].startswith(named)


# --- names say nothing ---


def renamed(text: str, names: dict[str, str]) -> str:
    return re.sub(r"\w+", lambda word: names.get(word[0], word[0]), text)


@pytest.mark.parametrize(
    "names",
    [
        {"M_A": "Y", "M_B": "Z"},  # how a trace and a goal write a norm and new coordinates
        {"M_A": "D", "M_B": "t"},
        {"M_A": "u", "M_B": "e"},
        {"M_A": "M", "M_B": "n", "r": "m"},
        {"r": "M"},
        {"r": "n"},
        {"r": "q"},
        {"r": "j"},
    ],
    ids=str,
)
@pytest.mark.parametrize("case", ["an adapter of zeros", "an adapter with nothing zero"])
def test_blocks_and_sizes_may_have_the_letters_of_what_is_written_here(case, names, answer, proved, refuted):
    text, options = (constructs.TRUE | constructs.FALSE)[case]
    found = answer(renamed(text, names), architecture=made(options))
    assert proved(found) if case in constructs.TRUE else refuted(found)
    if found.counterexample is not None:
        assert trace(found.counterexample).first_divergence is not None


@pytest.mark.parametrize("name", ["M", "n", "q", "r", "n_experts"])
def test_the_number_of_experts_may_have_any_new_name(name, answer, proved):
    text = written(new=f"M_R = h, {name}", rewrite="W_R = M_R", becomes=f"experts = {name}\ntop_k = 2")
    assert proved(answer(text))


# --- certificates ---

ON = {"": "paper", str(GROUPS): "mistral", str(EXPERTS): "mixtral", str(ROTARY): "llama"}
CERTIFIED = {
    name: (text, ON[str(options) if options else ""])
    for name, (text, options) in constructs.TRUE.items()
    if (str(options) if options else "") in ON
}


@pytest.mark.parametrize("name", CERTIFIED)
def test_the_certificate_of_a_construct_holds_and_says_what_it_does(name):
    text, architecture = CERTIFIED[name]
    found = json.loads(json.dumps(certificate(check([loads(text, "f.toml")], PRESETS[architecture]))))
    held = verify(found)
    assert held.architecture == architecture
    (lines,) = held.variants
    assert len(lines) > 1
    assert all(block in " ".join(lines) for block in loads(text, "f.toml").new)


ALTERED = [
    ("selected units", "p_hat; selection", "p_hat"),
    ("selected units", "eye(p)", "2*eye(p)"),
    ("units twice, by half", "; 1/2*W_l2", "; W_l2"),
    ("heads twice, by half", 'copy = "each"\nW_O = "1/2*W_O"', 'copy = "each"\nW_O = "W_O"'),
    ("a copy of every head that writes nothing", 'W_O = "0"', 'W_V = "W_V"'),
    ("a layer copied, and silent", 'b_l2 = "0"\n', ""),
    ("a layer copied, and silent", 'W_O = "0"\n', ""),
    ("a head joins each group", 'M_O = "0"', 'M_Q = "0"'),
    ("an adapter of zeros", "MLP + act", "act"),
    ("an adapter of zeros", '[constraints]\nM_B = "0"\n', ""),
    ("the MLP by its parts", "+ b_l2", "+ 2*b_l2"),
    ("experts that are copies", "top_k = 2", 'top_k = 2\nrouter = "plain"'),
    ("keys and values for every head, each with its own zeros", 'A = "B"', 'A = "2*B"'),
    ("frequencies kept", '[becomes]\nrope = "kept"\n', ""),
    ("the stream n times", 'W_Q = "1/n*', 'W_Q = "'),
]


@pytest.mark.parametrize(("name", "old", "new"), ALTERED, ids=[f"{name}: {old!r:.20}" for name, old, _ in ALTERED])
def test_an_altered_construct_has_no_certificate(name, old, new):
    """A forger who writes another file, with its own sha256 and statement, meets the kernel."""
    text, architecture = CERTIFIED[name]
    found = certificate(check([loads(text, "f.toml")], PRESETS[architecture]))
    forged = text.replace(old, new)
    assert forged != text
    other = loads(forged, "f.toml")
    entry = {"name": other.name, "sha256": other.sha256, "text": forged}
    with pytest.raises(CertificateError):
        verify({**found, "variants": [entry]})


# --- what learns ---


@pytest.mark.parametrize(
    ("name", "first"),
    [
        # act(MLP M_A) M_B, a product of what can move
        ("an adapter of zeros", {"M_A": 2, "M_B": 1}),
        # relu(0) = 0 and relu'(0) = 0
        ("an adapter that reads nothing", {"M_A": None, "M_B": None}),
        ("the attention once more, in the MLP, times 0", {"M": 1}),
        ("an identity and one activation more", {"M_W": 1, "M_b": 1}),
        ("a head joins each group", {"M_Q": 2, "M_O": 1}),
        # It does not matter which of equal experts a token goes to, until they have learnt different things.
        ("experts that are copies", {"M_R": 2}),
        # A selection is no parameter.
        ("selected units", {"T": 1}),
        ("a layer copied, and silent", {}),
    ],
)
def test_each_block_moves_when_it_must(name, first):
    text, options = constructs.TRUE[name]
    found = liveness(claim_of([loads(text, "f.toml")], paper_model(made(options))))
    assert dict(found.first) == first
    assert found.undecided == ()


def test_two_halves_that_are_one_matrix_are_two_places():
    """A third of new units that starts as a copy is trained by itself."""
    text = written(**doubled("1/2") | {"new": "D = h, p"}).replace('"[W_l1, W_l1]"', '"[W_l1 + D, W_l1 + D]"')
    claim = claim_of([loads(text + '[constraints]\nD = "0"\n', "f.toml")], paper_model(PRESETS["paper"]))
    assert liveness(claim).first == {"D": 1}


def test_a_selection_that_is_any_matrix_is_one_more_parameter():
    text = written(**WIDER, constraints="S*T = eye(p)").replace("; selection", "")
    claim = claim_of([loads(text, "f.toml")], paper_model(PRESETS["paper"]))
    assert set(liveness(claim).first) == {"S", "T"}
