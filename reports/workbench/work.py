"""Work outside the requests: warm processes, a limit of time for each task, a queue that ends, and a memory.

What is asked twice is done once, also while it is being done.  What nobody waits for any more is stopped.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from pebble import ProcessPool

WARM = "growproof.reports.workbench.answering"  # imported once, before the processes are forked
SAFE_PATH = "PYTHONSAFEPATH"  # of a process for forks, whose path begins with the current folder otherwise
SECONDS = 10.0
LONGEST_QUEUE = 60
LARGEST_MEMORY = 200  # answers, of about 50 kB


class BusyError(Exception):
    """So many are waiting that no more are taken."""


class LateError(Exception):
    """A task reached its limit of time, and was stopped."""


@dataclass
class Asked:
    """A task that is under way, and how many wait for it."""

    task: asyncio.Task[bytes]
    waiting: int = 0


class Workers:
    """Processes that work for the requests; a context, in which they live."""

    def __init__(
        self,
        ready: Callable[[], None] | None = None,
        count: int | None = None,
        seconds: float = SECONDS,
        queue: int = LONGEST_QUEUE,
        memory: int = LARGEST_MEMORY,
    ) -> None:
        self.seconds, self.queue, self.memory = seconds, queue, memory
        self._count = count or os.cpu_count() or 1
        self._ready, self._context = ready, forking()
        self._pool = self._new_pool()
        self._free = asyncio.Semaphore(self._count)
        self._asked: dict[Hashable, Asked] = {}
        self._known: OrderedDict[Hashable, bytes] = OrderedDict()

    def __enter__(self) -> Self:
        with undisturbed():
            self._pool.schedule(os.getpid)  # the first task starts the processes
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def _new_pool(self) -> ProcessPool:
        return ProcessPool(self._count, initializer=self._ready, context=self._context)

    async def answer(self, function: Callable[..., bytes], *arguments: Hashable) -> bytes:
        """What a function of a module gives, in a process.

        Raises BusyError, LateError, and whatever the function raises.
        """
        key = (function, arguments)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        asked = self._asked.get(key) or self._begun(key, function, arguments)
        asked.waiting += 1
        try:
            return await asyncio.shield(asked.task)
        finally:
            asked.waiting -= 1
            if not asked.waiting:
                del self._asked[key]
                asked.task.cancel()

    def _begun(self, key: Hashable, function: Callable[..., bytes], arguments: tuple[Hashable, ...]) -> Asked:
        if len(self._asked) >= self.queue:
            raise BusyError
        self._asked[key] = Asked(asyncio.create_task(self._worked(key, function, arguments)))
        return self._asked[key]

    async def _worked(self, key: Hashable, function: Callable[..., bytes], arguments: tuple[Hashable, ...]) -> bytes:
        """Waits for a free process: what is cancelled before has cost nothing, and later its process is stopped."""
        async with self._free:
            if not self._pool.active:  # it gives up when an idle process dies
                self._pool = self._new_pool()
            future: Any = self._pool.schedule(function, arguments, timeout=self.seconds)
            try:
                found: bytes = await asyncio.wrap_future(future)
            except TimeoutError:
                raise LateError from None
        self._known[key] = found
        while len(self._known) > self.memory:
            self._known.popitem(last=False)
        return found


@contextmanager
def undisturbed() -> Iterator[None]:
    """What is started here hears no interrupt from the keyboard, and imports nothing from the current folder.

    In the main thread only.
    """
    heard, safe = signal.signal(signal.SIGINT, signal.SIG_IGN), os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, heard)
        os.environ.pop(SAFE_PATH) if safe is None else os.environ.update({SAFE_PATH: safe})


def forking() -> Any:
    """How processes start: as copies of one that has imported everything, so that a stopped one is soon replaced."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([WARM])
    return context
