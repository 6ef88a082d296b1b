"""Leadership as this process may believe in it: taken, renewed and given up, and over before the store's lease is.

`is_leader` is reckoned from the clock whenever it is asked: no flag can be left standing by a lost answer, a stopped
process or a machine that slept. What is done as the leader carries the grant all the same, and the store judges it.
"""

import threading
from collections.abc import Callable

import structlog

from cluster.backend import Away, Backend, ClusterError, Grant, Holder, Leader
from cluster.outage import Outage
from contract.clock import since_boot

_log = structlog.get_logger("cluster.election")

LEASE_SECONDS = 10.0
"""How long a lease lasts, unless told: a new leader comes within this and two seconds more."""
_SAFE = 0.95
"""The part of a lease in which its holder believes: two clocks may run apart by a twentieth."""
_RENEWALS = 3
LOOK_SECONDS = 1.0
"""How often a follower looks whether somebody leads, at most."""


class Election:
    """One candidate.

    Args:
        clock: seconds that go on while the machine sleeps.
        changed: called with True or False when this candidate begins or ceases to lead, from the thread that makes
            turns; a lease that ran out while no turn was made is told of at the next one.
    """

    def __init__(
        self,
        backend: Backend,
        holder: Holder,
        lease_seconds: float = LEASE_SECONDS,
        clock: Callable[[], float] = since_boot,
        changed: Callable[[bool], object] = lambda leads: None,
    ) -> None:
        self._backend, self._holder = backend, holder
        self._lease_seconds, self._clock, self._changed = lease_seconds, clock, changed
        self._lock = threading.Lock()
        self._grant: Grant | None = None
        self._outage = Outage()
        self._told = False
        self._over = False
        self._kick = threading.Event()
        self.elected = threading.Event()
        """Set while somebody led when the store was asked last."""
        self.leader: Leader | None = None
        """Who led when the store was asked last; for people, never for a decision."""

    def grant(self) -> Grant | None:
        """Return the grant, while it can be believed in: the only proof of leadership. It goes with every duty."""
        with self._lock:
            grant = self._grant
        if grant is None or self._clock() - grant.started >= grant.ttl_seconds * _SAFE:
            return None
        return grant

    def is_leader(self) -> bool:
        """Tell whether this process leads now, by the clock."""
        return self.grant() is not None

    def stale(self, grant: Grant) -> None:
        """Note that the store has refused a grant: it leads nobody any more."""
        with self._lock:
            if self._grant is not None and self._grant.token == grant.token:
                self._grant = None
        self.kick()

    def seek(self) -> None:
        """Have it found out at once who leads: `elected` is set anew when somebody does."""
        self.elected.clear()
        self.kick()

    def kick(self) -> None:
        """Have the next turn made at once."""
        self._kick.set()

    def turn(self) -> float:
        """Take, or renew, or look; return in how many seconds the next turn is due. Never raises ClusterError."""
        try:
            wait = self._turn()
            if self._outage.ends() and not self._over:
                _log.info("election.back")
        except Away as e:
            if self._outage.is_news(e):
                _log.warning("election.away", error=str(e), leads=self.is_leader())
            wait = min(LOOK_SECONDS, self._lease_seconds / 10)
        except ClusterError as e:
            if self._outage.is_news(e):
                _log.error("election.refused", error=str(e))
            wait = LOOK_SECONDS
        self._tell()
        if self.leader is not None:
            self.elected.set()
        else:
            self.elected.clear()
        return wait

    def _turn(self) -> float:
        if self._over:
            return LOOK_SECONDS
        held = self.grant()
        if held is not None:
            renewed = self._backend.renew(held)
            self._hold(renewed, held)
            self.leader = None if renewed is None else Leader(held.holder.node_id, held.token, held.ttl_seconds)
            return 0.0 if renewed is None else self._lease_seconds / _RENEWALS  # who lost it looks who leads
        self._tell()  # before the store is asked, which may take its time
        self.leader = self._backend.leader()
        # A lease under our own id may be one that we have ceased to believe in: to take it renews it.
        if self.leader is not None and self.leader.node_id != self._holder.node_id:
            # A moment behind its end by the store's clock, so that it is over there too.
            return min(LOOK_SECONDS, self._lease_seconds / 4, self.leader.remaining_seconds + 0.01)
        self._hold(self._backend.take(self._holder, self._lease_seconds), None)
        if (grant := self.grant()) is not None:
            self.leader = Leader(self._holder.node_id, grant.token, grant.ttl_seconds)
        return self._lease_seconds / _RENEWALS if self.is_leader() else min(LOOK_SECONDS, self._lease_seconds / 4)

    def _hold(self, found: Grant | None, before: Grant | None) -> None:
        with self._lock:
            if self._over and found is not None:
                late = found  # released while the answer was under way
            else:
                late, self._grant = None, found
        if late is not None:
            self._backend.release(late)
        elif found is None and before is not None:
            _log.warning("election.lost", token=before.token)

    def _tell(self) -> None:
        leads = self.is_leader()
        if leads != self._told:
            self._told = leads
            grant = self.grant()
            _log.info("election.leads" if leads else "election.follows", token=None if grant is None else grant.token)
            self._changed(leads)

    def run(self, stop: threading.Event) -> None:
        """Make turns until `stop` is set (and kicked)."""
        while not stop.is_set():
            wait = self.turn()
            self._kick.wait(wait)
            self._kick.clear()

    def release(self) -> None:
        """Give leadership up at once, and take it no more. Raises nothing: a store that is away lets it run out."""
        with self._lock:
            grant, self._grant, self._over = self._grant, None, True
        self.kick()
        if grant is not None:
            try:
                self._backend.release(grant)
            except ClusterError as e:
                _log.warning("election.release_failed", error=str(e), ends_in_seconds=grant.ttl_seconds)
        self._tell()
