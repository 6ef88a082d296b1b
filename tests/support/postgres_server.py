"""A PostgreSQL server in a container, on a network of its own; its data lives in memory, one database for each test."""

import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import docker
import psycopg
from docker.models.containers import Container
from tests.support.engine import image, labels, made_net
from tests.support.eventually import eventually

from contract.clock import Clock
from spine.store.models import TABLES
from spine.store.postgres import PostgresEngine

CONTEXT = Path(__file__).parent / "postgres"
# Without a look at the references, so that the order does not matter.
_EMPTY = (
    "SET session_replication_role = replica; "
    + "; ".join(f"DELETE FROM {model._meta.table_name}" for model in TABLES)
    + "; SELECT setval(quote_ident(sequencename)::regclass, 1, false) FROM pg_sequences WHERE schemaname = 'public'"
)


class PostgresAt:
    """A server at an address, and what its owner may do there."""

    def __init__(self, address: str) -> None:
        self.address = address

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database."""
        return f"postgresql://postgres@{self.address}:5432/{database}"

    def answers(self) -> bool:
        """Tell whether it lets us in."""
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def run(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as the server's owner; return its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def await_standbys(self, names: str) -> None:
        """Let commits wait for these standbys from now on, or a moment later."""
        self.run(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.run("SELECT pg_reload_conf()")

    def commits_wait(self) -> bool:
        """Try a commit: another of the server's processes lets them wait, and nothing shows whether it does yet."""
        with ThreadPoolExecutor(1) as pool:
            probe = pool.submit(self.run, "COMMENT ON DATABASE postgres IS 'a change'")
            eventually(lambda: probe.done() or self._in_commit("postgres"))
            for (pid,) in self._in_commit("postgres"):
                self.run(f"SELECT pg_terminate_backend({pid})")
            return probe.exception(10) is not None

    def _in_commit(self, database: str) -> list[tuple[object, ...]]:
        waits = f"SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = '{database}'"
        return self.run(waits)

    def committing(self, database: str) -> int:
        """Return the process that waits inside its COMMIT for a standby, once there is one."""
        pid = eventually(lambda: self._in_commit(database), what="a commit that waits")[0][0]
        assert isinstance(pid, int)
        return pid


class PostgresServer(PostgresAt):
    """A server that is started at once; `stop` removes it with all that was in it. Its data lives in memory or not."""

    def __init__(self, client: docker.DockerClient, in_memory: bool = True) -> None:
        name = f"spine-test-postgres-{os.getpid()}"
        self._network, net = made_net(client, name)
        super().__init__(f"{net}.2")
        self.spare: list[str] = []  # empty databases
        self.container: Container = client.containers.run(
            image(client, CONTEXT),
            detach=True,
            name=name,
            network=name,
            labels=labels(),
            tmpfs={"/data": "size=2g,mode=1777"} if in_memory else {},
        )
        eventually(self.answers, 30, every=0.05, what="the database server")
        # Each test's database is a copy of one that has the tables already: making them takes ten times as long.
        self.create("template_store", None)
        PostgresEngine(self.url("template_store")).close()

    def create(self, name: str | None = None, template: str | None = "template_store") -> str:
        """Make a database; return its name."""
        name = name or f"t_{uuid.uuid4().hex[:16]}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template or 'template0'}")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, with whoever is connected to it."""
        self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @contextmanager
    def without_standby(self) -> Iterator[None]:
        """Let every commit wait for a standby that never comes."""
        self.await_standbys("ghost")
        try:
            eventually(self.commits_wait, what="a commit that waits for the standby")
            yield
        finally:
            self.await_standbys("")

    def stop(self) -> None:
        """Remove the server."""
        self.container.remove(force=True, v=True)
        self._network.remove()


class Databases:
    """Databases by folder, as other engines have a store in each; `give_back` empties them for the next test."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._names: dict[Path, str] = {}

    def open(self, folder: Path, clock: Clock) -> PostgresEngine:
        """Open the store of a folder, an empty one when it is asked for the first time.

        What it does is looked at, not how soon: one operation of a test may be the work of a thousand calls.
        """
        if folder not in self._names:
            self._names[folder] = self._server.spare.pop() if self._server.spare else self._server.create()
        return PostgresEngine(self._server.url(self._names[folder]), clock, deadline=60)

    def give_back(self) -> None:
        """Empty all: much quicker than to drop them and to make others, or to truncate tables that hold a few rows."""
        for name in self._names.values():
            self._server.run(_EMPTY, name)
        self._server.spare += self._names.values()
