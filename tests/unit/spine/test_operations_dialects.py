"""Databases of Skyclaw and of the OpenClaw Broker: what is kept, what becomes of a running job, what is told of."""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.foreign_stores import BrokerFile, SkyclawFile
from tests.support.queue_store import LEFT, QueueStore, SetClock

from spine.operations.dialects import bring_in
from spine.operations.refusal import Refused
from spine.operations.taken import Report
from spine.queue import claim, view
from spine.store import attempts, events, foreign, listing, machines, plans
from spine.store.jobs import JobRow
from spine.store.listing import Filter
from spine.store.lock import DataDirBusy

NOW = 1_767_312_000_000  # 2026-01-02T00:00:00Z
TEN = 1_767_261_600_000  # 2026-01-01T10:00:00Z
CLOCK = SetClock(NOW)
PLAN_ID = "0a1b2c3d-0000-4000-8000-00000000000f"
PLAN = {
    "type": "plan",
    "plan_id": PLAN_ID,
    "summary": "Echo plan for: gr\u00fcn",
    "proposed_actions": ["(no-op)"],
    "requires_approval": True,
}
PLAN_TEXT = (
    '{"type": "plan", "plan_id": "0a1b2c3d-0000-4000-8000-00000000000f", "summary": "Echo plan for: gr\\u00fcn", '
    '"proposed_actions": ["(no-op)"], "requires_approval": true}'
)
PLAN_DIGEST = "c8e4b2fcc0c42b654706725d3f7d9321e6c11540f6dc47d5961eeeb9157112eb"

Run = Callable[..., tuple[Report, QueueStore]]


@pytest.fixture
def skyclaw(tmp_path: Path) -> SkyclawFile:
    return SkyclawFile(tmp_path / "old" / "coordinator.db")


@pytest.fixture
def broker(tmp_path: Path) -> BrokerFile:
    return BrokerFile(tmp_path / "broker.db")


@pytest.fixture
def imported(tmp_path: Path) -> Iterator[Run]:
    """Import, then open the store."""
    opened: list[QueueStore] = []

    def run(source: SkyclawFile | BrokerFile, plans_dir: Path | None = None) -> tuple[Report, QueueStore]:
        for store in opened:
            store.close()
        opened.clear()
        name = "skyclaw" if isinstance(source, SkyclawFile) else "broker"
        report = bring_in(name, source.path, plans_dir, tmp_path / "data", False, CLOCK)
        opened.append(QueueStore(tmp_path / "data", SetClock(NOW)))
        return report, opened[-1]

    yield run
    for store in opened:
        store.close()


def record(store: QueueStore, job_id: str) -> dict[str, Any]:
    row = store.job(job_id)
    assert row is not None
    found: dict[str, Any] = json.loads(store.read(lambda tx: view.job(tx, row)))
    return found


def told(report: Report) -> list[tuple[str, str, str, str]]:
    return [(line.kind, line.name, line.state, line.reason) for line in report.lines]


def history(store: QueueStore, job_id: str) -> list[tuple[int, str, str, Any]]:
    rows = store.read(lambda tx: events.of_job(tx, job_id, 0, 100))
    return [(row.at, row.type, row.author, json.loads(row.data)) for row in rows]


def claimed(store: QueueStore, job_id: str) -> JobRow:
    """Claim as a claw that speaks Skyclaw."""
    can = frozenset({"skyclaw", "shell"})
    row = store.write(lambda tx: claim.claim_one(tx, store.rules, LEFT, job_id, can))
    assert isinstance(row, JobRow)
    return row


def ids(store: QueueStore) -> list[str]:
    return store.read(lambda tx: [row.id for row in listing.matching(tx, Filter(), None, 0, 100)])


# --- Skyclaw ----------------------------------------------------------------------------------------------------------


def test_a_completed_job_keeps_everything(skyclaw: SkyclawFile, imported: Run) -> None:
    payload = {
        "kind": "shell",
        "command": "make",
        "args": ["ü"],
        "env": {"A": "1"},
        "more": [1.5, 12345678901234567890],
    }
    skyclaw.job(
        "job_1",
        "completed",
        attempts=3,
        updatedAt="2026-01-01T10:20:00.000Z",
        assignedHostId="box 1",
        requirement={"requiredCapabilities": ["gpu", "Shell"]},
        payload=payload,
        result={
            "finishedAt": "2026-01-01T10:19:59.000Z", "durationMs": 60_000, "exitCode": 0, "stdout": "out\n",
            "stderr": "",
        },
    )  # fmt: skip
    report, store = imported(skyclaw)
    assert (report.counts, report.lines) == ({("job", "imported"): 1}, [])
    job = record(store, "job_1")
    wanted = {
        "id": "job_1",
        "target": "any",
        "status": "done",
        "requires": ["Shell", "gpu", "skyclaw"],
        "spec": payload,
        "meta": {},
        "createdAt": "2026-01-01T10:00:00.000Z",
        "updatedAt": "2026-01-01T10:20:00.000Z",
        "startedAt": "2026-01-01T10:18:59.000Z",
        "finishedAt": "2026-01-01T10:19:59.000Z",
        "createdBy": "skyclaw",
        "claimedBy": "skyclaw:box 1",
        "machine": "skyclaw:box 1",
        "workerId": "box 1",
        "leaseUntil": None,
        "attempts": 3,
        "maxAttempts": 5,
        "fence": 3,
        "result": {"durationMs": 60_000, "exitCode": 0, "stdout": "out\n", "stderr": ""},
        "error": None,
    }
    assert {name: job[name] for name in wanted} == wanted
    assert history(store, "job_1") == [
        (TEN, "job.created", "skyclaw", {"target": "any"}),
        (TEN + 1_139_000, "job.claimed", "skyclaw:box 1", {"attempt": 3, "fence": 3, "workerId": "box 1"}),
        (TEN + 1_199_000, "job.completed", "skyclaw:box 1", {"status": "done", "fence": 3}),
    ]
    known = store.read(lambda tx: attempts.of_job(tx, "job_1"))
    assert [(a.fence, a.attempt, a.outcome, a.claimed_by, a.started_at, a.ended_at) for a in known] == [
        (3, 3, "done", "skyclaw:box 1", TEN + 1_139_000, TEN + 1_199_000)
    ]


def test_a_failed_job_keeps_its_outputs_and_its_error(skyclaw: SkyclawFile, imported: Run) -> None:
    skyclaw.job(
        "job_f", "failed", attempts=1, updatedAt="2026-01-01T10:01:00.000Z", assignedHostId="h",
        result={"finishedAt": "2026-01-01T10:01:00.000Z", "exitCode": 126, "stdout": "\ud800"}, error="not allowed",
    )  # fmt: skip
    _, store = imported(skyclaw)
    job = record(store, "job_f")
    assert (job["status"], job["result"], job["error"]) == (
        "failed", {"exitCode": 126, "stdout": "\ufffd"}, "not allowed",
    )  # fmt: skip
    assert history(store, "job_f")[-1] == (
        TEN + 60_000, "job.failed", "skyclaw:h",
        {"requeued": False, "attempt": 1, "error": "not allowed", "fence": 1},
    )  # fmt: skip


def test_a_leased_job_is_queued_with_its_attempt_counted(skyclaw: SkyclawFile, imported: Run) -> None:
    skyclaw.job(
        "job_l", "leased", attempts=2, updatedAt="2026-01-01T10:05:00.000Z", assignedHostId="h",
        leaseExpiresAt="2026-01-01T10:06:00.000Z",
    )  # fmt: skip
    skyclaw.job("job_n", "leased", attempts=1, leaseExpiresAt="2026-01-01T10:06:00.000Z")
    skyclaw.job("job_w", "queued", attempts=9)
    report, store = imported(skyclaw)
    assert told(report) == [
        ("job", "job_l", "imported", "was running; queued, its attempt counted"),
        ("job", "job_n", "imported", "was running; queued, its attempt counted"),
    ]
    shown = {job_id: record(store, job_id) for job_id in ("job_l", "job_n", "job_w")}
    assert {
        job_id: (job["status"], job["attempts"], job["maxAttempts"], job["claimedBy"]) for job_id, job in shown.items()
    } == {
        "job_l": ("queued", 2, 5, None),
        "job_n": ("queued", 1, 5, None),
        "job_w": ("queued", 9, 10, None),
    }
    last = history(store, "job_l")
    assert [(at, kind, by) for at, kind, by, _ in last] == [
        (TEN, "job.created", "skyclaw"),
        (TEN + 300_000, "job.claimed", "skyclaw:h"),
        (NOW, "job.expired", "spine"),
    ]
    assert last[-1][3] == {"attempt": 2, "fence": 2, "claimedBy": "skyclaw:h", "reason": "imported"}
    assert [(a.fence, a.outcome) for a in store.read(lambda tx: attempts.of_job(tx, "job_l"))] == [(2, "expired")]
    assert claimed(store, "job_l").fence == 3


def test_hosts_become_machines_with_their_times(skyclaw: SkyclawFile, imported: Run) -> None:
    skyclaw.host("host_1")
    skyclaw.host("old", version=None, updatedBy=None, capabilities=[], maxParallel=1)
    report, store = imported(skyclaw)
    assert (report.counts, report.lines) == ({("host", "imported"): 2}, [])
    found = store.read(machines.all_of)
    assert [
        (row.name, row.state, json.loads(row.capabilities), row.first_seen, row.seen_at, row.revoked_at)
        for row in found
    ] == [
        ("skyclaw:host_1", "active", ["automaton", "shell", "skyclaw"], TEN - 3_600_000, TEN + 3_600_000, None),
        ("skyclaw:old", "active", ["skyclaw"], TEN - 3_600_000, TEN + 3_600_000, None),
    ]
    kept = json.loads(found[0].facts)["skyclaw"]
    assert {name: kept[name] for name in ("name", "maxParallel", "registeredAt", "capabilities")} == {
        "name": "gpu box",
        "maxParallel": 2.0,
        "registeredAt": "2026-01-01T09:00:00.000Z",
        "capabilities": ["automaton", "shell"],
    }


def test_bad_records_of_a_coordinator_are_named_and_the_rest_is_taken(skyclaw: SkyclawFile, imported: Run) -> None:
    skyclaw.job("good")
    skyclaw.job("created", createdAt=1_767_261_600_000)
    skyclaw.job("never", updatedAt="yesterday")
    skyclaw.job("zone", updatedAt="2026-01-01T10:00:00")
    skyclaw.job("far", createdAt="9999-12-31T23:59:59.999Z")
    skyclaw.job("tomorrow", updatedAt="2026-01-03T00:00:00.001Z")
    skyclaw.job("version", version=2**53)
    skyclaw.job("greatest", version=2**53 - 1)
    skyclaw.job("half", version=1.5)
    skyclaw.job("status", "paused")
    skyclaw.job("nothing", payload=None)
    skyclaw.job("kind", payload={"command": "true"})
    skyclaw.job("counted", attempts=-1)
    skyclaw.job("wants", requirement={"requiredCapabilities": [1]})
    skyclaw.job("any", requirement=None)
    skyclaw.job("finished", "completed", result={"finishedAt": 12})
    skyclaw.job("../../etc/passwd")
    skyclaw.job("..")
    skyclaw.job("a\nb\x1b[31m")
    skyclaw.put("jobs", "renamed", json.dumps({"id": "good"}))
    skyclaw.put("jobs", "cut", '{"id": "cut", "sta')
    skyclaw.put("jobs", "list", "[]")
    skyclaw.put("jobs", "blob", b"{}")
    with skyclaw.open() as db:
        db.execute("INSERT INTO jobs VALUES ('latin', '', CAST(x'7BE97D' AS TEXT))")
        db.execute("INSERT INTO jobs SELECT 'twin', '', json FROM jobs WHERE id = 'good'")
    skyclaw.host("h", registeredAt="soon")
    skyclaw.host("p", maxParallel="two")
    skyclaw.host("t", lastSeenAt="2027-01-01T00:00:00.000Z")
    report, store = imported(skyclaw)
    assert ids(store) == ["good", "greatest"]
    assert report.counts == {("host", "broken"): 3, ("job", "broken"): 23, ("job", "imported"): 2}
    reasons = {(line.kind, line.name): line.reason for line in report.lines}
    assert reasons[("job", "cut")].startswith("the body is not JSON: ")
    del reasons[("job", "cut")]
    assert reasons == {
        ("host", "h"): "registeredAt: expected a time such as 2030-01-31T08:00:00.000Z",
        ("host", "p"): "maxParallel: expected a number of at least 1",
        ("host", "t"): "has a time in the future: 2027-01-01T00:00:00.000Z",
        ("job", "created"): "createdAt: expected 1 to 64 characters",
        ("job", "never"): "updatedAt: expected a time such as 2030-01-31T08:00:00.000Z",
        ("job", "zone"): "updatedAt: expected a time such as 2030-01-31T08:00:00.000Z",
        ("job", "far"): "createdAt: expected a time such as 2030-01-31T08:00:00.000Z",
        ("job", "tomorrow"): "has a time in the future: 2026-01-03T00:00:00.001Z",
        ("job", "version"): "version: expected a whole number from 0 to 9007199254740991",
        ("job", "half"): "version: expected a whole number from 0 to 9007199254740991",
        ("job", "status"): "status: expected one of queued, leased, completed, failed",
        ("job", "nothing"): "payload: expected an object with a kind",
        ("job", "kind"): "payload: expected an object with a kind",
        ("job", "counted"): "attempts: expected a whole number from 0 to 1000000",
        ("job", "wants"): "requirement.requiredCapabilities: expected strings of 1 to 256 characters",
        ("job", "any"): "requirement: expected an object",
        ("job", "finished"): "result.finishedAt: expected a time such as 1970-01-01T00:00:00.000Z",
        ("job", "../../etc/passwd"): "id: expected 1 to 64 of A-Z, a-z, 0-9, dot, hyphen, underscore and tilde",
        ("job", ".."): "id: an id has 1 to 64 of A-Z a-z 0-9 . _ ~ -, and does not begin with a dot",
        ("job", r"'a\nb\x1b[31m'"): "id: expected 1 to 64 of A-Z, a-z, 0-9, dot, hyphen, underscore and tilde",
        ("job", "renamed"): "status: expected one of queued, leased, completed, failed",
        ("job", "list"): "the body must be a JSON object",
        ("job", "blob"): "its record is no text",
        ("job", "latin"): "its record is no text",
        ("job", "twin"): "holds the id 'good', which is not its row's",
    }


# --- the OpenClaw Broker ----------------------------------------------------------------------------------------------


def test_every_status_of_a_broker(broker: BrokerFile, imported: Run) -> None:
    at = 1_767_261_600
    ping = {"command": "ping", "payload": "hi"}
    broker.job("q", requires='{"caps": ["llm:vllm", " gpu ", ""]}')
    broker.job("r", "running", started_at=at + 5, lease_until=at + 65, worker_id="wsl")
    broker.job("d", "done", started_at=at + 1, finished_at=at + 3, worker_id="wsl", result="pong: hü", command="ping ")
    broker.job("n", "done", started_at=at + 1, finished_at=at + 3, result="")
    broker.job("f", "failed", started_at=at + 1, finished_at=at + 4, worker_id="wsl", error="boom", result="both")
    broker.job("u", "failed", finished_at=at + 9, error="unknown")
    report, store = imported(broker)
    assert report.counts == {("job", "imported"): 6}
    assert told(report) == [("job", "r", "imported", "was running; queued, its attempt counted")]
    names = ("status", "attempts", "requires", "spec", "result", "error", "claimedBy", "workerId", "createdBy")
    assert {job_id: tuple(record(store, job_id)[name] for name in names) for job_id in "qrdnfu"} == {
        "q": ("queued", 0, ["broker", "gpu", "llm:vllm"], ping, None, None, None, None, "broker"),
        "r": ("queued", 1, ["broker"], ping, None, None, None, None, "broker"),
        "d": ("done", 1, ["broker"], ping | {"command": "ping "}, "pong: hü", None, "broker:wsl", "wsl", "broker"),
        "n": ("done", 1, ["broker"], ping, "", None, "broker", None, "broker"),
        "f": ("failed", 1, ["broker"], ping, "both", "boom", "broker:wsl", "wsl", "broker"),
        "u": ("failed", 0, ["broker"], ping, None, "unknown", None, None, "broker"),
    }  # fmt: skip
    done = record(store, "d")
    assert [done[name] for name in ("createdAt", "startedAt", "finishedAt", "updatedAt", "target", "maxAttempts")] == [
        "2026-01-01T10:00:00.000Z", "2026-01-01T10:00:01.000Z", "2026-01-01T10:00:03.000Z",
        "2026-01-01T10:00:03.000Z", "any", 5,
    ]  # fmt: skip
    assert history(store, "d") == [
        (TEN, "job.created", "broker", {"target": "any"}),
        (TEN + 1000, "job.claimed", "broker:wsl", {"attempt": 1, "fence": 1, "workerId": "wsl"}),
        (TEN + 3000, "job.completed", "broker:wsl", {"status": "done", "fence": 1}),
    ]
    assert history(store, "u") == [(TEN, "job.created", "broker", {"target": "any"})]


@pytest.mark.parametrize("requires", ["", "caps", "[1]", '{"caps": 1}', '{"caps": [1]}', '{"caps": null}', b"\xff"])
def test_a_requirement_that_is_none_asks_for_nothing(broker: BrokerFile, imported: Run, requires: Any) -> None:
    broker.job("j", requires=requires)
    report, store = imported(broker)
    assert report.lines == []
    assert record(store, "j")["requires"] == ["broker"]


def test_a_database_of_the_first_release_has_fewer_columns(tmp_path: Path, imported: Run) -> None:
    first = BrokerFile(tmp_path / "first.db", columns=())
    first.job("d", "done", result="pong", finished_at=1_767_261_603)
    first.job("q")
    report, store = imported(first)
    assert report.counts == {("job", "imported"): 2}
    assert [(record(store, j)["status"], record(store, j)["result"]) for j in "dq"] == [
        ("done", "pong"),
        ("queued", None),
    ]


def test_bad_rows_of_a_broker_are_named_and_the_rest_is_taken(broker: BrokerFile, imported: Run) -> None:
    broker.job("good")
    broker.job("text", created_at="soon")
    broker.job("half", created_at=1.5)
    broker.job("ms", created_at=1_767_261_600_000)
    broker.job("before", created_at=-1)
    broker.job("ahead", "done", finished_at=4_000_000_000)
    broker.job("status", "paused")
    broker.job("open", "done", result="x")
    broker.job("lease", "running", lease_until="later")
    broker.job("blob", payload=b"\xff")
    broker.job("long", worker_id="w" * 129)
    broker.job("../plans/x")
    broker.job(b"\x00\x01")
    broker.job(None)
    report, store = imported(broker)
    assert ids(store) == ["good"]
    seconds = "expected whole seconds since 1970, before the year 2100"
    assert sorted(told(report), key=lambda line: line[1] == "ahead") == [
        ("job", "text", "broken", f"created_at: {seconds}"),
        ("job", "half", "broken", f"created_at: {seconds}"),
        ("job", "ms", "broken", f"created_at: {seconds}"),
        ("job", "before", "broken", f"created_at: {seconds}"),
        ("job", "status", "broken", "status: expected one of queued, running, done, failed"),
        ("job", "open", "broken", "finished_at: missing, although it is done"),
        ("job", "lease", "broken", f"lease_until: {seconds}"),
        ("job", "blob", "broken", "payload: expected a text"),
        ("job", "long", "broken", "worker_id: expected at most 128 printable characters"),
        ("job", "../plans/x", "broken", "id: an id has 1 to 64 of A-Z a-z 0-9 . _ ~ -, and does not begin with a dot"),
        ("job", r"b'\x00\x01'", "broken", "id: expected a text"),
        ("job", "None", "broken", "id: expected a text"),
        ("job", "ahead", "broken", "has a time in the future: 2096-10-02T07:06:40.000Z"),
    ]


# --- plans ------------------------------------------------------------------------------------------------------------


def test_the_plan_of_a_job_can_be_approved(broker: BrokerFile, imported: Run) -> None:
    broker.job(
        "p", "done", command="plan_echo", payload="grün", result=PLAN_TEXT, started_at=1_767_261_600,
        finished_at=1_767_261_600, worker_id="wsl",
    )  # fmt: skip
    _, store = imported(broker)
    plan = store.read(lambda tx: plans.find(tx, PLAN_ID))
    assert plan is not None
    assert (plan.job_id, plan.digest, plan.approved_at) == ("p", PLAN_DIGEST, None)


@pytest.mark.parametrize("given", ["state", "plans"])
def test_plans_on_disk_become_jobs_that_are_done(broker: BrokerFile, imported: Run, tmp_path: Path, given: str) -> None:
    folder = tmp_path / "state" / "plans"
    folder.mkdir(parents=True)
    path = folder / f"{PLAN_ID}.json"
    path.write_text(json.dumps(PLAN, indent=2))
    os.utime(path, ns=(0, (TEN + 1500) * 1_000_000))
    broker.job("q")
    report, store = imported(broker, folder if given == "plans" else folder.parent)
    assert (report.counts, report.lines) == ({("job", "imported"): 1, ("plan", "imported"): 1}, [])
    job = record(store, PLAN_ID)
    wanted = {
        "status": "done",
        "target": "any",
        "requires": ["broker"],
        "spec": {"command": "plan_echo", "payload": ""},
        "result": PLAN_TEXT,
        "createdAt": "2026-01-01T10:00:01.500Z",
        "finishedAt": "2026-01-01T10:00:01.500Z",
        "createdBy": "broker",
        "claimedBy": None,
        "attempts": 0,
    }
    assert {name: job[name] for name in wanted} == wanted
    plan = store.read(lambda tx: plans.find(tx, PLAN_ID))
    assert plan is not None
    assert (plan.job_id, plan.digest) == (PLAN_ID, PLAN_DIGEST)


def test_files_that_are_no_plans_are_named(broker: BrokerFile, imported: Run, tmp_path: Path) -> None:
    folder, uuid = tmp_path / "plans", "0a1b2c3d-0000-4000-8000-00000000000"
    folder.mkdir()
    (tmp_path / "elsewhere.json").write_text(json.dumps(PLAN | {"plan_id": f"{uuid}1"}))
    (folder / f"{uuid}1.json").symlink_to(tmp_path / "elsewhere.json")
    (folder / f"{uuid}2.json").write_text("{")
    (folder / f"{uuid}3.json").write_text(json.dumps(PLAN))
    (folder / f"{uuid}4.json").write_text(json.dumps({"type": "approval", "plan_id": f"{uuid}4"}))
    (folder / f"{uuid}5.json").mkdir()
    (folder / f"{uuid}6.json").write_text(" " * (1 << 20) + "{}")
    (folder / f"{uuid}7.json").write_bytes(b"\xff")
    os.mkfifo(folder / f"{uuid}8.json")
    (folder / f"{PLAN_ID.upper()}.json").write_text(json.dumps(PLAN | {"plan_id": PLAN_ID.upper()}))
    (folder / "passwd.json").write_text("{}")
    (folder / "notes.txt").write_text("{}")
    broker.job(f"{uuid}9")
    (folder / f"{uuid}9.json").write_text(json.dumps(PLAN | {"plan_id": f"{uuid}9"}))
    report, store = imported(broker, folder)
    assert ids(store) == [f"{uuid}9"]
    assert report.counts == {("job", "imported"): 1, ("plan", "broken"): 10, ("plan", "skipped"): 1}
    name = "its name is not <plan_id>.json with a UUID in lower case"
    assert {line.name.removeprefix(uuid): line.reason.partition(": ")[0] for line in report.lines} == {
        "1.json": "a link, which is not followed",
        "2.json": "not JSON",
        "3.json": f"holds the plan_id {PLAN_ID}, which is not its name",
        "4.json": "not a plan",
        "5.json": "cannot be read (Is a directory)",
        "6.json": "has more than 1048576 bytes",
        "7.json": "not JSON",
        "8.json": "no regular file",
        "0A1B2C3D-0000-4000-8000-00000000000F.json": name,
        "passwd.json": name,
    }


# --- both -------------------------------------------------------------------------------------------------------------


def test_jobs_come_in_the_order_of_their_making(skyclaw: SkyclawFile, imported: Run) -> None:
    for n, job_id in enumerate(["c", "a", "b"]):
        skyclaw.job(job_id, createdAt=f"2026-01-01T10:0{2 - n}:00.000Z")
    skyclaw.job("d", createdAt="2026-01-01T10:01:00.000Z")
    _, store = imported(skyclaw)
    assert ids(store) == ["b", "a", "d", "c"]


def test_again_is_harmless_and_takes_what_has_come_since(skyclaw: SkyclawFile, imported: Run) -> None:
    skyclaw.host("h")
    skyclaw.job("one")
    _, store = imported(skyclaw)
    store.complete("one", claimed(store, "one").fence, '"here"')
    skyclaw.job("two")
    report, store = imported(skyclaw)
    assert (report.counts, report.lines) == (
        {("host", "skipped"): 1, ("job", "skipped"): 1, ("job", "imported"): 1},
        [],
    )
    assert record(store, "one")["result"] == "here"
    assert [kind for _, kind, _, _ in history(store, "one")] == ["job.created", "job.claimed", "job.completed"]


def test_a_dry_run_tells_the_same_and_touches_nothing(skyclaw: SkyclawFile, imported: Run, tmp_path: Path) -> None:
    skyclaw.host("h")
    skyclaw.job("a", "leased", attempts=1, assignedHostId="h", leaseExpiresAt="2026-01-01T10:06:00.000Z")
    skyclaw.job("b", createdAt=1)
    tried = bring_in("skyclaw", skyclaw.path, None, tmp_path / "data", True, CLOCK)
    assert not (tmp_path / "data").exists()
    done, store = imported(skyclaw)
    assert tried == done
    store.close()
    skyclaw.job("c")
    before = (tmp_path / "data" / "spine.db").read_bytes()
    assert bring_in("skyclaw", skyclaw.path, None, tmp_path / "data", True, CLOCK).counts == {
        ("host", "skipped"): 1,
        ("job", "broken"): 1,
        ("job", "skipped"): 1,
        ("job", "imported"): 1,
    }
    assert (tmp_path / "data" / "spine.db").read_bytes() == before


def test_the_source_is_read_with_its_log_and_stays_as_it_is(skyclaw: SkyclawFile, imported: Run) -> None:
    skyclaw.job("sealed")
    folder = skyclaw.path.parent

    def stands() -> dict[str, tuple[bytes, int]]:
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.iterdir())}

    before = stands()
    assert list(before) == ["coordinator.db"]
    assert ids(imported(skyclaw)[1]) == ["sealed"]
    assert stands() == before
    with closing(sqlite3.connect(skyclaw.path)) as serving:  # its server runs, and what it wrote last is in the log
        serving.execute("PRAGMA wal_autocheckpoint=0")
        serving.execute("INSERT INTO jobs SELECT 'logged', '', replace(json, 'sealed', 'logged') FROM jobs")
        serving.commit()
        before = stands()
        assert list(before) == ["coordinator.db", "coordinator.db-shm", "coordinator.db-wal"]
        report, store = imported(skyclaw)
        assert report.counts == {("job", "skipped"): 1, ("job", "imported"): 1}
        assert stands() == before
        assert serving.execute("SELECT count(*) FROM jobs").fetchone() == (2,)
    assert ids(store) == ["sealed", "logged"]


def test_a_transaction_that_was_cut_off_is_not_seen(broker: BrokerFile, imported: Run) -> None:
    broker.job("whole")
    with closing(sqlite3.connect(broker.path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=DELETE")
        db.execute("PRAGMA cache_size=1")
        db.execute("PRAGMA cache_spill=1")
        db.execute("BEGIN")
        db.execute("UPDATE jobs SET command = 'half'")
        for n in range(300):
            row = (f"half{n}", "x" * 1000)
            db.execute(
                "INSERT INTO jobs (id, created_at, status, command, payload) VALUES (?, 0, 'queued', 'c', ?)", row
            )
        assert broker.path.with_name("broker.db-journal").stat().st_size > 0
        _, store = imported(broker)
        db.execute("ROLLBACK")
    assert ids(store) == ["whole"]
    assert record(store, "whole")["spec"] == {"command": "ping", "payload": "hi"}


def test_a_source_that_never_stands_still_is_refused(
    skyclaw: SkyclawFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps = iter(range(100))
    monkeypatch.setattr(foreign, "_stamps", lambda _: {"": next(stamps)})
    with pytest.raises(Refused, match="written to all the time: stop its server first"):
        bring_in("skyclaw", skyclaw.path, None, tmp_path / "data", False, CLOCK)


def test_what_is_no_such_database_or_no_free_store_is_refused(
    skyclaw: SkyclawFile, broker: BrokerFile, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    (tmp_path / "text").write_text("no database, but long enough to be looked at " * 100)
    (tmp_path / "empty").touch()
    damaged = bytearray(skyclaw.path.read_bytes())
    damaged[4096:] = b"\xaa" * (len(damaged) - 4096)
    (tmp_path / "damaged").write_bytes(damaged)
    for name, path, match in [
        ("skyclaw", broker.path, "no database of a Skyclaw coordinator: it has no table hosts"),
        ("broker", skyclaw.path, "no database of an OpenClaw Broker"),
        ("broker", tmp_path / "empty", "no database of an OpenClaw Broker"),
        ("skyclaw", tmp_path / "text", "cannot be read as an SQLite file: file is not a database"),
        ("skyclaw", tmp_path / "damaged", "cannot be read as an SQLite file: database disk image is malformed"),
    ]:
        with pytest.raises(Refused, match=match):
            bring_in(name, path, None, data, False, CLOCK)
        assert not data.exists()
    store = QueueStore(data, SetClock(NOW))
    with pytest.raises(DataDirBusy):
        bring_in("skyclaw", skyclaw.path, None, data, False, CLOCK)
    store.close()
