"""Why a job does not run: each reason, what would unblock it first at the top; and lists and verbs by filter."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.suites.harness import HEAD, LEFT, RIGHT, STORE_ID, Store
from tests.suites.manual_clock import START_MS

from contract.errors import DedupeConflict
from spine.queue import history, listing, settle, steer
from spine.queue import why as explaining
from spine.store.engine import Refusal, Tx
from spine.store.jobs import JobRow
from spine.store.listing import Filter
from spine.store.models import Job
from spine.store.statement import Statement, number


def told(store: Store, job_id: str) -> str:
    job = store.job(job_id)
    return store.read(lambda tx: explaining.why(tx, job)).reasons[0].message


@pytest.fixture
def heard(store: Store) -> None:
    """Both claws have been heard of, and are able to do the plainest job."""
    store.take(LEFT)
    store.take(RIGHT)


@pytest.mark.usefixtures("heard")
def test_next_in_line_and_behind(store: Store) -> None:
    first, second = store.submit(), store.submit()
    urgent = store.submit(priority=1)
    assert store.why(urgent.id) == [("ready", [])]
    assert store.why(first.id) == [("behind", [urgent.id, second.id])]
    assert store.why(second.id) == [("behind", [urgent.id, first.id])]


def test_no_machine_has_been_heard_of(store: Store) -> None:
    job = store.submit()
    assert store.why(job.id) == [("no_machine", [])]
    store.take(RIGHT)
    assert store.why(job.id) == [("no_machine", [])]
    assert told(store, job.id) == "no machine for left-claw has been heard of"


@pytest.mark.usefixtures("heard")
def test_no_machine_is_able(store: Store) -> None:
    job = store.submit(requires=["gpu", "git"])
    assert store.why(job.id) == [("requires", [])]
    assert told(store, job.id) == "no machine for left-claw has all of git, gpu"
    store.take(RIGHT, capabilities=("git", "gpu"))
    assert store.why(job.id) == [("requires", [])]
    store.machine("left-claw", "paused")
    store.take(LEFT, capabilities=("git", "gpu"))
    assert store.why(job.id) == [("machines_held", [])]


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("state", ["paused", "draining"])
def test_the_machines_are_held(store: Store, state: str) -> None:
    job = store.submit()
    store.machine("left-claw", state)
    assert store.why(job.id) == [("machines_held", [])]
    assert told(store, job.id) == f"left-claw is {state}"
    assert store.take() == []
    store.machine("left-claw", "active")
    assert store.why(job.id) == [("ready", [])]
    assert [row.id for row in store.take()] == [job.id]


@pytest.mark.usefixtures("heard")
def test_the_machines_are_silent(store: Store) -> None:
    job = store.submit()
    store.clock.advance(121)
    assert store.why(job.id) == [("machines_silent", [])]
    assert told(store, job.id) == "left-claw was last heard of at 2023-11-14T22:13:20.000Z"


def test_a_machine_that_beats_is_not_silent(store: Store) -> None:
    busy, job = store.submit(), store.submit()
    store.claim(busy.id)
    for _ in range(10):
        store.clock.advance(40)
        store.beat(busy.id, 1)
    assert store.why(job.id) == [("ready", [])]


@pytest.mark.usefixtures("heard")
def test_the_target_is_paused(store: Store) -> None:
    job = store.submit()
    store.target("left-claw", True)
    assert store.why(job.id) == [("target_paused", [])]
    assert store.take() == []
    store.target("left-claw", False)
    assert [row.id for row in store.take()] == [job.id]


@pytest.mark.usefixtures("heard")
def test_a_full_key_names_who_holds_it(store: Store) -> None:
    held = [store.submit(concurrencyKey="db", concurrencyLimit=2).id for _ in range(2)]
    for job_id in held:
        store.claim(job_id)
    job = store.submit(concurrencyKey="db", concurrencyLimit=2)
    assert store.why(job.id) == [("concurrency", held)]
    assert told(store, job.id) == f"all 2 slot(s) of 'db' are taken by {held[0]}, {held[1]}"


@pytest.mark.usefixtures("heard")
def test_what_it_waits_for_stands_in_order(store: Store) -> None:
    first = store.submit(needsReview=True)
    job = store.submit(after=[first.id], needsApproval=True, delaySeconds=60)
    assert store.why(job.id) == [("approval", []), ("after", [first.id]), ("time", [])]
    store.approve(job.id)
    store.claim(first.id)
    store.complete(first.id, 1)
    assert store.why(job.id) == [("after", [first.id]), ("time", [])]
    assert told(store, job.id) == f"it waits for 1 other job(s): {first.id} (done, review pending)"
    store.review(first.id, "accept")
    assert store.why(job.id) == [("time", [])]
    assert told(store, job.id) == "it may not begin before 2023-11-14T22:14:20.000Z"
    store.clock.advance(60)
    assert store.why(job.id)[0] == ("waiting", [])  # the reaper has not come by yet


def test_it_runs_or_has_ended(store: Store) -> None:
    job = store.submit()
    store.take()
    assert store.why(job.id) == [("running", [job.id])]
    assert told(store, job.id) == ("left-claw runs it; its first heartbeat is awaited until 2023-11-14T22:13:35.000Z")
    store.fail(job.id, 1, requeue=False)
    assert store.why(job.id) == [("ended", [])]
    assert told(store, job.id) == "it is failed: broke"


# --- lists -----------------------------------------------------------------------------------------------------------


def found(store: Store, **narrowed: Any) -> list[str]:
    listed = store.listed(HEAD, **narrowed)
    assert listed is not None
    return [job.id for job in listed.jobs]


def test_a_text_is_looked_for_in_what_people_wrote(store: Store) -> None:
    a = store.submit(spec="Build the DOCS").id
    b = store.submit(label="docs-nightly").id
    c = store.submit(spec={"run": "make ÄRGER 100%_x"}).id
    store.claim(c)
    store.fail(c, 1, error="No Docs here", requeue=False)
    assert found(store, q="docs") == [a, b, c]
    assert found(store, q="ÄRGER") == [c]
    assert found(store, q="%_") == [c]
    assert found(store, q="100_") == []
    assert found(store, q=a[4:20]) == [a]
    assert found(store, q="docs", statuses=("queued",)) == [a, b]


def test_since_and_machine_and_label(store: Store) -> None:
    a = store.submit(label="x").id
    store.clock.advance(10)
    b = store.submit(label="x").id
    store.claim(b)
    assert found(store, since=START_MS) == [a, b]
    assert found(store, since=START_MS + 1) == found(store, since=START_MS + 10_000) == [b]
    assert found(store, since=START_MS + 10_001) == []
    assert found(store, machine="left-claw") == [b]
    assert found(store, machine="right-claw") == []
    assert found(store, label="x", since=START_MS + 1) == [b]
    assert found(store, label="y") == []


# --- verbs on all that match -----------------------------------------------------------------------------------------


def each(store: Store, act: Callable[[Tx, JobRow], bool], narrowed: Filter) -> list[tuple[int, int]]:
    """Go through all pages of a bulk verb; return what matched and what changed in each."""
    pages: list[tuple[int, int]] = []
    at = 0
    while True:

        def page(tx: Tx, start: int = at) -> listing.Step:
            return listing.each(tx, narrowed, start, lambda job: act(tx, job))

        matched, _, changed, following = store.write(page)
        pages.append((matched, changed))
        if following is None:
            return pages
        assert history.position(STORE_ID, history.cursor(STORE_ID, following)) == following
        at = following


def cancelling(tx: Tx, job: JobRow) -> bool:
    now = steer.current(tx, job)
    if now.status not in ("queued", "waiting", "running"):
        return False
    steer.cancel(tx, HEAD, job.id, "all")
    return True


def test_a_text_is_looked_for_in_steps_that_hold_nobody_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands in no index: with a million jobs every step held the writer for seconds, to count them all."""
    monkeypatch.setattr(listing, "WINDOW", 3)
    monkeypatch.setattr(listing, "STEP_SECONDS", -1)
    made = [store.submit(spec="needle" if n in (1, 7) else "hay").id for n in range(8)]
    assert each(store, cancelling, Filter(q="Needle")) == [(1, 1), (1, 0), (1, 1)]
    assert [store.job(job_id).status for job_id in made] == ["queued", "cancelled", *["queued"] * 5, "cancelled"]
    first = store.write(lambda tx: listing.each(tx, Filter(q="needle"), 0, lambda _: False))
    assert (first.matched, first.at_least) == (1, True)
    assert store.read(lambda tx: listing.counted(tx, Filter(q="needle"))) == (2, False)
    assert store.read(lambda tx: listing.counted(tx, Filter(q="needle"), -1)) == (1, True)
    assert store.read(lambda tx: listing.counted(tx, Filter(q="needle", statuses=("queued",)))) == (0, False)
    assert store.read(lambda tx: listing.counted(tx, Filter(target="left-claw"), -1)) == (8, False)


def test_what_was_purged_costs_no_step(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "WINDOW", 3)
    monkeypatch.setattr(listing, "STEP_SECONDS", -1)
    made = [store.submit(spec="needle").id for _ in range(20)]
    purge = Statement(Job.delete().where((Job.seq != number(2)) & (Job.seq < number(19))))
    assert store.write(lambda tx: tx.run(purge)) == 17
    assert each(store, cancelling, Filter(q="needle")) == [(1, 1), (1, 2)]
    assert [store.job(job_id).status for job_id in (made[1], *made[18:])] == ["cancelled"] * 3
    assert store.read(lambda tx: listing.counted(tx, Filter(q="needle"))) == (3, False)


def test_a_step_with_a_text_takes_500_at_most(store: Store) -> None:
    store.submit_all(*[{"label": "needle"}] * 700)
    assert each(store, cancelling, Filter(q="needle")) == [(700, 500), (700, 200)]


def test_five_hundred_a_transaction(store: Store) -> None:
    store.submit_all(*[{"label": "x"}] * 700)
    store.submit_all(*[{"label": "y"}] * 3)
    assert each(store, cancelling, Filter(label="x")) == [(700, 500), (700, 200)]
    assert len(found(store, statuses=("cancelled",))) == 700
    assert len(found(store, statuses=("queued",))) == 3


def test_what_changes_does_not_move_the_list_under_it(store: Store) -> None:
    store.submit_all(*[{}] * 1200)
    assert each(store, cancelling, Filter(statuses=("queued",))) == [(1200, 500), (700, 500), (200, 200)]


def test_a_cascade_within_the_page_is_counted_once(store: Store) -> None:
    first = store.submit()
    store.submit_all(*[{"after": [first.id]}] * 5)
    assert each(store, cancelling, Filter()) == [(6, 1)]
    assert len(found(store, statuses=("cancelled",))) == 6


def test_a_bulk_retry_leaves_one_of_two_with_a_key(store: Store) -> None:
    for _ in range(2):
        store.cancel(store.submit(dedupeKey="d").id)

    def retrying(tx: Tx, job: JobRow) -> bool:
        try:
            steer.retry(tx, HEAD, job.id)
        except DedupeConflict:
            return False
        return True

    assert each(store, retrying, Filter(statuses=("cancelled",))) == [(2, 1)]


def test_a_bulk_release_takes_from_every_holder(store: Store) -> None:
    made = [store.submit().id for _ in range(2)]
    for job_id in made:
        store.claim(job_id)
    queued = store.submit().id

    def releasing(tx: Tx, job: JobRow) -> bool:
        return job.status == "running" and not isinstance(
            settle.release(tx, HEAD, job.id, None, "go home", True), Refusal
        )

    assert each(store, releasing, Filter()) == [(3, 2)]
    assert [store.job(job_id).release_reason for job_id in (*made, queued)] == ["go home", "go home", None]
