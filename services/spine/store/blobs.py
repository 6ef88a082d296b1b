"""Stored files as rows, and which jobs name them. The bytes are `spine.blobs`' business."""

from typing import NamedTuple

from spine.store.engine import Tx
from spine.store.models import Blob, BlobMention, Job
from spine.store.statement import Statement, bind, number


class BlobRow(NamedTuple):
    """A row of `blobs`; `created_at` in ms, `sha256` in hex."""

    id: str
    filename: str
    size: int
    sha256: str
    content_type: str
    created_at: int
    uploader: str


_COLUMNS = [getattr(Blob, name) for name in BlobRow._fields]
_ADD = Statement(Blob.insert({getattr(Blob, name): bind(name) for name in BlobRow._fields}))
_FIND = Statement(Blob.select(*_COLUMNS).where(Blob.id == bind("id")))
_EVERY = Statement(Blob.select(Blob.id, Blob.size, Blob.sha256).order_by(Blob.id))
_MENTION = Statement(
    BlobMention.insert({BlobMention.blob_id: bind("blob_id"), BlobMention.job_id: bind("job_id")}).on_conflict_ignore(),
    beside=True,
)
_SEEN_BY = Statement(
    BlobMention.select(BlobMention.job_id)
    .join(Job, on=(Job.id == BlobMention.job_id))
    .where((BlobMention.blob_id == bind("blob_id")) & (Job.target.in_([bind("own"), bind("any")])))
    .limit(number(1))
)


def add(tx: Tx, row: BlobRow) -> None:
    """Record a file that is safely on disk."""
    tx.run(_ADD, **row._asdict())


def find(tx: Tx, blob_id: str) -> BlobRow | None:
    """Return a file's row, or None."""
    row = tx.one(_FIND, id=blob_id)
    return None if row is None else BlobRow._make(row)


def every(tx: Tx) -> list[tuple[str, int, str]]:
    """Return of every file its id, its size and its digest, in the order of ids."""
    return [(row[0], row[1], row[2]) for row in tx.rows(_EVERY)]


def mention(tx: Tx, blob_id: str, job_id: str) -> None:
    """Record that a job names a file (it may not exist yet, or never)."""
    tx.run(_MENTION, blob_id=blob_id, job_id=job_id)


def named_for(tx: Tx, blob_id: str, target: str) -> bool:
    """Tell whether a job for this target, or for any, names the file."""
    return tx.one(_SEEN_BY, blob_id=blob_id, own=target, any="any") is not None
