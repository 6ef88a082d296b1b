"""The doctor: each fault has a finding that says what to do, and the exit code says whether there is one."""

import json
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.queue_store import DAY_MS, QueueStore, SetClock

from spine.cli import cli
from spine.operations import doctor
from spine.store import lock, meta
from spine.store.migrations import files

BLOB = "blob_" + "a" * 24
SHA = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # of b"hello"
TOKENS = {"HEAD_TOKEN": "head-token-0001", "LEFT_CLAW_TOKEN": "left-token-0001", "RIGHT_CLAW_TOKEN": "right-token-0001"}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in TOKENS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SPINE_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *args])


def found() -> dict[str, tuple[str, str]]:
    checks = json.loads(run("--json").output)["checks"]
    assert all(set(check) == {"name", "state", "detail"} for check in checks)
    return {check["name"]: (check["state"], check["detail"]) for check in checks}


def now() -> int:
    return time.time_ns() // 1_000_000


def stored(data: Path, work: Callable[[QueueStore], object] = lambda _: None, ms: int | None = None) -> None:
    """Make a store, do something in it, stop."""
    store = QueueStore(data, SetClock(now() if ms is None else ms))
    work(store)
    store.close()


def with_blob(store: QueueStore) -> None:
    store.blob(BLOB, b"hello", SHA)


def test_all_is_well(data: Path) -> None:
    stored(data, lambda s: (s.submit(), s.done(), with_blob(s), s.write(lambda tx: meta.put(tx, meta.LAST_PASS, "1"))))
    result = run()
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == [
        *("ok", "ok", "hint", "ok", "ok", "ok", "ok", "ok", "ok", "ok"),
    ]
    checks = found()
    assert checks["integrity"] == ("ok", "whole: 1 done, 1 queued, 4 events, 1 blobs")
    assert checks["schema"] == ("ok", f"version {files('sqlite')[-1][0]}")
    assert checks["server"] == ("hint", "nobody serves it")
    assert checks["reaper"] == ("ok", "last pass at 1970-01-01T00:00:00.001Z")
    assert checks["blobs"] == ("ok", "1, all with their bytes")


def test_a_store_that_is_not_there_yet_is_no_fault(data: Path) -> None:
    assert run().exit_code == 0
    assert not data.exists()


def test_without_settings_the_store_is_looked_at_all_the_same(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(data)
    monkeypatch.delenv("HEAD_TOKEN")
    assert run().exit_code == 78
    checks = found()
    assert (checks["settings"][0], checks["integrity"][0]) == ("failed", "ok")
    assert checks["settings"][1].startswith("HEAD_TOKEN: missing")


def test_a_folder_open_to_others_fails(data: Path) -> None:
    stored(data)
    data.chmod(0o755)
    assert run().exit_code == 1
    assert found()["data folder"] == ("failed", f"{data} is open to other users; chmod 700 {data}")


def test_a_server_is_named(data: Path) -> None:
    store = QueueStore(data, SetClock(now()))
    store.write(lambda tx: meta.put(tx, meta.LAST_PASS, str(now())))
    assert found()["server"] == ("ok", f"process {os.getpid()} serves it")
    assert found()["reaper"][0] == "ok"
    store.write(lambda tx: meta.put(tx, meta.LAST_PASS, str(now() - 3_600_000)))
    assert found()["reaper"][0] == "failed"
    assert run().exit_code == 1
    store.close()
    assert found()["reaper"][0] == "ok", "where nobody serves, nobody reaps"


def test_a_clock_that_was_set_back_fails(data: Path) -> None:
    stored(data, QueueStore.submit, now() + DAY_MS)
    state, told = found()["clock"]
    assert (state, "in the future" in told) == ("failed", True)


def test_a_newer_store_fails_and_an_older_one_is_a_hint(data: Path) -> None:
    stored(data)
    with closing(sqlite3.connect(data / "spine.db")) as store:
        store.execute("INSERT INTO schema_migrations VALUES (9999, 0)")
        store.commit()
        assert found()["schema"][0] == "failed"
        store.execute("DELETE FROM schema_migrations WHERE version > 1")
        store.commit()
        assert found()["schema"][0] == "hint"
    assert run().exit_code == 0


def test_a_file_that_is_no_store_fails(data: Path) -> None:
    stored(data)
    (data / "spine.db").write_bytes(b"x" * 8192)
    assert found()["store"][0] == "failed"
    assert run().exit_code == 1


def test_a_damaged_store_fails(data: Path) -> None:
    stored(data, lambda s: [s.submit(spec="x" * 3000) for _ in range(100)])
    with (data / "spine.db").open("r+b") as file:
        file.seek(60 * 4096)
        file.write(b"\xff" * 4096 * 5)
    checks = found()
    assert "failed" in (checks.get("integrity", ("",))[0], checks.get("store", ("",))[0])


@pytest.mark.parametrize("bytes_now", [None, b"hell"])
def test_a_blob_without_its_bytes_fails(data: Path, bytes_now: bytes | None) -> None:
    stored(data, with_blob)
    place = data / "blobs" / "aa" / BLOB
    place.unlink()
    if bytes_now is not None:
        place.write_bytes(bytes_now)
    assert found()["blobs"] == ("failed", f"1 of 1 have no bytes, or not all: {BLOB}; take them from a backup")
    assert run().exit_code == 1


def test_a_file_that_no_row_names_is_a_hint_once_it_is_old(data: Path) -> None:
    stored(data, with_blob)
    orphan = data / "blobs" / "aa" / ("blob_" + "a" * 23 + "b")
    orphan.write_bytes(b"")
    assert "orphans" not in found()
    os.utime(orphan, (time.time() - 3700,) * 2)
    state, told = found()["orphans"]
    assert (state, orphan.name in told) == ("hint", True)
    assert run().exit_code == 0


@pytest.mark.parametrize(("name", "check", "state"), [("DISK_LEAST_BYTES", "disk", "failed")])
def test_a_full_disk_fails(data: Path, monkeypatch: pytest.MonkeyPatch, name: str, check: str, state: str) -> None:
    stored(data)
    monkeypatch.setattr(doctor, name, 1 << 60)
    assert found()[check][0] == state


def test_a_long_write_ahead_log_is_a_hint(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = QueueStore(data, SetClock(now()))
    store.submit()
    monkeypatch.setattr(doctor, "WAL_MOST_BYTES", 1000)
    assert found()["wal"][0] == "hint"
    store.close()
    assert found()["wal"][0] == "ok"


def test_a_restore_that_was_cut_off_fails(data: Path) -> None:
    stored(data)
    (data / lock.RESTORING).write_text("before-restore-x\n")
    assert found()["restore"][0] == "failed"


def test_a_v0_directory_in_the_same_place_is_told_of(data: Path) -> None:
    stored(data)
    (data / "jobs").mkdir()
    (data / "jobs" / "a.json").write_text("{}")
    assert found()["v0 data"] == ("hint", f"{data} holds jobs of Spine v0; `spine import {data}` brings them in")
