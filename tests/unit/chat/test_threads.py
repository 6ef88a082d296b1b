"""Work beside the event loop."""

import asyncio
import threading

import pytest

from chat.threads import Threads


def test_the_loop_goes_on_while_work_blocks_and_what_it_raises_is_raised_here() -> None:
    async def story() -> tuple[int, str]:
        gate, threads = threading.Event(), Threads(2, "test")
        blocked = asyncio.create_task(threads.run(gate.wait, 60))
        found = await threads.run(lambda: 7)  # the second thread
        gate.set()
        assert await blocked is True
        with pytest.raises(ValueError, match="no number") as raised:
            await threads.run(int, "no number")
        return found, type(raised.value).__name__

    assert asyncio.run(story()) == (7, "ValueError")


def test_one_thread_keeps_the_order() -> None:
    async def story() -> list[int]:
        threads, seen = Threads(1, "test"), list[int]()
        await asyncio.gather(*(threads.run(seen.append, n) for n in range(50)))
        return seen

    assert asyncio.run(story()) == list(range(50))


def test_who_is_cancelled_waits_no_more_and_others_are_served() -> None:
    async def story() -> int:
        gate, threads = threading.Event(), Threads(1, "test")
        blocked = asyncio.create_task(threads.run(gate.wait, 60))
        behind = asyncio.create_task(threads.run(lambda: 3))
        await asyncio.sleep(0)
        blocked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await blocked
        gate.set()
        return await behind

    assert asyncio.run(story()) == 3
