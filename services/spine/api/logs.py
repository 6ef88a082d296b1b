"""A job's log: appended at an offset, read as a range or followed as a stream."""

import asyncio
import base64
from collections.abc import AsyncIterator

import msgspec
from falcon.asgi import Request, Response, SSEvent

from contract import wire
from contract.errors import InvalidField, NotFound
from spine.api import body
from spine.api.body import fence_of, known_query, query_number
from spine.api.core import Core
from spine.api.streams import follow, open_stream
from spine.blobs.base import read
from spine.queue import joblog
from spine.queue.access import Principal, is_revoked
from spine.store import logs
from spine.store.engine import Tx
from spine.store.logs import LogRow

_APPEND_MOST = 1024 * 1024
_READ_MOST = 4 * 1024 * 1024
_FOLLOW_PIECE = 64 * 1024
_OFFSET_MOST = 2**50


class Logs:
    """/jobs/:id/log."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def on_post(self, req: Request, resp: Response, job_id: str) -> None:
        """POST /jobs/:id/log?offset=N with the bytes as they are; X-Spine-Fence names the attempt."""
        core = self._core
        caller = core.auth.worker(req)
        known_query(req, "offset")
        offset = query_number(req, "offset", 0, _OFFSET_MOST)
        fence = fence_of(req, None)
        data = await body.read(req, _APPEND_MOST, core.settings.body_seconds)

        def verb(tx: Tx) -> tuple[int, int]:
            return joblog.append(tx, core.rules, caller, job_id, fence, offset, data)

        at, size = await core.write(core.under_lease(req, verb), beside=True)
        resp.data = msgspec.json.encode(wire.LogState(fence=at, size=size))
        resp.content_type = "application/json"

    async def on_get(self, req: Request, resp: Response, job_id: str) -> None:
        """GET /jobs/:id/log: a range of the newest attempt's log, or of `fence`'s; `follow=1` streams it.

        Spine-Log-Size tells the size of the whole log, Spine-Log-Fence whose it is, Spine-Log-Open if it may grow.
        """
        core = self._core
        caller = core.auth.reader(req)
        known_query(req, "offset", "limit", "fence", "follow")
        offset = query_number(req, "offset", 0, _OFFSET_MOST) or 0
        limit = query_number(req, "limit", 1, _READ_MOST) or _READ_MOST
        fence = query_number(req, "fence", 0, 2**53 - 1)
        if (req.get_param("follow") or "0") not in ("0", "1"):
            raise InvalidField("follow: expected 0 or 1", "follow")
        log, growing = await core.read(lambda tx: joblog.locate(tx, caller.principal, job_id, fence))
        if req.get_param("follow") == "1":
            open_stream(core.hub, resp, self._follow(caller.principal, job_id, fence, offset))
            return
        resp.data = await self._range(log, offset, limit)
        resp.content_type = "text/plain; charset=utf-8"
        resp.set_header("X-Content-Type-Options", "nosniff")
        resp.set_header("Spine-Log-Size", str(log.size))
        resp.set_header("Spine-Log-Fence", str(log.fence))
        resp.set_header("Spine-Log-Open", "1" if growing else "0")

    async def _range(self, log: LogRow, offset: int, limit: int) -> bytes:
        core = self._core
        if offset >= log.size:
            return b""
        if log.blob_id is None:
            found = await core.read(lambda tx: logs.read(tx, log.job_id, log.fence, offset, limit))
            if found:
                return found
            sealed = await core.read(lambda tx: logs.find(tx, log.job_id, log.fence))
            if sealed is None or sealed.blob_id is None:
                return b""
            log = sealed  # it was sealed between the two reads
        blob_id = log.blob_id or ""
        kept = await core.read_blob(lambda: read(core.blobs, blob_id, offset, min(limit, log.size - offset)))
        if kept is None:
            raise NotFound(f"the bytes of this log are not {core.blobs.where}")
        return kept

    async def _follow(
        self, principal: Principal, job_id: str, fence: int | None, offset: int
    ) -> AsyncIterator[SSEvent]:
        """Yield `log` events `{fence, offset, base64}`, `attempt` when one begins, `end` when nothing can follow."""
        core = self._core
        changed = core.hub.watch_log(job_id)
        place = {"fence": -1, "offset": offset}

        def news() -> asyncio.Event:
            changed.clear()
            return changed

        async def read() -> tuple[list[SSEvent], bool]:
            if await core.read(lambda tx: is_revoked(tx, principal)):
                return [], True
            log, growing = await core.read(lambda tx: joblog.locate(tx, principal, job_id, fence))
            if log.fence != place["fence"] >= 0:
                before, _ = await core.read(lambda tx: joblog.locate(tx, principal, job_id, place["fence"]))
                if place["offset"] < before.size:
                    log, growing = before, True  # the attempt before is told to its end first
            found = []
            if log.fence != place["fence"]:
                if place["fence"] >= 0:
                    place["offset"] = 0
                place["fence"] = log.fence
                found.append(SSEvent(event="attempt", json={"fence": log.fence}))
            data = await self._range(log, place["offset"], _FOLLOW_PIECE)
            if data:
                text = base64.b64encode(data).decode()
                found.append(SSEvent(event="log", json={"fence": log.fence, "offset": place["offset"], "base64": text}))
                place["offset"] += len(data)
            over = not growing and place["offset"] >= log.size
            if over:
                found.append(SSEvent(event="end", json={"fence": log.fence, "size": log.size}))
            return found, over

        try:
            async for event in follow(core.hub, news, read):
                yield event
        finally:
            core.hub.unwatch_log(job_id, changed)
