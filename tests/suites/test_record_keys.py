"""Concurrency keys: at most so many of a key's jobs run; the others stand aside, in order, and cost a claim nothing."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.suites.harness import HEAD, LEFT, LEFT2, RIGHT, Raw, Store

from contract import wire
from contract.errors import InvalidField, NotClaimable
from spine.queue import claim, settle, submit
from spine.queue.access import Caller
from spine.store import listing
from spine.store.engine import Operation, Tx
from spine.store.jobs import JobRow
from spine.store.listing import Filter

READY = Raw("SELECT id FROM jobs WHERE status = 'queued' AND ready = 1 ORDER BY seq")


def keyed(store: Store, limit: int = 1, **fields: Any) -> str:
    return store.submit(concurrencyKey="k", concurrencyLimit=limit, **fields).id


def ready(store: Store) -> list[str]:
    return store.read(lambda tx: [row[0] for row in tx.rows(READY)])


def running(store: Store) -> list[str]:
    return store.read(lambda tx: [row.id for row in listing.matching(tx, Filter(("running",)), None, 0, 100)])


def test_one_at_a_time_oldest_first(store: Store) -> None:
    made = [keyed(store) for _ in range(3)]
    for job_id in made:
        assert [row.id for row in store.take(most=10)] == [job_id]
        assert store.take(RIGHT, most=10) == []
        store.complete(job_id, 1)
    assert store.take() == []


def test_the_limit_is_one_where_none_is_given(store: Store) -> None:
    assert store.submit(concurrencyKey="k").concurrency_limit == 1


def test_as_many_as_the_limit(store: Store) -> None:
    made = [keyed(store, 3) for _ in range(5)]
    assert [row.id for row in store.take(most=10)] == made[:3]
    store.complete(made[1], 1)
    assert [row.id for row in store.take(most=10)] == made[3:4]


def test_a_limit_needs_a_key(store: Store) -> None:
    with pytest.raises(InvalidField) as refused:
        store.submit(concurrencyLimit=2)
    assert refused.value.members["field"] == "concurrencyLimit"


@pytest.mark.parametrize("fields", [{"concurrencyLimit": 0}, {"concurrencyLimit": 10_001}, {"concurrencyKey": ""}])
def test_values_out_of_bounds(store: Store, fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        store.submit(**({"concurrencyKey": "k"} | fields))


def test_keys_do_not_meddle_with_each_other(store: Store) -> None:
    one, other, none = keyed(store), store.submit(concurrencyKey="other").id, store.submit().id
    assert [row.id for row in store.take(most=10)] == [one, other, none]


@pytest.mark.parametrize("end", ["complete", "fail", "fail for good", "release", "cancel", "expire", "adopt"])
def test_whatever_ends_a_run_frees_its_slot(store: Store, end: str) -> None:
    first, second = keyed(store, priority=-1), keyed(store, priority=-2)
    if end == "adopt":
        store.claim(first)
        store.clock.advance(300)
        store.reap()
        store.claim(first)
        with pytest.raises(Exception, match="newest"):
            store.complete(first, 1)
    else:
        store.claim(first)
    fence = store.job(first).fence
    assert store.take(RIGHT) == []
    match end:
        case "complete":
            store.complete(first, fence)
        case "fail":
            store.fail(first, fence)
        case "fail for good":
            store.fail(first, fence, requeue=False)
        case "release":
            store.release(first, fence)
        case "cancel":
            store.cancel(first)
        case "expire":
            store.clock.advance(300)
            store.reap()
        case "adopt":
            store.adopt(first, 1)
    back = store.job(first).status == "queued"
    assert back == (end in ("fail", "release", "expire"))
    assert ready(store) == [first if back else second]
    assert [row.id for row in store.take(LEFT, most=10)] == [first if back else second]


def test_a_job_that_ends_in_the_queue_makes_way(store: Store) -> None:
    first, second = keyed(store), keyed(store)
    store.cancel(first)
    assert ready(store) == [second]


def test_a_better_one_displaces_a_worse_one(store: Store) -> None:
    low = keyed(store)
    high = keyed(store, priority=5)
    assert ready(store) == [high]
    assert [row.id for row in store.take(most=10)] == [high]
    store.complete(high, 1)
    assert [row.id for row in store.take(most=10)] == [low]


def test_a_retried_job_takes_its_old_place(store: Store) -> None:
    first = keyed(store)
    store.cancel(first)
    second = keyed(store)
    assert ready(store) == [second]
    store.retry(first)
    assert ready(store) == [first]


def test_the_limit_is_that_of_the_job_being_claimed(store: Store) -> None:
    narrow = keyed(store, 1)
    wide = [keyed(store, 2) for _ in range(2)]
    assert [row.id for row in store.take(most=10)] == [narrow, wide[0]]
    assert store.take() == []
    store.complete(wide[0], 1)
    assert [row.id for row in store.take()] == [wide[1]]


def test_a_narrow_job_waits_until_all_wide_ones_are_over(store: Store) -> None:
    wide = [keyed(store, 2) for _ in range(2)]
    narrow = keyed(store, 1, priority=9)
    store.claim(wide[0])
    store.claim(wide[1])
    store.complete(wide[0], 1)
    assert store.take() == []
    with pytest.raises(NotClaimable):
        store.claim(narrow)
    store.complete(wide[1], 1)
    assert [row.id for row in store.take()] == [narrow]


def test_a_lease_that_is_over_still_holds_its_slot(store: Store) -> None:
    first, second = keyed(store), keyed(store)
    store.claim(first)
    store.clock.advance(1000)
    assert store.take(RIGHT, most=10) == store.take(LEFT2, most=10) == []
    with pytest.raises(NotClaimable) as refused:
        store.claim(second)
    assert refused.value.members["reasons"] == [
        {"code": "concurrency", "message": f"all 1 slot(s) of 'k' are taken by {first}", "jobs": [first]}
    ]
    store.reap()
    assert [row.id for row in store.take()] == [first]


def test_two_claims_of_the_last_slot(store: Store) -> None:
    made = [keyed(store, 2) for _ in range(4)]
    store.claim(made[0])
    targets = claim.targets_of(LEFT, None)

    def claiming(who: Caller) -> Operation[list[JobRow]]:
        return lambda tx: claim.claim_next(tx, store.rules, who, targets, frozenset(), 5)

    futures = [store.engine.write(claiming(who)) for who in (LEFT, LEFT2)]
    taken = [row.id for future in futures for row in future.result(10)]
    assert taken == [made[1]]
    assert running(store) == made[:2]


def test_one_claim_of_many_counts_what_it_takes_itself(store: Store) -> None:
    made = [keyed(store, 2, priority=n) for n in range(5)]
    assert [row.id for row in store.take(most=100)] == [made[4], made[3]]


def test_a_claim_by_id_of_one_that_stands_aside(store: Store) -> None:
    first, second = keyed(store), keyed(store)
    assert store.claim(second).status == "running"
    assert store.take() == []
    store.complete(second, 1)
    assert [row.id for row in store.take()] == [first]


def test_a_job_that_nobody_can_take_does_not_stand_in_the_way(store: Store) -> None:
    keyed(store, requires=["gpu"], priority=9)
    keyed(store, target="right-claw", priority=8)
    able = keyed(store)
    assert [row.id for row in store.take(LEFT)] == [able]
    assert store.take(RIGHT) == []
    assert store.take(LEFT2, capabilities=("gpu",)) == []
    store.complete(able, 1)
    assert len(store.take(RIGHT)) == 1


def test_a_narrow_job_that_lost_its_place_gives_it_to_a_wide_one(store: Store) -> None:
    keyed(store, 1, priority=9)
    wide = [keyed(store, 2) for _ in range(2)]
    store.claim(wide[0])  # by its id, past the narrow one, which now has to wait for both
    assert [row.id for row in store.take()] == [wide[1]]


def test_a_waiting_job_takes_no_place(store: Store) -> None:
    keyed(store, delaySeconds=10, priority=9)
    now = keyed(store)
    assert [row.id for row in store.take(most=9)] == [now]
    store.clock.advance(10)
    store.reap()
    assert store.take() == []


def test_those_who_wait_are_told_when_a_slot_frees(store: Store) -> None:
    first, second = keyed(store), keyed(store)
    store.claim(first)
    store.signals.lanes.clear()
    store.complete(first, 1)
    assert store.signals.lanes == {store.job(second).lane: 1}


# --- what they cost --------------------------------------------------------------------------------------------------


def steps_of(store: Store, verb: Callable[[Tx], object]) -> int:
    """Return how many hundreds of steps of SQLite's machine an operation takes."""
    count = [0]

    def step() -> int:
        count[0] += 1
        return 0

    def counted(tx: Tx) -> None:
        connection = tx._execute.__self__
        connection.set_progress_handler(step, 100)
        try:
            verb(tx)
        finally:
            connection.set_progress_handler(None, 0)

    store.write(counted)
    return count[0]


def behind(store: Store, count: int, **fields: Any) -> None:
    """Put so many jobs behind a key, in one transaction."""
    store.submit_all(*[{"concurrencyKey": "k", **fields}] * count)


def costs(store: Store, slots: int) -> list[int]:
    """Return the steps of a claim that finds nothing, a submit, the end of a run and the claim of the next one."""
    targets = claim.targets_of(RIGHT, None)
    (holder, *_) = running(store)

    def take(tx: Tx) -> object:
        return claim.claim_next(tx, store.rules, RIGHT, targets, frozenset(), 1)

    request = wire.Submit(target="any", concurrency_key="k", concurrency_limit=slots)
    return [
        steps_of(store, take),
        steps_of(store, lambda tx: submit.submit(tx, store.rules, HEAD, request)),
        steps_of(store, lambda tx: settle.complete(tx, HEAD, holder, None, None)),
        steps_of(store, take),
    ]


@pytest.mark.parametrize("driver", ["sqlite"], indirect=True)  # whose steps can be counted
def test_ten_thousand_behind_a_full_key_cost_nothing(store: Store) -> None:
    for _ in range(3):
        store.claim(keyed(store, 3, target="any"))
    behind(store, 10, target="any", concurrencyLimit=3)
    few = costs(store, 3)
    store.claim(ready(store)[0]) if len(running(store)) < 3 else None
    behind(store, 5_000, target="any", concurrencyLimit=3)
    behind(store, 5_000, target="any", concurrencyLimit=1, priority=9)  # these wait until all three are over
    many = costs(store, 3)
    assert all(b <= 2 * a + 20 for a, b in zip(few, many, strict=True)), (few, many)
