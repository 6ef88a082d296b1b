"""What Discord does to a bot on a bad day: it limits, hangs up, loses answers, and tells of a thing twice."""

from tests.support.eventually import eventually


def test_a_discord_that_takes_no_connection_at_first_is_waited_for(start_chat, discord) -> None:
    discord.fail_next("socket", 503)
    chat = start_chat()
    dm = discord.user("ada").dm()
    dm.send("help")
    dm.await_reply("`ping <text>`")
    assert [line["why"] for line in chat.lines("chat.discord_away")] == ["the gateway takes no connection"]
    discord.fail_next("socket", 503)
    discord.drop()
    eventually(lambda: chat.lines("chat.discord_resumed"), 60)


def test_a_long_pause_at_the_login_is_kept_without_an_end(start_chat, discord) -> None:
    chat = start_chat()
    assert chat.stop() == 0
    discord.limit_next("me", retry_after=500)
    chat.process = chat.launch()
    eventually(lambda: chat.lines("chat.discord_away"), 60)
    assert [line["why"] for line in chat.lines("chat.discord_away")] == ["Discord asks for a pause of 500 s"]
    assert chat.stop() == 0
    assert len(discord.calls("me")) == 2


def test_a_direct_reply_survives_lost_answers_and_a_storm_of_limits(start_chat, discord) -> None:
    start_chat()
    dm = discord.user("ada").dm()
    discord.lose_next("send", made=False)
    discord.lose_next("send")
    asked = dm.send("help")
    dm.await_reply("`ping <text>`", after=asked)
    discord.await_calls("send", 3)
    discord.limit_next("send", times=6)  # discord.py gives up after five
    storm = dm.send("jobs mine")
    dm.await_reply("No jobs.", after=storm)
    assert [call.status for call in discord.await_calls("send", 10)] == [499, 499, 200, *[429] * 6, 200]
    assert [post.reference for post in dm.replies()] == [asked.id, storm.id]


def test_what_is_told_twice_is_heard_once_and_what_nobody_wrote_never(start_chat, discord, hand) -> None:
    start_chat(BOT_COOLDOWN_SECONDS="3", BOT_MAX_CONCURRENT="5")
    ada = discord.user("ada")
    dm = ada.dm()
    asked = dm.send("ping x")
    job = hand.take()
    dm.await_reply("Waiting for result")
    discord.repeat(asked)
    dm.send("cancel everything", extra={"type": 18})  # a thread was begun, and named so
    dm.send("ping y", extra={"webhook_id": "77"})
    dm.send("ping z", by=discord.user("robot", bot=True))
    picture = {"id": "1", "filename": "a.png", "size": 9, "url": "https://a.invalid", "proxy_url": "https://a.invalid"}
    dm.edit(dm.send("", attachments=[picture]), "ping edited")
    discord.heard()
    hand.end(job, "pong: x")
    dm.await_reply("pong: x", after=asked)
    assert [post.reference for post in dm.replies()] == [asked.id, asked.id]


def test_a_press_whose_answers_are_lost_is_carried_out_and_told(start_chat, discord, hand, head) -> None:
    start_chat()
    dm = discord.user("ada").dm()
    asked = dm.send("submit mend it")
    job = hand.do("mended")
    card = dm.await_reply("mended", after=asked)
    discord.lose_next("callback", made=False)
    discord.lose_next("send")
    press = discord.press(card, "Accept")
    assert dm.await_reply("Accepted", after=card).content == f"Accepted: job `{job.id}`."
    assert head.job(job.id).review.state == "accepted"
    assert press.answers == []
    discord.await_calls("send", 4)
    assert len(dm.replies(card)) == 1
