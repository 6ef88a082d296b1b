"""Feeding the service manager's watchdog: only while all that a call needs goes on, the writer among it."""

import asyncio

from contract.errors import SpineError
from contract.procfs import over, stat_fields
from contract.sdnotify import Notifier
from spine.store.engine import Engine

# The manager waits for one word in its time; two may be late.
_WORDS = 3


class Watchdog:
    """Feeds it from the event loop, each time after an operation that does nothing has come through the writer."""

    def __init__(self, notifier: Notifier, store: Engine, arbiter: int) -> None:
        self._notifier, self._store, self._arbiter = notifier, store, arbiter

    async def run(self) -> None:
        """Feed it for ever; returns at once when nobody watches."""
        while self._notifier.watchdog_seconds:
            try:
                await asyncio.wrap_future(self._store.write(lambda tx: None))
            except SpineError:
                pass  # a writer that refuses, for want of room on the disk, goes on
            if goes_on(self._arbiter):
                self._notifier.alive()
            await asyncio.sleep(self._notifier.watchdog_seconds / _WORDS)


def goes_on(pid: int) -> bool:
    """Tell whether a process is there and not stopped. Where that cannot be known, it is taken for granted."""
    fields = stat_fields(pid)
    return fields is None or not (over(fields) or fields[0] in "Tt")
