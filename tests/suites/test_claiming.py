"""Claiming: order, lanes, capabilities, burial, and claims by id."""

import pytest
from tests.suites.harness import ACCEPT_SECONDS, HEAD, LEASE_SECONDS, LEFT, LEFT2, RIGHT, V0_LEFT, Store
from tests.suites.manual_clock import START_MS

from contract.errors import (
    AlreadyClaimed,
    Forbidden,
    InvalidField,
    MaxAttemptsReached,
    NotClaimable,
    NotFound,
    TerminalStatus,
    Unauthorized,
)
from contract.states import Action
from spine.queue import claim
from spine.queue.access import Caller
from spine.store import jobs
from spine.store.engine import Operation


def ids(rows: list[jobs.JobRow]) -> list[str]:
    return [row.id for row in rows]


def test_higher_priority_first_then_older(store: Store) -> None:
    low = store.submit(priority=-1)
    old = store.submit()
    new = store.submit(target="any")
    high = store.submit(target="any", priority=5)
    middle = store.submit(priority=1, requires=["git"])
    assert ids(store.take(most=10, capabilities=("git",))) == ids([high, middle, old, new, low])


def test_one_by_one_gives_the_same_order(store: Store) -> None:
    made = [store.submit(priority=p, target=t) for p, t in [(0, "any"), (1, "left-claw"), (0, "left-claw"), (1, "any")]]
    taken = [store.take()[0].id for _ in made]
    assert taken == ids([made[1], made[3], made[0], made[2]])
    assert store.take() == []


def test_a_claw_gets_only_its_own_and_any(store: Store) -> None:
    left, right, both = store.submit(), store.submit(target="right-claw"), store.submit(target="any")
    assert ids(store.take(RIGHT, most=10)) == [right.id, both.id]
    assert ids(store.take(LEFT, most=10)) == [left.id]


def test_targets_narrow(store: Store) -> None:
    own = store.submit()
    store.submit(target="any")
    assert claim.targets_of(LEFT, ["left-claw"]) == {"left-claw"}
    targets = claim.targets_of(LEFT, ["left-claw"])
    taken = store.write(lambda tx: claim.claim_next(tx, store.rules, LEFT, targets, frozenset(), 10))
    assert ids(taken) == [own.id]
    with pytest.raises(InvalidField):
        claim.targets_of(LEFT, ["any", "right-claw"])


def test_capabilities_must_all_be_there(store: Store) -> None:
    plain = store.submit()
    git = store.submit(requires=["git"])
    both = store.submit(requires=["shell", "git"], priority=9)
    assert ids(store.take(most=10)) == [plain.id]
    assert ids(store.take(most=10, capabilities=("shell",))) == []
    assert ids(store.take(most=10, capabilities=("git", "gpu"))) == [git.id]
    assert ids(store.take(most=10, capabilities=("shell", "git", "gpu"))) == [both.id]


def test_what_a_claim_does(store: Store) -> None:
    job = store.submit()
    store.clock.advance(2)
    (taken,) = store.take()
    assert taken == store.job(job.id)
    assert (taken.status, taken.claimed_by, taken.worker_id, taken.machine) == (
        "running",
        "left-claw",
        "l1",
        "left-claw",
    )
    assert (taken.fence, taken.attempts, taken.version, taken.accepted) == (1, 1, 2, 0)
    assert taken.started_at == START_MS + 2000
    assert taken.lease_until == START_MS + 2000 + ACCEPT_SECONDS * 1000
    (attempt,) = store.attempts(job.id)
    assert (attempt.fence, attempt.round, attempt.attempt, attempt.outcome) == (1, 1, 1, "running")
    assert (attempt.claimed_by, attempt.worker_id, attempt.started_at, attempt.ended_at) == (
        "left-claw",
        "l1",
        START_MS + 2000,
        None,
    )
    assert store.events(job.id)[-1].data == (
        '{"leaseUntil":"2023-11-14T22:13:37.000Z","attempt":1,"fence":1,"workerId":"l1"}'
    )
    assert store.signals.deadline == taken.lease_until


def test_nothing_changes_when_nothing_is_there(store: Store) -> None:
    store.submit(target="right-claw")
    store.submit(requires=["gpu"])
    assert store.take(most=100) == []  # the machine has been heard of now
    before = store.dump()
    assert store.take(most=100) == []
    assert store.dump() == before


def test_each_claim_raises_the_fence(store: Store) -> None:
    job = store.submit(maxAttempts=10)
    for fence in range(1, 6):
        claimed = store.take_one()
        assert (claimed.id, claimed.fence) == (job.id, fence)
        store.release(job.id, fence)
    assert [a.fence for a in store.attempts(job.id)] == [1, 2, 3, 4, 5]


def test_no_job_is_given_twice(store: Store) -> None:
    made = {store.submit(target="any").id for _ in range(20)}

    def claiming(who: Caller) -> Operation[list[jobs.JobRow]]:
        targets = frozenset({who.name, "any"})
        return lambda tx: claim.claim_next(tx, store.rules, who, targets, frozenset(), 3)

    futures = [store.engine.write(claiming(who)) for _ in range(5) for who in (LEFT, RIGHT)]
    taken = [row.id for future in futures for row in future.result(10)]
    assert len(taken) == 20
    assert set(taken) == made


def test_exhausted_jobs_are_buried_on_the_way(store: Store) -> None:
    spent = [store.submit(maxAttempts=1, priority=1) for _ in range(3)]
    for job in spent:
        store.claim(job.id)
        store.release(job.id, 1)
    good = store.submit()
    assert ids(store.take(most=10)) == [good.id]
    for job in spent:
        assert store.job(job.id).status == "dead"
        assert store.events(job.id)[-1].data == '{"reason":"max_attempts","attempts":1,"fence":1}'
        assert store.event_types(job.id) == ["job.created", "job.claimed", "job.released", "job.dead"]


def test_a_claim_that_only_buries_gives_nothing(store: Store) -> None:
    job = store.submit(maxAttempts=1)
    store.claim(job.id)
    store.release(job.id, 1)
    assert store.take() == []
    assert store.job(job.id).status == "dead"


# --- by id -----------------------------------------------------------------------------------------------------------


def test_by_id_gives_a_full_lease(store: Store) -> None:
    job = store.submit()
    claimed = store.claim(job.id, V0_LEFT)
    assert claimed == store.job(job.id)
    assert (claimed.status, claimed.claimed_by, claimed.worker_id) == ("running", "left-claw", None)
    assert (claimed.fence, claimed.attempts, claimed.accepted) == (1, 1, 1)
    assert claimed.lease_until == START_MS + LEASE_SECONDS * 1000


def test_by_id_refused(store: Store) -> None:
    job = store.submit()
    mine = store.submit()
    store.claim(mine.id, LEFT)
    before = store.dump()
    with pytest.raises(Unauthorized):
        store.claim(job.id, HEAD)
    with pytest.raises(Forbidden):
        store.claim(job.id, RIGHT)
    with pytest.raises(NotFound):
        store.claim("nothing", LEFT)
    with pytest.raises(AlreadyClaimed) as refused:
        store.claim(mine.id, LEFT2)
    assert refused.value.members == {
        "claimedBy": "left-claw",
        "leaseUntil": "2023-11-14T22:18:20.000Z",
        "jobId": mine.id,
    }
    assert store.dump() == before


@pytest.mark.parametrize("status", ["done", "failed", "dead", "cancelled"])
def test_by_id_of_an_ended_job(store: Store, status: str) -> None:
    job = store.submit()
    if status == "cancelled":
        store.write(lambda tx: jobs.move(tx, Action.CANCEL, job, "head", {}))
    elif status == "dead":
        store.write(lambda tx: jobs.move(tx, Action.BURY, job, "head", {}))
    else:
        claimed = store.take_one()
        if status == "done":
            store.complete(job.id, claimed.fence)
        else:
            store.fail(job.id, claimed.fence, requeue=False)
    before = store.dump()
    with pytest.raises(TerminalStatus) as refused:
        store.claim(job.id)
    assert refused.value.members == {"status": status, "jobId": job.id}
    assert store.dump() == before


def test_by_id_of_an_exhausted_job_buries_it(store: Store) -> None:
    job = store.submit(maxAttempts=1)
    store.claim(job.id)
    store.release(job.id, 1)
    with pytest.raises(MaxAttemptsReached) as refused:
        store.claim(job.id)
    assert refused.value.members == {"attempts": 1, "maxAttempts": 1, "jobId": job.id}
    assert store.job(job.id).status == "dead"


def test_by_id_of_a_waiting_job(store: Store) -> None:
    job = store.submit()
    claimed = store.take_one()
    soon = claimed.updated_at + 5000
    store.write(lambda tx: jobs.move(tx, Action.FAIL_BACKOFF, claimed, "x", {}, claimed_by=None, wake_at=soon))
    before = store.dump()
    with pytest.raises(NotClaimable) as refused:
        store.claim(job.id)
    assert refused.value.members["reasons"] == [
        {
            "code": "backoff",
            "message": "the last attempt has ended; the next may begin 2023-11-14T22:13:25.000Z",
            "jobs": [],
        }
    ]
    assert store.dump() == before


def test_by_id_without_what_it_requires(store: Store) -> None:
    job = store.submit(requires=["git", "gpu"])
    before = store.dump()
    for has, missing in [(None, "git, gpu"), (frozenset({"git"}), "gpu"), (frozenset({"os:linux"}), "git, gpu")]:
        with pytest.raises(NotClaimable) as refused:
            store.claim(job.id, LEFT, has)
        assert refused.value.members["reasons"] == [
            {"code": "requires", "message": f"it requires {missing}", "jobs": []}
        ]
    assert store.dump() == before
    assert store.claim(job.id, LEFT, frozenset({"git", "gpu", "more"})).status == "running"


def test_by_id_of_one_whose_lease_is_over(store: Store) -> None:
    job = store.submit()
    store.claim(job.id, LEFT)
    store.clock.advance(LEASE_SECONDS)
    claimed = store.claim(job.id, LEFT2)
    assert (claimed.fence, claimed.worker_id, claimed.attempts) == (2, "l2", 2)
    assert store.event_types(job.id) == ["job.created", "job.claimed", "job.expired", "job.claimed"]
    assert [(a.fence, a.outcome) for a in store.attempts(job.id)] == [(1, "expired"), (2, "running")]


def test_by_id_of_one_whose_last_lease_is_over(store: Store) -> None:
    job = store.submit(maxAttempts=1)
    store.claim(job.id)
    store.clock.advance(LEASE_SECONDS)
    with pytest.raises(TerminalStatus) as refused:
        store.claim(job.id)
    assert refused.value.members["status"] == "dead"
    assert store.job(job.id).status == "dead"  # what expiry did stays
