"""A host that does exactly what the real daemon does, in a process of its own, against a spine with a short lease."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.facades.conftest import SKYCLAW_TOKEN, Skyclaw, Start
from tests.support.eventually import eventually
from tests.support.spine_process import SpineProcess

PROGRAM = Path(__file__).with_name("skyclaw_host.py")
Host = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def spine(start_spine: Start) -> SpineProcess:
    return start_spine(SKYCLAW_LEASE_MS="2000")


@pytest.fixture
def sky(spine: SpineProcess) -> Skyclaw:
    return Skyclaw(spine.port)


@pytest.fixture
def start_host(spine: SpineProcess, tmp_path: Path) -> Iterator[Host]:
    """Start the host, always under the same id."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        env = {
            "SKYCLAW_COORDINATOR_URL": spine.url, "SKYCLAW_TOKEN": SKYCLAW_TOKEN, "SKYCLAW_HOST_ID": "the-host",
            "SKYCLAW_POLL_MS": "200", "SKYCLAW_HEARTBEAT_MS": "500", "PATH": "/usr/bin:/bin",
        }  # fmt: skip
        with (tmp_path / "host.log").open("ab") as log:
            started.append(subprocess.Popen([sys.executable, str(PROGRAM)], env=env, stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(10)


def until_ended(sky: Skyclaw, job_id: str, seconds: float = 30) -> None:
    eventually(lambda: sky.job(job_id)["status"] == "completed", seconds, every=0.1, what="the job's end")


def test_a_job_that_outlives_its_lease_is_done_once_and_the_next_one_follows(
    sky: Skyclaw, start_host: Host, tmp_path: Path
) -> None:
    """A lease of 2 s and a job of 5 s; with the original the host starves for ever after it."""
    mark = tmp_path / "ran"
    long = sky.enqueue("shell", command="sh", args=["-c", f"echo ran >> {mark}; sleep 5; echo over"])
    short = sky.enqueue("shell", command="echo", args=["short"])
    start_host()
    until_ended(sky, long)
    until_ended(sky, short)
    assert mark.read_text() == "ran\n"
    assert [(sky.job(job)["attempts"], sky.job(job)["result"]["stdout"]) for job in (long, short)] == [
        (1, "over\n"),
        (1, "short\n"),
    ]
    assert sky.host("the-host")["activeLeases"] == 0


def test_a_host_that_is_killed_and_started_again_runs_the_job_again_and_goes_on(
    sky: Skyclaw, start_host: Host, tmp_path: Path
) -> None:
    """SIGKILL in the middle of a job, then a new process under the same id; with the original it is wedged."""
    mark, go = tmp_path / "ran", tmp_path / "go"
    script = f"echo ran >> {mark}; until [ -e {go} ]; do sleep 0.1; done"
    job = sky.enqueue("shell", command="sh", args=["-c", script])
    first = start_host()
    eventually(mark.exists, what="the first run")
    first.kill()
    first.wait(10)
    start_host()
    eventually(lambda: mark.read_text() == "ran\nran\n", 30, what="the second run")
    go.touch()
    until_ended(sky, job)
    assert sky.job(job)["attempts"] == 2
    following = sky.enqueue("shell", command="true")
    until_ended(sky, following)
    assert sky.host("the-host")["activeLeases"] == 0
