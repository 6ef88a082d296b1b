"""Machines, targets and joining."""

import shlex
from collections.abc import Callable

import msgspec
from falcon.asgi import Request, Response

from contract import wire
from contract.clock import iso
from contract.errors import Forbidden, InvalidField, NotFound
from spine.api.calls import TargetState
from spine.api.core import Core
from spine.queue import fleet
from spine.queue.access import Caller
from spine.queue.once import Answer
from spine.store import machines
from spine.store.engine import Tx
from spine.store.lanes import canonical

_VERBS = {"drain": "draining", "pause": "paused", "resume": "active"}


class Machines:
    """/machines, /targets and /join."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def on_get(self, req: Request, resp: Response) -> None:
        """GET /machines."""
        core = self._core
        caller = core.auth.reader(req)

        def look(tx: Tx) -> bytes:
            rows = [m for m in machines.all_of(tx) if caller.principal.sees_all or m.name == caller.name]
            found = [fleet.record(tx, row) for row in rows]
            return msgspec.json.encode(
                wire.MachineList(machines=found, paused_targets=sorted(machines.paused_targets(tx)))
            )

        if caller.principal.is_claw:  # one that asks is heard of by that: so it learns its own name
            await core.write(lambda tx: machines.seen(tx, caller.name, None))
        resp.data = await core.read(look)
        resp.content_type = "application/json"

    async def on_post_codes(self, req: Request, resp: Response) -> None:
        """POST /machines/join-codes: the code is shown this once."""
        core = self._core
        caller = core.auth.head(req)
        request = core.decode(resp, await core.body(req), wire.NewJoinCode, v0=False)
        # A proxy's word is enough here: the line is shown to the head that asked, and to nobody else.
        scheme = "https" if req.forwarded_scheme == "https" else req.scheme
        base = f"{scheme}://{req.netloc}"

        def verb(tx: Tx) -> Answer:
            code, ends = fleet.new_code(tx, caller, request.name, request.ttl_seconds)
            command = f"claw join {shlex.quote(base)} {code}"
            return Answer(
                201,
                msgspec.json.encode(wire.JoinCode(name=request.name, code=code, expires_at=iso(ends), command=command)),
            )

        await core.carry_out(req, resp, None, verb)

    async def on_post_join(self, req: Request, resp: Response) -> None:
        """POST /join: anyone with a code."""
        core = self._core
        request = core.decode(resp, await core.body(req), wire.Join, v0=False)

        def verb(tx: Tx) -> Answer:
            name, token = fleet.join(tx, request.code, request.capabilities, dict(request.facts))
            return Answer(201, msgspec.json.encode(wire.Joined(name=name, token=token)))

        try:
            await core.carry_out(req, resp, None, verb)
        except NotFound:
            core.auth.guessed(req)
            raise
        await core.reload_tokens()

    async def on_post_verb(self, req: Request, resp: Response, name: str, verb: str) -> None:
        """POST /machines/:id/{drain,pause,resume,revoke,rotate,facts}."""
        core = self._core
        if verb == "facts":
            await self._facts(req, resp, name)
            return
        if verb == "rotate":
            await self._rotate(req, resp, name)
            return
        caller = core.auth.head(req)
        core.decode(resp, await core.body(req), wire.Nothing, v0=False)
        act = self._act(caller, name, verb)
        await core.carry_out(req, resp, None, act)
        await core.reload_tokens()

    def _act(self, caller: Caller, name: str, verb: str) -> Callable[[Tx], Answer]:
        if verb == "revoke":
            return lambda tx: Answer(200, msgspec.json.encode(fleet.record(tx, fleet.revoke(tx, caller, name))))
        state = _VERBS.get(verb)
        if state is None:
            known = ", ".join((*_VERBS, "revoke", "rotate"))
            raise InvalidField(f"verb: {verb[:40]!r} is none of {known}", "verb")
        return lambda tx: Answer(200, msgspec.json.encode(fleet.record(tx, fleet.set_state(tx, caller, name, state))))

    async def _rotate(self, req: Request, resp: Response, name: str) -> None:
        """Give a new token to a machine; a claw may ask for its own."""
        core = self._core
        caller = core.auth.worker(req)
        if not caller.principal.is_head and caller.name != name:
            raise Forbidden("a claw may rotate its own token only")
        request = core.decode(resp, await core.body(req), wire.Rotate, v0=False)

        def verb(tx: Tx) -> Answer:
            if caller.principal.is_claw:
                machines.seen(tx, name, None)
            token = fleet.rotate(tx, caller, name, request.grace_seconds)
            return Answer(201, msgspec.json.encode(wire.Joined(name=name, token=token)))

        await core.carry_out(req, resp, None, verb)
        await core.reload_tokens()

    async def _facts(self, req: Request, resp: Response, name: str) -> None:
        """Keep what a claw says of itself."""
        core = self._core
        caller = core.auth.claw(req)
        if caller.name != name:
            raise Forbidden("a claw speaks of itself only")
        request = core.decode(resp, await core.body(req), wire.Facts, v0=False)
        facts = msgspec.json.encode(request.facts).decode()
        if len(facts) > 8192:
            raise InvalidField("facts: at most 8192 bytes", "facts")

        def verb(tx: Tx) -> Answer:
            machines.seen(tx, name, canonical(request.capabilities))
            machines.set_facts(tx, name, facts)
            row = machines.find(tx, name)
            return Answer(200, msgspec.json.encode(fleet.record(tx, row)) if row else b"{}")

        await core.carry_out(req, resp, None, verb)

    async def on_post_target(self, req: Request, resp: Response, name: str, verb: str) -> None:
        """POST /targets/:name/{pause,resume}."""
        core = self._core
        caller = core.auth.head(req)
        core.decode(resp, await core.body(req), wire.Nothing, v0=False)
        if verb not in ("pause", "resume"):
            raise InvalidField(f"verb: {verb[:40]!r} is none of pause, resume", "verb")
        if name != wire.ANY_TARGET and name not in core.rules.targets:
            raise NotFound(f"there is no target {name[:64]}")

        def act(tx: Tx) -> Answer:
            fleet.pause_target(tx, caller, name, verb == "pause")
            return Answer(200, msgspec.json.encode(TargetState(target=name, paused=verb == "pause")))

        await core.carry_out(req, resp, None, act)
