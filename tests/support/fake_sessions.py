"""The sessions of the fake gateway: its methods, its runs and its model."""

import json
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from tests.support.mock_model import ANSWER, ANSWERS, BUSY, ECHO, SCRIPTED, SLEEPS
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection

HISTORY_CHARS = 8_000
"""What a history gives of a text, unless more is asked for."""
BUSY_TEXT = "The AI service is temporarily overloaded. Please try again in a moment."
BUSY_HISTORY = "LLM request failed (provider overloaded, HTTP 529)"
READ_METHODS = ("agents.list", "chat.history", "sessions.describe", "sessions.list")


class Bad(Exception):
    """A request that is answered with an error."""

    def __init__(self, code: str, message: str, **members: Any) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message, **members}


@dataclass
class Run:
    """A run: it ends once."""

    id: str
    key: str
    message: str
    said_as: str = ""
    """The id under which its message was sent, when that is another."""
    asked: list[tuple["Peer", str]] = field(default_factory=list)
    started: int | None = None
    ended: int | None = None
    reply: dict[str, Any] | None = None
    """The members of the final answer."""
    accepted: threading.Event = field(default_factory=threading.Event)
    """The client has been told; only then it begins."""
    over: threading.Event = field(default_factory=threading.Event)
    cut: threading.Event = field(default_factory=threading.Event)


@dataclass
class Session:
    """A session: its row, its messages and its runs, one at a time."""

    key: str
    row: dict[str, Any]
    messages: list[dict[str, Any]] = field(default_factory=list)
    queue: deque[Run] = field(default_factory=deque)
    active: Run | None = None


class Peer:
    """A client's connection."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.scopes: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def send(self, frame: dict[str, Any]) -> None:
        """Send a frame; a client that has gone misses it."""
        try:
            with self._lock:
                self.socket.send(json.dumps(frame))
        except (ConnectionClosed, OSError):
            pass

    def event(self, name: str, payload: dict[str, Any]) -> None:
        """Tell something unasked."""
        self.send({"type": "event", "event": name, "payload": payload})


class FakeSessions:
    """What `FakeGateway` answers once a client is in; see there for its attributes."""

    def __init__(self, protocol: int) -> None:
        self.protocol = protocol
        self.agents = ["main"]
        self.page = 100
        self.sessions: dict[str, Session] = {}
        self.runs: dict[str, Run] = {}
        self.replies: deque[str] = deque()
        self.prompts: list[str] = []
        """What the model was asked."""
        self.error_text = ""
        self._awake = threading.Event()
        self._lock = threading.RLock()
        self._peers: set[Peer] = set()

    def wake(self) -> None:
        """Let `sleeps` answer whoever waits."""
        with self._lock:
            self._awake.set()
            self._awake = threading.Event()

    def forget_waiting(self) -> None:
        """Lose what waits for its turn."""
        with self._lock:
            for session in self.sessions.values():
                for run in session.queue:
                    run.cut.set()
                session.queue.clear()

    def answer(self, peer: Peer, request_id: str, method: str, params: dict[str, Any]) -> Any:
        need = "operator.read" if method in READ_METHODS else "operator.write"
        if method == "sessions.patch" and self.protocol <= 3:
            need = "operator.admin"
        if need not in peer.scopes and not (need == "operator.read" and "operator.write" in peer.scopes):
            raise Bad("FORBIDDEN", f"missing scope: {need}", details={"code": "MISSING_SCOPE", "missingScope": need})
        with self._lock:
            if method == "sessions.patch":
                return self._patch(**params)
            if method == "agent":
                return self._agent(peer, request_id, params)
            if method == "agents.list":
                return {"agents": [{"id": name} for name in self.agents]}
            if method == "sessions.list":
                return self._list(params)
            if method == "chat.history":
                return self._history(params)
            if method == "sessions.abort":
                return self._abort(params["key"])
            if method == "chat.send":
                return self._chat_send(peer, params)
        if method == "agent.wait":
            threading.Thread(target=self._wait, args=(peer, request_id, params), daemon=True).start()
            return LATER
        raise Bad("FORBIDDEN", "missing scope: operator.admin")

    def _session(self, key: str) -> Session:
        agent = key.split(":")[1]
        if agent not in self.agents:
            raise Bad("INVALID_REQUEST", f'invalid agent params: unknown agent id "{agent}"')
        if key not in self.sessions:
            row = {"key": key, "sessionId": str(uuid.uuid4()), "agentId": agent, "updatedAt": now()}
            self.sessions[key] = Session(key=key, row=row)
        return self.sessions[key]

    def _patch(self, key: str, **fields: Any) -> dict[str, Any]:
        known = {"label", "model", "thinkingLevel", *(["spawnDepth"] if self.protocol <= 3 else [])}
        for name in fields.keys() - known:
            raise Bad("INVALID_REQUEST", f"invalid sessions.patch params: unexpected property '{name}'")
        if key.split(":")[1] not in self.agents and self.protocol > 3:
            raise Bad("UNAVAILABLE", "Session patch failed unexpectedly. Retry the request.", retryable=True)
        if fields.get("thinkingLevel") not in (None, "off"):
            raise Bad("INVALID_REQUEST", f'thinkingLevel "{fields["thinkingLevel"]}" is not supported; use one of: off')
        label = fields.get("label")
        if label and any(s.row.get("label") == label for k, s in self.sessions.items() if k != key):
            raise Bad("INVALID_REQUEST", f"label already in use: {label}")
        session = self._session(key)
        if label:
            session.row["label"] = label
        if fields.get("model"):
            session.row["modelProvider"], _, session.row["model"] = fields["model"].partition("/")
        return {"ok": True, "key": key, "entry": {"sessionId": session.row["sessionId"]}}

    def _agent(self, peer: Peer, request_id: str, params: dict[str, Any]) -> dict[str, Any]:
        for name in ("message", "idempotencyKey"):
            if not params.get(name):
                raise Bad("INVALID_REQUEST", f"invalid agent params: at /{name}: must not have fewer than 1 characters")
        key, run_id = params["sessionKey"], params["idempotencyKey"]
        if params.get("agentId", key.split(":")[1]) != key.split(":")[1]:
            raise Bad("INVALID_REQUEST", "The agent-scoped session key belongs to another agent.")
        session = self._session(key)
        known = self.runs.get(run_id)
        if known is not None:
            return {"runId": run_id, "status": "in_flight"} if known.reply is None else known.reply["payload"]
        if params.get("label"):
            session.row["label"] = params["label"]
        run = Run(id=run_id, key=key, message=params["message"], asked=[(peer, request_id)])
        self._enqueue(session, run, params.get("timeout"))
        accepted = {"runId": run_id, "status": "accepted", "acceptedAt": now()}
        return accepted if self.protocol <= 3 else {**accepted, "sessionKey": key, "agentId": key.split(":")[1]}

    def _enqueue(self, session: Session, run: Run, timeout: float | None) -> None:
        self.runs[run.id] = run
        session.queue.append(run)
        threading.Thread(target=self._execute, args=(session, run, timeout), daemon=True).start()

    def _chat_send(self, peer: Peer, params: dict[str, Any]) -> dict[str, Any]:
        if self.protocol <= 3 and "queueMode" in params:
            raise Bad("INVALID_REQUEST", "invalid chat.send params: at root: unexpected property 'queueMode'")
        session = self._session(params["sessionKey"])
        interrupted = session.active
        sent, waits = params["idempotencyKey"], interrupted is not None and params.get("queueMode") == "steer"
        # What waits for the end of a run becomes a run with an id of its own.
        run = Run(id=str(uuid.uuid4()) if waits else sent, key=session.key, message=params["message"], said_as=sent)
        if params.get("queueMode") == "interrupt" and interrupted is not None:
            self._finish(session, interrupted, True, {"status": "timeout", "stopReason": "restart"}, status="done")
        self._enqueue(session, run, None)
        for listener in list(self._peers) if waits else ():  # so does the real one: it has been put in the queue
            listener.event("chat", {"runId": sent, "sessionKey": session.key, "state": "final"})
        return {"runId": sent, "status": "started", "interruptedActiveRun": interrupted is not None}

    def _abort(self, key: str) -> dict[str, Any]:
        session = self.sessions.get(key)
        if session is None or session.active is None:
            return {"ok": True, "abortedRunId": None, "status": "no-active-run"}
        run = session.active
        reply = {"status": "timeout", "summary": "aborted", "stopReason": "rpc"}
        self._finish(session, run, True, reply, status="killed", wait_status="error")
        session.row["abortedLastRun"] = True
        return {"ok": True, "abortedRunId": run.id, "status": "aborted"}

    def _list(self, params: dict[str, Any]) -> dict[str, Any]:
        known = {"limit", "activeMinutes", "label", "agentId", *(["offset"] if self.protocol > 3 else [])}
        for name in params.keys() - known:
            raise Bad("INVALID_REQUEST", f"invalid sessions.list params: unexpected property '{name}'")
        rows = [self._row(session) for session in self.sessions.values()]
        rows = [r for r in rows if params.get("label") in (None, r.get("label"))]
        rows.sort(key=lambda row: -row.get("updatedAt", 0))
        if self.protocol <= 3:
            return {"ts": now(), "count": len(rows), "sessions": rows[: params.get("limit", 200)]}
        start = params.get("offset", 0)
        size = min(self.page, params.get("limit", self.page))
        page = rows[start : start + size]
        more = start + size < len(rows)
        following = start + size if more else None
        return {"sessions": page, "count": len(page), "totalCount": len(rows), "hasMore": more, "nextOffset": following}

    def _row(self, session: Session) -> dict[str, Any]:
        row = dict(session.row)
        if self.protocol > 3:
            active = session.active
            row |= {"hasActiveRun": active is not None or bool(session.queue)}
            row |= {"activeRunIds": [active.id] if active else []}
        return row

    def _history(self, params: dict[str, Any]) -> dict[str, Any]:
        key = params["sessionKey"]
        session = self.sessions.get(key)
        messages = session.messages[-params.get("limit", 200) :] if session else []
        if self.protocol <= 3:
            plain = [{k: v for k, v in m.items() if k not in ("__openclaw", "idempotencyKey")} for m in messages]
            return {"sessionKey": key, "sessionId": session.row["sessionId"] if session else None, "messages": plain}
        messages = [_shortened(message, params.get("maxChars", HISTORY_CHARS)) for message in messages]
        waiting = [
            {
                "id": run.id,
                "runId": run.said_as or run.id,
                "state": "queued",
                "message": {"role": "user", "content": run.message, "timestamp": now(), "__openclaw": {}},
            }
            for run in (session.queue if session else [])
        ]
        info = self._row(session) if session else {"key": key, "updatedAt": None, "hasActiveRun": False}
        return {
            "sessionKey": key,
            "messages": messages,
            "hasMore": False,
            "totalMessages": len(messages),
            "pendingInputs": {"items": waiting, "total": len(waiting)},
            "sessionInfo": info,
        }

    def _wait(self, peer: Peer, request_id: str, params: dict[str, Any]) -> None:
        run = self.runs.get(params["runId"])
        seconds = params.get("timeoutMs", 0) / 1000
        if run is None or not run.over.wait(seconds) or run.reply is None:
            found: dict[str, Any] = {"runId": params["runId"], "status": "timeout"}
        else:
            payload = run.reply["payload"]
            status = payload["status"] if payload.get("stopReason") is None else "error"
            found = {"runId": run.id, "status": status, "endedAt": run.ended, "stopReason": payload.get("stopReason")}
            if not run.reply["ok"]:
                found["error"] = run.reply["error"]["message"]
        peer.send({"type": "res", "id": request_id, "ok": True, "payload": found})

    # --- its model -------------------------------------------------------------------------------------------------

    def _execute(self, session: Session, run: Run, timeout: float | None) -> None:
        run.accepted.wait(10)
        while True:
            with self._lock:
                if run.cut.is_set():
                    return
                if session.active is None and session.queue and session.queue[0] is run:
                    session.queue.popleft()
                    session.active, run.started = run, now()
                    said_as = run.said_as or run.id
                    key = f"{said_as}:user"
                    self._message(session, said_as, role="user", content=run.message, idempotencyKey=key)
                    session.row |= {"status": "running", "startedAt": run.started, "updatedAt": run.started}
                    session.row.pop("endedAt", None)
                    session.row.pop("abortedLastRun", None)
                    session.row.pop("lastRunError", None)
                    awake = self._awake
                    break
            time.sleep(0.005)
        for peer in list(self._peers):
            peer.event(
                "agent", {"runId": run.id, "sessionKey": run.key, "stream": "lifecycle", "data": {"phase": "start"}}
            )
        model = str(session.row.get("model", ANSWERS))
        self.prompts.append(run.message)
        if model == SLEEPS:
            until = time.monotonic() + (timeout or 60)
            while not awake.wait(0.005) and not run.cut.is_set() and time.monotonic() < until:
                pass
            if not awake.is_set() and not run.cut.is_set():
                reply = {
                    "status": "timeout",
                    "summary": "aborted",
                    "timeoutPhase": "provider",
                    "result": {"payloads": [_bad("timed out")]},
                }
                self._finish(session, run, True, reply, status="timeout")
                return
        with self._lock:
            if run.cut.is_set() or session.active is not run:
                return
            self._end_run(session, run, model)

    def _end_run(self, session: Session, run: Run, model: str) -> None:
        if model == BUSY or self.error_text:
            text, self.error_text = self.error_text or BUSY_TEXT, ""
            # v3 keeps the apology as an answer, and calls the run a success.
            old = {"content": [], "errorMessage": "529 Overloaded"}
            new = {"content": [{"type": "text", "text": BUSY_HISTORY if model == BUSY else text}]}
            self._message(session, run.id, role="assistant", stopReason="error", **(old if self.protocol <= 3 else new))
            session.row["lastRunError"] = text
            if self.protocol <= 3:
                self._finish(session, run, True, _good(text), status="failed")
            else:
                error = {"code": "UNAVAILABLE", "message": text}
                self._finish(session, run, False, {"status": "error", "summary": text}, status="failed", error=error)
            return
        text = run.message.strip().rsplit("\n", 1)[-1] if model == ECHO else ANSWER
        if model == SCRIPTED and self.replies:
            text = self.replies.popleft()
        content = [{"type": "text", "text": text}]
        self._message(session, run.id, role="assistant", content=content, stopReason="stop")
        self._finish(session, run, True, _good(text), status="done")

    def _message(self, session: Session, run_id: str, **members: Any) -> None:
        ours = {"id": uuid.uuid4().hex, "runId": run_id, "seq": len(session.messages) + 1}
        session.messages.append({"timestamp": now(), "__openclaw": ours, **members})

    def _finish(
        self,
        session: Session,
        run: Run,
        ok: bool,
        payload: dict[str, Any],
        *,
        status: str,
        error: dict[str, Any] | None = None,
        wait_status: str = "",
    ) -> None:
        with self._lock:
            run.ended = now()
            run.cut.set()
            run.reply = {"ok": ok, "payload": {"runId": run.id, **payload}, **({"error": error} if error else {})}
            session.active = None
            session.row |= {"status": status, "endedAt": run.ended, "updatedAt": run.ended, "lastRunId": run.id}
        busy = self.protocol > 3 and session.row.get("lastRunError") == BUSY_TEXT
        reason = {"errorKind": "rate_limit", "errorDetail": {"failoverReason": "overloaded"}} if busy else {}
        state = "final" if ok and payload["status"] == "ok" else "error"
        for peer in list(self._peers):
            peer.event("chat", {"runId": run.id, "sessionKey": run.key, "state": state, **reason})
        for peer, request_id in run.asked:
            peer.send({"type": "res", "id": request_id, **run.reply})
        run.over.set()


LATER = object()
"""The answer comes from another thread."""


def _good(text: str) -> dict[str, Any]:
    usage = {"input": 100, "output": len(text), "total": 100 + len(text)}
    meta = {"durationMs": 5, "agentMeta": {"sessionId": "s", "provider": "mock", "model": "m", "usage": usage}}
    return {"status": "ok", "summary": "completed", "result": {"payloads": [{"text": text}], "meta": meta}}


def _shortened(message: dict[str, Any], most: int) -> dict[str, Any]:
    if not isinstance(message.get("content"), list):
        return message
    texts = [part["text"] for part in message["content"]]
    cut = [text if len(text) <= most else f"{text[:most]}\n...(truncated)..." for text in texts]
    return {**message, "content": [{"type": "text", "text": text} for text in cut]}


def _bad(text: str) -> dict[str, Any]:
    return {"text": text, "isError": True}


def now() -> int:
    """Return the time, epoch ms."""
    return time.time_ns() // 1_000_000
