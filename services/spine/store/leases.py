"""Leases and other moments of jobs: which are over, when the next one is, how they are stretched."""

import peewee as pw

from contract.errors import Conflict
from spine.store.engine import Tx
from spine.store.jobs import COLUMNS, JobRow
from spine.store.models import Job
from spine.store.statement import Statement, bind, number, text

_OVERDUE = Statement(
    Job.select(*COLUMNS)
    .where(Job.lease_until <= bind("now"))  # only a running job has one
    .order_by(Job.lease_until)
    .limit(bind("limit"))
)
_NEXT_LEASE_END = Statement(
    Job.select(Job.lease_until).where(Job.lease_until.is_null(False)).order_by(Job.lease_until).limit(number(1))
)
# In the words of the index jobs_held, so that it can be taken.
_BY_HOSTS = (Job.status == text("running")) & pw.SQL("claimed_by >= 'skyclaw:'") & pw.SQL("claimed_by < 'skyclaw<'")
_HELD = _BY_HOSTS & (Job.claimed_by == bind("host")) & (Job.started_at >= bind("since"))
_HELD_BY = Statement(Job.select(*COLUMNS).where(_HELD).order_by(Job.started_at))
_COUNT_HELD = Statement(Job.select(pw.fn.COUNT(Job.seq)).where(_HELD))
_COUNTS_HELD = Statement(Job.select(Job.claimed_by, pw.fn.COUNT(Job.seq)).where(_BY_HOSTS).group_by(Job.claimed_by))
_GRACE = Statement(
    Job.update({Job.lease_until: bind("until")}).where(
        (Job.lease_until >= bind("since")) & (Job.lease_until < bind("until"))
    )
)
_EXTEND = Statement(
    Job.update(
        {
            Job.lease_until: bind("lease_until"),
            Job.accepted: number(1),
            Job.progress: bind("progress"),
            Job.comments_seen: bind("comments_seen"),
            Job.updated_at: bind("now"),
            Job.version: Job.version + number(1),
        }
    ).where((Job.id == bind("id")) & (Job.status == text("running")) & (Job.fence == bind("fence"))),
    beside=True,
)
_DUE = Statement(Job.select(*COLUMNS).where(Job.wake_at <= bind("now")).order_by(Job.wake_at).limit(bind("limit")))
_NEXT_WAKE = Statement(Job.select(Job.wake_at).where(Job.wake_at.is_null(False)).order_by(Job.wake_at).limit(number(1)))
_SLEEP_NO_MORE = Statement(Job.update({Job.wake_at: bind("none")}).where(Job.id == bind("id")))


def overdue(tx: Tx, limit: int) -> list[JobRow]:
    """Return running jobs whose lease has ended, the longest ended first."""
    return [JobRow._make(row) for row in tx.rows(_OVERDUE, now=tx.now, limit=limit)]


def next_moment(tx: Tx) -> int | None:
    """Return the earliest moment (ms) at which the reaper has something to do, or None."""
    moments = [row[0] for row in (tx.one(_NEXT_LEASE_END), tx.one(_NEXT_WAKE)) if row is not None]
    return min(moments, default=None)


def due(tx: Tx, limit: int) -> list[JobRow]:
    """Return jobs whose time to be looked at has come."""
    return [JobRow._make(row) for row in tx.rows(_DUE, now=tx.now, limit=limit)]


def sleep_no_more(tx: Tx, job: JobRow) -> None:
    """Forget the moment of a job that has been looked at and goes on waiting for something else."""
    tx.run(_SLEEP_NO_MORE, id=job.id, none=None)


def held_by(tx: Tx, host: str, since: int = 0) -> list[JobRow]:
    """Return the jobs that a Skyclaw host (its machine's name) holds, of those claimed since a time (ms)."""
    return [JobRow._make(row) for row in tx.rows(_HELD_BY, host=host, since=since)]


def count_held(tx: Tx, host: str, since: int = 0) -> int:
    """Return how many those are."""
    row = tx.one(_COUNT_HELD, host=host, since=since)
    return 0 if row is None else int(row[0])


def counts_held(tx: Tx) -> dict[str, int]:
    """Return how many jobs each Skyclaw host holds that holds any."""
    return {str(row[0]): int(row[1]) for row in tx.rows(_COUNTS_HELD)}


def grant_grace(tx: Tx, since: int, until: int) -> int:
    """Move every lease end in [since, until) to `until` (ms); return how many."""
    return tx.run(_GRACE, since=since, until=until)


def extend(tx: Tx, job: JobRow, lease_until: int, progress: str | None, comments_seen: int) -> JobRow:
    """Stretch a running job's lease.

    Raises:
        Conflict: it is not running under this fence any more.
    """
    changed = tx.run(
        _EXTEND,
        id=job.id,
        fence=job.fence,
        lease_until=lease_until,
        progress=progress,
        comments_seen=comments_seen,
        now=tx.now,
    )
    if changed != 1:
        raise Conflict
    return job._replace(
        lease_until=lease_until,
        accepted=1,
        progress=progress,
        comments_seen=comments_seen,
        updated_at=tx.now,
        version=job.version + 1,
    )
