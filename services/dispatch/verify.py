"""The verifying command, which decides before a label is done: an argument list, no shell, no token, 60 seconds."""

import os
import signal
import subprocess
import tempfile

from dispatch import settings
from dispatch.keeping import Keeping

SECONDS = 60.0
TEXT_MOST = 4000
_GRACE_SECONDS = 3.0


def fault(keeping: Keeping, seconds: float = SECONDS) -> str | None:
    """Run a label's verifying command; None when it went well or there is none, else why the label is not done.

    The command ends with all that it has started in its process group.

    Raises:
        Fault: the command that was kept cannot be read.
    """
    words = keeping.verify()
    if not words:
        return None
    with tempfile.TemporaryFile() as told:
        try:
            child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
                env=settings.for_commands(),
                start_new_session=True,
            )
        except (OSError, ValueError) as e:
            return f"the verifying command {words[0]} cannot be started: {e}"
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"the verifying command took longer than {seconds:g} s and was ended"
        finally:
            _end(child)
        if code == 0:
            return None
        size = told.tell()
        told.seek(max(0, size - TEXT_MOST))
        text = told.read(TEXT_MOST).decode("utf-8", "replace").strip()
        return f"the verifying command ended with {code}: {text or 'it said nothing'}"


def _end(child: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(_GRACE_SECONDS)
        except (ProcessLookupError, PermissionError):
            return
        except subprocess.TimeoutExpired:
            continue
