"""Waiting on a stream that cannot be woken: by a thread that is left behind when nobody waits any more."""

import threading
from collections.abc import Callable, Generator

import pytest
from tests.support.eventually import eventually

from contract.errors import Unavailable
from contract.sse import ServerEvent
from head.listen import Listener


class Stream:
    """A stream whose bytes the test sends; `closed` once nobody reads it."""

    def __init__(self) -> None:
        self.sent = threading.Event()
        self.closed = threading.Event()
        self.says: list[ServerEvent | Exception] = []
        self.beats = 0

    def follow(self, heard: Callable[[], None]) -> Generator[ServerEvent, None, None]:
        try:
            self.sent.wait(10)
            heard()
            for each in self.says:
                if isinstance(each, Exception):
                    raise each
                yield each
        finally:
            self.closed.set()

    def beat(self) -> None:
        self.beats += 1


@pytest.fixture
def stream() -> Stream:
    return Stream()


def test_an_event_ends_the_waiting(stream: Stream) -> None:
    listener = Listener(stream.follow, stream.beat)
    assert listener.wait(0) is None
    stream.says = [ServerEvent("job.created", "{}", "c")]
    stream.sent.set()
    assert listener.wait(10) is True
    assert (stream.closed.is_set(), stream.beats) == (True, 1)


def test_a_stream_that_ends_has_told_nothing(stream: Stream) -> None:
    stream.sent.set()
    assert Listener(stream.follow, stream.beat).wait(10) is False


def test_a_stream_that_breaks_says_so(stream: Stream) -> None:
    stream.says = [Unavailable("away")]
    stream.sent.set()
    with pytest.raises(Unavailable):
        Listener(stream.follow, stream.beat).wait(10)


def test_one_that_is_left_closes_its_stream_with_the_next_bytes(stream: Stream) -> None:
    listener = Listener(stream.follow, stream.beat)
    listener.leave()
    stream.says = [ServerEvent("job.created", "{}", "c")]
    stream.sent.set()
    assert stream.closed.wait(10)
    eventually(lambda: listener.wait(0) is False, what="its end")
    assert stream.beats == 0
