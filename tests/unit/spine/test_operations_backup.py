"""Backup and restore without a server: what is copied, what is refused with nothing touched, what is new after."""

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.queue_store import LEFT, QueueStore, SetClock

from contract.errors import StaleFence
from spine.operations.backup import back_up
from spine.operations.refusal import BrokenBackup, Refused
from spine.operations.restore import restore
from spine.queue import named, settle
from spine.store import attempts, events, lock, meta
from spine.store.lock import DataDirBusy, HalfRestored
from spine.store.migrations import files
from spine.store.sqlite import SqliteEngine

START = 1_767_225_600_000  # 2026-01-01T00:00:00Z
BLOB = "blob_" + "a" * 24
SHA = hashlib.sha256(b"hello").hexdigest()
CLOCK = SetClock(START)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[QueueStore]:
    opened = QueueStore(tmp_path / "data", SetClock(START))
    yield opened
    opened.close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[Path], QueueStore]]:
    """Open stores that the test did not begin with."""
    found: list[QueueStore] = []

    def open_one(folder: Path) -> QueueStore:
        found.append(QueueStore(folder, SetClock(START + 1000)))
        return found[-1]

    yield open_one
    for one in found:
        one.close()


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# --- backup --------------------------------------------------------------------------------------------------------


def test_a_backup_is_one_moment_with_every_byte_that_it_names(store: QueueStore, tmp_path: Path) -> None:
    store.blob(BLOB, b"hello", SHA)
    (store.folder / "blobs" / "bb").mkdir()
    (store.folder / "blobs" / "bb" / ("blob_" + "b" * 24)).write_bytes(b"no row names me")
    done, queued = store.done(), store.submit()
    path = tmp_path / "b"

    made = back_up(store.folder, path, CLOCK)

    assert made.jobs == {"done": 1, "queued": 1}
    assert (made.events, made.blobs, made.blob_bytes, made.damaged) == (4, 1, 5, [])
    assert (made.created_at, made.schema, made.format) == (
        "2026-01-01T00:00:00.000Z",
        files("sqlite")[-1][0],
        "spinal-cord-backup",
    )
    assert sorted(tree(path)) == [f"blobs/aa/{BLOB}", "manifest.json", "spine.db"]
    assert (
        json.loads((path / "manifest.json").read_bytes())["databaseSha256"]
        == hashlib.sha256((path / "spine.db").read_bytes()).hexdigest()
    )
    with closing(sqlite3.connect(f"file:{path}/spine.db?mode=ro&immutable=1", uri=True)) as copy:
        assert copy.execute("SELECT id FROM jobs ORDER BY seq").fetchall() == [(done,), (queued,)]
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert oct(path.stat().st_mode & 0o777) == "0o700"
    assert sorted(os.listdir(tmp_path)) == ["b", "data"], "nothing half-made is left"


def test_writes_that_come_while_it_copies_do_not_begin_it_anew(
    store: QueueStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spine.store.offline._PAGES", 100)
    for _ in range(20):
        store.submit(spec="x" * 200_000)
    told: list[int] = []

    def progress(what: str, done: int, _total: int) -> None:
        if what == "database":
            told.append(done)
            store.submit(spec="too late")

    made = back_up(store.folder, tmp_path / "b", CLOCK, progress)

    assert made.jobs == {"queued": 20}
    assert told == sorted(told)
    assert 10 < len(told) < 20


def test_a_path_that_exists_is_left_alone(store: QueueStore, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(Refused, match="exists"):
        back_up(store.folder, tmp_path / "b", CLOCK)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Refused, match="exists"):
        back_up(store.folder, tmp_path / "dangling", CLOCK)
    assert list((tmp_path / "b").iterdir()) == []


@pytest.mark.parametrize("where", ["nothing/there", "data"])
def test_no_store_no_backup(tmp_path: Path, where: str) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(Refused, match="no store"):
        back_up(tmp_path / where, tmp_path / "b", CLOCK)
    assert os.listdir(tmp_path) == ["data"]


def test_a_damaged_store_gives_no_backup_and_leaves_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    store = QueueStore(data, SetClock(START))
    for n in range(200):
        store.submit(spec="x" * 3000, label=f"l{n}")
    store.close()
    with (data / "spine.db").open("r+b") as file:
        file.seek(40 * 4096)
        file.write(b"\xff" * 4096 * 20)
    with pytest.raises(Refused):
        back_up(data, tmp_path / "b", CLOCK)
    assert os.listdir(tmp_path) == ["data"]


@pytest.mark.parametrize("bytes_now", [None, b"jello", b"hell"])
def test_a_lost_blob_is_told_of_and_the_rest_is_saved(
    store: QueueStore, tmp_path: Path, bytes_now: bytes | None
) -> None:
    store.blob(BLOB, b"hello", SHA)
    other = "blob_" + "b" * 24
    store.blob(other, b"hello", SHA)
    place = store.folder / "blobs" / "aa" / BLOB
    place.unlink()
    if bytes_now is not None:
        place.write_bytes(bytes_now)
    made = back_up(store.folder, tmp_path / "b", CLOCK)
    assert (made.damaged, made.blobs) == ([BLOB], 2)
    restored = restore(tmp_path / "b", tmp_path / "new", False, CLOCK)
    assert restored.manifest.damaged == [BLOB]
    assert (tmp_path / "new" / "blobs" / "bb" / other).read_bytes() == b"hello"


# --- restore -------------------------------------------------------------------------------------------------------


def test_no_holder_of_before_holds_anything_after(
    store: QueueStore, tmp_path: Path, opened: Callable[[Path], QueueStore]
) -> None:
    queued, ended, last = store.submit(), store.done(), store.submit(maxAttempts=1)
    keyed, parked = store.submit(concurrencyKey="k"), store.submit(concurrencyKey="k")
    fence = store.claim(last).fence
    store.claim(keyed)
    lease = store.take_lease("leader")
    before = store.write(meta.store_id)
    back_up(store.folder, tmp_path / "b", CLOCK)

    done = restore(tmp_path / "b", tmp_path / "new", False, SetClock(START + 1000))

    assert (done.jobs, done.leases, done.requeued, done.aside) == (5, 1, [last, keyed], None)
    new = opened(tmp_path / "new")
    rows = {name: new.job(job_id) for name, job_id in {"q": queued, "e": ended, "l": last, "k": keyed}.items()}
    assert {name: row and (row.status, row.fence, row.attempts) for name, row in rows.items()} == {
        "q": ("queued", 1_000_000, 0),
        "e": ("done", 1_000_001, 1),
        "l": ("queued", 1_000_001, 0),
        "k": ("queued", 1_000_001, 0),
    }
    row = rows["l"]
    assert row is not None
    assert (row.claimed_by, row.worker_id, row.lease_until) == (None, None, None)
    known = new.read(lambda tx: attempts.of_job(tx, last))
    assert [(a.fence, a.outcome, a.ended_at) for a in known] == [(1, "expired", START + 1000)]
    event = new.read(lambda tx: events.of_job(tx, last, 0, 10))[-1]
    assert (event.type, event.author) == ("job.expired", "spine")
    assert json.loads(event.data) == {"attempt": 1, "fence": 1, "claimedBy": "left-claw", "reason": "restored"}

    assert new.write(meta.store_id) == done.store_id != before
    refused = new.complete_refused(last, fence, '"mine"').error
    assert (refused.code, refused.members["lateResult"]) == ("stale_fence", "kept")
    with pytest.raises(StaleFence):
        new.write(lambda tx: settle.heartbeat(tx, new.rules, LEFT, last, fence, None))
    with pytest.raises(StaleFence):
        new.write(lambda tx: named.renew(tx, LEFT, "leader", lease, 1000, None))
    assert new.take_lease("leader") == 1_000_002
    assert new.claim(last).fence == 1_000_002
    parked_row = new.job(parked)
    assert parked_row is not None
    assert (new.job(keyed) or parked_row).ready + parked_row.ready == 1, "one slot, one job in the ready index"


def test_a_result_that_ended_a_job_before_can_be_repeated_for_ever(
    store: QueueStore, tmp_path: Path, opened: Callable[[Path], QueueStore]
) -> None:
    job_id = store.submit()
    fence = store.claim(job_id).fence
    store.complete(job_id, fence, "1")
    back_up(store.folder, tmp_path / "b", CLOCK)
    restore(tmp_path / "b", tmp_path / "new", False, CLOCK)
    assert opened(tmp_path / "new").complete(job_id, fence, "1").status == "done"


def test_a_store_that_is_there_is_set_aside_and_not_deleted(
    store: QueueStore, tmp_path: Path, opened: Callable[[Path], QueueStore]
) -> None:
    store.blob(BLOB, b"hello", SHA)
    kept = store.submit()
    back_up(store.folder, tmp_path / "b", CLOCK)
    lost = store.submit()
    other = tmp_path / "other"
    shutil.copytree(store.folder, other)  # with the write-ahead log, as a machine that lost its power leaves it
    (other / "notes.txt").write_text("mine")
    before = tree(other)

    with pytest.raises(Refused, match="--replace"):
        restore(tmp_path / "b", other, False, CLOCK)
    assert tree(other) == before

    done = restore(tmp_path / "b", other, True, CLOCK)
    assert done.aside == other / "before-restore-20260101T000000.000Z"
    assert sorted(p.name for p in other.iterdir()) == [
        *("before-restore-20260101T000000.000Z", "blobs", "files.lock", "notes.txt", "spine.db", "spine.lock"),
    ]
    new = opened(other)
    assert (new.job(kept) is None, new.job(lost) is None) == (False, True)
    aside = opened(done.aside)
    assert (aside.job(kept) is None, aside.job(lost) is None) == (False, False)
    assert (done.aside / "blobs" / "aa" / BLOB).read_bytes() == b"hello"


def test_a_served_directory_is_left_alone(store: QueueStore, tmp_path: Path) -> None:
    back_up(store.folder, tmp_path / "b", CLOCK)
    before = tree(store.folder)
    with pytest.raises(DataDirBusy, match=str(os.getpid())):
        restore(tmp_path / "b", store.folder, True, CLOCK)
    assert tree(store.folder) == before


def _truncate(b: Path) -> None:
    os.truncate(b / "spine.db", (b / "spine.db").stat().st_size - 4096)


def _flip(b: Path) -> None:
    data = bytearray((b / "spine.db").read_bytes())
    data[5000] ^= 1
    (b / "spine.db").write_bytes(data)


def _manifest(**changes: Any) -> Callable[[Path], None]:
    def change(b: Path) -> None:
        found = json.loads((b / "manifest.json").read_bytes()) | changes
        (b / "manifest.json").write_text(json.dumps(found))

    return change


def _foreign_database(b: Path) -> None:
    (b / "spine.db").unlink()
    with closing(sqlite3.connect(b / "spine.db")) as other:
        other.execute("CREATE TABLE t (x)")
    data = (b / "spine.db").read_bytes()
    _manifest(databaseBytes=len(data), databaseSha256=hashlib.sha256(data).hexdigest())(b)


def _other_blob(b: Path) -> None:
    (b / "blobs" / "aa" / BLOB).write_bytes(b"jello")


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "no manifest": (lambda b: (b / "manifest.json").unlink(), "no backup"),
    "half a manifest": (lambda b: os.truncate(b / "manifest.json", 50), "cannot be understood"),
    "a member missing": (_manifest(jobs=None), "cannot be understood"),
    "another program": (_manifest(format="restic"), "another program"),
    "a newer format": (_manifest(version=3), "newer"),
    "a newer store": (_manifest(schema=9999), "newer"),
    "no database": (lambda b: (b / "spine.db").unlink(), "cannot be read"),
    "a short database": (_truncate, "not the file"),
    "a bit flipped": (_flip, "not the file"),
    "a foreign database": (_foreign_database, "cannot be read as a store"),
    "another store's manifest": (_manifest(storeId="0123456789ab"), "do not belong together"),
    "a blob missing": (lambda b: (b / "blobs" / "aa" / BLOB).unlink(), "lacks the bytes"),
    "a blob cut off": (lambda b: os.truncate(b / "blobs" / "aa" / BLOB, 4), "lacks the bytes"),
    "other bytes in a blob": (_other_blob, "not those that were stored"),
}


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("there", [False, True])
def test_a_bad_backup_is_refused_before_anything_is_touched(
    store: QueueStore, tmp_path: Path, fault: str, there: bool
) -> None:
    store.blob(BLOB, b"hello", SHA)
    store.submit()
    backup, target = tmp_path / "b", tmp_path / "target"
    back_up(store.folder, backup, CLOCK)
    if there:
        shutil.copytree(store.folder, target)
        (target / "spine.lock").unlink()
    before = tree(target)
    spoil, told = BROKEN[fault]
    spoil(backup)
    spoilt = tree(backup)

    with pytest.raises(BrokenBackup, match=told):
        restore(backup, target, there, CLOCK)

    assert target.exists() == there
    after = tree(target)
    after.pop("spine.lock", None)
    assert after == before
    assert tree(backup) == spoilt


def test_a_backup_of_a_newer_store_is_refused_by_what_the_store_says(store: QueueStore, tmp_path: Path) -> None:
    backup = tmp_path / "b"
    back_up(store.folder, backup, CLOCK)
    with closing(sqlite3.connect(backup / "spine.db")) as newer:
        newer.execute("INSERT INTO schema_migrations VALUES (9999, 0)")
        newer.commit()
    data = (backup / "spine.db").read_bytes()
    _manifest(databaseBytes=len(data), databaseSha256=hashlib.sha256(data).hexdigest())(backup)
    with pytest.raises(BrokenBackup):
        restore(backup, tmp_path / "new", False, CLOCK)
    assert not (tmp_path / "new").exists()


# --- a restore that was cut off --------------------------------------------------------------------------------------


@pytest.mark.parametrize("renames", range(6))
def test_a_restore_that_was_cut_off_lets_no_server_start_and_is_ended_by_the_same_call(
    store: QueueStore,
    tmp_path: Path,
    opened: Callable[[Path], QueueStore],
    monkeypatch: pytest.MonkeyPatch,
    renames: int,
) -> None:
    store.blob(BLOB, b"hello", SHA)
    kept = store.submit()
    back_up(store.folder, tmp_path / "b", CLOCK)
    lost = store.submit()
    target = tmp_path / "target"
    shutil.copytree(store.folder, target)
    assert (target / "spine.db-wal").exists()
    left = [renames]
    real = Path.rename

    def rename(self: Path, to: Path) -> Path:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return real(self, to)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        restore(tmp_path / "b", target, True, CLOCK)
    monkeypatch.undo()
    with pytest.raises(HalfRestored, match="again"):
        SqliteEngine(target, CLOCK)

    done = restore(tmp_path / "b", target, True, SetClock(START + 5000))

    assert done.aside == target / "before-restore-20260101T000000.000Z"
    assert sorted(p.name for p in done.aside.iterdir()) == ["blobs", "spine.db", "spine.db-shm", "spine.db-wal"]
    assert opened(target).job(kept) is not None
    assert opened(done.aside).job(lost) is not None, "the old store is whole, its last commits too"
    assert (target / "blobs" / "aa" / BLOB).read_bytes() == b"hello"
    assert lock.holder(tmp_path / "nowhere") is None


@pytest.mark.parametrize("name", ["../../../escaped", "blob_../escaped", "blob_..escaped", "/tmp/escaped", ""])
def test_a_backup_whose_blobs_would_lead_elsewhere_is_refused(store: QueueStore, tmp_path: Path, name: str) -> None:
    """The digests of a backup tell that it is whole, not who wrote it."""
    store.blob(BLOB, b"hello", SHA)
    path = tmp_path / "b"
    back_up(store.folder, path, CLOCK)
    with closing(sqlite3.connect(path / "spine.db")) as copy:
        copy.execute("UPDATE blobs SET id = ?", (name,))
        copy.commit()
    made = json.loads((path / "manifest.json").read_bytes())
    made["databaseSha256"] = hashlib.sha256((path / "spine.db").read_bytes()).hexdigest()
    made["databaseBytes"] = (path / "spine.db").stat().st_size
    (path / "manifest.json").write_text(json.dumps(made))
    with pytest.raises(BrokenBackup, match="no name of one"):
        restore(path, tmp_path / "new", False, CLOCK)
    assert not (tmp_path / "new").exists()
