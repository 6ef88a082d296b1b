"""A clock that moves only when a test says so."""

START_MS = 1_700_000_000_000


class ManualClock:
    """Wall and monotonic time, set by the test."""

    def __init__(self, now: int = START_MS) -> None:
        self.wall = now
        self.mono = 0.0

    def now(self) -> int:
        """Return the wall time (ms)."""
        return self.wall

    def monotonic(self) -> float:
        """Return the monotonic time (s)."""
        return self.mono

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.wall += round(seconds * 1000)
        self.mono += seconds

    def jump(self, seconds: float) -> None:
        """Let the wall clock run ahead alone: the machine slept."""
        self.wall += round(seconds * 1000)
