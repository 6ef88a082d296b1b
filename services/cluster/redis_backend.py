"""A cluster whose store is Redis, which it shares with clawster's nodes: one leader among all of them.

Times are those of the server's clock (TIME inside its scripts). Every method is one script, a step of the server's.
"""

import json
import re
import time
import uuid
from typing import Any

import structlog

from cluster.backend import (
    BATCH_MOST,
    FOR_EVER_SECONDS,
    MESSAGE_BYTES,
    OWN_TYPES,
    WAIT_MOST_SECONDS,
    Beat,
    Event,
    Events,
    Grant,
    Holder,
    Leader,
    Message,
    Node,
    NodeState,
    PastBeat,
    Received,
    Refused,
)
from cluster.keys import KEYS
from cluster.redis_address import RedisAddress
from cluster.redis_link import CALL_SECONDS, RedisLink
from contract.clock import iso, since_boot

_log = structlog.get_logger("cluster.redis")
_NAME = {key.lua: key.name for key in KEYS}
_FREE = f"end that node, then `redis-cli DEL {_NAME['LOCK']}`: the key has no expiry, and outlives its holder"
_KEEP = "`redis-cli CONFIG SET maxmemory-policy noeviction`: else the server may drop the lease to make room"
_CURSOR = re.compile(r"\d{1,15}-\d{1,15}")
_PAGE = 1000


class RedisBackend:
    """The Backend on Redis. A lock of an old node is its leadership, with the token 0."""

    def __init__(self, address: RedisAddress, call_seconds: float = CALL_SECONDS) -> None:
        self._link = RedisLink(address, call_seconds)
        self._endless: str | None = None

    # --- leadership ------------------------------------------------------------------------------------------------

    def take(self, holder: Holder, ttl_seconds: float) -> Grant | None:
        started = since_boot()
        _id("node_id", holder.node_id)
        token, *held = self._link.run("take", holder.node_id, holder.instance, _ms(ttl_seconds))
        if token:
            return Grant(holder, int(token), ttl_seconds, started)
        self._warn(*held)
        return None

    def _warn(self, lock: str, remaining: int) -> None:
        """Tell once of a lock that has no end."""
        if remaining < 0 and lock != self._endless:
            _log.warning("cluster.lock_without_end", key=_NAME["LOCK"], holder=_holder(lock), fix=_FREE)
        self._endless = lock if remaining < 0 else None

    def renew(self, grant: Grant) -> Grant | None:
        started = since_boot()
        if not self._link.run("renew", grant.holder.node_id, grant.token, _ms(grant.ttl_seconds)):
            return None
        return grant._replace(started=started)

    def release(self, grant: Grant) -> None:
        self._link.run("release", grant.holder.node_id, grant.token)

    def leader(self) -> Leader | None:
        found = self._link.run("leader")
        if not found:
            return None
        who, token, remaining = found
        if token:
            return Leader(who, int(token), remaining / 1000)
        self._warn(who, remaining)
        return Leader(_holder(who), 0, FOR_EVER_SECONDS if remaining < 0 else remaining / 1000)

    # --- membership ------------------------------------------------------------------------------------------------

    def join(self, node: Node, ttl_seconds: float) -> None:
        _id("node_id", node.node_id)
        about = {"name": node.name, "capabilities": list(node.capabilities), "endpoint": node.endpoint}
        now = iso(time.time_ns() // 1_000_000)  # clawster's readers see it, nobody counts with it
        self._link.run("join", node.node_id, node.instance, _json("the node", about), _ms(ttl_seconds), now)
        if (policy := self._link.eviction()) is not None:
            _log.warning("cluster.may_evict", policy=policy, fix=_KEEP)

    def beat(self, beat: Beat) -> None:
        self._link.run("beat", beat.node_id, beat.instance, int(beat.is_leader), beat.leader or "", _call_name())

    def leave(self, node_id: str, instance: str) -> None:
        self._link.run("leave", node_id, instance)

    def nodes(self) -> list[NodeState]:
        now, *found = self._link.run("nodes")
        return sorted(_node_state(now, *each) for each in found)

    def sweep(self, grant: Grant) -> list[str]:
        return list(self._link.run("sweep", grant.token, _call_name()))

    # --- events ----------------------------------------------------------------------------------------------------

    def emit(self, kind: str, payload: dict[str, Any], grant: Grant | None) -> str:
        if not kind.startswith("cluster."):
            raise Refused(f"type: {kind!r} does not begin with cluster.")
        if kind in OWN_TYPES:
            raise Refused(f"type: the store writes {kind} itself; name another")
        token = grant.token if grant else ""
        return str(self._link.run("emit", kind, _json("payload", payload, MESSAGE_BYTES), _call_name(), token))

    def events(self, cursor: str | None, limit: int, wait_seconds: float) -> Events:
        after = _cursor(cursor) if cursor is not None else ""
        deadline = since_boot() + min(wait_seconds, WAIT_MOST_SECONDS)
        while True:
            after, gap, entries = self._link.run("events", after, _batch(limit))
            if entries or gap or not self._waited("EVENTS", after, deadline):
                return Events([_event(*entry) for entry in entries], after, bool(gap))

    # --- messages --------------------------------------------------------------------------------------------------

    def send(self, sender: str, messages: list[Any]) -> list[str]:
        _id("sender", sender)
        if len(messages) > BATCH_MOST:
            raise Refused(f"messages: {len(messages)} in one call, and {BATCH_MOST} are taken: send them in parts")
        bodies = [_json(f"messages[{i}]", each, MESSAGE_BYTES) for i, each in enumerate(messages)]
        return list(self._link.run("send", _call_name(), sender, *bodies))

    def receive(self, node_id: str, limit: int, wait_seconds: float) -> Received:
        deadline = since_boot() + min(wait_seconds, WAIT_MOST_SECONDS)
        while True:
            cursor, gap, entries = self._link.run("receive", node_id, _batch(limit))
            if entries or gap or not self._waited("MESSAGES", cursor, deadline):
                return Received([_message(*entry) for entry in entries], cursor, bool(gap))

    def acknowledge(self, node_id: str, cursor: str) -> None:
        self._link.run("acknowledge", node_id, _cursor(cursor))

    def _waited(self, stream: str, cursor: str, deadline: float) -> bool:
        """Wait for an entry after a cursor, a while; return False when the time is up instead."""
        seconds = deadline - since_boot()
        if seconds <= 0:
            return False
        self._link.await_entry(_NAME[stream], cursor, seconds)
        return True

    # --- history ---------------------------------------------------------------------------------------------------

    def history(self, limit: int, node_id: str | None = None) -> list[PastBeat]:
        found: list[PastBeat] = []
        begin = 0
        while len(found) < limit:
            page = self._link.read(_NAME["BEATS"], begin, begin + _PAGE - 1)
            beats = [_past_beat(*each) for each in page]
            found += [beat for beat in beats if node_id in (None, beat.node_id)]
            if len(page) < _PAGE:
                break
            begin += _PAGE
        return found[:limit]

    def forget_history(self, grant: Grant, older_than_seconds: float) -> int:
        return int(self._link.run("forget", grant.token, _ms(older_than_seconds)))

    def close(self) -> None:
        self._link.close()


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _batch(limit: int) -> int:
    return max(1, min(limit, BATCH_MOST))


def _call_name() -> str:
    """Name a call, so that the server knows it again when it is repeated."""
    return uuid.uuid4().hex


def _id(field: str, text: str) -> None:
    if not text or ":" in text:
        raise Refused(f"{field}: {text!r} is empty or has a colon, which ends the id in clawster's lock: change it")


def _cursor(text: str) -> str:
    if not _CURSOR.fullmatch(text):
        raise Refused(f"cursor: {text!r} is none of this store's; begin without one")
    return text


def _json(field: str, value: Any, most: int | None = None) -> str:
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as e:
        raise Refused(f"{field}: no JSON: {e}") from e
    if most is not None and size > most:
        raise Refused(f"{field}: {size} bytes of JSON, and {most} are taken")
    return text


def _holder(lock: str) -> str:
    """Return the node id in clawster's lock, `<node id>:<ms>`; there are ids with colons."""
    return lock.rpartition(":")[0] or lock


def _node_state(now: int, node_id: str, state: str, seen: str, joined: str, about: str) -> NodeState:
    """Read a node, also one of clawster's two shapes or of none."""
    try:
        said = json.loads(about)
    except ValueError:
        said = None
    said = said if isinstance(said, dict) else {}
    abilities = said.get("capabilities")
    return NodeState(
        node_id, str(said.get("name") or said.get("node_name") or ""), state, int(seen), max(0, now - int(seen)) / 1000,
        tuple(map(str, abilities)) if isinstance(abilities, list) else (), str(said.get("endpoint") or ""), int(joined),
    )  # fmt: skip


def _fields(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _at(cursor: str) -> int:
    return int(cursor.partition("-")[0])


def _event(cursor: str, flat: list[str]) -> Event:
    fields = _fields(flat)
    return Event(cursor, _at(cursor), fields["t"], json.loads(fields["d"]))


def _message(cursor: str, flat: list[str]) -> Message:
    fields = _fields(flat)
    return Message(cursor, _at(cursor), fields["s"], json.loads(fields["b"]))


def _past_beat(text: str, at: float) -> PastBeat:
    node_id, is_leader, leader, _ = json.loads(text)
    return PastBeat(int(at), node_id, is_leader, leader or None)
