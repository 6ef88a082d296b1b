"""Schedules over HTTP: make, list, read, change, delete, run now, pause, resume; their runs and next due times."""

from collections.abc import Callable
from typing import Any

import msgspec
from falcon.asgi import Request, Response

from contract import wire
from contract.errors import Conflict, InvalidField
from contract.wire.schedules import PREVIEW_MOST, PREVIEW_SHOWN
from spine.api import schedule_body
from spine.api.body import query_number
from spine.api.core import Core
from spine.queue import firing, schedule_plan, schedules, submit
from spine.queue.access import Caller
from spine.queue.history import cursor, position
from spine.queue.once import Answer
from spine.queue.schedules import Definition
from spine.store import occurrences
from spine.store import schedules as rows
from spine.store.engine import Tx
from spine.store.occurrences import ListedRow
from spine.store.schedules import ScheduleRow

_PAGE = 100
_PAGE_MOST = 1000
_TRIES = 5
_encode = msgspec.json.encode


class Schedules:
    """/schedules and what hangs under one."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def on_get(self, req: Request, resp: Response) -> None:
        """GET /schedules."""
        core = self._core
        core.auth.overseer(req)
        limit = query_number(req, "limit", 1, _PAGE_MOST) or _PAGE
        after, name = self._position(req), req.get_param("name") or None

        def look(tx: Tx) -> bytes:
            found = rows.page(tx, after, limit + 1, name)
            following = cursor(core.store_id, found[limit - 1].seq) if len(found) > limit else None
            shown = [schedules.record(tx, row) for row in found[:limit]]
            return _encode(wire.ScheduleList(schedules=shown, next_cursor=following))

        await self._show(resp, look)

    async def on_post(self, req: Request, resp: Response) -> None:
        """POST /schedules."""
        core = self._core
        caller = core.auth.head(req)
        data = await core.body(req)
        made = await self._definition(data)

        def verb(tx: Tx) -> Answer:
            row = schedules.make(tx, caller, made)
            if made.request.run_now:
                firing.run_now(tx, core.rules, caller, row)
            return Answer(201, _encode(schedules.record(tx, row)))

        await core.carry_out(req, resp, core.key(req, caller, data), verb)
        if resp.data is not None:
            resp.set_header("Location", f"/schedules/{msgspec.json.decode(resp.data)['id']}")

    async def on_post_preview(self, req: Request, resp: Response) -> None:
        """POST /schedules/preview: nothing is kept."""
        core = self._core
        core.auth.head(req)
        request = core.decode(resp, await core.body(req), wire.PreviewSchedule, v0=False)

        def look(tx: Tx) -> bytes:
            schedule_plan.check_times(request, schedule_plan.kind_of(request), tx.now)
            return _encode(schedules.due_times(schedule_plan.plan_of(request, tx.now), tx.now - 1, request.n))

        await self._show(resp, look)

    async def on_get_one(self, req: Request, resp: Response, schedule_id: str) -> None:
        """GET /schedules/:id."""
        self._core.auth.overseer(req)
        await self._show(resp, lambda tx: _encode(schedules.record(tx, schedules.find(tx, schedule_id))))

    async def on_patch_one(self, req: Request, resp: Response, schedule_id: str) -> None:
        """PATCH /schedules/:id. Without `version` a change that comes between is no hindrance."""
        core = self._core
        caller = core.auth.head(req)
        data = await core.body(req)
        change = core.decode(resp, data, wire.EditSchedule, v0=False)
        members = msgspec.json.decode(data.strip() or b"{}", type=dict[str, msgspec.Raw])
        for tries_left in reversed(range(_TRIES)):
            row = await core.read(lambda tx: schedules.find(tx, schedule_id))
            seen = row.version if isinstance(change.version, msgspec.UnsetType) else change.version
            kept = msgspec.json.decode(row.definition, type=dict[str, msgspec.Raw])
            made = await self._definition(_merged(kept, members), row)
            paused = None if isinstance(change.paused, msgspec.UnsetType) else change.paused
            try:
                await core.carry_out(req, resp, None, _editing(caller, schedule_id, seen, made, paused))
                return
            except Conflict:
                if not (isinstance(change.version, msgspec.UnsetType) and tries_left):
                    raise

    async def on_delete_one(self, req: Request, resp: Response, schedule_id: str) -> None:
        """DELETE /schedules/:id."""
        caller = self._core.auth.head(req)

        def verb(tx: Tx) -> Answer:
            row = schedules.find(tx, schedule_id)
            shown = _encode(schedules.record(tx, row))
            schedules.delete(tx, caller.name, row)
            return Answer(200, shown)

        await self._core.carry_out(req, resp, None, verb)

    async def on_get_runs(self, req: Request, resp: Response, schedule_id: str) -> None:
        """GET /schedules/:id/runs."""
        core = self._core
        core.auth.overseer(req)
        limit = query_number(req, "limit", 1, _PAGE_MOST) or _PAGE
        before = self._position(req) or 2**62

        def look(tx: Tx) -> bytes:
            schedules.find(tx, schedule_id)
            found = occurrences.page(tx, schedule_id, before, limit + 1)
            following = cursor(core.store_id, found[limit - 1].row.seq) if len(found) > limit else None
            shown = [schedules.occurrence_record(one) for one in found[:limit]]
            return _encode(wire.OccurrenceList(runs=shown, next_cursor=following))

        await self._show(resp, look)

    async def on_get_next(self, req: Request, resp: Response, schedule_id: str) -> None:
        """GET /schedules/:id/next: of a paused one, when it would be due if it were resumed now."""
        self._core.auth.overseer(req)
        most = query_number(req, "n", 1, PREVIEW_MOST) or PREVIEW_SHOWN

        def look(tx: Tx) -> bytes:
            row = schedules.find(tx, schedule_id)
            return _encode(schedules.next_of(tx, row, most))

        await self._show(resp, look)

    async def on_post_verb(self, req: Request, resp: Response, schedule_id: str, verb: str) -> None:
        """POST /schedules/:id/{run,pause,resume}."""
        core = self._core
        caller = core.auth.head(req)
        data = await core.body(req)
        core.decode(resp, data, wire.Nothing, v0=False)
        if verb == "run":
            await core.carry_out(req, resp, core.key(req, caller, data), self._running(caller, schedule_id))
        elif verb in ("pause", "resume"):

            def pause(tx: Tx) -> Answer:
                row = schedules.pause(tx, caller, schedule_id, verb == "pause")
                return Answer(200, _encode(schedules.record(tx, row)))

            await core.carry_out(req, resp, None, pause)
        else:
            raise InvalidField(f"verb: {verb[:40]!r} is none of run, pause, resume", "verb")

    def _running(self, caller: Caller, schedule_id: str) -> Callable[[Tx], Answer]:
        rules = self._core.rules

        def run(tx: Tx) -> Answer:
            found = firing.run_now(tx, rules, caller, schedules.find(tx, schedule_id))
            job = None if found.job_id is None else schedules.status_of(tx, found.job_id)
            return Answer(201, _encode(schedules.occurrence_record(ListedRow(found, job))))

        return run

    async def _definition(self, data: bytes, kept: ScheduleRow | None = None) -> Definition:
        """Decode and check a definition. `kept`: the one that it is to replace; times that it had may have passed.

        Raises:
            BadJson, TooLarge, InvalidField
        """
        core = self._core
        request, job = schedule_body.read(data, core.settings.field_max_bytes)
        if job.target and not submit.is_target(core.rules, job.target):
            await core.reload_tokens()
        now = await core.read(lambda tx: tx.now)
        old = None if kept is None else schedule_plan.read(kept.definition)
        same = old is not None and schedule_plan.times(old) == schedule_plan.times(request)
        schedule_plan.check(core.rules, request, job, now, times=not same)
        return schedule_body.definition(request, data)

    def _position(self, req: Request) -> int:
        found = position(self._core.store_id, req.get_param("cursor"))
        if found is None:
            raise InvalidField("cursor: not one of this store; begin again without it", "cursor")
        return found

    async def _show(self, resp: Response, look: Callable[[Tx], bytes]) -> None:
        resp.data = await self._core.read(look)
        resp.content_type = "application/json"


def _editing(
    caller: Caller, schedule_id: str, seen: int, made: Definition, paused: bool | None
) -> Callable[[Tx], Answer]:
    def verb(tx: Tx) -> Answer:
        return Answer(200, _encode(schedules.record(tx, schedules.edit(tx, caller, schedule_id, seen, made, paused))))

    return verb


def _merged(kept: dict[str, msgspec.Raw], members: dict[str, msgspec.Raw]) -> bytes:
    """Put members in the place of those that are kept; a null takes one away, and so do `paused` and `version`."""
    left: dict[str, Any] = kept | {n: v for n, v in members.items() if n not in ("paused", "version")}
    return _encode({name: value for name, value in left.items() if bytes(value) != b"null"})
