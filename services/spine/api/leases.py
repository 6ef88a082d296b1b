"""Holding a job: claim, heartbeat, complete, fail, release."""

import asyncio

import msgspec
from falcon.asgi import Request, Response

from contract import wire
from contract.errors import IdempotencyBusy, InvalidField, RateLimited
from contract.killpoints import reach
from spine.api.body import fence_of, text_of
from spine.api.core import Core, Pending
from spine.queue import causes, claim, messages, settle, view
from spine.queue.access import Caller
from spine.queue.once import Answer, Key, once
from spine.queue.wake import Waiter
from spine.store.engine import Refusal, Tx


class Leases:
    """POST /jobs/claim and the verbs of a job's holder."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._pending = Pending()
        most = core.settings.field_max_bytes
        self._limits = {"progress": most, "result": most, "error": most, "reason": most}

    # --- claiming --------------------------------------------------------------------------------------------------

    async def on_post_next(self, req: Request, resp: Response) -> None:
        """POST /jobs/claim: take the next jobs, or wait for one."""
        core = self._core
        caller = core.auth.claw(req)
        if caller.worker_id is None:
            raise InvalidField("X-Worker-Id: required; send an id of this worker process", "X-Worker-Id")
        data = await core.body(req)
        request = core.decode(resp, data, wire.ClaimNext, v0=False)
        asked = None if isinstance(request.targets, msgspec.UnsetType) else request.targets
        targets = claim.targets_of(caller, asked)
        key = core.key(req, caller, data)
        if request.wait and core.hub.waiting >= core.hub.most_waiters:
            raise RateLimited("too many claims are waiting; ask again without wait, or later")
        answer = await self._next(req, caller, request, targets, frozenset(request.capabilities), key)
        if answer is None:
            resp.status = 204
        else:
            core.reply(resp, answer)

    async def _next(
        self,
        req: Request,
        caller: Caller,
        request: wire.ClaimNext,
        targets: frozenset[str],
        capabilities: frozenset[str],
        key: Key | None,
    ) -> Answer | Refusal | None:
        core, lanes_taken = self._core, set[int]()

        def verb(tx: Tx) -> Answer:
            lanes_taken.clear()  # it may be carried out again
            rows = claim.claim_next(tx, core.rules, caller, targets, capabilities, request.max)
            told = messages.offer(tx, core.rules, caller)
            if not rows and not told:
                return Answer(204, b"")
            if rows:
                lanes_taken.update(row.lane for row in rows)
            return Answer(200, view.claimed(tx, rows, told), tuple(f"{row.id}:{row.fence}" for row in rows))

        operation = core.under_lease(req, lambda tx: once(tx, key, verb))
        if not request.wait:
            first = await core.write(operation, beside=True)
            if lanes_taken:
                reach("spine.claim-committed")
            return None if isinstance(first, Answer) and first.status == 204 else first
        waiter = core.hub.enter(targets, capabilities, caller.name)
        self._pending.take_over(key, waiter)
        deadline = asyncio.get_running_loop().time() + request.wait
        try:
            while True:
                waiter.take_turn()
                lanes_taken.clear()
                answer = await core.write(operation, beside=True)
                if lanes_taken:
                    reach("spine.claim-committed")
                if not (isinstance(answer, Answer) and answer.status == 204):
                    core.hub.found(waiter, lanes_taken)
                    return answer
                core.hub.nothing(waiter)
                if core.hub.draining or not await _turn(waiter, deadline) or core.hub.draining:
                    return None
        finally:
            core.hub.leave(waiter)
            self._pending.done(key, waiter)

    async def on_post_claim(self, req: Request, resp: Response, job_id: str) -> None:
        """POST /jobs/:id/claim."""
        core = self._core
        caller = core.auth.claw(req)
        data = await core.body(req)
        request = core.decode(resp, data, wire.ClaimOne)
        caps = request.capabilities
        capabilities = None if isinstance(caps, msgspec.UnsetType) else frozenset(caps)

        def verb(tx: Tx) -> Answer | Refusal:
            row = claim.claim_one(tx, core.rules, caller, job_id, capabilities)
            if isinstance(row, Refusal):
                return row
            return Answer(200, view.job(tx, row), (f"{row.id}:{row.fence}",))

        await core.carry_out(req, resp, core.key(req, caller, data), verb)

    # --- holding and settling --------------------------------------------------------------------------------------

    async def on_post_heartbeat(self, req: Request, resp: Response, job_id: str) -> None:
        """POST /jobs/:id/heartbeat."""
        core = self._core
        caller = core.auth.worker(req)
        request = core.decode(resp, await core.body(req), wire.Heartbeat, self._limits)
        fence = fence_of(req, request.fence)
        progress = text_of(request.progress)

        def verb(tx: Tx) -> Answer:
            row, seen = settle.heartbeat(tx, core.rules, caller, job_id, fence, progress)
            return Answer(200, view.job(tx, row, new_since=seen, messages=messages.offer(tx, core.rules, caller)))

        await core.carry_out(req, resp, None, verb, beside=True)

    async def on_post_complete(self, req: Request, resp: Response, job_id: str) -> None:
        """POST /jobs/:id/complete."""
        core = self._core
        caller = core.auth.worker(req)
        data = await core.body(req)
        request = core.decode(resp, data, wire.Complete, self._limits)
        fence, result = fence_of(req, request.fence), text_of(request.result)
        await self._settle(req, resp, caller, data, lambda tx: settle.complete(tx, caller, job_id, fence, result))

    async def on_post_fail(self, req: Request, resp: Response, job_id: str) -> None:
        """POST /jobs/:id/fail."""
        core = self._core
        caller = core.auth.worker(req)
        data = await core.body(req)
        request = core.decode(resp, data, wire.Fail, self._limits)
        fence, result, requeue = fence_of(req, request.fence), text_of(request.result), request.requeue is not False
        wish = causes.wish_of(request)
        await self._settle(
            req,
            resp,
            caller,
            data,
            lambda tx: settle.fail(tx, caller, job_id, fence, request.error, requeue, result, wish),
        )

    async def on_post_release(self, req: Request, resp: Response, job_id: str) -> None:
        """POST /jobs/:id/release."""
        core = self._core
        caller = core.auth.worker(req)
        data = await core.body(req)
        request = core.decode(resp, data, wire.Release, self._limits)
        fence, wish = fence_of(req, request.fence), causes.wish_of(request)
        await self._settle(
            req,
            resp,
            caller,
            data,
            lambda tx: settle.release(tx, caller, job_id, fence, request.reason, request.count_attempt, wish),
        )

    async def _settle(self, req: Request, resp: Response, caller: Caller, data: bytes, verb: "settle.Settling") -> None:
        core = self._core

        def answered(tx: Tx) -> Answer | Refusal:
            row = verb(tx)
            if isinstance(row, Refusal):
                return row
            return Answer(200, view.job(tx, row))

        await core.carry_out(req, resp, core.key(req, caller, data), answered, beside=True)


async def _turn(waiter: Waiter, deadline: float) -> bool:
    """Wait for the waiter's turn; False when the time is over.

    Raises:
        IdempotencyBusy: a repeat of the request took over.
    """
    if not waiter.superseded:  # it may have been while it tried
        if asyncio.get_running_loop().time() >= deadline:
            return False
        try:
            async with asyncio.timeout_at(deadline):
                await waiter.turn.wait()
        except TimeoutError:
            return False
    if waiter.superseded:
        raise IdempotencyBusy("a repeat of this request took over")
    return True
