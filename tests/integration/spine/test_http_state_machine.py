"""Random lives of jobs over HTTP with every field and every verb, each step compared with a model in plain Python.

The application runs in this process, so that its clock can be a test's; nothing passes but what is said over HTTP.
"""

import asyncio
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import falcon.testing
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run
from tests.integration.spine.record_model import Asked, ModelJob, RecordModel, Refused, Who
from tests.suites.harness import OpenEngine
from tests.suites.manual_clock import ManualClock
from tests.suites.matrix import MATRIX
from tests.support.postgres_server import Databases

from contract.clock import iso
from spine.app import Server, create_app
from spine.settings import from_env
from spine.store.engine import Engine
from spine.store.sqlite import SqliteEngine

Theirs = Callable[..., None]
# What opens the stores of one life; they are emptied at its end.
Drivers = Callable[[], AbstractContextManager[OpenEngine]]
TOKENS = {"head": "head-token-0001", "left-claw": "left-token-0001", "right-claw": "right-token-0001"}
GIT = frozenset({"git"})
PEOPLE = {
    "left 1": Who("left-claw", "l1", GIT),
    "left 2": Who("left-claw", "l2", GIT),
    "right": Who("right-claw", "r1", frozenset({"git", "gpu"})),
    "head": Who("head", None),
}
WORKERS = [name for name in PEOPLE if name != "head"]
BADLY = ("failed", "dead", "cancelled")
SPEC = '{"run":"make"}'
DIGEST = hashlib.sha256(SPEC.encode()).hexdigest()
# Events that tell of something else than a change of status.
SILENT = {"job.heartbeat", "job.comment", "job.late_result", "job.approved"}

who_says = st.sampled_from(["holder"] * 6 + sorted(PEOPLE))
which_job = st.integers(0, 19)
which_fence = st.sampled_from(["newest"] * 5 + ["stale", "stale", "ahead", "absent", "absent"])
# A job with a key has many attempts (a parked one is not buried) and no review (its machine's minute holds the slot).
plain = st.fixed_dictionaries(
    {
        "target": st.sampled_from(["any", "any", "left-claw", "right-claw"]),
        "most": st.sampled_from([1, 2, 5]),
        "priority": st.sampled_from([0, 0, 0, 5, -5]),
    }
)
# One or two of these at a time: a job with all of them would hardly ever run.
special = st.lists(
    st.sampled_from(
        [
            {"delay": 20},
            {"timeout": 60},
            {"requires": ("git",)},
            {"requires": ("gpu",)},
            {"key": "k", "slots": 1},
            {"key": "k", "slots": 2},
            {"key": "k", "slots": 2},
            {"backoff": 1},
            {"backoff": 10},
            {"dedupe": "d"},
            {"approval": True},
            {"review": True},
            {"review": True},
        ]
    ),
    max_size=2,
)
fields = st.builds(lambda most, more: {name: v for part in (most, *more) for name, v in part.items()}, plain, special)


def with_lists(app: Any) -> Any:
    """Give an application its headers as every server does: Falcon's simulation gives what can be read but once."""

    async def listing(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if "headers" in scope:
            scope["headers"] = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
        await app(scope, receive, send)

    return listing


class OnDriver(Server):
    """A server whose store is the one that a driver opens, with the server's clock."""

    driver: ClassVar[OpenEngine]

    def _open_store(self, locked: bool) -> Engine:
        return self.driver(self.settings.data_dir, self.clock)


class HttpLives(RuleBasedStateMachine):
    """The application, and the model beside it."""

    drivers: ClassVar[Drivers]

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.folder = Path(tempfile.mkdtemp())
        environ = {f"{name.replace('-', '_').upper()}_TOKEN": token for name, token in TOKENS.items()}
        self.store = self.drivers()
        server = type("OnThis", (OnDriver,), {"driver": staticmethod(self.store.__enter__())})
        self.server = server(from_env({**environ, "SPINE_DATA_DIR": str(self.folder)}), clock=self.clock)
        self.server.keeper.start = lambda: None  # type: ignore[method-assign]  # time passes when a step says so
        self.loop = asyncio.new_event_loop()
        self.conductor = falcon.testing.ASGIConductor(with_lists(create_app(self.server)))
        self.loop.run_until_complete(self.conductor.__aenter__())
        self.model = RecordModel(self.clock.now())
        self.count = 0
        self.last_call: tuple[Callable[[], Any], Callable[[], None]] | None = None
        self.last_holder: dict[str, str] = {}

    def teardown(self) -> None:
        try:
            self._every_history_is_a_path()
        finally:
            self.loop.run_until_complete(self.conductor.__aexit__(None, None, None))
            self.loop.close()
            self.store.__exit__(None, None, None)
            shutil.rmtree(self.folder)

    # --- how a step is compared --------------------------------------------------------------------------------------

    def call(self, who: Who, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {TOKENS[who.name]}", "Content-Type": "application/json"}
        if who.worker is not None:
            headers["X-Worker-Id"] = who.worker
        data = b"" if body is None else json.dumps(body).encode()
        return self.loop.run_until_complete(self.conductor.simulate_request(method, path, headers=headers, body=data))

    def both(self, ours: Callable[[], Any], theirs: Callable[[], None]) -> Any:
        """Carry out a verb on both sides: both agree, or both refuse with the same code. Return the answer."""
        self.last_call = (ours, theirs)
        expected = "ok"
        try:
            theirs()
        except Refused as e:
            expected = str(e)
        answer = ours()
        assert answer.status_code < 500, answer.text
        assert ("ok" if answer.status_code < 300 else answer.json["error"]) == expected, answer.text
        return answer

    def pick(self, which: int) -> tuple[str, ModelJob]:
        unfinished = [i for i, job in self.model.jobs.items() if job.status in ("waiting", "queued", "running")]
        ids = list(self.model.jobs)[-2:] + unfinished * 2 + self.running() * 4
        job_id = ids[which % len(ids)]
        return job_id, self.model.jobs[job_id]

    def running(self) -> list[str]:
        return [job_id for job_id, job in self.model.jobs.items() if job.status == "running"]

    def who(self, job_id: str, name: str) -> Who:
        return PEOPLE[self.last_holder.get(job_id, "left 1") if name == "holder" else name]

    @staticmethod
    def with_fence(job: ModelJob, which: str, body: dict[str, Any]) -> tuple[int | None, dict[str, Any]]:
        fence = {"newest": job.fence, "stale": max(0, job.fence - 1), "ahead": job.fence + 1, "absent": None}[which]
        return fence, body if fence is None else body | {"fence": fence}

    # --- steps -------------------------------------------------------------------------------------------------------

    @initialize(asked=fields)
    def first(self, asked: dict[str, Any]) -> None:
        self._submit(Asked(**asked))

    @precondition(lambda self: sum(j.status in ("waiting", "queued", "running") for j in self.model.jobs.values()) < 5)
    @rule(asked=fields, needs=st.lists(which_job, max_size=2), depends=st.sampled_from([False, False, True]))
    def submit(self, asked: dict[str, Any], needs: list[int], depends: bool) -> None:
        after = tuple(dict.fromkeys(self.pick(which)[0] for which in needs)) if depends else ()
        self._submit(Asked(**asked, after=after))

    def _submit(self, asked: Asked) -> None:
        if asked.key is not None:
            asked = Asked(**{**asked.__dict__, "most": 90, "review": False})
        body: dict[str, Any] = {
            "target": asked.target,
            "spec": json.loads(SPEC),
            "maxAttempts": asked.most,
            "priority": asked.priority,
            "delaySeconds": asked.delay,
            "timeoutSeconds": asked.timeout,
            "requires": list(asked.requires),
            "after": list(asked.after),
            "dedupeKey": asked.dedupe,
            "needsApproval": asked.approval,
            "needsReview": asked.review,
            "retry": None if asked.backoff is None else {"backoffSeconds": asked.backoff},
        }
        if asked.key is not None:
            body |= {"concurrencyKey": asked.key, "concurrencyLimit": asked.slots}
        raw = json.dumps({name: value for name, value in body.items() if name != "spec"})
        data = (raw[:-1] + f', "spec": {SPEC}}}').encode()
        same = self.model.same(asked)
        expected = 200
        if same is None:
            expected = 201
            try:
                self.model.check(asked)
            except Refused:
                expected = 422
        headers = {"Authorization": f"Bearer {TOKENS['head']}", "Content-Type": "application/json"}
        answer = self.loop.run_until_complete(
            self.conductor.simulate_request("POST", "/jobs", headers=headers, body=data)
        )
        assert answer.status_code == expected, answer.text
        if expected == 200:
            assert answer.json["id"] == same
        elif expected == 201:
            self.model.submit(answer.json["id"], asked)

    @rule(name=st.sampled_from(WORKERS))
    def claim_next(self, name: str) -> None:
        who = PEOPLE[name]
        expected = self.model.claim_next(who)
        answer = self.call(who, "POST", "/jobs/claim", {"capabilities": sorted(who.can)})
        taken = [] if answer.status_code == 204 else [job["id"] for job in answer.json["jobs"]]
        assert taken == ([] if expected is None else [expected])
        if expected is not None:
            self.last_holder[expected] = name

    @rule(name=st.sampled_from(WORKERS), seconds=st.sampled_from([0, 0, 15, 300]))
    def claim_what_there_is(self, name: str, seconds: int) -> None:
        """Claim, confirm, and let time pass: what most other steps need to have happened."""
        self.claim_next(name)
        if self.running():
            job_id = self.running()[-1]
            fence = self.model.jobs[job_id].fence
            who = self.who(job_id, "holder")
            self.both(
                lambda: self.call(who, "POST", f"/jobs/{job_id}/heartbeat", {"fence": fence}),
                lambda: self.model.heartbeat(job_id, who, fence),
            )
        if seconds:
            self.pass_time(seconds)
            self.reap()

    @rule(which=which_job, name=st.sampled_from(WORKERS))
    def claim_one(self, which: int, name: str) -> None:
        job_id, _job = self.pick(which)
        who = PEOPLE[name]
        answer = self.both(
            lambda: self.call(who, "POST", f"/jobs/{job_id}/claim", {"capabilities": sorted(who.can)}),
            lambda: self.model.claim_one(job_id, who),
        )
        if answer.status_code == 200:
            self.last_holder[job_id] = name

    def settle(
        self,
        which: int,
        name: str,
        fence: str,
        verb: str,
        body: dict[str, Any],
        theirs: Callable[..., None],
        *more: Any,
    ) -> None:
        job_id, job = self.pick(which)
        who = self.who(job_id, name)
        at, sent = self.with_fence(job, fence, body)
        self.both(
            lambda: self.call(who, "POST", f"/jobs/{job_id}/{verb}", sent), lambda: theirs(job_id, who, at, *more)
        )

    @rule(which=which_job, name=who_says, fence=which_fence)
    def heartbeat(self, which: int, name: str, fence: str) -> None:
        self.settle(which, name, fence, "heartbeat", {}, self.model.heartbeat)

    @rule(which=which_job, name=who_says, fence=which_fence, result=st.sampled_from(["a", "b"]))
    def complete(self, which: int, name: str, fence: str, result: str) -> None:
        self.settle(which, name, fence, "complete", {"result": result}, self.model.complete, result)

    @rule(which=which_job, name=who_says, fence=which_fence, requeue=st.booleans())
    def fail(self, which: int, name: str, fence: str, requeue: bool) -> None:
        self.count += 1
        error = f"error {self.count}"
        self.settle(which, name, fence, "fail", {"error": error, "requeue": requeue}, self.model.fail, error, requeue)

    @rule(which=which_job, name=who_says, fence=which_fence, count=st.booleans())
    def release(self, which: int, name: str, fence: str, count: bool) -> None:
        self.settle(which, name, fence, "release", {"countAttempt": count}, self.model.release, count)

    @rule(which=which_job, name=who_says)
    def comment(self, which: int, name: str) -> None:
        job_id, _job = self.pick(which)
        who = self.who(job_id, name)
        self.both(
            lambda: self.call(who, "POST", f"/jobs/{job_id}/comment", {"text": "hm"}),
            lambda: self.model.comment(job_id, who),
        )

    def decide(self, job_id: str, verb: str, body: Any, theirs: Theirs, *more: Any) -> None:
        self.both(
            lambda: self.call(PEOPLE["head"], "POST", f"/jobs/{job_id}/{verb}", body), lambda: theirs(job_id, *more)
        )

    @rule(which=which_job, reason=st.sampled_from([None, "not wanted"]))
    def cancel(self, which: int, reason: str | None) -> None:
        self.decide(self.pick(which)[0], "cancel", {"reason": reason}, self.model.cancel, reason)

    # Each has its turn when there is something to decide, so that chance does not mostly knock at closed doors.

    @precondition(lambda self: any(job.approval == "pending" for job in self.model.jobs.values()))
    @rule(which=which_job, right=st.sampled_from([True, True, True, False]))
    def approve(self, which: int, right: bool) -> None:
        self._approve(self.one_of(which, lambda job: job.approval == "pending"), right)

    def _approve(self, job_id: str, right: bool) -> None:
        self.decide(job_id, "approve", {"specDigest": DIGEST if right else "0" * 64}, self.model.approve, right)

    @precondition(lambda self: any(job.approval == "pending" for job in self.model.jobs.values()))
    @rule(which=which_job)
    def reject(self, which: int) -> None:
        job_id = self.one_of(which, lambda job: job.approval == "pending")
        self.decide(job_id, "reject", None, self.model.reject)

    @precondition(lambda self: any(job.review == "pending" for job in self.model.jobs.values()))
    @rule(which=which_job, decision=st.sampled_from(["accept", "rework", "rework"]), text=st.sampled_from([None, "so"]))
    def review(self, which: int, decision: str, text: str | None) -> None:
        self._review(self.one_of(which, lambda job: job.review == "pending"), decision, text)

    def _review(self, job_id: str, decision: str, text: str | None) -> None:
        self.decide(job_id, "review", {"decision": decision, "text": text}, self.model.review, decision, text)

    @precondition(lambda self: any(job.status in BADLY for job in self.model.jobs.values()))
    @rule(which=which_job)
    def retry(self, which: int) -> None:
        self.decide(self.one_of(which, lambda job: job.status in BADLY), "retry", None, self.model.retry)

    @precondition(lambda self: bool(self.late()))
    @rule(which=which_job)
    def adopt(self, which: int) -> None:
        job_id, fence = self.late()[which % len(self.late())]
        self.decide(job_id, "adopt", {"fence": fence}, self.model.adopt, fence)

    @rule(which=which_job, what=st.sampled_from(["approve", "reject", "review", "retry", "adopt"]))
    def decide_out_of_turn(self, which: int, what: str) -> None:
        job_id, job = self.pick(which)
        match what:
            case "approve":
                self._approve(job_id, right=True)
            case "review":
                self._review(job_id, "accept", None)
            case "adopt":
                self.decide(job_id, "adopt", {"fence": job.fence}, self.model.adopt, job.fence)
            case _:
                self.decide(job_id, what, None, getattr(self.model, what))

    def one_of(self, which: int, fits: Callable[[ModelJob], bool]) -> str:
        ids = [job_id for job_id, job in self.model.jobs.items() if fits(job)]
        return ids[which % len(ids)]

    def late(self) -> list[tuple[str, int]]:
        """Return the attempts that left something late on a job that is not done, and their fences."""
        open_ = [(job_id, job) for job_id, job in self.model.jobs.items() if job.status != "done"]
        return [(job_id, fence) for job_id, job in open_ for fence, t in job.tries.items() if t.late is not None]

    @rule(name=st.sampled_from(["left-claw", "right-claw"]), verb=st.sampled_from(["drain", "pause"] + ["resume"] * 6))
    def machine(self, name: str, verb: str) -> None:
        state = {"drain": "draining", "pause": "paused", "resume": "active"}[verb]
        self.both(
            lambda: self.call(PEOPLE["head"], "POST", f"/machines/{name}/{verb}"),
            lambda: self.model.machine(name, state),
        )

    @rule(name=st.sampled_from(["any", "left-claw"]), paused=st.sampled_from([True] + [False] * 4))
    def target(self, name: str, paused: bool) -> None:
        self.both(
            lambda: self.call(PEOPLE["head"], "POST", f"/targets/{name}/{'pause' if paused else 'resume'}"),
            lambda: self.model.target(name, paused),
        )

    @precondition(lambda self: self.last_call is not None)
    @rule()
    def repeat_the_last_call(self) -> None:
        assert self.last_call is not None
        self.both(*self.last_call)

    @rule(seconds=st.sampled_from([1, 14, 15, 60, 300]))
    def pass_time(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.model.now = self.clock.now()

    @precondition(lambda self: any(job.lease or job.wake for job in self.model.jobs.values()))
    @rule()
    def next_moment_comes(self) -> None:
        moments = [at for job in self.model.jobs.values() for at in (job.lease, job.wake) if at is not None]
        self.clock.advance(max(0, min(moments) - self.clock.now()) / 1000)
        self.model.now = self.clock.now()
        self.reap()

    @rule()
    def reap(self) -> None:
        self.server.reaper.turn()
        self.model.reap()

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def every_job_is_as_the_model_says(self) -> None:
        listed = self.call(PEOPLE["head"], "GET", "/jobs").json["jobs"]
        assert [job["id"] for job in listed] == list(self.model.jobs)
        for job in listed:
            assert shown(job) == said(self.model.jobs[job["id"]])

    @invariant()
    def no_key_has_more_than_its_slots(self) -> None:
        running = [job for job in self.model.jobs.values() if job.status == "running"]
        mine = [job.asked.slots for job in running if job.asked.key == "k"]
        assert len(mine) <= max(mine, default=0)

    def _every_history_is_a_path(self) -> None:
        for job_id, job in self.model.jobs.items():
            attempts = self.call(PEOPLE["head"], "GET", f"/jobs/{job_id}/attempts").json["attempts"]
            assert [(a["fence"], a["outcome"]) for a in attempts] == [(f, t.outcome) for f, t in job.tries.items()]
            late = [(a.get("lateResult"), a.get("lateError")) if "lateAt" in a else None for a in attempts]
            assert late == [t.late for t in job.tries.values()]
            page = self.call(PEOPLE["head"], "GET", f"/jobs/{job_id}/events").json
            first, *rest = [event["type"] for event in page["events"]]
            assert first == "job.created"
            places = {"queued", "waiting"}
            for kind in rest:
                if kind not in SILENT:
                    places = after_event(kind, places)
            assert job.status in places


def after_event(kind: str, places: set[str]) -> set[str]:
    """Return where a job may be after an event, by the literal table."""
    reached = {row.target for row in MATRIX if row.event == kind and row.sources & places}
    if kind == "job.failed" and "queued" in places:
        reached.add("queued")  # the newest fence failed after expiry had put the job back
    if kind == "job.reviewed" and "done" in places:
        reached.add("done")  # it was accepted
    assert reached, f"{kind} leads from none of {sorted(places)}"
    return reached


def shown(job: dict[str, Any]) -> dict[str, Any]:
    """Return what the server says of a job, as far as the model knows it."""
    found = {
        name: job[name]
        for name in ("status", "attempts", "fence", "round", "leaseUntil", "machine", "result", "error", "startedAt")
    }
    found["approval"] = job["approval"] and job["approval"]["state"]
    found["review"] = job["review"] and job["review"]["state"]
    found["comments"] = len(job["comments"])
    found["holder"] = (job["claimedBy"], job["workerId"]) if job["status"] in ("waiting", "queued", "running") else None
    return found


def said(job: ModelJob) -> dict[str, Any]:
    """Return the same from the model."""
    holder = (None, None) if job.holder is None else (job.holder.name, job.holder.worker)
    return {
        "status": job.status,
        "attempts": job.attempts,
        "fence": job.fence,
        "round": job.round,
        "leaseUntil": None if job.lease is None else iso(job.lease),
        "machine": job.machine,
        "result": job.result,
        "error": job.error,
        "startedAt": iso(job.started) if job.started else None,
        "approval": job.approval,
        "review": job.review,
        "comments": job.comments,
        "holder": holder if job.status in ("waiting", "queued", "running") else None,
    }


ALWAYS = settings(
    max_examples=150,
    stateful_step_count=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
FEWER = settings(ALWAYS, max_examples=8)  # on PostgreSQL, for the time of `make test`
LONG = settings(ALWAYS, max_examples=200, stateful_step_count=50, derandomize=False, print_blob=True)
SEEDS = [int(text) for text in os.environ.get("STATE_MACHINE_SEEDS", "1,2,3").split(",")]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.docker)])
def lives(request: pytest.FixtureRequest) -> type[HttpLives]:
    """The machine, on each engine."""

    @contextmanager
    def embedded() -> Iterator[OpenEngine]:
        yield SqliteEngine

    @contextmanager
    def in_databases() -> Iterator[OpenEngine]:
        databases = Databases(request.getfixturevalue("postgres"))
        yield databases.open
        databases.give_back()

    drivers = embedded if request.param == "sqlite" else in_databases
    return type("LivesOnThis", (HttpLives,), {"drivers": staticmethod(drivers)})


def test_lives_over_http(lives: type[HttpLives], request: pytest.FixtureRequest) -> None:
    run(lives, settings=ALWAYS if "sqlite" in request.node.name else FEWER)


@pytest.mark.soak
@pytest.mark.parametrize("number", SEEDS)
def test_many_lives_over_http(lives: type[HttpLives], number: int) -> None:
    run(seed(number)(lives), settings=LONG)
