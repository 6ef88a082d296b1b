"""Watching one label to the end of its run: one process at a time, by the label's lease.

What became of the run is the gateway's word alone. A lost run is begun again with its original prompt, one that ended
by overload is retried, a silent one is nudged and at last aborted. Ended by a signal it changes nothing: the next
watcher goes on where this one was.
"""

import contextlib
import math
import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from contract.clock import parse_iso
from dispatch import leases, prompting, starting, verify
from dispatch.attempts import Ending, began, ends, finished, look, restart
from dispatch.desk import Desk
from dispatch.faults import Fault
from dispatch.gateway import judge
from dispatch.gateway.errors import GatewayError, Unreachable
from dispatch.gateway.judge import OVERLOADED, PERMANENT, TRANSIENT
from dispatch.gateway.rows import Event, Final
from dispatch.gateway.runs import Accepted
from dispatch.gateway.verdict import Verdict
from dispatch.ledger import DONE, ERROR, INTERRUPTED, RUNNING, Entry, stamp
from dispatch.patience import Patience, Timings

OVERLOAD_RETRIES = 3
RESTARTS = 2
FAILURES_MOST = 10
SUMMARY_MOST = 300
RETRY_AT_MOST_MS = 15 * 60_000
"""A quota that is reset later than this is not waited for."""

Tell = Callable[..., None]


class Unfinished(Exception):
    """The slice of time is over and the run goes on: watch again in `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Watcher:
    """Watches one label.

    Args:
        accepted: the run, when this process began it.
        retries: how often a run that ended by overload is tried again.
        slice_seconds: `watch` ends with `Unfinished` after so long; the next watcher goes on where this one was.
        tell: hears of each thing that happens, as an event's name and its members.
    """

    def __init__(
        self,
        desk: Desk,
        label: str,
        owner: str,
        *,
        accepted: Accepted | None = None,
        retries: int = OVERLOAD_RETRIES,
        timings: Timings | None = None,
        slice_seconds: float | None = None,
        tell: Tell = lambda event, **members: None,
    ) -> None:
        self._desk, self.label, self.owner, self._tell = desk, label, owner, tell
        self._timings = timings or Timings()
        self._accepted, self._retries = accepted, retries
        self._until = None if slice_seconds is None else time.monotonic() + slice_seconds
        self._run_id: str | None = None
        self._pinged = 0.0
        self._final: Final | None = None
        self._patience: Patience | None = None

    def watch(self) -> Ending:
        """Watch to the end.

        Raises:
            Superseded: another run or another watcher has the label now.
            Fault: the label is not known; nothing is changed then.
            GatewayError: the gateway does not let us in, or was away for too long; nothing is changed either.
            Unfinished: the slice of time is over.
        """
        while (holder := leases.take(self._desk.ledger, self.label, self.owner, self._desk.now())) is not None:
            if self._until is not None:
                raise Unfinished(self._timings.poll)
            self._desk.note(f"{self.label}: {holder} watches it; waiting for its lease")
            time.sleep(self._timings.lease_wait)
        try:
            return self._follow()
        finally:
            with contextlib.suppress(Fault):
                leases.release(self._desk.ledger, self.label, self.owner)

    def _follow(self) -> Ending:
        failures = 0
        while True:
            entry = self._entry()
            try:
                found = self._look(entry)
                failures = 0
            except GatewayError as e:
                failures += 1
                if not e.retryable:
                    raise
                if self._until is not None:
                    raise Unfinished(3 * self._timings.poll) from e
                if failures >= FAILURES_MOST:
                    self._desk.note(f"{self.label}: the gateway could not be asked {failures} times")
                    raise
                self._pause(min(self._timings.poll, 2.0**failures))
                continue
            ending = self._judged(entry, found)
            if ending is not None:
                return ending
            entry = self._entry()
            if found.outcome.state == judge.RUNNING:
                self._accept_late(entry)
                late = self._attend(entry, found)
                if late is not None:
                    return late
                self._leave_off(self._timings.poll)
                self._wait(entry["sessionKey"])
                self._leave_off(self._timings.poll)

    def _entry(self) -> Entry:
        entry = self._desk.ledger.entry(self.label)
        if entry is None or entry.get("owner") != self.owner:
            raise leases.Superseded
        if self._run_id is None:
            self._run_id = entry.get("runId")
        if entry.get("runId") != self._run_id:
            raise leases.Superseded
        if time.monotonic() - self._pinged > self._timings.ping:
            self._change({})
        return entry

    def _leave_off(self, seconds: float) -> None:
        """End the slice when its time is over, and hand the state on."""
        if self._until is not None and time.monotonic() >= self._until:
            if self._patience is not None:
                self._change({"patience": msgspec.to_builtins(self._patience.state)})
            raise Unfinished(seconds)

    def _change(self, changes: dict[str, Any]) -> None:
        def alter(entry: Entry) -> None:
            leases.renew(entry, self.owner, self._run_id, self._desk.now())
            entry.update(changes)

        self._desk.ledger.alter(self.label, alter)
        self._pinged = time.monotonic()

    def _look(self, entry: Entry) -> Verdict:
        if self._accepted is not None and self._final is None:
            with contextlib.suppress(Unreachable):
                self._final = self._accepted.final(0.0)
        return look(self._desk, entry, self._final)

    def _accept_late(self, entry: Entry) -> None:
        if entry.get("status") not in (RUNNING, DONE):
            self._change({"status": RUNNING, "error": None, "acceptedAt": entry.get("acceptedAt") or stamp()})

    # --- what became of it -----------------------------------------------------------------------------------------

    def _judged(self, entry: Entry, found: Verdict) -> Ending | None:
        outcome = found.outcome
        if outcome.state == judge.RUNNING:
            return None
        if outcome.state == judge.OK:
            return self._answered(entry, found)
        if entry.get("status") == DONE:  # its own signal passed the gates, whatever came after
            return Ending(status=DONE, text=entry.get("summary") or "", verdict=found)
        if outcome.state == judge.LOST:
            done = int(entry.get("gwRestartRetryCount") or 0)
            if done < RESTARTS:
                return self._again(entry, found, original=True, counter="gwRestartRetryCount", count=done + 1)
            return self._over(ERROR, outcome.message, TRANSIENT, found)
        if outcome.state == judge.ABORTED:
            return self._over(INTERRUPTED, outcome.message or "the session was aborted", "aborted", found)
        if outcome.state == judge.TIMED_OUT:
            return self._over(ERROR, outcome.message or "the run took longer than its timeout", "timeout", found)
        if outcome.kind == OVERLOADED:
            return self._overloaded(entry, found)
        return self._over(ERROR, outcome.message, outcome.kind or TRANSIENT, found)

    def _answered(self, entry: Entry, found: Verdict) -> Ending:
        text = found.outcome.text
        if entry.get("status") == DONE:
            return Ending(status=DONE, text=text or entry.get("summary") or "", verdict=found)
        self._change({})
        wrong = verify.fault(self._desk.keeping(self.label))
        if wrong is not None:
            return self._over(ERROR, f"verification failed: {wrong}", PERMANENT, found)
        self._change(
            {
                "status": DONE,
                "summary": (text or "completed")[:SUMMARY_MOST],
                "error": None,
                "errorKind": None,
                "retryCount": 0,
            }
        )
        finished(self._desk, self.label, entry, "ok", None)
        return Ending(status=DONE, text=text, verdict=found)

    def _overloaded(self, entry: Entry, found: Verdict) -> Ending | None:
        outcome, done = found.outcome, int(entry.get("retryCount") or 0)
        now = self._desk.now()
        late = outcome.retry_at is not None and outcome.retry_at - now > RETRY_AT_MOST_MS
        if done >= self._retries or late:
            return self._over(ERROR, outcome.message, OVERLOADED, found)
        due = entry.get("retryAt")
        if due is None or entry.get("errorKind") != OVERLOADED:
            due = stamp(max(now + int(self._timings.retry * (done + 1) * 1000), outcome.retry_at or 0))
            self._change({"status": ERROR, "error": outcome.message, "errorKind": OVERLOADED, "retryAt": due})
        seconds = (parse_iso(due) - now) / 1000
        if seconds > 0:
            self._tell("retrying", attempt=done + 1, seconds=round(seconds, 3), reason=outcome.message)
            if self._until is not None:
                raise Unfinished(seconds)
            self._pause(seconds)
        return self._again(entry, found, original=False, counter="retryCount", count=done + 1)

    def _again(self, entry: Entry, found: Verdict, *, original: bool, counter: str, count: int) -> Ending | None:
        prompt = self._desk.keeping(self.label).prompt()
        if prompt is None:
            return self._over(ERROR, f"{found.outcome.message}; its prompt is not kept here", PERMANENT, found)
        changes: dict[str, Any] = {counter: count}
        try:
            self._accepted = restart(self._desk, self.label, entry, found, prompt, changes, self.owner, original)
        except GatewayError as e:
            if not e.retryable:
                self._run_id = None
                self._entry()
                return self._over(ERROR, e.text, PERMANENT, found)
            self._accepted = None  # the next look tells whether it was taken
        self._run_id, self._final, self._patience = None, None, None
        self._tell("restarted", attempt=count, sessionKey=self._entry()["sessionKey"], runId=self._run_id)
        return None

    def _over(self, status: str, message: str, kind: str, found: Verdict) -> Ending:
        not_before = found.outcome.retry_at
        before = self._entry()
        self._change(
            {
                "status": status,
                "error": message,
                "errorKind": kind,
                "notBefore": stamp(not_before) if not_before else None,
            }
        )
        if (before.get("status"), before.get("error")) == (status, message) and before.get("retryAt") is None:
            # A watcher before was killed after it had said so.
            return Ending(status=status, message=message, kind=kind, not_before=not_before, verdict=found)
        entry = self._entry()
        finished(self._desk, self.label, entry, "interrupted" if status == INTERRUPTED else "error", message)
        return Ending(status=status, message=message, kind=kind, not_before=not_before, verdict=found)

    # --- while it runs ---------------------------------------------------------------------------------------------

    def _attend(self, entry: Entry, found: Verdict) -> Ending | None:
        if self._patience is None:
            timeout = int(entry.get("timeoutSeconds") or starting.TIMEOUT_SECONDS)
            self._patience = Patience(self._timings, began(entry), timeout, entry.get("patience"))
        step = self._patience.step(found.view, self._desk.now())
        if step in ("nudge", "last nudge"):
            self._tell("nudged")
            words = prompting.NUDGE if step == "nudge" else prompting.LAST_NUDGE
            with contextlib.suppress(GatewayError):
                self._desk.gateway().steer(entry["sessionKey"], words, str(uuid.uuid4()))
        if step == "abort":
            try:
                self._desk.gateway().abort(entry["sessionKey"])
            except GatewayError as e:
                if not e.retryable:
                    raise
                return None  # asked for again at the next look
            message = "it was silent beyond its time, did not answer two nudges, and was aborted"
            return self._over(ERROR, message, "timeout", found)
        return None

    def _wait(self, key: str) -> None:
        """Wait for the next look: the poll's time, or the gateway's word that the run is over."""
        deadline = min(time.monotonic() + self._timings.poll, self._until or math.inf)
        while (left := deadline - time.monotonic()) > 0:
            if time.monotonic() - self._pinged > self._timings.ping:
                self._entry()  # however long the poll is: the lease is over in three minutes
            event = self._desk.gateway().events.next(min(left, self._timings.ping), key)
            if event is None:
                continue
            # A gateway tells `chat`, "final", of each nudge that it has put in its queue: no word of the agent's.
            if self._patience is not None and event.name == "agent":
                self._patience.seen(self._desk.now())
            self._hear(event)
            if ends(event):
                # The row may be behind the event by a moment.
                deadline = min(deadline, time.monotonic() + self._timings.settle)

    def _hear(self, event: Event) -> None:
        """An event about the session; a subclass tells of it."""

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._entry()
            time.sleep(min(left, self._timings.ping))
