"""Dependencies: a job goes on when all that it waits for is done, and ends when one of them will never be."""

import pytest
from tests.suites.harness import Store

from contract.errors import InvalidField


def done(store: Store, job_id: str) -> None:
    fence = store.claim(job_id).fence
    store.complete(job_id, fence)


def statuses(store: Store, *ids: str) -> list[str]:
    return [store.job(job_id).status for job_id in ids]


def test_it_waits_for_all_of_them(store: Store) -> None:
    a, b = store.submit(), store.submit()
    job = store.submit(after=[a.id, b.id])
    assert (job.status, job.after) == ("waiting", f'["{a.id}","{b.id}"]')
    done(store, a.id)
    assert statuses(store, job.id) == ["waiting"]
    assert store.why(job.id)[0] == ("after", [b.id])
    done(store, b.id)
    assert statuses(store, job.id) == ["queued"]
    assert store.event_types(job.id) == ["job.created", "job.ready"]


def test_those_who_wait_for_work_are_told_in_the_same_commit(store: Store) -> None:
    a = store.submit()
    job = store.submit(after=[a.id], requires=["git"])
    store.claim(a.id)
    store.signals.lanes.clear()
    store.complete(a.id, 1)
    assert store.signals.lanes == {job.lane: 1}


def test_what_is_done_already_holds_nothing(store: Store) -> None:
    a = store.submit()
    done(store, a.id)
    assert store.submit(after=[a.id]).status == "queued"


def test_one_named_twice_is_one(store: Store) -> None:
    a = store.submit()
    job = store.submit(after=[a.id, a.id])
    assert job.after == f'["{a.id}"]'
    done(store, a.id)
    assert statuses(store, job.id) == ["queued"]


def test_done_is_not_enough_where_a_review_is_due(store: Store) -> None:
    a = store.submit(needsReview=True)
    before = store.submit(after=[a.id])
    done(store, a.id)
    later = store.submit(after=[a.id])
    assert statuses(store, before.id, later.id) == ["waiting", "waiting"]
    assert store.why(before.id)[0] == ("after", [a.id])
    store.review(a.id, "rework", "not so")
    done(store, a.id)
    assert statuses(store, before.id, later.id) == ["waiting", "waiting"]
    store.review(a.id, "accept")
    assert statuses(store, before.id, later.id) == ["queued", "queued"]
    assert store.submit(after=[a.id]).status == "queued"


@pytest.mark.parametrize(
    ("end", "status"), [("fail", "failed"), ("exhaust", "dead"), ("expire", "dead"), ("cancel", "cancelled")]
)
def test_one_that_ends_otherwise_cancels_it_with_the_reason(store: Store, end: str, status: str) -> None:
    a = store.submit(maxAttempts=2 if end == "fail" else 1)
    other = store.submit()
    job = store.submit(after=[other.id, a.id])
    if end == "cancel":
        store.cancel(a.id)
    elif end == "expire":
        store.claim(a.id)
        store.clock.advance(300)
        store.reap()
    else:
        store.claim(a.id)
        store.fail(a.id, 1, requeue=end == "exhaust")
    assert statuses(store, a.id, job.id, other.id) == [status, "cancelled", "queued"]
    assert store.job(job.id).error == f"job {a.id} it waited for is {status}"
    event = store.events(job.id)[-1]
    assert (event.type, event.author) == ("job.cancelled", "spine")
    assert f'"after":"{a.id}"' in event.data


def test_a_burial_by_a_claim_cancels_them_too(store: Store) -> None:
    a = store.submit(maxAttempts=1)
    job = store.submit(after=[a.id])
    store.claim(a.id)
    store.release(a.id, 1)
    assert store.take() == []
    assert statuses(store, a.id, job.id) == ["dead", "cancelled"]


def test_a_rejected_one_cancels_them_too(store: Store) -> None:
    a = store.submit(needsApproval=True)
    job = store.submit(after=[a.id])
    store.reject(a.id)
    assert statuses(store, a.id, job.id) == ["cancelled", "cancelled"]


def test_a_failure_with_another_attempt_left_cancels_nobody(store: Store) -> None:
    a = store.submit()
    job = store.submit(after=[a.id])
    store.claim(a.id)
    store.fail(a.id, 1)
    assert statuses(store, job.id) == ["waiting"]
    store.claim(a.id)
    store.complete(a.id, 2)
    assert statuses(store, job.id) == ["queued"]


def test_a_chain_ends_to_its_last_link(store: Store) -> None:
    links = [store.submit().id]
    for _ in range(50):
        links.append(store.submit(after=[links[-1]]).id)
    store.cancel(links[0])
    assert set(statuses(store, *links)) == {"cancelled"}
    assert store.job(links[-1]).error == f"job {links[-2]} it waited for is cancelled"


def test_a_chain_goes_on_link_by_link(store: Store) -> None:
    links = [store.submit().id]
    for _ in range(4):
        links.append(store.submit(after=[links[-1]]).id)
    for n, link in enumerate(links):
        assert statuses(store, *links) == ["done"] * n + ["queued"] + ["waiting"] * (4 - n)
        done(store, link)


def test_a_diamond_is_cancelled_once(store: Store) -> None:
    top = store.submit()
    left, right = store.submit(after=[top.id]), store.submit(after=[top.id])
    bottom = store.submit(after=[left.id, right.id])
    store.cancel(top.id)
    assert statuses(store, left.id, right.id, bottom.id) == ["cancelled"] * 3
    assert store.event_types(bottom.id) == ["job.created", "job.cancelled"]


@pytest.mark.parametrize("end", ["complete", "fail"])
def test_a_thousand_dependants_of_one(store: Store, end: str) -> None:
    one = store.submit()
    made = [job.id for job, _ in store.submit_all(*[{"after": [one.id]}] * 1000)]
    store.claim(one.id)
    store.complete(one.id, 1) if end == "complete" else store.fail(one.id, 1, requeue=False)
    assert set(statuses(store, *made)) == {"queued" if end == "complete" else "cancelled"}
    if end == "complete":
        assert [row.id for row in store.take(most=100)] == made[:100]


def test_one_that_waits_for_a_thousand(store: Store) -> None:
    needs = [job.id for job, _ in store.submit_all(*[{}] * 1000)]
    job = store.submit(after=needs)
    (told,) = [jobs for code, jobs in store.why(job.id) if code == "after"]
    assert told == sorted(needs)[:20]
    for row in [row for _ in range(10) for row in store.take(most=100)]:
        store.complete(row.id, 1)
    assert statuses(store, job.id) == ["queued"]


def test_all_that_holds_it_must_go(store: Store) -> None:
    a = store.submit()
    job = store.submit(after=[a.id], needsApproval=True, delaySeconds=10)
    done(store, a.id)
    assert statuses(store, job.id) == ["waiting"]
    store.clock.advance(10)
    store.reap()
    assert statuses(store, job.id) == ["waiting"]
    assert store.why(job.id)[0][0] == "approval"
    store.approve(job.id)
    assert statuses(store, job.id) == ["queued"]


def test_an_adopted_result_counts_as_done(store: Store) -> None:
    a = store.submit(maxAttempts=2)
    job = store.submit(after=[a.id])
    store.claim(a.id)
    store.clock.advance(300)
    store.reap()
    store.claim(a.id)
    with pytest.raises(Exception, match="newest"):
        store.complete(a.id, 1)
    store.adopt(a.id, 1)
    assert statuses(store, job.id) == ["queued"]


def test_a_cancelled_dependant_stays_so_when_the_other_is_retried(store: Store) -> None:
    a = store.submit()
    job = store.submit(after=[a.id])
    store.cancel(a.id)
    store.retry(a.id)
    assert statuses(store, a.id, job.id) == ["queued", "cancelled"]
    store.retry(job.id)  # a person wants it all the same
    assert statuses(store, job.id) == ["queued"]


def test_a_job_that_is_not_there(store: Store) -> None:
    before = store.dump()
    with pytest.raises(InvalidField) as refused:
        store.submit(after=["job_never"])
    assert (refused.value.members["field"], refused.value.detail) == ("after", "after: there is no job job_never")
    assert store.dump() == before


@pytest.mark.parametrize("end", ["cancel", "fail"])
def test_a_job_that_can_never_be_done(store: Store, end: str) -> None:
    a = store.submit()
    store.cancel(a.id) if end == "cancel" else store.fail(a.id, store.claim(a.id).fence, requeue=False)
    before = store.dump()
    with pytest.raises(InvalidField) as refused:
        store.submit(after=[a.id])
    assert refused.value.members["field"] == "after"
    assert store.dump() == before
