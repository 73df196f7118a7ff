"""When exactly the six preserve the function: true and false statements about each, from the mathematics.

Every statement has its argument.  Verdicts are judged by the second reading of conftest.py.
"""

import pytest

MLP = """
[grows]
p = "p_hat"
[new]
M1 = "h, p_hat - p"
m1 = "1, p_hat - p"
M2 = "p_hat - p, h"
[rewrite]
W_l1 = "[W_l1, M1]"
b_l1 = "[b_l1, m1]"
W_l2 = "[W_l2; M2]"
"""
HEAD = """
[new]
M_Q = "h, k"
M_K = "h, k"
M_V = "h, v"
M_O = "v, h"
[added.head]
W_Q = "M_Q"
W_K = "M_K"
W_V = "M_V"
W_O = "M_O"
"""
HEADS = """
[grows]
v = "v_hat"
[new]
M_V = "h, v_hat - v"
M_O = "v_hat - v, h"
[rewrite]
W_V = "[W_V, M_V]"
W_O = "[W_O; M_O]"
"""
ATTENTION = """
[grows]
k = "k_hat"
[new]
M_Q = "h, k_hat - k"
M_K = "h, k_hat - k"
[rewrite]
W_Q = "[W_Q, M_Q]"
W_K = "[sqrt(k_hat/k)*W_K, M_K]"
"""
HIDDEN = """
[grows]
h = "h_hat"
[new]
M_I = "s, h_hat - h"
M_P = "s, h_hat - h"
M_out = "h_hat - h, o"
m_MHA = "1, h_hat - h"
M_Q = "h_hat - h, k"
M_K = "h_hat - h, k"
M_V = "h_hat - h, v"
M_O = "v, h_hat - h"
m_MLP = "1, h_hat - h"
M1 = "h_hat - h, p"
M2 = "p, h_hat - h"
m2 = "1, h_hat - h"
[rewrite]
I = "[I, M_I]"
P = "[P, M_P]"
W_out = "[W_out; M_out]"
g_MHA = "[sqrt(h/h_hat)*g_MHA, m_MHA]"
W_Q = "[W_Q; M_Q]"
W_K = "[W_K; M_K]"
W_V = "[W_V; M_V]"
W_O = "[W_O, M_O]"
g_MLP = "[sqrt(h/h_hat)*g_MLP, m_MLP]"
W_l1 = "[W_l1; M1]"
W_l2 = "[W_l2, M2]"
b_l2 = "[b_l2, m2]"
"""
LAYER = """
[new]
m_MHA = "1, h"
M_Q = "h, k"
M_K = "h, k"
M_V = "h, v"
M_O = "v, h"
m_MLP = "1, h"
M1 = "h, p"
m1 = "1, p"
M2 = "p, h"
m2 = "1, h"
[added.layer]
g_MHA = "m_MHA"
W_Q = "M_Q"
W_K = "M_K"
W_V = "M_V"
W_O = "M_O"
g_MLP = "m_MLP"
W_l1 = "M1"
b_l1 = "m1"
W_l2 = "M2"
b_l2 = "m2"
"""
WRITERS = ("M_O = 0", "M2 = 0", "m2 = 0")


def variant(body: str, *constraints: str) -> str:
    """A variant with constraints such as "M_Q*M_K' = 0"."""
    sides = [constraint.split(" = ") for constraint in constraints]
    return "\n".join(['name = "On trial"', body, "[constraints]", *(f'"{a}" = "{b}"' for a, b in sides), ""])


def table(**entries: str) -> str:
    return "\n".join(f'{name} = "{expression}"' for name, expression in entries.items())


def statements(*named: tuple[str, str]) -> pytest.MarkDecorator:
    titles, texts = zip(*named, strict=True)
    return pytest.mark.parametrize("text", texts, ids=titles)


def rewriting(**entries: str) -> str:
    """A variant that only rewrites."""
    return variant("[rewrite]\n" + table(**entries))


def scores(of_queries: str, of_keys: str, *constraints: str) -> str:
    """Attention expansion with other factors."""
    body = ATTENTION.replace('"[W_Q', f'"[{of_queries}*W_Q').replace("sqrt(k_hat/k)*W_K", f"{of_keys}*W_K")
    return variant(body, *constraints)


def twice(name: str, **entries: str) -> str:
    return variant(f'[grows]\n{name} = "2*{name}"\n[rewrite]\n' + table(**entries))


# --- the MLP: exact iff act(N M1 + m1) M2 = 0 for every N that can be reached ---


@statements(
    ("new units write nothing", variant(MLP, "M2 = 0")),
    ("new units give act(0) = 0", variant(MLP, "M1 = 0", "m1 = 0")),
    (
        "equal units with opposite outputs",
        variant(
            MLP.replace("p_hat - p", "q")
            .replace('"p_hat"', '"p + 2*q"')
            .replace("M1]", "M1, M1]")
            .replace("m1]", "m1, m1]")
            .replace("M2]", "M2; -M2]")
        ),
    ),
    ("units copied, outputs halved", twice("p", W_l1="[W_l1, W_l1]", b_l1="[b_l1, b_l1]", W_l2="1/2*[W_l2; W_l2]")),
)
def test_mlp_expansion_is_exact(text, answer, proved):
    assert proved(answer(text))


@statements(
    ("nothing asked", variant(MLP)),
    ("weights zero, biases free", variant(MLP, "M1 = 0")),
    ("biases zero, weights free", variant(MLP, "m1 = 0")),
    ("biases zero where an opposite is wanted", variant(MLP, "M1 = 0", "m1 = ones(1, p_hat - p)")),
    ("units copied", twice("p", W_l1="[W_l1, W_l1]", b_l1="[b_l1, b_l1]", W_l2="[W_l2; W_l2]")),
    ("no act in the compensation", variant(MLP + table(b_l2="b_l2 - m1*M2"), "M1 = 0")),
)
def test_mlp_expansion_is_not_exact(text, answer, refuted):
    assert refuted(answer(text))


# --- a new head: exact iff its W_V W_O = 0 ---


@statements(
    ("outputs zero", variant(HEAD, "M_O = 0")),
    ("values zero", variant(HEAD, "M_V = 0")),
    ("their product zero", variant(HEAD, "M_V*M_O = 0")),
    ("their product zero, transposed", variant(HEAD, "M_O'*M_V' = 0")),
)
def test_head_addition_is_exact(text, answer, proved):
    assert proved(answer(text))


@statements(
    ("nothing asked", variant(HEAD)),
    ("queries zero: attention becomes a mean", variant(HEAD, "M_Q = 0")),
    ("keys zero: the same", variant(HEAD, "M_K = 0")),
    ("queries and keys zero", variant(HEAD, "M_Q = 0", "M_K = 0")),
    ("scores zero", variant(HEAD, "M_Q*M_K' = 0")),
)
def test_head_addition_is_not_exact(text, answer, refuted):
    assert refuted(answer(text))


# --- longer heads: exact iff M_V M_O = 0 in every head ---


@statements(
    ("outputs zero", variant(HEADS, "M_O = 0")),
    ("values zero", variant(HEADS, "M_V = 0")),
    ("their product zero", variant(HEADS, "M_V*M_O = 0")),
    ("values copied, outputs halved", twice("v", W_V="[W_V, W_V]", W_O="[1/2*W_O; 1/2*W_O]")),
)
def test_heads_expansion_is_exact(text, answer, proved):
    assert proved(answer(text))


@statements(
    ("nothing asked", variant(HEADS)),
    ("values copied", twice("v", W_V="[W_V, W_V]", W_O="[W_O; W_O]")),
)
def test_heads_expansion_is_not_exact(text, answer, refuted):
    assert refuted(answer(text))


# --- longer queries and keys: exact iff a b = sqrt(k_hat/k) and M_Q M_K' = 0, for factors a and b ---

ROOT, FOURTH = "sqrt(k_hat/k)", "(k_hat/k)^(1/4)"


@statements(
    *(
        (f"{a} and {b}, {constraint}", scores(a, b, constraint))
        for a, b in (("1", ROOT), (ROOT, "1"), (FOURTH, FOURTH))
        for constraint in ("M_K = 0", "M_Q = 0", "M_Q*M_K' = 0", "M_K*M_Q' = 0")
    ),
    # Blocks made of old ones need only the whole equation: (sqrt(2) - 1) + 1 = sqrt(2).
    ("old blocks", twice("k", W_Q="[(sqrt(2) - 1)*W_Q, W_Q]", W_K="[W_K, W_K]")),
    (
        "new blocks that equal old ones",
        variant(
            ATTENTION.replace('"k_hat"', '"2*k"').replace("[W_Q", "[(sqrt(2) - 1)*W_Q").replace("sqrt(k_hat/k)*", ""),
            "M_Q = W_Q",
            "M_K = W_K",
        ),
    ),
    # A factor of the scores that does not follow k wants no factor on the keys.
    (
        "the factor of the scores kept",
        variant(ATTENTION.replace("sqrt(k_hat/k)*", "") + table(scale="1/sqrt(k)"), "M_K = 0"),
    ),
)
def test_attention_expansion_is_exact(text, answer, proved):
    assert proved(answer(text))


@statements(
    ("nothing asked", variant(ATTENTION)),
    ("no factor", scores("1", "1", "M_K = 0")),
    ("the factor twice", scores(ROOT, ROOT, "M_K = 0")),
    ("the fourth root once", scores("1", FOURTH, "M_K = 0")),
    ("copies without a factor", twice("k", W_Q="[W_Q, W_Q]", W_K="[W_K, W_K]")),
)
def test_attention_expansion_is_not_exact(text, answer, refuted):
    assert refuted(answer(text))


# --- a wider stream: what writes to the new coordinates is zero, and the input cancels ---


@statements(
    ("theorem 3.5", variant(HIDDEN, *WRITERS, "M_I = 0", "M_P = 0")),
    ("input and positions cancel", variant(HIDDEN, *WRITERS, "M_I + M_P = 0")),
    ("the same, solved", variant(HIDDEN, *WRITERS, "M_P = -M_I")),
)
def test_hidden_expansion_is_exact(text, answer, proved):
    assert proved(answer(text))


READS = ("M_Q = 0", "M_K = 0", "M_V = 0", "M1 = 0", "M_out = 0")


@statements(
    ("reads zero, writes free: the norm sees the new coordinates", variant(HIDDEN, *READS)),
    ("the same with a zero input", variant(HIDDEN, *READS, "M_I = 0", "M_P = 0")),
    ("gains zero as well", variant(HIDDEN, *READS, "m_MHA = 0", "m_MLP = 0", "M_I = 0", "M_P = 0")),
    ("input and positions equal", variant(HIDDEN, *WRITERS, "M_I - M_P = 0")),
    ("only the input zero", variant(HIDDEN, *WRITERS, "M_I = 0")),
    ("the first writer free", variant(HIDDEN, "M2 = 0", "m2 = 0", "M_I + M_P = 0")),
)
def test_hidden_expansion_is_not_exact(text, answer, refuted):
    assert refuted(answer(text))


@pytest.mark.parametrize(
    ("eps", "verdict"), [("eps", "refuted"), ("eps*h/h_hat", "proved"), ("eps*h_hat/h", "refuted")]
)
def test_with_an_epsilon_it_is_exact_iff_the_epsilon_shrinks_with_the_width(eps, verdict, answer, refuted, proved):
    text = variant(HIDDEN + table(eps=eps), *WRITERS, "M_I = 0", "M_P = 0")
    found = answer(text, architecture="paper-eps")
    assert found.verdict == verdict
    assert refuted(found) or proved(found)


@pytest.mark.parametrize("body", [MLP, HEADS, ATTENTION], ids=["mlp", "heads", "attention"])
def test_an_epsilon_matters_for_the_width_only(body, answer, proved):
    zero = {MLP: "M2 = 0", HEADS: "M_O = 0", ATTENTION: "M_K = 0"}[body]
    assert proved(answer(variant(body, zero), architecture="paper-eps"))


# --- a wider stream x E with E E' = a eye(h): every RMSNorm and its readers have sqrt(a h/h_hat) to undo ---


def widened(copies: list[str], reads: list[str], gain: str = "", new: str = "", **more: str) -> str:
    """A stream of blocks such as "@" or "0(s, q)", and what reads each of them; `@` is the parameter."""

    def row(name: str, scope: str = "s") -> str:
        return f"[{', '.join(copies)}]".replace("0(s,", f"0({scope},").replace("@", name)

    def column(name: str, columns: str) -> str:
        return f"[{'; '.join(reads)}]".replace("@", name).replace("0(q, n)", f"0(q, {columns})")

    gains = ", ".join("ones(1, q)" if copy.startswith("0") else f"{gain}@" for copy in copies)
    entries = {
        **{name: row(name) for name in ("I", "P")},
        "W_O": row("W_O", "v"),
        "W_l2": row("W_l2", "p"),
        "b_l2": row("b_l2", "1"),
        **{name: f"[{gains}]".replace("@", name) for name in ("g_MHA", "g_MLP")},
        **{name: column(name, size) for name, size in (("W_Q", "k"), ("W_K", "k"), ("W_V", "v"), ("W_l1", "p"))},
        "W_out": column("W_out", "o"),
    }
    size = f"{len(copies)}*h" if "0(s, q)" not in copies else f"{len(copies) - 1}*h + q"
    return variant(f'[grows]\nh = "{size}"\n[new]\n{new}\n[rewrite]\n' + table(**entries, **more))


HALVES, THIRDS = ["1/2*@"] * 2, ["1/3*@"] * 3
PADDED = ["@", "@", "0(s, q)"], ["1/2*@", "1/2*@", "0(q, n)"]


@pytest.mark.parametrize("architecture", ["paper", "paper-eps"])
@statements(
    ("two copies, each read by half", widened(["@"] * 2, HALVES)),  # E = [1 1], a = 2, sqrt(a h/h_hat) = 1
    ("three copies", widened(["@"] * 3, THIRDS)),
    ("two copies, one read", widened(["@"] * 2, ["@", "0*@"])),
    ("two copies and zeros", widened(*PADDED, gain="sqrt(2*h/h_hat)*", eps="2*h/h_hat*eps")),
)
def test_copies_of_the_stream_are_exact(text, architecture, answer, proved):
    assert proved(answer(text, architecture=architecture))


@statements(
    ("two copies, both read", widened(["@"] * 2, ["@"] * 2)),
    ("two copies, a third read", widened(["@"] * 2, ["1/3*@"] * 2)),
    ("two copies and zeros, no factor", widened(*PADDED)),
)
def test_copies_that_are_read_too_often_are_not_exact(text, answer, refuted):
    assert refuted(answer(text))


def test_copies_and_zeros_need_their_own_epsilon(answer, refuted):
    text = widened(*PADDED, gain="sqrt(2*h/h_hat)*", eps="h/h_hat*eps")
    assert refuted(answer(text, architecture="paper-eps"))


def test_copies_may_be_read_with_opposite_noise(answer, proved):
    """What one copy adds the other takes away."""
    shapes = {"W_Q": "k", "W_K": "k", "W_V": "v", "W_l1": "p", "W_out": "o"}
    new = table(**{f"N_{name}": f"h, {size}" for name, size in shapes.items()})
    assert proved(answer(widened(["@"] * 2, ["1/2*@ + N_@", "1/2*@ - N_@"], new=new)))


def test_a_stream_that_is_no_multiple_of_an_isometry_is_refuted(answer, refuted):
    """x [1 A] has another root mean square than x."""
    text = widened(["@", "@*A"], ["@", "0*@"], new='A = "h, h"')
    assert refuted(answer(text + '[stream]\nmap = "[eye(h), A]"\n'))


# --- a new layer: exact iff W_V W_O = 0 in every head, and act(N W1 + b1) W2 + b2 = 0 ---


@statements(
    ("theorem 3.6", variant(LAYER, *WRITERS)),
    ("values zero", variant(LAYER, "M_V = 0", "M2 = 0", "m2 = 0")),
    ("values times outputs zero", variant(LAYER, "M_V*M_O = 0", "M2 = 0", "m2 = 0")),
    ("units give act(0) = 0", variant(LAYER, "M_O = 0", "M1 = 0", "m1 = 0", "m2 = 0")),
    ("gains zero", variant(LAYER, "m_MHA = 0", "m_MLP = 0", "m1 = 0", "m2 = 0")),
)
def test_layer_addition_is_exact(text, answer, proved):
    assert proved(answer(text))


@statements(
    ("nothing asked", variant(LAYER)),
    ("queries and keys zero", variant(LAYER, "M_Q = 0", "M_K = 0", "M2 = 0", "m2 = 0")),
    ("outputs of one sublayer only", variant(LAYER, "M_O = 0")),
    ("a bias left", variant(LAYER, "M_O = 0", "M2 = 0")),
    ("first weights zero, biases free", variant(LAYER, "M_O = 0", "M1 = 0", "m2 = 0")),
    ("a compensation without act", variant(LAYER, "M_O = 0", "M1 = 0", "m1*M2 + m2 = 0")),
)
def test_layer_addition_is_not_exact(text, answer, refuted):
    assert refuted(answer(text))


# --- nothing grows ---


@statements(
    ("low rank, one factor zero", variant('[new]\nA = "h, 2"\nB = "2, k"\n[rewrite]\nW_Q = "W_Q + A*B"', "B = 0")),
    ("times an identity", variant('[new]\nA = "k, k"\n[rewrite]\nW_Q = "W_Q*A*A"', "A = eye(k)")),
    ("added and taken away", variant('[new]\nA = "h, k"\n[rewrite]\nW_Q = "W_Q + A - A"')),
    ("signs of two factors", rewriting(W_V="-W_V", W_O="-W_O")),
)
def test_a_change_of_nothing_is_exact(text, answer, proved):
    assert proved(answer(text))


@statements(
    ("low rank", variant('[new]\nA = "h, 2"\nB = "2, k"\n[rewrite]\nW_Q = "W_Q + A*B"')),
    ("a sign", rewriting(W_V="-W_V")),
    ("keys for queries", rewriting(W_Q="W_K")),
    ("a transpose too many", variant('[new]\nA = "k, k"\n[rewrite]\nW_Q = "W_Q*A"\nW_K = "W_K*A"', "A = ones(k, k)")),
)
def test_a_change_of_something_is_not_exact(text, answer, refuted):
    assert refuted(answer(text))


# --- true, and beyond the rules; false, and beyond the search ---

STREAM = ("I", "P", "W_O", "W_l2", "b_l2", "g_MHA", "g_MLP", "W_out")


@statements(
    # act(1 m1) = 1 act(m1): an elementwise function of equal rows.
    ("mlp: a bias takes away what constant units add", variant(MLP + table(b_l2="b_l2 - act(m1)*M2"), "M1 = 0")),
    ("mlp: constant units that write nothing", variant(MLP, "M1 = 0", "act(m1)*M2 = 0")),
    ("layer: a bias takes away", variant(LAYER, "M_O = 0", "M1 = 0", "act(m1)*M2 + m2 = 0")),
    # ReLU of what is negative.
    ("mlp: units that never fire", variant(MLP, "M1 = 0", "m1 = -ones(1, p_hat - p)")),
    # A real matrix with M M' = 0 is zero.
    ("mlp: a Gram matrix of zero", variant(MLP, "M2*M2' = 0")),
    # E = [1 -1] and E = [2 1]: E E' = 2 and 5.
    ("a stream with a sign", widened(["@", "-@"], ["1/2*@", "-1/2*@"])),
    ("a stream with unequal copies", widened(["2*@", "@"], ["1/2*@", "0*@"], gain="sqrt(5/2)*")),
    ("the stream negated", rewriting(**{name: f"-{name}" for name in STREAM})),
)
def test_what_is_true_and_not_proved_is_not_refuted(text, answer, agree):
    found = answer(text)
    assert found.verdict in ("proved", "undecided")
    assert all(agree(found, seed) for seed in range(2))


@statements(
    # Solutions that matter have orthogonal blocks; the search makes a factor of a zero product zero.
    ("heads: the other product zero", variant(HEADS, "M_O*M_V = 0")),
    ("attention: the other product zero", variant(ATTENTION, "M_Q'*M_K = 0")),
)
def test_what_is_false_and_not_refuted_is_not_proved(text, answer, refuted):
    found = answer(text)
    assert found.verdict == "undecided" or refuted(found)
