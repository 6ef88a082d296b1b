"""Leases: how long they hold, how they end, and the grace after a gap."""

import pytest
from tests.suites.harness import HEAD, LEFT, RIGHT, V0_LEFT, Store
from tests.suites.manual_clock import START_MS

from contract.errors import NotOwner, NotRunning, StaleFence
from spine.queue import reap
from spine.store import meta

MINUTE = 60_000


def test_a_heartbeat_gives_a_full_lease_from_now(store: Store) -> None:
    job = store.submit()
    claimed = store.claim(job.id)
    store.clock.advance(100)
    beaten = store.beat(job.id, claimed.fence)
    assert beaten == store.job(job.id)
    assert beaten.lease_until == START_MS + 100_000 + 300_000
    assert beaten.version == claimed.version + 1
    assert store.event_types(job.id) == ["job.created", "job.claimed"]


def test_progress_is_kept_and_told(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    store.beat(job.id, 1, progress='{"phase": 2}')
    store.beat(job.id, 1)
    assert store.job(job.id).progress == '{"phase": 2}'
    assert [(e.type, e.data) for e in store.events(job.id)[2:]] == [
        ("job.heartbeat", '{"progress":{"phase": 2},"fence":1}')
    ]


def test_a_heartbeat_past_the_end_counts_until_the_job_was_moved(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    store.clock.advance(10_000)
    assert store.beat(job.id, 1).lease_until == store.clock.now() + 300_000
    store.clock.advance(300)
    assert store.reap() == (1, None)
    with pytest.raises(NotRunning) as refused:
        store.beat(job.id, 1)
    assert refused.value.members == {"status": "queued", "jobId": job.id}


def test_the_moment_of_the_end(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    store.clock.advance(299.999)
    assert store.reap() == (0, START_MS + 300_000)
    store.clock.advance(0.001)
    assert store.reap() == (1, None)
    assert store.job(job.id).status == "queued"


def test_expiry_puts_it_back(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    store.clock.advance(301)
    store.reap()
    back = store.job(job.id)
    assert (back.status, back.claimed_by, back.worker_id, back.lease_until) == ("queued", None, None, None)
    assert (back.attempts, back.fence, back.error) == (1, 1, None)
    (attempt,) = store.attempts(job.id)
    assert (attempt.outcome, attempt.ended_at) == ("expired", START_MS + 301_000)
    event = store.events(job.id)[-1]
    assert (event.type, event.author) == ("job.expired", "reaper")
    assert event.data == '{"attempt":1,"fence":1,"claimedBy":"left-claw"}'
    assert store.signals.lanes == {job.lane: 2}  # the submit and the return
    assert store.reap() == (0, None)


def test_expiry_of_the_last_attempt_buries_it(store: Store) -> None:
    job = store.submit(maxAttempts=2)
    for _ in range(2):
        store.claim(job.id)
        store.clock.advance(300)
        store.reap()
    dead = store.job(job.id)
    assert (dead.status, dead.attempts, dead.error) == ("dead", 2, "the lease expired")
    assert dead.finished_at == store.clock.now()
    assert store.events(job.id)[-1].data == '{"reason":"lease_expired","attempts":2,"fence":2}'
    assert store.take() == []


def test_a_pass_ends_every_lease_that_is_over_and_names_the_next(store: Store) -> None:
    over = [store.submit() for _ in range(3)]
    for job in over:
        store.claim(job.id)
    store.clock.advance(200)
    held = store.submit()
    store.claim(held.id)
    store.clock.advance(100)
    assert store.reap() == (3, START_MS + 500_000)
    assert [store.job(job.id).status for job in [*over, held]] == ["queued", "queued", "queued", "running"]


def test_a_pass_is_bounded(store: Store) -> None:
    made = [store.submit(target="any") for _ in range(reap.PASS_MOST + 1)]
    while store.take(most=100):
        pass
    store.clock.advance(15)
    assert store.reap() == (500, store.clock.now())
    assert store.reap() == (1, None)
    assert len(made) == 501


# --- the accept lease ------------------------------------------------------------------------------------------------


def test_an_accept_lease_that_nobody_confirms_gives_its_attempt_back_three_times(store: Store) -> None:
    job = store.submit(maxAttempts=5)
    for given_back in (1, 2, 3):
        (taken,) = store.take()
        assert taken.lease_until == store.clock.now() + 15_000
        store.clock.advance(15)
        store.reap()
        back = store.job(job.id)
        assert (back.status, back.attempts, back.unaccepted, back.fence) == ("queued", 0, given_back, given_back)
    store.take()
    store.clock.advance(15)
    store.reap()
    back = store.job(job.id)
    assert (back.status, back.attempts, back.fence) == ("queued", 1, 4)
    assert [a.outcome for a in store.attempts(job.id)] == ["unaccepted", "unaccepted", "unaccepted", "expired"]


@pytest.mark.parametrize("by", ["heartbeat", "log", "heartbeat without a fence"])
def test_the_first_call_of_the_holder_stretches_it(store: Store, by: str) -> None:
    job = store.submit()
    (taken,) = store.take()
    store.clock.advance(14)
    if by == "log":
        store.append(job.id, taken.fence, 0, b"hello")
    else:
        store.beat(job.id, taken.fence if by == "heartbeat" else None)
    now = store.job(job.id)
    assert now.lease_until == START_MS + 14_000 + 300_000
    assert now.accepted == 1
    store.clock.advance(300)
    store.reap()
    assert store.job(job.id).attempts == 1
    assert store.attempts(job.id)[0].outcome == "expired"


def test_a_log_stretches_only_the_accept_lease(store: Store) -> None:
    job = store.submit()
    store.take()
    store.append(job.id, 1, 0, b"a")
    store.clock.advance(60)
    store.append(job.id, 1, 1, b"b")
    assert store.job(job.id).lease_until == START_MS + 300_000


# --- timeoutSeconds --------------------------------------------------------------------------------------------------


def test_a_lease_never_outlives_the_deadline_of_the_attempt(store: Store) -> None:
    job = store.submit(timeoutSeconds=60)
    assert store.claim(job.id).lease_until == START_MS + 60_000 + 30_000
    store.clock.advance(85)
    assert store.beat(job.id, 1).lease_until == START_MS + 90_000
    store.clock.advance(10)
    assert store.beat(job.id, 1).lease_until == store.clock.now() + 1
    store.clock.advance(0.001)
    assert store.reap() == (1, None)


def test_a_second_attempt_has_a_deadline_of_its_own(store: Store) -> None:
    job = store.submit(timeoutSeconds=60)
    store.claim(job.id)
    store.clock.advance(90)
    store.reap()
    assert store.claim(job.id).lease_until == START_MS + 90_000 + 90_000


# --- the grace after a gap -------------------------------------------------------------------------------------------


def excuse(store: Store, since: int | None = None) -> int:
    return store.write(lambda tx: reap.excuse_gap(tx, store.rules, since))


def test_leases_that_ended_while_no_server_ran_get_a_minute(store: Store) -> None:
    ended, nearly, late = (store.submit() for _ in range(3))
    store.claim(ended.id)
    store.reap()
    store.clock.advance(290)
    store.claim(nearly.id)
    store.clock.advance(200)
    store.claim(late.id)
    store.clock.advance(120)  # the first two are over by now, the third is not
    assert excuse(store) == 2
    assert store.job(ended.id).lease_until == store.clock.now() + MINUTE
    assert store.job(nearly.id).lease_until == store.clock.now() + MINUTE
    assert store.job(late.id).lease_until == START_MS + 790_000
    assert store.reap() == (0, store.clock.now() + MINUTE)
    store.clock.advance(60)
    assert store.reap()[0] == 2


def test_a_lease_that_ends_right_after_the_gap_is_excused_too(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    store.reap()
    store.clock.advance(299)
    assert excuse(store) == 1
    assert store.job(job.id).lease_until == START_MS + 299_000 + MINUTE


def test_a_lease_that_had_ended_before_the_gap_is_not_excused(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    store.clock.advance(400)
    assert excuse(store, since=START_MS + 350_000) == 0
    assert store.reap()[0] == 1


def test_a_store_without_a_pass_excuses_nobody(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    store.clock.advance(1000)
    assert excuse(store) == 0
    assert store.read(lambda tx: meta.get(tx, meta.LAST_PASS)) == str(store.clock.now())


def test_each_pass_notes_its_time(store: Store) -> None:
    store.clock.advance(5)
    store.reap()
    assert store.read(lambda tx: meta.get(tx, "reaper_last_pass_at")) == str(START_MS + 5000)


def test_the_grace_is_never_more_than_a_lease(store: Store) -> None:
    assert store.rules.grace_ms == 60_000
    assert type(store.rules)(20_000, 5_000, 5, frozenset(), 1000).grace_ms == 20_000


# --- whose lease -----------------------------------------------------------------------------------------------------


def test_who_may_beat_without_a_fence(store: Store) -> None:
    job = store.submit(target="any")
    store.claim(job.id, V0_LEFT)
    assert store.beat(job.id, None, V0_LEFT).status == "running"
    assert store.beat(job.id, None, LEFT).status == "running"  # the claim carried no worker id: the role decides
    assert store.beat(job.id, None, HEAD).status == "running"
    with pytest.raises(NotOwner):
        store.beat(job.id, None, RIGHT)
    with pytest.raises(StaleFence):
        store.beat(job.id, 2, V0_LEFT)
