"""Named leases for whoever needs exactly one of something: take, renew, release, read, require. Fences only grow.

On the store's clock alone; a holder whose lease is over has lost it even when nobody has taken it since. A lease is
changed while nobody else writes: so of two servers that take it one gets it, and what others find of it holds until
their own commit.
"""

from typing import NamedTuple

import msgspec

from contract import wire
from contract.clock import iso_or_none
from contract.errors import LeaseHeld, NotFound, StaleFence
from spine.queue.access import Caller
from spine.queue.view import raw
from spine.store import named_leases
from spine.store.cluster import EVENTS
from spine.store.engine import Tx
from spine.store.named_leases import NamedLeaseRow

LEADER_ELECTED = "cluster.leader_elected"


class Token(NamedTuple):
    """What a holder shows with what it does: the lease's name, and the fence that taking it gave."""

    name: str
    fence: int


def record(tx: Tx, row: NamedLeaseRow) -> wire.NamedLease:
    """Return a lease as a record; a holder whose time is over is none."""
    live = is_held(tx, row)
    return wire.NamedLease(
        name=row.name,
        holder=row.holder if live else None,
        fence=row.fence,
        until=iso_or_none(row.until) if live else None,
        data=raw(row.data),
    )


def is_held(tx: Tx, row: NamedLeaseRow) -> bool:
    """Tell whether somebody holds it now."""
    return row.holder is not None and row.until is not None and row.until > tx.now


def node_of(holder: str) -> str:
    """Return the node id of a holder of the cluster's lease, who is named `<node id>:<instance>`."""
    return holder.partition(":")[0]


def read(tx: Tx, name: str) -> NamedLeaseRow:
    """Return a lease.

    Raises:
        NotFound: nobody ever took it.
    """
    row = named_leases.find(tx, name)
    if row is None:
        raise NotFound(f"nobody has taken the lease {name[:64]}")
    return row


def take(tx: Tx, caller: Caller, name: str, holder: str, ttl_ms: int, data: str | None) -> NamedLeaseRow:
    """Take a free lease, with the next fence. Taking again what one holds renews it. Without data, what it has stays.

    Raises:
        LeaseHeld: with `holder` and `until`.
    """
    tx.alone()
    known = named_leases.find(tx, name)
    if known is not None and is_held(tx, known):
        if (known.holder, known.owner) != (holder, caller.name):
            raise LeaseHeld(f"{known.holder} holds it", holder=known.holder, until=iso_or_none(known.until))
        return renew(tx, caller, name, known.fence, ttl_ms, data)
    fence, kept = (1, "null") if known is None else (known.fence + 1, known.data)
    row = NamedLeaseRow(name, holder, caller.name, fence, tx.now + ttl_ms, kept if data is None else data)
    named_leases.put(tx, row)
    if name == wire.CLUSTER_LEASE:
        told = msgspec.json.encode({"node_id": node_of(holder), "token": fence}).decode()
        EVENTS.append(tx, caller.name, LEADER_ELECTED, [told], wire.CLUSTER_STREAM_MOST)
    return row


def renew(tx: Tx, caller: Caller, name: str, fence: int, ttl_ms: int, data: str | None) -> NamedLeaseRow:
    """Extend a lease that one still holds.

    Raises:
        NotFound, StaleFence
    """
    row = _holders(tx, caller, name, fence)
    row = row._replace(until=tx.now + ttl_ms, data=row.data if data is None else data)
    named_leases.put(tx, row)
    return row


def release(tx: Tx, caller: Caller, name: str, fence: int) -> NamedLeaseRow:
    """Give a lease up.

    Raises:
        NotFound, StaleFence
    """
    row = _holders(tx, caller, name, fence)._replace(holder=None, owner=None, until=None)
    named_leases.put(tx, row)
    return row


def require(tx: Tx, token: Token) -> None:
    """Let pass what is done under a lease that is held with this fence; nobody else takes it before the commit.

    Raises:
        StaleFence: it is over, another has it, or nobody ever took it.
    """
    row = named_leases.find(tx, token.name)
    if row is None or row.fence != token.fence or not is_held(tx, row):
        known = None if row is None else row.fence
        raise StaleFence(f"the lease {token.name[:64]} is over or another's", lease=token.name, fence=known)


def _holders(tx: Tx, caller: Caller, name: str, fence: int) -> NamedLeaseRow:
    tx.alone()
    row = read(tx, name)
    if row.fence != fence or not is_held(tx, row) or (row.owner != caller.name and not caller.principal.is_head):
        raise StaleFence("the lease is over or another's", fence=row.fence, holder=row.holder)
    return row
