"""A ledger outside the spine: an append-only file to which every run of a job writes lines of its own."""

import shlex
from collections import Counter
from pathlib import Path
from typing import NamedTuple


class Entry(NamedTuple):
    """One line: which attempt of which job came to which mark."""

    job_id: str
    fence: int
    mark: str


class Ledger:
    """The file, and the shell line that writes to it.

    Args:
        seen_as: its path where jobs run, when that is another one.
    """

    def __init__(self, path: Path, seen_as: str | None = None) -> None:
        self.path, self._seen_as = path, seen_as or str(path)
        path.touch()

    def note(self, mark: str) -> str:
        """Return a shell command that appends a line (`>>` opens with O_APPEND, and one short write is whole)."""
        return f'echo "$SPINE_JOB_ID $SPINE_FENCE {mark}" >> {shlex.quote(self._seen_as)}'

    def entries(self, job_id: str | None = None) -> list[Entry]:
        """Return all lines, or those of a job, in the order in which they were written."""
        words = [line.split() for line in self.path.read_text().splitlines()]
        found = [Entry(job, int(fence), mark) for job, fence, mark in words]
        return [entry for entry in found if job_id in (None, entry.job_id)]

    def marks(self, job_id: str, fence: int | None = None) -> list[str]:
        """Return the marks of a job, or of one attempt, in order."""
        return [entry.mark for entry in self.entries(job_id) if fence in (None, entry.fence)]

    def repeated(self) -> list[Entry]:
        """Return what one and the same attempt did more than once: never right."""
        return [entry for entry, times in Counter(self.entries()).items() if times > 1]
