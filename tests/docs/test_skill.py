"""/skill.md: its commands are run as they stand, by a head and by a claw, against a real server."""

import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.docs.pages import REPO, blocks, headings, read, section
from tests.support.eventually import eventually
from tests.support.spine_process import TOKENS, SpineProcess

from contract import __version__
from contract.wire import Submit

PAGE = read(REPO / "services/spine/api/skill.md")
NEEDED = ("bash", "curl", "jq")


class Shell:
    """Someone who has the document, a token and a home; runs blocks of the document, each in a shell of its own."""

    def __init__(self, home: Path, url: str, token: str) -> None:
        home.mkdir()
        self.home, self.job = home, ""
        self._env = {"PATH": os.environ["PATH"], "HOME": str(home), "SPINE_BASE_URL": url, "SPINE_TOKEN": token}
        self.run("Config")

    def begin(self, heading: str, number: int = 0) -> "subprocess.Popen[str]":
        """Start a block that stands below a heading."""
        found = [block for block in blocks(section(PAGE, heading)) if block.info == "sh"]
        # What a person's shell would keep, the variable JOB, is kept in a file.
        script = f'{found[number].text}\nended=$?; printf %s "${{JOB-}}" > "$HOME/job"; exit "$ended"'
        return subprocess.Popen(
            ["bash", "-c", script],
            cwd=self.home,
            env=self._env | {"JOB": self.job},
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def end(self, process: "subprocess.Popen[str]", code: int = 0) -> str:
        """Wait for a block and return what it printed."""
        printed, complained = process.communicate(timeout=60)
        assert process.returncode == code, printed + complained
        self.job = (self.home / "job").read_text()
        return printed

    def run(self, heading: str, number: int = 0, code: int = 0) -> str:
        """Run a block; return what it printed."""
        return self.end(self.begin(heading, number), code)

    def json(self, heading: str) -> Any:
        """Run a block that prints one JSON value."""
        return json.loads(self.run(heading))

    @property
    def state(self) -> Path:
        """The state file of a claw."""
        return self.home / ".spine/current-job.json"


@pytest.fixture
def own_spine(tmp_path: Path) -> Iterator[SpineProcess]:
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"the commands of /skill.md need {', '.join(NEEDED)}; missing: {', '.join(missing)}")
    process = SpineProcess(tmp_path / "spine").start()
    yield process
    assert process.stop() == 0, process.log_tail()


@pytest.fixture
def head(own_spine: SpineProcess, tmp_path: Path) -> Shell:
    return Shell(tmp_path / "head", own_spine.url, TOKENS["HEAD_TOKEN"])


@pytest.fixture
def claw(own_spine: SpineProcess, tmp_path: Path) -> Shell:
    shell = Shell(tmp_path / "claw", own_spine.url, TOKENS["LEFT_CLAW_TOKEN"])
    (shell.home / "build.log").write_text("compiling\nall tests pass\n")
    return shell


# --- the document itself ---------------------------------------------------------------------------------------------


def test_frontmatter_is_what_agents_read() -> None:
    _, front, _ = PAGE.split("---\n", 2)
    said = dict(line.split(": ", 1) for line in front.splitlines())
    assert said["name"] == "spinal-cord"
    assert 80 <= len(said["description"]) <= 1024
    assert said["version"] == __version__
    wanted = json.loads(said["metadata"])["openclaw"]
    assert wanted["requires"]["env"] == ["SPINE_BASE_URL", "SPINE_TOKEN"]
    assert wanted["requires"]["anyBins"] == ["spine", "curl"]
    assert wanted["primaryEnv"] == "SPINE_TOKEN"


def test_it_has_all_that_an_agent_needs() -> None:
    parts = [
        "Config",
        "Head pattern",
        "Claw pattern",
        "Routes",
        "Integration",
        "Claw loop",
        "Result shape",
        "Head loop",
    ]
    assert [title for title in headings(PAGE) if title in {*parts, "Notes"}] == [*parts, "Notes"]


def test_it_holds_no_token_and_puts_none_on_a_command_line() -> None:
    assert not re.search(r"spn_[a-z]", PAGE)
    assert not any(token in PAGE for token in TOKENS.values())
    lines = [line.strip() for line in PAGE.splitlines() if "$SPINE_TOKEN" in line]
    assert lines == ["""printf 'header = "Authorization: Bearer %s"\\n' "$SPINE_TOKEN" |"""]


def test_the_members_of_a_submit_are_the_real_ones() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| `POST /jobs` |"))
    named = set(re.findall(r"\{(.*?)\}", row)[0].split(", "))
    assert named <= set(Submit.__struct_encode_fields__)


def test_every_command_is_run_by_a_test_here() -> None:
    """By heading and number, so that a new block asks for a new test."""
    ours = Path(__file__).read_text(encoding="utf-8")
    calls = re.findall(r'\.(?:run|begin|json)\("([^"]+)"(?:, (\d))?', ours)
    run = {(heading, int(number or 0)) for heading, number in calls}
    there = set()
    parents = {"Head pattern", "Claw pattern"}  # their blocks stand below headings of their own
    for title in headings(PAGE)[1:]:
        found = [block for block in blocks(section(PAGE, title)) if block.info == "sh"]
        there |= {(title, n) for n in range(len(found))} if title not in parents else set()
    assert there == run
    assert len(there) == sum(block.info == "sh" for block in blocks(PAGE))


# --- its commands ----------------------------------------------------------------------------------------------------


def test_a_task_from_submit_to_result(head: Shell, claw: Shell) -> None:
    assert re.fullmatch(r"[0-9a-z]{20}\n", head.run("Submit a task in words"))
    job = head.job
    # The same key again is the same job.
    assert head.run("Submit a task in words") == f"{job}\n"

    taken = claw.json("Take a job")
    assert taken == {
        "id": job,
        "fence": 1,
        "attempts": 1,
        "spec": "In team/app, dates before 1970 are shown wrong. Fix it, add a test, push a branch.",
        "comments": [],
    }
    assert claw.state.stat().st_mode & 0o777 == 0o600
    beat = claw.json("Heartbeat")
    assert (beat["status"], beat["newComments"]) == ("running", [])

    said = head.json("Comment")
    assert (said["by"], said["text"]) == ("head", "Please add a line to the changelog too.")
    assert [comment["text"] for comment in claw.json("Heartbeat")["newComments"]] == [said["text"]]

    waiting, growing = head.begin("Wait for the end"), head.begin("Read the log, fetch an artifact", 1)
    assert claw.run("Send the log") == "25\n"
    assert claw.run("Send the log") == "25\n"
    ended = claw.json("Report success")
    assert ended["status"] == "done"
    assert ended["result"]["branch"] == f"spine/job-{job}"
    assert ended["result"]["howToTest"][0] == "make test"
    assert ended["result"]["artifacts"][0]["name"] == "build.log"
    assert not claw.state.exists()

    assert head.end(growing) == "compiling\nall tests pass\n"
    seen = head.end(waiting)
    assert json.loads(seen[seen.index("{\n") :]) == {"status": "done", "result": ended["result"], "error": None}
    assert head.run("Read the log, fetch an artifact") == "compiling\nall tests pass\n"
    assert (head.home / ".spine/artifact").read_text() == "compiling\nall tests pass\n"


def test_a_failure_goes_back_to_the_queue_and_a_release_gives_the_attempt_back(head: Shell, claw: Shell) -> None:
    head.run("Submit commands")
    assert claw.run("Take a job that you have chosen").startswith('{\n  "id": "' + head.job)
    claw.run("Heartbeat")
    assert claw.json("Report failure") == {
        "status": "queued",
        "error": "make test: 2 of 31 tests fail, see the log",
        "attempts": 1,
        "maxAttempts": 5,
    }
    assert not claw.state.exists()

    assert claw.json("Take a job")["fence"] == 2
    claw.run("Heartbeat")
    assert claw.json("Give the job back") == {
        "status": "queued",
        "releaseReason": "this machine is being updated",
        "attempts": 1,
    }
    assert not claw.state.exists()

    seen = head.run("See what is going on").splitlines()
    assert seen[0] == f"{head.job}\tqueued\tleft-claw\tUpdate the lock file"
    events = [line.split("\t")[1:] for line in seen if line.startswith("20")]
    assert events == [
        ["job.created", "head"],
        ["job.claimed", "left-claw"],
        ["job.heartbeat", "left-claw"],
        ["job.failed", "left-claw"],
        ["job.claimed", "left-claw"],
        ["job.heartbeat", "left-claw"],
        ["job.released", "left-claw"],
    ]
    attempts = [json.loads(line) for line in seen if line.startswith("[")]
    assert [(fence, outcome) for fence, outcome, _, _ in attempts] == [(1, "failed"), (2, "released")]


def test_a_report_that_is_refused_leaves_the_state_file(head: Shell, claw: Shell, own_spine: SpineProcess) -> None:
    head.run("Submit a task in words")
    claw.run("Take a job")
    stale = json.loads(claw.state.read_text()) | {"fence": 0}
    claw.state.write_text(json.dumps(stale))
    refused = claw.json("Heartbeat")
    assert refused["error"] == "stale_fence"
    claw.run("Report success")
    assert claw.state.exists()
    assert json.loads((claw.home / ".spine/answer.json").read_text())["error"] == "stale_fence"


def test_no_job_is_an_empty_answer(claw: Shell, own_spine: SpineProcess) -> None:
    waiting = claw.begin("Take a job")
    eventually(lambda: waiting_claims(own_spine) == 1, what="the claim")
    own_spine.terminate()  # a server that stops answers every waiting claim at once
    claw.end(waiting, code=1)
    assert not claw.state.exists()


def waiting_claims(spine: SpineProcess) -> int:
    request = urllib.request.Request(
        f"{spine.url}/metrics", headers={"Authorization": f"Bearer {TOKENS['HEAD_TOKEN']}"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        found = re.search(r"^spine_waiting_claims{.*} (\d+)", answer.read().decode(), re.MULTILINE)
    return int(found[1]) if found else 0
