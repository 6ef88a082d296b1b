"""Notices: the outbox as a head sees it, and the aliases without their secrets."""

from collections.abc import Callable

import msgspec
from falcon.asgi import Request, Response

from contract import wire
from contract.errors import InvalidField
from spine.api.body import query_number
from spine.api.core import Core
from spine.notices.book import Book
from spine.queue import history, notices, view
from spine.queue.access import Caller
from spine.queue.once import Answer
from spine.store import notices as store
from spine.store.engine import Tx
from spine.store.notices import NoticeRow

PAGE_MOST = 500
PAGE = 100
STATUSES = ("waiting", "sending", "sent", "given_up")
_VERBS: dict[str, Callable[[Tx, Caller, str], NoticeRow]] = {"replay": notices.replay, "give-up": notices.give_up}


class Notices:
    """/notices and what hangs under it."""

    def __init__(self, core: Core, book: Book) -> None:
        self._core, self._book = core, book

    async def on_get(self, req: Request, resp: Response) -> None:
        """GET /notices: the newest first."""
        core = self._core
        core.auth.overseer(req)
        status, alias = req.get_param("status") or None, req.get_param("alias") or None
        job_id = req.get_param("jobId") or None
        if status is not None and status not in STATUSES:
            raise InvalidField(f"status: {status[:40]!r} is none of {', '.join(STATUSES)}", "status")
        limit = query_number(req, "limit", 1, PAGE_MOST) or PAGE
        after = req.get_param("cursor")
        before = history.position(core.store_id, after) if after else 2**62
        if before is None:
            raise InvalidField("cursor: not one of this store; begin again without it", "cursor")
        plain = None if alias is None else alias.removeprefix("@")

        def look(tx: Tx) -> bytes:
            rows = store.page(tx, status, plain, job_id, before, limit + 1)
            more = len(rows) > limit
            return view.notice_list(rows[:limit], history.cursor(core.store_id, rows[limit - 1].seq) if more else None)

        resp.data = await core.read(look)
        resp.content_type = "application/json"

    async def on_post(self, req: Request, resp: Response) -> None:
        """POST /notices: by hand."""
        core = self._core
        caller = core.auth.head(req)
        data = await core.body(req)
        request = core.decode(resp, data, wire.SendNotice, v0=False)

        def verb(tx: Tx) -> Answer:
            return Answer(201, view.notice(notices.send(tx, core.rules, caller, request)))

        await core.carry_out(req, resp, core.key(req, caller, data), verb)

    async def on_get_aliases(self, req: Request, resp: Response) -> None:
        """GET /notices/aliases."""
        self._core.auth.overseer(req)
        resp.data = msgspec.json.encode(self._book.listed())
        resp.content_type = "application/json"

    async def on_get_one(self, req: Request, resp: Response, notice_id: str) -> None:
        """GET /notices/:id, with every attempt."""
        self._core.auth.overseer(req)
        resp.data = await self._core.read(lambda tx: view.notice_with_tries(tx, notices.find(tx, notice_id)))
        resp.content_type = "application/json"

    async def on_post_verb(self, req: Request, resp: Response, notice_id: str, verb: str) -> None:
        """POST /notices/:id/{replay,give-up}."""
        core = self._core
        caller = core.auth.head(req)
        data = await core.body(req)
        core.decode(resp, data, wire.Nothing, v0=False)
        act = _VERBS.get(verb)
        if act is None:
            raise InvalidField(f"verb: {verb[:40]!r} is none of {', '.join(_VERBS)}", "verb")
        await core.carry_out(
            req, resp, core.key(req, caller, data), lambda tx: Answer(200, view.notice(act(tx, caller, notice_id)))
        )
