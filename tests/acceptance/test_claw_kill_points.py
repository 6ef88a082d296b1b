"""A claw killed at every named point of a job, in both modes: each promised effect stands once in the outside world."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from tests.acceptance.conftest import LEASE_SECONDS
from tests.support.claw_process import Machine, processes_of_job
from tests.support.eventually import eventually
from tests.support.ledger import Ledger
from tests.support.repository import Remote
from tests.support.spine_process import SpineProcess

from contract.client import SpineClient
from contract.wire import Job

pytestmark = pytest.mark.acceptance

PHASES = ("build", "test", "change")
# Where a kill finds the claw, and up to which phase the attempt had come: what it has done is not done again where
# the claw knows of it, and is done anew, under a new fence, where a phase was under way.
BEFORE_WORK = ("claw.claimed", "claw.state-written", "claw.before-first-heartbeat")
IN_PHASE = ("claw.phase-1", "claw.phase-2", "claw.phase-3")
AT_PUSH = ("claw.before-push", "claw.after-push")
AT_REPORT = ("claw.result-written", "claw.result-sent")
# How often a job is begun tells what a claw that comes back knows: no lease may end while it does.
LONG_LEASE = 60


@pytest.fixture
def lease_seconds(request: pytest.FixtureRequest) -> int:
    return getattr(request, "param", LONG_LEASE)


def job_spec(ledger: Ledger, remote: Remote) -> dict[str, Any]:
    """Three phases that leave a line each; the last one changes a file, by adding to it."""
    runs = {name: ledger.note(name) for name in PHASES}
    runs["change"] += "; echo two >> file.txt"
    return {"repo": str(remote.path), "phases": [{"name": name, "run": run} for name, run in runs.items()]}


def tick_until(machine: Machine, mode: str, ended: Callable[[], bool], most: int = 12) -> None:
    """Tick as cron would, only without waiting for the minute, until something holds."""
    for _ in range(most):
        if ended():
            return
        assert machine.tick_through(mode) in (0, 69), machine.log()
    assert ended(), f"{most} ticks were not enough\n{machine.log()}"


def tick_to(machine: Machine, armed: dict[str, str | None]) -> None:
    """Make one armed tick, up to its end or its point."""
    tick = machine.tick("phases", **armed)
    eventually(lambda: tick.poll() is not None or machine.at_point(), what="the point, or the end of the tick")


def check_world(job: Job, head: SpineClient, machine: Machine, ledger: Ledger, remote: Remote) -> None:
    """Check what must hold after every interruption, whatever it was."""
    assert job.status == "done", job
    assert ledger.repeated() == []
    accepted = [attempt for attempt in head.attempts(job.id) if attempt.outcome == "done"]
    assert [attempt.fence for attempt in accepted] == [job.fence], "one accepted result, of the newest fence"
    assert ledger.marks(job.id, job.fence) == list(PHASES), "the accepted attempt ran every phase once, in order"
    assert remote.commits(job.id) == [job.result["commit"]], (
        "the branch has the accepted attempt's commit, and no other"
    )
    assert remote.show(job.id, "file.txt") == "one\ntwo"
    eventually(machine.at_rest, what="an empty state file")
    assert list(machine.state.glob("undelivered/*")) == []
    assert list(machine.state.glob("*.broken-*")) == []
    assert processes_of_job(job.id) == []
    assert head.jobs(status="running").jobs == []


@pytest.mark.parametrize("point", [*BEFORE_WORK, *IN_PHASE, *AT_PUSH, *AT_REPORT])
def test_resident_claw_and_worker_killed_at_once(
    head: SpineClient,
    machine: Machine,
    ledger: Ledger,
    remote: Remote,
    until_status: Callable[..., Job],
    point: str,
) -> None:
    job_id = head.submit({"target": machine.name, "spec": job_spec(ledger, remote)}).id
    machine.run(**machine.armed(point))
    machine.await_point(point)
    machine.crash()
    first = ledger.entries(job_id)
    machine.run()
    job = until_status(job_id, "done", "dead", "failed")

    check_world(job, head, machine, ledger, remote)
    expect_attempts(point, job, first, ledger)


@pytest.mark.parametrize("point", [*BEFORE_WORK, *IN_PHASE, *AT_PUSH, *AT_REPORT])
def test_a_tick_in_phases_mode_killed(
    head: SpineClient,
    machine: Machine,
    ledger: Ledger,
    remote: Remote,
    until_status: Callable[..., Job],
    point: str,
) -> None:
    job_id = head.submit({"target": machine.name, "spec": job_spec(ledger, remote)}).id
    armed = machine.armed(point)
    for _ in range(4):
        tick_to(machine, armed)
        if machine.at_point():
            break
    machine.await_point(point)
    machine.crash()
    first = ledger.entries(job_id)
    tick_until(machine, "phases", lambda: head.job(job_id).status in ("done", "dead", "failed"))
    tick_until(machine, "phases", machine.at_rest)
    job = until_status(job_id, "done", "dead", "failed")

    check_world(job, head, machine, ledger, remote)
    expect_attempts(point, job, first, ledger)


def expect_attempts(point: str, job: Job, first: list[Any], ledger: Ledger) -> None:
    """Check how often the job was begun, by where it was interrupted."""
    if point in AT_REPORT:
        assert (job.attempts, job.fence) == (1, 1), "a result on disk is delivered, and nothing is run again"
        assert ledger.entries(job.id) == first
    elif point in BEFORE_WORK:
        # At the latest the accept lease ends, and gives the attempt back.
        assert job.attempts == 1
        assert len(ledger.entries(job.id)) == len(PHASES)
    elif point in AT_PUSH:
        assert (job.attempts, job.fence) == (1, 1), "all phases had ended: only the rest is made up for"
        assert ledger.entries(job.id) == first
    elif point in IN_PHASE:
        assert (job.attempts, job.fence) == (2, 2), "a phase that was cut short is an attempt of its own"
        assert [entry.mark for entry in first] == list(PHASES[: IN_PHASE.index(point)])


def test_a_worker_killed_alone_while_its_phase_runs(
    head: SpineClient,
    machine: Machine,
    ledger: Ledger,
    remote: Remote,
    until_status: Callable[..., Job],
) -> None:
    gate = machine.folder / "gate"
    spec = job_spec(ledger, remote)
    # The first attempt comes as far as its last line, and would go on to change the file.
    spec["phases"][2]["run"] = (
        f"{ledger.note('change')}; while [ $SPINE_FENCE = 1 ] && [ ! -e {gate} ]; do sleep 0.05; done; "
        "echo two >> file.txt"
    )
    job_id = head.submit({"target": machine.name, "spec": spec}).id
    machine.run()
    eventually(lambda: "change" in ledger.marks(job_id), what="the last phase")
    assert processes_of_job(job_id) != []
    os.kill(machine.worker_pid(), signal.SIGKILL)
    job = until_status(job_id, "done")

    check_world(job, head, machine, ledger, remote)
    assert [attempt.outcome for attempt in head.attempts(job_id)] == ["failed", "done"]
    assert ledger.marks(job_id, 1) == list(PHASES), "the first attempt's lines stand: the ledger forgets nothing"


@pytest.mark.parametrize("lease_seconds", [LEASE_SECONDS], indirect=True)
@pytest.mark.parametrize("point", ["claw.phase-2", "claw.after-push"])
def test_a_machine_that_never_comes_back(
    spine: SpineProcess,
    head: SpineClient,
    machine_of: Callable[..., Machine],
    ledger: Ledger,
    remote: Remote,
    until_status: Callable[..., Job],
    point: str,
) -> None:
    lost, other = machine_of("claw-1"), machine_of("claw-2")
    job_id = head.submit({"target": "any", "spec": job_spec(ledger, remote)}).id
    lost.run(**lost.armed(point))
    lost.await_point(point)
    lost.crash()
    other.run()
    job = until_status(job_id, "done")
    check_world(job, head, other, ledger, remote)
    assert job.claimed_by == other.name
    assert [attempt.outcome for attempt in head.attempts(job_id)] == ["expired", "done"]
