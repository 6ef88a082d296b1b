"""Where a node logs to: standard error, a file that is rotated, and the system's log under the tag clawster.

One line an event for people, with its fields behind it; what has the form of a secret is masked.
"""

import fcntl
import logging
import logging.handlers
import os
import sys
from collections.abc import MutableMapping
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import structlog

from cluster.settings import Logging
from contract.redaction import redact

TAG = "clawster"
_DEV_LOG = "/dev/log"
_MODE = 0o640


def configure(wanted: Logging, dev_log: str = _DEV_LOG) -> list[str]:
    """Set up the logs of this process; return what a person should be told: a place that cannot be logged to."""
    logging.raiseExceptions = False  # a place that has gone away since is no traceback on standard error at each line
    notes: list[str] = []
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if wanted.path is not None:
        try:
            handlers.append(_file(wanted.path, wanted.max_bytes, wanted.backup_count))
        except OSError as e:
            notes.append(f"{wanted.path}: not logged to: {e.strerror}")
    stamped = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")
    for handler in handlers:
        handler.setFormatter(stamped)
    if Path(dev_log).is_socket():
        try:
            system = logging.handlers.SysLogHandler(dev_log)
        except OSError as e:
            notes.append(f"{dev_log}: not logged to: {e.strerror}")
        else:
            system.ident = f"{TAG}: "
            system.append_nul = False
            system.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
            handlers.append(system)
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(wanted.level)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # a try that failed is told of by whoever made it
    use_logging()
    return notes


def use_logging() -> None:
    """Hand what is logged to the standard library, without a say in where that goes: it may be an agent's process."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            _line,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _file(path: Path, max_bytes: int, backup_count: int) -> logging.Handler:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, _MODE))
    return _SharedFile(path, maxBytes=max_bytes, backupCount=backup_count, encoding="utf-8", delay=True)


class _SharedFile(logging.handlers.RotatingFileHandler):
    """A file that several processes write, such as a node and a cron's heartbeats: one rotates it, the others follow.

    Each for itself would set aside what another has only begun, and push full files out before their time.
    """

    def _open(self) -> TextIOWrapper:
        handle = os.open(self.baseFilename, os.O_CREAT | os.O_APPEND | os.O_WRONLY, _MODE)
        return os.fdopen(handle, "a", encoding=self.encoding, errors=self.errors)

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        self._follow()
        return bool(super().shouldRollover(record))

    def doRollover(self) -> None:
        folder = os.open(Path(self.baseFilename).parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if not self._follow():
                super().doRollover()
        finally:
            os.close(folder)

    def _follow(self) -> bool:
        """Go on in the file that has the name now; tell whether it is another one."""
        try:
            named = Path(self.baseFilename).stat()
        except OSError:
            named = None
        if self.stream is None or (named is not None and os.path.samestat(named, os.fstat(self.stream.fileno()))):
            return False
        before, self.stream = self.stream, None  # where no other can be opened: the next line tries again
        before.close()
        self.stream = self._open()
        return True


def _line(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> str:
    """Write an event as `event field=value …`."""
    trace = event.pop("exception", None)
    words = [str(event.pop("event"))]
    words += [f"{name}={value!r}" for name, value in event.items() if value is not None]
    said = redact(" ".join(words))
    return said if trace is None else f"{said}\n{trace}"
