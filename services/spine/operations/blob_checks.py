"""What the doctor says of blobs: whether each row has its bytes, and each bytes a row. Changes nothing."""

import time
from collections.abc import Iterator
from pathlib import Path

from contract.env import Secret
from spine.blobs import disk
from spine.blobs.base import BlobsUnusable
from spine.blobs.bucket import Bucket
from spine.operations import blob_places
from spine.operations.findings import Check
from spine.operations.manifest import BLOBS, DATABASE
from spine.store.engine import StoreUnusable
from spine.store.migrations import NewerStore
from spine.store.offline import NotAStore

ORPHAN_AGE_MS = 3_600_000
_SHOWN = 3


def examine(data_dir: Path, place: Bucket | None, url: Secret | None) -> list[Check]:
    """Return the findings. `place`: None for the folder. `url`: the database that has the rows, None for the folder."""
    return list(_blobs(data_dir, place, url))


def _blobs(data_dir: Path, place: Bucket | None, url: Secret | None) -> Iterator[Check]:
    root = data_dir / BLOBS
    if place is not None and next(disk.listed(root), None) is not None:
        told = f"{root} holds blobs, and they are read from {place.url}: `spine blobs copy`, then delete that folder"
        yield Check("blobs on disk", "hint", told)
    if url is not None and place is None:
        told = f"in {root}: for one spine, or for several that share this folder; else set SPINE_BLOB_URL"
        yield Check("blobs on disk", "hint", told)
    try:
        if url is not None or (data_dir / DATABASE).exists():
            yield from _compared(data_dir, place, url)
    except (NotAStore, StoreUnusable, NewerStore):
        return  # the store's own checks say so
    except BlobsUnusable as e:
        yield Check("blobs", "failed", str(e))


def _compared(data_dir: Path, place: Bucket | None, url: Secret | None) -> Iterator[Check]:
    where = str(data_dir / BLOBS) if place is None else place.url
    before = blob_places.rows(data_dir, url)
    found = list(disk.listed(data_dir / BLOBS) if place is None else blob_places.listed(place))
    # Again: what came meanwhile has a row now, and what retention took has none any more.
    rows = {row.blob_id for row in blob_places.rows(data_dir, url)}
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
