"""Answers that take long: over broken connections, restarts and crashes, a spine or a Discord that is away."""

import json
import random
import threading
import time

from tests.integration.chat.conftest import Hand, StartChat
from tests.support.chat_process import ChatProcess, told
from tests.support.eventually import eventually
from tests.support.fake_discord import Channel, FakeDiscord
from tests.support.proxy import Proxy
from tests.support.spine_process import SpineProcess

from contract.head_client import HeadClient

SOON_SECONDS = 10.0


def said_once(chat: ChatProcess, channel: Channel, text: str) -> None:
    """Wait until a text has been said and nothing is owed; it must have been said once."""
    channel.await_reply(text, after=channel.messages()[0])
    eventually(lambda: chat.owed() == [], 60, what="nothing owed")
    assert [post.content for post in channel.replies() if text in post.content] == [text]


def test_what_takes_long_is_said_to_be_still_running_and_its_end_is_said_all_the_same(
    start_chat: StartChat, discord: FakeDiscord, hand: Hand
) -> None:
    chat, dm = start_chat(CHAT_WAIT_SECONDS="1"), discord.user("ada").dm()
    dm.send("ping slow")
    job = hand.take()
    assert dm.await_reply("Still").content == f"Still running. Job ID: {job.id} (try: status {job.id})"
    hand.end(job, "pong: slow")
    said_once(chat, dm, "pong: slow")
    assert len(dm.replies()) == 3


def test_a_connection_that_breaks_in_the_middle_of_a_wait_loses_nothing(
    start_chat: StartChat, discord: FakeDiscord, hand: Hand
) -> None:
    chat, dm = start_chat(), discord.user("ada").dm()
    for n, trouble in enumerate((discord.drop, discord.reconnect), start=1):
        dm.send(f"ping {n}")
        job = hand.take()
        trouble()
        discord.await_connected(n + 1)
        hand.end(job, f"pong: {n}")
        said_once(chat, dm, f"pong: {n}")
    assert len(eventually(lambda: chat.lines("chat.discord_resumed"), 60)) >= 1
    with discord.away():
        dm.send("ping while away")  # told when the session is resumed
    hand.do("pong: while away")
    said_once(chat, dm, "pong: while away")


def test_an_answer_comes_while_the_gateway_is_away_and_after_the_session_has_become_invalid(
    start_chat: StartChat, discord: FakeDiscord, hand: Hand
) -> None:
    chat, dm = start_chat(), discord.user("ada").dm()
    dm.send("ping away")
    job = hand.take()
    with discord.away(resumable=False):
        hand.end(job, "pong: away")
        said_once(chat, dm, "pong: away")
    discord.await_connected(2)
    dm.send("ping new session")
    job = hand.take()
    discord.invalidate()
    hand.end(job, "pong: new session")
    said_once(chat, dm, "pong: new session")
    discord.await_connected(3)
    assert told(dm, "jobs") == "No jobs."


def test_a_restart_in_the_middle_of_a_wait_says_the_end_once(
    start_chat: StartChat, discord: FakeDiscord, hand: Hand
) -> None:
    chat, dm = start_chat(), discord.user("ada").dm()
    dm.send("ping one")
    job = hand.take()
    dm.await_reply("Job created")
    chat.kill9()
    hand.end(job, "pong: one")
    chat.start()
    said_once(chat, dm, "pong: one")
    assert [post.content for post in dm.replies()] == [f"Job created: `{job.id}`. Waiting for result…", "pong: one"]
    dm.send("ping two")
    job = hand.take()
    dm.await_reply(job.id)
    eventually(chat.owed, 60, what="an answer that is owed")
    assert chat.stop() == 0
    chat.start()
    hand.end(job, "pong: two")
    said_once(chat, dm, "pong: two")


def test_a_crash_while_an_end_is_being_said_says_it_once(
    start_chat: StartChat, discord: FakeDiscord, hand: Hand
) -> None:
    chat, dm = start_chat(), discord.user("ada").dm()
    dm.send("ping one")
    job = hand.take()
    dm.await_reply("Job created")
    with discord.hold("send", before=False) as held:  # it is said, and the front does not learn it
        hand.end(job, "pong: one")
        held.await_held()
        chat.kill9()
    chat.start()
    said_once(chat, dm, "pong: one")


def test_a_crash_before_the_spine_has_answered_makes_one_job(
    start_chat: StartChat, discord: FakeDiscord, spine: SpineProcess, hand: Hand, head: HeadClient
) -> None:
    ada = discord.user("ada")
    with Proxy(spine.port) as between:
        chat = start_chat(SPINE_BASE_URL=between.url)
        between.stall_at("POST /jobs ")
        ada.dm().send("ping one")
        eventually(lambda: between.stalled, 60, what="a job on its way")
        eventually(chat.owed, 60, what="an answer that is owed")
        chat.kill9()
        between.mend()
        chat.start()
        hand.do("pong: one")
        said_once(chat, ada.dm(), "pong: one")
        created = head.jobs(label=f"discord:{ada.id}").jobs
        assert [post.content for post in ada.dm().replies()] == [
            f"Job created: `{created[0].id}`. Waiting for result…",
            "pong: one",
        ]
        assert len(created) == 1


def test_a_spine_that_is_away_in_the_middle_of_a_wait_is_waited_for(
    start_chat: StartChat, discord: FakeDiscord, spine: SpineProcess, hand: Hand
) -> None:
    dm = discord.user("ada").dm()
    with Proxy(spine.port) as between:
        chat = start_chat(SPINE_BASE_URL=between.url)
        dm.send("ping one")
        job = hand.take()
        dm.await_reply("Job created")
        with between.away():
            hand.end(job, "pong: one")
            eventually(lambda: chat.lines("chat.stream_lost"), 60, what="a lost stream")
        said_once(chat, dm, "pong: one")


def test_a_spine_that_is_down_or_hangs_is_named_and_others_are_answered(
    start_chat: StartChat, discord: FakeDiscord, spine: SpineProcess, hand: Hand
) -> None:
    ada, bob = discord.user("ada"), discord.user("bob")
    away = "The spine does not answer. Nothing was changed; try again in a moment."
    with Proxy(spine.port) as between:
        chat = start_chat(SPINE_BASE_URL=between.url, ALLOWED_USER_ID=f"{ada.id},{bob.id}")
        with between.away():
            assert told(ada.dm(), "ping one") == away
            assert told(ada.dm(), "jobs") == away
        between.stall()
        ada.dm().send("jobs")  # hangs
        begun = time.monotonic()
        assert told(bob.dm(), "status") == "Usage: `status <job_id>`"
        assert time.monotonic() - begun < 5
        assert ada.dm().await_reply().content == away
        between.mend()
        assert eventually(lambda: told(ada.dm(), "jobs") == "No jobs.", 60)
        assert chat.owed() == []


def test_a_discord_that_is_away_or_asks_for_a_pause_gets_the_end_later_and_once(
    start_chat: StartChat, discord: FakeDiscord, hand: Hand
) -> None:
    chat, dm = start_chat(), discord.user("ada").dm()
    dm.send("ping one")
    job = hand.take()
    dm.await_reply("Job created")
    before = len(discord.calls("send"))
    discord.limit_next("send", times=2, retry_after=0.4)
    hand.end(job, "pong: one")
    said_once(chat, dm, "pong: one")
    first, second, third = discord.calls("send")[before:]
    assert [first.status, second.status, third.status] == [429, 429, 200]
    assert second.at - first.at >= 0.4
    assert third.at - second.at >= 0.4
    dm.send("ping two")
    job = hand.take()
    dm.await_reply(job.id)
    discord.lose_next("send", times=2)
    hand.end(job, "pong: two")
    said_once(chat, dm, "pong: two")


def test_an_answer_that_can_never_be_said_is_dropped(start_chat: StartChat, discord: FakeDiscord, hand: Hand) -> None:
    chat, ada = start_chat(), discord.user("ada")
    ada.dm().send("ping one")
    job = hand.take()
    ada.dm().await_reply("Job created")
    ada.close_dms()
    hand.end(job, "pong: one")
    eventually(lambda: chat.owed() == [], 60, what="nothing owed")
    assert chat.lines("chat.answer_dropped")[0]["why"] == "Discord answered 403 (50007)"


def test_while_ten_users_wait_a_ping_is_answered(
    start_chat: StartChat, discord: FakeDiscord, hand: Hand, head: HeadClient
) -> None:
    slow, quick = [discord.user(f"slow-{n}") for n in range(10)], discord.user("quick")
    chat = start_chat(ALLOWED_USER_ID=",".join(str(user.id) for user in [*slow, quick]))
    for user in slow:
        user.dm().send("ping slow")
    held = [hand.take() for _ in slow]
    for user in slow:
        user.dm().await_reply("Job created")
    took = []
    for n in range(5):
        begun = time.monotonic()
        quick.dm().send(f"ping {n}")
        hand.do(f"pong: {n}")
        quick.dm().await_reply(f"pong: {n}")
        took.append(time.monotonic() - begun)
    # A loop that is blocked would answer none: those who wait are told only after this.
    assert min(took) < SOON_SECONDS, took
    for job in held:
        hand.end(job, f"pong: {job.id}")
    for user in slow:
        user.dm().await_reply("pong: ")
    eventually(lambda: chat.owed() == [], 60, what="nothing owed")
    print("ping took", [round(seconds, 3) for seconds in took])


def test_a_job_that_is_gone_is_named(start_chat: StartChat, discord: FakeDiscord) -> None:
    chat, dm = start_chat(), discord.user("ada").dm()
    asked = dm.send("jobs")
    dm.await_reply(after=asked)
    assert chat.stop() == 0
    owed = chat.folder / "state/owed/aaaa.json"
    entry = {"key": "aaaa", "transport": "discord", "channel_id": str(dm.id), "asked": asked.id, "answers": asked.id}
    owed.write_text(json.dumps(entry | {"since": time.time(), "job_id": "long-gone", "told": True}))
    (chat.folder / "state/owed/bbbb.json").write_text("{")
    chat.start()
    said_once(chat, dm, "There is no job `long-gone`.")
    assert (chat.folder / "state/owed/bbbb.bad").exists()
    chat.log_path.write_text("")  # it has told of the broken file as of an error, which it is


def test_kills_at_any_moment_neither_lose_nor_repeat_what_was_heard(
    start_chat: StartChat, discord: FakeDiscord, spine: SpineProcess, head: HeadClient
) -> None:
    ada, chance, over = discord.user("ada"), random.Random(7), threading.Event()
    chat = start_chat(BOT_MAX_CONCURRENT="50")

    def work() -> None:
        hand = Hand(spine.url)
        while not over.is_set():
            for job in hand.client.claim(capabilities=("broker",), wait=1):
                hand.end(job, f"pong: {job.spec['payload']}")

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for life in range(6):
            for n in range(3):
                ada.dm().send(f"ping {life}.{n}")
                time.sleep(chance.random() * 0.03)
            time.sleep(chance.random() * 0.12)
            chat.kill9()
            chat.start()
        label = f"discord:{ada.id}"
        eventually(lambda: chat.owed() == [] and not head.jobs(label=label, status="queued,running").jobs, 60)
        eventually(lambda: chat.owed() == [], 60, what="nothing owed")
    finally:
        over.set()
        worker.join(60)
    jobs = head.jobs(label=label).jobs
    said = sorted(post.content for post in ada.dm().replies())
    assert len(jobs) == len({job.spec["payload"] for job in jobs})
    assert said == sorted(
        text
        for job in jobs
        for text in (f"Job created: `{job.id}`. Waiting for result…", f"pong: {job.spec['payload']}")
    )
