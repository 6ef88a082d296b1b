"""What is known of a request while it is served: its id, its route, who asks, about what; and the line of it."""

from collections.abc import Mapping
from typing import Any

import structlog

from contract import trace
from contract.requestid import HEADER, fresh, of_text

_log = structlog.get_logger()
_KEY = "spine.asked"
NAME = HEADER.lower().encode()
_TRACE = trace.HEADER.encode()
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
# Refusals of whoever knocks: they are counted at /metrics, and a line each would be the knocker's to fill a disk with.
_STRANGERS = frozenset({401, 429})
# Whoever waits for a lease asks all the time, and is told that another has it: nothing went wrong.
_WAITS = ("/leases/{name}/take", 409)


class Asked:
    """One request. `route`: the template, or which front it went to; None while, and where, there is none."""

    __slots__ = ("about", "caller", "id", "route", "trace")

    def __init__(self, request_id: str) -> None:
        self.id = request_id
        self.trace: bytes | None = None
        self.route: str | None = None
        self.caller: str | None = None
        self.about: dict[str, Any] = {}

    def note(self, **about: Any) -> None:
        """Note what it is about, as a line of the log names it: `job_id`, `fence`."""
        self.about.update(about)

    def tell(self, method: str, status: int, seconds: float) -> None:
        """Log that its answer has begun.

        A change that was refused or failed is worth a line; one that was made has its event in the store, and a line
        for each costs more than the servers' goal for a submit allows.
        """
        unknown = self.caller is None and status < 500  # whoever has no token writes no lines
        waits = (self.route, status) == _WAITS
        if method in _READS or status in _STRANGERS or self.route is None or unknown or waits:
            say = _log.debug
        elif status >= 500:
            say = _log.warning
        else:
            say = _log.info if status >= 400 else _log.debug
        say(
            "request",
            method=method,
            route=self.route,
            status=status,
            ms=round(seconds * 1000, 2),
            caller=self.caller,
            **self.about,
            **(trace.named(self.trace.decode("latin-1")) if self.trace else {}),
        )


def begin(scope: dict[str, Any]) -> Asked:
    """Take up a request: find its id, or make one, and have each line of the log that is about it carry it."""
    given = traced = None
    for name, value in scope["headers"]:
        if name == NAME:
            given = of_text(value.decode("latin-1"))
        elif name == _TRACE:
            traced = value
    asked = scope[_KEY] = Asked(given or fresh())
    asked.trace = traced
    structlog.contextvars.bind_contextvars(request_id=asked.id)
    return asked


def of(scope: Mapping[str, Any]) -> Asked:
    """Return what is known of a request. One that came past the server's application (a test's) is known of here."""
    found: Asked | None = scope.get(_KEY)
    return Asked("") if found is None else found


def current_id() -> str | None:
    """Return the id of the request that is being served in this context."""
    found: str | None = structlog.contextvars.get_contextvars().get("request_id")
    return found
