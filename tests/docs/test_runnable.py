"""The commands in quickstart and how-to are run as they stand.

A block that begins with ```sh run is run. The blocks of one page are one script, in an empty folder; the first command
that fails ends it. A page says in a comment what must be there: `<!-- needs: spine -->` or `<!-- needs: spine claw -->`
starts one, with a head's token in SPINE_TOKEN and all tokens in HEAD_TOKEN, LEFT_CLAW_TOKEN and RIGHT_CLAW_TOKEN. The
usual port is replaced by a free one.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.pages import DOCS, REPO, blocks, read, says, steps
from tests.support.spine_process import TOKENS, SpineProcess, free_port

PROGRAMS = {"spine": "spine.cli", "claw": "claw.cli", "spine-head": "head.cli"}
TOOLS = ("curl", "jq")
PORT = "36725"
PAGES = sorted([DOCS / "quickstart.md", *(DOCS / "howto").glob("*.md")])


def script(page: Path) -> str:
    """Return the runnable blocks of a page as one script."""
    return "\n".join(block.text for block in blocks(read(page)) if block.info == "sh run")


def needs(page: Path) -> set[str]:
    """Return what a page wants to be running."""
    found = re.search(r"<!-- needs: (.*?) -->", read(page))
    return set(found[1].split()) if found else set()


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with our three programs as this checkout has them."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, module in PROGRAMS.items():
        path = folder / name
        path.write_text(f'#!/bin/sh\nPYTHONPATH={REPO / "services"} exec {sys.executable} -P -m {module} "$@"\n')
        path.chmod(0o755)
    return folder


@pytest.fixture
def environment(tmp_path: Path, programs: Path) -> dict[str, str]:
    folder = tmp_path / "here"
    folder.mkdir()
    return {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(folder), "LANG": "C.UTF-8", "PWD": str(folder)}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[list["subprocess.Popen[bytes] | SpineProcess"]]:
    """What a test starts for its page; ended in reverse order."""
    found: list[subprocess.Popen[bytes] | SpineProcess] = []
    yield found
    for one in reversed(found):
        if isinstance(one, SpineProcess):
            assert one.stop() == 0, one.log_tail()
        else:
            one.terminate()
            assert one.wait(60) == 0


@pytest.mark.parametrize("page", [page for page in PAGES if script(page)], ids=lambda page: page.stem)
def test_commands_of_a_page_run(
    page: Path, tmp_path: Path, environment: dict[str, str], running: list["subprocess.Popen[bytes] | SpineProcess"]
) -> None:
    text = script(page)
    missing = [tool for tool in TOOLS if re.search(rf"\b{tool}\b", text) and shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not found: the commands of {page.name} need them")
    here, port = Path(environment["PWD"]), free_port()
    if "spine" in needs(page):
        spine = SpineProcess(tmp_path / "spine").start()
        running.append(spine)
        port = spine.port
        environment |= {"SPINE_BASE_URL": spine.url, "SPINE_TOKEN": TOKENS["HEAD_TOKEN"], **TOKENS}
    if "claw" in needs(page):
        own = {
            "SPINE_TOKEN": TOKENS["LEFT_CLAW_TOKEN"],
            "CLAW_STATE_DIR": str(tmp_path / "claw"),
            "CLAW_ALLOWED_REPOS": str(here),
        }
        with (tmp_path / "claw.log").open("wb") as log:
            running.append(subprocess.Popen(["claw", "run"], env=environment | own, cwd=here, stdout=log, stderr=log))
    text = text.replace(PORT, str(port))
    if "spine" not in needs(page):
        environment["SPINE_PORT"] = str(port)
    done = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=here,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        said = done.communicate(timeout=90)[0].decode()
    finally:
        try:
            os.killpg(done.pid, signal.SIGKILL)  # what a script that failed has left running
        except ProcessLookupError:
            pass
    assert done.returncode == 0, said


def test_every_runnable_block_is_on_a_page_that_is_run() -> None:
    elsewhere = {page.name for page in DOCS.rglob("*.md") if script(page)} - {page.name for page in PAGES}
    assert elsewhere == set()


def test_no_page_says_that_it_needs_something_unknown() -> None:
    assert set().union(*(needs(page) for page in PAGES)) <= {"spine", "claw"}


def test_what_a_page_shows_belongs_to_the_commands_right_before_it() -> None:
    text = "```sh run\none\n```\n\n```text\nok …\n```\nWords.\n```sh run\ntwo\n```\nWords.\n```text\nno output\n```\n"
    assert [tuple(step) for step in steps(text, "sh run")] == [("one\n", "ok …\n"), ("two\n", "")]


@pytest.mark.parametrize(
    ("output", "same"),
    [("a 1\nlast\n", True), ("a 1\nb\nc\nlast\n", True), ("b\na 1\nlast\n", False), ("a 1\nlast\nmore\n", False)],
)
def test_an_output_is_what_a_page_shows_but_for_what_it_leaves_open(output: str, same: bool) -> None:
    assert says(output, "a …\n…\nlast\n") is same
