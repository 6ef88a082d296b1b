"""`run`: dispatch and watch in one process, for programs: events as JSON lines, steering on standard input."""

import contextlib
import threading
from typing import Any

from contract.env import SettingsError
from contract.signals import on_sigterm
from dispatch import faults, leases, starting
from dispatch.arguments import Arguments
from dispatch.attempts import Ending
from dispatch.desk import Desk
from dispatch.faults import Fault, Usage
from dispatch.gateway.errors import GatewayError
from dispatch.gateway.judge import OVERLOADED, PERMANENT, TRANSIENT
from dispatch.hooks import CANCELLED
from dispatch.keeping import digest
from dispatch.ledger import DONE, INTERRUPTED, OPEN, Entries, Entry, stamp
from dispatch.runner import Lines, Runner
from dispatch.verbs import sessions

KEPT_MS = 30 * 86_400_000
"""How long a label that a program dispatched is kept after its last dispatch: for a rework in the same session."""
FORGOTTEN_AT_ONCE = 100


class Stopped(BaseException):
    """SIGTERM came. No `Exception`, so that nothing between takes it for a failure of its own."""


class Held(Fault):
    """Another process has the label's lease, until the moment `until` (ISO 8601) at most when it dies."""

    def __init__(self, text: str, until: str) -> None:
        super().__init__(text, "held")
        self.until = until


def run(desk: Desk, arguments: Arguments) -> int:
    """Dispatch, watch to the end and say what came of it; see docs/howto/dispatch.md for the events."""
    label, task = arguments.label(), sessions.message(arguments)
    timeout = arguments.whole("timeout", starting.TIMEOUT_SECONDS, 1, 2_592_000)
    verify, model, thinking = sessions.verifying(arguments), arguments.text("model"), arguments.text("thinking")
    lines = Lines(arguments.has("json-events"))
    stopping = threading.Event()

    def leave() -> None:
        if not stopping.is_set():
            stopping.set()
            raise Stopped

    owner = leases.new_owner()
    try:
        on_sigterm(leave)
        entry = desk.ledger.entry(label)
        key, mode = sessions.session(arguments, entry, sessions.agent_of(arguments), strict=False)
        agent = sessions.agent_of(arguments, key)
        before = _claim(desk, label, owner)
        accepted = None
        if not _under_way(desk, label, before, task):
            _end_former(desk, label, before)
            fields: Entry = {
                "sessionKey": key,
                "agent": agent,
                "mode": mode,
                "model": model,
                "thinking": thinking,
                "timeoutSeconds": timeout,
                "timeout": timeout,
                "deliveryMode": "none",
                "forgetAt": stamp(desk.now() + KEPT_MS),
            }
            accepted = sessions.begin(desk, label, fields, task, task, verify, owner)
        _tell_accepted(lines, label, desk.ledger.entry(label) or {}, attached=accepted is None)
        runner = Runner(desk, label, owner, lines, accepted)
        if lines.wanted:
            threading.Thread(target=runner.listen, name="steer", daemon=True).start()
        ending = runner.watch()
        return _ended(desk, lines, label, ending, runner.usage(ending))
    except Stopped:
        _abort(desk, label, owner)
        lines.tell("ended", status="aborted", label=label, cause=None, error="ended by a signal; aborted")
        return faults.ABORTED
    except GatewayError as e:
        moment = stamp(desk.now() + int(e.retry_after * 1000)) if e.retry_after else None
        code = faults.OVERLOAD if e.retryable else faults.PERMANENT
        return _failed(desk, lines, label, e.text, code, starting.kind(e), moment)
    except leases.Superseded:
        return _failed(desk, lines, label, f"{label}: was dispatched anew elsewhere", faults.PERMANENT, PERMANENT)
    except Held as e:
        return _failed(desk, lines, label, e.text, faults.OVERLOAD, TRANSIENT, e.until)
    except Usage:
        raise
    except Fault as e:
        return _failed(desk, lines, label, e.text, faults.FAILED, None)
    except SettingsError as e:
        return _failed(desk, lines, label, "; ".join(e.faults), faults.FAILED, None)
    finally:
        with contextlib.suppress(Fault):
            leases.release(desk.ledger, label, owner)


def _under_way(desk: Desk, label: str, entry: Entry, task: str) -> bool:
    """Whether the same prompt runs already, left behind by a process that was killed: then it is watched on."""
    same = entry.get("status") in OPEN and entry.get("promptDigest") == digest(task)
    return same and desk.keeping(label).prompt() == task


def _claim(desk: Desk, label: str, owner: str) -> Entry:
    """Take the label's lease, so that nobody else begins or watches it; returns the entry as it was.

    Raises:
        Held: another process has it.
    """

    def alter(entries: Entries) -> Entry:
        entry = entries.setdefault(label, {"status": INTERRUPTED, "updatedAt": stamp()})
        before, holder = dict(entry), leases.held(entry, desk.now())
        if holder is not None:
            raise Held(f"{label}: {holder} runs it; wait for its end, or use another label", entry["ownerUntil"])
        leases.hold(entry, owner, desk.now())
        _forget(desk, entries)
        return before

    return desk.ledger.change(alter)


def _forget(desk: Desk, entries: Entries) -> None:
    """Drop labels of programs that ended long ago: each job has its own, and every change writes all of them."""
    now = stamp(desk.now())
    old = [label for label, e in entries.items() if (e.get("forgetAt") or now) < now and e.get("status") not in OPEN]
    for label in old[:FORGOTTEN_AT_ONCE]:
        if leases.held(entries[label], desk.now()) is None:
            desk.keeping(label).forget()  # first: killed here, the next call finds the label and goes on
            del entries[label]


def _end_former(desk: Desk, label: str, before: Entry) -> None:
    """End a run of the label that was left behind with another prompt: two would do the same work side by side.

    Raises:
        GatewayError: it may go on; nothing was begun.
    """
    if before.get("status") in OPEN and before.get("sessionKey"):
        desk.note(f"{label}: was under way with another prompt in {before['sessionKey']}; that run is ended first")
        desk.gateway().abort(before["sessionKey"])


def _tell_accepted(lines: Lines, label: str, entry: Entry, attached: bool) -> None:
    names = ("sessionKey", "runId", "agent", "mode", "attempt")
    lines.tell("accepted", label=label, **{name: entry.get(name) for name in names}, attached=attached)


def _ended(desk: Desk, lines: Lines, label: str, ending: Ending, usage: dict[str, Any]) -> int:
    entry = desk.ledger.entry(label) or {}
    ok = ending.status == DONE
    later = ending.kind in (OVERLOADED, TRANSIENT)
    code = faults.OK if ok else faults.OVERLOAD if later else faults.PERMANENT
    if not lines.wanted:
        desk.say(ending.text) if ok else desk.note(ending.message)
        return code
    if ok and ending.text:
        lines.tell("text", text=ending.text)
    if usage:
        lines.tell("usage", **usage)
    members: dict[str, Any] = {
        "status": "ok" if ok else "error",
        "label": label,
        "sessionKey": entry.get("sessionKey"),
        "runId": entry.get("runId"),
        "text": ending.text,
        "error": None if ok else ending.message,
        "cause": None if ok else ending.kind if later else PERMANENT,
        "notBefore": stamp(ending.not_before) if ending.not_before else None,
    }
    lines.tell("ended", **members)
    return code


def _failed(
    desk: Desk, lines: Lines, label: str, text: str, code: int, cause: str | None, not_before: str | None = None
) -> int:
    desk.note(text)
    lines.tell("ended", status="error", label=label, error=text, cause=cause, notBefore=not_before)
    return code


def _abort(desk: Desk, label: str, owner: str) -> None:
    """Stop the session, and say so in the ledger; a run that nobody can stop is noted.

    One that has ended needs none, and what another process holds is not ours to end.
    """
    entry = desk.ledger.entry(label) or {}
    key = entry.get("sessionKey")
    holder = leases.held(entry, desk.now())
    if not key or entry.get("status") not in OPEN or holder not in (None, owner):
        return
    try:
        told = "the session was aborted"
        if not desk.gateway().abort(key):
            told = "the gateway told of no run to abort"  # it is over; or v3, which ends none that `agent` began
    except GatewayError as e:
        told = f"the session could not be aborted: {e.text}"
        desk.note(f"{label}: {told}")

    def alter(entries: Entries) -> None:
        found = entries.get(label)
        if found is not None and found.get("runId") == entry.get("runId") and found.get("status") != DONE:
            found.update(status=INTERRUPTED, error=f"ended by a signal; {told}", updatedAt=stamp())

    with contextlib.suppress(Fault):
        desk.ledger.change(alter)
    desk.hooks.emit(
        CANCELLED,
        label=label,
        job_id=entry.get("idempotencyKey"),
        run_id=entry.get("runId"),
        agent=entry.get("agent"),
        session_key=key,
    )
