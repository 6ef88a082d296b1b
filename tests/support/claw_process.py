"""A claw's machine: its folders, and the real processes that run there (resident claw, single ticks, workers)."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.eventually import eventually
from tests.support.spine_process import REPO

GONE_SECONDS = 15.0


class Machine:
    """One claw, over the lives of its processes: any of them may be killed and started again on the same state.

    Args:
        folder: its home; gets `state/` and `claw.log`.
        env: settings over the defaults; a value of None takes a variable away.
    """

    def __init__(self, folder: Path, name: str, token: str, url: str, env: dict[str, str | None] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.name, self.token, self.url = folder, name, token, url
        self.state = folder / "state"
        self.state_file = self.state / "current-job.json"
        self.log_path = folder / "claw.log"
        self._env = dict(env or {})
        self._points = 0
        self._point_file = folder / "reached-0"
        self._started: list[subprocess.Popen[bytes]] = []

    def environment(self, **more: str | None) -> dict[str, str]:
        """Everything that a process of this machine is given."""
        given: dict[str, str | None] = {
            **{name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ},
            "HOME": str(self.folder),
            "PYTHONPATH": str(REPO / "services"),
            "SPINE_BASE_URL": self.url,
            "SPINE_TOKEN": self.token,
            "CLAW_NAME": self.name,
            "CLAW_STATE_DIR": str(self.state),
            "CLAW_HEARTBEAT_SECONDS": "1",
            "CLAW_TICK_SECONDS": "1",
            "CLAW_WAIT_SECONDS": "2",
            "CLAW_KILL_GRACE_SECONDS": "1",
            "CLAW_DRAIN_SECONDS": "10",
            **self._env,
            **more,
        }
        return {name: value for name, value in given.items() if value is not None}

    # --- starting --------------------------------------------------------------------------------------------------

    def run(self, **env: str | None) -> "subprocess.Popen[bytes]":
        """Start the resident claw."""
        return self._start("run", env)

    def tick(self, mode: str, **env: str | None) -> "subprocess.Popen[bytes]":
        """Start one tick, without waiting for its end."""
        return self._start("tick", env, "--mode", mode)

    def tick_through(self, mode: str, seconds: float = 60.0, **env: str | None) -> int:
        """Run one tick to its end; return its exit code."""
        return self.tick(mode, **env).wait(seconds)

    def _start(self, command: str, env: dict[str, str | None], *words: str) -> "subprocess.Popen[bytes]":
        with self.log_path.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "claw.cli", command, *words],
                env=self.environment(**env),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def armed(self, point: str) -> dict[str, str | None]:
        """Return the settings that freeze a process (and a worker that it starts) at a named point."""
        self._points += 1
        self._point_file = self.folder / f"reached-{self._points}"
        return {"SPINE_KILL_POINT": point, "SPINE_KILL_POINT_FILE": str(self._point_file)}

    def at_point(self) -> bool:
        """Tell whether the point armed last has been reached: a process stands still there."""
        return self._point_file.exists() and self._point_file.read_text().endswith("\n")

    def await_point(self, point: str, seconds: float = 20.0) -> None:
        """Wait until the point armed last has been reached."""
        eventually(self.at_point, seconds, what=f"{self.name} at {point}")
        assert self._point_file.read_text().split() == [point]

    # --- looking ---------------------------------------------------------------------------------------------------

    def held(self) -> dict[str, Any] | None:
        """Return the state file, or None where there is none."""
        with contextlib.suppress(FileNotFoundError):
            found: dict[str, Any] = json.loads(self.state_file.read_bytes())
            return found
        return None

    def worker_pid(self, seconds: float = 15.0) -> int:
        """Wait for a worker that is written down; return its pid."""
        return int(eventually(lambda: (self.held() or {}).get("workerPid"), seconds, what="a worker"))

    def workers(self) -> list[int]:
        """Return the detached workers of this machine that run, known by the state folder in their arguments."""
        return [pid for pid, words in command_lines() if "claw.worker" in words and str(self.state) in words]

    def claws(self) -> list[int]:
        """Return the resident claw and the ticks that run."""
        return [process.pid for process in self._started if process.poll() is None]

    def log(self) -> str:
        """All that the resident claw, its ticks and its workers have written so far."""
        files = [self.log_path, self.state / "worker.log"]
        return "".join(file.read_text("utf-8", "replace") for file in files if file.exists())

    def at_rest(self) -> bool:
        """Tell whether no job is held: at most a claim waits for its answer."""
        return (self.held() or {}).get("job") is None

    # --- ending ----------------------------------------------------------------------------------------------------

    def kill_claw(self) -> None:
        """Kill -9 the resident claw and ticks, not their workers."""
        for process in self._started:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)
        self._started.clear()

    def kill_worker(self) -> None:
        """Kill -9 every worker, with its process group."""
        for pid in self.workers():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        eventually(lambda: not self.workers(), GONE_SECONDS, what="the end of the workers")

    def crash(self) -> None:
        """Kill -9 everything at once; what a job has left running goes by itself, for its guard sees the end."""
        self.kill_claw()
        self.kill_worker()

    def drain(self, seconds: float = 30.0) -> int:
        """SIGTERM the resident claw; return its exit code."""
        process = self._started[-1]
        process.terminate()
        return process.wait(seconds)


def command_lines() -> list[tuple[int, list[str]]]:
    """Return the process id and the arguments of every process (Linux)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if raw := entry.read_bytes():
                found.append((int(entry.parent.name), raw.decode("utf-8", "replace").split("\0")))
    return found


def processes_of_job(job_id: str) -> list[int]:
    """Return the processes that run for a job, its guard among them (Linux)."""
    mark = f"SPINE_JOB_ID={job_id}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in entry.read_bytes().split(b"\0"):
                found.append(int(entry.parent.name))
    return found
