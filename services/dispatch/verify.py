"""The verifying command, which decides before a label is done: an argument list, no shell, no token, 60 seconds."""

import os
import signal
import subprocess
import threading
from typing import IO

from dispatch import settings
from dispatch.keeping import Keeping

SECONDS = 60.0
TEXT_MOST = 4000
_GRACE_SECONDS = 3.0


def fault(keeping: Keeping, seconds: float = SECONDS) -> str | None:
    """Run a label's verifying command; None when it went well or there is none, else why the label is not done.

    The command ends with all that it has started in its process group. However much it says, its tail alone is kept.

    Raises:
        Fault: the command that was kept cannot be read.
    """
    words = keeping.verify()
    if not words:
        return None
    try:
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            env=settings.for_commands(),
            start_new_session=True,
        )
    except (OSError, ValueError) as e:
        return f"the verifying command {words[0]} cannot be started: {e}"
    tail = _Tail(child)
    try:
        code = child.wait(seconds)
    except subprocess.TimeoutExpired:
        return f"the verifying command took longer than {seconds:g} s and was ended"
    finally:
        _end(child)
    if code == 0:
        return None
    return f"the verifying command ended with {code}: {tail.text() or 'it said nothing'}"


class _Tail:
    """Reads what a child says to its end, in a thread, and keeps the last `TEXT_MOST` bytes."""

    def __init__(self, child: "subprocess.Popen[bytes]") -> None:
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._read, args=(child.stdout,), name="verify", daemon=True)
        self._thread.start()

    def text(self) -> str:
        """Return what was said last; what left the process group may hold the pipe, and is not waited for."""
        self._thread.join(_GRACE_SECONDS)
        return bytes(self._kept).decode("utf-8", "replace").strip()

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            while some := pipe.read(64 * 1024):
                self._kept[:] = (self._kept + some)[-TEXT_MOST:]


def _end(child: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(_GRACE_SECONDS)
        except (ProcessLookupError, PermissionError):
            return
        except subprocess.TimeoutExpired:
            continue
