"""What people ask of the bot on Discord, and what they are told: the broker's replies word for word, and our own."""

from tests.integration.chat.conftest import Hand, StartChat
from tests.support.fake_discord import FakeDiscord


def test_a_ping_is_a_job_whose_result_is_said(start_chat: StartChat, discord: FakeDiscord, hand: Hand) -> None:
    chat, dm = start_chat(), discord.user("ada").dm()
    dm.send("ping hi")
    job = hand.take()
    assert dm.await_reply().content == f"Job created: `{job.id}`. Waiting for result…"
    hand.end(job, "pong: hi")
    assert dm.await_reply("pong").content == "pong: hi"
    assert job.spec == {"command": "ping", "payload": "hi"}
    assert (job.target, job.requires, job.label) == ("any", ["broker"], f"discord:{discord.user('ada').id}")
    assert chat.stop() == 0
    assert chat.owed() == []
