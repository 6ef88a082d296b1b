"""Stopped processes: `docker ps` shows each as unhealthy, and as healthy again once they go on."""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.stack import MAIN, Stack

from contract.wire import Job

pytestmark = pytest.mark.docker

# Three probes of 5 s, and for the spine 3 s more of each until it gives up.
UNHEALTHY_SECONDS = 60


def test_what_is_stopped_is_unhealthy_until_it_goes_on(stack: Stack, until_status: Callable[..., Job]) -> None:
    serving = "$(cat /data/spine.lock)"
    try:
        assert stack.sh("left-claw", f"kill -STOP {MAIN}") == (0, "")
        assert stack.sh("spine", f"kill -STOP {serving}") == (0, "")
        stack.container("right-claw").kill(signal="SIGSTOP")  # `docker kill` reaches the first process, the init
        stopped = ("left-claw", "spine", "right-claw")
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda service: stack.until_health(service, "unhealthy", UNHEALTHY_SECONDS), stopped))
        shown = {line.split()[0]: line for line in stack.run("ps").splitlines()}
        for service in stopped:
            assert "(unhealthy)" in shown[f"{stack.project}-{service}-1"]
        assert "is stopped or dead (T)" in stack.probes("left-claw")[-1]
        assert stack.probes("right-claw")[-1] == "process 1 is stopped or dead (T)"
        assert "/ready: no answer (TimeoutError" in stack.probes("spine")[-1]
    finally:
        with contextlib.suppress(AssertionError):
            stack.sh("spine", f"kill -CONT {serving}")
        stack.sh("left-claw", f"kill -CONT {MAIN}")
        stack.container("right-claw").kill(signal="SIGCONT")
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda service: stack.until_health(service, "healthy", 30), stopped))
    assert [stack.container(service).attrs["RestartCount"] for service in stopped] == [0, 0, 0]
    ids = [stack.head.submit({"target": claw, "spec": {"run": "true"}}).id for claw in ("left-claw", "right-claw")]
    assert [until_status(job_id, "done").claimed_by for job_id in ids] == ["left-claw", "right-claw"]
