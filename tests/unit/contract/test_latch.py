"""An event that may be set in a handler of a signal, at any moment of a wait."""

import random
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from contract.latch import Latch


@pytest.fixture
def alarm() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_wait_ends_at_its_time() -> None:
    latch = Latch()
    assert (latch.wait(0), latch.wait(0.01), latch.is_set()) == (False, False, False)


def test_all_that_wait_go_on() -> None:
    latch, seen = Latch(), []
    waiters = [threading.Thread(target=lambda: seen.append(latch.wait(30))) for _ in range(5)]
    for waiter in waiters:
        waiter.start()
    latch.set()
    for waiter in waiters:
        waiter.join(30)
    assert (seen, latch.wait(0), latch.is_set()) == ([True] * 5, True, True)


@pytest.mark.usefixtures("alarm")
def test_a_handler_may_set_it_whenever_it_runs() -> None:
    held: list[Latch] = []
    signal.signal(signal.SIGALRM, lambda *_: held[0].set())
    for _ in range(2000):
        held[:] = [Latch()]
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 60e-6))
        assert held[0].wait(30)


@pytest.mark.usefixtures("alarm")
def test_a_wait_in_the_main_thread_lets_handlers_run() -> None:
    latch, seen = Latch(), []
    signal.signal(signal.SIGALRM, lambda *_: (seen.append(time.monotonic()), latch.set()))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    begun = time.monotonic()
    assert latch.wait(60)
    assert len(seen) == 1
    assert time.monotonic() - begun < 30
