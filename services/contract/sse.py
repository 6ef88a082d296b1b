"""Reading a stream of server-sent events (the WHATWG event stream format), as far as the spine uses it."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple


class ServerEvent(NamedTuple):
    """One event: its type (`message` when none was named), its data, and the last id seen."""

    event: str
    data: str
    id: str | None


def parse_events(chunks: Iterable[bytes], heard: Callable[[], None] | None = None) -> Iterator[ServerEvent]:
    """Turn the bytes of a stream into events; comments and `retry` are passed over. `heard` is told of any bytes."""
    kind: str = ""
    data: list[str] = []
    last_id: str | None = None
    for line in _lines(chunks, heard or _nobody):
        if not line:
            if data:
                yield ServerEvent(kind or "message", "\n".join(data), last_id)
            kind, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif name == "id":
            last_id = value


def _nobody() -> None:
    """Nobody wants to hear."""


def _lines(chunks: Iterable[bytes], heard: Callable[[], None]) -> Iterator[str]:
    held = b""
    for chunk in chunks:
        heard()
        held += chunk
        *whole, held = held.split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")
