"""A real spine on loopback, real claws as processes, and a claw's token and target of its own for each test."""

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.spine_process import free_port

from contract.errors import SpineError
from contract.head_client import HeadClient
from contract.wire import Job

HEAD = "head-token-of-the-tests"
SERVICES = Path(__file__).resolve().parents[3] / "services"
NAMES = [f"claw-{n}" for n in range(200)]
# Outlives the death and the return of a claw on a machine that is busy with other tests.
LEASE_SECONDS = 60
BRIEF_LEASE = pytest.mark.parametrize("lease_seconds", [10])
"""For the tests in which a lease ends: they take a spine of their own."""


def until(look: Callable[[], Any], seconds: float = 30.0, every: float = 0.02) -> Any:
    """Return what `look` answers as soon as that is true; fail after `seconds`."""
    return eventually(look, seconds, every)


def base_env(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(SERVICES), "LANG": "C.UTF-8", **more}


class Spine:
    """One server process, which can be killed and started again on the same port and data."""

    def __init__(self, folder: Path, lease_seconds: int = LEASE_SECONDS, **more: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder, self._lease_seconds, self._more = folder, lease_seconds, more
        self.process: subprocess.Popen[bytes] | None = None
        self.head = HeadClient(self.url, HEAD)

    def start(self) -> None:
        env = base_env(
            HEAD_TOKEN=HEAD,
            LEFT_CLAW_TOKEN="left-token-of-the-tests",
            RIGHT_CLAW_TOKEN="right-token-of-the-tests",
            CLAW_TOKENS=",".join(f"{name}=token-of-{name}-in-tests" for name in NAMES),
            SPINE_PORT=str(self.port),
            SPINE_DATA_DIR=str(self._folder / "data"),
            LEASE_SECONDS=str(self._lease_seconds),
            REAPER_INTERVAL_MS="200",
            **self._more,
        )
        with (self._folder / "spine.log").open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "spine.cli", "serve"], env=env, stdout=out, stderr=out, cwd=self._folder
            )

        def answers() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return True
            return False

        until(answers)

    def stop(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None


class Claw:
    """One machine: a state folder, a token, and the processes started there."""

    def __init__(self, spine: Spine, name: str, folder: Path) -> None:
        self.spine, self.name, self.folder = spine, name, folder
        self.token = f"token-of-{name}-in-tests"
        self.state = folder / "state"
        self.state_file = self.state / "current-job.json"
        self.kill_file = folder / "reached"
        self._processes: list[subprocess.Popen[bytes]] = []
        folder.mkdir(exist_ok=True)

    def env(self, **more: str) -> dict[str, str]:
        return base_env(
            HOME=str(self.folder),
            SPINE_BASE_URL=self.spine.url,
            SPINE_TOKEN=self.token,
            CLAW_NAME=self.name,
            CLAW_STATE_DIR=str(self.state),
            CLAW_HEARTBEAT_SECONDS="1",
            CLAW_TICK_SECONDS="1",
            CLAW_WAIT_SECONDS="2",
            CLAW_KILL_GRACE_SECONDS="1",
            **more,
        )

    def cli(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run one command of the claw to its end."""
        return subprocess.run(
            [sys.executable, "-m", "claw.cli", *words],
            env=self.env(**more),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self, **more: str) -> subprocess.Popen[bytes]:
        """Start the resident claw."""
        with (self.folder / "claw.log").open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "claw.cli", "run"], env=self.env(**more), stdout=out, stderr=out
            )
        self._processes.append(process)
        return process

    def start_armed(self, point: str, **more: str) -> subprocess.Popen[bytes]:
        """Start the resident claw with a kill point armed in it and in its workers."""
        return self.start(SPINE_KILL_POINT=point, SPINE_KILL_POINT_FILE=str(self.kill_file), **more)

    def await_point(self, point: str) -> None:
        until(lambda: self.kill_file.exists() and point in self.kill_file.read_text())
        self.kill_file.unlink()

    def held(self) -> dict[str, Any] | None:
        with contextlib.suppress(FileNotFoundError):
            return json.loads(self.state_file.read_bytes())
        return None

    def worker_pid(self) -> int:
        return until(lambda: (self.held() or {}).get("workerPid"))

    def kill_all(self) -> None:
        """kill -9 the resident claw and its worker."""
        pid = (self.held() or {}).get("workerPid")
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes.clear()
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def submit(self, spec: Any, **fields: Any) -> str:
        return self.spine.head.submit({"target": self.name, "spec": spec, **fields}).id

    def job(self, job_id: str) -> Job:
        return self.spine.head.job(job_id)

    def until_status(self, job_id: str, *statuses: str, seconds: float = 60.0) -> Job:
        """Wait for a status; when it does not come, the job and the claw's log tell why."""

        def look() -> Job:
            try:
                job = self.job(job_id)
            except SpineError as e:  # it may be away just now
                raise AssertionError(str(e)) from e
            assert job.status in statuses, str(job)
            return job

        try:
            found: Job = until(look, seconds, every=0.05)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log()}") from e
        return found

    def log(self) -> str:
        """The last lines that the claw and its workers have logged."""
        paths = (self.folder / "claw.log", self.state / "worker.log")
        return "\n".join(line for path in paths if path.exists() for line in path.read_text().splitlines()[-30:])


@pytest.fixture(scope="session")
def spine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spine]:
    server = Spine(tmp_path_factory.mktemp("spine"))
    server.start()
    yield server
    server.stop(signal.SIGKILL)


class Newcomer(Claw):
    """A machine that knows nothing of the spine yet: its home is empty, and so is its environment."""

    def __init__(self, spine: Spine, name: str, folder: Path) -> None:
        super().__init__(spine, name, folder)
        self.state = folder / ".spine"
        self.state_file = self.state / "current-job.json"

    def env(self, **more: str) -> dict[str, str]:
        return base_env(HOME=str(self.folder), CLAW_HEARTBEAT_SECONDS="1", CLAW_TICK_SECONDS="1", **more)

    def code(self) -> str:
        return self.spine.head.join_code(self.name).code

    def join(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.cli("join", self.spine.url, self.code(), *words, **more)

    def stored(self) -> str:
        """The token that it has now."""
        return (self.state / "token").read_text().strip()


_names, _newcomers = itertools.count(), itertools.count()


@pytest.fixture
def claw(spine: Spine, tmp_path: Path) -> Iterator[Claw]:
    machine = Claw(spine, NAMES[next(_names)], tmp_path / "machine")
    yield machine
    machine.kill_all()


@pytest.fixture
def newcomer(spine: Spine, tmp_path: Path) -> Iterator[Newcomer]:
    machine = Newcomer(spine, f"new-{next(_newcomers)}", tmp_path / "newcomer")
    yield machine
    machine.kill_all()


@pytest.fixture
def lease_seconds() -> int:
    """How long a lease of `own_spine` is."""
    return LEASE_SECONDS


@pytest.fixture
def own_spine(tmp_path: Path, lease_seconds: int) -> Iterator[Spine]:
    """A spine that a test may kill."""
    server = Spine(tmp_path, lease_seconds)
    server.start()
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture
def lone_claw(own_spine: Spine, tmp_path: Path) -> Iterator[Claw]:
    machine = Claw(own_spine, NAMES[0], tmp_path / "machine")
    yield machine
    machine.kill_all()


@pytest.fixture
def lone_newcomer(own_spine: Spine, tmp_path: Path) -> Iterator[Newcomer]:
    machine = Newcomer(own_spine, "newcomer", tmp_path / "newcomer")
    yield machine
    machine.kill_all()


def git(folder: Path, *words: str) -> str:
    who = {"GIT_CONFIG_GLOBAL": os.devnull, "HOME": str(folder)}
    who |= {f"GIT_{role}_NAME": "Tester" for role in ("AUTHOR", "COMMITTER")}
    who |= {f"GIT_{role}_EMAIL": "tester@localhost" for role in ("AUTHOR", "COMMITTER")}
    done = subprocess.run(["git", *words], cwd=folder, env=base_env(**who), capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A bare repository whose branch main has one commit with a file."""
    bare, first = tmp_path / "repos" / "app.git", tmp_path / "first"
    bare.mkdir(parents=True)
    first.mkdir()
    git(bare, "init", "--quiet", "--bare", "--initial-branch=main")
    git(first, "init", "--quiet", "--initial-branch=main")
    (first / "file.txt").write_text("one\n")
    git(first, "add", ".")
    git(first, "commit", "--quiet", "--message", "Begin")
    git(first, "push", "--quiet", str(bare), "main")
    return bare
