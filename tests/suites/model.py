"""The queue as plain Python: what a job must look like after each verb. It knows nothing of the product's code."""

from dataclasses import dataclass, field

LEASE_MS, ACCEPT_MS = 300_000, 15_000
ENDED = ("done", "failed", "dead", "cancelled")


@dataclass(frozen=True)
class Who:
    """A head, or one worker of a claw."""

    name: str
    worker: str | None

    def sees(self, target: str) -> bool:
        """Tell whether a job for this target is shown to it."""
        return self.name == "head" or target in (self.name, "any")


@dataclass
class Try:
    """One claim of a job."""

    outcome: str = "running"
    late: tuple[str | None, str | None] | None = None


@dataclass
class ModelJob:
    """What is known of a job."""

    place: int
    target: str
    priority: int
    most: int
    status: str = "queued"
    attempts: int = 0
    fence: int = 0
    holder: Who | None = None
    lease: int | None = None
    accepted: bool = True
    unaccepted: int = 0
    result: str | None = None
    error: str | None = None
    comments: int = 0
    tries: dict[int, Try] = field(default_factory=dict)

    def put_back(self, attempts: int | None = None) -> None:
        """Make it claimable again."""
        self.status, self.holder, self.lease = "queued", None, None
        self.attempts = self.attempts if attempts is None else attempts

    def end(self, status: str) -> None:
        """Move it to its end."""
        self.status, self.lease = status, None


class Refused(Exception):
    """The verb is refused; the message is the error's code."""


class Model:
    """All jobs by id, and the time (ms)."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.jobs: dict[str, ModelJob] = {}

    # --- claiming ----------------------------------------------------------------------------------------------------

    def claim_next(self, who: Who) -> str | None:
        """Return the id of the job that a claim must get."""
        fitting = [
            (-j.priority, j.place, i) for i, j in self.jobs.items() if j.status == "queued" and who.sees(j.target)
        ]
        for _priority, _place, job_id in sorted(fitting):
            job = self.jobs[job_id]
            if job.attempts >= job.most:
                job.end("dead")
                continue
            self._start(job, who, ACCEPT_MS, accepted=False)
            return job_id
        return None

    def claim_one(self, job_id: str, who: Who) -> None:
        """Claim a job by its id."""
        job = self.jobs[job_id]
        if who.name == "head":
            raise Refused("unauthorized")
        if not who.sees(job.target):
            raise Refused("forbidden")
        if job.status == "running" and job.lease is not None and job.lease <= self.now:
            self._expire(job)
        if job.status == "running":
            raise Refused("already_claimed")
        if job.status in ENDED:
            raise Refused("terminal_status")
        if job.attempts >= job.most:
            job.end("dead")
            raise Refused("max_attempts_reached")
        self._start(job, who, LEASE_MS, accepted=True)

    def _start(self, job: ModelJob, who: Who, lease: int, accepted: bool) -> None:
        job.status, job.holder, job.lease, job.accepted = "running", who, self.now + lease, accepted
        job.fence += 1
        job.attempts += 1
        job.tries[job.fence] = Try()

    # --- time --------------------------------------------------------------------------------------------------------

    def reap(self) -> int:
        """End every lease that is over; return how many."""
        over = [j for j in self.jobs.values() if j.status == "running" and j.lease is not None and j.lease <= self.now]
        for job in over:
            self._expire(job)
        return len(over)

    def _expire(self, job: ModelJob) -> None:
        if not job.accepted and job.unaccepted < 3:
            job.tries[job.fence].outcome = "unaccepted"
            job.unaccepted += 1
            job.put_back(job.attempts - 1)
            return
        job.tries[job.fence].outcome = "expired"
        if job.attempts >= job.most:
            job.error = job.error or "the lease expired"
            job.end("dead")
        else:
            job.put_back()

    # --- the holder --------------------------------------------------------------------------------------------------

    def heartbeat(self, job_id: str, who: Who, fence: int | None) -> None:
        """Extend the lease."""
        job = self._seen(job_id, who)
        if fence is None:
            self._require_holder(job, who)
        elif fence != job.fence:
            raise Refused("stale_fence")
        elif job.status != "running":
            raise Refused("not_running")
        job.lease, job.accepted = self.now + LEASE_MS, True

    def complete(self, job_id: str, who: Who, fence: int | None, result: str) -> None:
        """Report success."""
        job = self._seen(job_id, who)
        if fence is None:
            self._require_holder(job, who)
        else:
            known = job.tries.get(fence)
            if known is not None and known.outcome == "done":
                return
            if not self._may_settle(job, fence):
                self._late(job, fence, (result, None))
        attempt = job.tries[job.fence]
        attempt.outcome = "done"
        job.result, job.error = result, None
        job.end("done")

    def fail(self, job_id: str, who: Who, fence: int | None, error: str, requeue: bool) -> None:
        """Report failure."""
        job = self._seen(job_id, who)
        if fence is None:
            self._require_holder(job, who)
        else:
            known = job.tries.get(fence)
            if known is not None and known.outcome == "failed":
                return
            if not self._may_settle(job, fence):
                self._late(job, fence, (None, error))
        job.tries[job.fence].outcome = "failed"
        job.error = error
        if job.status == "queued":
            if not requeue:
                job.end("failed")
        elif job.attempts >= job.most:
            job.end("dead")
        elif requeue:
            job.put_back()
        else:
            job.end("failed")

    def release(self, job_id: str, who: Who, fence: int | None, count: bool) -> None:
        """Give it back."""
        job = self._seen(job_id, who)
        if fence is None:
            self._require_holder(job, who)
        else:
            known = job.tries.get(fence)
            if known is not None and known.outcome == "released":
                return
            if fence != job.fence:
                raise Refused("stale_fence")
            if job.status == "queued" and known is not None and known.outcome in ("expired", "unaccepted"):
                return
            if job.status != "running":
                raise Refused("not_running")
        job.tries[job.fence].outcome = "released"
        job.put_back(None if count else job.attempts - 1)

    def comment(self, job_id: str, who: Who) -> None:
        """Add a comment."""
        self._seen(job_id, who).comments += 1

    def _seen(self, job_id: str, who: Who) -> ModelJob:
        job = self.jobs[job_id]
        if not who.sees(job.target):
            raise Refused("forbidden")
        return job

    def _require_holder(self, job: ModelJob, who: Who) -> None:
        if job.status != "running":
            raise Refused("not_running")
        if who.name != "head" and who != job.holder:
            raise Refused("not_owner")

    def _may_settle(self, job: ModelJob, fence: int) -> bool:
        if fence != job.fence or fence not in job.tries:
            return False
        if job.status == "running":
            return True
        return job.status == "queued" and job.tries[fence].outcome in ("expired", "unaccepted")

    def _late(self, job: ModelJob, fence: int, brought: tuple[str | None, str | None]) -> None:
        known = job.tries.get(fence)
        if known is not None and (known.late is None or known.late[0] is None or brought[0] is not None):
            known.late = brought
        raise Refused("stale_fence" if fence != job.fence else "not_running")
