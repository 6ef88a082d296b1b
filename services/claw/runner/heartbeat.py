"""The heartbeat of a held job: it keeps the lease, carries progress, writes the lease file and learns of the end."""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
import structlog

from claw import leasefile
from claw.leash import Leash
from claw.state import Held
from contract import trace
from contract.client import SpineClient
from contract.clock import parse_iso
from contract.errors import Forbidden, Gone, NotFound, NotOwner, NotRunning, SpineError, StaleFence, Unauthorized
from contract.wire import CommentRecord, Job

Answer = Literal["held", "stale", "ended", "cancelled", "locked out", "unknown"]
"""held: the lease is extended. stale: another claim was made. ended: not running. locked out: the spine does not know
our token (any more). unknown: no usable answer.
"""

log = structlog.get_logger()


def ask(client: SpineClient, job_id: str, fence: int, progress: Any = msgspec.UNSET) -> tuple[Answer, Job | None, str]:
    """Beat once; returns the answer's meaning, the job when held, and a text for people."""
    try:
        return "held", client.heartbeat(job_id, fence, progress), ""
    except StaleFence as e:
        return "stale", None, f"another claim was made ({e.detail})"
    except NotRunning as e:
        cancelled = e.members.get("status") == "cancelled" or bool(e.members.get("cancelRequested"))
        return ("cancelled" if cancelled else "ended"), None, f"the job is {e.members.get('status', 'not running')}"
    except (NotOwner, NotFound, Gone, Forbidden) as e:
        return "ended", None, e.detail
    except Unauthorized as e:
        return "locked out", None, f"the spine refuses this claw's token: {e.detail}"
    except SpineError as e:
        return "unknown", None, f"{e.code}: {e.detail}"


class Beater:
    """Beats on a thread of its own until stopped; pulls the leash when the job is not ours any more.

    While the spine cannot be reached the work goes on: its result is kept late, and the lease file refuses a push.
    `heed` gets all comments of the job with every beat.
    """

    def __init__(
        self,
        client: SpineClient,
        held: Held,
        leash: Leash,
        lease_path: Path,
        every_seconds: float,
        heed: Callable[[list[CommentRecord]], None] = lambda comments: None,
    ) -> None:
        self._heed = heed
        self._client, self._leash, self._path, self._every = client, leash, lease_path, every_seconds
        self._job_id, self._fence, self._trace = held.job_id, held.fence, trace.named(held.traceparent())
        self._progress: Any = msgspec.UNSET
        self._wake = threading.Event()
        self._stopping = False
        self._one = threading.Lock()
        self._thread = threading.Thread(target=self._loop, name="heartbeat", daemon=True)
        self.last: Answer = "unknown"

    def start(self) -> None:
        """Begin to beat; the first beat goes out `every_seconds` from now (call `beat` for one at once)."""
        self._thread.start()

    def stop(self) -> None:
        """Stop beating; the lease file then says that nothing is held."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)
        self._write(held=False, seconds=0)

    def tell(self, progress: dict[str, Any]) -> None:
        """Set the progress and send it soon."""
        self._progress = progress
        self._wake.set()

    def beat(self) -> Answer:
        """Beat now, on the caller's thread."""
        with self._one:
            sent_wall, sent_boot = time.time(), leasefile.boot_seconds()
            self.last, job, detail = ask(self._client, self._job_id, self._fence, self._progress)
            if job is not None:
                self._write(held=True, seconds=_lease_seconds(job), wall=sent_wall, boot=sent_boot)
                self._heed(job.comments)
            elif self.last == "unknown":
                log.warning("claw.heartbeat_failed", why=detail, **self._about())
            else:
                self._write(held=False, seconds=0)
                log.warning("claw.lost", answer=self.last, why=detail, **self._about())
                self._leash.pull("lost", detail)
        return self.last

    def beat_until_known(self) -> Answer:
        """Beat until the spine has said whether the job is still ours, or the leash is pulled."""
        answer = self.beat()
        while answer == "unknown" and not self._leash.wait(min(self._every, 5.0)):
            answer = self.beat()
        return answer

    def _loop(self) -> None:
        while not self._stopping:
            # Jitter, so that a fleet started at once does not march in step.
            self._wake.wait(self._every * random.uniform(0.85, 1.0))
            self._wake.clear()
            if self._stopping or self._leash.why == "lost":
                return
            try:
                self.beat()
            except Exception:
                log.exception("claw.heartbeat_broke", **self._about())

    def _about(self) -> dict[str, Any]:
        return {"job_id": self._job_id, "fence": self._fence, "request_id": self._client.request_id, **self._trace}

    def _write(self, *, held: bool, seconds: float, wall: float = 0.0, boot: float = 0.0) -> None:
        lease = leasefile.Lease(self._job_id, self._fence, held, wall + seconds, boot + seconds, leasefile.boot_id())
        try:
            leasefile.write(self._path, lease)
        except OSError as e:
            # Without a fresh file the old one runs out, which refuses a push: the safe side.
            log.warning("claw.lease_file_failed", job_id=self._job_id, fence=self._fence, why=str(e))


def _lease_seconds(job: Job) -> float:
    """Return the lease's length by the spine's own clock, so that ours may be wrong."""
    if job.lease_until is None:
        return 0.0
    return max(0.0, (parse_iso(job.lease_until) - parse_iso(job.updated_at)) / 1000)
