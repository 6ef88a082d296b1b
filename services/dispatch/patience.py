"""How long a run may be silent: a deadline that moves with its activity, then two nudges, then the end."""

import msgspec

from dispatch.gateway.rows import View

MOST_SECONDS = 4 * 3600
"""However active: a run is not watched for longer than this, or than its own timeout and two minutes."""


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds. `flat`: no activity for so long counts as silence; after each nudge as many as named so are waited."""

    poll: float = 20.0
    tick: float = 1.0
    ping: float = 60.0
    retry: float = 30.0
    settle: float = 0.3
    slack: float = 120.0
    flat: float = 180.0
    nudge: float = 30.0
    last_nudge: float = 60.0
    lease_wait: float = 5.0


class Patience:
    """Watches one run's activity. `began` is epoch ms, `timeout` its own timeout in seconds."""

    def __init__(self, timings: Timings, began: int, timeout: int) -> None:
        self._timings = timings
        self._deadline = began + int((timeout + timings.slack) * 1000)
        self._most = began + int(max(timeout + timings.slack, MOST_SECONDS) * 1000)
        self._shape: tuple[object, ...] | None = None
        self._active = began
        self._stage = 0
        self._since = 0
        self._extended = False

    def seen(self, now: int) -> None:
        """Note activity: an event of the session."""
        self._active = now
        self._stage = 0

    def step(self, view: View, now: int) -> str | None:
        """Return what to do now: None, `nudge`, `last nudge`, or `abort`.

        The session's messages and tokens are its activity; our own nudges are none.
        """
        theirs = [message for message in view.messages if message.role != "user"]
        shape = (len(theirs), theirs[-1].timestamp if theirs else None, view.row.total_tokens if view.row else None)
        if shape != self._shape:
            first = self._shape is None
            self._shape = shape
            if not first:
                self.seen(now)
        if now >= self._most:
            return "abort"
        if now < max(self._deadline, self._active + int(self._timings.flat * 1000)):
            return None
        if self._stage == 0 and not self._extended and theirs and theirs[-1].tools:
            self._extended = True  # in the middle of a tool's call: that may take its time, once
            self._deadline = now + int(self._timings.flat * 1000)
            return None
        waited = now - self._since
        if self._stage == 2:
            return "abort" if waited >= int(self._timings.last_nudge * 1000) else None
        if self._stage == 1 and waited < int(self._timings.nudge * 1000):
            return None
        self._stage, self._since = self._stage + 1, now
        return "nudge" if self._stage == 1 else "last nudge"
