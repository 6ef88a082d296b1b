"""Migrations: the tables that the models name, the same by every way, and which index each statement takes."""

import re
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from spine.store import (
    attempts,
    board,
    comments,
    events,
    groups,
    idempotency,
    jobs,
    leases,
    listing,
    logs,
    messages,
    migrations,
    notices,
    occurrences,
    schedules,
)
from spine.store.migrations import migrate
from spine.store.models import TABLES


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    found = sqlite3.connect(":memory:", isolation_level=None)
    yield found
    found.close()


def schema(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    """Return all tables and indices as SQLite describes them."""
    return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").fetchall()


def columns(connection: sqlite3.Connection, table: str) -> dict[str, tuple[str, bool]]:
    """Return type and nullability of each column."""
    return {row[1]: (row[2], not row[3] and not row[5]) for row in connection.execute(f"PRAGMA table_info({table})")}


def test_versions_are_in_order_and_named() -> None:
    found = migrations.files("sqlite")
    versions = [version for version, _name, _sql in found]
    assert versions == sorted(set(versions))
    assert versions[0] == 1
    assert all(re.fullmatch(r"\d{4}_[a-z_]+\.sql", name) for _version, name, _sql in found)


def test_the_models_are_the_tables(connection: sqlite3.Connection) -> None:
    migrate(connection, "sqlite", 0)
    made = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    named = {model._meta.table_name for model in TABLES}
    assert made - {"sqlite_sequence", "schema_migrations"} == named


@pytest.mark.parametrize("model", TABLES, ids=lambda model: model._meta.table_name)
def test_the_models_columns_are_the_tables_columns(connection: sqlite3.Connection, model: Any) -> None:
    migrate(connection, "sqlite", 0)
    kinds = {"AUTO": "INTEGER", "INT": "INTEGER", "BIGINT": "INTEGER", "TEXT": "TEXT", "BLOB": "BLOB"}
    declared = {field.column_name: (kinds[field.field_type], bool(field.null)) for field in model._meta.sorted_fields}
    found = columns(connection, model._meta.table_name)
    assert list(found) == list(declared)
    keys = {row[1] for row in connection.execute(f"PRAGMA table_info({model._meta.table_name})") if row[5]}
    for name, kind in declared.items():
        assert found[name] == kind or (name in keys and found[name][0] == kind[0]), name


def test_the_rows_are_the_columns(connection: sqlite3.Connection) -> None:
    migrate(connection, "sqlite", 0)
    assert list(jobs.JobRow._fields) == list(columns(connection, "jobs"))
    assert list(attempts.AttemptRow._fields) == list(columns(connection, "attempts"))
    assert list(events.EventRow._fields) == list(columns(connection, "events"))


def test_twice_is_once(connection: sqlite3.Connection) -> None:
    newest = migrate(connection, "sqlite", 5)
    before = schema(connection)
    assert migrate(connection, "sqlite", 9) == newest
    assert schema(connection) == before
    assert connection.execute("SELECT DISTINCT applied_at FROM schema_migrations").fetchall() == [(5,)]


def test_one_by_one_and_all_at_once_end_the_same(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [*migrations.files("sqlite"), (90, "0090_more.sql", "CREATE TABLE more (a INTEGER); -- a word; or two\n")]
    other = sqlite3.connect(":memory:", isolation_level=None)
    for count in range(1, len(known) + 1):
        monkeypatch.setattr(migrations, "files", lambda _dialect, count=count: known[:count])
        assert migrate(other, "sqlite", 0) == known[count - 1][0]
    migrate(connection, "sqlite", 0)
    assert schema(connection) == schema(other)
    assert any(row[1] == "more" for row in schema(connection))
    other.close()


def test_a_migration_that_fails_leaves_nothing_of_itself(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(connection, "sqlite", 0)
    before = schema(connection)
    known = [
        *migrations.files("sqlite"),
        (90, "0090_bad.sql", "CREATE TABLE half (a);\nINSERT INTO nowhere VALUES (1);"),
    ]
    monkeypatch.setattr(migrations, "files", lambda _dialect: known)
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            migrate(connection, "sqlite", 0)
        assert schema(connection) == before
    assert connection.execute("SELECT max(version) FROM schema_migrations").fetchone()[0] < 90
    assert not connection.in_transaction


def test_replaced_tables_keep_rows_numbers_and_references(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrations.files("sqlite")
    monkeypatch.setattr(migrations, "files", lambda _dialect: known[:5])
    connection.execute("PRAGMA foreign_keys = 1")
    migrate(connection, "sqlite", 0)
    connection.execute("INSERT INTO lanes (target, requires) VALUES ('any', '[]')")
    born = (
        "INSERT INTO jobs (id, lane, target, status, created_at, updated_at, created_by, max_attempts, spec, meta)"
        " VALUES (?, 1, 'any', 'queued', 1, 1, 'head', 5, '\"x\"', '{}')"
    )
    for job_id in ("a", "b", "c"):
        connection.execute(born, (job_id,))
    connection.execute(
        "INSERT INTO attempts (job_id, fence, round, attempt, outcome, claimed_by, started_at, result)"
        " VALUES ('a', 1, 1, 1, 'superseded', 'left-claw', 2, '\"first\"')"
    )
    connection.execute("DELETE FROM jobs WHERE id = 'c'")
    kept = [connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("jobs", "attempts")]

    monkeypatch.setattr(migrations, "files", lambda _dialect: known[:6])
    migrate(connection, "sqlite", 0)

    assert [connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("jobs", "attempts")] == kept
    assert connection.execute(born, ("d",)).lastrowid == 4
    for wrong in (
        "UPDATE jobs SET status = 'asleep'",
        "UPDATE jobs SET status = 'running'",
        "UPDATE jobs SET approval = 'maybe'",
        "UPDATE jobs SET review = 'maybe'",
        "UPDATE attempts SET outcome = 'unknown'",
        "INSERT INTO comments (job_id, at, author, text) VALUES ('c', 1, 'head', 'x')",
        "DELETE FROM jobs WHERE id = 'a'",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(wrong)


def test_what_revoked_machines_had_not_read_has_expired(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrations.files("sqlite")
    monkeypatch.setattr(migrations, "files", lambda _dialect: known[:13])
    migrate(connection, "sqlite", 0)
    for name, revoked_at in (("gone", 7), ("there", None)):
        connection.execute(
            "INSERT INTO machines (name, capabilities, facts, state, first_seen, seen_at, revoked_at)"
            " VALUES (?, '[]', '{}', 'active', 1, 1, ?)",
            (name, revoked_at),
        )
    connection.execute(
        "INSERT INTO messages (id, at, sender, audience, kind, priority, place, text, thread)"
        " VALUES ('m', 1, 'head', 'all', 'text', 0, 0, 'x', 'm')"
    )
    for reader in ("gone", "there"):
        connection.execute("INSERT INTO receipts (message, reader, place) VALUES (1, ?, 0)", (reader,))
    monkeypatch.setattr(migrations, "files", lambda _dialect: known)
    migrate(connection, "sqlite", 0)
    found = connection.execute("SELECT reader, expires_at, expired_at FROM receipts ORDER BY reader").fetchall()
    assert found == [("gone", 7, 7), ("there", None, None)]


def test_a_migration_that_breaks_a_reference_is_not_carried_out(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(connection, "sqlite", 0)
    connection.execute("PRAGMA foreign_keys = 1")
    before = schema(connection)
    bad = (90, "0090_bad.sql", "CREATE TABLE c (job_id TEXT REFERENCES jobs (id));\nINSERT INTO c VALUES ('nobody');")
    known = [*migrations.files("sqlite"), bad]
    monkeypatch.setattr(migrations, "files", lambda _dialect: known)
    with pytest.raises(sqlite3.IntegrityError, match="migration 90: a row of c refers to no row of jobs"):
        migrate(connection, "sqlite", 0)
    assert schema(connection) == before
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)


QUEUED = ("queued",)
# What is looked up, and how: words differ between versions of SQLite, the index does not.
PLANS = {
    "a job by its id": (jobs._BY_ID, "sqlite_autoindex_jobs_1"),
    "the next of a lane": (jobs._READY, "jobs_ready"),
    "leases that are over": (leases._OVERDUE, "jobs_lease"),
    "the next lease end": (leases._NEXT_LEASE_END, "jobs_lease"),
    "grace": (leases._GRACE, "jobs_lease"),
    "a heartbeat": (leases._EXTEND, "sqlite_autoindex_jobs_1"),
    "events after": (events._AFTER, "PRIMARY KEY"),
    "events of jobs after": (events._AFTER_OF_JOBS, "PRIMARY KEY"),
    "events of a job": (events._OF_JOB, "events_job"),
    "comments": (comments._OF_JOB, "comments_job"),
    "an attempt": (attempts._FIND, "PRIMARY KEY"),
    "old keys": (idempotency._PRUNE, "idempotency_age"),
    "a range of a log": (logs._CHUNKS, "sqlite_autoindex_log_chunks_1"),
    "a list": (listing._select(listing._Shape((), *[False] * 6, None)), "PRIMARY KEY"),
    "what a label has in progress": (
        listing._select(listing._Shape(("queued", "running"), False, False, False, True, False, False, None)),
        "jobs_label_open",
    ),
    "a label's jobs, the newest first": (
        listing._newest(listing._Shape((), False, False, False, True, False, False, None)),
        "jobs_label",
    ),
    "a list of what is queued": (listing._select(listing._Shape(QUEUED, *[False] * 6, None)), "jobs_status"),
    "what a Skyclaw host holds": (leases._HELD_BY, "jobs_held"),
    "how many that is": (leases._COUNT_HELD, "jobs_held"),
    "a machine's newest claim of a job": (attempts._NEWEST_OF, "PRIMARY KEY"),
    "Skyclaw's jobs that have not ended": (listing._SKYCLAW_UNFINISHED, "jobs_skyclaw"),
    "Skyclaw's jobs that have": (listing._SKYCLAW_ENDED, "jobs_skyclaw"),
    "schedules that are due": (schedules._DUE, "schedules_fire"),
    "the next one": (schedules._FIRST_FIRE, "schedules_fire"),
    "what follows a schedule": (schedules._CHILDREN, "schedules_parent"),
    "a schedule's jobs that have not ended": (occurrences._ACTIVE, "jobs_schedule"),
    "what a schedule's jobs came to": (occurrences._ENDED, "jobs_schedule"),
    "delays that are over": (occurrences._PENDING, "occurrences_fire"),
    "approvals that are late": (occurrences._UNAPPROVED, "occurrences_approve"),
    "an open job of a group by label": (groups._any_open("label"), "jobs_label"),
    "one by parent": (groups._any_open("parent"), "jobs_parent"),
    "the occurrence that is queued": (occurrences._QUEUED, "occurrences_queued"),
    "old ones that came to no job": (occurrences._OLDEST_KEPT, "occurrences_fruitless"),
    "an alias with notices to send": (notices._NEXT_ALIAS, "notices_open"),
    "when its first one is due": (notices._FIRST_DUE, "notices_open"),
    "those that are": (notices._DUE, "notices_open"),
    "those of nobody": (notices._STALE, "notices_open"),
    "what a machine has not read": (messages._ABANDON, "receipts_unread"),
    "jobs that wait for approval": (board._TO_APPROVE, "jobs_to_approve"),
    "jobs that wait for review": (board._TO_REVIEW, "jobs_to_review"),
    "jobs that ended lately": (board._ENDED, "jobs_ended"),
    "a job's last events": (events._NEWEST_OF_JOB, "events_job"),
    "a job's last comments": (comments._LAST, "comments_job"),
    "a page of jobs, the newest first": (listing._newest(listing._Shape(("dead",), *[False] * 6, None)), "jobs_status"),
    "what a v0 claw asks for": (listing._select(listing._Shape(QUEUED, True, True, *[False] * 4, None)), "jobs_queued"),
}


# A scrape counts all jobs: it reads indices, and no job.
COUNTS = {
    "SEARCH t1 USING INDEX jobs_queued (target=?)": (listing._COUNT_QUEUED, ["left-claw"]),
    "SCAN t1 USING COVERING INDEX jobs_tally": (listing._COUNT_OTHERS, []),
}


@pytest.mark.parametrize("plan", COUNTS)
def test_jobs_are_counted_by_an_index_alone(connection: sqlite3.Connection, plan: str) -> None:
    migrate(connection, "sqlite", 0)
    statement, values = COUNTS[plan]
    found = connection.execute(f"EXPLAIN QUERY PLAN {statement.compiled('sqlite')[0]}", values).fetchall()
    assert [row[3] for row in found] == [plan]


@pytest.mark.parametrize("what", PLANS)
def test_hot_statements_take_their_index_and_sort_nothing(connection: sqlite3.Connection, what: str) -> None:
    migrate(connection, "sqlite", 0)
    statement, index = PLANS[what]
    sql, names = statement.compiled("sqlite")
    found = connection.execute(f"EXPLAIN QUERY PLAN {sql}", [1] * len(names)).fetchall()
    (plan,) = (row[3] for row in found)  # a second line would be a sort
    assert plan.startswith("SEARCH ")
    assert f" {index} (" in plan
