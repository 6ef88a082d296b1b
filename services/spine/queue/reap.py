"""Leases that ended: back to the queue, or dead. Needs no worker's help."""

from contract.states import Action
from spine.queue.rules import UNACCEPTED_MOST, Rules
from spine.store import attempts, jobs, meta
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
        return jobs.move(
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
    if job.attempts >= job.max_attempts:
        dead = {"reason": "lease_expired", "attempts": job.attempts, "fence": job.fence}
        return jobs.move(tx, Action.EXPIRE_DEAD, job, REAPER, dead, error=job.error or "the lease expired")
    return jobs.move(tx, Action.EXPIRE, job, REAPER, data, **cleared)


def reap(tx: Tx) -> tuple[int, int | None]:
    """End up to 500 leases that are over and note the pass; return how many, and when the next one ends (ms)."""
    overdue = jobs.overdue(tx, PASS_MOST)
    for job in overdue:
        expire(tx, job)
    meta.put(tx, meta.LAST_PASS, str(tx.now))
    return len(overdue), jobs.next_lease_end(tx)


def excuse_gap(tx: Tx, rules: Rules, since: int | None = None) -> int:
    """Give leases that ended while nobody could extend them a little more; return how many.

    `since` (ms): when the gap began; None: at the last pass that was noted (the server was down).
    """
    if since is None:
        noted = meta.get(tx, meta.LAST_PASS)
        since = int(noted) if noted else tx.now
    changed = jobs.grant_grace(tx, since, tx.now + rules.grace_ms) if since < tx.now else 0
    meta.put(tx, meta.LAST_PASS, str(tx.now))
    return changed
