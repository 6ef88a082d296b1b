"""A user's pause and his cap, counted where the jobs are."""

from tests.integration.chat.conftest import Hand, StartChat
from tests.support.chat_process import told
from tests.support.eventually import eventually
from tests.support.fake_discord import FakeDiscord

from contract.head_client import HeadClient

FULL = "You have the maximum number of jobs in progress (1). Wait for one to finish or use `status <id>`."
COOLDOWN = "Please wait a few seconds between commands."


def test_of_two_messages_at_once_one_becomes_a_job(
    start_chat: StartChat, discord: FakeDiscord, hand: Hand, head: HeadClient
) -> None:
    start_chat()
    ada = discord.user("ada")
    ada.dm().send("ping one")
    ada.dm().send("ping two")
    said = sorted(post.content for post in ada.dm().await_replies(2))
    job = hand.take()
    assert said == [f"Job created: `{job.id}`. Waiting for result…", FULL]
    assert len(head.jobs(label=f"discord:{ada.id}", status="queued,running").jobs) == 1
    hand.end(job, "pong")
    ada.dm().await_reply("pong")
    assert told(ada.dm(), "ping three").startswith("Job created: ")


def test_the_cap_is_each_users_own_and_higher_where_it_is_set(
    start_chat: StartChat, discord: FakeDiscord, hand: Hand
) -> None:
    ada, bob = discord.user("ada"), discord.user("bob")
    start_chat(ALLOWED_USER_ID=f"{ada.id},{bob.id}", BOT_MAX_CONCURRENT="2")
    for n in range(2):
        assert told(ada.dm(), f"ping {n}").startswith("Job created: ")
    third = told(ada.dm(), "ping 3")
    assert third == FULL.replace("(1)", "(2)")
    assert told(bob.dm(), "ping").startswith("Job created: ")


def test_a_job_that_runs_counts_after_a_restart_too_and_after_it_was_said_to_be_still_running(
    start_chat: StartChat, discord: FakeDiscord, hand: Hand
) -> None:
    chat = start_chat(CHAT_WAIT_SECONDS="1")
    dm = discord.user("ada").dm()
    dm.send("ping slow")
    job = hand.take()
    dm.await_reply("Still running")
    chat.kill9()
    chat.start()
    assert told(dm, "ping again") == FULL
    assert told(dm, f"status {job.id}") == f"Job `{job.id}`: **running**"


def test_a_job_that_waits_for_a_person_does_not_count(
    start_chat: StartChat, discord: FakeDiscord, hand: Hand, head: HeadClient
) -> None:
    start_chat()
    ada = discord.user("ada")
    label = f"discord:{ada.id}"
    head.submit({"target": "any", "spec": "later", "needsApproval": True, "label": label})
    ada.dm().send("submit do it")
    hand.do({"notes": "done, look"})
    ada.dm().await_reply("done, look")
    assert told(ada.dm(), "ping").startswith("Job created: ")


def test_a_user_pauses_between_two_jobs_also_over_a_restart(
    start_chat: StartChat, discord: FakeDiscord, hand: Hand
) -> None:
    chat = start_chat(BOT_COOLDOWN_SECONDS="600")
    dm = discord.user("ada").dm()
    dm.send("ping one")
    hand.do("pong")
    dm.await_reply("pong")
    assert told(dm, "ping two") == COOLDOWN
    assert told(dm, "jobs mine").endswith("ping one")
    chat.kill9()
    chat.start()
    assert told(dm, "ping three") == COOLDOWN
    chat.stop()
    chat.start(BOT_COOLDOWN_SECONDS="1")

    def taken() -> bool:
        return told(dm, "ping four").startswith("Job created: ")

    assert eventually(taken, 60, every=0.3)
