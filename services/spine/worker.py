"""Gunicorn's ASGI worker with gaps closed: the backlog, waiting and idle clients at a stop, the death of its parent."""

import asyncio
import ctypes
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

from gunicorn.workers.gasgi import ASGIWorker

_PR_SET_PDEATHSIG = 1
_SIGN_OF_LIFE_SECONDS = 5.0


class SpineWorker(ASGIWorker):  # type: ignore[misc]
    """Honours the configured backlog; when told to stop, answers long polls and streams and closes idle connections."""

    on_drain: ClassVar[Callable[[], None]] = staticmethod(lambda: None)

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
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()

        async def create_server(factory: Callable[[], Any], *args: Any, **kwargs: Any) -> asyncio.AbstractServer:
            def connected() -> Any:
                connection = factory()
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

    async def _shutdown(self) -> None:
        """Stop: also when it is the parent that went away, nobody is left waiting."""
        SpineWorker.on_drain()
        for connection in list(self._connections):
            # One that serves a request closes after its answer. Gunicorn would wait the whole drain time for the idle
            # ones, which every client keeps open.
            if connection._awaiting_request and not connection._request_ready.is_set():
                connection._keepalive_timeout()
        await super()._shutdown()

    def handle_exit_signal(self) -> None:
        """On SIGTERM answer everyone who waits, then let gunicorn finish what is under way."""
        SpineWorker.on_drain()
        super().handle_exit_signal()


class _BacklogLoop:
    """A loop that hands everything on, save create_server."""

    def __init__(self, loop: Any, create_server: Callable[..., Any]) -> None:
        self._loop, self.create_server = loop, create_server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)
