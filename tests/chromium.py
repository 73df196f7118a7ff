"""Chromium for the tests of pages, and what it asks for and complains of while a page is open."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextmanager
def launched() -> Iterator[Any]:
    """The system's Chromium, or Playwright's own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = FLAGS + (["--no-sandbox"] if os.geteuid() == 0 else [])
        path = CHROMIUM if CHROMIUM.exists() else None
        chromium = playwright.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()


@dataclass(frozen=True)
class Watched:
    """What a tab asked for, and what the browser complained of, since it was watched."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def addresses(self) -> list[str]:
        """What was asked for, but for what is in the page itself."""
        return [url for url in self.requests if not url.startswith("data:")]


def watched(tab: Any) -> Watched:
    """Watch a tab from now on."""
    seen = Watched()
    tab.on("request", lambda request: seen.requests.append(request.url))
    tab.on("console", lambda message: seen.complaints.append(message.text))
    tab.on("pageerror", lambda error: seen.complaints.append(str(error)))
    return seen
