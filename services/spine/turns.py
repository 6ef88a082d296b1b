"""Ticks that plan their own next turn: at the moment when there is something to do, or after an interval at most."""

import threading
from collections.abc import Callable

import structlog

from contract.clock import Clock
from contract.errors import SpineError, StorageFull, Unavailable
from contract.killpoints import reach
from spine.queue import firing
from spine.queue.rules import Rules
from spine.store.engine import Engine, Tx

_log = structlog.get_logger()

WAIT_SECONDS = 60
# Where no new moment is told of, such as after the wall clock was set: it is looked at so often.
FIRING_INTERVAL_MS = 5_000
# Between two transactions of a firing the writer, and the process, are everyone else's: a thousand schedules that are
# due at once are fired within three seconds, and who calls meanwhile hardly feels it.
FIRING_PAUSE_SECONDS = 0.012
PRUNED_AT_ONCE = 50  # schedules


class Turns:
    """One such tick. `replan` is called with the delay (ms) after which `turn` shall be called."""

    name = ""

    def __init__(self, clock: Clock, interval_ms: int) -> None:
        self._clock, self.interval_ms = clock, interval_ms
        self._lock = threading.Lock()
        self._planned = 0
        self.replan: Callable[[int], None] = lambda _delay_ms: None

    def turn(self) -> None:
        """Make one pass, plan the next. Never raises: a store that is full today may have room at the next turn."""
        with self._lock:
            self._planned = 2**62
        following: int | None = None
        try:
            following = self._pass()
        except (SpineError, TimeoutError) as e:
            _log.error(f"{self.name}.failed", error=str(e))
        now = self._clock.now()
        with self._lock:
            candidate = now + self.interval_ms if following is None else min(following, now + self.interval_ms)
            self._planned = min(self._planned, candidate)
            self.replan(max(1, self._planned - now + 1))

    def _pass(self) -> int | None:
        """Do what is to be done; return when there is something next (ms)."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the pass under way soon."""

    def hint(self, deadline: int) -> None:
        """Take note of a new moment (ms); wakes the tick earlier when it planned to sleep longer."""
        with self._lock:
            if deadline < self._planned:
                self._planned = deadline
                self.replan(max(1, deadline - self._clock.now() + 1))


class Firing(Turns):
    """Fires schedules, in short transactions, between which others have the writer."""

    name = "schedules"

    def __init__(self, store: Engine, rules: Rules, clock: Clock, interval_ms: int = FIRING_INTERVAL_MS) -> None:
        super().__init__(clock, interval_ms)
        self._store, self._rules = store, rules
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End after the transaction under way."""
        self._stopping.set()

    def _pass(self) -> int | None:
        while not self._stopping.wait(FIRING_PAUSE_SECONDS):
            # Read first: while nothing is due, nothing is written.
            following = self._store.read(firing.first_moment).result(timeout=WAIT_SECONDS)
            if following is None or following > self._clock.now():
                return following
            reach("spine.before-firing")
            try:
                self._store.write(lambda tx: firing.fire(tx, self._rules)).result(timeout=WAIT_SECONDS)
                reach("spine.fired")
            except (Unavailable, StorageFull):
                raise
            except SpineError as e:  # a fault of one keeps no other from being fired
                _log.error("schedules.batch_failed", error=str(e))
                self._one_by_one()
        return None

    def prune(self) -> None:
        """Drop old occurrences that came to no job. Never raises."""
        after: int | None = 0
        try:
            while after is not None and not self._stopping.wait(FIRING_PAUSE_SECONDS):
                after = self._store.write(_pruning(after)).result(timeout=WAIT_SECONDS)
        except (SpineError, TimeoutError) as e:
            _log.error("schedules.prune_failed", error=str(e))

    def _one_by_one(self) -> None:
        """Do each thing in a transaction of its own, and put away what cannot be done.

        Raises:
            SpineError, TimeoutError: the store takes no writes.
        """
        for task in self._store.read(firing.tasks).result(timeout=WAIT_SECONDS):
            self._one(task)

    def _one(self, task: firing.Task) -> None:
        try:
            self._store.write(lambda tx: firing.carry_out(tx, self._rules, task)).result(timeout=WAIT_SECONDS)
        except (Unavailable, StorageFull):
            raise
        except SpineError as e:
            _log.error("schedules.given_up", kind=task.kind, schedule=task.id, error=str(e))
            why = str(e)[:500]
            self._store.write(lambda tx: firing.give_up(tx, task, why)).result(timeout=WAIT_SECONDS)


def _pruning(after: int) -> Callable[[Tx], int | None]:
    return lambda tx: firing.prune(tx, after, PRUNED_AT_ONCE)
