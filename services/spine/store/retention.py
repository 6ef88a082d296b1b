"""Deleting jobs that ended long ago with all that hangs on them, and blobs that nobody names any more."""

from typing import NamedTuple

import peewee as pw

from spine.store.engine import Tx
from spine.store.models import (
    Attempt,
    Blob,
    BlobMention,
    Comment,
    Dependency,
    Event,
    EventPrune,
    Job,
    Log,
    LogChunk,
    Occurrence,
    Plan,
    ScheduleEnd,
    Tombstone,
)
from spine.store.statement import Statement, bind, number, text

_waiting = Job.alias()
# A job stays while another waits for it, or a person has yet to review it.
_ENDED = Statement(
    Job.select(Job.id, Job.finished_at)
    .where(
        (Job.finished_at < bind("before"))
        & (Job.review.is_null() | (Job.review != text("pending")))
        & ~pw.fn.EXISTS(
            Dependency.select(number(1))
            .join(_waiting, on=(_waiting.id == Dependency.job_id))
            .where(
                (Dependency.needs_id == Job.id) & (Dependency.met == number(0)) & (_waiting.status == text("waiting"))
            )
        )
    )
    .order_by(Job.finished_at)
    .limit(bind("limit"))
)
_BURY = Statement(
    Tombstone.insert({Tombstone.id: bind("id"), Tombstone.ended_at: bind("ended_at")}).on_conflict(
        conflict_target=[Tombstone.id], preserve=[Tombstone.ended_at]
    )
)
_TOMBSTONE = Statement(Tombstone.select(Tombstone.ended_at).where(Tombstone.id == bind("id")))
_NEWEST_EVENT = Statement(Event.select(pw.fn.MAX(Event.seq)).where(Event.job_id == bind("id")))
_DELETES = (
    *(
        Statement(table.delete().where(table.job_id == bind("id")))
        for table in (Attempt, Comment, Event, Log, LogChunk, Occurrence, ScheduleEnd)
    ),
    Statement(BlobMention.delete().where(BlobMention.job_id == bind("id"))),
    # That a plan was approved is kept: nobody shall approve it again.
    Statement(Plan.delete().where((Plan.job_id == bind("id")) & Plan.approved_at.is_null())),
    Statement(Dependency.delete().where(Dependency.job_id == bind("id"))),
    Statement(Dependency.delete().where((Dependency.needs_id == bind("id")) & (Dependency.met == number(0)))),
    Statement(Job.delete().where(Job.id == bind("id"))),
)
_PRUNES = Statement(EventPrune.select(EventPrune.epoch, EventPrune.upto).order_by(EventPrune.epoch))
_COVERED = Statement(EventPrune.delete().where(EventPrune.upto <= bind("upto")))
_ADD_PRUNE = Statement(EventPrune.insert({EventPrune.upto: bind("upto")}))
_UNNAMED = Statement(
    Blob.select(Blob.id)
    .where(
        (Blob.created_at < bind("before"))
        & ~pw.fn.EXISTS(BlobMention.select(number(1)).where(BlobMention.blob_id == Blob.id))
    )
    .order_by(Blob.created_at)
    .limit(bind("limit"))
)
_DROP_BLOB = Statement(Blob.delete().where(Blob.id == bind("id")))


class Pruned(NamedTuple):
    """What has been deleted of the events: `epoch` counts the deletions, `lost` is the newest event that one since the
    epoch asked for took away, `newest` the newest that any took. 0: none."""

    epoch: int
    lost: int
    newest: int


def purge_jobs(tx: Tx, before: int, limit: int) -> int:
    """Delete up to `limit` jobs that ended before a moment (ms), leave a tombstone of each; return how many."""
    ended = [(row[0], row[1]) for row in tx.rows(_ENDED, before=before, limit=limit)]
    newest = 0
    for job_id, ended_at in ended:
        row = tx.one(_NEWEST_EVENT, id=job_id)
        newest = max(newest, (row[0] or 0) if row else 0)
        for statement in _DELETES:
            tx.run(statement, id=job_id)
        tx.run(_BURY, id=job_id, ended_at=ended_at)
    if newest:
        tx.run(_COVERED, upto=newest)
        tx.insert(_ADD_PRUNE, upto=newest)
    return len(ended)


def purge_blobs(tx: Tx, before: int, limit: int) -> list[str]:
    """Delete the rows of up to `limit` blobs that came before a moment (ms) and that no job names; return their ids."""
    unnamed = [row[0] for row in tx.rows(_UNNAMED, before=before, limit=limit)]
    for blob_id in unnamed:
        tx.run(_DROP_BLOB, id=blob_id)
    return unnamed


def tombstone(tx: Tx, job_id: str) -> int | None:
    """Return when a job ended (ms) that has been deleted; None when there never was one."""
    row = tx.one(_TOMBSTONE, id=job_id)
    return None if row is None else int(row[0])


def pruned(tx: Tx, epoch: int) -> Pruned:
    """Return what became of the events since an epoch (0: ever)."""
    rows = [(row[0], row[1]) for row in tx.rows(_PRUNES)]
    since = [upto for at, upto in rows if at > epoch]
    return Pruned(rows[-1][0] if rows else 0, max(since, default=0), max((upto for _, upto in rows), default=0))
