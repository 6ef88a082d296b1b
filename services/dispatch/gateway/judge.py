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

LOST_GRACE_MS = 5_000
"""A row may lag behind the accepted frame for so long before its silence counts as lost."""
_CLOCKS_MS = 2_000
"""How far the gateway's clock and ours may differ on one machine or two that keep time."""
_BAD_STOPS = frozenset({"error", "aborted"})
_OVERLOAD_REASONS = frozenset({"overloaded", "overload", "rate_limit", "rate_limited"})
_PERMANENT = re.compile(
    r"\bunknown model\b|\bmodel not found\b|\bnot configured\b|\bno longer exists\b|\binvalid api key\b"
    r"|\bunauthori[sz]ed\b|\bforbidden\b|\bbilling\b|\bcontext (?:window|length|overflow)\b"
    r"|\b(?:http|status)[ :=]*(?:400|401|402|403|404)\b",
    re.IGNORECASE,
)


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
) -> Outcome:
    """Judge the run `run_id`, which was dispatched at `dispatched_at` (epoch ms) into the session of `row`.

    Args:
        row: the session's row now; None when the gateway has none.
        history: the session's messages, oldest first.
        now: epoch ms.
        final: the run's final frame, when it came.
        wait: what `agent.wait` says; a `timeout` without an end says nothing.
        reason: `errorKind` or `failoverReason` of an event about this run, when one was seen.
    """
    ours = of_run(history, run_id, dispatched_at)
    over = final is not None or (wait is not None and wait.ended)
    if row is not None and _ours_active(row, run_id) and not (over and row.has_active_run is None):
        return Outcome(state=RUNNING)
    if final is not None and not final.ok:
        return _not_ok(final, row, ours, now, reason)
    if row is None:
        if over and final is not None:
            return Outcome(state=OK, text=final.text)
        return _silent(now, dispatched_at, "the gateway has no such session")
    if row.last_run_id not in (None, run_id) and not _reached(ours, over):
        # A run after ours, or before it: the row tells nothing about ours.
        return Outcome(state=RUNNING) if _queued(row, run_id) else _by_history(ours, now, dispatched_at, reason)
    if not over and not _reached(ours, over) and (row.status is None or _older(row, dispatched_at)):
        # Section 7: the row has no run of ours and the history no message of ours, the prompt included.
        return _silent(now, dispatched_at, "the gateway has forgotten the run and its prompt")
    return _by_row(row, ours, final, wait, now, reason)


def answer(history: Sequence[Message], run_id: str, dispatched_at: int) -> str | None:
    """Return the last text of our run that is an answer; None when there is none yet."""
    return _answer(of_run(history, run_id, dispatched_at))


def of_run(history: Sequence[Message], run_id: str, dispatched_at: int) -> list[Message]:
    """Return the messages of our run; where the gateway names no runs (v3), those since it was dispatched."""
    if any(message.run_id is not None for message in history):
        return [message for message in history if message.run_id == run_id]
    return [m for m in history if m.timestamp is not None and m.timestamp >= dispatched_at - _CLOCKS_MS]


def cause(text: str, reason: str | None = None) -> str:
    """Return the class of a failure's cause from what the gateway told of it: overload, transient or permanent."""
    if (reason or "").lower() in _OVERLOAD_REASONS or OVERLOAD.search(text):
        return OVERLOADED
    return PERMANENT if _PERMANENT.search(text) else TRANSIENT


def _ours_active(row: Row, run_id: str) -> bool:
    # Another run in our session may come before or after ours; only where the runs are named can they be told apart.
    return row.active and (not row.active_run_ids or run_id in row.active_run_ids)


def _queued(row: Row, run_id: str) -> bool:
    return row.active and run_id not in row.active_run_ids


def _older(row: Row, dispatched_at: int) -> bool:
    told = row.ended_at or row.started_at
    return told is not None and told < dispatched_at - _CLOCKS_MS


def _reached(ours: Sequence[Message], over: bool) -> bool:
    return over or bool(ours)


def _silent(now: int, dispatched_at: int, why: str) -> Outcome:
    if now - dispatched_at < LOST_GRACE_MS:
        return Outcome(state=RUNNING)
    return Outcome(state=LOST, message=f"{why}: start it again with the original prompt")


def _by_row(
    row: Row, ours: Sequence[Message], final: Final | None, wait: Wait | None, now: int, reason: str | None
) -> Outcome:
    told = _told(row, ours, final)
    if row.status == "killed" or row.aborted_last_run:
        return Outcome(state=ABORTED, message=told)
    if row.status == "timeout":
        return Outcome(state=TIMED_OUT, message=told)
    if row.status == "failed" or (ours and ours[-1].stop_reason == "error") or (row.last_run_error and final is None):
        return _failed(told, ours, now, reason)
    if wait is not None and wait.ended and wait.status == "error" and final is None:
        return _failed(wait.error or told, ours, now, reason)
    text = _answer(ours)
    if final is not None:
        return Outcome(state=OK, text=final.text or text or "")
    if text is None and row.status != "done":
        return Outcome(state=LOST, message="the run ended without an answer: start it again with the original prompt")
    return Outcome(state=OK, text=text or "")


def _by_history(ours: Sequence[Message], now: int, dispatched_at: int, reason: str | None) -> Outcome:
    if not ours:
        return _silent(now, dispatched_at, "the gateway has forgotten the run and its prompt")
    if ours[-1].stop_reason == "error":
        return _failed(ours[-1].error or ours[-1].text, ours, now, reason)
    if ours[-1].stop_reason == "aborted":
        return Outcome(state=ABORTED, message=ours[-1].error or ours[-1].text)
    text = _answer(ours)
    if text is None:
        return Outcome(state=LOST, message="the run ended without an answer: start it again with the original prompt")
    return Outcome(state=OK, text=text)


def _not_ok(final: Final, row: Row | None, ours: Sequence[Message], now: int, reason: str | None) -> Outcome:
    told = _told(row, ours, final)
    if final.status == "timeout":
        stopped = final.stop_reason in ("rpc", "restart") or final.summary == "aborted"
        return Outcome(state=ABORTED if stopped else TIMED_OUT, message=told)
    return _failed(told, ours, now, reason, final)


def _failed(told: str, ours: Sequence[Message], now: int, reason: str | None, final: Final | None = None) -> Outcome:
    texts = [told, *(m.error or m.text for m in ours if m.stop_reason == "error")]
    kind = cause("\n".join(texts), reason)
    if kind != OVERLOADED and any(OVERLOAD_START.match(m.error) for m in ours if m.stop_reason == "error" and m.error):
        kind = OVERLOADED
    when = None
    if kind == OVERLOADED:
        when = next((found for text in texts if (found := retry_at(text, now)) is not None), None)
        if when is None and final is not None and final.retry_after:
            when = now + int(final.retry_after * 1000)
    return Outcome(
        state=FAILED, kind=kind, message=told or "the run failed; the gateway does not say why", retry_at=when
    )


def _told(row: Row | None, ours: Sequence[Message], final: Final | None) -> str:
    found = (final.error if final else None) or (row.last_run_error if row else None)
    return found or next((m.error or m.text for m in reversed(ours) if m.stop_reason in _BAD_STOPS), "")


def _answer(ours: Sequence[Message]) -> str | None:
    good = [m for m in ours if m.role == "assistant" and m.stop_reason not in _BAD_STOPS and m.text.strip()]
    return good[-1].text if good else None
