"""Ordered SQL files, one folder a dialect, applied each in a transaction of its own; a newer store is refused."""

import sqlite3
from importlib import resources
from typing import Any


class NewerStore(RuntimeError):
    """This store was written by a newer version; install that one, or restore a backup."""


def files(dialect: str) -> list[tuple[int, str, str]]:
    """Return (version, name, SQL) of every migration in order."""
    folder = resources.files(__name__) / dialect
    found = [f for f in folder.iterdir() if f.name.endswith(".sql")]
    return sorted((int(f.name.split("_", 1)[0]), f.name, f.read_text(encoding="utf-8")) for f in found)


def migrate(connection: Any, dialect: str, now: int) -> int:
    """Bring a store up to date, return its version.

    Raises:
        NewerStore: it holds a version that this program does not know.
        sqlite3.IntegrityError: a row would refer to one that is not there; the store is as it was.
    """
    connection.execute("CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, applied_at INTEGER)")
    done = {version for (version,) in connection.execute("SELECT version FROM schema_migrations").fetchall()}
    known = files(dialect)
    newest = known[-1][0]
    if max(done, default=0) > newest:
        raise NewerStore(f"the store is at version {max(done)}, this program knows {newest}: install the newer program")
    if all(version in done for version, _name, _sql in known):
        return newest
    # A table cannot be replaced while others refer to it; SQLite takes this setting outside of a transaction alone.
    enforced = connection.execute("PRAGMA foreign_keys").fetchone()[0]
    connection.execute("PRAGMA foreign_keys = 0")
    try:
        for version, _name, sql in known:
            if version not in done:
                _apply(connection, version, sql, now)
    finally:
        connection.execute(f"PRAGMA foreign_keys = {enforced}")
    return newest


def _apply(connection: Any, version: int, sql: str, now: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in split(sql):
            connection.execute(statement)
        broken = connection.execute("PRAGMA foreign_key_check").fetchone()
        if broken is not None:
            raise sqlite3.IntegrityError(f"migration {version}: a row of {broken[0]} refers to no row of {broken[2]}")
        connection.execute("INSERT INTO schema_migrations VALUES (?, ?)", (version, now))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def split(sql: str) -> list[str]:
    """Cut a file into statements; a semicolon inside a comment or a text is not expected in a migration."""
    lines = [line.split("--", 1)[0].rstrip() for line in sql.splitlines()]
    return [part.strip() for part in "\n".join(lines).split(";") if part.strip()]
