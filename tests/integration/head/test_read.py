"""spine-head list, show, comment, and what it says when it cannot."""

import pytest
from tests.integration.head.conftest import Claw, Head
from tests.support.spine_process import TOKENS

from head import exits

EVIL = "\x1b]0;owned\x07\x1b[2J[bold]x[/bold]\u202egnp\r"
SHOWN = "\\x1b]0;owned\\x07\\x1b[2J[bold]x[/bold]\\u202egnp"


def test_list_narrows_and_keeps_the_newest(head: Head) -> None:
    ids = [head.submit(f"task {n}", "--label", "narrow") for n in range(3)]
    other = head.submit("elsewhere", "--label", "narrow", "--target", "right-claw")
    lines = head.run("list", "--label", "narrow", "--target", "left-claw").stdout.splitlines()
    assert lines[0].split() == ["ID", "STATUS", "TARGET", "WHAT", "TRIES", "HOLDER", "UPDATED"]
    assert [line.split()[:5] for line in lines[1:]] == [[id_, "queued", "left-claw", "narrow", "0/5"] for id_ in ids]
    found = head.json("list", "--label", "narrow", "--limit", "2")
    assert [job["id"] for job in found["jobs"]] == [ids[2], other]
    assert found["matched"] == 4
    assert "the newest 2 of 4" in head.run("list", "--label", "narrow", "--limit", "2").stderr
    assert head.run("list", "--status", "dead", "--label", "narrow").stderr == "spine-head: no jobs match\n"


def test_show_has_everything(head: Head, claw: Claw) -> None:
    job_id = head.submit("--run", "make all", "--label", "everything", "--meta", '{"ticket": 7}', "--timeout", "3600")
    claw.fail(job_id, claw.take(job_id).fence, "first try")
    fence = claw.take(job_id).fence
    claw.comment(job_id, "nearly there")
    result = {
        "branch": f"spine/job-{job_id}",
        "pr": "https://git.example.org/pull/1",
        "notes": "All done.",
        "howToTest": ["make test", "look at it"],
        "artifacts": [{"name": "build.log", "url": "http://spine/blobs/b1"}],
        "phases": [{"name": "run", "exitCode": 0, "seconds": 75.2}],
        "coverage": 0.93,
    }
    claw.complete(job_id, fence, result)
    page = head.run("show", job_id).stdout
    for said in (
        f"{job_id}  done  everything",
        "run  make all",
        '"ticket": 7',
        "1 h 00 min",
        "fence 1",
        "first try",
        "fence 2",
        "nearly there",
        "☐ look at it",
        "build.log  http://spine/blobs/b1",
        "✓  run  1 min 15 s",
        "https://git.example.org/pull/1",
        '"coverage": 0.93',
    ):
        assert said in page, page
    shown = head.json("show", job_id)
    assert shown["result"] == result
    assert [attempt["outcome"] for attempt in shown["history"]] == ["failed", "done"]


def test_text_of_others_cannot_steer_the_terminal(head: Head, claw: Claw) -> None:
    job_id = head.submit(EVIL, "--label", "evil " + EVIL)
    fence = claw.take(job_id).fence
    claw.heartbeat(job_id, fence, {"phase": EVIL})
    claw.comment(job_id, EVIL)
    listed = head.run("list", "--label", "evil " + EVIL).stdout
    assert "evil " + SHOWN in listed
    claw.fail(job_id, fence, EVIL)
    claw.complete(job_id, claw.take(job_id).fence, {"notes": EVIL, EVIL: EVIL, "artifacts": [{"name": EVIL, "url": 1}]})
    page = head.run("show", job_id).stdout + head.run("events", "--job", job_id).stdout + listed
    assert SHOWN in page
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(page)


def test_comment(head: Head, claw: Claw) -> None:
    job_id = head.submit()
    assert head.run("comment", job_id, "do this").stdout == f"commented on {job_id} (queued)\n"
    head.run("comment", job_id, "-", stdin="and\nthat\n")
    assert [comment.text for comment in claw.job(job_id).comments] == ["do this", "and\nthat"]
    assert head.json("comment", job_id, "third")["comments"][2]["by"] == "head"
    head.run("comment", job_id, "  ", code=exits.USAGE)


@pytest.mark.parametrize("words", [("show", "nope"), ("comment", "nope", "x"), ("watch", "nope"), ("logs", "nope")])
def test_a_job_that_is_not_there(head: Head, words: tuple[str, ...]) -> None:
    assert head.run(*words, code=exits.NOT_FOUND).stderr == "spine-head: there is no job nope\n"


@pytest.mark.parametrize("words", [("submit", "x"), ("list",), ("events",), ("show", "x")])
@pytest.mark.parametrize(
    ("env", "code", "said"),
    [
        ({"SPINE_BASE_URL": "http://127.0.0.1:1"}, exits.UNREACHABLE, "SPINE_BASE_URL"),
        ({"SPINE_TOKEN": "not-a-token"}, exits.NO_PERMISSION, "SPINE_TOKEN"),
        ({"SPINE_TOKEN": ""}, exits.CONFIG, "SPINE_TOKEN"),
        ({"SPINE_BASE_URL": "localhost"}, exits.CONFIG, "SPINE_BASE_URL"),
    ],
    ids=["nobody", "refused", "no-token", "no-address"],
)
def test_one_line_says_what_is_wrong(
    head: Head, words: tuple[str, ...], env: dict[str, str], code: int, said: str
) -> None:
    refused = head.run(*words, code=code, **env)
    assert refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    assert said in refused.stderr


def test_a_claw_may_not_submit(head: Head) -> None:
    refused = head.run("submit", "x", code=exits.NO_PERMISSION, SPINE_TOKEN=TOKENS["LEFT_CLAW_TOKEN"])
    assert "head's token" in refused.stderr


def test_a_token_from_a_file(head: Head) -> None:
    (head.home / "token").write_text(TOKENS["HEAD_TOKEN"] + "\n")
    head.run("list", SPINE_TOKEN="", SPINE_TOKEN_FILE="token")


def test_help_needs_no_settings(head: Head) -> None:
    shown = head.run("--help", SPINE_TOKEN="").stdout
    for code, meaning in exits.EXITS:
        assert f"{code:>5}  {meaning}" in shown
