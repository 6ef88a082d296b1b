"""A SQLite file of another program, read from a copy: beside the file itself nothing is made, locked or changed."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

# What belongs to a file: commits that are not in it yet, or what takes back one that was cut off.
_PARTS = ("", "-wal", "-journal")
_TRIES = 5

Row = dict[str, Any]
"""Columns by name: whole numbers, floats, texts, None; bytes for a blob, and for a text that is no UTF-8."""


class Unreadable(RuntimeError):
    """The file cannot be read; the message says why."""


@contextmanager
def opened(path: Path) -> Iterator["Foreign"]:
    """Open a copy of the file as it stands, with what its program has committed beside it. It may be in use.

    Raises:
        Unreadable: it is no SQLite file, or is written to all the time.
        OSError: it cannot be copied.
    """
    # A file in WAL mode cannot be opened without files beside it, not even to be read; a copy's may come and go.
    with tempfile.TemporaryDirectory(prefix="spine-import-") as folder:
        copy = _copied(path.resolve(), Path(folder))
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            connection.text_factory = _text
            found = Foreign(path, connection)
            # Whatever the file brings along in its schema may not run functions with side effects.
            found.run("PRAGMA trusted_schema=OFF")
            found.run("PRAGMA query_only=ON")
            yield found


class Foreign:
    """The file, open."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self._connection = path, connection

    def columns(self, table: str) -> frozenset[str]:
        """Return the names of a table's columns; none when there is no such table."""
        return frozenset(row[1] for row in self.run(f'PRAGMA table_info("{table}")'))

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[tuple[int, Row]]:
        """Iterate over a table in the order in which its rows were added; with each goes its place."""
        found = self.run(f"{_select(table, columns)} ORDER BY rowid")
        return ((place, dict(zip(columns, values, strict=True))) for place, *values in found)

    def row(self, table: str, columns: Sequence[str], place: int) -> Row:
        """Return the row at a place."""
        found = next(self.run(f"{_select(table, columns)} WHERE rowid = ?", place))
        return dict(zip(columns, found[1:], strict=True))

    def run(self, sql: str, *args: int) -> Iterator[tuple[Any, ...]]:
        """Run a statement at once; its rows come as they are asked for.

        Raises:
            Unreadable
        """
        return self._rows(self._executed(sql, args))

    def _executed(self, sql: str, args: tuple[int, ...]) -> sqlite3.Cursor:
        try:
            return self._connection.execute(sql, args)
        except sqlite3.Error as e:
            raise self._refusal(e) from e

    def _rows(self, cursor: sqlite3.Cursor) -> Iterator[tuple[Any, ...]]:
        try:
            yield from cursor
        except sqlite3.Error as e:
            raise self._refusal(e) from e

    def _refusal(self, error: sqlite3.Error) -> Unreadable:
        return Unreadable(f"{self.path} cannot be read as an SQLite file: {error}")


def _select(table: str, columns: Sequence[str]) -> str:
    named = ", ".join(f'"{name}"' for name in columns)
    return f'SELECT rowid, {named} FROM "{table}"'


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _copied(source: Path, folder: Path) -> Path:
    """Copy a file and its parts; again when something was written meanwhile."""
    copy = folder / "copy.db"
    for _ in range(_TRIES):
        before = _stamps(source)
        for part in _PARTS:
            target = folder / f"copy.db{part}"
            target.unlink(missing_ok=True)
            if part in before:
                shutil.copyfile(f"{source}{part}", target)
        if _stamps(source) == before:
            return copy
    raise Unreadable(f"{source} is written to all the time: stop its server first")


def _stamps(source: Path) -> dict[str, tuple[int, int, int]]:
    """Return what changes with each write to a file or one of its parts."""
    found = {}
    for part in _PARTS:
        try:
            stat = Path(f"{source}{part}").stat()
        except FileNotFoundError:
            if not part:
                raise
            continue
        found[part] = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    return found
