"""The members of the cluster, their heartbeats, and its two bounded streams: events and messages."""

from typing import Any, NamedTuple

import peewee as pw

from spine.store import meta
from spine.store.engine import Tx
from spine.store.models_cluster import ClusterBeat, ClusterEvent, ClusterMessage, ClusterNode
from spine.store.statement import Statement, bind, number, text


class NodeRow(NamedTuple):
    """A row of `cluster_nodes`; times in ms. `place`: the last message that it has acknowledged."""

    id: str
    owner: str
    instance: str
    name: str
    capabilities: str
    endpoint: str
    ttl_ms: int
    state: str
    joined_at: int
    last_seen: int
    place: int


class BeatRow(NamedTuple):
    """A row of `cluster_beats`; `at` in ms."""

    at: int
    node: str
    leads: int
    leader: str | None


class EntryRow(NamedTuple):
    """A row of a stream; `at` in ms, `body` as JSON text."""

    seq: int
    at: int
    author: str
    kind: str
    body: str


_NODE = [getattr(ClusterNode, name) for name in NodeRow._fields]
_BEAT = [getattr(ClusterBeat, name) for name in BeatRow._fields]
_FIND = Statement(ClusterNode.select(*_NODE).where(ClusterNode.id == bind("id")))
_MEMBERS = Statement(
    ClusterNode.select(*_NODE).where(ClusterNode.state.in_([text("online"), text("offline")])).order_by(ClusterNode.id)
)
_OVERDUE = Statement(
    ClusterNode.select(*_NODE)
    .where((ClusterNode.state == text("online")) & (ClusterNode.last_seen + ClusterNode.ttl_ms <= bind("now")))
    .order_by(ClusterNode.id)
)
_PUT = Statement(
    ClusterNode.insert({getattr(ClusterNode, n): bind(n) for n in NodeRow._fields}).on_conflict(
        conflict_target=[ClusterNode.id],
        preserve=[getattr(ClusterNode, n) for n in NodeRow._fields if n != "id"],
    )
)
_DROP_GONE = Statement(
    ClusterNode.delete().where((ClusterNode.state != text("online")) & (ClusterNode.last_seen < bind("before")))
)
_ADD_BEAT = Statement(ClusterBeat.insert({getattr(ClusterBeat, n): bind(n) for n in BeatRow._fields}))
_BEATS = Statement(ClusterBeat.select(*_BEAT).order_by(ClusterBeat.seq.desc()).limit(bind("limit")))
_BEATS_OF = Statement(
    ClusterBeat.select(*_BEAT)
    .where(ClusterBeat.node == bind("node"))
    .order_by(ClusterBeat.seq.desc())
    .limit(bind("limit"))
)
_OLD_BEATS = ClusterBeat.select(ClusterBeat.seq).where(ClusterBeat.at < bind("before")).limit(bind("limit"))
_DROP_BEATS = Statement(ClusterBeat.delete().where(ClusterBeat.seq.in_(_OLD_BEATS)))


def find(tx: Tx, node_id: str) -> NodeRow | None:
    """Return a node, also one that left; None when it never joined or was forgotten."""
    row = tx.one(_FIND, id=node_id)
    return None if row is None else NodeRow._make(row)


def members(tx: Tx) -> list[NodeRow]:
    """Return the nodes that have not left, by id."""
    return [NodeRow._make(row) for row in tx.rows(_MEMBERS)]


def overdue(tx: Tx) -> list[NodeRow]:
    """Return the nodes that are called online and have not been heard of for their time."""
    return [NodeRow._make(row) for row in tx.rows(_OVERDUE, now=tx.now)]


def put(tx: Tx, row: NodeRow) -> None:
    """Write a node."""
    tx.run(_PUT, **row._asdict())


def drop_gone(tx: Tx, before: int) -> int:
    """Delete the nodes that are offline, or left, and were last heard of before a moment (ms); return how many."""
    return tx.run(_DROP_GONE, before=before)


def add_beat(tx: Tx, row: BeatRow) -> None:
    """Add a heartbeat to the history."""
    tx.run(_ADD_BEAT, **row._asdict())


def beats(tx: Tx, limit: int, node_id: str | None = None) -> list[BeatRow]:
    """Return heartbeats of a node, or of all, the newest first."""
    if node_id is None:
        return [BeatRow._make(row) for row in tx.rows(_BEATS, limit=limit)]
    return [BeatRow._make(row) for row in tx.rows(_BEATS_OF, node=node_id, limit=limit)]


def drop_beats(tx: Tx, before: int, limit: int) -> int:
    """Delete up to `limit` heartbeats from before a moment (ms); return how many."""
    return tx.run(_DROP_BEATS, before=before, limit=limit)


class Stream:
    """An append-only stream of which the newest entries are kept."""

    def __init__(self, model: type[ClusterEvent] | type[ClusterMessage]) -> None:
        columns = [getattr(model, name) for name in EntryRow._fields]
        given = {getattr(model, name): bind(name) for name in EntryRow._fields if name != "seq"}
        self._gone = f"{model._meta.table_name}_gone"  # the fact that holds the last position that was deleted
        self._add = Statement(model.insert(given))
        self._after = Statement(
            model.select(*columns).where(model.seq > bind("after")).order_by(model.seq).limit(bind("limit"))
        )
        self._last = Statement(model.select(pw.fn.COALESCE(pw.fn.MAX(model.seq), number(0))))
        self._over = Statement(model.select(model.seq).order_by(model.seq.desc()).limit(number(1)).offset(bind("most")))
        self._drop = Statement(model.delete().where(model.seq <= bind("seq")))

    def append(self, tx: Tx, author: str, kind: str, bodies: list[str], most: int) -> list[int]:
        """Add entries in order and let the oldest beyond `most` go; return the positions of the new ones."""
        found = [tx.insert(self._add, at=tx.now, author=author, kind=kind, body=body) for body in bodies]
        over = tx.one(self._over, most=most)
        if over is not None:
            tx.run(self._drop, seq=over[0])
            meta.put(tx, self._gone, str(over[0]))
        tx.signals.events = True
        return found

    def after(self, tx: Tx, position: int, limit: int) -> list[EntryRow]:
        """Return entries after a position, the oldest first."""
        return [EntryRow._make(row) for row in tx.rows(self._after, after=position, limit=limit)]

    def last(self, tx: Tx) -> int:
        """Return the newest position that there is or was."""
        row: Any = tx.one(self._last)
        return max(int(row[0]), self.gone(tx))

    def gone(self, tx: Tx) -> int:
        """Return the newest position that has been deleted, 0 when none was."""
        return int(meta.get(tx, self._gone) or 0)


EVENTS = Stream(ClusterEvent)
MESSAGES = Stream(ClusterMessage)
