"""The process: how it begins and ends, what it refuses, and what it never shows."""

import http.client
import json
import stat
import time
from pathlib import Path
from typing import Any

from tests.integration.chat.conftest import Hand, StartChat
from tests.support.chat_process import CHAT_TOKEN, ChatProcess, told
from tests.support.eventually import eventually
from tests.support.fake_discord import TOKEN, FakeDiscord
from tests.support.manager import Manager
from tests.support.proxy import Proxy
from tests.support.spine_process import SpineProcess

from contract.head_client import HeadClient

STOP_SECONDS = 10


def health(chat: ChatProcess) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", chat.port, timeout=60)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def ends(chat: ChatProcess, *words: str, **env: str) -> tuple[int, str]:
    """Run a command that ends by itself; return its exit code and all that it wrote."""
    process = chat.launch(*words, **env)
    return process.wait(60), chat.log()


def made(folder: Path, spine: SpineProcess, discord: FakeDiscord) -> ChatProcess:
    return ChatProcess(folder, spine.url, discord, ALLOWED_USER_ID=str(discord.user("ada").id))


def test_it_ends_in_seconds_while_answers_are_owed_and_a_call_of_the_spine_hangs(
    start_chat: StartChat, discord: FakeDiscord, spine: SpineProcess, hand: Hand
) -> None:
    with Proxy(spine.port) as between:
        chat = start_chat(SPINE_BASE_URL=between.url)
        dm = discord.user("ada").dm()
        dm.send("ping slow")
        dm.await_reply("Job created")
        eventually(chat.owed, 60)
        between.stall()
        dm.send("jobs")
        discord.heard()
        begun = time.monotonic()
        assert chat.stop() == 0
        assert time.monotonic() - begun < STOP_SECONDS
        assert len(chat.owed()) == 1
        assert [line["code"] for line in chat.lines("chat.stopped")] == [0]


def test_no_secret_is_in_a_log_a_process_list_or_a_file(
    start_chat: StartChat, discord: FakeDiscord, hand: Hand
) -> None:
    chat = start_chat(SPINE_LOG_LEVEL="debug")
    dm = discord.user("ada").dm()
    discord.limit_next("send")  # of which discord.py tells
    dm.send(f"ping {TOKEN}")
    hand.do("pong")
    dm.await_reply("pong")
    eventually(lambda: chat.lines("library.said"), 60, what="a word of discord.py")
    assert chat.process is not None
    here = Path(f"/proc/{chat.process.pid}")
    shown = (here / "cmdline").read_text()
    children = (here / "task" / here.name / "children").read_text()
    assert "chat" in shown
    assert children == ""
    for secret in (TOKEN, CHAT_TOKEN):
        assert secret not in chat.log()
        assert secret not in shown
    for path in (chat.folder / "state").rglob("*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 or path.name == "alive"
            assert CHAT_TOKEN not in path.read_text()


def test_health_tells_whether_messages_are_heard(start_chat: StartChat, discord: FakeDiscord) -> None:
    chat = start_chat()
    well = {"ok": True, "transports": {"discord": True}, "events": True}
    assert eventually(lambda: health(chat) == (200, well), 60)
    with discord.away():
        ill = {"ok": False, "transports": {"discord": False}, "events": True}
        assert eventually(lambda: health(chat) == (503, ill), 60)
    assert eventually(lambda: health(chat) == (200, well), 60)
    alive = chat.folder / "state/alive"
    assert chat.process is not None
    assert alive.read_text() == f"{chat.process.pid}\n"


def test_a_token_that_is_refused_ends_it_with_a_line_that_says_which(
    tmp_path: Path, spine: SpineProcess, discord: FakeDiscord
) -> None:
    code, log = ends(made(tmp_path / "spine", spine, discord), SPINE_TOKEN="spn_wrong")
    assert code == 78
    assert "give it a token of the role chat in SPINE_TOKEN" in log
    code, log = ends(made(tmp_path / "discord", spine, discord), DISCORD_TOKEN="wrong-token")
    assert code == 78
    assert "Discord refuses the bot's token; put the right one into DISCORD_TOKEN" in log
    assert "wrong-token" not in log
    assert "Traceback" not in log


def test_settings_that_cannot_be_used_end_it_before_anything(
    tmp_path: Path, spine: SpineProcess, discord: FakeDiscord
) -> None:
    code, log = ends(made(tmp_path / "chat", spine, discord), ALLOWED_USER_ID="")
    assert (code, log) == (
        78,
        "spine-chat: ALLOWED_USER_ID: missing; name who may speak to the bot, by Discord user ids\n",
    )


def test_one_runs_on_a_folder_and_on_an_address(
    start_chat: StartChat, tmp_path: Path, spine: SpineProcess, discord: FakeDiscord
) -> None:
    chat = start_chat()
    state = str(chat.folder / "state")
    code, log = ends(made(tmp_path / "second", spine, discord), CHAT_STATE_DIR=state)
    assert (code, log) == (75, f"spine-chat: CHAT_STATE_DIR: another spine-chat runs on {state}\n")
    address = f"127.0.0.1:{chat.port}"
    code, log = ends(made(tmp_path / "third", spine, discord), CHAT_LISTEN=address)
    assert (code, log) == (73, f"spine-chat: CHAT_LISTEN: cannot listen on {address}: Address already in use\n")
    (tmp_path / "file").touch()
    code, log = ends(made(tmp_path / "fourth", spine, discord), CHAT_STATE_DIR=str(tmp_path / "file/state"))
    assert (code, log) == (73, f"spine-chat: CHAT_STATE_DIR: {tmp_path}/file/state cannot be used: Not a directory\n")


def test_it_starts_while_the_spine_is_away_and_serves_when_it_comes(
    start_chat: StartChat, discord: FakeDiscord, spine: SpineProcess, hand: Hand
) -> None:
    with Proxy(spine.port) as between:
        between.cut()
        start_chat(SPINE_BASE_URL=between.url)
        between.mend()
        dm = discord.user("ada").dm()
        dm.send("ping hi")
        hand.do("pong: hi")
        assert dm.await_reply("pong").content == "pong: hi"


def test_a_token_that_was_replaced_in_its_file_is_taken_up_in_the_middle_of_a_wait(
    start_chat: StartChat, discord: FakeDiscord, tmp_path: Path
) -> None:
    file, old, new = tmp_path / "token", "chat-token-before", "chat-token-after"
    file.write_text(old)
    spine = SpineProcess(tmp_path / "spine", {"CHAT_TOKEN": old}).start()
    try:
        chat = start_chat(SPINE_TOKEN="", SPINE_TOKEN_FILE=str(file), SPINE_BASE_URL=spine.url)
        dm, hand = discord.user("ada").dm(), Hand(spine.url)
        dm.send("ping hi")
        job = hand.take()
        dm.await_reply("Job created")
        hand.end(job, "pong: hi")
        dm.await_reply("pong: hi")  # by the stream of events, which stands now
        dm.send("ping again")
        job = hand.take()
        dm.await_reply(job.id)
        file.write_text(new)
        spine.stop()
        spine.start(CHAT_TOKEN=new)
        hand.end(job, "pong: again")
        assert dm.await_reply("pong").content == "pong: again"
        dm.send("ping once more")
        job = hand.take()
        dm.await_reply(job.id)
        hand.end(job, "pong: once more")
        dm.await_reply("pong: once more")  # by the stream, with the new token
        spine.stop()
        spine.start(CHAT_TOKEN="chat-token-of-another")  # and nobody tells it
        assert chat.wait() == 78
        assert chat.lines("chat.locked_out")[0]["fix"].startswith("give it a token of the role chat")
        chat.log_path.write_text("")  # errors, as they should be
    finally:
        spine.kill9()


def test_a_disk_that_takes_nothing_is_named_and_no_job_is_made(
    start_chat: StartChat, discord: FakeDiscord, head: HeadClient
) -> None:
    chat, ada = start_chat(), discord.user("ada")
    owed = chat.folder / "state/owed"
    owed.rmdir()
    owed.touch()
    said = "The chat front cannot write to its disk. Nothing was changed; its log says why."
    assert told(ada.dm(), "ping hi") == said
    assert head.jobs(label=f"discord:{ada.id}").jobs == []
    assert [line["error"] for line in chat.lines("chat.disk_refused")] != []
    chat.kill9()
    chat.log_path.write_text("")  # an error, as it should be


def test_a_service_manager_is_told_how_it_stands(start_chat: StartChat, tmp_path: Path, discord: FakeDiscord) -> None:
    with Manager(tmp_path / "manager", listeners=0, abstract=False) as manager:
        chat = start_chat(NOTIFY_SOCKET=manager.address)
        eventually(lambda: any("READY=1" in said for said in manager.messages), 60, what="READY=1")
        assert chat.stop() == 0
        eventually(lambda: any("STOPPING=1" in said for said in manager.messages), 60, what="STOPPING=1")


def test_doctor_names_what_is_wrong(tmp_path: Path, spine: SpineProcess, discord: FakeDiscord) -> None:
    chat = made(tmp_path / "chat", spine, discord)
    room = discord.channel("fleet")
    code, log = ends(chat, "doctor", ALLOWED_CHANNEL_ID=str(room.id))
    assert (code, log.splitlines()) == (
        0,
        [
            f"ok      spine         {spine.url} takes the token",
            f"ok      state folder  {tmp_path}/chat/state",
            "ok      discord       the bot is spinal",
            "ok      channel       ALLOWED_CHANNEL_ID: fleet",
            "hint    links         SPINE_PUBLIC_URL is not set: what is cut in a chat has no link",
        ],
    )
    other = made(tmp_path / "other", spine, discord)
    code, log = ends(other, "doctor", SPINE_TOKEN="spn_wrong", DISCORD_TOKEN="wrong", CHAT_STATE_DIR="/proc/none")
    assert code == 1
    assert log.splitlines()[:3] == [
        "failed  spine         it does not know the token; give it one of the role chat in SPINE_TOKEN",
        "failed  state folder  /proc/none cannot be written (No such file or directory); correct CHAT_STATE_DIR",
        "failed  discord       it refuses the bot's token; put the right one into DISCORD_TOKEN",
    ]
