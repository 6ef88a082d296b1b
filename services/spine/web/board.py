"""The first page: what runs, what waits and why, what needs a person, what has ended lately."""

from typing import Any

from contract.states import Status
from spine.queue.access import Principal
from spine.store import board, jobs, listing, machines
from spine.store.engine import Tx
from spine.store.jobs import JobRow
from spine.store.listing import Filter
from spine.web import shown
from spine.web.figures import Figures

RUNNING_MOST = 50
WAITING_MOST = 20
NEEDS_MOST = 25
ENDED_MOST = 12
# Of the late results most are of jobs that were done by another attempt since: so many are looked at.
LATE_LOOKS = 100


def look(tx: Tx, principal: Principal, figures: Figures) -> dict[str, Any]:
    """Return what the template shows."""
    fleet = shown.fleet(tx)
    running = list(listing.matching(tx, Filter((Status.RUNNING.value,)), None, 0, RUNNING_MOST))
    approve = board.to_approve(tx, NEEDS_MOST)
    asked = {job.id for job in approve}
    oldest = _oldest(tx, WAITING_MOST + NEEDS_MOST, Status.QUEUED, Status.WAITING)
    waiting = [job for job in oldest if job.id not in asked][:WAITING_MOST]
    return {
        "counts": figures.counts(tx),
        "hours": figures.hours(tx),
        "running": [shown.job_line(job, fleet) for job in running],
        "waiting": [shown.with_reason(tx, job) for job in waiting],
        "approve": [shown.job_line(job) for job in approve],
        "review": [shown.job_line(job) for job in board.to_review(tx, NEEDS_MOST)],
        "late": _late(tx),
        "ended": [shown.job_line(job, fleet) for job in board.ended(tx, ENDED_MOST)],
        "machines": [row for row in fleet.values() if row.revoked_at is None],
        "paused_targets": sorted(machines.paused_targets(tx)),
        "silent_ms": machines.SILENT_MS,
    }


def _oldest(tx: Tx, most: int, *statuses: Status) -> list[JobRow]:
    """Return the oldest jobs of several states. Each has its own index; one question for all goes through the table."""
    found: list[JobRow] = []
    for status in statuses:
        found += listing.matching(tx, Filter((status.value,)), None, 0, most)
    return sorted(found, key=lambda job: job.seq)[:most]


def _late(tx: Tx) -> list[shown.JobLine]:
    found: dict[str, shown.JobLine] = {}
    for job_id, fence in board.late(tx, LATE_LOOKS):
        job = jobs.find(tx, job_id)
        if job is not None and job.status != Status.DONE and job_id not in found:
            found[job_id] = shown.job_line(job)._replace(fence=fence)
    return list(found.values())[:NEEDS_MOST]
