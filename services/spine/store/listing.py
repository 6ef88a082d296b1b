"""Lists and counts of jobs."""

from collections.abc import Iterator
from functools import lru_cache, reduce
from heapq import merge
from itertools import islice
from operator import add
from typing import Any, NamedTuple

import peewee as pw

from spine.store.engine import NEVER, Tx
from spine.store.jobs import COLUMNS, JobRow
from spine.store.models import Attempt, Job, Lane
from spine.store.statement import Either, Statement, ahead, behind, bind, number, place, text


class Filter(NamedTuple):
    """What a list is narrowed to; empty members narrow nothing. `since` in ms (creation), `q` a text to look for.

    `needs`: what a person has to decide about it, one of NEEDS.
    """

    statuses: tuple[str, ...] = ()
    target: str | None = None
    machine: str | None = None
    label: str | None = None
    q: str | None = None
    since: int | None = None
    needs: str | None = None


# What a person is asked, and the column and the state that tell; each has an index of its own. A late result stands
# with the attempt that left it.
_ASKED = {"approval": (Job.approval, "waiting"), "review": (Job.review, "done")}
_LEFT_LATE = Attempt.select(Attempt.job_id).where(Attempt.late_result.is_null(False))
NEEDS = (*_ASKED, "late")

_HOW_MANY = pw.fn.COUNT(pw.SQL("*"))
# Each by an index alone. Few run at a time; of what neither is queued nor runs there may be millions, whose index is
# written to only when a job comes there: at its end, mostly.
_TARGETS = Statement(Lane.select(Lane.target).distinct().order_by(Lane.target))
_COUNT_QUEUED = Statement(
    Job.select(_HOW_MANY, pw.fn.MIN(Job.seq)).where((Job.status == text("queued")) & (Job.target == bind("target")))
)
_COUNT_RUNNING = Statement(Job.select(Job.target, _HOW_MANY).where(Job.status == text("running")).group_by(Job.target))
_COUNT_OTHERS = Statement(
    Job.select(Job.status, Job.target, _HOW_MANY)
    .where((Job.status != text("queued")) & (Job.status != text("running")))
    .group_by(Job.status, Job.target)
)
_CREATED_AT = Statement(Job.select(Job.created_at).where(Job.seq == bind("seq")))
_FOLLOWING = Statement(Job.select(Job.seq).where(Job.seq > bind("after")).order_by(Job.seq).limit(number(1)))
_TEXTS = (Job.id, Job.label, Job.spec, Job.error)


_OF_SKYCLAW = Job.created_by == text("skyclaw")
_SKYCLAW_UNFINISHED = Statement(Job.select(*COLUMNS).where(_OF_SKYCLAW & Job.finished_at.is_null()).order_by(Job.seq))
_SKYCLAW_ENDED = Statement(
    Job.select(*COLUMNS)
    .where(_OF_SKYCLAW & Job.finished_at.is_null(False))
    .order_by(Job.finished_at.desc(), Job.seq.desc())
)


class _Shape(NamedTuple):
    """What a list is narrowed by."""

    statuses: tuple[str, ...]
    target: bool
    targets: bool
    machine: bool
    label: bool
    q: bool
    since: bool
    needs: str | None

    def single(self) -> list[tuple[Any, Any]]:
        """Return the columns that have one value, and that value; first the one whose index is to give a list."""
        given = (("label", self.label), ("machine", self.machine), ("target", self.target))
        found = [(getattr(Job, name), bind(name)) for name, narrowed in given if narrowed]
        if self.needs in _ASKED:
            column, status = _ASKED[self.needs]
            found = [(column, text("pending")), (Job.status, text(status)), *found]
        if len(self.statuses) == 1:
            found.append((Job.status, text(self.statuses[0])))  # inlined, so that a partial index can match it
        return found


def _where(shape: _Shape, place_in_list: Any, others: list[tuple[Any, Any]]) -> Any:
    where = place_in_list
    for column, value in others:
        where &= column == value
    if len(shape.statuses) > 1:
        where &= Job.status.in_([text(status) for status in shape.statuses])
    if shape.targets:
        where &= Job.target.in_([bind("target0"), bind("target1")])
    if shape.q:
        # Both sides by the engine: SQLite folds ASCII alone, so that Python's word for "Ä" would find no "Ä".
        found = place(pw.fn.LOWER(_TEXTS[0]), pw.fn.LOWER(bind("q"))) > number(0)
        for column in _TEXTS[1:]:
            found |= place(pw.fn.LOWER(column), pw.fn.LOWER(bind("q"))) > number(0)
        where &= found
    if shape.since:
        where &= Job.created_at >= bind("since")
    if shape.needs == "late":
        where &= Job.id.in_(_LEFT_LATE) & (Job.status != text("done"))
    return where


def _oldest(shape: _Shape) -> Any:
    """Return the list of what lies behind a place, oldest first."""
    first, others = shape.single()[:1], shape.single()[1:]
    after: Any = Job.seq > bind("after")
    for column, value in first:
        after = behind(column, value, Job.seq, bind("after"))
    order = [column for column, _ in first] + [Job.seq]
    return Job.select(*COLUMNS).where(_where(shape, after, others)).order_by(*order).limit(bind("limit"))


@lru_cache(maxsize=512)
def _select(shape: _Shape) -> Statement:
    query = _oldest(shape)
    return Statement(query if shape.single() or not shape.statuses else Either(query, _merged(shape)))


@lru_cache(maxsize=512)
def _newest(shape: _Shape) -> Statement:
    first, others = shape.single()[:1], shape.single()[1:]
    before: Any = Job.seq < bind("before")
    for column, value in first:
        before = ahead(column, value, Job.seq, bind("before"))
    order = [column.desc() for column, _ in first] + [Job.seq.desc()]
    where = _where(shape, before, others) & (Job.seq >= bind("floor"))
    return Statement(Job.select(*COLUMNS).where(where).order_by(*order).limit(bind("limit")))


@lru_cache(maxsize=512)
def _within(shape: _Shape) -> Statement:
    return Statement(_oldest(shape).where(Job.seq <= bind("upto")))


_CREATED_BEFORE = Statement(
    Job.select(Job.created_at).where(Job.seq < bind("seq")).order_by(Job.seq.desc()).limit(number(1))
)


def _merged(shape: _Shape) -> Any:
    """Return the list of several statuses from those of each: by one index, PostgreSQL reads what has none of them."""
    parts = []
    for status in shape.statuses:
        after = behind(Job.status, text(status), Job.seq, bind("after"))
        part = Job.select(*COLUMNS).where(_where(shape._replace(statuses=()), after, []))
        parts.append(part.order_by(Job.status, Job.seq).limit(bind("limit")))
    return reduce(add, parts).order_by(pw.SQL("seq")).limit(bind("limit"))


@lru_cache(maxsize=512)
def _count(shape: _Shape) -> Statement:
    where = _where(shape, (Job.seq > bind("after")) & (Job.seq <= bind("upto")), shape.single())
    return Statement(Job.select(pw.fn.COUNT(Job.seq)).where(where))


def _shape(narrowed: Filter, targets: tuple[str, str] | None) -> _Shape:
    n = narrowed
    given = (n.target, targets, n.machine, n.label, n.q, n.since)
    target, several, machine, label, q, since = (value is not None for value in given)
    return _Shape(tuple(sorted(set(n.statuses))), target, several, machine, label, q, since, n.needs)


def _values(narrowed: Filter, targets: tuple[str, str] | None, after: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if targets is not None:
        values |= {"target0": targets[0], "target1": targets[1]}
    values |= narrowed._asdict() | {"after": after}
    return values


def matching(tx: Tx, narrowed: Filter, targets: tuple[str, str] | None, after: int, limit: int) -> Iterator[JobRow]:
    """Iterate over jobs that match, oldest first, behind position `after`; `targets` is what the caller may see."""
    statement = _select(_shape(narrowed, targets))
    return map(JobRow._make, tx.rows(statement, **_values(narrowed, targets, after), limit=limit))


def within(tx: Tx, narrowed: Filter, after: int, upto: int, limit: int) -> Iterator[JobRow]:
    """Iterate over jobs that match, oldest first, whose place is behind `after` and not behind `upto`."""
    values = _values(narrowed, None, after) | {"upto": upto, "limit": limit}
    return map(JobRow._make, tx.rows(_within(_shape(narrowed, None)), **values))


def newest(
    tx: Tx, narrowed: Filter, before: int, floor: int, limit: int, targets: tuple[str, str] | None = None
) -> Iterator[JobRow]:
    """Iterate over jobs that match, newest first, whose place is below `before` and not below `floor`.

    `targets` is what the caller may see.
    """
    values = _values(narrowed, targets, 0) | {"before": before, "floor": floor, "limit": limit}
    shape = _shape(narrowed, targets)
    shapes = [shape]
    if not shape.single() and shape.statuses:  # each status has its own index; what is read by them is merged here
        shapes = [shape._replace(statuses=(status,)) for status in shape.statuses]
    found = (map(JobRow._make, tx.rows(_newest(one), **values)) for one in shapes)
    return islice(merge(*found, key=lambda job: job.seq, reverse=True), limit)


def created_before(tx: Tx, seq: int) -> int | None:
    """Return when the newest job before a place was created (ms), or None."""
    row = tx.one(_CREATED_BEFORE, seq=seq)
    return None if row is None else int(row[0])


def unfinished_of_skyclaw(tx: Tx) -> list[JobRow]:
    """Return all jobs of that dialect that have not ended, oldest first."""
    return [JobRow._make(row) for row in tx.rows(_SKYCLAW_UNFINISHED)]


def ended_of_skyclaw(tx: Tx) -> Iterator[JobRow]:
    """Iterate over all jobs of that dialect that have ended, the last one first."""
    return map(JobRow._make, tx.rows(_SKYCLAW_ENDED))


def count(tx: Tx, narrowed: Filter, after: int = 0, upto: int = NEVER) -> int:
    """Return how many jobs match, of those whose place is behind `after` and not behind `upto`."""
    row = tx.one(_count(_shape(narrowed, None)), **_values(narrowed, None, after) | {"upto": upto})
    return 0 if row is None else int(row[0])


def following(tx: Tx, after: int) -> int | None:
    """Return the next place behind one at which there is a job: whole stretches may have been purged."""
    row = tx.one(_FOLLOWING, after=after)
    return None if row is None else int(row[0])


def counts(tx: Tx) -> list[tuple[str, str, int, int | None]]:
    """Return (status, target, how many) for every pair that has jobs; of queued ones also when the first was made (ms).

    With a million jobs it takes some 50 ms: keep what it returns for a while.
    """
    found: list[tuple[str, str, int, int | None]] = []
    for (target,) in list(tx.rows(_TARGETS)):
        count, first = tx.one(_COUNT_QUEUED, target=target) or (0, None)
        oldest = None if first is None else tx.one(_CREATED_AT, seq=first)
        if oldest is not None:
            found.append(("queued", target, count, oldest[0]))
    found += [("running", target, count, None) for target, count in tx.rows(_COUNT_RUNNING)]
    return found + [(status, target, count, None) for status, target, count in tx.rows(_COUNT_OTHERS)]
