"""A machine that sleeps: Linux stops CLOCK_MONOTONIC meanwhile, and counts on in CLOCK_BOOTTIME."""

import time

import pytest

linux_only = pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="another system's clocks")


def sleep_of_the_machine(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have the machine slept for so long."""
    real = time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda which: real(which) + seconds * (which == time.CLOCK_BOOTTIME))
