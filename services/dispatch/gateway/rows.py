"""What a gateway's answers hold, as far as dispatch uses it (contract: gateway, 5). Times are epoch milliseconds.

Fields that this version does not know are ignored, and all that a gateway may leave out is optional: v3 and v4 differ.
"""

from typing import Any

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A session's row. `status` is None (never ran), running, done, failed, timeout or killed.

    v3 has no `has_active_run`.
    """

    key: str
    session_id: str | None = None
    agent_id: str | None = None
    label: str | None = None
    kind: str | None = None
    classification: str | None = None
    status: str | None = None
    has_active_run: bool | None = None
    active_run_ids: tuple[str, ...] = ()
    aborted_last_run: bool | None = None
    last_run_id: str | None = None
    last_run_error: str | None = None
    started_at: int | None = None
    ended_at: int | None = None
    runtime_ms: int | None = None
    updated_at: int | None = None
    last_activity_at: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    model_provider: str | None = None
    model: str | None = None
    archived: bool | None = None

    @property
    def active(self) -> bool:
        """Whether a run is under way: `has_active_run` where the gateway says it, else the status (v3)."""
        return self.status == "running" if self.has_active_run is None else self.has_active_run


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one run, or of one call of a model."""

    input: int = 0
    output: int = 0
    total: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(input=self.input + other.input, output=self.output + other.output, total=self.total + other.total)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a session's history. `text` joins its text parts; `run_id` is None where none is named (v3)."""

    role: str
    text: str
    timestamp: int | None = None
    stop_reason: str | None = None
    error: str | None = None
    run_id: str | None = None
    idempotency_key: str | None = None
    tools: bool = False
    """It calls a tool, or is the result of one."""
    pending: bool = False
    """It was accepted and waits for its turn: the run has not read it yet."""
    usage: Usage | None = None
    """Of an agent's message: what the call of the model that wrote it took."""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A session at one moment: `row` is None when the gateway has none."""

    row: Row | None
    messages: tuple[Message, ...]


class Final(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended, by the second answer to its `agent` request.

    `ok` is success as contract section 5.2 defines it: the frame ok, its status `ok`, no payload with an error. On v3
    that is not enough: ask `judge.outcome`.
    """

    run_id: str
    ok: bool
    status: str
    text: str = ""
    error: str | None = None
    error_code: str | None = None
    summary: str | None = None
    stop_reason: str | None = None
    duration_ms: int | None = None
    session_id: str | None = None
    provider: str | None = None
    model: str | None = None
    usage: Usage | None = None
    retry_after: float | None = None


class Wait(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `agent.wait` says. A `timeout` without `ended_at` means running, never seen, or forgotten by a restart."""

    run_id: str
    status: str
    started_at: int | None = None
    ended_at: int | None = None
    error: str | None = None
    stop_reason: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the run is over for certain."""
        return self.ended_at is not None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something the gateway told unasked: a reason to look, never the truth."""

    name: str
    payload: dict[str, Any]

    @property
    def key(self) -> str | None:
        """The session that it is about."""
        found = self.payload.get("sessionKey") or self.payload.get("key")
        return found if isinstance(found, str) else None

    @property
    def run_id(self) -> str | None:
        """The run that it is about."""
        found = self.payload.get("runId")
        return found if isinstance(found, str) else None

    @property
    def reason(self) -> str | None:
        """The gateway's own class of a failure, such as `overloaded` or `auth`, in the event that tells of one."""
        for found in (_dict(self.payload.get("errorDetail")).get("failoverReason"), self.payload.get("errorKind")):
            if isinstance(found, str) and found:
                return found
        return None


def message_from(raw: dict[str, Any]) -> Message:
    """Read one message of `chat.history`: content is a text, or a list of parts."""
    content, ours = raw.get("content"), raw.get("__openclaw")
    parts = content if isinstance(content, list) else []
    texts = (
        [content]
        if isinstance(content, str)
        else [
            part["text"]
            for part in parts
            if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
        ]
    )
    kinds = {str(part.get("type", "")).lower() for part in parts if isinstance(part, dict)}
    key = _text(raw.get("idempotencyKey"))
    run = _text(ours.get("runId")) if isinstance(ours, dict) else None
    return Message(
        role=_text(raw.get("role")) or "",
        text="\n".join(texts),
        timestamp=_number(raw.get("timestamp")),
        stop_reason=_text(raw.get("stopReason")),
        error=_text(raw.get("errorMessage")),
        run_id=run or _run_in(key),
        idempotency_key=key,
        tools=_text(raw.get("role")) == "toolResult" or any("tool" in kind for kind in kinds),
        usage=_usage(raw.get("usage")),
    )


def view_from(raw: dict[str, Any]) -> View | None:
    """Read the answer of `chat.history`; None when it has not its shape. A row without a session is no row."""
    found, waiting, flying = raw.get("messages"), _dict(raw.get("pendingInputs")), _dict(raw.get("inFlightRun"))
    if not isinstance(found, list):
        return None
    messages = [message_from(message) for message in found if isinstance(message, dict)]
    items = waiting.get("items")
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict) and isinstance(item.get("message"), dict):
            message = message_from(item["message"])
            run_id = _text(item.get("runId")) or message.run_id
            messages.append(msgspec.structs.replace(message, run_id=run_id, pending=True))
    info = _dict(raw.get("sessionInfo"))
    if not info.get("sessionId") or not info.get("key"):
        return View(row=None, messages=tuple(messages))
    try:
        # A null stands for "none" in every field.
        row = msgspec.convert({name: value for name, value in info.items() if value is not None}, Row)
    except msgspec.ValidationError:
        return None
    run_id = _text(flying.get("runId"))
    if run_id is not None and run_id not in row.active_run_ids:
        row = msgspec.structs.replace(row, active_run_ids=(*row.active_run_ids, run_id))
    return View(row=row, messages=tuple(messages))


def final_from(run_id: str, ok: bool, payload: dict[str, Any], error: dict[str, Any]) -> Final:
    """Read the second answer to an `agent` request."""
    result = _dict(payload.get("result"))
    meta = _dict(result.get("meta"))
    agent = _dict(meta.get("agentMeta"))
    raw = result.get("payloads")
    parts = [part for part in raw if isinstance(part, dict)] if isinstance(raw, list) else []
    texts = [str(part["text"]) for part in parts if isinstance(part.get("text"), str) and not part.get("isError")]
    faults = [str(part.get("text") or "error") for part in parts if part.get("isError")]
    status = _text(payload.get("status")) or ("ok" if ok else "error")
    told = _text(error.get("message")) or (faults[0] if faults else None) or _text(_dict(meta.get("error")).get("kind"))
    after = error.get("retryAfterMs")
    return Final(
        run_id=run_id,
        ok=ok and status == "ok" and not faults and not error,
        status=status,
        text="\n".join(texts),
        error=told or (None if ok and status == "ok" else _text(payload.get("error")) or _text(payload.get("summary"))),
        error_code=_text(error.get("code")),
        summary=_text(payload.get("summary")),
        stop_reason=_text(payload.get("stopReason")),
        duration_ms=_number(meta.get("durationMs")),
        session_id=_text(agent.get("sessionId")),
        provider=_text(agent.get("provider")),
        model=_text(agent.get("model")),
        usage=_usage(agent.get("usage")),
        retry_after=after / 1000 if isinstance(after, int | float) else None,
    )


def _usage(raw: object) -> Usage | None:
    if not isinstance(raw, dict):
        return None
    given, written = _number(raw.get("input")) or 0, _number(raw.get("output")) or 0
    return Usage(
        input=given,
        output=written,
        # A message's is called otherwise than a final frame's; that of v3 counts the last call alone.
        total=max(_number(raw.get("total")) or _number(raw.get("totalTokens")) or 0, given + written),
    )


def _run_in(key: str | None) -> str | None:
    return key.rsplit(":", 1)[0] if key and ":" in key else None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
