"""Waking those who wait: claims that wait for a job, streams that wait for events. Lives on the event loop alone.

Waiters queue per class (targets, capabilities). A commit that makes jobs of a lane claimable wakes as many of the
oldest fitting waiters as there are jobs; one that finds nothing passes its turn to another class. No herd, and no
database connection is held while waiting.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from spine.store.engine import Signals
from spine.store.lanes import LaneRow, fits

WaiterClass = tuple[frozenset[str], frozenset[str]]


@dataclass(eq=False)
class Waiter:
    """One waiting claim. `turn` is set when it should try; `lanes` says for which lanes it was woken."""

    order: int
    kind: WaiterClass
    queue: "_Queue"
    turn: asyncio.Event = field(default_factory=asyncio.Event)
    lanes: set[int] = field(default_factory=set)

    def take_turn(self) -> set[int]:
        """Begin a try: return the lanes that woke it; what wakes it from now on asks for another try."""
        lanes, self.lanes = self.lanes, set()
        self.turn.clear()
        self.queue.push(self)
        return lanes


class _Queue:
    """The waiters of one class, oldest first. Those that have been woken or have left are dropped as they surface."""

    def __init__(self) -> None:
        self.waiters: set[Waiter] = set()
        self._heap: list[tuple[int, Waiter]] = []
        self._queued: set[Waiter] = set()

    def push(self, waiter: Waiter) -> None:
        """Queue a waiter by its age; one that is queued already keeps its place."""
        if waiter in self.waiters and waiter not in self._queued:
            heapq.heappush(self._heap, (waiter.order, waiter))
            self._queued.add(waiter)

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
        self._classes: dict[WaiterClass, _Queue] = {}
        self._order = itertools.count()
        self.waiting = 0
        self.streams = 0
        self.most_waiters, self.most_streams = most_waiters, most_streams
        self.draining = False
        self._news = asyncio.Event()
        self._log_news: dict[str, set[asyncio.Event]] = {}
        self.deadlines: Callable[[int], None] = lambda _deadline: None

    # --- waiting claims --------------------------------------------------------------------------------------------

    def enter(self, targets: frozenset[str], capabilities: frozenset[str]) -> Waiter:
        """Queue a waiter, before its first try: nothing that is committed after that try is missed."""
        kind = (targets, capabilities)
        queue = self._classes.setdefault(kind, _Queue())
        waiter = Waiter(next(self._order), kind, queue)
        queue.waiters.add(waiter)
        queue.push(waiter)
        self.waiting += 1
        if self.draining:
            waiter.turn.set()
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Take a waiter out; a turn that it had and did not use goes to the next one."""
        if waiter in waiter.queue.waiters:
            waiter.queue.waiters.discard(waiter)
            self.waiting -= 1
            if not waiter.queue.waiters:
                del self._classes[waiter.kind]
        self.hand_on(waiter.lanes)

    def hand_on(self, lanes: set[int], beyond: WaiterClass | None = None) -> None:
        """Give turns that were not used to the oldest others; `beyond`: a class that has just found nothing there."""
        for lane in lanes:
            self._wake(lane, 1, beyond)

    def _wake(self, lane_id: int, count: int, beyond: WaiterClass | None = None) -> None:
        lane = self._lane_of(lane_id)
        for _ in range(count):
            oldest: Waiter | None = None
            for kind, queue in self._classes.items():
                if kind == beyond or (lane is not None and not fits(lane, *kind)):
                    continue
                idle = queue.oldest()
                if idle is not None and (oldest is None or idle.order < oldest.order):
                    oldest = idle
            if oldest is None:
                return
            oldest.lanes.add(lane_id)
            oldest.turn.set()

    # --- after a commit --------------------------------------------------------------------------------------------

    def committed(self, signals: Signals) -> None:
        """Act on what a commit told; runs on the event loop."""
        if signals.everything:  # rare, and a person's doing: everyone looks once
            for queue in self._classes.values():
                for waiter in queue.waiters:
                    waiter.turn.set()
        for lane, count in signals.lanes.items():
            self._wake(lane, count)
        if signals.deadline is not None:
            self.deadlines(signals.deadline)
        if signals.events:
            self._news.set()
            self._news = asyncio.Event()
        for job_id in signals.logs:
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
        for queue in self._classes.values():
            for waiter in queue.waiters:
                waiter.turn.set()
        self._news.set()
        for watchers in self._log_news.values():
            for event in watchers:
                event.set()
