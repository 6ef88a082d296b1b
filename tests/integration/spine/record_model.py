"""The whole life of jobs as plain Python: what must be so after each verb. It knows nothing of the product's code."""

from dataclasses import dataclass, field

LEASE_MS, ACCEPT_MS, STOP_MS, PREFER_MS = 300_000, 15_000, 30_000, 60_000
ENDED = ("done", "failed", "dead", "cancelled")
LAPSED = ("expired", "unaccepted")


class Refused(Exception):
    """The verb is refused; the message is the error's code."""


@dataclass(frozen=True)
class Who:
    """A head, or one worker of a claw with what it can do."""

    name: str
    worker: str | None
    can: frozenset[str] = frozenset()

    def sees(self, target: str) -> bool:
        """Tell whether a job for this target is shown to it."""
        return self.name == "head" or target in (self.name, "any")


@dataclass(frozen=True)
class Asked:
    """What a submit asked for."""

    target: str = "any"
    most: int = 5
    priority: int = 0
    delay: int = 0
    timeout: int | None = None
    requires: tuple[str, ...] = ()
    key: str | None = None
    slots: int = 1
    after: tuple[str, ...] = ()
    backoff: int | None = None
    dedupe: str | None = None
    approval: bool = False
    review: bool = False


@dataclass
class Try:
    """One claim of a job."""

    who: Who
    outcome: str = "running"
    late: tuple[str | None, str | None] | None = None


@dataclass
class ModelJob:
    """What is known of a job."""

    id: str
    place: int
    asked: Asked
    status: str = "queued"
    attempts: int = 0
    fence: int = 0
    round: int = 1
    holder: Who | None = None
    machine: str | None = None
    lease: int | None = None
    started: int = 0
    accepted: bool = True
    unaccepted: int = 0
    wake: int | None = None
    prefer: tuple[str | None, int] | None = None
    needs: set[str] = field(default_factory=set)
    approval: str | None = None
    review: str | None = None
    result: str | None = None
    error: str | None = None
    comments: int = 0
    tries: dict[int, Try] = field(default_factory=dict)

    def leave(self, status: str) -> None:
        """Go to a status that is not running."""
        self.status, self.lease = status, None
        if status in ("queued", "waiting"):
            self.holder = None
        if status != "waiting":
            self.wake = None

    @property
    def counts_as_done(self) -> bool:
        """Those that wait for it may go on."""
        return self.status == "done" and (not self.asked.review or self.review == "accepted")


class RecordModel:
    """All jobs by id, machines and targets, and the time (ms)."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.jobs: dict[str, ModelJob] = {}
        self.machines: dict[str, str] = {}
        self.paused: set[str] = set()

    # --- submitting --------------------------------------------------------------------------------------------------

    def same(self, asked: Asked) -> str | None:
        """Return the unfinished job with the dedupe key."""
        found = [j.id for j in self.jobs.values() if asked.dedupe is not None and self._carries(j, asked.dedupe)]
        return found[0] if found else None

    @staticmethod
    def _carries(job: ModelJob, key: str) -> bool:
        return job.asked.dedupe == key and job.status not in ENDED

    def check(self, asked: Asked) -> None:
        """Refuse what a submit may not ask for."""
        for need in asked.after:
            if need not in self.jobs or self.jobs[need].status in ("failed", "dead", "cancelled"):
                raise Refused("invalid_field")

    def submit(self, job_id: str, asked: Asked) -> None:
        """Add a job under the id that it was given."""
        job = ModelJob(job_id, len(self.jobs), asked)
        job.needs = {need for need in asked.after if not self.jobs[need].counts_as_done}
        job.approval = "pending" if asked.approval else None
        job.wake = self.now + asked.delay * 1000 if asked.delay else None
        if self._held(job):
            job.status = "waiting"
        self.jobs[job_id] = job

    def _held(self, job: ModelJob) -> bool:
        return bool(job.needs) or job.approval == "pending" or (job.wake or 0) > self.now

    def _go_on(self, job: ModelJob) -> None:
        if job.status == "waiting" and not self._held(job):
            job.leave("queued")

    # --- claiming ----------------------------------------------------------------------------------------------------

    def claim_next(self, who: Who) -> str | None:
        """Return the id of the job that a claim must get."""
        self.machines.setdefault(who.name, "active")
        if self.machines[who.name] != "active":
            return None
        for job in sorted(self.jobs.values(), key=lambda job: (-job.asked.priority, job.place)):
            asked = job.asked
            if job.status != "queued" or not who.sees(asked.target) or asked.target in self.paused:
                continue
            if not set(asked.requires) <= who.can:
                continue
            if job.attempts >= asked.most:
                self._end(job, "dead")
            elif not self._kept_for_another(job, who) and not self._full(job):
                self._start(job, who, ACCEPT_MS, accepted=False)
                return job.id
        return None

    def _kept_for_another(self, job: ModelJob, who: Who) -> bool:
        return job.prefer is not None and job.prefer[1] > self.now and job.prefer[0] != who.name

    def _full(self, job: ModelJob) -> bool:
        key = job.asked.key
        running = [j for j in self.jobs.values() if key is not None and j.asked.key == key and j.status == "running"]
        return key is not None and len(running) >= job.asked.slots

    def claim_one(self, job_id: str, who: Who) -> None:
        """Claim a job by its id."""
        job = self.jobs[job_id]
        if who.name == "head":
            raise Refused("unauthorized")
        if not who.sees(job.asked.target):
            raise Refused("forbidden")
        if job.status == "running" and job.lease is not None and job.lease <= self.now:
            self._expire(job)
        if job.status == "running":
            raise Refused("already_claimed")
        if job.status in ENDED:
            raise Refused("terminal_status")
        held = job.status == "waiting" or self._full(job) or self._kept_for_another(job, who)
        held = held or job.asked.target in self.paused or self.machines.get(who.name, "active") != "active"
        if held or not set(job.asked.requires) <= who.can:
            raise Refused("not_claimable")
        if job.attempts >= job.asked.most:
            self._end(job, "dead")
            raise Refused("max_attempts_reached")
        self.machines.setdefault(who.name, "active")
        self._start(job, who, LEASE_MS, accepted=True)

    def _start(self, job: ModelJob, who: Who, lease: int, accepted: bool) -> None:
        job.status, job.holder, job.machine, job.accepted = "running", who, who.name, accepted
        job.started, job.prefer, job.wake = self.now, None, None
        job.lease = self._lease_end(job, lease)
        job.fence += 1
        job.attempts += 1
        job.tries[job.fence] = Try(who)

    def _lease_end(self, job: ModelJob, lease: int) -> int:
        end = self.now + lease
        if job.asked.timeout is not None:
            end = min(end, job.started + job.asked.timeout * 1000 + STOP_MS)
        return max(end, self.now + 1)

    # --- time --------------------------------------------------------------------------------------------------------

    def reap(self) -> None:
        """End every lease that is over, and go on with what waited for a time."""
        running = [job for job in self.jobs.values() if job.lease is not None and job.lease <= self.now]
        for job in sorted(running, key=lambda job: (job.lease or 0, job.place)):
            self._expire(job)
        for job in self.jobs.values():
            if job.wake is not None and job.wake <= self.now:
                self._go_on(job)

    def _expire(self, job: ModelJob) -> None:
        if not job.accepted and job.unaccepted < 3:
            job.tries[job.fence].outcome = "unaccepted"
            job.unaccepted += 1
            job.attempts -= 1
            job.leave("queued")
            return
        job.tries[job.fence].outcome = "expired"
        if job.attempts >= job.asked.most:
            job.error = job.error or "the lease expired"
            self._end(job, "dead")
        else:
            self._again(job)

    def _again(self, job: ModelJob) -> None:
        if job.asked.backoff is None:
            job.leave("queued")
            return
        job.leave("waiting")
        job.wake = self.now + min(job.asked.backoff * 2 ** (job.attempts - 1), 3600) * 1000

    # --- ends --------------------------------------------------------------------------------------------------------

    def _end(self, job: ModelJob, status: str) -> None:
        job.leave(status)
        self._settle(job)

    def _settle(self, ended: ModelJob) -> None:
        work = [ended]
        while work:
            job = work.pop(0)
            waiting = sorted((j for j in self.jobs.values() if job.id in j.needs), key=lambda j: j.id)
            for other in waiting:
                if job.counts_as_done:
                    other.needs.discard(job.id)
                    self._go_on(other)
                elif job.status in ("failed", "dead", "cancelled") and other.status == "waiting":
                    other.error = f"job {job.id} it waited for is {job.status}"
                    other.leave("cancelled")
                    work.append(other)

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
        if who.name != "head":
            self.machines.setdefault(who.name, "active")
        job.lease, job.accepted = self._lease_end(job, LEASE_MS), True

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
        job.tries[job.fence].outcome = "done"
        job.holder = job.tries[job.fence].who
        self._done(job, result)

    def _done(self, job: ModelJob, result: str | None) -> None:
        job.result, job.error = result, None
        job.review = "pending" if job.asked.review else None
        self._end(job, "done")

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
                self._end(job, "failed")
        elif job.attempts >= job.asked.most:
            self._end(job, "dead")
        elif requeue:
            self._again(job)
        else:
            self._end(job, "failed")

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
            if job.status == "queued" and known is not None and known.outcome in (*LAPSED, "superseded"):
                return
            if job.status != "running":
                raise Refused("not_running")
        job.tries[job.fence].outcome = "released"
        if not count:
            job.attempts -= 1
        job.leave("queued")

    def comment(self, job_id: str, who: Who) -> None:
        """Add a comment."""
        self._seen(job_id, who).comments += 1

    def _seen(self, job_id: str, who: Who) -> ModelJob:
        job = self.jobs[job_id]
        if not who.sees(job.asked.target):
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
        return job.status == "running" or (job.status == "queued" and job.tries[fence].outcome in LAPSED)

    def _late(self, job: ModelJob, fence: int, brought: tuple[str | None, str | None]) -> None:
        known = job.tries.get(fence)
        if known is not None and (known.late is None or known.late[0] is None or brought[0] is not None):
            known.late = brought
        raise Refused("stale_fence" if fence != job.fence else "not_running")

    # --- the head ----------------------------------------------------------------------------------------------------

    def cancel(self, job_id: str, reason: str | None) -> None:
        """Cancel what has not ended."""
        job = self.jobs[job_id]
        if job.status == "cancelled":
            return
        if job.status in ENDED:
            raise Refused("terminal_status")
        if job.status == "running":
            job.tries[job.fence].outcome = "cancelled"
        job.error = reason or job.error
        self._end(job, "cancelled")

    def approve(self, job_id: str, right: bool) -> None:
        """Let it go on; `right`: the digest is that of its spec."""
        job = self.jobs[job_id]
        if job.approval is None:
            raise Refused("not_awaiting")
        if not right:
            raise Refused("spec_changed")
        if job.approval == "approved":
            return
        if job.status != "waiting" or job.approval != "pending":
            raise Refused("not_awaiting")
        job.approval = "approved"
        self._go_on(job)

    def reject(self, job_id: str) -> None:
        """Refuse it."""
        job = self.jobs[job_id]
        if job.approval == "rejected":
            return
        if job.status != "waiting" or job.approval != "pending":
            raise Refused("not_awaiting")
        job.approval, job.error = "rejected", "rejected"
        self._end(job, "cancelled")

    def review(self, job_id: str, decision: str, text: str | None) -> None:
        """Accept it, or send it back."""
        job = self.jobs[job_id]
        if not job.asked.review:
            raise Refused("not_awaiting")
        if decision == "accept" and job.review == "accepted":
            return
        if job.status != "done" or job.review != "pending":
            raise Refused("not_awaiting")
        if decision == "accept":
            job.comments += text is not None
            job.review = "accepted"
            self._settle(job)
            return
        self._require_free_key(job)
        job.comments += text is not None
        job.review, job.result = "rework", None
        self._new_round(job)
        job.prefer = (job.machine, self.now + PREFER_MS)

    def retry(self, job_id: str) -> None:
        """Queue it again."""
        job = self.jobs[job_id]
        if job.status == "done":
            raise Refused("terminal_status")
        if job.status not in ENDED or job.approval in ("pending", "rejected"):
            raise Refused("not_awaiting")
        self._require_free_key(job)
        job.needs = set()
        self._new_round(job)
        job.prefer = None

    def _new_round(self, job: ModelJob) -> None:
        job.attempts, job.unaccepted, job.round = 0, 0, job.round + 1
        job.leave("queued")

    def _require_free_key(self, job: ModelJob) -> None:
        key = job.asked.dedupe
        if key is not None and any(self._carries(other, key) for other in self.jobs.values() if other is not job):
            raise Refused("dedupe_conflict")

    def adopt(self, job_id: str, fence: int) -> None:
        """Take a late result."""
        job = self.jobs[job_id]
        known = job.tries.get(fence)
        if known is None:
            raise Refused("invalid_field")
        if job.status == "done":
            raise Refused("terminal_status")
        if known.late is None or known.late[0] is None:
            raise Refused("no_late_result")
        if job.status == "running":
            job.tries[job.fence].outcome = "superseded"
        job.fence += 1
        job.holder, job.machine = known.who, known.who.name
        self._done(job, known.late[0])

    def machine(self, name: str, state: str) -> None:
        """Drain, pause or resume a machine."""
        if name not in self.machines:
            raise Refused("not_found")
        self.machines[name] = state

    def target(self, name: str, paused: bool) -> None:
        """Pause or resume a target."""
        (self.paused.add if paused else self.paused.discard)(name)
