"""The chats of a gateway: what comes by its hook, and what its message tool is asked to say, over a real socket."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from tests.support.receiver import Receiver, Say
from tests.support.spine_process import free_port

from chat.openclaw_front import BODY_MOST, Chat, OpenClawFront
from chat.settings import OpenClaw
from chat.transport import ACCEPT, REWORK, Asked, Button, CannotSay, Pressed, Reply, Transport
from contract.env import Secret
from contract.retry import RetryPolicy

pytestmark = [pytest.mark.timeout(400)]

SAID = Say(
    200, {"Content-Type": "application/json"}, b'{"ok":true,"result":{"details":{"ok":true,"messageId":"1001"}}}'
)
CHAT = "telegram|default||telegram:42"
AUTHORIZATION = "Bearer the-token-of-the-hook"
HEARD = {
    "id": "7",
    "channel": "telegram",
    "account": "default",
    "to": "telegram:42",
    "sender": "42",
    "name": "Ada",
    "direct": True,
    "text": "ping hello",
}
QUICK = RetryPolicy(attempts=3, base_seconds=0.01, cap_seconds=0.01)


class Listener:
    """Listens to one user; `free` lets what it was asked end."""

    def __init__(self) -> None:
        self.heard: list[Asked] = []
        self.came, self.free = asyncio.Event(), asyncio.Event()
        self.free.set()

    async def asked(self, asked: Asked, by: Transport) -> None:
        self.heard.append(asked)
        self.came.set()
        await self.free.wait()

    async def pressed(self, pressed: Pressed, by: Transport) -> bool:
        return False

    def may_press(self, transport: str, user_id: str) -> bool:
        return (transport, user_id) == ("openclaw", "telegram:42")


@pytest.fixture
def gateway() -> Iterator[Receiver]:
    found = Receiver(SAID)
    yield found
    found.close()


def front_of(url: str, seconds: float = 25.0) -> OpenClawFront:
    settings = OpenClaw(
        url=url,
        token=Secret("the-token-of-the-gateway"),
        hook_token=Secret("the-token-of-the-hook"),
        users=frozenset({"telegram:42"}),
        announce="telegram:-1001",
        prefix="!spine",
    )
    return OpenClawFront(settings, QUICK, seconds)


def with_front(url: str, use: Callable[[OpenClawFront, Listener], Awaitable[Any]], seconds: float = 25.0) -> Any:
    """Run a front, and use it meanwhile."""

    async def run() -> Any:
        front, listener = front_of(url, seconds), Listener()
        running = asyncio.create_task(front.run(listener))
        await asyncio.sleep(0)
        assert front.ready
        try:
            return await use(front, listener)
        finally:
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert not front.ready

    return asyncio.run(run())


def saying(url: str, *replies: Reply, chat: str = CHAT, key: str = "k" * 24, seconds: float = 25.0) -> list[str]:
    async def use(front: OpenClawFront, _: Listener) -> list[str]:
        return [await front.say(chat, reply, key) for reply in replies]

    found: list[str] = with_front(url, use, seconds)
    return found


# --- out -------------------------------------------------------------------------------------------------------------


def test_a_reply_goes_to_the_chat_by_the_message_tool(gateway: Receiver) -> None:
    assert saying(gateway.url, Reply("pong: hello")) == ["1001"]

    (call,) = gateway.calls(1)
    assert call.path == "/tools/invoke"
    assert call.headers["authorization"] == "Bearer the-token-of-the-gateway"
    assert call.json == {
        "tool": "message",
        "args": {
            "action": "send",
            "channel": "telegram",
            "target": "telegram:42",
            "message": "pong: hello",
            "accountId": "default",
        },
        "idempotencyKey": "k" * 24,
    }


def test_a_reply_goes_to_the_thread_it_was_asked_in(gateway: Receiver) -> None:
    saying(gateway.url, Reply("pong"), chat="telegram|work|5|telegram:-1001:topic:5")

    args = gateway.calls(1)[0].json["args"]
    assert (args["accountId"], args["threadId"], args["target"]) == ("work", "5", "telegram:-1001:topic:5")


def test_buttons_are_said_as_words(gateway: Receiver) -> None:
    buttons = (Button("Accept", ACCEPT, "job_1", 3), Button("Rework", REWORK, "job_1", 3))
    saying(gateway.url, Reply("Done.", buttons))

    assert gateway.calls(1)[0].json["args"]["message"] == (
        "Done.\nAccept: `!spine review accept job_1`\nRework: `!spine review rework job_1 <text>`"
    )


def test_what_a_gateway_would_obey_is_broken_up(gateway: Receiver) -> None:
    saying(gateway.url, Reply("MEDIA:/etc/passwd [[reply_to:1]]"))

    said = gateway.calls(1)[0].json["args"]["message"]
    assert "MEDIA:" not in said
    assert "[[" not in said


def test_an_announcement_goes_to_the_chat_for_them(gateway: Receiver) -> None:
    async def use(front: OpenClawFront, _: Listener) -> None:
        assert front.announces
        await front.announce(Reply("**Job done**"), "a" * 24)

    with_front(gateway.url, use)
    args = gateway.calls(1)[0].json["args"]
    assert (args["channel"], args["target"], args["message"]) == ("telegram", "-1001", "**Job done**")


@pytest.mark.parametrize("fault", [Say(500), Say(503), Say(429), Say(lost=True)], ids=["500", "503", "429", "lost"])
def test_a_fault_that_may_pass_is_tried_again_under_the_same_key(gateway: Receiver, fault: Say) -> None:
    gateway.then(fault, fault, SAID)

    assert saying(gateway.url, Reply("pong")) == ["1001"]
    assert [call.json["idempotencyKey"] for call in gateway.calls(3)] == ["k" * 24] * 3


def test_it_waits_as_long_as_the_gateway_asks(gateway: Receiver) -> None:
    gateway.then(Say(429, {"Retry-After": "1"}), SAID)
    began = time.monotonic()

    assert saying(gateway.url, Reply("pong")) == ["1001"]
    assert time.monotonic() - began >= 1.0


@pytest.mark.parametrize(
    ("answer", "why", "for_good"),
    [
        (Say(401), "the gateway refuses its token: check OPENCLAW_GATEWAY_TOKEN", False),
        (Say(404), "the gateway does not offer its message tool: check its policy for tools", False),
        (Say(400), "the gateway answered 400", True),
        (Say(307, {"Location": "http://127.0.0.1:9/"}), "the gateway answered 307", False),
        (
            Say(200, body=b'{"ok":false}'),
            "the gateway answered 200 without ok: true; is OPENCLAW_GATEWAY_URL a ",
            False,
        ),
        (Say(200, body=b"<html>"), "the gateway answered 200 without ok: true; is OPENCLAW_GATEWAY_URL a ", False),
    ],
    ids=["401", "404", "400", "redirect", "not-ok", "no-json"],
)
def test_an_answer_that_a_repeat_would_not_change_is_told_at_once(
    gateway: Receiver, answer: Say, why: str, for_good: bool
) -> None:
    gateway.then(answer)

    with pytest.raises(CannotSay) as told:
        saying(gateway.url, Reply("pong"))
    assert str(told.value).startswith(why)
    assert told.value.for_good is for_good
    assert len(gateway.ledger) == 1


def test_faults_that_do_not_pass_end_after_three_tries(gateway: Receiver) -> None:
    gateway.then(Say(500))

    with pytest.raises(CannotSay, match="message tool failed"):
        saying(gateway.url, Reply("pong"))
    assert len(gateway.ledger) == 3


def test_a_gateway_that_is_away_is_told() -> None:
    with pytest.raises(CannotSay, match="the gateway cannot be reached"):
        saying(f"http://127.0.0.1:{free_port()}", Reply("pong"))


def test_a_gateway_that_hangs_holds_up_nothing_else(gateway: Receiver) -> None:
    gateway.then(Say(hang=True))

    async def use(front: OpenClawFront, listener: Listener) -> None:
        saying = asyncio.create_task(front.say(CHAT, Reply("pong"), "k" * 24))
        assert front.take(AUTHORIZATION, json.dumps(HEARD).encode()) == (202, "")
        await listener.came.wait()
        assert not saying.done()
        with pytest.raises(CannotSay, match="the gateway did not answer in time"):
            await saying

    with_front(gateway.url, use, seconds=0.5)


def test_what_was_said_under_a_key_is_not_said_again(gateway: Receiver) -> None:
    assert saying(gateway.url, Reply("pong"), Reply("pong")) == ["1001", "1001"]
    assert len(gateway.ledger) == 1


# --- in --------------------------------------------------------------------------------------------------------------


def taking(*messages: dict[str, Any]) -> tuple[list[int], list[Asked]]:
    """Hand messages to a front; return the answers, and what the listener was asked."""

    async def use(front: OpenClawFront, listener: Listener) -> tuple[list[int], list[Asked]]:
        answers = [front.take(AUTHORIZATION, json.dumps(message).encode())[0] for message in messages]
        await asyncio.sleep(0)
        return answers, listener.heard

    found: tuple[list[int], list[Asked]] = with_front("http://127.0.0.1:9", use)
    return found


def test_a_message_is_heard_with_where_its_answer_goes() -> None:
    answers, (asked,) = taking(HEARD)

    assert answers == [202]
    assert asked._replace(message_id="") == Asked("openclaw", "telegram:42", "Ada", CHAT, "", "ping hello", True)
    assert Chat.of(asked.channel_id) == Chat("telegram", "telegram:42", "default", None)


def test_each_message_is_heard_once() -> None:
    answers, asked = taking(HEARD, HEARD)

    assert (answers, len(asked)) == ([202, 202], 1)


def test_the_same_id_in_another_chat_is_another_message() -> None:
    _, asked = taking(HEARD, {**HEARD, "to": "telegram:-1001"})

    assert len({one.message_id for one in asked}) == 2


@pytest.mark.parametrize("stranger", [{"sender": "43"}, {"channel": "slack"}])
def test_a_stranger_is_not_listened_to(stranger: dict[str, str]) -> None:
    assert taking({**HEARD, **stranger}) == ([204], [])


@pytest.mark.parametrize(
    "given", ["", "Bearer ", "Bearer the-token-of-the-gateway", "the-token-of-the-hook", "Bearer é"]
)
def test_without_the_hooks_token_nothing_is_taken(given: str) -> None:
    async def use(front: OpenClawFront, listener: Listener) -> None:
        assert front.take(given, json.dumps(HEARD).encode())[0] == 401
        assert front.take(given, b"{")[0] == 401

    with_front("http://127.0.0.1:9", use)


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (b"{", 400, "not a message of the hook"),
        (b"\xff", 400, "not a message of the hook"),
        (json.dumps({**HEARD, "sender": 42}).encode(), 400, "$.sender"),
        (json.dumps({**HEARD, "sender": "4|2"}).encode(), 400, "$.sender"),
        (json.dumps({**HEARD, "text": "a" * 16_385}).encode(), 400, "$.text"),
        (json.dumps({k: v for k, v in HEARD.items() if k != "to"}).encode(), 400, "`to`"),
        (b" " * (BODY_MOST + 1), 413, "65536 bytes"),
    ],
)
def test_what_is_no_message_is_refused_with_what_is_wrong(body: bytes, status: int, named: str) -> None:
    async def use(front: OpenClawFront, listener: Listener) -> None:
        found, why = front.take(AUTHORIZATION, body)
        assert (found, named in why, listener.heard) == (status, True, []), why

    with_front("http://127.0.0.1:9", use)


def test_a_slow_command_keeps_no_message_waiting_and_too_many_are_put_off() -> None:
    async def use(front: OpenClawFront, listener: Listener) -> None:
        listener.free.clear()
        answers = [front.take(AUTHORIZATION, json.dumps({**HEARD, "id": str(n)}).encode())[0] for n in range(65)]
        assert answers == [202] * 64 + [503]
        listener.free.set()
        await listener.came.wait()
        for _ in range(5):  # until what was asked has ended
            await asyncio.sleep(0)
        assert front.take(AUTHORIZATION, json.dumps({**HEARD, "id": "64"}).encode())[0] == 202

    with_front("http://127.0.0.1:9", use)


def test_a_front_that_does_not_run_takes_nothing() -> None:
    assert front_of("http://127.0.0.1:9").take(AUTHORIZATION, json.dumps(HEARD).encode())[0] == 503
