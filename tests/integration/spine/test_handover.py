"""A spine is replaced under load, again and again, on a socket that somebody else keeps: no call is lost.

The clients try everything once. What they are told with 201 must be there afterwards, and nothing twice.
"""

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.impatient import Load
from tests.support.manager import Manager
from tests.support.raw_http import connect, read_answer
from tests.support.server import Server
from tests.support.spine_process import TOKENS, SpineProcess

RESTARTS = 5


def job(number: int) -> dict[str, Any]:
    return {"target": "right-claw", "spec": {"run": "true"}, "label": f"load-{number}"}


def test_no_call_fails_while_the_server_is_replaced(tmp_path: Path) -> None:
    with Manager(tmp_path) as manager:
        spine = manager.spine().start()
        head = Server(spine).head
        load, stops = Load(head, job), []
        turns = [load.caller(0)] * 3 + [load.late_speaker] * 6
        turns += [load.keeper(0) for _ in range(3)] + [load.keeper(0.6) for _ in range(6)]
        turns += [load.claimer(Server(spine).left.by("w1"), "left-claw") for _ in range(2)]
        try:
            with load.running(turns):
                for _ in range(RESTARTS):
                    before = load.calls
                    time.sleep(random.uniform(0.3, 0.8))
                    begun = time.monotonic()
                    assert spine.stop() == 0
                    stops.append(time.monotonic() - begun)
                    spine.start()
                    assert load.calls > before
            assert load.failed == []
            assert sorted(load.all_jobs()) == sorted(load.acknowledged)
            # Clients that have not spoken for a second are let go: it does not take the 30 s that it may.
            assert max(stops) < 20, stops
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
        assert time.monotonic() - begun < 15  # a claim does not wait any more
    assert managed.wait(10) == 0


def test_who_says_nothing_for_a_second_is_let_go(managed: SpineProcess) -> None:
    with connect(managed.port) as silent:
        silent.settimeout(10)
        begun = time.monotonic()
        managed.terminate()
        assert silent.recv(1) == b""
        assert 0.9 < time.monotonic() - begun < 15
    assert managed.wait(10) == 0


def test_an_answer_under_way_is_finished_first(managed: SpineProcess) -> None:
    body = json.dumps(job(0)).encode()
    head = f"POST /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKENS['HEAD_TOKEN']}\r\n"
    with connect(managed.port) as slow:
        slow.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:10])
        managed.terminate()
        time.sleep(2.5)  # beyond the time in which silent connections are kept
        slow.sendall(body[10:])
        answer = read_answer(slow)
        assert (answer.status, answer.headers["connection"]) == (201, "close")
    assert managed.wait(10) == 0
