"""The embedded engine: group commit and its rules, full disks, the end, the lock."""

import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.suites.harness import Raw
from tests.suites.manual_clock import START_MS, ManualClock

from contract.errors import Conflict, Internal, StorageFull, Unavailable
from spine.store.engine import Refusal, Signals, Tx
from spine.store.lock import DataDirBusy
from spine.store.migrations import NewerStore
from spine.store.sqlite import SqliteEngine, StoreUnusable

PUT = Raw("INSERT INTO meta (key, value) VALUES (?, ?)", "key", "value")
PUT_OR_END = Raw("INSERT OR ROLLBACK INTO meta (key, value) VALUES (?, ?)", "key", "value")
KEYS = Raw("SELECT key FROM meta ORDER BY key")
BIG = "x" * 300_000


def put(key: str, value: Any = "v") -> Any:
    return lambda tx: tx.run(PUT, key=key, value=value)


class Store:
    """An engine with a gate before its writer, and a record of what its connection carried out."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.engine = SqliteEngine(folder, self.clock)
        self.statements: list[str] = []
        self.engine._connection.set_trace_callback(self.statements.append)

    def closed_gate(self) -> threading.Event:
        """Hold the writer inside an operation; what is given meanwhile goes into the next batch. Set it to go on."""
        inside, gate = threading.Event(), threading.Event()

        def wait(tx: Tx) -> None:
            inside.set()
            assert gate.wait(10)

        self.engine.write(wait)
        assert inside.wait(10)
        return gate

    def batch(self, *operations: Any) -> list["Future[Any]"]:
        """Run operations in one batch; return their futures, resolved."""
        gate = self.closed_gate()
        futures = [self.engine.write(operation) for operation in operations]
        gate.set()
        for future in futures:
            if not future.cancelled():
                future.exception(10)
        return futures

    def keys(self) -> list[str]:
        """Return the keys that are in the store."""
        return self.engine.read(lambda tx: [row[0] for row in tx.rows(KEYS)]).result(10)

    def commits(self) -> int:
        """Return how many transactions were committed."""
        return self.statements.count("COMMIT")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    found = Store(folder)
    yield found
    found.engine.close()


# --- group commit ----------------------------------------------------------------------------------------------------


def test_many_futures_by_one_commit(store: Store) -> None:
    futures = store.batch(*(put(f"k{n:03}") for n in range(100)))
    assert [future.result() for future in futures] == [1] * 100
    assert store.commits() == 2  # the gate's and theirs
    assert len(store.keys()) == 100
    assert (store.engine.batches, store.engine.operations) == (2, 101)


def test_a_batch_is_bounded(store: Store) -> None:
    store.batch(*(put(f"k{n:03}") for n in range(600)))
    assert store.commits() == 1 + 3
    assert len(store.keys()) == 600


def test_one_time_for_a_batch(store: Store) -> None:
    def look(tx: Tx) -> int:
        store.clock.advance(1)
        return tx.now

    assert [f.result() for f in store.batch(look, look, look)] == [START_MS] * 3


def test_an_answer_leaves_after_the_commit_and_after_the_signals(store: Store) -> None:
    seen: list[object] = []
    gate = store.closed_gate()

    def told(signals: Signals) -> None:
        seen.append((store.statements[-1], signals.lanes, future.done()))

    store.engine.on_commit = told
    future = store.engine.write(lambda tx: tx.signals.lanes.update({7: 2}))
    other = store.engine.write(lambda tx: tx.signals.lanes.update({7: 1, 8: 1}))
    gate.set()
    other.result(10)
    assert seen[-1] == ("COMMIT", {7: 3, 8: 1}, False)


def test_signals_that_nobody_takes_do_not_end_the_writer(store: Store) -> None:
    def broken(signals: Signals) -> None:
        raise RuntimeError("the loop is closed")

    store.engine.on_commit = broken
    assert store.engine.write(put("a")).result(10) == 1
    assert store.engine.write(put("b")).result(10) == 1


# --- one that fails --------------------------------------------------------------------------------------------------


class Calls:
    """An operation that counts how often it is run."""

    def __init__(self, then: Any, key: str | None = None) -> None:
        self.count, self._then, self._key = 0, then, key

    def __call__(self, tx: Tx) -> Any:
        self.count += 1
        tx.signals.lanes[self.count] = 1
        if self._key:
            put(self._key)(tx)
        if isinstance(self._then, BaseException):
            raise self._then
        return self._then


def test_one_that_fails_after_it_wrote_goes_alone(store: Store) -> None:
    told: list[dict[int, int]] = []
    rolled_back: list[int] = []
    store.engine.on_commit = lambda signals: told.append(signals.lanes)
    store.engine.on_rollback = lambda: rolled_back.append(1)
    first, broken, last = Calls("one", "a"), Calls(Conflict("no"), "b"), Calls("two", "c")
    one, two, three = store.batch(first, broken, last)
    assert one.result() == "one"
    assert isinstance(two.exception(), Conflict)
    assert three.result() == "two"
    assert store.keys() == ["a", "c"]
    assert (first.count, broken.count, last.count) == (2, 2, 1)  # a batch may be run again
    assert told[-1] == {2: 1, 1: 1}  # of the run that was committed, without the broken one
    assert rolled_back == [1, 1]


def test_one_that_fails_before_it_wrote_costs_nothing(store: Store) -> None:
    first, broken, last = Calls("one", "a"), Calls(Conflict("no")), Calls("two", "c")
    one, two, three = store.batch(first, broken, last)
    assert (one.result(), three.result()) == ("one", "two")
    assert isinstance(two.exception(), Conflict)
    assert (first.count, broken.count, last.count) == (1, 1, 1)
    assert not any(statement.startswith("SAVEPOINT") for statement in store.statements)


def test_all_may_fail(store: Store) -> None:
    futures = store.batch(*(Calls(Conflict(str(n)), f"k{n}") for n in range(5)))
    assert [str(future.exception()) for future in futures] == ["0", "1", "2", "3", "4"]
    assert store.keys() == []


def test_a_refusal_that_is_returned_keeps_what_was_written(store: Store) -> None:
    refusal = Refusal(Conflict("kept"))
    (future,) = store.batch(Calls(refusal, "a"))
    assert future.result() is refusal
    assert store.keys() == ["a"]


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda tx: 1 / 0, id="a bug"),
        pytest.param(put("b", 2**70), id="a number too large"),
        pytest.param(put("b", object()), id="no value at all"),
        pytest.param(put("b", "\ud800"), id="a lone surrogate"),
        pytest.param(put("b", None), id="a constraint"),
        pytest.param(put("a"), id="a key that is taken"),
    ],
)
def test_a_fault_of_one_is_its_own(store: Store, wrong: Any) -> None:
    one, two, three = store.batch(put("a"), wrong, put("c"))
    assert (one.result(), three.result()) == (1, 1)
    assert isinstance(two.exception(), Internal)
    assert store.keys() == ["a", "c"]


def test_the_detail_of_a_bug_stays_inside(store: Store) -> None:
    (future,) = store.batch(Calls(ValueError("secret detail")))
    assert str(future.exception()) == "the operation failed (ValueError)"


def test_a_future_that_was_cancelled_is_not_carried_out(store: Store) -> None:
    gate = store.closed_gate()
    gone, stays = Calls("x", "gone"), Calls("y", "stays")
    first, second = store.engine.write(gone), store.engine.write(stays)
    assert first.cancel()
    gate.set()
    assert second.result(10) == "y"
    assert (gone.count, store.keys()) == (0, ["stays"])


def test_a_batch_in_which_all_have_gone(store: Store) -> None:
    gate = store.closed_gate()
    futures = [store.engine.write(put("gone")) for _ in range(3)]
    assert all(future.cancel() for future in futures)
    gate.set()
    assert store.engine.write(put("a")).result(10) == 1
    assert store.keys() == ["a"]


# --- the whole batch fails -------------------------------------------------------------------------------------------


def test_a_commit_that_fails_fails_all(store: Store) -> None:
    orphan = Raw("INSERT INTO comments (job_id, at, author, text) VALUES ('ghost', 1, 'a', 't')")

    def later(tx: Tx) -> None:
        tx.run(Raw("PRAGMA defer_foreign_keys = 1"))  # the missing job is found out at the commit
        tx.run(orphan)

    futures = store.batch(put("a"), later, put("c"))
    assert [type(future.exception()) for future in futures] == [Internal] * 3
    assert store.keys() == []
    assert store.engine.write(put("d")).result(10) == 1
    assert store.keys() == ["d"]


def fill_up(store: Store) -> None:
    (pages,) = store.engine._connection.execute("PRAGMA page_count").fetchone()
    store.engine._connection.execute(f"PRAGMA max_page_count = {pages + 10}")


def test_a_full_disk_fails_all_and_serves_again_when_freed(store: Store) -> None:
    assert store.engine.write(put("before")).result(10) == 1
    fill_up(store)
    never = Calls("x", "c")
    futures = store.batch(put("a"), put("b", BIG), never)
    assert [type(future.exception()) for future in futures] == [StorageFull] * 3
    assert never.count == 0
    assert store.keys() == ["before"]
    with pytest.raises(StorageFull):
        store.engine.write(put("again", BIG)).result(10)
    assert store.engine.write(put("small")).result(10) == 1  # there is still room for little
    store.engine._connection.execute("PRAGMA max_page_count = 1000000")
    assert store.engine.write(put("b", BIG)).result(10) == 1
    assert store.keys() == ["b", "before", "small"]


def test_a_full_disk_while_a_batch_is_run_a_second_time(store: Store) -> None:
    fill_up(store)
    futures = store.batch(put("a"), Calls(Conflict(), "b"), put("c", BIG))
    assert [type(future.exception()) for future in futures] == [StorageFull] * 3
    assert store.keys() == []


def swallowing(tx: Tx) -> str:
    try:
        tx.run(PUT_OR_END, key="a", value="v")
    except sqlite3.IntegrityError:
        pass
    return "fine"


def test_when_sqlite_has_ended_the_transaction_nothing_more_is_run(store: Store) -> None:
    never = Calls("x", "c")
    futures = store.batch(put("a"), swallowing, never)
    assert [type(future.exception()) for future in futures] == [StorageFull] * 3
    assert never.count == 0
    assert store.keys() == []
    assert store.engine.write(put("a")).result(10) == 1


class Breaking:
    """A connection whose COMMIT fails as told."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection, self._name = connection, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *args: Any) -> Any:
        if sql == "COMMIT":
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorname = self._name
            raise error
        return self._connection.execute(sql, *args)


@pytest.mark.parametrize(
    ("name", "kind", "ends"),
    [
        ("SQLITE_IOERR_FSYNC", StorageFull, [70]),
        ("SQLITE_IOERR_DIR_FSYNC", StorageFull, [70]),
        ("SQLITE_CORRUPT", Internal, [70]),
        ("SQLITE_IOERR_WRITE", StorageFull, []),
        ("SQLITE_FULL", StorageFull, []),
        ("SQLITE_BUSY", Unavailable, []),
        ("SQLITE_ERROR", Internal, []),
    ],
)
def test_which_faults_end_the_process(
    store: Store, monkeypatch: pytest.MonkeyPatch, name: str, kind: type[Exception], ends: list[int]
) -> None:
    exits: list[int] = []
    monkeypatch.setattr(os, "_exit", exits.append)
    assert store.engine.write(put("a")).result(10) == 1
    whole = store.engine._connection
    store.engine._connection = Breaking(whole, name)  # type: ignore[assignment]
    assert isinstance(store.engine.write(put("b")).exception(10), kind)
    store.engine._connection = whole
    assert store.engine.write(put("c")).result(10) == 1
    assert exits == ends
    assert store.keys() == ["a", "c"]


# --- reading ---------------------------------------------------------------------------------------------------------


def test_a_reader_sees_what_was_committed_and_nothing_else(store: Store) -> None:
    inside, gate = threading.Event(), threading.Event()

    def slow(tx: Tx) -> None:
        put("a")(tx)
        inside.set()
        assert gate.wait(10)

    future = store.engine.write(slow)
    assert inside.wait(10)
    assert store.keys() == []
    gate.set()
    future.result(10)
    assert store.keys() == ["a"]


def test_a_reader_has_one_snapshot(store: Store) -> None:
    def look(tx: Tx) -> tuple[list[str], list[str]]:
        before = [row[0] for row in tx.rows(KEYS)]
        store.engine.write(put("a")).result(10)
        return before, [row[0] for row in tx.rows(KEYS)]

    assert store.engine.read(look).result(10) == ([], [])
    assert store.keys() == ["a"]


def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(Internal):
        store.engine.read(put("a")).result(10)
    assert store.keys() == []
    assert store.engine.read(lambda tx: tx.now).result(10) == START_MS


# --- the end ---------------------------------------------------------------------------------------------------------


def test_close_finishes_what_was_given(folder: Path) -> None:
    store = Store(folder)
    gate = store.closed_gate()
    futures = [store.engine.write(put(f"k{n:04}")) for n in range(700)]
    closing = threading.Thread(target=store.engine.close)
    closing.start()
    gate.set()
    closing.join(10)
    assert not closing.is_alive()
    assert all(future.result(0) == 1 for future in futures)
    for late in (store.engine.write(put("late")), store.engine.read(lambda tx: tx.now)):
        assert isinstance(late.exception(10), Unavailable)
    store.engine.close()  # twice is once
    again = Store(folder)
    assert len(again.keys()) == 700
    again.engine.close()


def test_no_write_that_races_with_the_close_is_left_without_an_answer(folder: Path) -> None:
    store = Store(folder)
    futures: list[Future[Any]] = []
    start = threading.Barrier(5)

    def write(name: int) -> None:
        start.wait(10)
        futures.extend(store.engine.write(put(f"{name}-{n}")) for n in range(200))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    start.wait(10)
    store.engine.close()
    for thread in threads:
        thread.join(10)
    assert len(futures) == 800
    kept = sum(future.exception(10) is None for future in futures)
    assert all(isinstance(f.exception(0), Unavailable | None) for f in futures)
    again = Store(folder)
    assert len(again.keys()) == kept
    again.engine.close()


def test_the_write_ahead_log_is_folded_back(folder: Path) -> None:
    store = Store(folder)
    store.engine.write(put("a", BIG)).result(10)
    store.keys()
    store.engine.close()
    assert sorted(path.name for path in folder.iterdir()) == ["spine.db", "spine.lock"]
    assert store.engine.folded == (False, 0, 0)  # SQLite counts the pages of the log that it leaves


def test_in_passing_the_file_gets_what_only_the_log_had(store: Store, folder: Path) -> None:
    store.engine.write(put("a", BIG)).result(10)
    assert BIG.encode() not in (folder / "spine.db").read_bytes()
    with capture_logs() as logged:
        store.engine.checkpoint()
    assert [(line["event"], line["kind"], line["busy"]) for line in logged] == [("store.checkpoint", "passive", False)]
    assert logged[0]["pages"] == logged[0]["folded"] > 70  # 300,000 characters on pages of 4 KiB
    # The file alone, without its log, is the whole store.
    with closing(sqlite3.connect(f"file:{folder}/spine.db?mode=ro&immutable=1", uri=True)) as alone:
        assert alone.execute("SELECT length(value) FROM meta WHERE key = 'a'").fetchall() == [(300_000,)]
        assert alone.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    store.engine.write(put("b")).result(10)
    assert store.keys() == ["a", "b"]


def test_in_passing_nobody_is_waited_for(store: Store, folder: Path) -> None:
    store.engine.write(put("a")).result(10)
    with closing(sqlite3.connect(folder / "spine.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM meta").fetchone()
        store.engine.write(put("b", BIG)).result(10)
        with capture_logs() as logged:
            store.engine.checkpoint()  # as far as that reader's snapshot, and no further
        assert 0 < logged[0]["folded"] < logged[0]["pages"]
    gate = store.closed_gate()
    store.engine.checkpoint()  # while the writer is in the midst of a transaction
    gate.set()
    assert store.keys() == ["a", "b"]


def test_a_close_beside_a_reader_says_that_the_log_is_left(folder: Path) -> None:
    store = Store(folder)
    store.engine._connection.execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(folder / "spine.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM meta").fetchone()
        store.engine.write(put("a")).result(10)
        store.engine.close()
    assert store.engine.folded is not None
    assert store.engine.folded.busy
    assert not store.engine.folded.whole
    again = Store(folder)
    assert again.keys() == ["a"]
    again.engine.close()


def test_a_closed_store_is_not_opened_to_be_folded(folder: Path) -> None:
    store = Store(folder)
    store.engine.close()
    with pytest.raises(Unavailable):
        store.engine.checkpoint()
    assert sorted(path.name for path in folder.iterdir()) == ["spine.db", "spine.lock"]


# --- the data directory ----------------------------------------------------------------------------------------------


def test_a_second_server_is_refused_with_the_pid_of_the_first(store: Store, folder: Path) -> None:
    with pytest.raises(DataDirBusy, match=rf"{folder} is already served by process {os.getpid()};"):
        SqliteEngine(folder, ManualClock())
    assert store.engine.write(put("a")).result(10) == 1


def test_the_lock_of_a_pid_that_is_gone_is_free(folder: Path) -> None:
    folder.mkdir()
    (folder / "spine.lock").write_text("999999\n")
    SqliteEngine(folder, ManualClock()).close()
    assert (folder / "spine.lock").read_text() == f"{os.getpid()}\n"


def test_a_newer_store_is_refused_and_left_alone(folder: Path) -> None:
    store = Store(folder)
    insert = Raw("INSERT INTO schema_migrations VALUES (999, 1)")
    store.engine.write(lambda tx: tx.run(insert)).result(10)
    store.engine.close()
    before = (folder / "spine.db").read_bytes()
    for _ in range(2):  # the second time too: the lock was given back
        with pytest.raises(NewerStore, match=r"the store is at version 999, this program knows \d+:"):
            SqliteEngine(folder, ManualClock())
    assert (folder / "spine.db").read_bytes() == before


def test_a_file_that_is_no_store(folder: Path) -> None:
    folder.mkdir()
    (folder / "spine.db").write_bytes(b"this is a text of more than a hundred bytes " * 10)
    for _ in range(2):
        with pytest.raises(StoreUnusable, match="file is not a database"):
            SqliteEngine(folder, ManualClock())


def test_only_the_owner_may_look(store: Store, folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "spine.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "spine.lock").stat().st_mode) == 0o600


def test_how_the_file_is_written(store: Store) -> None:
    def pragma(name: str) -> Any:
        return store.engine._connection.execute(f"PRAGMA {name}").fetchone()[0]

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2
    assert pragma("foreign_keys") == 1
    assert pragma("busy_timeout") == 5000
