"""A limit to how long a server is waited for, put into effect from outside: by shutting the socket."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

_log = structlog.get_logger()

DEADLINE_SECONDS = 16.0
"""How long a transaction may take. Longer than the 15 s that the server itself bounds, which it can explain; shorter
than the 20 s after which our clients give a call up: they are to hear what became of it."""


class Deadline:
    """Shuts the socket of whoever takes too long: no setting of client or server bounds the wait for an answer."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._changed = threading.Condition()
        self._running: dict[int, tuple[float, int]] = {}  # all last equally long: the first one is due first
        self._number = 0
        self._closed = False
        threading.Thread(target=self._watch, name="store-deadline", daemon=True).start()

    @contextmanager
    def over(self, descriptor: int) -> Iterator[None]:
        """Bound the time of what is done inside on a socket's descriptor."""
        with self._changed:
            self._number = number = self._number + 1
            self._running[number] = time.monotonic() + self._seconds, descriptor
            if len(self._running) == 1:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:  # the descriptor may be another's afterwards
                self._running.pop(number, None)

    def close(self) -> None:
        """Watch no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                number = next(iter(self._running), None)
                if number is None:
                    self._changed.wait()
                    continue
                until, descriptor = self._running[number]
                left = until - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                del self._running[number]
                _log.error("store.deadline", seconds=self._seconds)
                shut(descriptor)


def shut(descriptor: int) -> None:
    """End a connection under whoever waits for it."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as found:
        found.shutdown(socket.SHUT_RDWR)
