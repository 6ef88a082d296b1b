"""How often and how many: a user's pause between two jobs, and how many of his jobs may be in progress.

Both are asked of the spine, so that a restart forgives nothing and a job that is still running counts, whoever waits.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from chat import words

LABEL_MOST = 200


class Jobs(Protocol):
    """What is asked of the spine."""

    async def in_progress(self, label: str, most: int) -> int:
        """Count the jobs with a label that are queued or running, `most` at most."""

    async def started_within(self, label: str, seconds: int) -> bool:
        """Tell whether a job with the label was created in the last seconds, by the spine's clock."""


class Limits:
    """One user's messages take their turn, so that two at once cannot both be the last that is allowed.

    Args:
        clock: monotonic seconds.
    """

    def __init__(
        self, jobs: Jobs, cooldown_seconds: int, most: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._jobs, self._cooldown, self._most, self._clock = jobs, cooldown_seconds, most, clock
        # No more of them than there are users who may speak.
        self._locks: dict[str, asyncio.Lock] = {}
        self._started: dict[str, float] = {}

    @asynccontextmanager
    async def turn(self, label: str) -> AsyncIterator[str | None]:
        """Hold the user's turn; give why no job may be started now, or None.

        Raises:
            SpineError: it could not be asked.
        """
        async with self._locks.setdefault(label, asyncio.Lock()):
            yield await self._refusal(label)

    def started(self, label: str) -> None:
        """Note that a job of the user has been created: the next one must wait a little."""
        self._started[label] = self._clock()

    async def _refusal(self, label: str) -> str | None:
        if self._cooldown:
            last = self._started.get(label)
            if last is not None:
                if self._clock() - last < self._cooldown:
                    return words.COOLDOWN
            elif await self._jobs.started_within(label, self._cooldown):
                return words.COOLDOWN
        if await self._jobs.in_progress(label, self._most) >= self._most:
            return words.at_the_cap(self._most)
        return None


def label_of(transport: str, user_id: str) -> str:
    """Return the label of a user's jobs, as in `discord:123`."""
    return f"{transport}:{user_id}"[:LABEL_MOST]
