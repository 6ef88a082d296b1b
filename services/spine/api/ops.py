"""Probes and documents: health, readiness, metrics, the skill."""

import asyncio
import hashlib
from importlib import resources
from typing import Any

import msgspec
from falcon.asgi import Request, Response

from contract import __version__
from contract.clock import Clock, iso
from contract.errors import Draining
from spine.api.core import Core
from spine.store import meta

# The route is open to anyone: a probe may cost a commit only so often.
_WRITE_SECONDS = 5.0


class Ops:
    """Routes that tell about the server itself."""

    def __init__(self, core: Core, clock: Clock) -> None:
        self._core, self._clock = core, clock
        self._written_at = float("-inf")
        path = core.settings.skill_md_path
        text = path.read_text(encoding="utf-8") if path else built_in_skill()
        self._skill = text.encode()
        self._skill_tag = hashlib.sha256(self._skill).hexdigest()[:16]

    async def on_get_health(self, req: Request, resp: Response) -> None:
        """GET /health, /healthz: the process answers."""
        _json(resp, {"ok": True, "time": iso(self._clock.now()), "version": __version__})

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
        _json(resp, {"ok": True, "version": __version__, "draining": False})

    async def on_get_metrics(self, req: Request, resp: Response) -> None:
        """GET /metrics: any token."""
        self._core.auth.caller(req)
        resp.data = await asyncio.to_thread(self._core.metrics.page)
        resp.content_type = "text/plain; version=0.0.4; charset=utf-8"

    async def on_get_skill(self, req: Request, resp: Response) -> None:
        """GET /skill.md."""
        resp.etag = self._skill_tag
        resp.content_type = "text/markdown; charset=utf-8"
        if req.if_none_match and any(tag in ("*", self._skill_tag) for tag in req.if_none_match):
            resp.status = 304
            return
        resp.data = self._skill


def built_in_skill() -> str:
    """Return the skill document that ships with the server."""
    return (resources.files("spine.api") / "skill.md").read_text(encoding="utf-8")


def _json(resp: Response, value: dict[str, Any]) -> None:
    resp.data = msgspec.json.encode(value)
    resp.content_type = "application/json"
