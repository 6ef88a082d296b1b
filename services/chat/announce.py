"""The front's own door: notices that the spine signs, and a look at how the front does.

A notice is answered with success only when its chat has taken it; until then the spine's outbox keeps it.
"""

import asyncio
import hmac
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import structlog
from aiohttp import web

from chat.render import Renderer, buttons
from chat.settings import notices_key
from chat.spine import Spine
from chat.threads import Threads
from chat.transport import CANCEL, Button, CannotSay, Reply, Transport, key_of
from contract.durable import write_durably
from contract.errors import SpineError

_log = structlog.get_logger()

BODY_MOST = 1024 * 1024
BODY_SECONDS = 15.0
SKEW_SECONDS = 300
REMEMBERED = 1000
FILE = "announced.json"
_LOOK_SECONDS = 3.0
_ID_MOST = 200
Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _About(msgspec.Struct):
    id: str
    fence: int | None = None


class _Data(msgspec.Struct):
    title: str
    text: str = ""
    cut: bool = False
    job: _About | None = None


class _Event(msgspec.Struct):
    """A CloudEvent as the spine's notices send it."""

    id: str
    type: str
    data: _Data


class Answer(NamedTuple):
    """What the sender is told."""

    status: int
    why: str


class Notices:
    """Takes notices, says each once, one after another.

    Args:
        secret: with which they are signed.
        state_dir: where it is kept which ones were said.
        clock: wall seconds.
    """

    def __init__(
        self,
        secret: str,
        transports: Iterable[Transport],
        spine: Spine,
        renderer: Renderer,
        state_dir: Path,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key, self._path, self._clock = notices_key(secret), state_dir / FILE, clock
        self._places = [transport for transport in transports if transport.announces]
        self._spine, self._renderer = spine, renderer
        self._disk, self._turn = Threads(1, "announced"), asyncio.Lock()
        self._said: list[str] | None = None

    async def handle(self, request: web.Request) -> web.Response:
        """POST /notices."""
        body = await body_of(request)
        answer = self._verify(request.headers, body)
        if answer is None:
            answer = await self._take(request.headers["webhook-id"], body)
        if answer.status >= 400:
            _log.warning("chat.notice_refused", status=answer.status, why=answer.why)
        return web.json_response({"ok": answer.status < 400, "detail": answer.why}, status=answer.status)

    def _verify(self, headers: Any, body: bytes) -> Answer | None:
        """Return why a notice is not the spine's, or too old to be a first try; None for one to be taken."""
        notice_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not 0 < len(notice_id) <= _ID_MOST or not stamp.isdecimal() or len(stamp) > 12:
            return Answer(400, "webhook-id, webhook-timestamp: missing, or not as Standard Webhooks have them")
        signed = b".".join((notice_id.encode("utf-8", "surrogateescape"), stamp.encode(), body))
        digest = hmac.new(self._key, signed, sha256).digest()
        wanted = b"v1," + b64encode(digest)
        given = headers.get("webhook-signature", "").encode("utf-8", "surrogateescape").split(b" ")
        if not any(hmac.compare_digest(wanted, part) for part in given):
            return Answer(401, "webhook-signature: not made with this notice and CHAT_NOTICES_SECRET")
        if abs(self._clock() - int(stamp)) > SKEW_SECONDS:
            return Answer(401, "webhook-timestamp: more than 5 minutes off; are both clocks right?")
        return None

    async def _take(self, notice_id: str, body: bytes) -> Answer:
        try:
            event = msgspec.json.decode(body, type=_Event)
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            return Answer(400, f"not a notice of the spine: {e}")
        async with self._turn:
            if self._said is None:
                self._said = await self._disk.run(self._read)
            marks = {f"{place.name} {notice_id}": place for place in self._places}
            left = {mark: place for mark, place in marks.items() if mark not in self._said}
            if not left:
                return Answer(200, "said before" if marks else "there is no place for notices")
            reply = await self._reply(event)
            for mark, place in left.items():
                try:
                    await place.announce(reply, key_of("notice", notice_id))
                except CannotSay as e:
                    return Answer(503, str(e))
                # At once: when another place takes it later, it is not said here again.
                self._said = [*self._said, mark][-REMEMBERED:]
                await self._disk.run(write_durably, self._path, msgspec.json.encode(self._said))
        return Answer(200, "said")

    async def _reply(self, event: _Event) -> Reply:
        said, job = event.data, event.data.job
        text = self._renderer.notice(said.title, said.text, said.cut, None if job is None else job.id)
        return Reply(text, await self._buttons(job))

    async def _buttons(self, about: _About | None) -> tuple[Button, ...]:
        """Return what may be decided about the job, as it stands when this is said."""
        if about is None:
            return ()
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                job = await self._spine.call(self._spine.client.job, about.id)
        except (SpineError, TimeoutError):
            return ()
        if about.fence is not None and about.fence != job.fence:
            return ()
        return tuple(button for button in buttons(job) if button.verb != CANCEL)

    def _read(self) -> list[str]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[str])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError) as e:
            _log.error("chat.announced_unreadable", path=str(self._path), why=str(e))
            return []


async def body_of(request: web.Request) -> bytes:
    """Return a request's body.

    Raises:
        web.HTTPException: it does not come in time, or is too large.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError as e:
        raise web.HTTPRequestTimeout from e


async def listen(address: tuple[str, int], routes: Iterable[tuple[str, str, Handle]]) -> tuple[web.AppRunner, int]:
    """Serve the routes (method, path, handler) until the runner is cleaned up; return it and the port.

    Raises:
        OSError: the address is taken, or not ours.
    """
    app = web.Application(client_max_size=BODY_MOST)
    for method, path, handle in routes:
        app.router.add_route(method, path, handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=3.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, *address).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner, runner.addresses[0][1]
