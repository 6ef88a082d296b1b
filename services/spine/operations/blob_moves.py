"""Blobs from the disk into an object store, and bytes that no row names any more; a server may run meanwhile."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from spine.blobs.base import Blobs, Listed
from spine.blobs.disk import path_of
from spine.operations import files
from spine.operations.files import Progress
from spine.operations.manifest import BLOBS
from spine.operations.refusal import Refused
from spine.store import lock
from spine.store.offline import Bytes

if TYPE_CHECKING:
    from spine.blobs.objects import ObjectBlobs

YOUNG_MS = 24 * 3600 * 1000
"""Younger than this, what has no row may be a file whose row is about to come."""
_NOTES = "copied"


class Copied(NamedTuple):
    """What a copy did: how many were sent, of how many bytes; how many were there; which could not be had."""

    sent: int
    sent_bytes: int
    there: int
    lost: list[str]


def copy(data_dir: Path, rows: list[Bytes], target: "ObjectBlobs", progress: Progress = files.quiet) -> Copied:
    """Send every blob that is on the disk, read each back and compare it; nothing on the disk is changed.

    May be repeated: what was compared is noted beside the files, and passed over as long as it is there.

    Raises:
        Unavailable: the object store went away; the same call goes on from there. OSError: the disk refuses.
    """
    root = data_dir / BLOBS
    there = {one.blob_id: one.size for one in target.listed()}
    sent = sent_bytes = known = 0
    lost: list[str] = []
    with _Notes(root / "tmp" / _NOTES, target.place.url) as notes:
        for n, row in enumerate(rows):
            progress("blobs", n, len(rows))
            if there.get(row.blob_id) == row.size and (row.blob_id in notes.ids or target.holds(*row)):
                known += 1
            elif _sent(path_of(root, row.blob_id), row, target):
                sent, sent_bytes = sent + 1, sent_bytes + row.size
            else:
                lost.append(row.blob_id)
                continue
            notes.add(row.blob_id)
    progress("blobs", len(rows), len(rows))
    return Copied(sent, sent_bytes, known, lost)


def _sent(file: Path, row: Bytes, target: "ObjectBlobs") -> bool:
    try:
        found = file.stat().st_size, files.digest(file)
    except FileNotFoundError:
        return False
    return (
        found == (row.size, row.sha256) and target.put(row.blob_id, file, row.size, row.sha256) and target.holds(*row)
    )


class _Notes:
    """A file of the ids that were compared in one place; for another place it is begun anew."""

    def __init__(self, path: Path, place: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        said = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        go_on = said[:1] == [place]
        self.ids = set(said[1:]) if go_on else set()
        self._path, self._file = path, path.open("a" if go_on else "w", encoding="utf-8")
        if not go_on:
            self._file.write(f"{place}\n")

    def __enter__(self) -> "_Notes":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        files.give_to_owner(self._path.parent)

    def add(self, blob_id: str) -> None:
        """Note that a blob was compared. What is lost of this by a kill is compared once more."""
        if blob_id not in self.ids:
            self._file.write(f"{blob_id}\n")


def sweep(
    data_dir: Path, place: Blobs, rows: Callable[[], list[Bytes]], now: int, dry_run: bool, progress: Progress
) -> list[Listed]:
    """Delete bytes that no row names, unless they are younger than a day; return what went, or would go.

    `rows` is called after what is there was listed, so that a row that comes meanwhile is seen.

    Raises:
        Refused: the store names nothing of what is there, or a backup copies files. Unavailable, OSError
    """
    handle = lock.drop_files(data_dir)
    if handle is None:
        raise Refused("a backup copies blobs right now; wait until it is done")
    try:
        found = list(place.listed())
        named = {row.blob_id for row in rows()}
        if found and not any(one.blob_id in named for one in found):
            raise Refused(f"this store names none of the {len(found)} blobs {place.where}; is it the right one?")
        loose = [one for one in found if one.blob_id not in named and one.at < now - YOUNG_MS]
        for n, one in enumerate(() if dry_run else loose):
            progress("blobs", n, len(loose))
            place.remove(one.blob_id)
        progress("blobs", len(loose), len(loose))
        return loose
    finally:
        os.close(handle)
