"""The journal of the one job that this claw holds: `current-job.json`, which is also the outbox, and its neighbours.

Every write is a temporary file, fsync, rename and fsync of the folder, so that power may go at any moment. A file that
cannot be read is set aside, never a reason to stop.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from claw.outcome import Outcome
from contract import trace
from contract.durable import sync_folder, write_durably
from contract.ids import new_worker_id
from contract.wire import Job


class ClaimTry(msgspec.Struct, rename="camel", kw_only=True):
    """A claim as it was or will be sent: the same key and body again is the same claim."""

    key: str
    targets: list[str] | None
    capabilities: list[str]
    wait: float


class PhaseDone(msgspec.Struct, rename="camel", kw_only=True):
    """One finished phase."""

    name: str
    exit_code: int
    seconds: float


class Held(msgspec.Struct, rename="camel", kw_only=True):
    """The file's content. Without `job` it is only a claim whose answer has not come.

    `worker_token` is the digest of the token that the worker was started with.
    `phase` is the index of the next phase to run, of `of`; `in_phase` is set while one runs. `work_sha` is what the
    work branch pointed to at the remote when the repository was cloned, "" for a branch that was not there.
    """

    version: int = 1
    claim: ClaimTry
    job_id: str = ""
    fence: int = 0
    job: Job | None = None
    mode: str = "worker"
    settle_key: str = ""
    claimed_at_ms: int = 0
    worker_pid: int | None = None
    worker_start: str | None = None
    worker_token: str | None = None
    folder: str | None = None
    restarts: int = 0
    phase: int = 0
    of: int = 0
    in_phase: bool = False
    phases: list[PhaseDone] = []
    ready: bool = False
    base_branch: str | None = None
    base_sha: str | None = None
    work_sha: str | None = None
    log_offset: int = 0
    outcome: Outcome | None = None

    def traceparent(self) -> str:
        """Return the span of this attempt (W3C trace context)."""
        return trace.of_attempt(self.job_id, self.fence, None if self.job is None else self.job.traceparent)

    def claimed(self) -> Job:
        """Return the job as it was claimed.

        Raises:
            LookupError: nothing has been claimed yet.
        """
        if self.job is None:
            raise LookupError("no job is held")
        return self.job

    def all_run(self) -> bool:
        """Tell whether every phase has been run: what is left is to publish and report."""
        return 0 < self.of <= self.phase and not self.in_phase


class Journal:
    """Reads and writes the state folder. One process at a time writes: the lock's holder, or the worker it started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "current-job.json"

    def open(self) -> None:
        """Make the folder, private to its owner."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.folder.stat().st_uid == os.getuid():
            self.folder.chmod(0o700)

    @contextmanager
    def lock(self, name: str = "lock") -> Iterator[bool]:
        """Hold the folder's lock, or another one in it; yields False at once when another process has it."""
        fd = os.open(self.folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(fd)

    def peek(self) -> tuple[Held | None, str | None]:
        """Return what is held, and why it could not be read when it could not; changes nothing."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return None, None
        try:
            held = msgspec.json.decode(raw, type=Held)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
            return None, f"{self.path} could not be read ({e})"
        return (held, None) if held.version == 1 else (None, f"{self.path} has the unknown version {held.version}")

    def load(self) -> tuple[Held | None, str | None]:
        """Return what is held, and a note when a file was broken and has been set aside."""
        held, fault = self.peek()
        if fault is None:
            return held, None
        aside = self._free_name(f"current-job.json.broken-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        self.path.rename(aside)
        sync_folder(self.folder)
        return None, f"{fault}; it was set aside as {aside.name}"

    def save(self, held: Held) -> None:
        """Write the state durably."""
        write_durably(self.path, msgspec.json.format(msgspec.json.encode(held), indent=1))

    @property
    def handed_token(self) -> Path:
        """Where a worker finds the token of the claw that has taken it up, when its own is refused."""
        return self.folder / "worker-token"

    def clear(self) -> None:
        """Forget the job: its result has been acknowledged, or there is nothing to report."""
        self.handed_token.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        sync_folder(self.folder)

    def keep_undelivered(self, held: Held, reason: str) -> Path:
        """Keep a copy of a report that the spine refused for good, with the reason beside it."""
        room = self.folder / "undelivered"
        room.mkdir(mode=0o700, exist_ok=True)
        path = self._free_name(f"undelivered/{safe_name(held.job_id)}-{held.fence}.json")
        body = {"reason": reason, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "state": held}
        write_durably(path, msgspec.json.format(msgspec.json.encode(body), indent=1))
        return path

    def worker_id(self, machine: str) -> str:
        """Return the id under which this folder claims, made once and kept."""
        path = self.folder / "worker-id"
        try:
            kept = path.read_text("utf-8").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            kept = ""
        if not kept or not kept.isascii() or not kept.isprintable():
            kept = new_worker_id(safe_name(machine.lower()))
            write_durably(path, kept.encode() + b"\n")
        return kept

    def _free_name(self, name: str) -> Path:
        path, n = self.folder / name, 1
        while path.exists():
            n += 1
            path = self.folder / f"{name}.{n}"
        return path


def safe_name(text: str) -> str:
    """Return `text` as a file name: what is not a letter, digit, dash, underscore or inner dot becomes a dash."""
    name = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in text)[:64]
    return name.strip(".") or "x"
