"""One connection to PostgreSQL: cut when it hangs, its COMMIT never taken for more than it said.

`psycopg` is imported here, in `spine.store.servers` and in `spine.store.postgres` alone.
"""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import structlog
from psycopg.errors import Diagnostic

from contract.errors import OutcomeUnknown, Unavailable
from spine.store.servers import Servers

_log = structlog.get_logger()

# A server that was stopped inside a transaction must not keep the lock that all others wait for.
# A commit that does not wait for the disk would break the first promise: `off` is not taken from the server's settings.
# The planner reckons with far more rows than a claim reads: with a million jobs queued it would compile each claim.
_SESSION = """
    SELECT set_config('lock_timeout', '10s', false), set_config('statement_timeout', '15s', false),
        set_config('idle_in_transaction_session_timeout', '15s', false),
        set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), false),
        set_config('jit', 'off', false)
"""


# A transaction that wrote nothing commits without a wait for disk or standby, also when what it has read is not there
# yet: a commit whose wait was cancelled, or ended with its server, can be seen. So each one writes: its answer is then
# as safe as what it rests on, and a primary that another has succeeded can answer nothing at all.
_COMMIT = "SELECT pg_logical_emit_message(true, 'spine', ''); COMMIT"


class Link:
    """A connection that counts what it changes. Used by one thread.

    Raises:
        psycopg.OperationalError: no primary can be reached, or only an old one.
    """

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self.changes = 0
        self._warnings: list[str] = []
        self.connection, self.lineage = servers.open()
        self.connection.add_notice_handler(self._note)
        try:
            with self.bounded():
                self.connection.execute(_SESSION)
        except psycopg.Error:
            self.close()
            raise

    def _note(self, notice: Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            self._warnings.append(notice.message_primary or "")
            _log.warning("store.server_warns", message=notice.message_primary, code=notice.sqlstate)

    @property
    def broken(self) -> bool:
        """Whether nothing more can, or may, be done with it: its server may have been succeeded by another."""
        return self.connection.closed or self._servers.newest.outruns(self.lineage)

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Let the deadline watch over what is done inside."""
        with self._servers.deadline.over(self.connection.fileno()):
            yield

    def execute(self, sql: str, values: Sequence[Any] = ()) -> "psycopg.Cursor[Any]":
        """Run a statement."""
        try:
            cursor = self.connection.execute(sql, values)
        except psycopg.Error:
            self.changes += 1  # the transaction can only be taken back now, with all that is in it
            raise
        if not sql.startswith("SELECT"):
            self.changes += max(0, cursor.rowcount)
        return cursor

    def begin(self, sql: str) -> Sequence[Any]:
        """Run several statements that begin a transaction, in one turn; return the row of the last one."""
        try:
            with self.bounded():
                cursor = self.run(sql)
        except psycopg.Error:
            self.rollback()  # else a connection that still stands would refuse all that follows
            raise
        while cursor.nextset():
            pass
        row: Sequence[Any] = cursor.fetchone()  # type: ignore[assignment]
        return row

    def run(self, sql: str) -> "psycopg.Cursor[Any]":
        """Run a statement without values that is no question."""
        return self.connection.execute(sql, prepare=False)

    def commit(self) -> None:
        """Commit the transaction.

        Raises:
            OutcomeUnknown: the server may or may not have committed, or has not said that it is safe, or it has said so
                when another had taken its place.
            psycopg.Error: it refused; nothing was written.
        """
        self._warnings.clear()
        try:
            cursor = self.run(_COMMIT)
            while cursor.nextset():
                pass
        except psycopg.Error as e:
            if self.broken or not isinstance(e, psycopg.DatabaseError) or e.sqlstate is None:
                raise OutcomeUnknown from e
            raise
        if self._warnings or self.broken:  # such as: the wait for the standby was cancelled
            raise OutcomeUnknown
        if cursor.statusmessage != "COMMIT":
            raise Unavailable("the database took the transaction back")

    def rollback(self) -> None:
        """Take the transaction back, if there is one and somebody to say so to; where it cannot be, close."""
        if not self.broken:
            try:
                with self.bounded():
                    self.run("ROLLBACK")
            except psycopg.Error:
                self.close()

    def close(self) -> None:
        """Close it."""
        with contextlib.suppress(psycopg.Error):
            self.connection.close()
