"""`growproof new`: for every size and architecture a file that is a variant, and what its comments promise is so."""

import json
import re
import tomllib

import pytest

from growproof.proofs.check import check, claim_of
from growproof.reports.scaffold import ADDED, Start, Zeros, growing, text_of, zeros
from growproof.symbolic.architecture import PRESETS, paper_model, parameters
from growproof.symbolic.expand import FIXED, expand
from growproof.symbolic.variant import loads

SUGGESTED = re.compile(r'^# (\w+ = "0")$', re.MULTILINE)
STARTS = [
    *(("--grows", size) for size in "hpkv"),
    *(("--adds", what) for what in ADDED),
]


def start(option, what, preset):
    return growing([what], preset) if option == "--grows" else Start(preset, adds=what)


def variants(start, preset):
    """The file as it is written, and with the suggested constraints chosen."""
    text = text_of(start, zeros(start))
    return loads(text, "new.toml"), loads(SUGGESTED.sub(r"\1", text), "new.toml")


# --- the command ---


@pytest.mark.parametrize("given", STARTS, ids=" ".join)
def test_a_new_file_is_refuted_and_with_its_suggestions_proved(run, tmp_path, given):
    path = tmp_path / "my.toml"
    ran = run("new", path, *given)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == f"wrote {path}; next: growproof check {path}\n"
    assert run("check", path).status == 1
    text = path.read_text(encoding="utf-8")
    assert SUGGESTED.search(text)
    path.write_text(SUGGESTED.sub(r"\1", text), encoding="utf-8")
    assert run("check", path).status == 0


def test_several_sizes_grow_together(run, tmp_path):
    path = tmp_path / "my.toml"
    assert run("new", path, "--grows", "p", "--grows", "v", "--grows", "p").status == 0
    text = path.read_text(encoding="utf-8")
    assert tomllib.loads(text)["grows"] == {"p": "p_hat", "v": "v_hat"}
    path.write_text(SUGGESTED.sub(r"\1", text), encoding="utf-8")
    assert run("check", path).status == 0


def test_json_has_the_file_and_its_text_and_quiet_says_nothing(run, tmp_path):
    path = tmp_path / "my.toml"
    ran = run("new", path, "--grows", "p", "--json")
    assert json.loads(ran.out) == {"file": str(path), "text": path.read_text(encoding="utf-8")}
    assert run("new", tmp_path / "quiet.toml", "--adds", "head", "--quiet").out == ""


@pytest.mark.parametrize("kind", ["file", "folder", "broken link"])
def test_nothing_is_replaced_unless_forced(run, tmp_path, kind):
    path = tmp_path / "my.toml"
    {
        "file": lambda: path.write_text("mine", encoding="utf-8"),
        "folder": path.mkdir,
        "broken link": lambda: path.symlink_to(tmp_path / "nowhere"),
    }[kind]()
    ran = run("new", path, "--grows", "p")
    assert (ran.status, ran.out) == (2, "")
    assert f"{path}: the file is there already" in ran.err
    assert list(tmp_path.iterdir()) == [path]
    forced = run("new", path, "--grows", "p", "--force")
    assert forced.status == (2 if kind == "folder" else 0)
    if kind == "file":
        assert path.read_text(encoding="utf-8").startswith("# A starting file")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--grows", "s"), "this size cannot grow; found `s`; expected one of h, p, k, v"),
        (("--grows", "P"), "found `P`; expected `p`"),
        (("--grows", "hidden"), "found `hidden`"),
        (("--grows", "p", "--adds", "head"), "not allowed with argument"),
        (("--adds", "neuron"), "neuron"),
        ((), "--grows --adds"),
        (("--grows", "p", "--architecture", "lama"), "expected `llama`"),
    ],
)
def test_what_cannot_be_started_is_refused_in_one_line_and_leaves_no_file(run, tmp_path, arguments, words):
    ran = run("new", tmp_path / "my.toml", *arguments)
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert words in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_named(run, tmp_path):
    ran = run("new", tmp_path / "missing" / "my.toml", "--grows", "p")
    assert ran.status == 2
    assert "No such file or directory" in ran.err


# --- every size on every architecture ---


@pytest.mark.parametrize("name", PRESETS)
def test_a_file_of_every_size_that_grows_and_of_what_can_be_added_is_a_variant(name):
    """It has every parameter of the architecture that grows, or is new, and no other: nothing is skipped."""
    preset = PRESETS[name]
    sizes = [size for size in paper_model(preset).sizes if size not in FIXED]
    starts = [*(growing([size], preset) for size in sizes), growing(sizes, preset)]
    for one in (*starts, *(Start(preset, adds=what) for what in ADDED)):
        step = expand(paper_model(preset), loads(text_of(one, Zeros(())), "new.toml"))
        assert step.assumptions == ()
        assert step.variant.architecture == name
        assert {entry.parameter for entry in one.on(preset)} <= set(parameters(preset))


@pytest.mark.parametrize(("name", "given"), [("gpt2", STARTS[2]), ("llama", STARTS[1]), ("mixtral", STARTS[5])])
def test_what_is_suggested_is_proved_on_other_architectures(name, given):
    preset = PRESETS[name]
    plain, chosen = variants(start(*given, preset), preset)
    assert check([plain], preset).verdict == "refuted"
    assert claim_of([chosen], paper_model(preset)).theorem is not None


@pytest.mark.parametrize(
    ("name", "what", "words"), [("llama", "k", "rotary positions"), ("paper-eps", "h", "an epsilon")]
)
def test_where_zeros_are_not_enough_the_file_says_what_breaks_it(name, what, words):
    preset = PRESETS[name]
    text = text_of(growing([what], preset), zeros(growing([what], preset)))
    assert f"# Zeros alone are not enough on {name}: what breaks it is {words}" in text
    assert check([loads(SUGGESTED.sub(r"\1", text), "new.toml")], preset).verdict == "refuted"


def test_without_one_of_the_suggested_zeros_the_function_changes():
    text = text_of(growing(["h"], PRESETS["paper"]), zeros(growing(["h"], PRESETS["paper"])))
    lines = SUGGESTED.findall(text)
    assert len(lines) == 5
    for line in lines:
        fewer = SUGGESTED.sub(r"\1", text).replace(f"\n{line}\n", "\n")
        assert check([loads(fewer, "new.toml")], PRESETS["paper"]).verdict == "refuted"
