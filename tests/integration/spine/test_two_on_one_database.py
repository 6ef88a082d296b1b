"""Two servers on one database: what happens at one is known at the other, by a hint or by a look of its own."""

import base64
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.postgres_server import PostgresServer
from tests.support.raw_http import Poll
from tests.support.server import Server, StartSpine

pytestmark = pytest.mark.docker


@pytest.fixture
def two(postgres: PostgresServer, database: str, start_spine: StartSpine) -> tuple[Server, Server]:
    url = postgres.url(database)
    return start_spine(SPINE_DATABASE_URL=url), start_spine(SPINE_DATABASE_URL=url)


def children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def waiting_claim(server: Server, **fields: Any) -> Iterator[Poll]:
    """A claim of left-claw that waits at a server."""
    poll = server.left.by("w1").poll(wait=20, **fields)
    try:
        eventually(
            lambda: b'spine_waiting_claims{worker="0"} 1.0' in server.head.get("/metrics").body,
            what="a claim that waits",
        )
        yield poll
    finally:
        poll.close()


def test_a_claim_that_waits_at_one_gets_a_job_of_the_other(two: tuple[Server, Server]) -> None:
    ours, theirs = two
    for requires in ([], ["gpu"]):  # the second in a lane that is not known yet
        with waiting_claim(theirs, capabilities=["gpu"]) as claim:
            job = ours.head.submit(target="left-claw", spec="x", requires=requires)
            assert [held["id"] for held in claim.jobs()] == [job["id"]]


def test_without_hints_the_store_itself_is_looked_at(
    postgres: PostgresServer, database: str, two: tuple[Server, Server]
) -> None:
    ours, theirs = two
    with waiting_claim(theirs) as claim:
        job = ours.head.submit(target="any", spec="x", delaySeconds=1)
        postgres.run(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' "
            "AND (query LIKE 'LISTEN%' OR query LIKE 'SELECT pg_notify%')"
        )
        assert [held["id"] for held in claim.jobs()] == [job["id"]]


def test_a_stream_at_one_has_the_events_of_the_other(two: tuple[Server, Server]) -> None:
    ours, theirs = two
    with theirs.head.stream("/events") as stream:
        job = ours.head.submit(target="any", spec="x")
        event, data, _ = stream.next()
        assert (event, data["jobId"]) == ("job.created", job["id"])


def test_a_log_that_is_followed_at_one_grows_at_the_other(two: tuple[Server, Server]) -> None:
    ours, theirs = two
    ours.head.submit(target="left-claw", spec="x")
    (held,) = ours.left.by("w1").claim_next()
    path = f"/jobs/{held['id']}/log"
    fence = {"X-Spine-Fence": str(held["fence"])}
    with theirs.head.stream(f"{path}?follow=1") as stream:
        for n, line in enumerate(("one\n", "two\n")):
            assert ours.left.by("w1").call("POST", f"{path}?offset={4 * n}", line.encode(), fence).status == 200
            told = base64.b64encode(line.encode()).decode()
            assert next(data["base64"] for event, data, _ in iter(stream.next, None) if event == "log") == told


def test_a_machine_that_is_revoked_at_one_is_let_in_by_none(two: tuple[Server, Server]) -> None:
    ours, theirs = two
    code = ours.head.post("/machines/join-codes", {"name": "mid-claw"}).json["code"]
    token = theirs.nobody.post("/join", {"code": code}).json["token"]
    mid = [type(server.left)(server.port, token, "w1") for server in two]
    assert eventually(lambda: mid[0].get("/jobs").status == 200, what="the token at the other server")
    assert mid[1].get("/jobs").status == 200
    assert ours.head.post("/machines/mid-claw/revoke").status == 200
    began = time.monotonic()
    eventually(lambda: mid[1].get("/jobs").status == 401, what="the refusal at the other server")
    assert time.monotonic() - began < 10


def built(server: Server) -> set[str]:
    """Return which workers' figures an answer has."""
    page = server.head.get("/metrics").body.decode()
    return set(re.findall(r'^spine_build_info{.*worker="(\d+)"} 1.0$', page, re.MULTILINE))


def test_several_workers_of_one_server_share_its_work(
    postgres: PostgresServer, database: str, start_spine: StartSpine
) -> None:
    server = start_spine(SPINE_DATABASE_URL=postgres.url(database), SPINE_WORKERS="3")
    workers = children(server.process.pid)
    assert len(workers) == 3
    polls = [server.claw(f"c{n}").poll(wait=20) for n in range(8)]  # each on a connection of its own
    submitted = {server.head.submit(target="any", spec=n)["id"] for n in range(8)}
    taken = []
    for poll in polls:
        taken += [job["id"] for job in poll.jobs()]
        poll.close()
    assert (len(taken), set(taken)) == (8, submitted)
    eventually(lambda: built(server) == {"0", "1", "2"}, 30, every=0.3, what="the figures of all, from one of them")
    os.kill(workers[0], signal.SIGKILL)
    eventually(lambda: len(set(children(server.process.pid)) - set(workers)) == 1, what="a worker in its place")
    assert len(server.head.get("/jobs?status=running").json["jobs"]) == 8
