"""The whole service with a gateway in the place of Discord: asked by the hook, answered by the message tool."""

import base64
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.integration.chat.conftest import Hand
from tests.support.chat_process import ChatProcess
from tests.support.eventually import eventually
from tests.support.receiver import Call, Receiver, Say
from tests.support.spine_process import SpineProcess, free_port

pytestmark = [pytest.mark.timeout(400)]

SAID = Say(200, body=b'{"ok":true,"result":{"details":{"messageId":"1001"}}}')
KEY = b"0123456789abcdef0123456789abcdef"
HEARD = {
    "channel": "telegram",
    "account": "default",
    "to": "telegram:42",
    "sender": "42",
    "name": "Ada",
    "direct": True,
}
NUMBERS = itertools.count(1)


@pytest.fixture
def gateway() -> Iterator[Receiver]:
    found = Receiver(SAID)
    yield found
    found.close()


@pytest.fixture
def chat(spine: SpineProcess, gateway: Receiver, tmp_path: Path) -> Iterator[ChatProcess]:
    """The service for the user 42 of Telegram, which is not started yet."""
    port = free_port()
    env = {
        "OPENCLAW_GATEWAY_URL": gateway.url,
        "OPENCLAW_GATEWAY_TOKEN": "the-token-of-the-gateway",
        "OPENCLAW_ALLOWED": "telegram:42",
        "OPENCLAW_ANNOUNCE": "telegram:-1001",
        "CHAT_HOOK_TOKEN": "the-token-of-the-hook",
        "CHAT_NOTICES_SECRET": "whsec_" + base64.b64encode(KEY).decode(),
        "CHAT_LISTEN": f"127.0.0.1:{port}",
    }
    process = ChatProcess(tmp_path / "chat", spine.url, None, **env)
    yield process
    process.kill9()
    assert "Traceback" not in process.log(), process.log()
    for secret in ("the-token-of-the-gateway", "the-token-of-the-hook", "hello"):
        assert secret not in process.log()


def write(chat: ChatProcess, text: str, **more: Any) -> int:
    """Do what the hook does; return the status. A message with an `id` that was there is the same one."""
    body = {**HEARD, "id": str(next(NUMBERS)), "text": text, **more}
    headers = {"Authorization": f"Bearer {chat.env['CHAT_HOOK_TOKEN']}"}
    return requests.post(
        f"http://{chat.env['CHAT_LISTEN']}/openclaw", json=body, headers=headers, timeout=30
    ).status_code


def announce(chat: ChatProcess, notice: str) -> tuple[int, str]:
    """Do what the spine's notices do; return the status and what was said to it."""
    stamp = str(int(time.time()))
    event = {"id": notice, "type": "spine.notice", "data": {"title": "Tonight", "text": "The disks are replaced."}}
    body = json.dumps(event).encode()
    digest = hmac.digest(KEY, f"{notice}.{stamp}.".encode() + body, hashlib.sha256)
    signature = "v1," + base64.b64encode(digest).decode()
    headers = {"webhook-id": notice, "webhook-timestamp": stamp, "webhook-signature": signature}
    answer = requests.post(f"http://{chat.env['CHAT_LISTEN']}/notices", data=body, headers=headers, timeout=60)
    return answer.status_code, answer.json()["detail"]


def texts(calls: list[Call]) -> list[str]:
    return [call.json["args"]["message"] for call in calls]


def test_a_command_is_carried_out_and_answered_where_it_was_written(
    chat: ChatProcess, gateway: Receiver, hand: Hand
) -> None:
    chat.start()
    assert write(chat, "ping hello") == 202
    job = hand.take()
    assert (job.spec, job.label) == ({"command": "ping", "payload": "hello"}, "openclaw:telegram:42")
    assert texts(gateway.calls(1)) == [f"Job created: `{job.id}`. Waiting for result…"]
    hand.end(job, "pong: hello")
    assert texts(gateway.calls(2))[1] == "pong: hello"

    where = {**HEARD, "to": "telegram:-1001:topic:5", "thread": "5", "direct": False}
    assert write(chat, f"status {job.id}", **where) == 202
    args = gateway.calls(3)[2].json["args"]
    assert (args["target"], args["threadId"]) == ("telegram:-1001:topic:5", "5")
    assert args["message"] == f"Job `{job.id}`: **done**\npong: hello"
    assert chat.stop() == 0


def test_a_stranger_and_a_second_time_start_nothing(chat: ChatProcess, gateway: Receiver, hand: Hand) -> None:
    chat.start(OPENCLAW_ALLOWED="telegram:42, telegram:44")
    assert write(chat, "ping a", sender="43") == 204
    assert [write(chat, "ping b", id="b", sender="44") for _ in range(2)] == [202, 202]
    job = hand.take()
    gateway.calls(1)
    assert write(chat, "jobs mine", sender="44") == 202
    assert texts(gateway.calls(2))[1] == f"`{job.id}` **running** ping b", "one job of the user's, and no other"
    hand.end(job, "pong: b")
    assert texts(gateway.calls(3))[2] == "pong: b"


def test_an_answer_outlives_the_end_of_the_service(chat: ChatProcess, gateway: Receiver, hand: Hand) -> None:
    chat.start()
    write(chat, "ping hello")
    job = hand.take()
    owed = chat.folder / "state/owed"
    eventually(
        lambda: any(json.loads(path.read_bytes())["told"] for path in owed.glob("*.json")),
        30,
        what="a note of what was said",
    )
    chat.kill9()
    hand.end(job, "pong: hello")
    chat.start()
    assert texts(gateway.calls(2))[1] == "pong: hello"
    eventually(lambda: chat.owed() == [], 30, what="the end of what is owed")
    assert len(gateway.ledger) == 2, "said once"


def test_a_result_is_reviewed_with_words(chat: ChatProcess, gateway: Receiver, hand: Hand) -> None:
    chat.start()
    write(chat, "submit Tidy the attic")
    job = hand.take()
    hand.end(job, "It is tidy.")
    assert texts(gateway.calls(2))[1] == (
        f"It is tidy.\nAccept: `!spine review accept {job.id}`\nRework: `!spine review rework {job.id} <text>`"
    )
    write(chat, f"review accept {job.id}")
    assert texts(gateway.calls(3))[2] == f"Accepted: job `{job.id}`."


def test_an_announcement_is_acknowledged_when_its_chat_has_it(chat: ChatProcess, gateway: Receiver) -> None:
    chat.start()
    gateway.then(Say(401))
    assert announce(chat, "ntc_1") == (503, "the gateway refuses its token: check OPENCLAW_GATEWAY_TOKEN")
    gateway.then(SAID)
    assert announce(chat, "ntc_1") == (200, "said")
    chat.stop()
    chat.start()
    assert announce(chat, "ntc_1") == (200, "said before")
    args = [call.json["args"] for call in gateway.ledger]
    assert [(one["target"], one["message"]) for one in args] == [("-1001", "**Tonight**\nThe disks are replaced.")] * 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Say(400), "takes the token, and its message tool may be used"),
        (Say(401), "the gateway refuses its token: check OPENCLAW_GATEWAY_TOKEN"),
        (Say(404), "the gateway does not offer its message tool: check its policy for tools"),
    ],
)
def test_doctor_says_whether_the_gateway_can_be_used(
    chat: ChatProcess, gateway: Receiver, answer: Say, said: str
) -> None:
    gateway.then(answer)
    assert chat.launch("doctor").wait(60) == (0 if answer.status == 400 else 1)
    line = next(line for line in chat.log().splitlines() if " openclaw " in line)
    assert line.split()[0] == ("ok" if answer.status == 400 else "failed")
    assert line.endswith(said)
