"""The operator's commands where the store is in a PostgreSQL database; a stale file beside it is never acted on."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result
from tests.support.full_store import BLOB, START, Full
from tests.support.postgres_server import PostgresServer
from tests.support.queue_store import SetClock
from tests.support.server import MakeProcess
from tests.support.spine_process import TOKENS, free_port

from contract.clock import SystemClock
from spine.cli import cli
from spine.operations.files import quiet
from spine.operations.move import move
from spine.operations.opening import refuse_left_behind
from spine.operations.restore import restore
from spine.store import events
from spine.store.copying import COPIED
from spine.store.postgres import PostgresEngine
from spine.store.sqlite import SqliteEngine

pytestmark = pytest.mark.docker

Run = Callable[..., Result]


@pytest.fixture
def database(empty_database: str) -> str:
    return empty_database


@pytest.fixture
def url(postgres: PostgresServer, database: str) -> str:
    return postgres.url(database)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def run(url: str, data: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run commands with a server's settings, its store in the database."""
    for name, value in {**TOKENS, "SPINE_DATA_DIR": str(data), "SPINE_DATABASE_URL": url}.items():
        monkeypatch.setenv(name, value)

    def command(*args: str | Path) -> Result:
        return CliRunner().invoke(cli, [str(arg) for arg in args])

    return command


@pytest.fixture
def moved(url: str, data: Path) -> Full:
    """A store with rows in every table, moved to the database."""
    full = Full(data)
    full.close()
    move(data, url, 0, SystemClock(), lambda _line: None, quiet)
    return full


def found(run: Run) -> dict[str, tuple[str, str]]:
    done = run("doctor", "--json")
    return {check["name"]: (check["state"], check["detail"]) for check in json.loads(done.stdout)["checks"]}


# --- backup --------------------------------------------------------------------------------------------------------


def test_a_backup_of_a_database_is_one_of_a_file(
    postgres: PostgresServer, database: str, run: Run, moved: Full, tmp_path: Path
) -> None:
    made = run("backup", tmp_path / "b")
    assert (made.exit_code, made.stderr) == (0, "")
    assert (
        made.stdout
        == f"{tmp_path / 'b'}: 4 jobs (1 done, 1 queued, 1 running, 1 waiting), 8 events, 1 blobs (0.0 MiB)\n"
    )
    with closing(sqlite3.connect(tmp_path / "b" / "spine.db")) as copy:
        assert {t.name: sorted(copy.execute(f"SELECT * FROM {t.name}"), key=repr) for t in COPIED} == {
            t.name: sorted(postgres.run(f'SELECT * FROM "{t.name}"', database), key=repr) for t in COPIED
        }
        assert dict(copy.execute("SELECT name, seq FROM sqlite_sequence"))["messages"] == 40
    back = restore(tmp_path / "b", tmp_path / "elsewhere", False, SetClock(START))
    assert (back.jobs, back.requeued) == (4, [moved.held[0]])
    assert (tmp_path / "elsewhere" / "blobs" / "aa" / BLOB).read_bytes() == b"hello"
    SqliteEngine(tmp_path / "elsewhere", SetClock(START)).close()


def test_a_backup_comes_from_the_database_whatever_lies_in_the_folder(
    run: Run, data: Path, url: str, tmp_path: Path
) -> None:
    Full(data).close()
    PostgresEngine(url).close()
    made = run("backup", tmp_path / "b")
    assert made.exit_code == 0
    assert "no jobs, 0 events, 0 blobs" in made.stdout


@pytest.mark.parametrize("command", [("backup", "b"), ("import", "v0")])
def test_a_store_that_was_moved_is_not_acted_on(
    run: Run,
    data: Path,
    moved: Full,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, str],
) -> None:
    (tmp_path / "v0" / "jobs").mkdir(parents=True)
    monkeypatch.delenv("SPINE_DATABASE_URL")
    done = run(command[0], tmp_path / command[1])
    assert done.exit_code == 65
    assert f"this store was moved to {url}: set SPINE_DATABASE_URL" in done.stderr
    assert not (tmp_path / "b").exists()
    assert found(run)["store"] == ("failed", f"it was moved to {url}; set SPINE_DATABASE_URL to that database")


def test_a_database_without_a_store_gives_no_backup(run: Run, data: Path, tmp_path: Path) -> None:
    data.mkdir()
    done = run("backup", tmp_path / "b")
    assert done.exit_code == 65
    assert "there is no store at postgresql://" in done.stderr
    assert list(tmp_path.iterdir()) == [data]


def test_a_backup_of_its_own_needs_a_path(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPINE_BACKUP_DIR", str(tmp_path))
    done = run("backups", "make")
    assert (done.exit_code, "`spine backup PATH` makes one" in done.stderr) == (1, True)


def test_a_restore_is_refused_with_the_way_to_do_it(run: Run, moved: Full, tmp_path: Path) -> None:
    assert run("backup", tmp_path / "b").exit_code == 0
    done = run("restore", tmp_path / "b")
    assert done.exit_code == 1
    assert "take the variable out, restore into an empty SPINE_DATA_DIR, then" in done.stderr


def test_a_backup_comes_back_by_way_of_a_folder(
    postgres: PostgresServer, run: Run, moved: Full, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("backup", tmp_path / "b").exit_code == 0
    other = postgres.create(template="template0")
    monkeypatch.setenv("SPINE_DATA_DIR", str(tmp_path / "new"))
    monkeypatch.delenv("SPINE_DATABASE_URL")
    assert run("restore", tmp_path / "b").exit_code == 0
    assert run("migrate-store", "--to", postgres.url(other)).exit_code == 0
    job_id, fence = moved.held
    assert postgres.run(f"SELECT status, fence FROM jobs WHERE id = '{job_id}'", other) == [
        ("queued", fence + 1_000_000)
    ]
    postgres.drop(other)


def test_an_empty_database_is_not_served_beside_a_store_that_was_forgotten(
    data: Path, url: str, process: MakeProcess
) -> None:
    refuse_left_behind(data, url)
    Full(data).close()
    forgotten = process(SPINE_DATA_DIR=str(data), SPINE_DATABASE_URL=url)
    forgotten.launch()
    assert forgotten.wait(30) == 78
    assert "`spine migrate-store` moves it" in forgotten.log()
    move(data, url, 0, SystemClock(), lambda _line: None, quiet)
    refuse_left_behind(data, url)


# --- import --------------------------------------------------------------------------------------------------------


def test_an_import_goes_to_the_database(
    postgres: PostgresServer, database: str, run: Run, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "v0" / "jobs").mkdir(parents=True)
    job = {
        "id": "v0job1", "target": "left-claw", "status": "running", "createdAt": "2026-01-01T10:00:00.000Z",
        "updatedAt": "2026-01-01T10:00:00.000Z", "createdBy": "head", "claimedBy": "left-claw",
        "leaseUntil": "2026-01-01T10:05:00.000Z", "attempts": 1, "maxAttempts": 5, "spec": "work", "meta": {},
        "comments": [], "result": None, "error": None,
    }  # fmt: skip
    (tmp_path / "v0" / "jobs" / "v0job1.json").write_text(json.dumps(job))
    tried = run("import", tmp_path / "v0", "--dry-run")
    assert (tried.exit_code, "job            1        0        0" in tried.stdout) == (0, True)
    assert not data.exists()
    assert postgres.run("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", database) == [(0,)]
    assert run("import", tmp_path / "v0").exit_code == 0
    assert postgres.run("SELECT id, status FROM jobs", database) == [("v0job1", "queued")]
    again = run("import", tmp_path / "v0", "--dry-run")
    assert "job            0        1        0" in again.stdout
    assert not (data / "spine.db").exists()


# --- doctor --------------------------------------------------------------------------------------------------------


def test_all_is_well(run: Run, moved: Full, url: str) -> None:
    seen = found(run)
    assert seen["database"][1].startswith(f"{url} answers: PostgreSQL 15.")
    assert seen["lineage"][1].startswith("timeline 1 of cluster ")
    assert seen["standby"] == ("hint", "none is waited for: what is acknowledged is on one server alone")
    assert seen["schema"][0] == "ok"
    assert seen["blobs"] == ("ok", "1, all with their bytes")
    assert seen["blobs on disk"][0] == "hint"
    assert seen["skew"][0] == seen["reaper"][0] == "ok"
    assert "embedded" not in seen
    assert run("doctor").exit_code == 0


def test_a_standby_that_does_not_come_fails(postgres: PostgresServer, run: Run, moved: Full) -> None:
    with postgres.without_standby():
        seen = found(run)
    assert seen["standby"] == (
        "failed",
        "commits wait for 'ghost', and no such standby is connected: every change hangs; bring the standby back",
    )


def test_a_strangers_transaction_that_holds_back_events_fails(
    postgres: PostgresServer, run: Run, moved: Full, url: str
) -> None:
    """One in another database of the server does, as long as it has written and has not ended."""
    assert "events" not in found(run)
    with psycopg.connect(postgres.url()) as stranger:
        stranger.execute("SELECT pg_current_xact_id()")
        for ago_ms, state in ((0, None), (90_000, "failed")):
            with closing(PostgresEngine(url, SetClock(SystemClock().now() - ago_ms))) as engine:
                engine.write(lambda tx: events.append(tx, "job.created", "head", None, None, {})).result(20)
            assert found(run).get("events", (None, ""))[0] == state
        assert found(run)["events"][1].startswith("those of the last 9")
        assert "pg_stat_activity and pg_prepared_xacts" in found(run)["events"][1]
    assert "events" not in found(run)


def test_a_store_that_was_left_behind_is_told_of(run: Run, data: Path) -> None:
    Full(data).close()
    seen = found(run)
    assert seen["embedded"][0] == "hint"
    assert "`spine migrate-store` moves it" in seen["embedded"][1]
    assert seen["store"] == ("hint", "there is none yet; the first `spine serve` makes it")


def test_blobs_without_their_bytes_fail(run: Run, data: Path, moved: Full) -> None:
    shutil.rmtree(data / "blobs")
    assert found(run)["blobs"][0] == "failed"


def test_a_newer_store_fails(postgres: PostgresServer, database: str, run: Run, moved: Full) -> None:
    postgres.run("INSERT INTO schema_migrations VALUES (9000, 1)", database)
    assert found(run)["database"][0] == "failed"


def test_an_old_primary_fails(run: Run, data: Path, moved: Full) -> None:
    (data / "lineage.json").write_text('{"system":1,"timeline":9}')
    assert found(run)["lineage"][0] == "failed"


def test_a_database_that_is_away_fails(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data.mkdir(mode=0o700)
    monkeypatch.setenv("SPINE_DATABASE_URL", f"postgresql://u:hunter2@127.0.0.1:{free_port()}/x")
    seen = found(run)
    assert seen["database"][0] == "failed"
    assert "cannot be reached" in seen["database"][1]
    assert "hunter2" not in repr(seen)


def test_check_names_the_database_without_its_password(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINE_DATABASE_URL", "postgresql://u:hunter2@h1,h2/x")
    assert "store in postgresql://u@h1:5432,h2:5432/x, blobs in" in run("check").stdout
