"""Whom messages wait for: a hint in memory, so that a heartbeat or a claim without any costs no statement.

Used by writers only, inside of their transactions, as the cache of lanes is: read from the store when it is first
asked, and again when a transaction finds a newer message than there was; kept by those who write messages, and dropped
after a rollback. Messages are written by one at a time.
"""

from spine.store import messages
from spine.store.engine import Tx


class Mail:
    """When something is to be offered to each reader (ms; 0: at once)."""

    def __init__(self) -> None:
        self._due: dict[str, int] | None = None
        self._newest = 0

    def forget(self) -> None:
        """Drop what is known: a rollback may have taken back a message."""
        self._due = None

    def is_due(self, tx: Tx, reader: str) -> bool:
        """Tell whether something may be waiting for a reader now."""
        due, newest = self._due, tx.known[1]
        if due is None or self._newest != newest:
            due = self._due = messages.waiting(tx)
            self._newest = newest
        at = due.get(reader)
        return at is not None and at <= tx.now

    def came(self, reader: str) -> None:
        """Note that a message for a reader was written in this transaction."""
        if self._due is not None:
            self._due[reader] = 0

    def plan(self, reader: str, at: int | None) -> None:
        """Note when the next is to be offered (ms); None: nothing is unread."""
        if self._due is None:
            return
        if at is None:
            self._due.pop(reader, None)
        else:
            self._due[reader] = at
