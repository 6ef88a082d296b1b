"""What became of a run: pure functions over what the gateway says of it (contract: gateway, sections 5 to 7).

The row and the history are the truth; a final frame and `agent.wait` help where they are there. No text is read as an
answer that the gateway itself marks as an error, and no run is called over while the gateway calls it active.
"""

import re
from collections.abc import Sequence

import msgspec

from dispatch.gateway.patterns import OVERLOAD, OVERLOAD_START
from dispatch.gateway.retryat import retry_at
from dispatch.gateway.rows import Final, Message, Row, Wait

RUNNING, OK, FAILED, ABORTED, TIMED_OUT, LOST = "running", "ok", "failed", "aborted", "timed_out", "lost"
OVERLOADED, TRANSIENT, PERMANENT = "overload", "transient", "permanent"

GRACE_MS = 10_000
"""For so long after the dispatch a silent row counts as one that lags behind the accepted frame."""
CLOCKS_MS = 2_000
"""How far the gateway's clock and ours may differ."""
_BAD_STOPS = frozenset({"error", "aborted"})
_OVERLOAD_REASONS = frozenset({"overloaded", "overload", "rate_limit", "rate_limited"})
_PERMANENT_REASONS = frozenset({"auth", "auth_permanent", "session_expired", "billing", "model_not_found", "format"})
_PERMANENT = re.compile(
    r"\bunknown model\b|\bmodel not found\b|\bnot configured\b|\bno longer exists\b|\binvalid api key\b"
    r"|\bunauthori[sz]ed\b|\bforbidden\b|\bbilling\b|\bcontext (?:window|length|overflow)\b"
    r"|\b(?:http|status)[ :=]*(?:400|401|402|403|404)\b",
    re.IGNORECASE,
)
_RESTART = "start it again with the original prompt"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`state` is one of the six above.

    Attributes:
        text: for ok, the answer: the last text of our run that is no error.
        kind: for failed, the class of cause: overload, transient or permanent.
        message: what the gateway told of a failure, or why the run counts as lost.
        retry_at: for an overload, when the quota is said to be reset (epoch ms); None when no time is plain.
    """

    state: str
    text: str = ""
    kind: str | None = None
    message: str = ""
    retry_at: int | None = None


def outcome(
    row: Row | None,
    history: Sequence[Message],
    *,
    run_id: str,
    dispatched_at: int,
    now: int,
    final: Final | None = None,
    wait: Wait | None = None,
    reason: str | None = None,
    started_at: int | None = None,
) -> Outcome:
    """Judge the run `run_id`, which was dispatched at `dispatched_at` (epoch ms) into the session of `row`.

    `lost` wants a second look some seconds later before anything is started again: between the end of a run and the
    moment at which its row tells of it, a session looks the same.

    Args:
        row: the session's row now; None when the gateway has none.
        history: the session's messages, oldest first.
        now: epoch ms.
        final: the run's final frame, when it came.
        wait: what `agent.wait` says; a `timeout` without an end says nothing.
        reason: `errorKind` or `failoverReason` of an event about this run, when one was seen.
        started_at: when the gateway's process began; a run from before is not under way in it, whatever a v3 row says.
    """
    older = started_at is not None and started_at > dispatched_at
    case = _Case(row, of_run(history, run_id, dispatched_at), run_id, final, wait, now, reason, older)
    if final is not None and not final.ok:
        return case.by_final(final)
    if case.active():
        return Outcome(state=RUNNING)
    if final is None and not case.ended():
        young = now - dispatched_at < GRACE_MS
        lost = case.why_lost(dispatched_at)
        if lost:
            return Outcome(state=RUNNING) if young else Outcome(state=LOST, message=f"{lost}: {_RESTART}")
    return case.by_row() if case.row_is_ours() else case.by_history()


def answer(history: Sequence[Message], run_id: str, dispatched_at: int) -> str | None:
    """Return the last text of our run that is an answer; None when there is none yet."""
    return last_answer(of_run(history, run_id, dispatched_at))


def of_run(history: Sequence[Message], run_id: str, dispatched_at: int) -> list[Message]:
    """Return the messages of our run; where the gateway names no runs (v3), those since it was dispatched."""
    if any(message.run_id is not None for message in history):
        return [message for message in history if message.run_id == run_id]
    return [m for m in history if m.timestamp is not None and m.timestamp >= dispatched_at - CLOCKS_MS]


def cause(text: str, reason: str | None = None) -> str:
    """Return the class of a failure's cause from what the gateway told of it: overload, transient or permanent."""
    told = (reason or "").lower()
    if told in _OVERLOAD_REASONS:
        return OVERLOADED
    if told in _PERMANENT_REASONS:
        return PERMANENT
    if OVERLOAD.search(text):
        return OVERLOADED
    return PERMANENT if _PERMANENT.search(text) else TRANSIENT


class _Case:
    """One run, and all that is known of it."""

    def __init__(
        self,
        row: Row | None,
        ours: list[Message],
        run_id: str,
        final: Final | None,
        wait: Wait | None,
        now: int,
        reason: str | None,
        before_start: bool,
    ) -> None:
        self.row, self.ours, self.run_id, self.final, self.wait = row, ours, run_id, final, wait
        self.now, self.reason, self.before_start = now, reason, before_start

    def ended(self) -> bool:
        """Whether `agent.wait` knows for certain that it is over."""
        return self.wait is not None and self.wait.ended

    def active(self) -> bool:
        """Whether the gateway says that our run is under way, or waits for its turn behind another."""
        row = self.row
        if row is None or self.final is not None or self.ended():
            return False
        if row.has_active_run is None and self.before_start:
            return False
        return row.active and (not row.active_run_ids or self.run_id in row.active_run_ids or self._waits())

    def _waits(self) -> bool:
        return not self.ours or all(message.role == "user" for message in self.ours)

    def row_is_ours(self) -> bool:
        """Whether the row's status tells of our run; later ones in the same session take it over."""
        return self.row is not None and self.row.last_run_id in (None, self.run_id) and not self.row.active

    def why_lost(self, dispatched_at: int) -> str | None:
        """Return why the run counts as lost, when nothing is left that will end it (contract section 7)."""
        row = self.row
        if row is None:
            return None if self.ours else "the gateway has no such session"
        if any(message.stop_reason in _BAD_STOPS for message in self.ours) or _settled(self.ours):
            return None
        told_of_ours = row.last_run_id == self.run_id or (row.last_run_id is None and not _older(row, dispatched_at))
        if told_of_ours and row.status not in (None, "running"):
            return None
        if not self.ours:
            return "the gateway has forgotten the run, with its prompt"
        return "the gateway has no such run any more, and it left no answer"

    def by_final(self, final: Final) -> Outcome:
        """Judge by a final frame that tells of no success."""
        if final.status == "timeout":
            # Its summary is "aborted" in both cases.
            stopped = final.stop_reason in ("rpc", "restart")
            return Outcome(state=ABORTED if stopped else TIMED_OUT, message=self._told())
        return self._failed()

    def by_row(self) -> Outcome:
        """Judge by a row that tells of our run: on v3 it knows of an overload when the final frame says ok."""
        row, last = self.row, self.ours[-1] if self.ours else None
        if row is None:
            return self.by_history()
        if row.status == "killed" or row.aborted_last_run:
            return Outcome(state=ABORTED, message=self._told())
        if row.status == "timeout":
            return Outcome(state=TIMED_OUT, message=self._told())
        if row.status == "failed" or row.last_run_error or (last is not None and last.stop_reason == "error"):
            return self._failed()
        return self.by_history()

    def by_history(self) -> Outcome:
        """Judge by our messages alone, and by how the run is said to have ended."""
        if self.wait is not None and self.wait.ended and self.final is None:
            if self.wait.stop_reason == "rpc":
                return Outcome(state=ABORTED, message=self._told())
            if self.wait.status == "timeout":
                return Outcome(state=TIMED_OUT, message=self._told())
            if self.wait.status == "error":
                return self._failed()
        if self.ours and self.ours[-1].stop_reason == "error":
            return self._failed()
        if self.ours and self.ours[-1].stop_reason == "aborted":
            return Outcome(state=ABORTED, message=self._told())
        text = last_answer(self.ours)
        return Outcome(state=OK, text=(self.final.text if self.final else "") or text or "")

    def _failed(self) -> Outcome:
        errors = [m for m in self.ours if m.stop_reason == "error"]
        told = self._told()
        texts = [told, *(m.error or m.text for m in errors)]
        kind = cause("\n".join(texts), self.reason)
        if any(OVERLOAD_START.match(m.error) for m in errors if m.error):
            kind = OVERLOADED
        when = None
        if kind == OVERLOADED:
            when = next((found for text in texts if (found := retry_at(text, self.now)) is not None), None)
            if when is None and self.final is not None and self.final.retry_after:
                when = self.now + int(self.final.retry_after * 1000)
        message = told or "the run failed; the gateway does not say why"
        return Outcome(state=FAILED, kind=kind, message=message, retry_at=when)

    def _told(self) -> str:
        found = (self.final.error if self.final else None) or (self.wait.error if self.ended() and self.wait else None)
        if not found and self.row is not None and self.row.last_run_id in (None, self.run_id):
            found = self.row.last_run_error
        return found or next((m.error or m.text for m in reversed(self.ours) if m.stop_reason in _BAD_STOPS), "")


def _older(row: Row, dispatched_at: int) -> bool:
    told = row.ended_at or row.started_at
    return told is not None and told < dispatched_at - CLOCKS_MS


def _settled(ours: Sequence[Message]) -> bool:
    """Whether the run's last word is an answer, and not the call of a tool."""
    return bool(ours) and last_answer(ours[-1:]) is not None and not ours[-1].tools


def last_answer(ours: Sequence[Message]) -> str | None:
    """Return the last of the texts that are answers, and no errors."""
    good = [m for m in ours if m.role == "assistant" and m.stop_reason not in _BAD_STOPS and m.text.strip()]
    return good[-1].text if good else None
