"""Jobs of a foreign dialect as their own server left them, made into rows of ours; and where an import gets them."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from contract.clock import iso
from contract.states import TERMINAL, Status
from contract.wire import ANY_TARGET
from spine.facades import mapping
from spine.facades.mapping import as_json
from spine.operations.taken import WAS_RUNNING, Found, Line
from spine.store.attempts import AttemptRow
from spine.store.engine import Tx
from spine.store.events import EventRow
from spine.store.jobs import JobRow
from spine.store.lanes import canonical
from spine.store.machines import MachineRow

ATTEMPTS_LEAST = 5
"""Dialects have no limit of attempts: a job gets what one that is submitted here gets, or one more than it has had."""


class Entry(NamedTuple):
    """Something that can be taken: made at `at`, changed last at `last` (ms); its source finds it again at `place`.

    `name` is what the report calls it, `key` what the store does; `note` is said of it in the report.
    """

    kind: str
    name: str
    key: str
    at: int
    last: int
    place: int
    note: str = ""


class Source(Protocol):
    """Another server's records. Each is read twice: to see whether it can be taken, and to take it."""

    def entries(self) -> Iterator[Entry | Line]:
        """Look at every record; those that cannot be taken come as lines of the report."""

    def take(self, entry: Entry) -> Found | MachineRow:
        """Read a record that can be taken."""

    def settled(self, tx: Tx, job: JobRow) -> None:
        """Note what else follows from a job that was added."""


class Told(NamedTuple):
    """What a dialect's server says of a job; times in ms, `spec` and `result` as JSON text.

    `holder` is the machine that had it last, under our name, `worker` the same under the dialect's.
    """

    dialect: str
    id: str
    status: Status
    created_at: int
    updated_at: int
    attempts: int
    requires: list[str]
    spec: str
    holder: str | None = None
    worker: str | None = None
    started_at: int | None = None
    lease_until: int | None = None
    finished_at: int | None = None
    result: str | None = None
    error: str | None = None


def entry_of(kind: str, name: str, place: int, told: Told) -> Entry:
    """Return the entry of a job."""
    last = max(told.created_at, told.updated_at, told.started_at or 0, told.finished_at or 0)
    note = WAS_RUNNING if told.status == Status.RUNNING else ""
    return Entry(kind, name, told.id, told.created_at, last, place, note)


def rows_of(told: Told) -> Found:
    """Make rows of a job. One that runs must be given back, which `taken.add` does."""
    status = told.status
    if status == Status.RUNNING and told.holder is None:
        status = Status.QUEUED  # held by nobody that could be named
    held = status in (Status.RUNNING, *TERMINAL) and told.holder is not None
    attempts = max(told.attempts, 1) if held else told.attempts
    running, ended = status == Status.RUNNING, status in TERMINAL
    started_at = told.started_at if told.started_at is not None else told.updated_at
    finished_at = told.finished_at if told.finished_at is not None else told.updated_at
    row = JobRow(
        seq=0,
        id=told.id,
        lane=0,
        target=ANY_TARGET,
        status=status.value,
        created_at=told.created_at,
        updated_at=told.updated_at,
        created_by=told.dialect,
        claimed_by=told.holder if held else None,
        worker_id=told.worker if held else None,
        machine=told.holder if held else None,
        lease_until=(told.lease_until or told.updated_at) if running else None,
        attempts=attempts,
        max_attempts=max(ATTEMPTS_LEAST, attempts + 1),
        spec=told.spec,
        result=told.result,
        error=told.error,
        requires=canonical([told.dialect, *told.requires]),
        fence=attempts,
        started_at=started_at if held else None,
        finished_at=finished_at if ended else None,
    )
    events = [_event(row, told.created_at, "job.created", told.dialect, target=ANY_TARGET)]
    if not held:
        return Found(row, [], [], events, [])
    by = row.claimed_by or mapping.machine(told.dialect, None)
    known = {} if told.lease_until is None else {"leaseUntil": iso(told.lease_until)}
    events.append(
        _event(row, started_at, "job.claimed", by, **known, attempt=attempts, fence=attempts, workerId=told.worker)
    )
    outcome = "running" if running else "done" if status == Status.DONE else "failed"
    if status == Status.DONE:
        events.append(_event(row, finished_at, "job.completed", by, status="done", fence=attempts))
    elif status == Status.FAILED:
        failed = {"requeued": False, "attempt": attempts, "error": told.error, "fence": attempts}
        events.append(_event(row, finished_at, "job.failed", by, **failed))
    attempt = AttemptRow(
        row.id, attempts, 1, attempts, outcome, by, told.worker, by, started_at, finished_at if ended else None,
        told.error if outcome == "failed" else None, *(None,) * 4,
    )  # fmt: skip
    return Found(row, [attempt], [], events, [])


def _event(row: JobRow, at: int, kind: str, by: str, **data: object) -> EventRow:
    return EventRow(0, row.id, row.target, at, kind, by, as_json(data))


def shown(name: object) -> str:
    """Return an id that may be anything in a form that fits a line of a terminal."""
    if isinstance(name, str) and name.isprintable() and 0 < len(name) <= 64:
        return name
    return repr(name)[:80]
