"""Clocks that never go back, jumps, and how times are written."""

import threading
import time

import pytest
from tests.suites.manual_clock import ManualClock

from contract.clock import JumpDetector, SystemClock, iso, iso_or_none, parse_iso


def test_the_clock_stands_still_until_a_wall_clock_set_back_has_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = [1000, 2000, 1500, 1999, 2000, 2001]
    monkeypatch.setattr(time, "time_ns", lambda: wall.pop(0) * 1_000_000)
    clock = SystemClock()
    assert [clock.now() for _ in range(6)] == [1000, 2000, 2000, 2000, 2000, 2001]


def test_it_never_goes_back_between_threads() -> None:
    clock, faults = SystemClock(), []
    newest = [0]
    lock = threading.Lock()

    def look() -> None:
        for _ in range(3000):
            with lock:
                before = newest[0]
            now = clock.now()
            if now < before:
                faults.append((before, now))
            with lock:
                newest[0] = max(newest[0], now)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_it_is_the_time() -> None:
    clock = SystemClock()
    assert abs(clock.now() - time.time() * 1000) < 5000
    first = clock.monotonic()
    assert clock.monotonic() >= first


def test_a_jump_is_seen_once() -> None:
    clock = ManualClock()
    jumps = JumpDetector(clock)
    assert jumps.jump_ms() == 0
    clock.advance(3600)
    assert jumps.jump_ms() == 0
    clock.jump(90)
    assert jumps.jump_ms() == 90_000
    assert jumps.jump_ms() == 0
    clock.advance(10)
    clock.jump(0.5)
    assert jumps.jump_ms() == 500


def test_a_wall_clock_that_lags_is_no_jump() -> None:
    clock = ManualClock()
    jumps = JumpDetector(clock)
    clock.mono += 60
    assert jumps.jump_ms() == 0
    clock.jump(60)  # it catches up: that is seen, which only costs some grace
    assert jumps.jump_ms() == 60_000


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
        (1_709_164_800_007, "2024-02-29T00:00:00.007Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_iso(ms: int, text: str) -> None:
    assert iso(ms) == text
    assert iso_or_none(ms) == text
    assert parse_iso(text) == ms


def test_none_has_no_time() -> None:
    assert iso_or_none(None) is None


@pytest.mark.parametrize("text", ["2023-11-14T23:13:20.123+01:00", "2023-11-14T22:13:20.123456+00:00"])
def test_other_ways_to_write_it(text: str) -> None:
    assert parse_iso(text) == 1_700_000_000_123


@pytest.mark.parametrize("text", ["", "yesterday", "2023-11-14T22:13:20", "2023-11-14", "1700000000"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError):
        parse_iso(text)
