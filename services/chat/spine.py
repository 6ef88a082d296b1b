"""The spine as the front asks it: never on the event loop, never for long."""

import asyncio
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

import structlog

from chat.follow import Follower
from chat.threads import Threads
from contract import wire
from contract.clock import parse_iso
from contract.errors import SpineError, Unauthorized
from contract.head_client import HeadClient
from contract.retry import ONCE, RetryPolicy

P = ParamSpec("P")
T = TypeVar("T")
_log = structlog.get_logger()

# A person waits: two tries, and 13 s at most.
_RETRY = RetryPolicy(attempts=2, total_seconds=10.0, cap_seconds=1.0)
_CONNECT_SECONDS, _READ_SECONDS = 3.0, 6.0
_THREADS = 16
IN_PROGRESS = "queued,running"


class Spine:
    """Calls to the spine, each on a thread.

    Args:
        renew: asked for a newer token when the spine does not know ours.
        locked: told, on the event loop, when there is none.
    """

    def __init__(
        self,
        base_urls: Iterable[str],
        token: str,
        renew: Callable[[str], str | None],
        locked: Callable[[str], object],
    ) -> None:
        urls = tuple(base_urls)
        self.client = HeadClient(
            urls, token, connect_seconds=_CONNECT_SECONDS, read_seconds=_READ_SECONDS, retry=_RETRY, renew=renew
        )
        self._follows = HeadClient(urls, token, connect_seconds=_CONNECT_SECONDS, retry=ONCE, renew=renew)
        self._threads, self._locked = Threads(_THREADS, "spine"), locked

    def follower(self, ended: Callable[[str], object], renewed: Callable[[], object]) -> Follower:
        """Return what follows the stream of events; both are called on the event loop, which runs."""
        return Follower(self._follows, asyncio.get_running_loop(), ended, renewed, self._locked)

    async def call(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make one call.

        Raises:
            SpineError
        """
        try:
            return await self._threads.run(verb, *args, **kwargs)
        except Unauthorized:
            await self.check()  # is it this call alone?
            raise

    async def check(self) -> None:
        """Ask whether the spine lets us in; when it does not, say so to who ends the service. Never raises."""
        try:
            await self._threads.run(self.client.jobs, limit=1)
        except Unauthorized as e:
            self._locked(e.detail)
        except SpineError as e:
            _log.warning("chat.spine_trouble", code=e.code, why=e.detail)

    async def in_progress(self, label: str, most: int) -> int:
        """Count the jobs with a label that are queued or running, `most` at most."""
        found = await self.call(self.client.jobs, label=label, status=IN_PROGRESS, limit=most)
        return len(found.jobs)

    async def started_within(self, label: str, seconds: int) -> bool:
        """Tell whether a job with the label was created in the last seconds, by the spine's clock."""
        found, _ = await self.newest(1, label=label)
        since = self.client.time.now() - seconds * 1000
        return any(parse_iso(job.created_at) >= since for job in found)

    async def newest(self, most: int, **query: str) -> tuple[list[wire.Job], bool]:
        """Return the newest jobs that match, the newest first, and whether there are others."""
        found = (await self.call(self.client.jobs, order="newest", limit=most + 1, **query)).jobs
        return found[:most], len(found) > most
