"""Schedules: insert, find, list, change; which are due, and when the tick has something to do next."""

from functools import lru_cache
from typing import Any, NamedTuple

from spine.store.engine import Tx
from spine.store.models import Occurrence, Schedule, ScheduleEnd
from spine.store.statement import Statement, bind, number


class ScheduleRow(NamedTuple):
    """A row of `schedules`. Times in ms; `definition` as JSON text; `ended`: why it is never due again."""

    seq: int
    id: str
    name: str
    kind: str
    definition: str
    parent_id: str | None
    paused: int
    next_at: int | None
    fire_at: int | None
    last_at: int | None
    expires_at: int | None
    ended: str | None
    created_at: int
    updated_at: int
    created_by: str
    version: int

    def is_over(self, now: int) -> bool:
        """Tell whether it starts no more jobs by itself."""
        return self.ended is not None or (self.expires_at is not None and self.expires_at <= now)


_COLUMNS = [getattr(Schedule, name) for name in ScheduleRow._fields]
_INSERT = Statement(
    Schedule.insert({getattr(Schedule, name): bind(name) for name in ScheduleRow._fields if name != "seq"})
)
_BY_ID = Statement(Schedule.select(*_COLUMNS).where(Schedule.id == bind("id")))
_PAGE = Statement(
    Schedule.select(*_COLUMNS).where(Schedule.seq > bind("after")).order_by(Schedule.seq).limit(bind("limit"))
)
_NAMED = Statement(
    Schedule.select(*_COLUMNS)
    .where((Schedule.name == bind("name")) & (Schedule.seq > bind("after")))
    .order_by(Schedule.seq)
    .limit(bind("limit"))
)
_CHILDREN = Statement(Schedule.select(*_COLUMNS).where(Schedule.parent_id == bind("id")).order_by(Schedule.seq))
_DUE = Statement(
    Schedule.select(*_COLUMNS).where(Schedule.fire_at <= bind("now")).order_by(Schedule.fire_at).limit(bind("limit"))
)
_DELETE = (
    Statement(Occurrence.delete().where(Occurrence.schedule_id == bind("id"))),
    Statement(ScheduleEnd.delete().where(ScheduleEnd.schedule_id == bind("id"))),
    Statement(Schedule.delete().where(Schedule.id == bind("id"))),
)
_FIRST_FIRE = Statement(
    Schedule.select(Schedule.fire_at).where(Schedule.fire_at.is_null(False)).order_by(Schedule.fire_at).limit(number(1))
)


def add(tx: Tx, row: ScheduleRow) -> ScheduleRow:
    """Add a schedule."""
    seq = tx.insert_row(_INSERT, row)
    _tell(tx, row)
    return row._replace(seq=seq)


def find(tx: Tx, schedule_id: str) -> ScheduleRow | None:
    """Return a schedule, or None."""
    row = tx.one(_BY_ID, id=schedule_id)
    return None if row is None else ScheduleRow._make(row)


def page(tx: Tx, after: int, limit: int, name: str | None = None) -> list[ScheduleRow]:
    """Return schedules behind a position, oldest first; with `name` those that are called so."""
    if name is None:
        return [ScheduleRow._make(row) for row in tx.rows(_PAGE, after=after, limit=limit)]
    return [ScheduleRow._make(row) for row in tx.rows(_NAMED, after=after, limit=limit, name=name)]


def children(tx: Tx, schedule_id: str) -> list[ScheduleRow]:
    """Return the schedules that follow the ends of this one's jobs, oldest first."""
    return [ScheduleRow._make(row) for row in tx.rows(_CHILDREN, id=schedule_id)]


def due(tx: Tx, limit: int) -> list[ScheduleRow]:
    """Return schedules to look at now, the longest due first."""
    return [ScheduleRow._make(row) for row in tx.rows(_DUE, now=tx.now, limit=limit)]


@lru_cache(maxsize=64)
def _change(names: tuple[str, ...]) -> Statement:
    values: dict[Any, Any] = {getattr(Schedule, name): bind(name) for name in names}
    return Statement(Schedule.update(values).where(Schedule.id == bind("guard_id")))


def change(tx: Tx, row: ScheduleRow, **values: Any) -> ScheduleRow:
    """Set some columns of a schedule; return it as it then is."""
    tx.run(_change(tuple(values)), guard_id=row.id, **values)
    changed = row._replace(**values)
    _tell(tx, changed)
    return changed


def delete(tx: Tx, schedule_id: str) -> None:
    """Delete a schedule and what is recorded of it; jobs that it submitted stay."""
    for statement in _DELETE:
        tx.run(statement, id=schedule_id)


def first_moment(tx: Tx) -> int | None:
    """Return when the next schedule is to be looked at (ms), or None."""
    row = tx.one(_FIRST_FIRE)
    return None if row is None else int(row[0])


def _tell(tx: Tx, row: ScheduleRow) -> None:
    if row.fire_at is not None:
        tx.signals.fire(row.fire_at)
