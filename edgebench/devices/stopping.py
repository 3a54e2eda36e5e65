"""Ending from outside what another thread waits for: Ctrl-C reaches the main thread alone."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar

_CURRENT: ContextVar[Stop | None] = ContextVar("edgebench_stop", default=None)


class Stop:
    """What another thread calls to end this one's waiting: the child is killed, KeyboardInterrupt raised.

    It is raised once for each call; the cleaning up that follows may run commands again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = False
        self._end: Callable[[], None] | None = None

    def __call__(self) -> None:
        """Ask for the end."""
        with self._lock:
            self._asked = True
            if self._end is not None:
                self._end()

    def check(self) -> None:
        """Raise KeyboardInterrupt where the end was asked for."""
        with self._lock:
            asked, self._asked = self._asked, False
        if asked:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def waiting(self, end: Callable[[], None]) -> Iterator[None]:
        """Have `end` called where the end is asked for inside the block; raise after it."""
        self.check()
        with self._lock:
            self._end = end
        try:
            yield
        finally:
            with self._lock:
                self._end = None
        self.check()


@contextlib.contextmanager
def stoppable(stop: Stop) -> Iterator[None]:
    """Let `stop` end what this thread waits for inside the block."""
    token = _CURRENT.set(stop)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def waiting(end: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
    """Return what stands around a wait of this thread. end: breaks the wait off."""
    stop = _CURRENT.get()
    return contextlib.nullcontext() if stop is None else stop.waiting(end)


def check_stop() -> None:
    """Raise KeyboardInterrupt where this thread was asked to end."""
    stop = _CURRENT.get()
    if stop is not None:
        stop.check()
