"""The safety net, run every 10 minutes: labels that overload ended are retried, runs that a gateway lost begun again.

It touches none that a living watcher holds, and holds the label itself while it acts: never do both retry.
"""

import uuid

from contract.clock import parse_iso
from dispatch import leases, watchers
from dispatch.attempts import look, restart
from dispatch.desk import Desk
from dispatch.gateway import judge
from dispatch.gateway.errors import GatewayError
from dispatch.gateway.judge import OVERLOADED
from dispatch.ledger import ERROR, INTERRUPTED, OPEN, Entry
from dispatch.settling import LOST
from dispatch.watch import OVERLOAD_RETRIES, RESTARTS

OLDEST_MS, YOUNGEST_MS = 60 * 60_000, 5 * 60_000
_OVERLOAD, _LOST = "overload", "lost"


def recover(desk: Desk) -> list[str]:
    """Return a line for each label that was begun again, or could not be; file the watchers that are owed.

    Raises:
        Fault: the ledger cannot be read.
    """
    said = []
    for label, entry in desk.ledger.read().items():
        why, kind = _candidate(desk, label, entry)
        if kind is None:
            if why:
                desk.note(f"{label}: {why}")
            continue
        owner = leases.new_owner()
        if leases.take(desk.ledger, label, owner, desk.now()) is not None:
            desk.note(f"{label}: is watched; left to its watcher")
            continue
        try:
            found = _one(desk, label, owner, kind)
            if found:
                said.append(found)
        except leases.Superseded:
            desk.note(f"{label}: was dispatched anew meanwhile")
        except GatewayError as e:
            said.append(f"{label}: could not be begun again: {e.text}")
        finally:
            leases.release(desk.ledger, label, owner)
    return said + watchers.file_owed(desk)


def _candidate(desk: Desk, label: str, entry: Entry) -> tuple[str, str | None]:
    """Return why a label is passed over, or what it is to be recovered from."""
    status, now = entry.get("status"), desk.now()
    kind = _kind(entry)
    if kind is None:
        return "", None
    try:
        age = now - parse_iso(entry.get("updatedAt") or "")
        later = entry.get("notBefore") is not None and parse_iso(entry["notBefore"]) > now
    except ValueError:
        return f"has a time that cannot be read ({status})", None
    if age > OLDEST_MS:
        return f"ended more than {OLDEST_MS // 60_000} minutes ago; left alone", None
    if age < YOUNGEST_MS:
        return f"was changed less than {YOUNGEST_MS // 60_000} minutes ago; its watcher may be busy", None
    if later:
        return f"waits for its quota until {entry['notBefore']}", None
    if leases.held(entry, now) is not None:
        return "is watched; left to its watcher", None
    counter, most = ("retryCount", OVERLOAD_RETRIES) if kind == _OVERLOAD else ("gwRestartRetryCount", RESTARTS)
    if int(entry.get(counter) or 0) >= most:
        return f"was begun again {most} times already", None
    return "", kind


def _kind(entry: Entry) -> str | None:
    if entry.get("status") == ERROR:
        told = entry.get("errorKind")
        over = told == OVERLOADED if told else judge.cause(str(entry.get("error") or "")) == OVERLOADED
        return _OVERLOAD if over else None
    if entry.get("status") in OPEN or (entry.get("status") == INTERRUPTED and entry.get("errorKind") == LOST):
        return _LOST
    return None


def _one(desk: Desk, label: str, owner: str, kind: str) -> str | None:
    entry = desk.ledger.entry(label)
    if entry is None or entry.get("owner") != owner or _kind(entry) != kind:
        return None
    found = look(desk, entry)
    if found.outcome.state in (judge.RUNNING, judge.OK):
        return None  # it goes on, or went well after all: `sync` says so
    if kind == _LOST and found.outcome.state != judge.LOST:
        return None
    prompt = desk.keeping(label).prompt()
    if prompt is None:
        return f"{label}: its full prompt is not kept here; dispatch it anew"
    counter = "retryCount" if kind == _OVERLOAD else "gwRestartRetryCount"
    count = int(entry.get(counter) or 0) + 1
    changes = {counter: count, "dispatchKey": str(uuid.uuid4()), "watcherOwed": watchers.owed(desk, entry)}
    restart(desk, label, entry, found, prompt, changes, owner, kind == _LOST)
    return f"{label}: begun again after {found.outcome.message or kind} ({counter} {count})"
