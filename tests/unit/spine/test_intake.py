"""Bodies as they come in: whole or in pieces, late, cut short; and awaiting without a timer what need not wait."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contract.errors import BadJson, RequestTimeout
from spine.api.intake import Intake, intake, intake_of, within

Event = dict[str, Any]
GONE: Event = {"type": "http.disconnect"}
LAST: Event = {"type": "http.request", "body": b"", "more_body": False}


def piece(body: bytes, more: bool = True) -> Event:
    return {"type": "http.request", "body": body, "more_body": more}


def channel(*events: Event, then_wait: bool = False) -> Callable[[], Awaitable[Event]]:
    """Return an ASGI channel that brings these events one after the other."""
    left = list(events)

    async def receive() -> Event:
        if not left and then_wait:
            await asyncio.Event().wait()
        return left.pop(0)

    return receive


def test_a_body_is_read_whole_and_the_framework_sees_its_end() -> None:
    async def play() -> None:
        coming = Intake(channel(piece(b"ab"), piece(b"cd"), piece(b"", False), GONE), 1)
        assert await coming.receive() == piece(b"")
        assert await coming.read(10) == b"abcd"
        assert await coming.read(10) == b""
        assert await coming.receive() == LAST
        assert await coming.receive() == GONE

    asyncio.run(play())


def test_one_that_is_too_long_is_read_no_further_and_passed_over_later() -> None:
    async def play() -> None:
        coming = Intake(channel(piece(b"abc"), piece(b"def"), piece(b"ghi", False)), 1)
        await coming.receive()
        assert await coming.read(4) == b"abcdef"
        assert await coming.receive() == piece(b"ghi", False)

    asyncio.run(play())


@pytest.mark.parametrize("events", [(GONE,), (piece(b"ab"), GONE)])
def test_one_that_stops_before_its_end_is_none(events: tuple[Event, ...]) -> None:
    async def read() -> None:
        await Intake(channel(*events), 1).read(10)

    async def receive() -> None:
        coming = Intake(channel(*events), 1)
        for _ in range(3):
            await coming.receive()

    for way in (read, receive):
        with pytest.raises(BadJson, match="stopped before its end"):
            asyncio.run(way())


def test_a_piece_that_comes_just_as_the_time_is_up_is_late_all_the_same() -> None:
    async def play() -> None:
        loop, left = asyncio.get_running_loop(), [b"x"] * 100

        async def receive() -> Event:
            came = loop.create_future()

            def come() -> None:
                time.sleep(0.02)  # the loop is busy: when it comes to look, piece and time-out are both there
                came.set_result(None)

            loop.call_soon(come)
            await asyncio.wait_for(came, 30)
            return piece(left.pop(), bool(left))

        with pytest.raises(TimeoutError):
            await within(0.01, Intake(receive, 1).read(1000))
        assert len(left) == 99

    asyncio.run(play())


def test_a_piece_that_does_not_come_is_a_timeout() -> None:
    async def play() -> None:
        coming = Intake(channel(piece(b"ab"), then_wait=True), 0.05)
        await coming.receive()
        assert await coming.receive() == piece(b"ab")
        await coming.receive()

    with pytest.raises(RequestTimeout, match=r"nothing of the body came for 0\.05 s"):
        asyncio.run(play())


@pytest.mark.parametrize(
    ("headers", "has_body"),
    [
        ([(b"host", b"x")], False),
        ([(b"content-length", b"0")], False),
        ([(b"content-length", b"2")], True),
        ([(b"transfer-encoding", b"chunked")], True),
    ],
)
def test_only_a_request_with_a_body_has_an_intake(headers: list[tuple[bytes, bytes]], has_body: bool) -> None:
    scope: dict[str, Any] = {"headers": headers}
    receive = channel()
    assert (intake(scope, receive, 1) is receive) is not has_body
    assert (intake_of(scope) is not None) is has_body


# --- within ----------------------------------------------------------------------------------------------------------


def test_work_that_need_not_wait_sets_no_timer() -> None:
    async def at_once() -> int:
        return 7

    async def play() -> int:
        loop = asyncio.get_running_loop()
        loop.call_at = loop.call_later = None  # type: ignore[method-assign,assignment]
        return await within(1, at_once())

    assert asyncio.run(play()) == 7


def test_work_that_waits_goes_on_and_may_wait_again() -> None:
    async def slow() -> str:
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        return "done"

    async def play() -> str:
        return await within(5, slow())

    assert asyncio.run(play()) == "done"


def test_work_that_takes_too_long_is_cancelled() -> None:
    seen: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    async def play() -> None:
        await within(0.02, slow())

    with pytest.raises(TimeoutError):
        asyncio.run(play())
    assert seen == ["cancelled"]


def test_a_task_that_is_cancelled_cancels_its_work() -> None:
    seen: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def play() -> None:
        task = asyncio.ensure_future(within(5, slow()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(play())
    assert seen == ["cancelled"]


def test_errors_come_through_at_once_and_later() -> None:
    async def bad(wait: bool) -> None:
        if wait:
            await asyncio.sleep(0)
        raise ValueError("bad")

    for wait in (False, True):
        with pytest.raises(ValueError, match="bad"):
            asyncio.run(within(1, bad(wait)))
