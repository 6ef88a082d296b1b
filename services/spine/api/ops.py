"""Probes: health, readiness, metrics."""

import asyncio

import msgspec
from falcon.asgi import Request, Response

from contract import __version__
from contract.clock import Clock, iso
from contract.errors import Draining
from contract.wire import Record
from spine.api.calls import Health, Ready
from spine.api.core import Core
from spine.store import meta

# The route is open to anyone: a probe may cost a commit only so often.
_WRITE_SECONDS = 5.0


class Ops:
    """Routes that tell about the server itself."""

    def __init__(self, core: Core, clock: Clock) -> None:
        self._core, self._clock = core, clock
        self._written_at = float("-inf")

    async def on_get_health(self, req: Request, resp: Response) -> None:
        """GET /health, /healthz: the process answers."""
        _json(resp, Health(ok=True, time=iso(self._clock.now()), version=__version__))

    async def on_get_ready(self, req: Request, resp: Response) -> None:
        """GET /ready: the server is not stopping, the writer runs, and the disk took a write a moment ago."""
        if self._core.hub.draining:
            raise Draining
        now = asyncio.get_running_loop().time()
        if now - self._written_at > _WRITE_SECONDS:
            await self._core.write(lambda tx: meta.put(tx, "ready_at", str(tx.now)))
            self._written_at = now
        else:
            await self._core.write(lambda tx: None)
        _json(resp, Ready(ok=True, version=__version__, draining=False))

    async def on_get_metrics(self, req: Request, resp: Response) -> None:
        """GET /metrics: any token."""
        self._core.auth.caller(req)
        resp.data = await asyncio.to_thread(self._core.metrics.page)
        resp.content_type = "text/plain; version=0.0.4; charset=utf-8"


def _json(resp: Response, value: Record) -> None:
    resp.data = msgspec.json.encode(value)
    resp.content_type = "application/json"
