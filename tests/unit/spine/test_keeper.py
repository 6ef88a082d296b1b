"""The reaper's plans on a clock that a test moves, and the ticks on their threads."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from apscheduler.executors.pool import ThreadPoolExecutor
from tests.suites.harness import LEFT, Store
from tests.suites.manual_clock import START_MS, ManualClock

from contract.clock import SystemClock
from spine.blobs.base import Upload, read
from spine.blobs.disk import DiskBlobs
from spine.keeper import Keeper, Reaper
from spine.queue import reap
from spine.queue.once import Answer, key_of, once
from spine.queue.rules import Rules
from spine.store import blobs, logs
from spine.store.sqlite import SqliteEngine

INTERVAL_MS = 30_000


class Watched:
    """A store, a reaper, and what it planned."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.store = Store(SqliteEngine(folder, self.clock), self.clock)
        self.plans: list[int] = []
        self.ended: list[int] = []
        self.reaper = self.new_reaper()

    def new_reaper(self, shared: bool = False) -> Reaper:
        reaper = Reaper(self.store.engine, self.store.rules, self.clock, INTERVAL_MS, self.ended.append, shared)
        reaper.replan = self.plans.append
        return reaper

    def running(self) -> str:
        """Return a job that runs under a full lease from now."""
        job = self.store.submit()
        self.store.claim(job.id)
        return job.id

    def lease(self, job_id: str) -> int | None:
        """Return how long a job's lease holds from now (ms)."""
        until = self.store.job(job_id).lease_until
        return None if until is None else until - self.clock.now()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    found = Watched(tmp_path / "data")
    yield found
    found.store.engine.close()


# --- plans -----------------------------------------------------------------------------------------------------------


def test_without_leases_the_interval(watched: Watched) -> None:
    watched.reaper.turn()
    assert watched.plans == [INTERVAL_MS + 1]
    assert watched.ended == [0]


def test_the_next_lease_end_when_it_comes_sooner(watched: Watched) -> None:
    watched.running()
    watched.reaper.turn()
    watched.clock.advance(290)
    watched.reaper.turn()
    assert watched.plans == [INTERVAL_MS + 1, 10_001]
    watched.clock.advance(10.001)
    watched.reaper.turn()
    assert watched.ended == [0, 0, 1]
    assert watched.plans[2:] == [INTERVAL_MS + 1]


def test_a_hint_wakes_it_earlier_and_never_later(watched: Watched) -> None:
    watched.reaper.turn()
    watched.reaper.hint(START_MS + 15_000)
    watched.reaper.hint(START_MS + 20_000)
    watched.reaper.hint(START_MS + 15_000)
    watched.reaper.hint(START_MS + 60_000)
    watched.reaper.hint(START_MS + 14_000)
    assert watched.plans == [INTERVAL_MS + 1, 15_001, 14_001]


def test_a_hint_for_a_time_that_is_over_means_at_once(watched: Watched) -> None:
    watched.reaper.turn()
    watched.reaper.hint(START_MS - 5)
    assert watched.plans[-1] == 1


def test_a_hint_that_comes_during_a_pass_is_not_forgotten(watched: Watched) -> None:
    hinted = threading.Event()

    def on_expired(count: int) -> None:
        watched.reaper.hint(START_MS + 2000)
        hinted.set()

    watched.reaper._expired = on_expired
    watched.reaper.turn()
    assert hinted.is_set()
    assert watched.plans == [2001, 2001]


def test_more_than_one_pass_can_take_is_taken_in_one_turn(watched: Watched) -> None:
    for _ in range(reap.PASS_MOST + 3):
        watched.store.submit()
    while watched.store.take(LEFT, most=100):
        pass
    watched.clock.advance(15)
    watched.reaper.turn()
    assert watched.ended == [500, 3]
    assert watched.plans == [INTERVAL_MS + 1]


def test_a_store_that_cannot_be_written_does_not_end_it(watched: Watched) -> None:
    watched.store.engine.close()
    watched.reaper.turn()
    assert watched.plans == [INTERVAL_MS + 1]
    assert watched.ended == []


# --- grace -----------------------------------------------------------------------------------------------------------


def test_at_the_start_leases_that_ended_meanwhile_get_a_minute(watched: Watched) -> None:
    job = watched.running()
    watched.reaper.turn()
    watched.clock.advance(3600)
    again = watched.new_reaper()
    assert again.begin() == 1
    assert watched.lease(job) == 60_000
    again.turn()
    assert watched.store.job(job).status == "running"
    assert watched.plans[-1] == INTERVAL_MS + 1
    watched.clock.advance(60)
    again.turn()
    assert watched.store.job(job).status == "queued"


def test_at_the_first_start_there_is_nothing_to_excuse(watched: Watched) -> None:
    assert watched.reaper.begin() == 0


def test_a_start_right_after_a_pass_excuses_only_what_ends_soon(watched: Watched) -> None:
    soon = watched.running()
    watched.clock.advance(280)
    late = watched.running()
    watched.reaper.turn()
    watched.clock.advance(1)
    assert watched.new_reaper().begin() == 1
    assert (watched.lease(soon), watched.lease(late)) == (60_000, 299_000)


def test_a_short_lease_gets_no_more_than_itself(watched: Watched) -> None:
    watched.store.rules = Rules(20_000, 5000, 5, frozenset({"left-claw"}), 1000)
    watched.reaper = watched.new_reaper()
    job = watched.running()
    watched.reaper.turn()
    watched.clock.advance(500)
    assert watched.reaper.begin() == 1
    assert watched.lease(job) == 20_000


def test_after_a_jump_of_the_wall_clock_nobody_loses_a_lease(watched: Watched) -> None:
    job = watched.running()
    watched.reaper.turn()
    watched.clock.jump(8 * 3600)
    watched.reaper.turn()
    assert watched.store.job(job).status == "running"
    assert watched.lease(job) == 60_000
    watched.clock.advance(60)
    watched.reaper.turn()
    assert watched.store.job(job).status == "queued"


def test_a_lease_beyond_the_jump_stays_as_it_is(watched: Watched) -> None:
    job = watched.running()
    watched.reaper.turn()
    watched.clock.jump(100)
    watched.reaper.turn()
    assert watched.lease(job) == 200_000


def test_a_small_step_of_the_clock_is_no_jump(watched: Watched) -> None:
    job = watched.running()
    watched.reaper.turn()
    watched.clock.advance(298)
    watched.clock.jump(2)
    watched.reaper.turn()
    assert watched.store.job(job).status == "queued"


def test_time_that_passes_on_both_clocks_is_no_jump(watched: Watched) -> None:
    job = watched.running()
    watched.reaper.turn()
    watched.clock.advance(3600)
    watched.reaper.turn()
    assert watched.store.job(job).status == "queued"


# --- ticks -----------------------------------------------------------------------------------------------------------


def test_the_ticks_end_a_lease_by_themselves(tmp_path: Path) -> None:
    clock = SystemClock()
    store = Store(SqliteEngine(tmp_path / "data", clock), clock)  # type: ignore[arg-type]
    store.rules = Rules(100, 100, 5, frozenset({"left-claw"}), 1000)
    ended = threading.Event()
    reaper = Reaper(store.engine, store.rules, clock, 3_600_000, lambda count: ended.set() if count else None)
    keeper = Keeper(store.engine, DiskBlobs(tmp_path / "blobs", 1000), reaper)
    keeper.start()
    try:
        store.engine.on_commit = lambda signals: reaper.hint(signals.deadline) if signals.deadline else None
        job = store.submit()
        store.claim(job.id)
        assert ended.wait(20)  # long before the interval: the claim's commit gave the hint
        assert store.job(job.id).status == "queued"
    finally:
        keeper.stop()
        store.engine.close()
    reaper.hint(0)  # after the stop nobody plans
    keeper.stop()


class Kept:
    """A keeper whose ticks a test makes itself."""

    def __init__(self, watched: Watched, folder: Path) -> None:
        self.files = DiskBlobs(folder, 1000)
        self.keeper = Keeper(watched.store.engine, self.files, watched.reaper)


@pytest.fixture
def kept(watched: Watched, tmp_path: Path) -> Kept:
    return Kept(watched, tmp_path / "blobs")


class _Told(ThreadPoolExecutor):
    """An executor that says when the scheduler, with its locks in hand, begins to wait for the ticks under way."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()

    def shutdown(self, wait: bool = True) -> None:
        self.asked.set()
        super().shutdown(wait)


def test_a_stop_waits_for_a_tick_that_is_about_to_plan(watched: Watched, kept: Kept) -> None:
    executor = _Told()
    kept.keeper._scheduler.add_executor(executor)
    ready, planning, go = threading.Event(), threading.Event(), threading.Event()

    def in_the_pass(_count: int) -> None:
        ready.wait(60)

    watched.reaper._expired = in_the_pass
    kept.keeper.start()
    plan = watched.reaper.replan

    def held(delay_ms: int) -> None:
        planning.set()
        go.wait(60)
        plan(delay_ms)

    watched.reaper.replan = held
    ready.set()
    assert planning.wait(60)
    stopping = threading.Thread(target=kept.keeper.stop, daemon=True)
    stopping.start()
    assert executor.asked.wait(60)
    go.set()
    stopping.join(60)
    assert not stopping.is_alive()


def test_an_ended_log_becomes_a_blob(watched: Watched, kept: Kept) -> None:
    store, job = watched.store, watched.running()
    data = bytes(range(256)) * 600
    store.append(job, 1, 0, data)
    kept.keeper.seal()
    assert list(kept.files.listed()) == []
    store.complete(job, 1)
    kept.keeper.seal()
    kept.keeper.seal()
    log = store.read(lambda tx: logs.find(tx, job, 1))
    assert log is not None
    assert log.size == len(data)
    assert log.blob_id is not None
    assert read(kept.files, log.blob_id, 0, len(data)) == data
    assert [one.blob_id for one in kept.files.listed()] == [log.blob_id]
    row = store.read(lambda tx: blobs.find(tx, log.blob_id or ""))
    assert row == (
        log.blob_id,
        f"{job}-1.log",
        len(data),
        hashlib.sha256(data).hexdigest(),
        "text/plain; charset=utf-8",
        START_MS,
        "spine",
    )
    assert store.read(lambda tx: blobs.named_for(tx, log.blob_id or "", "left-claw")) is True
    assert store.dump()["log_chunks"] == []


def test_a_log_that_is_larger_than_a_blob_may_be_is_sealed_all_the_same(watched: Watched, kept: Kept) -> None:
    store, job = watched.store, watched.running()
    store.append(job, 1, 0, b"x" * 1001)
    store.fail(job, 1, requeue=False)
    kept.keeper.seal()
    assert len(list(kept.files.listed())) == 1


@pytest.mark.parametrize("when", ["before it was read", "while it was written"])
def test_a_log_that_another_server_sealed_meanwhile_leaves_no_file(
    watched: Watched, kept: Kept, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], when: str
) -> None:
    store, job = watched.store, watched.running()
    store.append(job, 1, 0, b"x")
    store.complete(job, 1)
    begin = kept.files.sealing

    def late() -> Upload:
        if when == "before it was read":
            store.write(lambda tx: logs.seal(tx, job, 1, "blob_theirs"))
        upload = begin()
        keep = upload.keep

        def kept_late(blob_id: str) -> None:
            keep(blob_id)
            store.write(lambda tx: logs.seal(tx, job, 1, "blob_theirs"))

        monkeypatch.setattr(upload, "keep", kept_late)
        return upload

    monkeypatch.setattr(kept.files, "sealing", late)
    kept.keeper.seal()
    assert list(kept.files.listed()) == []
    log = store.read(lambda tx: logs.find(tx, job, 1))
    assert log is not None
    assert log.blob_id == "blob_theirs"
    assert "keeper.log_short" not in capsys.readouterr().out


def test_sealing_on_a_store_that_is_closed_raises_nothing(watched: Watched, kept: Kept) -> None:
    watched.store.engine.close()
    kept.keeper.seal()
    kept.keeper.prune()
    kept.keeper.checkpoint()


def test_old_keys_go(watched: Watched, kept: Kept) -> None:
    key = key_of("head", "POST", "/jobs", "k", b"")
    watched.store.write(lambda tx: once(tx, key, lambda _tx: Answer(200, b"x")))
    kept.keeper.prune()
    assert len(watched.store.dump()["idempotency"]) == 1
    watched.clock.advance(24 * 3600 + 1)
    kept.keeper.prune()
    assert watched.store.dump()["idempotency"] == []


def test_every_hour_the_file_gets_what_only_the_log_had(watched: Watched, kept: Kept, tmp_path: Path) -> None:
    log = tmp_path / "data" / "spine.db-wal"
    watched.store.submit(spec="x" * 100_000)
    assert b"x" * 4000 not in (tmp_path / "data" / "spine.db").read_bytes()
    assert log.stat().st_size > 100_000
    kept.keeper.checkpoint()
    assert b"x" * 4000 in (tmp_path / "data" / "spine.db").read_bytes()
    kept.keeper.start()
    try:
        trigger = kept.keeper._scheduler.get_job("checkpoint").trigger
        assert trigger.interval.total_seconds() == 3600
    finally:
        kept.keeper.stop()


# --- several servers on one store ------------------------------------------------------------------------------------


def test_a_server_that_starts_beside_another_puts_off_no_end_of_a_lease(watched: Watched) -> None:
    job_id = watched.running()
    watched.clock.advance(280)
    watched.reaper.turn()
    watched.clock.advance(16)
    watched.reaper.turn()
    watched.clock.advance(3.999)
    assert watched.new_reaper(shared=True).begin() == 0
    assert watched.lease(job_id) == 1
    watched.clock.advance(0.001)  # 4 s since anybody noted a pass: nobody was there
    assert watched.new_reaper(shared=True).begin() == 1
    assert watched.lease(job_id) == 60_000


def test_each_of_several_servers_notes_a_pass_often_enough_for_the_others(watched: Watched) -> None:
    plans: list[int] = []
    reaper = watched.new_reaper(shared=True)
    reaper.replan = plans.append
    reaper.turn()
    assert plans == [1_501]
