"""Random lives of jobs, each step compared with a model in plain Python."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.suites.harness import HEAD, LEFT, LEFT2, RIGHT, OpenEngine, Store
from tests.suites.manual_clock import ManualClock
from tests.suites.matrix import MATRIX
from tests.suites.model import Model, ModelJob, Refused, Who

from contract.errors import SpineError
from spine.queue.access import Caller

T = TypeVar("T")
CALLERS = {"left 1": LEFT, "left 2": LEFT2, "right": RIGHT, "head": HEAD}
WORKERS = [name for name in CALLERS if name != "head"]
# Events that tell of something else than a change of status.
SILENT = {"job.heartbeat", "job.comment", "job.late_result"}

# Few jobs, and mostly the one who claimed last with the fence it got: chance alone would hardly ever meet twice.
MOST_UNFINISHED = 2
who_says = st.sampled_from(["holder"] * 6 + sorted(CALLERS))
which_job = st.integers(0, 5)
which_fence = st.sampled_from(["newest"] * 5 + ["stale", "stale", "ahead", "absent", "absent"])


def who_is(caller: Caller) -> Who:
    return Who(caller.name, caller.worker_id)


class Lives(RuleBasedStateMachine):
    """The store, and the model beside it."""

    driver: ClassVar[OpenEngine]

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.folder = Path(tempfile.mkdtemp())
        self.store = Store(self.driver(self.folder / "data", self.clock), self.clock)
        self.model = Model(self.clock.now())
        self.count = 0
        self.last_call: tuple[Callable[[], object], Callable[[], object]] | None = None
        self.last_holder: dict[str, Caller] = {}
        self.acknowledged: dict[str, str] = {}  # done jobs and their results

    def teardown(self) -> None:
        self.store.engine.close()
        shutil.rmtree(self.folder)

    # --- how a step is compared --------------------------------------------------------------------------------------

    def both(self, ours: Callable[[], T], theirs: Callable[[], object]) -> T | None:
        """Carry out a verb on both sides: both agree, or both refuse with the same code."""
        self.last_call = (ours, theirs)
        expected: str | None = None
        try:
            theirs()
        except Refused as e:
            expected = str(e)
        value: T | None = None
        refused: str | None = None
        try:
            value = ours()
        except SpineError as e:
            refused = e.code
        assert refused == expected
        return value

    def pick(self, which: int) -> tuple[str, ModelJob]:
        ids = list(self.model.jobs)[-2:] + self.unfinished() * 2
        job_id = ids[which % len(ids)]
        return job_id, self.model.jobs[job_id]

    def unfinished(self) -> list[str]:
        return [job_id for job_id, job in self.model.jobs.items() if job.status in ("queued", "running")]

    def caller(self, job_id: str, who: str) -> Caller:
        return self.last_holder.get(job_id, LEFT) if who == "holder" else CALLERS[who]

    @staticmethod
    def fence_of(job: ModelJob, which: str) -> int | None:
        return {"newest": job.fence, "stale": max(0, job.fence - 1), "ahead": job.fence + 1, "absent": None}[which]

    # --- steps -------------------------------------------------------------------------------------------------------

    @initialize()
    def first(self) -> None:
        self._submit("left-claw", 3, 0)

    @precondition(lambda self: len(self.unfinished()) < MOST_UNFINISHED)
    @rule(to=st.sampled_from(["left-claw", "right-claw", "any"]), most=st.integers(1, 3), priority=st.integers(-1, 1))
    def submit(self, to: str, most: int, priority: int) -> None:
        self._submit(to, most, priority)

    def _submit(self, target: str, most: int, priority: int) -> None:
        job = self.store.submit(target=target, maxAttempts=most, priority=priority)
        self.model.jobs[job.id] = ModelJob(place=job.seq, target=target, priority=priority, most=most)

    @rule(who=st.sampled_from(WORKERS))
    def claim_next(self, who: str) -> None:
        expected = self.model.claim_next(who_is(CALLERS[who]))
        assert [job.id for job in self.store.take(CALLERS[who])] == ([] if expected is None else [expected])
        if expected is not None:
            self.last_holder[expected] = CALLERS[who]

    @rule(which=which_job, who=who_says)
    def claim_one(self, which: int, who: str) -> None:
        job_id, _job = self.pick(which)
        caller = self.caller(job_id, who)
        if self.both(lambda: self.store.claim(job_id, caller), lambda: self.model.claim_one(job_id, who_is(caller))):
            self.last_holder[job_id] = caller

    @rule(which=which_job, who=who_says, fence=which_fence, progress=st.booleans())
    def heartbeat(self, which: int, who: str, fence: str, progress: bool) -> None:
        job_id, job = self.pick(which)
        caller, at = self.caller(job_id, who), self.fence_of(job, fence)
        self.both(
            lambda: self.store.beat(job_id, at, caller, "1" if progress else None),
            lambda: self.model.heartbeat(job_id, who_is(caller), at),
        )

    @rule(which=which_job, who=who_says, fence=which_fence, result=st.sampled_from(['"a"', '"b"']))
    def complete(self, which: int, who: str, fence: str, result: str) -> None:
        job_id, job = self.pick(which)
        caller, at = self.caller(job_id, who), self.fence_of(job, fence)
        before = job.status
        done = self.both(
            lambda: self.store.complete(job_id, at, caller, result),
            lambda: self.model.complete(job_id, who_is(caller), at, result),
        )
        if done is not None and before != "done":
            self.acknowledged[job_id] = result

    @rule(which=which_job, who=who_says, fence=which_fence, requeue=st.booleans())
    def fail(self, which: int, who: str, fence: str, requeue: bool) -> None:
        job_id, job = self.pick(which)
        caller, at = self.caller(job_id, who), self.fence_of(job, fence)
        self.count += 1
        error = f"error {self.count}"
        self.both(
            lambda: self.store.fail(job_id, at, caller, error, requeue),
            lambda: self.model.fail(job_id, who_is(caller), at, error, requeue),
        )

    @rule(which=which_job, who=who_says, fence=which_fence, count=st.booleans())
    def release(self, which: int, who: str, fence: str, count: bool) -> None:
        job_id, job = self.pick(which)
        caller, at = self.caller(job_id, who), self.fence_of(job, fence)
        self.both(
            lambda: self.store.release(job_id, at, caller, None, count),
            lambda: self.model.release(job_id, who_is(caller), at, count),
        )

    @rule(which=which_job, who=who_says)
    def comment(self, which: int, who: str) -> None:
        job_id, _job = self.pick(which)
        caller = self.caller(job_id, who)
        self.both(lambda: self.store.comment(job_id, "hm", caller), lambda: self.model.comment(job_id, who_is(caller)))

    @precondition(lambda self: self.last_call is not None)
    @rule()
    def repeat_the_last_call(self) -> None:
        assert self.last_call is not None
        self.both(*self.last_call)

    @rule(seconds=st.sampled_from([1, 14, 15, 100, 300]))
    def pass_time(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.model.now = self.clock.now()

    @precondition(lambda self: any(job.status == "running" for job in self.model.jobs.values()))
    @rule()
    def next_lease_ends(self) -> None:
        ends = [job.lease for job in self.model.jobs.values() if job.lease is not None]
        self.clock.advance(max(0, min(ends) - self.clock.now()) / 1000)
        self.model.now = self.clock.now()

    @rule()
    def reap(self) -> None:
        assert self.store.reap()[0] == self.model.reap()

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def every_job_is_as_the_model_says(self) -> None:
        for job_id, job in self.model.jobs.items():
            row = self.store.job(job_id)
            assert (row.status, row.attempts, row.fence, row.lease_until) == (
                job.status,
                job.attempts,
                job.fence,
                job.lease,
            )
            assert (row.result, row.error, row.comments) == (job.result, job.error, job.comments)
            if job.status in ("queued", "running"):
                holder = job.holder or Who("", None)
                assert (row.claimed_by or "", row.worker_id) == (holder.name, holder.worker)

    @invariant()
    def attempts_tell_one_holder_and_every_end(self) -> None:
        for job_id, job in self.model.jobs.items():
            rows = self.store.attempts(job_id)
            assert [row.fence for row in rows] == list(range(1, job.fence + 1))
            assert [row.outcome for row in rows] == [job.tries[row.fence].outcome for row in rows]
            holding = [row.fence for row in rows if row.outcome == "running"]
            assert holding == ([job.fence] if job.status == "running" else [])
            assert all((row.ended_at is None) == (row.outcome == "running") for row in rows)
            late = [(row.late_result, row.late_error) if row.late_at is not None else None for row in rows]
            assert late == [job.tries[row.fence].late for row in rows]

    @invariant()
    def what_was_acknowledged_is_there(self) -> None:
        for job_id, result in self.acknowledged.items():
            row = self.store.job(job_id)
            assert (row.status, row.result) == ("done", result)

    @invariant()
    def history_is_a_path_of_the_matrix(self) -> None:
        for job_id, job in self.model.jobs.items():
            first, *rest = self.store.event_types(job_id)
            assert first == "job.created"
            places = {"queued"}
            for kind in rest:
                if kind in SILENT:
                    continue
                reached = {row.target for row in MATRIX if row.event == kind and row.sources & places}
                if kind == "job.failed" and "queued" in places:
                    reached.add("queued")  # the newest fence failed after expiry had put the job back
                assert reached, f"{kind} leads from none of {sorted(places)}"
                places = reached
            assert job.status in places


def lives_on(driver: OpenEngine) -> type[Lives]:
    return type("LivesOnThis", (Lives,), {"driver": staticmethod(driver)})


ALWAYS = settings(
    max_examples=40,
    stateful_step_count=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
LONG = settings(ALWAYS, max_examples=200, stateful_step_count=50, derandomize=False, print_blob=True)


def test_lives(driver: OpenEngine) -> None:
    run_state_machine_as_test(lives_on(driver), settings=ALWAYS)


@pytest.mark.soak
def test_many_lives(driver: OpenEngine) -> None:
    run_state_machine_as_test(lives_on(driver), settings=LONG)
