"""Blobs in an object store that speaks S3, through obstore; this module is imported only when the settings name one.

A blob's key is its id, so that every row has bytes of its own and deletes them without asking who else has the same. It
is written only where nothing is: two that bring the same bytes under one id both succeed, and nothing is written over.
What comes in lies on the local disk first. So its digest is known and its form was whole before anything is sent, no
client's pace holds an upload open, and a piece that failed can be sent again.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import obstore
import structlog
from obstore.exceptions import AlreadyExistsError, BaseError

from contract.errors import Internal, SpineError, Unavailable
from contract.killpoints import reach
from spine.blobs.base import UNLIMITED, BlobsAway, BlobsUnusable, Listed, Upload, make_tmp, refused
from spine.blobs.bucket import AT_ONCE, PIECE, Bucket, Patience, reached, said
from spine.blobs.disk import path_of

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import S3Store

T = TypeVar("T")
_log = structlog.get_logger()
# A client waits for its answer meanwhile. At 300 KB/s a piece is through in half the time.
PATIENCE = Patience(call_seconds=60, retry_seconds=20)
# For what is only tidied up: an answer waits for it.
_HASTY = Patience(call_seconds=5, retry_seconds=1)
# What is read at once for a client: it stays in memory until the client has taken it.
READ_PIECE = 1 << 20
# S3 takes ten thousand parts.
_PARTS_MOST = 9_000
_PROBE, _PROBED = "ready", b"a spine keeps its blobs here\n"


class ObjectUpload(Upload):
    """A file on its way to an object store."""

    def __init__(self, blobs: "ObjectBlobs", tmp: Path, most: int) -> None:
        super().__init__(tmp, most)
        self._blobs = blobs

    def keep(self, blob_id: str) -> None:
        """Send the file, durably; what a failure may have left is taken away.

        Raises:
            StorageFull, Unavailable
        """
        try:
            self._file.flush()  # and stay open, and locked: another server would take it for a left-over
        except OSError as e:
            raise refused(e) from e
        try:
            kept = self._blobs.put(blob_id, self._path, self.size, self.sha256)
        except SpineError:
            self._blobs.forget(blob_id)
            raise
        self.discard()
        if not kept:
            raise Internal(f"other bytes are kept under {blob_id} already; nothing was changed")


class ObjectBlobs:
    """Blobs under a prefix of a bucket (see `Blobs`): `<prefix>/<two characters>/<id>`, uploads in a local folder.

    Args:
        root: a local folder; files on their way in lie in `tmp` in it.
        failed: is told of each call that failed, in a line.
    """

    where = "in this server's object store"

    def __init__(
        self,
        place: Bucket,
        root: Path,
        most: int,
        failed: Callable[[str], None] = lambda _what: None,
        patience: Patience = PATIENCE,
    ) -> None:
        self.place, self._most, self._failed = place, most, failed
        self._tmp = make_tmp(root)
        self._store, self._hasty = reached(place, patience), reached(place, _HASTY)

    def check(self) -> None:
        """Write and read a small object that stays, also under the condition under which blobs are written.

        Raises:
            BlobsUnusable, BlobsAway: naming the setting to look at.
        """
        try:
            with contextlib.suppress(AlreadyExistsError):
                obstore.put(self._store, _PROBE, _PROBED, mode="create")
            obstore.put(self._store, _PROBE, _PROBED)
            obstore.get(self._store, _PROBE).bytes()
        except (BaseError, OSError) as e:
            raise fault_of(self.place, e) from e

    def upload(self) -> Upload:
        """Begin a file of at most the settings' size."""
        return ObjectUpload(self, self._tmp, self._most)

    def sealing(self) -> Upload:
        """Begin a file of the server's own."""
        return ObjectUpload(self, self._tmp, UNLIMITED)

    def put(self, blob_id: str, path: Path, size: int, sha256: str) -> bool:
        """Send a file to be kept under an id; True: these bytes are there now, or were already. False: others are.

        A large one goes in parts, which appear together or, when one fails, are taken back.

        Raises:
            Unavailable: it may be there or not.
        """
        key = _key(blob_id)
        try:
            if size <= PIECE:
                self._call(lambda: obstore.put(self._store, key, path, mode="create"))
            elif self._size(key) is not None:  # parts cannot be sent under a condition
                return self.holds(blob_id, size, sha256)
            else:
                part = max(PIECE, -(-size // _PARTS_MOST))
                self._call(partial(_in_parts, self._store, key, path, part))
        except AlreadyExistsError:  # also when the answer to the first of two tries was lost
            return self.holds(blob_id, size, sha256)
        return True

    def holds(self, blob_id: str, size: int, sha256: str) -> bool:
        """Tell whether exactly these bytes are kept under an id; they are read for that.

        Raises:
            Unavailable
        """
        if self._size(_key(blob_id)) != size:
            return False
        source, taken = self.open(blob_id, 0, size), hashlib.sha256()
        while source is not None and (piece := source.read()):
            taken.update(piece)
        return taken.hexdigest() == sha256

    def open(self, blob_id: str, start: int, length: int) -> "ObjectSource | None":
        """Open a range of a blob for reading; its first piece is here when this returns."""
        source = ObjectSource(self, _key(blob_id), start, length)
        return source if source.begin() else None

    def piece(self, key: str, start: int, length: int) -> bytes | None:
        """Return a range of an object, less where it ends; None when it is not there.

        Raises:
            Unavailable
        """
        try:
            if length == 0:  # there is no such range; of an empty blob it must be told all the same whether it is there
                self._call(lambda: obstore.get(self._store, key))
                return b""
            return self._call(lambda: bytes(obstore.get_range(self._store, key, start=start, length=length)))
        except FileNotFoundError:
            return None

    def remove(self, blob_id: str) -> None:
        """Delete a blob's bytes."""
        self._call(lambda: obstore.delete(self._store, _key(blob_id)))

    def forget(self, blob_id: str) -> None:
        """Delete what a failed upload may have left, if that goes at once; `spine blobs sweep` finds the rest."""
        try:
            obstore.delete(self._hasty, _key(blob_id))
        except (BaseError, OSError) as e:
            _log.warning("blobs.not_taken_back", blob_id=blob_id, error=said(e))

    def listed(self) -> Iterator[Listed]:
        """Iterate over all objects that are blobs; what else lies under the prefix is passed over."""
        pages = self._call(lambda: obstore.list(self._store))
        while page := self._call(lambda: next(pages, None)):
            yield from _blobs_among(page)

    def _size(self, key: str) -> int | None:
        try:
            return self._call(lambda: obstore.head(self._store, key), asked_head=True)["size"]
        except FileNotFoundError:
            return None

    def _call(self, call: Callable[[], T], asked_head: bool = False) -> T:
        """Make a call.

        Raises:
            FileNotFoundError: there is no such object. AlreadyExistsError: there is one.
            Unavailable: the store is away, or refuses.
        """
        try:
            return call()
        except AlreadyExistsError:
            raise
        except (BaseError, OSError) as e:
            what = said(e)
            # Of a bucket that is gone, or of a proxy without a server behind it, nothing is known about the object. The
            # answer to HEAD has no body to tell the two apart by.
            if isinstance(e, FileNotFoundError) and (asked_head or what == "404 NoSuchKey"):
                raise FileNotFoundError(2, "no such object") from e
            self._failed(what)
            raise Unavailable("the object store that keeps the blobs does not answer as it should; try again") from e


class ObjectSource:
    """A range of an object, read in pieces: between two of them no connection waits for a slow client."""

    def __init__(self, blobs: ObjectBlobs, key: str, start: int, length: int) -> None:
        self._blobs, self._key, self._at, self._end = blobs, key, start, start + length
        self._first: bytes | None = None

    def begin(self) -> bool:
        """Fetch the first piece; False when the object is not there."""
        self._first = self._fetch()
        return self._first is not None

    def read(self) -> bytes:
        """Return the next piece."""
        piece, self._first = self._first, None
        if piece is None and self._at < self._end:
            piece = self._fetch()
        return piece or b""

    def close(self) -> None:
        """There is nothing to close."""

    def _fetch(self) -> bytes | None:
        piece = self._blobs.piece(self._key, self._at, min(READ_PIECE, self._end - self._at))
        self._at += len(piece or b"")
        return piece


def listed(place: Bucket) -> Iterator[Listed]:
    """Iterate over the blobs in a place, which is only read.

    Raises:
        BlobsUnusable, BlobsAway: naming the setting to look at.
    """
    try:
        for page in obstore.list(reached(place, PATIENCE)):
            yield from _blobs_among(page)
    except (BaseError, OSError) as e:
        raise fault_of(place, e) from e


def _blobs_among(page: "Sequence[ObjectMeta]") -> Iterator[Listed]:
    for one in page:
        blob_id = one["path"].rpartition("/")[2]
        if one["path"] == _key(blob_id):
            yield Listed(blob_id, one["size"], int(one["last_modified"].timestamp() * 1000))


def fault_of(place: Bucket, error: BaseException) -> BlobsUnusable:
    """Return what to do about a place that cannot be used: the setting, what was seen, the fix."""
    what = said(error) if isinstance(error, Exception) else ""
    code, at = what.partition(" ")[2], place.endpoint or "Amazon's object store"
    if "169.254.169.254" in str(error):
        return BlobsUnusable(
            f"SPINE_BLOB_ACCESS_KEY_ID: not set, and this machine has no credentials of its own for {at}; set it with "
            "its secret"
        )
    if code == "NoSuchBucket":
        return BlobsUnusable(f"SPINE_BLOB_URL: there is no bucket {place.bucket} at {at}; make it, or correct the name")
    if code == "SignatureDoesNotMatch":
        return BlobsUnusable(
            f"SPINE_BLOB_SECRET_ACCESS_KEY: {at} says that it does not belong to SPINE_BLOB_ACCESS_KEY_ID; correct it"
        )
    if code == "AuthorizationHeaderMalformed" or "redirect" in what or what.startswith("301"):
        return BlobsUnusable(
            f"SPINE_BLOB_REGION: the bucket {place.bucket} is not in {place.region} ({what}); name its region"
        )
    if code == "RequestTimeTooSkewed":
        return BlobsAway(f"SPINE_BLOB_URL: {at} does not agree with this machine's clock ({what}); set the clock")
    if code in ("ExpiredToken", "InvalidToken", "TokenRefreshRequired"):
        return BlobsUnusable(
            f"SPINE_BLOB_ACCESS_KEY_ID: {at} does not take this machine's passing credentials any more ({what}); give "
            "it others, or a key that lasts"
        )
    if what.startswith("501"):
        return BlobsUnusable(
            f"SPINE_BLOB_ENDPOINT: {at} cannot write on the condition that nothing is there (If-None-Match: {what}); "
            "use an object store that can"
        )
    if what.startswith(("401", "403")):
        return BlobsUnusable(
            f"SPINE_BLOB_ACCESS_KEY_ID: {at} does not let it read and write in {place.url} ({what}); correct the key, "
            "or give it the right"
        )
    setting = "SPINE_BLOB_ENDPOINT" if place.endpoint else "SPINE_BLOB_URL"
    if what.startswith("4"):
        return BlobsUnusable(f"{setting}: {at} does not answer as an object store does ({what}); correct the address")
    return BlobsAway(f"{setting}: {at} cannot be used now ({what}); see that it runs and can be reached from here")


def _in_parts(store: "S3Store", key: str, path: Path, part: int) -> None:
    def pieces() -> Iterator[bytes]:
        with path.open("rb") as file:
            while piece := file.read(part):
                yield piece
                reach("spine.blob-half")

    obstore.put(store, key, pieces(), chunk_size=part, max_concurrency=AT_ONCE)


def _key(blob_id: str) -> str:
    return path_of(Path(), blob_id).as_posix()
