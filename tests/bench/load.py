"""The load generator: keep-alive connections, requests made beforehand, and no more reading than finding the end.

Everything runs in callbacks of one event loop: a task or a future for each request would cost more than the request.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

_LENGTH = b"content-length:"
_END = b"\r\n\r\n"
STALLED_SECONDS = 120.0


class LoadFailed(Exception):
    """A connection ended, stood still, or was answered with something that no round expects."""


def request(method: str, path: str, token: str, body: bytes | None = None, **headers: str) -> bytes:
    """Return the bytes of one request; `headers` as `x_worker_id="w1"`."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}"]
    lines += [f"{name.replace('_', '-').title()}: {value}" for name, value in headers.items()]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


class Connection(asyncio.Protocol):
    """One keep-alive connection: `send` a request, `on_answer(connection, status, body)` is called with the answer."""

    def __init__(self, on_lost: Callable[[Exception], None] = lambda _e: None) -> None:
        self.on_answer: Callable[[Connection, int, bytes], None] = lambda _c, _s, _b: None
        self._on_lost = on_lost
        self._kept = b""
        self.sent_at = 0.0
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio calls this)."""
        self.transport = transport

    def send(self, data: bytes) -> None:
        """Send a request; the one before it must have been answered."""
        self.sent_at = time.perf_counter()
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Collect an answer (asyncio calls this)."""
        if self._kept:
            data = self._kept + data
        answer = self.cut(data)
        if answer is None:
            self._kept = data
            return
        self._kept = b""
        self.on_answer(self, *answer)

    def cut(self, data: bytes) -> tuple[int, bytes] | None:
        """Return status and body of a whole answer, None while a part of it is missing."""
        end = data.find(_END)
        if end < 0:
            return None
        head = data[:end].lower()
        at = head.find(_LENGTH)
        length = 0 if at < 0 else int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
        return None if len(data) < end + 4 + length else (int(head[9:12]), data[end + 4 :])

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that the other side has gone (asyncio calls this)."""
        self._on_lost(exc or ConnectionError("the server closed a connection"))


@dataclass
class Round:
    """What one round brought: how long it took, each call's latency (s), each answer's body in no order."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    own_cpu: float = 0.0

    @property
    def rate(self) -> float:
        """Calls a second."""
        return len(self.latencies) / self.seconds


class Clients:
    """A number of connections to one port, used round after round."""

    def __init__(self, connections: list[Connection]) -> None:
        self.connections = connections
        self._failed: asyncio.Future[None] | None = None
        self._closing = False

    @classmethod
    async def connect(cls, port: int, count: int, kind: type[Connection] = Connection) -> "Clients":
        """Open the connections."""
        clients = cls([])
        loop = asyncio.get_running_loop()
        for _ in range(count):
            _, connection = await loop.create_connection(lambda: kind(clients._lost), "127.0.0.1", port)
            clients.connections.append(connection)
        return clients

    def close(self) -> None:
        """Close all."""
        self._closing = True
        for connection in self.connections:
            connection.transport.close()

    def _lost(self, error: Exception) -> None:
        if not self._closing and self._failed is not None and not self._failed.done():
            self._failed.set_exception(LoadFailed(str(error)))

    async def drive(
        self, requests: Iterable[bytes], expect: int, then: Callable[[bytes], bytes | None] | None = None
    ) -> Round:
        """Send all requests, each connection one at a time, and return when all are answered.

        `then` makes of an answer's body what the same connection sends next; None ends the call that `requests` began.

        Raises:
            LoadFailed: an answer with another status than `expect`, or a connection that ended.
        """
        done = self._failed = asyncio.get_running_loop().create_future()
        found, waiting = Round(), iter(requests)
        latencies, bodies, clock, busy = found.latencies, found.bodies, time.perf_counter, 0

        def answered(connection: Connection, status: int, body: bytes) -> None:
            nonlocal busy
            if status != expect:
                if not done.done():
                    done.set_exception(LoadFailed(f"answered {status}, expected {expect}: {body[:300]!r}"))
                return
            more = then(body) if then is not None else None
            if more is not None:
                connection.send(more)
                return
            latencies.append(clock() - connection.sent_at)
            bodies.append(body)
            following = next(waiting, None)
            if following is not None:
                connection.send(following)
                return
            busy -= 1
            if not busy and not done.done():
                done.set_result(None)

        cpu, begun = time.process_time(), clock()
        for connection, first in _pairs(self.connections, waiting):
            connection.on_answer = answered
            busy += 1
            connection.send(first)
        await asyncio.wait_for(done, STALLED_SECONDS)
        found.seconds, found.own_cpu = clock() - begun, time.process_time() - cpu
        return found


def _pairs(connections: list[Connection], waiting: Iterator[bytes]) -> Iterator[tuple[Connection, bytes]]:
    for connection in connections:
        first = next(waiting, None)
        if first is None:
            return
        yield connection, first
