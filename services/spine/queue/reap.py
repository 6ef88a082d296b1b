"""Leases that ended: back to the queue, or dead. Needs no worker's help."""

from typing import NamedTuple

import msgspec

from contract import wire
from contract.states import Action, Status
from spine.queue.moving import go_on, move
from spine.queue.rules import UNACCEPTED_MOST, Rules
from spine.store import attempts, leases, meta
from spine.store.engine import Tx
from spine.store.jobs import JobRow

REAPER = "reaper"
PASS_MOST = 500


def expire(tx: Tx, job: JobRow) -> JobRow:
    """End a running job's lease. A claim that no fenced call confirmed gives its attempt back, three times at most."""
    data = {"attempt": job.attempts, "fence": job.fence, "claimedBy": job.claimed_by}
    cleared = {"claimed_by": None, "worker_id": None}
    if not job.accepted and job.unaccepted < UNACCEPTED_MOST:
        attempts.end(tx, job.id, job.fence, "unaccepted")
        return move(
            tx,
            Action.EXPIRE,
            job,
            REAPER,
            data | {"unaccepted": True},
            attempts=job.attempts - 1,
            unaccepted=job.unaccepted + 1,
            **cleared,
        )
    attempts.end(tx, job.id, job.fence, "expired")
    wake_at = backoff_until(tx, job)
    if job.attempts >= job.max_attempts:
        dead = {"reason": "lease_expired", "attempts": job.attempts, "fence": job.fence}
        return move(tx, Action.EXPIRE_DEAD, job, REAPER, dead, error=job.error or "the lease expired")
    if wake_at is not None:
        return move(tx, Action.EXPIRE_BACKOFF, job, REAPER, data, wake_at=wake_at, **cleared)
    return move(tx, Action.EXPIRE, job, REAPER, data, **cleared)


def backoff_until(tx: Tx, job: JobRow) -> int | None:
    """Return when the next attempt may begin (ms), None for at once: backoff × factor^(attempt − 1), capped."""
    if job.retry is None:
        return None
    retry = msgspec.json.decode(job.retry, type=wire.Retry)
    seconds = retry.backoff_seconds
    for _ in range(job.attempts - 1):
        seconds *= retry.factor
        if seconds >= retry.max_seconds:
            break
    return tx.now + int(min(seconds, retry.max_seconds) * 1000)


class Pass(NamedTuple):
    """What one pass did: leases ended, waiting jobs looked at; `following`: when there is something to do next (ms)."""

    ended: int
    woken: int
    following: int | None

    @property
    def full(self) -> bool:
        """More may be due already."""
        return self.ended >= PASS_MOST or self.woken >= PASS_MOST


def reap(tx: Tx) -> Pass:
    """End up to 500 leases that are over, look at up to 500 jobs whose time has come, note the pass."""
    overdue = leases.overdue(tx, PASS_MOST)
    for job in overdue:
        expire(tx, job)
    due = leases.due(tx, PASS_MOST)
    for job in due:
        leases.sleep_no_more(tx, job)
        if job.status == Status.QUEUED:  # a rework whose machine did not come: now it is anyone's
            tx.signals.lanes[job.lane] = tx.signals.lanes.get(job.lane, 0) + 1
        go_on(tx, job._replace(wake_at=None))
    meta.put(tx, meta.LAST_PASS, str(tx.now))
    return Pass(len(overdue), len(due), leases.next_moment(tx))


def excuse_gap(tx: Tx, rules: Rules, since: int | None = None, least_ms: int = 0) -> int:
    """Give leases that ended while nobody could extend them a little more; return how many.

    `since` (ms): when the gap began; None: at the last pass that was noted (the server was down). One that is shorter
    than `least_ms` is none.
    """
    if since is None:
        noted = meta.get(tx, meta.LAST_PASS)
        since = int(noted) if noted else tx.now
    if tx.now - since < least_ms:
        return 0
    changed = leases.grant_grace(tx, since, tx.now + rules.grace_ms) if since < tx.now else 0
    meta.put(tx, meta.LAST_PASS, str(tx.now))
    return changed
