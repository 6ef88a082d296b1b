"""spine-head watch on a real terminal: it goes live with a job, follows the window's size, and leaves no trace."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len
from tests.support.spine_process import REPO, TOKENS, SpineProcess
from tests.support.terminal import Terminal

from contract.client import SpineClient

pytestmark = pytest.mark.acceptance
COMMAND = (sys.executable, "-m", "head.cli", "watch")


@pytest.fixture(scope="module")
def spine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpineProcess]:
    process = SpineProcess(tmp_path_factory.mktemp("spine")).start()
    yield process
    assert process.stop() == 0, process.log_tail()


@pytest.fixture
def env(spine: SpineProcess) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(REPO / "services"),
        "SPINE_BASE_URL": spine.url,
        "SPINE_TOKEN": TOKENS["HEAD_TOKEN"],
    }


@pytest.fixture
def claw(spine: SpineProcess) -> SpineClient:
    return SpineClient(spine.url, TOKENS["LEFT_CLAW_TOKEN"])


@pytest.fixture
def head(spine: SpineProcess) -> SpineClient:
    return SpineClient(spine.url, TOKENS["HEAD_TOKEN"])


def under(lines: list[str], title: str) -> str:
    """Return the first row of a part of the board; empty when it has none."""
    at = next((n for n, line in enumerate(lines) if line.startswith(title)), None)
    return "" if at is None or at + 1 >= len(lines) else lines[at + 1].rstrip()


def test_a_job_goes_from_queued_to_done_on_the_board(
    env: dict[str, str], head: SpineClient, claw: SpineClient, tmp_path: Path
) -> None:
    terminal = Terminal(COMMAND, env, tmp_path, 100, 24)
    try:
        terminal.until(lambda lines: lines[:1] != [] and lines[0].startswith("0 running · 0 waiting"))
        job_id = head.submit({"spec": "a task", "label": "Build it"}).id
        waiting = terminal.until(lambda lines: under(lines, "Waiting 1").startswith(job_id))
        assert under(waiting, "Waiting 1").split("  ")[1] == "Build it"
        assert "no machine" in under(waiting, "Waiting 1")

        fence = claw.claim_one(job_id).fence
        claw.heartbeat(job_id, fence, {"phase": "test", "percent": 50})
        running = terminal.until(lambda lines: "50 %" in under(lines, "Running 1"))
        assert under(running, "Running 1").startswith(f"{job_id}  Build it  test")
        assert "━━━━────" in under(running, "Running 1")

        for width, height in ((40, 12), (120, 30)):
            terminal.resize(width, height)
            terminal.until(
                lambda lines, w=width, h=height: len(lines) == h and {cell_len(line) for line in lines} == {w}  # type: ignore[misc]
            )
        claw.complete(job_id, fence, {"notes": "done"})
        done = terminal.until(lambda lines: under(lines, "Ended lately").startswith(job_id))
        assert under(done, "Ended lately").split()[1] == "done"
        assert "0 running" in done[0]

        terminal.press(b"\x03")
        assert terminal.end() == 130
        # Its own screen was entered once and left at the end, the cursor is shown again, and nothing is printed behind.
        assert terminal.seen.count(b"\x1b[?1049h") == terminal.seen.count(b"\x1b[?1049l") == 1
        assert terminal.seen.rindex(b"\x1b[?25h") > terminal.seen.rindex(b"\x1b[?25l")
        rest = terminal.seen.rpartition(b"\x1b[?1049l")[2]
        assert rest.replace(b"\x1b[?25h", b"").strip() == b""
        assert terminal.modes_now() == terminal.modes
    finally:
        terminal.close()


def test_colours_are_left_out_where_none_are_wanted(env: dict[str, str], tmp_path: Path) -> None:
    for wish, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        terminal = Terminal(COMMAND, env | wish, tmp_path)
        try:
            terminal.until(lambda lines: any(line.startswith("Machines") for line in lines))
            assert (b"\x1b[33m" in terminal.seen) == coloured, wish
        finally:
            terminal.close()


def test_what_is_asked_for_decides_about_colours_on_a_pipe(
    env: dict[str, str], head: SpineClient, tmp_path: Path
) -> None:
    head.submit({"spec": "a task"})
    for wish, coloured in (({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)):
        done = subprocess.run(
            [sys.executable, "-m", "head.cli", "list"], env=env | wish, cwd=tmp_path, capture_output=True, timeout=180
        )
        assert (b"\x1b[36m" in done.stdout) == coloured, wish
