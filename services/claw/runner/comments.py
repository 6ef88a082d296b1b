"""What people say while a job runs, as a file that the job can follow: one JSON object a line."""

import os
from pathlib import Path

import msgspec
import structlog

from contract.wire import CommentRecord

MOST_BYTES = 1 << 20
_CUT = b'{"cut":true}\n'

log = structlog.get_logger()


class CommentFile:
    """Appends a job's comments, each once; over `most_bytes` one last line `{"cut":true}` tells that more were made.

    Each process of an attempt makes one: what is in the file already is known from its lines.
    """

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self._path, self._most = path, most_bytes
        written = path.read_bytes() if path.exists() else b""
        self._size, self._count = len(written), written.count(b"\n")
        self._full = written.endswith(_CUT)
        self._append(b"")

    def heed(self, comments: list[CommentRecord]) -> None:
        """Take all comments of the job, oldest first, and write those that are new."""
        # All of them, not what the spine calls new: an answer may be lost, or be another process's.
        for comment in comments[self._count :]:
            if self._full:
                return
            line = msgspec.json.encode({"t": comment.t, "by": comment.by, "text": comment.text}) + b"\n"
            if self._size + len(line) > self._most:
                line, self._full = _CUT, True
            try:
                self._append(line)
            except OSError as e:
                log.warning("claw.comment_lost", path=str(self._path), why=e.strerror)
                return
            self._size, self._count = self._size + len(line), self._count + 1

    def _append(self, line: bytes) -> None:
        # The job may have put a link or a pipe there.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(self._path, flags, 0o600)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)
