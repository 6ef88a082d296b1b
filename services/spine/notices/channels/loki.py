"""Loki's push: one line of JSON at the notice's own time, so that a repeat is the same entry and is kept once."""

import base64

import msgspec

from spine.notices import message
from spine.notices.aliases import Loki
from spine.notices.channels.calling import at, bearer, send_json
from spine.notices.message import Outgoing

_PUSH = "/loki/api/v1/push"


def pieces(notice: Outgoing) -> list[str]:
    """Return the event as one line."""
    return [msgspec.json.encode(message.event(notice)).decode()]


def send(alias: Loki, notice: Outgoing, piece: str, number: int, seconds: float) -> None:
    """Push the line. Labels are few: the alias' own, and the type.

    Raises:
        Failed
    """
    labels = {"job": "spinal-cord", "type": notice.said.type} | alias.labels
    body = {"streams": [{"stream": labels, "values": [[str(notice.said.at * 1_000_000), piece]]}]}
    headers = {"X-Scope-OrgID": alias.tenant} if alias.tenant is not None else {}
    if alias.token is not None:
        headers |= bearer(alias.token)
    elif alias.username is not None:
        pair = f"{alias.username}:{alias.password or ''}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
    send_json(alias.url if alias.url.endswith(_PUSH) else at(alias.url, _PUSH), body, headers, seconds)
