"""Waiting for a job to end, with a live line where there is a terminal and a line for every change elsewhere."""

import threading
import time
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.text import Text

from contract import told
from contract.head_client import HeadClient
from contract.wire import Job
from head import words
from head.boardview import bar, lease
from head.logtail import LogTail, keep_up
from head.screen import Screen
from head.watch import Lost, looks
from head.words import Line

_LOG_LINES = 5
_BAR = 16


def wait(client: HeadClient, screen: Screen, job_id: str, quiet: bool = False) -> Job:
    """Follow a job and return it as it ended; `quiet` prints nothing (one JSON document comes after).

    Raises:
        SpineError: one that a repeat does not mend.
    """
    if quiet or not screen.live:
        return _follow(client, job_id, _View(screen, client, quiet))
    tail = LogTail(_LOG_LINES)
    # Ends with the log, or with the process.
    threading.Thread(target=keep_up, args=(client, job_id, tail), daemon=True).start()
    view = _View(screen, client, quiet, tail)
    with Live(view, console=screen.out, refresh_per_second=8, transient=True):
        return _follow(client, job_id, view)


def _follow(client: HeadClient, job_id: str, view: "_View") -> Job:
    job: Job | None = None
    for look in looks(client, job_id, time.sleep):
        if isinstance(look, Lost):
            view.lost(look.why)
        else:
            view.show(job, look)
            job = look
    assert job is not None  # noqa: S101 - looks ends only after a job that has ended
    return job


class _View:
    """What is known of the job; rendered again and again by the live line, so that spinner and clock move."""

    def __init__(self, screen: Screen, client: HeadClient, quiet: bool, tail: LogTail | None = None) -> None:
        self._screen, self._client, self._quiet, self._tail = screen, client, quiet, tail
        self._job: Job | None = None
        self._lost = ""
        self._stale: Any = None
        self._since = time.monotonic()
        self._spinner = Spinner("dots")

    def show(self, before: Job | None, now: Job) -> None:
        """Tell what is new."""
        if self._lost:
            self._say(Line("the spine answers again", "green"))
            self._lost = ""
        if before is not None and before.fence != now.fence:
            self._stale = now.progress
        self._job = now
        for line in words.changes(before, now):
            self._say(line)

    def lost(self, why: str) -> None:
        """Tell that the spine is away."""
        self._lost = why
        self._say(Line(f"the spine does not answer, trying until it does ({why})", "red"))

    def _say(self, line: Line) -> None:
        if not self._quiet:
            self._screen.say(line)

    def __rich__(self) -> RenderableType:
        job, passed = self._job, words.span(float(int(time.monotonic() - self._since)))
        found = Text(no_wrap=True, overflow="ellipsis")
        found.append(f"{self._spinner.render(time.monotonic())} ")
        if self._lost:
            found.append("waiting for the spine", "red")
        elif job is not None:
            at_work = job.status == "running" and job.progress != self._stale
            found.append(job.status, words.style(job.status)).append("  ")
            if at_work:
                done = bar(told.percent(job.progress), _BAR)
                found.append_text(done).append("  " if done else "")
            found.append(words.phase(job.progress) if at_work else words.what(job)[:60])
            if job.lease_until is not None:
                found.append("  lease ", "dim").append_text(lease(job, self._client.time.now()))
        found.append(f"  {passed}", "dim")
        log = [] if self._tail is None else self._tail.lines()
        return Group(*(Padding(line, (0, 0, 0, 2)) for line in log), found)
