"""Messages over HTTP: send, list, look at receipts, acknowledge."""

import msgspec
from falcon.asgi import Request, Response

from contract import wire
from contract.errors import InvalidField
from spine.api.body import query_number
from spine.api.core import Core
from spine.queue import messages
from spine.queue.once import Answer
from spine.store.engine import Tx

BOXES = ("inbox", "sent", "all")
PAGE = 100
PAGE_MOST = 200


class Messages:
    """GET, POST /messages; GET /messages/:id; POST /messages/:id/read."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def on_get(self, req: Request, resp: Response) -> None:
        """GET /messages: a page of one of the caller's boxes. It acknowledges nothing."""
        core = self._core
        principal = core.auth.caller(req).principal
        box = req.get_param("box") or ("all" if principal.role == "viewer" else "inbox")
        if box not in BOXES:
            raise InvalidField(f"box: {box[:40]!r} is none of {', '.join(BOXES)}", "box")
        unread = bool(query_number(req, "unread", 0, 1))
        limit = query_number(req, "limit", 1, PAGE_MOST) or PAGE
        thread, cursor = req.get_param("thread"), req.get_param("cursor")
        found = await core.read(lambda tx: messages.page(tx, principal, box, unread, thread, cursor, limit))
        resp.data = msgspec.json.encode(found)
        resp.content_type = "application/json"

    async def on_post(self, req: Request, resp: Response) -> None:
        """POST /messages."""
        core = self._core
        caller = core.auth.worker(req)
        data = await core.body(req)
        limits = {"text": core.settings.comment_max_bytes}
        request = core.decode(resp, data, wire.SendMessage, limits, v0=False)

        def verb(tx: Tx) -> Answer:
            return Answer(201, msgspec.json.encode(messages.send(tx, core.rules, caller, request)))

        await core.carry_out(req, resp, core.key(req, caller, data), verb)

    async def on_get_one(self, req: Request, resp: Response, message_id: str) -> None:
        """GET /messages/:id."""
        core = self._core
        principal = core.auth.caller(req).principal
        resp.data = await core.read(lambda tx: msgspec.json.encode(messages.read(tx, principal, message_id)))
        resp.content_type = "application/json"

    async def on_post_read(self, req: Request, resp: Response, message_id: str) -> None:
        """POST /messages/:id/read."""
        core = self._core
        caller = core.auth.worker(req)
        core.decode(resp, await core.body(req), wire.Nothing, v0=False)

        def verb(tx: Tx) -> Answer:
            return Answer(200, msgspec.json.encode(messages.acknowledge(tx, caller, message_id)))

        await core.carry_out(req, resp, None, verb)
