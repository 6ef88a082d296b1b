"""Lanes: what a claw must be to take a job. They are few, only added to, and cached until a rollback."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from spine.store.engine import Tx
from spine.store.models import Lane
from spine.store.statement import Statement, bind

_FIND = Statement(Lane.select(Lane.id).where((Lane.target == bind("target")) & (Lane.requires == bind("requires"))))
_ADD = Statement(Lane.insert({Lane.target: bind("target"), Lane.requires: bind("requires")}))
_ALL = Statement(Lane.select(Lane.id, Lane.target, Lane.requires).order_by(Lane.id))


class LaneRow(NamedTuple):
    """A lane with its requirements as a set."""

    id: int
    target: str
    requires: frozenset[str]


def canonical(requires: Iterable[str]) -> str:
    """Write requirements as a sorted JSON list without repeats."""
    return msgspec.json.encode(sorted(set(requires))).decode()


class Lanes:
    """The lanes of a store, and which of them a class of claws satisfies. Used by the writer only."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Drop what is cached: a rollback may have taken back a lane."""
        self._ids: dict[tuple[str, str], int] = {}
        self._all: list[LaneRow] | None = None
        self._satisfied: dict[tuple[frozenset[str], frozenset[str], str | None], list[int]] = {}
        self._by_id: dict[int, LaneRow] = {}

    def lane(self, lane_id: int) -> LaneRow | None:
        """Return a lane that was used since the last rollback, else None. Safe to ask from any thread."""
        return self._by_id.get(lane_id)

    def take(self, tx: Tx, target: str, requires: str) -> int:
        """Return the lane's id, made when new."""
        key = (target, requires)
        lane = self._ids.get(key)
        if lane is None:
            row = tx.one(_FIND, target=target, requires=requires)
            lane = self._ids[key] = tx.insert(_ADD, target=target, requires=requires) if row is None else row[0]
            self._by_id[lane] = _row(lane, target, requires)
            if row is None:
                self._all = None  # read again by the next claim
        return lane

    def satisfied(
        self, tx: Tx, targets: frozenset[str], capabilities: frozenset[str], among: str | None = None
    ) -> list[int]:
        """Return the lanes that a claw with these targets and capabilities may take from.

        `among`: only those that ask for this capability, for a worker that knows one kind of job.
        """
        if self._all is None:  # nobody else adds lanes: this process alone writes to the store
            self._all = [_row(*row) for row in tx.rows(_ALL)]
            self._by_id.update({lane.id: lane for lane in self._all})
            self._satisfied.clear()
        key = (targets, capabilities, among)
        found = self._satisfied.get(key)
        if found is None:
            if len(self._satisfied) > 1000:  # classes come from clients: bound them
                self._satisfied.clear()
            found = [
                lane.id
                for lane in self._all
                if fits(lane, targets, capabilities) and (among is None or among in lane.requires)
            ]
            self._satisfied[key] = found
        return found


def _row(lane_id: int, target: str, requires: str) -> LaneRow:
    return LaneRow(lane_id, target, frozenset(msgspec.json.decode(requires)))


def fits(lane: LaneRow, targets: frozenset[str], capabilities: frozenset[str]) -> bool:
    """Tell whether such a claw may take from the lane."""
    return lane.target in targets and lane.requires <= capabilities
