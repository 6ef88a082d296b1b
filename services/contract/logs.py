"""One line per event on standard error, with bound fields; tokens and bodies never.

JSON, unless a person looks on: a terminal gets words. What libraries say, and warnings, take the same way.

Call `configure` once at start; everyone else takes `structlog.get_logger()`.
"""

import logging
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any

import structlog

from contract.redaction import redact

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
LEVELS = tuple(_LEVELS)
FORMATS = ("auto", "json", "text")
Line = dict[str, Any]


def _of_library(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> Line:
    """Give what a library says an event's name: its own words are a text like any other."""
    record = event["_record"]
    return {**event, "event": "library.said", "logger": record.name, "message": event["event"]}


def renderer(form: str, terminal: bool) -> Any:
    """Return what writes a line: `form` is one of FORMATS, `terminal` whether a person looks on."""
    if form == "json" or (form == "auto" and not terminal):
        return structlog.processors.JSONRenderer()
    return _words


def _words(_logger: Any, _name: str, event: Line) -> str:
    """Write an event as `time level event field=value …`, with the trace of a fault below."""
    trace = event.pop("exception", None)
    words = [str(event.pop(name)) for name in ("timestamp", "level", "event")]
    words += [f"{name}={value!r}" for name, value in event.items() if value is not None]
    said = " ".join(words)
    return said if trace is None else f"{said}\n{trace}"


def configure(role: str, level: str = "info", form: str = "auto", hide: Iterable[str] = (), **fields: str) -> None:
    """Set up structlog and the standard library's root logger for one process; `fields` stand in every line.

    What has the form of a secret is masked, and so is what `hide` names, also in what libraries say: the last line of
    defence, not the first.
    """
    bound, hidden = {"role": role, **fields}, tuple(hide)

    def redacted(_logger: Any, _name: str, event: Line) -> Line:
        return {name: redact(value, hidden) if isinstance(value, str) else value for name, value in event.items()}

    def add_bound(_logger: Any, _name: str, event: Line) -> Line:
        # Not by contextvars: a thread begins with none of them.
        return bound | event

    shared: list[Any] = [
        add_bound,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redacted,
    ]
    render = renderer(form, sys.stderr.isatty())
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_of_library, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(_LEVELS[level], logging.WARNING))
    logging.captureWarnings(True)
