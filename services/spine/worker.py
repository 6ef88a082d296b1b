"""Gunicorn's ASGI worker with two of its gaps closed: the listen backlog, and waiting clients at a stop."""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from gunicorn.workers.gasgi import ASGIWorker


class SpineWorker(ASGIWorker):  # type: ignore[misc]
    """Honours the configured backlog, and answers long polls and streams when told to stop."""

    on_drain: ClassVar[Callable[[], None]] = staticmethod(lambda: None)

    loop: Any

    def init_signals(self) -> None:
        """Set up signals; the loop is there by now and has no server yet."""
        super().init_signals()
        create, backlog = self.loop.create_server, self.cfg.backlog

        async def create_server(*args: Any, **kwargs: Any) -> asyncio.AbstractServer:
            # Without this asyncio listens again with its own backlog of 100, and a reconnecting fleet loses SYNs.
            kwargs.setdefault("backlog", backlog)
            server: asyncio.AbstractServer = await create(*args, **kwargs)
            return server

        try:
            self.loop.create_server = create_server
        except AttributeError:  # a loop written in C takes no new attributes
            self.loop = _BacklogLoop(self.loop, create_server)

    async def _shutdown(self) -> None:
        """Stop: also when it is the parent that went away, nobody is left waiting."""
        SpineWorker.on_drain()
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
