"""The workbench: a catalogue variant once warm, and 20 students at once, whose variants all differ.

Run as `python tests/benchmarks/bench_workbench.py`.
"""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from urllib.parse import urlsplit

from timing import print_table, seconds

from growproof.symbolic.variant import catalogue, load

STUDENTS, EDITS = 20, 3
WARM, AT_ONCE = 0.5, 3.0  # seconds: the targets


def check(place: str, text: str) -> str:
    """The verdict on a variant; an answer that has none is an error."""
    connection = http.client.HTTPConnection(place, timeout=60)
    connection.request("POST", "/check", json.dumps({"text": text}), {"Content-Type": "application/json"})
    verdict: str = json.loads(connection.getresponse().read())["verdict"]
    connection.close()
    return verdict


def edited(text: str, number: int) -> str:
    """A text that no other request has: nothing of its answer is remembered."""
    return f"{text}\n# edit {number}\n"


def one_by_one(place: str) -> list[list[str]]:
    rows = []
    for name in catalogue():
        text = load(name).text
        times = [seconds(lambda i=i, text=text: check(place, edited(text, i))) for i in range(4)][1:]
        again = seconds(lambda text=text: check(place, edited(text, 1)))
        rows.append([name, f"{min(times):.2f}", f"{median(times):.2f}", f"{again:.3f}", f"{WARM:.1f}"])
    return rows


def at_once(place: str, texts: Sequence[str]) -> list[str]:
    """Each student edits a few times, waiting for the answer each time."""

    def student(number: int) -> list[float]:
        edits = (edited(texts[(number + i) % len(texts)], 100 + number * EDITS + i) for i in range(EDITS))
        return [seconds(lambda text=text: check(place, text)) for text in edits]

    with ThreadPoolExecutor(STUDENTS) as students:
        times = [time for found in students.map(student, range(STUDENTS)) for time in found]
    return [f"{STUDENTS} students", f"{min(times):.2f}", f"{median(times):.2f}", f"{max(times):.2f}", f"{AT_ONCE:.1f}"]


def main() -> None:
    command = [sys.executable, "-m", "growproof", "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = json.loads("".join(server.stdout.readline() for _ in range(3)))["address"]
        place = urlsplit(address).netloc
        try:
            title = "One at a time, seconds"
            print_table(title, ["", "minimum", "median", "remembered", "target"], one_by_one(place))
            title = f"At once on {os.cpu_count()} cores, {EDITS} checks each, seconds"
            texts = [load(name).text for name in catalogue()]
            print_table(title, ["", "minimum", "median", "maximum", "target"], [at_once(place, texts)])
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
