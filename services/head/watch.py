"""Following one job until it ends: news come by the event stream, the truth by reading the job.

A spine that goes away is waited for, however long: what it has acknowledged is on its disk.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import msgspec

from contract.client import SpineClient
from contract.errors import SpineError
from contract.wire import Job
from head.words import ended

_FIRST_WAIT, _LONGEST_WAIT = 0.25, 5.0


class Lost(NamedTuple):
    """The spine does not answer; it is asked again."""

    why: str


class _When(msgspec.Struct):
    at: str = ""


def looks(client: SpineClient, job_id: str, pause: Callable[[float], Any]) -> Iterator[Job | Lost]:
    """Yield the job at every change, the ended one last; `Lost` once for each time that the spine goes away.

    Args:
        client: one that does not retry by itself, so that a person is told at once.
        pause: waits that many seconds.

    Raises:
        SpineError: one that a repeat does not mend, such as NotFound and Unauthorized.
    """
    wait, cursor, told = _FIRST_WAIT, None, False
    while True:
        try:
            job = client.job(job_id)
            wait, told = _FIRST_WAIT, False
            yield job
            if ended(job):
                return
            with closing(client.follow_events(cursor, job_id)) as stream:
                for event in stream:
                    cursor = event.id or cursor
                    # The stream begins with the job's past; what is older than our look tells nothing new.
                    if event.event != "gap" and msgspec.json.decode(event.data, type=_When).at < job.updated_at:
                        continue
                    job = client.job(job_id)
                    yield job
                    if ended(job):
                        return
        except SpineError as e:
            if not e.retryable:
                raise
            if not told:
                told = True
                yield Lost(e.detail)
        pause(wait)
        wait = min(wait * 2, _LONGEST_WAIT)
