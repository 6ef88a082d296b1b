"""The outbox: notices to be sent, those that were, and each attempt at it."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import peewee as pw

from spine.store.engine import Tx
from spine.store.models import Notice, NoticeAttempt
from spine.store.statement import Statement, bind, number, text


class NoticeRow(NamedTuple):
    """A row of `notices` as the migration orders its columns. Times in ms; `said` as JSON text."""

    seq: int
    id: str
    job_id: str | None
    addressee: str
    channel: str | None
    recipient: str | None
    status: str
    said: str
    created_by: str
    created_at: int
    since: int
    due_at: int
    fence: int = 0
    attempts: int = 0
    parts: int = 0
    error: str | None = None
    ended_at: int | None = None


class NoticeAttemptRow(NamedTuple):
    """A row of `notice_attempts`; times in ms."""

    notice_id: str
    fence: int
    started_at: int
    ended_at: int | None
    outcome: str | None
    detail: str | None


class Queue(NamedTuple):
    """An alias with notices that are not sent: when the first of them may be taken (ms)."""

    alias: str
    due_at: int


_COLUMNS = [getattr(Notice, name) for name in NoticeRow._fields]
_OPEN = Notice.ended_at.is_null()  # the condition of the index: a state would have others taken, which read every one
_ADD = Statement(Notice.insert({getattr(Notice, name): bind(name) for name in NoticeRow._fields if name != "seq"}))
_FIND = Statement(Notice.select(*_COLUMNS).where(Notice.id == bind("id")))
_NEXT_ALIAS = Statement(Notice.select(pw.fn.MIN(Notice.addressee)).where(_OPEN & (Notice.addressee > bind("after"))))
_FIRST_DUE = Statement(Notice.select(pw.fn.MIN(Notice.due_at)).where(_OPEN & (Notice.addressee == bind("alias"))))
_DUE = Statement(
    Notice.select(*_COLUMNS)
    .where(_OPEN & (Notice.addressee == bind("alias")) & (Notice.due_at <= bind("now")))
    .order_by(Notice.due_at)
    .limit(bind("limit"))
)
_TAKEN = Statement(
    Notice.update(
        {
            Notice.status: text("sending"),
            Notice.fence: Notice.fence + number(1),
            Notice.attempts: Notice.attempts + number(1),
            Notice.due_at: bind("until"),
        }
    ).where((Notice.id == bind("id")) & (Notice.fence == bind("fence")) & _OPEN)
)
_PROGRESS = Statement(
    Notice.update({Notice.parts: bind("parts"), Notice.due_at: bind("until")}).where(
        (Notice.id == bind("id")) & (Notice.fence == bind("fence")) & (Notice.status == text("sending"))
    )
)
# Whoever changes a notice names the status that it was seen in: a sender's word that comes too late changes nothing.
_CHANGED = Statement(
    Notice.update(
        {
            Notice.status: bind("status"),
            Notice.due_at: bind("due_at"),
            Notice.since: bind("since"),
            Notice.parts: bind("parts"),
            Notice.error: bind("error"),
            Notice.ended_at: bind("ended_at"),
        }
    ).where((Notice.id == bind("id")) & (Notice.fence == bind("fence")) & (Notice.status == bind("seen")))
)
_STALE = Statement(
    Notice.select(*_COLUMNS)
    .where(_OPEN & (Notice.addressee == bind("alias")) & (Notice.due_at <= bind("before")))
    .limit(bind("limit"))
)
# Written by a clock that was ahead. A lease among them is that of a sender which has gone with that clock's server.
_CALLED_BACK = Statement(
    Notice.update({Notice.due_at: bind("now"), Notice.since: bind("now")}).where(
        _OPEN & (Notice.addressee == bind("alias")) & (Notice.due_at > bind("beyond"))
    )
)
_DEPTH = Statement(Notice.select(pw.fn.COUNT(Notice.seq), pw.fn.MIN(Notice.created_at)).where(_OPEN))
# One for each status: each has an index of its own.
_OLD = {
    status: Statement(
        Notice.select(Notice.id)
        .where((Notice.status == text(status)) & (Notice.ended_at < bind("before")))
        .limit(bind("n"))
    )
    for status in ("sent", "given_up")
}
_DROP = Statement(Notice.delete().where(Notice.id == bind("id")))
_DROP_ATTEMPTS = Statement(NoticeAttempt.delete().where(NoticeAttempt.notice_id == bind("id")))
_ATTEMPT_COLUMNS = [getattr(NoticeAttempt, name) for name in NoticeAttemptRow._fields]
_BEGUN = Statement(
    NoticeAttempt.insert({getattr(NoticeAttempt, name): bind(name) for name in ("notice_id", "fence", "started_at")})
)
_ENDED = Statement(
    NoticeAttempt.update(
        {
            NoticeAttempt.ended_at: bind("now"),
            NoticeAttempt.outcome: bind("outcome"),
            NoticeAttempt.detail: bind("detail"),
        }
    ).where(
        (NoticeAttempt.notice_id == bind("id"))
        & (NoticeAttempt.fence == bind("fence"))
        & NoticeAttempt.ended_at.is_null()
    )
)
_ATTEMPTS = Statement(
    NoticeAttempt.select(*_ATTEMPT_COLUMNS).where(NoticeAttempt.notice_id == bind("id")).order_by(NoticeAttempt.fence)
)


def add(tx: Tx, row: NoticeRow) -> NoticeRow:
    """Add a notice to the outbox; return it with its place."""
    seq = tx.insert_row(_ADD, row)
    tx.signals.notices = True
    return row._replace(seq=seq)


def find(tx: Tx, notice_id: str) -> NoticeRow | None:
    """Return a notice, or None."""
    row = tx.one(_FIND, id=notice_id)
    return None if row is None else NoticeRow._make(row)


def queues(tx: Tx) -> list[Queue]:
    """Return every alias with notices that are not sent: one look into the index for each, however many they are."""
    found: list[Queue] = []
    row = tx.one(_NEXT_ALIAS, after="")
    while row is not None and row[0] is not None:
        first = tx.one(_FIRST_DUE, alias=row[0])
        if first is not None and first[0] is not None:
            found.append(Queue(row[0], first[0]))
        row = tx.one(_NEXT_ALIAS, after=row[0])
    return found


def due(tx: Tx, alias: str, limit: int) -> Iterator[NoticeRow]:
    """Iterate over an alias' notices that may be taken now, the one that has been due longest first."""
    return map(NoticeRow._make, tx.rows(_DUE, alias=alias, now=tx.now, limit=limit))


def stale(tx: Tx, alias: str, before: int, limit: int) -> list[NoticeRow]:
    """Return notices of an alias that have been due since before a moment (ms) of the past; nobody sends them."""
    return [NoticeRow._make(row) for row in tx.rows(_STALE, alias=alias, before=before, limit=limit)]


def call_back(tx: Tx, alias: str, beyond: int) -> int:
    """Make notices of an alias that are due beyond a moment (ms) due now, their time begun anew; return how many."""
    return tx.run(_CALLED_BACK, alias=alias, now=tx.now, beyond=beyond)


def take(tx: Tx, row: NoticeRow, until: int) -> NoticeRow:
    """Put a notice under a sender's lease, with the next fence; note the attempt."""
    tx.run(_TAKEN, id=row.id, fence=row.fence, until=until)
    if row.status == "sending":  # its sender's lease has ended
        end_attempt(tx, row, "lost", "the sender died, or took longer than its lease")
    taken = row._replace(status="sending", fence=row.fence + 1, attempts=row.attempts + 1, due_at=until)
    tx.run(_BEGUN, notice_id=row.id, fence=taken.fence, started_at=tx.now)
    return taken


def progress(tx: Tx, row: NoticeRow, parts: int, until: int) -> bool:
    """Note that so many parts have gone out and extend the lease (ms); False when it is another's by now."""
    return tx.run(_PROGRESS, id=row.id, fence=row.fence, parts=parts, until=until) == 1


def change(tx: Tx, row: NoticeRow, **changes: Any) -> NoticeRow | None:
    """Change a notice that is still as it was seen (status and fence); None when it is not."""
    changed = row._replace(**changes)
    values = {name: getattr(changed, name) for name in ("status", "due_at", "since", "parts", "error", "ended_at")}
    return changed if tx.run(_CHANGED, id=row.id, fence=row.fence, seen=row.status, **values) == 1 else None


def end_attempt(tx: Tx, row: NoticeRow, outcome: str, detail: str | None) -> None:
    """Note what came of an attempt that is under way."""
    tx.run(_ENDED, id=row.id, fence=row.fence, now=tx.now, outcome=outcome, detail=detail)


def attempts(tx: Tx, notice_id: str) -> list[NoticeAttemptRow]:
    """Return every attempt at a notice, oldest first."""
    return [NoticeAttemptRow._make(row) for row in tx.rows(_ATTEMPTS, id=notice_id)]


@lru_cache(maxsize=64)
def _page(status: bool, alias: bool, job: bool) -> Statement:
    where = Notice.seq < bind("before")
    if status:
        where &= Notice.status == bind("status")
    if alias:
        where &= Notice.addressee == bind("alias")
    if job:
        where &= Notice.job_id == bind("job_id")
    return Statement(Notice.select(*_COLUMNS).where(where).order_by(Notice.seq.desc()).limit(bind("limit")))


def page(tx: Tx, status: str | None, alias: str | None, job_id: str | None, before: int, limit: int) -> list[NoticeRow]:
    """Return notices that match, the newest first, from behind a place."""
    statement = _page(status is not None, alias is not None, job_id is not None)
    values = {"status": status, "alias": alias, "job_id": job_id, "before": before, "limit": limit}
    return [NoticeRow._make(row) for row in tx.rows(statement, **values)]


def depth(tx: Tx) -> tuple[int, int | None]:
    """Return how many notices are not sent yet, and when the oldest of them was made (ms)."""
    row = tx.one(_DEPTH)
    return (0, None) if row is None else (row[0], row[1])


def prune(tx: Tx, status: Literal["sent", "given_up"], before: int, limit: int) -> int:
    """Delete up to `limit` notices of a status that ended before a moment (ms), with their attempts; return how many.

    One that is still to be sent never goes.
    """
    gone = [row[0] for row in tx.rows(_OLD[status], before=before, n=limit)]
    for notice_id in gone:
        tx.run(_DROP_ATTEMPTS, id=notice_id)
        tx.run(_DROP, id=notice_id)
    return len(gone)
