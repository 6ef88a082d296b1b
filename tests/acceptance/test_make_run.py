"""`make run`, as a person meets it: real processes on this machine, one real job, addresses that work as pasted."""

import os
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.claw_process import command_lines
from tests.support.eventually import eventually
from tests.support.repository import git
from tests.support.spine_process import REPO

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]
SECONDS = 90


class Run:
    """One run of the demonstration: its output so far, and every command line that this machine showed meanwhile."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder, self.output = folder, ""
        self.command_lines: set[str] = set()
        env = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        # What a person's shell may hold, and what must not reach the demonstration.
        env |= {"SPINE_TOKEN": "a-token-from-elsewhere", "SPINE_PORT": "1", "GIT_DIR": "/nowhere"}
        self.process = subprocess.Popen(
            [sys.executable, str(REPO / "examples/run.py"), "--folder", str(folder), *words],
            cwd=folder.parent,
            env=env | {"PYTHONPATH": str(REPO / "services"), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        threading.Thread(target=self._watch, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as printed:
            for line in printed:
                self.output += line

    def _watch(self) -> None:
        while self._reader.is_alive():
            self.command_lines |= {" ".join(words) for _, words in command_lines()}
            self._reader.join(0.05)

    def await_text(self, said: str) -> None:
        """Wait until the text has been printed."""
        eventually(lambda: said in self.output or self.process.poll() is not None, SECONDS, what=repr(said))
        assert said in self.output, self.output

    def end(self) -> int:
        """Wait for the end; return the exit code."""
        code = self.process.wait(SECONDS)
        self._reader.join(10)
        return code

    def left_running(self) -> list[list[str]]:
        """Return processes that still know the folder."""
        return [words for _, words in command_lines() if any(str(self.folder) in word for word in words)]

    def pids(self) -> list[int]:
        """Return the processes that it says it has started."""
        return [int(pid) for pid in re.findall(r"pid (\d+)", self.output)]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    started: list[Run] = []

    def start(*words: str) -> Run:
        started.append(Run(tmp_path / "demo", *words))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.terminate()
        one.end()


def tokens(folder: Path) -> list[str]:
    return [line.split("=", 1)[1] for line in (folder / "tokens.env").read_text().splitlines()]


def test_once_does_a_real_job_and_leaves_nothing_running(run: Callable[..., Run]) -> None:
    demo = run("--once")
    assert demo.end() == 0, demo.output
    lines = demo.output.splitlines()
    told = [line.strip() for line in lines]
    headings = ["Start", "Job", "Result", "Branch", "Addresses"]
    assert [line for line in lines if line in headings] == headings
    assert told.index("phase 1 of 3: test") < told.index("phase 2 of 3: release") < told.index("done")

    # The branch stands in the repository, and does what was asked for.
    branch = re.findall(r"^  branch +(spine/job-[0-9a-z]{20})$", demo.output, re.MULTILINE)[0]
    bare = demo.folder / "greeter.git"
    assert git(bare, "show", f"{branch}:CHANGELOG.md").startswith("# Changelog\n\n## 1.5.0\n")
    assert '__version__ = "1.5.0"' in git(bare, "show", f"{branch}:greeter/__init__.py")
    assert git(bare, "rev-list", "--count", f"main..{branch}") == "1"
    short = git(bare, "rev-parse", "--short", branch)
    assert f"  {short} Release the greeter" in lines
    assert "   2 files changed, 5 insertions(+), 1 deletion(-)" in lines

    assert re.search(r"^    build\.log +http://127\.0\.0\.1:\d+/blobs/\w+$", demo.output, re.MULTILINE)
    assert re.search(r"^    reports/tests\.txt +http://127\.0\.0\.1:\d+/blobs/\w+$", demo.output, re.MULTILINE)
    assert re.search(r"^  job's log +http://127\.0\.0\.1:\d+/jobs/\w{20}/log$", demo.output, re.MULTILINE)
    assert len(demo.pids()) == 2
    assert [pid for pid in demo.pids() if Path(f"/proc/{pid}").exists()] == []
    assert demo.left_running() == []


def test_tokens_are_for_their_owner_alone(run: Callable[..., Run]) -> None:
    demo = run("--once")
    assert demo.end() == 0, demo.output
    secrets = tokens(demo.folder)
    assert len(set(secrets)) == 3
    seen = {"output": demo.output, "command lines": "\n".join(demo.command_lines)}
    seen |= {name: (demo.folder / name).read_text() for name in ("spine.log", "claw.log", "head.env")}
    assert "spine.cli" in seen["command lines"]
    assert "head.cli" in seen["command lines"]
    assert [(where, token) for where, text in seen.items() for token in secrets if token in text] == []
    holders = [file for file in demo.folder.rglob("*") if file.is_file() and any_in(secrets, file.read_bytes())]
    assert {file.relative_to(demo.folder).as_posix() for file in holders} == {
        "tokens.env",
        "head.token",
        "left-claw.token",
    }
    assert {stat.S_IMODE(file.stat().st_mode) for file in holders} == {0o600}


def any_in(secrets: list[str], data: bytes) -> bool:
    return any(secret.encode() in data for secret in secrets)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped(run: Callable[..., Run], number: signal.Signals) -> None:
    demo = run()
    demo.await_text("Serving until Ctrl-C.")
    pasted = next(line.strip() for line in demo.output.splitlines() if "submit --run" in line)
    done = subprocess.run(
        ["bash", "-c", pasted],
        cwd=demo.folder.parent,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPO / "services"), "SPINE_TOKEN": "another"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Linux" in done.stdout or "Darwin" in done.stdout
    demo.process.send_signal(number)
    assert demo.end() == 0, demo.output
    assert demo.output.endswith("\nStopped.\n")
    assert demo.left_running() == []


def test_a_second_run_in_the_same_folder_goes_on_with_what_is_there(run: Callable[..., Run]) -> None:
    assert run("--once").end() == 0
    again = run("--once")
    assert again.end() == 0, again.output
    assert len(re.findall(r"spine/job-\w+", git(again.folder / "greeter.git", "branch", "--list"))) == 2


def test_two_at_once_do_not_share_a_folder(run: Callable[..., Run]) -> None:
    first = run()
    first.await_text("Serving until Ctrl-C.")
    second = run("--once")
    assert second.end() == 1
    assert "another run is using" in second.output
    assert first.process.poll() is None


def test_a_service_that_dies_is_a_failure_with_the_end_of_its_log(run: Callable[..., Run]) -> None:
    demo = run()
    demo.await_text("Serving until Ctrl-C.")
    os.kill(demo.pids()[1], signal.SIGKILL)
    assert demo.end() == 1
    assert "Failed: the claw has ended by itself" in demo.output
    assert re.search(r"^The end of demo/claw\.log:$", demo.output, re.MULTILINE)
    assert demo.left_running() == []
