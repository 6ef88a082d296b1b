"""What the cause of a failure does: another attempt or none, when, and whether this one counts."""

from typing import Any

import msgspec
import pytest
from tests.suites.harness import LEFT, Store
from tests.suites.manual_clock import START_MS

from contract import wire
from contract.errors import InvalidField
from spine.queue.causes import Wish, wish_of

LATER = START_MS + 600_000
YEAR_9999 = 253_402_300_799_000


def failed(store: Store, wish: Wish, requeue: bool = True, **fields: Any) -> Any:
    """Claim and fail a job; return it."""
    job = store.submit(**fields)
    store.claim(job.id)
    return store.fail(job.id, 1, error="said", requeue=requeue, wish=wish)


CASES: list[tuple[dict[str, Any], bool, dict[str, Any], tuple[str, int, int | None]]] = [
    # wish, requeue, fields of the job | status, attempts, seconds from now that it waits
    ({}, True, {}, ("queued", 1, None)),
    ({"cause": "transient"}, True, {}, ("queued", 1, None)),
    ({"cause": "transient"}, True, {"retry": {"backoffSeconds": 7}}, ("waiting", 1, 7)),
    ({"cause": "transient", "after_ms": 5000}, True, {"retry": {"backoffSeconds": 7}}, ("waiting", 1, 7)),
    ({"cause": "transient", "after_ms": 9000}, True, {"retry": {"backoffSeconds": 7}}, ("waiting", 1, 9)),
    ({"after_ms": 9000}, True, {}, ("waiting", 1, 9)),
    ({"not_before": LATER}, True, {}, ("waiting", 1, 600)),
    ({"not_before": START_MS}, True, {}, ("queued", 1, None)),
    ({"cause": "transient"}, False, {}, ("failed", 1, None)),
    ({"cause": "transient"}, True, {"maxAttempts": 1}, ("dead", 1, None)),
    ({"cause": "permanent"}, True, {}, ("failed", 1, None)),
    ({"cause": "permanent"}, False, {}, ("failed", 1, None)),
    ({"cause": "permanent"}, True, {"maxAttempts": 1}, ("dead", 1, None)),
    ({"cause": "overload", "not_before": LATER}, True, {}, ("waiting", 0, 600)),
    ({"cause": "overload", "after_ms": 9000}, True, {"retry": {"backoffSeconds": 70}}, ("waiting", 0, 9)),
    ({"cause": "overload", "not_before": LATER}, True, {"maxAttempts": 1}, ("waiting", 0, 600)),
    ({"cause": "overload"}, False, {}, ("failed", 1, None)),
    ({"not_before": YEAR_9999}, True, {}, ("waiting", 1, 31 * 86_400)),
    ({"cause": "overload", "after_ms": 31_536_000_000}, True, {}, ("waiting", 0, 31 * 86_400)),
]


@pytest.mark.parametrize(("wish", "requeue", "fields", "expected"), CASES)
def test_each_cause(
    store: Store,
    wish: dict[str, Any],
    requeue: bool,
    fields: dict[str, Any],
    expected: tuple[str, int, int | None],
) -> None:
    job = failed(store, Wish(**wish), requeue, **fields)
    waits = None if job.wake_at is None else (job.wake_at - START_MS) // 1000
    assert (job.status, job.attempts, waits) == expected
    assert job == store.job(job.id)
    (attempt,) = store.attempts(job.id)
    assert (attempt.outcome, attempt.error, attempt.cause) == ("failed", "said", wish.get("cause"))


def test_an_overload_tells_until_when_and_lets_nobody_claim_before(store: Store) -> None:
    job = failed(store, Wish("overload", LATER))
    event = store.events(job.id)[-1]
    assert event.type == "job.failed"
    assert event.data == (
        '{"requeued":true,"attempt":1,"error":"said","fence":1,"cause":"overload",'
        '"notBefore":"2023-11-14T22:23:20.000Z","counted":false}'
    )
    assert store.why(job.id)[0] == ("overload", [])
    store.clock.advance(599.999)
    store.reap()
    assert store.take() == []
    store.clock.advance(0.001)
    store.reap()
    (claimed,) = store.take()
    assert (claimed.attempts, claimed.fence) == (1, 2)


def test_without_a_time_an_overload_waits_longer_each_time_and_never_in_step(store: Store) -> None:
    job = store.submit()
    for base in (30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600):
        fence = store.claim(job.id).fence
        over = store.fail(job.id, fence, wish=Wish("overload"))
        assert (over.status, over.attempts) == ("waiting", 0)
        assert over.wake_at is not None
        assert 0.75 * base <= (over.wake_at - store.clock.now()) / 1000 <= 1.25 * base
        store.clock.advance(1.25 * base)
        store.reap()
    store.claim(job.id)
    counted = store.fail(job.id, 11, wish=Wish("overload"))
    assert (counted.status, counted.attempts) == ("queued", 1)


def test_a_new_round_forgives_anew(store: Store) -> None:
    job = store.submit(maxAttempts=1)
    for fence in range(1, 11):
        store.claim(job.id)
        store.fail(job.id, fence, wish=Wish("overload", after_ms=1))
        store.clock.advance(0.001)
        store.reap()
    store.claim(job.id)
    assert store.fail(job.id, 11, wish=Wish("overload")).status == "dead"
    store.retry(job.id)
    store.claim(job.id)
    assert store.fail(job.id, 12, wish=Wish("overload")).status == "waiting"


def test_a_repeat_of_an_overload_gives_back_one_attempt_only(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    store.fail(job.id, 1, wish=Wish("overload", LATER))
    before = store.dump()
    assert store.fail(job.id, 1, wish=Wish("overload", LATER)).attempts == 0
    assert store.dump() == before


def test_an_overload_after_the_lease_has_ended_is_only_noted(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    store.clock.advance(300)
    store.reap()
    late = store.fail(job.id, 1, error="529", wish=Wish("overload", LATER))
    assert (late.status, late.attempts, late.error) == ("queued", 1, "529")


def test_a_release_may_name_a_time(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    back = store.release(job.id, 1, reason="full", count_attempt=False, wish=Wish(not_before=LATER))
    assert (back.status, back.attempts, back.wake_at, back.claimed_by) == ("waiting", 0, LATER, None)
    event = store.events(job.id)[-1]
    assert event.type == "job.released"
    assert event.data == '{"reason":"full","fence":1,"notBefore":"2023-11-14T22:23:20.000Z"}'
    assert store.release(job.id, 1, wish=Wish(not_before=LATER)) == back  # a repeat
    store.clock.advance(600)
    store.reap()
    assert store.job(job.id).status == "queued"


def test_a_release_for_a_time_that_is_over_goes_back_at_once(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    assert store.release(job.id, 1, LEFT, wish=Wish(not_before=START_MS)).status == "queued"


def test_a_release_puts_a_job_away_for_a_month_at_most(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    back = store.release(job.id, 1, LEFT, wish=Wish(not_before=YEAR_9999))
    assert (back.status, back.wake_at) == ("waiting", START_MS + 31 * 86_400_000)
    assert store.events(job.id)[-1].data == '{"reason":null,"fence":1,"notBefore":"2023-12-15T22:13:20.000Z"}'


BAD: list[tuple[dict[str, Any], str]] = [
    ({"notBefore": "tomorrow"}, "notBefore"),
    ({"notBefore": "2030-01-01T00:00:00"}, "notBefore"),
    ({"notBefore": "2030-01-01T00:00:00Z", "retryAfterSeconds": 1}, "retryAfterSeconds"),
    ({"cause": "permanent", "requeue": True}, "requeue"),
]


@pytest.mark.parametrize(("body", "field"), BAD)
def test_what_contradicts_itself_is_refused(body: dict[str, Any], field: str) -> None:
    request = msgspec.json.decode(msgspec.json.encode(body), type=wire.Fail)
    with pytest.raises(InvalidField) as refused:
        wish_of(request)
    assert refused.value.members["field"] == field
