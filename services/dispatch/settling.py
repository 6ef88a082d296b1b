"""Judging a label that nobody watches: is its run over at the gateway, and what is it then?

Only a done signal or a watcher makes a label `done`; what ended without either is `interrupted` or `error`.
"""

from collections.abc import Iterator
from typing import NamedTuple

from dispatch import leases
from dispatch.attempts import began, finished, look, look_all
from dispatch.desk import Desk
from dispatch.gateway import judge
from dispatch.gateway.judge import OVERLOADED
from dispatch.gateway.verdict import Verdict
from dispatch.ledger import ERROR, INTERRUPTED, OPEN, RUNNING, Entries, Entry, stamp

LOST = "lost"
UNSIGNALLED = "the run ended without a done signal"


class Change(NamedTuple):
    """What a label becomes, and why; `kind` is the error's class."""

    label: str
    before: str
    after: str
    reason: str
    kind: str | None = None


class Settled(NamedTuple):
    """What the gateway says of a label: `change` is None when nothing changes; no verdict for one that is watched."""

    change: Change | None
    verdict: Verdict | None


def settle(desk: Desk, label: str, entry: Entry, apply: bool = True) -> Settled:
    """Ask the gateway for a label that may be under way, and write what it has become.

    A label that a living watcher holds is left to it; one that seems lost is left alone for the startup grace.

    Raises:
        GatewayError: it cannot be asked; nothing is known and nothing changed.
    """
    return _settled(desk, label, entry, look(desk, entry), apply) if _ours(desk, entry) else Settled(None, None)


def settle_all(desk: Desk, entries: Entries, apply: bool = True) -> Iterator[tuple[str, Settled]]:
    """Settle labels as `settle` does, with one wait for all that seem lost; one that is watched is passed over.

    Raises:
        GatewayError: as `settle`; labels before may have been changed.
    """
    ours = {label: entry for label, entry in entries.items() if _ours(desk, entry)}
    for label, found in look_all(desk, ours):
        yield label, _settled(desk, label, ours[label], found, apply)


def _ours(desk: Desk, entry: Entry) -> bool:
    return entry.get("status") in OPEN and leases.held(entry, desk.now()) is None


def _settled(desk: Desk, label: str, entry: Entry, found: Verdict, apply: bool) -> Settled:
    change = _change(desk, label, entry, found)
    if change is not None and apply and _write(desk, label, entry, change) and change.after != RUNNING:
        status = "error" if change.after == ERROR else "interrupted"
        finished(desk, label, entry, status, change.reason)
    return Settled(change, found)


def _change(desk: Desk, label: str, entry: Entry, found: Verdict) -> Change | None:
    before, outcome = str(entry.get("status")), found.outcome
    if outcome.state == judge.RUNNING:
        told = found.view.row is not None and found.view.row.active
        return Change(label, before, RUNNING, "the gateway runs it") if told and before != RUNNING else None
    if outcome.state == judge.OK:
        return Change(label, before, INTERRUPTED, UNSIGNALLED)
    if outcome.state == judge.LOST:
        young = desk.now() - began(entry) < desk.config.startup_grace_ms
        return None if young else Change(label, before, INTERRUPTED, outcome.message, LOST)
    if outcome.state == judge.ABORTED:
        return Change(label, before, INTERRUPTED, outcome.message or "the session was aborted", "aborted")
    if outcome.state == judge.TIMED_OUT:
        return Change(label, before, ERROR, outcome.message or "the run took longer than its timeout", "timeout")
    return Change(label, before, ERROR, outcome.message, outcome.kind or OVERLOADED)


def _write(desk: Desk, label: str, seen: Entry, change: Change) -> bool:
    def alter(entries: Entries) -> bool:
        entry = entries.get(label)
        same = entry is not None and all(entry.get(name) == seen.get(name) for name in ("runId", "status"))
        if entry is None or not same or leases.held(entry, desk.now()) is not None:
            return False
        failed = change.after != RUNNING
        entry.update(status=change.after, updatedAt=stamp(), errorKind=change.kind)
        entry["error"] = change.reason if failed and change.reason != UNSIGNALLED else None
        if change.reason == UNSIGNALLED and not entry.get("summary"):
            entry["summary"] = UNSIGNALLED
        return True

    return desk.ledger.change(alter)
