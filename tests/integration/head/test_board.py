"""spine-head watch without an id: the fleet as lines of JSON, and as a table on a terminal."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.integration.head.conftest import Claw, Head, end
from tests.support.spine_process import TOKENS, SpineProcess

from contract.errors import StaleFence
from contract.head_client import HeadClient
from contract.wire import JobList
from head import exits
from head.board import Board


class Lines:
    """A board on a pipe."""

    def __init__(self, head: Head) -> None:
        self.process: subprocess.Popen[str] = head.start("watch")

    def until(self, look: Any) -> Any:
        """Read lines until one fits; return it."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            found = json.loads(line)
            if look(found):
                return found
        raise AssertionError(f"it ended: {self.process.stderr and self.process.stderr.read()}")


@pytest.fixture
def lines(head: Head) -> Iterator[Lines]:
    board = Lines(head)
    yield board
    board.process.send_signal(signal.SIGINT)
    assert end(board.process)[0] == exits.INTERRUPTED


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [one.get("job", one)["id"] for one in found]


def kinds(picture: dict[str, Any], job_id: str) -> list[str]:
    return [need["kind"] for need in picture["needsPerson"] if need["job"]["id"] == job_id]


def test_a_job_wanders_through_the_board(lines: Lines, head: Head, claw: Claw) -> None:
    job_id = head.submit("a task", "--needs-approval", "--needs-review")
    assert kinds(lines.until(lambda found: kinds(found, job_id)), job_id) == ["approval"]
    head.run("approve", job_id)
    seen = lines.until(lambda found: job_id in ids(found["waiting"]))
    assert [one["why"]["code"] for one in seen["waiting"] if one["job"]["id"] == job_id] == ["no_machine"]
    fence = claw.take(job_id).fence
    lines.until(lambda found: job_id in ids(found["running"]))
    claw.complete(job_id, fence, 1)
    seen = lines.until(lambda found: kinds(found, job_id))
    assert (kinds(seen, job_id), ids(seen["ended"])[0], ids(seen["running"])) == (["review"], job_id, [])
    head.run("review", job_id, "accept")
    lines.until(lambda found: not kinds(found, job_id))


def test_late_results_ask_for_a_person(lines: Lines, head: Head, claw: Claw) -> None:
    job_id = head.submit()
    first = claw.take(job_id).fence
    claw.release(job_id, first)
    with pytest.raises(StaleFence):
        claw.complete(job_id, claw.take(job_id).fence - 1, {"late": True})
    seen = lines.until(lambda found: kinds(found, job_id))
    assert [(need["kind"], need["fence"]) for need in seen["needsPerson"]] == [("late", first)]
    once = json.loads(head.run("watch", "--once").stdout)
    assert kinds(once, job_id) == ["late"]
    head.run("adopt", job_id, str(first))
    lines.until(lambda found: not kinds(found, job_id) and ids(found["ended"])[0] == job_id)


def test_what_comes_while_the_lists_are_read_is_not_missed(spine: SpineProcess, head: Head, claw: Claw) -> None:
    job_id = head.submit()
    first = claw.take(job_id).fence
    claw.release(job_id, first)
    claw.take(job_id)

    class Slow(HeadClient):
        """Its look for late results is old by the time that it is answered."""

        def jobs(self, **query: str | int) -> JobList:
            found = super().jobs(**query)
            if query.get("needs") == "late":
                with pytest.raises(StaleFence):
                    claw.complete(job_id, first, {"late": True})
            return found

    client = Slow(spine.url, TOKENS["HEAD_TOKEN"])
    board = Board(client)
    place = board.place()
    board.load()
    board.note(client.events(place).events)
    assert [(need.kind, need.job.id, need.fence) for need in board.look().needs_person] == [("late", job_id, first)]


def test_what_has_ended_costs_no_more_requests(head: Head, spine: SpineProcess, claw: Claw) -> None:
    """It went through a week of jobs, 500 a page, and twice."""

    class Counted(HeadClient):
        """Keeps what it was asked for."""

        asked: ClassVar[list[dict[str, Any]]] = []

        def jobs(self, **query: str | int) -> JobList:
            self.asked.append(query)
            return super().jobs(**query)

    client = Counted(spine.url, TOKENS["HEAD_TOKEN"])
    for job in client.submit_all([{"target": "any", "spec": n} for n in range(600)]):
        client.cancel(job.id)
    board = Board(client)
    board.place()
    board.load()
    ended = "cancelled,dead,done,failed"
    assert client.asked == [
        {"limit": 50, "needs": "review"},
        {"limit": 50, "needs": "late"},
        {"order": "newest", "limit": 200, "status": ended},
    ]
    assert [job.spec for job in board.look().ended] == list(range(599, 589, -1))


def test_a_review_is_asked_for_however_many_jobs_came_after_it(head: Head, spine: SpineProcess, claw: Claw) -> None:
    job_id = head.submit("x", "--needs-review")
    claw.complete(job_id, claw.take(job_id).fence, 1)
    client = HeadClient(spine.url, TOKENS["HEAD_TOKEN"])
    client.submit_all([{"target": "any", "spec": n} for n in range(300)])
    client.bulk("cancel", {"status": ["queued"]})
    assert kinds(json.loads(head.run("watch", "--once").stdout), job_id) == ["review"]


def test_what_there_is_no_room_for_comes_once_the_oldest_is_dealt_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("head.board.SHOWN_MOST", 2)
    spine = SpineProcess(tmp_path).start()
    try:
        client, claw = HeadClient(spine.url, TOKENS["HEAD_TOKEN"]), Claw(spine.url, TOKENS["LEFT_CLAW_TOKEN"])
        reviews = [client.submit({"target": "any", "spec": n, "needsReview": True}).id for n in range(3)]
        for job_id in reviews:
            claw.complete(job_id, claw.take(job_id).fence, 1)
        board = Board(client)
        place = board.place()
        board.load()
        seen = board.look()
        assert ([need.job.id for need in seen.needs_person], seen.more_needs) == (reviews[:2], True)
        for job_id in reviews[:2]:
            client.review(job_id, "accept")
        board.note(client.events(place).events)
        seen = board.look()
        assert ([need.job.id for need in seen.needs_person], seen.more_needs) == (reviews[2:], False)
        # Behind what waits already.
        client.submit_all([{"target": "any", "spec": n} for n in range(2)])
        asked = [client.submit({"target": "any", "spec": n, "needsApproval": True}).id for n in range(3)]
        seen = board.look()
        assert ([need.job.id for need in seen.needs_person], seen.more_needs) == ([*asked[:2], *reviews[2:]], True)
    finally:
        assert spine.stop() == 0


def test_it_outlives_the_spine(lines: Lines, head: Head, spine: SpineProcess) -> None:
    lines.until(lambda found: True)
    spine.kill9()
    assert lines.process.stderr is not None
    assert "the spine does not answer" in lines.process.stderr.readline()
    spine.start()
    job_id = head.submit("after the night")
    lines.until(lambda found: job_id in ids(found["waiting"]))


def test_a_picture_on_a_terminal_has_no_text_that_steers_it(head: Head, claw: Claw) -> None:
    head.submit("x", "--label", "evil \x1b]0;owned\x07\u202egnp", "--needs-approval")
    ours, theirs = pty.openpty()
    env = head.env | {"TERM": "xterm-256color", "COLUMNS": "160", "LINES": "50"}
    process = subprocess.Popen([sys.executable, "-m", "head.cli", "watch", "--once"], env=env, stdout=theirs)
    os.close(theirs)
    seen = b""
    while b"Ended lately" not in seen:
        seen += os.read(ours, 65536)
    assert process.wait(20) == exits.OK
    os.close(ours)
    plain = re.sub(rb"\x1b\[[0-9;]*m", b"", seen)
    assert b"evil \\x1b]0;owned\\x07\\u202egnp" in plain
    assert b"Needs a person" in plain
    assert b"\x1b" not in plain


def test_several_ids_are_followed_one_after_the_other(head: Head, claw: Claw) -> None:
    good, bad = head.submit(), head.submit()
    claw.complete(good, claw.take(good).fence, 1)
    claw.fail(bad, claw.take(bad).fence, "no", requeue=False)
    said = head.run("watch", good, bad, code=exits.FAILED).stdout
    assert said.index(good) < said.index("done") < said.index(bad) < said.index("failed")
