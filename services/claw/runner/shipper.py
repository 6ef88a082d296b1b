"""Sends the spool to the job's log at the spine, by offset, on a thread of its own."""

import threading
import time
from pathlib import Path

import structlog

from claw.process.spool import Spool
from claw.state import Held
from contract.client import SpineClient
from contract.errors import LogConflict, LogGap, SpineError

_MOST_BYTES = 512 << 10
_GATHER_SECONDS = 0.2
_RETRY_SECONDS = 2.0

log = structlog.get_logger()


class Shipper:
    """Follows a spool. A log that cannot be sent never fails the job: the spool is uploaded as build.log at the end."""

    def __init__(self, client: SpineClient, held: Held, spool: Spool) -> None:
        self._client, self._spool = client, spool
        self._job_id, self._fence = held.job_id, held.fence
        self.offset = held.log_offset
        self._closing: float | None = None
        self._given_up = False
        self._thread = threading.Thread(target=self._loop, name="log", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def close(self, seconds: float) -> bool:
        """Send the rest, for at most `seconds`; tells whether all has been sent."""
        self._closing = time.monotonic() + seconds
        with self._spool.grew:
            self._spool.grew.notify_all()
        self._thread.join(timeout=seconds + 5)
        return self.offset >= self._spool.size

    def _loop(self) -> None:
        try:
            with Path(self._spool.path).open("rb") as source:
                while not self._given_up:
                    source.seek(self.offset)
                    data = source.read(_MOST_BYTES)
                    if data:
                        self._send(data)
                    elif self._closing is not None:
                        return
                    else:
                        self._wait_for_more()
                    if self._closing is not None and time.monotonic() > self._closing:
                        return
        except Exception:
            log.exception("claw.log_broke", job_id=self._job_id, fence=self._fence)

    def _wait_for_more(self) -> None:
        with self._spool.grew:
            self._spool.grew.wait_for(lambda: self._spool.size > self.offset or self._closing is not None, timeout=5)
        if self._closing is None:
            time.sleep(_GATHER_SECONDS)  # let a little gather: one call for many lines

    def _send(self, data: bytes) -> None:
        try:
            self._client.append_log(self._job_id, self._fence, self.offset, data)
            self.offset += len(data)
        except LogGap as e:
            size = e.members.get("size")
            if isinstance(size, int) and 0 <= size < self.offset:
                self.offset = size
            else:
                self._give_up(e)
        except LogConflict as e:
            self._give_up(e)
        except SpineError as e:
            if not e.retryable:
                self._give_up(e)
            elif self._closing is None or time.monotonic() + _RETRY_SECONDS < self._closing:
                time.sleep(_RETRY_SECONDS)
            else:
                self._give_up(e)

    def _give_up(self, fault: SpineError) -> None:
        self._given_up = True
        log.warning(
            "claw.log_given_up",
            job_id=self._job_id,
            fence=self._fence,
            code=fault.code,
            offset=self.offset,
            request_id=self._client.request_id,
        )
