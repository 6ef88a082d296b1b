"""A finding of `spine doctor`, and what is looked at alike wherever the store is."""

import time
from collections.abc import Iterator
from typing import Literal

import msgspec

from contract.clock import iso
from spine.store import events, meta
from spine.store.engine import Tx

SKEW_MOST_MS = 5_000
REAPER_GRACE_MS = 60_000


class Check(msgspec.Struct, frozen=True):
    """One finding; `detail` says what was seen and, when it failed, the fix."""

    name: str
    state: Literal["ok", "failed", "hint"]
    detail: str


def clock_and_reaper(tx: Tx, interval_ms: int | None) -> Iterator[Check]:
    """Compare the store's newest times with this machine's clock. `interval_ms`: the reaper's, None: nobody serves."""
    noted = meta.get(tx, meta.LAST_PASS)
    passed = int(noted) if noted else None
    newest = max(passed or 0, events.newest_at(tx))
    ahead = ahead_ms(newest)
    if ahead > SKEW_MOST_MS:
        told = f"the store was written {ahead // 1000} s in the future of this machine's clock; set the clock"
        yield Check("clock", "failed", told)
    else:
        yield Check("clock", "ok", "the store was written in this clock's past")
    if passed is None:
        yield Check("reaper", "hint", "it has not made a pass yet")
        return
    shown = f"last pass at {iso(passed)}"
    if interval_ms is not None and -ahead_ms(passed) > 3 * interval_ms + REAPER_GRACE_MS:
        yield Check("reaper", "failed", f"{shown}, though a server runs; look at its log and restart it")
    else:
        yield Check("reaper", "ok", shown)


def ahead_ms(moment: int) -> int:
    """Return how far (ms) a moment lies in the future; negative: in the past."""
    return moment - time.time_ns() // 1_000_000


def shown(jobs: dict[str, int]) -> str:
    """Write how many jobs of each status there are."""
    return ", ".join(f"{count} {status}" for status, count in jobs.items()) or "no jobs"
