"""The Skyclaw dialect: hosts register, claim and complete; clients enqueue (contract: Skyclaw, sections 1 to 4).

What is other than there, on purpose: refusals have codes that say what they are; a host's heartbeat extends its leases;
how many it has is counted, not believed; a repeated completion is answered as the first one was.
"""

import dataclasses
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog
from falcon.asgi import Request, Response

from contract import wire
from contract.clock import iso
from contract.errors import BadJson, Conflict, IdempotencyMismatch, InvalidField, NotFound
from contract.states import TERMINAL, Status
from spine.api.core import Core
from spine.dialect_settings import Dialect
from spine.facades import front, mapping, replicate
from spine.facades import skyclaw_records as records
from spine.facades.front import App, Door, decoded, members, value
from spine.facades.mapping import ANY, SKYCLAW, as_json, clean, cut
from spine.facades.nodes import node_of
from spine.facades.skyclaw_fields import at_least_one, capabilities_of, host_id_of
from spine.facades.skyclaw_records import OUTPUTS, Facts
from spine.queue import claim, settle, submit
from spine.queue.once import Answer, Key, key_of, once
from spine.store import attempts, leases, listing, machines
from spine.store.engine import Refusal, Tx
from spine.store.jobs import JobRow
from spine.store.lanes import canonical
from spine.store.machines import MachineRow

_log = structlog.get_logger()
HEADER = "x-skyclaw-token"
ENDED_MOST, ENDED_BYTES = 10_000, 32 * 1024 * 1024
_KEY_MOST = 255
TIMEOUT_MOST_MS = 2_592_000_000  # a month
# Method and the resource's suffix of each path.
ROUTES = {
    "/health": ("GET", "health"),
    "/v1/state": ("GET", "state"),
    "/v1/hosts/register": ("POST", "register"),
    "/v1/hosts/{host_id}/heartbeat": ("POST", "heartbeat"),
    "/v1/hosts/{host_id}/claim": ("POST", "claim"),
    "/v1/jobs": ("POST", "jobs"),
    "/v1/jobs/{job_id}/complete": ("POST", "complete"),
    "/v1/replicate/snapshot": ("POST", "snapshot"),
}
# Which status an error has, where it is another than in our own dialect.
STATUS = {InvalidField: 400, IdempotencyMismatch: 409}
Verb = Callable[[Tx], dict[str, Any] | Refusal]


class SkyclawDoor(Door):
    """One token for everything, asked for before anything else (contract: section 1)."""

    async def process_request(self, req: Request, resp: Response) -> None:
        """Falcon's hook before routing."""
        self.require(req, HEADER, "skyclaw", "unauthorized")
        if req.method not in ("GET", "POST"):
            raise NotFound("not found")


def tell(resp: Response, status: int, text: str) -> None:
    """Put a refusal into the dialect's form."""
    resp.status = status
    _reply(resp, {"error": text})


def _reply(resp: Response, found: dict[str, Any]) -> None:
    resp.data = msgspec.json.format(msgspec.json.encode(found), indent=2)
    resp.content_type = "application/json; charset=utf-8"


def build(core: Core, dialect: Dialect) -> App:
    """Build the dialect's application."""
    if dialect.peers:
        # Not asked whether they do: they may start later than this one.
        _log.warning("skyclaw.peers_must_share_the_store", peers=len(dialect.peers))
    app = front.make_app(SkyclawDoor(core, dialect.tokens), tell, STATUS)
    resource = Skyclaw(core, dialect)
    for path, (_method, suffix) in ROUTES.items():
        app.add_route(path, resource, suffix=suffix)
    return app


class Skyclaw:
    """All routes of a coordinator."""

    def __init__(self, core: Core, dialect: Dialect) -> None:
        self._core, self._dialect = core, dialect
        self._rules = dataclasses.replace(core.rules, lease_ms=dialect.lease_ms)
        self._node = node_of(core.settings, dialect, core.store_id)

    # --- what is there -----------------------------------------------------------------------------------------------

    async def on_get_health(self, req: Request, resp: Response) -> None:
        """GET /health: true only when the store answers."""
        await self._core.read(lambda tx: None)
        _reply(resp, {"ok": True, "nodeId": self._node.id})

    async def on_get_state(self, req: Request, resp: Response) -> None:
        """GET /v1/state: all hosts, all unfinished jobs, and of the others the newest 10,000 or 32 MiB."""

        def look(tx: Tx) -> dict[str, Any]:
            rows, size = listing.unfinished_of_skyclaw(tx), 0
            for n, row in enumerate(listing.ended_of_skyclaw(tx)):
                size += len(row.spec) + len(row.result or "") + 1000
                if n == ENDED_MOST or size > ENDED_BYTES:
                    break
                rows.append(row)
            rows.sort(key=lambda row: (row.created_at, row.seq))
            held = leases.counts_held(tx)
            hosts = [self._host(row, held) for row in machines.all_of(tx) if row.name.startswith(f"{SKYCLAW}:")]
            known = sorted((host for host in hosts if host is not None), key=lambda host: str(host["registeredAt"]))
            return {
                "nodeId": self._node.id,
                "hosts": known,
                "jobs": [records.job(row, self._node.writer) for row in rows],
            }

        _reply(resp, await self._core.read(look))

    # --- hosts -------------------------------------------------------------------------------------------------------

    async def on_post_register(self, req: Request, resp: Response) -> None:
        """POST /v1/hosts/register."""
        data = await self._body(req)
        given = members(data)
        name, host_id = value(given, "name"), value(given, "hostId")
        if not isinstance(name, str) or not name.strip():
            raise InvalidField("name is required", "name")
        if host_id is not None and not isinstance(host_id, str):
            raise InvalidField("hostId: expected a string", "hostId")
        found = host_id_of((host_id or "").strip()) or f"host_{uuid.uuid4()}"
        capabilities = capabilities_of(value(given, "capabilities"), "capabilities")
        most = at_least_one(value(given, "maxParallel"))

        def verb(tx: Tx) -> dict[str, Any]:
            machine = mapping.machine(SKYCLAW, found)
            row = machines.meet(tx, machine, canonical([SKYCLAW, *capabilities]))
            before = records.facts(row)
            known = Facts(
                name=clean(name.strip())[:200],
                capabilities=tuple(capabilities),
                max_parallel=most,
                registered_at=iso(tx.now) if before is None else before.registered_at,
                entered_at=tx.now,
                version=1 if before is None else before.version + 1,
            )
            machines.set_facts(tx, machine, records.with_facts(row, known))
            held = leases.count_held(tx, machine)
            return {"host": records.host(found, known, tx.now, held, self._node.writer)}

        await self._carry_out(req, resp, data, "/v1/hosts/register", verb)

    async def on_post_heartbeat(self, req: Request, resp: Response, host_id: str) -> None:
        """POST /v1/hosts/:id/heartbeat: what the host holds is stretched; the number that it sends is hearsay."""
        host_id = decoded(host_id)
        data = await self._body(req)
        members(data)

        def verb(tx: Tx) -> dict[str, Any]:
            row, known = self._known(tx, host_id)
            machines.note_seen(tx, row, row.name, None)
            # A host that has asked for more during a whole lease runs none of what it holds: an answer was lost, or a
            # result was thrown away. And what was claimed before it registered last has lost its process.
            if not known.idle_since or tx.now - known.idle_since < self._rules.lease_ms:
                for job in leases.held_by(tx, row.name, _entered(tx, known)):
                    settle.stretch(tx, self._rules, job)
            return {"host": records.host(host_id, known, tx.now, leases.count_held(tx, row.name), self._node.writer)}

        await self._carry_out(req, resp, data, f"/v1/hosts/{host_id}/heartbeat", verb)

    async def on_post_claim(self, req: Request, resp: Response, host_id: str) -> None:
        """POST /v1/hosts/:id/claim: the oldest job that it can do, while it holds fewer than it may."""
        host_id = decoded(host_id)
        data = await self._body(req)
        holds: list[str] = []

        def verb(tx: Tx) -> dict[str, Any]:
            tx.alone()  # two spines that count at the same moment would both find room
            row, known = self._known(tx, host_id)
            full = leases.count_held(tx, row.name, _entered(tx, known)) >= known.max_parallel
            self._note_idle(tx, row, known, full)
            if full:
                return {"job": None}
            can = frozenset([SKYCLAW, *known.capabilities])
            taken = claim.claim_next(tx, self._rules, mapping.holder(SKYCLAW, host_id), ANY, can, 1, SKYCLAW)
            if not taken:
                return {"job": None}
            holds.append(f"{taken[0].id}:{taken[0].fence}")
            return {"job": records.job(taken[0], self._node.writer)}

        await self._carry_out(req, resp, data, f"/v1/hosts/{host_id}/claim", verb, holds)

    # --- jobs --------------------------------------------------------------------------------------------------------

    async def on_post_jobs(self, req: Request, resp: Response) -> None:
        """POST /v1/jobs: enqueue."""
        data = await self._body(req)
        given = members(data)
        payload = value(given, "payload")
        if not isinstance(payload, dict) or not payload.get("kind"):
            raise InvalidField("payload is required", "payload")
        requirement = value(given, "requirement")
        if requirement is not None and not isinstance(requirement, dict):
            raise InvalidField("requirement: expected an object", "requirement")
        named = None if requirement is None else requirement.get("requiredCapabilities")
        asked = capabilities_of(named, "requirement.requiredCapabilities")
        wanted = wire.Submit(
            target=wire.ANY_TARGET,
            spec=given["payload"],
            requires=[SKYCLAW, *asked],
            timeout_seconds=self._timeout_seconds(payload),
        )

        def verb(tx: Tx) -> dict[str, Any]:
            job, _new = submit.submit(tx, self._rules, mapping.submitter(SKYCLAW), wanted, f"job_{uuid.uuid4()}")
            return {"job": records.job(job, self._node.writer)}

        await self._carry_out(req, resp, data, "/v1/jobs", verb)

    def _timeout_seconds(self, payload: dict[str, Any]) -> int:
        """Return how long a host lets a job run (contract: section 8): its lease is not extended for longer."""
        named = payload.get("timeoutMs")
        if isinstance(named, bool) or not isinstance(named, (int, float)) or not named < TIMEOUT_MOST_MS:
            named = self._dialect.timeout_ms
        return max(1, -int(-named // 1000))

    async def on_post_complete(self, req: Request, resp: Response, job_id: str) -> None:
        """POST /v1/jobs/:id/complete."""
        job_id = decoded(job_id)
        data = await front.read(self._core, req, front.result_body_most(self._dialect))
        given = members(data)
        host_id, success, error = value(given, "hostId"), bool(value(given, "success")), value(given, "error")
        result = as_json(self._outputs(given))
        most = self._core.settings.field_max_bytes
        told = None if error is None else cut(error if isinstance(error, str) else as_json(error), most)

        def verb(tx: Tx) -> dict[str, Any] | Refusal:
            row, known = self._known(tx, host_id if isinstance(host_id, str) else as_json(host_id))
            job = mapping.find(tx, SKYCLAW, job_id)
            if job is None:
                raise NotFound(f"unknown job: {job_id}")
            self._note_idle(tx, row, known, False)
            ended = self._complete(tx, row, job, success, result, told)
            return ended if isinstance(ended, Refusal) else {"job": records.job(ended, self._node.writer)}

        await self._carry_out(req, resp, data, f"/v1/jobs/{job_id}/complete", verb)

    def _outputs(self, given: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
        """Return a result's outputs as they came; texts that are too long together are cut, and say so."""
        found: dict[str, Any] = {name: given[name] for name in OUTPUTS if name in given}
        values = {name: value(given, name) for name in found}  # they are kept as they came, so they must be JSON
        if sum(len(raw) for raw in found.values()) > self._dialect.result_max_bytes:
            # Escapes may make of each byte six.
            most = (self._dialect.result_max_bytes - front.MEMBERS_BYTES) // (len(OUTPUTS) * front.ESCAPE_BYTES)
            texts = {n: v if isinstance(v, str) else as_json(v) for n, v in values.items() if len(found[n]) > most}
            found |= {name: cut(text, most) for name, text in texts.items()}
        return found

    def _complete(
        self, tx: Tx, host: MachineRow, job: JobRow, success: bool, result: str, error: str | None
    ) -> JobRow | Refusal:
        """Settle a job under the fence of the host's newest claim of it, which the host was never told."""
        fence = job.fence
        if job.claimed_by != host.name or job.status != Status.RUNNING:
            mine = attempts.newest_of(tx, job.id, host.name)
            if mine is None:
                raise _refusal(job)
            fence = mine.fence
            if job.status in TERMINAL and fence == job.fence and mine.outcome in ("done", "failed"):
                same = success == (mine.outcome == "done") and job.result == result
                if same and (success or mine.error == error):
                    return job
                raise _refusal(job)
        caller = mapping.holder(SKYCLAW, mapping.worker(SKYCLAW, host.name))
        if success:
            ended = settle.complete(tx, caller, job.id, fence, result)
        else:
            ended = settle.fail(tx, caller, job.id, fence, error, False, result)
        if isinstance(ended, Refusal):
            return Refusal(_refusal(job))  # what came too late is kept with its attempt
        return ended

    def _note_idle(self, tx: Tx, row: MachineRow, known: Facts, idle: bool) -> None:
        """Note since when a host asks for work although it is full; a daemon that works does not ask."""
        if idle != bool(known.idle_since):
            since = tx.now if idle else 0
            machines.set_facts(tx, row.name, records.with_facts(row, msgspec.structs.replace(known, idle_since=since)))

    # --- peers -------------------------------------------------------------------------------------------------------

    async def on_post_snapshot(self, req: Request, resp: Response) -> None:
        """POST /v1/replicate/snapshot: what is not known here is added, all of it or nothing."""
        state = replicate.parse(members(await self._body(req)))
        changed = await self._core.write(lambda tx: replicate.merge(tx, self._rules, state))
        _reply(resp, {"ok": True, "changed": changed, "nodeId": self._node.id})

    # --- what they share ---------------------------------------------------------------------------------------------

    async def _body(self, req: Request) -> bytes:
        return await front.read(self._core, req, self._dialect.body_max_bytes)

    def _known(self, tx: Tx, host_id: str) -> tuple[MachineRow, Facts]:
        row = machines.find(tx, mapping.machine(SKYCLAW, host_id)) if host_id else None
        known = None if row is None else records.facts(row)
        if row is None or known is None:
            raise NotFound(f"unknown host: {host_id}")
        return row, known

    def _host(self, row: MachineRow, held: Mapping[str, int]) -> dict[str, Any] | None:
        known = records.facts(row)
        if known is None:
            return None
        host_id = mapping.worker(SKYCLAW, row.name) or ""
        return records.host(host_id, known, row.seen_at, held.get(row.name, 0), self._node.writer)

    async def _carry_out(
        self, req: Request, resp: Response, data: bytes, route: str, verb: Verb, holds: list[str] | None = None
    ) -> None:
        """Run a verb under its idempotency key, when there is one, and answer (contract: section 6)."""
        key = self._key(req, route, data)

        def answered(tx: Tx) -> Answer | Refusal:
            if holds is not None:
                holds.clear()  # an operation may be run again
            found = verb(tx)
            if isinstance(found, Refusal):
                return found
            return Answer(200, msgspec.json.format(msgspec.json.encode(found), indent=2), tuple(holds or ()))

        try:
            answer = await self._core.write(lambda tx: once(tx, key, answered))
        except IdempotencyMismatch as e:
            raise IdempotencyMismatch(f"idempotency key reuse conflict for route {route}") from e
        if isinstance(answer, Refusal):
            raise answer.error
        resp.data = answer.body
        resp.content_type = "application/json; charset=utf-8"

    def _key(self, req: Request, route: str, data: bytes) -> Key | None:
        text = (req.get_header("X-Idempotency-Key") or "").strip()
        if not text:
            return None
        if len(text) > _KEY_MOST:
            raise InvalidField(f"X-Idempotency-Key: 1 to {_KEY_MOST} characters", "X-Idempotency-Key")
        try:
            same = msgspec.json.encode(msgspec.json.decode(data.strip() or b"{}"), order="deterministic")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
            raise BadJson(f"the body is not JSON: {e}") from e
        return key_of(SKYCLAW, "POST", route, text, same)


def _refusal(job: JobRow) -> Conflict:
    """Tell why a completion is not taken (contract: section 3, in its order)."""
    if job.status in TERMINAL:
        return Conflict(f"job {job.id} is not leased")
    holder = mapping.worker(SKYCLAW, job.claimed_by) if job.status == Status.RUNNING else None
    return Conflict(f"job {job.id} is assigned to {holder or 'nobody'}")


def _entered(tx: Tx, known: Facts) -> int:
    """Return when a host registered last (ms); after the clock was set back over it, ever."""
    return known.entered_at if known.entered_at <= tx.now else 0
