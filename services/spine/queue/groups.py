"""Task groups: a dead-man's switch over a set of jobs, with one word when all have ended and one when they are overdue.

Each word is an event, a summary that stays with the group, and a notice to each alias, written in the transaction that
notes that it was said (contract: scheduler, W24, where a group was closed before anybody told of it). Watched by a tick
that keeps nothing in memory, so that it goes on after a restart.
"""

from typing import NamedTuple

import msgspec

from contract import wire
from contract.clock import iso, iso_or_none
from contract.errors import InvalidField, NotFound
from contract.ids import new_job_id
from contract.states import TERMINAL
from spine.queue import notices
from spine.queue.access import Caller
from spine.queue.moments import moment_of
from spine.queue.rules import Rules
from spine.queue.view import raw
from spine.store import events, groups, jobs
from spine.store.engine import Tx
from spine.store.groups import GroupRow

SPINE = "spine"
SHOWN_MOST = 20
_EVENTS = {"done": "group.done", "overdue": "group.overdue"}


class Standing(NamedTuple):
    """How a group's jobs stand: how many in each state."""

    counts: dict[str, int]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())

    @property
    def open(self) -> int:
        """Those that have not ended."""
        return sum(count for status, count in self.counts.items() if status not in TERMINAL)


def create(tx: Tx, rules: Rules, caller: Caller, asked: wire.NewGroup) -> GroupRow:
    """Watch a set of jobs.

    Raises:
        InvalidField: it names no set or several, a job that is not there, two times, or an alias that nobody has.
    """
    if [asked.job_ids, asked.label, asked.parent_id].count(None) != 2:
        raise InvalidField("jobIds: give exactly one of jobIds, label and parentId", "jobIds")
    ids = list(dict.fromkeys(asked.job_ids or []))
    for n, job_id in enumerate(ids):
        if jobs.find(tx, job_id) is None:
            raise InvalidField(f"jobIds[{n}]: there is no job {job_id}", f"jobIds[{n}]")
    for n, name in enumerate(asked.notify):
        notices.require_alias(rules, name, f"notify[{n}]")
    row = GroupRow(
        seq=0,
        id=f"grp_{new_job_id(tx.now)}",
        name=asked.name,
        created_at=tx.now,
        created_by=caller.name,
        label=asked.label,
        parent_id=asked.parent_id,
        overdue_at=_overdue(tx, asked),
        notify=notices.names(asked.notify),
        warned_at=None,
        done_at=None,
        closed_at=None,
        summary=None,
    )
    row = groups.add(tx, row, ids)
    events.append(tx, "group.opened", caller.name, None, None, {"id": row.id, "name": row.name})
    return row


def _overdue(tx: Tx, asked: wire.NewGroup) -> int | None:
    if asked.overdue_at is not None and asked.deadline_seconds is not None:
        raise InvalidField("deadlineSeconds: give overdueAt or deadlineSeconds, not both", "deadlineSeconds")
    if asked.deadline_seconds is not None:
        return tx.now + asked.deadline_seconds * 1000
    return None if asked.overdue_at is None else moment_of(asked.overdue_at, "overdueAt")


def close(tx: Tx, caller: Caller, group_id: str) -> GroupRow:
    """Watch a group no more; nothing is told of it. One that is done stays done, and twice is once.

    Raises:
        NotFound
    """
    row = find(tx, group_id)
    closed = groups.settle(tx, row, closed_at=tx.now)
    if closed is None:
        return row
    events.append(tx, "group.closed", caller.name, None, None, {"id": row.id, "name": row.name})
    return closed


def forgotten(tx: Tx, before: int) -> list[str]:
    """Return the groups that are watched since before a moment (ms), and that no job has come to; it only reads."""
    return [row.id for row in groups.all_open(tx) if _is_forgotten(tx, row, before)]


def close_forgotten(tx: Tx, group_id: str, before: int) -> None:
    """Close a group that is still forgotten (`forgotten`)."""
    row = groups.find(tx, group_id)
    if row is None or row.state in ("done", "closed") or not _is_forgotten(tx, row, before):
        return
    groups.settle(tx, row, closed_at=tx.now)
    events.append(tx, "group.closed", SPINE, None, None, {"id": row.id, "name": row.name})


def _is_forgotten(tx: Tx, row: GroupRow, before: int) -> bool:
    awaited = max(row.created_at, row.overdue_at or 0)
    return awaited < before and not groups.has_open(tx, row) and not groups.counts(tx, row)


def find(tx: Tx, group_id: str) -> GroupRow:
    """Return a group.

    Raises:
        NotFound
    """
    row = groups.find(tx, group_id)
    if row is None:
        raise NotFound(f"there is no group {group_id[:64]}")
    return row


def due(tx: Tx) -> list[str]:
    """Return the groups of which there is something to tell; it only reads."""
    return [row.id for row in groups.all_open(tx) if _is_late(tx, row) or _is_done(tx, row)]


def tell(tx: Tx, group_id: str) -> str | None:
    """Say what there is to say of a group, once; return `done`, `overdue` or None."""
    row = groups.find(tx, group_id)
    if row is None or row.state in ("done", "closed"):
        return None
    standing = Standing(groups.counts(tx, row))
    word = _word(tx, row, standing)
    if word is None:
        return None
    summary = _summary(tx, row, standing)
    noted = {"done_at": tx.now} if word == "done" else {"warned_at": tx.now}
    if groups.settle(tx, row, summary=summary, **noted) is None:
        return None
    data = {"id": row.id, "name": row.name, "counts": standing.counts}
    events.append(tx, _EVENTS[word], SPINE, None, None, data)
    told = "all jobs have ended" if word == "done" else f"overdue since {iso(row.overdue_at or 0)}"
    for alias in msgspec.json.decode(row.notify, type=list[str]):
        notices.say(tx, alias, _EVENTS[word], f"group {row.name}: {told}", summary)
    return word


def _word(tx: Tx, row: GroupRow, standing: Standing) -> str | None:
    if standing.total and not standing.open:
        return "done"
    return "overdue" if _is_late(tx, row) else None


def _is_late(tx: Tx, row: GroupRow) -> bool:
    return row.overdue_at is not None and row.overdue_at <= tx.now and row.warned_at is None


def _is_done(tx: Tx, row: GroupRow) -> bool:
    """Tell it by one job where one is open: every look goes through every group that is watched."""
    return not groups.has_open(tx, row) and bool(groups.counts(tx, row))


def _summary(tx: Tx, row: GroupRow, standing: Standing) -> str:
    """Return a few lines for people: how many of each, then those that are open, then those that ended badly."""
    if not standing.total:
        return "No job is in it."
    ended = standing.total - standing.open
    by_state = ", ".join(f"{count} {status}" for status, count in sorted(standing.counts.items()))
    lines = [f"{ended} of {standing.total} jobs have ended: {by_state}."]
    for member in groups.members(tx, row, False, SHOWN_MOST):
        held = f", held by {member.claimed_by}" if member.claimed_by else ""
        lines.append(f"open: {member.id}{_label(member.label)} is {member.status}{held}")
    if standing.open > SHOWN_MOST:
        lines.append(f"and {standing.open - SHOWN_MOST} more")
    for member in groups.members(tx, row, True, SHOWN_MOST):
        lines.append(f"{member.status}: {member.id}{_label(member.label)}")
    return "\n".join(lines)


def _label(label: str | None) -> str:
    return f" ({label[:80]})" if label else ""


def record(tx: Tx, row: GroupRow) -> wire.Group:
    """Return a group as a record, with how its jobs stand now."""
    found = groups.members(tx, row, False, SHOWN_MOST)
    return wire.Group(
        id=row.id,
        name=row.name,
        state=row.state,
        created_at=iso(row.created_at),
        created_by=row.created_by,
        label=row.label,
        parent_id=row.parent_id,
        overdue_at=iso_or_none(row.overdue_at),
        notify=raw(row.notify),
        warned_at=iso_or_none(row.warned_at),
        done_at=iso_or_none(row.done_at),
        closed_at=iso_or_none(row.closed_at),
        summary=row.summary,
        counts=groups.counts(tx, row),
        open_jobs=[wire.GroupJob(id=m.id, status=m.status, label=m.label, claimed_by=m.claimed_by) for m in found],
    )


def page(tx: Tx, cursor: str | None, limit: int) -> wire.GroupList:
    """Return groups, the newest first.

    Raises:
        InvalidField: the cursor is not one.
    """
    if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise InvalidField("cursor: not one of this list; begin without", "cursor")
    rows = groups.page(tx, int(cursor) if cursor else 2**62, limit)
    following = str(rows[-1].seq) if len(rows) == limit else None
    return wire.GroupList(groups=[record(tx, row) for row in rows], next_cursor=following)
