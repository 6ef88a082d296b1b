"""The ledger `labels.json`: one JSON object, label to entry, with the field names of OpenClaw's dispatch.

Every change reads the file anew under a lock, so that what others wrote meanwhile stays, fields of theirs included.
Replaced durably, with the copy before kept beside it; a file that cannot be read is set aside, never erased.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from contract.clock import iso
from contract.durable import sync_folder, write_durably
from dispatch.faults import Fault

T = TypeVar("T")
Entry = dict[str, Any]
Entries = dict[str, Entry]

LOCK_SECONDS = 30.0

STARTING, RUNNING, DONE, INTERRUPTED, ERROR = "starting", "running", "done", "interrupted", "error"
STATUSES = (STARTING, RUNNING, "spawn-warning", DONE, INTERRUPTED, ERROR)
OPEN = (STARTING, RUNNING, "spawn-warning")
"""Those of a run that may be under way. `starting` is ours: it is kept, and not yet known to be accepted."""

TEXTS = frozenset({
    "sessionKey", "runId", "agent", "mode", "model", "thinking", "spawnedAt", "status", "summary", "error",
    "updatedAt", "origin", "deliverTo", "deliverChannel", "deliveryMode", "verifyCmd", "taskPrompt", "watchdogJobId",
    "lastPing", "sha", "idempotencyKey", "dispatchedAt", "acceptedAt", "errorKind", "notBefore", "owner", "ownerUntil",
    "repository", "noMonitorReason", "nudgedAt", "progress", "progressAt", "promptDigest", "retryAt", "dispatchKey",
    "sentRunId", "sentAt", "monitorInterval", "forgetAt", "stuckToldAt", "watcherOwed",
})  # fmt: skip
NUMBERS = frozenset({
    "timeoutSeconds", "timeout", "retryCount", "gwRestartRetryCount", "attempt", "monitorTimeoutMin", "nudgedTokens",
})  # fmt: skip
LISTS = frozenset({"steered"})
"""Lists of objects whose members are texts."""


class Ledger:
    """Reads and changes one file. `note` is told what a person should know, such as a file that was set aside."""

    def __init__(self, path: Path, note: Callable[[str], None] = lambda text: None) -> None:
        self.path, self._note = path, note
        self.previous = path.with_name(f"{path.name}.previous")

    def read(self) -> Entries:
        """Return every entry; none when there is no file.

        Raises:
            Fault: it cannot be read.
        """
        try:
            found = _parse(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as e:
            raise Fault(f"{self.path}: cannot be read ({e.strerror}); see to its rights", "ledger") from e
        if found is not None:
            return found
        with self._locked():
            return self._load()

    def entry(self, label: str) -> Entry | None:
        """Return a label's entry, or None."""
        return self.read().get(label)

    def change(self, alter: Callable[[Entries], T]) -> T:
        """Let `alter` change the entries as they are now, and keep the outcome durably; returns what it returns.

        `alter` may raise: then nothing is changed.

        Raises:
            Fault: the file cannot be written, or another process keeps its lock.
        """
        with self._locked():
            entries = self._load()
            before = _bytes(entries)
            made = alter(entries)
            after = _bytes(entries)
            if after != before or not self.path.exists():
                self._save(after)
            return made

    def alter(self, label: str, change: Callable[[Entry], T]) -> T:
        """Change the entry of a label that is there, and its `updatedAt`.

        Raises:
            Fault: there is none, or the file cannot be written.
        """

        def one(entries: Entries) -> T:
            if label not in entries:
                raise Fault(f"no label {label!r} is known here; see spine-dispatch list", "unknown_label")
            made = change(entries[label])
            entries[label]["updatedAt"] = stamp()
            return made

        return self.change(one)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open(self.path.with_name(f"{self.path.name}.lock"), flags, 0o600)
        except OSError as e:
            raise self._unwritable(e) from e
        try:
            deadline = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise Fault(
                            f"{self.path}: another process has kept it locked for {LOCK_SECONDS:g} s; nothing was "
                            "changed, try again",
                            "ledger_busy",
                        ) from None
                    time.sleep(0.01)
            yield
        finally:
            os.close(fd)

    def _load(self) -> Entries:
        """Read under the lock; a file that cannot be used is set aside, and the copy before takes its place."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as e:
            raise Fault(f"{self.path}: cannot be read ({e.strerror}); see to its rights", "ledger") from e
        found = _parse(raw)
        if found is not None:
            return found
        try:
            former = _parse(self.previous.read_bytes())
        except OSError:
            former = None
        aside = self.path.with_name(f"{self.path.name}.corrupt-{stamp().replace(':', '')}-{time.time_ns() % 10**6:06d}")
        try:
            # A second name first: at no moment is there no ledger, and nothing of the broken one is lost.
            os.link(self.path, aside)
            write_durably(self.path, _bytes(former or {}))
        except OSError as e:
            raise self._unwritable(e) from e
        used = f"the copy before it is used ({len(former)} labels)" if former is not None else "there is no copy before"
        self._note(f"{self.path} could not be read; it was set aside as {aside.name}, {used}")
        return former or {}

    def _save(self, content: bytes) -> None:
        try:
            former = self.path.read_bytes() if self.path.exists() else None
            if former is not None:
                write_durably(self.previous, former)
            write_durably(self.path, content)
            sync_folder(self.path.parent)
        except OSError as e:
            raise self._unwritable(e) from e

    def _unwritable(self, e: OSError) -> Fault:
        return Fault(f"{self.path}: cannot be written ({e.strerror}); nothing was changed", "ledger")


def stamp(ms: int | None = None) -> str:
    """Write the time (epoch ms), or the present one, as the ledger does."""
    return iso(time.time_ns() // 1_000_000 if ms is None else ms)


def _parse(raw: bytes) -> Entries | None:
    """Return the entries, or None for what is no ledger. A known field of a wrong type counts as absent."""
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
        return None
    return {
        label: {name: value for name, value in entry.items() if _fits(name, value)} for label, entry in found.items()
    }


def _fits(name: str, value: object) -> bool:
    if value is None:
        return True
    if name in TEXTS:
        return isinstance(value, str)
    if name in LISTS:
        return isinstance(value, list) and all(_is_texts(each) for each in value)
    return name not in NUMBERS or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _bytes(entries: Entries) -> bytes:
    return msgspec.json.format(msgspec.json.encode(entries), indent=2) + b"\n"
