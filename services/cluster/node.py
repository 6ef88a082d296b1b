"""A node: its heartbeats, its candidacy, the leader's duties, what it hears of the others. Threads of one process."""

import secrets
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog

from cluster.backend import (
    BATCH_MOST,
    LEADER_ELECTED,
    NODE_LEFT,
    SYNC_COMPLETE,
    Away,
    Backend,
    ClusterError,
    Event,
    Grant,
    Holder,
    Message,
    Node,
    NotMember,
    StaleToken,
)
from cluster.election import LEASE_SECONDS, Election
from cluster.member import Member, Rhythm
from cluster.outage import Outage

_log = structlog.get_logger("cluster.node")

ELECTION_WANTED = "cluster.election_wanted"
"""Somebody asks for an election: who does not lead looks at once."""
HISTORY_SECONDS = 7 * 24 * 3600.0
_FORGET_EVERY_SECONDS = 3600.0
_SWEEP_SECONDS = 2.0
_WAIT_SECONDS = 10.0
_AGAIN_SECONDS = 1.0
_JOIN_SECONDS = 5.0


class Synced(NamedTuple):
    """What a sync came to: the cursors of what was sent, what was received, and whether some was missed before it."""

    sent: list[str]
    received: list[Message]
    gap: bool


class ClusterNode:
    """One node of a cluster.

    Args:
        heard: called with each event, in order, from a thread of its own.
        received: called with each message, in order; it is acknowledged when the call has returned. None: messages
            are left for `sync`.
    """

    def __init__(
        self,
        backend: Backend,
        node_id: str,
        *,
        name: str = "",
        capabilities: tuple[str, ...] = (),
        endpoint: str = "",
        lease_seconds: float = LEASE_SECONDS,
        rhythm: Rhythm | None = None,
        history_seconds: float = HISTORY_SECONDS,
        heard: Callable[[Event], object] = lambda event: None,
        received: Callable[[Message], object] | None = None,
    ) -> None:
        self.backend, self.node_id, self.lease_seconds = backend, node_id, lease_seconds
        instance = secrets.token_hex(6)
        self._rhythm = rhythm or Rhythm()
        self._history_seconds, self._heard, self._received = history_seconds, heard, received
        self.election = Election(backend, Holder(node_id, instance), lease_seconds, changed=self._led)
        self.member = Member(
            backend,
            Node(node_id, instance, name, capabilities, endpoint),
            self._rhythm,
            leads=self._leads,
            replaced=self._be_replaced,
        )
        self.stopping = threading.Event()
        self.replaced = self.failed = False
        self._duty = threading.Event()
        self._threads: list[threading.Thread] = []
        self._syncing = threading.Lock()
        # What syncs that failed had acknowledged, by cursor: nobody has had it yet, and the store gives it no more.
        self._held: dict[str, Message] = {}
        self._held_gap = False

    # --- life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Join and begin. A store that is away is waited for by the heartbeats.

        Raises:
            Refused: the node cannot be as it is.
        """
        cursor = None
        try:
            cursor = self.backend.events(None, 1, 0).cursor  # before it joins, so that it hears of itself too
            self.member.join()
        except Away as e:
            _log.warning("node.store_away", error=str(e))
        loops: list[tuple[str, Callable[[], None]]] = [
            ("member", lambda: self.member.run(self.stopping)),
            ("election", lambda: self.election.run(self.stopping)),
            ("duties", self._do_duties),
            ("events", lambda: self._follow(cursor)),
        ]
        if self._received is not None:
            loops.append(("messages", self._drain))
        for name, loop in loops:
            thread = threading.Thread(target=self._watched, args=(name, loop), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _watched(self, name: str, loop: Callable[[], None]) -> None:
        try:
            loop()
        except Exception:
            self.failed = True
            _log.exception("node.loop_failed", loop=name)
            self.stop()
            raise

    def stop(self) -> None:
        """Give leadership up, leave, and end. Another node leads at once. Twice is once."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        self.election.release()
        self._duty.set()
        if not self.replaced:
            self.member.leave()
        for thread in self._threads:
            # Those that wait at the store end with the process; the others end now.
            if thread is not threading.current_thread() and thread.name not in ("events", "messages"):
                thread.join(_JOIN_SECONDS)
        if self._syncing.acquire(timeout=_JOIN_SECONDS):  # what it has acknowledged, it is to hand out
            self._syncing.release()
        self.backend.close()

    def _be_replaced(self) -> None:
        self.replaced = True
        self.stop()

    # --- leadership ------------------------------------------------------------------------------------------------

    def is_leader(self) -> bool:
        """Tell whether this node leads now."""
        return self.election.is_leader()

    def _leads(self) -> tuple[bool, str | None]:
        if self.is_leader():
            return True, self.node_id
        leader = self.election.leader
        return False, None if leader is None else leader.node_id

    def _led(self, leads: bool) -> None:
        if leads:
            self._duty.set()

    def _do_duties(self) -> None:
        """Do what the leader does: find who is silent, forget what is old. Each carries the token."""
        forgotten_at: float | None = None
        pause = min(_SWEEP_SECONDS, self._rhythm.beat_seconds / 2)
        while not self.stopping.is_set():
            grant = self.election.grant()
            if grant is not None:
                forget = forgotten_at is None or grant.started - forgotten_at > _FORGET_EVERY_SECONDS
                if self._lead(grant, forget) and forget:
                    forgotten_at = grant.started
            self._duty.wait(pause)
            self._duty.clear()

    def _lead(self, grant: Grant, forget: bool) -> bool:
        try:
            for node_id in self.backend.sweep(grant):
                _log.warning("node.offline", node_id=node_id)
            if forget:
                gone = self.backend.forget_history(grant, self._history_seconds)
                _log.info("history.forgotten", heartbeats=gone)
        except StaleToken as e:
            _log.warning("election.token_refused", token=grant.token, error=str(e))
            self.election.stale(grant)
        except ClusterError as e:
            _log.warning("node.duty_failed", error=str(e))
        else:
            return True
        return False

    # --- what it hears ---------------------------------------------------------------------------------------------

    def _follow(self, cursor: str | None) -> None:
        outage = Outage()
        while not self.stopping.is_set():
            try:
                page = self.backend.events(cursor, BATCH_MOST, _WAIT_SECONDS)
            except ClusterError as e:
                if not self.stopping.is_set() and outage.is_news(e):
                    _log.warning("events.away", error=str(e))
                self.stopping.wait(_AGAIN_SECONDS)
                continue
            if outage.ends():
                _log.info("events.back")
            if page.gap:
                _log.warning("events.gap", told="events were missed: they are kept no more")
            for event in page.events:
                _log.info(event.type, **event.payload)
                if event.type in (NODE_LEFT, LEADER_ELECTED, ELECTION_WANTED):
                    self.election.kick()
                self._heard(event)
            cursor = page.cursor

    def _drain(self) -> None:
        assert self._received is not None  # noqa: S101 - the thread is begun only then
        outage = Outage()
        while not self.stopping.is_set():
            try:
                page = self.backend.receive(self.node_id, BATCH_MOST, _WAIT_SECONDS)
            except ClusterError as e:
                if not (self.stopping.is_set() or isinstance(e, NotMember)) and outage.is_news(e):  # a heartbeat joins
                    _log.warning("messages.away", error=str(e))
                self.stopping.wait(_AGAIN_SECONDS)
                continue
            if outage.ends():
                _log.info("messages.back")
            if page.gap:
                _log.warning("messages.gap", told="messages were missed: they are kept no more")
            for message in page.messages:
                self._received(message)
            if page.messages or page.gap:
                self._settle(page.cursor)

    def _settle(self, cursor: str) -> None:
        try:
            self.backend.acknowledge(self.node_id, cursor)
        except ClusterError as e:
            _log.warning("messages.not_acknowledged", error=str(e), told="they will be received again")

    def sync(self, messages: list[Any]) -> Synced:
        """Send messages, and take what has come since the last time: at least once, in the order of each sender.

        Raises:
            Away: some of it may have happened; what was received comes with the next sync. Refused, NotMember
        """
        with self._syncing:
            sent: list[str] = []
            for begin in range(0, len(messages), BATCH_MOST):
                sent += self.backend.send(self.node_id, messages[begin : begin + BATCH_MOST])
            try:
                self._receive_all()
            except ClusterError:
                if not (self.stopping.is_set() and self._held):  # else there is no next sync
                    raise
            received, gap = list(self._held.values()), self._held_gap
            self._held, self._held_gap = {}, False
            if sent or received:
                cursor = received[-1].cursor if received else sent[-1]
                self._tell_synced(len(sent), len(received), cursor)
            return Synced(sent, received, gap)

    def _receive_all(self) -> None:
        while True:
            page = self.backend.receive(self.node_id, BATCH_MOST, 0)
            self._held_gap = self._held_gap or page.gap
            self._held.update((message.cursor, message) for message in page.messages)
            if page.messages or page.gap:
                self.backend.acknowledge(self.node_id, page.cursor)
            if len(page.messages) < BATCH_MOST:
                return

    def _tell_synced(self, sent: int, received: int, cursor: str) -> None:
        told = {"node_id": self.node_id, "sent": sent, "received": received, "cursor": cursor}
        try:
            self.backend.emit(SYNC_COMPLETE, told, None)
        except ClusterError as e:  # the caller gets what came all the same: it is acknowledged
            _log.warning("sync.not_told", error=str(e))
