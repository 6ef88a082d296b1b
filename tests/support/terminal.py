"""A real terminal of which a test is the person: it has a size, shows what is printed, and Ctrl-C can be pressed."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_HOME = b"\x1b[H"
_SEQUENCE = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]")


class Terminal:
    """Runs one program on a pseudo-terminal of its own."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], folder: Path, columns: int = 80, lines: int = 24
    ) -> None:
        self._ours, self._theirs = pty.openpty()
        self.seen = b""
        self._process: subprocess.Popen[bytes] | None = None
        self.resize(columns, lines)
        self.modes = termios.tcgetattr(self._theirs)
        self._process = subprocess.Popen(
            list(command),
            env={**env, "TERM": "xterm-256color"},
            cwd=folder,
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )

    def resize(self, columns: int, lines: int) -> None:
        """Give the window another size."""
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        if self._process is not None:
            self._process.send_signal(signal.SIGWINCH)

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._ours, keys)

    def picture(self) -> list[str]:
        """Return the lines of the last whole picture that was drawn from the upper left corner; none before one was."""
        drawn = self.seen.split(_HOME)
        if len(drawn) < 3:
            return []
        return _SEQUENCE.sub(b"", drawn[-2]).decode("utf-8", "replace").replace("\r", "").split("\n")

    def until(self, look: Callable[[list[str]], bool], seconds: float = 90) -> list[str]:
        """Read until a picture fits; return it.

        Raises:
            AssertionError: none came in time, or the program has ended.
        """
        deadline = time.monotonic() + seconds
        while not look(self.picture()):
            assert time.monotonic() < deadline, "\n".join(self.picture()) or repr(self.seen[-2000:])
            assert self._process is not None
            assert self._process.poll() is None, repr(self.seen[-2000:])
            self._read(1.0)
        return self.picture()

    def end(self, seconds: float = 60) -> int:
        """Wait until the program ends, and read what it still prints; return its exit code."""
        assert self._process is not None
        deadline = time.monotonic() + seconds
        while self._process.poll() is None:
            assert time.monotonic() < deadline, "it does not end"
            self._read(0.1)
        while self._read(0.1):
            pass
        return self._process.returncode

    def close(self) -> None:
        """End the program, if it still runs, and the terminal."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    def modes_now(self) -> list[object]:
        """Return how the terminal treats what is typed."""
        return termios.tcgetattr(self._theirs)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], seconds)
        if ready:
            self.seen += os.read(self._ours, 65536)
        return bool(ready)


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
