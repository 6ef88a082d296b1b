"""Task groups over HTTP: make, list, look, close."""

import msgspec
from falcon.asgi import Request, Response

from contract import wire
from spine.api.body import query_number
from spine.api.core import Core
from spine.queue import groups
from spine.queue.once import Answer
from spine.store.engine import Tx

PAGE = 50
PAGE_MOST = 200


class Groups:
    """GET, POST /groups; GET /groups/:id; POST /groups/:id/close."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def on_get(self, req: Request, resp: Response) -> None:
        """GET /groups."""
        core = self._core
        core.auth.overseer(req)
        limit = query_number(req, "limit", 1, PAGE_MOST) or PAGE
        cursor = req.get_param("cursor")
        resp.data = await core.read(lambda tx: msgspec.json.encode(groups.page(tx, cursor, limit)))
        resp.content_type = "application/json"

    async def on_post(self, req: Request, resp: Response) -> None:
        """POST /groups."""
        core = self._core
        caller = core.auth.head(req)
        data = await core.body(req)
        request = core.decode(resp, data, wire.NewGroup, v0=False)

        def verb(tx: Tx) -> Answer:
            row = groups.create(tx, core.rules, caller, request)
            return Answer(201, msgspec.json.encode(groups.record(tx, row)))

        await core.carry_out(req, resp, core.key(req, caller, data), verb)

    async def on_get_one(self, req: Request, resp: Response, group_id: str) -> None:
        """GET /groups/:id."""
        core = self._core
        core.auth.overseer(req)

        def look(tx: Tx) -> bytes:
            return msgspec.json.encode(groups.record(tx, groups.find(tx, group_id)))

        resp.data = await core.read(look)
        resp.content_type = "application/json"

    async def on_post_close(self, req: Request, resp: Response, group_id: str) -> None:
        """POST /groups/:id/close."""
        core = self._core
        caller = core.auth.head(req)
        core.decode(resp, await core.body(req), wire.Nothing, v0=False)

        def verb(tx: Tx) -> Answer:
            return Answer(200, msgspec.json.encode(groups.record(tx, groups.close(tx, caller, group_id))))

        await core.carry_out(req, resp, None, verb)
