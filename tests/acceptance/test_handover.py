"""SIGHUP to a claw: it leaves at once, what it holds goes on, and the claw that is started next takes it up."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.claw_process import Machine, processes_of_job
from tests.support.eventually import eventually
from tests.support.ledger import Ledger
from tests.support.manager import Manager
from tests.support.raw_http import Api
from tests.support.spine_process import TOKENS, SpineProcess

from contract.client import SpineClient
from contract.wire import Job

pytestmark = pytest.mark.acceptance


def until_gate(machine: Machine, ledger: Ledger, mark: str) -> str:
    """A phase that ends when the machine's gate is opened."""
    gate = machine.folder / f"gate-{mark}"
    return f"{ledger.note(f'{mark}-begun')}; while [ ! -e {gate} ]; do sleep 0.05; done; {ledger.note(f'{mark}-ended')}"


def open_gate(machine: Machine, mark: str) -> None:
    (machine.folder / f"gate-{mark}").touch()


def test_the_worker_goes_on_and_the_next_claw_takes_it_up(
    head: SpineClient, machine: Machine, ledger: Ledger, until_status: Callable[..., Job]
) -> None:
    job_id = head.submit({"target": machine.name, "spec": {"run": until_gate(machine, ledger, "a")}}).id
    claw = machine.run()
    eventually(lambda: ledger.marks(job_id) == ["a-begun"], what="the phase")
    worker = machine.worker_pid()
    waiting = head.submit({"target": machine.name, "spec": {"run": ledger.note("other")}}).id
    claw.send_signal(signal.SIGHUP)
    assert claw.wait(10) == 0
    assert machine.workers() == [worker]
    assert head.job(job_id).status == "running"
    machine.run()
    eventually(lambda: machine.log().count("claw.started") == 2, what="the next claw")
    open_gate(machine, "a")
    job = until_status(job_id, "done")
    assert (job.attempts, job.fence, ledger.marks(job_id)) == (1, 1, ["a-begun", "a-ended"])
    until_status(waiting, "done")
    assert machine.log().count("claw.worker_started") == 2  # one for each job
    assert ledger.repeated() == []


def test_a_phase_is_finished_first_and_the_next_claw_runs_the_one_after(
    head: SpineClient, machine: Machine, ledger: Ledger, until_status: Callable[..., Job]
) -> None:
    phases = [{"name": name, "run": until_gate(machine, ledger, name)} for name in ("a", "b")]
    job_id = head.submit({"target": machine.name, "spec": {"phases": phases}}).id
    claw = machine.run(CLAW_MODE="phases")
    eventually(lambda: ledger.marks(job_id) == ["a-begun"], what="the phase")
    claw.send_signal(signal.SIGHUP)
    eventually(lambda: "claw.handing_over" in machine.log(), what="the signal")
    assert claw.poll() is None
    open_gate(machine, "a")
    assert claw.wait(15) == 0
    job = head.job(job_id)
    assert (job.status, ledger.marks(job_id)) == ("running", ["a-begun", "a-ended"])
    open_gate(machine, "b")
    machine.run(CLAW_MODE="phases")
    job = until_status(job_id, "done")
    assert (job.attempts, ledger.marks(job_id)) == (1, ["a-begun", "a-ended", "b-begun", "b-ended"])


def test_a_claw_that_waits_for_its_phase_can_still_be_told_to_stop(
    head: SpineClient, machine: Machine, ledger: Ledger
) -> None:
    job_id = head.submit({"target": machine.name, "spec": {"run": until_gate(machine, ledger, "a")}}).id
    claw = machine.run(CLAW_MODE="phases", CLAW_DRAIN_SECONDS="1")
    eventually(lambda: ledger.marks(job_id) == ["a-begun"], what="the phase")
    claw.send_signal(signal.SIGHUP)
    eventually(lambda: "claw.handing_over" in machine.log(), what="the signal")
    claw.terminate()
    assert claw.wait(20) == 0
    job = head.job(job_id)
    assert (job.status, job.attempts) == ("queued", 0)
    assert (machine.at_rest(), processes_of_job(job_id)) == (True, [])


def test_a_claw_that_waits_at_the_spine_leaves_at_once_and_the_next_one_gets_what_it_was_given(
    head: SpineClient, machine: Machine, until_status: Callable[..., Job]
) -> None:
    claw = machine.run(CLAW_WAIT_SECONDS="30")
    eventually(lambda: "claw.started" in machine.log(), what="the claw")
    claw.send_signal(signal.SIGHUP)
    assert claw.wait(5) == 0
    job_id = head.submit({"target": machine.name, "spec": {"run": "true"}}).id
    machine.run()
    assert until_status(job_id, "done").attempts == 1


def test_a_worker_gets_the_new_token_of_the_claw_that_takes_it_up(
    spine: SpineProcess, head: SpineClient, machine: Machine, ledger: Ledger, until_status: Callable[..., Job]
) -> None:
    new = "another-token-of-claw-1"
    job_id = head.submit({"target": machine.name, "spec": {"run": until_gate(machine, ledger, "a")}}).id
    claw = machine.run()
    eventually(lambda: ledger.marks(job_id) == ["a-begun"], what="the phase")
    worker = machine.worker_pid()
    spine.stop()
    spine.start(CLAW_TOKENS=f"{machine.name}={machine.token},{machine.name}={new}")
    claw.send_signal(signal.SIGHUP)
    assert claw.wait(10) == 0
    # The worker is refused before anybody is there who could help it, and is patient.
    spine.stop()
    spine.start(CLAW_TOKENS=f"{machine.name}={new}")
    machine.run(SPINE_TOKEN=new)
    beats = head.job(job_id).lease_until
    eventually(lambda: head.job(job_id).lease_until != beats, what="a heartbeat with the new token")
    assert machine.workers() == [worker]
    open_gate(machine, "a")
    assert until_status(job_id, "done").attempts == 1
    eventually(lambda: not machine.workers(), what="the worker's end")
    assert not (machine.state / "worker-token").exists()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(tmp_path / "manager", watchdog_seconds=20) as made:
        yield made


def test_what_a_service_manager_is_told(
    spine: SpineProcess, head: SpineClient, machine: Machine, manager: Manager, until_status: Callable[..., Job]
) -> None:
    claw = machine.run(**manager.environment)
    manager.await_word("READY=1")
    manager.await_word("STATUS=waits for jobs")
    job_id = head.submit({"target": machine.name, "spec": {"run": "env; sleep 2"}}).id
    manager.await_word(f"STATUS=holds job {job_id}, fence 1")
    manager.await_word("WATCHDOG=1", times=2)
    until_status(job_id, "done")
    log = Api(spine.port, TOKENS["HEAD_TOKEN"]).get(f"/jobs/{job_id}/log").body
    assert b"SPINE_JOB_ID=" in log
    assert b"NOTIFY_SOCKET" not in log
    claw.send_signal(signal.SIGHUP)
    assert claw.wait(10) == 0
    assert (manager.heard("STOPPING=1"), manager.heard("STATUS=hands over"), manager.heard("READY=1")) == (1, 1, 1)
