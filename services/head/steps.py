"""What a person may type next about a job, the likeliest first."""

from typing import NamedTuple

from contract.states import TERMINAL, Status
from contract.wire import Attempt, Job
from head import clean, words
from head.steer import candidates


class Step(NamedTuple):
    """A command line without `spine-head`, and what comes of it."""

    command: str
    meaning: str


def steps(job: Job, attempts: list[Attempt]) -> list[Step]:
    """Return what can be done about a job as it stands."""
    name = clean.line(job.id)
    found: list[Step] = []
    if job.status == Status.WAITING and job.approval is not None and job.approval.state == "pending":
        found += [
            Step(f"approve {name}", "let exactly this spec run"),
            Step(f"reject {name} --reason TEXT", "cancel it"),
        ]
    if words.needs_review(job):
        found += [
            Step(f"review {name} accept", "take the result"),
            Step(f"review {name} rework TEXT", "send it back, with what to do differently"),
        ]
    if job.status != Status.DONE and (late := candidates(attempts)):
        found.append(Step(f"adopt {name} {late[-1].fence}", "take the result that came late"))
    if job.status in (Status.WAITING, Status.QUEUED):
        found.append(Step(f"why {name}", "see what holds it"))
    if job.status in (Status.FAILED, Status.DEAD, Status.CANCELLED):
        found.append(Step(f"retry {name}", "queue it again"))
    if job.status not in TERMINAL:
        found.append(Step(f"watch {name}", "follow it to its end"))
    if job.fence > 0:
        found.append(Step(f"logs {name}" + ("" if words.ended(job) else " --follow"), "read its log"))
    if job.status == Status.RUNNING:
        found.append(Step(f"comment {name} TEXT", "tell its machine something"))
    if job.status not in TERMINAL:
        found.append(Step(f"cancel {name}", "stop it"))
    return found
