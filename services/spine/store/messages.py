"""Messages and their receipts: one row for each reader, so that a broadcast is settled by each of them alone."""

from functools import lru_cache
from typing import Any, NamedTuple

import peewee as pw

from spine.store.engine import Tx
from spine.store.models_mail import Message, Receipt
from spine.store.statement import Statement, bind, number

OFFER_AGAIN_MS = 60_000
"""How long after an answer that carried a message, and was not acknowledged, another one carries it."""


class MessageRow(NamedTuple):
    """A row of `messages`; times in ms. `place`: lower ones come first in an inbox."""

    seq: int
    id: str
    at: int
    sender: str
    audience: str
    kind: str
    priority: int
    place: int
    text: str
    thread: str
    reply_to: str | None
    job_id: str | None
    expires_at: int | None


class ReceiptRow(NamedTuple):
    """A row of `receipts`; times in ms."""

    message: int
    reader: str
    expires_at: int | None
    delivered_at: int | None
    read_at: int | None

    def state(self, now: int) -> str:
        """Return pending, delivered, read or expired."""
        if self.read_at is not None:
            return "read"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "pending" if self.delivered_at is None else "delivered"


class Received(NamedTuple):
    """A message and what one reader has done with it."""

    message: MessageRow
    receipt: ReceiptRow


_COLUMNS = [getattr(Message, name) for name in MessageRow._fields]
_OWN = [getattr(Receipt, name) for name in ReceiptRow._fields]
_WIDTH = len(_COLUMNS)
_ADD = Statement(Message.insert({getattr(Message, n): bind(n) for n in MessageRow._fields if n != "seq"}))
_ADDRESS = Statement(
    Receipt.insert({getattr(Receipt, n): bind(n) for n in ("message", "reader", "place", "expires_at")})
)
_FIND = Statement(Message.select(*_COLUMNS).where(Message.id == bind("id")))
_RECEIPTS = Statement(Receipt.select(*_OWN).where(Receipt.message == bind("message")).order_by(Receipt.reader))
_RECEIPT = Statement(
    Receipt.select(*_OWN).where((Receipt.message == bind("message")) & (Receipt.reader == bind("reader")))
)
_OPEN = Receipt.read_at.is_null() & Receipt.expired_at.is_null()
_LIVE = _OPEN & (Receipt.expires_at.is_null() | (Receipt.expires_at > bind("now")))
_DUE = Statement(
    Message.select(*_COLUMNS, *_OWN)
    .join(Receipt, on=(Receipt.message == Message.seq))
    .where(
        (Receipt.reader == bind("reader"))
        & _LIVE
        & (Receipt.offered_at.is_null() | (Receipt.offered_at <= bind("before")))
    )
    .order_by(Receipt.place, Receipt.message)
    .limit(bind("limit"))
)
_FIRST = pw.fn.MIN(pw.fn.COALESCE(Receipt.offered_at + bind("again"), number(0)))
_NEXT = Statement(Receipt.select(_FIRST).where((Receipt.reader == bind("reader")) & _LIVE))
_WAITING = Statement(Receipt.select(Receipt.reader, _FIRST).where(_OPEN).group_by(Receipt.reader))
_OFFERED = Statement(
    Receipt.update(
        {
            Receipt.offered_at: bind("now"),
            Receipt.delivered_at: pw.fn.COALESCE(Receipt.delivered_at, bind("now")),
        }
    ).where((Receipt.message == bind("message")) & (Receipt.reader == bind("reader")))
)
_READ = Statement(
    Receipt.update({Receipt.read_at: bind("now")}).where(
        (Receipt.message == bind("message")) & (Receipt.reader == bind("reader")) & Receipt.read_at.is_null()
    )
)
_OVER = Statement(
    Receipt.select(Receipt.message, Receipt.reader)
    .where(_OPEN & (Receipt.expires_at <= bind("now")))
    .order_by(Receipt.expires_at)
    .limit(bind("limit"))
)
_MARK = Statement(
    Receipt.update({Receipt.expired_at: bind("now")}).where(
        (Receipt.message == bind("message")) & (Receipt.reader == bind("reader"))
    )
)
_ABANDON = Statement(
    Receipt.update({Receipt.expires_at: bind("now"), Receipt.expired_at: bind("now")}).where(
        (Receipt.reader == bind("reader")) & _OPEN
    )
)
_OLD = Statement(
    Message.select(Message.seq)
    .where(
        (Message.at < bind("before"))
        & ~pw.fn.EXISTS(Receipt.select(number(1)).where((Receipt.message == Message.seq) & _OPEN))
    )
    .order_by(Message.seq)
    .limit(bind("limit"))
)
_DROP_RECEIPTS = Statement(Receipt.delete().where(Receipt.message == bind("seq")))
_DROP = Statement(Message.delete().where(Message.seq == bind("seq")))


def add(tx: Tx, row: MessageRow, readers: list[str]) -> MessageRow:
    """Add a message for these readers."""
    seq = tx.insert(_ADD, **row._asdict())
    for reader in readers:
        tx.run(_ADDRESS, message=seq, reader=reader, place=row.place, expires_at=row.expires_at)
    return row._replace(seq=seq)


def find(tx: Tx, message_id: str) -> MessageRow | None:
    """Return a message, or None."""
    row = tx.one(_FIND, id=message_id)
    return None if row is None else MessageRow._make(row)


def receipts(tx: Tx, message: int) -> list[ReceiptRow]:
    """Return the receipts of a message, by reader."""
    return [ReceiptRow._make(row) for row in tx.rows(_RECEIPTS, message=message)]


def receipt(tx: Tx, message: int, reader: str) -> ReceiptRow | None:
    """Return one reader's receipt; None when the message is not for it."""
    row = tx.one(_RECEIPT, message=message, reader=reader)
    return None if row is None else ReceiptRow._make(row)


def waiting(tx: Tx) -> dict[str, int]:
    """Return every reader with something unread, and when the first of it is to be offered (ms; 0: at once)."""
    return {row[0]: int(row[1]) for row in tx.rows(_WAITING, again=OFFER_AGAIN_MS)}


def next_offer(tx: Tx, reader: str) -> int | None:
    """Return when something is to be offered to a reader (ms; 0: at once); None when nothing is unread."""
    row = tx.one(_NEXT, reader=reader, again=OFFER_AGAIN_MS, now=tx.now)
    return None if row is None or row[0] is None else int(row[0])


def due(tx: Tx, reader: str, limit: int) -> list[Received]:
    """Return what is to be offered to a reader now, the most pressing first."""
    rows = tx.rows(_DUE, reader=reader, now=tx.now, before=tx.now - OFFER_AGAIN_MS, limit=limit)
    return [_received(row) for row in rows]


def note_offered(tx: Tx, message: int, reader: str) -> None:
    """Note that an answer carries a message."""
    tx.run(_OFFERED, message=message, reader=reader, now=tx.now)


def note_read(tx: Tx, message: int, reader: str) -> bool:
    """Note that a reader has a message; False when it was noted before."""
    return tx.run(_READ, message=message, reader=reader, now=tx.now) == 1


def mark_expired(tx: Tx, limit: int) -> int:
    """Mark up to so many that their reader has not read in time; return how many."""
    over = list(tx.rows(_OVER, now=tx.now, limit=limit))
    for message, reader in over:
        tx.run(_MARK, message=message, reader=reader, now=tx.now)
    return len(over)


def abandon(tx: Tx, reader: str) -> int:
    """Let all expire that a reader has not read, since it will not come back; return how many."""
    return tx.run(_ABANDON, reader=reader, now=tx.now)


def purge(tx: Tx, before: int, limit: int) -> int:
    """Delete up to `limit` messages from before a moment (ms) that each reader has read, or let expire."""
    old = [row[0] for row in tx.rows(_OLD, before=before, limit=limit)]
    for seq in old:
        tx.run(_DROP_RECEIPTS, seq=seq)
        tx.run(_DROP, seq=seq)
    return len(old)


# --- pages -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _inbox(unread: bool, thread: bool) -> Statement:
    wanted = (Receipt.reader == bind("reader")) & (
        (Receipt.place > bind("place")) | ((Receipt.place == bind("place")) & (Receipt.message > bind("seq")))
    )
    if unread:
        wanted &= _LIVE
    if thread:
        wanted &= Message.thread == bind("thread")
    found = Message.select(*_COLUMNS, *_OWN).join(Receipt, on=(Receipt.message == Message.seq)).where(wanted)
    return Statement(found.order_by(Receipt.place, Receipt.message).limit(bind("limit")))


@lru_cache(maxsize=8)
def _written(sender: bool, thread: bool) -> Statement:
    wanted: Any = Message.seq < bind("seq")
    if sender:
        wanted &= Message.sender == bind("sender")
    if thread:
        wanted &= Message.thread == bind("thread")
    return Statement(Message.select(*_COLUMNS).where(wanted).order_by(Message.seq.desc()).limit(bind("limit")))


def inbox(tx: Tx, reader: str, unread: bool, thread: str | None, after: tuple[int, int], limit: int) -> list[Received]:
    """Return what is for a reader, the most pressing first, from behind (place, seq) on."""
    values = {"reader": reader, "place": after[0], "seq": after[1], "limit": limit, "now": tx.now, "thread": thread}
    return [_received(row) for row in tx.rows(_inbox(unread, thread is not None), **values)]


def written(tx: Tx, sender: str | None, thread: str | None, before: int, limit: int) -> list[MessageRow]:
    """Return messages of a sender, or of all, the newest first, from before a seq on."""
    values = {"sender": sender, "seq": before, "limit": limit, "thread": thread}
    return [MessageRow._make(row) for row in tx.rows(_written(sender is not None, thread is not None), **values)]


def _received(row: Any) -> Received:
    return Received(MessageRow._make(row[:_WIDTH]), ReceiptRow._make(row[_WIDTH:]))
