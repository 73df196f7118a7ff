"""From a host and a port to a server that runs until it is interrupted."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ...symbolic.errors import VariantError
from . import answering
from .app import application
from .guard import EVERYWHERE, names_of
from .work import Workers

CONNECTION_SECONDS = 60.0
MOST_CONNECTIONS = 200
LARGEST_HEAD = 16_384


class Connection(H11Protocol):
    """A connection that takes requests for a minute, and is cut after another, however slow its client may be."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(CONNECTION_SECONDS, self.expire)

    def expire(self) -> None:
        if not self.transport.is_closing():
            self.shutdown()
            self.loop.call_later(CONNECTION_SECONDS, self.transport.abort)


def serve(host: str, port: int, course: Path | None, announce: Callable[[str], None]) -> None:
    """Serve the workbench until it is interrupted; `announce` hears its address.

    Raises VariantError for a place that cannot be had, and for a course that is no folder.
    """
    if course is not None and not course.is_dir():
        raise VariantError("the course cannot be served", str(course), found="no folder", expected="a folder of pages")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both ways of stopping it are clean
    workers = Workers(answering.ready)
    with suppress(KeyboardInterrupt), bound(host, port) as place, workers:
        announce(address(host, place.getsockname()[1]))
        uvicorn.Server(settings(application(workers, names_of(host), course))).run(sockets=[place])


def settings(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=LARGEST_HEAD,
    )


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens there; port 0 is one that is free.  Raises VariantError."""
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        opened = socket.create_server((str(place[0]), port), family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        where = f"{host}, port {port}"
        raise VariantError(f"nothing can be served at {where}", found=reason, expected="another --port") from None
    with opened:
        yield opened


def address(host: str, port: int) -> str:
    """What to type into a browser.

    >>> address("127.0.0.1", 8000), address("::1", 8000)
    ('http://127.0.0.1:8000/', 'http://[::1]:8000/')
    """
    name = socket.gethostname() if host in EVERYWHERE else host
    return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"
