"""What a client holds while runs go on: the events that wake it, and the answer that is still to come."""

import threading
import time
from collections import deque

from dispatch.gateway.frames import Response, Told
from dispatch.gateway.link import Call, Link, left
from dispatch.gateway.rows import Event, Final, final_from

_REASONS_MOST = 1000


class Events:
    """What the gateway told unasked, the newest thousand: reasons to look earlier."""

    def __init__(self) -> None:
        self._found: deque[Event] = deque(maxlen=1000)
        self._reasons: dict[str, str] = {}
        self._changed = threading.Condition()

    def put(self, told: Told) -> None:
        """Add one; called by the reading thread."""
        payload = told.payload if isinstance(told.payload, dict) else {}
        event = Event(name=told.event, payload=payload)
        with self._changed:
            if event.run_id is not None and event.reason is not None:
                self._reasons[event.run_id] = event.reason
                while len(self._reasons) > _REASONS_MOST:
                    del self._reasons[next(iter(self._reasons))]
            self._found.append(event)
            self._changed.notify_all()

    def reason(self, run_id: str) -> str | None:
        """Return the class of cause that the gateway told last of this run's failures; None when it told none."""
        with self._changed:
            return self._reasons.get(run_id)

    def next(self, seconds: float, key: str | None = None) -> Event | None:
        """Take the oldest event (about the session `key`, when it is named), or None when none came in time.

        The end of the link wakes too, as an event named `link`.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                while self._found:
                    event = self._found.popleft()
                    if key is None or event.key == key or event.name in ("link", "shutdown"):
                        return event
                if not self._changed.wait(left(deadline)) and not self._found:
                    return None


class Accepted:
    """A message that the gateway took. `session_key` is the gateway's word (v4), else the key that was asked for."""

    def __init__(self, run_id: str, session_key: str, status: str, link: Link, call: Call, final: Final | None) -> None:
        self.run_id, self.session_key, self.status = run_id, session_key, status
        self._link, self._call, self._final = link, call, final

    @property
    def repeated(self) -> bool:
        """The gateway had this idempotency key already: no second run was begun."""
        return self.status != "accepted"

    def final(self, seconds: float) -> Final | None:
        """Wait for the end of the run; None when it is not over by then.

        When the run was under way already (`repeated`), only the call that began it is told of its end: ask `wait`.

        Raises:
            Unreachable: the link broke, and with it this answer; the run may go on: ask `wait` and `describe`.
        """
        deadline = time.monotonic() + seconds
        while self._final is None:
            answer = self._call.next(left(deadline))
            if answer is None:
                return None
            if answer.ok and answer.members.get("status") in ("accepted", "in_flight"):
                continue
            self._final = final_of(self.run_id, answer)
        self._link.forget(self._call)
        return self._final


def final_of(run_id: str, answer: Response) -> Final:
    """Read an answer that tells how a run ended."""
    return final_from(run_id, answer.ok, answer.members, answer.error or {})
