"""Named leases over HTTP: take, renew, release, read."""

import msgspec
from falcon.asgi import Request, Response

from contract import wire
from contract.errors import InvalidField
from spine.api.body import LEASE_NAME_MOST, text_of
from spine.api.core import Core
from spine.queue import named
from spine.queue.once import Answer
from spine.store.engine import Tx

_DATA_MOST = 16 * 1024


class NamedLeases:
    """GET /leases/:name and POST /leases/:name/{take,renew,release}."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def on_get(self, req: Request, resp: Response, name: str) -> None:
        """GET /leases/:name."""
        self._core.auth.caller(req)
        resp.data = await self._core.read(lambda tx: msgspec.json.encode(named.record(tx, named.read(tx, _name(name)))))
        resp.content_type = "application/json"

    async def on_post_take(self, req: Request, resp: Response, name: str) -> None:
        """POST /leases/:name/take."""
        core = self._core
        caller = core.auth.worker(req)
        request = core.decode(resp, await core.body(req), wire.TakeLease, {"data": _DATA_MOST}, v0=False)
        ttl_ms, data = int(request.ttl_seconds * 1000), text_of(request.data)

        def verb(tx: Tx) -> Answer:
            row = named.take(tx, caller, _name(name), request.holder, ttl_ms, data)
            return Answer(200, msgspec.json.encode(named.record(tx, row)))

        await core.carry_out(req, resp, None, verb)

    async def on_post_renew(self, req: Request, resp: Response, name: str) -> None:
        """POST /leases/:name/renew."""
        core = self._core
        caller = core.auth.worker(req)
        request = core.decode(resp, await core.body(req), wire.RenewLease, {"data": _DATA_MOST}, v0=False)
        ttl_ms, data = int(request.ttl_seconds * 1000), text_of(request.data)

        def verb(tx: Tx) -> Answer:
            row = named.renew(tx, caller, _name(name), request.fence, ttl_ms, data)
            return Answer(200, msgspec.json.encode(named.record(tx, row)))

        await core.carry_out(req, resp, None, verb)

    async def on_post_release(self, req: Request, resp: Response, name: str) -> None:
        """POST /leases/:name/release."""
        core = self._core
        caller = core.auth.worker(req)
        request = core.decode(resp, await core.body(req), wire.ReleaseLease, v0=False)

        def verb(tx: Tx) -> Answer:
            row = named.release(tx, caller, _name(name), request.fence)
            return Answer(200, msgspec.json.encode(named.record(tx, row)))

        await core.carry_out(req, resp, None, verb)


def _name(name: str) -> str:
    if not (0 < len(name) <= LEASE_NAME_MOST and name.isascii() and name.isprintable()):
        raise InvalidField(f"name: 1 to {LEASE_NAME_MOST} printable ASCII characters", "name")
    return name
