"""Retention: what goes, what stays, what is left of it, and what a reader of events is told."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.queue_store import DAY_MS, HEAD, LEFT, QueueStore, SetClock

from contract import wire
from contract.errors import Gone, NotFound, Unavailable
from spine.blobs.disk import DiskBlobs
from spine.keeper import RETENTION_BATCH, Retention
from spine.queue import groups, history, notices
from spine.queue.access import visible
from spine.queue.rules import Rules
from spine.store import lock, plans
from spine.store import notices as outbox

START = 1_767_225_600_000  # 2026-01-01T00:00:00Z
BLOB = "blob_" + "a" * 24
SHA = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # of b"hello"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[QueueStore]:
    opened = QueueStore(tmp_path / "data", SetClock(START))
    yield opened
    opened.close()


def retention(store: QueueStore, days: int = 30) -> Retention:
    return Retention(store.engine, DiskBlobs(store.folder / "blobs", 1 << 20), store.folder, days)


def rows(store: QueueStore, table: str) -> int:
    with sqlite3.connect(store.folder / "spine.db") as connection:
        count: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    connection.close()
    return count


def page(store: QueueStore, cursor: str | None, limit: int = 100, job_id: str | None = None) -> wire.EventPage:
    return store.read(lambda tx: history.page(tx, "store", HEAD.principal, cursor, limit, job_id)[0])


def test_a_job_that_ended_long_ago_goes_with_all_that_hangs_on_it(store: QueueStore) -> None:
    job_id = store.submit(meta={"a": BLOB})
    fence = store.claim(job_id).fence
    store.comment(job_id, "well?")
    store.log(job_id, fence, b"x" * 70_000)
    store.complete(job_id, fence, '{"ok":1}')
    store.write(lambda tx: plans.add(tx, "plan", job_id, "digest"))
    tables = ("jobs", "attempts", "comments", "events", "logs", "log_chunks", "blob_mentions", "plans")
    assert [rows(store, name) for name in tables] == [1, 1, 1, 4, 1, 2, 1, 1]
    store.clock.ms += 30 * DAY_MS
    assert retention(store).turn() == (0, 0)
    store.clock.ms += 1
    assert retention(store).turn() == (1, 0)
    assert [rows(store, name) for name in tables] == [0] * 8
    with pytest.raises(Gone) as gone:
        store.read(lambda tx: visible(tx, HEAD.principal, job_id))
    assert gone.value.members == {"jobId": job_id, "endedAt": "2026-01-01T00:00:00.000Z"}
    with pytest.raises(Gone):
        store.write(lambda tx: visible(tx, LEFT.principal, job_id))
    with pytest.raises(NotFound):
        store.read(lambda tx: visible(tx, HEAD.principal, "never-there"))


def test_a_notice_that_was_given_up_goes_with_the_jobs_of_its_age(store: QueueStore) -> None:
    store.done(notify=["ops", "waits"])
    given_up = store.read(lambda tx: outbox.page(tx, None, "ops", None, 2**62, 1))[0]
    store.write(lambda tx: notices.give_up(tx, HEAD, given_up.id))
    store.clock.ms += 30 * DAY_MS
    retention(store).turn()
    assert rows(store, "notices") == 2
    store.clock.ms += 1
    retention(store, 0).turn()
    assert rows(store, "notices") == 2
    retention(store).turn()
    assert store.read(lambda tx: outbox.page(tx, None, None, None, 2**62, 9))[0].addressee == "waits"
    assert rows(store, "notices") == 1


def watch(store: QueueStore, rules: Rules, **asked: Any) -> str:
    request = wire.NewGroup(name="g", **asked)
    return store.write(lambda tx: groups.create(tx, rules, HEAD, request)).id


def states(store: QueueStore) -> dict[str, str]:
    listed = store.read(lambda tx: groups.page(tx, None, 100))
    return {group.id: group.state for group in listed.groups}


def test_a_group_that_is_done_or_closed_goes_with_the_jobs_of_its_age(store: QueueStore) -> None:
    job_id, open_one = store.submit(), store.submit()
    done = watch(store, store.rules, job_ids=[job_id])
    closed, kept = (watch(store, store.rules, job_ids=[open_one]) for _ in range(2))
    store.complete(job_id, store.claim(job_id).fence)
    assert store.write(lambda tx: groups.tell(tx, done)) == "done"
    store.write(lambda tx: groups.close(tx, HEAD, closed))
    store.clock.ms += 30 * DAY_MS
    retention(store).turn()
    assert states(store) == {kept: "open", closed: "closed", done: "done"}
    store.clock.ms += 1
    retention(store, 0).turn()
    assert len(states(store)) == 3
    retention(store).turn()
    assert states(store) == {kept: "open"}
    assert rows(store, "group_jobs") == 1


def test_a_group_that_no_job_came_to_is_closed_and_goes_later(store: QueueStore) -> None:
    nobody = watch(store, store.rules, label="nobody")
    awaited = watch(store, store.rules, label="later", deadline_seconds=20 * 86_400)
    store.submit(label="here")
    used = watch(store, store.rules, label="here")
    store.clock.ms += 30 * DAY_MS
    retention(store).turn()
    assert set(states(store).values()) == {"open"}
    store.clock.ms += 1
    retention(store, 0).turn()
    assert set(states(store).values()) == {"open"}
    retention(store).turn()
    assert states(store) == {used: "open", awaited: "open", nobody: "closed"}
    newest = store.read(lambda tx: history.page(tx, "store", HEAD.principal, None, 100)[0]).events[-1]
    assert (newest.type, newest.by) == ("group.closed", "spine")
    store.clock.ms += 30 * DAY_MS + 1
    retention(store).turn()
    assert states(store) == {used: "open", awaited: "closed"}


def test_nothing_goes_without_the_setting(store: QueueStore) -> None:
    job_id = store.done()
    store.clock.ms += 10_000 * DAY_MS
    assert retention(store, 0).turn() == (0, 0)
    assert store.job(job_id) is not None


def test_what_has_not_ended_or_is_waited_for_stays(store: QueueStore) -> None:
    queued, running = store.submit(), store.submit()
    store.claim(running)
    needed = store.submit(needsReview=True)
    dependant = store.submit(after=[needed])
    store.complete(needed, store.claim(needed).fence)
    settled = store.done()
    free = store.submit(after=[settled])
    unreviewed = store.done(needsReview=True)
    store.clock.ms += 31 * DAY_MS
    assert retention(store).turn() == (1, 0)
    assert [store.job(j) is not None for j in (queued, running, needed, dependant, free, unreviewed)] == [True] * 6
    assert store.job(settled) is None, "what waited for it has gone on"
    store.review(needed, "accept")
    store.review(unreviewed, "accept")
    store.cancel(dependant)
    assert retention(store).turn() == (2, 0)
    assert (store.job(needed), store.job(unreviewed)) == (None, None)
    assert store.job(dependant) is not None, "it ended today"


def test_a_backlog_goes_in_batches_until_none_is_left(store: QueueStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spine.keeper.RETENTION_PAUSE_SECONDS", 0)
    monkeypatch.setattr("spine.keeper.RETENTION_BATCH", 3)
    for _ in range(8):
        store.done()
    store.clock.ms += 31 * DAY_MS
    assert RETENTION_BATCH == 500
    assert retention(store).turn() == (8, 0)
    stopped = retention(store)
    stopped.stop()
    assert stopped.turn() == (0, 0)


def test_a_blob_goes_when_it_is_old_and_no_job_names_it(store: QueueStore) -> None:
    disk = DiskBlobs(store.folder / "blobs", 1 << 20)
    other, young = "blob_" + "d" * 24, "blob_" + "c" * 24
    store.blob(BLOB, b"hello", SHA)
    store.blob(other, b"hello", SHA)
    ended, alive = store.done(meta={"x": BLOB}), store.submit(meta={"x": other})
    store.clock.ms += 31 * DAY_MS
    store.blob(young, b"hello", SHA)
    assert retention(store).turn() == (1, 1)
    assert sorted(one.blob_id for one in disk.listed()) == sorted([other, young])
    assert rows(store, "blobs") == 2
    assert (store.job(ended), store.job(alive) is None) == (None, False)


class Away(DiskBlobs):
    """A place that may be away."""

    away = True
    asked = 0

    def remove(self, blob_id: str) -> None:
        self.asked += 1
        if self.away:
            raise Unavailable
        super().remove(blob_id)


def test_bytes_that_could_not_go_do_so_later_and_no_further_row_goes_before(store: QueueStore) -> None:
    place = Away(store.folder / "blobs", 1 << 20)
    old = Retention(store.engine, place, store.folder, 30)
    store.blob(BLOB, b"hello", SHA)
    store.clock.ms += 31 * DAY_MS
    assert old.turn() == (0, 0)
    assert (rows(store, "blobs"), place.asked) == (0, 1)
    other = "blob_" + "d" * 24
    store.blob(other, b"hello", SHA)
    store.clock.ms += 31 * DAY_MS
    assert old.turn() == (0, 0)
    assert (rows(store, "blobs"), place.asked) == (1, 2)
    place.away = False
    assert old.turn() == (0, 1)
    assert rows(store, "blobs") == 0
    assert list(place.listed()) == []


def test_no_blob_goes_while_a_backup_copies_them(store: QueueStore) -> None:
    store.blob(BLOB, b"hello", SHA)
    store.clock.ms += 31 * DAY_MS
    backup = lock.keep_files(store.folder)
    assert retention(store).turn() == (0, 0)
    os.close(backup)
    assert retention(store).turn() == (0, 1)


# --- what a reader of events is told -------------------------------------------------------------------------------


def walk(store: QueueStore, cursor: str | None, limit: int = 2) -> tuple[list[str], list[bool]]:
    """Read pages to the end; return the events' types and what each page said of a gap."""
    types: list[str] = []
    gaps: list[bool] = []
    while True:
        found = page(store, cursor, limit)
        gaps.append(found.gap)
        types += [event.type for event in found.events]
        if not found.events:
            return types, gaps
        cursor = found.next_cursor


def test_a_cursor_in_front_of_what_was_deleted_is_told_of_a_gap_once(store: QueueStore) -> None:
    store.submit()
    behind = page(store, None).next_cursor
    store.done()
    caught_up = page(store, behind).next_cursor
    store.clock.ms += 31 * DAY_MS
    assert page(store, behind).gap is False
    assert retention(store).turn() == (1, 0)
    store.submit()

    lost = page(store, behind, 1)
    assert (lost.gap, [event.type for event in lost.events]) == (True, ["job.created"])
    assert walk(store, lost.next_cursor, 1) == (["job.created"], [False, False])
    assert walk(store, None, 1) == (["job.created"] * 2, [False] * 3), "who begins anew has lost nothing"
    assert walk(store, caught_up) == (["job.created"], [False, False]), "who had read it all has lost nothing"


def test_a_later_deletion_of_older_events_is_a_gap_only_for_those_in_front_of_them(store: QueueStore) -> None:
    old = store.submit()
    at_old = page(store, None).next_cursor
    store.done()
    at_second = page(store, at_old).next_cursor
    store.clock.ms += 31 * DAY_MS
    retention(store).turn()
    after_first = page(store, at_second)
    assert after_first.gap is False
    again = page(store, None)
    store.complete(old, store.claim(old).fence)
    caught_up = page(store, after_first.next_cursor).next_cursor
    store.clock.ms += 31 * DAY_MS
    assert retention(store).turn() == (1, 0)
    assert (page(store, caught_up).gap, page(store, again.next_cursor).gap) == (False, True)


def test_a_reader_at_the_end_of_an_emptied_log_waits_there(store: QueueStore) -> None:
    store.done()
    end = page(store, None).next_cursor
    store.clock.ms += 31 * DAY_MS
    retention(store).turn()
    empty = page(store, end)
    assert (empty.gap, empty.events) == (False, [])
    assert page(store, empty.next_cursor).gap is False
    store.submit()
    assert [e.type for e in page(store, empty.next_cursor).events] == ["job.created"]


def test_a_jobs_own_events_have_no_gap_by_the_end_of_another(store: QueueStore) -> None:
    kept = store.submit()
    cursor = page(store, None, 1, kept).next_cursor
    store.done()
    store.clock.ms += 31 * DAY_MS
    retention(store).turn()
    assert page(store, cursor, 1, kept).gap is False
