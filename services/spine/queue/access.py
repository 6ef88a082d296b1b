"""Who calls, what they see, and whether they hold a job: roles, targets, fences."""

from dataclasses import dataclass
from typing import Literal

from contract.clock import iso
from contract.errors import Forbidden, Gone, NotFound, NotOwner, NotRunning, StaleFence
from contract.states import Status
from contract.wire import ANY_TARGET
from spine.store import jobs, machines, retention
from spine.store.engine import Tx
from spine.store.jobs import JobRow

Role = Literal["head", "claw", "viewer", "chat"]
RESERVED = frozenset({"head", "any", "all", "viewer", "chat", "spine", "reaper", "skyclaw", "broker"})
"""Names that no claw may have: roles, dialects, who signs events, and words for more than one."""
ONCE_FREE = frozenset({"viewer", "chat"})
"""Those of roles that came later: a store may know a claw of that name."""


@dataclass(frozen=True)
class Principal:
    """Whom a token stands for. `name` is `head` or the claw's name, which is also its target."""

    name: str
    role: Role

    @property
    def is_head(self) -> bool:
        """Heads see and may do everything."""
        return self.role == "head"

    @property
    def is_claw(self) -> bool:
        """Claws run jobs."""
        return self.role == "claw"

    @property
    def sees_all(self) -> bool:
        """All but claws see every job; what a role may call is said in the table of routes."""
        return self.role != "claw"

    @property
    def oversees(self) -> bool:
        """Heads and viewers see what is about no job, too: schedules, machines, messages, notices."""
        return self.role in ("head", "viewer")

    def sees(self, target: str | None) -> bool:
        """A claw sees jobs for itself and for any (contract: native dialect, Identity)."""
        return self.sees_all or target in (self.name, ANY_TARGET)


@dataclass(frozen=True)
class Caller:
    """A principal in one request, with the worker that it says it is (X-Worker-Id).

    `person`: for whom a chat front speaks, by its own word (X-Spine-For).
    """

    principal: Principal
    worker_id: str | None = None
    person: str | None = None

    @property
    def name(self) -> str:
        """The principal's name, as events and claims carry it; of a chat front with the person, `chat/discord:123`."""
        return self.principal.name if self.person is None else f"{self.principal.name}/{self.person}"


def is_revoked(tx: Tx, principal: Principal) -> bool:
    """Tell whether a claw's machine has been revoked since its token was looked at: claims and streams last."""
    machine = machines.find(tx, principal.name) if principal.is_claw else None
    return machine is not None and machine.revoked_at is not None


def visible(tx: Tx, principal: Principal, job_id: str) -> JobRow:
    """Return a job that the principal may see.

    Raises:
        NotFound, Forbidden
        Gone: retention has deleted it.
    """
    job = jobs.find(tx, job_id)
    if job is None:
        ended_at = retention.tombstone(tx, job_id)
        if ended_at is not None:
            told = f"the job ended at {iso(ended_at)} and has been deleted since"
            raise Gone(told, jobId=job_id, endedAt=iso(ended_at))
        raise NotFound(f"there is no job {job_id[:64]}")
    if not principal.sees(job.target):
        raise Forbidden(f"this job is for {job.target}", jobId=job.id)
    return job


def not_running(job: JobRow) -> NotRunning:
    """Build the refusal of a verb that needs a running job; it tells a claw of a cancelled one to stop."""
    members: dict[str, object] = {"status": job.status, "jobId": job.id}
    if job.status == Status.CANCELLED:
        members["cancelRequested"] = True
    return NotRunning(f"the job is {job.status}", **members)


def stale(job: JobRow, fence: int) -> StaleFence:
    """Build the refusal of a fence that is not the newest."""
    return StaleFence(
        f"fence {fence} is not the newest ({job.fence}): the job was claimed or changed since; stop working on it",
        jobId=job.id,
        fence=job.fence,
        status=job.status,
    )


def require_holder(caller: Caller, job: JobRow) -> None:
    """Check ownership where no fence was sent: the role, and the worker id if the claim carried one. Heads pass.

    Raises:
        NotRunning, NotOwner
    """
    if job.status != Status.RUNNING:
        raise not_running(job)
    if caller.principal.is_head:
        return
    if job.claimed_by != caller.name or (job.worker_id is not None and job.worker_id != caller.worker_id):
        raise NotOwner(f"{job.claimed_by} holds this job", jobId=job.id, claimedBy=job.claimed_by)
