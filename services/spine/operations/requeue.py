"""Giving back a job whose holder cannot be known any more: its attempt ends, the job waits for a claim."""

from typing import Any

from contract.states import Action
from spine.queue.moving import SPINE, move
from spine.store import attempts
from spine.store.engine import Tx
from spine.store.jobs import JobRow


def give_back(tx: Tx, job: JobRow, attempt_fence: int, reason: str, **changes: Any) -> JobRow:
    """End a running job's lease as the reaper does, at once. `attempt_fence`: under which its attempt is recorded."""
    attempts.end(tx, job.id, attempt_fence, "expired")
    data = {"attempt": job.attempts, "fence": attempt_fence, "claimedBy": job.claimed_by, "reason": reason}
    return move(tx, Action.EXPIRE, job, SPINE, data, claimed_by=None, worker_id=None, **changes)
