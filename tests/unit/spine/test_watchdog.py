"""When the watchdog is fed, and when it is left to bite."""

import asyncio
import os
import subprocess
from concurrent.futures import Future
from typing import Any, cast

from contract.errors import StorageFull
from contract.sdnotify import Notifier
from spine.store.engine import Engine
from spine.watchdog import Watchdog, goes_on


class Counting(Notifier):
    """Counts instead of sending."""

    def __init__(self, watchdog_seconds: float) -> None:
        super().__init__("/nowhere", watchdog_seconds)
        self.fed = 0

    def alive(self, busy_seconds: float = 0.0) -> None:
        self.fed += 1


class Writer:
    """A writer that answers, refuses, or hangs from some operation on."""

    def __init__(self, hangs_after: int, error: Exception | None = None) -> None:
        self._left, self._error = hangs_after, error
        self.asked = 0

    def write(self, operation: Any) -> "Future[None]":
        self.asked += 1
        future: Future[None] = Future()
        if self.asked <= self._left:
            if self._error is None:
                future.set_result(None)
            else:
                future.set_exception(self._error)
        return future


def fed(writer: Writer, arbiter: int = os.getpid(), seconds: float = 0.003) -> int:
    """Return how often it is fed until the writer hangs."""
    notifier = Counting(seconds)

    async def watch() -> None:
        task = asyncio.ensure_future(Watchdog(notifier, cast(Engine, writer), arbiter).run())
        for _ in range(2000):
            await asyncio.sleep(0.001)
            if writer.asked == writer._left + 1:
                break
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(watch())
    assert writer.asked == writer._left + 1
    return notifier.fed


def test_it_is_fed_after_each_operation_that_came_through_the_writer() -> None:
    assert fed(Writer(hangs_after=5)) == 5


def test_a_writer_that_refuses_goes_on() -> None:
    assert fed(Writer(hangs_after=3, error=StorageFull())) == 3


def test_it_is_not_fed_while_the_arbiter_is_stopped() -> None:
    stopped = subprocess.Popen(["sleep", "60"])
    try:
        stopped.send_signal(19)
        os.waitpid(stopped.pid, os.WUNTRACED)
        assert fed(Writer(hangs_after=3), arbiter=stopped.pid) == 0
    finally:
        stopped.kill()
        stopped.wait(10)


def test_nothing_is_asked_of_a_writer_that_nobody_watches() -> None:
    writer = Writer(hangs_after=1)
    asyncio.run(Watchdog(Notifier(None), cast(Engine, writer), os.getpid()).run())
    assert writer.asked == 0


def test_who_goes_on() -> None:
    assert goes_on(os.getpid())
    gone = subprocess.Popen(["true"])
    gone.wait(10)
    assert not goes_on(gone.pid)
