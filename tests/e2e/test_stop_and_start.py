"""Stopping in order, `make down` and `make up`: whoever waits is answered, jobs end or are given back, answers stay."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.eventually import eventually
from tests.support.stack import SERVICES, Stack

from contract.client import SpineClient
from contract.retry import ONCE
from contract.wire import Job

pytestmark = pytest.mark.docker

# Below what Compose gives them before it kills.
STOP_SECONDS = 40
WAIT_SECONDS = 30


def test_a_stop_drains_and_down_and_up_keep_every_answer(stack: Stack, until_status: Callable[..., Job]) -> None:
    spec = {"run": f"echo '{{\"answer\": 42}}' > $SPINE_RESULT_FILE; {stack.ledger.note('done')}"}
    kept = until_status(stack.head.submit({"target": "any", "spec": spec, "label": "kept"}).id, "done")
    assert kept.result["answer"] == 42
    # left gets to the end of its job while it drains; right's takes longer than that.
    short, long = (
        stack.head.submit({"target": target, "spec": {"run": stack.gated(gate)}}).id
        for target, gate in (("left-claw", "drain"), ("right-claw", "never"))
    )
    eventually(lambda: [stack.ledger.marks(job_id) for job_id in (short, long)] == [["begun"]] * 2, what="phases")
    assert stack.faults() == [], "what these containers have written goes with them"
    waiter = SpineClient(stack.url, stack.token("left-claw"), worker_id="waiter", retry=ONCE)
    with ThreadPoolExecutor(2) as pool:
        begun = time.monotonic()
        waiting = pool.submit(lambda: (waiter.claim(wait=WAIT_SECONDS), time.monotonic() - begun))
        stopping = pool.submit(stack.run, "stop")
        eventually(lambda: "claw.draining" in stack.logs("left-claw"), every=0.1, what="the drain")
        stack.open_gate("drain")
        stopping.result()
        assert time.monotonic() - begun < STOP_SECONDS
        claimed, seconds = waiting.result()
    assert claimed == []
    assert seconds < WAIT_SECONDS, "the spine answered the claim that waited, in order to stop"
    states = {service: stack.container(service).attrs["State"] for service in SERVICES}
    assert {service: (s["Status"], s["ExitCode"], s["OOMKilled"]) for service, s in states.items()} == dict.fromkeys(
        SERVICES, ("exited", 0, False)
    )
    assert (stack.ledger.marks(short), stack.ledger.marks(long)) == (["begun", "ended"], ["begun"])

    down = stack.make("down")
    assert down.returncode == 0, down.stderr
    left = stack.client.containers.list(all=True, filters={"label": f"com.docker.compose.project={stack.project}"})
    assert left == []
    up = stack.make("up")
    assert up.returncode == 0, up.stderr
    assert up.stdout.count("(healthy)") == 4, "what was started is shown"
    assert stack.head.job(kept.id) == kept
    assert until_status(long, "done").claimed_by == "right-claw"
    jobs = {job_id: stack.head.job(job_id) for job_id in (short, long)}
    assert [(job.status, job.fence, job.attempts) for job in jobs.values()] == [("done", 1, 1), ("done", 2, 1)]
    assert [a.outcome for a in stack.head.attempts(long)] == ["released", "done"]
    assert stack.ledger.marks(long) == ["begun", "begun", "ended"]
    assert stack.ledger.repeated() == []
