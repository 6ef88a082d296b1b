"""Waiting for an event of the spine while something else may end the waiting."""

import threading
from collections.abc import Callable, Generator
from contextlib import closing

from contract.errors import SpineError
from contract.sse import ServerEvent

Follow = Callable[[Callable[[], None]], Generator[ServerEvent, None, None]]


class _Left(Exception):
    """Nobody listens any more."""


class Listener:
    """Follows a stream on a thread until its first event: a thread that reads cannot be woken by anything else.

    Args:
        follow: opens the stream; what it is given is called whenever bytes arrive.
        heard: the same, for whoever waits.
    """

    def __init__(self, follow: Follow, heard: Callable[[], None]) -> None:
        self._follow, self._heard = follow, heard
        self._left, self._over = threading.Event(), threading.Event()
        self._told = False
        self._fault: SpineError | None = None
        threading.Thread(target=self._run, name="listener", daemon=True).start()

    def wait(self, seconds: float) -> bool | None:
        """Wait at most that long; tell whether there was an event before the stream ended, None while it goes on.

        Raises:
            SpineError: it broke.
        """
        if not self._over.wait(seconds):
            return None
        if self._fault is not None:
            raise self._fault
        return self._told

    def leave(self) -> None:
        """Wait no more; the stream is closed when the next bytes arrive (a ping comes every 15 s)."""
        self._left.set()

    def _run(self) -> None:
        try:
            with closing(self._follow(self._hear)) as stream:
                self._told = any(True for _ in stream)
        except SpineError as e:
            self._fault = e
        except _Left:
            pass
        finally:
            self._over.set()

    def _hear(self) -> None:
        if self._left.is_set():
            raise _Left
        self._heard()
