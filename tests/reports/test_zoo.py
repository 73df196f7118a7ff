"""The zoo on a page: what was found stands in it, in words and shapes, and it is light."""

from dataclasses import replace
from functools import cache

from growproof.proofs.check import check
from growproof.reports.page import environment
from growproof.reports.zoo import Zoo, shown, zoo_section
from growproof.symbolic.architecture import PRESETS
from growproof.symbolic.variant import load, loads

NAMES = ("lora", "solar", "hypercloning-symmetric", "net2deeper-gelu")


@cache
def found() -> Zoo:
    return zoo_section({name: load(name) for name in NAMES})


def written(zoo: Zoo) -> str:
    return str(environment().get_template("zoo.html.j2").module.zoo(zoo))


def test_each_variant_stands_in_the_table_with_its_verdict_as_word_and_shape():
    html = written(found())
    for one in found().variants:
        assert f'<a href="#{one.id}">{one.title}</a>' in html
        assert f'<span aria-hidden="true">{one.shape}</span> {one.verdict}' in html
        assert one.reason in html
        assert f'<h3 id="{one.id}">' in html
    assert found().summary == "4 variants: 2 proved, 2 refuted"


def test_what_is_proved_opens_to_its_statement_and_what_is_refuted_to_its_numbers():
    proved, refuted = found().variants[:2]
    assert proved.lines[-1] == "the model after LoRA computes what it computed before."
    assert dict(proved.goals)["attention"].startswith("6 steps: constraint, product with zero")
    assert refuted.short.startswith("part at ")
    assert refuted.goals == ()
    assert any(line.startswith("output: ") for line in refuted.lines)


def test_it_is_the_verdict_found_that_is_shown_never_the_expected_one():
    text = load("lora").text.replace('verdict = "proved"', 'verdict = "refuted"')
    one = shown("lora", check([loads(text, "lora.toml")], PRESETS["llama"]))
    assert (one.verdict, one.surprise) == ("proved", "expected: refuted")
    assert not Zoo((one,), "").as_expected
    assert "expected: refuted" in written(Zoo((one,), ""))
    assert found().as_expected


def test_texts_are_escaped():
    (first, *_) = found().variants
    html = written(Zoo((replace(first, title="<b>", reason="a & b", source='"'),), ""))
    assert "<b>" not in html
    assert "a &amp; b" in html


def test_it_is_light():
    assert len(written(found())) < 4000 * len(NAMES)
