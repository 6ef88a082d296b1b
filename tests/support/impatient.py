"""Clients that try everything once: what they were promised, and what went wrong."""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.support.raw_http import Api, connect, read_answer

SECONDS = 30.0
Turn = Callable[[], None]


class Load:
    """Clients on threads, each with its own way of using connections.

    Args:
        head: where they submit, and with whose token.
        job: makes the fields of the job with this number.
    """

    def __init__(self, head: Api, job: Callable[[int], dict[str, Any]]) -> None:
        self._head, self._job = head, job
        self._headers = head.headers({"Content-Type": "application/json"})
        self.acknowledged: list[str] = []
        self.failed: list[str] = []
        self.calls = 0
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._names = iter(range(10**9))
        self._kept: list[http.client.HTTPConnection] = []

    def body(self) -> bytes:
        """A job of its own."""
        with self._lock:
            return json.dumps(self._job(next(self._names))).encode()

    def note(self, status: int, body: bytes, *good: int) -> None:
        """Note an answer; besides 201 some are as good."""
        with self._lock:
            self.calls += 1
            if status == 201:
                self.acknowledged.append(json.loads(body)["id"])
            elif status not in good:
                self.failed.append(f"{status} {body[:200]!r}")

    def caller(self, pause: float) -> Turn:
        """Return the turn of a client that makes a connection for each call."""

        def turn() -> None:
            connection = self._connection()
            connection.request("POST", "/jobs", self.body(), self._headers)
            response = connection.getresponse()
            self.note(response.status, response.read())
            connection.close()
            time.sleep(random.uniform(0, pause))

        return turn

    def late_speaker(self) -> None:
        """Connects, and says nothing for a while: a far client, or a slow one."""
        body = self.body()
        head = "".join(f"{name}: {value}\r\n" for name, value in self._headers.items())
        with connect(self._head.port, self._head.host) as connection:
            connection.settimeout(SECONDS)
            time.sleep(random.uniform(0, 0.4))
            connection.sendall(f"POST /jobs HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode())
            time.sleep(random.uniform(0, 0.1))
            connection.sendall(body)
            answer = read_answer(connection)
            self.note(answer.status, answer.body)

    def keeper(self, pause: float) -> Turn:
        """Return the turn of a client that keeps its connection until an answer says that it closes."""
        connection = self._connection()
        self._kept.append(connection)

        def turn() -> None:
            # http.client opens a new one by itself after `Connection: close`, and only then.
            connection.request("POST", "/jobs", self.body(), self._headers)
            response = connection.getresponse()
            self.note(response.status, response.read())
            time.sleep(random.uniform(0, pause))

        return turn

    def claimer(self, claw: Api, target: str) -> Turn:
        """Return the turn of a claw that keeps its connection, and waits for a job that never comes."""
        connection = self._connection()
        self._kept.append(connection)
        headers, body = claw.headers(), json.dumps({"wait": 2, "targets": [target]}).encode()

        def turn() -> None:
            connection.request("POST", "/jobs/claim", body, headers)
            response = connection.getresponse()
            self.note(response.status, response.read(), 204)

        return turn

    def all_jobs(self) -> list[str]:
        """Return the id of every job that the server has."""
        found: list[str] = []
        cursor = ""
        while True:
            page = self._head.get(f"/jobs?limit=1000{cursor}").json
            found += [job["id"] for job in page["jobs"]]
            if "nextCursor" not in page:
                return found
            cursor = f"&cursor={page['nextCursor']}"

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._head.host, self._head.port, timeout=SECONDS)

    def _client(self, turn: Turn) -> None:
        while not self._over.is_set():
            try:
                turn()
            except (OSError, http.client.HTTPException) as e:
                with self._lock:
                    self.failed.append(f"{turn.__qualname__}: {e!r}")
                return

    @contextmanager
    def running(self, turns: Sequence[Turn]) -> Iterator[None]:
        """Take these turns, each on a thread of its own and over and over, until the block ends."""
        threads = [threading.Thread(target=self._client, args=(turn,), daemon=True) for turn in turns]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(SECONDS + 5)
            assert not any(thread.is_alive() for thread in threads)
            for connection in self._kept:
                connection.close()
