"""Commands that behave badly: every one of them ends, and nothing of it is left running."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.claw.conftest import SERVICES, until

from claw.process import guard, identity
from claw.process.run import Ended, run_guarded
from claw.process.spool import Spool

MARK = "GUARD_TEST"


class Bench:
    """Runs shell lines whose processes carry a mark, so that leftovers are found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = f"{os.getpid()}-{folder.name}"
        self.output = bytearray()
        self.taken = 0

    def sink(self, chunk: bytes) -> None:
        self.taken += len(chunk)
        self.output = (self.output + chunk)[-1000:]

    def run(self, script: str, seconds: float = 20, stop: Callable[[], bool] = lambda: False) -> Ended:
        return run_guarded(
            ["/bin/sh", "-c", script],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], MARK: self.mark},
            sink=self.sink,
            timeout_seconds=seconds,
            grace_seconds=0.3,
            stop=stop,
        )

    def left(self) -> list[int]:
        return identity.marked({MARK: self.mark})


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 75", 75), ("kill -TERM $$", 143), ("nonesuch", 127), ("kill -9 $$", 137)],
)
def test_the_exit_code_is_that_of_the_command(bench: Bench, script: str, code: int) -> None:
    assert bench.run(script).code == code


def test_a_command_that_cannot_be_started_says_so_with_126_or_127(tmp_path: Path) -> None:
    kept = bytearray()
    plain = tmp_path / "plain"
    plain.write_text("no program")
    for path, code in ((tmp_path / "none", 127), (plain, 126)):
        ended = run_guarded([str(path)], cwd=tmp_path, env={}, sink=kept.extend, timeout_seconds=60, grace_seconds=1)
        assert ended.code == code
    assert f"cannot start {plain}: Permission denied" in kept.decode()


def test_a_flood_of_output_is_taken_with_bounded_memory(bench: Bench, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "log", 1 << 20, ())
    bench.sink = spool.write  # type: ignore[method-assign]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ended = bench.run("yes 0123456789012345678901234567890123456789 | head -c 60000000; echo; echo the end")
    assert ended.code == 0
    assert spool.last_line() == "the end"
    spool.close()
    content = (tmp_path / "log").read_bytes()
    assert len(content) <= 1 << 20
    assert content.endswith(b"\n[output cut here: the limit of 1048576 bytes is reached]\n")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 30_000, f"{grown} KiB"


def test_a_deadline_ends_a_command_that_ignores_sigterm(bench: Bench) -> None:
    ended = bench.run("trap '' TERM; while :; do sleep 0.1; done", seconds=0.5)
    assert (ended.code, ended.timed_out, ended.stopped) == (137, True, False)
    assert ended.seconds < 30
    assert bench.left() == []


def test_a_stop_gives_a_command_the_chance_to_tidy_up(bench: Bench) -> None:
    ended = bench.run(
        "trap 'echo tidy; exit 3' TERM; echo up; while :; do sleep 0.05; done", stop=lambda: bench.taken > 0
    )
    assert (ended.code, ended.stopped) == (3, True)
    assert bytes(bench.output).startswith(b"up\n")
    assert bytes(bench.output).endswith(b"tidy\n")


def test_closed_output_does_not_end_a_command(bench: Bench) -> None:
    ended = bench.run("exec >&- 2>&-; sleep 0.3; exit 4")
    assert ended.code == 4
    assert ended.seconds >= 0.3


def test_a_grandchild_that_holds_the_pipe_is_not_waited_for(bench: Bench) -> None:
    ended = bench.run("echo before; sleep 1000 & exit 0")
    assert ended.code == 0
    assert ended.seconds < 30
    assert bytes(bench.output) == b"before\n"
    assert bench.left() == []


def test_a_grandchild_that_goes_on_printing_is_ended(bench: Bench) -> None:
    ended = bench.run("yes & sleep 0.2; exit 0")
    assert ended.code == 0
    assert ended.seconds < 30
    assert bench.left() == []


def test_a_daemon_in_a_session_of_its_own_is_found(bench: Bench) -> None:
    assert bench.run("setsid sh -c 'setsid sleep 1000 & setsid sleep 1000 &' & sleep 0.3").code == 0
    assert bench.left() == []


def test_many_forks_are_all_ended(bench: Bench) -> None:
    script = "i=0; while [ $i -lt 60 ]; do (sh -c 'sleep 1000 & sleep 1000' &); i=$((i+1)); done; echo up; sleep 1000"
    ended = bench.run(script, stop=lambda: b"up" in bench.output)
    assert ended.stopped
    assert bench.left() == []


def test_a_command_that_kills_its_guard_leaves_nothing(tmp_path: Path) -> None:
    # Needs a parent that adopts orphans, as a worker does: a process of its own, not the test's.
    program = (
        "import sys; from pathlib import Path\n"
        "from claw.process import guard; from claw.process.run import run_guarded\n"
        "guard.become_subreaper()\n"
        "env = {'PATH': '/usr/bin:/bin', 'GUARD_TEST': sys.argv[1]}\n"
        "ended = run_guarded(['/bin/sh', '-c', 'sleep 1000 & kill -9 $PPID; sleep 1000'], cwd=Path('/'), env=env,\n"
        "    sink=lambda chunk: None, timeout_seconds=20, grace_seconds=1)\n"
        "print(ended.code)\n"
    )
    mark = f"{os.getpid()}-killed-guard"
    env = {"PYTHONPATH": str(SERVICES), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", program, mark], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "137\n"
    assert identity.marked({MARK: mark}) == []


def test_a_worker_killed_by_sigkill_takes_the_tree_along(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from claw.process.run import run_guarded\n"
        "env = {'PATH': '/usr/bin:/bin', 'GUARD_TEST': sys.argv[1]}\n"
        "run_guarded(['/bin/sh', '-c', 'setsid sleep 1000 & sleep 1000'], cwd=Path('/'), env=env,\n"
        "    sink=lambda chunk: None, timeout_seconds=20, grace_seconds=1)\n"
    )
    mark = f"{os.getpid()}-killed-worker"
    env = {"PYTHONPATH": str(SERVICES), "PATH": os.environ["PATH"]}
    worker = subprocess.Popen([sys.executable, "-c", program, mark], env=env)
    until(lambda: len(identity.marked({MARK: mark})) >= 3)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    until(lambda: identity.marked({MARK: mark}) == [])


def test_a_process_is_known_by_more_than_its_pid() -> None:
    child = subprocess.Popen(["/bin/sleep", "1000"])
    mark = identity.start_mark(child.pid)
    assert mark is not None
    assert identity.alive(child.pid, mark)
    assert not identity.alive(child.pid, mark + "0")
    child.send_signal(signal.SIGSTOP)
    until(lambda: identity.stopped(child.pid))
    begun = time.monotonic()
    assert not identity.wait_end(child.pid, mark, 0.2)
    assert time.monotonic() - begun >= 0.2
    assert identity.end_process(child.pid, mark, 0.3)
    assert identity.start_mark(child.pid) is None
    child.returncode = -9


def test_descendants_are_listed_below_their_root_only() -> None:
    child = subprocess.Popen(["/bin/sh", "-c", "sleep 1000; true"])
    try:
        below = until(lambda: guard.descendants(child.pid))
        assert len(below) == 1
        assert child.pid not in below
    finally:
        guard.kill_tree(child.pid)
        child.kill()
        child.wait()
