"""Work under kills: a loaded spine that dies three times, a claw restarted over its worker, and a few mixed rounds."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from tests.support.claw_process import Machine
from tests.support.eventually import eventually
from tests.support.ledger import Ledger
from tests.support.stores import ON_BOTH_ENGINES, Settings
from tests.support.storm import Count, Storm

from contract.client import SpineClient
from contract.wire import Job

pytestmark = pytest.mark.acceptance

SEED = 20_240_601
JOBS, FEWER = 36, 12
KILLS = 3


@pytest.fixture
def storm(tmp_path: Path, store: Settings) -> Iterator[Storm]:
    with contextlib.closing(Storm(tmp_path, SEED, store)) as fleet:
        yield fleet


def come_to(ledger: Ledger, lines: int) -> bool:
    """Tell whether the ledger has come to so many lines."""
    return len(ledger.entries()) >= lines


def changed(head: SpineClient, job: Job) -> bool:
    """Tell whether a job has changed since it was read."""
    return head.job(job.id).version > job.version


@ON_BOTH_ENGINES
@pytest.mark.timeout(400, func_only=True)
def test_a_loaded_spine_killed_three_times_has_every_job_done_once(storm: Storm, store: Settings) -> None:
    wanted = FEWER if store else JOBS
    for machine in storm.machines:
        machine.run()
    moments = random.Random(SEED)
    with ThreadPoolExecutor(1) as pool:
        submitted = pool.submit(storm.submit, wanted)
        for kill in range(KILLS):
            # Spread over the run, and then at no particular moment of what is going on.
            work_done = (kill + 1) * 2 * wanted // (KILLS + 1)
            eventually(partial(come_to, storm.ledger, work_done), 90, what="some of the work")
            time.sleep(moments.uniform(0, 0.3))
            storm.spine.kill9()
            storm.spine.start()
        ids = submitted.result()
    assert len(set(ids)) == wanted
    count = Count("spine")
    jobs = storm.settle(ids, count)
    storm.examine(jobs, count)
    assert count.faults() == []
    assert count.again == 0, "no outage was longer than a lease"
    assert [job.attempts for job in jobs] == [1] * wanted
    assert len(storm.ledger.entries()) == 2 * wanted
    assert storm.head.jobs(status="running").jobs == []


@pytest.mark.parametrize("blow", ["spine.batch-committed", "claw.after-push", "machine at any moment"])
def test_a_round_with_a_blow(storm: Storm, blow: str) -> None:
    count = storm.round(blow, jobs=6)
    assert count.reached
    assert count.faults() == []
    assert count.jobs == 6


def test_a_resident_claw_that_is_killed_leaves_its_worker_to_the_next_one(
    head: SpineClient, machine: Machine, ledger: Ledger, until_status: Callable[..., Job]
) -> None:
    gate = machine.folder / "gate"
    run = f"{ledger.note('begun')}; while [ ! -e {gate} ]; do sleep 0.05; done; {ledger.note('ended')}"
    job_id = head.submit({"target": machine.name, "spec": {"run": run}}).id
    machine.run()
    eventually(lambda: ledger.marks(job_id) == ["begun"], what="the phase")
    for _ in range(2):
        worker = machine.worker_pid()
        machine.kill_claw()
        eventually(partial(changed, head, head.job(job_id)), what="a heartbeat of the worker alone")
        machine.run()
        eventually(lambda: machine.log().count("claw.started") >= 2, what="the next resident claw")
        assert machine.workers() == [worker]
    gate.touch()
    job = until_status(job_id, "done")
    assert (job.attempts, job.fence, ledger.marks(job_id)) == (1, 1, ["begun", "ended"])
    eventually(machine.at_rest, what="an empty state file")
