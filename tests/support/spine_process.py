"""A real `spine serve` on a free loopback port: start, wait until ready, stop, kill, read its log."""

import contextlib
import http.client
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.support.eventually import eventually

from contract.procfs import over

REPO = Path(__file__).resolve().parents[2]
TOKENS = {
    "HEAD_TOKEN": "head-token-0001",
    "LEFT_CLAW_TOKEN": "left-token-0001",
    "RIGHT_CLAW_TOKEN": "right-token-0001",
}
START_TRIES = 5
READY_SECONDS = 30.0
_PORTS, _BLOCK = range(10_000, 32_000), 500  # below those that a system gives out; each process has a block
_counted = itertools.count(random.randrange(_BLOCK))
STOP_SECONDS = 40.0
# What no run of a sound server writes.
FAULTS = ("Traceback", "never retrieved", "never awaited", "Task was destroyed", "Warning:")
FAULT, OF_MASTER = (
    '"level": "error"',
    '"logger": "gunicorn.error"',
)  # it tells when a worker ended, which a test may want


class SpineFailed(Exception):
    """The server did not start, or ended by itself; the message carries the end of its log."""


class SpineProcess:
    """One server, over its lives: it may be killed and started again on the same folder and the same port.

    Args:
        folder: gets `data/` (unless `SPINE_DATA_DIR` is given) and `spine.log`.
        env: settings over the defaults; a value of None takes a variable away.
        wrap: words before the command, such as `("setpriv", "--reuid=65534")`.
        handles: file descriptors that the process inherits.
    """

    def __init__(
        self,
        folder: Path,
        env: dict[str, str | None] | None = None,
        wrap: tuple[str, ...] = (),
        handles: tuple[int, ...] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log_path = folder / "spine.log"
        self.port = 0
        self._env, self._wrap, self._handles = dict(env or {}), wrap, handles
        self._points = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data_dir(self) -> Path:
        """Where this server keeps its store."""
        return Path(self._env.get("SPINE_DATA_DIR") or self.folder / "data")

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The main process (gunicorn's arbiter)."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def worker_pid(self) -> int:
        """The process that serves and holds the store."""
        # It is emptied before it is written.
        return int(eventually((self.data_dir / "spine.lock").read_text, what="a pid in spine.lock"))

    def environment(self) -> dict[str, str]:
        """Everything that the process is given: nothing of the tests' own environment but PATH, HOME and the like."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        given: dict[str, str | None] = {
            **kept,
            **TOKENS,
            "PYTHONPATH": str(REPO / "services"),
            "PYTHONUNBUFFERED": "1",
            "SPINE_PORT": str(self.port),
            "SPINE_DATA_DIR": str(self.folder / "data"),
            **self._env,
        }
        return {name: value for name, value in given.items() if value is not None}

    def start(self, **env: str | None) -> "SpineProcess":
        """Start and wait until ready; `env` changes settings from now on. A port that was taken meanwhile is changed.

        Raises:
            SpineFailed
        """
        self._env.update(env)
        keep_port = self.port != 0
        for attempt in range(START_TRIES):
            self.launch()
            try:
                self.wait_ready()
                return self
            except SpineFailed:
                self.kill9()
                if "cannot listen" not in self.log() or attempt == START_TRIES - 1:
                    raise
                if not keep_port:
                    self.port = 0
                time.sleep(0.2)
        raise AssertionError("unreachable")

    def start_armed(self, point: str) -> None:
        """Start with a kill point armed, on the port that it had; the next `start` is unarmed again."""
        self._points += 1
        armed = {"SPINE_KILL_POINT": point, "SPINE_KILL_POINT_FILE": str(self._point_file)}
        before = dict(self._env)
        self._env.update(armed)
        try:
            self.launch()
        finally:
            self._env = before
        # Not /ready: it writes, and two writes of the server's own at one moment would be a batch.
        self.wait_ready(path="/health")

    @property
    def _point_file(self) -> Path:
        return self.folder / f"reached-{self._points}"

    def await_point(self, point: str, seconds: float = 20.0) -> None:
        """Wait until the armed point has been reached: the server stands still there.

        Raises:
            SpineFailed
        """
        deadline = time.monotonic() + seconds
        while not self._point_file.exists() or point not in self._point_file.read_text().split():
            if time.monotonic() > deadline:
                raise SpineFailed(f"{point} was not reached within {seconds:g} s:\n{self.log_tail()}")
            time.sleep(0.01)

    def launch(self) -> None:
        """Start without waiting."""
        assert self._process is None or self._process.poll() is not None, "it runs already"
        if not self.port:
            self.port = free_port()
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._wrap, sys.executable, "-m", "spine.cli", "serve"],
                env=self.environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=self._handles,
            )

    def wait_ready(self, seconds: float = READY_SECONDS, path: str = "/ready") -> None:
        """Wait until /ready (or another path) answers 200.

        Raises:
            SpineFailed: it ended, or was not ready in time.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise SpineFailed(f"the server ended with {self.returncode}:\n{self.log_tail()}")
            if self._answers(path):
                return
            time.sleep(0.02)
        raise SpineFailed(f"the server was not ready within {seconds:g} s:\n{self.log_tail()}")

    def _answers(self, path: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    @property
    def returncode(self) -> int | None:
        """How the main process ended; None while it runs or before it was started."""
        return None if self._process is None else self._process.poll()

    def terminate(self) -> None:
        """Ask it to stop (SIGTERM to the main process), without waiting."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for the end; return the exit code."""
        assert self._process is not None, "not started"
        return self._process.wait(seconds)

    def stop(self) -> int:
        """Stop it in order; return the exit code. One that does not end is killed, which is an error."""
        if self._process is None:
            return 0
        self.terminate()
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.kill9()
            raise

    def kill9(self) -> None:
        """Kill the main process and the worker with SIGKILL; both are gone when this returns."""
        process = self._process
        if process is None:
            return
        try:
            # The whole session, which this object began: the worker too, in one blow.
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait(10)
        deadline = time.monotonic() + 10
        while _group_alive(process.pid) and time.monotonic() < deadline:
            time.sleep(0.005)

    def log(self) -> str:
        """All that the server has written so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of the log."""
        return "\n".join(self.log().splitlines()[-lines:])

    def faults(self, *expected: str) -> list[str]:
        """Lines of the log that no sound run writes, save those that hold an `expected` text."""
        return [
            line for line in self.log().splitlines() if is_fault(line) and not any(word in line for word in expected)
        ]


def is_fault(line: str) -> bool:
    """Tell whether a line of a log is one that no sound run writes."""
    return any(word in line for word in FAULTS) or (FAULT in line and OF_MASTER not in line)


def free_port() -> int:
    """Return a port of the loopback that nobody listens on, and that is given to nobody else for a while.

    Of those that the system gives to whoever asks for any, it would soon give it to another process, which then serves
    in the place of the one that was meant.
    """
    first = _PORTS.start + os.getpid() * 61 % (len(_PORTS) // _BLOCK) * _BLOCK  # far from those of its neighbours
    for _ in range(_BLOCK):
        port = first + next(_counted) % _BLOCK
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError(f"no port from {first} on is free")


def _group_alive(pgid: int) -> bool:
    """Tell whether a process of the group still runs; a zombie that nobody has collected yet does not."""
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:
            continue
        if not over(fields) and int(fields[2]) == pgid:
            return True
    return not Path("/proc/self/stat").exists()
