"""Who is answered."""

import asyncio
from typing import Any, cast

from chat.front import Door, Front
from chat.transport import Asked, CannotSay, Pressed, Transport, key_of

NOBODY = cast("Transport", None)


class Handler:
    """Notes what reaches it, and fails as it is told."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.fault: Exception | None = None

    async def asked(self, asked: Asked, by: Transport) -> None:
        self.heard.append(asked.text)
        if self.fault:
            raise self.fault

    async def pressed(self, pressed: Pressed, by: Transport) -> bool:
        self.heard.append(pressed.verb)
        if self.fault:
            raise self.fault
        return True


def asked(**more: Any) -> Asked:
    fields: dict[str, Any] = {
        "transport": "discord",
        "user_id": "7",
        "user_name": "ada",
        "channel_id": "70",
        "message_id": "700",
        "text": "ping",
        "direct": True,
    }
    return Asked(**(fields | more))


def pressed(**more: Any) -> Pressed:
    fields: dict[str, Any] = {
        "transport": "discord",
        "user_id": "7",
        "user_name": "ada",
        "channel_id": "70",
        "key": "k",
        "verb": "accept",
        "job_id": "j1",
        "fence": 1,
    }
    return Pressed(**(fields | more))


def heard(door: Door, *messages: Asked) -> list[str]:
    handler = Handler()
    front = Front({"discord": door}, handler)
    for message in messages:
        asyncio.run(front.asked(message, NOBODY))
    return handler.heard


def test_without_a_channel_direct_messages_of_listed_users_are_heard_and_nothing_else() -> None:
    door = Door(frozenset({"7"}))
    assert heard(door, asked(text="mine")) == ["mine"]
    assert heard(door, asked(user_id="8"), asked(direct=False), asked(transport="other"), asked(text=" \n")) == []


def test_with_a_channel_it_alone_is_read() -> None:
    door = Door(frozenset({"7"}), channel_id="99")
    assert heard(door, asked(channel_id="99", direct=False, text="there")) == ["there"]
    assert heard(door, asked(), asked(channel_id="98", direct=False), asked(channel_id="99", user_id="8")) == []


def test_a_transport_whose_list_names_the_channel_is_heard_anywhere() -> None:
    door = Door(frozenset({"telegram:1"}), anywhere=True)
    assert heard(door, asked(user_id="telegram:1", direct=False), asked(user_id="telegram:2")) == ["ping"]


def test_whoever_is_listed_may_press_wherever_a_button_was_shown() -> None:
    handler = Handler()
    front = Front({"discord": Door(frozenset({"7"}), channel_id="99")}, handler)
    assert asyncio.run(front.pressed(pressed(), NOBODY)) is True
    assert asyncio.run(front.pressed(pressed(user_id="8"), NOBODY)) is False
    assert handler.heard == ["accept"]
    assert front.may_press("discord", "7") is True
    assert front.may_press("discord", "8") is False
    assert front.may_press("other", "7") is False


def test_a_fault_of_one_message_does_not_reach_the_transport() -> None:
    handler = Handler()
    front = Front({"discord": Door(frozenset({"7"}))}, handler)
    for handler.fault in (CannotSay("closed"), ValueError("ours")):
        asyncio.run(front.asked(asked(), NOBODY))
        assert asyncio.run(front.pressed(pressed(), NOBODY)) is False
    assert handler.heard == ["ping", "accept", "ping", "accept"]


def test_a_key_is_the_same_for_the_same_parts_and_short_enough_for_a_nonce() -> None:
    assert key_of("a", "b") == key_of("a", "b") == "lgzhdlq3xsy5ghkbskmbp5fr"
    assert key_of("a", "b") != key_of("ab") != key_of("a", "", "b")
