"""Waiting for a job to end, with a live line where there is a terminal and a line for every change elsewhere."""

import time
from typing import Any

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from contract import told
from contract.client import SpineClient
from contract.wire import Job
from head import words
from head.screen import Screen
from head.watch import Lost, looks
from head.words import Line


def wait(client: SpineClient, screen: Screen, job_id: str, quiet: bool = False) -> Job:
    """Follow a job and return it as it ended; `quiet` prints nothing (one JSON document comes after).

    Raises:
        SpineError: one that a repeat does not mend.
    """
    view = _View(screen, quiet)
    if quiet or not screen.live:
        return _follow(client, job_id, view)
    with Live(view, console=screen.out, refresh_per_second=8, transient=True):
        return _follow(client, job_id, view)


def _follow(client: SpineClient, job_id: str, view: "_View") -> Job:
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

    def __init__(self, screen: Screen, quiet: bool) -> None:
        self._screen, self._quiet = screen, quiet
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

    def __rich__(self) -> Table:
        job, passed = self._job, words.span(float(int(time.monotonic() - self._since)))
        row = Table.grid(padding=(0, 1))
        cells: list[Spinner | Text | ProgressBar] = [self._spinner]
        if self._lost:
            cells.append(Text("waiting for the spine", "red"))
        elif job is not None:
            at_work = job.status == "running" and job.progress != self._stale
            cells.append(Text(job.status, words.style(job.status)))
            cells.append(Text(words.phase(job.progress) if at_work else words.what(job)[:60]))
            done = told.percent(job.progress)
            if done is not None and at_work:
                cells.append(ProgressBar(total=100, completed=done, width=24, complete_style="yellow"))
        cells.append(Text(passed, "dim"))
        row.add_row(*cells)
        return row
