"""Under a service manager: sockets that it keeps, what it is told, a watchdog that a hung server does not feed."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.eventually import eventually
from tests.support.manager import Manager
from tests.support.raw_http import Api
from tests.support.server import Server
from tests.support.spine_process import TOKENS, SpineProcess


@pytest.fixture
def ended() -> Iterator[list[SpineProcess]]:
    """Servers that are killed when the test ends."""
    made: list[SpineProcess] = []
    yield made
    for process in made:
        process.kill9()


def test_it_serves_on_every_socket_that_it_was_handed_and_on_no_other(
    tmp_path: Path, ended: list[SpineProcess]
) -> None:
    with Manager(tmp_path, listeners=3) as manager:
        spine = manager.spine(SPINE_PORT="1")  # a port that it could not have: nobody asks for it
        ended.append(spine.start())
        job = Server(spine).head.submit()
        for port in manager.ports:
            assert Api(port, TOKENS["HEAD_TOKEN"]).job(job["id"]) == job
        assert spine.stop() == 0
        assert spine.faults() == []
        # The sockets are the manager's: they listen on, and who calls now waits for the next server.
        with socket.create_connection(("127.0.0.1", manager.ports[1]), 5):
            pass


def test_ready_is_said_when_it_serves_and_by_nobody_else(tmp_path: Path, ended: list[SpineProcess]) -> None:
    with Manager(tmp_path) as manager:
        spine = manager.spine()
        ended.append(spine)
        spine.launch()
        manager.await_word("READY=1")
        assert Api(spine.port).get("/ready", timeout=20).status == 200
        assert manager.heard("STATUS=serves") == 1
        assert spine.stop() == 0
        assert manager.heard("READY=1") == 1  # gunicorn's own would come before the store is open
        assert manager.heard("STOPPING=1") >= 1
        assert manager.heard("WATCHDOG=1") == 0  # nobody watches


def test_a_server_that_cannot_serve_is_never_ready(tmp_path: Path) -> None:
    with Manager(tmp_path) as manager:
        spine = manager.spine(SPINE_DATA_DIR=str(tmp_path / "file"))
        (tmp_path / "file").touch()
        spine.launch()
        assert spine.wait(20) == 78
        assert manager.messages == []


def test_the_watchdog_is_fed_while_it_serves(tmp_path: Path, ended: list[SpineProcess]) -> None:
    with Manager(tmp_path, watchdog_seconds=3, abstract=True) as manager:
        ended.append(manager.spine().start())
        manager.await_word("WATCHDOG=1", times=3)


def words_after(manager: Manager, seconds: float) -> int:
    """Count the words to the watchdog that come in a time of silence."""
    before = manager.heard("WATCHDOG=1")
    time.sleep(seconds)  # what is awaited is that nothing comes
    return manager.heard("WATCHDOG=1") - before


@pytest.mark.parametrize("who", ["arbiter", "worker"])
def test_the_watchdog_is_not_fed_while_a_process_of_it_is_stopped(
    tmp_path: Path, who: str, ended: list[SpineProcess]
) -> None:
    with Manager(tmp_path, watchdog_seconds=3) as manager:
        spine = manager.spine()
        ended.append(spine.start())
        manager.await_word("WATCHDOG=1")
        pid = spine.pid if who == "arbiter" else spine.worker_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            eventually(lambda: words_after(manager, 1.5) == 0, what="silence")
        finally:
            os.kill(pid, signal.SIGCONT)
        manager.await_word("WATCHDOG=1", manager.heard("WATCHDOG=1") + 1)


def test_the_watchdog_is_not_fed_while_the_event_loop_hangs(tmp_path: Path, ended: list[SpineProcess]) -> None:
    with Manager(tmp_path, watchdog_seconds=3) as manager:
        spine = manager.spine()
        ended.append(spine)
        spine.start_armed("spine.claim-committed")
        manager.await_word("WATCHDOG=1")
        server = Server(spine)
        server.head.submit(target="left-claw")
        poll = server.left.by("w").poll(wait=1)
        spine.await_point("spine.claim-committed")
        eventually(lambda: words_after(manager, 1.5) == 0, what="silence")
        poll.close()


def test_a_watchdog_of_another_process_is_not_fed(tmp_path: Path, ended: list[SpineProcess]) -> None:
    with Manager(tmp_path, watchdog_seconds=3) as manager:
        ended.append(manager.spine(WATCHDOG_PID="1").start())
        manager.await_word("READY=1")
        assert words_after(manager, 1.5) == 0


def test_a_manager_that_is_gone_stops_nobody(tmp_path: Path, ended: list[SpineProcess]) -> None:
    spine = SpineProcess(tmp_path, {"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "3000000"})
    ended.append(spine.start())
    assert Server(spine).head.submit()["status"] == "queued"
    assert spine.stop() == 0


@pytest.mark.parametrize(("pid", "count"), [("nobody", "three"), ("1", "3")], ids=["broken", "of another process"])
def test_sockets_that_are_not_for_it_are_left_alone(
    tmp_path: Path, pid: str, count: str, ended: list[SpineProcess]
) -> None:
    spine = SpineProcess(tmp_path, {"LISTEN_PID": pid, "LISTEN_FDS": count})
    ended.append(spine.start())
    assert Server(spine).head.get("/health").status == 200


def test_what_is_no_listening_socket_is_refused_with_its_number(tmp_path: Path) -> None:
    script = (
        "import os, sys; os.dup2(os.open(os.devnull, os.O_RDONLY), 3);"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
        "os.execv(sys.executable, [sys.executable, '-m', 'spine.cli', 'serve'])"
    )
    env = SpineProcess(tmp_path).environment()
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=180)
    assert done.returncode == 78
    assert done.stderr == "spine: LISTEN_FDS: file descriptor 3 is not a listening stream socket\n"
