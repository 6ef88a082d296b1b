"""Procrastinate on a database: one process of it. Run as a command: `URL FETCHES UNDER_WAY`.

Each of its workers takes one job by `fetch_job`, as a worker of it does, and the next one when that is answered.
"""

import asyncio
import importlib.util
import logging
import sys
from contextlib import AsyncExitStack
from typing import Any

from tests.bench.sides import timed

MISSING = "procrastinate is not installed: `make bench` installs it from requirements/bench.txt"


def is_installed() -> bool:
    """Tell whether there is a procrastinate to measure."""
    return importlib.util.find_spec("procrastinate") is not None


def fill(url: str, count: int, fresh: bool) -> None:
    """Queue jobs; `fresh` makes its tables first."""

    async def run() -> None:
        async with _opened(url, 1) as app:
            if fresh:
                await app.schema_manager.apply_schema_async()
            for done in range(0, count, 1000):
                few = min(1000, count - done)
                await app.configure_task("bench").batch_defer_async(*[{"run": "make test"}] * few)

    asyncio.run(run())


def _opened(url: str, connections: int) -> Any:
    from procrastinate import App, PsycopgConnector

    return App(connector=PsycopgConnector(conninfo=url, min_size=connections, max_size=connections)).open_async()


async def _fetch(app: Any, worker: int, count: int) -> None:
    for _ in range(count):
        job = await app.job_manager.fetch_job(queues=None, worker_id=worker)
        assert job is not None, "no job was left"


def main() -> None:
    """Measure once."""
    logging.getLogger("procrastinate").setLevel(logging.ERROR)  # it warns of an application that is made in a command
    url, count, under_way = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    loop, stack = asyncio.new_event_loop(), AsyncExitStack()
    app = loop.run_until_complete(stack.enter_async_context(_opened(url, under_way)))
    workers = [loop.run_until_complete(app.job_manager.register_worker()) for _ in range(under_way)]

    async def work() -> None:
        await asyncio.gather(*(_fetch(app, worker, count // under_way) for worker in workers))

    timed(lambda: loop.run_until_complete(work()))
    loop.run_until_complete(stack.aclose())


if __name__ == "__main__":
    main()
