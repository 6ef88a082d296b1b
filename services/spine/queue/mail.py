"""Whom messages wait for: a hint in memory, so that a heartbeat or a claim without any costs no statement.

Used by the writer only, inside of its transactions, as the cache of lanes is: read from the store when it is first
asked, kept by those who write messages, and dropped after a rollback. It is exact as long as one process writes to the
store. With several, each has to hear of the others' messages (by the channel that carries their other hints) and to
read the table again now and then: a message that a hint missed then comes later, and never not at all.
"""

from spine.store import messages
from spine.store.engine import Tx


class Mail:
    """When something is to be offered to each reader (ms; 0: at once)."""

    def __init__(self) -> None:
        self._due: dict[str, int] | None = None

    def forget(self) -> None:
        """Drop what is known: a rollback may have taken back a message."""
        self._due = None

    def is_due(self, tx: Tx, reader: str) -> bool:
        """Tell whether something may be waiting for a reader now."""
        if self._due is None:
            self._due = messages.waiting(tx)
        at = self._due.get(reader)
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
