"""A head's loop under kills: every finished round is reviewed once, by its policy, and none is passed over."""

import json
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.loop_process import LoopProcess
from tests.support.manager import Manager
from tests.support.proxy import Proxy
from tests.support.spine_process import TOKENS, SpineProcess

from contract.client import SpineClient
from contract.head_client import HeadClient
from contract.lease_client import LeaseClient
from head.lead import Lead
from head.ledger import Ledger
from head.loop import Loop, News
from head.policy import Policy

pytestmark = pytest.mark.acceptance

SEED = 20_240_602
JOBS = 24
ROUNDS = 3
KILLS = 12

POLICY = {"rules": [{"command": [sys.executable, "reviewer.py"]}]}
MakeLoop = Callable[..., LoopProcess]


@pytest.fixture
def loop_of(tmp_path: Path, spine: SpineProcess) -> Iterator[MakeLoop]:
    """Make a loop; what still runs at the end is killed."""
    made: list[LoopProcess] = []

    def make(policy: Any = POLICY, url: str | None = None) -> LoopProcess:
        made.append(LoopProcess(tmp_path / f"head-{len(made)}", url or spine.url, policy))
        return made[-1]

    yield make
    for loop in made:
        if loop.process is not None and loop.process.poll() is None:
            loop.process.kill()
            loop.process.wait(10)


@pytest.fixture
def client(spine: SpineProcess) -> HeadClient:
    return HeadClient(spine.url, TOKENS["HEAD_TOKEN"])


@pytest.fixture
def claw(spine: SpineProcess) -> Iterator[None]:
    """A claw that completes whatever comes, at once."""
    over = threading.Event()
    worker = SpineClient(spine.url, TOKENS["LEFT_CLAW_TOKEN"], worker_id="w1")

    def work() -> None:
        while not over.is_set():
            for job in worker.claim(most=4, wait=1):
                worker.complete(job.id, job.fence, {"notes": f"round {job.round}"})

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join(20)


def reviews(client: HeadClient) -> list[tuple[str, int, str, str | None]]:
    """Every review that took effect: job, round, decision, text."""
    found, cursor = [], None
    while True:
        page = client.events(cursor, limit=1000)
        for event in page.events:
            if event.type == "job.reviewed":
                found.append((event.job_id or "", event.data["round"], event.data["decision"], event.data["text"]))
        if not page.events:
            return found
        cursor = page.next_cursor


def wanted(ids: list[str]) -> list[tuple[str, int, str, str | None]]:
    """What the reviewer decides about each job, round by round."""
    found: list[tuple[str, int, str, str | None]] = []
    for job_id in ids:
        found += [(job_id, n, "rework", f"again, after round {n}") for n in range(1, ROUNDS)]
        found.append((job_id, ROUNDS, "accept", None))
    return found


def accepted(client: HeadClient, ids: list[str]) -> bool:
    """Tell whether every job has been accepted."""
    found = client.jobs(status="done", limit=500).jobs
    return {job.id for job in found if job.review and job.review.state == "accepted"} >= set(ids)


@pytest.mark.timeout(400)
def test_a_loop_killed_again_and_again_reviews_every_round_once(
    loop_of: MakeLoop, client: HeadClient, claw: None
) -> None:
    loop, moments = loop_of(), random.Random(SEED)
    ids: list[str] = []
    for kill in range(KILLS):
        ids.extend(client.submit({"spec": f"job {n}", "needsReview": True}).id for n in range(JOBS // KILLS))
        loop.start()
        # Dead in the middle: while a command runs, right behind a decision, or before anything has happened.
        seen = moments.choice([loop.said, loop.asked])
        enough = len(seen()) + moments.randint(0, 4)
        eventually(lambda seen=seen, n=enough: len(seen()) >= n or accepted(client, ids), 30, every=0.005)
        loop.end(signal.SIGKILL)
        assert kill == 0 or loop.state()["version"] == 1
    loop.start()
    eventually(lambda: accepted(client, ids), 60, every=0.05, what="every job accepted")
    assert loop.end(signal.SIGTERM) == 0
    assert sorted(reviews(client)) == sorted(wanted(ids))
    assert (loop.folder / ".spine/head-loop.json").stat().st_mode & 0o777 == 0o600
    # A question is asked again only where its answer was lost with a loop.
    asked = Counter(loop.asked())
    assert set(asked) == {f"{job_id} {n}" for job_id in ids for n in range(1, ROUNDS + 1)}
    assert sum(asked.values()) <= len(asked) + KILLS


@pytest.mark.parametrize("point", ["loop.chosen", "loop.decided", "loop.told", "loop.saved"])
def test_a_kill_at_each_point_loses_and_repeats_nothing(
    point: str, loop_of: MakeLoop, client: HeadClient, claw: None, tmp_path: Path
) -> None:
    loop, reached = loop_of(), tmp_path / "reached"
    loop.start()
    eventually(loop.kept, what="its place")
    assert loop.end(signal.SIGTERM) == 0
    job_id = client.submit({"spec": "a task", "needsReview": True}).id
    loop.start(SPINE_KILL_POINT=point, SPINE_KILL_POINT_FILE=str(reached))
    eventually(reached.exists, what=point)
    loop.end(signal.SIGKILL)
    loop.start()
    eventually(lambda: accepted(client, [job_id]), 30, what="accepted")
    assert loop.end(signal.SIGTERM) == 0
    assert reviews(client) == wanted([job_id])


def test_a_second_loop_refuses(loop_of: MakeLoop) -> None:
    loop = loop_of().start()
    eventually(loop.kept, what="its place")
    assert loop.launch().wait(20) == 75
    assert "another loop runs" in loop.log.read_text()
    assert loop.end(signal.SIGTERM) == 0


def test_jobs_that_ended_while_no_loop_ran_are_reviewed(loop_of: MakeLoop, client: HeadClient, claw: None) -> None:
    job_id = client.submit({"spec": "before the first loop", "needsReview": True}).id
    eventually(lambda: client.job(job_id).status == "done", what="done")
    loop = loop_of({"rules": [{"accept": True}]}).start()
    eventually(lambda: accepted(client, [job_id]), what="the first accepted")
    loop.end(signal.SIGKILL)
    other = client.submit({"spec": "between two", "needsReview": True}).id
    eventually(lambda: client.job(other).status == "done", what="done")
    loop.start()
    eventually(lambda: accepted(client, [other]), what="the second accepted")


def test_a_cursor_that_is_gone_is_answered_by_a_look_at_the_list(
    loop_of: MakeLoop, client: HeadClient, claw: None
) -> None:
    loop = loop_of({"rules": [{"accept": True}], "notify": ["sh", "-c", "echo $SPINE_JOB_ID >> told"]}).start()
    eventually(loop.kept, what="its place")
    first = client.submit({"spec": "told"}).id
    eventually(lambda: (loop.folder / "told").exists(), what="a notice")
    eventually(lambda: loop.state()["at"] == client.job(first).finished_at, what="the place behind it")
    loop.end(signal.SIGKILL)
    (loop.folder / ".spine/head-loop.json").write_text(json.dumps(loop.state() | {"cursor": "of-another-store"}))
    reviewed = client.submit({"spec": "reviewed", "needsReview": True}).id
    second = client.submit({"spec": "told too"}).id
    eventually(lambda: client.job(second).status == client.job(reviewed).status == "done", what="both done")
    loop.start()
    eventually(lambda: accepted(client, [reviewed]), what="accepted")
    eventually(lambda: second in (loop.folder / "told").read_text(), what="the second notice")
    assert loop.end(signal.SIGTERM) == 0
    assert [line["what"] for line in loop.said() if line["what"] == "gap"] == ["gap"]


def test_a_loop_outlives_the_spine_and_the_connection(
    loop_of: MakeLoop, client: HeadClient, spine: SpineProcess
) -> None:
    with Proxy(spine.port) as proxy:
        loop = loop_of({"rules": [{"rework": "once more", "maxRound": 1}, {"accept": True}]}, url=proxy.url).start()
        eventually(loop.kept, what="its place")
        claw = SpineClient(spine.url, TOKENS["LEFT_CLAW_TOKEN"], worker_id="w1")
        job_id = client.submit({"spec": "x", "needsReview": True}).id
        claw.complete(job_id, claw.claim_one(job_id).fence, 1)
        eventually(lambda: client.job(job_id).round == 2, what="the rework")
        proxy.cut()
        eventually(lambda: "lost" in [line["what"] for line in loop.said()], what="a word that it is away")
        claw.complete(job_id, claw.claim_one(job_id).fence, 2)
        spine.kill9()
        spine.start()
        proxy.mend()
        eventually(lambda: accepted(client, [job_id]), 30, what="accepted")
        assert loop.end(signal.SIGTERM) == 0
    assert reviews(client) == [(job_id, 1, "rework", "once more"), (job_id, 2, "accept", None)]


def test_what_is_left_to_a_person_is_told_once_and_stays_pending(
    loop_of: MakeLoop, client: HeadClient, claw: None
) -> None:
    notify = ["sh", "-c", "cat > /dev/null; echo $SPINE_LOOP_REASON ${SPINE_TOKEN-none} >> told"]
    loop = loop_of({"rules": [{"label": "docs-*", "accept": True}], "notify": notify}).start()
    eventually(loop.kept, what="its place")
    left = client.submit({"spec": "x", "needsReview": True, "label": "code"}).id
    taken = client.submit({"spec": "x", "needsReview": True, "label": "docs-1"}).id
    plain = client.submit({"spec": "x"}).id
    eventually(lambda: accepted(client, [taken]), what="accepted")
    eventually(lambda: len([line for line in loop.said() if line["what"] == "notified"]) == 2, what="two notices")
    job = client.job(left)
    assert job.review is not None
    assert (job.status, job.review.state) == ("done", "pending")
    assert client.job(plain).status == "done"
    last = max(client.job(job_id).finished_at or "" for job_id in (left, taken, plain))
    eventually(lambda: loop.state()["at"] >= last, what="the place behind all three")
    loop.end(signal.SIGKILL)
    assert loop.launch("--once").wait(20) == 0
    assert sorted((loop.folder / "told").read_text().splitlines()) == ["ended none", "review none"]


def test_what_a_service_manager_is_told(loop_of: MakeLoop, spine: SpineProcess, tmp_path: Path) -> None:
    head = HeadClient(spine.url, TOKENS["HEAD_TOKEN"])
    slow = [sys.executable, "-c", "import os, time; assert 'NOTIFY_SOCKET' not in os.environ; time.sleep(1)"]
    with Manager(tmp_path / "manager", watchdog_seconds=20) as manager:
        loop = loop_of({"notify": slow, "notifyTimeoutSeconds": 70}).start(**dict(manager.environment))
        manager.await_word("READY=1")
        manager.await_word("WATCHDOG=1")
        job_id = head.submit({"target": "claw-1", "spec": "x"}).id
        head.cancel(job_id)
        manager.await_word("WATCHDOG_USEC=90000000")  # a command may take its time
        manager.await_word(f"STATUS=told of {job_id} (x): cancelled")
        manager.await_word("WATCHDOG_USEC=20000000")
        assert loop.end(signal.SIGTERM) == 0
        assert (manager.heard("READY=1"), manager.heard("STOPPING=1")) == (1, 1)


@pytest.mark.parametrize("leads", [False, True], ids=["alone", "leads"])
def test_what_was_told_when_it_was_told_to_end_is_not_told_again(
    tmp_path: Path, client: HeadClient, spine: SpineProcess, leads: bool
) -> None:
    told: list[str | None] = []

    def tell_and_end(news: News) -> None:
        told.append(news.job and news.job.id)
        raise SystemExit  # as a SIGTERM does that comes before the place is written

    def run(name: str, tell: Callable[[News], None]) -> None:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        lead = Lead(LeaseClient(spine.url, TOKENS["HEAD_TOKEN"]), "heads", 60)
        lead.take()
        term = lead.await_term() if leads else None
        acting = HeadClient(spine.url, TOKENS["HEAD_TOKEN"], lease=term.token if term else None)
        rules = Policy(notify=["true"])
        try:
            Loop(acting, rules, Ledger(folder / "place.json"), tell, {}, time.sleep, lambda _: None, term).run(
                once=True
            )
        finally:
            lead.close()

    run("one", lambda news: None)
    jobs = [client.submit({"target": "left-claw", "spec": "x"}).id for _ in range(3)]
    for job_id in jobs:
        client.cancel(job_id)
    for n in range(3):
        with pytest.raises(SystemExit):
            run("two" if leads and n else "one", tell_and_end)
    run("two" if leads else "one", tell_and_end)
    assert told == jobs
