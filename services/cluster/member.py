"""Membership: the heartbeats of one node, each with a few tries that together never take longer than the interval."""

import threading
from collections.abc import Callable
from typing import NamedTuple

import structlog

from cluster.backend import BEAT_SECONDS, MISSES, Away, Backend, Beat, ClusterError, Node, NotMember, Replaced
from contract.clock import since_boot

_log = structlog.get_logger("cluster.member")


class Rhythm(NamedTuple):
    """How often a node beats, when it counts as offline, and how often a beat is tried. All in s."""

    beat_seconds: float = BEAT_SECONDS
    ttl_seconds: float = BEAT_SECONDS * MISSES
    tries: int = 3
    pause_seconds: float = 1.0

    @property
    def call_seconds(self) -> float:
        """How long one try may take, so that a round never exceeds the interval."""
        left = self.beat_seconds - (self.tries - 1) * self.pause_seconds
        return max(0.1, min(5.0, left / self.tries))


class Member:
    """One node's membership.

    Args:
        leads: whether it leads, and whom it takes for the leader; told with each heartbeat.
        replaced: called once when another process has joined under the id.
    """

    def __init__(
        self,
        backend: Backend,
        node: Node,
        rhythm: Rhythm,
        leads: Callable[[], tuple[bool, str | None]] = lambda: (False, None),
        replaced: Callable[[], object] = lambda: None,
    ) -> None:
        self._backend, self._node, self._rhythm = backend, node, rhythm
        self._leads, self._replaced = leads, replaced
        self._joining = threading.Lock()
        self._left = False
        self._untold = False  # it may be a member of which nobody has been told: the answer to its join was lost

    def join(self) -> bool:
        """Join, or join again; return False when it has left: a heartbeat that was under way is not to bring it back.

        Raises:
            Away, Refused
        """
        with self._joining:
            if self._left:
                return False
            self._untold = True
            self._backend.join(self._node, self._rhythm.ttl_seconds)
        self._tell_joined()
        return True

    def _tell_joined(self) -> None:
        if self._untold:
            self._untold = False
            _log.info("member.joined", node_id=self._node.node_id)

    def beat(self, stop: threading.Event) -> bool:
        """Send one heartbeat, joining where that is needed; return whether it arrived. Ends early on `stop`.

        Raises:
            Replaced
        """
        until = since_boot() + self._rhythm.beat_seconds
        for attempt in range(1, self._rhythm.tries + 1):
            try:
                self.once()
                return True
            except Replaced:
                raise
            except ClusterError as e:
                last = attempt == self._rhythm.tries or since_boot() + self._rhythm.pause_seconds >= until
                if last or not isinstance(e, Away):
                    _log.error("heartbeat.failed", node_id=self._node.node_id, attempt=attempt, error=str(e))
                    return False
                again = self._rhythm.pause_seconds
                _log.warning("heartbeat.try_failed", attempt=attempt, error=str(e), again_in_seconds=again)
            if stop.wait(self._rhythm.pause_seconds):
                return False
        return False

    def once(self) -> None:
        """Send one heartbeat by one try, joining where that is needed.

        Raises:
            Away, Refused, Replaced
        """
        is_leader, leader = self._leads()
        beat = Beat(self._node.node_id, self._node.instance, is_leader, leader)
        try:
            self._backend.beat(beat)
            self._tell_joined()
        except NotMember:
            if self.join():
                self._backend.beat(beat)

    def run(self, stop: threading.Event) -> None:
        """Beat at the node's interval until `stop` is set, or another process has joined under its id."""
        due = since_boot()
        while not stop.is_set():
            try:
                self.beat(stop)
            except Replaced as e:
                _log.error("member.replaced", node_id=self._node.node_id, error=str(e))
                self._replaced()
                return
            due = max(due + self._rhythm.beat_seconds, since_boot())  # what was missed is not made up for
            stop.wait(due - since_boot())

    def leave(self) -> None:
        """End the membership, for good. Raises nothing: a store that is away finds it missing."""
        try:
            with self._joining:
                self._left = True
                self._backend.leave(self._node.node_id, self._node.instance)
            _log.info("member.left", node_id=self._node.node_id)
        except ClusterError as e:
            _log.warning("member.leave_failed", node_id=self._node.node_id, error=str(e))
