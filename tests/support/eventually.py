"""Waiting for something to become true, with a deadline: never a bare sleep in a test."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T | None], seconds: float = 10.0, every: float = 0.02, what: str = "") -> T:
    """Return the first truthy answer of `look`; an AssertionError inside it counts as not yet.

    Raises:
        AssertionError: it did not come in time; the message says what was seen last.
    """
    deadline = time.monotonic() + seconds
    while True:
        seen: object
        try:
            seen = found = look()
            if found:
                return found
        except AssertionError as e:
            seen = e
        if time.monotonic() > deadline:
            raise AssertionError(f"{what or 'it'} did not come within {seconds:g} s; seen last: {seen!r}")
        time.sleep(every)
