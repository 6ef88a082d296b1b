"""Waiting for something to become true, with a deadline: never a bare sleep in a test."""

import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

from contract.client import SpineClient
from contract.errors import SpineError
from contract.wire import Job

T = TypeVar("T")


def eventually(look: Callable[[], T | None], seconds: float = 30.0, every: float = 0.02, what: str = "") -> T:
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


def until_status(head: SpineClient, job_id: str, *statuses: str, seconds: float = 30.0) -> Job:
    """Wait until a job has one of some statuses; a spine that is away meanwhile is waited for.

    Raises:
        AssertionError: with the job as it was seen last.
    """
    last: Job | None = None

    def look() -> Job | None:
        nonlocal last
        with contextlib.suppress(SpineError):
            last = head.job(job_id)
            return last if last.status in statuses else None
        return None

    try:
        return eventually(look, seconds, every=0.05, what=f"{job_id} {' or '.join(statuses)}")
    except AssertionError as e:
        raise AssertionError(f"{e}\nthe job: {last}") from None
