"""Where a node logs to: standard error, a file that is rotated, and the system's log under the tag clawster.

One line an event for people, with its fields behind it; what has the form of a secret is masked.
"""

import logging
import logging.handlers
import os
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import structlog

from cluster.settings import Logging
from contract.redaction import redact

TAG = "clawster"
_DEV_LOG = "/dev/log"


def configure(wanted: Logging, dev_log: str = _DEV_LOG) -> list[str]:
    """Set up the logs of this process; return what a person should be told: a place that cannot be logged to."""
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
    os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o640))
    return logging.handlers.RotatingFileHandler(
        path, maxBytes=max_bytes, backupCount=backup_count, encoding="utf-8", delay=True
    )


def _line(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> str:
    """Write an event as `event field=value …`."""
    trace = event.pop("exception", None)
    words = [str(event.pop("event"))]
    words += [f"{name}={value!r}" for name, value in event.items() if value is not None]
    said = redact(" ".join(words))
    return said if trace is None else f"{said}\n{trace}"
