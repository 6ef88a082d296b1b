"""Running one command under a guard: output into a sink, a deadline, and an end for all that it started."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple, cast

from claw.process import guard

_CHUNK = 64 << 10
_LOOK_SECONDS = 0.1


class Ended(NamedTuple):
    """How a command ended: exit code (128 + n for signal n), and whether it was a deadline or a stop that ended it."""

    code: int
    timed_out: bool
    stopped: bool
    seconds: float


def run_guarded(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    sink: Callable[[bytes], None],
    timeout_seconds: float,
    grace_seconds: float,
    stop: Callable[[], bool] = lambda: False,
) -> Ended:
    """Run a command until it ends, its deadline passes or `stop()` turns true; then nothing of it is left running.

    `sink` gets standard output and error as they come; while it is slow, the command waits. Does not wait for
    grandchildren that hold the pipe: they are killed when the command itself has ended.
    """
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__, "--", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env=dict(env),
        bufsize=0,
        start_new_session=True,
    )
    watch = _Watch(process, sink, begun + timeout_seconds, grace_seconds, stop)
    try:
        watch.until_end()
    finally:
        watch.close()
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    return Ended(code, watch.timed_out, watch.stopped, time.monotonic() - begun)


class _Watch:
    """The loop around one guard process."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        sink: Callable[[bytes], None],
        deadline: float,
        grace: float,
        stop: Callable[[], bool],
    ) -> None:
        self._process, self._sink, self._deadline, self._grace, self._stop = process, sink, deadline, grace, stop
        self._control, self._output = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
        self._open = True
        self._ending: float | None = None
        self.timed_out = self.stopped = False
        os.set_blocking(self._output.fileno(), False)

    def until_end(self) -> None:
        while self._process.poll() is None:
            self._judge(time.monotonic())
            if self._open:
                ready, _, _ = select.select([self._output], [], [], _LOOK_SECONDS)
                if ready:
                    self._take()
            else:
                try:
                    self._process.wait(_LOOK_SECONDS)
                except subprocess.TimeoutExpired:
                    pass
        if self._process.returncode < 0:
            # The guard itself was killed; what it guarded has become ours.
            guard.kill_tree(os.getpid())
        while self._open and self._take():
            pass

    def _judge(self, now: float) -> None:
        """Begin the end when it is time for it, and press on when the grace is over."""
        if self._ending is None:
            self.stopped = self._stop()
            self.timed_out = not self.stopped and now >= self._deadline
            if self.stopped or self.timed_out:
                self._ending = now
                self._tell(guard.TERMINATE)
        elif now >= self._ending + self._grace:
            self._tell(None)
            if now >= self._ending + self._grace + 15:
                self._process.kill()

    def _tell(self, order: bytes | None) -> None:
        try:
            if order is not None:
                self._control.write(order)
            elif not self._control.closed:
                self._control.close()
        except OSError:
            pass  # the guard has gone already

    def _take(self) -> bool:
        """Move one chunk into the sink; False when there is nothing now or any more."""
        try:
            chunk = os.read(self._output.fileno(), _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self._open = False
            return False
        self._sink(chunk)
        return True

    def close(self) -> None:
        self._tell(None)
        if self._process.poll() is None:
            # Only after an exception in the loop: the closed control pipe makes the guard kill everything.
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._output.close()
