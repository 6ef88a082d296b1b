"""Jobs: submit, list, read, comment, attempts."""

import msgspec
from falcon.asgi import Request, Response

from contract import trace, wire
from contract.errors import InvalidField, TooLarge
from contract.states import Status
from spine.api import body
from spine.api.body import known_query, moment, query_number
from spine.api.core import Core
from spine.queue import comment, earlier, listing, submit, view, why
from spine.queue.access import Caller, visible
from spine.queue.once import Answer
from spine.store import attempts
from spine.store.engine import Tx
from spine.store.listing import NEEDS, Filter

LIST_SUBMIT_MOST = 1000
_STATUSES = tuple(status.value for status in Status)


class Jobs:
    """/jobs and what hangs under one job."""

    def __init__(self, core: Core) -> None:
        self._core = core
        most = core.settings.field_max_bytes
        self._limits = {"spec": most, "meta": most}

    async def on_post(self, req: Request, resp: Response) -> None:
        """POST /jobs."""
        core = self._core
        caller = core.auth.steerer(req)
        data = await core.body(req)
        if data.lstrip()[:1] == b"[":
            await self._submit_list(req, resp, core.auth.head(req), data)
            return
        request = core.decode(resp, data, wire.Submit, self._limits)
        _trace(req, request)
        await self._check(request)

        def verb(tx: Tx) -> Answer:
            row, new = submit.submit(tx, core.rules, caller, request)
            return Answer(201 if new else 200, view.job(tx, row))

        await core.carry_out(req, resp, core.key(req, caller, data), verb, beside=True)
        if resp.data is not None and resp.status_code == 201:
            resp.set_header("Location", f"/jobs/{msgspec.json.decode(resp.data, type=_OnlyId).id}")

    async def _check(self, request: wire.Submit) -> None:
        """Refuse what no transaction is needed to refuse.

        A machine that joins is in the store, and so in the list of machines, a moment before its name is known here.

        Raises:
            InvalidField
        """
        if request.target and not submit.is_target(self._core.rules, request.target):
            await self._core.reload_tokens()
        submit.check(self._core.rules, request)

    async def _submit_list(self, req: Request, resp: Response, caller: Caller, data: bytes) -> None:
        """POST /jobs with a list: up to 1,000, all or none."""
        core = self._core
        requests = []
        for n, item in enumerate(body.items(data, LIST_SUBMIT_MOST)):
            try:
                request = core.decode(resp, item, wire.Submit, self._limits)
                _trace(req, request)
                await self._check(request)
            except (InvalidField, TooLarge) as e:
                raise type(e)(f"[{n}].{e.detail}", **(e.members | {"field": f"[{n}].{e.members.get('field')}"})) from e
            requests.append(request)

        def verb(tx: Tx) -> Answer:
            found = submit.submit_all(tx, core.rules, caller, requests)
            status = 201 if any(new for _, new in found) else 200
            return Answer(status, view.job_list(tx, [row for row, _ in found]))

        await core.carry_out(req, resp, core.key(req, caller, data), verb, beside=True)

    async def on_get(self, req: Request, resp: Response) -> None:
        """GET /jobs."""
        core = self._core
        caller = core.auth.reader(req)
        narrowed = _filter(req)
        limit = query_number(req, "limit", 1, listing.LIST_MOST)
        after, order = req.get_param("cursor"), req.get_param("order") or "oldest"
        if order not in ("oldest", "newest"):
            raise InvalidField(f"order: {order[:40]!r} is neither oldest nor newest", "order")
        found = await core.read(
            lambda tx: listing.page(
                tx, core.store_id, caller.principal, narrowed, limit, after, newest=order == "newest"
            )
        )
        if found is None:
            raise InvalidField("cursor: not one of this store; begin again without it", "cursor")
        resp.data = found
        resp.content_type = "application/json"

    async def on_get_one(self, req: Request, resp: Response, job_id: str) -> None:
        """GET /jobs/:id; its version is the ETag."""
        caller = self._core.auth.reader(req)

        def look(tx: Tx) -> tuple[bytes, int]:
            row = visible(tx, caller.principal, job_id)
            return view.job(tx, row), row.version

        data, version = await self._core.read(look)
        resp.etag = str(version)
        if req.if_none_match and any(tag in ("*", str(version)) for tag in req.if_none_match):
            resp.status = 304
            return
        resp.data = data
        resp.content_type = "application/json"

    async def on_post_comment(self, req: Request, resp: Response, job_id: str) -> None:
        """POST /jobs/:id/comment."""
        core = self._core
        caller = core.auth.talker(req)
        data = await core.body(req)
        request = core.decode(resp, data, wire.Comment)
        most = core.settings.comment_max_bytes
        if len(request.text.encode()) > most:
            raise TooLarge(f"text: at most {most} bytes; attach longer texts as a blob", field="text", limit=most)

        def verb(tx: Tx) -> Answer:
            return Answer(200, view.job(tx, comment.comment(tx, caller, job_id, request.text)))

        await core.carry_out(req, resp, core.key(req, caller, data), verb)

    async def on_get_why(self, req: Request, resp: Response, job_id: str) -> None:
        """GET /jobs/:id/why."""
        caller = self._core.auth.reader(req)
        known_query(req)
        found = await self._core.read(lambda tx: why.why(tx, visible(tx, caller.principal, job_id)))
        resp.data = msgspec.json.encode(found)
        resp.content_type = "application/json"

    async def on_get_attempts(self, req: Request, resp: Response, job_id: str) -> None:
        """GET /jobs/:id/attempts."""
        caller = self._core.auth.reader(req)
        known_query(req)

        def look(tx: Tx) -> bytes:
            visible(tx, caller.principal, job_id)
            return view.attempts(attempts.of_job(tx, job_id))

        resp.data = await self._core.read(look)
        resp.content_type = "application/json"

    async def on_get_earlier(self, req: Request, resp: Response, job_id: str) -> None:
        """GET /jobs/:id/earlier."""
        caller = self._core.auth.caller(req)
        known_query(req)
        found = await self._core.read(lambda tx: earlier.runs(tx, caller, job_id))
        resp.data = msgspec.json.encode(wire.EarlierRuns(runs=found))
        resp.content_type = "application/json"


class _OnlyId(msgspec.Struct):
    id: str


def _trace(req: Request, request: wire.Submit) -> None:
    """Take the trace of a job from the header where its body names none."""
    if request.traceparent is None:
        request.traceparent = trace.of_text(req.get_header(trace.HEADER))


def _filter(req: Request) -> Filter:
    statuses: list[str] = []
    for value in req.get_param_as_list("status") or []:
        statuses += [part for part in value.split(",") if part]
    for status in statuses:
        if status not in _STATUSES:
            raise InvalidField(f"status: {status[:40]!r} is none of {', '.join(_STATUSES)}", "status")
    needs = req.get_param("needs") or None
    if needs is not None and needs not in NEEDS:
        raise InvalidField(f"needs: {needs[:40]!r} is none of {', '.join(NEEDS)}", "needs")
    since = req.get_param("since")
    # An empty parameter narrows nothing.
    return Filter(
        statuses=tuple(dict.fromkeys(statuses)),
        target=req.get_param("target") or None,
        machine=req.get_param("machine") or None,
        label=req.get_param("label") or None,
        q=req.get_param("q") or None,
        since=moment(since, "since") if since else None,
        needs=needs,
    )
