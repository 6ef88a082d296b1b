"""The local copy of an attempt's output: redacted, capped, and the source of truth for the log at the spine."""

import os
import threading
from pathlib import Path

import structlog

from contract.redaction import Redactor, redact

_TAIL_BYTES = 64 << 10

log = structlog.get_logger()


class Spool:
    """Appends a byte stream to a file. One thread writes, others read `size` and the file.

    Over `most_bytes` one line tells of the cut, and the rest is dropped; its end is still kept in memory for `tail`.
    """

    def __init__(self, path: Path, most_bytes: int, secrets: tuple[str, ...]) -> None:
        self.path = path
        self._most = most_bytes
        self._note = f"\n[output cut here: the limit of {most_bytes} bytes is reached]\n".encode()
        self._secrets = secrets
        self._redactor = Redactor(secrets)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self._fd).st_size
        self._full = self.size >= most_bytes - len(self._note)
        self._tail = b""
        self._raw_tail = b""
        self._since = 0
        self.grew = threading.Condition()

    def write(self, chunk: bytes) -> None:
        """Take output as it came."""
        if self._full:
            self._raw_tail = (self._raw_tail + chunk)[-_TAIL_BYTES:]
            self._since += len(chunk)
            return
        self._store(self._redactor.feed(chunk))

    def settle(self) -> None:
        """Write out what the redactor held back: no more comes from this child."""
        if not self._full:
            self._store(self._redactor.flush())
        self._redactor = Redactor(self._secrets)

    def say(self, line: str) -> None:
        """Write a line of our own."""
        if not self._full:
            self._store(redact(line, self._secrets).encode("utf-8", "replace") + b"\n")

    def begin(self) -> None:
        """Note that a new command begins here, for `last_line`."""
        self._since = 0

    def last_line(self) -> str:
        """Return the last line, not blank, that the newest command has printed; "" for none."""
        return _lines(self._shown()[-self._since :])[-1] if self._since else ""

    def said(self) -> str:
        """Return the last 64 KiB of what the newest command has printed."""
        return self._shown()[-self._since :].decode("utf-8", "replace").replace("\x00", "") if self._since else ""

    def tail(self, lines: int) -> list[str]:
        """Return the last lines that are not blank, each at most 1,000 characters."""
        return _lines(self._shown())[-lines:]

    def _shown(self) -> bytes:
        if not self._raw_tail:
            return self._tail
        # The first line may begin inside a secret, which would then not be known as one: leave it out.
        return redact(self._raw_tail.partition(b"\n")[2].decode("utf-8", "replace"), self._secrets).encode()

    def close(self) -> None:
        """Settle and close; waiting readers are woken."""
        self.settle()
        os.close(self._fd)
        with self.grew:
            self.grew.notify_all()

    def _store(self, data: bytes) -> None:
        if not data:
            return
        room = self._most - len(self._note) - self.size
        if len(data) > room:
            self._raw_tail = data[-_TAIL_BYTES:]
            self._since += len(data)
            data = data[: max(room, 0)] + self._note
            self._full = True
        else:
            self._since += len(data)
        self._tail = (self._tail + data)[-_TAIL_BYTES:]
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as e:
            # A full disk costs the output, not the job.
            self._full, self._raw_tail = True, data[-_TAIL_BYTES:]
            log.error("claw.output_lost", path=str(self.path), why=e.strerror)
        with self.grew:
            self.size += len(data) - len(view)
            self.grew.notify_all()


def _lines(data: bytes) -> list[str]:
    """Return the lines that are not blank; at least one."""
    texts = [line.strip()[:1000] for line in data.decode("utf-8", "replace").replace("\x00", "").splitlines()]
    return [text for text in texts if text] or [""]
