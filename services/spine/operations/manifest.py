"""A backup as a folder: `manifest.json`, `spine.db` and `blobs/` as the server keeps them; what makes it usable."""

from pathlib import Path

import msgspec

from spine.blobs.disk import path_of
from spine.operations import files
from spine.operations.refusal import BrokenBackup
from spine.store import offline
from spine.store.offline import Bytes, NotAStore

FORMAT = "spinal-cord-backup"
VERSION = 2
MANIFEST, DATABASE, BLOBS = "manifest.json", "spine.db", "blobs"


class Manifest(msgspec.Struct, rename="camel", kw_only=True, frozen=True, omit_defaults=True):
    """What a backup holds. `blobs`: how many its database names, of `blob_bytes` in all.

    `damaged`: those whose bytes were missing or wrong in the store that was backed up. `blobs_at`: the address of the
    object store in which their bytes stay; it holds none of them then, and its version is 2 (1 has no such member).
    """

    format: str
    version: int
    created_at: str
    program: str
    schema: int
    store_id: str
    database_bytes: int
    database_sha256: str
    jobs: dict[str, int]
    events: int
    blobs: int
    blob_bytes: int
    damaged: list[str]
    blobs_at: str | None = None

    @property
    def held_bytes(self) -> int:
        """How many bytes the backup has."""
        return self.database_bytes + (self.blob_bytes if self.blobs_at is None else 0)


class _Kind(msgspec.Struct):
    format: str
    version: int


def write(folder: Path, manifest: Manifest) -> None:
    """Put a manifest into a backup, durably."""
    files.write(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")


def read(folder: Path) -> Manifest:
    """Return a backup's manifest.

    Raises:
        BrokenBackup: there is none, or it is of another program or a newer version.
    """
    try:
        data = (folder / MANIFEST).read_bytes()
    except OSError as e:
        raise BrokenBackup(f"{folder} is no backup: {MANIFEST} cannot be read ({e.strerror})") from e
    try:
        kind = msgspec.json.decode(data, type=_Kind)
        if kind.format != FORMAT:
            raise BrokenBackup(f"{folder} is a backup of another program ({kind.format[:40]!r})")
        if kind.version > VERSION:
            raise BrokenBackup(f"{folder} was written by a newer version of this program; install that one")
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as e:
        raise BrokenBackup(f"{folder} is no backup: {MANIFEST} cannot be understood ({e})") from e


def verify(folder: Path) -> tuple[Manifest, list[Bytes]]:
    """Check a backup without changing anything; return its manifest and what its store says of the blobs.

    The bytes of each blob are checked by whoever copies them; here they must only be there, in the right length.

    Raises:
        BrokenBackup
    """
    manifest = read(folder)
    if manifest.schema > offline.newest_version():
        told = f"its store is at version {manifest.schema}, this program knows {offline.newest_version()}"
        raise BrokenBackup(f"{folder} is newer than this program: {told}; install the newer program")
    db = folder / DATABASE
    try:
        if db.stat().st_size != manifest.database_bytes or files.digest(db) != manifest.database_sha256:
            raise BrokenBackup(
                f"{db} is not the file that was written: its size or its digest differs; use another backup"
            )
        facts = offline.examine(db, still=True)
        rows = blobs_in(db)
    except OSError as e:
        raise BrokenBackup(f"{db} cannot be read ({e.strerror})") from e
    except NotAStore as e:
        raise BrokenBackup(str(e)) from e
    if facts.faults:
        raise BrokenBackup(f"{db} is damaged: {facts.faults[0]}")
    if (facts.version, facts.store_id) != (manifest.schema, manifest.store_id):
        raise BrokenBackup(f"{folder}: {MANIFEST} and {DATABASE} do not belong together")
    held = rows if manifest.blobs_at is None else []
    bad = [row.blob_id for row in held if row.blob_id not in manifest.damaged and _length(folder, row) != row.size]
    if bad:
        raise BrokenBackup(f"{folder} lacks the bytes of {len(bad)} blob(s), such as {bad[0]}")
    return manifest, rows


def blobs_in(db: Path) -> list[Bytes]:
    """Return what a backup's database says of each blob. Whoever wrote it, no id may lead out of the blobs' folder.

    Raises:
        BrokenBackup: one would. NotAStore
    """
    rows = offline.blobs_of(db, still=True)
    for row in rows:
        if "/" in row.blob_id or ".." in row.blob_id or "\0" in row.blob_id or not row.blob_id:
            raise BrokenBackup(f"{db} names a blob {row.blob_id[:40]!r}, which is no name of one; use another backup")
    return rows


def _length(folder: Path, row: Bytes) -> int:
    try:
        return path_of(folder / BLOBS, row.blob_id).stat().st_size
    except OSError:
        return -1
