"""What is counted, and how often: once, however often the store ran it."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.queue_store import HEAD, LEFT, QueueStore, SetClock

from contract.errors import Conflict, StaleFence, Unavailable
from spine.api.metrics import Metrics
from spine.queue import claim, fleet, reap, settle
from spine.queue.wake import Hub
from spine.serve import _give_place
from spine.siblings import PLACE_BYTES, Siblings
from spine.store import machines, meta
from spine.store.engine import Tx
from spine.worker import SpineWorker

START = 1_767_225_600_000
Figures = dict[str, float]


class Counted:
    """A store whose commits are counted."""

    def __init__(self, folder: Path) -> None:
        self.clock = SetClock(START)
        self.store = QueueStore(folder, self.clock)
        self.metrics = Metrics(self.store.engine, Hub(lambda lane: ("any", ()), 10, 10), folder)
        self.store.engine.on_commit = self.metrics.committed

    def page(self) -> Figures:
        """Return every sample that is not a bucket, by its line without `worker`; the store is read anew."""
        self.metrics._last = None
        return {
            f"{sample.name}{_written(sample.labels)}": sample.value
            for family in text_string_to_metric_families(self.metrics.page().decode())
            for sample in family.samples
            if "le" not in sample.labels
        }

    def claim_next(self, most: int = 1) -> list[Any]:
        """Claim as a waiting claim does."""
        return self.store.write(self._next(most))

    def _next(self, most: int = 1) -> Any:
        rules = self.store.rules
        return lambda tx: claim.claim_next(tx, rules, LEFT, frozenset({"left-claw", "any"}), frozenset(), most)

    def in_one_batch(self, *operations: Any) -> "list[Future[Any]]":
        """Run operations in one transaction; return their futures, resolved."""
        inside, gate = threading.Event(), threading.Event()

        def wait(tx: Tx) -> None:
            inside.set()
            assert gate.wait(30)

        self.store.engine.write(wait)
        assert inside.wait(30)
        futures = [self.store.engine.write(operation) for operation in operations]
        gate.set()
        for future in futures:
            future.exception(30)
        return futures


def _written(labels: dict[str, str]) -> str:
    told = ",".join(f"{name}={value}" for name, value in sorted(labels.items()) if name != "worker")
    return f"{{{told}}}" if told else ""


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counted]:
    found = Counted(tmp_path)
    yield found
    found.store.close()


# --- histograms ------------------------------------------------------------------------------------------------------


def test_each_job_of_a_claim_is_counted_with_its_own_wait(counted: Counted) -> None:
    counted.store.submit()
    counted.clock.ms += 2000
    counted.store.submit()
    counted.clock.ms += 1000
    assert len(counted.claim_next(5)) == 2
    page = counted.page()
    assert page["spine_claim_wait_seconds_count{target=left-claw}"] == 2
    assert page["spine_claim_wait_seconds_sum{target=left-claw}"] == 4


def test_a_claim_that_the_store_ran_twice_is_counted_once(counted: Counted) -> None:
    counted.store.submit()
    ran: list[int] = []

    def claims(tx: Tx) -> Any:
        ran.append(1)
        return counted._next()(tx)

    def fails(tx: Tx) -> None:
        meta.put(tx, "written", "before")
        raise Conflict("and fails")

    first, second = counted.in_one_batch(claims, fails)
    assert (len(ran), len(first.result()), type(second.exception())) == (2, 1, Conflict)
    assert counted.page()["spine_claim_wait_seconds_count{target=left-claw}"] == 1


def test_what_was_not_committed_is_not_counted(counted: Counted) -> None:
    job = counted.store.submit()

    def claims_and_fails(tx: Tx) -> None:
        assert counted._next()(tx)[0].id == job
        raise Conflict("after all")

    assert isinstance(counted.store.engine.write(claims_and_fails).exception(30), Conflict)
    assert "spine_claim_wait_seconds_count{target=left-claw}" not in counted.page()


def test_the_wait_of_a_job_that_was_held_begins_when_it_is_queued(counted: Counted) -> None:
    counted.store.submit(delaySeconds=3600)
    counted.clock.ms += 3_600_000
    counted.store.write(reap.reap)
    counted.clock.ms += 3000
    counted.claim_next()
    assert counted.page()["spine_claim_wait_seconds_sum{target=left-claw}"] == 3


def test_a_second_claim_waits_from_when_the_job_came_back(counted: Counted) -> None:
    job = counted.store.claim(counted.store.submit())
    counted.clock.ms += 60_000
    counted.store.write(lambda tx: settle.fail(tx, LEFT, job.id, job.fence, "no", requeue=True))
    counted.clock.ms += 2000
    counted.claim_next()
    assert counted.page()["spine_claim_wait_seconds_sum{target=left-claw}"] == 2


def test_runs_are_counted_by_what_they_came_to(counted: Counted) -> None:
    def run() -> Any:
        job = counted.store.claim(counted.store.submit(maxAttempts=2))
        counted.clock.ms += 4000
        return job

    job = run()
    counted.store.complete(job.id, job.fence)
    counted.store.complete(job.id, job.fence)  # a repeat
    job = run()
    counted.store.write(lambda tx: settle.fail(tx, LEFT, job.id, job.fence, "no", requeue=False))
    job = run()
    counted.store.write(lambda tx: settle.fail(tx, LEFT, job.id, job.fence, "no", requeue=True))
    counted.store.claim(job.id)
    counted.store.write(lambda tx: settle.fail(tx, LEFT, job.id, job.fence + 1, "no", requeue=True))
    counted.store.cancel(run().id)
    counted.store.cancel(counted.store.submit())  # it did not run
    runs = {name: value for name, value in counted.page().items() if name.startswith("spine_job_run_seconds_")}
    assert runs == {
        f"spine_job_run_seconds_{what}{{outcome={outcome},target=left-claw}}": value
        for outcome, count, seconds in (
            ("done", 1, 4),
            ("failed", 1, 4),
            ("again", 1, 4),
            ("dead", 1, 0),
            ("cancelled", 1, 4),
        )
        for what, value in (("count", count), ("sum", seconds))
    }


def test_a_run_whose_result_comes_late_is_counted_once(counted: Counted) -> None:
    job = counted.store.claim(counted.store.submit())
    counted.clock.ms += 300_001
    counted.store.write(reap.reap)
    counted.clock.ms += 1000
    assert counted.store.complete(job.id, job.fence).status == "done"
    counts = {name: value for name, value in counted.page().items() if name.startswith("spine_job_run_seconds_count")}
    assert counts == {"spine_job_run_seconds_count{outcome=again,target=left-claw}": 1}


def test_a_lease_that_a_claim_by_id_finds_over_is_counted(counted: Counted) -> None:
    job = counted.store.submit()
    counted.store.claim(job)
    counted.clock.ms += 300_001
    counted.store.claim(job)
    assert counted.page()["spine_lease_expired_total"] == 1


# --- what is read of the store ---------------------------------------------------------------------------------------


def test_each_status_of_a_target_has_a_line_also_where_no_job_has_it(counted: Counted) -> None:
    counted.store.done()
    counted.store.submit(target="right-claw")
    jobs = {name: value for name, value in counted.page().items() if name.startswith("spine_jobs{")}
    assert {name for name, value in jobs.items() if value} == {
        "spine_jobs{status=done,target=left-claw}",
        "spine_jobs{status=queued,target=right-claw}",
    }
    assert len(jobs) == 14


def test_the_oldest_queued_job_of_each_target(counted: Counted) -> None:
    counted.store.submit()
    counted.clock.ms += 5000
    counted.store.submit()
    counted.store.done(target="any")
    page = counted.page()
    assert 5 <= page["spine_oldest_queued_age_seconds{target=left-claw}"] < 60
    assert page["spine_oldest_queued_age_seconds{target=any}"] == 0


def test_how_long_no_claw_of_a_target_was_heard_of(counted: Counted) -> None:
    counted.store.write(lambda tx: machines.seen(tx, "left-claw", None))
    counted.store.write(lambda tx: machines.seen(tx, "right-claw", None))
    counted.store.write(lambda tx: machines.seen(tx, "skyclaw:host-1", None))
    counted.clock.ms += 60_000
    counted.store.write(lambda tx: machines.seen(tx, "left-claw", None))
    counted.store.write(lambda tx: machines.seen(tx, "skyclaw:host-2", None))
    counted.clock.ms += 60_000
    # Ages go on between the look at the store and the page.
    silent = {
        name: int(value) // 30 * 30 for name, value in counted.page().items() if name.startswith("spine_claw_last_seen")
    }
    assert silent == {
        "spine_claw_last_seen_seconds{target=any}": 60,
        "spine_claw_last_seen_seconds{target=left-claw}": 60,
        "spine_claw_last_seen_seconds{target=right-claw}": 120,
        "spine_claw_last_seen_seconds{target=skyclaw}": 60,
    }


def test_a_machine_that_is_not_to_work_is_not_missed(counted: Counted) -> None:
    for name in ("left-claw", "right-claw", "third"):
        counted.store.write(lambda tx, name=name: machines.seen(tx, name, None))
    counted.store.write(lambda tx: fleet.set_state(tx, HEAD, "left-claw", "paused"))
    counted.store.write(lambda tx: fleet.revoke(tx, HEAD, "right-claw"))
    page = counted.page()
    assert {name for name in page if name.startswith("spine_claw_last_seen")} == {
        "spine_claw_last_seen_seconds{target=any}",
        "spine_claw_last_seen_seconds{target=third}",
    }
    states = {name: value for name, value in page.items() if name.startswith("spine_machines")}
    assert states == {
        "spine_machines{state=active}": 1,
        "spine_machines{state=draining}": 0,
        "spine_machines{state=paused}": 1,
        "spine_machines{state=revoked}": 1,
    }


def test_the_store_is_read_once_for_scrapes_that_come_together(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    read = counted.store.engine.read

    def counting(operation: Any) -> Any:
        reads.append(1)
        return read(operation)

    monkeypatch.setattr(counted.store.engine, "read", counting)
    for _ in range(3):
        counted.metrics.page()
    assert len(reads) == 1


def test_a_store_that_cannot_be_read_leaves_the_rest(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(operation: Any) -> "Future[Any]":
        failed: Future[Any] = Future()
        failed.set_exception(Unavailable("the database does not answer"))
        return failed

    counted.store.submit()
    assert counted.page()["spine_store_up"] == 1
    monkeypatch.setattr(counted.store.engine, "read", away)
    page = counted.page()
    assert page["spine_store_up"] == 0
    assert page["spine_store_operations_total"] == 1
    assert [name for name in page if name.startswith("spine_jobs")] == []


# --- names -----------------------------------------------------------------------------------------------------------


def test_every_code_of_a_refusal_has_a_line_before_it_comes(counted: Counted) -> None:
    page = counted.page()
    assert page["spine_refusals_total{error=storage_full}"] == page["spine_refusals_total{error=stale_fence}"] == 0
    counted.metrics.refused(StaleFence("old"))
    page = counted.page()
    assert page["spine_refusals_total{error=stale_fence}"] == page["spine_stale_fence_total"] == 1


def test_methods_that_nobody_knows_share_a_name(counted: Counted) -> None:
    for n in range(100):
        counted.metrics.answered("/jobs", f"BREW{n}", 405, 0.001)
    found = [name for name in counted.page() if name.startswith("spine_http_request_seconds_count")]
    assert found == ["spine_http_request_seconds_count{method=other,route=/jobs,status=4xx}"]
    assert counted.metrics._answered == {}


def test_a_worker_says_which_it_is(counted: Counted) -> None:
    second = Metrics(counted.store.engine, Hub(lambda lane: ("any", ()), 10, 10), counted.store.folder, worker=1)
    told = [line for line in second.page().decode().splitlines() if line.startswith("spine_lease_expired_total")]
    assert told == ['spine_lease_expired_total{worker="1"} 0.0']


def test_the_process_that_is_asked_tells_what_the_others_have_counted(counted: Counted) -> None:
    siblings, store = Siblings(4), counted.store
    first, second = (
        Metrics(store.engine, Hub(lambda lane: ("any", ()), 10, 10), store.folder, worker, siblings)
        for worker in (0, 1)
    )
    for _ in range(3):
        second.answered("/jobs", "GET", 200, 0.1)
    first.answered("/jobs", "GET", 200, 0.1)
    second.share()

    def lines() -> set[str]:
        text = first.page().decode()
        assert text.count("# TYPE spine_http_request_seconds ") == 1
        return {line for line in text.splitlines() if line.startswith("spine_http_request_seconds_count")}

    count = 'spine_http_request_seconds_count{method="GET",route="/jobs",status="2xx",worker="%d"} %.1f'
    assert lines() == {count % (0, 1), count % (1, 3)}
    second.answered("/jobs", "GET", 200, 0.1)
    second.share()
    assert lines() == {count % (0, 1), count % (1, 4)}


def test_what_a_process_has_shown_is_over_when_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    siblings = Siblings(2)
    assert siblings.show(1, b"one")
    assert siblings.show(1, b"two")
    assert (siblings.others(0), siblings.others(1)) == ([b"two"], [])
    now = time.monotonic()
    monkeypatch.setattr("spine.siblings.time.monotonic", lambda: now + 31)
    assert siblings.others(0) == []


def test_what_has_no_place_is_not_shown() -> None:
    siblings = Siblings(2)
    assert not siblings.show(2, b"a third")
    assert not siblings.show(1, os.urandom(2 << 20))
    assert siblings.others(0) == []


def test_a_place_that_is_half_written_is_not_read() -> None:
    siblings = Siblings(2)
    assert siblings.show(1, b"whole")
    siblings._memory[PLACE_BYTES + 20] ^= 0xFF
    assert siblings.others(0) == []


def test_a_new_worker_gets_the_lowest_number_that_is_free() -> None:
    arbiter: Any = SimpleNamespace(WORKERS={})
    for pid in (10, 11, 12):
        worker: Any = SimpleNamespace()
        _give_place(arbiter, worker)
        arbiter.WORKERS[pid] = worker
    assert [worker.place for worker in arbiter.WORKERS.values()] == [0, 1, 2]
    del arbiter.WORKERS[11]
    again: Any = SimpleNamespace()
    _give_place(arbiter, again)
    assert again.place == SpineWorker.place == 1
    SpineWorker.place = 0
