"""What the runs before a job came to, for the agent that is to do it: the last results of its schedule, or the likest.

Reckoned when it is asked for, on a reader's connection; firing only notes in the job what is wanted.
"""

from itertools import islice

import msgspec

from contract import wire
from contract.clock import iso
from contract.redaction import redact
from contract.states import Status
from spine.queue import notices
from spine.queue.access import Caller, require_holder, visible
from spine.queue.likeness import likest
from spine.store import occurrences
from spine.store.engine import Tx
from spine.store.jobs import JobRow
from spine.store.occurrences import EndedRow

LOOKED_AT = 50  # of the newest ends (contract: scheduler 3.14)
EXCERPT_MOST = 2000  # characters


def runs(tx: Tx, caller: Caller, job_id: str) -> list[wire.EarlierRun]:
    """Return what the schedule's `context` asks for; nothing for a job of no schedule, or of one that asks nothing.

    Only ends from before the job's attempt began count, and of those only ones that say something.

    Raises:
        NotFound, Gone, Forbidden
        NotRunning, NotOwner: a claw asks that does not hold the job.
    """
    job = visible(tx, caller.principal, job_id)
    if not caller.principal.sees_all:
        require_holder(caller, job)
    wanted = _wanted(job)
    if wanted is None or job.schedule_id is None:
        return []
    before = tx.now if job.started_at is None else job.started_at
    ended = occurrences.ended_jobs(tx, job.schedule_id, before, job.id, LOOKED_AT)
    # The schedule may have been for another claw then.
    told = ((row, text) for row in ended if caller.principal.sees(row.target) and (text := _text(row)))
    if wanted.like is None:
        return [_record(row, text) for row, text in islice(told, wanted.last)]
    choice = list(told)
    places = likest(wanted.like, [text[:EXCERPT_MOST] for _, text in choice], wanted.last)
    return [_record(*choice[place]) for place in places]


def _wanted(job: JobRow) -> wire.Context | None:
    meta = msgspec.json.decode(job.meta)
    try:
        return msgspec.convert(meta.get("context"), wire.Context | None)
    except msgspec.ValidationError:
        return None  # a member of somebody's own, on a job that no schedule has made


def _text(row: EndedRow) -> str:
    if row.status == Status.CANCELLED:
        return ""
    words = notices.words_of(row.result)
    if not words.strip() and row.result not in (None, "null", "{}"):
        words = row.result or ""
    return notices.told_of(row.status, row.error, words).strip()


def _record(row: EndedRow, text: str) -> wire.EarlierRun:
    text = redact(text)  # here, since it takes long where results are: of at most ten
    return wire.EarlierRun(
        job_id=row.id,
        status=row.status,
        finished_at=iso(row.finished_at),
        text=text[:EXCERPT_MOST],
        cut=len(text) > EXCERPT_MOST,
    )
