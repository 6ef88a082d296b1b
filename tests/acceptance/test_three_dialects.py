"""Ten thousand jobs of three dialects, mixed, by twenty workers of which some vanish in the middle of a job.

None is lost, none is done twice, and each dialect tells the same of its jobs as ours does.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.line import Line
from tests.support.spine_process import TOKENS, SpineProcess
from tests.support.stores import ON_BOTH_ENGINES, Settings

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400, func_only=True)]

SEED = 6_000_011
SHARES = {"native": 3_334, "skyclaw": 3_333, "broker": 3_333}
FEWER = {"native": 250, "skyclaw": 250, "broker": 250}  # for the time of `make test`
WORKERS = {"native": 7, "skyclaw": 7, "broker": 6}
VANISH, VANISHED = 0.004, 15  # how many of all, but so many at least
DIALECTS = {
    "SKYCLAW_TOKEN": "skyclaw-token-0001",
    "BOT_TOKEN": "bot-token-0001",
    "WORKER_TOKEN": "worker-token-0001",
    "SKYCLAW_LEASE_MS": "4000",
    "BROKER_LEASE_SECONDS": "4",
    "SPINE_ACCEPT_LEASE_SECONDS": "4",
    "REAPER_INTERVAL_MS": "200",
}


class Mix:
    """Who submits and who works, each in a thread with a connection of its own."""

    def __init__(self, port: int, shares: dict[str, int]) -> None:
        self.port, self.shares = port, shares
        self.vanish = max(VANISH, VANISHED / sum(shares.values()))
        self.submitted: dict[str, list[str]] = {name: [] for name in shares}
        self.accepted: list[tuple[str, str]] = []
        self.vanished = 0
        self.over = threading.Event()
        self.faults: list[BaseException] = []
        self._lines: list[Line] = []

    def line(self, kind: str, worker: str = "") -> Line:
        """Connect as one of a dialect."""
        named = {"X-Worker-Id": worker} if worker else {}
        made = Line(
            self.port,
            {
                "native": {"Authorization": f"Bearer {TOKENS['LEFT_CLAW_TOKEN']}"} | named,
                "head": {"Authorization": f"Bearer {TOKENS['HEAD_TOKEN']}"},
                "skyclaw": {"X-Skyclaw-Token": DIALECTS["SKYCLAW_TOKEN"]},
                "bot": {"X-Bot-Token": DIALECTS["BOT_TOKEN"]},
                "broker": {"X-Worker-Token": DIALECTS["WORKER_TOKEN"]} | named,
            }[kind],
        )
        self._lines.append(made)
        return made

    def close(self) -> None:
        """Hang up everywhere."""
        for line in self._lines:
            line.close()

    # --- submitting --------------------------------------------------------------------------------------------------

    def submit_native(self) -> None:
        head = self.line("head")
        while len(self.submitted["native"]) < self.shares["native"]:
            most = min(100, self.shares["native"] - len(self.submitted["native"]))
            jobs = head.good("POST", "/jobs", [{"target": "any", "spec": {"run": "x"}}] * most)["jobs"]
            self.submitted["native"] += [job["id"] for job in jobs]

    def submit_skyclaw(self) -> None:
        line = self.line("skyclaw")
        body = {"payload": {"kind": "shell", "command": "x"}, "requirement": {"requiredCapabilities": ["shell"]}}
        for _ in range(self.shares["skyclaw"]):
            self.submitted["skyclaw"].append(line.good("POST", "/v1/jobs", body)["job"]["id"])

    def submit_broker(self) -> None:
        line = self.line("bot")
        for _ in range(self.shares["broker"]):
            job = line.good("POST", "/broker/jobs", {"command": "ping", "payload": "x"})
            self.submitted["broker"].append(job["id"])

    # --- working -----------------------------------------------------------------------------------------------------

    def work(self, kind: str, number: int) -> None:
        """Take, do and report jobs until all is over; now and then vanish with one."""
        chance, name = random.Random(SEED + number), f"{kind}-{number}"
        take, finish = {"native": self._native, "skyclaw": self._skyclaw, "broker": self._broker}[kind](name)
        while not self.over.is_set():
            job = take()
            if job is None:
                self.over.wait(0.02)  # a worker's pace
            elif chance.random() < self.vanish:
                self.vanished += 1
                take, finish = {"native": self._native, "skyclaw": self._skyclaw, "broker": self._broker}[kind](name)
            else:
                status = finish(job, name)
                assert status == 200, (kind, job, status)
                self.accepted.append((job["id"], name))

    def _native(self, name: str) -> tuple[Callable[[], Any], Callable[[Any, str], int]]:
        line = self.line("native", name)

        def take() -> Any:
            answer = line.good("POST", "/jobs/claim", {})
            return answer and answer["jobs"][0]

        def finish(job: Any, by: str) -> int:
            body = {"fence": job["fence"], "result": {"notes": by}}
            return line.call("POST", f"/jobs/{job['id']}/complete", body)[0]

        return take, finish

    def _skyclaw(self, name: str) -> tuple[Callable[[], Any], Callable[[Any, str], int]]:
        line = self.line("skyclaw")
        line.good("POST", "/v1/hosts/register", {"hostId": name, "name": name, "capabilities": ["shell"]})

        def finish(job: Any, by: str) -> int:
            body = {"hostId": name, "success": True, "durationMs": 1, "exitCode": 0, "stdout": by, "stderr": ""}
            return line.call("POST", f"/v1/jobs/{job['id']}/complete", body)[0]

        return lambda: line.good("POST", f"/v1/hosts/{name}/claim", {})["job"], finish

    def _broker(self, name: str) -> tuple[Callable[[], Any], Callable[[Any, str], int]]:
        line = self.line("broker", name)

        def finish(job: Any, by: str) -> int:
            return line.call("POST", f"/broker/jobs/{job['id']}/result", {"result": by})[0]

        return lambda: line.good("GET", "/broker/jobs/next")["job"], finish

    # --- all of it ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Submit and work until every job has ended."""
        tasks: list[Callable[[], None]] = [self.submit_native, self.submit_skyclaw, self.submit_broker]
        numbers = iter(range(sum(WORKERS.values())))
        for kind, count in WORKERS.items():
            tasks += [partial(self.work, kind, next(numbers)) for _ in range(count)]
        threads = [threading.Thread(target=self._safely, args=(task,)) for task in tasks]
        for thread in threads:
            thread.start()
        try:
            count = sum(self.shares.values())
            eventually(lambda: bool(self.faults) or len(self.accepted) >= count, 300, every=0.2, what="all jobs done")
        finally:
            self.over.set()
            for thread in threads:
                thread.join(60)
        assert self.faults == []

    def _safely(self, task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as e:  # noqa: BLE001 — told by the main thread
            self.faults.append(e)


@pytest.fixture
def spine(tmp_path: Path, store: Settings) -> Iterator[SpineProcess]:
    process = SpineProcess(tmp_path / "spine", {**DIALECTS, **store}).start()
    yield process
    process.kill9()
    assert process.faults() == [], process.log_tail()


@pytest.fixture
def mix(spine: SpineProcess, store: Settings) -> Iterator[Mix]:
    found = Mix(spine.port, FEWER if store else SHARES)
    yield found
    found.close()


@ON_BOTH_ENGINES
def test_thousands_of_jobs_of_three_dialects_by_twenty_workers(mix: Mix) -> None:
    mix.run()
    assert {name: len(set(ids)) for name, ids in mix.submitted.items()} == mix.shares
    assert mix.vanished > 2
    by = dict(mix.accepted)
    assert Counter(job_id for job_id, _ in mix.accepted).most_common(1)[0][1] == 1
    head = mix.line("head")
    kinds = {job_id: kind for kind, ids in mix.submitted.items() for job_id in ids}
    natively: dict[str, Any] = {}
    cursor = ""
    while True:
        page = head.good("GET", f"/jobs?limit=1000{cursor}")
        natively |= {job["id"]: job for job in page["jobs"]}
        if not page.get("nextCursor"):
            break
        cursor = f"&cursor={page['nextCursor']}"
    ended = Counter((kinds[job_id], job["status"]) for job_id, job in natively.items())
    assert ended == {(kind, "done"): count for kind, count in mix.shares.items()}
    # By whom it was reported as done, natively: one worker each, the one that was told so.
    worker = {"native": lambda job: job["result"]["notes"], "skyclaw": lambda job: job["result"]["stdout"]}
    reported = {job_id: worker.get(kinds[job_id], lambda job: job["result"])(job) for job_id, job in natively.items()}
    assert reported == by
    # What the dialects show of theirs is the same history.
    state = mix.line("skyclaw").good("GET", "/v1/state")
    assert [(job["id"], job["status"], job["attempts"], job["assignedHostId"]) for job in state["jobs"]] == [
        (job["id"], "completed", job["attempts"], job["workerId"])
        for job in natively.values()
        if kinds[job["id"]] == "skyclaw"
    ]
    assert {host["id"]: host["activeLeases"] for host in state["hosts"]} == {f"skyclaw-{n}": 0 for n in range(7, 14)}
    bot = mix.line("bot")
    again = [job for job in natively.values() if job["fence"] > 1]
    assert sum(job["fence"] - 1 for job in natively.values()) == mix.vanished
    sample = random.Random(SEED).sample(mix.submitted["broker"], 200)
    for job_id in [*sample, *(job["id"] for job in again if kinds[job["id"]] == "broker")]:
        shown = bot.good("GET", f"/broker/jobs/{job_id}")
        assert (shown["status"], shown["result"], shown["worker_id"]) == ("done", by[job_id], by[job_id])
    completed = Counter(job["id"] for job in natively.values() if job["finishedAt"])
    assert completed == dict.fromkeys(kinds, 1)
