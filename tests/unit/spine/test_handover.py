"""How tasks of an event loop ask the writer, and get their answers: at once for a turn, at once for a batch."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from tests.suites.harness import Raw
from tests.suites.manual_clock import ManualClock

from contract.errors import Conflict, Unavailable
from spine.store.handover import Asked, Failed, Turn, deliver
from spine.store.sqlite import SqliteEngine

PUT = Raw("INSERT INTO meta (key, value) VALUES (?, 'v')", "key")
KEYS = Raw("SELECT key FROM meta WHERE key LIKE 'k%' ORDER BY key")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[SqliteEngine]:
    found = SqliteEngine(tmp_path, ManualClock())
    yield found
    found.close()


def put(key: str) -> Any:
    return lambda tx: tx.run(PUT, key=key)


def keys(engine: SqliteEngine) -> list[str]:
    return engine.read(lambda tx: [row[0] for row in tx.rows(KEYS)]).result(10)


def refuse(tx: Any) -> None:
    raise Conflict("no")


def test_what_one_turn_asks_for_goes_over_at_once() -> None:
    async def play() -> None:
        given: list[list[Asked]] = []
        turn = Turn(given.append)
        for _ in range(3):
            turn.ask(refuse)
        assert given == []
        await asyncio.sleep(0)
        turn.ask(refuse)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [len(asked) for asked in given] == [3, 1]

    asyncio.run(play())


def test_many_tasks_take_one_batch(engine: SqliteEngine) -> None:
    async def play() -> list[int]:
        return await asyncio.gather(*(engine.ask(put(f"k{n}")) for n in range(50)))

    assert asyncio.run(play()) == [1] * 50
    assert (engine.batches, engine.operations) == (1, 50)
    assert len(keys(engine)) == 50


def test_a_refusal_reaches_who_asked_and_no_other(engine: SqliteEngine) -> None:
    async def play() -> list[Any]:
        asked = (engine.ask(put("k1")), engine.ask(refuse), engine.ask(put("k2")))
        return await asyncio.gather(*asked, return_exceptions=True)

    first, refused, last = asyncio.run(play())
    assert (first, type(refused), last) == (1, Conflict, 1)
    assert keys(engine) == ["k1", "k2"]


def test_what_is_cancelled_before_it_begins_is_left_undone(engine: SqliteEngine) -> None:
    async def play() -> None:
        wanted, not_wanted = engine.ask(put("k1")), engine.ask(put("k2"))
        not_wanted.cancel()
        await wanted

    asyncio.run(play())
    assert keys(engine) == ["k1"]


def test_an_answer_for_one_who_has_gone_meanwhile_is_dropped() -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        gone, there, refused = loop.create_future(), loop.create_future(), loop.create_future()
        asked = [Asked(refuse, future) for future in (gone, there, refused)]
        assert [each.begin() for each in asked] == [True, True, True]
        gone.cancel()
        deliver(asked, ["a", "b", Failed(Conflict("no"))])
        assert await there == "b"
        with pytest.raises(Conflict):
            await refused
        assert gone.cancelled()

    asyncio.run(play())


def test_answers_for_a_loop_that_is_closed_are_dropped() -> None:
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    loop.close()
    deliver([Asked(refuse, future)], ["a"])
    assert not future.done()


def test_a_closed_store_takes_nothing_more(tmp_path: Path) -> None:
    async def play() -> None:
        engine = SqliteEngine(tmp_path, ManualClock())
        await asyncio.to_thread(engine.close)
        with pytest.raises(Unavailable, match="the store is closed"):
            await engine.ask(put("k1"))

    asyncio.run(play())


def test_what_goes_on_alone_is_left_undone_too_when_its_client_has_gone() -> None:
    async def play() -> list[bool]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        later = Asked(lambda tx: None, future, beside=True)._replace(begun=True)
        wanted = later.begin()
        future.cancel()
        return [wanted, later.begin()]

    assert asyncio.run(play()) == [True, False]
    begun: Future[None] = Future()
    assert Asked(lambda tx: None, begun).begin()
    assert Asked(lambda tx: None, begun, begun=True).begin()
