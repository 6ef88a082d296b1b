"""Gunicorn's ASGI worker with gaps closed: the backlog, a stop that loses no call, the death of its parent."""

import asyncio
import ctypes
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers.gasgi import ASGIWorker

_PR_SET_PDEATHSIG = 1
# How long a stopping server still answers what comes on connections that say nothing. A client that calls at least so
# often is told in an answer that its connection closes; one whose bytes are under way is not turned away.
LAME_DUCK_SECONDS = 1.0
_LOOK_SECONDS = 0.02
_SIGN_OF_LIFE_SECONDS = 5.0


class Connection(ASGIProtocol):  # type: ignore[misc]
    """One client's connection; it says `Connection: close` from the moment on at which the server stops."""

    def _will_close(self, request: Any, response_requires_close: bool) -> bool:
        # Not by the worker's `alive`, which would also close those whose answer has gone out without the word.
        return self.worker.draining or bool(super()._will_close(request, response_requires_close))

    @property
    def open(self) -> bool:
        """Whether the client is still there."""
        return not self._conn_lost_handled

    @property
    def silent(self) -> bool:
        """Whether no request is being served: it is idle, or so young that nothing has arrived."""
        return self.open and (self._task is None or (self._awaiting_request and not self._request_ready.is_set()))

    def hang_up(self) -> None:
        """Close a silent connection."""
        if self._task is not None:
            self._keepalive_timeout()


class SpineWorker(ASGIWorker):  # type: ignore[misc]
    """Honours the configured backlog; says when it serves; when told to stop, answers all that has been sent to it."""

    on_serving: ClassVar[Callable[[], None]] = staticmethod(lambda: None)
    on_drain: ClassVar[Callable[[], None]] = staticmethod(lambda: None)
    drain_seconds: ClassVar[float] = 30.0
    place = 0  # which of those that serve together: the class has that of the process itself

    loop: Any

    def init_process(self) -> None:
        """Die with the parent: a worker that outlived it would keep the data directory from the server started next.

        What was acknowledged is on disk, so an end without warning loses nothing.
        """
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self.ppid:
                os._exit(0)  # it had died before we asked
        super().init_process()

    def load_wsgi(self) -> None:
        """Build the application; tell the arbiter meanwhile that this process lives.

        To migrate a large store may take longer than the arbiter is patient with a worker that says nothing.
        """
        built = threading.Event()

        def tell() -> None:
            while not built.wait(_SIGN_OF_LIFE_SECONDS):
                self.notify()

        telling = threading.Thread(target=tell, name="sign-of-life", daemon=True)
        telling.start()
        try:
            super().load_wsgi()
        finally:
            built.set()
            telling.join()

    def init_signals(self) -> None:
        """Set up signals; the loop is there by now and has no server yet."""
        super().init_signals()
        create, backlog = self.loop.create_server, self.cfg.backlog
        self.draining = False
        self._main: asyncio.Task[Any] | None = None
        self._connections: weakref.WeakSet[Connection] = weakref.WeakSet()

        async def create_server(_factory: Callable[[], Any], *args: Any, **kwargs: Any) -> asyncio.AbstractServer:
            def connected() -> Connection:
                connection = Connection(self)
                self._connections.add(connection)
                return connection

            # Without this asyncio listens again with its own backlog of 100, and a reconnecting fleet loses SYNs.
            kwargs.setdefault("backlog", backlog)
            server: asyncio.AbstractServer = await create(connected, *args, **kwargs)
            return server

        try:
            self.loop.create_server = create_server
        except AttributeError:  # a loop written in C takes no new attributes
            self.loop = _BacklogLoop(self.loop, create_server)

    def notify(self) -> None:
        """Tell the arbiter that this process lives. Gunicorn's main task calls it from when all servers listen."""
        super().notify()
        # Before, while the application is built, it is called from a thread of its own.
        if self._main is None and threading.current_thread() is threading.main_thread():
            self._main = asyncio.current_task()
            SpineWorker.on_serving()

    def handle_exit_signal(self) -> None:
        """On SIGTERM answer everyone who waits, and let what is under way end."""
        if self.draining:
            return
        self._drain()
        if self._main is None:
            self.alive = False  # it has not served yet
        else:
            self._main.cancel()  # out of its sleep, into the shutdown

    def _drain(self) -> None:
        self.draining = True
        SpineWorker.on_drain()

    async def _shutdown(self) -> None:
        """Take nothing new, answer what has been sent, close the store. Also when it is the parent that went away."""
        deadline = self.loop.time() + SpineWorker.drain_seconds
        self._drain()
        for server in self.servers:
            # A socket that the service manager keeps goes on listening: who comes now waits there for the next server.
            server.close()
        if not self._quick_shutdown:
            lame_duck = min(LAME_DUCK_SECONDS, SpineWorker.drain_seconds / 2)
            await self._until(lambda: not any(c.silent for c in self._connections), self.loop.time() + lame_duck)
        self.alive = False
        for connection in list(self._connections):
            if connection.silent:
                connection.hang_up()
        if self._quick_shutdown:
            return
        if not await self._until(lambda: not any(c.open for c in self._connections), deadline):
            self.log.warning("Forcing close of %d connections", sum(c.open for c in self._connections))
        if self.lifespan:
            try:
                await self.lifespan.shutdown()
            except Exception as e:  # noqa: BLE001 — nothing comes after it, and the store survives an end without it
                self.log.error("The application's end failed: %s", e)

    async def _until(self, true: Callable[[], bool], deadline: float) -> bool:
        """Wait until it is true, the time is over or a second signal is in a hurry; tell whether it is true."""
        while not true():
            if self.loop.time() > deadline or self._quick_shutdown:
                return False
            await asyncio.sleep(_LOOK_SECONDS)
        return True


class _BacklogLoop:
    """A loop that hands everything on, save create_server."""

    def __init__(self, loop: Any, create_server: Callable[..., Any]) -> None:
        self._loop, self.create_server = loop, create_server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)
