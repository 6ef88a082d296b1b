"""What the doctor says of blobs: whether each row has its bytes, and each bytes a row. Changes nothing."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from spine.blobs import disk
from spine.blobs.base import BlobsUnusable
from spine.blobs.bucket import Bucket
from spine.operations import blob_places
from spine.operations.manifest import BLOBS, DATABASE
from spine.store import offline
from spine.store.offline import NotAStore

ORPHAN_AGE_MS = 3_600_000
_SHOWN = 3


class Check(msgspec.Struct, frozen=True):
    """One finding; `detail` says what was seen and, when it failed, the fix."""

    name: str
    state: Literal["ok", "failed", "hint"]
    detail: str


def examine(data_dir: Path, place: Bucket | None, in_database: bool) -> list[Check]:
    """Return the findings. `place`: None for the folder. `in_database`: the rows are not in the folder."""
    return list(_blobs(data_dir, place, in_database))


def _blobs(data_dir: Path, place: Bucket | None, in_database: bool) -> Iterator[Check]:
    root = data_dir / BLOBS
    if place is not None and next(disk.listed(root), None) is not None:
        told = f"{root} holds blobs, and they are read from {place.url}: `spine blobs copy`, then delete that folder"
        yield Check("blobs on disk", "hint", told)
    if in_database and place is None:
        told = f"in {root}: for one spine, or for several that share this folder; else set SPINE_BLOB_URL"
        yield Check("blobs", "hint", told)
        return
    try:
        if in_database and place is not None:
            count = sum(1 for _ in blob_places.listed(place))
            yield Check("blobs", "ok", f"{count} in {place.url}; their rows are in the database and were not looked at")
        elif (data_dir / DATABASE).exists():
            yield from _compared(data_dir, place)
    except NotAStore:
        return  # the store's own checks say so
    except BlobsUnusable as e:
        yield Check("blobs", "failed", str(e))


def _compared(data_dir: Path, place: Bucket | None) -> Iterator[Check]:
    db, where = data_dir / DATABASE, str(data_dir / BLOBS) if place is None else place.url
    before = offline.blobs_of(db, still=False)
    found = list(disk.listed(data_dir / BLOBS) if place is None else blob_places.listed(place))
    # Again: what came meanwhile has a row now, and what retention took has none any more.
    rows = {row.blob_id for row in offline.blobs_of(db, still=False)}
    sizes = {one.blob_id: one.size for one in found}
    wrong = [row.blob_id for row in before if sizes.get(row.blob_id) != row.size and row.blob_id in rows]
    if wrong:
        fix = "take them from a backup" if place is None else "look for them on the disk they came from, or in a copy"
        yield Check("blobs", "failed", f"{len(wrong)} of {len(rows)} have no bytes, or not all: {_some(wrong)}; {fix}")
    else:
        yield Check("blobs", "ok", f"{len(rows)}, all with their bytes{'' if place is None else f' in {where}'}")
    old = time.time_ns() // 1_000_000 - ORPHAN_AGE_MS
    orphans = [one.blob_id for one in found if one.blob_id not in rows and one.at < old]
    if orphans:
        told = f"{len(orphans)} in {where} have no row: {_some(orphans)}; `spine blobs sweep` deletes what is a day old"
        yield Check("orphans", "hint", told)


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
