"""Rows that must not be are refused by the database itself, whatever the code above it does."""

import pytest
from tests.suites.harness import Raw, Store

from contract.errors import Internal


@pytest.mark.parametrize(
    "wrong",
    [
        "status = 'asleep'",
        "status = 'running'",
        "status = 'running', lease_until = 5",
        "status = 'running', claimed_by = 'left-claw'",
        "lease_until = 5",
        "status = 'done'",
        "status = 'failed'",
        "status = 'dead'",
        "status = 'cancelled'",
        "finished_at = 5",
        "status = 'waiting', finished_at = 5",
        "status = 'done', finished_at = 5, lease_until = 5",
        "status = NULL",
        "lane = 999",
        "spec = NULL",
        "target = NULL",
        "fence = NULL",
    ],
)
def test_a_job_that_cannot_be(store: Store, wrong: str) -> None:
    store.submit()
    before = store.dump()
    with pytest.raises(Internal):
        store.write(lambda tx: tx.run(Raw(f"UPDATE jobs SET {wrong}")))
    assert store.dump() == before


@pytest.mark.parametrize(
    "row",
    [
        "lanes (target, requires) SELECT target, requires FROM lanes",
        "attempts (job_id, fence, round, attempt, outcome, claimed_by, started_at) "
        "SELECT job_id, fence, round, attempt, outcome, claimed_by, started_at FROM attempts",
        "attempts (job_id, fence, round, attempt, outcome, claimed_by, started_at) "
        "SELECT job_id, 9, round, attempt, 'lost', claimed_by, started_at FROM attempts",
        "attempts (job_id, fence, round, attempt, outcome, claimed_by, started_at) "
        "SELECT 'ghost', 9, round, attempt, outcome, claimed_by, started_at FROM attempts",
        "comments (job_id, at, author, text) VALUES ('ghost', 1, 'head', 'boo')",
        "logs (job_id, fence, size) VALUES ('ghost', 1, 0)",
        "logs (job_id, fence, size) SELECT job_id, fence, size FROM logs",
        "log_chunks (job_id, fence, start, data) SELECT job_id, fence, start, data FROM log_chunks",
        "events (job_id, target, at, type, author, data) VALUES ('x', 'any', NULL, 't', 'a', '{}')",
        "meta (key, value) VALUES ('k', NULL)",
        "meta (key, value) VALUES ('k', '1'), ('k', '2')",
    ],
)
def test_a_row_that_cannot_be_added(store: Store, row: str) -> None:
    job = store.submit()
    claimed = store.take_one()
    store.append(job.id, claimed.fence, 0, b"x")
    before = store.dump()
    with pytest.raises(Internal):
        store.write(lambda tx: tx.run(Raw(f"INSERT INTO {row}")))
    assert store.dump() == before


def test_a_refused_row_takes_nothing_of_its_neighbours(store: Store) -> None:
    job = store.submit()
    bad = store.engine.write(lambda tx: tx.run(Raw("UPDATE jobs SET status = 'asleep'")))
    good = store.engine.write(lambda tx: tx.run(Raw("UPDATE jobs SET label = 'kept'")))
    assert isinstance(bad.exception(10), Internal)
    assert good.result(10) == 1
    assert store.job(job.id).label == "kept"
    assert store.job(job.id).status == "queued"
