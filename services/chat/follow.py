"""The one stream of events: it tells of jobs that end, so that nobody who waits asks again and again."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import closing

import msgspec
import structlog

from contract.errors import Gone, NotFound, SpineError, Unauthorized
from contract.head_client import HeadClient
from contract.states import TERMINAL, TRANSITIONS

_log = structlog.get_logger()

_FIRST_WAIT, _LONGEST_WAIT = 0.25, 5.0
ENDS = frozenset(row.event for row in TRANSITIONS.values() if row.target in TERMINAL)
"""Types of events behind which a job may have ended."""


class _About(msgspec.Struct, rename="camel"):
    job_id: str | None = None


class Follower:
    """Reads the stream on a thread of its own, over lost connections, on the event loop of whoever is told.

    Whenever a connection stands anew, `renewed` is told: whoever waits looks at his job once more. So nothing is
    missed, and nobody asks again and again.
    """

    def __init__(
        self,
        client: HeadClient,
        loop: asyncio.AbstractEventLoop,
        ended: Callable[[str], object],
        renewed: Callable[[], object],
        locked: Callable[[str], object],
    ) -> None:
        self._client, self._loop = client, loop
        self._ended, self._renewed, self._locked = ended, renewed, locked
        self._job_id = ""
        self._began = False
        self._pause = threading.Event()
        self.connected = False

    def begin(self, job_id: str) -> None:
        """Follow from this job's creation on, unless it is followed already. The job must be there."""
        self._job_id = job_id
        if not self._began:
            self._began = True
            threading.Thread(target=self._run, name="events", daemon=True).start()

    def _run(self) -> None:
        wait, cursor = _FIRST_WAIT, None
        while True:
            try:
                if cursor is None:
                    # Where its own events begin, not from now on: it may have ended since it was made.
                    cursor = self._client.events(job_id=self._job_id, limit=1).next_cursor
                with closing(self._client.follow_events(cursor, heard=self._heard)) as stream:
                    for event in stream:
                        wait = _FIRST_WAIT
                        cursor = event.id or cursor
                        self._pass_on(event.event, event.data)
            except (NotFound, Gone):
                cursor = None
            except Unauthorized:
                self._renew()
            except SpineError as e:
                _log.warning("chat.stream_lost", code=e.code, why=e.detail)
            except Exception:  # noqa: BLE001 - the outermost turn of the thread: without it nobody hears of an end
                _log.exception("chat.stream_broke")
            self.connected = False
            if self._loop.is_closed():
                return
            self._pause.wait(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    def _renew(self) -> None:
        """Look for a newer token, which a stream by itself does not; without one, say that we are locked out."""
        try:
            self._client.jobs(limit=1)
        except Unauthorized as e:
            self._tell(self._locked, e.detail)
        except SpineError as e:
            _log.warning("chat.stream_lost", code=e.code, why=e.detail)

    def _heard(self) -> None:
        if not self.connected:
            self.connected = True
            self._tell(self._renewed)

    def _pass_on(self, kind: str, data: str) -> None:
        if kind == "gap":
            self._tell(self._renewed)
        elif kind in ENDS:
            job_id = msgspec.json.decode(data, type=_About).job_id
            if job_id is not None:
                self._tell(self._ended, job_id)

    def _tell(self, what: Callable[..., object], *args: str) -> None:
        try:
            self._loop.call_soon_threadsafe(what, *args)
        except RuntimeError:
            return  # the loop is closed: nobody listens any more
