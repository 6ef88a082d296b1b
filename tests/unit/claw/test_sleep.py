"""Seeing that the machine slept."""

from claw.sleep import SleepWatch


class SetClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.wall, self.mono = 1_000_000, 10.0

    def now(self) -> int:
        return self.wall

    def monotonic(self) -> float:
        return self.mono


def test_sleep_is_seen_once_and_passing_time_is_not_sleep() -> None:
    clock = SetClock()
    watch = SleepWatch(clock)
    clock.wall, clock.mono = clock.wall + 60_000, clock.mono + 60
    assert watch.slept_ms() == 0
    clock.wall, clock.mono = clock.wall + 905_000, clock.mono + 5
    assert watch.slept_ms() == 900_000
    assert watch.slept_ms() == 0


def test_a_small_correction_of_the_clock_is_not_sleep() -> None:
    clock = SetClock()
    watch = SleepWatch(clock)
    clock.wall += 4_999
    assert watch.slept_ms() == 0
    clock.wall -= 60_000
    assert watch.slept_ms() == 0
