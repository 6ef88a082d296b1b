"""Time as the product counts it: integer milliseconds since the epoch, UTC, and how they are written on the wire."""

import threading
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Linux stops CLOCK_MONOTONIC while it sleeps and counts on in this one; macOS counts on in the former.
_BOOT: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """What the code asks for the time."""

    def now(self) -> int:
        """Return wall time in integer milliseconds, UTC; never less than any answer before."""

    def monotonic(self) -> float:
        """Return seconds on a clock that no one sets."""


class SystemClock:
    """The machine's clocks; a wall clock that is set back stands still here until it has caught up."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def now(self) -> int:
        with self._lock:  # two threads that took turns between reading and noting would let it go back
            self._last = max(self._last, time.time_ns() // 1_000_000)
            return self._last

    def monotonic(self) -> float:
        return time.monotonic()


def since_boot() -> float:
    """Return seconds on a clock that no one sets and that also counts while the machine sleeps."""
    return time.clock_gettime(_BOOT)


class JumpDetector:
    """Sees the wall clock run ahead of the monotonic one: sleep of the machine, or a set clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall, self._mono = clock.now(), clock.monotonic()

    def jump_ms(self) -> int:
        """Return how far (ms) the wall clock ran ahead since the last call; negative noise reads as 0."""
        wall, mono = self._clock.now(), self._clock.monotonic()
        ahead = (wall - self._wall) - int((mono - self._mono) * 1000)
        self._wall, self._mono = wall, mono
        return max(0, ahead)


@lru_cache(maxsize=1024)  # the times of one record are often the same, and those of one batch always
def iso(ms: int) -> str:
    """Write milliseconds as ISO 8601 UTC with milliseconds and `Z` (contract: native dialect, Job)."""
    seconds, millis = divmod(ms, 1000)
    t = time.gmtime(seconds)
    return f"{t[0]:04d}-{t[1]:02d}-{t[2]:02d}T{t[3]:02d}:{t[4]:02d}:{t[5]:02d}.{millis:03d}Z"


def iso_or_none(ms: int | None) -> str | None:
    """Write milliseconds as ISO 8601, or None as None."""
    return None if ms is None else iso(ms)


def parse_iso(text: str) -> int:
    """Read ISO 8601 with a zone into milliseconds.

    Raises:
        ValueError: not a date, or one without a zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs a zone, such as a trailing Z")
    delta = moment - _EPOCH
    return delta.days * 86_400_000 + delta.seconds * 1000 + delta.microseconds // 1000
