"""What a move of one job means for others: who waited for it goes on, or is cancelled with it. Same transaction.

The verbs move jobs through here; `store.jobs.move` does the moving.
"""

from collections import deque
from typing import Any

from contract.states import TERMINAL, Action, Status
from spine.queue import notices
from spine.store import attempts, dependencies, jobs, occurrences
from spine.store.engine import Step, Tx
from spine.store.jobs import JobRow

SPINE = "spine"
AGAIN = "again"
"""What a run came to after which its job is to be run again, to the metrics."""
_SETTLED = {
    Action.COMPLETE: ("complete", "done"),
    Action.COMPLETE_LATE: ("complete", "done"),
    Action.FAIL: ("fail", "failed"),
    Action.FAIL_LATE: ("fail", "failed"),
    Action.FAIL_REQUEUE: ("fail", "failed"),
    Action.FAIL_BACKOFF: ("fail", "failed"),
    Action.FAIL_OVERLOAD: ("fail", "failed"),
    Action.EXHAUST: ("fail", "failed"),
    Action.RELEASE: ("release", "released"),
    Action.RELEASE_LATER: ("release", "released"),
}
_TAKEN_AWAY = {
    Action.EXPIRE: "expired",
    Action.EXPIRE_BACKOFF: "expired",
    Action.EXPIRE_DEAD: "expired",
    Action.CANCEL: "cancelled",
    Action.ADOPT: "superseded",
}


def move(tx: Tx, action: Action, job: JobRow, by: str, data: dict[str, Any], **changes: Any) -> JobRow:
    """Carry out one row of the transition table, and what follows from it.

    Raises:
        Conflict: see `store.jobs.move`.
    """
    moved = jobs.move(tx, action, job, by, data, **changes)
    if job.status == Status.RUNNING:  # of a late result the run was counted when its lease ended
        _note_run(tx, job, moved)
    _note_steps(tx, action, job)
    if moved.status in TERMINAL:
        ended(tx, moved)
        settle_dependants(tx, moved)
    return moved


def _note_run(tx: Tx, job: JobRow, moved: JobRow) -> None:
    if job.started_at is not None:
        outcome = moved.status if moved.status in TERMINAL else AGAIN
        tx.signals.runs.append((job.target, outcome, tx.now - job.started_at))


def _note_steps(tx: Tx, action: Action, job: JobRow) -> None:
    """Tell traces that an attempt ended, and that its holder said so.

    One whose lease ended before a call confirmed it may never have reached a machine, and is not told of as a run.
    """
    verb, outcome = _SETTLED.get(action, ("", _TAKEN_AWAY.get(action)))
    if job.started_at is None or outcome is None:
        return
    about = (job.id, job.target, job.traceparent, job.fence)
    if job.status == Status.RUNNING and (job.accepted or outcome != "expired"):
        tx.signals.steps.append(Step("process", "run", *about, job.started_at, tx.now, outcome))
    if verb:
        tx.signals.steps.append(Step("settle", verb, *about, tx.now, tx.now, outcome))


def ended(tx: Tx, job: JobRow) -> None:
    """Write down what follows from a job's end besides what it means for its dependants: who is to be told."""
    if job.notify != "[]" or job.delivery is not None:
        notices.tell_end(tx, job)
    note_end_for_schedule(tx, job)


def note_end_for_schedule(tx: Tx, job: JobRow) -> None:
    """Note for the schedules' tick that a job of one has ended, or that a review has accepted it."""
    if job.schedule_id is not None:
        outcome = "success" if is_satisfied(job) else "failure" if is_lost(job) else "review"
        occurrences.note_end(tx, job.schedule_id, job.id, job.version, outcome)


def is_satisfied(job: JobRow) -> bool:
    """Tell whether a job counts as done for those that wait for it: done, and accepted where it needs review."""
    return job.status == Status.DONE and (not job.needs_review or job.review == "accepted")


def is_lost(job: JobRow) -> bool:
    """Tell whether a job has ended without being done."""
    return job.status in TERMINAL and job.status != Status.DONE


def settle_dependants(tx: Tx, ended: JobRow) -> None:
    """Go on with, or cancel, every job that waits for one that has ended; and those that wait for them."""
    work = deque([ended])
    while work:
        job = work.popleft()
        if is_satisfied(job):
            waiting = dependencies.waiting_for(tx, job.id)
            if waiting:
                dependencies.meet(tx, job.id)
            for job_id in waiting:
                go_on(tx, jobs.find(tx, job_id))
        elif is_lost(job):
            for job_id in dependencies.waiting_for(tx, job.id):
                dependant = jobs.find(tx, job_id)
                if dependant is not None and dependant.status == Status.WAITING:
                    work.append(cancel_row(tx, dependant, SPINE, f"job {job.id} it waited for is {job.status}", job.id))


def cancel_row(tx: Tx, job: JobRow, by: str, reason: str | None, cause: str | None = None) -> JobRow:
    """Cancel one job, without a look at who waits for it."""
    if job.status == Status.RUNNING:
        attempts.end(tx, job.id, job.fence, "cancelled", reason)
    data: dict[str, Any] = {"reason": reason, "fence": job.fence}
    if cause is not None:
        data["after"] = cause
    cancelled = jobs.move(tx, Action.CANCEL, job, by, data, error=reason or job.error)
    if job.status == Status.RUNNING:
        _note_run(tx, job, cancelled)
        _note_steps(tx, Action.CANCEL, job)
    ended(tx, cancelled)
    return cancelled


def go_on(tx: Tx, job: JobRow | None, by: str = SPINE) -> JobRow | None:
    """Queue a waiting job when nothing holds it any more; return it as it then is."""
    if job is None or job.status != Status.WAITING or holds(tx, job):
        return job
    return jobs.move(tx, Action.READY, job, by, {})


def holds(tx: Tx, job: JobRow) -> list[str]:
    """Return what a waiting job waits for, in the order to look at them: `approval`, `after`, `time` (or a backoff)."""
    found = []
    if job.approval == "pending":
        found.append("approval")
    if dependencies.unmet(tx, job.id):
        found.append("after")
    if job.wake_at is not None and job.wake_at > tx.now:
        found.append("time")
    return found
