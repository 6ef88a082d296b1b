"""A command's own connection to a store in PostgreSQL, beside its servers: bounded in time, faults in plain words."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from psycopg import errors as pg

from contract.errors import OutcomeUnknown
from spine.store import marks, places
from spine.store.engine import StoreAway, StoreUnusable
from spine.store.link import Link
from spine.store.migrations import NewerStore, files
from spine.store.postgres_tx import DIALECT, PostgresTx
from spine.store.servers import Servers, hosts, name

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


def address(url: str) -> str:
    """Write a database's address for people: without the password.

    Raises:
        StoreUnusable: it cannot be read.
    """
    found = hosts(url)
    user = f"{found[0]['user']}@" if "user" in found[0] else ""
    return f"postgresql://{user}{','.join(name(host) for host in found)}/{found[0].get('dbname', '')}"


def has_password(url: str) -> bool:
    """Tell whether an address has a password in it.

    Raises:
        StoreUnusable: it cannot be read.
    """
    return "password" in hosts(url)[0]


class _Bounded:
    """A link whose every statement is watched over by the deadline: a command's transaction may take long."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """Run a statement."""
        with self._link.bounded():
            return self._link.execute(sql, values)


class Visit:
    """A connection to the primary; to be closed.

    Raises:
        StoreAway: no server answers, or it lets nobody in. StoreUnusable: the address cannot be read.
    """

    def __init__(self, url: str) -> None:
        self.address = address(url)
        self._servers = Servers(url)
        try:
            with self.told():
                self.link = Link(self._servers)
        except BaseException:
            self._servers.close()
            raise

    def close(self) -> None:
        """Let go of the database."""
        self.link.close()
        self._servers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Say in words that tell what to do why what is done inside failed.

        Raises:
            StoreAway: the server went away, or its disk is full. StoreUnusable: it refuses.
        """
        try:
            yield
        except pg.DiskFull as e:
            raise StoreAway(f"the disk of {self.address} is full; make room, then run this again") from e
        except OutcomeUnknown as e:
            raise StoreAway(f"{self.address} went away while it committed; run this again") from e
        except psycopg.OperationalError as e:
            raise StoreAway(f"{self.address} cannot be reached: {_first_line(e)}") from e
        except psycopg.Error as e:
            raise StoreUnusable(f"{self.address} cannot be used: {_first_line(e)}") from e

    def rows(self, sql: str) -> list[Any]:
        """Run a statement without values; return its rows."""
        with self.link.bounded():
            return self.link.run(sql).fetchall()

    def value(self, sql: str) -> Any:
        """Return the first value that a statement answers."""
        return self.rows(sql)[0][0]

    def tables(self) -> set[str]:
        """Return the names of the tables where the store's would be."""
        return {row[0] for row in self.rows("SELECT tablename FROM pg_tables WHERE schemaname = current_schema")}

    def is_new(self) -> bool:
        """Tell whether no spine has been here."""
        with self.told():
            return "schema_migrations" not in self.tables()

    def version(self) -> int:
        """Return the store's version.

        Raises:
            NewerStore
        """
        version, newest = int(self.value("SELECT max(version) FROM schema_migrations")), newest_version()
        if version > newest:
            raise NewerStore(
                f"the store at {self.address} is at version {version}, this program knows {newest}: install the newer "
                "program"
            )
        return version

    def now(self) -> int:
        """Return the time (ms) by the server's clock."""
        return int(self.value("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"))

    def counted(self) -> dict[str, int]:
        """Return how far the store has counted in each table that it numbers by itself."""
        found = self.rows(
            "SELECT c.relname, s.last_value FROM pg_sequences s JOIN pg_depend d ON d.deptype = 'i' AND d.objid ="
            " to_regclass(quote_ident(s.sequencename)) JOIN pg_class c ON c.oid = d.refobjid"
            " WHERE s.schemaname = current_schema AND s.last_value IS NOT NULL"
        )
        return {name: int(last) for name, last in found}

    def tx(self) -> PostgresTx:
        """Return what runs a store's statements, in the transaction there is, or each in one of its own."""
        bounded = _Bounded(self.link)
        return PostgresTx(bounded, self.now(), places.origin(bounded))

    @contextmanager
    def snapshot(self) -> Iterator[PostgresTx]:
        """Read a whole store as it is at one moment, however long that takes.

        Raises:
            NewerStore, StoreUnusable: there is no store of this program's version, or it is not whole.
        """
        with self.told():
            if self.is_new():
                raise StoreUnusable(f"there is no store at {self.address} yet; the first `spine serve` makes it")
            if self.version() < newest_version():
                raise StoreUnusable(f"the store at {self.address} is older than this program; serve it once first")
            with self.link.bounded():
                marks.refuse_half_arrived(self.link)
                self.link.run(_BEGIN)
            try:
                yield self.tx()
            finally:
                self.link.rollback()


def newest_version() -> int:
    """Return the version that this program writes."""
    return files(DIALECT)[-1][0]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
