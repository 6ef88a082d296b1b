"""`spine migrate-store` on a real server: every row of every table, cut off anywhere, and what is refused."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import errors as pg
from tests.support.eventually import eventually
from tests.support.full_store import START, Full, grow
from tests.support.postgres_server import PostgresServer
from tests.support.queue_store import QueueStore, SetClock
from tests.support.spine_process import REPO, free_port

from contract.clock import SystemClock
from spine.cli import cli
from spine.operations import move as moving
from spine.operations.files import quiet
from spine.operations.move import Move, move
from spine.operations.refusal import Refused
from spine.store import meta
from spine.store.arrival import Arrival
from spine.store.copying import COPIED
from spine.store.engine import StoreAway, StoreUnusable
from spine.store.lineage import Lineage
from spine.store.lock import DataDirBusy
from spine.store.marks import HalfArrived, Moved, NotEmpty
from spine.store.migrations import NewerStore
from spine.store.offline import NotAStore
from spine.store.postgres import PostgresEngine
from spine.store.servers import Servers, Session
from spine.store.sqlite import SqliteEngine

pytestmark = pytest.mark.docker


@pytest.fixture
def database(empty_database: str) -> str:
    return empty_database


@pytest.fixture
def url(postgres: PostgresServer, database: str) -> str:
    return postgres.url(database)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The directory of a store with rows in every table, which nobody serves."""
    folder = tmp_path / "data"
    full = Full(folder)
    full.close()
    return folder


def moved(data: Path, url: str, wait: float = 0, said: list[str] | None = None) -> Move:
    return move(data, url, wait, SystemClock(), (said if said is not None else []).append, quiet)


def rows_of(data: Path) -> dict[str, list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(data / "spine.db")) as store:
        return {t.name: sorted(store.execute(f"SELECT * FROM {t.name}"), key=repr) for t in COPIED}


def rows_at(postgres: PostgresServer, database: str) -> dict[str, list[tuple[Any, ...]]]:
    return {t.name: sorted(postgres.run(f'SELECT * FROM "{t.name}"', database), key=repr) for t in COPIED}


def facts(rows: list[tuple[Any, ...]]) -> dict[str, str]:
    return {row[0]: row[1] for row in rows}


def test_every_row_of_every_table_is_the_same_there(
    postgres: PostgresServer, database: str, url: str, data: Path
) -> None:
    before = rows_of(data)
    done = moved(data, url)
    there = rows_at(postgres, database)
    assert {name: count.rows for name, count in done.tables.items()} == {name: len(r) for name, r in before.items()}
    old, new = facts(before.pop("meta")), facts(there.pop("meta"))
    assert there == before
    assert new == {**old, "store_id": done.store_id, "moved_from": old["store_id"]}
    assert done.store_id != old["store_id"]


def test_numbers_go_on_where_they_were(postgres: PostgresServer, database: str, url: str, data: Path) -> None:
    moved(data, url)
    last = dict(postgres.run("SELECT sequencename, last_value FROM pg_sequences", database))  # type: ignore[arg-type]
    there = {t.name: last[f"{t.name}_{t.serial}_seq"] for t in COPIED if t.serial is not None and t.name != "events"}
    with closing(sqlite3.connect(data / "spine.db")) as store:
        known = dict(store.execute("SELECT name, seq FROM sqlite_sequence"))
    del known["events"]  # whose places there go by the transaction, and after those that have come
    assert {"log_chunks": 2, **known} == there
    assert there["messages"] == 40, "though that message is gone"


def test_the_old_store_is_served_no_more_and_says_where_it_is(url: str, data: Path) -> None:
    moved(data, url)
    with pytest.raises(Moved, match=f"moved to {url}: set SPINE_DATABASE_URL"):
        SqliteEngine(data, SetClock(START))


def test_the_new_store_is_served(url: str, data: Path) -> None:
    moved(data, url)
    engine = PostgresEngine(url)
    assert engine.read(lambda tx: [t.size(tx) for t in COPIED if t.name == "jobs"]).result(20) == [4]
    engine.close()


# --- cut off, and again --------------------------------------------------------------------------------------------

POINTS = (
    *("move.begun", "move.batch-jobs", "move.batch-receipts"),
    *("move.copied", "move.compared", "move.marked", "move.opened"),
)


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_the_same_command_goes_on(
    postgres: PostgresServer, database: str, url: str, data: Path, tmp_path: Path, point: str
) -> None:
    before = rows_of(data)
    reached = tmp_path / "reached"
    env = {
        **os.environ, "PYTHONPATH": str(REPO / "services"), "SPINE_DATA_DIR": str(data),
        "SPINE_KILL_POINT": point, "SPINE_KILL_POINT_FILE": str(reached),
    }  # fmt: skip
    killed = subprocess.Popen(
        [sys.executable, "-m", "spine.cli", "migrate-store", "--to", url], env=env, stderr=subprocess.PIPE
    )
    eventually(lambda: reached.exists() or killed.poll() is not None, 30, what="the point")
    killed.kill()
    _, told = killed.communicate(timeout=20)
    assert reached.exists(), told
    eventually(lambda: not connections(postgres, database), what="the server to notice")
    servable = []
    for open_store in (lambda: SqliteEngine(data, SetClock(START)), lambda: PostgresEngine(url)):
        with contextlib.suppress(Moved, HalfArrived):
            open_store().close()
            servable.append(open_store)
    assert len(servable) == (0 if point == "move.marked" else 1), "never both"

    said: list[str] = []
    moved(data, url, said=said)
    assert ("goes on with the copy that was begun" in said[-1]) == (point not in ("move.marked", "move.opened"))
    there = rows_at(postgres, database)
    old, new = facts(before.pop("meta")), facts(there.pop("meta"))
    assert (there, new["moved_from"]) == (before, old["store_id"])
    PostgresEngine(url).close()


def connections(postgres: PostgresServer, database: str) -> list[tuple[object, ...]]:
    return postgres.run(f"SELECT pid FROM pg_stat_activity WHERE datname = '{database}'")


def cut_off(data: Path, url: str, monkeypatch: pytest.MonkeyPatch, point: str = "move.batch-jobs") -> None:
    """Begin a move and lose it at a point."""

    def reach(name: str) -> None:
        if name == point:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(moving, "reach", reach)
        with pytest.raises(KeyboardInterrupt):
            moved(data, url)


def test_a_store_that_was_served_meanwhile_is_copied_anew(
    postgres: PostgresServer, database: str, url: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(data, url, monkeypatch)
    served = QueueStore(data, SetClock(START + 1))
    (job_id,) = (served.submit(),)
    served.close()
    said: list[str] = []
    done = moved(data, url, said=said)
    assert "begins anew" in said[-1]
    assert done.tables["jobs"].rows == 5
    assert postgres.run(f"SELECT status FROM jobs WHERE id = '{job_id}'", database) == [("queued",)]


def test_a_copy_that_differs_is_not_switched_to(
    postgres: PostgresServer, database: str, url: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(name: str) -> None:
        if name == "move.copied":
            postgres.run("UPDATE comments SET text = text || '!'", database)

    with monkeypatch.context() as patched:
        patched.setattr(moving, "reach", spoil)
        with pytest.raises(Refused, match=r"comments has 1 rows .* nothing was switched"):
            moved(data, url)
    SqliteEngine(data, SetClock(START)).close()
    with pytest.raises(HalfArrived):
        PostgresEngine(url)
    assert moved(data, url).tables["comments"].rows == 1


@pytest.mark.parametrize("spoiled", ["DELETE FROM receipts", "INSERT INTO tombstones VALUES ('zz', 1)"])
def test_a_row_too_few_or_too_many_is_seen(
    postgres: PostgresServer, database: str, url: str, data: Path, monkeypatch: pytest.MonkeyPatch, spoiled: str
) -> None:
    monkeypatch.setattr(moving, "reach", lambda name: name == "move.copied" and postgres.run(spoiled, database))
    with pytest.raises(Refused, match="nothing was switched"):
        moved(data, url)


def test_a_move_to_one_database_is_over_for_another(
    postgres: PostgresServer, url: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(data, url, monkeypatch, "move.marked")
    other = postgres.create(template="template0")
    try:
        with pytest.raises(Refused, match=f"was moved to {url} already"):
            moved(data, postgres.url(other))
    finally:
        postgres.drop(other)
    assert moved(data, url).store_id is not None


def test_of_two_moves_that_wait_for_the_same_server_the_second_finds_nothing_to_move(
    postgres: PostgresServer, url: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, wait = postgres.create(template="template0"), moving._stopped

    def overtaken(*args: Any) -> int:
        monkeypatch.setattr(moving, "_stopped", wait)
        moved(data, postgres.url(other))
        return wait(*args)

    monkeypatch.setattr(moving, "_stopped", overtaken)
    with pytest.raises(Refused, match="nothing is left to move"):
        moved(data, url)
    postgres.drop(other)


def test_again_is_harmless(url: str, data: Path) -> None:
    assert moved(data, url).store_id is not None
    assert moved(data, url).store_id is None


# --- what is refused, with nothing changed -------------------------------------------------------------------------


def refused(data: Path, url: str, error: type[Exception], said: str) -> None:
    before = rows_of(data)
    with pytest.raises(error, match=said):
        moved(data, url)
    assert rows_of(data) == before


def test_a_database_that_holds_a_store_is_left_alone(
    postgres: PostgresServer, database: str, url: str, data: Path, tmp_path: Path
) -> None:
    Full(tmp_path / "other").close()
    moved(tmp_path / "other", url)
    there = rows_at(postgres, database)
    refused(data, url, NotEmpty, "holds a store already")
    assert rows_at(postgres, database) == there


def test_a_part_of_another_store_is_left_alone(
    url: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Full(tmp_path / "other").close()
    cut_off(tmp_path / "other", url, monkeypatch)
    refused(data, url, NotEmpty, "a part of another store")


def test_tables_of_another_program_are_left_alone(
    postgres: PostgresServer, database: str, url: str, data: Path
) -> None:
    postgres.run("CREATE TABLE accounts (id INT)", database)
    refused(data, url, NotEmpty, "tables of another program, such as accounts")


def test_a_session_that_only_asked_who_the_server_is_is_no_spine(
    postgres: PostgresServer, url: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    who = Servers._who

    def asked(servers: Servers, session: Session) -> Lineage | None:
        names.extend(session.execute("SHOW application_name").fetchone())
        return who(servers, session)

    monkeypatch.setattr(Servers, "_who", asked)
    Arrival(url).close()
    assert names == ["spine-look", "spine"]
    with psycopg.connect(url, application_name="spine-look"):
        moved(data, url)


def test_a_spine_under_a_name_of_its_own_is_noticed(url: str, data: Path) -> None:
    own = f"{url}?application_name=ours"
    served = PostgresEngine(own)
    refused(data, own, NotEmpty, "a spine is connected")
    served.close()


def test_a_database_that_a_spine_began_and_nobody_used_is_taken(url: str, data: Path) -> None:
    served = PostgresEngine(url)
    served.write(meta.store_id).result(20)
    refused(data, url, NotEmpty, "a spine is connected")
    served.close()
    assert moved(data, url).store_id is not None


def test_a_newer_database_is_refused(postgres: PostgresServer, database: str, url: str, data: Path) -> None:
    PostgresEngine(url).close()
    postgres.run("INSERT INTO schema_migrations VALUES (9000, 1)", database)
    refused(data, url, NewerStore, "is at version 9000")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DELETE FROM schema_migrations WHERE version > 3", "serve it once"),
        ("UPDATE schema_migrations SET version = version + 900", "version 9"),
    ],
)
def test_a_store_of_another_version_is_refused(url: str, data: Path, change: str, said: str) -> None:
    with closing(sqlite3.connect(data / "spine.db")) as store:
        store.execute(change)
        store.commit()
    refused(data, url, NotAStore, said)


def test_a_damaged_store_is_refused(url: str, data: Path) -> None:
    with (data / "spine.db").open("r+b") as file:
        file.seek(40 * 4096)
        file.write(b"\xff" * 4096)
    with pytest.raises(NotAStore):
        moved(data, url)


def test_a_row_that_postgresql_cannot_keep_is_named(url: str, data: Path) -> None:
    grow(data, 2500)
    with closing(sqlite3.connect(data / "spine.db")) as store:
        store.execute("UPDATE jobs SET meta = 'a' || char(0) || 'b' WHERE seq = 1700")
        store.commit()
    refused(data, url, StoreUnusable, r"cannot keep the row \[1700\] of jobs: .* NUL")
    with closing(sqlite3.connect(data / "spine.db")) as store:
        store.execute("UPDATE jobs SET meta = '{}' WHERE seq = 1700")
        store.commit()
    assert moved(data, url).tables["jobs"].rows == 2504


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_of_another_encoding_is_refused(postgres: PostgresServer, data: Path, encoding: str) -> None:
    name = f"of_{encoding.lower()}"
    postgres.run(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    try:
        said = f"its encoding is {encoding}; make a database with UTF8 for the spine"
        refused(data, postgres.url(name), StoreUnusable, said)
        assert postgres.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name) == []
        with pytest.raises(StoreUnusable, match=said):
            PostgresEngine(postgres.url(name))
    finally:
        postgres.drop(name)


def test_what_the_environment_says_of_encodings_changes_nothing(
    url: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    assert moved(data, url).store_id is not None


def test_no_store_no_move(url: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="there is no store in"):
        moved(tmp_path, url)


def test_nobody_there_or_nobody_let_in(postgres: PostgresServer, database: str, data: Path) -> None:
    refused(data, f"postgresql://u:a-password@127.0.0.1:{free_port()}/x", StoreAway, "127.0.0.1:.* cannot be reached")
    refused(data, f"postgresql://nobody:pw@{postgres.address}:5432/{database}", StoreAway, 'role "nobody"')


def test_a_wrong_password_is_refused_and_libpqs_own_file_is_read(
    postgres: PostgresServer, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((hba,),) = postgres.run("SHOW hba_file")
    ((rules,),) = postgres.run(f"SELECT pg_read_file('{hba}')")
    postgres.run("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    postgres.run("CREATE DATABASE guarded OWNER guarded")

    def let_in(text: str) -> None:
        postgres.run(f"COPY (SELECT unnest(string_to_array($hba${text}$hba$, E'\\n'))) TO '{hba}'")
        postgres.run("SELECT pg_reload_conf()")

    let_in(f"host guarded guarded all scram-sha-256\n{rules}")
    try:
        eventually(lambda: refused_without(postgres), what="a server that asks for the password")
        refused(data, f"postgresql://guarded:wrong@{postgres.address}/guarded", StoreAway, "password authentication")
        (tmp_path / "pgpass").write_text("*:*:*:guarded:right\n")
        (tmp_path / "pgpass").chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
        assert moved(data, f"postgresql://guarded@{postgres.address}/guarded").store_id is not None
    finally:
        let_in(str(rules))
        postgres.drop("guarded")
        postgres.run("DROP ROLE guarded")


def refused_without(postgres: PostgresServer) -> bool:
    try:
        psycopg.connect(f"postgresql://guarded@{postgres.address}/guarded", connect_timeout=5).close()
    except psycopg.OperationalError as e:
        return "password" in str(e)
    return False


def test_a_full_disk_is_a_reason_to_go_on_later(url: str, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_arrival: Arrival, _name: str, _rows: int, _last: object) -> None:
        raise pg.DiskFull("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Arrival, "_note", full)
        refused(data, url, StoreAway, "the disk of .* is full; make room, then run this again")
    assert moved(data, url).store_id is not None


def test_a_server_that_goes_on_is_waited_for_and_then_left_alone(url: str, data: Path) -> None:
    serving = SqliteEngine(data, SetClock(START))
    said: list[str] = []
    with pytest.raises(DataDirBusy, match="is still served after"):
        moved(data, url, wait=0.3, said=said)
    assert "stop the spine now (process" in said[-1]
    serving.close()


def test_clocks_that_are_apart_are_told_of(url: str, data: Path) -> None:
    said: list[str] = []
    move(data, url, 0, SetClock(START), said.append, quiet)
    assert any("the database's clock is" in line and "ahead" in line for line in said)


# --- the command line ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "own", "said"),
    [
        (None, None, "--to: missing; name the database, or set SPINE_DATABASE_URL_FILE"),
        ("mysql://h/x", None, "--to: no address"),
        ("postgresql://u:hunter2@h/x", None, "--to: leave the password out"),
        ("postgresql://u@h/x", "postgresql://u:hunter2@other/x", "--to: is another database than"),
    ],
)
def test_arguments_that_cannot_be_used(
    data: Path, monkeypatch: pytest.MonkeyPatch, to: str | None, own: str | None, said: str
) -> None:
    monkeypatch.setenv("SPINE_DATA_DIR", str(data))
    if own is not None:
        monkeypatch.setenv("SPINE_DATABASE_URL", own)
    done = CliRunner().invoke(cli, ["migrate-store", *(["--to", to] if to else [])])
    assert done.exit_code == 78
    assert said in done.stderr
    assert "hunter2" not in done.output


def test_the_password_of_the_settings_goes_with_the_address_that_is_named(
    postgres: PostgresServer, database: str, data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text(f"postgresql://postgres:hunter2@{postgres.address}:5432/{database}\n")
    monkeypatch.setenv("SPINE_DATA_DIR", str(data))
    monkeypatch.setenv("SPINE_DATABASE_URL_FILE", str(tmp_path / "url"))
    done = CliRunner().invoke(cli, ["migrate-store", "--to", postgres.url(database)])
    assert done.exit_code == 0, done.output
    assert "hunter2" not in done.output
    assert f"moved {data} to {postgres.url(database)}\n  lanes " in done.stdout
    assert "jobs 4 of 4 (100 %)" in done.stderr
    with closing(sqlite3.connect(data / "spine.db")) as store:
        assert "hunter2" not in repr(store.execute("SELECT * FROM meta").fetchall())


def test_it_says_where_the_blobs_stay(url: str, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINE_DATA_DIR", str(data))
    monkeypatch.setenv("SPINE_BLOB_URL", "s3:/bucket")
    done = CliRunner().invoke(cli, ["migrate-store", "--to", url])
    assert (done.exit_code, "SPINE_BLOB_URL: 's3:/bucket' is no place" in done.stderr) == (78, True)
    monkeypatch.setenv("SPINE_BLOB_URL", "s3://bucket/fleet")
    done = CliRunner().invoke(cli, ["migrate-store", "--to", url])
    assert done.exit_code == 0, done.output
    assert "  blobs stay in s3://bucket/fleet: keep SPINE_BLOB_URL, and SPINE_DATA_DIR, as they are\n" in done.stdout
