"""Lifecycle events: to Loki and to a webhook, both at once, 3 seconds in all, and never the verb's failure.

Payloads are those of OpenClaw's dispatch (contract: scheduler, 2.8). With a secret the webhook is signed as Standard
Webhooks tells: `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,<base64 HMAC-SHA256 of id.timestamp.body>`.
"""

import base64
import binascii
import hashlib
import hmac
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from contract.outcall import NoAnswer, post
from dispatch.settings import Settings

SECONDS = 3.0
STARTED, FINISHED, STUCK, CANCELLED = (
    "dispatch.started",
    "dispatch.finished",
    "dispatch.stuck",
    "dispatch.cancelled",
)


class Hooks:
    """Sends events where the settings name a place."""

    def __init__(self, settings: Settings, note: Callable[[str], None]) -> None:
        self._settings, self._note = settings, note

    def emit(self, event: str, **payload: Any) -> None:
        """Send one event; what fails is said on standard error and forgotten."""
        now = time.time_ns()
        host = self._settings.host
        sends: list[tuple[str, str, bytes, dict[str, str]]] = []
        if self._settings.loki_url:
            line = msgspec.json.encode({"event": event, "host": host, **payload}).decode()
            stream = {"service_name": "dispatch", "host": host, "event": event}
            body = msgspec.json.encode({"streams": [{"stream": stream, "values": [[str(now), line]]}]})
            sends.append(("LOKI_PUSH_URL", self._settings.loki_url, body, {}))
        if self._settings.webhook_url:
            body = msgspec.json.encode({"event": event, "ts": now // 1_000_000, "host": host, **payload})
            secret = self._settings.webhook_secret
            headers = signed(secret, str(uuid.uuid4()), now // 10**9, body) if secret else {}
            sends.append(("DISPATCH_WEBHOOK_URL", self._settings.webhook_url, body, headers))
        threads = [threading.Thread(target=self._send, args=send, daemon=True) for send in sends]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + SECONDS
        for thread, (name, *_) in zip(threads, sends, strict=True):
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self._note(f"{event}: {name} did not answer within {SECONDS:g} s")

    def _send(self, name: str, url: str, body: bytes, headers: dict[str, str]) -> None:
        try:
            answer = post(url, body, {"Content-Type": "application/json", **headers}, SECONDS)
        except (NoAnswer, ValueError) as e:
            self._note(f"{name}: {e}")
            return
        if answer.status >= 300:
            self._note(f"{name}: answered {answer.status}")


def signed(secret: str, message_id: str, seconds: int, body: bytes) -> dict[str, str]:
    """Return the three headers of a signed webhook; `whsec_` and base64 is a key's usual form, else its bytes."""
    key = secret.encode()
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            key = secret.encode()
    mac = hmac.new(key, f"{message_id}.{seconds}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }
