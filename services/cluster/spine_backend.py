"""A cluster whose store is a spine, or several that share a database: /leases and /cluster, spoken over HTTP."""

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from cluster.backend import (
    BATCH_MOST,
    WAIT_MOST_SECONDS,
    Away,
    Beat,
    Event,
    Events,
    Grant,
    Holder,
    Leader,
    Message,
    Node,
    NodeState,
    NotMember,
    PastBeat,
    Received,
    Refused,
    Replaced,
    StaleToken,
)
from contract import errors, wire
from contract.clock import since_boot
from contract.cluster_client import ClusterClient
from contract.errors import SpineError
from contract.retry import ONCE, RetryPolicy

T = TypeVar("T")
_HISTORY_MOST = wire.CLUSTER_HISTORY_MOST
_FORGET_MOST = 5000
# Of calls that are repeated under one key, the others are made once: who makes them tries again in its own time.
_TRIES = 3


class SpineBackend:
    """The Backend on a spine.

    Args:
        base_urls: one or more; the next is tried when one does not answer.
        token: a head's, or a claw's: then only its own nodes are spoken for.
        call_seconds: how long a call may take; one that waits gets its wait on top, and one whose token is not known
            the time to look for a newer one.
        renew: asked for a newer token when the spine does not know ours; None when there is none.
    """

    def __init__(
        self,
        base_urls: str | Iterable[str],
        token: str,
        call_seconds: float = 5.0,
        renew: Callable[[str], str | None] = lambda used: None,
    ) -> None:
        half = call_seconds / 2
        urls = [base_urls] if isinstance(base_urls, str) else list(base_urls)
        policy = RetryPolicy(attempts=_TRIES, base_seconds=half / 4, cap_seconds=half, total_seconds=call_seconds)
        self._once = ClusterClient(urls, token, connect_seconds=half, read_seconds=half, retry=ONCE, renew=renew)
        self._keyed = ClusterClient(urls, token, connect_seconds=half, read_seconds=half, retry=policy, renew=renew)
        self._closed = False

    def _ask(self, call: Callable[[], T]) -> T:
        if self._closed:
            raise Away("closed")
        try:
            return call()
        except errors.StaleFence as e:
            raise StaleToken(e.detail) from e
        except errors.NotFound as e:
            raise NotMember(e.detail) from e
        except errors.NotOwner as e:
            raise Replaced(e.detail) from e
        except SpineError as e:
            if e.retryable or isinstance(e, errors.Unavailable | errors.OutcomeUnknown | errors.Internal):
                raise Away(e.detail) from e
            raise Refused(e.detail) from e

    # --- leadership ------------------------------------------------------------------------------------------------

    def take(self, holder: Holder, ttl_seconds: float) -> Grant | None:
        started = since_boot()
        name = f"{holder.node_id}:{holder.instance}"
        try:
            lease = self._ask(lambda: _unless_held(self._once, name, ttl_seconds))
        except NotMember as e:  # no such route
            raise Refused(f"this spine keeps no leases: {e}") from e
        return None if lease is None else Grant(holder, lease.fence, ttl_seconds, started)

    def renew(self, grant: Grant) -> Grant | None:
        started = since_boot()
        try:
            self._ask(lambda: self._once.renew_lease(wire.CLUSTER_LEASE, grant.token, grant.ttl_seconds))
        except (StaleToken, NotMember):
            return None
        return grant._replace(started=started)

    def release(self, grant: Grant) -> None:
        try:
            self._ask(lambda: self._once.release_lease(wire.CLUSTER_LEASE, grant.token))
        except (StaleToken, NotMember):
            pass

    def leader(self) -> Leader | None:
        found = self._ask(lambda: self._once.cluster(nodes=False)).leader
        return None if found is None else Leader(found.node_id, found.token, found.remaining_seconds)

    # --- membership ------------------------------------------------------------------------------------------------

    def join(self, node: Node, ttl_seconds: float) -> None:
        fields = {
            "instance": node.instance,
            "name": node.name,
            "capabilities": list(node.capabilities),
            "endpoint": node.endpoint,
            "ttlSeconds": ttl_seconds,
        }
        self._ask(lambda: self._once.join_cluster(node.node_id, fields))

    def beat(self, beat: Beat) -> None:
        self._ask(lambda: self._once.beat_cluster(beat.node_id, beat.instance, beat.is_leader, beat.leader))

    def leave(self, node_id: str, instance: str) -> None:
        self._ask(lambda: self._once.leave_cluster(node_id, instance))

    def nodes(self) -> list[NodeState]:
        return [
            NodeState(
                node_id=node.node_id,
                name=node.name,
                state=node.state,
                last_seen_ms=node.last_seen_ms,
                age_seconds=node.age_seconds,
                capabilities=tuple(node.capabilities),
                endpoint=node.endpoint,
                joined_at=node.joined_at_ms,
            )
            for node in self._ask(self._once.cluster).nodes
        ]

    def sweep(self, grant: Grant) -> list[str]:
        return self._ask(lambda: self._once.sweep_cluster(grant.token)).node_ids

    # --- events ----------------------------------------------------------------------------------------------------

    def emit(self, kind: str, payload: dict[str, Any], grant: Grant | None) -> str:
        fence = None if grant is None else grant.token
        return self._ask(lambda: self._keyed.emit_cluster(kind, payload, fence)).cursor

    def events(self, cursor: str | None, limit: int, wait_seconds: float) -> Events:
        page = self._ask(lambda: self._once.cluster_events(cursor, _limit(limit), _wait(wait_seconds)))
        found = [Event(event.cursor, event.at_ms, event.type, event.payload) for event in page.events]
        return Events(found, page.cursor, page.gap)

    # --- messages --------------------------------------------------------------------------------------------------

    def send(self, sender: str, messages: list[Any]) -> list[str]:
        if len(messages) > BATCH_MOST:
            raise Refused(f"messages: {len(messages)} in one call, and {BATCH_MOST} are taken: send them in parts")
        if not messages:
            return []
        return [str(place) for place in self._ask(lambda: self._keyed.send_cluster(sender, messages)).cursors]

    def receive(self, node_id: str, limit: int, wait_seconds: float) -> Received:
        page = self._ask(lambda: self._once.receive_cluster(node_id, _limit(limit), _wait(wait_seconds)))
        found = [Message(str(one.cursor), one.at_ms, one.sender, one.body) for one in page.messages]
        return Received(found, str(page.cursor), page.gap)

    def acknowledge(self, node_id: str, cursor: str) -> None:
        if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 17):
            raise Refused(f"cursor: {cursor[:40]!r} is none of a message; give one that was received")
        self._ask(lambda: self._once.acknowledge_cluster(node_id, int(cursor)))

    # --- history ---------------------------------------------------------------------------------------------------

    def history(self, limit: int, node_id: str | None = None) -> list[PastBeat]:
        found = self._ask(lambda: self._once.cluster_history(max(1, min(limit, _HISTORY_MOST)), node_id)).beats
        return [PastBeat(beat.at_ms, beat.node_id, beat.is_leader, beat.leader) for beat in found]

    def forget_history(self, grant: Grant, older_than_seconds: float) -> int:
        gone = 0
        while True:
            done = self._ask(lambda: self._once.forget_cluster_history(grant.token, older_than_seconds)).beats
            gone += done
            if done < _FORGET_MOST:
                return gone

    def close(self) -> None:
        self._closed = True


def _unless_held(client: ClusterClient, holder: str, ttl_seconds: float) -> wire.NamedLease | None:
    try:
        return client.take_lease(wire.CLUSTER_LEASE, holder, ttl_seconds)
    except errors.LeaseHeld:
        return None


def _limit(limit: int) -> int:
    return max(1, min(limit, BATCH_MOST))


def _wait(seconds: float) -> int:
    return math.ceil(max(0.0, min(seconds, WAIT_MOST_SECONDS)))
