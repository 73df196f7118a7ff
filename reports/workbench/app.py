"""The workbench as an application: its page, the examples, and the requests that are worked on elsewhere."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from ...symbolic.architecture import PRESETS
from ...symbolic.variant import SIX, catalogue, load
from ..course.audience import for_lecturer
from ..page import environment, style_sheet
from . import answering
from .guard import HEADERS, Guarded, Headed, Names, error_response
from .work import BusyError, LateError, Workers

LARGEST_BODY = 100_000
BODY_SECONDS = 5.0
ANSWER_SECONDS = 30.0
RETRY = {"Retry-After": "2"}
LESSONS = {  # each lesson has a policy of its own, for what is in it; from elsewhere it gets nothing
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
}


def application(workers: Workers, names: Names, course: Path | None = None) -> ASGIApp:
    """The workbench, and a course's lessons under /course/."""
    bench = Bench(workers)
    routes: list[BaseRoute] = [
        Route("/", partial(page, course is not None)),
        Route("/workbench.css", style),
        Route("/workbench.js", script),
        Route("/icon.svg", icon),
        Route("/catalogue/{name}", example),
        Route("/check", bench.check, methods=["POST"]),
    ]
    if course is not None:
        routes.append(Route("/exercise", bench.exercise, methods=["POST"]))
        routes.append(Mount("/course", Headed(Lessons(directory=course, html=True), LESSONS)))
    app = Starlette(
        routes=routes, exception_handlers={HTTPException: refused, ClientDisconnect: gone, Exception: failed}
    )
    return Headed(Guarded(app, names), HEADERS)


# ---------------------------------------------------------------- what is read


async def page(has_course: bool, request: Request) -> Response:
    template = environment().get_template("workbench.html.j2")
    text = template.render(
        first=load(SIX[0]).text,
        examples=[(name, load(name).name) for name in dict.fromkeys((*SIX, *catalogue()))],
        architectures=PRESETS.values(),
        limit=LARGEST_BODY,
        has_course=has_course,
    )
    return Response(text, media_type="text/html")


async def style(request: Request) -> Response:
    return Response(style_sheet("workbench.css"), media_type="text/css")


async def script(request: Request) -> Response:
    return Response(source("workbench.js"), media_type="text/javascript")


async def icon(request: Request) -> Response:
    return Response(source("workbench.svg"), media_type="image/svg+xml")


async def example(request: Request) -> Response:
    """The text of a variant of the catalogue; the name is looked up, and never a path."""
    name = request.path_params["name"]
    if name not in catalogue():
        raise HTTPException(404, "no variant of the catalogue has this name")
    return Response(load(name).text, media_type="text/plain")


def source(name: str) -> str:
    loader, templates = environment().loader, environment()
    assert loader is not None
    return loader.get_source(templates, name)[0]


class Lessons(StaticFiles):
    """The files of a course, without the lecturer's: whoever may read them may be a student."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        found, status = super().lookup_path(path)
        own = os.path.relpath(found, os.path.realpath(str(self.directory))) if found else path
        return ("", None) if for_lecturer(own) else (found, status)


# ---------------------------------------------------------------- what is worked on


@dataclass(frozen=True)
class Bench:
    """Requests that are worked on in other processes."""

    workers: Workers

    async def check(self, request: Request) -> Response:
        """The answer about the text of a variant: nothing else can be given, and no file or module be named."""
        given = await payload(request)
        text, architecture = given.pop("text", None), given.pop("architecture", None)
        if given or not isinstance(text, str) or not isinstance(architecture, (str, type(None))):
            raise HTTPException(400, 'expected {"text": a variant file, "architecture": a name or null}')
        return await self.answer(request, answering.check, text, architecture)

    async def exercise(self, request: Request) -> Response:
        """What the course says to an answer."""
        return await self.answer(request, answering.exercise, json.dumps(await payload(request), sort_keys=True))

    async def answer(self, request: Request, function: Any, *arguments: Any) -> Response:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                found = await while_connected(request, self.workers.answer(function, *arguments))
        except LateError:
            return error_response(200, f"the work took more than {self.workers.seconds:g} s, and was stopped")
        except (BusyError, TimeoutError):
            raise HTTPException(503, "too many are waiting; try again in a moment", RETRY) from None
        return Response(found, media_type="application/json")


async def payload(request: Request) -> dict[str, Any]:
    """The JSON object that a request brings.  Raises HTTPException."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "expected a body of type application/json")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            given = json.loads((await body(request)).decode("utf-8"))
        json.dumps(given, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is no text
    except TimeoutError:
        raise HTTPException(408, "the body did not come in time") from None
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body is not JSON in UTF-8") from None
    if not isinstance(given, dict):
        raise HTTPException(400, "expected a JSON object")
    return given


async def body(request: Request) -> bytes:
    """The body, up to the limit.  Raises HTTPException for a larger one, before it is read whole."""
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > LARGEST_BODY:
            raise HTTPException(413, f"the body is larger than {LARGEST_BODY} bytes", {"Connection": "close"})
    return bytes(found)


async def while_connected(request: Request, work: Coroutine[Any, Any, bytes]) -> bytes:
    """The result of some work, which is stopped when the client goes away.  Raises ClientDisconnect then."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(departure(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def departure(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


# ---------------------------------------------------------------- errors


async def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(error.status_code, error.detail, error.headers)


async def gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # which nobody reads


async def failed(request: Request, error: Exception) -> Response:
    """An error of ours: one line where the server runs, and one for who asked."""
    print(f"growproof: {request.url.path} failed: {type(error).__name__}: {error}", file=sys.stderr)
    return error_response(500, f"an error of growproof itself: {type(error).__name__}")
