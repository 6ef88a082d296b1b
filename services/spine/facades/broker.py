"""The OpenClaw Broker dialect: bots create and read jobs, workers take and settle them (contract: Broker, 1 to 5).

What is other than there, on purpose: a worker that says who it is cannot settle what another holds; a lease that is
over is seen by the clock, not by the next poll; a job that nobody can finish ends; plans are approved once.
"""

import dataclasses
import re
import uuid
from typing import Any

import falcon
import msgspec
from falcon.asgi import Request, Response

from contract import wire
from contract.errors import BadJson, Conflict, InvalidField, NotFound, TooLarge
from contract.states import TERMINAL, Status
from spine.api.core import Core
from spine.dialect_settings import Dialect
from spine.facades import broker_records as records
from spine.facades import front, mapping, plans
from spine.facades.broker_records import Unprocessable, job_record, string
from spine.facades.front import App, Door, decoded, value
from spine.facades.mapping import ANY, BROKER, as_json, clean, cut
from spine.queue import claim, settle, submit
from spine.store import attempts
from spine.store.engine import Refusal, Tx
from spine.store.jobs import JobRow

BOT, WORKER = "x-bot-token", "x-worker-token"
COMMAND_MOST = 256
STATUS = {InvalidField: 400, BadJson: 422}
METHODS = {
    "/health": ["GET"],
    "/jobs": ["POST"],
    "/jobs/next": ["GET"],
    "/jobs/{job_id}": ["GET"],
    "/jobs/{job_id}/result": ["POST"],
    "/jobs/{job_id}/fail": ["POST"],
    "/jobs/{job_id}/chunks": ["POST"],
}
_SLASHED = re.compile(r"/(health|jobs(/[^/]+(/(result|fail|chunks))?)?)/\Z")


class BrokerDoor(Door):
    """Each route names its own token; here only what the framework would answer in its own way."""

    async def process_request(self, req: Request, resp: Response) -> None:
        """Falcon's hook before routing: one slash too many is redirected, as the broker does."""
        if _SLASHED.match(req.path):
            query = f"?{req.query_string}" if req.query_string else ""
            raise falcon.HTTPTemporaryRedirect(f"{req.root_path}{req.path[:-1]}{query}")

    async def process_resource(self, req: Request, resp: Response, resource: object, params: dict[str, Any]) -> None:
        """Falcon's hook after routing: OPTIONS is a method like any other that a path does not take."""
        if req.method == "OPTIONS":
            raise falcon.HTTPMethodNotAllowed(METHODS[req.uri_template or "/health"])


def tell(resp: Response, status: int, detail: Any) -> None:
    """Put a refusal into the dialect's form."""
    resp.status = status
    _reply(resp, {"detail": detail})


def _reply(resp: Response, found: dict[str, Any]) -> None:
    resp.data = msgspec.json.encode(found)
    resp.content_type = "application/json"


async def _unprocessable(req: Request, resp: Response, error: Unprocessable, params: dict[str, Any], **_: Any) -> None:
    tell(resp, 422, [error.members["told"]])


def build(core: Core, dialect: Dialect) -> App:
    """Build the dialect's application."""
    door = BrokerDoor(core, dialect.tokens)
    app = front.make_app(door, tell, STATUS, "Not Found", "Method Not Allowed")
    app.add_error_handler(Unprocessable, _unprocessable)
    resource = Broker(core, dialect, door)
    for path in METHODS:
        suffix = {"/jobs/{job_id}": "job"}.get(path, path.rpartition("/")[2])
        app.add_route(path, resource, suffix=suffix)
    return app


def _over(job: JobRow, wanted: str, ignored: str) -> dict[str, Any]:
    """Answer what comes after the end: the first outcome stays (contract: section 3), the attempt keeps the other."""
    status = mapping.STATUS[Status(job.status)].broker
    return {"ok": True, "status": status} | ({} if status == wanted else {"note": f"already {status}; {ignored}"})


class Broker:
    """All routes of a broker."""

    def __init__(self, core: Core, dialect: Dialect, door: Door) -> None:
        self._core, self._dialect, self._door = core, dialect, door
        self._rules = dataclasses.replace(core.rules, lease_ms=dialect.lease_ms)

    async def on_get_health(self, req: Request, resp: Response) -> None:
        """GET /health: true only when the store answers."""
        await self._core.read(lambda tx: None)
        _reply(resp, {"ok": True, "ts_bound": True})

    # --- bots --------------------------------------------------------------------------------------------------------

    async def on_post_jobs(self, req: Request, resp: Response) -> None:
        """POST /jobs: create."""
        self._bot(req)
        given = await self._given(req)
        command, payload = clean(string(given, "command")), clean(string(given, "payload"))
        if self._dialect.commands and command.strip() not in self._dialect.commands:
            raise InvalidField("invalid command", "command")
        if len(command) > COMMAND_MOST:
            raise InvalidField(f"command: at most {COMMAND_MOST} characters", "command")
        caps = records.caps(given.get("requires"))

        def verb(tx: Tx) -> dict[str, Any]:
            spec: dict[str, Any] = {"command": command, "payload": payload}
            job_id, why = str(uuid.uuid4()), None
            if command.strip() == plans.APPROVE:
                plan, why = plans.approve(tx, payload.strip(), job_id)
                if plan is not None:
                    spec["plan"] = plan
            wanted = wire.Submit(
                target=wire.ANY_TARGET, spec=msgspec.Raw(msgspec.json.encode(spec)), requires=[BROKER, *caps]
            )
            job, _new = submit.submit(tx, self._rules, mapping.submitter(BROKER), wanted, job_id)
            if why is not None:
                job = settle.refuse(tx, mapping.submitter(BROKER), job, why)
            return {"id": job.id, "status": mapping.STATUS[Status(job.status)].broker}

        _reply(resp, await self._core.write(verb))

    async def on_get_job(self, req: Request, resp: Response, job_id: str) -> None:
        """GET /jobs/{id}."""
        self._bot(req)
        job_id = decoded(job_id)
        _reply(resp, await self._core.read(lambda tx: job_record(self._job(tx, job_id))))

    # --- workers -----------------------------------------------------------------------------------------------------

    async def on_get_next(self, req: Request, resp: Response) -> None:
        """GET /jobs/next: take the oldest job that this worker can do."""
        worker_id = self._worker(req)
        caps = frozenset([BROKER, *records.header_caps(req.get_header("X-Worker-Caps"))])

        def verb(tx: Tx) -> dict[str, Any]:
            caller = mapping.holder(BROKER, worker_id)
            taken = claim.claim_next(tx, self._rules, caller, ANY, caps, 1, BROKER)
            if not taken:
                return {"job": None}
            return {"job": job_record(taken[0])}

        _reply(resp, await self._core.write(verb))

    async def on_post_result(self, req: Request, resp: Response, job_id: str) -> None:
        """POST /jobs/{id}/result."""
        worker_id = self._worker(req)
        job_id = decoded(job_id)
        try:
            given = await self._given(req, front.result_body_most(self._dialect))
        except TooLarge as e:
            why = f"the result was too large: {e.detail}"
            await self._core.write(lambda tx: self._give_up(tx, job_id, worker_id, why))
            raise
        result = cut(string(given, "result"), self._dialect.result_max_bytes)

        def verb(tx: Tx) -> dict[str, Any] | Refusal:
            job = self._job(tx, job_id)
            fence = _fence(tx, job, worker_id)
            ended: JobRow | Refusal = job
            if fence is not None:
                ended = settle.complete(tx, mapping.holder(BROKER, worker_id), job.id, fence, as_json(result))
            if job.status in TERMINAL:
                return _over(job, "done", "result ignored")
            if fence is None:
                raise InvalidField(f"job not in running state: {mapping.STATUS[Status(job.status)].broker}", "status")
            if isinstance(ended, Refusal):
                return Refusal(_held_by_another(job))
            plans.note(tx, ended, result)
            return {"ok": True, "status": mapping.STATUS[Status(ended.status)].broker}

        await self._settle(resp, verb)

    async def on_post_fail(self, req: Request, resp: Response, job_id: str) -> None:
        """POST /jobs/{id}/fail: also of a job that is queued."""
        worker_id = self._worker(req)
        job_id = decoded(job_id)
        given = await self._given(req)
        told = string(given, "error") if "error" in given else "unknown"
        error = cut(told.strip(), self._core.settings.field_max_bytes) or "unknown"

        def verb(tx: Tx) -> dict[str, Any] | Refusal:
            job = self._job(tx, job_id)
            fence = _fence(tx, job, worker_id)
            caller = mapping.holder(BROKER, worker_id)
            ended: JobRow | Refusal = job
            if fence is not None and job.status != Status.QUEUED:
                ended = settle.fail(tx, caller, job.id, fence, error, requeue=False)
            elif job.status not in TERMINAL:
                ended = settle.refuse(tx, caller, job, error)
            if job.status in TERMINAL:
                return _over(job, "failed", "fail ignored")
            if isinstance(ended, Refusal):
                return Refusal(_held_by_another(job))
            return {"ok": True, "status": mapping.STATUS[Status(ended.status)].broker}

        await self._settle(resp, verb)

    async def on_post_chunks(self, req: Request, resp: Response, job_id: str) -> None:
        """POST /jobs/{id}/chunks: of what a worker streams, the heartbeat counts: it extends the lease (later)."""
        worker_id = self._worker(req)
        job_id = decoded(job_id)
        given = await self._given(req)
        beats = "heartbeat" in (value(given, "type"), value(given, "chunk_type"))

        def verb(tx: Tx) -> dict[str, Any]:
            job = self._job(tx, job_id)
            if beats and job.status == Status.RUNNING and _fence(tx, job, worker_id) == job.fence:
                settle.stretch(tx, self._rules, job)
            return {"ok": True}

        _reply(resp, await self._core.write(verb))

    def _give_up(self, tx: Tx, job_id: str, worker_id: str | None, why: str) -> None:
        """End a job whose result cannot come in: its worker drops the result, and each further run would end so."""
        job = self._job(tx, job_id)
        fence = _fence(tx, job, worker_id)
        if fence is not None:
            settle.fail(tx, mapping.holder(BROKER, worker_id), job.id, fence, why, requeue=False)

    async def _settle(self, resp: Response, verb: Any) -> None:
        answer = await self._core.write(verb)
        if isinstance(answer, Refusal):
            raise answer.error
        _reply(resp, answer)

    # --- what they share ---------------------------------------------------------------------------------------------

    def _bot(self, req: Request) -> None:
        self._door.require(req, BOT, "bot", "bad bot token")

    def _worker(self, req: Request) -> str | None:
        self._door.require(req, WORKER, "worker", "bad worker token")
        worker_id = (req.get_header("X-Worker-Id") or "").strip()
        if not front.is_worker_id(worker_id):
            raise InvalidField(f"X-Worker-Id: at most {front.WORKER_MOST} printable characters", "X-Worker-Id")
        return worker_id or None

    def _job(self, tx: Tx, job_id: str) -> JobRow:
        job = mapping.find(tx, BROKER, job_id)
        if job is None:
            raise NotFound("job not found")
        return job

    async def _given(self, req: Request, most: int | None = None) -> dict[str, msgspec.Raw]:
        data = await front.read(self._core, req, most or self._dialect.body_max_bytes)
        return records.members_of(data, req.content_type or "")


def _fence(tx: Tx, job: JobRow, worker_id: str | None) -> int | None:
    """Return the fence under which a worker settles a job, which it was never told; None: it never held it.

    One that does not say who it is stands for the newest holder, as with the broker.

    Raises:
        Conflict: another holds the job.
    """
    if worker_id is None:
        return job.fence or None
    mine = attempts.newest_of(tx, job.id, mapping.machine(BROKER, worker_id))
    if mine is None and job.status == Status.RUNNING:
        if job.claimed_by == mapping.machine(BROKER, None):
            return job.fence
        raise _held_by_another(job)
    return None if mine is None else mine.fence


def _held_by_another(job: JobRow) -> Conflict:
    holder = job.worker_id or mapping.worker(BROKER, job.claimed_by)
    return Conflict(f"job is held by {holder}" if job.status == Status.RUNNING else "job is not held by this worker")
