"""The probe of the images, run as they run it, beside processes and servers that are well or not."""

import http.server
import os
import re
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.eventually import eventually
from tests.support.spine_process import SpineProcess, free_port

PROBE = Path(__file__).resolve().parents[2] / "images" / "healthcheck.py"
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the probe reads /proc, as in a container")


def probe(*words: str, **environment: str) -> tuple[int, str]:
    """Run the probe; return its exit code and its one line."""
    command = [sys.executable, "-IS", str(PROBE), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


@pytest.fixture
def living() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that stands for a claw or a head."""
    process = subprocess.Popen(["sleep", "60"])
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def touch(path: Path, pid: int, age: float = 0.0) -> None:
    """Write the file that a process touches, as old as said."""
    path.write_text(f"{pid}\n")
    then = time.time() - age
    os.utime(path, (then, then))


@pytest.mark.parametrize(
    ("role", "variable", "name", "longest"),
    [
        ("claw", "CLAW_STATE_DIR", "alive", 20),
        ("head", "HEAD_STATE_DIR", "head-loop.alive", 60),
        ("chat", "CHAT_STATE_DIR", "alive", 30),
    ],
)
def test_what_touches_a_file(
    tmp_path: Path, living: "subprocess.Popen[bytes]", role: str, variable: str, name: str, longest: int
) -> None:
    assert runpy.run_path(str(PROBE))["AGES"][role] == (variable, name, longest)
    environment = {variable: str(tmp_path)}
    code, said = probe(role, **environment)
    assert (code, "No such file" in said) == (1, True)
    touch(tmp_path / name, living.pid, longest // 2)
    assert probe(role, **environment) == (0, "ok")
    touch(tmp_path / name, living.pid, longest + 1)
    code, said = probe(role, **environment)
    # It takes a while to start, and looks at the age then.
    stood_still = re.fullmatch(rf"process {living.pid} has not gone on for (\d+) s", said)
    assert code == 1, said
    assert stood_still, said
    assert longest + 1 <= int(stood_still[1]) <= longest + 20
    touch(tmp_path / name, living.pid, -300)  # it said that it would be busy
    assert probe(role, **environment) == (0, "ok")
    living.send_signal(signal.SIGSTOP)
    eventually(lambda: probe(role, **environment) == (1, f"process {living.pid} is stopped or dead (T)"))
    living.send_signal(signal.SIGCONT)
    eventually(lambda: probe(role, **environment) == (0, "ok"))
    living.kill()
    eventually(lambda: probe(role, **environment) == (1, f"process {living.pid} is stopped or dead (Z)"))
    living.wait(10)
    code, said = probe(role, **environment)
    assert (code, said.startswith(f"process {living.pid}: ")) == (1, True)
    (tmp_path / name).write_text("")
    assert probe(role, **environment)[0] == 1


def test_a_spine(tmp_path: Path) -> None:
    spine = SpineProcess(tmp_path).start()
    try:
        environment = {"SPINE_HOST": "0.0.0.0", "SPINE_PORT": str(spine.port)}
        assert probe("spine", **environment) == (0, "ok")
        os.kill(spine.worker_pid, signal.SIGSTOP)
        try:
            code, said = probe("spine", **environment)
            assert (code, said) == (1, "/ready: no answer (TimeoutError: timed out)")
        finally:
            os.kill(spine.worker_pid, signal.SIGCONT)
        eventually(lambda: probe("spine", **environment) == (0, "ok"))
    finally:
        spine.kill9()
    code, said = probe("spine", SPINE_PORT=str(spine.port))
    assert (code, said.startswith("/ready: no answer (ConnectionRefusedError: ")) == (1, True)


class Unready(http.server.BaseHTTPRequestHandler):
    """A spine that cannot write."""

    def do_GET(self) -> None:
        self.send_response(503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_spine_that_is_not_ready() -> None:
    port = free_port()
    with http.server.HTTPServer(("127.0.0.1", port), Unready) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        assert probe("spine", SPINE_PORT=str(port)) == (1, "/ready: 503")
        server.shutdown()
        thread.join(5)


def test_a_role_that_there_is_not() -> None:
    assert probe() == (1, "usage: healthcheck.py spine|claw|head|chat")
    assert probe("dispatch") == (1, "usage: healthcheck.py spine|claw|head|chat")
