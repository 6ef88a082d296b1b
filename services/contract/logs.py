"""One JSON line per event on standard error, with bound fields; tokens and bodies never.

Call `configure` once at start; everyone else takes `structlog.get_logger()`.
"""

import logging
import sys
from typing import Any

import structlog

from contract.redaction import redact

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
LEVELS = tuple(_LEVELS)


def _redacted(_logger: Any, _name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Mask anything in a text field that has the form of a secret: the last line of defence, not the first."""
    return {k: redact(v) if isinstance(v, str) else v for k, v in event.items()}


def configure(role: str, level: str = "info", **fields: str) -> None:
    """Set up structlog and the standard library's root logger for one process; `fields` stand in every line."""
    bound = {"role": role, **fields}

    def add_bound(_logger: Any, _name: str, event: dict[str, Any]) -> dict[str, Any]:
        # Not by contextvars: a thread begins with none of them.
        return bound | event

    shared: list[Any] = [
        add_bound,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redacted,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(_LEVELS[level], logging.WARNING))
