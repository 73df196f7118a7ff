"""Certificates inside a page: written so that no text in them can end the element, and read back.

>>> page = "<p>" + embed('{"note": "</script>"}') + "</p>"
>>> certificates(page)
['{"note": "\\\\u003c/script>"}']
"""

from html.parser import HTMLParser

_OPEN = '<script type="application/json" class="certificate">'


def embed(certificate: str) -> str:
    """The element that holds a certificate."""
    return _OPEN + escaped(certificate) + "</script>"


def data(json: str) -> str:
    """The element that holds what a script of the page reads."""
    return f'<script type="application/json">{escaped(json)}</script>'


def escaped(json: str) -> str:
    """JSON that no text in it can end an element: `<` stands in strings only, and there also as `\\u003c`."""
    return json.replace("<", "\\u003c")


def certificates(page: str) -> list[str]:
    """The certificates in a page, in order; equal as JSON to those that were embedded."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.found


class _Reader(HTMLParser):
    """Collects the text of every certificate element."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "script" and ("class", "certificate") in attrs
        if self._inside:
            self.found.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found[-1] += data
