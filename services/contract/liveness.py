"""Showing outsiders that a process goes on: a small file that it touches, for health checks. Not for its own logic."""

import os
import time
from pathlib import Path

import structlog

_log = structlog.get_logger()


class Beacon:
    """A file with the process's pid; its time of change (wall clock) is when the process last went on.

    Nothing of it needs to survive a crash, so it is not synced; and a disk that refuses it stops no work.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told = False

    def beat(self, busy_seconds: float = 0.0) -> None:
        """Say that the process goes on, and that the next word may be this much later than usual."""
        try:
            now = time.time() + busy_seconds
            if not self._told:
                self._path.write_text(f"{os.getpid()}\n", encoding="ascii")
                self._told = True
            os.utime(self._path, (now, now))
        except OSError as e:
            self._told = False
            _log.warning("liveness.refused", path=str(self._path), error=str(e))
