"""spine-head approve, reject, review, cancel, retry, adopt and why, against a real server."""

import pytest
from tests.integration.head.conftest import Claw, Head

from contract.errors import StaleFence
from head import exits


def test_approve_lets_a_job_go(head: Head) -> None:
    job_id = head.submit("a task", "--needs-approval")
    digest = head.json("show", job_id)["approval"]["specDigest"]
    refused = head.run("approve", job_id, "--digest", "0" * 64, code=exits.ERROR)
    assert "digest" in refused.stderr
    assert head.run("approve", job_id, "--digest", digest).stdout == f"approved {job_id} (queued)\n"


def test_reject_cancels(head: Head) -> None:
    job_id = head.submit("a task", "--needs-approval")
    assert head.run("reject", job_id, "--reason", "not now").stdout == f"rejected {job_id} (cancelled)\n"
    assert head.json("show", job_id)["error"] == "not now"
    assert head.run("approve", job_id, code=exits.ERROR).stdout == ""


def test_review_sends_back_and_accepts(head: Head, claw: Claw) -> None:
    job_id = head.submit("a task", "--needs-review")
    claw.complete(job_id, claw.take(job_id).fence, 1)
    said = head.run("review", job_id, "rework", "--text", "-", stdin="with tests\n").stdout
    assert said == f"sent back for round 2: {job_id} (queued)\n"
    assert [comment.text for comment in claw.job(job_id).comments] == ["with tests"]
    claw.complete(job_id, claw.take(job_id).fence, 2)
    assert head.json("review", job_id, "accept")["review"] == {"state": "accepted", "by": "head"}
    assert "its review is accepted" in head.run("review", job_id, "rework", code=exits.ERROR).stderr


def test_review_of_a_job_that_asks_for_none(head: Head, claw: Claw) -> None:
    job_id = head.submit()
    claw.complete(job_id, claw.take(job_id).fence, 1)
    refused = head.run("review", job_id, "accept", code=exits.ERROR)
    assert refused.stderr == "spine-head: the job asks for no review\n"


def test_cancel_and_retry(head: Head) -> None:
    waiting, job_id = head.start("submit", "a task", "--wait"), ""
    assert waiting.stdout is not None
    job_id = waiting.stdout.readline().split()[1]
    assert head.run("cancel", job_id, "--reason", "no need").stdout == f"cancelled {job_id} (cancelled)\n"
    assert waiting.communicate(timeout=30)[0].endswith("cancelled\n\nError\n  no need\n")
    assert waiting.returncode == exits.CANCELLED == 5
    assert head.run("retry", job_id).stdout == f"queued again: {job_id} (queued)\n"
    assert "has not ended" in head.run("retry", job_id, code=exits.ERROR).stderr


def test_adopt_shows_candidates_and_takes_one(head: Head, claw: Claw) -> None:
    job_id = head.submit()
    first = claw.take(job_id).fence
    claw.release(job_id, first)
    second = claw.take(job_id).fence
    assert head.run("adopt", job_id, code=exits.ERROR).stderr == (
        "spine-head: no attempt of this job left a late result\n"
    )
    with pytest.raises(StaleFence):
        claw.complete(job_id, first, {"notes": "late \x1b[2J"})
    shown = head.run("adopt", job_id)
    assert shown.stdout.splitlines()[0].split() == ["FENCE", "FROM", "CAME", "RESULT"]
    assert shown.stdout.splitlines()[1].split()[:2] == [str(first), "left-claw"]
    assert "\x1b" not in shown.stdout
    assert [found["fence"] for found in head.json("adopt", job_id)["candidates"]] == [first]
    assert head.run("adopt", job_id, str(second), code=exits.ERROR).stdout == ""
    assert (
        head.run("adopt", job_id, str(first)).stdout == f"took the late result of fence {first} for {job_id} (done)\n"
    )
    assert claw.job(job_id).result == {"notes": "late \x1b[2J"}


def test_a_late_success_without_a_result_can_be_adopted(head: Head, claw: Claw) -> None:
    job_id = head.submit()
    first = claw.take(job_id).fence
    claw.release(job_id, first)
    claw.take(job_id)
    with pytest.raises(StaleFence):
        claw.complete(job_id, first, None)
    assert [found["fence"] for found in head.json("adopt", job_id)["candidates"]] == [first]
    head.run("adopt", job_id, str(first))
    assert claw.job(job_id).status == "done"


def test_why_names_what_unblocks_it_first(head: Head) -> None:
    first = head.submit("first")
    job_id = head.submit("a task", "--needs-approval", "--after", first)
    lines = head.run("why", job_id).stdout.splitlines()
    assert lines[:3] == [
        f"{job_id} is waiting",
        "  approval: a person has to approve it",
        f"  after: it waits for 1 other job(s): {first} (queued)",
    ]
    assert head.json("why", job_id)["reasons"][1]["jobs"] == [first]


@pytest.mark.parametrize(
    "words", [("approve",), ("reject",), ("cancel",), ("retry",), ("adopt",), ("why",), ("review", "accept")]
)
def test_a_job_that_is_not_there(head: Head, words: tuple[str, ...]) -> None:
    refused = head.run(words[0], "nope", *words[1:], code=exits.NOT_FOUND)
    assert (refused.stdout, refused.stderr) == ("", "spine-head: there is no job nope\n")
