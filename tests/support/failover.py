"""Load on spines whose database fails over, every call repeated under its key until it is answered; a strict count.

A ledger outside notes what workers did. Nothing may be lost that was acknowledged, nothing done or made twice, nothing
that was seen once may be gone or undone at a later look.
"""

import http.client
import itertools
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.engine import freeze
from tests.support.eventually import eventually
from tests.support.ledger import Ledger
from tests.support.postgres_pair import DATABASE, PostgresPair
from tests.support.raw_http import Answer, Api
from tests.support.reckoning import Count
from tests.support.spine_process import TOKENS, SpineProcess

SUBMITTERS, WORKERS, READERS = 2, 2, 1
KILLED, FROZEN = "primary killed, then started", "primary frozen, then awake"
CUT_OFF, LEFT_ALIVE = "primary off the network, then back", "primary left as it is"
BLOWS = (KILLED, FROZEN, CUT_OFF, LEFT_ALIVE)
# Nothing lapses on its own: who does a job once more has no excuse.
SETTINGS = {
    "LEASE_SECONDS": "600",
    "SPINE_ACCEPT_LEASE_SECONDS": "600",
    "REAPER_INTERVAL_MS": "1000",
    "SPINE_LOG_LEVEL": "info",
}
# What may be said of a change while the database is away; each invites another try.
AWAY = {"unavailable", "outcome_unknown"}
GAP_SECONDS = 60.0
# Each spine asks all hosts of the address every few seconds.
LEFT_SECONDS = 15.0
_SHOWN = "SELECT count(*), sum(fence) FROM jobs"


@dataclass
class Gap:
    """How long nothing was acknowledged around a blow (s)."""

    blow: str
    writes: float
    reads: float


class Load:
    """Heads that submit, workers that claim and complete, readers that look again at what they have seen."""

    def __init__(self, spines: Sequence[SpineProcess], folder: Path) -> None:
        self._spines = spines
        self.ledger = Ledger(folder / "ledger")
        self.submitted: dict[str, str] = {}  # id → key
        self.done: set[str] = set()
        self.faults: list[str] = []
        self.refusals: Counter[str] = Counter()
        self.written: list[float] = []  # when changes were acknowledged (monotonic)
        self.read: list[float] = []
        self.heard: list[dict[str, Any]] = []  # the events, as one reader got them page by page
        self.regained = 0  # how often it was told of a gap, and began anew
        self._numbers = itertools.count()
        self._enough, self._over = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin."""
        parts = [self._submit] * SUBMITTERS + [self._work] * WORKERS + [self._look] * READERS + [self._follow]
        self._threads = [threading.Thread(target=self._guarded, args=(part, n)) for n, part in enumerate(parts)]
        for thread in self._threads:
            thread.start()

    def finish(self, seconds: float) -> None:
        """Submit nothing more, let all be done, stop."""
        self._enough.set()
        try:
            # One that is still in a call has a job acknowledged yet, which must be among those that are waited for.
            submitters = self._threads[:SUBMITTERS]
            eventually(lambda: not any(thread.is_alive() for thread in submitters), seconds, what="the last submit")
            eventually(lambda: self.faults or set(self.submitted) <= self.done, seconds, what="the end of all jobs")
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()

    def gap(self, blow: str, since: float) -> Gap:
        """Return the longest times without an answer from a moment on."""
        return Gap(blow, _longest(self.written, since), _longest(self.read, since))

    def await_more(self, writes: int) -> None:
        """Wait until some more changes are acknowledged, and some more reads are answered."""
        written, read = len(self.written) + writes, len(self.read) + writes // 2
        eventually(
            lambda: self.faults or (len(self.written) >= written and len(self.read) >= read),
            GAP_SECONDS,
            what="an answer after the blow",
        )

    # --- calls -----------------------------------------------------------------------------------------------------

    def _api(self, number: int, token: str, worker: str | None = None) -> Api:
        return Api(self._spines[number % len(self._spines)].port, TOKENS[token], worker)

    def _until_answered(self, number: int, token: str, path: str, body: Any, key: str) -> Answer:
        """Repeat a call under its key, at one spine after the other, until the answer is one that says what is."""
        worker = None if token == "HEAD_TOKEN" else f"w{number}"
        for turn in itertools.count(number):
            try:
                answer = self._api(turn, token, worker).post(path, body, Idempotency_Key=key)
            except (OSError, http.client.HTTPException) as e:
                self.refusals[type(e).__name__] += 1
            else:
                if answer.status < 300:
                    self.written.append(time.monotonic())
                    return answer
                if answer.status != 503 or answer.error not in AWAY or "retry-after" not in answer.headers:
                    # The key is still being worked on by the other spine, or the call was understood and refused.
                    assert answer.error == "idempotency_busy", f"{path}: {answer.status} {answer.body!r}"
                self.refusals[answer.error] += 1
            assert not self._over.is_set(), f"{path} was never answered"
            time.sleep(0.05)
        raise AssertionError("unreachable")

    def _submit(self, number: int) -> None:
        while not self._enough.is_set():
            key = f"submit-{next(self._numbers)}"
            body = {"target": "any", "label": key, "spec": {"key": key}}
            made = self._until_answered(number, "HEAD_TOKEN", "/jobs", body, key).json["id"]
            again = self._until_answered(number + 1, "HEAD_TOKEN", "/jobs", body, key).json["id"]
            assert made == again, f"{key} made {made}, and was then answered with {again}"
            self.submitted[made] = key
            time.sleep(0.02)

    def _work(self, number: int) -> None:
        for turn in itertools.count():
            if self._over.is_set():
                return
            answer = self._until_answered(
                number, "LEFT_CLAW_TOKEN", "/jobs/claim", {"max": 2}, f"claim-{number}-{turn}"
            )
            for job in answer.json["jobs"] if answer.status == 200 else []:
                with self.ledger.path.open("a") as out:
                    out.write(f"{job['id']} {job['fence']} did\n")
                body = {"fence": job["fence"], "result": {"by": number}}
                path = f"/jobs/{job['id']}/complete"
                done = self._until_answered(number, "LEFT_CLAW_TOKEN", path, body, f"done-{job['id']}-{job['fence']}")
                assert done.json["status"] == "done", done.json
                self.done.add(job["id"])
            if answer.status == 204:
                time.sleep(0.02)

    def _look(self, number: int) -> None:
        """Look at jobs whose end was acknowledged before: they are there, and done."""
        for turn in itertools.count():
            if self._over.is_set():
                return
            known = list(self.done)
            if not known:
                time.sleep(0.02)
                continue
            job_id = known[-1 - turn % min(len(known), 20)]
            try:
                answer = self._api(number + turn, "HEAD_TOKEN").get(f"/jobs/{job_id}")
            except (OSError, http.client.HTTPException) as e:
                self.refusals[type(e).__name__] += 1
                continue
            if answer.status == 503:
                self.refusals[f"read: {answer.error}"] += 1
                time.sleep(0.05)
                continue
            assert (answer.status, answer.json.get("status")) == (200, "done"), f"{job_id}: {answer}"
            self.read.append(time.monotonic())
            time.sleep(0.01)

    def _follow(self, number: int) -> None:
        """Read the events, page by page, from either spine."""
        cursor, turn = "", number
        while True:
            over = self._over.is_set()
            turn += 1
            try:
                answer = self._api(turn, "HEAD_TOKEN").get(f"/events?limit=200{cursor}")
            except (OSError, http.client.HTTPException) as e:
                self.refusals[type(e).__name__] += 1
                continue
            if answer.status == 503:
                self.refusals[f"read: {answer.error}"] += 1
                time.sleep(0.05)
                continue
            assert answer.status == 200, answer
            page = answer.json
            if page["gap"]:  # a spine that has not left the old primary yet does not know this place, and says so
                self.regained += 1
                self.heard = []
            self.heard += page["events"]
            cursor = f"&cursor={page['nextCursor']}"
            if over and not page["events"]:
                return
            time.sleep(0.02)

    def _guarded(self, part: Any, number: int) -> None:
        try:
            part(number)
        except BaseException as e:  # noqa: BLE001 — shown by the test, not lost with its thread
            self.faults.append(f"{part.__name__}: {e}")

    # --- the count -------------------------------------------------------------------------------------------------

    def examine(self, count: Count) -> None:
        """Hold what the spine says of all jobs, which have ended, against what was acknowledged, and the ledger."""
        jobs = list(self._all_jobs())
        found = {job["id"]: job for job in jobs}
        runs: dict[str, list[int]] = defaultdict(list)
        for entry in self.ledger.entries():
            runs[entry.job_id].append(entry.fence)
        for job_id, key in self.submitted.items():
            if job_id not in found or found[job_id]["label"] != key or found[job_id]["status"] != "done":
                count.lost.append(f"{job_id} ({key}) is {found.get(job_id)}")
            elif runs[job_id] != [found[job_id]["fence"]]:
                count.twice.append(f"{job_id} was done under {runs[job_id]}, fence {found[job_id]['fence']}")
        labels = Counter(job["label"] for job in jobs)
        count.twice += [f"{label} made {times} jobs" for label, times in labels.items() if times > 1]
        count.twice += [f"{job_id} was not asked for" for job_id in found if job_id not in self.submitted]
        events = list(self._all_events())
        if self.heard != events:
            count.lost.append(f"of {len(events)} events a reader got {len(self.heard)}, or not in their order")
        ends = Counter(event["jobId"] for event in events if event["type"] == "job.completed")
        count.twice += [f"{job_id} was completed {times} times" for job_id, times in ends.items() if times > 1]
        count.lost += [f"{job_id} has no event of its end" for job_id in self.submitted if job_id not in ends]
        count.stuck += self.faults

    def _pages(self, path: str, noun: str) -> Any:
        cursor = ""
        while True:
            page = self._api(0, "HEAD_TOKEN").get(f"{path}?limit=1000{cursor}").json
            yield from page[noun]
            if not page[noun] or not page.get("nextCursor"):
                return
            cursor = f"&cursor={page['nextCursor']}"

    def _all_jobs(self) -> Any:
        return self._pages("/jobs", "jobs")

    def _all_events(self) -> Any:
        return self._pages("/events", "events")


class Striking:
    """Rounds on one load; `gaps` has one of each. A database says what befalls it."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.gaps: list[Gap] = []

    def round(self, blow: str) -> Count:
        """Strike once, and count."""
        count, begun, submitted = Count(blow), time.monotonic(), len(self.load.submitted)
        self.load.await_more(40)
        struck = time.monotonic()
        count.lost += self.befall(blow)
        self.gaps.append(self.load.gap(blow, struck))
        self.renew()
        count.reached = True
        count.stuck += self.load.faults
        count.jobs = len(self.load.submitted) - submitted
        count.seconds = time.monotonic() - begun
        return count

    def befall(self, blow: str) -> list[str]:
        """Strike, let another take over, let the one that was struck come back; return what was lost by it."""
        raise NotImplementedError

    def renew(self) -> None:
        """Make it whole for the next round."""
        raise NotImplementedError


class Failovers(Striking):
    """A pair of which the standby is promoted at once, and by hand."""

    def __init__(self, pair: PostgresPair, load: Load) -> None:
        super().__init__(load)
        self.pair = pair

    def befall(self, blow: str) -> list[str]:
        """Strike the primary, promote the standby, let the old one come back as it was."""
        strike = {
            KILLED: self.pair.primary.container.kill,
            FROZEN: lambda: freeze(self.pair.primary.container),
            CUT_OFF: self.pair.cut_off,
            LEFT_ALIVE: lambda: None,
        }
        strike[blow]()
        old = self.pair.promote()
        self.load.await_more(20)
        come_back = {
            KILLED: self.pair.wake,
            FROZEN: old.container.unpause,
            CUT_OFF: self.pair.join_again,
            LEFT_ALIVE: lambda: None,
        }
        come_back[blow]()
        self.pair.await_left(LEFT_SECONDS)
        before = old.run(_SHOWN, DATABASE)
        self.load.await_more(40)
        after = old.run(_SHOWN, DATABASE)
        return [] if before == after else [f"the old primary was written to: {before}, then {after}"]

    def renew(self) -> None:
        """Put a new standby in the old primary's place."""
        self.pair.renew()


def _longest(moments: list[float], since: float) -> float:
    seen = [since, *(moment for moment in sorted(moments) if moment >= since)]
    return max((later - sooner for sooner, later in itertools.pairwise(seen)), default=0.0)
