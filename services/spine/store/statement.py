"""Statements compiled once from peewee queries: the SQL of each dialect and the order of its named parameters.

What differs between the dialects is here, and in the drivers; statements are written in words that all of them know.
"""

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any

import peewee as pw


class _Parameter(str):
    """The name of a value that is given when the statement runs."""

    __slots__ = ()


def bind(name: str) -> Any:
    """Stand for a value in a query; `Tx.run(statement, name=value)` fills it."""
    return pw.Value(_Parameter(name), converter=False)


@cache
def _database(dialect: str) -> pw.Database:
    """Return what peewee compiles for; it is never connected."""
    found: pw.Database = {"sqlite": pw.SqliteDatabase, "postgres": pw.PostgresqlDatabase}[dialect](None)
    return found


class Statement:
    """A query with named parameters. `suffix` is added to the SQL as it stands.

    `beside`: a change that is right also while other writers are at work; see `Tx.alone`.
    """

    def __init__(self, query: Any, suffix: str = "", beside: bool = False) -> None:
        self._query = query
        self._suffix = suffix
        self.beside = beside
        self._compiled: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._readers: dict[str, tuple[str, Callable[[object], Any]]] = {}

    def compiled(self, dialect: str) -> tuple[str, tuple[str, ...]]:
        """Return the SQL and the names of its parameters in order."""
        found = self._compiled.get(dialect)
        if found is None:
            sql, parameters = _database(dialect).get_sql_context().sql(self._query).query()
            loose = [p for p in parameters if not isinstance(p, _Parameter)]
            if loose:
                # Constants are few and fixed (a status, a limit): name them by value, so that they are bound too.
                raise ValueError(f"bind() these constants or inline them with pw.SQL: {loose}")
            found = self._compiled[dialect] = (sql + self._suffix, tuple(parameters))
        return found

    def holding(self, dialect: str) -> tuple[str, tuple[str, ...]]:
        """The same of a question, for a dialect in which a transaction can keep the rows that it has read."""
        sql, names = self.compiled(dialect)
        return f"{sql} FOR NO KEY UPDATE", names

    def keyed(self, dialect: str) -> tuple[str, tuple[str, ...]]:
        """The same of an insert, for a dialect in which it returns the new row's key as a row."""
        sql, names = self.compiled(dialect)
        return self._with_key(sql), names

    def keyed_reader(self, dialect: str) -> tuple[str, Callable[[object], Any]]:
        """The same as `reader`, of an insert that returns the new row's key as a row."""
        sql, values = self.reader(dialect)
        return self._with_key(sql), values

    def _with_key(self, sql: str) -> str:
        return f'{sql} RETURNING "{self._query.model._meta.primary_key.column_name}"'

    def reader(self, dialect: str) -> tuple[str, Callable[[object], Any]]:
        """Return the SQL, and what takes its parameters (two or more) from the attributes of a row."""
        found = self._readers.get(dialect)
        if found is None:
            sql, names = self.compiled(dialect)
            found = self._readers[dialect] = sql, attrgetter(*names)
        return found


class Written(Statement):
    """A statement in the words of one dialect, for what the others have no words for; values as `%s`, in order."""

    def __init__(self, dialect: str, sql: str, names: tuple[str, ...], beside: bool = False) -> None:
        super().__init__(None, beside=beside)
        self._compiled[dialect] = sql.strip(), names


def text(value: str) -> Any:
    """Stand for a constant word in a query, inlined so that partial indices can match it."""
    if not value.replace("_", "").replace(".", "").isalnum():
        raise ValueError(f"not a plain word: {value!r}")
    return pw.SQL(f"'{value}'")


def number(value: int) -> Any:
    """Stand for a constant number in a query, inlined."""
    return pw.SQL(str(int(value)))


class _Place(pw.Function):
    """Where a text begins in another (from 1; 0: nowhere). Each dialect has its own name for it."""

    def __sql__(self, ctx: Any) -> Any:
        name = "INSTR" if ctx.state.param == pw.SqliteDatabase.param else "STRPOS"
        return ctx.sql(pw.Function(name, self.arguments))


def place(within: Any, wanted: Any) -> Any:
    """Stand for where a text begins in another (from 1; 0: nowhere), NULL when that one is NULL."""
    return _Place("place", (within, wanted))


def ahead(column: Any, value: Any, key: Any, before: Any) -> Any:
    """The same for what stands before a place. Order by both, descending."""
    rows = (pw.Tuple(column, key) < pw.Tuple(value, before)) & (column >= value)
    return Either((column == value) & (key < before), rows)


class Either(pw.Node):
    """One of two expressions, or of two queries, by the dialect."""

    def __init__(self, sqlite: Any, postgres: Any) -> None:
        self._sqlite, self._postgres = sqlite, postgres

    def __sql__(self, ctx: Any) -> Any:
        return ctx.sql(self._sqlite if ctx.state.param == pw.SqliteDatabase.param else self._postgres)


def behind(column: Any, value: Any, key: Any, after: Any) -> Any:
    """Stand for: the column has this value, and the key is behind a place. Order by the column, then by the key.

    PostgreSQL would take an equality for a reason to order by the key alone, and go through the whole table by it for
    as long as the first fitting rows are far from its begin: it is not told that there is only one value.
    """
    rows = (pw.Tuple(column, key) > pw.Tuple(value, after)) & (column <= value)
    return Either((column == value) & (key > after), rows)
