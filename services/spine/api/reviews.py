"""Decisions on jobs: cancel, approve, reject, review, retry, adopt, and the same for all that match a filter."""

from collections.abc import Callable
from typing import TypeVar

import msgspec
from falcon.asgi import Request, Response
from msgspec import UNSET

from contract import wire
from contract.errors import InvalidField, SpineError
from contract.states import UNFINISHED, Action, Status
from spine.api.body import moment
from spine.api.core import Core
from spine.queue import history, listing, settle, steer, view
from spine.queue.access import Caller
from spine.queue.once import Answer
from spine.store.engine import Refusal, Tx
from spine.store.jobs import JobRow
from spine.store.listing import Filter

R = TypeVar("R", bound=wire.Request)
_STATUSES = frozenset(status.value for status in Status)


class Reviews:
    """POST /jobs/:id/{cancel,approve,reject,review,retry,adopt} and POST /jobs/bulk/{cancel,retry,release}."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def on_post_cancel(self, req: Request, resp: Response, job_id: str) -> None:
        """POST /jobs/:id/cancel."""
        caller = self._core.auth.steerer(req)
        await self._decide(caller, req, resp, wire.Cancel, lambda tx, r: steer.cancel(tx, caller, job_id, r.reason))

    async def on_post_approve(self, req: Request, resp: Response, job_id: str) -> None:
        """POST /jobs/:id/approve."""
        caller = self._core.auth.steerer(req)
        await self._decide(
            caller, req, resp, wire.Approve, lambda tx, r: steer.approve(tx, caller, job_id, r.spec_digest)
        )

    async def on_post_reject(self, req: Request, resp: Response, job_id: str) -> None:
        """POST /jobs/:id/reject."""
        caller = self._core.auth.steerer(req)
        await self._decide(caller, req, resp, wire.Cancel, lambda tx, r: steer.reject(tx, caller, job_id, r.reason))

    async def on_post_review(self, req: Request, resp: Response, job_id: str) -> None:
        """POST /jobs/:id/review."""
        caller = self._core.auth.steerer(req)
        await self._decide(caller, req, resp, wire.Review, lambda tx, r: steer.review(tx, caller, job_id, r))

    async def on_post_retry(self, req: Request, resp: Response, job_id: str) -> None:
        """POST /jobs/:id/retry."""
        caller = self._core.auth.head(req)
        await self._decide(caller, req, resp, wire.Nothing, lambda tx, r: steer.retry(tx, caller, job_id))

    async def on_post_adopt(self, req: Request, resp: Response, job_id: str) -> None:
        """POST /jobs/:id/adopt."""
        caller = self._core.auth.head(req)
        await self._decide(caller, req, resp, wire.Adopt, lambda tx, r: steer.adopt(tx, caller, job_id, r.fence))

    async def _decide(
        self, caller: Caller, req: Request, resp: Response, kind: type[R], verb: Callable[[Tx, R], JobRow]
    ) -> None:
        core = self._core
        data = await core.body(req)
        request = core.decode(resp, data, kind, v0=False)
        await core.carry_out(
            req, resp, core.key(req, caller, data), lambda tx: Answer(200, view.job(tx, verb(tx, request)))
        )

    # --- many at once ----------------------------------------------------------------------------------------------

    async def on_post_bulk(self, req: Request, resp: Response, verb: str) -> None:
        """POST /jobs/bulk/cancel, /retry, /release: up to 500 jobs a call, in one transaction."""
        core = self._core
        caller = core.auth.head(req)
        act, taken = _BULK.get(verb, (None, frozenset()))
        if act is None:
            raise InvalidField(f"verb: {verb[:40]!r} is none of {', '.join(_BULK)}", "verb")
        data = await core.body(req)
        request = core.decode(resp, data, wire.Bulk, v0=False)
        narrowed = _filter(request)
        start = history.position(core.store_id, request.cursor)
        if start is None:
            raise InvalidField("cursor: not one of this store; begin again without it", "cursor")

        if request.dry_run:
            eligible = taken & set(narrowed.statuses) if narrowed.statuses else taken
            whole = narrowed._replace(statuses=tuple(sorted(eligible)))
            matched, more = await core.read(lambda tx: listing.counted(tx, whole)) if eligible else (0, False)
            resp.data = msgspec.json.encode(_told(matched, more, 0, None))
            resp.content_type = "application/json"
            return

        def carry_out(tx: Tx) -> Answer:
            def one(job: JobRow) -> bool:
                return act(tx, caller, job, request.reason)

            step = listing.each(tx, narrowed, start, one)
            place = None if step.following is None else history.cursor(core.store_id, step.following)
            return Answer(200, msgspec.json.encode(_told(step.matched, step.at_least, step.changed, place)))

        await core.carry_out(req, resp, core.key(req, caller, data), carry_out)


def _told(matched: int, at_least: bool, changed: int, next_cursor: str | None) -> wire.BulkResult:
    return wire.BulkResult(
        matched=matched, at_least=True if at_least else UNSET, changed=changed, next_cursor=next_cursor
    )


def _filter(request: wire.Bulk) -> Filter:
    statuses = () if request.status is UNSET else tuple(dict.fromkeys(request.status))
    for status in statuses:
        if status not in _STATUSES:
            raise InvalidField(f"status: {status[:40]!r} is none of {', '.join(sorted(_STATUSES))}", "status")
    narrowed = Filter(
        statuses,
        None if request.target is UNSET else request.target,
        None if request.machine is UNSET else request.machine,
        None if request.label is UNSET else request.label,
        None if request.q is UNSET else request.q,
        None if request.since is UNSET else moment(request.since, "since"),
    )
    if narrowed == Filter() and not request.all:
        raise InvalidField("all: give a filter, or all=true for every job", "all")
    if narrowed != Filter() and request.all:
        raise InvalidField("all: give a filter or all=true, not both", "all")
    return narrowed


_CANCELLABLE = frozenset(status.value for status in UNFINISHED)
_RETRIABLE = frozenset({Status.FAILED.value, Status.DEAD.value, Status.CANCELLED.value})


def _cancel(tx: Tx, caller: Caller, job: JobRow, reason: str | None) -> bool:
    current = steer.current(tx, job)
    if current.status not in _CANCELLABLE:
        return False
    steer.cancel(tx, caller, job.id, reason)
    return True


def _retry(tx: Tx, caller: Caller, job: JobRow, reason: str | None) -> bool:
    if job.status not in _RETRIABLE:
        return False
    try:
        steer.retry(tx, caller, job.id)
    except SpineError:
        return False  # its dedupe key is another's by now; refused before anything was written
    return True


def _release(tx: Tx, caller: Caller, job: JobRow, reason: str | None) -> bool:
    if job.status != Status.RUNNING:
        return False
    return not isinstance(settle.release(tx, caller, job.id, None, reason, True), Refusal)


# The verbs, and of which jobs each takes those that match.
_BULK: dict[str, tuple[Callable[[Tx, Caller, JobRow, str | None], bool], frozenset[str]]] = {
    Action.CANCEL.value: (_cancel, _CANCELLABLE),
    Action.RETRY.value: (_retry, _RETRIABLE),
    Action.RELEASE.value: (_release, frozenset({Status.RUNNING.value})),
}
