"""Commands of a policy: what they get, what counts of what they say, and that they end."""

import os
import sys
import time
from pathlib import Path

import pytest
from tests.support.eventually import eventually

from head import hooks
from head.policy import TEXT_MOST

ENV = {"PATH": os.environ["PATH"]}


def test_input_output_exit_and_environment() -> None:
    code = "import os, sys; print(sys.stdin.read().upper(), sorted(k for k in os.environ if k.startswith('S')))"
    ran = hooks.run([sys.executable, "-c", code], b"a job", ENV | {"SPINE_JOB_ID": "j1"}, 30)
    assert ran == hooks.Ran(0, "A JOB ['SPINE_JOB_ID']\n", "")
    assert hooks.run(["sh", "-c", "echo again; exit 10"], b"", ENV, 30) == hooks.Ran(10, "again\n", "")


def test_a_command_that_reads_nothing_and_says_much() -> None:
    ran = hooks.run(["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x"], b"y" * 1_000_000, ENV, 30)
    assert (ran.code, ran.text) == (0, "x" * TEXT_MOST)


@pytest.mark.parametrize("command", [["/not/there"], ["."]])
def test_a_command_that_cannot_be_started(command: list[str]) -> None:
    ran = hooks.run(command, b"", ENV, 30)
    assert (ran.code, "cannot be started" in ran.fault) == (None, True)


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    begun = time.monotonic()
    ran = hooks.run(["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; wait"], b"", ENV, 0.5)
    assert (ran.code, "longer than 0.5 s" in ran.fault) == (None, True)
    assert time.monotonic() - begun < 20
    stat = Path("/proc") / (tmp_path / "pid").read_text().strip() / "stat"
    # Gone, or dead and not yet collected by init.
    eventually(lambda: not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] in "ZX", what="its end")


def test_a_command_is_ended_when_it_may_not_go_on(tmp_path: Path) -> None:
    class Over(Exception):
        pass

    def check() -> None:
        if (tmp_path / "pid").exists():
            raise Over

    begun = time.monotonic()
    with pytest.raises(Over):
        hooks.run(["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60"], b"", ENV, 60, check)
    assert time.monotonic() - begun < 20
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()
