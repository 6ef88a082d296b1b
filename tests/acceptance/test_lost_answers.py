"""The network between: answers lost after the spine had committed, a stalled line, a cut one."""

from collections.abc import Callable, Iterator

import pytest
from tests.support.claw_process import Machine
from tests.support.eventually import eventually
from tests.support.ledger import Ledger
from tests.support.proxy import Proxy
from tests.support.repository import Remote
from tests.support.spine_process import TOKENS, SpineProcess
from tests.support.stores import ON_BOTH_ENGINES

from contract.client import SpineClient
from contract.errors import Unavailable
from contract.retry import ONCE, RetryPolicy
from contract.wire import Job

pytestmark = pytest.mark.acceptance

QUICK = RetryPolicy(attempts=4, base_seconds=0.05, cap_seconds=0.2)


@pytest.fixture
def network(spine: SpineProcess) -> Iterator[Proxy]:
    with Proxy(spine.port) as proxy:
        yield proxy


@pytest.fixture
def far_head(network: Proxy) -> SpineClient:
    """A head on the far side of the network."""
    return SpineClient(network.url, TOKENS["HEAD_TOKEN"], retry=QUICK)


@ON_BOTH_ENGINES
def test_a_submit_whose_answer_is_lost_makes_one_job(head: SpineClient, far_head: SpineClient, network: Proxy) -> None:
    network.lose_answer("POST /jobs ")
    network.lose_answer("POST /jobs ")
    job = far_head.submit({"spec": {"run": "true"}})
    assert len(network.lost) == 2
    assert [found.id for found in head.jobs().jobs] == [job.id]
    assert [event.type for event in head.events(job_id=job.id).events] == ["job.created"]


@ON_BOTH_ENGINES
def test_a_comment_whose_answer_is_lost_stands_once(head: SpineClient, far_head: SpineClient, network: Proxy) -> None:
    job_id = head.submit({"spec": {"run": "true"}}).id
    network.lose_answer(f"POST /jobs/{job_id}/comment ")
    far_head.comment(job_id, "once")
    assert len(network.lost) == 1
    assert [comment.text for comment in head.job(job_id).comments] == ["once"]


@ON_BOTH_ENGINES
@pytest.mark.parametrize("verb", ["complete", "fail", "release"])
def test_an_end_whose_answer_is_lost_happens_once(
    spine: SpineProcess, head: SpineClient, network: Proxy, verb: str
) -> None:
    job_id = head.submit({"spec": {"run": "true"}}).id
    claw = SpineClient(network.url, TOKENS["LEFT_CLAW_TOKEN"], worker_id="w", retry=QUICK)
    network.lose_answer("POST /jobs/claim ")
    (job,) = claw.claim()
    assert (job.id, job.fence) == (job_id, 1)
    network.lose_answer(f"POST /jobs/{job_id}/{verb} ")
    told = {
        "complete": lambda: claw.complete(job_id, 1, {"n": 1}),
        "fail": lambda: claw.fail(job_id, 1, "no luck"),
        "release": lambda: claw.release(job_id, 1, "not now"),
    }[verb]()
    assert len(network.lost) == 2
    assert (told.status, told.attempts) == ("done" if verb == "complete" else "queued", 1)
    kinds = [event.type for event in head.events(job_id=job_id).events]
    ended = {"complete": "job.completed", "fail": "job.failed", "release": "job.released"}[verb]
    assert kinds == ["job.created", "job.claimed", ended]


@pytest.mark.parametrize(
    "request_line",
    [
        "POST /jobs/claim ",
        "POST /jobs/{id}/heartbeat ",
        "POST /jobs/{id}/log",
        "POST /blobs ",
        "POST /jobs/{id}/complete ",
    ],
)
def test_a_claw_whose_answers_are_lost_runs_the_job_once(
    head: SpineClient,
    machine_of: Callable[..., Machine],
    network: Proxy,
    ledger: Ledger,
    remote: Remote,
    until_status: Callable[..., Job],
    request_line: str,
) -> None:
    machine = machine_of(url=network.url)
    run = f"{ledger.note('ran')}; echo two >> file.txt; echo said"
    job_id = head.submit({"target": machine.name, "spec": {"repo": str(remote.path), "run": run}}).id
    network.lose_answer(request_line.replace("{id}", job_id))
    machine.run()
    job = until_status(job_id, "done")
    eventually(lambda: len(network.lost) == 1, what="the loss, of which the proxy hears after the spine has acted")
    assert (job.attempts, job.fence, ledger.marks(job_id)) == (1, 1, ["ran"])
    assert remote.commits(job_id) == [job.result["commit"]]
    assert [attempt.outcome for attempt in head.attempts(job_id)] == ["done"]
    assert head.read_log(job_id).decode().count("\nsaid\n") == 1
    assert [artifact["name"] for artifact in job.result["artifacts"]] == ["build.log"]
    eventually(machine.at_rest, what="an empty state file")


def test_a_network_that_is_cut_while_a_job_runs_costs_nothing_within_the_lease(
    head: SpineClient,
    machine_of: Callable[..., Machine],
    network: Proxy,
    ledger: Ledger,
    until_status: Callable[..., Job],
) -> None:
    machine = machine_of(url=network.url)
    gate = machine.folder / "gate"
    run = f"{ledger.note('begun')}; while [ ! -e {gate} ]; do sleep 0.05; done; {ledger.note('ended')}"
    job_id = head.submit({"target": machine.name, "spec": {"run": run}}).id
    machine.run()
    eventually(lambda: ledger.marks(job_id) == ["begun"], what="the phase")
    with network.away():
        gate.touch()
        eventually(lambda: (machine.held() or {}).get("outcome"), what="a result on disk")
    job = until_status(job_id, "done")
    # The lease may have ended meanwhile: the newest fence is taken as long as nobody else has claimed.
    assert (job.attempts, job.fence, ledger.marks(job_id)) == (1, 1, ["begun", "ended"])
    eventually(machine.at_rest, what="an empty state file")


def test_a_result_waits_while_the_lease_ends_and_another_does_the_job(
    head: SpineClient,
    machine_of: Callable[..., Machine],
    network: Proxy,
    ledger: Ledger,
    until_status: Callable[..., Job],
) -> None:
    far, near = machine_of("claw-1", url=network.url), machine_of("claw-2")
    gate = far.folder / "gate"
    run = f"{ledger.note('begun')}; [ $SPINE_FENCE = 2 ] || while [ ! -e {gate} ]; do sleep 0.05; done"
    job_id = head.submit({"target": "any", "spec": {"run": run}}).id
    far.run()
    eventually(lambda: ledger.marks(job_id) == ["begun"], what="the phase")
    with network.away():
        gate.touch()
        eventually(lambda: (far.held() or {}).get("outcome"), what="a result on disk")
        near.run()
        job = until_status(job_id, "done")
        assert (job.claimed_by, job.fence) == (near.name, 2)
    eventually(far.at_rest, 40, what="an empty state file")
    first, _ = head.attempts(job_id)
    assert first.outcome == "expired"
    assert first.late_result["phases"][0]["exitCode"] == 0
    assert head.job(job_id).result == job.result


def test_a_stalled_line_is_given_up_and_the_next_try_gets_the_one_answer(head: SpineClient, network: Proxy) -> None:
    impatient = SpineClient(network.url, TOKENS["HEAD_TOKEN"], read_seconds=0.5, retry=ONCE)
    network.stall()
    with pytest.raises(Unavailable):
        impatient.submit({"spec": {"run": "true"}}, idempotency_key="the-one")
    network.mend()
    job = SpineClient(network.url, TOKENS["HEAD_TOKEN"], retry=QUICK).submit(
        {"spec": {"run": "true"}}, idempotency_key="the-one"
    )
    assert [found.id for found in head.jobs().jobs] == [job.id]
