"""`stuck` and `sync`: labels that are under way for too long, and the ledger against what the gateway has."""

import uuid
from typing import Any

from contract.clock import parse_iso
from dispatch import leases, prompting, settling, watchers
from dispatch.arguments import Arguments, checked_label
from dispatch.attempts import began
from dispatch.desk import Desk
from dispatch.faults import OK, STUCK, Usage
from dispatch.gateway.errors import GatewayError
from dispatch.gateway.rows import Row, View
from dispatch.hooks import STUCK as STUCK_EVENT
from dispatch.ledger import ERROR, INTERRUPTED, OPEN, RUNNING, Entries, Entry, stamp
from dispatch.starting import TIMEOUT_SECONDS

THRESHOLD_MINUTES = 15
AGAIN_MS = 24 * 3_600_000
"""A silence that was told of and goes on is told of again after so long."""
_SUBAGENT = ":subagent:"


def stuck(desk: Desk, arguments: Arguments) -> int:
    """Find labels that are under way for too long and silent; each is nudged once before it counts as stuck.

    A silence is told of once, and then once a day: with nothing to tell it prints nothing and exits 0. --json is a look
    at all that are stuck: it counts as no telling, and exits 1 while there are any.
    """
    minutes = arguments.whole("threshold-min", THRESHOLD_MINUTES, 1, 100_000)
    only = arguments.label() if arguments.given("label") else None
    found: list[dict[str, Any]] = []
    resolved: list[dict[str, Any]] = []
    skipped: list[str] = []
    _file_owed(desk)
    nudged: list[str] = []
    due: Entries = {}
    for label, entry in desk.ledger.read().items():
        if entry.get("status") not in OPEN or only not in (None, label):
            continue
        age = desk.now() - began(entry)
        threshold = _threshold(entry, minutes)
        own = 1000 * int(entry.get("timeoutSeconds") or TIMEOUT_SECONDS)
        if age <= max(own, threshold, desk.config.startup_grace_ms):
            continue
        if leases.held(entry, desk.now()) is not None:
            skipped.append(label)
            continue
        due[label] = entry
    for label, settled in settling.settle_all(desk, due):
        entry = due[label]
        if settled.change is not None and settled.change.after != RUNNING:
            resolved.append({"label": label, "to": settled.change.after, "reason": settled.change.reason})
        elif settled.verdict is not None:
            active = _active(entry, settled.verdict.view)
            age, silent = desk.now() - began(entry), desk.now() - active
            if silent >= _threshold(entry, minutes) and _second_time(desk, label, entry, settled.verdict.view, nudged):
                found.append({**_stuck(label, entry, age, silent), "toldAt": _told(entry, active, desk.now())})
    if arguments.has("json"):
        desk.answer(
            ok=not found,
            stuck_count=len(found),
            stuck_sessions=found,
            auto_resolved_count=len(resolved),
            auto_resolved=resolved,
            watcher_skipped=skipped,
            nudged=nudged,
            threshold_min=minutes,
        )
        return STUCK if found else OK
    news = [one for one in found if one["toldAt"] is None]
    if not news:
        return OK
    desk.hooks.emit(STUCK_EVENT, stuck_count=len(news), runs=[_run(one) for one in news])
    desk.say("\n".join(_line(one) for one in news))
    _keep_told(desk, [one["label"] for one in news])
    return STUCK


def sync(desk: Desk, arguments: Arguments) -> int:
    """Mark what is over or has vanished at the gateway, and take in sessions of agents that nobody here knows."""
    dry = arguments.has("dry-run")
    entries = desk.ledger.read()
    details: list[dict[str, Any]] = []
    for label, settled in settling.settle_all(desk, entries, apply=not dry):
        change = settled.change
        if change is not None:
            details.append({"label": label, "from": change.before, "to": change.after, "reason": change.reason})
    details += _take_in(desk, dry)
    if not dry:
        _file_owed(desk)
    desk.answer(ok=True, dryRun=dry, changes=len(details), details=details)
    return OK


def _file_owed(desk: Desk) -> None:
    for line in watchers.file_owed(desk):
        desk.note(line)


def _take_in(desk: Desk, dry: bool) -> list[dict[str, Any]]:
    rows = [row for row in desk.gateway().sessions() if _SUBAGENT in row.key]

    def alter(entries: Entries) -> list[dict[str, Any]]:
        known = {entry.get("sessionKey") for entry in entries.values()}
        details = []
        for row in rows:
            if row.key in known:
                continue
            label, entry = _label(row, entries), _imported(row)
            if not dry:
                entries[label] = entry
            details.append({"label": label, "from": None, "to": entry["status"], "reason": "imported from the gateway"})
        return details

    return alter(desk.ledger.read()) if dry else desk.ledger.change(alter)


def _label(row: Row, entries: Entries) -> str:
    try:
        wanted = checked_label(row.label or row.key)
    except Usage:
        wanted = row.key
    return wanted if wanted not in entries else row.key


def _imported(row: Row) -> Entry:
    after = RUNNING if row.active else ERROR if row.status == "failed" else INTERRUPTED
    began_at = row.started_at or row.updated_at
    return {
        "sessionKey": row.key,
        "runId": row.active_run_ids[0] if row.active_run_ids else row.last_run_id,
        "agent": row.agent_id or row.key.split(":")[1],
        "mode": "fresh",
        "model": row.model,
        "status": after,
        "error": row.last_run_error,
        "origin": "imported",
        "spawnedAt": stamp(began_at) if began_at else None,
        "dispatchedAt": stamp(began_at) if began_at else None,
        "updatedAt": stamp(),
    }


def _threshold(entry: Entry, minutes: int) -> int:
    """Return how long a label may be silent, in ms."""
    return 60_000 * int(entry.get("monitorTimeoutMin") or minutes)


def _active(entry: Entry, view: View) -> int:
    row = view.row
    times = [began(entry)]
    times += [row.last_activity_at or 0, row.updated_at or 0] if row is not None else []
    # Our own nudges are no activity of theirs.
    times += [message.timestamp or 0 for message in view.messages if message.role != "user"]
    return max(times)


def _second_time(desk: Desk, label: str, entry: Entry, view: View, nudged: list[str]) -> bool:
    """Nudge a silent session; True when that was done before and its tokens have not grown since."""
    tokens = (view.row.total_tokens if view.row else None) or 0
    if entry.get("nudgedAt") and tokens <= int(entry.get("nudgedTokens") or 0):
        return True
    nudged.append(label)
    try:
        desk.gateway().steer(str(entry.get("sessionKey")), prompting.NUDGE, str(uuid.uuid4()))
    except GatewayError as e:
        desk.note(f"{label}: could not be nudged: {e.text}")

    def alter(found: Entry) -> None:
        found.update(nudgedAt=stamp(), nudgedTokens=tokens)

    desk.ledger.alter(label, alter)
    desk.note(f"{label}: silent, nudged; it counts as stuck when that does not help")
    return False


def _told(entry: Entry, active: int, now: int) -> str | None:
    """Return when this silence was told of; None when it was not, or a day ago."""
    at = str(entry.get("stuckToldAt") or "")
    try:
        told, nudged = parse_iso(at), parse_iso(entry.get("nudgedAt") or "")
    except ValueError:
        return None
    return at if max(active, nudged) <= told <= now < told + AGAIN_MS else None


def _keep_told(desk: Desk, labels: list[str]) -> None:
    def alter(entries: Entries) -> None:
        for label in labels:
            if label in entries:
                entries[label]["stuckToldAt"] = stamp()

    desk.ledger.change(alter)


def _stuck(label: str, entry: Entry, age: int, silent: int) -> dict[str, Any]:
    return {
        "label": label,
        "sessionKey": entry.get("sessionKey"),
        "spawnedAt": entry.get("spawnedAt"),
        "age_s": age // 1000,
        "minutes_running": age // 60_000,
        "minutes_silent": silent // 60_000,
    }


def _run(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "run_id": one["sessionKey"],
        "job_name": one["label"],
        "started_at": one["spawnedAt"],
        "age_s": one["age_s"],
    }


def _line(one: dict[str, Any]) -> str:
    return f"{one['label']}: running for {one['minutes_running']} min, silent for {one['minutes_silent']} min"
