"""A spine is replaced under load, again and again, on a socket that somebody else keeps: no call is lost.

The clients try everything once. What they are told with 201 must be there afterwards, and nothing twice.
"""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.manager import Manager
from tests.support.raw_http import Api, connect, read_answer
from tests.support.server import Server
from tests.support.spine_process import TOKENS, SpineProcess

RESTARTS = 5
SECONDS = 30.0
BODY_OF = '{{"target":"right-claw","spec":{{"run":"true"}},"label":"{}"}}'
HEADERS = {"Authorization": f"Bearer {TOKENS['HEAD_TOKEN']}", "Content-Type": "application/json"}


class Load:
    """Clients on threads; what they were promised, and what went wrong."""

    def __init__(self, port: int) -> None:
        self.port = port
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
            return BODY_OF.format(f"load-{next(self._names)}").encode()

    def note(self, status: int, body: bytes, *good: int) -> None:
        """Note an answer; besides 201 some are as good."""
        with self._lock:
            self.calls += 1
            if status == 201:
                self.acknowledged.append(json.loads(body)["id"])
            elif status not in good:
                self.failed.append(f"{status} {body[:200]!r}")

    def one_call_per_connection(self) -> None:
        """A connection for each call."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        connection.request("POST", "/jobs", self.body(), HEADERS)
        response = connection.getresponse()
        self.note(response.status, response.read())
        connection.close()

    def late_speaker(self) -> None:
        """Connects, and says nothing for a while: a far client, or a slow one."""
        body = self.body()
        head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        with connect(self.port) as connection:
            connection.settimeout(SECONDS)
            time.sleep(random.uniform(0, 0.4))
            connection.sendall(f"POST /jobs HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode())
            time.sleep(random.uniform(0, 0.1))
            connection.sendall(body)
            answer = read_answer(connection)
            self.note(answer.status, answer.body)

    def keeper(self, pause: float) -> Callable[[], None]:
        """Return the turn of a client that keeps its connection until an answer says that it closes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        self._kept.append(connection)

        def turn() -> None:
            # http.client opens a new one by itself after `Connection: close`, and only then.
            connection.request("POST", "/jobs", self.body(), HEADERS)
            response = connection.getresponse()
            self.note(response.status, response.read())
            time.sleep(random.uniform(0, pause))

        return turn

    def claimer(self) -> Callable[[], None]:
        """Return the turn of a claw that keeps its connection, and waits for a job that never comes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        self._kept.append(connection)
        headers = {"Authorization": f"Bearer {TOKENS['LEFT_CLAW_TOKEN']}", "X-Worker-Id": "w1"}

        def turn() -> None:
            connection.request("POST", "/jobs/claim", b'{"wait":2,"targets":["left-claw"]}', headers)
            response = connection.getresponse()
            self.note(response.status, response.read(), 204)

        return turn

    def _client(self, turn: Callable[[], None]) -> None:
        while not self._over.is_set():
            try:
                turn()
            except (OSError, http.client.HTTPException) as e:
                with self._lock:
                    self.failed.append(f"{turn.__qualname__}: {e!r}")
                return

    @contextmanager
    def running(self) -> Iterator[None]:
        """Call until the block ends."""
        turns: list[Callable[[], None]] = [self.one_call_per_connection] * 3 + [self.late_speaker] * 6
        turns += [self.keeper(0) for _ in range(3)] + [self.keeper(0.6) for _ in range(6)]
        turns += [self.claimer() for _ in range(2)]
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


def all_jobs(head: Api) -> list[str]:
    """Return the id of every job."""
    found: list[str] = []
    cursor = ""
    while True:
        page = head.get(f"/jobs?limit=1000{cursor}").json
        found += [job["id"] for job in page["jobs"]]
        if "nextCursor" not in page:
            return found
        cursor = f"&cursor={page['nextCursor']}"


def test_no_call_fails_while_the_server_is_replaced(tmp_path: Path) -> None:
    with Manager(tmp_path) as manager:
        spine = manager.spine().start()
        load, stops = Load(spine.port), []
        try:
            with load.running():
                for _ in range(RESTARTS):
                    before = load.calls
                    time.sleep(random.uniform(0.3, 0.8))
                    begun = time.monotonic()
                    assert spine.stop() == 0
                    stops.append(time.monotonic() - begun)
                    spine.start()
                    assert load.calls > before
            assert load.failed == []
            assert sorted(all_jobs(Server(spine).head)) == sorted(load.acknowledged)
            # The idle clients that have not spoken for a second are let go, then the store is closed.
            assert max(stops) < 6, stops
            assert spine.faults() == []
        finally:
            spine.kill9()


@pytest.fixture
def managed(tmp_path: Path) -> Iterator[SpineProcess]:
    with Manager(tmp_path) as manager:
        spine = manager.spine().start()
        yield spine
        spine.kill9()


CLAIM = (
    b"POST /jobs/claim HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer left-token-0001\r\nX-Worker-Id: w1\r\n"
    b'Content-Length: 11\r\n\r\n{"wait":30}'
)
REQUEST = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def test_who_has_connected_and_said_nothing_yet_is_answered(managed: SpineProcess) -> None:
    with connect(managed.port) as young, connect(managed.port) as idle:
        idle.sendall(REQUEST)
        assert "connection" not in read_answer(idle, "GET").headers
        managed.terminate()
        time.sleep(0.5)  # the signal has arrived long since
        begun = time.monotonic()
        for connection, request, status in ((young, CLAIM, 204), (idle, REQUEST, 200)):
            connection.sendall(request)
            answer = read_answer(connection)
            assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert time.monotonic() - begun < 5  # a claim does not wait any more
    assert managed.wait(10) == 0


def test_who_says_nothing_for_a_second_is_let_go(managed: SpineProcess) -> None:
    with connect(managed.port) as silent:
        silent.settimeout(10)
        begun = time.monotonic()
        managed.terminate()
        assert silent.recv(1) == b""
        assert 0.9 < time.monotonic() - begun < 4
    assert managed.wait(10) == 0


def test_an_answer_under_way_is_finished_first(managed: SpineProcess) -> None:
    body = BODY_OF.format("slow").encode()
    head = f"POST /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: {HEADERS['Authorization']}\r\n"
    with connect(managed.port) as slow:
        slow.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:10])
        managed.terminate()
        time.sleep(2.5)  # beyond the time in which silent connections are kept
        slow.sendall(body[10:])
        answer = read_answer(slow)
        assert (answer.status, answer.headers["connection"]) == (201, "close")
    assert managed.wait(10) == 0
