"""Thousands of jobs with a random mix of all fields by 20 workers; afterwards the events alone are held to the table.

`make test` takes 2,000 jobs, for its time, and 700 on PostgreSQL; `make soak` the full 10,000 on each.
"""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.suites.matrix import ENDED, MATRIX
from tests.support.eventually import eventually
from tests.support.line import Line
from tests.support.replay import Replay, all_events
from tests.support.spine_process import TOKENS, SpineProcess
from tests.support.stores import ON_BOTH_ENGINES, Settings

pytestmark = pytest.mark.acceptance

SEED = 7_000_001
WORKERS = 20
BATCH = 100
LAPSE = 1.5  # seconds after which a claim that nobody confirmed is surely over
CLAWS = {"a": ["git"], "b": ["git", "gpu"], "c": []}
KEYS = {"db": 1, "web": 3, "disk": 2}


class Fleet:
    """A head that submits and decides, and workers that do all that workers do; everything random from one seed."""

    def __init__(self, port: int, count: int) -> None:
        self.port, self.count = port, count
        self.fields: dict[str, dict[str, Any]] = {}
        self.late: list[tuple[str, int]] = []
        self.over = threading.Event()
        self.faults: list[BaseException] = []
        self.lines: list[Line] = []

    # --- submitting --------------------------------------------------------------------------------------------------

    def submit(self) -> None:
        """Submit all jobs, a list at a time."""
        chance, head = random.Random(SEED), self._line(TOKENS["HEAD_TOKEN"])
        while len(self.fields) < self.count:
            items = [self.one(chance) for _ in range(BATCH)]
            status, answer = head.post("/jobs", items)
            if status == 422:  # one that it was to wait for has ended badly meanwhile
                items = [{name: v for name, v in item.items() if name != "after"} for item in items]
                status, answer = head.post("/jobs", items)
            assert status in (200, 201), answer
            for item, job in zip(items, answer["jobs"], strict=True):
                self.fields.setdefault(job["id"], item)
                if job["approval"] and job["approval"]["state"] == "pending":
                    digest = job["approval"]["specDigest"]
                    sent = {"specDigest": digest} if chance.random() < 0.9 else {}
                    verb, body = ("approve", sent) if chance.random() < 0.9 else ("reject", {"reason": "no"})
                    assert head.post(f"/jobs/{job['id']}/{verb}", body)[0] in (200, 409)
                if chance.random() < 0.03:
                    assert head.post(f"/jobs/{job['id']}/cancel")[0] in (200, 409)

    def one(self, chance: random.Random) -> dict[str, Any]:
        """Draw a job."""
        target = chance.choice(["any", "any", "a", "b", "c"])
        item: dict[str, Any] = {"target": target, "spec": {"n": chance.random()}, "maxAttempts": chance.randint(1, 4)}
        may: dict[str, Callable[[], Any]] = {
            "priority": lambda: chance.randint(-100, 100),
            "delaySeconds": lambda: 1,
            "timeoutSeconds": lambda: chance.randint(1, 60),
            "retry": lambda: {"backoffSeconds": 0.05, "factor": chance.choice([1, 3]), "maxSeconds": 0.3},
            "needsApproval": lambda: True,
            "needsReview": lambda: True,
            "dedupeKey": lambda: f"d{chance.randint(0, 50)}",
            "label": lambda: chance.choice(["x", "y"]),
            "notify": lambda: ["ops"],
            "after": lambda: chance.sample(list(self.fields)[-300:], min(len(self.fields), chance.randint(1, 3))),
        }
        for name in chance.sample(sorted(may), chance.randint(0, 3)):
            item[name] = may[name]()
        if chance.random() < 0.3:
            key = chance.choice(sorted(KEYS))
            item |= {"concurrencyKey": key, "concurrencyLimit": KEYS[key]}
        can = {"any": ["git"], "a": ["git"], "b": ["git", "gpu"], "c": []}[target]
        if can and chance.random() < 0.4:
            item["requires"] = chance.sample(can, chance.randint(1, len(can)))
        return item

    def adopt_one(self) -> None:
        """Adopt a late result while nobody else is there. Of those that come later, chance may have all be refused."""
        head, line = self._line(TOKENS["HEAD_TOKEN"]), self._line("token-of-c-0001", "w-first")
        item = {"target": "c", "spec": {}, "maxAttempts": 1}
        job_id = head.post("/jobs", item)[1]["id"]
        self.fields[job_id] = item
        fence = {"fence": line.post(f"/jobs/{job_id}/claim", {})[1]["fence"]}  # accepted at once
        eventually(lambda: head.call("GET", f"/jobs/{job_id}")[1]["status"] == "dead", 60, what="the end of its lease")
        status, answer = line.post(f"/jobs/{job_id}/complete", fence | {"result": "late"})
        assert (status, answer["lateResult"]) == (409, "kept")
        assert head.post(f"/jobs/{job_id}/adopt", fence)[0] == 200

    # --- deciding ----------------------------------------------------------------------------------------------------

    def decide(self) -> None:
        """Follow the events; review what asks for it, retry some of what ended badly, adopt some of what came late."""
        chance, head = random.Random(SEED + 1), self._line(TOKENS["HEAD_TOKEN"])
        cursor, retried = "", set[str]()
        while not self.over.is_set():
            page = head.call("GET", f"/events?limit=1000{cursor}")[1]
            cursor = f"&cursor={page['nextCursor']}"
            for event in page["events"]:
                job_id = event["jobId"]
                match event["type"]:
                    case "job.completed" | "job.adopted":
                        decision = "accept" if chance.random() < 0.7 else "rework"
                        body = {"decision": decision, "text": "hm" if chance.random() < 0.5 else None}
                        status, answer = head.post(f"/jobs/{job_id}/review", body)
                        if status == 409 and answer["error"] == "dedupe_conflict":  # it cannot go back just now
                            head.post(f"/jobs/{job_id}/review", {"decision": "accept"})
                    case "job.expired" if chance.random() < 0.3:
                        head.post(f"/jobs/{job_id}/cancel")
                    case "job.dead" | "job.failed" | "job.cancelled" if job_id not in retried and chance.random() < 0.3:
                        if head.post(f"/jobs/{job_id}/retry")[0] == 200:
                            retried.add(job_id)
            while self.late:
                job_id, fence = self.late.pop()
                assert head.post(f"/jobs/{job_id}/adopt", {"fence": fence})[0] in (200, 409)
            if not page["events"]:
                self.over.wait(0.05)

    # --- working -----------------------------------------------------------------------------------------------------

    def work(self, number: int) -> None:
        """Claim, and do what workers do: mostly finish, now and then fail, give back, vanish or come too late."""
        name = sorted(CLAWS)[number % len(CLAWS)]
        chance, line = random.Random(SEED + 100 + number), self._line(f"token-of-{name}-0001", f"w{number}")
        held: list[tuple[float, str, int]] = []
        while not self.over.is_set():
            body = {"capabilities": CLAWS[name], "max": chance.choice([1, 1, 3]), "wait": 0.3}
            status, answer = line.post("/jobs/claim", body)
            for job in answer["jobs"] if status == 200 else []:
                what = chance.choices(
                    ["complete", "fail", "fail for good", "release", "give back", "vanish"], [80, 6, 4, 4, 2, 4]
                )[0]
                if what == "vanish":
                    held.append((time.monotonic() + LAPSE, job["id"], job["fence"]))
                else:
                    self._finish(chance, line, job, what)
            if held and held[0][0] < time.monotonic():
                _, job_id, fence = held.pop(0)
                status, answer = line.post(f"/jobs/{job_id}/complete", {"fence": fence, "result": "late"})
                if status == 409 and answer.get("lateResult") == "kept" and chance.random() < 0.5:
                    self.late.append((job_id, fence))

    @staticmethod
    def _finish(chance: random.Random, line: Line, job: dict[str, Any], what: str) -> None:
        path, fence = f"/jobs/{job['id']}", job["fence"]
        if chance.random() < 0.3:
            line.post(f"{path}/heartbeat", {"fence": fence, "progress": {"n": 1}})
        ways: dict[str, tuple[str, dict[str, Any]]] = {
            "complete": ("complete", {"result": {"fence": fence}}),
            "fail": ("fail", {"error": "broke"}),
            "fail for good": ("fail", {"error": "broke", "requeue": False}),
            "release": ("release", {"reason": "later"}),
            "give back": ("release", {"countAttempt": False}),
        }
        verb, body = ways[what]
        status, answer = line.post(f"{path}/{verb}", {"fence": fence} | body)
        assert status in (200, 409), answer

    def run(self) -> None:
        """Do it all; return when every job has ended."""
        self.adopt_one()
        head = self._line(TOKENS["HEAD_TOKEN"])
        threads = [threading.Thread(target=self._guard, args=(self.decide,))]
        threads += [threading.Thread(target=self._guard, args=(self.work, n)) for n in range(WORKERS)]
        for thread in threads:
            thread.start()
        try:
            self.submit()
            eventually(lambda: self.faults or self._settled(head), self.count / 50 + 240, 0.2, "the end of all jobs")
        finally:
            self.over.set()
            for thread in threads:
                thread.join()
            for line in self.lines:
                line.close()
        assert self.faults == []

    def _line(self, token: str, worker: str | None = None) -> Line:
        named = {} if worker is None else {"X-Worker-Id": worker}
        self.lines.append(Line(self.port, {"Authorization": f"Bearer {token}"} | named))
        return self.lines[-1]

    def _guard(self, part: Any, *args: Any) -> None:
        try:
            part(*args)
        except BaseException as e:  # noqa: BLE001 — shown by the test, not lost with its thread
            self.faults.append(e)

    def _settled(self, head: Line) -> bool:
        open_ = head.call("GET", "/jobs?status=waiting,queued,running&limit=1")[1]["jobs"]
        for job in open_:  # shown when it does not come to an end
            raise AssertionError(f"{job} {head.call('GET', '/jobs/' + job['id'] + '/why')[1]}")
        reviews = head.call("GET", "/jobs?status=done")[1]["jobs"]
        pending = [job for job in reviews if job["review"] and job["review"]["state"] != "accepted"]
        assert pending == [], pending[0]
        return not self.late


def check(folder: Path, count: int, store: Settings) -> None:
    claws = ",".join(f"{name}=token-of-{name}-0001" for name in CLAWS)
    quick = {"LEASE_SECONDS": "2", "SPINE_ACCEPT_LEASE_SECONDS": "1", "REAPER_INTERVAL_MS": "100"}
    env = {"CLAW_TOKENS": claws, "SPINE_LOG_LEVEL": "warning", **quick, **store}
    spine = SpineProcess(folder / "spine", env).start()
    head = Line(spine.port, {"Authorization": f"Bearer {TOKENS['HEAD_TOKEN']}"})
    try:
        fleet = Fleet(spine.port, count)
        fleet.run()
        replay = Replay(fleet.fields)
        for event in all_events(head):
            replay.take(event)
        assert set(replay.places) == set(fleet.fields)
        found: dict[str, str] = {}
        for status in sorted(ENDED):
            found |= {job["id"]: job["status"] for job in head.call("GET", f"/jobs?status={status}")[1]["jobs"]}
        assert {job_id: {status} for job_id, status in found.items()} == replay.places
        unused = {row.event for row in MATRIX} - set(replay.seen)
        assert unused == set(), f"no job went this way: {unused}"
        assert spine.faults() == []
    finally:
        head.close()
        spine.kill9()


@ON_BOTH_ENGINES
@pytest.mark.timeout(480, func_only=True)
def test_jobs_of_every_kind(tmp_path: Path, store: Settings) -> None:
    check(tmp_path, 700 if store else 2000, store)


@pytest.mark.soak
@ON_BOTH_ENGINES
def test_ten_thousand_jobs_of_every_kind(tmp_path: Path, store: Settings) -> None:
    check(tmp_path, 10_000, store)
