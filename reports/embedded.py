"""Certificates inside a page: packed, so that they take little room and no text in them can end the element.

>>> page = "<p>" + embed('{"note": "</script>"}') + "</p>"
>>> certificates(page)
['{"note": "</script>"}']
"""

import gzip
import zlib
from base64 import b64decode, b64encode
from html.parser import HTMLParser

_OPEN = '<script type="application/gzip;base64" class="certificate">'
LARGEST = 50_000_000  # bytes of one certificate


def embed(certificate: str) -> str:
    """The element that holds a certificate: JSON, gzipped, in base64."""
    packed = gzip.compress(certificate.encode("utf-8"), mtime=0)
    return _OPEN + b64encode(packed).decode("ascii") + "</script>"


def unpacked(text: str) -> str:
    """What is packed in an element; text that is no such thing comes back as it is."""
    try:
        found = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(b64decode(text, validate=True), LARGEST)
        return found.decode("utf-8")
    except (ValueError, zlib.error):
        return text


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
    return [unpacked(text) for text in reader.found]


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
