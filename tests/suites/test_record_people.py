"""What people decide: approval, review and rework, cancel, retry, adopt."""

import hashlib
from typing import Any

import msgspec
import pytest
from tests.suites.harness import HEAD, LEFT, LEFT2, RIGHT, Store
from tests.suites.manual_clock import START_MS

from contract.errors import (
    DedupeConflict,
    InvalidField,
    NoLateResult,
    NotAwaiting,
    NotClaimable,
    NotFound,
    NotRunning,
    SpecChanged,
    StaleFence,
    TerminalStatus,
)
from spine.queue import settle, view
from spine.store.jobs import JobRow

DIGEST = hashlib.sha256(b'{"run":"make"}').hexdigest()


def needs_approval(store: Store, **fields: Any) -> JobRow:
    return store.submit(HEAD, spec={"run": "make"}, needsApproval=True, **fields)


def claimed(store: Store, **fields: Any) -> JobRow:
    return store.claim(store.submit(HEAD, **fields).id)


def late(store: Store, **fields: Any) -> JobRow:
    """Return a job whose first holder reported when a second one had it."""
    job = claimed(store, **fields)
    store.clock.advance(300)
    store.reap()
    store.claim(job.id, LEFT2)
    with pytest.raises(StaleFence):
        store.complete(job.id, 1, result='"late"')
    return store.job(job.id)


# --- approval --------------------------------------------------------------------------------------------------------


def test_it_waits_until_it_is_approved(store: Store) -> None:
    job = needs_approval(store)
    assert (job.status, job.approval, job.spec_digest) == ("waiting", "pending", DIGEST)
    assert store.take() == []
    assert store.why(job.id)[0] == ("approval", [])
    approved = store.approve(job.id, DIGEST)
    assert (approved.status, approved.approval, approved.approval_by) == ("queued", "approved", "head")
    assert store.job(job.id) == approved
    assert store.event_types(job.id) == ["job.created", "job.approved", "job.ready"]
    assert store.events(job.id)[1].data == f'{{"specDigest":"{DIGEST}"}}'
    record = msgspec.json.decode(store.read(lambda tx: view.job(tx, approved)))
    assert record["needsApproval"] is True
    assert record["approval"] == {"state": "approved", "specDigest": DIGEST, "by": "head"}


def test_to_approve_twice_is_once(store: Store) -> None:
    job = needs_approval(store)
    first = store.approve(job.id, DIGEST)
    before = store.dump()
    assert store.approve(job.id, DIGEST) == first
    assert store.approve(job.id) == first
    assert store.dump() == before


def test_a_digest_of_another_spec(store: Store) -> None:
    job = needs_approval(store)
    before = store.dump()
    with pytest.raises(SpecChanged) as refused:
        store.approve(job.id, "0" * 64)
    assert refused.value.members == {"jobId": job.id, "specDigest": DIGEST}
    assert store.dump() == before


@pytest.mark.parametrize("digest", [None, "0" * 64])
def test_a_job_that_asks_for_no_approval(store: Store, digest: str | None) -> None:
    job = store.submit()
    with pytest.raises(NotAwaiting):
        store.approve(job.id, digest)
    with pytest.raises(NotAwaiting):
        store.reject(job.id)


def test_a_rejected_job_is_cancelled_with_the_reason(store: Store) -> None:
    job = needs_approval(store)
    rejected = store.reject(job.id, "too dear")
    assert (rejected.status, rejected.approval, rejected.error) == ("cancelled", "rejected", "too dear")
    assert store.event_types(job.id) == ["job.created", "job.rejected"]
    assert store.reject(job.id) == rejected
    with pytest.raises(NotAwaiting):
        store.approve(job.id, DIGEST)


def test_what_was_approved_cannot_be_rejected(store: Store) -> None:
    job = needs_approval(store)
    store.approve(job.id)
    with pytest.raises(NotAwaiting):
        store.reject(job.id)


@pytest.mark.parametrize("how", ["reject", "cancel"])
def test_a_retry_is_no_way_round_an_approval(store: Store, how: str) -> None:
    job = needs_approval(store)
    store.reject(job.id) if how == "reject" else store.cancel(job.id)
    before = store.dump()
    with pytest.raises(NotAwaiting):
        store.retry(job.id)
    assert store.dump() == before


def test_what_was_approved_once_may_be_retried(store: Store) -> None:
    job = needs_approval(store)
    store.approve(job.id)
    store.cancel(job.id)
    assert store.retry(job.id).status == "queued"


# --- review ----------------------------------------------------------------------------------------------------------


def reviewed(store: Store, **fields: Any) -> JobRow:
    job = claimed(store, needsReview=True, **fields)
    return store.complete(job.id, 1, result='{"n": 1}')


def test_done_waits_for_a_review(store: Store) -> None:
    job = store.submit(needsReview=True)
    assert job.review is None
    store.claim(job.id)
    done = store.complete(job.id, 1)
    assert (done.status, done.review) == ("done", "pending")
    accepted = store.review(job.id, "accept", "well done")
    assert (accepted.status, accepted.review, accepted.review_by) == ("done", "accepted", "head")
    assert accepted == store.job(job.id)
    assert store.event_types(job.id)[3:] == ["job.comment", "job.reviewed"]
    before = store.dump()
    assert store.review(job.id, "accept") == accepted
    assert store.dump() == before


def test_a_job_that_asks_for_no_review(store: Store) -> None:
    job = claimed(store)
    store.complete(job.id, 1)
    for decision in ("accept", "rework"):
        with pytest.raises(NotAwaiting, match="no review"):
            store.review(job.id, decision)


@pytest.mark.parametrize("status", ["queued", "running", "failed", "cancelled"])
def test_only_what_is_done_is_reviewed(store: Store, status: str) -> None:
    job = store.submit(needsReview=True)
    if status in ("running", "failed"):
        store.claim(job.id)
    if status == "failed":
        store.fail(job.id, 1, requeue=False)
    if status == "cancelled":
        store.cancel(job.id)
    with pytest.raises(NotAwaiting):
        store.review(job.id, "rework")


def test_rework_is_a_new_round_of_the_same_job(store: Store) -> None:
    job = reviewed(store, maxAttempts=1)
    again = store.review(job.id, "rework", "more tests")
    assert (again.status, again.review, again.review_by) == ("queued", "rework", "head")
    assert (again.attempts, again.round, again.fence, again.result, again.finished_at) == (0, 2, 1, None, None)
    assert (again.claimed_by, again.worker_id, again.machine) == (None, None, "left-claw")
    (first,) = store.attempts(job.id)
    assert (first.outcome, first.result, first.round) == ("done", '{"n": 1}', 1)
    (taken,) = store.take()
    assert (taken.fence, taken.attempts, taken.round) == (2, 1, 2)
    row, seen = store.write(lambda tx: settle.heartbeat(tx, store.rules, LEFT, job.id, 2, None))
    record = msgspec.json.decode(store.read(lambda tx: view.job(tx, row, new_since=seen)))
    assert [comment["text"] for comment in record["newComments"]] == ["more tests"]
    done = store.complete(job.id, 2, result='{"n": 2}')
    assert (done.review, done.result) == ("pending", '{"n": 2}')
    assert [(a.round, a.result) for a in store.attempts(job.id)] == [(1, '{"n": 1}'), (2, None)]


def test_rework_waits_a_minute_for_the_machine_that_knows_it(store: Store) -> None:
    job = reviewed(store, target="any")
    store.review(job.id, "rework")
    other = store.submit(target="any")
    assert store.why(job.id) == [("preferred_machine", [])]
    assert [row.id for row in store.take(RIGHT, most=9)] == [other.id]
    with pytest.raises(NotClaimable, match="left-claw"):
        store.claim(job.id, RIGHT)
    store.clock.advance(59.999)
    assert store.take(RIGHT) == []
    assert [row.id for row in store.take(LEFT2)] == [job.id]


def test_rework_is_anyones_after_a_minute(store: Store) -> None:
    job = reviewed(store, target="any")
    store.review(job.id, "rework")
    store.clock.advance(60)
    store.signals.lanes.clear()
    assert store.reap() == (0, None)
    assert store.signals.lanes == {job.lane: 1}  # those who wait are told
    assert [row.id for row in store.take(RIGHT)] == [job.id]


def test_the_round_before_cannot_change_the_new_one(store: Store) -> None:
    job = reviewed(store)
    again = store.review(job.id, "rework")
    assert store.complete(job.id, 1, result='"again"') == again  # a repeat of what ended the round
    with pytest.raises(NotRunning):
        store.fail(job.id, 1)
    assert store.job(job.id) == again


def test_nothing_is_reviewed_twice(store: Store) -> None:
    job = reviewed(store)
    store.review(job.id, "rework")
    with pytest.raises(NotAwaiting):
        store.review(job.id, "rework")
    with pytest.raises(NotAwaiting):
        store.review(job.id, "accept")
    other = reviewed(store)
    store.review(other.id, "accept")
    with pytest.raises(NotAwaiting):
        store.review(other.id, "rework")


# --- cancel ----------------------------------------------------------------------------------------------------------


def test_a_waiting_and_a_queued_job_end_at_once(store: Store) -> None:
    for job in (store.submit(), store.submit(delaySeconds=10), needs_approval(store)):
        cancelled = store.cancel(job.id, "not now")
        assert (cancelled.status, cancelled.error, cancelled.wake_at) == ("cancelled", "not now", None)
        assert cancelled.finished_at == START_MS
        assert store.event_types(job.id) == ["job.created", "job.cancelled"]
    store.clock.advance(100)
    store.reap()
    assert store.take() == []


@pytest.mark.parametrize("fence", [1, None])
def test_a_holder_learns_it_with_its_next_heartbeat(store: Store, fence: int | None) -> None:
    job = claimed(store)
    cancelled = store.cancel(job.id)
    assert (cancelled.claimed_by, cancelled.worker_id, cancelled.lease_until) == ("left-claw", "l1", None)
    with pytest.raises(NotRunning) as refused:
        store.beat(job.id, fence)
    assert refused.value.members == {"status": "cancelled", "jobId": job.id, "cancelRequested": True}
    (attempt,) = store.attempts(job.id)
    assert attempt.outcome == "cancelled"


def test_what_a_cancelled_holder_brings_is_kept_and_may_be_adopted(store: Store) -> None:
    job = claimed(store)
    store.cancel(job.id)
    with pytest.raises(NotRunning) as refused:
        store.complete(job.id, 1, result='"all the same"')
    assert refused.value.members["lateResult"] == "kept"
    assert store.adopt(job.id, 1).result == '"all the same"'


def test_to_cancel_twice_is_once(store: Store) -> None:
    job = claimed(store)
    first = store.cancel(job.id, "one")
    before = store.dump()
    assert store.cancel(job.id, "two") == first
    assert store.dump() == before


@pytest.mark.parametrize("end", ["done", "failed", "dead"])
def test_what_has_ended_is_not_cancelled(store: Store, end: str) -> None:
    job = claimed(store, maxAttempts=2 if end == "failed" else 1)
    store.complete(job.id, 1) if end == "done" else store.fail(job.id, 1, requeue=end == "dead")
    with pytest.raises(TerminalStatus) as refused:
        store.cancel(job.id)
    assert refused.value.members["status"] == end


# --- retry -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["failed", "dead", "cancelled"])
def test_a_retry_is_a_new_round(store: Store, end: str) -> None:
    job = claimed(store, maxAttempts=2 if end == "failed" else 1)
    store.cancel(job.id) if end == "cancelled" else store.fail(job.id, 1, requeue=end == "dead")
    assert store.job(job.id).status == end
    again = store.retry(job.id)
    assert (again.status, again.attempts, again.round, again.fence) == ("queued", 0, 2, 1)
    assert (again.claimed_by, again.worker_id, again.finished_at) == (None, None, None)
    assert store.events(job.id)[-1].data == f'{{"round":2,"from":"{end}"}}'
    taken = store.claim(job.id)
    assert (taken.fence, taken.attempts) == (2, 1)
    assert [(a.fence, a.round) for a in store.attempts(job.id)] == [(1, 1), (2, 2)]


def test_only_what_ended_badly_is_retried(store: Store) -> None:
    job = store.submit()
    with pytest.raises(NotAwaiting):
        store.retry(job.id)
    store.claim(job.id)
    with pytest.raises(NotAwaiting):
        store.retry(job.id)
    store.complete(job.id, 1)
    with pytest.raises(TerminalStatus):
        store.retry(job.id)


def test_a_retry_is_anyones_at_once(store: Store) -> None:
    job = reviewed(store, target="any")
    store.review(job.id, "rework")
    store.cancel(job.id)
    store.retry(job.id)
    assert [row.id for row in store.take(RIGHT)] == [job.id]


# --- adopt -----------------------------------------------------------------------------------------------------------


def test_a_running_holder_is_superseded(store: Store) -> None:
    job = late(store)
    assert (job.status, job.fence) == ("running", 2)
    adopted = store.adopt(job.id, 1)
    assert (adopted.status, adopted.fence, adopted.result, adopted.error) == ("done", 3, '"late"', None)
    assert (adopted.claimed_by, adopted.worker_id) == ("left-claw", "l1")
    assert [a.outcome for a in store.attempts(job.id)] == ["expired", "superseded"]
    assert store.events(job.id)[-1].data == '{"fence":1,"from":"running"}'
    with pytest.raises(StaleFence):
        store.beat(job.id, 2, LEFT2)
    with pytest.raises(StaleFence):
        store.complete(job.id, 2, LEFT2, '"too late"')
    assert store.job(job.id).result == '"late"'
    assert store.attempts(job.id)[1].late_result == '"too late"'


@pytest.mark.parametrize("status", ["queued", "waiting", "running", "failed", "dead", "cancelled"])
def test_adopt_from_each_status(store: Store, status: str) -> None:
    retry = {"retry": {"backoffSeconds": 5}} if status == "waiting" else {}
    job = claimed(store, maxAttempts=2 if status == "dead" else 3, **retry)
    store.clock.advance(300)
    store.reap()
    store.clock.advance(10)
    store.reap()
    store.claim(job.id, LEFT2)
    with pytest.raises(StaleFence):
        store.complete(job.id, 1, result='"late"')
    match status:
        case "queued":
            store.release(job.id, 2, LEFT2)
        case "waiting":
            store.fail(job.id, 2, LEFT2)
        case "failed":
            store.fail(job.id, 2, LEFT2, requeue=False)
        case "dead":
            store.fail(job.id, 2, LEFT2)
        case "cancelled":
            store.cancel(job.id)
    assert store.job(job.id).status == status
    adopted = store.adopt(job.id, 1)
    assert (adopted.status, adopted.result, adopted.fence) == ("done", '"late"', 3)
    assert (adopted.wake_at, adopted.lease_until) == (None, None)
    with pytest.raises(TerminalStatus):
        store.adopt(job.id, 1)


def test_an_adopted_result_is_reviewed_too(store: Store) -> None:
    job = late(store, needsReview=True)
    assert store.adopt(job.id, 1).review == "pending"
    again = store.review(job.id, "rework")
    assert (again.status, again.round) == ("queued", 2)
    assert store.take_one(LEFT).fence == 4


@pytest.mark.parametrize("result", [None, "null"])
def test_a_late_success_without_a_result_is_one(store: Store, result: str | None) -> None:
    job = claimed(store)
    store.cancel(job.id)
    with pytest.raises(NotRunning):
        store.complete(job.id, 1, result=result)
    assert store.adopt(job.id, 1).result == "null"


def test_a_fence_that_left_nothing(store: Store) -> None:
    job = late(store)
    before = store.dump()
    with pytest.raises(NoLateResult) as refused:
        store.adopt(job.id, 2)
    assert refused.value.members == {"jobId": job.id, "fence": 2}
    for never in (0, 3):
        with pytest.raises(InvalidField):
            store.adopt(job.id, never)
    with pytest.raises(NotFound):
        store.adopt("job_never", 1)
    assert store.dump() == before


@pytest.mark.parametrize("error", ["broke", None])
def test_a_late_failure_is_no_result(store: Store, error: str | None) -> None:
    job = claimed(store)
    store.cancel(job.id)
    with pytest.raises(NotRunning):
        store.fail(job.id, 1, error=error)
    with pytest.raises(NoLateResult):
        store.adopt(job.id, 1)


def test_a_late_failure_does_not_throw_a_late_result_away(store: Store) -> None:
    job = late(store)
    with pytest.raises(StaleFence) as refused:
        store.fail(job.id, 1)
    assert refused.value.members["lateResult"] == "kept"
    assert store.adopt(job.id, 1).result == '"late"'


# --- one job for a dedupe key ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["waiting", "queued", "running"])
def test_an_unfinished_job_keeps_its_key(store: Store, status: str) -> None:
    first = store.submit(dedupeKey="d", delaySeconds=5 if status == "waiting" else 0)
    if status == "running":
        store.claim(first.id)
    before = store.dump()
    same = store.submit(dedupeKey="d", spec="other", target="right-claw")
    assert (same.id, same.status, same.spec) == (first.id, status, '""')
    assert store.dump() == before
    assert store.submit(dedupeKey="e").id != first.id


@pytest.mark.parametrize("end", ["done", "failed", "dead", "cancelled"])
def test_an_ended_job_gives_its_key_back(store: Store, end: str) -> None:
    first = claimed(store, dedupeKey="d", maxAttempts=1)
    match end:
        case "done":
            store.complete(first.id, 1)
        case "cancelled":
            store.cancel(first.id)
        case _:
            store.fail(first.id, 1, requeue=end == "dead")
    assert store.submit(dedupeKey="d").id != first.id


def test_within_a_list_too(store: Store) -> None:
    made = store.submit_all({"dedupeKey": "d"}, {"dedupeKey": "e"}, {"dedupeKey": "d", "spec": "other"})
    assert [new for _, new in made] == [True, True, False]
    assert made[2][0].id == made[0][0].id
    assert len(store.dump()["jobs"]) == 2


def test_a_retry_and_a_rework_find_the_key_taken(store: Store) -> None:
    failed = claimed(store, dedupeKey="d")
    store.fail(failed.id, 1, requeue=False)
    done = store.submit(dedupeKey="d", needsReview=True)
    store.claim(done.id)
    store.complete(done.id, 1)
    other = store.submit(dedupeKey="d")
    before = store.dump()
    for n in range(2):
        with pytest.raises(DedupeConflict) as refused:
            store.review(done.id, "rework", "again") if n else store.retry(failed.id)
        assert refused.value.members == {"jobId": other.id, "status": "queued"}
        assert store.dump() == before
    store.cancel(other.id)
    assert store.retry(failed.id).status == "queued"


def test_a_list_is_taken_whole_or_not_at_all(store: Store) -> None:
    before = store.dump()
    with pytest.raises(InvalidField) as refused:
        store.submit_all({"requires": ["new"]}, {"after": ["job_never"]})
    assert refused.value.members["field"] == "[1].after"
    assert store.dump() == before
    (job, _), *_ = store.submit_all({"requires": ["new"]})  # the lane that was taken back is made again
    assert [row.id for row in store.take(capabilities=("new",))] == [job.id]


def test_no_job_no_decision(store: Store) -> None:
    for verb in (store.cancel, store.approve, store.reject, store.retry):
        with pytest.raises(NotFound):
            verb("job_never")
    with pytest.raises(NotFound):
        store.review("job_never", "accept")
