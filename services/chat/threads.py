"""Work that blocks, on a few threads beside the event loop. They are daemons: a call that hangs holds up no stop."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _Task(NamedTuple):
    work: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class Threads:
    """Up to `most` threads, made as they are needed; what is more waits for one, in its order."""

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._tasks: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._made, self._busy = 0, 0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do the work on a thread; return what it returns, raise what it raises. From the event loop alone.

        One who is cancelled waits no more; the work goes on to its end.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._busy += 1
        if self._busy > self._made and self._made < self._most:
            self._made += 1
            threading.Thread(target=self._serve, name=f"{self._name}-{self._made}", daemon=True).start()
        self._tasks.put(_Task(lambda: work(*args, **kwargs), loop, future))
        return await future

    def _serve(self) -> None:
        while True:
            task = self._tasks.get()
            found: Any = None
            fault: BaseException | None = None
            try:
                found = task.work()
            except Exception as e:  # noqa: BLE001 - it is raised where it is waited for
                fault = e
            try:
                task.loop.call_soon_threadsafe(self._done, task.future, found, fault)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more

    def _done(self, future: "asyncio.Future[Any]", found: Any, fault: BaseException | None) -> None:
        self._busy -= 1
        if future.done():
            return
        if fault is None:
            future.set_result(found)
        else:
            future.set_exception(fault)
