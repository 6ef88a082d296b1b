"""Writers beside each other: what is asked for while one writes is one batch, and nobody waits long for more."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from spine.store import handover, writer
from spine.store.engine import Operation, Signals
from spine.store.writer import Writer

LONG = 60.0


class Noted(Writer):
    """Notes of how many operations each batch is; `at_statements` is called as one is written."""

    refused, failed = (), RuntimeError

    def __init__(self) -> None:
        super().__init__(readers=1, besides=3)
        self.sizes: list[int] = []
        self.at_statements: Callable[[], object] = lambda: None
        self.start()

    def _transact(self, operations: list[Operation[Any]]) -> tuple[list[Any], Signals]:
        raise NotImplementedError

    def _transact_beside(self, operations: list[Operation[Any]]) -> tuple[list[Any], Signals]:
        self.sizes.append(len(operations))
        self.at_statements()
        self._gate.leave()
        return [None] * len(operations), Signals()

    def _read(self, operation: Operation[Any]) -> Any:
        raise NotImplementedError

    def _fault(self, error: Exception) -> Exception:
        return error

    def _given_up(self, error: Exception) -> None:
        raise NotImplementedError

    def some(self, count: int) -> list[Future[None]]:
        return [self.write(lambda _tx: None, beside=True) for _ in range(count)]


class Stop:
    """Holds up the first batch at its statements until it is let go."""

    def __init__(self, of: Noted) -> None:
        self._of, self._inside, self._gate = of, threading.Event(), threading.Event()
        of.at_statements = self._wait
        self.batch = of.some(1)
        assert self._inside.wait(10)

    def _wait(self) -> None:
        self._of.at_statements = lambda: None
        self._inside.set()
        assert self._gate.wait(10)

    def let_go(self) -> None:
        self._gate.set()


@pytest.fixture
def noted() -> Iterator[Noted]:
    found = Noted()
    yield found
    found.finish()


def results(futures: list[Future[None]]) -> int:
    return len([future.result(10) for future in futures])


def test_what_is_asked_for_while_a_batch_is_written_is_one(noted: Noted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "GATE_SECONDS", LONG)
    stop = Stop(noted)
    others = noted.some(5)
    stop.let_go()
    assert (results(stop.batch), results(others), noted.sizes) == (1, 5, [1, 5])


def test_a_batch_that_stands_still_holds_up_the_next_for_a_moment_alone(
    noted: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "GATE_SECONDS", 0.001)
    stop = Stop(noted)
    assert results(noted.some(2)) == 2
    stop.let_go()
    assert results(stop.batch) == 1


def test_a_batch_waits_for_as_many_as_the_one_before_it(noted: Noted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "GATE_SECONDS", LONG)
    monkeypatch.setattr(writer, "GATHER_SECONDS", LONG)
    stop = Stop(noted)
    several = noted.some(3)
    stop.let_go()
    assert results(several) == 3
    first = noted.some(1)
    assert not first[0].done()
    assert (results(first + noted.some(2)), noted.sizes) == (3, [1, 3, 3])


def test_a_lone_operation_waits_for_none(noted: Noted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GATHER_SECONDS", LONG)
    assert [results(noted.some(1)) for _ in range(3)] == [1, 1, 1]


def test_a_batch_that_waits_for_more_is_written_at_the_end(noted: Noted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "GATE_SECONDS", LONG)
    stop = Stop(noted)
    several = noted.some(3)
    stop.let_go()
    assert results(several) == 3
    monkeypatch.setattr(writer, "GATHER_SECONDS", LONG)
    last = noted.some(1)
    assert noted.finish()
    assert (last[0].done(), noted.sizes) == (True, [1, 3, 1])
