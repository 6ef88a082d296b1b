"""What the server library does not do by itself: the backlog, an orderly stop, caps, no control socket."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from tests.support.figures import until_waiting
from tests.support.raw_http import Api, Poll, connect, read_answer
from tests.support.server import MakeProcess, Server, StartSpine


def listening(port: int) -> list[tuple[str, int]]:
    """Return (address, backlog) of the sockets that listen on a port, as `ss -ltn` tells."""
    lines = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, timeout=180).stdout
    rows = [line.split() for line in lines.splitlines()]
    return [(row[3].rsplit(":", 1)[0], int(row[2])) for row in rows]


@pytest.mark.skipif(not Path("/usr/bin/ss").exists() and not Path("/bin/ss").exists(), reason="needs ss (iproute2)")
def test_the_backlog_is_the_one_that_was_set(start_spine: StartSpine) -> None:
    most = int(Path("/proc/sys/net/core/somaxconn").read_text())
    server = start_spine(SPINE_BACKLOG="777")
    assert listening(server.port) == [("127.0.0.1", min(777, most))]
    assert listening(start_spine().port) == [("127.0.0.1", min(2048, most))]


def test_sigterm_answers_everyone_who_waits(start_spine: StartSpine) -> None:
    server = start_spine()
    head = server.head
    polls = [server.claw(f"c{n % 8}", f"w{n}").poll(wait=30) for n in range(200)]
    until_waiting(head, 200)
    job_id = head.submit(target="left-claw")["id"]
    server.left.claim(job_id)
    streams = [head.stream("/events"), head.stream(f"/jobs/{job_id}/log?follow=1")]
    assert streams[0].next()[0] == "job.created"
    idle = [connect(server.port) for _ in range(20)]
    begun = time.monotonic()
    server.process.terminate()
    answers = [poll.answer(10) for poll in polls]
    answered = time.monotonic() - begun
    assert {(a.status, a.body) for a in answers} == {(204, b"")}
    assert {a.headers["connection"] for a in answers} == {"close"}
    for stream in streams:
        stream.rest()  # ends, and not by a broken connection
        stream.close()
    assert server.process.wait(10) == 0
    assert answered < 10
    assert time.monotonic() - begun < 20
    for poll in polls:
        poll.close()
    for connection in idle:
        connection.close()
    assert server.process.faults() == []


def test_a_stop_gives_answers_under_way_and_loses_nothing(start_spine: StartSpine) -> None:
    server = start_spine()
    connections = [connect(server.port) for _ in range(20)]
    body = b'{"target":"c1","spec":"half"}'
    request = (
        b"POST /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer head-token-0001\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    for connection in connections:
        connection.sendall(request + body)
    server.process.terminate()
    acknowledged = []
    for connection in connections:
        connection.settimeout(10)
        try:
            answer = read_answer(connection)
        except (OSError, http.client.HTTPException):
            pass  # it had not been read: nothing was promised
        else:
            if answer.status == 201:
                acknowledged.append(answer.json["id"])
        connection.close()
    assert server.process.wait(15) == 0
    server.process.start()
    kept = [job["id"] for job in server.head.get("/jobs").json["jobs"]]
    assert set(acknowledged) <= set(kept)


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_by_signal_exits_0_and_the_store_opens_again(process: MakeProcess, which: signal.Signals) -> None:
    spine = process().start()
    job = Server(spine).head.submit()
    os.kill(spine.pid, which)
    assert spine.wait(10) == 0
    assert spine.faults() == []
    spine.start()
    assert Server(spine).head.job(job["id"]) == job
    assert spine.stop() == 0


def test_kill_9_and_a_fresh_start(process: MakeProcess) -> None:
    spine = process().start()
    job = Server(spine).head.submit()
    spine.kill9()
    spine.start()
    assert Server(spine).head.job(job["id"]) == job
    assert spine.stop() == 0


def test_too_many_waiting_claims_are_429(start_spine: StartSpine) -> None:
    server = start_spine(SPINE_WAITERS_MAX="5")
    head = server.head
    polls = [server.claw("c1", f"w{n}").poll(wait=20) for n in range(5)]
    until_waiting(head, 5)
    answer = server.claw("c2").post("/jobs/claim", {"wait": 5})
    assert (answer.status, answer.error, answer.headers["retry-after"]) == (429, "rate_limited", "1")
    assert answer.json["retryable"] is True
    # Without a wait it may still ask, and all else is served.
    job = head.submit(target="c2")
    assert [j["id"] for j in server.claw("c2").claim_next()] == [job["id"]]
    for poll in polls:
        poll.close()
    until_waiting(head, 0)
    assert server.claw("c2").post("/jobs/claim", {"wait": 0.1}).status == 204


def test_many_more_polls_than_the_cap_at_once(start_spine: StartSpine) -> None:
    server = start_spine(SPINE_WAITERS_MAX="50")
    polls = [server.claw("c1", f"w{n}").poll(wait=10) for n in range(120)]
    statuses = [poll.answer(40).status for poll in polls]
    assert (statuses.count(204), statuses.count(429)) == (50, 70)
    for poll in polls:
        poll.close()


def test_no_control_socket_is_left(start_spine: StartSpine, tmp_path: Path) -> None:
    server = start_spine(HOME=str(tmp_path), XDG_RUNTIME_DIR=str(tmp_path))
    pids = [server.process.pid, server.process.worker_pid]
    unix = Path("/proc/net/unix").read_text()
    assert not [line for line in unix.splitlines() if "gunicorn" in line and str(tmp_path) in line]
    assert not [found for found in tmp_path.rglob("*") if found.is_socket()]
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    assert server.process.stop() == 0
    assert not [found for found in tmp_path.rglob("*") if found.is_socket() or "gunicorn" in found.name]
    assert all(not Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_thousand_connections_that_say_nothing_do_not_stop_the_others(start_spine: StartSpine) -> None:
    server = start_spine()
    silent: list[socket.socket] = []
    try:
        for _ in range(1000):
            silent.append(connect(server.port))
        begun = time.monotonic()
        for n in range(20):
            job = server.head.submit(target="c1", spec=n)
            assert server.claw("c1").claim_next()[0]["id"] == job["id"]
        assert time.monotonic() - begun < 60
        half = silent[:100]
        for connection in half:
            connection.sendall(b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Le")
        assert server.head.get("/ready").status == 200
    finally:
        for connection in silent:
            connection.close()


def test_requests_behind_each_other_on_one_connection(server: Server) -> None:
    def request(n: int) -> bytes:
        body = json.dumps({"spec": n}).encode()
        return (
            b"POST /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer head-token-0001\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        ) + body

    with connect(server.port) as connection:
        for n in range(50):
            connection.sendall(request(n))
            answer = read_answer(connection)
            assert (answer.status, answer.json["spec"]) == (201, n)


def test_no_token_is_written_anywhere(start_spine: StartSpine) -> None:
    server = start_spine(SPINE_LOG_LEVEL="debug")
    for token in ("wrong-token-123", "head-token-0001"):
        Api(server.port, token).get("/jobs")
        Api(server.port, token).post("/jobs", {"target": 1})
    poll = Poll(server.claw("c1"), {"wait": 0.1})
    assert poll.answer().status == 204
    poll.close()
    server.process.stop()
    for token in ("wrong-token-123", "head-token-0001", "left-token-0001", "token-of-c1"):
        assert token not in server.process.log()
        for file in server.process.data_dir.rglob("*"):
            assert not file.is_file() or token.encode() not in file.read_bytes()
