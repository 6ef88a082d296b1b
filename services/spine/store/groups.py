"""Task groups and how their jobs stand."""

from functools import lru_cache
from typing import Any, NamedTuple

import peewee as pw

from spine.store.engine import Tx
from spine.store.models import Job
from spine.store.models_groups import Group, GroupJob
from spine.store.statement import Statement, bind, number, text


class GroupRow(NamedTuple):
    """A row of `groups`; times in ms, `notify` as JSON text. `warned_at`: when it was told to be overdue."""

    seq: int
    id: str
    name: str
    created_at: int
    created_by: str
    label: str | None
    parent_id: str | None
    overdue_at: int | None
    notify: str
    warned_at: int | None
    done_at: int | None
    closed_at: int | None
    summary: str | None

    @property
    def state(self) -> str:
        """Return open, overdue, done or closed."""
        if self.done_at is not None:
            return "done"
        if self.closed_at is not None:
            return "closed"
        return "open" if self.warned_at is None else "overdue"


class Member(NamedTuple):
    """A job of a group, as far as a summary tells of it."""

    id: str
    status: str
    label: str | None
    claimed_by: str | None


_COLUMNS = [getattr(Group, name) for name in GroupRow._fields]
_OPEN = Group.done_at.is_null() & Group.closed_at.is_null()
_ADD = Statement(Group.insert({getattr(Group, name): bind(name) for name in GroupRow._fields if name != "seq"}))
_ADD_JOB = Statement(GroupJob.insert({GroupJob.group_id: bind("group_id"), GroupJob.job_id: bind("job_id")}))
_FIND = Statement(Group.select(*_COLUMNS).where(Group.id == bind("id")))
_ALL_OPEN = Statement(Group.select(*_COLUMNS).where(_OPEN).order_by(Group.seq))
_OVER = Statement(
    Group.select(Group.id)
    .where((Group.done_at < bind("before")) | (Group.closed_at < bind("before")))
    .order_by(Group.seq)
    .limit(bind("limit"))
)
_DROP_JOBS = Statement(GroupJob.delete().where(GroupJob.group_id == bind("id")))
_DROP = Statement(Group.delete().where(Group.id == bind("id")))
_PAGE = Statement(
    Group.select(*_COLUMNS).where(Group.seq < bind("before")).order_by(Group.seq.desc()).limit(bind("limit"))
)
# Told by what they are not: by what they are, those of every group would be looked up, and not those of this one.
_NOT_BAD = [text(status) for status in ("waiting", "queued", "running", "done")]


def add(tx: Tx, row: GroupRow, job_ids: list[str]) -> GroupRow:
    """Add a group, with the jobs that it names."""
    seq = tx.insert(_ADD, **row._asdict())
    for job_id in job_ids:
        tx.run(_ADD_JOB, group_id=row.id, job_id=job_id)
    return row._replace(seq=seq)


def find(tx: Tx, group_id: str) -> GroupRow | None:
    """Return a group, or None."""
    row = tx.one(_FIND, id=group_id)
    return None if row is None else GroupRow._make(row)


def all_open(tx: Tx) -> list[GroupRow]:
    """Return the groups that are watched, the oldest first."""
    return [GroupRow._make(row) for row in tx.rows(_ALL_OPEN)]


def page(tx: Tx, before: int, limit: int) -> list[GroupRow]:
    """Return groups from before a seq on, the newest first."""
    return [GroupRow._make(row) for row in tx.rows(_PAGE, before=before, limit=limit)]


def purge(tx: Tx, before: int, limit: int) -> int:
    """Delete up to `limit` groups that were done or closed before a moment (ms); return how many."""
    over = [row[0] for row in tx.rows(_OVER, before=before, limit=limit)]
    for group_id in over:
        tx.run(_DROP_JOBS, id=group_id)
        tx.run(_DROP, id=group_id)
    return len(over)


@lru_cache(maxsize=8)
def _settle(names: tuple[str, ...]) -> Statement:
    changes = {getattr(Group, name): bind(name) for name in names}
    return Statement(Group.update(changes).where((Group.id == bind("id")) & _OPEN))


def settle(tx: Tx, row: GroupRow, **changes: Any) -> GroupRow | None:
    """Change a group that is still watched; None when it is not any more."""
    if tx.run(_settle(tuple(changes)), id=row.id, **changes) != 1:
        return None
    return row._replace(**changes)


def _of(row_kind: str) -> Any:
    """Return the condition on a job of a group. By label or parent only those that had not ended when it was made."""
    if row_kind == "ids":
        named = GroupJob.select(GroupJob.job_id).where(GroupJob.group_id == bind("group_id"))
        return Job.id.in_(named)
    column = Job.label if row_kind == "label" else Job.parent_id
    return (column == bind("value")) & (Job.finished_at.is_null() | (Job.finished_at >= bind("since")))


@lru_cache(maxsize=3)
def _counting(row_kind: str) -> Statement:
    return Statement(Job.select(Job.status, pw.fn.COUNT(Job.seq)).where(_of(row_kind)).group_by(Job.status))


@lru_cache(maxsize=3)
def _any_open(row_kind: str) -> Statement:
    found = Job.select(Job.seq).where(_of(row_kind) & Job.finished_at.is_null()).limit(number(1))
    # The newest first: of a label's jobs, those of last year have ended.
    return Statement(found if row_kind == "ids" else found.order_by(Job.seq.desc()))


@lru_cache(maxsize=8)
def _listing(row_kind: str, bad: bool) -> Statement:
    state = Job.status.not_in(_NOT_BAD) if bad else Job.finished_at.is_null()
    columns = [getattr(Job, name) for name in Member._fields]
    return Statement(Job.select(*columns).where(_of(row_kind) & state).order_by(Job.seq).limit(bind("limit")))


def _asked(row: GroupRow) -> tuple[str, dict[str, Any]]:
    if row.label is not None:
        return "label", {"value": row.label, "since": row.created_at}
    if row.parent_id is not None:
        return "parent", {"value": row.parent_id, "since": row.created_at}
    return "ids", {"group_id": row.id}


def counts(tx: Tx, row: GroupRow) -> dict[str, int]:
    """Return how many of a group's jobs are in each state."""
    kind, values = _asked(row)
    return {str(row[0]): int(row[1]) for row in tx.rows(_counting(kind), **values)}


def has_open(tx: Tx, row: GroupRow) -> bool:
    """Tell whether a job of a group has not ended."""
    kind, values = _asked(row)
    return tx.one(_any_open(kind), **values) is not None


def members(tx: Tx, row: GroupRow, bad: bool, limit: int) -> list[Member]:
    """Return jobs of a group that have ended badly, or those that have not ended, the oldest first."""
    kind, values = _asked(row)
    return [Member._make(found) for found in tx.rows(_listing(kind, bad), limit=limit, **values)]
