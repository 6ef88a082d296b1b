"""Counts that would cost too much at each look: kept for a while, and read anew by one look at a time."""

import threading
from typing import NamedTuple

from contract.states import Status
from spine.store import board, listing
from spine.store.board import HOUR_MS
from spine.store.engine import Engine, Tx

COUNTS_MS = 3_000
HOUR_NOW_MS = 15_000
HOURS = 24


class Hour(NamedTuple):
    """How many jobs ended by themselves in an hour: `at` its beginning (ms), well or not."""

    at: int
    done: int
    bad: int


class Figures:
    """Of one server process. What retention or a retry takes out of an hour that is over stays in it."""

    def __init__(self, store: Engine) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._counted_at = self._hour_read_at = 0
        self._counts: dict[str, int] = {}
        self._hours: dict[int, tuple[int, int]] = {}

    def counts(self, tx: Tx) -> dict[str, int]:
        """Return how many jobs are in each status, as of a moment ago."""
        with self._lock:
            if not self._counts or tx.now - self._counted_at > COUNTS_MS:
                found = dict.fromkeys((status.value for status in Status), 0)
                for status, _target, count, _oldest in listing.counts(tx):
                    found[status] += count
                self._counts, self._counted_at = found, tx.now
            return self._counts

    def hours(self, tx: Tx) -> list[Hour]:
        """Return the last 24 hours, the one under way at the end."""
        current = tx.now // HOUR_MS
        first = current - HOURS + 1
        with self._lock:
            known = {
                hour: ended
                for hour, ended in self._hours.items()
                if first <= hour < min(current, self._hour_read_at // HOUR_MS)
            }
            begin = next((hour for hour in range(first, current) if hour not in known), current)
            if begin < current or current not in self._hours or tx.now - self._hour_read_at > HOUR_NOW_MS:
                fresh: dict[int, tuple[int, int]] = {}
                for hour, status, count in board.ended_by_hour(tx, begin * HOUR_MS, (current + 1) * HOUR_MS):
                    done, bad = fresh.get(hour, (0, 0))
                    if status != Status.CANCELLED:  # somebody wanted it so
                        fresh[hour] = (done + count, bad) if status == Status.DONE else (done, bad + count)
                for hour in range(begin, current + 1):
                    known[hour] = fresh.get(hour, (0, 0))
                self._hours, self._hour_read_at = known, tx.now
            return [Hour(hour * HOUR_MS, *self._hours.get(hour, (0, 0))) for hour in range(first, current + 1)]
