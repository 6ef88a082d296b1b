"""One connection to PostgreSQL: made with time-outs, cut when it hangs, its COMMIT never taken for more than it said.

`psycopg` is imported here and in `spine.store.postgres` alone.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import Diagnostic

from contract.errors import OutcomeUnknown, Unavailable
from spine.store.engine import StoreUnusable

_log = structlog.get_logger()

DEADLINE_SECONDS = 20.0
"""How long a transaction may take. Longer than what the server itself bounds, which it can explain."""

# What a URL may say otherwise. A host that has gone is noticed within about 10 s, also while nothing is sent.
_DEFAULTS = {
    "application_name": "spine",
    "connect_timeout": "5",
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
# The last two: a server that was stopped inside a transaction must not keep the lock that all others wait for.
# A commit that does not wait for the disk would break the first promise: `off` is not taken from the server's settings.
_SESSION = """
    SELECT set_config('lock_timeout', '10s', false), set_config('statement_timeout', '15s', false),
        set_config('idle_in_transaction_session_timeout', '15s', false),
        set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), false)
"""


class Deadline:
    """Shuts the socket of whoever takes too long: no setting of client or server bounds the wait for an answer."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._changed = threading.Condition()
        self._running: dict[int, tuple[float, int]] = {}  # all last equally long: the first one is due first
        self._number = 0
        self._closed = False
        threading.Thread(target=self._watch, name="store-deadline", daemon=True).start()

    @contextmanager
    def over(self, descriptor: int) -> Iterator[None]:
        """Bound the time of what is done inside on a socket's descriptor."""
        with self._changed:
            self._number = number = self._number + 1
            self._running[number] = time.monotonic() + self._seconds, descriptor
            if len(self._running) == 1:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:  # the descriptor may be another's afterwards
                self._running.pop(number, None)

    def close(self) -> None:
        """Watch no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                number = next(iter(self._running), None)
                if number is None:
                    self._changed.wait()
                    continue
                until, descriptor = self._running[number]
                left = until - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                del self._running[number]
                _log.error("store.deadline", seconds=self._seconds)
                with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as found:
                    found.shutdown(socket.SHUT_RDWR)


class Link:
    """A connection that counts what it changes. Used by one thread.

    Raises:
        StoreUnusable: the address cannot be read.
        psycopg.OperationalError: no server can be reached.
    """

    def __init__(self, url: str, deadline: Deadline) -> None:
        try:
            given = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
        except psycopg.ProgrammingError:  # whose words may show a part of the password
            raise StoreUnusable(
                "the database's address cannot be read; write postgresql://user:password@host:port/name, with %40 for "
                "an @ in the password"
            ) from None
        self._deadline = deadline
        self.changes = 0
        self._warnings: list[str] = []
        self.connection: psycopg.Connection[Any] = psycopg.connect(make_conninfo(**_DEFAULTS | given), autocommit=True)
        self.connection.add_notice_handler(self._note)
        with self.bounded():
            self.connection.execute(_SESSION)

    def _note(self, notice: Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            self._warnings.append(notice.message_primary or "")
            _log.warning("store.server_warns", message=notice.message_primary, code=notice.sqlstate)

    @property
    def broken(self) -> bool:
        """Whether nothing more can be done with it."""
        return self.connection.closed

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Let the deadline watch over what is done inside."""
        with self._deadline.over(self.connection.fileno()):
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
        cursor: psycopg.Cursor[Any] = self.connection.execute(sql, prepare=False)
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
            OutcomeUnknown: the server may or may not have committed, or has not said that it is safe.
            psycopg.Error: it refused; nothing was written.
        """
        self._warnings.clear()
        try:
            cursor = self.run("COMMIT")
        except psycopg.Error as e:
            if self.broken or not isinstance(e, psycopg.DatabaseError) or e.sqlstate is None:
                raise OutcomeUnknown from e
            raise
        if self._warnings:  # such as: the wait for the standby was cancelled
            raise OutcomeUnknown
        if cursor.statusmessage != "COMMIT":
            raise Unavailable("the database took the transaction back")

    def rollback(self) -> None:
        """Take the transaction back, if there is one and somebody to say so to."""
        if not self.broken:
            with contextlib.suppress(psycopg.Error):
                self.run("ROLLBACK")

    def close(self) -> None:
        """Close it."""
        with contextlib.suppress(psycopg.Error):
            self.connection.close()
