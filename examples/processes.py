"""The plumbing of `make run`: processes that are started, watched and ended by their own pid, ports, private files."""

import contextlib
import fcntl
import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

DEFAULT_PORT = 36725
START_SECONDS = 30
STOP_SECONDS = 25
# What would change a role, or git, if it came from the person's own shell.
FOREIGN = re.compile(r"(SPINE|CLAW|HEAD|LEFT_CLAW|RIGHT_CLAW|GIT)_\w*|\w+_TOKENS?(_FILE)?")


class Failure(Exception):
    """The demonstration cannot go on; the text says why."""


class Processes:
    """What was started; it ends that, and nothing else. The name of one that ends comes into `ends`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ends: queue.Queue[str] = queue.Queue()
        self.environment = environment()
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(self, name: str, words: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start one service, with its output in a log, in a session of its own: Ctrl-C reaches only us."""
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", *words],
                env=self.environment | env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running.append((name, process))

        def wait() -> None:
            process.wait()
            self.ends.put(name)

        threading.Thread(target=wait, daemon=True).start()
        return process

    def stop(self) -> list[str]:
        """End what was started, the last first, so that the claw can still give its job back; name what was killed."""
        killed = []
        while self._running:
            name, process = self._running.pop()
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                killed.append(f"{name} (pid {process.pid}) did not end in {STOP_SECONDS} s and was killed")
        return killed


def environment() -> dict[str, str]:
    """Return the person's environment without what would change a role, and without their git configuration."""
    kept = {name: value for name, value in os.environ.items() if not FOREIGN.fullmatch(name)}
    return kept | {"PYTHONUNBUFFERED": "1", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)


def await_answer(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the spine answers.

    Raises:
        Failure: it ended, or did not answer in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while not answers(url):
        if process.poll() is not None:
            raise Failure(f"the spine ended with exit code {process.returncode}")
        if time.monotonic() > deadline:
            raise Failure(f"the spine did not answer at {url} within {START_SECONDS} s")
        time.sleep(0.1)


def free_port() -> int:
    """Return the usual port, or another one when that is taken."""
    for port in (DEFAULT_PORT, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise Failure("no port of 127.0.0.1 is free")


def answers(url: str) -> bool:
    """Tell whether a spine is healthy there; proxies of the person's environment are not asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder: a second `make run` in it would share its data and its claw."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            raise Failure(f"another run is using {folder}; end it first") from e
        yield
