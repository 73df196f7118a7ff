"""Variants that say more than rewrites: selections, copies, groups, bodies, what an architecture becomes.

`TRUE` never change what a model computes, `FALSE` look like one of these and do; each with the options of its
architecture, and why.
"""

from typing import Any

Options = dict[str, Any]


def written(**tables: str) -> str:
    """A variant's text: entries such as W_l1 = W_l1, one a line, under each header; `__` is a dot."""
    lines = ['name = "One construct"']
    for header, entries in tables.items():
        pairs = (line.split(" = ", 1) for line in entries.strip().splitlines())
        lines += [f"[{header.replace('__', '.')}]", *(f"{quoted(key.strip())} = {said(text)}" for key, text in pairs)]
    return "\n".join([*lines, ""])


def quoted(key: str) -> str:
    return key if key.isidentifier() else f'"{key}"'


def said(text: str) -> str:
    return text if text.strip().isdecimal() and text.strip() != "0" else f'"{text.strip()}"'


GROUPS: Options = {"groups": True}
GATED: Options = {"mlp": "gated", "mlp_bias": False, "act": "silu"}
ROTARY: Options = {"positions": "rotary"}
EXPERTS: Options = {"experts": True}

WIDER = {
    "grows": "p = p_hat",
    "new": "S = p, p_hat; selection\nT = p_hat, p",
    "rewrite": "W_l1 = W_l1*S\nb_l1 = b_l1*S\nW_l2 = T*W_l2",
}
DEEPER = {
    "new": "M_W = p, p\nM_b = 1, p",
    "forward": "MLP = act(act(X*W_l1 + b_l1)*M_W + M_b)*W_l2 + b_l2",
    "constraints": "M_W = eye(p)\nM_b = 0",
}
ADAPTER = {"new": "M_A = h, r\nM_B = r, h", "forward": "MLP = MLP + act(MLP*M_A)*M_B"}
WIDE_ADAPTER = ADAPTER | {"new": "M_A = h_hat, r\nM_B = r, h_hat"}
JOINING = {"new": "M_Q = h, k\nM_O = v, h", "added__head": "group = one\nW_Q = M_Q\nW_O = M_O"}
UPCYCLED = {"new": "M_R = h, M", "rewrite": "W_R = M_R"}
KEYS = {
    "grows": "k = k_hat",
    "new": "M_Q = h, k_hat - k\nM_K = h, k_hat - k",
    "rewrite": "W_Q = [sqrt(k_hat/k)*W_Q, M_Q]\nW_K = [W_K, M_K]",
    "constraints": "M_K = 0",
}
WIDENED_COPY = {
    "grows": "p = p_hat",
    "new": "A = h, p_hat - p\na = 1, p_hat - p\nB = p_hat - p, h",
    "rewrite": "W_l1 = [W_l1, A]\nb_l1 = [b_l1, a]\nW_l2 = [W_l2; B]",
}


def doubled(factor: str) -> dict[str, str]:
    return {
        "grows": "p = 2*p",
        "rewrite": f"W_l1 = [W_l1, W_l1]\nb_l1 = [b_l1, b_l1]\nW_l2 = [{factor}*W_l2; {factor}*W_l2]",
    }


def cloned(stream: str, readers: str, writers: str, **more: str) -> dict[str, str]:
    """The stream n times: what writes to it W E, what reads it E' W / n."""
    lines = [f"{name} = {name}*{writers}" for name in ("I", "P", "W_O", "W_l2", "b_l2", "g_MHA", "g_MLP")]
    lines += [f"{name} = 1/n*{readers}*{name}" for name in ("W_Q", "W_K", "W_V", "W_l1", "W_out")]
    return {"grows": "h = n*h", "rewrite": "\n".join(lines), "stream": f"map = {stream}", **more}


STREAM, ENTRIES = "kron(ones(1, n), eye(h))", "kron(eye(h), ones(1, n))"

TRUE: dict[str, tuple[str, Options]] = {
    # f(A S) T W = f(A) S T W
    "selected units": (written(**WIDER, constraints="S*T = eye(p)"), {}),
    "selected units, one selection for all layers": (
        written(**WIDER | {"new": "S = p, p_hat; selection, per model\nT = p_hat, p"}, constraints="S*T = eye(p)"),
        {},
    ),
    "units in another order": (
        written(
            new="S = p, p; selection",
            rewrite="W_l1 = W_l1*S\nb_l1 = b_l1*S\nW_l2 = S'*W_l2",
            constraints="S*S' = eye(p)",
        ),
        {},
    ),
    "units twice, by half": (written(**doubled("1/2")), {}),
    "units twice, a third and two thirds": (
        written(**doubled("1/2") | {"rewrite": doubled("1/3")["rewrite"].replace("; 1/3", "; 2/3")}),
        {},
    ),
    "heads twice, by half": (written(rewrite="W_O = 1/2*W_O", added__head="copy = each\nW_O = 1/2*W_O"), {}),
    "heads twice, values by half": (written(rewrite="W_V = 1/2*W_V", added__head="copy = each"), {}),
    "grouped heads twice, by half": (
        written(rewrite="W_O = 1/2*W_O", added__head="copy = each"),
        GROUPS,
    ),
    "a copy of every head that writes nothing": (written(added__head="copy = each\nW_O = 0"), {}),
    "a copy of every head, with noise that cancels": (
        written(
            new="D = v, h",
            rewrite="W_O = 1/2*W_O + D",
            added__head="copy = each\nW_O = 1/2*W_O - D",
        ),
        {},
    ),
    "a head joins each group": (written(**JOINING, constraints="M_O = 0"), GROUPS),
    "a head joins each group and writes nothing": (
        written(new="M_Q = h, k", added__head="group = one\nW_Q = M_Q\nW_O = 0"),
        GROUPS,
    ),
    "a layer copied, and silent": (written(added__layer="copy = previous\nW_O = 0\nW_l2 = 0\nb_l2 = 0"), {}),
    "a layer copied, its values 0": (written(added__layer="copy = previous\nW_V = 0\nW_l2 = 0\nb_l2 = 0"), {}),
    "a layer copied, its gains 0": (
        written(added__layer="copy = previous\ng_MHA = 0\ng_MLP = 0\nb_l1 = 0\nb_l2 = 0"),
        {},
    ),
    "a layer copied, its gate 0": (written(added__layer="copy = previous\nW_O = 0\nW_gate = 0"), GATED),
    "a wider layer copied, and silent": (
        written(**WIDENED_COPY, constraints="B = 0", added__layer="copy = previous\nW_O = 0\nW_l2 = 0\nb_l2 = 0"),
        {},
    ),
    "a layer copied with the experts, and silent": (
        written(added__layer="copy = previous\nW_O = 0\nW_l2 = 0\nb_l2 = 0"),
        EXPERTS,
    ),
    "an adapter of zeros": (written(**ADAPTER, constraints="M_B = 0"), {}),
    "an adapter that reads nothing": (written(**ADAPTER, constraints="M_A = 0"), {}),
    "an adapter of the attention": (
        written(new="A = h, r\nB = r, h", forward="MHA = MHA + act(X*A)*B", constraints="B = 0"),
        {},
    ),
    "adapters of both sublayers": (
        written(
            new="A = h, h\nB = h, h\nC = h, h",
            forward="MLP = MLP + MLP*A\nMHA = MHA + MHA*B*C",
            constraints="A = 0\nB = 0",
        ),
        {},
    ),
    "units twice, by half, and an adapter of zeros": (
        written(**doubled("1/2"), **ADAPTER, constraints="M_B = 0"),
        {},
    ),
    "the stream n times, and an adapter of zeros": (
        written(**cloned(STREAM, "kron(ones(n, 1), eye(h))", STREAM), **WIDE_ADAPTER, constraints="M_B = 0"),
        {},
    ),
    "the MLP by its parts": (written(forward="MLP = act(X*W_l1 + b_l1)*W_l2 + b_l2"), {}),
    "an identity and one activation more": (written(**DEEPER), {}),
    "a block with the letter of the norm": (
        written(new="Y = h, h\nZ = h, h", forward="MLP = MLP + X*Y*Z", constraints="Z = 0"),
        {},
    ),
    "experts that are copies": (written(**UPCYCLED, becomes="experts = M\ntop_k = 2"), {}),
    "experts that are copies, of which one is chosen": (
        written(new="M_R = h, n", rewrite="W_R = M_R", becomes="experts = n\ntop_k = 1"),
        GATED,
    ),
    "keys and values for every head": (written(becomes="kv_groups = E"), GROUPS),
    "keys and values for every head, each with its own zeros": (
        written(new="A = h, k\nB = h, k", rewrite="W_K = W_K + A - B", constraints="A = B", becomes="kv_groups = E"),
        GROUPS,
    ),
    "frequencies kept": (written(**KEYS, becomes="rope = kept"), ROTARY),
    "the stream n times": (written(**cloned(STREAM, "kron(ones(n, 1), eye(h))", STREAM)), {}),
    "every coordinate n times": (written(**cloned(ENTRIES, "kron(eye(h), ones(n, 1))", ENTRIES)), {}),
    "one block for the old layers and the copy": (
        written(
            new="A = p, h",
            rewrite="W_l2 = W_l2 + A",
            constraints="A = 0",
            added__layer="copy = previous\nW_O = 0\nW_l2 = A\nb_l2 = 0",
        ),
        {},
    ),
    "the attention once more, in the MLP, times 0": (
        written(new="M = h, h", forward="MLP = MLP + MHA*M", constraints="M = 0"),
        {},
    ),
}

FALSE: dict[str, tuple[str, Options]] = {
    # A selection may choose one unit twice and another not at all.
    "units in another order, or not": (
        written(new="S = p, p; selection", rewrite="W_l1 = W_l1*S\nb_l1 = b_l1*S\nW_l2 = S'*W_l2"),
        {},
    ),
    "selected units, nothing undoes it": (written(**WIDER), {}),
    "selected units, S T = 2 I": (written(**WIDER, constraints="S*T = 2*eye(p)"), {}),
    "selected units, not their biases": (
        written(**WIDER | {"rewrite": WIDER["rewrite"].replace("b_l1*S", "0")}, constraints="S*T = eye(p)"),
        {},
    ),
    # the same, but S is any matrix with S T = I
    "mixed units": (
        written(**WIDER | {"new": "S = p, p_hat\nT = p_hat, p"}, constraints="S*T = eye(p)"),
        {},
    ),
    "units twice": (written(**doubled("1")), {}),
    "heads twice": (written(added__head="copy = each"), {}),
    "heads twice, only the new by half": (written(added__head="copy = each\nW_O = 1/2*W_O"), {}),
    "heads twice, keys by half": (written(rewrite="W_K = 1/2*W_K", added__head="copy = each"), {}),
    "a head joins each group and writes": (written(**JOINING), GROUPS),
    "a head joins each group, its queries 0": (written(**JOINING, constraints="M_Q = 0"), GROUPS),
    "a layer copied": (written(added__layer="copy = previous"), {}),
    "a layer copied, only its attention silent": (written(added__layer="copy = previous\nW_O = 0"), {}),
    "a layer copied, its bias kept": (written(added__layer="copy = previous\nW_O = 0\nW_l2 = 0"), {}),
    "a layer copied, only its first gain 0": (written(added__layer="copy = previous\ng_MHA = 0\nW_O = 0"), {}),
    "a wider layer copied, and silent, the new units not": (
        written(**WIDENED_COPY, added__layer="copy = previous\nW_O = 0\nW_l2 = 0\nb_l2 = 0"),
        {},
    ),
    "a layer copied with the experts, their biases kept": (
        written(added__layer="copy = previous\nW_O = 0\nW_l2 = 0"),
        EXPERTS,
    ),
    "an adapter with nothing zero": (written(**ADAPTER), {}),
    "an adapter after which the MLP is lost": (
        written(**ADAPTER | {"forward": "MLP = act(MLP*M_A)*M_B"}, constraints="M_B = 0"),
        {},
    ),
    "the MLP of what the stream is": (written(forward="MLP = act(act(X*W_l1 + b_l1))*W_l2 + 2*b_l2"), {}),
    "an identity and one GELU more": (written(**DEEPER), {"act": "gelu_tanh"}),
    "experts that are copies, their weights as they are": (
        written(**UPCYCLED, becomes="experts = M\ntop_k = 2\nrouter = plain"),
        {},
    ),
    "experts that are copies, each with a change": (
        written(
            new="M_R = h, M\nD = p, h",
            rewrite="W_R = M_R\nW_l2 = W_l2 + D",
            becomes="experts = M\ntop_k = 2",
        ),
        {},
    ),
    "experts that are copies by half": (
        written(**UPCYCLED | {"rewrite": "W_R = M_R\nW_l2 = 1/2*W_l2"}, becomes="experts = M\ntop_k = 2"),
        {},
    ),
    "values for every head, each its own": (
        written(new="A = h, v", rewrite="W_V = W_V + A", becomes="kv_groups = E"),
        GROUPS,
    ),
    "frequencies not kept": (written(**KEYS), ROTARY),
    "frequencies kept, no factor": (
        written(**KEYS | {"rewrite": "W_Q = [W_Q, M_Q]\nW_K = [W_K, M_K]"}, becomes="rope = kept"),
        ROTARY,
    ),
    "frequencies kept, the new pairs before the old": (
        written(**KEYS | {"rewrite": "W_Q = [M_Q, sqrt(k_hat/k)*W_Q]\nW_K = [M_K, W_K]"}, becomes="rope = kept"),
        ROTARY,
    ),
    "one block for the old layers and the copy, not 0": (
        written(
            new="A = p, h", rewrite="W_l2 = W_l2 + A - A", added__layer="copy = previous\nW_O = 0\nW_l2 = A\nb_l2 = 0"
        ),
        {},
    ),
    "units twice, by half, and an adapter with nothing zero": (
        written(**doubled("1/2"), **ADAPTER),
        {},
    ),
    "the stream n times, and an adapter with nothing zero": (
        written(**cloned(STREAM, "kron(ones(n, 1), eye(h))", STREAM), **WIDE_ADAPTER),
        {},
    ),
    "the attention in place of the MLP": (written(forward="MLP = MHA\nMHA = MLP"), {}),
    "the stream n times, its positions entry by entry": (
        written(**cloned(STREAM, "kron(ones(n, 1), eye(h))", STREAM)).replace(f"P*{STREAM}", f"P*{ENTRIES}"),
        {},
    ),
    "the stream n times, read entry by entry": (
        written(**cloned(STREAM, "kron(eye(h), ones(n, 1))", STREAM)),
        {},
    ),
    "the stream n times, read n times": (
        written(**cloned(STREAM, "n*kron(ones(n, 1), eye(h))", STREAM)),
        {},
    ),
}

UNPROVED: dict[str, tuple[str, Options]] = {
    # T S = I asks for p_hat independent columns of p entries.
    "selected units, T S = I": (written(**WIDER, constraints="T*S = eye(p_hat)"), {}),
    # What is true of some matrices, and of no selection.
    "a selection that is orthogonal": (written(**WIDER, constraints="S*S' = eye(p)\nT = S'"), {}),
    "a selection of nothing": (written(**WIDER, constraints="S = 0"), {}),
    "a selection with columns of zeros": (written(**WIDER, constraints="S = [eye(p), 0]\nS*T = eye(p)"), {}),
    "a selection with too few ones": (
        written(**WIDER, constraints="S*ones(p_hat, 1) = ones(p, 1)\nS*T = eye(p)"),
        {},
    ),
    "two selections whose sum is 0": (
        written(new="S = p, p; selection\nR = p, p; selection", rewrite="W_l1 = W_l1*(S + R)", constraints="S + R = 0"),
        {},
    ),
    # One matrix cannot be what differs from layer to layer; it can where the copy comes to stand.
    "a copy less what it copies": (
        written(
            new="A = p, h", constraints="A = -W_l2", added__layer="copy = previous\nW_O = 0\nW_l2 = W_l2 + A\nb_l2 = 0"
        ),
        {},
    ),
    # It is true, and its stream map is another.
    "every coordinate n times, with another stream map": (
        written(**cloned(STREAM, "kron(eye(h), ones(n, 1))", ENTRIES)),
        {},
    ),
}
"""What is not proved, and not refuted: nothing meets the constraints, or the proof is another."""
