"""Fences: when one is sent it decides before ownership and status. Each line of the design is a test here."""

from collections.abc import Callable

import pytest
from tests.suites.harness import HEAD, LEFT, LEFT2, RIGHT, V0_LEFT, Dump, Store
from tests.suites.manual_clock import START_MS

from contract.errors import NotOwner, NotRunning, SpineError, StaleFence
from contract.states import Action
from spine.store import jobs
from spine.store.jobs import JobRow

Verb = Callable[[Store, str, int | None], object]
HARMLESS: dict[str, Verb] = {
    "heartbeat": lambda store, job, fence: store.beat(job, fence, LEFT2, progress='{"x":1}'),
    "log": lambda store, job, fence: store.append(job, fence, 0, b"late", LEFT2),
    "release": lambda store, job, fence: store.release(job, fence, LEFT2, reason="no"),
}
SETTLING: dict[str, Verb] = {
    "complete": lambda store, job, fence: store.complete(job, fence, result='{"url":"u"}'),
    "fail": lambda store, job, fence: store.fail(job, fence, error="late error"),
}


def expired(store: Store, target: str = "left-claw") -> JobRow:
    """Return a job that one claim lost by expiry; nobody has claimed it since."""
    job = store.submit(target=target)
    store.claim(job.id, LEFT)
    store.clock.advance(301)
    store.reap()
    return store.job(job.id)


def claimed_twice(store: Store) -> JobRow:
    """Return a job whose first claim was lost to a second one."""
    return store.claim(expired(store).id, LEFT2)


def without_attempts(dump: Dump) -> Dump:
    return {name: rows for name, rows in dump.items() if name not in ("attempts", "events")}


@pytest.mark.parametrize("verb", HARMLESS)
def test_a_stale_fence_changes_nothing(store: Store, verb: str) -> None:
    job = claimed_twice(store)
    before = store.dump()
    with pytest.raises(StaleFence) as refused:
        HARMLESS[verb](store, job.id, 1)
    assert refused.value.members == {"jobId": job.id, "fence": 2, "status": "running"}
    assert store.dump() == before


@pytest.mark.parametrize("fence", [0, 3, 2**53 - 1])
@pytest.mark.parametrize("verb", [*HARMLESS, *SETTLING])
def test_a_fence_that_was_never_given_changes_nothing(store: Store, verb: str, fence: int) -> None:
    job = claimed_twice(store)
    before = store.dump()
    with pytest.raises(StaleFence) as refused:
        (HARMLESS | SETTLING)[verb](store, job.id, fence)
    assert "lateResult" not in refused.value.members
    assert store.dump() == before


def test_a_stale_completion_is_kept_with_its_attempt(store: Store) -> None:
    job = claimed_twice(store)
    before = store.dump()
    store.clock.advance(9)
    with pytest.raises(StaleFence) as refused:
        store.complete(job.id, 1, result='{"url":"u"}')
    assert refused.value.members == {"jobId": job.id, "fence": 2, "status": "running", "lateResult": "kept"}
    after = store.dump()
    assert without_attempts(after) == without_attempts(before)
    first, second = store.attempts(job.id)
    assert (first.outcome, first.late_result, first.late_error) == ("expired", '{"url":"u"}', None)
    assert first.late_at == store.clock.now()
    assert (second.outcome, second.late_at) == ("running", None)
    assert store.event_types(job.id)[-1] == "job.late_result"
    assert store.complete(job.id, 2, LEFT2, result='"second"').result == '"second"'


def test_a_stale_failure_is_kept_with_its_attempt(store: Store) -> None:
    job = claimed_twice(store)
    with pytest.raises(StaleFence) as refused:
        store.fail(job.id, 1, error="late error")
    assert refused.value.members["lateResult"] == "kept"
    assert store.job(job.id) == job
    first = store.attempts(job.id)[0]
    assert (first.outcome, first.late_result, first.late_error) == ("expired", None, "late error")


@pytest.mark.parametrize("verb", SETTLING)
def test_a_repeated_late_result_changes_nothing(store: Store, verb: str) -> None:
    job = claimed_twice(store)
    with pytest.raises(StaleFence):
        SETTLING[verb](store, job.id, 1)
    before = store.dump()
    store.clock.advance(60)
    with pytest.raises(StaleFence) as refused:
        SETTLING[verb](store, job.id, 1)
    assert refused.value.members["lateResult"] == "kept"
    assert store.dump() == before


def test_a_late_result_is_kept_after_the_end_too(store: Store) -> None:
    job = claimed_twice(store)
    done = store.complete(job.id, 2, LEFT2)
    with pytest.raises(StaleFence) as refused:
        store.complete(job.id, 1, result='"first"')
    assert refused.value.members["lateResult"] == "kept"
    assert store.job(job.id) == done
    assert store.attempts(job.id)[0].late_result == '"first"'


# --- the newest fence after expiry -----------------------------------------------------------------------------------


def test_the_newest_fence_completes_after_expiry_before_another_claim(store: Store) -> None:
    job = expired(store)
    store.clock.advance(50)
    done = store.complete(job.id, 1, result='{"url":"u"}')
    assert done == store.job(job.id)
    assert (done.status, done.result, done.error, done.fence) == ("done", '{"url":"u"}', None, 1)
    assert (done.claimed_by, done.worker_id) == ("left-claw", "l1")
    assert done.finished_at == START_MS + 351_000
    (attempt,) = store.attempts(job.id)
    assert (attempt.outcome, attempt.late_at) == ("done", None)
    assert store.event_types(job.id) == ["job.created", "job.claimed", "job.expired", "job.completed"]
    assert store.take() == []


def test_the_newest_fence_fails_for_good_after_expiry(store: Store) -> None:
    job = expired(store)
    failed = store.fail(job.id, 1, error="no use", requeue=False)
    assert failed == store.job(job.id)
    assert (failed.status, failed.error, failed.claimed_by) == ("failed", "no use", "left-claw")
    assert store.attempts(job.id)[0].outcome == "failed"


def test_the_newest_fence_fails_after_expiry_and_the_job_stays_queued(store: Store) -> None:
    job = expired(store)
    back = store.fail(job.id, 1, error="flaky")
    assert back == store.job(job.id)
    assert (back.status, back.error, back.attempts, back.claimed_by) == ("queued", "flaky", 1, None)
    assert store.attempts(job.id)[0].outcome == "failed"
    assert store.event_types(job.id)[-1] == "job.failed"
    assert store.take_one().fence == 2


def test_the_newest_fence_releases_after_expiry(store: Store) -> None:
    job = expired(store)
    before = store.dump()
    assert store.release(job.id, 1) == job
    assert store.dump() == before


def test_the_newest_fence_still_brings_its_log_after_expiry(store: Store) -> None:
    job = expired(store)
    assert store.append(job.id, 1, 0, b"last words") == 10
    assert store.job(job.id).status == "queued"


def test_a_completion_of_an_accept_lease_that_ended_counts(store: Store) -> None:
    job = store.submit()
    store.take()
    store.clock.advance(20)
    store.reap()
    assert store.complete(job.id, 1).status == "done"


# --- repeats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wait", [0, 10_000_000])
def test_a_repeat_of_the_completion_gets_the_job_for_ever(store: Store, wait: int) -> None:
    job = store.submit()
    store.claim(job.id)
    done = store.complete(job.id, 1)
    store.clock.advance(wait)
    before = store.dump()
    assert store.complete(job.id, 1) == done
    assert store.complete(job.id, 1, result='"other"') == done
    assert store.dump() == before


def test_a_repeat_of_the_failure_gets_the_job_whatever_became_of_it(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    back = store.fail(job.id, 1)
    assert store.fail(job.id, 1) == back
    again = store.claim(job.id, LEFT2)
    before = store.dump()
    assert store.fail(job.id, 1) == again
    assert store.dump() == before


def test_a_repeat_of_the_release_gets_the_job_whatever_became_of_it(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    back = store.release(job.id, 1)
    assert store.release(job.id, 1) == back
    again = store.claim(job.id, LEFT2)
    before = store.dump()
    assert store.release(job.id, 1) == again
    assert store.dump() == before


def test_a_repeated_completion_after_the_head_sent_it_back(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    done = store.complete(job.id, 1)
    back = store.write(lambda tx: jobs.move(tx, Action.REWORK, done, "head", {}, attempts=0, round=2))
    assert store.complete(job.id, 1) == back
    again = store.claim(job.id, LEFT2)
    assert store.complete(job.id, 1) == again
    assert again.status == "running"


def test_what_a_fence_says_after_it_failed_cannot_move_the_job(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    back = store.fail(job.id, 1)
    with pytest.raises(NotRunning) as refused:
        store.complete(job.id, 1, result='"after all"')
    assert refused.value.members == {"status": "queued", "jobId": job.id, "lateResult": "kept"}
    assert store.job(job.id) == back
    assert store.attempts(job.id)[0].late_result == '"after all"'
    with pytest.raises(NotRunning):
        store.release(job.id, 1)
    with pytest.raises(NotRunning):
        store.beat(job.id, 1)
    assert store.job(job.id) == back


def test_what_a_fence_says_after_it_released_cannot_move_the_job(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    back = store.release(job.id, 1)
    for verb in SETTLING.values():
        with pytest.raises(NotRunning) as refused:
            verb(store, job.id, 1)
        assert refused.value.members["lateResult"] == "kept"
    assert store.job(job.id) == back


def test_fence_zero_of_a_job_that_was_never_claimed(store: Store) -> None:
    job = store.submit()
    before = store.dump()
    for verb in (HARMLESS | SETTLING).values():
        with pytest.raises(NotRunning) as refused:
            verb(store, job.id, 0)
        assert refused.value.members == {"status": "queued", "jobId": job.id}
    assert store.dump() == before


# --- after other ends ------------------------------------------------------------------------------------------------


def test_a_completion_after_the_job_was_cancelled_is_kept(store: Store) -> None:
    job = store.submit()
    claimed = store.claim(job.id)
    cancelled = store.write(lambda tx: jobs.move(tx, Action.CANCEL, claimed, "head", {}))
    with pytest.raises(NotRunning) as refused:
        store.beat(job.id, 1)
    assert refused.value.members == {"status": "cancelled", "jobId": job.id, "cancelRequested": True}
    with pytest.raises(NotRunning) as refused:
        store.complete(job.id, 1, result='"too late"')
    assert refused.value.members["lateResult"] == "kept"
    assert store.job(job.id) == cancelled
    assert cancelled.claimed_by == "left-claw"
    assert store.attempts(job.id)[0].late_result == '"too late"'


def test_a_completion_after_the_last_lease_ended_is_kept(store: Store) -> None:
    job = store.submit(maxAttempts=1)
    store.claim(job.id)
    store.clock.advance(300)
    store.reap()
    with pytest.raises(NotRunning) as refused:
        store.complete(job.id, 1, result='"too late"')
    assert refused.value.members["lateResult"] == "kept"
    assert store.job(job.id).status == "dead"
    assert store.attempts(job.id)[0].late_result == '"too late"'


# --- fence before ownership; no fence, v0's rules --------------------------------------------------------------------


def test_the_newest_fence_needs_no_ownership(store: Store) -> None:
    job = store.submit(target="any")
    store.claim(job.id, LEFT)
    assert store.beat(job.id, 1, RIGHT).status == "running"
    assert store.complete(job.id, 1, RIGHT).status == "done"


def test_even_the_head_is_bound_by_a_fence_that_it_sends(store: Store) -> None:
    job = claimed_twice(store)
    with pytest.raises(StaleFence):
        store.beat(job.id, 1, HEAD)


@pytest.mark.parametrize("verb", ["beat", "complete", "fail", "release"])
def test_without_a_fence_the_holder_alone(store: Store, verb: str) -> None:
    job = store.submit(target="any")
    store.claim(job.id, LEFT)
    before = store.dump()
    for stranger in (RIGHT, LEFT2, V0_LEFT):
        with pytest.raises(NotOwner) as refused:
            getattr(store, verb)(job.id, None, stranger)
        assert refused.value.members == {"jobId": job.id, "claimedBy": "left-claw"}
    assert store.dump() == before
    getattr(store, verb)(job.id, None, LEFT)
    assert store.job(job.id).version == 3


@pytest.mark.parametrize("verb", ["beat", "complete", "fail", "release"])
def test_the_head_needs_neither_fence_nor_worker_id(store: Store, verb: str) -> None:
    job = store.submit()
    store.claim(job.id, LEFT)
    getattr(store, verb)(job.id, None, HEAD)
    assert store.job(job.id).version == 3


@pytest.mark.parametrize("verb", ["beat", "complete", "fail", "release"])
@pytest.mark.parametrize("who", [HEAD, LEFT, V0_LEFT], ids=["head", "left", "v0"])
def test_without_a_fence_only_a_running_job(store: Store, verb: str, who: object) -> None:
    job = expired(store)
    before = store.dump()
    with pytest.raises(NotRunning) as refused:
        getattr(store, verb)(job.id, None, who)
    assert refused.value.members == {"status": "queued", "jobId": job.id}
    assert store.dump() == before


@pytest.mark.parametrize("verb", [*HARMLESS, *SETTLING])
def test_a_job_that_is_not_seen_or_not_there(store: Store, verb: str) -> None:
    job = store.submit(target="right-claw")
    store.claim(job.id, RIGHT)
    before = store.dump()
    for job_id, code in ((job.id, "forbidden"), ("ghost", "not_found")):
        with pytest.raises(SpineError) as refused:
            (HARMLESS | SETTLING)[verb](store, job_id, 1)
        assert refused.value.code == code
    assert store.dump() == before
