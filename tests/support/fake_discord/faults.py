"""What goes wrong on the way: rate limits, errors, held and lost answers, by the names of the routes; and a ledger."""

import asyncio
import json
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from tests.support.fake_discord.forms import Refusal
from tests.support.fake_discord.world import World

CUT = 499


@dataclass(eq=False)
class Call:
    """One request. `status` is None until it is answered, and CUT where the answer was lost."""

    route: str
    method: str
    path: str
    headers: dict[str, str]
    body: Any
    at: float
    """When it came, by the monotonic clock, in seconds."""
    status: int | None = None


@dataclass(eq=False)
class Fault:
    """What happens to one request: an error, a limit (`retry_after` seconds), a wait, or a cut before or after it."""

    status: int = 0
    retry_after: float | None = None
    scope: str = "user"
    cut: str = ""
    wait: float = 0.0
    held: "Held | None" = None


class Held:
    """Holds answers back until `release`. `before`: nothing has happened yet; else the deed is done, unanswered."""

    def __init__(self, world: World, before: bool) -> None:
        self.before = before
        self.came = 0
        self._world = world
        self._open = threading.Event()
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def stay(self) -> None:
        gate = asyncio.Event()
        with self._world.changed:
            self._waiters.append((asyncio.get_running_loop(), gate))
            self.came += 1
            released = self._open.is_set()
            self._world.changed.notify_all()
        if not released:
            await gate.wait()

    def await_held(self, count: int = 1, seconds: float = 60.0) -> None:
        """Wait until so many requests are held."""
        self._world.wait(lambda: self.came >= count, seconds, f"{count} held")

    def release(self) -> None:
        with self._world.changed:
            self._open.set()
            waiters, self._waiters = self._waiters, []
        for loop, gate in waiters:
            loop.call_soon_threadsafe(gate.set)

    def __enter__(self) -> "Held":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@dataclass(eq=False)
class Bucket:
    """A standing limit: so many requests in so many seconds, for each channel or webhook."""

    limit: int
    per: float
    taken: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def take(self, major: str) -> tuple[int, float]:
        """Return how many are left after this one (-1: it is one too many) and the seconds until one more is free."""
        now, taken = time.monotonic(), self.taken[major]
        while taken and taken[0] <= now - self.per:
            taken.popleft()
        if len(taken) >= self.limit:
            return -1, taken[0] + self.per - now
        taken.append(now)
        return self.limit - len(taken), taken[0] + self.per - now


class Weather:
    """Middleware: writes each request down, and plays the faults that were ordered for its route."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.calls: list[Call] = []
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        self.holds: dict[str, Held] = {}
        self.buckets: dict[str, Bucket] = {}

    def order(self, route: str, fault: Fault, times: int) -> None:
        with self._world.changed:
            self.faults[route].extend([fault] * times)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        route = request.match_info.route.name or "unknown"
        if route == "socket" and not self.faults[route]:
            return await handler(request)
        raw = await request.read() if request.content_type == "application/json" else b""
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = json.loads(raw) if raw else None
        call = Call(route, request.method, request.path, headers, body, time.monotonic())
        with self._world.changed:
            self.calls.append(call)
            queue = self.faults[route]
            fault = queue.popleft() if queue else Fault(held=self.holds.get(route))
            self._world.changed.notify_all()
        answer = await self._play(request, handler, route, fault)
        with self._world.changed:
            call.status = answer.status
            self._world.changed.notify_all()
        return answer

    async def _play(self, request: web.Request, handler: Handler, route: str, fault: Fault) -> web.StreamResponse:
        if fault.wait:
            await asyncio.sleep(fault.wait)
        if fault.held and fault.held.before:
            await fault.held.stay()
        if fault.cut == "before":
            return _cut(request)
        if fault.retry_after is not None:
            return self._limited(route, fault.retry_after, fault.scope, 50, 0)
        if fault.status:
            return web.Response(status=fault.status, text="upstream error", headers={"Via": "1.1 google"})
        info = request.match_info
        major = "+".join(info.get(name, "") for name in ("channel", "application", "interaction", "token"))
        bucket = self.buckets.get(route)
        left, reset = bucket.take(major) if bucket else (49, 1.0)
        if bucket and left < 0:
            return self._limited(route, reset, "user", bucket.limit, 0)
        answer = await self._answer(request, handler)
        if fault.held and not fault.held.before:
            await fault.held.stay()
        if fault.cut == "after":
            return _cut(request)
        answer.headers.update(self._limits(route, bucket.limit if bucket else 50, left, reset))
        return answer

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refusal as e:
            return answered(e.body, e.status)
        except web.HTTPException as e:
            return answered({"message": f"{e.status}: {e.reason}", "code": 0}, e.status)

    def _limits(self, route: str, limit: int, left: int, reset: float) -> dict[str, str]:
        return {
            "Via": "1.1 google",
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(left),
            "X-RateLimit-Reset": f"{self._world.now().timestamp() + reset:.3f}",
            "X-RateLimit-Reset-After": f"{reset:.3f}",
            "X-RateLimit-Bucket": f"bucket-{route}",
        }

    def _limited(self, route: str, retry_after: float, scope: str, limit: int, left: int) -> web.Response:
        everywhere = scope == "global"
        body = {"message": "You are being rate limited.", "retry_after": round(retry_after, 3), "global": everywhere}
        answer = answered(body, 429)
        answer.headers.update({"Retry-After": str(int(retry_after) + 1), "X-RateLimit-Scope": scope})
        if everywhere:
            answer.headers.update({"X-RateLimit-Global": "true", "Via": "1.1 google"})
        else:
            answer.headers.update(self._limits(route, limit, left, retry_after))
        return answer


def answered(body: Any, status: int = 200) -> web.Response:
    """Answer JSON under the very content type that Discord uses: with a character set, clients take it for text."""
    return web.Response(body=json.dumps(body).encode(), status=status, content_type="application/json")


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=CUT)
