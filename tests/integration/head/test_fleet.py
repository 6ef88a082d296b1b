"""spine-head machines, machine, join-code, targets, bulk and skill, against a real server."""

import json
import os
import pty
import subprocess
import sys

import pytest
import requests
from tests.integration.head.conftest import Claw, Head
from tests.support.spine_process import SpineProcess

from contract.client import SpineClient
from contract.errors import Unauthorized
from head import exits


@pytest.fixture
def box(head: Head, spine: SpineProcess) -> SpineClient:
    """A machine named box that has joined with a code."""
    code = head.json("join-code", "box")["code"]
    body = {"code": code, "capabilities": ["shell", "os:linux"], "facts": {"os": "linux"}}
    joined = requests.post(f"{spine.url}/join", json=body, timeout=20)
    assert joined.status_code == 201
    return SpineClient(spine.url, joined.json()["token"], worker_id="w1")


def test_join_code_is_one_line_to_paste(head: Head, spine: SpineProcess) -> None:
    made = head.run("join-code", "box", "--ttl", "60")
    assert made.stdout.startswith(f"claw join {spine.url} ")
    assert made.stdout.count("\n") == 1
    assert "another machine needs --url" in made.stderr
    elsewhere = head.run("join-code", "box", "--url", "https://spine.example.org/")
    assert elsewhere.stdout.startswith("claw join https://spine.example.org ")
    assert "--url" not in elsewhere.stderr
    assert "--url" in head.run("join-code", "box", "--url", "nowhere", code=exits.CONFIG).stderr
    assert head.run("join-code", "head", code=exits.REFUSED_DATA).stdout == ""


def test_machines_and_what_is_done_to_them(head: Head, box: SpineClient) -> None:
    lines = head.run("machines").stdout.splitlines()
    assert lines[0].split() == ["NAME", "STATE", "LAST", "CONTACT", "RUNNING", "CAPABILITIES"]
    (line,) = [line for line in lines if line.startswith("box ")]
    assert line.split()[1] == "active"
    assert "os:linux shell" in line
    for verb, state in (("drain", "draining"), ("pause", "paused"), ("resume", "active")):
        assert head.run("machine", verb, "box").stdout == f"box is {state}\n"
    job_id = head.submit("a task", "--target", "box")
    box.claim_one(job_id)
    assert [m["running"] for m in head.json("machines")["machines"] if m["name"] == "box"] == [[job_id]]
    new = SpineClient(box.base_url, head.run("machine", "rotate", "box", "--grace", "0").stdout.strip())
    assert new.job(job_id).status == "running"
    with pytest.raises(Unauthorized):
        box.job(job_id)
    assert head.run("machine", "revoke", "box").stdout == "box is revoked\n"
    with pytest.raises(Unauthorized):
        new.job(job_id)
    assert head.json("show", job_id)["status"] == "queued"
    head.run("cancel", job_id)


def test_a_machine_that_is_not_there(head: Head) -> None:
    refused = head.run("machine", "drain", "nobody", code=exits.NOT_FOUND)
    assert refused.stderr == "spine-head: no machine nobody has been heard of\n"
    assert "--grace" in head.run("machine", "drain", "nobody", "--grace", "1", code=exits.USAGE).stderr


def test_targets(head: Head) -> None:
    assert head.run("targets").stderr == "spine-head: no target is paused\n"
    assert head.run("targets", "pause", "right-claw").stdout == "right-claw is paused\n"
    assert head.run("targets").stdout == "right-claw is paused\n"
    assert head.json("targets") == {"pausedTargets": ["right-claw"]}
    assert head.run("targets", "resume", "right-claw").stdout == "right-claw is open\n"
    head.run("targets", "pause", code=exits.USAGE)
    head.run("targets", "pause", "nowhere", code=exits.NOT_FOUND)


# --- bulk ------------------------------------------------------------------------------------------------------------


def submit_many(head: Head, number: int, label: str) -> None:
    """Submit jobs by a list from standard input."""
    jobs = json.dumps([{"spec": f"job {n}"} for n in range(number)])
    assert head.run("submit", "--list", "-", "--label", label, stdin=jobs).stdout.count("\n") == number


def test_bulk_follows_all_pages(head: Head) -> None:
    submit_many(head, 501, "many")
    assert head.json("bulk", "cancel", "--label", "many", "--yes") == {"matched": 501, "changed": 501}
    assert head.run("bulk", "retry", "--label", "many", "--yes").stdout == "queued again: 501 of 501 that match\n"
    ended = head.run("bulk", "cancel", "--label", "many", "--status", "queued", "--yes", "--reason", "enough")
    assert ended.stdout == "cancelled: 501 of 501 that match\n"
    assert head.run("bulk", "release", "--label", "many", "--yes").stdout == "released: 0 of 501 that match\n"


def answer(head: Head, said: bytes, *words: str) -> tuple[int, bytes]:
    """Run a command on a terminal and answer its question; return its exit code and what it printed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "head.cli", *words], env=head.env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, said)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux says so when the last writer has gone
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    return process.wait(30), seen


def test_bulk_asks_with_the_number(head: Head, claw: Claw) -> None:
    ids = [head.submit("x", "--label", "asked") for _ in range(3)]
    claw.complete(ids[0], claw.take(ids[0]).fence, 1)
    code, seen = answer(head, b"n\n", "bulk", "cancel", "--label", "asked")
    assert (code, b"cancel 2 jobs?" in seen, b"nothing was changed" in seen) == (exits.ERROR, True, True)
    assert claw.job(ids[1]).status == "queued"
    code, seen = answer(head, b"y\n", "bulk", "cancel", "--label", "asked")
    assert (code, b"cancelled: 2 of 3 that match" in seen) == (exits.OK, True)


@pytest.mark.parametrize(
    "words",
    [
        *(("machine", verb, "nope") for verb in ("drain", "pause", "resume", "revoke", "rotate")),
        *(("groups", verb, "nope") for verb in ("show", "close")),
        *(("messages", verb, "nope") for verb in ("show", "read")),
        *(("notices", verb, "nope") for verb in ("show", "replay", "give-up")),
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_said_to_be_so(head: Head, words: tuple[str, ...]) -> None:
    refused = head.run(*words, code=exits.NOT_FOUND)
    assert refused.stdout == ""
    assert "nope" in refused.stderr


@pytest.mark.parametrize(
    "words", [(), ("--all", "--label", "x"), ("--label", "x"), ("--status", "gone"), ("--lable", "x")]
)
def test_bulk_refuses_what_is_not_clear(head: Head, words: tuple[str, ...]) -> None:
    job_id = head.submit("x", "--label", "x")
    assert head.run("bulk", "cancel", *words, code=exits.USAGE).stdout == ""
    assert head.json("show", job_id)["status"] == "queued"


def test_bulk_of_a_status_that_the_spine_refuses_changes_nothing(head: Head) -> None:
    refused = head.run("bulk", "cancel", "--since", "yesterday", "--yes", code=exits.REFUSED_DATA)
    assert refused.stdout == ""


# --- skill -----------------------------------------------------------------------------------------------------------


def test_skill_is_written_and_refreshed_only_when_it_has_changed(head: Head) -> None:
    path = head.home / ".openclaw/skills/spinal-cord/SKILL.md"
    assert head.run("skill", "install").stdout == f"wrote {path}\n"
    served = path.read_text()
    assert served.startswith("---\n")
    assert head.run("skill", "refresh").stdout == f"unchanged: {path}\n"
    path.unlink()
    assert head.json("skill", "refresh") == {"path": str(path), "changed": True}
    assert path.read_text() == served
    head.run("skill", "install", "--folder", str(head.home / "other"))
    assert (head.home / "other/spinal-cord/SKILL.md").read_text() == served


def test_skill_from_a_spine_that_is_away_leaves_the_old_one(head: Head) -> None:
    head.run("skill", "install")
    path = head.home / ".openclaw/skills/spinal-cord/SKILL.md"
    served = path.read_text()
    head.run("skill", "install", code=exits.UNREACHABLE, SPINE_BASE_URL="http://127.0.0.1:1")
    assert path.read_text() == served
