"""Showing outsiders that a process goes on: by a file for health checks, to a watchdog. Not for its own logic."""

import os
import time
from pathlib import Path

import structlog

from contract.sdnotify import Notifier

_log = structlog.get_logger()


class Beacon:
    """A file with the process's pid; its time of change (wall clock) is when the process last went on.

    The same beat feeds the service manager's watchdog, so that the two never disagree. Nothing of the file needs to
    survive a crash, so it is not synced; and a disk that refuses it stops no work.
    """

    def __init__(self, path: Path, notifier: Notifier | None = None) -> None:
        self._path = path
        self._told = False
        self._notifier = notifier or Notifier()

    def beat(self, busy_seconds: float = 0.0) -> None:
        """Say that the process goes on, and that the next word may be this much later than usual."""
        self._notifier.alive(busy_seconds)
        try:
            now = time.time() + busy_seconds
            if not self._told:
                self._path.write_text(f"{os.getpid()}\n", encoding="ascii")
                self._told = True
            os.utime(self._path, (now, now))
        except OSError as e:
            self._told = False
            _log.warning("liveness.refused", path=str(self._path), error=str(e))
