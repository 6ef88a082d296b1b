"""An OpenClaw gateway (contract gateway, section 8): its hooks reach agents, its `message` tool reaches chats."""

from typing import Any

import msgspec

from contract.disarm import disarm
from spine.notices import message as messages
from spine.notices.aliases import AgentHook, Message, WakeHook
from spine.notices.channels.calling import Failed, at, bearer, send_json
from spine.notices.message import Outgoing

CHAT_MOST = 4096  # Telegram's; no chat that a gateway reaches by default takes less, save Discord
_LESS = {"discord": 2000}


class _Result(msgspec.Struct):
    ok: bool = False


def for_agent(notice: Outgoing) -> list[str]:
    """Return the one text for an agent."""
    return [messages.for_agent(notice)]


def run_agent(alias: AgentHook, notice: Outgoing, piece: str, number: int, seconds: float) -> None:
    """Begin a run of an agent; a repeat with the same notice begins none.

    Raises:
        Failed
    """
    body: dict[str, Any] = {"message": piece, "name": "Spinal Cord", "idempotencyKey": notice.id}
    given = {"agentId": alias.agent_id, "sessionKey": alias.session_key, "deliver": alias.deliver}
    body |= {name: value for name, value in given.items() if value is not None}
    headers = bearer(alias.token) | {"Idempotency-Key": notice.id}
    _require_ok(send_json(at(alias.url, "/hooks/agent"), body, headers, seconds).body)


def wake(alias: WakeHook, notice: Outgoing, piece: str, number: int, seconds: float) -> None:
    """Give a line to the main session. The hook knows no key: the line names the notice.

    Raises:
        Failed
    """
    text = piece if notice.id in piece else f"{piece} ({notice.id})"
    headers = bearer(alias.token) | {"Idempotency-Key": notice.id}
    _require_ok(send_json(at(alias.url, "/hooks/wake"), {"text": text, "mode": alias.mode}, headers, seconds).body)


def for_chat(notice: Outgoing) -> list[str]:
    """Return the text for a chat in pieces that it takes."""
    most = _LESS.get(notice.channel or "", CHAT_MOST)
    return messages.cut(disarm(messages.for_people(notice)), most, notice.where)


def message(alias: Message, notice: Outgoing, piece: str, number: int, seconds: float) -> None:
    """Send a piece to a chat: the alias' own, or the one that the job named.

    Raises:
        Failed
    """
    channel, to = notice.channel or alias.via, notice.to or alias.to
    if to is None:
        raise Failed("the alias names no chat (to), and neither does the job", gone=True)
    args = {"action": "send", "target": to, "message": piece} | ({} if channel is None else {"channel": channel})
    body: dict[str, Any] = {"tool": "message", "args": args, "idempotencyKey": f"{notice.id}.{number}"}
    if alias.session_key is not None:
        body["sessionKey"] = alias.session_key
    headers = bearer(alias.token) | {"Idempotency-Key": f"{notice.id}.{number}"}
    _require_ok(send_json(at(alias.url, "/tools/invoke"), body, headers, seconds).body)


def _require_ok(body: bytes) -> None:
    """Look for the gateway's own word: it can answer 200 and not have done it."""
    try:
        done = msgspec.json.decode(body, type=_Result).ok
    except (msgspec.DecodeError, UnicodeDecodeError):
        done = False
    if not done:
        raise Failed("the gateway answered 200 without ok: true; is the address a gateway's?")
