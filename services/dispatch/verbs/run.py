"""`run`: dispatch and watch in one process, for programs: events as JSON lines, steering on standard input."""

import contextlib
import io
import sys
import threading
import time
import uuid
from typing import Any

import msgspec

from contract.signals import on_sigterm
from dispatch import faults, leases, starting
from dispatch.arguments import Arguments
from dispatch.attempts import Ending
from dispatch.desk import Desk
from dispatch.faults import Fault
from dispatch.gateway.errors import GatewayError
from dispatch.gateway.judge import OVERLOADED, TRANSIENT
from dispatch.gateway.rows import Event
from dispatch.hooks import CANCELLED
from dispatch.keeping import digest
from dispatch.ledger import DONE, INTERRUPTED, OPEN, Entries, Entry, stamp
from dispatch.verbs import sessions
from dispatch.watch import Watcher

_QUIET_SECONDS = 5.0
_LINE_MOST = 1_000_000


class Stopped(BaseException):
    """SIGTERM came. No `Exception`, so that nothing between takes it for a failure of its own."""


class Lines:
    """JSON lines on standard output, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def tell(self, event: str, **members: Any) -> None:
        """Print one event."""
        line = msgspec.json.encode({"event": event, **members})
        with self._lock:
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()


class Runner(Watcher):
    """A watcher that tells of its run as it goes on."""

    lines: Lines
    _told = 0.0

    def _hear(self, event: Event) -> None:
        found = event.payload.get("data")
        data: dict[str, Any] = found if isinstance(found, dict) else {}
        stream = event.payload.get("stream")
        if event.name != "agent":
            return
        if stream == "usage":
            self.lines.tell("usage", **_usage(data))
        elif stream in ("lifecycle", "run_status"):
            names = ("phase", "retryAttempt", "maxRetries", "delayMs", "reason")
            self.lines.tell("progress", **{name: data[name] for name in names if name in data})
        elif time.monotonic() - self._told > _QUIET_SECONDS:
            self._told = time.monotonic()
            self.lines.tell("progress", phase=str(stream or "active"))


def run(desk: Desk, arguments: Arguments) -> int:
    """Dispatch, watch to the end and say what came of it; see docs/howto/dispatch.md for the events."""
    label, task = arguments.label(), sessions.message(arguments)
    timeout = arguments.whole("timeout", starting.TIMEOUT_SECONDS, 1, 2_592_000)
    verify, model, thinking = sessions.verifying(arguments), arguments.text("model"), arguments.text("thinking")
    json = arguments.has("json-events")
    lines = Lines()
    stopping = threading.Event()

    def leave() -> None:
        if not stopping.is_set():
            stopping.set()
            raise Stopped

    owner = leases.new_owner()
    on_sigterm(leave)
    try:
        entry = desk.ledger.entry(label)
        key, mode = sessions.session(arguments, entry, sessions.agent_of(arguments), strict=False)
        agent = sessions.agent_of(arguments, key)
        accepted = None
        if not _under_way(desk, label, entry, task):
            _claim(desk, label, owner)
            fields: Entry = {
                "sessionKey": key,
                "agent": agent,
                "mode": mode,
                "model": model,
                "thinking": thinking,
                "timeoutSeconds": timeout,
                "timeout": timeout,
                "deliveryMode": "none",
            }
            accepted = sessions.begin(desk, label, fields, task, task, verify, owner)
        entry = desk.ledger.entry(label) or {}
        _tell_accepted(lines if json else None, label, entry, attached=accepted is None)
        runner = Runner(desk, label, owner, accepted=accepted, retries=0, tell=lines.tell if json else _silent)
        runner.lines = lines if json else _Silent()
        if json:
            threading.Thread(target=_steer, args=(desk, label, lines), name="steer", daemon=True).start()
        ending = runner.watch()
        return _ended(desk, lines if json else None, label, ending)
    except Stopped:
        _abort(desk, label, owner)
        if json:
            lines.tell("ended", status="aborted", label=label, cause=None, error="ended by a signal; aborted")
        return faults.ABORTED
    except GatewayError as e:
        return _failed(desk, lines if json else None, label, e.text, OVERLOADED if e.code == "overloaded" else None, e)
    except leases.Superseded:
        return _failed(desk, lines if json else None, label, f"{label}: was dispatched anew elsewhere", None, None)


def _under_way(desk: Desk, label: str, entry: Entry | None, task: str) -> bool:
    """Whether the same prompt runs already, left behind by a process that was killed: then it is watched on."""
    if entry is None or entry.get("status") not in OPEN or entry.get("promptDigest") != digest(task):
        return False
    return leases.held(entry, desk.now()) is None and desk.keeping(label).prompt() == task


def _claim(desk: Desk, label: str, owner: str) -> None:
    def alter(entries: Entries) -> str | None:
        entry = entries.setdefault(label, {"status": INTERRUPTED, "updatedAt": stamp()})
        holder = leases.held(entry, desk.now())
        if holder is None:
            leases.hold(entry, owner, desk.now())
        return holder

    holder = desk.ledger.change(alter)
    if holder is not None:
        raise Fault(f"{label}: {holder} runs it; wait for its end, or use another label", "held")


def _tell_accepted(lines: Lines | None, label: str, entry: Entry, attached: bool) -> None:
    if lines is not None:
        names = ("sessionKey", "runId", "agent", "mode", "attempt")
        lines.tell("accepted", label=label, **{name: entry.get(name) for name in names}, attached=attached)


def _ended(desk: Desk, lines: Lines | None, label: str, ending: Ending) -> int:
    row = ending.verdict.view.row if ending.verdict else None
    entry = desk.ledger.entry(label) or {}
    ok = ending.status == DONE
    later = ending.kind in (OVERLOADED, TRANSIENT)
    code = faults.OK if ok else faults.OVERLOAD if later else faults.PERMANENT
    if lines is None:
        desk.say(ending.text) if ok else desk.note(ending.message)
        return code
    if ok and ending.text:
        lines.tell("text", text=ending.text)
    if row is not None:
        usage = {"input": row.input_tokens, "output": row.output_tokens, "total": row.total_tokens}
        model = {"model": row.model, "provider": row.model_provider}
        lines.tell("usage", **{name: value for name, value in {**usage, **model}.items() if value is not None})
    members: dict[str, Any] = {
        "status": "ok" if ok else "error",
        "label": label,
        "sessionKey": entry.get("sessionKey"),
        "runId": entry.get("runId"),
        "text": ending.text,
        "error": None if ok else ending.message,
        "cause": None if ok else ending.kind if later else "permanent",
        "notBefore": stamp(ending.not_before) if ending.not_before else None,
    }
    lines.tell("ended", **members)
    return code


def _failed(
    desk: Desk, lines: Lines | None, label: str, text: str, kind: str | None, error: GatewayError | None
) -> int:
    later = error is not None and error.retryable
    cause = kind or (TRANSIENT if later else "permanent")
    after = error.retry_after if error is not None else None
    not_before = stamp(desk.now() + int(after * 1000)) if after else None
    desk.note(text)
    if lines is not None:
        lines.tell("ended", status="error", label=label, error=text, cause=cause, notBefore=not_before)
    return faults.OVERLOAD if later else faults.PERMANENT


def _abort(desk: Desk, label: str, owner: str) -> None:
    """Stop the session, and say so in the ledger; a run that nobody can stop is noted."""
    entry = desk.ledger.entry(label) or {}
    key = entry.get("sessionKey")
    if not key:
        return
    try:
        desk.gateway().abort(key)
    except GatewayError as e:
        desk.note(f"{label}: the session could not be aborted: {e.text}")

    def alter(entries: Entries) -> None:
        found = entries.get(label)
        if found is not None and found.get("runId") == entry.get("runId") and found.get("status") != DONE:
            found.update(status=INTERRUPTED, error="ended by a signal; the session was aborted", updatedAt=stamp())
            if found.get("owner") == owner:
                found.update(owner=None, ownerUntil=None)

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


def _steer(desk: Desk, label: str, lines: Lines) -> None:
    """Send what standard input says into the session: one JSON object a line, `{"steer": "text"}`."""
    # Not sys.stdin: its lock, which this thread would hold while it waits, is one that the interpreter's end asks for.
    source = io.FileIO(0, closefd=False)
    while line := source.readline(_LINE_MOST):
        try:
            found = msgspec.json.decode(line)
            text = found["steer"]
        except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, KeyError):
            lines.tell("steer", ok=False, error='not steered: give one JSON object a line, {"steer": "text"}')
            continue
        if not isinstance(text, str) or not text.strip():
            lines.tell("steer", ok=False, error="steer: give a text")
            continue
        try:
            entry = desk.ledger.entry(label) or {}
            run_id = desk.gateway().steer(str(entry.get("sessionKey")), text, str(uuid.uuid4()))
            lines.tell("steer", ok=True, runId=run_id)
        except (GatewayError, Fault) as e:
            lines.tell("steer", ok=False, error=e.text)


def _usage(data: dict[str, Any]) -> dict[str, Any]:
    found = data.get("usage")
    told: dict[str, Any] = found if isinstance(found, dict) else data
    return {name: value for name, value in told.items() if name in ("input", "output", "total", "model", "provider")}


def _silent(event: str, **members: Any) -> None:
    """Tell nothing."""


class _Silent(Lines):
    def tell(self, event: str, **members: Any) -> None:
        """Print nothing."""
