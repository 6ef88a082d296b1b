"""Running a command of the policy: an argument list without a shell, the job's JSON on its standard input."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from head.policy import TEXT_MOST

_FINISH_SECONDS = 5.0
_SLICE_SECONDS = 0.5


class Ran(NamedTuple):
    """How a command ended: its exit code and the beginning of its output, or why there is no code."""

    code: int | None
    text: str = ""
    fault: str = ""


def run(
    command: list[str],
    stdin: bytes,
    env: Mapping[str, str],
    timeout_seconds: float,
    check: Callable[[], None] = lambda: None,
) -> Ran:
    """Run a command to its end, or until its time is over; then all that it has started in its group is killed.

    `check` is called again and again meanwhile: what it raises ends the command too.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as told:
        given.write(stdin)
        given.seek(0)  # a file, not a pipe: a command that reads nothing cannot block us
        try:
            child = subprocess.Popen(command, stdin=given, stdout=told, env=dict(env), start_new_session=True)
        except (OSError, ValueError) as e:
            return Ran(None, fault=f"{command[0]} cannot be started: {e}")
        try:
            code = _wait(child, timeout_seconds, check)
        except subprocess.TimeoutExpired:
            return Ran(None, fault=f"{command[0]} took longer than {timeout_seconds:g} s and was ended")
        finally:
            if child.poll() is None:
                _end(child)
        told.seek(0)
        return Ran(code, told.read(TEXT_MOST).decode("utf-8", "replace"))


def _wait(child: "subprocess.Popen[bytes]", seconds: float, check: Callable[[], None]) -> int:
    end = time.monotonic() + seconds
    while True:
        left = end - time.monotonic()
        try:
            return child.wait(max(0.0, min(left, _SLICE_SECONDS)))
        except subprocess.TimeoutExpired:
            if left <= _SLICE_SECONDS:
                raise
        check()


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End a command and what it has started: asked first, killed when that does not help."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(_FINISH_SECONDS)
        except ProcessLookupError:
            pass
        except subprocess.TimeoutExpired:
            continue
        if child.poll() is not None:
            break
