"""Which of several heads acts: the holder of a named lease, which a thread of its own keeps.

A term ends here before it can end at the spine: its time counts from before the request that gave it, on a clock that
nobody sets and that goes on while the machine sleeps, and a tenth of it is left over. What was stopped in the middle of
an act is refused by the spine, because each call carries the lease's name and fence.
"""

import os
import secrets
import socket
import threading
from collections.abc import Callable
from typing import Any

import structlog

from contract.clock import since_boot
from contract.errors import LeaseHeld, NotFound, SpineError, StaleFence
from contract.lease_client import LeaseClient

_log = structlog.get_logger()
_KEPT = 0.9  # of the lease's time, while which this head acts
_RENEWALS = 3  # in the time of one lease
_LONGEST_PAUSE = 1.0  # between two tries to get it


class Deposed(Exception):
    """This head does not lead any more."""


class Term:
    """One time of leading, under one fence; `data` is what was kept with the lease when it was taken."""

    def __init__(self, lead: "Lead", fence: int, data: Any, ends: float) -> None:
        self.name, self.fence, self.data = lead.name, fence, data
        self._lead, self._ends = lead, ends
        self._over = threading.Event()

    @property
    def token(self) -> tuple[str, int]:
        """What each call that acts under this term carries."""
        return self.name, self.fence

    def holds(self) -> bool:
        """Tell whether this head may act now. Once over, a term stays over."""
        if not self._over.is_set() and self._lead.clock() >= self._ends:
            self.end()
        return not self._over.is_set()

    def require(self) -> None:
        """Let pass what a leader does.

        Raises:
            Deposed
        """
        if not self.holds():
            raise Deposed

    def wait(self, seconds: float) -> None:
        """Wait that long, or until the term is over."""
        self._over.wait(seconds)

    def keep(self, data: Any) -> None:
        """Keep something with the lease, for whoever leads next; that renews it.

        Raises:
            Deposed, SpineError
        """
        self.require()
        try:
            self._lead.renew(self, data)
        except (StaleFence, NotFound) as e:
            self.end()
            raise Deposed from e

    def extend(self, ends: float) -> None:
        """Go on until then, unless it is over: two renewals may be answered in another order than they were sent."""
        self._ends = max(self._ends, ends)

    def end(self) -> None:
        """End it."""
        self._over.set()


class Lead:
    """Takes the lease when it is free and renews it until `close`.

    Args:
        client: one that asks once and does not wait longer than a renewal may take (`call_seconds`).
        clock: seconds.
    """

    def __init__(
        self,
        client: LeaseClient,
        name: str,
        seconds: float,
        clock: Callable[[], float] = since_boot,
    ) -> None:
        self.name, self.seconds, self.clock = name, seconds, clock
        # One of a kind: a process that was started anew has not what the one before it has done.
        self.holder = f"{socket.gethostname()[:100]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._client = client
        self.rival: str | None = None  # who leads, when somebody else does
        self._term: Term | None = None
        self._fault: Exception | None = None
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lead", daemon=True)

    def start(self) -> "Lead":
        """Begin to try."""
        self._thread.start()
        return self

    def await_term(self, beat: Callable[[], None] = lambda: None) -> Term:
        """Return the term, once this head leads; `beat` is called about once a second until then.

        Raises:
            SpineError: one that a repeat does not mend.
        """
        while True:
            with self._changed:
                if self._fault is not None:
                    raise self._fault
                if self._term is not None and self._term.holds():
                    return self._term
                self._changed.wait(1.0)
            beat()

    def close(self) -> None:
        """Try no more, and give the lease up, so that another head can have it at once."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(2 * self.seconds)
        term = self._term
        if term is None:
            return
        term.end()
        try:
            self._client.release_lease(self.name, term.fence)
        except SpineError as e:
            _log.info("lead.not_released", lease=self.name, error=e.code)  # it ends by itself

    # --- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closing.wait(self.turn()):
                pass
        except Exception as e:  # noqa: BLE001 — the outermost turn of the thread: whoever waits for a term is told
            _log.exception("lead.failed")
            self._fail(e)

    def turn(self) -> float:
        """Renew the lease, or try to get it; return after how many seconds to do so again."""
        term = self._term
        pause = min(_LONGEST_PAUSE, self.seconds / 10)
        try:
            if term is not None and term.holds():
                self.renew(term)
                return self.seconds / _RENEWALS
            self.take()
            return self.seconds / _RENEWALS
        except (StaleFence, NotFound):
            self._become(None)
            return 0.0
        except LeaseHeld as e:
            self._become(None)
            self.rival = str(e.members.get("holder"))
        except SpineError as e:
            if not e.retryable:
                self._fail(e)
        return pause

    def take(self) -> None:
        """Begin a term.

        Raises:
            LeaseHeld, SpineError
        """
        before = self.clock()
        found = self._client.take_lease(self.name, self.holder, self.seconds)
        self.rival = None
        self._become(Term(self, found.fence, found.data, before + _KEPT * self.seconds))

    def renew(self, term: Term, data: Any = None) -> None:
        """Extend a term.

        Raises:
            StaleFence, NotFound, SpineError
        """
        before = self.clock()
        self._client.renew_lease(self.name, term.fence, self.seconds, data)
        term.extend(before + _KEPT * self.seconds)

    def _become(self, term: Term | None) -> None:
        with self._changed:
            if self._term is not None:
                self._term.end()
            self._term = term
            self._changed.notify_all()

    def _fail(self, fault: Exception) -> None:
        with self._changed:
            if self._term is not None:
                self._term.end()
            self._fault = fault
            self._changed.notify_all()
        self._closing.set()


def call_seconds(seconds: float) -> tuple[float, float]:
    """Return how long a call about the lease waits for a connection and for an answer: a second server is tried too."""
    return min(5.0, seconds / 6), min(20.0, seconds / 3)
