"""Blobs: streamed in and out."""

import asyncio
import re
from collections.abc import AsyncIterator
from urllib.parse import quote

import falcon
import msgspec
from falcon.asgi import Request, Response

from contract import wire
from contract.clock import iso
from contract.errors import BadRange, Forbidden, InvalidField, MissingFile, NotFound
from contract.ids import new_blob_id
from contract.killpoints import reach
from spine.api.core import Core
from spine.blobs.base import Source, Upload
from spine.queue.access import Principal
from spine.store import blobs
from spine.store.blobs import BlobRow
from spine.store.engine import Tx

_PIECE = 256 * 1024
_TYPE = re.compile(r"^[A-Za-z0-9!#$&^_.+-]{1,64}/[A-Za-z0-9!#$&^_.+-]{1,64}(; ?charset=[A-Za-z0-9-]{1,32})?$")


class Blobs:
    """/blobs and one blob."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def on_post(self, req: Request, resp: Response) -> None:
        """POST /blobs: a multipart form with a part named `file`. The bytes are durable first, then the row."""
        core = self._core
        caller = core.auth.worker(req)
        if not (req.content_type or "").lower().startswith("multipart/form-data"):
            raise MissingFile("send multipart/form-data with a part named file")
        upload = await asyncio.to_thread(core.blobs.upload)
        try:
            filename, content_type = await self._receive(req, upload)
            blob_id = new_blob_id()
            await core.keep_blob(lambda: _keep(upload, blob_id))
        except BaseException:
            await asyncio.shield(asyncio.to_thread(upload.discard))
            raise

        def add(tx: Tx) -> BlobRow:
            row = BlobRow(blob_id, filename, upload.size, upload.sha256, content_type, tx.now, caller.name)
            blobs.add(tx, row)
            return row

        row = await core.write(core.under_lease(req, add))
        resp.data = msgspec.json.encode(_record(row))
        resp.content_type = "application/json"

    async def _receive(self, req: Request, upload: Upload) -> tuple[str, str]:
        """Write the part named file; return its name and type.

        Raises:
            MissingFile, TooLarge, StorageFull, RequestTimeout, BadJson, InvalidField
        """
        found: tuple[str, str] | None = None
        try:
            form = await req.get_media()
            async for part in form:
                if part.name != "file" or found is not None:
                    continue
                kind = part.content_type or ""
                found = (_filename(part.filename), kind if _TYPE.match(kind) else "application/octet-stream")
                while piece := await part.stream.read(_PIECE):
                    await asyncio.to_thread(upload.write, piece)
            await req.stream.exhaust()  # a form that is whole inside a body that is not is refused too
        except falcon.HTTPError as e:
            raise InvalidField(f"the form cannot be read: {e.description or e.title}", "file") from e
        if found is None:
            raise MissingFile
        return found

    async def on_get_one(self, req: Request, resp: Response, blob_id: str) -> None:
        """GET and HEAD /blobs/:id, with ranges. Always an attachment: nothing of it may run in a browser."""
        core = self._core
        caller = core.auth.reader(req)
        row = await core.read(lambda tx: _readable(tx, caller.principal, blob_id))
        start, length = _range(req, row.size)
        head = req.method == "HEAD"
        source = await core.read_blob(lambda: core.blobs.open(row.id, start, min(length, 1) if head else length))
        if source is None:
            raise NotFound(f"the bytes of {row.id} are not {core.blobs.where}")
        resp.set_header("X-Content-Type-Options", "nosniff")
        resp.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(row.filename, safe='')}")
        resp.set_header("Accept-Ranges", "bytes")
        resp.content_type = row.content_type
        resp.etag = row.sha256
        if length != row.size:
            resp.status = 206
            resp.set_header("Content-Range", f"bytes {start}-{start + length - 1}/{row.size}")
        if head:
            source.close()
            resp.content_length = length
        else:
            resp.set_stream(_pieces(core, source), length)

    async def on_head_one(self, req: Request, resp: Response, blob_id: str) -> None:
        """HEAD /blobs/:id."""
        await self.on_get_one(req, resp, blob_id)


def _readable(tx: Tx, principal: Principal, blob_id: str) -> BlobRow:
    """Return a blob that the principal may read: heads all, others what they brought or what a job they see names.

    Raises:
        NotFound, Forbidden
    """
    row = blobs.find(tx, blob_id)
    if row is None:
        raise NotFound(f"there is no blob {blob_id[:64]}")
    if principal.sees_all or row.uploader == principal.name or blobs.named_for(tx, row.id, principal.name):
        return row
    raise Forbidden("no job that you see names this blob")


def _range(req: Request, size: int) -> tuple[int, int]:
    """Return (start, length) of the part that is asked for.

    Raises:
        BadRange
    """
    if req.range is None or req.range_unit != "bytes":
        return 0, size
    first, last = req.range
    if first < 0:  # the last so many bytes
        start, end = max(0, size + first), size
    else:
        start, end = first, size if last < 0 else min(last + 1, size)
    if start >= end:
        raise BadRange(f"the blob has {size} bytes", size=size)
    return start, end - start


def _keep(upload: Upload, blob_id: str) -> None:
    upload.keep(blob_id)
    reach("spine.blob-kept")


async def _pieces(core: Core, source: Source) -> AsyncIterator[bytes]:
    try:
        while piece := await core.read_blob(source.read):
            yield piece
    finally:
        source.close()


def _filename(name: str | None) -> str:
    """Keep a name's last component and printable characters: it is shown to people."""
    last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in last if c.isprintable() and not 0xD800 <= ord(c) <= 0xDFFF)[:255] or "file"


def _record(row: BlobRow) -> wire.Blob:
    return wire.Blob(
        id=row.id,
        filename=row.filename,
        size=row.size,
        sha256=row.sha256,
        content_type=row.content_type,
        created_at=iso(row.created_at),
        url=f"/blobs/{row.id}",
    )
