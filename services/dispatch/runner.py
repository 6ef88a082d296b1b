"""A watcher for programs: it tells of its run as JSON lines, and hands on what is said to the agent meanwhile."""

import io
import sys
import threading
import time
import uuid
from typing import Any

import msgspec

from dispatch import steering
from dispatch.attempts import Ending
from dispatch.desk import Desk
from dispatch.faults import Fault
from dispatch.gateway import judge
from dispatch.gateway.errors import GatewayError, Unreachable
from dispatch.gateway.rows import Event
from dispatch.gateway.runs import Accepted
from dispatch.gateway.verdict import Verdict
from dispatch.ledger import Entry
from dispatch.watch import Watcher

_QUIET_SECONDS = 5.0
_UNHEARD_SECONDS = 10.0
"""For so long a session that does nothing may still take up what was said to it."""
_LINE_MOST = 1_000_000
_USAGE = {"inputTokens": "input", "outputTokens": "output", "totalTokens": "total"}
"""Members of a gateway's event about a run so far, and our names for them."""


class Lines:
    """JSON lines on standard output, from any thread; none at all where nobody asked for them."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self._lock = threading.Lock()

    def tell(self, event: str, **members: Any) -> None:
        """Print one event."""
        if self.wanted:
            line = msgspec.json.encode({"event": event, **members})
            with self._lock:
                sys.stdout.buffer.write(line + b"\n")
                sys.stdout.buffer.flush()


class Runner(Watcher):
    """A watcher that tells of its run as it goes on, and hands on what is said to the agent meanwhile."""

    _told = 0.0
    _closed = False
    _idle_since: float | None = None

    def __init__(self, desk: Desk, label: str, owner: str, lines: Lines, accepted: Accepted | None) -> None:
        super().__init__(desk, label, owner, accepted=accepted, retries=0, tell=lines.tell)
        self._lines = lines
        self._talking = threading.Lock()
        """Held while something is said and while the end is written down: nothing is said after the end."""

    def listen(self) -> None:
        """Send what standard input says into the session: one JSON object a line, `{"steer": "text"}`."""
        # Not sys.stdin: its lock, which this thread would hold while it waits, is asked for at the interpreter's end.
        source = io.FileIO(0, closefd=False)
        while line := source.readline(_LINE_MOST):
            try:
                found = msgspec.json.decode(line)
                text = found["steer"]
            except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, KeyError):
                self._lines.tell("steer", ok=False, error='not steered: give one JSON object a line, {"steer": "text"}')
                continue
            if not isinstance(text, str) or not text.strip():
                self._lines.tell("steer", ok=False, error="steer: give a text")
                continue
            self.say(text)

    def say(self, text: str) -> None:
        """Send a text into the session, unless the run is over."""
        run_id = str(uuid.uuid4())
        with self._talking:
            try:
                if self._closed:
                    raise Fault("not said: the run is over", "over")
                steering.keep(self._desk, self.label, run_id, text)
                self._send(run_id, text)
            except (GatewayError, Fault) as e:
                self._lines.tell("steer", ok=False, error=e.text)
            else:
                self._lines.tell("steer", ok=True, runId=run_id)

    def _send(self, run_id: str, text: str) -> None:
        entry = self._desk.ledger.entry(self.label) or {}
        try:
            self._desk.gateway().steer(str(entry.get("sessionKey")), text, run_id)
        except GatewayError as e:
            if not (isinstance(e, Unreachable) and e.sent):
                steering.forget(self._desk, self.label, run_id)
            raise

    def _look(self, entry: Entry) -> Verdict:
        found = super()._look(entry)
        if found.outcome.state != judge.OK or not entry.get(steering.FIELD):
            return found
        row = found.view.row
        heeded = steering.heeded(entry, found.view)
        # A v3 row goes on to say "running" after a second run.
        active = row is not None and row.active and not (heeded and row.has_active_run is None)
        if not active and heeded:
            return steering.follow(self._desk, entry, found)
        if active:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since > _UNHEARD_SECONDS:
            self._tell("steer", ok=False, error="the run is over, and the gateway has not given the agent all it took")
            return steering.follow(self._desk, entry, found)
        return Verdict(outcome=judge.Outcome(state=judge.RUNNING), view=found.view)

    def _judged(self, entry: Entry, found: Verdict) -> Ending | None:
        with self._talking:
            said = (self._desk.ledger.entry(self.label) or {}).get(steering.FIELD)
            if found.outcome.state == judge.OK and said != entry.get(steering.FIELD):
                return None  # said since this look: look again
            ending = super()._judged(entry, found)
            self._closed = ending is not None
            return ending

    def usage(self, ending: Ending) -> dict[str, Any]:
        """Return the tokens that the work took, and the model's name, as far as they are known."""
        if ending.verdict is None:
            return {}
        view = ending.verdict.view
        tokens = steering.used(self._desk.ledger.entry(self.label) or {}, view, self._final)
        found: dict[str, Any] = {} if tokens is None else msgspec.to_builtins(tokens)
        if view.row is not None:
            found |= {"model": view.row.model, "provider": view.row.model_provider}
        return {name: value for name, value in found.items() if value is not None}

    def _hear(self, event: Event) -> None:
        found = event.payload.get("data")
        data: dict[str, Any] = found if isinstance(found, dict) else {}
        stream = event.payload.get("stream")
        if event.name != "agent":
            return
        if stream == "usage":
            if usage := {_USAGE[name]: value for name, value in data.items() if name in _USAGE}:
                self._lines.tell("usage", **usage)
        elif stream in ("lifecycle", "run_status"):
            names = ("phase", "retryAttempt", "maxRetries", "delayMs", "reason")
            self._lines.tell("progress", **{name: data[name] for name in names if name in data})
        elif time.monotonic() - self._told > _QUIET_SECONDS:
            self._told = time.monotonic()
            self._lines.tell("progress", phase=str(stream or "active"))
