"""Transactions on PostgreSQL: one that writes alone or only reads, and one that writes beside others."""

from typing import Any

from spine.store import places
from spine.store.engine import Tx
from spine.store.places import Asked
from spine.store.statement import Statement
from spine.store.writer import MustBeAlone

DIALECT = "postgres"


class PostgresTx(Tx):
    """A transaction whose inserts answer the new row's key as a row. `origin`, `oldest`: see `spine.store.places`."""

    page = 16

    def __init__(
        self, link: Asked, now: int, origin: int, oldest: int | None = None, known: tuple[int, int] = (0, 0)
    ) -> None:
        super().__init__(link, DIALECT, now)
        self._link, self._origin, self._oldest = link, origin, oldest
        self.known = known

    def insert(self, statement: Statement, **values: Any) -> int:
        """Run an insert, return the new row's integer key."""
        sql, names = statement.keyed(self._dialect)
        key: int = self._execute(sql, [values[name] for name in names]).fetchone()[0]
        return key

    def insert_row(self, statement: Statement, row: object) -> int:
        """Run an insert whose parameters are attributes of a row, return the new row's integer key."""
        sql, values = statement.keyed_reader(self._dialect)
        key: int = self._execute(sql, values(row)).fetchone()[0]
        return key

    @property
    def settled(self) -> int:
        """Return the place below which no event comes any more (see `Tx.settled`)."""
        return places.settled(self._link, self._origin, self._oldest)


class BesideTx(PostgresTx):
    """One beside others: it changes only what it may, and holds the rows that its changes go by."""

    beside = True

    def alone(self) -> None:
        """End here: the operation is begun again alone."""
        raise MustBeAlone

    def run(self, statement: Statement, **values: Any) -> int:
        """Run a statement, return how many rows it changed."""
        if not statement.beside:
            raise MustBeAlone
        return super().run(statement, **values)

    def insert(self, statement: Statement, **values: Any) -> int:
        """Run an insert, return the new row's integer key."""
        if not statement.beside:
            raise MustBeAlone
        return super().insert(statement, **values)

    def insert_row(self, statement: Statement, row: object) -> int:
        """Run an insert whose parameters are attributes of a row, return the new row's integer key."""
        if not statement.beside:
            raise MustBeAlone
        return super().insert_row(statement, row)

    def held(self, statement: Statement, **values: Any) -> Any:
        """Return the first row as it is once everyone who changes it has finished, or None; and keep it."""
        sql, names = statement.holding(self._dialect)
        return self._execute(sql, [values[name] for name in names]).fetchone()
