"""Rows as the pages show them: decoded, clean, and with the moments as numbers, which a browser turns into clocks."""

from typing import Any, NamedTuple

import msgspec

from contract import told
from contract.states import TERMINAL, Status
from spine.queue import why
from spine.store import machines
from spine.store.engine import Tx
from spine.store.jobs import JobRow
from spine.store.machines import MachineRow
from spine.web import words

WHAT_MOST = 140


class JobLine(NamedTuple):
    """A job in a list; moments in ms. `seen_at`: when its machine was last heard of."""

    id: str
    what: str
    status: str
    target: str
    machine: str
    label: str
    phase: str
    percent: float | None
    attempts: str
    created_at: int
    started_at: int | None
    finished_at: int | None
    lease_until: int | None
    seen_at: int | None
    error: str
    why: str = ""
    why_code: str = ""
    fence: int = 0


def decoded(text: str | None) -> Any:
    """Return what JSON text of the store says."""
    return None if text is None else msgspec.json.decode(text)


def job_line(job: JobRow, fleet: dict[str, MachineRow] | None = None) -> JobLine:
    """Return a job for a list."""
    progress = decoded(job.progress)
    holder = [name for name in (job.claimed_by, job.machine) if name]
    machine = (fleet or {}).get(job.machine or job.claimed_by or "")
    running = job.status == Status.RUNNING
    return JobLine(
        id=job.id,
        what=words.line(told.what(job.label, decoded(job.spec)), WHAT_MOST),
        status=job.status,
        target=words.line(job.target),
        machine=words.line(" on ".join(dict.fromkeys(holder))),
        label=words.line(job.label or ""),
        phase=words.line(told.phase(progress), 120) if running else "",
        percent=told.percent(progress) if running else None,
        attempts=f"{job.attempts} of {job.max_attempts}",
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        lease_until=job.lease_until,
        seen_at=machine.seen_at if running and machine is not None else None,
        error=words.line(job.error or "", 160),
        fence=job.fence,
    )


def with_reason(tx: Tx, job: JobRow) -> JobLine:
    """Return a job for a list, with the first reason why it does not run."""
    shown = job_line(job)
    if job.status in TERMINAL:
        return shown
    first = next(iter(why.why(tx, job).reasons), None)
    return shown if first is None else shown._replace(why=words.line(first.message, 240), why_code=first.code)


def fleet(tx: Tx) -> dict[str, MachineRow]:
    """Return every machine by its name."""
    return {row.name: row for row in machines.all_of(tx)}
