"""How a request's body comes in, below the framework: in time, and whole or not at all."""

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeVar

from contract.errors import BadJson, RequestTimeout

T = TypeVar("T")
Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
_KEY = "spine.intake"


class Intake:
    """The body of one request.

    The framework takes a client that has gone for the end of the body, which makes half a request of it; here that
    raises. It also waits for the first piece before it calls anyone; here it gets an empty one at once, so that a
    body is refused for its announced length, or for not coming, as any other.
    """

    def __init__(self, receive: Callable[[], Coroutine[Any, Any, Event]], seconds: float) -> None:
        self._receive, self._seconds = receive, seconds
        self._begun = self._ended = self._told = False

    async def receive(self) -> Event:
        """Return the next piece, for the framework (ASGI's receive).

        Raises:
            BadJson: the client went before the body had ended. RequestTimeout: nothing came for so many seconds.
        """
        if not self._begun:
            self._begun = True
            return {"type": "http.request", "body": b"", "more_body": True}
        if self._told:
            return await self._receive()  # who asks now waits for the client to go
        if self._ended:
            self._told = True
            return {"type": "http.request", "body": b"", "more_body": False}
        try:
            event = await within(self._seconds, self._piece())
        except TimeoutError as e:
            raise RequestTimeout(f"nothing of the body came for {self._seconds:g} s") from e
        self._told = self._ended
        return event

    async def _piece(self) -> Event:
        event = await self._receive()
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # The piece came just as the time was up. The server below waits by `wait_for`, which before Python 3.12
            # then returns the piece and forgets the cancellation: a body that trickles on would never be late.
            raise asyncio.CancelledError
        if event["type"] == "http.disconnect":
            raise BadJson("the body stopped before its end")
        self._ended = not event.get("more_body", False)
        return event

    async def read(self, most: int) -> bytes:
        """Return what is left of the body; when that is longer than `most`, a beginning of it that is longer too.

        Raises:
            BadJson: the client went before the body had ended.
        """
        pieces, size = [], 0
        while not self._ended and size <= most:
            piece: bytes = (await self._piece()).get("body", b"")
            pieces.append(piece)
            size += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def intake(scope: dict[str, Any], receive: Any, seconds: float) -> Receive:
    """Put an intake before a request that has a body; return how its pieces are received."""
    for name, value in scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            scope[_KEY] = Intake(receive, seconds)
            found: Receive = scope[_KEY].receive
            return found
    direct: Receive = receive
    return direct


def intake_of(scope: dict[str, Any]) -> Intake | None:
    """Return the intake of a request; None when it has no body."""
    return scope.get(_KEY)


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Await `work` for so many seconds at most; one that need not wait costs no timer, and most bodies have come.

    Raises:
        TimeoutError
    """
    try:
        pending = work.send(None)
    except StopIteration as e:
        value: T = e.value
        return value
    async with asyncio.timeout(seconds):
        return await _go_on(work, pending)


@types.coroutine
def _go_on(work: Coroutine[Any, Any, T], pending: Any) -> Generator[Any, Any, T]:
    """Await the rest of a coroutine that has been begun by hand and waits for `pending`."""
    try:
        while True:
            try:
                sent = yield pending
            except BaseException as e:  # noqa: BLE001 — a cancellation above all: the work decides
                pending = work.throw(e)
            else:
                pending = work.send(sent)
    except StopIteration as e:
        value: T = e.value
        return value
