"""Signed webhooks: a CloudEvent, signed in the manner of Standard Webhooks with every secret that is live."""

import base64
import hashlib
import hmac
import time

import msgspec

from spine.notices import message
from spine.notices.aliases import Webhook
from spine.notices.channels.calling import send as call
from spine.notices.message import Outgoing


def pieces(notice: Outgoing) -> list[str]:
    """Return the event as one text."""
    return [msgspec.json.encode(message.event(notice)).decode()]


def send(alias: Webhook, notice: Outgoing, piece: str, number: int, seconds: float) -> None:
    """Send the event.

    Raises:
        Failed
    """
    body, now = piece.encode(), str(int(time.time()))
    headers = {
        "Content-Type": "application/cloudevents+json; charset=utf-8",
        "webhook-id": notice.id,
        "webhook-timestamp": now,
        "webhook-signature": " ".join(sign(key, notice.id, now, body) for key in alias.signing_keys()),
    }
    call(alias.url, body, headers, seconds)


def sign(key: bytes, notice_id: str, timestamp: str, body: bytes) -> str:
    """Return `v1,` and the HMAC-SHA256 of id, time and body, joined by dots, in base64."""
    digest = hmac.new(key, b".".join((notice_id.encode(), timestamp.encode(), body)), hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()
