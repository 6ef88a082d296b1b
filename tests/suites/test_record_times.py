"""When a job may begin and how long an attempt may run: notBefore, delaySeconds, timeoutSeconds, backoff."""

import time
from typing import Any

import pytest
from tests.suites.harness import LEFT, Raw, Store
from tests.suites.manual_clock import START_MS

from contract.errors import InvalidField, NotClaimable, NotRunning

RAW_ATTEMPTS = Raw("UPDATE jobs SET attempts = 999")

AT_START = "2023-11-14T22:13:20.000Z"
TEN_SECONDS_LATER = "2023-11-14T22:13:30.000Z"


def test_not_before_holds_a_job_until_its_moment(store: Store) -> None:
    job = store.submit(notBefore=TEN_SECONDS_LATER)
    assert (job.status, job.not_before, job.wake_at) == ("waiting", START_MS + 10_000, START_MS + 10_000)
    store.clock.advance(9.999)
    assert store.reap() == (0, START_MS + 10_000)
    assert store.take() == []
    assert store.why(job.id)[0] == ("time", [])
    store.clock.advance(0.001)
    store.reap()
    assert (store.job(job.id).status, store.job(job.id).wake_at) == ("queued", None)
    assert [row.id for row in store.take()] == [job.id]
    assert store.event_types(job.id) == ["job.created", "job.ready", "job.claimed"]


def test_a_delay_counts_from_the_submit(store: Store) -> None:
    job = store.submit(delaySeconds=10)
    assert (job.status, job.not_before) == ("waiting", START_MS + 10_000)
    store.clock.advance(10)
    store.reap()
    assert store.job(job.id).status == "queued"


@pytest.mark.parametrize(
    "fields", [{"notBefore": AT_START}, {"delaySeconds": 0}, {"notBefore": "1999-01-01T00:00:00Z"}]
)
def test_a_moment_that_is_over_holds_nothing(store: Store, fields: dict[str, Any]) -> None:
    assert store.submit(**fields).status == "queued"


def test_a_moment_in_another_zone(store: Store) -> None:
    assert store.submit(notBefore="2023-11-15T03:43:30+05:30").not_before == START_MS + 10_000


def test_a_moment_and_a_delay_are_one_too_many(store: Store) -> None:
    before = store.dump()
    with pytest.raises(InvalidField) as refused:
        store.submit(notBefore=TEN_SECONDS_LATER, delaySeconds=1)
    assert refused.value.members["field"] == "delaySeconds"
    assert store.dump() == before


@pytest.mark.parametrize("moment", ["tomorrow", "2030-01-01T00:00:00", "0001-01-01T00:00:00+14:00", ""])
def test_a_moment_that_is_none(store: Store, moment: str) -> None:
    with pytest.raises(InvalidField) as refused:
        store.submit(notBefore=moment)
    assert refused.value.members["field"] == "notBefore"


def test_a_claim_by_id_does_not_come_before_the_moment(store: Store) -> None:
    job = store.submit(delaySeconds=10)
    with pytest.raises(NotClaimable) as refused:
        store.claim(job.id)
    assert [reason["code"] for reason in refused.value.members["reasons"]] == ["time"]
    assert store.job(job.id).status == "waiting"


# --- how long an attempt may run -------------------------------------------------------------------------------------

GRACE = 30  # seconds that a claw has to stop the process and report


def test_no_lease_goes_past_the_deadline(store: Store) -> None:
    job = store.submit(timeoutSeconds=60)
    claimed = store.claim(job.id)
    assert claimed.lease_until == START_MS + (60 + GRACE) * 1000
    store.clock.advance(50)
    assert store.beat(job.id, 1).lease_until == START_MS + (60 + GRACE) * 1000
    store.clock.advance(60 + GRACE - 50)
    assert store.reap()[0] == 1
    assert store.job(job.id).status == "queued"


def test_a_long_timeout_leaves_the_lease_as_it_is(store: Store) -> None:
    job = store.submit(timeoutSeconds=10_000)
    assert store.claim(job.id).lease_until == START_MS + 300_000


def test_the_deadline_is_each_attempts_own(store: Store) -> None:
    job = store.submit(timeoutSeconds=60)
    store.claim(job.id)
    store.clock.advance(80)
    store.release(job.id, 1)
    assert store.claim(job.id).lease_until == START_MS + (80 + 60 + GRACE) * 1000


def test_a_short_timeout_bounds_even_the_accept_lease(store: Store) -> None:
    store.submit(timeoutSeconds=1)
    (job,) = store.take()
    assert job.lease_until == START_MS + 15_000
    assert store.beat(job.id, 1).lease_until == START_MS + (1 + GRACE) * 1000


# --- when the next attempt may begin ---------------------------------------------------------------------------------


def waits_of(store: Store, retry: dict[str, float], attempts: int) -> list[float]:
    """Fail as often; return the seconds that each next attempt had to wait."""
    job = store.submit(maxAttempts=attempts + 1, retry=retry)
    waits = []
    for fence in range(1, attempts + 1):
        store.claim(job.id)
        failed = store.fail(job.id, fence)
        assert failed.status == "waiting"
        assert failed.wake_at is not None
        wait = (failed.wake_at - store.clock.now()) / 1000
        store.clock.advance(wait - 0.001)
        store.reap()
        assert store.job(job.id).status == "waiting"
        store.clock.advance(0.001)
        store.reap()
        assert store.job(job.id).status == "queued"
        waits.append(wait)
    return waits


def test_a_backoff_doubles_up_to_its_cap(store: Store) -> None:
    assert waits_of(store, {"backoffSeconds": 10, "maxSeconds": 60}, 5) == [10, 20, 40, 60, 60]


def test_a_factor_of_its_own(store: Store) -> None:
    assert waits_of(store, {"backoffSeconds": 0.5, "factor": 3}, 4) == [0.5, 1.5, 4.5, 13.5]


def test_a_factor_of_one_stays(store: Store) -> None:
    assert waits_of(store, {"backoffSeconds": 7, "factor": 1}, 3) == [7, 7, 7]


def test_a_cap_below_the_first_wait(store: Store) -> None:
    assert waits_of(store, {"backoffSeconds": 100, "maxSeconds": 5}, 2) == [5, 5]


def test_a_thousand_attempts_overflow_nothing(store: Store) -> None:
    job = store.submit(maxAttempts=1000, retry={"backoffSeconds": 86_400, "factor": 100, "maxSeconds": 604_800})
    store.claim(job.id)
    store.write(lambda tx: tx.run(RAW_ATTEMPTS))
    assert store.fail(job.id, 1).wake_at == START_MS + 604_800_000


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def test_a_backoff_knows_no_zone_of_the_host(store: Store, monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    with monkeypatch.context() as host:
        host.setenv("TZ", zone)
        time.tzset()
        job = store.submit(retry={"backoffSeconds": 30})
        failed = store.fail(job.id, store.claim(job.id).fence)
        assert (failed.status, failed.wake_at) == ("waiting", store.clock.now() + 30_000)
        store.clock.advance(29.999)
        assert store.take() == []
        store.clock.advance(0.001)
        store.reap()
        assert [row.id for row in store.take()] == [job.id]
    time.tzset()


def test_without_retry_the_next_attempt_is_at_once(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    assert (store.fail(job.id, 1).status, store.job(job.id).wake_at) == ("queued", None)


def test_a_lease_that_ends_backs_off_too(store: Store) -> None:
    job = store.submit(retry={"backoffSeconds": 20})
    store.claim(job.id)
    store.clock.advance(300)
    store.reap()
    waiting = store.job(job.id)
    assert (waiting.status, waiting.wake_at, waiting.claimed_by) == ("waiting", START_MS + 320_000, None)
    assert store.why(job.id)[0][0] == "backoff"
    assert store.event_types(job.id) == ["job.created", "job.claimed", "job.expired"]


def test_a_claim_that_nobody_confirmed_does_not_back_off(store: Store) -> None:
    job = store.submit(retry={"backoffSeconds": 20})
    store.take()
    store.clock.advance(15)
    store.reap()
    assert (store.job(job.id).status, store.job(job.id).attempts) == ("queued", 0)


def test_the_last_failure_is_the_end_whatever_the_backoff(store: Store) -> None:
    job = store.submit(maxAttempts=1, retry={"backoffSeconds": 20})
    store.claim(job.id)
    assert store.fail(job.id, 1).status == "dead"


def test_a_failure_that_asks_for_no_other_attempt_is_the_end(store: Store) -> None:
    job = store.submit(retry={"backoffSeconds": 20})
    store.claim(job.id)
    assert store.fail(job.id, 1, requeue=False).status == "failed"


def test_the_newest_fence_does_not_complete_a_job_that_backs_off(store: Store) -> None:
    job = store.submit(retry={"backoffSeconds": 20})
    store.claim(job.id, LEFT)
    store.fail(job.id, 1)
    with pytest.raises(NotRunning) as refused:
        store.complete(job.id, 1)
    assert refused.value.members["lateResult"] == "kept"
    assert store.job(job.id).status == "waiting"
