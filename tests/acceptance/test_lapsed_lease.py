"""A worker stopped beyond its lease: it changes nothing, cannot push, and what it came to is kept beside the result."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.support.claw_process import Machine, processes_of_job
from tests.support.eventually import eventually
from tests.support.ledger import Ledger
from tests.support.repository import Remote

from contract.client import SpineClient
from contract.wire import Job

pytestmark = pytest.mark.acceptance

SLOW, OTHER = "claw-1", "claw-2"


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Stop processes, as a laptop's lid does; let them go on afterwards, also when the test fails.

    One that lives for a moment, such as a `sleep` of a job's shell, may have ended since it was listed.
    """
    assert pids
    try:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in reversed(pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def check_untouched(head: SpineClient, ledger: Ledger, remote: Remote, job: Job, pushed: list[str]) -> None:
    """Check that the end of the job is as it was when the other machine had ended it."""
    now = head.job(job.id)
    assert (now.status, now.fence, now.result, now.version) == ("done", 2, job.result, job.version)
    assert remote.commits(job.id) == pushed == [job.result["commit"]]
    assert remote.show(job.id, "file.txt") == "one\nby fence 2"
    assert ledger.repeated() == []


def check_goes_on(head: SpineClient, slow: Machine, ledger: Ledger, until_status: Callable[..., Job]) -> None:
    """Check that the machine forgets the lost job and does the next one."""
    eventually(slow.at_rest, what="an empty state file")
    following = head.submit({"target": slow.name, "spec": {"run": ledger.note("following")}}).id
    assert until_status(following, "done").claimed_by == slow.name
    assert list(slow.state.glob("undelivered/*")) == []


@pytest.mark.parametrize("what", ["the worker", "the machine"])
def test_stopped_in_a_phase(
    head: SpineClient,
    machine_of: Callable[..., Machine],
    ledger: Ledger,
    remote: Remote,
    until_status: Callable[..., Job],
    what: str,
) -> None:
    slow, other = machine_of(SLOW), machine_of(OTHER)
    gate = slow.folder / "gate"
    run = (
        f"{ledger.note('begun')}; while [ $SPINE_FENCE = 1 ] && [ ! -e {gate} ]; do sleep 0.05; done; "
        f"echo by fence $SPINE_FENCE >> file.txt; {ledger.note('ended')}"
    )
    job_id = head.submit({"target": "any", "spec": {"repo": str(remote.path), "run": run}}).id
    slow.run()
    eventually(lambda: ledger.marks(job_id) == ["begun"], what="the phase")
    pids = slow.workers() if what == "the worker" else [*slow.claws(), *slow.workers(), *processes_of_job(job_id)]
    if what == "the worker":
        gate.touch()
        eventually(lambda: ledger.marks(job_id) == ["begun", "ended"], what="the end of the phase")
    with stopped(pids):
        other.run()
        job = until_status(job_id, "done")
        assert job.claimed_by == other.name
        pushed = remote.commits(job_id)
        gate.touch()
    check_goes_on(head, slow, ledger, until_status)
    check_untouched(head, ledger, remote, job, pushed)
    first, second = head.attempts(job_id)
    assert [(a.fence, a.claimed_by, a.outcome) for a in (first, second)] == [
        (1, slow.name, "expired"),
        (2, other.name, "done"),
    ]
    if what == "the worker":
        assert first.late_result["phases"][0]["exitCode"] == 0
        assert "not pushed" in first.late_result["notes"]
        assert ledger.marks(job_id) == ["begun", "ended"] * 2


def test_stopped_in_the_middle_of_its_push(
    head: SpineClient,
    machine_of: Callable[..., Machine],
    ledger: Ledger,
    remote: Remote,
    until_status: Callable[..., Job],
) -> None:
    slow, other = machine_of(SLOW, CLAW_GIT_NAME=SLOW), machine_of(OTHER, CLAW_GIT_NAME=OTHER)
    gate, arrived = slow.folder / "gate", slow.folder / "arrived"
    # The push of the slow machine has passed every check of its own when the other side makes it wait.
    hold_push(remote.path / "hooks" / "pre-receive", SLOW, arrived, gate)
    run = f"echo by fence $SPINE_FENCE >> file.txt; {ledger.note('ended')}"
    job_id = head.submit({"target": "any", "spec": {"repo": str(remote.path), "run": run}}).id
    slow.run()
    eventually(arrived.exists, what="the push")
    with stopped([*slow.claws(), *slow.workers()]):
        other.run()
        job = until_status(job_id, "done")
        assert job.claimed_by == other.name
        pushed = remote.commits(job_id)
        gate.touch()
    check_goes_on(head, slow, ledger, until_status)
    check_untouched(head, ledger, remote, job, pushed)
    first, _ = head.attempts(job_id)
    assert first.outcome == "expired"
    assert "not pushed" in first.late_result["notes"]
    assert ledger.marks(job_id) == ["ended", "ended"]


def hold_push(hook: Path, author: str, arrived: Path, gate: Path) -> None:
    """Make a remote keep the pushes of one author waiting."""
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        f'#!/bin/sh\n[ "$GIT_AUTHOR_NAME" = {author} ] || exit 0\n'
        f"touch {arrived}\nwhile [ ! -e {gate} ]; do sleep 0.05; done\n"
    )
    hook.chmod(0o755)
