"""Logs of attempts as chunk rows of up to 64 KiB while they grow; sealed, one blob."""

from typing import NamedTuple

from spine.store.engine import Tx
from spine.store.models import Job, Log, LogChunk
from spine.store.statement import Statement, bind, number, text

CHUNK_BYTES = 64 * 1024


class LogRow(NamedTuple):
    """A row of `logs`: how many bytes it holds, and the blob that holds them once it is sealed."""

    job_id: str
    fence: int
    size: int
    blob_id: str | None


class ChunkRow(NamedTuple):
    """Bytes of a log and the offset at which they start."""

    start: int
    data: bytes


_WHERE = (Log.job_id == bind("job_id")) & (Log.fence == bind("fence"))
_CHUNK_WHERE = (LogChunk.job_id == bind("job_id")) & (LogChunk.fence == bind("fence"))
_FIND = Statement(Log.select(Log.job_id, Log.fence, Log.size, Log.blob_id).where(_WHERE))
_NEWEST = Statement(
    Log.select(Log.job_id, Log.fence, Log.size, Log.blob_id)
    .where(Log.job_id == bind("job_id"))
    .order_by(Log.fence.desc())
    .limit(number(1))
)
_OPEN = Statement(
    Log.insert({Log.job_id: bind("job_id"), Log.fence: bind("fence"), Log.size: number(0)}).on_conflict_ignore(),
    beside=True,
)
_GROW = Statement(Log.update({Log.size: bind("size")}).where(_WHERE), beside=True)
_SEAL = Statement(Log.update({Log.blob_id: bind("blob_id")}).where(_WHERE & Log.blob_id.is_null()))
_ADD_CHUNK = Statement(
    LogChunk.insert({getattr(LogChunk, n): bind(n) for n in ("job_id", "fence", "start", "data")}), beside=True
)
_LAST_CHUNK = Statement(
    LogChunk.select(LogChunk.start, LogChunk.data).where(_CHUNK_WHERE).order_by(LogChunk.start.desc()).limit(number(1))
)
_REPLACE = Statement(
    LogChunk.update({LogChunk.data: bind("data")}).where(_CHUNK_WHERE & (LogChunk.start == bind("start"))),
    beside=True,
)
_CHUNKS = Statement(
    LogChunk.select(LogChunk.start, LogChunk.data)
    .where(_CHUNK_WHERE & (LogChunk.start > bind("above")) & (LogChunk.start < bind("until")))
    .order_by(LogChunk.start)
)
_DROP_CHUNKS = Statement(LogChunk.delete().where(_CHUNK_WHERE))
_SEALABLE = Statement(
    Log.select(Log.job_id, Log.fence, Log.size, Log.blob_id)
    .join(Job, on=(Job.id == Log.job_id))
    .where(
        Log.blob_id.is_null()
        & ((Job.fence > Log.fence) | Job.status.in_([text("done"), text("failed"), text("dead"), text("cancelled")]))
    )
    .limit(bind("limit"))
)


def find(tx: Tx, job_id: str, fence: int | None) -> LogRow | None:
    """Return the log of one attempt, or of the newest that has one."""
    row = tx.one(_NEWEST, job_id=job_id) if fence is None else tx.one(_FIND, job_id=job_id, fence=fence)
    return None if row is None else LogRow._make(row)


def append(tx: Tx, job_id: str, fence: int, size: int, data: bytes) -> int:
    """Add bytes at the end (`size`) of an open log; return its new size."""
    if size == 0:
        tx.run(_OPEN, job_id=job_id, fence=fence)
    rest, start = data, size
    last = tx.one(_LAST_CHUNK, job_id=job_id, fence=fence) if size else None
    if last is not None and len(last[1]) < CHUNK_BYTES:
        room = CHUNK_BYTES - len(last[1])
        tx.run(_REPLACE, job_id=job_id, fence=fence, start=last[0], data=bytes(last[1]) + rest[:room])
        rest, start = rest[room:], start + len(rest[:room])
    while rest:
        tx.run(_ADD_CHUNK, job_id=job_id, fence=fence, start=start, data=rest[:CHUNK_BYTES])
        start += len(rest[:CHUNK_BYTES])
        rest = rest[CHUNK_BYTES:]
    tx.run(_GROW, job_id=job_id, fence=fence, size=start)
    tx.signals.logs.add(job_id)
    return start


def read(tx: Tx, job_id: str, fence: int, start: int, length: int) -> bytes:
    """Return a range of an open log."""
    rows = [
        ChunkRow._make(row)
        for row in tx.rows(_CHUNKS, job_id=job_id, fence=fence, above=start - CHUNK_BYTES, until=start + length)
    ]
    if not rows:
        return b""
    joined = b"".join(bytes(row.data) for row in rows)
    begin = start - rows[0].start
    return joined[begin : begin + length]


def sealable(tx: Tx, limit: int) -> list[LogRow]:
    """Return logs that nobody may append to any more and that are still rows."""
    return [LogRow._make(row) for row in tx.rows(_SEALABLE, limit=limit)]


def seal(tx: Tx, job_id: str, fence: int, blob_id: str) -> bool:
    """Note that a blob holds the whole log, drop its rows; False when it was sealed already."""
    if tx.run(_SEAL, job_id=job_id, fence=fence, blob_id=blob_id) != 1:
        return False
    tx.run(_DROP_CHUNKS, job_id=job_id, fence=fence)
    return True
