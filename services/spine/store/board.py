"""What a person looks at first: jobs that ask for one, jobs that ended lately, and how many ended when."""

import peewee as pw

from spine.store.engine import Tx
from spine.store.jobs import COLUMNS, JobRow
from spine.store.models import Attempt, Job
from spine.store.statement import Statement, bind, number, text

HOUR_MS = 3_600_000

_TO_APPROVE = Statement(
    Job.select(*COLUMNS)
    .where((Job.approval == text("pending")) & (Job.status == text("waiting")))
    .order_by(Job.seq)
    .limit(bind("limit"))
)
_TO_REVIEW = Statement(
    Job.select(*COLUMNS)
    .where((Job.review == text("pending")) & (Job.status == text("done")))
    .order_by(Job.seq)
    .limit(bind("limit"))
)
_LATE = Statement(
    Attempt.select(Attempt.job_id, Attempt.fence)
    .where(Attempt.late_result.is_null(False))
    .order_by(Attempt.late_at.desc())
    .limit(bind("limit"))
)
_ENDED = Statement(
    Job.select(*COLUMNS)
    .where(Job.finished_at.is_null(False))
    .order_by(Job.finished_at.desc(), Job.seq.desc())
    .limit(bind("limit"))
)
_HOUR = Job.finished_at / number(HOUR_MS)
_BY_HOUR = Statement(
    Job.select(_HOUR, Job.status, pw.fn.COUNT(Job.seq))
    .where((Job.finished_at >= bind("since")) & (Job.finished_at < bind("until")))
    .group_by(_HOUR, Job.status)
)


def to_approve(tx: Tx, limit: int) -> list[JobRow]:
    """Return jobs that wait for approval, oldest first."""
    return [JobRow._make(row) for row in tx.rows(_TO_APPROVE, limit=limit)]


def to_review(tx: Tx, limit: int) -> list[JobRow]:
    """Return done jobs that nobody has reviewed yet, oldest first."""
    return [JobRow._make(row) for row in tx.rows(_TO_REVIEW, limit=limit)]


def late(tx: Tx, limit: int) -> list[tuple[str, int]]:
    """Return (job, fence) of the attempts that left a result too late, the last to come first."""
    return [(row[0], row[1]) for row in tx.rows(_LATE, limit=limit)]


def ended(tx: Tx, limit: int) -> list[JobRow]:
    """Return the jobs that ended last, the last one first."""
    return [JobRow._make(row) for row in tx.rows(_ENDED, limit=limit)]


def ended_by_hour(tx: Tx, since: int, until: int) -> list[tuple[int, str, int]]:
    """Return (hour since the epoch, status, how many) of the jobs that ended in a span of time (ms)."""
    return [(int(row[0]), row[1], row[2]) for row in tx.rows(_BY_HOUR, since=since, until=until)]
