"""What commands need of blobs: the place that the settings name, and the rows of the store, on either engine."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from contract.env import Secret
from spine.blobs.base import UNLIMITED, Blobs, Listed
from spine.blobs.bucket import Bucket
from spine.blobs.disk import DiskBlobs
from spine.operations.manifest import BLOBS, DATABASE
from spine.operations.opening import looked_at
from spine.operations.refusal import Refused
from spine.store import blobs, offline
from spine.store.offline import Bytes

if TYPE_CHECKING:
    from spine.blobs.objects import ObjectBlobs


def opened(place: Bucket | None, data_dir: Path) -> Blobs:
    """Open the place of a store's blobs, the folder when none is named.

    Raises:
        BlobsUnusable: naming the setting. OSError
    """
    return DiskBlobs(data_dir / BLOBS, UNLIMITED) if place is None else reached(place, data_dir)


def reached(place: Bucket, data_dir: Path) -> "ObjectBlobs":
    """Open an object store, after a look whether it can be used.

    Raises:
        BlobsUnusable: naming the setting. OSError
    """
    from spine.blobs.objects import ObjectBlobs  # an extra brings what it needs

    found = ObjectBlobs(place, data_dir / BLOBS, UNLIMITED)
    found.check()
    return found


def listed(place: Bucket) -> Iterator[Listed]:
    """Iterate over what is in an object store, which is only read.

    Raises:
        BlobsUnusable: naming the setting.
    """
    from spine.blobs import objects  # an extra brings what it needs

    return objects.listed(place)


def require_store(data_dir: Path, database_url: Secret | None) -> None:
    """Refuse a folder that has no store, where no database has it.

    Raises:
        Refused
    """
    if database_url is None and not (data_dir / DATABASE).is_file():
        raise Refused(f"there is no store in {data_dir}; set SPINE_DATA_DIR to the server's folder")


def rows(data_dir: Path, database_url: Secret | None) -> list[Bytes]:
    """Return what the store says of every blob; a server may run.

    Raises:
        Refused: there is no store. NotAStore, StoreUnusable: it cannot be read.
    """
    require_store(data_dir, database_url)
    if database_url is None:
        offline.refuse_moved(data_dir / DATABASE)
        return offline.blobs_of(data_dir / DATABASE, still=False)
    with looked_at(data_dir, database_url) as tx:
        return [] if tx is None else [Bytes._make(row) for row in blobs.every(tx)]
