"""How long a run may be silent: a deadline that moves with its activity, then two nudges, then the end."""

import contextlib

import msgspec

from dispatch.gateway.rows import View

MOST_SECONDS = 4 * 3600
"""However active: a run is not watched for longer than this, or than its own timeout and two minutes."""


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds. `flat`: no activity for so long counts as silence; after each nudge as many as named so are waited."""

    poll: float = 20.0
    ping: float = 60.0
    retry: float = 30.0
    settle: float = 0.3
    slack: float = 120.0
    flat: float = 180.0
    nudge: float = 30.0
    last_nudge: float = 60.0
    lease_wait: float = 5.0


class State(msgspec.Struct, kw_only=True):
    """What a watcher hands to the next one. Times are epoch ms."""

    deadline: int
    active: int
    shape: list[int | None] | None = None
    stage: int = 0
    since: int = 0
    extended: bool = False


class Patience:
    """Watches one run's activity. `began` is epoch ms, `timeout` its own timeout in seconds.

    Args:
        former: the state that a watcher before has left.
    """

    def __init__(self, timings: Timings, began: int, timeout: int, former: object = None) -> None:
        self._timings = timings
        limit = timeout + timings.slack
        self._most = began + int(max(limit, MOST_SECONDS) * 1000)
        self.state = State(deadline=began + int(limit * 1000), active=began)
        if former is not None:
            with contextlib.suppress(msgspec.ValidationError):
                self.state = msgspec.convert(former, State)

    def seen(self, now: int) -> None:
        """Note activity: an event of the agent's."""
        self.state.active, self.state.stage = now, 0

    def step(self, view: View, now: int) -> str | None:
        """Return what to do now: None, `nudge`, `last nudge`, or `abort`.

        The session's messages and tokens are its activity; our own nudges are none.
        """
        state = self.state
        theirs = [message for message in view.messages if message.role != "user"]
        shape = [len(theirs), theirs[-1].timestamp if theirs else None, view.row.total_tokens if view.row else None]
        if shape != state.shape:
            first, state.shape = state.shape is None, shape
            if not first:
                self.seen(now)
        if now >= self._most:
            return "abort"
        if now < max(state.deadline, state.active + int(self._timings.flat * 1000)):
            return None
        if state.stage == 0 and not state.extended and theirs and theirs[-1].tools:
            state.extended = True  # in the middle of a tool's call: that may take its time, once
            state.deadline = now + int(self._timings.flat * 1000)
            return None
        waited = now - state.since
        if state.stage == 2:
            return "abort" if waited >= int(self._timings.last_nudge * 1000) else None
        if state.stage == 1 and waited < int(self._timings.nudge * 1000):
            return None
        state.stage, state.since = state.stage + 1, now
        return "nudge" if state.stage == 1 else "last nudge"
