"""What the cause of a failure means for the next attempt: whether there is one, when, and whether this one counts.

A transient failure takes another attempt as the job's `retry` says; a permanent one takes none. An overload (the model
or service behind the job is overloaded or out of quota) is not the job's fault: its attempt is not counted, ten times a
round at most, so that one that never ends is told from one that passes.
"""

import random
from typing import NamedTuple

from contract import wire
from contract.errors import InvalidField
from spine.queue.moments import moment_of
from spine.queue.reap import backoff_until
from spine.store import attempts
from spine.store.engine import Tx
from spine.store.jobs import JobRow

OVERLOADS_MOST = 10
OVERLOAD_FIRST_MS = 30_000
OVERLOAD_CAP_MS = 3_600_000
ASKED_MOST_MS = 31 * 24 * 3_600_000  # a quota of a month; who holds a job may not put it away for good
OVERLOAD_SPREAD = 0.25  # of the wait, to both sides: what was refused together does not come back together


class Wish(NamedTuple):
    """What a holder says of the next attempt. Times in ms; `after_ms` counts from the call."""

    cause: wire.Cause | None = None
    not_before: int | None = None
    after_ms: int | None = None

    def earliest(self, tx: Tx) -> int | None:
        """Return when the next attempt may begin (ms), `ASKED_MOST_MS` from now at most; None for a time that is over,
        or none.

        A later one is cut, not refused: for the sake of a time no outcome of a job may be lost.
        """
        moment = self.not_before if self.after_ms is None else tx.now + self.after_ms
        return None if moment is None or moment <= tx.now else min(moment, tx.now + ASKED_MOST_MS)


NONE = Wish()


def wish_of(request: wire.Fail | wire.Release) -> Wish:
    """Read the members about the next attempt.

    Raises:
        InvalidField: two times, a time that is none, or members that contradict each other.
    """
    if request.not_before is not None and request.retry_after_seconds is not None:
        raise InvalidField("retryAfterSeconds: give notBefore or retryAfterSeconds, not both", "retryAfterSeconds")
    cause: wire.Cause | None = None
    if isinstance(request, wire.Fail):
        cause = request.cause
        if cause == "permanent" and request.requeue:
            raise InvalidField("requeue: a permanent failure takes no other attempt; leave requeue out", "requeue")
    moment = None if request.not_before is None else moment_of(request.not_before, "notBefore")
    after = None if request.retry_after_seconds is None else int(request.retry_after_seconds * 1000)
    return Wish(cause, moment, after)


def uncounted_until(tx: Tx, job: JobRow, wish: Wish) -> int | None:
    """Return until when (ms) a job waits that met an overload; None when too many have been forgiven already."""
    met = attempts.overloads(tx, job.id, job.round)
    if met >= OVERLOADS_MOST:
        return None
    told = wish.earliest(tx)
    if told is not None:
        return told
    wait = min(OVERLOAD_FIRST_MS * 2**met, OVERLOAD_CAP_MS)
    return tx.now + int(wait * random.uniform(1 - OVERLOAD_SPREAD, 1 + OVERLOAD_SPREAD))


def again_at(tx: Tx, job: JobRow, wish: Wish) -> int | None:
    """Return when a counted attempt may be followed by another (ms): backoff or the holder's time, the later one."""
    return max((at for at in (backoff_until(tx, job), wish.earliest(tx)) if at is not None), default=None)


def is_overload(tx: Tx, job: JobRow) -> bool:
    """Tell whether the job's newest attempt ended by overload."""
    known = attempts.find(tx, job.id, job.fence)
    return known is not None and known.cause == "overload"
