"""The safety net, run every 10 minutes: labels that overload ended are retried, runs that a gateway lost begun again.

It touches none that a living watcher holds, and holds the label itself while it acts: never do both retry.
"""

import uuid

from contract.clock import parse_iso
from dispatch import leases, watchers
from dispatch.attempts import began, glance, restart, second_look
from dispatch.desk import Desk
from dispatch.gateway import judge
from dispatch.gateway.errors import GatewayError
from dispatch.gateway.judge import OVERLOADED
from dispatch.ledger import ERROR, INTERRUPTED, OPEN, Entry
from dispatch.settling import LOST
from dispatch.starting import TIMEOUT_SECONDS
from dispatch.watch import OVERLOAD_RETRIES, RESTARTS

OLDEST_MS, YOUNGEST_MS = 60 * 60_000, 5 * 60_000
_OVERLOAD, _LOST = "overload", "lost"


def recover(desk: Desk) -> list[str]:
    """Return a line for each label that was begun again, or could not be; file the watchers that are owed.

    Raises:
        Fault: the ledger cannot be read.
    """
    said: list[str] = []
    for label, seen, kind in _over(desk, said):
        owner = leases.new_owner()
        if leases.take(desk.ledger, label, owner, desk.now()) is not None:
            desk.note(f"{label}: is watched; left to its watcher")
            continue
        try:
            found = _one(desk, label, owner, seen, kind)
            if found:
                said.append(found)
        except leases.Superseded:
            desk.note(f"{label}: was dispatched anew meanwhile")
        except GatewayError as e:
            said.append(f"{label}: could not be begun again: {e.text}")
        finally:
            leases.release(desk.ledger, label, owner)
    return said + watchers.file_owed(desk)


def _over(desk: Desk, said: list[str]) -> list[tuple[str, Entry, str]]:
    """Look once at each label; return those that are to be recovered, each with its entry and from what.

    The wait for the second look is over then, one for all; what cannot be asked of the gateway is added to `said`.
    """
    found, lost = [], False
    for label, entry in desk.ledger.read().items():
        why, kind = _candidate(desk, entry)
        if kind is None:
            if why:
                desk.note(f"{label}: {why}")
            continue
        try:
            state = glance(desk, entry).outcome.state
        except GatewayError as e:
            said.append(f"{label}: could not be begun again: {e.text}")
            continue
        if state not in (judge.RUNNING, judge.OK):  # else it goes on, or went well after all: `sync` says so
            found.append((label, entry, kind))
            lost = lost or state == judge.LOST
    if lost:
        second_look()
    return found


def _candidate(desk: Desk, entry: Entry) -> tuple[str, str | None]:
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
    if age > OLDEST_MS and entry.get("status") in OPEN:
        # It has not ended: the gateway may have lost it at any time of those that the run has.
        if now - began(entry) > 1000 * int(entry.get("timeoutSeconds") or TIMEOUT_SECONDS):
            return f"is past its timeout, and was changed more than {OLDEST_MS // 60_000} minutes ago; left alone", None
    elif age > OLDEST_MS:
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


def _one(desk: Desk, label: str, owner: str, seen: Entry, kind: str) -> str | None:
    entry = desk.ledger.entry(label)
    if entry is None or entry.get("owner") != owner or _kind(entry) != kind:
        return None
    if entry.get("runId") != seen.get("runId"):
        return None  # begun again by another meanwhile: that run was never looked at
    found = glance(desk, entry)  # the second one
    if found.outcome.state in (judge.RUNNING, judge.OK):
        return None
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
