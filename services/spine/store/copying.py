"""Rows of every table out of one store and into another: in the order of their keys, the same order in every dialect.

A row's digest is taken of its columns as JSON, whole numbers as such and bytes in base64, so that what both sides hold
can be compared. Tables come in an order in which each refers only to those before it.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import peewee as pw

from spine.store.engine import Tx
from spine.store.models import TABLES
from spine.store.statement import Statement, bind

Row = Sequence[Any]
_BYTES_MOST = 4 << 20
PAGE = 200  # rows that a server sends at once: what a client holds in memory
_encode = msgspec.json.Encoder().encode


class Count(NamedTuple):
    """How many rows a table has, and the SHA-256 of all of them in hex."""

    rows: int
    sha256: str


class Digest:
    """Taken of rows as they come by."""

    def __init__(self) -> None:
        self.rows, self._taken = 0, hashlib.sha256()

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows in, in the order of their keys."""
        self.rows += len(rows)
        for row in rows:
            self._taken.update(_encode(row))
            self._taken.update(b"\n")

    def count(self) -> Count:
        """Return what was taken in so far."""
        return Count(self.rows, self._taken.hexdigest())


class Copied:
    """A table, for whoever copies it. `serial`: the column that the store counts up by itself, if there is one."""

    def __init__(self, model: Any) -> None:
        meta = model._meta
        fields, self._keys = list(meta.sorted_fields), list(meta.get_primary_keys())
        self.name: str = meta.table_name
        self.columns: list[str] = [field.column_name for field in fields]
        self._places = [self.columns.index(key.column_name) for key in self._keys]
        self.serial: str | None = meta.primary_key.column_name if isinstance(meta.primary_key, pw.AutoField) else None
        values = ", ".join("?" * len(fields))
        named = ", ".join(f'"{column}"' for column in self.columns)
        self.insert_sqlite = f'INSERT INTO "{self.name}" ({named}) VALUES ({values})'
        self.copy_postgres = f'COPY "{self.name}" ({named}) FROM STDIN'
        self._size = Statement(model.select(pw.fn.COUNT(self._keys[0])))
        rows = model.select(*fields).order_by(*self._keys)
        self._first = Statement(rows.limit(bind("limit")))
        self._after = Statement(rows.where(self._key() > self._bound("after")).limit(bind("limit")))
        self._upto = Statement(rows.where(self._key() <= self._bound("upto")).limit(bind("limit")))
        between = (self._key() > self._bound("after")) & (self._key() <= self._bound("upto"))
        self._between = Statement(rows.where(between).limit(bind("limit")))

    def _key(self) -> Any:
        return self._keys[0] if len(self._keys) == 1 else pw.Tuple(*self._keys)

    def _bound(self, name: str) -> Any:
        found = [bind(f"{name}{n}") for n in range(len(self._keys))]
        return found[0] if len(found) == 1 else pw.Tuple(*found)

    def key(self, row: Row) -> list[Any]:
        """Return a row's key."""
        return [row[place] for place in self._places]

    def size(self, tx: Tx) -> int:
        """Return how many rows there are."""
        row = tx.one(self._size)
        return 0 if row is None else int(row[0])

    def batches(self, tx: Tx, most: int, after: list[Any] | None = None) -> Iterator[list[Row]]:
        """Iterate over the rows behind a key, so many at once, fewer when they are large."""
        while True:
            batch: list[Row] = []
            size = 0
            for row in self._rows(tx, most, after, None):
                batch.append(row)
                size += sum(len(value) for value in row if isinstance(value, str | bytes))
                if size >= _BYTES_MOST:
                    break
            if not batch:
                return
            yield batch
            after = self.key(batch[-1])

    def between(self, tx: Tx, most: int, after: list[Any] | None, upto: list[Any]) -> list[Row]:
        """Return the rows behind a key and up to another one, so many at most."""
        return list(self._rows(tx, most, after, upto))

    def _rows(self, tx: Tx, limit: int, after: list[Any] | None, upto: list[Any] | None) -> Iterator[Row]:
        values: dict[str, Any] = {f"after{n}": value for n, value in enumerate(after or ())}
        values |= {f"upto{n}": value for n, value in enumerate(upto or ())}
        if after is None:
            statement = self._first if upto is None else self._upto
        else:
            statement = self._after if upto is None else self._between
        return tx.rows(statement, limit=limit, **values)


COPIED = tuple(Copied(model) for model in TABLES)


def compare(table: Copied, one: Tx, other: Tx, progress: Callable[[int], None]) -> tuple[Count, Count]:
    """Read a table on both sides, piece by piece; return what each has. `progress`: rows done so far."""
    ours, theirs = Digest(), Digest()
    after: list[Any] | None = None
    for batch in table.batches(one, PAGE):
        upto = table.key(batch[-1])
        ours.add(batch)
        theirs.add(table.between(other, len(batch) + 1, after, upto))
        progress(ours.rows)
        after = upto
    theirs.add(next(table.batches(other, 1, after), []))  # one too many is enough to tell
    return ours.count(), theirs.count()
