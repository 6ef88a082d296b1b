"""How operations come to the writer, and what became of them back to those who asked.

A thread asks with a future that it blocks on. Tasks of an event loop ask with futures of that loop: what they ask for
in one turn of the loop goes over at once, and so do the outcomes of one batch. Both hand-overs cost a wake-up of the
other thread, which is dearer than most operations.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, NamedTuple

from spine.store.engine import Operation, Tx

GATE_SECONDS = 0.05
"""How long a batch waits at most for the one before it to be written."""


class Asked(NamedTuple):
    """An operation, and the future of whoever waits for it.

    `beside`: it may run while others write; `begun`: it was begun before, and goes on another way.
    """

    operation: Operation[Any]
    future: Future[Any] | asyncio.Future[Any]
    beside: bool = False
    begun: bool = False

    def begin(self) -> bool:
        """Tell whether it is still wanted: a client that has gone cancels its future."""
        if isinstance(self.future, Future):
            return self.begun or self.future.set_running_or_notify_cancel()
        return not self.future.cancelled()


class Carried:
    """An operation, and what was known where it was asked for: lines of the log about it say of which request it is."""

    __slots__ = ("_context", "_operation")

    def __init__(self, operation: Operation[Any]) -> None:
        self._operation, self._context = operation, contextvars.copy_context()

    def __call__(self, tx: Tx) -> Any:
        """Carry it out."""
        return self._context.run(self._operation, tx)

    def say(self, tell: Callable[..., object], event: str, **about: Any) -> None:
        """Log a line about it."""
        self._context.run(tell, event, **about)


class Failed:
    """What an operation raised, in place of its value."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Turn:
    """What the tasks of one event loop ask for in one of its turns. Lives on the loop alone."""

    def __init__(self, put: Callable[[list[Asked]], None]) -> None:
        self._put = put
        self._asked: list[Asked] = []

    def ask(self, operation: Operation[Any], beside: bool = False) -> "asyncio.Future[Any]":
        """Note an operation; it goes over once the loop has gone through what is ready now."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if not self._asked:
            loop.call_soon(self._hand_over)
        self._asked.append(Asked(Carried(operation), future, beside))
        return future

    def _hand_over(self) -> None:
        asked, self._asked = self._asked, []
        self._put(asked)


class Gate:
    """Lets one writer at a time be at its statements, while the others wait for their commits or for work.

    What is asked for meanwhile is one batch and not several: most of what a batch costs, it costs once. Nobody waits
    for long, since a writer may stand still for what somebody else holds. Each writer is a thread.
    """

    def __init__(self) -> None:
        self._free = threading.Lock()
        self._local = threading.local()

    def enter(self) -> None:
        """Wait until none is at its statements, or for a moment."""
        self._local.inside = self._free.acquire(timeout=GATE_SECONDS)

    def leave(self) -> None:
        """Let the next one go; also where this thread has not come in, or has left before."""
        if getattr(self._local, "inside", False):
            self._local.inside = False
            self._free.release()


def deliver(asked: Iterable[Asked], outcomes: Iterable[Any]) -> None:
    """Resolve the futures of a batch; call it from the writer."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for (_, future, *_how), outcome in zip(asked, outcomes, strict=True):
        if not isinstance(future, Future):
            loops.setdefault(future.get_loop(), []).append((future, outcome))
        elif isinstance(outcome, Failed):
            future.set_exception(outcome.error)
        else:
            future.set_result(outcome)
    for loop, found in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, found)
        except RuntimeError:  # the loop is closed: nobody waits any more
            pass


def _resolve(found: list[tuple["asyncio.Future[Any]", Any]]) -> None:
    for future, outcome in found:
        if future.done():  # cancelled while it ran
            continue
        if isinstance(outcome, Failed):
            future.set_exception(outcome.error)
        else:
            future.set_result(outcome)
