"""Occurrences of schedules, and ends of the jobs that came from them."""

from functools import lru_cache
from typing import Any, NamedTuple

from spine.store.engine import Tx
from spine.store.models import Job, Occurrence, ScheduleEnd
from spine.store.statement import Statement, bind, number, text

FRUITLESS_MOST = 1000


class OccurrenceRow(NamedTuple):
    """A row of `occurrences`. Times in ms. `fire_at`: when one that is pending is submitted."""

    seq: int
    schedule_id: str
    due_at: int
    cause: str
    parent_job_id: str | None
    parent_version: int | None
    status: str
    reason: str | None
    job_id: str | None
    fire_at: int | None
    approve_by: int | None
    recorded_at: int


class EndRow(NamedTuple):
    """A row of `schedule_ends`: the end of a job that came from a schedule, not seen to yet."""

    seq: int
    schedule_id: str
    job_id: str
    version: int
    outcome: str


class ListedRow(NamedTuple):
    """An occurrence and what its job is now."""

    row: OccurrenceRow
    job_status: str | None


class EndedRow(NamedTuple):
    """What a schedule's job came to. `finished_at` in ms; `result` as JSON text."""

    id: str
    target: str
    status: str
    finished_at: int
    result: str | None
    error: str | None


_COLUMNS = [getattr(Occurrence, name) for name in OccurrenceRow._fields]
_ADD = Statement(
    Occurrence.insert(
        {getattr(Occurrence, name): bind(name) for name in OccurrenceRow._fields if name != "seq"}
    ).on_conflict_ignore()
)
_LAST = Statement(Occurrence.select(Occurrence.seq).order_by(Occurrence.seq.desc()).limit(number(1)))
_BY_SEQ = Statement(Occurrence.select(*_COLUMNS).where(Occurrence.seq == bind("seq")))
_PAGE = Statement(
    Occurrence.select(*_COLUMNS, Job.status)
    .join(Job, "LEFT OUTER JOIN", on=(Job.id == Occurrence.job_id))
    .where((Occurrence.schedule_id == bind("id")) & (Occurrence.seq < bind("before")))
    .order_by(Occurrence.seq.desc())
    .limit(bind("limit"))
)
_QUEUED = Statement(
    Occurrence.select(*_COLUMNS)
    .where((Occurrence.schedule_id == bind("id")) & (Occurrence.status == text("queued")))
    .order_by(Occurrence.seq)
    .limit(number(1))
)
_PENDING = Statement(
    Occurrence.select(*_COLUMNS)
    .where(Occurrence.fire_at <= bind("now"))
    .order_by(Occurrence.fire_at)
    .limit(bind("limit"))
)
_UNAPPROVED = Statement(
    Occurrence.select(*_COLUMNS)
    .where(Occurrence.approve_by <= bind("now"))
    .order_by(Occurrence.approve_by)
    .limit(bind("limit"))
)
_FIRST_PENDING = Statement(
    Occurrence.select(Occurrence.fire_at)
    .where(Occurrence.fire_at.is_null(False))
    .order_by(Occurrence.fire_at)
    .limit(number(1))
)
_FIRST_UNAPPROVED = Statement(
    Occurrence.select(Occurrence.approve_by)
    .where(Occurrence.approve_by.is_null(False))
    .order_by(Occurrence.approve_by)
    .limit(number(1))
)
_ACTIVE = Statement(
    Job.select(Job.id).where((Job.schedule_id == bind("id")) & Job.finished_at.is_null()).limit(bind("limit"))
)
_ENDED = Statement(
    Job.select(*[getattr(Job, name) for name in EndedRow._fields])
    .where((Job.schedule_id == bind("id")) & (Job.finished_at <= bind("before")) & (Job.id != bind("but")))
    .order_by(Job.finished_at.desc(), Job.seq.desc())
    .limit(bind("limit"))
)
# Of a schedule that is skipped each second: what came to no job is kept as far back as people look.
_FRUITLESS = (Occurrence.schedule_id == bind("id")) & Occurrence.status.in_(
    [text("skipped"), text("missed"), text("refused"), text("dropped")]
)
_OLDEST_KEPT = Statement(
    Occurrence.select(Occurrence.seq)
    .where(_FRUITLESS)
    .order_by(Occurrence.seq.desc())
    .limit(number(1))
    .offset(number(FRUITLESS_MOST))
)
_DROP_FRUITLESS = Statement(Occurrence.delete().where(_FRUITLESS & (Occurrence.seq <= bind("seq"))))
_NOTE_END = Statement(
    ScheduleEnd.insert({getattr(ScheduleEnd, name): bind(name) for name in EndRow._fields if name != "seq"})
)
_ENDS = Statement(
    ScheduleEnd.select(*[getattr(ScheduleEnd, name) for name in EndRow._fields])
    .order_by(ScheduleEnd.seq)
    .limit(bind("limit"))
)
_END_OF = Statement(ScheduleEnd.select(ScheduleEnd.seq).where(ScheduleEnd.schedule_id == bind("id")).limit(number(1)))
_DROP_END = Statement(ScheduleEnd.delete().where(ScheduleEnd.seq == bind("seq")))


def add(tx: Tx, row: OccurrenceRow) -> OccurrenceRow | None:
    """Record an occurrence; None when it is recorded already."""
    if tx.run(_ADD, **{name: value for name, value in row._asdict().items() if name != "seq"}) != 1:
        return None
    _tell(tx, row)
    found = tx.one(_LAST)
    return row._replace(seq=0 if found is None else int(found[0]))


def find(tx: Tx, seq: int) -> OccurrenceRow | None:
    """Return an occurrence, or None."""
    row = tx.one(_BY_SEQ, seq=seq)
    return None if row is None else OccurrenceRow._make(row)


def page(tx: Tx, schedule_id: str, before: int, limit: int) -> list[ListedRow]:
    """Return a schedule's occurrences before a position, newest first."""
    return [
        ListedRow(OccurrenceRow._make(row[:-1]), row[-1])
        for row in tx.rows(_PAGE, id=schedule_id, before=before, limit=limit)
    ]


def queued(tx: Tx, schedule_id: str) -> OccurrenceRow | None:
    """Return the occurrence that waits until the schedule's job has ended, or None."""
    row = tx.one(_QUEUED, id=schedule_id)
    return None if row is None else OccurrenceRow._make(row)


def pending(tx: Tx, limit: int) -> list[OccurrenceRow]:
    """Return occurrences whose delay is over."""
    return [OccurrenceRow._make(row) for row in tx.rows(_PENDING, now=tx.now, limit=limit)]


def unapproved(tx: Tx, limit: int) -> list[OccurrenceRow]:
    """Return occurrences whose jobs somebody should have approved by now."""
    return [OccurrenceRow._make(row) for row in tx.rows(_UNAPPROVED, now=tx.now, limit=limit)]


@lru_cache(maxsize=64)
def _change(names: tuple[str, ...]) -> Statement:
    values: dict[Any, Any] = {getattr(Occurrence, name): bind(name) for name in names}
    return Statement(Occurrence.update(values).where(Occurrence.seq == bind("guard_seq")))


def change(tx: Tx, row: OccurrenceRow, **values: Any) -> OccurrenceRow:
    """Set some columns of an occurrence; return it as it then is."""
    tx.run(_change(tuple(values)), guard_seq=row.seq, **values)
    changed = row._replace(**values)
    _tell(tx, changed)
    return changed


def _tell(tx: Tx, row: OccurrenceRow) -> None:
    for moment in (row.fire_at, row.approve_by):
        if moment is not None:
            tx.signals.fire(moment)


def prune(tx: Tx, schedule_id: str) -> int:
    """Drop occurrences that came to no job, but for a schedule's newest 1,000 of them; return how many."""
    row = tx.one(_OLDEST_KEPT, id=schedule_id)
    return 0 if row is None else tx.run(_DROP_FRUITLESS, id=schedule_id, seq=row[0])


def active_jobs(tx: Tx, schedule_id: str, limit: int) -> list[str]:
    """Return ids of jobs of a schedule that have not ended."""
    return [str(row[0]) for row in tx.rows(_ACTIVE, id=schedule_id, limit=limit)]


def ended_jobs(tx: Tx, schedule_id: str, before: int, but: str, limit: int) -> list[EndedRow]:
    """Return jobs of a schedule that had ended at a moment (ms), the last one first; `but`: without this one."""
    rows = tx.rows(_ENDED, id=schedule_id, before=before, but=but, limit=limit)
    return [EndedRow._make(row) for row in rows]


def note_end(tx: Tx, schedule_id: str, job_id: str, version: int, outcome: str) -> None:
    """Note that a job of a schedule has ended, for the tick."""
    tx.insert(_NOTE_END, schedule_id=schedule_id, job_id=job_id, version=version, outcome=outcome)
    tx.signals.fire(tx.now)


def ends(tx: Tx, limit: int) -> list[EndRow]:
    """Return ends that are not seen to yet, oldest first."""
    return [EndRow._make(row) for row in tx.rows(_ENDS, limit=limit)]


def has_ends(tx: Tx, schedule_id: str) -> bool:
    """Tell whether an end of a schedule's job is not seen to yet."""
    return tx.one(_END_OF, id=schedule_id) is not None


def drop_end(tx: Tx, end: EndRow) -> bool:
    """Forget an end that is being seen to; False when somebody has."""
    return tx.run(_DROP_END, seq=end.seq) == 1


def first_moment(tx: Tx) -> int | None:
    """Return when there is something to do next (ms), or None; at once when an end is not seen to."""
    if tx.one(_ENDS, limit=1) is not None:
        return tx.now
    moments = [row[0] for row in (tx.one(_FIRST_PENDING), tx.one(_FIRST_UNAPPROVED)) if row is not None]
    return min(moments, default=None)
