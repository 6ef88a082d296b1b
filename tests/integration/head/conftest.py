"""A real server, spine-head as real processes, and claws that are told what to do."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.spine_process import REPO, TOKENS, SpineProcess

from contract.client import SpineClient
from contract.wire import Job

SECONDS = 60


class Head:
    """Someone at a shell with a head's token; each call is a process of its own."""

    def __init__(self, home: Path, url: str) -> None:
        self.home = home
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(REPO / "services"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SPINE_BASE_URL": url,
            "SPINE_TOKEN": TOKENS["HEAD_TOKEN"],
        }

    def start(self, *words: str, **env: str) -> "subprocess.Popen[str]":
        """Start a command; its output can be read as it comes."""
        return subprocess.Popen(
            [sys.executable, "-m", "head.cli", *words],
            env=self.env | {"PYTHONUNBUFFERED": "1"} | env,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, stdin: str = "", code: int = 0, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, which must have the exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "head.cli", *words],
            env=self.env | env,
            cwd=self.home,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def json(self, *words: str, stdin: str = "", code: int = 0) -> Any:
        """Run a command with --json; return its document."""
        return json.loads(self.run(*words, "--json", stdin=stdin, code=code).stdout)

    def submit(self, *words: str) -> str:
        """Submit a job; return its id."""
        return self.run("submit", *(words or ("a task",))).stdout.strip()


def end(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Wait for the end; return exit code, and what is left of both outputs."""
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def spine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpineProcess]:
    """A server of the module's own, with default settings; a test may kill it and start it again."""
    process = SpineProcess(tmp_path_factory.mktemp("spine")).start()
    yield process
    assert process.stop() == 0, process.log_tail()


@pytest.fixture
def head(spine: SpineProcess, tmp_path: Path) -> Head:
    return Head(tmp_path, spine.url)


class Claw(SpineClient):
    """A claw that does what a test says."""

    def take(self, job_id: str) -> Job:
        """Claim a job by id."""
        return self.claim_one(job_id)


@pytest.fixture
def claw(spine: SpineProcess) -> Claw:
    return Claw(spine.url, TOKENS["LEFT_CLAW_TOKEN"])
