"""Which blobs a job names: a claw that sees the job may read them."""

import re

from spine.store import blobs
from spine.store.engine import Tx

_BLOB = re.compile(r"blob_[0-9a-z]{24}")


def note_mentions(tx: Tx, job_id: str, *texts: str | None) -> None:
    """Record every blob id that stands in these texts."""
    for text in texts:
        if text and "blob_" in text:
            for blob_id in set(_BLOB.findall(text)):
                blobs.mention(tx, blob_id, job_id)
