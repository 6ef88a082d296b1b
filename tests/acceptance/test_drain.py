"""SIGTERM, to a claw with a job and to a spine with claws that wait: nothing is lost, and nothing hangs."""

import time
from collections.abc import Callable

import pytest
from tests.support.claw_process import Machine, processes_of_job
from tests.support.eventually import eventually
from tests.support.figures import figure
from tests.support.ledger import Ledger
from tests.support.raw_http import Api
from tests.support.spine_process import TOKENS, SpineProcess
from tests.support.stores import ON_BOTH_ENGINES

from contract.client import SpineClient
from contract.wire import Job

pytestmark = pytest.mark.acceptance


def gated(machine: Machine, ledger: Ledger) -> dict[str, str]:
    """A job that ends when the machine's gate is opened."""
    gate = machine.folder / "gate"
    return {"run": f"{ledger.note('begun')}; while [ ! -e {gate} ]; do sleep 0.05; done; {ledger.note('ended')}"}


def test_a_claw_that_drains_lets_its_job_end_and_claims_no_other(
    head: SpineClient, machine: Machine, ledger: Ledger, until_status: Callable[..., Job]
) -> None:
    job_id = head.submit({"target": machine.name, "spec": gated(machine, ledger)}).id
    claw = machine.run(CLAW_DRAIN_SECONDS="30")
    eventually(lambda: ledger.marks(job_id) == ["begun"], what="the phase")
    waiting = head.submit({"target": machine.name, "spec": {"run": ledger.note("other")}}).id
    claw.terminate()
    eventually(lambda: "claw.draining" in machine.log(), what="the drain")
    assert claw.poll() is None
    (machine.folder / "gate").touch()
    assert claw.wait(20) == 0
    assert until_status(job_id, "done").attempts == 1
    assert ledger.marks(job_id) == ["begun", "ended"]
    assert head.job(waiting).status == "queued"
    assert machine.at_rest()
    assert machine.workers() == []


def test_a_claw_whose_drain_time_is_over_gives_the_job_back_with_its_attempt(
    head: SpineClient, machine_of: Callable[..., Machine], ledger: Ledger, until_status: Callable[..., Job]
) -> None:
    machine, other = machine_of("claw-1"), machine_of("claw-2")
    job_id = head.submit({"target": "any", "spec": gated(machine, ledger), "maxAttempts": 1}).id
    claw = machine.run(CLAW_DRAIN_SECONDS="1")
    eventually(lambda: ledger.marks(job_id) == ["begun"], what="the phase")
    claw.terminate()
    assert claw.wait(20) == 0
    job = head.job(job_id)
    assert (job.status, job.attempts, job.claimed_by) == ("queued", 0, None)
    assert "given back" in str(job.release_reason)
    assert machine.at_rest()
    assert (machine.workers(), processes_of_job(job_id)) == ([], [])
    (machine.folder / "gate").touch()
    other.run()
    job = until_status(job_id, "done")
    assert (job.attempts, job.claimed_by) == (1, other.name)
    assert ledger.marks(job_id) == ["begun", "begun", "ended"]


def test_a_tick_in_phases_mode_gives_its_job_back_on_sigterm(
    head: SpineClient, machine: Machine, ledger: Ledger
) -> None:
    job_id = head.submit({"target": machine.name, "spec": gated(machine, ledger)}).id
    tick = machine.tick("phases")
    eventually(lambda: ledger.marks(job_id) == ["begun"], what="the phase")
    tick.terminate()
    tick.wait(20)
    job = head.job(job_id)
    assert (job.status, job.attempts) == ("queued", 0)
    assert machine.at_rest()
    assert processes_of_job(job_id) == []


@ON_BOTH_ENGINES
def test_a_spine_that_stops_answers_waiting_claims_and_loses_nothing(
    spine: SpineProcess,
    head: SpineClient,
    machine_of: Callable[..., Machine],
    ledger: Ledger,
    until_status: Callable[..., Job],
) -> None:
    machines = [machine_of(f"claw-{n}", CLAW_WAIT_SECONDS="30") for n in (1, 2)]
    for each in machines:
        each.run()
    api = Api(spine.port, TOKENS["LEFT_CLAW_TOKEN"], "worker-1")
    polls = [api.by(f"worker-{n}").poll(wait=30) for n in range(20)]
    eventually(lambda: waiting_claims(spine) >= 22, what="22 waiting claims")
    begun = time.monotonic()
    spine.terminate()
    assert {poll.answer(20).status for poll in polls} <= {204, 503}
    for poll in polls:
        poll.close()
    assert spine.wait(25) == 0
    assert time.monotonic() - begun < 25, "the spine waits for no idle connection"
    assert spine.faults() == []

    spine.start()
    jobs = [head.submit({"target": "any", "spec": {"run": ledger.note("ran")}}).id for _ in range(4)]
    for job_id in jobs:
        until_status(job_id, "done")
        assert ledger.marks(job_id) == ["ran"]


def waiting_claims(spine: SpineProcess) -> int:
    """Read how many claims wait, from the metrics."""
    return int(figure(Api(spine.port, TOKENS["HEAD_TOKEN"]), "spine_waiting_claims"))


@ON_BOTH_ENGINES
def test_a_spine_that_stops_under_a_running_job_finds_it_running_again(
    spine: SpineProcess, head: SpineClient, machine: Machine, ledger: Ledger, until_status: Callable[..., Job]
) -> None:
    job_id = head.submit({"target": machine.name, "spec": gated(machine, ledger)}).id
    machine.run()
    eventually(lambda: ledger.marks(job_id) == ["begun"], what="the phase")
    assert spine.stop() == 0
    (machine.folder / "gate").touch()
    eventually(lambda: (machine.held() or {}).get("outcome"), what="a result on disk")
    spine.start()
    job = until_status(job_id, "done")
    assert (job.attempts, job.fence, ledger.marks(job_id)) == (1, 1, ["begun", "ended"])
