"""Waking those who wait: claims that wait for a job, streams that wait for events. Lives on the event loop alone.

Waiters queue by target and capabilities: a lane's jobs concern the queues of its target alone, and these are few even
where every claw has a name of its own. A commit that makes jobs of a lane claimable wakes as many of the oldest fitting
waiters as there are jobs. One that could not use its turn passes it on: a claim that took from another
lane, failed or went away; or that found nothing and may not have fitted. One that fits and found nothing has seen that
the job is gone: its turn is spent. No herd, and no database connection is held while waiting.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from spine.store.engine import Signals
from spine.store.lanes import LaneRow, fits

WaiterClass = tuple[frozenset[str], frozenset[str]]
# What waiters have in common is their class: targets and capabilities. Lane id → the classes that have found nothing
# there since the commit that gave the turn.
Turns = dict[int, frozenset[WaiterClass]]


@dataclass(eq=False)
class Waiter:
    """One waiting claim. `turn` is set when it should try; `turns` says for which lanes, `trying` those of the try."""

    order: int
    kind: WaiterClass
    queues: tuple["_Queue", ...]  # one for each of its targets
    turn: asyncio.Event = field(default_factory=asyncio.Event)
    turns: Turns = field(default_factory=dict)
    trying: Turns = field(default_factory=dict)
    superseded: bool = False
    name: str = ""  # of the claw that waits

    def supersede(self) -> None:
        """Tell it that a repeat of its request waits in its place."""
        self.superseded = True
        self.turn.set()

    def take_turn(self) -> None:
        """Begin a try; what wakes it from now on asks for another one. Tell the hub how it went."""
        self.trying, self.turns = self.turns, {}
        self.turn.clear()
        for queue in self.queues:
            queue.push(self)


class _Queue:
    """The waiters with one target and the same capabilities, oldest first.

    Those that have been woken or have left are dropped as they surface.
    """

    def __init__(self) -> None:
        self.waiters: set[Waiter] = set()
        self._heap: list[tuple[int, Waiter]] = []
        self._queued: set[Waiter] = set()

    def push(self, waiter: Waiter) -> None:
        """Queue a waiter by its age; one that is queued already keeps its place."""
        if waiter in self.waiters and waiter not in self._queued:
            heapq.heappush(self._heap, (waiter.order, waiter))
            self._queued.add(waiter)

    def drop(self, waiter: Waiter) -> None:
        """Take a waiter out."""
        self.waiters.discard(waiter)
        if len(self._heap) > 2 * len(self.waiters) + 64:  # claws that poll an idle spine never surface
            self._heap = [(w.order, w) for w in self.waiters if not w.turn.is_set()]
            heapq.heapify(self._heap)
            self._queued = {w for _order, w in self._heap}

    def oldest(self) -> Waiter | None:
        """Return the oldest waiter that has no turn yet."""
        while self._heap:
            waiter = self._heap[0][1]
            if waiter in self.waiters and not waiter.turn.is_set():
                return waiter
            heapq.heappop(self._heap)
            self._queued.discard(waiter)
        return None


class Hub:
    """Waiters and listeners of one process.

    Args:
        lane_of: returns a lane by id, or None when it is not known yet (then every waiter may fit).
        most_waiters: over it a claim is refused rather than kept waiting.
    """

    def __init__(self, lane_of: Callable[[int], LaneRow | None], most_waiters: int, most_streams: int) -> None:
        self._lane_of = lane_of
        self._waiters: set[Waiter] = set()
        self._queues: dict[str, dict[frozenset[str], _Queue]] = {}  # by target, then by capabilities
        self._order = itertools.count()
        self.streams = 0
        self.most_waiters, self.most_streams = most_waiters, most_streams
        self.draining = False
        self._news = asyncio.Event()
        self._log_news: dict[str, set[asyncio.Event]] = {}
        self.deadlines: Callable[[int], None] = lambda _deadline: None
        self.firings: Callable[[int], None] = lambda _moment: None

    # --- waiting claims --------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many claims wait."""
        return len(self._waiters)

    def enter(self, targets: frozenset[str], capabilities: frozenset[str], name: str = "") -> Waiter:
        """Queue a waiter, before its first try: nothing that is committed after that try is missed."""
        queues = tuple(
            self._queues.setdefault(target, {}).setdefault(capabilities, _Queue()) for target in sorted(targets)
        )
        waiter = Waiter(next(self._order), (targets, capabilities), queues, name=name)
        self._waiters.add(waiter)
        for queue in queues:
            queue.waiters.add(waiter)
            queue.push(waiter)
        if self.draining:
            waiter.turn.set()
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Take a waiter out; a turn that it had and did not use goes to the next one."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
            targets, capabilities = waiter.kind
            for target, queue in zip(sorted(targets), waiter.queues, strict=True):
                queue.drop(waiter)
                if not queue.waiters:
                    del self._queues[target][capabilities]
                    if not self._queues[target]:
                        del self._queues[target]
            waiter.queues = ()  # their heaps may still hold it: no circle for the garbage collector
        self._pass_on(waiter.trying | waiter.turns)
        waiter.trying, waiter.turns = {}, {}

    def found(self, waiter: Waiter, lanes: set[int]) -> None:
        """Note that a try took jobs of these lanes; the turns that it had for others go to the next ones."""
        self._pass_on({lane: tried for lane, tried in waiter.trying.items() if lane not in lanes})
        waiter.trying = {}

    def nothing(self, waiter: Waiter) -> None:
        """Note that a try found nothing."""
        unsure: Turns = {}
        for lane_id, tried in waiter.trying.items():
            lane = self._lane_of(lane_id)
            if lane is None or not fits(lane, *waiter.kind):
                unsure[lane_id] = tried | {waiter.kind}
        waiter.trying = {}
        self._pass_on(unsure)

    def _pass_on(self, turns: Turns) -> None:
        for lane, tried in turns.items():
            self._wake(lane, 1, tried)

    def _wake(self, lane_id: int, count: int, tried: frozenset[WaiterClass] = frozenset()) -> None:
        lane = self._lane_of(lane_id)
        for _ in range(count):
            oldest = self._oldest_of_all(tried) if lane is None else self._oldest_for(lane)
            if oldest is None:
                return  # everyone who fits has a turn before them, and will see this job too
            oldest.turns[lane_id] = tried
            oldest.turn.set()

    def _oldest_for(self, lane: LaneRow) -> Waiter | None:
        """Return the oldest waiter without a turn that fits the lane."""
        queues = self._queues.get(lane.target, {}).items()
        idle = [queue.oldest() for capabilities, queue in queues if lane.requires <= capabilities]
        return min((waiter for waiter in idle if waiter is not None), key=_age, default=None)

    def _oldest_of_all(self, tried: frozenset[WaiterClass]) -> Waiter | None:
        """Return the oldest waiter without a turn, of classes that have not tried: of a lane that is not known yet."""
        idle = (waiter for waiter in self._waiters if not waiter.turn.is_set() and waiter.kind not in tried)
        return min(idle, key=_age, default=None)

    # --- after a commit --------------------------------------------------------------------------------------------

    def committed(self, signals: Signals) -> None:
        """Act on what a commit told; runs on the event loop."""
        if signals.everything:  # rare, and a person's doing: everyone looks once
            for waiter in self._waiters:
                waiter.turn.set()
        for lane, count in signals.lanes.items():
            self._wake(lane, count)
        if signals.messages:  # rare too: whoever they are for looks at once
            for waiter in self._waiters:
                if waiter.name in signals.messages:
                    waiter.turn.set()
        if signals.deadline is not None:
            self.deadlines(signals.deadline)
        if signals.firing is not None:
            self.firings(signals.firing)
        if signals.events:
            self._news.set()
            self._news = asyncio.Event()
        for job_id in self._log_news if signals.everything else signals.logs:
            for event in self._log_news.get(job_id, ()):
                event.set()

    # --- streams ---------------------------------------------------------------------------------------------------

    def news(self) -> asyncio.Event:
        """Return the event that the next commit with events will set. Take it before reading."""
        return self._news

    def watch_log(self, job_id: str) -> asyncio.Event:
        """Return an event that is set whenever the job's log grows; give it back with `unwatch_log`."""
        event = asyncio.Event()
        self._log_news.setdefault(job_id, set()).add(event)
        return event

    def unwatch_log(self, job_id: str, event: asyncio.Event) -> None:
        """Stop watching."""
        watchers = self._log_news.get(job_id, set())
        watchers.discard(event)
        if not watchers:
            self._log_news.pop(job_id, None)

    def drain(self) -> None:
        """Answer everyone who waits: the server stops."""
        self.draining = True
        for waiter in self._waiters:
            waiter.turn.set()
        self._news.set()
        for watchers in self._log_news.values():
            for event in watchers:
                event.set()


def _age(waiter: Waiter) -> int:
    return waiter.order
