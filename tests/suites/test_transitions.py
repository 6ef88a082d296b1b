"""Every action in every status through `jobs.move`: what the table forbids changes nothing at all."""

from typing import Any

import pytest
from tests.suites.harness import HEAD, LEFT, Store
from tests.suites.matrix import ENDED, MATRIX, STATUSES, Row

from contract.errors import Conflict
from contract.states import Action
from spine.store import jobs
from spine.store.engine import Operation
from spine.store.jobs import JobRow


def in_status(store: Store, status: str) -> JobRow:
    """Return a job that has come to this status."""
    row = store.submit()
    if status == "waiting":
        claimed = store.take_one()
        return store.write(lambda tx: jobs.move(tx, Action.FAIL_BACKOFF, claimed, "t", {}, claimed_by=None))
    if status == "cancelled":
        return store.write(lambda tx: jobs.move(tx, Action.CANCEL, row, "head", {}))
    if status == "queued":
        return row
    claimed = store.take_one()
    if status == "done":
        return store.complete(claimed.id, claimed.fence)
    if status == "failed":
        return store.fail(claimed.id, claimed.fence, requeue=False)
    if status == "dead":
        return store.write(lambda tx: jobs.move(tx, Action.EXHAUST, claimed, "t", {}))
    assert status == "running"
    return claimed


def changes_for(store: Store, row: Row) -> dict[str, Any]:
    """Return what a move needs besides its status."""
    if row.target != "running":
        return {}
    return {"claimed_by": "left-claw", "lease_until": store.clock.now() + 1000, "fence": 7}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("row", MATRIX, ids=lambda row: row.action)
def test_each_pair(store: Store, row: Row, status: str) -> None:
    job = in_status(store, status)
    store.clock.advance(1)
    before = store.dump()
    changes = changes_for(store, row)

    def move() -> JobRow:
        return store.write(lambda tx: jobs.move(tx, Action(row.action), job, "someone", {"k": 1}, **changes))

    if status not in row.sources:
        with pytest.raises(Conflict):
            move()
        assert store.dump() == before
        return
    moved = move()
    assert moved == store.job(job.id)
    assert moved.status == row.target
    assert moved.version == job.version + 1
    assert moved.updated_at == store.clock.now()
    assert (moved.finished_at is not None) == (row.target in ENDED)
    assert (moved.lease_until is not None) == (row.target == "running")
    event = store.events(job.id)[-1]
    assert (event.type, event.author, event.data, event.at) == (row.event, "someone", '{"k":1}', store.clock.now())
    assert len(store.dump()["events"]) == len(before["events"]) + 1


@pytest.mark.parametrize("row", [row for row in MATRIX if row.sources], ids=lambda row: row.action)
def test_a_fence_that_is_not_the_newest_moves_nothing(store: Store, row: Row) -> None:
    job = in_status(store, sorted(row.sources)[0])
    before = store.dump()
    changes = changes_for(store, row)

    def move(fence: int) -> Operation[JobRow]:
        return lambda tx: jobs.move(tx, Action(row.action), job._replace(fence=fence), "x", {}, **changes)

    for wrong in (job.fence + 1, job.fence - 1):
        with pytest.raises(Conflict):
            store.write(move(wrong))
    assert store.dump() == before


def test_a_job_that_is_not_there_moves_nothing(store: Store) -> None:
    ghost = store.submit()._replace(id="ghost")
    before = store.dump()
    with pytest.raises(Conflict):
        store.write(lambda tx: jobs.move(tx, Action.CANCEL, ghost, "head", {}))
    assert store.dump() == before


def test_of_two_moves_in_one_batch_one_wins(store: Store) -> None:
    job = store.submit()
    futures = [
        store.engine.write(lambda tx: jobs.move(tx, Action.CANCEL, job, HEAD.name, {})),
        store.engine.write(lambda tx: jobs.move(tx, Action.BURY, job, LEFT.name, {})),
    ]
    assert futures[0].result(10).status == "cancelled"
    assert isinstance(futures[1].exception(10), Conflict)
    assert store.event_types(job.id) == ["job.created", "job.cancelled"]
