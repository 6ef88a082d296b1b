"""`status`, `result`, `heartbeat` and `list`: what the ledger holds, beside what the gateway says."""

from typing import Any

from dispatch import settling, steering
from dispatch.arguments import Arguments
from dispatch.attempts import began, look
from dispatch.desk import Desk
from dispatch.faults import OK, Fault, Usage
from dispatch.gateway import judge
from dispatch.gateway.errors import GatewayError
from dispatch.gateway.rows import Row
from dispatch.ledger import STATUSES, Entry, stamp

ALIVE_MS = 10 * 60_000
LIST_SHOWN = 20
SUMMARY_MOST = 500
_KEPT = ("sessionKey", "runId", "agent", "mode", "status", "spawnedAt", "updatedAt", "summary", "error")


def status(desk: Desk, arguments: Arguments) -> int:
    """Say where a label stands; a run that is over at the gateway is marked so first."""
    label = arguments.label()
    entry = desk.ledger.entry(label)
    if entry is None:
        desk.answer(ok=True, found=False, label=label, message="no such label is known here")
        return OK
    more: dict[str, Any] = {}
    try:
        settled = settling.settle(desk, label, entry)
        view = settled.verdict.view if settled.verdict else desk.gateway().look(str(entry.get("sessionKey")), limit=1)
        more["liveness"] = _liveness(desk, view.row)
        if settled.change is not None:
            more["syncAction"] = {
                "from": settled.change.before,
                "to": settled.change.after,
                "reason": settled.change.reason,
            }
    except GatewayError as e:
        more["liveness"] = {"error": e.text}
    entry = desk.ledger.entry(label) or entry
    desk.answer(ok=True, found=True, label=label, **{name: entry.get(name) for name in _KEPT}, **more)
    return OK


def result(desk: Desk, arguments: Arguments) -> int:
    """Print the answer of a label's run: its last text that is no error."""
    label = arguments.label()
    entry = desk.ledger.entry(label)
    if entry is None:
        desk.answer(ok=False, label=label, error="no such label is known here", code="unknown_label")
        return OK
    reply = last_reply(desk, entry)
    desk.answer(
        ok=True,
        label=label,
        sessionKey=entry.get("sessionKey"),
        status=entry.get("status"),
        spawnedAt=entry.get("spawnedAt"),
        summary=entry.get("summary") or (reply[:SUMMARY_MOST] if reply else None),
        lastReply=reply,
        error=entry.get("error"),
    )
    return OK


def last_reply(desk: Desk, entry: Entry) -> str | None:
    """Return the answer to what was sent last into a label's session, else that of its dispatch; never an error's text.

    Raises:
        GatewayError: the gateway cannot be asked.
    """
    found = look(desk, entry)
    if entry.get("sentRunId"):
        sent = steering.answer_to(found.view.messages, str(entry["sentRunId"]))
        sent = sent or judge.answer(found.view.messages, str(entry["sentRunId"]), began(entry))
        if sent is not None:
            return sent
    if found.outcome.state == judge.OK:
        return found.outcome.text or None
    if found.outcome.state == judge.FAILED:
        return None
    return judge.answer(found.view.messages, str(entry.get("runId") or ""), began(entry))


def heartbeat(desk: Desk, arguments: Arguments) -> int:
    """Say whether a session is alive: a run is under way, or its row was changed within 10 minutes."""
    key, label = session_of(desk, arguments)
    row = desk.gateway().look(key, limit=1).row
    if row is None or row.session_id is None:
        message = "the gateway has no such session"
        desk.answer(ok=False, sessionKey=key, label=label, alive=False, message=message)
        return OK
    liveness = _liveness(desk, row)
    age = liveness["ageMs"]
    desk.answer(
        ok=True,
        sessionKey=key,
        label=label,
        alive=row.active or (age is not None and age < ALIVE_MS),
        **{name: liveness[name] for name in ("ageMs", "updatedAt", "sessionId", "model")},
    )
    return OK


def listing(desk: Desk, arguments: Arguments) -> int:
    """List labels, the one changed last first."""
    wanted = arguments.choice("status", "", STATUSES)
    most = arguments.whole("limit", LIST_SHOWN, 1, 100_000)
    entries = [(label, e) for label, e in desk.ledger.read().items() if not wanted or e.get("status") == wanted]
    entries.sort(key=lambda pair: str(pair[1].get("updatedAt") or ""), reverse=True)
    labels = [{"label": label, **entry} for label, entry in entries[:most]]
    desk.answer(ok=True, count=len(labels), labels=labels)
    return OK


def session_of(desk: Desk, arguments: Arguments) -> tuple[str, str | None]:
    """Return the session that `--session-key` or `--label` names, and the label.

    Raises:
        Usage: neither is given.
        Fault: the label is not known.
    """
    key = arguments.session_key()
    if key is not None:
        return key, arguments.text("label")
    if not arguments.given("label"):
        raise Usage("--label is required, or --session-key")
    label = arguments.label()
    found = (desk.ledger.entry(label) or {}).get("sessionKey")
    if not found:
        raise Fault(f"no label {label!r} is known here; see spine-dispatch list", "unknown_label")
    return str(found), label


def _liveness(desk: Desk, row: Row | None) -> dict[str, Any]:
    if row is None:
        return {"error": "the gateway has no such session"}
    updated = row.updated_at
    return {
        "updatedAt": stamp(updated) if updated is not None else None,
        "ageMs": max(0, desk.now() - updated) if updated is not None else None,
        "sessionId": row.session_id,
        "model": row.model,
        "tokens": row.total_tokens,
        "active": row.active,
    }
