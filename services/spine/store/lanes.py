"""Lanes: what a claw must be to take a job. They are few, only added to, and cached until a rollback."""

import threading
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from spine.store.engine import Tx
from spine.store.models import Lane
from spine.store.statement import Statement, Written, bind

_FIND = Statement(Lane.select(Lane.id).where((Lane.target == bind("target")) & (Lane.requires == bind("requires"))))
_ADD = Statement(Lane.insert({Lane.target: bind("target"), Lane.requires: bind("requires")}))
# How many of a lane's jobs may be claimed, up to 16: there is no need to count a million.
_READY = Written(
    "postgres",
    """
    SELECT id, (SELECT count(*) FROM (
        SELECT 1 FROM jobs WHERE jobs.lane = lanes.id AND status = 'queued' AND ready = 1 LIMIT 16
    ) AS few) FROM lanes
    """,
    (),
)
_ALL = Statement(Lane.select(Lane.id, Lane.target, Lane.requires).order_by(Lane.id))


class LaneRow(NamedTuple):
    """A lane with its requirements as a set."""

    id: int
    target: str
    requires: frozenset[str]


def canonical(requires: Iterable[str]) -> str:
    """Write requirements as a sorted JSON list without repeats."""
    return msgspec.json.encode(sorted(set(requires))).decode()


class _Known:
    """What one writer has seen of the lanes: with what its own transaction has added, which others do not see yet."""

    def __init__(self) -> None:
        self.ids: dict[tuple[str, str], int] = {}
        self.all: list[LaneRow] | None = None
        self.satisfied: dict[tuple[frozenset[str], frozenset[str], str | None], list[int]] = {}
        self.newest = 0
        self.added: list[int] = []


class Lanes:
    """The lanes of a store, and which of them a class of claws satisfies. Used by writers, each for itself."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._by_id: dict[int, LaneRow] = {}

    def forget(self) -> None:
        """Drop what this writer knows: a rollback may have taken back a lane, whose id is then another's."""
        for lane in self._known().added:
            self._by_id.pop(lane, None)
        self._local.known = _Known()

    def lane(self, lane_id: int) -> LaneRow | None:
        """Return a lane that has been seen, else None. Safe to ask from any thread."""
        return self._by_id.get(lane_id)

    def take(self, tx: Tx, target: str, requires: str) -> int:
        """Return the lane's id, made when new."""
        known, key = self._known(), (target, requires)
        lane = known.ids.get(key)
        if lane is None:
            row = tx.one(_FIND, target=target, requires=requires)
            lane = known.ids[key] = tx.insert(_ADD, target=target, requires=requires) if row is None else row[0]
            if row is None:
                known.added.append(lane)
                known.all = None  # read again by the next claim
            self._by_id[lane] = _row(lane, target, requires)
        return lane

    def _known(self) -> _Known:
        known: _Known | None = getattr(self._local, "known", None)
        if known is None:
            known = self._local.known = _Known()
        return known

    def satisfied(
        self, tx: Tx, targets: frozenset[str], capabilities: frozenset[str], among: str | None = None
    ) -> list[int]:
        """Return the lanes that a claw with these targets and capabilities may take from.

        `among`: only those that ask for this capability, for a worker that knows one kind of job.
        """
        known, newest = self._known(), tx.known[0]
        if known.all is None or known.newest != newest:
            known.all, known.newest = [_row(*row) for row in tx.rows(_ALL)], newest
            self._by_id.update({lane.id: lane for lane in known.all})
            known.satisfied.clear()
        key = (targets, capabilities, among)
        found = known.satisfied.get(key)
        if found is None:
            if len(known.satisfied) > 1000:  # classes come from clients: bound them
                known.satisfied.clear()
            found = [
                lane.id
                for lane in known.all
                if fits(lane, targets, capabilities) and (among is None or among in lane.requires)
            ]
            known.satisfied[key] = found
        return found


def ready(tx: Tx) -> dict[int, int]:
    """Return for each lane that has claimable jobs how many (16 stands for more), in a store that servers share."""
    return {row[0]: int(row[1]) for row in tx.rows(_READY) if row[1]}


def _row(lane_id: int, target: str, requires: str) -> LaneRow:
    return LaneRow(lane_id, target, frozenset(msgspec.json.decode(requires)))


def fits(lane: LaneRow, targets: frozenset[str], capabilities: frozenset[str]) -> bool:
    """Tell whether such a claw may take from the lane."""
    return lane.target in targets and lane.requires <= capabilities
