"""Notices of the spine in an announcement channel: signed, once each, also over a front that is away or crashes."""

import base64
import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.chat.conftest import Hand, StartChat
from tests.support.chat_process import CHAT_TOKEN, ChatProcess
from tests.support.eventually import eventually
from tests.support.fake_discord import FakeDiscord
from tests.support.spine_process import SpineProcess

from contract.notice_client import NoticeClient

KEY = b"k" * 32
SECRET = "whsec_" + base64.b64encode(KEY).decode()
SAID: dict[str, Any] = {
    "id": "n1",
    "type": "spine.job.completed",
    "data": {"title": "job j1 is done", "text": "all well"},
}


@pytest.fixture(scope="module")
def aliases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The spine's file of aliases, which each test points at its own front."""
    path = tmp_path_factory.mktemp("aliases") / "notices.json"
    path.touch(mode=0o600)
    path.write_text("{}")
    return path


@pytest.fixture(scope="module")
def spine(tmp_path_factory: pytest.TempPathFactory, aliases: Path) -> Iterator[SpineProcess]:
    env: dict[str, str | None] = {
        "CHAT_TOKEN": CHAT_TOKEN,
        "SPINE_NOTICES_FILE": str(aliases),
        "SPINE_NOTICE_RETRY_SECONDS": "1",
    }
    process = SpineProcess(tmp_path_factory.mktemp("spine"), env).start()
    yield process
    process.kill9()


@pytest.fixture
def notices(spine: SpineProcess) -> NoticeClient:
    return NoticeClient(spine.url, "head-token-0001")


def announcing(start_chat: StartChat, discord: FakeDiscord, **env: str) -> ChatProcess:
    room = discord.channel("announcements")
    return start_chat(ANNOUNCE_CHANNEL_ID=str(room.id), CHAT_NOTICES_SECRET=SECRET, **env)


def alias_of(chat: ChatProcess, aliases: Path, notices: NoticeClient) -> str:
    """Give the spine an alias that is this front; return its name when the spine knows it."""
    name = f"chat-{chat.port}"
    url = f"http://127.0.0.1:{chat.port}/notices"
    aliases.write_text(json.dumps({name: {"channel": "webhook", "url": url, "secrets": [SECRET]}}))
    eventually(lambda: [alias.name for alias in notices.aliases()] == [name], 60, what="an alias")
    return name


def post(
    chat: ChatProcess, body: bytes, key: bytes = KEY, notice_id: str = "n1", at: float | None = None
) -> tuple[int, str]:
    """Send a notice as the spine would; return the status and what is said of it."""
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(key, b".".join((notice_id.encode(), stamp.encode(), body)), hashlib.sha256).digest()
    other = "v1," + base64.b64encode(b"x" * 32).decode()
    headers = {
        "webhook-id": notice_id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"{other} v1,{base64.b64encode(digest).decode()}",
    }
    connection = http.client.HTTPConnection("127.0.0.1", chat.port, timeout=60)
    try:
        connection.request("POST", "/notices", body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())["detail"]
    finally:
        connection.close()


def sent(notices: NoticeClient, count: int) -> None:
    """Wait until the newest notices have been taken."""
    eventually(lambda: {n.status for n in notices.notices(limit=count).notices} == {"sent"}, 60, what="what was sent")


def test_the_end_of_a_job_is_announced_with_its_buttons(
    start_chat: StartChat, discord: FakeDiscord, hand: Hand, notices: NoticeClient, aliases: Path
) -> None:
    chat = announcing(start_chat, discord, SPINE_PUBLIC_URL="https://spine.example")
    alias = alias_of(chat, aliases, notices)
    ada, room = discord.user("ada"), discord.channel("announcements")
    job = notices.submit({"target": "any", "spec": "look", "needsReview": True, "notify": [alias]})
    hand.do({"notes": "done, says @everyone"})
    said = room.await_reply("is done")
    assert said.content == (
        f"**job {job.id} for any is done, and waits for a review**\n"
        f"done, says @\u200beveryone\nhttps://spine.example/ui/jobs/{job.id}"
    )
    assert (said.labels, said.allowed_mentions) == (["Accept", "Rework"], {"parse": []})
    discord.press(said, "Accept", by=ada)
    assert room.await_reply("Accepted").content == f"Accepted: job `{job.id}`."
    sent(notices, 1)


def test_a_notice_outlives_a_front_that_is_killed_while_it_is_said(
    start_chat: StartChat, discord: FakeDiscord, notices: NoticeClient, aliases: Path
) -> None:
    chat = announcing(start_chat, discord)
    alias = alias_of(chat, aliases, notices)
    room = discord.channel("announcements")
    with discord.hold("send", before=False) as held:  # Discord has it, and the front does not learn it
        notices.send_notice({"alias": alias, "title": "look here", "text": "a word by hand"})
        held.await_held()
        port = chat.port
        chat.kill9()
    notices.send_notice({"alias": alias, "title": "and there", "text": "while it is away"})
    chat.start(CHAT_LISTEN=f"127.0.0.1:{port}")
    eventually(
        lambda: {n.status for n in notices.notices(limit=2).notices} == {"sent"}, 60, what="notices that are sent"
    )
    assert [post.content for post in room.replies()] == [
        "**look here**\na word by hand",
        "**and there**\nwhile it is away",
    ]


def test_each_notice_is_said_once(start_chat: StartChat, discord: FakeDiscord) -> None:
    chat, room = announcing(start_chat, discord), discord.channel("announcements")
    body = json.dumps(SAID).encode()
    assert post(chat, body) == (200, "said")
    assert post(chat, body) == (200, "said before")
    assert chat.stop() == 0
    chat.start()
    discord.forget_nonces()
    assert post(chat, body) == (200, "said before")
    assert post(chat, body, notice_id="n2") == (200, "said")
    assert [found.content for found in room.replies()] == ["**job j1 is done**\nall well"] * 2


def test_what_is_not_the_spines_or_not_of_now_is_not_said(start_chat: StartChat, discord: FakeDiscord) -> None:
    chat = announcing(start_chat, discord)
    body = json.dumps(SAID).encode()
    signature = (401, "webhook-signature: not made with this notice and CHAT_NOTICES_SECRET")
    off = (401, "webhook-timestamp: more than 5 minutes off; are both clocks right?")
    assert post(chat, body, key=b"o" * 32) == signature
    assert post(chat, body, at=time.time() - 330) == off
    assert post(chat, body, at=time.time() + 330) == off
    status, why = post(chat, b"{}")
    assert (status, why[:28]) == (400, "not a notice of the spine: O")
    assert post(chat, body, notice_id="x" * 300)[0] == 400
    assert discord.channel("announcements").replies() == []
    assert [line["status"] for line in chat.lines("chat.notice_refused")] == [401, 401, 401, 400, 400]


def test_while_discord_does_not_take_it_the_sender_is_told_so(start_chat: StartChat, discord: FakeDiscord) -> None:
    chat, room = announcing(start_chat, discord), discord.channel("announcements")
    body = json.dumps(SAID).encode()
    room.room.access = False
    assert post(chat, body) == (503, "Discord answered 403 (50001)")
    room.room.access = True
    assert post(chat, body) == (200, "said")
    assert len(room.replies()) == 1
