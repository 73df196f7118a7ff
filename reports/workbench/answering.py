"""What a worker does: the answer about a variant's text, and about an exercise of the course, as JSON.

Imported before the first request, with all that a check needs: what is imported here is what is warm.
"""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from typing import Any

from ... import api
from ...proofs import vacuous  # noqa: F401  (and z3 with it, which some checks need)
from ...proofs.liveness import Liveness
from ...shown import Answer
from ...symbolic.errors import VariantError
from ..answers import answer_json
from ..course.exercises import check_exercise
from ..page import environment
from ..sections import section
from ..starts import learning

FILE = "variant"
"""What errors call the text that has no file."""


def ready() -> None:
    """Make a worker warm, and such that it ends at once when it is stopped."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for text in (PROVED, REFUTED):
        check(text, None)


PROVED = 'name = "Once"\n[rewrite]\nW_V = "2*W_V"\nW_O = "1/2*W_O"\n'
REFUTED = PROVED.replace("1/2", "1/3")


def check(text: str, architecture: str | None) -> bytes:
    """The fields of `check --json`, and the answer as `html`; or its `error`."""
    start = time.perf_counter()
    try:
        answer = api.check(api.loads(text, FILE), architecture=architecture)
        found = answer_json(answer, answer.remarks, 0.0)
        html = answer_html(answer)
    except VariantError as error:
        return encoded({"error": error.as_json()})
    return encoded({**found, "seconds": round(time.perf_counter() - start, 3), "html": html})


def answer_html(answer: Answer) -> str:
    """The answer as a notebook shows it, in the page's style, without the file, and with what learns."""
    plain = section(answer, "variant", remarks=answer.remarks)
    still = replace(plain, certificate_json="", variant_text="", sha256="")
    learns = answer.remarks.learns
    template = environment().get_template("workbench-answer.html.j2")
    return template.render(section=still, known=set(), learning=rows(learns) if learns is not None else [])


def rows(found: Liveness) -> list[Any]:
    return list(learning(found))


def exercise(payload: str) -> bytes:
    """What the course says to an answer; the payload is the JSON of the request."""
    return encoded(check_exercise(json.loads(payload)))


def encoded(found: dict[str, Any]) -> bytes:
    return json.dumps(found, ensure_ascii=False).encode("utf-8")
