"""Seeing that the machine has slept: the wall clock ran ahead of the monotonic one."""

from contract.clock import Clock, JumpDetector

SLEPT_MS = 5_000
"""Smaller jumps are a clock being set right, or a busy machine."""


class SleepWatch:
    """Asked on a timer; a machine that slept is seen at the first question after it woke."""

    def __init__(self, clock: Clock) -> None:
        self._jumps = JumpDetector(clock)

    def slept_ms(self) -> int:
        """Return for how long (ms) the machine slept since the last question; 0 for no sleep."""
        ahead = self._jumps.jump_ms()
        return ahead if ahead >= SLEPT_MS else 0
