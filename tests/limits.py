"""A limit of time for what a test does."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class TooSlow(BaseException):
    """Not an Exception: nothing on the way may take it for an error of its own."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """What is within must end in so many seconds.  Raises TooSlow where it does not."""

    def stop(*_: object) -> None:
        raise TooSlow(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
