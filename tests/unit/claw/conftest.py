"""A spine that answers what a test tells it to, over real HTTP."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from claw.state import ClaimTry, Held
from contract.client import SpineClient
from contract.retry import ONCE

Answer = tuple[int, dict[str, Any] | None]


def job(**more: Any) -> dict[str, Any]:
    """A job as the spine answers it: claimed with fence 4, a lease of 300 s given at 10:00:00."""
    plain: dict[str, Any] = {
        "id": "j1",
        "target": "left-claw",
        "status": "running",
        "createdAt": "2026-01-02T09:00:00.000Z",
        "updatedAt": "2026-01-02T10:00:00.000Z",
        "createdBy": "head",
        "claimedBy": "left-claw",
        "leaseUntil": "2026-01-02T10:05:00.000Z",
        "attempts": 1,
        "maxAttempts": 5,
        "spec": {"run": "true"},
        "meta": {},
        "comments": [],
        "result": None,
        "error": None,
        "fence": 4,
    }
    return plain | more


def problem(code: str, status: int = 409, **members: Any) -> Answer:
    return status, {"error": code, "detail": f"it is {code}", **members}


class FakeSpine:
    """Answers from `script`, the last entry again and again; keeps what it was asked."""

    def __init__(self) -> None:
        self.script: list[Answer] = [(200, job())]
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.then: Callable[[], None] = lambda: None
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                fake.asked.append((self.path, dict(self.headers.items()), body))
                status, document = fake.script.pop(0) if len(fake.script) > 1 else fake.script[0]
                content = b"" if document is None else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/problem+json" if status >= 400 else "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                fake.then()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def client(self) -> SpineClient:
        return SpineClient(self.url, "a-token-of-a-claw", retry=ONCE, read_seconds=5)

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.asked]

    def keys(self) -> list[str | None]:
        return [headers.get("Idempotency-Key") for _, headers, _ in self.asked]


@pytest.fixture
def fake() -> Iterator[FakeSpine]:
    made = FakeSpine()
    threading.Thread(target=made.server.serve_forever, args=(0.02,), daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


def held(**more: Any) -> Held:
    claim = ClaimTry(key="claim-key", targets=None, capabilities=["shell"], wait=2.0)
    return Held(claim=claim, job_id="j1", fence=4, settle_key="settle-key", **more)
