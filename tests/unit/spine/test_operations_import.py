"""The data directory of Spine v0: what is kept, what becomes of a running job, what is broken and told of."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.queue_store import DAY_MS, QueueStore, SetClock

from spine.blobs.base import read
from spine.blobs.disk import DiskBlobs
from spine.keeper import Retention
from spine.operations.importing import bring_in
from spine.operations.refusal import Refused
from spine.operations.taken import Report
from spine.queue import view
from spine.store import attempts, blobs, comments, events, listing
from spine.store.listing import Filter
from spine.store.lock import DataDirBusy
from spine.store.offline import NotAStore

NOW = 1_767_312_000_000  # 2026-01-02T00:00:00Z
CLOCK = SetClock(NOW)


def t(minute: int, second: int = 0) -> str:
    return f"2026-01-01T10:{minute:02d}:{second:02d}.000Z"


def ms(minute: int, second: int = 0) -> int:
    return 1_767_261_600_000 + (minute * 60 + second) * 1000


class V0:
    """A v0 data directory as that server writes it: pretty-printed jobs, a line an event."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("jobs", "events", "blobs"):
            (root / name).mkdir(parents=True)

    def job(self, job_id: str, status: str, events: list[dict[str, Any]] | None = None, **fields: Any) -> None:
        job = {
            "id": job_id,
            "target": "left-claw",
            "status": status,
            "createdAt": t(0),
            "updatedAt": t(30),
            "createdBy": "head",
            "claimedBy": None,
            "leaseUntil": None,
            "attempts": 0,
            "maxAttempts": 5,
            "spec": "",
            "meta": {},
            "comments": [],
            "result": None,
            "error": None,
        } | fields
        (self.root / "jobs" / f"{job_id}.json").write_text(json.dumps(job, indent=2))
        if events is not None:
            lines = "".join(json.dumps(event) + "\n" for event in events)
            (self.root / "events" / f"{job_id}.jsonl").write_text(lines)


@pytest.fixture
def v0(tmp_path: Path) -> V0:
    return V0(tmp_path / "v0")


@pytest.fixture
def imported(v0: V0, tmp_path: Path) -> Iterator[Callable[[], tuple[Report, QueueStore]]]:
    """Import, then open the store."""
    opened: list[QueueStore] = []

    def run() -> tuple[Report, QueueStore]:
        report = bring_in(v0.root, tmp_path / "data", False, CLOCK)
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


def test_a_job_that_is_done_keeps_everything(v0: V0, imported: Callable[[], tuple[Report, QueueStore]]) -> None:
    log = [
        {"t": t(0), "type": "job.created", "by": "head", "target": "any"},
        {"t": t(1), "type": "job.claimed", "by": "left-claw", "leaseUntil": t(6), "attempt": 1},
        {"t": t(6), "type": "job.expired", "by": "reaper", "attempt": 1},
        {"t": t(7), "type": "job.claimed", "by": "right-claw", "leaseUntil": t(12), "attempt": 2},
        {"t": t(8), "type": "job.heartbeat", "by": "right-claw", "progress": {"phase": 2}},
        {"t": t(9), "type": "job.completed", "by": "right-claw", "status": "done"},
        {"t": t(10), "type": "job.comment", "by": "head"},
        {"t": t(11), "type": "job.odd", "by": "someone", "extra": [1, 2]},
    ]
    v0.job(
        "V0-job_1",
        "done",
        log,
        target="any",
        claimedBy="right-claw",
        attempts=2,
        maxAttempts=7,
        spec={"run": "make", "n": 1.50, "big": 12345678901234567890},
        meta={"a": "ü  b"},
        comments=[{"t": t(10), "by": "head", "text": "good\nwork"}],
        result={"notes": "did it"},
        progress={"phase": 2},
        releaseReason="before",
        updatedAt=t(10),
    )
    report, store = imported()
    assert (report.counts, report.lines) == ({("job", "imported"): 1}, [])
    job = record(store, "V0-job_1")
    wanted = {
        "id": "V0-job_1",
        "target": "any",
        "status": "done",
        "createdAt": t(0),
        "updatedAt": t(10),
        "createdBy": "head",
        "claimedBy": "right-claw",
        "leaseUntil": None,
        "attempts": 2,
        "maxAttempts": 7,
        "meta": {"a": "ü  b"},
        "comments": [{"t": t(10), "by": "head", "text": "good\nwork"}],
        "result": {"notes": "did it"},
        "error": None,
        "progress": {"phase": 2},
        "releaseReason": "before",
        "fence": 2,
        "startedAt": t(7),
        "finishedAt": t(9),
    }
    assert {name: job[name] for name in wanted} == wanted
    row = store.job("V0-job_1")
    assert row is not None
    assert row.spec == '{"run":"make","n":1.5,"big":12345678901234567890}'
    kept = store.read(lambda tx: events.of_job(tx, "V0-job_1", 0, 100))
    assert [(e.at, e.type, e.author) for e in kept] == [
        (ms(0), "job.created", "head"),
        (ms(1), "job.claimed", "left-claw"),
        (ms(6), "job.expired", "reaper"),
        (ms(7), "job.claimed", "right-claw"),
        (ms(8), "job.heartbeat", "right-claw"),
        (ms(9), "job.completed", "right-claw"),
        (ms(10), "job.comment", "head"),
        (ms(11), "job.odd", "someone"),
    ]
    assert [json.loads(kept[n].data) for n in (1, 4, 7)] == [
        {"leaseUntil": t(6), "attempt": 1},
        {"progress": {"phase": 2}},
        {"extra": [1, 2]},
    ]
    known = store.read(lambda tx: attempts.of_job(tx, "V0-job_1"))
    assert [(a.fence, a.outcome, a.claimed_by, a.started_at, a.ended_at) for a in known] == [
        (1, "expired", "left-claw", ms(1), ms(6)),
        (2, "done", "right-claw", ms(7), ms(9)),
    ]
    assert store.read(lambda tx: comments.of_job(tx, "V0-job_1"))[0].at == ms(10)


@pytest.mark.parametrize(
    ("status", "fields", "finished"),
    [
        ("queued", {"error": "again", "attempts": 1}, None),
        ("failed", {"error": "no", "claimedBy": "left-claw", "attempts": 1}, t(30)),
        ("dead", {"error": "worn out", "claimedBy": "left-claw", "attempts": 5}, t(30)),
    ],
)
def test_every_status_is_kept(
    v0: V0,
    imported: Callable[[], tuple[Report, QueueStore]],
    status: str,
    fields: dict[str, Any],
    finished: str | None,
) -> None:
    v0.job("j", status, **fields)
    _, store = imported()
    job = record(store, "j")
    assert (job["status"], job["finishedAt"]) == (status, finished)
    assert {name: job[name] for name in fields} == fields


@pytest.mark.parametrize("with_events", [True, False])
def test_a_running_job_is_queued_with_its_attempt_counted(
    v0: V0, imported: Callable[[], tuple[Report, QueueStore]], with_events: bool
) -> None:
    log = [
        {"t": t(0), "type": "job.created", "by": "head", "target": "left-claw"},
        {"t": t(5), "type": "job.claimed", "by": "left-claw", "attempt": 1},
    ]
    v0.job(
        "run1", "running", log if with_events else None, claimedBy="left-claw", leaseUntil=t(10), attempts=1,
        progress={"done": 3},
    )  # fmt: skip
    report, store = imported()
    assert [tuple(line) for line in report.lines] == [
        ("job", "run1.json", "imported", "was running; queued, its attempt counted")
    ]
    job = record(store, "run1")
    assert (job["status"], job["attempts"], job["claimedBy"], job["leaseUntil"]) == ("queued", 1, None, None)
    assert job["progress"] == {"done": 3}
    last = store.read(lambda tx: events.of_job(tx, "run1", 0, 10))[-1]
    assert (last.type, last.author, last.at) == ("job.expired", "spine", NOW)
    assert json.loads(last.data) == {"attempt": 1, "fence": 1, "claimedBy": "left-claw", "reason": "imported"}
    assert [(a.fence, a.outcome) for a in store.read(lambda tx: attempts.of_job(tx, "run1"))] == [(1, "expired")]
    claimed = store.claim("run1")
    assert (claimed.attempts, claimed.fence) == (2, 2)


def test_what_is_broken_is_named_and_the_rest_is_imported(
    v0: V0, imported: Callable[[], tuple[Report, QueueStore]]
) -> None:
    jobs = v0.root / "jobs"
    v0.job("good", "queued", [{"t": t(0), "type": "job.created", "by": "head"}])
    with (v0.root / "events" / "good.jsonl").open("ab") as log:
        log.write(b'{"t":"2026-01-01T10:0\n{"t":"2026-01-01T10:00:00Z","type":"job.\xff"}\n[]\n\n')
    whole = (jobs / "good.json").read_text()
    (jobs / "cut.json").write_text(whole[:100])
    (jobs / "empty.json").write_text("")
    (jobs / "list.json").write_text("[]")
    (jobs / "renamed.json").write_text(whole)
    (jobs / "good.lock").write_text("")
    v0.job("status", "paused")
    v0.job("time", "queued", createdAt="yesterday")
    v0.job("zone", "queued", updatedAt="2026-01-01T10:00:00")
    v0.job("count", "queued", attempts=-1)
    (jobs / "latin.json").write_bytes(whole.replace('"spec": ""', '"spec": "\xe9"').encode("latin-1"))
    (jobs / "half.json").write_text(whole.replace('"spec": ""', '"spec": "\\ud800"'))
    (v0.root / "events" / "lost.jsonl").write_text("{}\n")
    (v0.root / "blobs" / "a b.txt").write_text("x")
    report, store = imported()
    assert report.counts == {
        ("job", "broken"): 10,
        ("job", "imported"): 1,
        ("events", "broken"): 3,
        ("events", "skipped"): 1,
        ("blob", "broken"): 1,
    }
    told = {line.name: line.reason.split(":")[0] for line in report.lines}
    assert told == {
        "cut.json": "not JSON, perhaps cut off",
        "empty.json": "not JSON, perhaps cut off",
        "latin.json": "not JSON, perhaps cut off",
        "half.json": "not JSON, perhaps cut off",
        "list.json": "not a job",
        "renamed.json": "holds the id 'good', which is not its name",
        "status.json": "not a job",
        "time.json": "createdAt",
        "zone.json": "updatedAt",
        "count.json": "not a job",
        "good.jsonl": "line 4",
        "lost.jsonl": "there is no such job",
        "a b.txt": "its name holds no usable id",
    }
    assert [row.id for row in store.read(lambda tx: list(listing.matching(tx, Filter(), None, 0, 100)))] == ["good"]
    assert len(store.read(lambda tx: events.of_job(tx, "good", 0, 10))) == 1


def test_jobs_come_in_the_order_of_their_making(v0: V0, imported: Callable[[], tuple[Report, QueueStore]]) -> None:
    for n, name in enumerate(["c", "a", "b"]):
        v0.job(name, "queued", createdAt=t(n))
    _, store = imported()
    found = store.read(lambda tx: [row.id for row in listing.matching(tx, Filter(), None, 0, 100)])
    assert found == ["c", "a", "b"]


def test_blobs_keep_their_ids_and_are_readable_by_who_sees_a_job_that_names_them(
    v0: V0, imported: Callable[[], tuple[Report, QueueStore]]
) -> None:
    (v0.root / "blobs" / "pic-12345.png").write_bytes(b"hello")
    (v0.root / "blobs" / "alone-1.tar.gz").write_bytes(b"")
    v0.job("j", "done", result={"artifacts": [{"name": "p", "url": "/blobs/pic-12345"}]})
    report, store = imported()
    assert report.counts == {("blob", "imported"): 2, ("job", "imported"): 1}
    row = store.read(lambda tx: blobs.find(tx, "pic-12345"))
    assert row is not None
    assert (row.filename, row.size, row.content_type) == ("pic-12345.png", 5, "image/png")
    assert row.sha256 == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert read(DiskBlobs(store.folder / "blobs", 1), "pic-12345", 0, 10) == b"hello"
    named = store.read(lambda tx: [blobs.named_for(tx, b, "left-claw") for b in ("pic-12345", "alone-1.tar")])
    assert named == [True, False]


def test_again_is_harmless_and_takes_what_has_come_since(
    v0: V0, imported: Callable[[], tuple[Report, QueueStore]], tmp_path: Path
) -> None:
    v0.job("one", "queued", [{"t": t(0), "type": "job.created", "by": "head"}])
    (v0.root / "blobs" / "blob-1.txt").write_text("x")
    _, store = imported()
    store.complete("one", store.claim("one").fence, '"here"')
    store.close()
    v0.job("two", "queued")
    report, store = imported()
    assert (report.counts, report.lines) == (
        {("blob", "skipped"): 1, ("job", "skipped"): 1, ("job", "imported"): 1},
        [],
    )
    assert record(store, "one")["result"] == "here"
    assert len(store.read(lambda tx: events.of_job(tx, "one", 0, 10))) == 3


def test_what_retention_has_deleted_is_not_brought_back(
    v0: V0, imported: Callable[[], tuple[Report, QueueStore]]
) -> None:
    v0.job("old", "done")
    _, store = imported()
    store.clock.ms = NOW + 100 * DAY_MS
    old = Retention(store.engine, DiskBlobs(store.folder / "blobs", 1), store.folder, 30)
    assert old.turn() == (1, 0)
    store.close()
    assert imported()[0].counts == {("job", "skipped"): 1}


def test_a_dry_run_tells_the_same_and_touches_nothing(
    v0: V0, imported: Callable[[], tuple[Report, QueueStore]], tmp_path: Path
) -> None:
    v0.job("a", "running", claimedBy="left-claw", leaseUntil=t(5), attempts=1)
    (v0.root / "jobs" / "cut.json").write_text("{")
    (v0.root / "blobs" / "blob-1.txt").write_text("x")
    tried = bring_in(v0.root, tmp_path / "data", True, CLOCK)
    assert not (tmp_path / "data").exists()
    done, store = imported()
    assert tried == done
    store.close()
    v0.job("b", "queued")
    before = (tmp_path / "data" / "spine.db").read_bytes()
    assert bring_in(v0.root, tmp_path / "data", True, CLOCK).counts == {
        ("job", "broken"): 1,
        ("job", "skipped"): 1,
        ("job", "imported"): 1,
        ("blob", "skipped"): 1,
    }
    assert (tmp_path / "data" / "spine.db").read_bytes() == before


def test_what_is_no_v0_directory_or_no_free_store_is_refused(v0: V0, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no folder `jobs`"):
        bring_in(tmp_path, tmp_path / "data", False, CLOCK)
    assert not (tmp_path / "data").exists()
    store = QueueStore(tmp_path / "data", SetClock(NOW))
    with pytest.raises(DataDirBusy):
        bring_in(v0.root, tmp_path / "data", False, CLOCK)
    store.close()
    (tmp_path / "data" / "spine.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(NotAStore):
        bring_in(v0.root, tmp_path / "data", True, CLOCK)
