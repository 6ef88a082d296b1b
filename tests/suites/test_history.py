"""Events: pages, cursors, gaps, and who sees what."""

import base64

import pytest
from tests.suites.harness import HEAD, LEFT, RIGHT, STORE_ID, Store

from contract.errors import Forbidden, NotFound
from spine.queue import history
from spine.store import events


def coded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def walk(store: Store, limit: int, job_id: str | None = None) -> list[str]:
    """Return every event's type by pages."""
    seen: list[str] = []
    after: str | None = None
    while True:
        page = store.page(HEAD, after, limit, job_id)
        if not page.events:
            return seen
        seen += [event.type for event in page.events]
        after = page.next_cursor


def test_pages_join_without_gap_or_repeat(store: Store) -> None:
    job = store.submit()
    for fence in (1, 2, 3):
        store.claim(job.id)
        store.fail(job.id, fence)
    expected = ["job.created", *["job.claimed", "job.failed"] * 3]
    for limit in (1, 2, 3, 7, 100):
        assert walk(store, limit) == expected
        assert walk(store, limit, job.id) == expected


def test_a_record(store: Store) -> None:
    job = store.submit()
    (event,) = store.page(HEAD).events
    assert (event.job_id, event.at, event.type, event.by) == (
        job.id,
        "2023-11-14T22:13:20.000Z",
        "job.created",
        "head",
    )
    assert bytes(event.data) == b'{"target":"left-claw"}'
    assert event.cursor == store.page(HEAD).next_cursor


def test_a_cursor_goes_on_where_it_stood(store: Store) -> None:
    store.submit()
    page = store.page(HEAD)
    assert page.gap is False
    assert store.page(HEAD, page.next_cursor).events == []
    assert store.page(HEAD, page.next_cursor).next_cursor == page.next_cursor
    job = store.submit(target="right-claw")
    following = store.page(HEAD, page.next_cursor)
    assert [event.job_id for event in following.events] == [job.id]


def test_claws_see_their_own_and_any(store: Store) -> None:
    left, right, both = (store.submit(target=t) for t in ("left-claw", "right-claw", "any"))
    assert [e.job_id for e in store.page(LEFT).events] == [left.id, both.id]
    assert [e.job_id for e in store.page(RIGHT).events] == [right.id, both.id]
    assert [e.job_id for e in store.page(HEAD).events] == [left.id, right.id, both.id]


def test_one_job(store: Store) -> None:
    store.submit()
    job = store.submit(target="right-claw")
    assert [e.job_id for e in store.page(HEAD, job_id=job.id).events] == [job.id]
    with pytest.raises(Forbidden):
        store.page(LEFT, job_id=job.id)
    with pytest.raises(NotFound):
        store.page(HEAD, job_id="ghost")


@pytest.mark.parametrize(
    "cursor",
    [
        "!!!",
        "é",
        "a",
        coded("other0:1"),
        coded(f"{STORE_ID}:x"),
        coded(f"{STORE_ID}:-1"),
        coded(f"{STORE_ID}:{2**63}"),
        coded(f"{STORE_ID}:"),
        coded(f"{STORE_ID}:{2**62}"),
        coded(STORE_ID),
    ],
)
def test_an_unknown_cursor_is_a_gap_and_begins_anew(store: Store, cursor: str) -> None:
    store.submit()
    page = store.page(HEAD, cursor)
    assert page.gap is True
    assert [event.type for event in page.events] == ["job.created"]
    assert store.page(HEAD, page.next_cursor).gap is False


def test_no_events(store: Store) -> None:
    page = store.page(HEAD)
    assert (page.events, page.gap) == ([], False)
    assert store.read(events.last) == 0


@pytest.mark.parametrize("at", [0, 1, 10**6, 2**63 - 1])
def test_a_cursor_reads_back(at: int) -> None:
    assert history.position(STORE_ID, history.cursor(STORE_ID, at)) == at
    assert history.position("other0", history.cursor(STORE_ID, at)) is None
    assert history.position(STORE_ID, None) == 0
    assert history.position(STORE_ID, "") == 0
