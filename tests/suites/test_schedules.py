"""Schedules on a store: each due time submits one job, whatever comes between."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.suites.harness import HEAD, Raw, Store
from tests.suites.manual_clock import ManualClock
from tests.suites.schedule_store import Scheduler

from contract.clock import parse_iso
from contract.errors import Conflict, InvalidField, NotFound
from spine.queue import firing
from spine.queue import schedules as verbs
from spine.store.engine import Engine
from spine.turns import Firing

BACK_TO = Raw("UPDATE schedules SET next_at = ?, fire_at = ?", "at", "fire_at")


@pytest.fixture
def schedules(store: Store) -> Scheduler:
    """Return schedules on a fresh store, at noon of a Monday."""
    store.clock.wall = parse_iso("2026-03-02T12:00:00Z")
    return Scheduler(store)


# --- each kind -------------------------------------------------------------------------------------------------------


def test_a_cron_schedule_submits_its_job_once_for_each_due_time(schedules: Scheduler) -> None:
    row = schedules.make(cron="*/5 * * * *", overlap="allow", job={"spec": "work", "label": "nightly", "priority": 3})
    assert schedules.next_moment() == parse_iso("2026-03-02T12:00:00Z")
    schedules.tick()
    schedules.tick()
    schedules.pass_to("2026-03-02T12:04:59.999Z")
    schedules.pass_to("2026-03-02T12:05:00Z")
    schedules.pass_to("2026-03-02T12:10:00.001Z")
    assert schedules.outcomes(row) == [
        ("2026-03-02T12:00:00", "submitted"),
        ("2026-03-02T12:05:00", "submitted"),
        ("2026-03-02T12:10:00", "submitted"),
    ]
    jobs = schedules.jobs(row)
    assert {(j.spec, j.label, j.priority, j.schedule_id, j.status) for j in jobs} == {
        ('"work"', "nightly", 3, row.id, "queued")
    }
    assert len({job.id for job in jobs}) == 3
    assert schedules.store.events(jobs[0].id)[0].data == f'{{"target":"left-claw","scheduleId":"{row.id}"}}'


def test_every_counts_from_when_it_was_made(schedules: Scheduler) -> None:
    row = schedules.make(everySeconds=90, overlap="allow")
    schedules.pass_to("2026-03-02T12:01:29.999Z")
    assert schedules.outcomes(row) == []
    schedules.pass_to("2026-03-02T12:01:30Z")
    schedules.pass_to("2026-03-02T12:03:00Z")
    assert schedules.outcomes(row) == [("2026-03-02T12:01:30", "submitted"), ("2026-03-02T12:03:00", "submitted")]


def test_every_second(schedules: Scheduler) -> None:
    row = schedules.make(everySeconds=1, overlap="allow")
    for _ in range(5):
        schedules.clock.advance(1)
        schedules.tick()
    assert [outcome for _, outcome in schedules.outcomes(row)] == ["submitted"] * 5


def test_at_is_due_once_and_then_ended(schedules: Scheduler) -> None:
    row = schedules.make(at="2026-03-02T14:30:00+02:00")
    schedules.pass_to("2026-03-02T12:30:00Z")
    schedules.pass_to("2026-03-03T12:30:00Z")
    assert schedules.outcomes(row) == [("2026-03-02T12:30:00", "submitted")]
    shown = schedules.shown(row)
    assert (shown.state, shown.ended_reason, shown.next_at) == ("ended", "its last due time has passed", None)
    assert schedules.next_moment() is None


def test_at_a_moment_ago_is_due_at_once_and_a_minute_ago_is_refused(schedules: Scheduler) -> None:
    row = schedules.make(at="2026-03-02T11:59:30Z")
    schedules.tick()
    assert schedules.outcomes(row) == [("2026-03-02T11:59:30", "submitted")]
    with pytest.raises(InvalidField) as refused:
        schedules.make(at="2026-03-02T11:58:59Z")
    assert refused.value.members["field"] == "at"


def test_start_and_end(schedules: Scheduler) -> None:
    row = schedules.make(
        cron="0 * * * *", startAt="2026-03-02T14:00:00Z", endAt="2026-03-02T16:00:00Z", overlap="allow"
    )
    for hour in range(12, 20):
        schedules.pass_to(f"2026-03-02T{hour}:00:00Z")
    assert [due for due, _ in schedules.outcomes(row)] == [
        "2026-03-02T14:00:00",
        "2026-03-02T15:00:00",
        "2026-03-02T16:00:00",
    ]
    assert schedules.shown(row).state == "ended"


def test_a_schedule_expires(schedules: Scheduler) -> None:
    row = schedules.make(cron="0 * * * *", ttlHours=1.5, overlap="allow")
    for hour in range(12, 16):
        schedules.pass_to(f"2026-03-02T{hour}:00:00Z")
    assert [due for due, _ in schedules.outcomes(row)] == ["2026-03-02T12:00:00", "2026-03-02T13:00:00"]
    assert (schedules.shown(row).state, schedules.shown(row).expires_at) == ("ended", "2026-03-02T13:30:00.000Z")


# --- exactly once ----------------------------------------------------------------------------------------------------


def test_a_due_time_that_is_fired_again_submits_nothing(schedules: Scheduler) -> None:
    row = schedules.make(cron="0 * * * *", overlap="allow")
    schedules.tick()
    noon = parse_iso("2026-03-02T12:00:00Z")
    schedules.store.write(lambda tx: tx.run(BACK_TO, at=noon, fire_at=noon))  # as if another server had fired it
    schedules.tick()
    assert schedules.outcomes(row) == [("2026-03-02T12:00:00", "submitted")]
    assert schedules.row(row.id).next_at == parse_iso("2026-03-02T13:00:00Z")


def test_a_schedule_goes_on_by_the_clock_once_it_is_resumed_after_a_jump(schedules: Scheduler) -> None:
    row = schedules.make(cron="0 * * * *", overlap="allow")
    schedules.tick()
    schedules.clock.jump(365 * 86_400)
    schedules.tick()
    schedules.clock.jump(-365 * 86_400)
    schedules.pause(row)
    schedules.pause(row, False)
    schedules.pass_to("2026-03-02T13:00:00Z")
    schedules.pass_to("2026-03-02T14:00:00Z")
    assert schedules.outcomes(row) == [
        ("2026-03-02T12:00:00", "submitted"),
        ("2026-03-02T13:00:00", "missed"),
        ("2027-03-02T12:00:00", "submitted"),
        ("2026-03-02T14:00:00", "submitted"),
    ]


def test_two_that_saw_the_same_schedule_due_fire_it_once(schedules: Scheduler) -> None:
    row = schedules.make(cron="0 * * * *", overlap="allow")
    store = schedules.store
    (task,) = store.read(firing.tasks)
    first = store.engine.write(lambda tx: firing.carry_out(tx, store.rules, task))
    second = store.engine.write(lambda tx: firing.carry_out(tx, store.rules, task))
    first.result(10), second.result(10)
    assert schedules.outcomes(row) == [("2026-03-02T12:00:00", "submitted")]


@pytest.mark.parametrize("hours", [1, 24])
def test_a_clock_that_jumps_ahead_and_back_fires_nothing_twice(schedules: Scheduler, hours: int) -> None:
    row = schedules.make(cron="0 * * * *", overlap="allow")
    schedules.tick()
    schedules.clock.jump(hours * 3600)
    schedules.tick()
    ahead = [due for due, _ in schedules.outcomes(row)]
    schedules.clock.jump(-hours * 3600)
    for _ in range(hours * 4):
        schedules.clock.advance(900)
        schedules.tick()
    due = [due for due, _ in schedules.outcomes(row)]
    assert due == ahead
    assert len(set(due)) == len(due)
    schedules.clock.advance(3600)
    schedules.tick()
    assert len(schedules.outcomes(row)) == len(ahead) + 1


@pytest.mark.parametrize(
    ("hours", "missed", "expected"),
    [
        (1, "skip", [("12:30", "submitted"), ("13:00", "missed")]),
        (1, "once", [("12:30", "submitted"), ("13:00", "missed"), ("13:30", "submitted")]),
        (1, "all", [("12:30", "submitted"), ("13:00", "submitted"), ("13:30", "submitted")]),
        (24, "skip", [("12:30", "submitted"), ("13:00", "missed")]),
        (24, "once", [("12:30", "submitted"), ("13:00", "missed"), ("12:30", "submitted")]),
        (24, "all", [("12:30", "submitted"), ("13:00", "missed"), ("12:00", "submitted"), ("12:30", "submitted")]),
    ],
)
def test_what_a_clock_that_jumps_ahead_passes_over_is_missed_by_policy(
    schedules: Scheduler, hours: int, missed: str, expected: list[tuple[str, str]]
) -> None:
    row = schedules.make(everySeconds=1800, overlap="allow", missed=missed, missedMost=2)
    schedules.pass_to("2026-03-02T12:30:00Z")
    schedules.clock.jump(hours * 3600 + 90)
    schedules.tick()
    assert [(due[11:16], outcome) for due, outcome in schedules.outcomes(row)] == expected
    assert schedules.row(row.id).next_at == parse_iso("2026-03-02T13:00:00Z") + hours * 3_600_000


@pytest.mark.parametrize("hours", [1, 24])
@pytest.mark.parametrize("when", [{"everySeconds": 600}, {"at": "2026-03-02T12:10:00Z"}, {"cron": "10 12 * * *"}])
def test_a_clock_that_is_put_back_makes_nothing_due_again_also_for_a_server_that_starts_then(
    engine: Engine,
    schedules: Scheduler,
    reopen: Callable[[], Engine],
    clock: ManualClock,
    when: dict[str, Any],
    hours: int,
) -> None:
    row = schedules.make(overlap="allow", **when)
    schedules.pass_to("2026-03-02T12:10:00Z")
    clock.jump(-hours * 3600)
    schedules.tick()
    engine.close()
    again = reopen()
    try:
        restarted = Scheduler(Store(again, clock))
        for _ in range(hours * 6):
            restarted.tick()
            clock.advance(600)
        restarted.tick()
        assert restarted.outcomes(row) == [("2026-03-02T12:10:00", "submitted")]
        clock.advance(600)
        restarted.tick()
        assert len(restarted.jobs(row)) == (2 if "everySeconds" in when else 1)
    finally:
        again.close()


@pytest.mark.parametrize("when", ["before the due time", "at the due time", "after the firing"])
def test_a_server_that_starts_again_fires_once(
    engine: Engine, schedules: Scheduler, reopen: Callable[[], Engine], when: str, clock: ManualClock
) -> None:
    row = schedules.make(at="2026-03-02T12:30:00Z")
    if when != "before the due time":
        clock.wall = parse_iso("2026-03-02T12:30:00Z")
    if when == "after the firing":
        schedules.tick()
    engine.close()
    again = reopen()
    try:
        restarted = Scheduler(Store(again, clock))
        restarted.pass_to("2026-03-02T12:30:01Z")
        restarted.tick()
        assert restarted.outcomes(row) == [("2026-03-02T12:30:00", "submitted")]
    finally:
        again.close()


# --- edits -----------------------------------------------------------------------------------------------------------


def test_an_edit_of_the_job_leaves_what_is_due(schedules: Scheduler) -> None:
    row = schedules.make(cron="0 13 * * *")
    schedules.clock.wall = parse_iso("2026-03-02T13:00:00.500Z")
    schedules.edit(row, job={"spec": "new"}, name="renamed")
    schedules.tick()
    assert schedules.outcomes(row) == [("2026-03-02T13:00:00", "submitted")]
    assert [job.spec for job in schedules.jobs(row)] == ['"new"']


def test_an_edit_of_the_times_plans_from_now_on_and_fires_nothing_twice(schedules: Scheduler) -> None:
    row = schedules.make(cron="0 12 * * *")
    schedules.tick()
    edited = schedules.edit(row, cron="*/30 12-14 * * *", overlap="allow")
    assert edited.next_at == parse_iso("2026-03-02T12:30:00Z")
    schedules.tick()
    schedules.pass_to("2026-03-02T12:30:00Z")
    assert schedules.outcomes(row) == [("2026-03-02T12:00:00", "submitted"), ("2026-03-02T12:30:00", "submitted")]
    at = schedules.edit(row, cron=None, at="2026-03-05T00:00:00Z")
    assert (at.kind, at.next_at) == ("at", parse_iso("2026-03-05T00:00:00Z"))


def test_an_edit_of_an_older_version_is_refused(schedules: Scheduler) -> None:
    row = schedules.make(cron="0 12 * * *")
    schedules.edit(row, name="first")

    made = schedules.definition({"cron": "0 1 * * *"})
    before = schedules.store.dump()
    with pytest.raises(Conflict):
        schedules.store.write(lambda tx: verbs.edit(tx, HEAD, row.id, row.version, made, None))
    assert schedules.store.dump() == before


def test_pause_and_resume(schedules: Scheduler) -> None:
    row = schedules.make(cron="0 * * * *", overlap="allow")
    schedules.tick()
    assert schedules.pause(row).next_at is None
    assert schedules.pause(row).version == 2
    schedules.pass_to("2026-03-02T15:10:00Z")
    assert (schedules.shown(row).state, schedules.next_moment()) == ("paused", None)
    assert schedules.pause(row, False).next_at == parse_iso("2026-03-02T16:00:00Z")
    schedules.pass_to("2026-03-02T16:00:00Z")
    assert [due for due, _ in schedules.outcomes(row)] == ["2026-03-02T12:00:00", "2026-03-02T16:00:00"]


def test_a_run_now_leaves_the_plan_alone_and_works_while_paused(schedules: Scheduler) -> None:
    row = schedules.make(cron="30 * * * *", overlap="allow", paused=True)
    run = schedules.run(row)
    assert (run.cause, run.status, schedules.row(row.id).next_at) == ("run", "submitted", None)
    schedules.pause(row, False)
    schedules.run(row)
    schedules.run(row)
    assert schedules.row(row.id).next_at == parse_iso("2026-03-02T12:30:00Z")
    schedules.pass_to("2026-03-02T12:30:00Z")
    assert [(r.cause, r.status) for r in schedules.runs(row)] == [("run", "submitted")] * 3 + [("time", "submitted")]


def test_a_deleted_schedule_leaves_its_jobs(schedules: Scheduler) -> None:
    row = schedules.make(cron="0 * * * *")
    schedules.tick()
    (job,) = schedules.jobs(row)
    schedules.delete(row)
    assert schedules.runs(row) == []
    assert schedules.store.job(job.id).status == "queued"
    schedules.end(job)
    with pytest.raises(NotFound):
        schedules.run(row)


# --- missed ----------------------------------------------------------------------------------------------------------

MISSED: list[tuple[str, dict[str, Any], list[tuple[str, str]]]] = [
    ("once", {}, [("12:00", "missed"), ("16:00", "submitted")]),
    ("skip", {}, [("12:00", "missed")]),
    (
        "all",
        {},
        [
            ("12:00", "submitted"),
            ("13:00", "submitted"),
            ("14:00", "submitted"),
            ("15:00", "submitted"),
            ("16:00", "submitted"),
        ],
    ),
    ("all", {"missedMost": 2}, [("12:00", "missed"), ("15:00", "submitted"), ("16:00", "submitted")]),
]


@pytest.mark.parametrize(("missed", "more", "expected"), MISSED)
def test_what_a_server_that_was_down_missed(
    schedules: Scheduler, missed: str, more: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    row = schedules.make(cron="0 * * * *", missed=missed, overlap="allow", **more)
    schedules.pass_to("2026-03-02T16:20:00Z")
    assert [(due[11:16], outcome) for due, outcome in schedules.outcomes(row)] == expected
    assert schedules.row(row.id).next_at == parse_iso("2026-03-02T17:00:00Z")


def test_what_is_less_than_a_minute_late_is_not_missed(schedules: Scheduler) -> None:
    row = schedules.make(cron="0 * * * *", missed="skip")
    schedules.pass_to("2026-03-02T12:01:00Z")
    assert schedules.outcomes(row) == [("2026-03-02T12:00:00", "submitted")]


def test_a_year_without_a_server_costs_no_walk_through_its_seconds(schedules: Scheduler) -> None:
    row = schedules.make(everySeconds=1, missed="all", missedMost=3, overlap="allow")
    schedules.pass_to("2027-03-02T12:00:00Z")
    assert schedules.outcomes(row) == [
        ("2026-03-02T12:00:01", "missed"),
        ("2027-03-02T11:59:58", "submitted"),
        ("2027-03-02T11:59:59", "submitted"),
        ("2027-03-02T12:00:00", "submitted"),
    ]


def test_what_had_expired_meanwhile_is_not_run(schedules: Scheduler) -> None:
    row = schedules.make(cron="0 13 * * *", ttlHours=2)
    schedules.pass_to("2026-03-02T14:30:00Z")
    assert [(run.status, run.reason) for run in schedules.runs(row)] == [("missed", "it had expired")]


# --- overlap ---------------------------------------------------------------------------------------------------------


def ticks(schedules: Scheduler, *moments: str) -> None:
    for moment in moments:
        schedules.pass_to(f"2026-03-02T{moment}:00Z")


def test_overlap_skip(schedules: Scheduler) -> None:
    row = schedules.make(cron="0 * * * *")
    ticks(schedules, "12:00", "13:00")
    (job,) = schedules.jobs(row)
    assert schedules.runs(row)[1].reason == f"job {job.id} has not ended"
    schedules.end(job)
    ticks(schedules, "14:00")
    assert [outcome for _, outcome in schedules.outcomes(row)] == ["submitted", "skipped", "submitted"]


def test_overlap_queues_one(schedules: Scheduler) -> None:
    row = schedules.make(cron="0 * * * *", overlap="queue")
    ticks(schedules, "12:00", "13:00", "14:00")
    assert [outcome for _, outcome in schedules.outcomes(row)] == ["submitted", "queued", "skipped"]
    (job,) = schedules.jobs(row)
    schedules.end(job, error="broke")
    assert [outcome for _, outcome in schedules.outcomes(row)] == ["submitted", "submitted", "skipped"]
    assert len(schedules.jobs(row)) == 2


@pytest.mark.parametrize(
    ("overlap", "outcomes", "statuses"),
    [
        ("allow", ["submitted", "submitted"], ["running", "queued"]),
        ("replace", ["submitted", "submitted"], ["cancelled", "queued"]),
        ("skip", ["submitted", "skipped"], ["running"]),
        ("queue", ["submitted", "queued"], ["running"]),
    ],
)
def test_what_is_queued_is_settled_by_another_policy_at_once(
    schedules: Scheduler, overlap: str, outcomes: list[str], statuses: list[str]
) -> None:
    row = schedules.make(cron="0 * * * *", overlap="queue")
    ticks(schedules, "12:00")
    (job,) = schedules.jobs(row)
    schedules.store.claim(job.id)
    ticks(schedules, "13:00")
    schedules.edit(row, overlap=overlap)
    schedules.tick()
    assert [outcome for _, outcome in schedules.outcomes(row)] == outcomes
    assert [each.status for each in schedules.jobs(row)] == statuses
    assert schedules.runs(row)[1].reason == {
        "skip": f"job {job.id} has not ended",
        "queue": f"until job {job.id} has ended",
    }.get(overlap)


def test_overlap_replaces(schedules: Scheduler) -> None:
    row = schedules.make(cron="0 * * * *", overlap="replace")
    ticks(schedules, "12:00")
    (job,) = schedules.jobs(row)
    schedules.store.claim(job.id)
    ticks(schedules, "13:00")
    first, second = schedules.jobs(row)
    assert (first.status, second.status) == ("cancelled", "queued")
    assert first.error == f"the next run of schedule {row.id} replaces it"


def test_a_job_that_was_rejected_frees_its_place(schedules: Scheduler) -> None:
    row = schedules.make(cron="0 * * * *", job={"needsApproval": True})
    ticks(schedules, "12:00")
    schedules.store.reject(schedules.jobs(row)[0].id, "no")
    ticks(schedules, "13:00")
    assert [outcome for _, outcome in schedules.outcomes(row)] == ["submitted", "submitted"]


# --- approval --------------------------------------------------------------------------------------------------------


def test_an_approval_that_does_not_come_in_time_cancels_the_job(schedules: Scheduler) -> None:
    row = schedules.make(at="2026-03-02T12:00:00Z", approvalTimeoutSeconds=600, job={"needsApproval": True})
    schedules.tick()
    assert schedules.jobs(row)[0].status == "waiting"
    ticks(schedules, "12:09")
    assert schedules.jobs(row)[0].status == "waiting"
    ticks(schedules, "12:10")
    (job,) = schedules.jobs(row)
    assert (job.status, job.approval, job.error) == ("cancelled", "pending", "nobody approved it in time")
    assert schedules.next_moment() is None


def test_an_approval_in_time_lets_every_kind_run(schedules: Scheduler) -> None:
    gated = {"needsApproval": True}
    row = schedules.make(cron="0 12 * * *", job=gated, overlap="allow")
    child = schedules.make(parentId=row.id, job=gated, name="child")
    schedules.tick()
    schedules.run(row)
    for job in schedules.jobs(row):
        assert job.status == "waiting"
        schedules.store.approve(job.id)
    schedules.end(schedules.jobs(row)[0])
    (follower,) = schedules.jobs(child)
    assert (follower.status, follower.approval) == ("waiting", "pending")
    ticks(schedules, "14:00")
    assert [job.status for job in schedules.jobs(row)] == ["done", "queued"]
    assert schedules.store.job(follower.id).status == "cancelled"


# --- what cannot be submitted ----------------------------------------------------------------------------------------


def test_a_target_that_vanished_is_recorded_and_told(schedules: Scheduler) -> None:
    row = schedules.make(cron="0 * * * *", job={"target": "right-claw"})
    schedules.store.rules.targets.discard("right-claw")
    schedules.tick()
    (run,) = schedules.runs(row)
    assert run.status == "refused"
    assert run.reason == (
        "the job cannot be submitted: target: no machine and no token is named 'right-claw'; known: any, left-claw"
    )
    assert schedules.row(row.id).next_at == parse_iso("2026-03-02T13:00:00Z")


def test_a_dedupe_key_that_is_held(schedules: Scheduler) -> None:
    row = schedules.make(cron="0 * * * *", overlap="allow", job={"dedupeKey": "one"})
    schedules.tick()
    ticks(schedules, "13:00")
    assert [outcome for _, outcome in schedules.outcomes(row)] == ["submitted", "skipped"]


def test_one_that_cannot_be_fired_at_all_keeps_nobody_from_being_fired(schedules: Scheduler) -> None:
    spoilt, fine = schedules.make(cron="0 * * * *"), schedules.make(cron="0 * * * *")
    store = schedules.store
    store.write(lambda tx: tx.run(Raw("UPDATE schedules SET definition = '{' WHERE id = ?", "id"), id=spoilt.id))

    plans: list[int] = []
    tick = Firing(store.engine, store.rules, schedules.clock)
    tick.replan = plans.append
    tick.turn()
    assert schedules.outcomes(fine) == [("2026-03-02T12:00:00", "submitted")]
    assert schedules.outcomes(spoilt) == [("2026-03-02T12:00:00", "refused")]
    assert (schedules.row(spoilt.id).ended or "").startswith("it could not be fired: ")
    assert plans == [5_001]


def test_runs_by_hand_in_the_same_moment_hinder_neither_each_other_nor_other_schedules(schedules: Scheduler) -> None:
    row, other = schedules.make(cron="0 * * * *", overlap="queue"), schedules.make(cron="0 * * * *")
    schedules.clock.wall = parse_iso("2026-03-02T12:00:00Z")
    assert [schedules.run(row).status for _ in range(3)] == ["submitted", "queued", "skipped"]
    schedules.tick()
    assert [run.status for run in schedules.runs(row)] == ["submitted", "queued", "skipped", "skipped"]
    assert {run.due_at for run in schedules.runs(row)} == {parse_iso("2026-03-02T12:00:00Z")}
    assert schedules.outcomes(other) == [("2026-03-02T12:00:00", "submitted")]
    schedules.end(schedules.jobs(row)[0])
    assert [run.status for run in schedules.runs(row)] == ["submitted", "submitted", "skipped", "skipped"]
    schedules.end(schedules.jobs(other)[0])
    ticks(schedules, "13:00")
    assert [run.status for run in schedules.runs(other)] == ["submitted", "submitted"]


# --- after a run -----------------------------------------------------------------------------------------------------


def test_delete_after_run_keeps_what_failed(schedules: Scheduler) -> None:
    row = schedules.make(at="2026-03-02T12:00:00Z", deleteAfterRun=True)
    schedules.tick()
    schedules.end(schedules.jobs(row)[0], error="broke")
    assert [run.status for run in schedules.runs(row)] == ["submitted"]
    schedules.store.retry(schedules.jobs(row)[0].id)
    schedules.end(schedules.jobs(row)[0])
    with pytest.raises(NotFound):
        schedules.shown(row)


def test_an_end_that_is_not_seen_to_is_followed_before_the_schedule_is_deleted(schedules: Scheduler) -> None:
    row = schedules.make(at="2026-03-02T13:00:00Z", overlap="allow", deleteAfterRun=True)
    child = schedules.make(parentId=row.id, overlap="allow")
    for job in [schedules.job_of(schedules.run(row)) for _ in range(2)]:
        schedules.store.complete(job.id, schedules.store.claim(job.id).fence, result='"ok"')
    schedules.tick()
    assert [run.status for run in schedules.runs(child)] == ["submitted", "submitted"]
    with pytest.raises(NotFound):
        schedules.shown(row)


def test_jitter_is_the_same_every_time_and_at_most_what_was_asked(schedules: Scheduler) -> None:
    row = schedules.make(cron="0 * * * *", jitterSeconds=600, overlap="allow")
    noon = parse_iso("2026-03-02T12:00:00Z")
    assert row.fire_at is not None
    assert noon <= row.fire_at <= noon + 600_000
    schedules.clock.wall = row.fire_at - 1
    schedules.tick()
    assert schedules.runs(row) == []
    schedules.clock.wall = row.fire_at
    schedules.tick()
    assert schedules.outcomes(row) == [("2026-03-02T12:00:00", "submitted")]
    after = schedules.row(row.id)
    assert after.next_at == noon + 3_600_000
    assert after.fire_at != noon + 3_600_000 + (row.fire_at - noon)


def test_a_thousand_in_the_same_minute_are_fired_once_each_in_short_transactions(schedules: Scheduler) -> None:
    store = schedules.store
    made = schedules.definition({"cron": "0 12 * * *"})

    store.write(lambda tx: [verbs.make(tx, HEAD, made) for _ in range(1000)])
    turns = 0
    while store.write(lambda tx: firing.fire(tx, store.rules)):
        turns += 1
    assert turns == 100
    count = Raw("SELECT count(*), count(DISTINCT schedule_id), count(DISTINCT job_id) FROM occurrences")
    assert store.read(lambda tx: tx.one(count)) == (1000, 1000, 1000)
    assert len(store.take(most=100)) == 100


def test_of_what_came_to_no_job_the_newest_thousand_are_kept(schedules: Scheduler) -> None:
    row = schedules.make(everySeconds=1)
    store = schedules.store
    schedules.clock.advance(1)
    schedules.tick()
    skipped = Raw(
        "INSERT INTO occurrences (schedule_id, due_at, cause, status, recorded_at) "
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) "
        "SELECT ?, i, 'time', 'skipped', 0 FROM n",
        "id",
    )
    store.write(lambda tx: tx.run(skipped, id=row.id))
    assert store.write(lambda tx: firing.prune(tx, 0, 50)) is None
    kept = schedules.runs(row)
    assert [kept[0].status, len(kept), kept[1].due_at] == ["submitted", 1001, 501]


def test_a_jitter_longer_than_the_interval_is_refused_and_one_as_long_is_taken(schedules: Scheduler) -> None:
    with pytest.raises(InvalidField) as refused:
        schedules.make(everySeconds=60, jitterSeconds=61)
    assert refused.value.detail == "jitterSeconds: 61, but it is due each 60 s; give less"
    row = schedules.make(everySeconds=60, jitterSeconds=60)
    with pytest.raises(InvalidField):
        schedules.edit(row, everySeconds=30)


@pytest.mark.parametrize("missed", ["once", "skip"])
def test_a_jitter_longer_than_from_one_time_to_the_next_fires_none_late(schedules: Scheduler, missed: str) -> None:
    row = schedules.make(cron="* * * * *", jitterSeconds=600, missed=missed, overlap="allow")
    schedules.pass_to("2026-03-02T13:00:00Z")  # an hour without a server
    assert [due[11:16] for due, outcome in schedules.outcomes(row) if outcome == "submitted"] in (["12:59"], ["13:00"])
    fired = len(schedules.jobs(row))
    for minute in range(1, 31):
        schedules.pass_to(f"2026-03-02T13:{minute:02}:59.999Z")
    assert len(schedules.jobs(row)) in (fired + 30, fired + 31)  # each in its own minute
