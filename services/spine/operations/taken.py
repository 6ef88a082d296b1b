"""What an import takes, whatever it comes from, and what it tells of it."""

from typing import NamedTuple

from contract.states import Status
from spine.operations.requeue import give_back
from spine.store import jobs, past, retention
from spine.store.attempts import AttemptRow
from spine.store.comments import CommentRow
from spine.store.engine import Tx
from spine.store.events import EventRow
from spine.store.jobs import JobRow
from spine.store.lanes import Lanes

KNOWN = "already there"
WAS_RUNNING = "was running; queued, its attempt counted"
ID_RULE = "an id has 1 to 64 of A-Z a-z 0-9 . _ ~ -"


class Broken(ValueError):
    """A file or a record cannot be taken; the message says why."""


class Line(NamedTuple):
    """A row of the report: what kind of thing, which, `imported`, `skipped` or `broken`, and why."""

    kind: str
    name: str
    state: str
    reason: str = ""


class Report(NamedTuple):
    """What was done, or would be: how many of each kind and state, and a line for all that was not simply taken."""

    counts: dict[tuple[str, str], int]
    lines: list[Line]

    def add(self, line: Line) -> None:
        """Count a thing; keep its line when there is something to say."""
        key = (line.kind, line.state)
        self.counts[key] = self.counts.get(key, 0) + 1
        if line.reason and line.reason != KNOWN:
            self.lines.append(line)

    @property
    def broken(self) -> int:
        """How many things could not be taken whole."""
        return sum(count for (_, state), count in self.counts.items() if state == "broken")


class Found(NamedTuple):
    """A job with all that was known of it, as rows (lane and places are not known yet)."""

    job: JobRow
    attempts: list[AttemptRow]
    comments: list[CommentRow]
    events: list[EventRow]
    faults: list[str]


def is_known(tx: Tx, job_id: str) -> bool:
    """Tell whether a job is there, or was until retention deleted it."""
    return jobs.find(tx, job_id) is not None or retention.tombstone(tx, job_id) is not None


def add(tx: Tx, lanes: Lanes, found: Found) -> bool:
    """Add a job with all that belongs to it; one that runs is given back. False: it is there already, and stays."""
    if is_known(tx, found.job.id):
        return False
    lane = lanes.take(tx, found.job.target, found.job.requires)
    row = past.add_job(tx, found.job._replace(lane=lane))
    for attempt in found.attempts:
        past.add_attempt(tx, attempt)
    for comment in found.comments:
        past.add_comment(tx, row.id, comment)
    for event in found.events:
        past.add_event(tx, event)
    if row.status == Status.RUNNING:
        give_back(tx, row, found.attempts[-1].fence, "imported")
    return True
