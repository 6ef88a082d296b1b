"""Who looks after a label: one process at a time, by a lease in the ledger that ends by itself.

A watcher and the recovery both change what became of a run; the holder of the lease alone may. A holder on this
machine that has died is told by its process id and start time, so that nobody waits for its lease to run out.
"""

import os
import secrets
import socket

from contract.clock import parse_iso
from contract.procfs import over, stat_fields
from dispatch.faults import Fault
from dispatch.ledger import Entries, Entry, Ledger, stamp

SECONDS = 180
"""A lease without a sign of life for so long is over; its holder renews it three times in that time."""
_START_FIELD = 19


class Superseded(Exception):
    """The label belongs to another run or another holder now: what this process knows of it is over."""


def new_owner() -> str:
    """Return a name for this process, as no other has it."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}/{secrets.token_hex(4)}"


def take(ledger: Ledger, label: str, owner: str, now: int) -> str | None:
    """Take the lease of a label; returns None, or who has it.

    Raises:
        Fault: the label is not known, or the ledger cannot be written.
    """

    def alter(entries: Entries) -> str | None:
        entry = entries.get(label)
        if entry is None:
            raise Fault(f"no label {label!r} is known here; see spine-dispatch list", "unknown_label")
        holder = held(entry, now)
        if holder is not None and holder != owner:
            return holder
        hold(entry, owner, now)
        return None

    return ledger.change(alter)


def held(entry: Entry, now: int) -> str | None:
    """Return who holds the lease of an entry, or None when nobody living does."""
    owner, until = entry.get("owner"), entry.get("ownerUntil")
    if not owner or not until:
        return None
    try:
        if parse_iso(until) <= now:
            return None
    except ValueError:
        return None
    parts = owner.split("/")
    if len(parts) == 4 and parts[0] == socket.gethostname() and parts[1].isdigit():
        fields = stat_fields(int(parts[1]))
        if fields is not None and (over(fields) or fields[_START_FIELD] != parts[2]):
            return None
    return str(owner)


def renew(entry: Entry, owner: str, run_id: str | None, now: int) -> None:
    """Prolong the lease in an entry that is being changed, and write the sign of life `lastPing`.

    Raises:
        Superseded: another has it, or the label has another run.
    """
    if entry.get("owner") != owner or entry.get("runId") != run_id:
        raise Superseded
    hold(entry, owner, now)


def release(ledger: Ledger, label: str, owner: str) -> None:
    """Give the lease back, when this process still has it."""

    def alter(entries: Entries) -> None:
        entry = entries.get(label)
        if entry is not None and entry.get("owner") == owner:
            del entry["owner"]
            entry.pop("ownerUntil", None)

    ledger.change(alter)


def hold(entry: Entry, owner: str, now: int) -> None:
    """Write the lease of `owner` into an entry that is being changed."""
    entry["owner"], entry["ownerUntil"] = owner, stamp(now + SECONDS * 1000)
    entry["lastPing"] = stamp(now)


def _started(pid: int) -> str:
    fields = stat_fields(pid)
    return fields[_START_FIELD] if fields and len(fields) > _START_FIELD else ""
