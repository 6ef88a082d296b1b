"""Events: the append-only history of every job, read by position."""

from typing import Any, NamedTuple

import msgspec

from spine.store.engine import Tx
from spine.store.models import Event
from spine.store.statement import Statement, bind, number

_encode = msgspec.json.Encoder().encode


class EventRow(NamedTuple):
    """A row of `events`; `at` in ms, `data` as JSON text."""

    seq: int
    job_id: str | None
    target: str | None
    at: int
    type: str
    author: str
    data: str


_COLUMNS = [getattr(Event, name) for name in EventRow._fields]
_APPEND = Statement(
    Event.insert({getattr(Event, name): bind(name) for name in EventRow._fields if name != "seq"}), beside=True
)
_BETWEEN = (Event.seq > bind("after")) & (Event.seq < bind("settled"))
_AFTER = Statement(Event.select(*_COLUMNS).where(_BETWEEN).order_by(Event.seq).limit(bind("limit")))
_AFTER_OF_JOBS = Statement(
    Event.select(*_COLUMNS).where(_BETWEEN & Event.job_id.is_null(False)).order_by(Event.seq).limit(bind("limit"))
)
_AFTER_FOR = Statement(
    Event.select(*_COLUMNS)
    .where(_BETWEEN & Event.target.in_([bind("own"), bind("any")]))
    .order_by(Event.seq)
    .limit(bind("limit"))
)
_OF_JOB = Statement(
    Event.select(*_COLUMNS).where((Event.job_id == bind("job_id")) & _BETWEEN).order_by(Event.seq).limit(bind("limit"))
)
_NEWEST_OF_JOB = Statement(
    Event.select(*_COLUMNS)
    .where((Event.job_id == bind("job_id")) & (Event.seq < bind("settled")))
    .order_by(Event.seq.desc())
    .limit(bind("limit"))
)
_LAST_AT = Statement(Event.select(Event.at).order_by(Event.seq.desc()).limit(number(1)))
_LAST = Statement(
    Event.select(Event.seq).where(Event.seq < bind("settled")).order_by(Event.seq.desc()).limit(number(1))
)


def append(tx: Tx, kind: str, by: str, job_id: str | None, target: str | None, data: dict[str, Any]) -> None:
    """Write one event in this transaction."""
    tx.run(
        _APPEND,
        job_id=job_id,
        target=target,
        at=tx.now,
        type=kind,
        author=by,
        data=_encode(data).decode(),
    )
    tx.signals.events = True


def after(tx: Tx, position: int, limit: int, own_target: str | None = None, of_jobs: bool = False) -> list[EventRow]:
    """Return events after a position; with `own_target` only those of jobs for it or for any, `of_jobs` all of jobs."""
    if own_target is None:
        rows = tx.rows(_AFTER_OF_JOBS if of_jobs else _AFTER, after=position, settled=tx.settled, limit=limit)
    else:
        rows = tx.rows(_AFTER_FOR, after=position, settled=tx.settled, limit=limit, own=own_target, any="any")
    return [EventRow._make(row) for row in rows]


def of_job(tx: Tx, job_id: str, position: int, limit: int) -> list[EventRow]:
    """Return a job's events after a position."""
    found = tx.rows(_OF_JOB, job_id=job_id, after=position, settled=tx.settled, limit=limit)
    return [EventRow._make(row) for row in found]


def newest_of_job(tx: Tx, job_id: str, limit: int) -> list[EventRow]:
    """Return a job's last events, oldest first."""
    found = tx.rows(_NEWEST_OF_JOB, job_id=job_id, settled=tx.settled, limit=limit)
    return [EventRow._make(row) for row in found][::-1]


def last(tx: Tx) -> int:
    """Return the newest position, 0 when there is none."""
    row = tx.one(_LAST, settled=tx.settled)
    return 0 if row is None else int(row[0])


def newest_at(tx: Tx) -> int:
    """Return when the newest event was written (ms), 0 when there is none."""
    row = tx.one(_LAST_AT)
    return 0 if row is None else int(row[0])
