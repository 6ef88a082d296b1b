"""The engine on a PostgreSQL server: batches, what becomes of them when the server goes, several engines at once."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pytest
from tests.suites.harness import LEFT, Raw, Store
from tests.suites.manual_clock import ManualClock
from tests.support.engine import freeze
from tests.support.eventually import eventually
from tests.support.postgres_server import PostgresServer
from tests.support.spine_process import free_port

from contract.errors import Conflict, Internal, OutcomeUnknown, Unavailable
from spine.store import migrations
from spine.store.engine import Signals, StoreAway, StoreUnusable, Tx
from spine.store.migrations import NewerStore
from spine.store.models import TABLES
from spine.store.postgres import PostgresEngine

pytestmark = pytest.mark.docker

PUT = Raw("INSERT INTO meta (key, value) VALUES (?, ?)", "key", "value")
SET = Raw("UPDATE meta SET value = ? WHERE key = ?", "value", "key")
GET = Raw("SELECT value FROM meta WHERE key = ?", "key")
KEYS = Raw("SELECT key FROM meta ORDER BY key")
PID = Raw("SELECT pg_backend_pid()")

Open = Callable[..., PostgresEngine]


def put(key: str, value: Any = "v") -> Any:
    return lambda tx: tx.run(PUT, key=key, value=value)


def then_refuse(key: str) -> Any:
    def operation(tx: Tx) -> None:
        tx.run(PUT, key=key, value="v")
        raise Conflict("after it wrote")

    return operation


def keys(engine: PostgresEngine) -> list[str]:
    return engine.read(lambda tx: [row[0] for row in tx.rows(KEYS)]).result(20)


def pid_of(engine: PostgresEngine) -> int:
    """Return the server's process that serves the writer."""

    def look(tx: Tx) -> int:
        row = tx.one(PID)
        assert row is not None
        return int(row[0])

    return engine.write(look).result(20)


def batch(engine: PostgresEngine, *operations: Any) -> list["Future[Any]"]:
    """Run operations in one batch; return their futures, resolved."""
    inside, gate = threading.Event(), threading.Event()

    def wait(tx: Tx) -> None:
        inside.set()
        assert gate.wait(10)

    engine.write(wait)
    assert inside.wait(10)
    futures = [engine.write(operation) for operation in operations]
    gate.set()
    for future in futures:
        future.exception(20)
    return futures


@pytest.fixture
def opened(postgres: PostgresServer, database: str) -> Iterator[Open]:
    """Open engines on the test's database; all are closed at the end."""
    engines: list[PostgresEngine] = []

    def start(**options: Any) -> PostgresEngine:
        engines.append(PostgresEngine(postgres.url(database), **options))
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()


@pytest.fixture
def engine(opened: Open) -> PostgresEngine:
    return opened()


@pytest.fixture
def no_standby(postgres: PostgresServer) -> Iterator[None]:
    with postgres.without_standby():
        yield


# --- batches ---------------------------------------------------------------------------------------------------------


def test_what_waits_goes_into_one_transaction(engine: PostgresEngine) -> None:
    before = engine.batches
    futures = batch(engine, put("a"), put("b"), put("c"))
    assert [future.result() for future in futures] == [1, 1, 1]
    assert keys(engine) == ["a", "b", "c"]
    assert engine.batches == before + 2  # the one that held the gate, and theirs


def test_one_that_fails_after_it_wrote_is_dropped_alone(engine: PostgresEngine) -> None:
    forgotten: list[None] = []
    engine.on_rollback = lambda: forgotten.append(None)
    first, second, third = batch(engine, put("a"), then_refuse("b"), put("c"))
    assert (first.result(), third.result()) == (1, 1)
    assert isinstance(second.exception(), Conflict)
    assert keys(engine) == ["a", "c"]
    assert forgotten


@pytest.mark.parametrize("value", ["a NUL \0 in it", "a lone \ud800", None], ids=["NUL", "surrogate", "null"])
def test_a_value_that_cannot_be_kept_fails_alone(engine: PostgresEngine, value: Any) -> None:
    first, second, third = batch(engine, put("a"), put("b", value), put("c"))
    assert (first.result(), third.result()) == (1, 1)
    assert isinstance(second.exception(), Internal)
    assert keys(engine) == ["a", "c"]


def test_a_key_that_is_there_already_fails_alone(engine: PostgresEngine) -> None:
    first, second, third = batch(engine, put("a"), put("a"), put("c"))
    assert (first.result(), third.result()) == (1, 1)
    assert isinstance(second.exception(), Internal)
    assert keys(engine) == ["a", "c"]


def test_signals_come_after_the_commit_and_before_the_answers(engine: PostgresEngine) -> None:
    told: list[Signals] = []
    engine.on_commit = told.append

    def operation(tx: Tx) -> None:
        tx.run(PUT, key="a", value="v")
        tx.signals.events = True

    engine.write(operation).result(20)
    assert [signals.events for signals in told] == [True]


def test_a_deadlock_with_a_stranger_is_run_again(
    postgres: PostgresServer, database: str, engine: PostgresEngine
) -> None:
    batch(engine, put("a", "0"), put("b", "0"))
    has_a, has_b, runs = threading.Event(), threading.Event(), []
    waits = f"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = '{database}'"

    def ours(tx: Tx) -> None:
        runs.append(1)
        assert has_b.wait(10)
        tx.run(SET, key="a", value="ours")
        has_a.set()
        if len(runs) == 1:
            eventually(lambda: postgres.run(waits), what="the other to wait for a")
        tx.run(SET, key="b", value="ours")

    def theirs() -> None:
        with psycopg.connect(postgres.url(database)) as connection:
            connection.execute("SET deadlock_timeout = '60s'")  # so that it is the engine's that is taken back
            connection.execute("UPDATE meta SET value = 'theirs' WHERE key = 'b'")
            has_b.set()
            assert has_a.wait(10)
            connection.execute("UPDATE meta SET value = 'theirs' WHERE key = 'a'")

    with ThreadPoolExecutor(1) as pool:
        stranger = pool.submit(theirs)
        assert [future.exception() for future in batch(engine, put("c"), ours, put("d"))] == [None, None, None]
        stranger.result(20)
    assert len(runs) == 2
    assert keys(engine) == ["a", "b", "c", "d"]


# --- when the server goes --------------------------------------------------------------------------------------------


def test_a_connection_that_breaks_before_the_commit_changes_nothing(
    postgres: PostgresServer, engine: PostgresEngine
) -> None:
    def cut(tx: Tx) -> None:
        tx.run(PUT, key="a", value="v")
        row = tx.one(PID)
        assert row is not None
        postgres.run(f"SELECT pg_terminate_backend({row[0]}, 5000)")
        tx.run(PUT, key="b", value="v")

    for future in batch(engine, put("x"), cut, put("y")):
        assert isinstance(future.exception(), Unavailable)
    assert keys(engine) == []
    engine.write(put("after")).result(20)
    assert keys(engine) == ["after"]


def test_connections_that_were_dropped_meanwhile_are_made_anew(
    postgres: PostgresServer, database: str, engine: PostgresEngine
) -> None:
    engine.write(put("a")).result(20)
    assert keys(engine) == ["a"]
    postgres.run(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'")
    engine.write(put("b")).result(20)
    assert keys(engine) == ["a", "b"]


def test_killed_during_a_commit_that_was_made_its_outcome_is_unknown(
    postgres: PostgresServer, database: str, engine: PostgresEngine, no_standby: None
) -> None:
    future = engine.write(put("a"))
    postgres.run(f"SELECT pg_terminate_backend({postgres.committing(database)})")
    assert isinstance(future.exception(20), OutcomeUnknown)
    assert keys(engine) == ["a"]


def test_killed_during_a_commit_that_was_not_made_its_outcome_is_unknown_too(
    postgres: PostgresServer, database: str, engine: PostgresEngine
) -> None:
    postgres.run(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END'",
        database,
    )
    postgres.run(
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON meta DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION dawdle()",
        database,
    )
    future = engine.write(put("a"))
    sleeping = f"SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = '{database}'"
    ((pid,),) = eventually(lambda: postgres.run(sleeping))
    postgres.run(f"SELECT pg_terminate_backend({pid})")
    assert isinstance(future.exception(20), OutcomeUnknown)
    assert keys(engine) == []


def test_a_wait_for_the_standby_that_was_cancelled_is_no_acknowledgement(
    postgres: PostgresServer, database: str, engine: PostgresEngine, no_standby: None
) -> None:
    future = engine.write(put("a"))
    postgres.run(f"SELECT pg_cancel_backend({postgres.committing(database)})")
    assert isinstance(future.exception(20), OutcomeUnknown)


def test_a_commit_that_hangs_is_cut_off(opened: Open, no_standby: None) -> None:
    engine = opened(deadline=1.0)
    begun = time.monotonic()
    assert isinstance(engine.write(put("a")).exception(20), OutcomeUnknown)
    assert time.monotonic() - begun < 12


def test_a_host_that_freezes_is_let_go(postgres: PostgresServer, opened: Open) -> None:
    engine = opened(deadline=1.0)
    engine.write(put("a")).result(20)
    assert keys(engine) == ["a"]
    freeze(postgres.container)
    try:
        written, read = engine.write(put("b")), engine.read(lambda tx: tx.one(KEYS))
        assert isinstance(written.exception(30), Unavailable)
        assert isinstance(read.exception(30), Unavailable)
    finally:
        postgres.container.unpause()
    eventually(lambda: engine.write(put("c")).exception(20) is None)
    assert keys(engine) == ["a", "c"]


def test_a_host_that_freezes_at_the_end_of_an_operation_is_let_go(postgres: PostgresServer, opened: Open) -> None:
    """What is left then is to end the transaction, which is an answer to wait for like any other."""
    engine = opened(deadline=1.0, readers=1)
    assert keys(engine) == []

    def read_and_freeze(_tx: Tx) -> str:
        freeze(postgres.container)
        return "read"

    def write_and_freeze(tx: Tx) -> None:
        tx.run(PUT, key="a", value="v")
        freeze(postgres.container)
        raise Conflict

    for frozen in (lambda: engine.read(read_and_freeze), lambda: engine.write(write_and_freeze)):
        future: Future[Any] = frozen()
        try:
            future.exception(30)  # it comes
        finally:
            postgres.container.unpause()
    eventually(lambda: engine.read(lambda tx: tx.one(KEYS)).exception(20) is None)
    assert keys(engine) == []


def test_a_reader_whose_transaction_could_not_begin_reads_on(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = opened(readers=1)
    assert keys(engine) == []
    with monkeypatch.context() as patched:
        patched.setattr(
            "spine.store.postgres._BEGIN_READING", "BEGIN; SET LOCAL statement_timeout = 1; SELECT pg_sleep(9)"
        )
        assert isinstance(engine.read(lambda _tx: None).exception(20), Unavailable)
    assert keys(engine) == []


def test_a_server_that_lets_nobody_in_is_asked_again_until_it_does(
    postgres: PostgresServer, database: str, engine: PostgresEngine
) -> None:
    postgres.run(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    postgres.run(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'")
    assert isinstance(engine.write(put("a")).exception(20), Unavailable)
    assert isinstance(engine.read(lambda tx: tx.one(KEYS)).exception(20), Unavailable)
    postgres.run(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")

    def written() -> bool:
        with contextlib.suppress(Unavailable):
            return engine.write(put("b")).result(20) == 1
        return False

    eventually(written)
    assert keys(engine) == ["b"]


def test_a_server_that_is_not_there_may_come() -> None:
    with pytest.raises(StoreAway, match="the database cannot be reached"):
        PostgresEngine(f"postgresql://postgres@127.0.0.1:{free_port()}/spine")


def test_an_address_that_cannot_be_read_is_not_shown() -> None:
    with pytest.raises(StoreUnusable, match="cannot be read") as raised:
        PostgresEngine("postgresql://spine:pass%zzword@127.0.0.1/spine")
    assert "zzword" not in str(raised.value)


# --- several engines -------------------------------------------------------------------------------------------------


def test_two_engines_that_write_at_once_lose_nothing(opened: Open) -> None:
    engines = [opened(), opened()]
    engines[0].write(put("count", "0")).result(20)

    def add(tx: Tx) -> None:
        row = tx.one(GET, key="count")
        assert row is not None
        tx.run(SET, key="count", value=str(int(row[0]) + 1))

    def many(engine: PostgresEngine) -> None:
        for _ in range(50):
            engine.write(add).result(20)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(many, engine) for engine in engines * 4]:
            done.result(60)
    for engine in engines:
        assert engine.read(lambda tx: tx.one(GET, key="count")).result(20) == ("400",)


def test_what_another_engine_adds_is_known_at_once(opened: Open) -> None:
    clock = ManualClock()
    ours, theirs = Store(opened(clock=clock), clock), Store(opened(clock=clock), clock)
    for requires in ([], ["gpu"], ["gpu", "git"]):
        job = ours.submit(target="left-claw", requires=requires)
        (taken,) = theirs.take(LEFT, capabilities=("gpu", "git"))
        assert taken.id == job.id


def test_a_job_is_given_to_one_of_many_claimants_on_two_engines(opened: Open) -> None:
    clock = ManualClock()
    stores = [Store(opened(clock=clock), clock), Store(opened(clock=clock), clock)]
    ids = {stores[0].submit(target="left-claw").id for _ in range(60)}
    taken: list[str] = []

    def take(store: Store) -> None:
        while found := store.take(LEFT):
            taken.extend(job.id for job in found)

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(take, store) for store in stores * 3]:
            done.result(60)
    assert len(taken) == 60
    assert set(taken) == ids


# --- the store -------------------------------------------------------------------------------------------------------


def test_a_newer_store_is_refused(postgres: PostgresServer, database: str) -> None:
    postgres.run("INSERT INTO schema_migrations VALUES (9999, 0)", database)
    with pytest.raises(NewerStore, match="9999"):
        PostgresEngine(postgres.url(database))


def test_engines_that_start_at_once_make_the_tables_once(postgres: PostgresServer) -> None:
    name = postgres.create(template=None)
    try:
        with ThreadPoolExecutor(4) as pool:
            engines = list(pool.map(lambda _: PostgresEngine(postgres.url(name)), range(4)))
        for engine in engines:
            assert keys(engine) == []
            engine.close()
    finally:
        postgres.drop(name)


def test_the_models_are_the_tables(postgres: PostgresServer, database: str) -> None:
    kinds = {"AUTO": "bigint", "INT": "bigint", "BIGINT": "bigint", "TEXT": "text", "BLOB": "bytea"}
    found: dict[str, list[tuple[object, ...]]] = {}
    for table, *column in postgres.run(
        "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns "
        "WHERE table_schema = 'public' ORDER BY table_name, ordinal_position",
        database,
    ):
        found.setdefault(str(table), []).append(tuple(column))
    del found["schema_migrations"], found["event_origin"]
    assert found == {
        model._meta.table_name: [
            (field.column_name, kinds[field.field_type], "YES" if field.null else "NO")
            for field in model._meta.sorted_fields
        ]
        for model in TABLES
    }


def test_indices_and_constraints_are_those_of_the_embedded_store(postgres: PostgresServer, database: str) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrations.migrate(connection, "sqlite", 0)
        embedded = connection.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        wanted = {name for (name,) in embedded}
        # Each column of a foreign key, and each table that has keys.
        tables = [model._meta.table_name for model in TABLES]
        keys = {(table, row[3]) for table in tables for row in connection.execute(f"PRAGMA foreign_key_list({table})")}
    made = postgres.run("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'", database)
    assert {name for (name,) in made if not str(name).endswith(("_pkey", "_key"))} == wanted
    foreign = postgres.run(
        "SELECT c.conrelid::regclass::text, a.attname FROM pg_constraint c "
        "JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] WHERE c.contype = 'f'",
        database,
    )
    assert set(foreign) == keys


def test_time_is_the_servers_and_never_goes_back(postgres: PostgresServer, engine: PostgresEngine) -> None:
    def now() -> int:
        ((found,),) = postgres.run("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint")
        assert isinstance(found, int)
        return found

    before = now()
    seen = [engine.write(lambda tx: tx.now).result(20), engine.read(lambda tx: tx.now).result(20)]
    assert before <= seen[0] <= seen[1] <= now()


def test_a_commit_waits_for_the_disk_whatever_the_servers_settings_say(
    postgres: PostgresServer, database: str, opened: Open
) -> None:
    postgres.run(f"ALTER DATABASE {database} SET synchronous_commit = off")
    show = Raw("SELECT current_setting('synchronous_commit')")
    assert opened().write(lambda tx: tx.one(show)).result(20) == ("on",)


def test_the_server_compiles_no_statement(engine: PostgresEngine) -> None:
    """A claim from a million queued jobs would be estimated dear enough for it, and take 200 ms in place of 2."""
    show = Raw("SELECT current_setting('jit')")
    assert engine.write(lambda tx: tx.one(show)).result(20) == ("off",)
    assert engine.write(lambda tx: tx.one(show), beside=True).result(20) == ("off",)
    assert engine.read(lambda tx: tx.one(show)).result(20) == ("off",)


def test_a_reading_operation_cannot_write(engine: PostgresEngine) -> None:
    assert engine.read(put("a")).exception(20) is not None
    assert keys(engine) == []


def test_after_the_end_nothing_is_taken(engine: PostgresEngine) -> None:
    engine.close()
    assert isinstance(engine.write(put("a")).exception(20), Unavailable)
    assert isinstance(engine.read(lambda tx: tx.now).exception(20), Unavailable)
