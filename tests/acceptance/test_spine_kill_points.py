"""The spine killed at named points of its write path: what was acknowledged is there, what is repeated is done once."""

import http.client
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.support.claw_process import Machine
from tests.support.eventually import eventually
from tests.support.ledger import Ledger
from tests.support.raw_http import Answer, Api
from tests.support.spine_process import TOKENS, SpineProcess
from tests.support.stores import ON_BOTH_ENGINES

from contract.client import SpineClient
from contract.wire import Job

pytestmark = [pytest.mark.acceptance, ON_BOTH_ENGINES]

SUBMITS = 32


def submit_all(api: Api) -> list[Answer | None]:
    """Submit many jobs at the same moment, each under its own key; None where no answer came."""

    def submit(n: int) -> Answer | None:
        try:
            return api.post("/jobs", {"spec": {"run": "true"}, "label": f"n{n}"}, Idempotency_Key=f"submit-{n}")
        except (OSError, http.client.HTTPException):
            return None

    with ThreadPoolExecutor(SUBMITS) as pool:
        return list(pool.map(submit, range(SUBMITS)))


@pytest.mark.parametrize("point", ["spine.batch-written", "spine.batch-committed"])
def test_killed_in_the_middle_of_a_group_commit(
    spine: SpineProcess, head: SpineClient, tmp_path: Path, point: str
) -> None:
    before = [head.submit({"spec": {"run": "true"}, "label": "before"}).id for _ in range(3)]
    spine.kill9()
    spine.start_armed(point)
    api = Api(spine.port, TOKENS["HEAD_TOKEN"])
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(submit_all, api)
        spine.await_point(point)
        # The writer stands still, and reading goes on. What was committed before has been answered by then.
        for _ in range(5):
            assert api.get("/jobs?limit=1").status == 200
        spine.kill9()
        first = sending.result()
    unanswered = [n for n, answer in enumerate(first) if answer is None]
    assert len(unanswered) > 1, "the batch that was frozen had several operations"

    spine.start()
    acknowledged = {answer.json["id"] for answer in first if answer is not None and answer.status == 201}
    stored = {job.label: job.id for job in head.jobs(limit=1000).jobs if job.label != "before"}
    assert acknowledged <= set(stored.values())
    assert {job.id for job in head.jobs(limit=1000).jobs if job.label == "before"} == set(before)
    untold = [n for n in unanswered if f"n{n}" in stored]
    if point == "spine.batch-written":
        assert untold == [], "what was written and not committed is gone"
    else:
        assert untold != [], "what was committed is there, though nobody was told"

    again = submit_all(api)
    assert [answer is not None and answer.status for answer in again] == [201] * SUBMITS
    answers = [answer.json for answer in again if answer is not None]
    for n, answer in enumerate(answers):
        assert answer["id"] == stored.get(f"n{n}", answer["id"])
    assert len({answer["id"] for answer in answers}) == SUBMITS
    assert len(head.jobs(limit=1000).jobs) == SUBMITS + len(before)
    assert spine.stop() == 0


@pytest.mark.parametrize("wait", ["0", "2"])
def test_killed_between_a_claims_commit_and_its_answer(
    spine: SpineProcess,
    head: SpineClient,
    machine: Machine,
    ledger: Ledger,
    until_status: Callable[..., Job],
    wait: str,
) -> None:
    job_id = head.submit({"target": machine.name, "spec": {"run": ledger.note("ran")}}).id
    spine.kill9()
    spine.start_armed("spine.claim-committed")
    machine.run(CLAW_WAIT_SECONDS=wait)
    spine.await_point("spine.claim-committed")
    held = machine.held()
    assert held is not None
    assert held.get("job") is None, "the claw does not know of its claim"
    assert ledger.entries() == []
    spine.kill9()
    spine.start()

    job = until_status(job_id, "done")
    assert (job.attempts, ledger.marks(job_id)) == (1, ["ran"])
    outcomes = [attempt.outcome for attempt in head.attempts(job_id)]
    assert outcomes in (["done"], ["unaccepted", "done"]), "the same claim, or one that gave its attempt back"
    eventually(machine.at_rest)


def test_an_acknowledged_end_outlives_a_kill_at_once(spine: SpineProcess, head: SpineClient) -> None:
    claw = Api(spine.port, TOKENS["LEFT_CLAW_TOKEN"], "worker-1")
    ends: dict[str, tuple[str, Any]] = {}
    for n in range(12):
        job_id = head.submit({"spec": {"run": "true"}, "maxAttempts": 2}).id
        fence = claw.claim(job_id)["fence"]
        said: list[tuple[str, dict[str, Any], tuple[str, Any]]] = [
            ("complete", {"result": {"n": n}}, ("done", {"n": n})),
            ("fail", {"error": f"e{n}", "requeue": False}, ("failed", f"e{n}")),
            ("release", {"reason": f"r{n}"}, ("queued", f"r{n}")),
        ]
        verb, body, end = said[n % 3]
        assert claw.post(f"/jobs/{job_id}/{verb}", {"fence": fence, **body}).status == 200
        ends[job_id] = end
        if n % 4 == 3:
            spine.kill9()
            spine.start()
    for job_id, (status, words) in ends.items():
        job = head.job(job_id)
        assert job.status == status
        assert words in (job.result, job.error, job.release_reason)


def test_a_worker_process_that_dies_is_replaced_by_the_main_process(spine: SpineProcess, head: SpineClient) -> None:
    job_id = head.submit({"spec": {"run": "true"}}).id
    first = spine.worker_pid
    os.kill(first, signal.SIGKILL)
    eventually(lambda: spine.worker_pid != first, what="another worker process")
    spine.wait_ready()
    assert head.job(job_id).status == "queued"
    assert spine.stop() == 0


def test_a_main_process_that_dies_leaves_nobody_at_the_data(spine: SpineProcess, head: SpineClient) -> None:
    job_id = head.submit({"spec": {"run": "true"}}).id
    worker = spine.worker_pid
    os.kill(spine.pid, signal.SIGKILL)
    spine.wait()
    eventually(lambda: not Path(f"/proc/{worker}").exists(), 30, what="the end of the orphaned worker")
    spine.start()
    assert head.job(job_id).status == "queued"
