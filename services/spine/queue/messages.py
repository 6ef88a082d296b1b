"""Messages between head and claws: sent, offered with heartbeats and claims, acknowledged by each reader for itself.

Kinds and their order in an inbox are those of the scheduler's messages (contract: scheduler, 3.13). A message is never
settled by another reader, is offered until its reader has acknowledged it, and shows as expired when it was not read in
time.
"""

import re

from contract import wire
from contract.clock import iso, iso_or_none
from contract.errors import Forbidden, InvalidField, NotFound
from contract.ids import new_job_id
from spine.queue.access import Caller, Principal, visible
from spine.queue.moments import moment_of
from spine.queue.rules import Rules
from spine.store import events, machines, messages
from spine.store.engine import Tx
from spine.store.messages import MessageRow, ReceiptRow

HEAD = "head"
ALL = "all"
OFFER_MOST = 20
OFFER_BYTES = 64 * 1024
EXPIRE_MOST = 500
_RANKS = {"constraint": 0, "decision": 1, "fact": 2, "task": 3}
_REST = 4
_PRIORITY_MOST = 100
_CURSOR = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})")  # no more digits than a store's integers have


def place_of(kind: str, priority: int) -> int:
    """Return where a message stands in an inbox: by kind, then the higher priority first; lower comes first."""
    return _RANKS.get(kind, _REST) * 1000 + _PRIORITY_MOST - priority


def send(tx: Tx, rules: Rules, caller: Caller, request: wire.SendMessage) -> wire.Message:
    """Send a message.

    Raises:
        InvalidField: nobody is there to read it, a reply to nothing, a time that is over.
        NotFound, Forbidden, Gone: of the job that it names.
    """
    answered = None
    if request.reply_to is not None:
        answered = messages.find(tx, request.reply_to)
        if answered is None or not _sees(tx, caller.principal, answered):
            raise InvalidField(f"replyTo: there is no message {request.reply_to[:64]} for you", "replyTo")
    audience, readers = _readers(tx, rules, caller, request.to, answered)
    if request.job_id is not None:
        visible(tx, caller.principal, request.job_id)
    message_id = f"msg_{new_job_id(tx.now)}"
    row = MessageRow(
        seq=0,
        id=message_id,
        at=tx.now,
        sender=caller.name,
        audience=audience,
        kind=request.kind,
        priority=request.priority,
        place=place_of(request.kind, request.priority),
        text=request.text,
        thread=message_id if answered is None else answered.thread,
        reply_to=request.reply_to,
        job_id=request.job_id,
        expires_at=_expiry(tx, request),
    )
    row = messages.add(tx, row, readers)
    for reader in readers:
        rules.mail.came(reader)
        tx.signals.messages.add(reader)
    shown = {HEAD: None, ALL: wire.ANY_TARGET}.get(audience, audience)  # whose stream of events has it
    events.append(tx, "message.sent", caller.name, None, shown, {"id": row.id, "to": audience, "kind": row.kind})
    return whole(tx, row)


def _readers(
    tx: Tx, rules: Rules, caller: Caller, asked: str | None, answered: MessageRow | None
) -> tuple[str, list[str]]:
    """Return whom a message is for, as a name and as the readers that are there now."""
    if not caller.principal.is_head:
        if asked not in (None, HEAD):
            raise InvalidField(f"to: a claw writes to {HEAD}; leave it out", "to")
        return HEAD, [HEAD]
    to = asked
    if to is None and answered is not None:
        to = answered.sender if answered.sender != HEAD else answered.audience
    if to is None:
        raise InvalidField(f"to: name a claw, or {ALL}", "to")
    if to == HEAD:
        return HEAD, [HEAD]
    revoked = {machine.name for machine in machines.all_of(tx) if machine.revoked_at is not None}
    known = sorted(rules.targets - revoked)
    if to in (ALL, wire.ANY_TARGET):
        if not known:
            raise InvalidField(f"to: no claw has a token yet, so that {ALL} is nobody", "to")
        return ALL, known
    if to not in known:
        listed = ", ".join((*known, ALL, HEAD))
        raise InvalidField(f"to: no machine and no token is named {to!r}; known: {listed}", "to")
    return to, [to]


def _expiry(tx: Tx, request: wire.SendMessage) -> int | None:
    if request.expires_at is not None and request.ttl_seconds is not None:
        raise InvalidField("ttlSeconds: give expiresAt or ttlSeconds, not both", "ttlSeconds")
    if request.ttl_seconds is not None:
        return tx.now + request.ttl_seconds * 1000
    if request.expires_at is None:
        return None
    moment = moment_of(request.expires_at, "expiresAt")
    if moment <= tx.now:
        raise InvalidField("expiresAt: this time is over", "expiresAt")
    return moment


def offer(tx: Tx, rules: Rules, caller: Caller) -> list[wire.Message]:
    """Return what an answer to a claw is to carry, and note that it does: 20 at most, those that press most first."""
    reader = caller.name
    if not caller.principal.is_claw or not rules.mail.is_due(tx, reader):
        return []
    found: list[wire.Message] = []
    size = 0
    for received in messages.due(tx, reader, OFFER_MOST):
        size += len(received.message.text.encode())
        if found and size > OFFER_BYTES:
            break
        messages.note_offered(tx, received.message.seq, reader)
        found.append(record(received.message, "delivered"))
    rules.mail.plan(reader, messages.next_offer(tx, reader))
    return found


def acknowledge(tx: Tx, caller: Caller, message_id: str) -> wire.Message:
    """Note that the caller has a message; twice is once.

    Raises:
        NotFound
        Forbidden: it is not for the caller.
    """
    row = messages.find(tx, message_id)
    if row is None:
        raise NotFound(f"there is no message {message_id[:64]}")
    own = messages.receipt(tx, row.seq, caller.name)
    if own is None:
        raise Forbidden(f"this message is for {row.audience}")
    if messages.note_read(tx, row.seq, caller.name):
        shown = None if caller.principal.is_head else caller.name
        events.append(tx, "message.read", caller.name, None, shown, {"id": row.id})
    return record(row, "read")


def read(tx: Tx, principal: Principal, message_id: str) -> wire.Message:
    """Return a message with its receipts.

    Raises:
        NotFound
        Forbidden: it is neither from the caller nor for it.
    """
    row = messages.find(tx, message_id)
    if row is None:
        raise NotFound(f"there is no message {message_id[:64]}")
    if not _sees(tx, principal, row):
        raise Forbidden(f"this message is for {row.audience}")
    return whole(tx, row)


def page(
    tx: Tx,
    principal: Principal,
    box: str,
    unread: bool,
    thread: str | None,
    cursor: str | None,
    limit: int,
) -> wire.MessageList:
    """Return a page of an inbox (by what presses), or of what was sent by the caller or by all (the newest first).

    Raises:
        InvalidField: the cursor is of another list.
        Forbidden: a claw may not look at everybody's.
    """
    if box == "inbox":
        found = messages.inbox(tx, principal.name, unread, thread, _place(cursor), limit)
        shown = [record(got.message, got.receipt.state(tx.now)) for got in found]
        last = found[-1].message if found else None
        following = None if last is None or len(found) < limit else f"{last.place}.{last.seq}"
        return wire.MessageList(messages=shown, next_cursor=following)
    if box == "all" and not principal.sees_all:
        raise Forbidden("a claw sees what is for it or from it: box=inbox or box=sent")
    sender = principal.name if box == "sent" else None
    before = _place(cursor)[1] if cursor else 2**62
    rows = messages.written(tx, sender, thread, before, limit)
    following = f"0.{rows[-1].seq}" if len(rows) == limit else None
    return wire.MessageList(messages=[whole(tx, row) for row in rows], next_cursor=following)


def expire(tx: Tx) -> int:
    """Mark up to 500 that nobody has read in time; return how many."""
    return messages.mark_expired(tx, EXPIRE_MOST)


def record(row: MessageRow, state: str) -> wire.Message:
    """Return a message as its reader gets it."""
    found = _record(row)
    found.state = state
    return found


def whole(tx: Tx, row: MessageRow) -> wire.Message:
    """Return a message with every receipt."""
    found = _record(row)
    found.receipts = [_receipt(tx, one) for one in messages.receipts(tx, row.seq)]
    return found


def _record(row: MessageRow) -> wire.Message:
    return wire.Message(
        id=row.id,
        at=iso(row.at),
        by=row.sender,
        to=row.audience,
        kind=row.kind,
        text=row.text,
        priority=row.priority,
        thread=row.thread,
        reply_to=row.reply_to,
        job_id=row.job_id,
        expires_at=iso_or_none(row.expires_at),
    )


def _receipt(tx: Tx, row: ReceiptRow) -> wire.Receipt:
    return wire.Receipt(
        reader=row.reader,
        state=row.state(tx.now),
        delivered_at=iso_or_none(row.delivered_at),
        read_at=iso_or_none(row.read_at),
    )


def _sees(tx: Tx, principal: Principal, row: MessageRow) -> bool:
    return principal.sees_all or row.sender == principal.name or bool(messages.receipt(tx, row.seq, principal.name))


def _place(cursor: str | None) -> tuple[int, int]:
    if not cursor:
        return -1, 0
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise InvalidField("cursor: not one of this list; begin without", "cursor")
    return int(found[1]), int(found[2])
