"""Events: pages and a stream, from an opaque cursor on."""

from collections.abc import AsyncIterator

import msgspec
from falcon.asgi import Request, Response, SSEvent

from contract import wire
from spine.api.body import known_query, query_number
from spine.api.core import Core
from spine.api.streams import follow, open_stream
from spine.queue import history
from spine.queue.access import Principal, is_revoked
from spine.store.engine import Tx

_PAGE = 100
_PAGE_MOST = 1000
_STREAM_PAGE = 500
FROM_NOW = "newest"
"""No cursor has so few letters."""


class Events:
    """GET /events and GET /jobs/:id/events."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def on_get(self, req: Request, resp: Response, job_id: str | None = None) -> None:
        """Answer a page, or a stream when the client asks for text/event-stream."""
        core = self._core
        caller = core.auth.reader(req)
        known_query(req, "cursor", "limit")
        limit = query_number(req, "limit", 1, _PAGE_MOST) or _PAGE
        asked = req.get_header("Last-Event-ID") or req.get_param("cursor")
        streams = "text/event-stream" in (req.accept or "")

        def look(tx: Tx) -> tuple[str | None, wire.EventPage]:
            after = history.newest(tx, core.store_id) if asked == FROM_NOW else asked
            most = 1 if streams else limit
            return after, history.page(tx, core.store_id, caller.principal, after, most, job_id)[0]

        after, page = await core.read(look)  # for a stream too: it is refused before it begins
        if streams:
            open_stream(core.hub, resp, self._stream(caller.principal, after, job_id))
            return
        resp.data = history.encode(page)
        resp.content_type = "application/json"

    def _stream(self, principal: Principal, after: str | None, job_id: str | None) -> AsyncIterator[SSEvent]:
        core, place = self._core, [after]

        async def read() -> tuple[list[SSEvent], bool]:
            if await core.read(lambda tx: is_revoked(tx, principal)):
                return [], True
            page, _ = await core.read(
                lambda tx: history.page(tx, core.store_id, principal, place[0], _STREAM_PAGE, job_id)
            )
            place[0] = page.next_cursor
            found = [SSEvent(event="gap", data=b"{}")] if page.gap else []
            found += [
                SSEvent(event=event.type, event_id=event.cursor, data=msgspec.json.encode(event))
                for event in page.events
            ]
            return found, False

        return follow(core.hub, core.hub.news, read)

    async def on_get_job(self, req: Request, resp: Response, job_id: str) -> None:
        """GET /jobs/:id/events."""
        await self.on_get(req, resp, job_id)
