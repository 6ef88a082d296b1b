"""Backups that are made regularly, in a folder: which stay, when one is due, what is left when something fails."""

import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.support.eventually import eventually
from tests.support.queue_store import DAY_MS, QueueStore, SetClock

from contract.clock import Clock
from spine.backup_settings import Disk, Plan
from spine.operations import regular
from spine.operations.disk import DiskPlace
from spine.operations.kept import Kept, made_at, name_of, superfluous
from spine.operations.refusal import BrokenBackup, Refused
from spine.operations.restore import restore
from spine.store import lock

START = 1_767_225_600_000  # 2026-01-01T00:00:00Z
HOUR_MS = 3_600_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def kept(*moments: str) -> list[Kept]:
    return [Kept(name_of(at(moment)), at(moment)) for moment in moments]


# --- names and the rule ----------------------------------------------------------------------------------------------


def test_a_name_is_its_moment() -> None:
    assert name_of(START + 999) == "spine-20260101T000000Z"
    assert made_at("spine-20260101T000000Z") == START
    for other in (
        "spine-2026-03-01",
        "spine-20261301T000000Z",
        "spine-20260101T000000Z.x",
        ".spine-20260101T000000Z",
        "",
    ):
        assert made_at(other) is None


DAYS = kept("2026-03-01T06:00", "2026-03-01T18:00", "2026-03-02T06:00", "2026-03-02T18:00", "2026-03-03T06:00")


@pytest.mark.parametrize(
    ("keep", "days", "stay"),
    [
        (1, 0, ["2026-03-03T06:00"]),
        (2, 0, ["2026-03-02T18:00", "2026-03-03T06:00"]),
        (1, 1, ["2026-03-03T06:00"]),
        (1, 2, ["2026-03-02T18:00", "2026-03-03T06:00"]),
        (1, 9, ["2026-03-01T18:00", "2026-03-02T18:00", "2026-03-03T06:00"]),
        (3, 3, ["2026-03-01T18:00", "2026-03-02T06:00", "2026-03-02T18:00", "2026-03-03T06:00"]),
        (9, 0, [one.name and datetime.fromtimestamp(one.at / 1000, UTC).strftime("%Y-%m-%dT%H:%M") for one in DAYS]),
    ],
)
def test_which_stay(keep: int, days: int, stay: list[str]) -> None:
    gone = superfluous(DAYS, keep, days)
    assert sorted(set(DAYS) - set(gone)) == kept(*stay)


def test_a_clock_that_was_far_ahead_costs_no_day() -> None:
    """Days without a backup do not count: neither those that the clock leapt over nor those in which nothing ran."""
    found = [*kept("2036-01-01T00:00"), *DAYS]
    assert set(found) - set(superfluous(found, 1, 3)) == set(
        kept("2036-01-01T00:00", "2026-03-03T06:00", "2026-03-02T18:00")
    )


def test_the_last_one_always_stays() -> None:
    assert superfluous(kept("2026-03-01T06:00"), 0, 0) == []
    assert superfluous([], 1, 1) == []


@pytest.mark.parametrize(
    ("newest", "due"),
    [
        (None, 0),  # none yet
        (START - 3 * HOUR_MS, 0),
        (START - HOUR_MS, 0),
        (START - HOUR_MS + 1, 1),
        (START, HOUR_MS),
        (START + 9 * DAY_MS, HOUR_MS),  # the clock was ahead when it was made
    ],
)
def test_when_one_is_due(newest: int | None, due: int) -> None:
    assert regular.wait_ms(newest, START, HOUR_MS) == due


# --- a round ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[QueueStore]:
    opened = QueueStore(tmp_path / "data", SetClock(START))
    yield opened
    opened.close()


@pytest.fixture
def place(tmp_path: Path) -> DiskPlace:
    (tmp_path / "backups").mkdir()
    return DiskPlace(tmp_path / "backups")


def plan(tmp_path: Path, keep: int = 2, keep_days: int = 0, every_ms: int = HOUR_MS) -> Plan:
    return Plan(Disk(tmp_path / "backups"), every_ms, keep, keep_days)


def test_a_round_makes_one_and_takes_away_what_is_not_kept(store: QueueStore, place: DiskPlace, tmp_path: Path) -> None:
    (tmp_path / "backups" / "spine-by-hand").mkdir()
    (tmp_path / "backups" / "notes.txt").write_text("not ours")
    removed = []
    for _ in range(4):
        store.submit()
        removed += regular.carry_out(plan(tmp_path), place, store.folder, store.clock).removed
        store.clock.ms += HOUR_MS
    assert removed == ["spine-20260101T000000Z", "spine-20260101T010000Z"]
    assert [one.name for one in place.backups()] == ["spine-20260101T030000Z", "spine-20260101T020000Z"]
    left = ["notes.txt", "spine-20260101T020000Z", "spine-20260101T030000Z", "spine-by-hand"]
    assert sorted(os.listdir(tmp_path / "backups")) == left
    with place.fetched("spine-20260101T030000Z", tmp_path / "new") as folder:
        assert restore(folder, tmp_path / "new", False, store.clock).manifest.jobs == {"queued": 4}


def test_a_round_that_fails_takes_nothing_away(
    store: QueueStore, place: DiskPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        regular.carry_out(plan(tmp_path), place, store.folder, store.clock)
        store.clock.ms += HOUR_MS
    before = place.backups()

    def full(_folder: Path) -> None:
        raise OSError(28, "No space left on device", "x")

    with monkeypatch.context() as patched:
        patched.setattr("spine.operations.files.sync_folders", full)
        with pytest.raises(OSError, match="No space left"):
            regular.carry_out(plan(tmp_path, keep=1), place, store.folder, store.clock)
    assert place.backups() == before
    assert sorted(os.listdir(tmp_path / "backups")) == sorted(one.name for one in before)


def test_one_that_cannot_be_taken_away_is_told_and_the_new_one_counts(
    store: QueueStore, place: DiskPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    regular.carry_out(plan(tmp_path), place, store.folder, store.clock)
    store.clock.ms += HOUR_MS

    def refused(_name: str) -> None:
        raise OSError(30, "Read-only file system", "x")

    monkeypatch.setattr(place, "remove", refused)
    done = regular.carry_out(plan(tmp_path, keep=1), place, store.folder, store.clock)
    assert (done.kept.name, done.removed) == ("spine-20260101T010000Z", [])
    assert "Read-only" in (done.unpruned or "")
    assert len(place.backups()) == 2


def test_what_was_cut_off_is_swept_before_room_is_needed(
    store: QueueStore, place: DiskPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backups"
    (folder / ".spine-20251231T120000Z.partial-77").mkdir()
    (folder / ".spine-20251231T000000Z.removed").mkdir()
    (folder / ".by-hand.partial-77").mkdir()
    (folder / "spine-20251231T130000Z").mkdir()  # without a manifest it is no backup
    left = [".by-hand.partial-77", "spine-20251231T130000Z"]

    def full(_source: Path, _target: Path, _progress: object) -> None:
        raise OSError(28, "No space left on device", "x")

    with monkeypatch.context() as patched:
        patched.setattr("spine.store.offline.copy", full)
        with pytest.raises(OSError, match="No space left"):
            regular.carry_out(plan(tmp_path), place, store.folder, store.clock)
    assert sorted(os.listdir(folder)) == left
    regular.carry_out(plan(tmp_path), place, store.folder, store.clock)
    assert sorted(os.listdir(folder)) == [*left, "spine-20260101T000000Z"]
    assert [one.name for one in place.backups()] == ["spine-20260101T000000Z"]


def test_of_two_in_one_second_the_later_gets_the_next(store: QueueStore, place: DiskPlace, tmp_path: Path) -> None:
    made = [regular.carry_out(plan(tmp_path), place, store.folder, store.clock).kept.name for _ in range(2)]
    assert made == ["spine-20260101T000000Z", "spine-20260101T000001Z"]


def test_two_at_once_are_kept_apart(store: QueueStore, place: DiskPlace, tmp_path: Path) -> None:
    handle = lock.make_backups(store.folder)
    assert handle is not None
    with pytest.raises(Refused, match="another process backs up"):
        regular.carry_out(plan(tmp_path), place, store.folder, store.clock)
    os.close(handle)
    regular.carry_out(plan(tmp_path), place, store.folder, store.clock)


def test_a_folder_that_is_not_there_is_not_made(store: QueueStore, tmp_path: Path) -> None:
    """An unmounted disk must not be mistaken for an empty one."""
    with pytest.raises(FileNotFoundError):
        regular.carry_out(plan(tmp_path), DiskPlace(tmp_path / "backups"), store.folder, store.clock)
    assert not (tmp_path / "backups").exists()


@pytest.mark.parametrize("name", ["spine-20990101T000000Z", "../data", "notes"])
def test_a_name_that_is_not_there(place: DiskPlace, tmp_path: Path, name: str) -> None:
    with pytest.raises(BrokenBackup, match="holds no backup"), place.fetched(name, tmp_path / "new"):
        pass


# --- the thread ------------------------------------------------------------------------------------------------------


class Told:
    """What the thread told."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self.failures = 0

    def failed(self) -> None:
        self.failures += 1


def backups(store: QueueStore, found: Plan, told: Told, clock: Clock | None = None) -> regular.Backups:
    return regular.Backups(found, store.folder, clock or store.clock, told.made.append, told.failed)


def test_it_begins_where_the_last_server_stopped(store: QueueStore, place: DiskPlace, tmp_path: Path) -> None:
    first = regular.carry_out(plan(tmp_path), place, store.folder, store.clock)
    store.clock.ms += HOUR_MS - 1
    told = Told()
    thread = backups(store, plan(tmp_path), told)
    thread.start()
    eventually(lambda: told.made)
    thread.stop()
    assert told.made == [first.kept.at], "it was told of, and none was due"
    assert len(place.backups()) == 1


def test_one_of_a_clock_that_was_ahead_keeps_no_other_from_being_made(
    store: QueueStore, place: DiskPlace, tmp_path: Path
) -> None:
    store.clock.ms = START + 365 * DAY_MS
    regular.carry_out(plan(tmp_path), place, store.folder, store.clock)
    store.clock.ms = START
    assert regular.told(plan(tmp_path), place.backups(), START) == (
        False,
        "1 there, all of them of a time to come; is the clock right?",
    )
    told = Told()
    thread = backups(store, plan(tmp_path), told)
    thread.start()
    eventually(lambda: told.made)
    thread.stop()
    assert told.made == [START]
    assert regular.told(plan(tmp_path), place.backups(), START) == (
        True,
        "2 there, the newest of 2026-01-01T00:00:00.000Z",
    )


def test_a_clock_that_is_put_back_makes_the_wait_no_longer(store: QueueStore, place: DiskPlace, tmp_path: Path) -> None:
    store.clock.ms = START + 365 * DAY_MS
    told = Told()
    thread = backups(store, plan(tmp_path, every_ms=20), told)
    thread.start()
    eventually(lambda: told.made)
    store.clock.ms = START

    def time_passes() -> bool:
        store.clock.ms += 20
        return len(told.made) > 1

    eventually(time_passes)
    thread.stop()
    assert START <= told.made[1] < START + DAY_MS


def test_it_tries_again_until_it_succeeds(store: QueueStore, tmp_path: Path) -> None:
    told = Told()
    thread = backups(store, plan(tmp_path, every_ms=50), told)
    with capture_logs() as logged:
        thread.start()
        eventually(lambda: told.failures >= 2)
        (tmp_path / "backups").mkdir()
        eventually(lambda: told.made)
        thread.stop()
    failed = [line for line in logged if line["event"] == "backup.failed"]
    assert {line["log_level"] for line in failed} == {"error"}
    assert "backups" in failed[0]["error"]
    assert [line["failures"] for line in failed[:2]] == [1, 2]
    assert told.made[0] == START
    assert [one.name for one in DiskPlace(tmp_path / "backups").backups()] == ["spine-20260101T000000Z"]


def test_it_ends_in_the_midst_of_one_and_leaves_nothing(
    store: QueueStore, place: DiskPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, gate = threading.Event(), threading.Event()

    def slow(_db: Path, still: bool, check: bool = True) -> None:
        inside.set()
        assert gate.wait(20)
        raise regular.Stopped

    monkeypatch.setattr("spine.store.offline.examine", slow)
    told = Told()
    thread = backups(store, plan(tmp_path), told)
    thread.start()
    assert inside.wait(20)
    thread.stop(seconds=0.05)  # one that hangs is not waited for
    assert thread._thread.is_alive()
    gate.set()
    thread._thread.join(20)
    assert (told.made, told.failures) == ([], 0)
    assert os.listdir(tmp_path / "backups") == []
