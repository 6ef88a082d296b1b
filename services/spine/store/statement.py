"""Statements compiled once from peewee queries: the SQL of each dialect and the order of its named parameters."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import peewee as pw


class _Parameter(str):
    """The name of a value that is given when the statement runs."""

    __slots__ = ()


def bind(name: str) -> Any:
    """Stand for a value in a query; `Tx.run(statement, name=value)` fills it."""
    return pw.Value(_Parameter(name), converter=False)


_CONTEXTS: dict[str, pw.Database] = {"sqlite": pw.SqliteDatabase(None)}


class Statement:
    """A query with named parameters. `suffix` is added to the SQL as it stands."""

    def __init__(self, query: Any, suffix: str = "") -> None:
        self._query = query
        self._suffix = suffix
        self._compiled: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._readers: dict[str, tuple[str, Callable[[object], Any]]] = {}

    def compiled(self, dialect: str) -> tuple[str, tuple[str, ...]]:
        """Return the SQL and the names of its parameters in order."""
        found = self._compiled.get(dialect)
        if found is None:
            sql, parameters = _CONTEXTS[dialect].get_sql_context().sql(self._query).query()
            loose = [p for p in parameters if not isinstance(p, _Parameter)]
            if loose:
                # Constants are few and fixed (a status, a limit): name them by value, so that they are bound too.
                raise ValueError(f"bind() these constants or inline them with pw.SQL: {loose}")
            found = self._compiled[dialect] = (sql + self._suffix, tuple(parameters))
        return found

    def reader(self, dialect: str) -> tuple[str, Callable[[object], Any]]:
        """Return the SQL, and what takes its parameters (two or more) from the attributes of a row."""
        found = self._readers.get(dialect)
        if found is None:
            sql, names = self.compiled(dialect)
            found = self._readers[dialect] = sql, attrgetter(*names)
        return found


def text(value: str) -> Any:
    """Stand for a constant word in a query, inlined so that partial indices can match it."""
    if not value.replace("_", "").replace(".", "").isalnum():
        raise ValueError(f"not a plain word: {value!r}")
    return pw.SQL(f"'{value}'")


def number(value: int) -> Any:
    """Stand for a constant number in a query, inlined."""
    return pw.SQL(str(int(value)))
