"""Chains: what follows the end of a schedule's job, once, and what it is told of that job."""

import json
from typing import Any

import msgspec
import pytest
from tests.suites.harness import HEAD, Raw, Store
from tests.suites.schedule_store import Scheduler

from contract import wire
from contract.clock import parse_iso
from contract.errors import InvalidField
from spine.queue import conditions
from spine.store import events, occurrences
from spine.store.jobs import JobRow
from spine.turns import Firing

NOON = "2026-03-02T12:00:00Z"


@pytest.fixture
def schedules(store: Store) -> Scheduler:
    """Return schedules on a fresh store, at noon of a Monday."""
    store.clock.wall = parse_iso(NOON)
    return Scheduler(store)


@pytest.mark.parametrize(
    ("on", "followed"),
    [("success", ["done"]), ("failure", ["failed", "cancelled"]), ("both", ["done", "failed", "cancelled"])],
)
def test_which_ends_are_followed(schedules: Scheduler, on: str, followed: list[str]) -> None:
    root = schedules.make(cron="@yearly", overlap="allow")
    child = schedules.make(parentId=root.id, on=on, overlap="allow", name="child")
    for end in ("done", "failed", "cancelled"):
        job = schedules.job_of(schedules.run(root))
        if end == "cancelled":
            schedules.store.cancel(job.id)
            schedules.tick()
        else:
            schedules.end(job, error="broke" if end == "failed" else None)
    parents = [run.parent_job_id for run in schedules.runs(child)]
    assert [schedules.store.job(parent or "").status for parent in parents] == followed
    assert [job.parent_id for job in schedules.jobs(child)] == parents


def test_a_failure_that_is_tried_again_is_no_end(schedules: Scheduler) -> None:
    root = schedules.make(at=NOON, job={"maxAttempts": 3})
    child = schedules.make(parentId=root.id, on="failure")
    schedules.tick()
    (job,) = schedules.jobs(root)
    for attempt in (1, 2, 3):
        assert schedules.runs(child) == [], attempt
        held = schedules.store.claim(job.id)
        schedules.store.fail(job.id, held.fence)
        schedules.tick()
    assert [run.status for run in schedules.runs(child)] == ["submitted"]
    (follower,) = schedules.jobs(child)
    assert json.loads(follower.meta)["parent"]["status"] == "dead"


def test_a_lease_that_ended_for_the_last_time_is_one(schedules: Scheduler) -> None:
    root = schedules.make(at=NOON, job={"maxAttempts": 1})
    child = schedules.make(parentId=root.id, on="failure")
    schedules.tick()
    schedules.store.claim(schedules.jobs(root)[0].id)
    schedules.clock.advance(301)
    schedules.store.reap()
    schedules.tick()
    assert [run.status for run in schedules.runs(child)] == ["submitted"]


def test_a_job_that_needs_review_is_done_when_it_is_accepted(schedules: Scheduler) -> None:
    root = schedules.make(at=NOON, job={"needsReview": True})
    child = schedules.make(parentId=root.id)
    schedules.tick()
    (job,) = schedules.jobs(root)
    schedules.end(job)
    assert schedules.runs(child) == []
    schedules.store.review(job.id, "rework")
    schedules.end(schedules.store.job(job.id))
    assert schedules.runs(child) == []
    schedules.store.review(job.id, "accept")
    schedules.tick()
    assert [run.status for run in schedules.runs(child)] == ["submitted"]


def test_what_the_child_is_told(schedules: Scheduler) -> None:
    root = schedules.make(at=NOON)
    child = schedules.make(parentId=root.id, on="both", job={"spec": "next", "meta": {"own": [1]}})
    schedules.tick()
    (job,) = schedules.jobs(root)
    schedules.end(job, result='{"exitCode": 3, "notes": "12 passed"}')
    (follower,) = schedules.jobs(child)
    assert json.loads(follower.meta) == {
        "own": [1],
        "parent": {
            "jobId": job.id,
            "scheduleId": root.id,
            "status": "done",
            "exitCode": 3,
            "error": None,
            "result": {"exitCode": 3, "notes": "12 passed"},
        },
    }


def test_a_long_result_is_handed_on_as_its_beginning(schedules: Scheduler) -> None:
    root = schedules.make(at=NOON)
    child = schedules.make(parentId=root.id)
    schedules.tick()
    schedules.end(schedules.jobs(root)[0], result=json.dumps("ä" * 5000, ensure_ascii=False))
    told = json.loads(schedules.jobs(child)[0].meta)["parent"]
    assert (told["result"], told["truncated"]) == ("ä" * 3000, True)


def test_a_delay_is_kept_through_whatever_comes(schedules: Scheduler) -> None:
    root = schedules.make(at=NOON)
    child = schedules.make(parentId=root.id, delaySeconds=60)
    schedules.tick()
    schedules.end(schedules.jobs(root)[0])
    assert schedules.outcomes(child) == [("2026-03-02T12:01:00", "pending")]
    assert schedules.next_moment() == parse_iso("2026-03-02T12:01:00Z")
    schedules.pass_to("2026-03-02T12:00:59.999Z")
    assert schedules.jobs(child) == []
    schedules.pass_to("2026-03-02T12:01:00Z")
    schedules.tick()
    assert schedules.outcomes(child) == [("2026-03-02T12:01:00", "submitted")]
    assert schedules.next_moment() is None


def test_an_end_that_is_seen_twice_is_followed_once(schedules: Scheduler) -> None:
    root = schedules.make(at=NOON)
    child = schedules.make(parentId=root.id, overlap="allow")
    schedules.tick()
    schedules.end(schedules.jobs(root)[0])
    (job,) = schedules.jobs(root)
    store = schedules.store
    store.write(lambda tx: occurrences.note_end(tx, root.id, job.id, job.version, "success"))
    schedules.tick()
    assert len(schedules.runs(child)) == 1


def test_a_job_that_ends_again_is_followed_again(schedules: Scheduler) -> None:
    root = schedules.make(at=NOON)
    child = schedules.make(parentId=root.id, on="both", overlap="allow")
    schedules.tick()
    (job,) = schedules.jobs(root)
    schedules.end(job, error="broke")
    schedules.store.retry(job.id)
    schedules.end(job)
    assert len(schedules.jobs(child)) == 2


def test_a_paused_child_says_so_and_one_that_is_over_says_nothing(schedules: Scheduler) -> None:
    root = schedules.make(at=NOON)
    paused = schedules.make(parentId=root.id, paused=True)
    over = schedules.make(parentId=root.id, ttlHours=1)
    schedules.pass_to("2026-03-02T13:30:00Z")
    schedules.end(schedules.jobs(root)[0])
    assert [(run.status, run.reason) for run in schedules.runs(paused)] == [("skipped", "it is paused")]
    assert schedules.runs(over) == []


def test_at_most_25_follow_one_end_counted_after_the_conditions(schedules: Scheduler) -> None:
    root = schedules.make(at=NOON)
    unmet = [schedules.make(parentId=root.id, condition={"contains": "no such text"}) for _ in range(20)]
    met = [schedules.make(parentId=root.id) for _ in range(27)]
    schedules.tick()
    schedules.end(schedules.jobs(root)[0])
    assert [schedules.runs(row) for row in unmet] == [[]] * 20
    assert [schedules.runs(row)[0].status for row in met] == ["submitted"] * 25 + ["dropped"] * 2
    told = [event for event in schedules.store.page(HEAD).events if event.type == "schedule.dropped"]
    data = [msgspec.json.decode(event.data) for event in told]
    assert [one["scheduleId"] for one in data] == [row.id for row in met[25:]]
    assert {one["reason"] for one in data} == {f"25 others follow job {schedules.jobs(root)[0].id} already"}


def test_ten_below_one_another_and_no_more(schedules: Scheduler) -> None:
    rows = [schedules.make(at=NOON)]
    for _ in range(9):
        rows.append(schedules.make(parentId=rows[-1].id))
    before = schedules.store.dump()
    with pytest.raises(InvalidField) as refused:
        schedules.make(parentId=rows[-1].id)
    assert refused.value.members["field"] == "parentId"
    assert schedules.store.dump() == before
    apart = schedules.make(at=NOON)
    with pytest.raises(InvalidField):
        schedules.edit(rows[0], at=None, parentId=apart.id)  # all of them would stand one lower
    schedules.tick()
    for row in rows:
        (job,) = schedules.jobs(row)
        schedules.end(job)


def test_a_circle_is_refused(schedules: Scheduler) -> None:
    first = schedules.make(at=NOON)
    second = schedules.make(parentId=first.id)
    third = schedules.make(parentId=second.id)
    for row, parent in ((first, third), (first, first), (second, third)):
        with pytest.raises(InvalidField) as refused:
            schedules.edit(row, at=None, parentId=parent.id)
        assert refused.value.detail == "parentId: the chain would come back to this schedule"


def test_a_child_whose_parent_is_deleted_ends(schedules: Scheduler) -> None:
    root = schedules.make(at=NOON, deleteAfterRun=True)
    child = schedules.make(parentId=root.id)
    schedules.tick()
    (job,) = schedules.jobs(root)
    schedules.end(job)
    shown = schedules.shown(child)
    assert (shown.state, shown.ended_reason) == ("ended", "its parent was deleted")
    assert [run.status for run in schedules.runs(child)] == ["submitted"]  # the last end was followed
    schedules.edit(child, name="renamed", delaySeconds=5)  # what does not touch the parent
    schedules.edit(child, ttlHours=100)  # a plan of its own begins anew
    shown = schedules.shown(child)
    assert (shown.name, shown.delay_seconds, shown.ended_reason) == ("renamed", 5, "its parent was deleted")
    with pytest.raises(InvalidField) as refused:
        schedules.edit(child, parentId=f"{root.id}0")
    assert refused.value.members["field"] == "parentId"
    other = schedules.make(at="2026-03-03T00:00:00Z")
    assert schedules.edit(child, parentId=other.id).ended is None


def test_an_end_that_cannot_be_followed_is_told_and_keeps_no_other_from_it(schedules: Scheduler) -> None:
    store, tick = schedules.store, Firing(schedules.store.engine, schedules.store.rules, schedules.clock)
    root, other = schedules.make(at=NOON), schedules.make(at=NOON)
    spoilt, fine = schedules.make(parentId=root.id), schedules.make(parentId=other.id)
    schedules.tick()
    store.write(lambda tx: tx.run(Raw("UPDATE schedules SET definition = '{' WHERE id = ?", "id"), id=spoilt.id))
    jobs = [schedules.jobs(row)[0] for row in (root, other)]
    for job in jobs:
        store.complete(job.id, store.claim(job.id).fence)
    tick.turn()
    assert [run.status for run in schedules.runs(fine)] == ["submitted"]
    assert schedules.next_moment() is None
    told = [event for event in store.read(lambda tx: events.after(tx, 0, 100)) if event.type == "schedule.refused"]
    data = json.loads(told[0].data)
    assert (len(told), data["scheduleId"], data["dueAt"]) == (1, root.id, "2026-03-02T12:00:00.000Z")
    assert data["reason"].startswith(f"the end of job {jobs[0].id} could not be followed: ")


# --- conditions ------------------------------------------------------------------------------------------------------

HOLDS: list[tuple[dict[str, Any], str | None, str | None, bool]] = [
    ({"exitCode": [3]}, '{"exitCode": 3}', None, True),
    ({"exitCode": [3, 4]}, '{"phases": [{"exitCode": 0}, {"exitCode": 4}]}', None, True),
    ({"exitCode": [3]}, None, "test ended with exit code 3: no space", True),
    ({"exitCode": [3]}, None, "test ended with exit code 33", False),
    ({"exitCode": [3]}, '{"exitCode": true}', "broke", False),
    ({"contains": "pass"}, '{"notes": ["all passed"]}', None, True),
    ({"contains": "Pass"}, '{"notes": ["all passed"]}', None, False),
    ({"contains": "notes"}, '{"notes": ["all passed"]}', None, False),
    ({"contains": "disk"}, None, "the disk is full", True),
    ({"contains": "ü\n"}, '"a\\u00fc\\nb"', None, True),
    ({"pointer": "/a/b"}, '{"a": {"b": null}}', None, True),
    ({"pointer": "/a/b"}, '{"a": {}}', None, False),
    ({"pointer": "/a/1"}, '{"a": [0, 1]}', None, True),
    ({"pointer": "/a/2"}, '{"a": [0, 1]}', None, False),
    ({"pointer": "/a/-1"}, '{"a": [0, 1]}', None, False),
    ({"pointer": "/x~1y/m~0n"}, '{"x/y": {"m~n": 1}}', None, True),
    ({"pointer": "/a", "exists": False}, '{"b": 1}', None, True),
    ({"pointer": "/a", "exists": False}, None, None, True),
    ({"pointer": "/a", "equals": 1}, '{"a": 1.0}', None, True),
    ({"pointer": "/a", "equals": 1}, '{"a": true}', None, False),
    ({"pointer": "/a", "equals": [{"b": False}]}, '{"a": [{"b": false}]}', None, True),
    ({"pointer": "/a", "equals": [{"b": False}]}, '{"a": [{"b": 0}]}', None, False),
    ({"pointer": "", "equals": "ok"}, '"ok"', None, True),
    ({"contains": "ok", "exitCode": [1]}, '{"exitCode": 0, "notes": "ok"}', None, False),
]


@pytest.mark.parametrize(("condition", "result", "error", "holds"), HOLDS)
def test_a_condition(condition: dict[str, Any], result: str | None, error: str | None, holds: bool) -> None:
    read = msgspec.json.decode(msgspec.json.encode(condition), type=wire.Condition)
    conditions.check(read)
    status = "failed" if error else "done"
    job = JobRow(0, "j", 0, "any", status, 0, 0, "head", result=result, error=error)
    assert conditions.holds(read, conditions.Ended(job)) is holds


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({}, "condition"),
    ({"equals": 1}, "condition.equals"),
    ({"exists": True}, "condition.exists"),
    ({"pointer": "a"}, "condition.pointer"),
    ({"pointer": "/a", "exists": False, "equals": 1}, "condition.exists"),
]


@pytest.mark.parametrize(("condition", "field"), CONTRADICTIONS)
def test_a_condition_that_says_nothing(schedules: Scheduler, condition: dict[str, Any], field: str) -> None:
    root = schedules.make(at=NOON)
    with pytest.raises(InvalidField) as refused:
        schedules.make(parentId=root.id, condition=condition)
    assert refused.value.members["field"] == field


def test_a_result_that_is_deep_or_long_costs_no_time_that_grows_faster_than_it(schedules: Scheduler) -> None:
    deep = "[" * 500 + "]" * 500
    job = JobRow(0, "j", 0, "any", "done", 0, 0, "head", result=deep)
    read = wire.Condition(contains="a", pointer="/0" * 200)
    assert conditions.holds(read, conditions.Ended(job)) is False
    long = JobRow(0, "j", 0, "any", "done", 0, 0, "head", result=json.dumps("a" * 250_000))
    assert conditions.holds(wire.Condition(contains="a" * 999 + "b"), conditions.Ended(long)) is False


def test_a_result_is_read_once_for_all_chains_that_follow_its_end(
    schedules: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = schedules.make(at=NOON)
    met = [schedules.make(parentId=root.id, condition={"contains": f"text {n},"}) for n in (1, 3999)]
    unmet = [schedules.make(parentId=root.id, condition={"contains": "text 1,text 2"}) for _ in range(30)]
    schedules.tick()
    flattened: list[int] = []
    whole = conditions._texts

    def counted(values: list[Any]) -> list[str]:
        flattened.append(len(values))
        return whole(values)

    monkeypatch.setattr(conditions, "_texts", counted)
    schedules.end(schedules.jobs(root)[0], result=json.dumps([f"text {n}," for n in range(4000)]))
    assert [len(schedules.runs(row)) for row in (*met, *unmet)] == [1, 1] + [0] * 30
    assert len(flattened) == 1


def test_equals_is_taken_as_deep_as_it_is_compared_and_refused_beyond(schedules: Scheduler) -> None:
    root = schedules.make(at=NOON)
    deepest = "[" * 64 + "]" * 64

    def equal(text: str) -> dict[str, Any]:
        return {"pointer": "", "equals": msgspec.Raw(text.encode())}

    child = schedules.make(parentId=root.id, condition=equal(deepest))
    for text in (f"[{deepest}]", '{"a": ' * 65 + "1" + "}" * 65, "[" * 600 + "]" * 600):
        with pytest.raises(InvalidField) as refused:
            schedules.make(parentId=root.id, condition=equal(text))
        assert refused.value.detail == "condition.equals: nested deeper than 64"
    schedules.tick()
    schedules.end(schedules.jobs(root)[0], result=deepest)
    assert [run.status for run in schedules.runs(child)] == ["submitted"]
