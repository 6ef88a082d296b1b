"""A job in words."""

from typing import Any

import pytest

from contract import told
from contract.states import TERMINAL, Status
from contract.wire import CommentRecord, Job
from head import exits, words


def job(**fields: Any) -> Job:
    """Make a job; a test says only what matters to it."""
    given: dict[str, Any] = {
        "id": "j1",
        "target": "left-claw",
        "status": "queued",
        "created_at": "2026-03-01T12:00:00.000Z",
        "updated_at": "2026-03-01T12:00:00.000Z",
        "created_by": "head",
        "claimed_by": None,
        "lease_until": None,
        "attempts": 0,
        "max_attempts": 5,
        "spec": "",
        "meta": {},
        "comments": [],
        "result": None,
        "error": None,
    }
    return Job(**(given | fields))


NOW = 1_772_366_400_000  # 2026-03-01T12:00:00Z
RUNNING = {"status": "running", "claimed_by": "left-claw", "attempts": 1, "fence": 1}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"label": "a\nlabel", "spec": "x"}, "a label"),
        ({"spec": "two\nlines"}, "two lines"),
        ({"spec": {"run": "make all"}}, "make all"),
        ({"spec": {"run": ["make", "all"]}}, "make all"),
        ({"spec": {"phases": [{"name": "a"}, {"run": "x"}, "odd"]}}, "a → 2 → 3"),
        ({"spec": {"other": 1, "things": 2}}, "other, things"),
        ({"spec": [1, 2]}, "[1, 2]"),
        ({"spec": None}, "None"),
    ],
)
def test_what_it_is(fields: dict[str, Any], said: str) -> None:
    assert words.what(job(**fields)) == said


@pytest.mark.parametrize(
    ("progress", "said", "percent"),
    [
        ({"phase": "test", "index": 2, "of": 3, "percent": 33}, "phase 2 of 3: test", 33.0),
        ({"index": 2, "of": 3}, "phase 2 of 3", None),
        ({"step": "linking", "percent": 250}, "linking", 100.0),
        ({"message": "hm\x1b[2J", "percent": True}, "hm\\x1b[2J", None),
        ({"percent": "half"}, "", None),
        ("half\nway", "half way", None),
        (7, "7", None),
        (None, "", None),
    ],
)
def test_where_it_stands(progress: Any, said: str, percent: float | None) -> None:
    assert (words.phase(progress), told.percent(progress)) == (said, percent)


def said(before: Job | None, now: Job) -> list[str]:
    return [line.text for line in words.changes(before, now)]


def test_changes_are_told_once() -> None:
    queued, running = job(), job(**RUNNING)
    tested = job(**RUNNING, progress={"phase": "test"})
    assert said(None, queued) == ["queued for left-claw"]
    assert said(queued, running) == ["running: left-claw, attempt 1 of 5"]
    assert said(running, tested) == ["  test"]
    assert said(tested, job(**RUNNING, progress={"phase": "test", "percent": 50})) == []
    commented = job(**RUNNING, progress={"phase": "test"}, comments=[CommentRecord(t="", by="head", text="hurry")])
    assert said(tested, commented) == ["  comment by head: hurry"]


def test_a_new_attempt_does_not_show_the_progress_of_the_last_one() -> None:
    first = job(**RUNNING, progress={"phase": "test"})
    again = job(status="queued", fence=1, attempts=1, error="no luck", progress={"phase": "test"})
    second = job(**(RUNNING | {"fence": 2, "attempts": 2}), progress={"phase": "test"})
    assert said(first, again) == ["queued again for left-claw: no luck"]
    assert said(again, second) == ["running: left-claw, attempt 2 of 5"]


def test_a_status_of_a_newer_server_is_shown_plain() -> None:
    assert words.style("sleeping") == ""
    assert said(job(), job(status="sleeping")) == ["sleeping"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, ""),
        (0.04, "0.0 s"),
        (2.0, "2 s"),
        (59.9, "59 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
        (97200, "1 d 3 h"),
    ],
)
def test_lengths_of_time(seconds: float | None, said: str) -> None:
    assert words.span(seconds) == said


@pytest.mark.parametrize(
    ("ms", "said"), [(0, "0 s ago"), (61_000, "1 min ago"), (7_200_000, "2 h ago"), (-5000, "0 s ago")]
)
def test_how_long_ago(ms: int, said: str) -> None:
    assert words.ago("1970-01-01T00:00:00.000Z", ms) == said


def test_every_end_has_its_exit_code() -> None:
    codes = {status: exits.of_status(status) for status in TERMINAL}
    assert codes == {Status.DONE: 0, Status.FAILED: 3, Status.DEAD: 4, Status.CANCELLED: 5}


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2026-03-01T11:57:00.000Z", "3 min ago"),
        ("2026-03-01T11:59:59.400Z", "0 s ago"),
        ("2026-03-01T12:00:00.600Z", "0 s ago"),
        ("2026-03-01T12:00:12.000Z", "in 12 s"),
        ("2026-03-04T15:00:00.000Z", "in 3 d"),
    ],
)
def test_when_something_was_or_will_be(at: str, said: str) -> None:
    assert words.when(at, NOW) == said


def test_the_clock_that_counts() -> None:
    assert [words.clock(seconds) for seconds in (0, 9, 299, 3723)] == ["0:00", "0:09", "4:59", "1:02:03"]
