"""Concurrency keys: at most so many jobs with a key run at once.

Of the queued jobs with a key only as many are `ready` (in the index that claims read) as there may be room for; the
others are parked. So a million jobs behind one full key cost a claim nothing. Slots are counted, never kept: a count
that is stored can drift.
"""

import peewee as pw

from spine.store.engine import Tx
from spine.store.models import Job
from spine.store.statement import Statement, bind, number, text

_KEY = Job.concurrency_key == bind("key")
_QUEUED = _KEY & (Job.status == text("queued"))
_RUNNING = Statement(Job.select(pw.fn.COUNT(Job.seq)).where(_KEY & (Job.status == text("running"))))
_READY = Statement(Job.select(pw.fn.COUNT(Job.seq)).where(_QUEUED & (Job.ready == number(1))))
_NEXT_PARKED = Statement(
    Job.select(Job.seq, Job.lane, Job.priority)
    .where(_QUEUED & (Job.ready == number(0)) & (Job.concurrency_limit > bind("used")))
    .order_by(Job.priority.desc(), Job.seq)
    .limit(number(1))
)
_LAST_READY = Statement(
    Job.select(Job.seq, Job.lane, Job.priority)
    .where(_QUEUED & (Job.ready == number(1)))
    .order_by(Job.priority, Job.seq.desc())
    .limit(number(1))
)
_SET = Statement(Job.update({Job.ready: bind("ready")}).where(Job.seq == bind("seq")))
_HOLDERS = Statement(
    Job.select(Job.id).where(_KEY & (Job.status == text("running"))).order_by(Job.seq).limit(number(20))
)


def running(tx: Tx, key: str) -> int:
    """Return how many jobs with the key run, whatever the clock says of their leases."""
    row = tx.one(_RUNNING, key=key)
    return 0 if row is None else int(row[0])


def holders(tx: Tx, key: str) -> list[str]:
    """Return the ids of jobs that hold the key's slots (20 at most)."""
    return [row[0] for row in tx.rows(_HOLDERS, key=key)]


def park(tx: Tx, seq: int) -> None:
    """Take a job out of the ready index until a slot frees."""
    tx.run(_SET, seq=seq, ready=0)


def refill(tx: Tx, key: str) -> None:
    """Bring the key's first queued jobs into the ready index, as many as slots are free; better ones displace worse."""
    busy = running(tx, key)
    row = tx.one(_READY, key=key)
    ready = 0 if row is None else int(row[0])
    while (parked := tx.one(_NEXT_PARKED, key=key, used=busy + ready)) is not None:
        tx.run(_SET, seq=parked[0], ready=1)
        tx.signals.lanes[parked[1]] = tx.signals.lanes.get(parked[1], 0) + 1
        ready += 1
    while ready and (parked := tx.one(_NEXT_PARKED, key=key, used=busy)) is not None:
        worst = tx.one(_LAST_READY, key=key)
        if worst is None or (-parked[2], parked[0]) > (-worst[2], worst[0]):
            return
        tx.run(_SET, seq=worst[0], ready=0)
        tx.run(_SET, seq=parked[0], ready=1)
        tx.signals.lanes[parked[1]] = tx.signals.lanes.get(parked[1], 0) + 1
