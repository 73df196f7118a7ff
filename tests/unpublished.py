"""Small variants that several tests speak of and the catalogue does not hold, without constraints of their own."""


def constrained(text: str, *constraints: str) -> str:
    """A variant with other constraints."""
    return text.partition("[constraints]")[0] + "\n".join(["[constraints]", *constraints, ""])


TWO_UNITS = """
name = "Two blocks of new units"
[grows]
p = "p + 2*q"
[new]
A1 = "h, q"
A2 = "h, q"
d1 = "1, q"
d2 = "1, q"
C1 = "q, h"
C2 = "q, h"
[rewrite]
W_l1 = "[W_l1, A1, A2]"
b_l1 = "[b_l1, d1, d2]"
W_l2 = "[W_l2; C1; C2]"
"""

TWO_VALUES = """
name = "Two blocks of new values"
[grows]
v = "v + 2*q"
[new]
V1 = "h, q"
V2 = "h, q"
O1 = "q, h"
O2 = "q, h"
[rewrite]
W_V = "[W_V, V1, V2]"
W_O = "[W_O; O1; O2]"
"""

ADAPTER = """
name = "A product on the way into the MLP"
[new]
A = "h, h"
B = "h, h"
[rewrite]
W_l1 = "W_l1 + A*B*W_l1"
"""

WRITERS = """
name = "Two changes of what is written"
[new]
A = "p, h"
b = "1, h"
[rewrite]
W_l2 = "W_l2 + A"
b_l2 = "b_l2 + b"
"""

LORA_OF_THE_GATE = """
name = "A low-rank change of the gate"
[new]
A = "h, 1"
B = "1, p"
[rewrite]
W_gate = "W_gate + A*B"
[constraints]
B = "0"
"""
