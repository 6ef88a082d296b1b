"""Reading logs and events to their end or for ever, over lost connections: by offset and by cursor."""

import base64
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import msgspec

from contract.client import SpineClient
from contract.errors import SpineError
from contract.sse import ServerEvent
from head.watch import Lost

_READ_BYTES = 1 << 20
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 5.0


class Piece(NamedTuple):
    """Bytes of an attempt's log and where they stand in it; `data` is empty where an attempt begins."""

    fence: int
    offset: int
    data: bytes


class _Place(msgspec.Struct):
    fence: int
    offset: int = 0
    base64: str = ""


def read(client: SpineClient, job_id: str, fence: int, offset: int = 0) -> Iterator[Piece]:
    """Yield what an attempt's log holds now."""
    while data := client.read_log(job_id, offset=offset, fence=fence, limit=_READ_BYTES):
        yield Piece(fence, offset, data)
        offset += len(data)


def follow_log(
    client: SpineClient, job_id: str, fence: int | None, pause: Callable[[float], Any]
) -> Iterator[Piece | Lost]:
    """Yield a log as it grows, until nothing can follow: that of one attempt, or of one attempt after another.

    Every byte comes once and in order, also when the connection or the spine is lost in between.

    Raises:
        SpineError: one that a repeat does not mend.
    """
    at, offset, wait = fence, 0, _FIRST_WAIT
    while True:
        asked = offset
        try:
            with closing(client.follow_log(job_id, asked, fence)) as stream:
                for number, event in enumerate(stream):
                    wait = _FIRST_WAIT
                    place = msgspec.json.decode(event.data, type=_Place)
                    if event.event == "end":
                        return
                    if event.event == "log":
                        data = base64.b64decode(place.base64)
                        offset = place.offset + len(data)
                        yield Piece(place.fence, place.offset, data)
                    elif event.event == "attempt" and place.fence != at:
                        # The spine has gone on to a newer attempt: what is left of the older one comes first.
                        for piece in read(client, job_id, at, offset) if at else ():
                            offset = piece.offset + len(piece.data)
                            yield piece
                        at, offset = place.fence, 0
                        yield Piece(at, 0, b"")
                        if number == 0 and asked:
                            break  # asked with the older one's offset: ask again from the beginning
                else:
                    pause(wait)
        except SpineError as e:
            if not e.retryable:
                raise
            yield Lost(e.detail)
            pause(wait)
            wait = min(wait * 2, _LONGEST_WAIT)


def follow_events(
    client: SpineClient, cursor: str | None, job_id: str | None, pause: Callable[[float], Any]
) -> Iterator[ServerEvent | Lost]:
    """Yield events for ever, each once, from a cursor on; `gap` events where some are gone.

    Raises:
        SpineError: one that a repeat does not mend.
    """
    wait = _FIRST_WAIT
    while True:
        try:
            with closing(client.follow_events(cursor, job_id)) as stream:
                for event in stream:
                    wait = _FIRST_WAIT
                    yield event
                    cursor = event.id or cursor
        except SpineError as e:
            if not e.retryable:
                raise
            yield Lost(e.detail)
        pause(wait)
        wait = min(wait * 2, _LONGEST_WAIT)
