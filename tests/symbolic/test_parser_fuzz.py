"""Whatever a file holds, it is a variant or is refused by a VariantError with one printable line, and soon."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import TooSlow, time_limit

from growproof.proofs.check import check
from growproof.symbolic.architecture import PRESETS, paper_model
from growproof.symbolic.errors import VariantError
from growproof.symbolic.expand import expand
from growproof.symbolic.syntax import FUNCTIONS
from growproof.symbolic.variant import catalogue, load, loads

SECONDS = 10  # for reading and expanding; alone on a machine even the worst takes less than 2
MODELS = {name: paper_model(PRESETS[name]) for name in ("paper", "llama", "mixtral")}
TEXTS = [load(name).text for name in catalogue()]
CHECKED = 60  # seconds


def refusal(text: str, architecture: str = "paper") -> VariantError | None:
    """Read and expand a text; any exception but a VariantError is a failure of the test, and so is a slow answer."""
    try:
        with time_limit(SECONDS):
            expand(MODELS[architecture], loads(text, "fuzz.toml"))
    except VariantError as error:
        return error
    return None


def assert_is_clean(error: VariantError | None) -> None:
    """The error is one printable line of bounded length, and can be written as JSON."""
    if error is not None:
        assert str(error).isprintable()
        assert len(str(error)) < 1500
        json.dumps(error.as_json()).encode("utf-8")
        assert error.message
        assert error.line is None or error.line >= 1
        assert error.column is None or error.column >= 1


# --- texts ---

PIECES = [
    *(
        "[",
        "]",
        "(",
        ")",
        ",",
        ";",
        "'",
        '"',
        "'''",
        '"""',
        "=",
        "*",
        "^",
        "/",
        "+",
        "-",
        ".",
        "#",
        "?",
        "\\",
        "{",
        "}",
    ),
    *(
        "\n",
        "\r\n",
        "\t",
        " ",
        "\x00",
        "\x1b",
        "\ufeff",
        "\u202e",
        "é",
        "Α",
        "𝐖",
        "\\u0000",
        "\\ud800",
        "0",
        "1",
        "9" * 120,
    ),
    *(
        "p_hat",
        "h_hat",
        "W_l1",
        "M_W_l1",
        "X",
        "I",
        "eye(h)",
        "0(h, p)",
        "kron(",
        "act(",
        "sqrt(",
        "?a",
        "64",
        "1e9",
        "nan",
    ),
    *(
        "[grows]\n",
        "[new]\n",
        "[rewrite]\n",
        "[constraints]\n",
        "[added.head]\n",
        "[stream]\nmap = ",
        "inf",
        "2026-01-01",
    ),
]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A file of the catalogue with a few characters cut out, moved, doubled or put in."""
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 12))
        text = text[:start] + draw(st.sampled_from([*PIECES, "", text[start:end] * 2])) + text[end:]
    return text


@settings(max_examples=300)
@given(mutated(), st.sampled_from(list(MODELS)))
def test_a_mutated_file_of_the_catalogue_is_a_variant_or_refused(text, architecture):
    assert_is_clean(refusal(text, architecture))


@settings(max_examples=100)
@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=40).map("".join)))
def test_any_text_is_a_variant_or_refused(text):
    assert_is_clean(refusal(text))
    assert_is_clean(refusal('name = "x"\n' + text))


def test_the_fuzz_would_see_another_exception(monkeypatch):
    def broken(*_: object) -> None:
        raise KeyError("broken")

    monkeypatch.setattr("growproof.symbolic.variant._constraints", broken)
    with pytest.raises(KeyError):
        refusal(TEXTS[0])


def test_the_fuzz_would_see_a_slow_answer(monkeypatch):
    def slow(*_: object) -> None:
        while True:
            pass

    monkeypatch.setattr("growproof.symbolic.variant._constraints", slow)
    monkeypatch.setitem(globals(), "SECONDS", 0.1)
    with pytest.raises(TooSlow):
        refusal(TEXTS[0])


# --- expressions that have a meaning ---

NUMBERS = ["0", "1", "2", "0.5", "1/3", "10^6", "2^64", "7^60"]
SIZES = ["h", "p", "p_hat", "(p_hat - p)", "p", "2*p", "p*h", "(p + 1)"]
MATRICES = ["W_l1", "A", "W_l2", "C", "b_l1", "B", "g_MLP", "P", "W_out"]


def scalars() -> st.SearchStrategy[str]:
    def larger(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        binary = st.builds("({}{}{})".format, parts, st.sampled_from("+-*/"), parts)
        power = st.builds("{}^{}".format, parts, st.sampled_from(["2", "-1", "64", "(1/2)", "p", "(k/p)", "-h"]))
        return st.one_of(binary, power, parts.map("sqrt({})".format), parts.map("-{}".format))

    return st.recursive(st.sampled_from(NUMBERS + SIZES), larger, max_leaves=8)


def matrices() -> st.SearchStrategy[str]:
    sizes = st.sampled_from([*SIZES, "10^9", "3"])
    made = st.one_of(
        st.sampled_from(MATRICES),
        st.sampled_from(MATRICES),
        sizes.map("eye({})".format),
        st.builds("ones({}, {})".format, sizes, sizes),
        st.builds("0({}, {})".format, sizes, sizes),
    )

    def larger(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.builds("({}{}{})".format, parts, st.sampled_from(["+", "-", "*", "*"]), parts),
            st.builds("{}*{}".format, scalars(), parts),
            st.builds("({})/{}".format, parts, scalars()),
            parts.map("({})'".format),
            st.builds("[{}, {}]".format, parts, parts),
            st.builds("[{}; {}]".format, parts, parts),
            st.sampled_from(sorted(set(FUNCTIONS) - {"0", "eye", "ones", "sqrt"})).flatmap(
                lambda f: st.lists(parts, min_size=FUNCTIONS[f][0], max_size=min(3, FUNCTIONS[f][1])).map(
                    lambda given: f"{f}({', '.join(given)})"
                )
            ),
        )

    return st.recursive(made, larger, max_leaves=6)


FILE = """\
name = "Fuzzed"
[grows]
p = "{grown}"
[new]
A = "h, p_hat - p"
B = "1, p_hat - p"
C = "p_hat - p, h"
[rewrite]
W_l1 = "[W_l1, {rewrite}]"
b_l1 = "[b_l1, B]"
W_l2 = "[W_l2; C]"
[constraints]
"{left}" = "{right}"
"""


@settings(max_examples=150)
@given(
    st.one_of(scalars(), st.just("p_hat"), st.just("2*p")), matrices(), matrices(), st.one_of(matrices(), st.just("0"))
)
def test_any_expression_is_elaborated_or_refused(grown, rewrite, left, right):
    assert_is_clean(refusal(FILE.format(grown=grown, rewrite=rewrite, left=left, right=right)))


# A matrix of the right shape (h x (p_hat - p)) made of A and any scalar, a sum of such, or a long way to A itself.
FITTING = st.one_of(
    scalars().map("({})*A".format),
    st.builds("({})*A - A/({})".format, scalars(), scalars()),
    scalars().map("W_l1*W_l2*A*({})".format),
    st.sampled_from(["hadamard(A, A)", "act(A)", "kron(A, eye(1))", "A*eye(p_hat - p)", "A*C*A", "ones(h, 1)*B"]),
)


@settings(max_examples=40)
@given(st.sampled_from(["p_hat", "2*p", "p + q", "p^2 + p"]), FITTING, st.sampled_from(["C", "C*A", "A'*A", "act(C)"]))
def test_any_variant_that_fits_is_checked_in_time(grown, rewrite, left):
    text = FILE.format(grown=grown, rewrite=rewrite, left=left, right="0")
    try:
        with time_limit(CHECKED):
            assert check([loads(text, "fuzz.toml")], PRESETS["paper"]).verdict in ("proved", "refuted", "undecided")
    except VariantError as error:
        assert_is_clean(error)
