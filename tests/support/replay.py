"""Events held to the transition table: jobs as their events alone tell them, in the order in which they come."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from tests.suites.matrix import MATRIX
from tests.support.line import Line

# Events that tell of something else than a change of status.
SILENT = {"job.heartbeat", "job.comment", "job.late_result", "job.approved"}


class Replay:
    """The jobs as their events alone tell them, in the order in which they were committed."""

    def __init__(self, fields: dict[str, dict[str, Any]]) -> None:
        self.fields = fields
        self.places: dict[str, set[str]] = {}
        self.fences: dict[str, int] = defaultdict(int)
        self.running: dict[str, set[str]] = defaultdict(set)
        self.approved: set[str] = set()
        self.done: set[str] = set()
        self.retried: set[str] = set()
        self.seen: Counter[str] = Counter()

    def take(self, event: dict[str, Any]) -> None:
        """Go on by one event; every rule that it could break is looked at."""
        kind, job_id, data = event["type"], event["jobId"], event["data"]
        if job_id is None:
            return
        self.seen[kind] += 1
        asked = self.fields[job_id]
        if kind == "job.created":
            assert job_id not in self.places
            self.places[job_id] = {"queued", "waiting"}
            return
        if kind == "job.claimed":
            self._claimed(job_id, asked, data)
        if kind == "job.approved":
            self.approved.add(job_id)
        if kind == "job.retried":
            self.retried.add(job_id)
        if kind not in SILENT:
            self._moved(job_id, kind, data)
        accepted = kind == "job.reviewed" and data["decision"] == "accept"
        if accepted or (kind in ("job.completed", "job.adopted") and not asked.get("needsReview")):
            self.done.add(job_id)

    def _claimed(self, job_id: str, asked: dict[str, Any], data: dict[str, Any]) -> None:
        assert data["fence"] > self.fences[job_id]
        self.fences[job_id] = data["fence"]
        assert not asked.get("needsApproval") or job_id in self.approved
        assert job_id in self.retried or set(asked.get("after", ())) <= self.done
        key = asked.get("concurrencyKey")
        if key is not None:
            assert len(self.running[key]) < asked["concurrencyLimit"]
            self.running[key].add(job_id)

    def _moved(self, job_id: str, kind: str, data: dict[str, Any]) -> None:
        places = self.places[job_id]
        reached = {row.target for row in MATRIX if row.event == kind and row.sources & places}
        if kind == "job.failed":
            reached &= {"queued", "waiting"} if data["requeued"] else {"failed"}
            if data["requeued"] and "queued" in places:
                reached.add("queued")  # expiry had put it back; only the reason is new
        if kind == "job.reviewed":
            reached = {"done"} if data["decision"] == "accept" else reached
            assert places == {"done"}
        assert reached, f"{job_id}: {kind} leads from none of {sorted(places)}"
        self.places[job_id] = reached
        if kind != "job.claimed":
            self.running[self.fields[job_id].get("concurrencyKey") or ""].discard(job_id)


def all_events(head: Line) -> Iterator[dict[str, Any]]:
    """Read all events from the first on."""
    cursor = ""
    while events := (page := head.call("GET", f"/events?limit=1000{cursor}")[1])["events"]:
        yield from events
        cursor = f"&cursor={page['nextCursor']}"
