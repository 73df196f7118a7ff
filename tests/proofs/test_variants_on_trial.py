"""A catalogue file with one thing changed is never proved, unless what it says then is a theorem as well.

Every refutation is judged by the second reading of conftest.py: the numbers meet the constraints that are left,
and numpy's outputs differ.  Every change that is still proved has its argument beside it, and random models
agree.
"""

import re
from itertools import combinations

import pytest
from as_published import load

SIX = (
    *("mlp-expansion", "head-addition", "heads-expansion"),
    *("attention-expansion", "hidden-expansion", "layer-addition"),
)
TEXT = {name: load(name).text for name in SIX}
ENTRY = re.compile(r'^(\w+) += "(.*)"', re.MULTILINE)


def table(name: str, header: str) -> dict[str, str]:
    """The entries of one table of a catalogue file."""
    _, _, after = TEXT[name].partition(f"[{header}]")
    return dict(ENTRY.findall(after.partition("\n[")[0]))


REWRITES = {name: table(name, "rewrite") for name in SIX}
CONSTRAINTS = {name: table(name, "constraints") for name in SIX}
NEW = {name: table(name, "new") for name in SIX}


def with_rewrites(name: str, changed: dict[str, str]) -> str:
    """A catalogue file with other right sides for some parameters."""
    text = TEXT[name]
    for parameter, expression in changed.items():
        pattern = re.compile(rf'^({parameter} += )".*?"', re.MULTILINE)
        assert len(pattern.findall(text)) == 1
        text = pattern.sub(lambda found, expression=expression: f'{found[1]}"{expression}"', text)
    assert text != TEXT[name]
    return text


def with_constraints(name: str, constraints: dict[str, str]) -> str:
    """A catalogue file with other constraints."""
    assert constraints != CONSTRAINTS[name]
    lines = [f'"{left}" = "{right}"' for left, right in constraints.items()]
    return TEXT[name].partition("[constraints]")[0] + "\n".join(["[constraints]", *lines, ""])


def zeros(*blocks: str) -> dict[str, str]:
    return dict.fromkeys(blocks, "0")


def cases(*named: tuple[str, str]) -> pytest.MarkDecorator:
    """One test for each (title, text)."""
    titles, texts = zip(*named, strict=True)
    return pytest.mark.parametrize("text", texts, ids=titles)


def test_the_tables_are_what_the_six_files_hold():
    assert [len(REWRITES[name]) for name in SIX] == [3, 0, 2, 2, 12, 0]
    assert [len(CONSTRAINTS[name]) for name in SIX] == [1, 1, 1, 1, 5, 3]
    assert [len(NEW[name]) for name in SIX] == [3, 4, 2, 2, 12, 10]


# --- constraints ---


@cases(
    *(
        (f"{name} without {gone}", with_constraints(name, zeros(*(set(CONSTRAINTS[name]) - {gone}))))
        for name in SIX
        for gone in CONSTRAINTS[name]
    )
)
def test_a_file_without_one_of_its_constraints_is_refuted(text, answer, refuted):
    assert refuted(answer(text))


@cases(
    *(
        (f"{name}, {gone} = 1", with_constraints(name, CONSTRAINTS[name] | {gone: f"ones({shape})"}))
        for name in SIX
        for gone, shape in ((gone, NEW[name][gone]) for gone in CONSTRAINTS[name])
    )
)
def test_a_file_that_asks_for_ones_instead_of_zeros_is_refuted(text, answer, refuted):
    assert refuted(answer(text))


# --- zeros in another place ---
# A model that refutes a set of zeros refutes every smaller set, so the largest sets are tried.

LAYER = ("M_W_O", "M_W_l2", "M_b_l2")


def all_but(name: str, *free: str) -> dict[str, str]:
    return zeros(*(block for block in NEW[name] if block not in free))


@cases(
    ("mlp: only the new weights", with_constraints("mlp-expansion", zeros("M_W_l1"))),
    ("mlp: only the new biases", with_constraints("mlp-expansion", zeros("M_b_l1"))),
    ("head: queries and keys", with_constraints("head-addition", zeros("M_W_Q", "M_W_K"))),
    *(
        (f"hidden: everything but {free}", with_constraints("hidden-expansion", all_but("hidden-expansion", free)))
        for free in CONSTRAINTS["hidden-expansion"]
    ),
    ("layer: queries and keys", with_constraints("layer-addition", zeros("M_W_Q", "M_W_K", *LAYER[1:]))),
    ("layer: first weights", with_constraints("layer-addition", zeros("M_W_O", "M_W_l1", "M_b_l2"))),
    ("layer: first biases", with_constraints("layer-addition", zeros("M_W_O", "M_b_l1", "M_b_l2"))),
    ("layer: gain, not biases", with_constraints("layer-addition", zeros("M_W_O", "M_g_MLP", "M_b_l2"))),
    ("layer: everything but b_l2", with_constraints("layer-addition", all_but("layer-addition", "M_b_l2"))),
)
def test_zeros_that_do_not_stop_every_path_are_refuted(text, answer, refuted):
    assert refuted(answer(text))


@cases(
    # Softmax(..) X W_V W_O is zero if either factor is.
    ("head: values", with_constraints("head-addition", zeros("M_W_V"))),
    ("heads: values", with_constraints("heads-expansion", zeros("M_W_V"))),
    ("layer: values", with_constraints("layer-addition", zeros("M_W_V", *LAYER[1:]))),
    # The scores change by X M_W_Q M_W_K' X'.
    ("attention: queries", with_constraints("attention-expansion", zeros("M_W_Q"))),
    # ReLU(0) = 0, so units that read nothing and have no bias give nothing.
    ("mlp: weights and biases", with_constraints("mlp-expansion", zeros("M_W_l1", "M_b_l1"))),
    ("layer: weights and biases", with_constraints("layer-addition", zeros("M_W_O", "M_W_l1", "M_b_l1", "M_b_l2"))),
    # A gain of zero makes the norm zero, and with it all that is read.
    ("layer: first gain", with_constraints("layer-addition", zeros("M_g_MHA", *LAYER[1:]))),
    ("layer: second gain", with_constraints("layer-addition", zeros("M_W_O", "M_g_MLP", "M_b_l1", "M_b_l2"))),
)
def test_zeros_that_stop_every_path_are_proved(text, answer, proved):
    assert proved(answer(text))


# --- scales ---

KEYS, GAIN = REWRITES["attention-expansion"]["W_K"], REWRITES["hidden-expansion"]["g_MHA"]
ROOT_K, ROOT_H = "sqrt(k_hat)/sqrt(k)*", "sqrt(h)/sqrt(h_hat)*"
OTHER_K = {"dropped": "", "squared": "k_hat/k*", "inverted": "sqrt(k)/sqrt(k_hat)*", "doubled": "2*" + ROOT_K}
OTHER_H = {"dropped": "", "squared": "h/h_hat*", "inverted": "sqrt(h_hat)/sqrt(h)*", "doubled": "2*" + ROOT_H}


def gain(name: str, factor: str) -> str:
    return REWRITES["hidden-expansion"][name].replace(ROOT_H, factor)


@cases(
    *(
        (f"attention: {what}", with_rewrites("attention-expansion", {"W_K": KEYS.replace(ROOT_K, factor)}))
        for what, factor in OTHER_K.items()
    ),
    ("attention: on both sides", with_rewrites("attention-expansion", {"W_Q": f"[{ROOT_K}W_Q, M_W_Q]"})),
    *(
        (f"hidden, {name}: {what}", with_rewrites("hidden-expansion", {name: gain(name, factor)}))
        for name in ("g_MHA", "g_MLP")
        for what, factor in OTHER_H.items()
    ),
)
def test_another_scale_is_refuted(text, answer, refuted):
    assert refuted(answer(text))


@cases(
    *(
        (f"{name}, {parameter}: {factor}", with_rewrites(name, {parameter: f"{factor}({expression})"}))
        for name in SIX
        for i, (parameter, expression) in enumerate(REWRITES[name].items())
        for factor in (("2*", "-") if len(REWRITES[name]) < 6 else ("2*", "-")[i % 2 :][:1])
    )
)
def test_a_factor_or_a_sign_on_one_parameter_is_refuted(text, answer, refuted):
    """Every parameter is read by something that is not blind to its scale or its sign."""
    assert refuted(answer(text))


def queries_and_keys(of_queries: str, of_keys: str) -> str:
    changed = {"W_Q": f"[{of_queries}*W_Q, M_W_Q]", "W_K": f"[{of_keys}*W_K, M_W_K]"}
    return with_rewrites("attention-expansion", changed)


def values(of_values: str, of_outputs: str) -> str:
    changed = {"W_V": f"{of_values}*[W_V, M_W_V]", "W_O": f"{of_outputs}*[W_O; M_W_O]"}
    return with_rewrites("heads-expansion", changed)


def units(first: str, second: str) -> str:
    changed = {"W_l1": first, "b_l1": first, "W_l2": second}
    old = REWRITES["mlp-expansion"]
    return with_rewrites("mlp-expansion", {name: f"{factor}*({old[name]})" for name, factor in changed.items()})


@cases(
    # The scores have the product of both factors, over sqrt(k_hat).
    ("attention: on the queries", queries_and_keys("sqrt(k_hat/k)", "1")),
    ("attention: split", queries_and_keys("(k_hat/k)^(1/4)", "(k_hat/k)^(1/4)")),
    ("attention: split unevenly", queries_and_keys("3*sqrt(k_hat)", "1/(3*sqrt(k))")),
    ("attention: two signs", queries_and_keys("(-1)", "-sqrt(k_hat/k)")),
    # (3 X W_V) (W_O / 3), and so for signs.
    ("heads: thrice and a third", values("3", "1/3")),
    ("heads: two signs", values("(-1)", "(-1)")),
    # What reads the norm can have the factor that the gain lacks.
    (
        "hidden: the factor in what reads the first norm",
        with_rewrites(
            "hidden-expansion",
            {"g_MHA": "[g_MHA, M_g_MHA]"} | {name: f"{ROOT_H}[{name}; M_{name}]" for name in ("W_Q", "W_K", "W_V")},
        ),
    ),
    (
        "hidden: the factor in what reads the second norm",
        with_rewrites("hidden-expansion", {"g_MLP": "[g_MLP, M_g_MLP]", "W_l1": f"{ROOT_H}[W_l1; M_W_l1]"}),
    ),
)
def test_a_scale_that_is_undone_elsewhere_is_proved(text, answer, proved):
    assert proved(answer(text))


@cases(
    ("mlp: signs", units("(-1)", "(-1)")),  # -ReLU(-z) is not ReLU(z)
    ("mlp: not the bias", with_rewrites("mlp-expansion", {"W_l1": "[2*W_l1, M_W_l1]", "W_l2": "[1/2*W_l2; M_W_l2]"})),
    ("mlp: no half", units("2", "1/3")),
    ("heads: no third", values("3", "1/2")),
    ("heads: one sign", values("(-1)", "1")),
    ("attention: one sign", queries_and_keys("(-1)", "sqrt(k_hat/k)")),
    (
        "hidden: the factor in two of the three",
        with_rewrites(
            "hidden-expansion",
            {"g_MHA": "[g_MHA, M_g_MHA]"} | {name: f"{ROOT_H}[{name}; M_{name}]" for name in ("W_Q", "W_V")},
        ),
    ),
)
def test_a_scale_that_is_not_quite_undone_is_refuted(text, answer, refuted):
    assert refuted(answer(text))


def scaled_block(name: str, block: str, factor: str) -> str:
    """A file in which a new block is scaled wherever it is used."""
    before, header, after = TEXT[name].partition("[added" if "[added" in TEXT[name] else "[rewrite]")
    used, constraints, end = after.partition("[constraints]")
    assert used.count(block) == 1
    return before + header + used.replace(block, f"{factor}*{block}") + constraints + end


@cases(
    *(
        (f"{name}, {block}", scaled_block(name, block, factor))
        for name in SIX
        for block, factor in zip(NEW[name], ["2", "(-1)", "sqrt(2)"] * 4, strict=False)
        if name != "mlp-expansion" or block != "M_W_l1"  # M_W_l1 is the same kind of free block as M_b_l1
    )
)
def test_a_factor_on_a_new_block_changes_nothing(text, answer, proved):
    """A zero block stays zero, and a free one stays free."""
    assert proved(answer(text))


# --- blocks in another place ---


def swapped(expression: str) -> str:
    """[A, B] as [B, A], and [A; B] as [B; A]."""
    found = re.fullmatch(r"\[(.*)([,;]) (.*)\]", expression)
    assert found is not None
    return f"[{found[3]}{found[2]} {found[1]}]"


def with_swaps(name: str, chosen: tuple[str, ...]) -> str:
    return with_rewrites(name, {parameter: swapped(REWRITES[name][parameter]) for parameter in chosen})


def some_of(name: str) -> list[tuple[str, ...]]:
    """Every choice of parameters that is neither empty nor all; of twelve, those of one and some of eleven."""
    all_of = tuple(REWRITES[name])
    if len(all_of) < 6:
        return [chosen for count in range(1, len(all_of)) for chosen in combinations(all_of, count)]
    return [*combinations(all_of, 1), *list(combinations(all_of, len(all_of) - 1))[::4]]


GROWING = [name for name in SIX if REWRITES[name]]


@cases(
    *(
        (f"{name}: {', '.join(chosen) if len(chosen) < 4 else 'all but ' + (set(REWRITES[name]) - set(chosen)).pop()}",
         with_swaps(name, chosen))
        for name in GROWING
        for chosen in some_of(name)
    )
)  # fmt: skip
def test_blocks_swapped_in_some_rewrites_are_refuted(text, answer, refuted):
    assert refuted(answer(text))


@pytest.mark.parametrize("name", GROWING)
def test_blocks_swapped_in_every_rewrite_are_proved(name, answer, proved):
    """Hidden units, the coordinates of values, keys and queries, and of the stream may stand in any order."""
    assert proved(answer(with_swaps(name, tuple(REWRITES[name]))))


def test_free_new_blocks_of_one_shape_may_be_exchanged(answer, proved):
    text = TEXT["head-addition"].replace('W_Q = "M_W_Q"', 'W_Q = "M_W_K"').replace('W_K = "M_W_K"', 'W_K = "M_W_Q"')
    assert text.count('"M_W_Q"') == text.count('"M_W_K"') == 1
    assert proved(answer(text))
    gains = TEXT["layer-addition"].replace('g_MLP = "M_g_MLP"', 'g_MLP = "M_g_MHA"')
    assert proved(answer(gains.replace('M_g_MLP = "1, h"\n', "")))


@cases(
    ("queries and keys", '[rewrite]\nW_Q = "W_K"\nW_K = "W_Q"'),  # the scores are transposed
    ("norms", '[rewrite]\ng_MHA = "g_MLP"\ng_MLP = "g_MHA"'),
    ("input and gain", '[rewrite]\nI = "I + P"'),
)
def test_old_parameters_in_another_s_place_are_refuted(text, answer, refuted):
    assert refuted(answer(f'name = "Exchanged"\n{text}\n'))


def test_input_and_positions_may_take_from_each_other(answer, proved):
    """Only their sum is read."""
    assert proved(answer('name = "Moved"\n[new]\nM = "s, h"\n[rewrite]\nI = "I + M"\nP = "P - M"\n'))


# --- what is true and beyond the rules ---


@cases(
    # ReLU(2 x + 2 y) (1/2) = ReLU(x + y), but no rule takes a factor out of a sum.
    ("mlp: twice and half", units("2", "1/2")),
    ("mlp: a root and back", units("sqrt(p_hat/p)", "sqrt(p/p_hat)")),
)
def test_what_is_true_and_not_proved_is_not_refuted(text, answer, agree):
    assert answer(text).verdict in ("proved", "undecided")
    assert all(agree(answer(text), seed) for seed in range(3))


# --- the judges can say no ---


def test_the_judges_see_a_false_verdict(answer, agree, change):
    """A model that agrees refutes nothing, and a false variant does not agree."""
    false = answer(with_constraints("mlp-expansion", {}))
    assert not agree(false, seed=0)
    found = false.counterexample
    for layer in found.instance.new[0]["layers"]:
        layer["M_W_l2"] = 0 * layer["M_W_l2"]
    with pytest.raises(AssertionError):
        change(found)


def test_the_judges_see_a_violated_constraint(answer, change):
    found = answer(with_constraints("mlp-expansion", zeros("M_W_l1")), seed=3).counterexample
    found.instance.new[0]["layers"][0]["M_W_l1"] += 1
    with pytest.raises(AssertionError):
        change(found)
