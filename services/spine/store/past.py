"""Rows of what happened elsewhere, with the ids and times that they had there: for an import, never for a verb."""

from spine.store.attempts import AttemptRow
from spine.store.comments import CommentRow
from spine.store.engine import Tx
from spine.store.events import EventRow
from spine.store.jobs import JobRow
from spine.store.machines import MachineRow
from spine.store.models import Attempt, Comment, Event, Job, Machine
from spine.store.statement import Statement, bind

_JOB = tuple(name for name in JobRow._fields if name != "seq")
_EVENT = tuple(name for name in EventRow._fields if name != "seq")
_COMMENT = ("job_id", *(name for name in CommentRow._fields if name != "seq"))
_ADD_JOB = Statement(Job.insert({getattr(Job, n): bind(n) for n in _JOB}))
_ADD_ATTEMPT = Statement(Attempt.insert({getattr(Attempt, n): bind(n) for n in AttemptRow._fields}))
_ADD_COMMENT = Statement(Comment.insert({getattr(Comment, n): bind(n) for n in _COMMENT}))
_ADD_MACHINE = Statement(Machine.insert({getattr(Machine, n): bind(n) for n in MachineRow._fields}))
_ADD_EVENT = Statement(Event.insert({getattr(Event, n): bind(n) for n in _EVENT}))


def add_job(tx: Tx, row: JobRow) -> JobRow:
    """Add a job as it stood there."""
    return row._replace(seq=tx.insert(_ADD_JOB, **{name: getattr(row, name) for name in _JOB}))


def add_attempt(tx: Tx, row: AttemptRow) -> None:
    """Add an attempt."""
    tx.run(_ADD_ATTEMPT, **row._asdict())


def add_comment(tx: Tx, job_id: str, row: CommentRow) -> None:
    """Add a comment."""
    tx.insert(_ADD_COMMENT, job_id=job_id, at=row.at, author=row.author, text=row.text)


def add_event(tx: Tx, row: EventRow) -> None:
    """Add an event; its place is the next one."""
    tx.insert(_ADD_EVENT, **{name: getattr(row, name) for name in _EVENT})
    tx.signals.events = True


def add_machine(tx: Tx, row: MachineRow) -> None:
    """Add a machine, last heard of when it was heard of there."""
    tx.run(_ADD_MACHINE, **row._asdict())
