"""Lists of jobs: filters, order, pages that hold while jobs move."""

from typing import Any

import pytest
from tests.suites.harness import HEAD, LEFT, RIGHT, STORE_ID, Store

from contract import wire
from contract.errors import StaleFence
from spine.queue import history, listing


def ids(found: wire.JobList | None) -> list[str]:
    assert found is not None
    return [job.id for job in found.jobs]


def test_oldest_first_whatever_their_priority(store: Store) -> None:
    made = [store.submit(priority=n % 3, target=("left-claw", "right-claw", "any")[n % 3]).id for n in range(9)]
    assert ids(store.listed(HEAD)) == made
    assert ids(store.listed(LEFT)) == [made[n] for n in (0, 2, 3, 5, 6, 8)]
    assert ids(store.listed(RIGHT)) == [made[n] for n in (1, 2, 4, 5, 7, 8)]


def test_filters(store: Store) -> None:
    a = store.submit(label="x")
    b = store.submit(target="any", label="y")
    c = store.submit(target="right-claw")
    store.claim(b.id, RIGHT)
    store.complete(b.id, 1, RIGHT)
    store.claim(c.id, RIGHT)
    assert ids(store.listed(statuses=("queued",))) == [a.id]
    assert ids(store.listed(statuses=("done", "running"))) == [b.id, c.id]
    assert ids(store.listed(statuses=("dead",))) == []
    assert ids(store.listed(target="any")) == [b.id]
    assert ids(store.listed(machine="right-claw")) == [b.id, c.id]
    assert ids(store.listed(label="y")) == [b.id]
    assert ids(store.listed(label="y", statuses=("queued",))) == []
    assert ids(store.listed(LEFT, target="right-claw")) == []
    assert ids(store.listed(LEFT, machine="right-claw")) == [b.id]


def test_pages_hold_while_jobs_move(store: Store) -> None:
    made = [store.submit().id for _ in range(7)]
    first = store.listed(limit=3)
    assert first is not None
    assert ids(first) == made[:3]
    assert first.truncated is not True
    store.claim(made[0])
    store.complete(made[0], 1)
    later = store.submit().id
    assert isinstance(first.next_cursor, str)
    second = store.listed(limit=3, after=first.next_cursor)
    assert second is not None
    assert ids(second) == made[3:6]
    assert isinstance(second.next_cursor, str)
    third = store.listed(limit=3, after=second.next_cursor)
    assert third is not None
    assert ids(third) == [made[6], later]
    assert not isinstance(third.next_cursor, str)


def test_a_page_that_just_fits_has_no_next(store: Store) -> None:
    made = [store.submit().id for _ in range(3)]
    found = store.listed(limit=3)
    assert found is not None
    assert ids(found) == made
    assert not isinstance(found.next_cursor, str)


@pytest.mark.parametrize("cursor", ["junk", history.cursor("other0", 1)])
def test_a_foreign_cursor(store: Store, cursor: str) -> None:
    store.submit()
    assert store.listed(after=cursor) is None


@pytest.mark.parametrize("narrowed", [{}, {"statuses": ("queued",)}, {"statuses": ("queued", "waiting")}])
def test_the_newest_first_in_pages_that_hold_while_jobs_move(store: Store, narrowed: dict[str, Any]) -> None:
    made = [store.submit(needsApproval="waiting" in narrowed.get("statuses", ()) and n == 4).id for n in range(7)]
    first = store.listed(limit=3, newest=True, **narrowed)
    assert ids(first) == [made[6], made[5], made[4]]
    assert first is not None
    assert isinstance(first.next_cursor, str)
    store.submit()
    second = store.listed(limit=3, after=first.next_cursor, newest=True, **narrowed)
    assert ids(second) == [made[3], made[2], made[1]]
    assert second is not None
    assert isinstance(second.next_cursor, str)
    third = store.listed(limit=3, after=second.next_cursor, newest=True, **narrowed)
    assert ids(third) == [made[0]]
    assert third is not None
    assert not isinstance(third.next_cursor, str)


def test_a_claw_gets_the_newest_of_those_that_it_may_see(store: Store) -> None:
    made = [store.submit(target=("left-claw", "right-claw", "any")[n % 3]).id for n in range(6)]
    assert ids(store.listed(LEFT, newest=True)) == [made[n] for n in (5, 3, 2, 0)]
    assert ids(store.listed(LEFT, newest=True, statuses=("queued", "running"))) == [made[n] for n in (5, 3, 2, 0)]
    assert ids(store.listed(RIGHT, newest=True, limit=2)) == [made[n] for n in (5, 4)]


def test_what_a_label_has_in_progress(store: Store) -> None:
    """What a chat front asks before it starts a job for somebody."""
    done = store.submit(label="discord:1")
    store.claim(done.id)
    store.complete(done.id, 1)
    running = store.submit(label="discord:1")
    store.claim(running.id)
    store.submit(label="discord:1", needsApproval=True)
    queued = store.submit(label="discord:1")
    store.submit(label="discord:11")
    store.submit(label="discord:2")
    both = ("queued", "running")
    assert ids(store.listed(label="discord:1", statuses=both)) == [running.id, queued.id]
    assert ids(store.listed(label="discord:1", statuses=both, limit=1)) == [running.id]
    assert ids(store.listed(label="discord:1", statuses=both, limit=1, newest=True)) == [queued.id]
    assert ids(store.listed(label="discord:3", statuses=both)) == []
    store.complete(running.id, 1)
    assert ids(store.listed(label="discord:1", statuses=both)) == [queued.id]


def test_what_needs_a_person(store: Store) -> None:
    asked = store.submit(needsApproval=True, label="x")
    reviewed = [store.submit(needsReview=True, label="x") for _ in range(3)]
    late = [store.submit() for _ in range(2)]
    for job in reviewed[:2]:
        store.claim(job.id)
        store.complete(job.id, 1)
    for job in late:
        store.claim(job.id)
        store.release(job.id, 1)
        store.claim(job.id)
        with pytest.raises(StaleFence):
            store.complete(job.id, 1)
    store.complete(late[0].id, 2)
    for newest in (False, True):
        assert ids(store.listed(needs="approval", newest=newest)) == [asked.id]
        assert ids(store.listed(needs="late", newest=newest)) == [late[1].id]
        assert ids(store.listed(needs="late", statuses=("dead", "done"), newest=newest)) == []
        assert ids(store.listed(needs="review", label="y", newest=newest)) == []
    first = store.listed(needs="review", newest=True, limit=1)
    assert first is not None
    assert isinstance(first.next_cursor, str)
    assert ids(first) == [reviewed[1].id]
    second = store.listed(needs="review", newest=True, limit=1, after=first.next_cursor)
    assert ids(second) == [reviewed[0].id]
    assert ids(store.listed(RIGHT, needs="review")) == []


def test_without_a_limit_a_very_long_list_is_cut(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [store.submit(spec="x" * 400).id for _ in range(5)]
    monkeypatch.setattr(listing, "LIST_MOST", 4)
    found = store.listed()
    assert found is not None
    assert ids(found) == made[:4]
    assert found.truncated is True
    assert found.next_cursor == history.cursor(STORE_ID, 4)
    monkeypatch.setattr(listing, "LIST_BYTES", 3000)
    found = store.listed()
    assert found is not None
    assert ids(found) == made[:2]
    assert found.truncated is True


def test_a_job_over_the_bytes_alone_is_still_given(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [store.submit(spec="x" * 5000).id for _ in range(2)]
    monkeypatch.setattr(listing, "LIST_BYTES", 100)
    found = store.listed()
    assert found is not None
    assert ids(found) == made[:1]
    assert isinstance(found.next_cursor, str)


def test_an_empty_store(store: Store) -> None:
    found = store.listed()
    assert found is not None
    assert found.jobs == []
