"""Complete, fail, release: v0's arrows."""

import pytest
from tests.suites.harness import HEAD, LEFT, LEFT2, V0_LEFT, Store
from tests.suites.manual_clock import START_MS


def test_complete(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    store.clock.advance(7)
    done = store.complete(job.id, 1, result='{"url": "u"}')
    assert done == store.job(job.id)
    assert (done.status, done.result, done.error, done.lease_until) == ("done", '{"url": "u"}', None, None)
    assert (done.claimed_by, done.worker_id, done.attempts, done.fence) == ("left-claw", "l1", 1, 1)
    assert (done.started_at, done.finished_at) == (START_MS, START_MS + 7000)
    (attempt,) = store.attempts(job.id)
    assert (attempt.outcome, attempt.ended_at, attempt.error) == ("done", START_MS + 7000, None)
    event = store.events(job.id)[-1]
    assert (event.type, event.author, event.data) == ("job.completed", "left-claw", '{"status":"done","fence":1}')


def test_complete_without_a_result_and_by_the_head(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    done = store.complete(job.id, None, HEAD, result=None)
    assert (done.status, done.result, done.claimed_by) == ("done", None, "left-claw")
    assert store.events(job.id)[-1].author == "head"


def test_complete_clears_the_error_of_an_attempt_before(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    assert store.fail(job.id, 1, error="flaky").error == "flaky"
    assert store.claim(job.id).error == "flaky"
    assert store.complete(job.id, 2).error is None
    assert [a.error for a in store.attempts(job.id)] == ["flaky", None]


def test_fail_puts_it_back(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    back = store.fail(job.id, 1, error="flaky")
    assert back == store.job(job.id)
    assert (back.status, back.error, back.attempts) == ("queued", "flaky", 1)
    assert (back.claimed_by, back.worker_id, back.lease_until, back.finished_at) == (None, None, None, None)
    (attempt,) = store.attempts(job.id)
    assert (attempt.outcome, attempt.error) == ("failed", "flaky")
    event = store.events(job.id)[-1]
    assert event.type == "job.failed"
    assert event.data == '{"requeued":true,"attempt":1,"error":"flaky","fence":1}'
    assert store.signals.lanes == {job.lane: 2}


def test_fail_for_good(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    failed = store.fail(job.id, 1, error="never", requeue=False)
    assert (failed.status, failed.error, failed.finished_at) == ("failed", "never", START_MS)
    assert failed.claimed_by == "left-claw"
    assert store.events(job.id)[-1].data == '{"requeued":false,"attempt":1,"error":"never","fence":1}'
    assert store.take() == []


@pytest.mark.parametrize("requeue", [True, False])
def test_fail_with_no_attempt_left(store: Store, requeue: bool) -> None:
    job = store.submit(maxAttempts=2)
    store.claim(job.id)
    store.fail(job.id, 1)
    store.claim(job.id)
    dead = store.fail(job.id, 2, error="again", requeue=requeue)
    assert (dead.status, dead.error, dead.attempts) == ("dead", "again", 2)
    event = store.events(job.id)[-1]
    assert event.type == "job.dead"
    assert event.data == '{"reason":"max_attempts","attempts":2,"error":"again","fence":2}'
    assert [a.outcome for a in store.attempts(job.id)] == ["failed", "failed"]


def test_fail_without_a_reason(store: Store) -> None:
    job = store.submit()
    store.claim(job.id, V0_LEFT)
    assert store.fail(job.id, None, V0_LEFT, error=None).error is None


def test_release_counts_the_attempt(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    back = store.release(job.id, 1, reason="going home")
    assert back == store.job(job.id)
    assert (back.status, back.attempts, back.release_reason, back.error) == ("queued", 1, "going home", None)
    assert (back.claimed_by, back.worker_id, back.lease_until) == (None, None, None)
    (attempt,) = store.attempts(job.id)
    assert (attempt.outcome, attempt.error) == ("released", "going home")
    assert store.events(job.id)[-1].data == '{"reason":"going home","fence":1}'


def test_release_gives_the_attempt_back(store: Store) -> None:
    job = store.submit(maxAttempts=1)
    for fence in (1, 2, 3):
        store.claim(job.id)
        assert store.release(job.id, fence, count_attempt=False).attempts == 0
    assert store.claim(job.id).attempts == 1


def test_release_without_a_reason_keeps_the_one_before(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    store.release(job.id, 1, reason="first")
    store.claim(job.id)
    assert store.release(job.id, 2).release_reason == "first"


def test_the_place_of_a_job_that_comes_back(store: Store) -> None:
    first, second = store.submit(), store.submit()
    store.claim(first.id)
    store.release(first.id, 1)
    assert [job.id for job in store.take(most=2)] == [first.id, second.id]


def test_a_life(store: Store) -> None:
    job = store.submit(maxAttempts=4)
    store.claim(job.id, LEFT)
    store.fail(job.id, 1)
    store.claim(job.id, LEFT2)
    store.release(job.id, 2, LEFT2, count_attempt=False)
    store.take(LEFT)
    store.clock.advance(15)
    store.reap()
    store.claim(job.id, V0_LEFT)
    store.clock.advance(300)
    store.claim(job.id, LEFT)
    store.complete(job.id, 5)
    assert store.event_types(job.id) == [
        "job.created",
        "job.claimed",
        "job.failed",
        "job.claimed",
        "job.released",
        "job.claimed",
        "job.expired",
        "job.claimed",
        "job.expired",
        "job.claimed",
        "job.completed",
    ]
    assert [(a.fence, a.attempt, a.outcome) for a in store.attempts(job.id)] == [
        (1, 1, "failed"),
        (2, 2, "released"),
        (3, 2, "unaccepted"),
        (4, 2, "expired"),
        (5, 3, "done"),
    ]


def test_what_comes_with_a_failure_stays_where_the_job_ends(store: Store) -> None:
    job = store.submit(maxAttempts=2)
    store.claim(job.id)
    assert store.fail(job.id, 1, requeue=True, result='{"n":1}').result is None
    store.claim(job.id)
    ended = store.fail(job.id, 2, requeue=False, result='{"n":2}')
    assert (ended.status, ended.error, ended.result) == ("dead", "broke", '{"n":2}')
