"""The cluster's verbs: membership, heartbeats, events and the broadcast, and what only its leader does.

Leadership is the named lease `cluster-leader`. Whatever only a leader may do carries its fence, which is looked at in
the very transaction that does it: a leader that was paused past its lease changes nothing. Offline has one meaning: no
heartbeat for the node's time, by the store's clock.
"""

from typing import Any

import msgspec

from contract import wire
from contract.errors import Forbidden, InvalidField, NotFound, NotOwner, TooLarge
from spine.queue import named
from spine.queue.access import Caller
from spine.queue.named import Token
from spine.queue.view import raw
from spine.store import cluster, named_leases
from spine.store.cluster import EVENTS, MESSAGES, BeatRow, NodeRow
from spine.store.engine import Tx

NODE_JOINED = "cluster.node_joined"
NODE_LEFT = "cluster.node_left"
OWN_TYPES = (NODE_JOINED, NODE_LEFT, named.LEADER_ELECTED)
"""What the spine alone writes, in the transaction in which it happens."""
FORGET_MOST = 5000
_encode = msgspec.json.Encoder().encode


# --- membership ------------------------------------------------------------------------------------------------------


def join(tx: Tx, caller: Caller, node_id: str, asked: wire.JoinCluster) -> None:
    """Make a node a member that is online. Another process under its id is replaced.

    Raises:
        Forbidden: the node is another caller's.
    """
    known = _own(tx, caller, node_id)
    was_online = known is not None and _state(tx, known) == "online"
    row = NodeRow(
        id=node_id,
        owner=caller.name if known is None else known.owner,
        instance=asked.instance,
        name=asked.name,
        capabilities=_encode(asked.capabilities).decode(),
        endpoint=asked.endpoint,
        ttl_ms=int(asked.ttl_seconds * 1000),
        state="online",
        joined_at=known.joined_at if known is not None and was_online else tx.now,
        last_seen=tx.now,
        place=MESSAGES.last(tx) if known is None else known.place,
    )
    if known is not None and not was_online:
        _note_missing(tx, known)
    cluster.put(tx, row)
    if not was_online:
        told = {"node_id": node_id, "name": asked.name, "capabilities": asked.capabilities, "endpoint": asked.endpoint}
        _event(tx, caller.name, NODE_JOINED, {**told, "rejoined": known is not None and known.state != "left"})


def beat(tx: Tx, caller: Caller, node_id: str, asked: wire.BeatCluster) -> None:
    """Note that a node is alive.

    Raises:
        NotFound: it is no member, or went offline: it is to join.
        NotOwner: another process has joined under its id since.
        Forbidden: the node is another caller's.
    """
    known = _own(tx, caller, node_id)
    if known is None or _state(tx, known) != "online":
        raise NotFound(f"{node_id} is not online: join")
    if known.instance != asked.instance:
        raise NotOwner(f"another process has joined as {node_id} since", nodeId=node_id)
    cluster.put(tx, known._replace(last_seen=tx.now))
    cluster.add_beat(tx, BeatRow(tx.now, node_id, int(asked.is_leader), asked.leader))


def leave(tx: Tx, caller: Caller, node_id: str, instance: str) -> None:
    """End a membership. A node that is none, or that another process has joined as, stays as it is.

    Raises:
        Forbidden: the node is another caller's.
    """
    known = _own(tx, caller, node_id)
    if known is None or known.instance != instance or known.state == "left":
        return
    cluster.put(tx, known._replace(state="left"))
    if known.state == "online":  # who is offline has been told of, or is told of as what it was
        _tell_left(tx, known, "left" if _state(tx, known) == "online" else "missed_heartbeats", caller.name)


def state(tx: Tx, nodes: bool = True) -> wire.ClusterState:
    """Return who leads, and who is a member, if that is asked for."""
    rows = cluster.members(tx) if nodes else []
    return wire.ClusterState(leader=leader(tx), nodes=[_record(tx, row) for row in rows])


def state_of(tx: Tx, node_id: str) -> wire.ClusterState:
    """Return the same with one node alone: heartbeats are many, and so may be the nodes."""
    row = cluster.find(tx, node_id)
    rows = [] if row is None or row.state == "left" else [row]
    return wire.ClusterState(leader=leader(tx), nodes=[_record(tx, row) for row in rows])


def leader(tx: Tx) -> wire.ClusterLeader | None:
    """Return who leads by the store's clock; None when nobody does."""
    row = named_leases.find(tx, wire.CLUSTER_LEASE)
    if row is None or row.holder is None or row.until is None or not named.is_held(tx, row):
        return None
    return wire.ClusterLeader(
        node_id=named.node_of(row.holder), token=row.fence, remaining_seconds=(row.until - tx.now) / 1000
    )


def _record(tx: Tx, row: NodeRow) -> wire.ClusterNode:
    return wire.ClusterNode(
        node_id=row.id,
        name=row.name,
        state=_state(tx, row),
        last_seen_ms=row.last_seen,
        age_seconds=(tx.now - row.last_seen) / 1000,
        capabilities=msgspec.json.decode(row.capabilities),
        endpoint=row.endpoint,
        joined_at_ms=row.joined_at,
    )


def _state(tx: Tx, row: NodeRow) -> str:
    """Return the state that a node is in now: the sweep only writes down what is true already."""
    return "offline" if row.state == "online" and row.last_seen + row.ttl_ms <= tx.now else row.state


def _own(tx: Tx, caller: Caller, node_id: str) -> NodeRow | None:
    known = cluster.find(tx, node_id)
    if known is not None and known.owner != caller.name and not caller.principal.is_head:
        raise Forbidden(f"the node {node_id} is {known.owner}'s")
    return known


# --- what only the leader does ---------------------------------------------------------------------------------------


def sweep(tx: Tx, fence: int) -> list[str]:
    """Mark the nodes that are silent as offline and tell of each once; return their ids.

    Raises:
        StaleFence
    """
    _require_leader(tx, fence)
    found = cluster.overdue(tx)
    for row in found:
        _note_missing(tx, row)
    return [row.id for row in found]


def forget(tx: Tx, asked: wire.ForgetCluster) -> int:
    """Delete old heartbeats, 5,000 at most, and nodes that are gone for as long; return how many heartbeats.

    Raises:
        StaleFence
    """
    _require_leader(tx, asked.fence)
    before = tx.now - int(asked.older_than_seconds * 1000)
    cluster.drop_gone(tx, before)
    return cluster.drop_beats(tx, before, FORGET_MOST)


def _require_leader(tx: Tx, fence: int) -> None:
    named.require(tx, Token(wire.CLUSTER_LEASE, fence))


def _note_missing(tx: Tx, row: NodeRow) -> None:
    if row.state == "online":
        cluster.put(tx, row._replace(state="offline"))
        _tell_left(tx, row, "missed_heartbeats", row.owner)


def _tell_left(tx: Tx, row: NodeRow, reason: str, author: str) -> None:
    _event(tx, author, NODE_LEFT, {"node_id": row.id, "reason": reason, "last_seen_ms": row.last_seen})


# --- events ----------------------------------------------------------------------------------------------------------


def emit(tx: Tx, caller: Caller, store_id: str, asked: wire.EmitCluster) -> str:
    """Write an event; return its cursor.

    Raises:
        InvalidField, TooLarge
    """
    if asked.type in OWN_TYPES:
        raise InvalidField(f"type: the spine writes {asked.type} itself; name another", "type")
    body = _encode(asked.payload).decode()
    _within(body, "payload")
    return _cursor(store_id, EVENTS.append(tx, caller.name, asked.type, [body], wire.CLUSTER_STREAM_MOST)[0])


def page(tx: Tx, store_id: str, cursor: str | None, limit: int) -> wire.ClusterEvents:
    """Return events after a cursor; without one none, and the cursor of now."""
    if cursor is None:
        return wire.ClusterEvents(events=[], cursor=_cursor(store_id, EVENTS.last(tx)), gap=False)
    owner, _, place = cursor.rpartition(".")
    # A cursor of another store (one from before a restore), or of none: all that is kept, and the word that it is so.
    known = owner == store_id and place.isascii() and place.isdigit() and len(place) < 19
    at = int(place) if known else -1
    gap = not EVENTS.gone(tx) <= at <= EVENTS.last(tx)
    rows = EVENTS.after(tx, 0 if gap else at, limit)
    end = rows[-1].seq if rows else (0 if gap else at)
    return wire.ClusterEvents(
        events=[
            wire.ClusterEvent(cursor=_cursor(store_id, r.seq), at_ms=r.at, type=r.kind, payload=raw(r.body))
            for r in rows
        ],
        cursor=_cursor(store_id, end),
        gap=gap,
    )


def _cursor(store_id: str, place: int) -> str:
    return f"{store_id}.{place}"


def _event(tx: Tx, author: str, kind: str, payload: dict[str, Any]) -> None:
    EVENTS.append(tx, author, kind, [_encode(payload).decode()], wire.CLUSTER_STREAM_MOST)


# --- messages --------------------------------------------------------------------------------------------------------


def send(tx: Tx, caller: Caller, asked: wire.SendCluster) -> list[int]:
    """Broadcast messages, all or none, in order; return their positions.

    Raises:
        TooLarge
        Forbidden: the sender is another caller's node.
    """
    _own(tx, caller, asked.sender)
    bodies = [_encode(message).decode() for message in asked.messages]
    for n, body in enumerate(bodies):
        _within(body, f"messages[{n}]")
    return MESSAGES.append(tx, asked.sender, "", bodies, wire.CLUSTER_STREAM_MOST)


def receive(tx: Tx, node_id: str, limit: int) -> wire.ClusterMessages:
    """Return what a node has not acknowledged, the oldest first.

    Raises:
        NotFound: it never joined.
    """
    at = _joined(tx, node_id).place
    # One that is ahead of the stream: the store was restored, and its node row with it; or it is wrong.
    gap = not MESSAGES.gone(tx) <= at <= MESSAGES.last(tx)
    rows = MESSAGES.after(tx, 0 if gap else at, limit)
    return wire.ClusterMessages(
        messages=[wire.ClusterMessage(cursor=r.seq, at_ms=r.at, sender=r.author, body=raw(r.body)) for r in rows],
        cursor=rows[-1].seq if rows else at,
        gap=gap,
    )


def acknowledge(tx: Tx, caller: Caller, node_id: str, cursor: int) -> None:
    """Move a node's place forward.

    Raises:
        NotFound: it never joined.
        Forbidden: the node is another caller's.
        InvalidField: nothing has come that far.
    """
    _own(tx, caller, node_id)
    row = _joined(tx, node_id)
    if cursor > MESSAGES.last(tx):
        raise InvalidField(f"cursor: {cursor} is ahead of the newest message; give one that was received", "cursor")
    if cursor > row.place:
        cluster.put(tx, row._replace(place=cursor))


def _joined(tx: Tx, node_id: str) -> NodeRow:
    row = cluster.find(tx, node_id)
    if row is None:
        raise NotFound(f"no node {node_id} has joined")
    return row


def _within(body: str, name: str) -> None:
    size = len(body.encode())
    if size > wire.CLUSTER_MESSAGE_MOST:
        raise TooLarge(f"{name}: {size} bytes, at most {wire.CLUSTER_MESSAGE_MOST}", field=name)


# --- history ---------------------------------------------------------------------------------------------------------


def history(tx: Tx, limit: int, node_id: str | None) -> wire.ClusterHistory:
    """Return heartbeats, the newest first."""
    return wire.ClusterHistory(
        beats=[
            wire.ClusterBeat(at_ms=row.at, node_id=row.node, is_leader=bool(row.leads), leader=row.leader)
            for row in cluster.beats(tx, limit, node_id)
        ]
    )
