"""What the agent of a schedule's job is shown of the runs before it: whose, how many, in which order, and to whom."""

import json
from typing import Any

import msgspec
import pytest
from tests.suites.harness import HEAD, Store
from tests.suites.schedule_store import Scheduler

from contract import wire
from contract.clock import parse_iso
from contract.errors import Forbidden, InvalidField, NotFound, NotOwner, NotRunning
from spine.queue import earlier
from spine.queue.access import Caller, Principal
from spine.store.jobs import JobRow
from spine.store.schedules import ScheduleRow

LEFT = Caller(Principal("left-claw", "claw"))
RIGHT = Caller(Principal("right-claw", "claw"))


@pytest.fixture
def schedules(store: Store) -> Scheduler:
    """Return schedules on a fresh store, at noon of a Monday."""
    store.clock.wall = parse_iso("2026-03-02T12:00:00Z")
    return Scheduler(store)


def made(schedules: Scheduler, context: dict[str, Any] | None, **fields: Any) -> ScheduleRow:
    job = {"spec": "look around", "target": "any"} | fields
    return schedules.make(cron="@yearly", overlap="allow", context=context, job=job)


def ran(schedules: Scheduler, row: ScheduleRow, result: Any = None, error: str | None = None) -> JobRow:
    job = schedules.job_of(schedules.run(row))
    schedules.clock.advance(1)
    schedules.end(job, result=json.dumps(result), error=error)
    schedules.clock.advance(1)
    return job


def seen(schedules: Scheduler, job: JobRow, caller: Caller = HEAD) -> list[wire.EarlierRun]:
    return schedules.store.read(lambda tx: earlier.runs(tx, caller, job.id))


def texts(schedules: Scheduler, job: JobRow, caller: Caller = HEAD) -> list[str]:
    return [run.text for run in seen(schedules, job, caller)]


def test_the_last_results_of_the_same_schedule_newest_first(schedules: Scheduler) -> None:
    row = made(schedules, {"last": 2})
    ran(schedules, made(schedules, {"last": 2}), "another schedule's")
    ids = [ran(schedules, row, {"notes": f"run {n}"}).id for n in range(4)]
    job = schedules.job_of(schedules.run(row))
    assert json.loads(job.meta) == {"context": {"last": 2, "like": None}}
    assert [(run.job_id, run.text) for run in seen(schedules, job)] == [(ids[3], "run 3"), (ids[2], "run 2")]
    assert seen(schedules, job)[0] == wire.EarlierRun(
        job_id=ids[3], status="done", finished_at="2026-03-02T12:00:09.000Z", text="run 3", cut=False
    )


def test_of_a_job_that_has_run_it_is_what_stood_before_it(schedules: Scheduler) -> None:
    row = made(schedules, {"last": 10})
    first, second = ran(schedules, row, "one"), ran(schedules, row, "two")
    ran(schedules, row, "three")
    assert texts(schedules, first) == []
    assert texts(schedules, second) == ["one"]


def test_what_each_end_says(schedules: Scheduler) -> None:
    row = made(schedules, {"last": 10})
    for result, error in (
        ("plain", None),
        ({"notes": "noted", "url": "u"}, None),
        ({"count": 3}, None),
        ({}, None),
        (None, None),
        (None, "broke"),
        ("é" * 2001, None),
        ("the key is sk-ant-api03-" + "a1B2" * 20, None),
    ):
        ran(schedules, row, result, error)
    schedules.store.cancel(schedules.job_of(schedules.run(row)).id)
    found = seen(schedules, schedules.job_of(schedules.run(row)))
    assert [(run.status, run.text, run.cut) for run in found] == [
        ("done", "the key is [redacted]", False),
        ("done", "é" * 2000, True),
        ("failed", "broke", False),
        ("done", '{"count": 3}', False),
        ("done", "noted", False),
        ("done", "plain", False),
    ]


def test_the_likest_come_first_and_strangers_not_at_all(schedules: Scheduler) -> None:
    row = made(schedules, {"last": 2, "like": "why did the login tests fail?"})
    for text in ("login tests fail", "disk is full", "tests fail", "login is slow", "tests fail"):
        ran(schedules, row, text)
    assert texts(schedules, schedules.job_of(schedules.run(row))) == ["login tests fail", "tests fail"]


def test_no_more_than_fifty_ends_are_looked_at(schedules: Scheduler) -> None:
    row = made(schedules, {"last": 1, "like": "needle"})
    ran(schedules, row, "needle")
    for _ in range(49):
        ran(schedules, row, "hay")
    assert texts(schedules, schedules.job_of(schedules.run(row))) == ["needle"]
    ran(schedules, row, "hay")
    assert texts(schedules, schedules.job_of(schedules.run(row))) == []


def test_who_may_ask(schedules: Scheduler) -> None:
    row = made(schedules, {"last": 3})
    ran(schedules, row, "one")
    job = schedules.job_of(schedules.run(row))
    with pytest.raises(NotRunning):
        seen(schedules, job, LEFT)
    schedules.store.claim(job.id, LEFT)
    assert texts(schedules, job, LEFT) == texts(schedules, job, Caller(Principal("viewer", "viewer"))) == ["one"]
    with pytest.raises(NotOwner):
        seen(schedules, job, RIGHT)
    mine = schedules.job_of(schedules.run(made(schedules, {"last": 3}, target="left-claw")))
    with pytest.raises(Forbidden):
        seen(schedules, mine, RIGHT)
    with pytest.raises(NotFound):
        seen(schedules, job._replace(id="nosuch"))


def test_a_claw_is_not_shown_what_was_for_another(schedules: Scheduler) -> None:
    row = made(schedules, {"last": 3}, target="left-claw")
    ran(schedules, row, "left's own")
    schedules.edit(row, job={"target": "right-claw"})
    job = schedules.job_of(schedules.run(row))
    schedules.store.claim(job.id, RIGHT)
    assert texts(schedules, job, RIGHT) == []
    assert texts(schedules, job) == ["left's own"]


def test_nothing_where_nothing_is_asked(schedules: Scheduler) -> None:
    row = made(schedules, None)
    job = ran(schedules, row, "one")
    assert json.loads(job.meta) == {}
    assert texts(schedules, schedules.job_of(schedules.run(row))) == []
    for meta in ({"context": {"last": 3}}, {"context": "of my own"}, {"context": {"last": 99}}):
        assert texts(schedules, schedules.store.submit(meta=meta)) == []


def test_a_chain_has_both_its_parents_result_and_its_own_earlier_runs(schedules: Scheduler) -> None:
    root = schedules.make(cron="@yearly", overlap="allow")
    child = schedules.make(parentId=root.id, overlap="allow", context={"last": 1}, job={"meta": {"own": 1}})
    ran(schedules, root, "r1")
    schedules.end(schedules.jobs(child)[0], result='"c1"')
    schedules.clock.advance(1)
    ran(schedules, root, "r2")
    job = schedules.jobs(child)[1]
    meta = json.loads(job.meta)
    assert (meta["own"], meta["context"], meta["parent"]["result"]) == (1, {"last": 1, "like": None}, "r2")
    assert texts(schedules, job) == ["c1"]


@pytest.mark.parametrize(
    ("context", "field"),
    [
        ({"last": 0}, "context.last"),
        ({"last": 11}, "context.last"),
        ({"last": "3"}, "context.last"),
        ({"like": ""}, "context.like"),
        ({"like": "x" * 2001}, "context.like"),
        ({"lasst": 3}, "context"),
        (3, "context"),
    ],
)
def test_what_is_no_context(schedules: Scheduler, context: Any, field: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=field):
        schedules.make(cron="@yearly", context=context)


def test_the_place_in_a_jobs_meta_is_the_schedules(schedules: Scheduler) -> None:
    with pytest.raises(InvalidField, match=r"job\.meta\.context: .*give context beside job"):
        schedules.make(cron="@yearly", job={"meta": {"context": {"last": 3}}})
