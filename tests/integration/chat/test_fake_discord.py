"""The small Discord of the tests, held to what an unmodified discord.py makes of it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import aiohttp
import discord
import pytest
import yarl
from tests.support.fake_discord import Channel, FakeDiscord, User

T = TypeVar("T")


class Parrot(discord.Client):
    """Repeats what it hears, under the nonce of what it heard; its presses do what the button says."""

    def __init__(self, **options: Any) -> None:
        super().__init__(guild_ready_timeout=0, **options)
        self.heard: list[str] = []
        self.asking = True

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Do not wait before a second IDENTIFY."""

    async def on_message(self, message: discord.Message) -> None:
        if message.author == self.user:
            return
        self.heard.append(message.content)
        if not self.asking:
            return
        view = discord.ui.View(timeout=None)
        for verb in ("say", "think", "update", "ask", "nothing"):
            view.add_item(discord.ui.Button(label=verb.title(), custom_id=f"parrot:{verb}:7"))
        await message.channel.send(
            f"heard {message.content!r}",
            nonce=str(message.id),
            view=view,
            allowed_mentions=discord.AllowedMentions.none(),
        )

    async def on_interaction(self, press: discord.Interaction[Any]) -> None:
        if press.type is discord.InteractionType.modal_submit:
            assert press.data is not None
            given = [row["components"][0]["value"] for row in press.data["components"]]  # type: ignore[typeddict-item]
            await press.response.send_message(f"given {given}")
            return
        verb = str((press.data or {})["custom_id"]).split(":")[1]
        if verb == "say":
            await press.response.send_message(f"said to {press.user.name}", ephemeral=True)
            await press.followup.send("and more")
        elif verb == "think":
            await press.response.defer(thinking=True)
            await press.edit_original_response(content="thought")
        elif verb == "update":
            await press.response.edit_message(content="updated", view=None)
        elif verb == "ask":
            modal = discord.ui.Modal(title="What is to be done?", custom_id="parrot:asked:7")
            modal.add_item(discord.ui.TextInput(label="Words", custom_id="words", min_length=3))
            await press.response.send_modal(modal)


class Running:
    """A client in a thread of its own; what ends it is in `fault`."""

    def __init__(self, server: FakeDiscord, intents: discord.Intents, token: str, **options: Any) -> None:
        self.fault: BaseException | None = None
        self.started = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(intents, token, options), daemon=True)
        self.thread.start()
        assert self.started.wait(30)

    def _run(self, intents: discord.Intents, token: str, options: dict[str, Any]) -> None:
        async def main() -> None:
            self.loop = asyncio.get_running_loop()
            self.client = Parrot(intents=intents, **options)
            self.started.set()
            async with self.client:
                await self.client.start(token)

        try:
            asyncio.run(main())
        except Exception as e:  # noqa: BLE001 - it is what a test looks at
            self.fault = e

    def do(self, act: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(act, self.loop).result(60)

    def say(self, channel: Channel, text: str, nonce: str | None = None) -> discord.Message:
        return self.do(self.client.get_partial_messageable(int(channel.id)).send(text, nonce=nonce))

    def stop(self) -> None:
        if self.thread.is_alive():
            self.do(self.client.close())
        self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    with FakeDiscord() as server:
        monkeypatch.setattr("discord.http.Route.BASE", server.url)
        gateway = yarl.URL(server.gateway.url)
        monkeypatch.setattr("discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY", gateway)
        yield server


@pytest.fixture
def connect(server: FakeDiscord):
    clients: list[Running] = []

    def connect(content: bool = True, token: str = server.token, wait: bool = True, **options: Any) -> Running:
        intents = discord.Intents(guilds=True, guild_messages=True, dm_messages=True, message_content=content)
        clients.append(Running(server, intents, token, **options))
        if wait:
            server.await_connected()
        return clients[-1]

    yield connect
    for client in clients:
        client.stop()


Connect = Callable[..., Running]


@pytest.fixture
def ann(server: FakeDiscord) -> User:
    return server.user("ann")


def test_a_direct_message_is_heard_and_answered(server: FakeDiscord, connect: Connect, ann: User) -> None:
    connect()
    dm = ann.dm()
    asked = dm.send("good morning")
    reply = dm.await_reply("heard 'good morning'")
    assert reply.nonce == asked.id
    assert reply.allowed_mentions == {"parse": []}
    assert reply.labels == ["Say", "Think", "Update", "Ask", "Nothing"]
    assert [post.content for post in server.messages(dm)] == ["good morning", "heard 'good morning'"]
    assert [call.status for call in server.await_calls("send")] == [200]


def test_a_channel_is_read_by_those_alone_who_may(server: FakeDiscord, connect: Connect, ann: User) -> None:
    channel = server.channel("fleet")
    blind = connect(content=False)
    channel.send("secret", by=ann)
    channel.await_reply("heard ''")
    bot = blind.client.user
    assert bot is not None
    channel.send(f"<@{bot.id}> hello", by=ann)
    channel.await_reply(f"heard '<@{bot.id}> hello'")
    assert blind.client.heard == ["", f"<@{bot.id}> hello"]


def test_a_wrong_token_is_refused_by_both_doors(server: FakeDiscord, connect: Connect) -> None:
    wrong = connect(token="wrong", wait=False)
    wrong.thread.join(60)
    assert isinstance(wrong.fault, discord.LoginFailure)
    server.gateway.token = "another"
    refused = connect(wait=False)
    refused.thread.join(60)
    assert isinstance(refused.fault, discord.ConnectionClosed)
    assert refused.fault.code == 4004


def test_an_intent_that_was_not_granted_ends_the_client(server: FakeDiscord, connect: Connect) -> None:
    server.gateway.privileged = 0
    client = connect(wait=False)
    client.thread.join(60)
    assert isinstance(client.fault, discord.PrivilegedIntentsRequired)


def test_a_session_is_resumed_with_what_was_missed(server: FakeDiscord, connect: Connect, ann: User) -> None:
    client, dm = connect(), ann.dm()
    client.client.asking = False
    dm.send("one")
    server.heard()
    with server.away():
        dm.send("two")
        dm.send("three")
    server.await_connected(2)
    server.reconnect()
    server.await_connected(3)
    dm.send("four")
    server.heard()
    assert (len(server.gateway.identifies), len(server.gateway.resumes)) == (1, 2)
    assert client.client.heard == ["one", "two", "three", "four"]
    server.invalidate(resumable=True)
    server.await_connected(4)
    assert len(server.gateway.resumes) == 3


def test_a_session_that_is_gone_starts_anew_without_what_was_missed(
    server: FakeDiscord, connect: Connect, ann: User
) -> None:
    client, dm = connect(), ann.dm()
    client.client.asking = False
    with server.away(resumable=False):
        dm.send("never heard")
    server.await_connected(2)
    server.invalidate()
    server.await_connected(3)
    dm.send("heard")
    server.heard()
    assert (len(server.gateway.identifies), len(server.gateway.resumes)) == (3, 1)
    assert client.client.heard == ["heard"]


def test_a_gateway_that_falls_silent_is_left_and_the_session_resumed(
    server: FakeDiscord, connect: Connect, ann: User
) -> None:
    server.gateway.heartbeat_ms = 200
    client, dm = connect(heartbeat_timeout=2.0), ann.dm()
    server.fall_silent()
    dm.send("into the void")
    dm.await_reply("heard 'into the void'")
    assert client.client.heard == ["into the void"]
    assert len(server.gateway.identifies) == 1
    assert server.gateway.resumes


def test_a_message_whose_answer_was_lost_is_there_once(server: FakeDiscord, connect: Connect, ann: User) -> None:
    client, dm = connect(), ann.dm()
    server.lose_next("send")
    with pytest.raises(aiohttp.ClientError):
        client.say(dm, "only once", nonce="n-1")
    again = client.say(dm, "only once", nonce="n-1")
    assert [post.id for post in dm.replies()] == [str(again.id)]
    server.lose_next("send", made=False)
    with pytest.raises(aiohttp.ClientError):
        client.say(dm, "not at all", nonce="n-2")
    server.forget_nonces()
    client.say(dm, "only once", nonce="n-1")
    assert [post.content for post in dm.replies()] == ["only once", "only once"]


def test_limits_and_errors_are_waited_out(server: FakeDiscord, connect: Connect, ann: User) -> None:
    client, dm = connect(), ann.dm()
    server.fail_next("send", 502)  # the first, since the client's patience grows with each attempt
    server.limit_next("send", times=2)
    server.limit_next("send", scope="global")
    client.say(dm, "at last")
    assert [call.status for call in server.calls("send")] == [502, 429, 429, 429, 200]
    server.limit("send", requests=2, seconds=0.3)
    for number in range(5):
        client.say(dm, str(number))
    assert [post.content for post in dm.replies()] == ["at last", "0", "1", "2", "3", "4"]


def test_answers_can_be_held_back(server: FakeDiscord, connect: Connect, ann: User) -> None:
    connect()
    dm = ann.dm()
    with server.hold("send", before=True) as held:
        dm.send("hello")
        held.await_held()
        assert dm.replies() == []
    dm.await_reply("heard 'hello'")


def test_what_the_real_one_refuses_is_refused(server: FakeDiscord, connect: Connect, ann: User) -> None:
    client, dm = connect(), ann.dm()
    with pytest.raises(discord.HTTPException, match="2000 or fewer") as long:
        client.say(dm, "a" * 2001)
    with pytest.raises(discord.HTTPException, match="empty") as empty:
        client.say(dm, " ")
    with pytest.raises(discord.HTTPException, match="25 or fewer") as nonce:
        client.say(dm, "hello", nonce="n" * 26)
    ann.close_dms()
    with pytest.raises(discord.Forbidden) as closed:
        client.say(dm, "hello")
    with pytest.raises(discord.NotFound) as nowhere:
        client.do(client.client.fetch_channel(7))
    refused = [fault.value.code for fault in (long, empty, nonce, closed, nowhere)]
    assert refused == [50035, 50006, 50035, 50007, 10003]
    assert dm.messages() == []


def test_a_press_is_answered_by_a_message_a_later_one_or_an_update(
    server: FakeDiscord, connect: Connect, ann: User
) -> None:
    connect()
    dm = ann.dm()
    dm.send("hello")
    card = dm.await_reply("heard")
    say, think = server.press(card, "Say"), server.press(card, "think")
    assert say.await_message("said to ann").ephemeral
    assert not say.await_message("and more").ephemeral
    assert think.await_message().content == "thought"
    update = server.press(card, "Update")
    assert update.await_message("updated") is card
    assert (say.answers, think.answers, update.answers) == ([4], [5], [7])
    assert (card.content, card.labels, card.versions) == ("updated", [], ["heard 'hello'", "updated"])
    with pytest.raises(AssertionError, match="among \\[\\]"):
        server.press(card, "Update")


def test_a_modal_is_asked_and_its_words_come(server: FakeDiscord, connect: Connect, ann: User) -> None:
    connect()
    channel = server.channel("fleet").seen_by(ann)
    channel.send("hello")
    press = server.press(channel.await_reply("heard"), "Ask", by=ann)
    assert press.await_modal()["title"] == "What is to be done?"
    with pytest.raises(AssertionError, match="words"):
        press.submit("no")
    assert press.submit("more words").await_message().content == "given ['more words']"


def test_a_second_or_late_answer_to_a_press_is_refused(server: FakeDiscord, connect: Connect, ann: User) -> None:
    client, dm = connect(), ann.dm()
    dm.send("hello")
    press = server.press(dm.await_reply("heard"), "Nothing")
    server.heard()

    async def answer(key: str, token: str) -> int:
        where = f"{server.url}/interactions/{key}/{token}/callback"
        async with aiohttp.ClientSession() as http, http.post(where, json={"type": 6}) as answer:
            return answer.status

    one = press.interaction
    assert client.do(answer(one.id, one.token)) == 204
    assert client.do(answer(one.id, one.token)) == 400
    server.interactions.patience = 0.0
    late = server.press(dm.replies()[0], "Nothing").interaction
    assert client.do(answer(late.id, late.token)) == 404
    assert (one.refused, late.refused) == ([40060], [10062])


def test_a_handshake_can_fail_and_frames_that_are_none_end_it(server: FakeDiscord, connect: Connect) -> None:
    client = connect()
    server.fail_next("socket", 503)

    async def frames(*sent: str) -> tuple[dict[str, Any], int | None]:
        async with aiohttp.ClientSession() as http, http.ws_connect(server.gateway.url) as ws:
            hello = await ws.receive_json()
            for text in sent:
                await ws.send_str(text)
            while (await ws.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
            return hello, ws.close_code

    with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
        client.do(frames())
    hello, code = client.do(frames('{"op": 1, "d": null}', '{"op": 3, "d": {}}'))
    assert (hello["op"], hello["d"], code) == (10, {"heartbeat_interval": 41250}, 4003)
    assert client.do(frames("hello"))[1] == 4002
    resume = '{"op": 6, "d": {"token": "%s", "session_id": "%s", "seq": 99}}'
    assert client.do(frames(resume % (server.token, next(iter(server.gateway.sessions)))))[1] == 4007
