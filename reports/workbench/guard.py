"""Who may ask: a page of another site may not, and its name for this machine is no name of ours.

A site that a student visits can send requests here from the student's browser.  It is told apart by its Origin, and
where it makes its own name point here (DNS rebinding) by the Host that it asks for.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})
EVERYWHERE = frozenset({"0.0.0.0", "::"})
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self'",
    "font-src": "data:",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class Names:
    """What this machine is called; by an address too, which no site can make point elsewhere, where all are served."""

    known: frozenset[str]
    any_address: bool = False

    def include(self, host: str) -> bool:
        """Whether a Host header names this machine; its port is the client's affair, for it may be forwarded.

        >>> names_of("127.0.0.1").include("localhost:8000"), names_of("127.0.0.1").include("rebound.example:8000")
        (True, False)
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self.known or (self.any_address and is_address(name))


def names_of(bound: str) -> Names:
    """The names under which what is bound to a host is asked for.

    >>> names_of("0.0.0.0").include("192.168.1.7:8000"), names_of("127.0.0.1").include("192.168.1.7:8000")
    (True, False)
    """
    if bound in EVERYWHERE:
        own = socket.gethostname().lower()
        return Names(LOCAL | {own, f"{own}.local"}, any_address=True)
    return Names(LOCAL if is_local(bound) else frozenset({bound.lower()}))


def is_local(bound: str) -> bool:
    """Whether what is bound to a host can be reached from this machine only."""
    return bound in LOCAL or (is_address(bound) and ip_address(bound).is_loopback)


def is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def refusal(method: str, headers: Headers, names: Names) -> tuple[int, str] | None:
    """Why a request is not answered: status and reason; None where it is."""
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not names.include(hosts[0]):
        return 421, "the Host header does not name this workbench"
    if method in ("GET", "HEAD"):
        return None
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return 403, "the request comes from another site"
    if any(urlsplit(origin).netloc != hosts[0] for origin in headers.getlist("origin")):
        return 403, "the request comes from a page of another origin"
    return None


@dataclass(frozen=True)
class Guarded:
    """An application behind the checks."""

    app: ASGIApp
    names: Names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = refusal(scope["method"], Headers(scope=scope), self.names) if scope["type"] == "http" else None
        app = self.app if refused is None else error_response(*refused)
        await app(scope, receive, send)


@dataclass(frozen=True)
class Headed:
    """An application whose every answer has these headers, unless it sets them itself."""

    app: ASGIApp
    headers: Mapping[str, str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    found.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, headed)


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error in the form of the command line's `--json`."""
    return JSONResponse({"error": {"message": message}}, status, headers)
