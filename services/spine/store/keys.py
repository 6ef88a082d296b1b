"""Concurrency keys: at most so many jobs with a key run at once.

Of a lane's queued jobs with a key only as many are `ready` (in the index that claims read) as there may be room for;
the others are parked. So a million jobs behind one full key cost a claim nothing, and a job that no claw can take
keeps nobody of another lane waiting. Slots are counted, never kept: a count that is stored can drift.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import peewee as pw

from spine.store.engine import Tx
from spine.store.models import Job
from spine.store.statement import Statement, bind, number, text

_KEY = Job.concurrency_key == bind("key")
_QUEUED = _KEY & (Job.status == text("queued"))
_PARKED = _QUEUED & (Job.ready == number(0))
_READY = _QUEUED & (Job.ready == number(1)) & (Job.lane == bind("lane"))
_RUNNING = Statement(Job.select(pw.fn.COUNT(Job.seq)).where(_KEY & (Job.status == text("running"))))
_COUNT_READY = Statement(Job.select(pw.fn.COUNT(Job.seq)).where(_READY))
# Lanes and limits are stepped through one by one: each step is one seek, however many jobs are parked.
_NEXT_LANE = Statement(
    Job.select(Job.lane).where(_PARKED & (Job.lane > bind("lane"))).order_by(Job.lane).limit(number(1))
)
_NEXT_LIMIT = Statement(
    Job.select(Job.concurrency_limit)
    .where(_PARKED & (Job.lane == bind("lane")) & (Job.concurrency_limit > bind("used")))
    .order_by(Job.concurrency_limit)
    .limit(number(1))
)
_FIRST_PARKED = Statement(
    Job.select(Job.seq, Job.priority)
    .where(_PARKED & (Job.lane == bind("lane")) & (Job.concurrency_limit == bind("slots")))
    .order_by(Job.priority.desc(), Job.seq)
    .limit(number(1))
)
_LAST_READY = Statement(
    Job.select(Job.seq, Job.priority).where(_READY).order_by(Job.priority, Job.seq.desc()).limit(number(1))
)
_SET = Statement(Job.update({Job.ready: bind("ready")}).where(Job.seq == bind("seq")))
_HOLDERS = Statement(
    Job.select(Job.id).where(_KEY & (Job.status == text("running"))).order_by(Job.seq).limit(number(20))
)


def running(tx: Tx, key: str) -> int:
    """Return how many jobs with the key run, whatever the clock says of their leases.

    Whoever counts must be the only one that writes: two that count at once would both find the last slot free.
    """
    tx.alone()
    row = tx.one(_RUNNING, key=key)
    return 0 if row is None else int(row[0])


def holders(tx: Tx, key: str) -> list[str]:
    """Return the ids of jobs that hold the key's slots (20 at most)."""
    return [row[0] for row in tx.rows(_HOLDERS, key=key)]


def park(tx: Tx, seq: int) -> None:
    """Take a job out of the ready index until a slot frees."""
    tx.run(_SET, seq=seq, ready=0)


def refill(tx: Tx, key: str) -> int:
    """Bring each lane's first queued jobs of the key into the ready index, as many as slots are free; return how many.

    Better ones displace worse ones of their lane.
    """
    busy = running(tx, key)
    return sum(_refill_lane(tx, key, lane, busy) for lane in list(_parked_lanes(tx, key)))


def _refill_lane(tx: Tx, key: str, lane: int, busy: int) -> int:
    row = tx.one(_COUNT_READY, key=key, lane=lane)
    before = ready = 0 if row is None else int(row[0])
    swaps = 0
    while (parked := _best_parked(tx, key, lane, busy + ready)) is not None:
        tx.run(_SET, seq=parked[0], ready=1)
        ready += 1
    while ready and (parked := _best_parked(tx, key, lane, busy)) is not None:
        worst = tx.one(_LAST_READY, key=key, lane=lane)
        if worst is None or _place(parked) > _place(worst):
            break
        tx.run(_SET, seq=worst[0], ready=0)
        tx.run(_SET, seq=parked[0], ready=1)
        swaps += 1
    brought = ready - before + swaps
    if brought:
        tx.signals.lanes[lane] = tx.signals.lanes.get(lane, 0) + brought
    return brought


def _parked_lanes(tx: Tx, key: str) -> Iterator[int]:
    lane = -1
    while (row := tx.one(_NEXT_LANE, key=key, lane=lane)) is not None:
        lane = row[0]
        yield lane


def _best_parked(tx: Tx, key: str, lane: int, used: int) -> Sequence[Any] | None:
    """Return seq and priority of the first parked job whose limit leaves room beside so many, or None."""
    best: Sequence[Any] | None = None
    while (row := tx.one(_NEXT_LIMIT, key=key, lane=lane, used=used)) is not None:
        used = row[0]
        first = tx.one(_FIRST_PARKED, key=key, lane=lane, slots=used)
        if first is not None and (best is None or _place(first) < _place(best)):
            best = first
    return best


def _place(row: Sequence[Any]) -> tuple[int, int]:
    return -row[1], row[0]
