"""A claw that loses the network for longer than its lease: nothing is lost, and nothing is done over what was done."""

from collections.abc import Callable

import pytest
from tests.support.eventually import eventually
from tests.support.stack import CLAWS, LEASE_SECONDS, Stack

from contract.wire import Job

pytestmark = pytest.mark.docker


def test_cut_off_for_longer_than_its_lease(stack: Stack, until_status: Callable[..., Job]) -> None:
    job_id = stack.head.submit({"target": "any", "spec": {"run": stack.gated("cut")}}).id
    eventually(lambda: stack.ledger.marks(job_id) == ["begun"], what="the phase")
    slow = str(stack.head.job(job_id).claimed_by)
    other = next(claw for claw in CLAWS if claw != slow)
    stack.cut(slow)
    try:
        job = until_status(job_id, "done", seconds=4 * LEASE_SECONDS)
        assert (job.claimed_by, job.fence, job.attempts) == (other, 2, 2)
        stack.open_gate("cut")
        # It comes to its end with nobody to tell.
        eventually(lambda: stack.held(slow).get("outcome"), every=0.1, what="a result in the outbox")
        assert stack.ledger.marks(job_id) == ["begun", "begun", "ended", "ended"]
    finally:
        stack.join(slow)
    eventually(lambda: stack.held(slow).get("job") is None, every=0.1, what="an empty outbox")
    first, second = stack.head.attempts(job_id)
    assert [(a.fence, a.claimed_by, a.outcome) for a in (first, second)] == [(1, slow, "expired"), (2, other, "done")]
    assert first.late_result["phases"][0]["exitCode"] == 0
    now = stack.head.job(job_id)
    assert (now.status, now.fence, now.result, now.version) == ("done", 2, job.result, job.version)
    following = stack.head.submit({"target": slow, "spec": {"run": stack.ledger.note("following")}}).id
    assert until_status(following, "done").claimed_by == slow
    assert stack.ledger.repeated() == []
