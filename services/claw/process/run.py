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
    """How a command ended: its exit code, and whether it was a deadline or a stop that ended it."""

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
    errors: Callable[[bytes], None] | None = None,
    program: str = "",
    signal_code: int | None = None,
) -> Ended:
    """Run a command until it ends, its deadline passes or `stop()` turns true; then nothing of it is left running.

    `sink` gets standard output and error as they come, or output alone when there is a sink for `errors`; while it is
    slow, the command waits. Does not wait for grandchildren that hold the pipe: they are killed when the command itself
    has ended. `program` is the file to execute, where it is not the command's first word; `signal_code` the exit code
    of a command that a signal ends, None is 128 + n for signal n.

    Raises:
        OSError: the folder is not there, or the command's words are too long.
    """
    begun = time.monotonic()
    by_signal = "" if signal_code is None else str(signal_code)
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__, program, by_signal, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if errors is None else subprocess.PIPE,
        cwd=cwd,
        env=dict(env),
        bufsize=0,
        start_new_session=True,
    )
    watch = _Watch(process, sink, errors or sink, begun + timeout_seconds, grace_seconds, stop)
    try:
        watch.until_end()
    finally:
        watch.close()
    code = process.returncode
    if code < 0:
        code = 128 - code if signal_code is None else signal_code
    return Ended(code, watch.timed_out, watch.stopped, time.monotonic() - begun)


class _Watch:
    """The loop around one guard process."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        sink: Callable[[bytes], None],
        errors: Callable[[bytes], None],
        deadline: float,
        grace: float,
        stop: Callable[[], bool],
    ) -> None:
        self._process, self._deadline, self._grace, self._stop = process, deadline, grace, stop
        self._control = cast("IO[bytes]", process.stdin)
        self._sinks = {cast("IO[bytes]", process.stdout): sink}
        if process.stderr is not None:
            self._sinks[process.stderr] = errors
        self._open = list(self._sinks)
        self._ending: float | None = None
        self.timed_out = self.stopped = False
        for output in self._open:
            os.set_blocking(output.fileno(), False)

    def until_end(self) -> None:
        while self._process.poll() is None:
            self._judge(time.monotonic())
            if self._open:
                ready, _, _ = select.select(self._open, [], [], _LOOK_SECONDS)
                for output in ready:
                    self._take(output)
            else:
                try:
                    self._process.wait(_LOOK_SECONDS)
                except subprocess.TimeoutExpired:
                    pass
        if self._process.returncode < 0:
            # The guard itself was killed; what it guarded has become ours.
            guard.kill_tree(os.getpid())
        for output in list(self._open):
            while self._take(output):
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

    def _take(self, output: IO[bytes]) -> bool:
        """Move one chunk into its sink; False when there is nothing now or any more."""
        try:
            chunk = os.read(output.fileno(), _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self._open.remove(output)
            return False
        self._sinks[output](chunk)
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
        for output in self._sinks:
            output.close()
