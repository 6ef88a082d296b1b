"""How a job of a foreign dialect is one of ours. docs/reference/dialects.md holds this table; a test compares.

A dialect's job is for `any` and asks for the dialect's name as a capability, so that only a worker that speaks it, or
a claw that offers it, takes it.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from contract.states import Status
from contract.wire import ANY_TARGET
from spine.api.body import BAD_TEXT
from spine.queue.access import Caller, Principal
from spine.store import jobs
from spine.store.engine import Tx
from spine.store.jobs import JobRow

SKYCLAW, BROKER = "skyclaw", "broker"
DIALECTS = frozenset({SKYCLAW, BROKER})
ANY = frozenset({ANY_TARGET})
CUT = "… [cut: it was longer than the spine keeps]"


class Words(NamedTuple):
    """What a status is called in each dialect."""

    skyclaw: str
    broker: str


STATUS: dict[Status, Words] = {
    Status.WAITING: Words("queued", "queued"),
    Status.QUEUED: Words("queued", "queued"),
    Status.RUNNING: Words("leased", "running"),
    Status.DONE: Words("completed", "done"),
    Status.FAILED: Words("failed", "failed"),
    Status.DEAD: Words("failed", "failed"),
    Status.CANCELLED: Words("failed", "failed"),
}


@lru_cache(maxsize=1024)
def _names(requires: str) -> tuple[str, ...]:
    return tuple(msgspec.json.decode(requires))


def asked(job: JobRow) -> tuple[str, ...]:
    """Return what a job requires, the dialect's own capability included."""
    return _names(job.requires)


def find(tx: Tx, dialect: str, job_id: str) -> JobRow | None:
    """Return a job of the dialect; None for any other."""
    job = jobs.find(tx, job_id)
    return job if job is not None and dialect in asked(job) else None


def error(job: JobRow) -> str | None:
    """Return why a job ended badly: those of our statuses that read as failed say which they were."""
    if job.status == Status.DEAD:
        told = f"dead after {job.attempts} attempts"
        return f"{told}: {job.error}" if job.error else told
    if job.status == Status.CANCELLED:
        return f"cancelled: {job.error}" if job.error else "cancelled"
    return job.error if job.status == Status.FAILED else None


def machine(dialect: str, worker: str | None) -> str:
    """Return the name of the machine that a dialect's worker is to us; no claw's name holds a colon.

    The broker's workers may be nameless: they are one machine.
    """
    return f"{dialect}:{worker or ''}"


def worker(dialect: str, claimed_by: str | None) -> str | None:
    """Return the worker as its dialect names it; a claw of ours keeps its name."""
    return claimed_by if claimed_by is None else claimed_by.removeprefix(f"{dialect}:")


def submitter(dialect: str) -> Caller:
    """Return whom a dialect's submitting client is to the queue."""
    return Caller(Principal(dialect, "claw"))


def holder(dialect: str, worker_id: str | None) -> Caller:
    """Return whom a dialect's worker is to the queue."""
    return Caller(Principal(machine(dialect, worker_id), "claw"), worker_id)


def clean(text: str) -> str:
    """Return a text that every engine can keep: NUL and halves of surrogate pairs become U+FFFD."""
    return BAD_TEXT.sub("\ufffd", text)


def cut(text: str, most: int) -> str:
    """Return a text of at most so many bytes that every engine can keep; what was cut off is told of at its end."""
    kept = clean(text[:most])
    if len(text) <= most and (len(kept) * 4 <= most or len(kept.encode()) <= most):
        return kept
    return kept.encode()[: most - len(CUT.encode())].decode(errors="ignore") + CUT


def as_json(value: Any) -> str:
    """Encode a value as the store keeps it."""
    return msgspec.json.encode(value).decode()
