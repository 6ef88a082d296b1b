"""A model server on the loopback, OpenAI's chat completions as far as an OpenClaw gateway uses them.

Each model id has a manner of its own (`MODELS`); what was asked is kept, so that a test sees which prompts arrived.
"""

import json
import re
import select
import socket
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

ANSWERS, BUSY, SLEEPS, ECHO, SCRIPTED, WORKS = "answers", "busy", "sleeps", "echo", "scripted", "works"
MODELS = (ANSWERS, BUSY, SLEEPS, ECHO, SCRIPTED, WORKS)
ANSWER = "Forty-two."
SLEEP_SECONDS = 60.0
"""The longest that `sleeps` waits to be woken."""


class MockModel:
    """A server that runs between `start` and `stop`.

    - `answers` says `ANSWER`; `echo` the last line of the prompt; `scripted` what `script` was given, in that order.
    - `busy` is overloaded for ever: HTTP 529.
    - `sleeps` answers only when `wake` was called after it had been asked.
    - `works` has a tool run first (`echo worked`), and says `ANSWER` when it is told what came of that.
    - `fail_next` lets the next calls fail, whichever model they name.
    """

    def __init__(self) -> None:
        self.prompts: list[tuple[str, str]] = []
        """(model, text of the last user message) of each call, in their order."""
        self.talks: list[list[str]] = []
        """All messages of each call but the system's, as `role: text`; a gateway's own words stand around them."""
        self.hung_up = 0
        """Calls of `sleeps` from which the gateway went away before there was an answer."""
        self._lock = threading.Lock()
        self._replies: deque[str] = deque()
        self._failures: deque[int] = deque()
        self._awake = threading.Event()
        handler = type("Handler", (_Handler,), {"model": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="mock-model", daemon=True)

    @property
    def url(self) -> str:
        """Base URL, as a gateway's configuration takes it."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def start(self) -> "MockModel":
        """Serve."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Wake all sleepers and end."""
        self._awake.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def script(self, *replies: str) -> None:
        """Give `scripted` its next replies."""
        with self._lock:
            self._replies.extend(replies)

    def fail_next(self, count: int, status: int) -> None:
        """Let the next `count` calls fail with an HTTP status."""
        with self._lock:
            self._failures.extend([status] * count)

    def wake(self) -> None:
        """Let `sleeps` answer whoever waits now; forget failures and replies that nobody came for."""
        with self._lock:
            self._replies.clear()
            self._failures.clear()
            self._awake.set()
            self._awake = threading.Event()

    def asked(self, text: str) -> int:
        """Return how many calls held a text in their last user message."""
        with self._lock:
            return sum(text in prompt for _, prompt in self.prompts)

    def take(self, body: dict[str, Any], caller: socket.socket) -> tuple[int, str]:
        """Return the status and the reply to one call."""
        name, prompt = str(body.get("model")), _last_user_text(body)
        with self._lock:
            self.prompts.append((name, prompt))
            self.talks.append([f"{m.get('role')}: {_text(m.get('content'))}" for m in _spoken(body)])
            awake = self._awake
            if self._failures:
                return self._failures.popleft(), "made to fail"
            if name == SCRIPTED:
                return 200, self._replies.popleft() if self._replies else ANSWER
        if name == BUSY:
            return 529, "Overloaded"
        if name == SLEEPS:
            self._sleep(awake, caller)
        if name == ECHO:
            return 200, prompt.strip().rsplit("\n", 1)[-1]
        return 200, ANSWER

    def _sleep(self, awake: threading.Event, caller: socket.socket) -> None:
        until = time.monotonic() + SLEEP_SECONDS
        while not awake.wait(0.05) and time.monotonic() < until:
            # A caller that waits for its answer says nothing: what can be read is the end.
            if select.select([caller], [], [], 0)[0]:
                with self._lock:
                    self.hung_up += 1
                return


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a gateway that is killed breaks its connections off."""


class _Handler(BaseHTTPRequestHandler):
    model: ClassVar[MockModel]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._json(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        status, text = self.model.take(body, self.connection)
        try:
            if status != 200:
                # The kind decides, too, whether the gateway tries once more.
                kind = "overloaded_error" if status in (503, 529) else "invalid_request_error"
                self._json(status, {"error": {"message": text, "type": kind, "code": kind}})
            elif body.get("stream"):
                self._stream(body, text)
            else:
                choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                self._json(200, {**_head(body, "chat.completion"), "choices": [choice], "usage": _usage(text)})
        except OSError:
            self.close_connection = True  # the gateway has hung up, as it does when a run is aborted

    def _stream(self, body: dict[str, Any], text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        head = _head(body, "chat.completion.chunk")
        said: dict[str, Any] = {"content": text}
        if body.get("model") == WORKS and _spoken(body)[-1].get("role") != "tool":
            said = {"tool_calls": [_TOOL_CALL]}
        deltas: list[tuple[dict[str, Any], str | None]] = [
            ({"role": "assistant", "content": ""}, None),
            (said, None),
            ({}, "stop" if "content" in said else "tool_calls"),
        ]
        for delta, finish in deltas:
            chunk = {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
            if finish:
                chunk["usage"] = _usage(text)
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def _json(self, status: int, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


_TOOL_CALL = {
    "index": 0,
    "id": "call-1",
    "type": "function",
    "function": {"name": "exec", "arguments": json.dumps({"command": "echo worked"})},
}


def _head(body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chat-1", "object": kind, "created": int(time.time()), "model": body.get("model")}


def _usage(text: str) -> dict[str, int]:
    return {"prompt_tokens": 100, "completion_tokens": len(text), "total_tokens": 100 + len(text)}


def _spoken(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the messages of a call without the system's, and without those that a gateway adds in the user's name."""
    inner = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>"
    said = [message for message in body.get("messages", []) if message.get("role") != "system"]
    return [message for message in said if not _text(message.get("content")).startswith(inner)]


def _last_user_text(body: dict[str, Any]) -> str:
    found = [_text(message.get("content")) for message in _spoken(body) if message.get("role") == "user"]
    # The gateway puts the time before a prompt, and a line on where it runs behind it.
    return re.sub(r"\A\[[^\]\n]*\] ", "", found[-1]).split("\n\nRuntime: agent=")[0] if found else ""


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if part.get("type") == "text")
    return str(content)
