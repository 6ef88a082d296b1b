"""Attempts: one row a claim, keyed by fence; how it ended, and what came too late."""

from typing import NamedTuple

import peewee as pw

from contract import wire
from spine.store.engine import Tx
from spine.store.models import Attempt
from spine.store.statement import Statement, bind, number, text


class AttemptRow(NamedTuple):
    """A row of `attempts`; times in ms, results as JSON text."""

    job_id: str
    fence: int
    round: int
    attempt: int
    outcome: str
    claimed_by: str
    worker_id: str | None
    machine: str | None
    started_at: int
    ended_at: int | None
    error: str | None
    late_result: str | None
    late_error: str | None
    late_at: int | None
    result: str | None
    cause: str | None = None


_COLUMNS = [getattr(Attempt, name) for name in AttemptRow._fields]
_AT_BIRTH = ("job_id", "fence", "round", "attempt", "claimed_by", "worker_id", "machine", "started_at")
_START = Statement(
    Attempt.insert({**{getattr(Attempt, n): bind(n) for n in _AT_BIRTH}, Attempt.outcome: text("running")}),
    beside=True,
)
OF_CLAIM = {
    "fence": "fence",
    "attempt": "attempts",
    "claimed_by": "claimed_by",
    "worker_id": "worker_id",
    "machine": "machine",
}
"""What of an attempt is which column of its job."""
_END = Statement(
    Attempt.update(
        {
            Attempt.outcome: bind("outcome"),
            Attempt.ended_at: bind("now"),
            Attempt.error: bind("error"),
            Attempt.cause: bind("cause"),
        }
    ).where((Attempt.job_id == bind("job_id")) & (Attempt.fence == bind("fence"))),
    beside=True,
)
_KEEP_LATE = Statement(
    Attempt.update(
        {Attempt.late_result: bind("result"), Attempt.late_error: bind("error"), Attempt.late_at: bind("now")}
    ).where((Attempt.job_id == bind("job_id")) & (Attempt.fence == bind("fence")))
)
_KEEP_ROUND = Statement(
    Attempt.update({Attempt.result: bind("result")}).where(
        (Attempt.job_id == bind("job_id")) & (Attempt.fence == bind("fence"))
    )
)
_FIND = Statement(
    Attempt.select(*_COLUMNS).where((Attempt.job_id == bind("job_id")) & (Attempt.fence == bind("fence")))
)
_NEWEST_OF = Statement(
    Attempt.select(*_COLUMNS)
    .where((Attempt.job_id == bind("job_id")) & (Attempt.claimed_by == bind("claimed_by")))
    .order_by(Attempt.fence.desc())
    .limit(number(1))
)
_OVERLOADS = Statement(
    Attempt.select(pw.fn.COUNT(Attempt.fence)).where(
        (Attempt.job_id == bind("job_id")) & (Attempt.round == bind("round")) & (Attempt.cause == text("overload"))
    )
)
_OF_JOB = Statement(Attempt.select(*_COLUMNS).where(Attempt.job_id == bind("job_id")).order_by(Attempt.fence))


def start(
    tx: Tx,
    job_id: str,
    fence: int,
    round: int,
    attempt: int,
    claimed_by: str,
    worker_id: str | None,
    machine: str | None,
) -> None:
    """Record a claim."""
    tx.run(
        _START,
        job_id=job_id,
        fence=fence,
        round=round,
        attempt=attempt,
        claimed_by=claimed_by,
        worker_id=worker_id,
        machine=machine,
        started_at=tx.now,
    )


def end(
    tx: Tx, job_id: str, fence: int, outcome: str, error: str | None = None, cause: wire.Cause | None = None
) -> None:
    """Record how a claim ended."""
    tx.run(_END, job_id=job_id, fence=fence, outcome=outcome, error=error, cause=cause, now=tx.now)


def overloads(tx: Tx, job_id: str, round: int) -> int:
    """Return how many attempts of a round have ended by overload."""
    row = tx.one(_OVERLOADS, job_id=job_id, round=round)
    return 0 if row is None else int(row[0])


def keep_round(tx: Tx, job_id: str, fence: int, result: str | None) -> None:
    """Keep the result of a round that was sent back."""
    tx.run(_KEEP_ROUND, job_id=job_id, fence=fence, result=result)


def keep_late(tx: Tx, job_id: str, fence: int, result: str | None, error: str | None) -> None:
    """Keep what a claim reported after its fence had been passed."""
    tx.run(_KEEP_LATE, job_id=job_id, fence=fence, result=result, error=error, now=tx.now)


def find(tx: Tx, job_id: str, fence: int) -> AttemptRow | None:
    """Return a claim, or None when this fence was never given out."""
    row = tx.one(_FIND, job_id=job_id, fence=fence)
    return None if row is None else AttemptRow._make(row)


def of_job(tx: Tx, job_id: str) -> list[AttemptRow]:
    """Return every claim of a job, oldest first."""
    return [AttemptRow._make(row) for row in tx.rows(_OF_JOB, job_id=job_id)]


def newest_of(tx: Tx, job_id: str, claimed_by: str) -> AttemptRow | None:
    """Return the newest claim of a job by one machine, or None: its fence, for a holder that was never told it."""
    row = tx.one(_NEWEST_OF, job_id=job_id, claimed_by=claimed_by)
    return None if row is None else AttemptRow._make(row)
