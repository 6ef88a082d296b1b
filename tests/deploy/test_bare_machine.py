"""A person's first five minutes: a machine with git, make, python3 and venv, a fresh clone, a user that is not root.

The container has no network and no Docker; packages come from a wheelhouse of the lock. It sees the last commit, as a
person who clones does, not what is uncommitted.
"""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from docker.models.containers import Container
from tests.docs.pages import DOCS, Step, read, says, steps
from tests.support.engine import ONE_STREAM, run_in

from .conftest import ROOT, Start

pytestmark = pytest.mark.docker

IMAGE = "spinal-cord/bare:bookworm"
MARK = "=== block"
PROJECT = "/home/person/spinal-cord"

LEFT_TO_THE_GATE = (
    "acceptance",
    "bench",
    "deploy/test_ansible.py",
    "docs",
    "suites",
    "integration/chat",
    "integration/cluster",
    "integration/dispatch",
    "integration/facades",
    "integration/facades_broker",
    "integration/head",
    "integration/spine",
)

Shell = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def shell(start_container: Start, wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Run a command in the clone on the bare machine; return its exit code and output."""
    clone = tmp_path_factory.mktemp("bare") / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-local", str(ROOT), str(clone)], check=True)
    machine: Container = start_container(
        IMAGE,
        network_mode="none",
        volumes={
            str(clone): {"bind": "/clone", "mode": "ro"},
            str(wheelhouse): {"bind": "/wheels", "mode": "ro"},
        },
    )

    def run(command: str, seconds: int = 180) -> tuple[int, str]:
        environment = {"HOME": "/home/person", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels", "LANG": "C.UTF-8"}
        script = ["timeout", "--kill-after=10", str(seconds), "bash", "-c", f"{ONE_STREAM}{command}"]
        code, output = run_in(machine, script, user="person", environment=environment, workdir="/home/person")
        return code, output.decode(errors="replace")

    # A copy, because git refuses to read a repository that belongs to another user.
    code, output = run(f"cp -r /clone {PROJECT}")
    assert code == 0, output
    return lambda command, seconds=180: run(f"cd {PROJECT} && {command}", seconds)


def test_make_alone_shows_help_and_installs_nothing(shell: Shell) -> None:
    code, output = shell("make && test ! -e .venv")
    assert code == 0, output
    for target in ("run", "test", "check", "engine"):
        assert re.search(rf"\b{target}\b.* \w", output), output


@pytest.mark.timeout(420, func_only=True)
def test_make_run_does_a_real_job(shell: Shell) -> None:
    code, output = shell("make run ONCE=1", seconds=400)
    assert code == 0, output
    assert "Result" in output, output
    assert "spine/job-" in output, output
    assert re.search(r"http://127\.0\.0\.1:\d+/ui\b", output), output
    # Running needs the small lock only, and leaves no change in the clone.
    assert shell("test ! -e .venv/bin/pytest")[0] == 0
    code, output = shell("git status --porcelain")
    assert (code, output) == (0, "")


@pytest.mark.timeout(420, func_only=True)
def test_the_quickstart_runs_line_by_line_and_says_what_its_page_shows(shell: Shell) -> None:
    text = read(DOCS / "quickstart.md")
    page = steps(text, "sh install", "sh run")
    # Nobody opens a browser here: that the dashboard is where the page says is seen before the last block stops all.
    [dashboard] = re.findall(r"`(http://[^`]*/ui)`", text)
    look = f"import urllib.request as web; print(web.urlopen('{dashboard}', timeout=30).read().decode())"
    page.insert(-1, Step(f'python -c "{look}"\n', "…\n…Sign in…\n…\n"))
    assert len(page) > 5
    assert sum(bool(step.shown) for step in page) >= 4
    # One shell, as a reader has one: what a block starts or exports is there in the next.
    script = "set -eu\ntrap 'echo \"failed: $BASH_COMMAND\"; tail -n 20 spine.log claw.log' ERR\n"
    script += "\n".join(f"echo '{MARK} {n}'\n{step.commands}" for n, step in enumerate(page))
    code, output = shell(script, seconds=400)
    assert code == 0, output
    said = re.split(rf"^{MARK} \d+\n", output, flags=re.MULTILINE)[1:]
    assert len(said) == len(page), output
    for step, lines in zip(page, said, strict=True):
        assert not step.shown or says(lines, step.shown), f"{step.commands}\nsaid\n{lines}\nnot\n{step.shown}"


@pytest.mark.timeout(2460, func_only=True)
def test_make_test_passes_and_says_what_it_left_out(shell: Shell) -> None:
    # Most of the time goes into tests to which one machine is like another, and into further cases of a test, most of
    # which ask our code and not the machine: those are left to the gate's own run of the same commit, outside.
    left = " ".join(f"--ignore=tests/{folder}" for folder in LEFT_TO_THE_GATE)
    code, output = shell(f"PYTEST_ADDOPTS='--first-cases {left}' make test WORKERS=2", seconds=2400)
    assert code == 0, output[-20_000:]
    assert re.search(r"^=+ .*\d+ passed", output, re.MULTILINE), output[-2_000:]
    assert "LEFT OUT" in output, output[-2_000:]
    assert "NEED A DOCKER ENGINE" in output, output[-2_000:]
    assert "tests/deploy/test_bare_machine.py" in output, output[-2_000:]
