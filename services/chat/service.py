"""`spine-chat run`: puts the parts together, and ends them in order."""

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import structlog
from aiohttp import web

from chat import exits
from chat.announce import Handle, Notices, body_of, listen
from chat.commands import Commands
from chat.creating import Creator
from chat.discord_front import DiscordFront
from chat.front import Door, Front
from chat.limits import Limits
from chat.openclaw_front import OpenClawFront
from chat.owed import Book
from chat.render import Renderer
from chat.settings import Settings
from chat.spine import Spine
from chat.transport import Refused, Transport
from chat.waits import Waits
from contract.liveness import Beacon
from contract.sdnotify import Notifier

_log = structlog.get_logger()

BEAT_SECONDS = 5.0
STOP_SECONDS = 8.0
ALIVE, LOCK = "alive", "lock"


class CannotRun(Exception):
    """The service cannot begin, or go on; `code` is the exit code."""

    def __init__(self, why: str, code: int) -> None:
        super().__init__(why)
        self.code = code


class Service:
    """The parts of one process. Made and run on the event loop."""

    def __init__(self, settings: Settings, notifier: Notifier) -> None:
        self._settings, self._notifier = settings, notifier
        self._over: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._beacon = Beacon(settings.state_dir / ALIVE, notifier)
        renderer = Renderer(settings.public_url, settings.secrets())
        spine = Spine(settings.base_urls, settings.token, settings.newer_token, self._locked_out)
        self._spine = spine
        self._transports: dict[str, Transport] = {}
        doors: dict[str, Door] = {}
        self._routes: list[tuple[str, str, Handle]] = [("GET", "/health", self._health)]
        if settings.discord is not None:
            discord = DiscordFront(settings.discord)
            self._transports[discord.name] = discord
            doors[discord.name] = Door(settings.discord.users, settings.discord.channel_id)
        if settings.openclaw is not None:
            gateway = OpenClawFront(settings.openclaw)
            self._transports[gateway.name] = gateway
            doors[gateway.name] = Door(settings.openclaw.users, anywhere=True)
            self._routes.append(("POST", "/openclaw", hook(gateway)))
        self._waits = Waits(Book(settings.state_dir), spine, renderer, self._transports, settings.wait_seconds)
        limits = Limits(spine, settings.cooldown_seconds, settings.max_concurrent)
        creator = Creator(spine, self._waits, limits)
        self._front = Front(doors, Commands(spine, creator, renderer, settings.target))
        if settings.notices_secret is not None:
            places = list(self._transports.values())
            notices = Notices(settings.notices_secret, places, spine, renderer, settings.state_dir)
            self._routes.append(("POST", "/notices", notices.handle))

    async def run(self) -> int:
        """Serve until a signal comes, or a token is refused for good; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, exits.OK)
        runner: web.AppRunner | None = None
        tasks: list[asyncio.Task[None]] = []
        try:
            tasks.append(asyncio.create_task(self._beat()))
            if self._settings.listen is not None:
                runner = await self._listen(self._settings.listen)
            await self._spine.check()
            owed = await self._waits.take_up()
            tasks += [asyncio.create_task(self._transport(found)) for found in self._transports.values()]
            self._notifier.ready("serves")
            _log.info("chat.started", transports=", ".join(self._transports), owed=owed)
            code = await self._over
        finally:
            self._notifier.stopping("stops")
            await self._stop(runner, tasks)
        _log.info("chat.stopped", code=code)
        return code

    async def _listen(self, address: tuple[str, int]) -> web.AppRunner:
        try:
            runner, port = await listen(address, self._routes)
        except OSError as e:
            why = f"CHAT_LISTEN: cannot listen on {address[0]}:{address[1]}: {os.strerror(e.errno or 0)}"
            raise CannotRun(why, exits.CANNOT_WRITE) from e
        _log.info("chat.listening", host=address[0], port=port)
        return runner

    async def _transport(self, transport: Transport) -> None:
        try:
            await transport.run(self._front)
            _log.error("chat.transport_ended", transport=transport.name)
            self._end(exits.CHECK_FAILED)
        except Refused as e:
            _log.error("chat.refused", transport=transport.name, why=str(e))
            self._end(exits.CONFIG)
        except Exception:  # noqa: BLE001 - the outermost turn: a front that hears nothing is started again
            _log.exception("chat.transport_broke", transport=transport.name)
            self._end(exits.CHECK_FAILED)

    async def _beat(self) -> None:
        while True:
            self._beacon.beat()
            await asyncio.sleep(BEAT_SECONDS)

    async def _health(self, request: web.Request) -> web.StreamResponse:
        """GET /health: whether messages are heard, and ends of jobs."""
        heard = {name: transport.ready for name, transport in self._transports.items()}
        found = {"ok": all(heard.values()) and self._waits.following, "transports": heard}
        return web.json_response({**found, "events": self._waits.following}, status=200 if found["ok"] else 503)

    async def _stop(self, runner: web.AppRunner | None, tasks: list[asyncio.Task[None]]) -> None:
        """End all parts within some seconds: what is owed is on disk already."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                if runner is not None:
                    await runner.cleanup()  # first: an announcement that is being said is told to its sender
                await self._waits.close()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        except TimeoutError:
            _log.warning("chat.stop_hung", seconds=STOP_SECONDS)

    def _locked_out(self, why: str) -> None:
        fix = "give it a token of the role chat in SPINE_TOKEN, or correct the file of SPINE_TOKEN_FILE"
        _log.error("chat.locked_out", why=why, fix=fix)
        self._end(exits.CONFIG)

    def _end(self, code: int) -> None:
        if not self._over.done():
            self._over.set_result(code)


def hook(gateway: OpenClawFront) -> Handle:
    """Return the handler of POST /openclaw, by which a gateway tells what was written in its chats."""

    async def handle(request: web.Request) -> web.StreamResponse:
        status, why = gateway.take(request.headers.get("Authorization", ""), await body_of(request))
        return web.Response(status=status, text=why or None)

    return handle


@contextlib.contextmanager
def only_one(state_dir: Path) -> Iterator[None]:
    """Hold the state folder, made if it is not there.

    Raises:
        CannotRun: it cannot be used, or another process has it.
    """
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        Book(state_dir).open()
        fd = os.open(state_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise CannotRun(f"CHAT_STATE_DIR: {state_dir} cannot be used: {e.strerror}", exits.CANNOT_WRITE) from e
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as e:
        os.close(fd)
        raise CannotRun(f"CHAT_STATE_DIR: another spine-chat runs on {state_dir}", exits.TEMPORARY) from e
    try:
        yield
    finally:
        os.close(fd)


def run(settings: Settings, notifier: Notifier) -> int:
    """Serve; return the exit code.

    Raises:
        CannotRun
    """

    async def serve() -> int:
        return await Service(settings, notifier).run()

    with only_one(settings.state_dir):
        return asyncio.run(serve())
