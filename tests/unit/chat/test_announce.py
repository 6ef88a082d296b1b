"""Notices that are announced in more than one place."""

import asyncio
import base64
import hmac
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from chat.announce import Notices, listen
from chat.render import Renderer
from chat.transport import CannotSay, Reply

KEY = b"k" * 32
SECRET = "whsec_" + base64.b64encode(KEY).decode()
BODY = b'{"id": "e1", "type": "job.done", "data": {"title": "A job is done"}}'


class Place:
    """A chat that takes what it is told unless it is `away`."""

    announces = True

    def __init__(self, name: str) -> None:
        self.name, self.away = name, False
        self.said: list[str] = []

    async def announce(self, reply: Reply, key: str) -> None:
        if self.away:
            raise CannotSay("away")
        self.said.append(reply.text)


def signed(notice_id: str, body: bytes = BODY, sent: int | None = None) -> dict[str, str]:
    stamp = str(int(time.time()) if sent is None else sent)
    digest = hmac.new(KEY, b".".join((notice_id.encode(), stamp.encode(), body)), sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": notice_id, "webhook-timestamp": stamp, "webhook-signature": signature}


@pytest.fixture
def two() -> list[Place]:
    return [Place("discord"), Place("openclaw")]


@pytest.fixture
def post(two: list[Place], tmp_path: Path) -> Callable[..., list[tuple[int, str]]]:
    """Send notices (their headers) to a door that has just been opened; return what each was answered."""

    def post(*notices: dict[str, str]) -> list[tuple[int, str]]:
        async def run() -> list[tuple[int, str]]:
            spine: Any = None  # these notices are about no job
            door = Notices(SECRET, two, spine, Renderer(), tmp_path)  # type: ignore[arg-type]
            runner, port = await listen(("127.0.0.1", 0), [("POST", "/notices", door.handle)])
            answers = []
            async with aiohttp.ClientSession() as http:
                for headers in notices:
                    async with http.post(f"http://127.0.0.1:{port}/notices", data=BODY, headers=headers) as answer:
                        answers.append((answer.status, (await answer.json())["detail"]))
            await runner.cleanup()
            return answers

        return asyncio.run(run())

    return post


def test_a_place_that_took_a_notice_is_not_told_again_when_another_did_not(two, post) -> None:
    two[1].away = True
    assert post(signed("n1"), signed("n1")) == [(503, "away"), (503, "away")]
    two[1].away = False
    assert post(signed("n1"), signed("n1")) == [(200, "said"), (200, "said before")]
    assert [place.said for place in two] == [["**A job is done**"], ["**A job is done**"]]


def test_a_front_without_a_place_takes_notices_and_says_nothing(two, post) -> None:
    two.clear()
    assert post(signed("n1")) == [(200, "there is no place for notices")]


def test_what_is_not_signed_as_it_must_be_is_refused(two, post) -> None:
    of_old, odd, forged = signed("n1", sent=1_700_000_000), signed("n1"), signed("n1")
    odd["webhook-id"] = "n\udcff"
    forged["webhook-signature"] = "v1,aaaa"
    assert [status for status, _ in post(of_old, odd, forged, {})] == [401, 401, 401, 400]
    assert [place.said for place in two] == [[], []]
